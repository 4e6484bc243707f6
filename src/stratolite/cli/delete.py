"""stratolite delete: delete a stack and watch it go."""

from __future__ import annotations

import click

from stratolite.cli import screen, target
from stratolite.cli import stack as stacks


@click.command("delete")
@click.argument("stack_name")
@target.options
@screen.json_option
def command(stack_name: str, endpoint: str, region: str, as_json: bool) -> None:
    """Delete the stack STACK_NAME and everything it made."""
    cloudformation = target.quick_client("cloudformation", endpoint, region)
    known = stacks.describe(cloudformation, stack_name)
    if known is None:
        raise click.ClickException(f"there is no stack {stack_name}")
    after = stacks.last_event_id(cloudformation, stack_name)
    stacks.begin(cloudformation, "delete_stack", known["StackId"], after)
    show = (lambda event: None) if as_json else stacks.print_event
    ended = stacks.watch(cloudformation, known["StackId"], after, show)
    if as_json:
        screen.document({"stack": stack_name, "status": ended["StackStatus"]})
    else:
        click.echo(f"{stack_name} {ended['StackStatus']}")
    if ended["StackStatus"] != "DELETE_COMPLETE":
        reason = ended.get("StackStatusReason", "")
        raise click.ClickException(
            f"{stack_name} ended as {ended['StackStatus']}: {reason}".rstrip(": ")
        )
