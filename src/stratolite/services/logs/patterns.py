"""Filter patterns: which log events a metric filter, a subscription filter or FilterLogEvents is about, and the values in them.

``ERROR Exception``    terms: both        ``"two words"``   the phrase
``?ERROR ?WARN``       one of them        ``-debug``        without it
``%ERR.*[0-9]%``       a regular expression (``regular``)
``{ $.user.id = 1 && ($.tags[*] = "a*" || $.error NOT EXISTS) }``    of messages that are JSON
``[ip, ..., status = 4* && status != 403, bytes > 1000]``            of messages that are fields between spaces

Terms are found anywhere in the message, case matters, optional terms beside others are ignored. A selector that names no string
or number holds in no comparison, ``!=`` included; with a wildcard it holds if one of what it names does. ``*`` stands for any text
at the start or the end of a value and for itself elsewhere. What is written without quotes and is a number is compared as one. The
last field takes the rest of the message where there is no ellipsis. All as AWS does, whose TestMetricFilter is the only other reader
of this syntax.

Source  https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from stratolite.errors import Fault
from stratolite.services.logs.regular import BadExpression, Expression

_LENGTH_MAX = 1024
_DEPTH_MAX = 50
_EXPRESSIONS_MAX = 2
_WILDCARDS_MAX = 3
_FIELDS_MAX = 10_000
"""Of a message; one of more is none that is made of fields."""
_SPACE = re.compile(r"\s*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_REGULAR = re.compile(r"%((?:[^%\\]|\\.)*)%", re.DOTALL)
_WORD = re.compile(r"\w+")
_BARE = re.compile(r"[A-Za-z0-9_.*+-]+")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_OPERATOR = re.compile(r"!=|<=|>=|=|<|>")
_STEP = re.compile(
    r"\.(?P<name>[A-Za-z0-9_-]+)|\.(?P<any>\*)|\.?\[(?:(?P<index>\d{1,9})|(?P<each>\*)|'(?P<single>[^']+)'|\"(?P<double>[^\"]+)\")\]"
)
_IS = re.compile(r"\s+IS\s+(NULL|TRUE|FALSE)\b|\s+(NOT)\s+EXISTS\b")
_NO_SPACE = re.compile(r"\S+")
_NAMED = re.compile(r"([A-Za-z0-9_]+)\s*(?=,|\Z)")
_ENDS = {"[": re.compile(r"\]"), '"': re.compile(r'(?<!\\)(?:\\\\)*"')}
_ABSENT: Any = object()

Test = Callable[[Any], bool]
"""Of a value: text, a ``_Number``, or what else JSON has."""
Path = tuple[str | int | None, ...]
"""Names and indexes from the root; None is every one there is."""


class _Number(str):
    """A number of JSON as it was written."""

    __slots__ = ()


class Text:
    """One message, read as JSON or as fields when the first pattern asks."""

    def __init__(self, message: str) -> None:
        self.message = message

    @cached_property
    def document(self) -> Any:
        if not self.message.lstrip().startswith(("{", "[")):
            return _ABSENT
        try:
            return json.loads(self.message, parse_int=_Number, parse_float=_Number, parse_constant=_Number)  # fmt: skip
        except (ValueError, RecursionError):
            return _ABSENT

    @cached_property
    def fields(self) -> list[tuple[str, int]]:
        """(value without its quotes or brackets, where it begins)."""
        message, found = self.message, list[tuple[str, int]]()
        ends = dict.fromkeys(_ENDS, -1)  # where the next bracket or quote is, looked for once
        at = _after_space(message, 0)
        while at < len(message):
            if len(found) == _FIELDS_MAX:
                return []
            mark, after = message[at], 0
            if mark in _ENDS:
                if ends[mark] <= at:
                    match = _ENDS[mark].search(message, at + 1)
                    ends[mark] = match.end() - 1 if match else len(message)
                after = ends[mark] + 1
            if 0 < after <= len(message) and message[after : after + 1].strip() == "":
                found.append((message[at + 1 : after - 1], at))
            else:
                match = _NO_SPACE.match(message, at)
                assert match is not None
                found.append((match[0], at))
                after = match.end()
            at = _after_space(message, after)
        return found

    def at(self, path: Path) -> list[Any]:
        """What the path names in the document."""
        found = [] if self.document is _ABSENT else [self.document]
        for step in path:
            found = [one for value in found for one in _below(value, step)]
        return found


def _below(value: Any, step: str | int | None) -> list[Any]:
    if step is None:
        if isinstance(value, dict):
            return list(value.values())
        return value if isinstance(value, list) else []
    if isinstance(step, int):
        return [value[step]] if isinstance(value, list) and step < len(value) else []
    return [value[step]] if isinstance(value, dict) and step in value else []


class Pattern:
    kind = "terms"
    expressions = 0
    """How many regular expressions are in it."""

    def holds(self, text: Text) -> bool:
        raise NotImplementedError

    def matches(self, message: str) -> bool:
        return self.holds(Text(message))

    def extracted(self, text: Text) -> dict[str, str]:
        """What it names of an event that it holds for, by selector: ``$.user.id``, ``$status``, ``$1``."""
        return {}

    def selects(self, selector: str) -> bool:
        """Whether a metric's value or dimension may be taken from there."""
        return False

    def value(self, text: Text, selector: str) -> str | None:
        """Of an event that it holds for."""
        return None


class _Terms(Pattern):
    def __init__(self, needed: list[str], optional: list[str], excluded: list[str]) -> None:
        self._needed, self._excluded = tuple(needed), tuple(excluded)
        self._optional = () if needed or excluded else tuple(optional)

    def holds(self, text: Text) -> bool:
        message = text.message
        return (
            all(term in message for term in self._needed)
            and (not self._optional or any(term in message for term in self._optional))
            and not any(term in message for term in self._excluded)
        )


class _Regular(Pattern):
    expressions = 1

    def __init__(self, expression: Expression) -> None:
        self._expression = expression

    def holds(self, text: Text) -> bool:
        return self._expression.found_in(text.message)


class _Json(Pattern):
    kind = "json"

    def __init__(
        self, test: Callable[[Text], bool], selectors: dict[str, Path], expressions: int
    ) -> None:
        self._test, self._selectors, self.expressions = test, selectors, expressions

    def holds(self, text: Text) -> bool:
        return text.document is not _ABSENT and self._test(text)

    def extracted(self, text: Text) -> dict[str, str]:
        found = ((name, self.value(text, name)) for name in self._selectors)
        return {name: value for name, value in found if value is not None}

    def selects(self, selector: str) -> bool:
        return None not in (_path_of(selector) or (None,))

    def value(self, text: Text, selector: str) -> str | None:
        found = text.at(_path_of(selector) or (None,))
        if not found:
            return None
        if isinstance(found[0], bool):
            return "true" if found[0] else "false"
        return str(found[0]) if isinstance(found[0], str) else None


class _Spec(NamedTuple):
    name: str
    test: Test | None


class _Fields(Pattern):
    kind = "fields"

    def __init__(self, head: list[_Spec], tail: list[_Spec] | None, expressions: int) -> None:
        """``tail`` is what stands behind the ellipsis, None without one."""
        self._head, self._tail, self.expressions = head, tail, expressions

    def holds(self, text: Text) -> bool:
        found = self._placed(text)
        return found is not None and all(s.test is None or s.test(v) for _, s, v in found)

    def extracted(self, text: Text) -> dict[str, str]:
        found = {f"${n}": value for n, (value, _) in enumerate(text.fields, 1)}
        if self._tail is None:
            found = {f"${n}": found[f"${n}"] for n in range(1, len(self._head) + 1)}
        for number, spec, value in self._placed(text) or ():
            found.pop(f"${number}")
            found[f"${spec.name or number}"] = value
        return found

    def selects(self, selector: str) -> bool:
        name = selector[1:]
        known = any(spec.name == name for spec in (*self._head, *(self._tail or ())))
        return known or (name.isascii() and name.isdigit())

    def value(self, text: Text, selector: str) -> str | None:
        return self.extracted(text).get(selector)

    def _placed(self, text: Text) -> list[tuple[int, _Spec, str]] | None:
        """(number of the field from 1, what is said of it, its value); None for a message of too few."""
        fields, head, tail = text.fields, self._head, self._tail or []
        if len(fields) < len(head) + len(tail):
            return None
        values = [value for value, _ in fields]
        found = [(n, spec, values[n - 1]) for n, spec in enumerate(head, 1)]
        if self._tail is None and len(fields) > len(head):
            rest = text.message[fields[len(head) - 1][1] :].rstrip()
            found[-1] = (len(head), head[-1], rest)
        first = len(fields) - len(tail)
        found += [(n + 1, spec, values[n]) for n, spec in enumerate(tail, first)]
        return found


# -- from text


class BadPattern(ValueError):
    """What is wrong, in AWS's words; "" where it only says that something is."""


def compiled(pattern: str, of: str = "") -> Pattern:
    """``of`` is "metric " or "subscription " where the error says so. Raises Fault."""
    if len(pattern) > _LENGTH_MAX:
        raise Fault(
            "InvalidParameterException",
            f"1 validation error detected: Value '{pattern}' at 'filterPattern' failed to satisfy constraint:"
            f" Member must have length less than or equal to {_LENGTH_MAX}",
        )
    try:
        return _compiled(pattern)
    except BadPattern as error:
        said = str(error) or f"Invalid {of}filter pattern"
        raise Fault("InvalidParameterException", said) from error


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Pattern:
    text = pattern.strip()
    for start, end in ("{}", "[]"):
        if text.startswith(start):
            if len(text) < 2 or not text.endswith(end):
                raise BadPattern(f"If a filter pattern starts with '{start}' it must end with '{end}'")  # fmt: skip
            parser = _Parser(text[1:-1])
            return parser.json() if start == "{" else parser.fields()
    if text.startswith("%"):
        if (match := _REGULAR.fullmatch(text)) is None:
            raise BadPattern("Invalid character(s) in term '%'")
        return _Regular(_expression(match[1]))
    return _terms(text)


def _terms(text: str) -> Pattern:
    kinds: dict[str, list[str]] = {"": [], "?": [], "-": []}
    at = 0
    while at < len(text):
        sign = text[at] if text[at] in "?-" else ""
        at += len(sign)
        if (match := _QUOTED.match(text, at)) is not None:
            term = _unescaped(match[1])
        elif (match := _WORD.match(text, at)) is not None:
            term = match[0]
        elif text.startswith('"', at):
            raise BadPattern
        else:
            raise BadPattern(f"Invalid character(s) in term '{text[at : at + 1].strip() or sign}'")
        kinds[sign].append(term)
        at = match.end()
        if at < len(text) and not text[at].isspace():
            raise BadPattern("" if text[at] == '"' or match[0][0] == '"' else f"Invalid character(s) in term '{text[at]}'")  # fmt: skip
        at = _after_space(text, at)
    return _Terms(kinds[""], kinds["?"], kinds["-"])


class _Parser:
    """Of what stands between the braces of a JSON pattern, or the brackets of one of fields."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._expressions = self._wildcards = 0
        self._selectors: dict[str, Path] = {}

    def json(self) -> Pattern:
        test = self._either(self._condition, 0)
        self._end()
        return _Json(test, self._selectors, self._expressions)

    def fields(self) -> Pattern:
        specs: list[_Spec | None] = []  # None is the ellipsis
        self._space()
        while self._at < len(self._text):
            specs.append(self._spec())
            if self._at < len(self._text):
                self._take(",")
                if self._at >= len(self._text):
                    specs.append(_Spec("", None))  # after a comma at the end
        specs = specs or [None]
        if specs.count(None) > 1:
            raise BadPattern
        if None not in specs:
            return _Fields([s for s in specs if s is not None], None, self._expressions)
        middle = specs.index(None)
        head, tail = specs[:middle], specs[middle + 1 :]
        return _Fields([s for s in head if s], [s for s in tail if s], self._expressions)

    # -- conditions

    def _either(self, one: Callable[[int], Any], depth: int) -> Any:
        tests = [self._both(one, depth)]
        while self._takes("||"):
            tests.append(self._both(one, depth))
        return tests[0] if len(tests) == 1 else lambda value: any(test(value) for test in tests)

    def _both(self, one: Callable[[int], Any], depth: int) -> Any:
        tests = [self._unit(one, depth)]
        while self._takes("&&"):
            tests.append(self._unit(one, depth))
        return tests[0] if len(tests) == 1 else lambda value: all(test(value) for test in tests)

    def _unit(self, one: Callable[[int], Any], depth: int) -> Any:
        if depth > _DEPTH_MAX:
            raise BadPattern
        if not self._takes("("):
            return one(depth)
        test = self._either(one, depth + 1)
        self._take(")")
        return test

    def _condition(self, depth: int) -> Callable[[Text], bool]:
        """Of a selector and what it is compared with."""
        path = self._selector()
        if (match := _IS.match(self._text, self._at)) is not None:
            self._at = match.end()
            self._space()
            if match[2]:
                return lambda text: not text.at(path)
            wanted = {"NULL": None, "TRUE": True, "FALSE": False}[match[1]]
            return lambda text: any(value is wanted for value in text.at(path))
        self._space()
        test = self._comparison()
        return lambda text: any(isinstance(v, str) and test(v) for v in text.at(path))

    def _selector(self) -> Path:
        start = self._at
        self._take("$", keep_space=True)
        path: list[str | int | None] = []
        while (match := _STEP.match(self._text, self._at)) is not None:
            self._at = match.end()
            path.append(_step_of(match))
        dot = "." if self._text.startswith(".", self._at) else ""
        following = self._text[self._at + len(dot) : self._at + len(dot) + 1]
        if dot or not path or (following or " ") not in " \t\r\n=!<>)":
            raise BadPattern(
                f"Invalid character(s) in term '{'' if path else '$'}{dot}{following.strip()}'"
            )
        self._wildcards += path.count(None)
        if path.count(None) > 1 or self._wildcards > _WILDCARDS_MAX:
            raise BadPattern
        if None not in path:
            self._selectors[self._text[start : self._at]] = tuple(path)
        return tuple(path)

    def _spec(self) -> _Spec | None:
        """One field of the pattern; None for the ellipsis."""
        if self._takes("..."):
            return None
        if self._text.startswith(",", self._at):
            return _Spec("", None)
        if (match := _NAMED.match(self._text, self._at)) is not None:
            self._at = match.end()
            return _Spec(match[1], None)
        names: list[str] = []

        def one(_depth: int) -> Test:
            word = _WORD.match(self._text, self._at)
            if word is None:
                raise BadPattern(self._unexpected())
            names.append(word[0])
            self._at = word.end()
            self._space()
            return self._comparison()

        test = self._either(one, 0)
        if len(set(names)) > 1:
            raise BadPattern
        return _Spec(names[0], test)

    def _comparison(self) -> Test:
        """An operator and its value."""
        match = _OPERATOR.match(self._text, self._at)
        if match is None:
            raise BadPattern(self._unexpected() if self._at < len(self._text) else "")
        self._at = match.end()
        self._space()
        operator = match[0]
        if self._text.startswith("%", self._at):
            found = self._match(_REGULAR)
            self._expressions += 1
            if operator not in ("=", "!=") or self._expressions > _EXPRESSIONS_MAX:
                raise BadPattern
            expression = _expression(found[1])
            return _negated(expression.found_in, operator)
        if self._text.startswith('"', self._at):
            quoted = _unescaped(self._match(_QUOTED)[1])
            return self._compared(operator, quoted, None)
        bare = self._match(_BARE)[0]
        return self._compared(operator, bare, _number(bare))

    def _compared(self, operator: str, text: str, number: float | None) -> Test:
        if operator in ("=", "!="):
            if number is not None:
                return _negated(lambda v: _same(v, text, number), operator)
            return _negated(_alike(text), operator)
        if number is None:
            raise BadPattern(f"Invalid character(s) in term '\"{text}\"'")
        test = _ORDERS[operator]
        return lambda v: (known := _number(v)) is not None and test(known, number)

    # -- characters

    def _space(self) -> None:
        self._at = _after_space(self._text, self._at)

    def _takes(self, mark: str) -> bool:
        self._space()
        if not self._text.startswith(mark, self._at):
            return False
        self._at += len(mark)
        self._space()
        return True

    def _take(self, mark: str, *, keep_space: bool = False) -> None:
        if not self._text.startswith(mark, self._at):
            raise BadPattern(self._unexpected())
        self._at += len(mark)
        if not keep_space:
            self._space()

    def _match(self, wanted: re.Pattern[str]) -> re.Match[str]:
        match = wanted.match(self._text, self._at)
        if match is None:
            raise BadPattern("" if self._text.startswith('"', self._at) else self._unexpected())
        self._at = match.end()
        return match

    def _end(self) -> None:
        self._space()
        if self._at < len(self._text):
            raise BadPattern(self._unexpected())

    def _unexpected(self) -> str:
        """Of what stands here: a character that no term has, or "" for a term where none may be."""
        character = self._text[self._at : self._at + 1]
        if not character or character == '"' or _BARE.match(character):
            return ""
        return f"Invalid character(s) in term '{character}'"


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def _expression(text: str) -> Expression:
    try:
        return Expression(text)
    except BadExpression as error:
        said = f"Invalid character(s) in term '{error.character}'" if error.character else ""
        raise BadPattern(said) from error


@lru_cache(maxsize=1024)
def _path_of(selector: str) -> Path | None:
    """None for what is no selector of JSON."""
    path: list[str | int | None] = []
    at = 1
    while (match := _STEP.match(selector, at)) is not None:
        at = match.end()
        path.append(_step_of(match))
    return tuple(path) if path and selector[0] == "$" and at == len(selector) else None


def _step_of(match: re.Match[str]) -> str | int | None:
    if match["any"] or match["each"]:
        return None
    if match["index"]:
        return int(match["index"])
    return match["name"] or match["single"] or match["double"]


# -- comparisons


def _number(text: str) -> float | None:
    """None for what is none; whole ones are exact."""
    if _NUMBER.fullmatch(text) is None:
        return None
    return int(text) if text.lstrip("+-").isdigit() and len(text) <= 40 else float(text)


def _same(value: str, text: str, number: float) -> bool:
    """``number`` is what ``text`` says; numbers are the same however they are written, other text is not."""
    return value == text or _number(value) == number


def _alike(text: str) -> Test:
    if text == "*":
        return lambda _: True
    starts, ends = text.startswith("*"), text.endswith("*")
    middle = text[starts : len(text) - ends]
    if starts and ends:
        return lambda value: middle in value
    if starts:
        return lambda value: value.endswith(middle)
    if ends:
        return lambda value: value.startswith(middle)
    return lambda value: bool(value == text)


def _negated(test: Test, operator: str) -> Test:
    return test if operator == "=" else lambda value: not test(value)


_ORDERS: dict[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
