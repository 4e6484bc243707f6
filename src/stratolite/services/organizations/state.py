"""The keys of organizations, see the front page; the only file that knows them."""

from __future__ import annotations

from typing import Any

import orjson

from stratolite.core import Keyspace, Tx

Record = dict[str, Any]
_SPACE = Keyspace("", "", "organizations")


def organization_of(tx: Tx, account: str) -> str | None:
    raw = tx.get(_SPACE.key("member", account))
    return None if raw is None else raw.decode()


def set_member(tx: Tx, account: str, organization: str | None) -> None:
    key = _SPACE.key("member", account)
    if organization is None:
        tx.delete(key)
    else:
        tx.put(key, organization.encode())


def get(tx: Tx, kind: str, *name: str) -> Record | None:
    """Frozen: copy before changing."""
    return tx.parsed(_SPACE.key(kind, *name), orjson.loads)


def put(tx: Tx, record: Record, kind: str, *name: str) -> None:
    tx.put(_SPACE.key(kind, *name), orjson.dumps(record))


def delete(tx: Tx, kind: str, *name: str) -> None:
    tx.delete(_SPACE.key(kind, *name))


def edge(tx: Tx, kind: str, *name: str, value: str = "") -> None:
    tx.put(_SPACE.key(kind, *name), value.encode())


def edges(tx: Tx, kind: str, *name: str) -> list[tuple[str, str]]:
    """(last part, value) of every edge from there, in order."""
    rows = tx.scan(_SPACE.span(kind, *name))
    return [(str(_SPACE.parts(key)[-1]), raw.decode()) for key, raw in rows]


def every(tx: Tx, kind: str, *name: str) -> list[Record]:
    return [orjson.loads(raw) for _, raw in tx.scan(_SPACE.span(kind, *name))]
