"""SQS: standard and FIFO queues, their messages in the order they become available.

A queue has a number that it keeps, and a box that holds its messages: purging gives it an empty box, and
the old one is emptied in the background, as is that of a deleted queue. All under (account, region, "sqs"):

    ("queue", name)                      -> JSON record, see ``state.Queue``
    ("gone", name)                       -> when it was deleted, ms, decimal; for a minute
    ("source", target ARN, name)         -> ""     queues by their dead-letter queue
    ("task", queue number, -began ms)    -> JSON {id, status, ...}, see ``moves``
    ("sampled",)                         -> ms, decimal: when queues are next looked at for their metrics
    ("counts", box)                      -> how many are visible, in flight, delayed | when expiry is due
    ("message", box, sent ms, stamp)     -> msgpack ``state.Message``
    ("part", box, stamp, n)              -> the rest of a large message, a piece each
    ("delivery", box, stamp)             -> ``state.Delivery``: how often received, until when hidden
    ("ready", box, ms, stamp)            -> may be received since ms
    ("later", box, ms, stamp)            -> delayed or in flight until ms

In a standard queue ready and later hold messages (a byte, the sending time). In a FIFO queue they hold the
groups that have messages, and

    ("line", box, group, stamp)          -> sent ms: the messages of a group in order
    ("group", box, group)                -> msgpack ``state.Group``: its place, which of it is in flight
    ("delayed", box, ms, stamp)          -> ""     messages still counted as delayed
    ("known", box, kind, scope, id)      -> until ms | msgpack: a deduplication id, or a receive attempt's
    ("forget", box, ms, stamp)           -> the key of a "known" row to forget then

A standard queue's messages with a group are their tenants', see ``tenants`` and ``fair``: a quiet tenant's first one is in ready
(the row's value ends with the group), and

    ("tenant", box, group)               -> msgpack ``state.Tenant``
    ("backlog", box, group, ms, stamp)   -> as in ready: what else of the tenant may be received
    ("noisy", box, group)                -> the group, while it is noisy

Receiving looks at the heads of ready and later, oldest first: nothing moves when a delay or a visibility
timeout ends, so it costs the same whatever waits. A long poll waits for a change in these spans.

Receiving from a standard queue and extending a visibility timeout are answered before their sync
(``sqs:visibility`` in ``limits.RELAXED``), but only with messages that are durable themselves: what a crash
takes away is that they were received.

Bodies in a queue with KmsMasterKeyId are sealed under it (``sealing``): who sends needs kms:GenerateDataKey and kms:Decrypt, who
receives kms:Decrypt, by the key's policy; KMS's refusals come as AWS names them.

Files  ``queues`` operations on queues, ``attributes`` their rules, ``permissions`` policies; ``messages`` operations
       on messages, ``content`` what may be in one; ``standard`` and ``fifo`` the two orders, ``tenants`` and ``fair`` the first
       one's groups; ``receipts`` handles; ``moves`` redriving; ``worker`` expiry, emptying, moving.

Missing  the throughput quotas of FIFO queues (any rate is served).

Calls that are not signed are served where the queue's policy allows everybody; their region is that of the host, else
the default one.

Source  https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/
"""

from stratolite.services.sqs.service import Sqs as Sqs
