"""Random policies and requests, decided by ours and by the naive evaluator: they must agree.

STRATOLITE_POLICY_EXAMPLES=100000 for the long run; a small one is part of every test run.
"""

from __future__ import annotations

import json
import os
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policy import naive

from stratolite.policy import Document, Question, Rules, decide

COUNT = int(os.environ.get("STRATOLITE_POLICY_EXAMPLES", "300"))
A, B = "111111111111", "222222222222"
USER, ROLE = f"arn:aws:iam::{A}:user/ann", f"arn:aws:iam::{A}:role/r"
SESSION = f"arn:aws:sts::{A}:assumed-role/r/s"
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


def some(values: list[str], most: int = 2) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.sampled_from(values), st.lists(st.sampled_from(values), min_size=1, max_size=most)
    )


@st.composite
def conditions(draw: Any) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for _ in range(draw(st.integers(0, 2))):
        kind = draw(st.sampled_from(sorted(OPERATORS)))
        operator = draw(st.sampled_from(OPERATORS[kind]))
        if kind != "Null":
            operator = draw(st.sampled_from(["", "", "ForAnyValue:", "ForAllValues:"])) + operator
            operator += draw(st.sampled_from(["", "", "IfExists"]))
        anything = draw(st.booleans()) or kind not in NATURAL
        key = draw(st.sampled_from(sorted(KEYS))) if anything else NATURAL[kind]
        made.setdefault(operator, {})[key] = draw(some(FOR_TYPE[kind], 3))
    return made


@st.composite
def statements(draw: Any, *, principal: bool) -> dict[str, Any]:
    made: dict[str, Any] = {"Effect": draw(st.sampled_from(["Allow", "Allow", "Allow", "Deny"]))}
    actions = some(["*", "s3:*", "S3:get*", "s3:?etObject", "sqs:SendMessage", "s3:PutObject"])
    made[draw(st.sampled_from(["Action", "Action", "Action", "NotAction"]))] = draw(actions)
    resources = some(
        ["*", "arn:aws:s3:::b/*", "arn:aws:s3:::b/${aws:username}/*", "arn:aws:s3:::b",
         "arn:aws:s3:::b/${*}", "arn:aws:s3:::?/*/x", "arn:aws:s3:::b/${aws:username, 'bob'}/?"]
    )  # fmt: skip
    made[draw(st.sampled_from(["Resource", "Resource", "Resource", "NotResource"]))] = draw(
        resources
    )
    if principal:
        who = st.one_of(
            st.just("*"),
            st.fixed_dictionaries(
                {"AWS": some(["*", A, f"arn:aws:iam::{A}:root", USER, ROLE, SESSION, B])}
            ),
            st.fixed_dictionaries({"Service": some(["sns.amazonaws.com", "s3.amazonaws.com"])}),
        )
        made[draw(st.sampled_from(["Principal", "Principal", "NotPrincipal"]))] = draw(who)
    if condition := draw(conditions()):
        made["Condition"] = condition
    return made


def policies(*, principal: bool = False) -> st.SearchStrategy[dict[str, Any]]:
    listed = st.lists(statements(principal=principal), min_size=1, max_size=3)
    return st.builds(lambda s: {"Version": "2012-10-17", "Statement": s}, listed)


WHO = [
    {"kind": "root", "arn": f"arn:aws:iam::{A}:root", "name": "", "role": ""},
    {"kind": "user", "arn": USER, "name": "ann", "role": ""},
    {"kind": "role", "arn": SESSION, "name": "r", "role": ROLE},
    {"kind": "service", "arn": "x", "name": "sns.amazonaws.com", "role": ""},
    {"kind": "anonymous", "arn": "", "name": "", "role": ""},
]


@st.composite
def requests(draw: Any) -> dict[str, Any]:
    context = {}
    for key in draw(st.lists(st.sampled_from(sorted(KEYS)), unique=True)):
        most = 3 if key == "aws:TagKeys" else 1
        context[key.lower()] = draw(
            st.lists(st.sampled_from(KEYS[key]), min_size=0 if most > 1 else 1, max_size=most)
        )
    return draw(st.sampled_from(WHO[1:3] + WHO)) | {
        "account": A,
        "owner": draw(st.sampled_from([A, A, B])),
        "action": draw(st.sampled_from(ACTIONS)),
        "resource": draw(st.sampled_from(RESOURCES)),
        "context": context,
    }


def compiled(policy: dict[str, Any], *, has_principal: bool = False) -> Document:
    return Document.parse(json.dumps(policy), has_principal=has_principal)


@settings(max_examples=COUNT, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    ask=requests(),
    identity=st.lists(policies(), max_size=2),
    resource=st.none() | policies(principal=True),
    boundary=st.none() | policies(),
    sessions=st.none() | st.lists(policies(), max_size=2),
    levels=st.lists(st.lists(policies(), max_size=2), max_size=2),
)
def test_ours_decides_as_the_naive_evaluator_and_as_kept(
    ask: Any, identity: Any, resource: Any, boundary: Any, sessions: Any, levels: Any
) -> None:
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
    ours = decide(question, identity=[compiled(p) for p in identity], resource_policy=by, **limits)
    wanted = naive.allowed(
        ask,
        identity=identity,
        resource=resource,
        boundary=boundary,
        sessions=sessions,
        levels=levels,
    )
    assert ours.allowed is wanted, ours
    rules = Rules([compiled(p) for p in identity], **limits)
    for context in ({}, ask["context"], {}, ask["context"]):
        from dataclasses import replace

        kept = rules.decide(("k",), lambda c: replace(question, context=c), lambda c=context: c, by)
        assert (
            kept.allowed
            is decide(
                replace(question, context=context),
                identity=rules.identity,
                resource_policy=by,
                **limits,
            ).allowed
        )
