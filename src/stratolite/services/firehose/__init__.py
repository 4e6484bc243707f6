"""Firehose: records gathered and delivered to S3 or to an HTTP endpoint, transformed, partitioned and converted on the way.

What is accepted is in the log; it leaves it when the object that holds it is in S3. Stored under (account, region,
"firehose"); a stream has a number (a stamp), so that one made again does not inherit:

    ("stream", name)           -> JSON {id, type, made_s, changed_s, version, kind, destination, source, encryption, tags,
                                  sealed}; ``sealed`` is an HTTP endpoint's access key, sealed by the vault
    ("gathering", id)          -> JSON {number, first, bytes, records, since_s, waiting}: what has come since the last cut,
                                  and ``waiting`` bytes of cuts not delivered
    ("buffer", id, stamp, n)   -> msgpack [arrival ms, [data, ...], [metadata, ...] | null]: records of one call
    ("cut", id, number)        -> JSON {first, last, bytes, records, since_s, cut_s, attempts, done}: what becomes objects together
    ("shard", id, shard)       -> JSON {after | time, part, done}: how far a Kinesis source has been read, user records of the next included

A buffer is cut when it is full or its first record is old enough (cloud clock), in a transaction. A cut is delivered by a
job; the keys of its objects follow from the cut, so a delivery that a crash repeated writes the same objects again:
S3 shows each record once. Records of a Kinesis source enter the buffer in the transaction that moves the checkpoint.
An HTTP endpoint may get a request again after a crash, with the same request id. Nothing is dropped while S3 cannot be
written: deliveries are tried again, up to five minutes apart; from ``quotas.WAITING_BYTES_MAX`` on, writers are told to
slow down.

Files  ``streams`` ``writing`` operations; ``settings`` what a stream may say; ``delivery`` from a cut to objects, with
       ``transformation`` (a function's or a query's; ``items``, ``log_records``), ``error_logs``, ``prefixes`` ``timestamps`` where objects lie, ``packing`` what is in
       them, ``endpoint`` HTTP; ``source`` reads a Kinesis stream; ``child`` (started by ``children``) runs jq and pyarrow

jq programs, Parquet, ORC and Snappy run in a child with capped memory and time; pyarrow is an extra
(``pip install stratolite[parquet]``): without it Parquet, ORC and Snappy are refused by name.

A stream is not made, and its destination not changed, with a role that is not there or does not trust Firehose; the role of
a schema or of a transformation is found wanting at delivery.

From a Kinesis source, what the Kinesis Producer Library put into one record is delivered one by one (``aggregated``).

Missing  Redshift, OpenSearch, Splunk, Snowflake, Iceberg, MSK and database sources (none of these services is offered):
refused by name. A dynamic partition's objects are written when the stream's buffer is cut, not each
at its own size. A transformation has no buffer of its own: its function gets what a cut holds, in pieces of BufferSizeInMBs. Padding of Parquet and ORC, which is for blocks of HDFS, has no effect; an access key in Secrets Manager
is asked for at each delivery, where AWS keeps it for ten minutes.

Sources  https://docs.aws.amazon.com/firehose/latest/APIReference/
         https://docs.aws.amazon.com/firehose/latest/dev/
"""

from stratolite.services.firehose.service import Firehose as Firehose
