"""Gathers what calls did and writes it a few times a second, after the answers and before any sync.

``service.perform`` asks ``notes`` and ``data_kind`` once for each operation. A management call's record is made at its end;
of a data event a tuple is ``held``, some of them are made into a line, and lines into batches when they are written (``batches``).
A transaction that runs again (a lost race on a shared log) may note a call twice; readers leave out the second.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson

from stratolite.core import Tx
from stratolite.errors import Fault, Unavailable
from stratolite.limits import (
    TRAIL_BATCH_COUNT_MAX,
    TRAIL_DATA_LINE_COUNT_MAX,
    TRAIL_EVENT_BYTES_MAX,
    TRAIL_EXPLAINED_A_SECOND_MAX,
    TRAIL_GATHER_S,
    TRAIL_GATHER_SHARED_S,
    TRAIL_HELD_COUNT_MAX,
)
from stratolite.service import Call, Cloud, Principal, Request, Service
from stratolite.services.cloudtrail import batches, bus, data_events, events, state
from stratolite.services.cloudtrail.batches import Held, Line
from stratolite.services.cloudtrail.data_events import Kind
from stratolite.services.cloudtrail.state import Place

Redact = Callable[[str, str, Request], dict[str, Any]]
Done = Callable[[Any, BaseException | None], None]
_log = logging.getLogger("stratolite.trail")
_PURPOSE = "authorization-message"
_FAILED_COUNT_MAX = 4_096
_REFUSED = ("", "", "", "")
"""``Call.noted`` of a data event that was denied: its whole record is held already."""


class Recorder:
    def __init__(self, cloud: Cloud, redact: Redact, *, data_events: bool = False) -> None:
        self._cloud, self._redact, self._data_events = cloud, redact, data_events
        self._held: deque[tuple[Place, state.Record]] = deque()
        self._dropped_count = 0
        self.held: list[Held] = []
        """Data events as ``service.perform`` keeps them; see ``room``."""
        self.room = 0
        """How many may be held before ``attend`` is called: none as long as nothing is under way to write them."""
        self._dropped_data: dict[tuple[str, str], int] = {}
        self._lines: deque[Line] = deque()
        """Data events not yet written, all but the newest."""
        self._failed: dict[tuple[str, str, str], Kind] = {}
        self._has_packed = False
        """Whether what packs is loaded: that takes its time, in a thread."""
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._explained_count = 0
        self._explained_s = 0.0

    # -- what calls ask

    def notes(self, service: str, operation: str) -> bool:
        """Whether calls of this operation are recorded however they end."""
        if operation in events.INSIDE.get(service, ()):
            return False
        return self._data_events or not events.is_data(service, operation)

    def data_kind(self, service: Service, operation: str) -> Kind | None:
        """Of an operation that ``notes`` does not name."""
        named = data_events.named(service.name, operation)
        return Kind(service.name, operation, service.prefix or service.name, named)

    def around_data(self, call: Call, kind: Kind, request: Request, done: Done) -> Done:
        """``done`` that keeps first how a data event ended, for those that are more than one transaction."""
        call.owner = ""

        def finished(result: Any, error: BaseException | None) -> None:
            self.add_data(call, kind, request, error)
            done(result, error)

        return finished

    def around(
        self, call: Call, service: Service, operation: str, request: Request, done: Done
    ) -> Done:
        """``done`` that records first how the call ended."""
        call.noted = (f"{service.prefix or service.name}:{operation}", "", "", "")

        def finished(result: Any, error: BaseException | None) -> None:
            self.add(call, service.name, operation, request, error)
            done(result, error)

        return finished

    def authorize_data(
        self, call: Call, service: Service, operation: str, request: Request
    ) -> None:
        """The cloud's ``authorize``, where IAM's question names the resources better than the request does."""
        with suppress(Exception):  # as above
            call.named = [resource for _, resource in service.access(call, operation, request)]
        self._cloud.authorize(call, service, operation, request)

    def authorize(self, call: Call, service: Service, operation: str, request: Request) -> None:
        """The cloud's ``authorize``, with what it was asked about kept for the record."""
        with suppress(Exception):  # of what the client left out: the operation answers that
            action, resource = service.access(call, operation, request)[0]
            owner = service.resource_account(call, resource)
            call.noted = (action, resource, owner, "")
        self._cloud.authorize(call, service, operation, request)

    def refused(
        self,
        call: Call,
        service: Service,
        operation: str,
        request: Request,
        fault: Fault,
        why: Callable[[], dict[str, Any]],
    ) -> None:
        """A denial, from where it is decided. ``why`` explains it; asked as long as there are not too many."""
        said: dict[str, Any] = {"allowed": False}
        if self._may_explain():
            try:
                said = why()
            except Exception:  # noqa: BLE001 - what a policy makes of it must not turn a denial into anything else
                _log.exception("not explained service=%s operation=%s", service.name, operation)
        sealed = self._cloud.vault.seal(orjson.dumps(said), _PURPOSE)
        message = base64.urlsafe_b64encode(sealed).decode()
        context = said.get("context", {})
        noted = (
            context.get("action", ""),
            context.get("resource", ""),
            said.get("owner", ""),
            message,
        )
        is_noted = call.noted is not None and call.noted is not _REFUSED
        call.noted = noted
        if not is_noted:
            self.add(call, service.name, operation, request, fault)
            call.noted = _REFUSED

    def _may_explain(self) -> bool:
        now_s = self._cloud.world.mono()
        if now_s - self._explained_s >= 1.0:
            self._explained_s, self._explained_count = now_s, 0
        self._explained_count += 1
        return self._explained_count <= TRAIL_EXPLAINED_A_SECOND_MAX

    def add(
        self,
        call: Call,
        service: str,
        operation: str,
        request: Request,
        error: BaseException | None,
    ) -> None:
        """Must not raise: what it says is beside the point of the call."""
        try:
            self._add(call, service, operation, request, error)
        except Exception:  # noqa: BLE001 - whatever it is, the caller has its answer
            _log.exception("not recorded service=%s operation=%s", service, operation)

    def _add(
        self,
        call: Call,
        service: str,
        operation: str,
        request: Request,
        error: BaseException | None,
    ) -> None:
        who = call.principal
        if call.depth and _is_platform(who):
            return
        if len(self._held) >= TRAIL_HELD_COUNT_MAX:
            self._dropped_count += 1
            return
        action, resource, owner, message = call.noted or ("", "", "", "")
        parameters = self._redact(service, operation, request)
        event = events.made(
            call, service, operation, parameters, (action, resource, message), error
        )
        world = self._cloud.world
        time_s = world.cloud()
        event_id = call.request_id if not call.depth and call.request_id else world.uuid()
        accounts = dict.fromkeys(a for a in (who.account, owner or call.account) if a)
        if len(accounts) > 1:
            event["sharedEventID"] = world.uuid()
        for account in accounts:
            raw = orjson.dumps(events.stamped(event, event_id, time_s, account), default=str)
            if len(raw) > TRAIL_EVENT_BYTES_MAX:
                event["requestParameters"] = {
                    "omitted": f"larger than {TRAIL_EVENT_BYTES_MAX} bytes"
                }
                event["additionalEventData"].pop("encodedAuthorizationMessage", None)
                raw = orjson.dumps(events.stamped(event, event_id, time_s, account), default=str)
            record = state.Record(int(time_s * 1000), event_id, raw)
            self._held.append((Place(account, call.region), record))
        if self._task is None:
            self._arm()

    def add_data(
        self, call: Call, kind: Kind, request: Request, error: BaseException | None
    ) -> None:
        """A data event that has ended, however, from wherever. Must not raise."""
        who = call.principal
        if (call.depth and _is_platform(who)) or (error is not None and call.noted is _REFUSED):
            return
        names = getattr(call, "named", "")
        if kind.named is not None:
            try:
                names = kind.named(request)
            except Exception:  # noqa: BLE001 - what the client left out: the operation has answered that
                names = ""
        if error is not None:
            names, kind = data_events.shown(names), self._ended(kind, error)
        self.held.append((
            self._cloud.world.cloud(), call.request_id, names, who, call.region, kind, getattr(call, "owner", ""),
            call.context.get("aws:SourceIp", ""), call.depth,
        ))  # fmt: skip
        if len(self.held) >= self.room:
            self.attend()

    def _ended(self, kind: Kind, error: BaseException) -> Kind:
        """The kind of those that ended so, one for all of them."""
        ended = kind._replace(code=events.code(error), decision=events.decision(error))
        if len(self._failed) >= _FAILED_COUNT_MAX:
            self._failed.clear()
        return self._failed.setdefault((kind.service, kind.operation, ended.code), ended)

    def attend(self) -> None:
        """See to it that what is held is written; make a line of it if it is much."""
        if self._task is None:
            self._arm()
        if len(self.held) >= TRAIL_DATA_LINE_COUNT_MAX:
            self._gather()

    def _arm(self) -> None:
        if not self._closed:
            self.room = TRAIL_DATA_LINE_COUNT_MAX
            self._task = asyncio.get_running_loop().create_task(self._soon(), name="trail")

    # -- what is written

    async def _soon(self) -> None:
        shared = self._cloud.db.shared
        await self._cloud.world.sleep(TRAIL_GATHER_SHARED_S if shared else TRAIL_GATHER_S)
        self._task, self.room = None, 0
        await self.flush()

    async def flush(self) -> None:
        """Write what is held now; it stays held while the log cannot be written."""
        async with self._writing:
            await self._flush()

    async def _flush(self) -> None:
        if self._dropped_count:
            _log.warning("%d events were not recorded: they came too fast", self._dropped_count)
            self._dropped_count = 0
        await self._flush_data()
        while self._held:
            batch = [
                self._held.popleft() for _ in range(min(len(self._held), TRAIL_BATCH_COUNT_MAX))
            ]
            places: dict[Place, list[state.Record]] = {}
            for place, record in batch:
                places.setdefault(place, []).append(record)

            def write(tx: Tx, places: dict[Place, list[state.Record]] = places) -> None:
                tx.relaxed = True  # cloudtrail:events in limits.RELAXED
                for place, records in places.items():
                    state.write(tx, place, records)
                    call = self._cloud.call(place.account, place.region, "trail")
                    call.tx = tx
                    bus.tell(call, records)

            try:
                await self._cloud.db.transact(write)
            except Unavailable:
                self._held.extendleft(reversed(batch))
                return

    def _gather(self) -> None:
        """What is held as lines. Soon after the calls: then it is in the processor's caches yet, and the loop is held for 0.1 ms."""
        some = list(self.held)
        self.held.clear()
        dropped, self._dropped_data = self._dropped_data, {}
        try:
            self._lines += batches.lines_of(some, dropped, int(self._cloud.world.cloud() * 1000))
        except Exception:  # noqa: BLE001 - some that cannot be written must not stop the rest
            _log.exception("%d data events were not recorded", len(some))
        if dropped:
            _log.warning(
                "%d data events were not recorded: they came too fast", sum(dropped.values())
            )
        self._forget_oldest()

    async def _flush_data(self) -> None:
        while self.held or self._dropped_data:
            self._gather()
        if not self._lines:
            return
        lines = list(self._lines)
        self._lines.clear()
        if len(lines) == 1 and self._has_packed:
            made = batches.packed(lines)
        else:
            loop = asyncio.get_running_loop()
            made = await loop.run_in_executor(None, batches.packed, lines)
        self._has_packed = True

        def write(tx: Tx) -> None:
            tx.relaxed = True  # cloudtrail:events in limits.RELAXED
            for batch in made:
                state.write_data(tx, batch)

        try:
            await self._cloud.db.transact(write)
        except Unavailable:
            self._lines.extendleft(reversed(lines))
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        """What is held while the log cannot be written, or not so fast, is bounded."""
        count = sum([line.rows for line in self._lines])
        while count > TRAIL_HELD_COUNT_MAX:
            gone = self._lines.popleft()
            count -= gone.rows
            place = (gone.account, gone.region)
            lost = gone.rows + gone.dropped
            self._dropped_data[place] = self._dropped_data.get(place, 0) + lost

    async def close(self) -> None:
        self._closed = True
        if self._task is not None:
            self._task.cancel()
        await self.flush()


def _is_platform(who: Principal) -> bool:
    """One part of the platform asks another: of a nested call."""
    return who.kind == "root" and not who.access_key_id
