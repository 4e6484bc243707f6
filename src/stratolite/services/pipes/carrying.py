"""A batch through the filters, the enrichment and to the target. Raises Fault or ValueError where it gets no further."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import orjson

from stratolite import delivery
from stratolite.errors import Fault
from stratolite.input_template import MISSING, fill, select
from stratolite.patterns import compile_pattern
from stratolite.service import Call
from stratolite.services.pipes.items import Item, opened
from stratolite.services.pipes.journal import Journal

_EVENTS_A_CALL = 10


class Failed(Exception):
    """The enrichment or target took the batch and failed."""


def wanted(request: dict[str, Any], batch: Sequence[Item]) -> list[Item]:
    """What one of the filters lets through; all if there is none."""
    criteria = (request.get("SourceParameters") or {}).get("FilterCriteria") or {}
    patterns = [compile_pattern(one["Pattern"]) for one in criteria.get("Filters") or ()]
    if not patterns:
        return list(batch)
    return [i for i in batch if any(p.matches(opened(i.event)) for p in patterns)]


async def carry(acting: Call, arn: str, request: dict[str, Any], batch: Sequence[Item]) -> set[str]:
    """The ids of those that the target says it failed with.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-batching-concurrency.html#pipes-partial-batch-failure
    """
    journal = Journal(acting, arn, request)
    events: list[Any] = [item.event for item in batch]
    journal.note("EXECUTION_STARTED", payload=_text(events))
    began_s = acting.world.mono()
    _measure(acting, arn, "Invocations")
    _measure(acting, arn, "EventCount", len(batch))
    _measure(acting, arn, "EventSize", sum(len(orjson.dumps(event)) for event in events), "Bytes")
    try:
        answer = await _carry(acting, arn, request, events, journal)
    except (Fault, ValueError, Failed) as error:
        journal.note("EXECUTION_FAILED", error)
        _measure(acting, arn, "ExecutionFailed")
        await journal.send()
        raise
    failed = _failed(answer, batch)
    _measure(acting, arn, "ExecutionFailed", 0)
    _measure(acting, arn, "ExecutionPartiallyFailed", float(bool(failed)))
    _measure(acting, arn, "Duration", (acting.world.mono() - began_s) * 1000, "Milliseconds")
    journal.note("EXECUTION_PARTIALLY_FAILED" if failed else "EXECUTION_SUCCEEDED")
    await journal.send()
    return failed


def _measure(acting: Call, arn: str, name: str, value: float = 1, unit: str = "Count") -> None:
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-monitoring.html"""
    pipe = delivery.parse(arn)
    dimensions = (("PipeName", pipe.resource.removeprefix("pipe/")),)
    place = pipe.account, pipe.region, "AWS/EventBridge/Pipes", dimensions
    acting.cloud.measure(*place, name, value, unit)


@contextmanager
def _stage(acting: Call, arn: str, name: str) -> Iterator[None]:
    """Enrichment or Target: how long it takes, and whether it fails."""
    began_s, failed = acting.world.mono(), 1.0
    try:
        yield
        failed = 0.0
    finally:
        took_ms = (acting.world.mono() - began_s) * 1000
        _measure(acting, arn, f"{name}StageDuration", took_ms, "Milliseconds")
        _measure(acting, arn, f"{name}StageFailed", failed)


def _failed(answer: bytes, batch: Sequence[Item]) -> set[str]:
    """What {"batchItemFailures": [{"itemIdentifier": id}]} names; all of the batch where it names what is not in it."""
    try:
        said = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return set()
    named = said.get("batchItemFailures") if isinstance(said, dict) else None
    if not named:
        return set()
    known = {item.identifier: item.id for item in batch}
    given = [one.get("itemIdentifier") if isinstance(one, dict) else None for one in named] if isinstance(named, list) else [None]  # fmt: skip
    if any(one not in known for one in given):
        return set(known.values())
    return {known[str(one)] for one in given}


async def _carry(
    acting: Call, arn: str, request: dict[str, Any], events: list[Any], journal: Journal
) -> bytes:
    """What the target answered; nothing where it answers nothing."""
    if enrichment := request.get("Enrichment"):
        template = (request.get("EnrichmentParameters") or {}).get("InputTemplate")
        journal.note("ENRICHMENT_STAGE_ENTERED", payload=_text(events))
        asked = _transformed(acting, arn, request, template, events, ("ENRICHMENT", journal))
        invoking = _invoking("ENRICHMENT", f"[{','.join(asked)}]", journal)
        with _stage(acting, arn, "Enrichment"), invoking as said:
            answer = await _enriched(acting, enrichment, said.request)
            said.response = (answer or b"null").decode("utf-8", "replace")
        found = orjson.loads(answer or b"null")
        events = found if isinstance(found, list) else [] if found in (None, "", {}) else [found]
        journal.note("ENRICHMENT_STAGE_EXITED", payload=_text(events))
    if not events:
        journal.note("TARGET_INVOCATION_SKIPPED")
        return b""
    about = request.get("TargetParameters") or {}
    journal.note("TARGET_STAGE_ENTERED", payload=_text(events))
    template = about.get("InputTemplate")
    texts = _transformed(acting, arn, request, template, events, ("TARGET", journal))
    invoking = _invoking("TARGET", f"[{','.join(texts)}]", journal)
    with _stage(acting, arn, "Target"), invoking as said:
        answer = await _deliver(acting, request["Target"], about, texts, events)
        said.response = answer.decode("utf-8", "replace")
    journal.note("TARGET_STAGE_EXITED")
    return answer


def _text(events: list[Any]) -> str:
    return orjson.dumps(events).decode()


def _transformed(
    acting: Call,
    arn: str,
    request: dict[str, Any],
    template: str | None,
    events: list[Any],
    noted: tuple[str, Journal],
) -> list[str]:
    """The events as a stage is sent them. Raises ValueError for a template that does not fit one."""
    stage, journal = noted
    if template:
        journal.note(f"{stage}_TRANSFORMATION_STARTED", payload=_text(events))
    try:
        texts = [_shaped(acting, arn, request, template, event) for event in events]
    except ValueError as error:
        journal.note(f"{stage}_TRANSFORMATION_FAILED", error)
        raise
    if template:
        journal.note(f"{stage}_TRANSFORMATION_SUCCEEDED", payload=f"[{','.join(texts)}]")
    return texts


class _Said:
    def __init__(self, request: str) -> None:
        self.request, self.response = request, ""


@contextmanager
def _invoking(stage: str, request: str, journal: Journal) -> Iterator[_Said]:
    said = _Said(request)
    journal.note(f"{stage}_INVOCATION_STARTED", awsRequest=request)
    try:
        yield said
    except (Fault, ValueError, Failed) as error:
        journal.note(f"{stage}_INVOCATION_FAILED", error, awsRequest=request)
        raise
    journal.note(f"{stage}_INVOCATION_SUCCEEDED", awsRequest=request, awsResponse=said.response)


def _shaped(acting: Call, arn: str, request: dict[str, Any], template: str | None, event: Any) -> str:  # fmt: skip
    if not template:
        return orjson.dumps(event).decode()
    seen = opened(event) if isinstance(event, dict) else event
    now = datetime.fromtimestamp(acting.world.cloud(), UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    own = {
        "aws.pipes.pipe-arn": arn,
        "aws.pipes.pipe-name": arn.rpartition("/")[2],
        "aws.pipes.source-arn": request["Source"],
        "aws.pipes.enrichment-arn": request.get("Enrichment", ""),
        "aws.pipes.target-arn": request["Target"],
        "aws.pipes.event.ingestion-time": now,
        "aws.pipes.event": seen,
        "aws.pipes.event.json": seen,
    }
    return fill(template, lambda name: own[name] if name in own else select(name, seen))


async def _call_function(acting: Call, arn: str, payload: str) -> bytes:
    there = _at(acting, arn)
    ask = {"FunctionName": arn, "InvocationType": "RequestResponse", "Payload": payload.encode()}
    answer = await there.request("lambda", "Invoke", ask)
    if "FunctionError" in answer:
        raise Failed(answer["Payload"][:500].decode("utf-8", "replace"))
    found: bytes = answer["Payload"]
    return found


async def _enriched(acting: Call, arn: str, payload: str) -> bytes:
    """By a function, or by an express state machine that is waited for."""
    if delivery.parse(arn).service == "states":
        return await _start(acting, arn, payload, "REQUEST_RESPONSE")
    return await _call_function(acting, arn, payload)


async def _start(acting: Call, machine: str, payload: str, how: str) -> bytes:
    """Its output, where it is waited for. An execution with the whole batch; one that is waited for, if the machine is an express one, as is the default.

    https://docs.aws.amazon.com/eventbridge/latest/pipes-reference/API_PipeTargetStateMachineParameters.html
    """
    there = _at(acting, machine)
    ask = {"stateMachineArn": machine, "input": payload}
    if how != "FIRE_AND_FORGET":
        try:
            answer = await there.request("stepfunctions", "StartSyncExecution", ask)
        except Fault as fault:
            if how or fault.code != "StateMachineTypeNotSupported":
                raise
        else:
            if answer["status"] != "SUCCEEDED":
                raise Failed(f"{answer['status']} {answer.get('error', '')}")
            output: str = answer.get("output") or ""
            return output.encode()
    await there.request("stepfunctions", "StartExecution", ask)
    return b""


async def _deliver(
    acting: Call, target: str, about: dict[str, Any], texts: list[str], events: list[Any]
) -> bytes:
    kind = delivery.parse(target).service
    if kind == "lambda":
        how = (about.get("LambdaFunctionParameters") or {}).get("InvocationType", "REQUEST_RESPONSE")  # fmt: skip
        if how == "REQUEST_RESPONSE":
            return await _call_function(acting, target, f"[{','.join(texts)}]")
        await delivery.send(acting, target, f"[{','.join(texts)}]")
        return b""
    if kind == "states":
        how = (about.get("StepFunctionStateMachineParameters") or {}).get("InvocationType", "")
        return await _start(acting, target, f"[{','.join(texts)}]", how)
    if kind == "events":
        await _put_events(acting, target, about.get("EventBridgeEventBusParameters") or {}, texts, events)  # fmt: skip
        return b""
    queue = about.get("SqsQueueParameters") or {}
    key = (about.get("KinesisStreamParameters") or {}).get("PartitionKey", "")
    stream = (about.get("CloudWatchLogsParameters") or {}).get("LogStreamName", "")
    for text, event in zip(texts, events, strict=True):
        options = delivery.Options(
            group_id=_value(queue.get("MessageGroupId", ""), event),
            deduplication_id=_value(queue.get("MessageDeduplicationId", ""), event),
            partition_key=_value(key, event),
            name=_value(stream, event),
        )
        await delivery.send(acting, target, text, options)
    return b""


async def _put_events(
    acting: Call, bus: str, about: dict[str, Any], texts: list[str], events: list[Any]
) -> None:
    there = _at(acting, bus)
    entries = []
    for text, event in zip(texts, events, strict=True):
        entry: dict[str, Any] = {
            "EventBusName": bus,
            "Source": _value(about.get("Source", "Pipe"), event),
            "DetailType": _value(about.get("DetailType", "Event from aws:pipes"), event),
            "Detail": text,
        }
        if resources := about.get("Resources"):
            entry["Resources"] = [_value(one, event) for one in resources]
        entries.append(entry)
    for at in range(0, len(entries), _EVENTS_A_CALL):
        answer = await there.request("events", "PutEvents", {"Entries": entries[at : at + _EVENTS_A_CALL]})  # fmt: skip
        for one in answer["Entries"]:
            if "ErrorCode" in one:
                raise Fault(one["ErrorCode"], one["ErrorMessage"], status=400)


def _value(text: str, event: Any) -> str:
    """A parameter may be a path into the event."""
    if not text.startswith("$."):
        return text
    found = select(text, opened(event) if isinstance(event, dict) else event)
    if found is MISSING:
        raise ValueError(f"{text} leads nowhere")
    return found if isinstance(found, str) else orjson.dumps(found).decode()


def _at(acting: Call, arn: str) -> Call:
    place = delivery.parse(arn)
    return acting.scoped(place.account or acting.account, place.region or acting.region)
