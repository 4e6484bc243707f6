"""The keys of event source mappings, under (account, region, "lambda"); the only file that knows them.

("mapping", uuid)               -> JSON {config, name, qualifier, kind, enabled, deleting, epoch, sealed: see ``mapping_sealing``}; ``config`` is in the
                                   shape AWS answers it, ``epoch`` counts how often it was switched on
("mapping-of", source, uuid)    -> ""    mappings by their source's ARN
("mapping-to", name, uuid)      -> ""    mappings by their function's name
("mapping-result", uuid)        -> what LastProcessingResult says
("checkpoint", uuid, shard)     -> JSON {epoch, after | iterator, time | type, tried, window, state, done}: where in the shard
                                   to read on; ``epoch`` is the one its reader was last begun for, ``tried`` has
                                   first record -> [last, attempts] of what failed ("": the end of a window)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from stratolite.core import Keyspace, Span, Tx

Record = dict[str, Any]
"""Parsed and shared between transactions: never change one, put a new one."""


def get(tx: Tx, keys: Keyspace, uuid: str) -> Record | None:
    return tx.parsed(keys.key("mapping", uuid), orjson.loads)


def put(tx: Tx, keys: Keyspace, uuid: str, record: Record) -> None:
    config = record["config"]
    tx.put(keys.key("mapping", uuid), orjson.dumps(record))
    tx.put(keys.key("mapping-of", config["EventSourceArn"], uuid), b"")
    tx.put(keys.key("mapping-to", record["name"], uuid), b"")


def moved(tx: Tx, keys: Keyspace, uuid: str, old_name: str) -> None:
    """It leads to another function now."""
    tx.delete(keys.key("mapping-to", old_name, uuid))


def delete(tx: Tx, keys: Keyspace, uuid: str, record: Record) -> None:
    tx.delete(keys.key("mapping", uuid))
    tx.delete(keys.key("mapping-of", record["config"]["EventSourceArn"], uuid))
    tx.delete(keys.key("mapping-to", record["name"], uuid))
    tx.delete(keys.key("mapping-result", uuid))


def span(keys: Keyspace, uuid: str) -> Span:
    """Changes when the mapping does."""
    key = keys.key("mapping", uuid)
    return key, key + b"\0"


def of_source(tx: Tx, keys: Keyspace, arn: str, after: str = "") -> Iterator[str]:
    yield from _uuids(tx, keys["mapping-of"][arn], after)


def to_function(tx: Tx, keys: Keyspace, name: str, after: str = "") -> Iterator[str]:
    yield from _uuids(tx, keys["mapping-to"][name], after)


def every(tx: Tx, keys: Keyspace, after: str = "") -> Iterator[str]:
    yield from _uuids(tx, keys["mapping"], after)


def _uuids(tx: Tx, space: Keyspace, after: str) -> Iterator[str]:
    start, stop = space.span()
    if after:
        start = space.key(after) + b"\0"
    for key, _ in tx.scan((start, stop)):
        yield str(space.parts(key)[0])


# -- results


def result(tx: Tx, keys: Keyspace, uuid: str) -> str:
    return (tx.get(keys.key("mapping-result", uuid)) or b"No records processed").decode()


def put_result(tx: Tx, keys: Keyspace, uuid: str, text: str) -> None:
    """Written only when it says something else."""
    if result(tx, keys, uuid) != text:
        tx.put(keys.key("mapping-result", uuid), text.encode())


# -- checkpoints


def checkpoint(tx: Tx, keys: Keyspace, uuid: str, shard: str) -> Record | None:
    raw = tx.get(keys.key("checkpoint", uuid, shard))
    return orjson.loads(raw) if raw is not None else None


def put_checkpoint(tx: Tx, keys: Keyspace, uuid: str, shard: str, row: Record) -> None:
    tx.put(keys.key("checkpoint", uuid, shard), orjson.dumps(row))


def delete_checkpoint(tx: Tx, keys: Keyspace, uuid: str, shard: str) -> None:
    tx.delete(keys.key("checkpoint", uuid, shard))


def checkpoints(tx: Tx, keys: Keyspace, uuid: str) -> Iterator[tuple[str, Record]]:
    space = keys["checkpoint"][uuid]
    for key, raw in tx.scan(space.span()):
        yield str(space.parts(key)[0]), orjson.loads(raw)


def delete_checkpoints_page(tx: Tx, keys: Keyspace, uuid: str, most: int) -> bool:
    """Delete up to ``most``; whether some are left."""
    gone = [key for key, _ in tx.scan(keys.span("checkpoint", uuid), limit=most)]
    for key in gone:
        tx.delete(key)
    return len(gone) == most
