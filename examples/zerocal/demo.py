"""Asks the calendar for files as a link in a mail would."""

from __future__ import annotations

import urllib.parse

from driving import ask, check, say


def drive(cloud):
    url = cloud.deploy("zerocal")["CalendarUrl"]
    status, form = ask("GET", url)
    check(status == 200 and "<form" in form, f"the form: {status} {form[:200]}")
    query = {
        "start": "24 Dec 2026 6pm",
        "duration": "1h30m",
        "title": "Dinner",
        "timezone": "Europe/Berlin",
    }
    status, text = ask("GET", f"{url}?{urllib.parse.urlencode(query)}")
    check(
        status == 200 and "DTSTART:20261224T170000Z" in text, f"the calendar: {status} {text[:300]}"
    )
    say(
        f"  {query['title']}, {query['start']} in {query['timezone']}: {text.split('DTSTART:')[1].split()[0]}"
    )
    status, text = ask("GET", f"{url}?start=someday")
    check(status == 400, f"a bad date: {status}")
    say(f"  form {url}")
    cloud.command("delete", "zerocal")
    say("zerocal: deleted")
