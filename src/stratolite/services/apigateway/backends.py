"""What integrations do: ask a function, an AWS API or an address, or make the answer up.

Sources https://docs.aws.amazon.com/apigateway/latest/developerguide/how-to-integration-settings.html
        https://docs.aws.amazon.com/apigateway/latest/developerguide/how-to-mock-integration.html
        statuses of what goes wrong as recorded against AWS by LocalStack, tests/aws/services/apigateway
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from stratolite.egress import Failed
from stratolite.errors import Fault
from stratolite.http import HttpResponse
from stratolite.service import Call
from stratolite.services.apigateway import aws_apis, proxy
from stratolite.services.apigateway.context import Context
from stratolite.services.apigateway.deployed import Deployed
from stratolite.services.apigateway.incoming import BODY_BYTES_MAX, Incoming
from stratolite.services.apigateway.mapping import Answer, Mapping, Outgoing
from stratolite.services.apigateway.refusals import Refusal, internal
from stratolite.services.apigateway.routing import Match
from stratolite.services.apigateway.targets import (
    function_text,
    is_api,
    is_function,
    with_variables,
)

_NO_BODY = ("GET", "HEAD", "OPTIONS")
_NOT_PASSED_ON = frozenset(
    {"host", "content-encoding", "via", "te", "expect", "proxy-authenticate"}
)
_NOT_PASSED_BACK = frozenset({"content-encoding", "via", "transfer-encoding"})
_STATUS = re.compile(r"""['"]?statusCode['"]?\s{0,99}:\s{0,99}(\d{3})\b""")
_STATUS_WITHIN = 64 << 10
_log = logging.getLogger("stratolite.apigateway")


class Backend:
    """One request's integration."""

    def __init__(
        self,
        call: Call,
        deployed: Deployed,
        incoming: Incoming,
        context: Context,
        variables: dict[str, str],
        trace: str,
    ) -> None:
        self._call, self._deployed, self._incoming = call, deployed, incoming
        self._context, self._variables, self._trace = context, variables, trace

    async def answer(self, match: Match, integration: dict[str, Any]) -> HttpResponse:
        """Raises Refusal."""
        kind = integration["type"]
        if kind == "AWS_PROXY":
            response = await self._function_proxy(match, integration)
            response.headers.append(("X-Amzn-Trace-Id", self._trace))
            return response
        mapping = Mapping(self._incoming, self._context, self._variables, self._deployed)
        if kind == "HTTP_PROXY":
            return await self._http_proxy(integration, mapping.mapped(integration))
        outgoing = mapping.request(integration)
        if kind == "MOCK":
            answer = Answer(_mocked(outgoing.body), [], b"")
        elif kind == "AWS" and is_api(with_variables(integration["uri"], self._variables)):
            answer = await self._api(match, integration, outgoing)
        elif kind == "AWS":
            answer = await self._function(match, integration, outgoing)
        else:
            answer = await self._http(integration, outgoing)
        return mapping.response(integration, answer)

    # -- functions

    async def _function_proxy(self, match: Match, integration: dict[str, Any]) -> HttpResponse:
        if integration.get("httpMethod") != "POST":
            raise Refusal("INTEGRATION_FAILURE", status=500)
        event = proxy.event(
            self._incoming,
            self._context,
            self._variables,
            match.resource["path"],
            self._trace,
            self._deployed,
        )
        answer = await self._invoke(match, integration, orjson.dumps(event))
        payload = bytes(answer.get("Payload") or b"")
        if answer.get("FunctionError"):
            raise internal(502)
        try:
            return proxy.response(payload, self._incoming, self._deployed)
        except proxy.BadAnswer as bad:
            _log.info("api=%s bad answer of its function: %s", self._context["apiId"], bad)
            raise internal(502) from bad

    async def _function(
        self, match: Match, integration: dict[str, Any], outgoing: Outgoing
    ) -> Answer:
        """A function without proxy: what it is given is what the template made."""
        kind = outgoing.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        answer = await self._invoke(match, integration, outgoing.body, kind)
        payload = bytes(answer.get("Payload") or b"")
        error = ""
        if answer.get("FunctionError"):
            try:
                error = str(orjson.loads(payload).get("errorMessage", ""))
            except (ValueError, AttributeError):
                error = ""
        headers = [("Content-Type", "application/json"), ("X-Amzn-Trace-Id", self._trace)]
        return Answer(int(answer.get("StatusCode", 200)), headers, payload, error)

    async def _api(self, match: Match, integration: dict[str, Any], outgoing: Outgoing) -> Answer:
        uri = with_variables(integration["uri"], self._variables)
        method = integration["httpMethod"]
        method = self._incoming.method if method == "ANY" else method
        try:
            hop = await self._hop(match, integration)
            work = aws_apis.asked(hop, uri, method, outgoing, self._incoming.content_type)
            return await asyncio.wait_for(work, integration["timeoutInMillis"] / 1000)
        except TimeoutError as error:
            raise Refusal("INTEGRATION_TIMEOUT") from error
        except Fault as fault:
            _log.info("api=%s cannot ask %s: %s", self._context["apiId"], uri, fault.message)
            raise internal(500) from fault

    async def _hop(self, match: Match, integration: dict[str, Any]) -> Call:
        """Who asks: the service principal for this method, the role the integration names, or the caller."""
        call, context, name = self._call, self._context, "apigateway.amazonaws.com"
        source = (
            f"arn:aws:execute-api:{call.region}:{call.account}:{context['apiId']}/{context['stage']}/"
            f"{_method_name(match)}{match.resource['path']}"
        )
        role = with_variables(integration.get("credentials") or "", self._variables)
        if role == "arn:aws:iam::*:user/*":
            return call
        if role:
            return await call.as_role(role, name, source, "BackplaneAssumeRoleSession")
        return call.as_service(name, source)

    async def _invoke(
        self,
        match: Match,
        integration: dict[str, Any],
        payload: bytes,
        kind: str = "RequestResponse",
    ) -> dict[str, Any]:
        """As the service principal for this method, or in the role the integration names."""
        function = with_variables(function_text(integration["uri"]) or "", self._variables)
        if not is_function(function):
            raise internal()
        request = {"FunctionName": function, "Payload": payload, "InvocationType": kind}
        try:
            hop = await self._hop(match, integration)
            work = hop.request("lambda", "Invoke", request)
            return await asyncio.wait_for(work, integration["timeoutInMillis"] / 1000)
        except TimeoutError as error:
            raise Refusal("INTEGRATION_TIMEOUT") from error
        except Fault as fault:
            _log.info("api=%s cannot invoke: %s", self._context["apiId"], fault.message)
            refused = fault.code in ("AccessDeniedException", "AccessDenied")
            raise internal(500 if refused else 502) from fault

    # -- addresses

    async def _http_proxy(self, integration: dict[str, Any], outgoing: Outgoing) -> HttpResponse:
        incoming = self._incoming
        headers = {
            name: ",".join(values)
            for name, values in proxy.forwarded(incoming, self._trace).items()
            if name.lower() not in _NOT_PASSED_ON
        }
        headers |= outgoing.headers
        query = {name: list(values) for name, values in incoming.query.items()}
        for name, values in outgoing.query.items():
            query[name] = [*query.get(name, []), *values]
        made = Outgoing(incoming.body, headers, query, outgoing.path)
        answer = await self._http(integration, made)
        kept = [h for h in answer.headers if h[0].lower() not in _NOT_PASSED_BACK]
        return HttpResponse(answer.status, proxy.remapped(kept), answer.body)

    async def _http(self, integration: dict[str, Any], outgoing: Outgoing) -> Answer:
        method = integration.get("httpMethod") or self._incoming.method
        if method == "ANY":
            method = self._incoming.method
        url = with_variables(integration["uri"], self._variables)
        for name, value in outgoing.path.items():
            safe = value if "%" in value else quote(value, safe="/:@!$&'()*+,;=~")
            url = url.replace(f"{{{name}}}", safe).replace(f"{{{name}+}}", safe)
        if outgoing.query:
            url += ("&" if "?" in url else "?") + urlencode(outgoing.query, doseq=True)
        headers = {
            "Accept": "application/json",
            "User-Agent": f"AmazonAPIGateway_{self._context['apiId']}",
            "X-Amzn-Apigateway-Api-Id": self._context["apiId"],
            "X-Amzn-Trace-Id": self._trace,
        }
        if method not in _NO_BODY:
            headers["Content-Type"] = self._incoming.content_type or "application/json"
        for name, value in outgoing.headers.items():
            headers = {k: v for k, v in headers.items() if k.lower() != name.lower()}
            headers[name] = value
        body = outgoing.body if method not in _NO_BODY else b""
        try:
            answer = await self._call.cloud.egress.request(
                method,
                url,
                list(headers.items()),
                body,
                timeout_s=integration["timeoutInMillis"] / 1000,
                answer_bytes_max=BODY_BYTES_MAX,
            )
        except Failed as failed:
            _log.info("api=%s cannot reach %s: %s", self._context["apiId"], url, failed)
            if failed.why == "timeout":
                raise Refusal("INTEGRATION_TIMEOUT") from failed
            raise Refusal(
                "INTEGRATION_FAILURE", "Network error communicating with endpoint"
            ) from failed
        return Answer(answer.status, list(answer.headers), answer.body)


def _method_name(match: Match) -> str:
    """As permissions name it: a method for all verbs is a star there."""
    verb = str(match.method["httpMethod"])
    return "*" if verb == "ANY" else verb


def _mocked(body: bytes) -> int:
    """The ``statusCode`` of what the request template made, which need not be quite JSON. Raises Refusal."""
    try:
        status = orjson.loads(body)["statusCode"]
        if isinstance(status, int) and not isinstance(status, bool):
            return status
    except (ValueError, KeyError, TypeError):
        found = _STATUS.search(body[:_STATUS_WITHIN].decode(errors="replace"))
        if found is not None:
            return int(found[1])
    raise internal()
