"""Which operation of which service a request asks for, and in which protocol."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import NamedTuple

from stratolite.errors import Fault
from stratolite.http import HttpRequest
from stratolite.wire import overlays
from stratolite.wire.bodies import beginning
from stratolite.wire.model import load
from stratolite.wire.routes import Router
from stratolite.wire.scalars import Malformed


class Target(NamedTuple):
    service: str
    operation: str
    protocol: str


_targets: dict[str, Target] = {}
_SMITHY_PATH = re.compile(r"/service/([^/]+)/operation/([^/]+)/?\Z")
_ACTION = re.compile(r"(?:^|&)Action=([^&]*)")
_VERSION = re.compile(r"(?:^|&)Version=([^&]*)")
_QUEUE_PATH = re.compile(r"(?:/queue/[a-z0-9-]+)?/\d{12}/[^/]+/?")
_NOT_OF_A_QUEUE = frozenset({"CreateQueue", "ListQueues"})
_FORM = "application/x-www-form-urlencoded"


def resolve(request: HttpRequest, signing_name: str | None) -> Target:
    """The request decides; ``signing_name`` (of its credential scope) tells services apart.

    Raises Fault with the code AWS gives for what no service knows.
    """
    headers = request.headers
    target = headers.get("x-amz-target")
    if target is not None:
        found = _targets.get(target) or _by_target(target, signing_name)
        if headers.get("content-type") == overlays.AMZ_CBOR:
            return _in_cbor(found)
        return found
    if signing_name and _services(signing_name) == ("",):
        raise _not_offered(signing_name)
    if headers.get("smithy-protocol") == "rpc-v2-cbor" and request.path.startswith("/service/"):
        return _by_smithy_path(request.path, signing_name)
    form = _query_form(request, signing_name)
    if form is not None:
        return _by_action(form, signing_name, request)
    return _by_path(request, signing_name)


def guess(request: HttpRequest, signing_name: str | None) -> str:
    """What to answer in when ``resolve`` failed or was not reached: ``service/protocol``, or only
    the protocol. For ``fault_response``."""
    headers = request.headers
    service = _services(signing_name)[0]
    target = headers.get("x-amz-target")
    if target is not None:
        protocol = "amz-cbor" if headers.get("content-type") == overlays.AMZ_CBOR else "json"
        service = overlays.TARGETS.get(target.rpartition(".")[0], service)
    elif headers.get("smithy-protocol") == "rpc-v2-cbor":
        protocol = "smithy-rpc-v2-cbor"
    elif headers.get("content-type", "").startswith(_FORM) or "Action=" in request.query:
        protocol = "query"
    elif signing_name and not service:
        protocol = "rest-json"
    elif request.method == "GET" and service == "sqs":
        protocol = "query"
    else:
        service = service or "s3"
        protocol = _rest_protocol(service) or load(service).protocols[0]
    if service and protocol in load(service).protocols:
        return f"{service}/{protocol}"
    return "json" if protocol == "amz-cbor" else protocol


def _not_offered(signing_name: str) -> Fault:
    return Fault(
        "NotImplemented",
        f"The service {signing_name[:64]} is not offered by Stratolite; see docs/coverage.md",
        status=501,
    )


def _services(signing_name: str | None) -> tuple[str, ...]:
    if not signing_name:
        return ("",)
    found = overlays.SIGNING_NAMES.get(signing_name)
    if found is not None:
        return found
    return (signing_name,) if signing_name in overlays.SPOKEN else ("",)


def _by_target(target: str, signing_name: str | None) -> Target:
    prefix, _, operation = target.rpartition(".")
    service = overlays.TARGETS.get(prefix)
    candidates = (service,) if service else _services(signing_name)
    for name in candidates:
        if name:
            model = load(name)
            if model.target_prefix == prefix and operation in model.operations:
                if "json" not in model.protocols:
                    break
                found = _targets[target] = Target(name, operation, "json")
                return found
    if signing_name and not service and candidates == ("",):
        raise _not_offered(signing_name)
    raise Fault("UnknownOperationException", "", status=400)


def _in_cbor(target: Target) -> Target:
    if "amz-cbor" not in load(target.service).protocols:
        raise Fault("UnknownOperationException", "", status=400)
    return target._replace(protocol="amz-cbor")


def _by_smithy_path(path: str, signing_name: str | None) -> Target:
    found = _SMITHY_PATH.match(path)
    if found is not None:
        known = _targets.get(path)
        if known is not None:
            return known
        shape, operation = found.groups()
        service = overlays.TARGETS.get(shape)
        for name in (service,) if service else _services(signing_name):
            if not name:
                continue
            model = load(name)
            if operation in model.operations and "smithy-rpc-v2-cbor" in model.protocols:
                target = _targets[path] = Target(name, operation, "smithy-rpc-v2-cbor")
                return target
    raise Fault("UnknownOperationException", "", status=404)


def _query_form(request: HttpRequest, signing_name: str | None) -> str | None:
    """The form text of a query request, None if it is none."""
    if signing_name is not None and not _speaks_query(signing_name):
        return None
    if request.method == "POST":
        if signing_name is None and not request.headers.get("content-type", "").startswith(_FORM):
            return None
        if not request.body:
            return request.query
        try:
            return beginning(request).decode("utf-8", "replace")
        except Malformed as error:
            raise Fault("MalformedInput", str(error), status=400) from None
    if request.method == "GET" and (signing_name is not None or "Action=" in request.query):
        if signing_name is None and not _VERSION.search(request.query):
            return None
        return request.query
    return None


@lru_cache(maxsize=256)
def _speaks_query(signing_name: str) -> bool:
    return any(name and "query" in load(name).protocols for name in _services(signing_name))


def _by_action(form: str, signing_name: str | None, request: HttpRequest) -> Target:
    found = _ACTION.search(form)
    version = _VERSION.search(form)
    name = _services(signing_name)[0]
    if not name and version is not None:
        name = overlays.QUERY_VERSIONS.get(version[1], "")
    if found is None and request.method == "GET":
        raise Fault("UnknownOperationException", "", status=404)
    if found is None:
        raise Fault(
            "MissingAction",
            "The request must contain the parameter Action",
            status=400,
        )
    action = found[1]
    if name:
        model = load(name)
        is_known = action in model.operations and "query" in model.protocols
        if is_known and not (action in _NOT_OF_A_QUEUE and _QUEUE_PATH.fullmatch(request.path)):
            return Target(name, action, "query")
    shown = action[:100]
    if name == "sqs":
        raise Fault(
            "InvalidAction", f"The action {shown} is not valid for this endpoint.", status=400
        )
    said = version[1][:20] if version else "the requested version"
    raise Fault(
        "InvalidAction",
        f"Could not find operation {shown} for version {said}",
        status=400,
    )


@cache
def router(service: str) -> Router:
    return Router(load(service))


def _by_path(request: HttpRequest, signing_name: str | None) -> Target:
    names = _services(signing_name) if signing_name else ("s3",)
    if names[0] == "s3":
        # a bucket may be called v20180820, but its calls never carry these
        control = request.path.startswith("/v20180820/") and (
            "x-amz-account-id" in request.headers or "x-amz-outpost-id" in request.headers
        )
        names = ("s3control",) if control else ("s3",)
    for name in names:
        protocol = _rest_protocol(name)
        if protocol is None:
            continue
        operation = router(name).match(request.method, request.path, request.query, request.headers)
        if operation == "ListBuckets" and signing_name == "s3express":
            operation = "ListDirectoryBuckets"  # the same address but for its host
        if operation is not None:
            return Target(name, operation, protocol)
    if names[0] == "s3":
        if request.method == "POST" and not request.query and "/" not in request.path.strip("/"):
            raise Fault(
                "PreconditionFailed",
                "At least one of the pre-conditions you specified did not hold",
                status=412,
                Condition="Bucket POST must be of the enclosure-type multipart/form-data",
            )
        raise Fault(
            "MethodNotAllowed",
            "The specified method is not allowed against this resource.",
            status=405,
            Method=request.method,
            ResourceType="OBJECT" if request.path.strip("/").count("/") else "BUCKET",
        )
    raise Fault("UnknownOperationException", "", status=404)


@lru_cache(maxsize=256)
def _rest_protocol(service: str) -> str | None:
    return next((p for p in load(service).protocols if p.startswith("rest-")), None)
