"""Events to a pipe's target: to its batch API where it has one, all of them in one array, or one after another by HTTP.

Source  https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-event-target.html
        https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-batching-concurrency.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from stratolite import delivery, http_targets
from stratolite.errors import Fault
from stratolite.input_template import MISSING, select
from stratolite.service import Call, Request
from stratolite.services.pipes.items import opened

BATCH_MAX = {"events": 10, "firehose": 500, "http": 1, "kinesis": 500, "logs": 10_000, "sns": 10, "sqs": 10}  # fmt: skip
"""How many events a kind of target takes at once; those that are not named take any."""
NEED_JSON = frozenset(("events", "lambda", "states"))
_CALL_BYTES_MAX = {"events": 1 << 20, "firehose": 4 << 20, "kinesis": 5 << 20, "logs": 1 << 20, "sns": 256 << 10, "sqs": 256 << 10}  # fmt: skip
_LINE_BYTES = 26
"""What PutLogEvents counts beside a message."""


class Failed(Exception):
    """The enrichment or target took the batch and failed."""


class Taken(NamedTuple):
    answer: bytes = b""
    """What the target said, if it says anything."""
    failed: frozenset[int] = frozenset()
    """Which of the events it did not take."""


def kind_of(arn: str) -> str:
    """``sqs``, ``states``, ``http`` for API destinations and REST APIs. Raises ValueError for what is no ARN."""
    return "http" if http_targets.is_http(arn) else delivery.parse(arn).service


async def deliver(acting: Call, request: Request, texts: list[str], events: list[Any]) -> Taken:
    """Raises Fault, ValueError, Failed where it takes none of them."""
    target, about = request["Target"], request.get("TargetParameters") or {}
    kind = kind_of(target)
    if len(texts) > BATCH_MAX.get(kind, len(texts)):
        raise ValueError(f"{len(texts)} events are more than a target of the service {kind} takes")
    if kind == "lambda":
        how = (about.get("LambdaFunctionParameters") or {}).get("InvocationType")
        if how != "FIRE_AND_FORGET":
            return Taken(await call_function(acting, target, _array(texts)))
        await delivery.send(acting, target, _array(texts))
        return Taken()
    if kind == "states":
        how = (about.get("StepFunctionStateMachineParameters") or {}).get("InvocationType", "")
        return Taken(await start(acting, target, _array(texts), how))
    if kind == "http":
        [text], [event] = texts, events
        return Taken(await call_http(acting, target, text, about.get("HttpParameters") or {}, event))  # fmt: skip
    failed: set[int] = set()
    entries = [_ENTRIES[kind](acting, about, text, event) for text, event in zip(texts, events, strict=True)]  # fmt: skip
    for part in _calls(kind, texts):
        failed |= {part[n] for n in await _SEND[kind](at(acting, target), target, about, [entries[n] for n in part])}  # fmt: skip
    return Taken(failed=frozenset(failed))


def _array(texts: list[str]) -> str:
    return f"[{','.join(texts)}]"


def _calls(kind: str, texts: Sequence[str]) -> Iterator[list[int]]:
    """Which of the texts go together, as many as a call takes."""
    part: list[int] = []
    size = 0
    for number, text in enumerate(texts):
        length = len(text.encode()) + _LINE_BYTES
        if part and size + length > _CALL_BYTES_MAX[kind]:
            yield part
            part, size = [], 0
        part.append(number)
        size += length
    if part:
        yield part


# -- what is waited for


async def call_function(acting: Call, arn: str, payload: str) -> bytes:
    ask = {"FunctionName": arn, "InvocationType": "RequestResponse", "Payload": payload.encode()}
    answer = await at(acting, arn).request("lambda", "Invoke", ask)
    if "FunctionError" in answer:
        raise Failed(answer["Payload"][:500].decode("utf-8", "replace"))
    found: bytes = answer["Payload"]
    return found


async def start(acting: Call, machine: str, payload: str, how: str) -> bytes:
    """Its output, where it is waited for. An execution with the whole batch; one that is waited for, if the machine is an express one, as is the default.

    https://docs.aws.amazon.com/eventbridge/latest/pipes-reference/API_PipeTargetStateMachineParameters.html
    """
    there = at(acting, machine)
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


async def call_http(acting: Call, arn: str, text: str, given: Request, event: Any) -> bytes:
    """An API destination, or a stage of a REST API."""
    seen = opened(event) if isinstance(event, dict) else event
    try:
        return await http_targets.send(acting, arn, text, http_targets.parameters(given, seen))
    except http_targets.NotTaken as error:
        raise Failed(str(error)) from error


# -- batch APIs: an entry for each event, and the numbers of the entries that were not taken


def _message(acting: Call, about: Request, text: str, event: Any) -> Request:  # noqa: ARG001 - one shape for all
    made = {"MessageBody": text}
    for name, path in (about.get("SqsQueueParameters") or {}).items():
        made[name] = value(path, event)
    return made


async def _to_queue(there: Call, target: str, about: Request, entries: list[Request]) -> list[int]:  # noqa: ARG001
    place = delivery.parse(target)
    numbered = [{"Id": str(n), **entry} for n, entry in enumerate(entries)]
    ask = {"QueueUrl": f"{there.endpoint}/{place.account}/{place.resource}", "Entries": numbered}
    answer = await there.request("sqs", "SendMessageBatch", ask)
    return [int(one["Id"]) for one in answer.get("Failed") or ()]


def _notice(acting: Call, about: Request, text: str, event: Any) -> Request:  # noqa: ARG001
    return {"Message": text}


async def _to_topic(there: Call, target: str, about: Request, entries: list[Request]) -> list[int]:  # noqa: ARG001
    numbered = [{"Id": str(n), **entry} for n, entry in enumerate(entries)]
    ask = {"TopicArn": target, "PublishBatchRequestEntries": numbered}
    answer = await there.request("sns", "PublishBatch", ask)
    return [int(one["Id"]) for one in answer.get("Failed") or ()]


def _record(acting: Call, about: Request, text: str, event: Any) -> Request:  # noqa: ARG001
    key = (about.get("KinesisStreamParameters") or {}).get("PartitionKey", "")
    return {"Data": text.encode(), "PartitionKey": value(key, event)[:256]}


async def _to_stream(there: Call, target: str, about: Request, entries: list[Request]) -> list[int]:  # noqa: ARG001
    answer = await there.request("kinesis", "PutRecords", {"StreamARN": target, "Records": entries})
    return [n for n, one in enumerate(answer["Records"]) if one.get("ErrorCode")]


def _delivered(acting: Call, about: Request, text: str, event: Any) -> Request:  # noqa: ARG001
    return {"Data": text.encode()}


async def _to_delivery_stream(there: Call, target: str, about: Request, entries: list[Request]) -> list[int]:  # noqa: ARG001 # fmt: skip
    name = delivery.parse(target).resource.removeprefix("deliverystream/")
    ask = {"DeliveryStreamName": name, "Records": entries}
    answer = await there.request("firehose", "PutRecordBatch", ask)
    return [n for n, one in enumerate(answer["RequestResponses"]) if one.get("ErrorCode")]


def _event(acting: Call, about: Request, text: str, event: Any) -> Request:  # noqa: ARG001
    given = about.get("EventBridgeEventBusParameters") or {}
    made: Request = {
        "Source": value(given.get("Source", "Pipe"), event),
        "DetailType": value(given.get("DetailType", "Event from aws:pipes"), event),
        "Detail": text,
    }
    if resources := given.get("Resources"):
        made["Resources"] = [value(one, event) for one in resources]
    if path := given.get("Time"):
        moment = datetime.fromisoformat(value(path, event))
        made["Time"] = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    return made


async def _to_bus(there: Call, target: str, about: Request, entries: list[Request]) -> list[int]:  # noqa: ARG001
    ask = {"Entries": [{"EventBusName": target, **entry} for entry in entries]}
    answer = await there.request("events", "PutEvents", ask)
    wrong = [n for n, one in enumerate(answer["Entries"]) if "ErrorCode" in one]
    if len(wrong) == len(entries):
        first = answer["Entries"][0]
        raise Fault(first["ErrorCode"], first["ErrorMessage"], status=400)
    return wrong


def _line(acting: Call, about: Request, text: str, event: Any) -> Request:
    given = about.get("CloudWatchLogsParameters") or {}
    path = given.get("Timestamp")
    time_ms = int(value(path, event)) if path else int(acting.world.cloud() * 1000)
    return {"timestamp": time_ms, "message": text, "stream": value(given.get("LogStreamName", ""), event)}  # fmt: skip


async def _to_group(there: Call, target: str, about: Request, entries: list[Request]) -> list[int]:  # noqa: ARG001
    """Lines of one stream in the order of their times, as PutLogEvents asks."""
    group = delivery.parse(target).resource.removeprefix("log-group:").removesuffix(":*")
    unnamed = there.world.uuid()
    streams: dict[str, list[Request]] = {}
    for entry in entries:
        line = {name: entry[name] for name in ("timestamp", "message")}
        streams.setdefault(entry["stream"] or unnamed, []).append(line)
    for name, lines in streams.items():
        where = {"logGroupName": group, "logStreamName": name}
        try:
            await there.request("logs", "CreateLogStream", where)
        except Fault as fault:
            if fault.code != "ResourceAlreadyExistsException":
                raise
        lines.sort(key=lambda line: line["timestamp"])
        await there.request("logs", "PutLogEvents", {**where, "logEvents": lines})
    return []


_ENTRIES: dict[str, Callable[[Call, Request, str, Any], Request]] = {
    "events": _event, "firehose": _delivered, "kinesis": _record, "logs": _line, "sns": _notice, "sqs": _message,
}  # fmt: skip
_SEND: dict[str, Callable[[Call, str, Request, list[Request]], Awaitable[list[int]]]] = {
    "events": _to_bus, "firehose": _to_delivery_stream, "kinesis": _to_stream, "logs": _to_group, "sns": _to_topic, "sqs": _to_queue,
}  # fmt: skip


# -- their parts


def value(text: str, event: Any) -> str:
    """A parameter may be a path into the event. Raises ValueError where it leads nowhere."""
    if not text.startswith("$."):
        return text
    found = select(text, opened(event) if isinstance(event, dict) else event)
    if found is MISSING:
        raise ValueError(f"{text} leads nowhere")
    return found if isinstance(found, str) else orjson.dumps(found).decode()


def at(acting: Call, arn: str) -> Call:
    """The same call where the ARN is."""
    place = delivery.parse(arn)
    return acting.scoped(place.account or acting.account, place.region or acting.region)
