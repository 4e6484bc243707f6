"""The keys of Lambda, see the front page; the only file that knows them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any

import orjson

from stratolite.core import Keyspace, Tx
from stratolite.core.vault import Vault
from stratolite.service import is_number
from stratolite.services.lambda_.names import LATEST, Ref

Record = dict[str, Any]
"""Parsed and shared between transactions: never change one, put a new one."""

_URLS = Keyspace("", "", "lambda")["url"]


def _keys(ref: Ref) -> Keyspace:
    return _space(ref.account, ref.region)


@lru_cache(maxsize=1000)
def _space(account: str, region: str) -> Keyspace:
    return Keyspace(account, region, "lambda")


@lru_cache(maxsize=4096)
def _function_key(account: str, region: str, name: str) -> bytes:
    return _space(account, region).key("function", name)


def _put(tx: Tx, key: bytes, record: Record) -> None:
    tx.put(key, orjson.dumps(record))


# -- functions and versions; a configuration's environment variables are {Sealed: base64 of them as JSON}

_PURPOSE = "lambda-environment"


def _sealed(tx: Tx, record: Record) -> Record:
    config = record["config"]
    variables = config.get("Environment", {}).get("Variables")
    if not variables:
        return record
    sealed = tx.vault.seal(orjson.dumps(variables), _PURPOSE)
    hidden = {"Sealed": base64.b64encode(sealed).decode()}
    return {**record, "config": {**config, "Environment": hidden}}


def _opener(tx: Tx) -> Callable[[bytes], Record]:
    """The same for every transaction of a cloud, as ``Tx.parsed`` wants it."""
    vault = tx.vault
    opener: Callable[[bytes], Record] | None = vault.openers.get(_PURPOSE)
    if opener is None:
        opener = vault.openers[_PURPOSE] = partial(_opened, vault)
    return opener


def _opened(vault: Vault, raw: bytes) -> Record:
    record: Record = orjson.loads(raw)
    sealed = record["config"].get("Environment", {}).get("Sealed")
    if sealed is not None:
        variables = orjson.loads(vault.open(base64.b64decode(sealed), _PURPOSE))
        record["config"]["Environment"] = {"Variables": variables}
    return record


def get_function(tx: Tx, ref: Ref) -> Record | None:
    """The function's own record, which is $LATEST."""
    return tx.parsed(_function_key(ref.account, ref.region, ref.name), _opener(tx))


def put_function(tx: Tx, ref: Ref, record: Record) -> None:
    _put(tx, _keys(ref).key("function", ref.name), _sealed(tx, record))


def get_version(tx: Tx, ref: Ref, number: int) -> Record | None:
    return tx.parsed(_keys(ref).key("version", ref.name, number), _opener(tx))


def put_version(tx: Tx, ref: Ref, number: int, record: Record) -> None:
    _put(tx, _keys(ref).key("version", ref.name, number), _sealed(tx, record))


def delete_version(tx: Tx, ref: Ref, number: int) -> None:
    tx.delete(_keys(ref).key("version", ref.name, number))


def resolve(tx: Tx, ref: Ref) -> tuple[Record, Record | None] | None:
    """The record a qualifier leads to and the alias on the way; None if there is no such thing."""
    qualifier = ref.qualifier or LATEST
    if qualifier == LATEST:
        record, alias = get_function(tx, ref), None
    elif is_number(qualifier):
        record, alias = get_version(tx, ref, int(qualifier)), None
    else:
        alias = get_alias(tx, ref, qualifier)
        if alias is None:
            return None
        number = alias["FunctionVersion"]
        record = get_function(tx, ref) if number == LATEST else get_version(tx, ref, int(number))
    return (record, alias) if record is not None else None


def functions(tx: Tx, account: str, region: str, after: str) -> Iterator[tuple[str, Record]]:
    """Names and records in order of name, behind ``after``."""
    keys = Keyspace(account, region, "lambda")["function"]
    start, stop = keys.span()
    if after:
        start = keys.key(after) + b"\x00"
    for key, raw in tx.scan((start, stop)):
        (name,) = keys.parts(key)
        yield str(name), _opener(tx)(raw)


def versions(tx: Tx, ref: Ref, after: int = 0) -> Iterator[tuple[int, Record]]:
    yield from _rows(tx, _keys(ref)["version"][ref.name], after)


def _rows(tx: Tx, keys: Keyspace, after: int) -> Iterator[tuple[int, Record]]:
    start, stop = keys.key(after + 1), keys.span()[1]
    for key, raw in tx.scan((start, stop)):
        (number,) = keys.parts(key)
        assert isinstance(number, int)
        yield number, _opener(tx)(raw)


def delete_function(tx: Tx, ref: Ref) -> list[Record]:
    """Remove everything a function has; the records that held code."""
    keys = _keys(ref)
    gone = [record for _, record in versions(tx, ref)]
    if (latest := get_function(tx, ref)) is not None:
        gone.append(latest)
    for url in [u for _, u in named(tx, ref, "url")]:
        tx.delete(_URLS.key(url["id"]))
    for kind in ("version", "alias", "policy", "url", "async"):
        for key, _ in list(tx.scan(keys.span(kind, ref.name))):
            tx.delete(key)
    tx.delete(keys.key("function", ref.name))
    return gone


# -- what belongs to a function under a name: aliases, policies, URLs, asynchronous settings


def get_named(tx: Tx, ref: Ref, kind: str, name: str) -> Record | None:
    """``kind`` is alias, policy, url or async."""
    return tx.parsed(_keys(ref).key(kind, ref.name, name), orjson.loads)


def put_named(tx: Tx, ref: Ref, kind: str, name: str, record: Record) -> None:
    _put(tx, _keys(ref).key(kind, ref.name, name), record)


def delete_named(tx: Tx, ref: Ref, kind: str, name: str) -> None:
    tx.delete(_keys(ref).key(kind, ref.name, name))


def named(tx: Tx, ref: Ref, kind: str, after: str = "") -> Iterator[tuple[str, Record]]:
    keys = _keys(ref)[kind][ref.name]
    start, stop = keys.span()
    if after:
        start = keys.key(after) + b"\x00"
    for key, raw in tx.scan((start, stop)):
        (name,) = keys.parts(key)
        yield str(name), orjson.loads(raw)


def get_alias(tx: Tx, ref: Ref, name: str) -> Record | None:
    return get_named(tx, ref, "alias", name)


# -- URL ids, which are unique everywhere


def get_url_owner(tx: Tx, url_id: str) -> Ref | None:
    found: Record | None = tx.parsed(_URLS.key(url_id), orjson.loads)
    if found is None:
        return None
    return Ref(found["account"], found["region"], found["name"], found["qualifier"] or None)


def put_url_owner(tx: Tx, url_id: str, ref: Ref) -> None:
    owner = {
        "account": ref.account,
        "region": ref.region,
        "name": ref.name,
        "qualifier": ref.qualifier or "",
    }
    _put(tx, _URLS.key(url_id), owner)


def delete_url_owner(tx: Tx, url_id: str) -> None:
    tx.delete(_URLS.key(url_id))


# -- layers; ``ref.name`` is the layer's


def get_layer(tx: Tx, ref: Ref, number: int) -> Record | None:
    return tx.parsed(_keys(ref).key("layer", ref.name, number), orjson.loads)


def put_layer(tx: Tx, ref: Ref, number: int, record: Record) -> None:
    _put(tx, _keys(ref).key("layer", ref.name, number), record)


def delete_layer(tx: Tx, ref: Ref, number: int) -> None:
    tx.delete(_keys(ref).key("layer", ref.name, number))


def layer_versions(
    tx: Tx, ref: Ref, *, reverse: bool = False, before: int | None = None
) -> Iterator[tuple[int, Record]]:
    keys = _keys(ref)["layer"][ref.name]
    start, stop = keys.span()
    if before is not None:
        stop = keys.key(before)
    for key, raw in tx.scan((start, stop), reverse=reverse):
        (number,) = keys.parts(key)
        assert isinstance(number, int)
        yield number, orjson.loads(raw)


def layer_names(tx: Tx, account: str, region: str, after: str) -> Iterator[str]:
    keys = Keyspace(account, region, "lambda")["layer-next"]
    start, stop = keys.span()
    if after:
        start = keys.key(after) + b"\x00"
    for key, _ in tx.scan((start, stop)):
        yield str(keys.parts(key)[0])


def next_layer_number(tx: Tx, ref: Ref) -> int:
    """Numbers are not given again, also after the newest version was deleted."""
    key = _keys(ref).key("layer-next", ref.name)
    number = int(tx.get(key) or b"1")
    tx.put(key, str(number + 1).encode())
    return number


# -- what an account has in a region: {functions, code_bytes, reserved}


def usage(tx: Tx, account: str, region: str) -> Record:
    key = Keyspace(account, region, "lambda").key("usage")
    return tx.parsed(key, orjson.loads) or {"functions": 0, "code_bytes": 0, "reserved": 0}


def count(tx: Tx, ref: Ref, *, functions: int = 0, code_bytes: int = 0, reserved: int = 0) -> None:
    """Add to the account's usage."""
    now = usage(tx, ref.account, ref.region)
    changed = {
        "functions": now["functions"] + functions,
        "code_bytes": now["code_bytes"] + code_bytes,
        "reserved": now["reserved"] + reserved,
    }
    _put(tx, Keyspace(ref.account, ref.region, "lambda").key("usage"), changed)
