"""Integrations of methods, and what becomes of the integrations' answers.

Offered: AWS_PROXY and AWS with a Lambda function, AWS with the APIs of services offered (``aws_apis``), HTTP, HTTP_PROXY and MOCK.
Source  https://docs.aws.amazon.com/apigateway/latest/api/API_PutIntegration.html
        words as recorded against AWS by LocalStack, tests/aws/services/apigateway
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from stratolite import allowed_pattern
from stratolite.service import Call, Request, Response
from stratolite.services.apigateway import vtl
from stratolite.services.apigateway.methods import NO_STATUS, check_status, method
from stratolite.services.apigateway.parts import bad, given, missing, not_offered, store
from stratolite.services.apigateway.patches import Entries, Field, Rule, apply, number
from stratolite.services.apigateway.targets import (
    APIS,
    aws_parts,
    function_text,
    has_variables,
    is_api,
    is_function,
)

TYPES = ("AWS", "AWS_PROXY", "HTTP", "HTTP_PROXY", "MOCK")
PASSTHROUGH = ("WHEN_NO_MATCH", "WHEN_NO_TEMPLATES", "NEVER")
HANDLING = ("CONVERT_TO_TEXT", "CONVERT_TO_BINARY")
TIMEOUT_MS = (50, 29_000)
NO_INTEGRATION = "Invalid Integration identifier specified"
_MEMBERS = ("uri", "credentials", "requestParameters", "requestTemplates", "contentHandling")
_TARGET = re.compile(r"integration\.request\.(path|querystring|header)\.[A-Za-z0-9._$~!#%&'*+^`|-]+\Z")  # fmt: skip
_SOURCE = re.compile(
    r"(method\.request\.(path|querystring|header|multivaluequerystring|multivalueheader)\..+"
    r"|method\.request\.body(\..+)?|context\..+|stageVariables\..+|'.*')\Z",
    re.DOTALL,
)
_RESPONSE_SOURCE = re.compile(
    r"(integration\.response\.(header|multivalueheader)\..+|integration\.response\.body(\..+)?"
    r"|context\..+|stageVariables\..+|'.*')\Z",
    re.DOTALL,
)
_RULES: dict[str, Rule] = {
    "/type": Field("type"),
    "/httpMethod": Field("httpMethod"),
    "/uri": Field("uri"),
    "/credentials": Field("credentials", operations=("replace", "remove")),
    "/connectionType": Field("connectionType"),
    "/passthroughBehavior": Field("passthroughBehavior"),
    "/contentHandling": Field("contentHandling", operations=("replace", "remove")),
    "/timeoutInMillis": Field("timeoutInMillis", number),
    "/cacheNamespace": Field("cacheNamespace"),
    "/requestParameters": Entries("requestParameters"),
    "/requestTemplates": Entries("requestTemplates"),
}
_RESPONSE_RULES: dict[str, Rule] = {
    "/selectionPattern": Field("selectionPattern", operations=("add", "replace")),
    "/contentHandling": Field("contentHandling", operations=("replace", "remove")),
    "/responseParameters": Entries("responseParameters"),
    "/responseTemplates": Entries("responseTemplates"),
}


class Integrations:
    def put_integration(self, call: Call, request: Request) -> Response:
        found, one = method(call, request)
        made = new_integration(request, found["id"])
        one["methodIntegration"] = made
        store(call, "resource", request["restApiId"], found["id"], record=found)
        return made

    def get_integration(self, call: Call, request: Request) -> Response:
        return integration(method(call, request)[1])

    def update_integration(self, call: Call, request: Request) -> Response:
        found, one = method(call, request)
        made = integration(one)
        apply(made, request.get("patchOperations") or (), _RULES)
        check(made)
        store(call, "resource", request["restApiId"], found["id"], record=found)
        return made

    def delete_integration(self, call: Call, request: Request) -> Response:
        found, one = method(call, request)
        integration(one)
        del one["methodIntegration"]
        store(call, "resource", request["restApiId"], found["id"], record=found)
        return {}

    # -- responses

    def put_integration_response(self, call: Call, request: Request) -> Response:
        found, one = method(call, request)
        made = new_response(request)
        integration(one).setdefault("integrationResponses", {})[made["statusCode"]] = made
        store(call, "resource", request["restApiId"], found["id"], record=found)
        return made

    def get_integration_response(self, call: Call, request: Request) -> Response:
        return _response(integration(method(call, request)[1]), request)

    def update_integration_response(self, call: Call, request: Request) -> Response:
        found, one = method(call, request)
        response = _response(integration(one), request)
        apply(response, request.get("patchOperations") or (), _RESPONSE_RULES)
        check_response(response)
        store(call, "resource", request["restApiId"], found["id"], record=found)
        return response

    def delete_integration_response(self, call: Call, request: Request) -> Response:
        found, one = method(call, request, NO_INTEGRATION)  # AWS's words here, as recorded
        made = integration(one)
        _response(made, request)
        del made["integrationResponses"][request["statusCode"]]
        if not made["integrationResponses"]:
            del made["integrationResponses"]
        store(call, "resource", request["restApiId"], found["id"], record=found)
        return {}


def integration(one: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] | None = one.get("methodIntegration")
    if found is None:
        raise missing(NO_INTEGRATION)
    return found


def new_integration(request: Request, resource_id: str) -> dict[str, Any]:
    """The record of what PutIntegration asks for. Raises Fault."""
    kind = request["type"]
    for member in ("cacheKeyParameters", "connectionId", "tlsConfig", "integrationTarget"):
        if request.get(member):
            raise not_offered(member)
    if request.get("connectionType") == "VPC_LINK":
        raise not_offered("A VPC link")
    if request.get("responseTransferMode") == "STREAM":
        raise not_offered("responseTransferMode STREAM")
    made = {
        "type": kind,
        "passthroughBehavior": request.get("passthroughBehavior") or "WHEN_NO_MATCH",
        "timeoutInMillis": request.get("timeoutInMillis") or TIMEOUT_MS[1],
        "cacheNamespace": request.get("cacheNamespace") or resource_id,
        "cacheKeyParameters": [],
    } | {k: v for k, v in given(request, *_MEMBERS).items() if v not in ({}, "")}
    if request.get("integrationHttpMethod"):
        made["httpMethod"] = request["integrationHttpMethod"]
    if kind in ("HTTP", "HTTP_PROXY"):
        made["connectionType"] = "INTERNET"
    check(made)
    return made


def check(made: dict[str, Any]) -> None:
    """Raises Fault for an integration that is malformed, or that is not offered."""
    kind, uri = made["type"], made.get("uri") or ""
    if kind not in TYPES:
        raise bad(f"Invalid integration type specified: {kind}")
    if kind != "MOCK":
        if not made.get("httpMethod"):
            raise bad("Enumeration value for HttpMethod must be non-empty")
        _check_uri(kind, uri, made.get("credentials") or "")
    if made["passthroughBehavior"] not in PASSTHROUGH:
        raise bad(
            f"Invalid passthrough behavior specified. Valid options are {', '.join(PASSTHROUGH)}"
        )
    if made.get("contentHandling") not in (None, *HANDLING):
        raise bad(f"Invalid content handling specified: {made['contentHandling']}")
    low, high = TIMEOUT_MS
    if not low <= int(made["timeoutInMillis"]) <= high:
        raise bad(f"Timeout should be between {low} ms and {high} ms")
    if made.get("connectionType") not in (None, "INTERNET"):
        raise not_offered("A VPC link")
    for target, source in (made.get("requestParameters") or {}).items():
        if not _TARGET.match(target):
            raise _mapping(target)
        if not _SOURCE.match(source):
            raise _mapping(source)
    _check_templates(made.get("requestTemplates") or {})


def _check_uri(kind: str, uri: str, credentials: str) -> None:
    if kind in ("HTTP", "HTTP_PROXY"):
        split = urlsplit(uri.replace("{", "").replace("}", ""))
        if not has_variables(uri) and (split.scheme not in ("http", "https") or not split.netloc):
            raise bad("Invalid HTTP endpoint specified for URI")
        return
    if not uri.startswith("arn:"):
        raise bad("Invalid ARN specified in the request")
    found = aws_parts(uri)
    if found is None:
        raise bad("AWS ARN for integration must contain path or action")
    if found[1] not in APIS and kind == "AWS":
        raise not_offered(f"An AWS integration with {found[1]}")
    if kind == "AWS" and is_api(uri):
        if not credentials:
            raise bad("Role ARN must be specified for AWS integrations")
        return
    function = function_text(uri)
    if function is None or not (is_function(function) or has_variables(function)):
        raise bad(
            "Integrations of type 'AWS_PROXY' currently only supports Lambda function and Firehose stream invocations."
        )


def new_response(request: Request) -> dict[str, Any]:
    members = ("selectionPattern", "responseParameters", "contentHandling")
    made = {"statusCode": check_status(request["statusCode"])} | given(request, *members)
    if "responseTemplates" in request:
        made["responseTemplates"] = {
            k: v or None for k, v in (request["responseTemplates"] or {}).items()
        }
    check_response(made)
    return made


def check_response(response: dict[str, Any]) -> None:
    pattern = response.get("selectionPattern")
    if pattern:
        try:
            allowed_pattern.read(pattern)
        except allowed_pattern.Refused as error:
            raise bad(f"Invalid selection pattern {pattern}: {error}") from error
    for target, source in (response.get("responseParameters") or {}).items():
        if not target.startswith("method.response.header."):
            raise _mapping(target)
        if not _RESPONSE_SOURCE.match(source):
            raise _mapping(source)
    _check_templates(response.get("responseTemplates") or {})


def _check_templates(templates: dict[str, str | None]) -> None:
    for kind, text in templates.items():
        try:
            vtl.parse(text or "")
        except vtl.Malformed as error:
            raise bad(f"Invalid mapping template for {kind}: {error}") from error


def _mapping(expression: str) -> Exception:
    return bad(
        "Invalid mapping expression specified: Validation Result: warnings : [], errors : "
        f"[Invalid mapping expression specified: {expression}]"
    )


def _response(made: dict[str, Any], request: Request) -> dict[str, Any]:
    found: dict[str, Any] | None = (made.get("integrationResponses") or {}).get(
        request["statusCode"]
    )
    if found is None:
        raise missing(NO_STATUS)
    return found
