"""Tells the account's event bus what happened to a parameter, and carries out its policies.

    ssm.tell     {account, region, name, type, operation, description}: one "Parameter Store Change" of a store written
                 before the event was committed with what it tells of
    ssm.policy   see ``policies``

https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-cwe.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import orjson

from stratolite.core import Tx
from stratolite.service import Call, Job, Settle, Worker
from stratolite.service_events import announce, entry
from stratolite.services.ssm import policies, state
from stratolite.services.ssm.names import arn

if TYPE_CHECKING:
    from stratolite.service import Cloud

_TELL = "ssm.tell"


def tell(call: Call, name: str, record: dict[str, Any], operation: str) -> None:
    about = {"operation": operation, "name": name, "type": record["type"], "description": record["description"]}  # fmt: skip
    _announce(call, "Parameter Store Change", name, about)


def tell_policy(call: Call, name: str, record: dict[str, Any], policy: dict[str, Any]) -> None:
    about = {"parameter-name": name, "parameter-type": record["type"], "policy-type": policy["type"]}  # fmt: skip
    _announce(call, "Parameter Store Policy Action", name, about)


def _announce(call: Call, what: str, name: str, about: dict[str, Any]) -> None:
    resource = arn(call, name)
    announce(call, "ssm.amazonaws.com", lambda: entry("aws.ssm", what, [resource], about), resource)


def workers(cloud: Cloud) -> Iterable[Worker]:
    return (_Tell(cloud), _Policy(cloud))


class _Tell:
    """What an older version left as work of its own."""

    queue, ordered, concurrency = _TELL, False, 4

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        call = self._cloud.call(said["account"], said["region"])
        about = {member: said[member] for member in ("operation", "name", "type", "description")}

        def settle(tx: Tx) -> None:
            call.tx = tx
            _announce(call, "Parameter Store Change", about["name"], about)

        return settle


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
