"""The events that sources hand to functions, and what filters see of them; pure.

Shapes as in https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html, with-kinesis.html, with-ddb.html; what filters
look at: https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from stratolite.patterns import Pattern

Event = dict[str, Any]


class Item(NamedTuple):
    """One record of a source on its way to a function."""

    id: str
    """What the function names it by when it reports it as failed: message id or sequence number."""
    key: str
    """Items of one key stay in order."""
    arrived_s: float
    event: Event
    """As the function gets it."""
    size_bytes: int
    handle: str = ""
    """A message's receipt handle."""


def message(received: dict[str, Any], arn: str) -> Item:
    """Of an SQS message."""
    attributes = received.get("Attributes") or {}
    body = received["Body"]
    event: Event = {
        "messageId": received["MessageId"],
        "receiptHandle": received["ReceiptHandle"],
        "body": body,
        "attributes": attributes,
        "messageAttributes": {
            name: _attribute(value)
            for name, value in (received.get("MessageAttributes") or {}).items()
        },
        "md5OfBody": received["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": arn.split(":")[3],
    }
    if digest := received.get("MD5OfMessageAttributes"):
        event["md5OfMessageAttributes"] = digest
    sent_s = int(attributes.get("SentTimestamp", 0)) / 1000
    size = len(body) + len(received["ReceiptHandle"]) + 600
    key = attributes.get("MessageGroupId", "")
    return Item(received["MessageId"], key, sent_s, event, size, received["ReceiptHandle"])


def _attribute(value: dict[str, Any]) -> Event:
    made: Event = {"stringListValues": [], "binaryListValues": [], "dataType": value["DataType"]}
    if "StringValue" in value:
        made["stringValue"] = value["StringValue"]
    if "BinaryValue" in value:
        made["binaryValue"] = base64.b64encode(value["BinaryValue"]).decode()
    return made


def kinesis(record: dict[str, Any], arn: str, shard: str, role: str) -> Item:
    number, data = record["SequenceNumber"], record["Data"]
    event: Event = {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record["PartitionKey"],
            "sequenceNumber": number,
            "data": base64.b64encode(data).decode(),
            "approximateArrivalTimestamp": record["ApproximateArrivalTimestamp"],
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard}:{number}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": role,
        "awsRegion": arn.split(":")[3],
        "eventSourceARN": arn,
    }
    arrived_s = record["ApproximateArrivalTimestamp"]
    size = len(data) * 4 // 3 + len(record["PartitionKey"]) + 600
    return Item(number, record["PartitionKey"], arrived_s, event, size)


def dynamodb(record: dict[str, Any], arn: str) -> Item:
    change = dict(record["dynamodb"])
    created_s = change["ApproximateCreationDateTime"]
    change["ApproximateCreationDateTime"] = int(created_s)
    event: Event = {**record, "dynamodb": change, "eventSourceARN": arn}
    if who := event.pop("userIdentity", None):
        event["userIdentity"] = {"type": who["Type"], "principalId": who["PrincipalId"]}
    key = orjson.dumps(change["Keys"], option=orjson.OPT_SORT_KEYS).decode()
    return Item(change["SequenceNumber"], key, created_s, event, len(orjson.dumps(event)) + 16)


def is_wanted(item: Item, kind: str, filters: Sequence[Pattern]) -> bool:
    """Whether one of ``filters`` matches, or there is none."""
    if not filters:
        return True
    seen = item.event
    if kind == "sqs":
        seen = {**seen, "body": _parsed(seen["body"])}
    elif kind == "kinesis":
        inner = seen["kinesis"]
        seen = {**seen, **inner, "data": _parsed(base64.b64decode(inner["data"]))}
    else:  # plain JSON, whatever stands in it ready to be written
        seen = orjson.loads(orjson.dumps(seen))
    return any(pattern.matches(seen) for pattern in filters)


def _parsed(text: str | bytes) -> Any:
    """Its JSON object or list; plain text else."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    if isinstance(found, dict | list):
        return found
    return text if isinstance(text, str) else text.decode("utf-8", "replace")


def records(items: Sequence[Item]) -> Event:
    return {"Records": [item.event for item in items]}


class Window(NamedTuple):
    """A tumbling window: from ``start_s``, for ``length_s``."""

    start_s: int
    length_s: int

    @property
    def end_s(self) -> int:
        return self.start_s + self.length_s


def window_of(time_s: float, length_s: int) -> Window:
    return Window(int(time_s) // length_s * length_s, length_s)


def in_window(
    items: Sequence[Item], window: Window, state: Any, shard: str, arn: str, *, is_final: bool, is_early: bool
) -> Event:  # fmt: skip
    return {
        **records(items),
        "window": {"start": spelled(window.start_s), "end": spelled(window.end_s)},
        "state": state,
        "shardId": shard,
        "eventSourceARN": arn,
        "isFinalInvokeForWindow": is_final,
        "isWindowTerminatedEarly": is_early,
    }


def spelled(time_s: float, *, millis: bool = False) -> str:
    text = datetime.fromtimestamp(time_s, UTC)
    return f"{text:%Y-%m-%dT%H:%M:%S}" + (f".{int(time_s * 1000) % 1000:03d}Z" if millis else "Z")
