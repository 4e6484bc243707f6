"""Drift: what resources are against what their stack says of them.

A stack's detection is a durable job that reads every resource through its type's ``read``, as whoever asked; one
resource's is an operation of its own. Only what a template states is compared, as on AWS: defaults are nobody's drift.

    (..., "drift", uuid, logical id)  -> {"private": a resource's drift as DescribeStackResourceDrifts shows it}
    (..., "detection", id)            -> {"uuid", "status", "reason", "drifted", "at_s", "principal", "names"}

Sources  https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-stack-drift.html
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
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
    Resource,
    Response,
    Service,
    Settle,
    Spec,
)
from stratolite.services.cloudformation import bus, state
from stratolite.services.cloudformation.finding import invalid, must_find
from stratolite.services.cloudformation.intrinsics import text_of
from stratolite.services.cloudformation.parameters import MASK
from stratolite.services.cloudformation.quotas import (
    DETECTIONS_KEPT,
    RESOURCES_PAGE_COUNT,
    STEPS_AT_ONCE_MAX,
)
from stratolite.services.cloudformation.roles import role_principal
from stratolite.services.cloudformation.schema import DYNAMIC, load_schema
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
        shape = await _checked(_acting(call, stack, call.principal), stack, record)
        await call.transact(lambda c: _note(c, stack["uuid"], [shape]))
        return {"StackResourceDrift": shape}

    def describe_stack_resource_drifts(self, call: Call, request: Request) -> Response:
        stack, rows = (
            must_find(call, request["StackName"], "Stack [{}] does not exist"),
            state.rows_of(call),
        )
        wanted = set(request.get("StackResourceDriftStatusFilters") or [])
        limit = min(int(request.get("MaxResults") or RESOURCES_PAGE_COUNT), RESOURCES_PAGE_COUNT)
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
        acting = _acting(call, stack, Principal(**row["principal"]))
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


def _acting(call: Call, stack: Stack, who: Principal) -> Call:
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
    """A resource's drift. What cannot be read is UNKNOWN and says why."""
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
        return shape
    expected = record["private"]["properties"]
    spec = Spec(record["type"], record["id"], stack["name"], stack["id"], record["token"], expected)
    try:
        actual = await handler.read(call, record["physical_id"], spec)
    except Fault as fault:
        return {
            **shape,
            "StackResourceDriftStatus": "UNKNOWN",
            "DriftStatusReason": fault.message[:500],
        }
    except Unavailable:
        raise
    except Exception:  # noqa: BLE001 - as in ``steps``: a handler's bug is its resource's, the others are told
        _log.exception("a handler failed to read: type=%s", record["type"])
        unknown = {"StackResourceDriftStatus": "UNKNOWN", "DriftStatusReason": "Internal Failure"}
        return {**shape, **unknown}
    secrets = {
        stack["private"]["parameters"].get(name) or "" for name in stack.get("secret") or ()
    } - {""}
    looked_at = compared(call.region, handler, expected)
    shape["ExpectedProperties"] = _text(looked_at, secrets)
    if actual is None:
        return {**shape, "StackResourceDriftStatus": "DELETED"}
    shape["ActualProperties"] = _text({k: actual[k] for k in looked_at if k in actual}, secrets)
    found = differences(call.region, handler, looked_at, actual)
    for one in found:
        for side in ("ExpectedValue", "ActualValue"):
            one[side] = _hidden(one[side], secrets)
    shape["PropertyDifferences"] = found
    shape["StackResourceDriftStatus"] = "MODIFIED" if found else "IN_SYNC"
    return shape


def _text(properties: Any, secrets: set[str]) -> str:
    return _hidden(orjson.dumps(properties).decode(), secrets)


def _hidden(text: str, secrets: set[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


def compared(region: str, handler: Resource, expected: Mapping[str, Any]) -> dict[str, Any]:
    """What of the properties can be compared: not what nobody can read."""
    schema = load_schema(region, handler.type)
    hidden = set(handler.unread)
    if schema is not None:
        hidden |= {path[0] for path in schema.write_only if len(path) == 1}
    return {key: value for key, value in expected.items() if key not in hidden}


def differences(
    region: str, handler: Resource, expected: Mapping[str, Any], actual: Mapping[str, Any]
) -> list[dict[str, str]]:
    """PropertyDifferences, in the order of their paths."""
    schema = load_schema(region, handler.type)
    found: list[dict[str, str]] = []
    inner = schema.write_only if schema is not None else frozenset()
    for key in sorted(expected):
        unread = {path[1:] for path in inner if path[0] == key}
        _compare(expected[key], actual.get(key), f"/{key}", unread, found)
    return found


def _compare(
    wanted: Any, there: Any, at: str, unread: set[tuple[str, ...]], found: list[dict[str, str]]
) -> None:
    if isinstance(wanted, str) and DYNAMIC in wanted:
        return
    if isinstance(there, str) and isinstance(wanted, dict | list):
        there = _parsed(there)
    elif isinstance(wanted, str) and isinstance(there, dict | list):
        wanted = _parsed(wanted)
    if there is None:
        if not _is_nothing(wanted) and not _is_off(wanted):
            _differ(wanted, None, at, "REMOVE", found)
    elif isinstance(wanted, dict) and isinstance(there, dict):
        for key in sorted(wanted):
            if (key,) in unread:
                continue
            below = {path[1:] for path in unread if path[0] == key and len(path) > 1}
            _compare(wanted[key], there.get(key), f"{at}/{key}", below, found)
        if at.endswith("/Variables") or "Policy" in at or "Document" in at:
            for key in sorted(set(there) - set(wanted)):
                _differ(None, there[key], f"{at}/{key}", "ADD", found)
    elif isinstance(wanted, list) and isinstance(there, list):
        _compare_lists(wanted, there, at, unread, found)
    elif not _same(wanted, there):
        _differ(wanted, there, at, "NOT_EQUAL", found)


def _is_nothing(wanted: Any) -> bool:
    """Empty, or a mapping of what is empty: a read may leave it out."""
    if isinstance(wanted, dict):
        return all(_is_nothing(value) for value in wanted.values())
    return wanted in (None, "", [], False)


def _is_off(wanted: Any) -> bool:
    """``{"Enabled": false, ...}``: switched off, which a read may say by leaving it out."""
    flags = [v for v in wanted.values() if isinstance(v, bool)] if isinstance(wanted, dict) else []
    return bool(flags) and not any(flags)


def _same(wanted: Any, there: Any) -> bool:
    numbers = [v for v in (wanted, there) if isinstance(v, int | float) and not isinstance(v, bool)]
    if numbers:
        with contextlib.suppress(TypeError, ValueError):
            return float(wanted) == float(there)
    return text_of(wanted) == text_of(there)


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _compare_lists(
    wanted: list[Any], there: list[Any], at: str, unread: set[tuple[str, ...]], found: list[Any]
) -> None:
    """Lists of equal items in whatever order are the same; tags are found by their keys."""
    left = list(there)
    missing = []
    for n, item in enumerate(wanted):
        match = next((m for m, other in enumerate(left) if _fits(item, other, unread)), None)
        if match is None:
            missing.append((n, item))
        else:
            left.pop(match)
    left = [
        item
        for item in left
        if not (isinstance(item, dict) and str(item.get("Key", "")).startswith("aws:"))
    ]
    for n, item in missing:
        key = item.get("Key") if isinstance(item, dict) else None
        other = next(
            (o for o in left if key is not None and isinstance(o, dict) and o.get("Key") == key),
            None,
        )
        if other is None and len(missing) == len(left):
            other = left[0]
        if other is None:
            _differ(item, None, f"{at}/{n}", "REMOVE", found)
        else:
            left.remove(other)
            _compare(item, other, f"{at}/{n}", unread, found)
    for n, item in enumerate(left, len(wanted)):
        _differ(None, item, f"{at}/{n}", "ADD", found)


def _fits(item: Any, other: Any, unread: set[tuple[str, ...]]) -> bool:
    found: list[dict[str, str]] = []
    _compare(item, other, "", unread, found)
    return not found


def _differ(wanted: Any, there: Any, at: str, kind: str, found: list[dict[str, str]]) -> None:
    def said(value: Any) -> str:
        if value is None:
            return "null"
        return orjson.dumps(value).decode() if isinstance(value, dict | list) else text_of(value)

    found.append({"PropertyPath": at, "ExpectedValue": said(wanted), "ActualValue": said(there), "DifferenceType": kind})  # fmt: skip
