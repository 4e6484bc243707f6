"""What a schedule may say, and the times it means."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from stratolite import delivery, sdk_names, timetable
from stratolite.errors import Fault
from stratolite.input_template import MISSING, fill
from stratolite.service import Call, Cloud

_UNIVERSAL = re.compile(r"arn:aws[\w-]*:scheduler:::aws-sdk:([a-z0-9]+):([a-zA-Z0-9]+)\Z")
NOT_OFFERED = (
    "EcsParameters", "SageMakerPipelineParameters", "EventBridgePutEventsV2Parameters", "EventBridgePutRawEventsParameters",
)  # fmt: skip
_READING = (
    "get", "describe", "list", "poll", "receive", "search", "scan", "query", "select", "read", "lookup", "discover", "validate",
    "batchGet", "batchDescribe", "batchRead", "transactGet", "adminGet", "adminList", "testMigration", "retrieve", "testConnection",
    "translateDocument", "isAuthorized", "invokeModel",
)  # fmt: skip
"""How actions begin that schedules may not call: https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html"""


def invalid(message: str) -> Fault:
    return Fault("ValidationException", message, status=400)


def tags_of(given: Iterable[dict[str, str]]) -> dict[str, str]:
    """Raises Fault for keys of AWS's own."""
    tags = {t["Key"]: t["Value"] for t in given}
    if any(key.lower().startswith("aws:") for key in tags):
        raise invalid("aws: prefixed tag key names are not allowed for external use.")
    return tags


def table_of(request: dict[str, Any]) -> timetable.Timetable:
    """Raises Fault for an expression or a time zone that is none."""
    expression = request["ScheduleExpression"]
    zone = zone_of(request.get("ScheduleExpressionTimezone") or "UTC")
    try:
        return timetable.parse(expression, zone=zone)
    except ValueError as error:
        raise invalid(f"Invalid Schedule Expression {expression}.") from error


def zone_of(name: str) -> ZoneInfo:
    """Raises Fault for a time zone that is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise invalid(f"Invalid Schedule Expression Timezone {name}.") from error


def check(call: Call, request: dict[str, Any], arn: str) -> None:
    """Raises Fault for a schedule AWS would not take, or we could not carry out."""
    table_of(request)
    window = request["FlexibleTimeWindow"]
    if (window["Mode"] == "FLEXIBLE") != ("MaximumWindowInMinutes" in window):
        raise invalid(
            "MaximumWindowInMinutes must be provided when Mode is FLEXIBLE, and only then."
        )
    start_s, end_s = request.get("StartDate"), request.get("EndDate")
    if start_s is not None and end_s is not None and end_s <= start_s:
        raise invalid("The StartDate you specify must be before the EndDate.")
    if end_s is not None and end_s <= call.tx.time_s:
        raise invalid("The EndDate you specify must be in the future.")
    _check_target(call, request["Target"])
    _check_role(call, request["Target"]["RoleArn"], arn)


def universal(arn: str) -> tuple[str, str] | None:
    """(our service, AWS's operation) of a universal target's ARN; None if it is a templated target's."""
    found = _UNIVERSAL.match(arn)
    if found is None:
        return None
    action = found[2]
    return sdk_names.SERVICES.get(found[1], found[1]), action[:1].upper() + action[1:]


def _check_target(call: Call, target: dict[str, Any]) -> None:
    for member in NOT_OFFERED:
        if target.get(member):
            raise invalid(f"Target {member} is not offered by Stratolite; see docs/coverage.md")
    arn = target["Arn"]
    if (found := universal(arn)) is not None:
        _check_universal(call, target, *found)
        return
    kind = _kind_of(arn, call.cloud)
    needed = {"kinesis": "KinesisParameters", "events": "EventBridgeParameters"}.get(kind)
    if needed and not target.get(needed):
        raise invalid(f"{needed} must be provided for target {arn}.")
    if kind == "sqs" and arn.endswith(".fifo") and not target.get("SqsParameters", {}).get("MessageGroupId"):  # fmt: skip
        raise invalid("The SqsParameters.MessageGroupId is required for FIFO queues.")
    if kind in ("states", "events", "lambda") and (text := target.get("Input")):
        try:
            orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise invalid(f"Invalid Input: {text[:100]} is not valid JSON.") from error


def check_target_arn(arn: str) -> None:
    """Raises Fault for a target that nothing can be sent to, as far as its ARN says."""
    if (found := universal(arn)) is None:
        _kind_of(arn)
        return
    _check_action(*found)


def _kind_of(arn: str, cloud: Cloud | None = None) -> str:
    try:
        parsed = delivery.parse(arn)
        if parsed.service == "events" and parsed.resource.startswith("event-bus/"):
            return "events"
        kind = delivery.kind_of(arn) if cloud is None else delivery.check(cloud, arn)
    except ValueError as error:
        raise invalid(f"Provided Arn is not in correct format or not offered: {error}.") from error
    if kind == "logs":
        raise invalid(f"The target {arn} is not supported.")
    return kind


def _check_action(service: str, operation: str) -> None:
    if service not in sdk_names.SERVICES.values() or operation in sdk_names.STREAMING:
        raise invalid(f"The universal target service {service} is not offered by Stratolite.")
    if (operation[:1].lower() + operation[1:]).startswith(_READING):
        raise invalid(f"Invalid RequestJson provided. Reason: {operation} is a read-only operation.")  # fmt: skip


def _check_universal(call: Call, target: dict[str, Any], service: str, operation: str) -> None:
    _check_action(service, operation)
    if service not in call.cloud.services:
        raise invalid(f"The universal target service {service} is not offered by Stratolite.")
    try:
        call.cloud.service(service).route(operation)
    except Fault as fault:
        raise invalid(fault.message) from fault
    try:
        given = orjson.loads(_sample(target.get("Input") or "{}"))
        if not isinstance(given, dict):
            raise invalid("Invalid RequestJson provided. Reason: it must be a JSON object.")
        call.cloud.documents.read_request(service, operation, given)
    except ValueError as error:
        raise invalid(f"Invalid RequestJson provided. Reason: {error}.") from error


def _sample(text: str) -> str:
    """The input as it could be when the schedule comes due."""

    def value(name: str) -> Any:
        if not name.startswith("aws.scheduler."):
            return MISSING
        return "2026-01-01T00:00:00Z" if name.endswith("-time") else "1"

    return fill(text, value, must_be_json=False) if "<aws.scheduler." in text else text


def _check_role(call: Call, role: str, arn: str) -> None:
    acting = call.as_service("scheduler.amazonaws.com", arn)
    acting.depth = call.depth + 1
    try:
        acting.invoke("sts", "AssumeRole", {"RoleArn": role, "RoleSessionName": "scheduler"})
    except Fault as fault:
        raise invalid(
            "The execution role you provide must allow AWS EventBridge Scheduler to assume the role."
        ) from fault
