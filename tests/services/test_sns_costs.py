"""What a fan-out costs, counted: what is looked up, decided, signed and written out once for many messages and many queues."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

from harness import run_in_cloud

from stratolite.services.sns import envelopes, signing
from stratolite.services.sns.fanout import FanOut

QUEUES = 10
URL = "http://localhost:4566/000000000000/"


class Meter:
    def __init__(self, cloud: Any, monkeypatch: Any) -> None:
        self.counts: Counter[str] = Counter()
        self._watch(monkeypatch, FanOut, "handle_all", "bundles")
        self._watch(monkeypatch, FanOut, "_send", "settled")
        self._watch(monkeypatch, envelopes, "notification", "envelopes")
        self._watch(monkeypatch, signing, "_sign_all", "trips to sign")
        self.texts: list[bytes] = []
        sign_all = signing._sign_all

        def signed(private: Any, texts: Any, version: str) -> Any:
            self.texts += texts
            return sign_all(private, texts, version)

        monkeypatch.setattr(signing, "_sign_all", signed)
        authorize, get = cloud.authorize, cloud.db.get_committed

        def decided(call: Any, service: Any, operation: str, request: Any) -> None:
            self.counts[f"decisions {operation}"] += 1
            authorize(call, service, operation, request)

        def looked_up(tx: Any, key: bytes) -> Any:
            if b"\x02sqs\x00" in key and b"\x02counts\x00" in key:
                self.counts["counts of queues"] += 1
            return get(tx, key)

        cloud.authorize, cloud.db.get_committed = decided, looked_up

    def _watch(self, monkeypatch: Any, owner: Any, name: str, what: str) -> None:
        real = getattr(owner, name)

        def counted(*given: Any, **named: Any) -> Any:
            self.counts[what] += 1
            return real(*given, **named)

        monkeypatch.setattr(owner, name, counted)


async def made(sns: Any) -> str:
    allow = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": "*"}  # fmt: skip
    policy = json.dumps({"Statement": [allow]})
    topic = (await sns("sns", "CreateTopic", Name="t"))["TopicArn"]
    for number in range(QUEUES):
        await sns("sqs", "CreateQueue", QueueName=f"q{number}", Attributes={"Policy": policy})
        arn = f"arn:aws:sqs:us-east-1:000000000000:q{number}"
        await sns("sns", "Subscribe", TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return str(topic)


async def waiting(sns: Any, number: int) -> int:
    name = "ApproximateNumberOfMessages"
    ask = {"QueueUrl": f"{URL}q{number}", "AttributeNames": [name]}
    return int((await sns("sqs", "GetQueueAttributes", **ask))["Attributes"][name])


async def all_have(sns: Any, count: int) -> None:
    while {await waiting(sns, number) for number in range(QUEUES)} != {count}:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def test_ten_messages_cost_ten_queues_as_many_decisions_as_one(tmp_path: Any, monkeypatch: Any) -> None:  # fmt: skip
    """One bundle, one settling transaction, one trip to the signing thread, one SendMessageBatch a queue; a text a message."""

    async def body(sns: Any) -> list[Counter[str]]:
        topic = await made(sns)
        await sns("sns", "Publish", TopicArn=topic, Message="the first makes the signing key")
        found, had = [], 1
        await all_have(sns, had)
        meter = Meter(sns.cloud, monkeypatch)
        for count in (1, 10):
            entries = [{"Id": str(n), "Message": f"message {n}"} for n in range(count)]
            await sns("sns", "PublishBatch", TopicArn=topic, PublishBatchRequestEntries=entries)
            had += count
            await all_have(sns, had)
            del meter.counts["decisions GetQueueAttributes"], meter.counts["counts of queues"]
            found.append(Counter(meter.counts))
            meter.counts.clear()
        return found

    one, ten = run_in_cloud(str(tmp_path), body)
    assert ten == one | {"envelopes": 10}
    assert one == {
        "bundles": 1, "settled": 1, "trips to sign": 1, "envelopes": 1,
        "decisions PublishBatch": 1, "decisions SendMessageBatch": QUEUES,
    }  # fmt: skip


def test_what_is_too_long_for_one_batch_goes_in_several(tmp_path: Any) -> None:
    """Ten messages of 250 KB are 2.5 MB, of which SendMessageBatch takes 1 MiB at a time."""

    async def body(sns: Any) -> None:
        topic = await made(sns)
        for _ in range(2):
            await asyncio.gather(
                *(sns("sns", "Publish", TopicArn=topic, Message="é" * 125_000) for _ in range(5))
            )
        await all_have(sns, 10)

    run_in_cloud(str(tmp_path), body)


def test_a_message_is_signed_once_for_functions_queues_and_web_addresses_alike(
    tmp_path: Any, monkeypatch: Any
) -> None:
    """What is signed says nothing of the subscription; a signature is half a millisecond."""

    async def body(sns: Any) -> list[bytes]:
        meter = Meter(sns.cloud, monkeypatch)
        topic = await made(sns)
        got: list[Any] = []
        invoked = asyncio.Event()

        async def invoke(call: Any, request: Any) -> Any:
            got.append(json.loads(request["Payload"])["Records"][0]["Sns"]["Signature"])
            if len(got) == 5:
                invoked.set()
            return {"StatusCode": 202}

        sns.cloud.service("lambda").invoke = invoke
        for number in range(5):
            arn = f"arn:aws:lambda:us-east-1:000000000000:function:f{number}"
            await sns("sns", "Subscribe", TopicArn=topic, Protocol="lambda", Endpoint=arn)
        sns.cloud.authorize = lambda *_: None
        await sns("sns", "Publish", TopicArn=topic, Message="m")
        await invoked.wait()
        for number in range(QUEUES):
            answer = await sns("sqs", "ReceiveMessage", QueueUrl=f"{URL}q{number}", WaitTimeSeconds=20)  # fmt: skip
            got.append(json.loads(answer["Messages"][0]["Body"])["Signature"])
        assert len(set(got)) == 1
        return meter.texts

    texts = run_in_cloud(str(tmp_path), body)
    assert len([text for text in texts if b"Notification" in text]) == 1
