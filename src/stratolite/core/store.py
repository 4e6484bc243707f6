"""The store: a disposable materialised view of the log, as ordered keys with snapshot reads.

An ``Engine`` keeps (key -> value) and the position of the last entry applied, both changed together.
It need not survive power loss: it is rebuilt from snapshot runs and the log.
Why LMDB: docs/decisions/0002-store-engine.md.
"""

from __future__ import annotations

import os
import shutil
from bisect import bisect_left
from collections.abc import Iterator
from itertools import chain, islice
from operator import itemgetter
from typing import Protocol

import lmdb

from stratolite.core.log import Writes


class Reading(Protocol):
    """A consistent view of the store at one position. Close it soon: it holds old pages."""

    position: int

    def get(self, key: bytes) -> bytes | None: ...

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False, expected: int = 0
    ) -> Iterator[tuple[bytes, bytes]]:
        """Keys in [start, stop), ascending, or descending from the last one below ``stop``.

        ``expected`` rows will be asked for, if that is known: no need to read ahead further.
        """
        ...

    def close(self) -> None: ...


class StoreFull(Exception):
    """``apply`` changed nothing for want of room in the map: ``grow`` and apply again."""


class Engine(Protocol):
    def apply(self, writes: Writes, position: int) -> None:
        """All of ``writes`` and the new position, or nothing. Raises StoreFull."""
        ...

    def grow(self) -> None:
        """Make room. No ``apply`` and no read may be under way meanwhile; open readings stay valid."""
        ...

    def reading(self) -> Reading: ...

    def close(self) -> None: ...

    def destroy(self) -> None:
        """Close and remove what is stored; a new engine in its place starts empty."""
        ...


def apply(engine: Engine, writes: Writes, position: int) -> None:
    """``engine.apply``, growing it where needed: for an engine that nobody reads."""
    while True:
        try:
            engine.apply(writes, position)
            return
        except StoreFull:
            engine.grow()


_FIRST = itemgetter(0)
_CHUNK = 500
_MARK = b"\x00"
_FORMAT = b"2"
_MAP_SIZES = (1 << 40, 1 << 37, 1 << 34, 1 << 31)


class LmdbEngine:
    """LMDB without sync: fast to read, safe across kill -9, not across power loss.

    LMDB takes keys of 511 bytes, we take 10 KiB. Longer keys than ``_CHUNK`` are a path through spaces,
    each with an 8-byte id; a space holds what follows one chunk. Three tables:

        data    <key, at most 500 bytes>                     -> value
                <first 500 bytes of longer keys> 00          -> id of the space of what follows them
        long    <id> <rest, at most 500 bytes>               -> value
                <id> <next 500 bytes of longer rests> 00     -> id of the next space
        meta    "format" -> "2", "position" -> decimal, "space" -> decimal, the newest id

    A row of 501 bytes (after the id) is such a mark, and nothing else is. It sorts behind the key that is
    just its chunk and before every greater chunk: where the keys it stands for belong. A space goes with
    its last key.

    The map is sparse and far larger than any disk where the system lets us, and grows where it does not.
    """

    def __init__(self, folder: str, map_size_bytes: int = 0) -> None:
        """Raises lmdb.Error for a folder that is damaged: ``shutil.rmtree`` it and rebuild."""
        self._folder = folder
        self._sizes = (map_size_bytes,) if map_size_bytes else _MAP_SIZES
        self._readings: set[LmdbReading] = set()
        self._open()
        with self._env.begin(db=self._meta) as txn:
            known = txn.get(b"format")
        if known is None:
            self._wipe_unless_empty()
        elif known != _FORMAT:
            self._wipe()

    def _open(self) -> None:
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        for size_bytes in self._sizes:
            try:
                self._env = lmdb.open(
                    self._folder,
                    map_size=size_bytes,
                    max_dbs=3,
                    sync=False,
                    metasync=False,
                    readahead=False,
                    max_spare_txns=8,
                )
                break
            except (lmdb.MemoryError, lmdb.DiskError, MemoryError):
                if size_bytes == self._sizes[-1]:
                    raise
        self._size_bytes = size_bytes
        self._data = self._env.open_db(b"data")
        self._long = self._env.open_db(b"long")
        self._meta = self._env.open_db(b"meta")

    def _wipe_unless_empty(self) -> None:
        with self._env.begin() as txn:
            empty = txn.stat()["entries"] == 3  # our tables and nothing else
        if not empty:
            self._wipe()
            return
        with self._env.begin(db=self._meta, write=True) as txn:
            txn.put(b"format", _FORMAT)

    def _wipe(self) -> None:
        self.destroy()
        self._open()
        with self._env.begin(db=self._meta, write=True) as txn:
            txn.put(b"format", _FORMAT)

    # -- writing

    def apply(self, writes: Writes, position: int) -> None:
        # Few calls that each do much: py-lmdb lets go of the interpreter at every one of them, and
        # taking it back from a busy loop costs more than the write.
        puts: list[tuple[bytes, bytes]]
        deletes: list[bytes] = []
        long: list[tuple[bytes, bytes | None]] = []
        if None not in writes.values() and max(map(len, writes), default=0) <= _CHUNK:
            puts = sorted(writes.items())  # type: ignore[arg-type]
        else:
            puts = []
            for item in writes.items():
                key, value = item
                if len(key) > _CHUNK:
                    long.append(item)
                elif value is None:
                    deletes.append(key)
                else:
                    puts.append(item)  # type: ignore[arg-type]
            puts.sort()
            deletes.sort()
        try:
            with self._env.begin(db=self._data, write=True) as txn:
                if puts:
                    txn.cursor().putmulti(puts)
                delete = txn.delete
                for key in deletes:
                    delete(key)
                for key, value in sorted(long):
                    if value is None:
                        self._delete_long(txn, key)
                    else:
                        self._put_long(txn, key, value)
                txn.put(b"position", b"%d" % position, db=self._meta)
        except lmdb.MapFullError as error:
            raise StoreFull(f"map_size_bytes={self._size_bytes}") from error

    def _put_long(self, txn: lmdb.Transaction[bytes], key: bytes, value: bytes) -> None:
        table, space, rest = self._data, b"", key
        while len(rest) > _CHUNK:
            mark = space + rest[:_CHUNK] + _MARK
            inner = txn.get(mark, db=table)
            if inner is None:
                number = int(txn.get(b"space", b"0", db=self._meta)) + 1
                txn.put(b"space", b"%d" % number, db=self._meta)
                inner = number.to_bytes(8, "big")
                txn.put(mark, inner, db=table)
            table, space, rest = self._long, inner, rest[_CHUNK:]
        txn.put(space + rest, value, db=table)

    def _delete_long(self, txn: lmdb.Transaction[bytes], key: bytes) -> None:
        table, space, rest = self._data, b"", key
        path: list[tuple[lmdb._Database, bytes, bytes]] = []
        while len(rest) > _CHUNK:
            mark = space + rest[:_CHUNK] + _MARK
            inner = txn.get(mark, db=table)
            if inner is None:
                return
            path.append((table, mark, inner))
            table, space, rest = self._long, inner, rest[_CHUNK:]
        txn.delete(space + rest, db=table)
        for table, mark, inner in reversed(path):
            cursor = txn.cursor(db=self._long)
            if cursor.set_range(inner) and cursor.key().startswith(inner):
                return
            txn.delete(mark, db=table)

    def grow(self) -> None:
        for reading in self._readings:
            reading.abort()
        self._size_bytes *= 2
        self._env.set_mapsize(self._size_bytes)
        for reading in self._readings:
            reading.begin()

    # -- reading

    def reading(self) -> LmdbReading:
        return LmdbReading(self._env, self._data, self._long, self._meta, self._readings)

    def close(self) -> None:
        for reading in list(self._readings):
            reading.close()
        self._env.close()

    def destroy(self) -> None:
        self.close()
        shutil.rmtree(self._folder)


class LmdbReading:
    __slots__ = (
        "_data",
        "_env",
        "_get",
        "_has_long",
        "_live",
        "_long",
        "_meta",
        "_txn",
        "position",
    )

    def __init__(
        self,
        env: lmdb.Environment,
        data: lmdb._Database,
        long: lmdb._Database,
        meta: lmdb._Database,
        live: set[LmdbReading],
    ) -> None:
        self._env, self._data, self._long, self._meta, self._live = env, data, long, meta, live
        self.begin()
        live.add(self)

    def begin(self) -> None:
        self._txn = txn = self._env.begin(db=self._data)
        self._get = txn.get
        self.position = int(txn.get(b"position", b"0", db=self._meta))
        # once there were long keys, scans look out for marks
        self._has_long = txn.get(b"space", db=self._meta) is not None

    def abort(self) -> None:
        self._txn.abort()

    def get(self, key: bytes) -> bytes | None:
        if 0 < len(key) <= _CHUNK:
            return self._get(key)
        return self._get_long(key) if key else None

    def _get_long(self, key: bytes) -> bytes | None:
        get, table, space, rest = self._get, self._data, b"", key
        while len(rest) > _CHUNK:
            inner = get(space + rest[:_CHUNK] + _MARK, db=table)
            if inner is None:
                return None
            table, space, rest = self._long, inner, rest[_CHUNK:]
        return get(space + rest, db=table)

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False, expected: int = 0
    ) -> Iterator[tuple[bytes, bytes]]:
        if start >= stop:
            return iter(())
        if self._has_long or len(start) > _CHUNK or len(stop) > _CHUNK:
            return self._walk(self._data, b"", start, stop, reverse)
        return chain.from_iterable(self._pages(start, stop, reverse, expected))

    def _pages(
        self, start: bytes, stop: bytes, reverse: bool, expected: int
    ) -> Iterator[list[tuple[bytes, bytes]]]:
        """A few rows at a time, growing while they are small: whole pages need one comparison."""
        cursor = self._txn.cursor()
        if not _seek(cursor, start, stop, reverse):
            return
        rows = cursor.iterprev() if reverse else cursor.iternext()
        count = min(expected, 16) or 2
        while page := list(islice(rows, count)):
            last, value = page[-1]
            if last < start if reverse else last >= stop:
                if reverse:
                    yield [row for row in page if row[0] >= start]
                else:
                    yield page[: bisect_left(page, stop, key=_FIRST)]
                return
            yield page
            expected -= count
            if count < 64 and len(value) < 4096:
                count *= 2
            if 0 < expected < count:
                count = expected

    def _walk(
        self, table: lmdb._Database, space: bytes, start: bytes, stop: bytes | None, reverse: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows of one space, without its id, and of the spaces inside it in their places."""
        low = space + (start if len(start) <= _CHUNK else start[:_CHUNK] + _MARK)
        if stop is None:
            high = (int.from_bytes(space, "big") + 1).to_bytes(8, "big")
        elif len(stop) <= _CHUNK:
            high = space + stop
        else:
            high = space + stop[:_CHUNK] + _MARK + b"\x00"  # just past its own mark
        cursor = self._txn.cursor(db=table)
        if not _seek(cursor, low, high, reverse):
            return
        skip = len(space)
        mark_size = skip + _CHUNK + 1
        for key, value in cursor.iterprev() if reverse else cursor.iternext():
            if key < low if reverse else key >= high:
                return
            if len(key) != mark_size:
                yield key[skip:], value
                continue
            chunk = key[skip:-1]
            inner_start, inner_stop = b"", None
            if len(start) > _CHUNK and start.startswith(chunk):
                inner_start = start[_CHUNK:]
            if stop is not None and len(stop) > _CHUNK and stop.startswith(chunk):
                inner_stop = stop[_CHUNK:]
            for rest, found in self._walk(self._long, value, inner_start, inner_stop, reverse):
                yield chunk + rest, found

    def close(self) -> None:
        self._live.discard(self)
        self._txn.abort()


def _seek(cursor: lmdb.Cursor[bytes], low: bytes, high: bytes, reverse: bool) -> bool:
    """To the first row at or after ``low``, or in reverse to the last before ``high``."""
    if reverse:
        return cursor.prev() if cursor.set_range(high) else cursor.last()
    return cursor.set_range(low) if low else cursor.first()
