"""The two sides of each race of ``test_races``: what the function does, and what the server does meanwhile.

``ordinary.py WHO FOLDER race NAME`` runs one as WHO and prints what came of it as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import socket
import sys
import zipfile
from pathlib import Path
from typing import Any

from runtime.test_sandboxes import Rig

from stratolite.runtime import Invocation, Launch, Outcome, Start

VICTIMS_COUNT_MIN = 6
ENDED_BY_S = 240
CODE = """
import contextlib, ctypes, errno, json, os, socket, sys, tempfile, time

OWNED = "def handler(event, context): return 'owned'"

def fork():
    \"\"\"A user's processes are counted together where there is no user id for each: others may have too many just now.\"\"\"
    while True:
        try: return os.fork()
        except OSError: time.sleep(0.1)

def swaps(event, context):
    \"\"\"Wherever the server has files: other files in their place, links in their place, links to them.\"\"\"
    own, done = tempfile.gettempdir(), []
    with open(own + "/evil.py", "w") as file: file.write(OWNED)
    def attempt(what, *given):
        try: what(*given); done.append([what.__name__, given[0], given[-1]])
        except OSError: pass
    def overwrite(path):
        with open(path, "r+") as file: file.write(OWNED)
    for _ in range(event["rounds"]):
        for place in event["places"]:
            try: names = os.listdir(place)
            except OSError: names = ["m.py", "1", "2"]
            attempt(os.symlink, own, place + "/link")
            attempt(os.rename, own + "/evil.py", place + "/m.py")
            for name in names[-8:]:
                path = place + "/" + name
                attempt(os.rename, path, path + "-away")
                attempt(os.symlink, own, path)
                attempt(os.link, path, own + "/hard")
                attempt(overwrite, path)
                attempt(overwrite, path + "/m.py")
                attempt(os.rename, own + "/evil.py", path + "/m.py")
    return done[:20]

def keeps(event, context):
    \"\"\"Its own files, again and again: nobody else's hand is in them.\"\"\"
    path = tempfile.gettempdir() + "/mine"
    for n in range(event):
        with open(path, "w") as file: file.write(str(n))
        with open(path) as file: said = file.read()
        if said != str(n) or os.path.islink(path): return [n, said]
    return "mine"

def leaves_swapping(event, context):
    \"\"\"Dies with a /tmp full of folders that daemons go on replacing by links to the victim's, and back.\"\"\"
    own = tempfile.gettempdir()
    for n in range(20):
        os.makedirs(f"{own}/{n}/deep")
        for name in event["names"]:
            with open(f"{own}/{n}/{name}", "w"): pass
    for shut in range(3):
        os.makedirs(f"{own}/shut/{shut}"); os.chmod(f"{own}/shut/{shut}", 0)
    os.chmod(own + "/shut", 0)
    for n in range(20): os.symlink(event["victim"], f"{own}/{n}~")
    libc, end = ctypes.CDLL(None, use_errno=True), time.monotonic() + 200
    for daemon in range(2):
        if fork(): continue
        os.setsid()
        while time.monotonic() < end:
            for n in range(20):  # 2: exchange both names at once
                libc.renameat2(-100, f"{own}/{n}".encode(), -100, f"{own}/{n}~".encode(), 2)
    os._exit(1)

def shuts(event, context):
    \"\"\"Leaves a /tmp that its owner may not look into.\"\"\"
    open(tempfile.gettempdir() + "/file", "w").close()
    os.chmod(tempfile.gettempdir(), event); os._exit(1)

def hops(event, context):
    \"\"\"A daemon that is never the same process for long: forks, and the parent leaves.\"\"\"
    end = time.monotonic() + 200  # should nobody kill it
    for each in range(event["daemons"]):
        if fork(): continue
        os.setsid()
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                if os.fork(): os._exit(0)
            with open(event["sign"], "w"): pass
        os._exit(0)
    time.sleep(60)

def pries(event, context):
    \"\"\"Prints, and looks for others' pipes to print into.\"\"\"
    opened = 0
    for n in range(event["rounds"]):
        print(event["mark"] * 40, flush=True)
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if int(pid) == os.getpid(): continue
            for fd in range(6):
                with contextlib.suppress(OSError):
                    with open(f"/proc/{pid}/fd/{fd}", "wb", buffering=0) as file: file.write(b"forged\\n")
                    opened += 1
    return opened

def knocks(event, context):
    \"\"\"At every port that anybody listens on here, in every way there is.\"\"\"
    answered, tried = [], set()
    for _ in range(event):
        with open("/proc/net/tcp") as file: rows = [line.split() for line in file][1:]
        ports = {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A"}
        tried |= ports
        for port in ports:
            for way in ("connect", "mptcp", "first data"):
                try:
                    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262 if way == "mptcp" else 0) as s:
                        if way == "first data": s.sendto(b"GET", 0x20000000, ("127.0.0.1", port))
                        else: s.connect(("127.0.0.1", port))
                    answered.append([way, port])
                except OSError: pass
    return [answered[:20], sorted(tried)]
"""
BOOTSTRAP = f"""#!{os.path.realpath(sys.executable)} -IS
import http.client, os
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    answer = api.getresponse(); event = answer.read()
    api.request("POST", "/2018-06-01/runtime/invocation/" + answer.headers["Lambda-Runtime-Aws-Request-Id"] + "/response", event)
    api.getresponse().read()
"""


def packed(**files: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            file = zipfile.ZipInfo(name)
            file.external_attr = 0o100755 << 16
            archive.writestr(file, text)
    return out.getvalue()


def said(outcome: Outcome) -> Any:
    if outcome.answer is not None:
        return json.loads(outcome.answer)
    return {"ended": outcome.ended, "error": (outcome.error or b"").decode()}


def listed(folder: str) -> list[str]:
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


async def swapping(rig: Rig, folder: str) -> dict[str, Any]:
    """Unpacks, lays layers together, mounts, starts, tidies up, while a function tries to get in between."""
    cache = rig.runtime.bundles._folder
    places = [
        folder,
        cache,
        rig.folder,
        os.path.dirname(cache),
        f"{folder}/scratch",
        f"{folder}/root",
    ]
    attack = asyncio.ensure_future(
        rig("swaps", {"places": places, "rounds": 80}, timeout_s=ENDED_BY_S)
    )
    victims: list[Any] = []
    bundles = rig.runtime.bundles
    while not attack.done() or len(victims) < VICTIMS_COUNT_MIN:
        n = len(victims)
        code = packed(**{"m.py": f"import lay\ndef handler(event, context): return [{n}, lay.er]"})
        layers = [packed(**{"python/lay.py": "er = 0"}), packed(**{"python/lay.py": f"er = {-n}"})]
        twice = await asyncio.gather(*map(bundles.unpack, [code, code, *layers]))
        over = await bundles.merged(twice[2:])
        await asyncio.to_thread(bundles.prune, 3600.0)
        place = bundles.folder(twice[0])
        assert place is not None

        async def start(place: str = place, over: str = over) -> tuple[Start, Any]:
            return Start(place, {"PATH": "/usr/bin:/bin"}, [over]), lambda _: None

        launch = Launch("victim", f"v{n}", f"v{n}", "m.handler", "python3.12", 128)
        outcome = await rig.runtime.invoke(
            launch, Invocation("id", "arn:x", b"{}", ENDED_BY_S), start, owner_max=None
        )
        victims.append(said(outcome) == [n, -n] or said(outcome))
        victims.append(
            said(await rig("keeps", 50, key=f"k{n % 3}", timeout_s=ENDED_BY_S)) == "mine"
        )
        rig.runtime.end("victim")
    return {"attack": said(await attack), "victims": victims}


async def cleaning(rig: Rig, folder: str) -> dict[str, Any]:
    """Deletes what a function has left in its /tmp while the function's daemons are still at work in there."""
    victim = Path(folder, "victim")
    os.mkdir(victim)
    names = [f"{n}" for n in range(20)]
    for name in names:
        Path(victim, name).write_text("v")  # noqa: ASYNC240
    os.mkdir(victim / "deep")
    ends = []
    for _ in range(3):
        event = {"victim": str(victim), "names": names}
        outcome = await rig("leaves_swapping", event, timeout_s=ENDED_BY_S)
        ends.append(outcome.ended and outcome.ended.how)
    for mode in (0, 0o500):
        assert said(await rig("shuts", mode, timeout_s=ENDED_BY_S))["ended"]
    scratch = f"{folder}/scratch"
    for _ in range(1200):
        if not listed(scratch):
            break
        await asyncio.sleep(0.1)
    left = listed(scratch)
    intact = sorted(os.listdir(victim)) == sorted([*names, "deep"])
    return {"ends": ends, "left": left, "intact": intact}


async def hopping(rig: Rig, folder: str) -> dict[str, Any]:
    """Ends a sandbox whose daemons are a new process each millisecond. Whether none of them is left, and still none later."""
    name = f"sign-{os.getpid()}"
    sign = f"/tmp/{name}"  # there is one /tmp for all here, so we see it
    outcome = await rig("hops", {"daemons": 2, "sign": sign}, timeout_s=2)
    quiet = 0
    for _ in range(600):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(sign)
        await asyncio.sleep(0.2)
        quiet = 0 if name in listed("/tmp") else quiet + 1
        if quiet == 6:
            break
    after = said(await rig("keeps", 5, timeout_s=ENDED_BY_S))
    return {"ended": outcome.ended and outcome.ended.how, "quiet": quiet == 6, "after": after}


async def printing(rig: Rig, folder: str) -> dict[str, Any]:
    """Takes the output of two functions at once, each of which would write into the other's."""
    lines: dict[str, list[str]] = {"a": [], "b": []}

    async def one(mark: str) -> Any:
        async def start() -> tuple[Start, Any]:
            listen = lambda got: lines[mark].extend(text for _, text in got)  # noqa: E731
            return Start(rig.folder, {"PATH": "/usr/bin:/bin"}), listen

        launch = Launch("owner", mark, mark, "m.pries", "python3.12", 128)
        event = json.dumps({"mark": mark, "rounds": 60}).encode()
        invocation = Invocation("id", "arn:x", event, ENDED_BY_S)
        return said(await rig.runtime.invoke(launch, invocation, start, owner_max=None))

    opened = await asyncio.gather(one("a"), one("b"))
    await rig.runtime.close()  # what is still in the pipes is read
    strange = {m: [line for line in got if line != m * 40] for m, got in lines.items()}
    return {"opened": opened, "counts": [len(got) for got in lines.values()], "strange": strange}


async def knocking(rig: Rig, folder: str) -> dict[str, Any]:
    """Serves two programs their Runtime API while a third function looks for it."""
    code = packed(bootstrap=BOOTSTRAP)
    place = rig.runtime.bundles.folder(await rig.runtime.bundles.unpack(code))
    assert place is not None
    host = socket.create_server(("127.0.0.1", 0))

    async def start() -> tuple[Start, Any]:
        return Start(place, {"PATH": "/usr/bin:/bin"}), lambda _: None

    async def program(key: str, n: int) -> Any:
        launch = Launch("program", key, key, "x", "provided.al2023", 256)
        invocation = Invocation(f"id-{key}-{n}", "arn:x", json.dumps([key, n]).encode(), ENDED_BY_S)
        return said(await rig.runtime.invoke(launch, invocation, start, owner_max=None))

    answers = [await program("a", 0) == ["a", 0], await program("b", 0) == ["b", 0]]
    attack = asyncio.ensure_future(rig("knocks", 25, timeout_s=ENDED_BY_S))
    n = 1
    while not attack.done() or n < VICTIMS_COUNT_MIN:
        both = await asyncio.gather(program("a", n), program("b", n))
        answers.append(both == [["a", n], ["b", n]])
        n += 1
    knocked, tried = said(await attack)
    host.setblocking(False)
    try:
        host.accept()
    except BlockingIOError:
        came = False
    else:
        came = True
    port = host.getsockname()[1]
    host.close()
    return {"knocked": knocked, "answers": answers, "came": came, "saw": port in tried}


RACES = {each.__name__: each for each in (swapping, cleaning, hopping, printing, knocking)}


async def main(folder: str, name: str) -> None:
    rig = await Rig(folder).prepare(CODE)
    try:
        print(json.dumps(await RACES[name](rig, folder)))
    finally:
        await rig.runtime.close()
