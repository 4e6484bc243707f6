"""What the default bus of an account and region is told of its stacks and stack sets.

Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/events-detail-reference.html
"""

from __future__ import annotations

from typing import Any

from stratolite.service import Call
from stratolite.service_events import Entry, announce, entry

_PRINCIPAL = "cloudformation.amazonaws.com"
_Row = dict[str, Any]


def tell_of_event(call: Call, event: _Row) -> None:
    """A line of a stack's story."""
    announce(call, _PRINCIPAL, lambda: _of_event(event), event["StackId"])


def tell_of_detection(call: Call, stack_id: str, detection_id: str, status: str, drift: str, drifted: int) -> None:  # fmt: skip
    """A drift detection of a stack. ``drifted``: how many resources are; -1: not known yet."""
    detail = {
        "stack-id": stack_id,
        "stack-drift-detection-id": detection_id,
        "status-details": {"stack-drift-status": drift, "detection-status": status},
        "drift-detection-details": {"drifted-stack-resource-count": drifted},
    }
    _announce(call, "CloudFormation Drift Detection Status Change", stack_id, detail)


def tell_of_set(call: Call, stack_set: _Row, status: str) -> None:
    """ACTIVE or DELETED."""
    arn = set_arn(call, stack_set)
    detail = {"stack-set-arn": arn, "status-details": {"status": status}}
    _announce(call, "CloudFormation StackSet Status Change", arn, detail)


def tell_of_operation(call: Call, stack_set: _Row, op: _Row) -> None:
    arn = set_arn(call, stack_set)
    detail = {
        "stack-set-arn": arn,
        "stack-set-operation-id": op["id"],
        "status-details": {"status": op["status"]},
    }
    _announce(call, "CloudFormation StackSet Operation Status Change", arn, detail)


def tell_of_instance(call: Call, stack_set: _Row, instance: _Row, action: str) -> None:
    arn = set_arn(call, stack_set)
    detail = {
        "stack-set-arn": arn,
        "stack-id": instance["stack_id"],
        "action": "DELETE" if action == "RETAIN" else action,
        "status-details": {
            "status": instance["status"],
            "status-reason": instance["reason"],
            "detailed-status": instance["detailed"],
        },
    }
    _announce(call, "CloudFormation StackSet StackInstance Status Change", arn, detail)


def set_arn(call: Call, stack_set: _Row) -> str:
    return f"arn:aws:cloudformation:{call.region}:{call.account}:stackset/{stack_set['id']}"


def _announce(call: Call, detail_type: str, arn: str, detail: _Row) -> None:
    announce(call, _PRINCIPAL, lambda: entry("aws.cloudformation", detail_type, [arn], detail), arn)


def _of_event(event: _Row) -> Entry:
    is_stack = event["PhysicalResourceId"] == event["StackId"]
    status = {
        "status": event["ResourceStatus"],
        "status-reason": event.get("ResourceStatusReason", ""),
    }
    detail = {"stack-id": event["StackId"], "status-details": status}
    if not is_stack:
        detail |= {
            "logical-resource-id": event["LogicalResourceId"],
            "physical-resource-id": event["PhysicalResourceId"],
            "resource-type": event["ResourceType"],
        }
    detail["client-request-token"] = event.get("ClientRequestToken", "")
    kind = "Stack" if is_stack else "Resource"
    return entry(
        "aws.cloudformation",
        f"CloudFormation {kind} Status Change",
        [event["StackId"]],
        detail,
        time_s=event["Timestamp"],
    )
