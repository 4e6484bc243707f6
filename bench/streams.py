"""The streaming parts of the bench: Kinesis beside kinesalite, a message's way to its function, patterns."""

from __future__ import annotations

import io
import json
import statistics
import time
import zipfile

import run as bench
from load import Recorder
from peers import Kinesalite, Stratolite

SHARDS = 200
"""Enough for what one core takes at 1,000 records a second and shard: nobody is to be throttled."""
BAR = 0.2
STREAM = "bench-stream"
TRUST = json.dumps(bench.TRUST | {"Version": "2012-10-17"})
ALL = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
    }
)


def records(number):
    return [
        {
            "PartitionKey": f"sensor-{number}-{n}",
            "Data": json.dumps({"sensor": n, "value": number * n % 997, "unit": "C"}).encode() * 2,
        }
        for n in range(100)
    ]


def create_stream(server):
    made = bench.client(server, "kinesis")
    made.create_stream(StreamName=STREAM, ShardCount=SHARDS)
    made.get_waiter("stream_exists").wait(StreamName=STREAM, WaiterConfig={"Delay": 1})


def assert_unthrottled(result):
    """PutRecords that is throttled answers 200, too, and sooner: such a figure would be of work not done."""
    assert result.rate < 0.8 * SHARDS * 10, "so fast that shards throttle: more shards are needed"


def kinesis(bars, seconds):
    print("\nKinesis PutRecords x100, 4 connections")
    with bench.together([Stratolite, Kinesalite]) as servers:
        sides = {}
        for server in servers:
            create_stream(server)
            recorder = Recorder(server, "kinesis")
            requests = [
                recorder.put_records(StreamName=STREAM, Records=records(n)) for n in range(64)
            ]
            sides[server.name] = (server, requests, 4)
        made = bench.in_turns(sides, seconds)
        for name, rounds in made.items():
            bench.show(name, "PutRecords x100", bench.middle(rounds))
        mine = bench.middle(made["stratolite"])
        assert_unthrottled(mine)
        if "kinesalite" in made:
            bars.at_most(
                "Kinesis PutRecords x100, CPU of kinesalite's",
                bench.ratio(made["stratolite"], made["kinesalite"]),
                BAR,
            )


def mapping(bars, _seconds):
    """The function writes when it began; the message says when it was sent. One clock: one machine."""
    print("\nSendMessage to the start of its function, 0.1 ms a sync")
    server = Stratolite(sync_ms=0.1)
    try:
        names = ("iam", "lambda", "sqs", "logs")
        iam, function, sqs, logs = (bench.client(server, name) for name in names)
        role = iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
        iam.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=ALL)
        code = (
            "import time\n"
            "def handler(event, context):\n"
            "    now = time.time()\n"
            "    for r in event['Records']:\n"
            "        print('TOOK', now - float(r['body']))\n"
        )
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("f.py", code)
        function.create_function(
            FunctionName="f", Runtime="python3.12", Handler="f.handler", Role=role, Code={"ZipFile": archive.getvalue()}
        )  # fmt: skip
        url = sqs.create_queue(QueueName="q")["QueueUrl"]
        arn = "arn:aws:sqs:us-east-1:000000000000:q"
        made = function.create_event_source_mapping(FunctionName="f", EventSourceArn=arn)
        while function.get_event_source_mapping(UUID=made["UUID"])["State"] != "Enabled":
            time.sleep(0.02)
        for _ in range(220):
            sqs.send_message(QueueUrl=url, MessageBody=repr(time.time()))
            time.sleep(0.02)
        time.sleep(1)
        took = []
        for page in logs.get_paginator("filter_log_events").paginate(
            logGroupName="/aws/lambda/f", filterPattern="TOOK"
        ):
            took += [float(event["message"].split()[1]) * 1000 for event in page["events"]]
        took = took[20:]
        p99 = sorted(took)[int(len(took) * 0.99)]
        print(f"  {len(took)} messages  p50 {statistics.median(took):.2f} ms  p99 {p99:.2f} ms")
        bars.at_most("SendMessage to function start p50, ms", statistics.median(took), 10)
    finally:
        server.stop()


def patterns(bars, _seconds):
    """1,000 rules of each kind, one event; in this process, as the server would."""
    from stratolite.patterns import Patterns, compile_pattern

    print("\nEvent patterns: 1,000 rules")
    kinds = {
        "exact values": lambda n: {"source": ["aws.s3"], "detail-type": [f"Object Created {n}"]},
        "prefixes": lambda n: {"detail": {"object": {"key": [{"prefix": f"k/{n}/"}]}}},
        "wildcards": lambda n: {"detail": {"object": {"key": [{"wildcard": f"k/{n}/*.png"}]}}},
        "ranges": lambda n: {"detail": {"n": [{"numeric": [">=", n, "<", n + 1]}]}},
    }
    event = {
        "version": "0", "id": "x", "detail-type": "Object Created 17", "source": "aws.s3", "account": "1", "time": "t",
        "region": "r", "resources": ["arn:a"],
        "detail": {"bucket": {"name": "b17"}, "object": {"key": "k/17/abc.png", "size": 170}, "n": 17},
    }  # fmt: skip
    worst_us = 0.0
    for name, make in kinds.items():
        rules = Patterns()
        for n in range(1000):
            rules.add(n, compile_pattern(json.dumps(make(n))))
        assert rules.match(event) == {17}
        best_us = float("inf")
        for _ in range(5):
            began = time.process_time()
            for _ in range(1000):
                rules.match(event)
            best_us = min(best_us, (time.process_time() - began) * 1000)
        print(f"  {name:14} {best_us:6.1f} us an event")
        worst_us = max(worst_us, best_us)
    bars.at_most("1,000 rules, us an event", worst_us, 50)
