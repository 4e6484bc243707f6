"""Times written by a Java DateTimeFormatter pattern, as in ``!{timestamp:yyyy/MM/dd}``; pure.

Source  https://docs.aws.amazon.com/firehose/latest/dev/s3-prefixes.html#timestamp-namespace
"""

from __future__ import annotations

import re
from datetime import datetime

_PARTS = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z']+")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def check(pattern: str) -> None:
    """Raises ValueError for letters that mean nothing, or nothing we know."""
    spell(pattern, datetime(2000, 1, 1))  # noqa: DTZ001 - any time will do


def spell(pattern: str, time: datetime) -> str:
    """Raises ValueError."""
    at, out = 0, []
    while at < len(pattern):
        match = _PARTS.match(pattern, at)
        if match is None:
            raise ValueError("a quote is not closed")
        at = match.end()
        text = match[0]
        if match[1] is not None:
            out.append(match[1].replace("''", "'") or "'")
        elif match[2]:
            out.append(_field(match[2], len(text), time))
        else:
            out.append(text)
    return "".join(out)


def _field(letter: str, count: int, time: datetime) -> str:
    if letter in "yu":
        return f"{time.year % 100:02d}" if count == 2 else f"{time.year:0{count}d}"
    if letter in "ML":
        if count >= 3:
            name = _MONTHS[time.month - 1]
            return name[:3] if count == 3 else name
        return f"{time.month:0{count}d}"
    if letter == "E":
        name = _DAYS[time.weekday()]
        return name if count == 4 else name[:3]
    if letter == "a":
        return "AM" if time.hour < 12 else "PM"
    if letter == "S":
        return f"{time.microsecond:06d}000"[:count]
    if letter in "Zx":
        offset = f"{time:%z}" or "+0000"
        return offset if letter == "Z" or count != 3 else f"{offset[:3]}:{offset[3:]}"
    numbers = {
        "d": time.day,
        "D": time.timetuple().tm_yday,
        "H": time.hour,
        "k": time.hour or 24,
        "h": time.hour % 12 or 12,
        "K": time.hour % 12,
        "m": time.minute,
        "s": time.second,
        "e": time.isoweekday() % 7 + 1,
        "w": time.isocalendar().week,
    }
    if letter not in numbers:
        raise ValueError(f"the letter {letter} is not offered")
    return f"{numbers[letter]:0{count}d}"
