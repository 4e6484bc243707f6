"""Zip files of code: checked against what could harm, unpacked once per content, found by their hash.

``FOLDER/<sha256>/`` holds the unpacked content of the zip with that hash. It is a cache: any of it may be
deleted while no sandbox uses it and is made again from the zip. A folder appears by rename, whole or not at all.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import io
import os
import shutil
import stat
import struct
import zlib
from typing import TYPE_CHECKING

from stratolite.clock import World
from stratolite.limits import BUNDLE_FILES_MAX, BUNDLE_UNPACKED_BYTES_MAX

if TYPE_CHECKING:
    import zipfile

_CHUNK_BYTES = 1 << 20
_PATH_BYTES_MAX = 1024
_HALF_MADE_S = 3600.0


class BadBundle(Exception):
    """Not a zip we can use. ``too_large`` says that only its unpacked size is wrong."""

    def __init__(self, message: str, *, too_large: bool = False) -> None:
        super().__init__(message)
        self.too_large = too_large


class Bundles:
    def __init__(self, folder: str, world: World) -> None:
        self._folder, self._world = folder, world

    async def unpack(self, zipped: bytes) -> str:
        """The sha256 (hex) of ``zipped``, whose content is now in ``folder(sha256)``. Raises BadBundle."""
        return await asyncio.get_running_loop().run_in_executor(None, self._unpack, zipped)

    async def merged(self, sha256s: list[str]) -> str:
        """A folder with the content of several unpacked bundles, later ones over earlier ones."""
        if len(sha256s) == 1:
            found = self.folder(sha256s[0])
            assert found is not None
            return found
        return await asyncio.get_running_loop().run_in_executor(None, self._merge, sha256s)

    def _merge(self, sha256s: list[str]) -> str:
        name = hashlib.sha256("+".join(sha256s).encode()).hexdigest()
        if (known := self.folder(name)) is not None:
            return known
        fresh = f"{self._folder}/.{name}.{self._world.token(8).hex()}"
        try:
            for sha256 in sha256s:
                part = self.folder(sha256)
                assert part is not None
                _lay_over(part, fresh)
            return self._place(fresh, f"{self._folder}/{name}")
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _place(self, fresh: str, target: str) -> str:
        try:
            os.rename(fresh, target)
        except OSError:
            if not os.path.isdir(target):  # else someone else made the same one
                raise
        return os.path.abspath(target)

    def folder(self, sha256: str) -> str | None:
        """Where the content of that zip is, None if it must be unpacked (again)."""
        path = os.path.abspath(f"{self._folder}/{sha256}")
        try:
            os.utime(path)  # says to ``prune`` that it is used
        except FileNotFoundError:
            return None
        return path

    def prune(self, unused_s: float) -> None:
        """Delete what was not used for so long, and what a crash left half made. Blocks."""
        if not os.path.isdir(self._folder):
            return
        with os.scandir(self._folder) as entries:
            for entry in entries:
                limit_s = _HALF_MADE_S if entry.name.startswith(".") else unused_s
                try:
                    age_s = self._world.wall() - entry.stat().st_mtime
                except FileNotFoundError:  # renamed to its place, or removed
                    continue
                if age_s > limit_s:
                    shutil.rmtree(entry.path, ignore_errors=True)

    def _unpack(self, zipped: bytes) -> str:
        sha256 = hashlib.sha256(zipped).hexdigest()
        target = f"{self._folder}/{sha256}"
        if self.folder(sha256) is not None:
            return sha256
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        fresh = f"{self._folder}/.{sha256}.{self._world.token(8).hex()}"
        try:
            os.mkdir(fresh)
            os.chmod(fresh, 0o755)  # noqa: S103 - code, read by the sandbox's own user
            _extract(zipped, fresh)
            self._place(fresh, target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return sha256


def _extract(zipped: bytes, folder: str) -> None:
    """Sizes are counted while unpacking: the ones the zip declares are only believed downwards."""
    import zipfile  # not at start

    try:
        with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
            members = archive.infolist()
            if len(members) > BUNDLE_FILES_MAX:
                raise BadBundle(f"more than {BUNDLE_FILES_MAX} files")
            if sum(m.file_size for m in members) > BUNDLE_UNPACKED_BYTES_MAX:
                raise BadBundle("unpacked size", too_large=True)
            left = BUNDLE_UNPACKED_BYTES_MAX
            links = []  # made last: nothing may be written through one
            for member in members:
                if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise BadBundle(f"compressed in an unknown way: {member.filename!r}")
                if stat.S_IFMT(member.external_attr >> 16) == stat.S_IFLNK:
                    links.append(member)
                else:
                    left -= _extract_one(archive, member, folder, left)
            made = [_link(archive, member, folder) for member in links]
            for path, name in made:  # again: a later link may have moved what an earlier one says
                _check_inside(path, folder, name)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG):
            raise
        raise BadBundle(f"a path is a file and a folder at once: {error.filename!r}") from error
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError,
            UnicodeError, struct.error, OverflowError) as error:  # fmt: skip
        raise BadBundle(str(error)) from error


def _extract_one(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: str, left: int) -> int:
    """Write one member below ``folder``; how many bytes it had."""
    path = _path(member, folder)
    if path == folder or member.is_dir():
        _folders(folder, path)
        return 0
    mode = member.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise BadBundle(f"not a file, folder or link: {member.filename!r}")
    _folders(folder, os.path.dirname(path))
    if os.path.lexists(path):
        os.unlink(path)
    size = 0
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    with open(out, "wb") as file, archive.open(member) as packed:
        os.fchmod(out, 0o755 if mode & 0o111 else 0o644)
        while chunk := packed.read(_CHUNK_BYTES):
            size += len(chunk)
            if size > left:
                raise BadBundle("unpacked size", too_large=True)
            file.write(chunk)
    return size


def _link(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: str) -> tuple[str, str]:
    """A link stays if it points inside the bundle. Returns its path and the member's name."""
    path = _path(member, folder)
    if member.file_size > _PATH_BYTES_MAX:
        raise BadBundle("link target too long")
    target = archive.read(member).decode()
    parent = os.path.dirname(path)
    _folders(folder, parent)
    if os.path.isabs(target):
        raise BadBundle(f"link out of the bundle: {member.filename!r}")
    if os.path.lexists(path):
        raise BadBundle(f"twice in zip: {member.filename!r}")
    os.symlink(target, path)
    _check_inside(path, folder, member.filename)
    return path, member.filename


def _check_inside(path: str, folder: str, name: str) -> None:
    where = os.path.realpath(path) + os.sep
    if not where.startswith(os.path.realpath(folder) + os.sep):
        raise BadBundle(f"link out of the bundle: {name!r}")


def _lay_over(source: str, target: str) -> None:
    """Copy ``source`` over ``target``, what is new replacing what was there; nothing is written through a link."""
    if os.path.islink(target) or os.path.isfile(target):
        os.unlink(target)
    if not os.path.isdir(target):
        os.mkdir(target)
        os.chmod(target, 0o755)  # noqa: S103 - code, read by the sandbox's own user
    for entry in os.scandir(source):
        path = f"{target}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            _lay_over(entry.path, path)
            continue
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)
        shutil.copy2(entry.path, path, follow_symlinks=False)


def _path(member: zipfile.ZipInfo, folder: str) -> str:
    name = member.filename.replace("\\", "/")
    parts = [p for p in name.split("/") if p not in ("", ".")]
    if (
        name.startswith("/")
        or ".." in parts
        or "\x00" in name
        or len(name.encode()) > _PATH_BYTES_MAX
    ):
        raise BadBundle(f"bad path in zip: {name!r}")
    return os.path.join(folder, *parts)


def _folders(folder: str, path: str) -> None:
    """Make ``path`` and what is missing above it, readable for the sandbox's user, through no link."""
    at = folder
    for part in os.path.relpath(path, folder).split(os.sep):
        if part == ".":
            continue
        at = f"{at}/{part}"
        try:
            os.mkdir(at)
        except FileExistsError:
            if os.path.islink(at) or not os.path.isdir(at):
                raise BadBundle(f"a path is a file and a folder at once: {part!r}") from None
        else:
            os.chmod(at, 0o755)  # noqa: S103 - whatever the server's umask is
