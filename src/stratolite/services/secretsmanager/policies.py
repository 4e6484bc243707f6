"""The policy attached to a secret, and whether it lets everybody in."""

from __future__ import annotations

from typing import Any

import orjson

from stratolite import principals
from stratolite.errors import Fault
from stratolite.policy import Document, Malformed
from stratolite.service import Call, Request, Response
from stratolite.services.secretsmanager import faults, replicas
from stratolite.services.secretsmanager.faults import arn_of
from stratolite.services.secretsmanager.listing import Listing

_NARROWING = frozenset((
    "aws:sourcearn", "aws:sourceaccount", "aws:principalarn", "aws:principalorgid", "aws:principalaccount", "aws:sourceip", "aws:sourcevpc",
    "aws:sourcevpce", "aws:userid", "kms:viaservice",
))  # fmt: skip

_UNSUPPORTED = "This resource policy contains an unsupported principal."


class Policies(Listing):
    def put_resource_policy(self, call: Call, request: Request) -> Response:
        where, name, record = faults.find_own(call, request["SecretId"])
        text = request["ResourcePolicy"]
        if problem := _problem(text):
            raise Fault("MalformedPolicyDocumentException", f"This resource policy contains a syntax error: {problem}")  # fmt: skip
        if principals.unknown(call, text):
            raise Fault("MalformedPolicyDocumentException", _UNSUPPORTED)
        if request.get("BlockPublicPolicy") and is_public(text):
            raise Fault("PublicPolicyException", "This resource policy grants public access to the secret, and public access is blocked.")  # fmt: skip
        record["policy"] = text
        replicas.keep(where, name, record)
        return {"ARN": arn_of(where, name, record), "Name": name}

    def get_resource_policy(self, call: Call, request: Request) -> Response:
        where, name, record = faults.find(call, request["SecretId"])
        answer = {"ARN": arn_of(where, name, record), "Name": name}
        return answer | ({"ResourcePolicy": record["policy"]} if record["policy"] else {})

    def delete_resource_policy(self, call: Call, request: Request) -> Response:
        where, name, record = faults.find_own(call, request["SecretId"])
        record["policy"] = None
        replicas.keep(where, name, record)
        return {"ARN": arn_of(where, name, record), "Name": name}

    def validate_resource_policy(self, call: Call, request: Request) -> Response:
        if secret_id := request.get("SecretId"):
            faults.find(call, secret_id)
        text = request["ResourcePolicy"]
        errors = []
        if problem := _problem(text):
            errors.append({"CheckName": "SyntaxCheck", "ErrorMessage": problem})
        elif principals.unknown(call, text):
            errors.append({"CheckName": "SyntaxCheck", "ErrorMessage": _UNSUPPORTED})
        elif is_public(text):
            errors.append({"CheckName": "PublicPolicyCheck", "ErrorMessage": "The policy grants public access."})  # fmt: skip
        return {"PolicyValidationPassed": not errors, "ValidationErrors": errors}


def _problem(text: str) -> str:
    try:
        Document.parse(text, has_principal=True)
    except Malformed as error:
        return str(error)
    return ""


def is_public(text: str) -> bool:
    """Whether a statement allows any principal, with nothing that narrows it."""
    statements = orjson.loads(text).get("Statement", [])
    for one in statements if isinstance(statements, list) else [statements]:
        keys = {key.lower() for block in (one.get("Condition") or {}).values() for key in block}
        if one.get("Effect") == "Allow" and _anybody(one.get("Principal")) and not keys & _NARROWING:  # fmt: skip
            return True
    return False


def _anybody(principal: Any) -> bool:
    if isinstance(principal, dict):
        principal = principal.get("AWS", [])
    return "*" in (principal if isinstance(principal, list) else [principal])
