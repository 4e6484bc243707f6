"""The log as CRC'd segment files: one writer, one synced write a batch.

A segment is named by the 20-digit position of its first record, ``00000000000000000001.seg``, and is
filled with zeros beforehand. A record:

    offset  size  field
    0       4     payload length, little-endian, > 0
    4       4     CRC-32 of the payload, seeded with the low 32 bits of the position
    8       8     position, little-endian
    16      n     payload (an entry, see ``log``)

The reader stops at the first record whose length is 0, whose CRC is wrong or whose position is not
the next: what follows was never acknowledged and is cut off at open.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib

from stratolite.core.log import Log
from stratolite.errors import Fenced, Unavailable
from stratolite.limits import SEGMENT_SIZE_BYTES

_HEAD = struct.Struct("<IIQ")


class SegmentLog(Log):
    shared = False

    def __init__(self, folder: str, segment_size_bytes: int = SEGMENT_SIZE_BYTES) -> None:
        """Open or create. Raises Fenced if another process holds the folder."""
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self._folder, self._size = folder, segment_size_bytes
        self._lock = os.open(f"{folder}/LOCK", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Fenced(f"another process holds the log folder={folder}") from error
        self._folder_fd = os.open(folder, os.O_DIRECTORY | os.O_CLOEXEC)
        self._index: dict[int, tuple[int, int, int]] = {}  # position -> fd, offset, length
        self._fd, self._end, self._last, self._failed = -1, 0, 0, False
        for name in sorted(f for f in os.listdir(folder) if f.endswith(".seg")):
            self._open_segment(name)
        if self._fd >= 0:
            os.ftruncate(self._fd, self._end)
            os.fsync(self._fd)

    def _open_segment(self, name: str) -> None:
        first = int(name[:20])
        if self._last and first != self._last + 1:
            raise ValueError(f"hole in the log before segment={name} last={self._last}")
        fd = os.open(f"{self._folder}/{name}", os.O_RDWR | os.O_CLOEXEC)
        data = os.pread(fd, os.fstat(fd).st_size, 0)
        at, expected = 0, first
        while at + _HEAD.size <= len(data):
            length, crc, position = _HEAD.unpack_from(data, at)
            payload = data[at + _HEAD.size : at + _HEAD.size + length]
            if not length or position != expected or len(payload) < length:
                break
            if zlib.crc32(payload, position & 0xFFFFFFFF) != crc:
                break
            self._index[position] = (fd, at + _HEAD.size, length)
            self._last, expected, at = position, position + 1, at + _HEAD.size + length
        self._fd, self._end = fd, at

    def append(self, position: int, payload: bytes) -> bool:
        if self._failed:
            raise Unavailable("the log failed before; open it again")
        if position <= self._last:
            return False
        try:
            if self._fd < 0 or self._end + _HEAD.size + len(payload) > self._size:
                self._roll(position)
            head = _HEAD.pack(len(payload), zlib.crc32(payload, position & 0xFFFFFFFF), position)
            os.pwritev(self._fd, [head, payload], self._end)
            os.fdatasync(self._fd)
        except OSError as error:
            self._failed = True
            raise Unavailable(f"log write failed: {error}") from error
        self._index[position] = (self._fd, self._end + _HEAD.size, len(payload))
        self._end += _HEAD.size + len(payload)
        self._last = position
        return True

    def _roll(self, position: int) -> None:
        path = f"{self._folder}/{position:020d}.seg"
        self._fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        self._end = 0
        os.fsync(self._folder_fd)

    def read(self, position: int) -> bytes | None:
        found = self._index.get(position)
        return found and os.pread(found[0], found[2], found[1])

    def close(self) -> None:
        for fd in {fd for fd, _, _ in self._index.values()} | {self._fd} - {-1}:
            os.close(fd)
        os.close(self._folder_fd)
        os.close(self._lock)
