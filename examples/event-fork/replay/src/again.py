"""Hands notifications published in a time range to another queue; the rest stays where it is, for another time."""

import json
import os

import boto3

sqs = boto3.client("sqs")


def handler(event, context):
    stay, entries = [], []
    for record in event["Records"]:
        if is_wanted(json.loads(record["body"])["Timestamp"]):
            entries.append({"Id": record["messageId"], "MessageBody": record["body"]})
        else:
            stay.append(record["messageId"])
    if entries:
        answer = sqs.send_message_batch(QueueUrl=os.environ["DESTINATION"], Entries=entries)
        stay += [one["Id"] for one in answer.get("Failed", [])]
    return {"batchItemFailures": [{"itemIdentifier": one} for one in stay]}


def is_wanted(published):
    """Times in this one form are in the order of their text."""
    start, stop = os.environ["FROM"], os.environ["TO"]
    return (not start or published >= start) and (not stop or published < stop)
