"""What functions print, on its way to the logs: gathered, and written a few times a second.

Off the path of every invocation, and lost with a crash before it is written: ``logs:function-output`` in
``limits.RELAXED``.
"""

from __future__ import annotations

import asyncio
import logging
from typing import NamedTuple

from stratolite.errors import Fault, Unavailable
from stratolite.service import Call, Cloud

_log = logging.getLogger("stratolite.lambda")
_GATHER_S = 0.1
_BATCH_BYTES_MAX = 1_000_000
_BATCH_EVENTS_MAX = 5_000
_EVENT_OVERHEAD_BYTES = 26
_LINE_COST_BYTES = 200  # what a line costs us whatever its length, in terms of the allowance
_HELD_BYTES_MAX = 32 << 20
_STREAM_BYTES_A_SECOND_MAX = 5_000_000  # AWS once took five PutLogEvents a second on a stream
_ALL_BYTES_A_SECOND_MAX = 20_000_000
_BURST_S = 2.0
_STREAMS_COUNT_MAX = 10_000


class Stream(NamedTuple):
    account: str
    region: str
    group: str
    name: str
    source_arn: str


class Allowance:
    """So many bytes a second, and ``_BURST_S`` seconds' worth at once."""

    def __init__(self, bytes_a_second: int, now_s: float) -> None:
        self._rate = bytes_a_second
        self._left = bytes_a_second * _BURST_S
        self._at_s = now_s

    def left(self, now_s: float) -> float:
        gained = (now_s - self._at_s) * self._rate
        self._left = min(self._left + gained, self._rate * _BURST_S)
        self._at_s = now_s
        return self._left

    def take(self, size_bytes: int) -> None:
        self._left -= size_bytes


class Output:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._held: dict[Stream, list[tuple[int, str]]] = {}
        self._held_bytes = 0
        self._dropped: dict[Stream, int] = {}
        self._all = Allowance(_ALL_BYTES_A_SECOND_MAX, cloud.world.mono())
        self._each: dict[Stream, Allowance] = {}
        self._made: set[Stream] = set()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        cloud.runtime.before_close.append(self.close)

    def write(self, stream: Stream, lines: list[tuple[int, str]]) -> None:
        """Hold (wall ms, text) for the log. What comes faster than it can be stored is dropped and counted.

        So is what comes faster than a stream may grow: a function that never stops printing must fill
        neither the disk nor the loop's time.
        """
        now_s = self._cloud.world.mono()
        each = self._each.get(stream)
        if each is None:
            if len(self._each) >= _STREAMS_COUNT_MAX:
                self._each.clear()
            each = self._each[stream] = Allowance(_STREAM_BYTES_A_SECOND_MAX, now_s)
        size = sum([len(text) + _LINE_COST_BYTES for _, text in lines])
        room = min(each.left(now_s), self._all.left(now_s), _HELD_BYTES_MAX - self._held_bytes)
        if size > room:
            self._dropped[stream] = self._dropped.get(stream, 0) + len(lines)
        else:
            each.take(size)
            self._all.take(size)
            self._held_bytes += size
            self._held.setdefault(stream, []).extend(lines)
        if self._task is None and not self._closed:
            self._task = asyncio.get_running_loop().create_task(self._soon())

    async def close(self) -> None:
        """Write what is held; what comes afterwards is not written."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
        await self.flush()

    async def flush(self) -> None:
        """Write what is held now."""
        held, self._held, self._held_bytes = self._held, {}, 0
        dropped, self._dropped = self._dropped, {}
        for stream, count in dropped.items():
            note = f"[stratolite] {count} lines were dropped: output came faster than it can be stored\n"
            held.setdefault(stream, []).append((int(self._cloud.world.wall() * 1000), note))
        for stream, lines in held.items():
            try:
                await self._put(stream, lines)
            except Unavailable:
                return  # the store has failed for everyone; the gateway says so
            except Fault as fault:
                _log.warning("output of %s is not logged: %r", stream.source_arn, fault)

    async def _soon(self) -> None:
        await self._cloud.world.sleep(_GATHER_S)
        self._task = None
        await self.flush()

    async def _put(self, stream: Stream, lines: list[tuple[int, str]]) -> None:
        call = self._call(stream)
        if stream not in self._made:
            await self._make(call, stream)
        offset_ms = int(self._cloud.world.cloud_offset_s * 1000)
        lines.sort(key=lambda line: line[0])
        batch: list[dict[str, object]] = []
        size = 0
        for at_ms, text in lines:
            cost = len(text.encode()) + _EVENT_OVERHEAD_BYTES
            if batch and (size + cost > _BATCH_BYTES_MAX or len(batch) >= _BATCH_EVENTS_MAX):
                await self._send(call, stream, batch)
                batch, size = [], 0
            batch.append({"timestamp": at_ms + offset_ms, "message": text})
            size += cost
        await self._send(call, stream, batch)

    async def _send(self, call: Call, stream: Stream, events: list[dict[str, object]]) -> None:
        ask = {"logGroupName": stream.group, "logStreamName": stream.name, "logEvents": events}
        try:
            await call.request("logs", "PutLogEvents", ask)
        except Fault as fault:
            if fault.code != "ResourceNotFoundException":
                raise
            await self._make(call, stream)  # someone deleted the group or the stream
            await call.request("logs", "PutLogEvents", ask)

    async def _make(self, call: Call, stream: Stream) -> None:
        for operation, ask in (
            ("CreateLogGroup", {"logGroupName": stream.group}),
            ("CreateLogStream", {"logGroupName": stream.group, "logStreamName": stream.name}),
        ):
            try:
                await call.request("logs", operation, ask)
            except Fault as fault:
                if fault.code != "ResourceAlreadyExistsException":
                    raise
        if len(self._made) > _STREAMS_COUNT_MAX:
            self._made.clear()
        self._made.add(stream)

    def _call(self, stream: Stream) -> Call:
        cloud = self._cloud
        call = cloud.call(stream.account, stream.region)
        return call.as_service("lambda.amazonaws.com", stream.source_arn)
