"""Blobs as files: <folder>/<first two digits>/<id>, and <folder>/new/<id> while being written.

A file under its final name never changes. It is renamed before it is synced, so that one journal
commit carries both: the name alone promises nothing, only the link in the store does, and that is
committed after ``finish``. What an earlier process left in ``new`` is removed at start.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from stratolite.clock import World
from stratolite.core.lanes import Lane
from stratolite.errors import Unavailable
from stratolite.http import Body, FileSlice
from stratolite.limits import BLOB_BUFFER_BYTES, BLOB_FRESH_S, BLOB_THREADS_MAX

T = TypeVar("T")


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

    __slots__ = ("_buffer", "_fd", "_final", "_held_bytes", "_lane", "_path", "_shelf")

    def __init__(self, shelf: FileShelf, path: str, final: str) -> None:
        self._shelf, self._path, self._final = shelf, path, final
        self._fd = -1
        self._buffer: list[bytes] = []
        self._held_bytes = 0
        self._lane: Lane | None = None

    async def write(self, chunk: bytes) -> None:
        self._buffer.append(chunk)
        self._held_bytes += len(chunk)
        if self._held_bytes >= BLOB_BUFFER_BYTES:
            lane = self._hand_over(self._flush)
            with self._telling():
                await lane.room()

    async def finish(self) -> None:
        lane = self._hand_over(self._seal)
        with self._telling():
            await lane.done()

    async def abort(self) -> None:
        if self._lane is not None:
            self._lane.put(self._discard, None, 0, always=True)
            await self._lane.ended()

    def _hand_over(self, work: Callable[[list[bytes]], None]) -> Lane:
        if self._lane is None:
            self._lane = self._shelf.lane()
        self._lane.put(work, self._buffer, self._held_bytes)
        self._buffer, self._held_bytes = [], 0
        return self._lane

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Unavailable(f"blob={os.path.basename(self._final)}: {error}") from error

    # -- in the lane's thread

    def _flush(self, buffer: list[bytes]) -> None:
        if self._fd < 0:
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
            self._fd = os.open(self._path, flags, 0o600)
        for chunk in buffer:
            view = memoryview(chunk)
            while view:
                view = view[os.write(self._fd, view) :]

    def _seal(self, buffer: list[bytes]) -> None:
        self._flush(buffer)
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
