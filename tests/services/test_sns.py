"""Topics, subscriptions and deliveries through boto3: what AWS does, and what it refuses in which words."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import eventing
import pytest
from botocore import UNSIGNED
from botocore.exceptions import ClientError

from stratolite.clock import World
from stratolite.egress import Answer, Failed
from stratolite.http import HttpRequest
from stratolite.services.sns import state
from stratolite.services.sns.state import keys_of

ACCOUNT = "000000000000"


class Clock(World):
    """Real time that a test can move on."""

    def jump(self, seconds: float) -> None:
        self.set_cloud_offset(self.cloud_offset_s + seconds)


@pytest.fixture
def world() -> Clock:
    return Clock()


@pytest.fixture
def sns(client: Any) -> Any:
    return client("sns")


@pytest.fixture
def sqs(client: Any) -> Any:
    return client("sqs")


def jump(platform: Any, seconds: float) -> None:
    async def move() -> None:
        platform.world.jump(seconds)

    platform.run(move())


def topic(sns: Any, name: str = "t", **attributes: str) -> str:
    return sns.create_topic(Name=name, Attributes=attributes)["TopicArn"]


def queue(sqs: Any, name: str, topic_arn: str = "*", **attributes: str) -> tuple[str, str]:
    """(URL, ARN) of a queue that the topic may send to."""
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": arn,
                "Condition": {"ArnLike": {"aws:SourceArn": topic_arn}},
            }
        ],
    }
    made = sqs.create_queue(QueueName=name, Attributes={"Policy": json.dumps(policy), **attributes})
    return made["QueueUrl"], arn


def subscribe(sns: Any, topic_arn: str, protocol: str, endpoint: str, **attributes: str) -> str:
    return sns.subscribe(
        TopicArn=topic_arn,
        Protocol=protocol,
        Endpoint=endpoint,
        Attributes=attributes,
        ReturnSubscriptionArn=True,
    )["SubscriptionArn"]


def received(sqs: Any, url: str, count: int = 1) -> list[dict[str, Any]]:
    """``count`` messages, waited for."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        got = sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=10,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages", [])
        assert got, found
        for one in got:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
        found += got
    return found


def nothing(sqs: Any, url: str) -> None:
    assert "Messages" not in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=0)


def idle(platform: Any) -> None:
    """No job of SNS is ready or under way."""
    from stratolite.core import Keyspace

    work = Keyspace("", "", "work")

    def busy(tx: Any) -> bool:
        names = ("sns.fanout", "sns.fifo", "sns.deliver", "sns.http", "sns.confirm", "sns.replay")
        spans = [work[kind][name].span() for kind in ("ready", "claim") for name in names]
        return any(True for span in spans for _ in tx.scan(span, limit=1))

    async def look() -> bool:
        return platform.cloud.db.peek(busy)

    wait_for(lambda: not platform.run(look()))


def wait_for(what: Callable[[], Any]) -> Any:
    end = time.time() + 120
    while time.time() < end:
        if found := what():
            return found
        time.sleep(0.01)
    raise AssertionError("did not happen")


def refused(call: Any, **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call(**request)
    said = error.value.response["Error"]
    return said["Code"], said["Message"]


class Web:
    """The egress room's place: what is posted where, and what is answered."""

    def __init__(self, platform: Any) -> None:
        self.posts: list[tuple[str, dict[str, str], str]] = []
        self.statuses: list[int] = []
        platform.cloud.egress.request = self.request

    async def request(
        self, method: str, url: str, headers: Any = (), body: bytes = b"", **_: Any
    ) -> Answer:
        self.posts.append((url, dict(headers), body.decode()))
        status = self.statuses.pop(0) if self.statuses else 200
        if not status:
            raise Failed("nobody there")
        return Answer(status, [], b"")


def get(platform: Any, url: str) -> tuple[int, bytes]:
    """A link out of a message, followed as anybody would."""
    path, _, query = url.removeprefix("http://localhost:4566").partition("?")
    status, _, body = platform.send(
        HttpRequest("GET", path, query, {"host": "localhost:4566"}, b"")
    )
    return status, body


# -- topics


def test_a_topic_has_aws_attributes(sns):
    """As recorded by LocalStack against AWS: test_create_topic_test_arn."""
    arn = topic(sns)
    assert arn == f"arn:aws:sns:us-east-1:{ACCOUNT}:t"
    assert topic(sns) == arn
    found = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    policy = json.loads(found.pop("Policy"))
    assert policy["Id"] == "__default_policy_ID"
    assert policy["Statement"][0]["Condition"] == {"StringEquals": {"AWS:SourceOwner": ACCOUNT}}
    assert json.loads(found.pop("EffectiveDeliveryPolicy")) == {
        "http": {
            "defaultHealthyRetryPolicy": {
                "minDelayTarget": 20,
                "maxDelayTarget": 20,
                "numRetries": 3,
                "numMaxDelayRetries": 0,
                "numNoDelayRetries": 0,
                "numMinDelayRetries": 0,
                "backoffFunction": "linear",
            },
            "disableSubscriptionOverrides": False,
            "defaultRequestPolicy": {"headerContentType": "text/plain; charset=UTF-8"},
        }
    }
    assert found == {
        "DisplayName": "",
        "Owner": ACCOUNT,
        "SubscriptionsConfirmed": "0",
        "SubscriptionsDeleted": "0",
        "SubscriptionsPending": "0",
        "TopicArn": arn,
    }
    sns.set_topic_attributes(TopicArn=arn, AttributeName="DisplayName", AttributeValue="d")
    assert sns.get_topic_attributes(TopicArn=arn)["Attributes"]["DisplayName"] == "d"
    sns.delete_topic(TopicArn=arn)
    sns.delete_topic(TopicArn=arn)
    assert refused(sns.get_topic_attributes, TopicArn=arn) == ("NotFound", "Topic does not exist")


def test_wrong_requests_are_refused_in_awss_words(sns):
    """Recorded by LocalStack against AWS, tests/aws/services/sns/test_sns.snapshot.json."""
    arn = topic(sns)
    bad = "InvalidParameter"
    assert refused(sns.get_topic_attributes, TopicArn="x") == (
        bad,
        "Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not 1",
    )
    assert refused(sns.publish, TopicArn=arn, Message="") == (
        bad,
        "Invalid parameter: Empty message",
    )
    assert refused(sns.publish, TopicArn=arn, Message="m", Subject="") == (
        bad,
        "Invalid parameter: Subject",
    )
    assert refused(sns.publish, TopicArn=arn, Message="x" * 262_145) == (
        bad,
        "Invalid parameter: Message too long",
    )
    for message, said in (
        ("{}", "No default entry in JSON message body"),
        ("{", "JSON message body failed to parse"),
    ):
        assert refused(sns.publish, TopicArn=arn, Message=message, MessageStructure="json") == (
            bad,
            f"Invalid parameter: Message Structure - {said}",
        )
    assert refused(sns.create_topic, Name="a b") == (bad, "Invalid parameter: Topic Name")
    for protocol, endpoint, said in (
        ("x", "y", "Invalid parameter: Amazon SNS does not support this protocol string: x"),
        ("sqs", "http://queue", "Invalid parameter: SQS endpoint ARN"),
        ("sms", "+15--551234567", "Invalid SMS endpoint: +15--551234567"),
        (
            "sqs",
            f"arn:aws:sqs:us-east-1:{ACCOUNT}:q.fifo",
            (
                "Invalid parameter: Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be"
                " subscribed to standard SNS topics"
            ),
        ),
    ):
        assert refused(sns.subscribe, TopicArn=arn, Protocol=protocol, Endpoint=endpoint) == (
            bad,
            said,
        )
    attribute = {"DataType": "String", "StringValue": "v"}
    for name, one, said in (
        (
            "a",
            {"DataType": "String", "StringValue": ""},
            "must contain non-empty message attribute",
        ),
        ("a", {"DataType": "String", "BinaryValue": b"x"}, "must use field 'String'."),
        ("a^", attribute, "Invalid non-alphanumeric character '#x5E' was found"),
        (".a", attribute, "Invalid message attribute name starting with character '.' was found."),
        ("a..b", attribute, "can not have successive '.' character."),
        ("a", {"DataType": "Odd", "StringValue": "v"}, "has an invalid message attribute type"),
    ):
        code, message = refused(
            sns.publish, TopicArn=arn, Message="m", MessageAttributes={name: one}
        )
        assert code == "ParameterValueInvalid"
        assert said in message
    assert refused(sns.publish, PhoneNumber="+1a234", Message="m") == (
        bad,
        "Invalid parameter: PhoneNumber Reason: +1a234 is not valid to publish to",
    )
    assert refused(sns.publish, TopicArn=arn, Message="m", MessageDeduplicationId="d")[1] == (
        "Invalid parameter: MessageDeduplicationId Reason: The request includes MessageDeduplicationId"
        " parameter that is not valid for this topic type"
    )
    sub = subscribe(sns, arn, "sqs", f"arn:aws:sqs:us-east-1:{ACCOUNT}:q")
    for name, value, said in (
        (
            "RawMessageDelivery",
            "x",
            "RawMessageDelivery: Invalid value [x]. Must be true or false.",
        ),
        ("Odd", "x", "AttributeName"),
        (
            "RedrivePolicy",
            '{"deadLetterTargetArn": "x"}',
            "RedrivePolicy: deadLetterTargetArn is an invalid arn",
        ),
    ):
        assert refused(
            sns.set_subscription_attributes,
            SubscriptionArn=sub,
            AttributeName=name,
            AttributeValue=value,
        ) == (bad, f"Invalid parameter: {said}")


def test_topics_that_are_there_or_elsewhere_are_told_apart(client, sns):
    """Recorded by LocalStack: test_create_topic_different_attrs, test_topic_get_attributes_with_fifo_false,
    test_create_topic_name_constraints, test_cross_region_access, test_publish_wrong_arn_format and their neighbours.
    """
    arn = topic(sns, DisplayName="a")
    for same in ({}, {"DisplayName": "a"}, {"FifoTopic": "false"}):
        assert topic(sns, **same) == arn
    for other in ({"DisplayName": "b"}, {"SignatureVersion": "2"}):
        assert refused(sns.create_topic, Name="t", Attributes=other)[1] == (
            "Invalid parameter: Attributes Reason: Topic already exists with different attributes"
        )
    fifo = {"FifoTopic": "true"}
    assert refused(sns.create_topic, Name="t", Attributes=fifo)[1] == (
        "Invalid parameter: Topic Name"
    )
    plain = topic(sns, "plain", FifoTopic="false")
    assert "FifoTopic" not in sns.get_topic_attributes(TopicArn=plain)["Attributes"]
    ordered = topic(sns, "o.fifo", **fifo)
    shown = sns.get_topic_attributes(TopicArn=ordered)["Attributes"]
    assert (shown["FifoTopic"], "FifoThroughputScope" in shown) == ("true", False)
    elsewhere = client("sns", region="eu-west-1")
    for call, ask in (
        (elsewhere.publish, {"Message": "m"}),
        (elsewhere.get_topic_attributes, {}),
        (elsewhere.delete_topic, {}),
    ):
        assert refused(call, TopicArn=arn, **ask)[1] == "Invalid parameter: TopicArn"
    for bad, count in (("x", 1), ("x:1", 2), ("", 1)):
        assert refused(sns.publish, TopicArn=bad, Message="m")[1] == (
            f"Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not {count}"
        )
    assert refused(sns.unsubscribe, SubscriptionArn=arn)[1] == "Invalid parameter: SubscriptionId"
    for token, said in (("0" * 288, "Invalid parameter: Token"), ("none", "Invalid token")):
        assert refused(sns.confirm_subscription, TopicArn=arn, Token=token)[1] == said
    assert refused(sns.opt_in_phone_number, phoneNumber="invalid")[1] == (
        "Invalid parameter: PhoneNumber Reason: input incorrectly formatted"
    )


def test_a_batch_is_refused_for_what_is_wrong_with_an_entry(sns):
    """Recorded by LocalStack: test_empty_or_wrong_message_attributes, test_publish_batch_exceptions."""
    arn, ordered = topic(sns), topic(sns, "o.fifo", FifoTopic="true")
    wrong = {"a": {"DataType": "Odd", "StringValue": "v"}}
    entries = [{"Id": "1", "Message": "m", "MessageAttributes": wrong}, {"Id": "2", "Message": "m"}]
    ask = {"TopicArn": arn, "PublishBatchRequestEntries": entries}
    assert refused(sns.publish_batch, **ask)[0] == "ParameterValueInvalid"
    entries = [{"Id": "1", "Message": '{"sqs": "m"}', "MessageStructure": "json"}]
    ask = {"TopicArn": ordered, "PublishBatchRequestEntries": entries}
    assert "No default entry" in refused(sns.publish_batch, **ask)[1], "before the missing group"


# -- to queues


def test_a_topic_takes_as_much_as_it_is_told_to(client, sns, sqs):
    """https://docs.aws.amazon.com/sns/latest/dg/large-message-payloads.html"""
    arn = topic(sns)

    def resize(size: str) -> None:
        ask = {"AttributeName": "MaximumMessageSize", "AttributeValue": size}
        sns.set_topic_attributes(TopicArn=arn, **ask)

    assert "MaximumMessageSize" not in sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    for wrong in ("1023", "1048577", "x", ""):
        assert "must be an integer" in refused(resize, size=wrong)[1].lower()
    mail = subscribe(sns, arn, "email", "a@example.com")
    assert "of email" in refused(resize, size="262145")[1]
    resize("2000")
    assert refused(sns.publish, TopicArn=arn, Message="x" * 2001)[1] == (
        "Invalid parameter: Message too long"
    )
    sns.unsubscribe(SubscriptionArn=mail)
    resize("1048576")
    ask = {"TopicArn": arn, "Protocol": "email", "Endpoint": "a@example.com"}
    assert "of email" in refused(sns.subscribe, **ask)[1]
    url, queue_arn = queue(sqs, "q", arn)
    subscribe(sns, arn, "sqs", queue_arn, RawMessageDelivery="true")
    for mark in "ab":
        sns.publish(TopicArn=arn, Message=mark * (1 << 20))
    got = received(sqs, url, 2)
    assert sorted(m["Body"] for m in got) == [mark * (1 << 20) for mark in "ab"]
    assert refused(sns.publish, TopicArn=arn, Message="x" * ((1 << 20) + 1))[1] == (
        "Invalid parameter: Message too long"
    )


def test_large_messages_are_archived_and_replayed(platform, sns, sqs):
    """More than a value of the store, which quotes make of them."""
    archive = {"ArchivePolicy": '{"MessageRetentionPeriod": "1"}'}
    size = {"MaximumMessageSize": "1048576"}
    arn = topic(sns, "o.fifo", FifoTopic="true", ContentBasedDeduplication="true", **archive, **size)  # fmt: skip
    texts = [mark + '"' * ((1 << 20) - 1) for mark in "abc"]
    for text in texts:
        sns.publish(TopicArn=arn, Message=text, MessageGroupId="g")
    url, queue_arn = queue(sqs, "q.fifo", arn, FifoQueue="true")
    since = {"PointType": "Timestamp", "StartingPoint": "2020-01-01T00:00:00Z"}
    subscribe(sns, arn, "sqs", queue_arn, RawMessageDelivery="true", ReplayPolicy=json.dumps(since))
    got = [m["Body"] for m in received(sqs, url, 3)]
    assert got == texts


def test_a_trace_goes_on_to_the_queue(sns, sqs):
    """Recorded by LocalStack: test_publish_sqs_from_sns_with_xray_propagation."""
    trace = "Root=1-3152b799-8954dae64eda91bc9a23a7e8;Parent=7fa8c0f79203be72;Sampled=1"

    def add(request: Any, **_: Any) -> None:
        request.headers["X-Amzn-Trace-Id"] = trace

    arn = topic(sns)
    url, queue_arn = queue(sqs, "q", arn)
    subscribe(sns, arn, "sqs", queue_arn)
    sns.meta.events.register("before-sign.sns.Publish", add)
    sns.publish(TopicArn=arn, Message="m")
    (got,) = received(sqs, url)
    assert got["Attributes"]["AWSTraceHeader"] == trace


def test_the_scope_of_a_filter_is_shown_with_the_filter(sns):
    """Recorded by LocalStack: test_set_subscription_filter_policy_scope."""
    arn = topic(sns)
    sub = subscribe(sns, arn, "sqs", f"arn:aws:sqs:us-east-1:{ACCOUNT}:q")

    def shown() -> set[str]:
        found = sns.get_subscription_attributes(SubscriptionArn=sub)["Attributes"]
        return {found[n] for n in ("FilterPolicy", "FilterPolicyScope") if n in found}

    for name, value, wanted in (
        ("FilterPolicyScope", "MessageBody", set()),
        ("FilterPolicy", '{"a":["b"]}', {"MessageBody", '{"a":["b"]}'}),
        ("FilterPolicy", "", set()),
    ):
        sns.set_subscription_attributes(
            SubscriptionArn=sub, AttributeName=name, AttributeValue=value
        )
        assert shown() == wanted


def test_a_standard_queue_of_a_fifo_topic_has_a_standard_dead_letter_queue(sns):
    """Recorded by LocalStack: test_validations_for_fifo."""
    arn = topic(sns, "o.fifo", FifoTopic="true")
    plain = f"arn:aws:sqs:us-east-1:{ACCOUNT}:plain"
    redrive = json.dumps({"deadLetterTargetArn": plain})
    for endpoint, said in (
        (f"arn:aws:sqs:us-east-1:{ACCOUNT}:q", None),
        (f"arn:aws:sqs:us-east-1:{ACCOUNT}:q.fifo", "must use a FIFO queue as DLQ"),
    ):
        sub = subscribe(sns, arn, "sqs", endpoint)
        ask = {"SubscriptionArn": sub, "AttributeName": "RedrivePolicy", "AttributeValue": redrive}
        if said is None:
            sns.set_subscription_attributes(**ask)
        else:
            assert said in refused(sns.set_subscription_attributes, **ask)[1]


def test_a_queue_gets_the_envelope_with_a_signature_that_holds(client, platform, sns, sqs):
    """Fields and order as recorded by LocalStack against AWS: test_publish_sqs_from_sns."""
    arn = topic(sns)
    url, queue_arn = queue(sqs, "q", arn)
    sub = subscribe(sns, arn, "sqs", queue_arn)
    sent = sns.publish(
        TopicArn=arn,
        Message='say "hi"\n',
        Subject="s",
        MessageAttributes={
            "n": {"DataType": "Number", "StringValue": "99.12"},
            "b": {"DataType": "Binary", "BinaryValue": b"\x02\x03\x04"},
        },
    )
    (got,) = received(sqs, url)
    assert got["Body"].startswith('{\n  "Type" : "Notification",\n  "MessageId" : "')
    body = json.loads(got["Body"])
    assert list(body) == [
        "Type",
        "MessageId",
        "TopicArn",
        "Subject",
        "Message",
        "Timestamp",
        "SignatureVersion",
        "Signature",
        "SigningCertURL",
        "UnsubscribeURL",
        "MessageAttributes",
    ]
    assert body["MessageId"] == sent["MessageId"]
    assert body["Message"] == 'say "hi"\n'
    assert body["MessageAttributes"] == {
        "n": {"Type": "Number", "Value": "99.12"},
        "b": {"Type": "Binary", "Value": "AgME"},
    }
    verify(platform, body, "SHA1")
    sns.set_topic_attributes(TopicArn=arn, AttributeName="SignatureVersion", AttributeValue="2")
    sns.publish(TopicArn=arn, Message="m")
    platform.reopen()
    body = json.loads(received(sqs, url)[0]["Body"])
    assert body["SignatureVersion"] == "2"
    verify(platform, body, "SHA256")
    status, _ = get(platform, body["UnsubscribeURL"].replace("Token=", "Token=0"))
    assert status == 400
    status, answer = get(platform, body["UnsubscribeURL"].replace("127.0.0.1", "localhost"))
    assert (status, b"<UnsubscribeResponse" in answer) == (200, True)
    assert refused(sns.get_subscription_attributes, SubscriptionArn=sub)[0] == "NotFound"


def verify(platform: Any, body: dict[str, Any], algorithm: str) -> None:
    """https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html"""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

    status, pem = get(platform, body["SigningCertURL"])
    assert status == 200
    names = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
    text = "".join(f"{name}\n{body[name]}\n" for name in names if name in body)
    x509.load_pem_x509_certificate(pem).public_key().verify(
        base64.b64decode(body["Signature"]), text.encode(), PKCS1v15(), getattr(hashes, algorithm)()
    )


def test_raw_delivery_is_the_message_itself_with_its_attributes(sns, sqs):
    arn = topic(sns)
    url, queue_arn = queue(sqs, "q", arn)
    sub = subscribe(sns, arn, "sqs", queue_arn, RawMessageDelivery="true")
    sns.publish(
        TopicArn=arn,
        Message=json.dumps({"default": "d", "sqs": "for queues"}),
        MessageStructure="json",
        MessageAttributes={"n": {"DataType": "Number", "StringValue": "1"}},
    )
    (got,) = received(sqs, url)
    assert got["Body"] == "for queues"
    assert got["MessageAttributes"] == {"n": {"DataType": "Number", "StringValue": "1"}}
    found = sns.get_subscription_attributes(SubscriptionArn=sub)["Attributes"]
    assert found == {
        "ConfirmationWasAuthenticated": "true",
        "Endpoint": queue_arn,
        "Owner": ACCOUNT,
        "PendingConfirmation": "false",
        "Protocol": "sqs",
        "RawMessageDelivery": "true",
        "SubscriptionArn": sub,
        "SubscriptionPrincipal": f"arn:aws:iam::{ACCOUNT}:root",
        "TopicArn": arn,
    }


def test_subscribing_again_is_the_same_subscription(sns):
    arn, endpoint = topic(sns), f"arn:aws:sqs:us-east-1:{ACCOUNT}:q"
    sub = subscribe(sns, arn, "sqs", endpoint, RawMessageDelivery="true")
    assert subscribe(sns, arn, "sqs", endpoint, RawMessageDelivery="true") == sub
    assert subscribe(sns, arn, "sqs", endpoint) == sub
    assert refused(
        sns.subscribe,
        TopicArn=arn,
        Protocol="sqs",
        Endpoint=endpoint,
        Attributes={"RawMessageDelivery": "false"},
    )[1] == (
        "Invalid parameter: Attributes Reason: Subscription already exists with different attributes"
    )
    assert [s["SubscriptionArn"] for s in sns.list_subscriptions()["Subscriptions"]] == [sub]
    listed = sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]
    assert listed[0]["Endpoint"] == endpoint
    sns.unsubscribe(SubscriptionArn=sub)
    sns.unsubscribe(SubscriptionArn=sub)
    found = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    assert (found["SubscriptionsConfirmed"], found["SubscriptionsDeleted"]) == ("0", "1")


def test_a_queue_that_does_not_let_the_topic_in_gets_nothing_and_the_dead_letters_do(
    platform, sns, sqs
):
    arn = topic(sns)
    sqs.create_queue(QueueName="closed")
    dead_url, dead_arn = queue(sqs, "dead", arn)
    subscribe(
        sns,
        arn,
        "sqs",
        f"arn:aws:sqs:us-east-1:{ACCOUNT}:closed",
        RedrivePolicy=json.dumps({"deadLetterTargetArn": dead_arn}),
    )
    sns.publish(TopicArn=arn, Message="m")
    (got,) = received(sqs, dead_url)
    assert json.loads(got["Body"])["Message"] == "m"
    nothing(sqs, f"http://localhost:4566/{ACCOUNT}/closed")


def test_many_subscriptions_are_served_in_pages(platform, sns, sqs):
    """More than a page of subscribers: each gets it once."""
    arn = topic(sns)
    urls = []
    for number in range(120):
        url, queue_arn = queue(sqs, f"q{number}", arn)
        subscribe(sns, arn, "sqs", queue_arn, RawMessageDelivery="true")
        urls.append(url)
    sns.publish(TopicArn=arn, Message="m")
    idle(platform)
    for url in urls:
        assert [m["Body"] for m in received(sqs, url)] == ["m"]
        nothing(sqs, url)
    first = sns.list_subscriptions_by_topic(TopicArn=arn)
    rest = sns.list_subscriptions_by_topic(TopicArn=arn, NextToken=first["NextToken"])
    assert len(first["Subscriptions"]) + len(rest["Subscriptions"]) == 120
    everything = sns.list_subscriptions()
    assert len(everything["Subscriptions"]) == 100
    assert len(sns.list_subscriptions(NextToken=everything["NextToken"])["Subscriptions"]) == 20


def test_a_batch_is_published_and_fails_in_part(sns, sqs):
    arn = topic(sns)
    url, queue_arn = queue(sqs, "q", arn)
    subscribe(sns, arn, "sqs", queue_arn, RawMessageDelivery="true")
    answer = sns.publish_batch(
        TopicArn=arn,
        PublishBatchRequestEntries=[
            {"Id": "1", "Message": "a"},
            {"Id": "2", "Message": "b", "Subject": "x\ny"},
            {"Id": "3", "Message": "c"},
        ],
    )
    assert [one["Id"] for one in answer["Successful"]] == ["1", "3"]
    assert [(one["Id"], one["SenderFault"]) for one in answer["Failed"]] == [("2", True)]
    assert sorted(m["Body"] for m in received(sqs, url, 2)) == ["a", "c"]

    def batch(*entries: dict[str, str]) -> tuple[str, str]:
        return refused(sns.publish_batch, TopicArn=arn, PublishBatchRequestEntries=list(entries))

    one = {"Id": "1", "Message": "m"}
    assert batch(*[{**one, "Id": str(n)} for n in range(11)]) == (
        "TooManyEntriesInBatchRequest",
        "The batch request contains more entries than permissible.",
    )
    assert batch(one, one) == (
        "BatchEntryIdsNotDistinct",
        "Two or more batch entries in the request have the same Id.",
    )
    assert batch({**one, "Id": "m.x"}) == (
        "InvalidBatchEntryId",
        "The Id of a batch entry in the batch request contains an impermissible character: m.x",
    )
    assert batch({**one, "Message": "x" * 262_140}, {"Id": "2", "Message": "12345"})[0] == (
        "BatchRequestTooLong"
    )


def test_another_accounts_queue_confirms_first(client, platform, sns, sqs):
    """https://docs.aws.amazon.com/sns/latest/dg/sns-send-message-to-sqs-cross-account.html"""
    arn = topic(sns)
    other = client("sqs", account="111111111111")
    url = other.create_queue(QueueName="q")["QueueUrl"]
    queue_arn = "arn:aws:sqs:us-east-1:111111111111:q"
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": arn}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    other.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    made = sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn)
    assert made["SubscriptionArn"] == "pending confirmation"
    asked = json.loads(received(other, url)[0]["Body"])
    assert asked["Type"] == "SubscriptionConfirmation"
    sns.publish(TopicArn=arn, Message="too early")
    idle(platform)
    assert sns.list_subscriptions()["Subscriptions"][0]["SubscriptionArn"] == "PendingConfirmation"
    assert refused(sns.confirm_subscription, TopicArn=arn, Token="abc") == (
        "InvalidParameter",
        "Invalid token",
    )
    confirmed = sns.confirm_subscription(TopicArn=arn, Token=asked["Token"])
    assert confirmed["SubscriptionArn"].startswith(arn)
    idle(platform)
    sns.publish(TopicArn=arn, Message="now")
    assert json.loads(received(other, url)[0]["Body"])["Message"] == "now"
    foreign = client("sns", account="111111111111")
    assert refused(foreign.publish, TopicArn=arn, Message="m")[0] == "AuthorizationError"
    sns.add_permission(
        TopicArn=arn, Label="l", AWSAccountId=["111111111111"], ActionName=["Publish"]
    )
    foreign.publish(TopicArn=arn, Message="theirs")
    assert json.loads(received(other, url)[0]["Body"])["Message"] == "theirs"
    sns.remove_permission(TopicArn=arn, Label="l")
    assert refused(foreign.publish, TopicArn=arn, Message="m")[0] == "AuthorizationError"


def test_who_never_confirms_is_forgotten_after_two_days(platform, sns):
    arn = topic(sns)
    sns.subscribe(TopicArn=arn, Protocol="email", Endpoint="a@b.example")
    idle(platform)
    jump(platform, 2 * 86_400 + 1)
    wait_for(lambda: not sns.list_subscriptions()["Subscriptions"])
    assert sns.get_topic_attributes(TopicArn=arn)["Attributes"]["SubscriptionsPending"] == "0"


# -- to the web


def test_a_web_address_confirms_and_gets_messages_and_retries(platform, sns, sqs):
    """Headers and fields as recorded by LocalStack against AWS: test_subscribe_external_http_endpoint."""
    web = Web(platform)
    arn = topic(sns)
    dead_url, dead_arn = queue(sqs, "dead", arn)
    policy = {"healthyRetryPolicy": {"numRetries": 2, "minDelayTarget": 5, "maxDelayTarget": 5}}
    sub = subscribe(
        sns,
        arn,
        "http",
        "http://example.com/hook",
        DeliveryPolicy=json.dumps(policy),
        RedrivePolicy=json.dumps({"deadLetterTargetArn": dead_arn}),
    )
    (url, headers, text) = wait_for(lambda: web.posts)[0]
    asked = json.loads(text)
    assert url == "http://example.com/hook"
    assert headers == {
        "x-amz-sns-message-type": "SubscriptionConfirmation",
        "x-amz-sns-message-id": asked["MessageId"],
        "x-amz-sns-topic-arn": arn,
        "content-type": "text/plain; charset=UTF-8",
        "user-agent": "Amazon Simple Notification Service Agent",
        "accept-encoding": "gzip,deflate",
    }
    assert list(asked) == [
        "Type",
        "MessageId",
        "Token",
        "TopicArn",
        "Message",
        "SubscribeURL",
        "Timestamp",
        "SignatureVersion",
        "Signature",
        "SigningCertURL",
    ]
    status, answer = get(platform, asked["SubscribeURL"])
    assert (status, sub.encode() in answer) == (200, True)
    assert get(platform, asked["SubscribeURL"] + "0")[0] == 400
    web.posts.clear()
    web.statuses = [500, 0, 200]
    sns.publish(TopicArn=arn, Message="m")
    wait_for(lambda: len(web.posts) == 1)
    for count in (2, 3):
        idle(platform)
        jump(platform, 5.1)
        wait_for(lambda count=count: len(web.posts) == count)
    assert {post[1]["x-amz-sns-subscription-arn"] for post in web.posts} == {sub}
    assert len({post[2] for post in web.posts}) == 1
    web.posts.clear()
    web.statuses = [404]
    sns.publish(TopicArn=arn, Message="refused")
    (got,) = received(sqs, dead_url)
    assert json.loads(got["Body"])["Message"] == "refused"
    web.statuses = [503] * 3
    sns.publish(TopicArn=arn, Message="never")
    for count in (2, 3, 4):
        wait_for(lambda count=count: len(web.posts) == count)
        idle(platform)
        jump(platform, 5.1)
    (got,) = received(sqs, dead_url)
    assert json.loads(got["Body"])["Message"] == "never"


@pytest.mark.parametrize("way", ["call", "link"])
def test_a_web_address_is_told_that_it_was_unsubscribed_and_may_take_it_back(platform, sns, way):
    """https://docs.aws.amazon.com/sns/latest/dg/http-unsubscribe-confirmation-json.html"""
    web = Web(platform)
    arn = topic(sns)
    sub = subscribe(sns, arn, "http", "http://example.com/hook", FilterPolicy='{"a": ["b"]}')
    get(platform, json.loads(wait_for(lambda: web.posts)[0][2])["SubscribeURL"])
    web.posts.clear()
    attributes = {"a": {"DataType": "String", "StringValue": "b"}}
    if way == "call":
        sns.unsubscribe(SubscriptionArn=sub)
    else:
        sns.publish(TopicArn=arn, Message="first", MessageAttributes=attributes)
        ((_, _, text),) = wait_for(lambda: web.posts)
        web.posts.clear()
        assert get(platform, json.loads(text)["UnsubscribeURL"])[0] == 200
    ((url, headers, text),) = wait_for(lambda: web.posts)
    told = json.loads(text)
    assert url == "http://example.com/hook"
    assert headers["x-amz-sns-message-type"] == told["Type"] == "UnsubscribeConfirmation"
    assert headers["x-amz-sns-subscription-arn"] == sub
    assert told["Message"].startswith(f"You have chosen to deactivate subscription {sub}.\n")
    assert sns.list_subscriptions()["Subscriptions"] == []
    counts = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    assert (counts["SubscriptionsConfirmed"], counts["SubscriptionsDeleted"]) == ("0", "1")
    assert get(platform, told["SubscribeURL"] + "0")[0] == 400
    assert get(platform, told["SubscribeURL"])[0] == 200
    assert [one["SubscriptionArn"] for one in sns.list_subscriptions()["Subscriptions"]] == [sub]
    kept = sns.get_subscription_attributes(SubscriptionArn=sub)["Attributes"]
    assert json.loads(kept["FilterPolicy"]) == {"a": ["b"]}
    web.posts.clear()
    sns.publish(TopicArn=arn, Message="again", MessageAttributes=attributes)
    ((_, _, text),) = wait_for(lambda: web.posts)
    assert json.loads(text)["Message"] == "again"
    sns.unsubscribe(SubscriptionArn=sub)
    wait_for(lambda: len(web.posts) == 2)
    idle(platform)
    jump(platform, 2 * 86_400 + 1)
    kept = keys_of("000000000000", "us-east-1")["left"].span()
    db = platform.cloud.db
    wait_for(lambda: not platform.run(db.transact(lambda tx: list(tx.scan(kept)))))
    assert get(platform, json.loads(web.posts[1][2])["SubscribeURL"])[0] == 400


def test_a_throttled_address_gets_one_after_another(platform, sns):
    web = Web(platform)
    arn = topic(sns)
    policy = {"throttlePolicy": {"maxReceivesPerSecond": 1}}
    subscribe(sns, arn, "http", "http://e.example/", DeliveryPolicy=json.dumps(policy))
    get(platform, json.loads(wait_for(lambda: web.posts)[0][2])["SubscribeURL"])
    web.posts.clear()
    for number in range(3):
        sns.publish(TopicArn=arn, Message=str(number))
    for count in (1, 2, 3):
        wait_for(lambda count=count: len(web.posts) == count)
        idle(platform)
        assert len(web.posts) == count
        jump(platform, 1.1)


# -- to people


def test_mail_and_text_messages_are_kept_and_not_sent(platform, client, sns):
    from conftest import to_http

    arn = topic(sns)
    subscribe(sns, arn, "email", "a@b.example")
    subscribe(sns, arn, "sms", "+15551234567")

    def outbox() -> list[dict[str, Any]]:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        request = AWSRequest("GET", "http://localhost:4566/_aws/sns/outbox")
        SigV4Auth(Credentials(ACCOUNT, "test"), "sns", "us-east-1").add_auth(request)
        status, _, body = platform.send(to_http(request.prepare()))
        assert status == 200
        return json.loads(body)["mails"]

    (asked,) = wait_for(outbox)
    assert asked["subject"] == "AWS Notification - Subscription Confirmation"
    link = asked["text"].rpartition("\n")[2]
    assert get(platform, link)[0] == 200
    sns.publish(TopicArn=arn, Message="hello", Subject="hi")
    sns.publish(PhoneNumber="+15557654321", Message="direct")
    mails = wait_for(lambda: len(outbox()) == 4 and outbox())
    said = {(m["channel"], m["to"]): (m["subject"], m["text"].split("\n")[0]) for m in mails[1:]}
    assert said == {
        ("email", "a@b.example"): ("hi", "hello"),
        ("sms", "+15551234567"): (None, "hello"),
        ("sms", "+15557654321"): (None, "direct"),
    }
    assert get(platform, "http://localhost:4566/_aws/sns/outbox")[0] == 403
    sns.set_sms_attributes(attributes={"DefaultSMSType": "Transactional"})
    assert sns.get_sms_attributes()["attributes"] == {"DefaultSMSType": "Transactional"}
    assert refused(sns.set_sms_attributes, attributes={"Odd": "x"})[1] == (
        "Odd is not a valid attribute"
    )


# -- FIFO topics


def fifo(sns: Any, sqs: Any, **attributes: str) -> tuple[str, str, str]:
    """(topic, queue's URL, subscription)"""
    options = {"FifoTopic": "true", "ContentBasedDeduplication": "true"} | attributes
    arn = topic(sns, "t.fifo", **options)
    url, queue_arn = queue(sqs, "q.fifo", arn, FifoQueue="true")
    return arn, url, subscribe(sns, arn, "sqs", queue_arn)


def test_a_fifo_topic_keeps_order_and_deduplicates(sns, sqs):
    arn, url, _ = fifo(sns, sqs)
    answers = [
        sns.publish(TopicArn=arn, Message=f"{group}{n}", MessageGroupId=group)
        for n in range(10)
        for group in "ab"
    ]
    again = sns.publish(TopicArn=arn, Message="a0", MessageGroupId="a")
    assert again["SequenceNumber"] == answers[0]["SequenceNumber"]
    assert again["MessageId"] == answers[0]["MessageId"]
    got = [json.loads(m["Body"]) for m in received(sqs, url, 20)]
    for group in "ab":
        assert [m["Message"] for m in got if m["Message"][0] == group] == [
            f"{group}{n}" for n in range(10)
        ]
    assert list(got[0]) == [
        "Type",
        "MessageId",
        "SequenceNumber",
        "TopicArn",
        "Message",
        "Timestamp",
        "UnsubscribeURL",
    ], "a FIFO topic's envelope is not signed: recorded in test_fifo_topic_to_regular_sqs"
    assert refused(sns.publish, TopicArn=arn, Message="m")[1] == (
        "Invalid parameter: The MessageGroupId parameter is required for FIFO topics"
    )
    sns.set_topic_attributes(
        TopicArn=arn, AttributeName="ContentBasedDeduplication", AttributeValue="false"
    )
    assert refused(sns.publish, TopicArn=arn, Message="m", MessageGroupId="g")[1] == (
        "Invalid parameter: The topic should either have ContentBasedDeduplication enabled or"
        " MessageDeduplicationId provided explicitly"
    )


def test_an_archive_is_replayed_and_then_followed(platform, sns, sqs):
    archive = json.dumps({"MessageRetentionPeriod": "30"})
    arn, url, _ = fifo(sns, sqs, ArchivePolicy=archive)
    for n in range(60):
        sns.publish(TopicArn=arn, Message=str(n), MessageGroupId="g")
    received(sqs, url, 60)
    late_url, late_arn = queue(sqs, "late.fifo", arn, FifoQueue="true")
    jump(platform, 400)
    start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600))
    replay = {"PointType": "Timestamp", "StartingPoint": start}
    sub = subscribe(
        sns,
        arn,
        "sqs",
        late_arn,
        ReplayPolicy=json.dumps(replay),
        FilterPolicyScope="MessageBody",
    )
    sns.publish(TopicArn=arn, Message="60", MessageGroupId="g")
    got = [json.loads(m["Body"]) for m in received(sqs, late_url, 61)]
    assert [m["Message"] for m in got] == [str(n) for n in range(61)]
    assert got[0]["Replayed"] == "true"
    attributes = wait_for(
        lambda: (
            (a := sns.get_subscription_attributes(SubscriptionArn=sub)["Attributes"])[
                "ReplayStatus"
            ]
            == "Completed"
            and a
        )
    )
    assert json.loads(attributes["ReplayPolicy"]) == replay
    idle(platform)
    sns.publish(TopicArn=arn, Message="61", MessageGroupId="g")
    (live,) = received(sqs, late_url)
    assert "Replayed" not in json.loads(live["Body"])
    assert refused(sns.delete_topic, TopicArn=arn)[0] == "InvalidState"
    jump(platform, 31 * 86_400)
    sns.set_topic_attributes(TopicArn=arn, AttributeName="ArchivePolicy", AttributeValue="{}")
    sns.delete_topic(TopicArn=arn)


def test_a_topic_says_from_when_on_its_archive_can_be_replayed(platform, sns):
    """https://docs.aws.amazon.com/sns/latest/api/API_GetTopicAttributes.html: by its retention, and not before it began."""

    def shown() -> float | None:
        at = sns.get_topic_attributes(TopicArn=arn)["Attributes"].get("BeginningArchiveTime")
        return datetime.fromisoformat(at).timestamp() if at else None

    def keep(policy: dict[str, str]) -> None:
        sns.set_topic_attributes(
            TopicArn=arn, AttributeName="ArchivePolicy", AttributeValue=json.dumps(policy)
        )

    arn = sns.create_topic(Name="t.fifo", Attributes={"FifoTopic": "true"})["TopicArn"]
    assert shown() is None
    jump(platform, 86_400)
    began_s = platform.world.cloud()
    keep({"MessageRetentionPeriod": "2"})
    assert shown() == pytest.approx(began_s, abs=5)
    jump(platform, 86_400)
    keep({"MessageRetentionPeriod": "3"})
    assert shown() == pytest.approx(began_s, abs=5)
    jump(platform, 4 * 86_400)
    assert shown() == pytest.approx(began_s + 2 * 86_400, abs=5)
    keep({})
    assert shown() is None


@pytest.mark.parametrize("careful", [False, True])
def test_a_token_confirms_without_a_signature_but_for_authenticated_unsubscribing(
    platform, client, sns, careful
):
    """https://docs.aws.amazon.com/sns/latest/api/API_ConfirmSubscription.html"""
    arn = sns.create_topic(Name="t")["TopicArn"]
    subscribe(sns, arn, "email", "a@example.com")
    keys = keys_of("000000000000", "us-east-1")

    def token(tx: Any) -> str:
        (one,) = state.subscriptions(tx, keys, state.topic(tx, keys, "t").number, "", 2)
        return one.record["token"]

    ask = {"TopicArn": arn, "Token": platform.run(platform.cloud.db.transact(token))}
    anybody = client("sns", signature_version=UNSIGNED)
    wrong = ask["Token"][:-1] + ("0" if ask["Token"][-1] != "0" else "1")
    assert refused(anybody.confirm_subscription, TopicArn=arn, Token=wrong)[0] == "InvalidParameter"
    if careful:
        ask["AuthenticateOnUnsubscribe"] = "true"
        assert refused(anybody.confirm_subscription, **ask)[0] == "AuthorizationError"
        sns.confirm_subscription(**ask)
    else:
        anybody.confirm_subscription(**ask)
    (one,) = sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]
    found = sns.get_subscription_attributes(SubscriptionArn=one["SubscriptionArn"])["Attributes"]
    assert found["ConfirmationWasAuthenticated"] == str(careful).lower()


def test_everybody_may_publish_without_a_signature_where_the_topic_is_open_to_all(client):
    sns, anybody = client("sns"), client("sns", signature_version=UNSIGNED)
    topic = sns.create_topic(Name="open")["TopicArn"]
    url, arn = eventing.queue(client, services=("sns.amazonaws.com",))
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)

    def code(call, **ask):
        with pytest.raises(ClientError) as found:
            call(**ask)
        return found.value.response["Error"]["Code"]

    said = {"TopicArn": topic, "Message": "m"}
    assert code(anybody.publish, **said) == "AuthorizationError"
    statement = {"Effect": "Allow", "Principal": "*", "Action": "sns:Publish", "Resource": topic}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)
    anybody.publish(**said)
    anybody.publish_batch(TopicArn=topic, PublishBatchRequestEntries=[{"Id": "a", "Message": "m"}])
    assert [m["Message"] for m in eventing.received(client, url, 2)] == ["m", "m"]
    assert code(anybody.publish, PhoneNumber="+15551234567", Message="m") == "AuthorizationError"
    assert code(anybody.list_topics) == "MissingAuthenticationToken"
    assert code(anybody.subscribe, TopicArn=topic, Protocol="sqs", Endpoint=arn) == "MissingAuthenticationToken"  # fmt: skip
