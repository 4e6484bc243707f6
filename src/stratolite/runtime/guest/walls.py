"""What a sandbox may do with files, ports and signals by Landlock: a second wall as root, the first without.

The kernel takes the list before anything else and needs no privilege for it. What is reached by a path not
listed here is refused, whatever its owner and mode say; also steering a process outside (ptrace, and with it
/proc/PID/environ and mem), and from version 6 on signals to it and its abstract sockets.

https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import os
import struct

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same numbers on all machines
_ASK_VERSION = 1
_PATH, _PORT = 1, 2

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _IOCTL = (
    1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15,
)  # fmt: skip
_DEVICE_FILES = 1 << 6 | 1 << 11
_ALL_OF = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
_CONNECT_TCP = 1 << 1
_OTHERS = 1 << 0 | 1 << 1  # abstract sockets, signals

READ = _READ_FILE | _READ_DIR
RUN = READ | _EXECUTE
USE = READ | _WRITE_FILE | _IOCTL
OWN = ((1 << 16) - 1) & ~_DEVICE_FILES

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class Walls:
    """What this kernel can do. Raises OSError if it can do nothing."""

    def __init__(self) -> None:
        self.version = _call(_CREATE, "landlock", None, ctypes.c_size_t(0), _ASK_VERSION)
        self._files = _ALL_OF[min(self.version, max(_ALL_OF))]
        self.connects = self.version >= 4
        """Whether it can say to which ports a process may connect."""

    def close(self, paths: dict[str, int], ports: list[int] | None = None) -> None:
        """Leave this process only ``paths`` (path: READ, RUN, USE or OWN); ``ports`` None leaves all.

        For good, and for all it starts; needs no_new_privs. A path that does not exist is left out. Raises OSError.
        """
        wanted = [self._files]
        if self.version >= 4:
            wanted.append(_CONNECT_TCP if ports is not None else 0)
        if self.version >= 6:
            wanted.append(_OTHERS)
        raw = struct.pack(f"{len(wanted)}Q", *wanted)
        rules = _call(_CREATE, "landlock", raw, ctypes.c_size_t(len(raw)), 0)
        try:
            for path, allowed in paths.items():
                self._allow(rules, path, allowed)
            for port in ports or () if self.connects else ():
                rule = struct.pack("QQ", _CONNECT_TCP, port)
                _call(_ADD, f"landlock port {port}", rules, _PORT, rule, 0)
            _call(_RESTRICT, "landlock", rules, 0)
        finally:
            os.close(rules)

    def _allow(self, rules: int, path: str, allowed: int) -> None:
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return
        try:
            if not os.path.isdir(path):
                allowed &= _ON_FILES
            rule = struct.pack("=Qi", allowed & self._files, place)
            _call(_ADD, f"landlock {path}", rules, _PATH, rule, 0)
        finally:
            os.close(place)


def _call(number: int, what: str, *arguments: object) -> int:
    result: int = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result
