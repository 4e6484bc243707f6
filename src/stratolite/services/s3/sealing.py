"""Bodies sealed with AES-256-GCM in chunks, so that any range can be opened without the rest.

    salt (16) | chunk | chunk | ...          chunk: up to 64 KiB of the body and a tag of 16 bytes

The key of a body is HMAC-SHA256(data key, salt). The nonce of a chunk is its number (8 bytes big-endian), three zero
bytes, and 1 for the last chunk, else 0: chunks cannot be reordered, dropped, or cut off unseen. An empty body is one
empty chunk.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from typing import NamedTuple

CHUNK_BYTES = 64 << 10
TAG_BYTES = 16
SALT_BYTES = 16


class Damaged(ValueError):
    """Not sealed with this key, or not what was sealed."""


def sealed_size(size_bytes: int) -> int:
    return SALT_BYTES + size_bytes + TAG_BYTES * chunks_count(size_bytes)


def chunks_count(size_bytes: int) -> int:
    return max(1, -(-size_bytes // CHUNK_BYTES))


def _cipher(data_key: bytes, salt: bytes) -> object:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(hmac.digest(data_key, salt, "sha256"))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(8, "big") + (b"\0\0\0\1" if last else b"\0\0\0\0")


class Sealer:
    """Takes a body piece by piece: everything ``update`` and then ``finish`` return is the sealed body."""

    def __init__(self, data_key: bytes, salt: bytes) -> None:
        assert len(salt) == SALT_BYTES
        self._cipher = _cipher(data_key, salt)
        self._start = salt
        self._held = b""
        self._number = 0

    def update(self, data: bytes) -> bytes:
        held = self._held + data
        out = [self._start]
        self._start = b""
        at = 0
        while len(held) - at > CHUNK_BYTES:  # the last chunk stays for finish
            out.append(self._one(held[at : at + CHUNK_BYTES], last=False))
            at += CHUNK_BYTES
        self._held = held[at:]
        return b"".join(out)

    def finish(self) -> bytes:
        start, self._start = self._start, b""
        return start + self._one(self._held, last=True)

    def _one(self, plain: bytes, *, last: bool) -> bytes:
        nonce = _nonce(self._number, last=last)
        self._number += 1
        return self._cipher.encrypt(nonce, plain, None)  # type: ignore[attr-defined, no-any-return]


def seal(data_key: bytes, salt: bytes, body: bytes) -> bytes:
    sealer = Sealer(data_key, salt)
    return sealer.update(body) + sealer.finish()


class Window(NamedTuple):
    """Which bytes of a sealed body are needed to open ``start`` to ``stop`` of it."""

    offset: int
    size_bytes: int
    first: int
    """Number of the first chunk."""


def window(size_bytes: int, start: int, stop: int) -> Window:
    """Of a body of ``size_bytes`` before it was sealed; without its salt."""
    first = start // CHUNK_BYTES
    last = max(first, (stop - 1) // CHUNK_BYTES)
    step = CHUNK_BYTES + TAG_BYTES
    offset = SALT_BYTES + first * step
    end = min(SALT_BYTES + (last + 1) * step, sealed_size(size_bytes))
    return Window(offset, end - offset, first)


class Opener:
    """Opens the chunks of a window, given in pieces of any size. Raises Damaged."""

    def __init__(
        self, data_key: bytes, salt: bytes, size_bytes: int, start: int, stop: int
    ) -> None:
        self._cipher = _cipher(data_key, salt)
        self._count = chunks_count(size_bytes)
        self._number = window(size_bytes, start, stop).first
        self._skip = start - self._number * CHUNK_BYTES
        self._left = stop - start
        self._held = b""

    def update(self, data: bytes) -> Iterator[bytes]:
        held = self._held + data
        step, at = CHUNK_BYTES + TAG_BYTES, 0
        while len(held) - at >= step:
            yield self._one(held[at : at + step])
            at += step
        self._held = held[at:]

    def finish(self) -> bytes:
        return self._one(self._held) if self._held else b""

    def _one(self, chunk: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag

        nonce = _nonce(self._number, last=self._number == self._count - 1)
        self._number += 1
        try:
            plain: bytes = self._cipher.decrypt(nonce, chunk, None)  # type: ignore[attr-defined]
        except InvalidTag as error:
            raise Damaged(f"chunk {self._number - 1} of {self._count}") from error
        shown = plain[self._skip : self._skip + self._left]
        self._skip = 0
        self._left -= len(shown)
        return shown


def open_sealed(data_key: bytes, sealed: bytes, size_bytes: int, start: int, stop: int) -> bytes:
    """Of a body that is here whole."""
    part = window(size_bytes, start, stop)
    opener = Opener(data_key, sealed[:SALT_BYTES], size_bytes, start, stop)
    pieces = list(opener.update(sealed[part.offset : part.offset + part.size_bytes]))
    return b"".join(pieces) + opener.finish()
