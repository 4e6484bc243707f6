"""What Step Functions tells CloudWatch: of executions, and of their tasks.

Executions are told for the account, for their machine, and for the version or alias they were started by. One that is over
counts for its outcome, and as nothing for the other outcomes, as on AWS: an alarm on failures goes back to OK.

Source  https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from stratolite.services.stepfunctions import tasks

if TYPE_CHECKING:
    from stratolite.service import Call

Record = dict[str, Any]
Dimensions = tuple[tuple[str, str], ...]
_NAMESPACE = "AWS/States"
_OUTCOMES = {"succeeded": "ExecutionsSucceeded", "failed": "ExecutionsFailed", "aborted": "ExecutionsAborted", "timed_out": "ExecutionsTimedOut"}  # fmt: skip
_TASKS = {"task_scheduled": "Scheduled", "task_started": "Started", "task_succeeded": "Succeeded", "task_failed": "Failed", "task_timed_out": "TimedOut"}  # fmt: skip
BILLED_STEP_MS = 100


def started(call: Call, record: Record) -> None:
    for dimensions in _of_execution(record):
        _count(call, dimensions, "ExecutionsStarted")


def over(call: Call, record: Record, outcome: str) -> None:
    """``outcome``: succeeded, failed, aborted, timed_out."""
    took_ms = (record["stopped_s"] - record["started_s"]) * 1000
    for dimensions in _of_execution(record):
        for kind, name in _OUTCOMES.items():
            _count(call, dimensions, name, float(kind == outcome))
        _count(call, dimensions, "ExecutionTime", took_ms, "Milliseconds")
        if record["is_express"]:
            _count(call, dimensions, "ExpressExecutionBilledDuration", billed_ms(took_ms), "Milliseconds")  # fmt: skip


def billed_ms(took_ms: float) -> int:
    """https://aws.amazon.com/step-functions/pricing/: duration is rounded up to the nearest 100 milliseconds."""
    return max(BILLED_STEP_MS, int(-(-took_ms // BILLED_STEP_MS)) * BILLED_STEP_MS)


def happened(call: Call, kind: str, resource: str, *, is_heartbeat: bool) -> None:
    """An event of a task, by the engine's name of it."""
    verb = _TASKS.get(kind)
    if verb is None:
        return
    noun, dimensions = _of_task(call.region, call.account, resource)
    if is_heartbeat and noun == "Activities":
        verb = "HeartbeatTimedOut"
    _count(call, dimensions, f"{noun}{verb}")


@lru_cache(maxsize=1024)
def _of_task(region: str, account: str, resource: str) -> tuple[str, Dimensions]:
    """Integrations are told by an ARN of the caller's: arn:aws:states:REGION:ACCOUNT:sqs:sendMessage."""
    task = tasks.parse(resource)
    if isinstance(task, tasks.Integration):
        arn = f"arn:aws:states:{region}:{account}:{task.kind}:{task.action}"
        return "ServiceIntegrations", (("ServiceIntegrationResourceArn", arn),)
    if isinstance(task, tasks.Activity):
        return "Activities", (("ActivityArn", resource),)
    return "LambdaFunctions", (("LambdaFunctionArn", resource),)


def _of_execution(record: Record) -> list[Dimensions]:
    machine = ("StateMachineArn", record["machine_arn"])
    found: list[Dimensions] = [(), (machine,)]
    if alias := record.get("alias_arn"):
        found.append((("Alias", alias.rpartition(":")[2]), machine))
    elif version := record.get("version_arn"):
        found.append((machine, ("Version", version.rpartition(":")[2])))
    return found


def _count(
    call: Call, dimensions: Dimensions, name: str, value: float = 1.0, unit: str = "Count"
) -> None:
    call.cloud.measure(call.account, call.region, _NAMESPACE, dimensions, name, value, unit)
