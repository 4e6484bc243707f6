"""What requests may say: which targets there are here, what a policy and a schedule may be."""

from __future__ import annotations

import re
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from stratolite import timetable
from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.application_autoscaling.state import Place

NAMESPACE = "dynamodb"
_TABLE = re.compile(r"table/[a-zA-Z0-9_.-]{3,255}").fullmatch
_INDEX = re.compile(r"table/[a-zA-Z0-9_.-]{3,255}/index/[a-zA-Z0-9_.-]{3,255}").fullmatch
_UNSUPPORTED = "Unsupported service namespace, resource type or scalable dimension"
_TARGET_MIN, _TARGET_MAX = 20, 90


def invalid(message: str) -> Fault:
    return Fault("ValidationException", message)


def not_offered(what: str) -> Fault:
    return invalid(f"{what} is not offered by Stratolite; see docs/coverage.md")


def missing(what: str, place: Place, further: str = "") -> Fault:
    message = (
        f"No {what} for service namespace: {NAMESPACE}, resource ID: {place.resource}, "
        f"scalable dimension: {place.dimension}{further}"
    )
    return Fault("ObjectNotFoundException", message)


def place(request: Request) -> Place:
    """Raises ValidationException for what is no table's or index's capacity."""
    if request["ServiceNamespace"] != NAMESPACE:
        raise not_offered(f"scaling in the service namespace {request['ServiceNamespace']}")
    found = Place(request["ResourceId"], request["ScalableDimension"])
    kind = found.dimension.split(":")[1] if found.dimension.startswith("dynamodb:") else ""
    fits = {"table": _TABLE, "index": _INDEX}.get(kind)
    if fits is None or fits(found.resource) is None:
        raise invalid(_UNSUPPORTED)
    return found


def described(call: Call, place: Place) -> Response:
    """The table or index (a part of DescribeTable's answer) of a target. Raises ValidationException where there is none."""
    try:
        table = call.invoke("dynamodb", "DescribeTable", {"TableName": place.table})["Table"]
    except Fault as fault:
        if fault.code == "AccessDeniedException":
            raise invalid(
                "User is missing the following permissions: dynamodb:DescribeTable"
            ) from fault
        raise invalid(f"DynamoDB table does not exist: {place.resource}") from fault
    if not place.index_name:
        return dict(table)
    for index in table.get("GlobalSecondaryIndexes", ()):
        if index["IndexName"] == place.index_name:
            return dict(index)
    raise invalid(f"DynamoDB index does not exist: {place.resource}")


def policy(request: Request, place: Place) -> dict[str, Any]:
    """The configuration of a target tracking policy."""
    if request.get("PolicyType", "StepScaling") != "TargetTrackingScaling":
        kind = request.get("PolicyType", "StepScaling")
        raise invalid(
            f"The policy type {kind} is not supported for the service namespace {NAMESPACE}"
        )
    config = request.get("TargetTrackingScalingPolicyConfiguration")
    if config is None:
        raise invalid("TargetTrackingScalingPolicyConfiguration must be specified for the policy type TargetTrackingScaling")  # fmt: skip
    if config.get("CustomizedMetricSpecification"):
        raise not_offered("CustomizedMetricSpecification")
    metric = (config.get("PredefinedMetricSpecification") or {}).get("PredefinedMetricType")
    wanted = f"DynamoDB{place.kind}CapacityUtilization"
    if metric != wanted:
        raise invalid(f"The scalable dimension {place.dimension} is scaled on the metric {wanted}, not on {metric}")  # fmt: skip
    if not _TARGET_MIN <= config["TargetValue"] <= _TARGET_MAX:
        raise invalid(f"TargetValue must be between {_TARGET_MIN} and {_TARGET_MAX} for {metric}")
    return dict(config)


def schedule(request: Request) -> timetable.Timetable:
    """Raises ValidationException for an expression or a time zone that is none."""
    try:
        zone = ZoneInfo(request.get("Timezone") or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise invalid(f"Invalid timezone: {request['Timezone']}") from error
    try:
        return timetable.parse(request["Schedule"], zone=zone)
    except ValueError as error:
        raise invalid(f"Invalid schedule expression: {request['Schedule']}") from error


def bounds(low: int | None, high: int | None) -> None:
    if low is not None and low < 1:
        raise invalid("Minimum capacity must be at least 1")
    if low is not None and high is not None and low > high:
        raise invalid("Maximum capacity cannot be less than minimum capacity")
