"""JSON as tokens that know where a reader stands after them, in the words of the parser AWS uses.

Error messages of patterns end in ``\n at [Source: (String)"..."; line: 1, column: 17]``. The column is where
that parser (Jackson) stands: behind the token, but only behind the opening quote of a string nobody has asked
for yet, and behind the beginning of its value after a field name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from typing import Any, NamedTuple

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_WORD = re.compile(r"[A-Za-z0-9_$]+")
_WORDS = {"true": True, "false": False, "null": None}
_EXPECTED = "was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
_DEPTH_MAX = 100


class PatternError(Exception):
    """A pattern AWS would refuse; ``str`` of it is AWS's reason."""


class Token(NamedTuple):
    kind: str
    """One of { } [ ] name string number word end."""
    value: Any
    """Of a name, string, number (int or float) or word (True, False, None)."""
    early: int
    """Where the reader stands when it has come to the token."""
    late: int
    """Where it stands when the token's text was asked for."""


class Tokens:
    """The tokens of ``text``, one at a time. Raises PatternError where it is not JSON."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = self._read()
        self.current = Token("end", None, 0, 0)

    def next(self) -> Token:
        self.current = next(self._tokens)
        return self.current

    def error(self, message: str, *, asked: bool = False) -> PatternError:
        """``message`` and where the reader stands; ``asked``: the current token's text was asked for."""
        return self.at(message, self.current.late if asked else self.current.early)

    def at(self, message: str, place: int) -> PatternError:
        line = self.text.count("\n", 0, place) + 1
        column = place - (self.text.rfind("\n", 0, place) + 1) + 1
        source = f'(String)"{self.text}"'
        return PatternError(f"{message}\n at [Source: {source}; line: {line}, column: {column}]")

    # --

    def _read(self) -> Generator[Token, None, None]:
        end = yield from self._value(self._skip(0), 0)
        while True:
            yield Token("end", None, end, end)

    def _value(self, at: int, depth: int) -> Generator[Token, None, int]:
        """A generator whose return value is where the value ends."""
        if depth > _DEPTH_MAX:
            raise self.at(f"Document nesting depth ({depth}) exceeds the maximum allowed", at)
        char = self.text[at : at + 1]
        if char == "{":
            return (yield from self._object(at, depth))
        if char == "[":
            return (yield from self._array(at, depth))
        token = self._scalar(at)
        yield token
        return token.late

    def _object(self, at: int, depth: int) -> Generator[Token, None, int]:
        yield Token("{", None, at + 1, at + 1)
        at = self._skip(at + 1)
        if self.text[at : at + 1] == "}":
            yield Token("}", None, at + 1, at + 1)
            return at + 1
        while True:
            if self.text[at : at + 1] != '"':
                raise self._unexpected(at, "was expecting double-quote to start field name")
            name = self._scalar(at)
            at = self._skip(name.late)
            if self.text[at : at + 1] != ":":
                raise self._unexpected(at, "was expecting a colon to separate field name and value")
            at = self._skip(at + 1)
            peeked = at + 1 if self.text[at : at + 1] in ("{", "[", '"') else self._scalar(at).early
            yield Token("name", name.value, peeked, peeked)
            at = self._skip((yield from self._value(at, depth + 1)))
            char = self.text[at : at + 1]
            if char == "}":
                yield Token("}", None, at + 1, at + 1)
                return at + 1
            if char != ",":
                raise self._unexpected(at, "was expecting comma to separate Object entries")
            at = self._skip(at + 1)

    def _array(self, at: int, depth: int) -> Generator[Token, None, int]:
        yield Token("[", None, at + 1, at + 1)
        at = self._skip(at + 1)
        if self.text[at : at + 1] == "]":
            yield Token("]", None, at + 1, at + 1)
            return at + 1
        while True:
            at = self._skip((yield from self._value(at, depth + 1)))
            char = self.text[at : at + 1]
            if char == "]":
                yield Token("]", None, at + 1, at + 1)
                return at + 1
            if char != ",":
                raise self._unexpected(at, "was expecting comma to separate Array entries")
            at = self._skip(at + 1)

    def _scalar(self, at: int) -> Token:
        text = self.text
        if text[at : at + 1] == '"':
            match = _STRING.match(text, at)
            if match is None:
                raise self.at(
                    "Unexpected end-of-input: was expecting closing quote for a string value",
                    len(text),
                )
            value = json.loads(match[0])
            return Token("string", value, at + 1, match.end())
        if match := _NUMBER.match(text, at):
            return Token("number", _number(match[0]), match.end(), match.end())
        if match := _WORD.match(text, at):
            if match[0] in _WORDS:
                return Token("word", _WORDS[match[0]], match.end(), match.end())
            raise self.at(f"Unrecognized token '{match[0]}': {_EXPECTED}", match.end())
        if at >= len(text):
            raise self.at("Unexpected end-of-input", len(text))
        raise self._unexpected(
            at, "expected a valid value (JSON String, Number, Array, Object or token 'null',"
            " 'true' or 'false')",
        )  # fmt: skip

    def _unexpected(self, at: int, expected: str) -> PatternError:
        if at >= len(self.text):
            return self.at(f"Unexpected end-of-input: {expected}", len(self.text))
        char = self.text[at]
        return self.at(f"Unexpected character ('{char}' (code {ord(char)})): {expected}", at)

    def _skip(self, at: int) -> int:
        match = _SPACE.match(self.text, at)
        assert match is not None
        return match.end()


def _number(text: str) -> int | float:
    if text.lstrip("-").isdigit():
        return int(text) if len(text) < 400 else float("inf")
    return float(text)
