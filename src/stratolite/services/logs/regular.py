"""Regular expressions of filter patterns, in time that grows with the message and with nothing else.

AWS's dialect: letters, digits, ``: _ # = @ / ; , -`` and space; ``^ $ ? * + . | [] {m,n}`` and ``\\d \\D \\s \\S \\w \\W \\xhh``. There are
no groups, so an expression is some alternatives, each a row of steps. Python's engine tries every way there is to match
(``%a*a*a*b%`` on a long message takes minutes, in which nobody else is served); here all ways are followed at once, one character
after the other, and each set of places is worked out once.

Source  https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html#regex-expressions
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator
from typing import NamedTuple

_PLAIN = frozenset(string.ascii_letters + string.digits + ":_#=@/;,- ")
_OPERATORS = frozenset("^$?[]{}|\\*+.")
_DIGITS = frozenset(string.digits)
_SPACES = frozenset(" \t\n\r\f\v")
_WORDS = frozenset(string.ascii_letters + string.digits + "_")
_CLASSES = {"d": _DIGITS, "s": _SPACES, "w": _WORDS}
_REPEATED = re.compile(r"\{(\d*)(?:(,)(\d*))?\}")
_HEX = re.compile(r"x([0-9A-Fa-f]{2})")
_STEPS_MAX = 1000
_SETS_MAX = 1000
"""Sets of places remembered with what follows from each."""


class BadExpression(ValueError):
    """``character`` is what may not be there; "" if it is the whole that is wrong."""

    def __init__(self, character: str = "") -> None:
        super().__init__(character)
        self.character = character


class _Step(NamedTuple):
    """One character that ``takes`` takes, as often as it says; or an edge of the message, which takes none."""

    takes: Callable[[str], bool] | None
    may_skip: bool
    may_repeat: bool
    edge: str = ""


class Expression:
    def __init__(self, text: str) -> None:
        """Raises BadExpression."""
        self._steps: list[_Step | None] = []  # None ends an alternative
        starts = []
        for alternative in _Parser(text).alternatives():
            starts.append(len(self._steps))
            self._steps += [*alternative, None]
            if len(self._steps) > _STEPS_MAX:
                raise BadExpression
        self._starts = tuple(starts)
        self._first = self._closed(starts, is_first=True)
        self._again = self._closed(starts, is_first=False)
        self._has_end = any(step is not None and step.edge == "$" for step in self._steps)
        self._known: dict[frozenset[int], dict[str, frozenset[int] | None]] = {}

    def found_in(self, text: str) -> bool:
        body, rest = text, ""
        if self._has_end and text.endswith("\n"):
            body, rest = text[:-1], "\n"  # as everywhere, the end is before a last line break, too
        places = self._through(self._first, body)
        if places is not None and rest and not self._ends_after(places):
            places = self._through(places, rest)
        return places is None or self._ends_after(places)

    def _through(self, places: frozenset[int], text: str) -> frozenset[int] | None:
        """Where one may stand behind the text; None if somewhere in it has matched."""
        if self._ends(places):
            return None
        known = self._remember(places)
        for character in text:
            try:
                following = known[character]
            except KeyError:
                following = known[character] = self._after(places, character)
            if following is None:
                return None
            if following is not places:
                places = following
                known = self._known.get(places) or self._remember(places)
        return places

    def _ends_after(self, places: frozenset[int]) -> bool:
        return self._ends(self._closed(places, is_last=True))

    def _remember(self, places: frozenset[int]) -> dict[str, frozenset[int] | None]:
        if len(self._known) >= _SETS_MAX:
            self._known.clear()
        return self._known.setdefault(places, {})

    def _after(self, places: frozenset[int], character: str) -> frozenset[int] | None:
        """As ``_through``, of one character that comes for the first time."""
        reached = []
        for place in places:
            step = self._steps[place]
            if step is not None and step.takes is not None and step.takes(character):
                reached += [place, place + 1] if step.may_repeat else [place + 1]
        found = self._closed(reached) | self._again
        return None if self._ends(found) else found

    def _ends(self, places: frozenset[int]) -> bool:
        return any(self._steps[place] is None for place in places)

    def _closed(
        self,
        places: frozenset[int] | list[int],
        *,
        is_first: bool = False,
        is_last: bool = False,
    ) -> frozenset[int]:
        """With all that can be reached without taking a character."""
        left, found = list(places), set(places)
        while left:
            step = self._steps[left[-1]]
            place = left.pop() + 1
            if step is None or place in found:
                continue
            passes = (step.edge == "^" and is_first) or (step.edge == "$" and is_last)
            if step.may_skip or passes:
                found.add(place)
                left.append(place)
        return frozenset(found)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        if not text:
            raise BadExpression
        for character in text:
            if character not in _PLAIN and character not in _OPERATORS:
                raise BadExpression(character)

    def alternatives(self) -> Iterator[list[_Step]]:
        row: list[_Step] = []
        while self._at < len(self._text):
            if self._text[self._at] == "|":
                self._at += 1
                yield row
                row = []
            else:
                row += self._repeated(self._step())
        yield row

    def _step(self) -> _Step:
        character = self._text[self._at]
        self._at += 1
        if character in "^$":
            return _Step(None, may_skip=False, may_repeat=False, edge=character)
        if character in "?*+{}]":
            raise BadExpression
        if character == ".":
            return _Step(lambda _: True, may_skip=False, may_repeat=False)
        if character == "[":
            return _Step(self._set(), may_skip=False, may_repeat=False)
        found = self._escaped() if character == "\\" else character
        return _Step(
            found.__eq__ if isinstance(found, str) else found, may_skip=False, may_repeat=False
        )

    def _repeated(self, step: _Step) -> list[_Step]:
        mark = self._text[self._at : self._at + 1]
        if mark not in ("?", "*", "+", "{") or not mark:
            return [step]
        if step.edge:
            raise BadExpression
        least, most = {"?": (0, 1), "*": (0, None), "+": (1, None)}.get(mark, (0, 0))
        if mark == "{":
            match = _REPEATED.match(self._text, self._at)
            if match is None or not (match[1] or match[3]):
                raise BadExpression
            least = int(match[1] or 0)
            most = least if not match[2] else int(match[3]) if match[3] else None
            if least > _STEPS_MAX or (most is not None and not least <= most <= _STEPS_MAX):
                raise BadExpression
            self._at = match.end()
        else:
            self._at += 1
        if self._text[self._at : self._at + 1] == "?":
            self._at += 1  # as few as possible: the same messages match
        once = step._replace(may_skip=False)
        if most is None:
            return [once] * least + [step._replace(may_skip=True, may_repeat=True)]
        return [once] * least + [step._replace(may_skip=True)] * (most - least)

    def _set(self) -> Callable[[str], bool]:
        negated = self._text.startswith("^", self._at)
        self._at += negated
        tests: list[Callable[[str], bool]] = []
        first = True
        while first or not self._text.startswith("]", self._at):
            if self._at >= len(self._text):
                raise BadExpression
            first = False
            low = self._member()
            if not isinstance(low, str):
                tests.append(low)
                continue
            high: str | Callable[[str], bool] = low
            following = self._text[self._at + 1 : self._at + 2]
            if self._text.startswith("-", self._at) and following not in ("", "]"):
                self._at += 1
                high = self._member()
            if not isinstance(high, str) or high < low:
                raise BadExpression
            tests.append(_between(low, high))
        self._at += 1
        return lambda character: any(test(character) for test in tests) is not negated

    def _member(self) -> str | Callable[[str], bool]:
        character = self._text[self._at]
        self._at += 1
        return self._escaped() if character == "\\" else character

    def _escaped(self) -> str | Callable[[str], bool]:
        """What is behind a backslash: a character, or a class of them."""
        character = self._text[self._at : self._at + 1]
        self._at += 1
        if not character:
            raise BadExpression
        if (known := _CLASSES.get(character.lower())) is not None:
            return (lambda c: c not in known) if character.isupper() else (lambda c: c in known)
        if character == "x":
            match = _HEX.match(self._text, self._at - 1)
            if match is None:
                raise BadExpression
            self._at = match.end()
            return chr(int(match[1], 16))
        if character in "tnr":
            return {"t": "\t", "n": "\n", "r": "\r"}[character]
        if character in _WORDS:
            raise BadExpression
        return character


def _between(low: str, high: str) -> Callable[[str], bool]:
    return lambda character: low <= character <= high
