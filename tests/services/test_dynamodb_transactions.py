"""TransactWriteItems and TransactGetItems: all or nothing, once."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError


@pytest.fixture
def db(client: Any) -> Any:
    made = client("dynamodb")
    for name in ("one", "two"):
        made.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    return made


def put(name: str, table: str = "one", **more: Any) -> dict[str, Any]:
    return {"Put": {"TableName": table, "Item": {"pk": {"S": name}, "v": {"N": "1"}}, **more}}


def there(db: Any, table: str = "one") -> dict[str, str]:
    return {row["pk"]["S"]: row["v"]["N"] for row in db.scan(TableName=table)["Items"]}


def key(name: str) -> dict[str, Any]:
    return {"TableName": "one", "Key": {"pk": {"S": name}}}


def test_all_actions_happen_together(platform: Any, db: Any) -> None:
    """Put, update, delete and check, over two tables, still there after a restart."""
    db.put_item(TableName="one", Item={"pk": {"S": "gone"}, "v": {"N": "0"}})
    db.put_item(TableName="one", Item={"pk": {"S": "count"}, "v": {"N": "1"}})
    db.transact_write_items(
        TransactItems=[
            put("new", "two"),
            {
                "Update": {
                    **key("count"),
                    "UpdateExpression": "SET v = v + :i",
                    "ExpressionAttributeValues": {":i": {"N": "4"}},
                }
            },
            {"Delete": key("gone")},
            {
                "ConditionCheck": {
                    **key("absent"),
                    "ConditionExpression": "attribute_not_exists(pk)",
                }
            },
        ]
    )
    platform.reopen()
    assert (there(db), there(db, "two")) == ({"count": "5"}, {"new": "1"})


def test_one_failing_action_undoes_all_and_says_which(db: Any) -> None:
    """Reasons stand in the order of the actions; earlier writes of the call are gone too."""
    db.put_item(TableName="one", Item={"pk": {"S": "b"}, "v": {"N": "7"}})
    condition = {
        "ConditionExpression": "attribute_not_exists(pk)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    with pytest.raises(db.exceptions.TransactionCanceledException) as caught:
        db.transact_write_items(TransactItems=[put("a"), put("b", **condition), put("c")])
    response = caught.value.response
    assert response["Error"]["Message"] == (
        "Transaction cancelled, please refer cancellation reasons for specific reasons [None, ConditionalCheckFailed, None]"
    )
    assert response["CancellationReasons"] == [
        {"Code": "None"},
        {
            "Code": "ConditionalCheckFailed",
            "Message": "The conditional request failed",
            "Item": {"pk": {"S": "b"}, "v": {"N": "7"}},
        },
        {"Code": "None"},
    ]
    assert there(db) == {"b": "7"}


def test_a_token_makes_a_repeat_harmless(db: Any) -> None:
    """SDKs retry with the same token; another request under it is an error."""
    again = {
        "ClientRequestToken": "token-1",
        "TransactItems": [
            {
                "Update": {
                    **key("n"),
                    "UpdateExpression": "ADD v :i",
                    "ExpressionAttributeValues": {":i": {"N": "1"}},
                }
            }
        ],
    }
    db.transact_write_items(**again)
    db.transact_write_items(**again)
    assert there(db) == {"n": "1"}
    with pytest.raises(db.exceptions.IdempotentParameterMismatchException):
        db.transact_write_items(**{**again, "TransactItems": [put("other")]})


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (
            [put("a"), put("a")],
            "Transaction request cannot include multiple operations on one item",
        ),
        (
            [{"Put": put("a")["Put"], "Delete": key("a")}],
            "TransactItems can only contain one of Check, Put, Update or Delete",
        ),
        (
            [put("")],
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: pk",
        ),
    ],
)
def test_transactions_that_cannot_be_are_refused(db: Any, items: Any, message: str) -> None:
    """Before anything is written."""
    with pytest.raises(ClientError) as caught:
        db.transact_write_items(TransactItems=items)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert caught.value.response["Error"]["Message"] == message
    assert there(db) == {}


def test_gets_answer_in_order_and_leave_gaps(db: Any) -> None:
    """A missing item is an empty answer in its place."""
    db.put_item(TableName="one", Item={"pk": {"S": "a"}, "v": {"N": "1"}})
    response = db.transact_get_items(
        TransactItems=[{"Get": key("b")}, {"Get": {**key("a"), "ProjectionExpression": "v"}}],
        ReturnConsumedCapacity="TOTAL",
    )
    assert response["Responses"] == [{}, {"Item": {"v": {"N": "1"}}}]
    assert response["ConsumedCapacity"] == [
        {"TableName": "one", "CapacityUnits": 4.0, "ReadCapacityUnits": 4.0}
    ]
