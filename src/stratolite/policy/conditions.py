"""Condition operators and policy variables.

Source  https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from stratolite.policy.globs import glob

Context = Mapping[str, Sequence[str]]
"""Condition key in lower case -> its values; an absent key is absent."""


def _date(text: str) -> float:
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _ip(value: str, wanted: str) -> bool:
    return ipaddress.ip_address(value) in ipaddress.ip_network(wanted, strict=False)


def _arn_like(value: str, wanted: str) -> bool:
    ours, theirs = value.split(":", 5), wanted.split(":", 5)
    if len(ours) != 6 or len(theirs) != 6:
        return wanted == "*"
    return all(glob(w).match(v) is not None for v, w in zip(ours, theirs, strict=True))


def _bool(value: str, wanted: str) -> bool:
    return value.lower() == wanted.lower()


_Compare = Callable[[str, str], bool]


def _numeric(compare: Callable[[float, float], bool]) -> _Compare:
    return lambda value, wanted: compare(float(value), float(wanted))


def _dated(compare: Callable[[float, float], bool]) -> _Compare:
    return lambda value, wanted: compare(_date(value), _date(wanted))


# operator -> (comparison of one value with one wanted value, negated)
OPERATORS: dict[str, tuple[_Compare, bool]] = {
    "StringEquals": (lambda v, w: v == w, False),
    "StringNotEquals": (lambda v, w: v == w, True),
    "StringEqualsIgnoreCase": (lambda v, w: v.lower() == w.lower(), False),
    "StringNotEqualsIgnoreCase": (lambda v, w: v.lower() == w.lower(), True),
    "StringLike": (lambda v, w: glob(w).match(v) is not None, False),
    "StringNotLike": (lambda v, w: glob(w).match(v) is not None, True),
    "NumericEquals": (_numeric(lambda a, b: a == b), False),
    "NumericNotEquals": (_numeric(lambda a, b: a == b), True),
    "NumericLessThan": (_numeric(lambda a, b: a < b), False),
    "NumericLessThanEquals": (_numeric(lambda a, b: a <= b), False),
    "NumericGreaterThan": (_numeric(lambda a, b: a > b), False),
    "NumericGreaterThanEquals": (_numeric(lambda a, b: a >= b), False),
    "DateEquals": (_dated(lambda a, b: a == b), False),
    "DateNotEquals": (_dated(lambda a, b: a == b), True),
    "DateLessThan": (_dated(lambda a, b: a < b), False),
    "DateLessThanEquals": (_dated(lambda a, b: a <= b), False),
    "DateGreaterThan": (_dated(lambda a, b: a > b), False),
    "DateGreaterThanEquals": (_dated(lambda a, b: a >= b), False),
    "Bool": (_bool, False),
    "BinaryEquals": (lambda v, w: base64.b64decode(v) == base64.b64decode(w), False),
    "IpAddress": (_ip, False),
    "NotIpAddress": (_ip, True),
    "ArnEquals": (_arn_like, False),
    "ArnLike": (_arn_like, False),
    "ArnNotEquals": (_arn_like, True),
    "ArnNotLike": (_arn_like, True),
    "Null": (_bool, False),
}


@dataclass(frozen=True, slots=True)
class Test:
    """One operator on one key with its wanted values."""

    operator: str
    key: str
    wanted: tuple[str, ...]
    quantifier: str
    """"", ForAnyValue or ForAllValues."""
    if_exists: bool

    def holds(self, context: Context) -> bool:
        values = context.get(self.key)
        if self.operator == "Null":
            return ("true" if not values else "false") in [w.lower() for w in self.wanted]
        compare, negated = OPERATORS[self.operator]
        if not values:
            if self.quantifier == "ForAllValues" or self.if_exists:
                return True
            return negated and self.quantifier != "ForAnyValue"
        wanted = [w for w in (fill(w, context) for w in self.wanted) if w is not None]
        matches = [any(_safe(compare, v, w) for w in wanted) is not negated for v in values]
        if self.quantifier == "ForAnyValue":
            return any(matches)
        return all(matches)


def _safe(compare: _Compare, value: str, wanted: str) -> bool:
    """A value that is not of the operator's type does not match."""
    try:
        return compare(value, wanted)
    except ValueError:
        return False


_VARIABLE = re.compile(r"\$\{([^}]*)\}")


def fill(text: str, context: Context) -> str | None:
    """``${aws:username}`` and its like replaced; None when a variable has no value here.

    ``${key, 'default'}`` gives the default; ``${*}``, ``${?}`` and ``${$}`` are the characters.
    """
    missing = False

    def one(match: re.Match[str]) -> str:
        nonlocal missing
        name, _, default = match[1].partition(",")
        if name in ("*", "?", "$"):
            return name
        values = context.get(name.strip().lower())
        if values and len(values) == 1:
            return values[0]
        if default:
            return default.strip().strip("'")
        missing = True
        return ""

    filled = _VARIABLE.sub(one, text) if "${" in text else text
    return None if missing else filled
