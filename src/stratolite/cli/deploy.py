"""stratolite deploy: package a template's code, create or update its stack, show what came of it."""

from __future__ import annotations

import os
import re
from typing import Any

import click

from stratolite.cli import screen, target
from stratolite.cli import stack as stacks
from stratolite.cli.layout import laid_out
from stratolite.cli.package import load_with_lines, package

_TEMPLATE_BYTES_INLINE_MAX = 51_200
_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]


@click.command("deploy")
@click.argument("template", type=click.Path(dir_okay=False))
@click.option("--stack-name", help="Default: the name of the template's folder.")
@click.option(
    "-p", "--parameter", "parameters", multiple=True, metavar="KEY=VALUE", help="May be repeated."
)
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="May be repeated.")
@click.option("--no-rollback", is_flag=True, help="Leave what was made when a create fails.")
@target.options
@screen.json_option
def command(
    template: str,
    stack_name: str | None,
    parameters: tuple[str, ...],
    tags: tuple[str, ...],
    no_rollback: bool,
    endpoint: str,
    region: str,
    as_json: bool,
) -> None:
    """Deploy TEMPLATE: package its local code, create or update its stack, print its outputs."""
    name = stack_name or name_of(template)
    body, root = load_with_lines(template)
    s3 = target.quick_client("s3", endpoint, region)
    bucket = _Bucket(s3, endpoint, region)
    uploads = package(body, os.path.dirname(os.path.abspath(template)), bucket.upload)
    if uploads and not as_json:
        click.echo(f"packaged {uploads} code folder{'s' if uploads > 1 else ''}")
    text = laid_out(body, root)
    request: dict[str, Any] = {"Capabilities": _CAPABILITIES}
    if len(text.encode()) > _TEMPLATE_BYTES_INLINE_MAX:
        place, key = bucket.upload(f"{name}.template.json", text.encode())
        request["TemplateURL"] = f"{endpoint}/{place}/{key}"
    else:
        request["TemplateBody"] = text
    given = dict(_pair(p, "--parameter") for p in parameters)
    request["Parameters"] = [{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()]
    request["Tags"] = [{"Key": k, "Value": v} for k, v in (_pair(t, "--tag") for t in tags)]
    cloudformation = target.quick_client("cloudformation", endpoint, region)
    _run(cloudformation, name, request, given, no_rollback, endpoint, as_json)


def _run(
    cloudformation: Any,
    name: str,
    request: dict[str, Any],
    given: dict[str, str],
    no_rollback: bool,
    endpoint: str,
    as_json: bool,
) -> None:
    from botocore.exceptions import ClientError

    show = (lambda event: None) if as_json else stacks.print_event
    known = stacks.describe(cloudformation, name)
    if known and known["StackStatus"] in ("ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"):
        if not as_json:
            click.echo(
                f"{name} never came to life ({known['StackStatus']}): removing what is left of it"
            )
        after = stacks.last_event_id(cloudformation, known["StackId"])
        stacks.begin(cloudformation, "delete_stack", known["StackId"], after)
        stacks.watch(cloudformation, known["StackId"], after, show)
        known = None
    if known and known["StackStatus"] in ("CREATE_FAILED", "DELETE_FAILED", "ROLLBACK_FAILED"):
        raise click.ClickException(
            f"{name} is {known['StackStatus']} and cannot be updated: remove it first (stratolite delete {name})"
        )
    if known is None:
        after = ""
        policy = {"DisableRollback": True} if no_rollback else {}
        stacks.begin(cloudformation, "create_stack", name, after, **request, **policy)
        stack_id = name
    else:
        after, stack_id = stacks.last_event_id(cloudformation, name), known["StackId"]
        kept = [
            p["ParameterKey"] for p in known.get("Parameters", []) if p["ParameterKey"] not in given
        ]
        still = _parameters_of(cloudformation, request)
        request["Parameters"] += [
            {"ParameterKey": k, "UsePreviousValue": True} for k in kept if k in still
        ]
        try:
            stacks.begin(cloudformation, "update_stack", name, after, **request)
        except ClientError as error:
            if "No updates are to be performed" not in str(error):
                raise
            _report(known, endpoint, as_json, f"{name} is up to date")
            return
    stack = stacks.watch(cloudformation, stack_id, after, show)
    good = stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
    _report(stack, endpoint, as_json, f"{name} {stack['StackStatus']}")
    if not good:
        reason = stack.get("StackStatusReason", "")
        raise click.ClickException(f"{name} ended as {stack['StackStatus']}: {reason}".rstrip(": "))


def _parameters_of(cloudformation: Any, request: dict[str, Any]) -> set[str]:
    where = {k: request[k] for k in ("TemplateBody", "TemplateURL") if k in request}
    summary = cloudformation.get_template_summary(**where)
    return {p["ParameterKey"] for p in summary.get("Parameters", [])}


def _report(stack: dict[str, Any], endpoint: str, as_json: bool, headline: str) -> None:
    outputs = stacks.outputs(stack, endpoint)
    if as_json:
        screen.document(
            {"stack": stack["StackName"], "status": stack["StackStatus"], "outputs": outputs}
        )
        return
    click.echo(headline)
    if outputs:
        screen.table(("output", "value"), outputs.items())


class _Bucket:
    """The bucket that holds packaged code, made when something has to go there."""

    def __init__(self, s3: Any, endpoint: str, region: str) -> None:
        self._s3, self._endpoint, self._region = s3, endpoint, region
        self._name = ""

    def upload(self, key: str, body: bytes) -> tuple[str, str]:
        """(bucket, key). An object of that name has that content already, templates aside."""
        from botocore.exceptions import ClientError

        if not self._name:
            sts = target.quick_client("sts", self._endpoint, self._region)
            account = sts.get_caller_identity()["Account"]
            self._name = f"stratolite-deploy-{account}-{self._region}"
            place = {"LocationConstraint": self._region}
            where = {} if self._region == "us-east-1" else {"CreateBucketConfiguration": place}
            try:
                self._s3.create_bucket(Bucket=self._name, **where)
            except ClientError as error:
                if error.response["Error"]["Code"] != "BucketAlreadyOwnedByYou":
                    raise
        self._s3.put_object(Bucket=self._name, Key=key, Body=body)
        return self._name, key


def name_of(template: str) -> str:
    """The stack a template is deployed as unless it is told otherwise."""
    folder = os.path.basename(os.path.dirname(os.path.abspath(template)))
    name = re.sub(r"[^A-Za-z0-9-]+", "-", folder).strip("-")
    return name if re.match(r"[A-Za-z]", name) else f"stack-{name}"


def _pair(text: str, option: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.UsageError(f"{option} {text}: write KEY=VALUE")
    return key, value
