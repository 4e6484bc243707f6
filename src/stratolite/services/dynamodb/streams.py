"""A table's streams in the store: their records, the shards these lie in, and when they are forgotten.

Under (account, region, "dynamodb"):

    ("stream", table name, label)             -> JSON, see ``Stream``; there until 24 hours after the stream ended
    ("change", stream, second, stamp)         -> one stream record, written with the item it is about; see below

``stream`` is a number no other stream ever had, ``second`` the cloud clock's when it was written, ``stamp`` its
transaction's. A record (in pieces where it is long, as items are, see ``state``):

    {"e": "INSERT" | "MODIFY" | "REMOVE", "u": 1 if the time to live ended it, "k": keys, "n": new item, "o": old item}

A stream has one open shard. Shard ``i`` holds the records of the seconds from created + 4 h x i to the next one's, so
shards need no rows of their own and close by the clock alone. A sequence number is the second (10 digits) and the stamp
(20 digits), which grows with the stream.
Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from stratolite.core import Keyspace, Span, Tx, work
from stratolite.core.keys import span_of
from stratolite.services.dynamodb import state
from stratolite.services.dynamodb.sealing import Seal
from stratolite.services.dynamodb.values import Item

TRIM = "dynamodb.trim"
SHARD_S = 4 * 3600
RETENTION_S = 24 * 3600
_SIGN = 1 << 63
_LAST_STAMP = 10**20 - 1


class Stream:
    """The stored record (JSON): {"Number", "Table", "Label", "View", "Keys": its table's KeySchema, "Created": s}

    and, once it is disabled, {"Closed": s}; {"Sse"} while its table is or was under a KMS key (see ``keyring``).
    """

    def __init__(self, account: str, region: str, record: dict[str, Any]) -> None:
        self.account, self.region, self.record = account, region, record
        self.number: int = record["Number"]
        self.table: str = record["Table"]
        self.label: str = record["Label"]
        self.view: str = record["View"]
        self.created_s: int = int(record["Created"])
        self.sse: dict[str, Any] | None = record.get("Sse")
        self.closed_s: int | None = record.get("Closed")
        self.space = Keyspace(account, region, "dynamodb")

    @property
    def arn(self) -> str:
        return (
            f"arn:aws:dynamodb:{self.region}:{self.account}:table/{self.table}/stream/{self.label}"
        )


class Place(NamedTuple):
    """Between two records: behind the one at (second, stamp)."""

    second: int
    stamp: int


class Shard(NamedTuple):
    """The records of the seconds from ``start_s`` up to ``stop_s``; None: it is open."""

    number: int
    id: str
    parent: str | None
    start_s: int
    stop_s: int | None


def sequence(place: Place) -> str:
    return f"{place.second:010d}{place.stamp:020d}"


def place_of(number: str) -> Place | None:
    """What a sequence number says, None if it is none of ours."""
    if not (number.isascii() and number.isdigit()) or len(number) != 30:
        return None
    return Place(int(number[:10]), int(number[10:]))


# -- streams


def find(tx: Tx, account: str, region: str, table: str, label: str) -> Stream | None:
    raw = tx.get(Keyspace(account, region, "dynamodb").key("stream", table, label))
    return None if raw is None else Stream(account, region, orjson.loads(raw))


def put(tx: Tx, stream: Stream) -> None:
    tx.put(stream.space.key("stream", stream.table, stream.label), orjson.dumps(stream.record))


def listed(
    tx: Tx, account: str, region: str, table: str | None, after: tuple[str, str] | None
) -> Iterator[Stream]:
    """Streams behind ``after`` (table, label), by table and label; lazily."""
    keys = Keyspace(account, region, "dynamodb")
    start, stop = keys.span("stream") if table is None else keys.span("stream", table)
    if after is not None:
        start = max(start, keys.key("stream", *after) + b"\x00")
    if start < stop:
        for _, raw in tx.scan((start, stop)):
            yield Stream(account, region, orjson.loads(raw))


def begin(
    tx: Tx,
    account: str,
    region: str,
    table: str,
    view: str,
    schema: list[dict[str, str]],
    sse: dict[str, Any] | None,
) -> Stream:
    """A new stream for ``table``; its label is the time, made unique."""
    milliseconds = int(tx.time_s * 1000)
    while True:
        moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
        label = f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}"
        if find(tx, account, region, table, label) is None:
            break
        milliseconds += 1
    record = {
        "Number": tx.stamp(),
        "Table": table,
        "Label": label,
        "View": view,
        "Keys": schema,
        "Created": round(tx.time_s, 3),
    }
    if sse is not None:
        record["Sse"] = sse
    stream = Stream(account, region, record)
    put(tx, stream)
    work.put(tx, TRIM, trim_payload(stream), due_s=tx.time_s + RETENTION_S + 1)
    return stream


def end(tx: Tx, account: str, region: str, table: str, label: str) -> None:
    """No more records; those there are can be read for 24 hours."""
    stream = find(tx, account, region, table, label)
    if stream is not None and stream.closed_s is None:
        put(tx, Stream(account, region, {**stream.record, "Closed": int(tx.time_s)}))


def put_under(tx: Tx, account: str, region: str, table: str, sse: dict[str, Any] | None) -> None:
    """The records of all of a table's streams are, or are to be, under what ``sse`` says."""
    for stream in list(listed(tx, account, region, table, None)):
        record = {k: v for k, v in stream.record.items() if k != "Sse"}
        put(tx, Stream(account, region, record if sse is None else record | {"Sse": sse}))


def prefix_of(stream: Stream) -> bytes:
    """Of the rows of its records."""
    return _prefix(stream.account, stream.region, stream.number)


def trim_payload(stream: Stream) -> bytes:
    return orjson.dumps([stream.account, stream.region, stream.table, stream.label])


# -- shards


def shards(stream: Stream, now_s: float) -> list[Shard]:
    """Those that may still have records, oldest first."""
    end_s = int(now_s) if stream.closed_s is None else stream.closed_s
    last = (end_s - stream.created_s) // SHARD_S
    first = max(0, (int(now_s) - RETENTION_S - stream.created_s) // SHARD_S)
    return [shard(stream, index, last) for index in range(min(first, last), last + 1)]


def shard(stream: Stream, index: int, last: int) -> Shard:
    start_s = stream.created_s + index * SHARD_S
    stop_s: int | None = start_s + SHARD_S
    if index == last:
        stop_s = None if stream.closed_s is None else stream.closed_s + 1
    parent = _shard_id(stream.number, index - 1, start_s - SHARD_S) if index else None
    return Shard(index, _shard_id(stream.number, index, start_s), parent, start_s, stop_s)


def _shard_id(number: int, index: int, start_s: int) -> str:
    mark = zlib.crc32(f"{number}/{index}".encode())
    return f"shardId-{start_s * 1000:020d}-{mark:08x}"


def first_sequence(found: Shard) -> str:
    return sequence(Place(found.start_s, 0))


def last_sequence(found: Shard) -> str | None:
    return None if found.stop_s is None else sequence(Place(found.stop_s - 1, _LAST_STAMP))


# -- records


@lru_cache(maxsize=4096)
def _prefix(account: str, region: str, number: int) -> bytes:
    return Keyspace(account, region, "dynamodb").key("change", number)


def _row(prefix: bytes, second: int, stamp: int) -> bytes:
    return b"%b\x15%b\x15%b" % (
        prefix,
        (second + _SIGN).to_bytes(8, "big"),
        (stamp + _SIGN).to_bytes(8, "big"),
    )


def write(
    tx: Tx,
    prefix: bytes,
    view: str,
    key: Item,
    before: bytes | None,
    after: bytes | None,
    seal: Seal | None,
    *,
    expired: bool = False,
) -> None:
    """Leave a record of an item that changed from ``before`` to ``after`` (their JSON, None: no such item)."""
    raw = form(view, key, before, after, expired=expired)
    state.put(tx, _row(prefix, int(tx.time_s), tx.stamp()), raw, None, seal)


def form(
    view: str, key: Item, before: bytes | None, after: bytes | None, *, expired: bool
) -> bytes:
    event = b"INSERT" if before is None else b"REMOVE" if after is None else b"MODIFY"
    parts = [b'{"e":"%b"' % event, b',"u":1' if expired else b"", b',"k":', orjson.dumps(key)]
    if after is not None and view in ("NEW_IMAGE", "NEW_AND_OLD_IMAGES"):
        parts += (b',"n":', after)
    if before is not None and view in ("OLD_IMAGE", "NEW_AND_OLD_IMAGES"):
        parts += (b',"o":', before)
    parts.append(b"}")
    return b"".join(parts)


def read(
    tx: Tx, stream: Stream, after: Place, stop_s: int, seal: Seal | None
) -> Iterator[tuple[Place, dict[str, Any], int]]:
    """(place, record, its bytes) behind ``after`` and before the second ``stop_s``, lazily."""
    prefix = _prefix(stream.account, stream.region, stream.number)
    start = _row(prefix, *after) + b"\xff"
    stop = _row(prefix, stop_s, 0)
    if start >= stop:
        return
    for row, raw in state.rows(tx, (start, stop), seal):
        yield _place(row), orjson.loads(raw), len(raw)


def newest(tx: Tx, stream: Stream, start_s: int, stop_s: int) -> Place | None:
    """Where the last record of these seconds lies."""
    prefix = _prefix(stream.account, stream.region, stream.number)
    span = _row(prefix, start_s, 0), _row(prefix, stop_s, 0)
    for row in state.row_keys(tx, span, reverse=True):
        return _place(row)
    return None


def _place(row: bytes) -> Place:
    return Place(
        int.from_bytes(row[-17:-9], "big") - _SIGN, int.from_bytes(row[-8:], "big") - _SIGN
    )


def old_span(stream: Stream, before_s: int) -> Span:
    """The rows of all records from before the second ``before_s``."""
    prefix = _prefix(stream.account, stream.region, stream.number)
    start, _ = span_of(prefix)
    return start, _row(prefix, before_s, 0)


def news_spans(stream: Stream) -> tuple[Span, Span]:
    """What changes when a change is written, and when the stream ends."""
    keys = Keyspace(stream.account, stream.region, "dynamodb")
    row = keys.key("stream", stream.table, stream.label)
    return span_of(_prefix(stream.account, stream.region, stream.number)), (row, row + b"\x00")


def first_second(tx: Tx, stream: Stream) -> int | None:
    """When the oldest record was written."""
    for row, _ in tx.scan(span_of(_prefix(stream.account, stream.region, stream.number)), limit=1):
        return _place(row).second
    return None


def delete(tx: Tx, stream: Stream) -> None:
    tx.delete(stream.space.key("stream", stream.table, stream.label))
