"""Blobs as objects of a bucket, ``blobs/<id>``: whole in one PUT when small, in parts as they arrive when large.

An object appears when its PUT is complete, so a name alone means whole. Parts of an upload that was cut off
are the bucket's to expire (a lifecycle rule for incomplete multipart uploads).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from stratolite.clock import World
from stratolite.errors import Unavailable
from stratolite.http import Body
from stratolite.limits import BLOB_COLLECT_COUNT_MAX, BLOB_PART_BYTES

_PREFIX = "blobs/"


class ObjectShelf:
    def __init__(self, store: Any, world: World) -> None:
        """``store`` is one of ``obstore.store``."""
        self.store, self._world = store, world

    def sink(self, id: str) -> ObjectSink:
        return ObjectSink(self.store, _PREFIX + id)

    def body(self, id: str, offset: int, size_bytes: int) -> Body:
        return self._parts(id, offset, size_bytes) if size_bytes else b""

    async def _parts(self, id: str, offset: int, size_bytes: int) -> AsyncIterator[bytes]:
        import obstore

        with _told_apart():
            options: Any = {"range": (offset, offset + size_bytes)}
            found = await obstore.get_async(self.store, _PREFIX + id, options=options)
            async for part in found.stream(min_chunk_size=BLOB_PART_BYTES // 8):
                yield bytes(part)

    async def read(self, id: str) -> bytes:
        import obstore

        with _told_apart():
            found = await obstore.get_async(self.store, _PREFIX + id)
            return bytes(await found.bytes_async())

    def path(self, id: str) -> None:  # noqa: ARG002 - a shelf's contract
        return None

    async def remove(self, ids: Iterable[str]) -> None:
        import obstore

        paths = [_PREFIX + blob_id for blob_id in ids]
        with _told_apart():
            try:
                await obstore.delete_async(self.store, paths)
            except FileNotFoundError:  # one is gone already, and it stopped at it
                for path in paths:
                    try:
                        await obstore.delete_async(self.store, path)
                    except FileNotFoundError:
                        continue

    async def ids(self, older_than_s: float) -> AsyncIterator[list[str]]:
        import obstore

        newest_s = self._world.wall() - older_than_s
        with _told_apart():
            pages = obstore.list(self.store, prefix=_PREFIX, chunk_size=BLOB_COLLECT_COUNT_MAX)
            async for page in pages:
                yield [
                    one["path"].removeprefix(_PREFIX)
                    for one in page
                    if one["last_modified"].timestamp() <= newest_s
                ]

    async def close(self) -> None:
        pass


class ObjectSink:
    __slots__ = ("_buffer", "_held_bytes", "_parts", "_path", "_put", "_store")

    def __init__(self, store: Any, path: str) -> None:
        self._store, self._path = store, path
        self._buffer: list[bytes] = []
        self._held_bytes = 0
        self._parts: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._put: asyncio.Task[None] | None = None

    async def write(self, chunk: bytes) -> None:
        self._buffer.append(chunk)
        self._held_bytes += len(chunk)
        if self._held_bytes >= BLOB_PART_BYTES:
            if self._put is None:
                self._put = asyncio.create_task(self._put_parts())
            await self._hand_over(b"".join(self._buffer))
            self._buffer, self._held_bytes = [], 0

    async def finish(self) -> None:
        import obstore

        rest = b"".join(self._buffer)
        if self._put is None:
            with _told_apart():
                await obstore.put_async(self._store, self._path, rest)
            return
        await self._hand_over(rest)
        await self._hand_over(None)
        await self._put

    async def abort(self) -> None:
        if self._put is not None:
            self._put.cancel()
            await asyncio.gather(self._put, return_exceptions=True)

    async def _put_parts(self) -> None:
        import obstore

        with _told_apart():
            await obstore.put_async(
                self._store, self._path, self._arriving(), chunk_size=BLOB_PART_BYTES
            )

    async def _arriving(self) -> AsyncIterator[bytes]:
        while (part := await self._parts.get()) is not None:
            if part:
                yield part

    async def _hand_over(self, part: bytes | None) -> None:
        """Waits while the bucket is slow; raises what the upload raised."""
        assert self._put is not None
        given = asyncio.ensure_future(self._parts.put(part))
        await asyncio.wait([given, self._put], return_when=asyncio.FIRST_COMPLETED)
        if not given.done():
            given.cancel()
            self._put.result()


@contextmanager
def _told_apart() -> Iterator[None]:
    """A missing object is FileNotFoundError, all else that goes wrong with a bucket is Unavailable."""
    from obstore.exceptions import BaseError, NotFoundError

    try:
        yield
    except FileNotFoundError:
        raise
    except NotFoundError as error:
        raise FileNotFoundError(str(error)[:300]) from error
    except BaseError as error:
        raise Unavailable(f"{type(error).__name__}: {str(error)[:300]}") from error
