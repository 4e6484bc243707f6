"""What replicas of a global table have in common, what each has for itself, and how all are scaled.

Source  https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTableReplicaAutoScaling.html
        https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateReplicationGroupMemberAction.html
        https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_reqs_bestpractices.html
"""

from __future__ import annotations

from typing import Any

import pytest
from replicas import BY_G, TABLE, G, add, eventually, refused, statuses

UNITS = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 7}
PROVISIONED = {
    **TABLE,
    "BillingMode": "PROVISIONED",
    "ProvisionedThroughput": UNITS,
    "AttributeDefinitions": [*TABLE["AttributeDefinitions"], G],
    "GlobalSecondaryIndexes": [{**BY_G, "ProvisionedThroughput": UNITS}],
}
REGIONS = ("us-east-1", "eu-west-1")


def bounds(low: int, high: int, target: float = 70.0) -> dict[str, Any]:
    config = {"TargetTrackingScalingPolicyConfiguration": {"TargetValue": target}}
    return {"MinimumUnits": low, "MaximumUnits": high, "ScalingPolicyUpdate": config}


def units(db: Any) -> tuple[int, int, int, int]:
    """(read, write) of the table, then of its index."""
    table = db.describe_table(TableName="table")["Table"]
    of = [
        table["ProvisionedThroughput"],
        table["GlobalSecondaryIndexes"][0]["ProvisionedThroughput"],
    ]
    return tuple(t[f"{kind}CapacityUnits"] for t in of for kind in ("Read", "Write"))  # type: ignore[return-value]


def replica(db: Any, region: str) -> dict[str, Any]:
    table = db.describe_table(TableName="table")["Table"]
    return next(r for r in table["Replicas"] if r["RegionName"] == region)


@pytest.fixture
def east(client: Any) -> Any:
    return client("dynamodb", region="us-east-1")


@pytest.fixture
def west(client: Any) -> Any:
    return client("dynamodb", region="eu-west-1")


def test_a_provisioned_table_has_replicas_once_its_writes_are_scaled(
    east: Any, west: Any, client: Any
) -> None:
    """A new replica is scaled as the table is, its index too; the words are AWS's (hashicorp/terraform-provider-aws, issue 13097)."""

    def scaler(region: str) -> Any:
        return client("application-autoscaling", region=region)

    east.create_table(**PROVISIONED)
    said = refused(
        "ValidationException", east.update_table, TableName="table",
        ReplicaUpdates=[{"Create": {"RegionName": "eu-west-1"}}],
    )  # fmt: skip
    assert said == "Table write capacity should either be Pay-Per-Request or AutoScaled."
    scaled = east.update_table_replica_auto_scaling(
        TableName="table",
        ProvisionedWriteCapacityAutoScalingUpdate=bounds(7, 50),
        GlobalSecondaryIndexUpdates=[
            {"IndexName": "by-g", "ProvisionedWriteCapacityAutoScalingUpdate": bounds(7, 60, 50.0)}
        ],
    )["TableAutoScalingDescription"]
    assert [r["RegionName"] for r in scaled["Replicas"]] == ["us-east-1"]
    add(east, "eu-west-1")
    eventually(lambda: statuses(east) == {"eu-west-1": "ACTIVE"})
    found = west.describe_table_replica_auto_scaling(TableName="table")[
        "TableAutoScalingDescription"
    ]
    assert [r["RegionName"] for r in found["Replicas"]] == ["eu-west-1", "us-east-1"]
    for one in found["Replicas"]:
        write = one["ReplicaProvisionedWriteCapacityAutoScalingSettings"]
        assert (write["MinimumUnits"], write["MaximumUnits"]) == (7, 50)
        (policy,) = write["ScalingPolicies"]
        assert policy == {
            "PolicyName": "DynamoDBWriteCapacityUtilization:table/table",
            "TargetTrackingScalingPolicyConfiguration": {"TargetValue": 70.0},
        }
        (index,) = one["GlobalSecondaryIndexes"]
        write = index["ProvisionedWriteCapacityAutoScalingSettings"]
        assert (write["MaximumUnits"], index["IndexStatus"]) == (60, "ACTIVE")
        read = one["ReplicaProvisionedReadCapacityAutoScalingSettings"]
        assert read == {"AutoScalingDisabled": True}
    east.update_table(TableName="table", ReplicaUpdates=[{"Delete": {"RegionName": "eu-west-1"}}])
    of = {"ServiceNamespace": "dynamodb"}
    left = [scaler(r).describe_scalable_targets(**of)["ScalableTargets"] for r in REGIONS]
    assert [len(targets) for targets in left] == [2, 0]


def test_a_replicated_write_counts_in_both_regions(
    east: Any, west: Any, client: Any, platform: Any
) -> None:
    """As much write capacity is consumed where it arrives, which is what scaling there goes by."""
    east.create_table(**PROVISIONED)
    east.update_table_replica_auto_scaling(
        TableName="table", ProvisionedWriteCapacityAutoScalingUpdate=bounds(1, 50)
    )
    add(east, "eu-west-1")
    eventually(lambda: statuses(east) == {"eu-west-1": "ACTIVE"})
    for n in range(3):
        east.put_item(TableName="table", Item={"pk": {"S": f"k{n}"}, "v": {"S": "x" * 1500}})
    eventually(lambda: len(west.scan(TableName="table")["Items"]) == 3)

    def consumed(region: str) -> float:
        platform.run(platform.cloud.metrics.flush())
        now_s = platform.world.cloud()
        found = client("cloudwatch", region=region).get_metric_statistics(
            Namespace="AWS/DynamoDB", MetricName="ConsumedWriteCapacityUnits", Period=3600,
            Dimensions=[{"Name": "TableName", "Value": "table"}], Statistics=["Sum"],
            StartTime=now_s - 7200, EndTime=now_s + 3600,
        )  # fmt: skip
        return sum(point["Sum"] for point in found["Datapoints"])

    eventually(lambda: consumed("us-east-1") == consumed("eu-west-1") == 6)


def test_a_replica_keeps_the_read_capacity_it_has_for_itself(east: Any, west: Any) -> None:
    """Writes are the group's, reads too until one is overridden; then neither side's changes go to the other."""
    east.create_table(**PROVISIONED)
    east.update_table_replica_auto_scaling(
        TableName="table", ProvisionedWriteCapacityAutoScalingUpdate=bounds(1, 50)
    )
    own = {
        "ProvisionedThroughputOverride": {"ReadCapacityUnits": 11},
        "GlobalSecondaryIndexes": [
            {"IndexName": "by-g", "ProvisionedThroughputOverride": {"ReadCapacityUnits": 12}}
        ],
    }
    create = {"RegionName": "eu-west-1", "TableClassOverride": "STANDARD_INFREQUENT_ACCESS", **own}
    east.update_table(TableName="table", ReplicaUpdates=[{"Create": create}])
    eventually(lambda: statuses(east) == {"eu-west-1": "ACTIVE"})
    assert units(west) == (11, 7, 12, 7)
    told = replica(east, "eu-west-1")
    assert {name: told[name] for name in own} == own
    assert told["ReplicaTableClassSummary"]["TableClass"] == "STANDARD_INFREQUENT_ACCESS"
    assert "ProvisionedThroughputOverride" not in replica(west, "us-east-1")

    wanted = {"ReadCapacityUnits": 6, "WriteCapacityUnits": 8}
    index = {"Update": {"IndexName": "by-g", "ProvisionedThroughput": wanted}}
    east.update_table(
        TableName="table", ProvisionedThroughput=wanted, GlobalSecondaryIndexUpdates=[index]
    )
    assert (units(east), units(west)) == ((6, 8, 6, 8), (11, 8, 12, 8))
    west.update_table(
        TableName="table",
        ProvisionedThroughput={"ReadCapacityUnits": 20, "WriteCapacityUnits": 9},
    )
    assert (units(east), units(west)) == ((6, 9, 6, 8), (20, 9, 12, 8))
    update = {"RegionName": "eu-west-1", "ProvisionedThroughputOverride": {"ReadCapacityUnits": 3}}
    east.update_table(TableName="table", ReplicaUpdates=[{"Update": update}])
    assert (units(east), units(west)) == ((6, 9, 6, 8), (3, 9, 12, 8))
    for bad in (
        {"OnDemandThroughputOverride": {"MaxReadRequestUnits": 5}},
        {"GlobalSecondaryIndexes": [{"IndexName": "none"}]},
    ):
        update = {"RegionName": "eu-west-1", **bad}
        refused(
            "ValidationException", east.update_table, TableName="table",
            ReplicaUpdates=[{"Update": update}],
        )  # fmt: skip
    east.update_table(TableName="table", BillingMode="PAY_PER_REQUEST")
    assert "ProvisionedThroughputOverride" not in replica(east, "eu-west-1")
    update = {"RegionName": "eu-west-1", "OnDemandThroughputOverride": {"MaxReadRequestUnits": 5}}
    east.update_table(TableName="table", ReplicaUpdates=[{"Update": update}])
    on_demand = {"MaxReadRequestUnits": 40, "MaxWriteRequestUnits": 50}
    east.update_table(TableName="table", OnDemandThroughput=on_demand)
    there = west.describe_table(TableName="table")["Table"]["OnDemandThroughput"]
    assert there == {"MaxReadRequestUnits": 5, "MaxWriteRequestUnits": 50}


def test_reads_are_scaled_in_each_replica_as_it_says(
    east: Any, west: Any, client: Any, platform: Any
) -> None:
    """One request for all; what it leaves out stays, what it disables goes, what it gets wrong changes nothing anywhere."""
    east.create_table(**PROVISIONED)
    east.update_table_replica_auto_scaling(
        TableName="table", ProvisionedWriteCapacityAutoScalingUpdate=bounds(1, 50)
    )
    add(east, "eu-west-1")
    eventually(lambda: statuses(east) == {"eu-west-1": "ACTIVE"})

    def reads(region: str, **settings: Any) -> dict[str, Any]:
        return {
            "RegionName": region,
            "ReplicaProvisionedReadCapacityAutoScalingUpdate": settings,
        }

    scale = east.update_table_replica_auto_scaling
    refused(
        "ValidationException", scale, TableName="table",
        ReplicaUpdates=[reads("us-east-1", **bounds(1, 9)), reads("ap-south-1", **bounds(1, 9))],
    )  # fmt: skip
    targets = client("application-autoscaling", region="us-east-1").describe_scalable_targets
    of_table = {"ServiceNamespace": "dynamodb", "ResourceIds": ["table/table"]}
    kinds = [t["ScalableDimension"] for t in targets(**of_table)["ScalableTargets"]]
    assert kinds == ["dynamodb:table:WriteCapacityUnits"]
    refused("ValidationException", scale, TableName="table")
    refused("ResourceNotFoundException", scale, TableName="none", ReplicaUpdates=[reads("x")])
    found = scale(
        TableName="table",
        ReplicaUpdates=[reads("us-east-1", **bounds(20, 30)), reads("eu-west-1", **bounds(2, 9))],
    )["TableAutoScalingDescription"]
    read = [r["ReplicaProvisionedReadCapacityAutoScalingSettings"] for r in found["Replicas"]]
    assert [(r["MinimumUnits"], r["MaximumUnits"]) for r in read] == [(20, 30), (2, 9)]
    # below its least: the first look brings it there, in that region alone
    eventually(lambda: units(east)[0] == 20)
    assert units(west)[0] == 5
    named = bounds(2, 9) | {
        "ScalingPolicyUpdate": {
            "PolicyName": "mine",
            "TargetTrackingScalingPolicyConfiguration": {"TargetValue": 40.0},
        }
    }
    scale(TableName="table", ReplicaUpdates=[reads("eu-west-1", **named)])
    found = scale(TableName="table", ReplicaUpdates=[reads("us-east-1", AutoScalingDisabled=True)])[
        "TableAutoScalingDescription"
    ]
    read = [r["ReplicaProvisionedReadCapacityAutoScalingSettings"] for r in found["Replicas"]]
    assert read[0] == {"AutoScalingDisabled": True}
    assert [p["PolicyName"] for p in read[1]["ScalingPolicies"]] == ["mine"]
    east.update_table(TableName="table", BillingMode="PAY_PER_REQUEST")
    said = refused(
        "ValidationException", scale, TableName="table", ReplicaUpdates=[reads("us-east-1")]
    )
    assert "PAY_PER_REQUEST" in said
