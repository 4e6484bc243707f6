"""Who still needs the past: the lowest held position decides what segments and blobs may go."""

from __future__ import annotations


class Floors:
    """Named holds on log positions. A holder needs entries after its position; nothing below matters."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[str, int] = {}

    def hold(self, name: str, position: int) -> None:
        """``name`` has what is at ``position`` and below; it needs what comes after. May only rise."""
        assert position >= self._held.get(name, 0), (name, position)
        self._held[name] = position

    def release(self, name: str) -> None:
        self._held.pop(name, None)

    def lowest(self, newest: int) -> int:
        """The position up to which nobody needs the past; ``newest`` when nobody holds anything."""
        return min(self._held.values(), default=newest)

    def held(self) -> dict[str, int]:
        return dict(self._held)
