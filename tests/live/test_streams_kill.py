"""SQS -> function -> Kinesis -> function -> Kinesis -> Firehose -> S3 with SIGKILLs and failing functions on the way.

Every record that was acknowledged arrives. Order holds for each key. What arrives twice came through a function, which
AWS allows; Firehose's own way from the second stream to the objects adds nothing and loses nothing.
STRATOLITE_KILLS and STRATOLITE_EVENTS set how often and how many (`make soak`: 20 and 5,000).
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter, defaultdict

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from live.server_process import ServerProcess
from live.test_kill import zipped

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]
SOAK = os.environ.get("STRATOLITE_SOAK")
KILLS = int(os.environ.get("STRATOLITE_KILLS") or ("20" if SOAK else "2"))
EVENTS = int(os.environ.get("STRATOLITE_EVENTS") or ("5000" if SOAK else "160"))
KEYS = 8
ACCOUNT = "000000000000"
TRUST = json.dumps({
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
                   "Principal": {"Service": ["lambda.amazonaws.com", "firehose.amazonaws.com"]}}],
})  # fmt: skip
EVERYTHING = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
)
CODE = """
import base64, boto3, json, random
kinesis = boto3.client("kinesis")

def put(stream, datas):
    for data in datas:  # one by one: a shard of a batch must not go without the one before it
        kinesis.put_record(StreamName=stream, PartitionKey=json.loads(data)["key"], Data=data + b"\\n")

def from_queue(event, context):
    if random.random() < 0.05:
        raise ValueError("by chance, before")
    put("one", [record["body"].encode() for record in event["Records"]])

def from_stream(event, context):
    if random.random() < 0.05:
        raise ValueError("by chance, before")
    put("two", [base64.b64decode(record["kinesis"]["data"]).strip() for record in event["Records"]])
    if random.random() < 0.05:
        raise ValueError("by chance, after")
"""


def made(server):
    iam, sqs, kinesis, s3, function, firehose = (
        server.client(s) for s in ("iam", "sqs", "kinesis", "s3", "lambda", "firehose")
    )
    role = iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    iam.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=EVERYTHING)
    sqs.create_queue(
        QueueName="q.fifo", Attributes={"FifoQueue": "true", "VisibilityTimeout": "12"}
    )
    for name in ("one", "two"):
        kinesis.create_stream(StreamName=name, ShardCount=2)
    s3.create_bucket(Bucket="out")
    for name in ("from_queue", "from_stream"):
        function.create_function(
            FunctionName=name, Runtime="python3.12", Role=role, Handler=f"index.{name}", Timeout=12, MemorySize=256,
            Code={"ZipFile": zipped(CODE)},
        )  # fmt: skip
    streams = {n: f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/{n}" for n in ("one", "two")}
    function.create_event_source_mapping(
        FunctionName="from_queue", EventSourceArn=f"arn:aws:sqs:us-east-1:{ACCOUNT}:q.fifo"
    )
    function.create_event_source_mapping(
        FunctionName="from_stream",
        EventSourceArn=streams["one"],
        StartingPosition="TRIM_HORIZON",
        BatchSize=20,
    )
    firehose.create_delivery_stream(
        DeliveryStreamName="d", DeliveryStreamType="KinesisStreamAsSource",
        KinesisStreamSourceConfiguration={"KinesisStreamARN": streams["two"], "RoleARN": role},
        ExtendedS3DestinationConfiguration={
            "RoleARN": role, "BucketARN": "arn:aws:s3:::out",
            "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 1},
        },
    )  # fmt: skip


def lines(server):
    """What is in the objects, in the order of their keys."""
    s3, found = server.client("s3"), []
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket="out"):
        for one in page.get("Contents", []):
            body = s3.get_object(Bucket="out", Key=one["Key"])["Body"].read()
            found += [json.loads(line) for line in body.splitlines()]
    return found


def in_stream(server, name):
    kinesis, found = server.client("kinesis", retries={"total_max_attempts": 8}), []
    for shard in kinesis.list_shards(StreamName=name)["Shards"]:
        at = kinesis.get_shard_iterator(
            StreamName=name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while True:
            page = kinesis.get_records(ShardIterator=at)
            found += [json.loads(record["Data"]) for record in page["Records"]]
            at = page["NextShardIterator"]
            if not page["MillisBehindLatest"]:
                break
    return found


def test_every_event_arrives_and_each_key_stays_in_order(tmp_path):
    chance = random.Random(5)
    server = ServerProcess(str(tmp_path / "data"))
    try:
        made(server)
        sent, refused = defaultdict(list), 0
        kill_at = set(chance.sample(range(EVENTS // 10, EVENTS), KILLS))
        queue = server.client("sqs")
        for number in range(EVENTS):
            key = f"k{chance.randrange(KEYS)}"
            body = json.dumps({"key": key, "n": number})
            if number in kill_at:
                server.kill()
                server.start()
            try:
                queue.send_message(
                    QueueUrl=f"{server.endpoint}/{ACCOUNT}/q.fifo", MessageBody=body, MessageGroupId=key,
                    MessageDeduplicationId=str(number),
                )  # fmt: skip
                sent[key].append(number)
            except (BotoCoreError, ClientError):
                refused += 1
                queue = server.client("sqs")
        assert refused <= 2 * KILLS
        wanted = {n for numbers in sent.values() for n in numbers}
        end = time.monotonic() + 300
        arrived = []
        while time.monotonic() < end:
            arrived = lines(server)
            if wanted <= {one["n"] for one in arrived}:
                break
            time.sleep(0.5)
        assert wanted <= {one["n"] for one in arrived}, sorted(
            wanted - {one["n"] for one in arrived}
        )[:20]
        two = _settled(server)
        assert Counter(one["n"] for one in lines(server)) == Counter(one["n"] for one in two)
        for stream in ("one", "two"):
            seen = defaultdict(list)
            for one in in_stream(server, stream):
                if one["n"] not in seen[one["key"]]:
                    seen[one["key"]].append(one["n"])
            for key, numbers in seen.items():
                assert numbers == sorted(numbers), (stream, key)
        assert server.stop() == 0
    finally:
        if server.process.poll() is None:
            server.kill()


def _settled(server):
    """The second stream, once Firehose has delivered all of it."""
    for _ in range(400):
        two = in_stream(server, "two")
        if len(lines(server)) == len(two) and len(in_stream(server, "two")) == len(two):
            return two
        time.sleep(0.5)
    raise AssertionError(f"{len(two)} records in the stream, {len(lines(server))} in objects")
