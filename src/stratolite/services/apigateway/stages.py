"""Deployments, which keep what an API is, and stages, which serve one of them.

Source  https://docs.aws.amazon.com/apigateway/latest/api/API_CreateDeployment.html
        https://docs.aws.amazon.com/apigateway/latest/api/API_MethodSetting.html
        words as recorded against AWS by LocalStack, tests/aws/services/apigateway
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.apigateway import state
from stratolite.services.apigateway.parts import (
    SERVICE,
    all_of,
    bad,
    find,
    given,
    load,
    made_before,
    new_id,
    not_offered,
    page,
    remove,
    room,
    shown,
    store,
)
from stratolite.services.apigateway.patches import (
    Entries,
    Field,
    Rule,
    apply,
    boolean,
    number,
    rate,
    unescape,
)

STAGES_COUNT_MAX = 10
DEPLOYMENTS_COUNT_MAX = 1000
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}\Z")
_VARIABLE = re.compile(r"[A-Za-z0-9_]+\Z")
_VALUE = re.compile(r"[A-Za-z0-9-._~:/?#&=,]*\Z")
DEFAULT_SETTING: dict[str, Any] = {
    "metricsEnabled": False,
    "dataTraceEnabled": False,
    "throttlingBurstLimit": 5000,
    "throttlingRateLimit": 10000.0,
    "cachingEnabled": False,
    "cacheTtlInSeconds": 300,
    "cacheDataEncrypted": False,
    "requireAuthorizationForCacheControl": True,
    "unauthorizedCacheControlHeaderStrategy": "SUCCEED_WITH_RESPONSE_HEADER",
}
_SETTINGS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "metrics/enabled": ("metricsEnabled", boolean),
    "logging/dataTrace": ("dataTraceEnabled", boolean),
    "logging/loglevel": ("loggingLevel", str),
    "throttling/burstLimit": ("throttlingBurstLimit", number),
    "throttling/rateLimit": ("throttlingRateLimit", rate),
    "caching/enabled": ("cachingEnabled", boolean),
    "caching/ttlInSeconds": ("cacheTtlInSeconds", number),
    "caching/dataEncrypted": ("cacheDataEncrypted", boolean),
    "caching/requireAuthorizationForCacheControl": ("requireAuthorizationForCacheControl", boolean),
    "caching/unauthorizedCacheControlHeaderStrategy": ("unauthorizedCacheControlHeaderStrategy", str),
}  # fmt: skip
_SETTING_PATH = re.compile(rf"/(.+)/([A-Z]+|\*)/({'|'.join(_SETTINGS)})\Z")
_RULES: dict[str, Rule] = {
    "/deploymentId": Field("deploymentId"),
    "/description": Field("description"),
    "/cacheClusterEnabled": Field("cacheClusterEnabled", boolean),
    "/cacheClusterSize": Field("cacheClusterSize"),
    "/clientCertificateId": Field("clientCertificateId"),
    "/tracingEnabled": Field("tracingEnabled", boolean),
    "/variables": Entries("variables", upserts=True),
}
_OFFERED_PATHS = (
    "Invalid method setting path: {path}. Must be one of: [/deploymentId, /description, /cacheClusterEnabled,"
    " /cacheClusterSize, /clientCertificateId, /accessLogSettings, /accessLogSettings/destinationArn,"
    " /accessLogSettings/format, /{{resourcePath}}/{{httpMethod}}/metrics/enabled,"
    " /{{resourcePath}}/{{httpMethod}}/logging/dataTrace, /{{resourcePath}}/{{httpMethod}}/logging/loglevel,"
    " /{{resourcePath}}/{{httpMethod}}/throttling/burstLimit/{{resourcePath}}/{{httpMethod}}/throttling/rateLimit"
    "/{{resourcePath}}/{{httpMethod}}/caching/ttlInSeconds, /{{resourcePath}}/{{httpMethod}}/caching/enabled,"
    " /{{resourcePath}}/{{httpMethod}}/caching/dataEncrypted,"
    " /{{resourcePath}}/{{httpMethod}}/caching/requireAuthorizationForCacheControl,"
    " /{{resourcePath}}/{{httpMethod}}/caching/unauthorizedCacheControlHeaderStrategy, /*/*/metrics/enabled,"
    " /*/*/logging/dataTrace, /*/*/logging/loglevel, /*/*/throttling/burstLimit /*/*/throttling/rateLimit"
    " /*/*/caching/ttlInSeconds, /*/*/caching/enabled, /*/*/caching/dataEncrypted,"
    " /*/*/caching/requireAuthorizationForCacheControl, /*/*/caching/unauthorizedCacheControlHeaderStrategy,"
    " /variables/{{variable_name}}, /tracingEnabled]"
)
_ACTIVE = "Active stages pointing to this deployment must be moved or deleted"


class Stages:
    def create_deployment(self, call: Call, request: Request) -> Response:
        api = request["restApiId"]
        load(call, "api", api)
        if again := made_before(call, "deployment", request, api):
            return shown(again)
        for member in ("canarySettings", "tracingEnabled", "cacheClusterEnabled"):
            if request.get(member):
                raise not_offered(member)
        room(call, "deployment", api, most=DEPLOYMENTS_COUNT_MAX, what="deployments")
        _check_methods(all_of(call, "resource", api))
        record: dict[str, Any] = {"id": new_id(call), "createdDate": int(call.tx.time_s)}
        record |= given(request, "description")
        if request.get("StackToken"):
            record["stackToken"] = request["StackToken"]
        store(call, "deployment", api, record["id"], record=record)
        state.freeze(call.tx, call.keys(SERVICE), api, record["id"])
        if name := request.get("stageName"):
            self._deploy_to(call, api, name, record["id"], request)
        return shown(record)

    def _deploy_to(
        self, call: Call, api: str, name: str, deployment: str, request: Request
    ) -> None:
        """The stage serves the deployment from now on; one that is not there is made."""
        stage = find(call, "stage", api, name)
        if stage is None:
            wanted = {
                "stageName": name,
                "deploymentId": deployment,
                "description": request.get("stageDescription"),
                "variables": request.get("variables"),
            }
            _store(call, api, _new(call, api, wanted))
            return
        stage["deploymentId"] = deployment
        if request.get("variables"):
            stage["variables"] = (stage.get("variables") or {}) | request["variables"]
        if request.get("stageDescription"):
            stage["description"] = request["stageDescription"]
        _store(call, api, stage)

    def get_deployment(self, call: Call, request: Request) -> Response:
        api, name = request["restApiId"], request["deploymentId"]
        record = shown(load(call, "deployment", api, name))
        if "apisummary" in (request.get("embed") or ()):
            keys = call.keys(SERVICE)
            deployed = state.deployed(call.tx, keys, api, name)
            assert deployed is not None, "a deployment is frozen when it is made"
            record["apiSummary"] = {
                resource["path"]: {
                    verb: {
                        "authorizationType": method["authorizationType"],
                        "apiKeyRequired": method["apiKeyRequired"],
                    }
                    for verb, method in (resource.get("resourceMethods") or {}).items()
                }
                for resource in deployed.resources
                if resource.get("resourceMethods")
            }
        return record

    def get_deployments(self, call: Call, request: Request) -> Response:
        load(call, "api", request["restApiId"])
        return page(call, "deployment", (request["restApiId"],), request)

    def update_deployment(self, call: Call, request: Request) -> Response:
        where = (request["restApiId"], request["deploymentId"])
        record = load(call, "deployment", *where)
        rules = {"/description": Field("description")}
        apply(record, request.get("patchOperations") or (), rules)
        store(call, "deployment", *where, record=record)
        return shown(record)

    def delete_deployment(self, call: Call, request: Request) -> Response:
        api, name = request["restApiId"], request["deploymentId"]
        load(call, "deployment", api, name)
        if any(stage["deploymentId"] == name for stage in all_of(call, "stage", api)):
            raise bad(_ACTIVE)
        remove(call, "deployment", api, name)
        remove(call, "frozen", api, name)
        return {}

    # -- stages

    def create_stage(self, call: Call, request: Request) -> Response:
        api = request["restApiId"]
        load(call, "api", api)
        if find(call, "stage", api, request["stageName"]) is not None:
            raise Fault("ConflictException", "Stage already exists")
        return _store(call, api, _new(call, api, request))

    def get_stage(self, call: Call, request: Request) -> Response:
        return shown(load(call, "stage", request["restApiId"], request["stageName"]))

    def get_stages(self, call: Call, request: Request) -> Response:
        load(call, "api", request["restApiId"])
        wanted = request.get("deploymentId")
        found = all_of(call, "stage", request["restApiId"])
        return {"item": [shown(s) for s in found if wanted in (None, s["deploymentId"])]}

    def update_stage(self, call: Call, request: Request) -> Response:
        api = request["restApiId"]
        record = load(call, "stage", api, request["stageName"])
        for operation in request.get("patchOperations") or ():
            _patch(record, operation)
        return _store(call, api, record)

    def delete_stage(self, call: Call, request: Request) -> Response:
        api, name = request["restApiId"], request["stageName"]
        load(call, "stage", api, name)
        for plan in all_of(call, "plan"):
            if any((s["apiId"], s["stage"]) == (api, name) for s in plan["apiStages"]):
                raise bad(
                    f"Cannot delete stage '{name}'. Please remove it from the usage plans first: {plan['id']}"
                )
        remove(call, "stage", api, name)
        return {}

    def flush_stage_authorizers_cache(self, call: Call, request: Request) -> Response:
        record = load(call, "stage", request["restApiId"], request["stageName"])
        record["authorizersFlushed"] = int(record.get("authorizersFlushed", 0)) + 1
        store(call, "stage", request["restApiId"], record["stageName"], record=record)
        return {}


def _new(call: Call, api: str, request: Request) -> dict[str, Any]:
    """A stage as CreateStage asks for it. Raises Fault."""
    name = request["stageName"]
    if not _NAME.match(name):
        raise bad("Stage name only allows a-zA-Z0-9_-")
    room(call, "stage", api, most=STAGES_COUNT_MAX, what="stages per API")
    if request.get("canarySettings"):
        raise not_offered("canarySettings")
    record: dict[str, Any] = {
        "stageName": name,
        "createdDate": int(call.tx.time_s),
        "cacheClusterEnabled": False,
        "cacheClusterStatus": "NOT_AVAILABLE",
        "methodSettings": {},
        "tracingEnabled": False,
    }
    members = ("deploymentId", "description", "documentationVersion", "variables", "tags", "cacheClusterEnabled",
               "tracingEnabled")  # fmt: skip
    record |= {k: v for k, v in given(request, *members).items() if v != {}}
    return record


def _store(call: Call, api: str, record: dict[str, Any]) -> Response:
    for member in ("tracingEnabled", "cacheClusterEnabled", "clientCertificateId"):
        if record.get(member):
            raise not_offered(member)
    if record.get("documentationVersion"):
        raise not_offered("documentationVersion")
    if find(call, "deployment", api, record.get("deploymentId") or "") is None:
        raise bad("Deployment id does not exist")
    for name, value in (record.get("variables") or {}).items():
        if not _VARIABLE.match(name) or not _VALUE.match(value):
            raise bad(
                "Stage variable names may only contain A-Za-z0-9_, and values [A-Za-z0-9-._~:/?#&=,]+"
            )
    record["lastUpdatedDate"] = int(call.tx.time_s)
    store(call, "stage", api, record["stageName"], record=record)
    return shown(record)


def _patch(record: dict[str, Any], operation: dict[str, Any]) -> None:
    op, path = operation["op"], operation.get("path") or ""
    start = path.split("/")[1] if "/" in path else ""
    if start in ("canarySettings", "accessLogSettings"):
        if op == "remove":
            raise bad(
                f"Cannot remove method setting {path.strip('/')} because there is no method setting for this method "
            )
        raise not_offered(start)
    if f"/{start}" in _RULES:
        apply(record, (operation,), _RULES)
        return
    setting = _SETTING_PATH.match(path)
    if op == "remove" and setting is None:
        _remove_settings(record, path)
        return
    if setting is None:
        raise bad(_OFFERED_PATHS.format(path=path))
    resource, verb, name = setting.groups()
    key = _setting_key(resource, verb)
    member, read = _SETTINGS[name]
    value = (
        DEFAULT_SETTING.get(member) if op == "remove" else read(str(operation.get("value") or ""))
    )
    check_setting(member, value)
    settings = record["methodSettings"]
    base = settings.get(key) or settings.get("*/*") or DEFAULT_SETTING
    settings[key] = {**base, member: value}
    if value is None:
        del settings[key][member]


def _setting_key(resource: str, verb: str) -> str:
    """``pets/GET`` of ``~1pets`` and GET; the root's is ``//GET``."""
    if resource == "~1":
        return f"//{verb}"
    return f"{unescape(resource).strip('/') if resource != '*' else '*'}/{verb}"


def check_setting(member: str, value: Any) -> None:
    """Raises Fault for what a stage cannot do here."""
    if member == "cachingEnabled" and value:
        raise not_offered("cachingEnabled")
    if member == "dataTraceEnabled" and value:
        raise not_offered("dataTraceEnabled")
    if member == "loggingLevel" and value not in (None, "OFF"):
        if value not in ("INFO", "ERROR"):
            raise bad("Invalid logging level specified. Must be one of: [OFF, ERROR, INFO]")
        raise not_offered(f"loggingLevel {value}")


def _remove_settings(record: dict[str, Any], path: str) -> None:
    """``/*/*`` or ``/~1pets/GET``: all settings of a method."""
    resource, _, verb = path.strip("/").rpartition("/")
    key = _setting_key(resource, verb)
    if key not in record["methodSettings"]:
        raise bad(
            f"Cannot remove method setting {path.strip('/')} because there is no method setting for this method "
        )
    del record["methodSettings"][key]


def _check_methods(resources: list[dict[str, Any]]) -> None:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/how-to-deploy-api-console.html"""
    methods = [
        method
        for resource in resources
        for method in (resource.get("resourceMethods") or {}).values()
    ]
    if not methods:
        raise bad("The REST API doesn't contain any methods")
    if any("methodIntegration" not in method for method in methods):
        raise bad("No integration defined for method")
