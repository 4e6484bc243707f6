"""Key policies: put, get, and what is accepted as one."""

from __future__ import annotations

from typing import Any

import orjson

from stratolite import principals
from stratolite.errors import Fault
from stratolite.policy import Document
from stratolite.policy.document import Malformed
from stratolite.service import Call, Request, Response, Service
from stratolite.services.kms import state
from stratolite.services.kms.lookup import check_managed, find
from stratolite.services.kms.state import Key

POLICY_SIZE_BYTES_MAX = 32 << 10
_NAME = "default"


class Policies(Service):
    def get_key_policy(self, call: Call, request: Request) -> Response:
        _check_name(request)
        found = find(call, request["KeyId"])
        text = orjson.dumps(found.record["policy"], option=orjson.OPT_INDENT_2).decode()
        return {"Policy": text, "PolicyName": _NAME}

    def put_key_policy(self, call: Call, request: Request) -> Response:
        _check_name(request)
        found = find(call, request["KeyId"])
        check_managed(found)
        bypass = bool(request.get("BypassPolicyLockoutSafetyCheck"))
        policy = checked(call, found, request["Policy"], bypass=bypass)
        state.put_key(call.tx, found.place, {**found.record, "policy": policy})
        return {}

    def list_key_policies(self, call: Call, request: Request) -> Response:
        find(call, request["KeyId"])
        return {"PolicyNames": [_NAME], "Truncated": False}


def _check_name(request: Request) -> None:
    if (request.get("PolicyName") or _NAME) != _NAME:
        raise Fault("NotFoundException", "No such policy exists")


def checked(call: Call, found: Key, text: str, *, bypass: bool) -> dict[str, Any]:
    """The policy as it is kept. Raises MalformedPolicyDocumentException.

    Unless ``bypass`` it must leave the caller, or the account, able to put another one.
    """
    if len(text.encode()) > POLICY_SIZE_BYTES_MAX:
        raise Fault("LimitExceededException", "Policy document is too large")
    try:
        Document.parse(text, has_principal=True)
        policy: dict[str, Any] = orjson.loads(text)
    except (Malformed, orjson.JSONDecodeError) as error:
        raise Fault("MalformedPolicyDocumentException", str(error)) from error
    if principals.unknown(call, text):
        raise Fault(
            "MalformedPolicyDocumentException",
            "Policy contains a statement with one or more invalid principals.",
        )
    if bypass:
        return policy
    statements = policy["Statement"]
    for one in statements if isinstance(statements, list) else [statements]:
        actions = one.get("Action") or ()
        actions = [actions] if isinstance(actions, str) else actions
        raw = one.get("Principal")
        who = raw.get("AWS") if isinstance(raw, dict) else raw
        named = [who] if isinstance(who, str) else who or ()
        account = found.place.account
        mine = {"*", account, f"arn:aws:iam::{account}:root", call.principal.arn}
        may = any(a.lower() in ("*", "kms:*", "kms:put*", "kms:putkeypolicy") for a in actions)
        if one.get("Effect") == "Allow" and may and (mine & set(named) or _role(call) in named):
            return policy
    raise Fault(
        "MalformedPolicyDocumentException",
        "The new key policy will not allow you to update the key policy in the future.",
    )


def _role(call: Call) -> str:
    who = call.principal
    return f"arn:aws:iam::{who.account}:role/{who.name}" if who.kind == "role" else who.arn
