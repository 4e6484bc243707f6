"""The short way for what SDKs send most: signed JSON calls whose heads differ in time, length and signature only.

A ``Visit`` (``app``) decides where a request goes and whether it may; what it decided from the unchanging part
of the head is kept as a ``Way``. Still done for every request: the skew of its time, the secret of its key and
where that is believed, the hash of its body and its signature, IAM, decoding. Whatever is not as it was (a
signature that does not match included) goes to a Visit, which finds the words for it: the short way never refuses.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from stratolite.gateway.context import Context
from stratolite.gateway.outgoing import Ready
from stratolite.gateway.sigv4 import EMPTY_SHA256, Claim, Scope
from stratolite.http import HttpRequest, HttpResponse
from stratolite.service import Call, Principal, Service, perform

if TYPE_CHECKING:
    from stratolite.gateway.app import App, Respond, Visit

Key = tuple[str, str, str, tuple[str, ...]]
"""Authorization up to the signature, Host, X-Amz-Target, all header names in their order."""
_COUNT_MAX = 4096
_HASHED_INLINE_BYTES_MAX = 256 << 10
_SIGNATURE_LENGTH = 64


class Way(NamedTuple):
    scope: Scope
    codec: Any
    service: Service
    operation: str
    endpoint: str
    scheme: str


class Ways:
    def __init__(self, app: App) -> None:
        self._app = app
        self._known: dict[Key, Way] = {}

    def take(self, request: HttpRequest, respond: Respond, request_id: str) -> bool:
        """Whether the request is on its way."""
        headers, body = request.headers, request.body
        authorization = headers.get("authorization", "")
        way = self._known.get(
            (
                authorization[:-_SIGNATURE_LENGTH],
                headers.get("host", ""),
                headers["x-amz-target"],
                tuple(headers),
            )
        )
        if (
            way is None
            or request.path != "/"
            or request.query
            or request.method != "POST"
            or request.scheme != way.scheme
            or type(body) is not bytes
            or len(body) > _HASHED_INLINE_BYTES_MAX
            or body[:1] > b"\x7f"  # Kinesis's CBOR under the same head
        ):
            return False
        digest = sha256(body).hexdigest() if body else EMPTY_SHA256
        principal = self._app.auth.again(
            request, way.scope, authorization[-_SIGNATURE_LENGTH:], digest
        )
        if principal is None:
            return False
        Errand(self._app, way, request, respond, request_id).run(principal)
        return True

    def learn(self, visit: Visit, claim: Claim, call: Call, service: Service) -> None:
        """Keep the way of a visit whose signature was right."""
        request = visit.request
        headers = request.headers
        names = tuple(headers)
        if (
            visit.protocol != "json"
            or "x-amz-target" not in headers
            or visit.codec.encode_body is None
            or claim.expires_s >= 0
            or not claim.scope.shapes.get(names)
            or "x-amz-date" not in headers
            or len(claim.signature) != _SIGNATURE_LENGTH
            or not visit.place.ours
            or visit.place.name
            or request.method != "POST"
            or request.path != "/"
            or request.query
        ):
            return
        if len(self._known) >= _COUNT_MAX:
            self._known.clear()
        key = (
            headers["authorization"][:-_SIGNATURE_LENGTH],
            headers.get("host", ""),
            headers["x-amz-target"],
            names,
        )
        self._known[key] = Way(
            claim.scope, visit.codec, service, visit.operation, call.endpoint, request.scheme
        )


class Errand:
    """One request on a known way."""

    __slots__ = ("app", "request", "request_id", "respond", "way")

    def __init__(
        self, app: App, way: Way, request: HttpRequest, respond: Respond, request_id: str
    ) -> None:
        self.app = app
        self.way = way
        self.request = request
        self.respond = respond
        self.request_id = request_id

    def run(self, principal: Principal) -> None:
        way, request = self.way, self.request
        call = Call(
            self.app.cloud,
            principal,
            way.scope.region or self.app.default_region,
            self.request_id,
            way.endpoint,
            context=Context(request),
        )
        try:
            decoded = way.codec.decode(request)
        except Exception as error:  # noqa: BLE001 - the one place is Visit.fail
            self.done(None, error)
            return
        perform(call, way.service, way.operation, decoded, self.encode, self.done)

    def encode(self, response: dict[str, Any]) -> HttpResponse:
        codec = self.way.codec
        body: bytes = codec.encode_body(response)
        check = f"x-amz-crc32: {crc32(body)}\r\n" if codec.has_crc32 else ""
        return Ready(
            f"x-amzn-RequestId: {self.request_id}\r\nContent-Type: {codec.content_type}\r\n{check}",
            body,
        )

    def done(self, response: HttpResponse | None, error: BaseException | None) -> None:
        """Called back by the database among others' answers: must not raise."""
        if error is None:
            assert response is not None
            self.respond(response)
            return
        way = self.way
        visit = self.app.visit(self.request, self.respond, self.request_id)
        visit.codec, visit.service, visit.operation = way.codec, way.service.name, way.operation
        visit.fail(error)
