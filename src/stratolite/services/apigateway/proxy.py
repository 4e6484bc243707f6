"""A request as a function gets it from an AWS_PROXY integration, and its answer as an HTTP response.

Sources https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
        keys and rules as recorded against AWS by LocalStack, tests/aws/services/apigateway/test_apigateway_lambda.py
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson

from stratolite.http import HttpResponse
from stratolite.services.apigateway.context import Context
from stratolite.services.apigateway.deployed import Deployed
from stratolite.services.apigateway.incoming import Incoming

_MEMBERS = frozenset({"body", "statusCode", "headers", "multiValueHeaders", "isBase64Encoded"})
_REMAPPED = frozenset({"connection", "content-length", "date", "server"})
_DROPPED = frozenset({"transfer-encoding"})


class BadAnswer(Exception):
    """The function's answer is not of the form: 502 Internal server error."""


def event(
    incoming: Incoming,
    context: Context,
    variables: dict[str, str],
    resource: str,
    trace: str,
    deployed: Deployed,
) -> dict[str, Any]:
    headers = forwarded(incoming, trace)
    body, encoded = body_of(incoming, deployed)
    return {
        "resource": resource,
        "path": incoming.path,
        "httpMethod": incoming.method,
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": headers,
        "queryStringParameters": incoming.single_query() or None,
        "multiValueQueryStringParameters": incoming.query or None,
        "pathParameters": incoming.parameters or None,
        "stageVariables": variables or None,
        "requestContext": context,
        "body": body,
        "isBase64Encoded": encoded,
    }


def forwarded(incoming: Incoming, trace: str) -> dict[str, list[str]]:
    """The request's headers and what API Gateway says of where it came from."""
    host = incoming.header("host") or ""
    port = host.rpartition(":")[2] if ":" in host else "443" if incoming.scheme == "https" else "80"
    found = {_spelled(name): values for name, values in incoming.headers.items()}
    found = {name: v for name, v in found.items() if name.lower() != "x-amzn-trace-id"}
    return found | {
        "X-Amzn-Trace-Id": [trace],
        "X-Forwarded-For": [incoming.peer],
        "X-Forwarded-Port": [port],
        "X-Forwarded-Proto": [incoming.scheme],
    }


def _spelled(name: str) -> str:
    """A few names are capitalized on AWS's way, however they were sent."""
    known = {"authorization": "Authorization", "host": "Host", "user-agent": "User-Agent"}
    return known.get(name.lower(), name)


def body_of(incoming: Incoming, deployed: Deployed) -> tuple[str | None, bool]:
    """(text, False), or (base64, True) for the API's binary media types."""
    if not incoming.body:
        return None, False
    if deployed.is_binary(incoming.content_type):
        return base64.b64encode(incoming.body).decode(), True
    return incoming.body.decode(errors="replace"), False


def response(payload: bytes, incoming: Incoming, deployed: Deployed) -> HttpResponse:
    """Raises BadAnswer."""
    try:
        answer = orjson.loads(payload)
    except ValueError as error:
        raise BadAnswer("it is not JSON") from error
    if not isinstance(answer, dict) or answer.keys() - _MEMBERS:
        raise BadAnswer(
            "it is no object of statusCode, headers, multiValueHeaders, body, isBase64Encoded"
        )
    try:
        status = int(answer["statusCode"]) if answer.get("statusCode") is not None else 200
        headers = _headers(answer)
        body = _body(answer, incoming, deployed)
    except (TypeError, ValueError, AttributeError, binascii.Error) as error:
        raise BadAnswer(str(error)) from error
    if not 100 <= status <= 599:
        raise BadAnswer(f"statusCode={status}")
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", "application/json"))
    return HttpResponse(status, headers, body)


def _headers(answer: dict[str, Any]) -> list[tuple[str, str]]:
    several = answer.get("multiValueHeaders") or {}
    single = answer.get("headers") or {}
    seen = {name.lower(): name for name in several}
    found: list[tuple[str, str]] = []
    for name, values in several.items():
        if not isinstance(values, list):
            raise TypeError(f"multiValueHeaders.{name} is no list")
        given = [_text(value) for value in values]
        found += [(name, value) for value in given]
        found += [
            (name, _text(v))
            for k, v in single.items()
            if k.lower() == name.lower() and _text(v) not in given
        ]
    for name, value in single.items():
        if not isinstance(value, str | bool | int | float):
            raise TypeError(f"headers.{name} is no text")
        if name.lower() not in seen:
            found.append((name, _text(value)))
    return remapped(found)


def remapped(
    headers: list[tuple[str, str]], also: frozenset[str] = frozenset()
) -> list[tuple[str, str]]:
    """Headers that are API Gateway's to say come under another name.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html
    """
    moved = _REMAPPED | also
    return [
        (f"x-amzn-Remapped-{name}" if name.lower() in moved else name, value)
        for name, value in headers
        if name.lower() not in _DROPPED
    ]


def _body(answer: dict[str, Any], incoming: Incoming, deployed: Deployed) -> bytes:
    body = answer.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise TypeError("body is no text")
    if answer.get("isBase64Encoded") and deployed.is_binary(incoming.header("accept")):
        return base64.b64decode(body, validate=True)
    return body.encode()


def _text(value: Any) -> str:
    """A header value. Raises ValueError for what could split a header."""
    if value is None:
        return ""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if any(c in text for c in "\r\n\0"):
        raise ValueError("a header value contains a line end")
    return text
