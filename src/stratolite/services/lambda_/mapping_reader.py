"""What readers of queues and of shards share: the mapping as it is now, waiting, and invoking the function."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from stratolite.core import Span, Tx
from stratolite.errors import Fault
from stratolite.patterns import Pattern, compile_pattern
from stratolite.service import Call, Settle
from stratolite.services.lambda_ import invoking, mapping_events, mapping_sealing, mapping_state
from stratolite.services.lambda_.mapping_access import as_function
from stratolite.services.lambda_.mapping_settings import Source, source
from stratolite.services.lambda_.names import Ref
from stratolite.services.lambda_.recursion import NO_CHAIN, Chain

if TYPE_CHECKING:
    from stratolite.services.lambda_.mappings import Mappings

_log = logging.getLogger("stratolite.lambda")
EVENT_BYTES_MAX = invoking.SYNC_BYTES_MAX - 4096
_PAUSE_S = 1.0, 60.0  # after a fault of the source: at first, and at most
_NEVER = float("inf")


class Ended(Exception):
    """The mapping is switched off or gone, or reading begins anew under another epoch."""


class Reader:
    def __init__(self, service: Mappings, call: Call, uuid: str, epoch: int, shard: str) -> None:
        self.service, self.call = service, call
        self.uuid, self.epoch, self.shard = uuid, epoch, shard
        self.keys = call.keys("lambda")
        self.config: dict[str, Any] = {}
        self.source: Source
        self.ref: Ref
        self.filters: Sequence[Pattern] = ()
        self._filters_of: mapping_state.Record | None = None
        self._seen: mapping_state.Record | None = None
        self._changed: asyncio.Future[None] | None = None
        self._acting: tuple[str, Call] | None = None

    async def run(self) -> Settle | None:
        """Until the mapping ends it; what it returns settles the job."""
        pause_s = _PAUSE_S[0]
        try:
            while True:
                await self.load()
                try:
                    await self._open_filters()
                    done = await self.read()
                except (
                    Fault
                ) as fault:  # the source or the role is not as it was: perhaps it will be again
                    _log.info("mapping=%s shard=%s waits after %r", self.uuid, self.shard, fault)
                    await self._note(f"PROBLEM: {fault.code}")
                    await self.sleep(pause_s)
                    pause_s = min(pause_s * 2, _PAUSE_S[1])
                    self._acting = None
                    self.forget()
                else:
                    if done is not None:
                        return done
                    pause_s = _PAUSE_S[0]
        except Ended:
            return None
        finally:
            if self._changed is not None:
                self._changed.cancel()

    async def read(self) -> Settle | None:
        """One turn: read and hand over what there is, or wait for it."""
        raise NotImplementedError

    def forget(self) -> None:
        """After a fault: what was read and not done is read again."""

    async def load(self) -> None:
        """The mapping as it is now. Raises Ended."""
        if self._changed is not None and not self._changed.done():
            return

        def look(inner: Call) -> mapping_state.Record | None:
            return mapping_state.get(inner.tx, self.keys, self.uuid)

        record = await self.call.transact(look)
        if record is None or not record["enabled"] or record["epoch"] != self.epoch:
            raise Ended
        self._seen = record
        self.config = record["config"]
        self.source = source(self.config["EventSourceArn"])
        self.ref = Ref(
            self.call.account, self.call.region, record["name"], record["qualifier"] or None
        )
        if "sealed" not in record:
            self._filter_by(record["config"])

        def changed(inner: Call) -> None:
            if look(inner) == record:
                inner.tx.wait([mapping_state.span(self.keys, self.uuid)], _NEVER)

        self._changed = asyncio.ensure_future(self.call.transact(changed))

    async def _open_filters(self) -> None:
        """Those of the mapping as it is now, before the next turn. Raises Fault where a key does not let Lambda have them."""
        record = self._seen
        assert record is not None
        if self._filters_of is not record:
            opened = mapping_sealing.opened_by_lambda
            self._filter_by(await self.call.transact(lambda inner: opened(inner, record)))

    def _filter_by(self, config: dict[str, Any]) -> None:
        patterns = (config.get("FilterCriteria") or {}).get("Filters") or ()
        self.filters = [compile_pattern(one["Pattern"]) for one in patterns]
        self._filters_of = self._seen

    @property
    def is_changed(self) -> bool:
        return self._changed is not None and self._changed.done()

    # -- waiting

    async def sleep(self, seconds: float) -> None:
        """On the cloud clock; less if the mapping changes. Raises Ended."""
        await self.wait_any(asyncio.ensure_future(self._until(self.call.world.cloud() + seconds)))

    async def _until(self, time_s: float) -> None:
        def wait(inner: Call) -> None:
            if inner.tx.time_s < time_s:
                inner.tx.wait([], time_s)

        await self.call.transact(wait)

    async def wait_any(self, *awaited: asyncio.Future[Any], keep: bool = False) -> None:
        """For one of ``awaited``, or for a change of the mapping. What is not done is cancelled, or kept."""
        assert self._changed is not None
        try:
            await asyncio.wait([*awaited, self._changed], return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not keep:
                for one in awaited:
                    one.cancel()
        await self.load()

    def news(self, spans: Sequence[Span]) -> asyncio.Future[None]:
        """Done when something in ``spans`` has changed since this call."""
        changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        is_first = True

        def wait(tx: Tx) -> None:
            nonlocal is_first
            if is_first:
                is_first = False
                tx.wait(spans, _NEVER)

        def done(_: None, _error: BaseException | None) -> None:
            if not changed.done():
                changed.set_result(None)  # also when it could not wait: then it is looked at

        parked = self.call.cloud.db.submit(wait, done)
        if parked is not None:
            changed.add_done_callback(lambda _: parked.cancel())
        return changed

    # -- the source and the function

    async def acting(self) -> Call:
        """A call as the function's role, in the source's region. Raises Fault."""
        target = await self.call.transact(lambda inner: invoking.choose(inner, self.ref))
        role = target.config["Role"]
        if self._acting is None or self._acting[0] != role:
            acting = await as_function(self.call, self.ref, role)
            acting = acting.scoped(acting.account, self.source.region)
            arn = self.config["EventSourceMappingArn"]
            acting.principal = replace(acting.principal, source_arn=arn)
            self._acting = role, acting
        return self._acting[1]

    async def invoke(
        self, event: dict[str, Any], chain: Chain = NO_CHAIN
    ) -> tuple[str, invoking.Answer]:
        """(request id, answer). Raises Fault when it cannot run now (TooManyRequestsException) or at all."""
        call = self.call.scoped(self.ref.account, self.ref.region)
        call.request_id = call.world.uuid()
        target = await call.transact(lambda inner: invoking.choose(inner, self.ref))
        payload = orjson.dumps(event)
        answer = await self.service.run(call, target, payload, chain=chain)
        return call.request_id, answer

    async def _note(self, text: str) -> None:
        def note(inner: Call) -> None:
            if mapping_state.get(inner.tx, self.keys, self.uuid) is not None:
                mapping_state.put_result(inner.tx, self.keys, self.uuid, text)

        await self.call.transact(note)

    def wanted(self, items: Sequence[mapping_events.Item]) -> list[mapping_events.Item]:
        kind = self.source.kind
        found = [i for i in items if mapping_events.is_wanted(i, kind, self.filters)]
        self.count("FilteredOutEventCount", len(items) - len(found))
        return found

    def measure(self, name: str, value: float, unit: str = "Count") -> None:
        """A sample of one of AWS/Lambda's metrics of the function."""
        self.ref.measure(self.call.cloud, name, value, unit)

    def count(self, name: str, events: int) -> None:
        """A metric of a mapping that is to have them (MetricsConfig).

        https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html#event-source-mapping-metrics
        """
        if events and "EventCount" in (self.config.get("MetricsConfig") or {}).get("Metrics", ()):
            dimensions = (("EventSourceMappingUUID", self.uuid),)
            self.call.cloud.measure(self.call.account, self.call.region, "AWS/Lambda", dimensions, name, float(events))  # fmt: skip
