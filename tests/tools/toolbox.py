"""A tool people deploy with, unmodified, against a server process of its own: where it is, what it is told, what it said.

``STRATOLITE_TOOLS`` names the folder into which `make tools` installs them: a venv each for ``sam``, ``chalice`` and ``zappa``, and
``node`` for what comes from npm. Without it the tests skip, saying so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from live.server_process import ServerProcess

TOOLS = os.environ.get("STRATOLITE_TOOLS", "")
_COMMAND_S_MAX = 600
_WAIT_S_MAX = 120


def find(place: str) -> str:
    """The full name of ``sam/bin/sam`` and the like; skips where `make tools` has not put it."""
    path = Path(TOOLS) / place
    if not TOOLS or not path.exists():
        pytest.skip(f"{place} is not there: `make tools` installs it")
    return str(path)


class Shop:
    """A folder with a project, and the cloud it is deployed to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = ServerProcess(str(folder / "cloud"))
        self.project = folder / "project"
        self.project.mkdir()
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "AWS_ENDPOINT_URL": self.server.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_CHECK_VERSION": "false",
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "NODE_NO_WARNINGS": "1",
            "SLS_TELEMETRY_DISABLED": "1",
        }
        for name in ("PIP_INDEX_URL", "PIP_CONFIG_FILE", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "SSL_CERT_FILE", "LANG"):  # fmt: skip
            if name in os.environ:
                self.environment[name] = os.environ[name]

    def write(self, **files: str) -> None:
        """Files of the project; two underscores stand for a dot, three for a slash."""
        for name, text in files.items():
            path = self.project / name.replace("___", "/").replace("__", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def change(self, name: str, old: str, new: str) -> None:
        path = self.project / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def run(self, *command: str, fails: bool = False, says: str = "", **more: str) -> str:
        """What it printed, on both streams. Fails unless it ends as expected; ``says`` is typed for it."""
        ran = subprocess.run(
            command, cwd=self.project, env=self.environment | more, input=says, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=_COMMAND_S_MAX,
        )  # fmt: skip
        assert (ran.returncode != 0) == fails, f"{command}\n{ran.stdout[-6000:]}"
        return ran.stdout

    def client(self, service: str) -> Any:
        return self.server.client(service)

    def outputs(self, stack: str) -> dict[str, str]:
        (found,) = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        return {o["OutputKey"]: o["OutputValue"] for o in found.get("Outputs", [])}

    def stacks(self) -> set[str]:
        found = self.client("cloudformation").describe_stacks()["Stacks"]
        return {stack["StackName"] for stack in found}

    def api(self, api_id: str, path: str) -> bytes:
        return get(f"{self.server.endpoint}/_aws/execute-api/{api_id}{path}")


def get(url: str) -> bytes:
    with urlopen(url, timeout=60) as answer:
        return bytes(answer.read())


def until(what: Callable[[], Any]) -> Any:
    """What ``what`` answers once that is true. Fails after two minutes."""
    deadline = time.monotonic() + _WAIT_S_MAX
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.2)
    return found


def needs_node() -> None:
    if shutil.which("node") is None:
        pytest.skip("needs node")
