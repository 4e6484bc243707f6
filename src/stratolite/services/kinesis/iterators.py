"""Shard iterators: where to read on, opaque to clients, good for five minutes of the cloud clock.

    base64 of: 0x0000000000000001 | msgpack [account, region, stream, id, shard, stamp, place, made ms] | CRC32 (4 bytes)

Nothing in it is secret and nothing is granted by it: whoever shows one is checked for the stream it names.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from stratolite.errors import Fault
from stratolite.services.kinesis.names import Ref
from stratolite.services.kinesis.quotas import ITERATOR_S
from stratolite.services.kinesis.sequence import Position

_VERSION = b"\0\0\0\0\0\0\0\1"


class Iterator(NamedTuple):
    account: str
    region: str
    name: str
    id: int
    shard: int
    stamp: int
    place: int
    made_ms: int

    @property
    def stream(self) -> Ref:
        return Ref(self.account, self.region, self.name)

    @property
    def position(self) -> Position:
        return Position(self.stamp, self.place)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Iterator).decode


def make(ref: Ref, stream_id: int, shard: int, at: Position, now_s: float) -> str:
    body = _VERSION + _encode(
        Iterator(*ref, stream_id, shard, at.stamp, at.place, int(now_s * 1000))
    )
    return base64.b64encode(body + zlib.crc32(body).to_bytes(4, "big")).decode()


def read(given: str) -> Iterator:
    """Raises Fault for what is no iterator."""
    try:
        raw = base64.b64decode(given, validate=True)
        body, check = raw[:-4], raw[-4:]
        if not body.startswith(_VERSION) or zlib.crc32(body).to_bytes(4, "big") != check:
            raise ValueError
        return _decode(body[len(_VERSION) :])
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise Fault("InvalidArgumentException", "Invalid ShardIterator.") from None


def check_age(iterator: Iterator, now_s: float) -> None:
    if now_s - iterator.made_ms / 1000 > ITERATOR_S:
        made, now = _spelled(iterator.made_ms / 1000), _spelled(now_s)
        raise Fault(
            "ExpiredIteratorException",
            f"Iterator expired. The iterator was created at time {made} while right now it is {now} which is"
            " further in the future than the tolerated delay of 300000 milliseconds.",
        )


def _spelled(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%a %b %d %H:%M:%S UTC %Y")
