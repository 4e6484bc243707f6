"""A log in memory that outlives its databases, and background work done on the loop: no threads, no disk waits."""

from __future__ import annotations

import asyncio

from stratolite.core.log import Entry, decode_entry
from stratolite.errors import Unavailable


class MemoryLog:
    """``payloads`` may be given to the next log: that is a restart. ``crash`` decides the batch in flight."""

    def __init__(self, payloads=None, *, shared=False):
        self.payloads = [] if payloads is None else payloads
        self.shared = shared
        self.first = 1
        self.dead = False

    def append(self, position, payload):
        if self.dead:
            raise Unavailable("crashed")
        if position <= len(self.payloads):
            return False
        assert position == len(self.payloads) + 1
        self.payloads.append(payload)
        return True

    def read(self, position):
        return self.payloads[position - 1] if position <= len(self.payloads) else None

    def entries(self, start):
        return enumerate(self.payloads[start - 1 :], start)

    def trim(self, floor):
        pass

    def close(self):
        pass

    def entry(self, position) -> Entry:
        return decode_entry(self.payloads[position - 1])


class Inline:
    """Background jobs as turns of the loop."""

    def start(self, loop):
        self.loop = loop

    def run(self, job):
        self.loop.call_soon(lambda: self.loop.call_soon(job()))

    def on_loop(self, work):
        work()

    async def stop(self):
        for _ in range(4):
            await asyncio.sleep(0)


class MemoryEngine:
    """A dict as a store."""

    def __init__(self):
        self.rows, self.position = {}, 0

    def apply(self, writes, position):
        rows = dict(self.rows)
        for key, value in writes.items():
            if value is None:
                rows.pop(key, None)
            else:
                rows[key] = value
        self.rows, self.position = rows, position

    def grow(self):
        raise NotImplementedError

    def reading(self):
        return MemoryReading(self.rows, self.position)

    def close(self):
        pass

    destroy = close


class MemoryReading:
    def __init__(self, rows, position):
        self.rows, self.position = rows, position
        self.get = rows.get

    def scan(self, start, stop, *, reverse=False, expected=0):
        return iter(
            sorted(((k, v) for k, v in self.rows.items() if start <= k < stop), reverse=reverse)
        )

    def close(self):
        pass


async def turns(count):
    for _ in range(count):
        await asyncio.sleep(0)
