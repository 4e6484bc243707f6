"""Raw HTTP that Lambda answers: function URLs, and downloads of a function's code.

The event and the answer of a function URL are API Gateway's payload format 2.0, with the differences that
function URLs have.  https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
Callers need both lambda:InvokeFunctionUrl and lambda:InvokeFunction, and so does everyone (a policy for "*") where
AuthType is NONE.  https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

import orjson

from stratolite.errors import Fault
from stratolite.http import HttpRequest, HttpResponse
from stratolite.service import Call, Door
from stratolite.services.lambda_ import bundle, invoking, state
from stratolite.services.lambda_.names import Ref

_FORBIDDEN = (
    "Forbidden. For troubleshooting Function URL authorization issues, see:"
    " https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)
_TEXT_TYPES = ("application/json", "application/xml", "application/javascript")
_HOP_BY_HOP = frozenset({
    "connection", "content-length", "keep-alive", "proxy-authenticate", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
_JSON = ("content-type", "application/json")


class Doors(invoking.Invoking):
    async def serve(self, call: Call, door: Door, request: HttpRequest) -> HttpResponse:
        if door.name == "lambda-code":
            return _download(call, door)
        found = await call.transact(lambda inner: _look(inner, door.label))
        if found is None:
            return _said(404, "Not Found", "ResourceNotFoundException")
        ref, config = found
        inside = call.scoped(ref.account, ref.region)
        cors = config.get("Cors") or {}
        origin = request.headers.get("origin", "")
        if (
            cors
            and request.method == "OPTIONS"
            and "access-control-request-method" in request.headers
        ):
            return HttpResponse(200, _preflight(cors, origin, request))
        began_s = call.world.mono()
        response = await self._invoke_url(inside, ref, config, door, request)
        took_ms = (call.world.mono() - began_s) * 1000
        ref.measure(inside.cloud, "UrlRequestCount")
        ref.measure(inside.cloud, "UrlRequestLatency", took_ms, "Milliseconds")
        ref.measure(inside.cloud, "Url4xxCount", float(400 <= response.status < 500))
        ref.measure(inside.cloud, "Url5xxCount", float(response.status >= 500))
        if cors:
            theirs = [h for h in response.headers if not h[0].lower().startswith("access-control-")]
            response.headers = theirs + _cors(cors, origin)
        response.headers.append(("x-amzn-requestid", call.request_id))
        return response

    async def _invoke_url(
        self, call: Call, ref: Ref, config: state.Record, door: Door, request: HttpRequest
    ) -> HttpResponse:
        auth = config["AuthType"]
        if auth == "AWS_IAM" and call.principal.kind == "anonymous":
            return _said(403, _FORBIDDEN, "AccessDeniedException")
        asking = call.scoped(ref.account, ref.region)
        asking.context = {
            **call.context,
            "lambda:FunctionUrlAuthType": auth,
            "lambda:InvokedViaFunctionUrl": "true",
        }

        def enter(inner: Call) -> invoking.Target:
            for operation in ("InvokeFunctionUrl", "Invoke"):  # both, since October 2025
                self.cloud.authorize(inner, self, operation, {"FunctionName": ref.arn})
            return invoking.choose(inner, ref)

        try:
            target = await asking.transact(enter)
            body = await _body(request)
            event = orjson.dumps(_event(call, door, request, body))
            if len(event) > invoking.SYNC_BYTES_MAX:
                return _said(413, "Request Entity Too Large", "RequestTooLargeException")
            answer = await self.run(call, target, event)
        except Fault as fault:
            if fault.code == "TooManyRequestsException":
                return _said(429, "Rate Exceeded.", fault.code)
            if fault.code in ("AccessDeniedException", "AccessDenied", "ResourceNotFoundException"):
                return _said(403, _FORBIDDEN, "AccessDeniedException")
            raise
        if answer.error:
            return HttpResponse(502, [_JSON], b"Internal Server Error")
        if config["InvokeMode"] == "RESPONSE_STREAM":  # nothing is read into what the handler said
            return _streamed(answer.payload)
        return answered(answer.payload)


def _streamed(payload: bytes) -> HttpResponse:
    """What a handler wrote to its stream; eight zeros end what it says of status and headers, if it says anything."""
    head, zeros, body = payload.partition(bytes(8))
    if zeros and head.startswith(b"{"):
        try:
            said = orjson.loads(head)
        except orjson.JSONDecodeError:
            said = None
        if isinstance(said, dict):
            found = answered(orjson.dumps({"statusCode": 200, **said, "body": ""}))
            return HttpResponse(found.status, found.headers, body)
    return HttpResponse(200, [("content-type", "application/octet-stream")], payload)


def answered(payload: bytes) -> HttpResponse:
    """The HTTP answer that a handler's result stands for."""
    try:
        said = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return HttpResponse(502, [_JSON], b"Internal Server Error")
    if not isinstance(said, dict) or "statusCode" not in said:
        body = said.encode() if isinstance(said, str) else payload
        return HttpResponse(200, [_JSON], body)
    try:
        status = int(said["statusCode"])
        headers = [
            (str(name).lower(), value if isinstance(value, str) else _plain(value))
            for name, value in (said.get("headers") or {}).items()
        ]
        given = said.get("body")
        if given is None:
            given = ""
        text = given if isinstance(given, str) else orjson.dumps(given).decode()
        body = base64.b64decode(text) if said.get("isBase64Encoded") else text.encode()
        cookies = [("set-cookie", str(cookie)) for cookie in said.get("cookies") or ()]
    except (ValueError, TypeError, AttributeError, binascii.Error):
        return HttpResponse(502, [_JSON], b"Internal Server Error")
    if not 100 <= status <= 599 or any(_breaks(n) or _breaks(v) for n, v in headers + cookies):
        return HttpResponse(502, [_JSON], b"Internal Server Error")
    headers = [h for h in headers if h[0] not in _HOP_BY_HOP]
    if not any(name == "content-type" for name, _ in headers):
        headers.append(_JSON)
    return HttpResponse(status, headers + cookies, body)


def _event(call: Call, door: Door, request: HttpRequest, body: bytes) -> dict[str, Any]:
    headers = dict(request.headers)
    cookies = headers.pop("cookie", "")
    host = headers.get("host", "")
    headers["x-forwarded-for"] = request.peer
    headers["x-forwarded-proto"] = request.scheme
    headers["x-forwarded-port"] = host.rpartition(":")[2] if ":" in host else "80"
    now = datetime.fromtimestamp(call.world.cloud(), UTC)
    context: dict[str, Any] = {
        "accountId": "anonymous",
        "apiId": door.label,
        "domainName": host.partition(":")[0],
        "domainPrefix": door.label,
        "http": {
            "method": request.method,
            "path": door.path,
            "protocol": "HTTP/1.1",
            "sourceIp": request.peer,
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": call.request_id,
        "routeKey": "$default",
        "stage": "$default",
        "time": f"{now:%d/%b/%Y:%H:%M:%S +0000}",
        "timeEpoch": int(now.timestamp() * 1000),
    }
    who = call.principal
    if who.kind != "anonymous":
        context["accountId"] = who.account
        context["authorizer"] = {
            "iam": {
                "accessKey": who.access_key_id,
                "accountId": who.account,
                "callerId": who.user_id,
                "cognitoIdentity": None,
                "principalOrgId": None,
                "userArn": who.arn,
                "userId": who.user_id,
            }
        }
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": door.path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": context,
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = [c.strip() for c in cookies.split(";") if c.strip()]
    if request.query:
        event["queryStringParameters"] = _query(request.query)
    if body:
        event["body"], event["isBase64Encoded"] = _text(headers.get("content-type", ""), body)
    return event


def _query(raw: str) -> dict[str, str]:
    """Decoded; values of one name joined by commas."""
    found: dict[str, list[str]] = {}
    for part in raw.split("&"):
        if part:
            name, _, value = part.partition("=")
            found.setdefault(unquote_plus(name), []).append(unquote_plus(value))
    return {name: ",".join(values) for name, values in found.items()}


def _text(content_type: str, body: bytes) -> tuple[str, bool]:
    """The body as the event carries it, and whether that is base64."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith("text/") or kind in _TEXT_TYPES or kind.endswith(("+json", "+xml")):
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass  # it says text and is not: sent as it is
    return base64.b64encode(body).decode(), True


async def _body(request: HttpRequest) -> bytes:
    if isinstance(request.body, bytes):
        return request.body
    found = bytearray()
    async for chunk in request.body:
        found += chunk
        if len(found) > invoking.SYNC_BYTES_MAX:
            break
    return bytes(found)


def _look(call: Call, url_id: str) -> tuple[Ref, state.Record] | None:
    ref = state.get_url_owner(call.tx, url_id)
    config = state.get_named(call.tx, ref, "url", ref.qualifier or "") if ref else None
    return (ref, config) if ref and config else None


def _download(call: Call, door: Door) -> HttpResponse:
    try:
        found = bundle.opened(call, door.label)
    except (ValueError, binascii.Error):
        found = None
    if found is None:
        return _said(403, "Request has expired", "AccessDenied")
    blob, size, name = found
    headers = [
        ("content-type", "application/zip"),
        ("content-disposition", f'attachment; filename="{name}.zip"'),
    ]
    return HttpResponse(200, headers, call.cloud.blobs.body(blob, 0, size))


def _said(status: int, message: str, kind: str) -> HttpResponse:
    body = orjson.dumps({"Message": message})
    return HttpResponse(status, [_JSON, ("x-amzn-errortype", kind)], body)


# -- CORS


def _allowed(cors: state.Record, origin: str) -> str:
    origins = cors.get("AllowOrigins") or ()
    if "*" in origins:
        return origin if cors.get("AllowCredentials") and origin else "*"
    return origin if origin in origins else ""


def _cors(cors: state.Record, origin: str) -> list[tuple[str, str]]:
    allowed = _allowed(cors, origin) if origin else ""
    if not allowed:
        return []
    headers = [("access-control-allow-origin", allowed)]
    if allowed != "*":
        headers.append(("vary", "Origin"))
    if cors.get("AllowCredentials"):
        headers.append(("access-control-allow-credentials", "true"))
    if cors.get("ExposeHeaders"):
        headers.append(("access-control-expose-headers", ",".join(cors["ExposeHeaders"])))
    return headers


def _preflight(cors: state.Record, origin: str, request: HttpRequest) -> list[tuple[str, str]]:
    headers = _cors(cors, origin)
    if not headers:
        return []
    asked = request.headers["access-control-request-method"].upper()
    methods = cors.get("AllowMethods") or ()
    if "*" in methods or asked in methods:
        headers.append(("access-control-allow-methods", ",".join(methods)))
    if cors.get("AllowHeaders"):
        headers.append(("access-control-allow-headers", ",".join(cors["AllowHeaders"])))
    headers.append(("access-control-max-age", str(cors.get("MaxAge", 0))))
    return headers


def _plain(value: Any) -> str:
    return orjson.dumps(value).decode()


def _breaks(text: str) -> bool:
    return any(c in text for c in "\r\n\x00")
