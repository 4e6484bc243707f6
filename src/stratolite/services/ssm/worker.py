"""Tells the account's event bus what happened to a parameter.

    ssm.tell   {account, region, name, type, operation, description}: one "Parameter Store Change" of a store written before
               the event was committed with what it tells of

https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-cwe.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import orjson

from stratolite.core import Tx
from stratolite.service import Call, Job, Settle, Worker
from stratolite.service_events import announce, entry
from stratolite.services.ssm.names import arn

if TYPE_CHECKING:
    from stratolite.service import Cloud

_TELL = "ssm.tell"


def tell(call: Call, name: str, record: dict[str, Any], operation: str) -> None:
    about = {"operation": operation, "name": name, "type": record["type"], "description": record["description"]}  # fmt: skip
    _announce(call, about)


def _announce(call: Call, about: dict[str, Any]) -> None:
    resource = arn(call, about["name"])
    announce(call, "ssm.amazonaws.com", lambda: entry("aws.ssm", "Parameter Store Change", [resource], about), resource)  # fmt: skip


def workers(cloud: Cloud) -> Iterable[Worker]:
    return (_Tell(cloud),)


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
            _announce(call, about)

        return settle
