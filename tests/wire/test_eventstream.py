"""Event stream messages against botocore's reader, in any pieces, and damaged."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import uuid
import zlib
from typing import Any

import botocore.eventstream
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratolite import wire
from stratolite.errors import Fault
from stratolite.wire import eventstream
from stratolite.wire.eventstream import Decoder, Timestamp
from stratolite.wire.scalars import Malformed

HEADERS = st.dictionaries(
    st.text(min_size=1, max_size=20),
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(max_size=20)
    | st.binary(max_size=20)
    | st.uuids(),
    max_size=5,
)


@settings(deadline=None)
@given(headers=HEADERS, payload=st.binary(max_size=100))
def test_botocore_reads_what_we_write(headers: dict[str, Any], payload: bytes) -> None:
    """Both sums right, every header type."""
    buffer = botocore.eventstream.EventStreamBuffer()
    buffer.add_data(eventstream.encode(headers, payload))
    message = next(buffer)
    assert message.headers == {
        k: v.bytes if isinstance(v, uuid.UUID) else v for k, v in headers.items()
    }
    assert message.payload == payload


@settings(deadline=None)
@given(
    messages=st.lists(st.tuples(HEADERS, st.binary(max_size=40)), max_size=4),
    size=st.integers(1, 50),
)
def test_messages_arrive_in_any_pieces(messages: list[Any], size: int) -> None:
    """TCP cuts where it likes."""
    wire_bytes = b"".join(eventstream.encode(h, p) for h, p in messages)
    decoder = Decoder()
    got = []
    for at in range(0, len(wire_bytes), size):
        got += decoder.feed(wire_bytes[at : at + size])
    assert got == messages
    assert not decoder.pending


def test_times_travel_as_milliseconds() -> None:
    """Header type 8."""
    message = eventstream.encode({"t": Timestamp(1700000000.123)}, b"")
    (got,) = Decoder().feed(message)
    assert got.headers["t"] == 1700000000.123


@settings(deadline=None)
@given(st.data())
def test_a_flipped_bit_is_found(data: st.DataObject) -> None:
    """That is what the sums are for."""
    message = bytearray(eventstream.encode({":message-type": "event"}, b"payload"))
    at = data.draw(st.integers(0, len(message) * 8 - 1))
    message[at // 8] ^= 1 << at % 8
    with pytest.raises(Malformed):
        Decoder().feed(bytes(message))


def test_lengths_that_lie_are_refused_at_once() -> None:
    """A prelude may claim 4 GiB; nothing is kept for it."""
    for total, headers in ((0xFFFFFFFF, 0), (16, 17), (8, 0), (1 << 20, 1 << 19)):
        prelude = struct.pack(">II", total, headers)
        with pytest.raises(Malformed):
            Decoder().feed(prelude + struct.pack(">I", zlib.crc32(prelude)))


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_headers_of_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Sums can be right over nonsense."""
    prelude = struct.pack(">II", 16 + len(data), len(data))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + data
    message += struct.pack(">I", zlib.crc32(message))
    with contextlib.suppress(Malformed):
        Decoder().feed(message)


def test_a_fault_on_the_way_ends_the_stream_as_its_exception() -> None:
    """The status is long gone when a shard expires."""

    async def events() -> Any:
        yield {
            "SubscribeToShardEvent": {
                "Records": [],
                "ContinuationSequenceNumber": "1",
                "MillisBehindLatest": 0,
            }
        }
        raise Fault("ResourceNotFoundException", "gone")

    codec = wire.codec("kinesis", "SubscribeToShard", "json")
    assert codec.event_stream_output == "EventStream"
    response = codec.encode({"EventStream": events()}, "r")

    async def gather() -> bytes:
        return b"".join([chunk async for chunk in response.body])  # type: ignore[union-attr]

    got = Decoder().feed(asyncio.run(gather()))
    assert [m.headers[":message-type"] for m in got] == ["event", "event", "exception"]
    assert got[0].headers[":event-type"] == "initial-response"
    assert got[2].headers[":exception-type"] == "ResourceNotFoundException"
    assert got[2].payload == b'{"message":"gone"}'
