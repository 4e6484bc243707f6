"""What happens to secrets later: deletion when their recovery window has ended, and rotation, step by step.

What the jobs hold: the front page. A step of a rotation is one call of the function as secretsmanager.amazonaws.com for the
secret's ARN: https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import orjson

from stratolite import timetable
from stratolite.core import Tx
from stratolite.errors import Fault
from stratolite.service import Call, Job, Settle, Worker
from stratolite.services.secretsmanager import replicas, state
from stratolite.services.secretsmanager.faults import arn_of

if TYPE_CHECKING:
    from stratolite.service import Cloud

_log = logging.getLogger("stratolite.secretsmanager")
SERVICE = "secretsmanager.amazonaws.com"
_DELETE, _ROTATE, _DUE = (f"secretsmanager.{name}" for name in ("delete", "rotate", "due"))
STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
_DAY_S = 86_400.0
Said = dict[str, Any]


def delete_later(call: Call, name: str, due_s: float) -> int:
    """The stamp that the record must still carry when the time has come."""
    stamp = call.tx.stamp()
    _put(call, _DELETE, {"name": name, "timer": stamp}, due_s)
    return stamp


def next_rotation(call: Call, name: str, record: state.Record) -> None:
    """Into ``record``: when it is rotated next, with a job for it; whatever job there was is void."""
    rotation = record["rotation"]
    record["timer"] = 0
    if not rotation or not rotation["enabled"]:
        return
    rules = rotation["rules"]
    since_s = max(rotation["since_s"], record["rotated_s"])
    due_s: float | None = None
    if days := rules.get("AutomaticallyAfterDays"):
        due_s = since_s + days * _DAY_S
    elif expression := rules.get("ScheduleExpression"):
        due_s = timetable.parse(expression).after(call.tx.time_s, rotation["since_s"])
    rotation["next_s"] = due_s or 0.0
    if due_s is not None:
        record["timer"] = stamp = call.tx.stamp()
        _put(call, _DUE, {"name": name, "timer": stamp}, due_s)


def rotate_now(call: Call, name: str, version: str) -> None:
    _put(call, _ROTATE, {"name": name, "version": version, "step": 0}, None)


def _put(call: Call, queue: str, said: Said, due_s: float | None) -> None:
    whole = {"account": call.account, "region": call.region, **said}
    call.cloud.work.put(call.tx, queue, orjson.dumps(whole), due_s=due_s)


def workers(cloud: Cloud) -> Iterable[Worker]:
    return (_Delete(cloud), _Rotate(cloud), _Due(cloud))


class _Delete:
    queue, ordered, concurrency = _DELETE, False, 4

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        call = self._cloud.call(said["account"], said["region"])

        def settle(tx: Tx) -> None:
            keys = call.keys("secretsmanager")
            record = state.get(tx, keys, said["name"])
            if record and record["deleted_s"] and record["timer"] == said["timer"]:
                state.delete(tx, keys, said["name"], record)

        return settle


class _Due:
    queue, ordered, concurrency = _DUE, False, 4

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        call = self._cloud.call(said["account"], said["region"])
        version = call.world.uuid()

        def settle(tx: Tx) -> None:
            call.tx = tx
            keys, name = call.keys("secretsmanager"), said["name"]
            record = state.get(tx, keys, name)
            if record is None or record["deleted_s"] or record["timer"] != said["timer"]:
                return
            record["rotation"]["since_s"] = tx.time_s
            next_rotation(call, name, record)
            state.put(tx, keys, name, record)
            rotate_now(call, name, version)

        return settle


class _Rotate:
    queue, ordered, concurrency = _ROTATE, False, 8

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        call = self._cloud.call(said["account"], said["region"])
        name, version, step = said["name"], said["version"], said["step"]

        def look(inner: Call) -> state.Record | None:
            return state.get(inner.tx, inner.keys("secretsmanager"), name)

        record = await call.transact(look)
        if record is None or record["deleted_s"] or not record["rotation"]:
            return None
        if step == 0 and version not in record["versions"]:
            # the version is there, pending and without a value of its own, before the function is asked
            await call.transact(lambda inner: _pending(inner, name, version))
        arn = arn_of(call, name, record)
        event = {"Step": STEPS[step], "SecretId": arn, "ClientRequestToken": version, "RotationToken": version}  # fmt: skip
        try:
            acting = call.as_service(SERVICE, arn)
            ask = {"FunctionName": record["rotation"]["function"], "Payload": orjson.dumps(event)}
            answer = await acting.request("lambda", "Invoke", ask)
        except Fault as fault:
            if fault.code == "TooManyRequestsException":
                raise
            _log.warning("rotation of %s stops at %s: %r", arn, STEPS[step], fault)
            return None
        if "FunctionError" in answer:
            _log.warning("rotation of %s stops at %s: %s", arn, STEPS[step], answer["Payload"][:500])  # fmt: skip
            return None

        def settle(tx: Tx) -> None:
            call.tx = tx
            if step + 1 < len(STEPS):
                _put(call, _ROTATE, {"name": name, "version": version, "step": step + 1}, None)
                return
            keys = call.keys("secretsmanager")
            known = state.get(tx, keys, name)
            if known is None:
                return
            if known["stages"].get("AWSPENDING") == known["stages"].get("AWSCURRENT"):
                known["stages"].pop("AWSPENDING", None)
            known["rotated_s"] = tx.time_s
            replicas.keep(call, name, known)

        return settle


def _pending(call: Call, name: str, version: str) -> None:
    keys = call.keys("secretsmanager")
    record = state.get(call.tx, keys, name)
    if record is None:
        return
    record["stages"]["AWSPENDING"] = version
    replicas.keep(call, name, record)
