"""Stratolite's own calls: the clock that users may move, and who may move it."""

from __future__ import annotations

import json

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from conftest import ENDPOINT, to_http


def ask(platform, method, name, body=None, keys=("test", "test"), **headers):
    """(status, document)."""
    data = json.dumps(body).encode() if body is not None else b""
    request = AWSRequest(
        method,
        f"{ENDPOINT}/_stratolite/{name}".replace("_stratolite/../", ""),
        data=data,
        headers=headers,
    )
    if keys:
        SigV4Auth(Credentials(*keys), "stratolite", "us-east-1").add_auth(request)
    status, _, answer = platform.send(to_http(request.prepare()))
    return status, json.loads(answer)


def test_the_clock_moves_forward_and_stays_there(platform):
    """Also after a restart: the offset is a committed fact."""
    before = ask(platform, "GET", "clock")[1]
    assert before["offset_s"] == 0
    status, after = ask(platform, "POST", "clock", {"advance_s": 900.5})
    assert (status, after["offset_s"]) == (200, 900.5)
    assert after["time_s"] - before["time_s"] >= 900
    platform.reopen()
    assert ask(platform, "GET", "clock")[1]["offset_s"] == 900.5


@pytest.mark.parametrize("advance", [-1, "1", None, True, 1e300, [1]])
def test_a_clock_that_would_go_back_or_nowhere_is_refused(platform, advance):
    status, said = ask(platform, "POST", "clock", {"advance_s": advance})
    assert (status, said["__type"]) == (400, "ValidationException")
    assert ask(platform, "GET", "clock")[1]["offset_s"] == 0


@pytest.mark.parametrize(
    ("keys", "headers"),
    [(None, {}), (("test", "wrong"), {}), (("test", "test"), {"Origin": "http://evil.example"})],
    ids=["unsigned", "wrong secret", "from a web page"],
)
def test_only_a_root_key_moves_the_clock(platform, keys, headers):
    status, said = ask(platform, "POST", "clock", {"advance_s": 1}, keys, **headers)
    assert (status, said["__type"]) == (403, "AccessDeniedException")
    assert platform.cloud.world.cloud_offset_s == 0


def test_an_iam_user_does_not_move_the_clock(platform, client):
    """Time is the whole cloud's: no account's policy can hand it out."""
    iam = client("iam")
    iam.create_user(UserName="ann")
    iam.put_user_policy(
        UserName="ann",
        PolicyName="all",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}),
    )  # fmt: skip
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    keys = (key["AccessKeyId"], key["SecretAccessKey"])
    assert ask(platform, "POST", "clock", {"advance_s": 1}, keys)[0] == 403


def test_what_is_not_there_says_so(platform):
    status, said = ask(platform, "GET", "nothing")
    assert (status, said["__type"]) == (404, "UnknownOperationException")
    assert ask(platform, "POST", "clock", [1])[0] == 400


def test_who_asks_what_this_is_is_told(platform):
    """As tools made for LocalStack ask."""
    status, said = ask(platform, "GET", "../_localstack/info", keys=None)
    assert status == 200
    assert said["edition"] == "stratolite"
    assert {"version", "session_id", "uptime", "server_time_utc"} <= said.keys()
