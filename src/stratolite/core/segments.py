"""The log as CRC'd segment files: one writer, one synced write a batch.

A segment is named by the 20-digit position of its first record, ``00000000000000000001.seg``. It is made
beforehand under the name ``spare``, header and zeros synced, by another thread, and renamed when its turn
comes. Sizes grow fourfold from 256 KiB to 64 MiB; an entry that fits no segment gets one of its own size.

    offset  size  header
    0       8     "STRATSEG"
    8       4     format, little-endian, 1
    12      4     salt, random: a record of another segment, or made by a user inside a value, is no record here
    16      4     CRC-32 of bytes 0..15
    20      12    zeros

    offset  size  record; the first one follows the header
    0       4     "SREC"
    4       4     payload length, little-endian, > 0
    8       8     position, little-endian
    16      4     CRC-32 of bytes 4..15 and then of the payload, seeded with the salt
    20      n     payload (an entry, see ``log``)

How it is read. Records follow each other without gaps, positions without gaps; the first place that holds no
valid record of the next position is the end. A record is written only after the one before it was synced, so
at most the newest one can be torn. Hence at open, in the newest segment: if any valid record lies behind the
end, something acknowledged was damaged, and opening is refused; otherwise what lies there was never
acknowledged and is overwritten with zeros, so that it can never come back. The last whole record is written
again and synced: it may be in the page cache only, after a failed sync. An older segment must end where the
next one begins, which is checked when it is read: opening costs what the newest segment costs.
"""

from __future__ import annotations

import bisect
import contextlib
import struct
import threading
import zlib
from array import array
from collections.abc import Iterator

from stratolite.clock import World
from stratolite.core.disk import Disk
from stratolite.core.log import Damaged, Trimmed
from stratolite.errors import Unavailable
from stratolite.limits import SEGMENT_SIZE_BYTES

MAGIC, FORMAT = b"STRATSEG", 1
_RECORD = b"SREC"
_HEAD = struct.Struct("<4sIQI")
_COVERED = struct.Struct("<IQ")
_HEADER_SIZE_BYTES = 32
_FIRST_SIZE_BYTES = 256 << 10
_GROWTH = 4
_ZEROS = bytes(1 << 20)
_SYNC_EVERY_BYTES = 4 << 20  # of zeros, so that a commit's sync never waits for many of them
_OLD_SEGMENTS_OPEN = 2


def segment_name(first: int) -> str:
    return f"{first:020d}.seg"


class SegmentReader:
    """One segment file: where its records are."""

    __slots__ = ("_disk", "end", "fd", "first", "name", "offsets", "salt", "size")

    def __init__(
        self, disk: Disk, folder: str, first: int, *, write: bool = False, empty: bool = False
    ) -> None:
        """Raises Damaged if the header is, or if a whole record lies behind the end of the records.

        ``empty``: this process has just made it, so that only its header need be read.
        """
        self._disk, self.first, self.name = disk, first, segment_name(first)
        self.offsets = array("Q")
        self.fd = disk.open(f"{folder}/{self.name}", write=write)
        try:
            self.size = disk.size(self.fd)
            self._scan(disk.read(self.fd, 0, _HEADER_SIZE_BYTES if empty else self.size))
        except BaseException:
            disk.close(self.fd)
            raise

    @property
    def last(self) -> int:
        return self.first + len(self.offsets) - 1

    def _scan(self, raw: bytes) -> None:
        data = memoryview(raw)
        if (
            len(data) < _HEADER_SIZE_BYTES
            or data[:8] != MAGIC
            or zlib.crc32(data[:16]) != int.from_bytes(data[16:20], "little")
        ):
            raise Damaged(f"log segment={self.name} has no valid header")
        version = int.from_bytes(data[8:12], "little")
        if version != FORMAT:
            raise Damaged(f"log segment={self.name} has format={version}, we read {FORMAT}")
        self.salt = int.from_bytes(data[12:16], "little")
        at, position = _HEADER_SIZE_BYTES, self.first
        while (size := self._record(data, at, position)) is not None:
            self.offsets.append(at)
            at, position = at + size, position + 1
        self.end = at
        found = raw.find(_RECORD, at)
        while found >= 0:
            if self._record(data, found, None, above=position) is not None:
                raise Damaged(
                    f"log segment={self.name} position={position} offset={at} is damaged, "
                    f"a whole record follows at offset={found}"
                )
            found = raw.find(_RECORD, found + 1)

    def _record(
        self, data: memoryview, at: int, position: int | None, above: int = 0
    ) -> int | None:
        """Size of the whole valid record at ``at``, None if there is none (of that position)."""
        if at + _HEAD.size > len(data):
            return None
        magic, length, found, crc = _HEAD.unpack_from(data, at)
        length = int(length)
        stop = at + _HEAD.size + length
        if magic != _RECORD or not length or stop > len(data):
            return None
        if found != position if position is not None else found < above:
            return None
        if (
            zlib.crc32(data[at + _HEAD.size : stop], zlib.crc32(data[at + 4 : at + 16], self.salt))
            != crc
        ):
            return None
        return stop - at

    def clean_tail(self) -> None:
        """Zeros behind the end; the last record and they are durable."""
        disk, at = self._disk, self.end
        while at < self.size:
            piece = disk.read(self.fd, at, min(len(_ZEROS), self.size - at))
            if piece != _ZEROS[: len(piece)]:
                disk.write(self.fd, [bytes(len(piece))], at)
            at += len(piece)
        if self.offsets:
            start = self.offsets[-1]
            disk.write(self.fd, [disk.read(self.fd, start, self.end - start)], start)
        disk.sync(self.fd)

    def read(self, position: int) -> bytes:
        at = self.offsets[position - self.first]
        _, length, found, crc = _HEAD.unpack(self._disk.read(self.fd, at, _HEAD.size))
        payload = self._disk.read(self.fd, at + _HEAD.size, length)
        if (
            found != position
            or zlib.crc32(payload, zlib.crc32(_COVERED.pack(length, found), self.salt)) != crc
        ):
            raise Damaged(f"log segment={self.name} position={position} offset={at} is damaged")
        return payload

    def close(self) -> None:
        self._disk.close(self.fd)


class SegmentFolder:
    """Read access to the segments of a folder, newest included, without its lock: for snapshots and audits."""

    def __init__(self, folder: str, disk: Disk | None = None) -> None:
        self._folder, self._disk = folder, disk or Disk()
        self._old: dict[int, SegmentReader] = {}  # by first position, most recently used last
        self._guard = threading.Lock()
        self._firsts = [
            int(name[:-4])
            for name in self._disk.names(folder)
            if name.endswith(".seg") and name[:-4].isdigit()
        ]

    @property
    def first(self) -> int:
        return self._firsts[0] if self._firsts else 1

    def read(self, position: int) -> bytes | None:
        """As ``Log.read``."""
        if position < self.first:
            raise Trimmed(f"position={position} first={self.first}")
        if not self._firsts:
            return None
        try:
            with self._guard:
                segment = self._segment(bisect.bisect_right(self._firsts, position) - 1)
                return segment.read(position) if position <= segment.last else None
        except OSError as error:
            raise Unavailable(f"log cannot be read: {error}") from error

    def entries(self, start: int) -> Iterator[tuple[int, bytes]]:
        while (payload := self.read(start)) is not None:
            yield start, payload
            start += 1

    def _segment(self, index: int) -> SegmentReader:
        first = self._firsts[index]
        segment = self._old.pop(first, None)
        if segment is None:
            try:
                segment = SegmentReader(self._disk, self._folder, first)
            except Damaged:
                # Beside a writer, a read of the whole file may miss a record and get the next one:
                # damage is what is there twice.
                segment = SegmentReader(self._disk, self._folder, first)
            if index + 1 < len(self._firsts) and segment.last + 1 != self._firsts[index + 1]:
                segment.close()
                raise Damaged(
                    f"log segment={segment.name} ends with position={segment.last}, the next is "
                    f"segment={segment_name(self._firsts[index + 1])}: what lies between is missing"
                )
            while len(self._old) >= _OLD_SEGMENTS_OPEN:
                self._old.pop(next(iter(self._old))).close()
        self._old[first] = segment
        return segment

    def close(self) -> None:
        for segment in self._old.values():
            segment.close()
        self._old.clear()


class SegmentLog(SegmentFolder):
    shared = False

    def __init__(
        self,
        folder: str,
        segment_size_bytes: int = SEGMENT_SIZE_BYTES,
        *,
        world: World | None = None,
        disk: Disk | None = None,
        background: bool = True,
    ) -> None:
        """Open or create. Raises Fenced if another process holds the folder, Damaged, Unavailable.

        ``background`` False makes the next segment in ``append`` itself, for simulations.
        """
        self._world, self._background = world or World(), background
        self._size_max, self._disk = segment_size_bytes, disk or Disk()
        self._failed = False
        self._spare: int | None = None  # size of the file ``spare`` once it is ready
        self._preparing: threading.Thread | None = None
        self._lock = -1
        self._newest: SegmentReader | None = None
        try:
            self._disk.make_folder(folder)
            self._lock = self._disk.lock(f"{folder}/LOCK")
            super().__init__(folder, self._disk)
            self._open_newest()
        except BaseException as error:
            if self._newest:
                self._newest.close()
            if self._lock >= 0:
                self._disk.close(self._lock)
            if isinstance(error, OSError):
                raise Unavailable(f"log folder={folder} cannot be opened: {error}") from error
            raise

    @property
    def last(self) -> int:
        """The newest position, 0 of an empty log."""
        return self._newest.last if self._newest else 0

    def _open_newest(self) -> None:
        for name in self._disk.names(self._folder):
            if name == "spare":
                self._disk.unlink(f"{self._folder}/{name}")
        if self._firsts:
            self._newest = SegmentReader(self._disk, self._folder, self._firsts[-1], write=True)
            if not self._newest.offsets and len(self._firsts) > 1:
                self._segment(
                    len(self._firsts) - 2
                )  # an empty one must follow where the last one ends
            self._newest.clean_tail()
        self._disk.sync_folder(self._folder)

    def _segment(self, index: int) -> SegmentReader:
        if self._newest and index == len(self._firsts) - 1:
            return self._newest
        return super()._segment(index)

    def append(self, position: int, payload: bytes) -> bool:
        if self._failed:
            raise Unavailable("the log failed before; open it again")
        if position <= self.last:
            return False
        assert position == self.last + 1, (position, self.last)
        assert payload
        size = _HEAD.size + len(payload)
        try:
            newest = self._newest
            if newest is None or newest.end + size > newest.size:
                newest = self._roll(position, size)
            covered = _COVERED.pack(len(payload), position)
            crc = zlib.crc32(payload, zlib.crc32(covered, newest.salt))
            head = _RECORD + covered + crc.to_bytes(4, "little")
            self._disk.write(newest.fd, [head, payload], newest.end)
            self._disk.sync(newest.fd)
        except OSError as error:
            self._failed = True
            raise Unavailable(f"log write failed: {error}") from error
        except BaseException:
            self._failed = True
            raise
        newest.offsets.append(newest.end)
        newest.end += size
        if newest.end > newest.size // 2 and self._spare is None and self._preparing is None:
            self._prepare_beside(min(self._size_max, newest.size * _GROWTH))
        return True

    def _roll(self, position: int, record_size: int) -> SegmentReader:
        """Turn the spare into the newest segment."""
        if self._preparing:
            self._preparing.join()
            self._preparing = None
        needed = _HEADER_SIZE_BYTES + record_size
        if self._spare is None or self._spare < needed:
            now = self._newest.size * _GROWTH if self._newest else _FIRST_SIZE_BYTES
            self._prepare(max(needed, min(self._size_max, now)))
        self._disk.rename(f"{self._folder}/spare", f"{self._folder}/{segment_name(position)}")
        self._spare = None
        self._disk.sync_folder(self._folder)
        fresh = SegmentReader(self._disk, self._folder, position, write=True, empty=True)
        with self._guard:
            if self._newest:
                self._newest.close()
            # An empty segment too small for this entry has just been replaced.
            if position not in self._firsts[-1:]:
                self._firsts.append(position)
            self._newest = fresh
        return fresh

    def _prepare_beside(self, size: int) -> None:
        if not self._background:
            with contextlib.suppress(OSError):  # _roll tries again and then fails
                self._prepare(size)
            return

        def prepare() -> None:
            with contextlib.suppress(OSError):
                self._prepare(size)

        self._preparing = threading.Thread(target=prepare, name="segment", daemon=True)
        self._preparing.start()

    def _prepare(self, size: int) -> None:
        path = f"{self._folder}/spare"
        with contextlib.suppress(FileNotFoundError):
            self._disk.unlink(path)
        header = MAGIC + FORMAT.to_bytes(4, "little") + self._world.token(4)
        header += zlib.crc32(header).to_bytes(4, "little")
        fd = self._disk.create(path)
        try:
            self._disk.write(fd, [header.ljust(_HEADER_SIZE_BYTES, b"\0")], 0)
            at = _HEADER_SIZE_BYTES
            while at < size:
                piece = _ZEROS[: size - at]
                self._disk.write(fd, [piece], at)
                at += len(piece)
                if at // _SYNC_EVERY_BYTES != (at - len(piece)) // _SYNC_EVERY_BYTES:
                    self._disk.sync(fd)
            self._disk.sync(fd)
        finally:
            self._disk.close(fd)
        self._spare = size

    def trim(self, floor: int) -> None:
        """Delete the segments that hold only entries below ``floor``, oldest first; never the newest."""
        if len(self._firsts) < 2 or self._firsts[1] > floor:
            return
        try:
            # One removal at a time is durable before the next, or power loss could undo an older one
            # only and leave a hole; the last one of an earlier call may have failed to be.
            self._disk.sync_folder(self._folder)
            while len(self._firsts) > 1 and self._firsts[1] <= floor:
                with self._guard:
                    first = self._firsts.pop(0)
                    if (segment := self._old.pop(first, None)) is not None:
                        segment.close()
                self._disk.unlink(f"{self._folder}/{segment_name(first)}")
                self._disk.sync_folder(self._folder)
        except OSError as error:
            raise Unavailable(f"log cannot be trimmed: {error}") from error

    def close(self) -> None:
        if self._preparing:
            self._preparing.join()
        self._failed = True
        try:
            super().close()
            if self._newest:
                self._newest.close()
        finally:
            self._disk.close(self._lock)
