"""What a service is, and how one API call is run: its kinds, its transaction, its principal.

A service is a folder in ``services``: a ``Service`` subclass with one method per AWS operation
(``put_item`` for PutItem). The method's form is its kind:

``def op(self, call, request)``             tx: one transaction, ``call.tx``. Pure, under 10 ms, may run
                                            again. Almost all operations.
``@prepared(before)`` on such a method      prepare + tx: ``before(self, call, request)`` first works
                                            without the store (stream a body into a blob, unzip) and
                                            returns the request the tx gets, now or awaited. A
                                            request ``unless`` says needs none is one plain tx.
``async def op(self, call, request)``       effect or stream: several transactions through
                                            ``call.transact`` around an effect outside the store.

Requests and responses are dicts in the shape of the AWS model: blobs are bytes, timestamps are float
seconds since the epoch, absent members are absent. A member whose shape is in
``wire.overlays.JSON_SHAPES`` (DynamoDB's AttributeValue) stays as its JSON form, and a response may hold
``orjson.Fragment`` for it. A streaming member is a ``Body`` of ``stratolite.http`` (bytes when small).

Services never import each other. They call each other through ``call.invoke`` (inside the transaction)
or ``call.request`` (from async code); both check IAM for the principal of that hop.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, ClassVar, NamedTuple, TypeVar

from stratolite.clock import World
from stratolite.core import Database, Keyspace, Span, Tx
from stratolite.core.blobs import Blobs
from stratolite.core.cloud_clock import CloudClock
from stratolite.core.keeper import Keeper
from stratolite.core.waits import Parked as Parked
from stratolite.core.work import Job as Job
from stratolite.core.work import Settle as Settle
from stratolite.core.work import SettleAll as SettleAll
from stratolite.core.work import Worker as Worker
from stratolite.core.work import Workers
from stratolite.egress import Egress
from stratolite.errors import Fault
from stratolite.http import HttpRequest, HttpResponse
from stratolite.limits import NESTED_CALLS_MAX

Request = dict[str, Any]
Response = dict[str, Any]
T = TypeVar("T")
Access = tuple[str, str]
"""(IAM action, resource ARN), e.g. ("dynamodb:PutItem", "arn:aws:dynamodb:...:table/t")."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking. ``kind`` is root, user, role (an assumed-role session), service or anonymous.

    ``arn`` is what GetCallerIdentity answers. ``name`` is the user's, role's or service's name
    (``lambda.amazonaws.com``). ``source_arn``/``source_account`` are set for deliveries by a service.
    """

    kind: str
    account: str
    arn: str
    name: str = ""
    session: str = ""
    user_id: str = ""
    access_key_id: str = ""
    source_arn: str = ""
    source_account: str = ""
    session_policy: str = ""
    """"" or a JSON list of policy documents and managed policies' ARNs that limit the session."""
    session_tags: str = ""
    """"" or JSON {"tags": key -> value, "transitive": keys}."""
    mfa_s: float = 0.0
    """When a second factor was shown (wall clock), 0: none was."""
    issued_s: float = 0.0
    """When the session's credentials were issued (wall clock), 0: they are not a session's."""
    source_identity: str = ""
    provider: str = ""
    """The identity provider a session came through: aws:FederatedProvider."""


class Opened(tuple[str, Principal]):  # noqa: SLOT001 - a tuple can have no slots of its own
    """(secret, principal) of an access key, and how to know that it still would be opened so.

    It would as long as ``kept.get(key) is value`` and the wall clock is before ``until_s``.
    """

    kept: Mapping[bytes, object]
    key: bytes
    value: object
    until_s: float

    @classmethod
    def of(
        cls,
        secret: str,
        who: Principal,
        kept: Mapping[bytes, object],
        key: bytes,
        until_s: float = float("inf"),
    ) -> Opened:
        made = cls((secret, who))
        made.kept, made.key, made.until_s = kept, key, until_s
        made.value = kept.get(key)
        return made


ANONYMOUS = Principal("anonymous", "", "")


def root(account: str, access_key_id: str = "") -> Principal:
    arn = f"arn:aws:iam::{account}:root"
    return Principal("root", account, arn, user_id=account, access_key_id=access_key_id)


class Call:
    """One API call on its way: who asks, where, and the transaction while it runs."""

    __slots__ = (
        "account",
        "cloud",
        "context",
        "depth",
        "endpoint",
        "named",
        "noted",
        "owner",
        "principal",
        "region",
        "request_id",
        "service",
        "told",
        "trace",
        "tx",
        "via",
    )

    tx: Tx
    """The transaction; only inside a tx operation, ``transact`` or ``invoke``."""
    owner: str
    """For the trail: whose the resource is that IAM was asked about, where it is not the caller's account's."""
    named: Any
    """For the trail: what IAM was asked about, of a data event whose request does not say it."""
    trace: str
    """X-Ray's header that the request came with, see ``trace_of``; not set without one."""

    def __init__(
        self,
        cloud: Cloud,
        principal: Principal,
        region: str,
        request_id: str,
        endpoint: str,
        *,
        account: str = "",
        depth: int = 0,
        context: Mapping[str, str] | None = None,
    ) -> None:
        self.cloud = cloud
        self.principal = principal
        self.account = account or principal.account
        """Whose resources names without an ARN refer to."""
        self.region = region
        self.request_id = request_id
        self.endpoint = endpoint
        """``http://HOST:PORT`` under which the caller reached us; URLs in answers start with it."""
        self.depth = depth
        self.service = ""
        """Which service it asks, once it runs there."""
        self.via: tuple[str, ...] = ()
        """The services that ask on the caller's behalf: aws:CalledVia."""
        self.told: Callable[[], None] | None = None
        """What is done once it is answered, of a service that hears refusals."""
        self.noted: tuple[str, str, str, str] | None = None
        """For the trail: (action, resource, its owner, message of a denial), None for what it does not record."""
        self.context: Mapping[str, str] = {} if context is None else context
        """Condition keys known to the gateway: aws:SourceIp, aws:SecureTransport, aws:UserAgent."""

    @property
    def world(self) -> World:
        return self.cloud.world

    def keys(self, service: str) -> Keyspace:
        """Where ``service`` keeps what belongs to this account and region."""
        return _keyspace(self.account, self.region, service)

    def account_keys(self, service: str) -> Keyspace:
        """For what an account has once in all regions (IAM, bucket names' owners)."""
        return _keyspace(self.account, "", service)

    def global_keys(self, service: str) -> Keyspace:
        """For names that are unique everywhere (bucket names, API ids, function URL ids)."""
        return _keyspace("", "", service)

    def scoped(self, account: str, region: str, principal: Principal | None = None) -> Call:
        """The same call in another account or region, or as another principal."""
        call = Call(
            self.cloud,
            principal or self.principal,
            region,
            self.request_id,
            self.endpoint,
            account=account,
            depth=self.depth,
            context=self.context,
        )
        call.service, call.via = self.service, self.via
        if hasattr(self, "tx"):
            call.tx = self.tx
        if hasattr(self, "trace"):
            call.trace = self.trace
        return call

    def _nested(self, service: str) -> Call:
        if self.depth >= NESTED_CALLS_MAX:
            raise Fault("InternalFailure", f"calls nested deeper than {NESTED_CALLS_MAX}")
        inner = self.scoped(self.account, self.region)
        inner.depth += 1
        if self.service and self.principal.kind != "service":
            inner.via = (*self.via, f"{self.service}.amazonaws.com")
        inner.service = service
        return inner

    def as_service(self, name: str, source_arn: str) -> Call:
        """This call as the AWS service ``name`` (lambda.amazonaws.com) acting for ``source_arn``."""
        arn = f"arn:aws:iam::{self.account}:service/{name}"
        who = Principal(
            "service",
            self.account,
            arn,
            name=name,
            source_arn=source_arn,
            source_account=self.account,
        )
        return self.scoped(self.account, self.region, who)

    async def as_role(self, role_arn: str, service: str, source_arn: str, session: str) -> Call:
        """This call as ``session`` of a role that trusts the AWS service ``service`` acting for ``source_arn``.

        Raises Fault as sts AssumeRole does: AccessDenied for a role that is not there or does not trust it.
        """
        ask = {"RoleArn": role_arn, "RoleSessionName": session}
        answer = await self.as_service(service, source_arn).request("sts", "AssumeRole", ask)
        user = answer["AssumedRoleUser"]
        account, role = role_arn.split(":")[4], user["Arn"].split("/")[-2]
        who = Principal("role", account, user["Arn"], role, session, user_id=user["AssumedRoleId"])
        return self.scoped(account, self.region, who)

    def invoke(self, service: str, operation: str, request: Request) -> Response:
        """Run a tx operation of another service inside this transaction.

        A Fault undoes what that operation wrote and nothing else; let it rise or answer it.
        """
        target = self.cloud.service(service)
        route = target.route(operation)
        is_tx = not route.is_async and route.before is None
        assert is_tx, f"{service} {operation} is not a tx"
        inner = self._nested(service)
        if target.validated:
            self.cloud.validate(service, operation, request)
        trail = self.cloud.trail
        if trail is None:
            with self.tx.savepoint():
                self.cloud.authorize(inner, target, operation, request)
                return route.method(inner, request)  # type: ignore[no-any-return]
        if (kind := route.data) is not None:
            authorize = self.cloud.authorize if kind.named is not None else trail.authorize_data
            try:
                with self.tx.savepoint():
                    authorize(inner, target, operation, request)
                    given: Response = route.method(inner, request)
            except Exception as error:
                trail.add_data(inner, kind, request, error)
                raise
            trail.add_data(inner, kind, request, None)
            return given
        try:
            with self.tx.savepoint():
                trail.authorize(inner, target, operation, request)
                answer: Response = route.method(inner, request)
        except Exception as error:
            trail.add(inner, service, operation, request, error)
            raise
        trail.add(inner, service, operation, request, None)
        return answer

    async def request(self, service: str, operation: str, request: Request) -> Response:
        """Run any operation in transactions of its own; not from inside a transaction."""
        inner = self._nested(service)
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

        def done(result: Any, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        service_of = self.cloud.service(service)
        parked = perform(inner, service_of, operation, request, _as_is, done)
        if parked is None:
            return await future
        try:
            return await future
        finally:
            parked.cancel()

    async def transact(self, body: Callable[[Call], T]) -> T:
        """``body(call)`` in one transaction of its own, ``call.tx`` set."""
        inner = self.scoped(self.account, self.region)

        def run(tx: Tx) -> T:
            inner.tx = tx
            return body(inner)

        return await self.cloud.db.transact(run)


@lru_cache(maxsize=4096)
def _keyspace(account: str, region: str, service: str) -> Keyspace:
    return Keyspace(account, region, service)


def _as_is(response: Response) -> Response:
    return response


def trace_of(call: Call) -> str:
    """X-Ray's header that the call came with, "" without one.

    https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
    """
    return getattr(call, "trace", "")


def traced(call: Call, header: str) -> None:
    """``call`` came with X-Amzn-Trace-Id; what is none of X-Ray's is not passed on."""
    if (
        "Root=" in header
        and len(header) <= _TRACE_LENGTH_MAX
        and header.isascii()
        and header.isprintable()
    ):
        call.trace = header


def without_chain(header: str) -> str:
    """A trace header without what Lambda counts in it to find loops: what is no way of a loop starts a new chain.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html#invocation-recursion-supported
    """
    if "Lineage=" not in header:
        return header
    return ";".join(part for part in header.split(";") if not part.startswith("Lineage="))


class Route(NamedTuple):
    method: Callable[..., Any]
    before: Callable[..., Any] | None
    is_async: bool
    unless: Callable[[Request], bool] | None
    noted: bool = False
    """Whether the trail records its calls in full."""
    data: Any = None
    """Else what the trail keeps of them (``services.cloudtrail.data_events.Kind``), None where there is no trail."""


F = TypeVar("F", bound=Callable[..., Any])


def prepared(
    before: Callable[..., Any], *, unless: Callable[[Request], bool] | None = None
) -> Callable[[F], F]:
    """Mark a tx operation whose ``before(service, call, request)`` does the slow part first.

    ``before`` returns the request for the tx, or an awaitable of it. It must not write to the store;
    what it learnt from it must be checked again by the tx. A request for which ``unless`` is true has
    no slow part: the tx gets it as it came, authorized in the same transaction.
    """

    def mark(method: F) -> F:
        method.before = before  # type: ignore[attr-defined]
        method.unless = unless  # type: ignore[attr-defined]
        return method

    return mark


class Service:
    """Subclass, set ``name`` to the botocore model name, write ``send_message`` for SendMessage."""

    name: ClassVar[str]
    prefix: ClassVar[str] = ""
    """IAM prefix where it differs from ``name`` (``states`` for stepfunctions)."""
    validated: ClassVar[bool] = False
    """Whether requests are held against the constraints of the AWS model before an operation runs (``wire.check``)."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self._routes: dict[str, Route] = {}

    def route(self, operation: str) -> Route:
        """Raises Fault NotImplemented for an operation this service does not offer."""
        found = self._routes.get(operation)
        if found is None:
            method = getattr(self, snake(operation), None)
            if method is None:
                raise Fault(
                    "NotImplemented",
                    f"{self.name} {operation} is not offered by Stratolite; see docs/coverage.md",
                    status=501,
                )
            is_async = inspect.iscoroutinefunction(method)
            before = getattr(method, "before", None)
            trail = self.cloud.trail
            noted = trail is not None and trail.notes(self.name, operation)
            kind = None if noted or trail is None else trail.data_kind(self, operation)
            found = Route(method, before, is_async, getattr(method, "unless", None), noted, kind)
            self._routes[operation] = found
        return found

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        """What IAM must allow for this request; all of it. Runs in the transaction."""
        return ((f"{self.prefix or self.name}:{operation}", "*"),)

    def beside_refusal(
        self, call: Call, operation: str, request: Request, *, explicit: bool
    ) -> dict[str, Any]:
        """Members of the AccessDenied of a request that IAM refuses, beside its words. Runs in the transaction.

        ``explicit``: a policy denies it. Raises Fault where another answer tells the caller no more than he may know.
        """
        return {}

    hears_refusals: ClassVar[bool] = False
    """Whether ``refused`` is called."""

    def refused(self, call: Call, operation: str, request: Request, fault: Fault) -> None:
        """Told of every request that ends in a Fault, before it is answered and outside of transactions. Must not raise."""

    def resource_policy(self, call: Call, resource: str) -> str | None:
        """The policy attached to the resource itself (bucket, function), as JSON, if there is one."""
        return None

    def alone(self, call: Call, operation: str, request: Request) -> Sequence[str] | None:
        """A short cut of ``access``: None unless what is asked for is ``call.account``'s, and no policy but IAM's has a say.

        Else names of what is asked for, by any of which a decision is remembered. Requests of one operation with a
        name in common need the same actions on the same resources; if it ends with "/", on resources whose ARNs are
        the same up to there. So a bucket is decided about, not object by object. (): it is decided each time.
        """
        return () if type(self).resource_policy is Service.resource_policy else None

    def resource_account(self, call: Call, resource: str) -> str:
        """The account that owns the resource. S3 looks its bucket up; ARNs elsewhere say it."""
        parts = resource.split(":", 5)
        return (parts[4] if len(parts) == 6 else "") or call.account

    def condition_keys(
        self, call: Call, operation: str, request: Request, needed: Access
    ) -> dict[str, list[str]]:
        """The service's own condition keys in lower case (``s3:prefix``) for one of ``access``.

        Asked only when a policy has a say. Runs in the transaction.
        """
        return {}

    def inspect(self, operation: str, request: Request) -> None:
        """Check beforehand what of a very large request can be, in a thread, without the store: see ``limits``.

        It may replace parts of ``request`` by marked ones, so that the tx need not look at them again. What is wrong
        is for the tx to say, in its order: do not raise.
        """

    async def serve(self, call: Call, door: Door, request: HttpRequest) -> HttpResponse:
        """Answer raw HTTP for a door this service registered (websites, function URLs, stages)."""
        raise NotImplementedError

    tag_types: ClassVar[tuple[str, ...]] = ()
    """Types of things it keeps tags of, as ARNs name them: ``sqs:queue``, ``apigateway:apis``."""

    def tagged(self, call: Call, kind: str, after: str) -> Iterator[Tagged]:
        """All things of one of ``tag_types`` with their tags, some with none, in order of ``place``, behind ``after``.

        Lazy: whoever asks takes a page. Runs in the transaction.
        """
        return iter(())

    def news(self, call: Call, source: str, part: str) -> Sequence[Span]:
        """The keys that change when the event source ``source`` (an ARN) has something new to read.

        ``part`` is a shard's id; "" asks for the source's list of shards. Whoever reads on when there is
        news waits on these (``tx.wait``). Runs in the transaction; () for a source that is not there.
        """
        return ()

    def workers(self) -> Iterable[Worker]:
        """The queues of committed work this service carries out."""
        return ()

    def resources(self) -> Iterable[Resource]:
        """Its CloudFormation resource types."""
        return ()


class Tagged(NamedTuple):
    """A thing and its tags, as the tagging API shows them."""

    place: str
    """Where a listing goes on behind it."""
    arn: str
    tags: Mapping[str, str]


class Door(NamedTuple):
    """Raw HTTP for a service. Path form /_aws/NAME/LABEL/PATH, host form LABEL.NAME.REGION.localhost."""

    name: str
    """``execute-api``, ``lambda-url``, ``s3-website``."""
    label: str
    """API id, URL id, bucket."""
    path: str
    """The rest, still percent-encoded, starting with "/"."""
    base: str
    """What stands before ``path`` in the client's URL: "" in host form, ``/_aws/NAME/LABEL`` else."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A resource as a template wants it: every intrinsic function already resolved."""

    type: str
    logical_id: str
    stack_name: str
    stack_id: str
    """"" outside of a stack, for Cloud Control."""
    token: str
    """Same for every attempt at the same step; names are derived from it, so a repeat finds its own."""
    properties: dict[str, Any]
    step: str = ""
    """Which step of which operation this is; another for every update, and for each way back."""
    creation_policy: Mapping[str, Any] = field(default_factory=dict)

    def generated_name(self, max_length: int = 63, *, lower: bool = False) -> str:
        """CloudFormation's stack-logical-SUFFIX, the suffix from ``token``."""
        suffix = self.token[-12:]
        room = max_length - len(suffix) - 2
        stack = self.stack_name[: max(1, room - min(len(self.logical_id), 24))]
        name = f"{stack}-{self.logical_id[: room - len(stack)]}-{suffix}"
        return name.lower() if lower else name

    def tags(self, name: str = "Tags") -> dict[str, str]:
        """The property's tags (the stack's are among them) as key -> value, written as a list or as a map."""
        given = self.properties.get(name) or {}
        pairs = (
            given.items() if isinstance(given, dict) else [(t["Key"], t["Value"]) for t in given]
        )
        return {str(k): str(v).lower() if isinstance(v, bool) else str(v) for k, v in pairs}

    def system_tags(self) -> dict[str, str]:
        """What CloudFormation tags its resources with: give them to a service that takes ``aws:`` tags from us."""
        if not self.stack_id:
            return {}
        return {
            "aws:cloudformation:logical-id": self.logical_id,
            "aws:cloudformation:stack-id": self.stack_id,
            "aws:cloudformation:stack-name": self.stack_name,
        }


@dataclass(frozen=True, slots=True)
class Made:
    """A resource as it is: what Ref gives and what Fn::GetAtt gives."""

    physical_id: str
    attributes: dict[str, Any] = field(default_factory=dict)
    no_echo: bool = False
    """Whether the attributes are secrets: kept sealed, never shown."""


@contextmanager
def created(physical_id: str) -> Iterator[None]:
    """Around the rest of a ``create`` once the thing exists: a Fault then says its name, so that a rollback finds it."""
    try:
        yield
    except Fault as fault:
        fault.members["PhysicalResourceId"] = physical_id
        raise


class Resource:
    """One CloudFormation resource type.

    How to write one, in the owning service's ``resources.py`` (and in what its ``resources()`` gives):

    1. ``type``; ``service``, whose operations ``self.ask`` calls; ``gone``, its error codes for "there is no such
       thing"; ``create_only``, the properties whose change makes a new resource (a type without ``update`` is
       replaced by any change).
    2. Say what is offered. AWS's own schema of the type is checked before a handler is ever called: properties
       arrive known, required ones there, in their types (5, not "5"), enumerations right. Of what AWS knows you
       offer ``properties`` (top level), except the places in ``refused``. Templates that ask for more are refused
       before anything is touched, with the line; so no ``if`` in ``create``. Never ignore a property in silence.
       What the service refuses of a value (a schedule, a pattern, a runtime) it refuses there, too: ``values`` names
       the service's own checks, so that a template is refused and not rolled back.
    3. ``create``, ``update``, ``delete`` work through ``self.ask(call, "CreateThing", ...)``, as any caller would: IAM
       applies. A Fault is the resource's failure reason. Each may run again after a crash, with the same
       ``spec.token``: derive names from it (``spec.generated_name(64)``), or pass it where the service keeps
       it (``StackToken=spec.token``), so that a repeat finds its own thing and not somebody else's. Once the
       thing exists, wrap what follows in ``with created(physical_id):``. ``update`` brings the resource from any
       state between ``old`` and ``new`` to ``new``: it is also how a rollback goes back (``new`` is then how it
       was). A property that ``new`` no longer has goes back to its default.
    4. ``Made(physical_id, attributes)``: what Ref gives, what GetAtt gives. GetAtt of a property the template states needs
       no entry. Dots lead inside: ``{"Endpoint": {"Address": ...}}``.
    5. ``stabilise`` where the thing is not ready when its create or update answers (index filling, deleting).
    6. ``read``: the properties as they are now, in the template's words; None when the thing is gone. Drift, import
       and Cloud Control need it. It may give more than a template states, but under the same names and in the
       same forms: a list whose order means nothing in the order AWS gives it, tags as the type writes them.
       Leave out what cannot be read (secrets, code): name it in ``unread``.
    7. ``identifiers`` pages through the physical ids there are, for Cloud Control's ListResources.

    The stack's tags are merged into the tag property before a handler sees the properties.
    """

    type: ClassVar[str]
    service: ClassVar[str] = ""
    """botocore name of the service ``ask`` calls."""
    gone: ClassVar[frozenset[str]] = frozenset({"ResourceNotFoundException"})
    """Its error codes that say the thing is not there."""
    create_only: ClassVar[frozenset[str]] = frozenset()
    """Top-level properties whose change means replacement."""
    properties: ClassVar[frozenset[str] | None] = None
    """Top-level properties offered; None: all that AWS's schema has, except what is ``refused``."""
    refused: ClassVar[Mapping[str, frozenset[str]]] = {}
    """Place -> what may stand there nevertheless (scalars as text, "" for empty). ``"Kms.KeyId"``, ``"Rules.*.Transition"``."""
    values: ClassVar[Mapping[str, Callable[[Any], object]]] = {}
    """Place as in ``refused``, "" for all properties -> what raises the service's Fault for a value there.

    A value that, or part of which, only another resource will have is not looked at; see ``stand_ins``.
    """
    stand_ins: ClassVar[Mapping[str, str | None]] = {}
    """Place of ``values`` -> the text that stands for what is not known in it; None: an object comes without such members."""
    unread: ClassVar[frozenset[str]] = frozenset()
    """Top-level properties that ``read`` cannot give; those AWS's schema calls write-only need no entry."""
    attributes: ClassVar[frozenset[str] | None] = None
    """What GetAtt offers; None: whatever AWS's schema has."""
    attributes_open: ClassVar[bool] = False
    """Whether GetAtt may ask for names nobody knows beforehand."""
    time_s_max: ClassVar[float] = 900.0
    """How long one step may take."""
    by_identifier: ClassVar[bool] = True
    """Whether the primary identifier is enough to read, change and delete one: what Cloud Control offers."""
    tagged: ClassVar[bool] = True
    """Whether the stack's tags are merged in, where AWS's schema says that the type takes tags."""

    async def create(self, call: Call, spec: Spec) -> Made:
        raise NotImplementedError

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        raise NotImplementedError

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        """Gone already is success."""
        raise NotImplementedError

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        """The properties as they are; None if the thing is gone. ``spec`` has what the template says of it.

        For an import ``spec.properties`` are those of the template, the primary identifier among them.
        """
        raise NotImplementedError

    async def stabilise(self, call: Call, physical_id: str, spec: Spec) -> bool:
        """Whether the resource is ready; asked again, ever more seldom, after ``create`` and ``update``. Fault: it never will be."""
        return True

    async def deleted(self, call: Call, physical_id: str, spec: Spec) -> bool:
        """Whether a delete that was answered has come to its end; asked as ``stabilise`` is."""
        return True

    async def adopt(self, call: Call, physical_id: str, spec: Spec) -> Made:
        """Ref and attributes of a resource that is there already and is taken into a stack by an import."""
        return Made(physical_id)

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        """A page of physical ids, and the token of the next one, "" for the last."""
        raise NotImplementedError

    def physical_id_of(self, identifier: Mapping[str, Any]) -> str:
        """The physical id that AWS's primary identifier stands for (property -> value, in the schema's order)."""
        return str(list(identifier.values())[-1])

    # -- for those who write one

    @classmethod
    def can(cls, verb: str) -> bool:
        """Whether the type has ``update``, ``read`` or ``identifiers`` of its own."""
        return getattr(cls, verb) is not getattr(Resource, verb)

    async def ask(self, call: Call, operation: str, /, **request: Any) -> Response:
        """An operation of the type's service; members that are None are left out."""
        request = {name: value for name, value in request.items() if value is not None}
        return await call.request(self.service, operation, request)

    async def ask_if_there(self, call: Call, operation: str, /, **request: Any) -> Response | None:
        """None where the service says that the thing is not there: what a delete or a read needs."""
        try:
            return await self.ask(call, operation, **request)
        except Fault as fault:
            if fault.code in self.gone:
                return None
            raise

    async def page_of(
        self,
        call: Call,
        operation: str,
        member: str,
        name: str,
        token: str,
        /,
        cursor: tuple[str, str] = ("NextToken", "NextToken"),
        **request: Any,
    ) -> tuple[list[str], str]:
        """``identifiers`` from a paged listing of things with ``name``; ``cursor``: its members in request and answer."""
        page = await self.ask(call, operation, **request, **{cursor[0]: token or None})
        return [str(item[name]) for item in page.get(member) or ()], page.get(cursor[1]) or ""

    async def every(
        self, call: Call, operation: str, member: str, /, cursor: str = "NextToken", **request: Any
    ) -> list[Any]:
        """All items of a paged listing, ``cursor`` being the same member of request and answer."""
        items: list[Any] = []
        after: dict[str, Any] = {}
        while True:
            page = await self.ask(call, operation, **request, **after)
            items += page.get(member) or ()
            if not page.get(cursor):
                return items
            after = {cursor: page[cursor]}


def picked(properties: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Of the properties those that are there among ``names``."""
    return {name: properties[name] for name in names if name in properties}


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


Authorize = Callable[[Call, Service, str, Request], None]
Validate = Callable[[str, str, Request], None]


@dataclass
class Cloud:
    """The running platform, put together once by ``server``: what every call may reach."""

    db: Database
    world: World
    blobs: Blobs
    work: Workers
    runtime: Any
    vault: Any
    services: Mapping[str, Callable[[Cloud], Service]]
    """Lazily imported constructors by service name; ``service`` gives the instance."""
    authorize: Authorize
    """Raises Fault AccessDenied unless the call's principal may do it. Runs in the transaction."""
    endpoint: str
    data_folder: str
    resource_owner: Callable[[str], str | None]
    """Service name for a CloudFormation type name."""
    clock: CloudClock
    egress: Egress
    """The only way to send a request to somewhere else."""
    validate: Validate = lambda service, operation, request: None  # noqa: ARG005
    """Raises Fault for a request that is not as the AWS model says (service, operation, request)."""
    documents: Any = None
    """Requests and answers as documents in an SDK's spelling (``wire.documents``)."""
    spoken: Any = None
    """Requests and answers as they are on the wire (``wire.spoken``)."""
    usage: Any = None
    """Notes what keys and roles were last used for (``services.iam.usage``), None where nobody does."""
    metrics: Any = None
    """Gathers what services count (``stratolite.metrics``), None where nobody does."""
    trail: Any = None
    """Records calls (``services.cloudtrail.recorder``), None where nobody does."""
    keeper: Keeper | None = None
    """Makes snapshots and forgets what nobody needs."""
    _instances: dict[str, Service] = field(default_factory=dict)

    def service(self, name: str) -> Service:
        """Raises Fault for a service that is not offered."""
        found = self._instances.get(name)
        if found is None:
            make = self.services.get(name)
            if make is None:
                raise Fault(
                    "NotImplemented",
                    f"The service {name} is not offered by Stratolite; see docs/coverage.md",
                    status=501,
                )
            found = self._instances[name] = make(self)
        return found

    def call(
        self, account: str, region: str, request_id: str = "", principal: Principal | None = None
    ) -> Call:
        """A call of the cloud's own, as workers make one: asked by the account's root, or by ``principal``."""
        return Call(
            self,
            principal or root(account),
            region,
            request_id or self.world.uuid(),
            self.endpoint,
            account=account,
        )

    def measure(
        self,
        account: str,
        region: str,
        namespace: str,
        dimensions: tuple[tuple[str, str], ...],
        name: str,
        value: float = 1.0,
        unit: str = "Count",
        times: int = 1,
    ) -> None:
        """A sample of a service's metric (``AWS/SQS``), ``times`` over; nothing where nobody gathers them."""
        if self.metrics is not None:
            self.metrics.count(account, region, namespace, dimensions, name, value, unit, times)

    async def close(self) -> None:
        """Stop taking work and make durable what was acknowledged."""
        for part in (
            self.work,
            self.runtime,
            self.trail,
            self.usage,
            self.metrics,
            self.blobs,
            self.keeper,
            self.clock,
        ):
            if part is not None:
                await part.close()
        await self.db.close()

    def resource(self, type_name: str) -> Resource | None:
        """The handler of a CloudFormation type, None if no service offers it."""
        owner = self.resource_owner(type_name)
        if owner is None:
            return None
        known = list(self.service(owner).resources())
        return next(
            (r for r in known if r.type == type_name),
            next(
                (r for r in known if r.type[-1] == "*" and type_name.startswith(r.type[:-1])), None
            ),
        )


_TASKS: set[asyncio.Task[None]] = set()


def perform(
    call: Call,
    service: Service,
    operation: str,
    request: Request,
    finish: Callable[[Response], T],
    done: Callable[[T | None, BaseException | None], None],
) -> Parked | None:
    """Run one operation as its kind asks and call ``done`` when its answer may be given.

    ``finish`` shapes the response (encodes it); for a tx it runs inside the transaction. A tx that
    waits (a long poll) gives the handle to ``cancel`` when the caller goes away.
    """
    try:
        route = service.route(operation)
    except Fault as fault:
        done(None, fault)
        return None
    cloud, method = call.cloud, route.method
    call.service = service.name
    if service.hears_refusals:
        done = _heard(call, service, operation, request, done)
    who = call.principal
    if (
        who.access_key_id[:1] == "A"
        and (usage := cloud.usage) is not None
        and (id(who), service.name) not in usage.held
    ):
        usage.note(who, service.name, call.region)
    authorize, kind = cloud.authorize, route.data
    is_plain = not route.is_async and (
        route.before is None or (route.unless is not None and route.unless(request))
    )
    if kind is not None:
        if call.depth and who.kind == "root" and not who.access_key_id:
            kind = None  # one part of the platform asks another
        elif not is_plain or kind.named is None:
            done = cloud.trail.around_data(call, kind, request, done)
            if kind.named is None:
                authorize = cloud.trail.authorize_data
            kind = None
    elif route.noted:
        done = cloud.trail.around(call, service, operation, request, done)
        authorize = cloud.trail.authorize
    if service.validated:
        try:
            cloud.validate(service.name, operation, request)
        except Fault as fault:
            if kind is not None:
                cloud.trail.add_data(call, kind, request, fault)
            done(None, fault)
            return None
    if is_plain:
        if kind is None:
            body = partial(_whole, authorize, call, service, operation, request, method, finish)
        else:
            body = partial(
                _kept,
                cloud.trail,
                kind,
                authorize,
                call,
                service,
                operation,
                request,
                method,
                finish,
            )
        return cloud.db.submit(body, done)

    def check(tx: Tx) -> None:
        call.tx = tx
        authorize(call, service, operation, request)

    if route.before is None:

        async def effect() -> T:
            await cloud.db.transact(check)
            return finish(await method(call, request))

        _spawn(effect(), done)
        return None

    before = route.before

    def checked(_: None, error: BaseException | None) -> None:
        if error is not None:
            done(None, error)
            return
        try:
            ready = before(service, call, request)
        except Exception as fault:  # noqa: BLE001 - handed to the caller
            done(None, fault)
            return

        def run(prepared_request: Request) -> None:
            def body(tx: Tx) -> T:
                call.tx = tx
                return finish(method(call, prepared_request))

            cloud.db.submit(body, done)

        if isinstance(ready, dict):
            run(ready)
            return

        async def prepare() -> None:
            try:
                prepared_request = await _awaited(ready)
            except Exception as fault:  # noqa: BLE001 - handed to the caller
                done(None, fault)
                return
            run(prepared_request)

        _keep(asyncio.ensure_future(prepare()))

    return cloud.db.submit(check, checked)


def _heard(
    call: Call,
    service: Service,
    operation: str,
    request: Request,
    done: Callable[[T | None, BaseException | None], None],
) -> Callable[[T | None, BaseException | None], None]:
    """``done`` that tells the service first of a refusal, and then of an answer if it wants to know."""

    def finished(result: T | None, error: BaseException | None) -> None:
        if isinstance(error, Fault):
            service.refused(call, operation, request, error)
        done(result, error)
        if error is None and call.told is not None:
            call.told()

    return finished


def _whole(
    authorize: Authorize,
    call: Call,
    service: Service,
    operation: str,
    request: Request,
    method: Callable[..., Response],
    finish: Callable[[Response], T],
    tx: Tx,
) -> T:
    """A tx operation from IAM's word to its answer."""
    call.tx = tx
    authorize(call, service, operation, request)
    return finish(method(call, request))


def _kept(
    trail: Any,
    kind: Any,
    authorize: Authorize,
    call: Call,
    service: Service,
    operation: str,
    request: Request,
    method: Callable[..., Response],
    finish: Callable[[Response], T],
    tx: Tx,
) -> T:
    """``_whole``, kept for the trail. Every GetItem comes by here: what this adds is counted in hundreds of nanoseconds."""
    call.tx, call.owner = tx, ""
    try:
        names = kind.named(request)
    except Exception:  # noqa: BLE001 - what the client left out: the operation answers that
        names = ""
    try:
        authorize(call, service, operation, request)
        answer = finish(method(call, request))
    except Exception as error:
        trail.add_data(call, kind, request, error)
        raise
    try:
        trail.held.append((
            tx.time_s, call.request_id, names, call.principal, call.region, kind, call.owner,
            call.context.source, call.depth,  # type: ignore[attr-defined]
        ))  # fmt: skip
    except AttributeError:  # it came from nowhere: a call of the platform's own
        trail.add_data(call, kind, request, None)
    if len(trail.held) >= trail.room:
        trail.attend()
    return answer


async def _awaited(ready: Awaitable[Request]) -> Request:
    return await ready


def _spawn(work: Any, done: Callable[[Any, BaseException | None], None]) -> None:
    async def run() -> None:
        try:
            result = await work
        except Exception as error:  # noqa: BLE001 - handed to the caller
            done(None, error)
            return
        done(result, None)

    _keep(asyncio.ensure_future(run()))


def _keep(task: asyncio.Task[None]) -> None:
    _TASKS.add(task)
    task.add_done_callback(_TASKS.discard)


_DIGITS_MAX = 18
_TRACE_LENGTH_MAX = 1000
_FIRST_CAP = re.compile(r"(.)([A-Z][a-z]+)")
_END_CAP = re.compile(r"([a-z0-9])([A-Z])")
_PLURAL_ACRONYM = re.compile(r"[A-Z]{2,}s$")


def snake(name: str) -> str:
    """``PutItem`` -> ``put_item``, as botocore names its methods."""
    name = name.replace("OTel", "Otel")
    if plural := _PLURAL_ACRONYM.search(name):
        name = f"{name[: plural.start()]}_{plural[0].lower()}"
    return _END_CAP.sub(r"\1_\2", _FIRST_CAP.sub(r"\1_\2", name)).lower()


def is_number(text: str) -> bool:
    """Whether ``int`` takes it, as a count or an id: ``isdigit`` says yes to "²", and too many digits are refused."""
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX
