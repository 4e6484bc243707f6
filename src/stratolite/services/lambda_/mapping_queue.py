"""Reads an SQS queue for a function: several batches at a time, each deleted when the function has done it.

What failed is left to the queue: it is visible again after its visibility timeout, and goes to its dead-letter queue.
Source  https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from stratolite.errors import Fault, Unavailable
from stratolite.service import Call, Settle
from stratolite.services.lambda_ import mapping_answers, mapping_events, recursion
from stratolite.services.lambda_.mapping_access import source_request
from stratolite.services.lambda_.mapping_events import Item
from stratolite.services.lambda_.mapping_reader import EVENT_BYTES_MAX, Reader
from stratolite.services.lambda_.mapping_settings import POLLER_CONCURRENCY

_log = logging.getLogger("stratolite.lambda")
_CONCURRENCY = 50
"""Batches in hand where the mapping does not say; AWS begins with 5 and goes up to 1,250."""
_RECEIVED_MAX = 10
_WAIT_S = 20
_THROTTLED_S = 1.0, 30.0
_THROTTLED_SHARE = 0.8  # of the visibility timeout, in which a throttled batch is tried again


class QueueReader(Reader):
    _running: set[asyncio.Task[None]]

    async def run(self) -> Settle | None:
        self._running = set()
        try:
            return await super().run()
        finally:
            running = list(self._running)
            if not self.is_changed:  # we are asked to stop: what is under way comes back
                for task in running:
                    task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def read(self) -> Settle | None:
        if len(self._running) >= self._concurrency():
            await self.wait_any(*self._running, keep=True)
            return None
        acting = await self.acting()
        items = await self._batch(acting)
        if items:
            task = asyncio.ensure_future(self._carry_out(acting, items))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return None

    def _concurrency(self) -> int:
        if pollers := self.config.get("ProvisionedPollerConfig"):
            return int(pollers["MaximumPollers"]) * POLLER_CONCURRENCY
        scaling = self.config.get("ScalingConfig") or {}
        return int(scaling.get("MaximumConcurrency", _CONCURRENCY))

    async def _batch(self, acting: Call) -> list[Item]:
        """As many messages as the mapping wants, within its window from the first of them."""
        size, window_s = self.config["BatchSize"], self.config["MaximumBatchingWindowInSeconds"]
        items: list[Item] = []
        until_s = 0.0
        total = 0
        while len(items) < size and total < EVENT_BYTES_MAX:
            now_s = self.call.world.cloud()
            wait_s = _WAIT_S if not items else min(_WAIT_S, int(until_s - now_s + 0.999))
            if items and wait_s <= 0:
                break
            got = await self._receive(acting, min(_RECEIVED_MAX, size - len(items)), wait_s)
            if not items:
                until_s = self.call.world.cloud() + window_s
            items += got
            total += sum(item.size_bytes for item in got)
            if not got or not window_s or self.is_changed:
                break
        return items

    async def _receive(self, acting: Call, most: int, wait_s: int) -> list[Item]:
        ask = source_request(self.call, self.source) | {
            "MaxNumberOfMessages": most,
            "WaitTimeSeconds": wait_s,
            "MessageSystemAttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        }
        received = asyncio.ensure_future(acting.request("sqs", "ReceiveMessage", ask))
        assert self._changed is not None
        try:
            waiting: list[asyncio.Future[Any]] = [received, self._changed]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not received.done():
                received.cancel()
        if received.cancelled() or not received.done():
            return []
        found = received.result().get("Messages") or ()
        items = [mapping_events.message(one, self.source.arn) for one in found]
        self.count("PolledEventCount", len(items))
        wanted = self.wanted(items)
        if len(wanted) < len(items):
            keep = {item.id for item in wanted}
            await self._delete(acting, [item for item in items if item.id not in keep])
        return wanted

    async def _carry_out(self, acting: Call, items: list[Item]) -> None:
        try:
            while items:
                size = 0
                batch: list[Item] = []
                while items and (not batch or size + items[0].size_bytes <= EVENT_BYTES_MAX):
                    batch.append(items.pop(0))
                    size += batch[-1].size_bytes
                await self._hand_over(acting, batch)
        except (Fault, Unavailable) as fault:
            _log.info("mapping=%s: %d messages go back after %r", self.uuid, len(items), fault)

    async def _hand_over(self, acting: Call, batch: list[Item]) -> None:
        traced = (item.event["attributes"].get("AWSTraceHeader") for item in batch)
        chain = recursion.read(header for header in traced if header)
        began_s, pause_s, visible_s = self.call.world.cloud(), _THROTTLED_S[0], -1.0
        while True:
            try:
                _, answer = await self.invoke(mapping_events.records(batch), chain)
                break
            except Fault as fault:
                if fault.code != "TooManyRequestsException":
                    raise
                if visible_s < 0:
                    visible_s = await self._visible_s(acting)
                now_s = self.call.world.cloud()
                if now_s + pause_s > began_s + visible_s * _THROTTLED_SHARE:
                    raise
            await self._until(self.call.world.cloud() + pause_s)
            pause_s = min(pause_s * 2, _THROTTLED_S[1])
        self.count("InvokedEventCount", len(batch))
        if answer.error is not None:
            self.count("FailedInvokeEventCount", len(batch))
            return
        failed: set[str] = set()
        if self.config["FunctionResponseTypes"]:
            failed = mapping_answers.failed(answer.payload, [item.id for item in batch])
            self.count("FailedInvokeEventCount", len(failed))
        await self._delete(acting, [item for item in batch if item.id not in failed])

    async def _visible_s(self, acting: Call) -> int:
        ask = source_request(self.call, self.source) | {"AttributeNames": ["VisibilityTimeout"]}
        found = await acting.request("sqs", "GetQueueAttributes", ask)
        return int(found["Attributes"]["VisibilityTimeout"])

    async def _delete(self, acting: Call, items: Sequence[Item]) -> None:
        for at in range(0, len(items), _RECEIVED_MAX):
            entries = [
                {"Id": str(n), "ReceiptHandle": item.handle}
                for n, item in enumerate(items[at : at + _RECEIVED_MAX])
            ]
            ask = source_request(self.call, self.source) | {"Entries": entries}
            answer = await acting.request("sqs", "DeleteMessageBatch", ask)
            self.count("DeletedEventCount", len(answer.get("Successful") or ()))
