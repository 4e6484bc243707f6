"""Integrations that are no proxies: what the backend is sent, and what its answer becomes.

Sources https://docs.aws.amazon.com/apigateway/latest/developerguide/models-mappings.html
        https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-payload-encodings-workflow.html
        https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-override-request-response-parameters.html
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import quote_plus, unquote_plus

import orjson

from stratolite import allowed_pattern
from stratolite.http import HttpResponse
from stratolite.services.apigateway import jsonpath, vtl
from stratolite.services.apigateway.context import Context
from stratolite.services.apigateway.deployed import Deployed
from stratolite.services.apigateway.incoming import Incoming
from stratolite.services.apigateway.parameters import BadJson, request_values, response_value
from stratolite.services.apigateway.proxy import remapped
from stratolite.services.apigateway.refusals import Refusal, internal
from stratolite.services.apigateway.vtl_values import (
    Failed,
    Methods,
    from_json,
    text,
    to_json,
)

_REMAPPED_TOO = frozenset({
    "authorization", "content-md5", "expect", "host", "max-forwards", "proxy-authenticate", "trailer", "upgrade",
    "user-agent", "www-authenticate",
})  # fmt: skip


@dataclass(slots=True)
class Outgoing:
    """What an integration is asked."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, list[str]] = field(default_factory=dict)
    path: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Answer:
    """What an integration said. ``error``: of a function its errorMessage, "" if it made none; else None."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    error: str | None = None


class Mapping:
    """One request's way through its templates; overrides of the request's are seen by the response's."""

    def __init__(
        self, incoming: Incoming, context: Context, variables: dict[str, str], deployed: Deployed
    ) -> None:
        self.incoming, self.variables, self.deployed = incoming, variables, deployed
        self.context: Context = {
            **context,
            "requestOverride": {"header": {}, "querystring": {}, "path": {}},
            "responseOverride": {"header": {}},
        }

    # -- to the integration

    def mapped(self, integration: dict[str, Any]) -> Outgoing:
        """What ``requestParameters`` make, nothing else. Raises Refusal."""
        made = Outgoing(self.incoming.body)
        for target, source in (integration.get("requestParameters") or {}).items():
            try:
                found = request_values(source, self.incoming, self.context, self.variables)
            except BadJson as error:
                raise Refusal("DEFAULT_4XX", "Invalid JSON in request body") from error
            if not found:
                continue
            place, _, name = target.removeprefix("integration.request.").partition(".")
            if place == "querystring":
                made.query[name] = found
            else:
                (made.headers if place == "header" else made.path)[name] = found[-1]
        return made

    def request(self, integration: dict[str, Any]) -> Outgoing:
        """Raises Refusal."""
        template = self._request_template(integration)
        body = self._request_body(integration)
        made = self.mapped(integration)
        if template:
            body = self._render(template, _text_of(body)).encode()
        made.body = body if isinstance(body, bytes) else body.encode()
        override = self.context["requestOverride"]
        made.headers |= {k: text(v) for k, v in (override.get("header") or {}).items()}
        made.path |= {k: text(v) for k, v in (override.get("path") or {}).items()}
        for name, value in (override.get("querystring") or {}).items():
            made.query[name] = (
                [text(v) for v in value] if isinstance(value, list) else [text(value)]
            )
        return made

    def _request_template(self, integration: dict[str, Any]) -> str | None:
        templates: dict[str, str] = integration.get("requestTemplates") or {}
        kind = (self.incoming.content_type or "application/json").strip()
        found = templates.get(kind) or templates.get(kind.split(";")[0].strip())
        found = found or templates.get("$default")
        behaviour = integration["passthroughBehavior"]
        if found is None and (
            behaviour == "NEVER" or (behaviour == "WHEN_NO_TEMPLATES" and templates)
        ):
            raise Refusal("UNSUPPORTED_MEDIA_TYPE")
        return found

    def _request_body(self, integration: dict[str, Any]) -> bytes | str:
        body, handling = self.incoming.body, integration.get("contentHandling")
        if self.deployed.is_binary(self.incoming.content_type):
            return base64.b64encode(body) if handling == "CONVERT_TO_TEXT" else body
        return _from_base64(body) if handling == "CONVERT_TO_BINARY" else body

    # -- from the integration

    def response(self, integration: dict[str, Any], answer: Answer) -> HttpResponse:
        """Raises Refusal."""
        said = _selected(integration, answer)
        headers: list[tuple[str, str]] = []
        for target, source in (said.get("responseParameters") or {}).items():
            try:
                value = response_value(
                    source, answer.headers, answer.body, self.context, self.variables
                )
            except BadJson as error:
                raise internal() from error
            if value is not None:
                headers.append((target.removeprefix("method.response.header."), value))
        kind, template = self._response_template(said.get("responseTemplates") or {})
        body = self._response_body(said, answer)
        if template:
            body = self._render(template, _text_of(body)).encode()
        override = self.context["responseOverride"]
        status = int(said["statusCode"])
        wanted = override.get("status")
        if isinstance(wanted, int) and not isinstance(wanted, bool) and 100 <= wanted <= 599:
            status = wanted
        for name, value in (override.get("header") or {}).items():
            headers = [h for h in headers if h[0].lower() != name.lower()]
            headers.append((name, text(value)))
        if any(c in value for _, value in headers for c in "\r\n\0"):
            raise internal()
        if not any(name.lower() == "content-type" for name, _ in headers):
            headers.append(("Content-Type", kind))
        return HttpResponse(status, remapped(headers, _REMAPPED_TOO), body)

    def _response_template(self, templates: dict[str, str | None]) -> tuple[str, str | None]:
        """(media type, template): the one accepted, else JSON's, else the first."""
        accepted = [
            kind.split(";")[0].strip() for kind in (self.incoming.header("accept") or "").split(",")
        ]
        for kind in (*accepted, "application/json", *templates):
            if kind in templates:
                return kind, templates[kind]
        return "application/json", None

    def _response_body(self, said: dict[str, Any], answer: Answer) -> bytes:
        kind = next((v for k, v in answer.headers if k.lower() == "content-type"), None)
        handling, accepted = said.get("contentHandling"), self.incoming.header("accept")
        if self.deployed.is_binary(kind):
            textual = handling == "CONVERT_TO_TEXT" or (
                handling is None and not self.deployed.is_binary(accepted)
            )
            return base64.b64encode(answer.body) if textual else answer.body
        return _from_base64(answer.body) if handling == "CONVERT_TO_BINARY" else answer.body

    # -- templates

    def _render(self, template: str, body: str) -> str:
        names = {
            "input": Input(body, self.incoming),
            "util": Util(),
            "context": self.context,
            "stageVariables": dict(self.variables),
        }
        try:
            return compiled(template).render(names)
        except (vtl.Malformed, Failed) as error:
            raise internal() from error


@lru_cache(maxsize=512)
def compiled(template: str) -> vtl.Template:
    """Raises vtl.Malformed."""
    return vtl.parse(template.strip())


@lru_cache(maxsize=512)
def _tree(pattern: str) -> Any:
    return allowed_pattern.read(pattern)


def _selected(integration: dict[str, Any], answer: Answer) -> dict[str, Any]:
    """The response whose pattern matches all of the status, or of a function's error; else the one without one."""
    responses = list((integration.get("integrationResponses") or {}).values())
    subject = str(answer.status) if answer.error is None else answer.error
    for one in responses:
        pattern = one.get("selectionPattern")
        try:
            if pattern and allowed_pattern.matches(_tree(pattern), subject):
                return one  # type: ignore[no-any-return]
        except allowed_pattern.Refused as error:
            raise internal() from error
    for one in responses:
        if not one.get("selectionPattern"):
            return one  # type: ignore[no-any-return]
    raise Refusal("API_CONFIGURATION_ERROR")


def _text_of(body: bytes | str) -> str:
    return body if isinstance(body, str) else body.decode(errors="replace")


def _from_base64(body: bytes) -> bytes:
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise internal() from error


class Input(Methods):
    """``$input``.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html#input-variable-reference
    """

    def __init__(self, body: str, incoming: Incoming) -> None:
        self._body, self._incoming = body, incoming
        self._document: Any = jsonpath.MISSING

    def property(self, name: str) -> Any:
        return (self._body or "{}") if name == "body" else None

    def method(self, name: str, arguments: list[Any]) -> Any:
        if name == "params":
            return self._params(*arguments[:1])
        path = text(arguments[0]) if arguments else "$"
        if name == "json":
            found = self._find(path)
            return '""' if found is jsonpath.MISSING or found is None else to_json(found)
        if name == "path":
            found = self._find(path)
            return None if found is jsonpath.MISSING else from_json(found)
        return None

    def _find(self, path: str) -> Any:
        if self._document is jsonpath.MISSING:
            try:
                self._document = orjson.loads(self._body) if self._body else None
            except ValueError:
                self._document = None
        if self._document is None:
            return jsonpath.MISSING
        try:
            return jsonpath.find(self._document, path)
        except jsonpath.Refused as error:
            raise Failed(str(error)) from error

    def _params(self, name: Any = None) -> Any:
        incoming = self._incoming
        found = {
            "path": dict(incoming.parameters),
            "querystring": incoming.single_query(),
            "header": incoming.single_headers(),
        }
        if name is None:
            return found
        for place in ("path", "querystring"):
            if name in found[place]:
                return found[place][name]
        return incoming.header(text(name)) or ""


class Util(Methods):
    """``$util``."""

    def method(self, name: str, arguments: list[Any]) -> Any:
        function = _UTIL.get(name)
        if function is None or len(arguments) != 1:
            return None
        return function(arguments[0])


def _escape_java_script(value: Any) -> str:
    """As Apache's StringEscapeUtils does it."""
    return _ESCAPED.sub(_escaped, "null" if value is None else text(value))


_ESCAPED = re.compile(r"[\"'\\/\x00-\x1f\x7f-\U0010ffff]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}


def _escaped(found: re.Match[str]) -> str:
    char = found[0]
    if char in "\"'\\/":
        return "\\" + char
    if char in _SHORT:
        return _SHORT[char]
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02X}{units[i + 1]:02X}" for i in range(0, len(units), 2))


def _parse_json(value: Any) -> Any:
    try:
        return from_json(orjson.loads(text(value)))
    except ValueError as error:
        raise Failed("parseJson: it is not JSON") from error


def _base64_decode(value: Any) -> str:
    try:
        return base64.b64decode(text(value)).decode(errors="replace")
    except binascii.Error as error:
        raise Failed("base64Decode: it is not base64") from error


_UTIL = {
    "escapeJavaScript": _escape_java_script,
    "parseJson": _parse_json,
    "urlEncode": lambda value: quote_plus(text(value), safe="*-._"),
    "urlDecode": lambda value: unquote_plus(text(value)),
    "base64Encode": lambda value: base64.b64encode(text(value).encode()).decode(),
    "base64Decode": _base64_decode,
}
