"""Resources that somebody else makes: custom resources (Lambda- or SNS-backed), wait conditions and their handles, macros.

A custom resource's question is stored with its door before it is sent and marked when it has been sent, so a crash
between the two sends it again, under the same RequestId, as Lambda's own at-least-once delivery may.
Sources  https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-custom-resources.html
         https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-waitcondition.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource, Spec
from stratolite.services.cloudformation import signals, state
from stratolite.services.cloudformation.finding import Plain
from stratolite.services.cloudformation.intrinsics import text_of
from stratolite.services.cloudformation.quotas import (
    CUSTOM_RESPONSE_BYTES_MAX,
    CUSTOM_TIMEOUT_S_MAX,
    WAIT_TIMEOUT_S_MAX,
)

_LAMBDA = re.compile(r"arn:aws[a-z-]*:lambda:([a-z0-9-]+):(\d{12}):function:.+\Z", re.ASCII)
_SNS = re.compile(r"arn:aws[a-z-]*:sns:([a-z0-9-]+):(\d{12}):.+\Z", re.ASCII)
_ISO = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?\Z")
_CREATION_TIMEOUT_S = 300
"""https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-creationpolicy.html"""


def _uuid(spec: Spec) -> str:
    return spec.stack_id.rsplit("/", 1)[-1]


def _place(spec: Spec, step: str) -> tuple[str, str, str]:
    return _uuid(spec), spec.logical_id, step


class Custom(Resource):
    type = "Custom::*"
    create_only = frozenset({"ServiceToken"})
    attributes_open = True
    tagged = False
    time_s_max = CUSTOM_TIMEOUT_S_MAX + 60.0

    async def create(self, call: Call, spec: Spec) -> Made:
        fallback = spec.generated_name(255)
        try:
            answer = await self._answered(call, spec, "Create", {})
        except Fault as fault:
            fault.members.setdefault("PhysicalResourceId", fallback)
            raise
        return _made(answer, fallback)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        more = {
            "PhysicalResourceId": physical_id,
            "OldResourceProperties": _as_texts(old.properties),
        }
        answer = await self._answered(call, new, "Update", more)
        return _made(answer, physical_id)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self._answered(call, spec, "Delete", {"PhysicalResourceId": physical_id})

    async def _answered(
        self, call: Call, spec: Spec, verb: str, more: dict[str, Any]
    ) -> dict[str, Any]:
        """The answer SUCCESS. Raises Plain for FAILED, and where none came in time."""
        step = f"{spec.step}/{verb}/{more.get('PhysicalResourceId', '')}"[:500]
        place = _place(spec, step)
        row = await call.transact(lambda c: self._question(c, spec, place))
        if not row.get("sent"):
            await self._send(call, spec, verb, row, more)
            await call.transact(lambda c: self._mark_sent(c, place))
        answer = await self._wait(call, place, row)
        if answer is None:
            raise Plain(
                "CloudFormation did not receive a response from your Custom Resource. Please check your logs for"
                f" requestId [{row['request_id']}]. If you are using the Python cfn-response module, you may need to"
                " update your Lambda function code so that CloudFormation can attach the updated version."
            )
        return self._checked(answer, row["request_id"], verb)

    @staticmethod
    def _question(call: Call, spec: Spec, place: tuple[str, str, str]) -> dict[str, Any]:
        rows = state.rows_of(call)
        known = signals.row_of(call.tx, rows, place)
        if known is not None:
            return known
        signals.forget(call.tx, call, rows, place[0], place[1], keep=place[2])
        timeout_s = int(spec.properties.get("ServiceTimeout", CUSTOM_TIMEOUT_S_MAX))
        row = {"request_id": call.world.uuid(), "deadline_s": call.tx.time_s + timeout_s}
        return signals.open_door(call.tx, call, rows, place, "custom", row)

    async def _send(
        self, call: Call, spec: Spec, verb: str, row: dict[str, Any], more: dict[str, Any]
    ) -> None:
        token = str(spec.properties["ServiceToken"])
        event = {
            "RequestType": verb,
            "ServiceToken": token,
            "ResponseURL": signals.url_of(call, row),
            "StackId": spec.stack_id,
            "RequestId": row["request_id"],
            "LogicalResourceId": spec.logical_id,
            "ResourceType": spec.type,
            "ResourceProperties": _as_texts(spec.properties),
            **more,
        }
        if place := _LAMBDA.match(token):
            runtime = await self._runtime(call, place[1], token)
            event["ResponseURL"] = await signals.inside_url_of(call, row, runtime)
            there = call.scoped(call.account, place[1])
            await there.request(
                "lambda",
                "Invoke",
                {"FunctionName": token, "InvocationType": "Event", "Payload": orjson.dumps(event)},
            )
        elif place := _SNS.match(token):
            there = call.scoped(call.account, place[1])
            await there.request(
                "sns",
                "Publish",
                {
                    "TopicArn": token,
                    "Subject": "AWS CloudFormation custom resource request",
                    "Message": orjson.dumps(event).decode(),
                },
            )
        else:
            raise Plain(f"Invalid service token: {token}")

    @staticmethod
    async def _runtime(call: Call, region: str, function: str) -> str:
        """Asked by the cloud itself: who may invoke a function need not see what it is. "" if there is none to be seen."""
        asked = {"FunctionName": function}
        try:
            told = await call.cloud.call(call.account, region).request(
                "lambda", "GetFunctionConfiguration", asked
            )
        except Fault:  # the invocation says why
            return ""
        return str(told.get("Runtime") or "")

    @staticmethod
    def _mark_sent(call: Call, place: tuple[str, str, str]) -> None:
        rows = state.rows_of(call)
        row = signals.row_of(call.tx, rows, place)
        if row is not None:
            signals.put_row(call.tx, rows, place, {**row, "sent": True})

    @staticmethod
    async def _wait(
        call: Call, place: tuple[str, str, str], asked: dict[str, Any]
    ) -> dict[str, Any] | None:
        def look(inner: Call) -> dict[str, Any] | None:
            rows = state.rows_of(inner)
            row = signals.row_of(inner.tx, rows, place)
            if row is None:
                return None
            if row["answer"] is None:
                if inner.tx.time_s >= asked["deadline_s"]:
                    return None
                inner.tx.wait([signals.span_of(rows, place)], asked["deadline_s"])
            answer: dict[str, Any] = row["private"]["answer"]
            return answer

        return await call.transact(look)

    @staticmethod
    def _checked(answer: dict[str, Any], request_id: str, verb: str) -> dict[str, Any]:
        """Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html"""
        left = answer.get("PhysicalResourceId")
        members = {"PhysicalResourceId": str(left)} if left else {}
        if answer.get("Status") not in ("SUCCESS", "FAILED"):
            raise Plain(
                "Invalid response object: Value of property Status must be SUCCESS or FAILED",
                **members,
            )
        if answer["Status"] == "FAILED":
            raise Plain(
                "Received response status [FAILED] from custom resource. Message returned:"
                f" {answer.get('Reason', '')} (RequestId: {request_id})",
                **members,
            )
        if verb == "Create" and (not isinstance(left, str) or not left):
            raise Plain("Invalid PhysicalResourceId")
        if len(orjson.dumps(answer)) > CUSTOM_RESPONSE_BYTES_MAX:
            raise Plain("Response object is too long.", **members)
        if not isinstance(answer.get("Data") or {}, dict):
            raise Plain(
                "Invalid response object: Value of property Data must be an object", **members
            )
        return answer


class CustomResource(Custom):
    type = "AWS::CloudFormation::CustomResource"


def _made(answer: dict[str, Any], fallback: str) -> Made:
    attributes = dict(answer.get("Data") or {})
    physical_id = str(answer.get("PhysicalResourceId") or fallback)
    return Made(physical_id, attributes, no_echo=text_of(answer.get("NoEcho")).lower() == "true")


def _as_texts(value: Any) -> Any:
    """As CloudFormation sends properties: every scalar is text."""
    if isinstance(value, dict):
        return {key: _as_texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_texts(item) for item in value]
    return text_of(value)


class Handle(Resource):
    type = "AWS::CloudFormation::WaitConditionHandle"
    tagged = False

    async def create(self, call: Call, spec: Spec) -> Made:
        place = _place(spec, "handle")

        def opened(inner: Call) -> dict[str, Any]:
            return signals.open_door(inner.tx, inner, state.rows_of(inner), place, "handle", {})

        row = await call.transact(opened)
        return Made(signals.url_of(call, row))

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await call.transact(
            lambda c: signals.forget(c.tx, c, state.rows_of(c), _uuid(spec), spec.logical_id)
        )


class WaitCondition(Resource):
    type = "AWS::CloudFormation::WaitCondition"
    tagged = False
    time_s_max = WAIT_TIMEOUT_S_MAX + 60.0

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = spec.properties
        signal = spec.creation_policy.get("ResourceSignal")
        if signal is not None:
            place = _place(spec, "policy")
            count = int(signal.get("Count", 1))
            timeout_s = _seconds(signal.get("Timeout"))
        else:
            handle = str(wanted.get("Handle") or "")
            timeout = wanted.get("Timeout")
            if not handle or timeout is None:
                raise Plain(
                    "Properties Handle and Timeout are needed where there is no CreationPolicy"
                )
            place = await self._handle(call, spec, handle)
            count, timeout_s = int(wanted.get("Count", 1)), int(timeout)
        deadline_s = await call.transact(lambda c: self._deadline(c, spec, timeout_s))
        await self._wait(call, place, count, deadline_s)
        found = await call.transact(lambda c: signals.received(c.tx, state.rows_of(c), place))
        data = {one["UniqueId"]: one["Data"] for one in found}
        return Made(spec.generated_name(128), {"Data": orjson.dumps(data).decode()})

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        raise Plain(f"Update to resource type {self.type} is not supported.")

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await call.transact(
            lambda c: signals.forget(c.tx, c, state.rows_of(c), _uuid(spec), spec.logical_id)
        )

    @staticmethod
    async def _handle(call: Call, spec: Spec, url: str) -> tuple[str, str, str]:
        def look(inner: Call) -> tuple[str, str, str] | None:
            rows = state.rows_of(inner)
            for record in state.records(inner.tx, rows, _uuid(spec)):
                if record["type"] == Handle.type and record.get("physical_id") == url:
                    return _uuid(spec), record["id"], "handle"
            return None

        found = await call.transact(look)
        if found is None:
            raise Plain("WaitCondition handle is not a handle of this stack")
        return found

    @staticmethod
    def _deadline(call: Call, spec: Spec, timeout_s: float) -> float:
        """Set when the condition was first asked, whatever has been killed since."""
        rows, place = state.rows_of(call), _place(spec, "wait")
        row = signals.row_of(call.tx, rows, place)
        if row is None:
            row = {"deadline_s": call.tx.time_s + timeout_s}
            signals.put_row(call.tx, rows, place, row)
        return float(row["deadline_s"])

    @staticmethod
    async def _wait(call: Call, place: tuple[str, str, str], count: int, deadline_s: float) -> None:
        def look(inner: Call) -> None:
            rows = state.rows_of(inner)
            found = signals.received(inner.tx, rows, place)
            for one in found:
                if one["Status"] != "SUCCESS":
                    raise Plain(
                        f"WaitCondition received failed message: '{one['Reason']}' for uniqueId: {one['UniqueId']}"
                    )
            if len(found) >= count:
                return
            if inner.tx.time_s >= deadline_s:
                raise Plain(
                    f"WaitCondition timed out. Received {len(found)} conditions when expecting {count}"
                )
            inner.tx.wait([signals.span_of(rows, place)], deadline_s)

        await call.transact(look)


def _seconds(text: Any) -> float:
    """ISO 8601 as CreationPolicy takes it: PT1H30M."""
    if text is None:
        return _CREATION_TIMEOUT_S
    found = _ISO.match(str(text))
    if found is None or not any(found.groups()):
        raise Plain(f"CreationPolicy Timeout {text} is not of the form PT#H#M#S")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return min(WAIT_TIMEOUT_S_MAX, 3600 * hours + 60 * minutes + seconds)


class Macro(Resource):
    type = "AWS::CloudFormation::Macro"
    tagged = False
    create_only: ClassVar[frozenset[str]] = frozenset({"Name"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        "LogGroupName": frozenset(),
        "LogRoleARN": frozenset(),
    }

    async def create(self, call: Call, spec: Spec) -> Made:
        name, function = spec.properties["Name"], spec.properties["FunctionName"]
        description = str(spec.properties.get("Description") or "")

        def put(inner: Call) -> None:
            rows = state.rows_of(inner)
            known = state.macro_of(inner.tx, rows, name)
            if known is not None and known[0] != spec.token:
                raise Fault("AlreadyExistsException", f"Macro with name {name} already exists")
            state.put_macro(inner.tx, rows, name, spec.token, function, description)

        await call.transact(put)
        return Made(name)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        function = new.properties["FunctionName"]
        description = str(new.properties.get("Description") or "")
        row = (physical_id, new.token, function, description)
        await call.transact(lambda c: state.put_macro(c.tx, state.rows_of(c), *row))
        return Made(physical_id)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await call.transact(lambda c: state.drop_macro(c.tx, state.rows_of(c), physical_id))

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await call.transact(lambda c: state.macro_of(c.tx, state.rows_of(c), physical_id))
        if found is None:
            return None
        description = await call.transact(
            lambda c: state.macro_description(c.tx, state.rows_of(c), physical_id)
        )
        made = {"Name": physical_id, "FunctionName": found[1]}
        return made | ({"Description": description} if description else {})
