"""Three servers move money on one log of objects while they are killed at random; an auditor replays the raw log.

A run lasts BANK_SECONDS at least, and until enough has happened: on a slow machine the kills come further apart, so that a server
comes to work before the next one.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from live import bank, bucket

from stratolite.clock import World
from stratolite.core.home import Home

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]
_MEMBERS = 3
_SECONDS = float(os.environ.get("BANK_SECONDS", "90" if "STRATOLITE_SOAK" in os.environ else "6"))
_AT_MOST = _SECONDS + 240
_ENV = {**os.environ, **bucket.LOGINS, "PYTHONPATH": os.pathsep.join(sys.path)}
_SOAK = pytest.mark.skipif("STRATOLITE_SOAK" not in os.environ, reason="a soak: STRATOLITE_SOAK=1")


def _spawn(folder: Path, url: str, member: int, *, validated: bool) -> subprocess.Popen[bytes]:
    with open(folder / f"errors-{member}", "ab") as errors:
        return subprocess.Popen(
            [sys.executable, bank.__file__, str(folder), url, str(member)]
            + ([] if validated else ["unvalidated"]),
            stderr=errors,
            env=_ENV,
        )


def _open_bank(folder: Path, url: str) -> None:
    async def main() -> None:
        db = Home(f"{folder}/founder", World(), url).database()
        db.start()
        await db.transact(bank.found)
        await db.close()

    asyncio.run(main())


def _run(
    folder: Path,
    url: str,
    seconds: float,
    *,
    kill: bool,
    validated: bool,
    enough: Callable[[], bool],
) -> int:
    """Servers at work, and killed, for so long and until it is enough; gives the number of kills."""
    rand, kills, pause = random.Random(), 0, 1.0
    servers = [_spawn(folder, url, m, validated=validated) for m in range(_MEMBERS)]
    try:
        begin = time.monotonic()
        while (taken := time.monotonic() - begin) < seconds or not enough():
            assert taken < _AT_MOST, f"after {taken:.0f} s and {kills} kills it is not enough yet"
            pause *= 1.0 if taken < seconds else 1.3
            time.sleep(pause * rand.uniform(0.3, 1.2))
            for member, server in enumerate(servers):
                assert server.poll() is None, (folder / f"errors-{member}").read_text()[-2000:]
            if not kill:
                continue
            member = rand.randrange(_MEMBERS)
            servers[member].kill()
            servers[member].wait()
            kills += 1
            if rand.random() < 0.3:  # the store is lost altogether
                shutil.rmtree(folder / f"member-{member}", ignore_errors=True)
            servers[member] = _spawn(folder, url, member, validated=validated)
    finally:
        for server in servers:
            server.kill()
            server.wait()
    return kills


def _killed(folder: Path, url: str) -> int:
    """A run with kills until two servers at least have had transactions acknowledged, and 50 together."""

    def enough() -> bool:
        each = [len(_acked(folder, member)) for member in range(_MEMBERS)]
        return sum(each) > 50 and sum(map(bool, each)) > 1

    return _run(folder, url, _SECONDS, kill=True, validated=True, enough=enough)


def _acked(folder: Path, member: int) -> list[bytes]:
    written = folder / f"acked-{member}"
    return written.read_bytes().split(b"\n")[:-1] if written.exists() else []


def _check(folder: Path, url: str, kills: int) -> None:
    audit = bank.Audit().read(url)
    assert not audit.wrong, audit.wrong[:5]
    acked = [uid for member in range(_MEMBERS) for uid in _acked(folder, member)]
    lost = [uid for uid in acked if uid not in audit.where]
    assert not lost, lost[:5]
    assert len(set(acked)) == len(acked)
    assert len(acked) > 50
    assert len(audit.writers) > 2  # the founder and at least two of the servers
    for member in range(_MEMBERS):
        home = Home(f"{folder}/member-{member}", World(), url)
        db = home.database()
        assert dict(db.peek(lambda tx: list(tx.scan((b"", b"\xff"))))) == audit.state
    print(f"entries={audit.position} acked={len(acked)} kills={kills} writers={len(audit.writers)}")


def test_nothing_acknowledged_is_lost_and_every_state_is_sound(tmp_path):
    """SIGKILLs at random, a third of them with the store wiped, over a folder of objects."""
    url = f"file://{tmp_path}/shared"
    _open_bank(tmp_path, url)
    kills = _killed(tmp_path, url)
    _check(tmp_path, url, kills)


@pytest.mark.parametrize(
    "bucket_url",
    ["s3", *(pytest.param(kind, marks=_SOAK) for kind in ("gs", "az"))],
    indirect=True,
)
def test_the_same_over_a_bucket(tmp_path, bucket_url):
    """Create-only PUT over HTTP instead of link(2), and 4 % of the PUTs answered 500, half of those carried out."""
    _open_bank(tmp_path, bucket_url)
    kills = _killed(tmp_path, bucket_url)
    _check(tmp_path, bucket_url, kills)


def test_without_validation_the_auditor_finds_it(tmp_path):
    """Negative control: stale write sets appended after lost races must not pass the audit."""
    url = f"file://{tmp_path}/shared"
    _open_bank(tmp_path, url)
    _run(
        tmp_path,
        url,
        0.0,
        kill=False,
        validated=False,
        enough=lambda: bool(bank.Audit().read(url).wrong),
    )


@pytest.fixture
def bucket_url(request, monkeypatch):
    """A prefix in a bucket that loses some answers."""
    for name, value in bucket.LOGINS.items():
        monkeypatch.setenv(name, value)
    with bucket.serving() as port:
        yield bucket.url_of(request.param, port, "log")
