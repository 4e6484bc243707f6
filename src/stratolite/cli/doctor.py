"""stratolite doctor: read everything that is stored and say what is not as its record says."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from stratolite.cli import screen
from stratolite.cli.up import data_option


@click.command("doctor")
@data_option
@screen.json_option
def command(data: str, as_json: bool) -> None:
    """Check every object's bytes in DATA against their checksum; let go of what nobody names.

    What is damaged is repaired from the same bytes in another place (a replica, a copy, another version) if there is one, else named.

    Stop the server first. Exit code 1 says that something is damaged.
    """
    from stratolite.core.log import Damaged
    from stratolite.errors import Fenced, Unavailable
    from stratolite.server import doctor

    try:
        done = asyncio.run(doctor(data))
    except Fenced as error:
        raise click.ClickException(f"{data} is in use; stop the server first") from error
    except (OSError, Damaged, Unavailable) as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        screen.document(
            {
                "bodies": done.bodies_count,
                "orphans_removed": done.orphans_count,
                "repaired": [finding._asdict() for finding in done.repaired],
                "damaged": [finding._asdict() for finding in done.damaged],
                "unchecked": [finding._asdict() for finding in done.unchecked],
            }
        )
    else:
        for finding in done.repaired:
            said = f"repaired: {_where(finding)}, from {finding.repaired_from}"
            click.echo(screen.harmless(said))
        for finding in done.damaged:
            click.echo(screen.harmless(f"damaged: {_where(finding)}"))
        for finding in done.unchecked:
            click.echo(screen.harmless(f"not opened: {_where(finding)}"))
        click.echo(f"bodies read: {done.bodies_count}")
        click.echo(f"sealed with keys that cannot be had, not opened: {len(done.unchecked)}")
        click.echo(f"blobs that nothing names, removed: {done.orphans_count}")
        click.echo(f"repaired: {len(done.repaired)}")
        click.echo(f"damaged: {len(done.damaged)}")
    if done.damaged:
        raise SystemExit(1)


def _where(finding: Any) -> str:
    version = f" version {finding.version}" if finding.version not in ("", "null") else ""
    return f"{finding.bucket}/{finding.key}{version}: {finding.what}"
