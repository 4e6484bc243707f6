"""An iCalendar file with one event.

Source  https://www.rfc-editor.org/rfc/rfc5545
"""

import hashlib
from datetime import UTC, date, datetime, timedelta


def calendar(start, end, zone, title, description, location, rule, stamp):
    """The whole file as text. ``start`` and ``end`` are both dates (all day) or both aware datetimes."""
    event = [
        "BEGIN:VEVENT",
        f"UID:{uid(start, end, title, location, rule)}",
        f"DTSTAMP:{stamp:%Y%m%dT%H%M%SZ}",
        moment_line("DTSTART", start, zone, rule),
        moment_line("DTEND", end, zone, rule),
        f"SUMMARY:{escaped(title)}",
    ]
    if description:
        event.append(f"DESCRIPTION:{escaped(description)}")
    if location:
        event.append(f"LOCATION:{escaped(location)}")
    if rule:
        event.append(f"RRULE:{rule}")
    event.append("END:VEVENT")
    head = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//zerocal//example//EN",
        "CALSCALE:GREGORIAN",
    ]
    zones = timezone_lines(start, zone) if rule and isinstance(start, datetime) else []
    return "".join(fold(line) for line in [*head, *zones, *event, "END:VCALENDAR"])


def uid(start, end, title, location, rule):
    """The same event has the same UID, so fetching the file again updates it instead of adding one."""
    seen = "\n".join(map(str, (start, end, title, location, rule)))
    return hashlib.sha256(seen.encode()).hexdigest()[:32] + "@zerocal"


def moment_line(name, value, zone, rule):
    """A recurring event keeps its zone, so it stays at its local hour over clock changes; others are UTC."""
    if not isinstance(value, datetime):
        return f"{name};VALUE=DATE:{value:%Y%m%d}"
    if rule and named(zone):
        return f"{name};TZID={zone.key}:{value.astimezone(zone):%Y%m%dT%H%M%S}"
    return f"{name}:{value.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def named(zone):
    return getattr(zone, "key", "UTC") not in ("UTC", "Etc/UTC")


def timezone_lines(start, zone):
    """VTIMEZONE with every change of offset from the year before the event to ten years after it."""
    if not named(zone):
        return []
    lines = ["BEGIN:VTIMEZONE", f"TZID:{zone.key}"]
    moment = datetime(start.year - 1, 1, 1, tzinfo=UTC)
    last = datetime(start.year + 10, 1, 1, tzinfo=UTC)
    lines += observance(moment, moment.astimezone(zone).utcoffset(), zone)
    while moment < last:
        after = moment + timedelta(days=1)
        if after.astimezone(zone).utcoffset() != moment.astimezone(zone).utcoffset():
            change = first_after(moment, after, zone)
            lines += observance(change, moment.astimezone(zone).utcoffset(), zone)
        moment = after
    return [*lines, "END:VTIMEZONE"]


def first_after(low, high, zone):
    """The minute within a day at which the offset changes."""
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(minutes=1):
        middle = low + (high - low) / 2
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high.replace(second=0, microsecond=0)


def observance(moment, offset_from, zone):
    local = moment.astimezone(zone)
    kind = "DAYLIGHT" if local.dst() else "STANDARD"
    wall = moment.replace(tzinfo=None) + offset_from
    return [
        f"BEGIN:{kind}",
        f"DTSTART:{wall:%Y%m%dT%H%M%S}",
        f"TZOFFSETFROM:{offset_text(offset_from)}",
        f"TZOFFSETTO:{offset_text(local.utcoffset())}",
        f"TZNAME:{local.tzname()}",
        f"END:{kind}",
    ]


def offset_text(delta):
    minutes = int(delta.total_seconds() // 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"


def escaped(text):
    text = text.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    return text.replace("\r\n", "\\n").replace("\n", "\\n").replace("\r", "\\n")


def fold(line):
    """Lines are at most 75 octets, never cut inside a character."""
    out, width = [], 0
    for character in line:
        size = len(character.encode())
        if width + size > 74:
            out.append("\r\n ")
            width = 1
        out.append(character)
        width += size
    return "".join(out) + "\r\n"


def day_after(value):
    return date.fromordinal(value.toordinal() + 1)
