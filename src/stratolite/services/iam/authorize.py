"""Asks ``policy`` whether a call may go on: gathers the principal's policies and the request's context.

The one place where AccessDenied is raised, worded as AWS words it for each protocol's services.
Source  https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
"""

from __future__ import annotations

from datetime import UTC, datetime

import orjson

from stratolite.errors import Fault
from stratolite.policy import Decision, Document, Question, Rules
from stratolite.policy.patterns import Context
from stratolite.service import Call, Principal, Request, Service
from stratolite.services.iam import state

_ALWAYS = frozenset({("sts", "GetCallerIdentity"), ("sts", "GetSessionToken")})
_RULES_COUNT_MAX = 10_000
_CODES = {
    "s3": "AccessDenied",
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
    if (
        who.kind == "root"
        and who.account == call.account
        and service.is_owners_alone(call, operation, request)
    ):
        return
    if (service.name, operation) in _ALWAYS and who.kind != "anonymous":
        return
    for action, resource in service.access(call, operation, request):
        decision = _decide(call, service, action, resource, (operation, request))
        if not decision.allowed:
            raise denied(service.name, who, action, resource, decision)


def denied(service: str, who: Principal, action: str, resource: str, decision: Decision) -> Fault:
    code = _CODES.get(service, "AccessDeniedException")
    if who.kind == "anonymous":
        return Fault(code, "Access Denied", status=403)
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
    text = service.resource_policy(call, resource)
    resource_policy = parse_resource_policy(text) if text else None
    if who.kind == "root" and who.account == owner and resource_policy is None:
        return Decision(True, "root")
    rules, role_arn = rules_of(call, who)
    if rules is None:
        return Decision(False, "because the identity no longer exists")

    def question(context: Context) -> Question:
        return Question(
            who.kind, who.account, who.arn, who.name, action, resource, owner, context, role_arn
        )

    def context() -> Context:
        return context_of(call, who) | service.condition_keys(call, *asked, (action, resource))

    key = (action, resource, owner) if text is None else (action, resource, owner, who.arn, text)
    trust = service.name == "sts" and resource != "*"
    return rules.decide(key, question, context, resource_policy, resource_must_allow=trust)


_NOBODYS = ("service", "anonymous", "root")


def rules_of(call: Call, who: Principal) -> tuple[Rules | None, str]:
    """The principal's rules and the role or user behind its session; None for an identity that is gone."""
    if who.kind in _NOBODYS:
        return Rules(), ""
    memo = state.memo(call.tx, who.account)
    key = (who.kind, who.name, who.user_id, who.session_policy)
    if memo is not None and (kept := memo.rules.get(key)) is not None:
        return kept  # type: ignore[no-any-return]
    made = _gather(call, who)
    if memo is not None and made[0] is not None:
        if len(memo.rules) >= _RULES_COUNT_MAX:
            memo.rules.clear()
        memo.rules[key] = made
    return made


def _gather(call: Call, who: Principal) -> tuple[Rules | None, str]:
    kind = "role" if who.kind == "role" else "user"
    record = state.get(call.tx, who.account, kind, who.name)
    if record is None or not _same_holder(who, record):
        return None, ""
    boundary = None
    if limit := record.get("PermissionsBoundary"):
        arn = limit["PermissionsBoundaryArn"]
        boundary = state.managed_document(call.tx, who.account, arn) or Document((), "")
    sessions = None
    if who.session_policy:
        sessions = [_session(call, who, one) for one in _session_policies(who.session_policy)]
    identity = state.identity_documents(call.tx, who.account, kind, who.name)
    return Rules(identity, boundary, sessions), record["Arn"] if who.kind != "user" else ""


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
        found = _documents[text] = Document.parse(text, has_principal=True)
    return found


def context_of(call: Call, who: Principal) -> dict[str, list[str]]:
    """The condition keys every request has."""
    now = datetime.fromtimestamp(call.tx.time_s, UTC)
    context = {
        "aws:currenttime": [now.strftime("%Y-%m-%dT%H:%M:%SZ")],
        "aws:epochtime": [str(int(call.tx.time_s))],
        "aws:requestedregion": [call.region],
        "aws:principalaccount": [who.account],
        "aws:principalarn": [who.arn],
        "aws:principaltype": [
            {"root": "Account", "user": "User", "role": "AssumedRole"}.get(who.kind, "Anonymous")
        ],
        "aws:userid": [who.user_id],
    }
    if who.kind == "user":
        context["aws:username"] = [who.name]
        if who.access_key_id.startswith("ASIA"):
            context["aws:multifactorauthpresent"] = ["true" if who.mfa_s else "false"]
    if who.kind == "role":
        context["aws:multifactorauthpresent"] = ["true" if who.mfa_s else "false"]
    if who.mfa_s:
        context["aws:multifactorauthage"] = [str(int(call.world.wall() - who.mfa_s))]
    context |= {f"aws:principaltag/{k.lower()}": [v] for k, v in _tags(call, who).items()}
    if who.source_arn:
        context["aws:sourcearn"] = [who.source_arn]
        context["aws:sourceaccount"] = [who.source_account]
    for key, value in call.context.items():
        context[key.lower()] = [value]
    return context


def _tags(call: Call, who: Principal) -> dict[str, str]:
    """The role's or user's own tags, and over them the session's."""
    if who.kind not in ("user", "role", "federated"):
        return {}
    holder = state.get(call.tx, who.account, "role" if who.kind == "role" else "user", who.name)
    held = {t["Key"]: t["Value"] for t in (holder or {}).get("Tags", ())}
    given: dict[str, str] = orjson.loads(who.session_tags or "{}").get("tags", {})
    over = {k.lower() for k in given}
    return {k: v for k, v in held.items() if k.lower() not in over} | given
