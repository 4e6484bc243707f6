"""CloudFormation's AWS::ApplicationAutoScaling::ScalableTarget and ScalingPolicy, of DynamoDB.

Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_ApplicationAutoScaling.html
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource, Spec, created, picked, tag_list

_PLACE = ("ServiceNamespace", "ResourceId", "ScalableDimension")
_BOUNDS = ("MinCapacity", "MaxCapacity")


def _place_of(physical_id: str) -> dict[str, str]:
    """``table/T|dynamodb:table:ReadCapacityUnits|dynamodb``, as Ref of a target gives it."""
    resource, dimension, namespace = physical_id.split("|")
    return {"ServiceNamespace": namespace, "ResourceId": resource, "ScalableDimension": dimension}


class ScalableTarget(Resource):
    type = "AWS::ApplicationAutoScaling::ScalableTarget"
    service = "application-autoscaling"
    gone = frozenset({"ObjectNotFoundException"})
    create_only = frozenset({"ServiceNamespace", "ResourceId", "ScalableDimension"})
    unread = frozenset({"RoleARN"})

    async def create(self, call: Call, spec: Spec) -> Made:
        await self._register(call, spec, spec.tags())
        place = spec.properties
        name = f"{place['ResourceId']}|{place['ScalableDimension']}|{place['ServiceNamespace']}"
        with created(name):
            await self._schedule(call, {}, spec.properties)
        return Made(name, {"Id": name})

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        arn = await self._register(call, new, None)
        before, tags = old.tags(), new.tags()
        if gone := sorted(before.keys() - tags.keys()):
            await self.ask(call, "UntagResource", ResourceARN=arn, TagKeys=gone)
        if tags:
            await self.ask(call, "TagResource", ResourceARN=arn, Tags=tags)
        await self._schedule(call, old.properties, new.properties)
        return Made(physical_id, {"Id": physical_id})

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeregisterScalableTarget", **_place_of(physical_id))

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        place = _place_of(physical_id)
        of_target = {**place, "ResourceIds": [place["ResourceId"]]}
        del of_target["ResourceId"]
        answer = await self.ask(call, "DescribeScalableTargets", **of_target)
        if not answer["ScalableTargets"]:
            return None
        found = picked(answer["ScalableTargets"][0], *_PLACE, *_BOUNDS, "SuspendedState")
        actions = await self.every(call, "DescribeScheduledActions", "ScheduledActions", **place)
        if actions:
            found["ScheduledActions"] = [_action(action) for action in actions]
        arn = answer["ScalableTargets"][0]["ScalableTargetARN"]
        tags = await self.ask(call, "ListTagsForResource", ResourceARN=arn)
        return found | {"Tags": tag_list(tags.get("Tags") or {})}

    def physical_id_of(self, identifier: Mapping[str, Any]) -> str:
        return "|".join(
            str(identifier[name])
            for name in ("ResourceId", "ScalableDimension", "ServiceNamespace")
        )

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        answer = await self.ask(
            call, "DescribeScalableTargets", ServiceNamespace="dynamodb", NextToken=token or None
        )
        found = [self.physical_id_of(target) for target in answer["ScalableTargets"]]
        return found, answer.get("NextToken", "")

    async def _register(self, call: Call, spec: Spec, tags: Mapping[str, str] | None) -> str:
        """Its ARN. Tags are taken from whoever registers first only, so a repeat of that goes without."""
        wanted = picked(spec.properties, *_PLACE, *_BOUNDS, "RoleARN")
        off = dict.fromkeys(
            (
                "DynamicScalingInSuspended",
                "DynamicScalingOutSuspended",
                "ScheduledScalingSuspended",
            ),
            False,
        )
        wanted["SuspendedState"] = off | (spec.properties.get("SuspendedState") or {})
        try:
            made = await self.ask(call, "RegisterScalableTarget", **wanted, Tags=tags or None)
        except Fault as fault:
            if not tags or "add tags to an existing" not in fault.message:
                raise
            made = await self.ask(call, "RegisterScalableTarget", **wanted)
            await self.ask(call, "TagResource", ResourceARN=made["ScalableTargetARN"], Tags=tags)
        return str(made["ScalableTargetARN"])

    async def _schedule(self, call: Call, old: dict[str, Any], new: dict[str, Any]) -> None:
        place = picked(new, *_PLACE)
        actions = {a["ScheduledActionName"]: a for a in new.get("ScheduledActions") or ()}
        for action in old.get("ScheduledActions") or ():
            if actions.get(name := action["ScheduledActionName"]) != action:
                # also one that changed: what it no longer has goes back to its default
                request = {**place, "ScheduledActionName": name}
                await self.ask_if_there(call, "DeleteScheduledAction", **request)
        for action in actions.values():
            request = {**place, **action}
            for member in ("StartTime", "EndTime"):
                if isinstance(text := request.get(member), str):
                    request[member] = datetime.fromisoformat(text).timestamp()
            await self.ask(call, "PutScheduledAction", **request)


def _action(found: Mapping[str, Any]) -> dict[str, Any]:
    members = ("ScheduledActionName", "Schedule", "Timezone", "ScalableTargetAction")
    made = picked(found, *members)
    for member in ("StartTime", "EndTime"):
        if member in found:
            moment = datetime.fromtimestamp(found[member], UTC)
            made[member] = moment.isoformat().replace("+00:00", "Z")
    return made


class ScalingPolicy(Resource):
    type = "AWS::ApplicationAutoScaling::ScalingPolicy"
    service = "application-autoscaling"
    gone = frozenset({"ObjectNotFoundException"})
    create_only = frozenset(
        {"PolicyName", "ServiceNamespace", "ResourceId", "ScalableDimension", "ScalingTargetId"}
    )
    properties: ClassVar[frozenset[str] | None] = frozenset(
        {*_PLACE, "PolicyName", "PolicyType", "ScalingTargetId", "TargetTrackingScalingPolicyConfiguration"}
    )  # fmt: skip
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        "PolicyType": frozenset({"TargetTrackingScaling"}),
        "TargetTrackingScalingPolicyConfiguration.CustomizedMetricSpecification": frozenset({""}),
        "TargetTrackingScalingPolicyConfiguration.PredefinedMetricSpecification.ResourceLabel": frozenset({""}),
    }  # fmt: skip
    unread = frozenset({"ScalingTargetId"})

    async def create(self, call: Call, spec: Spec) -> Made:
        return await self._put(call, spec)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        return await self._put(call, new)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        name = spec.properties["PolicyName"]
        await self.ask_if_there(call, "DeleteScalingPolicy", **_policy_place(spec), PolicyName=name)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        of_target = dict(zip(_PLACE, _parts(physical_id), strict=False))
        policies = await self.every(call, "DescribeScalingPolicies", "ScalingPolicies", **of_target)
        for policy in policies:
            if policy["PolicyARN"] == physical_id:
                members = ("PolicyName", "PolicyType", "TargetTrackingScalingPolicyConfiguration")
                return picked(policy, *_PLACE, *members) | {"Arn": physical_id}
        return None

    def physical_id_of(self, identifier: Mapping[str, Any]) -> str:
        return str(identifier["Arn"])

    async def _put(self, call: Call, spec: Spec) -> Made:
        members = ("PolicyName", "PolicyType", "TargetTrackingScalingPolicyConfiguration")
        request = {**_policy_place(spec), **picked(spec.properties, *members)}
        answer = await self.ask(call, "PutScalingPolicy", **request)
        return Made(answer["PolicyARN"], {"Arn": answer["PolicyARN"]})


def _parts(arn: str) -> tuple[str, str]:
    """(service namespace, resource id) in a policy's ARN: ...:resource/dynamodb/table/T:policyName/N"""
    namespace, _, resource = arn.split(":resource/", 1)[1].rpartition(":")[0].partition("/")
    return namespace, resource


def _policy_place(spec: Spec) -> dict[str, str]:
    """A policy names its target by its parts, or by what Ref of a ScalableTarget gives."""
    if target := spec.properties.get("ScalingTargetId"):
        return _place_of(str(target))
    missing = [name for name in _PLACE if name not in spec.properties]
    if missing:
        raise Fault("ValidationError", f"A scaling policy needs ScalingTargetId or {', '.join(missing)}")  # fmt: skip
    return picked(spec.properties, *_PLACE)


RESOURCES = (ScalableTarget(), ScalingPolicy())
