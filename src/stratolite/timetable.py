"""When something happens again: AWS's rate(...), cron(...) and at(...) expressions as times.

    table = parse("cron(0/15 8-17 ? * MON-FRI *)", zone=ZoneInfo("Europe/Berlin"))
    table.after(time_s, anchor_s)    # the first time later than ``time_s``, seconds since the epoch, None: never

A rate counts from its anchor. Cron is in local time, whole minutes: a time the clock skips in spring does not
happen, one it shows twice in autumn happens once, the first time.

Sources  https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
         https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

from __future__ import annotations

import calendar
import math
import re
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import NamedTuple

_UNITS_S = {"minute": 60, "hour": 3600, "day": 86_400}
_MONTHS = {name: n for n, name in enumerate("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split(), 1)}  # noqa: SIM905 # fmt: skip
_DAYS = {name: n for n, name in enumerate("SUN MON TUE WED THU FRI SAT".split(), 1)}  # noqa: SIM905
_FIRST_YEAR, _LAST_YEAR = 1970, 2199
_RATE = re.compile(r"rate\(([1-9][0-9]{0,8}) (minute|hour|day)(s?)\)")
_AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")
_CRON = re.compile(r"cron\(([^()]*)\)")


class Rate(NamedTuple):
    """Every ``period_s`` seconds."""

    period_s: int

    def after(self, time_s: float, anchor_s: float) -> float | None:
        """The first whole number of periods after ``anchor_s`` that is later than ``time_s``."""
        count = max(1, math.floor((time_s - anchor_s) / self.period_s) + 1)
        return anchor_s + count * self.period_s


class At(NamedTuple):
    """Once."""

    time_s: float

    def after(self, time_s: float, anchor_s: float) -> float | None:  # noqa: ARG002 - one shape for all
        return self.time_s if self.time_s > time_s else None


class Cron(NamedTuple):
    """Every minute whose parts are all in their fields."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: tuple[int, ...]
    years: tuple[int, ...]
    days: _Days
    zone: tzinfo

    def after(self, time_s: float, anchor_s: float) -> float | None:  # noqa: ARG002 - one shape for all
        try:
            local = datetime.fromtimestamp(time_s, self.zone).replace(tzinfo=None)
        except (ValueError, OverflowError):
            return None
        first = local.replace(second=0, microsecond=0) - timedelta(hours=3)  # a clock may go back
        for day in self._dates(first.date()):
            for hour in self.hours:
                for minute in self.minutes:
                    found_s = self._instant(datetime(day.year, day.month, day.day, hour, minute))  # noqa: DTZ001 - local on purpose
                    if found_s is not None and found_s > time_s:
                        return found_s
        return None

    def _dates(self, first: date) -> Iterator[date]:
        for year in self.years[bisect_left(self.years, first.year) :]:
            for month in self.months:
                if (year, month) < (first.year, first.month):
                    continue
                for day in self.days.of(year, month):
                    found = date(year, month, day)
                    if found >= first:
                        yield found

    def _instant(self, local: datetime) -> float | None:
        """None for a time that the clock skips."""
        time_s = local.replace(tzinfo=self.zone, fold=0).timestamp()
        back = datetime.fromtimestamp(time_s, self.zone).replace(tzinfo=None)
        return time_s if back == local else None


Timetable = Rate | Cron | At


class _Days(NamedTuple):
    """Which days of a month: by number, or by weekday. The other one is None."""

    of_month: tuple[tuple[str, int], ...] | None
    of_week: tuple[tuple[str, int, int], ...] | None

    def of(self, year: int, month: int) -> list[int]:
        weekday_of_first, last = calendar.monthrange(year, month)
        found: set[int] = set()
        for kind, number in self.of_month or ():
            if kind == "day" and number <= last:
                found.add(number)
            elif kind == "last" and last - number >= 1:
                found.add(last - number)
            elif kind == "weekday" and number <= last:
                found.add(_nearest_weekday(year, month, number, last))
            elif kind == "last-weekday":
                found.add(_nearest_weekday(year, month, last, last))
        for kind, weekday, number in self.of_week or ():
            # AWS counts from Sunday = 1, Python from Monday = 0
            first = 1 + ((weekday - 2) % 7 - weekday_of_first) % 7
            days = list(range(first, last + 1, 7))
            if kind == "every":
                found.update(days)
            elif kind == "last":
                found.add(days[-1])
            elif number <= len(days):
                found.add(days[number - 1])
        return sorted(found)


def _nearest_weekday(year: int, month: int, day: int, last: int) -> int:
    """The working day nearest to it in the same month."""
    weekday = calendar.weekday(year, month, day)
    if weekday == calendar.SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == calendar.SUNDAY:
        return day + 1 if day < last else day - 2
    return day


def parse(text: str, *, zone: tzinfo = UTC, strict_plural: bool = False) -> Timetable:
    """Raises ValueError for anything else. ``strict_plural``: 1 minute, but 5 minutes."""
    if found := _RATE.fullmatch(text):
        number, unit, plural = int(found[1]), found[2], found[3]
        if strict_plural and bool(plural) != (number != 1):
            raise ValueError(text)
        return Rate(number * _UNITS_S[unit])
    if found := _AT.fullmatch(text):
        local = datetime.fromisoformat(found[1])
        return At(local.replace(tzinfo=zone).timestamp())
    if found := _CRON.fullmatch(text):
        return _cron(found[1], zone)
    raise ValueError(text)


def _cron(text: str, zone: tzinfo) -> Cron:
    fields = text.split()
    if len(fields) != 6:
        raise ValueError(text)
    minutes, hours, of_month, months, of_week, years = fields
    if (of_month == "?") == (of_week == "?"):
        raise ValueError(f"one of the day fields must be ?: {text}")
    days = _Days(
        None if of_month == "?" else tuple(_day_of_month(part) for part in _month_days(of_month)),
        None if of_week == "?" else tuple(_week_days(of_week)),
    )
    return Cron(
        _numbers(minutes, 0, 59),
        _numbers(hours, 0, 23),
        _numbers(months, 1, 12, _MONTHS),
        _numbers(years, _FIRST_YEAR, _LAST_YEAR),
        days,
        zone,
    )


def _month_days(text: str) -> list[str]:
    """``L``, ``L-3``, ``LW``, ``15W`` stand alone; numbers, lists, ranges and steps as in other fields."""
    if "L" in text or "W" in text:
        return [text]
    return [str(n) for n in _numbers(text, 1, 31)]


def _day_of_month(part: str) -> tuple[str, int]:
    if part.isdigit():
        return "day", int(part)
    if part == "L":
        return "last", 0
    if part == "LW":
        return "last-weekday", 0
    if found := re.fullmatch(r"L-(\d{1,2})", part):
        if int(found[1]) <= 30:
            return "last", int(found[1])
    elif (found := re.fullmatch(r"(\d{1,2})W", part)) and 1 <= int(found[1]) <= 31:
        return "weekday", int(found[1])
    raise ValueError(part)


def _week_days(text: str) -> Iterator[tuple[str, int, int]]:
    if found := re.fullmatch(r"([1-7]|[A-Z]{3})#([1-5])", text):
        yield "nth", _number(found[1], _DAYS), int(found[2])
    elif found := re.fullmatch(r"([1-7]|[A-Z]{3})L", text):
        yield "last", _number(found[1], _DAYS), 0
    elif text == "L":
        yield "every", 7, 0
    else:
        for number in _numbers(text, 1, 7, _DAYS):
            yield "every", number, 0


def _numbers(
    text: str, low: int, high: int, names: dict[str, int] | None = None
) -> tuple[int, ...]:
    """``*``, ``5``, ``1-5``, ``0/15``, ``10-20/5``, ``*/2`` and lists of these. Raises ValueError."""
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = int(step_text) if slash and step_text.isdigit() else 1
        if slash and (not step_text.isdigit() or not 1 <= step <= high):
            raise ValueError(part)
        if span == "*":
            first, last = low, high
        elif "-" in span:
            begin, _, end = span.partition("-")
            first, last = _number(begin, names), _number(end, names)
        else:
            first = _number(span, names)
            last = high if slash else first
        if not low <= first <= high or not low <= last <= high:
            raise ValueError(part)
        if first > last:  # FRI-MON, 22-2
            found.update(range(first, high + 1, step))
            found.update(range(low, last + 1, step))
        else:
            found.update(range(first, last + 1, step))
    return tuple(sorted(found))


def _number(text: str, names: dict[str, int] | None) -> int:
    if names and text.upper() in names:
        return names[text.upper()]
    if not re.fullmatch(r"\d{1,4}", text):
        raise ValueError(text)
    return int(text)
