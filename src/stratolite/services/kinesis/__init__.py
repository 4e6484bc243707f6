"""Kinesis Data Streams: shards, records in order, readers by iterator and by subscription.

Stored under (account, region, "kinesis"). A stream has a number (a stamp), so that one made again under an old
name does not inherit what is still being deleted; shards are numbered within it.

    ("stream", name)                         -> JSON {id, created_s, mode, hours, encryption, key_id, metrics, tags,
                                                policy, record_kib, next_shard, resized_s, channel, strategy, warm_mib,
                                                switched_s}
    ("shard", id, n)                         -> JSON {start, end, parent, adjacent, created_s, closed_s, children};
                                                hash keys as decimal text, closed_s null while it is open
    ("route", id)                            -> msgpack [[first hash key (16 bytes), n, created_s], ...]: open shards
    ("record", id, n, stamp, first, part)    -> records that one call wrote to one shard, see ``blocks``
    ("second", id, n, s)                     -> stamp of the first write in that second
    ("rate", id, n // 64)                    -> msgpack [second, {n: [bytes, records]}]: writes in the present second
    ("consumer", id, name)                   -> JSON {created_s, tags, policy}
    ("subscription", id, name, n)            -> JSON {token, since_s}: who reads the shard for the consumer now
    ("commitment",)                          -> JSON, see ``accounts``
    ("usage",)                               -> JSON {shards, on_demand}: open shards and on-demand streams in all

A sequence number is AWS's kind of number of 56 digits, see ``sequence``; an iterator says where in a shard and until
when it is good, see ``iterators``. Streams are ACTIVE, resharded and gone when the call answers: CREATING, UPDATING
and DELETING are never seen. Records that have passed the retention are not read, and are deleted hourly.

Limits are AWS's: 1 MiB or 1,000 records a second and shard written (counted in the store), 2 MiB and 5 calls a second
read by iterator (counted in memory: a limiter is no fact, and reading must not write). What event source mappings
read is not counted. A stream on demand gets another shard where one is more than half busy, up to 200, or as many at once
as its warm throughput asks for (1 MiB a second each), and never fewer again.

Files  ``streams`` ``resharding`` ``writing`` ``reading`` ``consumers`` ``policies`` ``accounts`` operations by topic, one class in
       ``service``; ``dry_runs`` requests that only ask; ``layout`` which shards a change makes; ``worker`` trims, drops, scales

Missing  channels, queues and StreamId: refused by name. KMS keys are checked if the KMS service is offered; the bytes on disk are not
encrypted with them. CloudWatch is not told how long a put took (PutRecord.Latency, PutRecords.Latency), nor of SubscribeToShard's
own successes.

Sources  https://docs.aws.amazon.com/kinesis/latest/APIReference/
         https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html
"""

from stratolite.services.kinesis.service import Kinesis as Kinesis
