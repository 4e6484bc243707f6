"""An HTTP request as the event a function gets, and its answer as an HTTP response.

Payload formats 2.0 and 1.0.
Source  https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote

from stratolite.http import HttpRequest, HttpResponse

_TEXT_TYPES = ("application/json", "application/xml", "application/javascript")
_DROPPED = {"connection", "content-length", "transfer-encoding", "keep-alive", "upgrade"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What the event says beyond the request itself."""

    account: str
    api: str
    stage: str
    route_key: str
    request_id: str
    time_s: float
    parameters: dict[str, str]
    stage_variables: dict[str, str]
    path: str
    """Percent-encoded, the stage in front unless it is $default."""
    domain: str


def event(version: str, request: HttpRequest, body: bytes, facts: Facts) -> dict[str, Any]:
    return (_event_1 if version == "1.0" else _event_2)(request, body, facts)


def _event_2(request: HttpRequest, body: bytes, facts: Facts) -> dict[str, Any]:
    headers = dict(request.headers)
    cookies = [c.strip() for c in headers.pop("cookie", "").split(";") if c.strip()]
    moment = datetime.fromtimestamp(facts.time_s, UTC)
    made: dict[str, Any] = {
        "version": "2.0",
        "routeKey": facts.route_key,
        "rawPath": unquote(facts.path),
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": {
            "accountId": facts.account,
            "apiId": facts.api,
            "domainName": facts.domain,
            "domainPrefix": facts.api,
            "http": {
                "method": request.method,
                "path": unquote(facts.path),
                "protocol": "HTTP/1.1",
                "sourceIp": request.peer,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": facts.request_id,
            "routeKey": facts.route_key,
            "stage": facts.stage,
            "time": moment.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(facts.time_s * 1000),
        },
        "isBase64Encoded": False,
    }
    if cookies:
        made["cookies"] = cookies
    if query := _joined(request.query):
        made["queryStringParameters"] = query
    if facts.parameters:
        made["pathParameters"] = facts.parameters
    if facts.stage_variables:
        made["stageVariables"] = facts.stage_variables
    if body:
        made["body"], made["isBase64Encoded"] = _body(request, body)
    return made


def _event_1(request: HttpRequest, body: bytes, facts: Facts) -> dict[str, Any]:
    moment = datetime.fromtimestamp(facts.time_s, UTC)
    pairs = parse_qsl(request.query, keep_blank_values=True)
    several: dict[str, list[str]] = {}
    for name, value in pairs:
        several.setdefault(name, []).append(value)
    text, encoded = _body(request, body) if body else (None, False)
    resource = facts.route_key.split(" ", 1)[-1]
    return {
        "version": "1.0",
        "resource": resource,
        "path": unquote(facts.path),
        "httpMethod": request.method,
        "headers": dict(request.headers),
        "multiValueHeaders": {k: [v] for k, v in request.headers.items()},
        "queryStringParameters": dict(pairs) or None,
        "multiValueQueryStringParameters": several or None,
        "requestContext": {
            "accountId": facts.account,
            "apiId": facts.api,
            "domainName": facts.domain,
            "domainPrefix": facts.api,
            "extendedRequestId": facts.request_id,
            "httpMethod": request.method,
            "identity": {
                "sourceIp": request.peer,
                "userAgent": request.headers.get("user-agent", ""),
            },
            "path": unquote(facts.path),
            "protocol": "HTTP/1.1",
            "requestId": facts.request_id,
            "requestTime": moment.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "requestTimeEpoch": int(facts.time_s * 1000),
            "resourcePath": resource,
            "stage": facts.stage,
        },
        "pathParameters": facts.parameters or None,
        "stageVariables": facts.stage_variables or None,
        "body": text,
        "isBase64Encoded": encoded,
    }


def _joined(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _body(request: HttpRequest, body: bytes) -> tuple[str, bool]:
    """(text, False) for textual types, (base64, True) for all others."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    textual = kind.startswith("text/") or kind in _TEXT_TYPES or kind.endswith(("+json", "+xml"))
    if textual and "content-encoding" not in request.headers:
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), True


class BadAnswer(Exception):
    """The function's answer is not of its payload format: 500 Internal Server Error."""


def response(version: str, payload: bytes) -> HttpResponse:
    """Raises BadAnswer."""
    try:
        answer = json.loads(payload) if payload else None
    except ValueError as error:
        raise BadAnswer("the answer is not JSON") from error
    if not isinstance(answer, dict) or "statusCode" not in answer:
        if version == "1.0":
            raise BadAnswer("format 1.0 wants an object with a statusCode")
        text = answer if isinstance(answer, str) else json.dumps(answer, separators=(",", ":"))
        return HttpResponse(200, [("Content-Type", "application/json")], text.encode())
    try:
        return _shaped(answer)
    except (TypeError, ValueError, AttributeError) as error:
        raise BadAnswer(str(error)) from error


def _shaped(answer: dict[str, Any]) -> HttpResponse:
    status = int(answer["statusCode"])
    if not 100 <= status <= 599:
        raise ValueError(f"statusCode={status}")
    headers: list[tuple[str, str]] = []
    several = answer.get("multiValueHeaders") or {}
    for name, values in several.items():
        headers += [(name, _text(v)) for v in values]
    seen = {name.lower() for name in several}
    for name, value in (answer.get("headers") or {}).items():
        if name.lower() not in seen:
            headers.append((name, _text(value)))
    headers = [(n, v) for n, v in headers if n.lower() not in _DROPPED]
    headers += [("Set-Cookie", _text(c)) for c in answer.get("cookies") or []]
    body = answer.get("body")
    if body is None:
        raw = b""
    elif answer.get("isBase64Encoded"):
        raw = base64.b64decode(body, validate=True)
    else:
        raw = (body if isinstance(body, str) else json.dumps(body)).encode()
    if not any(n.lower() == "content-type" for n, _ in headers):
        headers.append(("Content-Type", "text/plain; charset=utf-8"))
    return HttpResponse(status, headers, raw)


def _text(value: Any) -> str:
    """A header value: scalars as JSON spells them. Raises ValueError for what could split a header."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if any(c in text for c in "\r\n\0"):
        raise ValueError("a header value contains a line end")
    return text
