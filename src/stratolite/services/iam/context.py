"""The condition keys that every request has, worked out when a policy asks.

Source  https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
"""

from __future__ import annotations

from typing import Any

import orjson

from stratolite.clock import iso
from stratolite.service import Call, Principal, Request
from stratolite.services.iam import state

_TYPES = {"root": "Account", "user": "User", "role": "AssumedRole", "federated": "FederatedUser"}
Keys = dict[str, list[str]]


def context_of(
    call: Call,
    who: Principal,
    role_arn: str = "",
    owner: str = "",
    asked: tuple[str, Request] | None = None,
) -> Keys:
    """Names in lower case. ``role_arn`` is the role behind a session, ``owner`` the account of the resource."""
    context = {
        "aws:currenttime": [iso(call.tx.time_s)],
        "aws:epochtime": [str(int(call.tx.time_s))],
        "aws:requestedregion": [call.region],
        "aws:principalisawsservice": ["true" if who.kind == "service" else "false"],
    }
    if who.kind == "service":
        context["aws:principalservicename"] = [who.name]
        context["aws:principalservicenameslist"] = [who.name]
    else:
        context["aws:principaltype"] = [_TYPES.get(who.kind, "Anonymous")]
        context["aws:userid"] = [who.user_id or "anonymous"]
        context["aws:principalaccount"] = [who.account or "anonymous"]
        context["aws:principalarn"] = [role_arn if who.kind == "role" and role_arn else who.arn]
        _session(call, who, context)
        _way(call, context)
        _organization(call, who.account, "principal", context)
        context |= {f"aws:principaltag/{k.lower()}": [v] for k, v in _tags(call, who).items()}
    if owner:
        context["aws:resourceaccount"] = [owner]
        _organization(call, owner, "resource", context)
    if who.source_arn:
        context["aws:sourcearn"] = [who.source_arn]
        context["aws:sourceaccount"] = [who.source_account]
        _organization(call, who.source_account, "source", context)
    for key, value in call.context.items():
        if not (call.depth and key == "aws:SourceIp"):  # it is not the caller's machine that asks
            context[key.lower()] = [value]
    if asked is not None:
        _request_tags(asked[1], context)
    return context


def _session(call: Call, who: Principal, context: Keys) -> None:
    if who.kind == "user":
        context["aws:username"] = [who.name]
    is_session = who.access_key_id.startswith("ASIA") or who.kind in ("role", "federated")
    if is_session:
        context["aws:multifactorauthpresent"] = ["true" if who.mfa_s else "false"]
        if who.issued_s:
            context["aws:tokenissuetime"] = [iso(who.issued_s)]
    if who.mfa_s:
        context["aws:multifactorauthage"] = [str(int(call.world.wall() - who.mfa_s))]
    if who.source_identity:
        context["aws:sourceidentity"] = [who.source_identity]
    if who.provider:
        context["aws:federatedprovider"] = [who.provider]


def _way(call: Call, context: Keys) -> None:
    """Whether the caller asks, or a service with what the caller gave it."""
    context["aws:viaawsservice"] = ["true" if call.depth else "false"]
    if call.via:
        context["aws:calledvia"] = list(call.via)
        context["aws:calledviafirst"] = [call.via[0]]
        context["aws:calledvialast"] = [call.via[-1]]


def _organization(call: Call, account: str, whose: str, context: Keys) -> None:
    found = state.organization(call.tx, account) if account else None
    if found is not None:
        context[f"aws:{whose}orgid"] = [found["Id"]]
        context[f"aws:{whose}orgpaths"] = ["/".join([found["Id"], *found["Path"][:-1], ""])]


def _request_tags(request: Request, context: Keys) -> None:
    """What tags a request gives, in whichever of AWS's three forms; keys keep their case."""
    given = request.get("Tags", request.get("tags"))
    pairs: dict[str, Any] = {}
    if isinstance(given, dict):
        pairs = {str(k): v for k, v in given.items()}
    elif isinstance(given, list):
        for tag in given:
            if isinstance(tag, dict):
                lower = {k.lower(): v for k, v in tag.items()}
                name = lower.get("key", lower.get("tagkey"))
                pairs[str(name)] = lower.get("value", lower.get("tagvalue", ""))
    keys = list(pairs)
    listed = request.get("TagKeys", request.get("tagKeys"))
    if isinstance(listed, list):
        keys += [str(key) for key in listed]
    if keys:
        context["aws:tagkeys"] = keys
    context |= {f"aws:requesttag/{k.lower()}": [str(v)] for k, v in pairs.items()}


def _tags(call: Call, who: Principal) -> dict[str, str]:
    """The role's or user's own tags, and over them the session's."""
    if who.kind not in ("user", "role", "federated"):
        return {}
    holder = state.get(call.tx, who.account, "role" if who.kind == "role" else "user", who.name)
    held = {t["Key"]: t["Value"] for t in (holder or {}).get("Tags", ())}
    given: dict[str, str] = orjson.loads(who.session_tags or "{}").get("tags", {})
    over = {k.lower() for k in given}
    return {k: v for k, v in held.items() if k.lower() not in over} | given
