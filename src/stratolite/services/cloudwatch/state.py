"""The keys of CloudWatch, see the front page; the only file that knows them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec
import orjson

from stratolite.core import Keyspace, Tx
from stratolite.services.cloudwatch.statistics import Summary, add

Record = dict[str, Any]
"""Parsed and shared between transactions: never change one, put a new one."""
Dimensions = tuple[tuple[str, str], ...]
"""(name, value), by name."""
RESOLUTIONS = (60, 300, 3600)
KEPT_S = {1: 3 * 3600, 60: 15 * 86_400, 300: 63 * 86_400, 3600: 455 * 86_400}
_HISTORY_KEPT_MS = 30 * 86_400_000
_HISTORY_TRIMMED = 4
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Summary).decode


@lru_cache(maxsize=4096)
def keys_of(account: str, region: str) -> Keyspace:
    return Keyspace(account, region, "cloudwatch")


# -- metrics


def _metric_key(keys: Keyspace, namespace: str, name: str, dimensions: Dimensions) -> bytes:
    return keys.key("metric", namespace, name, orjson.dumps(dimensions).decode())


def metric(
    tx: Tx, keys: Keyspace, namespace: str, name: str, dimensions: Dimensions
) -> Record | None:
    return tx.parsed(_metric_key(keys, namespace, name, dimensions), orjson.loads)


def touch_metric(tx: Tx, keys: Keyspace, named: tuple[str, str, Dimensions], *, fine: bool) -> int:
    """Its number, made if need be; it is known to have got data in this hour."""
    key = _metric_key(keys, *named)
    found = tx.parsed(key, orjson.loads)
    hour = int(tx.time_s // 3600)
    if found is None:
        found = {"id": tx.stamp(), "hour": hour, "fine": fine}
    elif found["hour"] == hour and (found["fine"] or not fine):
        return int(found["id"])
    else:
        found = {**found, "hour": hour, "fine": found["fine"] or fine}
    tx.put(key, orjson.dumps(found))
    return int(found["id"])


def metrics(
    tx: Tx, keys: Keyspace, namespace: str, after: bytes
) -> Iterator[tuple[bytes, str, str, Dimensions, Record]]:
    """(place, namespace, name, dimensions, record) behind a place."""
    space = keys["metric"]
    start, stop = space.span(namespace) if namespace else space.span()
    if after:
        start = max(start, space.prefix + after + b"\x00")
    for key, raw in tx.scan((start, stop)):
        where, name, dimensions = space.parts(key)
        pairs = tuple((n, v) for n, v in orjson.loads(str(dimensions)))
        yield key[len(space.prefix) :], str(where), str(name), pairs, orjson.loads(raw)


def drop_metric(tx: Tx, keys: Keyspace, namespace: str, name: str, dimensions: Dimensions) -> None:
    tx.delete(_metric_key(keys, namespace, name, dimensions))


# -- points


def add_point(tx: Tx, keys: Keyspace, metric: int, ms: int, unit: str, summary: Summary) -> None:
    for resolution in RESOLUTIONS:
        _add(tx, keys, metric, resolution, ms, unit, summary)


def add_fine_point(
    tx: Tx, keys: Keyspace, metric: int, ms: int, unit: str, summary: Summary
) -> None:
    _add(tx, keys, metric, 1, ms, unit, summary)


def _add(
    tx: Tx, keys: Keyspace, metric: int, resolution: int, ms: int, unit: str, summary: Summary
) -> None:
    step = resolution * 1000
    key = keys.key("point", metric, resolution, ms - ms % step, unit)
    raw = tx.get(key)
    if raw is not None:
        known = _decode(raw)
        add(known, summary)
        summary = known
    tx.put(key, _encode(summary))


def points(
    tx: Tx,
    keys: Keyspace,
    metric: int,
    resolution: int,
    start_ms: int,
    stop_ms: int,
    most: int | None = None,
) -> list[tuple[int, str, Summary]]:
    """(ms, unit, summary) of start <= ms < stop, in order."""
    space = keys["point"][metric][resolution]
    found = []
    for key, raw in tx.scan((space.key(start_ms), space.key(stop_ms)), limit=most):
        ms, unit = space.parts(key)
        assert isinstance(ms, int)
        found.append((ms, str(unit), _decode(raw)))
    return found


def expire_points(tx: Tx, keys: Keyspace, metric: int, most: int) -> tuple[bool, bool]:
    """Delete up to ``most`` rows that are too old: (whether some may be left of those, whether any row is left)."""
    left = most
    for resolution, kept_s in KEPT_S.items():
        space = keys["point"][metric][resolution]
        before_ms = int((tx.time_s - kept_s) * 1000)
        gone = [k for k, _ in tx.scan((space.span()[0], space.key(before_ms)), limit=left)]
        for key in gone:
            tx.delete(key)
        left -= len(gone)
        if left <= 0:
            return True, True
    any_left = next(tx.scan(keys["point"].span(metric), limit=1), None) is not None
    return False, any_left


# -- alarms


def alarm(tx: Tx, keys: Keyspace, name: str) -> Record | None:
    return tx.parsed(keys.key("alarm", name), orjson.loads)


def put_alarm(tx: Tx, keys: Keyspace, record: Record) -> None:
    """The record, and its place among the parents of the alarms in its rule."""
    name = record["name"]
    old = alarm(tx, keys, name)
    before, after = (old or {}).get("children", []), record.get("children", [])
    for child in before:
        if child not in after:
            tx.delete(keys.key("parent", child, name))
    for child in after:
        if child not in before:
            tx.put(keys.key("parent", child, name), b"")
    was, now = (old or {}).get("suppressor"), record.get("suppressor")
    if was and was != now:
        tx.delete(keys.key("suppressor", was, name))
    if now and now != was:
        tx.put(keys.key("suppressor", now, name), b"")
    tx.put(keys.key("alarm", name), orjson.dumps(record))


def drop_alarm(tx: Tx, keys: Keyspace, record: Record) -> None:
    tx.delete(keys.key("alarm", record["name"]))
    for child in record.get("children", []):
        tx.delete(keys.key("parent", child, record["name"]))
    if suppressor := record.get("suppressor"):
        tx.delete(keys.key("suppressor", suppressor, record["name"]))


def suppressed_by(tx: Tx, keys: Keyspace, name: str) -> list[str]:
    """Composite alarms whose actions the alarm suppresses."""
    space = keys["suppressor"][name]
    return [str(space.parts(key)[0]) for key, _ in tx.scan(space.span())]


def parents(tx: Tx, keys: Keyspace, child: str) -> list[str]:
    space = keys["parent"][child]
    return [str(space.parts(key)[0]) for key, _ in tx.scan(space.span())]


def alarms(tx: Tx, keys: Keyspace, prefix: str, after: str) -> Iterator[Record]:
    space = keys["alarm"]
    start, stop = space.span()
    if prefix:
        start = space.key(prefix)[:-1]  # without the end mark: everything that begins so
        stop = start + b"\xff"
    if after:
        start = max(start, space.key(after) + b"\x00")
    for _, raw in tx.scan((start, stop)):
        record = orjson.loads(raw)
        if record["name"].startswith(prefix):
            yield record


def put_history(tx: Tx, keys: Keyspace, item: Record) -> None:
    stamp, raw = tx.stamp(), orjson.dumps(item)
    tx.put(keys.key("history", item["ms"], stamp), raw)
    tx.put(keys.key("history-of", item["name"], item["ms"], stamp), raw)
    space = keys["history"]
    old = space.key(item["ms"] - _HISTORY_KEPT_MS)
    for key, row in list(tx.scan((space.span()[0], old), limit=_HISTORY_TRIMMED)):
        tx.delete(key)
        ms, at = space.parts(key)
        tx.delete(keys.key("history-of", orjson.loads(row)["name"], ms, at))


def history(
    tx: Tx, keys: Keyspace, name: str, span_ms: tuple[int, int], *, reverse: bool
) -> Iterator[tuple[tuple[int, int], Record]]:
    """((ms, stamp), item) of start <= ms < stop."""
    space = keys["history-of"][name] if name else keys["history"]
    span = space.key(span_ms[0]), space.key(span_ms[1])
    for key, raw in tx.scan(span, reverse=reverse):
        ms, stamp = space.parts(key)
        assert isinstance(ms, int)
        assert isinstance(stamp, int)
        yield (ms, stamp), orjson.loads(raw)


# -- dashboards, plans


def dashboard(tx: Tx, keys: Keyspace, name: str) -> Record | None:
    return tx.parsed(keys.key("dashboard", name), orjson.loads)


def put_dashboard(tx: Tx, keys: Keyspace, name: str, record: Record) -> None:
    tx.put(keys.key("dashboard", name), orjson.dumps(record))


def drop_dashboard(tx: Tx, keys: Keyspace, name: str) -> None:
    tx.delete(keys.key("dashboard", name))


def dashboards(tx: Tx, keys: Keyspace, prefix: str, after: str) -> Iterator[tuple[str, Record]]:
    space = keys["dashboard"]
    start, stop = space.span()
    if prefix:
        start = space.key(prefix)[:-1]
        stop = start + b"\xff"
    if after:
        start = max(start, space.key(after) + b"\x00")
    for key, raw in tx.scan((start, stop)):
        name = str(space.parts(key)[0])
        if name.startswith(prefix):
            yield name, orjson.loads(raw)


def planned_ms(tx: Tx, keys: Keyspace, job: str) -> int:
    return int(tx.get(keys.key("planned", job)) or 0)


def put_planned_ms(tx: Tx, keys: Keyspace, job: str, ms: int) -> None:
    tx.put(keys.key("planned", job), b"%d" % ms)


def drop_planned(tx: Tx, keys: Keyspace, job: str) -> None:
    tx.delete(keys.key("planned", job))
