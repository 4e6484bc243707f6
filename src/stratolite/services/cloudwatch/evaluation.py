"""What state an alarm is in, given its datapoints: M of N, missing data, and the words for it.

Source  https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

_TESTS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "GreaterThanOrEqualToThreshold": (lambda a, b: a >= b, "greater than or equal to"),
    "GreaterThanThreshold": (lambda a, b: a > b, "greater than"),
    "LessThanThreshold": (lambda a, b: a < b, "less than"),
    "LessThanOrEqualToThreshold": (lambda a, b: a <= b, "less than or equal to"),
}
COMPARISONS = frozenset(_TESTS)
TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")
EXTRA = 2
"""Periods looked at beyond those that are evaluated, to find real datapoints in."""


class Rules(NamedTuple):
    comparison: str
    threshold: float
    periods: int
    """N: the most recent datapoints that count."""
    needed: int
    """M: so many of them must breach."""
    missing: str


class Verdict(NamedTuple):
    state: str
    """"" keeps the state there is."""
    reason: str
    evaluated: list[tuple[int, float]]
    """(ms, value) of the datapoints that counted, the oldest first."""


def judge(datapoints: Sequence[tuple[int, float | None]], rules: Rules) -> Verdict:
    """``datapoints`` are (ms, value) of N + EXTRA periods in order, None where there was none."""
    test, words = _TESTS[rules.comparison]
    real = [(ms, value) for ms, value in datapoints if value is not None][-rules.periods :]
    filled = rules.periods - len(real)
    breaching = [one for one in real if test(one[1], rules.threshold)]
    count = len(breaching)
    if not real:
        return _nothing(rules)
    if rules.missing == "breaching":
        alarmed = count + filled >= rules.needed
    elif rules.missing == "missing":
        alarmed = count >= min(rules.needed, len(real)) and (count >= rules.needed or filled > 0)
        alarmed = alarmed and (count >= rules.needed or count == len(real))
    else:
        alarmed = count >= rules.needed
    if not alarmed and rules.missing == "ignore" and count == len(real) and filled:
        return Verdict("", "", real)
    shown = breaching if alarmed and breaching else real
    return Verdict(
        "ALARM" if alarmed else "OK", _crossed(shown, rules, words, filled, alarmed=alarmed), real
    )


def _nothing(rules: Rules) -> Verdict:
    one = rules.periods == 1
    if rules.missing == "ignore":
        return Verdict("", "", [])
    if rules.missing == "missing":
        said = "1 datapoint was" if one else f"{rules.periods} datapoints were"
        return Verdict("INSUFFICIENT_DATA", f"Insufficient Data: {said} unknown.", [])
    treated = "Breaching" if rules.missing == "breaching" else "NonBreaching"
    span = "1 period" if one else f"{rules.periods} periods"
    was = "1 missing datapoint was" if one else f"{rules.periods} missing datapoints were"
    reason = f"Threshold Crossed: no datapoints were received for {span} and {was} treated as [{treated}]."
    return Verdict("ALARM" if rules.missing == "breaching" else "OK", reason, [])


def _crossed(
    shown: list[tuple[int, float]], rules: Rules, words: str, filled: int, *, alarmed: bool
) -> str:
    listed = ", ".join(f"{value} ({_when(ms)})" for ms, value in reversed(shown))
    verb = "was" if len(shown) == 1 else "were"
    sense = "" if alarmed else "not "
    noun = "datapoint" if len(shown) == 1 else "datapoints"
    if rules.periods == 1:
        return (
            f"Threshold Crossed: {len(shown)} {noun} [{listed}] {verb} {sense}{words} the threshold"
            f" ({rules.threshold})."
        )
    said = (
        f"Threshold Crossed: {len(shown)} out of the last {rules.periods} datapoints [{listed}] {verb}"
        f" {sense}{words} the threshold ({rules.threshold})"
    )
    if filled and rules.missing in ("breaching", "notBreaching"):
        treated = "Breaching" if rules.missing == "breaching" else "NonBreaching"
        was = "1 missing datapoint was" if filled == 1 else f"{filled} missing datapoints were"
        said += f" and {was} treated as [{treated}]"
    transition = "OK -> ALARM" if alarmed else "ALARM -> OK"
    needed = rules.needed if alarmed else rules.periods - rules.needed + 1
    plural = "datapoint" if needed == 1 else "datapoints"
    return f"{said} (minimum {needed} {plural} for {transition} transition)."


def _when(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%d/%m/%y %H:%M:%S}"
