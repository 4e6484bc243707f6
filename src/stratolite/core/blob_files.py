"""Blobs as files: <folder>/<first two digits>/<id>, and <folder>/new/<id> while being written.

A file under its final name never changes. It is renamed before it is synced, so that one journal
commit carries both: the name alone promises nothing, only the link in the store does, and that is
committed after ``finish``. What an earlier process left in ``new`` is removed at start.

Bytes are written past the page cache where the file system can (``O_DIRECT``): the disk works while the
rest arrives, little is left to sync, and no cache is filled with what may never be read (decision 0047).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import mmap
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from stratolite.clock import World
from stratolite.core.lanes import Lane
from stratolite.errors import Unavailable
from stratolite.http import Body, FileSlice
from stratolite.limits import (
    BLOB_BUFFER_BYTES,
    BLOB_FRESH_S,
    BLOB_THREADS_MAX,
    BLOBS_BUFFERED_BYTES_MAX,
)

T = TypeVar("T")
_DIRECT = getattr(os, "O_DIRECT", 0)
_BLOCK_BYTES = 4096
"""What direct writes are aligned to, in memory and in the file."""
_SPACE_BYTES = 1 << 20
_of_thread = threading.local()


class FileShelf:
    def __init__(self, folder: str, world: World, *, shared: bool = False) -> None:
        """``shared``: other processes write here too, so only what is old was left behind."""
        self._folder, self._world = folder, world
        self._new = f"{folder}/new"
        for each in (folder, self._new):  # makedirs gives its mode to the last folder only
            os.makedirs(each, mode=0o700, exist_ok=True)
        newest_s = world.wall() - BLOB_FRESH_S if shared else float("inf")
        for name in _old_names(self._new, newest_s):
            os.unlink(f"{self._new}/{name}")
        self._known: set[str] = set()
        self.held_bytes = 0
        """By all sinks, not yet handed to a thread."""
        self._threads = ThreadPoolExecutor(BLOB_THREADS_MAX, thread_name_prefix="blob")

    def sink(self, id: str) -> FileSink:
        return FileSink(self, f"{self._new}/{id}", self.path(id))

    def body(self, id: str, offset: int, size_bytes: int) -> Body:
        return FileSlice(self.path(id), offset, size_bytes)

    async def read(self, id: str) -> bytes:
        return await self.in_thread(_read, self.path(id))

    def path(self, id: str) -> str:
        return f"{self._folder}/{id[:2]}/{id}"

    async def remove(self, ids: Iterable[str]) -> None:
        def unlink() -> None:
            for blob_id in ids:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.path(blob_id))

        await self.in_thread(unlink)

    async def ids(self, older_than_s: float) -> AsyncIterator[list[str]]:
        newest_s = self._world.wall() - older_than_s
        for name in await self.in_thread(os.listdir, self._folder):
            if len(name) == 2:
                yield await self.in_thread(_old_names, f"{self._folder}/{name}", newest_s)

    async def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def in_thread(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.wrap_future(self._threads.submit(work, *args))

    def lane(self) -> Lane:
        return Lane(self._threads)

    def make_folder(self, path: str) -> None:
        """The folder of a blob, there and durable. In a thread."""
        if path not in self._known:
            os.makedirs(path, mode=0o700, exist_ok=True)
            _sync_folder(self._folder)
            self._known.add(path)


class FileSink:
    """Small blobs take one trip to a thread, large ones one for what came during the one before."""

    __slots__ = (
        "_buffer",
        "_direct",
        "_fd",
        "_final",
        "_held_bytes",
        "_lane",
        "_path",
        "_rest",
        "_shelf",
    )

    def __init__(self, shelf: FileShelf, path: str, final: str) -> None:
        self._shelf, self._path, self._final = shelf, path, final
        self._fd = -1
        self._buffer: list[bytes] = []
        self._held_bytes = 0
        self._lane: Lane | None = None
        self._direct = False
        self._rest = b""  # less than a block, of a file that is written directly

    async def write(self, chunk: bytes) -> None:
        self._buffer.append(chunk)
        self._held_bytes += len(chunk)
        shelf = self._shelf
        shelf.held_bytes += len(chunk)
        # thousands of slow senders together must not hold a gigabyte
        if self._held_bytes >= BLOB_BUFFER_BYTES or shelf.held_bytes > BLOBS_BUFFERED_BYTES_MAX:
            lane = self._hand_over(self._flush)
            with self._telling():
                await lane.room()

    async def finish(self) -> None:
        lane = self._hand_over(self._seal)
        with self._telling():
            await lane.done()

    async def abort(self) -> None:
        self._let_go()
        if self._lane is not None:
            self._lane.put(self._discard, None, 0, always=True)
            await self._lane.ended()

    def _hand_over(self, work: Callable[[list[bytes]], None]) -> Lane:
        if self._lane is None:
            self._lane = self._shelf.lane()
        self._lane.put(work, self._buffer, self._held_bytes)
        self._let_go()
        return self._lane

    def _let_go(self) -> None:
        self._shelf.held_bytes -= self._held_bytes
        self._buffer, self._held_bytes = [], 0

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Unavailable(f"blob={os.path.basename(self._final)}: {error}") from error

    # -- in the lane's thread

    def _flush(self, buffer: list[bytes]) -> None:
        if self._fd < 0:
            self._fd, self._direct = _create(self._path)
        if not self._direct:
            for chunk in (self._rest, *buffer):
                self._put(memoryview(chunk))
            self._rest = b""
            return
        space, at = _space(), len(self._rest)
        space[:at] = self._rest
        for chunk in buffer:
            view = memoryview(chunk)
            while view:
                taken = min(len(view), _SPACE_BYTES - at)
                space[at : at + taken] = view[:taken]
                at, view = at + taken, view[taken:]
                if at == _SPACE_BYTES:
                    self._put(space)
                    at = 0
        whole = at - at % _BLOCK_BYTES
        self._put(space[:whole])
        self._rest = bytes(space[whole:at])

    def _put(self, view: memoryview) -> None:
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except OSError as error:
                if error.errno != errno.EINVAL or not self._direct:
                    raise
                self._write_through_cache()  # it was opened directly, but cannot be written so

    def _write_through_cache(self) -> None:
        self._direct = False
        flags = fcntl.fcntl(self._fd, fcntl.F_GETFL)
        fcntl.fcntl(self._fd, fcntl.F_SETFL, flags & ~_DIRECT)

    def _seal(self, buffer: list[bytes]) -> None:
        self._flush(buffer)
        if self._rest:
            self._write_through_cache()
            self._flush([])
        folder = os.path.dirname(self._final)
        self._shelf.make_folder(folder)
        os.rename(self._path, self._final)
        os.fsync(self._fd)
        fd, self._fd = self._fd, -1
        os.close(fd)
        _sync_folder(folder)

    def _discard(self, _: None) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        for path in (self._path, self._final):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def _create(path: str) -> tuple[int, bool]:
    """(A new file, whether it is written past the page cache)."""
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    try:
        return os.open(path, flags | _DIRECT, 0o600), _DIRECT != 0
    except OSError as error:
        if error.errno != errno.EINVAL or not _DIRECT:
            raise
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # Linux creates it before it refuses
    return os.open(path, flags, 0o600), False


def _space() -> memoryview:
    """This thread's aligned memory."""
    space: memoryview | None = getattr(_of_thread, "space", None)
    if space is None:
        space = _of_thread.space = memoryview(mmap.mmap(-1, _SPACE_BYTES))
    return space


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _old_names(folder: str, newest_s: float) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if entry.stat().st_mtime <= newest_s]


def _sync_folder(path: str) -> None:
    fd = os.open(path, os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
