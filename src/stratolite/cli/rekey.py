"""stratolite rekey: seal every secret in the data anew, under a new root seal."""

from __future__ import annotations

import asyncio

import click

from stratolite.cli.up import data_option


@click.command("rekey")
@data_option
def command(data: str) -> None:
    """Make a new root seal and new data keys, and seal everything secret in DATA with them.

    Stop the server first. Killed half way, it goes on when it is run again. The seal that was is kept beside the
    new one as FILE.former: copies and snapshots of DATA made before need it; delete it when there are none.
    With the seal in STRATOLITE_ROOT_SEAL, give the new one before the old one: NEW,OLD.
    """
    from stratolite.core.log import Damaged
    from stratolite.errors import Fenced, Unavailable
    from stratolite.server import rekey

    try:
        done = asyncio.run(rekey(data))
    except Fenced as error:
        raise click.ClickException(f"{data} is in use; stop the server first") from error
    except (OSError, Damaged, Unavailable) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"sealed anew: {done.rows_count} rows")
    if done.path:
        click.echo(f"the root seal is in {done.path}, the former one in {done.path}.former")
    else:
        click.echo("the root seal is the first of STRATOLITE_ROOT_SEAL; the others can go")
