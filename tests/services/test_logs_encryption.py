"""Log groups under a KMS key. https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html"""

from __future__ import annotations

import gzip
import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError
from eventing import ACCOUNT, advance, come_to_rest, role

SECRET = "what nobody may read on the disk"
ARN = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:g"


@pytest.fixture
def logs(client: Any) -> Any:
    return client("logs")


def let(client: Any, key: str, condition: str = ARN) -> None:
    """The policy AWS's page shows: Logs may use the key for this group."""
    owner = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}  # fmt: skip
    service = {
        "Effect": "Allow", "Principal": {"Service": "logs.us-east-1.amazonaws.com"}, "Resource": "*",
        "Action": ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
        "Condition": {"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": condition}},
    }  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": [owner, service]})
    client("kms").put_key_policy(KeyId=key, PolicyName="default", Policy=policy)


@pytest.fixture
def key(client: Any) -> str:
    arn = client("kms").create_key()["KeyMetadata"]["Arn"]
    let(client, arn)
    return str(arn)


def stored(platform: Any) -> bytes:
    async def rows() -> bytes:
        found = await platform.cloud.db.transact(lambda tx: list(tx.scan((b"", b"\xff"))))
        return b"".join(value for _, value in found)

    return bytes(platform.run(rows()))


def say(logs: Any, platform: Any, *messages: str) -> None:
    now_ms = int(platform.cloud.world.cloud() * 1000)
    logs.put_log_events(logGroupName="g", logStreamName="s", logEvents=[{"timestamp": now_ms, "message": m} for m in messages])  # fmt: skip


def read(logs: Any) -> list[str]:
    found = [e["message"] for e in logs.get_log_events(logGroupName="g", logStreamName="s", startFromHead=True)["events"]]  # fmt: skip
    assert [e["message"] for e in logs.filter_log_events(logGroupName="g")["events"]] == found
    return found


def test_messages_are_sealed_from_the_association_to_the_dissociation(
    client: Any, platform: Any, logs: Any, key: str
) -> None:
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    say(logs, platform, "before, in clear")
    logs.associate_kms_key(logGroupName="g", kmsKeyId=key)
    say(logs, platform, SECRET)
    assert logs.describe_log_groups()["logGroups"][0]["kmsKeyId"] == key
    assert SECRET.encode() not in stored(platform)
    logs.disassociate_kms_key(resourceIdentifier=ARN)
    say(logs, platform, "after, in clear")
    assert "kmsKeyId" not in logs.describe_log_groups()["logGroups"][0]
    platform.reopen()
    assert read(logs) == ["before, in clear", SECRET, "after, in clear"]
    assert b"after, in clear" in stored(platform)
    assert [e["message"] for e in logs.filter_log_events(logGroupName="g", filterPattern="nobody")["events"]] == [SECRET]  # fmt: skip


def test_a_key_that_does_not_let_logs_is_refused_and_one_that_no_longer_does_shuts_the_group(
    client: Any, platform: Any, logs: Any, key: str
) -> None:
    kms = client("kms")
    closed = kms.create_key()["KeyMetadata"]["Arn"]
    refusal = f"The specified KMS key does not exist or is not allowed to be used with Arn '{ARN}'"
    other = key[:-1] + ("1" if key.endswith("0") else "0")
    for bad in (closed, other):
        with pytest.raises(ClientError) as found:
            logs.create_log_group(logGroupName="g", kmsKeyId=bad)
        error = found.value.response["Error"]
        assert (error["Code"], error["Message"]) == ("InvalidParameterException", refusal)
    logs.create_log_group(logGroupName="g", kmsKeyId=key)
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    say(logs, platform, SECRET)
    kms.disable_key(KeyId=key)
    assert read(logs) == [SECRET], "for as long as the data key is known"
    advance(platform, 301)
    for call, request in (
        (logs.get_log_events, {"logGroupName": "g", "logStreamName": "s"}),
        (logs.filter_log_events, {"logGroupName": "g"}),
    ):
        with pytest.raises(ClientError, match="cannot be used"):
            call(**request)
    with pytest.raises(ClientError, match="cannot be used"):
        say(logs, platform, "no")
    kms.enable_key(KeyId=key)
    say(logs, platform, "again")
    assert read(logs) == [SECRET, "again"]


def test_a_subscription_gets_the_text_and_a_stack_sets_the_key(
    client: Any, platform: Any, logs: Any, key: str
) -> None:
    let(client, key, f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:*")
    cfn = client("cloudformation")

    def deploy(verb: str, **properties: str) -> None:
        about = {"LogGroupName": "g", "RetentionInDays": 7, **properties}
        template = {"Resources": {"G": {"Type": "AWS::Logs::LogGroup", "Properties": about}}}
        getattr(cfn, f"{verb}_stack")(StackName="s", TemplateBody=json.dumps(template))
        for _ in range(6_000):
            status = cfn.describe_stacks(StackName="s")["Stacks"][0]["StackStatus"]
            if not status.endswith("IN_PROGRESS"):
                break
            time.sleep(0.01)
        assert status == f"{verb.upper()}_COMPLETE"

    deploy("create", KmsKeyId=key)
    assert logs.describe_log_groups()["logGroups"][0]["kmsKeyId"] == key
    kinesis = client("kinesis")
    kinesis.create_stream(StreamName="out", ShardCount=1)
    writer = role(client, "writer", "logs.amazonaws.com", "kinesis:*")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    logs.put_subscription_filter(logGroupName="g", filterName="f", filterPattern="", destinationArn=f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/out", roleArn=writer)  # fmt: skip
    say(logs, platform, SECRET)
    come_to_rest(platform, "logs.subscription")
    iterator = kinesis.get_shard_iterator(StreamName="out", ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON")["ShardIterator"]  # fmt: skip
    records = kinesis.get_records(ShardIterator=iterator)["Records"]
    sent = json.loads(gzip.decompress(records[-1]["Data"]))
    assert [e["message"] for e in sent["logEvents"]] == [SECRET]
    deploy("update")
    assert "kmsKeyId" not in logs.describe_log_groups()["logGroups"][0]
