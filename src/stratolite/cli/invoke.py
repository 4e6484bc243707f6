"""stratolite invoke: call a function and print its answer."""

from __future__ import annotations

import base64
import sys

import click

from stratolite.cli import screen, target


@click.command("invoke")
@click.argument("function")
@click.argument("payload", default="{}")
@click.option("--event", "asynchronous", is_flag=True, help="Queue it and return at once.")
@click.option("--log", "with_log", is_flag=True, help="Show the end of its log on stderr.")
@target.options
@screen.json_option
def command(
    function: str,
    payload: str,
    asynchronous: bool,
    with_log: bool,
    endpoint: str,
    region: str,
    as_json: bool,
) -> None:
    """Call FUNCTION with PAYLOAD: JSON, @FILE, or - for stdin. Exit 1 if the function failed."""
    body = payload.encode(errors="surrogateescape")  # bytes: what is not JSON, the cloud says
    if payload == "-":
        body = sys.stdin.buffer.read()
    elif payload.startswith("@"):
        try:
            with open(payload[1:], "rb") as file:
                body = file.read()
        except OSError as error:
            raise click.ClickException(f"cannot read {payload[1:]}: {error.strerror}") from error
    request = {"FunctionName": function, "Payload": body}
    if asynchronous:
        request["InvocationType"] = "Event"
    elif with_log or as_json:
        request["LogType"] = "Tail"
    answer = target.client("lambda", endpoint, region).invoke(**request)
    said = answer["Payload"].read().decode(errors="replace")
    log = base64.b64decode(answer.get("LogResult", "")).decode(errors="replace")
    failed = answer.get("FunctionError")
    if as_json:
        screen.document(
            {"status": answer["StatusCode"], "error": failed, "payload": said, "log": log}
        )
    else:
        if said:
            click.echo(screen.harmless(said))
        if with_log:
            click.echo(screen.harmless(log, err=True), err=True, nl=False)
    if failed:
        raise click.exceptions.Exit(1)
