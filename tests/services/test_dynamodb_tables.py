"""Tables: made, described, changed, dropped; indexes filled later; time to live; CloudFormation."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from eventing import advance

from stratolite.service import Spec

HASH = [{"AttributeName": "pk", "KeyType": "HASH"}]
PK = [{"AttributeName": "pk", "AttributeType": "S"}]
ON_DEMAND = {"KeySchema": HASH, "AttributeDefinitions": PK, "BillingMode": "PAY_PER_REQUEST"}
UNITS = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6}


@pytest.fixture
def db(client: Any) -> Any:
    return client("dynamodb")


def eventually(holds: Callable[[], bool]) -> None:
    """Workers act soon, not at once: look again until it holds, at most ten seconds."""
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.01)


def refused(code: str, call: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**request)
    assert caught.value.response["Error"]["Code"] == code, caught.value
    return caught.value.response["Error"]["Message"]


def test_a_table_is_described_as_it_was_made(db: Any) -> None:
    """CREATING in the first answer, ACTIVE afterwards, as SDK waiters expect."""
    made = db.create_table(
        TableName="full",
        KeySchema=HASH,
        AttributeDefinitions=[*PK, {"AttributeName": "g", "AttributeType": "N"}],
        ProvisionedThroughput=UNITS,
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-g",
                "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
                "ProvisionedThroughput": UNITS,
            }
        ],
        Tags=[{"Key": "team", "Value": "a"}],
        TableClass="STANDARD_INFREQUENT_ACCESS",
        DeletionProtectionEnabled=True,
    )["TableDescription"]
    assert made["TableStatus"] == "CREATING"
    db.get_waiter("table_exists").wait(
        TableName="full", WaiterConfig={"Delay": 0, "MaxAttempts": 1}
    )
    table = db.describe_table(TableName="full")["Table"]
    assert table["TableStatus"] == "ACTIVE"
    assert table["TableArn"] == "arn:aws:dynamodb:us-east-1:000000000000:table/full"
    assert table["ProvisionedThroughput"] == {"NumberOfDecreasesToday": 0, **UNITS}
    assert table["TableClassSummary"]["TableClass"] == "STANDARD_INFREQUENT_ACCESS"
    (index,) = table["GlobalSecondaryIndexes"]
    assert (index["IndexStatus"], index["IndexArn"]) == (
        "ACTIVE",
        table["TableArn"] + "/index/by-g",
    )
    assert db.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"] == [
        {"Key": "team", "Value": "a"}
    ]
    assert "protected against deletion" in refused(
        "ValidationException", db.delete_table, TableName="full"
    )
    db.update_table(TableName="full", DeletionProtectionEnabled=False)
    assert db.delete_table(TableName="full")["TableDescription"]["TableStatus"] == "DELETING"
    assert (
        refused("ResourceNotFoundException", db.describe_table, TableName="full")
        == "Requested resource not found: Table: full not found"
    )


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            {**ON_DEMAND, "BillingMode": "PROVISIONED"},
            "One or more parameter values were invalid: ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        ),
        (
            {**ON_DEMAND, "ProvisionedThroughput": UNITS},
            "One or more parameter values were invalid: Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
        ),
        (
            {**ON_DEMAND, "KeySchema": [{"AttributeName": "pk", "KeyType": "RANGE"}]},
            "Invalid KeySchema: The first KeySchemaElement is not a HASH key type",
        ),
        (
            {
                **ON_DEMAND,
                "AttributeDefinitions": [*PK, {"AttributeName": "z", "AttributeType": "S"}],
            },
            "One or more parameter values were invalid: Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions",
        ),
        (
            {**ON_DEMAND, "KeySchema": [{"AttributeName": "q", "KeyType": "HASH"}]},
            "One or more parameter values were invalid: Some index key attributes are not defined in AttributeDefinitions. Keys: [q], AttributeDefinitions: [pk]",
        ),
        (
            {**ON_DEMAND, "GlobalTableSettingsReplicationMode": "ENABLED"},
            "CreateTable: GlobalTableSettingsReplicationMode is not offered by Stratolite; see docs/coverage.md",
        ),
    ],
)
def test_tables_that_cannot_be_are_refused(db: Any, request_: Any, message: str) -> None:
    """AWS's words where AWS refuses; ours, naming the parameter, for what is not offered."""
    assert refused("ValidationException", db.create_table, TableName="bad", **request_) == message
    assert db.list_tables()["TableNames"] == []


def test_a_second_table_of_the_name_is_refused(db: Any) -> None:
    """And in another region or account it is another table."""
    db.create_table(TableName="one", **ON_DEMAND)
    assert (
        refused("ResourceInUseException", db.create_table, TableName="one", **ON_DEMAND)
        == "Table already exists: one"
    )


def test_tables_of_accounts_and_regions_are_apart(client: Any) -> None:
    """One log holds them all; nobody sees another's."""
    for i, (account, region) in enumerate(
        (
            ("000000000000", "us-east-1"),
            ("000000000000", "eu-west-1"),
            ("111111111111", "us-east-1"),
        )
    ):
        db = client("dynamodb", account=account, region=region)
        db.create_table(TableName="same", **ON_DEMAND)
        db.put_item(TableName="same", Item={"pk": {"S": "a"}, "i": {"N": str(i)}})
    assert client("dynamodb").get_item(TableName="same", Key={"pk": {"S": "a"}})["Item"]["i"] == {
        "N": "0"
    }


def test_tables_are_listed_in_pages(db: Any) -> None:
    """By name, 100 at most."""
    for i in range(5):
        db.create_table(TableName=f"table-{i}", **ON_DEMAND)
    first = db.list_tables(Limit=3)
    assert (first["TableNames"], first["LastEvaluatedTableName"]) == (
        [f"table-{i}" for i in range(3)],
        "table-2",
    )
    rest = db.list_tables(Limit=3, ExclusiveStartTableName="table-2")
    assert rest["TableNames"] == ["table-3", "table-4"]
    assert "LastEvaluatedTableName" not in rest


def test_a_table_made_again_is_empty_at_once_and_old_rows_go(platform: Any, db: Any) -> None:
    """Rows lie under the table's number, so dropping costs nothing; a worker sweeps them, a slice a transaction."""

    def rows() -> int:
        async def count() -> int:
            return await platform.cloud.db.transact(
                lambda tx: sum(1 for k, _ in tx.scan((b"", b"\xff")) if b"item" in k)
            )

        return platform.run(count())

    db.create_table(TableName="again", **ON_DEMAND)
    for i in range(0, 1200, 25):
        db.batch_write_item(
            RequestItems={
                "again": [{"PutRequest": {"Item": {"pk": {"S": str(i + j)}}}} for j in range(25)]
            }
        )
    assert rows() == 1200
    db.delete_table(TableName="again")
    db.create_table(TableName="again", **ON_DEMAND)
    assert db.scan(TableName="again")["Count"] == 0
    db.put_item(TableName="again", Item={"pk": {"S": "new"}})
    eventually(lambda: rows() == 1)
    assert db.scan(TableName="again")["Count"] == 1


def test_an_index_added_later_is_filled_and_kept(platform: Any, db: Any) -> None:
    """The backfill works in slices beside the writes, and goes on after a restart."""
    db.create_table(TableName="late", **ON_DEMAND)
    for i in range(0, 500, 25):
        db.batch_write_item(
            RequestItems={
                "late": [
                    {
                        "PutRequest": {
                            "Item": {
                                "pk": {"S": f"{i + j:04}"},
                                "g": {"S": "g"} if j % 2 else {"N": "1"},
                                "junk": {"S": "j"},
                            }
                        }
                    }
                    for j in range(25)
                ]
            }
        )
    answer = db.update_table(
        TableName="late",
        AttributeDefinitions=[*PK, {"AttributeName": "g", "AttributeType": "S"}],
        GlobalSecondaryIndexUpdates=[
            {
                "Create": {
                    "IndexName": "by-g",
                    "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
            }
        ],
    )
    assert answer["TableDescription"]["GlobalSecondaryIndexes"][0]["IndexStatus"] == "CREATING"
    platform.reopen()
    db.delete_item(TableName="late", Key={"pk": {"S": "0001"}})
    db.put_item(TableName="late", Item={"pk": {"S": "more"}, "g": {"S": "g"}})
    eventually(
        lambda: (
            db.describe_table(TableName="late")["Table"]["GlobalSecondaryIndexes"][0]["IndexStatus"]
            == "ACTIVE"
        )
    )
    query = {
        "TableName": "late",
        "IndexName": "by-g",
        "KeyConditionExpression": "g = :g",
        "ExpressionAttributeValues": {":g": {"S": "g"}},
    }
    found = [
        row["pk"]["S"]
        for page in db.get_paginator("query").paginate(**query)
        for row in page["Items"]
    ]
    assert sorted(found) == sorted(
        [f"{n:04}" for n in range(500) if (n % 25) % 2 and n != 1] + ["more"]
    )
    db.update_table(
        TableName="late", GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "by-g"}}]
    )
    assert (
        refused("ValidationException", db.query, **query)
        == "The table does not have the specified index: by-g"
    )
    assert db.describe_table(TableName="late")["Table"]["AttributeDefinitions"] == PK


def test_an_item_must_fit_the_indexes(db: Any) -> None:
    """A key attribute of an index may be absent, but not of another type or empty."""
    db.create_table(
        TableName="sparse",
        KeySchema=HASH,
        AttributeDefinitions=[*PK, {"AttributeName": "g", "AttributeType": "S"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-g",
                "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    put = {"TableName": "sparse"}
    message = refused(
        "ValidationException", db.put_item, **put, Item={"pk": {"S": "a"}, "g": {"N": "1"}}
    )
    assert (
        message
        == "One or more parameter values were invalid: Type mismatch for Index Key g Expected: S Actual: N IndexName: by-g"
    )
    message = refused(
        "ValidationException", db.put_item, **put, Item={"pk": {"S": "a"}, "g": {"S": ""}}
    )
    assert message.endswith("cannot contain an empty string value. IndexName: by-g, IndexKey: g")
    # A value of the request is named; one that only the item could tell is not.
    one = {"ExpressionAttributeValues": {":n": {"N": "1"}}}
    for expression, words in (
        ("SET g = :n", "Type mismatch for Index Key g Expected: S Actual: N IndexName: by-g"),
        ("SET n = :n", ""),
        ("SET g = n", "attempted to update the secondary index key to unsupported type"),
    ):
        update = {"Key": {"pk": {"S": "b"}}, "UpdateExpression": expression}
        update |= one if ":n" in expression else {}
        if not words:
            db.update_item(**put, **update)
        else:
            assert refused("ValidationException", db.update_item, **put, **update).endswith(words)
    db.delete_item(**put, Key={"pk": {"S": "b"}})
    cost = db.put_item(
        **put, Item={"pk": {"S": "a"}, "g": {"S": "1"}}, ReturnConsumedCapacity="INDEXES"
    )["ConsumedCapacity"]
    assert (cost["CapacityUnits"], cost["GlobalSecondaryIndexes"]) == (
        2.0,
        {"by-g": {"CapacityUnits": 1.0}},
    )
    moved = db.put_item(
        **put, Item={"pk": {"S": "a"}, "g": {"S": "2"}}, ReturnConsumedCapacity="TOTAL"
    )["ConsumedCapacity"]
    assert moved["CapacityUnits"] == 3.0
    assert db.scan(TableName="sparse", IndexName="by-g")["Items"] == [
        {"pk": {"S": "a"}, "g": {"S": "2"}}
    ]


def test_billing_changes_both_ways(db: Any) -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTable.html"""
    db.create_table(TableName="bill", **ON_DEMAND)
    db.update_table(TableName="bill", BillingMode="PROVISIONED", ProvisionedThroughput=UNITS)
    table = db.describe_table(TableName="bill")["Table"]
    assert table["ProvisionedThroughput"]["WriteCapacityUnits"] == 6
    assert refused(
        "ValidationException", db.update_table, TableName="bill", ProvisionedThroughput=UNITS
    ).startswith("The provisioned throughput for the table will not change.")
    db.update_table(TableName="bill", BillingMode="PAY_PER_REQUEST")
    assert (
        db.describe_table(TableName="bill")["Table"]["BillingModeSummary"]["BillingMode"]
        == "PAY_PER_REQUEST"
    )


def test_items_past_their_time_go_and_others_stay(platform: Any, db: Any) -> None:
    """Set before or after TTL was switched on; index rows go with their item."""
    db.create_table(
        TableName="ttl",
        KeySchema=HASH,
        AttributeDefinitions=[*PK, {"AttributeName": "g", "AttributeType": "S"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-g",
                "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    now = int(time.time())
    times = {"old": now - 100, "later": now + 3600, "ancient": now - 6 * 365 * 86400}

    def put(suffix: str) -> None:
        for name, at in times.items():
            db.put_item(
                TableName="ttl",
                Item={"pk": {"S": name + suffix}, "g": {"S": "g"}, "expires": {"N": str(at)}},
            )
        db.put_item(
            TableName="ttl", Item={"pk": {"S": "words" + suffix}, "expires": {"S": str(now - 100)}}
        )

    def left() -> set[str]:
        return {row["pk"]["S"] for row in db.scan(TableName="ttl")["Items"]}

    put("-before")
    wanted = {"AttributeName": "expires", "Enabled": True}
    db.update_time_to_live(TableName="ttl", TimeToLiveSpecification=wanted)
    described = db.describe_time_to_live(TableName="ttl")["TimeToLiveDescription"]
    assert described == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}
    assert (
        refused(
            "ValidationException",
            db.update_time_to_live,
            TableName="ttl",
            TimeToLiveSpecification=wanted,
        )
        == "TimeToLive is already enabled"
    )
    stay = {f"{name}-before" for name in ("later", "ancient", "words")}
    eventually(lambda: left() == stay)
    put("-after")
    stay |= {f"{name}-after" for name in ("later", "ancient", "words")}
    eventually(lambda: left() == stay)
    assert {row["pk"]["S"] for row in db.scan(TableName="ttl", IndexName="by-g")["Items"]} == {
        n for n in stay if "words" not in n
    }
    off = {
        "TableName": "ttl",
        "TimeToLiveSpecification": {"AttributeName": "expires", "Enabled": False},
    }
    for moved_s in (1, 3500):  # a change lasts an hour of the cloud clock
        advance(platform, moved_s)
        said = refused("ValidationException", db.update_time_to_live, **off)
        assert said == "Time to live has been modified multiple times within a fixed interval"
    advance(platform, 120)
    db.update_time_to_live(**off)
    assert db.describe_time_to_live(TableName="ttl")["TimeToLiveDescription"] == {
        "TimeToLiveStatus": "DISABLED"
    }
    put("-off")
    assert "old-off" in left()


def test_tags_come_and_go(db: Any) -> None:
    """By ARN, as the tagging tools do."""
    arn = db.create_table(TableName="tags", **ON_DEMAND)["TableDescription"]["TableArn"]
    db.tag_resource(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    db.untag_resource(ResourceArn=arn, TagKeys=["a", "c"])
    assert db.list_tags_of_resource(ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]
    refused(
        "ValidationException",
        db.tag_resource,
        ResourceArn=arn,
        Tags=[{"Key": "aws:x", "Value": "1"}],
    )


def test_iam_is_asked_for_the_index_and_every_table(platform: Any, client: Any, db: Any) -> None:
    """A batch or a transaction needs each of its tables, a query of an index the index."""
    service = platform.cloud.service("dynamodb")

    class Here:
        account, region = "000000000000", "us-east-1"

    arn = "arn:aws:dynamodb:us-east-1:000000000000:table/"
    assert service.access(Here, "Query", {"TableName": "t", "IndexName": "i"}) == (
        ("dynamodb:Query", f"{arn}t/index/i"),
    )
    assert service.access(Here, "BatchGetItem", {"RequestItems": {"a": {}, "b": {}}}) == [
        ("dynamodb:BatchGetItem", arn + "a"),
        ("dynamodb:BatchGetItem", arn + "b"),
    ]
    asked = service.access(
        Here,
        "TransactWriteItems",
        {"TransactItems": [{"Put": {"TableName": "a"}}, {"ConditionCheck": {"TableName": "b"}}]},
    )
    assert asked == [("dynamodb:PutItem", arn + "a"), ("dynamodb:ConditionCheckItem", arn + "b")]
    for junk in ({}, {"TransactItems": 1}, {"TransactItems": [1, {"Put": 2}]}):
        assert service.access(Here, "TransactWriteItems", junk) == (
            ("dynamodb:TransactWriteItems", "*"),
        )


def spec(**properties: Any) -> Spec:
    return Spec("AWS::DynamoDB::Table", "Table", "stack", "arn:stack", "t" * 16, properties)


def test_cloudformation_makes_changes_and_removes_a_table(platform: Any, db: Any) -> None:
    """Numbers may be strings; each step may be repeated; Ref is the name."""
    call_of = __import__("harness").Harness(platform.cloud).call
    resource = platform.cloud.resource("AWS::DynamoDB::Table")
    first = spec(
        AttributeDefinitions=PK,
        KeySchema=HASH,
        ProvisionedThroughput={"ReadCapacityUnits": "1", "WriteCapacityUnits": 1},
        TimeToLiveSpecification={"AttributeName": "at", "Enabled": "true"},
        Tags=[{"Key": "k", "Value": "v"}],
    )
    made = platform.run(resource.create(call_of(), first))
    assert platform.run(resource.create(call_of(), first)) == made
    assert made.attributes["Arn"].endswith("table/" + made.physical_id)
    assert (
        db.describe_time_to_live(TableName=made.physical_id)["TimeToLiveDescription"][
            "TimeToLiveStatus"
        ]
        == "ENABLED"
    )
    db.put_item(TableName=made.physical_id, Item={"pk": {"S": "a"}, "g": {"S": "g"}})
    second = spec(
        AttributeDefinitions=[*PK, {"AttributeName": "g", "AttributeType": "S"}],
        KeySchema=HASH,
        BillingMode="PAY_PER_REQUEST",
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-g",
                "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        DeletionProtectionEnabled=True,
    )
    advance(platform, 3601)  # a change of time to live lasts an hour
    for _ in range(2):
        assert platform.run(resource.update(call_of(), made.physical_id, first, second)) == made
    assert db.scan(TableName=made.physical_id, IndexName="by-g")["Count"] == 1
    tags = {t["Key"] for t in db.list_tags_of_resource(ResourceArn=made.attributes["Arn"])["Tags"]}
    assert tags == {"aws:cloudformation:stack-id", "aws:cloudformation:logical-id"}
    assert (
        db.describe_time_to_live(TableName=made.physical_id)["TimeToLiveDescription"][
            "TimeToLiveStatus"
        ]
        == "DISABLED"
    )
    with pytest.raises(Exception, match="protected against deletion"):
        platform.run(resource.delete(call_of(), made.physical_id, second))
    db.update_table(TableName=made.physical_id, DeletionProtectionEnabled=False)
    for _ in range(2):
        platform.run(resource.delete(call_of(), made.physical_id, second))
    assert db.list_tables()["TableNames"] == []


def test_cloudformation_does_not_take_over_a_table(platform: Any, db: Any) -> None:
    """A table somebody else made is not adopted."""
    call_of = __import__("harness").Harness(platform.cloud).call
    resource = platform.cloud.resource("AWS::DynamoDB::Table")
    db.create_table(TableName="mine", **ON_DEMAND)
    with pytest.raises(Exception, match="Table already exists: mine"):
        platform.run(resource.create(call_of(), spec(TableName="mine", **ON_DEMAND)))


def test_a_policy_may_hold_a_user_to_its_own_partition(client: Any, db: Any) -> None:
    """dynamodb:LeadingKeys: ForAllValues is true of nothing, so a key we failed to name would let everyone in."""
    import json

    db.create_table(TableName="own", **ON_DEMAND)
    iam = client("iam")
    iam.create_user(UserName="ann")
    document = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "dynamodb:*",
                "Resource": "*",
                "Condition": {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["ann"]}},
            }
        ],
    }
    iam.put_user_policy(UserName="ann", PolicyName="own", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    ann = client("dynamodb", key=key["AccessKeyId"], secret=key["SecretAccessKey"])

    def query(name: str) -> dict[str, Any]:
        return {
            "KeyConditionExpression": "#k = :k",
            "ExpressionAttributeNames": {"#k": "pk"},
            "ExpressionAttributeValues": {":k": {"S": name}},
        }

    def attempts(name: str) -> list[tuple[Any, dict[str, Any]]]:
        item = {"pk": {"S": name}}
        return [
            (ann.put_item, {"TableName": "own", "Item": item}),
            (ann.get_item, {"TableName": "own", "Key": item}),
            (ann.query, {"TableName": "own", **query(name)}),
            (
                ann.batch_get_item,
                {
                    "RequestItems": {
                        "own": {
                            "Keys": [{"pk": {"S": "ann"}}, {"pk": {"S": name + "!"}}]
                            if name != "ann"
                            else [item]
                        }
                    }
                },
            ),
            (ann.batch_write_item, {"RequestItems": {"own": [{"DeleteRequest": {"Key": item}}]}}),
            (
                ann.transact_write_items,
                {"TransactItems": [{"Put": {"TableName": "own", "Item": item}}]},
            ),
        ]

    for call, request in attempts("ann"):
        call(**request)
    for call, request in attempts("bob"):
        refused("AccessDeniedException", call, **request)
