"""The keys of Firehose, see the front page; the only file that knows them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import orjson

from stratolite.core import Keyspace, Span, Tx
from stratolite.core.dropping import delete_page
from stratolite.service import Cloud
from stratolite.services.firehose.quotas import BLOCK_BYTES

Record = dict[str, Any]
"""Parsed and shared between transactions: never change one, put a new one."""


class Ref(NamedTuple):
    account: str
    region: str
    name: str

    @property
    def keys(self) -> Keyspace:
        return Keyspace(self.account, self.region, "firehose")

    @property
    def arn(self) -> str:
        return f"arn:aws:firehose:{self.region}:{self.account}:deliverystream/{self.name}"

    def measure(self, cloud: Cloud, name: str, value: float, unit: str = "Count") -> None:
        """A sample of one of AWS/Firehose's metrics of the stream."""
        dimensions = (("DeliveryStreamName", self.name),)
        cloud.measure(self.account, self.region, "AWS/Firehose", dimensions, name, value, unit)


class Row(NamedTuple):
    """A record in the buffer."""

    data: bytes
    arrival_ms: int
    metadata: dict[str, Any] | None
    """Of a record from Kinesis: what a function is told of it."""


Block = tuple[int, list[bytes], list[dict[str, Any]] | None]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Block).decode


# -- streams


def get_stream(tx: Tx, ref: Ref) -> Record | None:
    return tx.parsed(ref.keys.key("stream", ref.name), orjson.loads)


def put_stream(tx: Tx, ref: Ref, stream: Record) -> None:
    tx.put(ref.keys.key("stream", ref.name), orjson.dumps(stream))


def stream_span(ref: Ref) -> Span:
    key = ref.keys.key("stream", ref.name)
    return key, key + b"\0"


def streams(tx: Tx, keys: Keyspace, after: str) -> Iterator[tuple[str, Record]]:
    space = keys["stream"]
    start, stop = space.span()
    if after:
        start = space.key(after) + b"\0"
    for key, raw in tx.scan((start, stop)):
        yield str(space.parts(key)[0]), orjson.loads(raw)


def drop_stream(tx: Tx, ref: Ref, stream: Record) -> list[Span]:
    """Forget the stream; the spans of what it leaves behind."""
    tx.delete(ref.keys.key("stream", ref.name))
    kinds = ("gathering", "buffer", "cut", "shard")
    return [ref.keys.span(kind, stream["id"]) for kind in kinds]


# -- the buffer

_EMPTY: Record = {"number": 0, "first": 0, "bytes": 0, "records": 0, "since_s": 0.0, "waiting": 0}


def gathering(tx: Tx, ref: Ref, stream_id: int) -> Record:
    raw = tx.get(ref.keys.key("gathering", stream_id))
    return orjson.loads(raw) if raw is not None else dict(_EMPTY)


def put_gathering(tx: Tx, ref: Ref, stream_id: int, record: Record) -> None:
    tx.put(ref.keys.key("gathering", stream_id), orjson.dumps(record))


def put_block(
    tx: Tx,
    ref: Ref,
    stream_id: int,
    stamp: int,
    arrival_ms: int,
    datas: list[bytes],
    metadata: list[dict[str, Any]] | None,
) -> None:
    space = ref.keys["buffer"][stream_id][stamp]
    first = size = number = 0
    for at, data in enumerate(datas):
        if at > first and size + len(data) > BLOCK_BYTES:
            block = (arrival_ms, datas[first:at], metadata and metadata[first:at])
            tx.put(space.key(number), _encode(block))
            first, size, number = at, 0, number + 1
        size += len(data)
    tx.put(space.key(number), _encode((arrival_ms, datas[first:], metadata and metadata[first:])))


def read_buffer(
    tx: Tx, ref: Ref, stream_id: int, after: tuple[int, int], last: int, size_bytes: int
) -> tuple[list[Row], tuple[int, int] | None]:
    """About ``size_bytes`` of records behind place ``after``, up to stamp ``last``; the place, None at the end."""
    space = ref.keys["buffer"][stream_id]
    rows: list[Row] = []
    stop = space.key(last + 1)
    for key, raw in tx.scan((space.key(*after) + b"\0", stop)):
        stamp, number = space.parts(key)
        assert isinstance(stamp, int)
        assert isinstance(number, int)
        arrival_ms, datas, metadata = _decode(raw)
        rows += [
            Row(data, arrival_ms, metadata[n] if metadata else None) for n, data in enumerate(datas)
        ]
        size_bytes -= len(raw)
        if size_bytes <= 0:
            return rows, (stamp, number)
    return rows, None


def clean_page(tx: Tx, ref: Ref, stream_id: int, first: int, last: int, most: int) -> bool:
    """Delete up to ``most`` rows of the buffer between two stamps; whether some are left."""
    space = ref.keys["buffer"][stream_id]
    return delete_page(tx, (space.key(first), space.key(last + 1)), most)


# -- cuts


def get_cut(tx: Tx, ref: Ref, stream_id: int, number: int) -> Record | None:
    raw = tx.get(ref.keys.key("cut", stream_id, number))
    return orjson.loads(raw) if raw is not None else None


def put_cut(tx: Tx, ref: Ref, stream_id: int, number: int, cut: Record) -> None:
    tx.put(ref.keys.key("cut", stream_id, number), orjson.dumps(cut))


def delete_cut(tx: Tx, ref: Ref, stream_id: int, number: int) -> None:
    tx.delete(ref.keys.key("cut", stream_id, number))


# -- a Kinesis source


def get_shard(tx: Tx, ref: Ref, stream_id: int, shard: str) -> Record | None:
    raw = tx.get(ref.keys.key("shard", stream_id, shard))
    return orjson.loads(raw) if raw is not None else None


def put_shard(tx: Tx, ref: Ref, stream_id: int, shard: str, row: Record) -> None:
    tx.put(ref.keys.key("shard", stream_id, shard), orjson.dumps(row))
