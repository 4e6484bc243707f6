"""What a log is: numbered, immutable entries; entry n+1 is created only if it does not exist.

An entry is one batch: the merged write set of the transactions committed together. Its payload is a
MessagePack array

    [format: 1, writer: bytes(16), time_ms: int (cloud clock), writes: {key: value | nil}]

where nil deletes. Positions start at 1; 0 is the empty store. The two back ends are ``segments``
(CRC'd files, one writer) and ``objects`` (one object an entry, several writers).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import msgspec

Writes = dict[bytes, bytes | None]
FORMAT = 1

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, bytes, int, Writes]).decode


class Entry(NamedTuple):
    """One batch. ``time_ms`` is the cloud clock when it was handed to the log."""

    writer: bytes
    time_ms: int
    writes: Writes


def encode_entry(entry: Entry) -> bytes:
    return _encode((FORMAT, entry.writer, entry.time_ms, entry.writes))


def decode_entry(payload: bytes) -> Entry:
    """Raises Damaged for a format this version does not know."""
    try:
        version, writer, time_ms, writes = _decode(payload)
    except msgspec.MsgspecError as error:
        raise Damaged(f"log entry cannot be decoded: {error}") from error
    if version != FORMAT:
        raise Damaged(f"log entry format={version}, this version reads {FORMAT}")
    return Entry(writer, time_ms, writes)


class Damaged(Exception):
    """Stored bytes are not what was written, and acknowledged entries may be among them.

    Names the file or object and the position. Do not retry and do not open: restore the file, or
    decide by hand what may be lost.
    """


class Trimmed(Exception):
    """The entry asked for lies below the retention floor and may be gone: start from a snapshot."""


class Log(Protocol):
    """Blocking: called from the commit thread, and before the loop starts."""

    shared: bool
    """Whether other processes may append too."""

    @property
    def first(self) -> int:
        """The oldest position that may still be read (as far as this process knows)."""
        ...

    def append(self, position: int, payload: bytes) -> bool:
        """Make the entry durable; False if ``position`` is taken by another entry.

        Raises Unavailable when the outcome is not known: nothing more may be appended through this
        object; open the log again to learn what is true.
        """
        ...

    def read(self, position: int) -> bytes | None:
        """The payload at ``position``, None past the end. Raises Damaged, Trimmed, Unavailable."""
        ...

    def entries(self, start: int) -> Iterator[tuple[int, bytes]]:
        """(position, payload) from ``start`` to the present end. Raises as ``read`` does."""
        ...

    def trim(self, floor: int) -> None:
        """Entries below ``floor`` may be deleted, some time."""
        ...

    def close(self) -> None: ...
