"""stratolite root-keys: the keys of an account's root, with which others may reach the cloud."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from stratolite.cli import screen, target
from stratolite.cli.up import data_option


def _options(function: Any) -> Any:
    for option in (
        click.option(
            "--account",
            default=None,
            help="12 digits; 000000000000, or the account of the caller's own keys.",
        ),
        click.option(
            "--endpoint", default=None, help="Ask the server running there instead of opening DATA."
        ),
        data_option,
    ):
        function = option(function)
    return function


@click.group("root-keys")
def command() -> None:
    """Make, list or delete access keys of an account's root.

    A server that others can reach (up --host 0.0.0.0) needs one: the default keys work from this machine only.
    Each account's root has two at most. They are kept in DATA, their secrets sealed.
    """


@command.command("create")
@_options
@screen.json_option
def create(account: str | None, endpoint: str | None, data: str, as_json: bool) -> None:
    """Make a key. Its secret is shown this once."""
    key = _ask("CreateAccessKey", {}, account, endpoint, data)["AccessKey"]
    if as_json:
        screen.document(key)
        return
    click.echo(f"AWS_ACCESS_KEY_ID={key['AccessKeyId']}")
    click.echo(f"AWS_SECRET_ACCESS_KEY={key['SecretAccessKey']}")


@command.command("list")
@_options
@screen.json_option
def list_(account: str | None, endpoint: str | None, data: str, as_json: bool) -> None:
    """Show the keys, without their secrets."""
    keys = _ask("ListAccessKeys", {}, account, endpoint, data)["AccessKeyMetadata"]
    if as_json:
        screen.document(keys)
        return
    screen.table(("key", "status"), [(key["AccessKeyId"], key["Status"]) for key in keys])


@command.command("delete")
@click.argument("access_key_id")
@_options
def delete(access_key_id: str, account: str | None, endpoint: str | None, data: str) -> None:
    """Delete a key; nobody gets in with it any more."""
    _ask("DeleteAccessKey", {"AccessKeyId": access_key_id}, account, endpoint, data)
    click.echo(f"deleted {access_key_id}")


def _ask(
    operation: str, request: dict[str, Any], account: str | None, endpoint: str | None, data: str
) -> dict[str, Any]:
    account = _checked(account, endpoint)
    if endpoint:
        client = target.client("iam", endpoint, "us-east-1", account)
        answer: dict[str, Any] = client._make_api_call(operation, request)
        return answer
    from stratolite.core.log import Damaged
    from stratolite.errors import Fault, Fenced, Unavailable
    from stratolite.server import ask

    try:
        return asyncio.run(ask(data, account, "iam", operation, request))
    except Fenced as error:
        raise click.ClickException(
            f"{data} is in use; ask its server instead: --endpoint http://localhost:4566"
        ) from error
    except Fault as fault:
        raise click.ClickException(f"{fault.code}: {fault.message}") from fault
    except (OSError, Damaged, Unavailable) as error:
        raise click.ClickException(str(error)) from error


def _checked(account: str | None, endpoint: str | None) -> str:
    """Whose keys they are. A server that is asked takes it from who signs, so the caller's own keys decide."""
    if account is not None and not (len(account) == 12 and account.isdecimal()):
        raise click.ClickException(f"an account is 12 digits, not {account}")
    if endpoint and target.has_own_keys():
        own: str = target.client("sts", endpoint, "us-east-1").get_caller_identity()["Account"]
        if account not in (None, own):
            raise click.ClickException(
                f"the keys in your environment are of account {own}; unset them, or use keys of {account}"
            )
        return own
    return account or "000000000000"
