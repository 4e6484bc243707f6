"""Metric math: expressions over time series, parsed and evaluated.

A value is a number, a series (ms -> number) or a list of series. Arithmetic of two series has the times both
have. SEARCH is looked up before (``searching``). What asks other services is refused by name.
Source  https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, NamedTuple

Series = dict[int, float]
Value = float | Series | list[Series]
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|(?P<name>[A-Za-z][A-Za-z0-9_]*)"
    r'|(?P<text>"[^"]*"|\'[^\']*\')|(?P<mark>==|!=|<=|>=|&&|\|\||[-+*/^()\[\],<>]))'
)
LENGTH_MAX = 2048
_DEPTH_MAX = 50
_REFUSED = frozenset(
    {"ANOMALY_DETECTION_BAND", "DB_PERF_INSIGHTS", "INSIGHT_RULE_METRIC", "LAMBDA", "SELECT", "SERVICE_QUOTA"}
)  # fmt: skip
_WORDS = frozenset({"REPEAT", "LINEAR", "AVG", "MAX", "MIN", "SUM", "ASC", "DESC"})
"""What may be an argument as it stands."""


class BadExpression(ValueError):
    """What is wrong, in a sentence."""


class Scope(NamedTuple):
    """What an expression is evaluated in."""

    named: Mapping[str, Value]
    """By the ids of the queries it may use."""
    metrics: Mapping[str, Series]
    """All that are metrics, by the ids of their queries, for METRICS()."""
    times: list[int]
    """Every period's start, in ms."""
    period_s: int
    searched: Mapping[Any, list[Series]] | None = None
    """What each SEARCH of the request found, by its arguments; None where there may be none."""


def evaluate(text: str, scope: Scope) -> Value:
    """Raises BadExpression."""
    if len(text) > LENGTH_MAX:
        raise BadExpression(f"an expression is at most {LENGTH_MAX} characters")
    parser = _Parser(text, scope)
    value = parser.expression(0)
    parser.end()
    return value


def names_in(text: str) -> set[str]:
    """The ids that an expression uses: words that start with a small letter."""
    return {m["name"] for m in _TOKEN.finditer(text) if m["name"] and m["name"][0].islower()}


class _Parser:
    """Evaluates as it reads: lowest first, OR AND, comparisons, + -, * /, ^, signs."""

    def __init__(self, text: str, scope: Scope) -> None:
        self._tokens: list[tuple[str, str]] = []
        self._scope = scope
        self._at = self._depth = 0
        at = 0
        text = text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise BadExpression(f"unexpected character at position {at}")
            kind = str(match.lastgroup)
            self._tokens.append((kind, match[kind]))
            at = match.end()

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def _following(self) -> str:
        return self._tokens[self._at + 1][1] if self._at + 1 < len(self._tokens) else ""

    def _take(self, mark: str = "") -> tuple[str, str]:
        token = self._peek()
        if mark and token[1] != mark:
            raise BadExpression(f"expected {mark}, found {token[1] or 'the end'}")
        self._at += 1
        return token

    def end(self) -> None:
        if self._at < len(self._tokens):
            raise BadExpression(f"unexpected {self._peek()[1]}")

    def expression(self, level: int) -> Value:
        if level == len(_LEVELS):
            return self._power()
        self._depth += 1
        if self._depth > _DEPTH_MAX * len(_LEVELS):
            raise BadExpression("nested too deeply")
        left = self.expression(level + 1)
        while (operation := _LEVELS[level].get(self._peek()[1])) is not None and self._peek()[
            0
        ] in ("mark", "name"):
            self._take()
            left = _pointwise(operation, left, self.expression(level + 1))
        self._depth -= 1
        return left

    def _power(self) -> Value:
        if self._peek()[1] in ("-", "+"):
            sign = -1.0 if self._take()[1] == "-" else 1.0
            return _pointwise(lambda a, b: a * b, sign, self._power())
        base = self._atom()
        if self._peek()[1] == "^":
            self._take()
            return _pointwise(_raised, base, self._power())
        return base

    def _atom(self) -> Value:
        kind, text = self._take()
        if kind == "number":
            return float(text)
        if text == "(":
            value = self.expression(0)
            self._take(")")
            return value
        if text == "[":
            return _listed(self._arguments("]"))
        if kind == "name":
            if self._peek()[1] == "(":
                return self._call(text)
            found = self._scope.named.get(text)
            if found is None:
                raise BadExpression(f"{text} is not the id of a query")
            return found
        raise BadExpression(f"unexpected {text or 'end'}")

    def _arguments(self, close: str) -> list[Value | str]:
        found: list[Value | str] = []
        while self._peek()[1] != close:
            kind, text = self._peek()
            if kind == "text" or (text in _WORDS and self._following() != "("):
                self._take()
                found.append(text[1:-1] if kind == "text" else text)
            else:
                found.append(self.expression(0))
            if self._peek()[1] != close:
                self._take(",")
        self._take(close)
        return found

    def _call(self, name: str) -> Value:
        self._take("(")
        upper = name.upper()
        if upper in _REFUSED:
            raise BadExpression(f"the function {upper} is not offered by Stratolite")
        if upper not in _FUNCTIONS:
            raise BadExpression(f"{name} is not a function")
        arguments = self._arguments(")")
        try:
            return _FUNCTIONS[upper](self._scope, *arguments)
        except TypeError as error:
            raise BadExpression(f"{upper}: wrong number or kind of arguments") from error


def _raised(a: float, b: float) -> float:
    try:
        made = a**b
    except (ZeroDivisionError, OverflowError):
        return math.nan
    return made if isinstance(made, float) else math.nan


def _ratio(a: float, b: float) -> float:
    return a / b if b else math.nan


_LEVELS: tuple[dict[str, Callable[[float, float], float]], ...] = (
    {"OR": lambda a, b: float(bool(a or b)), "||": lambda a, b: float(bool(a or b))},
    {"AND": lambda a, b: float(bool(a and b)), "&&": lambda a, b: float(bool(a and b))},
    {
        "==": lambda a, b: float(a == b),
        "!=": lambda a, b: float(a != b),
        "<": lambda a, b: float(a < b),
        "<=": lambda a, b: float(a <= b),
        ">": lambda a, b: float(a > b),
        ">=": lambda a, b: float(a >= b),
    },
    {"+": lambda a, b: a + b, "-": lambda a, b: a - b},
    {"*": lambda a, b: a * b, "/": _ratio},
)


def _pointwise(operation: Callable[[float, float], float], a: Value, b: Value) -> Value:
    if isinstance(a, list):
        return [_as_series(_pointwise(operation, one, b)) for one in a]
    if isinstance(b, list):
        return [_as_series(_pointwise(operation, a, one)) for one in b]
    if isinstance(a, dict) and isinstance(b, dict):
        return _clean({ms: operation(a[ms], b[ms]) for ms in a if ms in b})
    if isinstance(a, dict):
        assert isinstance(b, float)
        return _clean({ms: operation(one, b) for ms, one in a.items()})
    if isinstance(b, dict):
        return _clean({ms: operation(a, one) for ms, one in b.items()})
    return operation(a, b)


def _clean(series: Series) -> Series:
    """Without what no number came of (a division by zero)."""
    return {ms: value for ms, value in series.items() if math.isfinite(value)}


def _as_series(value: Value) -> Series:
    if not isinstance(value, dict):
        raise BadExpression("a time series is needed here")
    return value


def _listed(values: list[Value | str]) -> list[Series]:
    found: list[Series] = []
    for value in values:
        if isinstance(value, list):
            found += value
        elif isinstance(value, dict):
            found.append(value)
        else:
            raise BadExpression("a list holds time series")
    return found


def _reduce(fold: Callable[[list[float]], float]) -> Callable[..., Value]:
    """Over one series to a number, over several to a series."""

    def function(_scope: Scope, value: Value) -> Value:
        if isinstance(value, dict):
            return fold(list(value.values())) if value else math.nan
        if isinstance(value, list):
            times = sorted({ms for one in value for ms in one})
            return {ms: fold([one[ms] for one in value if ms in one]) for ms in times}
        return value

    return function


def _each(change: Callable[[float], float]) -> Callable[..., Value]:
    def function(_scope: Scope, value: Value) -> Value:
        return _pointwise(lambda a, _: change(a), value, 0.0)

    return function


def _ordered(change: Callable[[list[tuple[int, float]]], Series]) -> Callable[..., Value]:
    """Of each series in the order of time."""

    def function(_scope: Scope, value: Value) -> Value:
        if isinstance(value, list):
            return [_clean(change(sorted(one.items()))) for one in value]
        return _clean(change(sorted(_as_series(value).items())))

    return function


def _deviation(values: list[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values))


def _differences(rows: list[tuple[int, float]]) -> Series:
    return {b[0]: b[1] - a[1] for a, b in pairwise(rows)}


def _rates(rows: list[tuple[int, float]]) -> Series:
    return {b[0]: (b[1] - a[1]) / ((b[0] - a[0]) / 1000) for a, b in pairwise(rows)}


def _running(rows: list[tuple[int, float]]) -> Series:
    total, found = 0.0, {}
    for ms, value in rows:
        total += value
        found[ms] = total
    return found


def _fill(scope: Scope, value: Value, by: Any) -> Value:
    if isinstance(value, list):
        return [_as_series(_fill(scope, one, by)) for one in value]
    series = _as_series(value)
    if by == "LINEAR":
        return _interpolated(series, scope.times)
    found: Series = {}
    last: float | None = None
    for ms in scope.times:
        if ms in series:
            last = found[ms] = series[ms]
        elif by == "REPEAT":
            if last is not None:
                found[ms] = last
        elif isinstance(by, dict):
            if ms in by:
                found[ms] = by[ms]
        elif isinstance(by, float):
            found[ms] = by
        else:
            raise BadExpression("FILL wants a number, a time series, REPEAT or LINEAR")
    return found


def _interpolated(series: Series, times: list[int]) -> Series:
    known = sorted(series)
    found = dict(series)
    for a, b in pairwise(known):
        for ms in times:
            if a < ms < b:
                found[ms] = series[a] + (series[b] - series[a]) * (ms - a) / (b - a)
    return found


def _if(_scope: Scope, test: Value, yes: Value, no: Value | None = None) -> Value:
    if isinstance(test, list):
        raise BadExpression("IF wants a number or one time series as its condition")

    def pick(value: Value | None, ms: int) -> float | None:
        if isinstance(value, list):
            raise BadExpression("IF wants numbers or single time series")
        return value.get(ms) if isinstance(value, dict) else value

    if isinstance(test, float):
        chosen = yes if test else no
        return {} if chosen is None else chosen
    found = {ms: pick(yes if holds else no, ms) for ms, holds in test.items()}
    return {ms: value for ms, value in found.items() if value is not None}


def _metrics(scope: Scope, part: Any = "") -> Value:
    if not isinstance(part, str):
        raise BadExpression("METRICS wants a part of the ids of queries")
    return [series for name, series in scope.metrics.items() if part in name]


def _several(value: Value, function: str) -> list[Series]:
    if not isinstance(value, list):
        raise BadExpression(f"{function} wants an array of time series")
    return value


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


_FOLDS: dict[str, Callable[[list[float]], float]] = {
    "AVG": _mean,
    "MAX": max,
    "MIN": min,
    "SUM": math.fsum,
}


def _sorted(_scope: Scope, value: Value, by: Any, order: Any, most: Any = None) -> Value:
    fold = _FOLDS.get(by)
    if fold is None or order not in ("ASC", "DESC"):
        raise BadExpression("SORT wants AVG, MAX, MIN or SUM, and ASC or DESC")
    given = _several(value, "SORT")
    full = sorted((one for one in given if one), key=lambda one: fold(list(one.values())), reverse=order == "DESC")  # fmt: skip
    found = full + [one for one in given if not one]
    return found if most is None else found[: _index(most)]


def _slice(_scope: Scope, value: Value, start: Any, stop: Any = None) -> Value:
    series, first = _several(value, "SLICE"), _index(start)
    if stop is not None:
        return series[first : _index(stop)]
    return series[first] if first < len(series) else {}


def _index(value: Any) -> int:
    if not isinstance(value, float) or value < 0 or value != int(value):
        raise BadExpression("a whole number from 0 on is needed here")
    return int(value)


def _times(of: Callable[[datetime], int]) -> Callable[..., Value]:
    """What the time of each value is, in UTC."""

    def function(_scope: Scope, value: Value) -> Value:
        if isinstance(value, list):
            return [_as_series(function(_scope, one)) for one in value]
        series = _as_series(value)
        return {ms: float(of(datetime.fromtimestamp(ms / 1000, UTC))) for ms in series}

    return function


def _gaps(rows: list[tuple[int, float]]) -> Series:
    return {b[0]: (b[0] - a[0]) / 1000 for a, b in pairwise(rows)}


def _search(scope: Scope, query: Any, stat: Any, period: Any = 0.0) -> Value:
    if scope.searched is None:
        raise BadExpression("SEARCH cannot be part of an alarm")
    found = scope.searched.get((query, stat, int(period)))
    if found is None:
        raise BadExpression("SEARCH wants a query, a statistic and a period as they are")
    return found


def _end(last: bool) -> Callable[..., Value]:
    def function(_scope: Scope, value: Value) -> Value:
        found = value
        if isinstance(found, list):
            if not found:
                return {}
            return found[-1] if last else found[0]
        series = _as_series(found)
        if not series:
            return math.nan
        return series[max(series) if last else min(series)]

    return function


def _constant(scope: Scope, value: Value) -> Value:
    if not isinstance(value, float):
        raise BadExpression("TIME_SERIES wants a number")
    return dict.fromkeys(scope.times, value)


def _log(value: float) -> float:
    return math.log(value) if value > 0 else math.nan


def _log10(value: float) -> float:
    return math.log10(value) if value > 0 else math.nan


_FUNCTIONS: dict[str, Callable[..., Value]] = {
    "ABS": _each(abs),
    "AVG": _reduce(_mean),
    "CEIL": _each(lambda value: float(math.ceil(value))),
    "DATAPOINT_COUNT": _reduce(lambda values: float(len(values))),
    "DATE": _times(lambda at: at.day),
    "DAY": _times(lambda at: at.isoweekday()),
    "DIFF": _ordered(_differences),
    "DIFF_TIME": _ordered(_gaps),
    "EPOCH": _times(lambda at: int(at.timestamp())),
    "FILL": _fill,
    "FIRST": _end(last=False),
    "FLOOR": _each(lambda value: float(math.floor(value))),
    "HOUR": _times(lambda at: at.hour),
    "IF": _if,
    "LAST": _end(last=True),
    "LOG": _each(_log),
    "LOG10": _each(_log10),
    "MAX": _reduce(max),
    "METRIC_COUNT": lambda _, value: float(len(value) if isinstance(value, list) else 1),
    "METRICS": _metrics,
    "MIN": _reduce(min),
    "MINUTE": _times(lambda at: at.minute),
    "MONTH": _times(lambda at: at.month),
    "PERIOD": lambda scope, _: float(scope.period_s),
    "RATE": _ordered(_rates),
    "REMOVE_EMPTY": lambda _, value: [one for one in _several(value, "REMOVE_EMPTY") if one],
    "RUNNING_SUM": _ordered(_running),
    "SEARCH": _search,
    "SLICE": _slice,
    "SORT": _sorted,
    "STDDEV": _reduce(_deviation),
    "SUM": _reduce(math.fsum),
    "TIME_SERIES": _constant,
    "YEAR": _times(lambda at: at.year),
}
