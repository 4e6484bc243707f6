"""Sends a buoy's readings as those of 24 sensors and checks the final aggregates, both ways."""

from __future__ import annotations

import csv
import json
import time
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

from driving import check, say

DATA = Path(__file__).with_name("data") / "sea_temperature.csv"
STEP_S = 30
"""Half an hour of the data is half a minute here."""
WINDOW_S = 300


def readings(base):
    """Each day is a sensor; its readings begin at ``base``."""
    days = defaultdict(list)
    with DATA.open() as file:
        for row in csv.DictReader(file):
            days[row["time"][:10]].append(row["celsius"])
    for at in range(max(map(len, days.values()))):
        for sensor, values in days.items():
            if at < len(values):
                yield {"sensor": sensor, "at": base + at * STEP_S, "celsius": values[at]}


def expected(sent):
    """window -> (count, mean, low, high, sensors), the plain way."""
    windows = defaultdict(list)
    for one in sent:
        windows[one["at"] // WINDOW_S * WINDOW_S].append((one["sensor"], Decimal(one["celsius"])))
    out = {}
    for window, rows in windows.items():
        values = [value for _, value in rows]
        mean = (sum(values) / len(values)).quantize(Decimal("0.000001"))
        sensors = len({sensor for sensor, _ in rows})
        out[str(window)] = (len(values), mean, min(values), max(values), sensors)
    return out


def send(kinesis, stream, sent):
    for first in range(0, len(sent), 250):
        records = [
            {"Data": json.dumps(one).encode(), "PartitionKey": one["sensor"]}
            for one in sent[first : first + 250]
        ]
        while records:  # a shard takes 1,000 a second: what it refused goes again
            answer = kinesis.put_records(StreamName=stream, Records=records)
            rows = zip(records, answer["Records"], strict=True)
            records = [record for record, row in rows if "ErrorCode" in row]
            if records:
                time.sleep(0.5)


def finals(table, kind):
    found = table.query(
        KeyConditionExpression="pk = :p", ExpressionAttributeValues={":p": {"S": kind}}, TableName=finals.table
    )["Items"]  # fmt: skip
    return {
        item["sk"]["S"]: (
            int(item["count"]["N"]),
            *(Decimal(item[name]["N"]) for name in ("mean", "low", "high")),
            int(item["sensors"]["N"]),
        )
        for item in found
    }


def drive(cloud):
    out = cloud.deploy("telemetry")
    now = json.loads(cloud.command("clock", "--json"))["time_s"]
    base = (int(now) // WINDOW_S + 1) * WINDOW_S
    sent = list(readings(base))
    wanted = expected(sent)
    send(cloud.client("kinesis"), out["StreamName"], sent)
    say(f"  {len(sent)} readings of {wanted[str(base)][4]} sensors sent, {len(wanted)} windows")
    table = cloud.client("dynamodb")
    finals.table = out["TableName"]
    counted(table, len(sent), wanted)
    cloud.command("clock", "advance", "35m")
    for kind in ("final", "final-fan-out"):
        for _ in range(1200):
            found = finals(table, kind)
            if found.keys() >= wanted.keys():
                break
            time.sleep(0.25)
        check({w: found.get(w) for w in wanted} == wanted, f"{kind}: {found}, not {wanted}")
    for window, (count, mean, low, high, _) in sorted(wanted.items()):
        at = time.strftime("%H:%M", time.gmtime(int(window)))
        say(f"  {at}  {count:4} readings  mean {mean} C  {low} to {high}")
    say("  both ways gave the same, and what plain arithmetic gives")


def counted(table, count, wanted):
    """Wait until the stream processor has seen everything."""
    for _ in range(1200):
        seen = 0
        for window in wanted:
            page = table.query(
                TableName=finals.table, KeyConditionExpression="pk = :p",
                ExpressionAttributeValues={":p": {"S": f"window#{window}"}},
            )  # fmt: skip
            seen += sum(int(item["count"]["N"]) for item in page["Items"])
        if seen == count:
            return
        time.sleep(0.25)
    check(False, f"the processor counted {seen} of {count} readings")
