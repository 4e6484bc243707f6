"""What one value of an event must be, as data, and whether a value is it.

Values are what ``fields`` makes of JSON: str, int, float, and ``TRUE``, ``FALSE``, ``NULL``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Hashable
from typing import Any, NamedTuple

from stratolite.patterns.wildcards import Wildcard

TRUE, FALSE, NULL = ("true",), ("false",), ("null",)
"""JSON's words; tuples, for Python's True equals 1."""
_V4 = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+\Z")
_V6 = re.compile(r"[0-9a-fA-F:]*:[0-9a-fA-F:]*\Z")
_INFINITE = float("inf")


class Condition(NamedTuple):
    kind: str
    """exact, address, prefix, suffix, caseless, caseless-prefix, caseless-suffix, wildcard, numeric, cidr, exists,
    absent, but, but-prefix, but-suffix, but-caseless, but-wildcard."""
    value: Any
    """Of exact: the value. Of the others: text, a Range, addresses, a Wildcard, a frozenset or tuple of those."""


class Range(NamedTuple):
    low: float
    low_open: bool
    high: float
    high_open: bool

    def has(self, value: float) -> bool:
        return (self.low < value if self.low_open else self.low <= value) and (
            value < self.high if self.high_open else value <= self.high
        )


def at_least(low: float, *, is_open: bool) -> Range:
    return Range(low, is_open, _INFINITE, False)


def at_most(high: float, *, is_open: bool) -> Range:
    return Range(-_INFINITE, False, high, is_open)


def holds(condition: Condition, value: Hashable) -> bool:
    """Whether a value that is there meets ``condition``. ``absent`` is never met by one."""
    kind, wanted = condition
    if kind == "exact":
        return bool(value == wanted)
    if kind == "exists":
        return True
    if kind == "numeric":
        return isinstance(value, int | float) and bool(wanted.has(value))
    if kind == "but":
        return value not in wanted
    if not isinstance(value, str):
        return kind.startswith("but-")
    if kind == "cidr":
        return in_network(value, wanted)
    return _TEXT[kind](value, wanted)  # type: ignore[no-any-return]


def _no_wildcard(value: str, wanted: tuple[Wildcard, ...]) -> bool:
    return not any(wildcard.matches(value) for wildcard in wanted)


_TEXT: dict[str, Any] = {
    "address": lambda value, wanted: address(value) == wanted,
    "prefix": lambda value, wanted: value.startswith(wanted),
    "suffix": lambda value, wanted: value.endswith(wanted),
    "caseless": lambda value, wanted: value.lower() == wanted,
    "caseless-prefix": lambda value, wanted: value.lower().startswith(wanted),
    "caseless-suffix": lambda value, wanted: value.lower().endswith(wanted),
    "wildcard": lambda value, wanted: wanted.matches(value),
    "but-prefix": lambda value, wanted: not value.startswith(wanted),
    "but-suffix": lambda value, wanted: not value.endswith(wanted),
    "but-caseless": lambda value, wanted: value.lower() not in wanted,
    "but-wildcard": _no_wildcard,
}


def address(text: str) -> tuple[int, int] | None:
    """(version, number) of an IP address; None for any other text."""
    if not text or (text[0] not in "0123456789abcdefABCDEF:"):
        return None
    if not (_V4.match(text) or _V6.match(text)):
        return None
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return found.version, int(found)


def network(text: str) -> tuple[int, int, int]:
    """(version, lowest, highest) of a CIDR. Raises ValueError with AWS's words."""
    parts = text.split("/")
    if len(parts) != 2 or not parts[1]:
        raise ValueError("Malformed CIDR, one '/' required")
    try:
        bits = int(parts[1])
    except ValueError:
        raise ValueError("Malformed CIDR, mask bits must be an integer") from None
    if bits < 0:
        raise ValueError("Malformed CIDR, mask bits must not be negative")
    if not (_V4.match(parts[0]) or _V6.match(parts[0])):
        raise ValueError(f"Nonstandard IP address: {parts[0]}")
    found = address(parts[0])
    if found is None:
        raise ValueError(f"Invalid IP address: {parts[0]}")
    version, number = found
    width = 32 if version == 4 else 128
    if bits >= width:
        raise ValueError(f"IPv{version} mask bits must be < {width}")
    low = number >> (width - bits) << (width - bits)
    return version, low, low + (1 << (width - bits)) - 1


def in_network(text: str, wanted: tuple[int, int, int]) -> bool:
    found = address(text)
    return found is not None and found[0] == wanted[0] and wanted[1] <= found[1] <= wanted[2]
