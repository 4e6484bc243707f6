"""The records of one call to one shard as one value.

    u16 count | u64 arrival, ms | u8 flags (1: encrypted with KMS) | u8 parts
    msgpack [[partition key, data], ...]

A value larger than ``PART_BYTES`` (a large record) goes on in rows of the same key with the next ``part``.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import msgspec

PART_BYTES = 900_000
BLOCK_BYTES = 512_000
"""A block is closed before it grows beyond this; a single larger record has one of its own."""
ENCRYPTED = 1
_HEAD = struct.Struct(">HQBB")
Rows = list[tuple[str, bytes]]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Rows).decode


class Head(NamedTuple):
    records: int
    arrival_ms: int
    flags: int
    parts: int


def pack(rows: Rows, arrival_ms: int, flags: int) -> list[bytes]:
    """The values of the block's rows."""
    body = _encode(rows)
    parts = -(-(len(body) + _HEAD.size) // PART_BYTES)
    whole = _HEAD.pack(len(rows), arrival_ms, flags, parts) + body
    if parts == 1:
        return [whole]
    return [whole[at : at + PART_BYTES] for at in range(0, len(whole), PART_BYTES)]


def head(value: bytes) -> Head:
    return Head(*_HEAD.unpack_from(value))


def rows(value: bytes) -> Rows:
    """Of all the parts joined."""
    return _decode(memoryview(value)[_HEAD.size :])
