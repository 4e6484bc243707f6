"""What happens to streams behind their users' backs, a page a transaction.

What the jobs hold: ``jobs``.
"""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from stratolite.core import Tx
from stratolite.core.dropping import Dropper
from stratolite.errors import Fault
from stratolite.service import Cloud, Job, Settle, Worker
from stratolite.services.kinesis import quotas, state
from stratolite.services.kinesis.jobs import DROP, SCALE, TRIM
from stratolite.services.kinesis.names import Ref
from stratolite.services.kinesis.resharding import split

_PAGE_ROWS = 500


def workers(cloud: Cloud) -> Iterable[Worker]:
    return (Dropper(cloud.db, DROP), _Trim(cloud), _Scale(cloud))


class _Trim:
    queue, ordered, concurrency = TRIM, False, 2

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        ref = Ref(*said["stream"])

        def stream_of(tx: Tx) -> state.Record | None:
            stream = state.get_stream(tx, ref)
            return stream if stream and stream["id"] == said["id"] else None

        def next_shard(tx: Tx, start: int) -> int | None:
            stream = stream_of(tx)
            found = state.shards(tx, ref, stream, start) if stream else iter(())
            return next((number for number, _ in found), None)

        def page(tx: Tx, number: int) -> bool:
            stream = stream_of(tx)
            if stream is None:
                return False
            before_ms = int(tx.time_s * 1000) - stream["hours"] * 3_600_000
            if state.trim_page(tx, ref, stream, number, before_ms, _PAGE_ROWS):
                return True
            shard = state.get_shard(tx, ref, stream, number)
            is_old = (
                shard and shard["closed_s"] is not None and shard["closed_s"] * 1000 < before_ms
            )
            if is_old and not state.has_records(tx, ref, stream, number):
                state.drop_shard(tx, ref, stream, number)
            return False

        transact, start = self._cloud.db.transact, 0
        while (number := await transact(lambda tx: next_shard(tx, start))) is not None:  # noqa: B023
            while await transact(lambda tx: page(tx, number)):
                pass
            start = number + 1

        def settle(tx: Tx) -> None:
            if stream_of(tx) is not None:
                due_s = tx.time_s + quotas.TRIM_EVERY_S
                self._cloud.work.put(tx, TRIM, job.payload, due_s=due_s)

        return settle


class _Scale:
    queue, ordered, concurrency = SCALE, False, 1

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        ref, cloud = Ref(*said["stream"]), self._cloud

        def settle(tx: Tx) -> None:
            call = cloud.call(ref.account, ref.region)
            call.tx = tx
            stream = state.get_stream(tx, ref)
            if stream is None or stream["id"] != said["id"] or stream["mode"] != "ON_DEMAND":
                return
            shard = state.get_shard(tx, ref, stream, said["shard"])
            shards = len(state.route(tx, ref, stream).starts)
            if (
                shard is None
                or shard["closed_s"] is not None
                or shards >= quotas.ON_DEMAND_SHARDS_MAX
            ):
                return
            middle = (int(shard["start"]) + int(shard["end"])) // 2 + 1
            try:
                split(call, ref, stream, said["shard"], middle)
            except Fault:  # the account has no room for it: writers are throttled as they are now
                return

        return settle
