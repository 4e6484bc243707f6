"""What people see: colours and tables in a terminal, plain lines when piped, one document with --json."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def is_terminal(*, err: bool = False) -> bool:
    return (sys.stderr if err else sys.stdout).isatty()


_STEERING = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)


def harmless(text: str, *, err: bool = False) -> str:
    """What somebody else wrote, as a terminal may show it: control characters, which could move the cursor, retitle the
    window, type an answer or turn the text around, are spelled out. Piped, it is left alone. ``err``: it goes to stderr.
    """
    return _STEERING.sub(_spelled, text) if is_terminal(err=err) else text


def complain(sentence: str) -> None:
    """One line on stderr; a server's words repeat what others sent."""
    click.echo(f"stratolite: {harmless(sentence, err=True)}", err=True)


def _spelled(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


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
