"""Parameter mappings: ``method.request.header.X``, ``context.y``, ``stageVariables.z`` and 'static' to values.

Source  https://docs.aws.amazon.com/apigateway/latest/developerguide/request-response-data-mappings.html
"""

from __future__ import annotations

from typing import Any

import orjson

from stratolite.services.apigateway import jsonpath
from stratolite.services.apigateway.incoming import Incoming


class BadJson(Exception):
    """A mapping wants a part of a JSON body that is none."""


def request_value(
    source: str, incoming: Incoming, context: dict[str, Any], variables: dict[str, str]
) -> str | None:
    """The value of a mapping from the request; None where there is none. Raises BadJson."""
    found = request_values(source, incoming, context, variables)
    return None if not found else found[-1]


def request_values(
    source: str, incoming: Incoming, context: dict[str, Any], variables: dict[str, str]
) -> list[str]:
    """All values: of a ``multivaluequerystring`` there may be several."""
    place, _, name = source.removeprefix("method.request.").partition(".")
    if not source.startswith("method.request."):
        value = shared_value(source, context, variables)
        return [] if value is None else [value]
    if place == "path":
        return [incoming.parameters[name]] if name in incoming.parameters else []
    if place == "querystring":
        return incoming.query.get(name, [])[-1:]
    if place == "multivaluequerystring":
        return incoming.query.get(name, [])
    if place in ("header", "multivalueheader"):
        values = next((v for k, v in incoming.headers.items() if k.lower() == name.lower()), [])
        return values[-1:] if place == "header" else [",".join(values)] if values else []
    if place == "body":
        value = body_value(incoming.body, name)
        return [] if value is None else [value]
    return []


def response_value(
    source: str,
    headers: list[tuple[str, str]],
    body: bytes,
    context: dict[str, Any],
    variables: dict[str, str],
) -> str | None:
    """The value of a mapping from an integration's answer. Raises BadJson."""
    if not source.startswith("integration.response."):
        return shared_value(source, context, variables)
    place, _, name = source.removeprefix("integration.response.").partition(".")
    if place == "body":
        return body_value(body, name)
    values = [value for known, value in headers if known.lower() == name.lower()]
    if not values:
        return None
    return ",".join(values) if place == "multivalueheader" else values[-1]


def shared_value(source: str, context: dict[str, Any], variables: dict[str, str]) -> str | None:
    if len(source) >= 2 and source[0] == source[-1] == "'":
        return source[1:-1]
    place, _, name = source.partition(".")
    if place == "stageVariables":
        return variables.get(name)
    if place != "context":
        return None
    value: Any = context
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return None if value is None or isinstance(value, dict | list) else _text(value)


def body_value(body: bytes, path: str) -> str | None:
    if not path:
        return body.decode(errors="replace") or None
    if body.lstrip()[:1] not in (b"{", b"[", b'"', b"'"):
        return None
    try:
        document = orjson.loads(body)
    except ValueError as error:
        raise BadJson from error
    try:
        found = jsonpath.find(document, f"$.{path}")
    except jsonpath.Refused:
        return None
    if found is jsonpath.MISSING or found is None:
        return None
    return found if isinstance(found, str) else orjson.dumps(found).decode()


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
