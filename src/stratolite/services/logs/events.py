"""Writing and reading log events."""

from __future__ import annotations

import heapq
import itertools
import re
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Cloud, Request, Response, Service
from stratolite.services.logs import embedded, patterns, state, worker
from stratolite.services.logs.sealing import Sealer
from stratolite.services.logs.state import TIME_MAX, Event, Place

_BATCH_BYTES_MAX = 1_048_576
_BATCH_EVENTS_MAX = 10_000
_EVENT_OVERHEAD_BYTES = 26
_BATCH_SPAN_MS_MAX = 24 * 3_600_000
_TOO_NEW_MS = 2 * 3_600_000
_TOO_OLD_MS = 14 * 86_400_000
_DAY_MS = 86_400_000
_PAGE_EVENTS_MAX = 10_000
_PAGE_BYTES_MAX = 1_048_576
_LOOKED_AT_MAX, _LOOKED_AT_BYTES_MAX = 10_000, 4 << 20
_STREAMS_NAMED_MAX = 100
_NEWEST_FIRST_SINCE_MS = 1_704_067_200_000
_TOKEN = re.compile(r"([fbnm])/(\d{20})(\d{20})\Z")
_FUNCTIONS = "lambda.amazonaws.com"
BOTH = "LogGroup name and LogGroup ARN are mutually exclusive parameters."
_NO_GROUP = "The specified log group does not exist."
_NO_STREAM = "The specified log stream does not exist."
Written = tuple[int, int, str]
"""(ms, stamp, message) of an event."""


class Events(Service):
    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.sealer = Sealer()

    def _opened(self, call: Call, request: Request, group: state.Record) -> state.Opened:
        return partial(self.sealer.opened, call, group_name(call, request), group)

    def forward(
        self,
        call: Call,
        name: str,
        group: state.Record,
        stream: tuple[int, str],
        events: list[Written],
    ) -> None:
        """Leave what the group's subscription filters want of ``events`` of ``stream`` (number, name)."""
        raise NotImplementedError

    def observe(self, call: Call, group: state.Record, events: list[Written]) -> None:
        """Leave what the group's metric filters find in ``events``."""
        raise NotImplementedError

    def put_log_events(self, call: Call, request: Request) -> Response:
        tx, keys = call.tx, call.keys("logs")
        name = request["logStreamName"]
        group = group_of(call, request)
        stream = state.get_stream(tx, keys, group["id"], name)
        if stream is None:
            raise Fault("ResourceNotFoundException", _NO_STREAM)
        events = request["logEvents"]
        messages = [event["message"].encode("utf-8", "replace") for event in events]
        _check_batch(events, messages)
        now_ms = int(tx.time_s * 1000)
        oldest_ms = now_ms - _TOO_OLD_MS
        if group["retention_days"]:
            oldest_ms = max(oldest_ms, now_ms - group["retention_days"] * _DAY_MS)
        old = sum(1 for event in events if event["timestamp"] < oldest_ms)
        new = next(
            (n for n, e in enumerate(events) if e["timestamp"] > now_ms + _TOO_NEW_MS), len(events)
        )
        place, kept = (stream["id"], name), []
        for event, message in zip(events[old:new], messages[old:new], strict=True):
            at_ms = event["timestamp"]
            row = self.sealer.sealed(call, group_name(call, request), group, message)
            stamp = state.put_event(tx, keys, group["id"], place, at_ms, now_ms, row)
            kept.append((at_ms, stamp, event["message"]))
        if group.get("subscriptions"):
            self.forward(call, group_name(call, request), group, place, kept)
        if group.get("metric_filters"):
            self.observe(call, group, kept)
        _embedded(call, group_name(call, request), (e["message"] for e in events[old:new]))
        _measure(call, group_name(call, request), messages[old:new])
        if old < new:
            first, last = events[old]["timestamp"], events[new - 1]["timestamp"]
            changed = {
                **stream,
                "first_ms": first if stream["first_ms"] is None else min(first, stream["first_ms"]),
                "last_ms": max(last, stream["last_ms"] or 0),
                "ingested_ms": now_ms,
            }
            state.put_stream(tx, keys, group["id"], name, changed)
        if call.principal.kind == "service" and call.principal.name == _FUNCTIONS:
            tx.relaxed = True  # logs:function-output in limits.RELAXED
        answer: Response = {"nextSequenceToken": f"{stream['id']:056d}"}
        rejected = {}
        if old:
            retained = group["retention_days"] and oldest_ms > now_ms - _TOO_OLD_MS
            rejected["expiredLogEventEndIndex" if retained else "tooOldLogEventEndIndex"] = old
        if new < len(events):
            rejected["tooNewLogEventStartIndex"] = new
        if rejected:
            answer["rejectedLogEventsInfo"] = rejected
        return answer

    def get_log_events(self, call: Call, request: Request) -> Response:
        tx, keys = call.tx, call.keys("logs")
        group = group_of(call, request)
        name = request["logStreamName"]
        stream = state.get_stream(tx, keys, group["id"], name)
        if stream is None:
            raise Fault("ResourceNotFoundException", _NO_STREAM)
        low, high = _bounds(call, group, request, inclusive=False)
        token = _token(request.get("nextToken"), "fb")
        reverse = not request.get("startFromHead", False)
        if token is not None:
            reverse = token[0] == "b"
            low, high = (low, min(high, token[1])) if reverse else (max(low, token[1]), high)
        found: list[Event] = []
        if low < high:
            place = (stream["id"], name)
            opened = self._opened(call, request, group)
            rows = state.stream_events(
                tx, keys, group["id"], place, low, high, opened=opened, reverse=reverse
            )
            found = list(_page(rows, page_size(request, _PAGE_EVENTS_MAX)))
        if reverse:
            found.reverse()
        stay = token[1] if token is not None else low
        first, last = (found[0], found[-1]) if found else (None, None)
        return {
            "events": [
                {"timestamp": e.ms, "message": e.message, "ingestionTime": e.ingested_ms}
                for e in found
            ],
            "nextForwardToken": _made("f", Place(last.ms, last.stamp) if last else stay),
            "nextBackwardToken": _made("b", Place(first.ms, first.stamp) if first else stay),
        }

    def filter_log_events(self, call: Call, request: Request) -> Response:
        group = group_of(call, request)
        pattern = patterns.compiled(request.get("filterPattern") or "")
        low, high = _bounds(call, group, request, inclusive=True)
        token = _token(request.get("nextToken"), "nm")
        newest_first = request.get("startFromHead") is False
        if token is not None:
            newest_first = token[0] == "m"
            low, high = (low, min(high, token[1])) if newest_first else (max(low, token[1]), high)
        elif (
            newest_first
            and (request.get("startTime") or _NEWEST_FIRST_SINCE_MS) < _NEWEST_FIRST_SINCE_MS
        ):
            raise Fault(
                "InvalidParameterException",
                "startFromHead false is supported only when startTime is on or after Jan 1, 2024 00:00:00 UTC.",
            )
        place = high if newest_first else low
        most = page_size(request, _PAGE_EVENTS_MAX)
        found: list[dict[str, Any]] = []
        size = read = 0
        answer: Response = {"events": found, "searchedLogStreams": []}
        if low >= high:
            return answer
        rows = self._sources(call, group, request, low, high, reverse=newest_first)
        for looked_at, event in enumerate(rows):
            full = len(found) >= most or size > _PAGE_BYTES_MAX
            if full or looked_at >= _LOOKED_AT_MAX or read > _LOOKED_AT_BYTES_MAX:
                answer["nextToken"] = _made("m" if newest_first else "n", place)
                break
            place = Place(event.ms, event.stamp)
            read += len(event.message)
            if pattern.matches(event.message):
                size += len(event.message) + _EVENT_OVERHEAD_BYTES
                found.append({
                    "logStreamName": event.stream,
                    "timestamp": event.ms,
                    "message": event.message,
                    "ingestionTime": event.ingested_ms,
                    "eventId": state.event_id(event.ms, event.stamp),
                })  # fmt: skip
        return answer

    def _sources(
        self,
        call: Call,
        group: state.Record,
        request: Request,
        low: Place,
        high: Place,
        *,
        reverse: bool,
    ) -> Iterator[Event]:
        """Events of the asked streams in order of time."""
        tx, keys, number = call.tx, call.keys("logs"), group["id"]
        names, prefix = request.get("logStreamNames"), request.get("logStreamNamePrefix")
        opened = self._opened(call, request, group)
        if names and prefix:
            raise Fault(
                "InvalidParameterException",
                "LogStreamNamePrefix and LogStreamNames cannot both be specified.",
            )
        if names:
            if len(names) > _STREAMS_NAMED_MAX:
                raise Fault("InvalidParameterException", "More than 100 logStreamNames")
            rows = []
            for name in names:
                stream = state.get_stream(tx, keys, number, name)
                if stream is None:
                    raise Fault("ResourceNotFoundException", _NO_STREAM)
                place = (stream["id"], name)
                rows.append(
                    state.stream_events(
                        tx, keys, number, place, low, high, opened=opened, reverse=reverse
                    )
                )
            return heapq.merge(*rows, reverse=reverse)
        every = state.group_events(tx, keys, number, low, high, opened, reverse=reverse)
        return (e for e in every if e.stream.startswith(prefix)) if prefix else every


def group_name(call: Call, request: Request) -> str:
    """Of logGroupName, or of logGroupIdentifier, which may be an ARN."""
    name, identifier = request.get("logGroupName"), request.get("logGroupIdentifier")
    if name and identifier:
        raise Fault("InvalidParameterException", BOTH)
    if not name and identifier:
        name = identifier
        if identifier.startswith("arn:"):
            parts = identifier.split(":", 6)
            if len(parts) < 7 or parts[4] != call.account:
                raise Fault("InvalidParameterException", f"Not a log group here: {identifier}")
            name = parts[6].removesuffix(":*")
    if not name:
        raise Fault(
            "InvalidParameterException", "Either logGroupName or logGroupIdentifier must be given."
        )
    return str(name)


def group_of(call: Call, request: Request) -> state.Record:
    group = state.get_group(call.tx, call.keys("logs"), group_name(call, request))
    if group is None:
        raise Fault("ResourceNotFoundException", _NO_GROUP)
    return group


def _embedded(call: Call, group: str, messages: Iterable[str]) -> None:
    """Leave the metrics in the messages for CloudWatch, and count the documents that are not as they should be."""
    found: dict[str, list[embedded.Datum]] = {}
    for message in messages:
        if '"_aws"' not in message:
            continue
        try:
            for namespace, datum in embedded.data_of(message, int(call.tx.time_s * 1000)):
                found.setdefault(namespace, []).append(datum)
        except ValueError as error:
            kind = "Parsing" if isinstance(error, embedded.Unreadable) else "Validation"
            place = call.account, call.region, "AWS/Logs", (("LogGroupName", group),)
            call.cloud.measure(*place, f"EMF{kind}Errors")
    for namespace, data in found.items():
        worker.leave_metrics(call, namespace, data)


def _measure(call: Call, group: str, messages: list[bytes]) -> None:
    """Of the group, and of all groups.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch-Logs-Monitoring-CloudWatch-Metrics.html
    """
    size = sum(len(message) + _EVENT_OVERHEAD_BYTES for message in messages)
    for dimensions in ((("LogGroupName", group),), ()):
        place = call.account, call.region, "AWS/Logs", dimensions
        call.cloud.measure(*place, "IncomingLogEvents", len(messages))
        call.cloud.measure(*place, "IncomingBytes", size, "Bytes")


def _check_batch(events: list[Any], messages: list[bytes]) -> None:
    if not 1 <= len(events) <= _BATCH_EVENTS_MAX:
        raise Fault(
            "InvalidParameterException",
            f"1 validation error detected: Value '{len(events)}' at 'logEvents' failed to satisfy"
            " constraint: Member must have length between 1 and 10000",
        )
    if sum(len(m) + _EVENT_OVERHEAD_BYTES for m in messages) > _BATCH_BYTES_MAX:
        raise Fault(
            "InvalidParameterException",
            f"Upload too large: must be less than {_BATCH_BYTES_MAX} bytes",
        )
    if not all(messages):
        raise Fault("InvalidParameterException", "Log event message must not be empty")
    times = [event["timestamp"] for event in events]
    if any(a > b for a, b in itertools.pairwise(times)):
        raise Fault(
            "InvalidParameterException",
            "Log events in a single PutLogEvents request must be in chronological order.",
        )
    if times[-1] - times[0] > _BATCH_SPAN_MS_MAX:
        raise Fault(
            "InvalidParameterException",
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        )
    if times[0] < 0:
        raise Fault("InvalidParameterException", "A log event's timestamp must not be negative")


def _bounds(
    call: Call, group: state.Record, request: Request, *, inclusive: bool
) -> tuple[Place, Place]:
    start = max(0, request.get("startTime") or 0)
    if group["retention_days"]:
        start = max(start, int(call.tx.time_s * 1000) - group["retention_days"] * _DAY_MS)
    stop = request.get("endTime")
    stop = TIME_MAX if stop is None else max(0, stop) + (1 if inclusive else 0)
    return Place(start, -1), Place(stop, -1)


def page_size(request: Request, most: int) -> int:
    """How many are on a page: ``limit``, or ``most``. Raises Fault."""
    limit = request.get("limit") or most
    if not 1 <= limit <= most:
        side = "greater than or equal to 1" if limit < 1 else f"less than or equal to {most}"
        raise Fault(
            "InvalidParameterException",
            f"1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint:"
            f" Member must have value {side}",
        )
    return int(limit)


def _page(rows: Iterator[Event], most: int) -> Iterator[Event]:
    size = 0
    for count, event in enumerate(rows):
        size += len(event.message) + _EVENT_OVERHEAD_BYTES
        if count >= most or (count and size > _PAGE_BYTES_MAX):
            return
        yield event


def _made(kind: str, place: Place) -> str:
    return f"{kind}/{place.ms:020d}{place.stamp + 1:020d}"


def _token(given: str | None, kinds: str) -> tuple[str, Place] | None:
    if not given:
        return None
    match = _TOKEN.match(given)
    if match is None or match[1] not in kinds:
        raise Fault("InvalidParameterException", "The specified nextToken is invalid.")
    return match[1], Place(min(int(match[2]), TIME_MAX), min(int(match[3]) - 1, TIME_MAX))
