"""Who may use a queue: its policy, and IAM's view of SQS."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from stratolite.errors import Fault
from stratolite.service import Access, Call, Request, Response, Service
from stratolite.services.sqs import state
from stratolite.services.sqs.attributes import parse_arn
from stratolite.services.sqs.content import invalid
from stratolite.services.sqs.finding import key_of, place_of, queue_of
from stratolite.services.sqs.state import Queue

_AS = {
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
    "DeleteMessageBatch": "DeleteMessage",
    "SendMessageBatch": "SendMessage",
}
_SHARED = frozenset(
    {
        "SendMessage", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes",
        "GetQueueUrl", "ListDeadLetterSourceQueues", "PurgeQueue",
    }
)  # fmt: skip
"""What a policy may let other accounts do: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/
SQSDeveloperGuide/sqs-customer-managed-policy-examples.html"""
_LABEL_CHARACTERS_MAX = 80


class Permissions(Service):
    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        """AWS writes these actions in lower case in its refusals."""
        needed = _AS.get(operation, operation)
        action = f"sqs:{needed}".lower()
        if (url := request.get("QueueUrl")) is not None:
            account, name = place_of(url)
            account = account or call.account
            if account != call.principal.account and needed not in _SHARED:
                raise _not_shared(call, action, f"arn:aws:sqs:{call.region}:{account}:{name}")
            return ((action, f"arn:aws:sqs:{call.region}:{account}:{name}"),)
        if (arn := request.get("SourceArn")) is not None:
            needs = [(action, arn)]
            if operation == "StartMessageMoveTask":
                needs += [(f"sqs:{a}", arn) for a in ("receivemessage", "deletemessage")]
                if to := request.get("DestinationArn"):
                    needs.append(("sqs:sendmessage", to))
            return tuple(needs)
        if (named := request.get("QueueName")) is not None:
            owner = request.get("QueueOwnerAWSAccountId") or call.account
            return ((action, f"arn:aws:sqs:{call.region}:{owner}:{named}"),)
        return ((action, "*"),)

    def resource_policy(self, call: Call, resource: str) -> str | None:
        found = self._by_arn(call, resource)
        return found.policy or None if found is not None else None

    def _by_arn(self, call: Call, arn: str) -> Queue | None:
        parts = arn.split(":", 5)
        if len(parts) != 6 or not parts[5]:
            return None
        return state.queue(call.tx, key_of(parts[4], parts[3]), parts[5])

    def alone(self, call: Call, operation: str, request: Request) -> Sequence[str] | None:
        """An own queue without a policy."""
        url = request.get("QueueUrl")
        if url is None:
            return None
        account, name = place_of(url)
        if account and account != call.account:
            return None
        found = state.queue(call.tx, key_of(call.account, call.region), name)
        return None if found is None or found.policy else (url,)

    def condition_keys(
        self, call: Call, operation: str, request: Request, needed: Access
    ) -> dict[str, list[str]]:
        found = self._by_arn(call, needed[1])
        keys: dict[str, list[str]] = {}
        if found is not None:
            keys = {f"aws:resourcetag/{k.lower()}": [v] for k, v in found.record["tags"].items()}
        tags = request.get("tags") or request.get("Tags")
        if isinstance(tags, dict):
            keys |= {f"aws:requesttag/{k.lower()}": [v] for k, v in tags.items()}
            keys["aws:tagkeys"] = list(tags)
        elif request.get("TagKeys"):
            keys["aws:tagkeys"] = list(request["TagKeys"])
        return keys

    def add_permission(self, call: Call, request: Request) -> Response:
        found = queue_of(call, request)
        label = request["Label"]
        if not label or len(label) > _LABEL_CHARACTERS_MAX:
            raise invalid(
                f"Value {label} for parameter Label is invalid. Reason: Label can only include alphanumeric"
                " characters, hyphens, or underscores. 1 to 80 in length."
            )
        for action in request["Actions"]:
            if action != "*" and action not in _SHARED:
                raise invalid(
                    f"Value SQS:{action} for parameter ActionName is invalid. Reason: Please refer to the"
                    " appropriate WSDL for a list of valid actions. "
                )
        for member in ("Actions", "AWSAccountIds"):
            if not request[member]:
                raise Fault("MissingParameter", f"The request must contain the parameter {member}.")
        accounts = request["AWSAccountIds"]
        for account in accounts:
            if len(account) != 12 or not account.isdigit():
                raise invalid(
                    f"Value {accounts} for parameter PrincipalId is invalid. Reason: Unable to verify."
                )
        policy = _policy(found)
        if any(s.get("Sid") == label for s in policy["Statement"]):
            raise invalid(f"Value {label} for parameter Label is invalid. Reason: Already exists.")
        policy["Statement"].append({
            "Sid": label,
            "Effect": "Allow",
            "Principal": {"AWS": _one([f"arn:aws:iam::{account}:root" for account in accounts])},
            "Action": _one([f"SQS:{action}" for action in request["Actions"]]),
            "Resource": found.arn,
        })  # fmt: skip
        self._put_policy(call, found, orjson.dumps(policy).decode())
        return {}

    def remove_permission(self, call: Call, request: Request) -> Response:
        found = queue_of(call, request)
        label, policy = request["Label"], _policy(found)
        left = [s for s in policy["Statement"] if s.get("Sid") != label]
        if len(left) == len(policy["Statement"]):
            raise invalid(
                f"Value {label} for parameter Label is invalid. Reason: can't find label."
            )
        policy["Statement"] = left
        self._put_policy(call, found, orjson.dumps(policy).decode() if left else "")
        return {}

    def _put_policy(self, call: Call, found: Queue, policy: str) -> None:
        attributes = {k: v for k, v in found.attributes.items() if k != "Policy"}
        if policy:
            attributes["Policy"] = policy
        changed = {
            **found.record,
            "attributes": attributes,
            "modified_ms": int(call.tx.time_s * 1000),
        }
        state.put_queue(call.tx, key_of(found.account, found.region), changed)


def _policy(found: Queue) -> dict[str, list[dict[str, object]]]:
    if found.policy:
        policy = orjson.loads(found.policy)
        statements = policy.get("Statement") or []
        policy["Statement"] = statements if isinstance(statements, list) else [statements]
        return policy  # type: ignore[no-any-return]
    return {"Version": "2008-10-17", "Id": f"{found.arn}/SQSDefaultPolicy", "Statement": []}  # type: ignore[dict-item]


def _one(several: list[str]) -> str | list[str]:
    return several if len(several) > 1 else several[0]


def _not_shared(call: Call, action: str, resource: str) -> Fault:
    return Fault(
        "AccessDenied",
        f"User: {call.principal.arn} is not authorized to perform: {action} on resource: {resource}",
        status=403,
    )


def arn_queue(call: Call, arn: str) -> Queue | None:
    """The queue of an ARN of this account and region."""
    parsed = parse_arn(arn)
    if parsed is None or parsed[:2] != (call.region, call.account):
        return None
    return state.queue(call.tx, key_of(call.account, call.region), parsed[2])
