"""A function URL whose query is an event: it answers with an iCalendar file, or with a form if there is no query.

start (required) or now, end or duration, title, description, location, timezone (IANA, default UTC), recurrence.
"""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from form import page
from icalendar_text import calendar, day_after
from moments import Unreadable, duration, moment
from recurrence import rrule

KNOWN = {"start", "end", "duration", "title", "description", "location", "timezone", "recurrence"}
TEXT_LENGTH_MAX = 2000


def handler(event, context):
    query = event.get("queryStringParameters") or {}
    query = {k: v for k, v in query.items() if v.strip()}
    if not query:
        return show(200, page())
    try:
        return file_of(query)
    except Unreadable as problem:
        return show(400, page(query, str(problem)))


def file_of(query):
    unknown = query.keys() - KNOWN
    if unknown:
        raise Unreadable(f"There is no parameter {', '.join(sorted(unknown))}.")
    for name, value in query.items():
        if len(value) > TEXT_LENGTH_MAX:
            raise Unreadable(f"{name} is longer than {TEXT_LENGTH_MAX} characters.")
    zone = zone_of(query.get("timezone", "UTC"))
    now = datetime.now(UTC)
    start = (
        moment(query["start"], zone) if "start" in query else now.replace(second=0, microsecond=0)
    )
    end = end_of(query, start, zone)
    rule = rrule(query["recurrence"], start, zone) if "recurrence" in query else ""
    title = query.get("title", "Event")
    text = calendar(
        start, end, zone, title, query.get("description"), query.get("location"), rule, now
    )
    name = re.sub(r"[^A-Za-z0-9]+", "-", title).strip("-").lower()[:60] or "event"
    return {
        "statusCode": 200,
        "headers": {
            "content-type": "text/calendar; charset=utf-8",
            "content-disposition": f'attachment; filename="{name}.ics"',
            "cache-control": "no-store",
        },
        "body": text,
    }


def zone_of(name):
    try:
        return ZoneInfo(name.strip())
    except (KeyError, ValueError, OSError):
        raise Unreadable(f"“{name}” is not a time zone; try Europe/Berlin.") from None


def end_of(query, start, zone):
    """All-day events end at the start of a later day, others an hour after their start unless told."""
    all_day = not isinstance(start, datetime)
    if "end" in query and "duration" in query:
        raise Unreadable("Give end or duration, not both.")
    if "end" in query:
        end = moment(query["end"], zone)
        if isinstance(end, datetime) is all_day:
            raise Unreadable("start and end are both days, or both times.")
        end = day_after(end) if all_day else end
    elif "duration" in query:
        length = duration(query["duration"])
        if all_day and length % timedelta(days=1):
            raise Unreadable("A day without a time lasts whole days; give start a time.")
        end = start + length
    else:
        end = day_after(start) if all_day else start + timedelta(hours=1)
    if end <= start:
        raise Unreadable("The end is not after the start.")
    return end


def show(status, body):
    return {
        "statusCode": status,
        "headers": {"content-type": "text/html; charset=utf-8"},
        "body": body,
    }
