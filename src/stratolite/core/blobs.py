"""Blobs: immutable bytes beside the log, written and synced before the transaction that names them.

    writer = blobs.writer(); await writer.write(chunk); blob = await writer.finish()     # synced
    db.transact(lambda tx: blobs.link(tx, blob.id))                                       # named

Links are counted in the store, so whether a blob lives is as durable and as transactional as what
names it. Nobody deletes a blob: it dies with its last link, and the collector removes it when nobody
can reach it any more.

Keys, all under ("", "", "blob"):

    ("ref", id)      -> msgpack [count, death]   count > 0: linked. 0: dead since stamp ``death``.
                                                 -1: condemned, the bytes are being removed.
    ("dead", stamp)  -> msgpack [id, wall_ms]    in order of death; wall_ms 0 for orphans

A dead blob goes once ``BLOB_GRACE_S`` has passed (an answer may still be reading it) and the retention
floor has passed its death (a branch or a restore may still name it). First a transaction condemns it,
then the bytes are removed, then a transaction forgets it; a crash between repeats from there, and
``link`` refuses a condemned blob. An orphan (finished, never linked: a crash between the two) is found
by a sweep over what lies there, in the background.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from typing import NamedTuple, Protocol

import msgspec

from stratolite.clock import World
from stratolite.core.database import Database
from stratolite.core.floors import Floors
from stratolite.core.keys import Keyspace
from stratolite.core.tx import Tx
from stratolite.errors import Unavailable
from stratolite.http import Body
from stratolite.limits import (
    BLOB_COLLECT_COUNT_MAX,
    BLOB_FRESH_S,
    BLOB_GRACE_S,
    BLOB_SWEEP_AFTER_S,
    BLOB_SWEEP_EVERY_S,
)

_log = logging.getLogger("stratolite.blobs")
_KEYS = Keyspace("", "", "blob")
_REF, _DEAD = _KEYS["ref"], _KEYS["dead"]
_CONDEMNED = -1
_encode = msgspec.msgpack.Encoder().encode
_decode_ref = msgspec.msgpack.Decoder(tuple[int, int]).decode
_decode_dead = msgspec.msgpack.Decoder(tuple[str, int]).decode


class Blob(NamedTuple):
    id: str
    """32 hex digits."""
    size_bytes: int


class Sink(Protocol):
    """Where the bytes of one blob go."""

    async def write(self, chunk: bytes) -> None: ...

    async def finish(self) -> None:
        """Returns when the bytes survive power loss under the blob's id."""
        ...

    async def abort(self) -> None: ...


class Shelf(Protocol):
    """Where blobs lie: ``blob_files`` (a folder) or ``blob_objects`` (a bucket)."""

    def sink(self, id: str) -> Sink: ...

    def body(self, id: str, offset: int, size_bytes: int) -> Body: ...

    async def read(self, id: str) -> bytes:
        """Raises FileNotFoundError."""
        ...

    def path(self, id: str) -> str | None: ...

    async def remove(self, ids: Iterable[str]) -> None:
        """Gone already is success."""
        ...

    def ids(self, older_than_s: float) -> AsyncIterator[list[str]]:
        """Every finished blob of at least that age on the wall clock, in pages."""
        ...

    async def close(self) -> None: ...


def open_shelf(folder: str, url: str | None, world: World) -> Shelf:
    """Beside the log: under ``folder``, or at ``url`` (see ``objects.open_objects``)."""
    from stratolite.core.blob_files import FileShelf

    if url is None:
        return FileShelf(f"{folder}/blobs", world)
    from stratolite.core.blob_objects import ObjectShelf
    from stratolite.core.objects import BucketObjects, FolderObjects, open_objects

    place = open_objects(url, world)
    if isinstance(place, FolderObjects):
        return FileShelf(f"{place._folder}/blobs", world, shared=True)
    assert isinstance(place, BucketObjects)
    return ObjectShelf(place._store, world)


class BlobWriter:
    """Takes one blob's bytes. End it with ``finish`` or ``abort``; dropping it aborts at restart."""

    __slots__ = ("_blobs", "_ended", "_sink", "id", "size_bytes")

    def __init__(self, blobs: Blobs, id: str, sink: Sink) -> None:
        self._blobs, self._sink = blobs, sink
        self._ended = False
        self.id = id
        self.size_bytes = 0

    async def write(self, chunk: bytes) -> None:
        """Returns when it may be given more; a slow disk slows the sender, memory stays flat.

        Raises Unavailable (a full disk, a bucket out of reach), and is aborted then, or when cancelled.
        """
        self.size_bytes += len(chunk)
        try:
            await self._sink.write(chunk)
        except BaseException:
            await self.abort()
            raise

    async def finish(self) -> Blob:
        """Synced: what names the blob may now be committed, within ``BLOB_FRESH_S``. Raises as ``write``."""
        try:
            await self._sink.finish()
        except BaseException:
            await self.abort()
            raise
        self._ended = True
        self._blobs._finished(self.id)
        return Blob(self.id, self.size_bytes)

    async def abort(self) -> None:
        """Nothing of it stays. Does nothing after its end: what names it may be committed already."""
        if not self._ended:
            self._ended = True
            await self._sink.abort()
            self._blobs._aborted(self.id)


class Blobs:
    def __init__(self, db: Database, world: World, shelf: Shelf, floors: Floors) -> None:
        self._db, self._world, self._shelf, self._floors = db, world, shelf, floors
        self._fresh: dict[str, float] = {}
        """Blobs of this process that may not be linked yet -> mono time until which they may be."""
        self._writing: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []

    # -- bytes

    def writer(self) -> BlobWriter:
        blob_id = self._world.token(16).hex()
        self._writing.add(blob_id)
        return BlobWriter(self, blob_id, self._shelf.sink(blob_id))

    def body(self, id: str, offset: int, size_bytes: int) -> Body:
        """A part of a linked blob as a response body; a file's part goes out without being copied."""
        return self._shelf.body(id, offset, size_bytes)

    async def read(self, id: str) -> bytes:
        """All of it. Raises FileNotFoundError."""
        return await self._shelf.read(id)

    def path(self, id: str) -> str | None:
        """The local file, None where blobs are objects. Read only; it goes some time after its last link."""
        return self._shelf.path(id)

    async def discard(self, id: str) -> None:
        """Remove a blob that this process finished and will not link. Left out, or cut short, the sweep finds it."""
        self._fresh.pop(id, None)
        await self._shelf.remove([id])

    # -- links, in a transaction

    def link(self, tx: Tx, id: str) -> None:
        """One more name for a blob that is linked (seen in this ``tx``) or was just finished here.

        Raises LookupError for any other id: its bytes may be gone.
        """
        key = _REF.key(id)
        raw = tx.get(key)
        if raw is None:
            if id not in self._fresh:
                raise LookupError(f"blob={id} is neither linked nor just written")
            count = 0
        else:
            count, death = _decode_ref(raw)
            if count == _CONDEMNED:
                raise LookupError(f"blob={id} is being removed")
            if count == 0:
                tx.delete(_DEAD.key(death))
        tx.put(key, _encode((count + 1, 0)))

    def unlink(self, tx: Tx, id: str) -> None:
        """One name less; with the last one the blob dies."""
        key = _REF.key(id)
        raw = tx.get(key)
        assert raw is not None, f"blob={id} was never linked"
        count, _ = _decode_ref(raw)
        assert count > 0, f"blob={id} is unlinked more often than linked"
        if count > 1:
            tx.put(key, _encode((count - 1, 0)))
            return
        death = tx.stamp()
        tx.put(key, _encode((0, death)))
        tx.put(_DEAD.key(death), _encode((id, int(self._wall_s(tx) * 1000))))

    def links(self, tx: Tx, id: str) -> int:
        """How many names it has."""
        raw = tx.get(_REF.key(id))
        return max(0, _decode_ref(raw)[0]) if raw is not None else 0

    # -- collection

    def start(self) -> None:
        """Collect in the background from now on."""
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._collect_for_ever(), name="blobs: collect"),
            loop.create_task(self._sweep_for_ever(), name="blobs: sweep"),
        ]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._shelf.close()

    async def collect(self, *, wait: bool = False) -> int:
        """Remove the blobs whose time has come, oldest death first, a page of them; how many went.

        With ``wait``, first until there is one.
        """
        condemned = await self._db.transact(lambda tx: self._condemn(tx, wait=wait))
        if condemned:
            for _, blob_id in condemned:
                self._fresh.pop(blob_id, None)
            await self._shelf.remove([blob_id for _, blob_id in condemned])
            await self._db.transact(lambda tx: self._forget(tx, condemned))
        return len(condemned)

    async def sweep(self) -> int:
        """Condemn finished blobs that nobody linked or is about to; how many."""
        count = 0
        async for ids in self._shelf.ids(BLOB_FRESH_S):
            for at in range(0, len(ids), BLOB_COLLECT_COUNT_MAX):
                page = ids[at : at + BLOB_COLLECT_COUNT_MAX]
                count += await self._db.transact(lambda tx, page=page: self._orphans(tx, page))  # type: ignore[misc]
        return count

    def _condemn(self, tx: Tx, *, wait: bool) -> list[tuple[int, str]]:
        condemned: list[tuple[int, str]] = []
        until_s = float("inf")
        floor = self._floors.lowest(newest=1 << 62)
        newest_ms = (self._wall_s(tx) - BLOB_GRACE_S) * 1000
        for key, raw in tx.scan(_DEAD.span(), limit=BLOB_COLLECT_COUNT_MAX):
            (death,) = _DEAD.parts(key)
            assert isinstance(death, int)
            blob_id, wall_ms = _decode_dead(raw)
            if wall_ms > newest_ms:
                until_s = tx.time_s + (wall_ms - newest_ms) / 1000
                break
            if death >> 24 > floor:
                until_s = tx.time_s + BLOB_GRACE_S
                break
            condemned.append((death, blob_id))
        for death, blob_id in condemned:
            tx.put(_REF.key(blob_id), _encode((_CONDEMNED, death)))
        if wait and not condemned:
            tx.wait([_DEAD.span()], until_s)
        return condemned

    def _forget(self, tx: Tx, condemned: list[tuple[int, str]]) -> None:
        for death, blob_id in condemned:
            tx.delete(_REF.key(blob_id))
            tx.delete(_DEAD.key(death))

    def _orphans(self, tx: Tx, ids: list[str]) -> int:
        self._drop_stale()
        count = 0
        for blob_id in ids:
            if (
                blob_id in self._fresh
                or blob_id in self._writing
                or tx.get(_REF.key(blob_id)) is not None
            ):
                continue
            death = tx.stamp()
            tx.put(_REF.key(blob_id), _encode((_CONDEMNED, death)))
            tx.put(_DEAD.key(death), _encode((blob_id, 0)))
            count += 1
        return count

    async def _collect_for_ever(self) -> None:
        while True:
            try:
                await self.collect(wait=True)
            except (OSError, Unavailable):
                _log.exception("cannot remove dead blobs; trying again later")
                await self._world.sleep(BLOB_GRACE_S)

    async def _sweep_for_ever(self) -> None:
        await self._world.sleep(BLOB_SWEEP_AFTER_S)
        while True:
            try:
                if count := await self.sweep():
                    _log.info("found %d blobs that nobody named", count)
            except (OSError, Unavailable):
                _log.exception("cannot look for blobs that nobody named; trying again later")
            await self._world.sleep(BLOB_SWEEP_EVERY_S)

    def _wall_s(self, tx: Tx) -> float:
        """A user's jump of the cloud clock must not take bytes from under an answer."""
        return tx.time_s - self._world.cloud_offset_s

    def _finished(self, id: str) -> None:
        self._drop_stale()
        self._fresh[id] = self._world.mono() + BLOB_FRESH_S
        self._writing.discard(id)

    def _aborted(self, id: str) -> None:
        self._writing.discard(id)

    def _drop_stale(self) -> None:
        now_s, stale = self._world.mono(), []
        for blob_id, until_s in self._fresh.items():
            if until_s > now_s:
                break
            stale.append(blob_id)
        for blob_id in stale:
            del self._fresh[blob_id]
