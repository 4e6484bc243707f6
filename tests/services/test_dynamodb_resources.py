"""AWS::DynamoDB::Table and AWS::DynamoDB::GlobalTable: every property does what it does elsewhere, and changes with the template.

Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-dynamodb-table.html
        https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-dynamodb-globaltable.html
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import WaiterError
from eventing import advance

PK = [{"AttributeName": "pk", "AttributeType": "S"}]
HASH = [{"AttributeName": "pk", "KeyType": "HASH"}]
G = {"AttributeName": "g", "AttributeType": "S"}
BY_G = {
    "IndexName": "by-g",
    "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
    "Projection": {"ProjectionType": "KEYS_ONLY"},
}


def policy(principal: str) -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": principal},
        "Action": "dynamodb:GetItem",
        "Resource": "*",
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


class Stacks:
    def __init__(self, client: Any) -> None:
        self.cloudformation = client("cloudformation")

    def deploy(
        self, resources: dict[str, Any], outputs: dict[str, Any] | None = None
    ) -> dict[str, str]:
        body = json.dumps({"Resources": resources, "Outputs": outputs or {}})
        verb = "create"
        if any(s["StackStatus"] != "DELETE_COMPLETE" for s in self._known()):
            verb = "update"
        getattr(self.cloudformation, f"{verb}_stack")(StackName="stack", TemplateBody=body)
        waiter = self.cloudformation.get_waiter(f"stack_{verb}_complete")
        try:
            waiter.wait(StackName="stack", WaiterConfig={"Delay": 0.05, "MaxAttempts": 400})
        except WaiterError as error:
            events = self.cloudformation.describe_stack_events(StackName="stack")["StackEvents"]
            why = [e["ResourceStatusReason"] for e in events if "ResourceStatusReason" in e]
            raise AssertionError(why) from error
        (stack,) = self.cloudformation.describe_stacks(StackName="stack")["Stacks"]
        return {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", ())}

    def _known(self) -> list[Any]:
        return [
            s
            for s in self.cloudformation.list_stacks()["StackSummaries"]
            if s["StackName"] == "stack"
        ]

    def delete(self) -> None:
        self.cloudformation.delete_stack(StackName="stack")
        waiter = self.cloudformation.get_waiter("stack_delete_complete")
        waiter.wait(StackName="stack", WaiterConfig={"Delay": 0.05, "MaxAttempts": 400})


@pytest.fixture
def stacks(client: Any) -> Stacks:
    return Stacks(client)


def table(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::DynamoDB::Table", "Properties": {"KeySchema": HASH, **properties}}


OUTPUTS = {
    "Name": {"Value": {"Ref": "Table"}},
    "Arn": {"Value": {"Fn::GetAtt": "Table.Arn"}},
    "Stream": {"Value": {"Fn::GetAtt": "Table.StreamArn"}},
}


def test_a_table_has_what_its_template_says(platform: Any, client: Any, stacks: Stacks) -> None:
    db, kinesis = client("dynamodb"), client("kinesis")
    stream = {"Type": "AWS::Kinesis::Stream", "Properties": {"ShardCount": 1, "Name": "told"}}
    first = table(
        AttributeDefinitions=[*PK, G],
        BillingMode="PAY_PER_REQUEST",
        GlobalSecondaryIndexes=[BY_G],
        StreamSpecification={
            "StreamViewType": "KEYS_ONLY",
            "ResourcePolicy": {"PolicyDocument": policy("111111111111")},
        },
        PointInTimeRecoverySpecification={
            "PointInTimeRecoveryEnabled": True,
            "RecoveryPeriodInDays": 3,
        },
        KinesisStreamSpecification={"StreamArn": {"Fn::GetAtt": "Told.Arn"}},
        ResourcePolicy={"PolicyDocument": policy("222222222222")},
        TimeToLiveSpecification={"AttributeName": "end", "Enabled": True},
        WarmThroughput={"ReadUnitsPerSecond": 13_000, "WriteUnitsPerSecond": 5_000},
        TableClass="STANDARD_INFREQUENT_ACCESS",
        Tags=[{"Key": "team", "Value": "a"}],
    )
    made = stacks.deploy({"Table": first, "Told": stream}, OUTPUTS)
    name = made["Name"]
    described = db.describe_table(TableName=name)["Table"]
    assert (made["Arn"], made["Stream"]) == (described["TableArn"], described["LatestStreamArn"])
    assert described["StreamSpecification"]["StreamViewType"] == "KEYS_ONLY"
    assert described["WarmThroughput"]["ReadUnitsPerSecond"] == 13_000
    assert described["TableClassSummary"]["TableClass"] == "STANDARD_INFREQUENT_ACCESS"

    def recovery() -> Any:
        found = db.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
        return found["PointInTimeRecoveryDescription"]

    assert recovery()["RecoveryPeriodInDays"] == 3
    told = kinesis.describe_stream_summary(StreamName="told")["StreamDescriptionSummary"][
        "StreamARN"
    ]

    def destinations() -> list[Any]:
        found = db.describe_kinesis_streaming_destination(TableName=name)
        return [
            d["StreamArn"]
            for d in found["KinesisDataStreamDestinations"]
            if d["DestinationStatus"] == "ACTIVE"
        ]

    assert destinations() == [told]
    for arn, account in ((made["Arn"], "222222222222"), (made["Stream"], "111111111111")):
        assert account in db.get_resource_policy(ResourceArn=arn)["Policy"]
    second = table(
        AttributeDefinitions=PK,
        BillingMode="PROVISIONED",
        ProvisionedThroughput={"ReadCapacityUnits": 2, "WriteCapacityUnits": 3},
        StreamSpecification={"StreamViewType": "NEW_IMAGE"},
        Tags=[{"Key": "team", "Value": "b"}],
    )
    advance(platform, 3601)  # a change of time to live lasts an hour
    changed = stacks.deploy({"Table": second, "Told": stream}, OUTPUTS)
    assert changed["Name"] == name
    assert changed["Stream"] != made["Stream"]
    described = db.describe_table(TableName=name)["Table"]
    assert described["StreamSpecification"]["StreamViewType"] == "NEW_IMAGE"
    assert "GlobalSecondaryIndexes" not in described
    assert recovery()["PointInTimeRecoveryStatus"] == "DISABLED"
    assert destinations() == []
    with pytest.raises(db.exceptions.PolicyNotFoundException):
        db.get_resource_policy(ResourceArn=made["Arn"])
    stacks.delete()
    assert db.list_tables()["TableNames"] == []


def test_a_global_table_has_its_replicas(client: Any, stacks: Stacks) -> None:
    """Each with what is its own; one that the template no longer has goes."""
    db, west = client("dynamodb"), client("dynamodb", region="eu-west-1")

    def wanted(*replicas: dict[str, Any]) -> dict[str, Any]:
        return {
            "Table": {
                "Type": "AWS::DynamoDB::GlobalTable",
                "Properties": {
                    "TableName": "everywhere",
                    "AttributeDefinitions": [*PK, G],
                    "KeySchema": HASH,
                    "BillingMode": "PAY_PER_REQUEST",
                    "GlobalSecondaryIndexes": [BY_G],
                    "StreamSpecification": {"StreamViewType": "NEW_AND_OLD_IMAGES"},
                    "TimeToLiveSpecification": {"AttributeName": "end", "Enabled": True},
                    "Replicas": list(replicas),
                },
            }
        }

    here = {"Region": "us-east-1"}
    there = {
        "Region": "eu-west-1",
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        "ReplicaStreamSpecification": {
            "ResourcePolicy": {"PolicyDocument": policy("111111111111")}
        },
        "Tags": [{"Key": "where", "Value": "west"}],
    }
    made = stacks.deploy(wanted(here, there), OUTPUTS)
    assert made["Name"] == "everywhere"
    described = west.describe_table(TableName="everywhere")["Table"]
    assert described["GlobalSecondaryIndexes"][0]["IndexName"] == "by-g"
    ttl = west.describe_time_to_live(TableName="everywhere")["TimeToLiveDescription"]
    assert ttl["AttributeName"] == "end"
    statuses = [
        d.describe_continuous_backups(TableName="everywhere")["ContinuousBackupsDescription"][
            "PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]
        for d in (db, west)
    ]  # fmt: skip
    assert statuses == ["DISABLED", "ENABLED"]
    of_stream = west.get_resource_policy(ResourceArn=described["LatestStreamArn"])["Policy"]
    assert json.loads(of_stream) == policy("111111111111")
    tags = west.list_tags_of_resource(ResourceArn=described["TableArn"])["Tags"]
    assert {"Key": "where", "Value": "west"} in tags
    stacks.deploy(wanted(here), OUTPUTS)
    assert west.list_tables()["TableNames"] == []
    stacks.delete()
    assert db.list_tables()["TableNames"] == []


def test_what_is_not_offered_is_named_before_anything_is_made(client: Any, stacks: Stacks) -> None:
    db = client("dynamodb")
    for extra in (
        {"ContributorInsightsSpecification": {"Enabled": True}},
        {
            "StreamSpecification": {
                "StreamViewType": "NEW_IMAGE",
                "Tags": [{"Key": "k", "Value": "v"}],
            }
        },
        {
            "VectorIndexes": [
                {
                    "IndexName": "vec",
                    "VectorAttribute": {"AttributeName": "v"},
                    "Dimensions": 3,
                    "DistanceFunction": "COSINE",
                    "Projection": {"ProjectionType": "ALL"},
                }
            ]
        },
    ):
        body = table(AttributeDefinitions=PK, BillingMode="PAY_PER_REQUEST", **extra)
        with pytest.raises(Exception, match=next(iter(extra))):
            stacks.deploy({"Table": body})
        assert db.list_tables()["TableNames"] == []


def settled_key(db: Any, name: str) -> str | None:
    """Of the table, once what is stored has followed."""
    deadline = time.monotonic() + 120
    while (table := db.describe_table(TableName=name)["Table"])["TableStatus"] != "ACTIVE":
        assert time.monotonic() < deadline, table["TableStatus"]
        time.sleep(0.05)
    return table.get("SSEDescription", {}).get("KMSMasterKeyArn")


def test_a_table_is_under_the_key_its_template_names(client: Any, stacks: Stacks) -> None:
    """Made of files in S3 under a key of the stack; then under AWS's own key; then under none of KMS. Drift knows an alias."""
    db, s3, kms = client("dynamodb"), client("s3"), client("kms")
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="in/items.csv", Body=b"pk,v\na,1\nb,2\n")
    source = {
        "S3BucketSource": {"S3Bucket": "bucket", "S3KeyPrefix": "in/"},
        "InputFormat": "CSV",
        "InputCompressionType": "NONE",
    }

    def wanted(sse: dict[str, Any] | None) -> dict[str, Any]:
        more = {} if sse is None else {"SSESpecification": sse}
        body = table(
            TableName="made", AttributeDefinitions=PK, BillingMode="PAY_PER_REQUEST",
            ImportSourceSpecification=source, StreamSpecification={"StreamViewType": "NEW_IMAGE"},
            Tags=[{"Key": "k", "Value": "v"}], **more,
        )  # fmt: skip
        key = {"Type": "AWS::KMS::Key", "Properties": {"PendingWindowInDays": 7}}
        alias = {
            "Type": "AWS::KMS::Alias",
            "Properties": {"AliasName": "alias/mine", "TargetKeyId": {"Ref": "Key"}},
        }
        return {"Table": {**body, "DependsOn": "Alias"}, "Key": key, "Alias": alias}

    mine = {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": "alias/mine"}
    stacks.deploy(wanted(mine))
    described = db.describe_table(TableName="made")["Table"]
    key = kms.describe_key(KeyId="alias/mine")["KeyMetadata"]["Arn"]
    assert described["SSEDescription"]["KMSMasterKeyArn"] == key
    assert described["StreamSpecification"]["StreamViewType"] == "NEW_IMAGE"
    assert described["ItemCount"] == 2
    assert db.get_item(TableName="made", Key={"pk": {"S": "b"}})["Item"]["v"] == {"S": "2"}
    tags = db.list_tags_of_resource(ResourceArn=described["TableArn"])["Tags"]
    assert {"Key": "k", "Value": "v"} in tags
    stacks.deploy(wanted({"SSEEnabled": True}))
    assert (
        settled_key(db, "made")
        == kms.describe_key(KeyId="alias/aws/dynamodb")["KeyMetadata"]["Arn"]
    )
    stacks.deploy(wanted(None))
    assert settled_key(db, "made") is None
    assert db.scan(TableName="made")["Count"] == 2
    stacks.delete()


def test_replicas_are_under_the_keys_a_template_names(client: Any, stacks: Stacks) -> None:
    """And all change together; limits of tables and indexes on demand are theirs everywhere."""
    db, west = client("dynamodb"), client("dynamodb", region="eu-west-1")
    keys = [
        [client("kms", region=region).create_key()["KeyMetadata"]["Arn"] for _ in range(2)]
        for region in ("us-east-1", "eu-west-1")
    ]

    def wanted(at: int) -> dict[str, Any]:
        replicas = [
            {"Region": region, "SSESpecification": {"KMSMasterKeyId": mine[at]}}
            for region, mine in zip(("us-east-1", "eu-west-1"), keys, strict=True)
        ]
        limits = {
            "ReadOnDemandThroughputSettings": {"MaxReadRequestUnits": 70},
            "WriteOnDemandThroughputSettings": {"MaxWriteRequestUnits": 90},
        }
        properties = {
            "TableName": "everywhere", "AttributeDefinitions": [*PK, G], "KeySchema": HASH, "BillingMode": "PAY_PER_REQUEST",
            "GlobalSecondaryIndexes": [{**BY_G, "WriteOnDemandThroughputSettings": {"MaxWriteRequestUnits": 50}}],
            "StreamSpecification": {"StreamViewType": "NEW_AND_OLD_IMAGES"},
            "SSESpecification": {"SSEEnabled": True, "SSEType": "KMS"}, "Replicas": replicas, **limits,
        }  # fmt: skip
        return {"Table": {"Type": "AWS::DynamoDB::GlobalTable", "Properties": properties}}

    for at in (0, 1):
        stacks.deploy(wanted(at))
        assert [settled_key(d, "everywhere") for d in (db, west)] == [mine[at] for mine in keys]
    for each in (db, west):
        described = each.describe_table(TableName="everywhere")["Table"]
        assert described["OnDemandThroughput"] == {
            "MaxReadRequestUnits": 70,
            "MaxWriteRequestUnits": 90,
        }
        index = described["GlobalSecondaryIndexes"][0]
        assert index["OnDemandThroughput"] == {"MaxWriteRequestUnits": 50}
    stacks.delete()


def scaled(low: int, high: int, **more: int) -> dict[str, Any]:
    target = {"TargetTrackingScalingPolicyConfiguration": {"TargetValue": 70}}
    return {"MinCapacity": low, "MaxCapacity": high, **target, **more}


def writes(low: int, high: int, **more: int) -> dict[str, Any]:
    settings = {"WriteCapacityAutoScalingSettings": scaled(low, high, **more)}
    return {"WriteProvisionedThroughputSettings": settings}


def reads(low: int, high: int, **more: int) -> dict[str, Any]:
    settings = {"ReadCapacityAutoScalingSettings": scaled(low, high, **more)}
    return {"ReadProvisionedThroughputSettings": settings}


def fixed(units: int) -> dict[str, Any]:
    return {"ReadProvisionedThroughputSettings": {"ReadCapacityUnits": units}}


def test_a_global_table_is_provisioned_and_scaled_as_its_template_says(
    client: Any, stacks: Stacks
) -> None:
    """Writes scaled alike everywhere, reads fixed or scaled in each; on demand and back; nothing scaled is left behind.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-dynamodb-globaltable-capacityautoscalingsettings.html
    """
    regions = ("us-east-1", "eu-west-1", "ap-south-1")
    dbs = [client("dynamodb", region=region) for region in regions]
    scalers = [client("application-autoscaling", region=region) for region in regions]

    def deploy(*replicas: dict[str, Any], index: dict[str, Any], **more: Any) -> None:
        properties = {
            "TableName": "everywhere", "AttributeDefinitions": [*PK, G], "KeySchema": HASH,
            "BillingMode": "PROVISIONED", "GlobalSecondaryIndexes": [{**BY_G, **index}],
            "StreamSpecification": {"StreamViewType": "NEW_AND_OLD_IMAGES"},
            "Replicas": [{"Region": r, **said} for r, said in zip(regions, replicas, strict=False)],
            **more,
        }  # fmt: skip
        stacks.deploy({"Table": {"Type": "AWS::DynamoDB::GlobalTable", "Properties": properties}})

    def units(at: int) -> tuple[int, ...]:
        table = dbs[at].describe_table(TableName="everywhere")["Table"]
        things = (table, *table["GlobalSecondaryIndexes"])
        return tuple(
            thing["ProvisionedThroughput"][f"{kind}CapacityUnits"]
            for thing in things
            for kind in ("Read", "Write")
        )

    def targets(at: int) -> dict[str, tuple[int, int]]:
        found = scalers[at].describe_scalable_targets(ServiceNamespace="dynamodb")
        return {
            f"{t['ResourceId'].removeprefix('table/everywhere')}{t['ScalableDimension'].split(':')[2][:-13]}": (
                t["MinCapacity"],
                t["MaxCapacity"],
            )
            for t in found["ScalableTargets"]
        }

    def of_index(said: dict[str, Any]) -> dict[str, Any]:
        return {"GlobalSecondaryIndexes": [{"IndexName": "by-g", **said}]}

    index = writes(4, 40)
    here, there = {**fixed(11), **of_index(fixed(12))}, {**reads(2, 20), **of_index(reads(3, 30))}
    deploy(here, there, index=index, **writes(5, 50))
    assert [units(at) for at in (0, 1)] == [(11, 5, 12, 4), (2, 5, 3, 4)]
    both = {"Write": (5, 50), "/index/by-gWrite": (4, 40)}
    assert targets(0) == both
    assert targets(1) == {**both, "Read": (2, 20), "/index/by-gRead": (3, 30)}
    drift = stacks.cloudformation.detect_stack_resource_drift(
        StackName="stack", LogicalResourceId="Table"
    )["StackResourceDrift"]
    assert drift["StackResourceDriftStatus"] == "IN_SYNC", drift["PropertyDifferences"]

    deploy(
        {**reads(6, 60), **of_index(fixed(12))}, {**fixed(9), **of_index(reads(3, 30))},
        {**fixed(7), **of_index(fixed(8))}, index=index, **writes(5, 70),
    )  # fmt: skip
    assert [units(at) for at in range(3)] == [(11, 5, 12, 4), (9, 5, 3, 4), (7, 5, 8, 4)]
    both = {"Write": (5, 70), "/index/by-gWrite": (4, 40)}
    assert targets(0) == {**both, "Read": (6, 60)}
    assert targets(1) == {**both, "/index/by-gRead": (3, 30)}
    assert targets(2) == both
    policies = scalers[2].describe_scaling_policies(ServiceNamespace="dynamodb")["ScalingPolicies"]
    assert {p["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] for p in policies} == {70}

    limits = {"ReadOnDemandThroughputSettings": {"MaxReadRequestUnits": 70}}
    own = {"ReadOnDemandThroughputSettings": {"MaxReadRequestUnits": 30}}
    deploy({}, own, index=limits, BillingMode="PAY_PER_REQUEST", **limits)
    assert [targets(at) for at in range(3)] == [{}, {}, {}]

    def most_read() -> list[list[int]]:
        tables = [db.describe_table(TableName="everywhere")["Table"] for db in dbs[:2]]
        return [
            [t.get("OnDemandThroughput", {}).get("MaxReadRequestUnits", -1) for t in things]
            for things in ((t, *t["GlobalSecondaryIndexes"]) for t in tables)
        ]

    assert most_read() == [[70, 70], [30, 70]]
    assert dbs[2].list_tables()["TableNames"] == []
    deploy({}, {}, index={}, BillingMode="PAY_PER_REQUEST")
    assert most_read() == [[-1, -1], [-1, -1]]
    deploy(here, there, index=index, **writes(5, 50, SeedCapacity=8))
    # The mode is every replica's, and so is what it begins with; scaling goes on from there.
    assert [units(at) for at in (0, 1)] == [(11, 8, 12, 4), (11, 8, 12, 4)]
    assert targets(1)["Read"] == (2, 20)
    stacks.delete()
    assert [targets(at) for at in range(3)] == [{}, {}, {}]
    assert [db.list_tables()["TableNames"] for db in dbs] == [[], [], []]


def test_a_replica_that_reads_otherwise_than_all_shall_is_a_drift(
    client: Any, stacks: Stacks
) -> None:
    properties = {
        "TableName": "everywhere", "AttributeDefinitions": PK, "KeySchema": HASH,
        "BillingMode": "PROVISIONED", "StreamSpecification": {"StreamViewType": "NEW_AND_OLD_IMAGES"},
        "Replicas": [{"Region": "us-east-1"}, {"Region": "eu-west-1"}], **fixed(5), **writes(5, 50),
    }  # fmt: skip
    stacks.deploy({"Table": {"Type": "AWS::DynamoDB::GlobalTable", "Properties": properties}})

    def drift() -> list[tuple[str, str]]:
        found = stacks.cloudformation.detect_stack_resource_drift(
            StackName="stack", LogicalResourceId="Table"
        )["StackResourceDrift"]
        return [(d["PropertyPath"], d["ActualValue"]) for d in found["PropertyDifferences"]]

    assert drift() == []
    own = {"RegionName": "eu-west-1", "ProvisionedThroughputOverride": {"ReadCapacityUnits": 9}}
    client("dynamodb").update_table(TableName="everywhere", ReplicaUpdates=[{"Update": own}])
    assert drift() == [("/ReadProvisionedThroughputSettings/ReadCapacityUnits", "9")]
    stacks.delete()
