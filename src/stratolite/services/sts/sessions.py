"""What a caller may put into a session: policies, tags, and proof of a second factor.

Source  https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
        https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html
"""

from __future__ import annotations

import re
import zlib
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.policy import Document, Malformed
from stratolite.policy.grammar import check_identity
from stratolite.service import Call, Request, root

_POLICY_ARNS_COUNT_MAX = 10
_POLICY_CHARACTERS_MAX = 2048
"""As it is given. AssumeRole's model says no maximum, its page does."""
_PACKED_BYTES_MAX = 2048
_POLICY_ARN = re.compile(r"arn:aws:iam::(aws|\d{12}):policy/[\x21-\x7e]+\Z")


def policies(request: Request, account: str) -> str:
    """The session policies as ``Principal.session_policy`` keeps them: "" or a JSON list of documents and ARNs."""
    kept: list[str] = []
    if text := request.get("Policy"):
        if len(text) > _POLICY_CHARACTERS_MAX:
            raise Fault(
                "ValidationError",
                f"1 validation error detected: Value '{text}' at 'policy' failed to satisfy constraint:"
                f" Member must have length less than or equal to {_POLICY_CHARACTERS_MAX}",
            )
        try:
            check_identity(text)
            Document.parse(text)
        except Malformed as error:
            raise Fault("MalformedPolicyDocument", str(error)) from error
        kept.append(text)
    arns = [entry.get("arn", "") for entry in request.get("PolicyArns", ())]
    if len(arns) > _POLICY_ARNS_COUNT_MAX:
        raise Fault(
            "ValidationError", "PolicyArns: at most 10 managed session policies are allowed"
        )
    for arn in arns:
        match = _POLICY_ARN.match(arn)
        if not match or match[1] not in ("aws", account):
            raise Fault("ValidationError", f"The policy ARN {arn} is not valid for this session")
    kept += arns
    if (percent := packed_percent(request)) > 100:
        said = f"Packed size of session tags consumes {percent}% of allotted space."
        if kept:
            said = (
                f"Packed policy consumes {percent}% of allotted space, please use smaller policy."
            )
        raise Fault("PackedPolicyTooLarge", said)
    return orjson.dumps(kept).decode() if kept else ""


def tags(call: Call, request: Request) -> dict[str, Any]:
    """{"tags": key -> value, "transitive": keys}: what is given now over what the caller's session hands on."""
    given = {t["Key"]: t["Value"] for t in request.get("Tags", ())}
    if len({k.lower() for k in given}) != len(request.get("Tags", ())):
        raise Fault(
            "InvalidParameterValue",
            "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
        )
    before = orjson.loads(call.principal.session_tags or "{}")
    handed = {k: v for k, v in before.get("tags", {}).items() if k in before["transitive"]}
    if {k.lower() for k in handed} & {k.lower() for k in given}:
        raise Fault(
            "InvalidParameterValue",
            "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.",
        )
    transitive = request.get("TransitiveTagKeys", [])
    if any(k not in given for k in transitive):
        raise Fault(
            "InvalidParameterValue",
            "The specified transitive tag key must be included in the requested tags.",
        )
    every = given | handed
    return {"tags": every, "transitive": sorted({*transitive, *handed})} if every else {}


def packed_percent(request: Request) -> int:
    """How much of the room for them session policies and tags take up, packed."""
    given = [request.get(k) for k in ("Policy", "PolicyArns", "Tags", "TransitiveTagKeys")]
    if not any(given):
        return 0
    return max(1, len(zlib.compress(orjson.dumps(given), 9)) * 100 // _PACKED_BYTES_MAX)


def mfa(call: Call, request: Request, *, spend: bool) -> bool:
    """Whether the request proves a second factor of its calling user."""
    serial, code = request.get("SerialNumber"), request.get("TokenCode")
    if not serial or not code or call.principal.kind != "user":
        return False
    who = call.principal
    inside = call.scoped(who.account, call.region, root(who.account))
    asked = {"SerialNumber": serial, "TokenCode": code, "UserName": who.name, "Spend": spend}
    return bool(inside.invoke("iam", "CheckMfaCode", asked)["Valid"])


def check_mfa(call: Call, request: Request) -> bool:
    """The same, spent; a code that is given and not good is an error. Raises Fault."""
    if not request.get("SerialNumber") and not request.get("TokenCode"):
        return False
    if not mfa(call, request, spend=True):
        raise Fault(
            "AccessDenied",
            "MultiFactorAuthentication failed with invalid MFA one time pass code.",
            status=403,
        )
    return True


def condition_keys(call: Call, operation: str, request: Request) -> dict[str, list[str]]:
    """https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecuritytokenservice.html"""
    keys: dict[str, list[str]] = {}
    for field, key in (
        ("ExternalId", "sts:externalid"),
        ("RoleSessionName", "sts:rolesessionname"),
        ("SourceIdentity", "sts:sourceidentity"),
    ):
        if request.get(field):
            keys[key] = [request[field]]
    if given := request.get("Tags"):
        keys["aws:tagkeys"] = [t["Key"] for t in given]
        keys |= {f"aws:requesttag/{t['Key'].lower()}": [t["Value"]] for t in given}
    if request.get("TransitiveTagKeys"):
        keys["sts:transitivetagkeys"] = list(request["TransitiveTagKeys"])
    if operation == "AssumeRole" and mfa(call, request, spend=False):
        keys |= {"aws:multifactorauthpresent": ["true"], "aws:multifactorauthage": ["0"]}
    return keys
