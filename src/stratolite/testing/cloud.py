"""The cloud of a test: started as a process of its own, talked to as any client would."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

_READY_S = 30.0
_STOP_S = 20.0
_KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
_FOREIGN = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")


class Invocation(NamedTuple):
    """What a function answered. ``error`` is the error's document if it failed, else None."""

    payload: Any
    error: dict[str, Any] | None


class Cloud:
    """A running server. Use it in a ``with``, or ``start`` and ``stop`` it."""

    def __init__(self, region: str = "us-east-1", *options: str) -> None:
        """``options`` are further words for ``stratolite up``, e.g. ``"--egress", "127.0.0.1:8080"``."""
        self.region, self._options = region, options
        self.endpoint = ""
        self.clock = Clock(self)
        self._process: subprocess.Popen[str] | None = None
        self._folder = ""

    def launch(self) -> Cloud:
        """Begin to start, without waiting for it."""
        self._folder = tempfile.mkdtemp(prefix="stratolite-test-")
        self._spawn(port=0)
        return self

    def _spawn(self, port: int) -> None:
        words = [sys.executable, "-m", "stratolite", "up", "--data", f"{self._folder}/data", "--port", str(port)]  # fmt: skip
        log = open(f"{self._folder}/log", "a")  # noqa: SIM115 - the process keeps it
        with log:
            _alone(log)  # until the last of its processes has gone
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [*words, *self._options],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=_plain(os.environ),
            )

    def start(self) -> Cloud:
        """Raises RuntimeError, with what the server said, if it does not come up."""
        if self._process is None:
            self.launch()
        process = self._process
        assert process is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("ready "):
            process.wait(_READY_S)
            with open(f"{self._folder}/log") as log:
                said = log.read()
            self.stop()
            raise RuntimeError(f"the cloud did not start: {line}{said}")
        self.endpoint = line.split()[1]
        return self

    def kill(self) -> None:
        """SIGKILL, as a crash would; ``restart`` brings back all that was acknowledged."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        """Again on the same folder and port, after ``kill`` or from running."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(_STOP_S)
        if self._process.stdout:
            self._process.stdout.close()
        self._spawn(int(self.endpoint.rpartition(":")[2]))
        self.start()

    def stop(self) -> None:
        """End the server and delete what it kept."""
        process, self._process = self._process, None
        if process is not None:
            if process.poll() is None:
                process.kill()  # nothing of it will be read again
            process.wait()
            if process.stdout:
                process.stdout.close()
        if self._folder:
            with open(f"{self._folder}/log", "a") as log:
                _alone(log)  # its zygote ends a moment after it, and may still be making folders
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # -- talking to it

    @property
    def environment(self) -> dict[str, str]:
        """What leads AWS SDKs and tools to this cloud."""
        from stratolite.cli.target import control_endpoint

        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ENDPOINT_URL_S3_CONTROL": control_endpoint(self.endpoint),
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",  # StartSyncExecution's sync-HOST
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            **_KEYS,
        }

    def client(self, service: str, **options: Any) -> Any:
        """A boto3 client; ``options`` as of ``boto3.client``."""
        return self._session().client(service, **self._options_of(service, options))

    def resource(self, service: str, **options: Any) -> Any:
        """A boto3 resource."""
        return self._session().resource(service, **self._options_of(service, options))

    def _session(self) -> Any:
        import boto3

        names = {name.lower(): value for name, value in _KEYS.items()}
        return boto3.Session(region_name=self.region, **names)

    def _options_of(self, service: str, options: Mapping[str, Any]) -> dict[str, Any]:
        from botocore.config import Config

        from stratolite.cli.target import control_endpoint

        plain = Config(inject_host_prefix=False)
        config = plain.merge(Config(s3={"addressing_style": "path"})) if service == "s3" else plain
        endpoint = control_endpoint(self.endpoint) if service == "s3control" else self.endpoint
        made = {"endpoint_url": endpoint, "config": config}
        return made | dict(options)

    def command(self, *words: str) -> str:
        """What ``stratolite WORDS`` prints. Raises RuntimeError with its complaint if it fails."""
        done = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "stratolite", *words],
            env=_plain(os.environ) | self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"stratolite {' '.join(words)}: {done.stderr or done.stdout}")
        return done.stdout

    def deploy(self, template: str | os.PathLike[str], stack_name: str | None = None, **parameters: str) -> dict[str, str]:  # fmt: skip
        """Package and deploy a template, SAM or plain; its outputs. Raises RuntimeError if it fails."""
        words = ["deploy", os.fspath(template), "--json"]
        if stack_name:
            words += ["--stack-name", stack_name]
        for name, value in parameters.items():
            words += ["--parameter", f"{name}={value}"]
        outputs: dict[str, str] = json.loads(self.command(*words))["outputs"]
        return outputs

    def invoke(self, function: str, event: Any = None) -> Invocation:
        """Call a function and wait for it."""
        answer = self.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
        payload = json.loads(answer["Payload"].read() or b"null")
        if "FunctionError" in answer:
            return Invocation(None, payload)
        return Invocation(payload, None)


class Clock:
    """The cloud clock, which goes forward only: TTL, schedules, retention, retries and visibility go by it."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def time_s(self) -> float:
        """Seconds since the epoch."""
        return float(self._own("GET")["time_s"])

    def advance(self, span: float | str) -> float:
        """By seconds, or ``15m``, ``2h30m``, ``7d``; the time it is then."""
        from stratolite.cli.clock import seconds

        advance_s = seconds(span) if isinstance(span, str) else float(span)
        return float(self._own("POST", {"advance_s": advance_s})["time_s"])

    def _own(self, method: str, document: dict[str, Any] | None = None) -> dict[str, Any]:
        from stratolite.cli import target

        cloud = self._cloud
        return target.own(method, "clock", cloud.endpoint, cloud.region, document, ("test", "test"))


def _alone(log: IO[str]) -> None:
    """Wait, for a while, until no process holds this file as its log; then hold it so."""
    end_s = time.monotonic() + _STOP_S  # noqa: TID251 - a test's cloud lives in real time
    while time.monotonic() < end_s:  # noqa: TID251
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)  # processes inherit it with their log
            return
        except BlockingIOError:
            time.sleep(0.002)  # noqa: TID251


def _plain(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in _FOREIGN}
