"""Blobs: there when linked, gone when nobody can reach them, whatever crashes in between."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import tempfile
import threading
from concurrent.futures import Executor, Future

import pytest
from core.memory import Inline, MemoryEngine, MemoryLog, turns
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from stratolite.clock import SeededWorld
from stratolite.core import Database
from stratolite.core.blob_files import FileShelf
from stratolite.core.blob_objects import ObjectShelf
from stratolite.core.blobs import Blobs
from stratolite.core.floors import Floors
from stratolite.errors import Unavailable
from stratolite.limits import BLOB_BUFFER_BYTES, BLOB_FRESH_S, BLOB_GRACE_S


class Place:
    """One process after another over one folder and one log."""

    def __init__(self, folder, *, threads=True):
        self.folder, self.world, self.payloads = folder, SeededWorld(1), []
        self.floors, self.threads = Floors(), threads

    def open(self):
        self.log = MemoryLog(self.payloads)
        self.db = Database(self.log, MemoryEngine(), self.world, background=Inline())
        self.db.start()
        self.shelf = FileShelf(f"{self.folder}/blobs", self.world)
        if not self.threads:
            self.shelf._threads = AtOnce()
        self.blobs = Blobs(self.db, self.world, self.shelf, self.floors)
        return self

    async def crash(self):
        self.log.dead = True
        await self.shelf.close()
        self.db._waits.close()

    async def write(self, data=b"data"):
        writer = self.blobs.writer()
        await writer.write(data)
        return (await writer.finish()).id

    async def link(self, blob_id):
        await self.db.transact(lambda tx: self.blobs.link(tx, blob_id))

    async def unlink(self, blob_id):
        await self.db.transact(lambda tx: self.blobs.unlink(tx, blob_id))

    def files(self):
        names = []
        for base, _, files in os.walk(f"{self.folder}/blobs"):
            names += [name for name in files if not base.endswith("/new")]
        return set(names)

    def age(self, seconds):
        """All that lies there was written that long ago, as this world counts."""
        when = self.world.wall() - seconds
        for base, _, files in os.walk(f"{self.folder}/blobs"):
            for name in files:
                os.utime(f"{base}/{name}", (when, when))

    async def collect_all(self):
        while await self.blobs.collect():
            pass


class AtOnce(Executor):
    """Trips to a thread, without the thread."""

    def submit(self, work, *args):
        future = Future()
        try:
            future.set_result(work(*args))
        except Exception as error:
            future.set_exception(error)
        return future


def in_place(tmp_path, body):
    async def main():
        place = Place(str(tmp_path)).open()
        await body(place)
        await place.blobs.close()
        await place.db.close()

    asyncio.run(main())


SIZES = [0, 1, 4096, BLOB_BUFFER_BYTES - 1, 3 * BLOB_BUFFER_BYTES + 7, (2 << 20) + 4095]


@pytest.fixture(params=["direct", "refused at the opening", "refused at the first write"])
def directly(request, monkeypatch):
    """What file systems do when asked to write past the page cache: (sizes written so, sizes written through it)."""
    real_open, real_write = os.open, os.write
    direct, cached = [], []

    def opened(path, flags, *mode):
        if flags & os.O_DIRECT and request.param == "refused at the opening":
            os.close(real_open(path, flags & ~os.O_DIRECT, *mode))  # as Linux does
            raise OSError(errno.EINVAL, "Invalid argument")
        return real_open(path, flags, *mode)

    def written(fd, data):
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT:
            if request.param != "direct":
                raise OSError(errno.EINVAL, "Invalid argument")
            direct.append(len(data))
        else:
            cached.append(len(data))
        return real_write(fd, data)

    monkeypatch.setattr("stratolite.core.blob_files.os.open", opened)
    monkeypatch.setattr("stratolite.core.blob_files.os.write", written)
    return request.param, direct, cached


@pytest.mark.parametrize("step", [100_000, 65_536, 1 << 20, 77])
@pytest.mark.parametrize("size_bytes", SIZES)
def test_what_was_written_is_read_back(tmp_path, directly, size_bytes, step):
    if step == 77 and size_bytes > BLOB_BUFFER_BYTES:
        step = 7_777
    way, direct, cached = directly

    async def body(place):
        data = os.urandom(size_bytes)
        writer = place.blobs.writer()
        for at in range(0, size_bytes, step):
            await writer.write(data[at : at + step])
        blob = await writer.finish()
        assert blob.size_bytes == size_bytes
        assert await place.blobs.read(blob.id) == data
        part = place.blobs.body(blob.id, 1, 2)
        assert (part.path, part.offset, part.size_bytes) == (place.blobs.path(blob.id), 1, 2)

    in_place(tmp_path, body)
    if way == "direct":
        assert sum(direct) == size_bytes - size_bytes % 4096
        assert sum(cached) == size_bytes % 4096
    else:
        assert (sum(direct), sum(cached)) == (0, size_bytes)


def test_a_linked_blob_dies_with_its_last_link_and_goes_after_the_grace(tmp_path):
    """An answer that is still being sent reads a file nobody names any more."""

    async def body(place):
        blob_id = await place.write()
        await place.link(blob_id)
        await place.link(blob_id)
        await place.unlink(blob_id)
        place.world.advance(BLOB_GRACE_S * 2)
        await place.collect_all()
        assert place.files() == {blob_id}
        await place.unlink(blob_id)
        place.world.advance(BLOB_GRACE_S - 1)
        await place.collect_all()
        assert place.files() == {blob_id}
        place.world.advance(2)
        await place.collect_all()
        assert place.files() == set()
        assert await place.db.transact(lambda tx: list(tx.scan((b"\x00", b"\xff")))) == []

    in_place(tmp_path, body)


def test_a_held_floor_keeps_what_died_after_it(tmp_path):
    """A branch at an earlier position still names it."""

    async def body(place):
        blob_id = await place.write()
        await place.link(blob_id)
        place.floors.hold("branch", place.db.durable)
        await place.unlink(blob_id)
        place.world.advance(BLOB_GRACE_S * 2)
        await place.collect_all()
        assert place.files() == {blob_id}
        place.floors.release("branch")
        await place.collect_all()
        assert place.files() == set()

    in_place(tmp_path, body)


def test_the_collector_wakes_by_itself(tmp_path):
    async def body(place):
        place.blobs.start()
        blob_id = await place.write()
        await place.link(blob_id)
        await place.unlink(blob_id)
        await turns(20)
        place.world.advance(BLOB_GRACE_S + 1)
        for _ in range(30_000):
            await asyncio.sleep(0.002)
            if not place.files():
                break
        assert place.files() == set()

    in_place(tmp_path, body)


def test_killed_between_finish_and_link_the_bytes_are_swept_up(tmp_path):
    """Nobody knows of them but the folder."""

    async def main():
        place = Place(str(tmp_path)).open()
        linked, orphan = await place.write(), await place.write()
        await place.link(linked)
        half = place.blobs.writer()
        await half.write(b"x" * BLOB_BUFFER_BYTES)
        await half._sink._lane.done()  # its thread may be behind
        assert os.listdir(f"{place.folder}/blobs/new") == [half.id]
        await place.crash()
        place.open()
        assert os.listdir(f"{place.folder}/blobs/new") == []
        assert place.files() == {linked, orphan}
        fresh = await place.write()
        place.age(BLOB_FRESH_S - 1)
        assert await place.blobs.sweep() == 0
        place.age(BLOB_FRESH_S + 1)
        assert await place.blobs.sweep() == 1
        await place.collect_all()
        assert place.files() == {linked, fresh}
        await place.link(fresh)
        await place.blobs.close()
        await place.db.close()

    asyncio.run(main())


def test_a_blob_of_unknown_origin_cannot_be_linked(tmp_path):
    """Its bytes may be gone by the time the transaction commits."""

    async def body(place):
        with pytest.raises(LookupError):
            await place.link("00" * 16)
        blob_id = await place.write()
        place.world.advance(BLOB_FRESH_S + 1)
        await place.write()
        with pytest.raises(LookupError):
            await place.link(blob_id)

    in_place(tmp_path, body)


def test_a_writer_whose_caller_was_cancelled_leaves_nothing(tmp_path, monkeypatch):
    """A client that goes away cancels a write while its thread is at work."""
    at_work, goes_on, write_out = threading.Event(), threading.Event(), os.write

    def held(fd, data):
        at_work.set()
        assert goes_on.wait(30)
        return write_out(fd, data)

    async def body(place):
        monkeypatch.setattr("stratolite.core.blob_files.os.write", held)
        writer = place.blobs.writer()
        write = asyncio.ensure_future(writer.write(b"x" * BLOB_BUFFER_BYTES * 8))
        assert await asyncio.to_thread(at_work.wait, 30)
        write.cancel()
        await asyncio.sleep(0)
        goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await write
        assert os.listdir(f"{place.folder}/blobs/new") == []
        assert place.files() == set()

    in_place(tmp_path, body)


def test_a_full_disk_is_unavailable_and_leaves_nothing(tmp_path, monkeypatch):
    """SDKs retry a 503; half a file would wait for the next start."""

    async def body(place):
        def full(*_):
            raise OSError(28, "No space left on device")

        for broken in ("write", "fsync"):
            writer = place.blobs.writer()
            with monkeypatch.context() as patch:
                patch.setattr(f"stratolite.core.blob_files.os.{broken}", full)
                with pytest.raises(Unavailable):
                    await writer.write(b"x" * BLOB_BUFFER_BYTES)
                    await writer.finish()
            assert os.listdir(f"{place.folder}/blobs/new") == []
            assert place.files() == set()
            assert not place.blobs._writing

    in_place(tmp_path, body)


def test_thousands_of_slow_writers_do_not_hold_back_a_buffer_each(tmp_path, monkeypatch):
    """4,096 connections could else keep a gigabyte in memory, each sending less than a buffer and then nothing."""
    monkeypatch.setattr("stratolite.core.blob_files.BLOBS_BUFFERED_BYTES_MAX", 100_000)

    async def body(place):
        shelf = place.blobs._shelf
        piece = os.urandom(3_000)
        writers = [place.blobs.writer() for _ in range(60)]
        for _ in range(5):
            for writer in writers:
                await writer.write(piece)
                assert shelf.held_bytes <= 100_000
                assert shelf.held_bytes == sum(w._sink._held_bytes for w in writers)
        for writer in writers[30:]:
            await writer.abort()
        ended = [await writer.finish() for writer in writers[:30]]
        assert shelf.held_bytes == 0
        for blob in ended:
            assert await place.blobs.read(blob.id) == piece * 5
        assert os.listdir(f"{place.folder}/blobs/new") == []

    in_place(tmp_path, body)


def test_an_abort_after_the_end_takes_nothing_away(tmp_path):
    """Callers abort in an except clause around finish and commit, and the commit may have happened."""

    async def body(place):
        writer = place.blobs.writer()
        await writer.write(b"data")
        blob = await writer.finish()
        await place.link(blob.id)
        await writer.abort()
        assert await place.blobs.read(blob.id) == b"data"

    in_place(tmp_path, body)


class Machine(RuleBasedStateMachine):
    """Random links, unlinks, collections, sweeps, crashes: linked blobs are always there."""

    @initialize()
    def begin(self):
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.place = Place(self.folder.name, threads=False)  # so that a run repeats
        self.links, self.written = {}, []
        self.do(self._open())

    async def _open(self):
        self.place.open()

    def do(self, work):
        return self.loop.run_until_complete(work)

    @rule()
    def write(self):
        self.written.append(self.do(self.place.write()))

    @rule()
    def write_and_drop(self):
        """Dead from the start."""
        self.write()
        blob_id = self.written[-1]
        self.do(self.place.link(blob_id))
        self.do(self.place.unlink(blob_id))
        self.links[blob_id] = 0

    @rule(data=st.data())
    def link(self, data):
        if self.written:
            blob_id = data.draw(st.sampled_from(self.written))
            try:
                self.do(self.place.link(blob_id))
            except LookupError:
                assert not self.links.get(blob_id)
                return
            self.links[blob_id] = self.links.get(blob_id, 0) + 1

    @rule(data=st.data())
    def unlink(self, data):
        linked = [blob_id for blob_id, count in self.links.items() if count]
        if linked:
            blob_id = data.draw(st.sampled_from(linked))
            self.do(self.place.unlink(blob_id))
            self.links[blob_id] -= 1

    @rule(seconds=st.sampled_from([BLOB_GRACE_S + 1, BLOB_FRESH_S + 1, 1]))
    def pass_time(self, seconds):
        self.place.world.advance(seconds)
        self.place.age(seconds)

    @rule()
    def sweep(self):
        self.do(self.place.blobs.sweep())

    @rule(data=st.data())
    def collect(self, data):
        """Beside it somebody links; and it may be cut off after any number of turns."""
        cut = data.draw(st.none() | st.integers(0, 12))
        dead = [blob_id for blob_id, count in self.links.items() if not count]
        rival = data.draw(st.sampled_from(dead or self.written)) if self.written else None

        async def both():
            collecting = asyncio.ensure_future(self.place.blobs.collect())
            linking = None
            if rival:
                await turns(data.draw(st.integers(0, 8)))
                linking = asyncio.ensure_future(self.place.link(rival))
            if cut is None:
                await collecting
            else:
                await turns(cut)
                await self.place.crash()
            results = await asyncio.gather(
                collecting, *([linking] if linking else []), return_exceptions=True
            )
            if cut is not None:
                self.place.open()
            return results

        results = self.do(both())
        for error in results:
            assert not isinstance(error, Exception) or isinstance(
                error, LookupError | Unavailable | RuntimeError
            )
        if rival:
            self.links[rival] = self.do(
                self.place.db.transact(lambda tx: self.place.blobs.links(tx, rival))
            )

    @rule()
    def crash(self):
        async def again():
            await self.place.crash()
            self.place.open()

        self.do(again())

    def teardown(self):
        if not hasattr(self, "place"):
            return
        try:
            self.check()
        finally:
            self.loop.close()
            self.folder.cleanup()

    def check(self):
        linked = {blob_id for blob_id, count in self.links.items() if count}
        assert linked <= self.place.files()
        for blob_id in linked:
            assert self.do(self.place.blobs.read(blob_id)) == b"data"
        # in the end nothing stays that nobody names
        self.crash()
        self.place.world.advance(BLOB_FRESH_S + 1)
        self.place.age(BLOB_FRESH_S + 1)
        self.do(self.place.blobs.sweep())
        self.do(self.place.collect_all())
        assert self.place.files() == linked
        self.do(self.place.blobs.close())
        self.do(self.place.db.close())


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestCollection = Machine.TestCase


def test_blobs_in_a_bucket():
    """Whole when small, in parts when large, streamed back, removed."""
    from obstore.store import MemoryStore

    async def main():
        world = SeededWorld(1, start_s=4e9)
        db = Database(MemoryLog(), MemoryEngine(), world, background=Inline())
        db.start()
        blobs = Blobs(db, world, ObjectShelf(MemoryStore(), world), Floors())
        made = []
        for size_bytes in (0, 10, 20 << 20):
            data, writer = os.urandom(size_bytes), blobs.writer()
            for at in range(0, size_bytes, 1 << 20):
                await writer.write(data[at : at + (1 << 20)])
            blob = await writer.finish()
            made.append(blob.id)
            assert await blobs.read(blob.id) == data
            if size_bytes:
                parts = [part async for part in blobs.body(blob.id, 3, 6)]
                assert b"".join(parts) == data[3:9]
        writer = blobs.writer()
        await writer.write(b"x" * (9 << 20))
        await writer.abort()
        await db.transact(lambda tx: blobs.link(tx, made[1]))
        world.advance(BLOB_FRESH_S + 1)
        assert await blobs.sweep() == 2
        assert await blobs.collect() == 2
        assert await blobs.read(made[1])
        for gone in (made[0], made[2]):
            with pytest.raises(FileNotFoundError):
                await blobs.read(gone)
        assert blobs.path(made[1]) is None
        await blobs.close()
        await db.close()

    asyncio.run(main())


def test_nobody_else_may_look_into_the_shelf(tmp_path):
    """Also where the data folder itself was made by hand, open to all."""
    FileShelf(f"{tmp_path}/blobs", SeededWorld(1))
    modes = [
        os.stat(path).st_mode & 0o777 for path in (f"{tmp_path}/blobs", f"{tmp_path}/blobs/new")
    ]
    assert modes == [0o700, 0o700]
