"""The keys of the event history, see the front page; the only file that knows them."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from stratolite.core import Keyspace, Tx
from stratolite.limits import (
    TRAIL_DATA_LOOKED_AT_COUNT_MAX,
    TRAIL_DATA_SIZE_BYTES_MAX,
    TRAIL_KEEP_S,
    TRAIL_LOOKED_AT_COUNT_MAX,
    TRAIL_SIZE_BYTES_MAX,
)
from stratolite.services.cloudtrail.batches import Batch

_GONE_AT_LEAST = 16


class Place(NamedTuple):
    account: str
    region: str

    @property
    def keys(self) -> Keyspace:
        return Keyspace(self.account, self.region, "cloudtrail")


class At(NamedTuple):
    """Where a record stands in the order of time."""

    time_ms: int
    stamp: int


class Record(NamedTuple):
    time_ms: int
    event_id: str
    raw: bytes
    """JSON."""


def write(tx: Tx, place: Place, records: list[Record]) -> None:
    """Makes room for them among the oldest."""
    keys = place.keys
    rows, size_bytes = orjson.loads(tx.get(keys.key("size")) or b"[0,0]")
    for time_ms, event_id, raw in records:
        at = At(time_ms, tx.stamp())
        tx.put(keys.key("event", *at), raw)
        tx.put(keys.key("id", event_id), orjson.dumps(list(at)))
        rows, size_bytes = rows + 1, size_bytes + len(raw)
    oldest_ms = int((tx.time_s - TRAIL_KEEP_S) * 1000)
    found = tx.scan(keys.span("event"), limit=2 * len(records) + _GONE_AT_LEAST)
    for key, raw in list(found):
        _, when_ms, _ = keys.parts(key)
        assert isinstance(when_ms, int)
        if when_ms >= oldest_ms and size_bytes <= TRAIL_SIZE_BYTES_MAX:
            break
        tx.delete(key)
        tx.delete(keys.key("id", orjson.loads(raw)["eventID"]))
        rows, size_bytes = rows - 1, size_bytes - len(raw)
    tx.put(keys.key("size"), orjson.dumps([rows, size_bytes]))


def by_id(tx: Tx, place: Place, event_id: str) -> bytes | None:
    raw = tx.get(place.keys.key("id", event_id))
    return None if raw is None else tx.get(place.keys.key("event", *orjson.loads(raw)))


def newest_first(
    tx: Tx, place: Place, since_ms: int, until_ms: int, before: At | None
) -> tuple[list[tuple[At, dict[str, Any], bytes]], bool]:
    """Records from ``until_ms`` back to ``since_ms`` (both included), those after ``before`` left out; whether there may be more."""
    keys = place.keys
    start = keys.key("event", since_ms)
    stop = keys.key("event", until_ms + 1)
    if before is not None:
        stop = min(stop, keys.key("event", *before))
    found = []
    for key, raw in tx.scan((start, stop), reverse=True, limit=TRAIL_LOOKED_AT_COUNT_MAX):
        _, time_ms, stamp = keys.parts(key)
        assert isinstance(time_ms, int)
        assert isinstance(stamp, int)
        found.append((At(time_ms, stamp), orjson.loads(raw), raw))
    return found, len(found) == TRAIL_LOOKED_AT_COUNT_MAX


def oldest_first(
    tx: Tx, place: Place, until_ms: int, after: At
) -> tuple[list[tuple[At, bytes]], bool]:
    """Records after ``after`` up to ``until_ms``; whether there may be more."""
    return _after(tx, place, "event", until_ms, after, TRAIL_LOOKED_AT_COUNT_MAX)


# -- data events


def write_data(tx: Tx, batch: Batch) -> None:
    """A batch, closed now: later batches are closed later, whatever times their calls have. Makes room among the oldest."""
    keys = Place(batch.account, batch.region).keys
    size_key = keys.key("data-size")
    count, size_bytes, oldest_ms = orjson.loads(tx.get(size_key) or b"[0,0,0]")
    tx.put(keys.key("data", int(tx.time_s * 1000), tx.stamp()), batch.raw)
    count, size_bytes = count + 1, size_bytes + len(batch.raw)
    gone_ms = int((tx.time_s - TRAIL_KEEP_S) * 1000)
    if size_bytes > TRAIL_DATA_SIZE_BYTES_MAX or oldest_ms < gone_ms:
        for key, raw in list(tx.scan(keys.span("data"), limit=_GONE_AT_LEAST)):
            _, oldest_ms, _ = keys.parts(key)
            assert isinstance(oldest_ms, int)
            if count == 1 or (oldest_ms >= gone_ms and size_bytes <= TRAIL_DATA_SIZE_BYTES_MAX):
                break
            tx.delete(key)
            count, size_bytes = count - 1, size_bytes - len(raw)
    tx.put(size_key, orjson.dumps([count, size_bytes, oldest_ms]))


def data_oldest_first(
    tx: Tx, place: Place, until_ms: int, after: At
) -> tuple[list[tuple[At, bytes]], bool]:
    """Batches that ended after ``after`` up to ``until_ms``; whether there may be more."""
    return _after(tx, place, "data", until_ms, after, TRAIL_DATA_LOOKED_AT_COUNT_MAX)


def _after(
    tx: Tx, place: Place, kind: str, until_ms: int, after: At, limit: int
) -> tuple[list[tuple[At, bytes]], bool]:
    keys = place.keys
    span = keys.key(kind, after.time_ms, after.stamp + 1), keys.key(kind, until_ms + 1)
    found = []
    for key, raw in tx.scan(span, limit=limit) if span[0] < span[1] else ():
        _, time_ms, stamp = keys.parts(key)
        assert isinstance(time_ms, int)
        assert isinstance(stamp, int)
        found.append((At(time_ms, stamp), raw))
    return found, len(found) == limit
