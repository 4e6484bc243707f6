"""Where functions cannot be contained wholly, `up`, the health page and `status` say so in one line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from lambdas import create
from live.server_process import SRC

ORDINARY = Path(__file__).parents[1] / "runtime" / "ordinary.py"
IS_ROOT = os.geteuid() == 0
pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]


USER = "functions are not fully contained here (not root): no user id of their own, memory and processes counted one by one"
REFUSED = (
    "functions are not fully contained here ([Errno 1] unshare user: Operation not permitted): no user id of their own, they"
    " see other processes, no root folder of their own, they share /tmp with everybody and may fill it, they reach the"
    " server's port anywhere and may use the default keys, memory and processes counted one by one"
)
CODE = """
import boto3, botocore.exceptions

def handler(event, context):
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "aws_session_token": None} if event else {}
    try:
        return boto3.client("sts", **keys).get_caller_identity()["Arn"].split(":", 5)[5]
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"]
"""


def invoked(endpoint: str) -> list[Any]:
    """Who a function is by its role's keys, and by the default keys."""

    def client(service: str) -> Any:
        return boto3.client(
            service, endpoint_url=endpoint, region_name="us-east-1",
            aws_access_key_id="test", aws_secret_access_key="test",
            config=Config(read_timeout=300, retries={"total_max_attempts": 1}),
        )  # fmt: skip

    create(client, "who", CODE, Timeout=200, MemorySize=256)
    said = []
    for event in (False, True):
        answer = client("lambda").invoke(FunctionName="who", Payload=json.dumps(event))
        said.append(json.loads(answer["Payload"].read()))
    return said


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that others reach: pytest shuts its own with every run that starts."""
    made = Path(tempfile.mkdtemp(dir="/var/tmp"))
    os.chmod(made, 0o777)
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize(
    ("who", "line", "with_default_keys"),
    [
        pytest.param(
            "root", "contained", "InvalidClientTokenId",
            marks=pytest.mark.skipif(not IS_ROOT, reason="needs root"),
        ),
        ("user", USER, "InvalidClientTokenId"),
        ("user/refused", REFUSED, "root"),
    ],
)  # fmt: skip
def test_a_server_says_which_guards_are_missing(folder, who, line, with_default_keys):
    """And so it is: a function is its role, and where the line says so, root as well for who asks."""
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
            try:
                said = invoked(endpoint)
            except ClientError as error:
                raise AssertionError((folder / "stderr").read_text()[-2000:]) from error
            assert said == ["assumed-role/function-role/who", with_default_keys]
        finally:
            server.terminate()
            server.stdout.close()
            assert server.wait(120) == 0
