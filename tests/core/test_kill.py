"""SIGKILL at any moment: every acknowledged job is settled once, every linked blob is there and whole."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time

import pytest
from core import kill_victim
from core.kill_victim import Victim


@pytest.mark.live
def test_killed_at_any_moment_jobs_and_blobs_are_what_was_acknowledged(tmp_path):
    """Real processes, real files; the moments are chance, what must hold is not."""
    acknowledged, chance, run = [], random.Random(7), 0
    while run < 6 or len(acknowledged) <= 50:
        assert run < 200, "too slow to acknowledge anything"
        command = [sys.executable, kill_victim.__file__, str(tmp_path), f"run{run}"]
        env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as child:
            assert child.stdout.readline() == "open\n"
            time.sleep((0.05 + chance.random() * 0.3) * max(1, run / 6))
            child.kill()
            acknowledged += [line.split()[1] for line in child.stdout if line.endswith("\n")]
        run += 1

    async def audit():
        victim = Victim(str(tmp_path))
        rows = {}
        for _ in range(3000):
            rows = dict(await victim.db.transact(lambda tx: list(tx.scan((b"blob/", b"d")))))
            if all(rows.get(b"count/" + key[5:]) for key in rows if key.startswith(b"blob/")):
                break
            await asyncio.sleep(0.02)
        names = {key[5:].decode() for key in rows if key.startswith(b"blob/")}
        assert names >= set(acknowledged)
        for name in names:
            assert rows[b"count/" + name.encode()] == b"1"
            blob_id = rows[b"blob/" + name.encode()].decode()
            assert await victim.blobs.read(blob_id) == b"new " + name.encode()
        await victim.close()

    asyncio.run(audit())
