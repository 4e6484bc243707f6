"""What EventBridge keeps: the only code that touches its keys. Each function takes ``tx`` first.

All under (account, region, "events"); values are JSON unless said otherwise:

    ("bus", name)                  -> {created_s, modified_s, description, policy, tags, dead_letter}; "default" is there unwritten
    ("rule", bus, name)            -> {pattern, schedule, state, description, role, tags, timer, anchor_s}
                                      timer: the stamp its pending ``events.schedule`` job must carry, 0: none
    ("target", bus, rule, id)      -> a Target in the shape of the API
    ("aimed", arn, bus, rule, id)  -> ""  which targets an ARN is
    ("edition", bus)               -> other bytes after each change of the bus's rules and archives
    ("archive", name)              -> {bus, pattern, description, days, created_s, count, bytes, id}
    ("archived", id, time_ms, n)   -> the event as JSON; id: the archive's own stamp. Of a larger one VALUE_SIZE_BYTES_MAX bytes,
                                      the rest by as many: ("archived part", id, time_ms, n, 1...)
    ("replay", name)               -> {archive, destination, only, start_s, end_s, state, reason, begun_s, ended_s, last_s, at}
    ("connection", name)           -> {uuid, type, parameters, description, created_s, modified_s, authorized_s, sealed}
                                      sealed: its secrets, hex, null: deauthorized; parameters: the rest of AuthParameters;
                                      maybe state (OAuth), reason, token (sealed, hex), secret (its ARN)
    ("turn", destination name)     -> [second, how many events may go in it and were told so]
    ("destination", name)          -> {uuid, connection, description, endpoint, method, rate, created_s, modified_s}
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from stratolite.core import Keyspace, Tx
from stratolite.limits import VALUE_SIZE_BYTES_MAX
from stratolite.service_events import BY_TRAIL

Record = dict[str, Any]
DEFAULT = "default"
WITH_READS = "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"
_RULES_LOOKED_AT = 20


def get(tx: Tx, keys: Keyspace, kind: str, *name: str) -> Record | None:
    """A copy of one record."""
    raw = tx.get(keys.key(kind, *name))
    return None if raw is None else orjson.loads(raw)


def put(tx: Tx, keys: Keyspace, kind: str, *name: str, record: Record) -> None:
    tx.put(keys.key(kind, *name), orjson.dumps(record))


def delete(tx: Tx, keys: Keyspace, kind: str, *name: str) -> None:
    tx.delete(keys.key(kind, *name))


def rows(
    tx: Tx, keys: Keyspace, kind: str, *under: str, prefix: str = "", after: str = ""
) -> Iterator[tuple[str, Record]]:
    """(last part of the name, record) in order, of names that begin with ``prefix``, behind ``after``."""
    start, stop = keys.span(kind, *under)
    if prefix:
        start = keys.key(kind, *under, prefix)[:-1]  # without the end of the string
        stop = start + b"\xff"
    if after:
        start = max(start, keys.key(kind, *under, after) + b"\x00")
    for key, raw in tx.scan((start, stop)):
        yield str(keys.parts(key)[-1]), orjson.loads(raw)


def all_rules(tx: Tx, keys: Keyspace, after: str) -> Iterator[tuple[str, str, Record]]:
    """(bus, name, record) of the rules of every bus, behind ``BUS|NAME``."""
    start, stop = keys.span("rule")
    if after:
        start = keys.key("rule", *after.rsplit("|", 1)) + b"\x00"
    for key, raw in tx.scan((start, stop)):
        _, bus_name, name = keys.parts(key)
        yield str(bus_name), str(name), orjson.loads(raw)


def count(tx: Tx, keys: Keyspace, kind: str, *under: str, limit: int) -> int:
    """How many there are, ``limit`` at most."""
    return sum(1 for _ in tx.scan(keys.span(kind, *under), limit=limit))


# -- buses


def bus(tx: Tx, keys: Keyspace, name: str) -> Record | None:
    """The default bus is there from the beginning."""
    found = get(tx, keys, "bus", name)
    if found is None and name == DEFAULT:
        return new_bus(0.0)
    return found


def new_bus(now_s: float) -> Record:
    return {"created_s": now_s, "modified_s": now_s, "description": "", "policy": None, "tags": {}, "dead_letter": None}  # fmt: skip


def edition(tx: Tx, keys: Keyspace, name: str) -> bytes:
    return tx.get(keys.key("edition", name)) or b""


def changed(tx: Tx, keys: Keyspace, name: str) -> None:
    """What is known of this bus's rules and archives is out of date."""
    tx.put(keys.key("edition", name), b"%d" % tx.stamp())


def is_heard(tx: Tx, keys: Keyspace, name: str, what: str = "") -> bool:
    """Whether a rule or archive of the bus could want an event; of many rules only the first are looked at.

    ``what``: "call": an event about a management call, "read": about one that only reads; see ``wants_calls``.
    """
    if not edition(tx, keys, name):
        return False
    for number, (_, rule) in enumerate(rows(tx, keys, "rule", name)):
        if number == _RULES_LOOKED_AT:
            return True
        wants = rule["state"] == WITH_READS if what == "read" else rule["state"] != "DISABLED"
        if wants and rule["pattern"] and (not what or wants_calls(rule)):
            return True
    return what != "read" and any(
        archive["bus"] == name and (not what or wants_calls(archive))
        for _, archive in rows(tx, keys, "archive")
    )


def wants_calls(record: Record) -> bool:
    """Whether the pattern of a rule or archive names the events about management calls.

    On AWS they come when a trail was made to log them; there are no trails here, so whoever names them has asked for them.
    """
    return BY_TRAIL in (record["pattern"] or "")


# -- targets


def targets(tx: Tx, keys: Keyspace, bus_name: str, rule: str) -> list[Record]:
    return [record for _, record in rows(tx, keys, "target", bus_name, rule)]


def put_target(tx: Tx, keys: Keyspace, bus_name: str, rule: str, target: Record) -> None:
    delete_target(tx, keys, bus_name, rule, target["Id"])
    put(tx, keys, "target", bus_name, rule, target["Id"], record=target)
    tx.put(keys.key("aimed", target["Arn"], bus_name, rule, target["Id"]), b"")


def delete_target(tx: Tx, keys: Keyspace, bus_name: str, rule: str, target_id: str) -> bool:
    old = get(tx, keys, "target", bus_name, rule, target_id)
    if old is None:
        return False
    delete(tx, keys, "target", bus_name, rule, target_id)
    tx.delete(keys.key("aimed", old["Arn"], bus_name, rule, target_id))
    return True


def rules_aimed_at(
    tx: Tx, keys: Keyspace, arn: str, bus_name: str, after: str, limit: int
) -> tuple[list[str], str]:
    """Names of rules of a bus with this target, and where to go on ("": the end)."""
    found: list[str] = []
    start, stop = keys.span("aimed", arn, bus_name)
    if after:
        start = keys.key("aimed", arn, bus_name, after) + b"\xff"
    for key, _ in tx.scan((start, stop)):
        rule = str(keys.parts(key)[3])
        if found and found[-1] == rule:
            continue
        if len(found) == limit:
            return found, found[-1]
        found.append(rule)
    return found, ""


# -- API destinations


def turn_s(tx: Tx, keys: Keyspace, destination: str, rate: int) -> float:
    """When the next event may go to a destination that takes ``rate`` a second; the turn is taken."""
    key = keys.key("turn", destination)
    second, taken = orjson.loads(tx.get(key) or b"[0,0]")
    if second < int(tx.time_s):
        second, taken = int(tx.time_s), 0
    if taken >= rate:
        second, taken = second + 1, 0
    tx.put(key, orjson.dumps([second, taken + 1]))
    return float(second)


# -- archives


def archive_event(tx: Tx, keys: Keyspace, archive: Record, time_ms: int, event: bytes) -> None:
    place = (archive["id"], time_ms, tx.stamp())
    tx.put(keys.key("archived", *place), event[:VALUE_SIZE_BYTES_MAX])
    for at in range(VALUE_SIZE_BYTES_MAX, len(event), VALUE_SIZE_BYTES_MAX):
        part = keys.key("archived part", *place, at // VALUE_SIZE_BYTES_MAX)
        tx.put(part, event[at : at + VALUE_SIZE_BYTES_MAX])
    archive["count"] += 1
    archive["bytes"] += len(event)


def archived(
    tx: Tx, keys: Keyspace, archive_id: int, start_ms: int, end_ms: int, after: list[int] | None
) -> Iterator[tuple[list[int], bytes]]:
    """([time_ms, n], event) from ``start_ms`` to before ``end_ms``, behind ``after``."""
    start = keys.key("archived", archive_id, start_ms)
    if after:
        start = keys.key("archived", archive_id, *after) + b"\x00"
    for key, first in tx.scan((start, keys.key("archived", archive_id, end_ms))):
        _, _, time_ms, number = keys.parts(key)
        event = b"".join([first, *(part for _, part in _further(tx, keys, key, first))])
        assert isinstance(time_ms, int)
        assert isinstance(number, int)
        yield [time_ms, number], event


def forget_archived(
    tx: Tx, keys: Keyspace, archive_id: int, before_ms: int, limit: int
) -> tuple[int, int]:
    """Drop the oldest events that are older: (how many, of how many bytes), at most ``limit``."""
    start = keys.key("archived", archive_id)
    old = list(tx.scan((start, keys.key("archived", archive_id, before_ms)), limit=limit))
    size = 0
    for key, first in old:
        further = _further(tx, keys, key, first)
        size += len(first) + sum(len(part) for _, part in further)
        for part_key in (key, *(part_key for part_key, _ in further)):
            tx.delete(part_key)
    return len(old), size


def _further(tx: Tx, keys: Keyspace, key: bytes, first: bytes) -> list[tuple[bytes, bytes]]:
    """(key, bytes) of what an archived event has beyond its first part."""
    if len(first) < VALUE_SIZE_BYTES_MAX:
        return []
    return list(tx.scan(keys.span("archived part", *keys.parts(key)[1:])))
