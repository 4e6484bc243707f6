"""What CloudFormation types of REST APIs share: asking the service, patch operations, parts of an API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from stratolite.service import Call, Made, Request, Resource, Spec

EMPTY = frozenset({""})
FALSE = frozenset({"false"})


def replaced(path: str, value: Any) -> Request:
    if isinstance(value, bool):
        value = "true" if value else "false"
    return {"op": "replace", "path": path, "value": str(value)}


def escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


def lower(name: str) -> str:
    return name[:1].lower() + name[1:]


def entry_operations(member: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Request]:
    """Patch operations that make the map ``old`` into ``new``."""
    gone = [{"op": "remove", "path": f"/{member}/{escaped(key)}"} for key in old if key not in new]
    changed = [
        {**replaced(f"/{member}/{escaped(key)}", value), "op": "replace" if key in old else "add"}
        for key, value in new.items()
        if old.get(key) != value
    ]
    return gone + changed


class RestType(Resource):
    service = "apigateway"
    gone = frozenset({"NotFoundException"})

    async def _all(self, call: Call, operation: str, **request: Any) -> list[Any]:
        return await self.every(call, operation, "items", cursor="position", **request)

    async def _page(
        self, call: Call, operation: str, name: str, token: str
    ) -> tuple[list[str], str]:
        return await self.page_of(
            call, operation, "items", name, token, cursor=("position", "position")
        )

    async def _retag(self, call: Call, arn: str, old: Spec, new: Spec) -> None:
        tags = new.tags()
        if gone := sorted(old.tags().keys() - tags.keys()):
            await self.ask(call, "UntagResource", resourceArn=arn, tagKeys=gone)
        if tags:
            await self.ask(call, "TagResource", resourceArn=arn, tags=tags)


def arn_of(call: Call, path: str) -> str:
    return f"arn:aws:apigateway:{call.region}::/{path}"


def upper(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name[:1].upper() + name[1:]: value for name, value in record.items()}


class Part(RestType):
    """Something with an id of its own in an API."""

    noun: ClassVar[str]
    member: ClassVar[str]
    """Its id in requests."""
    identity: ClassVar[str]
    """Its id among GetAtt's attributes."""
    create_only = frozenset({"RestApiId"})

    def _request(self, wanted: Request) -> Request:
        return {lower(name): value for name, value in wanted.items()}

    def _operations(self, old: Request, new: Request) -> list[Request]:
        raise NotImplementedError

    async def create(self, call: Call, spec: Spec) -> Made:
        request = self._request(spec.properties)
        made = await self.ask(call, f"Create{self.noun}", **request, StackToken=spec.token)
        return self._made(made["id"])

    def _made(self, physical_id: str) -> Made:
        return Made(physical_id, {self.identity: physical_id})

    def physical_id_of(self, identifier: Mapping[str, Any]) -> str:
        return str(identifier[self.identity])

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        operations = self._operations(old.properties, new.properties)
        if operations:
            where = self._where(physical_id, new)
            await self.ask(call, f"Update{self.noun}", **where, patchOperations=operations)
        return self._made(physical_id)

    def _where(self, physical_id: str, spec: Spec) -> Request:
        return {"restApiId": spec.properties["RestApiId"], self.member: physical_id}

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, f"Delete{self.noun}", **self._where(physical_id, spec))

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, f"Get{self.noun}", **self._where(physical_id, spec))
        if found is None:
            return None
        made = {name[:1].upper() + name[1:]: value for name, value in found.items() if name != "id"}
        return {**made, "RestApiId": spec.properties["RestApiId"]}

    async def adopt(self, call: Call, physical_id: str, spec: Spec) -> Made:
        return self._made(physical_id)
