"""Functions that change what the server is just using: files, links, pipes, ports, processes; by who the server is.

Each race really runs (``racing``), for so many rounds, and each goes the other way when its guard is taken away: Landlock for
the files and pipes, the filter of calls for the ports, ``kill_strays`` for the daemons, ``scratch`` for what is left in /tmp and
O_NOFOLLOW in there for what is opened to be emptied.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import Any

import pytest
from runtime.test_attacks_as import HERE, ROOT, ROOT_REFUSED, SCRIPT, USER_REFUSED, pytestmark  # noqa: F401

from stratolite.runtime import scratch

WITHOUT_NAMESPACES = [who for who in HERE if who in (USER_REFUSED, ROOT_REFUSED)]


def race(who: str, name: str) -> dict[str, Any]:
    folder = tempfile.mkdtemp(
        dir="/var/tmp"
    )  # /tmp itself is open to functions in two of the modes
    try:
        os.chmod(folder, 0o777)
        ran = subprocess.run(
            [sys.executable, str(SCRIPT), who, folder, "race", name],
            capture_output=True, text=True, timeout=300, env={"PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr[-2000:]
        return json.loads(ran.stdout)
    finally:
        assert scratch.remove(folder)


@pytest.mark.parametrize("who", HERE)
def test_nothing_is_swapped_while_it_is_unpacked_mounted_or_tidied_up(who):
    """Bundles and layers, twice at once; cold starts from them; the cache's pruning; another function's files."""
    result = race(who, "swapping")
    assert result["attack"] == []
    assert len(result["victims"]) >= 6
    assert result["victims"] == [True] * len(result["victims"])


@pytest.mark.parametrize("who", WITHOUT_NAMESPACES)
def test_deleting_a_functions_tmp_follows_no_link_that_appears_meanwhile(who):
    """Where its /tmp is a folder of the server's: daemons exchange folders and links to another folder while it is deleted."""
    assert race(who, "cleaning") == {"ends": ["exit"] * 3, "left": [], "intact": True}


@pytest.mark.parametrize("who", WITHOUT_NAMESPACES)
def test_a_daemon_that_is_ever_another_process_ends_too(who):
    """What is listed is gone before it can be killed, and its child is not listed yet."""
    assert race(who, "hopping") == {"ended": "timeout", "quiet": True, "after": "mine"}


@pytest.mark.parametrize("who", [w for w in HERE if w in (ROOT, USER_REFUSED)])
def test_two_functions_output_stays_apart(who):
    """Each looks for the other's pipe while both print."""
    assert race(who, "printing") == {
        "opened": [0, 0],
        "counts": [60, 60],
        "strange": {"a": [], "b": []},
    }


@pytest.mark.parametrize("who", WITHOUT_NAMESPACES)
def test_no_others_port_answers_a_function_however_it_knocks(who):
    """Two programs' Runtime APIs and a service of the host, all on one loopback, which says where they are."""
    result = race(who, "knocking")
    assert result["saw"]
    assert (result["knocked"], result["came"]) == ([], False)
    assert result["answers"] == [True] * len(result["answers"])


SWAPPER = """
import ctypes, select, sys
libc = ctypes.CDLL(None)
pairs = [(f"{sys.argv[1]}/{n}".encode(), f"{sys.argv[1]}/{n}~".encode()) for n in range(6)]
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    for _ in range(500):
        for one, other in pairs: libc.renameat2(-100, one, -100, other, 2)  # exchanges the two at once
"""


def test_what_is_opened_to_be_emptied_is_what_was_looked_at(tmp_path):
    """Another process exchanges folders and links to a victim's folder all the time that they are deleted."""
    names = [str(n) for n in range(20)]
    victim, folder, fresh = tmp_path / "victim", tmp_path / "folder", tmp_path / "fresh"
    victim.mkdir()
    for name in names:
        (victim / name).touch()
    swapper = subprocess.Popen(
        [sys.executable, "-c", SWAPPER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert swapper.stdout.readline() == b"ready\n"
        for _ in range(100):
            for n in range(6):
                (fresh / str(n)).mkdir(parents=True)
                (fresh / f"{n}~").symlink_to(victim)
                for name in names:
                    (fresh / str(n) / name).touch()
            fresh.rename(folder)
            assert any(scratch.remove(str(folder)) for _ in range(1000))
            assert sorted(os.listdir(victim)) == sorted(names)
    finally:
        swapper.stdin.close()
        swapper.stdout.close()
        assert swapper.wait(60) == 0


def test_a_folder_deeper_than_the_server_has_descriptors_is_deleted(tmp_path):
    """1,200 folders in each other, unreadable and locked ones, more names than are read at once, links to elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("kept")
    folder = tmp_path / "folder"
    made = f"""
import os, sys
os.chdir({str(folder)!r})
for n in range(1100): open(str(n), "w").close()
os.mkdir("locked"); os.mkdir("locked/in"); open("locked/in/x", "w").close(); os.chmod("locked/in", 0); os.chmod("locked", 0o500)
os.symlink({str(elsewhere)!r}, "link")
for n in range(1200):
    os.mkdir("d"); os.chdir("d")
    os.symlink({str(elsewhere)!r}, "link")
    if n % 100 == 0: os.chmod("..", 0o500)
"""
    removed = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
from stratolite.runtime import scratch
sys.exit(not scratch.remove({str(folder)!r}))
"""
    folder.mkdir()
    for script in (made, removed):
        subprocess.run([sys.executable, "-c", script], check=True, timeout=300)
    assert not folder.exists()
    assert [path.name for path in elsewhere.iterdir()] == ["file"]
