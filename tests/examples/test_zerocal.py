"""The calendar files of examples/zerocal, read by real calendar libraries."""

from __future__ import annotations

import importlib
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import icalendar
import pytest
import recurring_ical_events

SRC = Path(__file__).parents[2] / "examples/zerocal/src"


@pytest.fixture(scope="module")
def handler():
    sys.path.insert(0, str(SRC))
    try:
        yield importlib.import_module("calendar_link").handler
    finally:
        sys.path.remove(str(SRC))


def event_of(handler, **query):
    answer = handler({"queryStringParameters": query}, None)
    assert answer["statusCode"] == 200, answer["body"]
    calendar = icalendar.Calendar.from_ical(answer["body"])
    return calendar.walk("VEVENT")[0]


BERLIN_EVENING = datetime(2026, 12, 24, 17, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    ["2026-12-24T18:00", "2026-12-24 18:00:00", "24.12.2026 18:00", "24. 12. 2026, 18:00", "24/12/2026 18:00", "12/24/2026 6pm",
     "Dec 24 2026 6:00 pm", "December 24th, 2026 18:00", "24 Dec 2026 18:00", "Thursday, 24 December 2026 at 18:00",
     "20261224T180000", "2026-12-24T17:00Z", "2026-12-24T18:00+01:00", "20261224T170000Z", "1798131600"],
)  # fmt: skip
def test_one_moment_in_many_ways_is_one_moment(handler, written):
    event = event_of(handler, start=written, timezone="Europe/Berlin")
    assert event.decoded("dtstart").astimezone(UTC) == BERLIN_EVENING


@pytest.mark.parametrize(
    ("written", "minutes"),
    [
        ("90", 90),
        ("1h30m", 90),
        ("1.5 hours", 90),
        ("1:30", 90),
        ("PT1H30M", 90),
        ("2 days", 2880),
        ("1 hour and 5 minutes", 65),
    ],
)
def test_durations(handler, written, minutes):
    event = event_of(handler, start="2026-12-24 18:00", duration=written)
    assert (event.decoded("dtend") - event.decoded("dtstart")).total_seconds() == minutes * 60


def test_a_day_without_a_time_is_an_all_day_event(handler):
    event = event_of(handler, start="24 December 2026")
    assert (event.decoded("dtstart"), event.decoded("dtend")) == (
        date(2026, 12, 24),
        date(2026, 12, 25),
    )


def test_a_weekly_event_stays_at_its_local_hour_over_the_change_of_clocks(handler):
    """18:00 in Berlin is 16:00 UTC in summer and 17:00 UTC in winter."""
    query = {
        "start": "2026-10-20 18:00",
        "timezone": "Europe/Berlin",
        "recurrence": "weekly 3 times",
        "title": "Choir",
    }
    answer = handler({"queryStringParameters": query}, None)
    calendar = icalendar.Calendar.from_ical(answer["body"])
    found = recurring_ical_events.of(calendar).between(
        datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    )
    starts = sorted(e.decoded("dtstart").astimezone(UTC).hour for e in found)
    assert starts == [16, 17, 17]
    zone = calendar.walk("VTIMEZONE")[0].to_tz()
    winter = datetime(2027, 1, 5, 12, tzinfo=zone)
    assert (
        winter.utcoffset() == datetime(2027, 1, 5, 12, tzinfo=ZoneInfo("Europe/Berlin")).utcoffset()
    )


@pytest.mark.parametrize(
    ("written", "rule"),
    [("daily", "FREQ=DAILY"), ("every 2 weeks", "FREQ=WEEKLY;INTERVAL=2"), ("weekdays", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"),
     ("every mon and thursday 4 times", "FREQ=WEEKLY;BYDAY=MO,TH;COUNT=4"), ("RRULE:FREQ=MONTHLY;BYDAY=-1FR", "FREQ=MONTHLY;BYDAY=-1FR"),
     ("yearly until 2030-01-01", "FREQ=YEARLY;UNTIL=20300101T235959Z")],
)  # fmt: skip
def test_recurrence(handler, written, rule):
    event = event_of(handler, start="2026-12-24 18:00", recurrence=written)
    assert event["rrule"].to_ical().decode() == icalendar.vRecur.from_ical(rule).to_ical().decode()


def test_text_survives_whatever_it_contains(handler):
    """Commas, semicolons, line ends, long lines and other scripts: escaping and folding are undone by the reader."""
    text = "a, b; c\\d\n" + "Überraschung 🎉 " * 20
    event = event_of(handler, start="2026-12-24", title=text, description=text, location=text)
    assert (
        event["summary"] == event["description"] == event["location"] == text.strip()
        or event["summary"] == text
    )


@pytest.mark.parametrize(
    "query",
    [{"start": "soon"}, {"start": "2026-13-40"}, {"start": "2026-12-24 25:00"}, {"start": "2026-12-24", "duration": "1h"},
     {"start": "2026-12-24 18:00", "duration": "-5"}, {"start": "2026-12-24 18:00", "end": "2026-12-24 17:00"},
     {"start": "2026-12-24", "timezone": "Mars/Olympus"}, {"start": "2026-12-24", "recurrence": "FREQ=SOMETIMES"},
     {"start": "2026-12-24", "recurrence": "FREQ=DAILY\r\nX:1"}, {"start": "2026-12-24", "colour": "red"}],
)  # fmt: skip
def test_what_cannot_be_read_gives_the_form_back_with_the_reason(handler, query):
    answer = handler({"queryStringParameters": query}, None)
    assert answer["statusCode"] == 400
    assert 'role="alert"' in answer["body"]


def test_no_query_shows_the_form(handler):
    answer = handler({}, None)
    assert answer["statusCode"] == 200
    assert "<form" in answer["body"]


def test_the_form_escapes_what_it_shows(handler):
    answer = handler({"queryStringParameters": {"start": '"><script>alert(1)</script>'}}, None)
    assert "<script>" not in answer["body"]
