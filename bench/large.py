"""A table of a million items of 1 KiB: what calls cost beside one of a thousand, how fast a filter runs, memory.

`run.py --only large` (some minutes, 4 GB of disk): not part of a plain run.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import statistics
import time
from pathlib import Path

from load import Recorder, replay, run

TABLE, SMALL_TABLE = "large-table", "small-table"
SMALL, LARGE = 1_000, 1_000_000
ROUNDS = 7
PORTION = 20_000
SCANNED_COUNT = 200
FILTER = {
    "FilterExpression": "n BETWEEN :low AND :high",
    "ExpressionAttributeValues": {":low": {"N": "500"}, ":high": {"N": "509"}},
}


def loads(recorder, table, key, item):
    """The same calls whatever the table holds: all their items are among the first thousand."""
    of = {"TableName": table}
    one = {":one": {"N": "1"}}
    below = {"S": f"order#{SMALL:08d}"}
    return {
        "GetItem": [recorder.get_item(**of, Key=key(n)) for n in range(500)],
        "PutItem": [recorder.put_item(**of, Item=item(n)) for n in range(500)],
        "UpdateItem": [
            recorder.update_item(
                **of,
                Key=key(n),
                UpdateExpression="SET n = n + :one",
                ExpressionAttributeValues=one,
            )
            for n in range(600, 900)
        ],
        "Query of 10": [
            recorder.query(
                **of,
                KeyConditionExpression="pk = :p AND sk < :s",
                ExpressionAttributeValues={":p": {"S": f"user#{n}"}, ":s": below},
                Limit=10,
            )
            for n in range(100)
        ],
    }


def anonymous_mb(server):
    """What its processes hold that is no file's: the store is a file that the system may drop from memory at any time."""
    found = 0
    for process in server.tree():
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # it ended meanwhile
            rows = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            found += sum(int(row.split()[1]) for row in rows if row.startswith("Anonymous:"))
    return found / 1024


def fill(server, recorder, table, item, count):
    """Seconds it took, and the most anonymous memory seen."""
    took_s, most_mb = 0.0, 0.0
    for start in range(0, count, PORTION):
        stop = min(start + PORTION, count)
        batches = [
            recorder.batch_write_item(
                RequestItems={
                    table: [
                        {"PutRequest": {"Item": item(n)}} for n in range(at, min(at + 25, stop))
                    ]
                }
            )
            for at in range(start, stop, 25)
        ]
        began = time.perf_counter()
        replay(server, batches)
        took_s += time.perf_counter() - began
        most_mb = max(most_mb, anonymous_mb(server))
    return took_s, most_mb


def scan(server, recorder):
    """(items looked at, items found, server CPU seconds, most anonymous memory) of a whole filtered Scan."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    scanned = found = pages = 0
    most_mb = cpu_s = 0.0
    start = {}
    while True:
        head, _, body = recorder.scan(TableName=TABLE, **FILTER, **start).partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        before_s = server.cpu_s()
        connection.request("POST", "/", body, headers)
        page = json.loads(connection.getresponse().read())
        cpu_s += server.cpu_s() - before_s
        scanned += page["ScannedCount"]
        found += page["Count"]
        pages += 1
        if pages % SCANNED_COUNT == 0:
            most_mb = max(most_mb, anonymous_mb(server))
        if "LastEvaluatedKey" not in page:
            return scanned, found, cpu_s, max(most_mb, anonymous_mb(server))
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def large(bars, seconds, server, create_table, key, item):
    print(f"\nA table of {LARGE:,} items of 1 KiB, and one of {SMALL:,} beside it")
    recorder = Recorder(server, "dynamodb", parameter_validation=False)
    for table, size in ((SMALL_TABLE, SMALL), (TABLE, LARGE)):
        create_table(server, table)
        filled_s, most_mb = fill(server, recorder, table, item, size)
    at_small, at_large = (loads(recorder, table, key, item) for table in (SMALL_TABLE, TABLE))
    for name in at_small:
        costs = [
            tuple(
                run(server, side[name], 16, seconds / ROUNDS).cpu_us
                for side in (at_small, at_large)
            )
            for _ in range(ROUNDS)
        ]
        small_us, large_us = (statistics.median(side) for side in zip(*costs, strict=True))
        print(f"  {name:12} {small_us:8.1f} us CPU at {SMALL:,}, {large_us:8.1f} at {LARGE:,}")
        ratio = statistics.median(theirs / ours for ours, theirs in costs)
        bars.at_most(f"{name}: CPU at {LARGE:,} items against {SMALL:,}", ratio, 1.5)
    print(f"  loaded at {LARGE / filled_s:,.0f} items/s")
    scanned, found, cpu_s, seen_mb = scan(server, recorder)
    assert scanned == LARGE, scanned
    print(f"  filtered to {found} of {scanned:,}: {scanned / cpu_s:,.0f} items a second of CPU")
    bars.at_least("filter over 1 KiB items, items a CPU second", scanned / cpu_s, 200_000)
    bars.at_most("anonymous memory, loaded and scanned, MB", max(most_mb, seen_mb), 400)
