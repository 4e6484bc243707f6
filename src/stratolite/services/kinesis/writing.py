"""PutRecord and PutRecords: each record to the open shard of its hash key, in the order of the call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import md5
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.kinesis import blocks, jobs, names, quotas, sequence, state
from stratolite.services.kinesis.dry_runs import DryRuns
from stratolite.services.kinesis.names import Ref
from stratolite.services.kinesis.sequence import Position
from stratolite.services.kinesis.streams import EVENLY, found

_THROTTLED = "ProvisionedThroughputExceededException"
_BUSY_BYTES, _BUSY_RECORDS = quotas.WRITE_BYTES_A_SECOND // 2, quotas.WRITE_RECORDS_A_SECOND // 2


class Writing(DryRuns):
    def put_record(self, call: Call, request: Request) -> Response:
        ref, stream = found(call, request)
        size = _check(request, stream, "")
        if minimum := request.get("SequenceNumberForOrdering"):
            known = sequence.parse(minimum)
            if known is None or known.time_s > call.tx.time_s + 1:
                raise Fault(
                    "InvalidArgumentException",
                    f"ExclusiveMinimumSequenceNumber {minimum} used in PutRecord on stream {ref.name} under account"
                    f" {ref.account} is invalid.",
                )
        if request.get("DryRun"):
            _hash_key(request)
            self.end_if_dry(call, request, ref)
        (row,) = _put(call, ref, stream, [request])
        is_taken = "ErrorCode" not in row
        ref.measure(call, "PutRecord.Success", float(is_taken))
        if not is_taken:
            raise Fault(_THROTTLED, row["ErrorMessage"])
        ref.measure(call, "PutRecord.Bytes", size, "Bytes")
        return row | _encryption(stream)

    def put_records(self, call: Call, request: Request) -> Response:
        ref, stream = found(call, request)
        records = request["Records"]
        if not 1 <= len(records) <= quotas.PUT_RECORDS_MAX:
            side = "greater than or equal to 1" if not records else "less than or equal to 500"
            raise names.invalid(
                "records", f"[{len(records)} records]", f"Member must have length {side}"
            )
        size = 0
        for at, record in enumerate(records, 1):
            size += _check(record, stream, f"records.{at}.member.")
        if size > quotas.PUT_BYTES_MAX:
            raise Fault("InvalidArgumentException", "Records size exceeds 10 MB limit")
        if request.get("DryRun"):
            for record in records:
                _hash_key(record)
            self.end_if_dry(call, request, ref)
        rows = _put(call, ref, stream, records)
        failed = sum(1 for row in rows if "ErrorCode" in row)
        ref.measure(call, "PutRecords.Success", float(failed < len(rows)))
        ref.measure(call, "PutRecords.Bytes", size, "Bytes")
        ref.measure(call, "PutRecords.TotalRecords", len(rows))
        ref.measure(call, "PutRecords.SuccessfulRecords", len(rows) - failed)
        ref.measure(call, "PutRecords.ThrottledRecords", failed)
        return {"FailedRecordCount": failed, "Records": rows} | _encryption(stream)


def _encryption(stream: state.Record) -> dict[str, str]:
    return {"EncryptionType": stream["encryption"]} if stream["encryption"] != "NONE" else {}


def _check(record: dict[str, Any], stream: state.Record, at: str) -> int:
    """Bytes of key and data. Raises Fault."""
    key, data = record.get("PartitionKey", ""), record["Data"]
    if not key and stream.get("strategy") == EVENLY:
        pass  # nobody looks at it
    elif not 1 <= len(key) <= quotas.PARTITION_KEY_MAX:
        side = "greater than or equal to 1" if not key else "less than or equal to 256"
        raise names.invalid(f"{at}partitionKey", key, f"Member must have length {side}")
    limit = stream["record_kib"] << 10
    if len(data) > limit:
        raise names.invalid(
            f"{at}data",
            f"java.nio.HeapByteBuffer[pos=0 lim={len(data)} cap={len(data)}]",
            f"Member must have length less than or equal to {limit}",
        )
    return len(key) + len(data)


def _hash_key(record: dict[str, Any]) -> bytes:
    explicit = record.get("ExplicitHashKey")
    if explicit is None:
        return md5(
            record["PartitionKey"].encode("utf-8", "replace"), usedforsecurity=False
        ).digest()
    number = names.hash_key("explicitHashKey", explicit)
    if number >= 1 << 128:
        raise Fault(
            "InvalidArgumentException",
            "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was"
            f" {explicit}",
        )
    return number.to_bytes(16, "big")


class _Target:
    """One shard's share of a call."""

    __slots__ = ("base", "id", "number", "rate", "rows")

    def __init__(self, number: int, created_s: int, time_s: int, rate: list[int]) -> None:
        self.number = number
        self.id = names.shard_id(number)
        self.base = sequence.base(created_s, number, time_s)
        self.rate = rate
        self.rows: blocks.Rows = []


def _put(
    call: Call, ref: Ref, stream: state.Record, records: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """An answer for each record, in their order."""
    tx = call.tx
    stamp = tx.stamp()
    order = stamp << sequence.INDEX_BITS
    route = state.route(tx, ref, stream)
    written = state.Written(tx, ref, stream)
    targets: dict[int, _Target] = {}
    answers: list[dict[str, Any]] = []
    refused: dict[int, int] = {}
    """How many records of the call each shard had no room for."""
    now_s = int(tx.time_s)
    is_spread = stream.get("strategy") == EVENLY
    for nth, record in enumerate(records, stamp):
        at = nth % len(route.numbers) if is_spread else route.at(_hash_key(record))
        target = targets.get(at)
        if target is None:
            number, created_s = route.numbers[at], route.created_s[at]
            target = _Target(number, created_s, max(now_s, created_s), written.of(number))
            targets[at] = target
        key, data, rate = record.get("PartitionKey", ""), record["Data"], target.rate
        size = len(data) + len(key)
        # A record larger than a second's share goes when nothing else did.
        if rate[1] >= quotas.WRITE_RECORDS_A_SECOND or (
            rate[0] + size > quotas.WRITE_BYTES_A_SECOND and rate[0] > 0
        ):
            answers.append({
                "ErrorCode": _THROTTLED,
                "ErrorMessage": names.rate_exceeded(ref, target.number),
            })  # fmt: skip
            refused[target.number] = refused.get(target.number, 0) + 1
            continue
        rate[0] += size
        rate[1] += 1
        number_text = str(target.base | (order | len(target.rows)) << 72)
        answers.append({"SequenceNumber": number_text, "ShardId": target.id})
        target.rows.append((key, data))
    flags = blocks.ENCRYPTED if stream["encryption"] == "KMS" else 0
    arrival_ms = int(tx.time_s * 1000)
    for target in targets.values():
        if target.rows:
            _put_blocks(call, ref, stream, target, stamp, arrival_ms, flags)
            if target.number in written.fresh:
                state.mark_second(tx, ref, stream, target.number, now_s, stamp)
        if stream["mode"] == "ON_DEMAND" and _is_busy(target):
            jobs.scale_soon(call, ref, stream["id"], target.number)
    written.put()
    if stream["metrics"]:
        _measure_shards(call, ref, stream, targets.values(), refused)
    taken = sum(len(target.rows) for target in targets.values())
    size = sum(len(d) + len(k) for target in targets.values() for k, d in target.rows)
    ref.measure(call, "IncomingRecords", taken)
    ref.measure(call, "IncomingBytes", size, "Bytes")
    if taken < len(records):
        ref.measure(call, "WriteProvisionedThroughputExceeded", len(records) - taken)
    return answers


def _put_blocks(
    call: Call,
    ref: Ref,
    stream: state.Record,
    target: _Target,
    stamp: int,
    arrival_ms: int,
    flags: int,
) -> None:
    first = 0
    rows: blocks.Rows = []
    size = 0
    for at, row in enumerate(target.rows):
        if rows and size + len(row[1]) > blocks.BLOCK_BYTES:
            values = blocks.pack(rows, arrival_ms, flags)
            state.put_block(call.tx, ref, stream, target.number, Position(stamp, first), values)
            first, rows, size = at, [], 0
        rows.append(row)
        size += len(row[1]) + len(row[0])
    values = blocks.pack(rows, arrival_ms, flags)
    state.put_block(call.tx, ref, stream, target.number, Position(stamp, first), values)


def _measure_shards(
    call: Call,
    ref: Ref,
    stream: state.Record,
    targets: Iterable[_Target],
    refused: Mapping[int, int],
) -> None:
    for target in targets:
        samples: dict[str, tuple[float, str]] = {}
        if target.rows:
            size = sum(len(data) + len(key) for key, data in target.rows)
            samples["IncomingBytes"] = size, "Bytes"
            samples["IncomingRecords"] = len(target.rows), "Count"
        if count := refused.get(target.number):
            samples["WriteProvisionedThroughputExceeded"] = count, "Count"
        ref.measure_shard(call, stream["metrics"], target.number, samples)


def _is_busy(target: _Target) -> bool:
    """Whether this call took the shard's second beyond half of what it may carry."""
    size = sum(len(data) + len(key) for key, data in target.rows)
    was_bytes, was_records = target.rate[0] - size, target.rate[1] - len(target.rows)
    return (was_bytes <= _BUSY_BYTES < target.rate[0]) or (
        was_records <= _BUSY_RECORDS < target.rate[1]
    )
