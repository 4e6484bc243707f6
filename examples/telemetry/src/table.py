"""The table's items.

    pk "windows"         sk WINDOW             a window somebody has sent readings of
    pk "window#WINDOW"   sk SENSOR             intermediate: count, total, low, high, last (sequence number)
    pk "final" or "final-fan-out"  sk WINDOW   final: count, mean, low, high, sensors

WINDOW is the second its five minutes begin, as text. Numbers are decimals: no sum depends on the order of readings.
"""

import os
from decimal import Decimal

import boto3
from boto3.dynamodb.conditions import Key

WINDOW_S = 300
KEPT_S = 7 * 86_400
TABLE = boto3.resource("dynamodb").Table(os.environ["TABLE"])


def window_of(at):
    return int(at) // WINDOW_S * WINDOW_S


def windows_ended(now):
    """Windows whose five minutes were over at ``now``."""
    edge = str(window_of(now) - WINDOW_S)
    return [item["sk"] for item in _query(Key("pk").eq("windows") & Key("sk").lte(edge))]


def intermediate(window, sensors=None):
    """Aggregates of a window by sensor."""
    found = {item["sk"]: item for item in _query(Key("pk").eq(f"window#{window}"))}
    return {s: a for s, a in found.items() if sensors is None or s in sensors}


def combined(aggregates):
    """One aggregate of many."""
    return {
        "count": sum(int(a["count"]) for a in aggregates),
        "total": sum((Decimal(str(a["total"])) for a in aggregates), Decimal(0)),
        "low": min(Decimal(str(a["low"])) for a in aggregates),
        "high": max(Decimal(str(a["high"])) for a in aggregates),
    }


def is_final(kind, window, count):
    """Whether the final aggregate is there and no reading has come since."""
    found = TABLE.get_item(Key={"pk": kind, "sk": window}, ConsistentRead=True).get("Item")
    return found is not None and int(found["count"]) == count


def put_final(kind, window, aggregate, sensors):
    mean = (aggregate["total"] / aggregate["count"]).quantize(Decimal("0.000001"))
    TABLE.put_item(
        Item={
            "pk": kind,
            "sk": window,
            "count": aggregate["count"],
            "mean": mean,
            "low": aggregate["low"],
            "high": aggregate["high"],
            "sensors": sensors,
            "expires": int(window) + KEPT_S,
        }
    )


def _query(condition):
    more = {}
    while True:
        page = TABLE.query(KeyConditionExpression=condition, ConsistentRead=True, **more)
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
