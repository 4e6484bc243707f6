"""Stack policies: which resources an update may modify, replace or delete.

Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/protect-stack-resources.html
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Request
from stratolite.services.cloudformation.quotas import STACK_POLICY_BYTES_MAX
from stratolite.services.cloudformation.template_source import read_url

_ACTIONS = ("Update:Modify", "Update:Replace", "Update:Delete", "Update:*", "*")
_MEMBERS = {
    "Action",
    "Condition",
    "Effect",
    "NotAction",
    "NotResource",
    "Principal",
    "Resource",
    "Sid",
}
_CONDITIONS = {"StringEquals", "StringLike"}


def _invalid(why: str) -> Fault:
    return Fault("ValidationError", f"Error validating stack policy: {why}")


async def policy_of(call: Call, request: Request, body: str, url: str) -> str | None:
    """The policy a request names as ``body`` or ``url``; None for none. Raises Fault unless it is one."""
    text, place = request.get(body), request.get(url)
    if text is not None and place is not None:
        raise Fault("ValidationError", f"You cannot specify both {url} and {body}")
    if place is not None:
        text = await read_url(call, place)
    if text is None:
        return None
    if len(text.encode()) > STACK_POLICY_BYTES_MAX:
        raise _invalid(f"it is larger than {STACK_POLICY_BYTES_MAX} bytes")
    _statements(text)
    return str(text)


def _statements(text: str) -> list[dict[str, Any]]:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise _invalid("Invalid stack policy") from None
    statements = document.get("Statement") if isinstance(document, dict) else None
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise _invalid("Invalid stack policy")
    for one in statements:
        if (
            not isinstance(one, dict)
            or not set(one) <= _MEMBERS
            or one.get("Effect") not in ("Allow", "Deny")
            or one.get("Principal") not in ("*", {"AWS": "*"})
            or ("Action" in one) == ("NotAction" in one)
            or ("Resource" in one) == ("NotResource" in one)
            or not all(a in _ACTIONS for a in _list(one.get("Action", one.get("NotAction"))))
            or not set(one.get("Condition") or {}) <= _CONDITIONS
        ):
            raise _invalid("Invalid stack policy")
    return statements


def _list(value: Any) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list) else [str(value)]


def denial(text: str, action: str, logical_id: str, kind: str) -> str:
    """Why a policy does not let ``action`` (Update:Modify, ...) happen to a resource; "" if it does."""
    if not text:
        return ""
    allowed = False
    resource = f"LogicalResourceId/{logical_id}"
    for n, one in enumerate(_statements(text)):
        if not _covers(one, action, resource, kind):
            continue
        if one["Effect"] == "Deny":
            return (
                f"Action denied by stack policy: Statement [#{n + 1}] does not allow [{action}]"
                f" for resource [{resource}]"
            )
        allowed = True
    if allowed:
        return ""
    return f"Action not allowed by stack policy: no statement allows [{action}] for resource [{resource}]"


def _covers(one: dict[str, Any], action: str, resource: str, kind: str) -> bool:
    if "Action" in one and not any(fnmatchcase(action, a) for a in _list(one["Action"])):
        return False
    if "NotAction" in one and any(fnmatchcase(action, a) for a in _list(one["NotAction"])):
        return False
    if "Resource" in one and not any(_matches(resource, r) for r in _list(one["Resource"])):
        return False
    if "NotResource" in one and any(_matches(resource, r) for r in _list(one["NotResource"])):
        return False
    for operator, wanted in (one.get("Condition") or {}).items():
        for key, values in (wanted or {}).items():
            if key != "ResourceType":
                return False
            if operator == "StringEquals" and kind not in _list(values):
                return False
            if operator == "StringLike" and not any(fnmatchcase(kind, v) for v in _list(values)):
                return False
    return True


def _matches(resource: str, pattern: str) -> bool:
    """AWS writes both LogicalResourceId/X and LogicalResourceId/Prefix*."""
    return pattern == "*" or fnmatchcase(resource, pattern.replace("[", "[[]"))
