"""Reads a pipe's queue or one shard of its stream, for as long as the pipe stays as it is."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import orjson

from stratolite import delivery
from stratolite.core import Tx
from stratolite.errors import Fault
from stratolite.service import Call
from stratolite.services.pipes import carrying, checks, items, state
from stratolite.services.pipes.items import Item

_log = logging.getLogger("stratolite.pipes")
SERVICE = "pipes.amazonaws.com"
_NEVER = float("inf")
_WAIT_S, _RECEIVED_MAX = 20, 10
_PAUSE_S = 1.0, 60.0
_SESSION_S = 3600.0  # what AssumeRole gives
_BATCH = {"sqs": 10, "kinesis": 100, "dynamodb": 100}


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
        self._changed: asyncio.Future[None] | None = None
        self._acting: tuple[float, Call] | None = None

    async def run(self) -> list[str]:
        """Until the pipe changes, or the shard has been read to its end: the shards that follow it."""
        pause_s = _PAUSE_S[0]
        try:
            await self._begin()
            while True:
                try:
                    follow = await self._turn()
                except (Fault, ValueError, carrying.Failed) as error:
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
        self.request = record["request"]

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
        until_s = self.call.world.cloud() + seconds

        def wait(inner: Call) -> None:
            if inner.tx.time_s < until_s:
                inner.tx.wait([], until_s)

        await self._first(asyncio.ensure_future(self.call.transact(wait)))

    async def _first(self, awaited: asyncio.Future[Any]) -> Any:
        """What ``awaited`` gives, unless the pipe changes first. Raises Ended then."""
        assert self._changed is not None
        try:
            await asyncio.wait([awaited, self._changed], return_when=asyncio.FIRST_COMPLETED)
            if awaited.done():
                return awaited.result()
        finally:
            awaited.cancel()
        self._check()
        raise Ended


class QueueReader(Reader):
    async def _turn(self) -> list[str] | None:
        acting = await self.acting()
        queue = delivery.parse(self.request["Source"])
        there = acting.scoped(queue.account, queue.region)
        place = {"QueueUrl": f"{self.call.endpoint}/{queue.account}/{queue.resource}"}
        most = checks.parameters_of(self.request).get("BatchSize", _BATCH["sqs"])
        ask = place | {
            "MaxNumberOfMessages": min(most, _RECEIVED_MAX),
            "WaitTimeSeconds": _WAIT_S,
            "MessageSystemAttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        }
        answer = await self._first(asyncio.ensure_future(there.request("sqs", "ReceiveMessage", ask)))  # fmt: skip
        batch = [items.message(one, self.request["Source"]) for one in answer.get("Messages") or ()]
        if not batch:
            return None
        wanted = carrying.wanted(self.request, batch)
        if wanted:
            try:
                kept = await carrying.carry(acting, self.arn, self.request, wanted)
            except (Fault, ValueError, carrying.Failed) as error:
                _log.info("pipe=%s: %d messages go back after %r", self.name, len(wanted), error)
                self._acting = None
                kept = {item.id for item in wanted}
            batch = [item for item in batch if item.id not in kept]
        if batch:
            entries = [{"Id": str(n), "ReceiptHandle": i.handle} for n, i in enumerate(batch)]
            await there.request("sqs", "DeleteMessageBatch", place | {"Entries": entries})
        return None


class ShardReader(Reader):
    _iterator: str | None = None

    async def _turn(self) -> list[str] | None:
        acting = await self.acting()
        source, kind = self.request["Source"], checks.kind_of(self.request["Source"])
        service = "kinesis" if kind == "kinesis" else "dynamodbstreams"
        place = delivery.parse(source)
        there = acting.scoped(place.account, place.region)
        about = checks.parameters_of(self.request)
        news = self._news(service, place)
        try:
            if self._iterator is None:
                self._iterator = await self._seek(there, service, about)
            most = min(about.get("BatchSize", _BATCH[kind]), 1000)
            try:
                answer = await there.request(service, "GetRecords", {"ShardIterator": self._iterator, "Limit": most})  # fmt: skip
            except Fault:
                self._iterator = None
                raise
            batch = [self._item(kind, record) for record in answer["Records"]]
            if batch:
                await self._carry(about, batch)
            self._iterator = answer.get("NextShardIterator")
            if self._iterator is None:
                return await self._follow(there, service)
            if not batch:
                await self._first(news)
                return None
        finally:
            news.cancel()
        return None

    def _item(self, kind: str, record: dict[str, Any]) -> Item:
        source = self.request["Source"]
        if kind == "kinesis":
            return items.kinesis(record, source, self.shard, self.request["RoleArn"])
        return items.dynamodb(record, source)

    async def _seek(self, there: Call, service: str, about: dict[str, Any]) -> str:
        row = await self.call.transact(
            lambda c: state.checkpoint(c.tx, c.keys("pipes"), self.name, self.shard)
        )
        ask: dict[str, Any] = _stream(service, self.request["Source"]) | {"ShardId": self.shard}
        if row is not None and row["sequence"]:
            ask |= {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", _number(service): row["sequence"]}
        elif row is not None and row.get("iterator"):
            found: str = row["iterator"]
            return found
        else:
            ask["ShardIteratorType"] = (row or {}).get("type") or about["StartingPosition"]
            if ask["ShardIteratorType"] == "AT_TIMESTAMP":
                ask["Timestamp"] = about["StartingPositionTimestamp"]
        answer = await there.request(service, "GetShardIterator", ask)
        iterator: str = answer["ShardIterator"]
        return iterator

    def _news(self, service: str, place: delivery.Arn) -> asyncio.Future[None]:
        """Done when the shard has changed since now."""
        owner = self.call.scoped(place.account, place.region)
        source = self.request["Source"]
        is_first = True

        def wait(inner: Call) -> None:
            nonlocal is_first
            spans = inner.cloud.service(service).news(inner, source, self.shard)
            if is_first:
                is_first = False
                inner.tx.wait(spans, inner.tx.time_s + 200.0)  # before the iterator expires

        return asyncio.ensure_future(owner.transact(wait))

    async def _carry(self, about: dict[str, Any], batch: list[Item]) -> None:
        """Each piece until it is done, or too old, or tried too often; in halves where the pipe says so."""
        wanted = carrying.wanted(self.request, batch)
        todo = [wanted] if wanted else []
        while todo:
            left = await self._piece(about, todo.pop(0))
            if left:  # in halves
                middle = -(-len(left) // 2)
                todo[:0] = [left[:middle], left[middle:]]
        await self.call.transact(lambda c: self._mark(c.tx, {"sequence": batch[-1].id}))

    async def _piece(self, about: dict[str, Any], piece: list[Item]) -> list[Item]:
        """What is to be tried in halves; nothing if all of it is done or given up."""
        retries, age_s = about.get("MaximumRetryAttempts", -1), about.get("MaximumRecordAgeInSeconds", -1)  # fmt: skip
        bisects = about.get("OnPartialBatchItemFailure") == "AUTOMATIC_BISECT"
        attempts, pause_s = 0, _PAUSE_S[0]
        while True:
            now_s = self.call.world.cloud()
            if age_s >= 0 and now_s - piece[0].arrived_s > age_s:
                await self._bury(about, piece, "MaximumRecordAgeExceeded", attempts)
                return []
            failed_from = 0
            try:
                failed = await carrying.carry(await self.acting(), self.arn, self.request, piece)
                failed_from = next((n for n, i in enumerate(piece) if i.id in failed), len(piece))
            except (Fault, ValueError, carrying.Failed) as error:
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

    def _mark(self, tx: Tx, row: dict[str, Any]) -> None:
        """Behind what was carried out; not if the pipe is another by now."""
        keys = self.call.keys("pipes")
        record = state.get(tx, keys, self.name)
        if record is not None and record["epoch"] == self.epoch:
            state.put_checkpoint(tx, keys, self.name, self.shard, {"done": False, **row})

    async def _bury(
        self, about: dict[str, Any], batch: list[Item], condition: str, attempts: int
    ) -> None:
        target = (about.get("DeadLetterConfig") or {}).get("Arn")
        if not target:
            _log.warning("pipe=%s shard=%s gives up %d records: %s", self.name, self.shard, len(batch), condition)  # fmt: skip
            return
        kind = checks.kind_of(self.request["Source"])
        info = {"shardId": self.shard, "startSequenceNumber": batch[0].id, "endSequenceNumber": batch[-1].id, "batchSize": len(batch), "streamArn": self.request["Source"]}  # fmt: skip
        document = {
            "context": {"partnerResourceArn": self.arn, "condition": condition, "approximateInvokeCount": attempts},
            "version": "1.0",
            "KinesisBatchInfo" if kind == "kinesis" else "DDBStreamBatchInfo": info,
        }  # fmt: skip
        await delivery.send(await self.acting(), target, orjson.dumps(document).decode())

    async def _follow(self, there: Call, service: str) -> list[str]:
        """The shard is at its end: those that came out of it, unless another parent is still being read."""
        children = []
        for shard in await shards_of(there, service, self.request["Source"]):
            parents = {shard.get("ParentShardId"), shard.get("AdjacentParentShardId")} - {None}
            if self.shard in parents:
                children.append((shard["ShardId"], parents - {self.shard}))

        def settle(inner: Call) -> list[str]:
            keys = inner.keys("pipes")
            state.put_checkpoint(inner.tx, keys, self.name, self.shard, {"sequence": "", "done": True})  # fmt: skip
            ready = []
            for child, others in children:
                rows = [state.checkpoint(inner.tx, keys, self.name, str(other)) for other in others]
                known = state.checkpoint(inner.tx, keys, self.name, child)
                if known is None and all(row is None or row["done"] for row in rows):
                    state.put_checkpoint(inner.tx, keys, self.name, child, {"sequence": "", "type": "TRIM_HORIZON", "done": False})  # fmt: skip
                    ready.append(child)
            return ready

        return await self.call.transact(settle)


async def shards_of(there: Call, service: str, source: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    ask = _stream(service, source)
    while True:
        if service == "kinesis":
            page = await there.request("kinesis", "ListShards", ask)
            found += page["Shards"]
            if not page.get("NextToken"):
                return found
            ask = {"NextToken": page["NextToken"]}
        else:
            described = (await there.request(service, "DescribeStream", ask))["StreamDescription"]
            found += described["Shards"]
            if not described.get("LastEvaluatedShardId"):
                return found
            ask = ask | {"ExclusiveStartShardId": described["LastEvaluatedShardId"]}


async def beginning(call: Call, name: str, request: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:  # fmt: skip
    """Where reading begins: shard -> checkpoint row. Raises Fault."""
    acting = await acting_for(call, name, request)
    source = request["Source"]
    service = "kinesis" if checks.kind_of(source) == "kinesis" else "dynamodbstreams"
    place = delivery.parse(source)
    there = acting.scoped(place.account, place.region)
    shards = await shards_of(there, service, source)
    position = checks.parameters_of(request)["StartingPosition"]
    known = {shard["ShardId"] for shard in shards}
    found = []
    for shard in shards:
        parents = {shard.get("ParentShardId"), shard.get("AdjacentParentShardId")} & known
        is_open = "EndingSequenceNumber" not in shard["SequenceNumberRange"]
        if (position == "LATEST" and not is_open) or (position != "LATEST" and parents):
            continue
        row: dict[str, Any] = {"sequence": "", "type": position, "done": False}
        if position == "LATEST":  # from now on, however long it takes to begin
            ask = _stream(service, source) | {"ShardId": shard["ShardId"], "ShardIteratorType": "LATEST"}  # fmt: skip
            row["iterator"] = (await there.request(service, "GetShardIterator", ask))["ShardIterator"]  # fmt: skip
        found.append((shard["ShardId"], row))
    return found


def _stream(service: str, source: str) -> dict[str, Any]:
    return {"StreamARN": source} if service == "kinesis" else {"StreamArn": source}


def _number(service: str) -> str:
    return "StartingSequenceNumber" if service == "kinesis" else "SequenceNumber"
