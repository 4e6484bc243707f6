"""Random policies and requests, decided by ours and by the naive evaluator: they must agree.

100,000 with STRATOLITE_SOAK=1 (STRATOLITE_POLICY_EXAMPLES for another number), 4,000 in every test run.
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policy import naive

from stratolite.policy import Document, Question, Rules, decide

SOAK = os.environ.get("STRATOLITE_SOAK") == "1"
COUNT = int(os.environ.get("STRATOLITE_POLICY_EXAMPLES", "100000" if SOAK else "4000"))
BATCH = 50
A, B = "111111111111", "222222222222"
USER, ROLE = f"arn:aws:iam::{A}:user/ann", f"arn:aws:iam::{A}:role/r"
SESSION = f"arn:aws:sts::{A}:assumed-role/r/s"
FEDERATED = f"arn:aws:sts::{A}:federated-user/bob"
PROVIDER = f"arn:aws:iam::{A}:oidc-provider/x.example"
ACTIONS = ["s3:GetObject", "s3:PutObject", "sqs:SendMessage"]
RESOURCES = [f"arn:aws:s3:::{n}" for n in ("b/ann/x", "b/bob/x", "b/*", "b")]
KEYS: dict[str, list[str]] = {
    "aws:username": ["ann", "bob", "*", "a?n"],
    "aws:PrincipalTag/team": ["red", "Red", "*"],
    "aws:TagKeys": ["a", "b", "c"],
    "s3:max-keys": ["1", "2", "2.0", "x"],
    "aws:CurrentTime": ["2026-01-01T00:00:00Z", "2026-01-01T01:00:00+00:00", "no date"],
    "aws:SourceIp": ["10.0.0.1", "10.0.1.1", "2001:db8::1", "nowhere"],
    "aws:SecureTransport": ["true", "false"],
    "aws:SourceArn": ["arn:aws:sns:us-east-1:1:t", "arn:aws:sns:us-east-1:2:t:u", "t"],
    "app:blob": ["AAA=", "QUJD", "!"],
}
FOR_TYPE = {
    "String": ["ann", "red", "RED", "a*", "?", "${aws:username}", "${aws:PrincipalTag/team, 'red'}",
               "${*}", "${nothing}", "*"],
    "Numeric": ["1", "2", "3", "x"],
    "Date": ["2026-01-01T00:00:00Z", "2026-01-01T00:30:00Z", "never"],
    "Bool": ["true", "False"],
    "Null": ["true", "false"],
    "Binary": ["QUJD", "AAA=", "?"],
    "Ip": ["10.0.0.0/24", "10.0.0.1", "2001:db8::/32", "x"],
    "Arn": ["arn:aws:sns:*:*:t", "arn:aws:sns:us-east-1:1:*", "arn:aws:sns:us-east-?:?:t*", "*",
            "arn:aws:sns:us-east-1:1:${aws:username}"],
}  # fmt: skip
_ORDER = ["Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals"]
OPERATORS = {
    "String": ["StringEquals", "StringNotEquals", "StringEqualsIgnoreCase",
               "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike"],
    "Numeric": ["Numeric" + o for o in _ORDER],
    "Date": ["Date" + o for o in _ORDER],
    "Bool": ["Bool"],
    "Null": ["Null"],
    "Binary": ["BinaryEquals"],
    "Ip": ["IpAddress", "NotIpAddress"],
    "Arn": ["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"],
}  # fmt: skip
NATURAL = {
    "Numeric": "s3:max-keys", "Date": "aws:CurrentTime", "Bool": "aws:SecureTransport",
    "Binary": "app:blob", "Ip": "aws:SourceIp", "Arn": "aws:SourceArn",
}  # fmt: skip


class Dice:
    """One random case after another from one seed: a case costs microseconds, and repeats for its seed."""

    def __init__(self, seed: int) -> None:
        self.rand = random.Random(seed)

    def pick(self, values: Any) -> Any:
        return self.rand.choice(values)

    def some(self, values: list[str], most: int = 2) -> Any:
        if self.rand.random() < 0.5:
            return self.pick(values)
        return [self.pick(values) for _ in range(self.rand.randint(1, most))]

    def conditions(self) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for _ in range(self.rand.randint(0, 2)):
            kind = self.pick(sorted(OPERATORS))
            operator = self.pick(OPERATORS[kind])
            if kind != "Null":
                operator = self.pick(["", "", "ForAnyValue:", "ForAllValues:"]) + operator
                operator += self.pick(["", "", "IfExists"])
            anything = kind not in NATURAL or self.rand.random() < 0.5
            key = self.pick(sorted(KEYS)) if anything else NATURAL[kind]
            made.setdefault(operator, {})[key] = self.some(FOR_TYPE[kind], 3)
        return made

    def statement(self, *, principal: bool) -> dict[str, Any]:
        made: dict[str, Any] = {"Effect": self.pick(["Allow", "Allow", "Allow", "Deny"])}
        made[self.pick(["Action", "Action", "Action", "NotAction"])] = self.some(
            ["*", "s3:*", "S3:get*", "s3:?etObject", "sqs:SendMessage", "s3:PutObject"]
        )
        made[self.pick(["Resource", "Resource", "Resource", "NotResource"])] = self.some([
            "*", "arn:aws:s3:::b/*", "arn:aws:s3:::b/${aws:username}/*", "arn:aws:s3:::b",
            "arn:aws:s3:::b/${*}", "arn:aws:s3:::?/*/x", "arn:aws:s3:::b/${aws:username, 'bob'}/?",
        ])  # fmt: skip
        if principal:
            made[self.pick(["Principal", "Principal", "NotPrincipal"])] = self.principal()
        if condition := self.conditions():
            made["Condition"] = condition
        return made

    def principal(self) -> Any:
        kind = self.rand.randrange(5)
        if kind == 0:
            return "*"
        if kind == 1:
            return {"Service": self.some(["sns.amazonaws.com", "s3.amazonaws.com"])}
        if kind == 2:
            return {"Federated": self.some([PROVIDER, "other"]), "AWS": self.some([B])}
        return {
            "AWS": self.some(["*", A, f"arn:aws:iam::{A}:root", USER, ROLE, SESSION, FEDERATED, B])
        }

    def policy(self, *, principal: bool = False) -> dict[str, Any]:
        listed = [self.statement(principal=principal) for _ in range(self.rand.randint(1, 3))]
        return {"Version": "2012-10-17", "Statement": listed}

    def policies(self, most: int = 2) -> list[dict[str, Any]]:
        return [self.policy() for _ in range(self.rand.randint(0, most))]

    def maybe(self, made: Any) -> Any:
        return made() if self.rand.random() < 0.5 else None

    def request(self) -> dict[str, Any]:
        context = {}
        for key in self.rand.sample(sorted(KEYS), self.rand.randint(0, len(KEYS))):
            many = key == "aws:TagKeys"
            count = self.rand.randint(0, 3) if many else 1
            context[key.lower()] = [self.pick(KEYS[key]) for _ in range(count)]
        return self.pick(WHO[1:3] + WHO) | {
            "account": A,
            "owner": self.pick([A, A, B]),
            "action": self.pick(ACTIONS),
            "resource": self.pick(RESOURCES),
            "context": context,
        }


WHO = [
    {"kind": "root", "arn": f"arn:aws:iam::{A}:root", "name": "", "role": ""},
    {"kind": "user", "arn": USER, "name": "ann", "role": ""},
    {"kind": "role", "arn": SESSION, "name": "r", "role": ROLE},
    {"kind": "service", "arn": "x", "name": "sns.amazonaws.com", "role": ""},
    {"kind": "anonymous", "arn": "", "name": "", "role": ""},
    {"kind": "federated", "arn": FEDERATED, "name": "ann", "role": USER},
    {"kind": "provider", "arn": PROVIDER, "name": PROVIDER, "role": ""},
]


def compiled(policy: dict[str, Any], *, has_principal: bool = False) -> Document:
    return Document.parse(json.dumps(policy), has_principal=has_principal)


@pytest.mark.timeout(7200 if SOAK else 400)
@settings(max_examples=COUNT // BATCH, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**64))
def test_ours_decides_as_the_naive_evaluator_and_as_kept(seed: int) -> None:
    """Hypothesis keeps the seed of a failure; the case it prints is whole."""
    dice = Dice(seed)
    for _ in range(BATCH):
        agree(dice)


OBJECTS = [f"arn:aws:s3:::b/{n}" for n in ("ann/x", "bob/x", "*", "", "red/${*}", "x", "a\n")]


@pytest.mark.timeout(7200 if SOAK else 400)
@settings(max_examples=COUNT // BATCH // 2, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**64))
def test_what_is_decided_alike_is_decided_so_for_each_object(seed: int) -> None:
    """Of what is remembered for a whole bucket no object may be an exception."""
    dice = Dice(seed)
    for _ in range(BATCH):
        sessions = dice.maybe(dice.policies)
        rules = Rules(
            [compiled(p) for p in dice.policies()],
            compiled(dice.policy()) if dice.rand.random() < 0.3 else None,
            None if sessions is None else [compiled(p) for p in sessions],
        )
        action, ask = dice.pick(ACTIONS), dice.request()
        if not rules.decide_alike(action, "arn:aws:s3:::b/"):
            continue
        found = {
            decide(
                Question(
                    ask["kind"], A, ask["arn"], ask["name"], action, resource, A, ask["context"], ask["role"]
                ),
                identity=rules.identity, boundary=rules.boundary, sessions=rules.sessions,
            ).allowed
            for resource in OBJECTS
        }  # fmt: skip
        assert len(found) == 1, (rules, action, ask)


@pytest.mark.parametrize(
    ("pattern", "alike"),
    [
        ("*", True), ("arn:aws:s3:::*", True), ("arn:aws:s3:::b*", True), ("arn:aws:s3:::b/*", True),
        ("arn:aws:s3:::b/**", True), ("arn:aws:s3:::b", True), ("arn:aws:s3:::c/*", True), ("arn:aws:s3:::c/?", True),
        ("arn:aws:s3:::b/a*", False), ("arn:aws:s3:::b/", False), ("arn:aws:s3:::b/x", False),
        ("arn:aws:s3:::*/x", False), ("arn:aws:s3:::b/?*", False), ("arn:aws:s3:::?/*", False),
        ("arn:aws:s3:::b/${aws:username}/*", False),
    ],
)  # fmt: skip
def test_which_patterns_tell_the_objects_of_a_bucket_apart(pattern, alike) -> None:
    allow = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": pattern}
    rules = Rules([compiled({"Version": "2012-10-17", "Statement": [allow]})])
    assert rules.decide_alike("s3:GetObject", "arn:aws:s3:::b/") is alike
    assert rules.decide_alike("s3:PutObject", "arn:aws:s3:::b/")


def agree(dice: Dice) -> None:
    ask, identity = dice.request(), dice.policies()
    resource = dice.maybe(lambda: dice.policy(principal=True))
    boundary, sessions = dice.maybe(dice.policy), dice.maybe(dice.policies)
    levels = [dice.policies() for _ in range(dice.rand.randint(0, 2))]
    trust = dice.rand.random() < 0.3
    question = Question(
        ask["kind"], ask["account"], ask["arn"], ask["name"], ask["action"], ask["resource"],
        ask["owner"], ask["context"], ask["role"],
    )  # fmt: skip
    limits = {
        "boundary": compiled(boundary) if boundary else None,
        "sessions": None if sessions is None else [compiled(p) for p in sessions],
        "service_control": [[compiled(p) for p in level] for level in levels],
    }
    by = compiled(resource, has_principal=True) if resource else None
    documents = [compiled(p) for p in identity]
    ours = decide(
        question, identity=documents, resource_policy=by, resource_must_allow=trust, **limits
    )
    wanted = naive.allowed(
        ask,
        identity=identity,
        resource=resource,
        boundary=boundary,
        sessions=sessions,
        levels=levels,
        trust=trust,
    )
    assert ours.allowed is wanted, (
        ours,
        ask,
        identity,
        resource,
        boundary,
        sessions,
        levels,
        trust,
    )
    rules = Rules(documents, **limits)
    for context in ({}, ask["context"], {}, ask["context"]):
        asked = replace(question, context=context)
        kept = rules.decide(
            ("k",), lambda c: replace(question, context=c), lambda c=context: c, by, resource_must_allow=trust
        )  # fmt: skip
        fresh = decide(
            asked, identity=documents, resource_policy=by, resource_must_allow=trust, **limits
        )
        assert kept.allowed is fresh.allowed
