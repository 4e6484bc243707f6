"""PutEvents: what may become an event, and the events that do, committed together with the work of routing them."""

from __future__ import annotations

from typing import Any

import orjson

from stratolite.clock import iso
from stratolite.service import Call, Request, Response, Service, trace_of
from stratolite.services.events import jobs, metrics, names, state

_TOTAL_BYTES_MAX = 1 << 20
"""256 KB until 29 January 2026.

https://aws.amazon.com/blogs/compute/more-room-to-build-serverless-services-now-support-payloads-up-to-1-mb
"""
_TIME_BYTES = 14
_REQUIRED = ("Source", "DetailType", "Detail")


class Putting(Service):
    def put_events(self, call: Call, request: Request) -> Response:
        if request.get("EndpointId"):
            raise names.not_offered("EndpointId (global endpoints)")
        entries = request["Entries"]
        if sum(_size(entry) for entry in entries) > _TOTAL_BYTES_MAX:
            raise names.invalid("Total size of the entries in the request is over the limit.")
        answers: list[Response] = []
        accepted: dict[tuple[names.Bus, str], list[dict[str, Any]]] = {}
        trace = trace_of(call)
        for entry in entries:
            bus = names.bus(call, entry.get("EventBusName"))
            event, code, message = _event(call, bus, entry)
            if event is None:
                answers.append({"ErrorCode": code, "ErrorMessage": message})
                continue
            answers.append({"EventId": event["id"]})
            accepted.setdefault((bus, entry.get("TraceHeader") or trace), []).append(event)
        for (bus, came_with), events in accepted.items():
            # AWS gives an id to an event for a bus that is not there; nobody will ever see it
            keys = call.scoped(bus.account, bus.region).keys("events")
            there = state.bus(call.tx, keys, bus.name) is not None
            if there and state.is_heard(call.tx, keys, bus.name):
                jobs.route(call, bus, events, trace=came_with)
        failed = sum("ErrorCode" in answer for answer in answers)
        metrics.put(call, len(entries), failed)
        return {"FailedEntryCount": failed, "Entries": answers}


def _event(
    call: Call, bus: names.Bus, entry: dict[str, Any]
) -> tuple[dict[str, Any] | None, str, str]:
    """The event of an entry, or the code and message of why it is none."""
    for member in _REQUIRED:
        if not entry.get(member):
            reason = f"Parameter {member} is not valid. Reason: {member} is a required argument."
            return None, "InvalidArgument", reason
    source = entry["Source"]
    if source.startswith("aws.") and call.principal.kind != "service":
        return None, "NotAuthorizedForSourceException", "Not authorized for the source."
    try:
        detail = orjson.loads(entry["Detail"])
    except orjson.JSONDecodeError:
        detail = None
    if not isinstance(detail, dict):
        return None, "MalformedDetail", "Detail is malformed."
    time_s = entry.get("Time")
    event = {
        "version": "0",
        "id": call.world.uuid(),
        "detail-type": entry["DetailType"],
        "source": source,
        "account": call.account,
        "time": iso(call.tx.time_s if time_s is None else time_s),
        "region": bus.region,
        "resources": entry.get("Resources") or [],
        "detail": detail,
    }
    return event, "", ""


def _size(entry: dict[str, Any]) -> int:
    """As AWS counts: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html"""
    texts = [entry.get(m) or "" for m in _REQUIRED] + list(entry.get("Resources") or ())
    return sum(len(t.encode()) for t in texts) + (_TIME_BYTES if entry.get("Time") else 0)
