"""What tables are told of themselves beside items: counts, policies, warm throughput."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

PK = [{"AttributeName": "pk", "AttributeType": "S"}]
HASH = [{"AttributeName": "pk", "KeyType": "HASH"}]
ON_DEMAND = {"KeySchema": HASH, "AttributeDefinitions": PK, "BillingMode": "PAY_PER_REQUEST"}
OTHER = "111111111111"


@pytest.fixture
def db(client: Any) -> Any:
    return client("dynamodb")


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.01)


def refused(code: str, call: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**request)
    assert caught.value.response["Error"]["Code"] == code, caught.value
    return caught.value.response["Error"]["Message"]


def table(db: Any, name: str = "table") -> Any:
    return db.describe_table(TableName=name)["Table"]


def test_items_and_bytes_are_counted(db: Any) -> None:
    """At once, for the table and each index; AWS brings the same numbers up to date every six hours."""
    by_g = {
        "IndexName": "by-g",
        "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "KEYS_ONLY"},
    }
    g = {"AttributeName": "g", "AttributeType": "S"}
    db.create_table(
        TableName="table",
        **{**ON_DEMAND, "AttributeDefinitions": [*PK, g]},
        GlobalSecondaryIndexes=[by_g],
    )
    for i in range(6):
        item = {"pk": {"S": str(i)}, **({"g": {"S": "x"}} if i % 2 else {})}
        db.put_item(TableName="table", Item=item)
        db.put_item(TableName="table", Item=item)
    key = {"pk": {"S": "1"}}
    db.update_item(TableName="table", Key=key, UpdateExpression="REMOVE g")
    db.delete_item(TableName="table", Key={"pk": {"S": "0"}})
    db.delete_item(TableName="table", Key={"pk": {"S": "none"}})
    assert table(db)["ItemCount"] == 5
    assert table(db)["GlobalSecondaryIndexes"][0]["ItemCount"] == 2
    stored = sum(
        len(json.dumps(i, separators=(",", ":"))) for i in db.scan(TableName="table")["Items"]
    )
    assert table(db)["TableSizeBytes"] == stored
    again = {**by_g, "IndexName": "again"}
    db.update_table(
        TableName="table", AttributeDefinitions=[g], GlobalSecondaryIndexUpdates=[{"Create": again}]
    )
    for i in range(10, 20):
        db.put_item(TableName="table", Item={"pk": {"S": str(i)}, "g": {"S": "x"}})
        db.put_item(TableName="table", Item={"pk": {"S": str(i)}, "g": {"S": "y"}})
    db.delete_item(TableName="table", Key={"pk": {"S": "3"}})

    def indexes() -> dict[str, Any]:
        return {i["IndexName"]: i for i in table(db)["GlobalSecondaryIndexes"]}

    eventually(lambda: indexes()["again"]["IndexStatus"] == "ACTIVE")
    assert {i["ItemCount"] for i in indexes().values()} == {11}
    assert len({i["IndexSizeBytes"] for i in indexes().values()}) == 1
    for item in db.scan(TableName="table")["Items"]:
        db.delete_item(TableName="table", Key={"pk": item["pk"]})
    assert (table(db)["ItemCount"], table(db)["TableSizeBytes"]) == (0, 0)
    assert {(i["ItemCount"], i["IndexSizeBytes"]) for i in indexes().values()} == {(0, 0)}


def policy(effect: str, principal: Any, *actions: str, resource: str = "*") -> str:
    statement = {
        "Effect": effect,
        "Principal": principal,
        "Action": [f"dynamodb:{a}" for a in actions],
        "Resource": resource,
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_a_policy_opens_a_table_to_another_account(client: Any, db: Any) -> None:
    """By its ARN, for the actions it names, and only where the other account's own policies allow it too.

    Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/rbac-cross-account-access.html
    """
    made = db.create_table(
        TableName="table",
        **ON_DEMAND,
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
    )["TableDescription"]
    arn, stream = made["TableArn"], made["LatestStreamArn"]
    there = client("dynamodb", account=OTHER)
    key = {"pk": {"S": "a"}}
    refused("AccessDeniedException", there.put_item, TableName=arn, Item=key)
    text = policy("Allow", {"AWS": OTHER}, "PutItem", "GetItem", "DescribeTable", resource=arn)
    revision = db.put_resource_policy(ResourceArn=arn, Policy=text)["RevisionId"]
    assert db.get_resource_policy(ResourceArn=arn)["Policy"] == text
    there.put_item(TableName=arn, Item=key)
    assert db.get_item(TableName="table", Key=key)["Item"] == key
    assert there.describe_table(TableName=arn)["Table"]["TableArn"] == arn
    refused("AccessDeniedException", there.delete_item, TableName=arn, Key=key)
    refused("AccessDeniedException", there.scan, TableName=arn)
    iam = client("iam", account=OTHER)
    iam.create_user(UserName="u")
    keys = iam.create_access_key(UserName="u")["AccessKey"]
    user = client("dynamodb", key=keys["AccessKeyId"], secret=keys["SecretAccessKey"])
    refused("AccessDeniedException", user.get_item, TableName=arn, Key=key)
    mine = {"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": arn}
    iam.put_user_policy(
        UserName="u",
        PolicyName="p",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [mine]}),
    )
    assert user.get_item(TableName=arn, Key=key)["Item"] == key
    reader = client("dynamodbstreams", account=OTHER)
    refused("AccessDeniedException", reader.describe_stream, StreamArn=stream)
    db.put_resource_policy(
        ResourceArn=stream, Policy=policy("Allow", {"AWS": OTHER}, "DescribeStream")
    )
    assert reader.describe_stream(StreamArn=stream)["StreamDescription"]["StreamArn"] == stream
    refused(
        "PolicyNotFoundException",
        db.delete_resource_policy,
        ResourceArn=arn,
        ExpectedRevisionId="1",
    )
    assert (
        db.delete_resource_policy(ResourceArn=arn, ExpectedRevisionId=revision)["RevisionId"]
        == revision
    )
    assert "RevisionId" not in db.delete_resource_policy(ResourceArn=arn)
    refused("PolicyNotFoundException", db.get_resource_policy, ResourceArn=arn)
    refused("AccessDeniedException", there.get_item, TableName=arn, Key=key)


def test_a_policy_may_deny_even_the_tables_own_root(db: Any) -> None:
    """Given with the table; put once more it says something else; it goes with the table."""
    denied = policy("Deny", "*", "DeleteItem", "PartiQLDelete")
    db.create_table(TableName="table", **ON_DEMAND, ResourcePolicy=denied)
    db.put_item(TableName="table", Item={"pk": {"S": "a"}})
    key = {"TableName": "table", "Key": {"pk": {"S": "a"}}}
    assert "explicit deny in a resource-based policy" in refused(
        "AccessDeniedException", db.delete_item, **key
    )
    refused("AccessDeniedException", db.transact_write_items, TransactItems=[{"Delete": key}])
    statement = {"Statement": "DELETE FROM \"table\" WHERE pk = 'a'"}
    refused("AccessDeniedException", db.execute_statement, **statement)
    arn = table(db)["TableArn"]
    db.put_resource_policy(ResourceArn=arn, Policy=policy("Deny", "*", "Scan"))
    db.execute_statement(**statement)
    db.delete_table(TableName="table")
    db.create_table(TableName="table", **ON_DEMAND)
    db.scan(TableName="table")
    for bad in (
        "no json",
        json.dumps({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}),
        "x" * 31_000,
    ):
        refused("ValidationException", db.put_resource_policy, ResourceArn=arn, Policy=bad)
    refused("ResourceNotFoundException", db.get_resource_policy, ResourceArn=arn + "x")


def test_warm_throughput_only_grows(db: Any) -> None:
    """It is described for every table; one that is given more begins with it.

    Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/warm-throughput.html
    """
    db.create_table(TableName="table", **ON_DEMAND, WarmThroughput={"ReadUnitsPerSecond": 13_000})
    expected = {"ReadUnitsPerSecond": 13_000, "WriteUnitsPerSecond": 4_000, "Status": "ACTIVE"}
    assert table(db)["WarmThroughput"] == expected
    refused(
        "ValidationException",
        db.update_table,
        TableName="table",
        WarmThroughput={"ReadUnitsPerSecond": 1},
    )
    db.update_table(TableName="table", WarmThroughput={"WriteUnitsPerSecond": 5_000})
    assert table(db)["WarmThroughput"]["WriteUnitsPerSecond"] == 5_000
    units = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6}
    db.create_table(
        TableName="prov", KeySchema=HASH, AttributeDefinitions=PK, ProvisionedThroughput=units
    )
    assert table(db, "prov")["WarmThroughput"] == {
        "ReadUnitsPerSecond": 5, "WriteUnitsPerSecond": 6, "Status": "ACTIVE",
    }  # fmt: skip


def throttled(call: Any, **request: Any) -> Any:
    """The error of a call that is not let through; SDK retries would hide it."""
    with pytest.raises(ClientError) as caught:
        call(**request)
    error = caught.value.response
    assert error["Error"]["Code"] in (
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
    ), error
    return error


def advance(platform: Any, seconds: float) -> None:
    clock, world = platform.cloud.clock, platform.world
    offset_s = platform.run(platform.cloud.db.transact(lambda tx: clock.advance(tx, seconds)))
    eventually(lambda: world.cloud_offset_s >= offset_s)


def test_provisioned_throughput_is_a_limit(db: Any, platform: Any) -> None:
    """Five minutes of it may be used at once; then a call waits until there is some again.

    Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/burst-adaptive-capacity.html
            https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/troubleshooting-throttling.html
    """
    units = {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}
    db.create_table(
        TableName="table", KeySchema=HASH, AttributeDefinitions=PK, ProvisionedThroughput=units
    )
    large = {"v": {"S": "x" * 31_000}}
    for i in range(10):
        db.put_item(TableName="table", Item={"pk": {"S": str(i)}, **large})
    item = {"pk": {"S": "a"}}
    error = throttled(db.put_item, TableName="table", Item=item)
    assert error["Error"]["Message"] == (
        "The level of configured provisioned throughput for the table was exceeded. "
        "Consider increasing your provisioning level with the UpdateTable API."
    )
    arn = table(db)["TableArn"]
    assert error["ThrottlingReasons"] == [
        {"reason": "TableWriteProvisionedThroughputExceeded", "resource": arn}
    ]
    throttled(db.batch_write_item, RequestItems={"table": [{"PutRequest": {"Item": item}}]})
    throttled(db.execute_statement, Statement="INSERT INTO \"table\" VALUE {'pk': 'z'}")
    with pytest.raises(ClientError) as caught:
        db.transact_write_items(TransactItems=[{"Put": {"TableName": "table", "Item": item}}])
    assert (
        caught.value.response["CancellationReasons"][0]["Code"] == "ProvisionedThroughputExceeded"
    )
    for _ in range(4):
        assert db.scan(TableName="table", ConsistentRead=True)["Count"] == 10
    for call in (db.scan, db.get_item):
        throttled(call, TableName="table", **({"Key": item} if call == db.get_item else {}))
    advance(platform, 30)
    db.get_item(TableName="table", Key=item)
    puts = [
        {"PutRequest": {"Item": {"pk": {"S": f"b{i}"}, "v": {"S": "x" * 9_000}}}} for i in range(8)
    ]
    left = db.batch_write_item(RequestItems={"table": puts})["UnprocessedItems"]
    assert 0 < len(left["table"]) < 8
    db.update_table(TableName="table", BillingMode="PAY_PER_REQUEST")
    for _ in range(20):
        db.put_item(TableName="table", Item={**item, **large})


def test_an_index_without_room_holds_up_its_table(db: Any) -> None:
    """ "GSI back-pressure": a write must find room in every global index."""
    many, few = ({"ReadCapacityUnits": n, "WriteCapacityUnits": n} for n in (1000, 1))
    by_g = {
        "IndexName": "by-g",
        "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
        "ProvisionedThroughput": few,
    }
    g = {"AttributeName": "g", "AttributeType": "S"}
    db.create_table(
        TableName="table", KeySchema=HASH, AttributeDefinitions=[*PK, g], ProvisionedThroughput=many,
        GlobalSecondaryIndexes=[by_g],
    )  # fmt: skip
    large = {"g": {"S": "g"}, "v": {"S": "x" * 400_000}}
    db.put_item(TableName="table", Item={"pk": {"S": "a"}, **large})
    error = throttled(db.put_item, TableName="table", Item={"pk": {"S": "b"}})
    assert error["ThrottlingReasons"][0]["reason"] == "IndexWriteProvisionedThroughputExceeded"
    db.get_item(TableName="table", Key={"pk": {"S": "a"}})


def test_on_demand_has_a_limit_where_it_asks_for_one(db: Any) -> None:
    """Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode-max-throughput.html"""
    maximum = {"MaxReadRequestUnits": 1, "MaxWriteRequestUnits": -1}
    db.create_table(TableName="table", **ON_DEMAND, OnDemandThroughput=maximum)
    db.put_item(TableName="table", Item={"pk": {"S": "a"}, "v": {"S": "x" * 390_000}})
    key = {"pk": {"S": "a"}}
    for _ in range(4):
        db.get_item(TableName="table", Key=key, ConsistentRead=True)
    error = throttled(db.get_item, TableName="table", Key=key)
    assert error["Error"]["Code"] == "ThrottlingException"
    assert error["throttlingReasons"][0]["reason"] == "TableReadMaxOnDemandThroughputExceeded"
