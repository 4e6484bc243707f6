"""CloudFormation types of what serves an API: deployments and stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from stratolite.errors import Fault
from stratolite.service import Call, Made, Request, Spec, created, picked, tag_list
from stratolite.services.apigateway.resource_parts import (
    EMPTY,
    FALSE,
    Part,
    RestType,
    arn_of,
    entry_operations,
    escaped,
    lower,
    replaced,
)


class Deployment(Part):
    """With StageName it makes or moves that stage, and takes it away with itself if it still is the stage's."""

    type = "AWS::ApiGateway::Deployment"
    noun, member, identity = "Deployment", "deploymentId", "DeploymentId"
    create_only = frozenset({"RestApiId", "DeploymentCanarySettings", "StageName"})
    unread = frozenset({"StageName", "StageDescription"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        "DeploymentCanarySettings": EMPTY,
        "StageDescription.AccessLogSetting": EMPTY,
        "StageDescription.CacheClusterEnabled": FALSE,
        "StageDescription.CacheClusterSize": EMPTY,
        "StageDescription.CachingEnabled": FALSE,
        "StageDescription.CanarySetting": EMPTY,
        "StageDescription.ClientCertificateId": EMPTY,
        "StageDescription.DataTraceEnabled": FALSE,
        "StageDescription.DocumentationVersion": EMPTY,
        "StageDescription.LoggingLevel": frozenset({"OFF"}),
        "StageDescription.TracingEnabled": FALSE,
        "StageDescription.MethodSettings.*.CachingEnabled": FALSE,
        "StageDescription.MethodSettings.*.DataTraceEnabled": FALSE,
        "StageDescription.MethodSettings.*.LoggingLevel": frozenset({"OFF"}),
    }

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted, more = spec.properties, spec.properties.get("StageDescription") or {}
        made = await self.ask(
            call,
            "CreateDeployment",
            restApiId=wanted["RestApiId"],
            description=wanted.get("Description"),
            stageName=wanted.get("StageName"),
            stageDescription=more.get("Description"),
            variables=more.get("Variables"),
            StackToken=spec.token,
        )
        if wanted.get("StageName") and more:
            with created(made["id"]):
                await self._describe(call, {"Variables": more.get("Variables")}, spec)
        return self._made(made["id"])

    async def _describe(self, call: Call, old: Request, spec: Spec) -> None:
        """Bring the stage from ``old``, a StageDescription, to the one of ``spec``."""
        wanted = spec.properties
        where = {"restApiId": wanted["RestApiId"], "stageName": wanted["StageName"]}
        new = wanted.get("StageDescription") or {}
        operations = entry_operations("variables", old.get("Variables") or {}, new.get("Variables") or {})  # fmt: skip
        if "Description" in old or "Description" in new:
            operations.append(replaced("/description", new.get("Description", "")))
        operations += _settings(_general(old), _general(new))
        if operations:
            operations = await _still_needed(self, call, where, operations)
            await self.ask(call, "UpdateStage", **where, patchOperations=operations)
        arn = arn_of(call, f"restapis/{where['restApiId']}/stages/{where['stageName']}")
        before, after = (
            {t["Key"]: t["Value"] for t in one.get("Tags") or ()} for one in (old, new)
        )
        if gone := sorted(before.keys() - after.keys()):
            await self.ask(call, "UntagResource", resourceArn=arn, tagKeys=gone)
        if after:
            await self.ask(call, "TagResource", resourceArn=arn, tags=after)

    def _operations(self, old: Request, new: Request) -> list[Request]:
        if old.get("Description") == new.get("Description"):
            return []
        return [replaced("/description", new.get("Description", ""))]

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        before = old.properties.get("StageDescription") or {}
        if new.properties.get("StageName") and before != new.properties.get("StageDescription", {}):
            await self._describe(call, before, new)
        return await super().update(call, physical_id, old, new)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        wanted = spec.properties
        if name := wanted.get("StageName"):
            where = {"restApiId": wanted["RestApiId"], "stageName": name}
            stage = await self.ask_if_there(call, "GetStage", **where)
            if stage is not None and stage["deploymentId"] == physical_id:
                await self.ask_if_there(call, "DeleteStage", **where)
        await super().delete(call, physical_id, spec)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await super().read(call, physical_id, spec)
        return None if found is None else picked(found, "RestApiId", "Description")


class Stage(RestType):
    type = "AWS::ApiGateway::Stage"
    create_only = frozenset({"RestApiId", "StageName"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        "AccessLogSetting": EMPTY,
        "CacheClusterEnabled": FALSE,
        "CacheClusterSize": EMPTY,
        "CanarySetting": EMPTY,
        "ClientCertificateId": EMPTY,
        "DocumentationVersion": EMPTY,
        "TracingEnabled": FALSE,
        "MethodSettings.*.CachingEnabled": FALSE,
        "MethodSettings.*.DataTraceEnabled": FALSE,
        "MethodSettings.*.LoggingLevel": frozenset({"OFF"}),
    }

    def _where(self, physical_id: str, spec: Spec) -> Request:
        return {"restApiId": spec.properties["RestApiId"], "stageName": physical_id}

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = spec.properties
        name = wanted.get("StageName") or spec.generated_name(60)
        where = {"restApiId": wanted["RestApiId"], "stageName": name}
        try:
            await self.ask(
                call,
                "CreateStage",
                **where,
                deploymentId=wanted.get("DeploymentId", ""),
                description=wanted.get("Description"),
                variables=wanted.get("Variables"),
                tags=spec.tags() or None,
            )
        except Fault as fault:
            if fault.code != "ConflictException":
                raise
            found = await self.ask(call, "GetStage", **where)
            if found["deploymentId"] != wanted.get("DeploymentId"):
                raise
        with created(name):
            operations = _settings([], wanted.get("MethodSettings") or [])
            if operations:
                await self.ask(call, "UpdateStage", **where, patchOperations=operations)
        return Made(name)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        before, after = old.properties, new.properties
        operations = entry_operations("variables", before.get("Variables") or {}, after.get("Variables") or {})  # fmt: skip
        if before.get("DeploymentId") != after.get("DeploymentId"):
            operations.append(replaced("/deploymentId", after.get("DeploymentId", "")))
        if before.get("Description") != after.get("Description"):
            operations.append(replaced("/description", after.get("Description", "")))
        operations += _settings(before.get("MethodSettings") or [], after.get("MethodSettings") or [])  # fmt: skip
        where = self._where(physical_id, new)
        if operations:
            operations = await _still_needed(self, call, where, operations)
            await self.ask(call, "UpdateStage", **where, patchOperations=operations)
        place = f"restapis/{where['restApiId']}/stages/{physical_id}"
        await self._retag(call, arn_of(call, place), old, new)
        return Made(physical_id)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteStage", **self._where(physical_id, spec))

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "GetStage", **self._where(physical_id, spec))
        if found is None:
            return None
        made: dict[str, Any] = {
            "RestApiId": spec.properties["RestApiId"],
            "StageName": physical_id,
            "DeploymentId": found["deploymentId"],
            "CacheClusterEnabled": False,
            "TracingEnabled": False,
            "Tags": tag_list(found.get("tags") or {}),
        }
        for name in ("Description", "Variables"):
            if found.get(lower(name)):
                made[name] = found[lower(name)]
        if found["methodSettings"]:
            made["MethodSettings"] = _read_settings(found["methodSettings"], spec)
        return made


async def _still_needed(
    kind: RestType, call: Call, where: Request, operations: list[Request]
) -> list[Request]:
    """Without what would take away something that is gone already, after an attempt before this."""
    found = await kind.ask(call, "GetStage", **where)
    known = {f"/variables/{escaped(name)}" for name in found.get("variables") or {}}
    known |= {_setting_path(key) for key in found["methodSettings"]}
    kept = [o for o in operations if o["op"] != "remove" or o["path"] in known]
    return [
        {**o, "op": "add"} if o["path"].startswith("/variables/") and o["path"] not in known else o
        for o in kept
    ]


def _general(description: Request) -> list[Request]:
    """The MethodSettings of a StageDescription, what it says of all methods among them."""
    names = ("MetricsEnabled", "ThrottlingBurstLimit", "ThrottlingRateLimit", "CacheDataEncrypted", "CacheTtlInSeconds")  # fmt: skip
    general = {"ResourcePath": "/*", "HttpMethod": "*", **picked(description, *names)}
    return [*([general] if len(general) > 2 else []), *(description.get("MethodSettings") or [])]


_SETTINGS = {
    "MetricsEnabled": "metrics/enabled",
    "ThrottlingBurstLimit": "throttling/burstLimit",
    "ThrottlingRateLimit": "throttling/rateLimit",
    "CacheTtlInSeconds": "caching/ttlInSeconds",
    "CacheDataEncrypted": "caching/dataEncrypted",
    "CachingEnabled": "caching/enabled",
    "DataTraceEnabled": "logging/dataTrace",
    "LoggingLevel": "logging/loglevel",
}


def _setting_place(setting: Request) -> str:
    """``/~1pets~1{id}/GET``; ``/*/*`` for all methods."""
    path = str(setting.get("ResourcePath") or "/*")
    verb = setting.get("HttpMethod") or "*"
    if path in ("/*", "*"):
        return f"/*/{verb}"
    return f"/{escaped(path if path.startswith('/') else '/' + path)}/{verb}"


def _setting_path(key: str) -> str:
    """Where the settings under ``pets/{id}/GET`` are taken away."""
    path, _, verb = key.rpartition("/")
    return f"/*/{verb}" if path == "*" else f"/{escaped('/' + path.lstrip('/'))}/{verb}"


def _settings(old: list[Request], new: list[Request]) -> list[Request]:
    before = {_setting_place(one): one for one in old}
    after = {_setting_place(one): one for one in new}
    made: list[Request] = [
        {"op": "remove", "path": place}
        for place, setting in before.items()
        if setting != after.get(place)
    ]
    for place, setting in after.items():
        if before.get(place) == setting:
            continue
        made += [
            replaced(f"{place}/{path}", setting[name])
            for name, path in _SETTINGS.items()
            if name in setting
        ]
    return made


def _read_settings(found: Mapping[str, Any], spec: Spec) -> list[Request]:
    """In the template's order and with the members it states."""
    made = []
    stated = {_setting_place(one): one for one in spec.properties.get("MethodSettings") or []}
    by_place = {_setting_path(key): value for key, value in found.items()}
    for place in (*stated, *(p for p in by_place if p not in stated)):
        if place not in by_place:
            continue
        has, said = by_place[place], stated.get(place)
        names = [n for n in _SETTINGS if said is None or n in said]
        shown = {n: has[lower(n)] for n in names if lower(n) in has}
        where = said or {"ResourcePath": place.rpartition("/")[0], "HttpMethod": place.rpartition("/")[2]}  # fmt: skip
        made.append({**picked(where, "ResourcePath", "HttpMethod"), **shown})
    return made
