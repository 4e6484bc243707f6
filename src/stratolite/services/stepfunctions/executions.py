"""Executions and activities: start, stop, describe, list, history; tokens that report what became of a task."""

from __future__ import annotations

from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Cloud, Request, Response
from stratolite.services.stepfunctions import machines, metrics, names, running, state
from stratolite.services.stepfunctions.state import Place, Record
from stratolite.workflow import Beat, Broke, Event, Stop, Succeeded, json_trouble

_PAGE = 100
_INPUT_BYTES_MAX = 262_144
_POLL_S = 60.0
_LOOKED_AT_MAX = 1000
"""Executions one page looks at."""


class Executions:
    cloud: Cloud

    def start_execution(self, call: Call, request: Request) -> Response:
        revision = machines.resolve(call, request["stateMachineArn"])
        input_ = _input(request)
        is_express = revision.kind == "EXPRESS"
        name = names.check(request["name"]) if "name" in request else call.world.uuid()
        place = Place(revision.ref.name, f"{name}:{call.world.uuid()}" if is_express else name)
        keys = call.keys("stepfunctions")
        arn = names.execution_arn(call, place, is_express=is_express)
        known = state.execution(call.tx, keys, place)
        if known is not None:
            same = state.execution_input(call.tx, keys, place) == input_
            if known["status"] == "RUNNING" and same and known["started_with"] == request["stateMachineArn"]:  # fmt: skip
                return {"executionArn": arn, "startDate": known["started_s"]}
            raise Fault("ExecutionAlreadyExists", f"Execution Already Exists: '{arn}'")
        _start(call, place, revision, request, input_)
        return {"executionArn": arn, "startDate": call.tx.time_s}

    async def start_sync_execution(self, call: Call, request: Request) -> Response:
        """An express execution, and what it came to."""
        place = await call.transact(lambda inner: _start_awaited(inner, request))
        deadline_s = call.world.cloud() + 2 * running.EXPRESS_S_MAX

        def look(inner: Call) -> Response:
            keys = inner.keys("stepfunctions")
            record = state.execution(inner.tx, keys, place)
            if record is None or (record["status"] == "RUNNING" and inner.tx.time_s > deadline_s):
                raise Fault("InternalFailure", "the execution is gone", status=500)
            if record["status"] == "RUNNING":
                inner.tx.wait([keys.span("execution", *place)], deadline_s + 1)
            answer = running.described(inner, place, record)
            took_ms = (record["stopped_s"] - record["started_s"]) * 1000
            answer.setdefault("outputDetails", {"included": True})
            return answer | {
                "billingDetails": {
                    "billedMemoryUsedInMB": 64,
                    "billedDurationInMilliseconds": metrics.billed_ms(took_ms),
                }
            }

        answer = await call.transact(look)
        for member in ("stateMachineVersionArn", "stateMachineAliasArn"):
            answer.pop(member, None)
        return answer

    def stop_execution(self, call: Call, request: Request) -> Response:
        place, record = _find(call, request["executionArn"])
        if record["status"] != "RUNNING":
            return {"stopDate": record["stopped_s"]}
        running.advance(call, place, Stop(request.get("error"), request.get("cause")))
        return {"stopDate": call.tx.time_s}

    def describe_execution(self, call: Call, request: Request) -> Response:
        place, record = _find(call, request["executionArn"])
        status, reason = running.redrive_status(record)
        answer = running.described(call, place, record) | {"redriveCount": 0, "redriveStatus": status}  # fmt: skip
        return answer | ({"redriveStatusReason": reason} if reason else {})

    def list_executions(self, call: Call, request: Request) -> Response:
        if request.get("mapRunArn"):
            raise Fault("ValidationException", "Map runs are not offered by Stratolite; see docs/coverage.md")  # fmt: skip
        if "stateMachineArn" not in request:
            raise Fault("ValidationException", "Must provide a StateMachine ARN or MapRun ARN")
        ref, machine = machines.find(call, request["stateMachineArn"])
        if machine["type"] == "EXPRESS":
            raise Fault("StateMachineTypeNotSupported", "This operation is not supported by this type of state machine")  # fmt: skip
        limit, after = request.get("maxResults") or _PAGE, names.paged(request.get("nextToken"), int)  # fmt: skip
        if request.get("redriveFilter") == "REDRIVEN":
            return {"executions": []}
        keys, last = call.keys("stepfunctions"), 0
        found: list[Response] = []
        assert after is None or isinstance(after, int)
        wanted = f"{ref.arn}:{ref.qualifier}" if ref.qualifier else ""
        seen = 0
        for stamp, name in state.listed(call.tx, keys, ref.name, request.get("statusFilter"), after):  # fmt: skip
            record = state.execution(call.tx, keys, Place(ref.name, name))
            assert record is not None
            seen += 1
            if seen > _LOOKED_AT_MAX and seen > limit:
                return {"executions": found, "nextToken": names.page_token(last)}
            if wanted and wanted not in (record.get("version_arn"), record.get("alias_arn")):
                last = stamp
                continue
            if len(found) == limit:
                return {"executions": found, "nextToken": names.page_token(last)}
            last = stamp
            found.append(_listed(call, Place(ref.name, name), record))
        return {"executions": found}

    def get_execution_history(self, call: Call, request: Request) -> Response:
        place, _ = _find(call, request["executionArn"])
        limit, after = request.get("maxResults") or _PAGE, names.paged(request.get("nextToken"), int)  # fmt: skip
        is_reverse, keys = bool(request.get("reverseOrder")), call.keys("stepfunctions")
        found: list[Response] = []
        assert after is None or isinstance(after, int)
        for event in state.events(call.tx, keys, place, after, reverse=is_reverse):
            if len(found) == limit:
                return {"events": found, "nextToken": names.page_token(found[-1]["id"])}
            is_whole = request.get("includeExecutionData") is not False
            found.append(event if is_whole else _without_data(event))
        return {"events": found}

    # -- what became of a task

    def send_task_success(self, call: Call, request: Request) -> Response:
        names.token_of(request["taskToken"])
        try:
            orjson.loads(request["output"])
        except orjson.JSONDecodeError as error:
            raise Fault("InvalidOutput", f"Invalid Output: '{json_trouble(request['output'], error.lineno, error.colno)[0].partition(chr(10))[0]}'") from error  # fmt: skip
        return _report(call, request, lambda line, wait: Succeeded(line, wait, request["output"]))

    def send_task_failure(self, call: Call, request: Request) -> Response:
        error, cause = request.get("error"), request.get("cause")
        return _report(call, request, lambda line, wait: Broke(line, wait, error, cause))

    def send_task_heartbeat(self, call: Call, request: Request) -> Response:
        return _report(call, request, Beat)

    # -- activities

    def create_activity(self, call: Call, request: Request) -> Response:
        name, keys = names.check(request["name"]), call.keys("stepfunctions")
        kind = (request.get("encryptionConfiguration") or {}).get("type", "AWS_OWNED_KEY")
        if kind != "AWS_OWNED_KEY":
            raise Fault("InvalidEncryptionConfiguration", "Customer managed keys are not offered by Stratolite; see docs/coverage.md")  # fmt: skip
        record = state.get(call.tx, keys, "activity", name)
        if record is None:
            tags = machines.with_tags({}, request.get("tags"))
            record = {"created_s": call.tx.time_s, "tags": tags, "token": request.get("StackToken")}
            state.put(call.tx, keys, record, "activity", name)
        elif (token := request.get("StackToken")) is not None and record["token"] != token:
            raise Fault(
                "ActivityAlreadyExists",
                f"Activity Already Exists: '{names.activity_arn(call, name)}'",
            )
        return {"activityArn": names.activity_arn(call, name), "creationDate": record["created_s"]}

    def delete_activity(self, call: Call, request: Request) -> Response:
        region, account, name = names.activity(request["activityArn"])
        names.there(call, region, account, request["activityArn"])
        state.delete(call.tx, call.keys("stepfunctions"), "activity", name)
        return {}

    def describe_activity(self, call: Call, request: Request) -> Response:
        name, record = _activity(call, request["activityArn"])
        return {
            "activityArn": request["activityArn"],
            "name": name,
            "creationDate": record["created_s"],
            "encryptionConfiguration": {"type": "AWS_OWNED_KEY"},
        }

    def list_activities(self, call: Call, request: Request) -> Response:
        limit, after = request.get("maxResults") or _PAGE, names.paged(request.get("nextToken"), str)  # fmt: skip
        found: list[Response] = []
        for name, record in state.rows(call.tx, call.keys("stepfunctions"), "activity", after=after or ""):  # fmt: skip
            if len(found) == limit:
                return {"activities": found, "nextToken": names.page_token(found[-1]["name"])}
            arn = names.activity_arn(call, name)
            found.append({"activityArn": arn, "name": name, "creationDate": record["created_s"]})
        return {"activities": found}

    def get_activity_task(self, call: Call, request: Request) -> Response:
        """Waits up to a minute for a task; an empty answer says that none came."""
        name, _ = _activity(call, request["activityArn"])
        deadline_s = request.setdefault("deadline_s", call.tx.time_s + _POLL_S)
        said = running.fetch(call, name, request.get("workerName"))
        if said is None:
            if call.tx.time_s < deadline_s:
                span = state.waiting_span(call.keys("stepfunctions"), name)
                call.tx.wait([span], deadline_s)
            return {}
        place = Place(said["machine"], said["name"])
        token = names.token(call, place, said["line"], said["wait"])
        return {"taskToken": token, "input": said["input"]}


def _input(request: Request) -> str:
    """Raises Fault InvalidExecutionInput."""
    text: str = request.get("input", "{}")
    if len(text.encode()) > _INPUT_BYTES_MAX:
        raise Fault("ValidationException", f"1 validation error detected: Value at 'input' failed to satisfy constraint: Member must have length less than or equal to {_INPUT_BYTES_MAX}")  # fmt: skip
    if not text:
        raise _wrong_input("Invalid execution input.")
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError as error:
        said, _ = json_trouble(text, error.lineno, error.colno)
        raise _wrong_input(said.partition("\n")[0]) from error
    return text


def _wrong_input(said: str) -> Fault:
    return Fault("InvalidExecutionInput", f"Invalid State Machine Execution Input: '{said}'")


def _start(
    call: Call, place: Place, revision: machines.Revision, request: Request, input_: str, **more: Any
) -> None:  # fmt: skip
    kept = revision.record
    record = {
        "machine_arn": revision.ref.arn,
        "version_arn": revision.version_arn,
        "alias_arn": revision.alias_arn,
        "started_with": request["stateMachineArn"],
        "is_express": revision.kind == "EXPRESS",
        "revised_s": kept.get("updated_s", kept["created_s"]),
        **{m: kept[m] for m in ("definition", "role", "revision", "logging", "tracing")},
        **more,
    }
    running.start(call, place, record, input_)


def _start_awaited(call: Call, request: Request) -> Place:
    revision = machines.resolve(call, request["stateMachineArn"])
    if revision.kind != "EXPRESS":
        raise Fault("StateMachineTypeNotSupported", "This operation is not supported by this type of state machine")  # fmt: skip
    input_ = _input(request)
    name = names.check(request["name"]) if "name" in request else call.world.uuid()
    place = Place(revision.ref.name, f"{name}:{call.world.uuid()}")
    _start(call, place, revision, request, input_, is_awaited=True)
    return place


def _find(call: Call, arn: str) -> tuple[Place, Record]:
    region, account, place = names.execution(arn)
    names.there(call, region, account, arn)
    record = state.execution(call.tx, call.keys("stepfunctions"), place)
    if record is None:
        raise Fault("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'")
    return place, record


def _listed(call: Call, place: Place, record: Record) -> Response:
    plain = {
        "executionArn": names.execution_arn(call, place, is_express=False),
        "stateMachineArn": record["machine_arn"],
        "name": place.name,
        "status": record["status"],
        "startDate": record["started_s"],
        "redriveCount": 0,
    }
    if "stopped_s" in record:
        plain["stopDate"] = record["stopped_s"]
    for ours, theirs in (("version_arn", "stateMachineVersionArn"), ("alias_arn", "stateMachineAliasArn")):  # fmt: skip
        if record[ours]:
            plain[theirs] = record[ours]
    return plain


def _without_data(event: Record) -> Record:
    """An event without what flowed through it."""
    return {
        name: {n: v for n, v in value.items() if n not in ("input", "output", "inputDetails", "outputDetails", "parameters", "assignedVariables")}
        if isinstance(value, dict) and "parameters" not in value
        else value
        for name, value in event.items()
    }  # fmt: skip


def _activity(call: Call, arn: str) -> tuple[str, Record]:
    region, account, name = names.activity(arn)
    names.there(call, region, account, arn)
    record = state.get(call.tx, call.keys("stepfunctions"), "activity", name)
    if record is None:
        raise Fault("ActivityDoesNotExist", f"Activity Does Not Exist: '{arn}'")
    return name, record


def _report(call: Call, request: Request, event: Any) -> Response:
    """Raises Fault for a token that speaks for nothing that still waits."""
    token = names.token_of(request["taskToken"])
    there = call.scoped(token.account, token.region)
    record = state.execution(call.tx, there.keys("stepfunctions"), token.place)
    if record is None:
        raise Fault("TaskDoesNotExist", "Task does not exist")
    if record["status"] != "RUNNING" or not running.is_waiting(there, token):
        raise Fault("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
    made: Event = event(token.line, token.wait)
    running.advance(there, token.place, made)
    return {}
