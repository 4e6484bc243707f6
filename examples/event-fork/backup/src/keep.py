"""A batch of notifications to one object, a line each. Its name comes from what is in it: a batch that comes again writes the same."""

import gzip
import hashlib
import json
import os
from collections import defaultdict

import boto3

s3 = boto3.client("s3")


def handler(event, context):
    days = defaultdict(list)
    for record in event["Records"]:
        note = json.loads(record["body"])
        days[note["Timestamp"][:10]].append(note)
    for day, notes in days.items():
        ids = " ".join(sorted(note["MessageId"] for note in notes))
        name = hashlib.sha256(ids.encode()).hexdigest()[:32]
        lines = (
            {
                "published": note["Timestamp"],
                "id": note["MessageId"],
                "event": json.loads(note["Message"]),
            }
            for note in notes
        )
        s3.put_object(
            Bucket=os.environ["BUCKET"],
            Key=f"events/{day}/{name}.jsonl.gz",
            Body=gzip.compress(
                "".join(json.dumps(line) + "\n" for line in lines).encode(), mtime=0
            ),
        )
