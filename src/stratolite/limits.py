"""Every named bound of the platform: sizes in bytes, times in seconds, counts plain.

AWS's own service quotas live with their service; here is what protects us. The last table lists what
may be answered before its sync, and nothing else may.
"""

from __future__ import annotations

# -- transactions (FoundationDB's, https://apple.github.io/foundationdb/known-limitations.html)
TX_TIME_S_MAX = 10.0
TX_SIZE_BYTES_MAX = 32 << 20
KEY_SIZE_BYTES_MAX = 10 << 10
VALUE_SIZE_BYTES_MAX = 1 << 20

# -- log
SEGMENT_SIZE_BYTES = 64 << 20
BATCH_SIZE_BYTES_MAX = 64 << 20

# -- http
HEAD_SIZE_BYTES_MAX = 16 << 10  # request line and headers; S3 allows 8 KiB of user metadata inside
HEADERS_COUNT_MAX = 128
BODY_BUFFERED_BYTES_MAX = 64 << 20  # larger bodies must go to an operation that streams
BODY_STREAM_ABOVE_BYTES = 64 << 10  # bodies up to this size are handed over whole
IDLE_TIMEOUT_S = 75.0
REQUEST_TIMEOUT_S = 60.0  # from first byte of a head to its end
CONNECTIONS_MAX = 4096
PIPELINED_BYTES_MAX = 64 << 10  # read ahead of the request being answered
STREAM_BUFFERED_BYTES_MAX = 1 << 20  # of one body, between the socket and who reads it
BODIES_BUFFERED_BYTES_MAX = 512 << 20  # of all bodies being gathered for operations that do not stream
WRITE_BUFFERED_BYTES_MAX = 1 << 20  # of one connection's answers, not yet taken by its client
DRAIN_BYTES_MAX = 1 << 20  # of an unread request body, before the connection is given up instead
LINGER_S = 5.0  # an answer given before its body was read: how long the client may still send
STOP_S = 20.0  # a graceful stop waits this long for what is in flight

# -- signatures
CLOCK_SKEW_S_MAX = 900.0

# -- work
NESTED_CALLS_MAX = 16

# What may be acknowledged before its sync; a crash loses the newest of these and nothing else.
RELAXED = frozenset({"logs:function-output", "cloudwatch:metrics", "access-logs", "sqs:visibility"})
