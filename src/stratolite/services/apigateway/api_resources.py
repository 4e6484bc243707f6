"""CloudFormation types of an API's definition: the API, resources, methods, models, validators, authorizers, responses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, ClassVar

from stratolite.errors import Fault
from stratolite.http import FileSlice
from stratolite.service import Call, Made, Request, Resource, Spec, created, picked, tag_list
from stratolite.services.apigateway.openapi import BODY_BYTES_MAX
from stratolite.services.apigateway.resource_parts import (
    EMPTY,
    Part,
    RestType,
    arn_of,
    escaped,
    lower,
    replaced,
    upper,
)


class RestApi(RestType):
    """From its properties, or from a definition in Body or BodyS3Location; then the properties win."""

    type = "AWS::ApiGateway::RestApi"
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        "CloneFrom": EMPTY,
        "SecurityPolicy": EMPTY,
        "EndpointAccessMode": EMPTY,
        "EndpointConfiguration.VpcEndpointIds": EMPTY,
    }

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = spec.properties
        name = wanted.get("Name")
        if not name and not _has_body(wanted):
            raise Fault("BadRequestException", "Name is required where there is no Body")
        made = await self.ask(
            call, "CreateRestApi", name=name or spec.generated_name(60), StackToken=spec.token
        )
        with created(made["id"]):
            return await self._bring_up_to_date(call, made["id"], Spec(**_blank(spec)), spec)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        return await self._bring_up_to_date(call, physical_id, old, new)

    async def _bring_up_to_date(self, call: Call, api: str, old: Spec, new: Spec) -> Made:
        wanted = new.properties
        if _has_body(wanted):
            await self.ask(
                call,
                "PutRestApi",
                restApiId=api,
                mode=wanted.get("Mode", "overwrite"),
                failOnWarnings=wanted.get("FailOnWarnings"),
                parameters=wanted.get("Parameters"),
                body=await _body(call, wanted),
            )
        found = await self.ask(call, "GetRestApi", restApiId=api)
        operations = self._operations(found, old.properties, wanted)
        if operations:
            found = await self.ask(call, "UpdateRestApi", restApiId=api, patchOperations=operations)
        await self._retag(call, arn_of(call, f"restapis/{api}"), old, new)
        return Made(api, {"RestApiId": api, "RootResourceId": found["rootResourceId"]})

    def _operations(self, found: Request, old: Request, wanted: Request) -> list[Request]:
        made: list[Request] = []
        for name in ("Name", "Description", "Version", "ApiKeySourceType", "DisableExecuteApiEndpoint"):  # fmt: skip
            member = {"ApiKeySourceType": "apiKeySource"}.get(name, lower(name))
            if name in wanted:
                made.append(replaced(f"/{member}", wanted[name]))
            elif name in old and not _has_body(wanted):
                reset = {
                    "ApiKeySourceType": "HEADER",
                    "DisableExecuteApiEndpoint": False,
                    "Version": "",
                }
                if name in reset:
                    made.append(replaced(f"/{member}", reset[name]))
                elif name == "Description":
                    made.append({"op": "remove", "path": "/description"})
        if wanted.get("Policy"):
            policy = wanted["Policy"]
            text = policy if isinstance(policy, str) else json.dumps(policy)
            made.append(replaced("/policy", text))
        elif old.get("Policy"):
            made.append(replaced("/policy", ""))
        if "MinimumCompressionSize" in wanted:
            made.append(replaced("/minimumCompressionSize", wanted["MinimumCompressionSize"]))
        elif "MinimumCompressionSize" in old:
            made.append({"op": "replace", "path": "/minimumCompressionSize"})
        endpoint = wanted.get("EndpointConfiguration") or {}
        kind = (endpoint.get("Types") or ["EDGE"])[0]
        (is_,) = found["endpointConfiguration"]["types"]
        if kind != is_ and ("EndpointConfiguration" in wanted or "EndpointConfiguration" in old):
            made.append(replaced(f"/endpointConfiguration/types/{is_}", kind))
        if endpoint.get("IpAddressType"):
            made.append(replaced("/endpointConfiguration/ipAddressType", endpoint["IpAddressType"]))
        if "BinaryMediaTypes" in wanted or ("BinaryMediaTypes" in old and not _has_body(wanted)):
            has = found.get("binaryMediaTypes") or []
            should = [str(kind).replace("~1", "/") for kind in wanted.get("BinaryMediaTypes") or []]
            made += [
                {"op": "remove", "path": f"/binaryMediaTypes/{escaped(kind)}"}
                for kind in has
                if kind not in should
            ]
            made += [
                {"op": "add", "path": f"/binaryMediaTypes/{escaped(kind)}"}
                for kind in should
                if kind not in has
            ]
        return made

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteRestApi", restApiId=physical_id)

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        return await self._page(call, "GetRestApis", "id", token)

    async def adopt(self, call: Call, physical_id: str, spec: Spec) -> Made:
        found = await self.ask(call, "GetRestApi", restApiId=physical_id)
        root = found["rootResourceId"]
        return Made(physical_id, {"RestApiId": physical_id, "RootResourceId": root})

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "GetRestApi", restApiId=physical_id)
        if found is None:
            return None
        made: dict[str, Any] = {
            "Name": found["name"],
            "ApiKeySourceType": found["apiKeySource"],
            "DisableExecuteApiEndpoint": found["disableExecuteApiEndpoint"],
            "EndpointConfiguration": {
                "Types": found["endpointConfiguration"]["types"],
                "IpAddressType": found["endpointConfiguration"]["ipAddressType"],
            },
            "Tags": tag_list(found.get("tags") or {}),
        }
        for name in ("Description", "MinimumCompressionSize", "Version"):
            if lower(name) in found:
                made[name] = found[lower(name)]
        if "binaryMediaTypes" in found:
            stated = spec.properties.get("BinaryMediaTypes") or []
            kinds = {str(kind).replace("~1", "/"): kind for kind in stated}
            made["BinaryMediaTypes"] = [kinds.get(k, k) for k in found["binaryMediaTypes"]]
        if "policy" in found:
            text = json.loads(f'"{found["policy"]}"')  # it is shown escaped once more
            if "execute-api:/" in json.dumps(spec.properties.get("Policy")):  # and its ARNs whole
                arn = f"arn:aws:execute-api:{call.region}:{call.account}:{physical_id}/"
                text = text.replace(arn, "execute-api:/")
            made["Policy"] = json.loads(text)
        return made


def _has_body(wanted: Request) -> bool:
    return bool(wanted.get("Body") or wanted.get("BodyS3Location"))


def _blank(spec: Spec) -> dict[str, Any]:
    """A spec as it was before anything was there."""
    return {
        "type": spec.type,
        "logical_id": spec.logical_id,
        "stack_name": spec.stack_name,
        "stack_id": spec.stack_id,
        "token": spec.token,
        "properties": {},
    }


async def _body(call: Call, wanted: Request) -> bytes:
    body = wanted.get("Body")
    if body:
        return body.encode() if isinstance(body, str) else json.dumps(body).encode()
    place = wanted["BodyS3Location"]
    asked = {"Bucket": place["Bucket"], "Key": place["Key"], "VersionId": place.get("Version")}
    answer = await call.request("s3", "GetObject", {k: v for k, v in asked.items() if v})
    if place.get("ETag") and answer["ETag"].strip('"') != place["ETag"].strip('"'):
        raise Fault("BadRequestException", "The ETag of BodyS3Location is not the object's")
    if answer["ContentLength"] > BODY_BYTES_MAX:
        raise Fault("BadRequestException", "The definition is larger than 6 MB")
    found = answer["Body"]
    if isinstance(found, bytes):
        return found
    if isinstance(found, FileSlice):
        return await asyncio.to_thread(_read_slice, found)
    return b"".join([piece async for piece in found])


def _read_slice(part: FileSlice) -> bytes:
    with open(part.path, "rb") as file:
        file.seek(part.offset)
        return file.read(part.size_bytes)


class PathResource(Part):
    type = "AWS::ApiGateway::Resource"
    noun, member, identity = "Resource", "resourceId", "ResourceId"
    create_only = frozenset({"RestApiId", "ParentId", "PathPart"})

    async def create(self, call: Call, spec: Spec) -> Made:
        """A repeat finds the resource of its name under its parent, which only it can have made."""
        request = self._request(spec.properties)
        try:
            made = await self.ask(call, "CreateResource", **request)
        except Fault as fault:
            if fault.code != "ConflictException" or not await self._is_repeat(call, spec):
                raise
            made = await self._same(call, spec)
        return self._made(made["id"])

    async def _is_repeat(self, call: Call, spec: Spec) -> bool:
        found = await self._same(call, spec)
        return not found.get("resourceMethods")

    async def _same(self, call: Call, spec: Spec) -> Request:
        wanted = spec.properties
        everything = await self._all(call, "GetResources", restApiId=wanted["RestApiId"])
        found: Request = next(
            one
            for one in everything
            if (one.get("parentId"), one.get("pathPart"))
            == (wanted["ParentId"], wanted["PathPart"])
        )
        return found

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await super().read(call, physical_id, spec)
        return None if found is None else picked(found, "RestApiId", "ParentId", "PathPart")

    update = Resource.update


class Authorizer(Part):
    type = "AWS::ApiGateway::Authorizer"
    noun, member, identity = "Authorizer", "authorizerId", "AuthorizerId"
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        "ProviderARNs": EMPTY,
        "Type": frozenset({"TOKEN", "REQUEST"}),
    }
    _defaults: ClassVar[Mapping[str, Any]] = {
        "AuthorizerCredentials": "",
        "IdentityValidationExpression": "",
        "IdentitySource": "",
        "AuthorizerResultTtlInSeconds": 300,
        "AuthType": "custom",
    }

    def _operations(self, old: Request, new: Request) -> list[Request]:
        names = [n for n in (*new, *old) if n not in ("RestApiId", "Type")]
        order = ["Type", *dict.fromkeys(names)]
        return [
            replaced(f"/{lower(name)}", new.get(name, self._defaults.get(name, "")))
            for name in order
            if new.get(name) != old.get(name)
        ]


class RequestValidator(Part):
    type = "AWS::ApiGateway::RequestValidator"
    noun, member, identity = "RequestValidator", "requestValidatorId", "RequestValidatorId"
    create_only = frozenset({"RestApiId", "Name"})

    def _operations(self, old: Request, new: Request) -> list[Request]:
        names = ("ValidateRequestBody", "ValidateRequestParameters")
        return [replaced(f"/{lower(n)}", bool(new.get(n))) for n in names if new.get(n) != old.get(n)]  # fmt: skip


class Model(Part):
    type = "AWS::ApiGateway::Model"
    noun, member, identity = "Model", "modelName", "Name"
    create_only = frozenset({"RestApiId", "Name", "ContentType"})

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = spec.properties
        name = wanted.get("Name") or "".join(c for c in spec.generated_name(60) if c.isalnum())
        request = {
            "restApiId": wanted["RestApiId"],
            "name": name,
            "contentType": wanted.get("ContentType") or "application/json",
            "description": wanted.get("Description"),
            "schema": _schema(wanted),
        }
        try:
            await self.ask(call, "CreateModel", **request)
        except Fault as fault:
            if fault.code != "ConflictException":
                raise
            # those every API begins with may be written anew, and so may what an attempt before this has made
            where = {"restApiId": wanted["RestApiId"], "modelName": name}
            found = await self.ask(call, "GetModel", **where)
            operations = [replaced("/schema", _schema(wanted))]
            if name not in ("Empty", "Error") and found.get("schema") != request["schema"]:
                raise
            await self.ask(call, "UpdateModel", **where, patchOperations=operations)
        return Made(name)

    def _operations(self, old: Request, new: Request) -> list[Request]:
        made = []
        if _schema(old) != _schema(new):
            made.append(replaced("/schema", _schema(new)))
        if old.get("Description") != new.get("Description"):
            made.append(replaced("/description", new.get("Description", "")))
        return made

    def _made(self, physical_id: str) -> Made:
        return Made(physical_id)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await super().read(call, physical_id, spec)
        if found is None:
            return None
        stated = spec.properties.get("Schema")
        if not isinstance(stated, str):
            found["Schema"] = json.loads(found["Schema"])
        if not found.get("Description") and not spec.properties.get("Description"):
            found.pop("Description", None)
        return found


def _schema(wanted: Request) -> str:
    schema = wanted.get("Schema", {})
    return schema if isinstance(schema, str) else json.dumps(schema)


class Method(RestType):
    """With its integration and all responses; physical id API|RESOURCE|METHOD."""

    type = "AWS::ApiGateway::Method"
    create_only = frozenset({"RestApiId", "ResourceId", "HttpMethod"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        "AuthorizationType": frozenset({"NONE", "AWS_IAM", "CUSTOM"}),
        "AuthorizationScopes": EMPTY,
        "Integration.CacheKeyParameters": EMPTY,
        "Integration.ConnectionId": EMPTY,
        "Integration.ConnectionType": frozenset({"INTERNET"}),
        "Integration.IntegrationTarget": EMPTY,
        "Integration.ResponseTransferMode": frozenset({"BUFFERED"}),
    }

    def physical_id_of(self, identifier: Mapping[str, Any]) -> str:
        return "|".join(str(part) for part in identifier.values())

    def _where(self, wanted: Request) -> Request:
        return {
            "restApiId": wanted["RestApiId"],
            "resourceId": wanted["ResourceId"],
            "httpMethod": wanted["HttpMethod"],
        }

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = spec.properties
        where = self._where(wanted)
        request = {
            "authorizationType": wanted.get("AuthorizationType") or "NONE",
            "apiKeyRequired": bool(wanted.get("ApiKeyRequired")),
        }
        for name in ("AuthorizerId", "OperationName", "RequestParameters", "RequestModels", "RequestValidatorId"):  # fmt: skip
            if name in wanted:
                request[lower(name)] = wanted[name]
        try:
            await self.ask(call, "PutMethod", **where, **request)
        except Fault as fault:
            found = await self.ask_if_there(call, "GetMethod", **where)
            if fault.code != "ConflictException" or found is None or "methodIntegration" in found:
                raise
            # an attempt before this came so far: a method that is whole has its integration
            await self.ask(call, "DeleteMethod", **where)
            await self.ask(call, "PutMethod", **where, **request)
        physical_id = "|".join(where.values())
        with created(physical_id):
            for response in wanted.get("MethodResponses") or ():
                made = {lower(k): v for k, v in response.items()}
                await self.ask(call, "PutMethodResponse", **where, **made)
            await self._integrate(call, where, wanted)
        return Made(physical_id)

    async def _integrate(self, call: Call, where: Request, wanted: Request) -> None:
        integration = wanted.get("Integration")
        if not integration:
            return
        members = {lower(k): v for k, v in integration.items() if k != "IntegrationResponses"}
        await self.ask(call, "PutIntegration", **where, **members)
        for response in integration.get("IntegrationResponses") or ():
            made = {lower(k): v for k, v in response.items()}
            await self.ask(call, "PutIntegrationResponse", **where, **made)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        """Put anew: a method has no state but what the template says."""
        await self.ask_if_there(call, "DeleteMethod", **self._where(new.properties))
        return await self.create(call, new)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteMethod", **self._where(spec.properties))

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        api, resource, verb = physical_id.split("|")
        where = {"restApiId": api, "resourceId": resource, "httpMethod": verb}
        found = await self.ask_if_there(call, "GetMethod", **where)
        if found is None:
            return None
        made: dict[str, Any] = {
            "RestApiId": api,
            "ResourceId": resource,
            "HttpMethod": verb,
            "AuthorizationType": found["authorizationType"],
            "ApiKeyRequired": found["apiKeyRequired"],
        }
        for name in ("AuthorizerId", "OperationName", "RequestParameters", "RequestModels", "RequestValidatorId"):  # fmt: skip
            if lower(name) in found:
                made[name] = found[lower(name)]
        if responses := found.get("methodResponses"):
            made["MethodResponses"] = [upper(one) for one in responses.values()]
        if integration := found.get("methodIntegration"):
            shown = upper(integration)
            for ours in ("CacheKeyParameters",):
                shown.pop(ours, None)
            shown = {"ConnectionType": "INTERNET", "ResponseTransferMode": "BUFFERED", **shown}
            if "HttpMethod" in shown:
                shown["IntegrationHttpMethod"] = shown.pop("HttpMethod")
            responses = shown.pop("IntegrationResponses", None)
            if responses:
                shown["IntegrationResponses"] = [upper(one) for one in responses.values()]
            made["Integration"] = shown
        return made


class GatewayResponse(RestType):
    """Physical id API|TYPE."""

    type = "AWS::ApiGateway::GatewayResponse"
    create_only = frozenset({"RestApiId", "ResponseType"})

    def _where(self, physical_id: str) -> Request:
        api, kind = physical_id.split("|")
        return {"restApiId": api, "responseType": kind}

    async def create(self, call: Call, spec: Spec) -> Made:
        request = {lower(name): value for name, value in spec.properties.items()}
        await self.ask(call, "PutGatewayResponse", **request)
        physical_id = f"{request['restApiId']}|{request['responseType']}"
        return Made(physical_id, {"Id": physical_id})

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        return await self.create(call, new)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteGatewayResponse", **self._where(physical_id))

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        where = self._where(physical_id)
        found = await self.ask_if_there(call, "GetGatewayResponse", **where)
        if found is None or found["defaultResponse"]:
            return None
        made = {"RestApiId": where["restApiId"], "ResponseType": where["responseType"]}
        stated = spec.properties
        for name in ("StatusCode", "ResponseParameters", "ResponseTemplates"):
            if found.get(lower(name)) and (name in stated or name == "ResponseParameters"):
                made[name] = found[lower(name)]
        return made
