"""A call's way through the gateway, seen with boto3: signature in, service answer or AWS's error out."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError


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
