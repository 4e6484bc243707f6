"""Servers under measurement: start one, know its processes' CPU time and memory, stop it.

`make bench` installs the peers under bench/out/peers (or STRATOLITE_PEERS): venv/bin/moto_server and ministack,
node_modules/.bin/dynalite, s3rver and kinesalite. What is missing is left out of the tables and said so.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
PEERS = Path(os.environ.get("STRATOLITE_PEERS", ROOT / "bench" / "out" / "peers"))
BINS = (PEERS / "venv" / "bin", Path(sys.executable).parent)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def program(name: str) -> str | None:
    """Where a peer's command is, None if it is not on this machine."""
    return next((str(folder / name) for folder in BINS if (folder / name).exists()), None)


class Server:
    """A process tree that answers HTTP on ``port``."""

    name = ""
    keys = ("test", "test")
    """Access key id and secret it lets in."""

    def __init__(self, **options):
        self.options = options
        self.port = free_port()
        self.folder = tempfile.mkdtemp(prefix=f"bench-{self.name}-", dir=options.get("place"))
        self._start()

    def _start(self):
        began = time.monotonic()
        environment = os.environ | self.environment()
        log = open(f"{self.folder}.log", "wb")
        self.process = subprocess.Popen(
            self.command(),
            stdout=subprocess.PIPE if self.says_ready else log,
            stderr=log,
            env=environment,
            cwd=self.folder,
        )
        if self.says_ready:
            line = self.process.stdout.readline()
            assert line.startswith(b"ready"), Path(f"{self.folder}.log").read_text()[-2000:]
        else:
            self._wait()
        self.start_ms = (time.monotonic() - began) * 1000

    says_ready = False

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {}

    @classmethod
    def available(cls) -> bool:
        return True

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _wait(self):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as s:
                    s.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                    if s.recv(1):
                        return
            except OSError:
                time.sleep(0.005)
        raise RuntimeError(f"{self.name} did not start")

    def tree(self) -> list[psutil.Process]:
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def cpu_s(self) -> float:
        """User and system time of all its processes, in seconds; to the nanosecond where the system tells."""
        total_s = 0.0
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess, OSError):
                if (
                    sys.platform == "linux"
                ):  # the CPU clock of a process, see clock_getcpuclockid(3)
                    total_s += time.clock_gettime(~process.pid << 3 | 2)
                else:
                    total_s += sum(process.cpu_times()[:2])
        return total_s

    def pss_mb(self) -> float:
        """Proportional share of all its processes' memory."""
        return sum(p.memory_full_info().pss for p in self.tree()) / 1e6

    def stop(self):
        for process in reversed(self.tree()):
            with contextlib.suppress(psutil.NoSuchProcess):  # it went with its parent
                process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Stratolite(Server):
    name = "stratolite"
    says_ready = True

    def command(self):
        words = ["up", "--data", f"{self.folder}/data", "--port", str(self.port)]
        if "sync_ms" in self.options:
            return [
                sys.executable,
                str(ROOT / "bench" / "slow_sync.py"),
                str(self.options["sync_ms"]),
                *words,
            ]
        return [sys.executable, "-m", "stratolite", *words]

    def environment(self):
        return {"PYTHONPATH": str(ROOT / "src"), "STRATOLITE_KEYS": f"{self.folder}/keys"}

    def again(self, lose_store=False):
        """kill -9 and start; ``lose_store`` removes what is only a view, as power loss would."""
        self.process.kill()
        self.process.wait()
        if lose_store:
            shutil.rmtree(f"{self.folder}/data/store")
        self._start()


class Moto(Server):
    name = "moto"

    @classmethod
    def available(cls):
        return program("moto_server") is not None

    def command(self):
        return [str(program("moto_server")), "-H", "127.0.0.1", "-p", str(self.port)]


class MiniStack(Server):
    name = "ministack"

    @classmethod
    def available(cls):
        return program("ministack") is not None

    def command(self):
        return [str(program("ministack"))]

    def environment(self):
        return {"GATEWAY_PORT": str(self.port), "BIND_HOST": "127.0.0.1", "LOG_LEVEL": "ERROR"}


class _Node(Server):
    @classmethod
    def available(cls):
        return (PEERS / "node_modules" / ".bin" / cls.name).exists() and shutil.which(
            "node"
        ) is not None

    def _program(self):
        return ["node", str((PEERS / "node_modules" / ".bin" / self.name).resolve())]


class Dynalite(_Node):
    name = "dynalite"

    def command(self):
        return [
            *self._program(),
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--createTableMs",
            "0",
        ]


class Kinesalite(_Node):
    name = "kinesalite"

    def command(self):
        words = ["--port", str(self.port), "--createStreamMs", "0", "--shardLimit", "1000"]
        return [*self._program(), *words]


class S3rver(_Node):
    name = "s3rver"
    keys = ("S3RVER", "S3RVER")

    def command(self):
        words = [
            "-d",
            self.folder,
            "-a",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-s",
            "--allow-mismatched-signatures",
        ]
        return [*self._program(), *words, "--no-vhost-buckets"]
