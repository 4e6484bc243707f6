"""Lambda's Runtime API for runtimes that are programs of their own: HTTP inside the sandbox, frames outside it.

Started instead of the Python loop: it runs the program (``bootstrap`` of a custom runtime, Node with ``node.mjs``) and serves
it on 127.0.0.1, at a port of its own, until the program ends; then it ends as that did.

    GET  /2018-06-01/runtime/invocation/next             waits for an invocation
    POST /2018-06-01/runtime/invocation/ID/response      its answer
    POST /2018-06-01/runtime/invocation/ID/error         its error
    POST /2018-06-01/runtime/init/error                  it cannot be started

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import errno
import json
import os
import socket
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BufferedReader
    from typing import Any

_PORT = 9001  # AWS's
_HEAD_BYTES_MAX = 64 << 10
ANSWER_BYTES_MAX = 6_291_556 + 100
_API = "/2018-06-01/runtime/"
_INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"


class Gone(Exception):
    """The connection ended, or what came over it is no request."""


def listen(own_network: bool) -> socket.socket:
    """Before the cell is closed: its port must be known to it."""
    return socket.create_server(("127.0.0.1", _PORT if own_network else 0))


class Adapter:
    def __init__(self, listener: socket.socket, send: Callable[[str, bytes], None]) -> None:
        self._listener, self._send = listener, send
        self._changed = threading.Condition()
        self._waiting: tuple[dict[str, Any], bytes] | None = None
        self._current = ""
        """The invocation that is being answered."""
        self._ready = False
        self._pid = 0

    def run(
        self, argv: list[str], receive: Callable[[], tuple[dict[str, Any], bytes] | None]
    ) -> int:
        """Serve ``argv`` until it ends; its exit status, or minus the signal's number. Raises OSError if it does not start.

        ``receive`` gives invocations, None at the end of all.
        """
        host, port = self._listener.getsockname()
        os.environ["AWS_LAMBDA_RUNTIME_API"] = f"{host}:{port}"
        self._pid = self._spawn(argv)
        for work, arguments in ((self._accept, ()), (self._feed, (receive,))):
            threading.Thread(target=work, args=arguments, daemon=True).start()
        _, status = os.waitpid(self._pid, 0)
        return os.waitstatus_to_exitcode(status)

    def _spawn(self, argv: list[str]) -> int:
        """Raises OSError if it cannot be executed."""
        read, write = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            try:
                os.execve(argv[0], argv, dict(os.environ))
            except OSError as error:
                os.write(write, str(error.errno).encode())
            os._exit(127)
        os.close(write)
        failed = os.read(read, 16)
        os.close(read)
        if failed:
            os.waitpid(pid, 0)
            raise OSError(int(failed), os.strerror(int(failed)))
        return pid

    def _feed(self, receive: Callable[[], tuple[dict[str, Any], bytes] | None]) -> None:
        while (invocation := receive()) is not None:
            with self._changed:
                self._waiting = invocation
                self._changed.notify_all()
        os._exit(0)

    def _accept(self) -> None:
        while True:
            made, _ = self._listener.accept()
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._connection, args=(made,), daemon=True).start()

    def _connection(self, made: socket.socket) -> None:
        stream = made.makefile("rb")
        try:
            while True:
                method, path, headers = _head(stream)
                if headers.get("expect", "").lower() == "100-continue":
                    made.sendall(_INTERIM)
                body = _body(stream, headers)
                status, said, more = self._answer(method, path, headers, body)
                lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(said)}", *more]
                made.sendall("\r\n".join([*lines, "", ""]).encode() + said)
                if headers.get("connection", "").lower() == "close":
                    return
        except (OSError, Gone, ValueError):
            return
        finally:
            made.close()

    def _answer(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[str, bytes, list[str]]:
        what = path[len(_API) :] if path.startswith(_API) else ""
        if (method, what) == ("GET", "invocation/next"):
            return self._next()
        if (method, what) == ("POST", "init/error"):
            self._send("F", _error(headers, body))
            return _accepted()
        parts = what.split("/")
        if method != "POST" or len(parts) != 3 or parts[0] != "invocation":
            return _refused("404 Not Found", "ResourceNotFound", f"No {method} {path}")
        if parts[1] != self._current:
            return _refused("400 Bad Request", "InvalidRequestID", "Invalid request ID")
        if parts[2] not in ("response", "error"):
            return _refused("404 Not Found", "ResourceNotFound", f"No {method} {path}")
        self._current = ""
        if parts[2] == "error":
            self._finish("E", _error(headers, body))
            return _accepted()
        if body is None:
            message = "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
            kind = "Function.ResponseSizeTooLarge"
            self._finish("E", json.dumps({"errorMessage": message, "errorType": kind}).encode())
            return _refused("413 Payload Too Large", "RequestEntityTooLarge", message)
        if trailer := headers.get("lambda-runtime-function-error-type"):
            self._finish("E", _error({"lambda-runtime-function-error-type": trailer}, body))
            return _accepted()
        self._finish("R", body)
        return _accepted()

    def _next(self) -> tuple[str, bytes, list[str]]:
        with self._changed:
            if not self._ready:
                self._ready = True
                self._send("S", b"")
            while self._waiting is None:
                self._changed.wait()
            (about, event), self._waiting = self._waiting, None
            self._current = about["id"]
        more = [
            "Content-Type: application/json",
            f"Lambda-Runtime-Aws-Request-Id: {about['id']}",
            f"Lambda-Runtime-Deadline-Ms: {about['deadline_ms']}",
            f"Lambda-Runtime-Invoked-Function-Arn: {about['arn']}",
        ]
        if about.get("trace"):
            more.append(f"Lambda-Runtime-Trace-Id: {about['trace']}")
        if about.get("client"):
            more.append(f"Lambda-Runtime-Client-Context: {json.dumps(json.loads(about['client']))}")
        return "200 OK", event, more

    def _finish(self, kind: str, body: bytes) -> None:
        self._send(kind, _peak_kb(self._pid).to_bytes(4, "big") + body)


def cannot_start(argv: list[str], error: OSError) -> bytes:
    """What is said of a program that cannot be executed, JSON."""
    if error.errno == errno.ENOENT and not os.path.exists(argv[0]):
        message = "Error: Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"
    else:
        why = {errno.ENOEXEC: "exec format error", errno.EACCES: "permission denied",
               errno.ENOENT: "no such file or directory"}.get(error.errno or 0, error.strerror)  # fmt: skip
        message = f"Error: fork/exec {argv[0]}: {why}"
    return json.dumps({"errorMessage": message, "errorType": "Runtime.InvalidEntrypoint"}).encode()


def _accepted() -> tuple[str, bytes, list[str]]:
    return "202 Accepted", b'{"status":"OK"}', ["Content-Type: application/json"]


def _refused(status: str, kind: str, message: str) -> tuple[str, bytes, list[str]]:
    said = json.dumps({"errorMessage": message, "errorType": kind}).encode()
    return status, said, ["Content-Type: application/json"]


def _error(headers: dict[str, str], body: bytes | None) -> bytes:
    """The error as the platform tells it: a JSON object with a type."""
    text = (body or b"").decode("utf-8", "replace")
    try:
        said = json.loads(text)
    except ValueError:
        said = {"errorMessage": text}
    if not isinstance(said, dict):
        said = {"errorMessage": text}
    if not isinstance(said.get("errorType"), str):
        said["errorType"] = headers.get("lambda-runtime-function-error-type") or "Runtime.Unknown"
    return json.dumps(said).encode()


def _head(stream: BufferedReader) -> tuple[str, str, dict[str, str]]:
    line = stream.readline(_HEAD_BYTES_MAX)
    parts = line.decode("latin-1").split()
    if len(parts) != 3:
        raise Gone
    headers: dict[str, str] = {}
    size = len(line)
    while (line := stream.readline(_HEAD_BYTES_MAX)) not in (b"\r\n", b"\n"):
        size += len(line)
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or size > _HEAD_BYTES_MAX:
            raise Gone
        headers[name.strip().lower()] = value.strip()
    return parts[0], parts[1], headers


def _body(stream: BufferedReader, headers: dict[str, str]) -> bytes | None:
    """None if it is too large; it is read to its end all the same."""
    if "chunked" not in headers.get("transfer-encoding", "").lower():
        size = int(headers.get("content-length") or 0)
        kept = stream.read(min(size, ANSWER_BYTES_MAX + 1))
        _drop(stream, size - len(kept))
        return kept if size <= ANSWER_BYTES_MAX else None
    pieces: list[bytes] = []
    have = 0
    while size := int(stream.readline(1024).partition(b";")[0], 16):
        have += size
        if have <= ANSWER_BYTES_MAX:
            pieces.append(stream.read(size))
        else:
            _drop(stream, size)
        stream.readline(16)
    while (line := stream.readline(_HEAD_BYTES_MAX)) not in (b"\r\n", b"\n", b""):  # trailers
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    return b"".join(pieces) if have <= ANSWER_BYTES_MAX else None


def _drop(stream: BufferedReader, size: int) -> None:
    while size > 0:
        read = len(stream.read(min(size, 1 << 20)))
        if not read:
            raise Gone
        size -= read


def _peak_kb(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
    except (OSError, StopIteration, ValueError):
        return 0
