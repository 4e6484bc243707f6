"""Rules of composite alarms: ALARM("a") AND NOT (OK(b) OR INSUFFICIENT_DATA("arn:...")), TRUE, FALSE.

Source  https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

_TOKEN = re.compile(
    r"\s*(?:(?P<mark>[()])|(?P<text>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')|(?P<word>[^\s()\"']+))"
)
_STATES = frozenset({"ALARM", "OK", "INSUFFICIENT_DATA"})
LENGTH_MAX = 10_240
_DEPTH_MAX = 100
_CHILDREN_MAX = 100

Holds = Callable[[Callable[[str], str]], bool]
"""Whether the rule holds, by the states of alarms (by name)."""


class BadRule(ValueError):
    """What is wrong, in a sentence."""


class Rule(NamedTuple):
    holds: Holds
    children: tuple[str, ...]
    """Names of the alarms in it, in their order."""


def parse(text: str) -> Rule:
    """Raises BadRule."""
    if not text.strip() or len(text) > LENGTH_MAX:
        raise BadRule(f"a rule is 1 to {LENGTH_MAX} characters")
    tokens: list[tuple[str, str]] = []
    at, text = 0, text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise BadRule(f"unexpected character at position {at}")
        kind = str(match.lastgroup)
        tokens.append((kind, match[kind]))
        at = match.end()
    parser = _Parser(tokens)
    holds = parser.either(0)
    if parser.at < len(tokens):
        raise BadRule(f"unexpected {tokens[parser.at][1]}")
    names = tuple(dict.fromkeys(parser.names))
    if len(names) > _CHILDREN_MAX:
        raise BadRule(f"a rule names at most {_CHILDREN_MAX} alarms")
    return Rule(holds, names)


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens, self.at = tokens, 0
        self.names: list[str] = []

    def _word(self) -> str:
        return self._tokens[self.at][1] if self.at < len(self._tokens) else ""

    def _take(self, wanted: str = "") -> tuple[str, str]:
        if self.at >= len(self._tokens):
            raise BadRule("unexpected end")
        token = self._tokens[self.at]
        if wanted and token[1] != wanted:
            raise BadRule(f"expected {wanted}, found {token[1]}")
        self.at += 1
        return token

    def either(self, depth: int) -> Holds:
        if depth > _DEPTH_MAX:
            raise BadRule("nested too deeply")
        parts = [self._both(depth)]
        while self._word() == "OR":
            self._take()
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else lambda state: any(part(state) for part in parts)

    def _both(self, depth: int) -> Holds:
        parts = [self._one(depth)]
        while self._word() == "AND":
            self._take()
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else lambda state: all(part(state) for part in parts)

    def _one(self, depth: int) -> Holds:
        _, text = self._take()
        if text == "NOT":
            inner = self._one(depth + 1)
            return lambda state: not inner(state)
        if text == "(":
            holds = self.either(depth + 1)
            self._take(")")
            return holds
        if text in ("TRUE", "FALSE"):
            return lambda _: text == "TRUE"
        if text not in _STATES:
            raise BadRule(f"unexpected {text}")
        self._take("(")
        kind, name = self._take()
        if kind == "mark":
            raise BadRule("an alarm's name or ARN is missing")
        self._take(")")
        if kind == "text":
            name = re.sub(r"\\(.)", r"\1", name[1:-1])
        if name.startswith("arn:"):
            name = name.split(":alarm:", 1)[-1]
        self.names.append(name)
        return lambda state: state(name) == text
