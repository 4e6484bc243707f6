"""The handful of file calls that log, snapshots and marks are made of, so that a simulation can stand in for them.

All raise OSError. What a crash may do to each is written beside it: the simulation in tests/sim takes it
literally, and the callers must survive it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys

from stratolite.errors import Fenced


class Disk:
    def make_folder(self, path: str) -> None:
        """The folder and its parents, mode 0700, synced into their parents."""
        missing = []
        while not os.path.isdir(path):
            missing.append(path)
            path = os.path.dirname(path) or "."
        for folder in reversed(missing):
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, 0o700)
            self.sync_folder(os.path.dirname(folder) or ".")

    def names(self, folder: str) -> list[str]:
        """What lies in the folder, sorted; [] if there is no such folder."""
        try:
            return sorted(os.listdir(folder))
        except FileNotFoundError:
            return []

    def create(self, path: str) -> int:
        """A new empty file, mode 0600, open for reading and writing. Lost in a crash until ``sync_folder``."""
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)

    def open(self, path: str, *, write: bool = False) -> int:
        return os.open(path, (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC)

    def size(self, fd: int) -> int:
        return os.fstat(fd).st_size

    def read(self, fd: int, at: int, size_bytes: int) -> bytes:
        """Fewer bytes only at the end of the file."""
        data = os.pread(fd, size_bytes, at)
        if len(data) == size_bytes or not data:
            return data
        parts, got = [data], len(data)
        while got < size_bytes and (data := os.pread(fd, size_bytes - got, at + got)):
            parts.append(data)
            got += len(data)
        return b"".join(parts)

    def write(self, fd: int, parts: list[bytes], at: int) -> None:
        """All of ``parts`` at ``at``. Until ``sync``, a crash keeps any subset of the sectors written."""
        size = sum(map(len, parts))
        written = os.pwritev(fd, parts, at)
        if written == size:
            return
        whole = memoryview(b"".join(parts))
        while written < size:
            step = os.pwrite(fd, whole[written:], at + written)
            if not step:
                raise OSError("wrote nothing")
            written += step

    def sync(self, fd: int) -> None:
        """The file's bytes and size are durable. After an error nothing is known about what was written
        since the last sync, and a later success says nothing about it: write it again.
        """
        if sys.platform == "darwin":
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        else:
            os.fdatasync(fd)

    def sync_folder(self, path: str) -> None:
        """Names created, linked, renamed and removed in the folder are durable."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, old: str, new: str) -> None:
        """Replaces ``new``, whole or not at all."""
        os.rename(old, new)

    def link(self, old: str, new: str) -> None:
        """A second name. Raises FileExistsError if ``new`` is taken: this is our put-if-absent."""
        os.link(old, new)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def close(self, fd: int) -> None:
        os.close(fd)

    def lock(self, path: str) -> int:
        """Held until the descriptor is closed or the process dies. Raises Fenced if another has it."""
        fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(fd)
            raise Fenced(f"another process holds {path}") from error
        return fd

    def boot_id(self) -> str:
        """Changes when the machine restarts; "" where that cannot be known."""
        try:
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
                return file.read().strip()
        except OSError:
            return ""

    # -- put together from the calls above

    def read_file(self, path: str) -> bytes | None:
        """The whole file, None if there is none."""
        try:
            fd = self.open(path)
        except FileNotFoundError:
            return None
        try:
            return self.read(fd, 0, self.size(fd))
        finally:
            self.close(fd)

    def write_new(self, path: str, data: bytes) -> None:
        """A new file with its bytes synced, its name not yet."""
        fd = self.create(path)
        try:
            self.write(fd, [data], 0)
            self.sync(fd)
        finally:
            self.close(fd)

    def replace_file(self, path: str, data: bytes) -> None:
        """The file has the old bytes or the new, whatever happens; the new ones once this returns."""
        fresh = f"{path}.new"
        with contextlib.suppress(FileNotFoundError):
            self.unlink(fresh)
        self.write_new(fresh, data)
        self.rename(fresh, path)
        self.sync_folder(os.path.dirname(path))
