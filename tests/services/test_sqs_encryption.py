"""Queues under a KMS key: what is on disk, who may send and receive, and how KMS's refusals come.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-server-side-encryption.html
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from eventing import ACCOUNT, advance, come_to_rest, queue, received, user_client

BODY = "the body that nobody may read"


@pytest.fixture
def key(client: Any) -> str:
    return client("kms").create_key()["KeyMetadata"]["Arn"]


def sealed_queue(client: Any, key: str, name: str = "q", **more: str) -> str:
    attributes = {"KmsMasterKeyId": key, "KmsDataKeyReusePeriodSeconds": "60", **more}
    return client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]


def stored(platform: Any) -> bytes:
    async def rows() -> bytes:
        found = await platform.cloud.db.transact(lambda tx: list(tx.scan((b"", b"\xff"))))
        return b"".join(value for _, value in found)

    return platform.run(rows())


def code(call: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**request)
    return caught.value.response["Error"]["Code"]


@pytest.mark.parametrize("name", ["q", "q.fifo"])
def test_a_body_is_sealed_and_its_attributes_are_not(platform, client, key, name):
    """Message ids, times and attributes stay readable on AWS, too."""
    fifo = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
    url, sqs = sealed_queue(client, key, name, **fifo), client("sqs")
    group = {"MessageGroupId": "g", "MessageDeduplicationId": "d"} if fifo else {}
    attribute = {"DataType": "String", "StringValue": "readable"}
    said = sqs.send_message(QueueUrl=url, MessageBody=BODY, MessageAttributes={"a": attribute}, **group)  # fmt: skip
    assert said["MD5OfMessageBody"] == hashlib.md5(BODY.encode()).hexdigest()
    assert BODY.encode() not in stored(platform)
    assert b"readable" in stored(platform)
    if fifo:  # sent again it is known, though its sealed form would be another
        again = sqs.send_message(QueueUrl=url, MessageBody=BODY, **group)
        assert again["MessageId"] == said["MessageId"]
    (got,) = received(client, url, raw=True)
    assert (got["Body"], got["MD5OfBody"]) == (BODY, said["MD5OfMessageBody"])
    assert got["MessageAttributes"] == {"a": attribute}


def test_the_key_of_the_service_needs_no_permission_of_its_own(client):
    url = sealed_queue(client, "alias/aws/sqs")
    allowed = [{"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}]
    ann = user_client(client, "sqs", allowed)
    ann.send_message(QueueUrl=url, MessageBody=BODY)
    assert ann.receive_message(QueueUrl=url)["Messages"][0]["Body"] == BODY


def test_who_sends_and_who_receives_must_be_let_by_the_key(client, key):
    """kms:GenerateDataKey and kms:Decrypt to send, kms:Decrypt to receive; what is refused is neither taken nor given."""
    url, sqs = sealed_queue(client, key), client("sqs")

    def user(name: str, *actions: str) -> Any:
        statements = [
            {"Effect": "Allow", "Action": "sqs:*", "Resource": "*"},
            *({"Effect": "Allow", "Action": action, "Resource": key} for action in actions),
        ]
        return user_client(client, "sqs", statements, name)

    entries = [{"Id": str(n), "MessageBody": BODY} for n in range(3)]
    for name, actions in (("none", ()), ("half", ("kms:GenerateDataKey",))):
        poor = user(name, *actions)
        assert (
            code(poor.send_message, QueueUrl=url, MessageBody=BODY) == "KMS.AccessDeniedException"
        )
        assert code(poor.send_message_batch, QueueUrl=url, Entries=entries) == "KMS.AccessDeniedException"  # fmt: skip
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    user("both", "kms:GenerateDataKey", "kms:Decrypt").send_message(QueueUrl=url, MessageBody=BODY)
    assert code(poor.receive_message, QueueUrl=url) == "KMS.AccessDeniedException"
    reader = user("reader", "kms:Decrypt")
    (got,) = reader.receive_message(
        QueueUrl=url, MessageSystemAttributeNames=["ApproximateReceiveCount"]
    )["Messages"]
    assert (got["Body"], got["Attributes"]["ApproximateReceiveCount"]) == (BODY, "1")


def test_a_key_that_is_off_shows_when_the_data_key_has_served_its_time(platform, client, key):
    """ "KmsDataKeyReusePeriodSeconds: the length of time for which SQS can reuse a data key before calling KMS again"."""
    url, sqs, kms = sealed_queue(client, key), client("sqs"), client("kms")
    sqs.send_message(QueueUrl=url, MessageBody=BODY)
    kms.disable_key(KeyId=key)
    sqs.send_message(QueueUrl=url, MessageBody=BODY)
    assert code(sqs.receive_message, QueueUrl=url) == "KMS.DisabledException"
    advance(platform, 61)
    assert code(sqs.send_message, QueueUrl=url, MessageBody=BODY) == "KMS.DisabledException"
    kms.enable_key(KeyId=key)
    assert [m["Body"] for m in received(client, url, 2, raw=True)] == [BODY] * 2
    sqs.send_message(QueueUrl=url, MessageBody=BODY)
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    advance(platform, 61)
    assert code(sqs.receive_message, QueueUrl=url) == "KMS.InvalidStateException"


def test_sealed_messages_outlive_a_change_of_key_a_dead_letter_queue_and_a_move(platform, client, key):  # fmt: skip
    sqs = client("sqs")
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    redrive = {"deadLetterTargetArn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:dead", "maxReceiveCount": 1}
    url = sealed_queue(client, key, RedrivePolicy=json.dumps(redrive), VisibilityTimeout="0")
    sqs.send_message(QueueUrl=url, MessageBody=BODY)
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"KmsMasterKeyId": ""})
    sqs.send_message(QueueUrl=url, MessageBody="plain")
    got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert sorted(m["Body"] for m in got) == ["plain", BODY]
    assert "Messages" not in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
    assert BODY.encode() not in stored(platform)
    sqs.start_message_move_task(SourceArn=redrive["deadLetterTargetArn"])
    come_to_rest(platform, "sqs.move")
    assert "Messages" not in sqs.receive_message(QueueUrl=dead)
    found = received(client, url, 2, raw=True)
    assert sorted(m["Body"] for m in found) == ["plain", BODY]


def test_a_topic_reaches_a_sealed_queue_only_if_the_key_lets_sns(platform, client, key):
    """https://docs.aws.amazon.com/sns/latest/dg/sns-enable-encryption-for-topic-sqs-queue-subscriptions.html"""
    sqs, sns, kms = client("sqs"), client("sns"), client("kms")
    dead, dead_arn = queue(client, "dead", ("sns.amazonaws.com",))
    url, arn = queue(client, "q", ("sns.amazonaws.com",), KmsMasterKeyId=key)
    topic = sns.create_topic(Name="t")["TopicArn"]
    policy = json.dumps({"deadLetterTargetArn": dead_arn})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RedrivePolicy": policy})  # fmt: skip
    sns.publish(TopicArn=topic, Message="refused")
    assert received(client, dead)[0]["Message"] == "refused"
    let = {
        "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Resource": "*",
        "Action": ["kms:GenerateDataKey*", "kms:Decrypt"],
    }  # fmt: skip
    now = json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    now["Statement"].append(let)
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(now))
    sns.publish(TopicArn=topic, Message="taken")
    assert received(client, url)[0]["Message"] == "taken"
    assert "Messages" not in sqs.receive_message(QueueUrl=dead)
