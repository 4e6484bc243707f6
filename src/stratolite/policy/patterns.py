"""Texts of a policy with wildcards and variables: compiled once, matched in linear time.

A compiled pattern is a string in which ``ANY`` stands for any run of characters and ``ONE`` for any one;
everything else is itself. So what a variable brings in is always literal: a tag with the value ``*``
opens nothing.

Source  https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

Context = Mapping[str, Sequence[str]]
"""Condition key in lower case -> its values; an absent key is absent."""

ANY, ONE = "\x00", "\x01"
_VARIABLE = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True, slots=True)
class Variable:
    """``${key}`` or ``${key, 'default'}``; ``key`` in lower case."""

    key: str
    default: str | None


Text = str | tuple["str | Variable", ...]
"""A text whose variables are known: plain where it has none."""


def text(raw: str, *, wild: bool, variables: bool) -> Text:
    """``wild``: ``*`` and ``?`` are wildcards. ``variables``: only version 2012-10-17 has them."""
    pieces: list[str | Variable] = []
    at = 0
    for found in _VARIABLE.finditer(raw) if variables else ():
        pieces.append(_wildcards(raw[at : found.start()], wild))
        name, comma, default = found[1].partition(",")
        if name in ("*", "?", "$"):
            pieces.append(name)
        else:
            pieces.append(
                Variable(name.strip().lower(), default.strip().strip("'") if comma else None)
            )
        at = found.end()
    pieces.append(_wildcards(raw[at:], wild))
    if any(isinstance(p, Variable) for p in pieces):
        return tuple(p for p in pieces if p != "")
    return "".join(p for p in pieces if isinstance(p, str))


def _wildcards(raw: str, wild: bool) -> str:
    return raw.replace("*", ANY).replace("?", ONE) if wild else raw


def fill(made: Text, context: Context) -> str | None:
    """The text with its variables' values; None when one has no single value here and no default."""
    if isinstance(made, str):
        return made
    out: list[str] = []
    for piece in made:
        if isinstance(piece, str):
            out.append(piece)
            continue
        values = context.get(piece.key)
        value = values[0] if values and len(values) == 1 else piece.default
        if value is None or ANY in value or ONE in value:
            return None
        out.append(value)
    return "".join(out)


def matches(made: Text, value: str, context: Context) -> bool:
    filled = fill(made, context)
    return filled is not None and like(filled)(value)


def matches_alike(made: Text, start: str) -> bool:
    """Whether all values that begin with ``start`` match, or none; never yes where they do not."""
    if not isinstance(made, str):
        return False
    fixed, any_, rest = made.partition(ANY)
    known = fixed.partition(ONE)[0]
    if not start.startswith(known) and not known.startswith(start):
        return True  # none
    if ONE in made:
        return False
    if not any_:
        return len(made) < len(start)  # none
    return not rest.strip(ANY) and start.startswith(fixed)  # all


@lru_cache(maxsize=20_000)
def like(pattern: str) -> Callable[[str], bool]:
    """Whether a whole value matches a compiled pattern. Never backtracks: segments are found leftmost."""
    if ANY not in pattern and ONE not in pattern:
        return pattern.__eq__
    if pattern == ANY:
        return _always
    segments = re.sub(f"{ANY}+", ANY, pattern).split(ANY)
    if len(segments) == 1:
        return _whole(segments[0])
    first, *middle, last = segments
    if not middle and not last and ONE not in first:
        return lambda value: value.startswith(first)
    return _globbed(first, middle, last)


def _always(_: str) -> bool:
    return True


def _whole(segment: str) -> Callable[[str], bool]:
    match = _fixed(segment).fullmatch
    return lambda value: match(value) is not None


def _fixed(segment: str) -> re.Pattern[str]:
    """A regex of fixed length: ``ONE`` is its only wildcard."""
    return re.compile("".join("." if c == ONE else re.escape(c) for c in segment), re.DOTALL)


def _globbed(first: str, middle: list[str], last: str) -> Callable[[str], bool]:
    head, tail = _fixed(first), _fixed(last)
    between = [_fixed(m) for m in middle]
    least = sum(map(len, (first, *middle, last)))

    def match(value: str) -> bool:
        if len(value) < least or head.match(value) is None:
            return False
        end = len(value) - len(last)
        if tail.fullmatch(value, end) is None:
            return False
        at = len(first)
        for segment in between:
            found = segment.search(value, at, end)
            if found is None:
                return False
            at = found.end()
        return at <= end

    return match
