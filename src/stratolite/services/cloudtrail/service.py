"""LookupEvents over the event history."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any, ClassVar

import orjson

from stratolite.errors import Fault
from stratolite.limits import TRAIL_KEEP_S
from stratolite.service import Call, Request, Response, Service
from stratolite.services.cloudtrail import events, state
from stratolite.services.cloudtrail.events import Event
from stratolite.services.cloudtrail.state import At, Place

_PAGE_COUNT_MAX = 50
_KEYS: dict[str, Callable[[Event], list[Any]]] = {
    "EventId": lambda e: [e["eventID"]],
    "EventName": lambda e: [e["eventName"]],
    "ReadOnly": lambda e: ["true" if e["readOnly"] else "false"],
    "Username": lambda e: [events.user_name(e)],
    "ResourceType": lambda e: [r["type"] for r in e.get("resources", ())],
    "ResourceName": lambda e: [n for r in e.get("resources", ()) for n in _names(r["ARN"])],
    "EventSource": lambda e: [e["eventSource"]],
    "AccessKeyId": lambda e: [e["userIdentity"].get("accessKeyId")],
}


class Cloudtrail(Service):
    name: ClassVar[str] = "cloudtrail"

    async def lookup_events(self, call: Call, request: Request) -> Response:
        """Newest first. A page looks at a bounded number of events and may be empty although more follow."""
        asked = _asked(request)
        limit = request.get("MaxResults", _PAGE_COUNT_MAX)
        if not 1 <= limit <= _PAGE_COUNT_MAX:
            raise Fault(
                "InvalidMaxResultsException",
                f"A value between 1 and {_PAGE_COUNT_MAX} must be specified for MaxResults.",
            )
        if request.get("EventCategory"):
            raise Fault(
                "InvalidEventCategoryException",
                "EventCategory insight is not offered by Stratolite.",
            )
        since_s, until_s = request.get("StartTime", 0.0), request.get("EndTime")
        if until_s is not None and since_s > until_s:
            raise Fault("InvalidTimeRangeException", "The start time must be before the end time.")
        if call.cloud.trail is not None:
            await call.cloud.trail.flush()

        def look(inner: Call) -> Response:
            now_s = inner.tx.time_s
            place = Place(inner.account, inner.region)
            since_ms = int(max(since_s, now_s - TRAIL_KEEP_S) * 1000)
            until_ms = int((now_s if until_s is None else until_s) * 1000)
            if asked and asked[0] == "EventId" and not request.get("NextToken"):
                raw = state.by_id(inner.tx, place, asked[1])
                return {"Events": [] if raw is None else [_shown(orjson.loads(raw), raw)]}
            mark = _mark(request)
            before = _before(request["NextToken"], mark) if request.get("NextToken") else None
            found, more = state.newest_first(inner.tx, place, since_ms, until_ms, before)
            shown: list[Event] = []
            last: At | None = None
            for at, event, raw in found:
                if len(shown) == limit:
                    more = True
                    break
                last = at
                if asked is None or asked[1] in _KEYS[asked[0]](event):
                    shown.append(_shown(event, raw))
            if more and last is not None:
                return {"Events": shown, "NextToken": _token(last, mark)}
            return {"Events": shown}

        return await call.transact(look)


def _asked(request: Request) -> tuple[str, str] | None:
    attributes = request.get("LookupAttributes") or []
    if len(attributes) > 1:
        raise Fault(
            "InvalidLookupAttributesException",
            "You can only specify one lookup attribute at a time.",
        )
    if not attributes:
        return None
    key, value = attributes[0]["AttributeKey"], attributes[0]["AttributeValue"]
    if key not in _KEYS:
        raise Fault(
            "InvalidLookupAttributesException", f"The attribute key {key} is not supported."
        )
    return key, value


def _names(arn: str) -> list[str]:
    """An ARN may be asked for whole or by what stands last in it."""
    last = arn.rsplit(":", 1)[-1]
    return [arn, last, last.rsplit("/", 1)[-1]]


def _shown(event: Event, raw: bytes) -> Event:
    found = {
        "EventId": event["eventID"],
        "EventName": event["eventName"],
        "ReadOnly": "true" if event["readOnly"] else "false",
        "EventTime": _seconds(event["eventTime"]),
        "EventSource": event["eventSource"],
        "Username": events.user_name(event),
        "AccessKeyId": event["userIdentity"].get("accessKeyId"),
        "Resources": [
            {"ResourceType": r["type"], "ResourceName": r["ARN"]}
            for r in event.get("resources", ())
        ],
        "CloudTrailEvent": raw.decode(),
    }
    return {k: v for k, v in found.items() if v is not None}


def _seconds(said: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(said).timestamp()


def _mark(request: Request) -> str:
    """A token goes on with the question it came from only."""
    asked: dict[str, Any] = {
        k: request.get(k) for k in ("LookupAttributes", "StartTime", "EndTime")
    }
    return hashlib.sha256(orjson.dumps(asked, default=str)).hexdigest()[:16]


def _token(last: At, mark: str) -> str:
    return base64.b64encode(orjson.dumps([*last, mark])).decode()


def _before(token: str, mark: str) -> At:
    try:
        time_ms, stamp, was = orjson.loads(base64.b64decode(token, validate=True))
        if was == mark:
            return At(int(time_ms), int(stamp))
    except (ValueError, TypeError):
        pass
    raise Fault(
        "InvalidNextTokenException",
        "Invalid token. The token is expired or is not of this request.",
    )
