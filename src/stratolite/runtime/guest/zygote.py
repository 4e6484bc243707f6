"""Forks one process per sandbox on request; it runs no user code itself and holds no secret.

Started as ``python -I -S zygote.py FD`` with an empty environment; FD is a SOCK_SEQPACKET socket to the
server and the only other open descriptor. Messages are JSON objects, one a packet:

    server -> zygote   {"root": FOLDER | "", "sites": [FOLDER], "modules": FOLDER | "", "strict": BOOL}    first, once
                       {"fork": N, "ports": [P]}  with two descriptors: the sandbox's channel, its output pipe
                       {"kill": PID}
    zygote -> server   {"ready": [GUARD], "python": "3.11.7"}
                       {"forked": N, "pid": PID}  |  {"failed": N, "error": TEXT}
                         "forked" with a descriptor for each P if the sandbox has a network of its own: the
                         socket that listens in there on 127.0.0.1:P. The server accepts on it: the only ways out
                       {"exit": PID, "status": S, "peak_kb": K}    S as ``os.waitstatus_to_exitcode``

Strict: what was forked executes Python anew (``zygote.py --sandbox STATE CHANNEL OUTPUT``, all descriptors) before it
becomes a sandbox, so that it shares neither hash seed nor memory layout with others.

The zygote reaps, so a pid it is asked to kill is always the sandbox meant. When the server is gone, the
socket ends: everything forked here is killed. When the zygote is gone, the kernel kills them.

Without pid namespaces a sandbox's daemons become the zygote's children when it ends, and are killed (``confine.adopt``).
"""

from __future__ import annotations

import array
import contextlib
import gc
import json
import logging  # noqa: F401 - functions nearly always import it: shared by all of them
import os
import select
import signal
import socket
import sys
import traceback  # noqa: F401 - likewise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from stratolite.runtime.guest import bootstrap, confine
else:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import bootstrap  # the loop a sandbox runs
    import confine

    sys.path.pop(0)
for _ours in ("adapter", "bootstrap", "confine", "calls", "shares", "walls"):
    sys.modules.pop(_ours)  # a function may have modules of these names

_MESSAGE_SIZE_BYTES_MAX = 64 << 10
_OUT_OF_MEMORY = 137  # as a sandbox says it itself


def main() -> None:
    sys.executable = os.path.realpath(sys.executable)  # a virtual environment is not in a sandbox
    if sys.argv[1] == "--sandbox":
        state, channel, output = map(int, sys.argv[2:])
        with open(state, encoding="utf-8") as file:
            cell = confine.Cell(json.load(file))
        os._exit(bootstrap.run(cell, channel, output))
    server = socket.socket(fileno=int(sys.argv[1]))
    first = server.recv(_MESSAGE_SIZE_BYTES_MAX)
    if not first:
        return
    wish = json.loads(first)
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is for the server
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    cell = confine.Cell(wish)
    gc.collect()
    gc.freeze()
    children: dict[int, int] = {}
    send(server, {"ready": cell.guards, "python": sys.version.split()[0]})
    poll = select.poll()
    poll.register(server, select.POLLIN)
    poll.register(wake_read, select.POLLIN)
    while True:
        ready = dict(poll.poll())
        if wake_read in ready:
            os.read(wake_read, 4096)
            reap(server, cell, children)
        if server.fileno() not in ready:
            continue
        message, descriptors = receive(server)
        if not message:
            for pid in children:
                confine.kill(pid)
            with contextlib.suppress(ChildProcessError):
                while True:
                    pid, _ = os.waitpid(-1, 0)
                    if pid in children:
                        cell.ended(children.pop(pid))
                    cell.kill_strays(children)
            cell.close()
            return
        if "kill" in message:
            if message["kill"] in children:
                confine.kill(message["kill"])
            continue
        try:
            pid, ways_out = cell.fork(message["ports"])
        except OSError as error:
            send(server, {"failed": message["fork"], "error": str(error)})
        else:
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                if wish["strict"]:
                    anew(cell, wish, descriptors)
                os._exit(bootstrap.run(cell, *descriptors))
            children[pid] = cell.count
            send(server, {"forked": message["fork"], "pid": pid}, ways_out)
            for way_out in ways_out:
                way_out.close()
        for descriptor in descriptors:
            os.close(descriptor)


def anew(cell: confine.Cell, wish: dict[str, object], descriptors: list[int]) -> None:
    """Go on in a fresh interpreter, in this process."""
    try:
        state = os.memfd_create("state")
        os.write(state, json.dumps({**wish, "state": cell.state()}).encode())
        os.lseek(state, 0, os.SEEK_SET)
        for descriptor in (state, *descriptors):
            os.set_inheritable(descriptor, True)
        numbers = map(str, (state, *descriptors))
        os.execve(sys.executable, [sys.executable, "-I", "-S", __file__, "--sandbox", *numbers], {})
    except BaseException:
        os._exit(1)


def reap(server: socket.socket, cell: confine.Cell, children: dict[int, int]) -> None:
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            cell.kill_strays(children)
            return
        if pid not in children:
            continue
        code = os.waitstatus_to_exitcode(status)
        if cell.ended(children.pop(pid)) and code == -signal.SIGKILL:
            code = _OUT_OF_MEMORY
        send(server, {"exit": pid, "status": code, "peak_kb": usage.ru_maxrss})


def receive(server: socket.socket) -> tuple[dict[str, Any], list[int]]:
    room = socket.CMSG_SPACE(2 * array.array("i").itemsize)
    try:
        raw, ancillary, _, _ = server.recvmsg(
            _MESSAGE_SIZE_BYTES_MAX, room, socket.MSG_CMSG_CLOEXEC
        )
    except ConnectionResetError:  # the server was killed with a message of ours unread
        return {}, []
    found = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return (json.loads(raw) if raw else {}), list(found)


def send(
    server: socket.socket, message: dict[str, object], with_it: Sequence[socket.socket] = ()
) -> None:
    raw = json.dumps(message).encode()
    try:
        if with_it:
            socket.send_fds(server, [raw], [each.fileno() for each in with_it])
        else:
            server.send(raw)
    except OSError:
        return  # the server is gone; the next receive says so


if __name__ == "__main__":
    main()
