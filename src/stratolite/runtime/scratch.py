"""Deletes a folder in which a function could write, whatever it has left there: it may be at work in it yet.

``shutil.rmtree`` goes down as deep as somebody made it, with a descriptor for each step, and stops before what was made
unreadable. Here no link is followed, two descriptors are open at most, and what lies deep is moved up first.
"""

from __future__ import annotations

import contextlib
import os
from itertools import count, islice

_NAMES_AT_ONCE = 1000
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove(folder: str) -> bool:
    """Whether it is gone; else somebody still writes there: try again. Blocks."""
    try:
        above = os.open(os.path.dirname(folder), _FOLDER)
        try:
            top = _opened(above, os.path.basename(folder))
        finally:
            os.close(above)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        _empty(top)
    finally:
        os.close(top)
    with contextlib.suppress(OSError):
        os.rmdir(folder)
        return True
    return False


def _empty(top: int) -> None:
    """Until there is nothing, or a round changed nothing."""
    numbers = count()
    while names := _names(top):
        done = 0
        for name in names:
            with contextlib.suppress(OSError):
                _remove_one(top, name, numbers)
                done += 1
        if not done:
            return


def _remove_one(top: int, name: str, numbers: count[int]) -> None:
    """A file; or a folder, whose own folders are moved up into ``top`` to be next. Raises OSError."""
    if _unlinked(top, name):
        return
    folder = _opened(top, name)
    try:
        while names := _names(folder):
            for each in names:
                if not _unlinked(folder, each):
                    os.close(_opened(folder, each))  # what may not be written in may not be moved
                    os.rename(each, f".{next(numbers)}", src_dir_fd=folder, dst_dir_fd=top)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=top)


def _unlinked(folder: int, name: str) -> bool:
    """Whether it was no folder, and is gone. Raises OSError."""
    try:
        os.unlink(name, dir_fd=folder)
    except IsADirectoryError:
        return False
    return True


def _opened(folder: int, name: str) -> int:
    """A folder, made ours to read and write. Raises OSError, also for a link."""
    try:
        made = os.open(name, _FOLDER, dir_fd=folder)
    except (
        PermissionError
    ):  # the mode of what a descriptor stands for can be changed without reading it
        place = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
        try:
            os.chmod(f"/proc/self/fd/{place}", 0o700)
            made = os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        finally:
            os.close(place)
    os.fchmod(made, 0o700)
    return made


def _names(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in islice(entries, _NAMES_AT_ONCE)]
