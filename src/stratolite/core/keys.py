"""Order-preserving keys: tuples of bytes, str and int that sort as bytes the way they sort as tuples.

Layout of one part (FoundationDB's tuple layer, fixed-width integers):

    0x01 <bytes, each 0x00 written 0x00 0xFF> 0x00        bytes
    0x02 <UTF-8, each 0x00 written 0x00 0xFF> 0x00        str
    0x15 <8 bytes big-endian, sign bit flipped>           int, -2**63 .. 2**63-1

A key of the platform starts with (account, region, service, ...); global names have region "".
No tag is 0xFF, so ``prefix + b"\\xff"`` ends the span of everything that starts with ``prefix``.
Source  https://github.com/apple/foundationdb/blob/main/design/tuple.md
"""

from __future__ import annotations

Part = str | int | bytes
Span = tuple[bytes, bytes]
"""Half open: start <= key < stop."""

_SIGN = 1 << 63


def pack(parts: tuple[Part, ...], start: bytes = b"") -> bytes:
    """``start`` is packed already."""
    for part in parts:
        if isinstance(part, str):
            start += b"\x02%b\x00" % part.encode().replace(b"\x00", b"\x00\xff")
        elif isinstance(part, bytes):
            start += b"\x01%b\x00" % part.replace(b"\x00", b"\x00\xff")
        else:
            start += b"\x15" + (part + _SIGN).to_bytes(8, "big")
    return start


def unpack(key: bytes) -> tuple[Part, ...]:
    """The parts of a key made by ``pack``. Raises ValueError for anything else."""
    parts: list[Part] = []
    at = 0
    while at < len(key):
        tag = key[at]
        if tag == 0x15:
            if at + 9 > len(key):
                raise ValueError("key ends inside an int")
            parts.append(int.from_bytes(key[at + 1 : at + 9], "big") - _SIGN)
            at += 9
            continue
        if tag not in (0x01, 0x02):
            raise ValueError(f"unknown key part tag={tag:#x}")
        end = at + 1
        while True:
            end = key.find(b"\x00", end)
            if end < 0:
                raise ValueError("key ends inside a string")
            if key[end + 1 : end + 2] != b"\xff":
                break
            end += 2
        raw = key[at + 1 : end].replace(b"\x00\xff", b"\x00")
        parts.append(raw if tag == 0x01 else raw.decode())
        at = end + 1
    return tuple(parts)


def span_of(prefix: bytes) -> Span:
    """Everything that starts with the packed ``prefix``, itself included."""
    return prefix, prefix + b"\xff"


class Keyspace:
    """All keys that start with one tuple, e.g. ``Keyspace(account, region, "sqs")``."""

    __slots__ = ("prefix",)

    def __init__(self, *parts: Part, prefix: bytes = b"") -> None:
        self.prefix = pack(parts, prefix)

    def __getitem__(self, part: Part) -> Keyspace:
        return Keyspace(part, prefix=self.prefix)

    def key(self, *parts: Part) -> bytes:
        return pack(parts, self.prefix)

    def span(self, *parts: Part) -> Span:
        return span_of(pack(parts, self.prefix))

    def parts(self, key: bytes) -> tuple[Part, ...]:
        """What follows this keyspace's own parts in ``key``."""
        return unpack(key[len(self.prefix) :])
