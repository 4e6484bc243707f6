"""Where functions cannot be contained wholly, `up`, the health page and `status` say so in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
from live.server_process import SRC

ORDINARY = Path(__file__).parents[1] / "runtime" / "ordinary.py"
IS_ROOT = os.geteuid() == 0
pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]


@pytest.mark.parametrize(
    ("who", "line"),
    [
        pytest.param("root", "contained", marks=pytest.mark.skipif(not IS_ROOT, reason="needs root")),
        ("user", ("functions are not fully contained here (not root): no user id of their own, memory and processes "
         "counted one by one")),
        ("user/refused", ("functions are not fully contained here ([Errno 1] unshare user: Operation not permitted): no "
         "user id of their own, they see other processes, no root folder of their own, they reach the network, memory "
         "and processes counted one by one")),
    ],
)  # fmt: skip
def test_a_server_says_which_guards_are_missing(tmp_path_factory, who, line):
    folder = tmp_path_factory.mktemp("missing")
    if IS_ROOT:  # and will be somebody else
        for each in folder.parents[:3]:
            os.chmod(each, 0o755)
        os.chmod(folder, 0o777)
    environment = {
        "PYTHONPATH": SRC,
        "PYTHONDONTWRITEBYTECODE": "1",
        "STRATOLITE_KEYS": f"{folder}/keys",
    }
    command = [sys.executable, str(ORDINARY), who, str(folder), "up"]
    with open(folder / "stderr", "w+b") as stderr:
        server = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment
        )
        try:
            said = server.stdout.readline()
            assert said.startswith("ready "), (folder / "stderr").read_text()[-2000:]
            endpoint = said.split()[1]
            for _ in range(2_000):  # its zygote starts behind the ready line
                with urlopen(f"{endpoint}/_stratolite/health", timeout=60) as answer:
                    health = json.load(answer)
                if "functions" in health:
                    break
                time.sleep(0.05)
            assert health["functions"] == line
            shown = subprocess.run(
                [sys.executable, "-m", "stratolite", "status", "--endpoint", endpoint],
                capture_output=True, text=True, env=environment | {"HOME": str(folder)}, check=True,
            ).stdout  # fmt: skip
            assert f"functions  {line}" in shown
            assert (folder / "stderr").read_text().strip() == ("" if line == "contained" else line)
        finally:
            server.terminate()
            server.stdout.close()
            assert server.wait(120) == 0
