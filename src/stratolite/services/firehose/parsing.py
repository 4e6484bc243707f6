"""Texts read as times by a Joda-Time pattern (``TimestampFormats``): a pattern becomes a regular expression, pure.

Its groups have the names of what they are: year, month, month_name, day, day_of_year, hour, hour_1_24, hour_12, half, minute,
second, fraction, offset. The child, which has no stratolite, makes times of them. The word ``millis`` is no pattern but
milliseconds since 1970. A year of two digits is one of 1970 to 2069.

Sources  https://docs.aws.amazon.com/firehose/latest/APIReference/API_HiveJsonSerDe.html
         https://www.joda.org/joda-time/apidocs/org/joda/time/format/DateTimeFormat.html
"""

from __future__ import annotations

import re

MILLIS = "millis"
_CHARACTERS_MAX = 1024
_PARTS = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z']+")
_NUMBERS = {
    "y": ("year", 4), "Y": ("year", 4), "M": ("month", 2), "d": ("day", 2), "D": ("day_of_year", 3), "H": ("hour", 2),
    "k": ("hour_1_24", 2), "h": ("hour_12", 2), "K": ("hour_12", 2), "m": ("minute", 2), "s": ("second", 2), "S": ("fraction", 9),
}  # fmt: skip
"""Letter -> (what it is, at most so many digits)."""
_OFFSET = r"(?P<offset>Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)"


def check(pattern: str) -> None:
    """Raises ValueError for a pattern that means nothing, or nothing we know."""
    expression(pattern)


def expression(pattern: str) -> str:
    """A regular expression for the whole text; "" for ``millis``. Raises ValueError."""
    if pattern == MILLIS:
        return ""
    if not 1 <= len(pattern) <= _CHARACTERS_MAX:
        raise ValueError(f"it must have 1 to {_CHARACTERS_MAX} characters")
    parts: list[tuple[str, int, str]] = []
    """(letter or "", how often, literal text)"""
    at = 0
    while at < len(pattern):
        match = _PARTS.match(pattern, at)
        if match is None:
            raise ValueError("a quote is not closed")
        at = match.end()
        if match[1] is not None:
            parts.append(("", 0, match[1].replace("''", "'") or "'"))
        elif match[2]:
            parts.append((match[2], len(match[0]), ""))
        else:
            parts.append(("", 0, match[0]))
    out: list[str] = []
    seen: set[str] = set()
    for index, (letter, count, text) in enumerate(parts):
        if not letter:
            out.append(re.escape(text))
            continue
        follows = parts[index + 1][0] if index + 1 < len(parts) else ""
        name, piece = _field(letter, count, is_exact=follows in _NUMBERS and follows != "")
        if name in seen:
            raise ValueError(f"{letter} is there more than once")
        if name:
            seen.add(name)
        out.append(piece)
    if "year" not in seen:
        raise ValueError("it has no year")
    return "".join(out)


def _field(letter: str, count: int, *, is_exact: bool) -> tuple[str, str]:
    """What it is ("": nothing that is kept), and its expression. ``is_exact``: digits follow without a sign between."""
    if letter == "E":
        return "", r"[A-Za-z]{3,9}"
    if letter == "a":
        return "half", r"(?P<half>[AaPp][Mm])"
    if letter in "Zz":
        return "offset", _OFFSET
    if letter not in _NUMBERS:
        raise ValueError(f"the letter {letter} is not offered")
    name, most = _NUMBERS[letter]
    if letter == "M" and count >= 3:
        return "month_name", r"(?P<month_name>[A-Za-z]{3,9})"
    if is_exact:
        return name, rf"(?P<{name}>\d{{{count}}})"
    return name, rf"(?P<{name}>\d{{1,{max(most, count)}}})"
