"""CloudWatch Logs: groups, streams and events, in the order of their time.

Stored under (account, region, "logs"). A group and a stream have a number (a stamp) of their own, so that
one made again under an old name does not inherit what is still being deleted.

    ("group", name)                     -> JSON {id, created_ms, retention_days, tags, token, subscriptions, metric_filters,
                                           data_keys [{key, sealed}], sealed_by: the index of one, null}
    ("metric-filter", name, group)      -> ""     metric filters of all groups by name
    ("policies",)                       -> JSON, see ``policies``
    ("stream", group, name)             -> JSON {id, created_ms, first_ms, last_ms, ingested_ms}
    ("recent", group, last_ms, name)    -> ""     streams by their last event; last_ms 0 without one
    ("event", group, stream, ms, stamp) -> ingestion time, ms (8 bytes big-endian) | message, UTF-8 or as ``sealing`` makes it
    ("time", group, ms, stamp)          -> stream (8 bytes big-endian) | its name, UTF-8: events of all streams

What functions print (PutLogEvents by lambda.amazonaws.com) is answered before its sync:
``logs:function-output`` in ``limits.RELAXED``. Lambda may write without a policy allowing it; everyone
else needs one.

Metrics in the embedded format are given to CloudWatch once each (``embedded``); documents that are not as AWS specifies are
counted in AWS/Logs: EMFParsingErrors, EMFValidationErrors.

Metric filters make data of metrics of what matches, once for each event (``metric_filters``).

Files  ``service`` operations on groups and streams; ``events`` writing and reading events; ``patterns`` filter
       patterns, with ``regular`` expressions; ``sealing`` groups under a KMS key; ``subscriptions`` sends on what matches one;
       ``metric_filters`` counts it; ``policies`` of resources; ``worker`` deletes what was dropped or has passed its retention.

Missing  system fields in what subscriptions and metrics get (they tell accounts and regions apart where logs of several are gathered,
which is not offered), logical destinations, Insights, live tail, export, data protection, log classes other than STANDARD,
queries across accounts: refused by name. ``storedBytes`` of a group is not counted and not answered.

Source  https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/
"""

from stratolite.services.logs.service import Logs as Logs
