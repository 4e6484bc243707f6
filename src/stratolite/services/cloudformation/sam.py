"""Applies the transform AWS::Serverless-2016-10-31 through the official translator, in a child process.

One child for the whole process, started when a template needs it, kept for ``SAM_IDLE_S`` and then ended; a
template that takes longer than ``SAM_TIME_S_MAX`` ends it at once. It is spoken to from a worker thread.
Source  https://github.com/aws/serverless-application-model
"""

from __future__ import annotations

import asyncio
import atexit
import os
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.runtime import jail
from stratolite.service import Call
from stratolite.services.cloudformation.places import Misplaced
from stratolite.services.cloudformation.quotas import (
    SAM_ANSWER_BYTES_MAX,
    SAM_IDLE_S,
    SAM_MEMORY_BYTES_MAX,
    SAM_TIME_S_MAX,
)
from stratolite.services.cloudformation.template import SAM

_PROGRAM = f"{os.path.dirname(__file__)}/sam_child.py"


async def transform(raw: dict[str, Any], parameters: dict[str, Any], region: str) -> dict[str, Any]:
    """The template without SAM's types. Raises Fault ValidationError with all that is wrong with it."""
    return await asyncio.to_thread(transform_now, raw, parameters, region)


def transform_now(raw: dict[str, Any], parameters: dict[str, Any], region: str) -> dict[str, Any]:
    """The same, blocking."""
    request = orjson.dumps({"template": raw, "parameters": parameters, "region": region})
    answer = _CHILD.ask(request)
    if errors := answer.get("errors"):
        raise Fault(
            "ValidationError",
            f"Transform {SAM} failed with: Invalid Serverless Application Specification document. Number of"
            f" errors found: {len(errors)}. {' '.join(sorted(map(str, errors)))}",
        )
    made: dict[str, Any] = answer["template"]
    return made


async def locate_applications(
    call: Call, raw: dict[str, Any], resolve: Callable[[Any], Any]
) -> dict[str, Any]:
    """The template with every application of the Serverless Application Repository named by its template's URL."""
    resources = dict(raw.get("Resources") or {})
    for name, resource in resources.items():
        if not isinstance(resource, dict) or resource.get("Type") != "AWS::Serverless::Application":
            continue
        properties = resource.get("Properties") or {}
        location = properties.get("Location")
        if not isinstance(location, dict) or "ApplicationId" not in location:
            continue
        wanted = resolve(
            {k: location[k] for k in ("ApplicationId", "SemanticVersion") if k in location}
        )
        try:
            answer = await call.request(
                "serverlessrepo", "CreateCloudFormationTemplate", dict(wanted)
            )
        except Fault as fault:
            raise Misplaced(
                f"Transform {SAM} failed with: Resource with id [{name}] is invalid. {fault.message}",
                ("Resources", name, "Properties", "Location"),
            ) from fault
        resources[name] = {
            **resource,
            "Properties": {**properties, "Location": answer["TemplateUrl"]},
        }
    return {**raw, "Resources": resources}


class _Child:
    """The translator's process, one request at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._idle: threading.Timer | None = None

    def ask(self, request: bytes) -> dict[str, Any]:
        with self._lock:
            if self._idle is not None:
                self._idle.cancel()
            if self._process is None or self._process.poll() is not None:
                self._end()
                self._process = self._start()
            process = self._process
            assert process.stdin is not None
            assert process.stdout is not None
            limit = _timer(SAM_TIME_S_MAX, process.kill)
            try:
                process.stdin.write(request + b"\n")
                process.stdin.flush()
                line = process.stdout.readline(SAM_ANSWER_BYTES_MAX)
            except BrokenPipeError:
                line = b""
            finally:
                limit.cancel()
            if not line.endswith(b"\n"):
                self._end()
                raise Fault(
                    "ValidationError",
                    f"Transform {SAM} failed with: the template takes more than {SAM_TIME_S_MAX:.0f} s,"
                    f" {SAM_MEMORY_BYTES_MAX >> 20} MiB or {SAM_ANSWER_BYTES_MAX >> 20} MiB of result",
                )
            self._idle = _timer(SAM_IDLE_S, self.close)
            answer: dict[str, Any] = orjson.loads(line)
            return answer

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own file, run by our own interpreter
            jail.command(_PROGRAM, SAM_MEMORY_BYTES_MAX, option="-P"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={
                "PATH": os.defpath,
                "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONHASHSEED": "0",
                "AWS_CONFIG_FILE": os.devnull,
                "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
                "AWS_EC2_METADATA_DISABLED": "true",
            },
        )

    def close(self) -> None:
        with self._lock:
            if self._idle is not None:
                self._idle.cancel()
            self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


def _timer(seconds: float, action: Any) -> threading.Timer:
    timer = threading.Timer(seconds, action)
    timer.daemon = True
    timer.start()
    return timer


_CHILD = _Child()
atexit.register(_CHILD.close)
