"""Asks ``policy`` whether a call may go on: gathers the principal's policies and the request's context.

The one place where AccessDenied is raised, worded as AWS words it for each protocol's services.
Source  https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.policy import Decision, Document, Question, Rules, Source, explain
from stratolite.policy.patterns import Context
from stratolite.service import Access, Call, Principal, Request, Service
from stratolite.services.iam import state
from stratolite.services.iam.context import context_of

_HOLDERS = frozenset({"user", "role"})
_ALWAYS = frozenset({
    ("sts", "GetCallerIdentity"), ("sts", "GetSessionToken"),
    ("iam", "CheckMfaCode"), ("iam", "FindAccessKey"), ("iam", "FindRole"), ("iam", "FindUnknownPrincipal"), ("iam", "NewKeyId"),
})  # fmt: skip
"""Those of iam are the platform's (``inside`` asks whether they are): no service control policy is about them."""
_GUARDED = ("iam", "sts")
_NOT_VALID = "InvalidClientTokenId"
_RULES_COUNT_MAX = 10_000
_EXPLAINED_COUNT_MAX = 200  # statements
_CODES = {
    "s3": "AccessDenied",
    "s3control": "AccessDenied",
    "iam": "AccessDenied",
    "sts": "AccessDenied",
    "sqs": "AccessDenied",
    "sns": "AuthorizationError",
    "cloudwatch": "AccessDenied",
    "cloudformation": "AccessDenied",
}


def authorize(call: Call, service: Service, operation: str, request: Request) -> None:
    """Raises Fault AccessDenied(Exception) unless everything the request touches is allowed."""
    who = call.principal
    sure: set[tuple[str, ...]] | None = None
    names = service.alone(call, operation, request) if who.account == call.account else None
    if names is not None:
        if who.kind in _HOLDERS:
            sure = state.sure(call.tx, who)
            if sure:
                for name in names:
                    if (service.name, operation, call.region, name) in sure:
                        return
        elif who.kind == "root" and not state.is_member(call.tx, who.account):
            return
    if (service.name, operation) in _ALWAYS and who.kind != "anonymous":
        return
    if service.name in _GUARDED and who.access_key_id[:4] == "ASIA":
        _check_session(who, service.name, operation)
    needed = service.access(call, operation, request)
    for access in needed:
        if sure is not None and access in sure:
            continue
        action, resource = access
        decision = _decide(call, service, action, resource, (operation, request))
        if sure is not None and decision.allowed and _is_kept(call, service, access):
            if len(sure) >= state.SURE_COUNT_MAX:
                sure.clear()
            sure.add(access)
        if not decision.allowed:
            fault = denied(service.name, who, action, resource, decision)
            fault.members |= service.beside_refusal(
                call, operation, request, explicit=decision.explicit
            )
            if (trail := call.cloud.trail) is not None:
                asked = (operation, request)
                trail.refused(
                    call,
                    service,
                    operation,
                    request,
                    fault,
                    lambda: _explained(call, service, (action, resource), asked, decision),  # noqa: B023 - asked at once
                )
            raise fault
    if sure is not None and names:
        _remember(call, service, operation, sure, needed, names)


def _remember(
    call: Call,
    service: Service,
    operation: str,
    sure: set[tuple[str, ...]],
    needed: Sequence[Access],
    names: Sequence[str],
) -> None:
    """That ``needed`` was allowed, by the first of ``names`` for which that is true of all it stands for."""
    rules, _ = rules_of(call, call.principal)
    if rules is None or not all(access in sure for access in needed):
        return
    for name in names:
        if name[-1:] != "/" or all(
            rules.decide_alike(action, f"{resource.partition(name)[0]}{name}")
            for action, resource in needed
        ):
            sure.add((service.name, operation, call.region, name))
            return


def _check_session(who: Principal, service: str, operation: str) -> None:
    """Sessions of users themselves reach IAM after a second factor only, and little of STS; federated ones never.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_request.html
    """
    if who.kind == "role":
        return
    if service == "iam" and who.kind in ("user", "root") and who.mfa_s:
        return
    if service == "sts" and who.kind != "federated" and operation == "AssumeRole":
        return
    raise Fault(_NOT_VALID, "The security token included in the request is invalid", status=403)


def denied(service: str, who: Principal, action: str, resource: str, decision: Decision) -> Fault:
    code = _CODES.get(service, "AccessDeniedException")
    if who.kind == "anonymous":
        return Fault(code, "Access Denied", status=403)
    if who.kind == "provider":
        return Fault(code, f"Not authorized to perform {action}", status=403)
    on = "" if resource == "*" else f" on resource: {resource}"
    reason = decision.reason.replace("{action}", action)
    text = f"User: {who.arn} is not authorized to perform: {action}{on} {reason}"
    # Elsewhere the wire knows: 400 for JSON services, 403 for REST ones.
    return Fault(code, text, status=403 if code in ("AccessDenied", "AuthorizationError") else None)


def _decide(
    call: Call, service: Service, action: str, resource: str, asked: tuple[str, Request]
) -> Decision:
    who = call.principal
    owner = service.resource_account(call, resource)
    if owner != who.account:
        call.owner = owner
    text = service.resource_policy(call, resource)
    resource_policy = parse_resource_policy(text) if text else None
    rules, role_arn = rules_of(call, who)
    if rules is None:
        return Decision(False, "because the identity no longer exists")
    if (
        who.kind == "root"
        and who.account == owner
        and resource_policy is None
        and not rules.service_control
    ):
        return Decision(True, "root")

    def question(context: Context) -> Question:
        return Question(
            who.kind, who.account, who.arn, who.name, action, resource, owner, context, role_arn
        )

    def context() -> Context:
        return context_of(call, who, role_arn, owner, asked) | service.condition_keys(
            call, *asked, (action, resource)
        )

    key = (action, resource, owner) if text is None else (action, resource, owner, who.arn, text)
    # a role's trust and a key's policy must allow themselves, or leave it to their account
    trust = (service.name == "sts" and resource != "*") or (
        service.name == "kms" and ":key/" in resource
    )
    return rules.decide(key, question, context, resource_policy, resource_must_allow=trust)


def _is_kept(call: Call, service: Service, access: tuple[str, str]) -> bool:
    """Whether the answer holds for every context: then it was kept with the rules, or it is about something else."""
    rules, _ = rules_of(call, call.principal)
    return rules is not None and (*access, service.resource_account(call, access[1])) in rules.known


# -- the principal's rules

_NOBODYS = ("service", "anonymous", "provider")
_NO_RULES = Rules()
_NOBODYS_RULES = Rules()
"""What a resource's policy says to services is remembered as what it says to roles is."""


def rules_of(call: Call, who: Principal) -> tuple[Rules | None, str]:
    """The principal's rules and the role or user behind its session; None for an identity that is gone."""
    if who.kind in _NOBODYS:
        return _NOBODYS_RULES, ""
    memo = state.memo(call.tx, who.account)
    if memo is None:  # nothing was ever changed in this account's IAM
        return (_NO_RULES, "") if who.kind == "root" else _gather(call, who)
    key: tuple[Any, ...] = (who.kind, who.name, who.user_id, who.session_policy)
    if (stamp := state.service_control_stamp(call.tx, who.account, memo)) is not None:
        key = (*key, stamp)
    elif who.kind == "root":
        return _NO_RULES, ""
    if (kept := memo.rules.get(key)) is not None:
        return kept  # type: ignore[no-any-return]
    made = _gather(call, who)
    if made[0] is not None:
        if len(memo.rules) >= _RULES_COUNT_MAX:
            memo.rules.clear()
        memo.rules[key] = made
    return made


def _gather(call: Call, who: Principal) -> tuple[Rules | None, str]:
    record = _holder(call, who)
    if who.kind != "root" and record is None:
        return None, ""
    by_kind: dict[str, list[Document]] = {}
    for source in sources_of(call, who):
        by_kind.setdefault(source.kind, []).append(source.document)
    levels = []
    if not _is_linked(record):
        levels = [[s.document for s in level] for level in _levels(call, who)]
    rules = Rules(
        by_kind.get("identity", []),
        next(iter(by_kind.get("boundary", [])), None),
        by_kind.get("session", []) if who.session_policy else None,
        levels,
    )
    if record is None:
        return rules, ""
    return rules, record["Arn"] if who.kind != "user" else ""


def _is_linked(record: state.Record | None) -> bool:
    """Service-linked roles are beyond service control policies.

    https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_scps.html
    """
    return record is not None and record.get("Linked") is not None


def _holder(call: Call, who: Principal) -> state.Record | None:
    """The user or role that the principal is, None if it is gone or another of that name."""
    if who.kind not in ("user", "role", "federated"):
        return None
    kind = "role" if who.kind == "role" else "user"
    record = state.get(call.tx, who.account, kind, who.name)
    return record if record is not None and _same_holder(who, record) else None


def sources_of(call: Call, who: Principal) -> list[Source]:
    """Every policy of the principal with a name people know it by; service control policies are not among them."""
    record = _holder(call, who)
    if record is None:
        return []
    kind = "role" if who.kind == "role" else "user"
    found = [
        Source(name, "identity", document)
        for name, document in state.identity_sources(call.tx, who.account, kind, who.name)
    ]
    if limit := record.get("PermissionsBoundary"):
        arn = limit["PermissionsBoundaryArn"]
        document = state.managed_document(call.tx, who.account, arn) or Document((), "")
        found.append(Source(arn, "boundary", document))
    if who.session_policy:
        for number, one in enumerate(_session_policies(who.session_policy), 1):
            name = one if one.startswith("arn:") else f"session policy {number}"
            found.append(Source(name, "session", _session(call, who, one)))
    return found


def _levels(call: Call, who: Principal) -> list[list[Source]]:
    return [
        [Source(name, "service control", document) for name, document in level]
        for level in state.service_control(call.tx, who.account)
    ]


def _session_policies(kept: str) -> list[str]:
    """A token issued before there could be several holds the document alone."""
    return list(orjson.loads(kept)) if kept.lstrip().startswith("[") else [kept]


def _session(call: Call, who: Principal, one: str) -> Document:
    if one.startswith("arn:"):
        return state.managed_document(call.tx, who.account, one) or Document((), "")
    return Document.parse(one)


def _same_holder(who: Principal, record: state.Record) -> bool:
    """A role or user made again under an old name is another one."""
    unique = record.get("RoleId") or record.get("UserId")
    if who.kind == "federated":
        return who.session == unique
    return not who.user_id or who.user_id.split(":")[0] == unique


_documents: dict[str, Document] = {}


def parse_resource_policy(text: str) -> Document:
    """Compiled by text: the text is the truth, this only saves compiling it again."""
    found = _documents.get(text)
    if found is None:
        if len(_documents) > 1000:
            _documents.clear()
        found = _documents[text] = Document.parse(text, has_principal=True, any_resource=True)
    return found


# -- for the record of a denial


def _explained(
    call: Call,
    service: Service,
    needed: tuple[str, str],
    asked: tuple[str, Request],
    decision: Decision,
) -> dict[str, Any]:
    """What STS DecodeAuthorizationMessage shows, and every statement that was asked.

    https://docs.aws.amazon.com/STS/latest/APIReference/API_DecodeAuthorizationMessage.html
    """
    who, (action, resource) = call.principal, needed
    owner = service.resource_account(call, resource)
    record = _holder(call, who)
    role_arn = record["Arn"] if record is not None and who.kind != "user" else ""
    context = context_of(call, who, role_arn, owner, asked) | service.condition_keys(
        call, *asked, needed
    )
    question = Question(
        who.kind, who.account, who.arn, who.name, action, resource, owner, context, role_arn
    )
    sources = sources_of(call, who)
    if not _is_linked(record):
        sources += [s for level in _levels(call, who) for s in level]
    if text := service.resource_policy(call, resource):
        sources.append(Source(f"policy of {resource}", "resource", parse_resource_policy(text)))
    lines: list[dict[str, Any]] = []
    for line in explain(question, sources):
        if len(lines) == _EXPLAINED_COUNT_MAX:
            break
        lines.append(line.shown())
    keys = [
        {"key": k, "values": {"items": [{"value": v} for v in values]}}
        for k, values in sorted(context.items())
    ]
    return {
        "allowed": False,
        "explicitDeny": decision.explicit,
        "reason": decision.reason.replace("{action}", action),
        "matchedStatements": {"items": [one for one in lines if one["covers"]]},
        "failures": {"items": []},
        "context": {
            "principal": {"id": who.user_id, "name": who.name, "arn": who.arn},
            "action": action,
            "resource": resource,
            "conditions": {"items": keys},
        },
        "statements": lines,
        "policies": [f"{source.name} ({source.kind})" for source in sources],
        "owner": owner,
    }
