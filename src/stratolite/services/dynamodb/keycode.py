r"""Order-preserving bytes for key attributes: S, N and B sort as DynamoDB sorts them.

    S   0x02 <UTF-8, each 0x00 written 0x00 0xFF> 0x00          (UTF-8 byte order)
    B   0x01 <bytes, each 0x00 written 0x00 0xFF> 0x00          (unsigned byte order)
    N   0x01 <numerals.ordered_bytes, escaped the same> 0x00    (numeric order)

These are ``core.keys`` parts, so a row's key stays a tuple anyone can unpack. Where one encoding begins
another ("a" and "a\0"), the longer goes on with 0xFF; the rows under a key go on with a lower byte (a part's tag, a
piece's 0xFE). So ``key`` to ``key + 0xFF`` holds exactly the rows of that key.
"""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Callable

from stratolite.services.dynamodb.numerals import ordered_bytes


def of_string(value: str) -> bytes:
    raw = value.encode()
    if b"\x00" in raw:
        raw = raw.replace(b"\x00", b"\x00\xff")
    return b"\x02%b\x00" % raw


def of_binary(value: str) -> bytes:
    """``value`` is base64, as everywhere in an item's JSON form."""
    return b"\x01%b\x00" % binascii.a2b_base64(value).replace(b"\x00", b"\x00\xff")


def of_number(value: str) -> bytes:
    return b"\x01%b\x00" % ordered_bytes(value).replace(b"\x00", b"\x00\xff")


ENCODERS: dict[str, Callable[[str], bytes]] = {"S": of_string, "N": of_number, "B": of_binary}


def bucket(hash_part: bytes) -> bytes:
    """Two bytes that spread hash keys evenly: a Scan's segments are ranges of them."""
    return (zlib.crc32(hash_part) & 0xFFFF).to_bytes(2, "big")


def after(prefix: bytes) -> bytes:
    """The first key that is greater than every key starting with ``prefix``."""
    stripped = prefix.rstrip(b"\xff")
    assert stripped, "a prefix of 0xFF alone has no end"
    return stripped[:-1] + bytes((stripped[-1] + 1,))
