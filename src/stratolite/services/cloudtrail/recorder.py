"""Gathers what calls did and writes it a few times a second, after the answers and before any sync.

``service.perform`` asks ``notes`` once for each operation; what is not noted costs a call nothing but a denial.
A transaction that runs again (a lost race on a shared log) may note a nested call twice.
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
    TRAIL_EVENT_BYTES_MAX,
    TRAIL_EXPLAINED_A_SECOND_MAX,
    TRAIL_GATHER_S,
    TRAIL_HELD_COUNT_MAX,
)
from stratolite.service import Call, Cloud, Request, Service
from stratolite.services.cloudtrail import events, state
from stratolite.services.cloudtrail.state import Place

Redact = Callable[[str, str, Request], dict[str, Any]]
Done = Callable[[Any, BaseException | None], None]
_log = logging.getLogger("stratolite.trail")
_PURPOSE = "authorization-message"


class Recorder:
    def __init__(self, cloud: Cloud, redact: Redact, *, data_events: bool = False) -> None:
        self._cloud, self._redact, self._data_events = cloud, redact, data_events
        self._held: deque[tuple[Place, int, str, bytes]] = deque()
        self._dropped_count = 0
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

    def around(
        self, call: Call, service: Service, operation: str, request: Request, done: Done
    ) -> Done:
        """``done`` that records first how the call ended."""
        call.noted = (f"{service.prefix or service.name}:{operation}", "", "", "")

        def finished(result: Any, error: BaseException | None) -> None:
            self.add(call, service.name, operation, request, error)
            done(result, error)

        return finished

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
        is_noted, call.noted = call.noted is not None, noted
        if not is_noted:
            self.add(call, service.name, operation, request, fault)
            call.noted = None

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
        if call.depth and who.kind == "root" and not who.access_key_id:
            return  # one part of the platform asks another
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
            self._held.append((Place(account, call.region), int(time_s * 1000), event_id, raw))
        if self._task is None and not self._closed:
            self._task = asyncio.get_running_loop().create_task(self._soon(), name="trail")

    # -- what is written

    async def _soon(self) -> None:
        await self._cloud.world.sleep(TRAIL_GATHER_S)
        self._task = None
        await self.flush()

    async def flush(self) -> None:
        """Write what is held now; it stays held while the log cannot be written."""
        if self._dropped_count:
            _log.warning("%d events were not recorded: they came too fast", self._dropped_count)
            self._dropped_count = 0
        while self._held:
            batch = [
                self._held.popleft() for _ in range(min(len(self._held), TRAIL_BATCH_COUNT_MAX))
            ]
            places: dict[Place, list[tuple[int, str, bytes]]] = {}
            for place, time_ms, event_id, raw in batch:
                places.setdefault(place, []).append((time_ms, event_id, raw))

            def write(tx: Tx, places: dict[Place, Any] = places) -> None:
                tx.relaxed = True  # cloudtrail:events in limits.RELAXED
                for place, records in places.items():
                    state.write(tx, place, records)

            try:
                await self._cloud.db.transact(write)
            except Unavailable:
                self._held.extendleft(reversed(batch))
                return

    async def close(self) -> None:
        self._closed = True
        if self._task is not None:
            self._task.cancel()
        await self.flush()
