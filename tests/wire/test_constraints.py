"""Requests against the constraints of their models, in the words AWS was heard to use."""

from __future__ import annotations

import pytest

from stratolite import wire
from stratolite.errors import Fault


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
