"""Summaries of values, and the statistics that can be told from them.

Beside the plain ones: ``p95``; and of the values between two bounds the trimmed mean ``tm90``, ``TM(10%:90%)``, ``TM(150:1000)``, the
winsorized mean ``wm``, the trimmed count ``tc`` and sum ``ts``, ``IQM``, and the percentage ``PR(100:2000)``. A bound is a value,
exclusive below and inclusive above, or a percentage of the samples in their order, whole samples.

Source  https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

import msgspec

EXACT_MAX = 100
_STEP = math.log(1.02)
_PERCENT = r"(?:\d{1,2}(?:\.\d{1,10})?|100)"
_PERCENTILE = re.compile(rf"p({_PERCENT})")
_BELOW = re.compile(rf"(tm|wm|tc|ts)({_PERCENT})", re.IGNORECASE)
_VALUE = r"-?(?:\d+(?:\.\d*)?|\.\d+)"
_BETWEEN = re.compile(
    rf"(tm|wm|tc|ts)\(({_PERCENT})?(%?):({_PERCENT})?(%?)\)|(tm|wm|tc|ts|pr)\(({_VALUE})?:({_VALUE})?\)",
    re.IGNORECASE,
)


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


class _Range(NamedTuple):
    kind: str
    low: float | None
    high: float | None
    of_samples: bool
    """The bounds are shares of the samples, from 0 to 1."""


@lru_cache(maxsize=1024)
def _range_of(name: str) -> _Range | None:
    """None for what is no statistic of values between bounds."""
    if name.upper() == "IQM":
        return _Range("tm", 0.25, 0.75, of_samples=True)
    if (match := _BELOW.fullmatch(name)) is not None:
        return _Range(match[1].lower(), None, float(match[2]) / 100, of_samples=True)
    if (match := _BETWEEN.fullmatch(name)) is None:
        return None
    kind, low, low_sign, high, high_sign = match.groups()[:5]
    if kind and (low_sign or high_sign):
        wanted = bool(low) == bool(low_sign) and bool(high) == bool(high_sign)
        low, high = (None if n is None else float(n) / 100 for n in (low, high))
        found = _Range(kind.lower(), low, high, of_samples=True)
    else:
        low, high = (match[2], match[4]) if kind else (match[7], match[8])
        low, high = (None if n is None else float(n) for n in (low, high))
        found = _Range((kind or match[6]).lower(), low, high, of_samples=False)
        wanted = True
    given = low is not None or high is not None
    in_order = low is None or high is None or low < high
    return found if wanted and given and in_order else None


def is_known(name: str) -> bool:
    return is_plain(name) or is_extended(name)


def is_plain(name: str) -> bool:
    return name in _PLAIN


def is_extended(name: str) -> bool:
    return _PERCENTILE.fullmatch(name) is not None or _range_of(name) is not None


def is_percentile(name: str) -> bool:
    return _PERCENTILE.fullmatch(name) is not None


def statistic(summary: Summary, name: str) -> float | None:
    """None for one that needs the values where they were not given, or of no value at all."""
    plain = _PLAIN.get(name)
    if plain is not None:
        return float(plain(summary))
    if summary.values is None:
        return None
    match = _PERCENTILE.fullmatch(name)
    if match is not None:
        return _at(summary, summary.values, float(match[1]) / 100 * summary.count)
    wanted = _range_of(name)
    assert wanted is not None, name
    return _ranged(summary, summary.values, wanted)


def _at(summary: Summary, values: dict[float, float], rank: float) -> float:
    """The value of so many of the samples, in their order."""
    seen = 0.0
    for value in sorted(values):
        seen += values[value]
        if seen >= rank:
            return min(max(value, summary.low), summary.high)
    return summary.high


def _ranged(summary: Summary, values: dict[float, float], wanted: _Range) -> float | None:
    inside, below, above = _split(values, wanted, summary.count)
    count = math.fsum(inside.values())
    total = math.fsum(value * times for value, times in inside.items())
    if wanted.kind == "pr":
        return count / summary.count * 100
    if wanted.kind in ("tc", "ts"):
        return count if wanted.kind == "tc" else total
    if wanted.kind == "tm":
        return total / count if count else None
    low, high = wanted.low, wanted.high
    if wanted.of_samples:
        if not count:
            return None
        low, high = min(inside), max(inside)
    edges = below * (low or 0.0) + above * (high or 0.0)
    return (total + edges) / (count + below + above)


def _split(
    values: dict[float, float], wanted: _Range, count: float
) -> tuple[dict[float, float], float, float]:
    """(samples between the bounds, how many below, how many above)."""
    first, last = 0.0, count
    if wanted.of_samples:
        first = math.floor((wanted.low or 0.0) * count + 1e-9)
        last = count if wanted.high is None else math.ceil(wanted.high * count - 1e-9)
    inside: dict[float, float] = {}
    below = above = seen = 0.0
    for value in sorted(values):
        times = values[value]
        if wanted.of_samples:
            under = min(times, max(0.0, first - seen))
            over = min(times - under, max(0.0, seen + times - last))
        else:
            under = times if wanted.low is not None and value <= wanted.low else 0.0
            over = times if wanted.high is not None and value > wanted.high else 0.0
        seen, below, above = seen + times, below + under, above + over
        if times - under - over > 0:
            inside[value] = times - under - over
    return inside, below, above
