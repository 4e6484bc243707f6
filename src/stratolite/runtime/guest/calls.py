"""Which system calls a sandbox may not make: a seccomp filter, built once and put on by each sandbox.

A list of what is refused, with EPERM, in the manner of Docker's and systemd's, not of what is allowed: any
library may be packaged, and the C library changes its calls with each version. Refused are calls

    that make namespaces or mounts, or trade in file handles          that look into or steer other processes
    with a history of holes in the kernel, seldom asked for           that change the whole machine

and sockets of other families than UNIX, IPv4 and IPv6 (netlink for routes only), of the latter two all but TCP and UDP.
``clone3`` is answered ENOSYS, as its flags cannot be read by a filter: the C library then uses ``clone``.

A process without a network of its own opens TCP sockets only and connects with ``connect`` only, for there ``walls`` has a
say: not over paths to the host's services (UNIX), datagrams, MPTCP or the first data of a TCP Fast Open, which Landlock does
not see. ``socketpair`` is left.

A process that is ``alone`` (``jail``) makes no socket, no process and executes nothing, changes no file by its name or its
attributes, and neither signals another process nor sets limits for it.

https://docs.kernel.org/userspace-api/seccomp_filter.html, numbers from linux/arch/*/syscall tables
"""

from __future__ import annotations

import ctypes
import os
import struct

# name -> (x86_64, aarch64); None: does not exist there
REFUSED: dict[str, tuple[int | None, int | None]] = {
    # namespaces, mounts, file handles
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "unshare": (272, 97), "setns": (308, 268), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "statmount": (457, 457), "listmount": (458, 458),
    "open_tree_attr": (467, 467), "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264), "fanotify_init": (300, 262),
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "kcmp": (312, 272), "pidfd_getfd": (438, 438),
    "move_pages": (279, 239), "migrate_pages": (256, 238),
    # a history of holes
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "modify_ldt": (154, None), "uselib": (134, None), "ustat": (136, None), "sysfs": (139, None),
    "_sysctl": (156, None), "lookup_dcookie": (212, 18), "nfsservctl": (180, 42),
    # the whole machine
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "create_module": (174, None),
    "get_kernel_syms": (177, None), "query_module": (178, None), "swapon": (167, 224),
    "swapoff": (168, 225), "reboot": (169, 142), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171),
    "quotactl": (179, 60), "quotactl_fd": (443, 443), "acct": (163, 89), "syslog": (103, 116),
    "vhangup": (153, 58), "iopl": (172, None), "ioperm": (173, None),
    "sethostname": (170, 161), "setdomainname": (171, 162),
}  # fmt: skip

ALONE: dict[str, tuple[int | None, int | None]] = {
    # programs, processes
    "execve": (59, 221), "execveat": (322, 281), "fork": (57, None), "vfork": (58, None),
    "kill": (62, 129), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424),
    "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119), "sched_setparam": (142, 118), "sched_setattr": (314, 274),
    # ways to others
    "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
    # files by name, and what they are like
    "creat": (85, None), "truncate": (76, 45), "unlink": (87, None), "unlinkat": (263, 35),
    "rename": (82, None), "renameat": (264, 38), "renameat2": (316, 276), "link": (86, None),
    "linkat": (265, 37), "symlink": (88, None), "symlinkat": (266, 36), "mkdir": (83, None),
    "mkdirat": (258, 34), "rmdir": (84, None), "mknod": (133, None), "mknodat": (259, 33),
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "setxattrat": (463, 463),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
}  # fmt: skip

_JUDGED = {  # what is asked for decides
    "socket": (41, 198), "clone": (56, 220), "clone3": (435, 435), "personality": (135, 92),
    "ioctl": (16, 29),
}  # fmt: skip
_OF_OTHERS = {"prlimit64": (302, 261), "tgkill": (234, 131)}
_SENDING = {"sendto": (44, 206), "sendmsg": (46, 211), "sendmmsg": (307, 269)}
_FLAGS_AT = {"sendto": 3, "sendmsg": 2, "sendmmsg": 3}
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_SECCOMP = (317, 277)

_UNIX = 1
_INTERNET = (2, 10)  # IPv4, IPv6
_NETLINK, _NETLINK_ROUTE = (
    16,
    0,
)  # by which the C library lists interfaces; to change one takes a right nobody has
_SOCK_STREAM, _SOCK_DGRAM, _SOCK_TYPE = 1, 2, 15
_PROTOCOLS = (0, 6, 17)  # what the kind says, TCP, UDP
_MSG_FASTOPEN = 0x20000000
_THREAD = 0x00010000  # CLONE_THREAD
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}
_PERSONALITIES = (0, 0xFFFFFFFF)  # Linux's own, and the question which it is
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C  # types for whoever holds the terminal
_X32 = 0x40000000  # a second set of numbers on x86_64

_LOAD, _EQUAL, _GREATER_EQUAL, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_NUMBER, _ARCH = 0, 4
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_ON, _ALL_THREADS, _NO_SLOWDOWN = (
    1,
    1,
    4,
)  # SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, _SPEC_ALLOW

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class Filter:
    """The program for this machine. Raises OSError where its calls are not known."""

    def __init__(self, *, own_network: bool, alone: bool = False) -> None:
        machine = os.uname().machine
        if machine not in _MACHINES:
            raise OSError(f"the system calls of {machine} are not known")
        self._column, arch = _MACHINES[machine]
        self._code = _program(self._column, arch, own_network, alone)
        self._kept = ctypes.create_string_buffer(self._code)
        at = ctypes.addressof(self._kept)
        self._head = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(self._code) // 8, at))

    def put_on(self) -> None:
        """For this process, all its threads and all it starts, for good; needs no_new_privs. Raises OSError."""
        number = ctypes.c_long(_SECCOMP[self._column])
        if _libc.syscall(number, _ON, _ALL_THREADS | _NO_SLOWDOWN, self._head):
            error = ctypes.get_errno()
            raise OSError(error, f"seccomp: {os.strerror(error)}")


def _program(column: int, arch: int, own_network: bool, alone: bool) -> bytes:
    """Instructions are (code, jump if so, jump if not, k); jumps are names of places further on, or None."""
    judged = _JUDGED if own_network else {**_JUDGED, **_SENDING}
    refused = REFUSED
    if alone:
        judged, refused = {**judged, **_OF_OTHERS}, {**REFUSED, **ALONE}
    at = {name: numbers[column] for name, numbers in judged.items()}
    lines: list[tuple[int, str | None, str | None, int]] = [
        (_LOAD, None, None, _ARCH),
        (_EQUAL, None, "refuse", arch),
        (_LOAD, None, None, _NUMBER),
        (_GREATER_EQUAL, "refuse", None, _X32),
        *((_EQUAL, name, None, number) for name, number in at.items()),
        *((_EQUAL, "refuse", None, n[column] or 0) for n in refused.values() if n[column]),
        (_RETURN, None, None, _ALLOW),
    ]
    places: dict[str, int] = {}

    def place(name: str, *more: tuple[int, str | None, str | None, int]) -> None:
        places[name] = len(lines)
        lines.extend(more)

    place(
        "clone",
        (_LOAD, None, None, _argument(0)),
        (_ANY_BIT, "refuse", None, _NEW_NAMESPACES),
        (_ANY_BIT, "allow", "refuse" if alone else "allow", _THREAD),
    )
    if alone:
        me = ("prlimit64", (0, os.getpid())), ("tgkill", (os.getpid(),))
        for name, whose in me:
            place(
                name,
                (_LOAD, None, None, _argument(0)),
                *((_EQUAL, "allow", None, pid) for pid in whose),
                (_EQUAL, "refuse", "refuse", 0),
            )
    place(
        "personality",
        (_LOAD, None, None, _argument(0)),
        *((_EQUAL, "allow", None, which) for which in _PERSONALITIES),
        (_EQUAL, "refuse", "refuse", 0),
    )
    place(
        "ioctl",
        (_LOAD, None, None, _argument(1)),
        (_EQUAL, "refuse", None, _TIOCSTI),
        (_EQUAL, "refuse", "allow", _TIOCLINUX),
    )
    place(
        "socket",
        (_LOAD, None, None, _argument(0)),
        *((_EQUAL, "refuse" if alone else "kind", None, family) for family in _INTERNET),
        (_EQUAL, "allow" if own_network else "refuse", None, _UNIX),
        (_EQUAL, "refuse" if alone else "netlink", "refuse", _NETLINK),
    )
    place("netlink", (_LOAD, None, None, _argument(2)), (_EQUAL, "allow", "refuse", _NETLINK_ROUTE))
    place(
        "kind",
        (_LOAD, None, None, _argument(1)),
        (_AND, None, None, _SOCK_TYPE),
        (_EQUAL, "protocol", None, _SOCK_STREAM),
        (_EQUAL, "protocol" if own_network else "refuse", "refuse", _SOCK_DGRAM),
    )
    place(
        "protocol",
        (_LOAD, None, None, _argument(2)),
        *((_EQUAL, "allow", None, which) for which in _PROTOCOLS),
        (_EQUAL, "refuse", "refuse", 0),
    )
    for name in () if own_network else _SENDING:
        place(
            name,
            (_LOAD, None, None, _argument(_FLAGS_AT[name])),
            (_ANY_BIT, "refuse", "allow", _MSG_FASTOPEN),
        )
    place("allow", (_RETURN, None, None, _ALLOW))
    place("refuse", (_RETURN, None, None, _ERRNO | _EPERM))
    place("clone3", (_RETURN, None, None, _ERRNO | _ENOSYS))
    code = b""
    for index, (kind, so, otherwise, k) in enumerate(lines):
        yes, no = (places[name] - index - 1 if name else 0 for name in (so, otherwise))
        code += struct.pack("HBBI", kind, yes, no, k)
    return code


def _argument(index: int) -> int:
    """Where the low half of a call's argument is, on little-endian machines: all we know."""
    return 16 + 8 * index
