"""Condition operators and policy variables.

Source  https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from stratolite.policy.patterns import Context as Context
from stratolite.policy.patterns import Text, fill, like


def _date(text: str) -> float:
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _ip(value: str, wanted: str) -> bool:
    return ipaddress.ip_address(value) in ipaddress.ip_network(wanted, strict=False)


def _arn_like(value: str, wanted: str) -> bool:
    """Part by part: a wildcard does not reach over a colon, but in the last part, the resource."""
    ours, theirs = value.split(":", 5), wanted.split(":", 5)
    if len(ours) != 6 or len(theirs) != 6:
        return False
    return all(like(w)(v) for v, w in zip(ours, theirs, strict=True))


def _binary(value: str, wanted: str) -> bool:
    return base64.b64decode(value, validate=True) == base64.b64decode(wanted, validate=True)


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
    "StringLike": (lambda v, w: like(w)(v), False),
    "StringNotLike": (lambda v, w: like(w)(v), True),
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
    "BinaryEquals": (_binary, False),
    "IpAddress": (_ip, False),
    "NotIpAddress": (_ip, True),
    "ArnEquals": (_arn_like, False),
    "ArnLike": (_arn_like, False),
    "ArnNotEquals": (_arn_like, True),
    "ArnNotLike": (_arn_like, True),
    "Null": (_bool, False),
}


WILD = frozenset(
    {"StringLike", "StringNotLike", "ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"}
)


@dataclass(frozen=True, slots=True)
class Test:
    """One operator on one key with its wanted values."""

    operator: str
    key: str
    wanted: tuple[str, ...]
    """As written."""
    compiled: tuple[Text, ...]
    quantifier: str
    """"", ForAnyValue or ForAllValues."""
    if_exists: bool

    def holds(self, context: Context) -> bool:
        values = context.get(self.key)
        if self.operator == "Null":
            return ("true" if not values else "false") in self.wanted
        compare, negated = OPERATORS[self.operator]
        if not values:
            if self.quantifier == "ForAllValues" or self.if_exists:
                return True
            return negated and self.quantifier != "ForAnyValue"
        wanted = [w for w in (fill(w, context) for w in self.compiled) if w is not None]
        matches = (any(_safe(compare, v, w) for w in wanted) is not negated for v in values)
        return any(matches) if self.quantifier == "ForAnyValue" else all(matches)


def _safe(compare: _Compare, value: str, wanted: str) -> bool:
    """A value that is not of the operator's type does not match."""
    try:
        return compare(value, wanted)
    except (ValueError, OverflowError):
        return False
