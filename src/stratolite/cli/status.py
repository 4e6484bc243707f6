"""stratolite status: the running cloud and its stacks."""

from __future__ import annotations

import json
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import click

from stratolite.cli import screen, target


def health(endpoint: str) -> dict[str, Any]:
    """What the server says of itself. Raises ClickException if nothing answers."""
    try:
        with urlopen(f"{endpoint}/_stratolite/health", timeout=5) as answer:  # noqa: S310 - the caller's own endpoint
            found: dict[str, Any] = json.load(answer)
    except (URLError, OSError, ValueError) as error:
        sentence = f"nothing answers at {endpoint} (start it with: stratolite up)"
        raise click.ClickException(sentence) from error
    return found


@click.command("status")
@target.options
@screen.json_option
def command(endpoint: str, region: str, as_json: bool) -> None:
    """Show the running cloud and its stacks."""
    server = health(endpoint)
    cloudformation = target.client("cloudformation", endpoint, region)
    pages = cloudformation.get_paginator("describe_stacks").paginate()
    stacks = [stack for page in pages for stack in page["Stacks"]]
    if as_json:
        screen.document({"server": server, "stacks": stacks})
        return
    for name, value in server.items():
        text = " ".join(sorted(value)) if isinstance(value, dict | list) else str(value)
        click.echo(f"{name:10} {text}")
    if stacks:
        click.echo()
        rows = ((s["StackName"], screen.status(s["StackStatus"])) for s in stacks)
        screen.table(("stack", "status"), rows)
