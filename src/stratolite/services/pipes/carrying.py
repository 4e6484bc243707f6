"""A batch through the filters, the enrichment and to the target. Raises Fault or ValueError where it gets no further."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import orjson

from stratolite import delivery
from stratolite.errors import Fault
from stratolite.input_template import fill, fill_text, is_json, select
from stratolite.patterns import compile_pattern
from stratolite.service import Call
from stratolite.services.pipes import targets
from stratolite.services.pipes.items import Item, opened
from stratolite.services.pipes.journal import Journal
from stratolite.services.pipes.targets import Failed, Taken


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
        taken, sent = await _carry(acting, arn, request, events, journal)
    except (Fault, ValueError, Failed) as error:
        journal.note("EXECUTION_FAILED", error)
        _measure(acting, arn, "ExecutionFailed")
        await journal.send()
        raise
    failed = _named(taken.answer, batch) | _not_taken(taken, sent, batch)
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


def _named(answer: bytes, batch: Sequence[Item]) -> set[str]:
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


def _not_taken(taken: Taken, sent: list[Any], batch: Sequence[Item]) -> set[str]:
    """Whose events a batch API refused: by their ids, which an enrichment may keep; all of the batch where it does not."""
    known = {item.identifier: item.id for item in batch}
    found: set[str] = set()
    for number in taken.failed:
        event = sent[number]
        name = (event.get("messageId") or event.get("eventID")) if isinstance(event, dict) else None
        if name not in known:
            return set(known.values())
        found.add(known[name])
    return found


async def _carry(
    acting: Call, arn: str, request: dict[str, Any], events: list[Any], journal: Journal
) -> tuple[Taken, list[Any]]:
    """What the target took, of the events it was sent."""
    if request.get("Enrichment"):
        template = (request.get("EnrichmentParameters") or {}).get("InputTemplate")
        journal.note("ENRICHMENT_STAGE_ENTERED", payload=_text(events))
        asked = _transformed(acting, arn, request, template, events, ("ENRICHMENT", journal))
        invoking = _invoking("ENRICHMENT", f"[{','.join(asked)}]", journal)
        with _stage(acting, arn, "Enrichment"), invoking as said:
            events, said.response = await _enriched(acting, request, asked, events)
        journal.note("ENRICHMENT_STAGE_EXITED", payload=_text(events))
    if not events:
        journal.note("TARGET_INVOCATION_SKIPPED")
        return Taken(), events
    journal.note("TARGET_STAGE_ENTERED", payload=_text(events))
    template = (request.get("TargetParameters") or {}).get("InputTemplate")
    texts = _transformed(acting, arn, request, template, events, ("TARGET", journal))
    invoking = _invoking("TARGET", f"[{','.join(texts)}]", journal)
    with _stage(acting, arn, "Target"), invoking as said:
        taken = await targets.deliver(acting, request, texts, events)
        said.response = taken.answer.decode("utf-8", "replace")
    journal.note("TARGET_STAGE_EXITED")
    return taken, events


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
        there = request["Enrichment" if stage == "ENRICHMENT" else "Target"]
        needs_json = targets.kind_of(there) in targets.NEED_JSON
        texts = [
            _shaped(acting, arn, request, template, event, needs_json=needs_json)
            for event in events
        ]
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


def _shaped(
    acting: Call,
    arn: str,
    request: dict[str, Any],
    template: str | None,
    event: Any,
    *,
    needs_json: bool,
) -> str:
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

    def value(name: str) -> Any:
        return own[name] if name in own else select(name, seen)

    text = fill(template, value, must_be_json=False)
    if is_json(text):
        return text
    if needs_json:
        raise ValueError(f"what the InputTemplate makes is not JSON: {text[:200]}")
    return text if template.lstrip().startswith(("{", "[", '"')) else fill_text(template, value)


async def _enriched(
    acting: Call, request: dict[str, Any], texts: list[str], events: list[Any]
) -> tuple[list[Any], str]:
    """(the events it made, what it answered), by a function, an express state machine that is waited for, or by HTTP: one request for each event."""
    arn = request["Enrichment"]
    kind = targets.kind_of(arn)
    if kind == "http":
        given = (request.get("EnrichmentParameters") or {}).get("HttpParameters") or {}
        answers = [
            await targets.call_http(acting, arn, text, given, event)
            for text, event in zip(texts, events, strict=True)
        ]
    elif kind == "states":
        answers = [await targets.start(acting, arn, f"[{','.join(texts)}]", "REQUEST_RESPONSE")]
    else:
        answers = [await targets.call_function(acting, arn, f"[{','.join(texts)}]")]
    made: list[Any] = []
    for answer in answers:
        found = _read(answer)
        made += found if isinstance(found, list) else [] if found in (None, "", {}) else [found]
    return made, b"\n".join(answers).decode("utf-8", "replace")


def _read(answer: bytes) -> Any:
    """What an enrichment answers need not be JSON."""
    try:
        return orjson.loads(answer or b"null")
    except orjson.JSONDecodeError:
        return answer.decode("utf-8", "replace")
