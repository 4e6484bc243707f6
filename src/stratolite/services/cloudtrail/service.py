"""LookupEvents over the event history, and the pages that ``stratolite trail`` reads."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import orjson

from stratolite.errors import Fault
from stratolite.limits import TRAIL_KEEP_S
from stratolite.service import Access, Call, Request, Response, Service
from stratolite.services.cloudtrail import batches, data_events, events, state
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

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        """Who may look events up may read the trail."""
        return (("cloudtrail:LookupEvents", "*"),)

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
                event = {} if raw is None else orjson.loads(raw)
                if raw is None or not event["managementEvent"]:
                    return {"Events": []}
                return {"Events": [_shown(event, raw)]}
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
                wanted = asked is None or asked[1] in _KEYS[asked[0]](event)
                if wanted and event["managementEvent"]:
                    shown.append(_shown(event, raw))
            if more and last is not None:
                return {"Events": shown, "NextToken": _token(last, mark)}
            return {"Events": shown}

        return await call.transact(look)

    async def trail_page(self, call: Call, asked: Request) -> Response:
        """Not AWS's: a page of the whole trail, oldest first (``gateway.own``, ``POST trail``; all members optional).

        Asks   ``ago_s``, how far to look back; ``kind`` ("management", "data"), ``decision`` ("allowed", "denied"), and what must
               be part of it: ``principal`` (ARN, key id, service or type), ``action``, ``resource``; ``token``, where to go on; or
               ``event_id`` alone.
        Gives  ``events``, CloudTrail's records; ``dropped``, how many data events of this time were not recorded because
               they came too fast; ``token``, good for what is yet to come, too; ``more``, whether there is some already. A
               page looks at a bounded number of events and may be empty although more follow.
        Raises ValidationException.
        """
        wanted = _Wanted.of(asked)
        if call.cloud.trail is not None:
            await call.cloud.trail.flush()

        def look(inner: Call) -> _Read:
            now_ms = int(inner.tx.time_s * 1000)
            place = Place(inner.account, inner.region)
            if wanted.event_id:
                raw = state.by_id(inner.tx, place, wanted.event_id)
                return _Read(0, [] if raw is None else [(At(0, 0), raw)], [], wanted.after, False)
            since_ms = now_ms - int(min(wanted.ago_s, TRAIL_KEEP_S) * 1000)
            marks = [max(mark, At(since_ms, -1)) for mark in wanted.after]
            whole, more = state.oldest_first(inner.tx, place, now_ms, marks[0])
            lines: list[tuple[At, bytes]] = []
            horizon_ms = whole[-1][0].time_ms if more else now_ms
            if wanted.kind != "management":
                lines, more_lines = state.data_oldest_first(inner.tx, place, now_ms, marks[1])
                if more_lines:
                    more, horizon_ms = True, min(horizon_ms, lines[-1][0].time_ms)
            whole, lines = (
                [one for one in found if one[0].time_ms <= horizon_ms] for found in (whole, lines)
            )
            after = (
                whole[-1][0] if whole else marks[0],
                lines[-1][0] if lines else marks[1],
            )
            return _Read(0 if asked.get("token") else since_ms, whole, lines, after, more)

        read = await call.transact(look)
        found, dropped = await asyncio.get_running_loop().run_in_executor(
            None, _events_of, read, wanted, call.account, call.region
        )
        token = base64.b64encode(orjson.dumps([list(at) for at in read.after])).decode()
        return {"events": found, "dropped": dropped, "token": token, "more": read.more}


class _Read(NamedTuple):
    since_ms: int
    whole: list[tuple[At, bytes]]
    """Records."""
    lines: list[tuple[At, bytes]]
    """Batches of data events."""
    after: tuple[At, At]
    """Where the next page begins."""
    more: bool


class _Wanted(NamedTuple):
    """What is asked of a page."""

    event_id: str
    kind: str
    decision: str
    principal: str
    action: str
    resource: str
    ago_s: float
    after: tuple[At, At]

    @classmethod
    def of(cls, request: Request) -> _Wanted:
        texts = {}
        for name in ("event_id", "kind", "decision", "principal", "action", "resource", "token"):
            given = texts[name] = request.get(name, "")
            if not isinstance(given, str) or (name in _CHOICES and given not in _CHOICES[name]):
                raise Fault("ValidationException", f"{name} is not as it may be", status=400)
        ago_s = request.get("ago_s", TRAIL_KEEP_S)
        if isinstance(ago_s, bool) or not isinstance(ago_s, int | float) or not ago_s >= 0:
            raise Fault("ValidationException", "ago_s is not a number of seconds", status=400)
        return cls(
            texts["event_id"], texts["kind"], texts["decision"], texts["principal"], texts["action"].lower(),
            texts["resource"], float(ago_s), _after(texts["token"]),
        )  # fmt: skip

    def takes(self, event: Event) -> bool:
        who, more = event["userIdentity"], event["additionalEventData"]
        return (
            self.kind in ("", event["eventCategory"].lower())
            and self.decision in ("", more["decision"])
            and self.action in f"{more['action']} {_called(event)}".lower()
            and any(self.principal in str(who.get(key, "")) for key in _OF_PRINCIPAL)
            and (not self.resource or any(self.resource in r["ARN"] for r in event.get("resources", ())))
        )  # fmt: skip


_CHOICES = {"kind": ("", "management", "data"), "decision": ("", "allowed", "denied")}
_OF_PRINCIPAL = ("arn", "accessKeyId", "invokedBy", "type")


def _called(event: Event) -> str:
    """``s3:HeadObject``, whose action is s3:GetObject."""
    return f"{event['eventSource'].partition('.')[0]}:{event['eventName']}"


def _after(token: str) -> tuple[At, At]:
    if not token:
        return At(0, -1), At(0, -1)
    try:
        whole, lines = orjson.loads(base64.b64decode(token, validate=True))
        return At(*map(int, whole)), At(*map(int, lines))
    except (ValueError, TypeError) as error:
        raise Fault("ValidationException", "token is not one of ours", status=400) from error


def _events_of(read: _Read, wanted: _Wanted, account: str, region: str) -> tuple[list[Event], int]:
    """(the events wanted in the order of time, calls that were not recorded)."""
    found: list[tuple[int, Event]] = []
    dropped, seen = 0, set()
    for at, raw in read.whole:
        event = orjson.loads(raw)
        if wanted.event_id or wanted.takes(event):
            found.append((at.time_ms, event))
    for at, raw in read.lines:
        left_out, rows = batches.rows(raw, at.stamp)
        dropped += left_out
        for row in rows:
            if row.time_ms >= read.since_ms and row.event_id not in seen:
                seen.add(row.event_id)  # a transaction that ran again
                event = data_events.record(row, account, region)
                if wanted.takes(event):
                    found.append((row.time_ms, event))
    found.sort(key=lambda one: one[0])
    return [event for _, event in found], dropped


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
