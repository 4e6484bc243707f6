"""Queues and messages through boto3: what AWS does, and what it refuses in which words."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore import UNSIGNED
from botocore.exceptions import ClientError

from stratolite.clock import World
from stratolite.errors import Fault
from stratolite.services.sqs import messages, state
from stratolite.services.sqs.content import check_body
from stratolite.services.sqs.finding import key_of


class Clock(World):
    """Real time that a test can move on."""

    def jump(self, seconds: float) -> None:
        self.set_cloud_offset(self.cloud_offset_s + seconds)


@pytest.fixture
def world() -> Clock:
    return Clock()


@pytest.fixture
def sqs(client: Any) -> Any:
    return client("sqs")


@pytest.fixture
def queue(sqs: Any) -> str:
    return sqs.create_queue(QueueName="q")["QueueUrl"]


@pytest.fixture
def fifo(sqs: Any) -> str:
    attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    return sqs.create_queue(QueueName="q.fifo", Attributes=attributes)["QueueUrl"]


def jump(platform: Any, seconds: float) -> None:
    """Move the cloud clock, on the loop as the platform itself does."""

    async def move() -> None:
        platform.world.jump(seconds)

    platform.run(move())


def counts(sqs: Any, url: str) -> tuple[int, int, int]:
    """(visible, in flight, delayed)"""
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    names = ("", "NotVisible", "Delayed")
    return tuple(int(found[f"ApproximateNumberOfMessages{name}"]) for name in names)


def receive(sqs: Any, url: str, **more: Any) -> list[dict[str, Any]]:
    ask = {"MaxNumberOfMessages": 10, "AttributeNames": ["All"], "MessageAttributeNames": ["All"]}
    return sqs.receive_message(QueueUrl=url, **(ask | more)).get("Messages", [])


def bodies(messages: list[dict[str, Any]]) -> list[str]:
    return [m["Body"] for m in messages]


def refused(call: Any, **request: Any) -> tuple[str, str, int]:
    with pytest.raises(ClientError) as error:
        call(**request)
    said = error.value.response
    return (
        said["Error"]["Code"],
        said["Error"]["Message"],
        said["ResponseMetadata"]["HTTPStatusCode"],
    )


# -- messages


def test_a_message_is_sent_received_hidden_and_deleted(sqs, queue):
    sent = sqs.send_message(
        QueueUrl=queue,
        MessageBody="hello",
        MessageAttributes={
            "MyAttribute": {"StringValue": "foobar", "DataType": "String"},
            "n": {"StringValue": "1.5", "DataType": "Number.float"},
            "b": {"BinaryValue": b"\x00\xff", "DataType": "Binary"},
        },
        MessageSystemAttributes={
            "AWSTraceHeader": {"StringValue": "Root=1-5759e988", "DataType": "String"}
        },
    )
    assert sent["MD5OfMessageBody"] == "5d41402abc4b2a76b9719d911017c592"
    (got,) = receive(sqs, queue)
    assert (got["MessageId"], got["Body"], got["MD5OfBody"]) == (
        sent["MessageId"],
        "hello",
        sent["MD5OfMessageBody"],
    )
    assert got["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert got["MessageAttributes"]["b"] == {"BinaryValue": b"\x00\xff", "DataType": "Binary"}
    system = got["Attributes"]
    assert system["ApproximateReceiveCount"] == "1"
    assert system["AWSTraceHeader"] == "Root=1-5759e988"
    assert system["SenderId"] == "000000000000"
    assert abs(int(system["SentTimestamp"]) / 1000 - time.time()) < 60
    assert receive(sqs, queue) == []
    assert counts(sqs, queue) == (0, 1, 0)
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=got["ReceiptHandle"])
    assert counts(sqs, queue) == (0, 0, 0)
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=got["ReceiptHandle"])


def test_the_digest_of_attributes_is_the_one_aws_recorded(sqs, queue):
    """From LocalStack's recording of AWS, tests/aws/services/sqs/test_sqs.snapshot.json."""
    sqs.send_message(
        QueueUrl=queue,
        MessageBody="message-1",
        MessageAttributes={"MyAttribute": {"StringValue": "foobar", "DataType": "String"}},
    )
    (got,) = receive(sqs, queue)
    assert got["MD5OfMessageAttributes"] == "adb59cd4678ea5a855436b949cd07ab6"
    assert got["MD5OfBody"] == "3d6b824fd8c1520e9a047d21fee6fb1f"


def test_attributes_are_given_as_they_are_asked_for(sqs, queue):
    one = {"StringValue": "v", "DataType": "String"}
    sqs.send_message(
        QueueUrl=queue, MessageBody="m", MessageAttributes={"a.b": one, "a.c": one, "d": one}
    )

    def names(*asked: str) -> set[str]:
        found = receive(sqs, queue, MessageAttributeNames=list(asked), VisibilityTimeout=0)
        return set(found[0].get("MessageAttributes", {}))

    assert names("a.*") == {"a.b", "a.c"}
    assert names("d", "x") == {"d"}
    assert names(".*") == {"a.b", "a.c", "d"}
    assert names("x") == set()
    (plain,) = receive(sqs, queue, AttributeNames=[], MessageSystemAttributeNames=["SentTimestamp"])
    assert set(plain["Attributes"]) == {"SentTimestamp"}


def test_visibility_ends_and_handles_survive_a_restart(client, platform, sqs, queue):
    sqs.send_message(QueueUrl=queue, MessageBody="m")
    (first,) = receive(sqs, queue, VisibilityTimeout=30)
    platform.reopen()
    assert receive(sqs, queue) == []
    jump(platform, 31)
    assert counts(sqs, queue) == (1, 0, 0)
    (second,) = receive(sqs, queue)
    assert second["Attributes"]["ApproximateReceiveCount"] == "2"
    assert (
        second["Attributes"]["ApproximateFirstReceiveTimestamp"]
        == first["Attributes"]["ApproximateFirstReceiveTimestamp"]
    )
    platform.reopen()
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=second["ReceiptHandle"])
    assert counts(sqs, queue) == (0, 0, 0)


def test_handles_of_earlier_receives_are_good_in_standard_queues(platform, sqs, queue):
    """As AWS has it, if not as API_DeleteMessage.html promises: recorded by LocalStack in
    tests/aws/services/sns/test_sns_filter_policy.snapshot.json (test_filter_policy, deleted after it was received again) and
    tests/aws/services/sqs/test_sqs.py (test_terminate_visibility_timeout_after_receive).
    """
    for body in ("kept", "gone"):
        sqs.send_message(QueueUrl=queue, MessageBody=body)
    first = receive(sqs, queue, VisibilityTimeout=1)
    jump(platform, 2)
    second = receive(sqs, queue, VisibilityTimeout=300)
    assert bodies(first) == bodies(second) == ["kept", "gone"]
    for message in first:
        handle = {"QueueUrl": queue, "ReceiptHandle": message["ReceiptHandle"]}
        if message["Body"] == "gone":
            sqs.delete_message(**handle)
        else:
            sqs.change_message_visibility(**handle, VisibilityTimeout=0)
    assert counts(sqs, queue) == (1, 0, 0)
    assert bodies(receive(sqs, queue)) == ["kept"]


@pytest.mark.parametrize("is_looked_at", [False, True])
def test_what_comes_back_is_as_old_as_it_is(platform, sqs, queue, is_looked_at):
    """LocalStack's tests/aws/services/sqs/test_sqs.py, test_inflight_message_requeue; and a message received three or more
    times goes to the back (sqs-available-cloudwatch-metrics.html of the Developer Guide).
    """
    sqs.send_message(QueueUrl=queue, MessageBody="1")
    for _ in range(2):
        ask = {"VisibilityTimeout": 5, "MaxNumberOfMessages": 1}
        assert bodies(receive(sqs, queue, **ask)) == ["1"]
        jump(platform, 1)
        sqs.send_message(QueueUrl=queue, MessageBody="2")
        jump(platform, 5)
        if is_looked_at:
            counts(sqs, queue)
    got = receive(sqs, queue, VisibilityTimeout=5)
    assert bodies(got) == ["1", "2", "2"]
    sqs.send_message(QueueUrl=queue, MessageBody="3")
    jump(platform, 6)
    if is_looked_at:
        counts(sqs, queue)
    assert bodies(receive(sqs, queue)) == ["2", "2", "3", "1"]


def test_a_name_is_a_url_of_ones_own(client, sqs, queue):
    """LocalStack's tests/aws/services/sqs/test_sqs.py, test_posting_to_queue_via_queue_name."""
    for form in (sqs, client("sqs", parameter_validation=False)):
        form.send_message(QueueUrl="q", MessageBody="m")
    assert len(receive(sqs, queue)) == 2
    assert refused(sqs.send_message, QueueUrl="nope", MessageBody="m")[0] == (
        "AWS.SimpleQueueService.NonExistentQueue"
    )
    assert refused(sqs.send_message, QueueUrl="http://localhost/q", MessageBody="m")[0] == (
        "InvalidAddress"
    )


def test_what_a_queue_takes_for_attributes(sqs, queue):
    """LocalStack's recordings tests/aws/services/sqs/test_sqs.snapshot.json: test_sse_queue_attributes (a key that is not there),
    test_set_queue_policy (a resource that is no ARN), and "True" throughout.
    """
    key = {"KmsMasterKeyId": "testKeyId", "KmsDataKeyReusePeriodSeconds": "6000"}
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": "sqs:SendMessage",
                "Resource": "nothing",
            }
        ],
    }
    given = {**key, "Policy": json.dumps(policy)}
    sqs.set_queue_attributes(QueueUrl=queue, Attributes=given)
    found = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    assert {name: found[name] for name in given} == given
    assert refused(sqs.send_message, QueueUrl=queue, MessageBody="m")[0] == "KMS.NotFoundException"
    fifo = {"FifoQueue": "True", "ContentBasedDeduplication": "True"}
    url = sqs.create_queue(QueueName="t.fifo", Attributes=fifo)["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert found["ContentBasedDeduplication"] == found["FifoQueue"] == "true"
    plain = {"KmsMasterKeyId": "", "KmsDataKeyReusePeriodSeconds": "300"}
    sqs.set_queue_attributes(QueueUrl=queue, Attributes=plain)
    found = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    assert not found.keys() & plain.keys(), "test_set_queue_attributes_default_values"


def test_a_trace_comes_in_a_header(sqs, queue):
    """LocalStack's recording test_aws_trace_header_propagation; the attribute that is sent is nearer."""
    trace = "Root=1-3152b799-8954dae64eda91bc9a23a7e8;Parent=7fa8c0f79203be72;Sampled=1"

    def add(request: Any, **_: Any) -> None:
        request.headers["X-Amzn-Trace-Id"] = trace

    sqs.meta.events.register("before-sign.sqs.SendMessage", add)
    answer = sqs.send_message(QueueUrl=queue, MessageBody="m")
    assert "MD5OfMessageSystemAttributes" not in answer
    own = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-0-0"}}
    sqs.send_message(QueueUrl=queue, MessageBody="m", MessageSystemAttributes=own)
    first, second = receive(sqs, queue)
    assert first["Attributes"]["AWSTraceHeader"] == trace
    assert second["Attributes"]["AWSTraceHeader"] == "Root=1-0-0"


def test_each_of_many_alike_requests_has_its_own_trace(sqs, queue):
    """A head of a kind seen before is not read again: what differs is, and this is passed on."""
    traces = [f"Root=1-5759e988-bd862e3fe1be46a99427{n:04d};Sampled=0" for n in range(8)]
    waiting = iter(traces)

    def add(request: Any, **_: Any) -> None:
        request.headers["X-Amzn-Trace-Id"] = next(waiting)

    sqs.meta.events.register("before-sign.sqs.SendMessage", add)
    for number in range(8):
        sqs.send_message(QueueUrl=queue, MessageBody=str(number))
    got = [m for _ in range(8) for m in receive(sqs, queue)]
    assert {m["Body"]: m["Attributes"]["AWSTraceHeader"] for m in got} == {
        str(number): trace for number, trace in enumerate(traces)
    }


def test_a_visibility_timeout_is_changed(platform, sqs, queue):
    sqs.send_message(QueueUrl=queue, MessageBody="m")
    (got,) = receive(sqs, queue)
    handle = {"QueueUrl": queue, "ReceiptHandle": got["ReceiptHandle"]}
    sqs.change_message_visibility(**handle, VisibilityTimeout=100)
    jump(platform, 60)
    assert receive(sqs, queue) == []
    code, message, _ = refused(sqs.change_message_visibility, **handle, VisibilityTimeout=43_190)
    assert (code, "Total VisibilityTimeout" in message) == ("InvalidParameterValue", True)
    sqs.change_message_visibility(**handle, VisibilityTimeout=0)
    assert counts(sqs, queue) == (1, 0, 0)
    code, message, _ = refused(sqs.change_message_visibility, **handle, VisibilityTimeout=10)
    assert "Message does not exist or is not available for visibility timeout change." in message
    assert len(receive(sqs, queue)) == 1


@pytest.mark.parametrize("is_counted", [False, True], ids=["untouched", "counted meanwhile"])
def test_a_visibility_timeout_that_is_over_is_changed_until_somebody_receives(
    platform, sqs, queue, is_counted
):
    """LocalStack's recording test_change_message_visibility_after_visibility_timeout_expiration."""
    sqs.send_message(QueueUrl=queue, MessageBody="m")
    (got,) = receive(sqs, queue, VisibilityTimeout=1)
    jump(platform, 2)
    if is_counted:  # as the sample of every minute does, too
        assert counts(sqs, queue) == (1, 0, 0)
    handle = {"QueueUrl": queue, "ReceiptHandle": got["ReceiptHandle"]}
    sqs.change_message_visibility(**handle, VisibilityTimeout=20)
    assert receive(sqs, queue) == []
    assert counts(sqs, queue) == (0, 1, 0)
    jump(platform, 21)
    assert len(receive(sqs, queue)) == 1


def test_delays_hide_what_was_sent(platform, sqs, queue):
    sqs.send_message(QueueUrl=queue, MessageBody="late", DelaySeconds=10)
    sqs.send_message(QueueUrl=queue, MessageBody="now")
    assert counts(sqs, queue) == (1, 0, 1)
    assert bodies(receive(sqs, queue)) == ["now"]
    jump(platform, 11)
    assert counts(sqs, queue) == (1, 1, 0)
    assert bodies(receive(sqs, queue)) == ["late"]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"DelaySeconds": "900"})
    sqs.send_message(QueueUrl=queue, MessageBody="later")
    assert counts(sqs, queue) == (0, 2, 1)


def test_what_became_due_comes_before_what_was_sent_since(platform, sqs, queue):
    """And is not passed over where what is ready would do."""
    sqs.send_message(QueueUrl=queue, MessageBody="late", DelaySeconds=1)
    jump(platform, 2)
    for body in ("new", "newer"):
        sqs.send_message(QueueUrl=queue, MessageBody=body)
    seen = [bodies(receive(sqs, queue, MaxNumberOfMessages=1)) for _ in range(3)]
    assert seen == [["late"], ["new"], ["newer"]]


def test_a_long_poll_ends_with_the_message_or_its_time(platform, client, queue):
    """No polling: the transaction waits on the key ranges, so a message and a clock both end it."""

    def polled(end: Callable[[], Any]) -> list[str]:
        """What a poll of 20 s got that something else ended once it waited."""
        got: list[Any] = []
        before = platform.cloud.db._waits.count
        poll = threading.Thread(
            target=lambda: got.append(receive(client("sqs"), queue, WaitTimeSeconds=20))
        )
        poll.start()
        while platform.cloud.db._waits.count <= before:
            time.sleep(0.005)
        end()
        poll.join(18)
        return bodies(got[0])

    assert polled(lambda: client("sqs").send_message(QueueUrl=queue, MessageBody="m")) == ["m"]
    assert polled(lambda: jump(platform, 21)) == []
    assert polled(lambda: jump(platform, 10)) == ["m"], "its visibility timeout ended"


def test_a_long_poll_outlives_a_purge_and_ends_with_its_queue(platform, client, queue):
    """A purged queue has another box: who waited on the old one must look again."""
    got: list[Any] = []

    def poll() -> None:
        try:
            got.append(bodies(receive(client("sqs"), queue, WaitTimeSeconds=20)))
        except ClientError as error:
            got.append(error.response["Error"]["Code"])

    for end in ("message", "delete"):
        before = platform.cloud.db._waits.count
        waiting = threading.Thread(target=poll)
        waiting.start()
        while platform.cloud.db._waits.count <= before:
            time.sleep(0.005)
        if end == "message":
            client("sqs").purge_queue(QueueUrl=queue)
            client("sqs").send_message(QueueUrl=queue, MessageBody="m")
        else:
            client("sqs").delete_queue(QueueUrl=queue)
        waiting.join(60)
    assert got == [["m"], "AWS.SimpleQueueService.NonExistentQueue"]


def test_retention_is_kept_by_the_cloud_clock(platform, sqs, queue):
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"MessageRetentionPeriod": "60"})
    sqs.send_message_batch(
        QueueUrl=queue, Entries=[{"Id": str(n), "MessageBody": str(n)} for n in range(10)]
    )
    receive(sqs, queue, MaxNumberOfMessages=3)
    jump(platform, 50)
    sqs.send_message(QueueUrl=queue, MessageBody="young")
    jump(platform, 15)
    assert bodies(receive(sqs, queue)) == ["young"]
    end = time.time() + 120
    while counts(sqs, queue) != (0, 1, 0) and time.time() < end:
        time.sleep(0.01)
    assert counts(sqs, queue) == (0, 1, 0)


def test_large_messages_are_kept_whole(sqs, queue):
    body = "x" * (1 << 20)
    sqs.send_message(QueueUrl=queue, MessageBody=body)
    (got,) = receive(sqs, queue, VisibilityTimeout=0)
    assert got["Body"] == body
    (got,) = receive(sqs, queue)
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=got["ReceiptHandle"])
    assert counts(sqs, queue) == (0, 0, 0)
    assert refused(sqs.send_message, QueueUrl=queue, MessageBody=body + "x")[:2] == (
        "InvalidParameterValue",
        "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.",
    )


# -- batches


def test_a_body_has_the_characters_that_aws_takes_and_no_others():
    """#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF (SendMessage)."""
    points = [*range(0x180), 0xD7FF, 0xE000, 0xFFFD, 0xFFFE, 0xFFFF, 0x10000, 0x10FFFF]
    for point in points:
        taken = point in (0x9, 0xA, 0xD) or (point >= 0x20 and point not in (0xFFFE, 0xFFFF))
        for body in (chr(point), "a" + chr(point), "é" + chr(point)):
            if taken:
                assert check_body(body) == body.encode()
            else:
                with pytest.raises(Fault, match="Invalid characters found"):
                    check_body(body)


def test_a_batch_fails_in_part(sqs, queue):
    answer = sqs.send_message_batch(
        QueueUrl=queue,
        Entries=[
            {"Id": "ok", "MessageBody": "m"},
            {"Id": "bad", "MessageBody": "\x00"},
            {"Id": "empty", "MessageBody": "m", "DelaySeconds": 901},
        ],
    )
    assert [one["Id"] for one in answer["Successful"]] == ["ok"]
    assert {one["Id"]: one["Code"] for one in answer["Failed"]} == {
        "bad": "InvalidMessageContents",
        "empty": "InvalidParameterValue",
    }
    (got,) = receive(sqs, queue)
    entries = [
        {"Id": "a", "ReceiptHandle": got["ReceiptHandle"]},
        {"Id": "b", "ReceiptHandle": "garbage"},
    ]
    changed = sqs.change_message_visibility_batch(
        QueueUrl=queue, Entries=[e | {"VisibilityTimeout": 5} for e in entries]
    )
    assert [one["Id"] for one in changed["Successful"]] == ["a"]
    deleted = sqs.delete_message_batch(QueueUrl=queue, Entries=entries)
    assert [one["Id"] for one in deleted["Successful"]] == ["a"]
    assert deleted["Failed"][0]["Code"] == "ReceiptHandleIsInvalid"
    assert counts(sqs, queue) == (0, 0, 0)


def test_batches_that_are_wrong_as_a_whole_are_refused(sqs, queue):
    """Codes and words as recorded by LocalStack against AWS."""

    def send(*entries: dict[str, Any]) -> tuple[str, str, int]:
        return refused(sqs.send_message_batch, QueueUrl=queue, Entries=list(entries))

    space = "AWS.SimpleQueueService."
    one = {"Id": "a", "MessageBody": "m"}
    assert send()[0] == f"{space}EmptyBatchRequest"
    assert send(*[one | {"Id": str(n)} for n in range(20)])[:2] == (
        f"{space}TooManyEntriesInBatchRequest",
        "Maximum number of entries per request are 10. You have sent 20.",
    )
    assert send(one, one)[0] == f"{space}BatchEntryIdsNotDistinct"
    assert send(one | {"Id": "a b"})[:2] == (
        f"{space}InvalidBatchEntryId",
        (
            "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be"
            " at most 80 letters long."
        ),
    )
    half = "x" * (1 << 19)
    assert send(one | {"MessageBody": half}, {"Id": "b", "MessageBody": half + "x"})[:2] == (
        f"{space}BatchRequestTooLong",
        "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes.",
    )


# -- queues


def test_attributes_have_aws_defaults_and_are_changed(sqs, queue):
    found = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    assert found.pop("CreatedTimestamp") == found.pop("LastModifiedTimestamp")
    assert found == {
        "QueueArn": "arn:aws:sqs:us-east-1:000000000000:q",
        "ApproximateNumberOfMessages": "0",
        "ApproximateNumberOfMessagesNotVisible": "0",
        "ApproximateNumberOfMessagesDelayed": "0",
        "VisibilityTimeout": "30",
        "MaximumMessageSize": "1048576",
        "MessageRetentionPeriod": "345600",
        "DelaySeconds": "0",
        "ReceiveMessageWaitTimeSeconds": "0",
        "SqsManagedSseEnabled": "true",
    }
    assert queue == "http://localhost:4566/000000000000/q"
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "7"})
    asked = sqs.get_queue_attributes(
        QueueUrl=queue, AttributeNames=["VisibilityTimeout", "QueueArn"]
    )
    assert asked["Attributes"] == {
        "VisibilityTimeout": "7",
        "QueueArn": "arn:aws:sqs:us-east-1:000000000000:q",
    }
    assert "Attributes" not in sqs.get_queue_attributes(QueueUrl=queue)


def test_wrong_names_and_attributes_are_refused(sqs, queue, fifo):
    """Words as recorded by LocalStack against AWS, tests/aws/services/sqs."""
    create, change = sqs.create_queue, sqs.set_queue_attributes
    assert refused(create, QueueName="a b")[0] == "InvalidParameterValue"
    assert refused(create, QueueName="a.fifo")[0] == "InvalidParameterValue"
    assert refused(create, QueueName="a", Attributes={"ContentBasedDeduplication": "true"})[:2] == (
        "InvalidAttributeName",
        "Unknown Attribute ContentBasedDeduplication.",
    )
    assert refused(create, QueueName="a", Attributes={"DeduplicationScope": "queue"})[:2] == (
        "InvalidAttributeName",
        "You can specify the DeduplicationScope only when FifoQueue is set to true.",
    )
    assert refused(create, QueueName="q", Attributes={"DelaySeconds": "1"})[:2] == (
        "QueueAlreadyExists",
        "A queue already exists with the same name and a different value for attribute DelaySeconds",
    )
    assert create(QueueName="q", Attributes={"DelaySeconds": "0"})["QueueUrl"] == queue
    for name, value in (("VisibilityTimeout", "43201"), ("DelaySeconds", "-1"), ("Policy", "{")):
        assert (
            refused(change, QueueUrl=queue, Attributes={name: value})[0] == "InvalidAttributeValue"
        )
    assert refused(change, QueueUrl=queue, Attributes={"FifoQueue": "true"})[:2] == (
        "InvalidAttributeName",
        "Unknown Attribute FifoQueue.",
    )
    assert refused(change, QueueUrl=fifo, Attributes={"FifoQueue": "false"})[:2] == (
        "InvalidAttributeValue",
        "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.",
    )
    assert (
        refused(change, QueueUrl=queue, Attributes={"QueueArn": "x"})[0] == "InvalidAttributeName"
    )
    assert refused(sqs.receive_message, QueueUrl=queue, MaxNumberOfMessages=11)[1] == (
        "Value 11 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if"
        " provided."
    )
    assert refused(sqs.receive_message, QueueUrl=queue, WaitTimeSeconds=21)[1] == (
        "Value 21 for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided."
    )
    assert refused(sqs.send_message, QueueUrl=queue, MessageBody="")[:2] == (
        "MissingParameter",
        "The request must contain the parameter MessageBody.",
    )
    empty = {"ErrorDetails": {"StringValue": "", "DataType": "String"}}
    assert refused(sqs.send_message, QueueUrl=queue, MessageBody="m", MessageAttributes=empty)[
        1
    ] == (
        "Message (user) attribute 'ErrorDetails' must contain a non-empty value of type 'String'."
    )


def test_a_queue_that_is_not_there_is_said_so_in_both_protocols(client, platform, sqs):
    from stratolite.http import HttpRequest

    url = "http://localhost:4566/000000000000/nope"
    code, message, status = refused(sqs.send_message, QueueUrl=url, MessageBody="m")
    assert (code, message, status) == (
        "AWS.SimpleQueueService.NonExistentQueue",
        "The specified queue does not exist.",
        400,
    )
    assert refused(sqs.get_queue_url, QueueName="nope")[0] == code
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.purge_queue(QueueUrl=url)
    assert refused(sqs.send_message, QueueUrl="http://x/y", MessageBody="m")[0] == "InvalidAddress"
    assert HttpRequest is not None


def test_queues_are_listed_by_prefix_in_pages(sqs):
    for name in ("a1", "a2", "a3", "b"):
        sqs.create_queue(QueueName=name)
    first = sqs.list_queues(QueueNamePrefix="a", MaxResults=2)
    rest = sqs.list_queues(QueueNamePrefix="a", MaxResults=2, NextToken=first["NextToken"])
    names = [url.rpartition("/")[2] for url in first["QueueUrls"] + rest["QueueUrls"]]
    assert names == ["a1", "a2", "a3"]
    assert "NextToken" not in rest
    assert len(sqs.list_queues()["QueueUrls"]) == 4
    assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix="zz")


def test_a_name_is_free_again_a_minute_after_its_queue_was_deleted(platform, sqs, queue):
    sqs.send_message(QueueUrl=queue, MessageBody="old")
    sqs.delete_queue(QueueUrl=queue)
    assert refused(sqs.receive_message, QueueUrl=queue)[0].endswith("NonExistentQueue")
    code, message, _ = refused(sqs.create_queue, QueueName="q")
    assert code == "AWS.SimpleQueueService.QueueDeletedRecently"
    assert message.startswith("You must wait 60 seconds after deleting a queue")
    jump(platform, 61)
    sqs.create_queue(QueueName="q")
    assert receive(sqs, queue) == []


def test_purging_empties_a_queue_once_a_minute(platform, sqs, queue):
    sqs.send_message_batch(
        QueueUrl=queue, Entries=[{"Id": str(n), "MessageBody": "m"} for n in range(10)]
    )
    (got,) = receive(sqs, queue, MaxNumberOfMessages=1)
    sqs.purge_queue(QueueUrl=queue)
    assert counts(sqs, queue) == (0, 0, 0)
    assert receive(sqs, queue) == []
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=got["ReceiptHandle"])
    assert refused(sqs.purge_queue, QueueUrl=queue) == (
        "AWS.SimpleQueueService.PurgeQueueInProgress",
        "Only one PurgeQueue operation on q is allowed every 60 seconds.",
        403,
    )
    sqs.send_message(QueueUrl=queue, MessageBody="new")
    jump(platform, 61)
    assert bodies(receive(sqs, queue)) == ["new"]
    sqs.purge_queue(QueueUrl=queue)
    deadline = time.time() + 120

    async def left() -> list[bytes]:
        return platform.cloud.db.peek(_rows)

    while platform.run(left()) and time.time() < deadline:
        time.sleep(0.01)
    assert platform.run(left()) == []


def _rows(tx: Any) -> list[bytes]:
    from stratolite.core import Keyspace

    keys = Keyspace("000000000000", "us-east-1", "sqs")
    return [key for kind in ("message", "ready", "later") for key, _ in tx.scan(keys[kind].span())]


def test_tags_are_kept_and_taken_off(sqs):
    url = sqs.create_queue(QueueName="q", tags={"a": "1"})["QueueUrl"]
    sqs.tag_queue(QueueUrl=url, Tags={"b": "2"})
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"a": "1", "b": "2"}
    sqs.untag_queue(QueueUrl=url, TagKeys=["a", "b"])
    assert "Tags" not in sqs.list_queue_tags(QueueUrl=url)


# -- dead letters


def redrive(sqs: Any, source: str, target: str, most: int = 1) -> None:
    arn = f"arn:aws:sqs:us-east-1:000000000000:{target.rpartition('/')[2]}"
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": most})
    sqs.set_queue_attributes(QueueUrl=source, Attributes={"RedrivePolicy": policy})


def test_what_is_received_too_often_goes_to_the_dead_letters(sqs, queue):
    """Attributes as recorded by LocalStack against AWS: test_dead_letter_queue_message_attributes."""
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    redrive(sqs, queue, dead)
    sqs.send_message(QueueUrl=queue, MessageBody="m")
    (first,) = receive(sqs, queue, VisibilityTimeout=0)
    assert receive(sqs, queue) == []
    (got,) = receive(sqs, dead)
    assert got["MessageId"] == first["MessageId"]
    assert got["Attributes"]["ApproximateReceiveCount"] == "2"
    assert got["Attributes"]["SentTimestamp"] == first["Attributes"]["SentTimestamp"]
    assert got["Attributes"]["DeadLetterQueueSourceArn"] == "arn:aws:sqs:us-east-1:000000000000:q"
    assert counts(sqs, queue) == (0, 0, 0)
    assert counts(sqs, dead) == (0, 1, 0)
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [queue]


def test_a_dead_letter_queue_must_exist_be_of_the_type_and_agree(sqs, queue, fifo):
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]

    def message(target: str) -> str:
        with pytest.raises(ClientError) as error:
            redrive(sqs, queue, target)
        return error.value.response["Error"]["Message"]

    assert "Dead letter target does not exist." in message("nope")
    assert "same type of queue" in message(fifo)
    deny = {"RedriveAllowPolicy": json.dumps({"redrivePermission": "denyAll"})}
    sqs.set_queue_attributes(QueueUrl=dead, Attributes=deny)
    assert "does not allow" in message(dead)
    arn = "arn:aws:sqs:us-east-1:000000000000:q"
    allow = {"redrivePermission": "byQueue", "sourceQueueArns": [arn]}
    sqs.set_queue_attributes(QueueUrl=dead, Attributes={"RedriveAllowPolicy": json.dumps(allow)})
    redrive(sqs, queue, dead)
    assert refused(
        sqs.set_queue_attributes, QueueUrl=queue, Attributes={"RedrivePolicy": '{"x": 1}'}
    )[0] == ("InvalidParameterValue")


def wait_for(what: Any) -> Any:
    end = time.time() + 120
    while time.time() < end:
        if found := what():
            return found
        time.sleep(0.01)
    raise AssertionError("did not happen")


def test_dead_letters_are_moved_back(sqs, queue):
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    redrive(sqs, queue, dead)
    for start in range(0, 70, 10):
        entries = [{"Id": str(n), "MessageBody": str(n)} for n in range(start, start + 10)]
        sqs.send_message_batch(QueueUrl=queue, Entries=entries)
    while receive(sqs, queue, VisibilityTimeout=0):
        pass
    assert counts(sqs, dead) == (70, 0, 0)
    arn = "arn:aws:sqs:us-east-1:000000000000:dead"
    handle = sqs.start_message_move_task(SourceArn=arn)["TaskHandle"]

    def done() -> Any:
        (task,) = sqs.list_message_move_tasks(SourceArn=arn)["Results"]
        return task if task["Status"] == "COMPLETED" else None

    task = wait_for(done)
    assert task["ApproximateNumberOfMessagesMoved"] == 70
    assert counts(sqs, queue) == (70, 0, 0)
    (got,) = receive(sqs, queue, MaxNumberOfMessages=1)
    assert got["Attributes"]["ApproximateReceiveCount"] == "1", "it is a new message"
    assert refused(sqs.cancel_message_move_task, TaskHandle=handle)[0] == "InvalidParameterValue"
    assert refused(sqs.start_message_move_task, SourceArn="arn:aws:sqs:us-east-1:000000000000:q")[
        1
    ] == ("Source queue must be configured as a Dead Letter Queue.")


@pytest.mark.parametrize("kind", ["standard", "groups", "fifo"])
def test_dead_letters_that_were_looked_at_are_moved_back(platform, sqs, kind):
    """What was received and not deleted is moved once its time is over, though nobody has asked for it since."""
    fifo = {"FifoQueue": "true"} if kind == "fifo" else {}
    end = ".fifo" if fifo else ""
    dead = sqs.create_queue(QueueName=f"dead{end}", Attributes=fifo)["QueueUrl"]
    queue = sqs.create_queue(QueueName=f"q{end}", Attributes=fifo)["QueueUrl"]
    redrive(sqs, queue, dead)
    most = 20 if fifo else 230  # more than is counted at once
    for number in range(most):
        more = {} if kind == "standard" else {"MessageGroupId": f"g{number % 20}"}
        if fifo:
            more["MessageDeduplicationId"] = str(number)
        sqs.send_message(QueueUrl=dead, MessageBody=str(number), **more)
    looked_at = 0
    while got := receive(sqs, dead):
        looked_at += len(got)
    assert looked_at == most
    jump(platform, 31)
    arn = f"arn:aws:sqs:us-east-1:000000000000:dead{end}"
    sqs.start_message_move_task(SourceArn=arn, DestinationArn=arn.replace("dead", "q"))

    def done() -> Any:
        (task,) = sqs.list_message_move_tasks(SourceArn=arn)["Results"]
        return task if task["Status"] == "COMPLETED" else None

    task = wait_for(done)
    assert task["ApproximateNumberOfMessagesMoved"] == most
    assert task["ApproximateNumberOfMessagesToMove"] == most
    assert counts(sqs, queue) == (most, 0, 0)
    assert counts(sqs, dead) == (0, 0, 0)


def test_a_slow_move_is_cancelled(platform, sqs, queue):
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    redrive(sqs, queue, dead)
    sqs.send_message_batch(
        QueueUrl=dead, Entries=[{"Id": str(n), "MessageBody": str(n)} for n in range(5)]
    )
    arn = "arn:aws:sqs:us-east-1:000000000000:dead"
    to = "arn:aws:sqs:us-east-1:000000000000:q"
    handle = sqs.start_message_move_task(
        SourceArn=arn, DestinationArn=to, MaxNumberOfMessagesPerSecond=1
    )["TaskHandle"]
    assert "already a task running" in refused(sqs.start_message_move_task, SourceArn=arn)[1]
    wait_for(lambda: counts(sqs, queue)[0] == 1)
    jump(platform, 1.1)
    wait_for(lambda: counts(sqs, queue)[0] == 2)
    assert sqs.cancel_message_move_task(TaskHandle=handle)["ApproximateNumberOfMessagesMoved"] == 2
    jump(platform, 1.1)
    (task,) = wait_for(
        lambda: [
            t
            for t in sqs.list_message_move_tasks(SourceArn=arn)["Results"]
            if t["Status"] == "CANCELLED"
        ]
    )
    assert "TaskHandle" not in task
    assert counts(sqs, dead)[0] == 3
    said = json.loads(base64.b64decode(handle))
    assert said.keys() == {"taskId", "sourceArn"}, "as AWS's handles are"
    unknown = base64.b64encode(json.dumps({**said, "taskId": "nope"}).encode()).decode()
    assert refused(sqs.cancel_message_move_task, TaskHandle=unknown) == (
        "ResourceNotFoundException",
        "Task does not exist.",
        404,
    ), (
        "LocalStack's test_sqs_move_task.snapshot.json, test_cancel_with_invalid_task_id_in_task_handle"
    )


# -- FIFO


def send(sqs: Any, url: str, *messages: tuple[str, str]) -> None:
    for group, body in messages:
        sqs.send_message(QueueUrl=url, MessageGroupId=group, MessageBody=body)


def test_a_group_gives_nothing_while_one_of_it_is_in_flight(sqs, fifo):
    send(sqs, fifo, ("a", "a1"), ("a", "a2"), ("b", "b1"), ("a", "a3"))
    first = receive(sqs, fifo, MaxNumberOfMessages=1)
    assert bodies(first) == ["a1"]
    assert bodies(receive(sqs, fifo)) == ["b1"]
    assert receive(sqs, fifo) == []
    assert counts(sqs, fifo) == (2, 2, 0)
    sqs.delete_message(QueueUrl=fifo, ReceiptHandle=first[0]["ReceiptHandle"])
    assert bodies(receive(sqs, fifo)) == ["a2", "a3"]
    assert counts(sqs, fifo) == (0, 3, 0)


def test_a_group_gives_what_comes_before_the_first_in_flight(platform, sqs, fifo):
    """LocalStack's tests/aws/services/sqs/test_sqs.py: test_fifo_message_group_visibility_after_terminate_visibility_timeout,
    and the recording test_fifo_group_visibility_extends_with_change_message_visibility (2-visible).
    """
    send(sqs, fifo, ("g1", "m1"), ("g1", "m2"), ("g2", "m3"))
    first, second = receive(sqs, fifo, MaxNumberOfMessages=2)
    assert bodies([first, second]) == ["m1", "m2"]
    handle = {"QueueUrl": fifo, "ReceiptHandle": first["ReceiptHandle"]}
    sqs.change_message_visibility(**handle, VisibilityTimeout=0)
    assert bodies(receive(sqs, fifo)) == ["m3", "m1"]
    jump(platform, 31)
    got = receive(sqs, fifo)
    assert sorted(bodies(got)) == ["m1", "m2", "m3"]
    last = next(m for m in got if m["Body"] == "m2")
    handle = {"QueueUrl": fifo, "ReceiptHandle": last["ReceiptHandle"]}
    sqs.change_message_visibility(**handle, VisibilityTimeout=100)
    send(sqs, fifo, ("g1", "m4"))
    jump(platform, 31)
    assert sorted(bodies(receive(sqs, fifo))) == ["m1", "m3"], "m4 is behind m2"
    jump(platform, 70)
    got = receive(sqs, fifo)
    assert sorted(bodies(got)) == ["m1", "m2", "m3", "m4"]
    assert counts(sqs, fifo) == (0, 4, 0)

    def look(tx: Any) -> int:
        found = state.queue(tx, key_of("0" * 12, "us-east-1"), "q.fifo")
        return state.counts(tx, found).groups_flying

    async def flying() -> int:
        return platform.cloud.db.peek(look)

    assert platform.run(flying()) == 2
    for message in got:
        sqs.delete_message(QueueUrl=fifo, ReceiptHandle=message["ReceiptHandle"])
    assert platform.run(flying()) == 0


def test_what_was_not_deleted_comes_again_in_order(platform, sqs, fifo):
    send(sqs, fifo, *(("a", f"a{n}") for n in range(5)))
    got = receive(sqs, fifo, MaxNumberOfMessages=3)
    sqs.delete_message(QueueUrl=fifo, ReceiptHandle=got[1]["ReceiptHandle"])
    jump(platform, 31)
    assert counts(sqs, fifo) == (4, 0, 0)
    again = receive(sqs, fifo)
    assert bodies(again) == ["a0", "a2", "a3", "a4"]
    assert refused(sqs.delete_message, QueueUrl=fifo, ReceiptHandle=got[0]["ReceiptHandle"])[1] == (
        f"Value {got[0]['ReceiptHandle']} for parameter ReceiptHandle is invalid. Reason: The receipt"
        " handle has expired."
    )
    sqs.change_message_visibility(
        QueueUrl=fifo, ReceiptHandle=again[0]["ReceiptHandle"], VisibilityTimeout=0
    )
    assert bodies(receive(sqs, fifo)) == ["a0"], "and none behind those in flight"
    for one in again[1:]:
        sqs.delete_message(QueueUrl=fifo, ReceiptHandle=one["ReceiptHandle"])
    assert receive(sqs, fifo) == [], "a0 is in flight again"
    jump(platform, 31)
    assert bodies(receive(sqs, fifo)) == ["a0"]


def test_a_message_sent_again_within_five_minutes_is_the_same(platform, sqs, fifo):
    one = {"QueueUrl": fifo, "MessageGroupId": "g", "MessageDeduplicationId": "d"}
    first = sqs.send_message(**one, MessageBody="1")
    again = sqs.send_message(**(one | {"MessageGroupId": "other"}), MessageBody="2")
    assert (again["MessageId"], again["SequenceNumber"]) == (
        first["MessageId"],
        first["SequenceNumber"],
    )
    (got,) = receive(sqs, fifo)
    assert got["Attributes"]["SequenceNumber"] == first["SequenceNumber"]
    assert got["Attributes"]["MessageGroupId"] == "g"
    assert got["Attributes"]["MessageDeduplicationId"] == "d"
    sqs.delete_message(QueueUrl=fifo, ReceiptHandle=got["ReceiptHandle"])
    sqs.send_message(**one, MessageBody="1")
    assert receive(sqs, fifo) == [], "also once it was deleted"
    jump(platform, 301)
    sqs.send_message(**one, MessageBody="1")
    assert bodies(receive(sqs, fifo)) == ["1"]


def test_deduplication_by_content_and_within_groups(sqs):
    attributes = {
        "FifoQueue": "true",
        "ContentBasedDeduplication": "true",
        "DeduplicationScope": "messageGroup",
        "FifoThroughputLimit": "perMessageGroupId",
    }
    url = sqs.create_queue(QueueName="h.fifo", Attributes=attributes)["QueueUrl"]
    send(sqs, url, ("a", "same"), ("a", "same"), ("b", "same"))
    assert counts(sqs, url) == (2, 0, 0)
    said = "The perMessageGroupId value is allowed only when the value for DeduplicationScope is messageGroup."
    del attributes["DeduplicationScope"]
    assert said in refused(sqs.create_queue, QueueName="i.fifo", Attributes=attributes)[1]
    back = {"DeduplicationScope": "queue"}
    assert said in refused(sqs.set_queue_attributes, QueueUrl=url, Attributes=back)[1]


def test_a_fifo_queue_refuses_what_it_cannot_order(sqs, fifo, queue):
    """Words as recorded by LocalStack against AWS."""
    one = {"QueueUrl": fifo, "MessageBody": "m"}
    assert refused(sqs.send_message, **one)[:2] == (
        "MissingParameter",
        "The request must contain the parameter MessageGroupId.",
    )
    assert refused(sqs.send_message, **one, MessageGroupId="g", DelaySeconds=2)[1] == (
        "Value 2 for parameter DelaySeconds is invalid. Reason: The request include parameter that is not"
        " valid for this queue type."
    )
    assert refused(sqs.send_message, **one, MessageGroupId="g", MessageDeduplicationId="a b")[
        1
    ] == (
        "Value a b for parameter MessageDeduplicationId is invalid. Reason: MessageDeduplicationId can only"
        " include alphanumeric and punctuation characters. 1 to 128 in length."
    )
    sqs.set_queue_attributes(QueueUrl=fifo, Attributes={"ContentBasedDeduplication": "false"})
    assert refused(sqs.send_message, **one, MessageGroupId="g")[1] == (
        "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided"
        " explicitly"
    )
    assert refused(sqs.send_message, QueueUrl=queue, MessageBody="m", MessageDeduplicationId="d")[
        0
    ] == ("InvalidParameterValue")
    sqs.send_message(QueueUrl=queue, MessageBody="m", MessageGroupId="fair")
    assert receive(sqs, queue)[0]["Attributes"]["MessageGroupId"] == "fair"


def test_a_queue_with_all_it_may_have_in_flight_says_so_to_short_polls(sqs, queue, monkeypatch):
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html; 3, not 120,000."""
    assert messages.IN_FLIGHT_MAX == 120_000
    monkeypatch.setattr(messages, "IN_FLIGHT_MAX", 3)
    for n in range(5):
        sqs.send_message(QueueUrl=queue, MessageBody=str(n))
    got = receive(sqs, queue)
    assert len(got) == 3, "no more than may be in flight"
    assert refused(sqs.receive_message, QueueUrl=queue) == (
        "OverLimit", "Too many messages in flight for queue q: at most 3", 403,
    )  # fmt: skip
    assert receive(sqs, queue, WaitTimeSeconds=1) == [], "a long poll gets no error"
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=got[0]["ReceiptHandle"])
    assert len(receive(sqs, queue)) == 1
    handle = got[1]["ReceiptHandle"]
    sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=handle, VisibilityTimeout=0)
    assert len(receive(sqs, queue)) == 1, "one that is visible again is not in flight"
    assert counts(sqs, queue) == (1, 3, 0)


def test_messages_whose_time_is_over_are_not_in_flight(platform, sqs, queue, monkeypatch):
    """They are counted as in flight until somebody looks: a receive at the limit does."""
    monkeypatch.setattr(messages, "IN_FLIGHT_MAX", 2)
    for n in range(3):
        sqs.send_message(QueueUrl=queue, MessageBody=str(n))
    assert len(receive(sqs, queue, VisibilityTimeout=30)) == 2
    jump(platform, 31)
    assert len(receive(sqs, queue)) == 2


def test_calls_without_a_signature_are_for_queues_open_to_everybody(client, sqs, queue):
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-basic-examples-of-sqs-policies.html"""
    anybody = client("sqs", signature_version=UNSIGNED)
    closed = {"QueueUrl": queue, "MessageBody": "m"}
    assert refused(anybody.send_message, **closed)[0::2] == ("AccessDenied", 403)
    arn = "arn:aws:sqs:us-east-1:000000000000:q"

    def allow(principal: Any, *actions: str) -> None:
        statement = {"Effect": "Allow", "Principal": principal, "Action": actions, "Resource": arn}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})

    allow({"AWS": "arn:aws:iam::000000000000:root"}, "sqs:*")
    assert refused(anybody.send_message, **closed)[0::2] == ("AccessDenied", 403)
    allow("*", "sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage")
    anybody.send_message(QueueUrl=queue, MessageBody="one")
    batch = [{"Id": "a", "MessageBody": "two"}]
    anybody.send_message_batch(QueueUrl=queue, Entries=batch)
    got = receive(anybody, queue)
    assert sorted(bodies(got)) == ["one", "two"]
    assert {m["Attributes"]["SenderId"] for m in got} == {"anonymous"}
    anybody.delete_message(QueueUrl=queue, ReceiptHandle=got[0]["ReceiptHandle"])
    assert counts(sqs, queue) == (0, 1, 0)
    assert refused(anybody.get_queue_attributes, QueueUrl=queue)[0::2] == ("AccessDenied", 403)
    anybody.send_message(QueueUrl=queue, MessageBody='"' * (1 << 20))
    large = {"QueueUrl": queue, "MessageBody": "m" * (5 << 20)}
    assert refused(anybody.send_message, **large)[2] == 413, "nobody makes us keep that much"
    assert refused(sqs.send_message, **large)[0] == "InvalidParameterValue"
    owner = {"QueueOwnerAWSAccountId": "000000000000"}
    assert refused(anybody.get_queue_url, QueueName="q", **owner)[0::2] == ("AccessDenied", 403)
    assert refused(anybody.get_queue_url, QueueName="q")[2] in (400, 403)
    for call, ask in ((anybody.list_queues, {}), (anybody.create_queue, {"QueueName": "n"}),
                      (anybody.purge_queue, {"QueueUrl": queue})):  # fmt: skip
        assert refused(call, **ask)[0].startswith("MissingAuthenticationToken")


def test_a_receive_that_is_tried_again_gets_the_same(sqs, fifo):
    send(sqs, fifo, ("a", "1"), ("b", "2"), ("c", "3"))
    first = receive(sqs, fifo, MaxNumberOfMessages=2, ReceiveRequestAttemptId="x")
    again = receive(sqs, fifo, MaxNumberOfMessages=2, ReceiveRequestAttemptId="x")
    assert bodies(first) == bodies(again) == ["1", "2"]
    assert [m["ReceiptHandle"] for m in first] == [m["ReceiptHandle"] for m in again]
    assert bodies(receive(sqs, fifo, ReceiveRequestAttemptId="y")) == ["3"]


def test_a_fifo_queue_delays_and_buries_in_order(platform, sqs, fifo):
    attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    dead = sqs.create_queue(QueueName="dead.fifo", Attributes=attributes)["QueueUrl"]
    redrive(sqs, fifo, dead)
    sqs.set_queue_attributes(QueueUrl=fifo, Attributes={"DelaySeconds": "5"})
    send(sqs, fifo, ("a", "1"), ("a", "2"))
    assert counts(sqs, fifo) == (0, 0, 2)
    assert receive(sqs, fifo) == []
    jump(platform, 6)
    assert counts(sqs, fifo) == (2, 0, 0)
    assert bodies(receive(sqs, fifo, VisibilityTimeout=1)) == ["1", "2"]
    jump(platform, 2)
    assert receive(sqs, fifo) == []
    assert counts(sqs, fifo) == (0, 0, 0)
    assert bodies(receive(sqs, dead)) == ["1", "2"]


# -- who may


def test_another_account_needs_the_queues_policy(client, sqs, queue):
    other = client("sqs", account="111111111111")
    code, message, status = refused(other.send_message, QueueUrl=queue, MessageBody="m")
    assert (code, status) == ("AccessDenied", 403)
    assert "is not authorized to perform: sqs:sendmessage on resource" in message
    sqs.add_permission(
        QueueUrl=queue, Label="l", AWSAccountIds=["111111111111"], Actions=["SendMessage"]
    )
    other.send_message(QueueUrl=queue, MessageBody="m")
    assert refused(other.receive_message, QueueUrl=queue)[0] == "AccessDenied"
    assert refused(other.tag_queue, QueueUrl=queue, Tags={"a": "b"})[0] == "AccessDenied"
    (got,) = receive(sqs, queue)
    assert got["Attributes"]["SenderId"] == "111111111111"
    policy = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["Policy"])["Attributes"]
    assert json.loads(policy["Policy"]) == {
        "Version": "2008-10-17",
        "Id": "arn:aws:sqs:us-east-1:000000000000:q/SQSDefaultPolicy",
        "Statement": [
            {
                "Sid": "l",
                "Effect": "Allow",
                "Principal": {"AWS": "arn:aws:iam::111111111111:root"},
                "Action": "SQS:SendMessage",
                "Resource": "arn:aws:sqs:us-east-1:000000000000:q",
            }
        ],
    }
    assert (
        "Already exists"
        in refused(
            sqs.add_permission, QueueUrl=queue, Label="l", AWSAccountIds=["1" * 12], Actions=["*"]
        )[1]
    )
    sqs.remove_permission(QueueUrl=queue, Label="l")
    assert refused(other.send_message, QueueUrl=queue, MessageBody="m")[0] == "AccessDenied"
    assert "can't find label" in refused(sqs.remove_permission, QueueUrl=queue, Label="l")[1]


# -- the wire


def test_the_old_wire_form_and_the_queues_address(client, platform, sqs, queue):
    """Old SDKs post forms to the queue's own URL. Words as in LocalStack's tests/aws/services/sqs/test_sqs.py, TestSqsQueryApi."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
    from conftest import to_http

    def ask(path: str, **fields: str) -> tuple[int, str]:
        body = urlencode({**fields, "Version": "2012-11-05"})
        request = AWSRequest(
            "POST",
            f"http://localhost:4566{path}",
            {"Content-Type": "application/x-www-form-urlencoded"},
            body,
        )
        SigV4Auth(Credentials("000000000000", "test"), "sqs", "us-east-1").add_auth(request)
        status, _, answer = platform.send(to_http(request.prepare()))
        return status, answer.decode()

    status, answer = ask("/000000000000/q", Action="SendMessage", MessageBody="old")
    assert (status, "<MD5OfMessageBody>" in answer) == (200, True)
    status, answer = ask("/queue/us-east-1/000000000000/q", Action="ReceiveMessage")
    assert (status, "<Body>old</Body>" in answer) == (200, True)
    status, answer = ask("/000000000000/q", Action="ReceiveMessage")
    assert "<ReceiveMessageResult/>" in answer
    status, answer = ask("/000000000000/nope", Action="ReceiveMessage")
    assert status == 400
    assert (
        "<Code>AWS.SimpleQueueService.NonExistentQueue</Code><Message>The specified queue does not exist for this"
        " wsdl version.</Message><Detail/>" in answer
    )
    for action in ("FooBar", "CreateQueue", "ListQueues"):
        status, answer = ask("/000000000000/q", Action=action, QueueName="n")
        assert (status, "<Code>InvalidAction</Code>" in answer) == (400, True)
        assert f"<Message>The action {action} is not valid for this endpoint.</Message>" in answer
    status, answer = ask("/", Action="CreateQueue", QueueName="n")
    assert status == 200
    for action, wanted in (("ListQueues", "ListQueuesResponse"), ("GetQueueUrl", "Error")):
        url = f"http://localhost:4566/?Action={action}&Version=2012-11-05&QueueName=nope"
        request = AWSRequest("GET", url, {"Accept": "application/json"})
        SigV4Auth(Credentials("000000000000", "test"), "sqs", "us-east-1").add_auth(request)
        status, headers, answer = platform.send(to_http(request.prepare()))
        assert dict(headers)["Content-Type"] == "application/json"
        assert wanted in json.loads(answer), "test_get_list_queues_with_query_auth"
    request = AWSRequest("GET", "http://localhost:4566/000000000000/q")
    SigV4Auth(Credentials("000000000000", "test"), "sqs", "us-east-1").add_auth(request)
    status, _, answer = platform.send(to_http(request.prepare()))
    assert (status, answer) == (404, b"<UnknownOperationException/>\n")
    for url in (
        "http://sqs.us-east-1.localhost:4566/000000000000/q",
        "http://us-east-1.queue.localhost:4566/000000000000/q",
        "https://sqs.us-east-1.amazonaws.com/000000000000/q",
    ):
        sqs.send_message(QueueUrl=url, MessageBody="m")
    assert counts(sqs, queue)[0] == 3
