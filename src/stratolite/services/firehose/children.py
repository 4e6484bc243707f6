"""Starts the child for one request: jq and pyarrow, away from the server's memory and loop."""

from __future__ import annotations

import asyncio
import os
import subprocess
from typing import Any

import msgspec

from stratolite.runtime import jail
from stratolite.services.firehose.quotas import CHILD_MEMORY_BYTES_MAX, CHILD_TIME_S_MAX

_PROGRAM = f"{os.path.dirname(__file__)}/child.py"


class ChildFailed(Exception):
    """The request could not be done: says why."""


async def ask(request: dict[str, Any]) -> dict[str, Any]:
    """Raises ChildFailed."""
    return await asyncio.to_thread(_ask, msgspec.msgpack.encode(request))


def _ask(request: bytes) -> dict[str, Any]:
    command = jail.command(_PROGRAM, CHILD_MEMORY_BYTES_MAX, CHILD_TIME_S_MAX)
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            command,
            input=request,
            capture_output=True,
            env=jail.ENVIRONMENT,
            cwd="/",
            timeout=CHILD_TIME_S_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ChildFailed(f"it took longer than {CHILD_TIME_S_MAX:.0f} s") from error
    if done.returncode != 0:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise ChildFailed(f"the child ended with {done.returncode}: {last[:300]}")
    answer: dict[str, Any] = msgspec.msgpack.decode(done.stdout)
    if "error" in answer:
        raise ChildFailed(answer["error"])
    return answer
