"""A shop for each test: an empty project and an empty cloud."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tools.toolbox import TOOLS, Shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    if not TOOLS:
        pytest.skip("`make tools` installs the tools, and sets STRATOLITE_TOOLS")
    made = Shop(tmp_path)
    yield made
    made.server.stop()
