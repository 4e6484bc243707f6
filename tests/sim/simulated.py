"""A disk, a bucket and engines that crash where they are told to, and then show what a real one might.

Every call that changes something is a step, counted in ``Steps``. At ``crash_at`` the step is begun and the
process is dead (``Crash``). At a step in ``faults`` the call fails instead. What survives:

    kill         everything the system calls did, synced or not
    power loss   what was synced; of every unsynced write any subset of its 512-byte sectors; of unsynced names
                 (create, link, rename, unlink) any subset, rename whole
    failed sync  the bytes stay readable and are never written by a later sync, as Linux does it
"""

from __future__ import annotations

import asyncio
import errno
import os
import random
from collections.abc import Callable
from typing import Any

from stratolite.core.background import Job
from stratolite.core.disk import Disk
from stratolite.core.log import Writes
from stratolite.errors import Fenced, Unavailable

_SECTOR = 512


class Crash(BaseException):
    """The process is dead; nothing it does afterwards counts."""


class Steps:
    def __init__(self, crash_at: int = 0, faults: dict[int, str] | None = None) -> None:
        self.count, self.crash_at, self.faults = 0, crash_at, faults or {}
        self.dead = False
        self.kinds: list[str] = []

    def step(self, kind: str) -> str | None:
        """The fault to inject, if any. Raises Crash, and does so ever after."""
        self.count += 1
        self.kinds.append(kind)
        if self.dead or self.count == self.crash_at:
            self.dead = True
            raise Crash(f"step={self.count} {kind}")
        return self.faults.get(self.count)


class _Inode:
    def __init__(self, data: bytes = b"") -> None:
        self.now, self.durable = bytearray(data), bytearray(data)
        self.pending: list[tuple[int, bytes]] = []


def _put(data: bytearray, at: int, piece: bytes) -> None:
    if len(data) < at + len(piece):
        data.extend(bytes(at + len(piece) - len(data)))
    data[at : at + len(piece)] = piece


class SimDisk(Disk):
    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.files: dict[str, _Inode] = {}
        self.durable_files: dict[str, _Inode] = {}
        self.pending: list[
            tuple[str, list[tuple[str, _Inode | None]]]
        ] = []  # folder, names changed at once
        self.boot = 1
        self._fds: dict[int, _Inode | str] = {}
        self._next_fd = 100
        self._locks: set[str] = set()

    # -- what happens to it

    def kill(self, steps: Steps) -> None:
        """The process died; a new one counts its own steps."""
        self._fds, self._locks, self.steps = {}, set(), steps

    def lose_power(self, rand: random.Random, steps: Steps) -> None:
        self.kill(steps)
        self.boot += 1
        keep = rand.choice((0.0, 0.5, 1.0))
        for _, changes in self.pending:
            if rand.random() < keep:
                self._rename_durably(changes)
        self.pending = []
        self.files = dict(self.durable_files)
        for inode in dict.fromkeys(self.files.values()):
            for at, piece in inode.pending:
                keep = rand.choice((0.0, 0.0, 0.5, 0.5, 0.9, 1.0))
                for start in range(0, len(piece), _SECTOR):
                    if rand.random() < keep:
                        _put(inode.durable, at + start, piece[start : start + _SECTOR])
            inode.pending = []
            inode.now = bytearray(inode.durable)

    def _rename_durably(self, changes: list[tuple[str, _Inode | None]]) -> None:
        for name, inode in changes:
            if inode is None:
                self.durable_files.pop(name, None)
            else:
                self.durable_files[name] = inode

    def _change(self, *changes: tuple[str, _Inode | None]) -> None:
        for name, inode in changes:
            if inode is None:
                self.files.pop(name, None)
            else:
                self.files[name] = inode
        self.pending.append((os.path.dirname(changes[0][0]), list(changes)))

    def _fd(self, what: _Inode | str) -> int:
        self._next_fd += 1
        self._fds[self._next_fd] = what
        return self._next_fd

    def _inode(self, fd: int) -> _Inode:
        found = self._fds[fd]
        assert isinstance(found, _Inode)
        return found

    # -- Disk

    def make_folder(self, path: str) -> None:
        pass  # folders are there

    def names(self, folder: str) -> list[str]:
        return sorted(
            name[len(folder) + 1 :] for name in self.files if os.path.dirname(name) == folder
        )

    def create(self, path: str) -> int:
        inode = _Inode()
        if path in self.files:
            raise FileExistsError(errno.EEXIST, path)
        if self.steps.step(f"create {os.path.basename(path)}"):
            raise OSError(errno.ENOSPC, "no space")
        self._change((path, inode))
        return self._fd(inode)

    def open(self, path: str, *, write: bool = False) -> int:
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, path)
        return self._fd(self.files[path])

    def size(self, fd: int) -> int:
        return len(self._inode(fd).now)

    def read(self, fd: int, at: int, size_bytes: int) -> bytes:
        return bytes(self._inode(fd).now[at : at + size_bytes])

    def write(self, fd: int, parts: list[bytes], at: int) -> None:
        inode, data = self._inode(fd), b"".join(parts)
        try:
            fault = self.steps.step("write")
        except Crash:
            part = data[: len(data) * (self.steps.count % 3) // 2]  # a kill inside the call
            inode.pending.append((at, part))
            _put(inode.now, at, part)
            raise
        if fault:
            _put(inode.now, at, data[: len(data) // 2])
            inode.pending.append((at, data[: len(data) // 2]))
            raise OSError(errno.ENOSPC, "no space")
        _put(inode.now, at, data)
        inode.pending.append((at, data))

    def sync(self, fd: int) -> None:
        inode = self._inode(fd)
        if self.steps.step("sync"):
            inode.pending = []
            raise OSError(errno.EIO, "sync failed")
        for at, piece in inode.pending:
            _put(inode.durable, at, piece)
        inode.pending = []

    def sync_folder(self, path: str) -> None:
        if self.steps.step("sync_folder"):
            raise OSError(errno.EIO, "sync failed")
        for folder, changes in self.pending:
            if folder == path:
                self._rename_durably(changes)
        self.pending = [p for p in self.pending if p[0] != path]

    def _named(self, kind: str, *changes: tuple[str, _Inode | None]) -> None:
        try:
            fault = self.steps.step(kind)
        except Crash:
            if self.steps.count % 2:
                self._change(*changes)
            raise
        if fault:
            raise OSError(errno.EIO, f"{kind} failed")
        self._change(*changes)

    def rename(self, old: str, new: str) -> None:
        self._named("rename", (new, self.files[old]), (old, None))

    def link(self, old: str, new: str) -> None:
        if new in self.files:
            raise FileExistsError(errno.EEXIST, new)
        self._named("link", (new, self.files[old]))

    def unlink(self, path: str) -> None:
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, path)
        self._named(f"unlink {path.rpartition('.')[2]}", (path, None))

    def close(self, fd: int) -> None:
        what = self._fds.pop(fd, None)
        if isinstance(what, str):
            self._locks.discard(what)

    def lock(self, path: str) -> int:
        if path in self._locks:
            raise Fenced(path)
        self._locks.add(path)
        return self._fd(path)

    def boot_id(self) -> str:
        return f"boot-{self.boot}"


class SimBucket:
    """The objects of a bucket; ``SimObjects`` is one process's way to it."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.late: list[
            tuple[str, bytes]
        ] = []  # PUTs that were given up on and are still on their way

    def deliver_late(self) -> None:
        late, self.late = self.late, []
        for name, data in late:
            self.objects.setdefault(name, data)


class SimObjects:
    far = False

    def __init__(self, bucket: SimBucket, steps: Steps) -> None:
        self._bucket, self._steps = bucket, steps

    def put_new(self, name: str, data: bytes) -> bool:
        objects = self._bucket.objects
        try:
            fault = self._steps.step("put")
        except Crash:
            if self._steps.count % 2:
                self._bucket.late.append((name, data))
            raise
        if fault == "lost":
            raise Unavailable("put: time-out")
        if fault == "late":
            self._bucket.late.append((name, data))
            raise Unavailable("put: time-out")
        made = name not in objects
        objects.setdefault(name, data)
        if fault == "done":
            raise Unavailable("put: time-out")
        if fault == "retried":
            return False  # the client's own retry found the object of its first attempt
        if self._steps.step("put answer"):
            raise Unavailable("put: connection lost")
        return made

    def get(self, name: str) -> bytes | None:
        if self._steps.step("get"):
            raise Unavailable("get: time-out")
        return self._bucket.objects.get(name)

    def names(self, prefix: str, after: str = "") -> list[str]:
        if self._steps.step("list"):
            raise Unavailable("list: time-out")
        return sorted(n for n in self._bucket.objects if n.startswith(prefix) and n > after)

    def delete(self, name: str) -> None:
        if self._steps.step("delete"):
            raise Unavailable("delete: time-out")
        self._bucket.objects.pop(name, None)


class _Files:
    """What an engine keeps on disk."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.position = 0

    def copy(self) -> _Files:
        made = _Files()
        made.rows, made.position = dict(self.rows), self.position
        return made


class SimStores:
    """Engines that survive a kill whole and power loss not at all, unless synced after their close."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.stores: dict[str, _Files] = {}
        self._synced: _Files | None = None

    def open(self, name: str) -> SimEngine:
        return SimEngine(self, self.stores.setdefault(name, _Files()))

    def sync(self, name: str) -> None:
        self.steps.step("store sync")
        self._synced = self.stores[name].copy()

    def remove(self, name: str) -> None:
        self.steps.step("store remove")
        self.stores.pop(name, None)

    def rename(self, old: str, new: str) -> None:
        self.steps.step("store rename")
        self.stores[new] = self.stores.pop(old)

    def lose_power(self, rand: random.Random) -> None:
        for name, files in list(self.stores.items()):
            synced = self._synced
            if (
                name == "store"
                and synced
                and (synced.rows, synced.position)
                == (
                    files.rows,
                    files.position,
                )
            ):
                continue
            for key in list(files.rows):  # pages that reached the disk, and pages that did not
                if rand.random() < 0.5:
                    del files.rows[key]
            if rand.random() < 0.2:
                del self.stores[name]

    def wipe(self) -> None:
        self.stores.clear()


class SimEngine:
    def __init__(self, stores: SimStores, files: _Files) -> None:
        self._stores, self._files = stores, files

    def apply(self, writes: Writes, position: int) -> None:
        if self._stores.steps.step("apply"):
            raise OSError(errno.ENOSPC, "no space")
        assert (
            position in (0, self._files.position, self._files.position + 1)
            or not self._files.position
        )
        for key, value in writes.items():
            if value is None:
                self._files.rows.pop(key, None)
            else:
                self._files.rows[key] = value
        self._files.position = position

    def grow(self) -> None:
        raise AssertionError

    def reading(self) -> SimReading:
        return SimReading(self._files.copy())

    def close(self) -> None:
        pass

    def destroy(self) -> None:
        raise AssertionError


class SimReading:
    def __init__(self, files: _Files) -> None:
        self._rows, self.position = files.rows, files.position

    def get(self, key: bytes) -> bytes | None:
        return self._rows.get(key)

    def scan(self, start: bytes, stop: bytes, *, reverse: bool = False, expected: int = 0) -> Any:
        return iter(
            sorted(((k, v) for k, v in self._rows.items() if start <= k < stop), reverse=reverse)
        )

    def close(self) -> None:
        pass


class LoopBackground:
    """Jobs run on the loop, one a turn; nothing of a dead process happens."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self.frozen = False
        """A stopped process: what it was about to do happens once it goes on."""
        self._frozen: list[Callable[[], None]] = []

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def thaw(self) -> None:
        self.frozen, waiting = False, self._frozen
        self._frozen = []
        for work in waiting:
            self._loop.call_soon(work)

    def run(self, job: Job) -> None:
        self._loop.call_soon(self._do, job)

    def _do(self, job: Job) -> None:
        if self._steps.dead:
            return
        if self.frozen:
            self._frozen.append(lambda: self._do(job))
            return
        then = job()
        if not self._steps.dead:
            self._loop.call_soon(self._then, then)

    def _then(self, then: Callable[[], None]) -> None:
        if not self._steps.dead:
            then()

    def on_loop(self, work: Callable[[], None]) -> None:
        work()

    async def stop(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
