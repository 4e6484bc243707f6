"""stratolite check: what of a template would not work here, with the line, before anything is deployed."""

from __future__ import annotations

import os
from typing import Any

import click

from stratolite.cli import screen
from stratolite.cli.package import load, nested_paths, stand_ins

_DEPTH_MAX = 10


@click.command("check")
@click.argument("template", type=click.Path(dir_okay=False))
@click.option(
    "-p", "--parameter", "parameters", multiple=True, metavar="KEY=VALUE", help="May be repeated."
)
@click.option("--region", default="us-east-1", show_default=True)
@screen.json_option
def command(template: str, parameters: tuple[str, ...], region: str, as_json: bool) -> None:
    """Check TEMPLATE, and the local templates nested in it, without a server. Exit code 1: it would be refused."""
    given = dict(text.partition("=")[::2] for text in parameters)
    found = _found(template, region, given, 0)
    if as_json:
        screen.document([f | {"file": f["file"]} for f in found])
    else:
        for one in found:
            click.echo(
                f"{one['file']}:{one['line']}: {one['level']}: {screen.harmless(one['message'])}"
            )
        if not found:
            click.echo(f"{template}: everything in it is offered here")
    if any(one["level"] == "error" for one in found):
        raise click.exceptions.Exit(1)


def _found(path: str, region: str, given: dict[str, str], depth: int) -> list[dict[str, Any]]:
    from stratolite.errors import Fault
    from stratolite.services.cloudformation.checking import findings
    from stratolite.services.cloudformation.handlers import handler_of
    from stratolite.services.cloudformation.template_text import read_template

    body = load(path)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    found: list[dict[str, Any]] = []
    if depth < _DEPTH_MAX:
        for inner in nested_paths(body, os.path.dirname(os.path.abspath(path))):
            found += _found(inner, region, {}, depth + 1)
    stand_ins(body)
    try:
        read_template(text)
        rows = findings(body, text, region, given, handler_of)
    except Fault as fault:
        return [*found, {"file": path, "line": 0, "level": "error", "message": fault.message}]
    return found + [
        {"file": path, "line": row.line, "level": row.level, "message": row.message} for row in rows
    ]
