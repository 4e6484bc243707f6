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

CLOCK_PAUSE_S = 1.0  # before the cloud clock is looked up again in a log that cannot be written

# -- log
SEGMENT_SIZE_BYTES = 64 << 20
BATCH_SIZE_BYTES_MAX = 64 << 20
FEED_PAGE_BYTES = 4 << 20  # read ahead of who follows the log

# -- snapshots
SNAPSHOT_EVERY_BYTES = 64 << 20  # of log since the last one
SNAPSHOT_EVERY_ENTRIES = 50_000
SNAPSHOT_KEEP_S = 3600.0  # how far back any second can be restored

# -- blobs
BLOB_GRACE_S = 600.0  # from the last link to removal: answers under way still read it
BLOB_FRESH_S = 3600.0  # from finish() to the link; older and never linked is an orphan
BLOB_SWEEP_AFTER_S = 60.0  # from start to the first look for orphans
BLOB_SWEEP_EVERY_S = 86_400.0
BLOB_COLLECT_COUNT_MAX = 500  # a transaction of the collector
BLOB_BUFFER_BYTES = 256 << 10  # a writer holds back, then one trip to a thread
BLOBS_BUFFERED_BYTES_MAX = 64 << 20  # by all writers; beyond it nobody holds back what came
LANE_BEHIND_BYTES_MAX = 1 << 20  # of a body that is hashed or written in a thread
HASHING_THREADS_MAX = 8
HASHED_TOGETHER_BYTES = (
    64 << 10
)  # of pieces as small as packets: a trip to a thread costs more than their hash
BLOB_PART_BYTES = 8 << 20  # of an upload to a bucket; S3 allows 10,000 of them
BLOB_THREADS_MAX = 8

# -- http
HEAD_SIZE_BYTES_MAX = 16 << 10  # request line and headers; S3 allows 8 KiB of user metadata inside
HEADERS_COUNT_MAX = 128
# a 50 MiB zip in Lambda's JSON; larger bodies must go to an operation that streams
BODY_BUFFERED_BYTES_MAX = 70_167_211
# JSON with more members than this is decoded and inspected in a thread: some 3 us each hold the loop otherwise
BODY_MEMBERS_IN_LOOP_MAX = 2000
BODY_STREAM_ABOVE_BYTES = 64 << 10  # bodies up to this size are handed over whole
IDLE_TIMEOUT_S = 75.0
REQUEST_TIMEOUT_S = 60.0  # from first byte of a head to its end
CONNECTIONS_MAX = 4096
SANDBOX_CONNECTIONS_MAX = 64  # of one sandbox, to the platform
CONNECTION_DESCRIPTORS = 3  # a socket, and the file its body goes to or comes from (with its map)
DESCRIPTORS_KEPT = 256  # for log, store, blobs and sandboxes, whatever connections there are
PIPELINED_BYTES_MAX = 64 << 10  # read ahead of the request being answered
STREAM_BUFFERED_BYTES_MAX = 1 << 20  # of one body, between the socket and who reads it
BODIES_BUFFERED_BYTES_MAX = (
    512 << 20
)  # of all bodies being gathered for operations that do not stream
WRITE_BUFFERED_BYTES_MAX = 1 << 20  # of one connection's answers, not yet taken by its client
DRAIN_BYTES_MAX = 1 << 20  # of an unread request body, before the connection is given up instead
LINGER_S = 5.0  # an answer given before its body was read: how long the client may still send
STOP_S = 20.0  # a graceful stop waits this long for what is in flight

# -- signatures
CLOCK_SKEW_S_MAX = 900.0

# -- secrets
ROOT_SEAL_COMMAND_S_MAX = 30.0
RESEAL_ROWS_MAX = 1_000  # a transaction of a change of keys looks at
RESEAL_BYTES_MAX = 4 << 20

# -- work
NESTED_CALLS_MAX = 16
WORK_RETRY_S_FIRST = 0.2  # doubles with every failed attempt
WORK_RETRY_S_MAX = 300.0
WORK_LEASE_S = 30.0  # of a claim on a shared log; renewed at a third of it
WORK_PAUSE_S = 1.0  # before workers try again a log that cannot be written
WORK_CLOSE_S = 5.0  # for jobs under way when we are asked to stop
WORK_PARTITION_BYTES_MAX = 4096  # it becomes part of keys
WORK_STEP_COUNT_MAX = 200  # rows a claiming transaction looks at

# -- outgoing requests
EGRESS_REQUESTS_MAX = 64  # at once; more wait, and their time runs
EGRESS_TIME_S = 30.0  # of a request as a whole, unless its service says otherwise
EGRESS_CONNECT_S_MAX = 10.0  # a name and a connection
EGRESS_ADDRESSES_MAX = 8  # of one name, tried one after another
EGRESS_HEAD_BYTES_MAX = 64 << 10  # of an answer
EGRESS_ANSWER_BYTES_MAX = 1 << 20
EGRESS_REDIRECTS_MAX = 10
EGRESS_URL_BYTES_MAX = 8 << 10
EGRESS_PROXIED_MAX = 32  # connections of one sandbox through its proxy
EGRESS_PROXIED_ALL_MAX = 512  # of all sandboxes together
EGRESS_PROXIED_IDLE_S = 300.0  # nothing passes either way

# -- sandboxes
SANDBOXES_MAX = 200
SANDBOX_MEMORY_SHARE_MAX = (
    1.0  # of physical memory, counted by what sandboxes may use, not by what they do
)
SANDBOX_IDLE_S = 300.0
SANDBOX_INIT_S_MAX = 10.0
SANDBOX_ANSWER_BYTES_MAX = 8 << 20
SANDBOX_LINE_BYTES_MAX = 256 << 10
BUNDLE_FILES_MAX = 50_000
BUNDLE_UNPACKED_BYTES_MAX = 262_144_000
BUNDLE_UNUSED_S_MAX = 7 * 86_400.0  # then unpacked code is deleted, and unpacked again if needed

# -- trail
TRAIL_KEEP_S = 90 * 86_400.0  # as long as AWS's event history, by the cloud clock
TRAIL_SIZE_BYTES_MAX = 256 << 20  # of one account in one region
TRAIL_EVENT_BYTES_MAX = 16 << 10
TRAIL_GATHER_S = 0.25  # a batch
TRAIL_GATHER_SHARED_S = 1.0  # where each write is a request to a bucket
TRAIL_BATCH_COUNT_MAX = 500  # events a transaction
TRAIL_HELD_COUNT_MAX = 20_000  # events not yet written; more are dropped and counted
TRAIL_LOOKED_AT_COUNT_MAX = 1_000  # events one lookup reads
TRAIL_DATA_SIZE_BYTES_MAX = (
    128 << 20
)  # of data events, compressed, of one account in one region: millions of calls
TRAIL_DATA_BATCH_COUNT_MAX = 1_000  # data events compressed together
TRAIL_DATA_LINE_COUNT_MAX = 250  # data events made into a line at once, which holds the loop
TRAIL_DATA_LOOKED_AT_COUNT_MAX = 8  # batches one page reads
TRAIL_UNPACKED_BYTES_MAX = 64 << 20  # of a batch
TRAIL_EXPLAINED_A_SECOND_MAX = 50  # denials kept with every statement that was asked
USED_EVERY_S = 2.0  # between writes of what access keys and roles were last used for

METRICS_EVERY_S = 5.0  # between writes of what the platform's services count
METRICS_HELD_MAX = (
    20_000  # metrics of a minute not yet written; samples of further ones are dropped
)

RELAXED_GATHER_S = 0.01  # what nobody waits for waits for company
# What may be acknowledged before its sync; a crash loses the newest of these and nothing else.
RELAXED = frozenset(
    {
        "logs:function-output",
        "cloudwatch:metrics",
        "access-logs",
        "sqs:visibility",
        "cloudtrail:events",
        "iam:last-used",
        "s3:storage-class-analysis",
    }
)
