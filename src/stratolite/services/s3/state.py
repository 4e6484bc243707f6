"""Where buckets, objects and uploads lie in the store; the only file that knows their keys.

Bucket names are one namespace for all accounts and regions; everything in a bucket lies under its owner
and region, below the number (``id``) the bucket got when it was made, so that nothing of a deleted
bucket shows up in a new one of the same name.

    ("", "", "s3", "bucket", name)                -> JSON {name, account, region, id, created_ms, ownership,
                                                     has_policy, on?, versioning?, blocks_sse_c?, table?}: what every request asks
    ("", "", "s3", "bucket", alias)               -> JSON {point, bucket, policy, tags?, open?}   an access point's names
    (account, "", "s3", "block")                  -> JSON, the account's public access block
    (account, "", "s3", "mine", name)             -> JSON region                   for ListBuckets
    (account, region, "s3", "config", id, kind)   -> JSON, the API's own shape     website, cors, policy ...
    (account, region, "s3", "o", id, KEY)         -> msgpack Head                   the current version
    (account, region, "s3", "v", id, KEY, -order) -> msgpack Head                   every other version
    (account, region, "s3", "n", id, KEY)         -> 8 bytes order                  of the null version among them
    (account, region, "s3", "d", id, KEY[, order]) -> the body, of HEAD_BODY_BYTES_MAX .. INLINE_BYTES_MAX
    (account, region, "s3", "a", id, space, name) -> msgpack Annotation
    (account, region, "s3", "t", id, space, name) -> its text, up to 16 KiB
    (account, region, "s3", "l", id, stamp)       -> a line of the access log, until it is delivered
    (account, region, "s3", "m", id, config, stamp) -> JSON, a row for the journal table, until it is there
    (account, region, "s3", "y", id, config, KEY) -> sequence number of the change that the inventory table lacks
    (account, region, "s3", "u", id, KEY, upload) -> msgpack Upload
    (account, region, "s3", "p", id, upload, n)   -> msgpack Part                  until its object goes
    (account, region, "s3", "b", id, upload, n)   -> the part's body, up to PART_INLINE_BYTES_MAX

A key has a row under "o" exactly if its newest version is an object; a delete marker is always under "v". So
listing current objects reads nothing of the past, and a bucket that never had versions has no "v" and "n". ``order``
is the stamp of the transaction that made the version; 0 in buckets without versions, where bodies are under KEY alone.

KEY is the object key's UTF-8 as a bytes part, so rows are in S3's listing order. Bodies lie beside the
heads, not in them, so listing reads heads only. A finished multipart object keeps the part rows of its
upload: completing moves no bytes and rewrites no rows. Larger bodies are blobs, linked once by the row
that names them. The annotations of a version lie under a number of their own, ``space``, which its head knows.

Head, Upload, Part and Annotation are msgpack arrays in the order of the fields below; new fields go at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import orjson

from stratolite.core import Keyspace, Span, Tx
from stratolite.core.keys import pack

BUCKET_NAME_LENGTH_MAX = 63
HEAD_BODY_BYTES_MAX = 2 << 10
INLINE_BYTES_MAX = 256 << 10
PART_INLINE_BYTES_MAX = 64 << 10

FEATURES = frozenset(
    {
        "notification",
        "object-lock",
        "encryption",
        "replication",
        "lifecycle",
        "logging",
        "metadata",
        "metrics",
        "request-payment",
    }
)

IN_HEAD, IN_ROW, IN_BLOB, IN_PARTS, MARKER = range(5)

Run = tuple[int, int, int]
"""(first part number, how many, size of each): parts with consecutive numbers and one size."""
Extent = tuple[str, int, int]
"""(blob id, offset, size)."""


class Bucket:
    """A bucket as its name finds it. Made once per stored value; frozen."""

    __slots__ = (
        "account",
        "annotation_bodies",
        "annotations",
        "blocks_sse_c",
        "bodies",
        "config",
        "created_ms",
        "has_policy",
        "heads",
        "id",
        "journal",
        "log",
        "name",
        "nulls",
        "on",
        "ownership",
        "part_bodies",
        "parts",
        "point",
        "read_only",
        "region",
        "stale",
        "table",
        "uploads",
        "versioning",
        "versions",
    )

    def __init__(
        self,
        name: str,
        account: str,
        region: str,
        id: int,
        created_ms: int = 0,
        ownership: str | None = None,
        has_policy: bool = False,
        on: Sequence[str] = (),
        versioning: str = "",
        blocks_sse_c: bool = False,
        table: Sequence[Any] = ("", False),
    ) -> None:
        self.name, self.account, self.region = name, account, region
        self.id, self.created_ms = id, created_ms
        self.ownership = ownership
        """BucketOwnerEnforced, BucketOwnerPreferred, ObjectWriter; None when its controls were deleted."""
        self.has_policy = has_policy
        self.on = frozenset(on)
        """Kinds of configuration set on it that what is done to objects must look at: those of ``FEATURES``."""
        self.versioning = versioning
        """"", Enabled or Suspended."""
        self.blocks_sse_c = blocks_sse_c
        """Whether writes under customers' keys are refused; in buckets made before this was kept they are not."""
        self.table, self.read_only = table
        """ARN of the table whose files it holds, "" for a bucket of one's own; whether only services of AWS write it."""
        self.point: Point | None = None
        """The access point by which it was named."""
        space = Keyspace(account, region, "s3")
        self.config = space["config"][id]
        self.heads, self.bodies = space["o"][id], space["d"][id]
        self.log = space["l"][id]
        self.journal, self.stale = space["m"][id], space["y"][id]
        self.versions, self.nulls = space["v"][id], space["n"][id]
        self.annotations, self.annotation_bodies = space["a"][id], space["t"][id]
        self.uploads, self.parts, self.part_bodies = space["u"][id], space["p"][id], space["b"][id]


class Point(NamedTuple):
    """An access point."""

    arn: str
    bucket: str
    policy: str | None
    tags: dict[str, str] = {}  # noqa: RUF012 - never changed
    open: tuple[str, ...] = ()
    """Those of its public access block that are off."""


class Listed(msgspec.Struct, array_like=True, gc=False):
    """What listing needs of a Head: its first fields."""

    etag: str
    """Without quotes."""
    size_bytes: int
    modified_ms: int
    storage_class: str
    checksum: str
    """Algorithm."""
    checksum_type: str
    """FULL_OBJECT or COMPOSITE."""


class Head(Listed, array_like=True, gc=False):
    """An object without its body."""

    checksum_value: str
    place: int
    """IN_HEAD, IN_ROW, IN_BLOB or IN_PARTS."""
    data: bytes
    """The body, IN_HEAD."""
    blob: str
    """The body, IN_BLOB."""
    upload: str
    """The upload whose parts are the body, IN_PARTS."""
    runs: list[Run]
    """Which parts of it, in order, IN_PARTS."""
    headers: dict[str, Any]
    """Members of PutObject to be given back as they came: ContentType, CacheControl, ..."""
    metadata: dict[str, str]
    tags: dict[str, str]
    acl: str
    """A canned ACL."""
    order: int = 0
    version: str = ""
    """The version id; "" for the null version."""
    more: dict[str, Any] = {}
    """What few objects have, see ``MORE``. Put a new dict, never change one."""


MORE = {
    "mode": "GOVERNANCE or COMPLIANCE",
    "until_ms": "end of the retention",
    "hold": "true under a legal hold",
    "sse": "how the body is sealed, see encryption",
    "grants": "[[kind, id, permission], ...] instead of a canned ACL",
    "owner": "account of the object's owner where it is not the bucket's",
    "replication": "PENDING, COMPLETED, FAILED or REPLICA",
    "restored_ms": "until when an archived object can be read",
    "annotations": "{space, count} once it had one",
    "restoring_ms": "when a restore that was asked for is done",
}


class Upload(msgspec.Struct, array_like=True, gc=False):
    """A multipart upload in progress."""

    initiated_ms: int
    storage_class: str
    checksum: str
    checksum_type: str
    checksum_asked: bool
    """Whether the client chose the algorithm (then parts must carry it)."""
    initiator: str
    """ARN."""
    headers: dict[str, Any]
    metadata: dict[str, str]
    tags: dict[str, str]
    acl: str
    changed: int
    """Stamp of the last change to its parts."""
    more: dict[str, Any] = {}
    """As the object's will be."""


class Part(msgspec.Struct, array_like=True, gc=False):
    """One part. Its body is its own row when there are no extents."""

    etag: str
    size_bytes: int
    modified_ms: int
    checksum_value: str
    extents: list[Extent]


class Annotation(msgspec.Struct, array_like=True, gc=False):
    """A named text beside a version of an object. Its text is its own row when there is no blob."""

    etag: str
    size_bytes: int
    modified_ms: int
    checksum: str
    checksum_value: str
    blob: str
    key: bytes
    """Its data key, sealed by the vault."""


_encode = msgspec.msgpack.Encoder().encode
_decode_head = msgspec.msgpack.Decoder(Head).decode
decode_listed = msgspec.msgpack.Decoder(Listed).decode
decode_upload = msgspec.msgpack.Decoder(Upload).decode
_decode_part = msgspec.msgpack.Decoder(Part).decode
decode_annotation = msgspec.msgpack.Decoder(Annotation).decode

_NAMES = Keyspace("", "", "s3")["bucket"]


# -- buckets


def bucket(tx: Tx, name: str) -> Bucket | None:
    if len(name) > BUCKET_NAME_LENGTH_MAX:
        return None
    found = tx.parsed(_name_key(name), _parse_bucket)
    if type(found) is Point:
        return _through(tx, found)
    return found  # type: ignore[return-value]


def _through(tx: Tx, point: Point) -> Bucket | None:
    there = tx.parsed(_name_key(point.bucket), _parse_bucket)
    if not isinstance(there, Bucket):
        return None
    found = copy(there)
    found.point = point
    return found


def put_point(tx: Tx, alias: str, point: Point) -> None:
    said: dict[str, Any] = {"point": point.arn, "bucket": point.bucket, "policy": point.policy}
    if point.tags:
        said["tags"] = point.tags
    if point.open:
        said["open"] = point.open
    tx.put(_name_key(alias), orjson.dumps(said))


def delete_point(tx: Tx, alias: str) -> None:
    tx.delete(_name_key(alias))


@lru_cache(maxsize=1000)
def _name_key(name: str) -> bytes:
    return _NAMES.key(name)


def _parse_bucket(raw: bytes) -> Bucket | Point:
    said = orjson.loads(raw)
    if "point" in said:
        tags, opened = said.get("tags") or {}, tuple(said.get("open") or ())
        return Point(said["point"], said["bucket"], said["policy"], tags, opened)
    return Bucket(**said)


def make_bucket(tx: Tx, name: str, account: str, region: str, ownership: str) -> Bucket:
    bucket = Bucket(
        name, account, region, tx.stamp(), int(tx.time_s * 1000), ownership, blocks_sse_c=True
    )
    put_bucket(tx, bucket)
    tx.put(Keyspace(account, "", "s3")["mine"].key(name), orjson.dumps(region))
    return bucket


def make_table_bucket(
    tx: Tx, name: str, account: str, region: str, table: tuple[str, bool], ownership: str
) -> Bucket:
    """In nobody's list. ``table``: (ARN, whether only services write it)."""
    now_ms = int(tx.time_s * 1000)
    bucket = Bucket(name, account, region, tx.stamp(), now_ms, ownership, table=table)
    put_bucket(tx, bucket)
    return bucket


def put_bucket(
    tx: Tx,
    bucket: Bucket,
    *,
    ownership: str | None = None,
    has_policy: bool | None = None,
    on: frozenset[str] | None = None,
    versioning: str | None = None,
    blocks_sse_c: bool | None = None,
) -> None:
    """The bucket's record, with what is given changed; ownership "" for none."""
    value = {
        "name": bucket.name,
        "account": bucket.account,
        "region": bucket.region,
        "id": bucket.id,
        "created_ms": bucket.created_ms,
        "ownership": bucket.ownership if ownership is None else ownership or None,
        "has_policy": bucket.has_policy if has_policy is None else has_policy,
    }
    if features := sorted(bucket.on if on is None else on):
        value["on"] = features
    if status := bucket.versioning if versioning is None else versioning:
        value["versioning"] = status
    if bucket.blocks_sse_c if blocks_sse_c is None else blocks_sse_c:
        value["blocks_sse_c"] = True
    if bucket.table:
        value["table"] = [bucket.table, bucket.read_only]
    tx.put(_name_key(bucket.name), orjson.dumps(value))


def account_block(tx: Tx, account: str) -> dict[str, bool] | None:
    found: dict[str, bool] | None = tx.parsed(_block_key(account), orjson.loads)
    return found


def put_account_block(tx: Tx, account: str, block: dict[str, bool] | None) -> None:
    if block is None:
        tx.delete(_block_key(account))
    else:
        tx.put(_block_key(account), orjson.dumps(block))


@lru_cache(maxsize=1000)
def _block_key(account: str) -> bytes:
    return Keyspace(account, "", "s3").key("block")


def delete_bucket(tx: Tx, bucket: Bucket) -> None:
    tx.delete(_name_key(bucket.name))
    tx.delete(Keyspace(bucket.account, "", "s3")["mine"].key(bucket.name))
    for key, _ in list(tx.scan(bucket.config.span())):
        tx.delete(key)


def every_bucket(tx: Tx) -> Iterator[Bucket]:
    """Of all accounts and regions."""
    for _, raw in tx.scan(_NAMES.span()):
        found = _parse_bucket(raw)
        if isinstance(found, Bucket):
            yield found


def own_buckets(tx: Tx, account: str, prefix: str, after: str) -> Iterator[tuple[str, str]]:
    """(name, region) in order of name, from the first one after ``after``."""
    mine = Keyspace(account, "", "s3")["mine"]
    start = mine.key(max(prefix, after))
    if after >= prefix and after:
        start += b"\x00"
    elif prefix:
        start = start[:-1]  # without the terminator: the prefix itself and what follows
    for key, raw in tx.scan((start, mine.span()[1])):
        (name,) = mine.parts(key)
        assert isinstance(name, str)
        if not name.startswith(prefix):
            return
        yield name, orjson.loads(raw)


def has_objects(tx: Tx, bucket: Bucket) -> bool:
    return any(
        next(tx.scan(rows.span()), None) is not None for rows in (bucket.heads, bucket.versions)
    )


def config(tx: Tx, bucket: Bucket, kind: str) -> Any:
    """The bucket's ``kind`` of configuration, None if it has none. Treat it as frozen."""
    return tx.parsed(bucket.config.key(kind), orjson.loads)


def configs(tx: Tx, bucket: Bucket, start: str, most: int, after: str = "") -> Iterator[Any]:
    """Configurations whose kind begins with ``start``, in order, from the first behind ``after``."""
    low = bucket.config.key(after) + b"\x00" if after > start else bucket.config.key(start)
    high = bucket.config.key(start)[:-1] + b"\xff"
    for _, raw in tx.scan((low, high), limit=most):
        yield orjson.loads(raw)


def put_config(tx: Tx, bucket: Bucket, kind: str, value: Any) -> None:
    tx.put(bucket.config.key(kind), orjson.dumps(value))
    if kind in FEATURES and kind not in bucket.on:
        put_bucket(tx, bucket, on=bucket.on | {kind})


def delete_config(tx: Tx, bucket: Bucket, kind: str) -> None:
    tx.delete(bucket.config.key(kind))
    if kind in bucket.on:
        put_bucket(tx, bucket, on=bucket.on - {kind})


# -- objects


def head(tx: Tx, bucket: Bucket, key: bytes) -> Head | None:
    raw = tx.get(bucket.heads.key(key))
    return None if raw is None else _decode_head(raw)


def put_head(tx: Tx, bucket: Bucket, key: bytes, head: Head) -> None:
    tx.put(bucket.heads.key(key), _encode(head))


def put_row(tx: Tx, row: bytes, head: Head) -> None:
    """A version, current or older, back into the row it was read from."""
    tx.put(row, _encode(head))


def delete_head(tx: Tx, bucket: Bucket, key: bytes) -> None:
    tx.delete(bucket.heads.key(key))


def _body_key(bucket: Bucket, key: bytes, order: int) -> bytes:
    return bucket.bodies.key(key, order) if order else bucket.bodies.key(key)


def put_body(tx: Tx, bucket: Bucket, key: bytes, order: int, data: bytes) -> None:
    tx.put(_body_key(bucket, key, order), data)


def body(tx: Tx, bucket: Bucket, key: bytes, order: int) -> bytes:
    data = tx.get(_body_key(bucket, key, order))
    assert data is not None, (bucket.name, key, order)
    return data


def delete_body(tx: Tx, bucket: Bucket, key: bytes, order: int) -> None:
    tx.delete(_body_key(bucket, key, order))


# -- versions that are not current


def older(tx: Tx, bucket: Bucket, key: bytes, order: int) -> Head | None:
    raw = tx.get(bucket.versions.key(key, -order))
    return None if raw is None else _decode_head(raw)


def put_older(tx: Tx, bucket: Bucket, key: bytes, head: Head) -> None:
    tx.put(bucket.versions.key(key, -head.order), _encode(head))
    if not head.version:
        tx.put(bucket.nulls.key(key), head.order.to_bytes(8, "big"))


def delete_older(tx: Tx, bucket: Bucket, key: bytes, head: Head) -> None:
    tx.delete(bucket.versions.key(key, -head.order))
    if not head.version:
        tx.delete(bucket.nulls.key(key))


def newest_older(tx: Tx, bucket: Bucket, key: bytes) -> Head | None:
    for _, raw in tx.scan(bucket.versions.span(key), limit=1):
        return _decode_head(raw)
    return None


def null_order(tx: Tx, bucket: Bucket, key: bytes) -> int | None:
    """Of the null version, if it is not the current one."""
    raw = tx.get(bucket.nulls.key(key))
    return None if raw is None else int.from_bytes(raw, "big")


decode_head = _decode_head


# -- access log


def put_log_line(tx: Tx, bucket: Bucket, line: str) -> None:
    tx.put(bucket.log.key(tx.stamp()), line.encode())


def log_lines(tx: Tx, bucket: Bucket, most: int) -> list[tuple[bytes, str]]:
    """(row, line), oldest first."""
    return [(row, raw.decode()) for row, raw in tx.scan(bucket.log.span(), limit=most)]


# -- uploads and parts


def upload(tx: Tx, bucket: Bucket, key: bytes, upload_id: str) -> Upload | None:
    raw = tx.get(bucket.uploads.key(key, upload_id))
    return None if raw is None else decode_upload(raw)


def put_upload(tx: Tx, bucket: Bucket, key: bytes, upload_id: str, value: Upload) -> None:
    tx.put(bucket.uploads.key(key, upload_id), _encode(value))


def delete_upload(tx: Tx, bucket: Bucket, key: bytes, upload_id: str) -> None:
    tx.delete(bucket.uploads.key(key, upload_id))


def part(tx: Tx, bucket: Bucket, upload_id: str, number: int) -> Part | None:
    raw = tx.get(bucket.parts.key(upload_id, number))
    return None if raw is None else _decode_part(raw)


def put_part(tx: Tx, bucket: Bucket, upload_id: str, number: int, value: Part) -> None:
    tx.put(bucket.parts.key(upload_id, number), _encode(value))


def part_body(tx: Tx, bucket: Bucket, upload_id: str, number: int) -> bytes:
    data = tx.get(bucket.part_bodies.key(upload_id, number))
    assert data is not None, (bucket.name, upload_id, number)
    return data


def put_part_body(tx: Tx, bucket: Bucket, upload_id: str, number: int, data: bytes) -> None:
    tx.put(bucket.part_bodies.key(upload_id, number), data)


def delete_part(tx: Tx, bucket: Bucket, upload_id: str, number: int) -> None:
    """The rows; its blobs are the caller's to unlink."""
    tx.delete(bucket.parts.key(upload_id, number))
    tx.delete(bucket.part_bodies.key(upload_id, number))


def parts(
    tx: Tx, bucket: Bucket, upload_id: str, first: int = 0, last: int = 10_000
) -> Iterator[tuple[int, Part]]:
    """(number, part) with first <= number <= last, in order."""
    rows = bucket.parts[upload_id]
    for key, raw in tx.scan((rows.key(first), rows.key(last + 1))):
        yield int.from_bytes(key[-8:], "big") - (1 << 63), _decode_part(raw)


# -- annotations


def annotation(tx: Tx, bucket: Bucket, space: int, name: str) -> Annotation | None:
    raw = tx.get(bucket.annotations.key(space, name))
    return None if raw is None else decode_annotation(raw)


def put_annotation(
    tx: Tx, bucket: Bucket, space: int, name: str, value: Annotation, body: bytes | None
) -> None:
    """In place of one that may be there, whose blob is the caller's to unlink."""
    tx.put(bucket.annotations.key(space, name), _encode(value))
    if body is None:
        tx.delete(bucket.annotation_bodies.key(space, name))
    else:
        tx.put(bucket.annotation_bodies.key(space, name), body)


def annotation_body(tx: Tx, bucket: Bucket, space: int, name: str) -> bytes:
    data = tx.get(bucket.annotation_bodies.key(space, name))
    assert data is not None, (bucket.name, space, name)
    return data


def delete_annotation(tx: Tx, bucket: Bucket, space: int, name: str) -> None:
    """The rows; its blob is the caller's to unlink."""
    tx.delete(bucket.annotations.key(space, name))
    tx.delete(bucket.annotation_bodies.key(space, name))


def annotations_of(
    tx: Tx, bucket: Bucket, space: int, prefix: str = "", after: str = ""
) -> Iterator[tuple[str, Annotation]]:
    """Those whose names begin with ``prefix``, in order, from the first behind ``after``."""
    rows = bucket.annotations[space]
    low, high = rows.span()
    if prefix:
        low = rows.key(prefix)[:-1]  # without the terminator: the prefix itself and what follows
    if after >= prefix and after:
        low = rows.key(after) + b"\x00"
    for key, raw in tx.scan((low, high)):
        (name,) = rows.parts(key)
        assert isinstance(name, str)
        if not name.startswith(prefix):
            return
        yield name, decode_annotation(raw)


# -- walking keys in order, for listings


def escape(raw: bytes) -> bytes:
    return b"\x01" + raw.replace(b"\x00", b"\x00\xff")


def walk(rows: Keyspace, start: bytes, stop: bytes) -> Span:
    """A span of ``rows`` between two of the bounds below."""
    return rows.prefix + start, rows.prefix + stop


def at_prefix(prefix: bytes) -> bytes:
    """The first row whose key starts with ``prefix``."""
    return escape(prefix)


def past_prefix(prefix: bytes) -> bytes:
    """Behind the last such row: no byte of UTF-8 is 0xFF."""
    return escape(prefix) + b"\xff"


def past_key(key: bytes) -> bytes:
    """Behind the rows of exactly ``key``: its uploads and versions too, whose ids follow as str or int."""
    return escape(key) + b"\x00\x16"


def past_order(key: bytes, order: int) -> bytes:
    """Behind one version of ``key``, be it current or older."""
    return pack((key, -order)) + b"\x00"


def past_current(key: bytes) -> bytes:
    """Behind the current version of ``key``, before the older ones."""
    return escape(key) + b"\x00\x01"


def key_of(rows: Keyspace, row: bytes) -> bytes:
    """The object key in a row's key, whether or not an upload id or an order follows."""
    return key_in(row, len(rows.prefix))


def key_in(row: bytes, at: int = 0) -> bytes:
    """The object key that begins at ``at``."""
    start = at + 1
    end = row.find(b"\x00", start)
    while row[end + 1 : end + 2] == b"\xff":
        end = row.find(b"\x00", end + 2)
    raw = row[start:end]
    return raw.replace(b"\x00\xff", b"\x00") if b"\x00" in raw else raw


def upload_id_of(rows: Keyspace, row: bytes) -> str:
    _, upload_id = rows.parts(row)
    assert isinstance(upload_id, str)
    return upload_id


def past_upload(key: bytes, upload_id: str) -> bytes:
    """Behind the row of one upload."""
    return (
        escape(key) + b"\x00\x02" + upload_id.encode().replace(b"\x00", b"\x00\xff") + b"\x00\x00"
    )
