"""Tells the account's event bus what happened to a parameter.

    ssm.tell   {account, region, name, type, operation}: one "Parameter Store Change", as ssm.amazonaws.com

https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-cwe.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import orjson

from stratolite.service import Call, Job, Settle, Worker
from stratolite.services.ssm.names import arn

if TYPE_CHECKING:
    from stratolite.service import Cloud

_TELL = "ssm.tell"


def tell(call: Call, name: str, record: dict[str, Any], operation: str) -> None:
    said = {"account": call.account, "region": call.region, "name": name, "type": record["type"], "operation": operation, "description": record["description"]}  # fmt: skip
    call.cloud.work.put(call.tx, _TELL, orjson.dumps(said))


def workers(cloud: Cloud) -> Iterable[Worker]:
    return (_Tell(cloud),)


class _Tell:
    queue, ordered, concurrency = _TELL, False, 4

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        call = self._cloud.call(said["account"], said["region"])
        detail = {member: said[member] for member in ("operation", "name", "type", "description")}
        resource = arn(call, said["name"])
        entry = {
            "Source": "aws.ssm",
            "DetailType": "Parameter Store Change",
            "Resources": [resource],
            "Detail": orjson.dumps(detail).decode(),
        }
        acting = call.as_service("ssm.amazonaws.com", resource)
        await acting.request("events", "PutEvents", {"Entries": [entry]})
        return None
