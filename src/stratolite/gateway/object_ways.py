"""The short way for objects: signed GETs and PUTs of one, whose heads differ in path, time, hash and signature only.

As ``ways`` does for JSON calls. Which operation a path /BUCKET/KEY without a query means hangs on the method and on
the names of the headers; the key, where it is believed, the signature over the hash the request declares and the
body's own hash are checked every time. Whatever is not as it was goes to a Visit, which finds the words for it.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from stratolite.gateway.outgoing import Ready
from stratolite.gateway.sigv4 import EMPTY_SHA256, UNSIGNED, Claim
from stratolite.gateway.ways import Errand, Way
from stratolite.http import HttpRequest, HttpResponse
from stratolite.service import Call, Service

if TYPE_CHECKING:
    from stratolite.gateway.app import App, Respond, Visit

Key = tuple[str, str, str, tuple[str, ...]]
"""Authorization up to the signature, Host, method, all header names in their order."""
_OPERATIONS = {"GET": "GetObject", "PUT": "PutObject"}
_OTHERWISE = frozenset(
    {"origin", "smithy-protocol", "x-amz-target", "x-amz-account-id", "x-amz-outpost-id"}
)
"""Headers that may lead elsewhere by their value or by the path."""
_COUNT_MAX = 4096
_SIGNATURE_LENGTH = 64


class ObjectWays:
    def __init__(self, app: App) -> None:
        self._app = app
        self._known: dict[Key, Way] = {}

    def take(self, request: HttpRequest, respond: Respond, request_id: str) -> bool:
        """Whether the request is on its way."""
        headers, body, path = request.headers, request.body, request.path
        authorization = headers.get("authorization", "")
        way = self._known.get(
            (
                authorization[:-_SIGNATURE_LENGTH],
                headers.get("host", ""),
                request.method,
                tuple(headers),
            )
        )
        if (
            way is None
            or request.query
            or request.scheme != way.scheme
            or type(body) is not bytes
            or not _is_object(path)
        ):
            return False
        declared = headers["x-amz-content-sha256"]
        if declared != UNSIGNED and declared != (
            sha256(body).hexdigest() if body else EMPTY_SHA256
        ):
            return False
        given = authorization[-_SIGNATURE_LENGTH:]
        principal = self._app.auth.again(request, way.scope, given, declared, path)
        if principal is None:
            return False
        ObjectErrand(self._app, way, request, respond, request_id).run(principal)
        return True

    def learn(self, visit: Visit, claim: Claim, call: Call, service: Service) -> None:
        """Keep the way of a visit whose signature was right."""
        request = visit.request
        headers = request.headers
        names = tuple(headers)
        if (
            visit.operation != _OPERATIONS.get(request.method)
            or service.name != "s3"
            or claim.expires_s >= 0
            or not claim.scope.shapes.get(names)
            or not _OTHERWISE.isdisjoint(names)
            or "x-amz-date" not in headers
            or "x-amz-content-sha256" not in headers
            or len(claim.signature) != _SIGNATURE_LENGTH
            or not visit.place.ours
            or visit.place.name
            or request.query
            or not _is_object(request.path)
        ):
            return
        if len(self._known) >= _COUNT_MAX:
            self._known.clear()
        key = (
            headers["authorization"][:-_SIGNATURE_LENGTH],
            headers.get("host", ""),
            request.method,
            names,
        )
        self._known[key] = Way(
            claim.scope, visit.codec, service, visit.operation, call.endpoint, request.scheme
        )


def _is_object(path: str) -> bool:
    """/BUCKET/KEY, and not one of our own paths."""
    return 1 < path.find("/", 1) < len(path) - 1 and path[:2] != "/_"


class ObjectErrand(Errand):
    __slots__ = ()

    def encode(self, response: dict[str, Any]) -> HttpResponse:
        codec = self.way.codec
        found = codec.encode_lines(response, self.request_id)
        if found is None:
            return codec.encode(response, self.request_id)  # type: ignore[no-any-return]
        return Ready(*found)
