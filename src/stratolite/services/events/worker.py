"""Carries events: from a bus to its rules, from a rule to its targets, out of archives, and at set times.

What the jobs hold: ``jobs``. Deliveries that fail are repeated as ``delivery.failed`` says: up to 185 times in 24 hours, with growing
pauses; a target that is gone or closed to us is not tried again. Firings that were
missed while the cloud was off, or leapt over by its clock, are made up for as far as a day back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from stratolite import delivery, http_targets, timetable
from stratolite.clock import iso
from stratolite.core import Keyspace, Tx
from stratolite.errors import Fault
from stratolite.http_targets import NotTaken
from stratolite.patterns import Patterns, compile_pattern
from stratolite.service import Call, Job, Settle, Worker
from stratolite.service_events import BY_TRAIL, only_reads
from stratolite.services.events import jobs, metrics, names, outgoing, state
from stratolite.services.events.authorizing import Authorize
from stratolite.services.events.jobs import DELIVER, EXPIRE, REPLAY, ROUTE, TIMER, Said
from stratolite.services.events.names import Bus
from stratolite.services.events.rendering import render

if TYPE_CHECKING:
    from stratolite.service import Cloud

_RULES_AIMED_A_TX, _DELIVERIES_BYTES = 200, 4 << 20
"""The bytes are looked at after each rule: five targets, to each an event and its document, both as text in JSON, 20 MB at most."""
_RULES_A_TX = 200
_BUSES_KEPT = 1000
_DAY_S, _DAY_MS = 86_400.0, 86_400_000
_PAGE_EVENTS, _PAGE_BYTES = 100, 256 << 10


def workers(service: Any) -> Iterable[Worker]:
    cloud = service.cloud
    return (_Route(cloud), _Deliver(service), _Timer(cloud), _Expire(cloud), _Replay(cloud), Authorize(cloud))  # fmt: skip


# -- from a bus to its rules


class _Known(NamedTuple):
    """The rules and archives of a bus as they were at ``edition``."""

    edition: bytes
    rules: Patterns[str]
    archives: Patterns[str]
    calls: frozenset[str]
    """The rules that are told of management calls."""
    reads: frozenset[str]
    """The rules that are told of those that only read, too."""
    kept_calls: frozenset[str]
    """The archives that keep management calls."""

    def rules_for(self, bus: Bus, event: Said) -> list[str]:
        found = set(self.rules.match(event))
        if _is_a_call(event):
            if bus.name == state.DEFAULT:
                found &= self.calls
            if only_reads(event["detail"].get("eventName") or ""):
                found &= self.reads
        return sorted(found)

    def archives_for(self, bus: Bus, event: Said) -> list[str]:
        found = set(self.archives.match(event))
        if _is_a_call(event) and bus.name == state.DEFAULT:
            found &= self.kept_calls
        return sorted(found)


def _is_a_call(event: Said) -> bool:
    return bool(event["detail-type"] == BY_TRAIL and event["source"].startswith("aws."))


class _Route:
    queue, ordered, concurrency = ROUTE, False, 16

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._known: dict[Bus, _Known] = {}

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        bus = Bus(said["account"], said["region"], said["bus"])
        call = self._cloud.call(said["account"], said["region"])
        known = await self._load(call, bus)
        only = None if said["only"] is None else set(said["only"])
        steps: list[tuple[int, str]] = []
        kept: list[tuple[int, list[str]]] = []
        begin = tuple(said["at"]) if said["at"] else (-1, "")
        for number, event in enumerate(said["events"]):
            wanted = [r for r in known.rules_for(bus, event) if only is None or r in only]
            steps += [(number, rule) for rule in wanted if (number, rule) > begin]
            if "replay-name" not in event and said["at"] is None and known.archives:
                kept.append((number, known.archives_for(bus, event)))
        part = steps[:_RULES_AIMED_A_TX]

        def settle(tx: Tx) -> None:
            call.tx = tx
            keys = call.keys("events")
            for number, archives in kept:
                event = said["events"][number]
                for name in archives:
                    _archive(tx, keys, name, event)
            size = 0
            for number, rule in part:
                event = said["events"][number]
                size += aim(call, bus, rule, event, said["hops"], said.get("trace", ""))
                if size >= _DELIVERIES_BYTES or (number, rule) == part[-1]:
                    break
            if part and (number, rule) != steps[-1]:
                self._cloud.work.put(tx, ROUTE, orjson.dumps({**said, "at": (number, rule)}))

        return settle

    async def _load(self, call: Call, bus: Bus) -> _Known:
        """What is known of the bus, read again if it has changed; again if it changes meanwhile."""
        while True:
            known = self._known.get(bus)
            edition = await call.transact(lambda c: state.edition(c.tx, c.keys("events"), bus.name))
            if known is not None and known.edition == edition:
                return known
            rules: Patterns[str] = Patterns()
            archives: Patterns[str] = Patterns()
            calls: set[str] = set()
            reads: set[str] = set()
            kept_calls: set[str] = set()
            after = ""
            while True:
                page = await call.transact(lambda c, a=after: _page(c, "rule", (bus.name,), a))  # type: ignore[misc]
                for name, record in page:
                    if record["pattern"] and record["state"] != "DISABLED":
                        rules.add(name, compile_pattern(record["pattern"]))
                        if state.wants_calls(record):
                            calls.add(name)
                        if record["state"] == state.WITH_READS:
                            reads.add(name)
                if len(page) < _RULES_A_TX:
                    break
                after = page[-1][0]
            after = ""
            while True:
                page = await call.transact(lambda c, a=after: _page(c, "archive", (), a))  # type: ignore[misc]
                for name, record in page:
                    if record["bus"] == bus.name:
                        archives.add(name, compile_pattern(record["pattern"] or _ANY))
                        if state.wants_calls(record):
                            kept_calls.add(name)
                if len(page) < _RULES_A_TX:
                    break
                after = page[-1][0]
            if len(self._known) >= _BUSES_KEPT:
                self._known.clear()
            self._known[bus] = _Known(
                edition, rules, archives, *map(frozenset, (calls, reads, kept_calls))
            )


_ANY = '{"source": [{"prefix": ""}]}'


def _page(call: Call, kind: str, under: tuple[str, ...], after: str) -> list[tuple[str, Said]]:
    found = []
    for row in state.rows(call.tx, call.keys("events"), kind, *under, after=after):
        found.append(row)
        if len(found) == _RULES_A_TX:
            break
    return found


def _archive(tx: Tx, keys: Keyspace, name: str, event: Said) -> None:
    record = state.get(tx, keys, "archive", name)
    if record is None:
        return
    text = orjson.dumps(event)
    state.archive_event(tx, keys, record, int(tx.time_s * 1000), text)
    state.put(tx, keys, "archive", name, record=record)


def aim(call: Call, bus: Bus, rule: str, event: Said, hops: int, trace: str = "") -> int:
    """Leave a delivery for each target that the rule has now; of how many bytes."""
    tx, keys = call.tx, call.keys("events")
    record = state.get(tx, keys, "rule", bus.name, rule)
    if record is None or record["state"] == "DISABLED":
        return 0
    size = 0
    arn = names.rule_arn(bus.region, bus.account, bus.name, rule)
    metrics.matched(call.cloud, bus, rule)
    text = orjson.dumps(event).decode()
    for target in state.targets(tx, keys, bus.name, rule):
        said: Said = {
            "account": bus.account, "region": bus.region, "rule": arn, "target": target, "id": event["id"], "hops": hops,
            "attempts": 0, "first_s": tx.time_s, "dead": None, "event": text if target.get("DeadLetterConfig") else "",
        }  # fmt: skip
        if trace:
            said["trace"] = trace
        key_path = target.get("KinesisParameters", {}).get("PartitionKeyPath")
        said["key"] = outgoing.partition_key(key_path, event)
        try:
            said["document"] = render(target, event, text, (arn, rule), iso(tx.time_s))
        except ValueError as error:
            said["document"] = text
            said["dead"] = {"code": "INVALID_JSON", "message": str(error)[:500]}
        try:
            if given := target.get("HttpParameters"):
                said["http"] = list(http_targets.parameters(given, event))
        except ValueError as error:
            said["dead"] = {"code": "INVALID_PARAMETER", "message": str(error)[:500]}
        payload = orjson.dumps(said)
        size += len(payload)
        call.cloud.work.put(tx, DELIVER, payload)
    return size


# -- from a rule to a target


class _Deliver:
    queue, ordered, concurrency = DELIVER, False, 64

    def __init__(self, service: Any) -> None:
        self._service, self._cloud = service, service.cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        call = self._cloud.call(said["account"], said["region"])
        if trace := said.get("trace"):
            call.trace = trace
        seen = metrics.Attempt(self._cloud, said)
        try:
            if said["dead"]:
                await outgoing.bury(call, said)
                seen.buried()
                return None
            settle = await outgoing.send(self._service, call, said)
        except (Fault, ValueError, NotTaken) as error:
            said.pop("has_turn", None)  # another attempt waits for another
            after_s = error.retry_after_s if isinstance(error, NotTaken) else 0.0
            failure = delivery.Failure(*outgoing.reason(error), outgoing.may_retry(error), after_s)
            seen.failed()
            return delivery.failed(self._cloud, DELIVER, said, failure, seen.over)
        if settle is None:  # else it waits for its turn
            seen.succeeded()
        return settle


# -- at set times


class _Timer:
    queue, ordered, concurrency = TIMER, False, 16

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        call = self._cloud.call(said["account"], said["region"])
        bus = Bus(call.account, call.region, state.DEFAULT)
        due_s, rule = said["due_s"], said["rule"]
        table = timetable.parse(said["schedule"])
        next_s = table.after(max(due_s, call.world.cloud() - _DAY_S), said["anchor_s"])
        event_id = call.world.uuid()

        def settle(tx: Tx) -> None:
            call.tx = tx
            record = state.get(tx, call.keys("events"), "rule", state.DEFAULT, rule)
            if record is None or record["timer"] != said["timer"]:
                return
            arn = names.rule_arn(bus.region, bus.account, state.DEFAULT, rule)
            event = {
                "version": "0", "id": event_id, "detail-type": "Scheduled Event", "source": "aws.events", "account": bus.account,
                "time": iso(due_s), "region": bus.region, "resources": [arn], "detail": {},
            }  # fmt: skip
            aim(call, bus, rule, event, 0)
            if next_s is not None:
                again = orjson.dumps({**said, "due_s": next_s})
                self._cloud.work.put(tx, TIMER, again, due_s=next_s)

        return settle


# -- archives


class _Expire:
    queue, ordered, concurrency = EXPIRE, False, 2

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        call = self._cloud.call(said["account"], said["region"])
        name = said["archive"]

        def page(inner: Call) -> bool:
            tx, keys = inner.tx, inner.keys("events")
            record = state.get(tx, keys, "archive", name)
            gone = record is None or record["id"] != said["id"]
            if not gone and not record["days"]:  # type: ignore[index]
                return False
            before_ms = int(tx.time_s * 1000) - (record["days"] * _DAY_MS if record else 0)
            if gone:
                before_ms = 1 << 62
            count, size = state.forget_archived(tx, keys, said["id"], before_ms, _RULES_A_TX)
            if not gone and count:
                assert record is not None
                record["count"] -= count
                record["bytes"] -= size
                state.put(tx, keys, "archive", name, record=record)
            return count == _RULES_A_TX

        while await call.transact(page):
            pass

        def settle(tx: Tx) -> None:
            call.tx = tx
            record = state.get(tx, call.keys("events"), "archive", name)
            if record is not None and record["id"] == said["id"] and record["days"]:
                jobs.expire_later(call, name, said["id"])

        return settle


class _Replay:
    queue, ordered, concurrency = REPLAY, False, 4

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        call = self._cloud.call(said["account"], said["region"])
        return lambda tx: _replay_page(call, tx, said["replay"])


def _replay_page(call: Call, tx: Tx, name: str) -> None:
    """One page of a replay onto its bus; each event carries the replay's name, which keeps it out of archives."""
    call.tx = tx
    keys = call.keys("events")
    record = state.get(tx, keys, "replay", name)
    if record is None or record["state"] not in ("STARTING", "RUNNING", "CANCELLING"):
        return
    archive = state.get(tx, keys, "archive", record["archive"])
    if record["state"] == "CANCELLING" or archive is None:
        ended = "CANCELLED" if archive is not None else "FAILED"
        record |= {"state": ended, "ended_s": tx.time_s}
        state.put(tx, keys, "replay", name, record=record)
        return
    record["state"] = "RUNNING"
    events: list[Said] = []
    size = 0
    start_ms, end_ms = int(record["start_s"] * 1000), int(record["end_s"] * 1000)
    page_is_full = False
    for at, text in state.archived(tx, keys, archive["id"], start_ms, end_ms, record["at"]):
        if events and (len(events) == _PAGE_EVENTS or size + len(text) > _PAGE_BYTES):
            page_is_full = True
            break
        events.append({**orjson.loads(text), "replay-name": name})
        record |= {"at": at, "last_s": at[0] / 1000}
        size += len(text)
    if events:
        bus = Bus(call.account, call.region, archive["bus"])
        jobs.route(call, bus, events, only=record["only"])
    if page_is_full:
        jobs.replay_next(call, name)
    else:
        record |= {"state": "COMPLETED", "ended_s": tx.time_s}
    state.put(tx, keys, "replay", name, record=record)
