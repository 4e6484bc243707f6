"""What services tell CloudWatch of themselves: names, dimensions and units as AWS documents them.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-monitoring.html
https://docs.aws.amazon.com/scheduler/latest/UserGuide/monitoring-cloudwatch.html
https://docs.aws.amazon.com/streams/latest/dev/monitoring-with-cloudwatch.html
https://docs.aws.amazon.com/sns/latest/dg/sns-monitoring-using-cloudwatch.html
"""

from __future__ import annotations

import json
import time
from typing import Any

import lambdas
import pytest
from botocore.exceptions import ClientError
from eventing import ACCOUNT, advance, come_to_rest, queue, received, role

Totals = dict[tuple[str, str], float]


def totals(platform: Any, client: Any, namespace: str, statistic: str = "Sum") -> Totals:
    """(metric, its dimensions as name=value, ...) -> the statistic of all there is."""
    platform.run(platform.cloud.metrics.flush())
    cw, found, now = client("cloudwatch"), {}, platform.cloud.world.cloud()
    for metric in cw.list_metrics(Namespace=namespace)["Metrics"]:
        points = cw.get_metric_statistics(
            Namespace=namespace, MetricName=metric["MetricName"], Dimensions=metric["Dimensions"], StartTime=now - 86_400,
            EndTime=now + 3600, Period=90_000 // 60 * 60, Statistics=[statistic],
        )["Datapoints"]  # fmt: skip
        where = ",".join(f"{d['Name']}={d['Value']}" for d in metric["Dimensions"])
        found[metric["MetricName"], where] = sum(p[statistic] for p in points)
    return found


def test_functions_by_name_by_alias_and_all_together(platform, client):
    """CDK's metricErrors of an alias and metricAllErrors ask for the second and the third."""
    lam = client("lambda")
    lambdas.create(client, "fn", "def handler(event, context):\n    return 1 / event['n']")
    lambdas.create(client, "other")
    lam.publish_version(FunctionName="fn")
    lam.create_alias(FunctionName="fn", Name="live", FunctionVersion="1")
    for n in (1, 0):
        lam.invoke(FunctionName="fn", Qualifier="live", Payload=json.dumps({"n": n}))
    lam.invoke(FunctionName="other")
    found = totals(platform, client, "AWS/Lambda")
    for where, invocations, errors in (
        ("FunctionName=fn", 2, 1),
        ("FunctionName=fn,Resource=fn:live", 2, 1),
        ("ExecutedVersion=1,FunctionName=fn,Resource=fn:live", 2, 1),
        ("FunctionName=other,Resource=other", 1, 0),
        ("", 3, 1),
    ):
        assert found["Invocations", where] == invocations
        assert found["Errors", where] == errors
        assert found["Duration", where] > 0
    named = {where for _, where in found if "ExecutedVersion" in where}
    assert named == {"ExecutedVersion=1,FunctionName=fn,Resource=fn:live"}
    most = totals(platform, client, "AWS/Lambda", "Maximum")
    assert most["ConcurrentExecutions", "FunctionName=fn"] == most["ConcurrentExecutions", ""] == 1


def test_events_of_functions_that_are_dropped(platform, client):
    """And a dead-letter queue that is gone by then."""
    url, arn = queue(client, services=())
    failing = role(client, "failing", "lambda.amazonaws.com", "sqs:*")
    lambdas.create(client, "fn", "def handler(event, context):\n    raise ValueError", Role=failing, DeadLetterConfig={"TargetArn": arn})  # fmt: skip
    client("lambda").put_function_event_invoke_config(FunctionName="fn", MaximumRetryAttempts=0)
    client("lambda").invoke(FunctionName="fn", InvocationType="Event")
    assert received(client, url, raw=True)
    client("sqs").delete_queue(QueueUrl=url)
    client("lambda").invoke(FunctionName="fn", InvocationType="Event")
    come_to_rest(platform, "lambda.async", "lambda.destination")
    found = totals(platform, client, "AWS/Lambda")
    where = "FunctionName=fn"
    assert [found[name, where] for name in ("AsyncEventsReceived", "AsyncEventsDropped", "DeadLetterErrors")] == [2, 2, 1]  # fmt: skip
    assert ("AsyncEventAge", where) in found


def test_rules_tell_what_became_of_their_targets(platform, client):
    events = client("events")
    url, arn = queue(client, "q")
    dead_url, dead = queue(client, "dead")
    _, closed = queue(client, "closed", services=())
    events.create_event_bus(Name="own")
    for bus in ("default", "own"):
        events.put_rule(Name=f"on-{bus}", EventBusName=bus, EventPattern='{"source": ["me"]}')
        events.put_targets(Rule=f"on-{bus}", EventBusName=bus, Targets=[
            {"Id": "good", "Arn": arn}, {"Id": "bad", "Arn": closed, "DeadLetterConfig": {"Arn": dead}},
        ])  # fmt: skip
        events.put_events(Entries=[{"Source": "me", "DetailType": "d", "Detail": "{}", "EventBusName": bus}, {"Source": "me"}])  # fmt: skip
    received(client, url, 2)
    received(client, dead_url, 2)
    come_to_rest(platform, "events.route", "events.deliver")
    found = totals(platform, client, "AWS/Events")
    for where in ("RuleName=on-default", "EventBusName=own,RuleName=on-own"):
        assert {name: found.get((name, where)) for name in (
            "MatchedEvents", "TriggeredRules", "Invocations", "InvocationAttempts", "SuccessfulInvocationAttempts",
            "FailedInvocations", "InvocationsSentToDlq", "RetryInvocationAttempts",
        )} == {
            "MatchedEvents": 1, "TriggeredRules": 1, "Invocations": 2, "InvocationAttempts": 2, "SuccessfulInvocationAttempts": 1,
            "FailedInvocations": 1, "InvocationsSentToDlq": 1, "RetryInvocationAttempts": None,
        }  # fmt: skip
    assert found["MatchedEvents", "EventBusName=own"] == 1
    assert found["Invocations", ""] == 4
    assert found["PutEventsApproximateCallCount", ""] == 2
    assert (found["PutEventsEntriesCount", ""], found["PutEventsFailedEntriesCount", ""]) == (4, 2)


def test_schedules_are_counted_by_their_group(platform, client):
    scheduler = client("scheduler")
    sender = role(client, "sender", "scheduler.amazonaws.com", "sqs:*")
    url, arn = queue(client, services=())
    scheduler.create_schedule_group(Name="g")
    for name, target in (("good", arn), ("bad", f"arn:aws:sqs:us-east-1:{ACCOUNT}:none")):
        scheduler.create_schedule(
            Name=name, GroupName="g", ScheduleExpression="rate(1 hour)", FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": target, "RoleArn": sender, "DeadLetterConfig": {"Arn": arn}},
        )  # fmt: skip
    received(client, url, 2)
    come_to_rest(platform, "scheduler.fire", "scheduler.deliver")
    found = totals(platform, client, "AWS/Scheduler")
    for where in ("ScheduleGroup=g", ""):
        assert {name: value for (name, at), value in found.items() if at == where} == {
            "InvocationAttemptCount": 2, "TargetErrorCount": 1, "InvocationDroppedCount": 1, "InvocationsSentToDeadLetterCount": 1,
        }  # fmt: skip


def test_pipes_tell_of_events_and_of_stages(platform, client):
    worker = role(client, "worker", "pipes.amazonaws.com", "sqs:*", "lambda:InvokeFunction")
    source_url, source = queue(client, "in", services=())
    url, target = queue(client, "out", services=())
    lambdas.create(client, "enrich", "def handler(events, context):\n    return [{'n': 1}]")
    enrich = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:enrich"
    client("pipes").create_pipe(Name="p", Source=source, Target=target, RoleArn=worker, Enrichment=enrich)  # fmt: skip
    come_to_rest(platform, "pipes.change")
    client("sqs").send_message(QueueUrl=source_url, MessageBody='{"n": 1}')
    received(client, url)
    wanted = {
        "Invocations": 1, "EventCount": 1, "ExecutionFailed": 0, "ExecutionPartiallyFailed": 0, "EnrichmentStageFailed": 0,
        "TargetStageFailed": 0,
    }  # fmt: skip
    names = {*wanted, "EventSize", "Duration", "EnrichmentStageDuration", "TargetStageDuration"}
    for _ in range(500):  # the pipe's own account of it comes after the message
        found = totals(platform, client, "AWS/EventBridge/Pipes")
        if len(found) == len(names):
            break
        time.sleep(0.02)
    assert {name for name, _ in found} == names
    assert {at for _, at in found} == {"PipeName=p"}
    assert {name: found[name, "PipeName=p"] for name in wanted} == wanted


def test_streams_tell_of_each_operation(platform, client):
    kinesis = client("kinesis")
    kinesis.create_stream(StreamName="s", ShardCount=1)
    kinesis.put_record(StreamName="s", Data=b"123", PartitionKey="a")
    one = {"Data": b"x" * 400_000, "PartitionKey": "a"}
    answer = kinesis.put_records(StreamName="s", Records=[one] * 3)
    assert answer["FailedRecordCount"] == 1
    shard = {"StreamName": "s", "ShardId": "shardId-000000000000"}
    at = kinesis.get_shard_iterator(**shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    kinesis.get_records(ShardIterator=at, Limit=1)
    stream = kinesis.describe_stream(StreamName="s")["StreamDescription"]["StreamARN"]
    half = {"ShardToSplit": shard["ShardId"], "NewStartingHashKey": "1000"}
    kinesis.split_shard(StreamName="s", **half)  # so that the subscription has an end
    reader = kinesis.register_stream_consumer(StreamARN=stream, ConsumerName="c")["Consumer"]
    answer = kinesis.subscribe_to_shard(
        ConsumerARN=reader["ConsumerARN"], ShardId=shard["ShardId"], StartingPosition={"Type": "TRIM_HORIZON"},
    )  # fmt: skip
    events = [e["SubscribeToShardEvent"] for e in answer["EventStream"]]
    found = totals(platform, client, "AWS/Kinesis")
    wanted = {
        "PutRecord.Success": 1, "PutRecord.Bytes": 4, "PutRecords.Success": 1, "PutRecords.Bytes": 1_200_003,
        "PutRecords.TotalRecords": 3, "PutRecords.SuccessfulRecords": 2, "PutRecords.ThrottledRecords": 1,
        "GetRecords.Success": 1, "GetRecords.Records": 1,
    }  # fmt: skip
    assert {name: found[name, "StreamName=s"] for name in wanted} == wanted
    assert found["GetRecords.Latency", "StreamName=s"] > 0
    where = "ConsumerName=c,StreamName=s"
    assert found["SubscribeToShardEvent.Success", where] == len(events)
    assert (
        found["SubscribeToShardEvent.Records", where] == sum(len(e["Records"]) for e in events) == 3
    )
    assert found["SubscribeToShardEvent.Bytes", where] > 0
    assert ("SubscribeToShardEvent.MillisBehindLatest", where) in found


def test_shards_tell_what_they_were_asked_to(platform, client):
    kinesis = client("kinesis")
    kinesis.create_stream(StreamName="s", ShardCount=2)
    wanted = ["IncomingRecords", "OutgoingRecords", "OutgoingBytes", "IteratorAgeMilliseconds"]
    kinesis.enable_enhanced_monitoring(StreamName="s", ShardLevelMetrics=wanted)
    kinesis.put_records(StreamName="s", Records=[{"Data": b"12", "PartitionKey": str(n)} for n in range(20)])  # fmt: skip
    first = "shardId-000000000000"
    at = kinesis.get_shard_iterator(StreamName="s", ShardId=first, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]  # fmt: skip
    read = len(kinesis.get_records(ShardIterator=at)["Records"])
    assert 0 < read < 20
    found = totals(platform, client, "AWS/Kinesis")
    where = f"ShardId={first},StreamName=s"
    assert found["IncomingRecords", where] == found["OutgoingRecords", where] == read
    assert found["IncomingRecords", "ShardId=shardId-000000000001,StreamName=s"] == 20 - read
    assert found["OutgoingBytes", where] == found["GetRecords.Bytes", "StreamName=s"] > 0
    assert ("IncomingBytes", where) not in found
    assert found["IncomingRecords", "StreamName=s"] == 20
    kinesis.disable_enhanced_monitoring(StreamName="s", ShardLevelMetrics=["ALL"])
    kinesis.put_record(StreamName="s", Data=b"x", PartitionKey="a")
    again = totals(platform, client, "AWS/Kinesis")
    assert again["IncomingRecords", where] == read
    assert again["IncomingRecords", "StreamName=s"] == 21


def test_topics_tell_why_a_filter_left_a_message_out(platform, client):
    """https://docs.aws.amazon.com/sns/latest/dg/sns-monitoring-using-cloudwatch.html"""
    sns = client("sns")
    topic = sns.create_topic(Name="t")["TopicArn"]
    for name, scope in (("a", "MessageAttributes"), ("b", "MessageBody")):
        _, arn = queue(client, name, services=("sns.amazonaws.com",))
        settings = {"FilterPolicy": '{"k": ["want"]}', "FilterPolicyScope": scope}
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=settings)
    unconfirmed = {"FilterPolicy": '{"k": ["want"]}'}
    sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="a@example.com", Attributes=unconfirmed)  # fmt: skip
    other = {"k": {"DataType": "String", "StringValue": "other"}}
    want = {"k": {"DataType": "String", "StringValue": "want"}}
    sns.publish(TopicArn=topic, Message="not JSON")
    sns.publish(TopicArn=topic, Message='{"k": "other"}', MessageAttributes=other)
    sns.publish(TopicArn=topic, Message='{"k": "want"}', MessageAttributes=want)
    come_to_rest(platform, "sns.fanout")
    found = totals(platform, client, "AWS/SNS")
    name = "NumberOfNotificationsFilteredOut"
    assert {key: n for key, n in found.items() if key[0].startswith(name)} == {
        (name, "TopicName=t"): 4,
        (f"{name}-NoMessageAttributes", "TopicName=t"): 1,
        (f"{name}-InvalidMessageBody", "TopicName=t"): 1,
        (f"{name}-MessageAttributes", "TopicName=t"): 1,
        (f"{name}-MessageBody", "TopicName=t"): 1,
    }


def test_topics_tell_of_their_dead_letters(platform, client):
    sns = client("sns")
    dead_url, dead = queue(client, "dead", services=("sns.amazonaws.com",))
    _, closed = queue(client, "closed", services=())
    topic = sns.create_topic(Name="t")["TopicArn"]
    made = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=closed, ReturnSubscriptionArn=True)  # fmt: skip
    sns.set_subscription_attributes(
        SubscriptionArn=made["SubscriptionArn"], AttributeName="RedrivePolicy", AttributeValue=json.dumps({"deadLetterTargetArn": dead})
    )  # fmt: skip
    sns.publish(TopicArn=topic, Message="m")
    received(client, dead_url)
    client("sqs").delete_queue(QueueUrl=dead_url)
    sns.publish(TopicArn=topic, Message="m")
    come_to_rest(platform, "sns.fanout")
    found = totals(platform, client, "AWS/SNS")
    assert found["NumberOfNotificationsRedrivenToDlq", "TopicName=t"] == 1
    assert found["NumberOfNotificationsFailedToRedriveToDlq", "TopicName=t"] == 1


def test_tables_tell_of_conditions_that_did_not_hold_and_of_what_expired(platform, client):
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html"""
    dynamodb, now_s = client("dynamodb"), int(platform.cloud.world.cloud())
    dynamodb.create_table(
        TableName="ttt", BillingMode="PAY_PER_REQUEST", AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
    )  # fmt: skip
    dynamodb.update_time_to_live(TableName="ttt", TimeToLiveSpecification={"AttributeName": "t", "Enabled": True})  # fmt: skip
    key, never = {"k": {"S": "a"}}, "attribute_exists(nothing)"
    for call, more in (
        (dynamodb.put_item, {"Item": key}),
        (dynamodb.delete_item, {"Key": key}),
        (dynamodb.update_item, {"Key": key}),
    ):
        with pytest.raises(ClientError, match="ConditionalCheckFailed"):
            call(TableName="ttt", ConditionExpression=never, **more)
    dynamodb.put_item(TableName="ttt", Item=key | {"t": {"N": str(now_s + 10)}})
    advance(platform, 86_400)
    for _ in range(500):
        if not dynamodb.scan(TableName="ttt")["Items"]:
            break
        time.sleep(0.02)
    found = totals(platform, client, "AWS/DynamoDB")
    assert found["ConditionalCheckFailedRequests", "TableName=ttt"] == 3
    assert found["TimeToLiveDeletedItemCount", "TableName=ttt"] == 1
