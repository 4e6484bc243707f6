"""The work that transactions leave for the workers (``worker`` carries it out), each put as one job.

events.route    {account, region, bus, hops, only, events, at, and maybe trace}     matches events against the rules of a bus. only: names of
                rules, null: all. at: [index of the event, rule name] to go on behind
events.deliver  {account, region, rule, target, document, event, id, hops, attempts, first_s, dead}     one document to one
                target; event: what goes to the dead-letter queue. dead: the error that sends it there. has_turn: it waited for an API destination;
                http: HttpParameters filled in, [path values, headers, query]; trace: X-Ray's header that it came with
events.timer    {account, region, rule, timer, schedule, anchor_s, due_s}     one firing of a rule by timetable, then the next
events.expire   {account, region, archive, id}     forgets what an archive need not keep, then again an hour later
events.authorize  {account, region, connection, modified_s, tries}     gets the token of an OAuth connection as it was then
events.replay   {account, region, replay}     one page of a replay, then the next
"""

from __future__ import annotations

from typing import Any

import orjson

from stratolite import timetable
from stratolite.service import Call, without_chain
from stratolite.services.events import state
from stratolite.services.events.names import Bus

ROUTE, DELIVER, TIMER, EXPIRE, REPLAY, AUTHORIZE = (
    f"events.{name}" for name in ("route", "deliver", "timer", "expire", "replay", "authorize")
)
SERVICE = "events.amazonaws.com"
HOPS_MAX = 5  # from bus to bus, so that two that feed each other come to an end
_JOB_BYTES_MAX = 512 << 10
_EXPIRE_EVERY_S = 3600.0
Said = dict[str, Any]


def route(
    call: Call,
    bus: Bus,
    events: list[Said],
    *,
    hops: int = 0,
    only: list[str] | None = None,
    trace: str = "",
) -> None:
    """Leave the events for the rules of ``bus``, in as few jobs as their sizes allow."""
    texts = [orjson.dumps(event) for event in events]
    group: list[orjson.Fragment] = []
    size = 0
    for text in texts:
        if group and size + len(text) > _JOB_BYTES_MAX:
            _put_route(call, bus, group, hops, only, trace)
            group, size = [], 0
        group.append(orjson.Fragment(text))
        size += len(text)
    if group:
        _put_route(call, bus, group, hops, only, trace)


def _put_route(
    call: Call,
    bus: Bus,
    events: list[orjson.Fragment],
    hops: int,
    only: list[str] | None,
    trace: str,
) -> None:
    said = {"account": bus.account, "region": bus.region, "bus": bus.name, "hops": hops, "only": only, "events": events, "at": None}  # fmt: skip
    if trace:
        said["trace"] = without_chain(trace)
    call.cloud.work.put(call.tx, ROUTE, orjson.dumps(said))


def start_timer(call: Call, rule: str, record: state.Record) -> int:
    """The stamp of the rule's new timer; 0 if its timetable never comes round again."""
    table = timetable.parse(record["schedule"])
    due_s = table.after(call.tx.time_s, record["anchor_s"])
    if due_s is None:
        return 0
    stamp = call.tx.stamp()
    said = {
        "account": call.account, "region": call.region, "rule": rule, "timer": stamp, "schedule": record["schedule"],
        "anchor_s": record["anchor_s"], "due_s": due_s,
    }  # fmt: skip
    call.cloud.work.put(call.tx, TIMER, orjson.dumps(said), due_s=due_s)
    return stamp


def expire_later(
    call: Call, archive: str, archive_id: int, after_s: float = _EXPIRE_EVERY_S
) -> None:
    said = {"account": call.account, "region": call.region, "archive": archive, "id": archive_id}
    call.cloud.work.put(call.tx, EXPIRE, orjson.dumps(said), due_s=call.tx.time_s + after_s)


def replay_next(call: Call, replay: str) -> None:
    said = {"account": call.account, "region": call.region, "replay": replay}
    call.cloud.work.put(call.tx, REPLAY, orjson.dumps(said))


def authorize(call: Call, connection: str, modified_s: float) -> None:
    said = {
        "account": call.account, "region": call.region, "connection": connection, "modified_s": modified_s, "tries": 0,
    }  # fmt: skip
    call.cloud.work.put(call.tx, AUTHORIZE, orjson.dumps(said))
