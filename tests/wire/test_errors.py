"""Faults arrive in the SDK as its modelled exceptions, with code, message and members."""

from __future__ import annotations

from typing import Any

import botocore.errorfactory
import botocore.parsers
import pytest
from botocore.awsrequest import HeadersDict
from wire.samples import Sampler, expected, is_xml, service_model, spoken, without_empty

from stratolite import wire
from stratolite.errors import Fault
from stratolite.http import HttpResponse

MESSAGE = 'It didn\'t work: <é> & "more"'


def parsed(
    response: HttpResponse, protocol: str, service: Any, operation: Any
) -> tuple[str, dict[str, Any]]:
    """(code an exception class is chosen by, parsed answer), by the steps of botocore's endpoint and client."""
    parser = botocore.parsers.create_parser(protocol)
    answer = {
        "status_code": response.status,
        "headers": HeadersDict(response.headers),
        "body": response.body,
        "context": {"operation_name": operation.name},
    }
    found = parser.parse(answer, operation.output_shape)
    shape = service.shape_for_error_code(found["Error"]["Code"])
    if service.service_name == "sqs":
        shape = service.shape_for_error_code(found["Error"].get("QueryErrorCode"))
    if shape is not None:
        found.update(parser.parse(answer, shape))
    code = found["Error"]["Code"]
    if service.service_name == "sqs":  # botocore's _handle_sqs_compatible_error
        code = found["Error"].get("QueryErrorCode", code)
    return code, found


@pytest.mark.parametrize(("service", "protocol"), spoken())
def test_every_modelled_error_is_raised_as_its_class(service: str, protocol: str) -> None:
    """People catch ``client.exceptions.X`` and read ``e.response["Error"]``; both must work."""
    model = service_model(service)
    classes = botocore.errorfactory.ClientExceptionsFactory().create_client_exceptions(model)
    servers_own = {
        name
        for name, raw in model._service_description["shapes"].items()
        if raw.get("fault") or raw.get("error", {}).get("httpStatusCode", 400) >= 500
    }
    for shape in model.error_shapes:
        users = [
            name
            for name in model.operation_names
            if shape.name in [e.name for e in model.operation_model(name).error_shapes]
        ]
        if not users:
            continue
        operation = model.operation_model(users[0])
        if operation.http["method"] == "HEAD":
            continue
        codec = wire.codec(service, operation.name, protocol)
        sampler = Sampler(f"{service} {shape.name}", protocol)
        members = {
            name: sampler.value(member)
            for name, member in shape.members.items()
            if name.lower() not in ("message", "code", "type")
        }
        said = expected(members, shape)
        for code in {shape.name, shape.error_code}:
            response = codec.encode_fault(Fault(code, MESSAGE, **said), "request-1")
            note = f"{service} {code} {protocol} {response}"
            got_code, got = parsed(response, protocol, model, operation)
            alike = {e.name for e in model.error_shapes if e.error_code == shape.error_code}
            assert classes.from_code(got_code).__name__ in alike, note
            assert got["Error"]["Message"] == MESSAGE, note
            if "httpStatusCode" in shape.metadata.get("error", {}):
                assert response.status == shape.metadata["error"]["httpStatusCode"], note
            assert (response.status >= 500) == (shape.name in servers_own), note
            if protocol != "rest-xml" or service != "s3":
                assert got["ResponseMetadata"]["RequestId"] == "request-1", note
            for name, value in members.items():
                want = value.timestamp() if hasattr(value, "timestamp") else said[name]
                found = got.get(name)
                found = found.timestamp() if hasattr(found, "timestamp") else found
                if is_xml(protocol):
                    want, found = without_empty({"x": want}), without_empty({"x": found})
                assert found == want, (name, note)


@pytest.mark.parametrize(("service", "protocol"), spoken())
def test_an_error_of_no_model_keeps_its_code(service: str, protocol: str) -> None:
    """Common errors (throttling, signatures) are in no service's model and must still be told apart."""
    model = service_model(service)
    operation = next(
        o
        for o in map(model.operation_model, model.operation_names)
        if o.http["method"] not in ("HEAD", "GET")
    )
    codec = wire.codec(service, operation.name, protocol)
    fault = Fault("SomethingRare", MESSAGE, status=418, Detail="x")
    code, got = parsed(codec.encode_fault(fault, "request-1"), protocol, model, operation)
    assert code == "SomethingRare"
    assert got["Error"]["Message"] == MESSAGE
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 418


@pytest.mark.parametrize(
    "guessed", [*wire.PROTOCOLS, "s3", "dynamodb", "sqs", "iam", "lambda", None]
)
def test_a_fault_before_an_operation_is_known_is_still_an_aws_error(guessed: str | None) -> None:
    """Bad signatures and unknown operations are answered in the client's own language."""
    service = guessed if guessed in ("s3", "dynamodb", "sqs", "iam", "lambda") else "s3"
    model = service_model(service)
    protocol = guessed if guessed in wire.PROTOCOLS else model.resolved_protocol
    fault = Fault("SignatureDoesNotMatch", MESSAGE, status=403)
    response = wire.fault_response(guessed, fault, "request-1")
    parser = botocore.parsers.create_parser(protocol)
    answer = {
        "status_code": response.status,
        "headers": HeadersDict(response.headers),
        "body": response.body,
    }
    got = parser.parse(answer, None)
    assert (got["Error"]["Code"], got["Error"]["Message"]) == ("SignatureDoesNotMatch", MESSAGE)
    assert response.status == 403


def test_dynamodb_errors_look_as_dynamodb_writes_them() -> None:
    """Other SDKs match on the namespaced ``__type``, and some check the CRC."""
    codec = wire.codec("dynamodb", "PutItem", "json")
    failed = codec.encode_fault(
        Fault(
            "ConditionalCheckFailedException",
            "The conditional request failed",
            Item={"a": {"S": "b"}},
        ),
        "r",
    )
    assert failed.body == (
        b'{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",'
        b'"Item":{"a":{"S":"b"}},"message":"The conditional request failed"}'
    )
    assert dict(failed.headers).keys() >= {"x-amz-crc32", "x-amzn-RequestId"}
    invalid = codec.encode_fault(Fault("ValidationException", "no"), "r")
    assert b'"__type":"com.amazon.coral.validate#ValidationException"' in invalid.body
    serial = codec.encode_fault(Fault("SerializationException", "no"), "r")
    assert b'"__type":"com.amazon.coral.service#SerializationException"' in serial.body


def test_sqs_json_errors_carry_the_query_code() -> None:
    """SQS is awsQueryCompatible: code written against the old codes must go on working."""
    fault = Fault("QueueDoesNotExist", "The specified queue does not exist.")
    response = wire.codec("sqs", "SendMessage", "json").encode_fault(fault, "r")
    assert (
        dict(response.headers)["x-amzn-query-error"]
        == "AWS.SimpleQueueService.NonExistentQueue;Sender"
    )
    assert b'"__type":"com.amazonaws.sqs#QueueDoesNotExist"' in response.body
    response = wire.codec("sqs", "SendMessage", "query").encode_fault(fault, "r")
    assert b"<Code>AWS.SimpleQueueService.NonExistentQueue</Code>" in response.body


def test_s3_errors_name_their_resource() -> None:
    """S3's errors have a shape of their own and further elements per code."""
    fault = Fault("NoSuchKey", "The specified key does not exist.", Key="a&b", Resource="/b/a&b")
    response = wire.codec("s3", "GetObject", "rest-xml").encode_fault(fault, "R1")
    text = response.body.decode()
    assert response.status == 404
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code>')
    assert (
        "<Key>a&amp;b</Key><Resource>/b/a&amp;b</Resource><RequestId>R1</RequestId><HostId>" in text
    )
    assert ("x-amz-request-id", "R1") in response.headers


def test_an_error_to_head_has_no_body() -> None:
    """A body after HEAD would be read as the next answer."""
    fault = Fault("NoSuchKey", "The specified key does not exist.")
    response = wire.codec("s3", "HeadObject", "rest-xml").encode_fault(fault, "R1")
    assert (response.status, response.body) == (404, b"")
    assert wire.fault_response("s3", fault, "R1", head=True).body == b""


def test_not_modified_has_no_body() -> None:
    """304 ends after its head (RFC 9110, 15.4.5)."""
    response = wire.codec("s3", "GetObject", "rest-xml").encode_fault(
        Fault("NotModified", "Not Modified"), "R1"
    )
    assert (response.status, response.body) == (304, b"")


@pytest.mark.parametrize(
    ("service", "operation", "protocol", "code", "status"),
    [
        ("lambda", "Invoke", "rest-json", "AccessDeniedException", 403),
        ("lambda", "Invoke", "rest-json", "ResourceNotFoundException", 404),
        ("dynamodb", "GetItem", "json", "AccessDeniedException", 400),
        ("dynamodb", "GetItem", "json", "ValidationException", 400),
        ("iam", "GetUser", "query", "AccessDenied", 403),
        ("iam", "GetUser", "query", "NoSuchEntity", 404),
        ("sqs", "SendMessage", "json", "QueueDoesNotExist", 400),
        ("s3", "GetObject", "rest-xml", "AccessDenied", 403),
        ("s3", "GetObject", "rest-xml", "InvalidRange", 416),
        ("s3", "PutObject", "rest-xml", "NoSuchBucket", 404),
        ("s3", "PutObject", "rest-xml", "NotImplemented", 501),
        ("kms", "Encrypt", "json", "InternalFailure", 500),
    ],
)
def test_statuses_no_service_has_to_name(
    service: str, operation: str, protocol: str, code: str, status: int
) -> None:
    """The model's trait, else AWS's lists of common errors, else 400."""
    response = wire.codec(service, operation, protocol).encode_fault(Fault(code, "m"), "r")
    assert response.status == status
