"""The door execute-api: an HTTP request through a stage's routes to a function and back.

Path form /_aws/execute-api/<api>[/<stage>]/<path>, host form <api>.execute-api.<region>.localhost.
Source  https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-troubleshooting-lambda.html
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from typing import Any

from stratolite.errors import Fault
from stratolite.http import HttpRequest, HttpResponse
from stratolite.service import Call, Door
from stratolite.services.apigatewayv2 import cors, events, state
from stratolite.services.apigatewayv2.routing import DEFAULT, Match
from stratolite.services.apigatewayv2.targets import function_arn

BODY_BYTES_MAX = 10 << 20
_log = logging.getLogger("stratolite.apigatewayv2")


@dataclass(frozen=True, slots=True)
class _Found:
    """What one reading of the store says about a request."""

    account: str
    region: str
    api: dict[str, Any]
    stage: dict[str, Any] | None
    path: str
    match: Match | None


async def serve(call: Call, door: Door, request: HttpRequest) -> HttpResponse | None:
    """None for an id that is no HTTP API's; the body has not been read then."""
    if request.headers.get("upgrade", "").lower() == "websocket":
        return _message(426, "Upgrade Required")
    found = await call.transact(lambda c: _find(c, door, request.method))
    if found is None:
        return None
    if found.api["DisableExecuteApiEndpoint"]:
        return _message(404, "Not Found")
    rules, origin = found.api.get("CorsConfiguration"), request.headers.get("origin", "")
    if rules is not None and _is_preflight(request):
        return HttpResponse(204, cors.preflight(rules, origin))
    began_s = call.world.mono()
    answer = await _answer(call, request, found)
    _measure(call, found, answer.status, (call.world.mono() - began_s) * 1000)
    if rules is not None and origin:
        kept = [h for h in answer.headers if not h[0].lower().startswith("access-control-")]
        answer.headers = kept + cors.headers_for(rules, origin)
    answer.headers.append(("Apigw-Requestid", call.request_id))
    return answer


def _find(call: Call, door: Door, method: str) -> _Found | None:
    home = state.home(call.tx, door.label)
    if home is None:
        return None
    keys = call.scoped(*home).keys("apigatewayv2")
    api = state.read(call.tx, keys, "api", door.label)
    if api is None:
        return None
    first, _, rest = door.path[1:].partition("/")
    stage = state.read(call.tx, keys, "stage", door.label, first) if first else None
    path = "/" + rest
    if stage is None:
        stage, path = state.read(call.tx, keys, "stage", door.label, DEFAULT), door.path
    if stage is None:
        return _Found(*home, api, None, path, None)
    deployment = None if stage["AutoDeploy"] else stage.get("DeploymentId", "")
    router = None
    if deployment != "":
        router = state.router(call.tx, keys, door.label, deployment)
    return _Found(*home, api, stage, path, router.match(method, path) if router else None)


def _is_preflight(request: HttpRequest) -> bool:
    return request.method == "OPTIONS" and "access-control-request-method" in request.headers


async def _answer(call: Call, request: HttpRequest, found: _Found) -> HttpResponse:
    if found.stage is None or found.match is None:
        return _message(404, "Not Found")
    integration = found.match.integration
    if integration is None:
        return _message(500, "Internal Server Error")
    body = await _body(request)
    if body is None:
        return _message(413, "Request Entity Too Large")
    version = integration["PayloadFormatVersion"]
    stage = found.stage["StageName"]
    shown = found.path if stage == DEFAULT else f"/{stage}{found.path}"
    facts = events.Facts(
        found.account,
        found.api["ApiId"],
        stage,
        found.match.route_key,
        call.request_id,
        call.world.cloud(),
        found.match.parameters,
        found.stage.get("StageVariables", {}),
        shown,
        request.headers.get("host", ""),
    )
    event = events.event(version, request, body, facts)
    began_s = call.world.mono()
    try:
        outcome = await asyncio.wait_for(
            _invoke(call, found, integration["IntegrationUri"], event),
            integration["TimeoutInMillis"] / 1000,
        )
    except TimeoutError:
        return _message(503, "Service Unavailable")
    except Fault as fault:
        _log.info("api=%s cannot invoke: %s", found.api["ApiId"], fault.message)
        return _message(500, "Internal Server Error")
    took_ms = (call.world.mono() - began_s) * 1000
    _count(call, found, "IntegrationLatency", took_ms, "Milliseconds")
    if outcome.get("FunctionError"):
        return _message(500, "Internal Server Error")
    try:
        return events.response(version, outcome.get("Payload", b""))
    except events.BadAnswer as bad:
        _log.info("api=%s bad answer of its function: %s", found.api["ApiId"], bad)
        return _message(500, "Internal Server Error")


def _measure(call: Call, found: _Found, status: int, took_ms: float) -> None:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html"""
    _count(call, found, "Count", 1.0)
    _count(call, found, "4xx", float(400 <= status < 500))
    _count(call, found, "5xx", float(status >= 500))
    _count(call, found, "Latency", took_ms, "Milliseconds")


def _count(call: Call, found: _Found, name: str, value: float, unit: str = "Count") -> None:
    api = ("ApiId", found.api["ApiId"])
    wanted: list[tuple[tuple[str, str], ...]] = [(api,)]
    if found.stage is not None:
        wanted.append((api, ("Stage", found.stage["StageName"])))
    for dimensions in wanted:
        place = found.account, found.region, "AWS/ApiGateway", dimensions
        call.cloud.measure(*place, name, value, unit)


async def _invoke(call: Call, found: _Found, uri: str, event: dict[str, Any]) -> dict[str, Any]:
    """As the service principal, for this route: the function's policy decides (confused deputy)."""
    assert found.stage is not None
    assert found.match is not None
    arn = function_arn(uri)
    assert arn is not None, "checked when the integration was stored"
    method, _, path = found.match.route_key.partition(" ")
    where = f"{method}{path}" if path else method
    if path and method == "ANY":
        where = f"*{path}"
    api, stage = found.api["ApiId"], found.stage["StageName"]
    source = f"arn:aws:execute-api:{found.region}:{found.account}:{api}/{stage}/{where}"
    home = call.scoped(found.account, found.region)
    service = home.as_service("apigateway.amazonaws.com", source)
    request = {"FunctionName": arn, "Payload": json.dumps(event).encode()}
    return await service.request("lambda", "Invoke", request)


async def _body(request: HttpRequest) -> bytes | None:
    """The whole body, None if it is too large."""
    if isinstance(request.body, bytes):
        return request.body if len(request.body) <= BODY_BYTES_MAX else None
    parts, size = [], 0
    async for part in request.body:
        size += len(part)
        if size <= BODY_BYTES_MAX:
            parts.append(part)
    return b"".join(parts) if size <= BODY_BYTES_MAX else None


def _message(status: int, text: str) -> HttpResponse:
    body = json.dumps({"message": text}, separators=(",", ":")).encode()
    return HttpResponse(status, [("Content-Type", "application/json")], body)
