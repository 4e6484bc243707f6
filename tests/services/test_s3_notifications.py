"""S3 event notifications: told once committed, in AWS's words, only to whom the listener's policy lets in."""

from __future__ import annotations

import itertools
import json
import re
import time

import pytest
from botocore.exceptions import ClientError
from harness import run_in_cloud

from stratolite.errors import Fault
from stratolite.service import Service
from stratolite.services.s3 import notification_rules
from stratolite.services.s3.notification_rules import Rule


class Listener(Service):
    """Stands in for a queue, a topic and a bus: keeps what it was told and by whom."""

    name = "sqs"

    def __init__(self, cloud):
        super().__init__(cloud)
        self.told = []
        self.refuses = set()

    def access(self, call, operation, request):
        return ()

    def is_heard(self, call, what=""):
        """As the bus: no rule is about what the trail records."""
        return not what

    async def send_message(self, call, request):
        return await self._hear(call, "sqs", request["QueueUrl"], request["MessageBody"])

    async def publish(self, call, request):
        return await self._hear(call, "sns", request["TopicArn"], request["Message"])

    async def put_events(self, call, request):
        for entry in request["Entries"]:
            await self._hear(call, "events", entry, entry["Detail"])
        return {"FailedEntryCount": 0, "Entries": [{}]}

    async def _hear(self, call, kind, where, text):
        if kind in self.refuses:
            self.refuses.discard(kind)
            raise Fault("AccessDenied", "no", status=403)
        who = call.principal
        self.told.append((kind, where, json.loads(text), who.name, who.source_arn))
        return {}


def listening(cloud):
    listener = Listener(cloud)
    cloud.services = {
        **cloud.services,
        **dict.fromkeys(("sqs", "sns", "events"), lambda _: listener),
    }
    for name in ("sqs", "sns", "events"):
        cloud._instances.pop(name, None)
    return listener


def until(listener, count):
    end = time.monotonic() + 120
    while len(listener.told) < count and time.monotonic() < end:
        time.sleep(0.01)
    assert len(listener.told) == count, listener.told
    return listener.told


QUEUE = "arn:aws:sqs:us-east-1:000000000000:q"
TOPIC = "arn:aws:sns:us-east-1:000000000000:t"


def queue_rule(events=("s3:ObjectCreated:*",), **filters):
    rules = [{"Name": name, "Value": value} for name, value in filters.items()]
    return {"QueueArn": QUEUE, "Events": list(events), "Filter": {"Key": {"FilterRules": rules}}}


def test_every_listener_is_told_in_its_own_form(client, platform):
    """Record: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html"""
    listener, s3 = listening(platform.cloud), client("s3")
    s3.create_bucket(Bucket="told")
    s3.put_bucket_notification_configuration(
        Bucket="told",
        NotificationConfiguration={
            "QueueConfigurations": [queue_rule(Prefix="in/", Suffix=".txt") | {"Id": "mine"}],
            "TopicConfigurations": [{"TopicArn": TOPIC, "Events": ["s3:ObjectRemoved:*"]}],
            "EventBridgeConfiguration": {},
        },
    )
    tests = until(listener, 2)
    assert [(kind, body["Event"]) for kind, _, body, _, _ in tests] == [
        ("sqs", "s3:TestEvent"),
        ("sns", "s3:TestEvent"),
    ]
    listener.told.clear()
    s3.put_object(Bucket="told", Key="in/ä b.txt", Body=b"hello")
    s3.put_object(Bucket="told", Key="elsewhere.txt", Body=b"")
    s3.delete_object(Bucket="told", Key="in/ä b.txt")
    told = until(listener, 5)
    assert {one[3:] for one in told} == {("s3.amazonaws.com", "arn:aws:s3:::told")}
    [(record,)] = [body["Records"] for kind, _, body, _, _ in told if kind == "sqs"]
    assert record["eventName"] == "ObjectCreated:Put"
    assert record["eventSource"] == "aws:s3"
    assert record["eventVersion"] == "2.1"
    assert record["s3"]["configurationId"] == "mine"
    assert record["s3"]["bucket"]["arn"] == "arn:aws:s3:::told"
    thing = record["s3"]["object"]
    assert (thing["key"], thing["size"]) == ("in/%C3%A4+b.txt", 5)
    assert thing["eTag"] == "5d41402abc4b2a76b9719d911017c592"
    [(removed,)] = [body["Records"] for kind, _, body, _, _ in told if kind == "sns"]
    assert removed["eventName"] == "ObjectRemoved:Delete"
    assert removed["s3"]["object"].keys() == {"key", "sequencer"}
    assert removed["s3"]["object"]["sequencer"] > thing["sequencer"]
    bridge = [(where, body) for kind, where, body, _, _ in told if kind == "events"]
    details = {
        where["DetailType"]: body for where, body in bridge if body["object"]["key"][0] == "i"
    }
    assert details["Object Created"]["object"]["key"] == "in/ä b.txt"
    assert details["Object Created"]["reason"] == "PutObject"
    assert details["Object Deleted"]["deletion-type"] == "Permanently Deleted"


def test_a_restore_is_told_from_its_beginning_to_the_end_of_its_days(client, platform):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html, whose example of a completed one this is."""
    cloud, s3 = platform.cloud, client("s3")
    listener = listening(cloud)
    s3.create_bucket(Bucket="told")
    rule = {"QueueArn": QUEUE, "Events": ["s3:ObjectRestore:*"]}
    wanted = {"QueueConfigurations": [rule], "EventBridgeConfiguration": {}}
    s3.put_bucket_notification_configuration(Bucket="told", NotificationConfiguration=wanted)
    until(listener, 1)
    for key in ("once", "prolonged"):
        s3.put_object(Bucket="told", Key=key, Body=b"hello", StorageClass="GLACIER")
        s3.restore_object(Bucket="told", Key=key, RestoreRequest={"Days": 1})
    s3.restore_object(Bucket="told", Key="prolonged", RestoreRequest={"Days": 9})
    until(listener, 1 + 2 + 3 * 4)
    told = [body for kind, _, body, _, _ in listener.told if kind == "sqs"][1:]
    names = [body["Records"][0]["eventName"] for body in told]
    assert sorted(names) == ["ObjectRestore:Completed"] * 3 + ["ObjectRestore:Post"] * 3
    posted, done = (
        next(body for kind, where, body, _, _ in listener.told if kind == "events" and where["DetailType"] == name)
        for name in ("Object Restore Initiated", "Object Restore Completed")
    )  # fmt: skip
    assert posted["source-storage-class"] == done["source-storage-class"] == "GLACIER"
    assert (posted["requester"], done["requester"]) == ("000000000000", "s3.amazonaws.com")
    assert ("source-ip-address" in posted, "source-ip-address" in done) == (True, False)
    assert re.fullmatch(r"20..-..-..T00:00:00Z", done["restore-expiry-time"])
    assert done["object"].keys() == {"key", "size", "etag"}
    listener.told.clear()
    platform.run(cloud.db.transact(lambda tx: cloud.clock.advance(tx, 2 * 86_400)))
    kinds = {kind: body for kind, _, body, _, _ in until(listener, 2)}
    [record] = kinds["sqs"]["Records"]
    assert (record["eventName"], record["s3"]["object"]["key"]) == ("ObjectRestore:Delete", "once")
    assert kinds["events"]["requester"] == "s3.amazonaws.com"
    assert "Restore" not in s3.head_object(Bucket="told", Key="once")
    assert "Restore" in s3.head_object(Bucket="told", Key="prolonged")
    listener.told.clear()
    platform.run(cloud.db.transact(lambda tx: cloud.clock.advance(tx, 9 * 86_400)))
    ended = [body["Records"][0] for kind, _, body, _, _ in until(listener, 2) if kind == "sqs"]
    assert [(r["eventName"], r["s3"]["object"]["key"]) for r in ended] == [
        ("ObjectRestore:Delete", "prolonged")
    ]


def test_a_listener_that_refuses_is_not_accepted(client, platform):
    """Words: localstack's recorded snapshots of the notification tests."""
    listener, s3 = listening(platform.cloud), client("s3")
    s3.create_bucket(Bucket="told")
    listener.refuses = {"sqs"}
    with pytest.raises(ClientError) as refused:
        s3.put_bucket_notification_configuration(
            Bucket="told", NotificationConfiguration={"QueueConfigurations": [queue_rule()]}
        )
    error = refused.value.response["Error"]
    assert error["Code"] == "InvalidArgument"
    assert error["Message"] == "Unable to validate the following destination configurations"
    assert error["ArgumentName1"] == QUEUE
    assert error["ArgumentValue1"].startswith(
        "Permissions on the destination queue do not allow S3"
    )
    function = "arn:aws:lambda:us-east-1:000000000000:function:none"
    with pytest.raises(ClientError, match="Unable to validate"):
        s3.put_bucket_notification_configuration(
            Bucket="told",
            NotificationConfiguration={
                "LambdaFunctionConfigurations": [
                    {"LambdaFunctionArn": function, "Events": ["s3:ObjectCreated:Put"]}
                ]
            },
        )
    assert "QueueConfigurations" not in s3.get_bucket_notification_configuration(Bucket="told")
    assert listener.told == []


def test_what_was_committed_is_told_after_a_restart(tmp_path):
    """The word is in the transaction that wrote the object: no crash comes between the two."""

    async def write(harness):
        listening(harness.cloud)
        await harness.cloud.work.close()  # nobody carries anything out here any more
        await harness("s3", "CreateBucket", Bucket="told")
        config = {"QueueConfigurations": [queue_rule()]}
        await harness(
            "s3",
            "PutBucketNotificationConfiguration",
            Bucket="told",
            NotificationConfiguration=config,
            SkipDestinationValidation=True,
        )
        for number in range(3):
            await harness("s3", "PutObject", Bucket="told", Key="k", Body=b"x" * number)

    async def hear(harness):
        import asyncio

        listener = listening(harness.cloud)
        for _ in range(10_000):
            if len(listener.told) == 3:
                break
            await asyncio.sleep(0.01)
        return [body["Records"][0]["s3"]["object"]["size"] for _, _, body, _, _ in listener.told]

    run_in_cloud(str(tmp_path), write)
    assert run_in_cloud(str(tmp_path), hear) == [0, 1, 2]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ([queue_rule(["s3:Nothing"])], "A specified event is not supported for notifications."),
        ([queue_rule(Middle="x")], "filter rule name must be either prefix or suffix"),
        (
            [queue_rule(), queue_rule(["s3:ObjectCreated:Put"])],
            "Configuration is ambiguously defined.",
        ),
        (
            [queue_rule(Prefix="a"), queue_rule(Prefix="ab")],
            "Configuration is ambiguously defined.",
        ),
        ([queue_rule() | {"QueueArn": "q"}], "The ARN could not be parsed"),
        (
            [queue_rule() | {"QueueArn": QUEUE.replace("us-east-1", "eu-west-1")}],
            "The notification destination service region is not valid",
        ),
    ],
)
def test_a_configuration_that_could_not_be_meant_is_refused(config, message):
    ids = itertools.count()
    with pytest.raises(Fault) as refused:
        notification_rules.checked(
            {"QueueConfigurations": config}, "us-east-1", lambda: str(next(ids))
        )
    assert refused.value.message.startswith(message)


def test_rules_that_cannot_both_be_met_stand_side_by_side():
    rules = [
        queue_rule(Prefix="a"),
        queue_rule(Prefix="b"),
        queue_rule(["s3:ObjectRemoved:*"], Prefix="a"),
        queue_rule(Prefix="c", Suffix=".jpg"),
        queue_rule(Prefix="c", Suffix=".png"),
    ]
    ids = iter("12345")
    kept = notification_rules.checked(
        {"QueueConfigurations": rules}, "us-east-1", lambda: next(ids)
    )
    assert [one["Id"] for one in kept["QueueConfigurations"]] == list("12345")
    rule = Rule("1", "sqs", QUEUE, ("s3:ObjectCreated:*",), "a/", ".x")
    assert rule.meets("s3:ObjectCreated:Copy", "a/b.x")
    assert not rule.meets("s3:ObjectRemoved:Delete", "a/b.x")
    assert not rule.meets("s3:ObjectCreated:Copy", "a/b.y")
