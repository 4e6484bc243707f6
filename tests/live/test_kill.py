"""kill -9 at random moments during mixed writes: everything acknowledged is there afterwards.

STRATOLITE_KILLS sets how often (`make soak` uses 200).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import threading
import time
import zipfile

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from live.server_process import ServerProcess

pytestmark = [pytest.mark.live, pytest.mark.timeout(1500)]
KILLS = int(
    os.environ.get("STRATOLITE_KILLS") or ("200" if os.environ.get("STRATOLITE_SOAK") else "8")
)
TEMPLATE = json.dumps(
    {"Resources": {"G": {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 7}}}}
)
TRUST = json.dumps(
    {
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "lambda.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ]
    }
)


def zipped(text: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("index.py"), text)
    return out.getvalue()


class Writer(threading.Thread):
    """Writes until the server is gone; ``acknowledged`` has what it said yes to, by service."""

    def __init__(self, server: ServerProcess, run: int, lane: int, seed: int) -> None:
        super().__init__()
        self.random = random.Random(seed)
        self.name_of = f"{run:04d}-{lane}"
        self.clients = {s: server.client(s) for s in ("dynamodb", "s3", "lambda", "cloudformation")}
        self.acknowledged: list[tuple[str, str, str]] = []
        self.unexpected: list[str] = []
        self.lane = lane

    def run(self) -> None:
        count = 0
        while True:
            count += 1
            try:
                self.write(f"{self.name_of}-{count:05d}")
            except (BotoCoreError, OSError):
                return  # the server is gone: that write was not acknowledged
            except ClientError as error:
                self.unexpected.append(str(error))
                return

    def write(self, name: str) -> None:
        kind = self.random.choices(
            ("item", "object", "large", "function", "stack"),
            (60, 30, 4, 3, 3) if self.lane else (85, 15, 0, 0, 0),
        )[0]
        if kind == "item":
            self.clients["dynamodb"].put_item(
                TableName="items", Item={"k": {"S": name}, "v": {"S": name * 10}}
            )
            self.acknowledged.append(("item", name, name * 10))
        elif kind in ("object", "large"):
            body = name.encode() * (20 if kind == "object" else 150_000)
            self.clients["s3"].put_object(Bucket="objects", Key=name, Body=body)
            self.acknowledged.append(("object", name, hashlib.md5(body).hexdigest()))
        elif kind == "function":
            code = zipped(f"def handler(event, context): return {name!r}")
            role = "arn:aws:iam::000000000000:role/r"
            made = self.clients["lambda"].create_function(
                FunctionName=f"f-{name}",
                Runtime="python3.13",
                Role=role,
                Handler="index.handler",
                Code={"ZipFile": code},
            )
            self.acknowledged.append(("function", f"f-{name}", made["CodeSha256"]))
        else:
            self.clients["cloudformation"].create_stack(
                StackName=f"s-{name}", TemplateBody=TEMPLATE
            )
            self.acknowledged.append(("stack", f"s-{name}", ""))


def lost(server: ServerProcess, acknowledged: list[tuple[str, str, str]]) -> list[str]:
    """Names that were acknowledged and are not there, or not as they were."""
    dynamodb, s3 = server.client("dynamodb"), server.client("s3")
    functions, stacks = server.client("lambda"), server.client("cloudformation")
    gone = []
    items = [a for a in acknowledged if a[0] == "item"]
    for start in range(0, len(items), 100):
        chunk = items[start : start + 100]
        keys = [{"k": {"S": name}} for _, name, _ in chunk]
        found = {
            i["k"]["S"]: i["v"]["S"]
            for i in dynamodb.batch_get_item(RequestItems={"items": {"Keys": keys}})["Responses"][
                "items"
            ]
        }
        gone += [name for _, name, value in chunk if found.get(name) != value]
    for kind, name, value in acknowledged:
        try:
            if kind == "object":
                body = s3.get_object(Bucket="objects", Key=name)["Body"].read()
                good = hashlib.md5(body).hexdigest() == value
            elif kind == "function":
                good = (
                    functions.get_function_configuration(FunctionName=name)["CodeSha256"] == value
                )
            elif kind == "stack":
                good = ended(stacks, name) == "CREATE_COMPLETE"
            else:
                continue
        except ClientError:
            good = False
        if not good:
            gone.append(f"{kind} {name}")
    return gone


def ended(stacks, name: str) -> str:
    """A stack operation goes on by itself after a restart; wait for its end."""
    end = time.monotonic() + 120
    while True:
        status = stacks.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        if not status.endswith("IN_PROGRESS") or time.monotonic() > end:
            return status
        time.sleep(0.05)


def test_nothing_acknowledged_is_lost_to_sigkill(tmp_path):
    """The promise of the whole platform, asked from outside, through boto3."""
    seed = int(os.environ.get("STRATOLITE_SEED") or random.SystemRandom().randrange(1 << 30))
    print(f"seed={seed} kills={KILLS}")
    chance = random.Random(seed)
    server = ServerProcess(str(tmp_path / "data"))
    try:
        server.client("dynamodb").create_table(
            TableName="items",
            AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        server.client("s3").create_bucket(Bucket="objects")
        server.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)
        everything: list[tuple[str, str, str]] = []
        slowest_s, run = 0.0, 0
        while run < KILLS or not {"item", "object"} <= {kind for kind, _, _ in everything}:
            assert run < KILLS + 50, "too slow to acknowledge anything"
            writers = [Writer(server, run, lane, chance.random().__hash__()) for lane in range(3)]
            for writer in writers:
                writer.start()
            time.sleep(chance.uniform(0.15, 0.6) * max(1, run / KILLS))
            server.kill()
            for writer in writers:
                writer.join()
                assert not writer.unexpected, writer.unexpected
            server.start()
            slowest_s = max(slowest_s, server.started_s)
            fresh = [a for writer in writers for a in writer.acknowledged]
            assert not lost(server, fresh), f"seed={seed} run={run}"
            everything += fresh
            run += 1
        assert not lost(server, everything), f"seed={seed}"
        kinds = {
            k: sum(a[0] == k for a in everything) for k in ("item", "object", "function", "stack")
        }
        print(f"kills={run} acknowledged={kinds} lost=0 slowest restart={slowest_s:.2f} s")
    finally:
        if server.process.poll() is None:
            server.kill()
