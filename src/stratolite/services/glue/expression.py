"""Which partitions GetPartitions wants: a condition on their keys, as SQL's WHERE has it.

    or      = and { OR and }
    and     = not { AND not }
    not     = NOT not | ( or ) | comparison
    compare = key (= | <> | != | > | < | >= | <=) value | key [NOT] IN (value, ...) | key [NOT] BETWEEN value AND value
              | key [NOT] LIKE 'text with % and _' | key IS [NOT] NULL

Keys of a numeric type are compared as numbers, others as text. A value is '...' or a number.
Source  https://docs.aws.amazon.com/glue/latest/webapi/API_GetPartitions.html
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from stratolite import allowed_pattern
from stratolite.errors import Fault

Test = Callable[[Sequence[str]], bool]
_TOKEN = re.compile(
    r"""\s*('(?:[^']|'')*'|"(?:[^"]|"")*"|-?\d+(?:\.\d+)?|<>|!=|<=|>=|[=<>(),]|[A-Za-z_][\w.]*)"""
)
_LENGTH_MAX = 2048
_DEPTH_MAX = 100
_NUMBERS = ("int", "bigint", "smallint", "tinyint", "long", "short", "byte", "decimal", "double", "float")  # fmt: skip
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "<>": operator.ne, "!=": operator.ne,
    "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge,
}  # fmt: skip
_ANY = r"[\s\S]"
_NULL = "__HIVE_DEFAULT_PARTITION__"


def compiled(text: str, keys: list[tuple[str, str]]) -> Test:
    """Whether a partition's values are wanted; all of them without a text. Raises Fault."""
    if not text.strip():
        return lambda _: True
    if len(text) > _LENGTH_MAX:
        raise Fault("InvalidInputException", f"Expression is longer than {_LENGTH_MAX} characters.")
    parser = _Parser(text, keys)
    test = parser.either(0)
    if parser.peek():
        raise parser.bad()
    return test


class _Parser:
    def __init__(self, text: str, keys: list[tuple[str, str]]) -> None:
        self._text, self._keys, self._at = text, keys, 0
        self._tokens: list[str] = []
        at, end = 0, len(text.rstrip())
        while at < end:
            match = _TOKEN.match(text, at)
            if match is None:
                raise self.bad()
            self._tokens.append(match[1])
            at = match.end()

    def bad(self) -> Fault:
        return Fault("InvalidInputException", f"Unsupported expression '{self._text}'")

    def peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self.peek()
        if not token:
            raise self.bad()
        self._at += 1
        return token

    def _takes(self, word: str) -> bool:
        if self.peek().upper() == word:
            self._at += 1
            return True
        return False

    def _expect(self, word: str) -> None:
        if not self._takes(word):
            raise self.bad()

    def either(self, depth: int) -> Test:
        if depth > _DEPTH_MAX:
            raise self.bad()
        tests = [self._both(depth)]
        while self._takes("OR"):
            tests.append(self._both(depth))
        return tests[0] if len(tests) == 1 else lambda values: any(t(values) for t in tests)

    def _both(self, depth: int) -> Test:
        tests = [self._not(depth)]
        while self._takes("AND"):
            tests.append(self._not(depth))
        return tests[0] if len(tests) == 1 else lambda values: all(t(values) for t in tests)

    def _not(self, depth: int) -> Test:
        if depth > _DEPTH_MAX:
            raise self.bad()
        if self._takes("NOT"):
            inner = self._not(depth + 1)
            return lambda values: not inner(values)
        if self._takes("("):
            inner = self.either(depth + 1)
            self._expect(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Test:
        name = self._next().strip('"').lower()
        at = next((n for n, (key, _) in enumerate(self._keys) if key == name), None)
        if at is None:
            raise self.bad()
        is_number = self._keys[at][1].lower().startswith(_NUMBERS)
        if self._takes("IS"):
            negated = self._takes("NOT")
            self._expect("NULL")
            return lambda values: (values[at] == _NULL) is not negated
        negated = self._takes("NOT")
        word = self._next().upper()
        if word == "IN":
            wanted = self._list(is_number)
            return lambda values: (_read(values[at], is_number) in wanted) is not negated
        if word == "BETWEEN":
            low = self._value(is_number)
            self._expect("AND")
            high = self._value(is_number)

            def between(values: Sequence[str]) -> bool:
                value = _read(values[at], is_number)
                return (value is not None and low <= value <= high) is not negated

            return between
        if word == "LIKE":
            form = _like(str(self._value(False)))
            return lambda values: allowed_pattern.matches(form, values[at]) is not negated
        compare = _COMPARE.get(word)
        if compare is None or negated:
            raise self.bad()
        value = self._value(is_number)

        def holds(values: Sequence[str]) -> bool:
            found = _read(values[at], is_number)
            return found is not None and compare(found, value)

        return holds

    def _list(self, is_number: bool) -> list[Any]:
        self._expect("(")
        found = [self._value(is_number)]
        while self._takes(","):
            found.append(self._value(is_number))
        self._expect(")")
        return found

    def _value(self, is_number: bool) -> Any:
        token = self._next()
        if token[0] in "'\"":
            token = token[1:-1].replace(token[0] * 2, token[0])
        elif token[0] not in "-0123456789":
            raise self.bad()
        value = _read(token, is_number)
        if value is None:
            raise self.bad()
        return value


def _read(text: str, is_number: bool) -> Any:
    if not is_number:
        return text
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def _like(text: str) -> Any:
    """% any characters, _ one; matched without trying any way twice."""
    parts = re.split(r"(%+|_)", text)
    form = "".join(
        _ANY + "*" if p[:1] == "%" else _ANY if p == "_" else re.escape(p) for p in parts
    )
    try:
        return allowed_pattern.read(form)
    except allowed_pattern.Refused as error:
        raise Fault("InvalidInputException", f"Unsupported LIKE: {error}") from error
