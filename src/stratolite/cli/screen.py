"""What people see: colours and tables in a terminal, plain lines when piped, one document with --json."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def is_terminal() -> bool:
    return sys.stdout.isatty()


def document(value: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(value, indent=2, default=_plain))


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Aligned with rules in a terminal; tab-separated, without the head, when piped."""
    if not is_terminal():
        for row in rows:
            click.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="dim")
    for name in head:
        made.add_column(name, no_wrap=True)
    for row in rows:
        made.add_row(*row)
    console = Console()
    wide = console.measure(made, options=console.options.update(max_width=10_000)).maximum
    Console(width=max(wide, console.width)).print(made)  # the terminal wraps: a URL can be copied


_COLOURS = (
    ("FAILED", "red"),
    ("ROLLBACK", "red"),
    ("COMPLETE", "green"),
    ("IN_PROGRESS", "yellow"),
)


def status(text: str) -> str:
    """A stack or resource status in its colour (no colour when piped)."""
    colour = next((c for part, c in _COLOURS if part in text), None)
    return click.style(text, fg=colour) if is_terminal() else text
