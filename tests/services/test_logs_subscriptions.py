"""Subscription filters: what of a group's events goes on to functions and streams, and what becomes of it there.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
"""

from __future__ import annotations

import base64
import gzip
import json
import time
from typing import Any

import corpora
import lambdas
import pytest
from botocore.exceptions import ClientError
from eventing import ACCOUNT, advance, come_to_rest, role

STREAM = f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/s"
FIREHOSE = f"arn:aws:firehose:us-east-1:{ACCOUNT}:deliverystream/d"
FUNCTION = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:fn"
CONTROL = "CWL CONTROL MESSAGE: Checking health of destination Kinesis stream."


@pytest.fixture
def logs(client: Any) -> Any:
    logs = client("logs")
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="one")
    return logs


@pytest.fixture
def writer(client: Any) -> str:
    return role(client, "writer", "logs.amazonaws.com", "kinesis:PutRecord", "firehose:PutRecord")


def say(logs: Any, *texts: str) -> None:
    now_ms = int(time.time() * 1000)
    events = [{"timestamp": now_ms, "message": text} for text in texts]
    logs.put_log_events(logGroupName="g", logStreamName="one", logEvents=events)


def put(logs: Any, destination: str, name: str = "f", pattern: str = "", **more: Any) -> None:
    logs.put_subscription_filter(logGroupName="g", filterName=name, filterPattern=pattern, destinationArn=destination, **more)  # fmt: skip


def in_stream(client: Any) -> list[tuple[str, Any]]:
    """(partition key, document) of the records of the stream."""
    kinesis = client("kinesis")
    place = {"StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"}  # fmt: skip
    at = kinesis.get_shard_iterator(**place)["ShardIterator"]
    records = kinesis.get_records(ShardIterator=at)["Records"]
    return [(r["PartitionKey"], json.loads(gzip.decompress(r["Data"]))) for r in records]


def texts(document: Any) -> list[str]:
    return [e["message"] for e in document["logEvents"]]


def refused(call: Any, *given: Any, **named: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(*given, **named)
    error = caught.value.response["Error"]
    return f"{error['Code']}: {error['Message']}"


def test_a_stream_gets_a_control_message_and_then_what_matches(client, platform, logs, writer):
    """By the name of its log stream, or spread; ids are those FilterLogEvents answers."""
    client("kinesis").create_stream(StreamName="s", ShardCount=1)
    put(logs, STREAM, pattern="ERROR", roleArn=writer)
    say(logs, "fine", "ERROR 1", "ERROR 2")
    say(logs, "fine again")
    come_to_rest(platform, "logs.subscription")
    (_, control), (key, found) = in_stream(client)
    assert (control["messageType"], texts(control)) == ("CONTROL_MESSAGE", [CONTROL])
    assert key == "one"
    listed = logs.filter_log_events(logGroupName="g", filterPattern="ERROR")["events"]
    assert [(e["id"], e["message"]) for e in found["logEvents"]] == [(e["eventId"], e["message"]) for e in listed]  # fmt: skip
    sample = json.loads(corpora.one("lambda-events", "cloudwatch-logs-event.json").read_text())
    theirs = json.loads(gzip.decompress(base64.b64decode(sample["awslogs"]["data"])))
    assert found.keys() == theirs.keys()
    assert found["logEvents"][0].keys() == theirs["logEvents"][0].keys()
    assert [type(v) for v in found["logEvents"][0].values()] == [type(v) for v in theirs["logEvents"][0].values()]  # fmt: skip


def test_a_delivery_stream_and_a_large_event(client, platform, logs, writer):
    """An event may be as large as a whole batch; what is sent on together is cut."""
    client("kinesis").create_stream(StreamName="s", ShardCount=1)
    client("s3").create_bucket(Bucket="kept")
    to_s3 = role(client, "to-s3", "firehose.amazonaws.com", "s3:*")
    hints = {"IntervalInSeconds": 60, "SizeInMBs": 1}
    client("firehose").create_delivery_stream(
        DeliveryStreamName="d",
        ExtendedS3DestinationConfiguration={"RoleARN": to_s3, "BucketARN": "arn:aws:s3:::kept", "BufferingHints": hints},
    )  # fmt: skip
    put(logs, FIREHOSE, "d", roleArn=writer)
    put(logs, STREAM, "s", roleArn=writer, distribution="Random")
    say(logs, "é\n" * 300_000)
    say(logs, *("x" * 200_000 for _ in range(3)))
    come_to_rest(platform, "logs.subscription")
    documents = [found for key, found in in_stream(client) if key != "one"][1:]
    assert [[len(t) for t in texts(d)] for d in documents] == [[600_000], [200_000]] + [[200_000]] * 2  # fmt: skip
    advance(platform, 61)
    come_to_rest(platform, "firehose.deliver")
    for _ in range(6000):
        if kept := client("s3").list_objects_v2(Bucket="kept").get("Contents"):
            break
        time.sleep(0.02)
    body = client("s3").get_object(Bucket="kept", Key=kept[0]["Key"])["Body"].read()
    assert b"Checking health of destination Firehose." in gzip.decompress(body)


def test_a_function_that_does_not_let_logs_in_is_refused_and_later_told_nothing(client, platform, logs):  # fmt: skip
    lambdas.create(client, "fn")
    said = refused(put, logs, FUNCTION)
    assert said == "InvalidParameterException: Could not execute the lambda function. Make sure you have given CloudWatch Logs permission to execute your function."  # fmt: skip
    source = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:g:*"
    client("lambda").add_permission(FunctionName="fn", StatementId="l", Action="lambda:InvokeFunction", Principal="logs.amazonaws.com", SourceArn=source)  # fmt: skip
    put(logs, FUNCTION)
    say(logs, "told")
    client("lambda").remove_permission(FunctionName="fn", StatementId="l")
    say(logs, "dropped")
    come_to_rest(platform, "logs.subscription")  # neither waits for ever


def test_what_may_not_be_written_now_is_written_later(client, platform, logs, writer):
    """A shard takes 1,000 records a second: the filter's come when it has room again."""
    kinesis = client("kinesis")
    kinesis.create_stream(StreamName="s", ShardCount=1)
    put(logs, STREAM, roleArn=writer)
    for _ in range(2):
        kinesis.put_records(StreamName="s", Records=[{"Data": b"x", "PartitionKey": "k"}] * 500)
    say(logs, "late")
    for _ in range(600):
        advance(platform, 1)
        come_to_rest(platform, "logs.subscription")
        place = {"StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"}  # fmt: skip
        at = kinesis.get_shard_iterator(**place)["ShardIterator"]
        records = kinesis.get_records(ShardIterator=at)["Records"]
        found = [json.loads(gzip.decompress(r["Data"])) for r in records if r["Data"] != b"x"]
        if len(found) == 2:
            break
    assert texts(found[1]) == ["late"]


def test_filters_are_described_replaced_and_deleted(client, logs, writer):
    client("kinesis").create_stream(StreamName="s", ShardCount=1)
    for name in ("b", "a"):
        put(logs, STREAM, name, pattern="x", roleArn=writer)
    put(logs, STREAM, "a", pattern="y", roleArn=writer, distribution="Random")
    assert refused(put, logs, STREAM, "c", roleArn=writer) == "LimitExceededException: Resource limit exceeded."  # fmt: skip
    first, second = logs.describe_subscription_filters(logGroupName="g")["subscriptionFilters"]
    assert isinstance(first.pop("creationTime"), int)
    assert first == {
        "filterName": "a", "logGroupName": "g", "filterPattern": "y", "destinationArn": STREAM, "roleArn": writer,
        "distribution": "Random", "applyOnTransformedLogs": False,
    }  # fmt: skip
    assert second["filterName"] == "b"
    page = logs.describe_subscription_filters(logGroupName="g", limit=1)
    rest = logs.describe_subscription_filters(logGroupName="g", nextToken=page["nextToken"])
    assert [f["filterName"] for f in rest["subscriptionFilters"]] == ["b"]
    logs.delete_subscription_filter(logGroupName="g", filterName="a")
    gone = refused(logs.delete_subscription_filter, logGroupName="g", filterName="a")
    assert gone == "ResourceNotFoundException: The specified subscription filter does not exist."
    found = logs.describe_subscription_filters(logGroupName="g", filterNamePrefix="a")
    assert found["subscriptionFilters"] == []
    logs.delete_log_group(logGroupName="g")
    logs.create_log_group(logGroupName="g")
    assert logs.describe_subscription_filters(logGroupName="g")["subscriptionFilters"] == []


def test_wrong_filters_are_refused(client, logs, writer):
    client("kinesis").create_stream(StreamName="s", ShardCount=1)
    invalid = "InvalidParameterException: "
    assert refused(put, logs, "arn:aws:sqs:us-east-1:000000000000:q") == f"{invalid}Invalid destination ARN"  # fmt: skip
    assert refused(put, logs, STREAM) == f"{invalid}destinationArn for vendor kinesis cannot be used without roleArn"  # fmt: skip
    assert refused(put, logs, FUNCTION, roleArn=writer) == f"{invalid}destinationArn for vendor lambda cannot be used with roleArn"  # fmt: skip
    assert refused(put, logs, STREAM, pattern="{ $.a 1 }", roleArn=writer) == f"{invalid}Invalid subscription filter pattern"  # fmt: skip
    assert "Logical destinations are not offered" in refused(put, logs, f"arn:aws:logs:us-east-1:{ACCOUNT}:destination:d")  # fmt: skip
    assert "Member must satisfy enum value set" in refused(put, logs, STREAM, roleArn=writer, distribution="Even")  # fmt: skip
    nobody = role(client, "nobody", "logs.amazonaws.com")
    assert refused(put, logs, STREAM, roleArn=nobody).startswith(f"{invalid}Could not deliver test message to specified Kinesis stream.")  # fmt: skip
    assert logs.describe_subscription_filters(logGroupName="g")["subscriptionFilters"] == []
