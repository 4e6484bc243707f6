"""What we answer, botocore understands: every operation's output, in every protocol."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import io
import os
from email.utils import formatdate
from typing import Any
from xml.etree import ElementTree as ET

import botocore.parsers
import cbor2
import orjson
import pytest
from botocore.awsrequest import HeadersDict
from wire.samples import Sampler, expected, is_xml, service_model, spoken, without_empty

from stratolite import wire
from stratolite.errors import Fault
from stratolite.http import HttpResponse
from stratolite.wire.overlays import JSON_SHAPES

SAMPLES = int(os.environ.get("WIRE_SAMPLES", "6"))


class RawBody(io.BytesIO):
    """As much of urllib3's response as botocore reads from."""

    def stream(self) -> Any:
        yield self.read()


def parsed(response: HttpResponse, protocol: str, operation: Any) -> dict[str, Any]:
    """The answer as a client would get it."""
    body: Any = response.body
    if not isinstance(body, bytes):
        body = asyncio.run(gathered(body))
    if operation.has_event_stream_output and response.status < 300:
        body = RawBody(body)
    elif operation.has_streaming_output:
        body = io.BytesIO(body)
    answer = {
        "status_code": response.status,
        "headers": HeadersDict(response.headers),
        "body": body,
        "context": {"operation_name": operation.name},
    }
    return botocore.parsers.create_parser(protocol).parse(answer, operation.output_shape)


async def gathered(chunks: Any) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def each(events: list[dict[str, Any]]) -> Any:
    for event in events:
        yield event


@pytest.mark.parametrize(("service", "protocol"), spoken())
def test_every_answer_is_parsed_to_what_the_service_said(service: str, protocol: str) -> None:
    """Names, times, blobs and nesting arrive in the SDK as the operation returned them."""
    model = service_model(service)
    shapes = JSON_SHAPES.get(service, frozenset())
    for name in model.operation_names:
        operation = model.operation_model(name)
        shape = operation.output_shape
        codec = wire.codec(service, name, protocol)
        for sample in range(SAMPLES):
            sampler = Sampler(f"{service} {name} {sample} out", protocol)
            value = sampler.structure(shape, full=sample == 0) if shape else {}
            if operation.has_event_stream_output:
                value.pop(codec.event_stream_output, None)
            _fit(value, shape)
            if name == "GetBucketNotification":
                continue  # deprecated; its model has <Event> twice, once as a list
            said = expected(value, shape, shapes) if shape else {}
            meant = expected(value, shape) if shape else {}
            if operation.has_event_stream_output:
                stream = operation.get_event_stream_output()
                events = [
                    {event: _event(sampler, stream.members[event])}
                    for event in stream.members
                    if not stream.members[event].metadata.get("exception")
                ]
                told = [
                    {k: expected(v, stream.members[k], shapes) for k, v in event.items()}
                    for event in events
                ]
                said[codec.event_stream_output] = each(told)
            sent = dict(said)
            if service == "s3" and "Expires" in sent:
                # the model's text; botocore's extras make it a time
                sent["Expires"] = formatdate(sent["Expires"], usegmt=True)
            response = codec.encode(sent, "request-1")
            note = f"{service} {name} {protocol} sample={sample} {said} -> {response}"
            if service == "s3" and name == "GetBucketLocation":
                assert (
                    f">{said.get('LocationConstraint', '')}</LocationConstraint>".encode()
                    in response.body
                )
                continue
            got = parsed(response, protocol, operation)
            metadata = got.pop("ResponseMetadata")
            if (
                shape is not None or protocol != "smithy-rpc-v2-cbor"
            ):  # there botocore reads no headers
                assert metadata["RequestId"] == "request-1", note
            if operation.has_event_stream_output:
                assert list(got.pop(codec.event_stream_output)) == events, note
                meant.pop(codec.event_stream_output, None)
            _same(_read(got), meant, shape, protocol, operation, note)


def _event(sampler: Sampler, shape: Any) -> dict[str, Any]:
    return sampler.structure(shape, full=True)


def _fit(value: dict[str, Any], shape: Any) -> None:
    """What a status or a textual payload cannot be."""
    for name, member in (shape.members if shape else {}).items():
        if name not in value:
            continue
        if member.serialization.get("location") == "statusCode":
            value[name] = 202
        if shape.serialization.get("payload") == name and member.type_name == "blob":
            value[name] = base64.b64encode(value[name])


def _read(value: Any) -> Any:
    """Streams read, times as seconds."""
    if hasattr(value, "timestamp"):
        return value.timestamp()
    if isinstance(value, dict):
        return {k: _read(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_read(item) for item in value]
    return value


def _same(got: Any, said: Any, shape: Any, protocol: str, operation: Any, note: str) -> None:
    if shape is not None:
        payload = shape.serialization.get("payload")
        if payload is not None:
            found = got.get(payload)
            if hasattr(found, "read"):
                found = got[payload] = found.read()
            if operation.http["method"] == "HEAD" or payload not in said:
                # an absent body is an empty one
                assert found in (b"", "", {}, None), note
                got.pop(payload, None)
                said.pop(payload, None)
            elif isinstance(said[payload], bytes) and isinstance(found, str):
                got[payload] = found.encode()
        for name, member in shape.members.items():
            location = member.serialization.get("location")
            if location == "statusCode" and name not in said:
                got.pop(name, None)  # botocore always has one
            if location == "headers" and not got.get(name):
                got.pop(name, None)
            if member.serialization.get("name") == "Content-Type" and name not in said:
                got.pop(name, None)  # every body has a type
    if is_xml(protocol):
        got, said = without_empty(got), without_empty(said)
    assert got == said, note


def test_times_in_cbor_are_tagged() -> None:
    """Other SDKs insist on tag 1; botocore takes a bare number too, so the test above would not see."""
    codec = wire.codec("cloudwatch", "GetMetricStatistics", "smithy-rpc-v2-cbor")
    body = codec.encode({"Datapoints": [{"Timestamp": 1700000000.0, "Sum": 2.0}]}, "r").body
    tagged = cbor2.loads(body)["Datapoints"][0]["Timestamp"]
    assert tagged == dt.datetime(2023, 11, 14, 22, 13, 20, tzinfo=dt.UTC)


def test_fragments_of_items_are_spliced_in() -> None:
    """Stored items are not parsed to be sent: ``orjson.Fragment`` stands for any AttributeValue."""
    codec = wire.codec("dynamodb", "Query", "json")
    answer = {"Items": [orjson.Fragment(b'{"a":{"S":"b"}}')], "Count": 1}
    assert codec.encode(answer, "r").body == b'{"Items":[{"a":{"S":"b"}}],"Count":1}'
    assert codec.encode_body is not None
    assert codec.encode_body(answer) == codec.encode(answer, "r").body


def test_characters_xml_cannot_carry_do_not_break_the_answer() -> None:
    """S3 writes ``&#x1;``, which is no XML 1.0: parsers give up the listing. ``EncodingType=url`` keeps such keys exact."""
    codec = wire.codec("s3", "ListObjectsV2", "rest-xml")
    body = codec.encode({"Contents": [{"Key": "a\x01\r<&>"}]}, "r").body
    assert "<Key>a\ufffd&#xd;&lt;&amp;&gt;</Key>".encode() in body


def test_every_character_gets_through_an_xml_parser() -> None:
    """In texts, in attributes and in errors that quote what they were given: as itself, or as U+FFFD where XML 1.0 has no way."""
    every = "".join(map(chr, [*range(0x300), *range(0xD7F0, 0xE010), *range(0xFFF0, 0x10010)]))
    spoken = set("\t\n\r").union(c for c in every if c >= " " and c not in "\ufffe\uffff")
    expected = "".join(
        c if c in spoken and not 0xD800 <= ord(c) < 0xE000 else "\ufffd" for c in every
    )
    codec = wire.codec("s3", "GetBucketAcl", "rest-xml")
    grant = {"Grantee": {"Type": every, "DisplayName": every}, "Permission": "READ"}
    grantee = ET.fromstring(codec.encode({"Grants": [grant]}, "r").body).find(".//{*}Grantee")
    assert grantee is not None
    assert grantee.findtext("{*}DisplayName") == expected
    assert list(grantee.attrib.values()) == [expected]
    for service, operation, protocol in (
        ("s3", "ListBuckets", "rest-xml"),
        ("iam", "GetRole", "query"),
    ):
        fault = Fault("NoSuchEntity", every)
        body = wire.codec(service, operation, protocol).encode_fault(fault, "r").body
        assert ET.fromstring(body).findtext(".//{*}Message") == expected


def test_s3_roots_are_named_as_in_the_api_reference() -> None:
    """SDKs that check the root element exist; botocore is not one of them."""
    for operation, start in (
        ("ListObjectsV2", b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'),
        ("ListBuckets", b"<ListAllMyBucketsResult "),
        ("CopyObject", b"<CopyObjectResult "),
        ("UploadPartCopy", b"<CopyPartResult "),
        ("GetBucketAcl", b"<AccessControlPolicy "),
        ("DeleteObjects", b"<DeleteResult "),
    ):
        value: dict[str, Any] = {"CopyObjectResult": {}, "CopyPartResult": {}}
        body = wire.codec("s3", operation, "rest-xml").encode(value, "r").body
        assert start in body, body


def test_a_grantees_type_is_an_attribute() -> None:
    """The one xmlAttribute of our services, with a namespace of its own."""
    grantee = {"Type": "CanonicalUser", "ID": "1"}
    body = (
        wire.codec("s3", "GetBucketAcl", "rest-xml")
        .encode({"Grants": [{"Grantee": grantee}]}, "r")
        .body
    )
    assert (
        b'<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser">'
        b"<ID>1</ID></Grantee>"
    ) in body
