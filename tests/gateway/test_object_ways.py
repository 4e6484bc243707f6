"""The short way of objects lets through what the long one does, and answers what it does."""

from __future__ import annotations

import copy
from hashlib import sha256

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from clientside import ask, noted
from conftest import to_http

from stratolite.clock import SeededWorld

NOW_S = 1_772_600_767.0
DATA = b"\x00body\xff" * 30


@pytest.fixture
def world(monkeypatch):
    import datetime as dt

    now = dt.datetime.fromtimestamp(NOW_S, dt.UTC).replace(tzinfo=None)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda remove_tzinfo=True: now)
    return SeededWorld(1, NOW_S)


def asking(method="GET", path="/bucket/key", body=b"", **headers):
    made = AWSRequest(method, f"http://localhost:4566{path}", data=body, headers=headers)
    S3SigV4Auth(Credentials("test", "test"), "s3", "us-east-1").add_auth(made)
    return to_http(made.prepare())


@pytest.fixture
def taken(platform, monkeypatch):
    """Whether each request since the bucket and its object were made took the short way."""
    assert ask(platform, asking("PUT", "/bucket"))[0] == 200
    assert ask(platform, asking("PUT", body=DATA))[0] == 200
    platform.app.ways.forget()
    return noted(monkeypatch)


def told(headers):
    passing = ("x-amz-request-id", "x-amz-id-2", "content-length", "date")
    return sorted((k, v) for k, v in headers if k.lower() not in passing)


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_the_second_call_of_a_kind_is_short_and_answers_the_same(platform, taken, method) -> None:
    body = DATA if method == "PUT" else b""
    long, short = (ask(platform, asking(method, body=body)) for _ in range(2))
    assert taken == [False, True]
    assert short[0] == long[0] == 200
    assert short[2] == long[2] == (b"" if body else DATA)
    assert told(short[1]) == told(long[1])


def test_answers_out_of_the_usual_are_the_same(platform, taken) -> None:
    """Metadata, a part of the body, text that is not ASCII, a fault: the short way asks the long encoder."""
    for headers, path in (
        ({"x-amz-meta-Ä": "1"}, "/bucket/a"),
        ({"Content-Type": "text/plain; é", "x-amz-meta-b": "c"}, "/bucket/b"),
        ({}, "/bucket/c"),
    ):
        if all(k.isascii() for k in headers):
            ask(platform, asking("PUT", path, b"0123456789", **headers))
        for more in ({}, {"Range": "bytes=2-4"}, {"If-None-Match": "*"}):
            platform.app.ways.forget()
            long, short = (ask(platform, asking("GET", path, **more)) for _ in range(2))
            assert (long[0], told(long[1])) == (short[0], told(short[1]))
            if long[0] < 400:
                assert long[2] == short[2]
    assert True in taken


def flip(text: str) -> str:
    return text[:-1] + ("0" if text[-1] != "0" else "1")


CHANGES = {
    "signature": lambda r: r.headers.update(authorization=flip(r.headers["authorization"])),
    "body": lambda r: setattr(r, "body", DATA + b"!"),
    "path": lambda r: setattr(r, "path", "/bucket/other"),
    "query": lambda r: setattr(r, "query", "tagging"),
    "date": lambda r: r.headers.update({"x-amz-date": "20260304T050608Z"}),
    "hash of another body": lambda r: r.headers.update(
        {"x-amz-content-sha256": sha256(b"").hexdigest()}
    ),
    "no hash": lambda r: r.headers.update({"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}),
    "unsigned x-amz header": lambda r: r.headers.update({"x-amz-acl": "public-read"}),
    "from elsewhere": lambda r: setattr(r, "peer", "10.0.0.1"),
    "under another name": lambda r: r.headers.update(host="rebound.example"),
    "through a proxy": lambda r: r.headers.update({"x-forwarded-for": "10.0.0.1"}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_not_as_it_was_is_refused_as_ever(platform, taken, change) -> None:
    """The way is known, the default key is believed; each change must meet the long way's refusal."""
    for _ in range(2):
        assert ask(platform, asking("PUT", body=DATA))[0] == 200
    known = copy.copy(platform.app.ways._known)
    answers = []
    for clear in (False, True):
        if clear:
            platform.app.ways.forget()
        changed = asking("PUT", body=DATA)
        change(changed)
        answers.append(ask(platform, changed))
    assert taken == [False, True, False, False]
    assert answers[0][0] == answers[1][0] >= 400
    platform.app.ways._known.update(known)
    assert ask(platform, asking("PUT", body=DATA))[0] == 200  # and it spoils nothing


def test_an_old_request_is_refused_on_a_known_way(platform, world, taken) -> None:
    for _ in range(2):
        assert ask(platform, asking())[0] == 200
    world.advance(901)
    assert ask(platform, asking())[0] == 403
    assert taken == [False, True, False]
