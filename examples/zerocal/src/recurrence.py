"""Recurrence as people write it, to an RFC 5545 RRULE.

daily, weekly, monthly, yearly, weekdays, every 2 weeks, every tuesday, every mon and thu, FREQ=...; then optionally
"10 times" or "until 2027-03-01".
Source  https://www.rfc-editor.org/rfc/rfc5545#section-3.3.10
"""

import re
from datetime import UTC, date, datetime

from moments import Unreadable, moment

FREQUENCIES = {"day": "DAILY", "week": "WEEKLY", "month": "MONTHLY", "year": "YEARLY"}
WORDS = {
    "daily": "DAILY",
    "weekly": "WEEKLY",
    "monthly": "MONTHLY",
    "yearly": "YEARLY",
    "annually": "YEARLY",
}
DAYS = {"mon": "MO", "tue": "TU", "wed": "WE", "thu": "TH", "fri": "FR", "sat": "SA", "sun": "SU"}
RULE = re.compile(
    r"FREQ=(DAILY|WEEKLY|MONTHLY|YEARLY)(;(INTERVAL|COUNT|BYMONTHDAY|BYMONTH|BYSETPOS)=-?\d+(,-?\d+)*"
    r"|;BYDAY=([+-]?\d{0,2}(MO|TU|WE|TH|FR|SA|SU),?)+|;WKST=(MO|SU)|;UNTIL=\d{8}(T\d{6}Z)?)*",
    re.I,
)


def rrule(text, start, zone):
    """The value of an RRULE property. Raises Unreadable."""
    raw = text.strip()
    if raw.upper().removeprefix("RRULE:").startswith("FREQ="):
        rule = raw.upper().removeprefix("RRULE:")
        if not RULE.fullmatch(rule) or ("COUNT=" in rule and "UNTIL=" in rule):
            raise Unreadable(f"“{text}” is not a recurrence rule.")
        return rule
    words, end = ending(raw.lower(), start, zone)
    return frequency(words.strip(" ,"), text) + end


def ending(raw, start, zone):
    if found := re.search(r"(?:for\s+)?(\d+)\s+times?$", raw):
        if int(found[1]) < 1:
            raise Unreadable("A recurrence happens at least once.")
        return raw[: found.start()], f";COUNT={int(found[1])}"
    if found := re.search(r"until\s+(.+)$", raw):
        last = moment(found[1], zone)
        return raw[: found.start()], f";UNTIL={until(last, start, zone)}"
    return raw, ""


def until(last, start, zone):
    """UNTIL has the type of DTSTART: a date for all-day events, else UTC; a bare date means its whole day."""
    if not isinstance(start, datetime):
        return f"{last:%Y%m%d}"
    if not isinstance(last, datetime):
        last = datetime.combine(date(last.year, last.month, last.day), datetime.max.time(), zone)
    return f"{last.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def frequency(words, text):
    if words in WORDS:
        return f"FREQ={WORDS[words]}"
    if words in ("weekdays", "every weekday", "workdays"):
        return "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"
    if found := re.fullmatch(r"every\s+(?:(\d+|other|second)\s+)?(day|week|month|year)s?", words):
        step = {"other": 2, "second": 2, None: 1}.get(found[1]) or int(found[1])
        if step < 1:
            raise Unreadable(f"“{text}” is not a recurrence.")
        return f"FREQ={FREQUENCIES[found[2]]}" + (f";INTERVAL={step}" if step > 1 else "")
    if words.startswith("every "):
        names = [w for w in re.split(r"[\s,]+|and", words[6:]) if w]
        days = [DAYS.get(n[:3]) for n in names]
        if days and all(days) and all(re.fullmatch(r"[a-z]{3}[a-z]*", n) for n in names):
            return "FREQ=WEEKLY;BYDAY=" + ",".join(dict.fromkeys(days))
    raise Unreadable(f"“{text}” is not a recurrence.")
