"""A sandbox's share of the machine by control groups: memory that is resident, processes, time on the CPU.

One group a sandbox, ``stratolite-ZYGOTE-N``, for CPU (version 2: for all) under the zygote's own ``stratolite-ZYGOTE-all``. Limits on single processes cannot say
what counts here: many processes, shared memory, files in /tmp and what the kernel keeps for them together.

    v1   memory, pids and cpu each mounted somewhere (/proc/self/mountinfo)
    v2   one tree: groups are made beside our own, in the nearest one that hands its controllers down to its children

https://docs.kernel.org/admin-guide/cgroup-v1/memory.html, https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MIB = 1 << 20
_WANTED = ("memory", "pids", "cpu")
_MB_A_CPU = 1769  # https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
_NAME = "stratolite-"


class Shares:
    """Where groups can be made. Raises OSError if memory cannot be limited here."""

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc
        self._parents = _version_1(proc)
        self._new = not self._parents
        if self._new:
            self._parents = {"": _version_2(proc)}
        self._prefix = f"{_NAME}{os.getpid()}-"
        self._left: set[str] = set()
        self._sweep()
        self._all = ""
        # Shares count among sandboxes only: against everything else a small function would starve.
        if self._new:
            self._all = f"{self._parents['']}/{self._prefix}all"
            os.mkdir(self._all)
            weight = min(10000, 100 * (os.cpu_count() or 1))
            _write(self._all, "cpu.weight", weight, needed=False)
            if not _hands_down(self._all):
                _removed(self._all)
                raise OSError("no control group for memory")
            self._parents[""] = self._all
        elif "cpu" in self._parents:
            self._all = self._parents["cpu"] = f"{self._parents['cpu']}/{self._prefix}all"
            os.makedirs(self._all, exist_ok=True)
            _write(self._all, "cpu.shares", 1024 * (os.cpu_count() or 1))

    def state(self) -> dict[str, Any]:
        """For ``of``, in another process."""
        return {"parents": self._parents, "new": self._new, "prefix": self._prefix}

    @classmethod
    def of(cls, state: dict[str, Any]) -> Shares:
        """The groups another process found; good for ``join`` only."""
        found = cls.__new__(cls)
        found._parents, found._new, found._prefix = state["parents"], state["new"], state["prefix"]
        return found

    def join(self, count: int, spec: dict[str, Any]) -> None:
        """Put this process into group ``count``, made now. Raises OSError.

        Files in /tmp are memory, so what is asked for them comes on top.
        """
        memory = (spec["memory_mb"] + spec["tmp_mb"]) * _MIB
        weight = spec["memory_mb"] / _MB_A_CPU
        for controller, parent in self._parents.items():
            group = f"{parent}/{self._prefix}{count}"
            os.mkdir(group)
            if self._new:
                _write(group, "memory.max", memory)
                _write(group, "memory.swap.max", 0, needed=False)
                _write(group, "memory.oom.group", 1, needed=False)
                _write(group, "pids.max", spec["processes"], needed=False)
                _write(group, "cpu.weight", max(1, min(10000, int(100 * weight))), needed=False)
                _write(group, "cgroup.procs", 0)
                continue
            if controller == "memory":
                _write(group, "memory.limit_in_bytes", memory)
                _write(group, "memory.memsw.limit_in_bytes", memory, needed=False)
            elif controller == "pids":
                _write(group, "pids.max", spec["processes"])
            else:
                _write(group, "cpu.shares", max(2, int(1024 * weight)))
            # A thread moving itself needs no lock over all processes: 20 us instead of milliseconds.
            _write(group, "tasks", 0)

    def leave(self, count: int) -> bool:
        """Remove a group whose processes have ended. Whether the kernel killed one of them for want of memory."""
        killed = False
        for controller, parent in self._parents.items():
            group = f"{parent}/{self._prefix}{count}"
            if controller in ("", "memory"):
                killed = _killed(group, "memory.events" if self._new else "memory.oom_control")
            self._left.add(group)
        for group in list(self._left):  # what was busy last time, too
            if _removed(group):
                self._left.discard(group)
        return killed

    def close(self) -> None:
        """No sandbox is left."""
        if self._all:
            _removed(self._all)

    def _sweep(self) -> None:
        """Groups of zygotes that were killed."""
        for parent in self._parents.values():
            for name in os.listdir(parent):
                zygote = name[len(_NAME) :].partition("-")[0]
                if name.startswith(_NAME) and not os.path.exists(f"{self._proc}/{zygote}"):
                    for inside in os.listdir(f"{parent}/{name}"):
                        if inside.startswith(_NAME):
                            _removed(f"{parent}/{name}/{inside}")
                    _removed(f"{parent}/{name}")


def _version_1(proc: str) -> dict[str, str]:
    """Our own group of each controller there is; empty without memory."""
    mine: dict[str, str] = {}
    with open(f"{proc}/self/cgroup", encoding="utf-8") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            mine.update(dict.fromkeys(controllers.split(","), path))
    found: dict[str, str] = {}
    for mount, kind, options in _mounts(proc):
        for controller in set(_WANTED) & set(options) if kind == "cgroup" else ():
            within = mount + mine.get(controller, "/").rstrip("/")
            group = within if os.path.isdir(within) else mount
            if os.access(group, os.W_OK):
                found[controller] = group
    return found if "memory" in found else {}


def _version_2(proc: str) -> str:
    """A group whose children have our controllers: our own, or the nearest above it.

    A group that processes are in can hand nothing down, but for the root of all: mostly it is the slice that ours is in.
    https://docs.kernel.org/admin-guide/cgroup-v2.html#no-internal-process-constraint
    """
    with open(f"{proc}/self/cgroup", encoding="utf-8") as file:
        path = next((line[3:].strip() for line in file if line.startswith("0::")), "/")
    for mount, kind, _ in _mounts(proc):
        if kind != "cgroup2":
            continue
        group = mount + path.rstrip("/")
        while group.startswith(mount):
            if os.access(group, os.W_OK) and _hands_down(group):
                return group
            group = os.path.dirname(group)
    raise OSError("no control group for memory")


def _hands_down(group: str) -> bool:
    """Whether children of a group have memory counted; others of our controllers if that is to be had."""
    there, on = (_words(group, name) for name in ("cgroup.controllers", "cgroup.subtree_control"))
    for controller in _WANTED:
        if controller in there - on:
            try:
                _write(group, "cgroup.subtree_control", f"+{controller}")
            except OSError:
                continue
            on.add(controller)
    return "memory" in on


def _words(group: str, name: str) -> set[str]:
    with open(f"{group}/{name}", encoding="ascii") as file:
        return set(file.read().split())


def _mounts(proc: str) -> list[tuple[str, str, list[str]]]:
    """(mount point, kind, options of its superblock)."""
    found = []
    with open(f"{proc}/self/mountinfo", encoding="utf-8") as file:
        for line in file:
            ours, _, theirs = line.partition(" - ")
            kind, _, options = theirs.split(" ", 2)
            found.append((ours.split()[4], kind, options.strip().split(",")))
    return found


def _write(group: str, name: str, value: int | str, *, needed: bool = True) -> None:
    try:
        file = os.open(f"{group}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(file, str(value).encode())
        finally:
            os.close(file)
    except OSError as error:
        if needed:
            raise OSError(error.errno, f"{name}: {error.strerror}") from error


def _killed(group: str, name: str) -> bool:
    try:
        with open(f"{group}/{name}", encoding="ascii") as file:
            return any(w[0] == "oom_kill" and w[1] != "0" for w in map(str.split, file))
    except OSError:
        return False


def _removed(group: str) -> bool:
    try:
        os.rmdir(group)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
