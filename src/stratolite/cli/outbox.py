"""stratolite outbox: the mails, text messages and push notifications that AWS would have sent."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from stratolite.cli import screen, target
from stratolite.clock import iso


@click.command("outbox")
@click.option(
    "--stop", metavar="NUMBER", help="Answer STOP for this phone number: it gets no more messages."
)
@click.option("--full", is_flag=True, help="Show the whole text of each message.")
@target.options
@screen.json_option
def command(stop: str | None, full: bool, endpoint: str, region: str, as_json: bool) -> None:
    """Show what SNS kept for email addresses, phone numbers and devices, the oldest first. Nothing was sent."""
    if stop:
        number = quote(stop, safe="")
        target.ask("POST", f"{endpoint}/_aws/sns/stop?number={number}&region={region}", region, service="sns")  # fmt: skip
        return
    mails = everything(endpoint, region)
    if as_json:
        screen.document(mails)
        return
    for mail in mails:
        mail |= {part: screen.harmless(mail[part] or "") for part in ("to", "subject", "text")}
    if full:
        for mail in mails:
            click.echo(f"--- {_when(mail)}  {mail['channel']}  {mail['to']}")
            if mail["subject"]:
                click.echo(f"Subject: {mail['subject']}")
            click.echo(f"\n{mail['text']}\n")
        return
    rows = [
        (_when(mail), mail["channel"], mail["to"], mail["subject"] or mail["text"].split("\n")[0])
        for mail in mails
    ]
    screen.table(("time", "channel", "to", "subject"), rows)


def everything(endpoint: str, region: str) -> list[dict[str, Any]]:
    """All mails of the region, read in pages."""
    mails: list[dict[str, Any]] = []
    after = "0,-1"
    while True:
        url = f"{endpoint}/_aws/sns/outbox?after={after}&region={region}"
        page = target.ask("GET", url, region, service="sns")["mails"]
        if not page:
            return mails
        after = ",".join(str(part) for part in page[-1]["place"])
        mails += page


def _when(mail: dict[str, Any]) -> str:
    return iso(mail["ms"] / 1000)
