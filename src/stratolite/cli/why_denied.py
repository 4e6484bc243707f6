"""stratolite why-denied: what IAM decides about an action, statement by statement."""

from __future__ import annotations

from typing import Any

import click

from stratolite.cli import screen, target


@click.command("why-denied")
@click.argument("principal")
@click.argument("action")
@click.argument("resource", default="*")
@click.option(
    "--context", multiple=True, metavar="KEY=VALUE", help="A condition key of the request."
)
@target.options
@screen.json_option
def command(
    principal: str,
    action: str,
    resource: str,
    context: tuple[str, ...],
    endpoint: str,
    region: str,
    as_json: bool,
) -> None:
    """Explain what IAM decides when PRINCIPAL (the ARN of a user, group or role) does ACTION on RESOURCE.

    Identity policies and the permissions boundary are asked. A policy on the resource itself, session
    policies and the condition keys of a real request (but those given with --context) are not.
    """
    entries = []
    for pair in context:
        key, equals, value = pair.partition("=")
        if not equals:
            raise click.UsageError(f"--context {pair}: give KEY=VALUE")
        entries.append(
            {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
        )
    found = target.client("iam", endpoint, region).simulate_principal_policy(
        PolicySourceArn=principal,
        ActionNames=[action],
        ResourceArns=[resource],
        ContextEntries=entries,
    )["EvaluationResults"][0]
    if as_json:
        screen.document(found)
        return
    for line in lines(found):
        click.echo(line)


_MEANS = {
    "allowed": "allowed",
    "explicitDeny": "denied: a statement says Deny",
    "implicitDeny": "denied: nothing allows it",
}


def lines(found: dict[str, Any]) -> list[str]:
    """An evaluation result of SimulatePrincipalPolicy as sentences."""
    out = [
        f"{found['EvalActionName']} on {found['EvalResourceName']}: {_MEANS[found['EvalDecision']]}"
    ]
    for statement in found["MatchedStatements"]:
        start = statement.get("StartPosition")
        where = f", line {start['Line']} column {start['Column']}" if start else ""
        out.append(
            f"  decided by {statement['SourcePolicyId']} ({statement['SourcePolicyType']}{where})"
        )
    if found["EvalDecision"] == "implicitDeny" and not found["MatchedStatements"]:
        out.append("  no statement of any policy covers this action on this resource")
    boundary = found.get("PermissionsBoundaryDecisionDetail")
    if boundary and not boundary["AllowedByPermissionsBoundary"]:
        out.append("  the permissions boundary does not allow it")
    if missing := found.get("MissingContextValues"):
        out.append(f"  not given, but asked for by a condition: {' '.join(missing)}")
    return out
