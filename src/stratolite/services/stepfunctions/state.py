"""What Step Functions keeps: the only code that touches its keys. Each function takes ``tx`` first."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson

from stratolite.core import Keyspace, Tx

Record = dict[str, Any]
_INVERSE = (1 << 62) - 1


class Place(NamedTuple):
    """Where an execution is kept. ``name`` of an express one is NAME:UUID, as its ARN ends."""

    machine: str
    name: str


# -- things with names: machines, versions, aliases, activities


def get(tx: Tx, keys: Keyspace, *parts: str | int) -> Record | None:
    raw = tx.get(keys.key(*parts))
    return None if raw is None else orjson.loads(raw)


def put(tx: Tx, keys: Keyspace, record: Record, *parts: str | int) -> None:
    tx.put(keys.key(*parts), orjson.dumps(record))


def delete(tx: Tx, keys: Keyspace, *parts: str | int) -> None:
    tx.delete(keys.key(*parts))


def rows(
    tx: Tx, keys: Keyspace, *under: str | int, after: str | int = "", reverse: bool = False
) -> Iterator[tuple[Any, Record]]:
    """(last part of the key, record) under a prefix, in order, behind ``after``."""
    start, stop = keys.span(*under)
    if after != "":
        place = keys.key(*under, after)
        start, stop = (start, place) if reverse else (place + b"\x00", stop)
    for key, raw in tx.scan((start, stop), reverse=reverse):
        yield keys.parts(key)[-1], orjson.loads(raw)


# -- definitions, kept once for each machine and text


def keep_definition(tx: Tx, keys: Keyspace, machine: str, text: str) -> str:
    """What it is known by."""
    raw = text.encode()
    name = hashlib.sha256(raw).hexdigest()[:32]
    key = keys.key("definition", machine, name)
    if tx.get(key) is None:
        tx.put(key, raw)
    return name


def definition(tx: Tx, keys: Keyspace, machine: str, name: str) -> str:
    raw = tx.get(keys.key("definition", machine, name))
    assert raw is not None, name
    return raw.decode()


def compiled(
    tx: Tx, keys: Keyspace, machine: str, name: str, compile_: Callable[[bytes], Any]
) -> Any:
    """What ``compile_`` makes of a definition, kept in memory while it is used."""
    return tx.parsed(keys.key("definition", machine, name), compile_)


# -- executions


def execution(tx: Tx, keys: Keyspace, place: Place) -> Record | None:
    return get(tx, keys, "execution", *place)


def add_execution(tx: Tx, keys: Keyspace, place: Place, record: Record, input_: str) -> None:
    """Standard ones are listed, newest first, by machine and by status."""
    record["stamp"] = _INVERSE - tx.stamp()
    tx.put(keys.key("input", *place), input_.encode())
    put(tx, keys, record, "execution", *place)
    if not record["is_express"]:
        tx.put(keys.key("listed", place.machine, record["stamp"]), place.name.encode())
        tx.put(_by_status(keys, place, record), place.name.encode())


def put_execution(tx: Tx, keys: Keyspace, place: Place, record: Record, old_status: str) -> None:
    if not record["is_express"] and old_status != record["status"]:
        tx.delete(_by_status(keys, place, {**record, "status": old_status}))
        tx.put(_by_status(keys, place, record), place.name.encode())
    put(tx, keys, record, "execution", *place)


def _by_status(keys: Keyspace, place: Place, record: Record) -> bytes:
    return keys.key("status", place.machine, record["status"], record["stamp"])


def listed(
    tx: Tx, keys: Keyspace, machine: str, status: str | None, after: int | None
) -> Iterator[tuple[int, str]]:
    """(where a listing goes on, name) of a machine's executions, newest first."""
    under = ("listed", machine) if status is None else ("status", machine, status)
    start, stop = keys.span(*under)
    if after is not None:
        start = keys.key(*under, after) + b"\x00"
    for key, raw in tx.scan((start, stop)):
        last = keys.parts(key)[-1]
        assert isinstance(last, int)
        yield last, raw.decode()


def execution_input(tx: Tx, keys: Keyspace, place: Place) -> str:
    raw = tx.get(keys.key("input", *place))
    assert raw is not None, place
    return raw.decode()


def put_output(tx: Tx, keys: Keyspace, place: Place, output: str) -> None:
    tx.put(keys.key("output", *place), output.encode())


def output(tx: Tx, keys: Keyspace, place: Place) -> str | None:
    raw = tx.get(keys.key("output", *place))
    return None if raw is None else raw.decode()


def put_event(tx: Tx, keys: Keyspace, place: Place, event: Record) -> None:
    put(tx, keys, event, "event", *place, event["id"])


def events(
    tx: Tx, keys: Keyspace, place: Place, after: int | None, *, reverse: bool
) -> Iterator[Record]:
    for _, event in rows(tx, keys, "event", *place, after="" if after is None else after, reverse=reverse):  # fmt: skip
        yield event


def memory_key(keys: Keyspace, place: Place, key: tuple[str | int, ...]) -> bytes:
    return keys.key("memory", *place, *key)


def remembered(tx: Tx, keys: Keyspace, place: Place) -> Callable[[tuple[str | int, ...]], bytes | None]:  # fmt: skip
    return lambda key: tx.get(memory_key(keys, place, key))


def pending_key(keys: Keyspace, place: Place, line: int, kind: str) -> bytes:
    """Of a job's id: what is to be done or to ring for a line."""
    return keys.key("pending", *place, line, kind)


def pending(tx: Tx, keys: Keyspace, place: Place, line: int) -> list[tuple[bytes, str, bytes]]:
    """(key, kind, value) of a line."""
    found = []
    for key, raw in tx.scan(keys.span("pending", *place, line)):
        found.append((key, str(keys.parts(key)[-1]), raw))
    return found


_OF_AN_EXECUTION = ("event", "memory", "pending", "input", "output", "execution")


def drop_page(tx: Tx, keys: Keyspace, place: Place, rows_max: int) -> bool:
    """Delete up to so many rows of an execution, its record last; whether there may be more."""
    left = rows_max
    for kind in _OF_AN_EXECUTION:
        if kind == "execution":
            record = execution(tx, keys, place)
            if record is not None and not record["is_express"]:
                tx.delete(keys.key("listed", place.machine, record["stamp"]))
                tx.delete(_by_status(keys, place, record))
        for key, _ in list(tx.scan(keys.span(kind, *place), limit=left)):
            tx.delete(key)
            left -= 1
        if not left:
            return True
    return False


def drop_definitions(tx: Tx, keys: Keyspace, machine: str, rows_max: int) -> bool:
    found = [key for key, _ in tx.scan(keys.span("definition", machine), limit=rows_max)]
    for key in found:
        tx.delete(key)
    return len(found) == rows_max


def waiting_span(keys: Keyspace, activity: str) -> tuple[bytes, bytes]:
    return keys.span("waiting", activity)
