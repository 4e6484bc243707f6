"""Summaries of values, and the statistics that can be told from them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable

import msgspec

EXACT_MAX = 100
_STEP = math.log(1.02)
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,10})?|100)")


class Summary(msgspec.Struct, array_like=True):
    """Stored as a msgpack array in this order."""

    count: float
    total: float
    low: float
    high: float
    values: dict[float, float] | None
    """Value -> how often; None when only statistics were given. Beyond ``EXACT_MAX`` values, steps of 2 %."""


_PLAIN: dict[str, Callable[[Summary], float]] = {
    "SampleCount": lambda s: s.count,
    "Sum": lambda s: s.total,
    "Average": lambda s: s.total / s.count if s.count else 0.0,
    "Minimum": lambda s: s.low,
    "Maximum": lambda s: s.high,
}


def of_value(value: float, count: float = 1.0) -> Summary:
    return Summary(count, value * count, value, value, {value: count})


def of_values(values: list[float], counts: list[float]) -> Summary:
    made: dict[float, float] = {}
    for value, count in zip(values, counts, strict=True):
        made[value] = made.get(value, 0.0) + count
    total = math.fsum(value * count for value, count in made.items())
    summary = Summary(math.fsum(made.values()), total, min(made), max(made), made)
    _thin(summary)
    return summary


def of_statistics(count: float, total: float, low: float, high: float) -> Summary:
    """Percentiles need the values, which are known only where there is no choice."""
    values = {low: count} if low == high else None
    return Summary(count, total, low, high, values)


def merged(summaries: Iterable[Summary]) -> Summary | None:
    found: Summary | None = None
    for one in summaries:
        if found is None:
            values = None if one.values is None else dict(one.values)
            found = Summary(one.count, one.total, one.low, one.high, values)
        else:
            add(found, one)
    return found


def add(to: Summary, one: Summary) -> None:
    to.count += one.count
    to.total += one.total
    to.low, to.high = min(to.low, one.low), max(to.high, one.high)
    if to.values is None or one.values is None:
        to.values = None
        return
    for value, count in one.values.items():
        to.values[value] = to.values.get(value, 0.0) + count
    _thin(to)


def _thin(summary: Summary) -> None:
    values = summary.values
    if values is None or len(values) <= EXACT_MAX:
        return
    thin: dict[float, float] = {}
    for value, count in values.items():
        step = 0.0
        if value:
            step = math.copysign(math.exp(round(math.log(abs(value)) / _STEP) * _STEP), value)
        thin[step] = thin.get(step, 0.0) + count
    summary.values = thin


def is_known(name: str) -> bool:
    return name in _PLAIN or _PERCENTILE.fullmatch(name) is not None


def is_plain(name: str) -> bool:
    return name in _PLAIN


def statistic(summary: Summary, name: str) -> float | None:
    """None for a percentile of values that were not given."""
    plain = _PLAIN.get(name)
    if plain is not None:
        return float(plain(summary))
    match = _PERCENTILE.fullmatch(name)
    assert match is not None, name
    if summary.values is None:
        return None
    wanted = float(match[1]) / 100 * summary.count
    seen = 0.0
    for value in sorted(summary.values):
        seen += summary.values[value]
        if seen >= wanted:
            return min(max(value, summary.low), summary.high)
    return summary.high
