"""Two servers on one log, in one process: what each sees of the other's writes."""

from __future__ import annotations

import asyncio
import tempfile

import pytest

from stratolite.clock import SeededWorld
from stratolite.core.database import Database
from stratolite.core.objects import ObjectLog, open_objects
from stratolite.core.store import LmdbEngine


def _pair(body, world=None):
    """Run ``await body(one, two, world)`` over two databases on one log."""
    world = world or SeededWorld(1)

    async def main():
        objects = open_objects("memory://")
        with tempfile.TemporaryDirectory() as folder:
            pair = []
            for name in ("one", "two"):
                db = Database(ObjectLog(objects, world), LmdbEngine(f"{folder}/{name}"), world)
                db.start()
                pair.append(db)
            try:
                async with asyncio.timeout(120):
                    return await body(*pair, world)
            finally:
                for db in pair:
                    await db.close()

    return asyncio.run(main())


def _put(key, value=b"1"):
    return lambda tx: tx.put(key, value)


def _get(key):
    return lambda tx: tx.get(key)


def test_after_a_second_without_a_look_the_tail_is_read_first():
    """What a caller sees is at most that old, though this server had nothing to do with it."""

    async def body(one, two, world):
        await one.transact(_put(b"a"))
        assert await two.transact(_get(b"a")) is None  # a look was just taken
        world.advance(1.5)
        assert await two.transact(_get(b"a")) == b"1"

    _pair(body)


def test_catch_up_sees_all_that_was_acknowledged_before():
    """Even while its own batch is in flight."""

    async def body(one, two, _world):
        for i in range(30):
            own = asyncio.ensure_future(two.transact(_put(b"own", b"%d" % i)))
            await one.transact(_put(b"a", b"%d" % i))
            await two.catch_up()
            assert await two.transact(_get(b"a")) == b"%d" % i
            await own

    _pair(body)


def test_a_wait_is_woken_by_another_servers_write():
    """The tail is followed while idle."""

    async def body(one, two, world):
        def wait(tx):
            if (value := tx.get(b"a")) is None:
                tx.wait([(b"a", b"b")], float("inf"))
            return value

        waiting = asyncio.ensure_future(two.transact(wait))
        await asyncio.sleep(0.01)
        await one.transact(_put(b"a"))
        for _ in range(12_000):
            world.advance(0.1)
            await asyncio.sleep(0.005)
            if waiting.done():
                break
        assert await waiting == b"1"

    _pair(body)


def test_both_count_and_no_count_is_lost():
    """Lost races run the transaction again on what the other wrote."""

    async def body(one, two, _world):
        def more(tx):
            n = int(tx.get(b"n") or 0) + 1
            tx.put(b"n", b"%d" % n)
            return n

        async def many(db):
            return [await db.transact(more) for _ in range(100)]

        both = await asyncio.gather(many(one), many(two))
        assert sorted(n for counts in both for n in counts) == list(range(1, 201))
        assert both[0] == sorted(both[0])

    _pair(body)


def test_time_never_runs_back_over_another_servers_entries():
    """tx.time_s is at least that of every entry before it, though the clocks differ."""
    behind, ahead = SeededWorld(1), SeededWorld(2, start_s=1_700_000_500.0)

    async def main():
        objects = open_objects("memory://")
        with tempfile.TemporaryDirectory() as folder:
            one = Database(ObjectLog(objects, ahead), LmdbEngine(f"{folder}/1"), ahead)
            two = Database(ObjectLog(objects, behind), LmdbEngine(f"{folder}/2"), behind)
            one.start()
            two.start()
            await one.transact(_put(b"a"))
            await two.transact(_put(b"b"))
            assert await two.transact(lambda tx: tx.time_s) >= 1_700_000_500.0
            await one.close()
            await two.close()

    asyncio.run(main())


def test_relaxed_writes_survive_a_lost_race():
    """Answered before the sync, they may be lost in a crash, not in a race."""

    async def body(one, two, _world):
        def relaxed(tx):
            tx.relaxed = True
            tx.put(b"log", b"line")

        for i in range(20):
            await one.transact(_put(b"a", b"%d" % i))
            await two.transact(relaxed)
            await two.transact(_put(b"b", b"%d" % i))
            assert await two.transact(_get(b"log")) == b"line"
            await two.transact(lambda tx: tx.delete(b"log"))

    _pair(body)


@pytest.mark.parametrize("count", [1, 2500])
def test_a_server_far_behind_reads_all_of_it(count):
    """More than is applied in one job."""

    async def body(one, two, world):
        for i in range(0, count, 50):
            await asyncio.gather(
                *(one.transact(_put(b"%d" % j)) for j in range(i, min(count, i + 50)))
            )
        for i in range(count // 2):  # one batch each
            await one.transact(_put(b"n", b"%d" % i))
        world.advance(5.0)
        await two.catch_up()
        assert two.durable == one.durable

    _pair(body)
