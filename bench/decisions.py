"""What deciding costs: the same server, the same signed requests, with IAM asked and with nobody asked (``undecided``).

``decisions`` compares CPU time on whatever machine this is, and says how sure it is; ``instructions`` counts what the processor is told
outside the kernel, under callgrind: minutes, on a quiet machine, or clocks and workers run in every request.
"""

from __future__ import annotations

import base64
import glob
import json
import os
import re
import shutil
import statistics
import subprocess
import sys

import run as bench
from load import Recorder, replay, run
from peers import ROOT, Stratolite

GENERATIONS = 3
QUADS = 8
BAR = 1.1
TRUST = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
ALLOW = {
    "Effect": "Allow",
    "Action": ["dynamodb:*", "s3:*", "sqs:*"],
    "Resource": "*",
}


class Decided(Stratolite):
    name = "IAM on"

    def environment(self):
        return super().environment() | {
            "PYTHONHASHSEED": "0"
        }  # or one of them has the luckier tables


class Undecided(Decided):
    name = "IAM off"

    def command(self):
        words = super().command()
        return [sys.executable, str(ROOT / "bench" / "undecided.py"), *words[3:]]


def written(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def signers(server):
    """Keys by what they are: a user's, and the session of a role."""
    people = bench.client(server, "iam")
    people.create_user(UserName="u")
    people.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=written(ALLOW))
    made = people.create_access_key(UserName="u")["AccessKey"]
    role = people.create_role(RoleName="r", AssumeRolePolicyDocument=written(TRUST))["Role"]
    people.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=written(ALLOW))
    user = (made["AccessKeyId"], made["SecretAccessKey"])
    session = bench.client(server, "sts", user).assume_role(
        RoleArn=role["Arn"], RoleSessionName="bench"
    )["Credentials"]
    given = (session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])
    return {"user": user, "role": given}


def filled(server, some=range(200)):
    """{signer: {call: what signs its requests}}; every call of a kind is about another item, object or message."""
    bench.create_table(server, bench.TABLE)
    bench.client(server, "s3").create_bucket(Bucket=bench.BUCKET)
    url = bench.client(server, "sqs").create_queue(QueueName="bench")["QueueUrl"]
    body = os.urandom(1024)
    message = base64.b64encode(os.urandom(760)).decode()

    def by(keys):
        db, s3, sqs = (Recorder(server, service, keys) for service in ("dynamodb", "s3", "sqs"))
        return {
            "GetItem 1 KiB": lambda n: db.get_item(TableName=bench.TABLE, Key=bench.key(n)),
            "PutItem 1 KiB": lambda n: db.put_item(TableName=bench.TABLE, Item=bench.item(n)),
            "S3 GET 1 KiB": lambda n: s3.get_object(Bucket=bench.BUCKET, Key=f"{n:05}"),
            "SendMessage 1 KiB": lambda n: sqs.send_message(
                QueueUrl=url, MessageBody=f"{n:06d}{message}"
            ),
        }

    def signing(ask):
        return lambda: [ask(n) for n in some]

    asked = {
        name: {call: signing(ask) for call, ask in by(keys).items()}
        for name, keys in signers(server).items()
    }
    replay(server, asked["user"]["PutItem 1 KiB"]())
    s3 = Recorder(server, "s3")
    replay(server, [s3.put_object(Bucket=bench.BUCKET, Key=f"{n:05}", Body=body) for n in some])
    return asked


def decisions(bars, seconds):
    """``seconds`` for each call, signer and generation of servers.

    Two processes differ by chance (where their memory lies) by some per cent, for as long as they live: so there are
    ``GENERATIONS`` of them. The machine drifts: so turns are on, off, off, on, and what counts is each quad's ratio. The
    figure is the median of all, and stands with the interval that holds the true median 19 times of 20.
    """
    print(f"\nIAM asked and nobody asked: 1 KiB, {bench.CONNECTIONS} connections")
    ratios = {}
    for _ in range(GENERATIONS):
        with bench.together((Decided, Undecided)) as servers:
            asked = [filled(server) for server in servers]
            for signer, calls in asked[0].items():
                for call in calls:
                    sides = [(s, a[signer][call]()) for s, a in zip(servers, asked, strict=True)]
                    made = quads(*sides, seconds / QUADS / 4)
                    ratios.setdefault(f"{call} by a {signer}", []).append(made)
    for name, found in ratios.items():
        every = sorted(ratio for made in found for ratio in made)
        low, high = interval(every)
        each = ", ".join(f"{statistics.median(made):.3f}" for made in found)
        print(
            f"  {name:28} {statistics.median(every):.3f}, from {low:.3f} to {high:.3f}  by generation {each}"
        )
        bars.at_most(f"{name}: CPU with IAM on, of off", statistics.median(every), BAR)


def quads(on, off, seconds):
    """Ratios of CPU a request, each of four runs in turns."""
    found = []
    for server, requests in (on, off):
        run(server, requests, bench.CONNECTIONS, seconds)  # the first is for the caches
    for _ in range(QUADS):
        cpu = [run(*side, bench.CONNECTIONS, seconds).cpu_us for side in (on, off, off, on)]
        found.append((cpu[0] + cpu[3]) / (cpu[1] + cpu[2]))
    return found


def interval(ordered):
    """Bounds of the median by order statistics, 95 %: https://www.itl.nist.gov/div898/software/dataplot/refman1/auxillar/mediancl.htm"""
    half = 0.98 * len(ordered) ** 0.5
    low, high = int(len(ordered) / 2 - half), int(len(ordered) / 2 + half)
    return ordered[max(low, 0)], ordered[min(high, len(ordered) - 1)]


def counted(kind):
    class Counted(kind):
        def command(self):
            option = [] if kind is Undecided else ["--decided"]
            words = [str(ROOT / "bench" / "undecided.py"), *option, "--counted"]
            return [
                "valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={self.folder}/count",
                sys.executable, *words, *Stratolite.command(self)[3:],
            ]  # fmt: skip

        def environment(self):
            return super().environment() | {"PYTHONHASHSEED": "0"}

        def control(self, *words):
            command = ["callgrind_control", *words, str(self.process.pid)]
            subprocess.run(command, check=True, capture_output=True, timeout=300)

        def count(self, sign):
            """Instructions a request, one after another over one connection; the least of three, for clocks and workers run, too."""
            requests = sign()
            replay(self, requests, 1)
            return min(self.count_once(requests) for _ in range(3))

        def count_once(self, requests):
            self.control("-i", "on")
            replay(self, requests, 1)
            self.control("-i", "off")
            self.control("-d")
            newest = max(
                glob.glob(f"{self.folder}/count.*"), key=lambda path: int(path.rpartition(".")[2])
            )
            with open(newest) as file:
                return int(re.search(r"^totals: (\d+)", file.read(), re.MULTILINE)[1]) / len(
                    requests
                )

    return Counted()


def instructions(bars, _seconds):
    print("\nIAM asked and nobody asked: instructions outside the kernel, 1 KiB, 1 connection")
    if shutil.which("valgrind") is None:
        print("  valgrind: not on this machine, left out")
        return
    found = {}
    for kind in (Decided, Undecided):
        server = counted(kind)
        try:
            for signer, calls in filled(server, range(50)).items():
                for call, sign in calls.items():
                    found[kind.name, f"{call} by a {signer}"] = server.count(sign)
        finally:
            server.stop()
    for (name, what), count in found.items():
        if name == Decided.name:
            less = found[Undecided.name, what]
            print(f"  {what:28} {count:9,.0f} with IAM on {less:9,.0f} off", flush=True)
            bars.at_most(f"{what}: instructions with IAM on, of off", count / less, BAR)
