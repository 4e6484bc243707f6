"""What pipes keep: the only code that touches their keys. Each function takes ``tx`` first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from stratolite.core import Keyspace, Span, Tx

Record = dict[str, Any]


def get(tx: Tx, keys: Keyspace, name: str) -> Record | None:
    raw = tx.get(keys.key("pipe", name))
    return None if raw is None else orjson.loads(raw)


def put(tx: Tx, keys: Keyspace, name: str, record: Record) -> None:
    tx.put(keys.key("pipe", name), orjson.dumps(record))


def span(keys: Keyspace, name: str) -> Span:
    """Changes with the pipe."""
    return keys.span("pipe", name)


def delete(tx: Tx, keys: Keyspace, name: str) -> None:
    tx.delete(keys.key("pipe", name))


def rows(tx: Tx, keys: Keyspace, prefix: str, after: str) -> Iterator[tuple[str, Record]]:
    start, stop = keys.span("pipe")
    if prefix:
        start = keys.key("pipe", prefix)[:-1]  # without the end of the string
        stop = start + b"\xff"
    if after:
        start = max(start, keys.key("pipe", after) + b"\x00")
    for key, raw in tx.scan((start, stop)):
        yield str(keys.parts(key)[1]), orjson.loads(raw)


def checkpoint(tx: Tx, keys: Keyspace, name: str, shard: str) -> Record | None:
    raw = tx.get(keys.key("checkpoint", name, shard))
    return None if raw is None else orjson.loads(raw)


def put_checkpoint(tx: Tx, keys: Keyspace, name: str, shard: str, row: Record) -> None:
    tx.put(keys.key("checkpoint", name, shard), orjson.dumps(row))


def checkpoints(tx: Tx, keys: Keyspace, name: str) -> Iterator[tuple[str, Record]]:
    for key, raw in tx.scan(keys.span("checkpoint", name)):
        yield str(keys.parts(key)[2]), orjson.loads(raw)


def drop_checkpoints(tx: Tx, keys: Keyspace, name: str, limit: int) -> bool:
    """Delete some; whether there may be more."""
    found = [key for key, _ in tx.scan(keys.span("checkpoint", name), limit=limit)]
    for key in found:
        tx.delete(key)
    return len(found) == limit
