"""Asynchronous invocations: kept durably, run later, run again after errors, dropped when too old.

A job of queue ``lambda.async``, JSON: {account, region, name, qualifier, id, event | blob, client, first_s,
failures, throttles, and maybe trace and chain}. ``trace`` is X-Ray's header that it came with, ``chain`` is there if a
function asked for it (``recursion``). ``event`` is the payload as text; one above ``_INLINE_BYTES_MAX`` is a blob, which is
unlinked when the job is settled for good. Waits between attempts are AWS's: 1 and 2 minutes after errors,
growing from 1 second to 5 minutes after throttles, for at most MaximumEventAgeInSeconds. What becomes of its end:
``destinations``. Counted as AsyncEventsReceived, AsyncEventAge (at every attempt) and AsyncEventsDropped.

Source  https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import orjson

from stratolite.core import Tx
from stratolite.errors import Fault
from stratolite.service import Call, Job, Settle, Worker, trace_of
from stratolite.services.lambda_ import destinations, invoking, recursion, state
from stratolite.services.lambda_.destinations import Ending
from stratolite.services.lambda_.names import LATEST, Ref

if TYPE_CHECKING:
    from stratolite.service import Cloud

_log = logging.getLogger("stratolite.lambda")
QUEUE = "lambda.async"
_INLINE_BYTES_MAX = 256 << 10
_RETRIES = 2
_RETRY_S = (60.0, 120.0)
_THROTTLED_S_MAX = 300.0
_AGE_S_MAX = 21_600


class Later(invoking.Invoking):
    async def enqueue(self, call: Call, ref: Ref, event: bytes, client: str) -> None:
        blob, chain = "", recursion.chain_of(call)
        if len(event) > _INLINE_BYTES_MAX:
            writer = call.cloud.blobs.writer()
            await writer.write(event)
            blob = (await writer.finish()).id

        def put(inner: Call) -> None:
            invoking.choose(inner, ref)  # it must exist now
            if blob:
                inner.cloud.blobs.link(inner.tx, blob)
            job = {
                "account": ref.account,
                "region": ref.region,
                "name": ref.name,
                "qualifier": ref.qualifier or "",
                "id": call.request_id,
                "event": "" if blob else event.decode(),
                "blob": blob,
                "client": client,
                "first_s": inner.tx.time_s,
                "failures": 0,
                "throttles": 0,
            }
            if trace := trace_of(call):
                job["trace"] = trace
            if chain:
                job["chain"] = chain
            inner.cloud.work.put(inner.tx, QUEUE, orjson.dumps(job))

        await call.transact(put)
        ref.measure(call.cloud, "AsyncEventsReceived")

    def workers(self) -> Iterable[Worker]:
        return (_Worker(self), destinations.Destinations(self.cloud))


class _Worker:
    queue = QUEUE
    ordered = False
    concurrency = 64

    def __init__(self, service: Later) -> None:
        self._service = service

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        cloud = self._service.cloud
        ref = Ref(said["account"], said["region"], said["name"], said["qualifier"] or None)
        call = cloud.call(ref.account, ref.region, said["id"])
        if trace := said.get("trace"):
            call.trace = trace
        event = said["event"].encode() or await cloud.blobs.read(said["blob"])
        try:
            target, limits = await call.transact(lambda inner: _look(inner, ref))
        except Fault:  # deleted since
            return _forget(cloud, said)
        ending = Ending(ref, said["id"], "Success", 1, event, target.version)
        try:
            if target.reserved == 0:
                ending = ending._replace(
                    condition="ZeroReservedConcurrency", invoke_count=said["failures"]
                )
                return await _end(cloud, said, target, ending, limits)
            age_s = max(0.0, cloud.world.cloud() - said["first_s"])
            if age_s > limits.get("MaximumEventAgeInSeconds", _AGE_S_MAX):
                return await _end(cloud, said, target, _too_old(ending, said), limits)
            age_ms = age_s * 1000
            ref.measure(cloud, "AsyncEventAge", age_ms, "Milliseconds")
            answer = await self._service.run(
                call, target, event, client=said["client"], chain=said.get("chain") or {}
            )
        except Fault as fault:
            if fault.code == "TooManyRequestsException":
                said["throttles"] += 1
                wait_s = min(2.0 ** min(said["throttles"] - 1, 10), _THROTTLED_S_MAX)
                return await _again(cloud, said, wait_s, target, ending, limits)
            if fault.code == recursion.CODE:
                ending = ending._replace(condition=fault.code, invoke_count=said["failures"])
                return await _end(cloud, said, target, ending, limits)
            _log.warning("an event for %s could not be run: %r", ref.arn, fault)
            ending = ending._replace(
                payload=orjson.dumps({"errorType": fault.code, "errorMessage": str(fault)}),
                error="Unhandled",
            )
        else:
            ending = ending._replace(payload=answer.payload, error=answer.error or "")
            ending = ending._replace(invoke_count=said["failures"] + 1)
            if answer.error is None:
                return await _end(cloud, said, target, ending, limits)
        said["failures"] += 1
        ending = ending._replace(invoke_count=said["failures"])
        if said["failures"] > limits.get("MaximumRetryAttempts", _RETRIES):
            ending = ending._replace(condition="RetriesExhausted")
            return await _end(cloud, said, target, ending, limits)
        return await _again(cloud, said, _RETRY_S[said["failures"] - 1], target, ending, limits)


def _look(call: Call, ref: Ref) -> tuple[invoking.Target, dict[str, Any]]:
    target = invoking.choose(call, ref)
    return target, state.get_named(call.tx, ref, "async", ref.qualifier or LATEST) or {}


def _forget(cloud: Cloud, said: dict[str, Any]) -> Settle:
    def settle(tx: Tx) -> None:
        if said["blob"]:
            cloud.blobs.unlink(tx, said["blob"])

    return settle


async def _end(
    cloud: Cloud,
    said: dict[str, Any],
    target: invoking.Target,
    ending: Ending,
    limits: dict[str, Any],
) -> Settle:
    """No more attempts: tell who asked to be told."""
    tell = await destinations.plan(
        cloud, ending, target.config, limits.get("DestinationConfig") or {}
    )
    if ending.condition != "Success":
        ending.ref.measure(cloud, "AsyncEventsDropped")

    def settle(tx: Tx) -> None:
        _forget(cloud, said)(tx)
        tell(tx)

    return settle


def _too_old(ending: Ending, said: dict[str, Any]) -> Ending:
    return ending._replace(condition="EventAgeExceeded", invoke_count=max(1, said["failures"]))


async def _again(
    cloud: Cloud,
    said: dict[str, Any],
    wait_s: float,
    target: invoking.Target,
    ending: Ending,
    limits: dict[str, Any],
) -> Settle:
    """Another attempt, unless the event would be too old by then."""
    age_s_max = limits.get("MaximumEventAgeInSeconds", _AGE_S_MAX)
    if cloud.world.cloud() + wait_s - said["first_s"] > age_s_max:
        return await _end(cloud, said, target, _too_old(ending, said), limits)

    def settle(tx: Tx) -> None:
        cloud.work.put(tx, QUEUE, orjson.dumps(said), due_s=tx.time_s + wait_s)

    return settle
