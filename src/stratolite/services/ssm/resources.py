"""CloudFormation type of the Parameter Store: Parameter."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, ClassVar

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource, Spec, tag_list

_NONE = "[{}]"
"""Policies that take all of them away."""


class Parameter(Resource):
    type = "AWS::SSM::Parameter"
    service = "ssm"
    gone = frozenset({"ParameterNotFound", "InvalidResourceId"})
    create_only = frozenset({"Name"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        "DataType": frozenset({"text"}),
    }

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = spec.properties
        name = wanted.get("Name") or spec.generated_name(255)
        tags = tag_list(wanted.get("Tags") or {}) or None
        try:
            await self.ask(call, "PutParameter", Name=name, Tags=tags, **_asked(wanted))
        except Fault as fault:
            if fault.code != "ParameterAlreadyExists" or wanted.get("Name"):
                raise
        return self._made(name, wanted)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        asked = {"Description": "", "AllowedPattern": ""} | _asked(new.properties)
        if "Policies" in old.properties:
            asked = {"Policies": _NONE} | asked
        await self.ask(call, "PutParameter", Name=physical_id, Overwrite=True, **asked)
        before, after = old.properties.get("Tags") or {}, new.properties.get("Tags") or {}
        place = {"ResourceType": "Parameter", "ResourceId": physical_id}
        if gone := [key for key in before if key not in after]:
            await self.ask(call, "RemoveTagsFromResource", TagKeys=gone, **place)
        if after:
            await self.ask(call, "AddTagsToResource", Tags=tag_list(after), **place)
        return self._made(physical_id, new.properties)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteParameter", Name=physical_id)

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        return await self.page_of(call, "DescribeParameters", "Parameters", "Name", token)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "GetParameter", Name=physical_id)
        if found is None:
            return None
        listed = await self.ask(
            call,
            "DescribeParameters",
            ParameterFilters=[{"Key": "Name", "Option": "Equals", "Values": [physical_id]}],
        )
        about = listed["Parameters"][0]
        read = {"Name": physical_id, "Type": about["Type"], "Value": found["Parameter"]["Value"]}
        read |= {m: about[m] for m in ("Description", "AllowedPattern", "Tier", "DataType") if m in about}  # fmt: skip
        if ruled := [orjson.loads(policy["PolicyText"]) for policy in about["Policies"]]:
            read["Policies"] = _in_their_words(ruled, spec.properties.get("Policies"))
        tags = await self.ask(
            call, "ListTagsForResource", ResourceType="Parameter", ResourceId=physical_id
        )
        held = {t["Key"]: t["Value"] for t in tags["TagList"]}
        return read | ({"Tags": held} if held else {})

    def _made(self, name: str, wanted: dict[str, Any]) -> Made:
        return Made(name, {"Type": wanted["Type"], "Value": wanted["Value"]})


def _asked(wanted: dict[str, Any]) -> dict[str, Any]:
    members = ("Type", "Value", "Description", "AllowedPattern", "Tier", "DataType", "Policies")
    return {m: wanted[m] for m in members if m in wanted}


def _in_their_words(ruled: list[Any], stated: Any) -> str:
    """The policies as the template writes them, if they are those."""
    with contextlib.suppress(orjson.JSONDecodeError, TypeError):
        if orjson.loads(stated) == ruled:
            return str(stated)
    return orjson.dumps(ruled).decode()


RESOURCES = (Parameter(),)
