"""Reading one shard of a Kinesis or DynamoDB stream, as functions' mappings and pipes do.

    begin = await shards_of(acting, stream, "TRIM_HORIZON", None)       # where reading begins, and what is around
    cursor = Cursor(stream, shard, Place(after=..., since_s=...), make)  # on from a checkpoint
    while await cursor.read(acting, most): ...                          # into cursor.pending, in order
    await in_lanes(cursor.pending, factor, carry)                       # several keys at once, each in order

A checkpoint may move behind what was pending when ``in_lanes`` has returned: then every lane has done its part.

Sources  https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
         https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-batching-concurrency.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar
from zlib import crc32

from stratolite.errors import Fault
from stratolite.service import Call, Request

READ_MAX = {"kinesis": 10_000, "dynamodbstreams": 1000}
"""Records an answer of GetRecords may have."""
_SHARDS_MAX = 10_000
_LOST = frozenset(("ExpiredIteratorException", "TrimmedDataAccessException"))
_SLOWED = frozenset((
    "ProvisionedThroughputExceededException", "LimitExceededException", "ThrottlingException",
))  # fmt: skip


class Stream(NamedTuple):
    service: str
    """kinesis or dynamodbstreams."""
    arn: str

    def request(self) -> Request:
        """What names it in requests."""
        return {"StreamARN" if self.service == "kinesis" else "StreamArn": self.arn}


class ShardInfo(NamedTuple):
    id: str
    parents: tuple[str, ...]
    is_open: bool


class Record(Protocol):
    @property
    def id(self) -> str:
        """Sequence number."""

    @property
    def key(self) -> str:
        """Those of one key stay in order."""

    @property
    def arrived_s(self) -> float: ...

    @property
    def size_bytes(self) -> int: ...


R = TypeVar("R", bound=Record)


async def shards_of(
    acting: Call, stream: Stream, position: str, time_s: float | None
) -> list[ShardInfo]:
    """The shards where reading begins, and those around them. Raises Fault."""
    ask = stream.request()
    found: list[ShardInfo] = []
    if stream.service == "kinesis":
        if position == "AT_TIMESTAMP":
            ask |= {"ShardFilter": {"Type": "AT_TIMESTAMP", "Timestamp": time_s}}
        elif position == "LATEST":
            ask |= {"ShardFilter": {"Type": "AT_LATEST"}}
        while len(found) < _SHARDS_MAX:
            page = await acting.request("kinesis", "ListShards", ask)
            found += map(_info, page["Shards"])
            if not page.get("NextToken"):
                break
            ask = {"NextToken": page["NextToken"]}
        return found
    while len(found) < _SHARDS_MAX:
        page = await acting.request("dynamodbstreams", "DescribeStream", ask)
        described = page["StreamDescription"]
        found += map(_info, described["Shards"])
        if not described.get("LastEvaluatedShardId"):
            break
        ask = ask | {"ExclusiveStartShardId": described["LastEvaluatedShardId"]}
    return found


def _info(shard: dict[str, Any]) -> ShardInfo:
    parents = (shard.get("ParentShardId"), shard.get("AdjacentParentShardId"))
    is_open = "EndingSequenceNumber" not in shard["SequenceNumberRange"]
    return ShardInfo(shard["ShardId"], tuple(p for p in parents if p), is_open)


async def beginning(
    acting: Call, stream: Stream, position: str, time_s: float | None, now_s: float
) -> list[tuple[str, dict[str, Any]]]:
    """(shard, {type, iterator?, time?}) of each shard that reading begins with. Raises Fault."""
    shards = await shards_of(acting, stream, position, time_s)
    known = {shard.id for shard in shards}
    rows = []
    for shard in shards:
        if position == "TRIM_HORIZON" and any(parent in known for parent in shard.parents):
            continue  # begins after them
        if position == "LATEST" and not shard.is_open:
            continue
        row: dict[str, Any] = {"type": position}
        if position == "LATEST":  # from now on, however long it takes to begin
            ask = stream.request() | {"ShardId": shard.id, "ShardIteratorType": "LATEST"}
            answer = await acting.request(stream.service, "GetShardIterator", ask)
            row |= {"iterator": answer["ShardIterator"], "time": now_s}
        elif position == "AT_TIMESTAMP":
            row["time"] = time_s
        rows.append((shard.id, row))
    return rows


class Place(NamedTuple):
    """Where in a shard reading goes on; its beginning, if it says nothing."""

    after: str = ""
    """Behind this sequence number."""
    iterator: str | None = None
    since_s: float | None = None
    """With what arrived since then, where there is no other."""


class Cursor(Generic[R]):
    """Reads on in one shard; what was read and not yet taken is ``pending``, in order."""

    def __init__(
        self, stream: Stream, shard: str, place: Place, make: Callable[[dict[str, Any]], R]
    ) -> None:
        self._stream, self._shard, self._place, self._make = stream, shard, place, make
        self._iterator = place.iterator
        self._skip_before_s: float | None = None
        self.pending: list[R] = []
        self.since_s = 0.0
        """When the first of them was read."""
        self.is_over = False
        """The shard has been read to its end."""
        self.children: list[ShardInfo] = []
        self.is_slowed = False
        """The last read was too soon after others."""

    def size_bytes(self) -> int:
        return sum(record.size_bytes for record in self.pending)

    def lose_iterator(self) -> None:
        """After a fault: another is asked for, behind what is pending."""
        self._iterator = None

    def take(self) -> list[R]:
        taken, self.pending = self.pending, []
        self._place = Place(taken[-1].id)
        return taken

    async def read(self, acting: Call, most: int) -> bool:
        """Whether there was anything. Raises Fault."""
        service, self.is_slowed = self._stream.service, False
        for _ in range(2):
            if self._iterator is None:
                self._iterator = await self._iterator_after(acting)
            ask = {"ShardIterator": self._iterator, "Limit": min(most, READ_MAX[service])}
            try:
                page = await acting.request(service, "GetRecords", ask)
                break
            except Fault as fault:
                if fault.code in _SLOWED:
                    self.is_slowed = True
                    return False
                if fault.code not in _LOST:
                    raise
                self._iterator = None
        else:
            return False
        self._iterator = page.get("NextShardIterator")
        if self._iterator is None:
            self.is_over = True
            self.children = await self._find_children(acting, page)
        records = [self._make(one) for one in page["Records"]]
        if self._skip_before_s is not None:
            records = [one for one in records if one.arrived_s >= self._skip_before_s]
        if records and not self.pending:
            self.since_s = acting.world.cloud()
        self.pending += records
        return bool(page["Records"])

    async def _iterator_after(self, acting: Call) -> str:
        place, service = self._place, self._stream.service
        after = self.pending[-1].id if self.pending else place.after
        ask = self._stream.request() | {"ShardId": self._shard}
        is_kinesis = service == "kinesis"
        number = "StartingSequenceNumber" if is_kinesis else "SequenceNumber"
        self._skip_before_s = None
        if after:
            ask |= {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", number: after}
        elif place.since_s and is_kinesis:
            ask |= {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": place.since_s}
        else:
            ask |= {"ShardIteratorType": "TRIM_HORIZON"}
            since_s = place.since_s
            self._skip_before_s = None if since_s is None else int(since_s)  # their times are whole
        try:
            answer = await acting.request(service, "GetShardIterator", ask)
        except Fault as fault:
            if fault.code != "TrimmedDataAccessException":
                raise
            ask.pop(number, None)
            ask["ShardIteratorType"] = "TRIM_HORIZON"
            answer = await acting.request(service, "GetShardIterator", ask)
        return str(answer["ShardIterator"])

    async def _find_children(self, acting: Call, page: dict[str, Any]) -> list[ShardInfo]:
        if self._stream.service == "kinesis":
            return [
                ShardInfo(child["ShardId"], tuple(child["ParentShards"]), True)
                for child in page.get("ChildShards") or ()
            ]
        shards = await shards_of(acting, self._stream, "TRIM_HORIZON", None)
        return [shard for shard in shards if self._shard in shard.parents]


# -- several at once


async def in_lanes(
    records: Sequence[R], factor: int, carry: Callable[[list[R], bool], Awaitable[None]]
) -> None:
    """``carry(lane, is the only one)`` for each of up to ``factor`` lanes, at once; a key is always in the same lane.

    When it returns, or raises what a lane raised, none of them is under way.
    """
    lanes: dict[int, list[R]] = {}
    for record in records:
        lane = crc32(record.key.encode()) % factor if factor > 1 else 0
        lanes.setdefault(lane, []).append(record)
    tasks = [asyncio.ensure_future(carry(lane, len(lanes) == 1)) for lane in lanes.values()]
    try:
        done = await asyncio.gather(*tasks, return_exceptions=True)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    for one in done:
        if isinstance(one, BaseException):
            raise one


def batches(records: Sequence[R], most: int, bytes_max: int) -> list[list[R]]:
    """At most ``most`` records, and ``bytes_max`` bytes, each."""
    found: list[list[R]] = []
    size = 0
    for record in records:
        size += record.size_bytes
        if not found or len(found[-1]) >= most or size > bytes_max:
            found.append([])
            size = record.size_bytes
        found[-1].append(record)
    return found
