"""What would be decided: SimulatePrincipalPolicy, SimulateCustomPolicy, and the keys that policies look at.

They ask the same rules as ``authorize`` and keep nothing.
Source  https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from stratolite.errors import Fault
from stratolite.policy import Decision, Document, Malformed, Question, Statement, decide
from stratolite.service import Call, Request, Response, is_number
from stratolite.services.iam import holders, names, state

_ACCOUNT = re.compile(r"(?:arn:aws:iam::)?(\d{12})(?::.*)?")
_ARN = re.compile(r"arn:aws:iam::(\d{12}):(user|role|group)/(?:.*/)?([\w+=,.@-]+)\Z", re.ASCII)
_VARIABLE = re.compile(r"\$\{([^},]+)")
Source = tuple[str, str, Document]
"""(policy id, policy type, document)"""


class Simulation:
    """Mixed into ``Iam``."""

    def simulate_principal_policy(self, call: Call, request: Request) -> Response:
        kind, name, record = _principal(call, request["PolicySourceArn"])
        sources = _sources(call, kind, name)
        sources += _given(request.get("PolicyInputList", ()), "PolicyInputList")
        boundaries = _given(
            request.get("PermissionsBoundaryPolicyInputList", ()),
            "PermissionsBoundaryPolicyInputList",
        )
        if not boundaries and (limit := record.get("PermissionsBoundary")):
            arn = limit["PermissionsBoundaryArn"]
            document = state.managed_document(call.tx, call.account, arn) or Document((), "")
            boundaries = [(arn, "IAM Policy", document)]
        levels = [
            [document for _, document in level]
            for level in state.service_control(call.tx, call.account)
        ]
        if record.get("Linked"):
            levels = []
        return _simulated(request, sources, boundaries, record["Arn"], kind, levels)

    def simulate_custom_policy(self, call: Call, request: Request) -> Response:
        sources = _given(request["PolicyInputList"], "PolicyInputList")
        boundaries = _given(
            request.get("PermissionsBoundaryPolicyInputList", ()),
            "PermissionsBoundaryPolicyInputList",
        )
        return _simulated(
            request, sources, boundaries, f"arn:aws:iam::{call.account}:user/x", "user", []
        )

    def get_context_keys_for_custom_policy(self, call: Call, request: Request) -> Response:
        found = _given(request["PolicyInputList"], "PolicyInputList")
        return {"ContextKeyNames": _context_keys(found)}

    def get_context_keys_for_principal_policy(self, call: Call, request: Request) -> Response:
        kind, name, _ = _principal(call, request["PolicySourceArn"])
        found = _sources(call, kind, name)
        found += _given(request.get("PolicyInputList", ()), "PolicyInputList")
        return {"ContextKeyNames": _context_keys(found)}


def _principal(call: Call, arn: str) -> tuple[str, str, dict[str, Any]]:
    match = _ARN.match(arn)
    if match is None or match[1] != call.account:
        raise Fault(
            "InvalidInput",
            f"Invalid Entity Arn: {arn} does not clearly define entity type and name.",
        )
    record = holders.load(call, match[2], match[3])
    if record["Arn"] != arn:
        raise names.missing(match[2], match[3])
    return match[2], match[3], record


def _sources(call: Call, kind: str, name: str) -> list[Source]:
    """Every identity policy with the name AWS's simulator gives it."""
    of = [(kind, name)]
    if kind == "user":
        of += [("group", group) for group in state.groups_of(call.tx, call.account, name)]
    found: list[Source] = []
    for title, called in of:
        for policy, text in state.inline(call.tx, call.account, title, called):
            found.append((f"{title}_{called}_{policy}", title, Document.parse(text)))
        found += [
            (arn.rsplit("/", 1)[-1], "IAM Policy", document)
            for arn in state.attached(call.tx, call.account, title, called)
            if (document := state.managed_document(call.tx, call.account, arn))
        ]
    return found


def _given(texts: Iterable[str], field: str) -> list[Source]:
    found: list[Source] = []
    for number, text in enumerate(texts, 1):
        try:
            found.append((f"{field}.{number}", "IAM Policy", Document.parse(text)))
        except Malformed as error:
            raise Fault("InvalidInput", f"Invalid policy document in {field}: {error}") from error
    return found


def _simulated(
    request: Request,
    sources: list[Source],
    boundaries: list[Source],
    arn: str,
    kind: str,
    levels: list[list[Document]],
) -> Response:
    account = arn.split(":")[4]
    caller = request.get("CallerArn", arn)
    resource_policy = None
    if text := request.get("ResourcePolicy"):
        try:
            resource_policy = Document.parse(text, has_principal=True)
        except Malformed as error:
            raise Fault("InvalidInput", f"Invalid resource policy: {error}") from error
    owner = account
    if given := request.get("ResourceOwner"):
        found = _ACCOUNT.fullmatch(given)
        if found is None:
            raise Fault("InvalidInput", f"Invalid resource owner: {given}")
        owner = found[1]
    context = {"aws:principalarn": [caller], "aws:principalaccount": [account]}
    if kind == "user":
        context["aws:username"] = [caller.rsplit("/", 1)[-1]]
    for number, entry in enumerate(request.get("ContextEntries", ()), 1):
        if "ContextKeyName" not in entry:  # the model does not ask for it
            raise Fault("InvalidInput", f"Context entry {number} has no ContextKeyName.")
        context[entry["ContextKeyName"].lower()] = entry.get("ContextKeyValues", [])
    boundary = None
    if boundaries:
        boundary = Document(tuple(s for _, _, d in boundaries for s in d.statements), "")
    results: list[dict[str, Any]] = []
    for action in request["ActionNames"]:
        if ":" not in action:
            raise Fault("InvalidInput", f"Invalid action name: {action}")
        for resource in request.get("ResourceArns") or ["*"]:
            question = Question(
                kind, account, caller, caller.rsplit("/", 1)[-1], action, resource, owner, context,
            )  # fmt: skip
            decision = decide(
                question,
                identity=[d for _, _, d in sources],
                resource_policy=resource_policy,
                boundary=boundary,
                service_control=levels,
            )
            every = [*sources, *boundaries]
            if resource_policy:
                every.append(("ResourcePolicy", "Resource Policy", resource_policy))
            result = _result(question, decision, every, bool(boundaries), boundary)
            if levels:
                inside = all(decide(question, identity=level).allowed for level in levels)
                result["OrganizationsDecisionDetail"] = {"AllowedByOrganizations": inside}
            results.append(result)
    limit, marker = request.get("MaxItems", 100), request.get("Marker") or "0"
    if not is_number(marker):
        raise Fault("ValidationError", "Invalid Marker.")
    start = int(marker)
    shown, more = results[start : start + limit], len(results) > start + limit
    return {"EvaluationResults": shown, "IsTruncated": more} | (
        {"Marker": str(start + limit)} if more else {}
    )


def _result(
    question: Question,
    decision: Decision,
    sources: list[Source],
    has_boundary: bool,
    boundary: Document | None,
) -> dict[str, Any]:
    matched = [
        {"SourcePolicyId": name, "SourcePolicyType": kind} | _where(document.text, statement)
        for name, kind, document in sources
        for statement in document.statements
        if statement.covers(question.action, question.resource, question.context)
        and (decision.allowed == statement.allow or not decision.explicit)
    ]
    used = {t.key for _, _, d in sources for s in d.statements for t in s.tests}
    out: dict[str, Any] = {
        "EvalActionName": question.action,
        "EvalResourceName": question.resource,
        "EvalDecision": "allowed"
        if decision.allowed
        else "explicitDeny"
        if decision.explicit
        else "implicitDeny",
        "MatchedStatements": matched,
        "MissingContextValues": sorted(k for k in used if k not in question.context),
    }
    if has_boundary and boundary is not None:
        inside = decide(question, identity=[boundary]).allowed
        out["PermissionsBoundaryDecisionDetail"] = {"AllowedByPermissionsBoundary": inside}
    return out


def _where(text: str, statement: Statement) -> dict[str, Any]:
    """Lines and columns of the statement in its document, found by its Sid; none without one."""
    at = text.find(f'"{statement.sid}"') if statement.sid else -1
    if at < 0:
        return {}
    start = text.rfind("{", 0, at)
    depth, end = 0, start
    for end in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if depth == 0:
            break
    return {"StartPosition": _position(text, start), "EndPosition": _position(text, end + 1)}


def _position(text: str, at: int) -> dict[str, int]:
    before = text[:at]
    return {"Line": before.count("\n") + 1, "Column": at - (before.rfind("\n") + 1)}


def _context_keys(sources: Sequence[Source]) -> list[str]:
    keys = {t.key for _, _, d in sources for s in d.statements for t in s.tests}
    for _, _, document in sources:
        keys |= {m.strip() for m in _VARIABLE.findall(document.text) if m not in "*?$"}
    return sorted(keys)
