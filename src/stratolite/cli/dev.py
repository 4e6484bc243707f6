"""stratolite dev: deploy, then deploy again whenever a file changes, showing what the functions print."""

from __future__ import annotations

import os
import time
from typing import Any

import click

from stratolite.cli import deploy, logs, screen, target

_POLL_S = 0.3
_SKIPPED = frozenset({"node_modules", "__pycache__", "dist", "build", "venv"})
_FILES_MAX = 20_000
Snapshot = dict[str, tuple[int, int]]


@click.command("dev")
@click.argument("template", type=click.Path(dir_okay=False, exists=True))
@click.option("--stack-name", help="Default: the name of the template's folder.")
@click.option("-p", "--parameter", "parameters", multiple=True, metavar="KEY=VALUE", help="May be repeated.")  # fmt: skip
@target.options
def command(
    template: str, stack_name: str | None, parameters: tuple[str, ...], endpoint: str, region: str
) -> None:
    """Deploy TEMPLATE and watch its folder: what changes is deployed at once, what functions print is shown.

    A deploy that fails says why, and the next change tries again. End it with Ctrl-C; the stack stays.
    """
    folder = os.path.dirname(os.path.abspath(template))
    name = stack_name or deploy.name_of(template)
    tail = _Tail(endpoint, region, name)
    before: Snapshot = {}
    while True:
        now = snapshot(folder)
        if now != before:
            for path in changed(before, now)[:5] if before else ():
                click.echo(f"changed {os.path.relpath(path, folder)}")
            before = now
            _deploy(template, name, parameters, endpoint, region)
            tail.look_for_functions()
        tail.show()
        time.sleep(_POLL_S)


def _deploy(
    template: str, name: str, parameters: tuple[str, ...], endpoint: str, region: str
) -> None:
    began = time.monotonic()
    callback = deploy.command.callback
    assert callback is not None
    try:
        callback(template, name, parameters, (), False, endpoint, region, False)
    except click.ClickException as error:
        screen.complain(error.format_message())
    except Exception as error:
        from botocore.exceptions import BotoCoreError, ClientError

        if not isinstance(error, BotoCoreError | ClientError):
            raise
        screen.complain(" ".join(str(error).split()))
    else:
        click.echo(f"deployed in {time.monotonic() - began:.1f} s; watching")


def snapshot(folder: str) -> Snapshot:
    """Path -> (modification time, size) of the files that make up a project. Raises ClickException for too many."""
    found: Snapshot = {}
    for place, folders, files in os.walk(folder):
        folders[:] = [f for f in folders if f not in _SKIPPED and not f.startswith(".")]
        for name in files:
            if name.startswith(".") or name.endswith((".pyc", "~", ".swp")):
                continue
            path = os.path.join(place, name)
            try:
                about = os.stat(path)
            except OSError:
                continue  # gone between the listing and the look
            found[path] = (about.st_mtime_ns, about.st_size)
        if len(found) > _FILES_MAX:
            raise click.ClickException(f"{folder} has more than {_FILES_MAX} files: watch a smaller folder")  # fmt: skip
    return found


def changed(before: Snapshot, now: Snapshot) -> list[str]:
    """Paths that came, went or changed."""
    return sorted(p for p in before.keys() | now.keys() if before.get(p) != now.get(p))


class _Tail:
    """The lines of a stack's functions from now on."""

    def __init__(self, endpoint: str, region: str, stack: str) -> None:
        self._cloudformation = target.client("cloudformation", endpoint, region)
        self._logs = target.client("logs", endpoint, region)
        self._stack = stack
        self._from_ms: dict[str, int] = {}
        self._seen: dict[str, set[str]] = {}

    def look_for_functions(self) -> None:
        from botocore.exceptions import ClientError

        try:
            pages = self._cloudformation.get_paginator("list_stack_resources").paginate(
                StackName=self._stack
            )
            found = [r for page in pages for r in page["StackResourceSummaries"]]
        except ClientError:
            return  # it never came to life
        for one in found:
            if one["ResourceType"] == "AWS::Lambda::Function" and one.get("PhysicalResourceId"):
                group = f"/aws/lambda/{one['PhysicalResourceId']}"
                self._from_ms.setdefault(group, int(time.time() * 1000))

    def show(self) -> None:
        for group, from_ms in self._from_ms.items():
            try:
                events = list(logs.events_of(self._logs, group, "", from_ms))
            except self._logs.exceptions.ResourceNotFoundException:
                continue
            seen = self._seen.get(group, set())
            fresh = [e for e in events if e["eventId"] not in seen]
            for event in fresh:
                self._print(group, event)
            if events:
                newest = max(e["timestamp"] for e in events)
                self._from_ms[group] = newest
                self._seen[group] = {e["eventId"] for e in events if e["timestamp"] == newest}

    def _print(self, group: str, event: dict[str, Any]) -> None:
        name = group.removeprefix("/aws/lambda/").removeprefix(f"{self._stack}-")
        shown = click.style(name, dim=True) if screen.is_terminal() else name
        click.echo(f"{shown} {screen.harmless(event['message'].rstrip())}")
