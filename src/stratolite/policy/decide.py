"""The evaluation logic: explicit deny first, then what must allow, by the kind of principal.

Within one account an allow by the identity's policies or by the resource's policy is enough; across
accounts both are needed. A permissions boundary and a session policy limit what identity policies
give. AWS services act by the resource's policy alone.

Source  https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-denyallow.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stratolite.policy.conditions import Context
from stratolite.policy.document import Document, Statement


@dataclass(frozen=True, slots=True)
class Question:
    """``kind``, ``arn``, ``name`` and ``account`` are the principal's, as in ``service.Principal``."""

    kind: str
    account: str
    arn: str
    name: str
    action: str
    resource: str
    resource_account: str
    context: Context
    role_arn: str = ""
    """The role behind an assumed-role session."""


@dataclass(frozen=True, slots=True)
class Decision:
    """``by`` is the statement that decided, None for an implicit deny."""

    allowed: bool
    reason: str
    by: Statement | None = None


def decide(
    question: Question,
    *,
    identity: Sequence[Document] = (),
    resource_policy: Document | None = None,
    boundary: Document | None = None,
    session: Document | None = None,
) -> Decision:
    for where, documents in (
        ("identity-based policy", identity),
        ("permissions boundary", (boundary,) if boundary else ()),
        ("session policy", (session,) if session else ()),
    ):
        for document in documents:
            for statement in document.statements:
                if not statement.allow and _covers(statement, question):
                    return Decision(False, f"with an explicit deny in an {where}", statement)
    by_resource: Statement | None = None
    by_resource_exact = False
    for statement in resource_policy.statements if resource_policy else ():
        matched = _principal_matches(statement, question)
        if matched and _covers(statement, question):
            if not statement.allow:
                return Decision(
                    False, "with an explicit deny in a resource-based policy", statement
                )
            if matched == ACCOUNT and question.account == question.resource_account:
                continue  # the account delegates to its own identity policies
            if by_resource is None or matched == EXACT:
                by_resource, by_resource_exact = statement, matched == EXACT
    if question.kind in ("service", "anonymous"):
        if by_resource:
            return Decision(True, "resource-based policy", by_resource)
        return Decision(False, "because no resource-based policy allows the {action} action")
    same_account = question.account == question.resource_account
    by_identity = _root(question) or _allowed_by(identity, question)
    limited = all(
        limit is None or _allowed_by((limit,), question) is not None
        for limit in (boundary, session)
    )
    if same_account:
        if by_resource and (by_resource_exact or limited):
            return Decision(True, "resource-based policy", by_resource)
        if by_identity and limited:
            return Decision(True, "identity-based policy", _statement(by_identity))
    elif by_resource and by_identity and limited:
        return Decision(True, "resource-based and identity-based policy", by_resource)
    if by_identity and not limited:
        kind = "permissions boundary" if boundary else "session policy"
        return Decision(False, f"because no {kind} allows the {{action}} action")
    if not same_account and not by_resource:
        return Decision(False, "because no resource-based policy allows the {action} action")
    return Decision(False, "because no identity-based policy allows the {action} action")


def _covers(statement: Statement, question: Question) -> bool:
    return statement.covers(question.action, question.resource, question.context)


def _root(question: Question) -> bool:
    return question.kind == "root"


def _statement(found: Statement | bool) -> Statement | None:
    return found if isinstance(found, Statement) else None


def _allowed_by(documents: Sequence[Document], question: Question) -> Statement | None:
    for document in documents:
        for statement in document.statements:
            if statement.allow and _covers(statement, question):
                return statement
    return None


ACCOUNT, ROLE_OR_ANYONE, EXACT = 1, 2, 3


def _principal_matches(statement: Statement, question: Question) -> int:
    """0 no, else how closely the statement names the principal: it decides what may limit it."""
    if statement.principals is None:
        return ROLE_OR_ANYONE
    best = max((_one(kind, value, question) for kind, value in statement.principals), default=0)
    if statement.principals_negated:
        return 0 if best else ROLE_OR_ANYONE
    return best


def _one(kind: str, value: str, question: Question) -> int:
    if kind == "Service":
        return EXACT if question.kind == "service" and value == question.name else 0
    if kind != "AWS":
        return 0
    if value == "*":
        return ROLE_OR_ANYONE
    if question.kind in ("service", "anonymous"):
        return 0
    if value in (question.account, f"arn:aws:iam::{question.account}:root"):
        return EXACT if question.kind == "root" else ACCOUNT
    if value == question.arn:
        return EXACT
    return ROLE_OR_ANYONE if value == question.role_arn else 0
