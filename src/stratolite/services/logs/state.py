"""The keys of Logs, see the front page; the only file that knows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson

from stratolite.core import Keyspace, Tx
from stratolite.core.keys import Span

Record = dict[str, Any]
"""Parsed and shared between transactions: never change one, put a new one."""
TIME_MAX = 1 << 62


class Event(NamedTuple):
    ms: int
    stamp: int
    stream: str
    ingested_ms: int
    message: str


Opened = Callable[[bytes], str]
"""The text of a message as it is kept (``sealing``)."""


class Place(NamedTuple):
    """Where an event is in the order of time; exclusive as a bound."""

    ms: int
    stamp: int


# -- groups


def get_group(tx: Tx, keys: Keyspace, name: str) -> Record | None:
    return tx.parsed(keys.key("group", name), orjson.loads)


def put_group(tx: Tx, keys: Keyspace, name: str, group: Record) -> None:
    tx.put(keys.key("group", name), orjson.dumps(group))


def groups(tx: Tx, keys: Keyspace, prefix: str, after: str) -> Iterator[tuple[str, Record]]:
    yield from _named(tx, keys["group"], prefix, after, reverse=False)


def drop_group(tx: Tx, keys: Keyspace, name: str, group: Record) -> list[Span]:
    """Forget the group; the spans of what it leaves behind."""
    tx.delete(keys.key("group", name))
    return [keys.span(kind, group["id"]) for kind in ("stream", "recent", "event", "time")]


# -- streams


def get_stream(tx: Tx, keys: Keyspace, group: int, name: str) -> Record | None:
    return tx.parsed(keys.key("stream", group, name), orjson.loads)


def put_stream(tx: Tx, keys: Keyspace, group: int, name: str, stream: Record) -> None:
    old = get_stream(tx, keys, group, name)
    last = stream["last_ms"] or 0
    if old is None or (old["last_ms"] or 0) != last:
        if old is not None:
            tx.delete(keys.key("recent", group, old["last_ms"] or 0, name))
        tx.put(keys.key("recent", group, last, name), b"")
    tx.put(keys.key("stream", group, name), orjson.dumps(stream))


def drop_stream(tx: Tx, keys: Keyspace, group: int, name: str, stream: Record) -> Span:
    """Forget the stream; the span of its events, whose rows in the order of time must go with them."""
    tx.delete(keys.key("stream", group, name))
    tx.delete(keys.key("recent", group, stream["last_ms"] or 0, name))
    return keys.span("event", group, stream["id"])


def streams(
    tx: Tx, keys: Keyspace, group: int, prefix: str, after: str, *, reverse: bool
) -> Iterator[tuple[str, Record]]:
    yield from _named(tx, keys["stream"][group], prefix, after, reverse=reverse)


def recent_streams(
    tx: Tx, keys: Keyspace, group: int, after: tuple[int, str] | None, *, reverse: bool
) -> Iterator[tuple[int, str]]:
    """(last event's ms, name), by time."""
    recent = keys["recent"][group]
    start, stop = recent.span()
    if after is not None:
        edge = recent.key(*after)
        start, stop = (start, edge) if reverse else (edge + b"\x00", stop)
    for key, _ in tx.scan((start, stop), reverse=reverse):
        last_ms, name = recent.parts(key)
        assert isinstance(last_ms, int)
        yield last_ms, str(name)


def _named(
    tx: Tx, keys: Keyspace, prefix: str, after: str, *, reverse: bool
) -> Iterator[tuple[str, Record]]:
    start, stop = keys.span()
    if prefix:
        start = keys.key(prefix)[:-1]  # without the end mark: everything that begins so
        stop = start + b"\xff\xff"
    if after:
        edge = keys.key(after)
        start, stop = (start, min(stop, edge)) if reverse else (max(start, edge + b"\x00"), stop)
    for key, raw in tx.scan((start, stop), reverse=reverse):
        (name,) = keys.parts(key)
        if str(name).startswith(prefix):
            yield str(name), orjson.loads(raw)


def policies(tx: Tx, keys: Keyspace) -> Record | None:
    return tx.parsed(keys.key("policies"), orjson.loads)


def put_policies(tx: Tx, keys: Keyspace, record: Record) -> None:
    if record["policies"]:
        tx.put(keys.key("policies"), orjson.dumps(record))
    else:
        tx.delete(keys.key("policies"))


# -- names of metric filters


def put_metric_filter(tx: Tx, keys: Keyspace, name: str, group: str) -> None:
    tx.put(keys.key("metric-filter", name, group), b"")


def drop_metric_filter(tx: Tx, keys: Keyspace, name: str, group: str) -> None:
    tx.delete(keys.key("metric-filter", name, group))


def metric_filters(
    tx: Tx, keys: Keyspace, prefix: str, after: tuple[str, str]
) -> Iterator[tuple[str, str]]:
    """(name, group), by name and group, behind ``after``."""
    space = keys["metric-filter"]
    start, stop = space.span()
    if prefix:
        start = space.key(prefix)[:-1]  # without the end mark: everything that begins so
        stop = start + b"\xff\xff"
    if after[0]:
        start = max(start, space.key(*after) + b"\x00")
    for key, _ in tx.scan((start, stop)):
        name, group = space.parts(key)
        if str(name).startswith(prefix):
            yield str(name), str(group)


# -- events


def put_event(
    tx: Tx,
    keys: Keyspace,
    group: int,
    stream: tuple[int, str],
    ms: int,
    now_ms: int,
    message: bytes,
) -> int:
    """The stamp it is kept under. ``message`` is as ``sealing`` makes it."""
    stamp = tx.stamp()
    tx.put(keys.key("event", group, stream[0], ms, stamp), now_ms.to_bytes(8, "big") + message)
    tx.put(keys.key("time", group, ms, stamp), stream[0].to_bytes(8, "big") + stream[1].encode())
    return stamp


def message(tx: Tx, keys: Keyspace, group: int, stream: int, ms: int, stamp: int) -> bytes | None:
    """Of one event as it is kept, None if it is gone."""
    raw = tx.get(keys.key("event", group, stream, ms, stamp))
    return None if raw is None else raw[8:]


def event_id(ms: int, stamp: int) -> str:
    """AWS's kind of id: 56 digits that grow."""
    return f"{ms:020d}{stamp:036d}"


def stream_events(
    tx: Tx,
    keys: Keyspace,
    group: int,
    stream: tuple[int, str],
    low: Place,
    high: Place,
    *,
    opened: Opened,
    reverse: bool,
) -> Iterator[Event]:
    """Events behind ``low`` and before ``high``."""
    events = keys["event"][group][stream[0]]
    for key, raw in tx.scan(_between(events, low, high), reverse=reverse):
        ms, stamp = events.parts(key)
        assert isinstance(ms, int)
        assert isinstance(stamp, int)
        yield Event(ms, stamp, stream[1], int.from_bytes(raw[:8], "big"), opened(raw[8:]))


def group_events(
    tx: Tx,
    keys: Keyspace,
    group: int,
    low: Place,
    high: Place,
    opened: Opened,
    *,
    reverse: bool = False,
) -> Iterator[Event]:
    times, events = keys["time"][group], keys["event"][group]
    alive: dict[bytes, bool] = {}  # a stream that is being deleted still has rows
    for key, raw in tx.scan(_between(times, low, high), reverse=reverse):
        ms, stamp = times.parts(key)
        assert isinstance(ms, int)
        assert isinstance(stamp, int)
        number, name = int.from_bytes(raw[:8], "big"), raw[8:].decode()
        if raw not in alive:
            stream = get_stream(tx, keys, group, name)
            alive[raw] = stream is not None and stream["id"] == number
        value = tx.get(events.key(number, ms, stamp)) if alive[raw] else None
        if value is not None:
            yield Event(ms, stamp, name, int.from_bytes(value[:8], "big"), opened(value[8:]))


def _between(keys: Keyspace, low: Place, high: Place) -> Span:
    return keys.key(*low) + b"\x00", keys.key(*high)


# -- deletion


def delete_events_page(tx: Tx, keys: Keyspace, group: int, stream: int, most: int) -> bool:
    """Delete up to ``most`` events of a dropped stream everywhere; whether some are left."""
    events = keys["event"][group][stream]
    gone = [key for key, _ in tx.scan(events.span(), limit=most)]
    for key in gone:
        tx.delete(key)
        tx.delete(keys["time"][group].key(*events.parts(key)))
    return len(gone) == most


def expire_page(tx: Tx, keys: Keyspace, group: int, before_ms: int, most: int) -> bool:
    """Delete up to ``most`` events older than ``before_ms``; whether some are left."""
    times = keys["time"][group]
    gone = list(tx.scan((times.span()[0], times.key(before_ms)), limit=most))
    for key, raw in gone:
        tx.delete(key)
        tx.delete(keys["event"][group][int.from_bytes(raw[:8], "big")].key(*times.parts(key)))
    return len(gone) == most
