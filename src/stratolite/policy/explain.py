"""Says of every statement whether it covers a request and, if not, what does not fit.

    for line in explain(question, [Source("bob's policy", "identity", document)]): ...

It asks the same matchers as ``decide``; it only does not stop at the first answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from stratolite.policy.conditions import Test
from stratolite.policy.decide import Question, principal_matches
from stratolite.policy.document import Document, Statement
from stratolite.policy.patterns import matches

_SHOWN_COUNT_MAX = 4


class Source(NamedTuple):
    """``kind`` is identity, resource, boundary, session or service control."""

    name: str
    kind: str
    document: Document


class Line(NamedTuple):
    """One statement: ``covers`` the request, or ``why`` not."""

    source: Source
    number: int
    statement: Statement
    covers: bool
    why: str

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        out: dict[str, Any] = {
            "policy": self.source.name,
            "kind": self.source.kind,
            "statement": self.statement.sid or self.number,
            "effect": "Allow" if self.statement.allow else "Deny",
            "covers": self.covers,
        }
        return out if self.covers else out | {"why": self.why}


def explain(question: Question, sources: Iterable[Source]) -> Iterator[Line]:
    for source in sources:
        for number, statement in enumerate(source.document.statements, 1):
            why = _misses(statement, question)
            yield Line(source, number, statement, not why, why)


def _misses(statement: Statement, question: Question) -> str:
    """What does not fit, "" if all does."""
    if statement.principals is not None and not principal_matches(statement, question):
        named = _few([value for _, value in statement.principals])
        return f"its principal is not the caller but {_not(statement.principals_negated)}{named}"
    actions, resources = statement.compiled
    lower = question.action.lower()
    if any(matches(p, lower, question.context) for p in actions) is statement.actions_negated:
        return f"its action is {_not(statement.actions_negated)}{_few(statement.actions)}"
    hit = any(matches(p, question.resource, question.context) for p in resources)
    if hit is statement.resources_negated:
        return f"its resource is {_not(statement.resources_negated)}{_few(statement.resources)}"
    for test in statement.tests:
        if not test.holds(question.context):
            return _unmet(test, question)
    return ""


def _unmet(test: Test, question: Question) -> str:
    operator = f"{test.quantifier}:{test.operator}" if test.quantifier else test.operator
    operator += "IfExists" if test.if_exists else ""
    has = question.context.get(test.key)
    found = f"the request has {_few(has)}" if has else "the request has no such key"
    return f"its condition {operator} {test.key} wants {_few(test.wanted)}, {found}"


def _not(negated: bool) -> str:
    return "not " if negated else ""


def _few(values: Sequence[str]) -> str:
    shown = ", ".join(values[:_SHOWN_COUNT_MAX])
    return (
        shown
        if len(values) <= _SHOWN_COUNT_MAX
        else f"{shown} and {len(values) - _SHOWN_COUNT_MAX} more"
    )
