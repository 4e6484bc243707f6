"""CloudFormation types of REST APIs: the API and its parts, deployments and stages, API keys and usage plans.

Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_ApiGateway.html
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, ClassVar

from stratolite.errors import Fault
from stratolite.http import FileSlice
from stratolite.service import Call, Made, Request, Resource, Spec, created, picked, tag_list
from stratolite.services.apigateway.openapi import BODY_BYTES_MAX

_EMPTY = frozenset({""})
_FALSE = frozenset({"false"})


def _replace(path: str, value: Any) -> Request:
    if isinstance(value, bool):
        value = "true" if value else "false"
    return {"op": "replace", "path": path, "value": str(value)}


def _escape(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


def _entries(member: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Request]:
    """Patch operations that make the map ``old`` into ``new``."""
    gone = [{"op": "remove", "path": f"/{member}/{_escape(key)}"} for key in old if key not in new]
    changed = [
        {**_replace(f"/{member}/{_escape(key)}", value), "op": "replace" if key in old else "add"}
        for key, value in new.items()
        if old.get(key) != value
    ]
    return gone + changed


class _Type(Resource):
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


def _arn(call: Call, path: str) -> str:
    return f"arn:aws:apigateway:{call.region}::/{path}"


class RestApi(_Type):
    """From its properties, or from a definition in Body or BodyS3Location; then the properties win."""

    type = "AWS::ApiGateway::RestApi"
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        "CloneFrom": _EMPTY,
        "SecurityPolicy": _EMPTY,
        "EndpointAccessMode": _EMPTY,
        "EndpointConfiguration.VpcEndpointIds": _EMPTY,
    }
    _texts = ("Name", "Description", "ApiKeySourceType", "DisableExecuteApiEndpoint", "MinimumCompressionSize")  # fmt: skip

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
        await self._retag(call, _arn(call, f"restapis/{api}"), old, new)
        return Made(api, {"RestApiId": api, "RootResourceId": found["rootResourceId"]})

    def _operations(self, found: Request, old: Request, wanted: Request) -> list[Request]:
        made: list[Request] = []
        for name in ("Name", "Description", "ApiKeySourceType", "DisableExecuteApiEndpoint"):
            member = {"ApiKeySourceType": "apiKeySource"}.get(name, _lower(name))
            if name in wanted:
                made.append(_replace(f"/{member}", wanted[name]))
            elif name in old and not _has_body(wanted):
                reset = {"ApiKeySourceType": "HEADER", "DisableExecuteApiEndpoint": False}
                if name in reset:
                    made.append(_replace(f"/{member}", reset[name]))
                elif name == "Description":
                    made.append({"op": "remove", "path": "/description"})
        if wanted.get("Policy"):
            policy = wanted["Policy"]
            text = policy if isinstance(policy, str) else json.dumps(policy)
            made.append(_replace("/policy", text))
        elif old.get("Policy"):
            made.append(_replace("/policy", ""))
        if "MinimumCompressionSize" in wanted:
            made.append(_replace("/minimumCompressionSize", wanted["MinimumCompressionSize"]))
        elif "MinimumCompressionSize" in old:
            made.append({"op": "replace", "path": "/minimumCompressionSize"})
        endpoint = wanted.get("EndpointConfiguration") or {}
        kind = (endpoint.get("Types") or ["EDGE"])[0]
        (is_,) = found["endpointConfiguration"]["types"]
        if kind != is_ and ("EndpointConfiguration" in wanted or "EndpointConfiguration" in old):
            made.append(_replace(f"/endpointConfiguration/types/{is_}", kind))
        if endpoint.get("IpAddressType"):
            made.append(_replace("/endpointConfiguration/ipAddressType", endpoint["IpAddressType"]))
        if "BinaryMediaTypes" in wanted or ("BinaryMediaTypes" in old and not _has_body(wanted)):
            has = found.get("binaryMediaTypes") or []
            should = [str(kind).replace("~1", "/") for kind in wanted.get("BinaryMediaTypes") or []]
            made += [
                {"op": "remove", "path": f"/binaryMediaTypes/{_escape(kind)}"}
                for kind in has
                if kind not in should
            ]
            made += [
                {"op": "add", "path": f"/binaryMediaTypes/{_escape(kind)}"}
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
        for name in ("Description", "MinimumCompressionSize"):
            if _lower(name) in found:
                made[name] = found[_lower(name)]
        if "binaryMediaTypes" in found:
            stated = spec.properties.get("BinaryMediaTypes") or []
            kinds = {str(kind).replace("~1", "/"): kind for kind in stated}
            made["BinaryMediaTypes"] = [kinds.get(k, k) for k in found["binaryMediaTypes"]]
        if "policy" in found:
            # it is shown escaped once more
            made["Policy"] = json.loads(json.loads(f'"{found["policy"]}"'))
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


class _Part(_Type):
    """Something with an id of its own in an API."""

    noun: ClassVar[str]
    member: ClassVar[str]
    """Its id in requests."""
    identity: ClassVar[str]
    """Its id among GetAtt's attributes."""
    create_only = frozenset({"RestApiId"})

    def _request(self, wanted: Request) -> Request:
        return {_lower(name): value for name, value in wanted.items()}

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


class PathResource(_Part):
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


class Authorizer(_Part):
    type = "AWS::ApiGateway::Authorizer"
    noun, member, identity = "Authorizer", "authorizerId", "AuthorizerId"
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        "ProviderARNs": _EMPTY,
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
            _replace(f"/{_lower(name)}", new.get(name, self._defaults.get(name, "")))
            for name in order
            if new.get(name) != old.get(name)
        ]


class RequestValidator(_Part):
    type = "AWS::ApiGateway::RequestValidator"
    noun, member, identity = "RequestValidator", "requestValidatorId", "RequestValidatorId"
    create_only = frozenset({"RestApiId", "Name"})

    def _operations(self, old: Request, new: Request) -> list[Request]:
        names = ("ValidateRequestBody", "ValidateRequestParameters")
        return [_replace(f"/{_lower(n)}", bool(new.get(n))) for n in names if new.get(n) != old.get(n)]  # fmt: skip


class Model(_Part):
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
            operations = [_replace("/schema", _schema(wanted))]
            if name not in ("Empty", "Error") and found.get("schema") != request["schema"]:
                raise
            await self.ask(call, "UpdateModel", **where, patchOperations=operations)
        return Made(name)

    def _operations(self, old: Request, new: Request) -> list[Request]:
        made = []
        if _schema(old) != _schema(new):
            made.append(_replace("/schema", _schema(new)))
        if old.get("Description") != new.get("Description"):
            made.append(_replace("/description", new.get("Description", "")))
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


class Method(_Type):
    """With its integration and all responses; physical id API|RESOURCE|METHOD."""

    type = "AWS::ApiGateway::Method"
    create_only = frozenset({"RestApiId", "ResourceId", "HttpMethod"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        "AuthorizationType": frozenset({"NONE", "AWS_IAM", "CUSTOM"}),
        "AuthorizationScopes": _EMPTY,
        "Integration.CacheKeyParameters": _EMPTY,
        "Integration.ConnectionId": _EMPTY,
        "Integration.ConnectionType": frozenset({"INTERNET"}),
        "Integration.IntegrationTarget": _EMPTY,
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
                request[_lower(name)] = wanted[name]
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
                made = {_lower(k): v for k, v in response.items()}
                await self.ask(call, "PutMethodResponse", **where, **made)
            await self._integrate(call, where, wanted)
        return Made(physical_id)

    async def _integrate(self, call: Call, where: Request, wanted: Request) -> None:
        integration = wanted.get("Integration")
        if not integration:
            return
        members = {_lower(k): v for k, v in integration.items() if k != "IntegrationResponses"}
        await self.ask(call, "PutIntegration", **where, **members)
        for response in integration.get("IntegrationResponses") or ():
            made = {_lower(k): v for k, v in response.items()}
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
            if _lower(name) in found:
                made[name] = found[_lower(name)]
        if responses := found.get("methodResponses"):
            made["MethodResponses"] = [_upper(one) for one in responses.values()]
        if integration := found.get("methodIntegration"):
            shown = _upper(integration)
            for ours in ("CacheKeyParameters",):
                shown.pop(ours, None)
            if "HttpMethod" in shown:
                shown["IntegrationHttpMethod"] = shown.pop("HttpMethod")
            responses = shown.pop("IntegrationResponses", None)
            if responses:
                shown["IntegrationResponses"] = [_upper(one) for one in responses.values()]
            made["Integration"] = shown
        return made


def _upper(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name[:1].upper() + name[1:]: value for name, value in record.items()}


class GatewayResponse(_Type):
    """Physical id API|TYPE."""

    type = "AWS::ApiGateway::GatewayResponse"
    create_only = frozenset({"RestApiId", "ResponseType"})

    def _where(self, physical_id: str) -> Request:
        api, kind = physical_id.split("|")
        return {"restApiId": api, "responseType": kind}

    async def create(self, call: Call, spec: Spec) -> Made:
        request = {_lower(name): value for name, value in spec.properties.items()}
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
            if found.get(_lower(name)) and (name in stated or name == "ResponseParameters"):
                made[name] = found[_lower(name)]
        return made


class Deployment(_Part):
    """With StageName it makes or moves that stage, and takes it away with itself if it still is the stage's."""

    type = "AWS::ApiGateway::Deployment"
    noun, member, identity = "Deployment", "deploymentId", "DeploymentId"
    create_only = frozenset({"RestApiId", "DeploymentCanarySettings", "StageName"})
    unread = frozenset({"StageName", "StageDescription"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        "DeploymentCanarySettings": _EMPTY,
        "StageDescription.AccessLogSetting": _EMPTY,
        "StageDescription.CacheClusterEnabled": _FALSE,
        "StageDescription.CacheClusterSize": _EMPTY,
        "StageDescription.CachingEnabled": _FALSE,
        "StageDescription.CanarySetting": _EMPTY,
        "StageDescription.ClientCertificateId": _EMPTY,
        "StageDescription.DataTraceEnabled": _FALSE,
        "StageDescription.DocumentationVersion": _EMPTY,
        "StageDescription.LoggingLevel": frozenset({"OFF"}),
        "StageDescription.TracingEnabled": _FALSE,
        "StageDescription.MethodSettings.*.CachingEnabled": _FALSE,
        "StageDescription.MethodSettings.*.DataTraceEnabled": _FALSE,
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
                await self._describe(call, spec)
        return self._made(made["id"])

    async def _describe(self, call: Call, spec: Spec) -> None:
        """The rest of StageDescription: settings of all methods, of some, tags."""
        wanted = spec.properties
        more = wanted.get("StageDescription") or {}
        names = ("MetricsEnabled", "ThrottlingBurstLimit", "ThrottlingRateLimit")
        general = {"ResourcePath": "/*", "HttpMethod": "*", **picked(more, *names)}
        settings = [general] if len(general) > 2 else []
        operations = _settings([], [*settings, *(more.get("MethodSettings") or [])])
        if operations:
            await self.ask(
                call,
                "UpdateStage",
                restApiId=wanted["RestApiId"],
                stageName=wanted["StageName"],
                patchOperations=operations,
            )
        if more.get("Tags"):
            place = f"restapis/{wanted['RestApiId']}/stages/{wanted['StageName']}"
            tags = {tag["Key"]: tag["Value"] for tag in more["Tags"]}
            await self.ask(call, "TagResource", resourceArn=_arn(call, place), tags=tags)

    def _operations(self, old: Request, new: Request) -> list[Request]:
        if old.get("Description") == new.get("Description"):
            return []
        return [_replace("/description", new.get("Description", ""))]

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        if old.properties.get("StageDescription") != new.properties.get("StageDescription"):
            await self._describe(call, new)
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


class Stage(_Type):
    type = "AWS::ApiGateway::Stage"
    create_only = frozenset({"RestApiId", "StageName"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        "AccessLogSetting": _EMPTY,
        "CacheClusterEnabled": _FALSE,
        "CacheClusterSize": _EMPTY,
        "CanarySetting": _EMPTY,
        "ClientCertificateId": _EMPTY,
        "DocumentationVersion": _EMPTY,
        "TracingEnabled": _FALSE,
        "MethodSettings.*.CachingEnabled": _FALSE,
        "MethodSettings.*.DataTraceEnabled": _FALSE,
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
        operations = _entries("variables", before.get("Variables") or {}, after.get("Variables") or {})  # fmt: skip
        if before.get("DeploymentId") != after.get("DeploymentId"):
            operations.append(_replace("/deploymentId", after.get("DeploymentId", "")))
        if before.get("Description") != after.get("Description"):
            operations.append(_replace("/description", after.get("Description", "")))
        operations += _settings(before.get("MethodSettings") or [], after.get("MethodSettings") or [])  # fmt: skip
        where = self._where(physical_id, new)
        if operations:
            operations = await self._still_needed(call, where, operations)
            await self.ask(call, "UpdateStage", **where, patchOperations=operations)
        place = f"restapis/{where['restApiId']}/stages/{physical_id}"
        await self._retag(call, _arn(call, place), old, new)
        return Made(physical_id)

    async def _still_needed(
        self, call: Call, where: Request, operations: list[Request]
    ) -> list[Request]:
        """Without what would take away something that is gone already, after an attempt before this."""
        found = await self.ask(call, "GetStage", **where)
        known = {f"/variables/{_escape(name)}" for name in found.get("variables") or {}}
        known |= {_setting_path(key) for key in found["methodSettings"]}
        kept = [o for o in operations if o["op"] != "remove" or o["path"] in known]
        return [
            {**o, "op": "add"}
            if o["path"].startswith("/variables/") and o["path"] not in known
            else o
            for o in kept
        ]

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
            if found.get(_lower(name)):
                made[name] = found[_lower(name)]
        if found["methodSettings"]:
            made["MethodSettings"] = _read_settings(found["methodSettings"], spec)
        return made


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
    return f"/{_escape(path if path.startswith('/') else '/' + path)}/{verb}"


def _setting_path(key: str) -> str:
    """Where the settings under ``pets/{id}/GET`` are taken away."""
    path, _, verb = key.rpartition("/")
    return f"/*/{verb}" if path == "*" else f"/{_escape('/' + path.lstrip('/'))}/{verb}"


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
            _replace(f"{place}/{path}", setting[name])
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
        shown = {n: has[_member(n)] for n in names if _member(n) in has}
        where = said or {"ResourcePath": place.rpartition("/")[0], "HttpMethod": place.rpartition("/")[2]}  # fmt: skip
        made.append({**picked(where, "ResourcePath", "HttpMethod"), **shown})
    return made


def _member(name: str) -> str:
    return _lower(name)


class ApiKey(_Type):
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
            _replace(f"/{_lower(name)}", after.get(name, "" if name != "Enabled" else False))
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
        await self._retag(call, _arn(call, f"apikeys/{physical_id}"), old, new)
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
            if found.get(_lower(name)):
                made[name] = found[_lower(name)]
        if found["stageKeys"]:
            pairs = [stage.split("/") for stage in found["stageKeys"]]
            made["StageKeys"] = [{"RestApiId": api, "StageName": name} for api, name in pairs]
        return made


class UsagePlan(_Type):
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
        await self._retag(call, _arn(call, f"usageplans/{physical_id}"), old, new)
        return Made(physical_id, {"Id": physical_id})

    def _operations(self, found: Request, wanted: Request) -> list[Request]:
        made: list[Request] = []
        if wanted.get("UsagePlanName"):
            made.append(_replace("/name", wanted["UsagePlanName"]))
        made.append(_replace("/description", wanted.get("Description", "")))
        for name, limits in (("quota", _quota(wanted.get("Quota"))), ("throttle", _throttle(wanted.get("Throttle")))):  # fmt: skip
            if limits:
                made += [_replace(f"/{name}/{key}", value) for key, value in limits.items()]
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
                start = f"/apiStages/{place}/throttle/{_escape(method)}"
                made += [_replace(f"{start}/{key}", value) for key, value in throttle.items()]
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
                        {"Throttle": {m: _upper(t) for m, t in one["throttle"].items()}}
                        if one.get("throttle")
                        else {}
                    ),
                }
                for one in found["apiStages"]
            ]
        for name in ("Throttle", "Quota"):
            if found.get(_lower(name)):
                made[name] = _upper(found[_lower(name)])
        return made


def _api_stage(one: Request) -> Request:
    made = {"apiId": one.get("ApiId"), "stage": one.get("Stage")}
    if one.get("Throttle"):
        made["throttle"] = {method: _throttle(limits) for method, limits in one["Throttle"].items()}
    return made


def _throttle(limits: Request | None) -> Request | None:
    return {_lower(name): value for name, value in limits.items()} if limits else None


def _quota(quota: Request | None) -> Request | None:
    return {"offset": 0, **{_lower(n): v for n, v in quota.items()}} if quota else None


class UsagePlanKey(_Type):
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


class Account(_Type):
    """One an account and region has. Its deletion leaves the settings, as AWS does."""

    type = "AWS::ApiGateway::Account"

    async def create(self, call: Call, spec: Spec) -> Made:
        await self._settle(call, spec)
        physical_id = spec.generated_name(60)
        return Made(physical_id, {"Id": physical_id})

    async def _settle(self, call: Call, spec: Spec) -> None:
        role = spec.properties.get("CloudWatchRoleArn")
        operation = _replace("/cloudwatchRoleArn", role or "")
        await self.ask(call, "UpdateAccount", patchOperations=[operation])

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        await self._settle(call, new)
        return Made(physical_id, {"Id": physical_id})

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        return

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask(call, "GetAccount")
        role = found.get("cloudwatchRoleArn")
        return {"CloudWatchRoleArn": role} if role else {}


RESOURCES: tuple[Resource, ...] = (
    RestApi(),
    PathResource(),
    Method(),
    Model(),
    RequestValidator(),
    Authorizer(),
    GatewayResponse(),
    Deployment(),
    Stage(),
    ApiKey(),
    UsagePlan(),
    UsagePlanKey(),
    Account(),
)
