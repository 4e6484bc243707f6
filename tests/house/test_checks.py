"""The checks every change passes, as tests, so that `make test` is all there is to run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "format", "--check", "."],
        ["ruff", "check", "."],
        ["mypy"],
        ["lint-imports", "--no-cache"],
        ["python", "docs/make_coverage.py", "--check"],
        ["python", "docs/make_resources.py", "--check"],
    ],
    ids=lambda c: " ".join(c[:2]),
)
def test_check(command):
    """Format, lint, types, the direction of imports between rooms, and docs that cannot lag."""
    done = subprocess.run(
        [BIN / command[0], *command[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": "src"},
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]


@pytest.mark.parametrize(
    "example", sorted(p.parent for p in ROOT.glob("examples/*/template.yaml")), ids=lambda p: p.name
)
def test_example_templates_pass_cfn_lint(example):
    """They and the applications in them name nothing that AWS would not accept."""
    templates = sorted(example.rglob("template.yaml"))
    done = subprocess.run([BIN / "cfn-lint", *templates], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
