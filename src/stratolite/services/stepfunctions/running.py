"""Steps of executions in transactions: what the engine says is kept, told and put to work.

    start(call, machine, ...)                 # a new execution, its first step taken
    advance(call, place, event)               # one step more; nothing for an execution that is over

Both run inside a transaction; ``call`` is of the execution's account and region.
"""

from __future__ import annotations

from typing import Any

import orjson

from stratolite.service import Call
from stratolite.service_events import Entry, announce, entry
from stratolite.services.stepfunctions import history, metrics, names, state, tasks
from stratolite.services.stepfunctions.state import Place, Record
from stratolite.workflow import (
    Alarm,
    Around,
    Begin,
    Broke,
    Chance,
    Command,
    Continue,
    Drop,
    Event,
    Fetched,
    Machine,
    Over,
    Rang,
    Run,
    Stop,
    Succeeded,
    TimeUp,
    Trouble,
    Went,
    compile_definition,
    iso_ms,
    step,
    waits,
)

STEP, ALARM, TASK = "stepfunctions.step", "stepfunctions.alarm", "stepfunctions.task"
EXPIRE, DROP = "stepfunctions.expire", "stepfunctions.drop"
KEEP_S = 90 * 86_400.0
"""How long executions that are over are kept: https://docs.aws.amazon.com/step-functions/latest/dg/limits-overview.html"""
EXPRESS_S_MAX = 300.0
_STATUSES = {"succeeded": "SUCCEEDED", "failed": "FAILED", "aborted": "ABORTED", "timed_out": "TIMED_OUT"}  # fmt: skip
_TOP = 0
"""The line of what concerns the execution as a whole."""


def compile_kept(raw: bytes) -> Machine:
    machine, problems = compile_definition(raw.decode())
    assert machine is not None, problems
    return machine


def start(call: Call, place: Place, record: Record, input_: str) -> None:
    """``record``: machine ARNs, role, definition, is_express; the rest is filled in."""
    record |= {"status": "RUNNING", "started_s": call.tx.time_s, "id": call.world.uuid()}
    keys = call.keys("stepfunctions")
    state.add_execution(call.tx, keys, place, record, input_)
    machine = state.compiled(call.tx, keys, place.machine, record["definition"], compile_kept)
    timeout_s = machine.timeout_s
    if record["is_express"]:
        timeout_s = min(timeout_s or EXPRESS_S_MAX, EXPRESS_S_MAX)
    if timeout_s is not None:
        _ring(call, place, Alarm(_TOP, "", "time_up", call.tx.time_s + timeout_s))
    _announce(call, place, record)
    metrics.started(call, record)
    advance(call, place, Begin(input_))


def advance(call: Call, place: Place, event: Event) -> None:
    keys, tx = call.keys("stepfunctions"), call.tx
    record = state.execution(tx, keys, place)
    if record is None or record["status"] != "RUNNING":
        return
    machine = state.compiled(tx, keys, place.machine, record["definition"], compile_kept)
    around = Around(
        tx.time_s,
        Chance(call.world.uuid, lambda: int.from_bytes(call.world.token(6), "big") / 2**48),
        lambda: _context(call, place, record),
        lambda line, wait, resource: _token(call, place, line, wait, resource),
        lambda resource: _is_held(call, resource),
    )
    outcome = step(machine, state.remembered(tx, keys, place), event, around)
    for key, value in outcome.changes.items():
        stored = state.memory_key(keys, place, key)
        if value is None:
            tx.delete(stored)
        else:
            tx.put(stored, value)
    is_heartbeat = isinstance(event, Rang) and event.kind == "heartbeat"
    for happened in outcome.history:
        if happened.kind.startswith("task_"):
            resource = happened.details["resource"]
            metrics.happened(call, happened.kind, resource, is_heartbeat=is_heartbeat)
        happened.details["region"] = call.region
        said = history.spelled(happened, tx.time_s, record["role"])
        state.put_event(tx, keys, place, said)
    for command in outcome.commands:
        _obey(call, place, record, command)


def _context(call: Call, place: Place, record: Record) -> Record:
    keys = call.keys("stepfunctions")
    execution = {
        "Id": names.execution_arn(call, place, is_express=record["is_express"]),
        "Input": orjson.loads(state.execution_input(call.tx, keys, place)),
        "StartTime": iso_ms(record["started_s"]),
        "Name": place.name.partition(":")[0],
        "RoleArn": record["role"],
    }
    if not record.get("is_awaited"):
        execution["RedriveCount"] = 0
    return {
        "Execution": execution,
        "StateMachine": {"Id": record["machine_arn"], "Name": place.machine},
    }


def _token(call: Call, place: Place, line: int, wait: str, resource: str) -> str:
    return names.token(call, place, line, wait) if resource.endswith(".waitForTaskToken") else ""


def _is_held(call: Call, resource: str) -> bool:
    task = tasks.parse(resource)
    if not isinstance(task, tasks.Activity):
        return False
    if state.get(call.tx, call.keys("stepfunctions"), "activity", task.name) is None:
        raise Trouble(f"The activity {resource} does not exist.")
    return True


# -- commands


def said_of(call: Call, place: Place, **more: Any) -> bytes:
    said = {"account": call.account, "region": call.region, "machine": place.machine, "name": place.name}  # fmt: skip
    return orjson.dumps({**said, **more})


def event_of(said: Record) -> Event:
    """The event a job of ``step`` or ``alarm`` brings."""
    kind, line, wait = said["kind"], said.get("line", 0), said.get("wait", "")
    if kind == "went":
        return Went()
    if kind == "time_up":
        return TimeUp()
    if kind == "stop":
        return Stop(None, said.get("cause"))
    if kind == "succeeded":
        return Succeeded(line, wait, said["output"])
    if kind == "broke":
        return Broke(line, wait, said["error"], said["cause"])
    return Rang(line, wait, kind)


def _obey(call: Call, place: Place, record: Record, command: Command) -> None:
    if isinstance(command, Run):
        _run(call, place, record, command)
    elif isinstance(command, Alarm):
        _ring(call, place, command)
    elif isinstance(command, Drop):
        _void(call, place, command.line)
    elif isinstance(command, Continue):
        call.cloud.work.put(call.tx, STEP, said_of(call, place, kind="went"))
    elif isinstance(command, Over):
        _over(call, place, record, command)


def _run(call: Call, place: Place, record: Record, run: Run) -> None:
    keys = call.keys("stepfunctions")
    if run.is_held:
        task = tasks.parse(run.resource)
        assert isinstance(task, tasks.Activity)
        key = keys.key("waiting", task.name, call.tx.stamp())
        call.tx.put(key, said_of(call, place, line=run.line, wait=run.wait, input=run.parameters))
        call.tx.put(state.pending_key(keys, place, run.line, "held"), key)
        return
    said = said_of(
        call, place, line=run.line, wait=run.wait, resource=run.resource, parameters=run.parameters,
        credentials=run.credentials, role=record["role"], machine_arn=record["machine_arn"],
    )  # fmt: skip
    job = call.cloud.work.put(call.tx, TASK, said)
    call.tx.put(state.pending_key(keys, place, run.line, "task"), job)


def _ring(call: Call, place: Place, alarm: Alarm) -> None:
    key = state.pending_key(call.keys("stepfunctions"), place, alarm.line, alarm.kind)
    if (old := call.tx.get(key)) is not None:
        call.cloud.work.cancel(call.tx, old)
    said = said_of(call, place, line=alarm.line, wait=alarm.wait, kind=alarm.kind)
    job = call.cloud.work.put(call.tx, ALARM, said, due_s=alarm.due_s)
    call.tx.put(key, job)


def _void(call: Call, place: Place, line: int) -> None:
    for key, kind, value in state.pending(call.tx, call.keys("stepfunctions"), place, line):
        if kind == "held":
            call.tx.delete(value)
        elif kind == "child":
            call.cloud.work.put(call.tx, STEP, value)
        else:
            call.cloud.work.cancel(call.tx, value)
        call.tx.delete(key)


def fetch(call: Call, activity: str, worker: str | None) -> Record | None:
    """The oldest task that waits for a worker of the activity, begun; None if there is none."""
    keys = call.keys("stepfunctions")
    for key, raw in list(call.tx.scan(state.waiting_span(keys, activity), limit=1)):
        said: Record = orjson.loads(raw)
        place = Place(said["machine"], said["name"])
        call.tx.delete(key)
        call.tx.delete(state.pending_key(keys, place, said["line"], "held"))
        advance(call, place, Fetched(said["line"], said["wait"], worker))
        return said
    return None


# -- tasks that end when another execution does


def follow(call: Call, place: Place, line: int, wait: str, arn: str, pattern: str) -> None:
    """The line's task is over when the execution ``arn`` is; if the task ends before, so does the other."""
    region, account, other = names.execution(arn)
    there = call.scoped(account, region)
    keys = there.keys("stepfunctions")
    record = state.execution(call.tx, keys, other)
    if record is None:
        return
    parent = orjson.loads(said_of(call, place, line=line, wait=wait, pattern=pattern))
    if record["status"] != "RUNNING":
        _tell_parent(there, other, record, parent)
        return
    record["parent"] = parent
    state.put_execution(call.tx, keys, other, record, "RUNNING")
    key = state.pending_key(call.keys("stepfunctions"), place, line, "child")
    call.tx.put(key, said_of(there, other, kind="stop"))


# -- the end


def _over(call: Call, place: Place, record: Record, over: Over) -> None:
    keys, tx = call.keys("stepfunctions"), call.tx
    _void(call, place, _TOP)
    record |= {"status": _STATUSES[over.status], "stopped_s": tx.time_s}
    for name, value in (("error", over.error), ("cause", over.cause)):
        if value is not None:
            record[name] = value
    if over.output is not None:
        state.put_output(tx, keys, place, over.output)
    state.put_execution(tx, keys, place, record, "RUNNING")
    keep_s = KEEP_S if not record["is_express"] else (EXPRESS_S_MAX if record.get("is_awaited") else 0.0)  # fmt: skip
    call.cloud.work.put(tx, EXPIRE, said_of(call, place), due_s=tx.time_s + keep_s)
    metrics.over(call, record, over.status)
    if (parent := record.get("parent")) is not None:
        _tell_parent(call, place, record, parent)
    _announce(call, place, record)


def described(call: Call, place: Place, record: Record) -> Record:
    """As DescribeExecution answers, but for redriving."""
    keys = call.keys("stepfunctions")
    answer: Record = {
        "executionArn": names.execution_arn(call, place, is_express=record["is_express"]),
        "stateMachineArn": record["machine_arn"],
        "name": place.name.partition(":")[0],
        "status": record["status"],
        "startDate": record["started_s"],
        "input": state.execution_input(call.tx, keys, place),
        "inputDetails": {"included": True},
    }
    if "stopped_s" in record:
        answer["stopDate"] = record["stopped_s"]
    if (output := state.output(call.tx, keys, place)) is not None:
        answer |= {"output": output, "outputDetails": {"included": True}}
    for ours, theirs in (("version_arn", "stateMachineVersionArn"), ("alias_arn", "stateMachineAliasArn")):  # fmt: skip
        if record.get(ours):
            answer[theirs] = record[ours]
    return answer | {name: record[name] for name in ("error", "cause") if name in record}


def _tell_parent(call: Call, place: Place, record: Record, parent: Record) -> None:
    """The task of another execution that waits for this one to end: .sync, .sync:2."""
    plain = described(call, place, record)
    said: Record = {}
    for name, value in plain.items():
        if name in ("startDate", "stopDate"):
            said[_capital(name)] = int(value * 1000)
        elif name in ("inputDetails", "outputDetails"):
            said[_capital(name)] = {"Included": True}
        elif name in ("input", "output") and parent["pattern"] == "sync:2":
            said[_capital(name)] = orjson.loads(value)
        else:
            said[_capital(name)] = value
    text = orjson.dumps(dict(sorted(said.items()))).decode()
    there = {k: parent[k] for k in ("account", "region", "machine", "name", "line", "wait")}
    if record["status"] == "SUCCEEDED":
        job = {**there, "kind": "succeeded", "output": text}
    else:
        job = {**there, "kind": "broke", "error": "States.TaskFailed", "cause": text}
    call.cloud.work.put(call.tx, STEP, orjson.dumps(job))


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]


def redrive_status(record: Record) -> tuple[str, str]:
    """What DescribeExecution says of it; RedriveExecution itself is not offered."""
    if record["status"] in ("RUNNING", "SUCCEEDED"):
        return "NOT_REDRIVABLE", f"Execution is {record['status']} and cannot be redriven"
    return "REDRIVABLE", ""


def _announce(call: Call, place: Place, record: Record) -> None:
    """Standard executions tell the default bus of every change of their status.

    https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
    """
    if not record["is_express"]:
        arn = names.execution_arn(call, place, is_express=False)
        announce(call, "states.amazonaws.com", lambda: _change(call, place, record), arn)


def _change(call: Call, place: Place, record: Record) -> Entry:
    plain = described(call, place, record)
    redrivable, reason = redrive_status(record)
    detail = {
        "executionArn": plain["executionArn"],
        "stateMachineArn": plain["stateMachineArn"],
        "name": plain["name"],
        "status": plain["status"],
        "startDate": int(record["started_s"] * 1000),
        "stopDate": int(record["stopped_s"] * 1000) if "stopped_s" in record else None,
        **_shown(plain, "input"),
        **_shown(plain, "output"),
        "stateMachineVersionArn": record.get("version_arn") or None,
        "stateMachineAliasArn": record.get("alias_arn") or None,
        "redriveCount": 0,
        "redriveDate": None,
        "redriveStatus": redrivable,
        "redriveStatusReason": reason or None,
        "error": record.get("error"),
        "cause": record.get("cause"),
    }
    what = "Step Functions Execution Status Change"
    return entry("aws.states", what, [plain["executionArn"]], detail)


_SHOWN_BYTES_MAX = 100_000
"""Of input or output in an event; what is larger is left out, as on AWS."""


def _shown(plain: Record, name: str) -> Record:
    value = plain.get(name)
    if value is None:
        return {name: None, f"{name}Details": None}
    if len(value) > _SHOWN_BYTES_MAX:
        return {name: None, f"{name}Details": {"included": False}}
    return {name: value, f"{name}Details": {"included": True}}


def is_waiting(call: Call, token: names.Token) -> bool:
    """Whether the line still waits for what the token speaks for."""
    read = state.remembered(call.tx, call.keys("stepfunctions"), token.place)
    return waits(read, token.line, token.wait)
