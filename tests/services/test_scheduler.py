"""EventBridge Scheduler: schedules that come due on the cloud clock and call their targets under a role."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from botocore.exceptions import ClientError
from eventing import (
    ACCOUNT,
    advance,
    come_to_rest,
    nothing_came,
    queue,
    received,
    role,
    user_client,
)

from stratolite.services.scheduler import state

SERVICE = "scheduler.amazonaws.com"
OFF = {"Mode": "OFF"}


@pytest.fixture
def scheduler(client):
    return client("scheduler")


@pytest.fixture
def sender(client):
    """A role that may send anywhere."""
    return role(client, "sender", SERVICE, "sqs:*", "events:PutEvents", "dynamodb:PutItem", "lambda:InvokeFunction")  # fmt: skip


def create(scheduler, sender, arn, expression, name="s", **more):
    target = {"Arn": arn, "RoleArn": sender, "Input": json.dumps({"at": "<aws.scheduler.scheduled-time>"})} | more.pop("Target", {})  # fmt: skip
    return scheduler.create_schedule(
        Name=name, ScheduleExpression=expression, Target=target, **{"FlexibleTimeWindow": OFF} | more
    )  # fmt: skip


def later(platform, seconds):
    return datetime.fromtimestamp(platform.cloud.world.cloud() + seconds, UTC)


def test_a_rate_begins_at_once_and_goes_on(platform, client, scheduler, sender):
    url, arn = queue(client, services=())
    create(scheduler, sender, arn, "rate(10 minutes)")
    first = received(client, url)[0]["at"]
    assert nothing_came(client, url)
    advance(platform, 1201)
    times = sorted(m["at"] for m in received(client, url, 2))
    assert first < times[0] < times[1]
    platform.reopen()
    advance(platform, 600)
    assert received(client, url)[0]["at"] > times[1]


def test_a_one_time_schedule_happens_once_in_its_zone_and_deletes_itself(platform, client, scheduler, sender):  # fmt: skip
    url, arn = queue(client, services=())
    local = later(platform, 3600).astimezone(ZoneInfo("Asia/Tokyo"))
    create(scheduler, sender, arn, f"at({local:%Y-%m-%dT%H:%M:%S})", ScheduleExpressionTimezone="Asia/Tokyo", ActionAfterCompletion="DELETE")  # fmt: skip
    advance(platform, 3500)
    assert nothing_came(client, url)
    advance(platform, 101)
    assert received(client, url)[0]["at"] == local.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    come_to_rest(platform, "scheduler.fire")
    with pytest.raises(ClientError, match="Schedule s does not exist"):
        scheduler.get_schedule(Name="s")


def test_a_schedule_keeps_to_its_dates(platform, client, scheduler, sender):
    url, arn = queue(client, services=())
    create(scheduler, sender, arn, "rate(1 hour)", StartDate=later(platform, 7200), EndDate=later(platform, 7200 + 5400))  # fmt: skip
    advance(platform, 7100)
    assert nothing_came(client, url)
    advance(platform, 20_000)
    assert len(received(client, url, 2)) == 2
    come_to_rest(platform, "scheduler.fire", "scheduler.deliver")
    assert nothing_came(client, url)


def test_a_flexible_window_moves_the_call_and_not_the_time_it_was_meant_for(platform, client, scheduler, sender):  # fmt: skip
    url, arn = queue(client, services=())
    when = later(platform, 3600)
    create(scheduler, sender, arn, f"at({when:%Y-%m-%dT%H:%M:%S})", FlexibleTimeWindow={"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15})  # fmt: skip
    advance(platform, 3600 + 901)
    assert received(client, url)[0]["at"] == when.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_what_is_updated_or_switched_off_or_deleted_does_not_fire_as_before(platform, client, scheduler, sender):  # fmt: skip
    url, arn = queue(client, services=())
    create(scheduler, sender, arn, "cron(0 * * * ? *)")
    kept = {"Name": "s", "Target": {"Arn": arn, "RoleArn": sender, "Input": '{"new": 1}'}, "FlexibleTimeWindow": OFF}  # fmt: skip
    scheduler.update_schedule(ScheduleExpression="cron(0 * * * ? *)", **kept)
    advance(platform, 3600)
    assert received(client, url) == [{"new": 1}]
    scheduler.update_schedule(ScheduleExpression="cron(0 * * * ? *)", State="DISABLED", **kept)
    advance(platform, 3600)
    scheduler.update_schedule(ScheduleExpression="cron(0 * * * ? *)", **kept)
    scheduler.delete_schedule(Name="s")
    advance(platform, 3600)
    come_to_rest(platform, "scheduler.fire", "scheduler.deliver")
    assert nothing_came(client, url)


def test_a_universal_target_is_any_operation_of_this_cloud(platform, client, scheduler, sender):
    client("dynamodb").create_table(
        TableName="tab", KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}], BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
    )  # fmt: skip
    item = {"TableName": "tab", "Item": {"k": {"S": "<aws.scheduler.execution-id>"}}}
    create(scheduler, sender, "arn:aws:scheduler:::aws-sdk:dynamodb:putItem", "rate(1 day)", Target={"Input": json.dumps(item)})  # fmt: skip
    come_to_rest(platform, "scheduler.fire", "scheduler.deliver")
    assert len(client("dynamodb").scan(TableName="tab")["Items"][0]["k"]["S"]) == 36


@pytest.mark.parametrize(
    ("arn", "given"),
    [
        ("sfn:startExecution", {"StateMachineArn": "MACHINE", "Name": "n<aws.scheduler.attempt-number>", "Input": {"n": 1}}),
        ("sfn:startExecution", {"stateMachineArn": "MACHINE", "name": "n1", "input": '{"n":1}'}),
        ("kinesis:putRecord", {"StreamName": "s", "Data": "hello", "PartitionKey": "k"}),
        ("cloudwatchlogs:createLogGroup", {"LogGroupName": "g"}),
        ("s3:deleteObject", {"Bucket": "bucket", "Key": "k"}),
    ],
)  # fmt: skip
def test_a_universal_target_is_spelled_as_the_sdk_does(platform, client, scheduler, arn, given):
    """https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html: services by the SDK's identifiers."""
    sender = role(client, "sender", SERVICE, "states:*", "kinesis:*", "logs:*", "s3:*")
    flow = '{"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}'
    machine = client("stepfunctions").create_state_machine(name="m", definition=flow, roleArn=role(client, "runs", "states.amazonaws.com"))["stateMachineArn"]  # fmt: skip
    client("kinesis").create_stream(StreamName="s", ShardCount=1)
    client("s3").create_bucket(Bucket="bucket")
    client("s3").put_object(Bucket="bucket", Key="k", Body=b"x")
    text = json.dumps(given).replace("MACHINE", machine)
    create(scheduler, sender, f"arn:aws:scheduler:::aws-sdk:{arn}", "rate(1 day)", Target={"Input": text})  # fmt: skip
    come_to_rest(platform, "scheduler.fire", "scheduler.deliver")
    if arn.startswith("sfn"):
        [run] = client("stepfunctions").list_executions(stateMachineArn=machine)["executions"]
        asked = client("stepfunctions").describe_execution(executionArn=run["executionArn"])
        assert (asked["name"], asked["input"]) == ("n1", '{"n":1}')
    elif arn.startswith("kinesis"):
        kinesis = client("kinesis")
        place = {"StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"}  # fmt: skip
        [record] = kinesis.get_records(ShardIterator=kinesis.get_shard_iterator(**place)["ShardIterator"])["Records"]  # fmt: skip
        assert record["Data"] == b"hello"
    elif arn.startswith("s3"):
        assert "Contents" not in client("s3").list_objects_v2(Bucket="bucket")
    else:
        assert [g["logGroupName"] for g in client("logs").describe_log_groups()["logGroups"]] == ["g"]  # fmt: skip


def test_a_bus_gets_an_event(client, scheduler, sender):
    url, arn = queue(client)
    events = client("events")
    events.put_rule(Name="r", EventPattern='{"source": ["timer"]}')
    events.put_targets(Rule="r", Targets=[{"Id": "t", "Arn": arn}])
    bus = f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/default"
    create(scheduler, sender, bus, "rate(1 day)", Target={"EventBridgeParameters": {"Source": "timer", "DetailType": "tick"}})  # fmt: skip
    assert received(client, url)[0]["detail-type"] == "tick"


def test_what_the_role_may_not_do_goes_to_the_dead_letter_queue(client, scheduler):
    """https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html"""
    _, arn = queue(client, services=())
    dead_url, dead = queue(client, "dead", services=())
    weak = role(client, "weak", SERVICE)
    policy = {"Statement": [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": dead}]}
    client("iam").put_role_policy(RoleName="weak", PolicyName="p", PolicyDocument=json.dumps(policy))  # fmt: skip
    made = create(scheduler, weak, arn, "rate(1 day)", Target={"DeadLetterConfig": {"Arn": dead}})
    message = received(client, dead_url, raw=True)[0]
    said = {k: v["StringValue"] for k, v in message["MessageAttributes"].items()}
    assert said["SCHEDULE_ARN"] == made["ScheduleArn"]
    assert said["TARGET_ARN"] == arn
    assert "AccessDenied" in said["ERROR_CODE"]


# Recorded from AWS by localstack/localstack, tests/aws/services/scheduler/test_scheduler.snapshot.json
@pytest.mark.parametrize(
    "expression",
    [
        "cron(0 1 * * * *)", "cron(7 20 * * NOT *)", "cron(INVALID)", "cron(0 dummy ? * MON-FRI *)", "cron(71 8 1 * ? *)", "cron()",
        "rate(10 seconds)", "rate(10 years)", "rate()", "rate(10)", "rate(10 minutess)", "rate(foo minutes)", "rate(-10 minutes)",
        "rate( 10 minutes )", " rate(10 minutes)", "at(2021-12-31T23:59:59Z)", "at(2021-12-31)",
    ],
)  # fmt: skip
def test_an_expression_that_is_none_is_refused(scheduler, sender, expression):
    with pytest.raises(ClientError) as found:
        create(scheduler, sender, f"arn:aws:sqs:us-east-1:{ACCOUNT}:q", expression)
    error = found.value.response["Error"]
    assert (error["Code"], error["Message"]) == ("ValidationException", f"Invalid Schedule Expression {expression}.")  # fmt: skip


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"ScheduleExpressionTimezone": "Mars/Olympus"}, "Invalid Schedule Expression Timezone Mars/Olympus."),
        ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}}, "MaximumWindowInMinutes must be provided"),
        ({"KmsKeyArn": "arn:aws:kms:us-east-1:000000000000:key/k"}, "The KmsKeyArn cannot be used"),
        ({"Target": {"Arn": "arn:aws:ecs:us-east-1:000000000000:cluster/c"}}, "targets of the service ecs are not offered"),
        ({"Target": {"Arn": "arn:aws:scheduler:::aws-sdk:ec2:startInstances"}}, "The universal target service ec2 is not offered"),
        ({"Target": {"Arn": "arn:aws:scheduler:::aws-sdk:sqs:receiveMessage"}}, "is a read-only operation"),
        ({"Target": {"Arn": "arn:aws:scheduler:::aws-sdk:dynamodb:transactGetItems"}}, "is a read-only operation"),
        ({"Target": {"Arn": "arn:aws:scheduler:::aws-sdk:kinesis:subscribeToShard"}}, "The universal target service kinesis is not offered"),
        ({"Target": {"Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage", "Input": '{"DelaySeconds": "soon"}'}}, "Invalid RequestJson provided"),
        ({"Target": {"Arn": "arn:aws:scheduler:::aws-sdk:sqs:inventMessage"}}, "InventMessage is not offered"),
        ({"Target": {"RoleArn": "arn:aws:iam::000000000000:role/gone"}}, "must allow AWS EventBridge Scheduler to assume the role"),
    ],
)  # fmt: skip
def test_a_schedule_that_could_not_be_carried_out_is_refused(scheduler, sender, more, message):
    with pytest.raises(ClientError) as found:
        create(scheduler, sender, f"arn:aws:sqs:us-east-1:{ACCOUNT}:q", "rate(1 day)", **more)
    assert found.value.response["Error"]["Code"] == "ValidationException"
    assert message in found.value.response["Error"]["Message"]
    assert scheduler.list_schedules()["Schedules"] == []


def test_groups_hold_schedules_and_take_them_along(platform, scheduler, sender):
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:q"
    made = scheduler.create_schedule_group(Name="g", Tags=[{"Key": "k", "Value": "v"}])
    assert made["ScheduleGroupArn"] == f"arn:aws:scheduler:us-east-1:{ACCOUNT}:schedule-group/g"
    for group, name in (("g", "a"), ("g", "b"), ("default", "a")):
        create(scheduler, sender, arn, "cron(0 0 1 1 ? 2199)", name, GroupName=group)
    with pytest.raises(ClientError, match="Schedule a already exists"):
        create(scheduler, sender, arn, "rate(1 day)", "a", GroupName="g")
    with pytest.raises(ClientError, match="Schedule group gone does not exist"):
        create(scheduler, sender, arn, "rate(1 day)", "a", GroupName="gone")
    pages = scheduler.get_paginator("list_schedules").paginate(PaginationConfig={"PageSize": 1})
    listed = [(s["GroupName"], s["Name"]) for page in pages for s in page["Schedules"]]
    assert listed == [("default", "a"), ("g", "a"), ("g", "b")]
    assert [g["Name"] for g in scheduler.list_schedule_groups()["ScheduleGroups"]] == ["default", "g"]  # fmt: skip
    assert scheduler.list_tags_for_resource(ResourceArn=made["ScheduleGroupArn"])["Tags"] == [{"Key": "k", "Value": "v"}]  # fmt: skip
    scheduler.delete_schedule_group(Name="g")
    come_to_rest(platform, "scheduler.drop")
    assert [s["GroupName"] for s in scheduler.list_schedules()["Schedules"]] == ["default"]
    with pytest.raises(ClientError, match="Schedule group g does not exist"):
        scheduler.get_schedule_group(Name="g")
    with pytest.raises(ClientError, match="default schedule group"):
        scheduler.delete_schedule_group(Name="default")


def test_a_group_that_goes_takes_no_more_schedules(platform, scheduler, sender):
    """Nothing could be left of it: https://docs.aws.amazon.com/scheduler/latest/APIReference/API_DeleteScheduleGroup.html"""
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:q"
    scheduler.create_schedule_group(Name="g")
    group = platform.cloud.call(ACCOUNT, "us-east-1")

    def mark(call):
        keys = call.keys("scheduler")
        state.put_group(call.tx, keys, "g", state.group(call.tx, keys, "g") | {"state": "DELETING"})

    platform.run(group.transact(mark))
    with pytest.raises(ClientError, match="Schedule group g is being deleted") as found:
        create(scheduler, sender, arn, "rate(1 day)", "a", GroupName="g")
    assert found.value.response["Error"]["Code"] == "ConflictException"


def test_a_schedule_is_answered_as_it_was_asked_for(scheduler, sender):
    create(scheduler, sender, f"arn:aws:sqs:us-east-1:{ACCOUNT}:q", "rate(5 minutes)", Description="d", ClientToken="t")  # fmt: skip
    create(scheduler, sender, f"arn:aws:sqs:us-east-1:{ACCOUNT}:q", "rate(5 minutes)", Description="d", ClientToken="t")  # fmt: skip
    found = scheduler.get_schedule(Name="s")
    assert found["Target"]["RetryPolicy"] == {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}  # fmt: skip
    assert (found["State"], found["ScheduleExpressionTimezone"], found["ActionAfterCompletion"]) == ("ENABLED", "UTC", "NONE")  # fmt: skip
    assert (found["Description"], found["GroupName"]) == ("d", "default")


def test_whoever_makes_a_schedule_must_be_let_pass_its_role(client, sender):
    ann = user_client(client, "scheduler", [{"Effect": "Allow", "Action": "scheduler:*", "Resource": "*"}])  # fmt: skip
    with pytest.raises(ClientError, match="iam:PassRole"):
        create(ann, sender, f"arn:aws:sqs:us-east-1:{ACCOUNT}:q", "rate(1 day)")


TEMPLATE = """
Resources:
  Bus: {Type: AWS::Events::EventBus, Properties: {Name: tbus, Policy: {Statement: [{Sid: a, Effect: Allow, Principal: {AWS: "111111111111"}, Action: events:PutEvents, Resource: !Sub "arn:aws:events:${AWS::Region}:${AWS::AccountId}:event-bus/tbus"}]}}}
  Queue: {Type: AWS::SQS::Queue}
  Rule:
    Type: AWS::Events::Rule
    Properties:
      EventBusName: !Ref Bus
      EventPattern: {source: [NAME]}
      Targets: [{Id: q, Arn: !GetAtt Queue.Arn, RetryPolicy: {MaximumRetryAttempts: 3}}]
  Archive: {Type: AWS::Events::Archive, Properties: {SourceArn: !GetAtt Bus.Arn, RetentionDays: 3}}
  Connection: {Type: AWS::Events::Connection, Properties: {AuthorizationType: API_KEY, AuthParameters: {ApiKeyAuthParameters: {ApiKeyName: k, ApiKeyValue: v}}}}
  Destination: {Type: AWS::Events::ApiDestination, Properties: {ConnectionArn: !GetAtt Connection.Arn, HttpMethod: POST, InvocationEndpoint: "https://example.org/NAME"}}
  Group: {Type: AWS::Scheduler::ScheduleGroup}
  Role: {Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {Statement: [{Effect: Allow, Principal: {Service: scheduler.amazonaws.com}, Action: sts:AssumeRole}]}}}
  Schedule:
    Type: AWS::Scheduler::Schedule
    Properties:
      GroupName: !Ref Group
      ScheduleExpression: rate(7 days)
      FlexibleTimeWindow: {Mode: "OFF"}
      Description: NAME
      Target: {Arn: !GetAtt Queue.Arn, RoleArn: !GetAtt Role.Arn}
Outputs:
  Rule: {Value: !Ref Rule}
  RuleArn: {Value: !GetAtt Rule.Arn}
  Group: {Value: !Ref Group}
  Schedule: {Value: !Ref Schedule}
  Destination: {Value: !Ref Destination}
  Connection: {Value: !GetAtt Connection.ArnForPolicy}
  Secret: {Value: !GetAtt Connection.SecretArn}
"""


def test_a_stack_of_all_types_is_made_changed_and_removed(client, scheduler):
    cloudformation, events = client("cloudformation"), client("events")
    waits = {"WaiterConfig": {"Delay": 1, "MaxAttempts": 30}}

    def outputs(name, operation):
        getattr(cloudformation, f"{operation}_stack")(StackName="s", TemplateBody=TEMPLATE.replace("NAME", name), Capabilities=["CAPABILITY_IAM"])  # fmt: skip
        cloudformation.get_waiter(f"stack_{operation}_complete").wait(StackName="s", **waits)
        stack = cloudformation.describe_stacks(StackName="s")["Stacks"][0]
        return {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}

    first = outputs("one", "create")
    bus, _, name = first["Rule"].partition("|")
    assert bus == "tbus"
    assert events.list_targets_by_rule(Rule=name, EventBusName=bus)["Targets"][0]["RetryPolicy"] == {"MaximumRetryAttempts": 3}  # fmt: skip
    secret = client("secretsmanager").get_secret_value(SecretId=first["Secret"])["SecretString"]
    assert json.loads(secret) == {"api_key_name": "k", "api_key_value": "v"}
    assert first["Connection"].split(":connection/")[1] in first["Secret"]
    assert outputs("two", "update") == first
    assert json.loads(events.describe_rule(Name=name, EventBusName=bus)["EventPattern"]) == {"source": ["two"]}  # fmt: skip
    assert scheduler.get_schedule(GroupName=first["Group"], Name=first["Schedule"])["Description"] == "two"  # fmt: skip
    assert events.describe_api_destination(Name=first["Destination"])["InvocationEndpoint"] == "https://example.org/two"  # fmt: skip
    cloudformation.delete_stack(StackName="s")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="s", **waits)
    assert [b["Name"] for b in events.list_event_buses()["EventBuses"]] == ["default"]
    assert events.list_archives()["Archives"] == []
    assert events.list_connections()["Connections"] == []
    assert scheduler.list_schedules()["Schedules"] == []
