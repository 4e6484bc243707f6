"""stratolite logs: the lines of a function or a log group, as they come with -f."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

import click

from stratolite.cli import screen, target

_AGO = re.compile(r"(\d+)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_POLL_S = 0.5


@click.command("logs")
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Keep printing what comes.")
@click.option("--since", default="1h", show_default=True, help="How far back: 30s, 10m, 2h, 7d.")
@click.option("--filter", "pattern", default="", help="A CloudWatch Logs filter pattern.")
@target.options
@screen.json_option
def command(
    name: str, follow: bool, since: str, pattern: str, endpoint: str, region: str, as_json: bool
) -> None:
    """Show the lines of NAME, a function or a log group (/...)."""
    ago = _AGO.fullmatch(since)
    if not ago:
        raise click.UsageError(f"--since {since}: write 30s, 10m, 2h or 7d")
    group = name if name.startswith("/") else f"/aws/lambda/{name}"
    logs = target.client("logs", endpoint, region)
    from_ms = int((time.time() - int(ago[1]) * _SECONDS[ago[2]]) * 1000)
    shown: list[dict[str, Any]] = []
    seen: set[str] = set()
    while True:
        try:
            newest: set[str] = set()
            for event in events_of(logs, group, pattern, from_ms):
                if event["timestamp"] > from_ms:
                    from_ms, newest = event["timestamp"], set()
                if event["timestamp"] == from_ms:
                    newest.add(event["eventId"])
                if event["eventId"] in seen:
                    continue
                if as_json and not follow:
                    shown.append(event)
                else:
                    _print(event, as_json)
            seen = newest or seen  # what is older is not asked for again
        except logs.exceptions.ResourceNotFoundException:
            if not follow:
                raise
        if not follow:
            break
        time.sleep(_POLL_S)
    if as_json:
        screen.document(shown)


def events_of(logs: Any, group: str, pattern: str, from_ms: int) -> Any:
    """All events of a group from ``from_ms`` on."""
    request = {"logGroupName": group, "startTime": from_ms}
    if pattern:
        request["filterPattern"] = pattern
    for page in logs.get_paginator("filter_log_events").paginate(**request):
        yield from page["events"]


def _print(event: dict[str, Any], as_json: bool) -> None:
    if as_json:
        screen.document(event)
        return
    at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC).astimezone()
    moment = at.strftime("%H:%M:%S.%f")[:-3]
    prefix = click.style(moment, dim=True) if screen.is_terminal() else moment
    click.echo(f"{prefix} {screen.harmless(event['message'].rstrip())}")
