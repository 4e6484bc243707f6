"""What HTTP APIs keep: the only functions that read or write their keys. Each takes ``tx`` first."""

from __future__ import annotations

from typing import Any

import orjson

from stratolite.core import Keyspace, Tx
from stratolite.services.apigatewayv2.routing import Router

Record = dict[str, Any]
_HOMES = Keyspace("", "", "apigatewayv2")


def home(tx: Tx, api: str) -> tuple[str, str] | None:
    """(account, region) of an API by its id alone."""
    found = tx.parsed(_HOMES.key("home", api), orjson.loads)
    return None if found is None else (found["account"], found["region"])


def put_home(tx: Tx, api: str, account: str, region: str) -> None:
    tx.put(_HOMES.key("home", api), orjson.dumps({"account": account, "region": region}))


def get(tx: Tx, keys: Keyspace, kind: str, *name: str) -> Record | None:
    """A copy of one record."""
    raw = tx.get(keys.key(kind, *name))
    return None if raw is None else orjson.loads(raw)


def read(tx: Tx, keys: Keyspace, kind: str, *name: str) -> Record | None:
    """One record, frozen: for requests, which read the same one again and again."""
    return tx.parsed(keys.key(kind, *name), orjson.loads)


def put(tx: Tx, keys: Keyspace, kind: str, *name: str, record: Record) -> None:
    tx.put(keys.key(kind, *name), orjson.dumps(record))


def delete(tx: Tx, keys: Keyspace, kind: str, *name: str) -> None:
    tx.delete(keys.key(kind, *name))


def all_of(tx: Tx, keys: Keyspace, kind: str, *name: str) -> list[Record]:
    return [orjson.loads(v) for _, v in tx.scan(keys.span(kind, *name))]


def page(
    tx: Tx, keys: Keyspace, kind: str, prefix: tuple[str, ...], after: str, limit: int
) -> tuple[list[Record], str | None]:
    """Up to ``limit`` records after the last name of the page before, and where to go on."""
    start, stop = keys.span(kind, *prefix)
    if after:
        start = keys.key(kind, *prefix, after) + b"\x00"
    rows = list(tx.scan((start, stop), limit=limit + 1))
    records = [orjson.loads(v) for _, v in rows[:limit]]
    if len(rows) <= limit:
        return records, None
    return records, str(keys.parts(rows[limit - 1][0])[-1])


def delete_api(tx: Tx, keys: Keyspace, api: str) -> None:
    """The API and all it has (at most some hundred records: quotas bound them)."""
    for kind in ("route", "integration", "stage", "deployment", "frozen"):
        for key, _ in list(tx.scan(keys.span(kind, api))):
            tx.delete(key)
    tx.delete(keys.key("live", api))
    tx.delete(keys.key("api", api))
    tx.delete(_HOMES.key("home", api))


# -- route tables


def rebuild(tx: Tx, keys: Keyspace, api: str) -> None:
    """Write the live table anew from routes and integrations."""
    integrations = {i["IntegrationId"]: i for i in all_of(tx, keys, "integration", api)}
    table = []
    for route in all_of(tx, keys, "route", api):
        target = route.get("Target", "").removeprefix("integrations/")
        table.append([route["RouteKey"], target, integrations.get(target)])
    tx.put(keys.key("live", api), orjson.dumps(table))


def freeze(tx: Tx, keys: Keyspace, api: str, deployment: str) -> None:
    table = tx.get(keys.key("live", api)) or b"[]"
    tx.put(keys.key("frozen", api, deployment), table)


def router(tx: Tx, keys: Keyspace, api: str, deployment: str | None) -> Router | None:
    """The compiled table: of a deployment, or as it is now."""
    key = keys.key("frozen", api, deployment) if deployment else keys.key("live", api)
    return tx.parsed(key, _compile)


def _compile(raw: bytes) -> Router:
    return Router(orjson.loads(raw))
