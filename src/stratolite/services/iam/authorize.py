"""Asks ``policy`` whether a call may go on: gathers the principal's policies and the request's context.

The one place where AccessDenied is raised, worded as AWS words it for each protocol's services.
Source  https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
"""

from __future__ import annotations

from datetime import UTC, datetime

from stratolite.errors import Fault
from stratolite.policy import Decision, Document, Question, decide
from stratolite.service import Call, Principal, Request, Service
from stratolite.services.iam import state

_ALWAYS = frozenset({("sts", "GetCallerIdentity"), ("sts", "GetSessionToken")})
_CODES = {
    "s3": "AccessDenied",
    "iam": "AccessDenied",
    "sts": "AccessDenied",
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
    return Fault(code, text, status=403 if code == "AccessDenied" else 400)


def _decide(
    call: Call, service: Service, action: str, resource: str, asked: tuple[str, Request]
) -> Decision:
    who = call.principal
    owner = service.resource_account(call, resource)
    text = service.resource_policy(call, resource)
    resource_policy = _parse(text) if text else None
    if who.kind == "root" and who.account == owner and resource_policy is None:
        return Decision(True, "root")
    role_arn = ""
    identity: list[Document] = []
    boundary = session = None
    if who.kind in ("user", "role"):
        record = state.get(call.tx, who.account, who.kind, who.name)
        if record is None or not _same_holder(who, record):
            return Decision(False, "because the identity no longer exists")
        role_arn = record["Arn"] if who.kind == "role" else ""
        identity = state.identity_documents(call.tx, who.account, who.kind, who.name)
        if limit := record.get("PermissionsBoundary"):
            boundary = state.managed_document(call.tx, who.account, limit["PermissionsBoundaryArn"])
        if who.session_policy:
            session = Document.parse(who.session_policy)
    context = _context(call) | service.condition_keys(call, *asked, (action, resource))
    question = Question(
        who.kind, who.account, who.arn, who.name, action, resource, owner, context, role_arn
    )
    return decide(
        question,
        identity=identity,
        resource_policy=resource_policy,
        boundary=boundary,
        session=session,
    )


def _same_holder(who: Principal, record: state.Record) -> bool:
    """A role or user made again under an old name is another one."""
    unique = record.get("RoleId") or record.get("UserId")
    return not who.user_id or who.user_id.split(":")[0] == unique


_documents: dict[str, Document] = {}


def _parse(text: str) -> Document:
    """Compiled by text: the text is the truth, this only saves compiling it again."""
    found = _documents.get(text)
    if found is None:
        if len(_documents) > 1000:
            _documents.clear()
        found = _documents[text] = Document.parse(text, has_principal=True)
    return found


def _context(call: Call) -> dict[str, list[str]]:
    who = call.principal
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
    if who.source_arn:
        context["aws:sourcearn"] = [who.source_arn]
        context["aws:sourceaccount"] = [who.source_account]
    for key, value in call.context.items():
        context[key.lower()] = [value]
    return context
