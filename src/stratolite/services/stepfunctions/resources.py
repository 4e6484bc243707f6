"""CloudFormation types of Step Functions: StateMachine, Activity, StateMachineVersion, StateMachineAlias."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource, Spec
from stratolite.services.stepfunctions import tasks
from stratolite.services.stepfunctions.bodies import TooLarge, drained
from stratolite.services.stepfunctions.machines import invalid_definition
from stratolite.workflow import compile_definition

_DEFINITION_BYTES_MAX = 1 << 20
_NO_KEY: Mapping[str, frozenset[str]] = {
    "EncryptionConfiguration.Type": frozenset({"AWS_OWNED_KEY"}),
    "EncryptionConfiguration.KmsDataKeyReusePeriodSeconds": frozenset({""}),
    "EncryptionConfiguration.KmsKeyId": frozenset({""}),
}
_OWNED: Mapping[str, str] = {"Type": "AWS_OWNED_KEY"}


_LATER = "arn:aws:lambda:us-east-1:000000000000:function:known-later"
"""Stands for what another resource will be: most often it is a task's function."""


def _check_known(wanted: Mapping[str, Any]) -> None:
    """Raises Fault for a definition that is wrong, whatever stands for ``_LATER`` in it."""
    if "DefinitionS3Location" in wanted:
        return
    text = _filled_in(_stated(wanted), wanted)
    machine, found = compile_definition(text)
    if machine is not None:
        is_express = wanted.get("StateMachineType") == "EXPRESS"
        found = tasks.resource_problems(machine, is_express=is_express)
    if found := [problem for problem in found if not _hangs_on_later(text, problem.place)]:
        raise invalid_definition(found)


def _hangs_on_later(text: str, place: str) -> bool:
    if _LATER not in text:
        return False
    try:
        node = orjson.loads(text)
    except orjson.JSONDecodeError:
        return True  # what comes may make it JSON
    for part in place.split("/")[1:]:
        if isinstance(node, list) and part.isdecimal() and int(part) < len(node):
            node = node[int(part)]
        elif isinstance(node, dict) and part in node:
            node = node[part]
    return isinstance(node, str) and _LATER in node


class StateMachine(Resource):
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-stepfunctions-statemachine.html"""

    type = "AWS::StepFunctions::StateMachine"
    service = "stepfunctions"
    gone = frozenset({"StateMachineDoesNotExist"})
    create_only = frozenset({"StateMachineName", "StateMachineType"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        **_NO_KEY,
        "LoggingConfiguration.Level": frozenset({"OFF"}),
        "LoggingConfiguration.Destinations": frozenset({""}),
    }
    values: ClassVar[Mapping[str, Callable[[Any], object]]] = {"": _check_known}
    stand_ins: ClassVar[Mapping[str, str | None]] = {"": _LATER}
    unread = frozenset({"Definition", "DefinitionS3Location", "DefinitionSubstitutions"})

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = spec.properties
        answer = await self.ask(
            call,
            "CreateStateMachine",
            name=wanted.get("StateMachineName") or spec.generated_name(80),
            definition=await _definition(call, wanted),
            roleArn=wanted["RoleArn"],
            type=wanted.get("StateMachineType"),
            loggingConfiguration=_logging(wanted),
            tracingConfiguration=_tracing(wanted),
            tags=_tags(spec),
            StackToken=spec.token,
        )
        return await self._made(call, answer["stateMachineArn"])

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        wanted = new.properties
        await self.ask(
            call,
            "UpdateStateMachine",
            stateMachineArn=physical_id,
            definition=await _definition(call, wanted),
            roleArn=wanted["RoleArn"],
            loggingConfiguration=_logging(wanted) or {"level": "OFF"},
            tracingConfiguration=_tracing(wanted) or {"enabled": False},
        )
        await _retag(self, call, physical_id, old, new)
        return await self._made(call, physical_id)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteStateMachine", stateMachineArn=physical_id)

    async def deleted(self, call: Call, physical_id: str, spec: Spec) -> bool:
        found = await self.ask_if_there(call, "DescribeStateMachine", stateMachineArn=physical_id)
        return found is None

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        cursor = ("nextToken", "nextToken")
        return await self.page_of(
            call, "ListStateMachines", "stateMachines", "stateMachineArn", token, cursor=cursor
        )

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "DescribeStateMachine", stateMachineArn=physical_id)
        if found is None or found["status"] == "DELETING":
            return None
        tags = await self.ask(call, "ListTagsForResource", resourceArn=physical_id)
        logging = found["loggingConfiguration"]
        return {
            "Arn": physical_id,
            "Name": found["name"],
            "StateMachineName": found["name"],
            "StateMachineType": found["type"],
            "RoleArn": found["roleArn"],
            "DefinitionString": found["definition"],
            "LoggingConfiguration": {
                "Level": logging["level"],
                "IncludeExecutionData": logging["includeExecutionData"],
            },
            "TracingConfiguration": {"Enabled": found["tracingConfiguration"]["enabled"]},
            "EncryptionConfiguration": dict(_OWNED),
            "StateMachineRevisionId": found.get("revisionId", "INITIAL"),
            "Tags": [{"Key": t["key"], "Value": t["value"]} for t in tags["tags"]],
        }

    async def _made(self, call: Call, arn: str) -> Made:
        found = await self.ask(call, "DescribeStateMachine", stateMachineArn=arn)
        revision = found.get("revisionId", "INITIAL")
        return Made(arn, {"Arn": arn, "Name": found["name"], "StateMachineRevisionId": revision})


class Activity(Resource):
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-stepfunctions-activity.html"""

    type = "AWS::StepFunctions::Activity"
    service = "stepfunctions"
    gone = frozenset({"ActivityDoesNotExist"})
    create_only = frozenset({"Name"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = _NO_KEY

    async def create(self, call: Call, spec: Spec) -> Made:
        name = spec.properties.get("Name") or spec.generated_name(80)
        answer = await self.ask(
            call, "CreateActivity", name=name, tags=_tags(spec), StackToken=spec.token
        )
        return Made(answer["activityArn"], {"Arn": answer["activityArn"], "Name": name})

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        await _retag(self, call, physical_id, old, new)
        name = physical_id.rpartition(":")[2]
        return Made(physical_id, {"Arn": physical_id, "Name": name})

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteActivity", activityArn=physical_id)

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        cursor = ("nextToken", "nextToken")
        return await self.page_of(
            call, "ListActivities", "activities", "activityArn", token, cursor=cursor
        )

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "DescribeActivity", activityArn=physical_id)
        if found is None:
            return None
        tags = await self.ask(call, "ListTagsForResource", resourceArn=physical_id)
        shown = [{"Key": t["key"], "Value": t["value"]} for t in tags["tags"]]
        named = {"Arn": physical_id, "Name": found["name"]}
        return named | {"EncryptionConfiguration": dict(_OWNED), "Tags": shown}


class StateMachineVersion(Resource):
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-stepfunctions-statemachineversion.html"""

    type = "AWS::StepFunctions::StateMachineVersion"
    service = "stepfunctions"
    gone = frozenset({"StateMachineDoesNotExist"})
    create_only = frozenset({"StateMachineArn", "StateMachineRevisionId", "Description"})

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = spec.properties
        answer = await self.ask(
            call,
            "PublishStateMachineVersion",
            stateMachineArn=wanted["StateMachineArn"],
            revisionId=wanted.get("StateMachineRevisionId"),
            description=wanted.get("Description"),
        )
        arn = answer["stateMachineVersionArn"]
        return Made(arn, {"Arn": arn})

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(
            call, "DeleteStateMachineVersion", stateMachineVersionArn=physical_id
        )

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "DescribeStateMachine", stateMachineArn=physical_id)
        if found is None:
            return None
        made = {
            "Arn": physical_id,
            "StateMachineArn": physical_id.rpartition(":")[0],
            "StateMachineRevisionId": found.get("revisionId", "INITIAL"),
        }
        return made | ({"Description": found["description"]} if found.get("description") else {})


class StateMachineAlias(Resource):
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-stepfunctions-statemachinealias.html"""

    type = "AWS::StepFunctions::StateMachineAlias"
    service = "stepfunctions"
    gone = frozenset({"ResourceNotFound", "StateMachineDoesNotExist"})
    create_only = frozenset({"Name"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        "DeploymentPreference.Type": frozenset({"ALL_AT_ONCE"}),
        "DeploymentPreference.Interval": frozenset({""}),
        "DeploymentPreference.Percentage": frozenset({""}),
        "DeploymentPreference.Alarms": frozenset({""}),
    }
    unread = frozenset({"DeploymentPreference"})

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = spec.properties
        name = wanted.get("Name") or spec.generated_name(80)
        answer = await self.ask(
            call,
            "CreateStateMachineAlias",
            name=name,
            description=wanted.get("Description"),
            routingConfiguration=_routes(wanted),
        )
        arn = answer["stateMachineAliasArn"]
        return Made(arn, {"Arn": arn})

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        await self.ask(
            call,
            "UpdateStateMachineAlias",
            stateMachineAliasArn=physical_id,
            description=new.properties.get("Description", ""),
            routingConfiguration=_routes(new.properties),
        )
        return Made(physical_id, {"Arn": physical_id})

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteStateMachineAlias", stateMachineAliasArn=physical_id)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(
            call, "DescribeStateMachineAlias", stateMachineAliasArn=physical_id
        )
        if found is None:
            return None
        made = {
            "Arn": physical_id,
            "Name": found["name"],
            "StateMachineArn": physical_id.rpartition(":")[0],
            "RoutingConfiguration": [
                {"StateMachineVersionArn": r["stateMachineVersionArn"], "Weight": r["weight"]}
                for r in found["routingConfiguration"]
            ],
        }
        return made | ({"Description": found["description"]} if found.get("description") else {})


async def _definition(call: Call, wanted: dict[str, Any]) -> str:
    """The text of a definition, wherever it stands, with its ${NAME} filled in. Raises Fault."""
    text = _stated(wanted)
    if "DefinitionS3Location" in wanted:
        text = await _from_s3(call, wanted["DefinitionS3Location"])
    return _filled_in(text, wanted)


def _stated(wanted: Mapping[str, Any]) -> str:
    """The text that stands in the template, "" where it is in S3."""
    said = [n for n in ("DefinitionString", "Definition", "DefinitionS3Location") if n in wanted]
    if len(said) != 1:
        raise Fault("InvalidDefinition", "Exactly one of DefinitionString, Definition and DefinitionS3Location must be given")  # fmt: skip
    if said[0] == "DefinitionString":
        return str(wanted["DefinitionString"])
    return orjson.dumps(wanted["Definition"]).decode() if said[0] == "Definition" else ""


def _filled_in(text: str, wanted: Mapping[str, Any]) -> str:
    names = wanted.get("DefinitionSubstitutions") or {}
    if not names:
        return text
    pattern = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.sub(rf"\$\{{({pattern})\}}", lambda found: _shown(names[found[1]]), text)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


async def _from_s3(call: Call, where: dict[str, Any]) -> str:
    """JSON as it stands; YAML, which AWS takes from S3 too, as JSON."""
    ask = {"Bucket": where["Bucket"], "Key": where["Key"]}
    if where.get("Version"):
        ask["VersionId"] = where["Version"]
    answer = await call.request("s3", "GetObject", ask)
    try:
        body = await drained(answer.get("Body", b""), _DEFINITION_BYTES_MAX)
    except TooLarge as error:
        raise Fault(
            "InvalidDefinition", f"s3://{ask['Bucket']}/{ask['Key']} is too large"
        ) from error
    text = bytes(body).decode(errors="replace")
    if text.lstrip().startswith("{"):
        return text
    import yaml

    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise Fault("InvalidDefinition", "YAML aliases are not offered in definitions")
        return orjson.dumps(yaml.safe_load(text)).decode()
    except (yaml.YAMLError, TypeError, RecursionError) as error:
        raise Fault("InvalidDefinition", f"s3://{ask['Bucket']}/{ask['Key']} is neither JSON nor YAML") from error  # fmt: skip


def _logging(wanted: dict[str, Any]) -> dict[str, Any] | None:
    said = wanted.get("LoggingConfiguration")
    if said is None:
        return None
    return {"level": said.get("Level", "OFF"), "includeExecutionData": said.get("IncludeExecutionData", False)}  # fmt: skip


def _tracing(wanted: dict[str, Any]) -> dict[str, Any] | None:
    said = wanted.get("TracingConfiguration")
    return None if said is None else {"enabled": said.get("Enabled", False)}


def _routes(wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """Raises Fault where a version is not one of the machine that is named beside."""
    if preference := wanted.get("DeploymentPreference"):
        routes = [{"stateMachineVersionArn": preference["StateMachineVersionArn"], "weight": 100}]
    else:
        routes = [
            {"stateMachineVersionArn": r["StateMachineVersionArn"], "weight": r["Weight"]}
            for r in wanted.get("RoutingConfiguration") or ()
        ]
    machine = wanted.get("StateMachineArn")
    for route in routes:
        version = route["stateMachineVersionArn"]
        if machine and version.rpartition(":")[0] != machine:
            raise Fault("ValidationException", f"{version} is not a version of {machine}")
    return routes


def _tags(spec: Spec) -> list[dict[str, str]] | None:
    return [{"key": key, "value": value} for key, value in spec.tags().items()] or None


async def _retag(resource: Resource, call: Call, arn: str, old: Spec, new: Spec) -> None:
    before, after = old.tags(), new.tags()
    if gone := sorted(set(before) - set(after)):
        await resource.ask(call, "UntagResource", resourceArn=arn, tagKeys=gone)
    if after:
        await resource.ask(call, "TagResource", resourceArn=arn, tags=_tags(new))


RESOURCES = (StateMachine(), Activity(), StateMachineVersion(), StateMachineAlias())
