"""What the examples' demo files share: a running server, the stratolite command, plain HTTP.

Each example has a ``demo.py`` beside its template with ``drive(cloud)``: deploy it, use it with real input, ``check``
every answer, ``say`` what came of it. ``make demo`` runs them all.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config

HERE = Path(__file__).resolve().parent
STRATOLITE = [sys.executable, "-m", "stratolite"]


class Cloud:
    """A running server on a folder and a free port."""

    def __init__(self, folder):
        self.folder = folder
        self.start(port=0)

    def start(self, port):
        began = time.monotonic()
        command = [*STRATOLITE, "up", "--data", self.folder, "--port", str(port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        check(line.startswith("ready "), f"the server said {line!r}")
        self.endpoint = line.split()[1]
        say(f"{line.strip()}  ({(time.monotonic() - began) * 1000:.0f} ms)")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        check(self.process.wait(20) == 0, "the server did not stop cleanly")

    def client(self, service):
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(s3={"addressing_style": "path"}),
        )

    def command(self, *words):
        environment = os.environ | {"AWS_ENDPOINT_URL": self.endpoint}
        environment.pop("AWS_PROFILE", None)
        environment |= {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }
        done = subprocess.run(
            [*STRATOLITE, *words], env=environment, capture_output=True, text=True
        )
        check(done.returncode == 0, f"stratolite {' '.join(words)}: {done.stderr or done.stdout}")
        return done.stdout

    def deploy(self, example):
        began = time.monotonic()
        out = json.loads(self.command("deploy", str(HERE / example / "template.yaml"), "--json"))
        say(f"{example}: {out['status']} in {time.monotonic() - began:.1f} s")
        return out["outputs"]


def say(text):
    print(text, flush=True)


def check(good, complaint):
    if not good:
        print(f"demo failed: {complaint}", file=sys.stderr)
        sys.exit(1)


def ask(method, url, body=None, headers=None):
    """(status, parsed JSON or text)."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        url, data, {"content-type": "application/json"} | (headers or {}), method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            status, kind, raw = answer.status, answer.headers.get("content-type", ""), answer.read()
    except urllib.error.HTTPError as error:
        status, kind, raw = error.code, error.headers.get("content-type", ""), error.read()
    text = raw.decode()
    return status, json.loads(text) if "json" in kind and text else text
