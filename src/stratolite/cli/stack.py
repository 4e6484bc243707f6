"""A stack seen from outside: begin an operation, watch its events, read its outputs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import click

from stratolite.cli import screen

_POLL_S_FIRST, _POLL_S_MAX = 0.05, 0.5
_API = re.compile(r"https://([a-z0-9]+)\.execute-api\.[a-z0-9-]+\.amazonaws\.com")


def describe(cloudformation: Any, name: str) -> dict[str, Any] | None:
    """The stack's description, None if there is none."""
    from botocore.exceptions import ClientError

    try:
        found: dict[str, Any] = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            return None
        raise
    return found


def last_event_id(cloudformation: Any, name: str) -> str:
    """Where the events of the next operation begin."""
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    return str(events[0]["EventId"]) if events else ""


def watch(
    cloudformation: Any, stack_id: str, after: str, show: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Show events newer than ``after`` until the operation has ended; the stack's last description."""
    pause_s = _POLL_S_FIRST
    while True:
        stack = describe(cloudformation, stack_id)
        fresh = list(_newer(cloudformation, stack_id, after))
        for event in reversed(fresh):
            show(event)
        if fresh:
            after, pause_s = fresh[0]["EventId"], _POLL_S_FIRST
        if stack is None:
            return {"StackStatus": "DELETE_COMPLETE", "StackName": stack_id}
        if not stack["StackStatus"].endswith("_IN_PROGRESS"):
            # Events and status change together: what came in between is read once more.
            for event in reversed(list(_newer(cloudformation, stack_id, after))):
                show(event)
            return stack
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, _POLL_S_MAX)


def _newer(cloudformation: Any, stack_id: str, after: str) -> Iterator[dict[str, Any]]:
    for page in cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack_id):
        for event in page["StackEvents"]:
            if event["EventId"] == after:
                return
            yield event


def print_event(event: dict[str, Any]) -> None:
    """One line a change: status, type, logical id, reason."""
    reason = event.get("ResourceStatusReason", "")
    status = screen.status(f"{event['ResourceStatus']:<28}")
    click.echo(
        f"{status} {event['ResourceType']:<34} {event['LogicalResourceId']}  {reason}".rstrip()
    )


def outputs(stack: dict[str, Any], endpoint: str) -> dict[str, str]:
    """Output name -> value, AWS host names replaced by the local URL of the same thing."""
    found = {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])}
    return {k: local_url(v, endpoint) for k, v in found.items()}


def local_url(value: str, endpoint: str) -> str:
    return _API.sub(lambda m: f"{endpoint}/_aws/execute-api/{m[1]}", value)
