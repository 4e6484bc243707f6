"""S3 -> SNS -> SQS -> function -> Kinesis -> Firehose -> S3 with SIGKILLs and failing functions: nothing is lost on the way.

Small objects are written again and again under few keys; each write that was acknowledged is an event, known by the ETag of
its body. What the claims are:

* every event arrives in the objects at the other end, or is in the dead-letter queue; once the function is healed and
  the dead letters are moved back, every event arrives;
* the dead letters are the events the function can do nothing with, and such as were received as often as the redrive
  policy says;
* the sequencers of a key's events are in the order of its writes;
* what arrives twice came twice out of S3 (a notification repeats after a kill), or out of the queue (a function that failed
  or died), where AWS allows it. SNS hands each message to the queue once. The delivery stream adds nothing, loses nothing and keeps
  the order of each partition key.

STRATOLITE_EVENTS and STRATOLITE_KILLS set how many; ``make soak``: 50,000 and 100. The figures are printed (``-s``).
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import threading
import time
from collections import Counter, defaultdict
from contextlib import closing
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from live.server_process import ServerProcess
from live.test_kill import zipped

from stratolite.cli import target

SOAK = os.environ.get("STRATOLITE_SOAK")
KILLS = int(os.environ.get("STRATOLITE_KILLS") or ("100" if SOAK else "3"))
EVENTS = int(os.environ.get("STRATOLITE_EVENTS") or ("50000" if SOAK else "400"))
PATIENCE_S = 120 + EVENTS / 100
"""Without anything new arriving in that time, it is lost."""
pytestmark = [pytest.mark.live, pytest.mark.timeout(600 + EVENTS)]
WRITERS, KEYS_EACH = 4, 8
ACCOUNT, REGION = "000000000000", "us-east-1"
VISIBILITY_S, RECEIVES_MAX = 30, 3
PEEK_S = 43_200
TRUST = json.dumps({
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
                   "Principal": {"Service": ["lambda.amazonaws.com", "firehose.amazonaws.com"]}}],
})  # fmt: skip
CODE = """
import boto3, json, os, random
kinesis = boto3.client("kinesis")
POISON = os.environ["POISON"].split()

def handler(event, context):
    chance = random.SystemRandom()
    if chance.random() < 0.03:
        raise ValueError("by chance, before")
    failed, records = [], []
    for message in event["Records"]:
        note = json.loads(message["body"])
        for one in json.loads(note["Message"]).get("Records", ()):  # S3 sends a test event first
            s3 = one["s3"]["object"]
            if s3["eTag"][:2] in POISON:
                failed.append({"itemIdentifier": message["messageId"]})
                continue
            said = {"key": s3["key"], "etag": s3["eTag"], "sequencer": s3["sequencer"], "note": note["MessageId"],
                    "message": message["messageId"], "id": "%016x" % chance.getrandbits(64)}
            records.append({"PartitionKey": said["key"], "Data": json.dumps(said).encode() + b"\\n"})
    while records:
        answer = kinesis.put_records(StreamName="events", Records=records)
        first = next((n for n, one in enumerate(answer["Records"]) if "ErrorCode" in one), None)
        records = [] if first is None else [r for r, one in zip(records, answer["Records"]) if "ErrorCode" in one]
    if chance.random() < 0.03:
        raise ValueError("by chance, after")
    return {"batchItemFailures": failed}
"""
POISON = [f"{n:02x}" for n in range(10)]
"""4 % of all ETags begin so."""


def allow(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **one} for one in statements]})  # fmt: skip


def arn(service, name):
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{name}"


def made(server):
    """The whole way; every role and policy says no more than its hop needs."""
    iam, sqs, sns, s3, kinesis, function, firehose = (
        server.client(s) for s in ("iam", "sqs", "sns", "s3", "kinesis", "lambda", "firehose")
    )
    kinesis.create_stream(StreamName="events", ShardCount=4)
    kinesis.increase_stream_retention_period(StreamName="events", RetentionPeriodHours=168)
    s3.create_bucket(Bucket="source")
    s3.create_bucket(Bucket="out")
    kept = {"MessageRetentionPeriod": "1209600"}
    sqs.create_queue(QueueName="dead", Attributes=kept)
    from_topic = {
        "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn("sqs", "q"),
        "Condition": {"ArnEquals": {"aws:SourceArn": arn("sns", "t")}},
    }  # fmt: skip
    redrive = {"deadLetterTargetArn": arn("sqs", "dead"), "maxReceiveCount": RECEIVES_MAX}
    sqs.create_queue(QueueName="q", Attributes={
        "VisibilityTimeout": str(VISIBILITY_S), "RedrivePolicy": json.dumps(redrive), "Policy": allow(from_topic), **kept,
    })  # fmt: skip
    from_bucket = {
        "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sns:Publish", "Resource": arn("sns", "t"),
        "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::source"}},
    }  # fmt: skip
    sns.create_topic(Name="t", Attributes={"Policy": allow(from_bucket)})
    sns.subscribe(TopicArn=arn("sns", "t"), Protocol="sqs", Endpoint=arn("sqs", "q"))
    role = iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    stream = arn("kinesis", "stream/events")
    needed = allow(
        {"Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], "Resource": arn("sqs", "q")},
        {"Action": ["kinesis:PutRecords", "kinesis:DescribeStream", "kinesis:GetShardIterator", "kinesis:GetRecords",
                    "kinesis:ListShards"], "Resource": stream},
        {"Action": ["s3:PutObject", "s3:AbortMultipartUpload", "s3:GetBucketLocation", "s3:ListBucket"],
         "Resource": ["arn:aws:s3:::out", "arn:aws:s3:::out/*"]},
    )  # fmt: skip
    iam.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=needed)
    function.create_function(
        FunctionName="carry", Runtime="python3.12", Role=role, Handler="index.handler", Timeout=VISIBILITY_S,
        MemorySize=256, Code={"ZipFile": zipped(CODE)}, Environment={"Variables": {"POISON": " ".join(POISON)}},
    )  # fmt: skip
    function.create_event_source_mapping(
        FunctionName="carry", EventSourceArn=arn("sqs", "q"), BatchSize=50 if SOAK else 10,
        MaximumBatchingWindowInSeconds=1 if SOAK else 0, FunctionResponseTypes=["ReportBatchItemFailures"],
        ScalingConfig={"MaximumConcurrency": 3},
    )  # fmt: skip
    firehose.create_delivery_stream(
        DeliveryStreamName="d", DeliveryStreamType="KinesisStreamAsSource",
        KinesisStreamSourceConfiguration={"KinesisStreamARN": stream, "RoleARN": role},
        ExtendedS3DestinationConfiguration={
            "RoleARN": role, "BucketARN": "arn:aws:s3:::out",
            "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 10 if SOAK else 1},
        },
    )  # fmt: skip
    s3.put_bucket_notification_configuration(
        Bucket="source",
        NotificationConfiguration={"TopicConfigurations": [{"TopicArn": arn("sns", "t"), "Events": ["s3:ObjectCreated:*"]}]},
    )  # fmt: skip


class Writer(threading.Thread):
    """Writes its keys in turn, each body until it is acknowledged."""

    def __init__(self, server, lane):
        super().__init__()
        s3 = server.client("s3")
        self.keys = [f"lane{lane}/key{n}" for n in range(KEYS_EACH)]
        ask = {key: {"Bucket": "source", "Key": key} for key in self.keys}
        urls = {
            key: s3.generate_presigned_url("put_object", ask[key], ExpiresIn=604_800)
            for key in self.keys
        }
        self.urls = {key: url.removeprefix(server.endpoint) for key, url in urls.items()}
        self.place = urlsplit(server.endpoint).netloc
        self.writes = defaultdict(list)
        """Key -> ETags in the order of its writes."""
        self.count, self.repeated = 0, 0
        self.failure = None

    def run(self):
        try:
            self._run()
        except BaseException as error:
            self.failure = error

    def _run(self):
        with closing(http.client.HTTPConnection(self.place, timeout=60)) as connection:
            self._write(connection)

    def _write(self, connection):
        for number in range(EVENTS // WRITERS):
            key = self.keys[number % KEYS_EACH]
            body = f"{key} {number}".encode()
            etag = hashlib.md5(body).hexdigest()
            while True:
                try:
                    connection.request("PUT", self.urls[key], body)
                    answer = connection.getresponse()
                    said = answer.read()
                    assert answer.status == 200, (answer.status, said)
                    break
                except (OSError, http.client.HTTPException):
                    self.repeated += 1
                    connection.close()
                    time.sleep(0.1)  # the server is gone, it comes back
            assert answer.headers["etag"] == f'"{etag}"'
            self.writes[key].append(etag)
            self.count = number + 1


class Arrivals:
    """What is in the objects at the other end; an object is read once."""

    def __init__(self, server):
        self.server = server
        self.objects = {}
        """Object -> its records in order."""
        self.etags = set()

    def look(self):
        s3 = self.server.client("s3")
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket="out"):
            for one in page.get("Contents", []):
                if one["Key"] not in self.objects:
                    body = s3.get_object(Bucket="out", Key=one["Key"])["Body"].read()
                    rows = [json.loads(line) for line in body.splitlines()]
                    self.objects[one["Key"]] = rows
                    self.etags.update(row["etag"] for row in rows)
        return len(self.etags)

    def count(self):
        return sum(map(len, self.objects.values()))


def told_by(body):
    """(id of the notification, its ETag)."""
    note = json.loads(body)
    (record,) = json.loads(note["Message"])["Records"]
    return note["MessageId"], record["s3"]["object"]["eTag"]


class DeadLetters:
    """Received and kept out of sight, so that each is seen once, until ``back``."""

    def __init__(self, server):
        self.sqs = server.client("sqs")
        self.url = f"{server.endpoint}/{ACCOUNT}/dead"
        self.hidden = []
        """Receipt handles."""
        self.found = {}
        """Message id -> (id of the notification, ETag, receive count)."""

    def look(self):
        while got := self.sqs.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=10, VisibilityTimeout=PEEK_S,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        ).get("Messages"):  # fmt: skip
            for one in got:
                count = int(one["Attributes"]["ApproximateReceiveCount"])
                self.found[one["MessageId"]] = *told_by(one["Body"]), count
                self.hidden.append(one["ReceiptHandle"])
        return {etag for _, etag, _ in self.found.values()}

    def back(self):
        """Seen by all again."""
        for handle in self.hidden:
            self.sqs.change_message_visibility(QueueUrl=self.url, ReceiptHandle=handle, VisibilityTimeout=0)  # fmt: skip
        self.hidden.clear()

    def move(self):
        """To the queue they came from, under new message ids, unless they are on their way already."""
        self.look()
        self.back()
        if not any(task["Status"] == "RUNNING" for task in self.tasks()):
            self.sqs.start_message_move_task(SourceArn=arn("sqs", "dead"))

    def tasks(self):
        return self.sqs.list_message_move_tasks(SourceArn=arn("sqs", "dead"), MaxResults=10)["Results"]  # fmt: skip


def until(server, progress, done, when_still=lambda: None):
    """Wait for ``done``. While nothing moves the cloud clock does: what is in flight or waits for its turn comes back."""
    last, since, still = None, time.monotonic(), 0
    while not done():
        now = progress()
        if now != last:
            last, since, still = now, time.monotonic(), 0
        else:
            still += 1
            assert time.monotonic() - since < PATIENCE_S, f"nothing new for {PATIENCE_S} s: {now}"
            if still % 4 == 0:
                when_still()
                target.own(
                    "POST",
                    "clock",
                    server.endpoint,
                    REGION,
                    {"advance_s": VISIBILITY_S + 1},
                    ("test", "test"),
                )
        time.sleep(0.25)


def in_stream(server):
    """Shard by shard, all records; a key's are in one shard, in order."""
    kinesis, found = server.client("kinesis", retries={"total_max_attempts": 10}), []
    for shard in kinesis.list_shards(StreamName="events")["Shards"]:
        at = kinesis.get_shard_iterator(
            StreamName="events", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while True:
            page = kinesis.get_records(ShardIterator=at)
            found += [json.loads(record["Data"]) for record in page["Records"]]
            at = page["NextShardIterator"]
            if not page["MillisBehindLatest"]:
                break
    return found


def kill(server):
    server.kill()
    server.start()


def test_every_event_arrives_though_everything_fails(tmp_path):
    chance = random.Random(11)
    server = ServerProcess(str(tmp_path / "data"))
    began = time.monotonic()
    try:
        made(server)
        writers = [Writer(server, lane) for lane in range(WRITERS)]
        for writer in writers:
            writer.start()
        while_written = KILLS - KILLS // 3
        for at in sorted(chance.sample(range(EVENTS // 20, EVENTS * 19 // 20), while_written)):
            while sum(writer.count for writer in writers) < at and any(
                w.is_alive() for w in writers
            ):
                time.sleep(0.01)
            kill(server)
        for writer in writers:
            writer.join(PATIENCE_S)
        assert [w.failure for w in writers if w.failure] == []
        assert not any(w.is_alive() for w in writers)
        written_s = time.monotonic() - began
        writes = {key: etags for writer in writers for key, etags in writer.writes.items()}
        wanted = {etag for etags in writes.values() for etag in etags}
        assert len(wanted) == EVENTS // WRITERS * WRITERS
        poison = {etag for etag in wanted if etag[:2] in POISON}

        arrivals, dead = Arrivals(server), DeadLetters(server)
        left = len(wanted) - len(poison) - arrivals.look()
        for at in sorted(chance.uniform(0, 0.95) * left for _ in range(KILLS // 3)):
            end = time.monotonic() + 5  # those that died by chance will not arrive yet
            while (
                len(wanted) - len(poison) - arrivals.look() > left - at and time.monotonic() < end
            ):
                time.sleep(0.05)
            kill(server)
        until(
            server, lambda: (arrivals.look(), len(dead.look())), lambda: wanted <= arrivals.etags | dead.look()
        )  # fmt: skip
        arrived_s = time.monotonic() - began
        assert arrivals.etags <= wanted
        assert not arrivals.etags & poison
        letters = dict(dead.found)
        assert poison <= {etag for _, etag, _ in letters.values()} <= wanted
        assert all(count > RECEIVES_MAX for _, _, count in letters.values()), letters

        server.client("lambda").update_function_configuration(
            FunctionName="carry", Environment={"Variables": {"POISON": ""}}
        )
        dead.move()
        until(server, arrivals.look, lambda: wanted <= arrivals.etags, dead.move)
        until(
            server,
            lambda: (arrivals.look(), arrivals.count()),
            lambda: arrivals.count() >= len(in_stream(server)),
        )
        stream = in_stream(server)
        whole_s = time.monotonic() - began
        figures(writers, letters, poison, arrivals, stream, written_s, arrived_s, whole_s)
        claims(writes, arrivals, stream, {note for note, *_ in dead.found.values()})
        moved = sum(task["ApproximateNumberOfMessagesMoved"] for task in dead.tasks())
        assert moved >= len(letters)
        assert server.stop() == 0
    finally:
        if server.process.poll() is None:
            server.kill()


def claims(writes, arrivals, stream, moved):
    """Of order and of what came twice."""
    by_key, notes = defaultdict(dict), defaultdict(set)
    for one in stream:
        by_key[one["key"]][one["sequencer"]] = one["etag"]
        notes[one["note"]].add(one["message"])
    for key, etags in writes.items():
        told = [etag for _, etag in sorted(by_key[key].items(), key=lambda pair: int(pair[0], 16))]
        assert list(dict.fromkeys(told)) == etags, key
    twice = {note for note, messages in notes.items() if len(messages) > 1}
    assert twice <= moved, "SNS handed one on twice"
    assert Counter(r["id"] for rows in arrivals.objects.values() for r in rows) == Counter(
        one["id"] for one in stream
    ), "the delivery stream lost or repeated one"
    places, counts = {}, Counter()
    for one in stream:
        places[one["id"]] = counts[one["key"]]
        counts[one["key"]] += 1
    for name, rows in arrivals.objects.items():
        of_key = defaultdict(list)
        for row in rows:
            of_key[row["key"]].append(places[row["id"]])
        for key, at in of_key.items():
            assert at == list(range(at[0], at[0] + len(at))), (name, key)


def figures(writers, letters, poison, arrivals, stream, written_s, arrived_s, whole_s):
    sequencers = {(one["key"], one["sequencer"]) for one in stream}
    notes = {one["note"] for one in stream}
    print(json.dumps({
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "events": len(arrivals.etags),
        "kills": KILLS,
        "attempts to write without an answer": sum(writer.repeated for writer in writers),
        "writes done twice, the first without an answer": len(sequencers) - len(arrivals.etags),
        "notifications repeated by S3": len(notes) - len(sequencers),
        "records repeated by the function": len(stream) - len(notes),
        "records": len(stream),
        "objects": len(arrivals.objects),
        "dead letters": len(letters),
        "of them poison": sum(etag in poison for _, etag, _ in letters.values()),
        "written after s": round(written_s),
        "arrived or dead after s": round(arrived_s),
        "all after s": round(whole_s),
    }, indent=1))  # fmt: skip
