"""CloudWatch: metrics, alarms on them, dashboards as data. All under (account, region, "cloudwatch"):

    ("metric", namespace, name, dimensions) -> JSON {id, hour, fine}; dimensions: JSON [[name, value]] by name;
                                               hour: of the newest time data came; fine: whether it has seconds
    ("point", metric, resolution s, ms, unit) -> msgpack ``statistics.Summary``
    ("alarm", name)                         -> JSON record, see ``alarms``
    ("parent", child, parent)               -> ""     composite alarms by the alarms in their rules
    ("suppressor", alarm, composite)        -> ""     composite alarms by the alarm that suppresses their actions
    ("history", ms, stamp)                  -> JSON {name, kind, item, summary, data, ms}
    ("history-of", name, ms, stamp)         -> the same
    ("planned", job)                        -> ms, decimal: when the account's next ``evaluate`` or ``sweep`` is due

and, under (account, "", "cloudwatch"), ("dashboard", name) -> JSON {body, modified_ms, tags}.

A datum is added to its minute, its five minutes and its hour at once, and to its second if its resolution is
high. So a read of any period looks at the coarsest rows that make it up, and nothing is ever rolled up: rows
are deleted once they are older than AWS keeps them (3 hours, 15, 63 and 455 days), a page at a time.

Alarms of an account and region are looked at together, every minute of the cloud clock (every 10 seconds while
one of them has a shorter period), while there are any. State changes, their history and the jobs for their
actions are one transaction.

What services of the platform report is gathered in memory (``stratolite.metrics``) and written every few seconds;
it is answered before its sync (``cloudwatch:metrics`` in ``limits.RELAXED``), unlike what users put.

Files  ``metrics`` putting and listing; ``reading`` with ``statistics``, ``labels``, ``expressions`` (metric math) and
       ``searching``; ``alarms`` with
       ``evaluation``, ``alarm_rules`` and ``suppression``; ``notices`` what actions send; ``worker``; ``dashboards``.

Missing  anomaly detection, metric streams, Contributor Insights, Metrics Insights (SELECT),
alarm actions on EC2 and Auto Scaling, log alarms, muting, metrics of other accounts, times in labels, dashboard pictures:
refused by name. Percentiles and what is between bounds are exact up to 100 different values a row, within 2 % beyond.

Source  https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/
"""

from stratolite.services.cloudwatch.service import Cloudwatch as Cloudwatch
