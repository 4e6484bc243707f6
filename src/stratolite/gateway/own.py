"""Stratolite's own calls at /_stratolite/NAME: signed (as service ``stratolite``), JSON in and out.

    GET  clock                     -> {"time_s": the cloud clock, "offset_s": how far it is ahead of the wall clock}
    POST clock  {"advance_s": 60}  -> the same, after it was moved; schedules, expiry and retries act at once
    POST trail  {"since_s": ...}   -> a page of who did what (``services.cloudtrail.service.Cloudtrail.trail_page``)

The clock is for root keys; the trail of an account and region is for whoever may ``cloudtrail:LookupEvents``.

Errors are {"__type": code, "message": text} as everywhere else: AccessDeniedException (403),
ValidationException (400), UnknownOperationException (404).
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.http import HttpRequest, HttpResponse
from stratolite.service import Call

PREFIX = "/_stratolite/"
ADVANCE_S_MAX = 100 * 366 * 86_400.0  # a century ahead is a slip of the pen
Document = dict[str, Any]


async def serve(call: Call, request: HttpRequest) -> HttpResponse:
    """The answer to one of our own calls; ``request.body`` is whole. Raises Fault."""
    name = request.path.removeprefix(PREFIX)
    if call.principal.kind != "root" and (request.method, name) not in _BY_IAM:
        raise Fault(
            "AccessDeniedException",
            f"{request.path} is for root: sign it with a root key (service name stratolite).",
            status=403,
        )
    found = _CALLS.get((request.method, name))
    if found is None:
        raise Fault(
            "UnknownOperationException", f"There is no {request.method} {PREFIX}{name}", status=404
        )
    assert isinstance(request.body, bytes)
    answer = await found(call, _document(request.body))
    return HttpResponse(200, [("Content-Type", "application/json")], orjson.dumps(answer))


def _document(body: bytes) -> Document:
    try:
        found = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise Fault("ValidationException", "The body is not a JSON object.", status=400)
    return found


async def _clock(call: Call, _: Document) -> Document:
    world = call.world
    return {"time_s": world.cloud(), "offset_s": world.cloud_offset_s}


async def _advance_clock(call: Call, said: Document) -> Document:
    given = said.get("advance_s")
    number = isinstance(given, int | float) and not isinstance(given, bool)
    seconds = float(given) if number and given is not None else math.nan
    if not 0 <= seconds <= ADVANCE_S_MAX:
        raise Fault(
            "ValidationException",
            f"advance_s must be a number of seconds from 0 to {ADVANCE_S_MAX:.0f}: the cloud clock never goes back.",
            status=400,
        )
    clock = call.cloud.clock
    offset_s = await call.transact(lambda inner: clock.advance(inner.tx, seconds))
    call.world.set_cloud_offset(offset_s)
    return await _clock(call, said)


async def _trail(call: Call, said: Document) -> Document:
    try:
        return await call.request("cloudtrail", "TrailPage", said)
    except Fault as fault:
        if fault.code == "AccessDeniedException":
            fault.status = 403  # as of all of ours
        raise


_CALLS: dict[tuple[str, str], Callable[[Call, Document], Awaitable[Document]]] = {
    ("GET", "clock"): _clock,
    ("POST", "clock"): _advance_clock,
    ("POST", "trail"): _trail,
}
_BY_IAM = frozenset({("POST", "trail")})
"""IAM says who may; the others are for root."""
