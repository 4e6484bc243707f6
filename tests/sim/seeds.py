"""Which seeds to run: the same few in every test run, many new ones when soaking, one to look into a failure."""

from __future__ import annotations

import os


def seeds(count: int) -> range:
    """``count`` seeds from 0; with STRATOLITE_SOAK 20,000 new ones (SIM_COUNT others); SIM_SEED names a single one."""
    if "SIM_SEED" in os.environ:
        first = int(os.environ["SIM_SEED"])
        return range(first, first + 1)
    if "STRATOLITE_SOAK" in os.environ:
        first, count = int.from_bytes(os.urandom(4)), 20_000
    else:
        first = 0
    return range(first, first + int(os.environ.get("SIM_COUNT", count)))
