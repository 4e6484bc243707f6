"""What Application Auto Scaling keeps: the only code that touches its keys. Each function takes ``tx`` first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from stratolite.core import Keyspace, Tx

Record = dict[str, Any]
NAME = "application-autoscaling"
ACTIVITIES_KEPT_S = 42 * 86_400
_FORGOTTEN_AT_ONCE = 4


class Place(NamedTuple):
    """A scalable target: ``table/T`` or ``table/T/index/I``, and which of its capacities."""

    resource: str
    dimension: str

    @property
    def table(self) -> str:
        return self.resource.split("/")[1]

    @property
    def index_name(self) -> str:
        """ "" for a table."""
        return self.resource.split("/")[3] if self.resource.count("/") > 1 else ""

    @property
    def kind(self) -> str:
        """Read or Write."""
        return "Read" if "Read" in self.dimension else "Write"


def target(tx: Tx, keys: Keyspace, place: Place) -> Record | None:
    return _load(tx.get(keys.key("target", *place)))


def put_target(tx: Tx, keys: Keyspace, place: Place, record: Record) -> None:
    tx.put(keys.key("target", *place), orjson.dumps(record))
    tx.put(keys.key("id", record["id"]), orjson.dumps(list(place)))


def place_of(tx: Tx, keys: Keyspace, name: str) -> Place | None:
    raw = tx.get(keys.key("id", name))
    return None if raw is None else Place(*orjson.loads(raw))


def delete_target(tx: Tx, keys: Keyspace, place: Place, record: Record) -> None:
    """With its policies and scheduled actions."""
    tx.delete(keys.key("target", *place))
    tx.delete(keys.key("id", record["id"]))
    for kind in ("policy", "action"):
        for key, _ in list(tx.scan(keys.span(kind, *place))):
            tx.delete(key)


def thing(tx: Tx, keys: Keyspace, kind: str, place: Place, name: str) -> Record | None:
    """A policy or a scheduled action."""
    return _load(tx.get(keys.key(kind, *place, name)))


def put_thing(tx: Tx, keys: Keyspace, kind: str, place: Place, name: str, record: Record) -> None:
    tx.put(keys.key(kind, *place, name), orjson.dumps(record))


def delete_thing(tx: Tx, keys: Keyspace, kind: str, place: Place, name: str) -> None:
    tx.delete(keys.key(kind, *place, name))


def rows(
    tx: Tx, keys: Keyspace, kind: str, under: tuple[str, ...], after: bytes
) -> Iterator[tuple[bytes, tuple[str, ...], Record]]:
    """(key, what follows its kind, record) of targets, policies or actions, behind the key ``after``."""
    start, stop = keys.span(kind, *under)
    for key, raw in tx.scan((max(start, after + b"\x00"), stop)):
        yield key, tuple(str(part) for part in keys.parts(key)[1:]), orjson.loads(raw)


def policies(tx: Tx, keys: Keyspace, place: Place) -> list[tuple[str, Record]]:
    return [(parts[-1], record) for _, parts, record in rows(tx, keys, "policy", place, b"")]


def add_activity(tx: Tx, keys: Keyspace, place: Place, activity: Record) -> None:
    """And forget a few that are old."""
    stamp = tx.stamp()
    tx.put(keys.key("activity", stamp), orjson.dumps(activity))
    tx.put(keys.key("of", place.resource, stamp), b"")
    for key, raw in list(tx.scan(keys.span("activity"), limit=_FORGOTTEN_AT_ONCE)):
        old = orjson.loads(raw)
        if old["StartTime"] + ACTIVITIES_KEPT_S < tx.time_s:
            tx.delete(key)
            tx.delete(keys.key("of", old["ResourceId"], keys.parts(key)[1]))


def activities(tx: Tx, keys: Keyspace, resource: str, before: int) -> Iterator[tuple[int, Record]]:
    """(stamp, activity), newest first, of one resource or ("") of all; those older than ``before``, if it is not 0."""
    under = ("of", resource) if resource else ("activity",)
    start, stop = keys.span(*under)
    if before:
        stop = keys.key(*under, before)
    for key, _ in tx.scan((start, stop), reverse=True):
        stamp = keys.parts(key)[-1]
        assert isinstance(stamp, int), key
        found = _load(tx.get(keys.key("activity", stamp)))
        if found is not None:
            yield stamp, found


def _load(raw: bytes | None) -> Record | None:
    return None if raw is None else orjson.loads(raw)
