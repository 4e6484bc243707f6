"""Tells the account's event bus what happened to a parameter, and carries out its policies.

    ssm.tell     {account, region, name, type, operation}: one "Parameter Store Change", as ssm.amazonaws.com;
                 with "policy" one "Parameter Store Policy Action"
    ssm.policy   see ``policies``

https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-cwe.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import orjson

from stratolite.core import Tx
from stratolite.service import Call, Job, Settle, Worker
from stratolite.services.ssm import policies, state
from stratolite.services.ssm.names import arn

if TYPE_CHECKING:
    from stratolite.service import Cloud

_TELL = "ssm.tell"


def tell(call: Call, name: str, record: dict[str, Any], operation: str) -> None:
    said = {"account": call.account, "region": call.region, "name": name, "type": record["type"], "operation": operation, "description": record["description"]}  # fmt: skip
    call.cloud.work.put(call.tx, _TELL, orjson.dumps(said))


def tell_policy(call: Call, name: str, record: dict[str, Any], policy: dict[str, Any]) -> None:
    said = {"account": call.account, "region": call.region, "name": name, "type": record["type"], "policy": policy["type"]}  # fmt: skip
    call.cloud.work.put(call.tx, _TELL, orjson.dumps(said))


def workers(cloud: Cloud) -> Iterable[Worker]:
    return (_Tell(cloud), _Policy(cloud))


class _Tell:
    queue, ordered, concurrency = _TELL, False, 4

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        call = self._cloud.call(said["account"], said["region"])
        if "policy" in said:
            kind = "Parameter Store Policy Action"
            detail = {"parameter-name": said["name"], "parameter-type": said["type"], "policy-type": said["policy"]}  # fmt: skip
        else:
            kind = "Parameter Store Change"
            detail = {m: said[m] for m in ("operation", "name", "type", "description")}
        resource = arn(call, said["name"])
        entry = {
            "Source": "aws.ssm",
            "DetailType": kind,
            "Resources": [resource],
            "Detail": orjson.dumps(detail).decode(),
        }
        acting = call.as_service("ssm.amazonaws.com", resource)
        await acting.request("events", "PutEvents", {"Entries": [entry]})
        return None


class _Policy:
    queue, ordered, concurrency = policies.QUEUE, False, 4

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        """In the transaction that settles the job: a put or a delete meanwhile has taken the job back."""
        said = orjson.loads(job.payload)
        call = self._cloud.call(said["account"], said["region"])

        def settle(tx: Tx) -> None:
            call.tx = tx
            keys, name = call.keys("ssm"), said["name"]
            record = state.get(tx, keys, name)
            policy = _pending(record, said["text"])
            if record is None or policy is None:
                return
            tell_policy(call, name, record, policy)
            policy |= {"status": "Finished", "job": ""}
            if policy["type"] != "Expiration":
                state.put(tx, keys, name, record)
                return
            policies.stop(call, record["policies"])
            state.delete(tx, keys, name, record)
            tell(call, name, record, "Delete")

        return settle


def _pending(record: dict[str, Any] | None, text: str) -> dict[str, Any] | None:
    found = (record or {}).get("policies") or ()
    return next((p for p in found if p["text"] == text and p["status"] == "Pending"), None)
