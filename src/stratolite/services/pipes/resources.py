"""CloudFormation type of pipes: Pipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource, Spec, picked
from stratolite.services.pipes import checks

_ASKED = (
    "Description", "DesiredState", "SourceParameters", "Enrichment", "EnrichmentParameters", "Target", "TargetParameters", "RoleArn", "LogConfiguration",
    "KmsKeyIdentifier",
)  # fmt: skip
_NOT_OFFERED = (
    "SourceParameters.ActiveMQBrokerParameters", "SourceParameters.ManagedStreamingKafkaParameters",
    "SourceParameters.RabbitMQBrokerParameters", "SourceParameters.SelfManagedKafkaParameters",
    "TargetParameters.BatchJobParameters", "TargetParameters.EcsTaskParameters",
    "TargetParameters.RedshiftDataParameters", "TargetParameters.SageMakerPipelineParameters",
    "TargetParameters.EventBridgeEventBusParameters.EndpointId", "TargetParameters.TimestreamParameters",
)  # fmt: skip


class Pipe(Resource):
    type = "AWS::Pipes::Pipe"
    service = "pipes"
    gone = frozenset({"NotFoundException"})
    create_only = frozenset({"Name", "Source"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        **dict.fromkeys(_NOT_OFFERED, frozenset({""})),
        **{f"SourceParameters.{name}": frozenset({""}) for name in checks.SOURCES_NOT_OFFERED},
        **{f"TargetParameters.{name}": frozenset({""}) for name in checks.TARGETS_NOT_OFFERED},
    }
    values: ClassVar[Mapping[str, Callable[[Any], object]]] = {
        "Source": checks.check_source_arn,
        "SourceParameters.FilterCriteria.Filters.*.Pattern": checks.check_filter,
        "Enrichment": checks.check_enrichment,
        "Target": checks.check_target_arn,
    }

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = spec.properties
        name = wanted.get("Name") or spec.generated_name(64)
        await self.ask(
            call,
            "CreatePipe",
            Name=name,
            Source=wanted["Source"],
            Tags=wanted.get("Tags"),
            StackToken=spec.token,
            **picked(wanted, *_ASKED),
        )
        return await self._made(call, name)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        asked = {"Description": ""} | picked(new.properties, *_ASKED)
        if "Enrichment" in old.properties and "Enrichment" not in new.properties:
            asked["Enrichment"] = ""
        if "KmsKeyIdentifier" in old.properties and "KmsKeyIdentifier" not in new.properties:
            asked["KmsKeyIdentifier"] = ""
        if "LogConfiguration" in old.properties and "LogConfiguration" not in new.properties:
            asked["LogConfiguration"] = {"Level": "OFF"}  # left out, it would go on as it is
        await self.ask(call, "UpdatePipe", Name=physical_id, **asked)
        made = await self._made(call, physical_id)
        before, after = old.properties.get("Tags") or {}, new.properties.get("Tags") or {}
        if gone := [key for key in before if key not in after]:
            await self.ask(call, "UntagResource", resourceArn=made.attributes["Arn"], tagKeys=gone)
        if after:
            await self.ask(call, "TagResource", resourceArn=made.attributes["Arn"], tags=after)
        return made

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        try:
            await self.ask_if_there(call, "DeletePipe", Name=physical_id)
        except Fault as fault:
            if fault.code != "ConflictException":  # it is being deleted already
                raise

    async def deleted(self, call: Call, physical_id: str, spec: Spec) -> bool:
        return await self.ask_if_there(call, "DescribePipe", Name=physical_id) is None

    async def stabilise(self, call: Call, physical_id: str, spec: Spec) -> bool:
        found = await self.ask(call, "DescribePipe", Name=physical_id)
        if found["CurrentState"].endswith("_FAILED"):
            raise Fault("ValidationException", str(found.get("StateReason", found["CurrentState"])))
        return bool(found["CurrentState"] == found["DesiredState"])

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        return await self.page_of(call, "ListPipes", "Pipes", "Name", token)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "DescribePipe", Name=physical_id)
        if found is None or found["DesiredState"] == "DELETED":
            return None
        return picked(found, "Name", "Source", "Tags", *_ASKED)

    async def _made(self, call: Call, name: str) -> Made:
        found = await self.ask(call, "DescribePipe", Name=name)
        return Made(name, {"Arn": found["Arn"], "CurrentState": found["CurrentState"]})


RESOURCES = (Pipe(),)
