"""Which services a user, group, role or policy may use and when it last did; which policies grant them.

A job is kept under its id with what it was about; what it found is worked out when it is asked for. Actions and groups of
actions (ACTION_LEVEL) are refused by name: only services are kept.
Source  https://docs.aws.amazon.com/IAM/latest/APIReference/API_GenerateServiceLastAccessedDetails.html
        https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListPoliciesGrantingServiceAccess.html
"""

from __future__ import annotations

import re
from typing import Any

from stratolite.errors import Fault
from stratolite.policy import Document
from stratolite.policy.patterns import like, text
from stratolite.service import Call, Request, Response
from stratolite.services.iam import holders, state

_JOB = "last-accessed-job"
_ARN = re.compile(
    r"arn:aws:iam::(\d{12}|aws):(user|role|group|policy)/(?:.*/)?([\w+=,.@-]+)\Z", re.ASCII
)
_NAMES = {
    "apigateway": "Amazon API Gateway", "cloudformation": "AWS CloudFormation", "cloudtrail": "AWS CloudTrail",
    "cloudwatch": "Amazon CloudWatch", "dynamodb": "Amazon DynamoDB", "events": "Amazon EventBridge",
    "firehose": "Amazon Data Firehose", "glue": "AWS Glue", "iam": "AWS Identity and Access Management",
    "kinesis": "Amazon Kinesis Data Streams", "kms": "AWS Key Management Service", "lambda": "AWS Lambda",
    "logs": "Amazon CloudWatch Logs", "organizations": "AWS Organizations", "pipes": "Amazon EventBridge Pipes",
    "s3": "Amazon S3", "scheduler": "Amazon EventBridge Scheduler", "secretsmanager": "AWS Secrets Manager",
    "sns": "Amazon SNS", "sqs": "Amazon SQS", "ssm": "AWS Systems Manager", "states": "AWS Step Functions",
    "sts": "AWS Security Token Service", "tag": "Amazon Resource Group Tagging API",
}  # fmt: skip
_MEMBERS_COUNT_MAX = 100


class LastAccessed:
    """Mixed into ``Iam``."""

    def generate_service_last_accessed_details(self, call: Call, request: Request) -> Response:
        if request.get("Granularity", "SERVICE_LEVEL") != "SERVICE_LEVEL":
            raise Fault("InvalidInput", "Granularity ACTION_LEVEL is not offered by Stratolite")
        _entity(call, request["Arn"])
        job = call.world.uuid()
        record = {"Arn": request["Arn"], "Date": int(call.tx.time_s)}
        state.put_job(call.tx, call.account, job, record)
        return {"JobId": job}

    async def get_service_last_accessed_details(self, call: Call, request: Request) -> Response:
        if call.cloud.usage is not None:
            await call.cloud.usage.flush()

        def look(inner: Call) -> Response:
            job = _job(inner, request)
            kind, name, _ = _entity(inner, job["Arn"])
            documents = [d for _, _, d in _policies(inner, kind, name, job["Arn"])]
            found = []
            for service, title in _NAMES.items():
                if not any(_grants(d, service) for d in documents):
                    continue
                one: dict[str, Any] = {"ServiceName": title, "ServiceNamespace": service}
                uses = [u[service] for u in _uses(inner, kind, name) if service in u]
                if uses:
                    last = max(uses, key=lambda u: u["LastAuthenticated"])
                    one |= {
                        "LastAuthenticated": last["LastAuthenticated"],
                        "LastAuthenticatedEntity": last["Arn"],
                        "LastAuthenticatedRegion": last["Region"],
                    }
                one["TotalAuthenticatedEntities"] = len(uses)
                found.append(one)
            return _done(job) | {
                "ServicesLastAccessed": found,
                "IsTruncated": False,
                "JobType": "SERVICE_LEVEL",
            }

        return await call.transact(look)

    async def get_service_last_accessed_details_with_entities(
        self, call: Call, request: Request
    ) -> Response:
        if call.cloud.usage is not None:
            await call.cloud.usage.flush()

        def look(inner: Call) -> Response:
            job = _job(inner, request)
            kind, name, _ = _entity(inner, job["Arn"])
            service, listed = request["ServiceNamespace"], []
            for of, called in _members(inner, kind, name):
                record = state.get(inner.tx, inner.account, of, called)
                if record is None:
                    continue
                title = of.title()
                info = {
                    "Arn": record["Arn"],
                    "Name": called,
                    "Type": of.upper(),
                    "Id": record[f"{title}Id"],
                    "Path": record["Path"],
                }
                one: dict[str, Any] = {"EntityInfo": info}
                if use := state.accessed(inner.tx, inner.account, of, called).get(service):
                    one["LastAuthenticated"] = use["LastAuthenticated"]
                listed.append(one)
            return _done(job) | {"EntityDetailsList": listed, "IsTruncated": False}

        return await call.transact(look)

    def list_policies_granting_service_access(self, call: Call, request: Request) -> Response:
        kind, name, _ = _entity(call, request["Arn"])
        if kind == "policy":
            raise Fault("InvalidInput", f"Invalid Entity Arn: {request['Arn']}")
        found = []
        for service in request["ServiceNamespaces"]:
            policies = [
                policy
                for policy, _, document in _policies(call, kind, name, request["Arn"])
                if _grants(document, service)
            ]
            found.append({"ServiceNamespace": service, "Policies": policies})
        return {"PoliciesGrantingServiceAccess": found, "IsTruncated": False}


def _entity(call: Call, arn: str) -> tuple[str, str, dict[str, Any] | None]:
    match = _ARN.match(arn)
    if match is None or match[1] not in (call.account, "aws"):
        raise Fault("NoSuchEntity", f"{arn} does not exist.")
    kind, name = match[2], match[3]
    if kind == "policy":
        if not holders.managed_exists(call, arn):
            raise Fault("NoSuchEntity", f"Policy {arn} does not exist.")
        return kind, name, None
    return kind, name, holders.load(call, kind, name)


def _job(call: Call, request: Request) -> dict[str, Any]:
    found = state.get(call.tx, call.account, _JOB, request["JobId"])
    if found is None:
        raise Fault("NoSuchEntity", f"Job {request['JobId']} does not exist.")
    return found


def _done(job: dict[str, Any]) -> Response:
    return {
        "JobStatus": "COMPLETED",
        "JobCreationDate": job["Date"],
        "JobCompletionDate": job["Date"],
    }


def _policies(
    call: Call, kind: str, name: str, arn: str
) -> list[tuple[dict[str, Any], str, Document]]:
    """(as the API lists it, name, document) of what is granted, not of what limits."""
    tx, account = call.tx, call.account
    if kind == "policy":
        document = state.managed_document(tx, account, arn)
        return [(_managed(arn), name, document)] if document else []
    of = [(kind, name)]
    if kind == "user":
        of += [("group", group) for group in state.groups_of(tx, account, name)]
    found = []
    for title, called in of:
        for policy, body in state.inline(tx, account, title, called):
            shown = {
                "PolicyName": policy,
                "PolicyType": "INLINE",
                "EntityType": title.upper(),
                "EntityName": called,
            }
            found.append((shown, policy, Document.parse(body)))
        found += [
            (_managed(attached), attached, document)
            for attached in state.attached(tx, account, title, called)
            if (document := state.managed_document(tx, account, attached))
        ]
    return found


def _managed(arn: str) -> dict[str, Any]:
    return {"PolicyName": arn.rsplit("/", 1)[-1], "PolicyType": "MANAGED", "PolicyArn": arn}


def _grants(document: Document, service: str) -> bool:
    """Whether a statement allows any action of the service."""
    return any(
        statement.allow
        and (statement.actions_negated or any(_is_of(a, service) for a in statement.actions))
        for statement in document.statements
    )


def _is_of(action: str, service: str) -> bool:
    prefix = text(action.lower().partition(":")[0], wild=True, variables=False)
    return action == "*" or (isinstance(prefix, str) and like(prefix)(service))


def _members(call: Call, kind: str, name: str) -> list[tuple[str, str]]:
    """Who may have used it: the user or role, a group's users, whatever a policy is attached to."""
    if kind == "group":
        return [
            ("user", u) for u in state.members_of(call.tx, call.account, name)[:_MEMBERS_COUNT_MAX]
        ]
    if kind == "policy":
        arn = f"arn:aws:iam::{call.account}:policy/{name}"
        return [m for m in state.attached_to(call.tx, call.account, arn) if m[0] != "group"][
            :_MEMBERS_COUNT_MAX
        ]
    return [(kind, name)]


def _uses(call: Call, kind: str, name: str) -> list[dict[str, Any]]:
    return [state.accessed(call.tx, call.account, *member) for member in _members(call, kind, name)]
