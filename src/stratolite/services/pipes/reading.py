"""Reads a pipe's queue or one shard of its stream, for as long as the pipe stays as it is."""

from __future__ import annotations

import asyncio
import logging
import math
from datetime import UTC, datetime
from typing import Any

import orjson

from stratolite import delivery, shards
from stratolite.errors import Fault, Unavailable
from stratolite.service import Call
from stratolite.services.pipes import carrying, checks, items, sealing, state, targets
from stratolite.services.pipes.items import Item
from stratolite.services.pipes.targets import Failed

_log = logging.getLogger("stratolite.pipes")
SERVICE = "pipes.amazonaws.com"
_NEVER = float("inf")
_WAIT_S, _RECEIVED_MAX = 20, 10
_PAUSE_S = 1.0, 60.0
_SESSION_S = 3600.0  # what AssumeRole gives
_CONCURRENCY = 50
"""Batches of a queue in hand; AWS goes up to 1,250."""
_BATCH_BYTES_MAX = 6 << 20
_REFRESH_S = 200.0
"""An idle reader's iterator is used before it expires (5 minutes)."""


class Ended(Exception):
    """The pipe is stopped, changed or gone."""


async def acting_for(call: Call, name: str, request: dict[str, Any]) -> Call:
    """A call as the pipe's role. Raises Fault."""
    arn = f"arn:aws:pipes:{call.region}:{call.account}:pipe/{name}"
    return await call.as_role(request["RoleArn"], SERVICE, arn, name[:64].ljust(2, "_"))


class Reader:
    def __init__(self, call: Call, name: str, epoch: int, shard: str) -> None:
        self.call, self.name, self.epoch, self.shard = call, name, epoch, shard
        self.arn = f"arn:aws:pipes:{call.region}:{call.account}:pipe/{name}"
        self.request: dict[str, Any] = {}
        self._record: state.Record = {}
        self._changed: asyncio.Future[None] | None = None
        self._acting: tuple[float, Call] | None = None

    async def run(self) -> list[str]:
        """Until the pipe changes, or the shard has been read to its end: the shards that follow it."""
        pause_s = _PAUSE_S[0]
        try:
            await self._begin()
            while True:
                try:
                    await self._open()
                    follow = await self._turn()
                except (Fault, ValueError, Failed) as error:
                    _log.info("pipe=%s shard=%s waits after %r", self.name, self.shard, error)
                    self._acting = None
                    await self._sleep(pause_s)
                    pause_s = min(pause_s * 2, _PAUSE_S[1])
                else:
                    pause_s = _PAUSE_S[0]
                    if follow is not None:
                        return follow
                self._check()
        except Ended:
            return []
        finally:
            if self._changed is not None:
                self._changed.cancel()

    async def _turn(self) -> list[str] | None:
        raise NotImplementedError

    async def _open(self) -> None:
        """Its filters and templates, as the pipe's role. Raises Fault where the pipe's key does not let it."""
        if (record := self._record).get("sealed") is not None:
            acting = await self.acting()
            self.request = await acting.transact(lambda c: sealing.opened(c, self.arn, record))
            self._record = {**record, "sealed": None}

    async def acting(self) -> Call:
        """As the pipe's role, in one session until something fails or the session's time is over. Raises Fault."""
        now_s = self.call.world.cloud()
        if self._acting is None or now_s >= self._acting[0]:
            made = await acting_for(self.call, self.name, self.request)
            self._acting = now_s + _SESSION_S, made
        return self._acting[1]

    async def _begin(self) -> None:
        keys = self.call.keys("pipes")

        def current(inner: Call) -> state.Record | None:
            record = state.get(inner.tx, keys, self.name)
            running = record is not None and record["epoch"] == self.epoch and record["wanted"] == "RUNNING"  # fmt: skip
            return record if running else None

        record = await self.call.transact(current)
        if record is None:
            raise Ended
        self.request, self._record = record["request"], record

        def wait(inner: Call) -> None:
            if current(inner) is not None:
                inner.tx.wait([state.span(keys, self.name)], _NEVER)

        self._changed = asyncio.ensure_future(self.call.transact(wait))

    def _check(self) -> None:
        assert self._changed is not None
        if self._changed.done():
            if (error := self._changed.exception()) is not None:
                raise error
            raise Ended

    async def _sleep(self, seconds: float) -> None:
        await self._first(asyncio.ensure_future(self._until(self.call.world.cloud() + seconds)))

    async def _until(self, time_s: float) -> None:
        """On the cloud clock."""

        def wait(inner: Call) -> None:
            if inner.tx.time_s < time_s:
                inner.tx.wait([], time_s)

        await self.call.transact(wait)

    async def _first(self, *awaited: asyncio.Future[Any], keep: bool = False) -> Any:
        """What the first of ``awaited`` gives, unless the pipe changes before. The others are cancelled, or kept. Raises Ended."""
        assert self._changed is not None
        try:
            await asyncio.wait([*awaited, self._changed], return_when=asyncio.FIRST_COMPLETED)
            for one in awaited:
                if one.done():
                    return one.result()
        finally:
            if not keep:
                for one in awaited:
                    one.cancel()
        self._check()
        raise Ended


class QueueReader(Reader):
    """Several batches at a time, each deleted when it has been carried; a FIFO queue keeps its groups in order by itself."""

    _running: set[asyncio.Task[None]]

    async def run(self) -> list[str]:
        self._running = set()
        try:
            return await super().run()
        finally:
            if (
                self._changed is None or not self._changed.done()
            ):  # we are asked to stop: what is under way comes back
                for task in self._running:
                    task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _turn(self) -> list[str] | None:
        if len(self._running) >= _CONCURRENCY:
            await self._first(*self._running, keep=True)
            return None
        there = targets.at(await self.acting(), self.request["Source"])
        batch = await self._batch(there)
        if batch:
            task = asyncio.ensure_future(self._whole(there, batch))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return None

    def _place(self) -> dict[str, Any]:
        queue = delivery.parse(self.request["Source"])
        return {"QueueUrl": f"{self.call.endpoint}/{queue.account}/{queue.resource}"}

    async def _batch(self, there: Call) -> list[Item]:
        """As many messages as the pipe wants, within its window from the first of them; those its filters keep out are gone."""
        size = checks.batch_size(self.request)
        window_s = checks.parameters_of(self.request).get("MaximumBatchingWindowInSeconds", 0)
        found: list[Item] = []
        until_s = 0.0
        while len(found) < size and sum(item.size_bytes for item in found) < _BATCH_BYTES_MAX:
            wait_s = _WAIT_S
            if found:
                wait_s = min(_WAIT_S, math.ceil(until_s - self.call.world.cloud()))
                if wait_s <= 0:
                    break
            ask = self._place() | {
                "MaxNumberOfMessages": min(_RECEIVED_MAX, size - len(found)),
                "WaitTimeSeconds": wait_s,
                "MessageSystemAttributeNames": ["All"],
                "MessageAttributeNames": ["All"],
            }
            received = asyncio.ensure_future(there.request("sqs", "ReceiveMessage", ask))
            answer = await self._first(received)
            got = [items.message(one, self.request["Source"]) for one in answer.get("Messages") or ()]  # fmt: skip
            wanted = carrying.wanted(self.request, got)
            if len(wanted) < len(got):
                kept = {item.id for item in wanted}
                await self._delete(there, [item for item in got if item.id not in kept])
            if wanted and not found:
                until_s = self.call.world.cloud() + window_s
            found += wanted
            if not got or not window_s:
                break
        return found

    async def _whole(self, there: Call, batch: list[Item]) -> None:
        try:
            failed = await carrying.carry(await self.acting(), self.arn, self.request, batch)
        except (Fault, Unavailable, ValueError, Failed) as error:
            _log.info("pipe=%s: %d messages go back after %r", self.name, len(batch), error)
            self._acting = None
            return
        try:
            await self._delete(there, [item for item in batch if item.id not in failed])
        except (Fault, Unavailable) as fault:
            _log.info("pipe=%s: messages come back after %r", self.name, fault)
            self._acting = None

    async def _delete(self, there: Call, batch: list[Item]) -> None:
        for at in range(0, len(batch), _RECEIVED_MAX):
            part = batch[at : at + _RECEIVED_MAX]
            entries = [{"Id": str(n), "ReceiptHandle": i.handle} for n, i in enumerate(part)]
            await there.request("sqs", "DeleteMessageBatch", self._place() | {"Entries": entries})


class ShardReader(Reader):
    """A shard's records in batches: one after another, or as many at once as the pipe's ParallelizationFactor says, each key in order."""

    _cursor: shards.Cursor[Item] | None = None

    async def _turn(self) -> list[str] | None:
        there = targets.at(await self.acting(), self.request["Source"])
        about, size = checks.parameters_of(self.request), checks.batch_size(self.request)
        most = size * about.get("ParallelizationFactor", 1)
        cursor = self._cursor = self._cursor or await self._resume(about)
        news = self._news()
        try:
            while not cursor.is_over and len(cursor.pending) < most and self._has_room(cursor):
                got = await cursor.read(there, most - len(cursor.pending))
                if cursor.is_slowed:
                    await self._sleep(_PAUSE_S[0])
                if not got:
                    break
            now_s = self.call.world.cloud()
            due_s = cursor.since_s + about.get("MaximumBatchingWindowInSeconds", 0)
            is_due = len(cursor.pending) >= size or now_s >= due_s or cursor.is_over
            if cursor.pending and (is_due or not self._has_room(cursor)):
                await self._hand_over(about, cursor)
            elif cursor.is_over:
                return await self._follow(cursor.children)
            elif cursor.pending:
                await self._first(news, asyncio.ensure_future(self._until(due_s)))
            else:
                await self._first(news)
        except (Fault, ValueError, Failed):
            self._cursor = None  # what was read and not done is read again
            raise
        finally:
            news.cancel()
        return None

    def _has_room(self, cursor: shards.Cursor[Item]) -> bool:
        return cursor.size_bytes() < _BATCH_BYTES_MAX * 2

    async def _resume(self, about: dict[str, Any]) -> shards.Cursor[Item]:
        row = await self.call.transact(
            lambda c: state.checkpoint(c.tx, c.keys("pipes"), self.name, self.shard)
        )
        row = row or {}
        since_s = row.get("time")
        if row.get("type") == "AT_TIMESTAMP":
            since_s = about.get("StartingPositionTimestamp")
        place = shards.Place(row.get("sequence") or "", row.get("iterator"), since_s)
        return shards.Cursor(stream_of(self.request["Source"]), self.shard, place, self._item)

    def _item(self, record: dict[str, Any]) -> Item:
        source = self.request["Source"]
        if checks.kind_of(source) == "kinesis":
            return items.kinesis(record, source, self.shard, self.request["RoleArn"])
        return items.dynamodb(record, source)

    def _news(self) -> asyncio.Future[None]:
        """Done when the shard has changed since now."""
        stream, place = stream_of(self.request["Source"]), delivery.parse(self.request["Source"])
        owner = self.call.scoped(place.account, place.region)
        is_first = True

        def wait(inner: Call) -> None:
            nonlocal is_first
            spans = inner.cloud.service(stream.service).news(inner, stream.arn, self.shard)
            if is_first:
                is_first = False
                inner.tx.wait(spans, inner.tx.time_s + _REFRESH_S)

        return asyncio.ensure_future(owner.transact(wait))

    async def _hand_over(self, about: dict[str, Any], cursor: shards.Cursor[Item]) -> None:
        """What is pending; the checkpoint moves only behind what every lane has done."""
        taken = cursor.take()
        wanted, size = carrying.wanted(self.request, taken), checks.batch_size(self.request)

        async def lane(records: list[Item], is_only: bool) -> None:
            for batch in shards.batches(records, size, _BATCH_BYTES_MAX):
                await self._batch(about, batch)
                if is_only:
                    await self._move_to(batch[-1].id)

        await shards.in_lanes(wanted, about.get("ParallelizationFactor", 1), lane)
        await self._move_to(taken[-1].id)

    async def _batch(self, about: dict[str, Any], batch: list[Item]) -> None:
        """Each piece until it is done, or too old, or tried too often; in halves where the pipe says so."""
        todo = [batch]
        while todo:
            left = await self._piece(about, todo.pop(0))
            if left:  # in halves
                middle = -(-len(left) // 2)
                todo[:0] = [left[:middle], left[middle:]]

    async def _piece(self, about: dict[str, Any], piece: list[Item]) -> list[Item]:
        """What is to be tried in halves; nothing if all of it is done or given up."""
        retries, age_s = about.get("MaximumRetryAttempts", -1), about.get("MaximumRecordAgeInSeconds", -1)  # fmt: skip
        bisects = about.get("OnPartialBatchItemFailure") == "AUTOMATIC_BISECT"
        attempts, pause_s = 0, _PAUSE_S[0]
        while True:
            if age_s >= 0:
                horizon_s = self.call.world.cloud() - age_s
                if old := [item for item in piece if item.arrived_s < horizon_s]:
                    await self._bury(about, old, "RecordAgeExceeded", attempts)
                    piece = [item for item in piece if item.arrived_s >= horizon_s]
                    if not piece:
                        return []
            failed_from = 0
            try:
                failed = await carrying.carry(await self.acting(), self.arn, self.request, piece)
                failed_from = next((n for n, i in enumerate(piece) if i.id in failed), len(piece))
            except (Fault, ValueError, Failed) as error:
                _log.info("pipe=%s shard=%s attempt=%d %r", self.name, self.shard, attempts, error)
                self._acting = None
            if failed_from == len(piece):
                return []
            if failed_from:  # what came before is done; the rest begins its own attempts
                piece, attempts, pause_s = piece[failed_from:], 0, _PAUSE_S[0]
            attempts += 1
            if bisects and len(piece) > 1:
                return piece
            if 0 <= retries < attempts:
                await self._bury(about, piece, "RetryAttemptsExhausted", attempts)
                return []
            await self._sleep(pause_s)
            pause_s = min(pause_s * 2, _PAUSE_S[1])

    async def _move_to(self, sequence: str) -> None:
        """Behind what was carried out; not if the pipe is another by now."""

        def move(inner: Call) -> None:
            keys = inner.keys("pipes")
            record = state.get(inner.tx, keys, self.name)
            if record is not None and record["epoch"] == self.epoch:
                row = {"done": False, "sequence": sequence}
                state.put_checkpoint(inner.tx, keys, self.name, self.shard, row)

        await self.call.transact(move)

    async def _bury(
        self, about: dict[str, Any], batch: list[Item], condition: str, attempts: int
    ) -> None:
        target = (about.get("DeadLetterConfig") or {}).get("Arn")
        if not target:
            _log.warning("pipe=%s shard=%s gives up %d records: %s", self.name, self.shard, len(batch), condition)  # fmt: skip
            return
        kind = checks.kind_of(self.request["Source"])
        first, last = batch[0], batch[-1]
        document = {
            "context": {"partnerResourceArn": self.arn, "condition": condition, "approximateInvokeCount": attempts},
            "version": "1.0",
            "timestamp": _spelled(self.call.world.cloud()),
            "KinesisBatchInfo" if kind == "kinesis" else "DDBStreamBatchInfo": {
                "shardId": self.shard, "startSequenceNumber": first.id, "endSequenceNumber": last.id,
                "approximateArrivalOfFirstRecord": _spelled(first.arrived_s),
                "approximateArrivalOfLastRecord": _spelled(last.arrived_s),
                "batchSize": len(batch), "streamArn": self.request["Source"],
            },
        }  # fmt: skip
        await delivery.send(await self.acting(), target, orjson.dumps(document).decode())

    async def _follow(self, children: list[shards.ShardInfo]) -> list[str]:
        """The shard is at its end: those that came out of it, unless another parent is still being read."""

        def settle(inner: Call) -> list[str]:
            keys = inner.keys("pipes")
            state.put_checkpoint(inner.tx, keys, self.name, self.shard, {"sequence": "", "done": True})  # fmt: skip
            ready = []
            for child in children:
                others = [parent for parent in child.parents if parent != self.shard]
                rows = [state.checkpoint(inner.tx, keys, self.name, other) for other in others]
                known = state.checkpoint(inner.tx, keys, self.name, child.id)
                if known is None and all(row is None or row["done"] for row in rows):
                    state.put_checkpoint(inner.tx, keys, self.name, child.id, {"sequence": "", "type": "TRIM_HORIZON", "done": False})  # fmt: skip
                    ready.append(child.id)
            return ready

        return await self.call.transact(settle)


def stream_of(source: str) -> shards.Stream:
    return shards.Stream("kinesis" if checks.kind_of(source) == "kinesis" else "dynamodbstreams", source)  # fmt: skip


async def beginning(call: Call, name: str, request: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:  # fmt: skip
    """Where reading begins: shard -> checkpoint row. Raises Fault."""
    there = targets.at(await acting_for(call, name, request), request["Source"])
    about = checks.parameters_of(request)
    position, time_s = about["StartingPosition"], about.get("StartingPositionTimestamp")
    stream, now_s = stream_of(request["Source"]), call.world.cloud()
    rows = await shards.beginning(there, stream, position, time_s, now_s)
    return [(shard, {"sequence": "", "done": False, **row}) for shard, row in rows]


def _spelled(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
