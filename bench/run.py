"""make bench: Stratolite (durable, signed) beside its peers (in memory) in one run; exits 1 below its bars.

Server CPU a request is the figure that counts: machines are shared and noisy, and the load generator runs on them too.
usage: run.py [--seconds S] [--only PART] [--json FILE]     parts: start restart dynamodb s3 sqs sns iam lambda deploy sync
       kinesis mapping patterns objects decisions; large (a million items) and instructions (of decisions,
       under valgrind) only where they are asked for
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import importlib
import io
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import timeit
import zipfile

import boto3
from botocore.config import Config
from load import Recorder, Result, replay, run
from peers import ROOT, Dynalite, MiniStack, Moto, S3rver, Stratolite

from stratolite.testing import Cloud

ARGS = argparse.ArgumentParser()
ARGS.add_argument("--seconds", type=float, default=5.0)
ARGS.add_argument("--only", action="append")
ARGS.add_argument("--json")
CONNECTIONS = 16
ROUNDS = 5
TABLE = "bench-table"
BUCKET = "bench-bucket"
TRUST = {
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ]
}


class Bars:
    """Every bar of the run: what was reached, what was wanted."""

    def __init__(self):
        self.rows = []

    def at_most(self, name, value, bar):
        self.rows.append((name, value, f"<= {bar:g}", value <= bar))

    def at_least(self, name, value, bar):
        self.rows.append((name, value, f">= {bar:g}", value >= bar))

    def show(self):
        print("\nbars")
        for name, value, bar, good in self.rows:
            print(f"  {'ok  ' if good else 'MISS'} {name:58} {value:8.3f}  {bar}")
        return all(row[3] for row in self.rows)


def client(server, service, keys=None):
    key_id, secret = keys or server.keys
    return boto3.client(
        service, endpoint_url=server.endpoint, region_name="us-east-1", aws_access_key_id=key_id, aws_secret_access_key=secret,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, read_timeout=300),
    )  # fmt: skip


def started(kinds, **options):
    """One server of each kind that is on this machine, one after another."""
    for kind in kinds:
        if not kind.available():
            print(f"  {kind.name}: not on this machine, left out")
            continue
        server = kind(**options)
        try:
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def together(kinds):
    """All servers of these kinds that are on this machine, at once: they are measured in turns."""
    servers = []
    try:
        for kind in kinds:
            if kind.available():
                servers.append(kind())
            else:
                print(f"  {kind.name}: not on this machine, left out")
        yield servers
    finally:
        for server in servers:
            server.stop()


def show(name, what, result):
    print(
        f"  {name:12} {what:28} {result.rate:9.0f}/s  {result.cpu_us:8.1f} us CPU"
        f"  p50 {result.p50_ms:7.2f} ms  p99 {result.p99_ms:7.2f} ms",
        flush=True,
    )
    return result


def in_turns(sides, seconds, count=ROUNDS):
    """{name: [Result of each round]} of ``sides``, name -> (server, requests, connections).

    A shared machine is faster and slower by the minute: sides take turns of a second or so, and what is compared is
    the rounds, in which all saw the same machine. A side that refuses the load is left out, and said so.
    """
    rounds = {name: [] for name in sides}
    for _ in range(count):
        for name, (server, requests, connections) in sides.items():
            if rounds[name] is None:
                continue
            try:
                rounds[name].append(run(server, requests, connections, seconds / count))
            except (RuntimeError, OSError) as error:
                print(f"  {name}: {str(error)[:160]}")
                rounds[name] = None
    return {name: made for name, made in rounds.items() if made}


def middle(results):
    """Each figure's median."""
    return Result(*(statistics.median(row) for row in zip(*results, strict=True)))


def ratio(mine, theirs, figure="cpu_us"):
    """The median of the rounds' ratios."""
    return statistics.median(
        getattr(m, figure) / getattr(t, figure) for m, t in zip(mine, theirs, strict=True)
    )


# -- DynamoDB


def item(number, users=100):
    body = base64.b64encode(os.urandom(700)).decode()
    return {
        "pk": {"S": f"user#{number % users}"},
        "sk": {"S": f"order#{number:08d}"},
        "body": {"S": body},
        "n": {"N": str(number)},
        "ok": {"BOOL": True},
    }


def key(number):
    return {"pk": {"S": f"user#{number % 100}"}, "sk": {"S": f"order#{number:08d}"}}


def items_put(table, first, count):
    return {table: [{"PutRequest": {"Item": item(n)}} for n in range(first, first + count)]}


DYNAMODB_LOADS = {
    "GetItem 1 KiB": lambda db: [db.get_item(TableName=TABLE, Key=key(n)) for n in range(1000)],
    "PutItem 1 KiB": lambda db: [
        db.put_item(TableName=TABLE, Item=item(n)) for n in range(2000, 4000)
    ],
    "UpdateItem n = n + :one": lambda db: [
        db.update_item(
            TableName=TABLE,
            Key=key(n),
            UpdateExpression="SET n = n + :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )
        for n in range(1000)
    ],
    "Query 100 items": lambda db: [
        db.query(
            TableName="queried",
            KeyConditionExpression="pk = :p",
            ExpressionAttributeValues={":p": {"S": f"user#{n}"}},
            Limit=100,
        )
        for n in range(20)
    ],
    "BatchWriteItem of 25": lambda db: [
        db.batch_write_item(RequestItems=items_put(TABLE, at, 25)) for at in range(4000, 6000, 25)
    ],
    "BatchWriteItem of 10": lambda db: [
        db.batch_write_item(RequestItems=items_put(TABLE, at, 10)) for at in range(4000, 5000, 10)
    ],
    "TransactWriteItems of 10": lambda db: [
        db.transact_write_items(
            TransactItems=[
                {"Put": {"TableName": TABLE, "Item": item(n)}} for n in range(at, at + 10)
            ]
        )
        for at in range(4000, 5000, 10)
    ],
}
DYNAMODB_BARS = {
    "GetItem 1 KiB": 0.6,
    "PutItem 1 KiB": 1.0,
    "UpdateItem n = n + :one": 1.0,
    "Query 100 items": 0.12,
    "BatchWriteItem of 25": 0.4,
}
GSI_COUNT = 2


def create_table(server, table, indexes=0):
    db = client(server, "dynamodb")
    by_n = [
        {
            "IndexName": f"by-n-{at}",
            "KeySchema": [
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "n", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        }
        for at in range(indexes)
    ]
    further = {"GlobalSecondaryIndexes": by_n} if by_n else {}
    kinds = [("pk", "S"), ("sk", "S")] + ([("n", "N")] if by_n else [])
    db.create_table(
        TableName=table,
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": t} for n, t in kinds],
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        BillingMode="PAY_PER_REQUEST",
        **further,
    )
    db.get_waiter("table_exists").wait(TableName=table, WaiterConfig={"Delay": 1})


def fill(server):
    for table in (TABLE, "queried"):
        create_table(server, table)
    db = client(server, "dynamodb")
    for table, items in (
        (TABLE, [item(n) for n in range(2000)]),
        ("queried", [item(n, users=20) for n in range(20 * 100)]),
    ):
        for start in range(0, len(items), 25):
            puts = [{"PutRequest": {"Item": i}} for i in items[start : start + 25]]
            db.batch_write_item(RequestItems={table: puts})


def dynamodb(bars, seconds):
    print("\nDynamoDB, 16 connections")
    with together((Stratolite, Dynalite, MiniStack, Moto)) as servers:
        for server in servers:
            fill(server)
        recorders = {server.name: Recorder(server, "dynamodb") for server in servers}
        found = {}
        for load, make in DYNAMODB_LOADS.items():
            sides = {s.name: (s, make(recorders[s.name]), CONNECTIONS) for s in servers}
            found[load] = in_turns(sides, seconds)
            for name, results in found[load].items():
                show(name, load, middle(results))
        for load in ("GetItem 1 KiB", "PutItem 1 KiB"):
            sides = {
                s.name: (s, DYNAMODB_LOADS[load](recorders[s.name]), 1)
                for s in servers
                if s.name in ("stratolite", "dynalite")
            }
            for name, results in in_turns(sides, seconds).items():
                show(name, f"{load}, 1 connection", middle(results))
        for load, bar in DYNAMODB_BARS.items():
            if "dynalite" in found[load]:
                bars.at_most(
                    f"{load}: CPU against dynalite",
                    ratio(found[load]["stratolite"], found[load]["dynalite"]),
                    bar,
                )
        # dynalite has no transactions: the same ten items there without one
        ours, theirs = found["TransactWriteItems of 10"], found["BatchWriteItem of 10"]
        if "dynalite" in theirs:
            bars.at_most(
                "TransactWriteItems of 10: CPU against dynalite's BatchWriteItem of 10",
                ratio(ours["stratolite"], theirs["dynalite"]),
                1.0,
            )
        indexed(bars, servers[0], recorders["stratolite"], seconds)


def indexed(bars, server, recorder, seconds):
    """What each global index adds to a PutItem."""
    sides = {}
    for count in range(GSI_COUNT + 1):
        table = f"indexed-{count}"
        create_table(server, table, count)
        puts = [recorder.put_item(TableName=table, Item=item(n)) for n in range(1000)]
        replay(server, puts)
        sides[f"{count} GSIs"] = (server, puts, CONNECTIONS)
    found = in_turns(sides, seconds)
    for name, results in found.items():
        show(name, "PutItem 1 KiB", middle(results))
    bars.at_most(
        "PutItem: what a GSI adds, of a PutItem without",
        (ratio(found[f"{GSI_COUNT} GSIs"], found["0 GSIs"]) - 1) / GSI_COUNT,
        0.4,
    )


# -- S3


S3_LOADS = {
    "PUT 1 KiB": lambda s3, small: [
        s3.put_object(Bucket=BUCKET, Key=f"new/{n:05d}", Body=small) for n in range(2000)
    ],
    "GET 1 KiB": lambda s3, _: [
        s3.get_object(Bucket=BUCKET, Key=f"small/{n:04d}") for n in range(200)
    ],
    "GET 1 MiB": lambda s3, _: [s3.get_object(Bucket=BUCKET, Key=f"large/{n}") for n in range(4)],
}


def s3(bars, seconds):
    print("\nS3, 16 connections (1 MiB: 4)")
    small, large = os.urandom(1024), os.urandom(1 << 20)
    with together((Stratolite, MiniStack, S3rver, Moto)) as servers:
        for server in servers:
            bucket = client(server, "s3")
            bucket.create_bucket(Bucket=BUCKET)
            for number in range(200):
                bucket.put_object(Bucket=BUCKET, Key=f"small/{number:04d}", Body=small)
            for number in range(4):
                bucket.put_object(Bucket=BUCKET, Key=f"large/{number}", Body=large)
        recorders = {server.name: Recorder(server, "s3") for server in servers}
        found = {}
        for load, make in S3_LOADS.items():
            connections = 4 if "MiB" in load else CONNECTIONS
            sides = {s.name: (s, make(recorders[s.name], small), connections) for s in servers}
            found[load] = in_turns(sides, seconds)
            for name, results in found[load].items():
                show(name, load, middle(results))
    if "s3rver" in found["GET 1 KiB"]:
        for load in ("PUT 1 KiB", "GET 1 KiB"):
            bars.at_most(
                f"S3 {load}: CPU against s3rver",
                ratio(found[load]["stratolite"], found[load]["s3rver"]),
                0.1,
            )
    if "ministack" in found["GET 1 KiB"]:
        for load in ("PUT 1 KiB", "GET 1 KiB"):
            bars.at_most(
                f"S3 {load}: CPU against MiniStack",
                ratio(found[load]["stratolite"], found[load]["ministack"]),
                0.2,
            )
        bars.at_least(
            "S3 GET 1 MiB: rate against MiniStack",
            ratio(found["GET 1 MiB"]["stratolite"], found["GET 1 MiB"]["ministack"], "rate"),
            3,
        )


# -- queues and topics


PAIRS = 300


def receive_and_delete(server, url):
    """One consumer, one message a time: (server CPU a pair in us, pairs a second)."""
    recorder = Recorder(server, "sqs")
    receive = recorder.receive_message(QueueUrl=url, MaxNumberOfMessages=1)

    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        file = connection.makefile("rb")

        def exchange(request):
            nonlocal connection, file
            connection.sendall(request)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += file.readline()
            assert head.startswith(b"HTTP/1.1 2"), head
            lower = head.lower()
            body = file.read(int(lower.split(b"content-length:")[1].split(b"\r")[0]))
            if b"connection: close" in lower:
                connection.close()
                connection = socket.create_connection(("127.0.0.1", server.port))
                file = connection.makefile("rb")
            return body

        before_s, began = server.cpu_s(), time.perf_counter()
        for _ in range(PAIRS):
            (message,) = json.loads(exchange(receive))["Messages"]
            handle = message["ReceiptHandle"]
            exchange(recorder.delete_message(QueueUrl=url, ReceiptHandle=handle))
        wall_s = time.perf_counter() - began
        connection.close()
    return (server.cpu_s() - before_s) / PAIRS * 1e6, PAIRS / wall_s


def sqs(bars, seconds):
    print("\nSQS, send at 16 connections; receive and delete at one")
    found = {}
    for server in started((Stratolite, MiniStack)):
        url = client(server, "sqs").create_queue(QueueName="bench")["QueueUrl"]
        body = base64.b64encode(os.urandom(760)).decode()
        recorder = Recorder(server, "sqs")
        sends = [
            recorder.send_message(QueueUrl=url, MessageBody=f"{n:06d}{body}") for n in range(2000)
        ]
        send = show(server.name, "SendMessage 1 KiB", run(server, sends, CONNECTIONS, seconds))
        cpu_us, rate = receive_and_delete(server, url)
        print(f"  {server.name:12} {'receive and delete':28} {rate:9.0f}/s  {cpu_us:8.1f} us CPU")
        found[server.name] = send.cpu_us, cpu_us
    if "ministack" in found:
        (ours, ours_pair), (theirs, theirs_pair) = found["stratolite"], found["ministack"]
        bars.at_most("SQS SendMessage: CPU against MiniStack", ours / theirs, 0.2)
        bars.at_most("SQS receive and delete: CPU against MiniStack", ours_pair / theirs_pair, 0.1)


def subscribe_queues(queues, topics, topic, count):
    """The URLs of ``count`` new queues that get the topic's messages."""
    allow = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": "*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    urls = []
    for number in range(count):
        name = f"bench{number}"
        made = queues.create_queue(QueueName=name, Attributes={"Policy": policy})
        urls.append(made["QueueUrl"])
        arn = f"arn:aws:sqs:us-east-1:000000000000:{name}"
        topics.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return urls


def sns(bars, _seconds):
    print("\nSNS, one topic to 10 queues")
    for server in started((Stratolite,)):
        queues, topics = client(server, "sqs"), client(server, "sns")
        topic = topics.create_topic(Name="bench")["TopicArn"]
        urls = subscribe_queues(queues, topics, topic, 10)
        count = 1000
        publish = Recorder(server, "sns").publish(TopicArn=topic, Message="m" * 500)
        requests = [publish] * count
        before_s, began = server.cpu_s(), time.perf_counter()
        replay(server, requests, CONNECTIONS)
        name = "ApproximateNumberOfMessages"
        for url in urls:
            while True:
                got = queues.get_queue_attributes(QueueUrl=url, AttributeNames=[name])
                if int(got["Attributes"][name]) == count:
                    break
                time.sleep(0.02)
        wall_s, cpu_s = time.perf_counter() - began, server.cpu_s() - before_s
        rate = count * 10 / wall_s
        print(f"  {rate:,.0f} deliveries/s, {cpu_s / count / 10 * 1e6:.1f} us CPU a delivery")
        bars.at_least("SNS to 10 queues, deliveries/s", rate, 3000)


# -- IAM

IAM_ROUNDS = 25


def objects_put(s3):
    """Every one another object."""
    body = os.urandom(1024)
    return [s3.put_object(Bucket=BUCKET, Key=f"{n:05}", Body=body) for n in range(2000)]


def policy_hit(bars):
    """The decision alone, of a principal with ten policies, once it was made; and made anew each time."""
    from stratolite.policy import Document, Question, Rules

    def document(number):
        resource = f"arn:aws:*:table/t{number}"
        allow = {"Effect": "Allow", "Action": ["dynamodb:Get*", "s3:Get*"], "Resource": resource}
        return Document.parse(json.dumps({"Version": "2012-10-17", "Statement": [allow]}))

    rules = Rules([document(number) for number in range(10)])
    table = "arn:aws:dynamodb:us-east-1:000000000000:table/t9"
    who = ("user", "000000000000", "arn:aws:iam::000000000000:user/u", "u")

    def question(context):
        return Question(*who, "dynamodb:GetItem", table, who[1], context)

    def ask():
        return rules.decide(("dynamodb:GetItem", table, who[1]), question, dict)

    def ask_anew():
        rules.known.clear()
        return ask()

    assert ask().allowed
    hit_us, anew_us = (
        min(timeit.repeat(asked, number=2000, repeat=9)) / 2000 * 1e6 for asked in (ask, ask_anew)
    )
    print(f"  a decision: {hit_us:.2f} us remembered, {anew_us:.1f} us anew")
    bars.at_most("policy: a decision remembered, us", hit_us, 5)


def iam(bars, seconds):
    """The same call by root, whom no policy concerns, by a user's key and by a role's session."""
    print("\nIAM: 1 KiB, 16 connections")
    policy_hit(bars)
    server = Stratolite()
    try:
        create_table(server, TABLE)
        people = client(server, "iam")
        allow = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": ["dynamodb:*", "s3:*"], "Resource": "*"}],
        }
        people.create_user(UserName="u")
        people.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=json.dumps(allow))
        made = people.create_access_key(UserName="u")["AccessKey"]
        anybody = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
            ],
        }
        role = people.create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(anybody))
        people.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=json.dumps(allow))
        user = (made["AccessKeyId"], made["SecretAccessKey"])
        session = client(server, "sts", user).assume_role(
            RoleArn=role["Role"]["Arn"], RoleSessionName="bench"
        )["Credentials"]
        signers = {
            "root": ("test", "test"),
            "user": user,
            "role": (
                session["AccessKeyId"],
                session["SecretAccessKey"],
                session["SessionToken"],
            ),
        }
        client(server, "s3").create_bucket(Bucket=BUCKET)
        items = {name: Recorder(server, "dynamodb", keys) for name, keys in signers.items()}
        objects = {name: Recorder(server, "s3", keys) for name, keys in signers.items()}
        replay(server, [items["root"].put_item(TableName=TABLE, Item=item(n)) for n in range(1000)])
        loads = {load: (items, DYNAMODB_LOADS[load]) for load in ("GetItem 1 KiB", "PutItem 1 KiB")}
        loads["S3 PUT 1 KiB"] = objects, objects_put
        for load, (recorders, make) in loads.items():
            sides = {
                name: (server, make(recorder), CONNECTIONS) for name, recorder in recorders.items()
            }
            found = in_turns(sides, seconds, IAM_ROUNDS)  # so small a difference wants many rounds
            for name, results in found.items():
                show(name, load, middle(results))
            for name in ("user", "role"):
                bars.at_most(
                    f"{load} by a {name}: CPU against root's",
                    ratio(found[name], found["root"]),
                    1.1,
                )
    finally:
        server.stop()


# -- functions


def zipped(text):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("index.py", text)
    return out.getvalue()


def functions(bars, seconds):
    print("\nLambda through boto3, 1 connection")
    server = Stratolite()
    try:
        role = client(server, "iam").create_role(
            RoleName="r", AssumeRolePolicyDocument=json.dumps(TRUST)
        )["Role"]["Arn"]
        lambdas = client(server, "lambda")
        cold, warm = [], []
        for number in range(25):
            code = zipped(f"def handler(event, context): return [{number}, event]")
            name = f"f{number}"
            lambdas.create_function(
                FunctionName=name,
                Runtime="python3.13",
                Role=role,
                Handler="index.handler",
                Code={"ZipFile": code},
            )
            began = time.perf_counter()
            answer = lambdas.invoke(FunctionName=name, Payload=b'{"a": 1}')
            cold.append(time.perf_counter() - began)
            assert json.loads(answer["Payload"].read()) == [number, {"a": 1}]
        for _ in range(500):
            began = time.perf_counter()
            lambdas.invoke(FunctionName="f0", Payload=b'{"a": 1}')["Payload"].read()
            warm.append(time.perf_counter() - began)
        cold_ms, warm_ms = sorted(cold[1:])[12] * 1e3, sorted(warm)[250] * 1e3
        print(
            f"  cold p50 {cold_ms:.1f} ms (first of all, with the zygote: {cold[0] * 1e3:.1f})   warm p50 {warm_ms:.2f} ms"
        )
        invokes = [Recorder(server, "lambda").invoke(FunctionName="f0", Payload=b'{"a": 1}')]
        bare = show("stratolite", "Invoke, without boto3", run(server, invokes, 1, seconds))
        bars.at_most("Lambda warm p50 without boto3, ms", bare.p50_ms, 2.5)
        bars.at_most("Lambda cold p50, ms", cold_ms, 40)
        bars.at_most("Lambda warm p50, ms", warm_ms, 3)
    finally:
        server.stop()


# -- start, memory, deploy, slow disks


def start(bars, _seconds):
    print("\nStart and idle memory")
    starts = {}
    for server in started((Stratolite, Stratolite, Stratolite, Dynalite, MiniStack, Moto)):
        if server.name == "stratolite":
            role = client(server, "iam").create_role(
                RoleName="r", AssumeRolePolicyDocument=json.dumps(TRUST)
            )["Role"]["Arn"]
            lambdas = client(server, "lambda")
            lambdas.create_function(
                FunctionName="f",
                Runtime="python3.13",
                Role=role,
                Handler="index.handler",
                Code={"ZipFile": zipped("def handler(e, c): return 1")},
            )
            lambdas.delete_function(FunctionName="f")
        starts.setdefault(server.name, []).append((server.start_ms, server.pss_mb()))
    for name, figures in starts.items():
        best_ms, pss = sorted(f[0] for f in figures)[len(figures) // 2], figures[-1][1]
        print(f"  {name:12} start {best_ms:6.0f} ms   idle {pss:6.1f} MB PSS")
    mine = starts["stratolite"]
    bars.at_most("start, ms", sorted(f[0] for f in mine)[1], 400)
    bars.at_most("idle memory of server and zygote, MB PSS", mine[-1][1], 80)
    bars.at_most("a throw-away cloud of the pytest fixture, ms", fixture_ms(), 500)


def fixture_ms():
    """The middle of five clouds made and thrown away, as the fixture ``cloud`` makes one for a test."""
    took = []
    for _ in range(5):
        began = time.perf_counter()
        with Cloud():
            took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def deploy(bars, _seconds):
    print("\nDeploy of examples/bookmarks (packaging included)")
    server = Stratolite()
    try:
        environment = os.environ | {
            "AWS_ENDPOINT_URL": server.endpoint, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "PYTHONPATH": str(ROOT / "src"),
        }  # fmt: skip
        command = [
            sys.executable,
            "-m",
            "stratolite",
            "deploy",
            str(ROOT / "examples/bookmarks/template.yaml"),
            "--stack-name",
        ]
        for name in ("first", "second"):
            began = time.perf_counter()
            subprocess.run([*command, name], env=environment, check=True, capture_output=True)
            took_s = time.perf_counter() - began
            print(f"  {name}: {took_s:.2f} s")
            if name == "first":
                bars.at_most("deploy of bookmarks, s", took_s, 3)
        with tempfile.TemporaryDirectory() as folder:
            copy = shutil.copytree(ROOT / "examples/bookmarks", f"{folder}/bookmarks")
            command[-2] = f"{copy}/template.yaml"
            with open(f"{copy}/api/bookmarks.py", "a") as file:
                file.write("# changed\n")
            began = time.perf_counter()
            subprocess.run([*command, "first"], env=environment, check=True, capture_output=True)
            took_s = time.perf_counter() - began
            print(f"  first, one function changed: {took_s:.2f} s")
            bars.at_most("redeploy of bookmarks with one changed function, s", took_s, 1)
        took_s = large_stack(client(server, "cloudformation"))
        print(f"  200 resources: {took_s:.2f} s")
        bars.at_most("stack of 200 resources, s", took_s, 20)
    finally:
        server.stop()


def large_stack(cloudformation):
    """Seconds until 200 resources of five types are there, some waiting for others."""
    kinds = [
        ("AWS::Logs::LogGroup", {"RetentionInDays": 1}),
        ("AWS::SQS::Queue", {"VisibilityTimeout": 5}),
        ("AWS::SNS::Topic", {"DisplayName": "bench"}),
        ("AWS::IAM::Role", {"AssumeRolePolicyDocument": TRUST}),
        ("AWS::SSM::Parameter", {"Type": "String", "Value": "v"}),
    ]
    resources = {}
    for n in range(200):
        kind, properties = kinds[n % len(kinds)]
        resources[f"R{n}"] = {"Type": kind, "Properties": properties}
        if n >= len(kinds) and n % 3 == 0:
            resources[f"R{n}"]["DependsOn"] = f"R{n - len(kinds)}"
    began = time.perf_counter()
    cloudformation.create_stack(
        StackName="large",
        TemplateBody=json.dumps({"Resources": resources}),
        Capabilities=["CAPABILITY_IAM"],
    )
    while True:
        stack = cloudformation.describe_stacks(StackName="large")["Stacks"][0]
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            break
        time.sleep(0.05)
    assert stack["StackStatus"] == "CREATE_COMPLETE", stack["StackStatus"]
    return time.perf_counter() - began


def sync_items(server):
    fill(server)
    return DYNAMODB_LOADS["PutItem 1 KiB"](Recorder(server, "dynamodb"))


def sync_messages(server):
    url = client(server, "sqs").create_queue(QueueName="bench")["QueueUrl"]
    body, sqs = base64.b64encode(os.urandom(760)).decode(), Recorder(server, "sqs")
    return [sqs.send_message(QueueUrl=url, MessageBody=f"{n:06d}{body}") for n in range(2000)]


def sync_records(server):
    import streams

    streams.create_stream(server)
    kinesis = Recorder(server, "kinesis")
    return [
        kinesis.put_records(StreamName=streams.STREAM, Records=streams.records(n))
        for n in range(64)
    ]


def sync_publications(server):
    topics = client(server, "sns")
    topic = topics.create_topic(Name="bench")["TopicArn"]
    subscribe_queues(client(server, "sqs"), topics, topic, 10)
    return [Recorder(server, "sns").publish(TopicArn=topic, Message="m" * 500)]


SYNC_LOADS = {
    "PutItem": sync_items,
    "SendMessage": sync_messages,
    "PutRecords x100": sync_records,
    "Publish to 10 queues": sync_publications,
}
"""Each makes what it writes to on a server of its own: what one leaves to do later is no cost of the next."""


def sync(_bars, seconds):
    """Each answer waits for its sync. A publication's deliveries go on behind its answer, and are in its CPU."""
    import streams

    print("\nOn a RAM disk, with a pause added to every sync")
    place = "/dev/shm" if os.path.isdir("/dev/shm") else None
    for sync_ms in (0, 0.1, 1):
        for what, make in SYNC_LOADS.items():
            for server in started((Stratolite,), place=place, sync_ms=sync_ms):
                requests = make(server)
                for connections in (1, 16, 64):
                    name = f"{what} {sync_ms} ms, {connections} conn."
                    made = run(server, requests, connections, seconds / 2)
                    show(server.name, name, made)
                    if make is sync_records:
                        streams.assert_unthrottled(made)
    import objects

    objects.slow_syncs(_bars, seconds)


def restart(bars, _seconds):
    """100,000 items, kill -9, start; then with the store gone, as after power loss: snapshot and log make it again."""
    print("\nRestart at 100,000 items")
    server = Stratolite()
    try:
        create_table(server, TABLE)
        recorder = Recorder(server, "dynamodb", parameter_validation=False)
        for start_at in range(0, 100_000, 20_000):
            replay(
                server,
                [
                    recorder.batch_write_item(RequestItems=items_put(TABLE, at, 25))
                    for at in range(start_at, start_at + 20_000, 25)
                ],
            )
        server.again()
        plain_ms = server.start_ms
        print(f"  after kill -9: {plain_ms:.0f} ms")
        bars.at_most("restart after kill -9 at 100,000 items, ms", plain_ms, 1000)
        server.again(lose_store=True)
        rate = 100_000 / max(server.start_ms - plain_ms, 1) * 1000
        print(f"  with the store lost: {server.start_ms:.0f} ms, {rate:,.0f} items/s")
        db = client(server, "dynamodb")
        assert "Item" in db.get_item(TableName=TABLE, Key=key(99_999))
    finally:
        server.stop()


PARTS = {
    "start": start,
    "restart": restart,
    "dynamodb": dynamodb,
    "s3": s3,
    "sqs": sqs,
    "sns": sns,
    "iam": iam,
    "lambda": functions,
    "deploy": deploy,
    "sync": sync,
}


def _of(module, part):
    """A part of another file, imported when it is its turn."""

    def run_part(bars, seconds):
        getattr(importlib.import_module(module), part)(bars, seconds)

    return run_part


PARTS |= {part: _of("streams", part) for part in ("kinesis", "mapping", "patterns")}
PARTS["objects"] = _of("objects", "objects")
PARTS["decisions"] = _of("decisions", "decisions")


def large(bars, seconds):
    import large as part

    server = Stratolite()
    try:
        part.large(bars, seconds, server, create_table, key, item)
    finally:
        server.stop()


LONG_PARTS = {"large": large, "instructions": _of("decisions", "instructions")}


def main():
    args = ARGS.parse_args()
    bars = Bars()
    for name, part in (PARTS | LONG_PARTS).items():
        if name in args.only if args.only else name in PARTS:
            part(bars, args.seconds)
    good = bars.show()
    if args.json:
        with open(args.json, "w") as file:
            json.dump([list(row) for row in bars.rows], file, indent=1)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
