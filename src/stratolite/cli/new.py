"""stratolite new: a project to begin from, with its template, code and tests."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import click

_STARTERS = os.path.join(os.path.dirname(__file__), "starters")
_ABOUT = {
    "api": "An HTTP API: a function that keeps notes in a DynamoDB table.",
    "worker": "A queue, a function that works through it, and a place for what fails.",
    "stream": "A Kinesis stream and a function that keeps the newest and highest reading of each sensor.",
    "site": "A static site in S3.",
    "workflow": "A state machine that prices, pays and keeps an order, with functions and a table.",
}


@click.command("new")
@click.argument("name")
@click.option("--template", "kind", type=click.Choice([*_ABOUT]), default="api", show_default=True)  # fmt: skip
def command(name: str, kind: str) -> None:
    """Start a project in a new folder NAME: it can be tested (pytest), deployed and watched (stratolite dev) at once."""
    title = os.path.basename(os.path.abspath(name))
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,99}", title):
        raise click.UsageError(f"{title} cannot name a stack: letters, digits and hyphens, beginning with a letter")  # fmt: skip
    if os.path.exists(name) and (not os.path.isdir(name) or os.listdir(name)):
        raise click.ClickException(f"{name} is there already, and not an empty folder")
    for starter in ("common", kind):
        base = os.path.join(_STARTERS, starter)
        for path in _files(base):
            with open(path, encoding="utf-8") as file:
                text = file.read().replace("@NAME@", title).replace("@ABOUT@", _ABOUT[kind])
            place = os.path.join(name, os.path.relpath(path, base).removesuffix(".tmpl"))
            os.makedirs(os.path.dirname(place), exist_ok=True)
            with open(place, "w", encoding="utf-8") as file:
                file.write(text)
    click.echo(f"{name}: {_ABOUT[kind]}")
    click.echo(f"next: cd {name} && pytest")


def _files(base: str) -> Iterator[str]:
    for folder, _, names in os.walk(base):
        for name in sorted(names):
            if name.endswith(".tmpl"):
                yield os.path.join(folder, name)
