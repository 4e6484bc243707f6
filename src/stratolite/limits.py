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

# -- signatures
CLOCK_SKEW_S_MAX = 900.0

# -- work
NESTED_CALLS_MAX = 16

# -- sandboxes
SANDBOXES_MAX = 200
SANDBOX_MEMORY_SHARE_MAX = 1.0  # of physical memory, counted by what sandboxes may use, not by what they do
SANDBOX_IDLE_S = 300.0
SANDBOX_INIT_S_MAX = 10.0
SANDBOX_ANSWER_BYTES_MAX = 8 << 20
SANDBOX_LINE_BYTES_MAX = 256 << 10
BUNDLE_FILES_MAX = 50_000
BUNDLE_UNPACKED_BYTES_MAX = 262_144_000

# What may be acknowledged before its sync; a crash loses the newest of these and nothing else.
RELAXED = frozenset({"logs:function-output", "cloudwatch:metrics", "access-logs", "sqs:visibility"})
