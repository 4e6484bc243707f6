"""Runs a program of ours that is given what users send, with nothing left to it but its memory and its pipes.

    python -I jail.py PROGRAM MEMORY_BYTES CPU_S [DESCRIPTOR ...]        0 seconds: no end

PROGRAM is a file, loaded by its path as a module without stratolite (and from its bytecode, as a main program is not).
``warm()``, if it has one, imports what it needs; then the doors close for good, and ``main()`` reads what it is sent.

What holds from then on:

    files      none is opened, none changed; but the DESCRIPTORs, read-only, at /proc/self/fd/N, and where the program says
               LAZY = True Python's modules, shared libraries and time zones, read-only (Landlock; the calls that change a file by its
               name by a filter)
    sockets    none is made (a filter; a network namespace of its own where the kernel gives one)
    programs   none is executed, no process is made, none is signalled, traced or limited (a filter)
    limits     memory, CPU time, no byte written to a file, no core dump

A kernel without one of these goes without it: ``closed`` has the names of those that hold. Time is limited by the parent.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import resource
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from stratolite.runtime.guest import calls, walls
else:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import calls
    import walls

    sys.path.pop(0)

_CLONE_NEWUSER, _CLONE_NEWNET, _PR_SET_NO_NEW_PRIVS = 0x10000000, 0x40000000, 38

_LIBRARIES = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
    "/usr/share/zoneinfo",
)

closed: list[str] = []
"""files, sockets (the namespace), calls: what this kernel gave."""


def main() -> None:
    path, memory_bytes, cpu_s, *descriptors = sys.argv[1:]
    limit(int(memory_bytes), int(cpu_s))
    part()
    program = load(path)
    warm = getattr(program, "warm", None)
    if warm is not None:
        warm()
    shut([f"/proc/self/fd/{number}" for number in descriptors], lazy=hasattr(program, "LAZY"))
    program.main()
    sys.stdout.flush()
    os._exit(0)  # what libraries do on their way out takes time, and there is nothing to save


def load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("jailed", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def limit(memory_bytes: int, cpu_s: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    if cpu_s:
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def part() -> None:
    """A user and network namespace of its own: before there are threads."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0 or libc.unshare(_CLONE_NEWNET) == 0:
        closed.append("sockets")


def shut(paths: list[str], *, lazy: bool) -> None:
    if sys.platform != "linux":
        return
    allowed = dict.fromkeys(paths, walls.READ)
    if lazy:
        homes = {os.path.realpath(place) for place in (*sys.path, os.path.dirname(os.__file__))}
        allowed |= dict.fromkeys((*sorted(homes - {"/"}), *_LIBRARIES), walls.READ)
    try:
        walls.Walls().close(allowed, [])
        closed.append("files")
    except OSError:
        pass  # a kernel without Landlock
    try:
        calls.Filter(own_network=False, alone=True).put_on()
        closed.append("calls")
    except OSError:
        pass  # a machine whose calls are not known, or a kernel without filters


if __name__ == "__main__":
    main()
