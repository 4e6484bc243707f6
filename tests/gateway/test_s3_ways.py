"""The ways into S3 that are not a plain signed call: URLs, forms, old signatures, chunked uploads, pages, names."""

from __future__ import annotations

import base64
import hmac
import json
import urllib.parse
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from botocore.exceptions import ClientError
from conftest import Arriving, to_http

from stratolite.gateway.post_form import Form, answer
from stratolite.http import HttpRequest


@pytest.fixture
def s3(client) -> Any:
    made = client("s3")
    made.create_bucket(Bucket="bucket")
    return made


def fetch(
    platform, url: str, method: str = "GET", body: Any = b"", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """What a browser or curl gets for ``url``."""
    parts = urllib.parse.urlsplit(url)
    sent = {"host": parts.netloc} | {n.replace("_", "-"): v for n, v in headers.items()}
    if isinstance(body, bytes):
        sent.setdefault("content-length", str(len(body)))
    request = HttpRequest(method, parts.path or "/", parts.query, sent, body)
    status, answer, content = platform.send(request)
    return status, {n.lower(): v for n, v in answer}, content


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_presigned_urls_get_and_put(s3, client, platform, version) -> None:
    signer = client("s3", signature_version=version)
    put = signer.generate_presigned_url("put_object", {"Bucket": "bucket", "Key": "a b/ä+"})
    assert fetch(platform, put, "PUT", b"content")[0] == 200
    get = signer.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "a b/ä+"})
    assert ("AWSAccessKeyId" in get) is (version == "s3")
    status, _, content = fetch(platform, get)
    assert (status, content) == (200, b"content")
    assert fetch(platform, get, "PUT", b"x")[0] == 403
    assert fetch(platform, get.replace("bucket", "bucke2"))[0] == 403
    large = b"x" * 300_000
    assert fetch(platform, put, "PUT", Arriving(large))[0] == 200
    assert s3.get_object(Bucket="bucket", Key="a b/ä+")["Body"].read() == large


def test_an_anonymous_request_is_denied_by_s3_itself(s3, platform) -> None:
    s3.put_object(Bucket="bucket", Key="k", Body=b"private")
    status, _, content = fetch(platform, "http://localhost:4566/bucket/k")
    assert status == 403
    assert b"<Code>AccessDenied</Code>" in content


def test_a_form_says_things_beyond_ascii(s3, platform) -> None:
    """As recorded from AWS by LocalStack's test_post_object_with_unicode_metadata."""
    said = {
        "Content-Disposition": 'filename="test_—_file%E2%80%94_é_2-.pdf"',
        "Cache-Control": "non-ascii-%E2%80%94_—_é_",
        "x-amz-meta-nonascii": "ÄMÄZÕÑ S3",
        "x-amz-meta-q-encoded": "=?UTF-8?Q?actually-ascii?=",
    }
    post = s3.generate_presigned_post(
        "bucket", "k", Fields=said, Conditions=[{name: value} for name, value in said.items()]
    )
    body = b"".join(
        b'--XX\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        % (n.encode(), v.encode())
        for n, v in [*post["fields"].items(), ("file", "x")]
    )
    status, _, answer = fetch(
        platform,
        post["url"],
        "POST",
        body + b"--XX--\r\n",
        content_type="multipart/form-data; boundary=XX",
    )
    assert status == 204, answer
    head = s3.head_object(Bucket="bucket", Key="k")
    assert head["Metadata"] == {
        "nonascii": "=?UTF-8?Q?=C3=84M=C3=84Z=C3=95=C3=91_S3?=",
        "q-encoded": "=?UTF-8?Q?actually-ascii?=",
    }
    assert head["CacheControl"] == "non-ascii-%E2%80%94_ _é_"
    assert head["ContentDisposition"] == 'filename="test_ _file%E2%80%94_é_2-.pdf"'
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket="bucket", Key="k", ResponseCacheControl="a — b")
    error = refused.value.response["Error"]
    assert (error["Code"], error["ArgumentName"], error["ArgumentValue"]) == (
        "InvalidArgument",
        "response-cache-control",
        "a — b",
    )


def test_the_answer_to_a_form_is_xml_whatever_the_key() -> None:
    """The key is echoed: characters that XML 1.0 cannot carry must not break the answer."""
    form = Form({"success_action_status": "201"}, "f", None)  # type: ignore[arg-type]
    body = answer(form, "bucket", "a\x01<\0", '"e"', "http://localhost").body
    assert isinstance(body, bytes)
    assert ET.fromstring(body).findtext("Key") == "a\ufffd<\ufffd"


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_a_browser_form_uploads_what_its_policy_allows(s3, client, platform, version) -> None:
    """boto3's generate_presigned_post, posted as a browser does."""
    post = client("s3", signature_version=version).generate_presigned_post(
        "bucket",
        "up/${filename}",
        Fields={"x-amz-meta-by": "me", "success_action_status": "201"},
        Conditions=[
            {"x-amz-meta-by": "me"},
            {"success_action_status": "201"},
            ["content-length-range", 1, 100_000],
        ],
    )

    def send(
        content: bytes, change: dict[str, str] | None = None, large: bool = False
    ) -> tuple[int, bytes]:
        fields = post["fields"] | (change or {})
        body = b"".join(
            b'--XX\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
            % (n.encode(), v.encode())
            for n, v in fields.items()
        )
        body += (
            b'--XX\r\nContent-Disposition: form-data; name="file"; filename="C:\\f.txt"\r\n'
            b"Content-Type: text/plain\r\n\r\n" + content + b"\r\n--XX--\r\n"
        )
        sent = Arriving(body) if large else body
        status, _, answer = fetch(
            platform, post["url"], "POST", sent, content_type="multipart/form-data; boundary=XX"
        )
        return status, answer

    status, answer = send(b"hello\r\n--X\r\n")
    assert status == 201, answer
    assert b"<Key>up/f.txt</Key>" in answer
    assert s3.get_object(Bucket="bucket", Key="up/f.txt")["Body"].read() == b"hello\r\n--X\r\n"
    status, answer = send(b"y" * 90_000, large=True)
    assert status == 201, answer
    assert s3.get_object(Bucket="bucket", Key="up/f.txt")["Body"].read() == b"y" * 90_000
    for change, code in (
        ({"x-amz-meta-by": "you"}, b"AccessDenied"),
        ({"x-amz-meta-a": "b"}, b"AccessDenied"),
        ({"key": "elsewhere"}, b"AccessDenied"),
        ({"policy": post["fields"]["policy"][:-8] + "AAAAAAA="}, b"SignatureDoesNotMatch"),
    ):
        status, answer = send(b"hello", change)
        assert status == 403, answer
        assert code in answer
    status, answer = send(b"")
    assert (status, b"EntityTooSmall" in answer) == (400, True)
    status, answer = send(b"z" * 100_001, large=True)
    assert (status, b"EntityTooLarge" in answer) == (400, True)
    assert s3.get_object(Bucket="bucket", Key="up/f.txt")["ContentLength"] == 90_000


def test_a_form_without_a_signature_and_an_empty_condition_are_named(platform, s3) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html"""

    def send(fields: dict[str, str]) -> tuple[int, bytes]:
        body = b"".join(
            b'--XX\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
            % (name.encode(), value.encode())
            for name, value in fields.items()
        )
        body += b'--XX\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nx\r\n--XX--\r\n'
        kind = "multipart/form-data; boundary=XX"
        status, _, answer = fetch(
            platform, "http://localhost:4566/bucket", "POST", body, content_type=kind
        )
        return status, answer

    text = json.dumps({"expiration": "2099-01-01T00:00:00Z", "conditions": [{}]})
    policy = base64.b64encode(text.encode())
    fields = {"key": "k", "AWSAccessKeyId": "test", "policy": policy.decode()}
    status, answer = send(fields)
    assert (status, b"must contain a field named 'Signature'" in answer) == (400, True)
    signature = base64.b64encode(hmac.digest(b"test", policy, "sha1")).decode()
    status, answer = send(fields | {"signature": signature})
    assert (status, b"InvalidPolicyDocument" in answer) == (400, True)


@pytest.mark.parametrize("size", [10, 300_000])
@pytest.mark.parametrize("algorithm", ["CRC32", "SHA256"])
def test_boto3_uploads_with_trailing_checksums(s3, client, size, algorithm) -> None:
    """What SDKs send over TLS: aws-chunked, the checksum behind the body."""
    content = bytes(range(256)) * (size // 256 + 1)
    over_tls = client(
        "s3", request_checksum_calculation="when_required", endpoint="https://localhost:4566"
    )
    sent: list[str] = []

    def note(request: Any, **_: Any) -> None:
        sent.append(to_http(request).headers["x-amz-content-sha256"])
        request.body.seek(0)

    over_tls.meta.events.register_first("before-send", note)
    kept = over_tls.put_object(Bucket="bucket", Key="k", Body=content, ChecksumAlgorithm=algorithm)
    assert sent == ["STREAMING-UNSIGNED-PAYLOAD-TRAILER"]
    assert kept[f"Checksum{algorithm}"]
    assert s3.get_object(Bucket="bucket", Key="k")["Body"].read() == content


@pytest.mark.parametrize("size", [100, 300_000])
def test_a_body_that_is_not_the_signed_one_is_refused(s3, client, size) -> None:
    """x-amz-content-sha256 is signed; the body must hash to it, in one piece or many."""

    def tamper(request: Any, **_: Any) -> None:
        request.body = b"y" * size

    other = client("s3", request_checksum_calculation="when_required")
    other.meta.events.register_first("before-send", tamper)
    with pytest.raises(ClientError) as caught:
        other.put_object(Bucket="bucket", Key="k", Body=b"x" * size)
    assert caught.value.response["Error"]["Code"] == "XAmzContentSHA256Mismatch"
    assert s3.list_objects_v2(Bucket="bucket")["KeyCount"] == 0


def test_a_web_page_gets_in_by_the_buckets_cors_rules_only(s3, client, platform) -> None:
    """Default keys are public: a page of any origin could sign with them."""
    s3.put_object(Bucket="bucket", Key="k", Body=b"content")
    url = client("s3", signature_version="s3v4").generate_presigned_url(
        "get_object", {"Bucket": "bucket", "Key": "k"}
    )
    page = {"origin": "http://app.example"}
    assert fetch(platform, url, **page)[0] == 403
    preflight = page | {"access_control_request_method": "GET"}
    assert fetch(platform, "http://localhost:4566/bucket/k", "OPTIONS", **preflight)[0] == 403
    s3.put_bucket_cors(
        Bucket="bucket",
        CORSConfiguration={
            "CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["http://app.example"]}]
        },
    )
    status, headers, content = fetch(platform, url, **page)
    assert (status, content) == (200, b"content")
    assert headers["access-control-allow-origin"] == "http://app.example"
    status, headers, _ = fetch(platform, "http://localhost:4566/bucket/k", "OPTIONS", **preflight)
    assert status == 200
    assert headers["access-control-allow-methods"] == "GET"
    assert fetch(platform, url, origin="http://evil.example")[0] == 403
    other = page | {"access_control_request_method": "PUT"}  # what a program may send, no page
    assert "access-control-allow-origin" not in fetch(platform, url, **other)[1]


def test_a_bucket_can_be_a_host(s3, client, platform) -> None:
    """Where *.localhost resolves; what was signed is what was sent, not the path form it becomes."""
    s3.put_object(Bucket="bucket", Key="a/b", Body=b"content")

    seen = []

    def rewrite(request: Any, **_: Any) -> None:
        seen.append(request.url)

    virtual = client("s3", endpoint="http://s3.localhost:4566", s3={"addressing_style": "virtual"})
    virtual.meta.events.register_first("before-send", rewrite)
    assert virtual.get_object(Bucket="bucket", Key="a/b")["Body"].read() == b"content"
    assert seen == ["http://bucket.s3.localhost:4566/a/b"]
    url = client(
        "s3", endpoint="http://s3.localhost:4566", s3={"addressing_style": "virtual"}
    ).generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "a/b"})
    assert fetch(platform, url)[2] == b"content"


def test_the_answer_to_a_form_says_what_was_made(s3, client, platform) -> None:
    """LocalStack's recorded test_post_object_default_checksum, _with_file_as_string, _with_tags and _missing_fields."""
    s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
    conditions = [["starts-with", "$tagging", ""], ["starts-with", "$key", ""]]

    def send(key: str, more: dict[str, str], without: frozenset[str] = frozenset()):
        post = s3.generate_presigned_post("bucket", key, Conditions=conditions)
        fields = {n: v for n, v in (post["fields"] | more).items() if n not in without}
        body = b"".join(
            b'--XX\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
            % (n.encode(), v.encode())
            for n, v in fields.items()
        )
        body += b'--XX\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--XX--\r\n'
        kind = "multipart/form-data; boundary=XX"
        return fetch(platform, post["url"], "POST", body, content_type=kind)

    tag = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
    status, headers, _ = send("k-${filename}", {"tagging": tag})
    found = {name.lower(): value for name, value in dict(headers).items()}
    assert status == 204
    listed = s3.list_object_versions(Bucket="bucket", Prefix="k-")["Versions"]
    assert [(v["Key"], v["VersionId"]) for v in listed] == [
        ("k-${filename}", found["x-amz-version-id"])
    ]
    assert found["x-amz-checksum-crc64nvme"]
    status, _, answer = send("k", {"tagging": "not-xml"})
    assert (status, b"MalformedXML" in answer) == (400, True)
    newer = {"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"}
    older = {"AWSAccessKeyId", "signature"}
    status, _, answer = send("k", {}, frozenset(newer | older))
    assert (status, b"AccessDenied" in answer) == (403, True)
    status, _, answer = send("k", {}, frozenset({"AWSAccessKeyId", "x-amz-algorithm"}))
    assert (status, b"must contain a field named" in answer) == (400, True)


def test_a_post_that_is_no_form_is_told_so(platform, s3) -> None:
    """LocalStack's recorded test_post_object_with_wrong_content_type."""
    status, _, answer = fetch(
        platform, "http://localhost:4566/bucket", "POST", b"x", content_type="text/html"
    )
    assert (status, b"multipart/form-data" in answer) == (412, True)


@pytest.mark.parametrize("date", ["", "Tue, 07 Jul 1950 21:53:04 GMT", "yesterday"])
def test_a_date_that_is_none_is_no_date_of_the_older_signature(platform, s3, date) -> None:
    """ceph/s3-tests, bad_date_empty_aws2 and bad_date_before_epoch_aws2: not a date that is too far away."""
    status, _, answer = fetch(
        platform,
        "http://localhost:4566/bucket/k",
        "GET",
        b"",
        authorization="AWS 000000000000:c2lnbmF0dXJl",
        x_amz_date=date,
        date="Sun, 29 Nov 2026 12:00:00 GMT",
    )
    assert (status, b"requires a valid Date" in answer) == (403, True)
