"""Topics under a KMS key: what is on disk, who may publish, and what becomes of messages whose key is off or gone.

https://docs.aws.amazon.com/sns/latest/dg/sns-server-side-encryption.html
https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from eventing import ACCOUNT, advance, come_to_rest, nothing_came, queue, received, user_client

BODY = "the text that nobody may read"
TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT}:"


@pytest.fixture
def key(client: Any) -> str:
    """A key that lets SNS send to queues under it."""
    kms = client("kms")
    made = kms.create_key()["KeyMetadata"]["Arn"]
    let(client, made, "sns.amazonaws.com")
    return made


def let(client: Any, key: str, service: str) -> None:
    kms = client("kms")
    statement = {
        "Effect": "Allow", "Principal": {"Service": service}, "Resource": "*",
        "Action": ["kms:GenerateDataKey*", "kms:Decrypt"],
    }  # fmt: skip
    policy = json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    policy["Statement"].append(statement)
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))


def files(platform: Any) -> bytes:
    """All bytes of the data folder: the log keeps what every job once held."""
    return b"".join(p.read_bytes() for p in Path(platform.folder).rglob("*") if p.is_file())


def rows(platform: Any) -> bytes:
    async def read() -> bytes:
        found = await platform.cloud.db.transact(lambda tx: list(tx.scan((b"", b"\xff"))))
        return b"".join(value for _, value in found)

    return platform.run(read())


def code(call: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**request)
    return caught.value.response["Error"]["Code"]


def archived(client: Any, key: str, name: str = "t.fifo") -> str:
    """A FIFO topic under the key that keeps what is published for 30 days."""
    attributes = {
        "FifoTopic": "true", "ContentBasedDeduplication": "true", "KmsMasterKeyId": key,
        "ArchivePolicy": json.dumps({"MessageRetentionPeriod": "30"}),
    }  # fmt: skip
    return client("sns").create_topic(Name=name, Attributes=attributes)["TopicArn"]


def replayed(client: Any, topic: str, name: str) -> str:
    """URL of a new queue to which the topic's archive is replayed from its beginning."""
    url, arn = queue(client, name, ("sns.amazonaws.com",), FifoQueue="true")
    policy = {"PointType": "Timestamp", "StartingPoint": "2020-01-01T00:00:00Z"}
    attributes = {"ReplayPolicy": json.dumps(policy)}
    client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=attributes)
    return url


@pytest.mark.parametrize("name", ["t", "t.fifo"])
def test_a_text_is_sealed_from_publish_to_the_sealed_queue(platform, client, key, name):
    """Not one file of the data folder has it, while subject and attributes stay readable, as on AWS."""
    sns, fifo = client("sns"), name.endswith(".fifo")
    group = {"MessageGroupId": "g"} if fifo else {}
    if fifo:
        topic = archived(client, key)
    else:
        topic = sns.create_topic(Name=name, Attributes={"KmsMasterKeyId": key})["TopicArn"]
    more = {"FifoQueue": "true"} if fifo else {}
    url, arn = queue(client, name.replace("t", "q"), ("sns.amazonaws.com",), KmsMasterKeyId=key, **more)  # fmt: skip
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    attribute = {"DataType": "String", "StringValue": "readable"}
    sns.publish(TopicArn=topic, Message=BODY, MessageAttributes={"a": attribute}, **group)
    texts = json.dumps({"default": "other", "sqs": f"2: {BODY}"})
    entry = {"Id": "1", "Message": texts, "MessageStructure": "json", **group}
    sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=[entry])
    found = [m["Message"] for m in received(client, url, 2)]
    assert sorted(found) == [f"2: {BODY}", BODY]
    come_to_rest(platform, "sns.fanout", "sns.fifo")
    assert BODY.encode() not in rows(platform)
    assert BODY.encode() not in files(platform)
    assert b"readable" in files(platform)
    open_topic = sns.create_topic(Name=f"open-{name}", Attributes={"FifoTopic": "true", "ContentBasedDeduplication": "true"} if fifo else {})["TopicArn"]  # fmt: skip
    sns.publish(TopicArn=open_topic, Message=BODY, **group)
    assert BODY.encode() in files(platform)  # so the search finds what is not sealed


def test_a_function_and_a_body_filter_see_the_text(platform, client, key):
    """What goes by a job of its own is sealed in it, too, and tried again sealed."""
    sns = client("sns")
    topic = sns.create_topic(Name="t", Attributes={"KmsMasterKeyId": key})["TopicArn"]
    url, arn = queue(client, "q", ("sns.amazonaws.com",), KmsMasterKeyId=key)
    only = {"FilterPolicyScope": "MessageBody", "FilterPolicy": '{"kind": ["wanted"]}'}
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=only)
    role = f"arn:aws:iam::{ACCOUNT}:role/none"
    stream = f"arn:aws:firehose:us-east-1:{ACCOUNT}:deliverystream/none"
    dead_url, dead = queue(client, "dead", ("sns.amazonaws.com",), KmsMasterKeyId=key)
    redrive = json.dumps({"deadLetterTargetArn": dead})
    attributes = {"SubscriptionRoleArn": role, "RedrivePolicy": redrive}
    sns.subscribe(TopicArn=topic, Protocol="firehose", Endpoint=stream, Attributes=attributes)
    for kind in ("wanted", "other"):
        sns.publish(TopicArn=topic, Message=json.dumps({"kind": kind, "said": BODY}))
    (got,) = received(client, url)
    assert json.loads(got["Message"])["kind"] == "wanted"
    assert len(received(client, dead_url, 2)) == 2  # the stream is not there
    assert nothing_came(client, url)
    assert BODY.encode() not in files(platform)


def test_who_publishes_must_be_let_by_the_key(platform, client, key):
    """GenerateDataKey and Decrypt; "SNS reuses a data key for up to 5 minutes", then a change of the key shows."""
    sns, kms = client("sns"), client("kms")
    topic = sns.create_topic(Name="t", Attributes={"KmsMasterKeyId": key})["TopicArn"]
    own = sns.create_topic(Name="own", Attributes={"KmsMasterKeyId": "alias/aws/sns"})["TopicArn"]
    entries = [{"Id": "1", "Message": "m"}]

    def user(name: str, *actions: str) -> Any:
        allowed = [{"Effect": "Allow", "Action": "sns:*", "Resource": "*"}]
        allowed += [{"Effect": "Allow", "Action": a, "Resource": key} for a in actions]
        return user_client(client, "sns", allowed, name)

    for name, actions in (("none", ()), ("half", ("kms:GenerateDataKey",))):
        poor = user(name, *actions)
        assert poor.publish(TopicArn=own, Message="m")["MessageId"]
        assert code(poor.publish, TopicArn=topic, Message="m") == "KMSAccessDenied"
        assert code(poor.publish_batch, TopicArn=topic, PublishBatchRequestEntries=entries) == "KMSAccessDenied"  # fmt: skip
    rich = user("both", "kms:GenerateDataKey", "kms:Decrypt")
    assert rich.publish(TopicArn=topic, Message="m")["MessageId"]
    kms.disable_key(KeyId=key)
    assert rich.publish(TopicArn=topic, Message="m")["MessageId"]
    advance(platform, 301)
    assert code(rich.publish, TopicArn=topic, Message="m") == "KMSDisabled"
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert code(rich.publish, TopicArn=topic, Message="m") == "KMSInvalidState"
    gone = sns.create_topic(Name="gone", Attributes={"KmsMasterKeyId": key})["TopicArn"]
    advance(platform, 8 * 86_400)
    come_to_rest(platform, "kms.purge")
    assert code(sns.publish, TopicArn=gone, Message="m") == "KMSNotFound"


def test_s3_publishes_to_a_sealed_topic_only_if_its_key_lets_s3(client, key):
    """https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html#compatibility-with-aws-services"""
    s3, sns = client("s3"), client("sns")
    topic = sns.create_topic(Name="t", Attributes={"KmsMasterKeyId": key})["TopicArn"]
    statement = {"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sns:Publish", "Resource": topic}  # fmt: skip
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps({"Statement": [statement]}))  # fmt: skip
    url, arn = queue(client, "q", ("sns.amazonaws.com",), KmsMasterKeyId=key)
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    s3.create_bucket(Bucket="photos")
    notify = {"TopicConfigurations": [{"TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}]}
    asked = {"Bucket": "photos", "NotificationConfiguration": notify}
    assert code(s3.put_bucket_notification_configuration, **asked) == "InvalidArgument"
    let(client, key, "s3.amazonaws.com")
    s3.put_bucket_notification_configuration(**asked)
    assert "s3:TestEvent" in received(client, url)[0]["Message"]
    s3.put_object(Bucket="photos", Key="k", Body=b"")
    (got,) = received(client, url)
    assert json.loads(got["Message"])["Records"][0]["s3"]["object"]["key"] == "k"


def test_an_archive_is_opened_in_the_publishers_name_after_a_restart(platform, client, key):
    """And with an encryption off since: "any encrypted message remains encrypted"."""
    sns, kms = client("sns"), client("kms")
    topic = archived(client, key)
    sns.publish(TopicArn=topic, Message="kept", MessageGroupId="g")
    sns.set_topic_attributes(TopicArn=topic, AttributeName="KmsMasterKeyId", AttributeValue="")
    platform.reopen()
    assert received(client, replayed(client, topic, "a.fifo"))[0]["Message"] == "kept"
    kms.disable_key(KeyId=key)
    platform.reopen()
    url = replayed(client, topic, "b.fifo")
    assert nothing_came(client, url)
    kms.enable_key(KeyId=key)
    advance(platform, 301)  # the work of a message that waits is tried again at least that often
    assert received(client, url)[0]["Message"] == "kept"


def test_what_was_published_under_a_key_that_is_gone_is_gone(platform, client, key):
    """And holds nothing up that follows in its group."""
    sns, kms = client("sns"), client("kms")
    topic = archived(client, key)
    sns.publish(TopicArn=topic, Message="lost", MessageGroupId="g")
    sns.set_topic_attributes(TopicArn=topic, AttributeName="KmsMasterKeyId", AttributeValue="")
    sns.publish(TopicArn=topic, Message="open", MessageGroupId="g")
    come_to_rest(platform, "sns.fifo")
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    advance(platform, 8 * 86_400)
    come_to_rest(platform, "kms.purge")
    url = replayed(client, topic, "q.fifo")
    assert [m["Message"] for m in received(client, url)] == ["open"]
    assert nothing_came(client, url)
