"""Global tables with strong consistency: what one region was told, every region has.

Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html
        https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/example_dynamodb_Scenario_MRSCGlobalTables_section.html
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from replicas import BY_G, TABLE, G, contents_of, refused

from stratolite.services.dynamodb.access import needed

REGIONS = ("us-east-1", "us-east-2", "us-west-2")
KEY = {"pk": {"S": "a"}}
HERE = {"TableName": "table"}


@pytest.fixture
def dbs(client: Any) -> list[Any]:
    return [client("dynamodb", region=region) for region in REGIONS]


def begin(db: Any, *regions: str, witness: str = "") -> Any:
    request: dict[str, Any] = {"ReplicaUpdates": [{"Create": {"RegionName": r}} for r in regions]}
    if witness:
        request["GlobalTableWitnessUpdates"] = [{"Create": {"RegionName": witness}}]
    return db.update_table(**HERE, MultiRegionConsistency="STRONG", **request)


def end(*regions: str, witness: str = "") -> dict[str, Any]:
    request: dict[str, Any] = {"ReplicaUpdates": [{"Delete": {"RegionName": r}} for r in regions]}
    if witness:
        request["GlobalTableWitnessUpdates"] = [{"Delete": {"RegionName": witness}}]
    return {**HERE, **request}


def test_every_region_has_what_one_was_told(client: Any, dbs: list[Any], platform: Any) -> None:
    """At once, indexes and streams too; conditions see what was written elsewhere; across a restart."""
    east, middle, west = dbs
    east.create_table(
        **TABLE | {"AttributeDefinitions": [*TABLE["AttributeDefinitions"], G]},
        GlobalSecondaryIndexes=[BY_G],
    )
    begin(east, "us-east-2", "us-west-2")
    for db in dbs:
        table = db.describe_table(**HERE)["Table"]
        assert (table["MultiRegionConsistency"], table["TableStatus"]) == ("STRONG", "ACTIVE")
        assert {r["ReplicaStatus"] for r in table["Replicas"]} == {"ACTIVE"}
        assert "StreamSpecification" not in table
    view = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    west.update_table(**HERE, StreamSpecification=view)
    assert "StreamSpecification" not in east.describe_table(**HERE)["Table"]
    east.put_item(**HERE, Item={**KEY, "g": {"S": "x"}})
    once = {"ConditionExpression": "attribute_not_exists(pk)"}
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        middle.put_item(**HERE, Item=KEY, **once)
    for n, db in enumerate(dbs * 3):
        db.update_item(
            **HERE, Key=KEY, UpdateExpression="ADD n :one",
            ExpressionAttributeValues={":one": {"N": "1"}}, ConditionExpression="attribute_exists(g)",
        )  # fmt: skip
        for other in dbs:
            assert other.get_item(**HERE, Key=KEY)["Item"]["n"] == {"N": str(n + 1)}
            (row,) = other.scan(**HERE, IndexName="by-g")["Items"]
            assert row["n"] == {"N": str(n + 1)}
    puts = [{"PutRequest": {"Item": {"pk": {"S": f"k{i}"}}}} for i in range(25)]
    middle.batch_write_item(RequestItems={"table": puts})
    west.execute_statement(Statement="DELETE FROM \"table\" WHERE pk = 'k3'")
    platform.reopen()
    assert contents_of(east) == contents_of(middle) == contents_of(west)
    assert {db.describe_table(**HERE)["Table"]["ItemCount"] for db in dbs} == {25}
    streams = client("dynamodbstreams", region="us-west-2")
    arn = west.describe_table(**HERE)["Table"]["LatestStreamArn"]
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    start = streams.get_shard_iterator(
        StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    told = [r["eventName"] for r in streams.get_records(ShardIterator=start)["Records"]]
    assert told == ["INSERT", *["MODIFY"] * 9, *["INSERT"] * 25, "REMOVE"]


def test_what_strong_consistency_does_not_go_with_is_refused(dbs: list[Any]) -> None:
    east, middle, _ = dbs
    east.create_table(**TABLE)
    both = {"ReplicaUpdates": [{"Create": {"RegionName": "us-east-2"}}], **HERE}
    no = "ValidationException"
    refused(no, east.update_table, **both, MultiRegionConsistency="STRONG")  # two regions
    elsewhere = [{"Create": {"RegionName": r}} for r in ("us-east-2", "eu-west-1")]
    refused(
        no, east.update_table, **HERE, MultiRegionConsistency="STRONG", ReplicaUpdates=elsewhere
    )
    witness = [{"Create": {"RegionName": "us-west-2"}}]
    refused(no, east.update_table, **both, GlobalTableWitnessUpdates=witness)
    east.put_item(**HERE, Item=KEY)
    refused(
        no,
        east.update_table,
        **both,
        MultiRegionConsistency="STRONG",
        GlobalTableWitnessUpdates=witness,
    )  # it is not empty
    east.delete_item(**HERE, Key=KEY)
    begin(east, "us-east-2", witness="us-west-2")
    table = middle.describe_table(**HERE)["Table"]
    assert table["GlobalTableWitnesses"] == [{"RegionName": "us-west-2", "WitnessStatus": "ACTIVE"}]
    put = {"Put": {**HERE, "Item": KEY}}
    said = refused(no, east.transact_write_items, TransactItems=[put])
    assert "multi-Region strong consistency" in said
    refused(no, middle.transact_get_items, TransactItems=[{"Get": {**HERE, "Key": KEY}}])
    for statement in (
        "SELECT * FROM \"table\" WHERE pk = 'a'",
        "DELETE FROM \"table\" WHERE pk = 'a'",
    ):
        refused(no, east.execute_transaction, TransactStatements=[{"Statement": statement}])
    ttl = {"Enabled": True, "AttributeName": "end"}
    refused(no, east.update_time_to_live, **HERE, TimeToLiveSpecification=ttl)
    refused(no, east.update_table, **HERE, SSESpecification={"Enabled": True, "SSEType": "KMS"})
    refused(no, middle.delete_table, **HERE)
    one = [{"Create": {"RegionName": "us-west-2"}}]
    refused(no, east.update_table, **HERE, ReplicaUpdates=one)
    refused(no, east.update_table, **end("us-east-2"))
    east.put_item(**HERE, Item=KEY)
    east.update_table(**end("us-east-2", witness="us-west-2"))
    refused("ResourceNotFoundException", middle.describe_table, **HERE)
    table = east.describe_table(**HERE)["Table"]
    assert table.keys().isdisjoint(("MultiRegionConsistency", "GlobalTableWitnesses", "Replicas"))
    east.transact_write_items(TransactItems=[put])
    east.delete_table(**HERE)


def test_regions_are_given_by_those_who_may_give_them() -> None:
    """https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html"""
    call: Any = SimpleNamespace(region="us-east-1", account="000000000000")
    request = {
        **HERE,
        "ReplicaUpdates": [
            {"Create": {"RegionName": "us-east-2"}},
            {"Delete": {"RegionName": "x"}},
        ],
        "GlobalTableWitnessUpdates": [{"Create": {"RegionName": "us-west-2"}}],
    }
    arn = "arn:aws:dynamodb:us-east-1:000000000000:table/table"
    actions = (
        "UpdateTable",
        "CreateTableReplica",
        "DeleteTableReplica",
        "CreateGlobalTableWitness",
    )
    assert needed(call, "UpdateTable", request) == [(f"dynamodb:{a}", arn) for a in actions]
    assert needed(call, "UpdateTable", dict(HERE)) == [("dynamodb:UpdateTable", arn)]


def test_a_template_makes_one_and_takes_it_away(client: Any, dbs: list[Any]) -> None:
    cloudformation = client("cloudformation")
    properties = {
        **TABLE,
        "MultiRegionConsistency": "STRONG",
        "GlobalTableWitnesses": [{"Region": "us-west-2"}],
        "Replicas": [{"Region": "us-east-1"}, {"Region": "us-east-2", "Tags": [{"Key": "k", "Value": "v"}]}],
    }  # fmt: skip
    resource = {"Type": "AWS::DynamoDB::GlobalTable", "Properties": properties}
    body = json.dumps({"Resources": {"Table": resource}})
    wait = {"StackName": "stack", "WaiterConfig": {"Delay": 0.05, "MaxAttempts": 400}}
    cloudformation.create_stack(StackName="stack", TemplateBody=body)
    cloudformation.get_waiter("stack_create_complete").wait(**wait)
    dbs[1].put_item(**HERE, Item=KEY)
    assert dbs[0].get_item(**HERE, Key=KEY)["Item"] == KEY
    arn = dbs[1].describe_table(**HERE)["Table"]["TableArn"]
    tags = dbs[1].list_tags_of_resource(ResourceArn=arn)["Tags"]
    assert {"Key": "k", "Value": "v"} in tags
    drift = cloudformation.detect_stack_resource_drift(
        StackName="stack", LogicalResourceId="Table"
    )["StackResourceDrift"]
    assert drift["StackResourceDriftStatus"] == "IN_SYNC", drift["PropertyDifferences"]
    cloudformation.delete_stack(StackName="stack")
    cloudformation.get_waiter("stack_delete_complete").wait(**wait)
    assert [db.list_tables()["TableNames"] for db in dbs] == [[], [], []]
