"""Applies a template's transforms: macros by Lambda functions, AWS::Include, the language extensions, SAM.

Fn::Transform inside the template first, the innermost before what is around it, each given what stands beside it; then the
template's own Transform, in its order, each given the whole template.
Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-macros-overview.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Call
from stratolite.services.cloudformation import extensions, sam, state
from stratolite.services.cloudformation.intrinsics import Scope, Unknown, resolve
from stratolite.services.cloudformation.places import Misplaced
from stratolite.services.cloudformation.quotas import (
    DEPTH_MAX,
    TRANSFORMS_COUNT_MAX,
)
from stratolite.services.cloudformation.template import SAM
from stratolite.services.cloudformation.template_source import read_object
from stratolite.services.cloudformation.template_text import measure, read_part

INCLUDE = "AWS::Include"


class Transforms:
    """One template's."""

    def __init__(
        self, call: Call, parameters: Mapping[str, Any], values: Mapping[str, str]
    ) -> None:
        """``parameters`` as Ref gives them, pseudo parameters too; ``values`` as they were given."""
        self.call, self.parameters, self.values = call, parameters, values
        self.applied: list[str] = []

    async def apply(self, raw: dict[str, Any]) -> dict[str, Any]:
        """The template with every transform applied. Raises Fault ValidationError."""
        declared = _declared(raw.get("Transform"))
        if len(declared) > TRANSFORMS_COUNT_MAX:
            raise Misplaced(
                f"A template may name {TRANSFORMS_COUNT_MAX} transforms", ("Transform",)
            )
        raw = {key: value for key, value in raw.items() if key != "Transform"}
        if not any(name == extensions.NAME for name, _ in declared):
            extensions.refuse_extensions(
                {k: raw.get(k) or {} for k in ("Conditions", "Resources", "Outputs")}
            )
        raw = await self._inside(raw, 0)
        for name, parameters in declared:
            raw = await self._whole(name, parameters, raw)
        measure(raw)
        return raw

    def _scope(self, raw: Mapping[str, Any]) -> Scope:
        mappings, conditions = raw.get("Mappings") or {}, raw.get("Conditions") or {}
        return Scope(
            self.parameters,
            mappings if isinstance(mappings, dict) else {},
            conditions if isinstance(conditions, dict) else {},
            {},
            lambda _: None,
            lambda _: Unknown(""),  # type: ignore[arg-type,return-value]  # nothing is imported here
        )

    async def _whole(self, name: str, parameters: Any, raw: dict[str, Any]) -> dict[str, Any]:
        self._note(name)
        if name == extensions.NAME:
            scope = self._scope(raw)
            return await asyncio.to_thread(extensions.extend, raw, scope)
        if name == SAM:
            scope = self._scope(raw)
            raw = await sam.locate_applications(self.call, raw, lambda node: resolve(node, scope))
            made = await sam.transform(
                {**raw, "Transform": SAM}, dict(self.values), self.call.region
            )
            made.pop("Transform", None)
            return made
        if name == INCLUDE:
            included = await self._included(parameters, self._scope(raw))
            merged: dict[str, Any] = _merged(raw, included)
            return merged
        made = await self._macro(name, parameters, raw, self._scope(raw))
        if not isinstance(made, dict):
            raise Misplaced("Template format error: unsupported structure.", ("Transform",))
        return {key: value for key, value in made.items() if key != "Transform"}

    async def _inside(self, node: Any, depth: int, top: dict[str, Any] | None = None) -> Any:
        if depth > DEPTH_MAX:
            raise Misplaced("Template format error: the template is nested or repeated too much")
        top = node if top is None else top
        if isinstance(node, list):
            return [await self._inside(item, depth + 1, top) for item in node]
        if not isinstance(node, dict):
            return node
        made: dict[str, Any] = {}
        for key, value in node.items():
            if key != "Fn::Transform":
                try:
                    made[key] = await self._inside(value, depth + 1, top)
                except Misplaced as fault:
                    fault.within(str(key))
                    raise
        if "Fn::Transform" not in node:
            return made
        result: Any = made
        wanted = node["Fn::Transform"]
        for one in wanted if isinstance(wanted, list) else [wanted]:
            if not isinstance(one, dict) or not isinstance(one.get("Name"), str):
                raise Misplaced(
                    "Key Name of transform definition must be a string.", ("Fn::Transform",)
                )
            try:
                result = await self._beside(one["Name"], one.get("Parameters") or {}, result, top)
            except Misplaced as fault:
                if not fault.place:
                    fault.within("Fn::Transform")
                raise
        return result

    async def _beside(self, name: str, parameters: Any, fragment: Any, top: Any) -> Any:
        self._note(name)
        scope = self._scope(top)
        if name == INCLUDE:
            included = await self._included(parameters, scope)
            if isinstance(fragment, dict) and not fragment:
                return included
            return _merged(fragment, included)
        if name in (SAM, extensions.NAME):
            raise Misplaced(f"Fn::Transform {name}: it is a transform of whole templates")
        return await self._macro(name, parameters, fragment, scope)

    def _note(self, name: str) -> None:
        if name not in self.applied:
            self.applied.append(name)

    async def _included(self, parameters: Any, scope: Scope) -> Any:
        location = parameters.get("Location") if isinstance(parameters, dict) else None
        location = resolve(location, scope)
        if not isinstance(location, str):
            raise Misplaced(
                f"Transform {INCLUDE} failed with: The location parameter is not valid."
            )
        try:
            text = await read_object(self.call, location)
        except Fault as fault:
            said = fault.message
            if fault.code == "NoSuchBucket":
                said = f"S3 bucket [{fault.members.get('BucketName', '')}] does not exist."
            raise Misplaced(f"Transform {INCLUDE} failed with: {said}") from fault
        try:
            return await asyncio.to_thread(read_part, text)
        except Fault as fault:
            raise Misplaced(f"Transform {INCLUDE} failed with: {fault.message}") from fault

    async def _macro(self, name: str, parameters: Any, fragment: Any, scope: Scope) -> Any:
        full = f"{self.call.account}::{name}"
        found = await self.call.transact(lambda c: state.macro_of(c.tx, state.rows_of(c), name))
        if found is None:
            raise Misplaced(f"No transform named {full} found.")
        function = found[1]
        event = {
            "accountId": self.call.account,
            "fragment": fragment,
            "transformId": full,
            "requestId": self.call.world.uuid(),
            "region": self.call.region,
            "params": resolve(parameters or {}, scope),
            "templateParameterValues": {
                k: v for k, v in self.parameters.items() if not k.startswith("AWS::")
            },
        }
        try:
            answer = await self.call.request(
                "lambda", "Invoke", {"FunctionName": function, "Payload": orjson.dumps(event)}
            )
        except Fault as fault:
            raise Misplaced(f"Transform {full} failed with: {fault.message}") from fault
        payload = answer.get("Payload") or b""
        if answer.get("FunctionError"):
            raise Misplaced(f"Transform {full} failed without an error message.")
        try:
            said = orjson.loads(payload)
        except orjson.JSONDecodeError:
            said = None
        if (
            not isinstance(said, dict)
            or said.get("requestId") != event["requestId"]
            or not isinstance(said.get("status"), str)
        ):
            raise Misplaced(f"Received malformed response from transform {full}")
        if said["status"].lower() != "success":
            if message := said.get("errorMessage"):
                raise Misplaced(f"Transform {full} failed with: {message}")
            raise Misplaced(f"Transform {full} failed without an error message.")
        if "fragment" not in said:
            raise Misplaced(f"Received malformed response from transform {full}")
        measure(said["fragment"])
        return said["fragment"]


def _declared(value: Any) -> list[tuple[str, Any]]:
    """(name, parameters)"""
    found: list[tuple[str, Any]] = []
    for one in value if isinstance(value, list) else [] if value is None else [value]:
        if isinstance(one, str):
            found.append((one, {}))
        elif isinstance(one, dict) and isinstance(one.get("Name"), str):
            found.append((one["Name"], one.get("Parameters") or {}))
        else:
            raise Misplaced("Key Name of transform definition must be a string.", ("Transform",))
    return found


def _merged(fragment: Any, included: Any) -> Any:
    if not isinstance(fragment, dict) or not isinstance(included, dict):
        return included
    merged = {**fragment, **included}
    for key, value in included.items():
        if isinstance(fragment.get(key), dict) and isinstance(value, dict):
            merged[key] = {**fragment[key], **value}
    return merged
