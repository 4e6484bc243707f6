"""The command line: start the server, deploy to it, look inside it, call it.

``main`` is the entry point. Each command is a file, imported when it is called: ``up`` must be quick.
What a command prints for people goes through ``screen``; with ``--json`` it prints one JSON document.
Exit codes: 0 done, 1 it failed (one line on stderr says why), 2 wrong usage.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

_COMMANDS = {
    "up": "Start the cloud and keep it running.",
    "deploy": "Deploy a template: package its code, create or update its stack, show the outputs.",
    "check": "Say what of a template would not work here, with the line, before a deploy.",
    "dev": "Deploy, and again whenever a file changes, showing what functions print.",
    "new": "Start a project: its template, code and tests.",
    "delete": "Delete a stack.",
    "env": "Print the environment that points AWS tools here.",
    "status": "Show the running cloud and its stacks.",
    "logs": "Show a function's or log group's lines.",
    "invoke": "Call a function.",
    "dynamodb": "Make tables of a NoSQL Workbench data model, show them, write one back.",
    "outbox": "Show the mails, text messages and push notifications that were kept instead of sent.",
    "why-denied": "Explain what IAM decides about an action, statement by statement.",
    "clock": "Show the cloud clock, or move it forward.",
    "trail": "Show who did what, and what was decided.",
    "repo": "Publish to the local Serverless Application Repository, or list what is there.",
    "root-keys": "Make, list or delete the keys of the account's root.",
    "runtime": "Install what AWS ships with a runtime: its SDK for Node functions.",
    "rekey": "Seal every secret in the data anew, under a new root seal.",
    "doctor": "Check every stored byte against its record, and name what is damaged.",
    "completion": "Print a shell's completion script.",
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        found = getattr(import_module(f"stratolite.cli.{cmd_name.replace('-', '_')}"), "command")  # noqa: B009 - typed as a module attribute
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Names and summaries without importing a single command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="stratolite", prog_name="stratolite")
def cli() -> None:
    """Stratolite: a serverless cloud on your own disk or bucket."""


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; every expected failure is one line on stderr."""
    try:
        return cli.main(arguments, prog_name="stratolite", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(0)
    except click.ClickException as error:
        _say(error.format_message())
        sys.exit(error.exit_code)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:
        sentence = _expected(error)
        if sentence is None:
            raise
        _say(sentence)
        sys.exit(1)


def _say(sentence: str) -> None:
    from stratolite.cli.screen import complain  # not at start

    complain(sentence)


def _expected(error: Exception) -> str | None:
    """One line for what the network and AWS errors say; None for a bug of ours."""
    if not type(error).__module__.startswith("botocore"):
        return None
    from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError

    if isinstance(error, EndpointConnectionError):
        endpoint = error.kwargs.get("endpoint_url", "the endpoint")
        return f"nothing answers at {endpoint} (start it with: stratolite up)"
    if isinstance(error, ClientError):
        detail = error.response.get("Error", {})
        return " ".join(f"{detail.get('Code')}: {detail.get('Message')}".split())
    return str(error) if isinstance(error, BotoCoreError) else None
