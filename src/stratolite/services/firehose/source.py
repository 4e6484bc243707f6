"""Reads a Kinesis stream into a delivery stream: a shard's records and its checkpoint in one transaction.

One job lists the shards, one reads each; both are endless (``service.Worker``). A shard's children begin when it is
done. Waits on the keys that change when a shard has something new. What the Kinesis Producer Library has put together is taken apart
(``aggregated``); a checkpoint may then stand within a record.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import orjson

from stratolite.core import Tx
from stratolite.errors import Fault
from stratolite.service import Call, Cloud, Job, Settle
from stratolite.services.firehose import aggregated, jobs, quotas, state
from stratolite.services.firehose.delivery import known, ref_and_call
from stratolite.services.firehose.state import Record, Ref
from stratolite.services.firehose.writing import gather

_log = logging.getLogger("stratolite.firehose")
_PAGE = 2000
_REFRESH_S = 200.0
_PAUSE_S = 5.0
_NEVER = float("inf")


class Source:
    queue, ordered, concurrency, endless = jobs.SOURCE, True, 100_000, True

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        ref, call = ref_and_call(self._cloud, said)
        stream = await self._cloud.db.transact(lambda tx: known(tx, ref, said["id"]))
        if stream is None:
            return None
        reader = _Reader(call, ref, stream, said["shard"])
        try:
            return await (reader.run() if said["shard"] else reader.begin())
        except Fault as fault:  # the stream or the role is not as it was: perhaps it will be
            _log.info("firehose=%s waits to read its source: %r", ref.name, fault)

            def later(tx: Tx) -> None:
                if known(tx, ref, said["id"]) is not None:
                    inner = call.scoped(call.account, call.region)
                    inner.tx = tx
                    jobs.read(inner, ref, said["id"], said["shard"], due_s=tx.time_s + _PAUSE_S)

            return later


class _Reader:
    def __init__(self, call: Call, ref: Ref, stream: Record, shard: str) -> None:
        self.call, self.ref, self.stream, self.shard = call, ref, stream, shard
        self.id = stream["id"]
        self.arn: str = stream["source"]["KinesisStreamARN"]

    async def _acting(self) -> Call:
        role = self.stream["source"]["RoleARN"]
        session = self.ref.name.ljust(2, "_")
        acting = await self.call.as_role(role, "firehose.amazonaws.com", self.ref.arn, session)
        acting = acting.scoped(acting.account, self.arn.split(":")[3])
        acting.principal = replace(acting.principal, source_arn=self.ref.arn)
        return acting

    async def begin(self) -> Settle:
        """A job for each shard that was open when the delivery stream was made; others are their children."""
        acting = await self._acting()
        only = {"Type": "AT_TIMESTAMP", "Timestamp": self.stream["made_s"]}
        ask = {"StreamARN": self.arn, "ShardFilter": only}
        shards = []
        while True:
            page = await acting.request("kinesis", "ListShards", ask)
            shards += [shard["ShardId"] for shard in page["Shards"]]
            if not page.get("NextToken"):
                break
            ask = {"NextToken": page["NextToken"]}

        def settle(tx: Tx) -> None:
            if known(tx, self.ref, self.id) is None:
                return
            inner = self.call.scoped(self.call.account, self.call.region)
            inner.tx = tx
            for shard in shards:
                if state.get_shard(tx, self.ref, self.id, shard) is None:
                    row = {"time": self.stream["made_s"]}
                    state.put_shard(tx, self.ref, self.id, shard, row)
                    jobs.read(inner, self.ref, self.id, shard)

        return settle

    async def run(self) -> Settle | None:
        acting, iterator = await self._acting(), None
        while True:
            row, stream = await self.call.cloud.db.transact(self._row)
            if row is None or stream is None or row.get("done"):
                return None
            self.stream = stream
            news = self._news()
            try:
                if iterator is None:
                    iterator = await self._iterator(acting, row)
                ask = {"ShardIterator": iterator, "Limit": _PAGE}
                page = await acting.request("kinesis", "GetRecords", ask)
            except Fault as fault:
                news.cancel()
                if fault.code == "ExpiredIteratorException":
                    iterator = None
                    continue
                if fault.code != "ProvisionedThroughputExceededException":
                    raise
                await self._wait(None, 1.0)
                continue
            iterator = page.get("NextShardIterator")
            behind_ms, cloud = page.get("MillisBehindLatest", 0), self.call.cloud
            self.ref.measure(cloud, "KinesisMillisBehindLatest", behind_ms, "Milliseconds")
            if page["Records"]:
                size = sum(len(record["Data"]) for record in page["Records"])
                self.ref.measure(cloud, "DataReadFromKinesisStream.Records", len(page["Records"]))
                self.ref.measure(cloud, "DataReadFromKinesisStream.Bytes", size, "Bytes")
                news.cancel()
                await self._take(page["Records"], row)
                continue
            if iterator is None:
                news.cancel()
                return self._follow(page.get("ChildShards") or [])
            await self._wait(news, _REFRESH_S)

    def _row(self, tx: Tx) -> tuple[Record | None, Record | None]:
        return state.get_shard(tx, self.ref, self.id, self.shard), known(tx, self.ref, self.id)

    async def _iterator(self, acting: Call, row: Record) -> str:
        ask: dict[str, Any] = {"StreamARN": self.arn, "ShardId": self.shard}
        if row.get("after"):
            ask |= {
                "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                "StartingSequenceNumber": row["after"],
            }
        elif row.get("time"):
            ask |= {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": row["time"]}
        else:
            ask |= {"ShardIteratorType": "TRIM_HORIZON"}
        answer = await acting.request("kinesis", "GetShardIterator", ask)
        return str(answer["ShardIterator"])

    def _news(self) -> asyncio.Future[None]:
        """Done when the shard has something new since now, or the delivery stream is another."""
        call = self.call.scoped(self.arn.split(":")[4], self.arn.split(":")[3])
        service = call.cloud.service("kinesis")
        changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        is_first = True

        def wait(tx: Tx) -> None:
            nonlocal is_first
            if is_first:
                is_first = False
                call.tx = tx
                spans = [*service.news(call, self.arn, self.shard), state.stream_span(self.ref)]
                tx.wait(spans, _NEVER)

        def done(_: None, _error: BaseException | None) -> None:
            if not changed.done():
                changed.set_result(None)

        parked = call.cloud.db.submit(wait, done)
        if parked is not None:
            changed.add_done_callback(lambda _: parked.cancel())
        return changed

    async def _wait(self, news: asyncio.Future[None] | None, seconds: float) -> None:
        """For news, at most ``seconds`` of the cloud clock."""
        until_s = self.call.world.cloud() + seconds

        def rest(tx: Tx) -> None:
            if tx.time_s < until_s:
                tx.wait([], until_s)

        timer = asyncio.ensure_future(self.call.cloud.db.transact(rest))
        try:
            waiting = [timer] if news is None else [timer, news]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            if news is not None:
                news.cancel()

    async def _take(self, records: list[dict[str, Any]], row: Record) -> None:
        """Into the buffer with the checkpoint; waits while too much is undelivered."""
        items = list(_items(records, row, self.shard))
        for at in range(0, len(items), _PAGE):
            piece = items[at : at + _PAGE]

            def gather_piece(inner: Call, piece: list[_Item] = piece) -> bool:
                return self._gather(inner, piece)

            while not await self.call.transact(gather_piece):
                await self._wait(None, _PAUSE_S)

    def _gather(self, call: Call, items: list[_Item]) -> bool:
        tx = call.tx
        if known(tx, self.ref, self.id) is None:
            return True
        gathered = state.gathering(tx, self.ref, self.id)
        if gathered["bytes"] + gathered["waiting"] > quotas.WAITING_BYTES_MAX:
            return False
        metadata = [item.metadata for item in items]
        gather(call, self.ref, self.stream, gathered, [item.data for item in items], metadata)
        state.put_shard(tx, self.ref, self.id, self.shard, items[-1].row)
        return True

    def _follow(self, children: list[dict[str, Any]]) -> Settle:
        def settle(tx: Tx) -> None:
            if known(tx, self.ref, self.id) is None:
                return
            inner = self.call.scoped(self.call.account, self.call.region)
            inner.tx = tx
            state.put_shard(tx, self.ref, self.id, self.shard, {"done": True})
            for child in children:
                parents = [
                    state.get_shard(tx, self.ref, self.id, parent)
                    for parent in child["ParentShards"]
                ]
                if not all(row is not None and row.get("done") for row in parents):
                    continue
                if state.get_shard(tx, self.ref, self.id, child["ShardId"]) is None:
                    state.put_shard(tx, self.ref, self.id, child["ShardId"], {})
                    jobs.read(inner, self.ref, self.id, child["ShardId"])

        return settle


class _Item(NamedTuple):
    data: bytes
    metadata: dict[str, Any]
    row: Record
    """The shard's checkpoint behind it."""


def _items(records: list[dict[str, Any]], row: Record, shard: str) -> Iterator[_Item]:
    """What is delivered one by one; of the first record, what ``row`` says is done is left out."""
    skipped = row.get("part", 0)
    before = {name: value for name, value in row.items() if name != "part"}
    for one in records:
        parts = aggregated.opened(one["Data"])
        users = [(one["PartitionKey"], one["Data"])] if parts is None else parts
        behind = {"after": one["SequenceNumber"]}
        for number, (key, data) in enumerate(users):
            if number < skipped:
                continue
            metadata = {
                "shardId": shard,
                "partitionKey": key,
                "approximateArrivalTimestamp": int(one["ApproximateArrivalTimestamp"] * 1000),
                "sequenceNumber": one["SequenceNumber"],
                "subsequenceNumber": "" if parts is None else str(number),
            }
            is_last = number == len(users) - 1
            yield _Item(data, metadata, behind if is_last else {**before, "part": number + 1})
        before, skipped = behind, 0
