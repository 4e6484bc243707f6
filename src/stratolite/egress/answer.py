"""What a request of ours is answered."""

from __future__ import annotations

from typing import NamedTuple


class Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    """Names in lower case, in the order they came."""
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for each, value in self.headers if each == name), None)
