"""What hostile code tries from inside a sandbox, and that it does not get there.

Every attack succeeds, or fails otherwise, when its guard is taken away; ``test_functions_contained`` in
``tests/live`` has those on the network.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from runtime.test_sandboxes import Rig

from stratolite.runtime import Gateway, Start
from stratolite.runtime.guest import calls, shares, walls
from stratolite.runtime.zygote import Zygote

GUEST = Path(calls.__file__).parent
SLOW = float(os.environ.get("STRATOLITE_SLOW", "1"))
"""How many times as long as usual what takes work may take: on an emulated processor (``tests/machines``)."""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: namespaces")
needs_filter = pytest.mark.skipif(
    os.uname().machine not in ("x86_64", "aarch64"), reason="no filter for this machine"
)
try:
    WALLS = walls.Walls().version
except OSError:
    WALLS = 0
try:
    GROUPS = shares._version_1("/proc")
    VERSION = 1 if GROUPS else 2
    GROUPS = GROUPS or {"": shares._version_2("/proc")}
except OSError:
    GROUPS, VERSION = {}, 0
needs_walls = pytest.mark.skipif(WALLS < 6, reason="needs Landlock of version 6")
COLUMN = 1 if os.uname().machine == "aarch64" else 0

CODE = """
import ctypes, errno, json, os, signal, socket, subprocess, sys, threading, time

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

def name(error): return errno.errorcode.get(error.errno, str(error.errno))

def call(event, context):
    ctypes.set_errno(0)
    result = libc.syscall(*(ctypes.c_long(v) for v in event))
    return errno.errorcode.get(ctypes.get_errno(), "done") if result == -1 else "done"

def opens(event, context):
    try:
        socket.socket(*event).close()
    except OSError as error:
        return name(error)
    return "open"

def works(event, context):
    done = []
    threads = [threading.Thread(target=done.append, args=[n]) for n in range(20)]
    for t in threads: t.start()
    for t in threads: t.join()
    said = subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, text=True).stdout.strip()
    left, right = socket.socketpair(); left.send(b"x")
    import concurrent.futures, tempfile, sqlite3, ssl, asyncio
    with concurrent.futures.ThreadPoolExecutor(4) as pool: squares = list(pool.map(lambda n: n * n, range(4)))
    with tempfile.NamedTemporaryFile() as file: file.write(b"x"); file.flush(); os.fsync(file.fileno())
    asyncio.run(asyncio.sleep(0.001)); ssl.create_default_context(); sqlite3.connect(tempfile.gettempdir() + "/x.db").execute("create table t (a)")
    return [len(done), said, right.recv(1).decode(), squares, socket.gethostbyname("localhost")]

def kills(event, context):
    said = []
    for pid in event:
        try: os.kill(pid, 9); said.append("killed")
        except OSError as error: said.append(name(error))
    return said

def forks(event, context):
    made = 0
    try:
        while made < 5000:
            if os.fork() == 0:
                time.sleep(60); os._exit(0)
            made += 1
    except OSError as error:
        return [made, name(error)]
    return [made, "never stopped"]

def threads(event, context):
    made = []
    try:
        while len(made) < 5000:
            t = threading.Thread(target=time.sleep, args=[60], daemon=True); t.start(); made.append(t)
    except (RuntimeError, OSError, MemoryError):
        return "stopped"
    return "never stopped"

def fds(event, context):
    made = []
    try:
        while len(made) < 5000: made.append(os.dup(1))
    except OSError as error:
        return [len(made) < 1024, name(error)]

def fills_disk(event, context):
    try:
        for n in range(10):
            with open(f"/tmp/{n}", "wb") as file:
                for _ in range(100): file.write(bytes(1 << 20))
    except OSError as error:
        return name(error)
    return "never full"

def fills_inodes(event, context):
    try:
        for n in range(300_000): os.close(os.open(f"/tmp/{n}", os.O_CREAT | os.O_WRONLY))
    except OSError as error:
        return name(error)
    return "never full"

def links(event, context):
    import tempfile
    said, own, code = [], tempfile.gettempdir(), os.environ["LAMBDA_TASK_ROOT"] + "/m.py"
    soft = own + "/soft"
    for make in (lambda: os.link(code, own + "/hard"), lambda: open(soft, "w")):
        if os.path.lexists(soft): os.unlink(soft)
        os.symlink(event, soft)
        try: make(); said.append("done")
        except OSError as error: said.append(name(error))
    return said

def setuid(event, context):
    said = []
    for program in ("/usr/bin/su", "/usr/bin/passwd", "/usr/bin/mount", "/bin/su"):
        if os.path.exists(program):
            said.append(os.stat(program).st_uid)
    import shutil
    shutil.copy("/usr/bin/id", "/tmp/id"); os.chmod("/tmp/id", 0o6755)
    said = [int(subprocess.run(["/tmp/id", "-u"], capture_output=True, text=True).stdout)]
    try: os.setuid(0); said.append("root")
    except OSError as error: said.append(name(error))
    return said

def looks(event, context):
    found = [p for p in os.listdir("/proc") if p.isdigit() and int(p) != os.getpid()]
    readable = []
    for path in event:
        try: open(path, "rb").read(1); readable.append(path)
        except OSError: pass
    return [found, readable]

def tries(event, context):
    said = {}
    for what, argument in event:
        try:
            if what == "read": open(argument, "rb").read(1)
            elif what == "write": open(argument, "r+b").close()
            elif what == "list": os.listdir(argument)
            elif what == "signal": os.kill(argument, 0)
            elif what == "reach": socket.create_connection(tuple(argument), 1).close()
            elif what == "send":
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s: s.sendto(b"x", tuple(argument))
            elif what == "call":
                ctypes.set_errno(0)
                if libc.syscall(*(ctypes.c_long(v) for v in argument)) == -1: raise OSError(ctypes.get_errno(), "")
            elif what == "socket": socket.socket(*argument).close()
            elif what == "mptcp":
                with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262) as s: s.connect(tuple(argument))
            elif what == "fastopen":  # connects without a call of connect
                with socket.socket() as s: s.sendto(b"x", 0x20000000, tuple(argument))
            elif what == "fastopen by message":
                with socket.socket() as s: s.sendmsg([b"x"], [], 0x20000000, tuple(argument))
            elif what == "unix":
                with socket.socket(socket.AF_UNIX) as s: s.connect(argument)
            elif what == "connect": socket.create_connection(("127.0.0.1", argument), 1).close()
            elif what == "tmp":
                import tempfile
                with tempfile.TemporaryFile() as file: file.write(b"x")
                with tempfile.NamedTemporaryFile(dir="/tmp") as file: file.write(b"x")
            said[what + " " + str(argument)] = "done"
        except OSError as error:
            said[what + " " + str(argument)] = name(error)
    return said

def several(event, context): return list(tries(event, context).values())

def listens(event, context):
    global held
    held = socket.create_server(("127.0.0.1", event)); return os.getpid()

def uids(event, context):
    import shutil
    path = os.path.join(os.environ.get("TMPDIR", "/tmp"), "id")
    shutil.copy("/usr/bin/id", path); os.chmod(path, 0o6755)
    caps = [line.split()[1].strip("0") for line in open("/proc/self/status") if line.startswith(("CapEff", "CapPrm", "CapInh", "CapAmb"))]
    return [int(subprocess.run([path, "-u"], capture_output=True, text=True).stdout), os.getuid(), caps]

def prints(event, context):
    end = time.monotonic() + event
    while time.monotonic() < end: os.write(1, b"x" * 65536)
def one_line(event, context):
    for _ in range(200): os.write(1, b"y" * 65536)
    print()

def chance(event, context):
    import random, uuid, secrets, tempfile
    return [random.random(), str(uuid.uuid4()), str(uuid.uuid1()), secrets.token_hex(8), hash("a string") if event else 0,
            next(tempfile._get_candidate_names())]

def ran(event, context): return getattr(sys, "poisoned", [])

def layout(event, context):
    return [hash("a string"), hash(b"bytes"), id(json), [line.split("-")[0] for line in open("/proc/self/maps")]]

def poisons(event, context):
    os.environ["POISON"] = "1"; sys.path.insert(0, "/tmp"); import json as j; j.loads = None; sys.modules["poison"] = sys
    open("/tmp/poison.py", "w").write("x = 1")
    return 1
def poisoned(event, context):
    return ["POISON" in os.environ, "/tmp" in sys.path, json.loads is None, "poison" in sys.modules, os.listdir("/tmp")]

def daemon(event, context):
    for _ in range(2):
        if os.fork(): break
        os.setsid()
    else:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.execvp("sleep", ["sleep", event])
    time.sleep(60)

def spins(event, context):
    began = time.process_time()
    while time.monotonic() < event: pass
    return time.process_time() - began

def fills_memory(event, context):
    held = []
    if event == "heap":
        while True: held.append(bytearray(b"x" * (1 << 20)))
    if event == "shared":
        import mmap
        fd = os.memfd_create("m")
        os.ftruncate(fd, 90 << 20); fds = [fd]
        for _ in range(20):
            fd = os.memfd_create("m"); fds.append(fd)
            for _ in range(80): os.write(fd, b"x" * (1 << 20))
    if event == "children":
        children = []
        for _ in range(20):
            pid = os.fork()
            if pid == 0:
                held = [bytearray(b"x" * (1 << 20)) for _ in range(100)]
                time.sleep(60); os._exit(0)
            children.append(pid)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            ready = 0
            for pid in children:
                try: fields = open(f"/proc/{pid}/statm").read().split()
                except OSError: ready += 1; continue
                ready += int(fields[1]) > 25_600 or fields[1] == "0"
            if ready == 20: break
            time.sleep(0.05)
        return sum(1 for pid in children if os.waitpid(pid, os.WNOHANG) == (0, 0))
    return "never stopped"
"""


def attack(folder: Any, body: Callable[[Rig], Awaitable[Any]], *, strict: bool = False) -> Any:
    async def main() -> Any:
        rig = await Rig(str(folder), strict=strict).prepare(CODE)
        try:
            return await body(rig)
        finally:
            await rig.runtime.close()

    return asyncio.run(main())


def say(folder: Any, handler: str, event: Any = None, timeout_s: float = 20) -> Any:
    """What the handler answered."""

    async def body(rig: Rig) -> Any:
        outcome = await rig(handler, event, timeout_s=timeout_s * SLOW)
        assert outcome.answer is not None, outcome
        return json.loads(outcome.answer)

    return attack(folder, body)


# -- system calls

NEW_USER, NEW_NET = 0x10000000, 0x40000000
SIGCHLD = 17


@needs_filter
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("unshare", [NEW_USER]),  # from there on it would be root of its own and could mount
        ("clone", [NEW_USER | SIGCHLD, 0, 0, 0, 0]),
        ("ptrace", [0, 0, 0, 0]),
        ("process_vm_readv", [1, 0, 0, 0, 0, 0]),
        ("keyctl", [0, -3, 1]),
        ("add_key", [0, 0, 0, 0, 0]),
        ("io_uring_setup", [1, 0]),
        ("perf_event_open", [0, 0, -1, -1, 0]),
        ("name_to_handle_at", [-100, 0, 0, 0, 0]),
        ("personality", [0x0040000]),  # no address randomization
        ("kcmp", [1, 1, 0, 0, 0]),
    ],
)
def test_a_dangerous_call_is_refused(tmp_path, name, arguments):
    """Each of these answers something else to an ordinary user without the filter."""
    numbers = {**calls.REFUSED, **calls._JUDGED}[name]
    assert say(tmp_path, "call", [numbers[COLUMN], *arguments]) == "EPERM"


@needs_filter
@pytest.mark.parametrize(
    ("family", "kind", "protocol", "said"),
    [
        (2, 1, 0, "open"),
        (2, 2, 0, "open"),
        (10, 1, 0, "open"),
        (1, 1, 0, "open"),
        (16, 3, 0, "open"),  # netlink: which interfaces there are
        (16, 3, 12, "EPERM"),  # netlink: the packet filter
        (16, 2, 4, "EPERM"),  # netlink: others' sockets
        (16, 3, 16, "EPERM"),  # netlink: whatever a module offers
        (40, 1, 0, "EPERM"),  # vsock: the hypervisor
        (17, 3, 0, "EPERM"),  # packets
        (2, 3, 1, "EPERM"),  # raw
        (2, 2, 1, "EPERM"),  # echo requests
        (2, 2, 136, "EPERM"),  # UDP-Lite
        (2, 1, 262, "EPERM"),  # MPTCP
        (38, 5, 0, "EPERM"),  # the kernel's ciphers
    ],
)
def test_only_ordinary_sockets_open(tmp_path, family, kind, protocol, said):
    assert say(tmp_path, "opens", [family, kind, protocol]) == said


@needs_filter
def test_every_call_of_the_list_is_refused():
    """Even to root, with arguments the kernel would otherwise find fault with."""
    script = f"""
import ctypes, sys
sys.path.insert(0, {str(GUEST)!r})
import calls
calls._libc.prctl(38, 1, 0, 0, 0)
calls.Filter(own_network=True).put_on()
for name, numbers in calls.REFUSED.items():
    if numbers[{COLUMN}] is not None:
        ctypes.set_errno(0)
        said = calls._libc.syscall(ctypes.c_long(numbers[{COLUMN}]), *[ctypes.c_long(-1)] * 6), ctypes.get_errno()
        if said != (-1, 1):
            print(name, said)
if {COLUMN} == 0:
    said = calls._libc.syscall(ctypes.c_long(0x40000000 + 39)), ctypes.get_errno()
    if said != (-1, 1):
        print("x32", said)
"""
    ran = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True
    )
    assert ran.stdout == ""


def test_ordinary_code_does_not_notice(tmp_path):
    """Threads, child processes, TLS, SQLite, an event loop: what libraries do must go on working."""
    said = say(tmp_path, "works")
    assert said == [20, "42", "x", [0, 1, 4, 9], "127.0.0.1"]


# -- other processes


@needs_root
def test_a_sandbox_sees_and_kills_no_process_but_its_own(tmp_path):
    """Two sandboxes, the zygote and the server: none is in the other's /proc, no pid of theirs means anything."""

    async def body(rig: Rig) -> None:
        await rig("poisoned", key="other")
        pids = [os.getpid(), *rig.runtime.pids]
        outcome = await rig("kills", pids)
        assert set(json.loads(outcome.answer)) == {"ESRCH"}
        paths = [f"/proc/{pid}/{what}" for pid in pids for what in ("environ", "maps", "cmdline")]
        assert json.loads((await rig("looks", paths)).answer) == [[], []]
        assert (await rig("poisoned", key="other")).init_s is None, "the other still lives"

    attack(tmp_path, body)


@needs_root
def test_a_fork_bomb_ends_at_the_sandboxs_limit(tmp_path):
    async def body(rig: Rig) -> None:
        outcome = await rig("forks", timeout_s=100 * SLOW)
        if outcome.answer is not None:  # else their tables took all its memory first
            made, why = json.loads(outcome.answer)
            assert (made <= 1024, why) == (True, "EAGAIN")
            (member,) = rig.runtime._members
            member.sandbox.kill()
            await asyncio.wait_for(member.sandbox.gone(), 60)
        else:
            assert outcome.ended == ("memory", -9)
        assert (await rig("poisoned")).answer is not None

    attack(tmp_path, body)


@needs_root
def test_threads_end_at_the_sandboxs_limit(tmp_path):
    async def body(rig: Rig) -> None:
        outcome = await rig("threads", timeout_s=20)
        assert outcome.answer == b'"stopped"' or outcome.ended is not None
        assert (await rig("poisoned")).answer is not None

    attack(tmp_path, body)


@needs_root
def test_a_daemon_does_not_outlive_its_timeout(tmp_path):
    """Forked twice, in a session of its own, deaf to SIGTERM."""
    seconds = str(70000 + os.getpid() % 10000)

    async def body(rig: Rig) -> None:
        assert (await rig("daemon", seconds, timeout_s=0.7)).ended.how == "timeout"
        for _ in range(3_000):
            if not _running(b"sleep\0" + seconds.encode()):
                return
            await asyncio.sleep(0.02)
        pytest.fail("it lives")

    attack(tmp_path, body)


def _running(command: bytes) -> bool:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(command):
                return True
        except OSError:
            continue
    return False


# -- memory

needs_groups = pytest.mark.skipif(
    os.geteuid() != 0 or not GROUPS, reason="needs root and writable control groups"
)


def test_a_full_heap_ends_the_sandbox_only(tmp_path):
    async def body(rig: Rig) -> None:
        assert (await rig("fills_memory", "heap", timeout_s=20 * SLOW)).ended == ("memory", -9)
        assert (await rig("poisoned")).answer is not None

    attack(tmp_path, body)


@needs_groups
def test_memory_that_belongs_to_no_process_is_counted(tmp_path):
    """1.6 GB in memory files by a function of 128 MB with 512 MB of /tmp."""

    async def body(rig: Rig) -> None:
        assert (await rig("fills_memory", "shared", timeout_s=20 * SLOW)).ended == ("memory", -9)

    attack(tmp_path, body)


@needs_groups
def test_the_memory_of_child_processes_is_counted_together(tmp_path):
    """20 children of 100 MB each: every one is within the limit on a process, together they are not.

    With version 2 the kernel ends the whole group (memory.oom.group), with 1 process after process until the rest fits.
    """

    async def body(rig: Rig) -> None:
        outcome = await rig("fills_memory", "children", timeout_s=120 * SLOW)
        if VERSION == 2:
            assert outcome.ended == ("memory", -9)
        else:
            assert outcome.answer is not None
            assert json.loads(outcome.answer) <= 6

    attack(tmp_path, body)


@needs_groups
def test_control_groups_end_with_their_sandbox(tmp_path):
    """A thousand cold starts must not leave a thousand groups; what a killed zygote left is removed by the next."""

    async def body(rig: Rig) -> None:
        await rig("poisoned", key="a")
        zygote, _ = rig.runtime.pids
        mine = f"stratolite-{zygote}-"
        assert _groups(mine)
        await rig("poisoned", key="b")
        await rig("threads", timeout_s=20)
        (member, *_) = rig.runtime._members
        os.kill(zygote, 9)
        await asyncio.wait_for(member.sandbox.gone(), 60)
        await rig("poisoned", key="c")
        assert not _groups(mine)
        mine = f"stratolite-{rig.runtime.pids[0]}-"
        assert _groups(mine)
        await rig.runtime.close()
        assert not _groups(mine)

    attack(tmp_path, body)


def _groups(start: str) -> list[str]:
    return [n for parent in GROUPS.values() for n in os.listdir(parent) if n.startswith(start)]


def _limits(start: str) -> dict[str, str]:
    """What the only sandbox's groups say."""
    found: dict[str, str] = {}
    for parent in GROUPS.values():
        for group in Path(parent).glob(f"{start}*/**"):
            if not group.name.endswith("-all"):
                assert (group / "cgroup.procs").read_text().split()
                found |= {
                    k: (group / k).read_text().strip() for k in _LIMITS if (group / k).exists()
                }
    return found


_LIMITS = ("memory.limit_in_bytes", "memory.max", "pids.max", "cpu.shares", "cpu.weight")


@needs_groups
def test_a_sandboxs_group_has_the_limits_of_its_function(tmp_path):
    """As the kernel has taken them: memory with /tmp, processes, and CPU by memory size among sandboxes."""

    async def body(rig: Rig) -> None:
        await rig("poisoned")
        found = _limits(f"stratolite-{rig.runtime.pids[0]}-")
        memory = str((128 + 512) << 20)
        assert found == (
            {"memory.limit_in_bytes": memory, "pids.max": "1024", "cpu.shares": "74"}
            if VERSION == 1
            else {"memory.max": memory, "pids.max": "1024", "cpu.weight": "7"}
        )

    attack(tmp_path, body)


@needs_groups
@pytest.mark.skipif(
    os.cpu_count() != 1, reason="needs one CPU, so that two sandboxes want the same one"
)
def test_a_larger_function_gets_the_larger_share_of_the_cpu(tmp_path):
    """7 times the memory, 7 times the share; as the kernel counts it, asked for three times at least."""

    async def body(rig: Rig) -> None:
        asked = (("large", 896), ("small", 128))
        for key, memory_mb in asked:  # both are there before either spins
            await rig("spins", 0, timeout_s=20 * SLOW, key=key, memory_mb=memory_mb)
        until_s = (
            time.monotonic() + 4 + 2 * SLOW
        )  # the small one takes its time until it is asked at all
        spun = await asyncio.gather(*(
            rig("spins", until_s, timeout_s=100, key=key, memory_mb=memory_mb) for key, memory_mb in asked
        ))  # fmt: skip
        used = [json.loads(outcome.answer) for outcome in spun]
        assert used[0] > 3 * used[1], used

    attack(tmp_path, body)


# -- files


def test_descriptors_end_at_the_sandboxs_limit(tmp_path):
    assert say(tmp_path, "fds") == [True, "EMFILE"]


@needs_root
def test_a_full_tmp_is_full_for_the_sandbox_only(tmp_path):
    """512 MB asked; the space and the names are the sandbox's own."""
    assert say(tmp_path, "fills_disk") in ("ENOSPC", "EFBIG")


@needs_root
def test_names_in_tmp_end_at_the_sandboxs_limit(tmp_path):
    """Each empty file takes a kilobyte of the kernel's memory that no size limit counts."""
    assert say(tmp_path, "fills_inodes") == "ENOSPC"


@needs_root
def test_links_lead_nowhere_new(tmp_path):
    """The code is on another file system, and a link is followed inside the sandbox's own root."""
    (tmp_path / "secret").write_text("s")
    os.chmod(tmp_path, 0o777)
    assert say(tmp_path, "links", str(tmp_path / "secret")) == ["EXDEV", "ENOENT"]
    assert (tmp_path / "secret").read_text() == "s"


@needs_root
def test_setuid_programs_give_nothing(tmp_path):
    uid, why = say(tmp_path, "setuid")
    assert uid >= 61184
    assert why == "EPERM"


@needs_root
@needs_walls
def test_inside_its_own_root_a_sandbox_still_writes_to_tmp_only(tmp_path):
    """The second wall: were a mount forgotten or a name in /proc not thought of."""
    said = say(tmp_path, "tries", [["write", "/proc/self/oom_score_adj"], ["tmp", 0]])
    assert said == {"write /proc/self/oom_score_adj": "EACCES", "tmp 0": "done"}


@needs_walls
def test_without_namespaces_the_servers_files_ports_and_processes_are_out_of_reach(
    tmp_path, monkeypatch
):
    """What Landlock alone keeps, for an ordinary user: not the data folder, not the server, one port."""
    plain_start = Zygote.start
    monkeypatch.setattr(Zygote, "start", lambda _, sites, **how: plain_start("", sites, **how))
    home = tempfile.mkdtemp(dir="/var/tmp")  # /tmp itself is open to functions in this mode
    try:
        secret = Path(home) / "secret"
        secret.write_text("s")
        with socket.socket() as ours, socket.socket() as other:
            for each in (ours, other):
                each.bind(("127.0.0.1", 0))
                each.listen()
            ports = [each.getsockname()[1] for each in (ours, other)]

            async def body(rig: Rig) -> None:
                rig.runtime.gateway = Gateway("", ports[0], lambda _: lambda: None)
                tries = [
                    ["read", str(secret)],
                    ["write", str(secret)],
                    ["list", home],
                    ["write", f"{rig.folder}/m.py"],
                    ["read", f"/proc/{os.getpid()}/environ"],
                    ["signal", os.getpid()],
                    ["connect", ports[1]],
                    ["connect", ports[0]],
                    ["tmp", 0],
                ]
                outcome = await rig("tries", tries)
                said = list(json.loads(outcome.answer).values())
                assert said == ["EACCES"] * 5 + ["EPERM", "EACCES", "done", "done"]
                assert rig.runtime.missing.endswith(
                    "no user id of their own, they see other processes, no root folder of their own, "
                    "they share /tmp with everybody and may fill it, they reach the server's port anywhere "
                    "and may use the default keys, memory and processes counted one by one"
                )

            attack(home, body)
    finally:
        shutil.rmtree(home)


@pytest.mark.parametrize("strict", [False, True])
def test_a_poisoned_layer_runs_nothing_before_the_cell_is_closed(tmp_path, strict):
    """Modules named as what the interpreter or our own loop imports by itself, and what ``site`` would run."""
    layer = tmp_path / "layer" / "python"
    names = ["sitecustomize", "usercustomize", "site", "confine", "bootstrap", "calls", "walls", "shares", "zygote",
             "json", "logging", "struct", "socket", "traceback", "atexit", "encodings"]  # fmt: skip
    layer.mkdir(parents=True)
    for each in names:
        (layer / f"{each}.py").write_text(
            f"import sys; sys.poisoned = [*getattr(sys, 'poisoned', []), {each!r}]"
        )
    (layer / "evil.pth").write_text("import sys; sys.poisoned = ['pth']")

    async def body(rig: Rig) -> None:
        plain = rig._start

        async def start() -> tuple[Start, Any]:
            begun, listen = await plain()
            return Start(begun.code_folder, begun.environment, [str(layer.parent)]), listen

        rig._start = start
        outcome = await rig("ran")
        assert json.loads(outcome.answer) == [], outcome

    os.chmod(tmp_path, 0o755)
    attack(tmp_path, body, strict=strict)


@needs_root
def test_one_sandbox_does_not_reach_what_another_listens_on(tmp_path):
    """Its Runtime API, a debugger, a cache: each loopback is a sandbox's own, the port may even be taken twice."""

    async def body(rig: Rig) -> None:
        for key in ("a", "b"):
            assert (await rig("listens", 9001, key=key)).answer is not None
        said = json.loads((await rig("tries", [["connect", 9001]], key="c")).answer)
        assert said == {"connect 9001": "ECONNREFUSED"}
        assert all(m.sandbox.alive for m in rig.runtime._members)

    attack(tmp_path, body)


# -- output


def test_endless_output_does_not_stop_the_server(tmp_path):
    """The loop must come to other things while a function prints as fast as it can."""

    async def body(rig: Rig) -> None:
        rig.lines = _Counted()
        printing = asyncio.ensure_future(rig("prints", 1.0, timeout_s=5))
        worst = 0.0
        loop = asyncio.get_running_loop()
        while not printing.done():
            at = loop.time()
            await asyncio.sleep(0.01)
            worst = max(worst, loop.time() - at)
        assert worst < 0.5
        assert (await printing).answer == b"null"

    attack(tmp_path, body)


def test_a_line_without_an_end_is_cut(tmp_path):
    async def body(rig: Rig) -> None:
        await rig("one_line")
        assert max(map(len, rig.lines)) <= 256 << 10
        assert len(rig.lines) > 1  # it is never held as a whole

    attack(tmp_path, body)


class _Counted(list):
    def extend(self, lines: Any) -> None:
        for _ in lines:
            pass


# -- what children share


def test_two_sandboxes_share_no_chance(tmp_path):
    """They are forked from one process: a generator seeded there would say the same in each."""

    async def body(rig: Rig) -> None:
        first, second = [
            json.loads((await rig("chance", False, key=key)).answer) for key in ("a", "b")
        ]
        for mine, theirs in zip(first[:4] + first[5:], second[:4] + second[5:], strict=True):
            assert mine != theirs

    attack(tmp_path, body)


def test_strict_sandboxes_share_neither_hash_seed_nor_memory_layout(tmp_path):
    """Who has learnt where things lie in one sandbox, or which keys collide, knows nothing of another."""

    async def body(rig: Rig) -> None:
        said = [json.loads((await rig("layout", key=key)).answer) for key in ("a", "b")]
        (hash_a, bytes_a, at_a, maps_a), (hash_b, bytes_b, at_b, maps_b) = said
        assert hash_a != hash_b
        assert bytes_a != bytes_b
        assert at_a != at_b
        assert not set(maps_a) & set(maps_b) - {"ffffffffff600000"}
        outcome = await rig("looks", [f"/proc/{pid}/environ" for pid in rig.runtime.pids])
        assert json.loads(outcome.answer)[1] == []

    attack(tmp_path, body, strict=True)


@needs_root
def test_a_strict_sandbox_has_every_guard(tmp_path):
    """It enters its cell from another program than the one that found out what holds here."""

    async def body(rig: Rig) -> None:
        assert (await rig("setuid")).answer.endswith(b'"EPERM"]')
        number = calls.REFUSED["unshare"][COLUMN]
        assert (await rig("call", [number, NEW_USER])).answer == b'"EPERM"'
        tries = [["write", "/proc/self/oom_score_adj"], ["tmp", 0], ["connect", 22]]
        said = list(json.loads((await rig("tries", tries)).answer).values())
        assert said == ["EACCES", "done", "ECONNREFUSED"]
        assert (await rig("fills_memory", "shared", timeout_s=20 * SLOW)).ended == ("memory", -9)
        assert (await rig("works")).answer is not None

    attack(tmp_path, body, strict=True)


def test_what_one_sandbox_changes_no_other_sees(tmp_path):
    async def body(rig: Rig) -> None:
        await rig("poisons", key="a")
        assert json.loads((await rig("poisoned", key="b")).answer)[:4] == [False] * 4

    attack(tmp_path, body)
