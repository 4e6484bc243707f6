"""The cloud clock's distance from the wall clock: stored, shared by all processes, only ever growing.

Key ("", "", "clock", "offset_ms") -> decimal. Users move it to see schedules, expiry and retries act now.
"""

from __future__ import annotations

import asyncio

from stratolite.clock import World
from stratolite.core.database import Database
from stratolite.core.keys import Keyspace
from stratolite.core.tx import Tx
from stratolite.errors import Unavailable
from stratolite.limits import CLOCK_PAUSE_S

_KEY = Keyspace("", "", "clock").key("offset_ms")
_SPAN = (_KEY, _KEY + b"\x00")


class CloudClock:
    """Keeps the world's cloud clock where the store says it is."""

    def __init__(self, db: Database, world: World) -> None:
        self._db, self._world = db, world
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Before anything that looks at the clock."""
        self._world.set_cloud_offset(self._db.peek(_stored_s))
        self._task = asyncio.get_running_loop().create_task(self._follow(), name="cloud clock")

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def advance(self, tx: Tx, seconds: float) -> float:
        """Move the cloud clock forward from when ``tx`` is durable on; the new offset in seconds."""
        assert seconds >= 0, seconds
        offset_ms = int((_stored_s(tx) + seconds) * 1000)
        tx.put(_KEY, b"%d" % offset_ms)
        return offset_ms / 1000

    async def _follow(self) -> None:
        while True:
            try:
                self._world.set_cloud_offset(await self._db.transact(self._changed))
            except Unavailable:
                await self._world.sleep(CLOCK_PAUSE_S)

    def _changed(self, tx: Tx) -> float:
        offset_s = _stored_s(tx)
        if offset_s <= self._world.cloud_offset_s:
            tx.wait([_SPAN], float("inf"))
        return offset_s


def _stored_s(tx: Tx) -> float:
    return int(tx.get(_KEY) or 0) / 1000
