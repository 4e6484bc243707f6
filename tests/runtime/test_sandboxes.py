"""Real sandboxes: what code sees, how it ends, what it is kept from, and what is left when the server is gone."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from stratolite.clock import World
from stratolite.runtime import Busy, Invocation, Launch, Outcome, Runtime, Start
from stratolite.runtime import pool as pool_module

CODE = """
import json, os, sys, time, logging

calls = 0
def echo(event, context): return event
def count(event, context):
    global calls
    calls += 1
    return [calls, os.getpid(), os.environ["HOME_OF_TEST"]]
def pid(event, context):
    time.sleep(event.get("sleep", 0)); return os.readlink("/proc/self")
def context(event, context):
    left = context.get_remaining_time_in_millis()
    return {"id": context.aws_request_id, "arn": context.invoked_function_arn, "left": left,
            "client": context.client_context and context.client_context.custom, "name": type(context).__name__}
def fails(event, context): raise ValueError("no good")
def leaves(event, context): sys.exit(event)
def dies(event, context): os._exit(7)
def crashes(event, context): os.kill(os.getpid(), 11); import ctypes; ctypes.string_at(0)
def eats(event, context): return len(bytearray(2_000_000_000))
def sleeps(event, context): time.sleep(60)
def strange(event, context): return object()
def nan(event, context): return float("nan")
def decimals(event, context):
    from decimal import Decimal
    return {"a": Decimal("1.10"), "b": [Decimal(3)]}
def speaks(event, context):
    print("one\\ntwo"); logging.getLogger().warning("three\\nfour"); os.system("echo five"); sys.stdout.write("six")
def big(event, context): return "x" * event
def fds(event, context): return sorted(os.listdir("/proc/self/fd"))
def open_file(event, context): return open(event).read()
def write_file(event, context):
    with open(event["path"], "wb") as file:
        for _ in range(0, event["size"], 1 << 20): file.write(bytes(min(event["size"], 1 << 20)))
    return os.listdir("/tmp")
def rights(event, context):
    status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
    return {"uid": os.getuid(), "caps": status["CapEff"], "nnp": status["NoNewPrivs"], "processes": [p for p in os.listdir("/proc") if p.isdigit()]}
def forges(event, context):
    for fd in range(3, 64):
        try: os.write(fd, bytes.fromhex(event))
        except OSError: pass
    time.sleep(60)
def spawns(event, context):
    import subprocess
    subprocess.Popen(["sleep", "60"], start_new_session=True); time.sleep(60)
"""
ROOT = os.geteuid() == 0


class Rig:
    """A runtime with one bundle; ``rig("echo", event)`` invokes its function ``m.echo``."""

    def __init__(self, folder: str, *, strict: bool = False) -> None:
        self.runtime = Runtime(folder, World(), strict=strict)
        self.lines: list[str] = []
        self.starts = 0

    async def prepare(self, code: str = CODE) -> Rig:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("m.py", code)
            archive.writestr("broken.py", "def x(:\n")
            archive.writestr("absent.py", "import nothing_like_it\n")
        self.folder = self.runtime.bundles.folder(await self.runtime.bundles.unpack(out.getvalue()))
        return self

    async def __call__(
        self,
        handler: str,
        event: Any = None,
        *,
        timeout_s: float = 5,
        key: str = "",
        most: int | None = None,
        memory_mb: int = 128,
    ) -> Outcome:
        handler = handler if "." in handler else f"m.{handler}"
        launch = Launch(
            "owner", f"edition {handler}", key or handler, handler, "python3.12", memory_mb
        )
        invocation = Invocation(
            "id-1", "arn:x", json.dumps(event).encode(), timeout_s, client='{"custom": {"k": "v"}}'
        )
        return await self.runtime.invoke(launch, invocation, self._start, owner_max=most)

    async def _start(self) -> tuple[Start, Callable[[Any], None]]:
        self.starts += 1
        env = {"PATH": "/usr/bin:/bin", "TZ": ":UTC", "HOME_OF_TEST": str(self.starts)}
        return Start(self.folder, env), lambda lines: self.lines.extend(text for _, text in lines)


def run(folder: Any, body: Callable[[Rig], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        rig = await Rig(str(folder)).prepare()
        try:
            return await body(rig)
        finally:
            await rig.runtime.close()

    return asyncio.run(main())


def one(folder: Any, handler: str, event: Any = None, **how: Any) -> Outcome:
    return run(folder, lambda rig: rig(handler, event, **how))


def test_an_idle_sandbox_is_reused_and_keeps_its_globals(tmp_path):
    """Functions keep connections in globals; a new process for each call would be a cold start each."""

    async def body(rig: Rig) -> None:
        first, second = await rig("count"), await rig("count")
        assert [json.loads(o.answer)[0] for o in (first, second)] == [1, 2]
        assert first.init_s is not None
        assert second.init_s is None
        assert rig.starts == 1

    run(tmp_path, body)


def test_invocations_at_one_time_have_a_sandbox_each(tmp_path):
    async def body(rig: Rig) -> None:
        await asyncio.gather(*(rig("pid", {"sleep": 0.2}) for _ in range(3)))
        assert rig.starts == 3

    run(tmp_path, body)


def test_a_new_edition_ends_the_old_ones_sandboxes(tmp_path):
    """After UpdateFunctionCode the old code must not answer, nor lie around."""

    async def body(rig: Rig) -> None:
        await rig("count", key="v1")
        (old,) = rig.runtime._members
        assert json.loads((await rig("count", key="v2")).answer)[0] == 1
        await asyncio.wait_for(old.sandbox.gone(), 60)
        assert len(rig.runtime._members) == 1

    run(tmp_path, body)


def test_a_busy_sandbox_of_an_old_edition_ends_after_its_invocation(tmp_path):
    async def body(rig: Rig) -> None:
        old = asyncio.ensure_future(rig("pid", {"sleep": 0.5}, key="v1"))
        while not rig.runtime._members:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        (member,) = rig.runtime._members
        await rig("pid", {}, key="v2")
        assert (await old).answer is not None, "it is not cut short"
        await asyncio.wait_for(member.sandbox.gone(), 60)

    run(tmp_path, body)


def test_the_owners_limit_is_kept(tmp_path):
    """Reserved concurrency; an idle sandbox does not count against it."""

    async def body(rig: Rig) -> None:
        await rig("echo", most=1)
        busy = asyncio.ensure_future(rig("sleeps", most=1, timeout_s=1))
        await asyncio.sleep(0.3)
        with pytest.raises(Busy) as caught:
            await rig("pid", {}, most=1)
        assert caught.value.reason == "owner"
        await busy

    run(tmp_path, body)


def test_idle_sandboxes_make_room_and_busy_ones_do_not(tmp_path, monkeypatch):
    monkeypatch.setattr(pool_module, "SANDBOXES_MAX", 1)

    async def body(rig: Rig) -> None:
        await rig("echo")
        busy = asyncio.ensure_future(rig("sleeps", timeout_s=1))  # takes the idle one's place
        await asyncio.sleep(0.3)
        with pytest.raises(Busy) as caught:
            await rig("echo")
        assert caught.value.reason == "machine"
        await busy

    run(tmp_path, body)


def test_an_idle_sandbox_ends_after_its_time(tmp_path, monkeypatch):
    monkeypatch.setattr(pool_module, "SANDBOX_IDLE_S", 0.05)
    monkeypatch.setattr(pool_module, "_SWEEP_EVERY_S", 0.05)

    async def body(rig: Rig) -> None:
        await rig("echo")
        (member,) = rig.runtime._members
        await asyncio.wait_for(member.sandbox.gone(), 60)

    run(tmp_path, body)


def test_the_context_says_what_lambdas_says(tmp_path):
    said = json.loads(one(tmp_path, "context", timeout_s=5).answer)
    assert 0 < said.pop("left") <= 5000
    assert said == {"id": "id-1", "arn": "arn:x", "client": {"k": "v"}, "name": "LambdaContext"}


@pytest.mark.parametrize(
    ("handler", "kind", "message"),
    [
        ("m.nothing", "Runtime.HandlerNotFound", "Handler 'nothing' missing on module 'm'"),
        (
            "nothing.x",
            "Runtime.ImportModuleError",
            "Unable to import module 'nothing': No module named 'nothing'",
        ),
        (
            "absent.x",
            "Runtime.ImportModuleError",
            "Unable to import module 'absent': No module named 'nothing_like_it'",
        ),
        ("broken.x", "Runtime.UserCodeSyntaxError", "Syntax error in module 'broken': "),
        (
            "sys.x",
            "Runtime.BuiltInModuleConflict",
            "Cannot use built-in module sys as a handler module",
        ),
    ],
)
def test_code_that_cannot_be_loaded_says_why(tmp_path, handler, kind, message):
    """Messages of awslambdaric/bootstrap.py."""
    outcome = one(tmp_path, handler)
    error = json.loads(outcome.error)
    assert (error["errorType"], error["requestId"], outcome.loaded) == (kind, "", False)
    assert error["errorMessage"].startswith(message)


def test_a_raised_error_has_the_codes_own_frames_only(tmp_path):
    async def body(rig: Rig) -> None:
        error = json.loads((await rig("fails")).error)
        task = "/var/task" if "mounts" in rig.runtime.guards else rig.folder
        assert error["errorType"] == "ValueError"
        assert error["errorMessage"] == "no good"
        assert error["requestId"] == "id-1"
        assert len(error["stackTrace"]) == 1
        assert error["stackTrace"][0].startswith(f'  File "{task}/m.py", line ')
        assert rig.lines[-1].startswith(
            "[ERROR] ValueError: no good\nTraceback (most recent call last):\n\u00a0\u00a0File"
        )

    run(tmp_path, body)


@pytest.mark.parametrize("handler", ["strange", "nan"])
def test_a_result_that_is_not_json_is_a_marshal_error(tmp_path, handler):
    error = json.loads(one(tmp_path, handler).error)
    assert error["errorType"] == "Runtime.MarshalError"
    assert error["errorMessage"].startswith("Unable to marshal response: ")


def test_decimals_are_answered_as_the_numbers_they_are(tmp_path):
    """What DynamoDB's boto3 resource returns can be returned."""
    assert one(tmp_path, "decimals").answer == b'{"a": 1.10, "b": [3]}'


@pytest.mark.parametrize(
    ("handler", "event", "how", "status"),
    [
        ("leaves", 0, "exit", 0),
        ("leaves", 3, "exit", 3),
        ("dies", None, "exit", 7),
        ("crashes", None, "exit", -signal.SIGSEGV),
        ("eats", None, "memory", -signal.SIGKILL),
        ("sleeps", None, "timeout", 0),
    ],
)
def test_an_end_is_reported_and_the_next_call_has_a_new_sandbox(
    tmp_path, handler, event, how, status
):
    async def body(rig: Rig) -> None:
        outcome = await rig(handler, event, timeout_s=0.5)
        assert outcome.ended == (how, status)
        again = await rig(handler, event, timeout_s=0.5)
        assert again.ended == (how, status)
        assert rig.starts == 2

    run(tmp_path, body)


def test_output_is_heard_whole_and_in_order_before_the_answer(tmp_path):
    """print, logging and child processes; a log record of two lines is one event."""

    async def body(rig: Rig) -> None:
        await rig("speaks")
        assert rig.lines[:2] == ["one", "two"]
        assert rig.lines[2].startswith("[WARNING]\t20")
        assert rig.lines[2].endswith("Z\tid-1\tthree\nfour")
        assert rig.lines[3] == "five"
        await rig.runtime.close()
        assert rig.lines[4:] == ["six"]

    run(tmp_path, body)


def test_output_is_heard_even_when_the_loop_has_not_come_to_it_yet(tmp_path):
    """The answer may be seen before the pipe; the caller's tail must still have every line."""

    async def body(rig: Rig) -> None:
        await rig("speaks")
        (member,) = rig.runtime._members
        asyncio.get_running_loop().remove_reader(member.sandbox._output)
        heard = len(rig.lines)
        await rig("speaks")
        assert rig.lines[heard] == "sixone"
        assert rig.lines[-1] == "five"

    run(tmp_path, body)


def test_an_answer_beyond_the_limit_ends_the_sandbox_not_the_server(tmp_path):
    outcome = one(tmp_path, "big", 9_000_000, timeout_s=5)
    assert outcome.ended is not None
    assert outcome.ended.how == "too-large"
    assert len(one(tmp_path, "big", 6_000_000).answer) == 6_000_002


@pytest.mark.parametrize(
    "frame",
    [
        "52 00000000",  # an answer without its peak memory
        "45 00000005 00000000 7b",  # an error that is no JSON
        "45 00000006 00000000 5b5d",  # an error that is no object
        "46 00000002 7b7d",  # cannot be started, now?
        "53 00000000",
        "00 00000000",
        "52 ffffffff",  # an answer of 4 GiB
    ],
)
def test_a_forged_frame_ends_the_sandbox_only(tmp_path, frame):
    """Code can find the channel's descriptor; the server takes nothing from it on trust."""

    async def body(rig: Rig) -> None:
        outcome = await rig("forges", frame.replace(" ", ""), timeout_s=5)
        assert outcome.ended is not None
        assert outcome.ended.how in ("exit", "too-large")
        assert (await rig("echo", 1)).answer == b"1"

    run(tmp_path, body)


def test_a_sandbox_holds_no_descriptor_of_the_server(tmp_path):
    """0, 1, 2, its channel, and the one listdir itself opens."""
    assert len(json.loads(one(tmp_path, "fds").answer)) == 5


@pytest.mark.skipif(not ROOT, reason="needs root")
def test_as_root_a_sandbox_is_nobody_and_alone(tmp_path):
    said = json.loads(one(tmp_path, "rights").answer)
    assert said["uid"] >= 61184
    assert int(said["caps"], 16) == 0
    assert said["nnp"] == "1"
    assert said["processes"] == ["1"]


@pytest.mark.skipif(not ROOT, reason="needs root")
@pytest.mark.parametrize(
    "path", ["/etc/shadow", "{folder}/secret", "/proc/1/root/{folder}/secret", "/root/x"]
)
def test_as_root_a_sandbox_does_not_see_the_servers_files(tmp_path, path):
    (tmp_path / "secret").write_text("s")
    os.chmod(tmp_path / "secret", 0o644)
    error = json.loads(one(tmp_path, "open_file", path.format(folder=tmp_path)).error)
    assert error["errorType"] in ("FileNotFoundError", "PermissionError")


def test_the_servers_packages_are_found_where_a_sandbox_has_a_folder_of_its_own(tmp_path):
    """A server installed below /tmp or /opt: its boto3 was covered by the sandbox's own /tmp."""
    with tempfile.TemporaryDirectory(dir="/tmp") as site:
        os.chmod(site, 0o755)
        Path(site, "sdk_of_the_server.py").write_text("x = 7\n")
        code = "import sdk_of_the_server\ndef seven(event, context): return sdk_of_the_server.x\n"

        async def body() -> None:
            rig = Rig(str(tmp_path / "cache"))
            await rig.runtime.close()
            rig.runtime = Runtime(str(tmp_path / "cache"), World(), sites=[site])
            await rig.prepare(code)
            try:
                result = await rig("seven")
                assert result.answer == b"7", result
            finally:
                await rig.runtime.close()

        asyncio.run(body())


@pytest.mark.skipif(not ROOT, reason="needs root")
def test_as_root_only_tmp_can_be_written_and_is_the_sandboxs_own(tmp_path):
    async def body(rig: Rig) -> None:
        for path in ("/var/task/x", "/x", "/usr/x", "/opt/x"):
            error = json.loads((await rig("write_file", {"path": path, "size": 1})).error)
            assert error["errorType"] in ("OSError", "PermissionError"), path
        assert json.loads((await rig("write_file", {"path": "/tmp/x", "size": 1})).answer) == ["x"]
        fresh = await rig("write_file", {"path": "/tmp/y", "size": 1}, key="other")
        assert json.loads(fresh.answer) == ["y"]
        error = json.loads(
            (await rig("write_file", {"path": "/tmp/z", "size": 600 << 20}, key="other")).error
            or b"{}"
        )
        assert error.get("errorType") == "OSError"

    run(tmp_path, body)


def test_a_timeout_ends_what_the_function_started_too(tmp_path):
    """With a pid namespace nothing can stay; without one, what left the session would."""

    async def body(rig: Rig) -> None:
        if "pids" not in rig.runtime.guards and not ROOT:
            pytest.skip("needs pid namespaces")
        before = _sleepers()
        await rig("spawns", timeout_s=0.5)
        assert _until(lambda: _sleepers() <= before)

    run(tmp_path, body)


def _sleepers() -> int:
    count = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                count += file.read() == b"sleep\x0060\x00"
        except OSError:
            continue
    return count


def test_a_killed_zygote_takes_its_sandboxes_and_is_replaced(tmp_path):
    async def body(rig: Rig) -> None:
        await rig("echo")
        zygote, sandbox = rig.runtime.pids
        os.kill(zygote, signal.SIGKILL)
        assert _until(lambda: not _runs(sandbox))
        assert (await rig("echo", 5)).answer == b"5"

    run(tmp_path, body)


@pytest.mark.live
def test_nothing_is_left_when_the_server_is_killed(tmp_path):
    """SIGKILL: no clean-up code of ours runs."""
    script = f"""
import asyncio, sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from test_sandboxes import Rig
async def main():
    rig = await Rig({str(tmp_path)!r}).prepare()
    await rig("echo")
    busy = asyncio.ensure_future(rig("sleeps", timeout_s=60))
    while len(rig.runtime.pids) < 3 or not all(m.sandbox.seen_pid for m in rig.runtime._members):
        await asyncio.sleep(0.01)
    print(*rig.runtime.pids, flush=True)
    await busy
asyncio.run(main())
"""
    server = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
    )
    pids = [int(pid) for pid in server.stdout.readline().split()]
    assert len(pids) == 3
    assert all(map(_runs, pids))
    server.kill()
    server.wait()
    server.stdout.close()
    assert _until(lambda: not any(map(_runs, pids)))


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _until(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return holds()
