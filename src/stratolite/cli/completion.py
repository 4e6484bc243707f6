"""stratolite completion: the script a shell reads to complete commands and options."""

from __future__ import annotations

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print a shell's completion script.

    bash:  eval "$(stratolite completion bash)"
    """
    from click.shell_completion import get_completion_class

    from stratolite.cli import cli

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "stratolite", "_STRATOLITE_COMPLETE").source())
