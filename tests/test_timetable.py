"""Rates, cron lines and single times, as AWS documents them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratolite.timetable import parse

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone=UTC) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def times(expression: str, start: str, count: int, zone=UTC) -> list[str]:
    table, time_s, found = parse(expression, zone=zone), at(start, zone), []
    for _ in range(count):
        time_s = table.after(time_s, at(start, zone))
        if time_s is None:
            break
        found.append(datetime.fromtimestamp(time_s, zone).strftime("%Y-%m-%dT%H:%M:%S"))
    return found


# The examples of https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("cron(0 10 * * ? *)", ["2026-11-28T10:00:00", "2026-11-29T10:00:00"]),
        ("cron(15 12 * * ? *)", ["2026-11-28T12:15:00", "2026-11-29T12:15:00"]),
        ("cron(0 18 ? * MON-FRI *)", ["2026-11-30T18:00:00", "2026-12-01T18:00:00"]),
        ("cron(0 8 1 * ? *)", ["2026-12-01T08:00:00", "2027-01-01T08:00:00"]),
        ("cron(0/15 * * * ? *)", ["2026-11-28T00:15:00", "2026-11-28T00:30:00"]),
        ("cron(0/5 8-17 ? * MON-FRI *)", ["2026-11-30T08:00:00", "2026-11-30T08:05:00"]),
        ("cron(0/30 20-2 ? * MON-FRI *)", ["2026-11-30T00:00:00", "2026-11-30T00:30:00"]),
        ("cron(0 2 ? * SAT#3 *)", ["2026-12-19T02:00:00", "2027-01-16T02:00:00"]),
        ("cron(15 10 ? * 6L *)", ["2026-12-25T10:15:00", "2027-01-29T10:15:00"]),
        ("cron(0 9 L * ? *)", ["2026-11-30T09:00:00", "2026-12-31T09:00:00"]),
        ("cron(0 9 L-2 * ? *)", ["2026-11-28T09:00:00", "2026-12-29T09:00:00"]),
        ("cron(0 9 LW * ? *)", ["2026-11-30T09:00:00", "2026-12-31T09:00:00"]),
        ("cron(0 9 1W * ? *)", ["2026-12-01T09:00:00", "2027-01-01T09:00:00"]),
        ("cron(0 9 15W 8 ? 2027)", ["2027-08-16T09:00:00"]),
        ("cron(0 0 29 FEB ? *)", ["2028-02-29T00:00:00", "2032-02-29T00:00:00"]),
        ("cron(15 10 ? * 6L 2002-2005)", []),
        ("cron(0 0 31 2 ? *)", []),
        ("cron(0/5 5 ? JAN 1-5 2027)", ["2027-01-03T05:00:00", "2027-01-03T05:05:00"]),
        ("cron(5,35 14 ? * L 2026)", ["2026-11-28T14:05:00", "2026-11-28T14:35:00"]),
        ("rate(5 minutes)", ["2026-11-28T00:05:00", "2026-11-28T00:10:00"]),
        ("rate(1 day)", ["2026-11-29T00:00:00", "2026-11-30T00:00:00"]),
        ("at(2026-12-24T18:00:00)", ["2026-12-24T18:00:00"]),
        ("at(2020-12-24T18:00:00)", []),
    ],
)
def test_what_comes_next(expression, expected):
    assert times(expression, "2026-11-28T00:00:00", 2) == expected


def test_a_time_the_clock_skips_does_not_happen():
    """https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#daylight-savings-time"""
    found = times("cron(30 2 * * ? *)", "2026-03-27T12:00:00", 3, BERLIN)
    assert found == ["2026-03-28T02:30:00", "2026-03-30T02:30:00", "2026-03-31T02:30:00"]


def test_a_time_the_clock_shows_twice_happens_once():
    table = parse("cron(30 2 * * ? *)", zone=BERLIN)
    first = table.after(at("2026-10-25T00:00:00", BERLIN), 0)
    assert first == at("2026-10-25T00:30:00")  # 02:30 in summer time
    assert table.after(first, 0) == at("2026-10-26T01:30:00")


@pytest.mark.parametrize(
    "text",
    [
        "", "cron()", "cron(INVALID)", "cron(0 1 * * * *)", "cron(0 1 ? * ? *)", "cron(7 20 * * NOT *)", "cron(71 8 1 * ? *)",
        "cron(0 dummy ? * MON-FRI *)", "cron(0 24 * * ? *)", "cron(0 0 0 * ? *)", "cron(0 0 32 * ? *)", "cron(0 0 ? * 8 *)",
        "cron(0 0 ? * MON#6 *)", "cron(0/0 * * * ? *)", "cron(0 0 1 13 ? *)", "cron(0 0 1 1 ? 1969)", "cron(0 0 40W * ? *)",
        "rate()", "rate(10)", "rate(0 minutes)", "rate(-10 minutes)", "rate(10 seconds)", "rate(10 minutess)", "rate( 10 minutes )",
        " rate(10 minutes)", "rate(foo minutes)", "at(2021-12-31)", "at(2021-12-31T23:59:59Z)", "at(2021-02-31T00:00:00)", "every day",
    ],
)  # fmt: skip
def test_what_is_no_timetable_is_refused(text):
    with pytest.raises(ValueError):
        parse(text)


@pytest.mark.parametrize(
    ("text", "good"), [("rate(1 minute)", True), ("rate(1 minutes)", False), ("rate(5 minute)", False)]
)  # fmt: skip
def test_rules_insist_on_the_right_plural(text, good):
    if good:
        assert parse(text, strict_plural=True).period_s == 60
    else:
        with pytest.raises(ValueError):
            parse(text, strict_plural=True)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 59), st.integers(0, 23), st.integers(1, 28), st.integers(1, 12), st.booleans(),
    st.integers(1_600_000_000, 2_000_000_000),
)  # fmt: skip
def test_the_next_time_is_the_first_that_matches(minute, hour, day, month, any_month, start_s):
    """Against a walk through the days, in a zone with summer time."""
    table = parse(f"cron({minute} {hour} {day} {'*' if any_month else month} ? *)", zone=BERLIN)
    found = table.after(start_s, 0)
    walk = datetime.fromtimestamp(start_s, BERLIN).replace(tzinfo=None) - timedelta(days=1)
    while True:
        walk += timedelta(days=1)
        if walk.day != day or not (any_month or walk.month == month):
            continue
        local = walk.replace(hour=hour, minute=minute, second=0, microsecond=0)
        moment = local.replace(tzinfo=BERLIN).timestamp()
        real = datetime.fromtimestamp(moment, BERLIN).replace(tzinfo=None) == local
        if real and moment > start_s:
            assert found == moment
            return
