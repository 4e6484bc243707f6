"""Records of sources as the events a pipe carries, and what its filters and templates see of them.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-event-source.html: a queue's messages and a stream's records as Lambda
gets them, a Kinesis record's own members beside the others.
"""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

import orjson


class Item(NamedTuple):
    id: str
    """Message id, or sequence number."""
    event: dict[str, Any]
    arrived_s: float
    size_bytes: int
    key: str = ""
    """Records of one key stay in order."""
    handle: str = ""
    """A message's receipt handle."""

    @property
    def identifier(self) -> str:
        """What a target calls it that says it failed: a message's id, a record's eventID."""
        return str(self.event.get("messageId") or self.event["eventID"])


def message(received: dict[str, Any], arn: str) -> Item:
    event = {
        "messageId": received["MessageId"],
        "receiptHandle": received["ReceiptHandle"],
        "body": received["Body"],
        "attributes": received.get("Attributes") or {},
        "messageAttributes": {name: _attribute(value) for name, value in (received.get("MessageAttributes") or {}).items()},
        "md5OfBody": received["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": arn.split(":")[3],
    }  # fmt: skip
    sent_s = int(event["attributes"].get("SentTimestamp", 0)) / 1000
    size = len(event["body"].encode())
    return Item(received["MessageId"], event, sent_s, size, handle=received["ReceiptHandle"])


def _attribute(value: dict[str, Any]) -> dict[str, Any]:
    made = {"dataType": value["DataType"], "stringListValues": [], "binaryListValues": []}
    if "StringValue" in value:
        made["stringValue"] = value["StringValue"]
    if "BinaryValue" in value:
        made["binaryValue"] = base64.b64encode(value["BinaryValue"]).decode()
    return made


def kinesis(record: dict[str, Any], arn: str, shard: str, role: str) -> Item:
    number = record["SequenceNumber"]
    event = {
        "kinesisSchemaVersion": "1.0",
        "partitionKey": record["PartitionKey"],
        "sequenceNumber": number,
        "data": base64.b64encode(record["Data"]).decode(),
        "approximateArrivalTimestamp": record["ApproximateArrivalTimestamp"],
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard}:{number}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": role,
        "awsRegion": arn.split(":")[3],
        "eventSourceARN": arn,
    }
    arrived_s = record["ApproximateArrivalTimestamp"]
    return Item(number, event, arrived_s, len(event["data"]), record["PartitionKey"])


def dynamodb(record: dict[str, Any], arn: str) -> Item:
    """Plain JSON, whatever stands in the record ready to be written."""
    text = orjson.dumps({**record, "eventSourceARN": arn})
    event = orjson.loads(text)
    change = event["dynamodb"]
    created_s = change["ApproximateCreationDateTime"]
    change["ApproximateCreationDateTime"] = int(created_s)
    key = orjson.dumps(change["Keys"], option=orjson.OPT_SORT_KEYS).decode()
    return Item(change["SequenceNumber"], event, created_s, len(text), key)


def opened(event: dict[str, Any]) -> dict[str, Any]:
    """With a body or data that is JSON read as such: what paths and patterns lead into. Data that is none stays base64.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-input-transformation.html#input-transform-implicit
    """
    if isinstance(body := event.get("body"), str):
        return event | {"body": _parsed(body, body)}
    if isinstance(data := event.get("data"), str):
        try:
            return event | {"data": _parsed(base64.b64decode(data, validate=True).decode(), data)}
        except ValueError:  # no base64, as an enrichment may make it, or no text
            return event
    return event


def _parsed(text: str, otherwise: str) -> Any:
    """JSON's objects and arrays as such, other JSON as its text."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return otherwise
    return found if isinstance(found, dict | list) else text
