"""The evaluation logic: explicit deny first, then what must allow, by the kind of principal.

Within one account an allow by the identity's policies or by the resource's policy is enough; across
accounts both are needed. Service control policies, a permissions boundary and session policies limit
and never give. AWS services act by the resource's policy alone.

Source  https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-denyallow.html
        https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stratolite.policy.document import Document, Statement
from stratolite.policy.patterns import Context

OUTSIDE = ("service", "anonymous", "provider")
"""Who has no identity policies: AWS services, anybody, and whom an identity provider vouches for."""


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
    """The role behind an assumed-role session, the user behind a federated one."""


@dataclass(frozen=True, slots=True)
class Decision:
    """``by`` is the statement that decided, None for an implicit deny."""

    allowed: bool
    reason: str
    by: Statement | None = None

    @property
    def explicit(self) -> bool:
        return self.by is not None or self.allowed


def decide(
    question: Question,
    *,
    identity: Sequence[Document] = (),
    resource_policy: Document | None = None,
    boundary: Document | None = None,
    sessions: Sequence[Document] | None = None,
    service_control: Sequence[Sequence[Document]] = (),
    resource_must_allow: bool = False,
) -> Decision:
    """``resource_must_allow``: a role's trust policy has to allow, whatever the identity's policies say; if
    it names the account, the identity's policies have to allow as well. Only root needs no trust of its own.

    ``sessions``: None without session policies; several are as one document.

    ``service_control``: per level (root, organizational units, account) the policies attached there;
    every level must allow. They say nothing about services and anonymous callers.
    """
    member = question.kind not in OUTSIDE
    levels = service_control if member else ()
    for where, documents in (
        ("a service control policy", [d for level in levels for d in level]),
        ("an identity-based policy", identity),
        ("a permissions boundary", (boundary,) if boundary else ()),
        ("a session policy", sessions or ()),
    ):
        for document in documents:
            for statement in document.statements:
                if not statement.allow and _covers(statement, question):
                    return Decision(False, f"with an explicit deny in {where}", statement)
    by_resource: Statement | None = None
    exact = delegated = False
    for statement in resource_policy.statements if resource_policy else ():
        matched = principal_matches(statement, question)
        if matched and _covers(statement, question):
            if not statement.allow:
                reason = "with an explicit deny in a resource-based policy"
                return Decision(False, reason, statement)
            if matched == ACCOUNT and question.account == question.resource_account:
                delegated = True  # the account leaves it to its own identity policies
                continue
            if by_resource is None or matched == EXACT:
                by_resource, exact = statement, exact or matched == EXACT
    if not member:
        if by_resource:
            return Decision(True, "resource-based policy", by_resource)
        return _silent("resource-based policy")
    if not all(_allowed_by(level, question) for level in levels):
        return _silent("service control policy")
    same_account = question.account == question.resource_account
    by_identity = _allowed_by(identity, question)
    given = by_identity is not None or question.kind == "root"
    limit = _limit(question, boundary, sessions)
    if same_account:
        if by_resource and (exact or not limit):
            return Decision(True, "resource-based policy", by_resource)
        trusted = delegated or not resource_must_allow or question.kind == "root"
        if given and not limit and trusted:
            return Decision(True, "identity-based policy", by_identity)
    elif by_resource and given and not limit:
        return Decision(True, "resource-based and identity-based policy", by_resource)
    if given and limit:
        return _silent(limit)
    if given:
        return _silent("resource-based policy")
    return _silent("identity-based policy")


def _silent(kind: str) -> Decision:
    return Decision(False, f"because no {kind} allows the {{action}} action")


def _limit(
    question: Question, boundary: Document | None, sessions: Sequence[Document] | None
) -> str:
    """What limits the principal and does not allow this; "" if nothing."""
    if sessions is not None and _allowed_by(sessions, question) is None:
        return "session policy"
    if boundary is not None and _allowed_by((boundary,), question) is None:
        return "permissions boundary"
    return ""


def _covers(statement: Statement, question: Question) -> bool:
    return statement.covers(question.action, question.resource, question.context)


def _allowed_by(documents: Sequence[Document], question: Question) -> Statement | None:
    for document in documents:
        for statement in document.statements:
            if statement.allow and _covers(statement, question):
                return statement
    return None


ACCOUNT, ROLE_OR_ANYONE, EXACT = 1, 2, 3


def principal_matches(statement: Statement, question: Question) -> int:
    """0 no, else how closely the statement names the principal: it decides what may limit it.

    NotPrincipal spares whom it names themselves, or by their role: naming an account spares its root
    user alone, as https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html
    wants user and account named together.
    """
    if statement.principals is None:
        return ROLE_OR_ANYONE
    best = max((_one(kind, value, question) for kind, value in statement.principals), default=0)
    if statement.principals_negated:
        return 0 if best >= ROLE_OR_ANYONE else ROLE_OR_ANYONE
    return best


def _one(kind: str, value: str, question: Question) -> int:
    if kind == "Service":
        return EXACT if question.kind == "service" and value == question.name else 0
    if kind == "Federated":
        return EXACT if question.kind == "provider" and value == question.name else 0
    if kind != "AWS":
        return 0
    if value == "*":
        return ROLE_OR_ANYONE
    if question.kind in OUTSIDE:
        return 0
    if value in (question.account, f"arn:aws:iam::{question.account}:root"):
        return EXACT if question.kind == "root" else ACCOUNT
    if value == question.arn:
        return EXACT
    return ROLE_OR_ANYONE if value == question.role_arn else 0
