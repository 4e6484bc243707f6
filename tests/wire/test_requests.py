"""What botocore sends, we understand: every operation of every service, in every protocol."""

from __future__ import annotations

import os
from email.utils import formatdate
from typing import Any

import botocore.awsrequest
import botocore.serialize
import pytest
from wire.samples import Sampler, expected, is_xml, service_model, spoken, without_empty

from stratolite import wire
from stratolite.errors import Fault
from stratolite.http import HttpRequest
from stratolite.wire.overlays import JSON_SHAPES

SAMPLES = int(os.environ.get("WIRE_SAMPLES", "6"))
SIGNERS = {
    ("s3", "ListDirectoryBuckets"): "s3express",
    ("s3control", "CreateBucket"): "s3-outposts",
    ("s3control", "ListRegionalBuckets"): "s3-outposts",
}
"""Where only the credential's scope tells an operation from another."""
SUCCESSORS = {
    "GetBucketLifecycle": ("GetBucketLifecycleConfiguration",),
    "GetBucketNotification": ("GetBucketNotificationConfiguration",),
    "PutBucketLifecycle": ("PutBucketLifecycleConfiguration",),
    "PutBucketNotification": ("PutBucketNotificationConfiguration",),
}
"""Deprecated operations with the same address as their successors, which win."""


def sent(
    serializer: Any, params: dict[str, Any], operation: Any, headers: dict[str, str]
) -> HttpRequest:
    """The request botocore would put on the wire, as the gateway would hand it over."""
    serialized = serializer.serialize_to_request(params, operation)
    serialized.pop("host_prefix", None)
    botocore.awsrequest.prepare_request_dict(
        serialized, endpoint_url="http://localhost:4566", context={}, user_agent="test"
    )
    prepared = botocore.awsrequest.create_request_object(serialized).prepare()
    body = prepared.body or b""
    if isinstance(body, str):
        body = body.encode()
    target = prepared.url.removeprefix("http://localhost:4566") or "/"
    path, _, query = target.partition("?")
    found = {
        name.lower(): value.decode("latin-1") if isinstance(value, bytes) else str(value)
        for name, value in prepared.headers.items()
    }
    return HttpRequest(prepared.method, path or "/", query, {**found, **headers}, body)


@pytest.mark.parametrize(("service", "protocol"), spoken())
def test_every_operation_is_found_and_decoded(service: str, protocol: str) -> None:
    """The request alone decides protocol and operation, and nothing of its parameters is lost."""
    model = service_model(service)
    serializer = botocore.serialize.create_serializer(protocol, include_validation=False)
    signing_name = model.metadata.get("signingName", model.metadata["endpointPrefix"])
    shapes = JSON_SHAPES.get(service, frozenset())
    for name in model.operation_names:
        if name == "PutBucketNotification":
            continue  # deprecated; its model has <Event> twice, once as a list
        operation = model.operation_model(name)
        for sample in range(SAMPLES):
            sampler = Sampler(f"{service} {name} {sample}", protocol)
            shape = operation.input_shape
            params = sampler.structure(shape, full=sample == 0) if shape else {}
            want = expected(params, shape, shapes) if shape else {}
            request = sent(serializer, params, operation, {})
            note = f"{service} {name} {protocol} sample={sample} {request.method} {request.path}?{request.query} {request.headers} {request.body!r}"
            signer = SIGNERS.get((service, name), signing_name)
            try:
                target = wire.resolve(request, signer)
            except Fault as fault:
                pytest.fail(f"{fault!r} {note}")
            if target.operation in SUCCESSORS.get(name, ()):
                target = wire.Target(service, name, protocol)
            assert target == (service, name, protocol), note
            codec = wire.codec(*target)
            got = codec.decode(request)
            if shape is not None:
                got, want = _comparable(got, want, shape, protocol)
            assert got == want, note


def _comparable(
    got: dict[str, Any], want: dict[str, Any], shape: Any, protocol: str
) -> tuple[Any, Any]:
    payload = shape.serialization.get("payload")
    if payload is not None and payload not in want:
        # an absent body is an empty one
        assert got.pop(payload, b"") in (b"", "", {})
    for name, member in shape.members.items():
        where = member.serialization.get("location"), member.serialization.get("name", "").lower()
        # HTTP's own headers are botocore's to set
        if where in (("header", "content-length"), ("header", "content-type")):
            got.pop(name, None)
            want.pop(name, None)
    if "Expires" in got and isinstance(got["Expires"], str):
        # S3 keeps this header as it came; botocore's extras make it a time
        want["Expires"] = formatdate(want["Expires"], usegmt=True)
    if is_xml(protocol):
        return without_empty(got), without_empty(want)
    return got, want
