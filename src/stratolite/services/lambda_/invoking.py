"""From Invoke to a sandbox and back: which version, what the code is told, what the caller is told."""

from __future__ import annotations

import asyncio
import base64
import signal
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from stratolite.errors import Fault
from stratolite.runtime import Busy, Ended, Invocation, Launch, Outcome, Start
from stratolite.runtime.sandbox import Listen
from stratolite.service import Call, Request, Response, trace_of, without_chain
from stratolite.services.lambda_ import bundle, names, payloads, recursion, state
from stratolite.services.lambda_.credentials import Credentials
from stratolite.services.lambda_.names import LATEST, Ref
from stratolite.services.lambda_.output import Output, Stream
from stratolite.services.lambda_.recursion import NO_CHAIN, Chain

SYNC_BYTES_MAX = 6 << 20
ASYNC_BYTES_MAX = 1 << 20
_ELDER_BYTES_MAX = 256 << 10
"""Of InvokeAsync."""
_ANSWER_BYTES_MAX = SYNC_BYTES_MAX + 100
_TAIL_BYTES = 4096
_PIECE_BYTES = 64 << 10
_PARSE_IN_THREAD_BYTES = 256 << 10
_CREDENTIALS_LEFT_S = 900
_PATH = "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin"
_SIGNALS = {
    signal.SIGSEGV: "segmentation fault", signal.SIGKILL: "killed", signal.SIGABRT: "aborted",
    signal.SIGTERM: "terminated", signal.SIGILL: "illegal instruction", signal.SIGBUS: "bus error",
    signal.SIGFPE: "floating point exception", signal.SIGXFSZ: "file size limit exceeded",
}  # fmt: skip


class Target(NamedTuple):
    """What an invocation leads to, read in one transaction."""

    ref: Ref
    """As it was asked for."""
    version: str
    record: state.Record
    reserved: int | None
    may_loop: bool = False
    """Its RecursiveLoop is Allow."""

    @property
    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = self.record["config"]
        return config


class Answer(NamedTuple):
    payload: bytes
    error: str | None
    """``Unhandled``, or None when the handler returned."""
    tail: str
    """The last 4 KB of the invocation's output, if it was asked for."""


class Invoking(Credentials):
    output: Output
    running: Counter[tuple[str, str, str]]
    """(account, region, function, or "" for all) -> invocations under way."""

    async def invoke(self, call: Call, request: Request) -> Response:
        kind = request.get("InvocationType", "RequestResponse")
        if kind not in ("RequestResponse", "Event", "DryRun"):
            raise names.bad(
                "invocationType",
                kind,
                "Member must satisfy enum value set: [Event, RequestResponse, DryRun]",
            )
        for member in ("TenantId", "DurableExecutionName"):
            if request.get(member):
                raise names.not_offered(member)
        ref = names.function(call, request["FunctionName"], request.get("Qualifier"))
        event = await _event(request, kind)
        if kind == "Event":
            await self.enqueue(call, ref, event, request.get("ClientContext", ""))
            return {"StatusCode": 202, "Payload": b""}
        target = await call.transact(lambda inner: choose(inner, ref))
        if kind == "DryRun":
            return {"StatusCode": 204, "Payload": b""}
        client = request.get("ClientContext", "")
        wants_tail = request.get("LogType") == "Tail"
        chain = recursion.chain_of(call)
        answer = await self.run(call, target, event, client=client, tail=wants_tail, chain=chain)
        response: Response = {
            "StatusCode": 200,
            "Payload": answer.payload,
            "ExecutedVersion": target.version,
        }
        if answer.error:
            response["FunctionError"] = answer.error
        if wants_tail:
            response["LogResult"] = base64.b64encode(answer.tail.encode()[-_TAIL_BYTES:]).decode()
        return response

    async def invoke_with_response_stream(self, call: Call, request: Request) -> Response:
        """The answer in pieces, as AWS gives that of a handler which does not stream: after it has returned."""
        kind = request.get("InvocationType", "RequestResponse")
        if kind not in ("RequestResponse", "DryRun"):
            raise names.bad(
                "invocationType",
                kind,
                "Member must satisfy enum value set: [RequestResponse, DryRun]",
            )
        if request.get("TenantId"):
            raise names.not_offered("TenantId")
        ref = names.function(call, request["FunctionName"], request.get("Qualifier"))
        event = await _event(request, kind)
        target = await call.transact(lambda inner: choose(inner, ref))
        if kind == "DryRun":
            return {"StatusCode": 204, "EventStream": _pieces(None)}
        wants_tail = request.get("LogType") == "Tail"
        answer = await self.run(
            call, target, event, client=request.get("ClientContext", ""), tail=wants_tail,
            chain=recursion.chain_of(call),
        )  # fmt: skip
        return {
            "StatusCode": 200,
            "ExecutedVersion": target.version,
            "ResponseStreamContentType": "application/octet-stream",
            "EventStream": _pieces(answer),
        }

    async def invoke_async(self, call: Call, request: Request) -> Response:
        """The elder of Invoke with InvocationType Event: https://docs.aws.amazon.com/lambda/latest/api/API_InvokeAsync.html"""
        ref = names.function(call, request["FunctionName"])
        event = await _event({"Payload": request.get("InvokeArgs")}, "Event", _ELDER_BYTES_MAX)
        await self.enqueue(call, ref, event, "")
        return {"Status": 202}

    async def enqueue(self, call: Call, ref: Ref, event: bytes, client: str) -> None:
        """Leave an invocation for the worker, durably."""
        raise NotImplementedError

    async def run(
        self,
        call: Call,
        target: Target,
        event: bytes,
        *,
        client: str = "",
        tail: bool = False,
        chain: Chain = NO_CHAIN,
    ) -> Answer:
        """Invoke now, as the next in ``chain``. Raises Fault TooManyRequestsException when there is no sandbox to be had."""
        chain, is_loop = recursion.longer(chain, target.ref)
        if is_loop and not target.may_loop:
            _measure(call, target.ref, "RecursiveInvocationsDropped")
            raise recursion.stopped()
        config, request_id = target.config, call.request_id
        last = _Tail() if tail else None
        stream: list[Stream] = []

        def begin(listen: Listen, failed: Outcome | None) -> Listen:
            def heard(more: list[tuple[int, str]]) -> None:
                listen(more)
                if last is not None:
                    last.add(f"{text}\n" for _, text in more)

            assert isinstance(listen, _ToStream)
            stream.append(listen.stream)
            if failed is not None:
                heard([(_wall_ms(call), _init_report(failed, request_id, config["Timeout"]))])
            heard([(_wall_ms(call), f"START RequestId: {request_id} Version: {target.version}")])
            return heard

        launch = Launch(
            owner=target.ref.function_arn,
            edition=f"{target.ref.function_arn}:{target.version}",
            key=f"{target.ref.function_arn}:{target.version}:{target.record['generation']}",
            handler=config["Handler"],
            runtime=config["Runtime"],
            memory_mb=config["MemorySize"],
            tmp_mb=config["EphemeralStorage"]["Size"],
        )
        self._count(target.ref, 1)
        self._measure_running(call, target.ref)
        invocation = Invocation(
            request_id,
            target.ref.arn,
            event,
            float(config["Timeout"]),
            trace=_trace(call) + recursion.written(chain),
            client=base64.b64decode(client).decode() if client else "",
        )
        try:
            outcome: Outcome = await self.cloud.runtime.invoke(
                launch,
                invocation,
                lambda: self._starting(call, target),
                owner_max=target.reserved,
                begin=begin,
            )
        except Busy as busy:
            _measure(call, target.ref, "Throttles")
            raise _throttled(busy) from busy
        finally:
            self._count(target.ref, -1)
        payload, error = _payload(outcome, request_id, config["Timeout"])
        version = target.version
        _measure(call, target.ref, "Invocations", version=version)
        _measure(call, target.ref, "Errors", float(bool(error)), version=version)
        duration_ms = outcome.duration_s * 1000
        _measure(call, target.ref, "Duration", duration_ms, "Milliseconds", version=version)
        now = datetime.fromtimestamp(call.world.cloud(), UTC)
        closing = _closing(outcome, request_id, config, error, now)
        self.output.write(stream[0], [(_wall_ms(call), f"{text}\n") for text in closing])
        if last is not None:
            last.add(f"{text}\n" for text in closing)
        return Answer(payload, "Unhandled" if error else None, last.text() if last else "")

    def _count(self, ref: Ref, more: int) -> None:
        for name in (ref.name, ""):
            key = (ref.account, ref.region, name)
            self.running[key] += more
            if not self.running[key]:
                del self.running[key]

    def _measure_running(self, call: Call, ref: Ref) -> None:
        ref.measure(
            call.cloud, "ConcurrentExecutions", self.running[ref.account, ref.region, ref.name]
        )
        place = ref.account, ref.region, "AWS/Lambda", ()
        running = self.running[ref.account, ref.region, ""]
        call.cloud.measure(*place, "ConcurrentExecutions", running)

    async def _starting(self, call: Call, target: Target) -> tuple[Start, Listen]:
        """Code, environment and log stream of a new sandbox."""
        config, ref = target.config, target.ref
        folder = await bundle.folder(self.cloud, target.record["code"])
        try:
            keys = await self.credentials(call, config["Role"], ref)
        except Fault as fault:
            raise Fault(
                "AccessDeniedException",
                "The role defined for the function cannot be assumed by Lambda.",
                status=403,
            ) from fault
        day = datetime.fromtimestamp(self.cloud.world.cloud(), UTC)
        name = f"{day:%Y/%m/%d}/[{target.version}]{self.cloud.world.token(16).hex()}"
        group = config["LoggingConfig"]["LogGroup"]
        stream = Stream(ref.account, ref.region, group, name, ref.function_arn)
        environment = self._environment(target, keys, stream)
        left_s = keys["Expiration"] - self.cloud.world.wall() - _CREDENTIALS_LEFT_S
        listen = _ToStream(self.output, stream)
        version = config["Runtime"].replace("python", "python:").replace("nodejs", "nodejs:")
        arn = config["RuntimeVersionConfig"]["RuntimeVersionArn"]
        running = ".".join(str(part) for part in sys.version_info[:3])
        on = f" (runs on {running})" if version.startswith("python") else ""
        first = f"INIT_START Runtime Version: {version}{on}\tRuntime Version ARN: {arn}"
        listen([(_wall_ms(call), first)])
        layers = await bundle.layers_folder(self.cloud, target.record["layers"])
        start = Start(folder, environment, layers, fresh_until_s=self.cloud.world.mono() + left_s)
        return start, listen

    def _environment(self, target: Target, keys: dict[str, Any], stream: Stream) -> dict[str, str]:
        config, region = target.config, target.ref.region
        environment = {
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "PATH": _PATH,
            "AWS_ENDPOINT_URL": self.cloud.endpoint,
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",  # no sync-HOST before our name
            **config.get("Environment", {}).get("Variables", {}),
        }
        environment.update({
            "_HANDLER": config["Handler"],
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{config['Runtime']}",
            "AWS_LAMBDA_FUNCTION_NAME": config["FunctionName"],
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config["MemorySize"]),
            "AWS_LAMBDA_FUNCTION_VERSION": target.version,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": stream.group,
            "AWS_LAMBDA_LOG_STREAM_NAME": stream.name,
            "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
            "AWS_SESSION_TOKEN": keys["SessionToken"],
        })  # fmt: skip
        return environment


async def _pieces(answer: Answer | None) -> AsyncIterator[dict[str, Any]]:
    complete: dict[str, Any] = {}
    if answer is not None:
        payload = answer.payload
        for start in range(0, len(payload), _PIECE_BYTES):
            yield {"PayloadChunk": {"Payload": payload[start : start + _PIECE_BYTES]}}
        if answer.error:
            complete = {
                "ErrorCode": answer.error,
                "ErrorDetails": payload.decode("utf-8", "replace"),
            }
        if answer.tail:
            complete["LogResult"] = base64.b64encode(answer.tail.encode()[-_TAIL_BYTES:]).decode()
    yield {"InvokeComplete": complete}


class _Tail:
    """The last of an invocation's output, however much it prints."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque()
        self._size = 0

    def add(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._lines.append(line)
            self._size += len(line)
            while self._size - len(self._lines[0]) >= _TAIL_BYTES:
                self._size -= len(self._lines.popleft())

    def text(self) -> str:
        return "".join(self._lines)


class _ToStream:
    """A sandbox's listener: its output goes to its log stream, each line with its newline."""

    def __init__(self, output: Output, stream: Stream) -> None:
        self._output, self.stream = output, stream

    def __call__(self, lines: list[tuple[int, str]]) -> None:
        self._output.write(self.stream, [(at_ms, f"{text}\n") for at_ms, text in lines])


def choose(call: Call, ref: Ref) -> Target:
    """The version to run; an alias with weights chooses by chance. Raises Fault if there is none."""
    found = state.resolve(call.tx, ref)
    if found is None:
        raise names.no_function(ref._replace(qualifier=ref.qualifier or LATEST))
    record, alias = found
    if alias is not None:
        weights = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
        for version, weight in weights.items():
            if int.from_bytes(call.world.token(4), "big") / 2**32 < weight:
                other = state.get_version(call.tx, ref, int(version))
                record = other or record
    function = state.get_function(call.tx, ref)
    reserved = function["reserved"] if function else None
    may_loop = function is not None and function.get("recursive") == "Allow"
    return Target(ref, record["config"].get("Version", LATEST), record, reserved, may_loop)


async def _event(request: Request, kind: str, most: int = 0) -> bytes:
    """The payload, which must be JSON. Raises Fault for one that is not, or larger than ``most`` (0: than ``kind`` allows)."""
    most = most or (ASYNC_BYTES_MAX if kind == "Event" else SYNC_BYTES_MAX)
    given = request.get("Payload") or b""
    event = given if isinstance(given, bytes) else await bundle.collect(given, most + 1)
    if len(event) > most:
        raise Fault(
            "RequestTooLargeException",
            f"{len(event)} byte payload is too large for the {kind} invocation type (limit {most} bytes)",
            status=413,
            Type="User",
        )
    if not event:
        return b"{}"
    try:
        if len(event) > _PARSE_IN_THREAD_BYTES:
            await asyncio.get_running_loop().run_in_executor(None, orjson.loads, event)
        else:
            orjson.loads(event)
    except orjson.JSONDecodeError as error:
        raise Fault(
            "InvalidRequestContentException",
            "Could not parse request body into json: Could not parse payload into json: "
            + payloads.complaint(event, str(error)),
            status=400,
            Type="User",
        ) from error
    return event


def _throttled(busy: Busy) -> Fault:
    owner = "ReservedFunctionConcurrentInvocationLimitExceeded"
    return Fault(
        "TooManyRequestsException",
        "Rate Exceeded.",
        status=429,
        Reason=owner if busy.reason == "owner" else "ConcurrentInvocationLimitExceeded",
        Type="User",
    )


def _measure(
    call: Call, ref: Ref, name: str, value: float = 1.0, unit: str = "Count", version: str = ""
) -> None:
    """Of the function, of what was asked for (a version, an alias), of the ``version`` an alias led to, and of all functions.

    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-view.html
    """
    function = ("FunctionName", ref.name)
    asked = f"{ref.name}:{ref.qualifier}" if ref.qualifier else ref.name
    resource = ("Resource", asked)
    for dimensions in ((function,), (function, resource), ()):
        call.cloud.measure(ref.account, ref.region, "AWS/Lambda", dimensions, name, value, unit)
    if version and ref.qualifier and ref.qualifier not in (version, LATEST):
        executed = ("ExecutedVersion", version), function, resource
        call.cloud.measure(ref.account, ref.region, "AWS/Lambda", executed, name, value, unit)


def _payload(outcome: Outcome, request_id: str, timeout_s: int) -> tuple[bytes, str]:
    """What the caller gets, and the error's type ("" for none)."""
    if outcome.answer is not None:
        if len(outcome.answer) <= _ANSWER_BYTES_MAX:
            return outcome.answer, ""
        return _too_large()
    if outcome.error is not None:
        return outcome.error, str(orjson.loads(outcome.error)["errorType"])
    assert outcome.ended is not None
    ended: Ended = outcome.ended
    if ended.how == "too-large":
        return _too_large()
    if ended.how == "timeout":
        kind, message = "Sandbox.Timedout", f"Task timed out after {timeout_s}.00 seconds"
    else:
        kind, message = "Runtime.ExitError", _exit_message(ended.status)
    said = {"errorType": kind, "errorMessage": f"RequestId: {request_id} Error: {message}"}
    return orjson.dumps(said), kind


def _too_large() -> tuple[bytes, str]:
    kind = "Function.ResponseSizeTooLarge"
    message = (
        f"Response payload size exceeded maximum allowed payload size ({_ANSWER_BYTES_MAX} bytes)."
    )
    return orjson.dumps({"errorMessage": message, "errorType": kind}), kind


def _init_report(failed: Outcome, request_id: str, timeout_s: int) -> str:
    kind = _payload(failed, request_id, timeout_s)[1]
    status = "timeout" if kind == "Sandbox.Timedout" else f"error\tError Type: {kind}"
    return f"INIT_REPORT Init Duration: {failed.duration_s * 1000:.2f} ms\tPhase: init\tStatus: {status}"


def _exit_message(status: int) -> str:
    if status == 0:
        return "Runtime exited without providing a reason"
    if status > 0:
        return f"Runtime exited with error: exit status {status}"
    known = {int(number): name for number, name in _SIGNALS.items()}
    name = known.get(-status, f"signal {-status}")
    return f"Runtime exited with error: signal: {name}"


def _closing(
    outcome: Outcome, request_id: str, config: dict[str, Any], error: str, now: datetime
) -> list[str]:
    """The lines that end an invocation's output."""
    lines = []
    duration_ms = outcome.duration_s * 1000
    status = ""
    if outcome.ended is not None:
        if outcome.ended.how == "timeout":
            at = f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z"
            lines.append(f"{at} {request_id} Task timed out after {config['Timeout']}.00 seconds\n")
            duration_ms = config["Timeout"] * 1000.0  # what it took us to end it is not charged
            status = "Status: timeout"
        else:
            said, kind = _payload(outcome, request_id, config["Timeout"])
            lines.append(f"{orjson.loads(said)['errorMessage']}\n{kind}")
            status = f"Status: error\tError Type: {kind}"
    elif error:
        status = f"Status: error\tError Type: {error}"
    lines.append(f"END RequestId: {request_id}")
    billed_ms = int(duration_ms) + (duration_ms > int(duration_ms))
    report = [
        f"REPORT RequestId: {request_id}",
        f"Duration: {duration_ms:.2f} ms",
        f"Billed Duration: {billed_ms} ms",
        f"Memory Size: {config['MemorySize']} MB",
        f"Max Memory Used: {outcome.peak_kb >> 10} MB",
    ]
    if outcome.init_s is not None:
        report.append(f"Init Duration: {outcome.init_s * 1000:.2f} ms")
    report.append(status)
    lines.append("\t".join(report))
    return lines


def _trace(call: Call) -> str:
    """The one that the call came with, without what ``recursion`` counts in it, or a new one."""
    if given := trace_of(call):
        return without_chain(given)
    return f"Root=1-{int(call.world.wall()):08x}-{call.world.token(12).hex()};Sampled=0"


def _wall_ms(call: Call) -> int:
    return int(call.world.wall() * 1000)
