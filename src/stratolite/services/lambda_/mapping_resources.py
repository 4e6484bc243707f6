"""CloudFormation's AWS::Lambda::EventSourceMapping."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource, Spec, created, picked
from stratolite.services.lambda_ import mapping_settings

_SAME = (
    "BatchSize", "BisectBatchOnFunctionError", "DestinationConfig", "Enabled", "FilterCriteria", "FunctionName",
    "FunctionResponseTypes", "KmsKeyArn", "MaximumBatchingWindowInSeconds", "MaximumRecordAgeInSeconds", "MaximumRetryAttempts",
    "MetricsConfig", "ParallelizationFactor", "ProvisionedPollerConfig", "ScalingConfig", "TumblingWindowInSeconds",
)  # fmt: skip
_DEFAULTS: dict[str, Any] = {
    "BatchSize": None,
    "BisectBatchOnFunctionError": False,
    "DestinationConfig": {"OnFailure": {}},
    "Enabled": True,
    "FilterCriteria": {},
    "FunctionResponseTypes": [],
    "MaximumBatchingWindowInSeconds": 0,
    "MetricsConfig": {},
    "MaximumRecordAgeInSeconds": -1,
    "MaximumRetryAttempts": -1,
    "ParallelizationFactor": 1,
    "ProvisionedPollerConfig": {},
    "ScalingConfig": {},
    "TumblingWindowInSeconds": 0,
}
"""What a property that a template no longer has goes back to."""


class EventSourceMapping(Resource):
    type = "AWS::Lambda::EventSourceMapping"
    service = "lambda"
    create_only = frozenset({"EventSourceArn", "StartingPosition", "StartingPositionTimestamp"})
    properties: ClassVar[frozenset[str] | None] = frozenset(
        {*_SAME, "EventSourceArn", "StartingPosition", "StartingPositionTimestamp", "Tags"}
    )

    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        "ProvisionedPollerConfig.PollerGroupName": frozenset({""}),
    }
    values: ClassVar[Mapping[str, Callable[[Any], object]]] = {
        "EventSourceArn": mapping_settings.source,
        "FilterCriteria": mapping_settings.filters,
    }

    async def create(self, call: Call, spec: Spec) -> Made:
        props = spec.properties
        ask = _asked(picked(props, *_SAME, "EventSourceArn", "StartingPosition"))
        if "StartingPositionTimestamp" in props:
            ask["StartingPositionTimestamp"] = float(props["StartingPositionTimestamp"])
        if tags := spec.tags():
            ask["Tags"] = tags
        try:
            made = await self.ask(call, "CreateEventSourceMapping", **ask)
        except Fault as fault:
            if fault.code != "ResourceConflictException":
                raise
            found = await self._own(call, props)
            if found is None:
                raise
            made = found  # an earlier attempt made it
        with created(made["UUID"]):
            return _made(made)

    async def _own(self, call: Call, props: dict[str, Any]) -> dict[str, Any] | None:
        """Ours from an attempt before a crash: of this source and function, made just now."""
        found = await self.every(
            call, "ListEventSourceMappings", "EventSourceMappings", cursor="Marker",
            EventSourceArn=props["EventSourceArn"], FunctionName=props["FunctionName"],
        )  # fmt: skip
        now_s = call.world.cloud()
        return next((m for m in found if now_s - m["LastModified"] < 60), None)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        props = new.properties
        ask = _asked(picked(props, *_SAME))
        for name in old.properties.keys() - props.keys():
            if name == "KmsKeyArn":
                ask["KMSKeyArn"] = ""
            elif name in _DEFAULTS and _DEFAULTS[name] is not None:
                ask[name] = _DEFAULTS[name]
        made = await self.ask(call, "UpdateEventSourceMapping", UUID=physical_id, **ask)
        arn, tags = made["EventSourceMappingArn"], new.tags()
        if gone := sorted(old.tags().keys() - tags.keys()):
            await self.ask(call, "UntagResource", Resource=arn, TagKeys=gone)
        if tags:
            await self.ask(call, "TagResource", Resource=arn, Tags=tags)
        return _made(made)

    async def stabilise(self, call: Call, physical_id: str, spec: Spec) -> bool:
        found = await self.ask(call, "GetEventSourceMapping", UUID=physical_id)
        return found["State"] in ("Enabled", "Disabled")

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteEventSourceMapping", UUID=physical_id)

    async def deleted(self, call: Call, physical_id: str, spec: Spec) -> bool:
        return await self.ask_if_there(call, "GetEventSourceMapping", UUID=physical_id) is None

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "GetEventSourceMapping", UUID=physical_id)
        if found is None:
            return None
        props = picked(found, *_SAME, "EventSourceArn", "StartingPosition")
        if "KMSKeyArn" in found:
            props["KmsKeyArn"] = found["KMSKeyArn"]
        if "StartingPositionTimestamp" in found:
            props["StartingPositionTimestamp"] = found["StartingPositionTimestamp"]
        given = spec.properties.get("FunctionName", "")
        is_name = given and not str(given).startswith("arn:")
        props["FunctionName"] = given if is_name else found["FunctionArn"]
        props["Enabled"] = found["State"] not in ("Disabled", "Disabling")
        listed = await self.ask(call, "ListTags", Resource=found["EventSourceMappingArn"])
        if listed.get("Tags"):
            props["Tags"] = [{"Key": k, "Value": v} for k, v in sorted(listed["Tags"].items())]
        return props

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        more = {"Marker": token} if token else {}
        page = await self.ask(call, "ListEventSourceMappings", **more)
        return [m["UUID"] for m in page["EventSourceMappings"]], page.get("NextMarker", "")


def _asked(props: dict[str, Any]) -> dict[str, Any]:
    """A key is spelt otherwise in the API."""
    key = props.pop("KmsKeyArn", None)
    return props if key is None else {**props, "KMSKeyArn": key}


def _made(mapping: dict[str, Any]) -> Made:
    uuid, arn = mapping["UUID"], mapping["EventSourceMappingArn"]
    return Made(uuid, {"Id": uuid, "EventSourceMappingArn": arn})
