"""Requests of Cloud Control in the store. Only this file knows the keys.

Under (account, region, "cloudcontrol"):

    ("request", token)        -> Row
    ("list", stamp)           -> token of the request, in order of their begin (text)
    ("client", client token)  -> JSON [token of the request, digest of what was asked, cloud time in seconds]
    ("busy", type, identifier) -> token of the request that works on it (text)

Row, JSON: {token, type, operation, status, identifier, message, error, at_s, begun_s, place (its stamp in "list"), client,
principal, role, sealed: {desired: properties wanted, before: properties of an update's begin}}; ``sealed`` is stored as base64 of the
vault's seal of the JSON, for properties may hold secrets.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from stratolite.core import Keyspace, Tx
from stratolite.core.vault import Vault
from stratolite.service import Call

Row = dict[str, Any]
_PURPOSE = "cloudcontrol"


class Rows(NamedTuple):
    keys: Keyspace
    vault: Vault


def rows_of(call: Call) -> Rows:
    return Rows(call.keys("cloudcontrol"), call.cloud.vault)


def add_request(tx: Tx, rows: Rows, row: Row) -> None:
    row["place"] = tx.stamp()
    tx.put(rows.keys.key("list", row["place"]), row["token"].encode())
    put_request(tx, rows, row)


def put_request(tx: Tx, rows: Rows, row: Row) -> None:
    sealed = rows.vault.seal(orjson.dumps(row["sealed"]), _PURPOSE)
    stored = {**row, "sealed": base64.b64encode(sealed).decode()}
    tx.put(rows.keys.key("request", row["token"]), orjson.dumps(stored))


def request_of(tx: Tx, rows: Rows, token: str) -> Row | None:
    raw = tx.get(rows.keys.key("request", token))
    if raw is None:
        return None
    row: Row = orjson.loads(raw)
    row["sealed"] = orjson.loads(rows.vault.open(base64.b64decode(row["sealed"]), _PURPOSE))
    return row


def newest(tx: Tx, rows: Rows, before: int, limit: int) -> Iterator[tuple[int, Row]]:
    """Up to ``limit`` requests, newest first, with their places."""
    start, stop = rows.keys.span("list")
    if before:
        stop = rows.keys.key("list", before)
    for key, raw in tx.scan((start, stop), reverse=True, limit=limit):
        row = request_of(tx, rows, raw.decode())
        if row is not None:
            yield int(rows.keys.parts(key)[1]), row


def drop_request(tx: Tx, rows: Rows, row: Row) -> None:
    tx.delete(rows.keys.key("request", row["token"]))
    tx.delete(rows.keys.key("list", row["place"]))
    if row["client"] and (known := client_of(tx, rows, row["client"])) and known[0] == row["token"]:
        tx.delete(rows.keys.key("client", row["client"]))


def client_of(tx: Tx, rows: Rows, client: str) -> tuple[str, str, float] | None:
    """(token of the request, digest, since when) of a client token."""
    raw = tx.get(rows.keys.key("client", client))
    return None if raw is None else tuple(orjson.loads(raw))


def put_client(tx: Tx, rows: Rows, client: str, token: str, digest: str) -> None:
    tx.put(rows.keys.key("client", client), orjson.dumps([token, digest, tx.time_s]))


def busy(tx: Tx, rows: Rows, kind: str, identifier: str) -> str | None:
    """The token of the request that works on the resource."""
    raw = tx.get(rows.keys.key("busy", kind, identifier))
    return None if raw is None else raw.decode()


def set_busy(tx: Tx, rows: Rows, kind: str, identifier: str, token: str | None) -> None:
    key = rows.keys.key("busy", kind, identifier)
    if token is None:
        tx.delete(key)
    else:
        tx.put(key, token.encode())
