"""SEARCH expressions: which metrics a query in CloudWatch's search language names.

``{AWS/Lambda,FunctionName} MetricName="Errors" NOT (ProjectA OR "b-c")``: in braces a namespace and exactly the names of the
dimensions, then terms. A term in quotes is the whole of a name or value; another is matched by tokens, which begin at capitals, digits
and behind what is no letter: one in any case, several in a row as they are written, or in any case where something stands between.

Source  https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/search-expression-syntax.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from stratolite.services.cloudwatch.expressions import BadExpression
from stratolite.services.cloudwatch.state import Dimensions

_CALL = re.compile(
    r"\bSEARCH\(\s*('[^']*'|\"[^\"]*\")\s*,\s*('[^']*'|\"[^\"]*\")\s*(?:,\s*(\d{1,9})\s*)?\)",
    re.IGNORECASE,
)
_SCHEMA = re.compile(r"\s*\{([^}]*)\}\s*,?")
_NAME = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^,"]+))\s*(?:,|\Z)')
_LEXEME = re.compile(r'\s*(?:([()])|"((?:[^"\\]|\\.)*)"|([^\s()"={}]+))')
_TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_BETWEEN = re.compile(r"[A-Za-z0-9][^A-Za-z0-9]+[A-Za-z0-9]")
_LENGTH_MAX, _DEPTH_MAX = 1024, 50

Holds = Callable[[str, str, Dimensions], bool]
"""Of a namespace, a metric's name and its dimensions."""


class Asked(NamedTuple):
    """One SEARCH of an expression; ``period_s`` 0 is not said."""

    query: str
    stat: str
    period_s: int


class Search(NamedTuple):
    namespace: str
    """"" looks in all."""
    holds: Holds


def searches_in(expression: str) -> list[Asked]:
    found = _CALL.finditer(expression)
    return [Asked(m[1][1:-1], m[2][1:-1], int(m[3] or 0)) for m in found]


def parse(query: str) -> Search:
    """Raises BadExpression."""
    if not query.strip() or len(query) > _LENGTH_MAX:
        raise BadExpression(f"a search is 1 to {_LENGTH_MAX} characters")
    namespace, names, at = "", None, 0
    if (match := _SCHEMA.match(query)) is not None:
        namespace, *listed = _names(match[1])
        names, at = sorted(listed), match.end()
    parser = _Parser(query, at)
    terms = parser.either(0) if parser.has_more() else None
    if parser.has_more():
        raise BadExpression("SEARCH: unexpected )")

    def holds(where: str, metric: str, dimensions: Dimensions) -> bool:
        if names is not None and (where != namespace or [n for n, _ in dimensions] != names):
            return False
        return terms is None or terms(where, metric, dimensions)

    return Search(namespace, holds)


def _names(text: str) -> list[str]:
    found, at = [], 0
    while at < len(text):
        match = _NAME.match(text, at)
        if match is None:
            raise BadExpression("SEARCH: a metric schema is {Namespace,Dimension,...}")
        found.append(_unescaped(match[1]) if match[1] is not None else match[2].strip())
        at = match.end()
    if not found or not all(found):
        raise BadExpression("SEARCH: a metric schema is {Namespace,Dimension,...}")
    return found


class _Parser:
    def __init__(self, text: str, at: int) -> None:
        self._text, self._at = text, at

    def has_more(self) -> bool:
        return bool(self._text[self._at :].strip())

    def _takes(self, word: str) -> bool:
        match = _LEXEME.match(self._text, self._at)
        if match is None or match[1 if word in "()" else 3] != word:
            return False
        self._at = match.end()
        return True

    def either(self, depth: int) -> Holds:
        if depth > _DEPTH_MAX:
            raise BadExpression("SEARCH: nested too deeply")
        parts = [self._both(depth)]
        while self._takes("OR"):
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else lambda *of: any(part(*of) for part in parts)

    def _both(self, depth: int) -> Holds:
        parts = [self._one(depth)]
        while self.has_more():
            match = _LEXEME.match(self._text, self._at)
            if match is not None and (match[1] == ")" or match[3] == "OR"):
                break
            self._takes("AND")
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else lambda *of: all(part(*of) for part in parts)

    def _one(self, depth: int) -> Holds:
        if self._takes("NOT"):
            inner = self._one(depth + 1) if depth < _DEPTH_MAX else self.either(depth + 1)
            return lambda *of: not inner(*of)
        if self._takes("("):
            inner = self.either(depth + 1)
            if not self._takes(")"):
                raise BadExpression("SEARCH: a ) is missing")
            return inner
        is_exact, text = self._term()
        if not self._text.startswith("=", self._at):
            test = _exactly(text) if is_exact else _partly(text)
            return lambda where, metric, dimensions: any(
                test(one)
                for one in (where, metric, *(part for pair in dimensions for part in pair))
            )
        self._at += 1
        return _property(text, *self._term())

    def _term(self) -> tuple[bool, str]:
        """(whether it stood in quotes, what it says)."""
        match = _LEXEME.match(self._text, self._at)
        if match is None or match[1] or match[3] in ("AND", "OR", "NOT"):
            raise BadExpression("SEARCH: a term is missing")
        self._at = match.end()
        return match[2] is not None, _unescaped(match[2]) if match[2] is not None else match[3]


def _property(name: str, is_exact: bool, text: str) -> Holds:
    if name.startswith(":"):
        raise BadExpression(f"SEARCH: {name} is not offered by Stratolite")
    test = _exactly(text) if is_exact else _partly(text)
    if name == "Namespace":
        return lambda where, _, __: test(where)
    if name == "MetricName":
        return lambda _, metric, __: test(metric)
    return lambda _, __, dimensions: any(n == name and test(value) for n, value in dimensions)


def _exactly(text: str) -> Callable[[str], bool]:
    return lambda value: value == text


def _partly(text: str) -> Callable[[str], bool]:
    wanted = _TOKEN.findall(text)
    if not wanted:
        raise BadExpression(f"SEARCH: nothing to look for in {text}")
    any_case = len(wanted) == 1 or _BETWEEN.search(text) is not None
    if any_case:
        wanted = [token.lower() for token in wanted]

    def test(value: str) -> bool:
        tokens = _TOKEN.findall(value)
        if any_case:
            tokens = [token.lower() for token in tokens]
            if len(wanted) == 1 and "".join(tokens) == wanted[0]:
                return True
        last = len(tokens) - len(wanted) + 1
        return any(tokens[at : at + len(wanted)] == wanted for at in range(last))

    return test


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
