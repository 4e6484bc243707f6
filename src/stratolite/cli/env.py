"""stratolite env: the environment that points AWS tools here."""

from __future__ import annotations

import click

from stratolite.cli import screen, target


@click.command("env")
@target.options
@screen.json_option
def command(endpoint: str, region: str, as_json: bool) -> None:
    """Print the environment that points AWS tools here.

    Use it as:  eval "$(stratolite env)"
    """
    values = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ENDPOINT_URL_S3_CONTROL": target.control_endpoint(endpoint),  # ACCOUNT.HOST
        "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",  # StartSyncExecution's sync-HOST
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
    }
    if as_json:
        screen.document(values)
        return
    for name, value in values.items():
        click.echo(f"export {name}={value}")
