"""Stacks, their resources, events, templates and change sets in the store. Only this file knows the keys.

Under (account, region, "cloudformation"); values are JSON unless said otherwise:

    ("name", stack name)                  -> uuid of the stack that has the name now (text)
    ("list", stamp)                       -> uuid, in order of creation (text)
    ("stack", uuid)                       -> Stack
    ("resource", uuid, logical id)        -> Record; its ``indexed`` is the physical id it has in the index
    ("owned", physical id, uuid, logical id) -> empty: the index from what there is to whose it is
    ("owned-all",)                        -> empty: the index is whole (regions written to before there was one lack it)
    ("event", uuid, stamp)                -> an event as DescribeStackEvents shows it
    ("template", uuid, version, kind, n)  -> part n of the zlib-compressed text; kind "original" | "processed"
    ("changes", uuid, change set name)    -> a change set
    ("changeset", change set uuid)        -> [stack uuid, change set name]
    ("export", export name)               -> [value, stack uuid, stack id]
    ("import", export name, uuid)         -> stack name (text)
    ("drift", uuid, logical id), ("detection", id): see ``drift``; ("signal", ...): see ``signals``
    ("macro", name)                       -> [token of its resource, its function's name or ARN, its description if it has one]

Stack and change set are dicts written by ``service.py``, ``operations.py`` and ``engine.py``; their ``private``
member holds parameter values, a Record's ``private`` its resolved properties. ``private`` is stored under ``sealed``
(JSON, zlib, the vault's seal, base64), because a NoEcho parameter may be anywhere inside.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from stratolite.core import Keyspace, Span, Tx, work
from stratolite.core.vault import Vault
from stratolite.errors import Fault
from stratolite.service import Call
from stratolite.services.cloudformation import bus
from stratolite.services.cloudformation.quotas import (
    DELETED_KEPT_S,
    REASON_LENGTH_MAX,
    TEMPLATE_CHUNK_BYTES,
)

Stack = dict[str, Any]
Record = dict[str, Any]
NOTIFY_QUEUE = "cloudformation.notify"
EXPIRE_QUEUE = "cloudformation.expire"
_PURPOSE = "cloudformation"
_USERS_SHOWN_COUNT = 10


class Rows(NamedTuple):
    """Where an account keeps its stacks in a region."""

    keys: Keyspace
    vault: Vault


def rows_of(call: Call) -> Rows:
    return Rows(call.keys("cloudformation"), call.cloud.vault)


def pack_row(rows: Rows, row: dict[str, Any]) -> bytes:
    stored = {key: value for key, value in row.items() if key != "private"}
    if "private" in row:
        packed = zlib.compress(orjson.dumps(row["private"]), 1)
        sealed = rows.vault.seal(packed, _PURPOSE)
        stored["sealed"] = base64.b64encode(sealed).decode()
    return orjson.dumps(stored)


def unpack_row(rows: Rows, raw: bytes) -> dict[str, Any]:
    row: dict[str, Any] = orjson.loads(raw)
    sealed = row.pop("sealed", None)
    if sealed is not None:
        packed = rows.vault.open(base64.b64decode(sealed), _PURPOSE)
        row["private"] = orjson.loads(zlib.decompress(packed))
    return row


# -- stacks


def add_stack(tx: Tx, rows: Rows, stack: Stack) -> None:
    tx.put(rows.keys.key("name", stack["name"]), stack["uuid"].encode())
    stack["place"] = tx.stamp()
    tx.put(rows.keys.key("list", stack["place"]), stack["uuid"].encode())
    put_stack(tx, rows, stack)


def put_stack(tx: Tx, rows: Rows, stack: Stack) -> None:
    """``revision`` counts the writes: what was prepared from an older one is noticed."""
    stack["revision"] = stack.get("revision", 0) + 1
    tx.put(rows.keys.key("stack", stack["uuid"]), pack_row(rows, stack))


def stack_of(tx: Tx, rows: Rows, uuid: str) -> Stack | None:
    raw = tx.get(rows.keys.key("stack", uuid))
    return None if raw is None else unpack_row(rows, raw)


def stack_span(rows: Rows, uuid: str) -> Span:
    """What changes whenever the stack does."""
    return rows.keys.span("stack", uuid)


def in_progress(tx: Tx, rows: Rows, uuid: str) -> bool:
    stack = stack_of(tx, rows, uuid)
    return stack is not None and stack["status"].endswith("_IN_PROGRESS")


def named_stack(tx: Tx, rows: Rows, name: str) -> Stack | None:
    """The stack that is there now under this name."""
    uuid = tx.get(rows.keys.key("name", name))
    return None if uuid is None else stack_of(tx, rows, uuid.decode())


def named_uuid(tx: Tx, rows: Rows, name: str) -> str | None:
    uuid = tx.get(rows.keys.key("name", name))
    return None if uuid is None else uuid.decode()


def free_name(tx: Tx, rows: Rows, name: str) -> None:
    tx.delete(rows.keys.key("name", name))


def leave(stack: Stack) -> None:
    """The operation is over."""
    stack["op"] = None
    stack["private"].pop("op_parameters", None)
    stack["private"].pop("op_looked_up", None)


def retire(call: Call, rows: Rows, stack: Stack) -> None:
    """The stack is deleted: its name is free, and it is shown for ``DELETED_KEPT_S``."""
    if named_uuid(call.tx, rows, stack["name"]) == stack["uuid"]:
        free_name(call.tx, rows, stack["name"])
    stack["deleted_s"] = call.tx.time_s
    stack["status"], stack["reason"] = "DELETE_COMPLETE", ""
    add_event(call, rows, stack, "DELETE_COMPLETE")
    leave(stack)
    put_stack(call.tx, rows, stack)
    payload = orjson.dumps([call.account, call.region, stack["uuid"]])
    work.put(call.tx, EXPIRE_QUEUE, payload, due_s=call.tx.time_s + DELETED_KEPT_S)


def live_stacks(tx: Tx, rows: Rows, after: str, limit: int) -> list[Stack]:
    """In order of names."""
    start, stop = rows.keys.span("name")
    if after:
        start = rows.keys.key("name", after) + b"\x00"
    uuids = [raw.decode() for _, raw in tx.scan((start, stop), limit=limit)]
    return [stack for uuid in uuids if (stack := stack_of(tx, rows, uuid)) is not None]


def all_stacks(tx: Tx, rows: Rows, before: int) -> Iterator[tuple[int, Stack]]:
    """Newest first, with their place in the list; deleted ones too."""
    start, stop = rows.keys.span("list")
    if before:
        stop = rows.keys.key("list", before)
    for key, raw in tx.scan((start, stop), reverse=True):
        stack = stack_of(tx, rows, raw.decode())
        if stack is not None:
            yield int(rows.keys.parts(key)[1]), stack


def forget_part(tx: Tx, rows: Rows, uuid: str, limit: int) -> bool:
    """Remove up to ``limit`` rows of a deleted stack; True when nothing of it is left."""
    stack = stack_of(tx, rows, uuid)
    if stack is None:
        return True
    for changes in changes_page(tx, rows, uuid, "", limit):
        drop_changes(tx, rows, uuid, changes)
    found_records = records_page(tx, rows, uuid, "", limit)
    for record in found_records:
        drop_record(tx, rows, uuid, record["id"])
    if found_records:
        return False
    for kind in ("event", "template", "drift"):
        found = [key for key, _ in tx.scan(rows.keys.span(kind, uuid), limit=limit)]
        for key in found:
            tx.delete(key)
        if found:
            return False
    for detection_id in stack.get("detections", []):
        drop_detection(tx, rows, detection_id)
    tx.delete(rows.keys.key("list", stack["place"]))
    tx.delete(rows.keys.key("stack", uuid))
    return True


# -- resources


def put_record(tx: Tx, rows: Rows, uuid: str, record: Record) -> None:
    """A new Record of a logical id that has one takes over what is ``indexed`` of it."""
    physical_id = None if record.get("gone") else record.get("physical_id")
    indexed = record.get("indexed")
    if physical_id != indexed:
        if indexed:
            tx.delete(rows.keys.key("owned", indexed, uuid, record["id"]))
        if physical_id:
            tx.put(rows.keys.key("owned", physical_id, uuid, record["id"]), b"")
        record["indexed"] = physical_id
    tx.put(rows.keys.key("resource", uuid, record["id"]), pack_row(rows, record))


def record_of(tx: Tx, rows: Rows, uuid: str, logical_id: str) -> Record | None:
    raw = tx.get(rows.keys.key("resource", uuid, logical_id))
    return None if raw is None else unpack_row(rows, raw)


def drop_record(tx: Tx, rows: Rows, uuid: str, logical_id: str) -> None:
    key = rows.keys.key("resource", uuid, logical_id)
    raw = tx.get(key)
    if raw is not None and (indexed := orjson.loads(raw).get("indexed")):
        tx.delete(rows.keys.key("owned", indexed, uuid, logical_id))
    tx.delete(key)


def owner_of(tx: Tx, rows: Rows, physical_id: str, kind: str) -> Stack | None:
    """The stack that has a resource with this physical id, of type ``kind`` if that is not ""."""
    for key, _ in tx.scan(rows.keys.span("owned", physical_id)):
        _, _, uuid, logical_id = rows.keys.parts(key)
        record = record_of(tx, rows, str(uuid), str(logical_id))
        if record is None or kind not in ("", record["type"]):
            continue
        stack = stack_of(tx, rows, str(uuid))
        if stack is not None and stack["status"] != "DELETE_COMPLETE":
            return stack
    return None


def is_indexed(tx: Tx, rows: Rows) -> bool:
    return tx.get(rows.keys.key("owned-all")) is not None


def index_page(tx: Tx, rows: Rows, after: str, limit: int) -> str:
    """Index the resources of the next stacks by name; the name to go on after, "" when the index is whole."""
    stacks = live_stacks(tx, rows, after, limit)
    for stack in stacks:
        for record in records(tx, rows, stack["uuid"]):
            if record.get("indexed") is None and record.get("physical_id"):
                put_record(tx, rows, stack["uuid"], record)
    if len(stacks) == limit:
        return str(stacks[-1]["name"])
    tx.put(rows.keys.key("owned-all"), b"")
    return ""


def records(tx: Tx, rows: Rows, uuid: str) -> list[Record]:
    """All of a stack's (500 at most)."""
    return [unpack_row(rows, raw) for _, raw in tx.scan(rows.keys.span("resource", uuid))]


def records_page(tx: Tx, rows: Rows, uuid: str, after: str, limit: int) -> list[Record]:
    start, stop = rows.keys.span("resource", uuid)
    if after:
        start = rows.keys.key("resource", uuid, after) + b"\x00"
    return [unpack_row(rows, raw) for _, raw in tx.scan((start, stop), limit=limit)]


# -- events


def add_event(
    call: Call,
    rows: Rows,
    stack: Stack,
    status: str,
    *,
    reason: str = "",
    record: Record | None = None,
    physical_id: str | None = None,
) -> None:
    """One line of the stack's story: about ``record``, or about the stack itself. Those who listen are told."""
    tx = call.tx
    stamp = tx.stamp()
    event = {
        "StackId": stack["id"],
        "StackName": stack["name"],
        "EventId": f"{record['id']}-{status}-{stamp:x}"
        if record
        else f"{stack['uuid'][:8]}-{stamp:x}",
        "LogicalResourceId": record["id"] if record else stack["name"],
        "PhysicalResourceId": stack["id"] if record is None else record.get("physical_id") or "",
        "ResourceType": record["type"] if record else "AWS::CloudFormation::Stack",
        "Timestamp": tx.time_s,
        "ResourceStatus": status,
    }
    if physical_id is not None:
        event["PhysicalResourceId"] = physical_id
    if reason:
        event["ResourceStatusReason"] = reason[:REASON_LENGTH_MAX]
    op = stack.get("op") or {}
    if op.get("id"):
        event["OperationId"] = op["id"]
    if notify := op.get("notify") or stack.get("notify"):
        row = [notify, op.get("principal") or {}, stack.get("role_arn") or "", event]
        work.put(tx, NOTIFY_QUEUE, orjson.dumps(row), partition=stack["uuid"].encode())
    token = op.get("client_token") or stack.get("client_token")
    if token:
        event["ClientRequestToken"] = token
    tx.put(rows.keys.key("event", stack["uuid"], stamp), orjson.dumps(event))
    bus.tell_of_event(call, event)


def events_page(
    tx: Tx, rows: Rows, uuid: str, before: int, limit: int
) -> list[tuple[int, dict[str, Any]]]:
    """Newest first, with their stamps."""
    start, stop = rows.keys.span("event", uuid)
    if before:
        stop = rows.keys.key("event", uuid, before)
    return [
        (int(rows.keys.parts(key)[2]), orjson.loads(raw))
        for key, raw in tx.scan((start, stop), reverse=True, limit=limit)
    ]


# -- templates


def put_template(
    tx: Tx, rows: Rows, uuid: str, version: str, original: str, processed: str
) -> None:
    for kind, text in (("original", original), ("processed", processed)):
        packed = zlib.compress(text.encode(), 3)
        for n, at in enumerate(range(0, len(packed), TEMPLATE_CHUNK_BYTES)):
            key = rows.keys.key("template", uuid, version, kind, n)
            tx.put(key, packed[at : at + TEMPLATE_CHUNK_BYTES])


def template_text(tx: Tx, rows: Rows, uuid: str, version: str, kind: str) -> str:
    parts = [raw for _, raw in tx.scan(rows.keys.span("template", uuid, version, kind))]
    return zlib.decompress(b"".join(parts)).decode() if parts else ""


def drop_template(tx: Tx, rows: Rows, uuid: str, version: str) -> None:
    for key, _ in list(tx.scan(rows.keys.span("template", uuid, version))):
        tx.delete(key)


# -- change sets


def put_changes(tx: Tx, rows: Rows, uuid: str, changes: dict[str, Any]) -> None:
    tx.put(rows.keys.key("changes", uuid, changes["name"]), pack_row(rows, changes))
    pointer = orjson.dumps([uuid, changes["name"]])
    tx.put(rows.keys.key("changeset", changes["uuid"]), pointer)


def changes_named(tx: Tx, rows: Rows, uuid: str, name: str) -> dict[str, Any] | None:
    raw = tx.get(rows.keys.key("changes", uuid, name))
    return None if raw is None else unpack_row(rows, raw)


def changes_by_uuid(tx: Tx, rows: Rows, change_uuid: str) -> tuple[str, dict[str, Any]] | None:
    """With the uuid of its stack."""
    raw = tx.get(rows.keys.key("changeset", change_uuid))
    if raw is None:
        return None
    uuid, name = orjson.loads(raw)
    found = changes_named(tx, rows, uuid, name)
    return None if found is None else (uuid, found)


def drop_changes(tx: Tx, rows: Rows, uuid: str, changes: dict[str, Any]) -> None:
    tx.delete(rows.keys.key("changes", uuid, changes["name"]))
    tx.delete(rows.keys.key("changeset", changes["uuid"]))


def changes_page(tx: Tx, rows: Rows, uuid: str, after: str, limit: int) -> list[dict[str, Any]]:
    start, stop = rows.keys.span("changes", uuid)
    if after:
        start = rows.keys.key("changes", uuid, after) + b"\x00"
    return [unpack_row(rows, raw) for _, raw in tx.scan((start, stop), limit=limit)]


# -- drift


def put_detection(tx: Tx, rows: Rows, detection_id: str, row: dict[str, Any]) -> None:
    tx.put(rows.keys.key("detection", detection_id), orjson.dumps(row))


def detection_of(tx: Tx, rows: Rows, detection_id: str) -> dict[str, Any] | None:
    raw = tx.get(rows.keys.key("detection", detection_id))
    return None if raw is None else orjson.loads(raw)


def drop_detection(tx: Tx, rows: Rows, detection_id: str) -> None:
    tx.delete(rows.keys.key("detection", detection_id))


def put_drift(tx: Tx, rows: Rows, uuid: str, logical_id: str, row: dict[str, Any]) -> None:
    tx.put(rows.keys.key("drift", uuid, logical_id), pack_row(rows, row))


def drifts_page(tx: Tx, rows: Rows, uuid: str, after: str, limit: int) -> list[dict[str, Any]]:
    start, stop = rows.keys.span("drift", uuid)
    if after:
        start = rows.keys.key("drift", uuid, after) + b"\x00"
    return [unpack_row(rows, raw) for _, raw in tx.scan((start, stop), limit=limit)]


# -- macros


def put_macro(
    tx: Tx, rows: Rows, name: str, token: str, function: str, description: str = ""
) -> None:
    row = [token, function, *([description] if description else [])]
    tx.put(rows.keys.key("macro", name), orjson.dumps(row))


def macro_description(tx: Tx, rows: Rows, name: str) -> str:
    raw = tx.get(rows.keys.key("macro", name))
    row = orjson.loads(raw) if raw else []
    return str(row[2]) if len(row) > 2 else ""


def macro_of(tx: Tx, rows: Rows, name: str) -> tuple[str, str] | None:
    """The token of who made it, and the function that the transform of this name is."""
    raw = tx.get(rows.keys.key("macro", name))
    if raw is None:
        return None
    token, function, *_ = orjson.loads(raw)
    return token, function


def drop_macro(tx: Tx, rows: Rows, name: str) -> None:
    tx.delete(rows.keys.key("macro", name))


# -- exports


def export_value(tx: Tx, rows: Rows, name: str) -> str:
    """Raises Fault if nobody exports it."""
    raw = tx.get(rows.keys.key("export", name))
    if raw is None:
        raise Fault("ValidationError", f"No export named {name} found.")
    return str(orjson.loads(raw)[0])


def set_exports(tx: Tx, rows: Rows, stack: Stack, wanted: dict[str, str]) -> None:
    """Make ``wanted`` all that the stack exports. Raises Fault if a name is another's or still in use."""
    for name in stack["exports"]:
        if name not in wanted:
            _refuse_if_used(tx, rows, name, "deleted")
            tx.delete(rows.keys.key("export", name))
    for name, value in wanted.items():
        raw = tx.get(rows.keys.key("export", name))
        if raw is not None:
            known, owner, owner_id = orjson.loads(raw)
            if owner != stack["uuid"]:
                by = owner_id.split("/")[1]
                text = f"Export with name {name} is already exported by stack {by}. "
                raise Fault("ValidationError", text)
            if known != value:
                _refuse_if_used(tx, rows, name, "updated")
        row = orjson.dumps([value, stack["uuid"], stack["id"]])
        tx.put(rows.keys.key("export", name), row)
    stack["exports"] = sorted(wanted)


def exports_page(tx: Tx, rows: Rows, after: str, limit: int) -> list[tuple[str, str, str]]:
    """(name, value, stack id)"""
    start, stop = rows.keys.span("export")
    if after:
        start = rows.keys.key("export", after) + b"\x00"
    page = []
    for key, raw in tx.scan((start, stop), limit=limit):
        value, _, stack_id = orjson.loads(raw)
        page.append((str(rows.keys.parts(key)[1]), value, stack_id))
    return page


def _refuse_if_used(tx: Tx, rows: Rows, name: str, what: str) -> None:
    users = [user for _, user in importers_page(tx, rows, name, "", _USERS_SHOWN_COUNT)]
    if users:
        text = f"Export {name} cannot be {what} as it is in use by {' and '.join(users)}"
        raise Fault("ValidationError", text)


def importers_page(tx: Tx, rows: Rows, name: str, after: str, limit: int) -> list[tuple[str, str]]:
    """(uuid, stack name)"""
    start, stop = rows.keys.span("import", name)
    if after:
        start = rows.keys.key("import", name, after) + b"\x00"
    return [
        (str(rows.keys.parts(key)[2]), raw.decode())
        for key, raw in tx.scan((start, stop), limit=limit)
    ]


def add_imports(tx: Tx, rows: Rows, stack: Stack, names: set[str]) -> None:
    """What an operation under way uses, besides what the stack used before."""
    for name in names:
        tx.put(rows.keys.key("import", name, stack["uuid"]), stack["name"].encode())
    stack["imports"] = sorted({*stack.get("imports", []), *names})


def keep_imports(tx: Tx, rows: Rows, stack: Stack, names: set[str]) -> None:
    for name in stack.get("imports", []):
        if name not in names:
            tx.delete(rows.keys.key("import", name, stack["uuid"]))
    stack["imports"] = sorted(names)
