"""stratolite status: the running cloud and its stacks."""

from __future__ import annotations

import json
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import click

from stratolite.cli import screen, target


def health(endpoint: str) -> dict[str, Any]:
    """What the server says of itself. Raises ClickException if nothing answers."""
    try:
        with urlopen(f"{endpoint}/_stratolite/health", timeout=5) as answer:  # noqa: S310 - the caller's own endpoint
            found: dict[str, Any] = json.load(answer)
    except (URLError, OSError, ValueError) as error:
        sentence = f"nothing answers at {endpoint} (start it with: stratolite up)"
        raise click.ClickException(sentence) from error
    return found


@click.command("status")
@target.options
@screen.json_option
def command(endpoint: str, region: str, as_json: bool) -> None:
    """Show the running cloud and its stacks."""
    server = health(endpoint)
    cloudformation = target.client("cloudformation", endpoint, region)
    pages = cloudformation.get_paginator("describe_stacks").paginate()
    stacks = [stack for page in pages for stack in page["Stacks"]]
    jobs = _batch_jobs(endpoint, region)
    if as_json:
        screen.document({"server": server, "stacks": stacks, "batch_jobs": jobs})
        return
    for name, value in server.items():
        text = " ".join(sorted(value)) if isinstance(value, dict | list) else str(value)
        click.echo(f"{name:10} {text}")
    if stacks:
        click.echo()
        rows = ((s["StackName"], screen.status(s["StackStatus"])) for s in stacks)
        screen.table(("stack", "status"), rows)
    if jobs:
        click.echo()
        shown = ((j["JobId"], j["Operation"], j["Status"], _progress(j)) for j in jobs)
        screen.table(("batch job", "operation", "status", "progress"), shown)


_UNDER_WAY = ["New", "Preparing", "Suspended", "Ready", "Active", "Paused"]


def _batch_jobs(endpoint: str, region: str) -> list[dict[str, Any]]:
    """S3 Batch Operations jobs that are not over; none for who may not see them."""
    from botocore.exceptions import ClientError

    account = target.client("sts", endpoint, region).get_caller_identity()["Account"]
    control = target.client("s3control", endpoint, region)
    asked: dict[str, Any] = {"AccountId": account, "JobStatuses": _UNDER_WAY}
    jobs: list[dict[str, Any]] = []
    try:
        while True:
            page = control.list_jobs(**asked)
            jobs += page["Jobs"]
            if "NextToken" not in page:
                return jobs
            asked["NextToken"] = page["NextToken"]
    except ClientError:
        return jobs


def _progress(job: dict[str, Any]) -> str:
    said = job["ProgressSummary"]
    done = said["NumberOfTasksSucceeded"] + said["NumberOfTasksFailed"]
    failed = f", {said['NumberOfTasksFailed']} failed" if said["NumberOfTasksFailed"] else ""
    return f"{done} of {said['TotalNumberOfTasks']}{failed}"
