"""A real server process on a folder: started, killed, asked through real SDKs over real sockets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

SRC = str(Path(__file__).parents[2] / "src")


class ServerProcess:
    stderr_path = ""

    def __init__(self, folder: str, *options: str) -> None:
        self.folder, self.options = folder, options
        self.port = 0
        self.start()

    def start(self) -> None:
        """Raises AssertionError if it does not say it is ready. ``started_s`` is how long that took."""
        began = time.monotonic()
        command = [
            sys.executable,
            "-m",
            "stratolite",
            "up",
            "--data",
            self.folder,
            "--port",
            str(self.port),
            *self.options,
        ]
        environment = os.environ | {"PYTHONPATH": SRC}
        path = self.stderr_path or f"{self.folder}.stderr"
        self.log = open(path, "ab")  # noqa: SIM115 - closed with the process
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment
        )
        line = self.process.stdout.readline()
        assert line.startswith("ready "), (line, Path(path).read_text()[-2000:])
        self.started_s = time.monotonic() - began
        self.endpoint = line.split()[1]
        self.port = int(self.endpoint.rsplit(":", 1)[1])

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._closed()

    def stop(self) -> int:
        self.process.terminate()
        code = self.process.wait(120)
        self._closed()
        return code

    def _closed(self) -> None:
        self.process.stdout.close()
        self.log.close()

    def client(self, service: str, **config: Any) -> Any:
        settings = {
            "s3": {"addressing_style": "path"},
            "retries": {"total_max_attempts": 1},
            "connect_timeout": 5,
            "read_timeout": 20,
        }
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(**(settings | config)),
        )
