"""The keys of the catalog, see the front page; the only file that knows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import orjson

from stratolite.core import Keyspace, Span, Tx

Record = dict[str, Any]
"""Parsed and shared between transactions: never change one, put a new one."""


class Table(NamedTuple):
    """Which table, in which keyspace."""

    keys: Keyspace
    database: str
    name: str


def _put(tx: Tx, key: bytes, record: Record) -> None:
    tx.put(key, orjson.dumps(record))


def get_database(tx: Tx, keys: Keyspace, name: str) -> Record | None:
    return tx.parsed(keys.key("database", name), orjson.loads)


def put_database(tx: Tx, keys: Keyspace, name: str, record: Record) -> None:
    _put(tx, keys.key("database", name), record)


def drop_database(tx: Tx, keys: Keyspace, name: str) -> list[Span]:
    """Forget the database; the spans of what was in it."""
    tx.delete(keys.key("database", name))
    return [keys.span(kind, name) for kind in ("table", "version", "partition")]


def databases(tx: Tx, keys: Keyspace, after: str) -> Iterator[tuple[str, Record]]:
    yield from _named(tx, keys["database"], after)


def get_table(tx: Tx, table: Table) -> Record | None:
    return tx.parsed(table.keys.key("table", table.database, table.name), orjson.loads)


def put_table(tx: Tx, table: Table, record: Record) -> None:
    _put(tx, table.keys.key("table", table.database, table.name), record)


def drop_table(tx: Tx, table: Table) -> list[Span]:
    """Forget the table; the spans of what it leaves behind."""
    tx.delete(table.keys.key("table", table.database, table.name))
    return [table.keys.span(k, table.database, table.name) for k in ("version", "partition")]


def tables(tx: Tx, keys: Keyspace, database: str, after: str) -> Iterator[tuple[str, Record]]:
    yield from _named(tx, keys["table"][database], after)


def get_version(tx: Tx, table: Table, number: int) -> Record | None:
    return tx.parsed(_version_key(table, number), orjson.loads)


def put_version(tx: Tx, table: Table, number: int, record: Record) -> None:
    _put(tx, _version_key(table, number), record)


def delete_version(tx: Tx, table: Table, number: int) -> None:
    tx.delete(_version_key(table, number))


def _version_key(table: Table, number: int) -> bytes:
    return table.keys.key("version", table.database, table.name, number)


def versions(tx: Tx, table: Table, before: int) -> Iterator[tuple[int, Record]]:
    """Numbers under ``before``, newest first."""
    space = table.keys["version"][table.database][table.name]
    for key, raw in tx.scan((space.span()[0], space.key(before)), reverse=True):
        (number,) = space.parts(key)
        assert isinstance(number, int)
        yield number, orjson.loads(raw)


def _partition_key(table: Table, values: Sequence[str]) -> bytes:
    return table.keys.key("partition", table.database, table.name, *values)


def get_partition(tx: Tx, table: Table, values: Sequence[str]) -> Record | None:
    return tx.parsed(_partition_key(table, values), orjson.loads)


def put_partition(tx: Tx, table: Table, values: Sequence[str], record: Record) -> None:
    _put(tx, _partition_key(table, values), record)


def delete_partition(tx: Tx, table: Table, values: Sequence[str]) -> None:
    tx.delete(_partition_key(table, values))


def partitions(
    tx: Tx, table: Table, after: Sequence[str] | None
) -> Iterator[tuple[tuple[str, ...], Record]]:
    """Values and records in the order of the values, behind ``after``."""
    space = table.keys["partition"][table.database][table.name]
    start, stop = space.span()
    if after is not None:
        start = _partition_key(table, after) + b"\0"
    for key, raw in tx.scan((start, stop)):
        yield tuple(str(part) for part in space.parts(key)), orjson.loads(raw)


def _named(tx: Tx, space: Keyspace, after: str) -> Iterator[tuple[str, Record]]:
    start, stop = space.span()
    if after:
        start = space.key(after) + b"\0"
    for key, raw in tx.scan((start, stop)):
        yield str(space.parts(key)[0]), orjson.loads(raw)
