"""How to start a program of ours in a jail (``guest/jail.py`` says what that keeps it from)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

_PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "guest", "jail.py")
ENVIRONMENT = {"PATH": "", "HOME": "/nonexistent", "LANG": "C.UTF-8", "ARROW_DEFAULT_MEMORY_POOL": "system"}  # fmt: skip
"""All of it: the server's own may hold credentials."""


def command(
    program: str,
    memory_bytes: int,
    cpu_s: float = 0,
    descriptors: Sequence[int] = (),
    *,
    option: str = "-I",
) -> list[str]:
    """To be started with ``ENVIRONMENT``, in ``/``, and the ``descriptors`` it may read passed on; 0 seconds are any."""
    numbers = [memory_bytes, int(cpu_s), *descriptors]
    return [sys.executable, option, _PROGRAM, program, *map(str, numbers)]
