"""What comes to a stack from outside while it waits: answers of custom resources, signals of wait conditions.

A door is a URL with a secret in it, made for one question or one handle; whoever has the URL may put to it, as with
the presigned S3 URLs that AWS gives out. The server keeps only the secret's digest in the door's key.

    ("", "", "cloudformation", "door", digest)  -> [account, region, stack uuid, logical id, kind, id]
    (..., "signal", uuid, logical id, id)       -> {"kind", "private": {"secret", "request"}, "sent", "answer"}
    (..., "signal", uuid, logical id, id, uid)  -> {"UniqueId", "Status", "Reason", "Data"}

``id`` is the step that asks, or "handle". Written by this file only.
Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/crpg-ref-requesttypes.html
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from stratolite.core import Span, Tx
from stratolite.errors import Fault
from stratolite.http import HttpRequest, HttpResponse
from stratolite.service import Call, Door
from stratolite.services.cloudformation import state
from stratolite.services.cloudformation.quotas import SIGNAL_BYTES_MAX, SIGNALS_COUNT_MAX
from stratolite.services.cloudformation.state import Rows

DOOR = "cloudformation-response"
_STATUSES = ("SUCCESS", "FAILURE")


def open_door(
    tx: Tx, call: Call, rows: Rows, place: tuple[str, str, str], kind: str, row: dict[str, Any]
) -> dict[str, Any]:
    """The row of a question or handle, made now if it is not there. ``place`` is (stack uuid, logical id, id)."""
    known = row_of(tx, rows, place)
    if known is not None:
        return known
    secret = call.world.token(24).hex()
    made = {
        "kind": kind,
        "answer": None,
        **row,
        "private": {**row.get("private", {}), "secret": secret},
    }
    digest = hashlib.sha256(secret.encode()).hexdigest()
    door = call.global_keys("cloudformation").key("door", digest)
    tx.put(door, orjson.dumps([call.account, call.region, *place[:2], kind, place[2]]))
    made["door"] = digest
    put_row(tx, rows, place, made)
    return made


def row_of(tx: Tx, rows: Rows, place: tuple[str, str, str]) -> dict[str, Any] | None:
    raw = tx.get(rows.keys.key("signal", *place))
    return None if raw is None else state.unpack_row(rows, raw)


def put_row(tx: Tx, rows: Rows, place: tuple[str, str, str], row: dict[str, Any]) -> None:
    tx.put(rows.keys.key("signal", *place), state.pack_row(rows, row))


def span_of(rows: Rows, place: tuple[str, str, str]) -> Span:
    return rows.keys.span("signal", *place)


def received(tx: Tx, rows: Rows, place: tuple[str, str, str]) -> list[dict[str, Any]]:
    """A handle's signals, by unique id."""
    start, stop = rows.keys.span("signal", *place)
    found = tx.scan((start, stop), limit=SIGNALS_COUNT_MAX + 1)
    return [orjson.loads(raw) for key, raw in found if len(rows.keys.parts(key)) == 5]


def add_signal(tx: Tx, rows: Rows, place: tuple[str, str, str], signal: dict[str, Any]) -> None:
    """Raises Fault when there are too many, or the unique id is known."""
    key = rows.keys.key("signal", *place, signal["UniqueId"])
    if tx.get(key) is not None:
        raise Fault("ValidationError", f"Signal with ID {signal['UniqueId']} for resource {place[1]} already exists. Signals may only be updated with a FAILURE status.")  # fmt: skip
    if len(received(tx, rows, place)) >= SIGNALS_COUNT_MAX:
        raise Fault("ValidationError", f"More than {SIGNALS_COUNT_MAX} signals for {place[1]}")
    tx.put(key, orjson.dumps(signal))


def forget(
    tx: Tx, call: Call, rows: Rows, uuid: str, logical_id: str = "", *, keep: str = ""
) -> None:
    """Close the doors of a stack, or of one resource, and forget what came through them."""
    span = (
        rows.keys.span("signal", uuid, logical_id) if logical_id else rows.keys.span("signal", uuid)
    )
    for key, raw in list(tx.scan(span, limit=SIGNALS_COUNT_MAX + 100)):
        parts = rows.keys.parts(key)
        if keep and parts[3] == keep:
            continue
        if len(parts) == 4 and (door := orjson.loads(raw).get("door")):
            tx.delete(call.global_keys("cloudformation").key("door", door))
        tx.delete(key)


def url_of(call: Call, row: dict[str, Any]) -> str:
    """Where to answer, as the platform is reached from here and from inside a function's sandbox."""
    return f"{call.cloud.endpoint}/_aws/{DOOR}/{row['private']['secret']}"


async def inside_url_of(call: Call, row: dict[str, Any], runtime: str) -> str:
    """The same from inside a sandbox of a function, whose own loopback has the platform on it.

    What is written for Node (cfn-response, everything of the CDK) takes host and path of the URL and asks by https at 443.
    """
    base = await call.cloud.runtime.url_inside(runtime)
    return f"{base}/_aws/{DOOR}/{row['private']['secret']}" if base else url_of(call, row)


async def serve(call: Call, door: Door, request: HttpRequest) -> HttpResponse:
    """Take what is put to a door."""
    if request.method not in ("PUT", "POST"):
        return HttpResponse(405, [("allow", "PUT")], b"")
    body = request.body
    if not isinstance(body, bytes):
        pieces = bytearray()
        async for chunk in body:
            pieces += chunk
            if len(pieces) > SIGNAL_BYTES_MAX:
                break
        body = bytes(pieces)
    if len(body) > SIGNAL_BYTES_MAX:
        return _said(413, "EntityTooLarge")
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        said = None
    if not isinstance(said, dict):
        return _said(400, "the body must be a JSON object")
    digest = hashlib.sha256(door.label.encode()).hexdigest()
    return await call.transact(lambda inner: _take(inner, digest, said))


def _take(call: Call, digest: str, said: dict[str, Any]) -> HttpResponse:
    raw = call.tx.get(call.global_keys("cloudformation").key("door", digest))
    if raw is None:
        return _said(403, "AccessDenied")
    account, region, uuid, logical_id, kind, step = orjson.loads(raw)
    inside = call.scoped(account, region)
    rows, place = state.rows_of(inside), (uuid, logical_id, step)
    row = row_of(call.tx, rows, place)
    if row is None:
        return _said(403, "AccessDenied")
    if kind == "custom":
        if row["answer"] is None:
            row["private"]["answer"] = said
            row["answer"] = True
            put_row(call.tx, rows, place, row)
        return HttpResponse(200, [], b"")
    unique, status = said.get("UniqueId"), said.get("Status")
    if not isinstance(unique, str) or not 0 < len(unique) <= 64 or status not in _STATUSES:
        return _said(400, "UniqueId and Status (SUCCESS, FAILURE) are needed")
    signal = {
        "UniqueId": unique,
        "Status": status,
        "Reason": str(said.get("Reason", ""))[:1000],
        "Data": said.get("Data", ""),
    }
    try:
        add_signal(call.tx, rows, place, signal)
    except Fault as fault:
        return _said(400, fault.message)
    return HttpResponse(200, [], b"")


def _said(status: int, text: str) -> HttpResponse:
    return HttpResponse(status, [("content-type", "text/plain")], text.encode())
