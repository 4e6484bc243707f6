"""Documents by HTTP to what is no AWS API: API destinations of EventBridge, and stages of REST APIs.

    check(cloud, arn)                                     # ValueError: no such target, or not offered here
    parameters(given, event)                              # HttpParameters, with what stands in them for parts of the event
    answer = await send(acting, arn, document, asked)     # the body; raises Fault or NotTaken

The target says no more than its ARN: arn:aws:events:R:A:api-destination/NAME/UUID, or
arn:aws:execute-api:R:A:API/STAGE/METHOD/PATH, whose "*" are filled in order. Destinations, their connections, rates and
secrets are the service ``events``'s own.

Sources  https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-destinations.html
         https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-gateway-target.html
         https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-targets.html#targets-specific-parms
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from stratolite import delivery
from stratolite.http import HttpRequest
from stratolite.input_template import MISSING, select
from stratolite.service import ANONYMOUS, Call, Cloud, Door, trace_of

JSON_TYPE = "application/json; charset=utf-8"
_DESTINATION = "api-destination/"
_RETRIED_STATUSES = frozenset({401, 407, 409, 429})
_NOT_PERMITTED = frozenset((
    "authorization", "connection", "content-encoding", "content-length", "host", "max-forwards", "te", "transfer-encoding",
    "trailer", "upgrade", "via", "www-authenticate", "x-forwarded-for",
))  # fmt: skip
"""Header keys of requests to REST APIs; nor those that begin with X-Amz."""


class NotTaken(Exception):
    """The other side did not take a document. ``status`` is its answer's, 0 if there was none."""

    def __init__(
        self, status: int, message: str, *, is_final: bool, retry_after_s: float = 0.0
    ) -> None:
        super().__init__(message)
        self.status, self.is_final, self.retry_after_s = status, is_final, retry_after_s


class Parameters(NamedTuple):
    """HttpParameters, filled in."""

    path: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    query: tuple[tuple[str, str], ...] = ()


def is_http(arn: str) -> bool:
    """Raises ValueError for what is no ARN."""
    place = delivery.parse(arn)
    if place.service == "events":
        return place.resource.startswith(_DESTINATION)
    return place.service == "execute-api"


def check(cloud: Cloud, arn: str) -> None:
    """Raises ValueError saying why nothing can be sent there."""
    place = delivery.parse(arn)
    service = "apigateway" if place.service == "execute-api" else place.service
    if service not in cloud.services:
        raise ValueError(f"the service {service} is not offered by Stratolite; see docs/coverage.md")  # fmt: skip
    if service == "apigateway" and len(place.resource.split("/", 3)) < 3:
        raise ValueError(f"{arn} does not name an API, a stage and a method")


def check_headers(arn: str, given: Mapping[str, Any]) -> None:
    """Raises ValueError for a header that a request to a REST API may not have."""
    if delivery.parse(arn).service != "execute-api":
        return
    for key in given.get("HeaderParameters") or {}:
        if key.lower() in _NOT_PERMITTED or key.lower().startswith("x-amz"):
            raise ValueError(f"the header {key} is not permitted")


def parameters(given: Mapping[str, Any], event: Any) -> Parameters:
    """Each value, and each key of the query, may be a path into ``event``. Raises ValueError where one leads nowhere."""
    return Parameters(
        tuple(_value(one, event) for one in given.get("PathParameterValues") or ()),
        tuple((k, _header(_value(v, event))) for k, v in (given.get("HeaderParameters") or {}).items()),
        tuple((_value(k, event), _value(v, event)) for k, v in (given.get("QueryStringParameters") or {}).items()),
    )  # fmt: skip


def _header(text: str) -> str:
    """Raises ValueError for what would be more than one line, or could not be sent."""
    if not text.isascii() or any(ord(c) < 32 and c != "\t" for c in text) or "\x7f" in text:
        raise ValueError(f"{text[:200]!r} is no value of a header")
    return text


def _value(text: str, event: Any) -> str:
    if not text.startswith("$."):
        return text
    found = select(text, event)
    if found is MISSING:
        raise ValueError(f"{text} leads nowhere")
    return found if isinstance(found, str) else orjson.dumps(found).decode()


async def send(
    acting: Call, arn: str, document: str, asked: Parameters, *, has_turn: bool = False
) -> bytes:
    """The answer's body. Raises Fault as ``acting`` may not, NotTaken for every answer that is not 2xx.

    What a destination's rate does not let go at once waits, unless it ``has_turn``.
    """
    place = delivery.parse(arn)
    there = acting.scoped(place.account or acting.account, place.region or acting.region)
    if place.service == "events":
        ask = {"ApiDestinationArn": arn, "Document": document, "Parameters": asked, "HasTurn": has_turn}  # fmt: skip
        return bytes((await there.request("events", "InvokeApiDestination", ask))["Body"])
    return await _to_rest_api(there, place, document, asked)


def refused(status: int, retry_after: str = "") -> NotTaken:
    """What an answer that is not 2xx means: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-destinations.html"""
    is_final = status < 500 and status not in _RETRIED_STATUSES
    after_s = 0.0
    if not is_final:
        try:
            after_s = float(retry_after or 0)
        except ValueError:  # a date: the retry policy's own pause will do
            after_s = 0.0
        is_final = after_s < 0
    return NotTaken(status, f"HTTP status {status}", is_final=is_final, retry_after_s=after_s)


def fill_path(text: str, values: Iterable[str]) -> str:
    """Each ``*`` by the next value, percent-encoded."""
    left = iter(values)
    first, *further = text.split("*")
    return first + "".join(quote(next(left, ""), safe="") + part for part in further)


def query_text(query: Iterable[tuple[str, str]]) -> str:
    return "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in query)


async def _to_rest_api(there: Call, place: delivery.Arn, document: str, asked: Parameters) -> bytes:
    """Through the API's own door, signed by whoever ``there`` acts as; a service that has no role signs nothing.

    What it is sent was recorded from AWS in localstack/localstack, tests/aws/services/events/test_events_targets.snapshot.json.
    """
    api, stage, method, *rest = fill_path(place.resource, asked.path).split("/", 3)
    path = f"/{stage}/{rest[0].rstrip('/') if rest else ''}".rstrip("/") + "/"  # AWS ends it so
    headers = {"Content-Type": "application/json", "User-Agent": "Amazon/EventBridge/ApiGateway"}
    headers["Host"] = f"{api}.execute-api.{place.region}.amazonaws.com"
    if trace := trace_of(there):
        headers["X-Amzn-Trace-Id"] = trace
    given = {key.lower() for key, _ in asked.headers}
    sent = [*((k, v) for k, v in headers.items() if k.lower() not in given), *asked.headers]
    body = b"" if method in ("GET", "HEAD") else document.encode()
    door = Door("execute-api", api, path, f"/_aws/execute-api/{api}")
    lower = {key.lower(): value for key, value in sent}
    request = HttpRequest(method, door.base + path, query_text(asked.query), lower, body)
    request.raw = "\r\n".join(["", *(f"{key}: {value}" for key, value in sent)]).encode()
    if there.principal.kind == "service":
        there = there.scoped(there.account, there.region, ANONYMOUS)
    answer = await there.cloud.service("apigateway").serve(there, door, request)
    if not 200 <= answer.status < 300:
        raise refused(answer.status)
    assert isinstance(answer.body, bytes)
    return answer.body
