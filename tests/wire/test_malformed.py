"""What does not fit the model gets AWS's error, whatever it is, and never anything else."""

from __future__ import annotations

import contextlib
import gzip
import struct
from typing import Any

import cbor2
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stratolite import wire
from stratolite.errors import Fault
from stratolite.http import HttpRequest
from stratolite.wire import json as wire_json
from stratolite.wire.bodies import beginning
from stratolite.wire.json import Malformed


def request(
    body: bytes = b"", method: str = "POST", path: str = "/", query: str = "", **headers: str
) -> HttpRequest:
    return HttpRequest(
        method, path, query, {k.replace("_", "-"): v for k, v in headers.items()}, body
    )


def refused(codec: wire.Codec, asked: HttpRequest) -> Fault:
    with pytest.raises(Fault) as raised:
        codec.decode(asked)
    return raised.value


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"TableName":1}', "NUMBER_VALUE cannot be converted to String"),
        (b'{"TableName":true}', "TRUE_VALUE cannot be converted to String"),
        (b'{"TableName":[]}', "Unrecognized collection type class java.lang.String"),
        (b'{"TableName":{}}', "Start of structure or map found where not expected"),
        (b'{"Limit":"1"}', "STRING_VALUE cannot be converted to Integer"),
        (b'{"ScanIndexForward":"x"}', "Unexpected token received from parser"),
        (b'{"ScanIndexForward":1.5}', "DECIMAL_VALUE cannot be converted to Boolean"),
        (b'{"AttributesToGet":"x"}', "Unexpected field type"),
        (b'{"AttributesToGet":{}}', "Start of structure or map found where not expected"),
        (
            b'{"KeyConditions":[]}',
            "Unrecognized collection type java.util.Map<java.lang.String, com.amazonaws.dynamodb.v20120810.Condition>",
        ),
        (
            b'{"KeyConditions":{"a":[]}}',
            "Unrecognized collection type class com.amazonaws.dynamodb.v20120810.Condition",
        ),
        (
            b'{"ExclusiveStartKey":{"a":[]}}',
            "Unrecognized collection type class com.amazonaws.dynamodb.v20120810.AttributeValue",
        ),
        (b'{"ExclusiveStartKey":{"a":1}}', "Unexpected value type in payload"),
        (b'{"ExclusiveStartKey":"x"}', "Unexpected field type"),
        (b'{"Limit":9223372036854775808}', "NUMBER_VALUE cannot be converted to Long"),
        (b"[]", "Start of list found where not expected"),
        (b'"x"', "Unexpected value type in payload"),
        (b"{", "Unexpected token received from parser"),
        (b'{"TableName":"\xff"}', "Unexpected token received from parser"),
        (b"\x00", "Unexpected token received from parser"),
    ],
)
def test_json_of_the_wrong_type_is_a_serialization_exception(body: bytes, message: str) -> None:
    """Operations may rely on types; DynamoDB's own words are matched on by its clients' tests."""
    fault = refused(wire.codec("dynamodb", "Query", "json"), request(body))
    assert (fault.code, fault.message, fault.status) == ("SerializationException", message, 400)


@pytest.mark.parametrize("seconds", [b"1e300", b"-1e300", b"253402300800", b'"yesterday"', b"true"])
def test_times_that_are_no_dates_are_refused(seconds: bytes) -> None:
    """They could be stored and never be shown again."""
    codec = wire.codec("kinesis", "GetShardIterator", "json")
    fault = refused(codec, request(b'{"Timestamp":' + seconds + b"}"))
    assert fault.code == "SerializationException"


def test_other_json_services_use_the_longer_words() -> None:
    """Only DynamoDB leaves out the article."""
    fault = refused(wire.codec("kms", "Encrypt", "json"), request(b'{"KeyId":1}'))
    assert fault.message == "NUMBER_VALUE can not be converted to a String"


def test_nulls_are_absent_members() -> None:
    """Some SDKs write out what was not given."""
    codec = wire.codec("dynamodb", "Query", "json")
    assert codec.decode(request(b'{"TableName":"t","Limit":null,"x":1}')) == {"TableName": "t"}
    codec = wire.codec("dynamodb", "PutItem", "json")
    assert codec.decode(request(b'{"Item":{"a":null}}')) == {"Item": {"a": {}}}


def test_times_and_special_numbers_may_come_as_text() -> None:
    """JSON has no NaN, and some clients send ISO 8601."""
    codec = wire.codec("kinesis", "GetShardIterator", "json")
    asked = request(b'{"Timestamp":"2020-01-01T00:00:00Z"}')
    assert codec.decode(asked) == {"Timestamp": 1577836800.0}
    codec = wire.codec("cloudwatch", "PutMetricAlarm", "json")
    assert codec.decode(request(b'{"Threshold":"Infinity"}')) == {"Threshold": float("inf")}


def test_json_too_deep_to_write_back_is_refused() -> None:
    """What is accepted must be answerable: the writer stops at 254 levels, and C stacks end too."""
    codec = wire.codec("dynamodb", "PutItem", "json")
    for depth in (201, 5_000, 100_000):
        body = b'{"Item":' + b'{"L":' * depth + b"1" + b"}" * (depth + 1)
        assert refused(codec, request(body)).code == "SerializationException"
        body = b'{"Item":{"a":' + b"[" * depth + b"]" * depth + b"}}"
        assert refused(codec, request(body)).code == "SerializationException"
    fine = b'{"Item":' + b'{"L":' * 100 + b"1" + b"}" * 101
    assert codec.decode(request(fine))
    wide = b'{"Item":{"a":{"S":"' + b'{[\\"' * 5_000 + b'"}}}'
    assert codec.decode(request(wide)) == {"Item": {"a": {"S": '{["' * 5_000}}}


@given(st.recursive(st.text('ab{}[]"\\\\'), lambda inner: st.lists(inner) | st.dictionaries(st.text('{["\\\\'), inner)))  # fmt: skip
def test_depth_is_that_of_the_brackets_outside_strings(value: Any) -> None:
    """Against a walk over what the text says, at every bound."""

    def depth(inner: Any) -> int:
        if not isinstance(inner, (list, dict)):
            return 0
        return 1 + max(map(depth, inner.values() if isinstance(inner, dict) else inner), default=0)

    body, real = orjson.dumps(value), depth(value)
    for most in range(real + 2):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(wire_json, "DEPTH_MAX", most)
            if real > most:
                with pytest.raises(Malformed):
                    wire_json.check_depth(body)
            else:
                wire_json.check_depth(body)


@pytest.mark.parametrize(
    "body",
    [
        b"<a",
        b"not xml",
        "<Delete><Quiet>true</Quiet></Delete>".encode("utf-16"),
        b'<!DOCTYPE x [<!ENTITY a "b">]><Delete>&a;</Delete>',
        b'<?xml version="1.0" encoding="cp037"?><Delete/>\xff',
        b"<Erase><Quiet>true</Quiet></Erase>",
        b"<Delete><Quiet>perhaps</Quiet></Delete>",
        b"<Delete><Object><Key>&undefined;</Key></Object></Delete>",
    ],
)
def test_bad_xml_is_malformed_xml(body: bytes) -> None:
    """S3's error for all of them; document types could make a small body enormous."""
    fault = refused(
        wire.codec("s3", "DeleteObjects", "rest-xml"), request(body, path="/b", query="delete")
    )
    assert (fault.code, fault.status) == ("MalformedXML", 400)


def test_xml_of_any_size_is_not_read() -> None:
    """Parsing runs on the loop; S3's largest document is half of this."""
    body = b"<Delete>" + b" " * (4 << 20) + b"</Delete>"
    codec = wire.codec("s3", "DeleteObjects", "rest-xml")
    assert refused(codec, request(body, path="/b", query="delete")).code == "MalformedXML"


def test_xml_nested_without_end_is_survived() -> None:
    """The reader follows the model's depth, not the document's."""
    codec = wire.codec("s3", "DeleteObjects", "rest-xml")
    body = b"<Delete>" + b"<x>" * 50_000 + b"</x>" * 50_000 + b"<Quiet>true</Quiet></Delete>"
    assert codec.decode(request(body, path="/b", query="delete"))["Delete"] == {"Quiet": True}


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b"\xa1",
        cbor2.dumps([]),
        cbor2.dumps("x"),
        cbor2.dumps({"Namespace": 1}),
        cbor2.dumps({1: 2, "Namespace": b"x"}),
        cbor2.dumps({"MetricData": {}}),
        cbor2.dumps({"MetricData": [{"Timestamp": "soon"}]}),
        bytes.fromhex("d81ca16a4d657472696344617461d81d00"),  # a map that contains itself
        cbor2.dumps({"Namespace": "n", "More": cbor2.CBORTag(35, "(a+)+$")}),
        cbor2.dumps({"MetricData": [{"StorageResolution": cbor2.CBORTag(2, b"\x01")}]}),
        bytes.fromhex("c25b7fffffffffffffff"),  # a bignum of 2**63 bytes
        bytes.fromhex("9b7fffffffffffffff"),  # a list of as many
        b"\x81" * 100_000,
    ],
)
def test_bad_cbor_is_a_serialization_exception(body: bytes) -> None:
    """Tags that tie knots or grow, lengths that lie, types that differ."""
    codec = wire.codec("cloudwatch", "PutMetricData", "smithy-rpc-v2-cbor")
    assert refused(codec, request(body)).code == "SerializationException"


@pytest.mark.parametrize(
    "form",
    [
        "MaxRecords=x",
        "AlarmNames=x",
        "AlarmNames.member.x=1",
        "AlarmNames.member.99999999999999999999=1",
        "AlarmNamePrefix.1=x",
        "AlarmNames.member.1.a=x",
        "AlarmNamePrefix=%ff",
        "&".join(["a=b"] * 30_000),
        "a" + ".b" * 100 + "=c",
    ],
)
def test_bad_forms_are_malformed_input(form: str) -> None:
    """Query's error for what does not fit."""
    codec = wire.codec("cloudwatch", "DescribeAlarms", "query")
    assert (
        refused(codec, request(f"Action=DescribeAlarms&{form}".encode())).code == "MalformedInput"
    )


def test_a_large_list_index_costs_nothing() -> None:
    """Indexes order the elements, they do not make room for them."""
    codec = wire.codec("cloudwatch", "DescribeAlarms", "query")
    body = b"AlarmNames.member.999999999=b&AlarmNames.member.7=a"
    assert codec.decode(request(body)) == {"AlarmNames": ["a", "b"]}


def test_bad_headers_and_queries_of_s3_are_invalid_arguments() -> None:
    """There is no body to blame."""
    codec = wire.codec("s3", "ListObjectsV2", "rest-xml")
    asked = request(method="GET", path="/b", query="list-type=2&max-keys=many")
    assert refused(codec, asked).code == "InvalidArgument"
    codec = wire.codec("s3", "GetObject", "rest-xml")
    asked = request(method="GET", path="/b/%ff%fe")
    assert refused(codec, asked).code == "InvalidURI"


def test_gzip_bodies_are_unpacked_but_not_without_end() -> None:
    """The SDK compresses PutMetricData over 10 KiB; others could send a bomb."""
    codec = wire.codec("cloudwatch", "PutMetricData", "smithy-rpc-v2-cbor")
    packed = gzip.compress(cbor2.dumps({"Namespace": "n" * 20_000}))
    assert codec.decode(request(packed, content_encoding="gzip")) == {"Namespace": "n" * 20_000}
    bomb = gzip.compress(b"\0" * (65 << 20), 1)
    assert refused(codec, request(bomb, content_encoding="gzip")).code == "SerializationException"
    assert (
        refused(codec, request(packed[:-9], content_encoding="gzip")).code
        == "SerializationException"
    )
    asked = request(gzip.compress(b"Action=PutMetricData&Namespace=n"), content_encoding="gzip")
    assert wire.resolve(asked, "monitoring") == ("cloudwatch", "PutMetricData", "query")
    assert wire.codec("cloudwatch", "PutMetricData", "query").decode(asked) == {"Namespace": "n"}


def test_resolving_unpacks_no_more_than_it_reads() -> None:
    """The caller is not known yet: a bomb must cost its sender more than us."""
    asked = request(
        gzip.compress(b"Action=PutMetricData&" + b"\0" * (64 << 20), 1), content_encoding="gzip"
    )
    assert wire.resolve(asked, "monitoring").operation == "PutMetricData"
    assert len(beginning(asked)) == 64 << 10
    with pytest.raises(Fault):
        wire.resolve(request(b"\x1f\x8bnonsense", content_encoding="gzip"), "monitoring")


FUZZED = [
    ("dynamodb", "PutItem", "json"),
    ("dynamodb", "BatchWriteItem", "json"),
    ("kinesis", "PutRecords", "json"),
    ("glue", "CreateTable", "json"),
    ("cloudwatch", "PutMetricData", "smithy-rpc-v2-cbor"),
    ("cloudwatch", "PutMetricData", "query"),
    ("sqs", "SendMessageBatch", "query"),
    ("iam", "SimulateCustomPolicy", "query"),
    ("s3", "PutBucketLifecycleConfiguration", "rest-xml"),
    ("s3", "CompleteMultipartUpload", "rest-xml"),
    ("s3", "ListObjectsV2", "rest-xml"),
    ("s3control", "CreateJob", "rest-xml"),
    ("lambda", "CreateFunction", "rest-json"),
    ("apigateway", "GetExport", "rest-json"),
    ("rds-data", "BatchExecuteStatement", "rest-json"),
]

_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


def _shaped(codec: tuple[str, str, str]) -> Any:
    """Values under the operation's real member names, so that more than the outermost check is met."""
    model = wire.load(codec[0])
    ref = model.input(codec[1])
    return st.dictionaries(st.sampled_from(sorted(model.members(ref)) or ["x"]), _JSON, max_size=5)


def _bodies(codec: tuple[str, str, str]) -> Any:
    import json

    def dump(value: Any) -> bytes:
        if codec[2] == "smithy-rpc-v2-cbor":
            return cbor2.dumps(value)
        if codec[2] in ("query", "rest-xml"):
            return "&".join(f"{k}.{i}={v}" for i, (k, v) in enumerate(value.items())).encode(
                "utf-8", "replace"
            )
        return json.dumps(value, default=repr).encode("utf-8", "replace")

    return st.binary(max_size=200) | _shaped(codec).map(dump)


@pytest.mark.parametrize("target", FUZZED, ids="-".join)
def test_decoding_any_bytes_gives_a_dict_or_a_fault(target: tuple[str, str, str]) -> None:
    """Nobody's bytes may reach the place that logs our bugs."""
    codec = wire.codec(*target)

    @settings(
        max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(
        body=_bodies(target),
        path=st.text(alphabet="/abc%20\xff.+?{}", max_size=12),
        query=st.text(alphabet="abc=&%2.+\xff", max_size=30),
        headers=st.dictionaries(
            st.sampled_from(
                [
                    "x-amz-meta-a",
                    "x-amz-mp-object-size",
                    "if-modified-since",
                    "content-length",
                    "expires",
                ]
            ),
            st.text(alphabet='1a", %=\xff', max_size=10),
        ),
    )
    def fuzz(body: bytes, path: str, query: str, headers: dict[str, str]) -> None:
        asked = HttpRequest("POST", "/" + path, query, headers, body)
        with contextlib.suppress(Fault):
            assert isinstance(codec.decode(asked), dict)

    fuzz()


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    method=st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "BREW", ""]),
    path=st.text(alphabet="/abv2%0service-operation.+?{}é", max_size=25),
    query=st.text(alphabet="acls=&%?uploadsActionVersion2011", max_size=30),
    headers=st.dictionaries(
        st.sampled_from(["x-amz-target", "content-type", "smithy-protocol", "x-amz-copy-source"]),
        st.sampled_from(
            [
                "",
                ".",
                "DynamoDB_20120810.",
                "a.b",
                "rpc-v2-cbor",
                "application/x-www-form-urlencoded",
                "é",
            ]
        ),
    ),
    body=st.binary(max_size=30)
    | st.just(b"Action=ListUsers")
    | st.just(b"Action=%ff&Version=2010-05-08"),
    signing_name=st.sampled_from(
        [
            None,
            "",
            "s3",
            "sqs",
            "iam",
            "lambda",
            "apigateway",
            "monitoring",
            "dynamodb",
            "nosuch",
            "../s3",
            "ec2",
        ]
    ),
)
def test_resolving_any_request_gives_a_target_or_a_fault(
    method: str,
    path: str,
    query: str,
    headers: dict[str, str],
    body: bytes,
    signing_name: str | None,
) -> None:
    """This is the first look at what came from outside; the answer must be expressible too."""
    asked = HttpRequest(method, "/" + path, query, headers, body)
    try:
        target = wire.resolve(asked, signing_name)
    except Fault as fault:
        response = wire.fault_response(wire.guess(asked, signing_name), fault, "r")
        assert 400 <= response.status < 600
        assert response.body
    else:
        with contextlib.suppress(Fault):
            wire.codec(*target).decode(asked)


def test_floats_out_of_range_are_refused() -> None:
    """struct and orjson read more than they write."""
    codec = wire.codec("cloudwatch", "PutMetricData", "smithy-rpc-v2-cbor")
    nan = b"\xa1jMetricData\x81\xa1iTimestamp\xc1\xfb" + struct.pack(">d", float("nan"))
    assert refused(codec, request(nan)).code == "SerializationException"
