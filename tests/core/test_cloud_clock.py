"""The cloud clock goes where the store says, forward only, and survives a restart."""

from __future__ import annotations

import asyncio

from core.memory import Inline, MemoryEngine, MemoryLog, turns

from stratolite.clock import SeededWorld
from stratolite.core import Database
from stratolite.core.cloud_clock import CloudClock


def opened(payloads):
    world = SeededWorld(1)
    db = Database(MemoryLog(payloads), MemoryEngine(), world, background=Inline())
    db.start()
    clock = CloudClock(db, world)
    clock.start()
    return world, db, clock


def test_an_advance_moves_the_clock_once_it_is_durable_and_a_restart_keeps_it():
    async def main():
        payloads = []
        world, db, clock = opened(payloads)
        await turns(5)
        assert await db.transact(lambda tx: clock.advance(tx, 3600.0)) == 3600.0
        await turns(10)
        assert world.cloud() == world.wall() + 3600
        assert await db.transact(lambda tx: clock.advance(tx, 60.5)) == 3660.5
        await turns(10)
        assert await db.transact(lambda tx: tx.time_s) == world.wall() + 3660.5
        await clock.close()
        await db.close()
        world, db, clock = opened(payloads)
        assert world.cloud() == world.wall() + 3660.5
        await clock.close()
        await db.close()

    asyncio.run(main())
