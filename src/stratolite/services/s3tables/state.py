"""The keys of S3 Tables, see the front page; the only file that knows them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from stratolite.core import Keyspace, Tx

Record = dict[str, Any]
"""Parsed and shared between transactions: never change one, put a new one."""


class Name(NamedTuple):
    """Which table of a bucket."""

    bucket: str
    namespace: str
    table: str


def bucket(tx: Tx, keys: Keyspace, name: str) -> Record | None:
    return tx.parsed(keys.key("bucket", name), orjson.loads)


def put_bucket(tx: Tx, keys: Keyspace, name: str, record: Record) -> None:
    tx.put(keys.key("bucket", name), orjson.dumps(record))


def delete_bucket(tx: Tx, keys: Keyspace, name: str) -> None:
    tx.delete(keys.key("bucket", name))


def buckets(tx: Tx, keys: Keyspace, after: str, prefix: str = "") -> Iterator[tuple[str, Record]]:
    for (name,), record in _named(tx, keys["bucket"], (after,) if after else (), prefix):
        yield name, record


def namespace(tx: Tx, keys: Keyspace, bucket: str, name: str) -> Record | None:
    return tx.parsed(keys.key("namespace", bucket, name), orjson.loads)


def put_namespace(tx: Tx, keys: Keyspace, bucket: str, name: str, record: Record) -> None:
    tx.put(keys.key("namespace", bucket, name), orjson.dumps(record))


def delete_namespace(tx: Tx, keys: Keyspace, bucket: str, name: str) -> None:
    tx.delete(keys.key("namespace", bucket, name))


def namespaces(
    tx: Tx, keys: Keyspace, bucket: str, after: str, prefix: str = ""
) -> Iterator[tuple[str, Record]]:
    rows = _named(tx, keys["namespace"][bucket], (after,) if after else (), prefix)
    for (name,), record in rows:
        yield name, record


def table(tx: Tx, keys: Keyspace, name: Name) -> Record | None:
    return tx.parsed(keys.key("table", *name), orjson.loads)


def put_table(tx: Tx, keys: Keyspace, name: Name, record: Record) -> None:
    tx.put(keys.key("table", *name), orjson.dumps(record))
    tx.put(keys.key("id", name.bucket, record["id"]), orjson.dumps([name.namespace, name.table]))


def delete_table(tx: Tx, keys: Keyspace, name: Name, table_id: str) -> None:
    tx.delete(keys.key("table", *name))
    tx.delete(keys.key("id", name.bucket, table_id))


def by_id(tx: Tx, keys: Keyspace, bucket: str, table_id: str) -> Name | None:
    found = tx.parsed(keys.key("id", bucket, table_id), orjson.loads)
    return None if found is None else Name(bucket, *found)


def tables(
    tx: Tx, keys: Keyspace, bucket: str, namespace: str, after: tuple[str, ...], prefix: str = ""
) -> Iterator[tuple[Name, Record]]:
    """Of one namespace, or of all for "". ``after``: (namespace, name) of the last one seen."""
    space = keys["table"][bucket]
    if namespace:
        rows = _named(tx, space[namespace], after[1:], prefix)
        for (name,), record in rows:
            yield Name(bucket, namespace, name), record
        return
    for (where, name), record in _named(tx, space, after):
        if name.startswith(prefix):
            yield Name(bucket, where, name), record


def _named(
    tx: Tx, space: Keyspace, after: tuple[str, ...], prefix: str = ""
) -> Iterator[tuple[tuple[str, ...], Record]]:
    start, stop = space.span()
    if prefix:
        start = space.key(prefix)[:-1]  # without the terminator: the prefix itself and what follows
    if after and space.key(*after) >= start:
        start = space.key(*after) + b"\0"
    for key, raw in tx.scan((start, stop)):
        parts = tuple(str(part) for part in space.parts(key))
        if not parts[-1].startswith(prefix):
            return
        yield parts, orjson.loads(raw)
