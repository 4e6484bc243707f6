"""stratolite runtime: install what AWS ships with a runtime and a machine does not have by itself."""

from __future__ import annotations

import os
import shutil
import subprocess

import click

from stratolite.cli.up import data_option
from stratolite.runtime import programs


@click.command("runtime")
@click.argument("name", type=click.Choice(["nodejs"]), expose_value=False)
@data_option
def command(data: str) -> None:
    """Put the AWS SDK for JavaScript into DATA, where Node functions find it as they do on AWS.

    npm fetches it: the clients of the services that are offered here, in their newest versions. Functions can read
    it and nothing else of DATA. A server that runs need not be started again.
    """
    if "://" in data:
        raise click.ClickException(
            "the data is elsewhere; give the folder of the view, see `stratolite status`"
        )
    npm = shutil.which("npm")
    if npm is None or not programs.node():
        raise click.ClickException("there is no Node here, or no npm: no function can run in it")
    folder = os.path.dirname(os.path.join(os.path.abspath(data), programs.MODULES))
    os.makedirs(os.path.join(folder, "node_modules"), exist_ok=True)
    before = os.umask(0o022)  # sandboxes read it as users of their own
    try:
        done = subprocess.run(  # noqa: S603 - npm as it is on this machine
            [
                npm,
                "install",
                "--prefix",
                folder,
                "--no-audit",
                "--no-fund",
                "--loglevel",
                "error",
                *programs.PACKAGES,
            ],
            check=False,
        )
    finally:
        os.umask(before)
    if done.returncode:
        raise click.ClickException("npm could not install it; what it said stands above")
    click.echo(f"{len(programs.PACKAGES)} packages are in {folder}")
