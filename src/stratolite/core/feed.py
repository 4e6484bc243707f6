"""The log as a stream of what was committed, from a position on, following its tail.

    feed = Feed(db, floors, "replica", position)
    async for one in feed: ...          # Change(position, time_s, writes), in order, each exactly once

For what must see every change in order: replicas, indexes built beside the log, audits. A feed holds the
retention floor at what its consumer has finished, which is when it asks for the next.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from stratolite.core.database import Database
from stratolite.core.floors import Floors
from stratolite.core.log import Writes
from stratolite.limits import FEED_PAGE_BYTES


class Change(NamedTuple):
    """One batch. ``time_s`` is the cloud clock when it was handed to the log; None deletes."""

    position: int
    time_s: float
    writes: Writes


class Feed:
    def __init__(self, db: Database, floors: Floors, name: str, position: int) -> None:
        """Starts after ``position``. Iterating raises ``log.Trimmed`` if what follows is gone already."""
        self._db, self._floors, self._name = db, floors, name
        self._read: deque[Change] = deque()
        self._next = position + 1
        self._given = position
        floors.hold(name, position)

    def __aiter__(self) -> Feed:
        return self

    async def __anext__(self) -> Change:
        """Waits for the next batch to be durable. Raises Unavailable while the log cannot be read."""
        self._floors.hold(self._name, self._given)
        while not self._read:
            await self._db.beyond(self._next - 1)
            for position, entry in await self._db.read_log(self._next, FEED_PAGE_BYTES):
                self._read.append(Change(position, entry.time_ms / 1000, entry.writes))
                self._next = position + 1
        change = self._read.popleft()
        self._given = change.position
        return change

    def close(self) -> None:
        """Nobody reads on: let go of the past."""
        self._floors.release(self._name)
