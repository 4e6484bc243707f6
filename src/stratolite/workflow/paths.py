"""JSONPath as state machines use it: read a value, a list of values, or set one.

    path = parse("$.order.lines[*].price")      # ValueError: it is no path
    path.read(document)                         # the value, or a list where the path may mean several
    parse_reference("$.order.total").write(document, 12)

A path that can only mean one value is definite: read gives it, or raises Missing. Any other gives a list, empty where
nothing is found, as the Java library does that AWS uses. Functions (``.length()``) and regular expressions are no part of it.

Sources  https://states-language.net/spec.html#path
         https://github.com/json-path/JsonPath
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

STEPS_MAX = 100
VALUES_MAX = 100_000
"""Values looked at in one reading."""
_NAME = re.compile(r"[^\s.\[\](){}'\",?@$*:;=<>!&|]+")
_INTEGER = re.compile(r"-?\d{1,9}")
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")


class Missing(Exception):
    """A definite path leads nowhere: ``place`` is how far it is from the root, ``is_leaf`` whether only its last step failed."""

    def __init__(self, place: str, *, is_leaf: bool) -> None:
        super().__init__(place)
        self.place, self.is_leaf = place, is_leaf


@dataclass(frozen=True, slots=True)
class Step:
    """``kind``: name, names, index, indexes, slice, all, deep (any depth below) or filter; ``value`` is what it says."""

    kind: str
    value: Any = None


@dataclass(frozen=True, slots=True)
class Path:
    text: str
    root: str
    """"" for the input, "$" for the context object, else a variable's name."""
    steps: tuple[Step, ...]
    is_definite: bool

    def read(self, document: Any) -> Any:
        """Raises Missing where the path is definite and leads nowhere."""
        if self.is_definite:
            return _follow(self.steps, document)
        budget = [VALUES_MAX]
        return list(_walk(self.steps, 0, document, document, budget))

    def write(self, document: Any, value: Any) -> Any:
        """The document with ``value`` there, objects made on the way. Raises Missing for a place that cannot be made."""
        return _write(self.steps, 0, document, value)


@lru_cache(maxsize=4096)
def parse(text: str) -> Path:
    """Raises ValueError for what is no path."""
    try:
        return _Parser(text).path()
    except RecursionError as error:
        raise ValueError(text) from error


@lru_cache(maxsize=4096)
def parse_reference(text: str) -> Path:
    """A path to one place (ResultPath). Raises ValueError for what is none."""
    path = parse(text)
    if path.root or any(step.kind not in ("name", "index") for step in path.steps):
        raise ValueError(text)
    return path


def _follow(steps: tuple[Step, ...], document: Any) -> Any:
    value, place = document, "$"
    for number, step in enumerate(steps):
        is_leaf = number == len(steps) - 1
        if step.kind == "name":
            place += f"['{step.value}']"
            if not isinstance(value, dict) or step.value not in value:
                raise Missing(place, is_leaf=is_leaf)
            value = value[step.value]
        else:
            place += f"[{step.value}]"
            if not isinstance(value, list) or not -len(value) <= step.value < len(value):
                raise Missing(place, is_leaf=is_leaf)
            value = value[step.value]
    return value


def _walk(
    steps: tuple[Step, ...], at: int, value: Any, document: Any, budget: list[int]
) -> Iterator[Any]:
    budget[0] -= 1
    if budget[0] < 0:
        raise ValueError(f"a path may look at {VALUES_MAX} values")
    if at == len(steps):
        yield value
        return
    for inner in _inner(steps[at], value, document, budget):
        yield from _walk(steps, at + 1, inner, document, budget)


def _inner(step: Step, value: Any, document: Any, budget: list[int]) -> Iterator[Any]:
    kind = step.kind
    if kind == "name":
        if isinstance(value, dict) and step.value in value:
            yield value[step.value]
    elif kind == "names":
        if isinstance(value, dict):
            yield from (value[name] for name in step.value if name in value)
    elif kind == "all":
        yield from _below(value)
    elif kind == "deep":
        yield from _deep(value, budget)
    elif kind == "filter":
        for one in _below(value) if isinstance(value, list) else (value,):
            if step.value(one, document):
                yield one
    elif isinstance(value, list):
        if kind == "slice":
            yield from value[step.value]
        else:
            indexes = step.value if kind == "indexes" else (step.value,)
            yield from (value[i] for i in indexes if -len(value) <= i < len(value))


def _below(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _deep(value: Any, budget: list[int]) -> Iterator[Any]:
    budget[0] -= 1
    if budget[0] < 0:
        raise ValueError(f"a path may look at {VALUES_MAX} values")
    yield value
    for inner in _below(value):
        yield from _deep(inner, budget)


def _write(steps: tuple[Step, ...], at: int, document: Any, value: Any) -> Any:
    if at == len(steps):
        return value
    step = steps[at]
    if step.kind == "index":
        if not isinstance(document, list) or not 0 <= step.value < len(document):
            raise Missing(f"[{step.value}]", is_leaf=at == len(steps) - 1)
        made = list(document)
        made[step.value] = _write(steps, at + 1, document[step.value], value)
        return made
    if document is None and at:
        document = {}
    if not isinstance(document, dict):
        raise Missing(f"['{step.value}']", is_leaf=at == len(steps) - 1)
    below = document.get(step.value, {} if at + 1 < len(steps) else None)
    return {**document, step.value: _write(steps, at + 1, below, value)}


class _Parser:
    """Recursive descent over the text of one path."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def wrong(self) -> ValueError:
        return ValueError(self.text)

    def path(self) -> Path:
        if not self.text.startswith("$"):
            raise self.wrong()
        self.at = 1
        root = ""
        if self._take("$"):
            root = "$"
        elif (name := re.compile(r"[A-Za-z_]\w*").match(self.text, 1)) is not None:
            root, self.at = name[0], name.end()
        steps = self._steps()
        if self.at != len(self.text):
            raise self.wrong()
        return Path(self.text, root, steps, _is_definite(steps))

    def _take(self, token: str) -> bool:
        if self.text.startswith(token, self.at):
            self.at += len(token)
            return True
        return False

    def _blank(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in " \t\n\r":
            self.at += 1

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        if found is None:
            raise self.wrong()
        self.at = found.end()
        return found[0]

    def _steps(self) -> tuple[Step, ...]:
        steps: list[Step] = []
        while self.at < len(self.text):
            if self._take(".."):
                steps.append(Step("deep"))
                if not self.text.startswith("[", self.at):
                    steps.append(self._named())
            elif self._take("."):
                steps.append(self._named())
            elif self.text.startswith("[", self.at):
                steps.append(self._bracketed())
            else:
                break
            if len(steps) > STEPS_MAX:
                raise self.wrong()
        return tuple(steps)

    def _named(self) -> Step:
        if self._take("*"):
            return Step("all")
        name = self._match(_NAME)
        if self.text.startswith("(", self.at):
            raise self.wrong()
        return Step("name", name)

    def _bracketed(self) -> Step:
        self.at += 1
        self._blank()
        if self._take("*"):
            return self._closed(Step("all"))
        if self._take("?"):
            self._blank()
            if not self._take("("):
                raise self.wrong()
            test = self._either()
            self._blank()
            if not self._take(")"):
                raise self.wrong()
            return self._closed(Step("filter", test))
        if self.text[self.at : self.at + 1] in ("'", '"'):
            names = [self._quoted()]
            while self._comma():
                names.append(self._quoted())
            return self._closed(
                Step("name", names[0]) if len(names) == 1 else Step("names", tuple(names))
            )
        return self._closed(self._indexed())

    def _indexed(self) -> Step:
        first = self._integer()
        self._blank()
        if self._take(":"):
            self._blank()
            last = self._integer()
            self._blank()
            step = None
            if self._take(":"):
                step = self._integer()
                if step is not None and step < 1:
                    raise self.wrong()
            return Step("slice", slice(first, last, step))
        if first is None:
            raise self.wrong()
        indexes = [first]
        while self._comma():
            another = self._integer()
            if another is None:
                raise self.wrong()
            indexes.append(another)
        return Step("index", first) if len(indexes) == 1 else Step("indexes", tuple(indexes))

    def _integer(self) -> int | None:
        found = _INTEGER.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        return int(found[0])

    def _comma(self) -> bool:
        self._blank()
        if not self._take(","):
            return False
        self._blank()
        return True

    def _closed(self, step: Step) -> Step:
        self._blank()
        if not self._take("]"):
            raise self.wrong()
        return step

    def _quoted(self) -> str:
        quote = self.text[self.at : self.at + 1]
        if quote not in ("'", '"') or not quote:
            raise self.wrong()
        self.at += 1
        made: list[str] = []
        while self.at < len(self.text):
            letter = self.text[self.at]
            self.at += 1
            if letter == quote:
                return "".join(made)
            if letter == "\\" and self.text[self.at : self.at + 1] in (quote, "\\"):
                letter = self.text[self.at]
                self.at += 1
            made.append(letter)
        raise self.wrong()

    # -- filters: [?(@.price < 10 && @.kind == 'book')]

    def _either(self) -> Callable[[Any, Any], bool]:
        tests = [self._both()]
        self._blank()
        while self._take("||"):
            tests.append(self._both())
            self._blank()
        return tests[0] if len(tests) == 1 else lambda one, all_: any(t(one, all_) for t in tests)

    def _both(self) -> Callable[[Any, Any], bool]:
        tests = [self._single()]
        self._blank()
        while self._take("&&"):
            tests.append(self._single())
            self._blank()
        return tests[0] if len(tests) == 1 else lambda one, all_: all(t(one, all_) for t in tests)

    def _single(self) -> Callable[[Any, Any], bool]:
        self._blank()
        if self._take("!"):
            test = self._single()
            return lambda one, all_: not test(one, all_)
        if self._take("("):
            test = self._either()
            self._blank()
            if not self._take(")"):
                raise self.wrong()
            return test
        left = self._operand()
        self._blank()
        for sign, compare in _SIGNS.items():
            if self._take(sign):
                right = self._operand()
                return lambda one, all_: _compared(compare, left(one, all_), right(one, all_))
        return lambda one, all_: left(one, all_) is not _NOTHING

    def _operand(self) -> Callable[[Any, Any], Any]:
        self._blank()
        letter = self.text[self.at : self.at + 1]
        if letter in ("@", "$"):
            self.at += 1
            steps = self._steps()
            if not _is_definite(steps):
                raise self.wrong()
            is_own = letter == "@"
            return lambda one, all_: _or_nothing(steps, one if is_own else all_)
        value: Any
        if letter in ("'", '"'):
            value = self._quoted()
        elif self._take("true"):
            value = True
        elif self._take("false"):
            value = False
        elif self._take("null"):
            value = None
        else:
            number = self._match(_NUMBER)
            value = float(number) if any(c in number for c in ".eE") else int(number)
        return lambda one, all_: value


_NOTHING: Any = object()
_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
}


def _or_nothing(steps: tuple[Step, ...], value: Any) -> Any:
    try:
        return _follow(steps, value)
    except Missing:
        return _NOTHING


def _compared(compare: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    if left is _NOTHING or right is _NOTHING:
        return False
    if isinstance(left, bool) != isinstance(right, bool):
        return compare is _SIGNS["!="]
    try:
        return compare(left, right)
    except TypeError:
        return False


def _is_definite(steps: tuple[Step, ...]) -> bool:
    return all(step.kind in ("name", "index") for step in steps)
