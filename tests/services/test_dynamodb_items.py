"""PutItem, GetItem, UpdateItem, DeleteItem and batches through boto3."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from stratolite.services.dynamodb.values import checked_item_size


@pytest.fixture
def db(client: Any) -> Any:
    made = client("dynamodb")
    for name, keys in (("plain", ["pk"]), ("sorted", ["pk", "sk"])):
        made.create_table(
            TableName=name,
            KeySchema=[
                {"AttributeName": k, "KeyType": t}
                for k, t in zip(keys, ("HASH", "RANGE"), strict=False)
            ],
            AttributeDefinitions=[
                {"AttributeName": k, "AttributeType": t} for k, t in zip(keys, "SN", strict=False)
            ],
            BillingMode="PAY_PER_REQUEST",
        )
    return made


def refused(code: str, call: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**request)
    assert caught.value.response["Error"]["Code"] == code
    return caught.value.response["Error"]["Message"]


EVERYTHING = {
    "s": {"S": "snow \u2603 \U0001f600"},
    "empty": {"S": ""},
    "n": {"N": "-12.5"},
    "b": {"B": b"\x00\xff"},
    "none": {"NULL": True},
    "yes": {"BOOL": True},
    "ss": {"SS": ["b", "a"]},
    "ns": {"NS": ["1", "2.5"]},
    "bs": {"BS": [b"a", b""]},
    "l": {"L": [{"S": "x"}, {"L": []}]},
    "m": {"M": {"k": {"M": {}}, "": {"N": "1"}}},
}


def test_what_is_put_is_what_is_got(db: Any) -> None:
    """Every type, empty values included, comes back as it went in."""
    db.put_item(TableName="plain", Item={"pk": {"S": "a"}, **EVERYTHING})
    assert db.get_item(TableName="plain", Key={"pk": {"S": "a"}})["Item"] == {
        "pk": {"S": "a"},
        **EVERYTHING,
    }
    assert "Item" not in db.get_item(TableName="plain", Key={"pk": {"S": "b"}})


def test_numbers_come_back_in_one_form(db: Any) -> None:
    """DynamoDB trims zeros and writes exponents out, in sets, lists and keys too."""
    db.put_item(
        TableName="sorted",
        Item={"pk": {"S": "a"}, "sk": {"N": "1.0"}, "n": {"N": "1E+3"}, "s": {"NS": ["-0", "007"]}},
    )
    item = db.get_item(TableName="sorted", Key={"pk": {"S": "a"}, "sk": {"N": "01"}})["Item"]
    assert (item["sk"], item["n"], item["s"]) == ({"N": "1"}, {"N": "1000"}, {"NS": ["0", "7"]})


def test_an_item_survives_a_restart(platform: Any, db: Any) -> None:
    """Acknowledged means durable."""
    db.put_item(TableName="plain", Item={"pk": {"S": "a"}, **EVERYTHING})
    platform.reopen()
    assert db.get_item(TableName="plain", Key={"pk": {"S": "a"}})["Item"]["n"] == {"N": "-12.5"}


def test_items_up_to_400_kb_are_kept_whatever_their_json_weighs(db: Any) -> None:
    """100,000 nulls are 200 KB by DynamoDB's rules and 1.3 MB of JSON, more than one stored value may have."""
    many = {"pk": {"S": "many"}, "l": {"L": [{"NULL": True}] * 100_000}}
    db.put_item(TableName="plain", Item=many)
    assert db.get_item(TableName="plain", Key={"pk": {"S": "many"}})["Item"] == many
    assert [i["pk"]["S"] for i in db.scan(TableName="plain")["Items"]] == ["many"]
    db.update_item(TableName="plain", Key={"pk": {"S": "many"}}, UpdateExpression="REMOVE l")
    assert db.get_item(TableName="plain", Key={"pk": {"S": "many"}})["Item"] == {
        "pk": {"S": "many"}
    }
    assert db.scan(TableName="plain")["Count"] == 1
    limit = 400 * 1024 - len("pk") - len("full") - len("x")
    db.put_item(TableName="plain", Item={"pk": {"S": "full"}, "x": {"S": "x" * limit}})
    message = refused(
        "ValidationException",
        db.put_item,
        TableName="plain",
        Item={"pk": {"S": "full"}, "x": {"S": "x" * (limit + 1)}},
    )
    assert message == "Item size has exceeded the maximum allowed size"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"SS": []}, "One or more parameter values were invalid: An string set  may not be empty"),
        ({"NS": ["1", "1.0"]}, "Input collection contains duplicates"),
        (
            {"SS": ["a", "a"]},
            "One or more parameter values were invalid: Input collection [a, a] contains duplicates.",
        ),
        (
            {"NULL": False},
            "One or more parameter values were invalid: Null attribute value types must have the value of true",
        ),
        (
            {"N": "1e200"},
            "Number overflow. Attempting to store a number with magnitude larger than supported range",
        ),
    ],
)
def test_values_dynamodb_does_not_take_are_refused_in_its_words(
    db: Any, value: Any, message: str
) -> None:
    """Also deep inside."""
    for wrapped in (value, {"L": [{"M": {"x": value}}]}):
        assert (
            refused(
                "ValidationException",
                db.put_item,
                TableName="plain",
                Item={"pk": {"S": "a"}, "x": wrapped},
            )
            == message
        )
    assert "Item" not in db.get_item(TableName="plain", Key={"pk": {"S": "a"}})


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({}, "One or more parameter values were invalid: Missing the key pk in the item"),
        (
            {"pk": {"S": "a"}},
            "One or more parameter values were invalid: Missing the key sk in the item",
        ),
        (
            {"pk": {"N": "1"}, "sk": {"N": "1"}},
            "One or more parameter values were invalid: Type mismatch for key pk expected: S actual: N",
        ),
        (
            {"pk": {"S": ""}, "sk": {"N": "1"}},
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: pk",
        ),
        (
            {"pk": {"S": "x" * 2049}, "sk": {"N": "1"}},
            "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 bytes",
        ),
    ],
)
def test_items_without_a_proper_key_are_refused(db: Any, item: Any, message: str) -> None:
    """AWS's words, spaces and all."""
    assert refused("ValidationException", db.put_item, TableName="sorted", Item=item) == message


def test_nesting_ends_at_32_levels(db: Any) -> None:
    """The attribute is the first of them: 31 lists within each other are stored, 32 are not, in any write.

    https://github.com/paritysuite/dynamodb-conformance (tests/tier3/limits/nestingDepth.test.ts), recorded from AWS
    """
    deep: dict[str, Any] = {"S": "x"}
    for _ in range(31):
        deep = {"L": [deep]}
    item = {"pk": {"S": "a"}, "deep": deep}
    db.put_item(TableName="plain", Item=item)
    db.batch_write_item(RequestItems={"plain": [{"PutRequest": {"Item": item}}]})
    item = {"pk": {"S": "a"}, "deep": {"M": {"n": deep}}}
    puts = [{"PutRequest": {"Item": item}}]
    for call, request in (
        (db.put_item, {"TableName": "plain", "Item": item}),
        (db.batch_write_item, {"RequestItems": {"plain": puts}}),
        (
            db.transact_write_items,
            {"TransactItems": [{"Put": {"TableName": "plain", "Item": item}}]},
        ),
    ):
        message = refused("ValidationException", call, **request)
        assert message == (
            "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"
        )


def test_a_failed_condition_changes_nothing_and_can_show_the_item(db: Any) -> None:
    """ReturnValuesOnConditionCheckFailure saves the read that would follow."""
    db.put_item(TableName="plain", Item={"pk": {"S": "a"}, "v": {"N": "1"}})
    for call, more in (
        (db.put_item, {"Item": {"pk": {"S": "a"}, "v": {"N": "2"}}}),
        (db.delete_item, {"Key": {"pk": {"S": "a"}}}),
        (db.update_item, {"Key": {"pk": {"S": "a"}}, "UpdateExpression": "SET v = :two"}),
    ):
        values = {":nine": {"N": "9"}} | (
            {":two": {"N": "2"}} if "Key" in more and "UpdateExpression" in more else {}
        )
        with pytest.raises(db.exceptions.ConditionalCheckFailedException) as caught:
            call(
                TableName="plain",
                ConditionExpression="v = :nine",
                ExpressionAttributeValues=values,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **more,
            )
        assert caught.value.response["Item"] == {"pk": {"S": "a"}, "v": {"N": "1"}}
        assert caught.value.response["Error"]["Message"] == "The conditional request failed"
    assert db.get_item(TableName="plain", Key={"pk": {"S": "a"}})["Item"]["v"] == {"N": "1"}


@pytest.mark.parametrize(
    ("returns", "wanted"),
    [
        ("NONE", None),
        ("ALL_OLD", {"pk": {"S": "a"}, "v": {"N": "1"}, "w": {"S": "w"}}),
        ("UPDATED_OLD", {"v": {"N": "1"}}),
        ("ALL_NEW", {"pk": {"S": "a"}, "v": {"N": "6"}, "w": {"S": "w"}, "z": {"S": "z"}}),
        ("UPDATED_NEW", {"v": {"N": "6"}, "z": {"S": "z"}}),
    ],
)
def test_an_update_returns_what_was_asked_for(db: Any, returns: str, wanted: Any) -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateItem.html"""
    db.put_item(TableName="plain", Item={"pk": {"S": "a"}, "v": {"N": "1"}, "w": {"S": "w"}})
    response = db.update_item(
        TableName="plain",
        Key={"pk": {"S": "a"}},
        UpdateExpression="SET v = v + :five, z = :z",
        ExpressionAttributeValues={":five": {"N": "5"}, ":z": {"S": "z"}},
        ReturnValues=returns,
    )
    assert response.get("Attributes") == wanted


def test_an_update_makes_the_item_but_never_another_key(db: Any) -> None:
    """UpdateItem is an upsert; key attributes stay."""
    db.update_item(
        TableName="plain",
        Key={"pk": {"S": "new"}},
        UpdateExpression="ADD hits :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
    )
    assert db.get_item(TableName="plain", Key={"pk": {"S": "new"}})["Item"] == {
        "pk": {"S": "new"},
        "hits": {"N": "1"},
    }
    message = refused(
        "ValidationException",
        db.update_item,
        TableName="plain",
        Key={"pk": {"S": "new"}},
        UpdateExpression="SET pk = :x",
        ExpressionAttributeValues={":x": {"S": "x"}},
    )
    assert (
        message
        == "One or more parameter values were invalid: Cannot update attribute pk. This attribute is part of the key"
    )


def test_capacity_is_what_the_sizes_say(db: Any) -> None:
    """Half a unit for 4 KB read, a unit for 1 KB written, the larger of before and after."""
    put = db.put_item(
        TableName="plain",
        Item={"pk": {"S": "a"}, "x": {"S": "x" * 5000}},
        ReturnConsumedCapacity="TOTAL",
    )
    assert put["ConsumedCapacity"] == {"TableName": "plain", "CapacityUnits": 5.0}
    key = {"pk": {"S": "a"}}
    assert (
        db.get_item(TableName="plain", Key=key, ReturnConsumedCapacity="TOTAL")["ConsumedCapacity"][
            "CapacityUnits"
        ]
        == 1.0
    )
    read = db.get_item(
        TableName="plain", Key=key, ConsistentRead=True, ReturnConsumedCapacity="INDEXES"
    )
    assert read["ConsumedCapacity"] == {
        "TableName": "plain",
        "CapacityUnits": 2.0,
        "Table": {"CapacityUnits": 2.0},
    }
    gone = db.delete_item(
        TableName="plain", Key=key, ReturnConsumedCapacity="TOTAL", ReturnValues="ALL_OLD"
    )
    assert gone["ConsumedCapacity"]["CapacityUnits"] == 5.0
    assert gone["Attributes"]["pk"] == {"S": "a"}


def test_errors_in_several_members_come_together(db: Any) -> None:
    """AWS lists up to ten; code that parses the list depends on its form."""
    message = refused(
        "ValidationException",
        db.put_item,
        TableName="plain",
        Item={"pk": {"S": "a"}},
        ReturnValues="WHAT",
        ReturnConsumedCapacity="NO",
    )
    assert message.startswith(
        "2 validation errors detected: Value 'NO' at 'returnConsumedCapacity' failed to satisfy constraint: Member must satisfy enum value set: [INDEXES, TOTAL, NONE]; "
    )


@pytest.mark.parametrize(
    "body",
    [
        b'{"TableName": 1, "Item": {}}',
        b'{"TableName": "plain", "Item": []}',
        b'{"TableName": "plain", "Item": {"pk": "a"}}',
        b'{"TableName": "plain", "Item": {"pk": {"S": 1}}}',
        b'{"TableName": "plain", "Item": {"pk": {"S": "a"}, "b": {"B": "!!!!"}}}',
        b'{"TableName": "plain", "Item": {"pk": {"S": "a"}, "l": {"L": {}}}}',
        b'{"TableName": "plain", "Item": {"pk": {"S": "a"}, "l": {"L": [[]]}}}',
        b'{"TableName": "plain", "Item": {"pk": {"S": "a"}, "s": {"SS": [1]}}}',
        b'{"TableName": "plain", "Item": {"pk": {"S": "a"}}, "ExpressionAttributeNames": {"#a": {}}, "ConditionExpression": "a"}',
    ],
)
def test_json_of_the_wrong_shape_is_a_serialization_error(
    client: Any, db: Any, body: bytes
) -> None:
    """SDKs never send it; anyone else may, and must not see a traceback."""
    other = client("dynamodb")

    def replace(request: Any, **_: Any) -> None:
        request.data = body

    other.meta.events.register("before-sign", replace)
    refused("SerializationException", other.put_item, TableName="plain", Item={"pk": {"S": "a"}})


def test_batches_write_and_read_many(db: Any) -> None:
    """25 writes, 100 reads, several tables; order of answers is not promised."""
    db.batch_write_item(
        RequestItems={
            "plain": [
                {"PutRequest": {"Item": {"pk": {"S": f"k{i}"}, "i": {"N": str(i)}}}}
                for i in range(20)
            ],
            "sorted": [
                {"PutRequest": {"Item": {"pk": {"S": "a"}, "sk": {"N": str(i)}}}} for i in range(5)
            ],
        }
    )
    db.batch_write_item(RequestItems={"plain": [{"DeleteRequest": {"Key": {"pk": {"S": "k0"}}}}]})
    found = db.batch_get_item(
        RequestItems={
            "plain": {
                "Keys": [{"pk": {"S": f"k{i}"}} for i in range(25)],
                "ProjectionExpression": "i",
            },
            "sorted": {"Keys": [{"pk": {"S": "a"}, "sk": {"N": "3"}}]},
        }
    )
    assert sorted(int(i["i"]["N"]) for i in found["Responses"]["plain"]) == list(range(1, 20))
    assert found["Responses"]["sorted"] == [{"pk": {"S": "a"}, "sk": {"N": "3"}}]
    assert found["UnprocessedKeys"] == {}
    twice = {"plain": {"Keys": [{"pk": {"S": "k1"}}] * 2}}
    assert (
        refused("ValidationException", db.batch_get_item, RequestItems=twice)
        == "Provided list of item keys contains duplicates"
    )


def test_a_batch_too_large_to_answer_leaves_unprocessed_keys(db: Any) -> None:
    """The caller asks for the rest; nothing is lost and no answer grows without bound."""
    for i in range(25):
        db.put_item(TableName="plain", Item={"pk": {"S": f"k{i}"}, "x": {"S": "x" * 390_000}})
    wanted: dict[str, Any] = {"plain": {"Keys": [{"pk": {"S": f"k{i}"}} for i in range(25)]}}
    found, calls = [], 0
    while wanted:
        response = db.batch_get_item(RequestItems=wanted)
        found += [i["pk"]["S"] for i in response["Responses"]["plain"]]
        wanted = response["UnprocessedKeys"]
        calls += 1
    assert sorted(found) == sorted(f"k{i}" for i in range(25))
    assert calls == 2


def test_parameters_from_before_expressions_still_work(db: Any) -> None:
    """Old code and tools send Expected and AttributeUpdates."""
    db.put_item(
        TableName="plain",
        Item={"pk": {"S": "a"}, "v": {"N": "1"}},
        Expected={"pk": {"Exists": False}},
    )
    refused(
        "ConditionalCheckFailedException",
        db.put_item,
        TableName="plain",
        Item={"pk": {"S": "a"}},
        Expected={"pk": {"Exists": False}},
    )
    updated = db.update_item(
        TableName="plain",
        Key={"pk": {"S": "a"}},
        AttributeUpdates={"v": {"Action": "ADD", "Value": {"N": "2"}}, "w": {"Value": {"S": "w"}}},
        Expected={"v": {"ComparisonOperator": "LT", "AttributeValueList": [{"N": "5"}]}},
        ReturnValues="ALL_NEW",
    )
    assert updated["Attributes"] == {"pk": {"S": "a"}, "v": {"N": "3"}, "w": {"S": "w"}}
    assert db.get_item(TableName="plain", Key={"pk": {"S": "a"}}, AttributesToGet=["w"])[
        "Item"
    ] == {"w": {"S": "w"}}
    message = refused(
        "ValidationException",
        db.put_item,
        TableName="plain",
        Item={"pk": {"S": "a"}},
        Expected={"pk": {"Exists": False}},
        ConditionExpression="attribute_exists(pk)",
    )
    assert message.endswith(
        "Non-expression parameters: {Expected} Expression parameters: {ConditionExpression}"
    )


def test_a_table_may_be_named_by_its_arn_and_only_here(db: Any) -> None:
    """Since 2024 TableName takes an ARN; another account's table is not ours to reach, there or not."""
    db.put_item(
        TableName="arn:aws:dynamodb:us-east-1:000000000000:table/plain", Item={"pk": {"S": "a"}}
    )
    assert db.get_item(TableName="plain", Key={"pk": {"S": "a"}})["Item"] == {"pk": {"S": "a"}}
    refused(
        "AccessDeniedException",
        db.put_item,
        TableName="arn:aws:dynamodb:us-east-1:111111111111:table/plain",
        Item={"pk": {"S": "a"}},
    )


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["pk", "sk", "other"]),
        st.one_of(
            st.none(),
            st.text(max_size=3),
            st.dictionaries(
                st.sampled_from(["S", "N", "B", "X"]),
                st.one_of(st.text("a\0ä", max_size=300), st.just(""), st.just(1), st.none()),
                max_size=2,
            ),
        ),
        max_size=3,
    )
)
def test_the_short_way_to_a_row_ends_where_the_long_one_does(key):
    """GetItem skips the checks of keys that look plain: only such as would pass them, and to the same row."""
    from stratolite.services.dynamodb.table import Table

    kinds = [{"AttributeName": n, "AttributeType": "S"} for n in ("pk", "sk")]
    schema = [{"AttributeName": n, "KeyType": t} for n, t in (("pk", "HASH"), ("sk", "RANGE"))]
    arn = "arn:aws:dynamodb:us-east-1:000000000000:table/t"
    described = {
        "TableName": "t",
        "TableArn": arn,
        "KeySchema": schema,
        "AttributeDefinitions": kinds,
    }
    table = Table(orjson.dumps({"Description": described, "Key": 1, "Indexes": {}}))
    row = table.plain_row(key)
    if row is not None:
        checked_item_size(key)
        table.check_key(key)
        assert row == table.row(key)
    elif set(key) == {"pk", "sk"} and all(
        isinstance(v, dict) and list(v) == ["S"] and type(v["S"]) is str for v in key.values()
    ):
        assert any(not v["S"].isascii() or not 0 < len(v["S"]) <= 256 for v in key.values())


def test_a_value_too_large_for_any_item_is_not_looked_at_to_its_end() -> None:
    """A million small numbers in one list would hold everybody up for seconds before they are refused."""
    from stratolite.errors import Fault
    from stratolite.services.dynamodb import values

    with pytest.raises(Fault, match="Item size has exceeded the maximum allowed size"):
        values.checked_size({"L": [{"S": "x" * 1000}] * 500 + ["not a value, never reached"]})
