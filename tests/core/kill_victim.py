"""The process that test_kill kills: links a blob and leaves a job in one transaction, tells, goes on.

A line "ack NAME BLOB" follows when both are durable. The job's worker counts its settlements and swaps the
blob for one it writes itself: unlinks the old, links the new.
"""

from __future__ import annotations

import asyncio
import sys

from stratolite.clock import World
from stratolite.core import work
from stratolite.core.blobs import Blobs, open_shelf
from stratolite.core.database import Database
from stratolite.core.floors import Floors
from stratolite.core.segments import SegmentLog
from stratolite.core.store import LmdbEngine
from stratolite.core.work import Workers


class Victim:
    queue, ordered, concurrency = "t.swap", False, 4

    def __init__(self, folder):
        self.world = World()
        self.db = Database(
            SegmentLog(f"{folder}/log", world=self.world), LmdbEngine(f"{folder}/store"), self.world
        )
        self.db.start()
        self.blobs = Blobs(self.db, self.world, open_shelf(folder, None, self.world), Floors())
        self.work = Workers(self.db, self.world, lambda _: self)
        self.work.start()
        self.blobs.start()

    async def write(self, data):
        writer = self.blobs.writer()
        await writer.write(data)
        return (await writer.finish()).id

    async def add(self, name):
        blob_id = await self.write(b"old " + name)

        def body(tx):
            self.blobs.link(tx, blob_id)
            tx.put(b"blob/" + name, blob_id.encode())
            work.put(tx, self.queue, name)

        await self.db.transact(body)
        print("ack", name.decode(), blob_id, flush=True)

    async def handle(self, job):
        blob_id = await self.write(b"new " + job.payload)

        def settle(tx):
            key = b"blob/" + job.payload
            self.blobs.unlink(tx, tx.get(key).decode())
            self.blobs.link(tx, blob_id)
            tx.put(key, blob_id.encode())
            count = int(tx.get(b"count/" + job.payload) or 0) + 1
            tx.put(b"count/" + job.payload, b"%d" % count)

        return settle

    async def close(self):
        await self.work.close()
        await self.blobs.close()
        await self.db.close()


async def main(folder, prefix):
    victim = Victim(folder)
    print("open", flush=True)
    number = 0
    while True:
        names = [f"{prefix}-{number + i}".encode() for i in range(8)]
        await asyncio.gather(*map(victim.add, names))
        number += 8


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
