"""Runs folded from the log give the same state as the log, whatever was merged when."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratolite.clock import SeededWorld, World
from stratolite.core import snapshots
from stratolite.core.floors import Floors
from stratolite.core.home import Home
from stratolite.core.keeper import Keeper, needed
from stratolite.core.log import Damaged, Entry, encode_entry
from stratolite.core.objects import open_objects
from stratolite.core.snapshots import Manifest
from stratolite.core.store import LmdbEngine

_KEYS = [b"%d" % i for i in range(12)]
_writes = st.dictionaries(st.sampled_from(_KEYS), st.none() | st.binary(max_size=60), max_size=6)


class _Entries:
    def __init__(self):
        self.payloads = []

    def add(self, writes, time_ms=0):
        self.payloads.append(encode_entry(Entry(b"w" * 16, time_ms, writes)))

    def entries(self, start):
        yield from enumerate(self.payloads[start - 1 :], start)


def _state(engine):
    reading = engine.reading()
    try:
        return reading.position, dict(reading.scan(b"", b"\xff"))
    finally:
        reading.close()


def _loaded(objects, manifest):
    with tempfile.TemporaryDirectory() as folder:
        engine = LmdbEngine(folder)
        snapshots.load(objects, manifest, engine)
        try:
            return _state(engine)
        finally:
            engine.close()


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.lists(_writes, max_size=8), min_size=1, max_size=10))
def test_a_restored_snapshot_is_the_state_at_its_position(steps):
    """After each of several snapshots, small and merged; pieces so small that runs have many."""
    objects, log, world, state = open_objects("memory://"), _Entries(), SeededWorld(1), {}
    old, snapshots.PIECE_SIZE_BYTES = snapshots.PIECE_SIZE_BYTES, 50
    try:
        for step in steps:
            for writes in step:
                log.add(writes)
                state.update(writes)
            manifest = snapshots.advance(log, objects, world, len(log.payloads))
            if not log.payloads:
                assert manifest is None
                continue
            there = {k: v for k, v in state.items() if v is not None}
            assert _loaded(objects, manifest) == (len(log.payloads), there)
            kept = [manifest]
            for name in snapshots.unwanted(objects, kept):
                objects.delete(name)
            assert _loaded(objects, snapshots.newest_manifest(objects))[1] == there
    finally:
        snapshots.PIECE_SIZE_BYTES = old


def test_runs_stay_few_and_bytes_are_rewritten_few_times():
    """A snapshot costs what was appended since the last, times log2(state / step) at most."""
    objects, log, world = open_objects("memory://"), _Entries(), SeededWorld(1)
    written, put = 0, objects.put_new

    def counting(name, data):
        nonlocal written
        written += len(data)
        return put(name, data)

    objects.put_new = counting
    for step in range(64):
        for i in range(50):
            log.add({b"%d" % (step * 50 + i): b"x" * 100})
        manifest = snapshots.advance(log, objects, world, len(log.payloads))
        assert len(manifest.runs) <= 7
    appended = sum(map(len, log.payloads))
    assert written < 6 * appended, written / appended


def test_deletes_are_forgotten_with_the_oldest_run():
    objects, log, world = open_objects("memory://"), _Entries(), SeededWorld(1)
    log.add(dict.fromkeys((key * 50 for key in _KEYS), b"x"))
    snapshots.advance(log, objects, world, 1)
    log.add(dict.fromkeys(key * 50 for key in _KEYS))
    manifest = snapshots.advance(log, objects, world, 2)
    assert [piece.rows for run in manifest.runs for piece in run.pieces] == []
    assert _loaded(objects, manifest) == (2, {})


def test_of_two_snapshots_made_at_once_one_counts():
    """The other's pieces are dropped, and what counts can be loaded."""
    objects, log, world = open_objects("memory://"), _Entries(), SeededWorld(1)
    log.add({b"a": b"1"})
    put, raced = objects.put_new, []

    def second_first(name, data):
        if name.startswith("manifests/") and not raced:
            raced.append(name)
            snapshots.advance(log, objects, world, 1)
        return put(name, data)

    objects.put_new = second_first
    manifest = snapshots.advance(log, objects, world, 1)
    assert _loaded(objects, manifest) == (1, {b"a": b"1"})
    assert len(objects.names("runs/")) == 1
    assert len(objects.names("manifests/")) == 1


def test_pieces_of_a_snapshot_being_made_are_not_collected():
    """They belong to a sequence number that no manifest has yet."""
    objects, log, world = open_objects("memory://"), _Entries(), SeededWorld(1)
    log.add({b"a": b"1"})
    first = snapshots.advance(log, objects, world, 1)
    under_way = f"runs/{2:020d}-0000000000000000-000000"
    objects.put_new(under_way, b"")
    dead = f"runs/{1:020d}-0000000000000000-000000"
    objects.put_new(dead, b"")
    assert snapshots.unwanted(objects, [first]) == [dead]


@pytest.mark.parametrize("at", [0, 9, 13, 20, -1])
def test_a_damaged_piece_is_named(at):
    objects, log = open_objects("memory://"), _Entries()
    log.add({b"a": b"1"})
    manifest = snapshots.advance(log, objects, SeededWorld(1), 1)
    name = manifest.runs[0].pieces[0].name
    data = bytearray(objects.get(name))
    data[at] ^= 1
    objects.delete(name)
    objects.put_new(name, bytes(data))
    with pytest.raises(Damaged, match=name):
        _loaded(objects, manifest)


def test_what_is_kept():
    """The newest, those of the window, and the one from which the window's start can be reached."""
    made = [Manifest(i, i * 10, i * 1000, []) for i in range(1, 6)]
    assert [m.sequence for m in needed(made, since_ms=10_000, lowest=100)] == [5]
    assert [m.sequence for m in needed(made, since_ms=3500, lowest=100)] == [3, 4, 5]
    assert [m.sequence for m in needed(made, since_ms=10_000, lowest=25)] == [2, 3, 4, 5]
    assert [m.sequence for m in needed(made, since_ms=10, lowest=100)] == [1, 2, 3, 4, 5]


def test_a_child_makes_the_snapshot_and_the_log_is_trimmed(tmp_path, monkeypatch):
    """The whole way with real files: written, covered by a child process, trimmed, store lost, made again."""

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))

    async def main():
        home = Home(f"{tmp_path}/data", World())
        db = home.database()
        db.start()
        keeper = Keeper(home, db, World(), Floors(), keep_s=0.0)
        for i in range(300):
            await db.transact(lambda tx, i=i: tx.put(b"%d" % i, os.urandom(5000)))
        await keeper.snapshot()
        for i in range(300):
            await db.transact(lambda tx, i=i: tx.delete(b"%d" % i) if i % 2 else None)
        await keeper.snapshot()
        assert db.log.first == 1
        await keeper.forget()
        assert db.log.first > 100
        names = home.objects.names("manifests/")
        assert len(names) == 1
        state = db.peek(lambda tx: list(tx.scan((b"", b"\xff"))))
        assert len(state) == 150
        await db.close()
        return state

    state = asyncio.run(main())
    os.unlink(f"{tmp_path}/data/store/data.mdb")
    home = Home(f"{tmp_path}/data", World())
    db = home.database()
    assert home.rebuilt == "it was empty" or home.rebuilt.startswith("its position")
    assert db.peek(lambda tx: list(tx.scan((b"", b"\xff")))) == state


def test_the_keeper_makes_one_when_enough_was_written(tmp_path, monkeypatch):
    """By itself, once ``every_bytes`` were appended; time is moved by hand, the child is real."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    world = SeededWorld(1)

    async def main():
        home = Home(f"{tmp_path}/data", world)
        db = home.database()
        db.start()
        keeper = Keeper(home, db, world, Floors(), every_bytes=50_000, keep_s=0.0)
        keeper.start()

        async def write_and_wait(count, position):
            for i in range(count):
                await db.transact(lambda tx, i=i: tx.put(b"%d" % i, b"x" * 1000))
            async with asyncio.timeout(120):
                while True:
                    world.advance(1.0)
                    await asyncio.sleep(0.05)
                    made = snapshots.newest_manifest(home.objects)
                    if made is not None and made.position >= position:
                        return

        await write_and_wait(60, 60)
        await write_and_wait(60, 120)
        await keeper.close()
        await db.close()

    asyncio.run(main())


def test_the_same_on_a_shared_log(tmp_path, monkeypatch):
    """The child reads the log by its URL; entries go two graces after the floor; another server starts from it."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    world, url = SeededWorld(1), f"file://{tmp_path}/shared"

    async def main():
        home = Home(f"{tmp_path}/one", world, url)
        db = home.database()
        db.start()
        keeper = Keeper(home, db, world, Floors(), keep_s=0.0)
        for i in range(40):
            await db.transact(lambda tx, i=i: tx.put(b"%d" % i, b"x" * 100))
        await keeper.snapshot()
        await keeper.forget()
        assert len(home.objects.names("log/")) == 40
        world.advance(130.0)
        await keeper.forget()
        assert home.objects.names("log/") == [f"log/{40:020d}"] or not home.objects.names("log/")
        await db.transact(lambda tx: tx.put(b"after", b"1"))
        other = Home(f"{tmp_path}/two", world, url)
        two = other.database()
        assert other.rebuilt
        assert len(two.peek(lambda tx: list(tx.scan((b"", b"\xff"))))) == 41
        assert two.durable == db.durable
        await db.close()

    asyncio.run(main())
