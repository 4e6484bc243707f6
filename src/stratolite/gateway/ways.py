"""The short way for what SDKs send most: signed JSON calls and objects, whose heads change in a few places only.

A ``Visit`` (``app``) decides where a request goes and whether it may; what it decided from the unchanging part of
the head is kept as a ``Way`` under the head's ``Stencil``. From then on such a head is never read line by line.
Still done for every request: the skew of its time, the secret of its key and where that is believed, the hash of
its body and its signature, IAM, decoding. Whatever is not as it was (a signature that does not match included)
goes to a Visit, which finds the words for it: the short way never refuses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from hashlib import sha256
from hmac import compare_digest
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from stratolite.core import Tx
from stratolite.errors import Fault, Unavailable
from stratolite.gateway.context import Context
from stratolite.gateway.head import Head, read_head
from stratolite.gateway.outgoing import Ready
from stratolite.gateway.refusals import Refused
from stratolite.gateway.sigv4 import ALGORITHM, EMPTY_SHA256, UNSIGNED, Claim, Scope, read_stamp
from stratolite.gateway.stencil import SIGNATURE_LENGTH, Stencil
from stratolite.http import HttpRequest, HttpResponse
from stratolite.limits import BODY_MEMBERS_IN_LOOP_MAX, CLOCK_SKEW_S_MAX
from stratolite.service import Call, Opened, Parked, Principal, Service, perform
from stratolite.wire.crc import crc32

if TYPE_CHECKING:
    from stratolite.gateway.app import App, Respond, Visit

_COUNT_MAX = 2048
_OF_ONE_SIZE_MAX = 8  # stencils that are tried for a head; the oldest makes room
_SMALL_BYTES_MAX = 4 * BODY_MEMBERS_IN_LOOP_MAX  # too little for so many members
_HASHED_INLINE_BYTES_MAX = 256 << 10
_ROOT = re.compile(rb"POST (/) HTTP/1\.1").fullmatch
_EMPTY_HASH = EMPTY_SHA256.encode()
_UNSIGNED = UNSIGNED.encode()


class Way:
    """What is known of all requests of one stencil, and the key that signed the last one."""

    __slots__ = (
        "_app",
        "_begun",
        "_call_request",
        "_context",
        "_date_at",
        "_form",
        "_front",
        "_hash_at",
        "_inner",
        "_opened",
        "_outer",
        "_peer",
        "_pick",
        "_principal",
        "_secret",
        "_signature_at",
        "_stamp",
        "_time_s",
        "_token",
        "base",
        "codec",
        "endpoint",
        "errand",
        "expects",
        "fit",
        "length_at",
        "line",
        "operation",
        "region",
        "scheme",
        "scope",
        "service",
        "taken",
        "trace_at",
    )

    def __init__(
        self, visit: Visit, claim: Claim, call: Call, service: Service, stencil: Stencil
    ) -> None:
        request = visit.request
        self._app = visit.app
        self.fit = stencil.fit
        self.scheme = request.scheme
        self.scope: Scope = claim.scope
        self.codec = visit.codec
        self.service, self.operation = service, visit.operation
        self.region, self.endpoint = call.region, call.endpoint
        self.expects = "expect" in request.headers
        self.errand: type[Errand] = Errand
        self.line: Callable[[bytes, int, int], re.Match[bytes] | None] = _ROOT
        """Matches a request line as this way wants it; its first group is the path."""
        self.base: dict[str, Any] = {}
        self.taken: list[tuple[int, str, Any]] = []
        names = stencil.names
        self._signature_at = names.index("authorization")
        self._date_at = names.index("x-amz-date")
        self.length_at = names.index("content-length") if "content-length" in names else -1
        self.trace_at = names.index("x-amzn-trace-id") if "x-amzn-trace-id" in names else -1
        self._hash_at = (
            names.index("x-amz-content-sha256") if "x-amz-content-sha256" in names else -1
        )
        self._front, self._form, self._pick = _canonical(request, claim.scope, names)
        self._token = request.headers.get("x-amz-security-token")
        self._call_request = request
        self._context: Context | None = None
        self._opened: Opened | None = None
        self._secret = ""
        self._principal: Principal
        self._peer = ""
        """From where the key is believed until ``_opened`` says otherwise; a default key for good."""
        self._stamp = b""

    def context(self) -> Context:
        if self._context is None:
            self._context = Context(self._call_request)
        return self._context

    def believe(
        self, places: tuple[bytes, ...], path: bytes, body: bytes, peer: str
    ) -> Principal | None:
        """Who signed, if it is signed as the request we learnt from was; None says only that a Visit is to be asked."""
        digest = sha256(body).hexdigest().encode() if body else _EMPTY_HASH
        if self._hash_at >= 0:
            if places[self._hash_at] != digest:
                return None
        elif self.scope.is_s3:
            digest = _UNSIGNED
        return self._signer(places, path, digest, peer)

    def believe_head(self, places: tuple[bytes, ...], path: bytes, peer: str) -> Principal | None:
        """The same before the body is here, whose hash is taken to be what the head says."""
        if self._hash_at < 0 and not self.scope.is_s3:
            return None
        digest = places[self._hash_at] if self._hash_at >= 0 else _UNSIGNED
        return self._signer(places, path, digest, peer)

    def _signer(
        self, places: tuple[bytes, ...], path: bytes, digest: bytes, peer: str
    ) -> Principal | None:
        now_s = self._app.world.wall()
        if peer != self._peer or (
            (opened := self._opened) is not None
            and (opened.kept.get(opened.key) is not opened.value or now_s >= opened.until_s)
        ):
            self._peer = ""
            if not self._find_key(peer):
                return None
        stamp = places[self._date_at]
        if stamp != self._stamp and not self._take_stamp(stamp):
            return None
        if not -CLOCK_SKEW_S_MAX <= now_s - self._time_s <= CLOCK_SKEW_S_MAX:
            return None
        canonical = self._begun.copy()
        canonical.update(self._form % self._pick((path, digest, *places)))
        inner = self._inner.copy()
        inner.update(canonical.hexdigest().encode())
        outer = self._outer.copy()
        outer.update(inner.digest())
        if compare_digest(outer.hexdigest().encode(), places[self._signature_at]):
            return self._principal
        return None

    def _find_key(self, peer: str) -> bool:
        """Ask for the key again: what is not a default key may have been changed or taken away."""
        request = self._call_request
        if peer != request.peer:
            request = self._call_request = _copy(request, peer)
            self._context = None
        auth = self._app.auth
        try:
            found = auth.secret(
                request, self.scope.key_id, self._token, ours=True, page_allowed=False, plain=True
            )
        except (Fault, Refused, Unavailable):
            return False
        self._opened = found if isinstance(found, Opened) else None
        if self._opened is not None or auth.is_default(found):
            self._peer = peer
        if found[0] != self._secret:
            self._secret = found[0]
            self._stamp = b""  # what was hashed beforehand was hashed with another key
        self._principal = found[1]
        return True

    def _take_stamp(self, stamp: bytes) -> bool:
        """Hash beforehand what all signatures of this second begin with."""
        text = stamp.decode("latin-1")
        if text[:8] != self.scope.day:
            return False
        try:
            time_s = read_stamp(text, "incomplete")
        except Refused:
            return False
        self.scope.key(self._secret)
        self._outer = self.scope.outer
        self._inner = self.scope.inner.copy()
        self._inner.update(f"{ALGORITHM}\n{text}\n{self.scope.tail}\n".encode("latin-1"))
        self._begun = sha256(stamp.join(self._front))
        self._time_s, self._stamp = time_s, stamp
        return True


def _canonical(
    request: HttpRequest, scope: Scope, places: list[str]
) -> tuple[list[bytes], bytes, Callable[[tuple[bytes, ...]], Any]]:
    """The canonical request in two parts, and what picks the second's contents out of (path, body's hash, *places).

    The first is text with the time between its pieces, and is hashed once for all requests of a second: a session's
    token, most of what is signed, stands there where the path is known. The second is a form with holes.
    """
    path = "/" if request.path == "/" else 0
    parts: list[str | int] = [f"{request.method}\n", path, "\n\n"]
    for name in scope.names:
        known = " ".join(request.headers[name].split())
        parts += [f"{name}:", 2 + places.index(name) if name in places else known, "\n"]
    parts += [f"\n{';'.join(scope.names)}\n", 1]
    date = 2 + places.index("x-amz-date")
    end = next(at for at, part in enumerate(parts) if type(part) is int and part != date)
    front = [b""]
    for part in parts[:end]:
        if type(part) is str:
            front[-1] += part.encode("latin-1")
        else:
            front.append(b"")
    rest = parts[end:]
    form = "".join(["%b" if type(part) is int else str(part).replace("%", "%%") for part in rest])
    pick = itemgetter(*[part for part in rest if type(part) is int])
    return front, form.encode("latin-1"), pick


def _copy(request: HttpRequest, peer: str) -> HttpRequest:
    return HttpRequest(
        request.method,
        request.path,
        request.query,
        request.headers,
        b"",
        peer=peer,
        scheme=request.scheme,
    )


class Ways:
    def __init__(self, app: App, kinds: Sequence[type[Errand]]) -> None:
        self._app, self._kinds = app, kinds
        self._known: dict[int, list[Way]] = {}
        self._count = 0

    def find(self, buffer: bytes, end: int, scheme: str) -> Errand | None:
        """For the request whose head ends (before its empty line) at ``end``, if it is of a known kind."""
        at = buffer.find(b"\r\n", 0, end)
        if at < 0:
            return None
        for way in self._known.get(end + 4 - at, ()):
            places = way.fit(buffer, at)
            if places is not None and way.scheme == scheme:
                line = way.line(buffer, 0, at)
                length = places[way.length_at] if way.length_at >= 0 else b"0"
                if line is None or not length.isdigit():
                    return None
                return way.errand(self._app, way, buffer, end, places, line[1], int(length))
        return None

    def learn(self, visit: Visit, claim: Claim, call: Call, service: Service) -> None:
        """Keep the way of a visit whose signature was right."""
        request = visit.request
        headers = request.headers
        if (
            type(request) is not Head
            or not request.raw
            or request.query
            or request.close
            or claim.expires_s >= 0
            or not claim.scope.shapes.get(tuple(headers))
            or "x-amz-date" not in headers
            or "transfer-encoding" in headers
            or "content-encoding" in headers
            or len(claim.signature) != SIGNATURE_LENGTH
            or request.length > _HASHED_INLINE_BYTES_MAX
            or not visit.place.ours
            or visit.place.name
        ):
            return
        kind = next((k for k in self._kinds if k.is_for(visit)), None)
        if kind is None:
            return
        stencil = Stencil.of(request.raw)
        if stencil is None:
            return
        try:
            way = Way(visit, claim, call, service, stencil)
        except ValueError:  # a header that must be there twice, or never
            return
        way.errand = kind
        if not kind.prepare(way, visit, stencil.names):
            return
        if self._count >= _COUNT_MAX:
            self._known.clear()
            self._count = 0
        self._count += 1
        head = request.raw + b"\r\n\r\n"
        at = head.find(b"\r\n")
        others = [w for w in self._known.get(stencil.size, ()) if w.fit(head, at) is None]
        self._known[stencil.size] = [way, *others][:_OF_ONE_SIZE_MAX]

    def forget(self) -> None:
        self._known.clear()
        self._count = 0


def is_large(body: bytes) -> bool:
    """Whether a JSON body has so many members that decoding and checking them would hold the loop."""
    return len(body) > _SMALL_BYTES_MAX and body.count(b":") > BODY_MEMBERS_IN_LOOP_MAX


class Errand:
    """One request on a known way; this one of JSON, sent to ``/``."""

    __slots__ = (
        "_app",
        "_body",
        "_buffer",
        "_end",
        "_parked",
        "_peer",
        "_request_id",
        "_respond",
        "expects",
        "length",
        "path",
        "places",
        "way",
    )

    @staticmethod
    def is_for(visit: Visit) -> bool:
        headers = visit.request.headers
        return (
            visit.protocol == "json"
            and "x-amz-target" in headers
            and "content-length" in headers
            and visit.codec.read is not None
            and visit.codec.encode_body is not None
            and visit.request.method == "POST"
            and visit.request.path == "/"
        )

    @staticmethod
    def prepare(_way: Way, _visit: Visit, _names: list[str]) -> bool:
        """Whether requests can be decoded by what is known of them."""
        return True

    def __init__(
        self,
        app: App,
        way: Way,
        buffer: bytes,
        end: int,
        places: tuple[bytes, ...],
        path: bytes,
        length: int,
    ) -> None:
        self._app = app
        self.way = way
        self._buffer, self._end = buffer, end
        self.places = places
        self.path = path
        self.length = length
        """Of the body, in bytes."""
        self.expects = way.expects
        self._parked: Parked | None = None

    def run(self, body: bytes, peer: str, respond: Respond) -> bool:
        """Whether the request is on its way; False: nothing happened, a Visit is to be asked."""
        way, app = self.way, self._app
        if not self.understands(body):
            return False
        principal = way.believe(self.places, self.path, body, peer)
        if principal is None:
            return False
        self._body, self._peer, self._respond = body, peer, respond
        self._request_id = request_id = app.next_id()
        call = Call(
            app.cloud, principal, way.region, request_id, way.endpoint, context=way.context()
        )
        if way.trace_at >= 0 and b"Lineage=" in self.places[way.trace_at]:
            call.trace = self.places[way.trace_at].decode("latin-1")
        try:
            decoded = self.decode()
        except Exception as error:  # noqa: BLE001 - the one place is Visit.fail
            self.done(None, error)
            return True
        self._parked = perform(call, way.service, way.operation, decoded, self.encode, self.done)
        return True

    def welcome(self, peer: str, tell: Callable[[bool], None]) -> None:
        """Tell whether the sender may send its body: his signature of the head is right and IAM allows it."""
        way = self.way
        principal = way.believe_head(self.places, self.path, peer)
        if principal is None:
            tell(False)
            return
        cloud = self._app.cloud
        call = Call(cloud, principal, way.region, "", way.endpoint, context=way.context())
        call.service = way.service.name
        self._body, self._peer = b"", peer
        try:
            request = self.decode()
        except Exception:  # noqa: BLE001 - the long way says what is wrong with it
            tell(False)
            return

        def check(tx: Tx) -> None:
            call.tx = tx
            cloud.authorize(call, way.service, way.operation, request)

        cloud.db.submit(check, lambda _, error: tell(error is None))

    @staticmethod
    def understands(body: bytes) -> bool:
        """Not Kinesis's CBOR, which comes under the same head, and not what is decoded in a thread."""
        return body[:1] <= b"\x7f" and not is_large(body)

    def request(self, body: bytes, peer: str) -> Head:
        """The request as it is read line by line. Raises Malformed."""
        head = read_head(self._buffer[: self._end], peer, self.way.scheme)
        head.body = body
        return head

    def leave(self) -> None:
        """The client is gone: a call that waits need not wait any longer."""
        if self._parked is not None:
            self._parked.cancel()

    def decode(self) -> dict[str, Any]:
        return self.way.codec.read(self._body)  # type: ignore[no-any-return]

    def encode(self, response: dict[str, Any]) -> HttpResponse:
        codec = self.way.codec
        body: bytes = codec.encode_body(response)
        check = f"x-amz-crc32: {crc32(body)}\r\n" if codec.has_crc32 else ""
        return Ready(
            f"x-amzn-RequestId: {self._request_id}\r\nContent-Type: {codec.content_type}\r\n{check}",
            body,
        )

    def done(self, response: HttpResponse | None, error: BaseException | None) -> None:
        """Called back by the database among others' answers: must not raise."""
        if error is None:
            assert response is not None
            self._respond(response)
            return
        way = self.way
        request = self.request(self._body, self._peer)
        visit = self._app.visit(request, self._respond, self._request_id)
        visit.codec, visit.service, visit.operation = way.codec, way.service.name, way.operation
        visit.fail(error)
