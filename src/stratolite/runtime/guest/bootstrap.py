"""The loop a sandbox runs: Lambda's semantics for Python handlers, over a socket to the server.

Frames on the channel, both ways:  u8 kind | u32 size | body          (big-endian)

    server -> guest   C  JSON: {"handler", "runtime", "task", "layers": [folder], "tmp", "memory_mb",
                         "tmp_mb", "env": {}, "sites": [folder], "port", "program"}, once
                      I  u32 size | JSON {"id", "deadline_ms", "arn", "trace", "client", "identity"}
                         | the event, JSON
    guest -> server   S  ready for invocations; the body is its process id as the zygote's own /proc has it
                      F  JSON error: the function cannot be started; the process ends
                      R  u32 peak memory, KiB | the answer
                      E  u32 peak memory, KiB | JSON error {errorMessage, errorType, requestId, stackTrace}

Output goes to a pipe, one event a line; a newline inside an event travels as RECORD SEPARATOR. Everything
printed before an answer is in the pipe before the answer is on the channel.

With a "program" in C ({"argv", "env", "headroom_mb"}) that program runs instead of a Python handler and is spoken to over
Lambda's HTTP Runtime API: ``adapter`` serves it inside the sandbox and speaks these frames outside it.

Behaviour follows the public runtime interface client:
https://github.com/aws/aws-lambda-python-runtime-interface-client (awslambdaric/bootstrap.py)
"""

from __future__ import annotations

import json
import logging
import os
import resource
import socket
import struct
import sys
import threading
import time
import traceback

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing and collections.abc cost memory the zygote need not hold
    from collections.abc import Callable
    from io import BufferedReader
    from typing import Any

    from stratolite.runtime.guest import adapter, confine
else:
    import adapter

_HEAD = struct.Struct(">BI")
_WORD = struct.Struct(">I")
_NEWLINE_INSIDE = "\x1e"
_FORMAT = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n"
_HERE = __file__

_request_id = ""


class Refused(Exception):
    """An error with the type and message Lambda gives it."""

    def __init__(self, kind: str, message: str, trace: list[str] | None = None) -> None:
        super().__init__(message)
        self.kind, self.message, self.trace = kind, message, trace


class OutOfMemory(Exception):
    """The limit was reached where the system would have killed the process."""


def run(cell: confine.Cell, channel_fd: int, output_fd: int) -> int:
    """Be the sandbox until the server hangs up. The process's exit status."""
    status = 1
    try:
        channel = _settle(channel_fd, output_fd)
        stream = channel.makefile("rb")
        kind, body = _receive(stream)
        if kind != ord("C"):
            return 0
        spec = json.loads(body)
        spec["pid"] = os.readlink(
            "/proc/self"
        )  # a pid namespace of the zygote's own counts otherwise
        listener = None
        if spec["program"]:
            listener = adapter.listen("network" in cell.guards)
            spec["api"] = listener.getsockname()[1]
        paths = cell.enter(spec)
        _environment(spec, paths)
        if listener is not None:
            os._exit(_adapt(channel, stream, listener, spec, paths))
        _logging(spec)
        _serve(channel, stream, spec)
        status = 0
    except SystemExit as leaving:
        status = _status(leaving)
    except BaseException:
        traceback.print_exc()
    try:
        import atexit

        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        status = status or 1
    return status


def _settle(channel_fd: int, output_fd: int) -> socket.socket:
    """Leave only 0 (nothing), 1 and 2 (the output pipe) and the channel open."""
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, 0)
    high = max(channel_fd, output_fd, nothing, 9) + 1
    os.dup2(channel_fd, high, inheritable=False)
    os.dup2(output_fd, 1)
    os.dup2(output_fd, 2)
    os.closerange(3, high)
    os.closerange(high + 1, high + 256)
    how: dict[str, Any] = {"encoding": "utf-8", "errors": "backslashreplace", "closefd": False}
    sys.stdin = open(0, **how)  # noqa: SIM115 - for the life of the process
    sys.stdout = open(1, "w", 1, **how)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, **how)  # noqa: SIM115
    return socket.socket(fileno=high)


def _adapt(
    channel: socket.socket,
    stream: BufferedReader,
    listener: socket.socket,
    spec: dict[str, Any],
    paths: dict[str, Any],
) -> int:
    """Run another program in place of a handler; a signal that ended it is 128 and its number."""
    argv = [word.replace("{runtime}", paths["runtime"]) for word in spec["program"]["argv"]]
    if "/" not in argv[0]:
        places = [f"{folder}/{argv[0]}" for folder in (paths["task"], *paths["layers"])]
        argv[0] = next((place for place in places if os.path.exists(place)), places[0])
    told = dict(spec["program"]["env"])
    if "NODE_PATH" in told and spec["modules"]:
        told["NODE_PATH"] += ":" + paths["moved"].get(spec["modules"], spec["modules"])
    if spec["certificate"]:
        told["NODE_EXTRA_CA_CERTS"] = _kept(spec["certificate"])
    if "NODE_PATH" in told and "HTTPS_PROXY" not in os.environ:
        told["npm_config_fetch_retries"] = (
            "0"  # there is no registry to wait for: AwsCustomResource asks for one
        )
    os.environ.update({k: v for k, v in told.items() if k not in os.environ})
    os.environ["LAMBDA_RUNTIME_DIR"] = paths["runtime"]
    sending = threading.Lock()

    def send(kind: str, body: bytes) -> None:
        if kind == "S":
            body = spec["pid"].encode()
        with sending:
            channel.sendall(_HEAD.pack(ord(kind), len(body)) + body)

    def receive() -> tuple[dict[str, Any], bytes] | None:
        kind, body = _receive(stream)
        if kind != ord("I"):
            return None
        (size,) = _WORD.unpack_from(body)
        return json.loads(body[4 : 4 + size]), body[4 + size :]

    try:
        code = adapter.Adapter(listener, send).run(argv, receive)
    except OSError as error:
        send("F", adapter.cannot_start(argv, error))
        return 1
    return 128 - code if code < 0 else code


def _kept(certificate: str) -> str:
    """A path that the program, and nobody else, can read it at."""
    kept = os.memfd_create("certificate", 0)
    os.write(kept, certificate.encode())
    return f"/proc/self/fd/{kept}"


def _serve(channel: socket.socket, stream: BufferedReader, spec: dict[str, Any]) -> None:
    global _request_id  # noqa: PLW0603
    try:
        _check_wrapper(os.environ.get("AWS_LAMBDA_EXEC_WRAPPER", ""))
        handler = _load(spec["handler"])
    except Refused as refused:
        _fail(channel, _error(refused.message, refused.kind, refused.trace))
        sys.exit(1)
    except Exception:
        _fail(channel, _error_now(""))
        sys.exit(1)
    encode = _encoder(spec["runtime"])
    pid = spec["pid"].encode()
    channel.sendall(_HEAD.pack(ord("S"), len(pid)) + pid)
    while True:
        kind, body = _receive(stream)
        if kind != ord("I"):
            return
        (size,) = _WORD.unpack_from(body)
        about = json.loads(body[4 : 4 + size])
        _request_id = about["id"]
        if about.get("trace"):
            os.environ["_X_AMZN_TRACE_ID"] = about["trace"]
        try:
            answer = _invoke(handler, encode, about, body[4 + size :])
            tag = "R"
        except OutOfMemory:
            os._exit(137)
        except Refused as refused:
            error, tag = _error(refused.message, refused.kind, refused.trace, about["id"]), "E"
            answer = _log_error(error)
        except Exception:
            error, tag = _error_now(about["id"]), "E"
            answer = _log_error(error)
        sys.stdout.flush()
        sys.stderr.flush()
        peak = _WORD.pack(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        channel.sendall(_HEAD.pack(ord(tag), 4 + len(answer)) + peak + answer)


def _invoke(
    handler: Callable[..., Any], encode: Callable[[Any], str], about: dict[str, Any], raw: bytes
) -> bytes:
    context = Context(about)
    try:
        event = json.loads(raw)
    except ValueError as error:
        raise Refused("Runtime.UnmarshalError", f"Unable to unmarshal input: {error}") from None
    try:
        result = handler(event, context)
    except MemoryError:
        # The data limit stands for the memory limit, at which Lambda's system kills.
        raise OutOfMemory from None
    if isinstance(result, bytes):
        return result
    try:
        return encode(result).encode("utf-8", "surrogatepass")
    except MemoryError:
        raise OutOfMemory from None
    except Exception as error:
        message = f"Unable to marshal response: {error}"
        raise Refused("Runtime.MarshalError", message) from None


def _check_wrapper(path: str) -> None:
    """A script that starts the runtime in its own way; it cannot start what is forked."""
    if path and not os.path.exists(path):
        print(f"{path}: No such file or directory", file=sys.stderr)
        sys.exit(127)
    if path:
        raise Refused("Runtime.Unsupported", "AWS_LAMBDA_EXEC_WRAPPER is not offered by Stratolite")


def _load(name: str) -> Callable[..., Any]:
    """The handler ``module.function``, ``a/b.function`` or ``a.b.function``."""
    import importlib

    module_name, dot, function = name.rpartition(".")
    if not dot:
        message = f"Bad handler '{name}': not enough values to unpack (expected 2, got 1)"
        raise Refused("Runtime.MalformedHandlerName", message)
    if module_name.split(".")[0] in sys.builtin_module_names:
        message = f"Cannot use built-in module {module_name} as a handler module"
        raise Refused("Runtime.BuiltInModuleConflict", message)
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        message = f"Unable to import module '{module_name}': {error}"
        raise Refused("Runtime.ImportModuleError", message) from error
    except SyntaxError as error:
        trace = [f'  File "{error.filename}" Line {error.lineno}\n    {error.text}']
        message = f"Syntax error in module '{module_name}': {error}"
        raise Refused("Runtime.UserCodeSyntaxError", message, trace) from error
    try:
        found: Callable[..., Any] = getattr(module, function)
    except AttributeError:
        message = f"Handler '{function}' missing on module '{module_name}'"
        raise Refused("Runtime.HandlerNotFound", message) from None
    return found


def _encoder(runtime: str) -> Callable[[Any], str]:
    """JSON as Lambda writes it: decimals as the numbers they are, no NaN, no ASCII escapes since 3.12."""
    mark = os.urandom(8).hex()

    def default(value: Any) -> str:
        decimal = sys.modules.get("decimal")
        if decimal is not None and isinstance(value, decimal.Decimal):
            if not value.is_finite():
                raise ValueError(f"Out of range float values are not JSON compliant: {value!r}")
            return f"{mark}{value}{mark}"
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")

    try:
        ascii_only = int(runtime.rpartition(".")[2]) < 12
    except ValueError:
        ascii_only = False
    encode = json.JSONEncoder(ensure_ascii=ascii_only, allow_nan=False, default=default).encode

    def finish(value: Any) -> str:
        text = encode(value)
        if mark in text:
            text = text.replace(f'"{mark}', "").replace(f'{mark}"', "")
        return text

    return finish


# -- what the handler sees


class Context:
    def __init__(self, about: dict[str, Any]) -> None:
        env = os.environ
        self.aws_request_id = about["id"]
        self.log_group_name = env.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = env.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = env.get("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = env.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = env.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = about["arn"]
        self.tenant_id = None
        self.client_context: Part | None = None
        if about.get("client"):
            try:
                given = json.loads(about["client"])
            except ValueError as error:
                message = f"Unable to parse Client Context JSON: {error}"
                raise Refused("Runtime.LambdaContextUnmarshalError", message) from None
            if given.get("client") is not None:
                given = {**given, "client": Part(given["client"], _CLIENT)}
            self.client_context = Part(given, ("custom", "env", "client"))
        self.identity = Part(about.get("identity") or {}, _IDENTITY)
        self._epoch_deadline_time_in_ms: int = about["deadline_ms"]

    def get_remaining_time_in_millis(self) -> int:
        return max(0, self._epoch_deadline_time_in_ms - int(time.time() * 1000))

    def log(self, message: Any) -> None:
        sys.stdout.write(str(message))

    def __repr__(self) -> str:
        shown = (k for k in vars(self) if not k.startswith("_"))
        return f"LambdaContext([{','.join(f'{k}={getattr(self, k)}' for k in shown)}])"


Context.__name__ = Context.__qualname__ = "LambdaContext"
_CLIENT = (
    "installation_id",
    "app_title",
    "app_version_name",
    "app_version_code",
    "app_package_name",
)
_IDENTITY = ("cognito_identity_id", "cognito_identity_pool_id")


class Part:
    def __init__(self, given: dict[str, Any], names: tuple[str, ...]) -> None:
        for name in names:
            setattr(self, name, given.get(name))

    def __repr__(self) -> str:
        return f"([{','.join(f'{k}={v}' for k, v in vars(self).items())}])"


# -- surroundings


def _environment(spec: dict[str, Any], paths: dict[str, Any]) -> None:
    python = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    folders = [paths["task"]]
    for layer in paths["layers"]:
        folders += [f"{layer}/python/lib/{python}/site-packages", f"{layer}/python"]
    os.environ.clear()
    os.environ.update(spec["env"])
    if paths["tmp"] != "/tmp":
        os.environ.setdefault("TMPDIR", paths["tmp"])
    os.environ["LAMBDA_TASK_ROOT"] = os.environ["PWD"] = paths["task"]
    own = os.environ.get("PYTHONPATH", "").split(":")
    sites = [paths["moved"].get(site, site) for site in spec["sites"]]
    sys.path[:] = [*folders, *(p for p in own if p), *sys.path, *sites]
    sys.argv[:] = [""]
    sys.dont_write_bytecode = True
    os.chdir(paths["task"])
    time.tzset()


class _WithRequestId(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.aws_request_id = _request_id
        return True


class _ToOutput(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        sys.stdout.write(text[:-1].replace("\n", _NEWLINE_INSIDE) + "\n")


def _logging(spec: dict[str, Any]) -> None:
    logging.Formatter.converter = time.gmtime
    handler = _ToOutput()
    handler.setFormatter(logging.Formatter(_FORMAT, "%Y-%m-%dT%H:%M:%S"))
    handler.addFilter(_WithRequestId())
    root = logging.getLogger()
    root.addHandler(handler)
    level = spec["env"].get("AWS_LAMBDA_LOG_LEVEL", "")
    if level in logging._nameToLevel:
        root.setLevel(level)


# -- errors


def _error(
    message: str, kind: str, trace: list[str] | None = None, request_id: str = ""
) -> dict[str, Any]:
    return {
        "errorMessage": message or "",
        "errorType": kind or "",
        "requestId": request_id,
        "stackTrace": trace or [],
    }


def _error_now(request_id: str) -> dict[str, Any]:
    """The exception being handled, without our own frames."""
    kind, value, tb = sys.exc_info()
    assert kind is not None
    frames = [(f.filename, f.lineno or 0, f.name, f.line) for f in traceback.extract_tb(tb)]
    first = next((i for i, f in enumerate(frames) if f[0] != _HERE), 0)
    return _error(str(value), kind.__name__, traceback.format_list(frames[first:]), request_id)


def _log_error(error: dict[str, Any]) -> bytes:
    lines = ["[ERROR] " + ": ".join(p for p in (error["errorType"], error["errorMessage"]) if p)]
    lines.append("Traceback (most recent call last):")
    for piece in error["stackTrace"]:
        for line in piece.splitlines():
            bare = line.lstrip(" ")
            lines.append("\u00a0" * (len(line) - len(bare)) + bare)
    sys.stdout.write("\n".join(lines).replace("\n", _NEWLINE_INSIDE) + "\n")
    return json.dumps(error).encode()


def _fail(channel: socket.socket, error: dict[str, Any]) -> None:
    body = _log_error(error)
    sys.stdout.flush()
    sys.stderr.flush()
    channel.sendall(_HEAD.pack(ord("F"), len(body)) + body)


def _status(leaving: SystemExit) -> int:
    code = leaving.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1


def _receive(stream: BufferedReader) -> tuple[int, bytes]:
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return 0, b""
    kind, size = _HEAD.unpack(head)
    body = stream.read(size)
    return (kind, body) if len(body) == size else (0, b"")
