"""POST /checkout: check a purchase and publish it. What becomes of it is for those who listen."""

import base64
import json
import os
from decimal import Decimal, InvalidOperation

import boto3

sns = boto3.client("sns")


def handler(event, context):
    raw = event.get("body") or ""
    if event.get("isBase64Encoded"):
        raw = base64.b64decode(raw)
    try:
        order = read(json.loads(raw))
    except (ValueError, KeyError, TypeError, InvalidOperation) as error:
        return answer(400, {"message": f"This is not a purchase: {error!r}"})
    sns.publish(
        TopicArn=os.environ["TOPIC"],
        Message=json.dumps(order),
        MessageAttributes={
            "event": {"DataType": "String", "StringValue": "checkout.completed"},
            "total": {"DataType": "Number", "StringValue": order["total"]},
        },
    )
    return answer(202, {"order": order["order"]})


def read(said):
    order = {name: str(said[name]) for name in ("order", "customer", "date")}
    if not all(order.values()):
        raise ValueError("order, customer and date must not be empty")
    order["discs"], total = int(said["discs"]), Decimal(said["total"])
    if order["discs"] < 1 or not 0 <= total < 100_000:
        raise ValueError("discs and total must be positive")
    return order | {"total": f"{total:.2f}"}


def answer(status, body):
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(body),
    }
