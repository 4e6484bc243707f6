"""What a large SAM template costs in memory: the translator is a child, and it and the server stay small."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest
from live.server_process import ServerProcess

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]
PEAK_MB_MAX = 300


def test_the_peak_while_translating_is_below_300_mb(tmp_path: Path) -> None:
    """The kernel's own high-water marks, of the server and every process it started, added up."""
    event = {"Type": "HttpApi", "Properties": {"Method": "get"}}
    functions = {
        f"F{n}": {
            "Type": "AWS::Serverless::Function",
            "Properties": {
                "Runtime": "python3.11",
                "Handler": "index.handler",
                "InlineCode": "def handler(e, c): return 1",
                "Events": {"A": event | {"Properties": {"Path": f"/{n}", "Method": "get"}}},
            },
        }
        for n in range(100)
    }
    body = json.dumps({"Transform": "AWS::Serverless-2016-10-31", "Resources": functions})
    server = ServerProcess(str(tmp_path / "cloud"))
    try:
        cloudformation = server.client("cloudformation", read_timeout=200)
        cloudformation.create_change_set(
            StackName="s", ChangeSetName="c", ChangeSetType="CREATE", TemplateBody=body,
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )  # fmt: skip
        pages = cloudformation.get_paginator("describe_change_set")
        found = pages.paginate(StackName="s", ChangeSetName="c").build_full_result()
        assert len(found["Changes"]) == 302  # function, role and permission of each, API, stage
        parent = psutil.Process(server.process.pid)
        processes = [parent, *parent.children(recursive=True)]
        assert any("sam_child" in " ".join(p.cmdline()) for p in processes)
        assert sum(_peak_mb(p.pid) for p in processes) < PEAK_MB_MAX
    finally:
        server.stop()


def _peak_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1000
    return 0.0
