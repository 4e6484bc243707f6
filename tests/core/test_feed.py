"""A feed gives every batch once and in order, and keeps the past that it still needs."""

from __future__ import annotations

import asyncio

import pytest
from core.memory import Inline, MemoryEngine, MemoryLog

from stratolite.clock import SeededWorld
from stratolite.core import Database
from stratolite.core.feed import Feed
from stratolite.core.floors import Floors
from stratolite.core.log import Entry, encode_entry


def in_database(body, *, shared=False):
    async def main():
        log = MemoryLog(shared=shared)
        db = Database(log, MemoryEngine(), SeededWorld(1), background=Inline())
        db.start()
        await body(db, log)
        await db.close()

    asyncio.run(main())


def put(db, number):
    return db.transact(lambda tx: tx.put(b"k%d" % number, b"v"))


def test_it_reads_what_is_there_and_waits_for_what_comes():
    async def body(db, log):
        for number in range(3):
            await put(db, number)
        feed, seen = Feed(db, Floors(), "f", 1), []

        async def follow():
            async for change in feed:
                seen.append(change)
                if change.position == 5:
                    return

        following = asyncio.ensure_future(follow())
        for number in range(3, 5):
            await asyncio.sleep(0.01)
            await put(db, number)
        await asyncio.wait_for(following, 60)
        assert [(c.position, c.writes) for c in seen] == [
            (n + 1, {b"k%d" % n: b"v"}) for n in range(1, 5)
        ]
        assert all(c.time_s == 1.7e9 for c in seen)

    in_database(body)


def test_the_floor_follows_what_its_consumer_has_finished():
    """Not what it was given: a crash would have to see that again."""

    async def body(db, log):
        floors = Floors()
        for number in range(3):
            await put(db, number)
        feed = Feed(db, floors, "f", 0)
        assert floors.lowest(db.durable) == 0
        await anext(feed)
        assert floors.lowest(db.durable) == 0
        await anext(feed)
        assert floors.lowest(db.durable) == 1
        feed.close()
        assert floors.lowest(db.durable) == 3

    in_database(body)


def test_entries_of_other_writers_are_seen_too():
    async def body(db, log):
        feed = Feed(db, Floors(), "f", 0)
        first = asyncio.ensure_future(anext(feed))
        await asyncio.sleep(0)
        log.payloads.append(encode_entry(Entry(b"somebody", 7000, {b"x": b"1"})))
        await put(db, 1)
        assert (await first) == (1, 7.0, {b"x": b"1"})
        assert (await anext(feed)).writes == {b"k1": b"v"}

    in_database(body, shared=True)


def test_a_damaged_log_is_told_to_the_reader():
    async def body(db, log):
        await put(db, 1)
        log.entries = lambda start: (_ for _ in ()).throw(ValueError("damaged"))
        with pytest.raises(ValueError, match="damaged"):
            await anext(Feed(db, Floors(), "f", 0))

    in_database(body)
