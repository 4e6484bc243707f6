"""From an OpenAPI 3 definition with Amazon's extensions to an API, its routes and integrations.

Source  https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-open-api.html
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from stratolite.errors import Fault
from stratolite.services.apigatewayv2.routing import METHODS

_CORS = {
    "allowOrigins": "AllowOrigins",
    "allowMethods": "AllowMethods",
    "allowHeaders": "AllowHeaders",
    "exposeHeaders": "ExposeHeaders",
    "maxAge": "MaxAge",
    "allowCredentials": "AllowCredentials",
}
_ANY = "x-amazon-apigateway-any-method"


class Imported(NamedTuple):
    name: str
    description: str
    version: str
    cors: dict[str, Any] | None
    routes: list[tuple[str, dict[str, Any]]]
    """(route key, integration members)."""


def read(body: str | dict[str, Any]) -> Imported:
    """Raises Fault BadRequestException for what is no OpenAPI 3 or asks for what is not offered."""
    try:
        definition = json.loads(body) if isinstance(body, str) else body
    except ValueError as error:
        raise Fault("BadRequestException", "Invalid OpenAPI input.") from error
    if not isinstance(definition, dict) or not str(definition.get("openapi", "")).startswith("3."):
        raise Fault(
            "BadRequestException", "Invalid OpenAPI input. OpenAPI version 3.0 is expected."
        )
    if definition.get("security") or definition.get("x-amazon-apigateway-authorizers"):
        raise Fault("BadRequestException", "Authorizers are not offered by Stratolite yet")
    routes: list[tuple[str, dict[str, Any]]] = []
    for path, item in (definition.get("paths") or {}).items():
        if path in ("$default", "/$default"):
            found = item.get(_ANY) or {}
            routes.append(("$default", _integration(path, found)))
            continue
        for method, operation in item.items():
            verb = "ANY" if method == _ANY else method.upper()
            if verb in METHODS:
                routes.append((f"{verb} {path}", _integration(path, operation)))
    info = definition.get("info") or {}
    cors = definition.get("x-amazon-apigateway-cors")
    return Imported(
        str(info.get("title", "")),
        str(info.get("description", "")),
        str(info.get("version", "")),
        None if cors is None else {_CORS[k]: v for k, v in cors.items() if k in _CORS},
        routes,
    )


def _integration(path: str, operation: dict[str, Any]) -> dict[str, Any]:
    if operation.get("security"):
        raise Fault("BadRequestException", f"Security on {path} is not offered by Stratolite yet")
    found = operation.get("x-amazon-apigateway-integration")
    if not isinstance(found, dict):
        raise Fault("BadRequestException", f"No integration is defined for {path}")
    members = {
        "IntegrationType": str(found.get("type", "")).upper(),
        "IntegrationUri": found.get("uri"),
        "IntegrationMethod": found.get("httpMethod"),
        "PayloadFormatVersion": found.get("payloadFormatVersion"),
        "TimeoutInMillis": found.get("timeoutInMillis"),
        "ConnectionType": found.get("connectionType"),
        "CredentialsArn": found.get("credentials"),
        "Description": found.get("description"),
    }
    return {k: v for k, v in members.items() if v is not None}
