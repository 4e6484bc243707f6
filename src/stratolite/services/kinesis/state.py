"""The keys of Kinesis, see the front page; the only file that knows them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import orjson

from stratolite.core import Keyspace, Span, Tx
from stratolite.services.kinesis import blocks
from stratolite.services.kinesis.names import Ref
from stratolite.services.kinesis.sequence import Position

Record = dict[str, Any]
"""Parsed and shared between transactions: never change one, put a new one."""
_RATE_SHARDS = 64
_encode = msgspec.msgpack.Encoder().encode
_decode_route = msgspec.msgpack.Decoder(list[tuple[bytes, int, int]]).decode
Rates = dict[int, list[int]]
_decode_rate = msgspec.msgpack.Decoder(tuple[int, Rates]).decode


def keys_of(ref: Ref) -> Keyspace:
    return Keyspace(ref.account, ref.region, "kinesis")


# -- streams


def get_stream(tx: Tx, ref: Ref) -> Record | None:
    return tx.parsed(keys_of(ref).key("stream", ref.name), orjson.loads)


def put_stream(tx: Tx, ref: Ref, stream: Record) -> None:
    tx.put(keys_of(ref).key("stream", ref.name), orjson.dumps(stream))


def streams(tx: Tx, keys: Keyspace, after: str) -> Iterator[tuple[str, Record]]:
    yield from _named(tx, keys["stream"], after)


def drop_stream(tx: Tx, ref: Ref, stream: Record) -> list[Span]:
    """Forget the stream; the spans of what it leaves behind."""
    keys = keys_of(ref)
    tx.delete(keys.key("stream", ref.name))
    tx.delete(keys.key("route", stream["id"]))
    kinds = ("shard", "record", "second", "rate", "consumer", "subscription")
    return [keys.span(kind, stream["id"]) for kind in kinds]


def usage(tx: Tx, keys: Keyspace) -> Record:
    return tx.parsed(keys.key("usage"), orjson.loads) or {"shards": 0, "on_demand": 0}


def count(tx: Tx, keys: Keyspace, *, shards: int = 0, on_demand: int = 0) -> None:
    now = usage(tx, keys)
    changed = {"shards": now["shards"] + shards, "on_demand": now["on_demand"] + on_demand}
    tx.put(keys.key("usage"), orjson.dumps(changed))


# -- shards


def get_shard(tx: Tx, ref: Ref, stream: Record, number: int) -> Record | None:
    return tx.parsed(keys_of(ref).key("shard", stream["id"], number), orjson.loads)


def put_shard(tx: Tx, ref: Ref, stream: Record, number: int, shard: Record) -> None:
    tx.put(keys_of(ref).key("shard", stream["id"], number), orjson.dumps(shard))


def drop_shard(tx: Tx, ref: Ref, stream: Record, number: int) -> None:
    """A closed one without records."""
    tx.delete(keys_of(ref).key("shard", stream["id"], number))


def shards(tx: Tx, ref: Ref, stream: Record, start: int = 0) -> Iterator[tuple[int, Record]]:
    """From number ``start`` on."""
    space = keys_of(ref)["shard"][stream["id"]]
    for key, raw in tx.scan((space.key(start), space.span()[1])):
        (number,) = space.parts(key)
        assert isinstance(number, int)
        yield number, orjson.loads(raw)


class Route(NamedTuple):
    """Which open shard a hash key belongs to."""

    starts: list[bytes]
    numbers: list[int]
    created_s: list[int]

    def at(self, hash_key: bytes) -> int:
        """Index of the shard of a 16-byte hash key."""
        return bisect_right(self.starts, hash_key) - 1


def _route(raw: bytes) -> Route:
    rows = _decode_route(raw)
    return Route([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])


def route(tx: Tx, ref: Ref, stream: Record) -> Route:
    found = tx.parsed(keys_of(ref).key("route", stream["id"]), _route)
    assert found is not None, ref
    return found


def put_route(tx: Tx, ref: Ref, stream: Record, rows: list[tuple[bytes, int, int]]) -> None:
    """Rows of (first hash key, number, second it began), in order of the first."""
    tx.put(keys_of(ref).key("route", stream["id"]), _encode(rows))


# -- records


class Block(NamedTuple):
    stamp: int
    first: int
    """Place of its first record among those that the call wrote to the shard."""
    head: blocks.Head
    value: bytes


def put_block(
    tx: Tx, ref: Ref, stream: Record, number: int, place: Position, values: list[bytes]
) -> None:
    space = keys_of(ref)["record"][stream["id"]][number][place.stamp]
    for part, value in enumerate(values):
        tx.put(space.key(place.place, part), value)


def block_span(ref: Ref, stream: Record, number: int) -> Span:
    return keys_of(ref).span("record", stream["id"], number)


def shard_span(ref: Ref, stream: Record, number: int) -> Span:
    return keys_of(ref).span("shard", stream["id"], number)


def read_blocks(tx: Tx, ref: Ref, stream: Record, number: int, start: Position) -> Iterator[Block]:
    """Blocks of the call of ``start`` and later ones, oldest first."""
    space = keys_of(ref)["record"][stream["id"]][number]
    rows = tx.scan((space.key(start.stamp), space.span()[1]))
    for key, value in rows:
        stamp, first, _ = space.parts(key)
        head = blocks.head(value)
        whole = value
        if head.parts > 1:
            whole = b"".join([value, *(next(rows)[1] for _ in range(head.parts - 1))])
        assert isinstance(stamp, int)
        assert isinstance(first, int)
        yield Block(stamp, first, head, whole)


def end_of(tx: Tx, ref: Ref, stream: Record, number: int) -> Position:
    """Behind the newest record."""
    space = keys_of(ref)["record"][stream["id"]][number]
    for key, _ in tx.scan(space.span(), reverse=True, limit=1):
        stamp = space.parts(key)[0]
        assert isinstance(stamp, int)
        return Position(stamp + 1, 0)
    return Position(0, 0)


def mark_second(tx: Tx, ref: Ref, stream: Record, number: int, second: int, stamp: int) -> None:
    key = keys_of(ref).key("second", stream["id"], number, second)
    if tx.get(key) is None:
        tx.put(key, b"%d" % stamp)


def from_second(tx: Tx, ref: Ref, stream: Record, number: int, second: int) -> Position:
    """Where records of ``second`` or later begin; behind the newest if there are none."""
    space = keys_of(ref)["second"][stream["id"]][number]
    for _, raw in tx.scan((space.key(second), space.span()[1]), limit=1):
        return Position(int(raw), 0)
    return end_of(tx, ref, stream, number)


def trim_page(tx: Tx, ref: Ref, stream: Record, number: int, before_ms: int, most: int) -> bool:
    """Delete up to ``most`` rows of records that arrived before ``before_ms``; whether some are left."""
    space = keys_of(ref)["record"][stream["id"]][number]
    seconds = keys_of(ref)["second"][stream["id"]][number]
    stop = space.span()[1]
    for _, raw in tx.scan((seconds.key(before_ms // 1000), seconds.span()[1]), limit=1):
        stop = space.key(int(raw))
    gone = list(tx.scan((space.span()[0], stop), limit=most))
    for at, (key, value) in enumerate(gone):
        _, _, part = space.parts(key)
        if part == 0 and blocks.head(value).arrival_ms >= before_ms:
            gone = gone[:at]
            break
        tx.delete(key)
    old = list(tx.scan((seconds.span()[0], seconds.key(before_ms // 1000)), limit=most))
    for key, _ in old:
        tx.delete(key)
    return len(gone) == most or len(old) == most


def has_records(tx: Tx, ref: Ref, stream: Record, number: int) -> bool:
    return any(True for _ in tx.scan(block_span(ref, stream, number), limit=1))


# -- rates


class Written:
    """What was written to shards in the present second, read as needed and put back once."""

    def __init__(self, tx: Tx, ref: Ref, stream: Record) -> None:
        self._tx = tx
        self._space = keys_of(ref)["rate"][stream["id"]]
        self._rows: dict[int, Rates] = {}
        self._second = int(tx.time_s)
        self.fresh: set[int] = set()
        """Rows whose second has just begun."""

    def of(self, number: int) -> list[int]:
        """[bytes, records], to be changed in place."""
        slot = number // _RATE_SHARDS
        row = self._rows.get(slot)
        if row is None:
            row = {}
            raw = self._tx.get(self._space.key(slot))
            if raw is not None:
                second, known = _decode_rate(raw)
                if second == self._second:
                    row = known
            self._rows[slot] = row
        found = row.get(number)
        if found is None:
            found = row[number] = [0, 0]
            self.fresh.add(number)
        return found

    def put(self) -> None:
        for slot, row in self._rows.items():
            self._tx.put(self._space.key(slot), _encode((self._second, row)))


# -- consumers


def get_consumer(tx: Tx, ref: Ref, stream: Record, name: str) -> Record | None:
    return tx.parsed(keys_of(ref).key("consumer", stream["id"], name), orjson.loads)


def put_consumer(tx: Tx, ref: Ref, stream: Record, name: str, consumer: Record) -> None:
    tx.put(keys_of(ref).key("consumer", stream["id"], name), orjson.dumps(consumer))


def drop_consumer(tx: Tx, ref: Ref, stream: Record, name: str) -> None:
    keys = keys_of(ref)
    tx.delete(keys.key("consumer", stream["id"], name))
    for key, _ in list(tx.scan(keys.span("subscription", stream["id"], name))):
        tx.delete(key)


def consumers(tx: Tx, ref: Ref, stream: Record, after: str = "") -> Iterator[tuple[str, Record]]:
    yield from _named(tx, keys_of(ref)["consumer"][stream["id"]], after)


def subscription_key(ref: Ref, stream: Record, name: str, number: int) -> bytes:
    return keys_of(ref).key("subscription", stream["id"], name, number)


def _named(tx: Tx, space: Keyspace, after: str) -> Iterator[tuple[str, Record]]:
    start, stop = space.span()
    if after:
        start = space.key(after) + b"\x00"
    for key, raw in tx.scan((start, stop)):
        (name,) = space.parts(key)
        yield str(name), orjson.loads(raw)


# -- the account


def commitment(tx: Tx, keys: Keyspace) -> Record:
    """{started_s, ends_s}, each null while it is not so; a copy."""
    raw = tx.get(keys.key("commitment"))
    return {"started_s": None, "ends_s": None} if raw is None else orjson.loads(raw)


def put_commitment(tx: Tx, keys: Keyspace, record: Record) -> None:
    tx.put(keys.key("commitment"), orjson.dumps(record))
