"""The operations of HTTP APIs: APIs, routes, integrations, stages, deployments, tags."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import unquote

from stratolite.errors import Fault
from stratolite.http import HttpRequest, HttpResponse
from stratolite.service import Access, Call, Door, Request, Resource, Response, Service, Tagged
from stratolite.services.apigatewayv2 import openapi, routing, state
from stratolite.services.apigatewayv2.doors import serve
from stratolite.services.apigatewayv2.targets import function_arn

_STAGE_NAME = re.compile(r"(\$default|[A-Za-z0-9_-]{1,128})\Z")
_PAGE_COUNT = 100
_ROUTES_COUNT_MAX = _INTEGRATIONS_COUNT_MAX = 300
_TIMEOUT_MS = (50, 30_000)

# Members AWS knows whose meaning is not here: asking for them is refused, not ignored.
_REFUSED = {
    "api": ("ApiKeySelectionExpression", "RouteSelectionExpression", "CredentialsArn"),
    "route": ("AuthorizerId", "AuthorizationScopes", "ModelSelectionExpression", "RequestModels",
              "RequestParameters", "RouteResponseSelectionExpression", "OperationName"),
    "integration": ("ConnectionId", "CredentialsArn", "IntegrationSubtype", "RequestParameters",
                    "RequestTemplates", "ResponseParameters", "TemplateSelectionExpression", "TlsConfig",
                    "ContentHandlingStrategy", "PassthroughBehavior"),
    "stage": ("AccessLogSettings", "ClientCertificateId", "RouteSettings"),
}  # fmt: skip

_TAGGED_PAGE = 100


class Apigatewayv2(Service):
    name: ClassVar[str] = "apigatewayv2"
    prefix: ClassVar[str] = "apigateway"

    tag_types: ClassVar[tuple[str, ...]] = ("apigateway:apis",)

    def tagged(self, call: Call, kind: str, after: str) -> Iterator[Tagged]:
        keys, more = call.keys(self.name), True
        where = f"arn:aws:apigateway:{call.region}::/apis"
        while more:
            apis, following = state.page(call.tx, keys, "api", (), after, _TAGGED_PAGE)
            for api in apis:
                yield Tagged(api["ApiId"], f"{where}/{api['ApiId']}", api.get("Tags") or {})
            after, more = following or "", following is not None

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        """IAM sees API Gateway as HTTP verbs on paths.

        Source  https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonapigatewaymanagementv2.html
        """
        verb = next((v for k, v in _VERBS.items() if operation.startswith(k)), "POST")
        path = "/apis" + (f"/{request['ApiId']}" if "ApiId" in request else "")
        return ((f"apigateway:{verb}", f"arn:aws:apigateway:{call.region}::{path}"),)

    async def serve(self, call: Call, door: Door, request: HttpRequest) -> HttpResponse:
        """HTTP APIs and REST APIs have one door; an id that is no HTTP API's is for the other service."""
        answer = await serve(call, door, request)
        if answer is None:
            return await self.cloud.service("apigateway").serve(call, door, request)
        return answer

    def resources(self) -> Iterable[Resource]:
        from stratolite.services.apigatewayv2.resources import RESOURCES

        return RESOURCES

    # -- APIs

    def create_api(self, call: Call, request: Request) -> Response:
        if request["ProtocolType"] != "HTTP":
            raise Fault("BadRequestException", "WebSocket APIs are not offered by Stratolite yet")
        _refuse("api", request)
        api = _id(call)
        record = self._api(api, call) | _given(request, *_API_MEMBERS)
        self._store_api(call, record)
        if request.get("RouteKey") or request.get("Target"):
            self._quick_create(call, api, request)
        return _api_shown(call, record)

    def _api(self, api: str, call: Call) -> dict[str, Any]:
        return {
            "ApiId": api,
            "ProtocolType": "HTTP",
            "ApiKeySelectionExpression": "$request.header.x-api-key",
            "RouteSelectionExpression": "$request.method $request.path",
            "DisableExecuteApiEndpoint": False,
            "CreatedDate": int(call.tx.time_s),
            "Tags": {},
        }

    def _store_api(self, call: Call, record: dict[str, Any]) -> None:
        keys, api = call.keys(self.name), record["ApiId"]
        state.put(call.tx, keys, "api", api, record=record)
        state.put_home(call.tx, api, call.account, call.region)
        if call.tx.get(keys.key("live", api)) is None:
            state.rebuild(call.tx, keys, api)

    def _quick_create(self, call: Call, api: str, request: Request) -> None:
        """Target makes a proxy integration, a route (default $default) and an automatic $default stage."""
        if "Target" not in request:
            raise Fault("BadRequestException", "Target is required when RouteKey is given")
        made = self.create_integration(
            call,
            {
                "ApiId": api,
                "IntegrationType": "AWS_PROXY",
                "IntegrationUri": request["Target"],
                "PayloadFormatVersion": "2.0",
            },
        )
        target = f"integrations/{made['IntegrationId']}"
        route = request.get("RouteKey", routing.DEFAULT)
        self.create_route(call, {"ApiId": api, "RouteKey": route, "Target": target})
        self.create_stage(call, {"ApiId": api, "StageName": routing.DEFAULT, "AutoDeploy": True})

    def get_api(self, call: Call, request: Request) -> Response:
        return _api_shown(call, self._load(call, "api", request["ApiId"]))

    def get_apis(self, call: Call, request: Request) -> Response:
        return self._page(call, "api", (), request, lambda r: _api_shown(call, r))

    def update_api(self, call: Call, request: Request) -> Response:
        _refuse("api", request)
        record = self._load(call, "api", request["ApiId"]) | _given(request, *_API_MEMBERS)
        state.put(call.tx, call.keys(self.name), "api", request["ApiId"], record=record)
        return _api_shown(call, record)

    def delete_cors_configuration(self, call: Call, request: Request) -> Response:
        record = self._load(call, "api", request["ApiId"])
        record.pop("CorsConfiguration", None)
        state.put(call.tx, call.keys(self.name), "api", request["ApiId"], record=record)
        return {}

    def delete_api(self, call: Call, request: Request) -> Response:
        self._load(call, "api", request["ApiId"])
        state.delete_api(call.tx, call.keys(self.name), request["ApiId"])
        return {}

    def import_api(self, call: Call, request: Request) -> Response:
        return self._import(call, self._api(_id(call), call), request)

    def reimport_api(self, call: Call, request: Request) -> Response:
        record = self._load(call, "api", request["ApiId"])
        keys = call.keys(self.name)
        for kind, member in (("route", "RouteId"), ("integration", "IntegrationId")):
            for found in state.all_of(call.tx, keys, kind, record["ApiId"]):
                state.delete(call.tx, keys, kind, record["ApiId"], found[member])
        return self._import(call, record, request)

    def _import(self, call: Call, record: dict[str, Any], request: Request) -> Response:
        if request.get("Basepath", "ignore") != "ignore":
            raise Fault(
                "BadRequestException",
                f"Basepath {request['Basepath']} is not offered by Stratolite yet",
            )
        found = openapi.read(request["Body"])
        record |= {"Name": found.name, "Version": found.version, "Description": found.description}
        record.pop("CorsConfiguration", None)
        if found.cors is not None:
            record["CorsConfiguration"] = found.cors
        self._store_api(call, record)
        for route_key, members in found.routes:
            made = self.create_integration(call, {"ApiId": record["ApiId"]} | members)
            target = f"integrations/{made['IntegrationId']}"
            route = {"ApiId": record["ApiId"], "RouteKey": route_key, "Target": target}
            self.create_route(call, route)
        return _api_shown(call, record)

    # -- integrations

    def create_integration(self, call: Call, request: Request) -> Response:
        api = request["ApiId"]
        self._load(call, "api", api)
        self._room(call, "integration", api, _INTEGRATIONS_COUNT_MAX, "Integrations per API")
        record = {
            "IntegrationId": _id(call),
            "ConnectionType": "INTERNET",
            "IntegrationMethod": "POST",
            "TimeoutInMillis": _TIMEOUT_MS[1],
        } | _given(request, *_INTEGRATION_MEMBERS)
        return self._store_integration(call, api, request, record)

    def _store_integration(
        self, call: Call, api: str, request: Request, record: dict[str, Any]
    ) -> Response:
        _refuse("integration", request)
        if record.get("IntegrationType") != "AWS_PROXY" or record["ConnectionType"] != "INTERNET":
            kind = record.get("IntegrationType")
            raise Fault(
                "BadRequestException", f"Integration type {kind} is not offered by Stratolite yet"
            )
        if function_arn(record.get("IntegrationUri", "")) is None:
            raise Fault(
                "BadRequestException",
                f"Invalid integration URI specified: {record.get('IntegrationUri')}",
            )
        if record.get("PayloadFormatVersion") not in ("1.0", "2.0"):
            raise Fault(
                "BadRequestException", "PayloadFormatVersion is a required field and is 1.0 or 2.0"
            )
        low, high = _TIMEOUT_MS
        if not low <= record["TimeoutInMillis"] <= high:
            raise Fault("BadRequestException", f"Timeout should be between {low} ms and {high} ms")
        keys = call.keys(self.name)
        state.put(call.tx, keys, "integration", api, record["IntegrationId"], record=record)
        state.rebuild(call.tx, keys, api)
        return record

    def get_integration(self, call: Call, request: Request) -> Response:
        return self._load(call, "integration", request["ApiId"], request["IntegrationId"])

    def get_integrations(self, call: Call, request: Request) -> Response:
        return self._page(call, "integration", (request["ApiId"],), request)

    def update_integration(self, call: Call, request: Request) -> Response:
        api = request["ApiId"]
        record = self._load(call, "integration", api, request["IntegrationId"])
        return self._store_integration(
            call, api, request, record | _given(request, *_INTEGRATION_MEMBERS)
        )

    def delete_integration(self, call: Call, request: Request) -> Response:
        api, integration = request["ApiId"], request["IntegrationId"]
        self._load(call, "integration", api, integration)
        keys = call.keys(self.name)
        for route in state.all_of(call.tx, keys, "route", api):
            if route.get("Target") == f"integrations/{integration}":
                raise Fault(
                    "ConflictException",
                    f"Cannot delete Integration '{integration}' as it is used by route '{route['RouteKey']}'.",
                )
        state.delete(call.tx, keys, "integration", api, integration)
        return {}

    # -- routes

    def create_route(self, call: Call, request: Request) -> Response:
        api = request["ApiId"]
        self._load(call, "api", api)
        self._room(call, "route", api, _ROUTES_COUNT_MAX, "Routes per API")
        record = {"RouteId": _id(call), "ApiKeyRequired": False, "AuthorizationType": "NONE"}
        return self._store_route(call, api, request, record | _given(request, *_ROUTE_MEMBERS))

    def _store_route(
        self, call: Call, api: str, request: Request, record: dict[str, Any]
    ) -> Response:
        _refuse("route", request)
        if record["AuthorizationType"] != "NONE" or record["ApiKeyRequired"]:
            kind = record["AuthorizationType"] if not record["ApiKeyRequired"] else "ApiKeyRequired"
            raise Fault(
                "BadRequestException",
                f"Route authorization {kind} is not offered by Stratolite yet",
            )
        if wrong := routing.problem(record["RouteKey"]):
            raise Fault("BadRequestException", wrong)
        keys = call.keys(self.name)
        for other in state.all_of(call.tx, keys, "route", api):
            if other["RouteKey"] == record["RouteKey"] and other["RouteId"] != record["RouteId"]:
                raise Fault(
                    "ConflictException",
                    f"Route with key {record['RouteKey']} already exists for this API",
                )
        if target := record.get("Target"):
            integration = target.removeprefix("integrations/")
            if state.get(call.tx, keys, "integration", api, integration) is None:
                raise Fault(
                    "BadRequestException",
                    f"Invalid integration identifier specified: {integration}",
                )
        state.put(call.tx, keys, "route", api, record["RouteId"], record=record)
        state.rebuild(call.tx, keys, api)
        return record

    def get_route(self, call: Call, request: Request) -> Response:
        return self._load(call, "route", request["ApiId"], request["RouteId"])

    def get_routes(self, call: Call, request: Request) -> Response:
        return self._page(call, "route", (request["ApiId"],), request)

    def update_route(self, call: Call, request: Request) -> Response:
        api = request["ApiId"]
        record = self._load(call, "route", api, request["RouteId"])
        return self._store_route(call, api, request, record | _given(request, *_ROUTE_MEMBERS))

    def delete_route(self, call: Call, request: Request) -> Response:
        api = request["ApiId"]
        self._load(call, "route", api, request["RouteId"])
        keys = call.keys(self.name)
        state.delete(call.tx, keys, "route", api, request["RouteId"])
        state.rebuild(call.tx, keys, api)
        return {}

    # -- stages and deployments

    def create_stage(self, call: Call, request: Request) -> Response:
        api, name = request["ApiId"], request["StageName"]
        self._load(call, "api", api)
        if not _STAGE_NAME.match(name):
            raise Fault("BadRequestException", "Stage name only allows a-zA-Z0-9_-, or $default")
        keys = call.keys(self.name)
        if state.get(call.tx, keys, "stage", api, name) is not None:
            raise Fault("ConflictException", "Stage already exists")
        now_s = int(call.tx.time_s)
        record = {
            "StageName": name,
            "CreatedDate": now_s,
            "AutoDeploy": False,
            "DefaultRouteSettings": {"DetailedMetricsEnabled": False},
            "RouteSettings": {},
            "StageVariables": {},
            "Tags": {},
        }
        return self._store_stage(call, api, request, record)

    def _store_stage(
        self, call: Call, api: str, request: Request, record: dict[str, Any]
    ) -> Response:
        _refuse("stage", request)
        throttled = {"ThrottlingBurstLimit", "ThrottlingRateLimit"}
        if throttled & (request.get("DefaultRouteSettings") or {}).keys():
            raise Fault("BadRequestException", "Throttling is not offered by Stratolite yet")
        keys = call.keys(self.name)
        record |= _given(request, *_STAGE_MEMBERS) | {"LastUpdatedDate": int(call.tx.time_s)}
        deployment = record.get("DeploymentId")
        if deployment and state.get(call.tx, keys, "deployment", api, deployment) is None:
            raise Fault(
                "BadRequestException", f"Invalid deployment identifier specified: {deployment}"
            )
        state.put(call.tx, keys, "stage", api, record["StageName"], record=record)
        return record

    def get_stage(self, call: Call, request: Request) -> Response:
        return self._load(call, "stage", request["ApiId"], request["StageName"])

    def get_stages(self, call: Call, request: Request) -> Response:
        return self._page(call, "stage", (request["ApiId"],), request)

    def update_stage(self, call: Call, request: Request) -> Response:
        api = request["ApiId"]
        record = self._load(call, "stage", api, request["StageName"])
        return self._store_stage(call, api, request, record)

    def delete_stage(self, call: Call, request: Request) -> Response:
        api, name = request["ApiId"], request["StageName"]
        self._load(call, "stage", api, name)
        state.delete(call.tx, call.keys(self.name), "stage", api, name)
        return {}

    def create_deployment(self, call: Call, request: Request) -> Response:
        api, keys = request["ApiId"], call.keys(self.name)
        self._load(call, "api", api)
        deployment = _id(call)
        record = {
            "DeploymentId": deployment,
            "AutoDeployed": False,
            "CreatedDate": int(call.tx.time_s),
            "DeploymentStatus": "DEPLOYED",
            "Description": request.get("Description", ""),
        }
        state.put(call.tx, keys, "deployment", api, deployment, record=record)
        state.freeze(call.tx, keys, api, deployment)
        if name := request.get("StageName"):
            stage = self._load(call, "stage", api, name)
            if stage["AutoDeploy"]:
                raise Fault(
                    "BadRequestException",
                    "Deploying to a stage with AutoDeploy enabled is not allowed",
                )
            stage["DeploymentId"] = deployment
            state.put(call.tx, keys, "stage", api, name, record=stage)
        return record

    def get_deployment(self, call: Call, request: Request) -> Response:
        return self._load(call, "deployment", request["ApiId"], request["DeploymentId"])

    def get_deployments(self, call: Call, request: Request) -> Response:
        return self._page(call, "deployment", (request["ApiId"],), request)

    def delete_deployment(self, call: Call, request: Request) -> Response:
        api, deployment = request["ApiId"], request["DeploymentId"]
        self._load(call, "deployment", api, deployment)
        keys = call.keys(self.name)
        for stage in state.all_of(call.tx, keys, "stage", api):
            if stage.get("DeploymentId") == deployment:
                raise Fault(
                    "BadRequestException",
                    f"Active stages pointing to this deployment must be moved or deleted: {stage['StageName']}",
                )
        state.delete(call.tx, keys, "deployment", api, deployment)
        state.delete(call.tx, keys, "frozen", api, deployment)
        return {}

    # -- tags

    def tag_resource(self, call: Call, request: Request) -> Response:
        place, record = self._tagged(call, request["ResourceArn"])
        record["Tags"] = record.get("Tags", {}) | request.get("Tags", {})
        state.put(call.tx, call.keys(self.name), *place, record=record)
        return {}

    def untag_resource(self, call: Call, request: Request) -> Response:
        place, record = self._tagged(call, request["ResourceArn"])
        gone = request["TagKeys"]
        record["Tags"] = {k: v for k, v in record.get("Tags", {}).items() if k not in gone}
        state.put(call.tx, call.keys(self.name), *place, record=record)
        return {}

    def get_tags(self, call: Call, request: Request) -> Response:
        return {"Tags": self._tagged(call, request["ResourceArn"])[1].get("Tags", {})}

    def _tagged(self, call: Call, arn: str) -> tuple[tuple[str, ...], dict[str, Any]]:
        found = re.fullmatch(
            r"arn:aws:apigateway:[a-z0-9-]*::/apis/([a-z0-9]+)(?:/stages/(.+))?", unquote(arn)
        )
        if not found:
            raise Fault("BadRequestException", f"Invalid resource identifier specified {arn}")
        place = ("stage", found[1], found[2]) if found[2] else ("api", found[1])
        return place, self._load(call, *place)

    # -- parts

    def _load(self, call: Call, kind: str, *name: str) -> dict[str, Any]:
        found = state.get(call.tx, call.keys(self.name), kind, *name)
        if found is None:
            titles = {"api": "API", "route": "Route", "integration": "Integration"}
            title = titles.get(kind, kind.capitalize())
            raise Fault(
                "NotFoundException",
                f"Invalid {title} identifier specified {call.account}:{name[-1]}",
            )
        return found

    def _page(
        self, call: Call, kind: str, prefix: tuple[str, ...], request: Request, show: Any = None
    ) -> Response:
        if prefix:
            self._load(call, "api", *prefix)
        limit = _limit(request.get("MaxResults"))
        after = _token(request.get("NextToken"))
        found, last = state.page(call.tx, call.keys(self.name), kind, prefix, after, limit)
        answer: Response = {"Items": [show(r) if show else r for r in found]}
        if last is not None:
            answer["NextToken"] = base64.urlsafe_b64encode(last.encode()).decode()
        return answer

    def _room(self, call: Call, kind: str, api: str, most: int, quota: str) -> None:
        count = sum(1 for _ in call.tx.scan(call.keys(self.name).span(kind, api), limit=most))
        if count >= most:
            raise Fault(
                "TooManyRequestsException", f"Exceeded the quota {quota}: {most}", LimitType=quota
            )


_VERBS = {"Get": "GET", "Delete": "DELETE", "Update": "PATCH", "Reimport": "PUT", "Untag": "DELETE"}
_API_MEMBERS = ("Name", "Description", "Version", "CorsConfiguration", "DisableExecuteApiEndpoint",
                "DisableSchemaValidation", "Tags", "IpAddressType")  # fmt: skip
_ROUTE_MEMBERS = ("RouteKey", "Target", "ApiKeyRequired", "AuthorizationType")
_INTEGRATION_MEMBERS = ("ConnectionType", "Description", "IntegrationMethod", "IntegrationType",
                        "IntegrationUri", "PayloadFormatVersion", "TimeoutInMillis")  # fmt: skip
_STAGE_MEMBERS = ("AutoDeploy", "DefaultRouteSettings", "DeploymentId", "Description",
                  "StageVariables", "Tags")  # fmt: skip


def _given(request: Request, *members: str) -> dict[str, Any]:
    return {m: request[m] for m in members if request.get(m) is not None}


def _refuse(kind: str, request: Request) -> None:
    for member in _REFUSED[kind]:
        default = {"RouteSelectionExpression": "$request.method $request.path", "RouteSettings": {}}
        if request.get(member) and request[member] != default.get(member):
            raise Fault("BadRequestException", f"{member} is not offered by Stratolite yet")


def _api_shown(call: Call, record: dict[str, Any]) -> Response:
    created = datetime.fromtimestamp(record["CreatedDate"], UTC).timestamp()
    endpoint = f"{call.endpoint}/_aws/execute-api/{record['ApiId']}"
    return record | {"ApiEndpoint": endpoint, "CreatedDate": created}


def _id(call: Call) -> str:
    """Ten characters of a-z and 0-9, as AWS makes them."""
    return base64.b32encode(call.world.token(7))[:10].decode().lower()


def _limit(text: str | None) -> int:
    """How many are on a page: MaxResults is a string in the model, and a number."""
    if not text:
        return _PAGE_COUNT
    if not re.fullmatch(r"[0-9]{1,9}", text) or not int(text):
        raise Fault("BadRequestException", f"Invalid value for maxResults: {text}")
    return int(text)


def _token(text: str | None) -> str:
    if not text:
        return ""
    try:
        return base64.urlsafe_b64decode(text).decode()
    except ValueError as error:
        raise Fault("BadRequestException", "Invalid next token specified") from error
