"""Drift of stack sets: every instance's stack looked at in its account and region, and what was found kept beside the set.

    (..., "setdrift", set uuid, account, region, logical id) -> {"private": a StackInstanceResourceDriftsSummary}

An instance keeps what its last detection found of it, in ``drift``: {status, checked_s, operation}; an operation counts in
``drifted`` and ``in_sync``; a set has the details of its last operation in ``drift``.
Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stacksets-drift.html
"""

from __future__ import annotations

from typing import Any

from stratolite.core import Tx
from stratolite.errors import Fault
from stratolite.service import Call
from stratolite.services.cloudformation import state
from stratolite.services.cloudformation.finding import invalid, page_size
from stratolite.services.cloudformation.quotas import RESOURCES_PAGE_COUNT

_LOOK_S = 0.05
_SUMMARY = ("StackId", "LogicalResourceId", "PhysicalResourceId", "ResourceType", "PropertyDifferences", "StackResourceDriftStatus", "Timestamp")  # fmt: skip


async def detected(inside: Call, stack_id: str) -> tuple[str, list[dict[str, Any]]]:
    """A stack's status of drift, and a summary of each resource that was looked at. ``inside`` is its account and region.

    Raises Fault where the stack cannot be looked at.
    """
    begun = await inside.request("cloudformation", "DetectStackDrift", {"StackName": stack_id})
    asked = {"StackDriftDetectionId": begun["StackDriftDetectionId"]}
    while True:
        told = await inside.request("cloudformation", "DescribeStackDriftDetectionStatus", asked)
        if told["DetectionStatus"] != "DETECTION_IN_PROGRESS":
            break
        await inside.world.sleep(_LOOK_S)
    if told["DetectionStatus"] != "DETECTION_COMPLETE":
        raise invalid(told.get("DetectionStatusReason") or "Drift detection failed")
    found: list[dict[str, Any]] = []
    page: dict[str, Any] = {"StackName": stack_id}
    while True:
        answer = await inside.request("cloudformation", "DescribeStackResourceDrifts", page)
        found += [{k: d[k] for k in _SUMMARY if k in d} for d in answer["StackResourceDrifts"]]
        if not answer.get("NextToken"):
            return str(told["StackDriftStatus"]), found
        page["NextToken"] = answer["NextToken"]


def put(call: Call, uuid: str, account: str, region: str, found: list[dict[str, Any]]) -> None:
    """Instead of what was known of the instance."""
    rows = state.rows_of(call)
    forget(call.tx, rows, uuid, account, region)
    for one in found:
        key = rows.keys.key("setdrift", uuid, account, region, one["LogicalResourceId"])
        call.tx.put(key, state.pack_row(rows, {"private": one}))


def forget(tx: Tx, rows: state.Rows, uuid: str, account: str, region: str) -> None:
    """An instance has 500 rows at most, as many as a stack has resources."""
    for key, _ in list(tx.scan(rows.keys.span("setdrift", uuid, account, region))):
        tx.delete(key)


def page(
    call: Call, uuid: str, instance: dict[str, Any], request: dict[str, Any]
) -> dict[str, Any]:
    """ListStackInstanceResourceDrifts's answer: an operation's drifts as long as no later one has looked."""
    last = (instance.get("drift") or {}).get("operation")
    if last != request["OperationId"]:
        raise Fault(
            "OperationNotFoundException",
            f"Operation {request['OperationId']} has no drifts of this stack instance any more, or never had; its last detection is {last or 'none'}",
            status=404,
        )
    rows, limit = state.rows_of(call), RESOURCES_PAGE_COUNT
    limit = page_size(request, limit)
    place = (uuid, instance["account"], instance["region"])
    start, stop = rows.keys.span("setdrift", *place)
    if after := request.get("NextToken"):
        start = rows.keys.key("setdrift", *place, after) + b"\x00"
    found = [
        state.unpack_row(rows, raw)["private"]
        for _, raw in call.tx.scan((start, stop), limit=limit + 1)
    ]
    wanted = set(request.get("StackInstanceResourceDriftStatuses") or ())
    answer: dict[str, Any] = {
        "Summaries": [
            one for one in found[:limit] if not wanted or one["StackResourceDriftStatus"] in wanted
        ]
    }
    if len(found) > limit:
        answer["NextToken"] = found[limit - 1]["LogicalResourceId"]
    return answer


def details(op: dict[str, Any]) -> dict[str, Any]:
    """StackSetDriftDetectionDetails of an operation."""
    failed = op["failed"]
    status = {
        "RUNNING": "IN_PROGRESS",
        "STOPPING": "IN_PROGRESS",
        "STOPPED": "STOPPED",
        "FAILED": "FAILED",
    }.get(op["status"], "PARTIAL_SUCCESS" if failed else "COMPLETED")
    drifted, in_sync = op.get("drifted", 0), op.get("in_sync", 0)
    shape = {
        "DriftStatus": "DRIFTED" if drifted else "IN_SYNC" if in_sync else "NOT_CHECKED",
        "DriftDetectionStatus": status,
        "TotalStackInstancesCount": op["total"],
        "DriftedStackInstancesCount": drifted,
        "InSyncStackInstancesCount": in_sync,
        "InProgressStackInstancesCount": op["total"] - op["done"],
        "FailedStackInstancesCount": failed,
    }
    if op["ended_s"]:
        shape["LastDriftCheckTimestamp"] = op["ended_s"]
    return shape
