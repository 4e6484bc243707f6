"""EventBridge Pipes: what is read from a source arrives at the target, filtered, enriched, in order, also across restarts."""

from __future__ import annotations

import json
import subprocess
import time
from zlib import crc32

import pytest
from botocore.exceptions import ClientError
from eventing import (
    ACCOUNT,
    advance,
    come_to_rest,
    nothing_came,
    queue,
    received,
    rest_api,
    role,
    user_client,
    web_site,
)
from lambdas import create as create_function

from stratolite.core import Keyspace
from stratolite.services.pipes import state

SERVICE = "pipes.amazonaws.com"


@pytest.fixture
def pipes(client):
    return client("pipes")


@pytest.fixture
def worker(client):
    """A role that may read and write anywhere."""
    return role(client, "worker", SERVICE, "sqs:*", "kinesis:*", "dynamodb:*", "lambda:InvokeFunction", "events:PutEvents")  # fmt: skip


def make(platform, pipes, worker, source, target, name="p", **more):
    made = pipes.create_pipe(Name=name, Source=source, Target=target, RoleArn=worker, **more)
    assert made["CurrentState"] == "CREATING"
    come_to_rest(platform, "pipes.change")
    return made


def stream(client, name="s"):
    kinesis = client("kinesis")
    kinesis.create_stream(StreamName=name, ShardCount=1)
    return kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]


def put(client, *values, key="a"):
    for value in values:
        client("kinesis").put_record(StreamName="s", PartitionKey=key, Data=json.dumps(value))


def buried(platform, client, source_url, dead_url, count):
    """The dead letters of ``count`` messages, once the pipe has let go of all others and these are visible again."""
    sqs, found = client("sqs"), []
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    for _ in range(3000):
        left = sqs.get_queue_attributes(QueueUrl=source_url, AttributeNames=names)["Attributes"]
        if [int(left[name]) for name in names] == [0, count]:
            break
        time.sleep(0.01)
    while len(found) < count:
        advance(platform, 31)
        found += received(client, dead_url, count - len(found), raw=True)
    return found


def test_messages_go_from_queue_to_queue_as_events(platform, client, pipes, worker):
    source_url, source = queue(client, "in", services=())
    url, target = queue(client, "out", services=())
    make(platform, pipes, worker, source, target)
    assert pipes.describe_pipe(Name="p")["CurrentState"] == "RUNNING"
    client("sqs").send_message(QueueUrl=source_url, MessageBody='{"n": 1}')
    event = received(client, url)[0]
    assert (event["body"], event["eventSource"], event["eventSourceARN"]) == ('{"n": 1}', "aws:sqs", source)  # fmt: skip
    assert nothing_came(client, source_url)


def test_a_pipe_takes_its_role_once_and_again_when_something_failed(
    platform, client, pipes, worker
):
    """Not with every message: the trail would be full of it. A role that was made anew is another one."""
    source_url, source = queue(client, "in", services=())
    url, target = queue(client, "out", services=())
    make(platform, pipes, worker, source, target)

    def taken():
        asked = [{"AttributeKey": "EventName", "AttributeValue": "AssumeRole"}]
        return len(client("cloudtrail").lookup_events(LookupAttributes=asked)["Events"])

    sqs = client("sqs")
    sqs.send_message(QueueUrl=source_url, MessageBody="0")
    assert received(client, url, wait_s=20)[0]["body"] == "0"
    before = taken()
    for n in range(1, 6):
        sqs.send_message(QueueUrl=source_url, MessageBody=str(n))
        assert received(client, url, wait_s=20)[0]["body"] == str(n)
    assert taken() == before
    iam = client("iam")
    iam.delete_role_policy(RoleName="worker", PolicyName="p")
    iam.delete_role(RoleName="worker")
    role(client, "worker", SERVICE, "sqs:*")
    sqs.send_message(QueueUrl=source_url, MessageBody="6")
    for _ in range(200):
        advance(platform, 61)
        if found := received(client, url, wait_s=1):
            break
    assert found[0]["body"] == "6"
    assert taken() > before


def test_what_the_filters_keep_out_is_gone_and_the_rest_is_shaped(platform, client, pipes, worker):
    source_url, source = queue(client, "in", services=())
    url, target = queue(client, "out", services=())
    make(
        platform, pipes, worker, source, target,
        SourceParameters={"FilterCriteria": {"Filters": [{"Pattern": '{"body": {"n": [{"numeric": [">", 1]}]}}'}]}},
        TargetParameters={"InputTemplate": '{"n": <$.body.n>, "who": "<$.body.who> by <aws.pipes.pipe-name>"}'},
    )  # fmt: skip
    for n in (1, 2):
        client("sqs").send_message(QueueUrl=source_url, MessageBody=json.dumps({"n": n, "who": "Ann"}))  # fmt: skip
    assert received(client, url) == [{"n": 2, "who": "Ann by p"}]
    advance(platform, 31)
    assert nothing_came(client, source_url)


def test_an_enrichment_makes_the_target_s_events(platform, client, pipes, worker):
    source_url, source = queue(client, "in", services=())
    url, target = queue(client, "out", services=())
    code = "import json\ndef handler(events, context): return [{'sum': sum(json.loads(e['body']))} for e in events]"
    function = create_function(client, "f", code)["FunctionArn"]
    make(platform, pipes, worker, source, target, Enrichment=function)
    client("sqs").send_message(QueueUrl=source_url, MessageBody="[1, 2, 3]")
    assert received(client, url) == [{"sum": 6}]


STEPS = {
    "ERROR": [],
    "INFO": [
        "EXECUTION_STARTED", "ENRICHMENT_STAGE_ENTERED", "ENRICHMENT_STAGE_EXITED", "TARGET_STAGE_ENTERED", "TARGET_STAGE_EXITED",
        "EXECUTION_SUCCEEDED",
    ],
    "TRACE": [
        "EXECUTION_STARTED", "ENRICHMENT_STAGE_ENTERED", "ENRICHMENT_INVOCATION_STARTED", "ENRICHMENT_INVOCATION_SUCCEEDED",
        "ENRICHMENT_STAGE_EXITED", "TARGET_STAGE_ENTERED", "TARGET_TRANSFORMATION_STARTED", "TARGET_TRANSFORMATION_SUCCEEDED",
        "TARGET_INVOCATION_STARTED", "TARGET_INVOCATION_SUCCEEDED", "TARGET_STAGE_EXITED", "EXECUTION_SUCCEEDED",
    ],
}  # fmt: skip


@pytest.mark.parametrize("level", ["ERROR", "INFO", "TRACE"])
def test_a_pipe_logs_the_steps_of_its_level(platform, client, pipes, worker, level):
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-logs.html"""
    source_url, source = queue(client, "in", services=())
    url, target = queue(client, "out", services=())
    logs = client("logs")
    logs.create_log_group(logGroupName="g")
    code = "def handler(events, context):\n    if 'bad' in events[0]['body']: raise ValueError('no')\n    return [{'n': 1}]"
    function = create_function(client, "f", code)["FunctionArn"]
    config = {
        "Level": level, "CloudwatchLogsLogDestination": {"LogGroupArn": f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:g"},
        "IncludeExecutionData": ["ALL"],
    }  # fmt: skip
    template = {"InputTemplate": '{"is": <$.n>}'}
    make(platform, pipes, worker, source, target, Enrichment=function, TargetParameters=template, LogConfiguration=config)  # fmt: skip
    assert pipes.describe_pipe(Name="p")["LogConfiguration"] == config

    def told():
        for _ in range(600):
            found = [json.loads(e["message"]) for e in logs.filter_log_events(logGroupName="g")["events"]]  # fmt: skip
            if found and found[-1]["messageType"] in ("EXECUTION_FAILED", "EXECUTION_SUCCEEDED"):
                return found
            time.sleep(0.01)
        return []

    client("sqs").send_message(QueueUrl=source_url, MessageBody="good")
    assert received(client, url) == [{"is": 1}]
    found = told() if level != "ERROR" else []
    assert [r["messageType"] for r in found] == STEPS[level]
    assert len({r["executionId"] for r in found}) == (level != "ERROR")
    if level == "TRACE":
        made = {r["messageType"]: r for r in found}
        assert made["TARGET_INVOCATION_STARTED"]["awsRequest"] == '[{"is": 1}]'
        assert made["ENRICHMENT_INVOCATION_SUCCEEDED"]["awsResponse"] == '[{"n": 1}]'
        assert json.loads(made["EXECUTION_STARTED"]["payload"])[0]["body"] == "good"
        assert made["EXECUTION_STARTED"]["resourceArn"].endswith(":pipe/p")
    if level == "ERROR":
        client("sqs").send_message(QueueUrl=source_url, MessageBody="bad")
        failed = told()
        assert [r["messageType"] for r in failed] == ["ENRICHMENT_INVOCATION_FAILED", "EXECUTION_FAILED"]  # fmt: skip
        assert "no" in failed[0]["error"]["message"]


def test_a_pipe_logs_to_a_bucket_that_lets_it(platform, client, pipes, worker):
    """https://docs.aws.amazon.com/eventbridge/latest/pipes-reference/API_S3LogDestinationParameters.html"""
    source_url, source = queue(client, "in", services=())
    url, target = queue(client, "out", services=())
    s3 = client("s3")
    s3.create_bucket(Bucket="logs")
    bucket = {"BucketName": "logs", "BucketOwner": ACCOUNT, "Prefix": "p/q", "OutputFormat": "json"}
    config = {"Level": "INFO", "S3LogDestination": bucket, "IncludeExecutionData": ["ALL"]}
    make(platform, pipes, worker, source, target, LogConfiguration=config)
    assert pipes.describe_pipe(Name="p")["LogConfiguration"] == config
    client("sqs").send_message(QueueUrl=source_url, MessageBody="unlogged")
    assert received(client, url)[0]["body"] == "unlogged"
    arn = pipes.describe_pipe(Name="p")["Arn"]
    statement = {
        "Effect": "Allow", "Principal": {"Service": "delivery.logs.amazonaws.com"}, "Action": "s3:PutObject", "Resource": "arn:aws:s3:::logs/*",
        "Condition": {"ArnLike": {"aws:SourceArn": arn}},
    }  # fmt: skip
    s3.put_bucket_policy(Bucket="logs", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))  # fmt: skip
    found = []
    while not found:
        client("sqs").send_message(QueueUrl=source_url, MessageBody="logged")
        assert received(client, url)[0]["body"] == "logged"
        found = s3.list_objects_v2(Bucket="logs").get("Contents", [])
    assert found[0]["Key"].startswith(f"p/q/AWSLogs/{ACCOUNT}/pipes/us-east-1/p/")
    body = s3.get_object(Bucket="logs", Key=found[0]["Key"])["Body"].read()
    records = [json.loads(line) for line in body.splitlines()]
    assert [r["messageType"] for r in records] == ["EXECUTION_STARTED", "TARGET_STAGE_ENTERED", "TARGET_STAGE_EXITED", "EXECUTION_SUCCEEDED"]  # fmt: skip
    assert json.loads(records[0]["payload"])[0]["body"] == "logged"


@pytest.mark.parametrize(
    ("kind", "batch"), [("sqs", 10), ("sns", 10), ("events", 10), ("lambda", 100), ("api-destination", 1)]
)  # fmt: skip
def test_a_pipe_is_answered_with_the_batches_it_means(client, pipes, worker, kind, batch):
    """hashicorp/terraform-provider-aws, internal/service/pipes/pipe_test.go: the source's default, or what the target takes."""
    targets = {
        "sqs": "sqs:us-east-1:000000000000:t", "sns": "sns:us-east-1:000000000000:t", "events": "events:us-east-1:000000000000:event-bus/t",
        "lambda": "lambda:us-east-1:000000000000:function:t", "api-destination": "events:us-east-1:000000000000:api-destination/t/u",
    }  # fmt: skip
    place = {"Source": f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/s", "Target": f"arn:aws:{targets[kind]}", "RoleArn": worker}  # fmt: skip
    pipes.create_pipe(Name="p", DesiredState="STOPPED", SourceParameters={"KinesisStreamParameters": {"StartingPosition": "LATEST"}}, **place)  # fmt: skip
    assert pipes.describe_pipe(Name="p")["SourceParameters"] == {
        "KinesisStreamParameters": {"StartingPosition": "LATEST", "BatchSize": batch, "MaximumBatchingWindowInSeconds": 0}
    }  # fmt: skip


def test_filters_and_templates_are_kept_under_a_key(platform, client, pipes):
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-encryption-pipes-cmkey.html"""
    source_url, source = queue(client, "in", services=())
    url, target = queue(client, "out", services=())
    key = client("kms").create_key()["KeyMetadata"]["KeyId"]
    may, other = role(client, "may", SERVICE, "sqs:*", "kms:Decrypt"), role(client, "other", SERVICE, "sqs:*")  # fmt: skip
    filters = {"FilterCriteria": {"Filters": [{"Pattern": '{"body": {"veryhidden": [1]}}'}]}}
    about = {"InputTemplate": '{"veryhidden": <$.body.veryhidden>}'}
    make(platform, pipes, other, source, target, KmsKeyIdentifier=key, SourceParameters=filters, TargetParameters=about)  # fmt: skip
    shown = pipes.describe_pipe(Name="p")
    assert (shown["KmsKeyIdentifier"], shown["TargetParameters"]) == (key, about)
    assert shown["SourceParameters"]["FilterCriteria"] == filters["FilterCriteria"]
    client("sqs").send_message(QueueUrl=source_url, MessageBody='{"veryhidden": 1}')
    assert nothing_came(client, url)  # its role may not open them
    pipes.update_pipe(Name="p", RoleArn=may)
    come_to_rest(platform, "pipes.change")
    assert received(client, url) == [{"veryhidden": 1}]
    found = subprocess.run(["grep", "-rl", "veryhidden", platform.folder], capture_output=True, text=True)  # fmt: skip
    lines = subprocess.run(["grep", "-rao", "Pattern.\\{0,30\\}veryhidden", platform.folder], capture_output=True, text=True)  # fmt: skip
    assert found.stdout
    assert lines.stdout == ""
    pipes.update_pipe(Name="p", RoleArn=may, KmsKeyIdentifier="", SourceParameters={})
    shown = pipes.describe_pipe(Name="p")
    assert "KmsKeyIdentifier" not in shown
    assert shown["SourceParameters"]["FilterCriteria"] == filters["FilterCriteria"]


def test_a_failing_target_leaves_the_message_to_its_queue(platform, client, pipes, worker):
    source_url, source = queue(client, "in", services=())
    dead_url, dead = queue(client, "dead", services=())
    client("sqs").set_queue_attributes(QueueUrl=source_url, Attributes={"RedrivePolicy": json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 1})})  # fmt: skip
    function = create_function(client, "f", "def handler(e, c): raise ValueError('no')")["FunctionArn"]  # fmt: skip
    make(platform, pipes, worker, source, function)
    client("sqs").send_message(QueueUrl=source_url, MessageBody="x")
    for _ in range(200):
        advance(platform, 31)
        found = client("sqs").receive_message(QueueUrl=dead_url).get("Messages")
        if found:
            break
    assert found[0]["Body"] == "x"


def test_a_stream_is_carried_in_order_and_on_from_where_it_was_after_a_restart(platform, client, pipes, worker):  # fmt: skip
    source = stream(client)
    url, target = queue(client, "out.fifo", services=(), FifoQueue="true")
    put(client, 1, 2)
    make(
        platform, pipes, worker, source, target,
        SourceParameters={"KinesisStreamParameters": {"StartingPosition": "TRIM_HORIZON"}},
        TargetParameters={"InputTemplate": '{"n": <$.data>}', "SqsQueueParameters": {"MessageGroupId": "$.partitionKey", "MessageDeduplicationId": "$.sequenceNumber"}},
    )  # fmt: skip
    put(client, {"x": 3})
    assert received(client, url, 3) == [{"n": "1"}, {"n": "2"}, {"n": {"x": 3}}]
    platform.reopen()
    put(client, {"x": 4})
    assert received(client, url) == [{"n": {"x": 4}}]


@pytest.mark.parametrize(
    ("data", "seen"), [(b'{"a": 1}', {"a": 1}), (b"[1]", [1]), (b"12", "12"), (b"hello", "aGVsbG8="), (b"\xff", "/w==")]
)  # fmt: skip
def test_data_that_is_no_json_stays_base64(platform, client, pipes, worker, data, seen):
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-input-transformation.html: implicit body data parsing."""
    source = stream(client)
    url, target = queue(client, "out", services=())
    make(
        platform, pipes, worker, source, target,
        SourceParameters={"KinesisStreamParameters": {"StartingPosition": "TRIM_HORIZON"}}, TargetParameters={"InputTemplate": '{"n": <$.data>}'},
    )  # fmt: skip
    client("kinesis").put_record(StreamName="s", PartitionKey="k", Data=data)
    assert received(client, url) == [{"n": seen}]


def test_a_batch_that_fails_too_often_goes_to_the_dead_letter_queue(
    platform, client, pipes, worker
):
    source = stream(client)
    url, dead = queue(client, "dead", services=())
    function = create_function(client, "f", "def handler(e, c): raise ValueError('no')")["FunctionArn"]  # fmt: skip
    about = {"StartingPosition": "TRIM_HORIZON", "MaximumRetryAttempts": 1, "DeadLetterConfig": {"Arn": dead}}  # fmt: skip
    make(platform, pipes, worker, source, function, SourceParameters={"KinesisStreamParameters": about})  # fmt: skip
    put(client, 1)
    message = None
    for _ in range(200):
        advance(platform, 5)
        found = client("sqs").receive_message(QueueUrl=url).get("Messages")
        if found:
            message = json.loads(found[0]["Body"])
            break
    assert message["context"]["condition"] == "RetryAttemptsExhausted"
    assert message["KinesisBatchInfo"]["batchSize"] == 1


def test_only_the_messages_a_target_failed_with_stay_in_the_queue(platform, client, pipes, worker):
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-batching-concurrency.html: by their message ids; another id means all."""
    source_url, source = queue(client, "in", services=())
    dead_url, dead = queue(client, "dead", services=())
    client("sqs").set_queue_attributes(QueueUrl=source_url, Attributes={"RedrivePolicy": json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 1})})  # fmt: skip
    code = """
def handler(events, context):
    failed = [e["messageId"] for e in events if "bad" in e["body"]]
    failed += ["nobody" for e in events if "odd" in e["body"]]
    return {"batchItemFailures": [{"itemIdentifier": one} for one in failed]}
"""
    function = create_function(client, "f", code)["FunctionArn"]
    for body in ("a", "bad", "b"):
        client("sqs").send_message(QueueUrl=source_url, MessageBody=body)
    make(platform, pipes, worker, source, function)
    found = buried(platform, client, source_url, dead_url, 1)
    client("sqs").send_message(QueueUrl=source_url, MessageBody="odd")
    found += buried(platform, client, source_url, dead_url, 1)
    assert {m["Body"] for m in found} == {"bad", "odd"}
    assert nothing_came(client, source_url)


def test_a_stream_s_batch_is_halved_until_the_poison_is_alone(platform, client, pipes, worker):
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-batching-concurrency.html: by eventID; AUTOMATIC_BISECT halves what is left."""
    source = stream(client)
    dead_url, dead = queue(client, "dead", services=())
    code = """
import base64
def handler(events, context):
    for e in events:
        if base64.b64decode(e["data"]) == b"3":
            return {"batchItemFailures": [{"itemIdentifier": e["eventID"]}]}
"""
    function = create_function(client, "f", code)["FunctionArn"]
    about = {"StartingPosition": "TRIM_HORIZON", "MaximumRetryAttempts": 1, "OnPartialBatchItemFailure": "AUTOMATIC_BISECT", "DeadLetterConfig": {"Arn": dead}}  # fmt: skip
    put(client, 1, 2, 3, 4)
    make(platform, pipes, worker, source, function, SourceParameters={"KinesisStreamParameters": about})  # fmt: skip
    letters = []
    for _ in range(200):
        advance(platform, 5)
        letters += client("sqs").receive_message(QueueUrl=dead_url).get("Messages", [])
        if letters:
            break
    [letter] = [json.loads(m["Body"]) for m in letters]
    assert letter["KinesisBatchInfo"]["batchSize"] == 1
    assert letter["KinesisBatchInfo"]["startSequenceNumber"] == letter["KinesisBatchInfo"]["endSequenceNumber"]  # fmt: skip


def test_an_express_state_machine_enriches(platform, client, pipes):
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/pipes-enrichment.html: it is waited for."""
    source_url, source = queue(client, "in", services=())
    url, target = queue(client, "out", services=())
    definition = {"StartAt": "A", "States": {"A": {"Type": "Pass", "Parameters": {"body.$": "$[0].body"}, "End": True}}}  # fmt: skip
    runner = role(client, "runner", "states.amazonaws.com")
    machine = client("stepfunctions").create_state_machine(name="m", definition=json.dumps(definition), roleArn=runner, type="EXPRESS")["stateMachineArn"]  # fmt: skip
    may = role(client, "may", SERVICE, "sqs:*", "states:StartSyncExecution")
    make(platform, pipes, may, source, target, Enrichment=machine)
    client("sqs").send_message(QueueUrl=source_url, MessageBody="hello")
    assert received(client, url) == [{"body": "hello"}]


def test_a_table_s_changes_reach_a_bus(platform, client, pipes, worker):
    dynamodb = client("dynamodb")
    dynamodb.create_table(
        TableName="tab", KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}], BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}], StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )  # fmt: skip
    source = dynamodb.describe_table(TableName="tab")["Table"]["LatestStreamArn"]
    url, out = queue(client, "out")
    events = client("events")
    events.put_rule(Name="r", EventPattern='{"source": ["tab"]}')
    events.put_targets(Rule="r", Targets=[{"Id": "t", "Arn": out}])
    make(
        platform, pipes, worker, source, f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/default",
        SourceParameters={"DynamoDBStreamParameters": {"StartingPosition": "LATEST"}},
        TargetParameters={"EventBridgeEventBusParameters": {"Source": "tab", "DetailType": "$.eventName"}},
    )  # fmt: skip
    dynamodb.put_item(TableName="tab", Item={"k": {"S": "a"}})
    event = received(client, url)[0]
    assert event["detail-type"] == "INSERT"
    assert event["detail"]["dynamodb"]["NewImage"] == {"k": {"S": "a"}}


def test_a_stopped_pipe_reads_nothing_until_it_is_started(platform, client, pipes, worker):
    source_url, source = queue(client, "in", services=())
    url, target = queue(client, "out", services=())
    make(platform, pipes, worker, source, target, DesiredState="STOPPED")
    client("sqs").send_message(QueueUrl=source_url, MessageBody="1")
    assert pipes.describe_pipe(Name="p")["CurrentState"] == "STOPPED"
    assert nothing_came(client, url)
    pipes.start_pipe(Name="p")
    assert received(client, url)[0]["body"] == "1"
    pipes.update_pipe(Name="p", RoleArn=worker, TargetParameters={"InputTemplate": '"<$.body>"'})
    come_to_rest(platform, "pipes.change")
    client("sqs").send_message(QueueUrl=source_url, MessageBody="2")
    assert received(client, url) == ["2"]
    pipes.delete_pipe(Name="p")
    come_to_rest(platform, "pipes.change")
    client("sqs").send_message(QueueUrl=source_url, MessageBody="3")
    assert nothing_came(client, url)
    with pytest.raises(pipes.exceptions.NotFoundException):
        pipes.describe_pipe(Name="p")


def test_a_role_that_does_not_trust_pipes_makes_the_pipe_fail(platform, client, pipes):
    _, source = queue(client, "in", services=())
    _, target = queue(client, "out", services=())
    other = role(client, "other", "lambda.amazonaws.com")
    make(platform, pipes, other, source, target)
    found = pipes.describe_pipe(Name="p")
    assert found["CurrentState"] == "CREATE_FAILED"
    assert "AssumeRole" in found["StateReason"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"Source": "arn:aws:mq:us-east-1:000000000000:broker:b"}, "Source arn:aws:mq:us-east-1:000000000000:broker:b is not offered"),
        ({"Target": "arn:aws:ecs:us-east-1:000000000000:cluster/c"}, "targets of the service ecs are not offered"),
        ({"Source": "arn:aws:kinesis:us-east-1:000000000000:stream/s"}, "StartingPosition must be provided"),
        ({"Source": "arn:aws:kinesis:us-east-1:000000000000:stream/s", "SourceParameters": {"KinesisStreamParameters": {"StartingPosition": "AT_TIMESTAMP"}}}, "StartingPositionTimestamp must be provided"),
        ({"SourceParameters": {"FilterCriteria": {"Filters": [{"Pattern": "{"}]}}}, "Event pattern is not valid"),
        ({"LogConfiguration": {"Level": "INFO"}}, "LogConfiguration must have a destination"),
        ({"LogConfiguration": {"Level": "INFO", "S3LogDestination": {"BucketName": "mine", "BucketOwner": "000000000000", "OutputFormat": "w3c"}}}, "S3LogDestination.OutputFormat must be json"),
        ({"KmsKeyIdentifier": "alias/mine"}, "The KmsKeyIdentifier cannot be used"),
        ({"Name": "not a name"}, "Value 'not a name' at 'name' failed to satisfy constraint"),
    ],
)  # fmt: skip
def test_a_pipe_that_could_not_be_carried_out_is_refused(pipes, worker, more, message):
    request = {"Name": "p", "Source": f"arn:aws:sqs:us-east-1:{ACCOUNT}:in", "Target": f"arn:aws:sqs:us-east-1:{ACCOUNT}:out", "RoleArn": worker}  # fmt: skip
    with pytest.raises(ClientError) as found:
        pipes.create_pipe(**(request | more))
    assert found.value.response["Error"]["Code"] == "ValidationException"
    assert message in found.value.response["Error"]["Message"]
    assert pipes.list_pipes()["Pipes"] == []


def test_whoever_makes_a_pipe_must_be_let_pass_its_role(client, worker):
    ann = user_client(client, "pipes", [{"Effect": "Allow", "Action": "pipes:*", "Resource": "*"}])
    with pytest.raises(ClientError, match="iam:PassRole"):
        ann.create_pipe(Name="p", Source=f"arn:aws:sqs:us-east-1:{ACCOUNT}:a", Target=f"arn:aws:sqs:us-east-1:{ACCOUNT}:b", RoleArn=worker)  # fmt: skip


def test_an_update_replaces_all_that_a_source_s_parameters_say(platform, client, pipes, worker):
    """What it leaves out is back at its default; where reading begins is settled, and filters are another member.

    https://docs.aws.amazon.com/eventbridge/latest/pipes-reference/API_UpdatePipe.html
    """
    _, target = queue(client, "out", services=())
    about = {"StartingPosition": "LATEST", "BatchSize": 5, "OnPartialBatchItemFailure": "AUTOMATIC_BISECT"}  # fmt: skip
    filters = {"FilterCriteria": {"Filters": [{"Pattern": '{"data": {"n": [1]}}'}]}}
    make(
        platform, pipes, worker, stream(client), target,
        DesiredState="STOPPED", SourceParameters={"KinesisStreamParameters": about, **filters},
    )  # fmt: skip
    changed = {"KinesisStreamParameters": {"MaximumRetryAttempts": 2}}
    pipes.update_pipe(Name="p", RoleArn=worker, SourceParameters=changed)
    shown = pipes.describe_pipe(Name="p")["SourceParameters"]
    kept = {"StartingPosition": "LATEST", "MaximumRetryAttempts": 2, "BatchSize": 10, "MaximumBatchingWindowInSeconds": 0}  # fmt: skip
    assert shown == {"KinesisStreamParameters": kept, **filters}


def test_a_stack_has_a_pipe(platform, client, pipes):
    template = """
Resources:
  In: {Type: AWS::SQS::Queue}
  Out: {Type: AWS::SQS::Queue}
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument: {Statement: [{Effect: Allow, Principal: {Service: pipes.amazonaws.com}, Action: sts:AssumeRole}]}
      Policies: [{PolicyName: p, PolicyDocument: {Version: "2012-10-17", Statement: [{Effect: Allow, Action: "sqs:*", Resource: "*"}]}}]
  Pipe: {Type: AWS::Pipes::Pipe, Properties: {Source: !GetAtt In.Arn, Target: !GetAtt Out.Arn, RoleArn: !GetAtt Role.Arn, Description: NAME, LogConfiguration: LOGS}}
  Lines: {Type: AWS::Logs::LogGroup}
Outputs: {In: {Value: !Ref In}, Out: {Value: !Ref Out}, Pipe: {Value: !Ref Pipe}}
"""
    cloudformation, waits = client("cloudformation"), {"WaiterConfig": {"Delay": 1, "MaxAttempts": 30}}  # fmt: skip
    logs = "{Level: INFO, CloudwatchLogsLogDestination: {LogGroupArn: !GetAtt Lines.Arn}}"
    for operation, name, said in (("create", "one", logs), ("update", "two", "!Ref AWS::NoValue")):
        body = template.replace("NAME", name).replace("LOGS", said)
        getattr(cloudformation, f"{operation}_stack")(StackName="s", TemplateBody=body, Capabilities=["CAPABILITY_IAM"])  # fmt: skip
        cloudformation.get_waiter(f"stack_{operation}_complete").wait(StackName="s", **waits)
    out = {o["OutputKey"]: o["OutputValue"] for o in cloudformation.describe_stacks(StackName="s")["Stacks"][0]["Outputs"]}  # fmt: skip
    shown = pipes.describe_pipe(Name=out["Pipe"])
    assert (shown["Description"], shown["LogConfiguration"]) == ("two", {"Level": "OFF"})
    client("sqs").send_message(QueueUrl=out["In"], MessageBody="x")
    assert received(client, out["Out"])[0]["body"] == "x"
    cloudformation.delete_stack(StackName="s")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="s", **waits)
    assert pipes.list_pipes()["Pipes"] == []


# -- by HTTP


def reached(platform, site, count):
    """What the site was sent, once it was sent so much."""
    for _ in range(3000):
        if len(site.got) >= count:
            return site.got
        time.sleep(0.01)
    return site.got


@pytest.fixture
def site(platform):
    with web_site(platform) as server:
        yield server


def destination(client, site, path):
    events = client("events")
    given = {"ApiKeyAuthParameters": {"ApiKeyName": "k", "ApiKeyValue": "v"}}
    linked = events.create_connection(Name="c", AuthorizationType="API_KEY", AuthParameters=given)
    where = f"http://127.0.0.1:{site.server_port}{path}"
    return events.create_api_destination(Name="d", ConnectionArn=linked["ConnectionArn"], InvocationEndpoint=where, HttpMethod="POST")["ApiDestinationArn"]  # fmt: skip


HTTP = {
    "PathParameterValues": ["$.body.id"], "QueryStringParameters": {"q": "$.messageAttributes.a.stringValue"},
    "HeaderParameters": {"x-one": "$.body.n"},
}  # fmt: skip
ATTRIBUTES = {"a": {"DataType": "String", "StringValue": "b c"}}


@pytest.mark.parametrize("kind", ["api-destination", "rest api"])
def test_an_enrichment_or_a_target_is_asked_by_http(platform, client, pipes, site, kind):
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-event-target.html: dynamic path parameters."""
    source_url, source = queue(client, "in", services=())
    url, out = queue(client, "out", services=())
    if kind == "api-destination":
        arn, path = destination(client, site, "/behind/*"), "/behind/a%2F1?q=b%20c"
    else:
        arn = f"arn:aws:execute-api:us-east-1:{ACCOUNT}:{rest_api(client, site)}/prod/POST/orders/*"
        path = "/behind/a%2F1?q=b+c"
    may = role(client, "may", SERVICE, "sqs:*", "events:InvokeApiDestination")
    site.answers[:] = [(200, b'{"priced": 7}'), (200, b"{}"), (200, b"thanks")]
    about = {"InputTemplate": '{"n": <$.body.n>}', "HttpParameters": HTTP}
    make(platform, pipes, may, source, out, Enrichment=arn, EnrichmentParameters=about)
    send = {"QueueUrl": source_url, "MessageBody": '{"id": "a/1", "n": 5}', "MessageAttributes": ATTRIBUTES}  # fmt: skip
    client("sqs").send_message(**send)
    assert received(client, url) == [{"priced": 7}]
    [(asked, headers, body)] = site.got
    assert (asked, json.loads(body)) == (path, {"n": 5})
    assert {k.lower(): v for k, v in headers.items()}["x-one"] == "5"
    client("sqs").send_message(**send)  # answered {}: nothing is sent on
    assert len(reached(platform, site, 2)) == 2
    pipes.update_pipe(Name="p", RoleArn=may, Enrichment="", EnrichmentParameters={}, Target=arn, TargetParameters=about)  # fmt: skip
    come_to_rest(platform, "pipes.change")
    client("sqs").send_message(**send)
    asked, _, body = reached(platform, site, 3)[2]
    assert (asked, json.loads(body)) == (path, {"n": 5})
    assert nothing_came(client, url)


def test_what_a_destination_does_not_take_goes_back_and_its_rate_is_kept(platform, client, pipes, site):  # fmt: skip
    source_url, source = queue(client, "in", services=())
    may = role(client, "may", SERVICE, "sqs:*", "events:InvokeApiDestination")
    arn = destination(client, site, "/")
    client("events").update_api_destination(Name="d", InvocationRateLimitPerSecond=1)
    site.answers[:] = [(500, b""), (200, b""), (200, b"")]
    for n in (1, 2):
        client("sqs").send_message(QueueUrl=source_url, MessageBody=str(n))
    make(platform, pipes, may, source, arn, TargetParameters={"InputTemplate": "<$.body>"})
    began_s = platform.cloud.world.cloud()
    for _ in range(3000):
        advance(platform, 0.5)
        count = len(reached(platform, site, 1))
        second = int(platform.cloud.world.cloud()) - int(began_s)
        assert count <= second + 1
        if count == 3:
            break
    assert sorted(body for _, _, body in site.got[-2:]) == [b'"1"', b'"2"']


def test_a_pipe_with_no_right_to_a_destination_sends_nothing(platform, client, pipes, worker, site):
    source_url, source = queue(client, "in", services=())
    logs = client("logs")
    logs.create_log_group(logGroupName="g")
    config = {"Level": "ERROR", "CloudwatchLogsLogDestination": {"LogGroupArn": f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:g"}}  # fmt: skip
    make(platform, pipes, worker, source, destination(client, site, "/"), LogConfiguration=config)
    client("sqs").send_message(QueueUrl=source_url, MessageBody="x")
    found = []
    for _ in range(600):
        if found := logs.filter_log_events(logGroupName="g")["events"]:
            break
        time.sleep(0.01)
    assert "events:InvokeApiDestination" in json.loads(found[0]["message"])["error"]["message"]
    assert site.got == []


# -- batches


def test_a_pipe_takes_no_larger_batches_than_its_target(pipes, worker):
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-batching-concurrency.html"""
    source = f"arn:aws:sqs:us-east-1:{ACCOUNT}:in"
    for target, most in ((f"arn:aws:sqs:us-east-1:{ACCOUNT}:out", 10), (f"arn:aws:events:us-east-1:{ACCOUNT}:api-destination/d/1", 1)):  # fmt: skip
        about = {"SqsQueueParameters": {"BatchSize": most + 1}}
        with pytest.raises(ClientError, match=f"BatchSize {most + 1} is more than"):
            pipes.create_pipe(Name="p", Source=source, Target=target, RoleArn=worker, SourceParameters=about)  # fmt: skip
    topic = f"arn:aws:sns:us-east-1:{ACCOUNT}:t.fifo"
    with pytest.raises(ClientError, match="it is a FIFO topic"):
        pipes.create_pipe(Name="p", Source=source, Target=topic, RoleArn=worker)


def test_a_queue_s_batch_is_gathered_within_its_window(platform, client, pipes, worker):
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-sqs.html: BatchSize of more than 10, and MaximumBatchingWindowInSeconds."""
    source_url, source = queue(client, "in", services=(), VisibilityTimeout="43200")
    gather = create_function(client, "g", "def handler(events, context): print('COUNT', len(events))")["FunctionArn"]  # fmt: skip
    about = {"SqsQueueParameters": {"BatchSize": 25, "MaximumBatchingWindowInSeconds": 60}}
    make(platform, pipes, worker, source, gather, SourceParameters=about)
    for n in range(30):
        client("sqs").send_message(QueueUrl=source_url, MessageBody=str(n))
    assert counts(client, 1) == [25]
    assert counts(client, 1) == [25]  # five are waiting for others
    assert after_windows(platform, client, 2) == [25, 5]


def after_windows(platform, client, least):
    """What ``counts`` finds, each minute of the cloud clock: a window begins when the first record is read."""
    for _ in range(100):
        advance(platform, 61)
        if len(found := counts(client, least, tries=50)) >= least:
            return found
    return found


def counts(client, least, tries=1000):
    """What the function ``g`` says it was given, batch by batch, once there are so many."""
    found = []
    for _ in range(tries):
        try:
            lines = client("logs").filter_log_events(logGroupName="/aws/lambda/g", filterPattern="COUNT")["events"]  # fmt: skip
        except ClientError:
            lines = []
        found = [int(line["message"].split()[1]) for line in lines]
        if len(found) >= least:
            break
        time.sleep(0.01)
    return found


def test_a_stream_s_batch_is_gathered_within_its_window(platform, client, pipes, worker):
    source = stream(client)
    gather = create_function(client, "g", "def handler(events, context): print('COUNT', len(events))")["FunctionArn"]  # fmt: skip
    about = {"StartingPosition": "TRIM_HORIZON", "BatchSize": 5, "MaximumBatchingWindowInSeconds": 60}  # fmt: skip
    make(platform, pipes, worker, source, gather, SourceParameters={"KinesisStreamParameters": about})  # fmt: skip
    put(client, *range(7))
    assert counts(client, 1)[0] == 5
    assert after_windows(platform, client, 2) == [5, 2]


def test_what_a_batch_api_refuses_is_tried_again_and_nothing_else(platform, client, pipes, worker):
    """An event that is not JSON's object is refused by PutEvents; the other one went through."""
    source_url, source = queue(client, "in", services=())
    dead_url, dead = queue(client, "dead", services=())
    client("sqs").set_queue_attributes(QueueUrl=source_url, Attributes={"RedrivePolicy": json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 1})})  # fmt: skip
    url, out = queue(client, "out")
    events = client("events")
    events.put_rule(Name="r", EventPattern='{"source": ["Pipe"]}')
    events.put_targets(Rule="r", Targets=[{"Id": "t", "Arn": out, "InputPath": "$.detail"}])
    for body in ('{"n": 1}', "2"):
        client("sqs").send_message(QueueUrl=source_url, MessageBody=body)
    bus = f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/default"
    make(platform, pipes, worker, source, bus, TargetParameters={"InputTemplate": "<$.body>"})
    assert received(client, url) == [{"n": 1}]
    assert buried(platform, client, source_url, dead_url, 1)[0]["Body"] == "2"
    assert nothing_came(client, url)


def test_lines_and_events_have_the_times_that_the_records_say(platform, client, pipes, worker):
    """https://docs.aws.amazon.com/eventbridge/latest/pipes-reference/API_PipeTargetCloudWatchLogsParameters.html, ..._PipeTargetEventBridgeEventBusParameters.html"""
    source_url, source = queue(client, "in", services=())
    logs = client("logs")
    logs.create_log_group(logGroupName="g")
    worker = role(client, "logger", SERVICE, "sqs:*", "logs:*", "events:*")
    now_ms = int(platform.cloud.world.cloud()) * 1000
    for n in (2, 1):  # not in the order of their times
        body = json.dumps({"at": now_ms + n, "to": "one", "n": n})
        client("sqs").send_message(QueueUrl=source_url, MessageBody=body)
    group = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:g"
    about = {"CloudWatchLogsParameters": {"LogStreamName": "$.body.to", "Timestamp": "$.body.at"}, "InputTemplate": "n is <$.body.n>"}  # fmt: skip
    make(platform, pipes, worker, source, group, TargetParameters=about)
    found = []
    for _ in range(600):
        found = logs.filter_log_events(logGroupName="g")["events"]
        if len(found) == 2:
            break
        time.sleep(0.01)
    assert [(e["logStreamName"], e["timestamp"] - now_ms, e["message"]) for e in found] == [("one", 1, "n is 1"), ("one", 2, "n is 2")]  # fmt: skip
    url, out = queue(client, "out")
    events = client("events")
    events.put_rule(Name="r", EventPattern='{"source": ["Pipe"]}')
    events.put_targets(Rule="r", Targets=[{"Id": "t", "Arn": out}])
    bus = f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/default"
    times = {"EventBridgeEventBusParameters": {"Time": "$.body.time"}}
    make(platform, pipes, worker, source, bus, "q", TargetParameters=times)
    pipes.stop_pipe(Name="p")
    come_to_rest(platform, "pipes.change")
    client("sqs").send_message(QueueUrl=source_url, MessageBody='{"time": "2024-02-03T04:05:06Z"}')
    assert received(client, url)[0]["time"] == "2024-02-03T04:05:06Z"


# -- several lanes of a shard


SLOW = """
import base64, os, time
def handler(events, context):
    bodies = [base64.b64decode(e["data"]).decode() for e in events]
    print("BEGIN", *[f'{e["partitionKey"]}={b}' for e, b in zip(events, bodies)])
    if "7" in bodies and events[0]["partitionKey"] == "k1": raise ValueError("no")
    print("DONE", *[f'{e["partitionKey"]}={b}' for e, b in zip(events, bodies)])
"""


def lines(client, least, word="DONE"):
    found = []
    for _ in range(2000):
        try:
            said = client("logs").filter_log_events(logGroupName="/aws/lambda/g", filterPattern=word)["events"]  # fmt: skip
        except ClientError:
            said = []
        found = [part for line in said for part in line["message"].split()[1:]]
        if len(found) >= least:
            return found
        time.sleep(0.01)
    return found


def checkpoint(platform):
    keys = Keyspace(ACCOUNT, "us-east-1", "pipes")

    def look(tx):
        return [row for _, row in state.checkpoints(tx, keys, "p")]

    return platform.run(platform.cloud.db.transact(look))


@pytest.mark.parametrize("kind", ["kinesis", "dynamodb"])
def test_keys_stay_in_order_in_several_lanes(platform, client, pipes, site, kind):
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-kinesis.html: ParallelizationFactor."""
    site.answers[:] = [(200, b"")] * 20
    may = role(client, "may", SERVICE, "kinesis:*", "dynamodb:*", "events:InvokeApiDestination")
    about = {"StartingPosition": "TRIM_HORIZON", "ParallelizationFactor": 4}
    if kind == "kinesis":
        source, member = stream(client), "KinesisStreamParameters"
        for n in range(20):
            put(client, {"n": str(n)}, key=f"k{n % 5}")
        template = '{"k": <$.partitionKey>, "n": <$.data.n>}'
    else:
        dynamodb, member = client("dynamodb"), "DynamoDBStreamParameters"
        dynamodb.create_table(
            TableName="tab", KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}], BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}], StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        )  # fmt: skip
        source = dynamodb.describe_table(TableName="tab")["Table"]["LatestStreamArn"]
        for n in range(20):
            dynamodb.put_item(TableName="tab", Item={"k": {"S": f"k{n % 5}"}, "n": {"S": str(n)}})
        template = '{"k": <$.dynamodb.NewImage.k.S>, "n": <$.dynamodb.NewImage.n.S>}'
    make(
        platform, pipes, may, source, destination(client, site, "/"),
        SourceParameters={member: about}, TargetParameters={"InputTemplate": template},
    )  # fmt: skip
    by_key = {}
    for _, _, body in reached(platform, site, 20):
        said = json.loads(body)
        by_key.setdefault(said["k"], []).append(int(said["n"]))
    assert by_key == {f"k{k}": list(range(k, 20, 5)) for k in range(5)}


def test_a_checkpoint_moves_only_behind_what_every_lane_has_done(platform, client, pipes, worker):
    """One key's record fails and is tried again and again; the others' are done, and come again after a restart."""
    function = create_function(client, "g", SLOW)["FunctionArn"]
    source = stream(client)
    about = {"StartingPosition": "TRIM_HORIZON", "BatchSize": 2, "ParallelizationFactor": 2}
    put(client, 7, key="k1")
    put(client, 8, key="k4")
    assert crc32(b"k4") % 2 != crc32(b"k1") % 2
    make(platform, pipes, worker, source, function, SourceParameters={"KinesisStreamParameters": about})  # fmt: skip
    assert lines(client, 1) == ["k4=8"]
    assert [row["sequence"] for row in checkpoint(platform)] == [""]
    platform.reopen()
    for _ in range(100):
        advance(platform, 2)
        if len(lines(client, 2)) == 2:
            break
    assert lines(client, 2) == ["k4=8", "k4=8"]
    assert lines(client, 2, "BEGIN").count("k1=7") >= 2
