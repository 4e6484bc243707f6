"""Brings pipes to the state that is wanted of them, and has somebody read each queue and shard. Jobs: the front page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import orjson

from stratolite.core import Tx
from stratolite.errors import Fault
from stratolite.service import Call, Job, Settle, Worker
from stratolite.services.pipes import checks, reading, state

if TYPE_CHECKING:
    from stratolite.service import Cloud

_CHANGE, _READ = "pipes.change", "pipes.read"
_READERS_MAX = 100_000
_ROWS_A_TX = 200
_FAILED = {"CREATING": "CREATE_FAILED", "UPDATING": "UPDATE_FAILED", "STARTING": "START_FAILED", "STOPPING": "STOP_FAILED"}  # fmt: skip
Said = dict[str, Any]


def change(call: Call, name: str) -> None:
    said = {"account": call.account, "region": call.region, "name": name}
    call.cloud.work.put(call.tx, _CHANGE, orjson.dumps(said), partition=name.encode())


def _read(call: Call, name: str, epoch: int, shard: str) -> None:
    said = {"account": call.account, "region": call.region, "name": name, "epoch": epoch, "shard": shard}  # fmt: skip
    partition = f"{call.account}/{call.region}/{name}/{shard}".encode()
    call.cloud.work.put(call.tx, _READ, orjson.dumps(said), partition=partition)


def workers(cloud: Cloud) -> Iterable[Worker]:
    return (_Change(cloud), _Read(cloud))


class _Change:
    queue, ordered, concurrency = _CHANGE, True, 8

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        call, name = self._cloud.call(said["account"], said["region"]), said["name"]
        record = await call.transact(lambda c: state.get(c.tx, c.keys("pipes"), name))
        if record is None:
            return None
        if record["wanted"] == "DELETED":
            while await call.transact(lambda c: state.drop_checkpoints(c.tx, c.keys("pipes"), name, _ROWS_A_TX)):  # fmt: skip
                pass
            return lambda tx: state.delete(tx, call.keys("pipes"), name)
        begin: list[tuple[str, Said]] = []
        reason = ""
        if record["wanted"] == "RUNNING":
            try:
                begin = await self._beginning(call, name, record)
            except Fault as fault:
                reason = fault.message or fault.code

        def settle(tx: Tx) -> None:
            call.tx = tx
            keys = call.keys("pipes")
            now = state.get(tx, keys, name)
            if now is None or now["epoch"] != record["epoch"]:
                return  # what came between has its own job
            if reason:
                now |= {"state": _FAILED.get(now["state"], "START_FAILED"), "reason": reason}
                state.put(tx, keys, name, now)
                return
            for shard, row in begin:
                if shard:
                    state.put_checkpoint(tx, keys, name, shard, row)
                if not row.get("done"):
                    _read(call, name, now["epoch"], shard)
            now |= {"state": now["wanted"], "reason": ""}
            state.put(tx, keys, name, now)

        return settle

    async def _beginning(self, call: Call, name: str, record: state.Record) -> list[tuple[str, Said]]:  # fmt: skip
        """The queue (""), or the shards to read: on from where the pipe was, if it has read before."""
        if checks.kind_of(record["request"]["Source"]) == "sqs":
            await reading.acting_for(call, name, record["request"])
            return [("", {})]
        known = await call.transact(lambda c: list(state.checkpoints(c.tx, c.keys("pipes"), name)))
        return known or await reading.beginning(call, name, record["request"])


class _Read:
    queue, ordered, concurrency, endless = _READ, True, _READERS_MAX, True

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        call, shard = self._cloud.call(said["account"], said["region"]), said["shard"]
        kind = reading.ShardReader if shard else reading.QueueReader
        follow = await kind(call, said["name"], said["epoch"], shard).run()
        if not follow:
            return None

        def settle(tx: Tx) -> None:
            call.tx = tx
            for one in follow:
                _read(call, said["name"], said["epoch"], one)

        return settle
