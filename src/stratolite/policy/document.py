"""A policy document: parsed, checked as AWS checks it, compiled to matchers.

Source  https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stratolite.policy.conditions import OPERATORS, WILD, Test
from stratolite.policy.patterns import ANY, ONE, Context, Text, matches, matches_alike, text

_VERSIONS = ("2012-10-17", "2008-10-17")
_STATEMENT_FIELDS = {
    "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction",
    "Resource", "NotResource", "Condition",
}  # fmt: skip


class Malformed(Exception):
    """The document is not a policy; the text says why, in AWS's words where they are known."""


@dataclass(frozen=True, slots=True)
class Statement:
    sid: str
    allow: bool
    principals: tuple[tuple[str, str], ...] | None
    """(kind, pattern): ("AWS", "*"), ("Service", "lambda.amazonaws.com"); None in identity policies."""
    principals_negated: bool
    actions: tuple[str, ...]
    actions_negated: bool
    resources: tuple[str, ...]
    resources_negated: bool
    tests: tuple[Test, ...]
    compiled: tuple[tuple[Text, ...], tuple[Text, ...]]
    """``actions`` in lower case and ``resources``, to be matched."""

    def covers(self, action: str, resource: str, context: Context) -> bool:
        """Whether action, resource and conditions match; the principal is the caller's part."""
        actions, resources = self.compiled
        lower = action.lower()
        if any(matches(p, lower, context) for p in actions) is self.actions_negated:
            return False
        if any(matches(p, resource, context) for p in resources) is self.resources_negated:
            return False
        return all(test.holds(context) for test in self.tests)

    def is_about(self, action: str) -> bool:
        lower = action.lower()
        return any(matches(p, lower, {}) for p in self.compiled[0]) is not self.actions_negated

    def is_of_all_or_none(self, start: str) -> bool:
        """Whether all resources that begin with ``start`` match, or none. May say no where it would take long to see."""
        return all(matches_alike(p, start) for p in self.compiled[1])


@dataclass(frozen=True, slots=True)
class Document:
    """``statements`` in order; ``text`` as it was given."""

    statements: tuple[Statement, ...]
    text: str

    @classmethod
    def parse(
        cls, source: str, *, has_principal: bool = False, any_resource: bool = False
    ) -> Document:
        """Raises Malformed. ``has_principal``: a resource or trust policy, whose statements must name one;
        ``any_resource``: what it says of resources need be no ARN, and then matches nothing.
        """
        try:
            data = json.loads(source)
        except (ValueError, RecursionError) as error:
            raise Malformed("Syntax errors in policy.") from error
        if ANY in source or ONE in source or "\\u0000" in source or "\\u0001" in source:
            raise Malformed("The policy contains characters that are not allowed.")
        if not isinstance(data, dict) or "Statement" not in data:
            raise Malformed("Syntax errors in policy.")
        if data.keys() - {"Version", "Id", "Statement"}:
            raise Malformed("Syntax errors in policy.")
        if data.get("Version", "2008-10-17") not in _VERSIONS:
            raise Malformed("The policy must contain a valid version string")
        raw = data["Statement"]
        statements = raw if isinstance(raw, list) else [raw]
        variables = data.get("Version") == "2012-10-17"
        parsed = tuple(_statement(s, has_principal, any_resource, variables) for s in statements)
        sids = [s.sid for s in parsed if s.sid]
        if len(sids) != len(set(sids)):
            raise Malformed("Statement IDs (SID) in a single policy must be unique.")
        return cls(parsed, source)


def _statement(raw: Any, has_principal: bool, any_resource: bool, variables: bool) -> Statement:
    if not isinstance(raw, dict) or raw.keys() - _STATEMENT_FIELDS:
        raise Malformed("Syntax errors in policy.")
    if raw.get("Effect") not in ("Allow", "Deny"):
        raise Malformed("Syntax errors in policy.")
    if ("Action" in raw) == ("NotAction" in raw):
        raise Malformed("Policy statement must contain actions.")
    named = "Principal" in raw or "NotPrincipal" in raw
    if named and not has_principal:
        raise Malformed("Policy document should not specify a principal.")
    if has_principal and not named:
        raise Malformed("Missing required field Principal")
    if not has_principal and ("Resource" in raw) == ("NotResource" in raw):
        raise Malformed("Policy statement must contain resources.")
    actions = _strings(raw.get("Action", raw.get("NotAction")))
    if any(a != "*" and ":" not in a for a in actions):
        raise Malformed(
            "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
        )
    resources = _strings(raw.get("Resource", raw.get("NotResource", "*")))
    if not any_resource and any(r != "*" and ":" not in r for r in resources):
        bad = next(r for r in resources if r != "*" and ":" not in r)
        raise Malformed(f'Resource {bad} must be in ARN format or "*".')
    return Statement(
        sid=str(raw.get("Sid", "")),
        allow=raw["Effect"] == "Allow",
        principals=_principals(raw.get("Principal", raw.get("NotPrincipal"))) if named else None,
        principals_negated="NotPrincipal" in raw,
        actions=actions,
        actions_negated="NotAction" in raw,
        resources=resources,
        resources_negated="NotResource" in raw,
        tests=_tests(raw.get("Condition", {}), variables),
        compiled=(
            tuple(text(a.lower(), wild=True, variables=False) for a in actions),
            tuple(text(r, wild=True, variables=variables) for r in resources),
        ),
    )


def _strings(raw: Any) -> tuple[str, ...]:
    values = raw if isinstance(raw, list) else [raw]
    if not values or not all(isinstance(v, str) for v in values):
        raise Malformed("Syntax errors in policy.")
    return tuple(values)


def _principals(raw: Any) -> tuple[tuple[str, str], ...]:
    if raw == "*":
        return (("AWS", "*"),)
    if not isinstance(raw, dict) or raw.keys() - {"AWS", "Service", "Federated", "CanonicalUser"}:
        raise Malformed("Syntax errors in policy.")
    return tuple((kind, value) for kind, values in raw.items() for value in _strings(values))


def _tests(raw: Any, variables: bool) -> tuple[Test, ...]:
    if not isinstance(raw, Mapping):
        raise Malformed("Syntax errors in policy.")
    tests: list[Test] = []
    for operator, keys in raw.items():
        prefix, _, base = operator.rpartition(":")
        if_exists = base.endswith("IfExists")
        base = base.removesuffix("IfExists")
        if keys == {}:
            continue  # an operator without keys asks nothing, whatever it is called
        if base not in OPERATORS or prefix not in ("", "ForAnyValue", "ForAllValues"):
            raise Malformed(f"Invalid Condition type : {operator}.")
        if base == "Null" and (if_exists or prefix):
            raise Malformed(f"Invalid Condition type : {operator}.")
        if not isinstance(keys, Mapping):
            raise Malformed("Syntax errors in policy.")
        for key, values in keys.items():
            listed = values if isinstance(values, list) else [values]
            if any(isinstance(v, dict | list) or v is None for v in listed):
                raise Malformed("Syntax errors in policy.")
            plain = [str(v).lower() if isinstance(v, bool) else str(v) for v in listed]
            if base == "Null":
                plain = [p.lower() for p in plain]
            made = tuple(text(p, wild=base in WILD, variables=variables) for p in plain)
            tests.append(Test(base, key.lower(), tuple(plain), made, prefix, if_exists))
    return tuple(tests)
