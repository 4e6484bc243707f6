"""stratolite trail: who did what, and what was decided."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from stratolite.cli import screen, target

_FOLLOW_S = 1.0
_REMEMBERED_COUNT_MAX = 10_000


@click.command("trail")
@click.option("--follow", is_flag=True, help="Go on until interrupted.")
@click.option("--principal", default="", help="Only whose name, key or ARN has this in it.")
@click.option("--denied", is_flag=True, help="Only what was denied.")
@click.option(
    "--since", default=60.0, show_default=True, help="Minutes to look back.", metavar="MINUTES"
)
@target.options
@screen.json_option
def command(
    follow: bool,
    principal: str,
    denied: bool,
    since: float,
    endpoint: str,
    region: str,
    as_json: bool,
) -> None:
    """Show the calls of this account and region, oldest first: when, who, what, on what, and what was decided.

    Calls on items, objects and messages are in it only if they were denied, or if the server was started with
    --trail-data-events. With --json each line is a record as CloudTrail has it.
    """
    client = target.client("cloudtrail", endpoint, region)
    start = datetime.now(UTC) - timedelta(minutes=since)
    seen: dict[str, None] = {}
    while True:
        for event in reversed(list(_events(client, start))):
            if event["eventID"] in seen or (event["eventName"] == "LookupEvents" and follow):
                continue
            seen[event["eventID"]] = None
            if _wanted(event, principal, denied):
                click.echo(json.dumps(event) if as_json else line(event))
        if not follow:
            return
        start = max(start, datetime.now(UTC) - timedelta(minutes=1))
        while len(seen) > _REMEMBERED_COUNT_MAX:
            del seen[next(iter(seen))]
        time.sleep(_FOLLOW_S)


def _events(client: Any, start: datetime) -> Iterator[dict[str, Any]]:
    for page in client.get_paginator("lookup_events").paginate(StartTime=start):
        for found in page["Events"]:
            yield json.loads(found["CloudTrailEvent"])


def _wanted(event: dict[str, Any], principal: str, denied: bool) -> bool:
    if denied and event["additionalEventData"]["decision"] != "denied":
        return False
    who = event["userIdentity"]
    return any(
        principal in str(who.get(k, "")) for k in ("arn", "accessKeyId", "invokedBy", "type")
    )


def line(event: dict[str, Any]) -> str:
    """One event for people."""
    who, more = event["userIdentity"], event["additionalEventData"]
    name = who.get("arn") or who.get("invokedBy") or who["type"]
    on = " ".join(r["ARN"] for r in event.get("resources", ())) or "-"
    ended = more["decision"]
    if ended == "denied":
        ended = f"DENIED (stratolite why-denied {event['requestID']})"
    elif code := event.get("errorCode"):
        ended = f"{ended}, then {code}"
    what = f"{event['eventSource'].split('.')[0]}:{event['eventName']}"
    shown = f"{event['eventTime']} {name} {what} {on} {ended}"
    return "".join(c if c.isprintable() else "?" for c in shown)
