"""Text with ``*`` for any characters, ``\\*`` and ``\\\\`` for themselves; matched in one pass.

How complex one is: the number of places of the pattern a reader can stand in at once after some input, the
beginning of each ``*`` it has just come to counted once more.
"""

from __future__ import annotations

from typing import NamedTuple

COMPLEXITY_MAX = 10
_LOOKED_AT_MAX = 2000  # sets of places
_ANY = None


class Wildcard(NamedTuple):
    parts: tuple[str, ...]
    """The literal text between stars; one part: no star at all."""

    def matches(self, text: str) -> bool:
        parts = self.parts
        if len(parts) == 1:
            return text == parts[0]
        first, last = parts[0], parts[-1]
        end = len(text) - len(last)
        if not text.startswith(first) or not text.endswith(last) or end < len(first):
            return False
        at = len(first)
        for part in parts[1:-1]:
            at = text.find(part, at, end)
            if at < 0:
                return False
            at += len(part)
        return True


def parse(text: str) -> Wildcard:
    """Raises ValueError with AWS's words. Positions count the quote before the text, as AWS's do, in bytes."""
    parts: list[str] = []
    now: list[str] = []
    at = 0

    def place(index: int) -> int:
        return len(text[:index].encode("utf-8", "replace")) + 1

    while at < len(text):
        char = text[at]
        if char == "*":
            if text[at + 1 : at + 2] == "*":
                raise ValueError(f"Consecutive wildcard characters at pos {place(at)}")
            parts.append("".join(now))
            now = []
        elif char == "\\":
            if text[at + 1 : at + 2] not in ("*", "\\"):
                raise ValueError(f"Invalid escape character at pos {place(at)}")
            at += 1
            now.append(text[at])
        else:
            now.append(char)
        at += 1
    return Wildcard((*parts, "".join(now)))


def is_too_complex(wildcard: Wildcard) -> bool:
    if len(wildcard.parts) == 1:
        return False
    steps: list[str | None] = list(wildcard.parts[0])
    for part in wildcard.parts[1:]:
        steps += [_ANY, *part]
    letters = sorted({step for step in steps if step is not None})
    begin = frozenset(_closure({0}, steps))
    seen, todo = {begin}, [begin]
    while todo and len(seen) < _LOOKED_AT_MAX:
        places = todo.pop()
        for letter in letters:
            moved = {at + 1 for at in places if at < len(steps) and steps[at] == letter}
            stayed = {at for at in places if at < len(steps) and steps[at] is _ANY}
            after = frozenset(_closure(moved | stayed, steps))
            stars = sum(1 for at in moved if at < len(steps) and steps[at] is _ANY)
            held = sum(1 for at in after if at == 0 or steps[at - 1] is not _ANY or at in moved)
            if held + stars > COMPLEXITY_MAX:
                return True
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return False


def _closure(places: set[int], steps: list[str | None]) -> set[int]:
    """A place before a star is also one behind it."""
    return places | {at + 1 for at in places if at < len(steps) and steps[at] is _ANY}
