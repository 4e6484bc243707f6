"""A call's way through the gateway, seen with boto3: signature in, service answer or AWS's error out."""

from __future__ import annotations

import json
import time

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from conftest import to_http

from stratolite.http import HttpRequest


def test_a_signed_query_call_answers_who_signed(client) -> None:
    """The whole way: SigV4, query protocol, service, XML."""
    who = client("sts").get_caller_identity()
    assert who["Account"] == "000000000000"
    assert who["Arn"] == "arn:aws:iam::000000000000:root"


def test_twelve_digits_are_root_of_that_account(client) -> None:
    assert client("sts", account="123456789012").get_caller_identity()["Account"] == "123456789012"


@pytest.mark.parametrize(
    ("service", "code", "call"),
    [
        ("sts", "InvalidClientTokenId", lambda c: c.get_caller_identity()),
        ("dynamodb", "UnrecognizedClientException", lambda c: c.list_tables()),
        ("lambda", "UnrecognizedClientException", lambda c: c.list_functions()),
        ("s3", "InvalidAccessKeyId", lambda c: c.list_buckets()),
    ],
)
def test_an_unknown_key_gets_the_error_of_its_protocol(client, service, code, call) -> None:
    """People's error handling matches on these codes; ours adds which keys do work."""
    with pytest.raises(ClientError) as caught:
        call(client(service, key="AKIANOSUCHKEY"))
    error = caught.value.response["Error"]
    assert error["Code"] == code
    assert "test/test" in error["Message"]


@pytest.mark.parametrize(
    ("service", "code", "call"),
    [
        ("sts", "SignatureDoesNotMatch", lambda c: c.get_caller_identity()),
        ("dynamodb", "InvalidSignatureException", lambda c: c.list_tables()),
        ("lambda", "InvalidSignatureException", lambda c: c.list_functions()),
        ("s3", "SignatureDoesNotMatch", lambda c: c.list_buckets()),
    ],
)
def test_a_wrong_secret_gets_the_error_of_its_protocol(client, service, code, call) -> None:
    with pytest.raises(ClientError) as caught:
        call(client(service, secret="wrong"))
    assert caught.value.response["Error"]["Code"] == code


def test_a_large_body_of_a_stranger_is_not_kept(client, platform) -> None:
    """Its key is looked at before its megabytes are."""
    read: list[int] = []

    class Endless:
        size_bytes = 50 << 20
        trailers: dict[str, str] = {}  # noqa: RUF012 - a protocol's member

        async def __aiter__(self):
            while True:
                read.append(1)
                yield b"x" * 65536

    scope = "Credential=AKIANOSUCHKEY/{0}/us-east-1/dynamodb/aws4_request, SignedHeaders=host;x-amz-date, Signature=00"
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    headers = {
        "host": "localhost:4566",
        "x-amz-date": stamp,
        "x-amz-target": "DynamoDB_20120810.PutItem",
        "authorization": f"AWS4-HMAC-SHA256 {scope.format(stamp[:8])}",
    }
    status, _, body = platform.send(HttpRequest("POST", "/", "", headers, Endless()))
    assert status == 400
    assert b"UnrecognizedClientException" in body
    assert not read


def test_health_says_what_is_offered(platform) -> None:
    for path in ("/_localstack/health", "/_stratolite/health"):
        status, _, body = platform.send(HttpRequest("GET", path, "", {"host": "localhost"}, b""))
        assert status == 200
        assert b'"dynamodb":"available"' in body


def test_a_bug_is_answered_without_its_insides(client, platform, monkeypatch, caplog) -> None:
    """Logged once with its traceback; the caller learns nothing and may try again."""
    service = platform.cloud.service("sts")
    monkeypatch.setattr(type(service), "get_caller_identity", lambda self, call, request: 1 / 0)
    with pytest.raises(ClientError) as caught:
        client("sts").get_caller_identity()
    assert caught.value.response["Error"]["Code"] == "InternalFailure"
    assert "division" not in str(caught.value)
    assert [r.exc_info is not None for r in caplog.records] == [True]


def test_an_operation_not_offered_says_so_by_name(client) -> None:
    with pytest.raises(
        ClientError, match="dynamodb DescribeContributorInsights is not offered"
    ) as caught:
        client("dynamodb").describe_contributor_insights(TableName="ttt")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_a_signature_for_one_service_does_not_open_another(platform) -> None:
    """Above all not S3's, which need not cover the body."""
    request = AWSRequest(
        "POST",
        "http://localhost:4566/",
        headers={
            "X-Amz-Target": "DynamoDB_20120810.ListTables",
            "X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD",
        },
        data=b"{}",
    )
    request.context["payload_signing_enabled"] = False
    S3SigV4Auth(Credentials("test", "test"), "s3", "us-east-1").add_auth(request)
    status, _, body = platform.send(to_http(request.prepare()))
    assert status == 400
    assert b"scoped to correct service: 'dynamodb'" in body


def test_an_iam_users_key_signs_for_that_user(client) -> None:
    """Real keys come from IAM; deleted, they are gone at once."""
    iam = client("iam")
    iam.create_user(UserName="u")
    made = iam.create_access_key(UserName="u")["AccessKey"]
    sts = client("sts", key=made["AccessKeyId"], secret=made["SecretAccessKey"])
    assert sts.get_caller_identity()["Arn"] == "arn:aws:iam::000000000000:user/u"
    iam.delete_access_key(UserName="u", AccessKeyId=made["AccessKeyId"])
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        sts.get_caller_identity()


def test_an_assumed_role_signs_with_its_session_token(client) -> None:
    """Temporary keys are nothing without their token, and nobody else's with it."""
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": "arn:aws:iam::000000000000:root"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    role = client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(trust))[
        "Role"
    ]
    made = client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="session")["Credentials"]
    key, secret, token = made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"]
    who = client("sts", key=key, secret=secret, token=token).get_caller_identity()
    assert who["Arn"] == "arn:aws:sts::000000000000:assumed-role/r/session"
    for wrong in (None, token[:-8] + "AAAAAAA="):
        with pytest.raises(ClientError, match="InvalidClientTokenId"):
            client("sts", key=key, secret=secret, token=wrong).get_caller_identity()


def test_a_form_too_large_to_come_whole_is_read_before_it_is_routed(platform) -> None:
    """CloudFormation templates are sent so; the Action stands in the body."""
    form = b"Action=GetCallerIdentity&Version=2011-06-15&Pad=" + b"x" * 100_000
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    request = AWSRequest("POST", "http://localhost:4566/", headers=headers, data=form)
    SigV4Auth(Credentials("test", "test"), "sts", "us-east-1").add_auth(request)
    status, _, body = platform.send(to_http(request.prepare()))
    assert status == 200
    assert b"<Account>000000000000</Account>" in body
    request.headers.replace_header("Authorization", request.headers["Authorization"][:-4] + "0000")
    assert platform.send(to_http(request.prepare()))[0] == 403


def test_a_deleted_key_and_a_withdrawn_policy_end_at_once(client) -> None:
    """Also for who was believed and let in a moment ago: nothing of that is kept with a known way."""
    iam = client("iam")
    iam.create_user(UserName="u")
    allow = {"Effect": "Allow", "Action": "dynamodb:ListTables", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=policy)
    key = iam.create_access_key(UserName="u")["AccessKey"]
    mine = client("dynamodb", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    for _ in range(3):
        assert mine.list_tables()["TableNames"] == []
    iam.delete_user_policy(UserName="u", PolicyName="p")
    with pytest.raises(ClientError, match="AccessDenied"):
        mine.list_tables()
    iam.delete_access_key(UserName="u", AccessKeyId=key["AccessKeyId"])
    with pytest.raises(ClientError, match="UnrecognizedClient"):
        mine.list_tables()
