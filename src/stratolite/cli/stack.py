"""A stack seen from outside: begin an operation, watch its events, read its outputs."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import click

from stratolite.cli import screen

_POLL_S_FIRST, _POLL_S_MAX = 0.05, 0.5
_AWAY_S_MAX = 60.0
T = TypeVar("T")
_API = re.compile(r"https://([a-z0-9]+)\.execute-api\.[a-z0-9-]+\.amazonaws\.com")


def describe(cloudformation: Any, name: str) -> dict[str, Any] | None:
    """The stack's description, None if there is none."""
    from botocore.exceptions import ClientError

    try:
        found: dict[str, Any] = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in error.response["Error"].get("Message", ""):
            return None
        raise
    return found


def last_event_id(cloudformation: Any, name: str) -> str:
    """Where the events of the next operation begin."""
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    return str(events[0]["EventId"]) if events else ""


def begin(cloudformation: Any, operation: str, name: str, after: str, **request: Any) -> None:
    """Call create_stack, update_stack or delete_stack, once, even if the server goes away in it.

    The call answers late for a short stack, so a server that is killed most often cuts it. Whether it
    had begun is told by the events newer than ``after``: they bear the call's token.
    """
    patience = _Patience(cloudformation.meta.endpoint_url, name)
    asked = partial(_begin, cloudformation, operation, name, after, str(uuid.uuid4()), request)
    while patience.ask(asked) is None:
        pass


def _begin(
    cloudformation: Any, operation: str, name: str, after: str, token: str, request: dict[str, Any]
) -> bool:
    from botocore.exceptions import ClientError

    try:
        getattr(cloudformation, operation)(StackName=name, ClientRequestToken=token, **request)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
            raise
        if describe(cloudformation, name) is None or not any(
            event.get("ClientRequestToken") == token
            for event in _newer(cloudformation, name, after)
        ):
            raise
    return True


def watch(
    cloudformation: Any, stack_id: str, after: str, show: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Show events newer than ``after`` until the operation has ended; the stack's last description.

    The description's ``StackStatusReason`` ends with that of the first resource that failed. A server that is away is waited for: it goes on with the stack when it is back.
    """
    pause_s, failure = _POLL_S_FIRST, ""
    patience = _Patience(cloudformation.meta.endpoint_url, stack_id)
    while True:
        seen = patience.ask(partial(_look, cloudformation, stack_id, after))
        if seen is None:
            continue
        stack, fresh = seen
        for event in reversed(fresh):
            show(event)
            failure = failure or _failure(event)
        if fresh:
            after, pause_s = fresh[0]["EventId"], _POLL_S_FIRST
        if stack is None:
            return {"StackStatus": "DELETE_COMPLETE", "StackName": stack_id}
        if not stack["StackStatus"].endswith("_IN_PROGRESS"):
            reason = stack.get("StackStatusReason", "")
            stack["StackStatusReason"] = f"{reason} {failure}".strip()
            return stack
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, _POLL_S_MAX)


class _Patience:
    """Asks a server that may be starting again: says so once, gives up after a minute of silence."""

    def __init__(self, endpoint: str, stack_id: str) -> None:
        self._endpoint, self._stack_id = endpoint, stack_id
        self._away_since_s: float | None = None

    def ask(self, question: Callable[[], T]) -> T | None:
        """The answer; None when the server is away, after a pause."""
        from botocore.exceptions import ClientError, HTTPClientError
        from botocore.exceptions import ConnectionError as NoConnection

        try:
            answer = question()
        except (NoConnection, HTTPClientError):
            self._wait("nothing answers at")
            return None
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] < 500:
                raise
            self._wait("no good answer from")
            return None
        if self._away_since_s is not None:
            click.echo(f"{self._endpoint} answers again", err=True)
            self._away_since_s = None
        return answer

    def _wait(self, what: str) -> None:
        now_s = time.monotonic()
        if self._away_since_s is None:
            self._away_since_s = now_s
            click.echo(
                f"{what} {self._endpoint}: waiting up to {_AWAY_S_MAX:.0f} s for it to come back",
                err=True,
            )
        elif now_s - self._away_since_s > _AWAY_S_MAX:
            raise click.ClickException(
                f"{what} {self._endpoint} since {_AWAY_S_MAX:.0f} s. {self._stack_id} is kept and goes on "
                "when the server is started again (stratolite up); then run the same command again"
            )
        time.sleep(_POLL_S_MAX)


def _look(
    cloudformation: Any, stack_id: str, after: str
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """(description, newer events). Events are read second: they hold all the status stands for."""
    stack = describe(cloudformation, stack_id)
    return stack, list(_newer(cloudformation, stack_id, after))


def _failure(event: dict[str, Any]) -> str:
    """What a failed resource says of itself, "" for every other event."""
    of_stack = event.get("PhysicalResourceId") == event["StackId"]
    if of_stack or not event["ResourceStatus"].endswith("_FAILED"):
        return ""
    return f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason given')}"


def _newer(cloudformation: Any, stack_id: str, after: str) -> Iterator[dict[str, Any]]:
    for page in cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack_id):
        for event in page["StackEvents"]:
            if event["EventId"] == after:
                return
            yield event


def print_event(event: dict[str, Any]) -> None:
    """One line a change: status, type, logical id, reason."""
    reason = screen.harmless(event.get("ResourceStatusReason", ""))
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
