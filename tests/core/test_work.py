"""Queues of work: nothing is lost or settled twice, partitions keep their order, whatever crashes."""

from __future__ import annotations

import asyncio
import logging

import pytest
from core.memory import Inline, MemoryEngine, MemoryLog, turns
from hypothesis import given, settings
from hypothesis import strategies as st

from stratolite.clock import SeededWorld
from stratolite.core import Database, work
from stratolite.core.keys import Keyspace, unpack
from stratolite.core.work import Workers


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.CRITICAL, logger="stratolite.work")


class Cell:
    """One process after another over one log."""

    def __init__(self, *, shared=False):
        self.world = SeededWorld(1)
        self.payloads = []
        self.shared = shared
        self.workers = []
        self.handled = []  # (queue, partition, name) as effects happened
        self.running = set()
        self.fail_count = {}
        self.ids = []  # what jobs were called when they were carried out
        self.slow = 0

    def open(self):
        log = MemoryLog(self.payloads, shared=self.shared)
        db = Database(log, MemoryEngine(), self.world, background=Inline())
        db.start()
        workers = Workers(db, self.world, lambda queue: hand(self, queue, db))
        workers.start()
        self.log, self.db, self.work = log, db, workers
        return self

    async def crash(self):
        """The process is gone between two turns of the loop; what it appended stays."""
        self.log.dead = True
        tasks = [*self.work._tasks]
        for runner in self.work._runners.values():
            tasks += [runner.task, *runner.running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.db._waits.close()
        for task in self.db._tasks:
            task.cancel()
        self.running.clear()

    async def settle_down(self, seconds=2000):
        """Time passes until every retry has come round."""
        for _ in range(40):
            await turns(60)
            self.world.advance(seconds / 40)
        await turns(200)

    async def rows(self):
        found = await self.db.transact(lambda tx: list(tx.scan(Keyspace("", "", "work").span())))
        return [key for key, _ in found if b"\x02queue\x00" not in key]


class Hand:
    concurrency = 3

    def __init__(self, cell, queue, db):
        self.cell, self.queue, self.db = cell, queue, db
        self.ordered = queue.startswith("t.ordered")

    async def handle(self, job):
        cell, name = self.cell, job.payload
        if self.ordered:
            assert (self.queue, job.partition) not in cell.running, "two of one partition at once"
        cell.running.add((self.queue, job.partition))
        try:
            await turns(cell.slow)
            cell.handled.append((self.queue, job.partition, name))
            cell.ids.append(job.id)
            if cell.fail_count.get(name, 0) > 0:
                cell.fail_count[name] -= 1
                raise RuntimeError("the effect failed")
        finally:
            cell.running.discard((self.queue, job.partition))

        def settle(tx):
            count = int(tx.get(b"settled" + name) or 0) + 1
            tx.put(b"settled" + name, b"%d" % count)
            tx.put(b"order" + job.partition + b"/%020d" % tx.stamp(), name)

        return settle


class Bundles(Hand):
    """Several jobs in one effect and one transaction."""

    together = 3

    async def handle_all(self, jobs):
        assert len(jobs) <= self.together
        assert len(jobs) == 1 or all(job.attempt == 1 for job in jobs), "what came back goes alone"
        settles = {job.id: await self.handle(job) for job in jobs}

        def settle(tx, left):
            assert left
            for job in left:
                settles[job.id](tx)

        return settle


def hand(cell, queue, db):
    return (Bundles if queue == "t.together" else Hand)(cell, queue, db)


queues = st.sampled_from(["t.loose", "t.ordered", "t.together"])
actions = st.lists(
    st.one_of(
        st.tuples(
            st.just("put"),
            queues,
            st.sampled_from([b"", b"p", b"q"]),
            st.integers(0, 3),
            st.sampled_from([None, None, None, 0.05, 30.0]),
        ),
        st.tuples(st.just("put"), queues, st.just(b"p"), st.integers(0, 2), st.none()),
        st.tuples(st.just("cancel"), st.integers(0, 4)),
        st.tuples(st.just("turns"), st.integers(1, 20)),
        st.tuples(st.just("advance"), st.sampled_from([0.1, 1.0, 50.0])),
        st.tuples(st.just("crash")),
        st.tuples(st.just("restart")),
    ),
    max_size=30,
)


@settings(max_examples=250, deadline=None)
@given(actions, st.sampled_from([0, 3, 15, 40]), st.booleans())
def test_jobs_happen_and_are_settled_once_in_their_partitions_order(script, slow, shared):
    """At least once for effects, exactly once for what they lead to, oldest first where order is asked for."""

    async def main():
        cell = Cell(shared=shared)
        cell.slow = slow
        cell.open()
        put, cancelled = [], set()
        for action in script:
            if action[0] == "put":
                _, queue, partition, fail_count, delay_s = action
                name = b"job%02d" % len(put)
                cell.fail_count[name] = fail_count

                def body(tx, queue=queue, partition=partition, delay_s=delay_s, name=name):
                    due_s = None if delay_s is None else tx.time_s + delay_s
                    return work.put(tx, queue, name, partition=partition, due_s=due_s)

                job_id = await cell.db.transact(body)
                put.append((job_id, queue, partition, name, delay_s))
            elif action[0] == "cancel" and put:
                job_id, *_, name, _ = put[-1 - action[1] % len(put)]
                if await cell.db.transact(lambda tx, job_id=job_id: work.cancel(tx, job_id)):
                    cancelled.add(name)
            elif action[0] == "turns":
                await turns(action[1])
            elif action[0] == "advance":
                cell.world.advance(action[1])
            elif action[0] == "crash":
                await cell.crash()
                cell.open()
            elif action[0] == "restart":
                await cell.work.close()
                await cell.db.close()
                cell.open()
        await cell.settle_down()
        rows = dict(await cell.db.transact(lambda tx: list(tx.scan((b"order", b"t")))))
        for _, queue, partition, name, _ in put:
            settled = int(rows.get(b"settled" + name, 0))
            assert settled == (name not in cancelled), (name, settled)
            if name not in cancelled:
                assert (queue, partition, name) in cell.handled
        for partition in (b"", b"p", b"q"):
            prefix = b"order" + partition + b"/"
            order = [v for k, v in sorted(rows.items()) if k.startswith(prefix)]
            at_once = [
                name
                for _, queue, part, name, delay_s in put
                if (queue, part) == ("t.ordered", partition)
                and delay_s is None
                and name not in cancelled
            ]
            assert [name for name in order if name in at_once] == at_once
        assert await cell.rows() == [], "a finished queue keeps nothing"
        await cell.work.close()
        await cell.db.close()

    asyncio.run(main())


def test_an_idle_queue_does_nothing(monkeypatch):
    """Parked, not polling: no transaction runs while nothing changes."""

    async def main():
        cell = Cell().open()
        await cell.db.transact(lambda tx: work.put(tx, "t.loose", b"a"))
        await cell.settle_down()
        ran = []
        real = cell.db._run
        monkeypatch.setattr(cell.db, "_run", lambda *a: ran.append(a) or real(*a))
        await cell.settle_down()
        assert ran == []
        await cell.work.close()
        await cell.db.close()

    asyncio.run(main())


@pytest.mark.parametrize("delay_s", [None, 5.0])
def test_a_job_has_one_id_from_put_to_its_last_attempt(delay_s):
    """Services keep the id beside their facts and compare it: also after failures and a crash."""

    async def main():
        cell = Cell().open()
        cell.fail_count = {b"a": 2}

        def body(tx):
            due_s = None if delay_s is None else tx.time_s + delay_s
            return work.put(tx, "t.loose", b"a", due_s=due_s)

        put = await cell.db.transact(body)
        await turns(60)
        cell.world.advance(6)
        cell.slow = 10_000
        await turns(60)
        await cell.crash()
        cell.slow = 0
        cell.open()
        await cell.settle_down()
        assert len(cell.ids) == 3
        assert set(cell.ids) == {put}
        await cell.work.close()
        await cell.db.close()

    asyncio.run(main())


def test_rows_written_before_they_said_when_they_were_due_are_read():
    """docs/formats.md: [stamp, attempts, partition], and claims without their last member."""
    keys, stamp, due_ms = work._keys("t.loose"), 7, 1_000

    def rows(tx):
        tx.put(keys.seen, b"")
        tx.put(keys.job.key(stamp), b"a")
        tx.put(keys.later.key(due_ms, stamp), bytes.fromhex("93 07 00 c400"))
        tx.put(keys.job.key(stamp + 1), b"b")
        tx.put(keys.ready.key(stamp + 1), bytes.fromhex("93 08 02 c400"))
        tx.put(keys.job.key(stamp + 2), b"c")
        tx.put(keys.claim.key(stamp + 2), bytes.fromhex("94 c40178 03 00 c400"))

    async def main():
        cell = Cell()
        cell.fail_count = {b"a": 1}
        cell.open()
        await cell.db.transact(rows)
        await cell.settle_down()
        assert sorted(name for *_, name in cell.handled) == [b"a", b"a", b"b", b"c"]
        ids = {name: id_ for (*_, name), id_ in zip(cell.handled, cell.ids, strict=True)}
        assert unpack(ids[b"a"]) == ("t.loose", stamp, due_ms)
        assert unpack(ids[b"b"]) == ("t.loose", stamp + 1, 0)
        assert await cell.rows() == []
        await cell.work.close()
        await cell.db.close()

    asyncio.run(main())


def test_a_job_of_a_dead_process_is_taken_over_at_once():
    """Where one process at a time has the log, a claim by another is a claim by nobody."""

    async def main():
        cell = Cell().open()
        cell.slow = 10_000
        await cell.db.transact(lambda tx: work.put(tx, "t.loose", b"a"))
        await turns(30)
        assert cell.running
        await cell.crash()
        cell.slow = 0
        cell.open()
        await turns(60)
        assert cell.handled == [("t.loose", b"", b"a")]
        await cell.work.close()
        await cell.db.close()

    asyncio.run(main())


def test_on_a_shared_log_a_claim_ends_with_its_lease():
    """The other process may be alive; only time tells."""

    async def main():
        cell = Cell(shared=True).open()
        cell.slow = 10_000
        await cell.db.transact(lambda tx: work.put(tx, "t.loose", b"a"))
        await turns(30)
        assert cell.running
        await cell.crash()
        cell.slow = 0
        cell.open()
        await turns(60)
        cell.world.advance(20)
        await turns(60)
        assert cell.handled == []
        cell.world.advance(20)
        await turns(60)
        assert cell.handled == [("t.loose", b"", b"a")]
        await cell.work.close()
        await cell.db.close()

    asyncio.run(main())


def test_who_lost_its_lease_settles_nothing():
    """A process that slept through its lease must not end a job that another has begun."""

    async def main():
        late, other = Cell(shared=True), Cell(shared=True)
        other.world, other.payloads = late.world, late.payloads
        late.open()
        late.slow = 200
        await late.db.transact(lambda tx: work.put(tx, "t.loose", b"a"))
        await turns(30)
        assert late.running
        late.work._tasks[1].cancel()  # its renewals
        other.slow = 600
        other.open()
        late.world.advance(40)
        await turns(300)
        assert (len(late.handled), len(other.running)) == (1, 1)
        await other.db.catch_up()
        assert await other.db.transact(lambda tx: tx.get(b"settleda")) is None
        await turns(600)
        assert await other.db.transact(lambda tx: tx.get(b"settleda")) == b"1"
        for cell in (late, other):
            await cell.work.close()
            await cell.db.close()

    asyncio.run(main())


def test_a_failing_head_holds_up_its_own_partition_only():
    async def main():
        cell = Cell().open()
        cell.fail_count = {b"bad": 3}

        def body(tx):
            for name, partition in ((b"bad", b"p"), (b"next", b"p"), (b"other", b"q")):
                work.put(tx, "t.ordered", name, partition=partition)

        await cell.db.transact(body)
        await turns(100)
        assert [name for *_, name in cell.handled] == [b"bad", b"other"]
        await cell.settle_down()
        assert [name for *_, name in cell.handled] == [
            b"bad",
            b"other",
            b"bad",
            b"bad",
            b"bad",
            b"next",
        ]
        await cell.work.close()
        await cell.db.close()

    asyncio.run(main())


def test_jobs_that_are_ready_together_are_carried_out_together():
    """Ten in bundles of three: a transaction for each bundle, and a failing job comes back without the others of its own."""

    async def main():
        cell = Cell().open()
        cell.fail_count = {b"job4": 1}
        bundles = []
        handle_all = Bundles.handle_all

        async def noted(hands, jobs):
            bundles.append([job.payload for job in jobs])
            return await handle_all(hands, jobs)

        Bundles.handle_all = noted
        try:

            def body(tx):
                for number in range(10):
                    work.put(tx, "t.together", b"job%d" % number)

            await cell.db.transact(body)
            await cell.settle_down()
        finally:
            Bundles.handle_all = handle_all
        assert bundles[:4] == [
            [b"job0", b"job1", b"job2"], [b"job3", b"job4", b"job5"], [b"job6", b"job7", b"job8"], [b"job9"],
        ]  # fmt: skip
        assert sorted(bundles[4:]) == [[b"job3"], [b"job4"], [b"job5"]]
        assert await cell.rows() == []
        await cell.work.close()
        await cell.db.close()

    asyncio.run(main())


def test_a_jump_of_the_cloud_clock_brings_what_is_due():
    """Users move the cloud clock to see schedules act."""

    async def main():
        cell = Cell().open()
        await cell.db.transact(
            lambda tx: work.put(tx, "t.loose", b"a", due_s=tx.time_s + 86_400 * 30)
        )
        await turns(60)
        assert cell.handled == []
        cell.world.set_cloud_offset(86_400 * 31.0)
        await asyncio.sleep(0.01)
        await turns(60)
        assert cell.handled == [("t.loose", b"", b"a")]
        await cell.work.close()
        await cell.db.close()

    asyncio.run(main())


def test_the_cost_of_a_job_does_not_grow_with_a_blocked_partition():
    """Ten thousand jobs behind one that fails must not be looked through for every other job."""

    async def main():
        cell = Cell().open()
        cell.fail_count = {b"bad": 10**6}

        def block(tx):
            work.put(tx, "t.ordered", b"bad", partition=b"p")
            for number in range(2000):
                work.put(tx, "t.ordered", b"%d" % number, partition=b"p")

        await cell.db.transact(block)
        await turns(300)
        looked = 0
        get = work._decode_row

        def counting(raw):
            nonlocal looked
            looked += 1
            return get(raw)

        work._decode_row = counting
        try:
            await cell.db.transact(lambda tx: work.put(tx, "t.ordered", b"free", partition=b"q"))
            await turns(60)
        finally:
            work._decode_row = get
        assert ("t.ordered", b"q", b"free") in cell.handled
        assert looked < 10
        await cell.work.close()
        await cell.db.close()

    asyncio.run(main())
