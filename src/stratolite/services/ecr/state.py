"""The keys of repositories, see the front page; the only file that knows them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from stratolite.core import Keyspace, Tx

Record = dict[str, Any]
"""Parsed and shared between transactions: never change one, put a new one."""


def get(tx: Tx, keys: Keyspace, name: str) -> Record | None:
    return tx.parsed(keys.key("repository", name), orjson.loads)


def put(tx: Tx, keys: Keyspace, name: str, record: Record) -> None:
    tx.put(keys.key("repository", name), orjson.dumps(record))


def delete(tx: Tx, keys: Keyspace, name: str) -> None:
    tx.delete(keys.key("repository", name))


def after(tx: Tx, keys: Keyspace, name: str) -> Iterator[tuple[str, Record]]:
    """Repositories by name, behind ``name``."""
    space = keys["repository"]
    start, stop = space.span()
    if name:
        start = space.key(name) + b"\0"
    for key, raw in tx.scan((start, stop)):
        yield str(space.parts(key)[0]), orjson.loads(raw)
