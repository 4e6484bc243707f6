"""Stream processor: readings of a batch into the intermediate aggregates of their windows and sensors."""

import base64
import json
from collections import defaultdict
from decimal import Decimal

from botocore.exceptions import ClientError
from table import KEPT_S, TABLE, window_of


def handler(event, _context):
    """Readings before the first that cannot be read are counted; that one is reported, and Lambda goes on from it."""
    groups, failed = defaultdict(list), None
    for record in event["Records"]:
        number = record["kinesis"]["sequenceNumber"]
        try:
            reading = json.loads(base64.b64decode(record["kinesis"]["data"]), parse_float=Decimal)
            key = str(window_of(reading["at"])), str(reading["sensor"])
            groups[key].append((number, Decimal(reading["celsius"])))
        except (ValueError, KeyError, TypeError, ArithmeticError):
            failed = number
            break
    for (window, sensor), readings in groups.items():
        while not add(window, sensor, readings):
            pass
    return {"batchItemFailures": [{"itemIdentifier": failed}] if failed else []}


def add(window, sensor, readings):
    """False if somebody else changed the aggregate meanwhile."""
    key = {"pk": f"window#{window}", "sk": sensor}
    now = TABLE.get_item(Key=key, ConsistentRead=True).get("Item")
    last = now["last"] if now else ""
    # Sequence numbers of a shard have one length: they sort as text. What is not beyond the last was counted before.
    fresh = [(number, value) for number, value in readings if number > last]
    if not fresh:
        return True
    values = [value for _, value in fresh]
    if now:
        values_seen = {"low": now["low"], "high": now["high"]}
    else:
        values_seen = {"low": values[0], "high": values[0]}
        TABLE.put_item(Item={"pk": "windows", "sk": window, "expires": int(window) + KEPT_S})
    item = {
        **key,
        "count": (now["count"] if now else 0) + len(values),
        "total": (now["total"] if now else Decimal(0)) + sum(values),
        "low": min(values_seen["low"], *values),
        "high": max(values_seen["high"], *values),
        "last": fresh[-1][0],
        "expires": int(window) + KEPT_S,
    }
    unchanged = {"ConditionExpression": "attribute_not_exists(pk)"}
    if now:
        unchanged = {
            "ConditionExpression": "#last = :last",
            "ExpressionAttributeNames": {"#last": "last"},
            "ExpressionAttributeValues": {":last": last},
        }
    try:
        TABLE.put_item(Item=item, **unchanged)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
            return False
        raise
    return True
