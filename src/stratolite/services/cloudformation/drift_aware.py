"""Drift-aware change sets (DeploymentMode REVERT_DRIFT): a template beside what resources really are, not what the stack says.

    CreateChangeSet    reads every resource; what somebody changed is shown as what is there before, who was deleted is made anew,
                       and a template that has become what is there (SyncWithActual) changes nothing but the stack's memory
    ExecuteChangeSet   the records become what is there, in the transaction that starts the update: its handlers go from that to
                       the template, and a rollback to that. ``private.stated`` keeps what a record said before; an update that
                       goes well forgets it, one that is taken back restores it

Nested stacks are looked at as resources, not inside.
Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/drift-aware-change-sets.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from stratolite.service import Call
from stratolite.services.cloudformation import state
from stratolite.services.cloudformation.drift import acting_for, looked_at
from stratolite.services.cloudformation.examination import STACK, Live
from stratolite.services.cloudformation.quotas import STEPS_AT_ONCE_MAX
from stratolite.services.cloudformation.schema import load_schema
from stratolite.services.cloudformation.state import Record, Stack

REVERT = "REVERT_DRIFT"


async def live_of(call: Call, stack: Stack, records: list[Record]) -> dict[str, Live]:
    """Logical id -> how the resource is."""
    acting, at_once = acting_for(call, stack, call.principal), asyncio.Semaphore(STEPS_AT_ONCE_MAX)

    async def one(record: Record) -> Live:
        async with at_once:
            return await _live(acting, stack, record)

    there = [
        r for r in records if r.get("physical_id") and not r.get("gone") and r["type"] != STACK
    ]
    found = await asyncio.gather(*(one(record) for record in there))
    return {record["id"]: live for record, live in zip(there, found, strict=True)}


async def _live(call: Call, stack: Stack, record: Record) -> Live:
    shape, actual = await looked_at(call, stack, record)
    status = shape["StackResourceDriftStatus"]
    if status == "NOT_CHECKED":
        status = "UNSUPPORTED"
    names = {one["PropertyPath"].split("/")[1] for one in shape["PropertyDifferences"]}
    schema = load_schema(call.region, record["type"])
    hidden = {path[0] for path in schema.write_only if len(path) == 1} if schema else set()
    stated = record["private"]["properties"]
    return Live(
        status,
        {name: (actual or {}).get(name) for name in sorted(names)},
        shape["Timestamp"],
        sorted(hidden & set(stated)),
    )


def overall(live: Mapping[str, Live]) -> str:
    drifted = any(one.status in ("MODIFIED", "DELETED") for one in live.values())
    return "DRIFTED" if drifted else "IN_SYNC"


def take_over(call: Call, stack: Stack, changes: dict[str, Any]) -> None:
    """The stack's records become what the change set has seen of their resources."""
    rows = state.rows_of(call)
    for name, properties in (changes["private"].get("live") or {}).items():
        record = state.record_of(call.tx, rows, stack["uuid"], name)
        if record is None:
            continue
        if properties is None:
            record["physical_id"] = None
        else:
            record["private"]["stated"] = record["private"]["properties"]
            record["private"]["properties"] = properties
        state.put_record(call.tx, rows, stack["uuid"], record)


def forget(call: Call, uuid: str, *, restore: bool) -> None:
    """The update is over: the records say what they are; with ``restore`` what they said before it."""
    rows = state.rows_of(call)
    for record in state.records(call.tx, rows, uuid):
        stated = record["private"].pop("stated", None)
        if stated is not None:
            if restore:
                record["private"]["properties"] = stated
            state.put_record(call.tx, rows, uuid, record)
