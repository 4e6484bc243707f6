"""Matches a parameter against its AllowedPattern in bounded time, whatever the pattern.

Templates bring their own regular expressions, and Python's engine tries every way there is to match one
like ``a*a*a*a*b``: minutes on forty characters, during which nobody else is served. Here each part of a
pattern maps the set of places where a match may stand to the set where it may stand next, so that no place
is tried twice. Python's parser reads the pattern; what cannot be matched so (references back to a group,
atomic groups, conditions) is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from re import _parser  # type: ignore[attr-defined]  # its tree is stable since 1.5
from typing import Any

_STEPS_MAX = 200_000
"""Places looked at in one match; some 50 ms."""
_PATTERN_CHARACTERS_MAX = 1024

_Places = AbstractSet[int]
_NOWHERE: _Places = frozenset()
_CLASSES = {
    "CATEGORY_DIGIT": re.compile(r"\d"),
    "CATEGORY_NOT_DIGIT": re.compile(r"\D"),
    "CATEGORY_SPACE": re.compile(r"\s"),
    "CATEGORY_NOT_SPACE": re.compile(r"\S"),
    "CATEGORY_WORD": re.compile(r"\w"),
    "CATEGORY_NOT_WORD": re.compile(r"\W"),
}
_EDGES = {
    "AT_BEGINNING": re.compile(r"^"),
    "AT_BEGINNING_STRING": re.compile(r"\A"),
    "AT_END": re.compile(r"$"),
    "AT_END_STRING": re.compile(r"\Z"),
    "AT_BOUNDARY": re.compile(r"\b"),
    "AT_NON_BOUNDARY": re.compile(r"\B"),
}
_FLAGS_TAKEN = re.UNICODE | re.IGNORECASE | re.DOTALL


class Refused(Exception):
    """A pattern that is wrong, or that we do not match; says why."""


def read(pattern: str) -> Any:
    """The tree of ``pattern``. Raises Refused."""
    if len(pattern) > _PATTERN_CHARACTERS_MAX:
        raise Refused(f"it is longer than {_PATTERN_CHARACTERS_MAX} characters")
    try:
        tree = _parser.parse(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise Refused(str(error)) from error
    if tree.state.flags & ~_FLAGS_TAKEN:
        raise Refused("of the flags only i and s are offered")
    matches(tree, "")  # what is refused is refused at once
    return tree


def matches(tree: Any, text: str) -> bool:
    """Whether all of ``text`` is matched. Raises Refused when that would take too long to find out."""
    try:
        return len(text) in Match(tree, text).through(tree, {0})
    except RecursionError as error:
        raise Refused("it is nested too deeply") from error


class Match:
    def __init__(self, tree: Any, text: str) -> None:
        self._text = text
        self._steps = 0
        self._any_line = bool(tree.state.flags & re.DOTALL)
        self._any_case = bool(tree.state.flags & re.IGNORECASE)

    def through(self, tree: Any, places: _Places) -> _Places:
        for node in tree:
            places = self._after(node, places)
        return places

    def _after(self, node: Any, places: _Places) -> _Places:
        self._steps += len(places) + 1
        if self._steps > _STEPS_MAX:
            raise Refused("it takes too long to match")
        kind, what = str(node[0]), node[1]
        if kind in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
            text, end = self._text, len(self._text)
            return {p + 1 for p in places if p < end and self._is(kind, what, text[p])}
        if kind == "AT":
            edge = _EDGES[str(what)]
            return {p for p in places if edge.match(self._text, p)}
        if kind == "BRANCH":
            return frozenset().union(*[self.through(one, places) for one in what[1]])
        if kind == "SUBPATTERN":
            _, on, off, inner = what
            if on or off:
                raise Refused("flags inside a group are not offered")
            return self.through(inner, places)
        if kind in ("MAX_REPEAT", "MIN_REPEAT"):
            return self._repeated(what, places)
        if kind in ("ASSERT", "ASSERT_NOT"):
            direction, inner = what
            self.through(inner, _NOWHERE)  # what is in it may be refused
            if direction < 0:
                raise Refused("looking behind is not offered")
            wanted = kind == "ASSERT"
            return {p for p in places if bool(self.through(inner, {p})) is wanted}
        raise Refused(f"{kind.lower().replace('_', ' ')} is not offered")

    def _repeated(self, what: Any, places: _Places) -> _Places:
        least, most, inner = int(what[0]), int(what[1]), what[2]
        if not places:
            self.through(inner, places)
        for _ in range(least):
            before, places = places, self.through(inner, places)
            if places == before:
                break
        found = fresh = set(places)
        for _ in range(most - least):
            fresh = set(self.through(inner, fresh)) - found
            if not fresh:
                break
            found = found | fresh
        return found

    def _is(self, kind: str, what: Any, char: str) -> bool:
        if kind == "ANY":
            return self._any_line or char != "\n"
        chars = {char, char.lower(), char.upper()} if self._any_case else {char}
        if kind == "IN":
            negated = bool(what) and str(what[0][0]) == "NEGATE"
            return any(self._in(one, c) for one in what for c in chars) is not negated
        return (what in {ord(c) for c in chars if len(c) == 1}) is (kind == "LITERAL")

    def _in(self, one: Any, char: str) -> bool:
        kind, what = str(one[0]), one[1]
        if len(char) != 1 or kind == "NEGATE":
            return False
        if kind == "LITERAL":
            return bool(what == ord(char))
        if kind == "RANGE":
            return bool(what[0] <= ord(char) <= what[1])
        return bool(_CLASSES[str(what)].match(char))
