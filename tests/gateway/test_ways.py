"""A way known from before is only shorter: what it lets through, and what it answers, is what the long way does."""

from __future__ import annotations

import copy
import json

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from clientside import ask, noted
from conftest import to_http

from stratolite.clock import SeededWorld

NOW_S = 1_772_600_767.0


@pytest.fixture
def world(monkeypatch):
    import datetime as dt

    now = dt.datetime.fromtimestamp(NOW_S, dt.UTC).replace(tzinfo=None)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda remove_tzinfo=True: now)
    return SeededWorld(1, NOW_S)


def asking(operation="ListTables", request=None, *, key="test", secret="test", **headers):
    body = json.dumps(request or {}).encode()
    made = AWSRequest(
        "POST",
        "http://localhost:4566/",
        data=body,
        headers={
            "X-Amz-Target": f"DynamoDB_20120810.{operation}",
            "Content-Type": "application/x-amz-json-1.0",
            **headers,
        },
    )
    SigV4Auth(Credentials(key, secret), "dynamodb", "us-east-1").add_auth(made)
    return to_http(made.prepare())


@pytest.fixture
def taken(monkeypatch):
    """Whether each request since took the short way."""
    return noted(monkeypatch)


def test_the_second_call_of_a_kind_is_short_and_answers_the_same(platform, taken) -> None:
    long, short = ask(platform, asking()), ask(platform, asking())
    assert taken == [False, True]
    assert short[0] == long[0] == 200
    assert short[2] == long[2] == b'{"TableNames":[]}'

    def told(headers):
        return {k: v for k, v in headers if k not in ("x-amzn-RequestId", "Date")}

    assert told(short[1]) == told(long[1])


def test_a_fault_on_the_short_way_is_worded_as_on_the_long_one(platform, taken) -> None:
    for wrong in ({"TableName": "no-such-table"}, {"TableName": 7}, {"TableName": "?"}):
        long = ask(platform, asking("DescribeTable", wrong, X_Once=str(wrong)))
        short = ask(platform, asking("DescribeTable", wrong, X_Once=str(wrong)))
        assert (long[0], long[2]) == (short[0], short[2])
        assert long[0] == 400
    assert True in taken


CHANGES = {
    "signature": lambda r: r.headers.update(
        authorization=r.headers["authorization"][:-1]
        + ("0" if r.headers["authorization"][-1] != "0" else "1")
    ),
    "signature not ASCII": lambda r: r.headers.update(
        authorization=r.headers["authorization"][:-1] + "\xe4"
    ),
    "body": lambda r: setattr(r, "body", b'{"Limit":1}'),
    "method": lambda r: setattr(r, "method", "PUT"),
    "path": lambda r: setattr(r, "path", "/other"),
    "query": lambda r: setattr(r, "query", "a=b"),
    "host": lambda r: r.headers.update(host="127.0.0.1:4566"),
    "date": lambda r: r.headers.update({"x-amz-date": "20260304T050608Z"}),
    "hash": lambda r: r.headers.update({"x-amz-content-sha256": "0" * 64}),
    "target": lambda r: r.headers.update({"x-amz-target": "DynamoDB_20120810.ListBackups"}),
    "unsigned x-amz header": lambda r: r.headers.update({"x-amz-new": "1"}),
    "from a web page": lambda r: r.headers.update(origin="http://evil.example"),
    "through a proxy": lambda r: r.headers.update({"x-forwarded-for": "10.0.0.1"}),
    "from elsewhere": lambda r: setattr(r, "peer", "10.0.0.1"),
    "under another name": lambda r: r.headers.update(host="rebound.example"),
    "no host": lambda r: r.headers.pop("host"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_not_as_it_was_is_refused_as_ever(platform, taken, change) -> None:
    """The way is known, the default key is believed; each change must meet the long way's refusal."""
    assert ask(platform, asking())[0] == 200
    assert ask(platform, asking())[0] == 200
    changed = asking()
    change(changed)
    known = copy.copy(platform.app.ways._known)
    short = ask(platform, changed)
    assert taken[:2] == [False, True]
    assert not any(taken[2:])
    platform.app.ways.forget()
    again = asking()
    change(again)
    long = ask(platform, again)
    assert short[0] == long[0] >= 400
    assert short[2] == long[2]
    platform.app.ways._known.update(known)
    assert ask(platform, asking())[0] == 200  # and it spoils nothing


def test_an_old_request_is_refused_on_a_known_way(platform, world, taken) -> None:
    assert ask(platform, asking())[0] == 200
    assert ask(platform, asking())[0] == 200
    world.advance(901)
    assert ask(platform, asking())[0] == 400
    assert taken == [False, True, False]
