"""Query and Scan against a plain list, over pages, directions, indexes and segments."""

from __future__ import annotations

import shutil
import tempfile
from decimal import Decimal
from typing import Any

import orjson
import pytest
from botocore.exceptions import ClientError
from harness import run_in_cloud
from hypothesis import given, settings
from hypothesis import strategies as st

TABLE = {
    "TableName": "rows",
    "KeySchema": [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ],
    "AttributeDefinitions": [
        {"AttributeName": "pk", "AttributeType": "S"},
        {"AttributeName": "sk", "AttributeType": "N"},
        {"AttributeName": "g", "AttributeType": "S"},
        {"AttributeName": "h", "AttributeType": "S"},
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "keys",
            "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        },
        {
            "IndexName": "some",
            "KeySchema": [
                {"AttributeName": "g", "KeyType": "HASH"},
                {"AttributeName": "h", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["x"]},
        },
    ],
    "LocalSecondaryIndexes": [
        {
            "IndexName": "local",
            "KeySchema": [
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "h", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
    "BillingMode": "PAY_PER_REQUEST",
}

letters = st.text("ab\0\xff", min_size=1, max_size=2)
numbers = st.sampled_from(["-10", "-2.5", "-1", "0", "0.5", "1", "1.5", "2", "10", "100"])


@st.composite
def items(draw: st.DrawFn) -> dict[str, Any]:
    item = {
        "pk": {"S": draw(st.sampled_from(["p", "q"]))},
        "sk": {"N": draw(numbers)},
        "x": {"N": draw(numbers)},
    }
    for name in "gh":
        if draw(st.booleans()):
            item[name] = {"S": draw(letters)}
    return item


steps = st.lists(
    st.tuples(st.sampled_from(["put", "put", "put", "delete", "remove g", "set h"]), items()),
    max_size=25,
)


class Model:
    """A table as a dict, and the cloud beside it."""

    def __init__(self, harness: Any) -> None:
        self.harness = harness
        self.items: dict[tuple[str, str], dict[str, Any]] = {}

    async def call(self, operation: str, **request: Any) -> Any:
        return orjson.loads(
            orjson.dumps(await self.harness("dynamodb", operation, TableName="rows", **request))
        )

    async def take(self, step: str, item: dict[str, Any]) -> None:
        key = {"pk": item["pk"], "sk": item["sk"]}
        name = (item["pk"]["S"], item["sk"]["N"])
        if step == "put":
            await self.call("PutItem", Item=item)
            self.items[name] = item
        elif step == "delete":
            await self.call("DeleteItem", Key=key)
            self.items.pop(name, None)
        elif step == "remove g":
            await self.call("UpdateItem", Key=key, UpdateExpression="REMOVE g")
            self.items[name] = {k: v for k, v in self.items.get(name, key).items() if k != "g"}
        else:
            value = item.get("h", {"S": "a"})
            await self.call(
                "UpdateItem",
                Key=key,
                UpdateExpression="SET h = :h",
                ExpressionAttributeValues={":h": value},
            )
            self.items[name] = {**self.items.get(name, key), "h": value}

    async def pages(self, operation: str, limit: int, **request: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        start = None
        for _ in range(100):
            more = {} if start is None else {"ExclusiveStartKey": start}
            page = await self.call(operation, Limit=limit, **request, **more)
            assert page["ScannedCount"] <= limit
            found += page["Items"]
            start = page.get("LastEvaluatedKey")
            if start is None:
                return found
        raise AssertionError("the pages never end")


def by_key(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return sorted((r["pk"]["S"], r["sk"]["N"]) for r in rows)


async def check(model: Model, limit: int, low: str, high: str, forward: bool) -> None:
    everything = list(model.items.values())
    for partition in ("p", "q"):
        values = {":p": {"S": partition}, ":l": {"N": low}, ":h": {"N": high}}
        for condition, holds in (
            ("sk BETWEEN :l AND :h", lambda n: Decimal(low) <= n <= Decimal(high)),
            ("sk > :l", lambda n: n > Decimal(low)),
            ("sk <= :h", lambda n: n <= Decimal(high)),
            ("sk = :l", lambda n: n == Decimal(low)),
        ):
            used = {k: v for k, v in values.items() if k in condition or k == ":p"}
            found = await model.pages(
                "Query",
                limit,
                KeyConditionExpression=f"pk = :p AND {condition}",
                ExpressionAttributeValues=used,
                ScanIndexForward=forward,
            )
            wanted = [
                i for i in everything if i["pk"]["S"] == partition and holds(Decimal(i["sk"]["N"]))
            ]
            wanted.sort(key=lambda i: Decimal(i["sk"]["N"]), reverse=not forward)
            assert found == wanted, condition
        found = await model.pages(
            "Query",
            limit,
            IndexName="local",
            KeyConditionExpression="pk = :p",
            ExpressionAttributeValues={":p": {"S": partition}},
            ScanIndexForward=forward,
        )
        wanted = [i for i in everything if i["pk"]["S"] == partition and "h" in i]
        assert by_key(found) == by_key(wanted)
        hs = [i["h"]["S"].encode() for i in found]
        assert hs == sorted(hs, reverse=not forward)
    for g in {i["g"]["S"] for i in everything if "g" in i} | {"a"}:
        members = [i for i in everything if i.get("g") == {"S": g}]
        found = await model.pages(
            "Query",
            limit,
            IndexName="keys",
            KeyConditionExpression="g = :g",
            ExpressionAttributeValues={":g": {"S": g}},
        )
        assert by_key(found) == by_key(members)
        assert all(set(row) == {"pk", "sk", "g"} for row in found)
        found = await model.pages(
            "Query",
            limit,
            IndexName="some",
            KeyConditionExpression="g = :g AND begins_with(h, :h)",
            ExpressionAttributeValues={":g": {"S": g}, ":h": {"S": "a"}},
            ScanIndexForward=forward,
        )
        wanted = [i for i in members if "h" in i and i["h"]["S"].startswith("a")]
        assert by_key(found) == by_key(wanted)
        assert all(set(row) <= {"pk", "sk", "g", "h", "x"} for row in found)
        hs = [i["h"]["S"].encode() for i in found]
        assert hs == sorted(hs, reverse=not forward)
    for index, has in ((None, ()), ("keys", ("g",)), ("some", ("g", "h")), ("local", ("h",))):
        named = {} if index is None else {"IndexName": index}
        wanted = [i for i in everything if all(name in i for name in has)]
        found = await model.pages("Scan", limit, **named)
        assert by_key(found) == by_key(wanted)
        parts = [
            await model.pages("Scan", limit, Segment=n, TotalSegments=3, **named) for n in range(3)
        ]
        assert by_key([row for part in parts for row in part]) == by_key(wanted)
        found = await model.pages(
            "Scan",
            limit,
            FilterExpression="sk > :l",
            ExpressionAttributeValues={":l": {"N": low}},
            **named,
        )
        assert by_key(found) == by_key([i for i in wanted if Decimal(i["sk"]["N"]) > Decimal(low)])


@settings(max_examples=12, deadline=None)
@given(steps, st.integers(1, 4), numbers, numbers, st.booleans())
def test_reads_agree_with_a_list(taken: Any, limit: int, a: str, b: str, forward: bool) -> None:
    """Whatever was written before: order, boundaries, paging, projections, sparse indexes, segments."""
    low, high = sorted((a, b), key=Decimal)
    folder = tempfile.mkdtemp()

    async def body(harness: Any) -> None:
        await harness("dynamodb", "CreateTable", **orjson.loads(orjson.dumps(TABLE)))
        model = Model(harness)
        for step, item in taken:
            await model.take(step, item)
        await check(model, limit, low, high, forward)

    try:
        run_in_cloud(folder, body)
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def db(client: Any) -> Any:
    made = client("dynamodb")
    made.create_table(**TABLE)
    for i in range(6):
        made.put_item(
            TableName="rows",
            Item={
                "pk": {"S": "p"},
                "sk": {"N": str(i)},
                "g": {"S": "g"},
                "h": {"S": f"h{i % 2}"},
                "x": {"N": str(i)},
                "y": {"S": "y"},
            },
        )
    return made


def query(db: Any, **request: Any) -> Any:
    defaults = {
        "KeyConditionExpression": "pk = :p",
        "ExpressionAttributeValues": {":p": {"S": "p"}},
    }
    return db.query(TableName="rows", **(defaults | request))


def refusal(call: Any, *args: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(*args, **request)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    return caught.value.response["Error"]["Message"]


def test_a_filter_drops_rows_after_they_were_counted(db: Any) -> None:
    """Limit is about rows read, not rows returned."""
    page = query(
        db,
        FilterExpression="x > :x",
        ExpressionAttributeValues={":p": {"S": "p"}, ":x": {"N": "2"}},
        Limit=4,
    )
    assert (page["Count"], page["ScannedCount"]) == (1, 4)
    assert page["LastEvaluatedKey"] == {"pk": {"S": "p"}, "sk": {"N": "3"}}


def test_select_says_what_comes_back(db: Any) -> None:
    """COUNT, projected attributes, and a local index that fetches what it does not hold."""
    assert "Items" not in query(db, Select="COUNT")
    by_g = {"KeyConditionExpression": "g = :g", "ExpressionAttributeValues": {":g": {"S": "g"}}}
    assert set(query(db, IndexName="some", **by_g)["Items"][0]) == {"pk", "sk", "g", "h", "x"}
    assert set(query(db, IndexName="local", Select="ALL_ATTRIBUTES")["Items"][0]) == {
        "pk",
        "sk",
        "g",
        "h",
        "x",
        "y",
    }
    assert refusal(query, db, IndexName="some", Select="ALL_ATTRIBUTES", **by_g).endswith(
        "Select type ALL_ATTRIBUTES is not supported for global secondary index some because its projection type is not ALL"
    )
    assert query(db, ProjectionExpression="x")["Items"][:2] == [
        {"x": {"N": "0"}},
        {"x": {"N": "1"}},
    ]


BOOLEAN = {":p": {"S": "p"}, ":b": {"BOOL": True}}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"KeyConditionExpression": "sk = :p"}, "Query condition missed key schema element: pk"),
        ({"KeyConditionExpression": "pk > :p"}, "Query key condition not supported"),
        (
            {"KeyConditionExpression": "pk = :p AND x = :p"},
            "Query condition missed key schema element: sk",
        ),
        (
            {"KeyConditionExpression": "pk = :p AND sk = :p"},
            "One or more parameter values were invalid: Condition parameter type does not match schema type",
        ),
        (
            {"KeyConditionExpression": "pk = :p AND sk < :b", "ExpressionAttributeValues": BOOLEAN},
            "Invalid KeyConditionExpression: Incorrect operand type for operator or function; operator or function: <, operand type: BOOL",
        ),
        (
            {
                "KeyConditionExpression": "pk = :p AND sk BETWEEN :b AND :b",
                "ExpressionAttributeValues": BOOLEAN,
            },
            "Invalid KeyConditionExpression: Incorrect operand type for operator or function; operator or function: BETWEEN, operand type: BOOL",
        ),
        (
            {"KeyConditionExpression": "pk = :p AND pk = :p"},
            "Invalid KeyConditionExpression: KeyConditionExpressions must only contain one condition per key",
        ),
        (
            {"KeyConditionExpression": "pk = :p OR sk = :p"},
            "Invalid operator used in KeyConditionExpression: OR",
        ),
        (
            {"KeyConditionExpression": "attribute_exists(pk) AND sk = :p"},
            "Invalid operator used in KeyConditionExpression: attribute_exists",
        ),
        ({"IndexName": "none"}, "The table does not have the specified index: none"),
        (
            {"IndexName": "keys", "ConsistentRead": True},
            "Consistent reads are not supported on global secondary indexes",
        ),
        ({"ExclusiveStartKey": {"pk": {"S": "p"}}}, "The provided starting key is invalid"),
        (
            {"ExclusiveStartKey": {"pk": {"S": "z"}, "sk": {"N": "1"}}},
            "The provided starting key is outside query boundaries based on provided conditions",
        ),
        (
            {"FilterExpression": "pk = :p"},
            "Filter Expression can only contain non-primary key attributes: Primary key attribute: pk",
        ),
        (
            {"Select": "SPECIFIC_ATTRIBUTES"},
            "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES",
        ),
        (
            {"Limit": 0},
            "1 validation error detected: Value at 'Limit' failed to satisfy constraint: Member must have value greater than or equal to 1",
        ),
    ],
)
def test_wrong_queries_get_aws_words(db: Any, request_: Any, message: str) -> None:
    """Recorded from DynamoDB."""
    made = {k: v for k, v in request_.items() if k != "Limit"}
    if "Limit" in request_:  # boto3 checks it itself
        db.meta.events.register(
            "before-sign",
            lambda request, **_: setattr(request, "data", request.data[:-1] + b', "Limit": 0}'),
        )
    assert refusal(query, db, **made) == message


def test_a_page_ends_at_a_megabyte_and_goes_on(db: Any) -> None:
    """No answer grows without bound, and paging loses nothing."""
    for i in range(5):
        db.put_item(
            TableName="rows",
            Item={"pk": {"S": "big"}, "sk": {"N": str(i)}, "x": {"S": "x" * 390_000}},
        )
    page = query(db, ExpressionAttributeValues={":p": {"S": "big"}})
    assert page["Count"] == 3
    rest = query(
        db,
        ExpressionAttributeValues={":p": {"S": "big"}},
        ExclusiveStartKey=page["LastEvaluatedKey"],
    )
    assert [i["sk"]["N"] for i in page["Items"] + rest["Items"]] == list("01234")


def test_a_global_query_reads_only_its_own_rows(platform: Any, db: Any) -> None:
    """Cost grows with what a call touches: the index holds what it projects."""
    from stratolite.core.store import LmdbReading

    read: list[bytes] = []
    original = LmdbReading.get
    LmdbReading.get = lambda self, key: read.append(key) or original(self, key)  # type: ignore[method-assign]
    try:
        page = query(
            db,
            IndexName="some",
            KeyConditionExpression="g = :g",
            ExpressionAttributeValues={":g": {"S": "g"}},
        )
    finally:
        LmdbReading.get = original  # type: ignore[method-assign]
    assert page["Count"] == 6
    assert not [key for key in read if b"item" in key]


def test_the_longest_keys_work_and_stay_in_order(client: Any) -> None:
    """2,048 and 1,024 bytes, all zeros and all ones: the worst the encoding can be given."""
    db = client("dynamodb")
    db.create_table(
        TableName="long",
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": n, "AttributeType": "B"} for n in ("pk", "sk", "g", "h")
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "g-and-h",
                "KeySchema": [
                    {"AttributeName": "g", "KeyType": "HASH"},
                    {"AttributeName": "h", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    hash_key = {"B": b"\0" * 2048}
    ranges = [b"\0" * 1023, b"\0" * 1024, b"\0" * 1023 + b"\1", b"\xff" * 1023, b"\xff" * 1024]
    for value in reversed(ranges):
        db.put_item(
            TableName="long",
            Item={"pk": hash_key, "sk": {"B": value}, "g": hash_key, "h": {"B": value}},
        )
    for named, name, order in (({}, "pk", "sk"), ({"IndexName": "g-and-h"}, "g", "h")):
        query = {
            "TableName": "long",
            "ExpressionAttributeValues": {":p": hash_key},
            "KeyConditionExpression": f"{name} = :p",
            **named,
        }
        pages = db.get_paginator("query").paginate(**query, PaginationConfig={"PageSize": 2})
        assert [row[order]["B"] for page in pages for row in page["Items"]] == ranges
    query["KeyConditionExpression"] += " AND begins_with(h, :h)"
    query["ExpressionAttributeValues"][":h"] = {"B": b"\xff" * 1000}
    assert db.query(**query)["Count"] == 2
    db.delete_item(TableName="long", Key={"pk": hash_key, "sk": {"B": ranges[0]}})
    assert db.scan(TableName="long", IndexName="g-and-h")["Count"] == 4
