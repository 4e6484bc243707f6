"""Control groups of version 2, on files that look like the kernel's: where groups are made, and what is written into them.

https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from stratolite.runtime.guest import shares

KNOBS = ("memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cpu.weight", "cgroup.procs", "memory.events")  # fmt: skip
SPEC = {"memory_mb": 128, "tmp_mb": 512, "processes": 1024}


class Tree:
    """A mounted tree, and the /proc that says where we are in it."""

    def __init__(self, folder: Path, ours: str) -> None:
        self.mount, self.proc = folder / "cgroup", folder / "proc"
        (self.proc / "self").mkdir(parents=True)
        (self.proc / "self" / "cgroup").write_text(f"0::{ours}\n")
        line = f"31 23 0:28 / {self.mount} rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n"
        (self.proc / "self" / "mountinfo").write_text(line)

    def group(self, path: str, there: str, on: str, *, takes: bool = True) -> Path:
        """``takes``: whether it may hand down more; the kernel answers EBUSY where processes are in it."""
        group = self.mount / path
        group.mkdir(parents=True)
        (group / "cgroup.controllers").write_text(there)
        (group / "cgroup.subtree_control").write_text(on)
        if not takes:
            os.chmod(group / "cgroup.subtree_control", 0o444)
        return group


@pytest.fixture(autouse=True)
def kernel(monkeypatch: Any) -> None:
    """A new group has its files at once; one that processes are in refuses to hand down."""
    mkdir, opened = os.mkdir, os.open

    def made(path: str, *given: Any) -> None:
        mkdir(path, *given)
        if "stratolite-" in os.path.basename(path):
            for knob in KNOBS:
                Path(path, knob).touch()
            Path(path, "cgroup.controllers").write_text("cpu memory pids")
            Path(path, "cgroup.subtree_control").write_text("")

    def open_(path: str, flags: int, *given: Any, **more: Any) -> int:
        known = "subtree_control" in str(path) and os.path.exists(path)
        if known and not os.stat(path).st_mode & 0o200:
            raise OSError(16, "Device or resource busy")
        return opened(path, flags, *given, **more)

    monkeypatch.setattr(shares.os, "mkdir", made)
    monkeypatch.setattr(shares.os, "open", open_)


def test_a_sandbox_gets_its_share_beside_the_scope_the_server_runs_in(tmp_path):
    """As systemd has it: the session's scope is full of processes, its slice hands memory and pids down."""
    tree = Tree(tmp_path, "/user.slice/session-1.scope")
    tree.group("", "cpu memory pids", "cpu memory pids")
    slice_ = tree.group("user.slice", "cpu memory pids", "memory pids")
    tree.group("user.slice/session-1.scope", "memory pids", "", takes=False)
    found = shares.Shares(str(tree.proc))
    found.join(7, SPEC)
    (group,) = slice_.glob("stratolite-*-all/stratolite-*-7")
    assert int((group.parent / "cpu.weight").read_text()) >= 100  # as much as the server, a CPU
    said = {knob: (group / knob).read_text() for knob in KNOBS[:-1]}
    assert said == {
        "memory.max": str(640 << 20),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": "1024",
        "cpu.weight": "7",
        "cgroup.procs": "0",
    }
    on = (slice_ / "cgroup.subtree_control").read_text()
    assert on.startswith("+cpu")  # which the kernel would add to the rest
    (group / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")
    assert found.leave(7)


def test_in_the_root_of_all_our_own_group_will_do(tmp_path):
    tree = Tree(tmp_path, "/")
    root = tree.group("", "memory", "")
    shares.Shares(str(tree.proc)).join(1, SPEC)
    assert (root / "cgroup.subtree_control").read_text() == "+memory"
    assert list(root.glob("stratolite-*-all/stratolite-*-1"))


def test_where_nothing_is_handed_down_it_is_said(tmp_path):
    """A container's own root: processes are in it, and nothing is above it."""
    tree = Tree(tmp_path, "/")
    tree.group("", "memory pids", "", takes=False)
    with pytest.raises(OSError, match="no control group for memory"):
        shares.Shares(str(tree.proc))


def test_groups_of_a_zygote_that_is_gone_are_removed(tmp_path):
    tree = Tree(tmp_path, "/")
    root = tree.group("", "memory", "memory")
    # without the files that only look like the kernel's
    (root / "left" / "inside").mkdir(parents=True)
    (root / "left" / "inside").rename(root / "left" / "stratolite-4000000-3")
    (root / "left").rename(root / "stratolite-4000000-all")
    shares.Shares(str(tree.proc))
    assert not list(root.glob("stratolite-4000000-*"))
