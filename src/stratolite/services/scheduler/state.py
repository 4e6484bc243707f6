"""What the scheduler keeps: the only code that touches its keys. Each function takes ``tx`` first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from stratolite.core import Keyspace, Tx

Record = dict[str, Any]
DEFAULT = "default"


def group(tx: Tx, keys: Keyspace, name: str) -> Record | None:
    """The default group is there from the beginning."""
    raw = tx.get(keys.key("group", name))
    if raw is None:
        return _default() if name == DEFAULT else None
    found: Record = orjson.loads(raw)
    return found


def _default() -> Record:
    return {"created_s": 0.0, "modified_s": 0.0, "state": "ACTIVE", "tags": {}, "token": None}


def put_group(tx: Tx, keys: Keyspace, name: str, record: Record) -> None:
    tx.put(keys.key("group", name), orjson.dumps(record))


def delete_group(tx: Tx, keys: Keyspace, name: str) -> None:
    tx.delete(keys.key("group", name))


def groups(tx: Tx, keys: Keyspace, prefix: str, after: str) -> Iterator[tuple[str, Record]]:
    """By name, the default group among them."""
    seen_default = not DEFAULT.startswith(prefix) or after >= DEFAULT
    for name, record in _rows(tx, keys, ("group",), prefix, after):
        if not seen_default and name >= DEFAULT:
            seen_default = True
            if name != DEFAULT:
                yield DEFAULT, _default()
        yield name, record
    if not seen_default:
        yield DEFAULT, _default()


def schedule(tx: Tx, keys: Keyspace, group_name: str, name: str) -> Record | None:
    raw = tx.get(keys.key("schedule", group_name, name))
    return None if raw is None else orjson.loads(raw)


def put_schedule(tx: Tx, keys: Keyspace, group_name: str, name: str, record: Record) -> None:
    tx.put(keys.key("schedule", group_name, name), orjson.dumps(record))


def delete_schedule(tx: Tx, keys: Keyspace, group_name: str, name: str) -> None:
    tx.delete(keys.key("schedule", group_name, name))


def schedules(
    tx: Tx, keys: Keyspace, group_name: str, prefix: str, after: str
) -> Iterator[tuple[str, Record]]:
    return _rows(tx, keys, ("schedule", group_name), prefix, after)


def all_schedules(
    tx: Tx, keys: Keyspace, prefix: str, after: list[str] | None
) -> Iterator[tuple[str, str, Record]]:
    """(group, name, record) of every group, in order."""
    start, stop = keys.span("schedule")
    if after:
        start = keys.key("schedule", *after) + b"\x00"
    for key, raw in tx.scan((start, stop)):
        _, group_name, name = keys.parts(key)
        if str(name).startswith(prefix):
            yield str(group_name), str(name), orjson.loads(raw)


def drop_page(tx: Tx, keys: Keyspace, group_name: str, limit: int) -> bool:
    """Delete some schedules of a group; whether there may be more."""
    found = [key for key, _ in tx.scan(keys.span("schedule", group_name), limit=limit)]
    for key in found:
        tx.delete(key)
    return len(found) == limit


def _rows(
    tx: Tx, keys: Keyspace, under: tuple[str, ...], prefix: str, after: str
) -> Iterator[tuple[str, Record]]:
    start, stop = keys.span(*under)
    if prefix:
        start = keys.key(*under, prefix)[:-1]  # without the end of the string
        stop = start + b"\xff"
    if after:
        start = max(start, keys.key(*under, after) + b"\x00")
    for key, raw in tx.scan((start, stop)):
        yield str(keys.parts(key)[-1]), orjson.loads(raw)
