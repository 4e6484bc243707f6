"""Fair queues: messages of quiet tenants are received before those of a noisy one.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues-detailed.html
"""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from harness import run_in_cloud

from stratolite.clock import World
from stratolite.core import Tx
from stratolite.services.sqs import state
from stratolite.services.sqs.finding import key_of

URL = "http://localhost:4566/000000000000/"
KEYS = key_of("000000000000", "us-east-1")


class Clock(World):
    """Real time that a test can move on."""

    def jump(self, seconds: float) -> None:
        self.set_cloud_offset(self.cloud_offset_s + seconds)


class Still(World):
    """No time passes: what is noisy is so by numbers alone."""

    def cloud(self) -> float:
        return 1_700_000_000.0 + self.cloud_offset_s


class Queue:
    """A standard queue, in few words."""

    def __init__(self, sqs: Any, name: str = "q") -> None:
        self.sqs, self.name, self.url = sqs, name, URL + name

    async def make(self, **attributes: Any) -> Queue:
        await self.sqs("sqs", "CreateQueue", QueueName=self.name, Attributes=attributes)
        return self

    async def send(self, group: str, count: int = 1, **more: Any) -> None:
        """Messages "group/number"; without a group where it is ""."""
        own = {"MessageGroupId": group} if group else {}
        for first in range(0, count, 10):
            entries = [
                {"Id": str(n), "MessageBody": f"{group}/{n}", **own, **more}
                for n in range(first, min(first + 10, count))
            ]
            await self.sqs("sqs", "SendMessageBatch", QueueUrl=self.url, Entries=entries)

    async def receive(self, most: int = 10, **more: Any) -> list[dict[str, Any]]:
        ask = {"QueueUrl": self.url, "MaxNumberOfMessages": most, **more}
        return (await self.sqs("sqs", "ReceiveMessage", **ask)).get("Messages", [])

    async def take(self, count: int, **more: Any) -> list[dict[str, Any]]:
        """In as many calls as it needs."""
        found: list[dict[str, Any]] = []
        while len(found) < count and (got := await self.receive(min(10, count - len(found)), **more)):  # fmt: skip
            found += got
        return found

    async def delete(self, *messages: dict[str, Any]) -> None:
        for one in messages:
            ask = {"QueueUrl": self.url, "ReceiptHandle": one["ReceiptHandle"]}
            await self.sqs("sqs", "DeleteMessage", **ask)

    async def counts(self) -> tuple[int, int, int]:
        """(visible, in flight, delayed)"""
        ask = {"QueueUrl": self.url, "AttributeNames": ["All"]}
        found = (await self.sqs("sqs", "GetQueueAttributes", **ask))["Attributes"]
        names = ("", "NotVisible", "Delayed")
        return tuple(int(found[f"ApproximateNumberOfMessages{n}"]) for n in names)  # type: ignore[return-value]


def groups(messages: list[dict[str, Any]]) -> str:
    return "".join(m["Body"].split("/")[0] or "-" for m in messages)


def test_a_backlog_is_no_obstacle_for_others(tmp_path):
    """30 in flight and more than a tenth: the tenant is noisy, and who comes after it comes first."""

    async def body(sqs: Any) -> None:
        q = await Queue(sqs).make()
        await q.send("a", 100)
        assert groups(await q.take(30)) == "a" * 30
        await q.send("b")
        await q.send("")
        await q.send("c")
        assert groups(await q.receive(5)) == "b-caa", "oldest first, then the noisy one's"
        await q.send("b", 2)
        assert groups(await q.take(4)) == "bbaa"
        rest = await q.take(100)
        assert [m["Body"] for m in rest] == [f"a/{n}" for n in range(34, 100)], "none is lost"
        assert await q.counts() == (0, 105, 0)

    run_in_cloud(str(tmp_path), body, Still())


def test_below_thirty_in_flight_the_oldest_comes_first(tmp_path):
    async def body(sqs: Any) -> None:
        q = await Queue(sqs).make()
        await q.send("a", 40)
        await q.take(29)
        await q.send("b")
        assert groups(await q.receive(3)) == "aba", "the 31st would be a noisy one's"

    run_in_cloud(str(tmp_path), body, Still())


def test_thirty_in_flight_are_not_noisy_among_many(tmp_path):
    """Not more than a tenth of all in flight."""

    async def body(sqs: Any) -> None:
        q = await Queue(sqs).make()
        await q.send("", 300)
        await q.take(300)
        await q.send("a", 40)
        await q.take(33)
        await q.send("b")
        await q.send("b")
        assert groups(await q.receive(3)) == "abb", "33 of 333, then 34 of 334"

    run_in_cloud(str(tmp_path), body, Still())


def test_who_is_slow_is_noisy(tmp_path):
    """More than a tenth of the time that messages were in flight lately, with few at once."""
    world = Clock()

    async def body(sqs: Any) -> None:
        q = await Queue(sqs).make()
        await q.send("slow", 20)
        await q.send("quick", 2)
        for _ in range(3):
            (one,) = await q.receive(1)
            assert one["Body"].startswith("slow/")
            world.jump(20)
            await q.delete(one)
            await q.send("quick")
            got = await q.receive(10)
            first = [m for m in got if m["Body"].startswith("quick/")]
            assert got[: len(first)] == first
            assert first
            for m in got:
                handle = m["ReceiptHandle"]
                await sqs("sqs", "ChangeMessageVisibility", QueueUrl=q.url, ReceiptHandle=handle, VisibilityTimeout=0)  # fmt: skip
            await q.delete(*first)

    run_in_cloud(str(tmp_path), body, world)


def test_of_several_noisy_ones_the_least_in_flight_comes_first(tmp_path):
    async def body(sqs: Any) -> None:
        q = await Queue(sqs).make()
        await q.send("a", 100)
        got = await q.take(60)
        assert groups(got) == "a" * 60
        await q.send("b", 100)
        assert groups(await q.take(40)) == "b" * 40, "quiet to its 30th, then behind"
        assert groups(await q.take(20)) == "b" * 20, "40 of 100, 60 of 120"
        assert sorted(groups(await q.take(20))) == ["a"] * 10 + ["b"] * 10

    run_in_cloud(str(tmp_path), body, Still())


@pytest.mark.parametrize("why", ["silent", "drained", "deleted"])
def test_a_noisy_one_becomes_quiet(tmp_path, why):
    """Its backlog is done, five minutes without a message of it, or little of it is in flight."""
    world = Clock()

    async def body(sqs: Any) -> None:
        q = await Queue(sqs).make(VisibilityTimeout="3600")
        await q.send("a", 50)
        got = await q.take(40)
        await q.send("b")
        assert groups(await q.receive(1)) == "b"
        if why == "silent":
            await q.send("b", 3)
            world.jump(300)
            await q.send("c")
            assert groups(await q.take(14)) == "a" * 10 + "bbbc", "as old as it is"
        elif why == "drained":
            await q.take(10)
            await q.delete(*got)
            await q.send("a")
            await q.send("b")
            assert groups(await q.take(2)) in ("ab", "ba")
            assert sqs.cloud.db.peek(lambda tx: state.noisy(tx, state.queue(tx, KEYS, "q"), 9)) == []  # fmt: skip
        else:
            await q.send("", 200)
            await q.take(200)
            await q.delete(*got[:30])
            await q.send("b")
            world.jump(1)
            assert groups(await q.take(11)) in ("a" * 10 + "b", "b" + "a" * 10)

    run_in_cloud(str(tmp_path), body, world)


def test_delays_timeouts_and_dead_letters_keep_their_tenant(tmp_path):
    world = Clock()

    async def body(sqs: Any) -> None:
        await Queue(sqs, "dead").make()
        redrive = {"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:dead", "maxReceiveCount": 2}  # fmt: skip
        q = await Queue(sqs).make(RedrivePolicy=json.dumps(redrive), VisibilityTimeout="10")
        await q.send("a", 3, DelaySeconds=5)
        assert await q.counts() == (0, 0, 3)
        assert await q.receive() == []
        world.jump(6)
        assert groups(await q.receive()) == "aaa"
        assert await q.counts() == (0, 3, 0)
        world.jump(11)
        assert await q.counts() == (3, 0, 0)
        assert groups(await q.receive(10, VisibilityTimeout=0)) == "aaa"
        assert await q.counts() == (3, 0, 0)
        assert await q.receive() == [], "each was received twice"
        assert await q.counts() == (0, 0, 0)
        dead = Queue(sqs, "dead")
        assert await dead.counts() == (3, 0, 0)
        await sqs("sqs", "StartMessageMoveTask", SourceArn=redrive["deadLetterTargetArn"])
        got = await q.receive(10, WaitTimeSeconds=20)
        got += await q.take(3 - len(got), WaitTimeSeconds=20)
        assert groups(got) == "aaa"
        assert await dead.counts() == (0, 0, 0)
        got = await q.receive()
        assert got == []

    run_in_cloud(str(tmp_path), body, world)


def test_what_earlier_versions_put_among_the_others_is_received(tmp_path):
    """They kept messages with a group as those without: rows in ready and later that name no group."""

    async def body(sqs: Any) -> None:
        q = await Queue(sqs).make()

        def as_before(tx: Tx) -> None:
            kept = state.queue(tx, KEYS, "q")
            c = state.counts(tx, kept)
            now_ms = int(tx.time_s * 1000)
            for n in range(4):
                stamp = tx.stamp()
                message = state.Message(f"id{n}", f"a/{n}", b"", {}, "", now_ms, now_ms, group="a")
                state.put_message(tx, kept, stamp, message)
                value = state.standard_value(state.NEW, now_ms)
                state.put_ready(tx, kept, c, now_ms, stamp, value)
                c.visible += 1
            state.put_counts(tx, kept, c)

        await sqs.cloud.db.transact(as_before)
        first = await q.receive(1)
        await q.send("a", 2)
        got = await q.take(5)
        assert groups(first + got) == "aaaaaa"
        await q.delete(*first, *got[:4])
        assert await q.counts() == (0, 1, 0)
        await sqs("sqs", "ChangeMessageVisibility", QueueUrl=q.url, ReceiptHandle=got[4]["ReceiptHandle"], VisibilityTimeout=0)  # fmt: skip
        await q.delete(*(await q.receive()))
        assert await q.counts() == (0, 0, 0)

    run_in_cloud(str(tmp_path), body)


def test_nothing_is_lost_whatever_is_done(tmp_path):
    """Random calls; what was sent and not deleted is there, is counted, and its rows are those of its tenants."""
    world = Clock()
    chance = random.Random(20250721)

    async def body(sqs: Any) -> None:
        await Queue(sqs, "dead").make()
        q = await Queue(sqs).make(VisibilityTimeout="20")
        alive: set[str] = set()
        held: list[dict[str, Any]] = []
        number = 0
        for _ in range(400):
            what = chance.choice(["send", "send", "receive", "receive", "delete", "show", "jump"])
            if what == "send":
                group = chance.choice(["a", "a", "a", "b", "c", "", "d"])
                for _ in range(chance.choice([1, 1, 3, 15])):
                    body = f"{group}/{number}"
                    number += 1
                    own = {"MessageGroupId": group} if group else {}
                    delay = {"DelaySeconds": chance.choice([0, 0, 0, 7])}
                    ask = {"QueueUrl": q.url, "MessageBody": body, **own, **delay}
                    await sqs("sqs", "SendMessage", **ask)
                    alive.add(body)
            elif what == "receive":
                timeout = {"VisibilityTimeout": chance.choice([0, 5, 60])}
                got = await q.receive(chance.randint(1, 10), **timeout)
                assert {m["Body"] for m in got} <= alive
                assert len({m["Body"] for m in got}) == len(got)
                held += got
            elif what == "delete" and held:
                for _ in range(min(len(held), chance.randint(1, 8))):
                    one = held.pop(chance.randrange(len(held)))
                    before = await q.counts()
                    await q.delete(one)
                    if sum(await q.counts()) < sum(before):
                        alive.discard(one["Body"])
            elif what == "show" and held:
                one = chance.choice(held)
                ask = {"QueueUrl": q.url, "ReceiptHandle": one["ReceiptHandle"]}
                try:
                    await sqs("sqs", "ChangeMessageVisibility", **ask, VisibilityTimeout=chance.choice([0, 0, 9]))  # fmt: skip
                except Exception as error:
                    assert "not available for visibility timeout change" in str(error)
            elif what == "jump":
                world.jump(chance.choice([1, 8, 30, 301]))
            assert sum(await q.counts()) == len(alive)
            sqs.cloud.db.peek(lambda tx: check(tx, len(alive)))
        world.jump(100)
        found: set[str] = set()
        while got := await q.receive():
            found |= {m["Body"] for m in got}
            await q.delete(*got)
        assert found == alive
        assert await q.counts() == (0, 0, 0)
        sqs.cloud.db.peek(lambda tx: check(tx, 0))

    def check(tx: Tx, count: int) -> None:
        kept = state.queue(tx, KEYS, "q")
        c = state.counts(tx, kept)
        ready = list(tx.scan(kept.ready_span))
        later = list(tx.scan(kept.later_span))
        names = {state.tenant_of(v) for _, v in ready + later if state.is_tenants(v)}
        names |= set(state.noisy(tx, kept, 100))
        of_groups = 0
        for name in names:
            tenant = state.tenant(tx, kept, name)
            waiting = len(state.backlog(tx, kept, name, state.Tenant(), 1000))
            shown = sum(state.tenant_of(v) == name for _, v in ready)
            assert shown == (1 if tenant.visible and not tenant.is_noisy else 0)
            assert tenant.visible == waiting + shown
            assert len(state.backlog(tx, kept, name, tenant, 1000)) == waiting
            hidden = [v[:1] for _, v in later if state.tenant_of(v) == name]
            delayed = hidden.count(state.NEW)
            assert (tenant.flying, tenant.delayed) == (len(hidden) - delayed, delayed)
            of_groups += tenant.total
        assert of_groups == (c.fair.messages if c.fair else 0)
        assert c.total == count
        if not count:
            left = [key for span in kept.spans() for key, _ in tx.scan(span)]
            assert left in ([], [kept.counts_key]), "nothing is left behind"

    run_in_cloud(str(tmp_path), body, world)


def test_a_tenant_is_what_it_was_after_a_restart(tmp_path):
    async def before(sqs: Any) -> None:
        q = await Queue(sqs).make()
        await q.send("a", 60)
        await q.take(40)
        await q.send("b", 3)

    async def after(sqs: Any) -> None:
        assert groups(await Queue(sqs).take(5)) == "bbbaa"

    run_in_cloud(str(tmp_path), before)
    run_in_cloud(str(tmp_path), after)


def test_a_long_poll_wakes_for_a_message_of_a_group(tmp_path):
    import asyncio

    async def body(sqs: Any) -> None:
        q = await Queue(sqs).make()
        await q.send("a", 31)
        await q.take(31)
        waiting = asyncio.ensure_future(q.receive(1, WaitTimeSeconds=20))
        await asyncio.sleep(0)
        await q.send("a")
        assert groups(await asyncio.wait_for(waiting, 10)) == "a"

    run_in_cloud(str(tmp_path), body)
