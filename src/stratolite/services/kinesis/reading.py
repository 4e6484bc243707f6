"""GetShardIterator and GetRecords."""

from __future__ import annotations

from typing import Any, NamedTuple

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.kinesis import blocks, iterators, names, quotas, sequence, state
from stratolite.services.kinesis.dry_runs import DryRuns
from stratolite.services.kinesis.names import Ref
from stratolite.services.kinesis.sequence import Position
from stratolite.services.kinesis.streams import found

_TYPES = ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER", "TRIM_HORIZON", "LATEST", "AT_TIMESTAMP")
_OUR_READERS = ("arn:aws:lambda:", "arn:aws:firehose:", "arn:aws:pipes:")
"""Woken by what is written, they read more often than AWS's, which look once a second."""
_SECONDS_KEPT_MAX = 10_000


class Page(NamedTuple):
    records: list[dict[str, Any]]
    next: Position
    behind_ms: int
    is_over: bool
    """The shard is closed and has been read to its end."""
    children: list[dict[str, Any]]
    size_bytes: int


class Reading(DryRuns):
    _read: dict[tuple[int, int, int], list[int]]
    """(stream, shard, second) -> [calls, bytes]: what iterators read, see the front page."""

    def get_shard_iterator(self, call: Call, request: Request) -> Response:
        ref, stream = found(call, request)
        number = names.shard_number(ref, request["ShardId"])
        kind = request["ShardIteratorType"]
        given = request.get("StartingSequenceNumber")
        at = start(call, ref, stream, number, kind, given, request.get("Timestamp"))
        self.end_if_dry(call, request, ref)
        return {"ShardIterator": iterators.make(ref, stream["id"], number, at, call.tx.time_s)}

    async def get_records(self, call: Call, request: Request) -> Response:
        if request.get("StreamId"):
            raise names.not_offered("StreamId")
        iterator = iterators.read(request["ShardIterator"])
        limit = request.get("Limit", quotas.GET_RECORDS_MAX)
        names.between("limit", limit, 1, quotas.GET_RECORDS_MAX)
        ref = iterator.stream
        if request.get("StreamARN") not in (None, ref.arn):
            raise Fault(
                "InvalidArgumentException",
                f"StreamARN {request['StreamARN']} does not match the ARN of the shard iterator's stream.",
            )
        is_counted = not request.get("DryRun") and not call.principal.source_arn.startswith(
            _OUR_READERS
        )

        def read(inner: Call) -> tuple[Page, str, list[str]]:
            iterators.check_age(iterator, inner.tx.time_s)
            stream = state.get_stream(inner.tx, ref)
            shard = stream and state.get_shard(inner.tx, ref, stream, iterator.shard)
            if stream is None or stream["id"] != iterator.id or shard is None:
                raise Fault(
                    "ResourceNotFoundException",
                    f"Shard {names.shard_id(iterator.shard)} in stream {ref.name} under account {ref.account}"
                    " does not exist",
                )
            self.end_if_dry(call, request, ref)
            found = page(
                inner, ref, stream, iterator.shard, iterator.position, limit, quotas.GET_BYTES_MAX
            )
            after = ""
            if not found.is_over:
                after = iterators.make(
                    ref, iterator.id, iterator.shard, found.next, inner.tx.time_s
                )
            return found, after, stream["metrics"]

        second, began_s = int(call.world.cloud()), call.world.mono()
        if is_counted:
            try:
                self._count_call(ref, iterator, second)
            except Fault:
                ref.measure(call, "GetRecords.Success", 0)
                await call.transact(lambda inner: _measure_refused(inner, iterator))
                raise
        found, after, metrics = await call.transact(read)
        latency_ms = (call.world.mono() - began_s) * 1000
        ref.measure(call, "GetRecords.Success", 1)
        ref.measure(call, "GetRecords.Latency", latency_ms, "Milliseconds")
        ref.measure(call, "GetRecords.Records", len(found.records))
        ref.measure(call, "GetRecords.Bytes", found.size_bytes, "Bytes")
        ref.measure(call, "GetRecords.IteratorAgeMilliseconds", found.behind_ms, "Milliseconds")
        ref.measure_shard(call, metrics, iterator.shard, outgoing(found))
        if is_counted:
            self._count_bytes(iterator, second, found.size_bytes)
        answer: Response = {"Records": found.records, "MillisBehindLatest": found.behind_ms}
        if after:
            answer["NextShardIterator"] = after
        if found.children:
            answer["ChildShards"] = found.children
        return answer

    def _count_call(self, ref: Ref, iterator: iterators.Iterator, second: int) -> None:
        if len(self._read) > _SECONDS_KEPT_MAX:
            self._read = {k: v for k, v in self._read.items() if k[2] >= second}
        seen = self._read.setdefault((iterator.id, iterator.shard, second), [0, 0])
        if seen[0] >= quotas.READ_CALLS_A_SECOND or seen[1] >= quotas.READ_BYTES_A_SECOND:
            dimensions = (("StreamName", ref.name),)
            self.cloud.measure(
                ref.account,
                ref.region,
                "AWS/Kinesis",
                dimensions,
                "ReadProvisionedThroughputExceeded",
            )
            raise Fault(
                "ProvisionedThroughputExceededException", names.rate_exceeded(ref, iterator.shard)
            )
        seen[0] += 1

    def _count_bytes(self, iterator: iterators.Iterator, second: int, size_bytes: int) -> None:
        """A large answer uses up the seconds that follow, too."""
        while size_bytes > 0:
            seen = self._read.setdefault((iterator.id, iterator.shard, second), [0, 0])
            seen[1] += min(size_bytes, quotas.READ_BYTES_A_SECOND)
            size_bytes -= quotas.READ_BYTES_A_SECOND
            second += 1


def outgoing(found: Page) -> dict[str, tuple[float, str]]:
    """What a shard's metrics say of a page read."""
    return {
        "OutgoingBytes": (found.size_bytes, "Bytes"),
        "OutgoingRecords": (len(found.records), "Count"),
        "IteratorAgeMilliseconds": (found.behind_ms, "Milliseconds"),
    }


def _measure_refused(call: Call, iterator: iterators.Iterator) -> None:
    stream = state.get_stream(call.tx, iterator.stream)
    if stream is not None:
        refused = {"ReadProvisionedThroughputExceeded": (1.0, "Count")}
        iterator.stream.measure_shard(call, stream["metrics"], iterator.shard, refused)


def start(
    call: Call,
    ref: Ref,
    stream: state.Record,
    number: int,
    kind: str,
    given: str | None,
    time_s: float | None,
) -> Position:
    """Where an iterator or a subscription of type ``kind`` begins. Raises Fault."""
    tx = call.tx
    shard_id = names.shard_id(number)
    shard = state.get_shard(tx, ref, stream, number)
    if shard is None:
        raise Fault(
            "ResourceNotFoundException",
            f"Shard {shard_id} in stream {ref.name} under account {ref.account} does not exist",
        )
    if kind not in _TYPES:
        wanted = "[AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, TRIM_HORIZON]"
        raise names.invalid(
            "shardIteratorType", kind, f"Member must satisfy enum value set: {wanted}"
        )
    if (given is not None) != kind.endswith("_SEQUENCE_NUMBER") and kind != "AT_TIMESTAMP":
        has = "also a" if given is not None else "no"
        raise Fault(
            "InvalidArgumentException",
            "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or"
            " (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified"
            f" {kind} and {has} StartingSequenceNumber.",
        )
    if kind == "AT_TIMESTAMP":
        if time_s is None:
            raise Fault(
                "InvalidArgumentException",
                "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no"
                " timestamp parameter.",
            )
        if time_s > tx.time_s:
            raise Fault(
                "InvalidArgumentException",
                "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis."
                f" timestampInMillis: {int(time_s * 1000)}, currentTimestampInMillis: {int(tx.time_s * 1000)}",
            )
        return _at_time(call, ref, stream, number, int(time_s * 1000))
    if kind == "LATEST":
        return state.end_of(tx, ref, stream, number)
    if kind == "TRIM_HORIZON":
        return Position(0, 0)
    assert given is not None
    known = sequence.parse(given)
    used = (
        f"StartingSequenceNumber {given} used in GetShardIterator on shard {shard_id} in stream {ref.name} under"
        f" account {ref.account} is invalid"
    )
    if known is None:
        raise Fault("InvalidArgumentException", f"{used}.")
    if known.shard != number:
        raise Fault(
            "InvalidArgumentException",
            f"Invalid StartingSequenceNumber. It encodes {names.shard_id(known.shard)}, while it was used in a call"
            f" to a shard with {shard_id}",
        )
    if known.created_s != shard["created_s"]:
        raise Fault("InvalidArgumentException", f"{used} because it did not come from this stream.")
    at = known.position
    if at.stamp >= 1 << 62:  # a closed shard's end
        return state.end_of(tx, ref, stream, number)
    if kind == "AFTER_SEQUENCE_NUMBER":
        return Position(at.stamp, at.place + 1)
    return at


def _at_time(call: Call, ref: Ref, stream: state.Record, number: int, time_ms: int) -> Position:
    at = state.from_second(call.tx, ref, stream, number, time_ms // 1000)
    for block in state.read_blocks(call.tx, ref, stream, number, at):
        if block.head.arrival_ms >= time_ms:
            return Position(block.stamp, block.first)
        at = Position(block.stamp + 1, 0)
    return at


def page(
    call: Call,
    ref: Ref,
    stream: state.Record,
    number: int,
    at: Position,
    limit: int,
    size_bytes_max: int,
) -> Page:
    """Records from ``at`` on, at least one if there is one."""
    tx = call.tx
    shard = state.get_shard(tx, ref, stream, number)
    assert shard is not None
    now_ms = int(tx.time_s * 1000)
    horizon_ms = now_ms - stream["hours"] * 3_600_000
    oldest = state.from_second(tx, ref, stream, number, horizon_ms // 1000)
    at = max(at, oldest)
    records: list[dict[str, Any]] = []
    size = behind_ms = 0
    has_more = False
    for block in state.read_blocks(tx, ref, stream, number, at):
        count, arrival_ms, flags, _ = block.head
        skip = max(0, at.place - block.first) if block.stamp == at.stamp else 0
        if skip >= count or arrival_ms < horizon_ms:
            continue
        has_more = len(records) >= limit or size >= size_bytes_max
        rows = [] if has_more else blocks.rows(block.value)[skip:]
        began_s = max(arrival_ms // 1000, shard["created_s"])
        base = sequence.base(shard["created_s"], number, began_s)
        order = block.stamp << sequence.INDEX_BITS
        for index, (key, data) in enumerate(rows, block.first + skip):
            row_bytes = len(data) + len(key)
            if records and (len(records) >= limit or size + row_bytes > size_bytes_max):
                has_more = True
                break
            size += row_bytes
            record = {
                "SequenceNumber": str(base | (order | index) << 72),
                "ApproximateArrivalTimestamp": arrival_ms / 1000,
                "Data": data,
                "PartitionKey": key,
            }
            if flags & blocks.ENCRYPTED:
                record["EncryptionType"] = "KMS"
            records.append(record)
            at = Position(block.stamp, index + 1)
        if has_more:
            behind_ms = max(0, now_ms - arrival_ms)
            break
    is_over = shard["closed_s"] is not None and not has_more
    children = _children(call, ref, stream, shard) if is_over else []
    return Page(records, at, behind_ms, is_over, children, size)


def _children(
    call: Call, ref: Ref, stream: state.Record, shard: state.Record
) -> list[dict[str, Any]]:
    found = []
    for number in shard["children"]:
        child = state.get_shard(call.tx, ref, stream, number)
        if child is not None:
            parents = [child["parent"], child["adjacent"]]
            found.append({
                "ShardId": names.shard_id(number),
                "ParentShards": [names.shard_id(p) for p in parents if p is not None],
                "HashKeyRange": {"StartingHashKey": child["start"], "EndingHashKey": child["end"]},
            })  # fmt: skip
    return found
