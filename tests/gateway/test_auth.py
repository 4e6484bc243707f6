"""Signatures: what botocore signs we believe, and nothing that was changed afterwards."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from botocore.auth import HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from conftest import to_http

from stratolite.clock import SeededWorld
from stratolite.errors import Fault
from stratolite.gateway.auth import Auth, check_listen
from stratolite.gateway.refusals import Refused
from stratolite.gateway.sigv2 import weak_claim
from stratolite.http import HttpRequest
from stratolite.service import Principal

NOW = dt.datetime(2026, 3, 4, 5, 6, 7, tzinfo=dt.UTC)
KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
WHO = Principal("user", "123456789012", "arn:aws:iam::123456789012:user/u", "u")


@pytest.fixture
def world(monkeypatch):
    """botocore and we read the same still clock."""
    monkeypatch.setattr(
        "botocore.auth.get_current_datetime", lambda remove_tzinfo=True: NOW.replace(tzinfo=None)
    )
    monkeypatch.setattr("botocore.auth.time.time", NOW.timestamp)
    return SeededWorld(1, NOW.timestamp())


def known(key_id: str, token: str | None) -> tuple[str, Principal] | None:
    return (SECRET, WHO) if key_id == KEY and token in (None, "token") else None


def signed(
    signer, method="POST", url="http://localhost:4566/", *, body=b"{}", token=None, **headers: str
) -> HttpRequest:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    request = AWSRequest(method=method, url=url, data=body, headers=given)
    if isinstance(signer, type):
        credentials = Credentials(KEY, SECRET, token)
        service = "s3" if signer.__name__.startswith("S3") else "dynamodb"
        signer = signer(credentials, service, "us-east-1")
    signer.add_auth(request)
    return to_http(request.prepare())


def believe(world, request: HttpRequest, **options: Any) -> Principal:
    import hashlib

    auth = Auth(world, known, **options)
    claim = auth.claim(request)
    assert claim is not None
    if claim.scope.is_s3:
        payload = request.headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
    else:
        payload = hashlib.sha256(request.body).hexdigest()
    return auth.verify(request, claim, request.path, payload, ours=True).principal


URLS = [
    "http://localhost:4566/",
    "http://localhost:4566/a/b c/%C3%A4?x=1",
    "http://localhost:4566//two//slashes/../up/./here/",
    "http://localhost:4566/p?b=2&a=1&a=0&a-b=3&empty=&only",
    "http://localhost:4566/p~_-.?q=%2F%3D%26+x&%C3%A9=~",
]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("signer", [SigV4Auth, S3SigV4Auth, S3SigV4QueryAuth, SigV4QueryAuth])
def test_what_botocore_signs_is_believed(world, signer, url) -> None:
    """Its canonical forms (S3 encodes paths once, others normalise and encode twice) are the AWS ones."""
    request = signed(signer, "GET", url, body=b"", x_amz_meta_a="  two   spaces ", x_amz_b="1")
    assert believe(world, request) is WHO


def test_a_session_token_goes_to_whoever_knows_keys(world) -> None:
    assert believe(world, signed(SigV4Auth, token="token")) is WHO
    with pytest.raises(Refused, match="unknown-key"):
        believe(world, signed(SigV4Auth, token="another"))


def _change_query(r):
    r.query = r.query.replace("x=1", "x=2")


CHANGES = {
    "method": lambda r: setattr(r, "method", "PUT"),
    "path": lambda r: setattr(r, "path", r.path + "x"),
    "query": _change_query,
    "body": lambda r: setattr(r, "body", b"{ }"),
    "host": lambda r: r.headers.update({"host": "127.0.0.1"}),
    "header": lambda r: r.headers.update({"x-amz-target": "DynamoDB_20120810.DeleteTable"}),
    "signed header gone": lambda r: r.headers.pop("x-amz-target"),
    "date": lambda r: r.headers.update({"x-amz-date": "20260304T050608Z"}),
    "header added": lambda r: r.headers.update({"x-amz-new": "1"}),
    "region": lambda r: r.headers.update(
        {"authorization": r.headers["authorization"].replace("us-east-1", "eu-west-1")}
    ),
    "service": lambda r: r.headers.update(
        {"authorization": r.headers["authorization"].replace("/dynamodb/", "/kinesis/")}
    ),
    "signature": lambda r: r.headers.update(
        {"authorization": r.headers["authorization"][:-1] + "g"}
    ),
    "not ascii": lambda r: r.headers.update(
        {"authorization": r.headers["authorization"][:-1] + "\xe4"}
    ),
    "empty": lambda r: r.headers.update({"authorization": r.headers["authorization"][:-64]}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changing_any_signed_part_is_refused(world, change) -> None:
    """Otherwise a signature could be lifted from one request to another."""
    request = signed(
        SigV4Auth, url="http://localhost:4566/a?x=1", x_amz_target="DynamoDB_20120810.ListTables"
    )
    assert believe(world, request) is WHO
    CHANGES[change](request)
    with pytest.raises(Refused):
        believe(world, request)


@pytest.mark.parametrize(
    ("seconds", "ok"), [(-901, False), (-899, True), (0, True), (899, True), (901, False)]
)
def test_clocks_may_differ_by_fifteen_minutes(world, seconds, ok) -> None:
    request = signed(SigV4Auth)
    world._wall_s += seconds
    if ok:
        assert believe(world, request) is WHO
        return
    with pytest.raises(Refused, match="skewed") as caught:
        believe(world, request)
    fault = caught.value.fault("dynamodb", "json")
    assert fault.code == "InvalidSignatureException"
    assert fault.message.startswith(
        "Signature not yet" if seconds < 0 else "Signature expired: 20260304T050607Z"
    )
    assert caught.value.fault("s3", "rest-xml").code == "RequestTimeTooSkewed"


def test_a_presigned_url_ends_when_it_says(world) -> None:
    signer = S3SigV4QueryAuth(Credentials(KEY, SECRET), "s3", "us-east-1", expires=60)
    request = signed(signer, "GET", "http://localhost:4566/b/k", body=b"")
    world._wall_s += 60
    assert believe(world, request) is WHO
    world._wall_s += 1
    with pytest.raises(Refused, match="expired-url") as caught:
        believe(world, request)
    fault = caught.value.fault("s3", "rest-xml")
    assert (fault.code, fault.status, fault.message) == ("AccessDenied", 403, "Request has expired")


@pytest.mark.parametrize("expires", [-1, 604801, 10**30])
def test_a_presigned_url_lives_at_most_a_week(world, expires) -> None:
    signer = S3SigV4QueryAuth(Credentials(KEY, SECRET), "s3", "us-east-1", expires=expires)
    request = signed(signer, "GET", "http://localhost:4566/b/k", body=b"")
    with pytest.raises(Refused, match="incomplete-url"):
        believe(world, request)


@pytest.mark.parametrize("name", ["X-Amz-Credential", "X-Amz-Signature", "X-Amz-Expires"])
def test_a_presigned_url_says_everything_once(world, name) -> None:
    """What is there twice could be read one way by us and another way by who signed."""
    signer = S3SigV4QueryAuth(Credentials(KEY, SECRET), "s3", "us-east-1")
    request = signed(signer, "GET", "http://localhost:4566/b/k", body=b"")
    pair = next(p for p in request.query.split("&") if p.startswith(name))
    whole = request.query
    for query in (f"{whole}&{pair}", whole.replace(pair, "").replace("&&", "&").strip("&")):
        request.query = query
        with pytest.raises(Refused):
            believe(world, request)


def test_sigv2_urls_are_believed_until_switched_off(world) -> None:
    """boto3 still presigns so; the resource, the method and the end are what it protects."""
    signer = HmacV1QueryAuth(Credentials(KEY, SECRET, "token"), expires=60)
    url = "http://localhost:4566/b/a%20k?versionId=3&response-content-type=text%2Fplain&other=1"

    def check(change=None, **options):
        request = signed(signer, "GET", url, body=b"")
        request.headers.pop("x-amz-security-token")  # went into the URL
        if change:
            change(request)
        claim = weak_claim(request)
        return Auth(world, known, **options).verify_weak(request, claim, ours=True)

    assert check() is WHO
    for change in (
        lambda r: setattr(r, "method", "PUT"),
        lambda r: setattr(r, "path", "/b/other"),
        lambda r: setattr(r, "query", r.query.replace("versionId=3", "versionId=4")),
        lambda r: setattr(r, "query", r.query.replace("Expires=", "Expires=9")),
        lambda r: r.headers.update({"x-amz-acl": "public-read"}),
        lambda r: r.headers.update({"content-type": "text/html"}),
    ):
        with pytest.raises(Refused, match="mismatch"):
            check(change)
    with pytest.raises(Fault, match="not supported. Please use AWS4-HMAC-SHA256"):
        check(allow_sigv2=False)
    world._wall_s += 61
    with pytest.raises(Fault, match="Request has expired"):
        check()


def test_sigv4a_is_refused_by_name(world) -> None:
    request = signed(SigV4Auth)
    request.headers["authorization"] = request.headers["authorization"].replace(
        "AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"
    )
    with pytest.raises(Refused, match="4A"):
        Auth(world, known).claim(request)


@pytest.mark.parametrize(
    "authorization",
    [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=a",
        "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=1",
        "AWS4-HMAC-SHA256 Credential=a/20260304/us-east-1/s3/aws4_request, SignedHeaders=date, Signature=1",
        "AWS4-HMAC-SHA256 Signature=1, Credential=a/20260304/us-east-1/s3/aws4_request, SignedHeaders=host",
        "AWS4-HMAC-SHA256 Credential=a/20260304/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=",
        "AWS4-HMAC-SHA256 x, , ,Signature=",
    ],
)
def test_half_an_authorization_is_refused(world, authorization) -> None:
    request = signed(SigV4Auth)
    request.headers["authorization"] = authorization
    with pytest.raises(Refused):
        believe(world, request)


def default_signed(**headers: str) -> HttpRequest:
    signer = SigV4Auth(Credentials("test", "test"), "dynamodb", "us-east-1")
    return signed(signer, **headers)


def test_default_keys_work_on_this_machine(world) -> None:
    principal = believe(world, default_signed())
    assert (principal.kind, principal.account) == ("root", "000000000000")


@pytest.mark.parametrize(
    "change",
    [
        lambda r: setattr(r, "peer", "192.168.1.7"),
        lambda r: setattr(r, "peer", "::ffff:10.0.0.1"),
        lambda r: r.headers.update({"origin": "http://evil.example"}),
        lambda r: r.headers.update({"origin": "null"}),
        lambda r: r.headers.update({"sec-fetch-site": "cross-site"}),
        lambda r: r.headers.update({"sec-fetch-site": "same-origin"}),
        lambda r: r.headers.update({"x-forwarded-for": "127.0.0.1"}),
    ],
)
def test_default_keys_work_nowhere_else(world, change) -> None:
    """Anybody knows them: the network, a web page in the user's browser and a proxy are kept out."""
    request = default_signed()
    change(request)
    with pytest.raises(Refused, match="unknown-key"):
        believe(world, request)


def test_default_keys_need_a_host_of_ours(world) -> None:
    """DNS rebinding: a page of evil.example whose name suddenly points to 127.0.0.1."""
    request = default_signed()
    auth = Auth(world, known)
    claim = auth.claim(request)
    with pytest.raises(Refused, match="unknown-key"):
        auth.verify(request, claim, "/", "", ours=False)


def test_default_keys_can_be_switched_off(world) -> None:
    with pytest.raises(Refused, match="unknown-key"):
        believe(world, default_signed(), default_keys=False)


def test_listening_for_others_needs_real_keys() -> None:
    assert check_listen("127.0.0.1", False) is None
    assert check_listen("::1", False) is None
    assert check_listen("0.0.0.0", True) is None
    for host in ("0.0.0.0", "::", "", "192.168.1.2"):
        assert "127.0.0.1" in str(check_listen(host, False))
