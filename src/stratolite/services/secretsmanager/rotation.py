"""Rotation: a function makes the new value in four steps, when asked and by a timetable."""

from __future__ import annotations

from typing import Any

from stratolite import timetable
from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.secretsmanager import faults, state, worker
from stratolite.services.secretsmanager.faults import arn_of, bad_parameter, bad_request
from stratolite.services.secretsmanager.policies import Policies
from stratolite.services.secretsmanager.values import PENDING

_DAYS_MAX = 1000


class Rotation(Policies):
    def rotate_secret(self, call: Call, request: Request) -> Response:
        where, name, record = faults.find_own(call, request["SecretId"])
        if request.get("ExternalSecretRotationMetadata") or request.get("ExternalSecretRotationRoleArn"):  # fmt: skip
            raise faults.not_offered("ExternalSecretRotation")
        rotation = record["rotation"] or {"enabled": False, "function": "", "rules": {}, "since_s": 0.0, "next_s": 0.0}  # fmt: skip
        function = request.get("RotationLambdaARN") or rotation["function"]
        if not function:
            raise bad_request("No Lambda rotation function ARN is associated with this secret.")
        rules = rotation["rules"] if request.get("RotationRules") is None else _rules(request["RotationRules"])  # fmt: skip
        _check_function(where, name, record, function)
        version = request.get("ClientRequestToken") or call.world.uuid()
        pending = record["stages"].get(PENDING)
        if pending and pending not in (record["stages"].get("AWSCURRENT"), version):
            raise bad_request("A previous rotation isn't complete. That rotation will be reattempted.")  # fmt: skip
        record["rotation"] = {"enabled": True, "function": function, "rules": rules, "since_s": call.tx.time_s, "next_s": 0.0}  # fmt: skip
        worker.next_rotation(where, name, record)
        state.put(call.tx, where.keys("secretsmanager"), name, record)
        if request.get("RotateImmediately", True):
            worker.rotate_now(where, name, version)
        answer = {"ARN": arn_of(where, name, record), "Name": name}
        return answer | ({"VersionId": version} if request.get("RotateImmediately", True) else {})

    def cancel_rotate_secret(self, call: Call, request: Request) -> Response:
        where, name, record = faults.find_own(call, request["SecretId"])
        if record["rotation"]:
            record["rotation"] |= {"enabled": False, "next_s": 0.0}
            record["timer"] = 0
            state.put(call.tx, where.keys("secretsmanager"), name, record)
        answer = {"ARN": arn_of(where, name, record), "Name": name}
        pending = record["stages"].get(PENDING)
        return answer | ({"VersionId": pending} if pending else {})


def _rules(given: dict[str, Any]) -> dict[str, Any]:
    days, expression = given.get("AutomaticallyAfterDays"), given.get("ScheduleExpression")
    if days is not None and expression is not None:
        raise bad_parameter("You can't specify both AutomaticallyAfterDays and ScheduleExpression.")
    if days is not None and not 1 <= days <= _DAYS_MAX:
        raise bad_parameter("AutomaticallyAfterDays must be between 1 and 1000.")
    if expression is not None:
        try:
            timetable.parse(expression)
        except ValueError as error:
            raise bad_parameter(f"Invalid ScheduleExpression: {expression}") from error
    return dict(given)


def _check_function(call: Call, name: str, record: state.Record, function: str) -> None:
    """The function must let Secrets Manager call it for this secret."""
    acting = call.as_service(worker.SERVICE, arn_of(call, name, record))
    acting.depth = call.depth + 1
    try:
        target = call.cloud.service("lambda")
        call.cloud.authorize(acting, target, "Invoke", {"FunctionName": function})
    except Fault as fault:
        raise Fault(
            "AccessDeniedException",
            "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants access to the principal"
            " secretsmanager.amazonaws.com.",
            status=400,
        ) from fault
