import asyncio, os
from stratolite.clock import World
from harness import run_in_cloud


class W:
    queue = "t.q"
    ordered = False
    concurrency = 4

    def __init__(s):
        s.seen = []
        s.fail = 1

    async def handle(s, job):
        if job.payload == b"bad" and s.fail:
            s.fail -= 1
            raise RuntimeError("x")
        s.seen.append(job.payload)
        return lambda tx: tx.put(b"done" + job.payload, b"1")


def test_smoke(tmp_path):
    async def body(h):
        w = W()
        work = h.cloud.work
        work.register(w)
        db = h.cloud.db
        await db.transact(
            lambda tx: [
                work.put(tx, "t.q", b"a"),
                work.put(tx, "t.q", b"bad"),
                work.put(tx, "t.q", b"later", due_s=tx.time_s + 0.3),
            ]
        )
        for _ in range(100):
            if len(w.seen) == 3:
                break
            await asyncio.sleep(0.02)
        assert sorted(w.seen) == [b"a", b"bad", b"later"]
        await asyncio.sleep(0.05)
        rows = await db.transact(lambda tx: list(tx.scan((b"", b"\xff"))))
        print(rows)
        wr = h.cloud.blobs.writer()
        await wr.write(b"x" * 3_000_000)
        b = await wr.finish()
        await db.transact(lambda tx: h.cloud.blobs.link(tx, b.id))
        assert len(await h.cloud.blobs.read(b.id)) == 3_000_000
        print(h.cloud.blobs.body(b.id, 0, 10))

    run_in_cloud(str(tmp_path), body)
