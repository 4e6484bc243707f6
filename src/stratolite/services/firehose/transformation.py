"""From the records of a cut to what is delivered: processors in their order, and what they could not do.

Sources  https://docs.aws.amazon.com/firehose/latest/dev/data-transformation.html
         https://docs.aws.amazon.com/firehose/latest/dev/dynamic-partitioning.html
"""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from stratolite.service import Call
from stratolite.services.firehose import children, log_records, quotas
from stratolite.services.firehose.items import Failure, Item
from stratolite.services.firehose.settings import parameters
from stratolite.services.firehose.state import Ref, Row

_RETRIES = 3
_DELIMITED_MAX = 500


ActAs = Callable[[str], Awaitable[Call]]
"""A call as a role."""


async def transformed(
    call: Call, act_as: ActAs, ref: Ref, config: dict[str, Any], rows: list[Row]
) -> tuple[list[Item], list[Failure]]:
    """Raises Fault when a function cannot be reached now (its role, throttling): the cut is tried again."""
    items = [Item(row, row.data) for row in rows]
    failures: list[Failure] = []
    processing = config.get("ProcessingConfiguration") or {}
    if processing.get("Enabled", True):
        for processor in processing.get("Processors") or ():
            wanted = parameters(processor)
            kind = processor["Type"]
            if kind == "Lambda":
                role = wanted.get("RoleArn") or config.get("RoleARN", "")
                items = await _by_function(call, await act_as(role), ref, wanted, items, failures)
            elif kind == "MetadataExtraction":
                items = await _by_query(wanted["MetadataExtractionQuery"], items, failures)
            elif kind == "Decompression":
                items = log_records.decompressed(items, failures)
            elif kind == "CloudWatchLogProcessing":
                items = log_records.messages(items, failures)
            elif kind == "RecordDeAggregation":
                items = _taken_apart(wanted, items, failures)
            else:
                delimiter = (
                    wanted.get("Delimiter", "\\n").encode().decode("unicode_escape").encode()
                )
                for item in items:
                    item.data += delimiter
    return items, failures


async def _by_function(
    call: Call,
    acting: Call,
    ref: Ref,
    wanted: dict[str, str],
    items: list[Item],
    failures: list[Failure],
) -> list[Item]:
    size_max = min(quotas.TRANSFORM_BYTES_MAX, int(float(wanted.get("BufferSizeInMBs", "1")) * (1 << 20)))  # fmt: skip
    retries = int(wanted.get("NumberOfRetries", str(_RETRIES)))
    done: list[Item] = []
    batch: list[Item] = []
    size = 0
    for item in items:
        if batch and size + len(item.data) > size_max:
            done += await _invoke(call, acting, ref, wanted["LambdaArn"], retries, batch, failures)
            batch, size = [], 0
        batch.append(item)
        size += len(item.data)
    if batch:
        done += await _invoke(call, acting, ref, wanted["LambdaArn"], retries, batch, failures)
    return done


async def _invoke(
    call: Call,
    acting: Call,
    ref: Ref,
    function: str,
    retries: int,
    batch: list[Item],
    failures: list[Failure],
) -> list[Item]:
    event = _event(call, ref, batch)
    answers: dict[str, dict[str, Any]] | None = None
    message = ""
    there = acting.scoped(acting.account, function.split(":")[3])
    for _ in range(retries + 1):
        ask = {"FunctionName": function, "InvocationType": "RequestResponse", "Payload": event}
        began_s = call.world.mono()
        answer = await there.request("lambda", "Invoke", ask)
        took_ms = (call.world.mono() - began_s) * 1000
        ref.measure(call.cloud, "ExecuteProcessing.Duration", took_ms, "Milliseconds")
        is_good = float(not answer.get("FunctionError"))
        ref.measure(call.cloud, "ExecuteProcessing.Success", is_good)
        payload = answer["Payload"]
        if answer.get("FunctionError"):
            code, message = "Lambda.FunctionError", _said(payload)
            continue
        answers = _answers(payload)
        if answers is not None:
            break
        code = "Lambda.InvalidResponse"
        message = "The Lambda function returned a response that is not as Firehose expects it."
    if answers is None:
        failures += [Failure(i.row, code, message, retries + 1, function) for i in batch]
        return []
    done = []
    for number, item in enumerate(batch):
        found = answers.get(_record_id(number))
        if found is None:
            code, message = "Lambda.MissingRecordId", "One or more record Ids were not returned."
        elif found.get("result") == "Dropped":
            continue
        elif found.get("result") == "Ok":
            try:
                item.data = base64.b64decode(found.get("data") or "", validate=True)
            except ValueError:
                code, message = "Lambda.InvalidData", "The data of a record is not base64."
            else:
                keys = (found.get("metadata") or {}).get("partitionKeys") or {}
                item.keys["partitionKeyFromLambda"] = {k: str(v) for k, v in keys.items()}
                done.append(item)
                continue
        else:
            code = "Lambda.ProcessingFailedStatus"
            message = "ProcessingFailed status set for record"
        failures.append(Failure(item.row, code, message, 1, function))
    size = sum(len(item.data) for item in done)
    ref.measure(call.cloud, "SucceedProcessing.Records", len(done))
    ref.measure(call.cloud, "SucceedProcessing.Bytes", size, "Bytes")
    return done


def _record_id(number: int) -> str:
    return f"{number:056d}"


def _event(call: Call, ref: Ref, batch: list[Item]) -> bytes:
    records = []
    for number, item in enumerate(batch):
        record: dict[str, Any] = {
            "recordId": _record_id(number),
            "approximateArrivalTimestamp": item.row.arrival_ms,
            "data": base64.b64encode(item.data).decode(),
        }
        if item.row.metadata is not None:
            record["kinesisRecordMetadata"] = item.row.metadata
        records.append(record)
    event: dict[str, Any] = {
        "invocationId": call.world.uuid(),
        "deliveryStreamArn": ref.arn,
        "region": ref.region,
        "records": records,
    }
    return orjson.dumps(event)


def _said(payload: bytes) -> str:
    try:
        found = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return "The Lambda function failed."
    return str(found.get("errorMessage", ""))[:500] if isinstance(found, dict) else ""


def _answers(payload: bytes) -> dict[str, dict[str, Any]] | None:
    try:
        found = orjson.loads(payload)
        return {str(record["recordId"]): dict(record) for record in found["records"]}
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None


async def _by_query(query: str, items: list[Item], failures: list[Failure]) -> list[Item]:
    request = {"kind": "jq", "query": query, "records": [item.data for item in items]}
    code = "DynamicPartitioning.MetadataExtractionFailed"
    try:
        answer = await children.ask(request)
    except children.ChildFailed as error:  # the query itself: no record can be done
        failures += [Failure(item.row, code, str(error), 1) for item in items]
        return []
    done = []
    for item, keys, why in zip(items, answer["keys"], answer["errors"], strict=True):
        if keys is None:
            failures.append(Failure(item.row, code, why, 1))
        else:
            item.keys["partitionKeyFromQuery"] = keys
            done.append(item)
    return done


def _taken_apart(wanted: dict[str, str], items: list[Item], failures: list[Failure]) -> list[Item]:
    done = []
    for item in items:
        try:
            if wanted["SubRecordType"] == "DELIMITED":
                delimiter = base64.b64decode(wanted.get("Delimiter", ""), validate=True) or b"\n"
                pieces = [p for p in item.data.split(delimiter) if p][:_DELIMITED_MAX]
            else:
                pieces = _objects(item.data.decode())
        except ValueError as error:
            failures.append(Failure(item.row, "DeAggregation.Failed", str(error)[:500], 1))
            continue
        done += [Item(item.row, piece, dict(item.keys)) for piece in pieces]
    return done


def _objects(text: str) -> list[bytes]:
    """JSON values one after another, or in one list."""
    decoder, at, found = json.JSONDecoder(), 0, []
    while at < len(text):
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        if at == len(text):
            break
        value, end = decoder.raw_decode(text, at)
        found += (
            [orjson.dumps(v) for v in value] if isinstance(value, list) else [text[at:end].encode()]
        )
        at = end
        if len(found) > _DELIMITED_MAX:
            raise ValueError(f"more than {_DELIMITED_MAX} records in one")
    return found
