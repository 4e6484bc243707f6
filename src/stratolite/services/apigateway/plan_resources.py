"""CloudFormation types of API keys and usage plans."""

from __future__ import annotations

from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Made, Request, Spec, tag_list
from stratolite.services.apigateway.resource_parts import (
    RestType,
    arn_of,
    escaped,
    lower,
    replaced,
    upper,
)


class ApiKey(RestType):
    type = "AWS::ApiGateway::ApiKey"
    create_only = frozenset({"Name", "Value", "GenerateDistinctId"})
    unread = frozenset({"Value"})

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = spec.properties
        made = await self.ask(
            call,
            "CreateApiKey",
            name=wanted.get("Name") or spec.generated_name(60),
            description=wanted.get("Description"),
            enabled=bool(wanted.get("Enabled")),
            value=wanted.get("Value"),
            customerId=wanted.get("CustomerId"),
            stageKeys=[
                {"restApiId": one["RestApiId"], "stageName": one.get("StageName")}
                for one in wanted.get("StageKeys") or ()
            ],
            tags=spec.tags() or None,
            StackToken=spec.token,
        )
        return Made(made["id"], {"APIKeyId": made["id"]})

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        before, after = old.properties, new.properties
        operations = [
            replaced(f"/{lower(name)}", after.get(name, "" if name != "Enabled" else False))
            for name in ("Description", "Enabled", "CustomerId")
            if before.get(name) != after.get(name)
        ]
        stages = [f"{s['RestApiId']}/{s.get('StageName')}" for s in after.get("StageKeys") or ()]
        found = await self.ask(call, "GetApiKey", apiKey=physical_id)
        operations += [
            {"op": "remove", "path": "/stages", "value": stage}
            for stage in found["stageKeys"]
            if stage not in stages
        ]
        operations += [
            {"op": "add", "path": "/stages", "value": s}
            for s in stages
            if s not in found["stageKeys"]
        ]
        if operations:
            await self.ask(call, "UpdateApiKey", apiKey=physical_id, patchOperations=operations)
        await self._retag(call, arn_of(call, f"apikeys/{physical_id}"), old, new)
        return Made(physical_id, {"APIKeyId": physical_id})

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteApiKey", apiKey=physical_id)

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        return await self._page(call, "GetApiKeys", "id", token)

    async def adopt(self, call: Call, physical_id: str, spec: Spec) -> Made:
        return Made(physical_id, {"APIKeyId": physical_id})

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "GetApiKey", apiKey=physical_id)
        if found is None:
            return None
        made = {"Enabled": found["enabled"], "Tags": tag_list(found.get("tags") or {})}
        for name in ("Name", "Description", "CustomerId"):
            if found.get(lower(name)):
                made[name] = found[lower(name)]
        if found["stageKeys"]:
            pairs = [stage.split("/") for stage in found["stageKeys"]]
            made["StageKeys"] = [{"RestApiId": api, "StageName": name} for api, name in pairs]
        return made


class UsagePlan(RestType):
    type = "AWS::ApiGateway::UsagePlan"

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = spec.properties
        made = await self.ask(
            call,
            "CreateUsagePlan",
            name=wanted.get("UsagePlanName") or spec.generated_name(60),
            description=wanted.get("Description"),
            apiStages=[_api_stage(one) for one in wanted.get("ApiStages") or ()],
            throttle=_throttle(wanted.get("Throttle")),
            quota=_quota(wanted.get("Quota")),
            tags=spec.tags() or None,
            StackToken=spec.token,
        )
        return Made(made["id"], {"Id": made["id"]})

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        found = await self.ask(call, "GetUsagePlan", usagePlanId=physical_id)
        operations = self._operations(found, new.properties)
        if operations:
            await self.ask(
                call, "UpdateUsagePlan", usagePlanId=physical_id, patchOperations=operations
            )
        await self._retag(call, arn_of(call, f"usageplans/{physical_id}"), old, new)
        return Made(physical_id, {"Id": physical_id})

    def _operations(self, found: Request, wanted: Request) -> list[Request]:
        made: list[Request] = []
        if wanted.get("UsagePlanName"):
            made.append(replaced("/name", wanted["UsagePlanName"]))
        made.append(replaced("/description", wanted.get("Description", "")))
        for name, limits in (("quota", _quota(wanted.get("Quota"))), ("throttle", _throttle(wanted.get("Throttle")))):  # fmt: skip
            if limits:
                made += [replaced(f"/{name}/{key}", value) for key, value in limits.items()]
            elif found.get(name):
                made.append({"op": "remove", "path": f"/{name}"})
        should = [_api_stage(one) for one in wanted.get("ApiStages") or ()]
        for stage in found["apiStages"]:
            if stage not in should:
                place = f"{stage['apiId']}:{stage['stage']}"
                made.append({"op": "remove", "path": "/apiStages", "value": place})
        for stage in should:
            if stage in found["apiStages"]:
                continue
            place = f"{stage['apiId']}:{stage['stage']}"
            made.append({"op": "add", "path": "/apiStages", "value": place})
            for method, throttle in (stage.get("throttle") or {}).items():
                start = f"/apiStages/{place}/throttle/{escaped(method)}"
                made += [replaced(f"{start}/{key}", value) for key, value in throttle.items()]
        return made

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        found = await self.ask_if_there(call, "GetUsagePlan", usagePlanId=physical_id)
        if found is None:
            return
        operations = [
            {"op": "remove", "path": "/apiStages", "value": f"{s['apiId']}:{s['stage']}"}
            for s in found["apiStages"]
        ]
        if operations:
            await self.ask(
                call, "UpdateUsagePlan", usagePlanId=physical_id, patchOperations=operations
            )
        await self.ask_if_there(call, "DeleteUsagePlan", usagePlanId=physical_id)

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        return await self._page(call, "GetUsagePlans", "id", token)

    async def adopt(self, call: Call, physical_id: str, spec: Spec) -> Made:
        return Made(physical_id, {"Id": physical_id})

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "GetUsagePlan", usagePlanId=physical_id)
        if found is None:
            return None
        made: dict[str, Any] = {
            "UsagePlanName": found["name"],
            "Tags": tag_list(found.get("tags") or {}),
        }
        if found.get("description"):
            made["Description"] = found["description"]
        if found["apiStages"]:
            made["ApiStages"] = [
                {
                    "ApiId": one["apiId"],
                    "Stage": one["stage"],
                    **(
                        {"Throttle": {m: upper(t) for m, t in one["throttle"].items()}}
                        if one.get("throttle")
                        else {}
                    ),
                }
                for one in found["apiStages"]
            ]
        for name in ("Throttle", "Quota"):
            if found.get(lower(name)):
                made[name] = upper(found[lower(name)])
        return made


def _api_stage(one: Request) -> Request:
    made = {"apiId": one.get("ApiId"), "stage": one.get("Stage")}
    if one.get("Throttle"):
        made["throttle"] = {method: _throttle(limits) for method, limits in one["Throttle"].items()}
    return made


def _throttle(limits: Request | None) -> Request | None:
    return {lower(name): value for name, value in limits.items()} if limits else None


def _quota(quota: Request | None) -> Request | None:
    return {"offset": 0, **{lower(n): v for n, v in quota.items()}} if quota else None


class UsagePlanKey(RestType):
    """Physical id KEY:PLAN, as Ref gives it."""

    type = "AWS::ApiGateway::UsagePlanKey"
    create_only = frozenset({"KeyId", "KeyType", "UsagePlanId"})

    def _where(self, physical_id: str) -> Request:
        key, plan = physical_id.split(":")
        return {"usagePlanId": plan, "keyId": key}

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = spec.properties
        physical_id = f"{wanted['KeyId']}:{wanted['UsagePlanId']}"
        try:
            await self.ask(
                call,
                "CreateUsagePlanKey",
                usagePlanId=wanted["UsagePlanId"],
                keyId=wanted["KeyId"],
                keyType=wanted["KeyType"],
            )
        except Fault as fault:
            there = await self.ask_if_there(call, "GetUsagePlanKey", **self._where(physical_id))
            if fault.code != "ConflictException" or there is None:
                raise
        return Made(physical_id, {"Id": physical_id})

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteUsagePlanKey", **self._where(physical_id))

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        where = self._where(physical_id)
        found = await self.ask_if_there(call, "GetUsagePlanKey", **where)
        if found is None:
            return None
        return {"KeyId": found["id"], "KeyType": "API_KEY", "UsagePlanId": where["usagePlanId"]}
