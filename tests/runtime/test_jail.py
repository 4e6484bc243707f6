"""The jail of the programs that are given what users send: what each can still do is tried from inside."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import stratolite
from stratolite.runtime import jail
from stratolite.runtime.guest import calls, walls

SOURCES = Path(stratolite.__file__).parent
CHILDREN = sorted(SOURCES.glob("services/**/*child.py"))
PROBE = """
import ctypes, importlib.util, json, os, resource, socket, sys, threading

spec = importlib.util.spec_from_file_location("real", {program!r})
real = importlib.util.module_from_spec(spec)
spec.loader.exec_module(real)
for name in ("warm", "LAZY"):
    if hasattr(real, name):
        globals()[name] = getattr(real, name)
victim, parent = {victim!r}, os.getppid()
libc = ctypes.CDLL(None, use_errno=True)


def called(what, *given):
    if getattr(libc, what)(*given) < 0:
        raise OSError(ctypes.get_errno(), what)


TRIES = {{
    "read a file": lambda: open("/etc/passwd").close(),
    "read the environment": lambda: open("/proc/self/environ").close(),
    "read that of the server": lambda: open(f"/proc/{{parent}}/environ").close(),
    "list a folder": lambda: os.listdir("/"),
    "read its own file anew": lambda: open(victim).close(),
    "write a file": lambda: open(victim + "-made", "w").close(),
    "write to shared memory": lambda: open("/dev/shm/stratolite-jail-test", "w").close(),
    "make a folder": lambda: os.mkdir(victim + "-made"),
    "delete": lambda: os.unlink(victim),
    "rename": lambda: os.rename(victim, victim + "2"),
    "link": lambda: os.symlink("/", victim + "-made"),
    "change a mode": lambda: os.chmod(victim, 0o777),
    "change an owner": lambda: os.chown(victim, os.getuid(), os.getgid()),
    "change a time": lambda: os.utime(victim, (0, 0)),
    "change an attribute": lambda: os.setxattr(victim, "user.x", b"x"),
    "truncate": lambda: os.truncate(victim, 0),
    "TCP": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "UDP": lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM),
    "UNIX": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "a pair": lambda: socket.socketpair(),
    "a process": lambda: os.fork() or os._exit(0),
    "a program": lambda: os.posix_spawn("/bin/true", ["true"], {{}}),
    "another program": lambda: os.execv("/bin/true", ["true"]),
    "signal the server": lambda: os.kill(parent, 0),
    "limit the server": lambda: resource.prlimit(parent, resource.RLIMIT_CORE, (0, 0)),
    "trace the server": lambda: called("ptrace", 16, parent, 0, 0),
    "leave its namespaces": lambda: called("unshare", 0x10000000),
    "SysV shared memory": lambda: called("shmget", 0, 4096, 0o1600),
}}


def main():
    sys.stdin.buffer.read()
    found = {{}}
    for name, attempt in TRIES.items():
        try:
            attempt()
            found[name] = "done"
        except OSError as error:
            found[name] = error.errno
    thread = threading.Thread(target=lambda: found.update(thread="done"))
    thread.start()
    thread.join()
    sys.stdout.write(json.dumps(found))
"""


def _walls() -> list[str]:
    """Those that this machine can have."""
    found = []
    for name, make in (("files", walls.Walls), ("calls", lambda: calls.Filter(own_network=False))):
        try:
            make()
        except OSError:
            continue
        found.append(name)
    return found


whole = pytest.mark.skipif(
    sys.platform != "linux" or _walls() != ["files", "calls"], reason="walls are missing here"
)
NEEDS = {"select_child": "duckdb", "inventory_child": "pyarrow", "sam_child": "samtranslator"}


def start(program: Path, *descriptors: int, memory_bytes: int = 4 << 30, cpu_s: int = 60) -> bytes:
    command = jail.command(str(program), memory_bytes, cpu_s, descriptors)
    done = subprocess.run(
        command, input=b"", capture_output=True, env=jail.ENVIRONMENT, cwd="/", check=False, timeout=60, pass_fds=descriptors,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@whole
@pytest.mark.parametrize("child", CHILDREN, ids=lambda child: f"{child.parent.name}/{child.stem}")
def test_a_child_opens_no_files_no_sockets_and_no_programs(child, tmp_path):
    """After what it needs is imported nothing works but threads: each try ends in EPERM or EACCES."""
    pytest.importorskip(NEEDS.get(child.stem, "json"))
    victim = tmp_path / "victim"
    victim.write_text("mine")
    before = victim.stat()
    probe = tmp_path / "probe.py"
    probe.write_text(PROBE.format(program=str(child), victim=str(victim)))
    found = json.loads(start(probe))
    assert found.pop("thread") == "done"
    assert len(found) == 29
    assert {name: how for name, how in found.items() if how not in (1, 13)} == {}
    assert (victim.read_text(), victim.stat().st_mode, victim.stat().st_mtime) == ("mine", before.st_mode, before.st_mtime)  # fmt: skip
    assert not Path(f"{victim}-made").exists()


@whole
def test_a_descriptor_that_is_given_can_be_read_by_its_path_and_not_written(tmp_path):
    """A file without a name, as Select's is."""
    probe = tmp_path / "probe.py"
    probe.write_text(
        "import sys\n"
        "def main():\n"
        "    given = sys.argv[4]\n"
        "    said = open(f'/proc/self/fd/{given}').read()\n"
        "    try:\n"
        "        open(f'/proc/self/fd/{given}', 'w')\n"
        "    except OSError as error:\n"
        "        said += f' {error.errno}'\n"
        "    sys.stdout.write(said)\n"
    )
    path = tmp_path / "data"
    path.write_text("rows")
    with path.open("rb") as data:
        path.unlink()
        assert start(probe, data.fileno()) == b"rows 13"


@pytest.mark.parametrize(
    ("body", "limits"),
    [
        ("bytearray(1 << 30)", {"memory_bytes": 512 << 20}),
        ("\n    while True: pass", {"cpu_s": 1}),
    ],
    ids=["memory", "time"],
)
def test_memory_and_time_end(body, limits, tmp_path):
    probe = tmp_path / "probe.py"
    probe.write_text(f"def main():\n    {body}\n")
    with pytest.raises(AssertionError):
        start(probe, **limits)


def test_every_child_of_a_service_is_started_in_the_jail():
    """No service starts Python but by ``jail.command``, and none has rules of its own."""
    for path in SOURCES.glob("services/**/*.py"):
        names = {n.attr for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)}  # fmt: skip
        assert not names & {"executable", "setrlimit", "unshare"}, path
    users = {p.parent.name for p in SOURCES.glob("services/**/*.py") if "jail.command(" in p.read_text()}  # fmt: skip
    assert users == {child.parent.name for child in CHILDREN}


@whole
def test_all_walls_stand_where_they_can(tmp_path):
    """A namespace of its own for the network is more than every kernel gives."""
    probe = tmp_path / "probe.py"
    probe.write_text("import sys\ndef main():\n    sys.stdout.write(' '.join(sys.modules['__main__'].closed))\n")  # fmt: skip
    assert start(probe).decode().split()[-2:] == ["files", "calls"]
