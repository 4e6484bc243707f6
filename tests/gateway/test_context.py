"""The condition keys the front door works out: what of a request stays on this machine is said to be safe from others."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from stratolite.gateway.auth import SANDBOX
from stratolite.gateway.context import Context
from stratolite.http import HttpRequest


@pytest.mark.parametrize(
    ("peer", "scheme", "said"),
    [
        ("127.0.0.1", "http", "true"),
        ("::1", "http", "true"),
        ("::ffff:127.0.0.1", "http", "true"),
        (SANDBOX, "http", "true"),
        ("192.168.1.7", "http", "false"),
        ("2001:db8::1", "http", "false"),
        ("192.168.1.7", "https", "true"),
    ],
)
def test_secure_transport_is_tls_or_no_network_at_all(peer: str, scheme: str, said: str) -> None:
    """docs/decisions/0027-secure-transport.md"""
    request = HttpRequest("GET", "/", "", {"host": "localhost"}, b"", peer=peer, scheme=scheme)
    assert Context(request)["aws:SecureTransport"] == said


def test_a_bucket_that_wants_tls_takes_what_comes_from_this_machine(client) -> None:
    """The buckets of `sam deploy`, `cdk bootstrap` and `osls deploy` have such a policy."""
    s3 = client("s3")
    s3.create_bucket(Bucket="tls")
    denied = {
        "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": ["arn:aws:s3:::tls", "arn:aws:s3:::tls/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }  # fmt: skip
    policy = {"Version": "2012-10-17", "Statement": [denied]}
    s3.put_bucket_policy(Bucket="tls", Policy=json.dumps(policy))
    s3.put_object(Bucket="tls", Key="k", Body=b"1")
    denied["Condition"]["Bool"]["aws:SecureTransport"] = "true"
    s3.put_bucket_policy(Bucket="tls", Policy=json.dumps(policy))
    with pytest.raises(ClientError, match="explicit deny"):
        s3.put_object(Bucket="tls", Key="k", Body=b"1")
