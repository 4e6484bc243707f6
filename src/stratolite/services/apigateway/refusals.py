"""What a REST API answers by itself: the types of gateway responses, and how one is made.

Sources https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
        https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-gatewayResponse-definition.html
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from stratolite.http import HttpResponse
from stratolite.services.apigateway.context import Context
from stratolite.services.apigateway.incoming import Incoming
from stratolite.services.apigateway.parameters import request_value

DEFAULT_TEMPLATE = '{"message":$context.error.messageString}'
_PLACE = (
    r"(?:context\.[A-Za-z0-9_.-]*[A-Za-z0-9_-]|stageVariables\.[A-Za-z0-9_]+"
    r"|method\.request\.[A-Za-z0-9_.-]*[A-Za-z0-9_-])"
)
_REFERENCE = re.compile(rf"\$(?:(?P<plain>{_PLACE})|\{{(?P<braced>{_PLACE})\}})")


class Kind(NamedTuple):
    """Of gateway response: its status, the error's name in ``x-amzn-ErrorType``, its message."""

    status: int | None
    error: str
    message: str | None


KINDS: dict[str, Kind] = {
    "ACCESS_DENIED": Kind(403, "AccessDeniedException", None),
    "API_CONFIGURATION_ERROR": Kind(500, "InternalServerErrorException", "Internal server error"),
    "AUTHORIZER_CONFIGURATION_ERROR": Kind(500, "AuthorizerConfigurationException", None),
    "AUTHORIZER_FAILURE": Kind(500, "AuthorizerFailureException", None),
    "BAD_REQUEST_BODY": Kind(400, "BadRequestException", "Invalid request body"),
    "BAD_REQUEST_PARAMETERS": Kind(400, "BadRequestException", None),
    "DEFAULT_4XX": Kind(None, "BadRequestException", "Bad Request"),
    "DEFAULT_5XX": Kind(None, "InternalServerErrorException", "Internal server error"),
    "EXPIRED_TOKEN": Kind(403, "ExpiredTokenException", "The security token included in the request is expired"),
    "INTEGRATION_FAILURE": Kind(504, "InternalServerErrorException", "Internal server error"),
    "INTEGRATION_TIMEOUT": Kind(504, "InternalServerErrorException", "Endpoint request timed out"),
    "INVALID_API_KEY": Kind(403, "ForbiddenException", "Forbidden"),
    "INVALID_SIGNATURE": Kind(
        403,
        "InvalidSignatureException",
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access"
        " Key and signing method. Consult the service documentation for details.",
    ),
    "MISSING_AUTHENTICATION_TOKEN": Kind(
        403, "MissingAuthenticationTokenException", "Missing Authentication Token"
    ),
    "QUOTA_EXCEEDED": Kind(429, "LimitExceededException", "Limit Exceeded"),
    "REQUEST_TOO_LARGE": Kind(413, "RequestEntityTooLargeException", "Request Too Long"),
    "RESOURCE_NOT_FOUND": Kind(404, "ResourceNotFoundException", "Not Found"),
    "THROTTLED": Kind(429, "TooManyRequestsException", "Too Many Requests"),
    "UNAUTHORIZED": Kind(401, "UnauthorizedException", "Unauthorized"),
    "UNSUPPORTED_MEDIA_TYPE": Kind(415, "BadRequestException", "Unsupported Media Type"),
    "WAF_FILTERED": Kind(403, "ForbiddenException", "Forbidden"),
}  # fmt: skip


class Refusal(Exception):
    """The request ends here, with a gateway response of ``kind``. ``status`` where it is not the kind's own."""

    def __init__(
        self, kind: str, message: str | None = None, *, status: int | None = None, error: str = ""
    ) -> None:
        super().__init__(message or kind)
        self.kind = kind
        self.message = KINDS[kind].message if message is None else message
        self.status = status or KINDS[kind].status or (400 if kind == "DEFAULT_4XX" else 500)
        self.error = error or KINDS[kind].error


def internal(status: int = 500) -> Refusal:
    return Refusal("DEFAULT_5XX", status=status)


def effective(kind: str, defined: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """What the API defines for a kind, by itself or for all of 4XX or 5XX; None if nothing."""
    if kind in defined or kind.startswith("DEFAULT_"):
        return defined.get(kind)
    status = KINDS[kind].status or 500
    return defined.get("DEFAULT_4XX" if status < 500 else "DEFAULT_5XX")


def answer(
    refusal: Refusal,
    defined: dict[str, dict[str, Any]],
    incoming: Incoming,
    context: Context,
    variables: dict[str, str],
) -> HttpResponse:
    said = effective(refusal.kind, defined) or {}
    status = int(said["statusCode"]) if said.get("statusCode") else refusal.status
    context = {
        **context,
        "error": {
            "message": refusal.message,
            "messageString": json.dumps(refusal.message),
            "responseType": refusal.kind,
            "validationErrorString": refusal.message or "",
        },
    }
    headers = [("x-amzn-ErrorType", refusal.error)]
    for target, source in (said.get("responseParameters") or {}).items():
        value = request_value(source, incoming, context, variables)
        name = target.removeprefix("gatewayresponse.header.")
        if name != target and value is not None and not any(c in value for c in "\r\n\0"):
            headers.append((name, value))
    kind, template = _template(said.get("responseTemplates") or {}, incoming.header("accept"))
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", kind))
    if template is None:
        member = "Message" if refusal.kind == "ACCESS_DENIED" else "message"
        body = json.dumps({member: refusal.message}, separators=(",", ":"))
    else:
        body = substituted(template, incoming, context, variables)
    return HttpResponse(status, headers, body.encode())


def _template(templates: dict[str, str], accept: str | None) -> tuple[str, str | None]:
    """(media type, template); None for the default one."""
    for wanted in (accept or "").split(","):
        kind = wanted.split(";")[0].strip()
        if kind in templates:
            return kind, templates[kind]
    if "application/json" in templates or not templates:
        found = templates.get("application/json")
        return "application/json", None if found == DEFAULT_TEMPLATE else found
    kind = next(iter(templates))
    return kind, templates[kind]


def substituted(
    template: str, incoming: Incoming, context: Context, variables: dict[str, str]
) -> str:
    """Variables put in, nothing else: gateway responses are no Velocity."""

    def value(found: re.Match[str]) -> str:
        name = found["plain"] or found["braced"]
        if name == "context.error.messageString":
            return str(context["error"]["messageString"])
        return request_value(name, incoming, context, variables) or ""

    return _REFERENCE.sub(value, template)
