"""What follows a table: replicas in other regions, and Kinesis data streams.

Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html
        https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/kds.html
"""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from replicas import BY_G, TABLE, G, add, contents_of, eventually, refused, statuses

REGIONS = ("us-east-1", "eu-west-1", "ap-south-1")


@pytest.fixture
def regions(client: Any) -> dict[str, Any]:
    return {region: client("dynamodb", region=region) for region in REGIONS}


def rows(platform: Any, region: str, kind: str) -> int:
    from stratolite.core import Keyspace

    span = Keyspace("000000000000", region, "dynamodb").span(kind)
    return platform.run(platform.cloud.db.transact(lambda tx: len(list(tx.scan(span)))))


def test_replicas_agree_whoever_writes(regions: dict[str, Any], platform: Any) -> None:
    """Items there before come along; then each region writes, the last writer wins, and all end up the same, also across a restart."""
    east, west, south = (regions[r] for r in REGIONS)
    east.create_table(**TABLE)
    for start in range(0, 225, 25):
        puts = [
            {"PutRequest": {"Item": {"pk": {"S": f"k{i}"}, "old": {"BOOL": True}}}}
            for i in range(start, start + 25)
        ]
        east.batch_write_item(RequestItems={"table": puts})
    made = add(east, "eu-west-1")["TableDescription"]
    assert made["Replicas"][0]["ReplicaStatus"] == "CREATING"
    east.delete_item(TableName="table", Key={"pk": {"S": "k0"}})
    east.put_item(TableName="table", Item={"pk": {"S": "k224"}, "new": {"BOOL": True}})
    eventually(lambda: statuses(east) == {"eu-west-1": "ACTIVE"})
    west.put_item(TableName="table", Item={"pk": {"S": "k1"}, "from": {"S": "west"}})
    add(west, "ap-south-1")
    eventually(lambda: set(statuses(south).values()) == {"ACTIVE"})
    eventually(lambda: set(statuses(east).values()) == {"ACTIVE"})
    assert {r: set(statuses(db)) for r, db in regions.items()} == {
        r: set(REGIONS) - {r} for r in REGIONS
    }
    rand = random.Random(7)
    for i in range(150):
        db = regions[rand.choice(REGIONS)]
        key = {"pk": {"S": f"k{rand.randrange(20)}"}}
        what = rand.random()
        if what < 0.25:
            db.delete_item(TableName="table", Key=key)
        elif what < 0.6:
            db.put_item(TableName="table", Item={**key, "v": {"N": str(rand.randrange(3))}})
        else:
            update = {
                "UpdateExpression": "SET w = :v",
                "ExpressionAttributeValues": {":v": {"N": str(i)}},
            }
            db.update_item(TableName="table", Key=key, **update)
    platform.reopen()
    eventually(lambda: not any(rows(platform, r, "feed") for r in REGIONS))
    assert contents_of(east) == contents_of(west) == contents_of(south)
    assert {
        i["ItemCount"]
        for i in (db.describe_table(TableName="table")["Table"] for db in regions.values())
    } == {len(contents_of(east))}
    hidden = {name for item in contents_of(east) for name in item}
    assert hidden <= {"pk", "old", "new", "from", "v", "w"}
    assert not any(rows(platform, r, "feed-job") for r in REGIONS)


def test_how_far_behind_a_replica_is_can_be_seen(
    regions: dict[str, Any], platform: Any, client: Any
) -> None:
    """ReplicationLatency in milliseconds, by table and receiving region, in the writing region's CloudWatch.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
    """
    east, west, _ = (regions[r] for r in REGIONS)
    east.create_table(**TABLE)
    add(east, "eu-west-1")
    eventually(lambda: statuses(east) == {"eu-west-1": "ACTIVE"})
    east.put_item(TableName="table", Item={"pk": {"S": "a"}})
    eventually(lambda: contents_of(west) == [{"pk": {"S": "a"}}])
    cloudwatch = client("cloudwatch", region="us-east-1")
    names = {"TableName": "table", "ReceivingRegion": "eu-west-1"}

    def measured() -> list[Any]:
        now_s = platform.world.cloud()
        found = cloudwatch.get_metric_statistics(
            Namespace="AWS/DynamoDB", MetricName="ReplicationLatency", Period=3600,
            Dimensions=[{"Name": k, "Value": v} for k, v in names.items()],
            StartTime=now_s - 7200, EndTime=now_s + 3600, Statistics=["Maximum", "SampleCount"],
        )  # fmt: skip
        return list(found["Datapoints"])

    eventually(lambda: bool(measured()))
    points = measured()
    assert sum(point["SampleCount"] for point in points) == 1
    assert all(0 <= point["Maximum"] < 3_600_000 for point in points)
    assert {point["Unit"] for point in points} == {"Milliseconds"}


def test_a_replica_has_its_own_stream_and_the_groups_indexes(
    client: Any, regions: dict[str, Any], platform: Any
) -> None:
    """Indexes and time to live are changed in all; a replicated change is told in the replica's stream too."""
    east, west, _ = (regions[r] for r in REGIONS)
    east.create_table(**TABLE)
    add(east, "eu-west-1")
    eventually(lambda: statuses(east) == {"eu-west-1": "ACTIVE"})
    east.update_table(
        TableName="table", AttributeDefinitions=[G], GlobalSecondaryIndexUpdates=[{"Create": BY_G}]
    )
    ttl = {"Enabled": True, "AttributeName": "end"}
    west.update_time_to_live(TableName="table", TimeToLiveSpecification=ttl)
    for db in (east, west):
        assert (
            db.describe_table(TableName="table")["Table"]["GlobalSecondaryIndexes"][0]["IndexName"]
            == "by-g"
        )
        assert (
            db.describe_time_to_live(TableName="table")["TimeToLiveDescription"]["AttributeName"]
            == "end"
        )
    east.put_item(TableName="table", Item={"pk": {"S": "a"}, "g": {"S": "x"}})

    def found() -> int:
        table = west.describe_table(TableName="table")["Table"]
        if table["GlobalSecondaryIndexes"][0]["IndexStatus"] != "ACTIVE":
            return 0
        return west.scan(TableName="table", IndexName="by-g")["Count"]

    eventually(lambda: found() == 1)
    streams = client("dynamodbstreams", region="eu-west-1")
    arn = west.describe_table(TableName="table")["Table"]["LatestStreamArn"]
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    start = streams.get_shard_iterator(
        StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    (record,) = streams.get_records(ShardIterator=start)["Records"]
    assert (record["eventName"], record["awsRegion"]) == ("INSERT", "eu-west-1")
    west.update_table(TableName="table", ReplicaUpdates=[{"Delete": {"RegionName": "us-east-1"}}])
    refused("ResourceNotFoundException", east.describe_table, TableName="table")
    assert statuses(west) == {}
    west.put_item(TableName="table", Item={"pk": {"S": "b"}})
    eventually(lambda: not rows(platform, "eu-west-1", "feed"))
    assert len(contents_of(west)) == 2


def test_what_cannot_be_a_replica_is_refused(regions: dict[str, Any]) -> None:
    east, west, _ = (regions[r] for r in REGIONS)
    east.create_table(**TABLE)
    west.create_table(**TABLE)
    for change in (
        {"Create": {"RegionName": "us-east-1"}},
        {"Create": {"RegionName": "eu-west-1"}},
        {"Create": {"RegionName": "nowhere"}},
        {"Create": {"RegionName": "xx-nowhere-9"}},
        {"Create": {"RegionName": "cn-north-1"}},
        {"Create": {"RegionName": "ap-south-1", "KMSMasterKeyId": "alias/x"}},
        {"Delete": {"RegionName": "ap-south-1"}},
    ):
        refused(
            "ValidationException", east.update_table, TableName="table", ReplicaUpdates=[change]
        )


def test_changes_go_to_a_kinesis_stream_in_order(
    client: Any, regions: dict[str, Any], platform: Any
) -> None:
    """As DynamoDB writes them: JSON with keys and images, in the order of each key; while it is enabled."""
    db, kinesis = regions["us-east-1"], client("kinesis")
    kinesis.create_stream(StreamName="told", ShardCount=2)
    arn = kinesis.describe_stream_summary(StreamName="told")["StreamDescriptionSummary"][
        "StreamARN"
    ]
    db.create_table(**TABLE)
    refused(
        "ResourceNotFoundException",
        db.enable_kinesis_streaming_destination,
        TableName="table",
        StreamArn=arn + "x",
    )
    on = db.enable_kinesis_streaming_destination(TableName="table", StreamArn=arn)
    assert on["DestinationStatus"] == "ENABLING"
    refused(
        "ResourceInUseException",
        db.enable_kinesis_streaming_destination,
        TableName="table",
        StreamArn=arn,
    )
    told = {
        "StreamArn": arn,
        "DestinationStatus": "ACTIVE",
        "ApproximateCreationDateTimePrecision": "MILLISECOND",
    }
    described = db.describe_kinesis_streaming_destination(TableName="table")
    assert described["KinesisDataStreamDestinations"] == [told]
    for n in range(150):
        db.put_item(TableName="table", Item={"pk": {"S": f"k{n % 5}"}, "n": {"N": str(n)}})
    db.put_item(TableName="table", Item={"pk": {"S": "k0"}, "n": {"N": "145"}})  # changes nothing
    db.delete_item(TableName="table", Key={"pk": {"S": "k0"}})

    def arrived() -> list[Any]:
        found = []
        for shard in kinesis.list_shards(StreamName="told")["Shards"]:
            at = kinesis.get_shard_iterator(
                StreamName="told", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            found += [
                json.loads(r["Data"]) for r in kinesis.get_records(ShardIterator=at)["Records"]
            ]
        return found

    eventually(lambda: not rows(platform, "us-east-1", "feed"))
    records = arrived()
    assert len(records) == 151
    for k in range(5):
        mine = [r for r in records if r["dynamodb"]["Keys"] == {"pk": {"S": f"k{k}"}}]
        numbers = [
            int(r["dynamodb"]["NewImage"]["n"]["N"]) for r in mine if "NewImage" in r["dynamodb"]
        ]
        assert numbers == list(range(k, 150, 5))
    first = next(r for r in records if r["eventName"] == "INSERT")
    assert first["tableName"] == "table"
    assert (first["eventSource"], first["recordFormat"]) == ("aws:dynamodb", "application/json")
    assert first["userIdentity"] is None
    assert first["dynamodb"]["SizeBytes"] > 0
    assert sum(r["eventName"] == "REMOVE" for r in records) == 1
    db.update_kinesis_streaming_destination(
        TableName="table", StreamArn=arn,
        UpdateKinesisStreamingConfiguration={"ApproximateCreationDateTimePrecision": "MICROSECOND"},
    )  # fmt: skip
    db.disable_kinesis_streaming_destination(TableName="table", StreamArn=arn)
    db.put_item(TableName="table", Item={"pk": {"S": "later"}})
    assert rows(platform, "us-east-1", "feed") == 0
    described = db.describe_kinesis_streaming_destination(TableName="table")[
        "KinesisDataStreamDestinations"
    ]
    assert [d["DestinationStatus"] for d in described] == ["DISABLED"]
    refused(
        "ResourceInUseException",
        db.disable_kinesis_streaming_destination,
        TableName="table",
        StreamArn=arn,
    )
