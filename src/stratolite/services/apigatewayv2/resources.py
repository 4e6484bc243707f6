"""CloudFormation types of HTTP APIs: Api, Stage, Route, Integration, Deployment."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from stratolite.errors import Fault
from stratolite.service import Call, Made, Request, Resource, Spec, created, picked
from stratolite.services.apigatewayv2 import openapi

_MADE_BY = "stratolite:made-by"
_NOTHING = frozenset({""})


class _Type(Resource):
    service = "apigatewayv2"
    gone = frozenset({"NotFoundException"})

    async def _retag(self, call: Call, place: str, old: Spec, new: Spec) -> None:
        """``place`` is what stands in the ARN behind /apis/."""
        arn = f"arn:aws:apigateway:{call.region}::/apis/{place}"
        tags = new.properties.get("Tags", {})
        if gone := sorted(old.properties.get("Tags", {}).keys() - tags.keys()):
            await self.ask(call, "UntagResource", ResourceArn=arn, TagKeys=gone)
        if tags:
            await self.ask(call, "TagResource", ResourceArn=arn, Tags=tags)


class Api(_Type):
    """A repeat of ``create`` finds its own API by a tag, since API names are not unique."""

    type = "AWS::ApiGatewayV2::Api"
    create_only = frozenset({"ProtocolType"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        **dict.fromkeys(
            (
                "ApiKeySelectionExpression", "BasePath", "BodyS3Location", "CredentialsArn",
                "RouteKey", "Target",
            ),
            frozenset({""}),
        ),
        "DisableSchemaValidation": frozenset({"false"}),
        "FailOnWarnings": frozenset({"false"}),
        "RouteSelectionExpression": frozenset({"$request.method $request.path"}),
        "IpAddressType": frozenset({"ipv4"}),
        "ProtocolType": frozenset({"HTTP"}),
    }  # fmt: skip
    values: ClassVar[Mapping[str, Callable[[Any], object]]] = {"Body": openapi.read}
    stand_ins: ClassVar[Mapping[str, str | None]] = {"Body": "later"}

    def _members(self, wanted: Request) -> dict[str, Any]:
        found: Request = {k: wanted[k] for k in ("Name", "Description", "Version") if k in wanted}
        for name in ("CorsConfiguration", "DisableExecuteApiEndpoint"):
            if name in wanted:
                found[name] = wanted[name]
        return found

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = spec.properties
        for api in await self.every(call, "GetApis", "Items"):
            if api.get("Tags", {}).get(_MADE_BY) == spec.token:
                return await self._bring_up_to_date(call, api["ApiId"], spec)
        protocol = wanted.get("ProtocolType", "HTTP")
        name = wanted.get("Name") or spec.stack_name
        tags = wanted.get("Tags", {}) | {_MADE_BY: spec.token}
        made = await self.ask(call, "CreateApi", Name=name, ProtocolType=protocol, Tags=tags)
        with created(made["ApiId"]):
            return await self._bring_up_to_date(call, made["ApiId"], spec)

    async def _bring_up_to_date(self, call: Call, api: str, spec: Spec) -> Made:
        if spec.properties.get("Body"):
            body = spec.properties["Body"]
            text = body if isinstance(body, str) else json.dumps(body)
            await self.ask(call, "ReimportApi", ApiId=api, Body=text)
        members = self._members(spec.properties)
        if members:
            await self.ask(call, "UpdateApi", ApiId=api, **members)
        return Made(
            api,
            {"ApiId": api, "ApiEndpoint": f"https://{api}.execute-api.{call.region}.amazonaws.com"},
        )

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        if "CorsConfiguration" in old.properties and "CorsConfiguration" not in new.properties:
            await self.ask(call, "DeleteCorsConfiguration", ApiId=physical_id)
        made = await self._bring_up_to_date(call, physical_id, new)
        await self._retag(call, physical_id, old, new)
        return made

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteApi", ApiId=physical_id)

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        return await self.page_of(call, "GetApis", "Items", "ApiId", token)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "GetApi", ApiId=physical_id)
        if found is None:
            return None
        names = (
            "CorsConfiguration", "Description", "DisableExecuteApiEndpoint", "IpAddressType", "Name", "ProtocolType",
            "RouteSelectionExpression", "Version",
        )  # fmt: skip
        made = {"IpAddressType": "ipv4"} | picked(found, *names)
        tags = found.get("Tags") or {}
        return {**made, "Tags": {k: v for k, v in tags.items() if k != _MADE_BY}}


class Stage(_Type):
    type = "AWS::ApiGatewayV2::Stage"
    create_only = frozenset({"ApiId", "StageName"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = dict.fromkeys(
        (
            "AccessLogSettings",
            "ClientCertificateId",
            "RouteSettings",
            "DefaultRouteSettings.ThrottlingBurstLimit",
            "DefaultRouteSettings.ThrottlingRateLimit",
        ),
        _NOTHING,
    )

    def _request(self, wanted: Request) -> dict[str, Any]:
        if wanted.get("AccessPolicyId"):
            raise Fault(
                "BadRequestException",
                f"{self.type} AccessPolicyId is not offered by Stratolite yet",
            )
        return dict(wanted)

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = self._request(spec.properties)
        try:
            await self.ask(call, "CreateStage", **wanted)
        except Fault as fault:
            if fault.code != "ConflictException":
                raise
            found = await self.ask(
                call, "GetStage", ApiId=wanted["ApiId"], StageName=wanted["StageName"]
            )
            if {k: found.get(k) for k in wanted if k != "ApiId"} != {
                k: v for k, v in wanted.items() if k != "ApiId"
            }:
                raise
        return Made(wanted["StageName"])

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        members = {k: v for k, v in self._request(new.properties).items() if k != "Tags"}
        for name, empty in (("StageVariables", {}), ("Description", ""), ("AutoDeploy", False)):
            if name in old.properties:
                members.setdefault(name, empty)
        await self.ask(call, "UpdateStage", **members)
        await self._retag(call, f"{new.properties['ApiId']}/stages/{physical_id}", old, new)
        return Made(physical_id)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        api = spec.properties["ApiId"]
        await self.ask_if_there(call, "DeleteStage", ApiId=api, StageName=physical_id)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        api = spec.properties["ApiId"]
        found = await self.ask_if_there(call, "GetStage", ApiId=api, StageName=physical_id)
        return None if found is None else {**found, "ApiId": api}


class _Part(_Type):
    """Something with an id of its own under an API."""

    noun: ClassVar[str]
    unset: ClassVar[Request] = {}
    """What a property that a template no longer has goes back to."""
    create_only = frozenset({"ApiId"})

    def _same(self, found: dict[str, Any], wanted: Request) -> bool:
        raise NotImplementedError

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted, member = spec.properties, f"{self.noun}Id"
        for found in await self.every(call, f"Get{self.noun}s", "Items", ApiId=wanted["ApiId"]):
            if self._same(found, wanted):
                return self._made(found[member])
        made = await self.ask(call, f"Create{self.noun}", **wanted)
        return self._made(made[member])

    def _made(self, physical_id: str) -> Made:
        return Made(physical_id, {f"{self.noun}Id": physical_id})

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        api = spec.properties["ApiId"]
        found = await self.ask_if_there(
            call, f"Get{self.noun}", ApiId=api, **{f"{self.noun}Id": physical_id}
        )
        return None if found is None else {**found, "ApiId": api}

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        gone = {k: v for k, v in self.unset.items() if k in old.properties}
        members = {**gone, **new.properties, f"{self.noun}Id": physical_id}
        await self.ask(call, f"Update{self.noun}", **members)
        return self._made(physical_id)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        api = spec.properties["ApiId"]
        await self.ask_if_there(
            call, f"Delete{self.noun}", ApiId=api, **{f"{self.noun}Id": physical_id}
        )


class Route(_Part):
    type = "AWS::ApiGatewayV2::Route"
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        **dict.fromkeys(
            (
                "AuthorizationScopes",
                "AuthorizerId",
                "ModelSelectionExpression",
                "OperationName",
                "RequestModels",
                "RequestParameters",
                "RouteResponseSelectionExpression",
            ),
            _NOTHING,
        ),
        "ApiKeyRequired": frozenset({"false"}),
        "AuthorizationType": frozenset({"NONE"}),
    }
    noun = "Route"
    unset: ClassVar[Request] = {"Target": ""}

    def _same(self, found: dict[str, Any], wanted: Request) -> bool:
        return bool(
            found["RouteKey"] == wanted["RouteKey"] and found.get("Target") == wanted.get("Target")
        )


class Integration(_Part):
    """A repeat after a crash may leave an integration no route names: it costs nothing and goes with its API."""

    type = "AWS::ApiGatewayV2::Integration"
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        **dict.fromkeys(
            (
                "ConnectionId",
                "ContentHandlingStrategy",
                "CredentialsArn",
                "IntegrationSubtype",
                "PassthroughBehavior",
                "RequestParameters",
                "RequestTemplates",
                "ResponseParameters",
                "TemplateSelectionExpression",
                "TlsConfig",
            ),
            _NOTHING,
        ),
        "ConnectionType": frozenset({"INTERNET"}),
        "IntegrationType": frozenset({"AWS_PROXY"}),
    }
    noun = "Integration"
    unset: ClassVar[Request] = {"Description": "", "TimeoutInMillis": 30_000}

    def _same(self, found: dict[str, Any], wanted: Request) -> bool:
        return False


class Deployment(_Part):
    """A repeat after a crash deploys again: the stage points at the newer one, with the same routes."""

    type = "AWS::ApiGatewayV2::Deployment"
    noun = "Deployment"
    create_only = frozenset({"ApiId", "Description", "StageName"})
    unread = frozenset({"StageName"})

    def _same(self, found: dict[str, Any], wanted: Request) -> bool:
        return False


RESOURCES: tuple[Resource, ...] = (Api(), Stage(), Route(), Integration(), Deployment())
