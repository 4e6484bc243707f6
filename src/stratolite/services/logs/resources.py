"""CloudFormation types of Logs: LogGroup, LogStream, MetricFilter, ResourcePolicy, SubscriptionFilter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource, Spec, created, tag_list
from stratolite.services.logs import patterns, policies


def _tags(spec: Spec) -> dict[str, str]:
    return {tag["Key"]: str(tag["Value"]) for tag in spec.properties.get("Tags") or ()}


class _Type(Resource):
    service = "logs"


class LogGroup(_Type):
    type = "AWS::Logs::LogGroup"
    create_only = frozenset({"LogGroupName"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        "DataProtectionPolicy": frozenset({""}),
        "FieldIndexPolicies": frozenset({""}),
        "ResourcePolicyDocument": frozenset({""}),
        "BearerTokenAuthenticationEnabled": frozenset({"false"}),
        "DeletionProtectionEnabled": frozenset({"false"}),
        "LogGroupClass": frozenset({"STANDARD"}),
    }

    async def create(self, call: Call, spec: Spec) -> Made:
        name = spec.properties.get("LogGroupName") or spec.generated_name(512)
        await self.ask(
            call,
            "CreateLogGroup",
            logGroupName=name,
            tags=_tags(spec),
            StackToken=spec.token,
            kmsKeyId=spec.properties.get("KmsKeyId") or None,
        )
        with created(name):
            return await self._made(call, name, spec)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        before, after = _tags(old), _tags(new)
        if gone := [key for key in before if key not in after]:
            await self.ask(call, "UntagLogGroup", logGroupName=physical_id, tags=gone)
        if after:
            await self.ask(call, "TagLogGroup", logGroupName=physical_id, tags=after)
        key = new.properties.get("KmsKeyId")
        if key and key != old.properties.get("KmsKeyId"):
            await self.ask(call, "AssociateKmsKey", logGroupName=physical_id, kmsKeyId=key)
        elif not key and old.properties.get("KmsKeyId"):
            await self.ask(call, "DisassociateKmsKey", logGroupName=physical_id)
        if "RetentionInDays" in old.properties and "RetentionInDays" not in new.properties:
            await self.ask(call, "DeleteRetentionPolicy", logGroupName=physical_id)
        return await self._made(call, physical_id, new)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteLogGroup", logGroupName=physical_id)

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        return await self.page_of(
            call,
            "DescribeLogGroups",
            "logGroups",
            "logGroupName",
            token,
            cursor=("nextToken", "nextToken"),
        )

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        page = await self.ask(call, "DescribeLogGroups", logGroupNamePrefix=physical_id)
        found = next((g for g in page["logGroups"] if g["logGroupName"] == physical_id), None)
        if found is None:
            return None
        made: dict[str, Any] = {"LogGroupName": physical_id, "LogGroupClass": "STANDARD"}
        if "retentionInDays" in found:
            made["RetentionInDays"] = found["retentionInDays"]
        if "kmsKeyId" in found:
            made["KmsKeyId"] = found["kmsKeyId"]
        tags = await self.ask(call, "ListTagsLogGroup", logGroupName=physical_id)
        made["Tags"] = tag_list(tags.get("tags") or {})
        return made

    async def adopt(self, call: Call, physical_id: str, spec: Spec) -> Made:
        arn = f"arn:aws:logs:{call.region}:{call.account}:log-group:{physical_id}:*"
        return Made(physical_id, {"Arn": arn})

    async def _made(self, call: Call, name: str, spec: Spec) -> Made:
        if days := spec.properties.get("RetentionInDays"):
            await self.ask(call, "PutRetentionPolicy", logGroupName=name, retentionInDays=int(days))
        arn = f"arn:aws:logs:{call.region}:{call.account}:log-group:{name}:*"
        return Made(name, {"Arn": arn})


class LogStream(_Type):
    type = "AWS::Logs::LogStream"
    create_only = frozenset({"LogGroupName", "LogStreamName"})

    async def create(self, call: Call, spec: Spec) -> Made:
        name = spec.properties.get("LogStreamName") or spec.generated_name(512)
        group = spec.properties["LogGroupName"]
        try:
            await self.ask(call, "CreateLogStream", logGroupName=group, logStreamName=name)
        except Fault as fault:
            ours = "LogStreamName" not in spec.properties
            if fault.code != "ResourceAlreadyExistsException" or not ours:
                raise
        return Made(name)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        group = spec.properties["LogGroupName"]
        await self.ask_if_there(
            call, "DeleteLogStream", logGroupName=group, logStreamName=physical_id
        )

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        group = spec.properties["LogGroupName"]
        page = await self.ask_if_there(
            call, "DescribeLogStreams", logGroupName=group, logStreamNamePrefix=physical_id
        )
        if not any(s["logStreamName"] == physical_id for s in (page or {}).get("logStreams", [])):
            return None
        return {"LogGroupName": group, "LogStreamName": physical_id}


class _Filter(_Type):
    """A named filter of one log group."""

    create_only = frozenset({"FilterName", "LogGroupName"})
    kind: ClassVar[str]
    """SubscriptionFilter or MetricFilter, as in the names of operations."""

    def physical_id_of(self, identifier: Mapping[str, Any]) -> str:
        return str(identifier["FilterName"])

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        group = spec.properties["LogGroupName"]
        await self.ask_if_there(
            call, f"Delete{self.kind}", logGroupName=group, filterName=physical_id
        )

    async def _found(self, call: Call, name: str, spec: Spec) -> dict[str, Any] | None:
        group = spec.properties["LogGroupName"]
        page = await self.ask_if_there(
            call, f"Describe{self.kind}s", logGroupName=group, filterNamePrefix=name
        )
        listed = (page or {}).get(f"{self.kind[0].lower()}{self.kind[1:]}s", [])
        return next((f for f in listed if f["filterName"] == name), None)


class SubscriptionFilter(_Filter):
    type = "AWS::Logs::SubscriptionFilter"
    kind = "SubscriptionFilter"
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        "ApplyOnTransformedLogs": frozenset({"false"}),
        "FieldSelectionCriteria": frozenset({""}),
        "EmitSystemFields": frozenset({""}),
    }
    values: ClassVar[Mapping[str, Callable[[Any], object]]] = {
        "FilterPattern": lambda given: patterns.compiled(given, "subscription ")
    }

    async def create(self, call: Call, spec: Spec) -> Made:
        name = spec.properties.get("FilterName") or spec.generated_name(512)
        return await self._put(call, name, spec)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        return await self._put(call, physical_id, new)

    async def _put(self, call: Call, name: str, spec: Spec) -> Made:
        props = spec.properties
        await self.ask(
            call, "PutSubscriptionFilter", logGroupName=props["LogGroupName"], filterName=name,
            filterPattern=props["FilterPattern"], destinationArn=props["DestinationArn"],
            roleArn=props.get("RoleArn"), distribution=props.get("Distribution"),
        )  # fmt: skip
        return Made(name)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self._found(call, physical_id, spec)
        if found is None:
            return None
        made = {
            "LogGroupName": spec.properties["LogGroupName"],
            "FilterName": physical_id,
            "FilterPattern": found["filterPattern"],
            "DestinationArn": found["destinationArn"],
            "Distribution": found["distribution"],
        }
        return {**made, "RoleArn": found["roleArn"]} if "roleArn" in found else made


class MetricFilter(_Filter):
    type = "AWS::Logs::MetricFilter"
    kind = "MetricFilter"
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        "ApplyOnTransformedLogs": frozenset({"false"}),
        "FieldSelectionCriteria": frozenset({""}),
        "EmitSystemFieldDimensions": frozenset({""}),
    }
    values: ClassVar[Mapping[str, Callable[[Any], object]]] = {
        "FilterPattern": lambda given: patterns.compiled(given, "metric ")
    }

    async def create(self, call: Call, spec: Spec) -> Made:
        name = spec.properties.get("FilterName") or spec.generated_name(512)
        return await self._put(call, name, spec, StackToken=spec.token)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        return await self._put(call, physical_id, new)

    async def _put(self, call: Call, name: str, spec: Spec, **more: Any) -> Made:
        props = spec.properties
        said = [_transformation(one) for one in props["MetricTransformations"]]
        await self.ask(
            call, "PutMetricFilter", logGroupName=props["LogGroupName"], filterName=name,
            filterPattern=props["FilterPattern"], metricTransformations=said, **more,
        )  # fmt: skip
        return Made(name)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self._found(call, physical_id, spec)
        if found is None:
            return None
        made = [{n[0].upper() + n[1:]: v for n, v in one.items()} for one in found["metricTransformations"]]  # fmt: skip
        for one in made:
            if named := one.get("Dimensions"):
                one["Dimensions"] = [{"Key": name, "Value": at} for name, at in named.items()]
            if isinstance(one.get("DefaultValue"), float) and one["DefaultValue"].is_integer():
                one["DefaultValue"] = int(one["DefaultValue"])  # as templates write it
        return {
            "LogGroupName": spec.properties["LogGroupName"],
            "FilterName": physical_id,
            "FilterPattern": found["filterPattern"],
            "MetricTransformations": made,
        }


def _transformation(one: Mapping[str, Any]) -> dict[str, Any]:
    """In the shape of the API: templates may write numbers as text, and text as numbers."""
    said = {name[0].lower() + name[1:]: value for name, value in one.items()}
    said["metricValue"] = str(said["metricValue"])
    if "defaultValue" in said:
        said["defaultValue"] = float(said["defaultValue"])
    if "dimensions" in said:
        said["dimensions"] = {d["Key"]: d["Value"] for d in said["dimensions"]}
    return said


class ResourcePolicy(_Type):
    type = "AWS::Logs::ResourcePolicy"
    create_only = frozenset({"PolicyName"})
    values: ClassVar[Mapping[str, Callable[[Any], object]]] = {
        "PolicyDocument": policies.check_document
    }

    async def create(self, call: Call, spec: Spec) -> Made:
        return await self._put(call, spec.properties["PolicyName"], spec)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        return await self._put(call, physical_id, new)

    async def _put(self, call: Call, name: str, spec: Spec) -> Made:
        given = spec.properties["PolicyDocument"]
        text = given if isinstance(given, str) else orjson.dumps(given).decode()
        await self.ask(call, "PutResourcePolicy", policyName=name, policyDocument=text)
        return Made(name)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteResourcePolicy", policyName=physical_id)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        page = await self.ask(call, "DescribeResourcePolicies")
        listed = page["resourcePolicies"]
        found = next((one for one in listed if one["policyName"] == physical_id), None)
        if found is None:
            return None
        text = found["policyDocument"]
        is_text = isinstance(spec.properties.get("PolicyDocument"), str)
        return {
            "PolicyName": physical_id,
            "PolicyDocument": text if is_text else orjson.loads(text),
        }

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        page = await self.ask(call, "DescribeResourcePolicies", nextToken=token or None)
        names = [one["policyName"] for one in page["resourcePolicies"]]
        return names, page.get("nextToken", "")


RESOURCES = (LogGroup(), LogStream(), SubscriptionFilter(), MetricFilter(), ResourcePolicy())
