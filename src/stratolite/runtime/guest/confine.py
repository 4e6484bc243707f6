"""What a sandbox may see, hold and use.

``Cell`` finds out once, in the zygote, what the system grants, by confining a trial process; each fork
then does the same again. As root, a sandbox gets

    pid, mount, ipc and uts namespaces; a root folder of its own with the system and the code read-only
    a network namespace: loopback, and on it one port, which the server answers (``Cell.fork``)
    a /tmp of its own (tmpfs of the asked size), /proc of its own processes, a few devices
    a user id of its own, no capabilities, no_new_privs
    limits on data, descriptors, processes, file size; no core files
    death when the zygote dies
    a control group (``shares``)

An ordinary user gets the same by a user namespace, where the kernel lets them make one, but for the user id and the
control group: inside, the one user id there is is theirs, called 0, without capabilities (``own_user``).

Else the session, no_new_privs, the limits and death with the zygote are left: what a sandbox forks ends with it
(``adopt``), and the user's processes may become so many more. In all cases Landlock
(``walls``) and a filter of system calls (``calls``) come last. Each guard has a name in ``Cell.guards``, or
``no-NAME: why not``.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import socket
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost memory
    from collections.abc import Callable, Container, Sequence
    from typing import Any

    from stratolite.runtime.guest import calls, shares, walls
else:
    import calls
    import shares
    import walls

_CLONE_NEWNS, _CLONE_NEWUTS, _CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
_CLONE_NEWPID, _CLONE_NEWNET, _CLONE_NEWUSER = 0x20000000, 0x40000000, 0x10000000
_SIOCSIFFLAGS, _IFF_UP, _IFF_RUNNING = 0x8914, 1, 64
_BACKLOG = 128
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT = 1, 2, 4, 8, 32
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_MNT_DETACH = 2
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_CAPBSET_DROP = 1, 4, 38, 24
_CAPABILITIES_V3 = 0x20080522
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41}
_UID_FIRST, _UID_COUNT = (
    61184,
    4000,
)  # below 2**16, so mapped in most containers; systemd's dynamic users
_MIB = 1 << 20

# Beyond the asked memory: the interpreter itself and thread stacks, which are reserved but hardly used.
DATA_HEADROOM_BYTES = 96 * _MIB
DESCRIPTORS_MAX = 1024
PROCESSES_MAX = 1024
_TMP_FILES_PER_MB = (
    64  # one for 16 KiB, as ext4 has it: names take kernel memory that no size counts
)

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32")
_CONFIG = (
    "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/localtime", "/etc/ld.so.cache",
    "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/mime.types", "/etc/alternatives",
)  # fmt: skip
_COVERED = (
    "/tmp/",
    "/opt/",
    "/var/task/",
)  # a sandbox has its own there: what the host has is not seen
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")

_TRIAL: dict[str, Any] = {
    "task": "/usr", "layers": [], "tmp": "", "memory_mb": 128, "tmp_mb": 1, "port": 0
}  # fmt: skip

_STATE = ("_root", "_many_users", "_network", "_moved", "count", "guards")

_HERE = os.path.dirname(os.path.abspath(__file__))
_OWN_FILES = ("node.mjs",)  # what a sandbox's program may read of ours

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class Cell:
    """How sandboxes are confined here; ``guards`` names what holds."""

    def __init__(self, wish: dict[str, Any]) -> None:
        """``wish``: the zygote's first message, or, in a process executed anew, what ``state`` said there."""
        self._root = ""
        self._many_users = False
        """Whether a sandbox can be given a user id of its own."""
        self._network = False
        """Whether it has a network of its own."""
        self._moved: dict[str, str] = {}
        self._own_pids = self._own_net = -1
        self.count = 0
        """Forks so far; stands for a sandbox's user id and control group."""
        self.guards = ["session", "limits", "no_new_privs", "dies-with-server"]
        self._filter: calls.Filter | None = None
        self._shares: shares.Shares | None = None
        self._walls: walls.Walls | None = None
        self._sites, self._modules = wish["sites"], wish["modules"]
        if "state" in wish:
            self._restore(wish["state"])
            return
        self._try_filter()
        self._try_walls()
        if not wish["root"]:
            adopt()
            return
        self._many_users = os.geteuid() == 0
        try:
            if not self._many_users:
                _tried([own_user, lambda: self._build(wish["root"], wish["sites"]), self._try])
                own_user()
            self._build(wish["root"], wish["sites"])
            self._try()
        except OSError as error:
            self._root = ""
            self.guards.append(f"no-namespaces: {error}")
            adopt()
            return
        self.guards += ["pids", "mounts", "ipc", "uts", "tmp"]
        self._try_network()
        if self._many_users:
            self.guards.append("uid")
            self._try_shares()

    def state(self) -> dict[str, Any]:
        """What a process that is executed anew must know to ``enter`` as this one would."""
        mine = {name: getattr(self, name) for name in _STATE}
        shares = self._shares.state() if self._shares is not None else None
        return {
            **mine,
            "walls": self._walls is not None,
            "filter": self._filter is not None,
            "shares": shares,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        for name in _STATE:
            setattr(self, name, state[name])
        self._walls = walls.Walls() if state["walls"] else None
        self._filter = calls.Filter(own_network=self._network) if state["filter"] else None
        self._shares = shares.Shares.of(state["shares"]) if state["shares"] else None

    def fork(self, ports: Sequence[int] = ()) -> tuple[int, list[socket.socket]]:
        """``os.fork``; the child is the first process of a pid namespace where we may make one.

        Where it has a network of its own too, also the sockets that listen in there on ``ports``.
        """
        self.count += 1
        if not self._root:
            return os.fork(), []
        _check(_libc.unshare(_CLONE_NEWPID), "unshare pid")
        pid = -1
        ways_out: list[socket.socket] = []
        try:
            if self._own_net >= 0:
                _check(_libc.unshare(_CLONE_NEWNET), "unshare network")
                ways_out = _loopback(ports)
            pid = os.fork()
            return pid, ways_out
        finally:
            if pid:
                _check(_libc.setns(self._own_pids, _CLONE_NEWPID), "setns pid")
                if self._own_net >= 0:
                    _check(_libc.setns(self._own_net, _CLONE_NEWNET), "setns network")

    def enter(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Confine this process as ``spec`` (see ``bootstrap``) says. Its paths change; returns them.

        ``moved`` has the place of each of the sites that is elsewhere than outside.
        """
        os.setsid()
        if self._shares is not None:
            self._shares.join(self.count, {**spec, "processes": PROCESSES_MAX})
        headroom = DATA_HEADROOM_BYTES
        if spec.get("program"):
            headroom = spec["program"]["headroom_mb"] * _MIB
        limits = {
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_DATA: spec["memory_mb"] * _MIB + headroom,
            resource.RLIMIT_FSIZE: spec["tmp_mb"] * _MIB,
            resource.RLIMIT_NOFILE: DESCRIPTORS_MAX,
        }
        paths = {
            "task": spec["task"],
            "layers": spec["layers"],
            "tmp": spec["tmp"],
            "moved": {},
            "runtime": _HERE,
        }
        if self._root:
            paths = self._enter(spec)
            limits[resource.RLIMIT_NPROC] = (
                PROCESSES_MAX  # counted per user id: only with one of our own
            )
        else:
            adopt()
            limits[resource.RLIMIT_NPROC] = _tasks_of(os.getuid()) + PROCESSES_MAX
        for which, asked in limits.items():
            _, hard = resource.getrlimit(which)
            most = asked if hard == resource.RLIM_INFINITY else min(asked, hard)
            resource.setrlimit(which, (most, most))
        self._restrict(spec, paths)
        return paths

    def _restrict(self, spec: dict[str, Any], paths: dict[str, Any]) -> None:
        """Give up rights for good; after this nothing more can be set up."""
        if self._root and self._many_users:
            os.setgroups([])
            os.setresgid(self._uid, self._uid, self._uid)
            os.setresuid(self._uid, self._uid, self._uid)
        elif os.geteuid() == 0:
            _drop_capabilities()
        _no_new_privs()
        _libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # a new uid takes /proc/self from us otherwise
        _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "pdeathsig")
        if self._walls is not None:
            self._close_walls(spec, paths)
        if self._filter is not None:
            self._filter.put_on()

    def kill_strays(self, sandboxes: Container[int]) -> None:
        """What became a child of this process, the zygote, without being a sandbox: one that has ended left it behind."""
        if self._root:
            return
        for pid in _children():
            if pid not in sandboxes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    @property
    def _uid(self) -> int:
        return _UID_FIRST + self.count % _UID_COUNT if self._many_users else 0

    # -- root folder

    def _build(self, root: str, sites: list[str]) -> None:
        """The part of a sandbox's root that all of them share, mounted once."""
        if os.uname().machine not in _PIVOT_ROOT:
            raise OSError(f"pivot_root on {os.uname().machine} is not known")
        self._own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        _check(_libc.unshare(_CLONE_NEWNS), "unshare mounts")
        _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
        os.makedirs(root, mode=0o700, exist_ok=True)
        _mount("tmpfs", root, "tmpfs", _MS_NOSUID | _MS_NODEV, "size=1m,mode=755")
        for path in (
            "proc",
            "tmp",
            "var/task",
            "var/tmp",
            "var/runtime",
            "opt",
            "dev",
            "etc",
            "root",
        ):
            os.makedirs(f"{root}/{path}")
        for name in _OWN_FILES:
            with (
                open(f"{_HERE}/{name}", "rb") as source,
                open(f"{root}/var/runtime/{name}", "wb") as copy,
            ):
                copy.write(source.read())
        for path in _SYSTEM:
            if os.path.islink(path):
                os.symlink(os.readlink(path), root + path)
            elif os.path.isdir(path):
                _bind(path, root + path)
        for path in dict.fromkeys([sys.base_prefix, *sites]):
            if not f"{path}/".startswith("/usr/") and os.path.isdir(path):
                _bind(path, root + path)
        for path in sites:
            if path.startswith(_COVERED) and os.path.isdir(path):
                self._moved[path] = f"/var/runtime/{len(self._moved)}"
                _bind(path, root + self._moved[path])
        if self._modules:
            self._moved[self._modules] = "/var/runtime/node_modules"
            _bind(self._modules, f"{root}/var/runtime/node_modules")
        for path in _CONFIG:
            if os.path.exists(path) and not (path == "/etc/localtime" and os.path.islink(path)):
                _bind(os.path.realpath(path), root + path)
        for path in _DEVICES:
            _bind(path, root + path, _MS_NOSUID)
        for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
            os.symlink(f"/proc/self/fd{target}", f"{root}/dev/{name}")
        with open(f"{root}/etc/passwd", "w", encoding="ascii") as file:
            file.write("root:x:0:0::/root:/bin/sh\n")
            file.writelines(
                f"sbx{uid}:x:{uid}:{uid}::/tmp:/bin/sh\n"
                for uid in range(_UID_FIRST, _UID_FIRST + _UID_COUNT)
            )
        with open(f"{root}/etc/group", "w", encoding="ascii") as file:
            file.write("root:x:0:\n")
        self._root = root

    def _enter(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Namespaces of our own, and a root folder in which only what we may use exists."""
        _check(_libc.unshare(_CLONE_NEWNS | _CLONE_NEWIPC | _CLONE_NEWUTS), "unshare")
        _check(_libc.sethostname(b"sandbox", 7), "sethostname")
        root, uid = self._root, self._uid
        _bind(spec["task"], f"{root}/var/task")
        layers = []
        if spec["layers"]:
            _bind(spec["layers"][0], f"{root}/opt")
            layers = ["/opt"]
        tmp = f"size={spec['tmp_mb']}m,nr_inodes={spec['tmp_mb'] * _TMP_FILES_PER_MB},mode=700,uid={uid},gid={uid}"
        _mount("tmpfs", f"{root}/tmp", "tmpfs", _MS_NOSUID | _MS_NODEV, tmp)
        _mount("proc", f"{root}/proc", "proc", _MS_NOSUID | _MS_NODEV)
        os.chdir(root)
        number = _PIVOT_ROOT[os.uname().machine]
        _check(_libc.syscall(ctypes.c_long(number), b".", b"."), "pivot_root")
        _check(_libc.umount2(b".", _MNT_DETACH), "umount old root")
        os.chdir("/")
        _mount("none", "/", None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID)
        return {
            "task": "/var/task",
            "layers": layers,
            "tmp": "/tmp",
            "moved": self._moved,
            "runtime": "/var/runtime",
        }

    def _try_filter(self) -> None:
        try:
            wanted = calls.Filter(own_network=False)
            _tried([_no_new_privs, wanted.put_on])
        except OSError as error:
            self.guards.append(f"no-calls: {error}")
        else:
            self._filter = wanted
            self.guards.append("calls")

    def _close_walls(self, spec: dict[str, Any], paths: dict[str, Any]) -> None:
        """Inside a root folder of our own nothing but /tmp is to be written; without one we make do with this."""
        assert self._walls is not None
        ports = None
        if not self._network:
            ports = [port for port in (spec["port"], spec.get("api")) if port]
        if self._root:
            open_paths = {"/": walls.RUN}
        else:
            run = [*_SYSTEM, sys.base_prefix, *self._sites, paths["task"], *paths["layers"]]
            run += [f"{_HERE}/{name}" for name in _OWN_FILES]
            run += [self._modules] if self._modules else []
            open_paths = dict.fromkeys(run, walls.RUN)
            open_paths |= dict.fromkeys(
                [*_CONFIG, "/etc/passwd", "/etc/group", "/proc"], walls.READ
            )
            if paths["tmp"]:
                open_paths[paths["tmp"]] = walls.OWN
        if not paths["tmp"].startswith("/tmp/"):  # else what is the server's would be open, too
            open_paths["/tmp"] = walls.OWN
        open_paths |= dict.fromkeys(_DEVICES, walls.USE)
        self._walls.close(open_paths, ports)

    def _try_walls(self) -> None:
        try:
            self._walls = walls.Walls()
            _tried([_no_new_privs, lambda: self._close_walls(_TRIAL, _TRIAL)])
        except OSError as error:
            self._walls = None
            self.guards.append(f"no-walls: {error}")
        else:
            self.guards.append("walls")
            if self._walls.version >= 6:
                self.guards.append("signals")
            if self._walls.connects:
                self.guards.append("connects")

    def ended(self, count: int) -> bool:
        """The process of the ``count``-th fork has ended. Whether for want of memory."""
        return self._shares is not None and self._shares.leave(count)

    def close(self) -> None:
        """All processes forked here have ended."""
        if self._shares is not None:
            self._shares.close()

    def _try_shares(self) -> None:
        try:
            self._shares = shares.Shares()
            self._try()
            self.ended(self.count)
        except OSError as error:
            self._shares = None
            self.guards.append(f"no-memory: {error}")
        else:
            self.guards.append("memory")

    def _try_network(self) -> None:
        own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(_libc.unshare(_CLONE_NEWNET), "unshare network")
            try:
                _loopback(())
            finally:
                _check(_libc.setns(own, _CLONE_NEWNET), "setns network")
        except OSError as error:
            self.guards.append(f"no-network: {error}")
        else:
            self._own_net = own
            self._network = True
            if self._filter is not None:
                self._filter = calls.Filter(own_network=True)
            self.guards.append("network")

    def _try(self) -> None:
        """Confine a process that does nothing. Raises OSError with the step that was refused."""
        _tried([lambda: self.enter(_TRIAL)], lambda: self.fork()[0])


def own_user() -> None:
    """Go on as root of a user namespace of our own, and as the first process of a pid namespace it owns.

    A namespace that was here before belongs to others: there would be no way back into it (``Cell.fork``). What is left outside
    waits for the end and has its status. Raises OSError if the kernel refuses.
    """
    uid, gid = os.geteuid(), os.getegid()
    _check(_libc.unshare(_CLONE_NEWUSER | _CLONE_NEWPID | _CLONE_NEWNET), "unshare user")
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)
    inside = os.fork()
    if inside:
        os.closerange(0, 1024)
        _, status = os.waitpid(inside, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "pdeathsig")


def _tried(steps: list[Callable[[], object]], fork: Callable[[], int] = os.fork) -> None:
    """Take ``steps`` in a process of its own. Raises OSError with what was said."""
    read, write = os.pipe()
    pid = fork()
    if pid == 0:
        try:
            os.close(read)
            for step in steps:
                step()
        except BaseException as error:
            os.write(write, str(error).encode())
        os._exit(0)
    os.close(write)
    said = os.read(read, 4096)
    os.close(read)
    _, status = os.waitpid(pid, 0)
    if said or status:
        raise OSError(said.decode() or f"a trial ended with status {status}")


def _no_new_privs() -> None:
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def _drop_capabilities() -> None:
    """Root without namespaces is left as the owner of root's files and no more."""
    number = 0
    while _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) == 0:
        number += 1
    head = struct.pack("Ii", _CAPABILITIES_V3, 0)
    _check(_libc.capset(head, bytes(24)), "capset")


def kill(pid: int) -> None:
    """The sandbox's whole session, as far as it stayed in it; in a pid namespace, everything."""
    for each in (os.killpg, os.kill):
        try:
            each(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def adopt() -> None:
    """From now on the orphans among the descendants of this process become its children, not init's."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _children() -> list[int]:
    """Of this process, which has one thread."""
    own = os.getpid()
    try:
        with open(f"/proc/self/task/{own}/children", encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return [pid for pid in _processes() if _parent(pid) == own]


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return 0


def _tasks_of(uid: int) -> int:
    """Processes and threads of a user, as RLIMIT_NPROC counts them; no more than this process may see."""
    count = 0
    for pid in _processes():
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{pid}").st_uid == uid:
                count += len(os.listdir(f"/proc/{pid}/task"))
    return count


def _loopback(ports: Sequence[int]) -> list[socket.socket]:
    """Bring up the only interface of a new network namespace, and listen on it."""
    import fcntl

    name_and_flags = b"lo".ljust(16, b"\0") + (_IFF_UP | _IFF_RUNNING).to_bytes(24, sys.byteorder)
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, name_and_flags)
    listeners = []
    for port in ports:
        listener = socket.socket()
        listener.bind(("127.0.0.1", port))
        listener.listen(_BACKLOG)
        listeners.append(listener)
    return listeners


def _bind(source: str, target: str, flags: int = _MS_NOSUID | _MS_NODEV) -> None:
    if not os.path.exists(target):
        if os.path.isdir(source):
            os.makedirs(target)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    _mount(source, target, None, _MS_BIND | _MS_REC)
    flags |= os.statvfs(target).f_flag & _MS_NOEXEC  # in a user namespace it may not be taken away
    _mount("none", target, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | flags)


def _mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    result = _libc.mount(
        source.encode(), target.encode(), kind.encode() if kind else None, ctypes.c_ulong(flags),
        data.encode() if data else None,
    )  # fmt: skip
    _check(result, f"mount {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
