"""What REST APIs keep: the only functions that read or write their keys. Each takes ``tx`` first."""

from __future__ import annotations

import hashlib
import zlib
from typing import Any

import orjson

from stratolite.core import Keyspace, Tx
from stratolite.errors import Fault
from stratolite.limits import VALUE_SIZE_BYTES_MAX
from stratolite.services.apigateway.deployed import Deployed

Record = dict[str, Any]
_HOMES = Keyspace("", "", "apigateway")
_PURPOSE = "apigateway key"
_PARTS = ("resource", "model", "validator", "authorizer", "response", "stage", "deployment", "frozen")  # fmt: skip


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
    raw = orjson.dumps(record)
    if len(raw) > VALUE_SIZE_BYTES_MAX:
        raise Fault("BadRequestException", f"{kind} {name[-1]} is larger than Stratolite keeps")
    tx.put(keys.key(kind, *name), raw)


def delete(tx: Tx, keys: Keyspace, kind: str, *name: str) -> None:
    tx.delete(keys.key(kind, *name))


def all_of(tx: Tx, keys: Keyspace, kind: str, *name: str) -> list[Record]:
    return [orjson.loads(value) for _, value in tx.scan(keys.span(kind, *name))]


def count(tx: Tx, keys: Keyspace, kind: str, *name: str, most: int) -> int:
    return sum(1 for _ in tx.scan(keys.span(kind, *name), limit=most))


def page(
    tx: Tx, keys: Keyspace, kind: str, prefix: tuple[str, ...], after: str, limit: int
) -> tuple[list[Record], str | None]:
    """Up to ``limit`` records after the last name of the page before, and where to go on."""
    start, stop = keys.span(kind, *prefix)
    if after:
        start = keys.key(kind, *prefix, after) + b"\x00"
    rows = list(tx.scan((start, stop), limit=limit + 1))
    records = [orjson.loads(value) for _, value in rows[:limit]]
    if len(rows) <= limit:
        return records, None
    return records, str(keys.parts(rows[limit - 1][0])[-1])


def delete_api(tx: Tx, keys: Keyspace, api: str) -> None:
    """The API and all it has: quotas bound that to some hundred records."""
    delete_parts(tx, keys, api, _PARTS)
    tx.delete(keys.key("api", api))
    tx.delete(_HOMES.key("home", api))


def delete_parts(tx: Tx, keys: Keyspace, api: str, kinds: tuple[str, ...]) -> None:
    for kind in kinds:
        for key, _ in list(tx.scan(keys.span(kind, api))):
            tx.delete(key)


# -- deployments


def freeze(tx: Tx, keys: Keyspace, api: str, deployment: str) -> None:
    """Keep what the API is now under ``deployment``."""
    definition = {
        "api": get(tx, keys, "api", api),
        "resources": all_of(tx, keys, "resource", api),
        "models": all_of(tx, keys, "model", api),
        "validators": all_of(tx, keys, "validator", api),
        "authorizers": all_of(tx, keys, "authorizer", api),
        "responses": all_of(tx, keys, "response", api),
    }
    raw = zlib.compress(orjson.dumps(definition), 6)
    if len(raw) > VALUE_SIZE_BYTES_MAX:
        raise Fault("BadRequestException", "The API is larger than Stratolite can deploy")
    tx.put(keys.key("frozen", api, deployment), raw)


def deployed(tx: Tx, keys: Keyspace, api: str, deployment: str) -> Deployed | None:
    """What was frozen, compiled."""
    return tx.parsed(keys.key("frozen", api, deployment), _compile)


def _compile(raw: bytes) -> Deployed:
    return Deployed(orjson.loads(zlib.decompress(raw)))


# -- API keys


def put_value(tx: Tx, keys: Keyspace, key: Record, value: str) -> None:
    """Seal the key's value into its record, and make the key found by it."""
    key["sealed"] = tx.vault.seal(value.encode(), _PURPOSE).hex()
    tx.put(keys.key("value", _digest(value)), key["id"].encode())


def value_of(tx: Tx, key: Record) -> str:
    return str(tx.vault.open(bytes.fromhex(key["sealed"]), _PURPOSE).decode())


def key_of(tx: Tx, keys: Keyspace, value: str) -> Record | None:
    """The API key that has this value."""
    found = tx.get(keys.key("value", _digest(value)))
    return None if found is None else read(tx, keys, "key", found.decode())


def delete_key(tx: Tx, keys: Keyspace, key: Record) -> None:
    tx.delete(keys.key("value", _digest(value_of(tx, key))))
    for plan in plans_of(tx, keys, key["id"]):
        detach(tx, keys, plan, key["id"])
    tx.delete(keys.key("key", key["id"]))


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


# -- usage plans


def attach(tx: Tx, keys: Keyspace, plan: str, key: str) -> None:
    tx.put(keys.key("plan-key", plan, key), b"")
    tx.put(keys.key("key-plan", key, plan), b"")


def detach(tx: Tx, keys: Keyspace, plan: str, key: str) -> None:
    tx.delete(keys.key("plan-key", plan, key))
    tx.delete(keys.key("key-plan", key, plan))
    for row, _ in list(tx.scan(keys.span("used", plan, key))):
        tx.delete(row)


def is_attached(tx: Tx, keys: Keyspace, plan: str, key: str) -> bool:
    return tx.get(keys.key("plan-key", plan, key)) is not None


def keys_of(tx: Tx, keys: Keyspace, plan: str) -> list[str]:
    return [str(keys.parts(row)[-1]) for row, _ in tx.scan(keys.span("plan-key", plan))]


def plans_of(tx: Tx, keys: Keyspace, key: str) -> list[str]:
    return [str(keys.parts(row)[-1]) for row, _ in tx.scan(keys.span("key-plan", key))]


def used(tx: Tx, keys: Keyspace, plan: str, key: str, day: str) -> int:
    """Requests of a key under a plan on a day (2026-11-29, UTC)."""
    return int(tx.get(keys.key("used", plan, key, day)) or 0)


def use(tx: Tx, keys: Keyspace, plan: str, key: str, day: str) -> None:
    tx.put(keys.key("used", plan, key, day), b"%d" % (used(tx, keys, plan, key, day) + 1))


def used_between(
    tx: Tx, keys: Keyspace, plan: str, key: str, first: str, last: str
) -> dict[str, int]:
    """Day -> requests, both ends included."""
    start = keys.key("used", plan, key, first)
    stop = keys.key("used", plan, key, last) + b"\xff"
    return {str(keys.parts(row)[-1]): int(value) for row, value in tx.scan((start, stop))}
