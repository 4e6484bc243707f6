"""What Logs does in the background: deletes events, a page a transaction, and hands on the metrics that were in them.

``logs.drop``    JSON {"spans": [[start, stop] in hex]}, or {account, region, group, stream}: what a deleted
                 group or stream left behind
``logs.expire``  JSON {account, region, name, group}: what has passed the group's retention, then again after
                 ``_EXPIRE_EVERY_S`` for as long as the group has one
``logs.metrics``  JSON {account, region, namespace, data}: for CloudWatch, each once
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from stratolite.core import Keyspace, Tx
from stratolite.core.dropping import Dropper, leave
from stratolite.core.keys import Span
from stratolite.errors import Fault
from stratolite.service import Call, Cloud, Job, Settle, Worker
from stratolite.services.logs import state

_DROP, _EXPIRE, _METRICS = "logs.drop", "logs.expire", "logs.metrics"
_PRINCIPAL = "logs.amazonaws.com"
_DATA_A_JOB = 200
_PAGE_ROWS = 1000
_EXPIRE_EVERY_S = 3600.0
_DAY_MS = 86_400_000


def drop_spans(call: Call, spans: list[Span]) -> None:
    leave(call.tx, _DROP, spans)


def drop_events(call: Call, group: int, stream: int) -> None:
    said = {"account": call.account, "region": call.region, "group": group, "stream": stream}
    call.cloud.work.put(call.tx, _DROP, orjson.dumps(said))


def leave_metrics(call: Call, namespace: str, data: list[dict[str, Any]]) -> None:
    place = {"account": call.account, "region": call.region, "namespace": namespace}
    for at in range(0, len(data), _DATA_A_JOB):
        said = {**place, "data": data[at : at + _DATA_A_JOB]}
        call.cloud.work.put(call.tx, _METRICS, orjson.dumps(said))


def expire_later(call: Call, name: str, group: int) -> None:
    """Each new policy has a job of its own; one that finds another policy's job done finds nothing to do."""
    said = {"account": call.account, "region": call.region, "name": name, "group": group}
    call.cloud.work.put(call.tx, _EXPIRE, orjson.dumps(said), due_s=call.tx.time_s)


def workers(cloud: Cloud) -> Iterable[Worker]:
    return (_Drop(cloud.db, _DROP), _Expire(cloud), _Metrics(cloud))


class _Drop(Dropper):
    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        if "spans" in said:
            return await super().handle(job)
        keys = Keyspace(said["account"], said["region"], "logs")

        def page(tx: Tx) -> bool:
            return state.delete_events_page(tx, keys, said["group"], said["stream"], _PAGE_ROWS)

        while await self._db.transact(page):
            pass
        return None


class _Expire:
    queue, ordered, concurrency = _EXPIRE, False, 2

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        keys = Keyspace(said["account"], said["region"], "logs")

        def days(tx: Tx) -> int | None:
            group = state.get_group(tx, keys, said["name"])
            return group["retention_days"] if group and group["id"] == said["group"] else None

        def page(tx: Tx) -> bool:
            kept = days(tx)
            if kept is None:
                return False
            before_ms = int(tx.time_s * 1000) - kept * _DAY_MS
            return state.expire_page(tx, keys, said["group"], before_ms, _PAGE_ROWS)

        while await self._cloud.db.transact(page):
            pass

        def settle(tx: Tx) -> None:
            if days(tx) is not None:
                self._cloud.work.put(tx, _EXPIRE, job.payload, due_s=tx.time_s + _EXPIRE_EVERY_S)

        return settle


class _Metrics:
    queue, ordered, concurrency = _METRICS, False, 4

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        source = f"arn:aws:logs:{said['region']}:{said['account']}:log-group:*"
        call = self._cloud.call(said["account"], said["region"]).as_service(_PRINCIPAL, source)

        def settle(tx: Tx) -> None:
            call.tx = tx
            if not _put(call, said["namespace"], said["data"]):
                for datum in said["data"]:
                    _put(call, said["namespace"], [datum])

        return settle


def _put(call: Call, namespace: str, data: list[dict[str, Any]]) -> bool:
    """Whether CloudWatch took them."""
    try:
        call.invoke("cloudwatch", "PutMetricData", {"Namespace": namespace, "MetricData": data})
    except Fault:
        return False
    return True
