"""Drift: what resources are against what their stack says of them.

A stack's detection is a durable job that reads every resource through its type's ``read``, as whoever asked; one
resource's is an operation of its own. Only what a template states is compared, as on AWS: defaults are nobody's drift.

    (..., "drift", uuid, logical id)  -> {"private": a resource's drift as DescribeStackResourceDrifts shows it}
    (..., "detection", id)            -> {"uuid", "status", "reason", "drifted", "at_s", "principal", "names"}

Sources  https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-stack-drift.html
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict
from typing import Any

import orjson

from stratolite.core import work
from stratolite.errors import Fault, Unavailable
from stratolite.service import (
    Call,
    Cloud,
    Job,
    Principal,
    Request,
    Response,
    Service,
    Settle,
    Spec,
)
from stratolite.services.cloudformation import bus, state
from stratolite.services.cloudformation.differing import compared, differences
from stratolite.services.cloudformation.finding import invalid, must_find, page_size
from stratolite.services.cloudformation.parameters import MASK
from stratolite.services.cloudformation.quotas import (
    DETECTIONS_KEPT,
    RESOURCES_PAGE_COUNT,
    STEPS_AT_ONCE_MAX,
)
from stratolite.services.cloudformation.roles import role_principal
from stratolite.services.cloudformation.state import Record, Stack

_log = logging.getLogger("stratolite.cloudformation")

QUEUE = "cloudformation.drift"
_CHECKABLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_FAILED", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED", "IMPORT_COMPLETE", "IMPORT_ROLLBACK_COMPLETE")  # fmt: skip


class Drift(Service):
    def detect_stack_drift(self, call: Call, request: Request) -> Response:
        stack, rows = _to_check(call, request["StackName"]), state.rows_of(call)
        detection_id = call.world.uuid()
        row = {
            "uuid": stack["uuid"],
            "status": "DETECTION_IN_PROGRESS",
            "reason": "",
            "drifted": 0,
            "at_s": call.tx.time_s,
            "principal": asdict(call.principal),
            "names": request.get("LogicalResourceIds") or [],
        }
        state.put_detection(call.tx, rows, detection_id, row)
        payload = orjson.dumps([call.account, call.region, detection_id])
        known = [*stack.get("detections", []), detection_id]
        for old in known[:-DETECTIONS_KEPT]:
            state.drop_detection(call.tx, rows, old)
        stack["detections"] = known[-DETECTIONS_KEPT:]
        state.put_stack(call.tx, rows, stack)
        work.put(call.tx, QUEUE, payload, partition=stack["uuid"].encode())
        known_drift = (stack.get("drift") or {}).get("status") or "NOT_CHECKED"
        bus.tell_of_detection(call, stack["id"], detection_id, row["status"], known_drift, -1)
        return {"StackDriftDetectionId": detection_id}

    def describe_stack_drift_detection_status(self, call: Call, request: Request) -> Response:
        rows, detection_id = state.rows_of(call), request["StackDriftDetectionId"]
        row = state.detection_of(call.tx, rows, detection_id)
        stack = None if row is None else state.stack_of(call.tx, rows, row["uuid"])
        if row is None or stack is None:
            raise invalid(f"Drift detection with id [{detection_id}] does not exist")
        answer = {
            "StackId": stack["id"],
            "StackDriftDetectionId": detection_id,
            "DetectionStatus": row["status"],
            "Timestamp": row["at_s"],
        }
        if row["reason"]:
            answer["DetectionStatusReason"] = row["reason"]
        if row["status"] != "DETECTION_IN_PROGRESS":
            answer["StackDriftStatus"] = "DRIFTED" if row["drifted"] else "IN_SYNC"
            answer["DriftedStackResourceCount"] = row["drifted"]
        return answer

    async def detect_stack_resource_drift(self, call: Call, request: Request) -> Response:
        name = request["LogicalResourceId"]

        def look(inner: Call) -> tuple[Stack, Record | None]:
            stack = _to_check(inner, request["StackName"])
            return stack, state.record_of(inner.tx, state.rows_of(inner), stack["uuid"], name)

        stack, record = await call.transact(look)
        if record is None:
            raise invalid(f"Resource {name} does not exist for stack {stack['name']}")
        handler = call.cloud.resource(record["type"])
        if handler is None or not handler.can("read"):
            raise invalid(f"Drift detection is not supported for resource type {record['type']}")
        shape = await _checked(acting_for(call, stack, call.principal), stack, record)
        await call.transact(lambda c: _note(c, stack["uuid"], [shape]))
        return {"StackResourceDrift": shape}

    def describe_stack_resource_drifts(self, call: Call, request: Request) -> Response:
        stack, rows = (
            must_find(call, request["StackName"], "Stack [{}] does not exist"),
            state.rows_of(call),
        )
        wanted = set(request.get("StackResourceDriftStatusFilters") or [])
        limit = page_size(request, RESOURCES_PAGE_COUNT)
        after = request.get("NextToken") or ""
        found = state.drifts_page(call.tx, rows, stack["uuid"], after, limit + 1)
        shapes = [row["private"] for row in found[:limit]]
        answer: Response = {
            "StackResourceDrifts": [
                s for s in shapes if not wanted or s["StackResourceDriftStatus"] in wanted
            ]
        }
        if len(found) > limit:
            answer["NextToken"] = shapes[-1]["LogicalResourceId"]
        return answer


class DriftWorker:
    """The queue of detections, one at a time for each stack."""

    queue = QUEUE
    ordered = True
    concurrency = 4

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        account, region, detection_id = orjson.loads(job.payload)
        own = Principal("service", account, f"arn:aws:iam::{account}:service/cloudformation.amazonaws.com", "cloudformation.amazonaws.com")  # fmt: skip
        call = self._cloud.call(account, region, "drift", own)

        def look(inner: Call) -> tuple[dict[str, Any], Stack, list[Record]] | None:
            rows = state.rows_of(inner)
            row = state.detection_of(inner.tx, rows, detection_id)
            stack = None if row is None else state.stack_of(inner.tx, rows, row["uuid"])
            if row is None or stack is None:
                return None
            return row, stack, state.records(inner.tx, rows, stack["uuid"])

        found = await call.transact(look)
        if found is None:
            return None
        row, stack, records = found
        acting = acting_for(call, stack, Principal(**row["principal"]))
        at_once = asyncio.Semaphore(STEPS_AT_ONCE_MAX)

        async def one(record: Record) -> dict[str, Any]:
            async with at_once:
                return await _checked(acting, stack, record)

        there = [r for r in records if r.get("physical_id") and not r.get("gone")]
        if row["names"]:
            there = [r for r in there if r["id"] in row["names"]]
        shapes = await asyncio.gather(*(one(record) for record in there))
        drifted = sum(s["StackResourceDriftStatus"] in ("MODIFIED", "DELETED") for s in shapes)

        def done(inner: Call) -> None:
            rows = state.rows_of(inner)
            _note(inner, stack["uuid"], shapes)
            row.update(status="DETECTION_COMPLETE", drifted=drifted, at_s=inner.tx.time_s)
            state.put_detection(inner.tx, rows, detection_id, row)
            now = state.stack_of(inner.tx, rows, stack["uuid"])
            status = "DRIFTED" if drifted else "IN_SYNC"
            bus.tell_of_detection(inner, stack["id"], detection_id, row["status"], status, drifted)
            if now is not None:
                now["drift"] = {"status": status, "checked_s": inner.tx.time_s}
                state.put_stack(inner.tx, rows, now)

        await call.transact(done)
        return None


def _to_check(call: Call, name: str) -> Stack:
    stack = must_find(call, name, "Stack [{}] does not exist")
    if stack["status"] not in _CHECKABLE:
        raise invalid(
            f"Drift detection cannot be performed on stack [{stack['id']}] in its current status [{stack['status']}]"
        )
    return stack


def acting_for(call: Call, stack: Stack, who: Principal) -> Call:
    if role := stack.get("role_arn"):
        who = role_principal(role)
    return call.scoped(call.account, call.region, who)


def _note(call: Call, uuid: str, shapes: list[dict[str, Any]]) -> None:
    rows = state.rows_of(call)
    for shape in shapes:
        name = shape["LogicalResourceId"]
        state.put_drift(call.tx, rows, uuid, name, {"private": shape})
        record = state.record_of(call.tx, rows, uuid, name)
        if record is not None:
            record["drift"] = shape["StackResourceDriftStatus"]
            record["drift_checked_s"] = shape["Timestamp"]
            state.put_record(call.tx, rows, uuid, record)


async def _checked(call: Call, stack: Stack, record: Record) -> dict[str, Any]:
    return (await looked_at(call, stack, record))[0]


async def looked_at(
    call: Call, stack: Stack, record: Record
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """A resource's drift, and its properties as they are. What cannot be read is UNKNOWN and says why."""
    shape: dict[str, Any] = {
        "StackId": stack["id"],
        "LogicalResourceId": record["id"],
        "PhysicalResourceId": record["physical_id"],
        "ResourceType": record["type"],
        "StackResourceDriftStatus": "NOT_CHECKED",
        "Timestamp": await call.transact(lambda c: c.tx.time_s),
        "PropertyDifferences": [],
    }
    handler = call.cloud.resource(record["type"])
    if handler is None or not handler.can("read"):
        return shape, None
    expected = record["private"]["properties"]
    spec = Spec(record["type"], record["id"], stack["name"], stack["id"], record["token"], expected)
    try:
        actual = await handler.read(call, record["physical_id"], spec)
    except Fault as fault:
        unknown = {"StackResourceDriftStatus": "UNKNOWN", "DriftStatusReason": fault.message[:500]}
        return {**shape, **unknown}, None
    except Unavailable:
        raise
    except Exception:  # noqa: BLE001 - as in ``steps``: a handler's bug is its resource's, the others are told
        _log.exception("a handler failed to read: type=%s", record["type"])
        unknown = {"StackResourceDriftStatus": "UNKNOWN", "DriftStatusReason": "Internal Failure"}
        return {**shape, **unknown}, None
    secrets = {
        stack["private"]["parameters"].get(name) or "" for name in stack.get("secret") or ()
    } - {""}
    wanted = compared(call.region, handler, expected)
    shape["ExpectedProperties"] = _text(wanted, secrets)
    if actual is None:
        return {**shape, "StackResourceDriftStatus": "DELETED"}, None
    shape["ActualProperties"] = _text({k: actual[k] for k in wanted if k in actual}, secrets)
    found = differences(call.region, handler, wanted, actual)
    for one in found:
        for side in ("ExpectedValue", "ActualValue"):
            one[side] = _hidden(one[side], secrets)
    shape["PropertyDifferences"] = found
    shape["StackResourceDriftStatus"] = "MODIFIED" if found else "IN_SYNC"
    return shape, actual


def _text(properties: Any, secrets: set[str]) -> str:
    return _hidden(orjson.dumps(properties).decode(), secrets)


def _hidden(text: str, secrets: set[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text
