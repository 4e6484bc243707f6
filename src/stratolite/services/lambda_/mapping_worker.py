"""Carries out what mappings want: switches them on and off, and has somebody read each queue and shard (``mapping_jobs``).

Reading is endless: one owner for each queue and shard, which a restart gives to the next.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import orjson

from stratolite.core import Keyspace, Tx
from stratolite.errors import Fault
from stratolite.service import Call, Job, Settle, Worker
from stratolite.services.lambda_ import mapping_jobs, mapping_settings, mapping_state

if TYPE_CHECKING:
    from stratolite.services.lambda_.mappings import Mappings

_CHECKPOINTS_AT_ONCE = 500
_READERS_MAX = 100_000
_AGAIN_S = 5.0


def workers(service: Mappings) -> Iterable[Worker]:
    return (_Mapping(service), _Source(service))


class _Mapping:
    queue, ordered, concurrency = mapping_jobs.MAPPING, True, 8

    def __init__(self, service: Mappings) -> None:
        self._service = service

    async def handle(self, job: Job) -> Settle | None:
        from stratolite.services.lambda_ import mapping_stream

        said = orjson.loads(job.payload)
        uuid = said["uuid"]
        call = self._service.cloud.call(said["account"], said["region"])
        keys = call.keys("lambda")
        record = await call.transact(lambda inner: mapping_state.get(inner.tx, keys, uuid))
        if record is None:
            return None
        if record["deleting"]:
            return await self._delete(call, keys, uuid)
        if not record["enabled"]:
            return lambda tx: _say(tx, keys, uuid, record["epoch"], "Disabled")
        source = mapping_settings.source(record["config"]["EventSourceArn"])
        begin: list[tuple[str, dict[str, Any]]] = []
        if source.is_stream and record["begun"] != record["epoch"]:
            try:
                begin = await mapping_stream.beginning(call, uuid, record, source)
            except Fault as fault:
                return _later(call, job, uuid, f"PROBLEM: {fault.code}")

        def settle(tx: Tx) -> None:
            inner = call.scoped(call.account, call.region)
            inner.tx = tx
            now = mapping_state.get(tx, keys, uuid)
            if now is None or not now["enabled"] or now["epoch"] != record["epoch"]:
                return  # what came between has its own job
            if now["begun"] != now["epoch"]:
                if not source.is_stream:
                    mapping_jobs.read(inner, uuid, now["epoch"], "")
                for shard, row in begin:
                    mapping_state.put_checkpoint(tx, keys, uuid, shard, row)
                    if not row.get("done"):
                        mapping_jobs.read(inner, uuid, now["epoch"], shard)
            _say(tx, keys, uuid, now["epoch"], "Enabled")

        return settle

    async def _delete(self, call: Call, keys: Keyspace, uuid: str) -> Settle:
        def page(inner: Call) -> bool:
            return mapping_state.delete_checkpoints_page(inner.tx, keys, uuid, _CHECKPOINTS_AT_ONCE)

        while await call.transact(page):
            pass

        def settle(tx: Tx) -> None:
            record = mapping_state.get(tx, keys, uuid)
            if record is not None:
                mapping_state.delete(tx, keys, uuid, record)

        return settle


def _later(call: Call, job: Job, uuid: str, why: str) -> Settle:
    """The source or the role is not there: perhaps it will be."""

    def settle(tx: Tx) -> None:
        mapping_state.put_result(tx, call.keys("lambda"), uuid, why)
        due_s = tx.time_s + _AGAIN_S
        call.cloud.work.put(
            tx, mapping_jobs.MAPPING, job.payload, partition=job.partition, due_s=due_s
        )

    return settle


def _say(tx: Tx, keys: Keyspace, uuid: str, epoch: int, text: str) -> None:
    record = mapping_state.get(tx, keys, uuid)
    if record is None or record["epoch"] != epoch or record["deleting"]:
        return
    begun = epoch if text == "Enabled" else record["begun"]
    config = {**record["config"], "State": text}
    mapping_state.put(tx, keys, uuid, {**record, "config": config, "begun": begun})


class _Source:
    queue, ordered, concurrency, endless = mapping_jobs.SOURCE, True, _READERS_MAX, True

    def __init__(self, service: Mappings) -> None:
        self._service = service

    async def handle(self, job: Job) -> Settle | None:
        from stratolite.services.lambda_.mapping_queue import QueueReader
        from stratolite.services.lambda_.mapping_stream import ShardReader

        said = orjson.loads(job.payload)
        make = ShardReader if said["shard"] else QueueReader
        call = self._service.cloud.call(said["account"], said["region"])
        return await make(self._service, call, said["uuid"], said["epoch"], said["shard"]).run()
