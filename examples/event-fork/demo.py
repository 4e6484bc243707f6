"""Checks out six days of a shop's purchases, compares what the pipelines made of them, loses the table and replays half."""

from __future__ import annotations

import csv
import gzip
import json
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

from driving import HERE, ask, check, say

DATA = Path(__file__).with_name("data") / "purchases.csv"
SECOND_HALF = "1997-01-08"
NO_PURCHASES = ("[1]", '{"order": "x"}', "not JSON", {"order": "1", "customer": "2", "date": "d", "discs": 0, "total": 1})  # fmt: skip


def purchases():
    with DATA.open() as file:
        for number, row in enumerate(csv.DictReader(file)):
            yield {
                "order": f"order-{number:04d}",
                "customer": row["customer"],
                "date": row["date"],
                "discs": int(row["cds"]),
                "total": row["dollars"],
            }


def drive(cloud):
    out = cloud.deploy("event-fork")
    table = cloud.client("dynamodb"), out["TableName"]
    orders = list(purchases())
    halves = [
        [one for one in orders if (one["date"] >= SECOND_HALF) == later] for later in (False, True)
    ]
    for body in NO_PURCHASES:
        status, said = ask("POST", f"{out['ApiUrl']}/checkout", body)
        check(status == 400, f"{body!r} was answered {status} {said}")
    began = time.monotonic()
    check_out(out, halves[0])
    searched(table, halves[0])
    cloud.command("clock", "advance", "1h")
    between = now(cloud)
    check_out(out, halves[1])
    searched(table, orders)
    backed_up(cloud, out, orders)
    say(f"  {len(orders)} purchases in backup and table in {time.monotonic() - began:.1f} s")
    replayed(cloud, out, table, halves, between)


def check_out(out, orders):
    with ThreadPoolExecutor(2) as threads:
        answers = threads.map(lambda one: ask("POST", f"{out['ApiUrl']}/checkout", one), orders)
        for one, (status, said) in zip(orders, answers, strict=True):
            check((status, said) == (202, {"order": one["order"]}), f"{one}: {status} {said}")


def now(cloud):
    """The cloud clock as SNS writes it."""
    time_s = json.loads(cloud.command("clock", "--json"))["time_s"]
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time_s))


def until(found, wanted, what):
    for _ in range(480):
        seen = found()
        if seen == wanted:
            return
        time.sleep(0.25)
    check(False, f"{what}: {seen}, not {wanted}")


def searched(table, orders):
    """The day's figures, one customer's orders, a day's largest: as plain arithmetic has them."""
    orders = [one for one in orders if Decimal(one["total"])]
    until(lambda: figures(table), expected(orders), "the days' figures")
    by_customer = defaultdict(list)
    for one in orders:
        by_customer[one["customer"]].append(one)
    customer, theirs = max(by_customer.items(), key=lambda pair: (len(pair[1]), pair[0]))
    found = query(table, "pk = :p", {":p": {"S": f"customer#{customer}"}})
    check(
        [item["sk"]["S"] for item in found]
        == sorted(f"{one['date']}#{one['order']}" for one in theirs),
        f"orders of customer {customer}: {found}",
    )
    day = orders[-1]["date"]
    found = query(
        table, "#d = :d AND #t > :t", {":d": {"S": day}, ":t": {"N": "50"}}, IndexName="by-day",
        ScanIndexForward=False, ExpressionAttributeNames={"#d": "day", "#t": "total"},
    )  # fmt: skip
    large = sorted((Decimal(one["total"]) for one in orders if one["date"] == day), reverse=True)
    large = [total for total in large if total > 50]
    check(
        [Decimal(item["total"]["N"]) for item in found] == large, f"large orders of {day}: {found}"
    )


def expected(orders):
    """day -> (orders, discs, revenue)."""
    days = defaultdict(lambda: (0, 0, Decimal(0)))
    for one in orders:
        count, discs, revenue = days[one["date"]]
        days[one["date"]] = count + 1, discs + one["discs"], revenue + Decimal(one["total"])
    return dict(days)


def figures(table):
    found = query(table, "pk = :p", {":p": {"S": "days"}})
    return {
        item["sk"]["S"]: (int(item["orders"]["N"]), int(item["discs"]["N"]), Decimal(item["revenue"]["N"]))
        for item in found
    }  # fmt: skip


def query(table, condition, values, **more):
    client, name = table
    pages = client.get_paginator("query").paginate(
        TableName=name, KeyConditionExpression=condition, ExpressionAttributeValues=values, **more
    )  # fmt: skip
    return [item for page in pages for item in page["Items"]]


def backed_up(cloud, out, orders):
    """Every event, also those that cost nothing; one that came twice has the same id."""
    s3 = cloud.client("s3")

    def kept():
        found = {}
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=out["BackupBucket"])
        for one in (one for page in pages for one in page.get("Contents", [])):
            body = s3.get_object(Bucket=out["BackupBucket"], Key=one["Key"])["Body"].read()
            for line in map(json.loads, gzip.decompress(body).splitlines()):
                check(one["Key"].startswith(f"events/{line['published'][:10]}/"), one["Key"])
                found[line["id"]] = line["event"]
        return sorted(found.values(), key=lambda event: event["order"])

    until(kept, [one | {"total": f"{Decimal(one['total']):.2f}"} for one in orders], "the backup")


def replayed(cloud, out, table, halves, between):
    """The table loses everything; the second half alone is to come back."""
    sqs, (client, name) = cloud.client("sqs"), table
    for page in client.get_paginator("scan").paginate(TableName=name):
        for item in page["Items"]:
            client.delete_item(TableName=name, Key={"pk": item["pk"], "sk": item["sk"]})
    check(figures(table) == {}, "the table is not empty")
    paid = [[one for one in half if Decimal(one["total"])] for half in halves]
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

    def waiting():
        found = sqs.get_queue_attributes(QueueUrl=out["ReplayQueueUrl"], AttributeNames=names)
        return sum(int(found["Attributes"][name]) for name in names)

    until(waiting, len(paid[0]) + len(paid[1]), "what waits for a replay")
    template = str(HERE / "event-fork" / "template.yaml")
    switched_on = "--parameter", "ReplayEnabled=true", "--parameter", f"ReplayFrom={between}"
    cloud.command("deploy", template, *switched_on)
    until(lambda: figures(table), expected(paid[1]), "the figures after the replay")
    until(waiting, len(paid[0]), "what is left for another replay")
    say(
        f"  the table was lost; {len(paid[1])} orders since {between} replayed, {len(paid[0])} left alone"
    )
