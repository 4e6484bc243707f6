"""What queues, topics, buses and streams answer to policies and batches that are none, each in its own service's words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

ALLOW = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
MALFORMED = {
    "no JSON": "{",
    "a list": "[]",
    "no statement": "{}",
    "no such version": json.dumps({"Version": "2020-01-01", "Statement": [ALLOW]}),
    "no such effect": json.dumps({"Statement": [ALLOW | {"Effect": "Maybe"}]}),
    "no principal": json.dumps({"Statement": [{k: v for k, v in ALLOW.items() if k != "Principal"}]}),
    "no such condition": json.dumps({"Statement": [ALLOW | {"Condition": {"StringsEqual": {"a": "b"}}}]}),
    "two of one id": json.dumps({"Statement": [ALLOW | {"Sid": "x"}] * 2}),
}  # fmt: skip


def refused(call: Callable[..., Any], **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as found:
        call(**request)
    assert found.value.response["ResponseMetadata"]["HTTPStatusCode"] < 500
    error = found.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.fixture
def places(client: Any) -> dict[str, Callable[[str], Any]]:
    """How each service is given a policy."""
    sqs, sns, events, kinesis, secrets = (client(n) for n in ("sqs", "sns", "events", "kinesis", "secretsmanager"))  # fmt: skip
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    topic = sns.create_topic(Name="t")["TopicArn"]
    kinesis.create_stream(StreamName="s", ShardCount=1)
    secrets.create_secret(Name="s", SecretString="x")
    arn = kinesis.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]["StreamARN"]
    return {
        "sqs": lambda policy: sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy}),
        "sns": lambda policy: sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy),
        "events": lambda policy: events.put_permission(Policy=policy),
        "kinesis": lambda policy: kinesis.put_resource_policy(ResourceARN=arn, Policy=policy),
        "secretsmanager": lambda policy: secrets.put_resource_policy(SecretId="s", ResourcePolicy=policy),
    }  # fmt: skip


def test_a_malformed_policy_is_refused_in_the_words_of_each_service(places: Any) -> None:
    """SQS and SNS say no more than this, as https://github.com/hashicorp/terraform-provider-aws/pull/42209 shows."""
    for what, policy in MALFORMED.items():
        said = {name: refused(put, policy=policy) for name, put in places.items()}
        assert said["sqs"] == ("InvalidAttributeValue", "Invalid value for the parameter Policy."), what  # fmt: skip
        assert said["sns"] == ("InvalidParameter", "Invalid parameter: Policy Error: null"), what
        assert said["events"][0] == "ValidationException", what
        assert said["events"][1].startswith("Parameter Policy is not valid. Reason: "), what
        assert said["kinesis"][0] == "InvalidArgumentException", what
        assert said["secretsmanager"][0] == "MalformedPolicyDocumentException", what


def test_a_policy_for_another_service_or_beyond_the_quotas_is_refused(places: Any) -> None:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-policies.html"""

    def asked(name: str, **statement: Any) -> tuple[str, str]:
        policy = json.dumps({"Statement": [ALLOW | statement]})
        return refused(places[name], policy=policy)

    assert asked("sqs", Action="s3:GetObject")[0] == "InvalidAttributeValue"
    assert asked("sns", Action="s3:GetObject") == ("InvalidParameter", "Invalid parameter: Policy statement action out of service scope!")  # fmt: skip
    actions = [f"sqs:{name}" for name in ("SendMessage", "ReceiveMessage", "DeleteMessage", "PurgeQueue", "GetQueueUrl", "GetQueueAttributes", "SetQueueAttributes", "AddPermission")]  # fmt: skip
    assert asked("sqs", Action=actions) == ("OverLimit", "8 actions were found in a statement from the submitted policy, max allowed is 7")  # fmt: skip
    places["sqs"](json.dumps({"Statement": [ALLOW | {"Action": actions[:7]}]}))
    many = {"AWS": [f"{n:012d}" for n in range(51)]}
    assert asked("sqs", Principal=many)[1] == "51 principals were found in the submitted policy, max allowed is 50"  # fmt: skip
    assert asked("sqs", Sid="x" * 8_192)[0] == "InvalidAttributeValue"
    assert asked("sns", Sid="x" * 30_720)[0] == "InvalidParameter"
    assert asked("events", Sid="x" * 10_240)[0] == "PolicyLengthExceededException"


def test_a_batch_that_is_none_is_refused_whole(client: Any) -> None:
    """Too many, none, the same id twice, too long together: each API names it in its own way."""
    sqs, sns, kinesis, events, logs, watch = (
        client(n, parameter_validation=False) for n in ("sqs", "sns", "kinesis", "events", "logs", "cloudwatch")
    )  # fmt: skip
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    topic = sns.create_topic(Name="t")["TopicArn"]
    kinesis.create_stream(StreamName="s", ShardCount=1)

    def message(n: int, size: int = 1) -> dict[str, str]:
        return {"Id": str(n), "MessageBody": "x" * size}

    def send(entries: Any) -> str:
        return refused(sqs.send_message_batch, QueueUrl=url, Entries=entries)[0]

    assert send([message(n) for n in range(11)]) == "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"  # fmt: skip
    assert send([]) == "AWS.SimpleQueueService.EmptyBatchRequest"
    assert send([message(1), message(1)]) == "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"
    assert send([message(1) | {"Id": "a b"}]) == "AWS.SimpleQueueService.InvalidBatchEntryId"
    assert send([message(n, 600_000) for n in range(2)]) == "AWS.SimpleQueueService.BatchRequestTooLong"  # fmt: skip

    def publish(entries: Any) -> str:
        return refused(sns.publish_batch, TopicArn=topic, PublishBatchRequestEntries=entries)[0]

    def note(n: int, size: int = 1) -> dict[str, str]:
        return {"Id": str(n), "Message": "x" * size}

    assert publish([note(n) for n in range(11)]) == "TooManyEntriesInBatchRequest"
    assert publish([note(1), note(1)]) == "BatchEntryIdsNotDistinct"
    assert publish([note(n, 200_000) for n in range(2)]) == "BatchRequestTooLong"

    record = {"Data": b"x", "PartitionKey": "k"}
    assert refused(kinesis.put_records, StreamName="s", Records=[record] * 501)[0] == "ValidationException"  # fmt: skip
    assert refused(kinesis.put_records, StreamName="s", Records=[])[0] == "ValidationException"
    large = [{"Data": b"x" * 1_000_000, "PartitionKey": "k"}] * 11
    assert refused(kinesis.put_records, StreamName="s", Records=large)[0] == "InvalidArgumentException"  # fmt: skip
    entry = {"Source": "s", "DetailType": "d", "Detail": "{}"}
    assert refused(events.put_events, Entries=[entry] * 11)[0] == "ValidationException"
    assert refused(events.put_events, Entries=[])[0] == "ValidationException"
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    back = [{"timestamp": 2, "message": "m"}, {"timestamp": 1, "message": "m"}]
    assert refused(logs.put_log_events, logGroupName="g", logStreamName="s", logEvents=back)[0] == "InvalidParameterException"  # fmt: skip
    datum = {"MetricName": "m", "Value": 1}
    assert refused(watch.put_metric_data, Namespace="n", MetricData=[datum] * 1_001)[0] == "InvalidParameterValue"  # fmt: skip
