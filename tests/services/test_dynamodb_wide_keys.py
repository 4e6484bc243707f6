"""Global indexes whose keys have several attributes: up to four of the hash key, up to four of the range key.

Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.DesignPattern.MultiAttributeKeys.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

HASH = [{"AttributeName": "id", "KeyType": "HASH"}]
ID = {"AttributeName": "id", "AttributeType": "S"}
BY_PLACE = {
    "IndexName": "by-place",
    "KeySchema": [
        {"AttributeName": "cup", "KeyType": "HASH"},
        {"AttributeName": "place", "KeyType": "HASH"},
        {"AttributeName": "round", "KeyType": "RANGE"},
        {"AttributeName": "n", "KeyType": "RANGE"},
        {"AttributeName": "id", "KeyType": "RANGE"},
    ],
    "Projection": {"ProjectionType": "KEYS_ONLY"},
}
DEFINED = [
    ID,
    *({"AttributeName": name, "AttributeType": "S"} for name in ("cup", "place", "round")),
    {"AttributeName": "n", "AttributeType": "N"},
]
TABLE: dict[str, Any] = {
    "KeySchema": HASH,
    "AttributeDefinitions": DEFINED,
    "BillingMode": "PAY_PER_REQUEST",
    "GlobalSecondaryIndexes": [BY_PLACE],
}
ROWS = [
    ("m1", "w", "east", "final", 10),
    ("m2", "w", "east", "semi", 2),
    ("m3", "w", "east", "semi", 10),
    ("m4", "w", "east", "semi", -1),
    ("m5", "w", "west", "semi", 2),
    ("m6", "weast", "", "semi", 2),
]


def item(id_: str, cup: str, place: str, round_: str, n: int) -> dict[str, Any]:
    texts = {"id": id_, "cup": cup, "place": place, "round": round_}
    made: dict[str, Any] = {name: {"S": text} for name, text in texts.items() if text}
    return made | {"n": {"N": str(n)}, "note": {"S": "not projected"}}


@pytest.fixture
def db(client: Any) -> Any:
    return client("dynamodb")


def fill(db: Any, name: str = "table") -> None:
    for row in ROWS:
        db.put_item(TableName=name, Item=item(*row))


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.02)


def query(db: Any, condition: str, name: str = "table", **more: Any) -> Any:
    values: dict[str, Any] = {":w": {"S": "w"}, ":e": {"S": "east"}, ":s": {"S": "semi"}}
    values |= {":2": {"N": "2"}, ":9": {"N": "9"}, ":m": {"S": "m2"}, ":f": {"S": "f"}}
    used = {
        k: v
        for k, v in values.items()
        if k in condition.replace(",", " ").replace(")", " ").split()
    }
    return db.query(
        TableName=name, IndexName="by-place", KeyConditionExpression=condition,
        ExpressionAttributeValues=used, **more,
    )  # fmt: skip


def ids(answer: Any) -> list[str]:
    return [one["id"]["S"] for one in answer["Items"]]


def refused(call: Any, *words: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(*words, **request)
    assert caught.value.response["Error"]["Code"] == "ValidationException", caught.value
    return caught.value.response["Error"]["Message"]


PLACE = "cup = :w AND place = :e"


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        (PLACE, ["m1", "m4", "m2", "m3"]),
        (f"place = :e AND #r = :s AND {PLACE[:8]}", ["m4", "m2", "m3"]),
        (f"{PLACE} AND begins_with(#r, :f)", ["m1"]),
        (f"{PLACE} AND #r < :s", ["m1"]),
        (f"{PLACE} AND #r = :s AND n >= :2", ["m2", "m3"]),
        (f"{PLACE} AND #r = :s AND n BETWEEN :2 AND :9", ["m2"]),
        (f"{PLACE} AND #r = :s AND n = :2", ["m2"]),
        (f"{PLACE} AND #r = :s AND n = :2 AND id = :m", ["m2"]),
        (f"{PLACE} AND #r = :s AND n = :2 AND id > :m", []),
    ],
)
def test_a_query_reads_the_rows_its_conditions_say(
    db: Any, condition: str, found: list[str]
) -> None:
    """In the order of all range attributes, forwards and backwards, whole and by pages of one."""
    db.create_table(TableName="table", **TABLE)
    fill(db)
    names = {"ExpressionAttributeNames": {"#r": "round"}} if "#r" in condition else {}
    whole = query(db, condition, **names)
    assert ids(whole) == found
    assert all(one.keys() == {"id", "cup", "place", "round", "n"} for one in whole["Items"])
    assert ids(query(db, condition, ScanIndexForward=False, **names)) == found[::-1]
    for forward in (True, False):
        paged, start = [], {}
        while True:
            page = query(db, condition, Limit=1, ScanIndexForward=forward, **start, **names)
            paged += ids(page)
            if "LastEvaluatedKey" not in page:
                break
            assert page["LastEvaluatedKey"].keys() == {"id", "cup", "place", "round", "n"}
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
        assert paged == (found if forward else found[::-1])


def test_conditions_that_no_range_of_keys_answers_are_refused(db: Any) -> None:
    """All of the hash key by equality, the range key from the left, nothing behind a range."""
    db.create_table(TableName="table", **TABLE)
    missed, unsupported = (
        "Query condition missed key schema element: {}",
        "Query key condition not supported",
    )
    for condition, said in (
        ("cup = :w", missed.format("place")),
        ("place = :e", missed.format("cup")),
        ("cup = :w AND place > :e", unsupported),
        (f"{PLACE} AND n = :2", missed.format("round")),
        (f"{PLACE} AND #r = :s AND id = :m", missed.format("n")),
        (f"{PLACE} AND #r > :s AND n = :2", unsupported),
        (f"{PLACE} AND begins_with(#r, :s) AND n > :2", unsupported),
        (f"{PLACE} AND #r = :s AND n = :s", "One or more parameter values were invalid: Condition parameter type does not match schema type"),
    ):  # fmt: skip
        names = {"ExpressionAttributeNames": {"#r": "round"}} if "#r" in condition else {}
        assert refused(query, db, condition, **names) == said, condition
    legacy = {
        name: {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "w"}]}
        for name in ("cup", "place", "round")
    }
    where = {"TableName": "table", "IndexName": "by-place"}
    assert db.query(**where, KeyConditions=legacy)["Count"] == 0
    start = {"id": {"S": "m2"}, "cup": {"S": "w"}, "place": {"S": "east"}, "n": {"N": "2"}}
    assert (
        refused(query, db, PLACE, ExclusiveStartKey=start) == "The provided starting key is invalid"
    )
    other = {**start, "place": {"S": "west"}, "round": {"S": "semi"}}
    assert "outside query boundaries" in refused(query, db, PLACE, ExclusiveStartKey=other)


def test_an_item_is_in_the_index_while_it_has_all_its_keys(db: Any) -> None:
    db.create_table(TableName="table", **TABLE)
    fill(db)
    scan = {"TableName": "table", "IndexName": "by-place"}
    assert sorted(ids(db.scan(**scan))) == ["m1", "m2", "m3", "m4", "m5"]
    halves = [ids(db.scan(**scan, Segment=i, TotalSegments=2)) for i in (0, 1)]
    assert sorted(halves[0] + halves[1]) == ["m1", "m2", "m3", "m4", "m5"]
    key = {"TableName": "table", "Key": {"id": {"S": "m2"}}}
    db.update_item(**key, UpdateExpression="REMOVE n")
    assert ids(query(db, PLACE)) == ["m1", "m4", "m3"]
    db.update_item(
        **key, UpdateExpression="SET n = :n", ExpressionAttributeValues={":n": {"N": "99"}}
    )
    assert ids(query(db, PLACE)) == ["m1", "m4", "m3", "m2"]
    db.delete_item(TableName="table", Key={"id": {"S": "m4"}})
    assert ids(query(db, PLACE)) == ["m1", "m3", "m2"]
    (index,) = db.describe_table(TableName="table")["Table"]["GlobalSecondaryIndexes"]
    assert (index["KeySchema"], index["ItemCount"]) == (BY_PLACE["KeySchema"], 4)
    wrong = item("m9", "w", "east", "semi", 1) | {"n": {"S": "1"}}
    assert "Type mismatch for Index Key n" in refused(db.put_item, TableName="table", Item=wrong)
    long = item("m9", "w" * 1000, "e" * 1049, "semi", 1)
    said = refused(db.put_item, TableName="table", Item=long)
    assert "Size of hashkey has exceeded the maximum size limit of2048 bytes" in said


def test_key_schemas_that_cannot_be_are_refused(db: Any) -> None:
    """Also those of tables and local indexes, which have no keys of several attributes."""

    def made(*kinds: str, key_schema: Any = HASH) -> str:
        schema = [{"AttributeName": f"a{i}", "KeyType": kind} for i, kind in enumerate(kinds)]
        defined = [{"AttributeName": k["AttributeName"], "AttributeType": "S"} for k in schema]
        index = {**BY_PLACE, "KeySchema": schema}
        return refused(
            db.create_table, TableName="table", KeySchema=key_schema, AttributeDefinitions=[ID, *defined],
            BillingMode="PAY_PER_REQUEST", GlobalSecondaryIndexes=[index],
        )  # fmt: skip

    assert "5 HASH key attributes exceed the limit of 4" in made(*["HASH"] * 5)
    assert "5 RANGE key attributes exceed the limit of 4" in made("HASH", *["RANGE"] * 5)
    assert "must come before RANGE" in made("HASH", "RANGE", "HASH")
    assert "first KeySchemaElement is not a HASH" in made("RANGE", "HASH")
    twice = [*HASH, {"AttributeName": "a0", "KeyType": "HASH"}]
    said = made("HASH", key_schema=twice)
    assert "The second KeySchemaElement is not a RANGE key type" in said
    most = [{"AttributeName": f"a{i}", "KeyType": "HASH" if i < 4 else "RANGE"} for i in range(8)]
    defined = [{"AttributeName": f"a{i}", "AttributeType": "S"} for i in range(8)]
    db.create_table(
        TableName="table", KeySchema=HASH, AttributeDefinitions=[ID, *defined],
        BillingMode="PAY_PER_REQUEST", GlobalSecondaryIndexes=[{**BY_PLACE, "KeySchema": most}],
    )  # fmt: skip


def test_statements_reach_its_rows(db: Any) -> None:
    """By a range of keys where the whole hash key is said, IN too; else by reading all."""
    db.create_table(TableName="table", **TABLE)
    fill(db)

    def said(where: str, *parameters: Any, order: str = "") -> list[str]:
        text = f'SELECT id FROM "table"."by-place" WHERE {where}{order}'
        answer = db.execute_statement(
            Statement=text, Parameters=list(parameters), ReturnConsumedCapacity="TOTAL"
        )
        return ids(answer)

    w, east, semi = ({"S": text} for text in ("w", "east", "semi"))
    place = "cup = ? AND place = ?"
    assert said(place, w, east) == ["m1", "m4", "m2", "m3"]
    assert said(f"{place} AND round = ? AND n > ?", w, east, semi, {"N": "0"}) == ["m2", "m3"]
    assert said(f"{place} AND n > ?", w, east, {"N": "2"}) == ["m1", "m3"], "a filter"
    assert sorted(said("cup = ? AND place IN (?, ?)", w, east, {"S": "west"})) == [
        "m1", "m2", "m3", "m4", "m5",
    ]  # fmt: skip
    assert sorted(said("place = ?", east)) == ["m1", "m2", "m3", "m4"], "reads all"
    assert said(place, w, east, order=" ORDER BY round DESC, n DESC") == ["m3", "m2", "m4", "m1"]
    with pytest.raises(ClientError, match="in one direction"):
        said(place, w, east, order=" ORDER BY round DESC, n ASC")


def test_it_is_made_later_and_goes_where_its_table_goes(db: Any, client: Any) -> None:
    """Back-filled, restored from a backup, replicated to another region."""
    db.create_table(
        TableName="table", KeySchema=HASH, AttributeDefinitions=[ID], BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )  # fmt: skip
    fill(db)
    db.update_table(
        TableName="table", AttributeDefinitions=DEFINED, GlobalSecondaryIndexUpdates=[{"Create": BY_PLACE}]
    )  # fmt: skip

    def index(of: Any, name: str) -> Any:
        return of.describe_table(TableName=name)["Table"]["GlobalSecondaryIndexes"][0]

    eventually(lambda: index(db, "table")["IndexStatus"] == "ACTIVE")
    found = ["m1", "m4", "m2", "m3"]
    assert ids(query(db, PLACE)) == found
    backup = db.create_backup(TableName="table", BackupName="one")["BackupDetails"]["BackupArn"]
    eventually(
        lambda: db.describe_backup(BackupArn=backup)["BackupDescription"]["BackupDetails"]["BackupStatus"]
        == "AVAILABLE"
    )  # fmt: skip
    db.restore_table_from_backup(TargetTableName="again", BackupArn=backup)
    eventually(lambda: db.describe_table(TableName="again")["Table"]["TableStatus"] == "ACTIVE")
    assert ids(query(db, PLACE, "again")) == found
    db.update_table(TableName="table", ReplicaUpdates=[{"Create": {"RegionName": "eu-west-1"}}])
    west = client("dynamodb", region="eu-west-1")

    def arrived() -> bool:
        replicas = db.describe_table(TableName="table")["Table"]["Replicas"]
        return [r["ReplicaStatus"] for r in replicas] == ["ACTIVE"]

    eventually(arrived)
    assert ids(query(west, PLACE)) == found
    db.delete_item(TableName="table", Key={"id": {"S": "m4"}})
    eventually(lambda: ids(query(west, PLACE)) == ["m1", "m2", "m3"])


def test_a_template_has_it(db: Any, client: Any) -> None:
    cloudformation = client("cloudformation")
    resource = {"Type": "AWS::DynamoDB::Table", "Properties": {"TableName": "table", **TABLE}}
    body = json.dumps({"Resources": {"Table": resource}})
    cloudformation.create_stack(StackName="stack", TemplateBody=body)
    waiter = cloudformation.get_waiter("stack_create_complete")
    waiter.wait(StackName="stack", WaiterConfig={"Delay": 0.05, "MaxAttempts": 400})
    fill(db)
    assert ids(query(db, PLACE)) == ["m1", "m4", "m2", "m3"]


def test_a_policy_on_leading_keys_is_asked_for_each_hash_attribute(client: Any, db: Any) -> None:
    """What a Query names of the hash key are its leading keys: all must be among the allowed."""
    db.create_table(TableName="table", **TABLE)
    fill(db)
    iam = client("iam")
    iam.create_user(UserName="ann")
    condition = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["w", "east"]}}
    statement = {
        "Effect": "Allow",
        "Action": "dynamodb:Query",
        "Resource": "*",
        "Condition": condition,
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="ann", PolicyName="some", PolicyDocument=document)
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    ann = client("dynamodb", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    assert len(ids(query(ann, PLACE))) == 4
    with pytest.raises(ClientError, match="not authorized"):
        query(ann, "cup = :w AND place = :s")
