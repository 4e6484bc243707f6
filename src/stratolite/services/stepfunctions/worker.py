"""What executions wait for: tasks carried out under their role, alarms, the steps they lead to, and the end of old ones.

A task is claimed, its call is made, and its answer is settled in the transaction that takes the execution's next step; after a
crash the call is made again. What the jobs hold: the front page.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from stratolite.core import Tx
from stratolite.errors import Fault
from stratolite.service import Call, Cloud, Job, Principal, Settle, Worker
from stratolite.services.stepfunctions import running, state, tasks
from stratolite.services.stepfunctions.bodies import TooLarge, drained
from stratolite.services.stepfunctions.running import ALARM, DROP, EXPIRE, STEP, TASK
from stratolite.services.stepfunctions.state import Place, Record
from stratolite.workflow import Broke, Event, Stop, Submitted, Succeeded

SERVICE = "states.amazonaws.com"
RESULT_BYTES_MAX = 262_144
_PAGE_ROWS = 200
_NOT_TRUSTED = "Neither the global service principal states.amazonaws.com, nor the regional one is authorized to assume the provided role."


def workers(cloud: Cloud) -> Iterable[Worker]:
    return (_Step(cloud), _Alarm(cloud), _Task(cloud), _Expire(cloud), _Drop(cloud))


def _call(cloud: Cloud, said: Record) -> Call:
    return cloud.call(said["account"], said["region"])


def _place(said: Record) -> Place:
    return Place(said["machine"], said["name"])


class _Step:
    """Brings an event that another transaction left."""

    queue, ordered, concurrency = STEP, False, 32

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        call = _call(self._cloud, said)

        def settle(tx: Tx) -> None:
            call.tx = tx
            running.advance(call, _place(said), running.event_of(said))

        return settle


class _Alarm:
    queue, ordered, concurrency = ALARM, False, 32

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        call = _call(self._cloud, said)

        def settle(tx: Tx) -> None:
            call.tx = tx
            place = _place(said)
            tx.delete(state.pending_key(call.keys("stepfunctions"), place, said["line"], said["kind"]))  # fmt: skip
            running.advance(call, place, running.event_of(said))

        return settle


class _Task:
    queue, ordered, concurrency = TASK, False, 256

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        call = _call(self._cloud, said)
        task = tasks.parse(said["resource"])
        assert isinstance(task, tasks.Function | tasks.Integration)
        event, follows = await _carried_out(call, said, task)

        def settle(tx: Tx) -> None:
            call.tx = tx
            place = _place(said)
            tx.delete(state.pending_key(call.keys("stepfunctions"), place, said["line"], "task"))
            running.advance(call, place, event)
            if follows:
                assert isinstance(task, tasks.Integration)
                running.follow(call, place, said["line"], said["wait"], follows, task.pattern)

        return settle


async def _carried_out(
    call: Call, said: Record, task: tasks.Function | tasks.Integration
) -> tuple[Event, str]:
    """(what became of the task, the execution its end depends on)."""
    line, wait = said["line"], said["wait"]
    try:
        acting = await _acting(call, said)
    except Fault as fault:
        return Broke(line, wait, "States.TaskFailed", fault.message), ""
    if isinstance(task, tasks.Function):
        return await _invoked(acting, said, task), ""
    try:
        request = _request(call, said, task)
        answer = await acting.request(task.service, task.operation, request)
        document = await _document(call, task, answer)
    except TooLarge:
        return Broke(line, wait, "States.DataLimitExceeded", _too_large(task.kind)), ""
    except Fault as fault:
        error, cause = _failure(call, task, fault)
        return Broke(line, wait, error, cause), ""
    except (ValueError, TypeError) as error:
        return Broke(line, wait, "States.Runtime", f"The Parameters '{said['parameters']}' could not be used to start the Task: [{error}]"), ""  # fmt: skip
    if task.service == "lambda" and task.operation == "Invoke" and not task.is_sdk and "FunctionError" in answer:  # fmt: skip
        return _function_error(line, wait, answer), ""
    text = orjson.dumps(document).decode()
    if task.kind == "events" and document.get("FailedEntryCount"):
        return Broke(line, wait, "EventBridge.FailedEntry", text), ""
    if len(text.encode()) > RESULT_BYTES_MAX:
        return Broke(line, wait, "States.DataLimitExceeded", _too_large(task.kind)), ""
    if not task.pattern:
        return Succeeded(line, wait, text), ""
    follows = answer["executionArn"] if task.pattern.startswith("sync") else ""
    return Submitted(line, wait, text), follows


async def _acting(call: Call, said: Record) -> Call:
    """The call under the machine's role, or under the one its state's Credentials name. Raises Fault."""
    session = said["wait"].replace("-", "")[:32]
    try:
        acting = await call.as_role(said["role"], SERVICE, said["machine_arn"], session)
    except Fault as fault:
        raise Fault("AccessDeniedException", _NOT_TRUSTED) from fault
    acting = acting.scoped(call.account, call.region)
    if not said["credentials"]:
        return acting
    role = orjson.loads(said["credentials"])["RoleArn"]
    try:
        answer = await acting.request("sts", "AssumeRole", {"RoleArn": role, "RoleSessionName": session})  # fmt: skip
    except Fault as fault:
        raise Fault("AccessDeniedException", f"The role {said['role']} is not authorized to assume the task state's role, {role}.") from fault  # fmt: skip
    user, account = answer["AssumedRoleUser"], role.split(":")[4]
    who = Principal("role", account, user["Arn"], user["Arn"].split("/")[-2], session, user_id=user["AssumedRoleId"])  # fmt: skip
    return call.scoped(account, call.region, who)


# -- functions by their ARN


async def _invoked(acting: Call, said: Record, task: tasks.Function) -> Event:
    line, wait = said["line"], said["wait"]
    region, account = task.arn.split(":")[3:5]
    ask = {"FunctionName": task.arn, "Payload": said["parameters"].encode()}
    try:
        answer = await acting.scoped(account, region).request("lambda", "Invoke", ask)
    except Fault as fault:
        as_call = tasks.Integration("lambda", "invoke", "lambda", "Invoke", "")
        return Broke(line, wait, *_failure(acting, as_call, fault))
    if "FunctionError" in answer:
        return _function_error(line, wait, answer)
    if len(answer["Payload"]) > RESULT_BYTES_MAX:
        return Broke(line, wait, "States.DataLimitExceeded", _too_large(task.arn))
    return Succeeded(line, wait, answer["Payload"].decode() or "null")


def _function_error(line: int, wait: str, answer: Record) -> Broke:
    text = answer["Payload"].decode()
    try:
        error = orjson.loads(text)["errorType"]
    except (ValueError, KeyError, TypeError):
        error = "Lambda.Unknown"
    return Broke(line, wait, str(error), text)


def _too_large(name: str) -> str:
    return f"The state/task '{name}' returned a result with a size exceeding the maximum number of bytes service limit."


# -- calls of APIs


def _request(call: Call, said: Record, task: tasks.Integration) -> Record:
    """Raises ValueError for parameters that make no request."""
    document = orjson.loads(said["parameters"])
    if not isinstance(document, dict):
        raise ValueError("the parameters must be an object")  # noqa: TRY004 - one kind of wrong
    if task.service == "lambda" and task.operation == "Invoke" and not task.is_sdk:
        payload = document.pop("Payload", None)
        if not isinstance(
            payload, str
        ):  # a string is taken for the JSON text itself, null for nothing, as AWS does
            payload = orjson.dumps({} if payload is None else payload).decode()
        return {**_read(call, task, document), "Payload": payload.encode()}
    request = _read(call, task, document)
    if task.service == "stepfunctions" and task.operation == "StartExecution":
        request.setdefault(
            "name", said["wait"]
        )  # the same when the call is made again after a crash
    return request


def _read(call: Call, task: tasks.Integration, document: Record) -> Record:
    found: Record = call.cloud.documents.read_request(task.service, task.operation, document)
    call.cloud.validate(task.service, task.operation, found)
    return found


async def _document(call: Call, task: tasks.Integration, answer: Record) -> Record:
    """The answer as the state sees it."""
    read = {name: await drained(value, RESULT_BYTES_MAX) for name, value in answer.items()}
    document: Record = call.cloud.documents.write_answer(task.service, task.operation, read)
    if task.is_sdk or task.kind == "events":
        return document
    if task.service == "lambda":
        document["Payload"] = _parsed(answer["Payload"])
        document.setdefault("StatusCode", 200)
    request_id = call.world.uuid()
    document["SdkHttpMetadata"] = {
        "AllHttpHeaders": {"x-amzn-RequestId": [request_id]},
        "HttpHeaders": {"x-amzn-RequestId": request_id},
        "HttpStatusCode": 200,
    }
    document["SdkResponseMetadata"] = {"RequestId": request_id}
    return dict(sorted(document.items()))


def _parsed(payload: bytes) -> Any:
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        return payload.decode(errors="replace")


def _failure(call: Call, task: tasks.Integration, fault: Fault) -> tuple[str, str]:
    """(error, cause) as the SDK for Java words them."""
    words = tasks.words(task)
    name = words.unknown
    if call.cloud.documents.is_error(task.service, fault.code):
        name = fault.code if fault.code.endswith("Exception") else f"{fault.code}Exception"
    status, request_id = call.cloud.documents.status(task.service, fault), call.request_id
    if task.is_sdk:
        extended = f", Extended Request ID: {request_id}" if task.service == "s3" else ""
        cause = f"{fault.message} (Service: {words.java}, Status Code: {status}, Request ID: {request_id}{extended}) (SDK Attempt Count: 1)"
    else:
        cause = f"{fault.message} (Service: {words.java}; Status Code: {status}; Error Code: {fault.code}; Request ID: {request_id}; Proxy: null)"
    return f"{words.prefix}.{name}", cause


# -- the end of old ones


class _Expire:
    """Deletes an execution that has been over for long; the definitions of a machine that is gone with its last one."""

    queue, ordered, concurrency = EXPIRE, False, 4

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        call, place = _call(self._cloud, said), _place(said)

        def page(inner: Call) -> bool:
            return state.drop_page(inner.tx, inner.keys("stepfunctions"), place, _PAGE_ROWS)

        while await call.transact(page):
            pass

        def settle(tx: Tx) -> None:
            keys = call.keys("stepfunctions")
            is_gone = state.get(tx, keys, "machine", place.machine) is None
            if is_gone and not any(True for _ in state.listed(tx, keys, place.machine, None, None)):
                state.drop_definitions(tx, keys, place.machine, _PAGE_ROWS)

        return settle


class _Drop:
    """The end of a machine: what runs is stopped, then its versions, aliases and itself go."""

    queue, ordered, concurrency = DROP, False, 2

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        call, machine = _call(self._cloud, said), said["machine"]

        def stop_some(inner: Call) -> bool:
            keys = inner.keys("stepfunctions")
            found = state.listed(inner.tx, keys, machine, "RUNNING", None)
            some = [name for _, name in zip(range(20), (name for _, name in found), strict=False)]
            for name in some:
                running.advance(inner, Place(machine, name), Stop(None, None))
            return bool(some)

        while await call.transact(stop_some):
            pass

        def settle(tx: Tx) -> None:
            keys = call.keys("stepfunctions")
            for kind in ("version", "alias"):
                for name in [n for n, _ in state.rows(tx, keys, kind, machine)]:
                    state.delete(tx, keys, kind, machine, name)
            state.delete(tx, keys, "machine", machine)
            if not any(True for _ in state.listed(tx, keys, machine, None, None)):
                state.drop_definitions(tx, keys, machine, _PAGE_ROWS)

        return settle
