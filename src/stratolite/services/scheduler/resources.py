"""CloudFormation types of the scheduler: Schedule, ScheduleGroup."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from stratolite.service import Call, Made, Resource, Spec, picked
from stratolite.services.scheduler import checks

_MEMBERS = (
    "GroupName", "ScheduleExpression", "ScheduleExpressionTimezone", "Description", "State", "FlexibleTimeWindow", "Target", "KmsKeyArn",
)  # fmt: skip


class Schedule(Resource):
    type = "AWS::Scheduler::Schedule"
    create_only = frozenset({"Name"})
    service = "scheduler"
    unread = frozenset({"StartDate", "EndDate"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        f"Target.{member}": frozenset({""}) for member in checks.NOT_OFFERED
    }
    values: ClassVar[Mapping[str, Callable[[Any], object]]] = {
        "ScheduleExpression": lambda text: checks.table_of({"ScheduleExpression": text}),
        "ScheduleExpressionTimezone": checks.zone_of,
        "Target.Arn": checks.check_target_arn,
    }

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        group = spec.properties.get("GroupName")
        found = await self.ask_if_there(call, "GetSchedule", Name=physical_id, GroupName=group)
        return None if found is None else dict(found)

    async def create(self, call: Call, spec: Spec) -> Made:
        name = spec.properties.get("Name") or spec.generated_name(64)
        request = self._request(name, spec) | {"ClientToken": spec.token[-64:]}
        answer = await self.ask(call, "CreateSchedule", **request)
        return Made(name, {"Arn": answer["ScheduleArn"]})

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        moved = old.properties.get("GroupName") != new.properties.get("GroupName")
        if moved:
            answer = await self.ask(
                call,
                "CreateSchedule",
                **self._request(physical_id, new),
                ClientToken=new.token[-64:],
            )
            await self.delete(call, physical_id, old)
        else:
            answer = await self.ask(call, "UpdateSchedule", **self._request(physical_id, new))
        return Made(physical_id, {"Arn": answer["ScheduleArn"]})

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        group = spec.properties.get("GroupName")
        await self.ask_if_there(call, "DeleteSchedule", Name=physical_id, GroupName=group)

    def _request(self, name: str, spec: Spec) -> dict[str, Any]:
        wanted = spec.properties
        request = {"Name": name} | picked(wanted, *_MEMBERS)
        for member in ("StartDate", "EndDate"):
            if text := wanted.get(member):
                request[member] = datetime.fromisoformat(str(text)).timestamp()  # fmt: skip
        return request


class ScheduleGroup(Resource):
    type = "AWS::Scheduler::ScheduleGroup"
    create_only = frozenset({"Name"})
    service = "scheduler"

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        return await self.page_of(call, "ListScheduleGroups", "ScheduleGroups", "Name", token)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "GetScheduleGroup", Name=physical_id)
        if found is None:
            return None
        tags = await self.ask(call, "ListTagsForResource", ResourceArn=found["Arn"])
        return {"Name": physical_id, "Tags": tags.get("Tags") or []}

    async def create(self, call: Call, spec: Spec) -> Made:
        name = spec.properties.get("Name") or spec.generated_name(64)
        await self.ask(
            call, "CreateScheduleGroup", Name=name, Tags=_tags(spec), ClientToken=spec.token[-64:]
        )
        return await self._made(call, name)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        made = await self._made(call, physical_id)
        arn, after = made.attributes["Arn"], _tags(new)
        gone = {t["Key"] for t in _tags(old)} - {t["Key"] for t in after}
        if gone:
            await self.ask(call, "UntagResource", ResourceArn=arn, TagKeys=sorted(gone))
        if after:
            await self.ask(call, "TagResource", ResourceArn=arn, Tags=after)
        return made

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteScheduleGroup", Name=physical_id)

    async def _made(self, call: Call, name: str) -> Made:
        found = await self.ask(call, "GetScheduleGroup", Name=name)
        return Made(name, {"Arn": found["Arn"], "State": found["State"]})


def _tags(spec: Spec) -> list[dict[str, str]]:
    return [{"Key": t["Key"], "Value": str(t["Value"])} for t in spec.properties.get("Tags") or ()]


RESOURCES = (Schedule(), ScheduleGroup())
