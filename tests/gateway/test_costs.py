"""What a usual call costs, in counts that do not depend on the machine: keys read, rows written, syncs, head parsing.

A call of a known kind reads what it is about and nothing else: its table's or bucket's record, its caller's policies and
its own head are known from the call before. Calls that come together share one sync.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import pytest
from clientside import Wire, rendered
from conftest import to_http

from stratolite.core import segments
from stratolite.core.disk import Disk
from stratolite.core.store import LmdbReading
from stratolite.gateway import http1

TOGETHER = 16


class Counts:
    def __init__(self, monkeypatch: Any) -> None:
        self.reads: list[bytes] = []
        self.syncs = self.heads = self.entries = self.own = 0
        get, sync, read_head = LmdbReading.get, Disk.sync, http1.read_head
        append = segments.SegmentLog.append

        def counted_get(reading: Any, key: bytes) -> bytes | None:
            self.reads.append(key)
            return get(reading, key)

        def counted_sync(disk: Any, fd: int) -> None:
            self.syncs += 1
            sync(disk, fd)

        def counted_head(*given: Any) -> Any:
            self.heads += 1
            return read_head(*given)

        def counted_append(log: Any, position: int, payload: bytes) -> bool:
            self.entries += 1
            self.own += b"own0" in payload
            return append(log, position, payload)

        monkeypatch.setattr(LmdbReading, "get", counted_get)
        monkeypatch.setattr(Disk, "sync", counted_sync)
        monkeypatch.setattr(http1, "read_head", counted_head)
        monkeypatch.setattr(segments.SegmentLog, "append", counted_append)


@pytest.fixture
def ready(client):
    client("dynamodb").create_table(
        TableName="table",
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    client("s3").create_bucket(Bucket="bucket")
    client("s3").put_object(Bucket="bucket", Key="at-hand", Body=b"x")


def recorded(client, service, ask):
    sent = []
    made = client(service)

    def record(request, **_):
        request.headers.pop("Expect", None)
        sent.append(to_http(request))
        raise InterruptedError

    made.meta.events.register_first("before-send", record)

    def request(number):
        with pytest.raises(InterruptedError):
            ask(made, number)
        return sent.pop()

    return request


ITEM = {"k": {"S": "a"}, "v": {"N": "1"}, "s": {"S": "x" * 1000}}
CALLS = {
    "PutItem": ("dynamodb", lambda db, n: db.put_item(TableName="table", Item=ITEM | {"k": {"S": f"own{n:03}"}})),
    "GetItem": ("dynamodb", lambda db, n: db.get_item(TableName="table", Key={"k": {"S": f"own{n:03}"}})),
    "UpdateItem": (
        "dynamodb",
        lambda db, n: db.update_item(
            TableName="table",
            Key={"k": {"S": f"own{n:03}"}},
            UpdateExpression="SET v = :v",
            ExpressionAttributeValues={":v": {"N": "1"}},
        ),
    ),
    "S3 PUT": ("s3", lambda s3, n: s3.put_object(Bucket="bucket", Key=f"own{n:03}", Body=b"x" * 1024)),
    "S3 GET": ("s3", lambda s3, n: s3.get_object(Bucket="bucket", Key="at-hand")),
}  # fmt: skip
WRITES = frozenset({"PutItem", "UpdateItem", "S3 PUT"})


@pytest.mark.parametrize("name", CALLS)
def test_a_usual_call_reads_one_key_and_no_head_and_calls_together_share_a_sync(
    platform, client, ready, monkeypatch, name
) -> None:
    """At any size of table: what is stored beside the key is not looked at."""
    request = recorded(client, *CALLS[name])
    warm = Wire(platform)
    for number in range(3):
        assert warm.ask(request(900 + number))[0] == 200
    wires = [Wire(platform) for _ in range(TOGETHER)]
    sent = [rendered(request(number)) for number in range(TOGETHER)]
    counts = Counts(monkeypatch)
    reads: list[bytes] = []

    async def receive() -> None:
        for wire, data in zip(wires, sent, strict=True):
            wire.connection.data_received(data)
        reads.extend(counts.reads)
        for wire in wires:
            status, _, _ = await wire._answer()
            assert status == 200
        await asyncio.sleep(0)

    platform.run(receive())
    assert counts.heads == 0
    # and once for all of them what counts a table's items
    assert TOGETHER <= len(reads) <= TOGETHER + 1
    assert counts.own == (1 if name in WRITES else 0)
    # the clock or a worker may have had something to say meanwhile
    assert counts.own <= counts.syncs <= counts.entries


def instructions(platform: Any, wire: Wire, data: bytes) -> int:
    """Python instructions on the loop from a request's first byte until its answer is asked of the store."""
    found = 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal found
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        found += event == "opcode"
        return trace

    async def receive() -> None:
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            wire.connection.data_received(data)
        finally:
            sys.settrace(before)
        status, _, _ = await wire._answer()
        assert status == 200

    platform.run(receive())
    return found


def of_one_second(requests: Iterator[bytes]) -> list[bytes]:
    """The next six, of those signed in the same second: what all signatures of a second have in common is hashed once."""
    while True:
        some = list(islice(requests, 6))
        if len({re.search(rb"(?i)\nx-amz-date: (\S+)", data)[1] for data in some}) == 1:
            return some


ALLOW = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}  # fmt: skip


@pytest.fixture
def signers(client):
    """Clients' keys by what they are: a user's, a role's session."""
    iam = client("iam")
    iam.create_user(UserName="u")
    iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=json.dumps(ALLOW))
    made = iam.create_access_key(UserName="u")["AccessKey"]
    user = {"key": made["AccessKeyId"], "secret": made["SecretAccessKey"]}
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(
        RoleName="r", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]})
    )
    iam.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=json.dumps(ALLOW))
    session = client("sts", **user).assume_role(
        RoleArn=role["Role"]["Arn"], RoleSessionName="session"
    )
    given = session["Credentials"]
    return {
        "user": user,
        "role": {
            "key": given["AccessKeyId"],
            "secret": given["SecretAccessKey"],
            "token": given["SessionToken"],
        },
    }


@pytest.mark.parametrize("who", ["user", "role"])
def test_what_iam_adds_to_a_call_is_little(platform, client, ready, signers, who) -> None:
    """Against the same signed call where nobody asks what it may, for a principal that was decided about before.

    These are a seventh of the instructions on the loop at most, of a request whose other half is the kernel's; an
    object that was never asked for before costs no more than any other.
    """
    shares = {}
    url = client("sqs").create_queue(QueueName="queue")["QueueUrl"]
    send = ("sqs", lambda sqs, n: sqs.send_message(QueueUrl=url, MessageBody=f"own{n:03}"))
    for name, (service, ask) in (CALLS | {"SendMessage": send}).items():
        request = recorded(lambda s: client(s, **signers[who]), service, ask)
        wire = Wire(platform)

        numbers = count(100)  # every one is another item or object

        def least(wire=wire, request=request, numbers=numbers) -> int:
            sent = of_one_second(rendered(request(n)) for n in numbers)
            return min([instructions(platform, wire, data) for data in sent][3:])

        asked, authorize = least(), platform.cloud.authorize
        platform.cloud.authorize = lambda *_: None
        try:
            free = least()
        finally:
            platform.cloud.authorize = authorize
        assert 500 < free < asked
        shares[name] = round(asked / free - 1, 3)
    assert all(share <= 0.15 for share in shares.values()), shares
