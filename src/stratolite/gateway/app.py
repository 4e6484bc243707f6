"""Every request's way through the house, and the one place where an exception becomes an answer.

    HttpRequest -> health | door (raw HTTP for a service) | wire.resolve -> auth -> service.perform -> codec
                -> a way known from before (``ways``)

A call with a whole body runs to its answer without a task or a future; only bodies that are still arriving,
doors and questions to a bucket's CORS rules take one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from urllib.parse import unquote

from stratolite import __version__
from stratolite.core import Tx
from stratolite.errors import Fault, Unavailable
from stratolite.gateway import own
from stratolite.gateway.auth import Auth, Credentials, Identity
from stratolite.gateway.context import Context
from stratolite.gateway.hosts import Hosts, Place
from stratolite.gateway.object_ways import ObjectErrand
from stratolite.gateway.payload import declared_hash, open_payload
from stratolite.gateway.post_form import answer as form_answer
from stratolite.gateway.post_form import (
    check_policy,
    is_form,
    put_request,
    read_form,
)
from stratolite.gateway.post_form import success_status as form_status
from stratolite.gateway.query_headers import take_headers_of_query
from stratolite.gateway.refusals import Refused
from stratolite.gateway.sigv2 import weak_claim
from stratolite.gateway.sigv4 import EMPTY_SHA256, UNSIGNED, Claim
from stratolite.gateway.ways import Errand, Ways, is_large
from stratolite.http import BodyStream, HttpRequest, HttpResponse
from stratolite.limits import BODIES_BUFFERED_BYTES_MAX, BODY_BUFFERED_BYTES_MAX
from stratolite.service import (
    ANONYMOUS,
    Call,
    Cloud,
    Door,
    Parked,
    Principal,
    Service,
    perform,
    traced,
)
from stratolite.services import OFFERS
from stratolite.wire import as_json, fault_response, guess, missing, resolve
from stratolite.wire import codec as codec_for

Respond = Callable[[HttpResponse], None]
CorsHeaders = list[tuple[str, str]]

_log = logging.getLogger("stratolite.gateway")
_HEALTH = frozenset({"/_localstack/health", "/_stratolite/health"})
_INFO = "/_localstack/info"
_HASHED_INLINE_BYTES_MAX = 256 << 10
_FORWARDED = (
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
)
UNSIGNED_FORM_BYTES_MAX = 1 << 20
UNSIGNED_BODY_BYTES_MAX = 4 << 20
"""A batch of messages is 1 MiB before JSON escapes it."""
DEFAULT_REGION = "us-east-1"


class App:
    """``handle`` answers every request exactly once, now or later, whatever it is."""

    default_region = DEFAULT_REGION

    def __init__(
        self,
        cloud: Cloud,
        *,
        credentials: Credentials | None = None,
        names: Iterable[str] = (),
        default_keys: bool = True,
        allow_sigv2: bool = True,
    ) -> None:
        self.cloud = cloud
        self.world = cloud.world
        self.hosts = Hosts(names)
        self.auth = Auth(
            cloud.world, credentials, default_keys=default_keys, allow_sigv2=allow_sigv2
        )
        self.requests_count = self.faults_count = self.errors_count = 0
        self._doors = {name: offer.service for offer in OFFERS for name in offer.doors}
        self._began_s = cloud.world.mono()
        token = cloud.world.token(10).hex()
        self._id_start = f"{token[:8]}-{token[8:12]}-4{token[13:16]}-8{token[17:20]}-"
        self.ways = Ways(self, (Errand, ObjectErrand))
        self._buffered_bytes = 0
        self._tasks: set[asyncio.Task[None]] = set()

    # -- the way in

    def find(self, buffer: bytes, end: int, scheme: str) -> Errand | None:
        """What is known of the request whose head ends at ``end``, before its empty line, see ``ways``."""
        return self.ways.find(buffer, end, scheme)

    def handle(self, request: HttpRequest, respond: Respond) -> Visit:
        """``leave`` what is returned when nobody waits for the answer any more."""
        visit = Visit(self, request, respond, self.next_id())
        try:
            visit.begin()
        except Exception as error:  # noqa: BLE001 - the one place, see Visit.fail
            visit.fail(error)
        return visit

    def next_id(self) -> str:
        self.requests_count = count = self.requests_count + 1
        return f"{self._id_start}{count:012x}"

    def visit(self, request: HttpRequest, respond: Respond, request_id: str) -> Visit:
        return Visit(self, request, respond, request_id)

    def spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def door(self, name: str) -> str | None:
        """The service behind a door."""
        return self._doors.get(name)

    async def gather(
        self, body: BodyStream, size_bytes_max: int = BODY_BUFFERED_BYTES_MAX
    ) -> bytes:
        """All of a body for an operation that does not stream. Raises Fault when it is too much."""
        pieces: list[bytes] = []
        have = 0
        try:
            if (body.size_bytes or 0) > size_bytes_max:
                raise _too_large(size_bytes_max)
            async for piece in body:
                pieces.append(piece)
                have += len(piece)
                self._buffered_bytes += len(piece)
                if have > size_bytes_max:
                    raise _too_large(size_bytes_max)
                if self._buffered_bytes > BODIES_BUFFERED_BYTES_MAX:
                    raise Unavailable("too many large request bodies at once")
            return b"".join(pieces)
        finally:
            self._buffered_bytes -= have

    def health(self) -> HttpResponse:
        import orjson

        services = {offer.service: "available" for offer in OFFERS}
        said = {"services": services, "edition": "stratolite", "version": __version__}
        if self.cloud.runtime.guards:
            said["functions"] = self.cloud.runtime.missing or "contained"
        body = orjson.dumps(said)
        return HttpResponse(200, [("Content-Type", "application/json")], body)

    def info(self) -> HttpResponse:
        """What tools made for LocalStack ask to see what they talk to."""
        import orjson

        said = {
            "version": __version__,
            "edition": "stratolite",
            "is_license_activated": False,
            "session_id": self._id_start.rstrip("-"),
            "server_time_utc": datetime.fromtimestamp(self.world.wall(), UTC).strftime(
                "%Y-%m-%dT%H:%M:%S"
            ),
            "uptime": int(self.world.mono() - self._began_s),
        }
        return HttpResponse(200, [("Content-Type", "application/json")], orjson.dumps(said))


class Visit:
    """One request being answered."""

    __slots__ = (
        "app",
        "claim",
        "codec",
        "cors",
        "gone",
        "operation",
        "parked",
        "path",
        "place",
        "protocol",
        "request",
        "request_id",
        "respond",
        "service",
    )

    def __init__(self, app: App, request: HttpRequest, respond: Respond, request_id: str) -> None:
        self.app = app
        self.request = request
        self.respond = respond
        self.request_id = request_id
        self.codec: Any = None
        self.claim: Claim | None = None
        self.service = self.protocol = self.operation = ""
        self.path = request.path
        """As sent, which is what was signed."""
        self.cors: CorsHeaders | None = None
        self.place: Place
        self.parked: Parked | None = None
        self.gone = False

    def begin(self) -> None:
        app, request = self.app, self.request
        headers = request.headers
        self.place = place = app.hosts.place(headers.get("host", ""))
        path = request.path
        if path.startswith("/_"):
            if path in _HEALTH:
                self.respond(app.health())
                return
            if path == _INFO:
                self.respond(app.info())
                return
            if path.startswith("/_aws/"):
                self._path_door(path)
                return
            if path.startswith(own.PREFIX):
                self.service, self.protocol = "stratolite", "json"
                app.spawn(self._later(self._own()))
                return
        elif path.startswith("/restapis/") and (door := _rest_door(path)) is not None:
            self._door(door)
            return
        elif path.startswith("/iceberg/v1/") and "/s3tables/" in headers.get("authorization", ""):
            self._door(Door("iceberg", "", path.removeprefix("/iceberg"), "/iceberg"))
            return
        if place.name:
            if place.name != "s3":
                self._door(Door(place.name, place.label, path, ""))
                return
            request.path = f"/{place.label}{path}"
        if request.method == "OPTIONS":
            self._preflight()
        elif type(request.body) is not bytes and _is_form(request):  # its Action is in the body
            app.spawn(self._later(self._gather_then_route()))
        else:
            self.route()

    async def _gather_then_route(self) -> None:
        """A form's Action is in its body. Who is nobody's client may not make us keep much."""
        app, request = self.app, self.request
        self.service, self.protocol = "", "query"
        claim = self._claim()
        if claim is not None:
            self._screen(claim)
        limit = BODY_BUFFERED_BYTES_MAX if claim is not None else UNSIGNED_FORM_BYTES_MAX
        request.body = await app.gather(request.body, limit)  # type: ignore[arg-type]
        self.protocol = ""
        self.route()

    def route(self) -> None:
        """Which operation, and in whose name."""
        request = self.request
        self.claim = claim = self._claim()
        if claim is None and is_form(request) and request.path.strip("/").count("/") == 0:
            self.service, self.operation, self.protocol = "s3", "PutObject", "rest-xml"
        else:
            self._resolve(claim)
        if "origin" in request.headers and self.service == "s3":
            self._ask_cors()
        else:
            self.proceed()

    def _claim(self) -> Claim | None:
        try:
            return self.app.auth.claim(self.request)
        except Refused as refused:
            self._guess()
            raise refused.fault(self.service, self.protocol) from None

    def _screen(self, claim: Claim) -> None:
        """Before a large body is kept: would this key, at this time, be believed at all?"""
        try:
            self.app.auth.screen(
                self.request, claim, ours=self.place.ours, page_allowed=bool(self.cors)
            )
        except Refused as refused:
            raise refused.fault(self.service, self.protocol) from None

    def _resolve(self, claim: Claim | None) -> None:
        target = resolve(self.request, claim.scope.service if claim is not None else None)
        self.service, self.operation, self.protocol = target

    def proceed(self) -> None:
        """The target is known: believe the caller, read the body, run the operation."""
        request, claim = self.request, self.claim
        self.codec = codec = codec_for(self.service, self.operation, self.protocol)
        if self.protocol == "query" and request.headers.get("accept") == "application/json":
            self.codec = codec = as_json(codec)
        body = request.body
        if self.operation == "PutObject" and request.method == "POST":
            self.app.spawn(self._later(self._post_form()))
            return
        s3 = claim.scope.is_s3 if claim is not None else self.service in ("s3", "s3control")
        if type(body) is bytes:
            if s3:
                self.perform(self._open_s3(claim))
            elif len(body) <= _HASHED_INLINE_BYTES_MAX:
                self.perform(
                    self._believe(claim, sha256(body).hexdigest() if body else EMPTY_SHA256)
                )
            else:
                self.app.spawn(self._later(self._arrive(body)))
        elif s3 and codec.streaming_input:
            self.perform(self._open_s3(claim))
        else:
            self.app.spawn(self._later(self._arrive(body)))

    async def _arrive(self, body: Any) -> None:
        """A body that must be whole first, or is too large to hash on the loop."""
        request, claim = self.request, self.claim
        if claim is not None and claim.scope.is_s3:
            identity = self._open_s3(claim)
            if type(request.body) is not bytes:
                request.body = await self.app.gather(request.body)  # type: ignore[arg-type]
            self.perform(identity)
            return
        if claim is None:
            self._anonymous()
        else:
            self._screen(claim)
        if type(body) is not bytes:
            limit = BODY_BUFFERED_BYTES_MAX if claim is not None else UNSIGNED_BODY_BYTES_MAX
            request.body = body = await self.app.gather(body, limit)
        digest = await asyncio.get_running_loop().run_in_executor(None, sha256, body)
        self.perform(self._believe(claim, digest.hexdigest()))

    def _open_s3(self, claim: Claim | None) -> Principal:
        """Believe an S3 request by the hash it declares, and arrange for the body to be held to it."""
        request = self.request
        if claim is None:
            principal = self._anonymous()
            declared = request.headers.get("x-amz-content-sha256", UNSIGNED)
            if declared != UNSIGNED:
                open_payload(request, declared_hash(request), None, b"")
            return principal
        if claim.expires_s >= 0:
            declared = request.headers.get("x-amz-content-sha256", UNSIGNED)
        else:
            declared = declared_hash(request)
        identity = self._verify(claim, declared)
        if claim.expires_s >= 0:
            take_headers_of_query(request)
        if claim.expires_s < 0 or declared != UNSIGNED:
            open_payload(request, declared, claim, identity.signing_key)
        return identity.principal

    def _believe(self, claim: Claim | None, digest: str) -> Principal:
        if claim is None:
            return self._anonymous()
        declared = self.request.headers.get("x-amz-content-sha256")
        if declared is not None and declared != digest and claim.expires_s < 0:
            raise Refused("mismatch").fault(self.service, self.protocol)
        return self._verify(claim, digest).principal

    def _verify(self, claim: Claim, payload: str) -> Identity:
        try:
            signing = _SIGNING.get(self.service, self.service)
            if claim.scope.service != signing and not (claim.scope.is_s3 and signing == "s3"):
                raise Refused(
                    "wrong-scope", f"Credential should be scoped to correct service: '{signing}'. "
                )
            return self.app.auth.verify(
                self.request,
                claim,
                self.path,
                payload,
                ours=self.place.ours,
                page_allowed=bool(self.cors),
            )
        except Refused as refused:
            raise refused.fault(self.service, self.protocol) from None

    def _anonymous(self) -> Principal:
        """Not signed the usual way. S3 has an older way, and decides itself what the public may do."""
        if self.operation in _UNSIGNED.get(self.service, ()):
            return ANONYMOUS
        if self.service != "s3":
            raise Refused("missing").fault(self.service, self.protocol)
        weak = weak_claim(self.request)
        if weak is None:
            return ANONYMOUS
        try:
            principal = self.app.auth.verify_weak(
                self.request, weak, ours=self.place.ours, page_allowed=bool(self.cors)
            )
        except Refused as refused:
            raise refused.fault("s3", self.protocol) from None
        if weak.expires:
            take_headers_of_query(self.request)
        return principal

    async def _post_form(self) -> None:
        """A browser's upload: the form's policy was signed, the form itself is a PutObject."""
        request, app = self.request, self.app
        whole = isinstance(request.body, bytes)
        bucket = unquote(request.path.strip("/"))
        form = await read_form(request)
        principal = ANONYMOUS
        if "policy" in form.fields:
            try:
                principal = app.auth.verify_policy(
                    request, form.fields, ours=self.place.ours, page_allowed=bool(self.cors)
                )
            except Refused as refused:
                raise refused.fault("s3", self.protocol) from None
            check_policy(form, bucket, app.world.wall())
        put = put_request(request, form, bucket)
        if whole:
            put.body = b"".join([piece async for piece in form.file])
            put.headers["content-length"] = str(len(put.body))
        call = self._call(principal, "")
        decoded = self.codec.decode(put) | {"_form": form_status(form)}

        def finish(response: dict[str, Any]) -> HttpResponse:
            put = self.codec.encode(response, call.request_id).headers
            said = [(name, value) for name, value in put if name.lower().startswith("x-amz-")]
            made = form_answer(
                form, bucket, decoded["Key"], response.get("ETag", ""), call.endpoint
            )
            made.headers += said  # its version, checksum and encryption, and which request it was
            return made

        perform(call, app.cloud.service("s3"), "PutObject", decoded, finish, self.done)

    def perform(self, principal: Principal) -> None:
        call = self._call(principal, self.claim.scope.region if self.claim is not None else "")
        service = call.cloud.service(self.service)
        if self.claim is not None:
            self.app.ways.learn(self, self.claim, call, service)
        body = self.request.body
        if type(body) is bytes and self.codec.read is not None and is_large(body):
            self.app.spawn(self._later(self._perform_large(call, service)))
        else:
            self._run(call, service, self.codec.decode(self.request))

    async def _perform_large(self, call: Call, service: Service) -> None:
        """Between the pieces of this the loop turns for everybody else."""

        def prepare() -> dict[str, Any]:
            decoded: dict[str, Any] = self.codec.decode(self.request)
            service.inspect(self.operation, decoded)
            return decoded

        decoded = await asyncio.get_running_loop().run_in_executor(None, prepare)
        self._run(call, service, decoded)

    def _run(self, call: Call, service: Service, decoded: dict[str, Any]) -> None:
        parked = perform(call, service, self.operation, decoded, self.encode, self.done)
        if parked is not None:
            self.parked = parked
            if self.gone:
                parked.cancel()

    def leave(self) -> None:
        """The client is gone: a call that waits (a long poll) need not wait any longer."""
        self.gone = True
        if self.parked is not None:
            self.parked.cancel()

    def _call(self, principal: Principal, region: str) -> Call:
        app, request, place = self.app, self.request, self.place
        cloud = app.cloud
        host = request.headers.get("host", "")
        if place.name and host:  # links are given in path form, which works everywhere
            host = place.base + (":" + host.rpartition(":")[2] if ":" in host else "")
        endpoint = f"{request.scheme}://{host}" if place.ours and host else cloud.endpoint
        call = Call(
            cloud,
            principal,
            region or place.region or DEFAULT_REGION,
            self.request_id,
            endpoint,
            context=Context(request),
        )
        if trace := request.headers.get("x-amzn-trace-id"):
            traced(call, trace)
        return call

    # -- doors: raw HTTP for a service

    def _path_door(self, path: str) -> None:
        parts = path.split("/", 4)  # "", "_aws", NAME, LABEL, rest
        if len(parts) < 4 or not parts[3] or self.app.door(parts[2]) is None:
            self.respond(HttpResponse(404, [("Content-Type", "text/plain")], b"no such door\n"))
            return
        rest = "/" + parts[4] if len(parts) > 4 else "/"
        self._door(Door(parts[2], parts[3], rest, f"/_aws/{parts[2]}/{parts[3]}"))

    def _door(self, door: Door) -> None:
        name = self.app.door(door.name)
        if name is None:
            raise Fault("NotImplemented", f"{door.name} is not offered by Stratolite", status=501)
        self.service, self.protocol = name, "rest-json"
        self.app.spawn(self._later(self._serve(name, door)))

    async def _serve(self, name: str, door: Door) -> None:
        request = self.request
        principal, region = await self._visitor()
        for header in _FORWARDED:
            request.headers.pop(header, None)
        service = self.app.cloud.service(name)
        self.answer(await service.serve(self._call(principal, region), door, request))

    async def _own(self) -> None:
        principal, region = await self._visitor()
        self.answer(await own.serve(self._call(principal, region), self.request))

    async def _visitor(self) -> tuple[Principal, str]:
        """Who knocks at a door: whoever signed, else anybody. The service decides whom it lets in."""
        app, request = self.app, self.request
        try:
            claim = app.auth.claim(request)
            if claim is None:
                return ANONYMOUS, ""
            body = request.body
            if not isinstance(body, bytes):
                app.auth.screen(request, claim, ours=self.place.ours)
                request.body = body = await app.gather(body)
            digest = await asyncio.get_running_loop().run_in_executor(None, sha256, body)
            payload = digest.hexdigest()
            if request.headers.get("x-amz-content-sha256", payload) not in (payload, UNSIGNED):
                return ANONYMOUS, ""
            identity = app.auth.verify(request, claim, self.path, payload, ours=self.place.ours)
        except Refused:
            return ANONYMOUS, ""
        return identity.principal, claim.scope.region

    # -- web pages and S3

    def _ask_cors(self) -> None:
        """Go on once the bucket's rules have said whether this page may: ``cors`` of the s3 service."""
        request = self.request
        bucket = unquote(request.path[1:].partition("/")[0])
        service = self.app.cloud.service("s3")
        ask = getattr(service, "cors", None)
        if not bucket or ask is None:
            self.proceed()
            return
        call = self._call(ANONYMOUS, "")
        origin = request.headers["origin"]

        def body(tx: Tx) -> CorsHeaders:
            call.tx = tx
            return ask(call, bucket, origin, request.method, request.headers)  # type: ignore[no-any-return]

        def done(headers: CorsHeaders | None, error: BaseException | None) -> None:
            try:
                if error is not None:
                    raise error
                self.cors = headers
                if request.method == "OPTIONS":
                    self.answer(HttpResponse(200))
                else:
                    self.proceed()
            except Exception as failure:  # noqa: BLE001 - the one place, see fail
                self.fail(failure)

        self.app.cloud.db.submit(body, done)

    def _preflight(self) -> None:
        """A browser asks before it calls S3 from a page."""
        self.service, self.protocol = "s3", "rest-xml"
        headers = self.request.headers
        if "origin" not in headers:
            raise Fault(
                "BadRequest", "Insufficient information. Origin request header needed.", status=400
            )
        if "access-control-request-method" not in headers:
            raise Fault("BadRequest", "Invalid Access-Control-Request-Method: null", status=400)
        if not self.request.path.strip("/"):
            raise Fault(
                "AccessForbidden",
                "CORSResponse: only buckets, websites, APIs and function URLs can be called from a web page.",
                status=403,
            )
        self._ask_cors()

    # -- the way out

    async def _later(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - the one place, see fail
            self.fail(error)

    def encode(self, response: dict[str, Any]) -> HttpResponse:
        return self.codec.encode(response, self.request_id)  # type: ignore[no-any-return]

    def done(self, response: HttpResponse | None, error: BaseException | None) -> None:
        """Called back by the database among others' answers: must not raise."""
        if error is not None:
            self.fail(error)
        else:
            assert response is not None
            self.answer(response)

    def answer(self, response: HttpResponse) -> None:
        if self.cors:
            response.headers.extend(self.cors)
        self.respond(response)

    def fail(self, error: BaseException) -> None:
        """The one place where an exception becomes an answer."""
        if isinstance(error, Fault):
            self.app.faults_count += 1
            fault = error
        else:
            self.app.errors_count += 1
            if isinstance(error, Unavailable):
                fault = Fault("ServiceUnavailable", f"Service is unavailable: {error}", status=503)
            elif isinstance(error, KeyError) and (lacking := self._lacking()) is not None:
                fault = lacking
            else:
                _log.error(
                    "request failed id=%s service=%s operation=%s",
                    self.request_id,
                    self.service,
                    self.operation,
                    exc_info=error,
                )
                code = "InternalError" if self.service == "s3" else "InternalFailure"
                message = "We encountered an internal error. Please try again."
                fault = Fault(code, message, status=500)
        try:
            if self.codec is not None:
                response = self.codec.encode_fault(fault, self.request_id)
            else:
                scope = self.claim.scope.service if self.claim is not None else None
                guessed = self.protocol or guess(self.request, scope)
                response = fault_response(guessed, fault, self.request_id)
        except Exception:  # noqa: BLE001 - something must be answered
            _log.exception("fault cannot be encoded id=%s fault=%r", self.request_id, fault)
            response = HttpResponse(500)
        self.answer(response)

    def _lacking(self) -> Fault | None:
        """What an operation stumbled over may be a required member the client left out."""
        if self.codec is None or type(self.request.body) is not bytes:
            return None
        return missing(self.service, self.operation, self.codec.decode(self.request))

    def _guess(self) -> None:
        """The protocol of a request whose operation is not known yet."""
        headers = self.request.headers
        kind = headers.get("content-type", "")
        if "x-amz-target" in headers:
            self.protocol = "json"
        elif headers.get("smithy-protocol"):
            self.protocol = "smithy-rpc-v2-cbor"
        elif (
            kind.startswith("application/x-www-form-urlencoded") or "Action=" in self.request.query
        ):
            self.protocol = "query"
        else:
            self.service, self.protocol = "s3", "rest-xml"


_UNSIGNED = {
    "sts": frozenset({"AssumeRoleWithWebIdentity", "AssumeRoleWithSAML"}),
    "sqs": frozenset(
        {
            "SendMessage", "SendMessageBatch", "ReceiveMessage", "DeleteMessage", "DeleteMessageBatch",
            "ChangeMessageVisibility", "ChangeMessageVisibilityBatch", "GetQueueAttributes", "GetQueueUrl",
        }
    ),
    "sns": frozenset({"Publish", "PublishBatch", "ConfirmSubscription"}),
}  # fmt: skip
"""What may come without a signature. STS, ConfirmSubscription: the token they bring stands for it. SQS, SNS: a queue's or topic's policy may allow
everybody (AnonymousAccess in sqs-basic-examples-of-sqs-policies.html of SQS' Developer Guide), and nothing else allows nobody's calls.
"""
# service -> signing name, where they differ (``signingName`` of the AWS models)
_SIGNING: dict[str, str] = {
    "apigatewayv2": "apigateway",
    "cloudcontrol": "cloudcontrolapi",
    "cloudwatch": "monitoring",
    "dynamodbstreams": "dynamodb",
    "resourcegroupstaggingapi": "tagging",
    "s3control": "s3",
    "stepfunctions": "states",
}


def _rest_door(path: str) -> Door | None:
    """LocalStack's older address of a REST API's stage: /restapis/API/STAGE/_user_request_/PATH."""
    parts = path.split("/", 4)  # "", "restapis", API, STAGE, rest
    if len(parts) < 5 or not (parts[4] + "/").startswith("_user_request_/"):
        return None
    rest = parts[4].removeprefix("_user_request_")
    base = f"/restapis/{parts[2]}/{parts[3]}/_user_request_"
    return Door("execute-api", parts[2], f"/{parts[3]}{rest}", base)


def _is_form(request: HttpRequest) -> bool:
    kind = request.headers.get("content-type", "")
    return request.method == "POST" and kind.startswith("application/x-www-form-urlencoded")


def _too_large(size_bytes_max: int) -> Fault:
    return Fault(
        "RequestEntityTooLarge",
        f"Request body is larger than {size_bytes_max} bytes",
        status=413,
    )
