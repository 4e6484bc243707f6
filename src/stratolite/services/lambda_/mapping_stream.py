"""Reads one shard of a Kinesis or DynamoDB stream for a function, in order, from a checkpoint in the store on.

A batch is done when the function has done it, or when it has failed too often, has become too old or is a record that no
invocation takes (6 MB) and was handed to the on-failure destination; then the checkpoint moves behind it. A crash in between hands it over again. When a
shard has been read to its end, the shards that follow it begin, once all their parents are done.

Sources  https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
         https://docs.aws.amazon.com/streams/latest/dev/large-records.html
         https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
         https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import orjson

from stratolite import shards
from stratolite.errors import Fault
from stratolite.service import Call, Settle
from stratolite.services.lambda_ import (
    invoking,
    mapping_answers,
    mapping_events,
    mapping_jobs,
    mapping_state,
)
from stratolite.services.lambda_.invoking import Answer
from stratolite.services.lambda_.mapping_access import as_function
from stratolite.services.lambda_.mapping_events import Item
from stratolite.services.lambda_.mapping_failures import Discarded, send
from stratolite.services.lambda_.mapping_reader import EVENT_BYTES_MAX, Ended, Reader
from stratolite.services.lambda_.mapping_settings import Source
from stratolite.services.lambda_.names import Ref

_REFRESH_S = 200.0
"""An idle reader's iterator is used before it expires (5 minutes)."""
_RETRY_S = 1.0, 60.0


# -- the beginning


async def beginning(
    call: Call, uuid: str, record: mapping_state.Record, source: Source
) -> list[tuple[str, mapping_state.Record]]:
    """Checkpoints to begin (or go on) reading from: shard -> row. Raises Fault."""
    keys, config = call.keys("lambda"), record["config"]
    known = await call.transact(lambda inner: list(mapping_state.checkpoints(inner.tx, keys, uuid)))
    if known:  # switched on again: on from where it was
        return [(shard, {**row, "epoch": record["epoch"]}) for shard, row in known]
    ref = Ref(call.account, call.region, record["name"], record["qualifier"] or None)
    target = await call.transact(lambda inner: invoking.choose(inner, ref))
    acting = await as_function(call, ref, target.config["Role"])
    acting = acting.scoped(acting.account, source.region)
    position, time_s = config["StartingPosition"], config.get("StartingPositionTimestamp")
    rows = await shards.beginning(acting, _stream(source), position, time_s, call.world.cloud())
    return [(shard, {**row, "epoch": record["epoch"]}) for shard, row in rows]


def _stream(source: Source) -> shards.Stream:
    return shards.Stream(source.service, source.stream_arn)


# -- a shard's reader


class ShardReader(Reader):
    _row: mapping_state.Record | None = None
    _cursor: shards.Cursor[Item]
    _tried: dict[str, tuple[str, int]]
    """First record of a piece that failed -> (its last, how often it was tried)."""

    async def read(self) -> Settle | None:
        if self._row is None:
            await self._resume()
        size, window_s = self.config["BatchSize"], self.config["MaximumBatchingWindowInSeconds"]
        most = size * self.config["ParallelizationFactor"]
        news = await self._arm()
        cursor = self._cursor
        try:
            while not cursor.is_over and len(cursor.pending) < most and self._room():
                before = len(cursor.pending)
                got = await cursor.read(await self.acting(), most - before)
                self.count("PolledEventCount", len(cursor.pending) - before)
                if cursor.is_slowed:
                    await self.sleep(_RETRY_S[0])
                if not got:
                    break
        except Fault:
            news.cancel()
            cursor.lose_iterator()
            raise
        now_s = self.call.world.cloud()
        due_s = min(cursor.since_s + window_s, self._window_end_s())
        is_due = len(cursor.pending) >= size or now_s >= due_s
        if cursor.pending and (is_due or cursor.is_over or not self._room()):
            news.cancel()
            await self._hand_over()
            return None
        if cursor.is_over and not cursor.pending:
            news.cancel()
            await self._close_window(is_over=True)
            return await self._follow()
        until_s = cursor.since_s + window_s if cursor.pending else now_s + _REFRESH_S
        until_s = min(until_s, self._window_end_s())
        if now_s >= self._window_end_s():
            news.cancel()
            await self._close_window(is_over=False)
            return None
        timer = asyncio.ensure_future(self._until(until_s))
        await self.wait_any(news, timer)
        return None

    def _room(self) -> bool:
        return self._cursor.size_bytes() < EVENT_BYTES_MAX * 2

    async def _arm(self) -> asyncio.Future[None]:
        """Waits for news from before it is looked whether there is some."""
        service = self.call.cloud.service(self.source.service)
        owner = self.call.scoped(self.source.account, self.source.region)

        def spans(inner: Call) -> Any:
            return service.news(inner, self.source.stream_arn, self.shard)

        found = await owner.transact(spans)
        return self.news(found)

    def forget(self) -> None:
        self._row = None

    async def _resume(self) -> None:
        row = await self.call.transact(
            lambda inner: mapping_state.checkpoint(inner.tx, self.keys, self.uuid, self.shard)
        )
        if row is None or row.get("done"):
            raise Ended
        self._row = row
        self._tried = {
            first: (last, count) for first, (last, count) in (row.get("tried") or {}).items()
        }
        place = shards.Place(row.get("after") or "", row.get("iterator"), row.get("time"))
        self._cursor = shards.Cursor(_stream(self.source), self.shard, place, self._item)

    def _item(self, record: dict[str, Any]) -> Item:
        if self.source.kind == "dynamodb":
            return mapping_events.dynamodb(record, self.source.arn)
        role = self._acting[0] if self._acting else ""
        return mapping_events.kinesis(record, self.source.arn, self.shard, role)

    # -- handing over

    async def _hand_over(self) -> None:
        """What is pending, in batches: one after another, or several at once for different keys."""
        assert self._row is not None
        taken = self._cursor.take()
        await self._slices(taken)
        await self._move_to(taken[-1].id)
        age_ms = max(0.0, (self.call.world.cloud() - taken[-1].arrived_s) * 1000)
        self.measure("IteratorAge", age_ms, "Milliseconds")

    async def _slices(self, taken: list[Item]) -> None:
        if self.config["TumblingWindowInSeconds"]:
            await self._windows(taken)
            return
        wanted = self.wanted(taken)

        async def lane(items: list[Item], is_only: bool) -> None:
            for batch in shards.batches(items, self.config["BatchSize"], EVENT_BYTES_MAX):
                await self._batch(batch)
                if is_only:
                    await self._move_to(batch[-1].id)

        await shards.in_lanes(wanted, self.config["ParallelizationFactor"], lane)

    async def _batch(self, batch: list[Item]) -> None:
        """Until the function has done all of it, or what it cannot do was given up. Raises Ended."""
        todo = self._as_tried(batch)
        while todo:
            piece = todo.pop(0)
            left = await self._try(piece)
            if left is None:
                self._tried.pop(piece.items[0].id, None)
                continue
            bisects = self.config["BisectBatchOnFunctionError"] and len(left.items) > 1
            if bisects and left.is_error and not left.is_cut:
                middle = -(-len(left.items) // 2)
                todo[:0] = [_Piece(left.items[:middle], 0), _Piece(left.items[middle:], 0)]
            else:
                todo.insert(0, _Piece(left.items, left.attempts))
                if left.is_error:
                    self._tried[left.items[0].id] = left.items[-1].id, left.attempts
                    await self._keep_tried()
                await self._back_off(left.attempts)

    def _as_tried(self, batch: list[Item]) -> list[_Piece]:
        """The batch in pieces, where some of it had failed before a restart."""
        pieces: list[_Piece] = []
        at = 0
        while at < len(batch):
            last, attempts = self._tried.get(batch[at].id, ("", 0))
            stop = at + 1
            if attempts:
                while stop < len(batch) and batch[stop - 1].id != last:
                    stop += 1
            else:
                while stop < len(batch) and batch[stop].id not in self._tried:
                    stop += 1
            pieces.append(_Piece(batch[at:stop], attempts))
            at = stop
        return pieces

    async def _keep_tried(self) -> None:
        """How often what has failed was tried, for whoever reads on after a restart. Raises Ended."""

        def keep(inner: Call) -> None:
            row = mapping_state.checkpoint(inner.tx, self.keys, self.uuid, self.shard)
            if row is None or row["epoch"] > self.epoch:
                raise Ended
            kept = {**row, "tried": self._tried}
            mapping_state.put_checkpoint(inner.tx, self.keys, self.uuid, self.shard, kept)

        await self.call.transact(keep)

    async def _try(self, piece: _Piece) -> _Left | None:
        """One invocation; what must be tried again, None if nothing must."""
        age_max_s = self.config["MaximumRecordAgeInSeconds"]
        items, attempts = piece
        if age_max_s > 0:
            horizon_s = self.call.world.cloud() - age_max_s
            old = [item for item in items if item.arrived_s < horizon_s]
            if old:
                await self._discard(old, "RecordAgeExceeded", attempts, None)
                items = [item for item in items if item.arrived_s >= horizon_s]
                if not items:
                    return None
        if len(items) == 1 and items[0].size_bytes > EVENT_BYTES_MAX:
            await self._discard(items, "MaximumPayloadSizeExceeded", attempts, None)
            return None
        try:
            request_id, answer = await self.invoke(self._event(items))
        except Fault as fault:
            is_throttled = fault.code == "TooManyRequestsException"
            await self._note(f"PROBLEM: {'Function throttled' if is_throttled else fault.message}")
            return _Left(items, attempts, is_error=False)
        self.count("InvokedEventCount", len(items))
        failed_from = 0
        if answer.error is None:
            failed_from = len(items)
            if self.config["FunctionResponseTypes"]:
                bad = mapping_answers.failed(answer.payload, [item.id for item in items])
                first = (n for n, item in enumerate(items) if item.id in bad)
                failed_from = next(first, len(items))
        if failed_from == len(items):
            await self._note("OK")
            self._answered(answer)
            return None
        self.count("FailedInvokeEventCount", len(items) - failed_from)
        await self._note("PROBLEM: Function call failed")
        if failed_from:  # what came before is done; the rest begins its own attempts
            attempts = 0
        items = items[failed_from:]
        attempts += 1
        retries = self.config["MaximumRetryAttempts"]
        can_bisect = self.config["BisectBatchOnFunctionError"] and len(items) > 1
        if 0 <= retries < attempts and not can_bisect:
            await self._discard(items, "RetryAttemptsExhausted", attempts, (request_id, answer))
            return None
        return _Left(items, attempts, is_error=True, is_cut=failed_from > 0)

    def _event(self, items: list[Item]) -> dict[str, Any]:
        if self._in_window is None or self._row is None:
            return mapping_events.records(items)
        window, is_final = self._in_window
        return mapping_events.in_window(
            items, window, self._row.get("state") or {}, self.shard, self.source.arn,
            is_final=is_final, is_early=self._is_early,
        )  # fmt: skip

    def _answered(self, answer: Answer) -> None:
        """A window keeps what the function says."""
        if self._in_window is not None and self._row is not None:
            self._row = {**self._row, "state": mapping_answers.state(answer.payload)}

    async def _back_off(self, attempts: int) -> None:
        await self.sleep(min(_RETRY_S[0] * 2 ** min(max(attempts - 1, 0), 10), _RETRY_S[1]))

    async def _discard(
        self,
        items: list[Item],
        why: str,
        attempts: int,
        last: tuple[str, Answer] | None,
    ) -> None:
        self.count("DroppedEventCount", len(items))
        where = self.config["DestinationConfig"]["OnFailure"].get("Destination")
        if not where:
            return
        discarded = Discarded(
            self.source, self.shard, self.ref, self.uuid, items, why, attempts, last
        )
        pause_s = _RETRY_S[0]
        while True:
            try:
                await send(await self.acting(), where, discarded, self._event(items))
                self.count("OnFailureDestinationDeliveredEventCount", len(items))
                return
            except Fault as fault:
                await self._note(f"PROBLEM: {fault.code} for the on-failure destination")
                if fault.code.startswith("AccessDenied") or pause_s > _RETRY_S[1]:
                    self.measure("DestinationDeliveryFailures", 1)
                    return
            await self.sleep(pause_s)
            pause_s *= 2

    async def _move_to(self, after: str) -> None:
        """Everything up to and with ``after`` is done. Raises Ended if it was not ours to do."""

        def move(inner: Call) -> mapping_state.Record:
            record = mapping_state.get(inner.tx, self.keys, self.uuid)
            row = mapping_state.checkpoint(inner.tx, self.keys, self.uuid, self.shard)
            if record is None or row is None or row["epoch"] > self.epoch:
                raise Ended
            moved: mapping_state.Record = {"epoch": row["epoch"], "after": after}
            for name in ("window", "state"):
                if self._row and name in self._row:
                    moved[name] = self._row[name]
            mapping_state.put_checkpoint(inner.tx, self.keys, self.uuid, self.shard, moved)
            return moved

        self._row = await self.call.transact(move)
        self._tried = {}

    # -- tumbling windows

    _in_window: tuple[mapping_events.Window, bool] | None = None

    def _window(self) -> mapping_events.Window | None:
        """The window that has begun and not ended."""
        length_s = self.config["TumblingWindowInSeconds"]
        if not length_s or self._row is None or self._row.get("window") is None:
            return None
        return mapping_events.Window(self._row["window"], length_s)

    def _window_end_s(self) -> float:
        window = self._window()
        return window.end_s if window else float("inf")

    async def _windows(self, taken: list[Item]) -> None:
        length_s = self.config["TumblingWindowInSeconds"]
        assert self._row is not None
        for batch in shards.batches(taken, self.config["BatchSize"], EVENT_BYTES_MAX):
            left = batch
            while left:
                window = mapping_events.window_of(left[0].arrived_s, length_s)
                now = self._window()
                if now is not None and window.start_s > now.start_s:
                    await self._close_window(is_over=False)
                    continue
                if now is not None:
                    window = now  # arrival never goes back within a shard
                else:
                    self._row = {**self._row, "window": window.start_s, "state": {}}
                inside = [item for item in left if item.arrived_s < window.end_s]
                left = left[len(inside) :]
                wanted = self.wanted(inside)
                if wanted:
                    self._in_window = window, False
                    await self._batch(wanted)
                await self._move_to(inside[-1].id)
                if len(orjson.dumps(self._row["state"])) > mapping_answers.STATE_BYTES_MAX:
                    await self._close_window(is_over=False, is_early=True)

    async def _close_window(self, *, is_over: bool, is_early: bool = False) -> None:
        """The last invocation of a window, without records."""
        window = self._window()
        if window is None or self._row is None:
            return
        self._in_window = window, True
        self._is_early = is_early
        _, attempts = self._tried.get("", ("", 0))
        while True:
            try:
                _, answer = await self.invoke(self._event([]))
                if answer.error is None:
                    await self._note("OK")
                    break
                attempts += 1
            except Fault as fault:
                await self._note(f"PROBLEM: {fault.message}")
            retries = self.config["MaximumRetryAttempts"]
            if 0 <= retries < attempts:
                break
            await self._note("PROBLEM: Function call failed")
            self._tried[""] = "", attempts
            await self._keep_tried()
            await self._back_off(attempts)
        self._is_early = False
        self._tried.pop("", None)
        row = {k: v for k, v in self._row.items() if k not in ("window", "state", "tried")}

        def put(inner: Call) -> None:
            if mapping_state.checkpoint(inner.tx, self.keys, self.uuid, self.shard) is None:
                raise Ended
            mapping_state.put_checkpoint(inner.tx, self.keys, self.uuid, self.shard, row)

        await self.call.transact(put)
        self._row, self._in_window = row, None

    _is_early = False

    # -- the end of a shard

    async def _follow(self) -> Settle:
        """Done; the children whose parents are all done begin at their beginning."""
        children, epoch = self._cursor.children, self.epoch

        def settle(tx: Any) -> None:
            inner = self.call.scoped(self.call.account, self.call.region)
            inner.tx = tx
            record = mapping_state.get(tx, self.keys, self.uuid)
            if record is None or record["deleting"]:
                return
            done: mapping_state.Record = {"epoch": epoch, "done": True}
            mapping_state.put_checkpoint(tx, self.keys, self.uuid, self.shard, done)
            waiting = 0
            finished = {self.shard}
            for child in children:
                others = [p for p in child.parents if p != self.shard]
                rows = [mapping_state.checkpoint(tx, self.keys, self.uuid, p) for p in others]
                if not all(row is not None and row.get("done") for row in rows):
                    waiting += 1
                    continue
                finished.update(others)
                if mapping_state.checkpoint(tx, self.keys, self.uuid, child.id) is None:
                    row = {"epoch": record["epoch"], "type": "TRIM_HORIZON"}
                    mapping_state.put_checkpoint(tx, self.keys, self.uuid, child.id, row)
                    if record["enabled"]:
                        mapping_jobs.read(inner, self.uuid, record["epoch"], child.id)
            if children and not waiting:
                for shard in finished:
                    mapping_state.delete_checkpoint(tx, self.keys, self.uuid, shard)

        return settle


class _Piece(NamedTuple):
    items: list[Item]
    attempts: int


class _Left(NamedTuple):
    items: list[Item]
    attempts: int
    is_error: bool
    """The function failed, not the way to it."""
    is_cut: bool = False
    """The function said where: that is the cut, and the rest is tried as it is."""
