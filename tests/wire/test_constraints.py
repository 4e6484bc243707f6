"""Requests against the constraints of their models, in the words AWS was heard to use."""

from __future__ import annotations

import itertools
import re
import signal

import pytest

from stratolite import wire
from stratolite.errors import Fault
from stratolite.services import OFFERS
from stratolite.wire import constraints


def refused(service, operation, **request):
    with pytest.raises(Fault) as found:
        wire.check(service, operation, request)
    assert found.value.status == 400
    return found.value.code, found.value.message


# Recorded from AWS by localstack/localstack, tests/aws/services/events/*.snapshot.json
@pytest.mark.parametrize(
    ("operation", "request_", "message"),
    [
        (
            "CreateConnection",
            {"Name": "This should fail with two errors 123467890123412341234123412341234", "AuthorizationType": "INVALID", "AuthParameters": {}},
            ("3 validation errors detected: Value 'This should fail with two errors 123467890123412341234123412341234' at 'name' failed to satisfy"
            " constraint: Member must satisfy regular expression pattern: [\\.\\-_A-Za-z0-9]+; Value 'This should fail with two errors"
            " 123467890123412341234123412341234' at 'name' failed to satisfy constraint: Member must have length less than or equal to 64;"
            " Value 'INVALID' at 'authorizationType' failed to satisfy constraint: Member must satisfy enum value set:"
            " [BASIC, OAUTH_CLIENT_CREDENTIALS, API_KEY]"),
        ),
        (
            "PutTargets",
            {"Rule": "r", "Targets": [{"Id": "!@#$@!#$", "Arn": "arn"}]},
            ("1 validation error detected: Value '!@#$@!#$' at 'targets.1.member.id' failed to satisfy constraint: Member must satisfy regular"
            " expression pattern: [\\.\\-_A-Za-z0-9]+"),
        ),
        (
            "PutRule",
            {},
            "1 validation error detected: Value null at 'name' failed to satisfy constraint: Member must not be null",
        ),
        (
            "ListRules",
            {"Limit": 0},
            "1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1",
        ),
    ],
)  # fmt: skip
def test_the_words_are_aws_s(operation, request_, message):
    assert refused("events", operation, **request_) == ("ValidationException", message)


def test_a_good_request_and_members_nobody_knows_pass():
    wire.check("events", "PutRule", {"Name": "r", "EventPattern": "{}", "StackToken": 1})
    wire.check("events", "ListEventBuses", {})


def test_a_shape_that_contains_itself_is_checked_to_its_depth():
    """DynamoDB's AttributeValue; and a request nested a hundred times ends."""
    value: dict = {"S": "x"}
    for _ in range(100):
        value = {"M": {"a": value}}
    wire.check("dynamodb", "PutItem", {"TableName": "table", "Item": {"a": value}})


def test_values_far_too_long_are_not_held_against_a_pattern():
    message = refused("events", "PutRule", Name="x!" * 100_000)[1]
    assert "length less than or equal to 64" in message
    assert "pattern" not in message


HARD = (
    "a", "A", "0", "-", ".", "/", ":", "_", "a.", "a-", "a:", ",", " ", "\t", " a", "arn:aws:a:a:000000000000:", "@", "a@",
    "*", "[", "{", "\u00e9", "$.a", "[*]",
)  # fmt: skip


@pytest.mark.parametrize("service", [offer.service for offer in OFFERS])
def test_no_pattern_of_a_model_can_be_made_to_run_away(service):
    """Long runs of what a pattern likes, and then something it does not: Python's engine tries every way there is to read the
    run. https://docs.python.org/3/library/signal.html: the engine looks at signals, so what hangs is found by name.
    """
    for name, shape in constraints.read_raw(service)["shapes"].items():
        found = constraints._pattern(shape.get("pattern")) if shape["type"] == "string" else None
        if found is None:
            continue
        length = 4 * min(shape.get("max", 2000), 2000)
        for piece in HARD:
            signal.setitimer(signal.ITIMER_REAL, 10)
            try:
                found.fullmatch((piece * length)[: length - 1] + "\0")
            except _TooLong:
                pytest.fail(f"{service} {name} {shape['pattern']} runs away on {piece!r}")
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)


class _TooLong(Exception):
    pass


@pytest.fixture(autouse=True)
def alarm():
    def rings(*_):
        raise _TooLong

    before = signal.signal(signal.SIGALRM, rings)
    yield
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("pattern", list(constraints._READ_ONCE))
def test_what_stands_for_a_pattern_takes_the_same_texts(pattern):
    """All texts of up to five of the characters that matter to it."""
    once, many = (
        re.compile(constraints._READ_ONCE[pattern], re.DOTALL),
        re.compile(pattern, re.DOTALL),
    )
    for length in range(6):
        for letters in itertools.product("a \t:$.\0", repeat=length):
            text = "".join(letters)
            assert bool(once.fullmatch(text)) == bool(many.fullmatch(text)), text
