"""Applications and their versions in the store. Only this file knows the keys."""

from __future__ import annotations

import re
from typing import Any

import orjson

from stratolite.core import Keyspace, Tx
from stratolite.errors import Fault

Row = dict[str, Any]
_SEMANTIC = re.compile(
    r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?\Z"
)


def version_parts(text: str) -> tuple[int, int, int, int, str]:
    """Parts that sort as versions do. Raises Fault for text that is none.

    https://semver.org
    """
    found = _SEMANTIC.match(text)
    if found is None:
        raise Fault("BadRequestException", f"{text} is not a semantic version")
    return int(found[1]), int(found[2]), int(found[3]), 0 if found[4] else 1, text


def app(tx: Tx, keys: Keyspace, name: str) -> Row | None:
    raw = tx.get(keys.key("app", name))
    return None if raw is None else orjson.loads(raw)


def put_app(tx: Tx, keys: Keyspace, name: str, row: Row) -> None:
    tx.put(keys.key("app", name), orjson.dumps(row))


def apps_page(tx: Tx, keys: Keyspace, after: str, limit: int) -> list[tuple[str, Row]]:
    start, stop = keys.span("app")
    if after:
        start = keys.key("app", after) + b"\x00"
    found = tx.scan((start, stop), limit=limit)
    return [(str(keys.parts(key)[1]), orjson.loads(raw)) for key, raw in found]


def version(tx: Tx, keys: Keyspace, name: str, text: str) -> Row | None:
    raw = tx.get(keys.key("version", name, *version_parts(text)))
    return None if raw is None else orjson.loads(raw)


def put_version(tx: Tx, keys: Keyspace, name: str, text: str, row: Row) -> None:
    tx.put(keys.key("version", name, *version_parts(text)), orjson.dumps(row))


def versions_page(
    tx: Tx, keys: Keyspace, name: str, before: str, limit: int
) -> list[tuple[str, Row]]:
    """Newest first."""
    start, stop = keys.span("version", name)
    if before:
        stop = keys.key("version", name, *version_parts(before))
    found = tx.scan((start, stop), reverse=True, limit=limit)
    return [(str(keys.parts(key)[6]), orjson.loads(raw)) for key, raw in found]


def drop(tx: Tx, keys: Keyspace, name: str, limit: int) -> bool:
    """Forget up to ``limit`` versions; True once the application itself is gone."""
    found = [key for key, _ in tx.scan(keys.span("version", name), limit=limit)]
    for key in found:
        tx.delete(key)
    if len(found) == limit:
        return False
    tx.delete(keys.key("app", name))
    return True
