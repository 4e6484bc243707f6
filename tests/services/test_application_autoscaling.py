"""Application Auto Scaling: provisioned capacity of DynamoDB follows what is consumed, inside its bounds, on the cloud clock."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from eventing import ACCOUNT, advance, come_to_rest, queue, received, user_client

NAME = "application-autoscaling"
LOOK, ACT = f"{NAME}.look", f"{NAME}.act"
WRITE = {
    "ServiceNamespace": "dynamodb",
    "ResourceId": "table/orders",
    "ScalableDimension": "dynamodb:table:WriteCapacityUnits",
}
UNREGISTERED = (
    "No scalable target registered for service namespace: dynamodb, resource ID: table/orders, "
    "scalable dimension: dynamodb:table:WriteCapacityUnits"
)
INDEX = {
    "ServiceNamespace": "dynamodb",
    "ResourceId": "table/orders/index/by-g",
    "ScalableDimension": "dynamodb:index:WriteCapacityUnits",
}
TRACKING = {
    "TargetValue": 50.0,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "DynamoDBWriteCapacityUtilization"},
}


@pytest.fixture
def scaling(client: Any) -> Any:
    return client(NAME)


@pytest.fixture
def db(client: Any) -> Any:
    """A table of ten units of everything, with an index."""
    made = client("dynamodb")
    units = {"ReadCapacityUnits": 10, "WriteCapacityUnits": 10}
    made.create_table(
        TableName="orders",
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("pk", "g")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        ProvisionedThroughput=units,
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-g",
                "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
                "ProvisionedThroughput": units,
            }
        ],
    )
    return made


def register(scaling: Any, place: dict[str, str] = WRITE, low: int = 5, high: int = 100, **more: Any) -> Any:  # fmt: skip
    return scaling.register_scalable_target(**place, MinCapacity=low, MaxCapacity=high, **more)


def track(scaling: Any, place: dict[str, str] = WRITE, name: str = "p", **more: Any) -> Any:
    return scaling.put_scaling_policy(
        **place,
        PolicyName=name,
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=TRACKING | more,
    )


def capacity(db: Any, kind: str = "Write", index: bool = False) -> int:
    table = db.describe_table(TableName="orders")["Table"]
    thing = table["GlobalSecondaryIndexes"][0] if index else table
    return int(thing["ProvisionedThroughput"][f"{kind}CapacityUnits"])


def consume(platform: Any, units: float, index: str = "") -> None:
    """So many write units in the minute it is, as ``dynamodb.meter`` counts them."""
    dimensions: tuple[tuple[str, str], ...] = (("TableName", "orders"),)
    if index:
        dimensions = (("GlobalSecondaryIndexName", index), *dimensions)
    metric = ("AWS/DynamoDB", dimensions, "ConsumedWriteCapacityUnits", units)

    async def count() -> None:
        platform.cloud.measure(ACCOUNT, "us-east-1", *metric)

    platform.run(count())


def minutes(platform: Any, *units: float, index: str = "") -> None:
    """A minute for each, in which so many units are consumed; then the look at them."""
    for each in units:
        advance(platform, 61 - platform.cloud.world.cloud() % 60)
        if each:
            consume(platform, each, index)
    # the end of the last minute, and what a look waits for
    advance(platform, 72 - platform.cloud.world.cloud() % 60)
    come_to_rest(platform, LOOK)


def refused(call: Any, *words: Any, **more: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call(*words, **more)
    said = error.value.response["Error"]
    return said["Code"], said["Message"]


def test_capacity_follows_what_is_consumed_and_stays_inside_its_bounds(
    platform: Any, db: Any, scaling: Any
) -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/AutoScaling.html: two minutes above the target."""
    register(scaling, high=30)
    track(scaling)
    assert capacity(db) == 10
    minutes(platform, 900)  # 15 a second, where half of 10 is the target
    assert capacity(db) == 10, "one minute is not enough"
    minutes(platform, 600, 600)
    assert capacity(db) == 20, "10 a second are half of it"
    (activity,) = scaling.describe_scaling_activities(ServiceNamespace="dynamodb")["ScalingActivities"]  # fmt: skip
    assert activity["Description"] == "Setting write capacity units to 20."
    assert activity["StatusCode"] == "Successful"
    assert activity["ResourceId"] == "table/orders"
    minutes(platform, 3000, 3000)
    assert capacity(db) == 30, "no more than the maximum"
    minutes(platform, *[100] * 15)
    assert capacity(db) == 5, "fifteen quiet minutes, no less than the minimum"
    assert capacity(db, "Read") == 10
    found = scaling.describe_scaling_activities(**WRITE)["ScalingActivities"]
    assert [a["Description"].split()[-1] for a in found] == ["5.", "30.", "20."]


def test_the_bus_hears_of_a_target_scaled_out_to_the_most(
    platform: Any, client: Any, db: Any, scaling: Any
) -> None:
    """https://docs.aws.amazon.com/autoscaling/application/userguide/monitoring-eventbridge.html"""
    url, arn = queue(client)
    pattern = json.dumps({"source": ["aws.application-autoscaling"]})
    client("events").put_rule(Name="r", EventPattern=pattern)
    client("events").put_targets(Rule="r", Targets=[{"Id": "1", "Arn": arn}])
    register(scaling, high=20)
    track(scaling)
    minutes(platform, 60 * 100, 60 * 100)
    assert capacity(db) == 20
    [event] = received(client, url)
    detail = event["detail"]
    assert detail.pop("startTime")
    assert detail.pop("endTime")
    assert (event["detail-type"], event["resources"]) == ("Application Auto Scaling Scaling Activity State Change", [])  # fmt: skip
    assert detail == {
        "newDesiredCapacity": 20, "oldDesiredCapacity": 10, "minCapacity": 5, "maxCapacity": 20, "resourceId": "table/orders",
        "scalableDimension": "dynamodb:table:WriteCapacityUnits", "serviceNamespace": "dynamodb", "statusCode": "Successful",
        "scaledToMax": True, "direction": "scale-out",
    }  # fmt: skip


def test_a_table_nobody_asks_does_not_scale_in(platform: Any, db: Any, scaling: Any) -> None:
    """No metric is no data: on AWS the alarm has nothing to say either."""
    register(scaling)
    track(scaling)
    minutes(platform, *[0] * 20)
    assert capacity(db) == 10


def test_scaling_in_can_be_disabled_suspended_and_made_to_wait(
    platform: Any, db: Any, scaling: Any
) -> None:
    register(scaling)
    track(scaling, DisableScaleIn=True)
    minutes(platform, *[100] * 15)
    assert capacity(db) == 10
    track(scaling)
    suspended = {"DynamicScalingInSuspended": True}
    scaling.register_scalable_target(**WRITE, SuspendedState=suspended)
    minutes(platform, *[100] * 15)
    assert capacity(db) == 10
    scaling.register_scalable_target(**WRITE, SuspendedState={"DynamicScalingInSuspended": False})
    minutes(platform, *[100] * 15)
    assert capacity(db) == 5


def test_a_target_brings_capacity_inside_its_bounds_at_once(
    platform: Any, db: Any, scaling: Any
) -> None:
    register(scaling, low=12)
    register(scaling, INDEX, high=7)
    come_to_rest(platform, LOOK)
    assert (capacity(db), capacity(db, index=True), capacity(db, "Read", index=True)) == (12, 7, 10)
    found = scaling.describe_scaling_activities(ServiceNamespace="dynamodb")["ScalingActivities"]
    assert {a["Cause"] for a in found} == {
        "minimum capacity was set to 12",
        "maximum capacity was set to 7",
    }


def test_an_index_scales_by_what_is_written_to_it(platform: Any, db: Any, scaling: Any) -> None:
    register(scaling, INDEX)
    track(scaling, INDEX)

    minutes(platform, 900, 900, index="by-g")
    assert (capacity(db, index=True), capacity(db)) == (30, 10)


def test_what_a_provisioned_table_consumes_is_in_cloudwatch(
    platform: Any, client: Any, db: Any
) -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html"""
    begun = platform.cloud.world.cloud()
    told = {"": 0.0, "by-g": 0.0}
    for n in range(3):
        item = {"pk": {"S": str(n)}, "g": {"S": "x"}, "v": {"S": "x" * 3000}}
        cost = db.put_item(TableName="orders", Item=item, ReturnConsumedCapacity="INDEXES")
        told[""] += cost["ConsumedCapacity"]["Table"]["CapacityUnits"]
        indexes = cost["ConsumedCapacity"]["GlobalSecondaryIndexes"]
        told["by-g"] += indexes["by-g"]["CapacityUnits"]
    assert told == {"": 9.0, "by-g": 3.0}
    platform.run(platform.cloud.metrics.flush())
    for index, units in told.items():
        dimensions = [{"Name": "TableName", "Value": "orders"}]
        if index:
            dimensions.append({"Name": "GlobalSecondaryIndexName", "Value": index})
        points = client("cloudwatch").get_metric_statistics(
            Namespace="AWS/DynamoDB",
            MetricName="ConsumedWriteCapacityUnits",
            Dimensions=dimensions,
            StartTime=begun - 120,
            EndTime=begun + 7200,
            Period=60,
            Statistics=["Sum"],
        )["Datapoints"]
        assert sum(point["Sum"] for point in points) == units


def test_scheduled_actions_set_the_bounds(platform: Any, db: Any, scaling: Any) -> None:
    """https://docs.aws.amazon.com/autoscaling/application/userguide/application-auto-scaling-scheduled-scaling.html"""
    register(scaling)
    action = {**WRITE, "ScheduledActionName": "night"}
    scaling.put_scheduled_action(
        **action, Schedule="rate(1 hour)", ScalableTargetAction={"MinCapacity": 40, "MaxCapacity": 50}
    )  # fmt: skip
    come_to_rest(platform, LOOK, ACT)
    assert capacity(db) == 10
    advance(platform, 3601)
    come_to_rest(platform, ACT, LOOK)
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="dynamodb")["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (40, 50)
    assert capacity(db) == 40
    (found,) = scaling.describe_scheduled_actions(**WRITE)["ScheduledActions"]
    assert found["ScheduledActionARN"].startswith(f"arn:aws:autoscaling:us-east-1:{ACCOUNT}:scheduledAction:")  # fmt: skip
    scaling.register_scalable_target(**WRITE, MinCapacity=1, SuspendedState={"ScheduledScalingSuspended": True})  # fmt: skip
    advance(platform, 3601)
    come_to_rest(platform, ACT, LOOK)
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="dynamodb")["ScalableTargets"]
    assert target["MinCapacity"] == 1
    scaling.delete_scheduled_action(**action)
    assert refused(scaling.delete_scheduled_action, **action)[0] == "ObjectNotFoundException"
    assert scaling.describe_scheduled_actions(**WRITE)["ScheduledActions"] == []


def test_what_is_described_is_what_was_put(client: Any, db: Any, scaling: Any) -> None:
    arn = register(scaling, Tags={"team": "a"})["ScalableTargetARN"]
    assert arn.startswith(f"arn:aws:application-autoscaling:us-east-1:{ACCOUNT}:scalable-target/")
    assert register(scaling, low=6)["ScalableTargetARN"] == arn
    (target,) = scaling.describe_scalable_targets(
        ServiceNamespace="dynamodb", ResourceIds=["table/orders"]
    )["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (6, 100)
    role = client("iam").get_role(RoleName=target["RoleARN"].rpartition("/")[2])["Role"]
    assert role["Arn"] == target["RoleARN"]
    put = track(scaling)
    assert put["PolicyARN"].endswith(":resource/dynamodb/table/orders:policyName/p")
    assert track(scaling, TargetValue=70.0)["PolicyARN"] == put["PolicyARN"]
    (policy,) = scaling.describe_scaling_policies(**WRITE)["ScalingPolicies"]
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 70.0
    scaling.tag_resource(ResourceARN=arn, Tags={"b": "2"})
    scaling.untag_resource(ResourceARN=arn, TagKeys=["team"])
    assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"b": "2"}
    register(scaling, INDEX)
    page = scaling.describe_scalable_targets(ServiceNamespace="dynamodb", MaxResults=1)
    rest = scaling.describe_scalable_targets(ServiceNamespace="dynamodb", NextToken=page["NextToken"])  # fmt: skip
    assert len(page["ScalableTargets"]) == len(rest["ScalableTargets"]) == 1
    scaling.deregister_scalable_target(**WRITE)
    assert scaling.describe_scaling_policies(ServiceNamespace="dynamodb")["ScalingPolicies"] == []
    assert refused(scaling.list_tags_for_resource, ResourceARN=arn)[0] == "ResourceNotFoundException"  # fmt: skip


def test_what_is_wrong_is_said_as_aws_says_it(db: Any, scaling: Any) -> None:
    gone = {**WRITE, "ResourceId": "table/none"}
    assert refused(register, scaling, gone) == ("ValidationException", "DynamoDB table does not exist: table/none")  # fmt: skip
    assert refused(track, scaling) == ("ObjectNotFoundException", UNREGISTERED)
    assert refused(scaling.deregister_scalable_target, **WRITE)[0] == "ObjectNotFoundException"
    crossed = {**WRITE, "ScalableDimension": "dynamodb:index:WriteCapacityUnits"}
    assert refused(register, scaling, crossed) == (
        "ValidationException",
        "Unsupported service namespace, resource type or scalable dimension",
    )
    assert refused(register, scaling, WRITE, 7, 6)[0] == "ValidationException"
    register(scaling)
    assert refused(track, scaling, TargetValue=95.0)[0] == "ValidationException"
    wrong = {"PredefinedMetricType": "DynamoDBReadCapacityUtilization"}
    assert refused(track, scaling, PredefinedMetricSpecification=wrong)[0] == "ValidationException"
    track(scaling)
    assert "Only one TargetTrackingScaling policy" in refused(track, scaling, name="q")[1]
    action = {**WRITE, "ScheduledActionName": "a", "ScalableTargetAction": {"MinCapacity": 1}}
    for schedule in ("cron(bad)", "at(2001-01-01T00:00:00)"):
        assert refused(scaling.put_scheduled_action, **action, Schedule=schedule)[0] == "ValidationException"  # fmt: skip


@pytest.mark.parametrize(
    ("namespace", "resource", "dimension"),
    [
        ("ecs", "service/a/b", "ecs:service:DesiredCount"),
        ("lambda", "function:f:1", "lambda:function:ProvisionedConcurrency"),
    ],
)
def test_other_services_are_refused_by_name(
    scaling: Any, namespace: str, resource: str, dimension: str
) -> None:
    place = {"ServiceNamespace": namespace, "ResourceId": resource, "ScalableDimension": dimension}
    code, message = refused(register, scaling, place)
    assert code == "ValidationException"
    assert namespace in message
    assert "not offered" in message
    assert scaling.describe_scalable_targets(ServiceNamespace=namespace)["ScalableTargets"] == []


def test_who_registers_must_be_allowed_to_see_the_table(client: Any, db: Any) -> None:
    allow = {"Effect": "Allow", "Action": ["application-autoscaling:*", "iam:CreateServiceLinkedRole"], "Resource": "*"}  # fmt: skip
    ann = user_client(client, NAME, [allow])
    assert refused(register, ann) == (
        "ValidationException",
        "User is missing the following permissions: dynamodb:DescribeTable",
    )


def test_a_stack_scales_a_table(platform: Any, client: Any) -> None:
    """AWS::ApplicationAutoScaling::ScalableTarget and ScalingPolicy as SAM and CDK write them."""
    template = {
        "Resources": {
            "Table": {
                "Type": "AWS::DynamoDB::Table",
                "Properties": {
                    "TableName": "stacked",
                    "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
                    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
                    "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5},
                },
            },
            "Target": {
                "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
                "Properties": {
                    "ServiceNamespace": "dynamodb",
                    "ResourceId": {"Fn::Sub": "table/${Table}"},
                    "ScalableDimension": "dynamodb:table:WriteCapacityUnits",
                    "MinCapacity": 8,
                    "MaxCapacity": 20,
                    "ScheduledActions": [
                        {
                            "ScheduledActionName": "s",
                            "Schedule": "cron(0 18 * * ? *)",
                            "ScalableTargetAction": {"MaxCapacity": 9},
                        }
                    ],
                },
            },
            "Policy": {
                "Type": "AWS::ApplicationAutoScaling::ScalingPolicy",
                "Properties": {
                    "PolicyName": "p",
                    "PolicyType": "TargetTrackingScaling",
                    "ScalingTargetId": {"Ref": "Target"},
                    "TargetTrackingScalingPolicyConfiguration": TRACKING,
                },
            },
        }
    }
    stacks, scaling = client("cloudformation"), client(NAME)
    waits = {"Delay": 0.1, "MaxAttempts": 600}
    stacks.create_stack(StackName="s", TemplateBody=json.dumps(template))
    stacks.get_waiter("stack_create_complete").wait(StackName="s", WaiterConfig=waits)
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="dynamodb")["ScalableTargets"]
    assert target["ResourceId"] == "table/stacked"
    come_to_rest(platform, LOOK)
    units = client("dynamodb").describe_table(TableName="stacked")["Table"]["ProvisionedThroughput"]
    assert units["WriteCapacityUnits"] == 8
    place = {name: target[name] for name in WRITE}
    (policy,) = scaling.describe_scaling_policies(**place)["ScalingPolicies"]
    found = stacks.describe_stack_resource(StackName="s", LogicalResourceId="Policy")
    assert found["StackResourceDetail"]["PhysicalResourceId"] == policy["PolicyARN"]
    del template["Resources"]["Target"]["Properties"]["ScheduledActions"]  # type: ignore[attr-defined]
    template["Resources"]["Target"]["Properties"]["MaxCapacity"] = 30  # type: ignore[index]
    stacks.update_stack(StackName="s", TemplateBody=json.dumps(template))
    stacks.get_waiter("stack_update_complete").wait(StackName="s", WaiterConfig=waits)
    assert scaling.describe_scheduled_actions(**place)["ScheduledActions"] == []
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="dynamodb")["ScalableTargets"]
    assert target["MaxCapacity"] == 30
    stacks.delete_stack(StackName="s")
    stacks.get_waiter("stack_delete_complete").wait(StackName="s", WaiterConfig=waits)
    assert scaling.describe_scalable_targets(ServiceNamespace="dynamodb")["ScalableTargets"] == []
