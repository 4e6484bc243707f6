"""stratolite clock: the cloud clock, which may be moved forward to see schedules, expiry and retries act now."""

from __future__ import annotations

import json
import re
from typing import Any

import click

from stratolite.cli import screen, target
from stratolite.clock import iso

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


def seconds(text: str) -> float:
    """``90``, ``15m``, ``2h30m``, ``7d`` as seconds. Raises UsageError."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhdw])", text)
    if not parts or "".join(n + u for n, u in parts) != text:
        raise click.UsageError(f"{text} is not a time span: give 90, 15m, 2h30m or 7d")
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts)


@click.group("clock", invoke_without_command=True)
@target.options
@screen.json_option
@click.pass_context
def command(ctx: click.Context, endpoint: str, region: str, as_json: bool) -> None:
    """Show the cloud clock: the time that TTL, schedules, retention, retries and visibility go by."""
    ctx.obj = (endpoint, region, as_json)
    if ctx.invoked_subcommand is None:
        _show(target.own("GET", "clock", endpoint, region), as_json=as_json)


@command.command("advance")
@click.argument("span")
@click.pass_obj
def advance(place: tuple[str, str, bool], span: str) -> None:
    """Move the cloud clock forward by SPAN (90, 15m, 2h30m, 7d). It never goes back."""
    endpoint, region, as_json = place
    moved = target.own("POST", "clock", endpoint, region, {"advance_s": seconds(span)})
    _show(moved, as_json=as_json)


def _show(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"{iso(found['time_s'])}  {found['offset_s']:.0f} s ahead of the wall clock")
