"""kill -9 during object writes and multipart completions with events: nothing acknowledged is lost or torn, every event comes.

STRATOLITE_KILLS sets how often (`make soak` uses 200).
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import threading
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from live.server_process import ServerProcess

from stratolite import server as servers

pytestmark = [pytest.mark.live, pytest.mark.timeout(3000)]
KILLS = int(
    os.environ.get("STRATOLITE_KILLS") or ("200" if os.environ.get("STRATOLITE_SOAK") else "4")
)
PART = 5 << 20


class Writer(threading.Thread):
    """Puts and completes until the server is gone; ``done`` is what it said yes to: key -> digest."""

    def __init__(self, server: ServerProcess, run: int, lane: int) -> None:
        super().__init__()
        self.s3, self.run_number, self.lane = server.client("s3"), run, lane
        self.random = random.Random(run * 100 + lane)
        self.done: dict[str, str] = {}

    def run(self) -> None:
        number = 0
        while True:
            number += 1
            key = f"{self.run_number:04d}/{self.lane}/{number}"
            try:
                if self.lane == 0:
                    body = self.parts(key)
                else:
                    size = self.random.choice((10, 5000, 100_000, 400_000))
                    body = self.random.randbytes(size)
                    self.s3.put_object(Bucket="box", Key=key, Body=body)
            except (ClientError, BotoCoreError):
                return
            self.done[key] = hashlib.md5(body).hexdigest()

    def parts(self, key: str) -> bytes:
        bodies = [self.random.randbytes(PART), self.random.randbytes(1000)]
        upload = self.s3.create_multipart_upload(Bucket="box", Key=key)["UploadId"]
        parts = []
        for number, body in enumerate(bodies, 1):
            about = {"Bucket": "box", "Key": key, "UploadId": upload, "PartNumber": number}
            parts.append(
                {"PartNumber": number, "ETag": self.s3.upload_part(Body=body, **about)["ETag"]}
            )
        self.s3.complete_multipart_upload(
            Bucket="box", Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
        )
        return b"".join(bodies)


def after(writers: list[Writer], chance: random.Random) -> None:
    """Wait for some acknowledgements of this run, however slow the machine is, and then for any moment of the next."""
    enough, end = chance.randrange(2, 12), time.monotonic() + 60
    while sum(len(writer.done) for writer in writers) < enough and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(chance.uniform(0, 0.2))


def test_no_object_and_no_event_is_lost(tmp_path):
    import asyncio

    folder = str(tmp_path / "data")
    server = ServerProcess(folder)
    sqs, s3 = server.client("sqs"), server.client("s3")
    queue = sqs.create_queue(QueueName="told")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    allow = {
        "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn,
        "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::box"}},
    }  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    s3.create_bucket(Bucket="box")
    rule = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}
    s3.put_bucket_notification_configuration(
        Bucket="box", NotificationConfiguration={"QueueConfigurations": [rule]}
    )
    acknowledged: dict[str, str] = {}
    for run in range(KILLS):
        writers = [Writer(server, run, lane) for lane in range(3)]
        for writer in writers:
            writer.start()
        after(writers, random.Random(run))
        server.kill()
        for writer in writers:
            writer.join()
            acknowledged |= writer.done
        server.start()
    s3, sqs = server.client("s3"), server.client("sqs")
    for key, digest in acknowledged.items():
        body = s3.get_object(Bucket="box", Key=key)["Body"].read()
        assert hashlib.md5(body).hexdigest() == digest, key
    there = {
        found["Key"]: found["ETag"]
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket="box")
        for found in page.get("Contents", ())
    }
    assert acknowledged.keys() <= there.keys()
    told: set[str] = set()
    silence_s, heard_s = 240, time.monotonic()
    while told != there.keys() and time.monotonic() < heard_s + silence_s:
        got = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        for message in got.get("Messages", ()):
            for record in json.loads(message["Body"]).get("Records", ()):
                told.add(record["s3"]["object"]["key"])
                heard_s = time.monotonic()
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    assert told == there.keys()  # one for every object there is, none for what never was
    assert server.stop() == 0
    done = asyncio.run(servers.doctor(folder))
    assert done.damaged == []
    print(
        f"{KILLS} kills, {len(acknowledged)} acknowledged of {len(there)} objects, {len(told)} told"
    )
