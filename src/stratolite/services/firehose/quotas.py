"""AWS's quotas of Firehose, and ours. https://docs.aws.amazon.com/firehose/latest/dev/limits.html"""

from __future__ import annotations

RECORD_BYTES_MAX = 1_024_000
BATCH_RECORDS_MAX = 500
BATCH_BYTES_MAX = 4 << 20
SIZE_MB, SIZE_MB_MAX = 5, 128
INTERVAL_S, INTERVAL_S_MAX = 300, 900
PARTITIONED_SIZE_MB_MIN = 64
TAGS_MAX = 50
PARTITIONS_MAX = 500
"""Of one cut of a stream with dynamic partitioning; more go to the error prefix, as by AWS."""

# -- ours
WAITING_BYTES_MAX = 1 << 30
"""Undelivered bytes of a stream from which on writers are told to slow down."""
BLOCK_BYTES = 500_000
READ_BYTES = 4 << 20
"""Of a buffer, a transaction."""
CLEAN_ROWS = 500
CHILD_MEMORY_BYTES_MAX = 2 << 30
CHILD_TIME_S_MAX = 120.0
QUERY_BYTES_MAX = 8192
TRANSFORM_BYTES_MAX = 4 << 20
"""Of data in one invocation: base64 of it fits into Lambda's 6 MB."""
RETRY_S, RETRY_S_MAX = 5.0, 300.0
