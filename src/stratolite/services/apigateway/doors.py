"""The door execute-api: a request through a stage's deployment to an integration and back.

Path form /_aws/execute-api/<api>/<stage>/<path>, host form <api>.execute-api.<region>.localhost/<stage>/<path>,
LocalStack's older form /_aws/execute-api/<api>/<stage>/_user_request_/<path>.
Sources https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-authorization-flow.html
        https://docs.aws.amazon.com/apigateway/latest/developerguide/handle-errors-in-lambda-integration.html
"""

from __future__ import annotations

import gzip
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stratolite.errors import Fault
from stratolite.http import HttpRequest, HttpResponse
from stratolite.service import Call, Door
from stratolite.services.apigateway import admission, callers, refusals, state, validation
from stratolite.services.apigateway import incoming as requests
from stratolite.services.apigateway.backends import Backend
from stratolite.services.apigateway.context import (
    Context,
    add_caller,
    add_match,
    new_context,
    trace_header,
)
from stratolite.services.apigateway.deployed import Deployed
from stratolite.services.apigateway.incoming import Incoming
from stratolite.services.apigateway.refusals import Refusal

if TYPE_CHECKING:
    from stratolite.service import Service

EXECUTE = "ExecuteApi"
"""What IAM is asked about a signed request; no operation of the control plane is called so."""
_NAMESPACE = "AWS/ApiGateway"
_USER_REQUEST = "_user_request_"
_log = logging.getLogger("stratolite.apigateway")


@dataclass(frozen=True, slots=True)
class _Found:
    """What one reading of the store says about a request."""

    account: str
    region: str
    deployed: Deployed
    stage: dict[str, Any]
    path: str


class Gate:
    """Lets requests in; what it remembers is this process's own: authorizers' answers and rates."""

    def __init__(self, service: Service) -> None:
        self._service = service
        world = service.cloud.world
        self.verdicts = callers.Verdicts(world)
        self.buckets = admission.Buckets(world)

    async def serve(self, call: Call, door: Door, request: HttpRequest) -> HttpResponse:
        began_s = call.world.mono()
        found = await call.transact(lambda c: _find(c, door))
        if found is None:
            return _forbidden(call)
        incoming = requests.read(request, found.stage["stageName"], found.path)
        home = call.scoped(found.account, found.region)
        visit = _Visit(self, home, found, incoming)
        response = await visit.answer(request)
        response.headers += [
            ("x-amzn-RequestId", call.request_id),
            ("x-amz-apigw-id", visit.context["extendedRequestId"]),
        ]
        self._measure(home, found, visit, response.status, call.world.mono() - began_s)
        return _compressed(response, incoming, found.deployed)

    def _measure(
        self, call: Call, found: _Found, visit: _Visit, status: int, took_s: float
    ) -> None:
        """https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html"""
        name = ("ApiName", found.deployed.api["name"])
        stage = ("Stage", found.stage["stageName"])
        dimensions: list[tuple[tuple[str, str], ...]] = [(name,), (name, stage)]
        if visit.method is not None and _is_detailed(found.stage):
            method = ("Method", visit.method["httpMethod"])
            resource = ("Resource", visit.context["resourcePath"])
            dimensions.append((name, method, resource, stage))
        values = {
            "Count": (1.0, "Count"),
            "4XXError": (float(400 <= status < 500), "Count"),
            "5XXError": (float(status >= 500), "Count"),
            "Latency": (took_s * 1000, "Milliseconds"),
        }
        for where in dimensions:
            for metric, (value, unit) in values.items():
                call.cloud.measure(
                    call.account, call.region, _NAMESPACE, where, metric, value, unit
                )


class _Visit:
    """One request being answered."""

    def __init__(self, gate: Gate, call: Call, found: _Found, incoming: Incoming) -> None:
        self._gate, self._call, self._found, self._incoming = gate, call, found, incoming
        self._variables: dict[str, str] = found.stage.get("variables") or {}
        self.context: Context = new_context(
            call, found.account, found.deployed.api["id"], found.stage, incoming
        )
        self.method: dict[str, Any] | None = None

    async def answer(self, request: HttpRequest) -> HttpResponse:
        try:
            return await self._answer(request)
        except Refusal as refusal:
            return refusals.answer(
                refusal,
                self._found.deployed.responses,
                self._incoming,
                self.context,
                self._variables,
            )

    async def _answer(self, request: HttpRequest) -> HttpResponse:
        found, incoming = self._found, self._incoming
        match = found.deployed.match(incoming.method, incoming.path)
        if match is None:
            raise Refusal("MISSING_AUTHENTICATION_TOKEN")
        self.method = match.method
        incoming.parameters = match.parameters
        add_match(self.context, match)
        body = await requests.body_of(request)
        if body is None:
            raise Refusal("REQUEST_TOO_LARGE")
        incoming.body = _uncompressed(body, incoming, found.deployed)
        await self._let_in(match.method, match.resource["path"])
        validation.check(match.method, incoming, found.deployed)
        integration = match.method.get("methodIntegration")
        if integration is None:
            raise Refusal("API_CONFIGURATION_ERROR")
        trace = trace_header(self._call, incoming)
        backend = Backend(
            self._call, found.deployed, incoming, self.context, self._variables, trace
        )
        return await backend.answer(match, integration)

    async def _let_in(self, method: dict[str, Any], resource: str) -> None:
        """Policy, caller, API key, rate, in AWS's order. Raises Refusal."""
        found, gate = self._found, self._gate
        api, stage = found.deployed.api["id"], found.stage["stageName"]
        asking = callers.Asking(
            self._call,
            self._incoming,
            self.context,
            self._variables,
            f"arn:aws:execute-api:{found.region}:{found.account}:{api}/{stage}/"
            f"{self._incoming.method}{self._incoming.path}",
            found.deployed.policy,
            found.stage.get("authorizersFlushed", 0),
        )
        verdict = None
        kind = method["authorizationType"]
        if kind == "CUSTOM":
            authorizer = found.deployed.authorizers.get(method["authorizerId"])
            if authorizer is None:
                raise Refusal("AUTHORIZER_CONFIGURATION_ERROR")
            verdict = await callers.ask(gate.verdicts, authorizer, asking)
        elif kind == "AWS_IAM":
            await self._check_iam(asking)
        else:
            callers.check_policy(asking)
        if method["apiKeyRequired"]:
            await self._check_key(api, stage, f"{resource}/{method['httpMethod']}", verdict)
        admission.check_rate(gate.buckets, api, found.stage, resource, method["httpMethod"])

    async def _check_iam(self, asking: callers.Asking) -> None:
        who = asking.call.principal
        if who.kind == "anonymous":
            signed = self._incoming.header("authorization") or ""
            if signed.startswith("AWS4-HMAC-SHA256"):
                raise Refusal("INVALID_SIGNATURE")
            raise Refusal("MISSING_AUTHENTICATION_TOKEN")
        request = {"arn": asking.arn}
        service = self._gate._service

        def check(call: Call) -> None:
            call.cloud.authorize(call, service, EXECUTE, request)

        try:
            await asking.call.transact(check)
        except Fault as fault:
            raise callers.denied(
                who.arn, asking.arn, explicit="explicit deny" in fault.message
            ) from fault
        add_caller(self.context, who)

    async def _check_key(
        self, api: str, stage: str, method: str, verdict: callers.Verdict | None
    ) -> None:
        value = self._incoming.header("x-api-key")
        if self._found.deployed.api["apiKeySource"] == "AUTHORIZER":
            value = verdict.key if verdict is not None else None
        admitted = await self._call.transact(
            lambda call: admission.find(call, api, stage, method, value)
        )
        admission.check_throttles(self._gate.buckets, admitted)
        if admitted.plan.get("quota"):
            await self._call.transact(lambda call: admission.count(call, admitted))
        self.context["identity"] |= {"apiKey": value, "apiKeyId": admitted.key["id"]}


def _find(call: Call, door: Door) -> _Found | None:
    home = state.home(call.tx, door.label)
    if home is None:
        return None
    keys = call.scoped(*home).keys("apigateway")
    api = state.read(call.tx, keys, "api", door.label)
    name, _, rest = door.path[1:].partition("/")
    stage = state.read(call.tx, keys, "stage", door.label, name) if name else None
    if api is None or stage is None or api["disableExecuteApiEndpoint"]:
        return None
    deployed = state.deployed(call.tx, keys, door.label, stage["deploymentId"])
    if deployed is None:
        return None
    path = door.path[len(name) + 1 :]
    if rest == _USER_REQUEST or rest.startswith(f"{_USER_REQUEST}/"):
        path = path[len(_USER_REQUEST) + 1 :]
    return _Found(*home, deployed, stage, path)


def _forbidden(call: Call) -> HttpResponse:
    """What AWS answers where there is no such API, or no such stage of it."""
    headers = [
        ("Content-Type", "application/json"),
        ("x-amzn-ErrorType", "ForbiddenException"),
        ("x-amzn-RequestId", call.request_id),
    ]
    return HttpResponse(403, headers, b'{"message":"Forbidden"}')


def _is_detailed(stage: dict[str, Any]) -> bool:
    return any(one.get("metricsEnabled") for one in (stage.get("methodSettings") or {}).values())


# -- compression: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-gzip-compression-decompression.html


def _uncompressed(body: bytes, incoming: Incoming, deployed: Deployed) -> bytes:
    """Only an API with compression switched on looks into compressed bodies. Raises Refusal."""
    if deployed.api.get("minimumCompressionSize") is None or not body:
        return body
    if (incoming.header("content-encoding") or "").lower() != "gzip":
        return body
    import zlib

    unpacker = zlib.decompressobj(wbits=31)
    try:
        made = unpacker.decompress(body, requests.BODY_BYTES_MAX)
    except zlib.error as error:
        raise Refusal("DEFAULT_4XX", "Invalid request body") from error
    if unpacker.unconsumed_tail:
        raise Refusal("REQUEST_TOO_LARGE")
    return made


def _compressed(response: HttpResponse, incoming: Incoming, deployed: Deployed) -> HttpResponse:
    least = deployed.api.get("minimumCompressionSize")
    body = response.body
    if least is None or not isinstance(body, bytes) or len(body) < max(1, least):
        return response
    accepted = [
        one.split(";")[0].strip() for one in (incoming.header("accept-encoding") or "").split(",")
    ]
    if "gzip" not in accepted or any(n.lower() == "content-encoding" for n, _ in response.headers):
        return response
    response.headers.append(("Content-Encoding", "gzip"))
    response.body = gzip.compress(body, 6, mtime=0)
    return response
