"""Who may use a topic: its policy, and IAM's view of SNS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from stratolite.service import Access, Call, Request, Response, Service
from stratolite.services.sns import state
from stratolite.services.sns.finding import invalid, read, topic_of
from stratolite.services.sns.state import Topic, keys_of

_AS = {"PublishBatch": "Publish"}
_ACTIONS = frozenset(
    {
        "AddPermission", "DeleteTopic", "GetDataProtectionPolicy", "GetTopicAttributes",
        "ListSubscriptionsByTopic", "ListTagsForResource", "Publish", "PutDataProtectionPolicy",
        "RemovePermission", "SetTopicAttributes", "Subscribe",
    }
)  # fmt: skip
_OWNERS = frozenset({"cloudwatch.amazonaws.com"})
"""Services that say aws:SourceOwner, which topics' default policy asks for."""


def default_policy(arn: str) -> str:
    """As AWS gives it to a new topic."""
    owner = arn.split(":")[4]
    actions = (
        "GetTopicAttributes", "SetTopicAttributes", "AddPermission", "RemovePermission", "DeleteTopic",
        "Subscribe", "ListSubscriptionsByTopic", "Publish",
    )  # fmt: skip
    return orjson.dumps({
        "Version": "2008-10-17",
        "Id": "__default_policy_ID",
        "Statement": [{
            "Sid": "__default_statement_ID",
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": [f"SNS:{action}" for action in actions],
            "Resource": arn,
            "Condition": {"StringEquals": {"AWS:SourceOwner": owner}},
        }],
    }).decode()  # fmt: skip


class Permissions(Service):
    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        if operation == "ConfirmSubscription" and call.principal.kind == "anonymous":
            return ()  # the token stands for whoever brings it
        action = f"SNS:{_AS.get(operation, operation)}"
        arn: str | None = (
            request.get("TopicArn")
            or request.get("TargetArn")
            or request.get("ResourceArn")
            or request.get("PlatformApplicationArn")
            or request.get("EndpointArn")
        )
        if arn is None and operation == "CreateTopic":
            arn = f"arn:aws:sns:{call.region}:{call.account}:{request.get('Name', '')}"
        return ((action, arn or "*"),)

    def resource_policy(self, call: Call, resource: str) -> str | None:
        found = self._by_arn(call, resource)
        if found is None:
            return None
        if found.policy:
            return str(found.policy)
        return default_policy(found.arn) if call.principal.kind == "service" else None

    def _by_arn(self, call: Call, arn: str) -> Topic | None:
        parts = arn.split(":")
        if len(parts) != 6:
            return None
        return state.topic(call.tx, keys_of(parts[4], parts[3]), parts[5])

    def alone(self, call: Call, operation: str, request: Request) -> Sequence[str] | None:
        """An own topic without a policy of its own."""
        arn = request.get("TopicArn")
        if arn is None:
            return None
        found = self._by_arn(call, arn)
        return None if found is None or found.account != call.account or found.policy else (arn,)

    def condition_keys(
        self, call: Call, operation: str, request: Request, needed: Access
    ) -> dict[str, list[str]]:
        """https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsns.html"""
        keys: dict[str, list[str]] = {}
        for member, key in (("Endpoint", "sns:endpoint"), ("Protocol", "sns:protocol")):
            if request.get(member):
                keys[key] = [str(request[member])]
        who = call.principal
        if who.kind == "service" and who.name in _OWNERS:
            keys["aws:sourceowner"] = [who.source_account]
        found = self._by_arn(call, needed[1])
        if found is not None:
            keys |= {f"aws:resourcetag/{k.lower()}": [v] for k, v in found.record["tags"].items()}
        if isinstance(tags := request.get("Tags"), list):
            keys |= {f"aws:requesttag/{t['Key'].lower()}": [t.get("Value", "")] for t in tags}
            keys["aws:tagkeys"] = [t["Key"] for t in tags]
        return keys

    def add_permission(self, call: Call, request: Request) -> Response:
        found = topic_of(call, request.get("TopicArn"))
        policy = orjson.loads(found.policy or default_policy(found.arn))
        statements = _statements(policy)
        if any(s.get("Sid") == request["Label"] for s in statements):
            raise invalid("Statement already exists")
        if any(action not in _ACTIONS for action in request["ActionName"]):
            raise invalid("Policy statement action out of service scope!")
        for member in ("ActionName", "AWSAccountId"):
            if not request[member]:
                raise invalid(f"{member} must not be empty")
        principals = [f"arn:aws:iam::{account}:root" for account in request["AWSAccountId"]]
        statements.append({
            "Sid": request["Label"],
            "Effect": "Allow",
            "Principal": {"AWS": principals if len(principals) > 1 else principals[0]},
            "Action": [f"SNS:{a}" for a in request["ActionName"]]
            if len(request["ActionName"]) > 1
            else f"SNS:{request['ActionName'][0]}",
            "Resource": found.arn,
        })  # fmt: skip
        self._put(call, found, {**policy, "Statement": statements})
        return {}

    def remove_permission(self, call: Call, request: Request) -> Response:
        found = topic_of(call, request.get("TopicArn"))
        policy = orjson.loads(found.policy or default_policy(found.arn))
        left = [s for s in _statements(policy) if s.get("Sid") != request["Label"]]
        self._put(call, found, {**policy, "Statement": left})
        return {}

    def _put(self, call: Call, found: Topic, policy: dict[str, Any]) -> None:
        kept = {**found.attributes, "Policy": orjson.dumps(policy).decode()}
        record = {**found.record, "attributes": kept}
        state.put_topic(call.tx, keys_of(found.account, found.region), record)


def _statements(policy: dict[str, Any]) -> list[Any]:
    statements = policy.get("Statement") or []
    return list(statements) if isinstance(statements, list) else [statements]


def account_of(arn: str) -> str:
    return read(arn).account
