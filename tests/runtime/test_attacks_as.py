"""The attacks once more, by who the server is and what the kernel lets it do: what holds, and by which word what does not.

    root           everything holds
    user           an ordinary user, by user namespaces: no user id of its own, nothing counted together
    user/refused   an ordinary user where the kernel refuses namespaces: Landlock, the filter of calls and the limits
    root/refused   root in most containers: the same, and still root's user id, without capabilities

What does not hold is what ``Runtime.missing`` says in one line, which ``up`` and ``status`` print.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from runtime.test_attacks import COLUMN, WALLS

from stratolite.runtime.guest import calls

SCRIPT = Path(__file__).parent / "ordinary.py"
ROOT, USER, USER_REFUSED, ROOT_REFUSED = WHO = ("root", "user", "user/refused", "root/refused")

HERE = (
    WHO if os.geteuid() == 0 else (USER, USER_REFUSED)
)  # who is not root is an ordinary user already
ORDINARY = 65534 if os.geteuid() == 0 else os.geteuid()

pytestmark = pytest.mark.skipif(WALLS < 6, reason="needs Landlock of version 6")


def call(name: str, *arguments: int) -> list[Any]:
    numbers = {**calls.REFUSED, **calls._JUDGED}[name]
    return ["call", [numbers[COLUMN], *arguments]]


# What is tried, and what is said to each of WHO. $SECRET is a file of the server's, $PID and $PORT are its own.
GONE, WALL, NONE = "ENOENT", "EACCES", "ECONNREFUSED"
TABLE: dict[str, tuple[list[Any], tuple[str, str, str, str]]] = {
    "read the server's files": (["read", "$SECRET"], (GONE, GONE, WALL, WALL)),
    "write them": (["write", "$SECRET"], (GONE, GONE, WALL, WALL)),
    "list its folder": (["list", "$FOLDER"], (GONE, GONE, WALL, WALL)),
    "read the server's environment": (["read", "/proc/$PID/environ"], (GONE, GONE, WALL, WALL)),
    "read its memory": (["read", "/proc/$PID/mem"], (GONE, GONE, WALL, WALL)),
    "read password hashes": (["read", "/etc/shadow"], (GONE, GONE, WALL, WALL)),
    "read a disk": (["read", "$DISK"], (GONE, GONE, WALL, WALL)),
    "kill the server": (["signal", "$PID"], ("ESRCH", "ESRCH", "EPERM", "EPERM")),
    "reach a service of the host": (["reach", ["127.0.0.1", "$PORT"]], (NONE, NONE, WALL, WALL)),
    "reach another sandbox": (["reach", ["127.0.0.1", "$OTHER"]], (NONE, NONE, WALL, WALL)),
    "reach the metadata address": (
        ["reach", ["169.254.169.254", 80]], ("ENETUNREACH", "ENETUNREACH", WALL, WALL),
    ),
    "reach it by MPTCP": (["mptcp", ["127.0.0.1", "$PORT"]], ("EPERM",) * 4),
    "reach it by its first data": (
        ["fastopen", ["127.0.0.1", "$PORT"]], (NONE, NONE, "EPERM", "EPERM"),
    ),
    "reach it by its first message": (
        ["fastopen by message", ["127.0.0.1", "$PORT"]], (NONE, NONE, "EPERM", "EPERM"),
    ),
    "reach a service of the host by its path": (["unix", "$SOCKET"], (GONE, GONE, "EPERM", "EPERM")),
    "send a datagram": (["send", ["127.0.0.1", 9]], ("done", "done", "EPERM", "EPERM")),
    "send a datagram out": (
        ["send", ["192.0.2.1", 9]], ("ENETUNREACH", "ENETUNREACH", "EPERM", "EPERM"),
    ),
    "trace a process": (call("ptrace", 16, 1), ("EPERM",) * 4),
    "read another's memory": (call("process_vm_readv", 1, 0, 0, 0, 0, 0), ("EPERM",) * 4),
    "make a user namespace": (call("unshare", 0x10000000), ("EPERM",) * 4),
    "make one by clone": (call("clone", 0x10000011, 0, 0, 0, 0), ("EPERM",) * 4),
    "mount": (call("mount", 0, 0, 0, 0, 0), ("EPERM",) * 4),
    "change the root": (call("chroot", 0), ("EPERM",) * 4),
    "load into the kernel": (call("bpf", 0, 0, 0), ("EPERM",) * 4),
    "open a raw socket": (["socket", [2, 3, 1]], ("EPERM",) * 4),
    "see packets": (["socket", [17, 3, 0]], ("EPERM",) * 4),
    "ask the packet filter": (["socket", [16, 3, 12]], ("EPERM",) * 4),
    "write the code": (["write", "$CODE"], (GONE, GONE, WALL, WALL)),
    "write /etc": (["write", "/etc/passwd"], ("EACCES", "EROFS", WALL, WALL)),
    "write to the kernel": (["write", "/proc/sys/kernel/core_pattern"], (WALL, WALL, WALL, WALL)),
    "use /tmp": (["tmp", 0], ("done",) * 4),
}  # fmt: skip
NAMED = {
    ROOT: "",
    USER: "functions are not fully contained here (not root): no user id of their own, memory and processes counted "
    "one by one",
    USER_REFUSED: "no user id of their own, they see other processes, no root folder of their own, they share /tmp with "
    "everybody and may fill it, they reach the server's port anywhere and may use the default keys, memory and processes "
    "counted one by one",
}
NAMED[ROOT_REFUSED] = NAMED[USER_REFUSED]

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    folders: list[str] = []

    def as_who(who: str, *attacks: Any) -> dict[str, Any]:
        folder = tempfile.mkdtemp(
            dir="/var/tmp"
        )  # /tmp itself is open to functions in two of the modes
        folders.append(folder)
        os.chmod(folder, 0o777)
        if os.geteuid() == 0:  # a block device that its mode lets everybody read
            os.mknod(f"{folder}/disk", stat.S_IFBLK, os.makedev(7, 0))
            os.chmod(f"{folder}/disk", 0o666)
        ran = subprocess.run(
            [sys.executable, str(SCRIPT), who, folder, json.dumps(attacks)],
            capture_output=True, text=True, timeout=120, env={"PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr[-2000:]
        return json.loads(ran.stdout)

    yield as_who
    for folder in folders:
        shutil.rmtree(folder)


@pytest.fixture(scope="module", params=HERE)
def attacked(request: pytest.FixtureRequest, run: Run) -> tuple[str, dict[str, Any]]:
    tries = [attempt for attempt, _ in TABLE.values()]
    attacks = [
        ["listens", "$OTHER"], ["several", tries], ["uids", None], ["fds", None], ["works", None],
        ["links", "$SECRET"], ["fills_memory", "heap"], ["poisoned", None],
    ]  # fmt: skip
    return request.param, run(request.param, *attacks)


def test_each_attack_ends_as_the_table_says(attacked):
    who, result = attacked
    column = WHO.index(who)
    for (name, (_, expected)), said in zip(TABLE.items(), result["said"][1], strict=True):
        assert (name, said) == (name, expected[column])


def test_what_does_not_hold_is_said_in_one_line(attacked):
    who, result = attacked
    assert result["missing"].endswith(NAMED[who])
    assert "\n" not in result["missing"]
    assert bool(result["missing"]) is (who != ROOT)


def test_nothing_gives_rights(attacked):
    """A set-user-id copy of ``id``, and the capabilities of the process: none in any mode."""
    who, result = attacked
    effective, own, capabilities = result["said"][2]
    assert capabilities == [""] * 4
    expected = {USER: 0, USER_REFUSED: ORDINARY, ROOT_REFUSED: 0}
    if who == ROOT:
        assert own == effective >= 61184
    else:
        assert own == effective == expected[who]


def test_descriptors_and_memory_end_and_others_go_on(attacked):
    _, result = attacked
    descriptors, ordinary, _, memory, after = result["said"][3:]
    assert descriptors == [True, "EMFILE"]
    assert ordinary == [20, "42", "x", [0, 1, 4, 9], "127.0.0.1"]
    assert memory["ended"] == ["memory", -9]
    assert after[:4] == [False] * 4


def test_links_lead_nowhere_new_in_any_mode(attacked):
    """A hard link to the code, a write through a symbolic link to the server's file, and the server that tidies up after it."""
    _, result = attacked
    assert result["secret"] == "s"
    assert result["said"][5][0] in ("EXDEV", "EACCES", "EPERM")
    assert result["said"][5][1] in ("ENOENT", "EACCES")


@pytest.mark.parametrize("who", HERE)
def test_a_daemon_outlives_no_timeout_in_any_mode(run, who):
    """Forked twice, in a session of its own, deaf to SIGTERM. Without a pid namespace the zygote adopts and kills it."""
    seconds = str(80000 + os.getpid() % 10000)
    ended, after = run(who, ["daemon", seconds, 2], ["gone", seconds])["said"]
    assert ended["ended"][0] == "timeout"
    assert after is True


@pytest.mark.parametrize("who", [w for w in HERE if w != ROOT_REFUSED])
def test_a_fork_bomb_ends_in_any_mode(run, who):
    """Its limit is the sandbox's, or where it shares a user id, so many more than that user ran before.

    The gaps: in the second case other sandboxes may start none until it ends; and the machine's own root, which it still
    is where root may have no namespaces, knows no such limit.
    """
    (bomb,) = run(who, ["forks", None])["said"]
    assert bomb == {"ended": ["memory", -9], "error": ""} or bomb[1] == "EAGAIN"


@pytest.mark.parametrize("handler", ["fills_disk", "fills_inodes"])
def test_an_ordinary_users_namespaces_limit_disk_and_names(run, handler):
    (said,) = run(USER, [handler, None])["said"]
    assert said in ("ENOSPC", "EFBIG")
