"""Resource policies of an account and region: which services and accounts may write to its log groups.

EventBridge writes to a rule's log group only where one says so. All of them are one record, so that a call reads one key: {policies:
[{name, document, updated_ms}], merged: their statements as one document}.
Source  https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutResourcePolicy.html
"""

from __future__ import annotations

from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.policy import Document, Malformed
from stratolite.service import Call, Request, Response, Service
from stratolite.services.logs import state
from stratolite.services.logs.events import page_size
from stratolite.services.logs.state import Record

_POLICIES_MAX = 10
_DOCUMENT_CHARS_MAX = 5120
_PAGE = 50


class Policies(Service):
    def put_resource_policy(self, call: Call, request: Request) -> Response:
        name, document = request.get("policyName"), request.get("policyDocument")
        for member in ("resourceArn", "expectedRevisionId"):
            if request.get(member):
                raise _bad(f"{member} is not offered by Stratolite; see docs/coverage.md")
        if not name or not document:
            raise _bad("policyName and policyDocument are required.")
        check_document(document)
        kept = [one for one in _policies(call) if one["name"] != name]
        if len(kept) >= _POLICIES_MAX:
            raise Fault("LimitExceededException", "Resource limit exceeded.")
        made = {"name": name, "document": document, "updated_ms": int(call.tx.time_s * 1000)}
        _keep(call, [*kept, made])
        return {"resourcePolicy": _described(made)}

    def describe_resource_policies(self, call: Call, request: Request) -> Response:
        if request.get("resourceArn") or request.get("policyScope", "ACCOUNT") != "ACCOUNT":
            raise _bad("Policies of single resources are not offered by Stratolite; see docs/coverage.md")  # fmt: skip
        most, after = page_size(request, _PAGE), request.get("nextToken") or ""
        found = sorted((p for p in _policies(call) if p["name"] > after), key=lambda p: p["name"])
        answer: Response = {"resourcePolicies": [_described(one) for one in found[:most]]}
        if len(found) > most:
            answer["nextToken"] = found[most - 1]["name"]
        return answer

    def delete_resource_policy(self, call: Call, request: Request) -> Response:
        name = request.get("policyName")
        kept = [one for one in _policies(call) if one["name"] != name]
        if len(kept) == len(_policies(call)):
            raise Fault("ResourceNotFoundException", f"Policy with name [{name}] does not exist.")
        _keep(call, kept)
        return {}


def merged(call: Call) -> str | None:
    """All of the account's policies in the region as one document."""
    found: Record = state.policies(call.tx, call.keys("logs")) or {}
    text: str = found.get("merged") or ""
    return text or None


def check_document(document: Any) -> None:
    """Raises Fault for what is no policy."""
    text = document if isinstance(document, str) else orjson.dumps(document).decode()
    if len(text) > _DOCUMENT_CHARS_MAX:
        raise _bad(
            f"1 validation error detected: Value at 'policyDocument' failed to satisfy constraint: Member must have length"
            f" less than or equal to {_DOCUMENT_CHARS_MAX}"
        )
    try:
        Document.parse(text, has_principal=True)
    except Malformed as error:
        raise _bad(f"Invalid policy document: {error}") from error


def _policies(call: Call) -> list[Record]:
    found: Record = state.policies(call.tx, call.keys("logs")) or {}
    listed: list[Record] = found.get("policies") or []
    return listed


def _keep(call: Call, policies: list[Record]) -> None:
    statements: list[Any] = []
    for one in policies:
        found = orjson.loads(one["document"]).get("Statement", [])
        statements += found if isinstance(found, list) else [found]
    whole = orjson.dumps({"Version": "2012-10-17", "Statement": _without_ids(statements)}).decode()
    record = {"policies": policies, "merged": whole if statements else ""}
    state.put_policies(call.tx, call.keys("logs"), record)


def _without_ids(statements: list[Any]) -> list[Any]:
    """Those of two policies may have the same."""
    return [{name: value for name, value in one.items() if name != "Sid"} for one in statements]


def _described(one: Record) -> Response:
    return {
        "policyName": one["name"],
        "policyDocument": one["document"],
        "lastUpdatedTime": one["updated_ms"],
        "policyScope": "ACCOUNT",
    }


def _bad(message: str) -> Fault:
    return Fault("InvalidParameterException", message)
