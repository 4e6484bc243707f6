"""Streaming members of answers, read into memory within bounds."""

from __future__ import annotations

from typing import Any

from stratolite.http import FileSlice


class TooLarge(Exception):
    """There is more than was asked for."""


async def drained(value: Any, size_bytes_max: int) -> Any:
    """Bytes of what streams, anything else as it is. Raises TooLarge."""
    if isinstance(value, FileSlice):
        _check(value.size_bytes, size_bytes_max)
        return _sliced(value)
    if not hasattr(value, "__aiter__"):
        return value
    made = bytearray()
    async for piece in value:
        made += piece
        _check(len(made), size_bytes_max)
    return bytes(made)


def _check(size_bytes: int, size_bytes_max: int) -> None:
    if size_bytes > size_bytes_max:
        raise TooLarge(f"size_bytes={size_bytes} size_bytes_max={size_bytes_max}")


def _sliced(value: FileSlice) -> bytes:
    with open(value.path, "rb") as file:
        file.seek(value.offset)
        return file.read(value.size_bytes)
