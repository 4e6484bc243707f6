"""Runs attacks in a process that is somebody else: ``python ordinary.py WHO FOLDER ATTACKS``, from root or not.

Or a server: ``python ordinary.py WHO FOLDER up``, or a race of ``racing``: ``python ordinary.py WHO FOLDER race NAME``.

WHO      root | user            who the server is: this user, or an ordinary one where this is root
         .../refused            and the kernel refuses namespaces: a filter on this process stands for it
ATTACKS  JSON [[handler, event], ...] of ``test_attacks.CODE``; in it stand $FOLDER, $SECRET (a file in it), $SOCKET (one, too), $DISK (a block device in it),
         $CODE, $PID, $PORT (the server listens there) and $OTHER (nobody does). [handler, event, s] ends it after s seconds;
         ["gone", s] is no attack: whether no ``sleep s`` runs any more, waited for
Prints JSON {"guards", "missing", "said": [answer | {"ended": ...}], "secret": what is in $SECRET at the end}.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import socket
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
NOBODY = 65534
RACING = (
    65533  # another one: what a fork bomb leaves of a user's processes is not enough for a race
)
_libc = ctypes.CDLL(None, use_errno=True)


def become(who: str, uid: int = NOBODY) -> None:
    user, _, refused = who.partition("/")
    if user == "user" and os.geteuid() == 0:
        _open_ways([sys.base_prefix, sys.prefix, str(HERE.parent)])
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        _libc.prctl(4, 1, 0, 0, 0)  # our own /proc/self stays ours
    if refused:
        from stratolite.runtime.guest import calls

        _libc.prctl(38, 1, 0, 0, 0)
        calls.Filter(own_network=True).put_on()


def _open_ways(needed: list[str]) -> None:
    """In a mount namespace of our own, make ``needed`` reachable for others: an interpreter below /root is not."""
    assert _libc.unshare(0x20000) == 0
    _mount(None, "/", 16384 | 1 << 18)
    for path in needed:
        parents = [str(p) for p in reversed(Path(path).resolve().parents)]
        shut = next((p for p in parents if not os.stat(p).st_mode & 1), None)
        if shut is None:
            continue
        held = os.open(path, os.O_PATH)
        _mount("tmpfs", shut, 0, kind="tmpfs", data="mode=755")
        os.makedirs(path)
        _mount(f"/proc/self/fd/{held}", path, 4096 | 16384)
        os.close(held)


def _mount(source: str | None, target: str, flags: int, kind: str = "", data: str = "") -> None:
    raw = [text.encode() if text else None for text in (source, target, kind)]
    if _libc.mount(*raw, ctypes.c_ulong(flags), data.encode() if data else None):
        raise OSError(ctypes.get_errno(), f"mount {target}")


async def main(folder: str, attacks: str) -> None:
    from runtime.test_attacks import CODE
    from runtime.test_sandboxes import Rig

    rig = await Rig(folder).prepare(CODE)
    secret = Path(folder, "secret")
    secret.write_text("s")  # noqa: ASYNC240
    listener, other = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    named = socket.socket(socket.AF_UNIX)
    named.bind(f"{folder}/socket")
    named.listen()
    numbers = {
        "PORT": listener.getsockname()[1],
        "OTHER": other.getsockname()[1],
        "PID": os.getpid(),
    }
    other.close()
    for name, number in numbers.items():
        attacks = attacks.replace(f'"${name}"', str(number)).replace(f"${name}", str(number))
    paths = {
        "FOLDER": folder,
        "SECRET": secret,
        "SOCKET": named.getsockname(),
        "DISK": f"{folder}/disk",
    }
    for name, path in {**paths, "CODE": f"{rig.folder}/m.py"}.items():
        attacks = attacks.replace(f"${name}", str(path))
    said: list[object] = []
    for handler, event, *timeout_s in json.loads(attacks):
        if handler == "gone":
            said.append(await gone(event))
            continue
        outcome = await rig(str(handler), event, timeout_s=timeout_s[0] if timeout_s else 20)
        if outcome.answer is not None:
            said.append(json.loads(outcome.answer))
        else:
            said.append({"ended": outcome.ended, "error": (outcome.error or b"").decode()})
    about = {"guards": rig.runtime.guards, "missing": rig.runtime.missing}
    await rig.runtime.close()  # which deletes what functions left in their /tmp
    listener.close()
    named.close()
    left = secret.read_text()  # noqa: ASYNC240
    print(json.dumps({**about, "said": said, "secret": left}))


async def gone(seconds: str) -> bool:
    from runtime.test_attacks import _running

    for _ in range(600):
        if not _running(b"sleep\0" + seconds.encode()):
            return True
        await asyncio.sleep(0.1)
    return False


if __name__ == "__main__":
    sys.path[:0] = [str(HERE), str(HERE.parent / "src")]
    become(sys.argv[1], RACING if sys.argv[3] == "race" else NOBODY)
    if sys.argv[3] == "up":
        command = ["-m", "stratolite", "up", "--data", f"{sys.argv[2]}/data", "--port", "0"]
        os.execv(sys.executable, [sys.executable, *command])
    if sys.argv[3] == "race":
        from runtime import racing

        asyncio.run(racing.main(sys.argv[2], sys.argv[4]))
    else:
        asyncio.run(main(sys.argv[2], sys.argv[3]))
