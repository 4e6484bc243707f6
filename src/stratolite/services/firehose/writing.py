"""PutRecord and PutRecordBatch, and how records get into the buffer."""

from __future__ import annotations

import base64
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.firehose import jobs, quotas, state
from stratolite.services.firehose.state import Record, Ref
from stratolite.services.firehose.streams import found


class Writing(Service):
    def put_record(self, call: Call, request: Request) -> Response:
        ref, stream = _direct(call, request)
        data = request["Record"]["Data"]
        _check(data, "record.data")
        (record_id,) = _put(call, ref, stream, [data])
        ref.measure(call.cloud, "IncomingPutRequests", 1)
        ref.measure(call.cloud, "PutRecord.Requests", 1)
        ref.measure(call.cloud, "PutRecord.Bytes", len(data), "Bytes")
        return {"RecordId": record_id, "Encrypted": stream["encryption"] is not None}

    def put_record_batch(self, call: Call, request: Request) -> Response:
        ref, stream = _direct(call, request)
        records = request["Records"]
        if not 1 <= len(records) <= quotas.BATCH_RECORDS_MAX:
            side = "greater than or equal to 1" if not records else "less than or equal to 500"
            raise Fault(
                "ValidationException",
                f"1 validation error detected: Value '[{len(records)} records]' at 'records' failed to satisfy"
                f" constraint: Member must have length {side}",
            )
        datas = [record["Data"] for record in records]
        for at, data in enumerate(datas, 1):
            _check(data, f"records.{at}.member.data")
        size = sum(map(len, datas))
        if size > quotas.BATCH_BYTES_MAX:
            raise Fault("InvalidArgumentException", "Records size exceeds 4 MB limit")
        ids = _put(call, ref, stream, datas)
        ref.measure(call.cloud, "IncomingPutRequests", 1)
        ref.measure(call.cloud, "PutRecordBatch.Requests", 1)
        ref.measure(call.cloud, "PutRecordBatch.Records", len(datas))
        ref.measure(call.cloud, "PutRecordBatch.Bytes", size, "Bytes")
        return {
            "FailedPutCount": 0,
            "Encrypted": stream["encryption"] is not None,
            "RequestResponses": [{"RecordId": one} for one in ids],
        }


def _direct(call: Call, request: Request) -> tuple[Ref, Record]:
    ref, stream = found(call, request)
    if stream["type"] != "DirectPut":
        raise Fault(
            "InvalidArgumentException",
            f"This operation is not permitted on {stream['type']} delivery stream type.",
        )
    return ref, stream


def _check(data: bytes, field: str) -> None:
    if len(data) > quotas.RECORD_BYTES_MAX:
        raise Fault(
            "ValidationException",
            f"1 validation error detected: Value 'java.nio.HeapByteBuffer[pos=0 lim={len(data)} cap={len(data)}]' at"
            f" '{field}' failed to satisfy constraint: Member must have length less than or equal to"
            f" {quotas.RECORD_BYTES_MAX}",
        )


def _put(call: Call, ref: Ref, stream: Record, datas: list[bytes]) -> list[str]:
    gathered = state.gathering(call.tx, ref, stream["id"])
    if gathered["bytes"] + gathered["waiting"] > quotas.WAITING_BYTES_MAX:
        raise Fault("ServiceUnavailableException", "Slow down.")
    stamp = gather(call, ref, stream, gathered, datas, None)
    return [_record_id(stream["id"], stamp, number) for number in range(len(datas))]


def gather(
    call: Call,
    ref: Ref,
    stream: Record,
    gathered: Record,
    datas: list[bytes],
    metadata: list[dict[str, Any]] | None,
) -> int:
    """Into the buffer, which is cut when it is full; the stamp they lie under."""
    tx, hints = call.tx, buffering(stream)
    stamp = tx.stamp()
    state.put_block(tx, ref, stream["id"], stamp, int(tx.time_s * 1000), datas, metadata)
    if not gathered["records"]:
        gathered = {**gathered, "first": stamp, "since_s": tx.time_s}
        due_s = tx.time_s + hints["IntervalInSeconds"]
        jobs.flush_at(call, ref, stream["id"], gathered["number"], due_s)
    more = sum(map(len, datas))
    ref.measure(call.cloud, "IncomingRecords", len(datas))
    ref.measure(call.cloud, "IncomingBytes", more, "Bytes")
    size = gathered["bytes"] + more
    gathered = {**gathered, "bytes": size, "records": gathered["records"] + len(datas)}
    if size >= hints["SizeInMBs"] << 20:
        gathered = jobs.cut(call, ref, stream["id"], gathered)
    state.put_gathering(tx, ref, stream["id"], gathered)
    return stamp


def buffering(stream: Record) -> dict[str, int]:
    hints: dict[str, int] = stream["destination"]["BufferingHints"]
    return hints


def _record_id(stream_id: int, stamp: int, number: int) -> str:
    raw = b"".join(n.to_bytes(8, "big") for n in (stream_id, stamp, number))
    return base64.b64encode(raw * 7).decode()
