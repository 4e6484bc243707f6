"""A request of very many values does not keep the loop from everybody else's."""

from __future__ import annotations

import threading

import pytest
from botocore.exceptions import ClientError

from stratolite.limits import BODY_MEMBERS_IN_LOOP_MAX
from stratolite.services.dynamodb import numerals, values

COUNT = 40_000
DEEP = "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"


@pytest.fixture
def table(client):
    db = client("dynamodb")
    db.create_table(
        TableName="table",
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return db


@pytest.fixture
def in_loop(platform, monkeypatch):
    """How many numbers were looked at on the loop since."""
    counts = {"loop": 0, "all": 0}
    loops = platform._thread
    canonical = numerals.canonical

    def counting(text):
        counts["all"] += 1
        counts["loop"] += threading.current_thread() is loops
        return canonical(text)

    monkeypatch.setattr(numerals, "canonical", counting)
    return counts


def numbers(count=COUNT):
    return {"L": [{"N": "1.50"}] * count}


CALLS = {
    "put": lambda db: db.put_item(TableName="table", Item={"k": {"S": "a"}, "v": numbers()}),
    "batch": lambda db: db.batch_write_item(
        RequestItems={"table": [{"PutRequest": {"Item": {"k": {"S": "a"}, "v": numbers()}}}]}
    ),
    "transaction": lambda db: db.transact_write_items(
        TransactItems=[{"Put": {"TableName": "table", "Item": {"k": {"S": "a"}, "v": numbers()}}}]
    ),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_values_of_a_large_request_are_checked_off_the_loop(table, in_loop, call) -> None:
    """Twice, for the short way too; each was a third of a second on the loop."""
    for _ in range(2):
        call(table)
    assert in_loop["all"] >= 2 * COUNT
    assert in_loop["loop"] <= BODY_MEMBERS_IN_LOOP_MAX
    found = table.get_item(TableName="table", Key={"k": {"S": "a"}})["Item"]
    assert found["v"]["L"][0] == {"N": "1.5"}
    assert len(found["v"]["L"]) == COUNT


def test_what_is_wrong_with_a_large_request_is_said_as_of_a_small_one(table, in_loop) -> None:
    messages = []
    for count in (1, COUNT):
        wrong = {"L": [*numbers(count)["L"], {"N": "one"}]}
        with pytest.raises(ClientError) as error:
            table.put_item(TableName="table", Item={"k": {"S": "a"}, "v": wrong})
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    assert in_loop["loop"] <= BODY_MEMBERS_IN_LOOP_MAX


def nested(depth):
    value = {"N": "1"}
    for _ in range(depth):
        value = {"L": [value, {"M": {"a": {"S": "x"}}}]} if depth % 2 else {"M": {"a": value}}
    return value


def maps(count):
    value = {"N": "1"}
    for _ in range(count):
        value = {"M": {"a": value}}
    return value


def test_an_update_may_nest_as_deep_as_a_put_and_no_deeper(table) -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html: 32 levels, the attribute the first."""
    table.put_item(TableName="table", Item={"k": {"S": "a"}, "m": {"M": {"in": {"L": []}}}})
    key = {"TableName": "table", "Key": {"k": {"S": "a"}}, "UpdateExpression": "SET m.#in[0] = :v"}
    key["ExpressionAttributeNames"] = {"#in": "in"}
    table.update_item(**key, ExpressionAttributeValues={":v": maps(29)})
    with pytest.raises(ClientError) as error:
        table.update_item(**key, ExpressionAttributeValues={":v": maps(30)})
    assert error.value.response["Error"]["Message"] == DEEP


def test_what_is_stored_is_not_checked_again_by_an_update(table, in_loop) -> None:
    """A nested update of a full item took a quarter of a second on the loop, most of it for numbers that had not changed."""
    table.put_item(TableName="table", Item={"k": {"S": "a"}, "v": numbers()})
    in_loop["loop"] = 0
    table.update_item(
        TableName="table",
        Key={"k": {"S": "a"}},
        UpdateExpression="SET v[0] = :x",
        ExpressionAttributeValues={":x": {"N": "2"}},
    )
    assert in_loop["loop"] <= 1


@pytest.mark.parametrize(
    "value", [nested(5), nested(4), {"L": [{"N": "1.5"}, {"S": "a"}, {"N": "-20"}, {"BOOL": True}]}]
)
def test_what_is_stored_counts_for_what_it_counted_for_when_it_came(value) -> None:
    assert values.size(value) == values.checked_size(value)
