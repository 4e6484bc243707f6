"""What a database promises beyond what it stores: bounds, giving up, costs."""

from __future__ import annotations

import asyncio
import time

import pytest
from core.memory import Inline, MemoryEngine, MemoryLog, turns

from stratolite.clock import SeededWorld
from stratolite.core import Database
from stratolite.core.log import decode_entry
from stratolite.core.store import LmdbEngine
from stratolite.errors import Fault
from stratolite.limits import (
    BATCH_SIZE_BYTES_MAX,
    KEY_SIZE_BYTES_MAX,
    TX_SIZE_BYTES_MAX,
    VALUE_SIZE_BYTES_MAX,
)

MIB = 1 << 20


def in_database(body, engine=None):
    async def main():
        log = MemoryLog()
        db = Database(log, engine or MemoryEngine(), SeededWorld(1), background=Inline())
        db.start()
        await body(db, log)
        await db.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"", b"v"),
        (b"k" * (KEY_SIZE_BYTES_MAX + 1), b"v"),
        (b"k", b"v" * (VALUE_SIZE_BYTES_MAX + 1)),
    ],
)
def test_a_key_or_value_over_the_limit_is_the_callers_fault(key, value):
    """A caller can cause it with a long name, so it is an answer and not an assertion."""

    async def body(db, log):
        with pytest.raises(Fault) as caught:
            await db.transact(lambda tx: tx.put(key, value))
        assert caught.value.status == 413
        assert log.payloads == []

    in_database(body)


def test_a_transaction_over_the_limit_writes_nothing():
    async def body(db, log):
        def large(tx):
            for number in range(TX_SIZE_BYTES_MAX // MIB + 1):
                tx.put(b"k%d" % number, b"v" * MIB)

        with pytest.raises(Fault) as caught:
            await db.transact(large)
        assert caught.value.status == 413
        assert await db.transact(lambda tx: list(tx.scan((b"\x00", b"\xff")))) == []

    in_database(body)


def test_what_comes_in_turn_after_turn_shares_a_batch_and_nobody_waits_long():
    """A batch costs a sync: it takes along what arrives meanwhile, but not for ever."""

    async def body(db, log):
        asked = []
        for number in range(6):
            asked.append(
                asyncio.ensure_future(db.transact(lambda tx, n=number: tx.put(b"%d" % n, b"")))
            )
            await turns(1)
        await asyncio.gather(*asked)
        assert len(log.payloads) == 1
        assert len(log.entry(1).writes) == 6
        for number in range(100):
            asked.append(
                asyncio.ensure_future(db.transact(lambda tx, n=number: tx.put(b"%d" % n, b"")))
            )
            await turns(1)
        assert len(log.payloads) > 4
        await asyncio.gather(*asked)

    in_database(body)


def test_a_batch_stays_under_its_limit_and_everybody_is_served():
    """While one batch flies the next one grows; beyond a bound transactions wait before they run."""

    async def body(db, log):
        def put(number):
            def run(tx):
                for part in range(10):
                    tx.put(b"k%d/%d" % (number, part), b"v" * MIB)

            return db.transact(run)

        await asyncio.gather(*(put(number) for number in range(20)))
        sizes = [sum(map(len, decode_entry(p).writes.values())) for p in log.payloads]
        assert sum(sizes) == 200 * MIB
        assert max(sizes) <= BATCH_SIZE_BYTES_MAX

    in_database(body)


def test_a_caller_that_goes_away_leaves_no_waiter_behind():
    async def body(db, log):
        ran = []

        def wait(tx):
            ran.append(1)
            tx.wait([(b"a", b"b")], float("inf"))

        waiting = asyncio.ensure_future(db.transact(wait))
        await turns(3)
        assert db._waits.count == 1
        waiting.cancel()
        await turns(3)
        assert db._waits.count == 0
        await db.transact(lambda tx: tx.put(b"a", b"1"))
        await turns(3)
        assert ran == [1]

    in_database(body)


def test_one_answer_that_cannot_be_given_does_not_hold_up_the_others(caplog):
    """A bug in one connection's writer."""

    async def body(db, log):
        def broken(result, error):
            raise RuntimeError("no such connection")

        answered = []
        db.submit(lambda tx: tx.put(b"a", b"1"), broken)
        db.submit(lambda tx: tx.put(b"b", b"1"), lambda *answer: answered.append(answer))
        await turns(10)
        assert answered == [(None, None)]
        assert "could not be given" in caplog.text

    in_database(body)


def test_a_scan_costs_what_it_returns_however_much_is_not_yet_applied(tmp_path):
    """20,000 writes lie over the store; sorting or copying them for every scan would take minutes."""

    async def body(db, log):
        for number in range(20_000):
            db.submit(lambda tx, n=number: tx.put(b"k%05d" % n, b"v"), lambda *_: None)
        start = time.process_time()
        for number in range(0, 20_000, 2):

            def look(tx, number=number):
                tx.put(b"m%05d" % number, b"v")
                assert next(tx.scan((b"k%05d" % number, b"z")))[0] == b"k%05d" % number

            db.submit(look, lambda _, error: answers.append(error))
        assert time.process_time() - start < 2
        await turns(20)
        assert answers == [None] * 10_000

    answers = []
    in_database(body, LmdbEngine(str(tmp_path)))


def test_a_store_that_outgrows_its_map_goes_on(tmp_path):
    """The commit thread finds it full; the loop, which reads, makes room between two turns."""

    async def main():
        engine = LmdbEngine(str(tmp_path), map_size_bytes=MIB)
        db = Database(MemoryLog(), engine, SeededWorld(1))
        db.start()
        for number in range(20):
            await db.transact(lambda tx, n=number: tx.put(b"k%02d" % n, b"v" * MIB))
            assert await db.transact(lambda tx: tx.get(b"k00")) == b"v" * MIB
        rows = await db.transact(lambda tx: [key for key, _ in tx.scan((b"k", b"l"))])
        assert rows == [b"k%02d" % number for number in range(20)]
        await db.close()

    asyncio.run(main())


def test_parsed_sees_what_its_own_transaction_wrote_since():
    """The last parsed value is kept within a transaction; a write, a deletion and an undone savepoint end that."""

    async def body(db, log):
        def run(tx):
            tx.put(b"k", b"1")
            assert tx.parsed(b"k", int) == 1
            tx.put(b"k", b"2")
            assert tx.parsed(b"k", int) == 2
            with pytest.raises(KeyError), tx.savepoint():
                tx.put(b"k", b"3")
                assert tx.parsed(b"k", int) == 3
                raise KeyError
            assert tx.parsed(b"k", int) == 2
            assert tx.parsed(b"k", float) == 2.0
            tx.delete(b"k")
            assert tx.parsed(b"k", int) is None

        await db.transact(run)

    in_database(body)


def test_a_value_parsed_twice_is_read_once():
    """Authorization and operation ask for the same bucket or table record."""

    async def body(db, log):
        await db.transact(lambda tx: tx.put(b"k", b"1"))
        reads = []
        get = db.get_committed
        db.get_committed = lambda tx, key: reads.append(key) or get(tx, key)
        await db.transact(lambda tx: [tx.parsed(b"k", int) for _ in range(4)])
        assert reads == [b"k"]

    in_database(body)
