"""Records of the Kinesis Producer Library that hold several user records, which Firehose delivers one by one.

    F3 89 9A C2 | protobuf | MD5 of the protobuf, 16 bytes

    AggregatedRecord   1: partition keys, text, repeated   2: hash keys, text, repeated   3: Record, repeated
    Record             1: number of its partition key      2: of its hash key             3: data      4: tags

Sources  https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md
         https://docs.aws.amazon.com/streams/latest/dev/kpl-with-firehose.html
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import md5

_MAGIC = b"\xf3\x89\x9a\xc2"
_DIGEST_BYTES = 16
_VARINT, _BYTES = 0, 2


def opened(data: bytes) -> list[tuple[str, bytes]] | None:
    """(partition key, data) of the user records; None for a record that is not such a one."""
    body, digest = data[len(_MAGIC) : -_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if not data.startswith(_MAGIC) or md5(body, usedforsecurity=False).digest() != digest:
        return None
    keys: list[str] = []
    found: list[tuple[int, bytes]] = []
    try:
        for number, value in _fields(body):
            if number == 1 and isinstance(value, bytes):
                keys.append(value.decode())
            elif number == 3 and isinstance(value, bytes):
                record = dict(_fields(value))
                key, user_data = record[1], record[3]
                if not isinstance(key, int) or not isinstance(user_data, bytes):
                    return None
                found.append((key, user_data))
        return [(keys[key], user_data) for key, user_data in found] or None
    except (IndexError, KeyError, ValueError):
        return None


def _fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of a message's fields. Raises IndexError or ValueError for what is none."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        value, at = _varint(raw, at)
        if tag & 7 == _VARINT:
            yield tag >> 3, value
            continue
        if tag & 7 != _BYTES or at + value > len(raw):
            raise ValueError("not a message of this kind")
        yield tag >> 3, raw[at : at + value]
        at += value


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """(value, where it ends)."""
    value = shift = 0
    while True:
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number too long")
