"""What SQS calls cost, counted: keys looked up and rows read, whatever waits in the queue."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from harness import run_in_cloud
from meter import Meter

URL = "http://localhost:4566/000000000000/"
MANY = 1_000_000 if os.environ.get("STRATOLITE_SOAK") else 5_000
SENT_AT_ONCE = 2_500


async def fill(sqs: Any, name: str, count: int, group: str = "") -> None:
    async def send(start: int) -> None:
        entries = [{"Id": str(n), "MessageBody": str(n)} for n in range(start, start + 10)]
        if group:
            entries = [
                e | {"MessageGroupId": f"{group}{e['Id'][-1]}", "MessageDeduplicationId": e["Id"]}
                for e in entries
            ]
        await sqs("sqs", "SendMessageBatch", QueueUrl=URL + name, Entries=entries)

    for first in range(0, count, SENT_AT_ONCE):
        last = min(first + SENT_AT_ONCE, count)
        await asyncio.gather(*(send(start) for start in range(first, last, 10)))


@pytest.mark.timeout(60 + MANY // 500)
@pytest.mark.parametrize("name", ["q", "q.fifo"])
def test_receiving_costs_the_same_with_few_and_with_many_waiting(tmp_path: Any, name: str) -> None:
    """Nothing is looked through, sorted or moved: the heads of two spans, then what is received.

    STRATOLITE_SOAK=1: with 1,000,000 waiting.
    """

    async def cost(sqs: Any, number: int, waiting: int) -> list[int]:
        queue = f"{number}{name}"
        attributes = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
        await sqs("sqs", "CreateQueue", QueueName=queue, Attributes=attributes)
        await fill(sqs, queue, waiting, "g" if attributes else "")
        meter, found = Meter(sqs.cloud.db, "sqs"), []
        url = {"QueueUrl": URL + queue}
        for most in (1, 5):
            got = await sqs("sqs", "ReceiveMessage", **url, MaxNumberOfMessages=most)
            assert len(got["Messages"]) == most
            found.append(meter.taken())
        handle = got["Messages"][0]["ReceiptHandle"]
        await sqs("sqs", "DeleteMessage", **url, ReceiptHandle=handle)
        found.append(meter.taken())
        await sqs("sqs", "GetQueueAttributes", **url, AttributeNames=["All"])
        found.append(meter.taken())
        return found

    async def body(sqs: Any) -> Any:
        return await cost(sqs, 1, 100), await cost(sqs, 2, MANY)

    few, many = run_in_cloud(str(tmp_path), body)
    assert few == many
    assert few[0] <= (14 if name.endswith(".fifo") else 8), few


@pytest.mark.timeout(60 + MANY // 500)
def test_quiet_tenants_cost_the_same_behind_few_and_behind_many_of_a_noisy_one(
    tmp_path: Any,
) -> None:
    """Its backlog is in rows of its own, and no look passes them. STRATOLITE_SOAK=1: 1,000,000 of it."""

    async def fill_fair(sqs: Any, name: str, count: int) -> None:
        async def send(start: int) -> None:
            entries = [
                {"Id": str(n), "MessageBody": "a", "MessageGroupId": "noisy"}
                for n in range(start, start + 10)
            ]
            await sqs("sqs", "SendMessageBatch", QueueUrl=URL + name, Entries=entries)

        for first in range(0, count, SENT_AT_ONCE):
            last = min(first + SENT_AT_ONCE, count)
            await asyncio.gather(*(send(start) for start in range(first, last, 10)))

    async def cost(sqs: Any, queue: str, waiting: int) -> list[int]:
        await sqs("sqs", "CreateQueue", QueueName=queue)
        await fill_fair(sqs, queue, waiting)
        url, found = {"QueueUrl": URL + queue}, []
        for _ in range(4):
            await sqs("sqs", "ReceiveMessage", **url, MaxNumberOfMessages=10)
        for _ in range(3):
            for tenant in ("b", "c", ""):
                own = {"MessageGroupId": tenant} if tenant else {}
                await sqs("sqs", "SendMessage", **url, MessageBody=tenant or "-", **own)
        meter = Meter(sqs.cloud.db, "sqs")
        for most in (1, 3, 10):
            got = await sqs("sqs", "ReceiveMessage", **url, MaxNumberOfMessages=most)
            found.append(meter.taken())
            bodies = "".join(m["Body"] for m in got["Messages"])
            assert bodies == {1: "b", 3: "c-b", 10: "c-bc-aaaaa"}[most]
            handle = got["Messages"][-1]["ReceiptHandle"]
            await sqs("sqs", "DeleteMessage", **url, ReceiptHandle=handle)
            found.append(meter.taken())
        await sqs("sqs", "SendMessage", **url, MessageBody="a", MessageGroupId="noisy")
        found.append(meter.taken())
        return found

    async def body(sqs: Any) -> Any:
        return await cost(sqs, "q1", 100), await cost(sqs, "q2", MANY)

    few, many = run_in_cloud(str(tmp_path), body)
    assert few == many
    assert few[0] <= 16, few


def test_purging_is_one_small_transaction_whatever_is_in_the_queue(tmp_path: Any) -> None:
    """The queue gets another box; the old one is emptied a page at a time."""

    async def body(sqs: Any) -> None:
        await sqs("sqs", "CreateQueue", QueueName="q")
        await fill(sqs, "q", 3000)
        meter = Meter(sqs.cloud.db, "sqs")
        await sqs("sqs", "PurgeQueue", QueueUrl=URL + "q")
        assert meter.taken() < 10

    run_in_cloud(str(tmp_path), body)


def test_a_receive_is_answered_before_its_sync_and_only_with_durable_messages(
    tmp_path: Any,
) -> None:
    """``sqs:visibility``: a crash may take the receive away, never show what was not sent."""

    async def body(sqs: Any) -> None:
        await sqs("sqs", "CreateQueue", QueueName="q")
        await fill(sqs, "q", 10)
        db, call = sqs.cloud.db, sqs.call()
        service = sqs.cloud.service("sqs")
        ask = {"QueueUrl": URL + "q"}
        relaxed = []

        def receive(tx: Any) -> Any:
            call.tx = tx
            answer = service.receive_message(call, dict(ask))
            relaxed.append(tx.relaxed)
            return answer

        def send_then_receive(tx: Any) -> Any:
            call.tx = tx
            service.send_message(call, {**ask, "MessageBody": "fresh"})
            call.tx.relaxed = False
            return service.receive_message(call, {**ask, "MaxNumberOfMessages": 10})

        await db.transact(receive)
        assert relaxed == [True]
        sent = db.transact(send_then_receive)
        assert len((await sent)["Messages"]) == 10
        await fill(sqs, "q", 10)
        seen = []

        def fresh(tx: Any) -> None:
            call.tx = tx
            service.send_message(call, {**ask, "MessageBody": "undurable"})
            for _ in range(2):
                service.receive_message(call, {**ask, "MaxNumberOfMessages": 10})
                seen.append(tx.relaxed)
                tx.relaxed = False

        await db.transact(fresh)
        assert seen == [True, False]

    run_in_cloud(str(tmp_path), body)
