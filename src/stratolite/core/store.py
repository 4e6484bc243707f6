"""The store: a disposable materialised view of the log, as ordered keys with snapshot reads.

An ``Engine`` keeps (key -> value) and the position of the last entry applied, both changed together.
It need not survive power loss: it is rebuilt from snapshot runs and the log.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Protocol

import lmdb

from stratolite.core.log import Writes


class Reading(Protocol):
    """A consistent view of the store at one position. Close it soon: it holds old pages."""

    position: int

    def get(self, key: bytes) -> bytes | None: ...

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Keys in [start, stop), ascending, or descending from the last one below ``stop``."""
        ...

    def close(self) -> None: ...


class Engine(Protocol):
    def apply(self, writes: Writes, position: int) -> None:
        """All of ``writes`` and the new position, or nothing."""
        ...

    def reading(self) -> Reading: ...

    def close(self) -> None: ...


_POSITION = b"\x00position"


class LmdbEngine:
    """LMDB without sync: fast to read, safe across kill -9, not across power loss.

    Key layout: 0x00 "position" -> decimal; 0x01 <user key> -> value.
    """

    def __init__(self, folder: str, map_size_bytes: int = 1 << 40) -> None:
        os.makedirs(folder, exist_ok=True)
        self._env = lmdb.open(
            folder,
            map_size=map_size_bytes,
            sync=False,
            metasync=False,
            readahead=False,
            max_spare_txns=8,
        )

    def apply(self, writes: Writes, position: int) -> None:
        with self._env.begin(write=True) as txn:
            puts = sorted((b"\x01" + k, v) for k, v in writes.items() if v is not None)
            txn.cursor().putmulti(puts)
            for key, value in writes.items():
                if value is None:
                    txn.delete(b"\x01" + key)
            txn.put(_POSITION, b"%d" % position)

    def reading(self) -> LmdbReading:
        return LmdbReading(self._env)

    def close(self) -> None:
        self._env.close()


class LmdbReading:
    def __init__(self, env: lmdb.Environment) -> None:
        self._txn = env.begin()
        self._get = self._txn.get
        self.position = int(self._txn.get(_POSITION) or 0)

    def get(self, key: bytes) -> bytes | None:
        return self._get(b"\x01" + key)

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        low, high = b"\x01" + start, b"\x01" + stop
        cursor = self._txn.cursor()
        if reverse:
            found = cursor.prev() if cursor.set_range(high) else cursor.last()
            if not found:
                return
            for key, value in cursor.iterprev():
                if key < low:
                    return
                yield key[1:], value
            return
        if not cursor.set_range(low):
            return
        for key, value in cursor.iternext():
            if key >= high:
                return
            yield key[1:], value

    def close(self) -> None:
        self._txn.abort()
