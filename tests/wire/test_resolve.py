"""Which operation a request asks for, where the model alone does not say."""

from __future__ import annotations

import contextlib
from importlib import import_module

import pytest

from stratolite import wire
from stratolite.errors import Fault
from stratolite.http import HttpRequest
from stratolite.wire.json import JsonBodies
from stratolite.wire.model import Model
from stratolite.wire.overlays import SPOKEN
from stratolite.wire.rest_requests import compile_request, split_header_list
from stratolite.wire.routes import Router

FORM = "application/x-www-form-urlencoded; charset=utf-8"


def ask(method: str, target: str, body: bytes = b"", **headers: str) -> HttpRequest:
    path, _, query = target.partition("?")
    return HttpRequest(
        method, path, query, {k.replace("_", "-"): v for k, v in headers.items()}, body
    )


@pytest.mark.parametrize(
    ("method", "target", "operation"),
    [
        ("GET", "/", "ListBuckets"),
        ("PUT", "/b", "CreateBucket"),
        ("PUT", "/b/", "CreateBucket"),
        ("GET", "/b", "ListObjects"),
        ("GET", "/b/?list-type=2&prefix=a%2Fb", "ListObjectsV2"),
        ("GET", "/b?versions", "ListObjectVersions"),
        ("GET", "/b?versions=&prefix=x", "ListObjectVersions"),
        ("GET", "/b?location", "GetBucketLocation"),
        ("GET", "/b?uploads", "ListMultipartUploads"),
        ("GET", "/b?lifecycle", "GetBucketLifecycleConfiguration"),
        ("GET", "/b?analytics", "ListBucketAnalyticsConfigurations"),
        ("GET", "/b?analytics&id=1", "GetBucketAnalyticsConfiguration"),
        ("HEAD", "/b", "HeadBucket"),
        ("POST", "/b?delete", "DeleteObjects"),
        ("GET", "/b/k", "GetObject"),
        ("GET", "/b//", "GetObject"),
        ("GET", "/b/k?prefix=x&response-content-type=a", "GetObject"),
        ("GET", "/b/k?acl", "GetObjectAcl"),
        ("GET", "/b/k?tagging=", "GetObjectTagging"),
        ("GET", "/b/k?attributes", "GetObjectAttributes"),
        ("GET", "/b/k?uploadId=1", "ListParts"),
        ("HEAD", "/b/k", "HeadObject"),
        ("PUT", "/b/k", "PutObject"),
        ("PUT", "/b/k/?x-id=PutObject", "PutObject"),
        ("PUT", "/b/k?partNumber=1&uploadId=2", "UploadPart"),
        ("POST", "/b/k?uploads", "CreateMultipartUpload"),
        ("POST", "/b/k?uploadId=1", "CompleteMultipartUpload"),
        ("DELETE", "/b/k?uploadId=1", "AbortMultipartUpload"),
        ("DELETE", "/b/k?versionId=1", "DeleteObject"),
        ("DELETE", "/b/k", "DeleteObject"),
        ("GET", "/v20180820/jobs", "GetObject"),
    ],
)
def test_s3_addresses_without_sdk_hints(method: str, target: str, operation: str) -> None:
    """curl, browsers and older SDKs send no ``x-id``; sub-resources come with and without ``=``."""
    assert wire.resolve(ask(method, target), "s3") == ("s3", operation, "rest-xml")
    assert wire.resolve(ask(method, target), None).operation == operation


def test_s3_copies_are_told_by_their_header() -> None:
    """PutObject and CopyObject share an address; taking one for the other loses an object."""
    copy = ask("PUT", "/b/k", x_amz_copy_source="/a/k")
    assert wire.resolve(copy, "s3").operation == "CopyObject"
    copy = ask("PUT", "/b/k?x-id=PutObject", x_amz_copy_source="/a/k")
    assert wire.resolve(copy, "s3").operation == "CopyObject"
    part = ask("PUT", "/b/k?partNumber=1&uploadId=2", x_amz_copy_source="/a/k")
    assert wire.resolve(part, "s3").operation == "UploadPartCopy"


@pytest.mark.parametrize(
    "key",
    [
        "a//b",
        "/a",
        "//",
        "a/",
        "../a",
        "./a",
        "a/../b",
        "a b",
        "a+b",
        "a%2Fb",
        "é☃",
        "a?b#c",
        "%",
        "a\nb",
        "~",
        "{}",
    ],
)
@pytest.mark.parametrize("safe", ["/", "/~", ""])
def test_s3_keys_survive_exactly(key: str, safe: str) -> None:
    """A key is bytes to S3: nothing may be folded, trimmed or decoded twice."""
    from urllib.parse import quote

    asked = ask("PUT", f"/bucket/{quote(key, safe=safe)}")
    target = wire.resolve(asked, "s3")
    assert target.operation == "PutObject"
    decoded = wire.codec(*target).decode(asked)
    assert (decoded["Bucket"], decoded["Key"]) == ("bucket", key)


def test_what_s3_does_not_have_is_method_not_allowed() -> None:
    """S3 answers 405 where others answer 404."""
    with pytest.raises(Fault) as raised:
        wire.resolve(ask("POST", "/b/k"), "s3")
    assert (raised.value.code, raised.value.status) == ("MethodNotAllowed", 405)


def test_one_service_is_spoken_in_three_protocols() -> None:
    """The model's first protocol is only what today's SDKs prefer."""
    target = "GraniteServiceVersion20100801.ListMetrics"
    path = "/service/GraniteServiceVersion20100801/operation/ListMetrics"
    body = b"Action=ListMetrics&Version=2010-08-01"
    assert wire.resolve(ask("POST", "/", x_amz_target=target), "monitoring").protocol == "json"
    asked = ask("POST", path, smithy_protocol="rpc-v2-cbor")
    assert wire.resolve(asked, "monitoring") == ("cloudwatch", "ListMetrics", "smithy-rpc-v2-cbor")
    asked = ask("POST", "/", body, content_type=FORM)
    assert wire.resolve(asked, "monitoring") == ("cloudwatch", "ListMetrics", "query")


def test_a_bucket_may_be_called_service() -> None:
    """Only the smithy header makes the path one of CBOR's."""
    asked = ask("GET", "/service/X/operation/Y")
    assert wire.resolve(asked, "s3").operation == "GetObject"


@pytest.mark.parametrize(
    ("asked", "signing_name", "operation"),
    [
        (
            ask(
                "POST",
                "/",
                b"Action=AssumeRoleWithWebIdentity&Version=2011-06-15",
                content_type=FORM,
            ),
            None,
            "AssumeRoleWithWebIdentity",
        ),
        (ask("GET", "/?Action=GetCallerIdentity&Version=2011-06-15"), None, "GetCallerIdentity"),
        (ask("GET", "/?Action=GetCallerIdentity&Version=2011-06-15"), "sts", "GetCallerIdentity"),
        (ask("POST", "/?Action=ListUsers&Version=2010-05-08"), "iam", "ListUsers"),
        (
            ask("POST", "/000000000000/q", b"Action=DeleteQueue", content_type=FORM),
            "sqs",
            "DeleteQueue",
        ),
        (ask("POST", "/", x_amz_target="AmazonSQS.SendMessage"), "sqs", "SendMessage"),
        (
            ask("POST", "/", x_amz_target="DynamoDBStreams_20120810.ListStreams"),
            "dynamodb",
            "ListStreams",
        ),
        (ask("GET", "/2015-03-31/functions"), "lambda", "ListFunctions"),
        (ask("GET", "/2015-03-31/functions/"), "lambda", "ListFunctions"),
        (
            ask("GET", "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A1%3Afunction%3Af"),
            "lambda",
            "GetFunction",
        ),
        (ask("GET", "/restapis"), "apigateway", "GetRestApis"),
        (ask("GET", "/v2/apis"), "apigateway", "GetApis"),
        (ask("GET", "/v2/apis/1/routes"), "apigateway", "GetRoutes"),
    ],
)
def test_the_operation_is_found(
    asked: HttpRequest, signing_name: str | None, operation: str
) -> None:
    """Unsigned STS, queue addresses, two services behind one signing name."""
    assert wire.resolve(asked, signing_name).operation == operation


@pytest.mark.parametrize(
    ("asked", "signing_name", "code"),
    [
        (
            ask("POST", "/", x_amz_target="DynamoDB_20120810.Nothing"),
            "dynamodb",
            "UnknownOperationException",
        ),
        (ask("POST", "/", x_amz_target="Nobody.Nothing"), None, "UnknownOperationException"),
        (ask("POST", "/", x_amz_target=""), "kms", "UnknownOperationException"),
        (
            ask("POST", "/", b"Action=Nothing&Version=2010-05-08", content_type=FORM),
            "iam",
            "InvalidAction",
        ),
        (ask("POST", "/", b"Version=2010-05-08", content_type=FORM), "iam", "MissingAction"),
        (ask("GET", "/nowhere"), "lambda", "UnknownOperationException"),
        (
            ask("POST", "/service/X/operation/Y", smithy_protocol="rpc-v2-cbor"),
            "monitoring",
            "UnknownOperationException",
        ),
        (ask("GET", "/"), "no-such-service", "NotImplemented"),
        (ask("POST", "/", b"Action=RunInstances", content_type=FORM), "ec2", "NotImplemented"),
        (ask("POST", "/", x_amz_target="DirectoryService_20150416.X"), "ds", "NotImplemented"),
    ],
)
def test_what_no_service_knows_is_named(
    asked: HttpRequest, signing_name: str | None, code: str
) -> None:
    """AWS's codes, which SDKs report as they are."""
    with pytest.raises(Fault) as raised:
        wire.resolve(asked, signing_name)
    assert raised.value.code == code


def test_a_query_to_a_queues_address_names_the_queue() -> None:
    """The oldest way to call SQS puts the queue in the path alone."""
    asked = ask(
        "POST",
        "/000000000000/q",
        b"Action=SendMessage&MessageBody=x",
        content_type=FORM,
        host="localhost:4566",
    )
    assert wire.codec("sqs", "SendMessage", "query").decode(asked) == {
        "MessageBody": "x",
        "QueueUrl": "http://localhost:4566/000000000000/q",
    }


def test_streaming_bodies_are_handed_over_untouched() -> None:
    """An upload must not be gathered in memory to be decoded."""
    stream = object()
    codec = wire.codec("s3", "PutObject", "rest-xml")
    asked = HttpRequest("PUT", "/b/k", "", {}, stream)  # type: ignore[arg-type]
    assert codec.streaming_input == "Body"
    assert codec.decode(asked)["Body"] is stream
    assert wire.codec("s3", "DeleteObjects", "rest-xml").streaming_input is None
    assert wire.codec("lambda", "Invoke", "rest-json").streaming_input is None


def test_a_ranged_answer_is_partial_content() -> None:
    """The model has no status for it; the range says it."""
    codec = wire.codec("s3", "GetObject", "rest-xml")
    assert codec.encode({"Body": b"x", "ContentRange": "bytes 0-0/2"}, "r").status == 206
    assert codec.encode({"Body": b"x"}, "r").status == 200


def test_header_values_cannot_break_out_of_their_line() -> None:
    """User metadata comes back as headers."""
    codec = wire.codec("s3", "HeadObject", "rest-xml")
    response = codec.encode({"Metadata": {"a": "b\r\nSet-Cookie: c"}, "ContentType": "x\ny"}, "r")
    assert not any("\n" in value or "\r" in value for _, value in response.headers)


def test_operations_and_error_codes_are_listed_for_the_coverage_page() -> None:
    """docs/coverage.md names every operation AWS has."""
    assert {"PutItem", "Query"} <= set(wire.operations("dynamodb"))
    assert {"NoSuchEntity", "NoSuchEntityException"} <= wire.error_codes("iam")
    with pytest.raises(LookupError):
        wire.operations("nosuch")


def test_operations_of_one_address_are_told_by_x_id() -> None:
    """Some versions of the models have it in their addresses; requests without it are as good."""

    def operation(name: str) -> dict[str, object]:
        return {"http": {"method": "GET", "requestUri": f"/{{Name}}?x-id={name}"}}

    raw = {"metadata": {"protocol": "rest-xml"}, "shapes": {}}
    router = Router(
        Model(
            "s3", {**raw, "operations": {"Get": operation("Get"), "GetMore": operation("GetMore")}}
        )
    )
    assert router.match("GET", "/a", "x-id=GetMore", {}) == "GetMore"
    assert router.match("GET", "/a", "x-id=Get", {}) == "Get"
    assert router.match("GET", "/a", "", {}) == "Get"


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("a,b", ["a", "b"]),
        (" a , b ", ["a", "b"]),
        ('a,"b,c","d\\"e"', ["a", "b,c", 'd"e']),
        ("a,", ["a"]),
        ("", []),
        ('"open', ['"open']),
        (",", [""]),
    ],
)
def test_lists_in_headers_may_be_quoted(text: str, items: list[str]) -> None:
    """https://smithy.io/2.0/spec/http-bindings.html#httpheader-trait"""
    assert split_header_list(text) == items


def test_dates_in_a_header_list_keep_their_comma() -> None:
    """Each HTTP date has one of its own."""
    raw = {
        "metadata": {"protocol": "rest-json"},
        "operations": {
            "Get": {"http": {"method": "GET", "requestUri": "/"}, "input": {"shape": "In"}}
        },
        "shapes": {
            "In": {
                "type": "structure",
                "members": {
                    "Dates": {"shape": "Dates", "location": "header", "locationName": "x-dates"}
                },
            },
            "Dates": {"type": "list", "member": {"shape": "Date"}},
            "Date": {"type": "timestamp"},
        },
    }
    model = Model("dates", raw)
    decode = compile_request(model, "Get", JsonBodies(model))
    text = "Mon, 16 Dec 2019 23:48:18 GMT, Mon, 16 Dec 2019 23:48:19 GMT"
    assert decode(ask("GET", "/", x_dates=text)) == {"Dates": [1576540098.0, 1576540099.0]}


@pytest.mark.parametrize(
    ("asked", "signing_name", "guessed"),
    [
        (
            ask("POST", "/", x_amz_target="GraniteServiceVersion20100801.X"),
            "monitoring",
            "cloudwatch/json",
        ),
        (
            ask("POST", "/", x_amz_target="DynamoDBStreams_20120810.X"),
            "dynamodb",
            "dynamodbstreams/json",
        ),
        (ask("POST", "/", x_amz_target="X.Y"), None, "json"),
        (
            ask("POST", "/service/X/operation/Y", smithy_protocol="rpc-v2-cbor"),
            "monitoring",
            "cloudwatch/smithy-rpc-v2-cbor",
        ),
        (ask("POST", "/", b"Action=X", content_type=FORM), "sqs", "sqs/query"),
        (ask("POST", "/", b"Action=X", content_type=FORM), None, "query"),
        (ask("GET", "/b/k"), None, "s3/rest-xml"),
        (ask("GET", "/x"), "lambda", "lambda/rest-json"),
        (ask("GET", "/x"), "no-such-service", "rest-json"),
    ],
)
def test_a_failed_request_is_answered_in_its_own_protocol(
    asked: HttpRequest, signing_name: str | None, guessed: str
) -> None:
    """A JSON client cannot read the CBOR its service also speaks."""
    assert wire.guess(asked, signing_name) == guessed
    response = wire.fault_response(guessed, Fault("InvalidClientTokenId", "no"), "r")
    assert response.status == 403
    assert (
        b"InvalidClientTokenId"
        in response.body + dict(response.headers).get("x-amzn-ErrorType", "").encode()
    )


def test_no_request_makes_us_load_a_model_we_do_not_speak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks is not known yet, and all models together would fill the memory."""
    from botocore.loaders import Loader

    loaded = []
    monkeypatch.setattr(
        import_module("stratolite.wire.resolve"),  # the package names its function so
        "load",
        lambda name: loaded.append(name) or wire.load(name),
    )
    for name in Loader().list_available_services("service-2"):
        for asked in (
            ask("GET", "/x"),
            ask("POST", "/", b"Action=X&Version=1", content_type=FORM),
            ask("POST", "/", x_amz_target="X.Y"),
            ask("POST", "/service/X/operation/Y", smithy_protocol="rpc-v2-cbor"),
        ):
            wire.guess(asked, name)
            with contextlib.suppress(Fault):
                wire.resolve(asked, name)
    assert set(loaded) <= SPOKEN
