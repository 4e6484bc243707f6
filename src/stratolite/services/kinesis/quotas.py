"""AWS's quotas of Kinesis Data Streams, and ours where AWS's depend on the account.

Source  https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html
"""

from __future__ import annotations

SHARDS_MAX = 1000
"""Open shards of an account in a region. AWS's default is 20,000 in large regions and 1,000 in small ones."""
ON_DEMAND_STREAMS_MAX = 50
ON_DEMAND_SHARDS = 4
ON_DEMAND_SHARDS_MAX = 200
WARM_MIB_MAX = 200
"""A shard takes 1 MiB a second; AWS lets a stream be warm to 10 GiB/s."""
COMMITMENT_S_MIN = 24 * 3600.0
"""https://docs.aws.amazon.com/streams/latest/dev/how-do-i-size-a-stream.html: On-demand Advantage for a day at least."""
RESIZES_A_DAY_MAX = 10
MODE_CHANGES_A_DAY_MAX = 2
CONSUMERS_MAX = 20
CONSUMERS_ADVANTAGE_MAX = 50
"""Of an on-demand stream of an account that has committed itself (On-demand Advantage)."""
TAGS_MAX = 50

WRITE_BYTES_A_SECOND = 1 << 20
WRITE_RECORDS_A_SECOND = 1000
READ_BYTES_A_SECOND = 2 << 20
READ_CALLS_A_SECOND = 5
DRY_RUNS_A_SECOND = 1
"""Of a stream."""

PUT_RECORDS_MAX = 500
PUT_BYTES_MAX = 10 << 20
RECORD_KIB = 1024
RECORD_KIB_MAX = 10_240
PARTITION_KEY_MAX = 256

GET_RECORDS_MAX = 10_000
GET_BYTES_MAX = 10 << 20
ITERATOR_S = 300.0
SUBSCRIPTION_S = 300.0
SUBSCRIPTION_TAKEOVER_S = 5.0
SUBSCRIPTION_EVENT_BYTES = 1 << 20
HEARTBEAT_S = 5.0

RETENTION_HOURS = 24
RETENTION_HOURS_MAX = 8760
TRIM_EVERY_S = 3600.0
