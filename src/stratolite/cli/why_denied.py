"""stratolite why-denied: what IAM decided or would decide about an action, statement by statement."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import click

from stratolite.cli import screen, target

_REQUEST_ID = re.compile(r"[0-9A-Za-z-]{8,64}\Z")
_ARN = re.compile(r"arn:aws:iam::(\d{12}):(user|role|group)/(?:.*/)?([^/]+)\Z")
Client = Callable[[str], Any]


@click.command("why-denied")
@click.argument("principal")
@click.argument("action", required=False)
@click.argument("resource", default="*")
@click.option(
    "--context", multiple=True, metavar="KEY=VALUE", help="A condition key of the request."
)
@target.options
@screen.json_option
def command(
    principal: str,
    action: str | None,
    resource: str,
    context: tuple[str, ...],
    endpoint: str,
    region: str,
    as_json: bool,
) -> None:
    """Explain a decision of IAM, statement by statement.

    why-denied REQUEST-ID: a request that was denied, with the policies and condition keys it met (its id is in the
    error's x-amzn-RequestId, and in `stratolite trail`).

    why-denied PRINCIPAL ACTION [RESOURCE]: what would be decided now if PRINCIPAL (the ARN of a user, group or role) did
    ACTION on RESOURCE. Identity policies, the permissions boundary, service control policies and the policy on the
    resource itself are asked; condition keys are those given with --context.
    """

    def client(service: str) -> Any:
        return target.client(service, endpoint, region)

    if action is None:
        if not _REQUEST_ID.match(principal):
            raise click.UsageError(
                f"{principal} is not a request id; give PRINCIPAL ACTION [RESOURCE]"
            )
        asked = {"event_id": principal}
        page = target.own("POST", "trail", endpoint, region, asked)
        found = _of_request(client, principal, page["events"])
    else:
        found = _would_be(client, principal, action, resource, _pairs(context))
    if as_json:
        screen.document(found)
        return
    for said in lines(found):
        click.echo("".join(c if c.isprintable() else "?" for c in said))


def _pairs(context: tuple[str, ...]) -> dict[str, list[str]]:
    keys: dict[str, list[str]] = {}
    for pair in context:
        key, equals, value = pair.partition("=")
        if not equals:
            raise click.UsageError(f"--context {pair}: give KEY=VALUE")
        keys.setdefault(key.lower(), []).append(value)
    return keys


# -- a request that was


def _of_request(client: Client, request_id: str, events: list[dict[str, Any]]) -> dict[str, Any]:
    """``events``: what the trail has of it."""
    if not events:
        raise click.ClickException(
            f"the trail has no denial {request_id} in this account and region (or it was older than 90 days)"
        )
    event = events[0]
    more = event["additionalEventData"]
    message = more.get("encodedAuthorizationMessage")
    if not message:
        ended = event.get("errorCode", "no error")
        raise click.ClickException(
            f"request {request_id} ({more['action']}) was {more['decision']}; it ended with {ended}"
        )
    decoded = client("sts").decode_authorization_message(EncodedMessage=message)["DecodedMessage"]
    found: dict[str, Any] = json.loads(decoded)
    if "context" not in found:
        raise click.ClickException(
            f"request {request_id} was denied among many others and not explained: {event.get('errorMessage', '')}"
        )
    return found


# -- one that could be


def _would_be(
    client: Client, principal: str, action: str, resource: str, keys: dict[str, list[str]]
) -> dict[str, Any]:
    from stratolite.policy import Question, decide, explain

    match = _ARN.match(principal)
    if match is None:
        raise click.UsageError(f"{principal} is not the ARN of a user, group or role")
    account, kind, name = match.groups()
    unasked: list[str] = []
    sources = list(_sources(client, kind, name, unasked))
    levels = _levels(client, account, unasked)
    parts = resource.split(":", 5)
    owner = (parts[4] if len(parts) == 6 else "") or account
    arn = f"arn:aws:sts::{account}:assumed-role/{name}/s" if kind == "role" else principal
    context = {"aws:principalarn": [principal], "aws:principalaccount": [account]} | keys
    if kind == "user":
        context.setdefault("aws:username", [name])
    question = Question(
        kind,
        account,
        arn,
        name,
        action,
        resource,
        owner,
        context,
        principal if kind == "role" else "",
    )
    on_resource = _resource_policy(client, action, resource, unasked)
    decision = decide(
        question,
        identity=[s.document for s in sources if s.kind == "identity"],
        boundary=next((s.document for s in sources if s.kind == "boundary"), None),
        service_control=[[s.document for s in level] for level in levels],
        resource_policy=on_resource.document if on_resource else None,
        resource_must_allow=action.lower().startswith("sts:assumerole"),
    )
    every = [
        *sources,
        *(s for level in levels for s in level),
        *([on_resource] if on_resource else []),
    ]
    shown = [line.shown() for line in explain(question, every)]
    return {
        "allowed": decision.allowed,
        "explicitDeny": decision.explicit and not decision.allowed,
        "reason": decision.reason.replace("{action}", action),
        "context": {
            "principal": {"arn": principal, "name": name},
            "action": action,
            "resource": resource,
            "conditions": {
                "items": [
                    {"key": k, "values": {"items": [{"value": v} for v in values]}}
                    for k, values in sorted(context.items())
                ]
            },
        },
        "statements": shown,
        "policies": [f"{source.name} ({source.kind})" for source in every],
        "notAsked": unasked,
    }


def _sources(client: Client, kind: str, name: str, unasked: list[str]) -> Iterator[Any]:
    """Identity policies and the boundary, as the IAM API gives them."""
    from stratolite.policy import Source

    iam = client("iam")
    holders = [(kind, name)]
    if kind == "user":
        pages = iam.get_paginator("list_groups_for_user").paginate(UserName=name)
        holders += [("group", g["GroupName"]) for page in pages for g in page["Groups"]]
    for of, called in holders:
        named = {f"{of.title()}Name": called}
        for page in iam.get_paginator(f"list_{of}_policies").paginate(**named):
            for policy in page["PolicyNames"]:
                document = getattr(iam, f"get_{of}_policy")(**named, PolicyName=policy)[
                    "PolicyDocument"
                ]
                yield Source(f"{of} {called}: {policy}", "identity", _parsed(document))
        for page in iam.get_paginator(f"list_attached_{of}_policies").paginate(**named):
            for policy in page["AttachedPolicies"]:
                yield Source(policy["PolicyArn"], "identity", _managed(iam, policy["PolicyArn"]))
    if kind != "group":
        record = getattr(iam, f"get_{kind}")(**{f"{kind.title()}Name": name})[kind.title()]
        if boundary := record.get("PermissionsBoundary"):
            arn = boundary["PermissionsBoundaryArn"]
            yield Source(arn, "boundary", _managed(iam, arn))
    if kind == "role":
        unasked.append("session policies of whoever assumes the role")


def _managed(iam: Any, arn: str) -> Any:
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    found = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
    return _parsed(found["Document"])


def _parsed(document: Any, *, has_principal: bool = False) -> Any:
    from stratolite.policy import Document

    text = document if isinstance(document, str) else json.dumps(document)
    return Document.parse(text, has_principal=has_principal, any_resource=has_principal)


def _levels(client: Client, account: str, unasked: list[str]) -> list[list[Any]]:
    """Service control policies from the root of the organization down; [] where there are none."""
    from botocore.exceptions import ClientError

    from stratolite.policy import Source

    organizations = client("organizations")
    try:
        organization = organizations.describe_organization()["Organization"]
        if organization["MasterAccountId"] == account:
            return []
        path, child = [account], account
        while not child.startswith("r-"):
            child = organizations.list_parents(ChildId=child)["Parents"][0]["Id"]
            path.append(child)
        levels = []
        for at in reversed(path):
            attached = organizations.list_policies_for_target(
                TargetId=at, Filter="SERVICE_CONTROL_POLICY"
            )["Policies"]
            levels.append(
                [
                    Source(
                        p["Name"],
                        "service control",
                        _parsed(
                            organizations.describe_policy(PolicyId=p["Id"])["Policy"]["Content"]
                        ),
                    )
                    for p in attached
                ]
            )
        return levels
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code not in ("AWSOrganizationsNotInUseException", "NotImplemented"):
            unasked.append(f"service control policies ({code})")
        return []


def _resource_policy(client: Client, action: str, resource: str, unasked: list[str]) -> Any:
    """The policy on the resource itself, asked from its service; None without one."""
    from botocore.exceptions import ClientError

    from stratolite.policy import Source

    service = "sts" if action.lower().startswith("sts:") else (resource.split(":") + [""] * 3)[2]
    ask = _ASK.get(service)
    if ask is None:
        if resource != "*":
            unasked.append("a policy on the resource itself")
        return None
    try:
        text = ask(client, resource)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code not in _NO_POLICY:
            unasked.append(f"the policy on the resource itself ({code})")
        return None
    if not text:
        return None
    return Source(f"policy of {resource}", "resource", _parsed(text, has_principal=True))


_NO_POLICY = frozenset({
    "NoSuchBucketPolicy", "ResourceNotFoundException", "PolicyNotFoundException", "NoSuchEntity",
})  # fmt: skip


def _queue_policy(client: Client, arn: str) -> Any:
    sqs = client("sqs")
    account, name = arn.split(":")[4:6]
    url = sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
    return found.get("Attributes", {}).get("Policy")


_ASK: dict[str, Callable[[Client, str], Any]] = {
    "s3": lambda client, arn: client("s3").get_bucket_policy(Bucket=arn.split(":", 5)[5].split("/")[0])["Policy"],
    "lambda": lambda client, arn: client("lambda").get_policy(FunctionName=arn)["Policy"],
    "sts": lambda client, arn: client("iam").get_role(RoleName=arn.rsplit("/", 1)[-1])["Role"]["AssumeRolePolicyDocument"],
    "sqs": _queue_policy,
    "sns": lambda client, arn: client("sns").get_topic_attributes(TopicArn=arn)["Attributes"].get("Policy"),
    "kms": lambda client, arn: client("kms").get_key_policy(KeyId=arn, PolicyName="default")["Policy"],
    "secretsmanager": lambda client, arn: client("secretsmanager").get_resource_policy(SecretId=arn).get("ResourcePolicy"),
    "dynamodb": lambda client, arn: client("dynamodb").get_resource_policy(ResourceArn=arn).get("Policy"),
    "kinesis": lambda client, arn: client("kinesis").get_resource_policy(ResourceARN=arn).get("Policy"),
}  # fmt: skip


def lines(found: dict[str, Any]) -> Iterator[str]:
    """An explanation as sentences."""
    asked = found["context"]
    if found["allowed"]:
        ended = f"allowed by {found['reason']}"
    elif found["explicitDeny"]:
        ended = f"denied {found['reason']}"
    else:
        ended = f"denied {found['reason']}"
    who = asked["principal"]["arn"] or "anybody"
    yield f"{who}: {asked['action']} on {asked['resource']}: {ended}"
    policies: dict[str, list[dict[str, Any]]] = {}
    for statement in found["statements"]:
        policies.setdefault(f"{statement['policy']} ({statement['kind']})", []).append(statement)
    for policy in found.get("policies", ()):
        yield f"  {policy}"
        for statement in policies.get(policy, ()):
            does = "covers this" if statement["covers"] else statement["why"]
            yield f"    statement {statement['statement']} {statement['effect']}: {does}"
    if not found.get("policies"):
        yield "  there is no policy that says anything"
    for one in found.get("notAsked", ()):
        yield f"  not asked: {one}"
    if keys := asked.get("conditions", {}).get("items"):
        yield "  the request had:"
        for key in keys:
            values = ", ".join(v["value"] for v in key["values"]["items"])
            yield f"    {key['key']} = {values}"
