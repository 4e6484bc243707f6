"""When a scheduled event fell due: the time it says, not this machine's."""

from datetime import datetime


def of(event):
    return datetime.fromisoformat(event["time"]).timestamp()
