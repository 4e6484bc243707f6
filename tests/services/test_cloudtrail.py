"""Who did what, and what was decided: the event history, the whole trail, and the explanation of a denial."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from gateway.test_own import ask

from stratolite.cli import why_denied
from stratolite.errors import Unavailable
from stratolite.service import root
from stratolite.services.cloudtrail import batches, data_events, recorder
from stratolite.services.cloudtrail import events as trail_events
from stratolite.services.cloudtrail import state as trail_state

ME = "000000000000"


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def keys_of(iam, name, *statements):
    iam.create_user(UserName=name)
    if statements:
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy(*statements))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"key": key["AccessKeyId"], "secret": key["SecretAccessKey"]}


def events(trail, **attribute):
    asked = [{"AttributeKey": k, "AttributeValue": v} for k, v in attribute.items()]
    found = trail.get_paginator("lookup_events").paginate(LookupAttributes=asked)
    return [json.loads(e["CloudTrailEvent"]) for page in found for e in page["Events"]]


def pages(platform, **wanted):
    """The pages of the whole trail, as ``stratolite trail`` asks for them."""
    while True:
        status, page = ask(platform, "POST", "trail", wanted)
        assert status == 200, page
        yield page
        if not page["more"]:
            return
        wanted["token"] = page["token"]


def trail_of(platform, **wanted):
    return [event for page in pages(platform, **wanted) for event in page["events"]]


def brief(event):
    """(operation, what it was done to, what was decided)."""
    named = [r["ARN"].rpartition(":")[2] for r in event.get("resources", ())]
    return event["eventName"], *named, event["additionalEventData"]["decision"]


def request_id(error):
    return error.value.response["ResponseMetadata"]["RequestId"]


def test_a_management_call_is_recorded_with_who_what_and_what_was_decided(client):
    iam, trail = client("iam"), client("cloudtrail")
    keys = keys_of(iam, "ann", {"Effect": "Allow", "Action": "iam:GetUser", "Resource": "*"})
    ann = client("iam", **keys)
    answer = ann.get_user(UserName="ann")
    (event,) = events(trail, EventName="GetUser")
    assert event["userIdentity"]["arn"] == f"arn:aws:iam::{ME}:user/ann"
    assert event["userIdentity"]["accessKeyId"] == keys["key"]
    assert event["eventID"] == answer["ResponseMetadata"]["RequestId"]
    assert event["requestParameters"] == {"userName": "ann"}
    assert (event["eventSource"], event["readOnly"]) == ("iam.amazonaws.com", True)
    assert event["resources"][0]["ARN"] == f"arn:aws:iam::{ME}:user/ann"
    assert event["additionalEventData"] == {"decision": "allowed", "action": "iam:GetUser"}
    with pytest.raises(ClientError):
        iam.get_user(UserName="nobody")
    assert events(trail, Username="root")[0]["errorCode"] == "NoSuchEntity"
    shown = trail.lookup_events(LookupAttributes=[{"AttributeKey": "Username", "AttributeValue": "ann"}])["Events"]  # fmt: skip
    assert shown[0]["AccessKeyId"] == keys["key"]
    assert shown[0]["Resources"] == [
        {"ResourceType": "AWS::IAM::User", "ResourceName": f"arn:aws:iam::{ME}:user/ann"}
    ]


def test_lookup_events_has_management_events_only_and_the_trail_has_all(client, platform):
    """https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html: management events. What was
    done to items and objects is asked of the trail itself, denied or not."""
    s3, trail = client("s3"), client("cloudtrail")
    s3.create_bucket(Bucket="bbb")
    s3.put_object(Bucket="bbb", Key="k", Body=b"x")
    eve = client("s3", **keys_of(client("iam"), "eve"))
    with pytest.raises(ClientError) as refused:
        eve.get_object(Bucket="bbb", Key="k")
    names = [e["eventName"] for e in events(trail, EventSource="s3.amazonaws.com")]
    assert names == ["CreateBucket"]
    assert events(trail, EventId=request_id(refused)) == []
    assert [brief(e) for e in trail_of(platform, action="s3:")] == [
        ("CreateBucket", "bbb", "allowed"), ("PutObject", "bbb/k", "allowed"), ("GetObject", "bbb/k", "denied")
    ]  # fmt: skip
    (event,) = trail_of(platform, event_id=request_id(refused))
    assert (event["eventCategory"], event["errorCode"]) == ("Data", "AccessDenied")


@pytest.fixture
def things(client):
    """A table, a bucket, a queue, a topic, a stream, a key."""
    client("dynamodb").create_table(
        TableName="table", KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}], BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
    )  # fmt: skip
    client("s3").create_bucket(Bucket="bucket")
    client("kinesis").create_stream(StreamName="stream", ShardCount=1)
    return {
        "url": client("sqs").create_queue(QueueName="queue")["QueueUrl"],
        "topic": client("sns").create_topic(Name="topic")["TopicArn"],
        "key": client("kms").create_key()["KeyMetadata"]["Arn"],
    }


SECRET = "do-not-keep-this"


def unhurried(platform, monkeypatch):
    """From here on nothing is written until somebody asks."""
    trail = platform.cloud.trail
    monkeypatch.setattr(recorder, "TRAIL_GATHER_S", 3600.0)

    async def begin():
        if trail._task is not None:
            trail._task.cancel()
            trail._task = None
        await trail.flush()

    platform.run(begin())
    trail.room = 0


def test_every_data_event_is_recorded_with_who_what_and_what_was_decided(client, platform, things):
    """Without any option; without bodies, items, statements or messages; found by each of what it may be asked for."""
    keys = keys_of(client("iam"), "ann", {"Effect": "Allow", "Action": "*", "Resource": "*"})
    db, s3, sqs, kms = (client(name, **keys) for name in ("dynamodb", "s3", "sqs", "kms"))
    item = {"k": {"S": "a"}, "v": {"S": SECRET}}
    answer = db.put_item(TableName="table", Item=item)
    db.get_item(TableName="table", Key={"k": {"S": SECRET}})
    db.batch_get_item(RequestItems={"table": {"Keys": [{"k": {"S": SECRET}}]}})
    db.transact_write_items(TransactItems=[{"Put": {"TableName": "table", "Item": item}}])
    db.execute_statement(Statement=f"SELECT * FROM \"table\" WHERE k = '{SECRET}'")
    for _ in range(3):  # the first is read line by line, the others by what is known of it
        s3.put_object(Bucket="bucket", Key="photos/1", Body=SECRET.encode())
    s3.head_object(Bucket="bucket", Key="photos/1")
    s3.list_objects_v2(Bucket="bucket", Prefix=SECRET)
    sqs.send_message(QueueUrl=things["url"], MessageBody=SECRET)
    sqs.receive_message(QueueUrl=things["url"], WaitTimeSeconds=1)
    client("sns", **keys).publish(TopicArn=things["topic"], Message=SECRET)
    kinesis = client("kinesis", **keys)
    kinesis.put_record(StreamName="stream", Data=SECRET.encode(), PartitionKey="p")
    client("events", **keys).put_events(
        Entries=[{"Source": "s", "DetailType": "d", "Detail": json.dumps({"x": SECRET})}]
    )
    blob = kms.encrypt(KeyId=things["key"], Plaintext=SECRET.encode())["CiphertextBlob"]
    kms.decrypt(CiphertextBlob=blob)
    with pytest.raises(ClientError):
        client("lambda", **keys).invoke(FunctionName="none", Payload=json.dumps(SECRET))
    key = things["key"].rpartition(":")[2]
    found = trail_of(platform, kind="data", principal="user/ann")
    assert [brief(e)[:-1] for e in found] == [
        ("PutItem", "table/table"), ("GetItem", "table/table"), ("BatchGetItem", "table/table"),
        ("TransactWriteItems", "table/table"), ("ExecuteStatement", "table/table"),
        *[("PutObject", "bucket/photos/1")] * 3, ("HeadObject", "bucket/photos/1"), ("ListObjectsV2", "bucket"),
        ("SendMessage", "queue"), ("ReceiveMessage", "queue"), ("Publish", "topic"), ("PutRecord", "stream/stream"),
        ("PutEvents", "event-bus/default"), ("Encrypt", key), ("Decrypt", key), ("Invoke", "none"),
    ]  # fmt: skip
    first = found[0]
    assert first["requestID"] == first["eventID"] == answer["ResponseMetadata"]["RequestId"]
    assert first["userIdentity"]["arn"] == f"arn:aws:iam::{ME}:user/ann"
    assert first["userIdentity"]["accessKeyId"] == keys["key"]
    assert (first["sourceIPAddress"], first["awsRegion"]) == ("127.0.0.1", "us-east-1")
    assert (first["managementEvent"], first["readOnly"], found[1]["readOnly"]) == (
        False,
        False,
        True,
    )
    assert first["additionalEventData"] == {"decision": "allowed", "action": "dynamodb:PutItem"}
    actions = {e["eventName"]: e["additionalEventData"]["action"] for e in found}
    assert actions["HeadObject"] == "s3:GetObject"
    assert (actions["ListObjectsV2"], actions["Invoke"]) == (
        "s3:ListBucket",
        "lambda:InvokeFunction",
    )
    assert found[-1]["errorCode"] == "ResourceNotFoundException"
    assert SECRET not in json.dumps(trail_of(platform))
    assert len(trail_of(platform, principal=keys["key"], resource="bucket/photos")) == 4
    assert len(trail_of(platform, action="dynamodb:getitem")) == 1
    assert trail_of(platform, kind="data", decision="denied") == []
    assert ask(platform, "POST", "trail", {"kind": "insight"})[0] == 400
    assert ask(platform, "POST", "trail", {"token": "x"})[0] == 400


def test_a_data_event_that_fails_is_recorded_with_its_error(client, platform, things):
    """Refused by the operation, or before it by the request's own form; what it named stays, what it said does not."""
    db = client("dynamodb")
    with pytest.raises(ClientError):
        db.get_item(TableName="nowhere", Key={"k": {"S": SECRET}})
    with pytest.raises(ClientError):
        db.put_item(TableName="table", Item={"other": {"S": SECRET}})
    with pytest.raises(ClientError):
        client("sqs").send_message(QueueUrl=things["url"] + "x", MessageBody=SECRET)
    with pytest.raises(ClientError):
        client("kinesis").put_record(StreamName="stream", Data=b"x", PartitionKey="p" * 300)
    found = trail_of(platform, kind="data")
    assert [(*brief(e)[:-1], e["errorCode"]) for e in found] == [
        ("GetItem", "table/nowhere", "ResourceNotFoundException"), ("PutItem", "table/table", "ValidationException"),
        ("SendMessage", "queuex", "QueueDoesNotExist"), ("PutRecord", "stream/stream", "ValidationException"),
    ]  # fmt: skip
    assert SECRET not in json.dumps(found)


def test_a_data_event_that_is_denied_is_recorded_once_and_whole(client, platform, things):
    """With the explanation; also where it is one of many keys of a call that goes on."""
    write = {
        "Effect": "Allow",
        "Action": "s3:DeleteObject",
        "Resource": "arn:aws:s3:::bucket/mine/*",
    }
    keys = keys_of(client("iam"), "eve", write)
    with pytest.raises(ClientError):
        client("dynamodb", **keys).get_item(TableName="table", Key={"k": {"S": "a"}})
    with pytest.raises(ClientError):
        client("sqs", **keys).send_message(QueueUrl=things["url"], MessageBody="x")
    both = [{"Key": "mine/1"}, {"Key": "theirs/1"}]
    client("s3", **keys).delete_objects(Bucket="bucket", Delete={"Objects": both})
    found = trail_of(platform, principal="user/eve", kind="data")
    assert sorted(brief(e) for e in found) == [
        ("DeleteObject", "bucket/theirs/1", "denied"), ("DeleteObjects", "bucket", "allowed"),
        ("GetItem", "table/table", "denied"), ("SendMessage", "queue", "denied"),
    ]  # fmt: skip
    denied = [e for e in found if e["additionalEventData"]["decision"] == "denied"]
    assert all("encodedAuthorizationMessage" in e["additionalEventData"] for e in denied)
    assert found == trail_of(platform, principal="user/eve", kind="data", ago_s=60)


def test_what_services_do_for_others_is_recorded_under_who_they_are(client, platform, things):
    """A topic's delivery as the service, an alias in the trail of the key's use, one event id each."""
    queue = f"arn:aws:sqs:us-east-1:{ME}:queue"
    allow = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue,
    }
    client("sqs").set_queue_attributes(QueueUrl=things["url"], Attributes={"Policy": policy(allow)})
    client("sns").subscribe(TopicArn=things["topic"], Protocol="sqs", Endpoint=queue)
    client("sns").publish(TopicArn=things["topic"], Message="x")
    assert client("sqs").receive_message(QueueUrl=things["url"], WaitTimeSeconds=10)["Messages"]
    (sent,) = trail_of(platform, action="sqs:SendMessage", kind="data")
    assert sent["userIdentity"] == {"type": "AWSService", "invokedBy": "sns.amazonaws.com"}
    assert sent["eventID"] != sent["requestID"]
    client("s3").put_bucket_encryption(Bucket="bucket", ServerSideEncryptionConfiguration={"Rules": [
        {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": things["key"]}},
    ]})  # fmt: skip
    keys = keys_of(client("iam"), "ann", {"Effect": "Allow", "Action": "*", "Resource": "*"})
    client("s3", **keys).put_object(Bucket="bucket", Key="k", Body=b"x")
    (used,) = trail_of(platform, action="kms:GenerateDataKey", principal="user/ann")
    assert used["resources"][0]["ARN"] == things["key"]
    assert used["userIdentity"]["invokedBy"]


def test_a_call_into_another_account_is_in_the_trail_of_both(client, platform, things):
    """And a stranger's is in the trail of the bucket's owner."""
    client("s3").delete_public_access_block(Bucket="bucket")
    client("s3").put_bucket_policy(Bucket="bucket", Policy=policy(
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/*"},
    ))  # fmt: skip
    client("s3").put_object(Bucket="bucket", Key="k", Body=b"x")
    theirs = keys_of(
        client("iam", account="222222222222"),
        "bob",
        {"Effect": "Allow", "Action": "s3:*", "Resource": "*"},
    )
    client("s3", **theirs).get_object(Bucket="bucket", Key="k")
    platform.run(platform.cloud.trail.flush())
    here = trail_of(platform, action="s3:GetObject")
    _, there = ask(platform, "POST", "trail", {"action": "s3:GetObject"}, ("222222222222", "test"))
    assert [e["userIdentity"]["arn"] for e in here] == ["arn:aws:iam::222222222222:user/bob"]
    assert [e["requestID"] for e in there["events"]] == [here[0]["requestID"]]
    assert [e["recipientAccountId"] for e in (here[0], there["events"][0])] == [ME, "222222222222"]


def test_the_trail_is_for_those_who_may_look_events_up(client, platform):
    iam = client("iam")
    allow = {"Effect": "Allow", "Action": "cloudtrail:LookupEvents", "Resource": "*"}
    auditor, other = keys_of(iam, "auditor", allow), keys_of(iam, "other")
    assert ask(platform, "POST", "trail", {}, tuple(auditor.values()))[0] == 200
    status, said = ask(platform, "POST", "trail", {}, tuple(other.values()))
    assert (status, said["__type"]) == (403, "AccessDeniedException")
    assert ask(platform, "POST", "trail", {}, None)[0] == 403
    assert ask(platform, "GET", "clock", None, tuple(auditor.values()))[0] == 403


def test_data_events_are_kept_in_a_ring(client, platform, things, monkeypatch):
    """So many bytes an account and region and 90 days of the cloud clock; the oldest go, and reading goes page by page."""
    monkeypatch.setattr(trail_state, "TRAIL_DATA_SIZE_BYTES_MAX", 4_000)
    monkeypatch.setattr(trail_state, "TRAIL_DATA_LOOKED_AT_COUNT_MAX", 2)
    sqs = client("sqs")
    for number in range(40):
        sqs.send_message(QueueUrl=things["url"], MessageBody=str(number))
        platform.run(platform.cloud.trail.flush())

    def stored(tx):
        place = trail_state.Place(ME, "us-east-1").keys
        return [len(raw) for _, raw in tx.scan(place.span("data"))]

    sizes = platform.run(platform.cloud.db.transact(stored))
    assert 3_000 < sum(sizes) <= 4_000
    read = list(pages(platform, action="sqs:SendMessage", kind="data"))
    assert len(read) >= len(sizes) // 2
    ids = [e["requestID"] for page in read for e in page["events"]]
    assert len(ids) == len(sizes) == len(set(ids))
    goes_on = {"action": "sqs:SendMessage", "token": read[-1]["token"]}
    sqs.send_message(QueueUrl=things["url"], MessageBody="later")
    assert len(trail_of(platform, **goes_on)) == 1  # what came since, and nothing twice
    platform.loop.call_soon_threadsafe(platform.world.set_cloud_offset, 91 * 86_400.0)
    sqs.send_message(QueueUrl=things["url"], MessageBody="late")
    assert len(trail_of(platform, action="sqs:SendMessage")) == 1
    for _ in range(3):
        sqs.send_message(QueueUrl=things["url"], MessageBody="late")
        platform.run(platform.cloud.trail.flush())
    assert len(platform.run(platform.cloud.db.transact(stored))) <= 5


def test_what_comes_too_fast_is_counted_and_said(client, platform, things, monkeypatch, caplog):
    """The oldest go; where they are missing it says how many."""
    unhurried(platform, monkeypatch)
    monkeypatch.setattr(recorder, "TRAIL_HELD_COUNT_MAX", 4)
    monkeypatch.setattr(recorder, "TRAIL_DATA_LINE_COUNT_MAX", 2)
    sent = [
        client("sqs").send_message(QueueUrl=things["url"], MessageBody="x")["ResponseMetadata"]["RequestId"]
        for _ in range(9)
    ]  # fmt: skip
    read = list(pages(platform, kind="data", action="sqs:SendMessage"))
    found = [e["requestID"] for page in read for e in page["events"]]
    assert found == sent[-len(found) :]
    assert 0 < len(found) == 9 - sum(page["dropped"] for page in read)
    assert "data events were not recorded: they came too fast" in caplog.text
    assert sum(page["dropped"] for page in pages(platform, token=read[-1]["token"])) == 0


def test_while_the_log_cannot_be_written_the_newest_stay_held(
    client, platform, things, monkeypatch
):
    """Bounded, and what had to go is counted."""
    trail = platform.cloud.trail
    unhurried(platform, monkeypatch)

    async def fails(_):
        raise Unavailable("the disk is full")

    written = platform.cloud.db.transact
    monkeypatch.setattr(recorder, "TRAIL_HELD_COUNT_MAX", 4)
    for number in range(6):
        client("sqs").send_message(QueueUrl=things["url"], MessageBody=str(number))
        monkeypatch.setattr(platform.cloud.db, "transact", fails)
        platform.run(trail._flush_data())
        monkeypatch.setattr(platform.cloud.db, "transact", written)
    read = list(pages(platform, action="sqs:SendMessage", kind="data"))
    assert sum(len(page["events"]) for page in read) == 4
    assert sum(page["dropped"] for page in read) == 2


def test_many_at_once_are_cut_into_lines_and_batches_and_nothing_is_lost(
    client, platform, things, monkeypatch
):
    unhurried(platform, monkeypatch)
    monkeypatch.setattr(recorder, "TRAIL_DATA_LINE_COUNT_MAX", 3)
    monkeypatch.setattr(batches, "TRAIL_DATA_BATCH_COUNT_MAX", 7)
    sent = {
        client("sqs").send_message(QueueUrl=things["url"], MessageBody="x")["ResponseMetadata"]["RequestId"]
        for _ in range(20)
    }  # fmt: skip
    assert {e["requestID"] for e in trail_of(platform, action="sqs:SendMessage")} == sent


def test_a_batch_of_format_1_still_opens():
    """tests/golden/trail-1; made with ``packed`` on the day its layout was written down."""
    raw = Path(__file__).parents[1].joinpath("golden", "trail-1").read_bytes()
    dropped, rows = batches.rows(raw, 0x2A)
    found = [data_events.record(row, ME, "us-east-1") for row in rows]
    assert dropped == 3
    assert [(brief(e), e["eventID"], e["eventTime"]) for e in found] == [
        (("PutObject", "bucket/photos/1", "allowed"), "id-1", "2026-11-29T12:00:00Z"),
        (("PutObject", "bucket/photos/2", "allowed"), "id-2", "2026-11-29T12:00:01Z"),
        (("GetItem", "table/t", "allowed"), "2a-2", "2026-11-29T12:00:02Z"),
    ]
    assert found[2]["errorCode"] == "ResourceNotFoundException"
    assert found[2]["userIdentity"]["invokedBy"] == "dynamodb.amazonaws.com"
    with pytest.raises(ValueError, match="format"):
        batches.rows(b"\x02" + raw[1:], 0)


def test_every_data_event_has_a_way_to_its_resource():
    """A new one in ``events.DATA`` without names would be recorded as done to nothing."""
    without = {("cloudwatch", op) for op in trail_events.DATA["cloudwatch"]} | {
        ("logs", "GetLogRecord"), ("stepfunctions", "SendTaskHeartbeat"), ("logs", "StartLiveTail"),
    }  # fmt: skip
    members = {
        "TableName": "t", "RequestItems": {"t": {}}, "Statement": 'select * from "t"', "Bucket": "b", "Key": "k", "QueueUrl": "/000000000001/q",
        "QueueName": "q", "TopicArn": "arn:aws:sns:us-east-1:000000000001:t", "FunctionName": "f", "DeliveryStreamName": "d", "StreamName": "s",
        "StreamArn": "arn:aws:dynamodb:us-east-1:000000000001:table/t/stream/x", "ShardIterator": "arn:aws:dynamodb:us-east-1:000000000001:x|2", "logGroupName": "g",
        "Statements": [{"Statement": 'select * from "t"'}], "TransactStatements": [{"Statement": 'update "t" set a = 1'}],
        "TransactItems": [{"Put": {"TableName": "t"}}], "Entries": [{}], "activityArn": "arn:aws:states:us-east-1:000000000001:activity:a",
        "stateMachineArn": "arn:aws:states:us-east-1:000000000001:stateMachine:a",
    }  # fmt: skip
    for service, operations in trail_events.DATA.items():
        for operation in operations:
            take = data_events.named(service, operation)
            if take is None or (service, operation) in without:
                continue
            names = data_events.shown(take(members))
            row = data_events.Row(
                0,
                "e",
                "r",
                names,
                trail_events.identity(root(ME)),
                service,
                operation,
                "",
                "",
                "",
                "allowed",
            )
            assert data_events.record(row, ME, "us-east-1").get("resources"), (service, operation)


def test_a_page_goes_on_where_the_last_one_ended_and_old_events_are_gone(
    client, platform, monkeypatch
):
    """Newest first; 90 days of the cloud clock, and at most so many bytes, whatever is stored."""
    iam, trail = client("iam"), client("cloudtrail")
    for number in range(7):
        iam.create_user(UserName=f"u{number}")
    asked = {"LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "CreateUser"}], "MaxResults": 3}  # fmt: skip
    monkeypatch.setattr(trail_state, "TRAIL_LOOKED_AT_COUNT_MAX", 2)
    found, token = [], {}
    while True:
        page = trail.lookup_events(**asked, **token)
        found += [
            json.loads(e["CloudTrailEvent"])["requestParameters"]["userName"]
            for e in page["Events"]
        ]
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert found == [f"u{n}" for n in reversed(range(7))]
    with pytest.raises(ClientError, match="InvalidNextTokenException"):
        trail.lookup_events(NextToken=token["NextToken"])
    platform.loop.call_soon_threadsafe(platform.world.set_cloud_offset, 91 * 86_400.0)
    iam.create_user(UserName="late")
    assert [e["requestParameters"]["userName"] for e in events(trail, EventName="CreateUser")] == [
        "late"
    ]
    monkeypatch.setattr(trail_state, "TRAIL_SIZE_BYTES_MAX", 3000)
    for number in range(40):
        iam.get_user(UserName=f"u{number % 7}")
    trail.lookup_events()
    place = trail_state.Place(ME, "us-east-1").keys

    def stored(tx):
        return sum(len(raw) for _, raw in tx.scan(place.span("event")))

    for _ in range(4):  # each batch of new ones takes twice as many old ones with it
        iam.get_user(UserName="u1")
        trail.lookup_events()
    assert platform.run(platform.cloud.db.transact(stored)) < 8000


def test_no_secret_gets_into_the_trail(client, platform):
    """What AWS marks as sensitive is hidden; so are codes, tokens and passwords."""
    iam, trail = client("iam"), client("cloudtrail")
    iam.create_user(UserName="ann")
    iam.create_login_profile(UserName="ann", Password="Pa55-the-salt!")
    iam.create_access_key(UserName="ann")
    client("logs").create_log_group(logGroupName="g", tags={"password": "tagged-secret"})
    with pytest.raises(ClientError):
        client("lambda").create_function(
            FunctionName="f", Role=f"arn:aws:iam::{ME}:role/none", Code={"ZipFile": b"PK"}, Handler="a.b",
            Runtime="python3.12", Environment={"Variables": {"TOKEN": "do-not-tell"}},
        )  # fmt: skip
    text = json.dumps(events(trail))
    assert "HIDDEN_DUE_TO_SECURITY_REASONS" in text
    for secret in ("Pa55", "do-not-tell", "tagged-secret", "SecretAccessKey"):
        assert secret not in text


def test_the_trail_is_of_the_account_and_region_and_of_both_when_one_reaches_into_another(client):
    here, there = "111111111111", "222222222222"
    trust = {"Effect": "Allow", "Principal": {"AWS": here}, "Action": "sts:AssumeRole"}
    client("iam", account=there).create_role(RoleName="r", AssumeRolePolicyDocument=policy(trust))
    client("sts", account=here).assume_role(
        RoleArn=f"arn:aws:iam::{there}:role/r", RoleSessionName="s1"
    )
    both = [events(client("cloudtrail", account=a), EventName="AssumeRole") for a in (here, there)]
    assert [len(found) for found in both] == [1, 1]
    assert both[0][0]["sharedEventID"] == both[1][0]["sharedEventID"]
    assert [found[0]["recipientAccountId"] for found in both] == [here, there]
    assert events(client("cloudtrail", account=here), EventName="CreateRole") == []
    elsewhere = client("cloudtrail", account=there, region="eu-west-1")
    assert events(elsewhere, EventName="CreateRole") == []


def test_the_history_survives_a_restart(client, platform):
    client("iam").create_user(UserName="ann")
    platform.reopen()
    assert len(events(client("cloudtrail"), EventName="CreateUser")) == 1


def test_a_denied_request_is_explained_statement_by_statement_by_its_id(client, platform):
    """With the policies and condition keys it met; whoever may decode it may read it, another account may not."""
    iam = client("iam")
    s3 = client("s3")
    s3.create_bucket(Bucket="bbb")
    s3.put_bucket_policy(Bucket="bbb", Policy=policy(
        {"Sid": "Others", "Effect": "Allow", "Principal": {"AWS": "222222222222"}, "Action": "s3:*", "Resource": "arn:aws:s3:::bbb/*"},
    ))  # fmt: skip
    keys = keys_of(
        iam, "eve",
        {"Sid": "Write", "Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"},
        {"Sid": "Other", "Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::other/*"},
        {"Sid": "Home", "Effect": "Allow", "Action": "s3:Get*", "Resource": "*",
         "Condition": {"StringEquals": {"aws:username": "adam"}}},
    )  # fmt: skip
    with pytest.raises(ClientError) as refused:
        client("s3", **keys).get_object(Bucket="bbb", Key="k")
    (event,) = trail_of(platform, event_id=request_id(refused))
    found = why_denied._of_request(client, request_id(refused), [event])
    said = list(why_denied.lines(found))
    assert said[0] == (
        f"arn:aws:iam::{ME}:user/eve: s3:GetObject on arn:aws:s3:::bbb/k: denied because no identity-based policy allows"
        " the s3:GetObject action"
    )
    assert "    statement Write Allow: its action is s3:PutObject" in said
    assert "    statement Other Allow: its resource is arn:aws:s3:::other/*" in said
    assert (
        "    statement Home Allow: its condition StringEquals aws:username wants adam, the request has eve"
        in said
    )
    assert "    statement Others Allow: its principal is not the caller but 222222222222" in said
    assert any(line.startswith("    aws:sourceip = ") for line in said)
    message = event["additionalEventData"]["encodedAuthorizationMessage"]
    with pytest.raises(ClientError, match="InvalidAuthorizationMessageException"):
        client("sts", account="333333333333").decode_authorization_message(EncodedMessage=message)
    with pytest.raises(ClientError, match="InvalidAuthorizationMessageException"):
        client("sts").decode_authorization_message(EncodedMessage="bm90IG91cnM=")
    with pytest.raises(ClientError, match="sts:DecodeAuthorizationMessage"):
        client("sts", **keys).decode_authorization_message(EncodedMessage=message)


def test_what_would_be_decided_is_explained_with_boundary_and_resource_policy(client):
    iam = client("iam")
    keys_of(iam, "ann", {"Sid": "All", "Effect": "Allow", "Action": "*", "Resource": "*"})
    arn = f"arn:aws:iam::{ME}:user/ann"

    def said(action, resource):
        return list(why_denied.lines(why_denied._would_be(client, arn, action, resource, {})))

    assert "allowed by identity-based policy" in said("s3:GetObject", "arn:aws:s3:::bbb/k")[0]
    iam.put_user_permissions_boundary(
        UserName="ann", PermissionsBoundary="arn:aws:iam::aws:policy/AWSLambda_FullAccess"
    )
    lines = said("s3:GetObject", "arn:aws:s3:::bbb/k")
    assert "denied because no permissions boundary allows" in lines[0]
    assert "  arn:aws:iam::aws:policy/AWSLambda_FullAccess (boundary)" in lines
    client("s3").create_bucket(Bucket="bbb")
    client("s3").put_bucket_policy(Bucket="bbb", Policy=policy(
        {"Sid": "No", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::bbb/*"},
    ))  # fmt: skip
    lines = said("s3:GetObject", "arn:aws:s3:::bbb/k")
    assert "with an explicit deny in a resource-based policy" in lines[0]
    assert "    statement No Deny: covers this" in lines
