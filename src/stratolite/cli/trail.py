"""stratolite trail: who did what, and what was decided."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from stratolite.cli import screen, target

_FOLLOW_S = 1.0
_LOOKING = ("LookupEvents", "TrailPage")


@click.command("trail")
@click.option("--follow", is_flag=True, help="Go on until interrupted.")
@click.option(
    "--kind",
    type=click.Choice(["management", "data"]),
    default=None,
    help="Only events of one kind.",
)
@click.option("--principal", default="", help="Only whose name, key or ARN has this in it.")
@click.option("--action", default="", help="Only what has this in its action, as s3:GetObject.")
@click.option("--resource", default="", help="Only what has this in the ARN of its resource.")
@click.option("--decision", type=click.Choice(["allowed", "denied"]), default=None)
@click.option("--denied", is_flag=True, help="As --decision denied.")
@click.option(
    "--since", default=60.0, show_default=True, help="Minutes to look back.", metavar="MINUTES"
)
@target.options
@screen.json_option
def command(
    follow: bool,
    kind: str | None,
    principal: str,
    action: str,
    resource: str,
    decision: str | None,
    denied: bool,
    since: float,
    endpoint: str,
    region: str,
    as_json: bool,
) -> None:
    """Show the calls of this account and region, oldest first: when, who, what, on what, and what was decided.

    Calls on items, objects, messages and functions (data events) are among them with what names their resource;
    started with --trail-data-events the server keeps their parameters, too. With --json each line is a record as
    CloudTrail has it.
    """
    wanted = {
        "ago_s": since * 60,
        "kind": kind or "",
        "principal": principal,
        "action": action,
        "resource": resource,
        "decision": "denied" if denied else decision or "",
    }
    while True:
        page = target.own("POST", "trail", endpoint, region, wanted)
        for event in page["events"]:
            if not follow or event["eventName"] not in _LOOKING:
                click.echo(json.dumps(event) if as_json else line(event))
        if page["dropped"]:
            click.echo(f"{page['dropped']} calls were not recorded: they came too fast", err=True)
        if not page["more"]:
            if not follow:
                return
            time.sleep(_FOLLOW_S)
        wanted["token"] = page["token"]


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
