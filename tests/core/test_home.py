"""Which of store, snapshot and log is believed, and what callers see while something fails."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys

import pytest

from stratolite.clock import World
from stratolite.core import snapshots
from stratolite.core.disk import Disk
from stratolite.core.home import Home
from stratolite.core.log import Damaged
from stratolite.core.segments import SegmentFolder, SegmentLog
from stratolite.errors import Fenced, Unavailable


def _with(home, body):
    async def main():
        db = home.database()
        db.start()
        try:
            return await body(db)
        finally:
            await db.close()

    return asyncio.run(main())


def _fill(folder, first=0, count=50):
    async def body(db):
        for i in range(first, first + count):
            await db.transact(lambda tx, i=i: tx.put(b"%05d" % i, b"x" * 2000))

    _with(Home(folder, World()), body)


def _keys(home):
    async def body(db):
        return await db.transact(lambda tx: [k for k, _ in tx.scan((b"", b"\xff"))])

    return _with(home, body)


def _expected(count):
    return [b"%05d" % i for i in range(count)]


def _crashed(folder, mark):
    with open(f"{folder}/store.mark", "w") as file:
        file.write(mark)


def test_a_store_closed_cleanly_is_believed(tmp_path):
    _fill(f"{tmp_path}/d")
    assert Disk().read_file(f"{tmp_path}/d/store.mark").split()[1] == b"clean"
    home = Home(f"{tmp_path}/d", World())
    assert _keys(home) == _expected(50)
    assert home.rebuilt is None


def test_a_store_left_open_by_another_boot_is_made_again(tmp_path):
    """LMDB without sync does not survive power loss; what it looks like afterwards is not asked."""
    _fill(f"{tmp_path}/d")
    _crashed(f"{tmp_path}/d", "another-boot open\n")
    home = Home(f"{tmp_path}/d", World())
    assert _keys(home) == _expected(50)
    assert home.rebuilt == "the machine restarted while it was open"


def test_a_store_left_open_in_this_boot_is_believed(tmp_path):
    """kill -9 must not cost a rebuild."""
    _fill(f"{tmp_path}/d")
    _crashed(f"{tmp_path}/d", f"{Disk().boot_id()} open\n")
    home = Home(f"{tmp_path}/d", World())
    assert _keys(home) == _expected(50)
    assert home.rebuilt is None


@pytest.mark.parametrize("what", ["gone", "garbage", "older", "ahead"])
def test_whatever_happens_to_the_store_it_comes_back(tmp_path, what):
    folder = f"{tmp_path}/d"
    _fill(folder)
    if what == "older":
        shutil.copytree(f"{folder}/store", f"{tmp_path}/older")
    _fill(folder, 50)
    if what == "gone":
        shutil.rmtree(f"{folder}/store")
    elif what == "garbage":
        with open(f"{folder}/store/data.mdb", "r+b") as file:
            file.write(os.urandom(20_000))
    elif what == "older":
        shutil.rmtree(f"{folder}/store")
        shutil.move(f"{tmp_path}/older", f"{folder}/store")
    else:
        shutil.copytree(f"{folder}/store", f"{tmp_path}/ahead")
        shutil.rmtree(folder)
        _fill(folder, 0, 20)
        shutil.rmtree(f"{folder}/store")
        shutil.move(f"{tmp_path}/ahead", f"{folder}/store")
    home = Home(folder, World())
    assert _keys(home) == _expected(20 if what == "ahead" else 100)
    assert (home.rebuilt is None) == (what in ("gone", "older"))  # replayed; there is no snapshot


def test_a_log_that_ends_before_its_snapshot_is_refused(tmp_path):
    """Acknowledged entries are missing: a person decides, not we."""
    folder = f"{tmp_path}/d"
    _fill(folder)
    home = Home(folder, World())
    snapshots.advance(SegmentFolder(f"{folder}/log"), home.objects, World(), 1000)
    shutil.rmtree(f"{folder}/log")
    with pytest.raises(Damaged, match="acknowledged entries may be missing"):
        Home(folder, World()).open()


def test_two_servers_in_one_folder_are_refused(tmp_path):
    first = Home(f"{tmp_path}/d", World()).database()
    with pytest.raises(Fenced):
        Home(f"{tmp_path}/d", World()).open()
    assert first.durable == 0


class _Failing(Disk):
    """A disk that is full, or fails its syncs, while told to."""

    how = ""

    def write(self, fd, parts, at):
        if self.how == "full":
            raise OSError(28, "No space left on device")
        super().write(fd, parts, at)

    def sync(self, fd):
        if self.how == "sync":
            raise OSError(5, "Input/output error")
        super().sync(fd)


@pytest.mark.parametrize("how", ["full", "sync"])
def test_a_failing_disk_makes_callers_wait_and_loses_nothing(tmp_path, how):
    """Unavailable while it lasts; then on as before, with all that was acknowledged and no half of the rest."""
    disk, folder = _Failing(), f"{tmp_path}/d"
    home = Home(folder, World(), open_log=lambda: SegmentLog(f"{folder}/log", 64 << 10, disk=disk))
    acked, refused = [], []

    async def one(db, i):
        def body(tx):
            tx.put(b"a%05d" % i, b"x" * 500)
            tx.put(b"b%05d" % i, b"x" * 500)

        try:
            await db.transact(body)
            acked.append(i)
        except Unavailable:
            refused.append(i)

    async def body(db):
        for i in range(30):
            await one(db, i)
        disk.how = how
        await asyncio.gather(*(one(db, i) for i in range(30, 50)))
        assert len(refused) == 20
        with pytest.raises(Unavailable):
            await db.transact(lambda tx: tx.get(b"a00001"))
        with pytest.raises(Unavailable):
            db.peek(lambda tx: tx.get(b"a00001"))
        disk.how = ""
        async with asyncio.timeout(120):
            while db.failure is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        for i in range(50, 80):
            await one(db, i)
        return await db.transact(lambda tx: [k for k, _ in tx.scan((b"", b"\xff"))])

    keys = _with(home, body)
    assert len(acked) == 60
    there = {int(k[1:]) for k in keys if k[:1] == b"a"}
    assert there == {int(k[1:]) for k in keys if k[:1] == b"b"}
    assert set(acked) <= there
    assert _keys(Home(folder, World())) == keys


def test_what_no_retry_mends_ends_the_service(tmp_path):
    """Another process has taken the folder meanwhile: Fenced stays, and the server is told."""
    folder, opened = f"{tmp_path}/d", []

    def open_log():
        if opened:
            raise Fenced("another server")
        opened.append(SegmentLog(f"{folder}/log"))
        return opened[0]

    async def body(db):
        told = asyncio.get_running_loop().create_future()
        db.on_dead = told.set_result
        await db.transact(lambda tx: tx.put(b"a", b"1"))
        os.close(opened[0]._newest.fd)  # the next append fails
        with pytest.raises(Unavailable):
            await db.transact(lambda tx: tx.put(b"b", b"1"))
        assert isinstance(await asyncio.wait_for(told, 60), Fenced)
        with pytest.raises(Unavailable):
            await db.transact(lambda tx: tx.put(b"b", b"1"))

    _with(Home(folder, World(), open_log=open_log), body)


_KILLED = """
import asyncio, sys
from stratolite.clock import World
from stratolite.core.home import Home

async def main():
    db = Home(sys.argv[1], World()).database()
    db.start()
    async def one(n):
        i = 0
        while True:
            i += 1
            key = b"%d.%d" % (n, i)
            await db.transact(lambda tx: (tx.put(b"a" + key, b"x" * 300), tx.put(b"b" + key, b"y")))
            sys.stdout.write(key.decode() + "\\n")
    async def flush():
        while True:
            sys.stdout.flush()
            await asyncio.sleep(0.005)
    await asyncio.gather(flush(), *(one(n) for n in range(8)))

asyncio.run(main())
"""


@pytest.mark.live
def test_kill_9_loses_nothing_acknowledged(tmp_path):
    """A real process, killed in the middle of its writes, five times over the same folder."""
    folder, acked = f"{tmp_path}/d", set()
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in range(5):
        server = subprocess.Popen(
            [sys.executable, "-c", _KILLED, folder], stdout=subprocess.PIPE, env=env
        )
        assert server.stdout
        lines = []
        while len(lines) < 300:
            lines.append(server.stdout.readline())
        server.send_signal(signal.SIGKILL)
        rest = server.stdout.read()
        server.stdout.close()
        server.wait()
        acked |= {line.strip() for line in lines}
        acked |= set(rest.split(b"\n")[:-1])
        home = Home(folder, World())
        keys = set(_keys(home))
        assert home.rebuilt is None
        lost = {k for k in acked if b"a" + k not in keys or b"b" + k not in keys}
        assert not lost
        assert {k[1:] for k in keys if k[:1] == b"a"} == {k[1:] for k in keys if k[:1] == b"b"}
