"""stratolite doctor: read everything that is stored and say what is not as its record says."""

from __future__ import annotations

import asyncio

import click

from stratolite.cli import screen
from stratolite.cli.up import data_option


@click.command("doctor")
@data_option
@screen.json_option
def command(data: str, as_json: bool) -> None:
    """Check every object's bytes in DATA against their checksum; name what is damaged, let go of what nobody names.

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
                "damaged": [finding._asdict() for finding in done.damaged],
                "unchecked": [finding._asdict() for finding in done.unchecked],
            }
        )
    else:
        for finding in done.damaged:
            where = f"{finding.bucket}/{finding.key}"
            version = f" version {finding.version}" if finding.version not in ("", "null") else ""
            click.echo(screen.harmless(f"damaged: {where}{version}: {finding.what}"))
        click.echo(f"bodies read: {done.bodies_count}")
        click.echo(f"sealed with keys of others, not opened: {len(done.unchecked)}")
        click.echo(f"blobs that nothing names, removed: {done.orphans_count}")
        click.echo(f"damaged: {len(done.damaged)}")
    if done.damaged:
        raise SystemExit(1)
