"""The engine's events in the words of GetExecutionHistory.

Source  https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
"""

from __future__ import annotations

from typing import Any

import orjson

from stratolite.services.stepfunctions import tasks
from stratolite.workflow import Happened

Record = dict[str, Any]
_INCLUDED = {"truncated": False}
_PLAIN = {
    "execution_aborted": ("ExecutionAborted", "executionAbortedEventDetails"),
    "execution_failed": ("ExecutionFailed", "executionFailedEventDetails"),
    "execution_timed_out": ("ExecutionTimedOut", "executionTimedOutEventDetails"),
    "evaluation_failed": ("EvaluationFailed", "evaluationFailedEventDetails"),
    "iteration_started": ("MapIterationStarted", "mapIterationStartedEventDetails"),
    "iteration_succeeded": ("MapIterationSucceeded", "mapIterationSucceededEventDetails"),
    "iteration_failed": ("MapIterationFailed", "mapIterationFailedEventDetails"),
    "iteration_aborted": ("MapIterationAborted", "mapIterationAbortedEventDetails"),
}


def spelled(happened: Happened, time_s: float, role: str) -> Record:
    """One event as the API shows it, ``timestamp`` in seconds."""
    kind, type_ = happened.kind, happened.type
    said = {name: value for name, value in happened.details.items() if value is not None}
    if kind in _PLAIN:
        name, member = _PLAIN[kind]
        details: Record | None = said
    elif kind.startswith("task_"):
        name, details = _task(kind.removeprefix("task_"), said)
        member = name[:1].lower() + name[1:] + "EventDetails"
    else:
        name, member, details = _other(kind, type_, said, role)
    event = {"timestamp": time_s, "type": name, "id": happened.id, "previousEventId": happened.previous}  # fmt: skip
    return event if details is None else {**event, member: details}


def _other(kind: str, type_: str, said: Record, role: str) -> tuple[str, str, Record | None]:
    if kind == "execution_started":
        details = {"input": said["input"], "inputDetails": _INCLUDED, "roleArn": role}
        return "ExecutionStarted", "executionStartedEventDetails", details
    if kind == "execution_succeeded":
        details = {"output": said["output"], "outputDetails": _INCLUDED}
        return "ExecutionSucceeded", "executionSucceededEventDetails", details
    if kind == "state_entered":
        details = {"name": said["name"], "input": said["input"], "inputDetails": _INCLUDED}
        return f"{type_}StateEntered", "stateEnteredEventDetails", details
    if kind == "state_exited":
        details = {"name": said["name"], "output": said["output"], "outputDetails": _INCLUDED}
        if said.get("assigned"):
            details |= {"assignedVariables": said["assigned"], "assignedVariablesDetails": _INCLUDED}  # fmt: skip
        return f"{type_}StateExited", "stateExitedEventDetails", details
    verb = kind.removeprefix("state_").capitalize()
    if type_ == "Map" and verb == "Started":
        return "MapStateStarted", "mapStateStartedEventDetails", {"length": said["length"]}
    return f"{type_}State{verb}", "", None


def _task(verb: str, said: Record) -> tuple[str, Record | None]:
    """Functions and activities have events of their own."""
    name = "".join(word.capitalize() for word in verb.split("_"))
    task = tasks.parse(said["resource"])
    failure: Record = {n: said[n] for n in ("error", "cause") if n in said}
    output: Record = (
        {"output": said["output"], "outputDetails": _INCLUDED} if "output" in said else {}
    )
    if isinstance(task, tasks.Integration):
        plain = {"resource": task.action, "resourceType": task.kind}
        if verb != "scheduled":
            return f"Task{name}", {**plain, **output, **failure}
        plain |= {"region": said["region"], "parameters": said["parameters"]}
        return "TaskScheduled", {**plain, **_times(said)}
    prefix = "LambdaFunction" if isinstance(task, tasks.Function) else "Activity"
    if verb == "scheduled":
        details = {"resource": said["resource"], "input": said["parameters"], "inputDetails": _INCLUDED}  # fmt: skip
        return f"{prefix}Scheduled", {**details, **_times(said)}
    if verb == "started":
        if prefix == "LambdaFunction":
            return "LambdaFunctionStarted", None
        return "ActivityStarted", {"workerName": said["who"]} if "who" in said else {}
    return f"{prefix}{name}", {**output, **failure}


def _times(said: Record) -> Record:
    made: Record = {}
    if "timeout_s" in said:
        made["timeoutInSeconds"] = said["timeout_s"]
    if "heartbeat_s" in said:
        made["heartbeatInSeconds"] = said["heartbeat_s"]
    if said.get("credentials"):
        made["taskCredentials"] = {"roleArn": orjson.loads(said["credentials"])["RoleArn"]}
    return made
