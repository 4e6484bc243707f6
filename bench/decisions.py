"""What deciding costs: the same server, the same signed requests, with IAM asked and with nobody asked (``undecided``)."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys

import run as bench
from load import Recorder, replay
from peers import ROOT, Stratolite

ROUNDS = 25
BAR = 1.1
ITEMS = 200
TRUST = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
ALLOW = {
    "Effect": "Allow",
    "Action": ["dynamodb:*", "s3:*", "sqs:*"],
    "Resource": "*",
}


class Decided(Stratolite):
    name = "IAM on"


class Undecided(Stratolite):
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


def filled(server):
    """{signer: {call: requests}}; every call of a kind is about another item, object or message."""
    bench.create_table(server, bench.TABLE)
    bench.client(server, "s3").create_bucket(Bucket=bench.BUCKET)
    url = bench.client(server, "sqs").create_queue(QueueName="bench")["QueueUrl"]
    body = os.urandom(1024)
    message = base64.b64encode(os.urandom(760)).decode()
    asked = {}
    for name, keys in signers(server).items():
        db, s3, sqs = (Recorder(server, service, keys) for service in ("dynamodb", "s3", "sqs"))
        some = range(ITEMS)
        puts = [db.put_item(TableName=bench.TABLE, Item=bench.item(n)) for n in some]
        objects = [s3.put_object(Bucket=bench.BUCKET, Key=f"{n:05}", Body=body) for n in some]
        replay(server, puts + objects)
        asked[name] = {
            "GetItem 1 KiB": [
                db.get_item(TableName=bench.TABLE, Key=bench.key(n)) for n in some
            ],
            "PutItem 1 KiB": puts,
            "S3 GET 1 KiB": [s3.get_object(Bucket=bench.BUCKET, Key=f"{n:05}") for n in some],
            "SendMessage 1 KiB": [
                sqs.send_message(QueueUrl=url, MessageBody=f"{n:06d}{message}") for n in some
            ],
        }  # fmt: skip
    return asked


def decisions(bars, seconds):
    print(f"\nIAM asked and nobody asked: 1 KiB, {bench.CONNECTIONS} connections")
    with bench.together((Decided, Undecided)) as servers:
        asked = {server.name: filled(server) for server in servers}
        for call in asked[Decided.name]["user"]:
            for signer in asked[Decided.name]:
                sides = {
                    server.name: (server, asked[server.name][signer][call], bench.CONNECTIONS)
                    for server in servers
                }
                found = bench.in_turns(sides, seconds, ROUNDS)
                for name, results in found.items():
                    bench.show(name, f"{call} by a {signer}", bench.middle(results))
                bars.at_most(
                    f"{call} by a {signer}: CPU with IAM on, of off",
                    bench.ratio(found[Decided.name], found[Undecided.name]),
                    BAR,
                )
