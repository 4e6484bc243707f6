"""Dates, times and durations as people write them.

``moment`` reads, with or without a time: 2026-12-24, 2026-12-24T18:00, 2026-12-24 18:00:30+01:00, 20261224T180000Z,
24.12.2026 18:00, 24/12/2026 (day first), 12/24/2026 6pm (month first where the second number cannot be one),
Dec 24 2026 6:30 pm, 24 December 2026, Thursday, 24 Dec 2026 18:00, 1798135200 (Unix seconds).
"""

import re
from datetime import UTC, date, datetime, time, timedelta, timezone

MONTHS = {
    name: number
    for number, names in enumerate(
        ["jan january", "feb february", "mar march", "apr april", "may", "jun june", "jul july",
         "aug august", "sep sept september", "oct october", "nov november", "dec december"], 1
    )
    for name in names.split()
}  # fmt: skip
WEEKDAY = re.compile(r"^(mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s+", re.I)
ZONE = r"(?P<zone>z|utc|gmt|[+-]\d{2}:?\d{2})?"
CLOCK = re.compile(
    r"(?P<h>\d{1,2})(?::(?P<m>\d{2}))?(?::(?P<s>\d{2})(?:\.\d+)?)?\s*(?P<ap>[ap]\.?m\.?)?\s*"
    + ZONE
    + r"$",
    re.I,
)
BETWEEN = re.compile(r"^[\s,]*(?:T|at\b)?\s*", re.I)
DATES = (
    re.compile(r"(?P<y>\d{4})-(?P<mo>\d{1,2})-(?P<d>\d{1,2})"),
    re.compile(r"(?P<y>\d{4})/(?P<mo>\d{1,2})/(?P<d>\d{1,2})"),
    re.compile(r"(?P<d>\d{1,2})\.\s?(?P<mo>\d{1,2})\.\s?(?P<y>\d{4})"),
    re.compile(r"(?P<d>\d{1,2})[/-](?P<mo>\d{1,2})[/-](?P<y>\d{4})"),
    re.compile(r"(?P<d>\d{1,2})(?:st|nd|rd|th)?\.?\s+(?P<name>[a-z]+)\.?,?\s+(?P<y>\d{4})", re.I),
    re.compile(r"(?P<name>[a-z]+)\.?\s+(?P<d>\d{1,2})(?:st|nd|rd|th)?,?\s+(?P<y>\d{4})", re.I),
)
COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:T(\d{2})(\d{2})(\d{2})?(Z)?)?$", re.I)
DURATION_PART = re.compile(
    r"(\d+(?:\.\d+)?)\s*(weeks?|w|days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)", re.I
)
SECONDS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}


class Unreadable(Exception):
    """Its text says which value and why."""


def moment(text, zone):
    """A date (all day) or an aware datetime; ``zone`` is for times that name none. Raises Unreadable."""
    text = WEEKDAY.sub("", text.strip())
    if re.fullmatch(r"\d{9,11}", text):
        return datetime.fromtimestamp(int(text), UTC)
    try:
        day, rest = split(text)
        if not rest:
            return day
        return at(day, rest, zone)
    except ValueError as error:
        raise Unreadable(f"“{text}” is not a date: {error}.") from None


def split(text):
    compact = COMPACT.match(text)
    if compact:
        y, mo, d, h, mi, s, z = compact.groups()
        return date(int(y), int(mo), int(d)), f"{h}:{mi}:{s or '00'}{z or ''}" if h else ""
    for pattern in DATES:
        found = pattern.match(text)
        if found:
            return day_of(found.groupdict()), BETWEEN.sub("", text[found.end() :]).strip()
    raise ValueError("no known format")


def day_of(parts):
    year, day = int(parts["y"]), int(parts["d"])
    if parts.get("name"):
        month = MONTHS.get(parts["name"].lower())
        if month is None:
            raise ValueError(f"{parts['name']} is not a month")
    else:
        month = int(parts["mo"])
        if month > 12 and day <= 12:
            month, day = day, month
    return date(year, month, day)


def at(day, text, zone):
    found = CLOCK.fullmatch(text)
    if not found:
        raise ValueError(f"{text} is not a time of day")
    hour = int(found["h"])
    if found["ap"]:
        if not 1 <= hour <= 12:
            raise ValueError(f"{hour} {found['ap']} is not a time of day")
        hour = hour % 12 + (12 if found["ap"][0] in "pP" else 0)
    elif found["m"] is None:
        raise ValueError(f"{text} is not a time of day")
    clock = time(hour, int(found["m"] or 0), int(found["s"] or 0))
    return datetime.combine(day, clock, offset(found["zone"], zone))


def offset(text, zone):
    if not text:
        return zone
    if text[0] not in "+-":
        return UTC
    digits = text[1:].replace(":", "")
    delta = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-delta if text[0] == "-" else delta)


def duration(text):
    """90 (minutes), 1h30m, 1.5 hours, 2 days, 1:30, PT1H30M. Raises Unreadable."""
    raw = text.strip()
    if re.fullmatch(r"\d+", raw):
        return positive(timedelta(minutes=int(raw)), text)
    if clock := re.fullmatch(r"(\d+):(\d{2})", raw):
        return positive(timedelta(hours=int(clock[1]), minutes=int(clock[2])), text)
    if iso := re.fullmatch(
        r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", raw, re.I
    ):
        w, d, h, m, s = (int(g or 0) for g in iso.groups())
        return positive(timedelta(weeks=w, days=d, hours=h, minutes=m, seconds=s), text)
    rest = DURATION_PART.sub("", raw).replace("and", "").strip(" ,")
    parts = DURATION_PART.findall(raw)
    if rest or not parts:
        raise Unreadable(f"“{text}” is not a duration.")
    seconds = sum(float(n) * SECONDS[unit[0].lower()] for n, unit in parts)
    return positive(timedelta(seconds=round(seconds)), text)


def positive(value, text):
    if value <= timedelta(0) or value > timedelta(days=366):
        raise Unreadable(f"“{text}” is not a duration between a second and a year.")
    return value
