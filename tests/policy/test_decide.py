"""IAM's evaluation logic, case by case from the AWS user guide."""

from __future__ import annotations

import json

import pytest

from stratolite.policy import Document, Malformed, Question, decide

ME = "arn:aws:iam::111111111111:user/ann"
ITEM = "arn:aws:dynamodb:us-east-1:111111111111:table/t"


def doc(*statements, principal=False):
    return Document.parse(
        json.dumps({"Version": "2012-10-17", "Statement": list(statements)}),
        has_principal=principal,
    )


def ask(
    action="dynamodb:GetItem",
    resource=ITEM,
    kind="user",
    account="111111111111",
    arn=ME,
    name="ann",
    owner="111111111111",
    role_arn="",
    **context,
):
    keys = {
        k.replace("__", ":").lower(): v if isinstance(v, list) else [v] for k, v in context.items()
    }
    return Question(kind, account, arn, name, action, resource, owner, keys, role_arn)


ALLOW = {"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"}
DENY = {"Effect": "Deny", "Action": "dynamodb:GetItem", "Resource": "*"}


def test_nothing_said_is_a_denial():
    assert not decide(ask()).allowed


def test_an_allow_allows_and_a_deny_anywhere_wins():
    assert decide(ask(), identity=[doc(ALLOW)]).allowed
    assert not decide(ask(), identity=[doc(ALLOW), doc(DENY)]).allowed
    assert not decide(ask(), identity=[doc(ALLOW)], boundary=doc(DENY)).allowed
    assert not decide(ask(), identity=[doc(ALLOW)], sessions=[doc(DENY)]).allowed
    denied = doc({**DENY, "Principal": "*"}, principal=True)
    assert not decide(ask(), identity=[doc(ALLOW)], resource_policy=denied).allowed


def test_root_needs_no_policy_but_obeys_a_resource_deny():
    who = {"kind": "root", "arn": "arn:aws:iam::111111111111:root", "name": ""}
    assert decide(ask(**who)).allowed
    assert not decide(
        ask(**who), resource_policy=doc({**DENY, "Principal": "*"}, principal=True)
    ).allowed


def test_a_boundary_and_a_session_policy_limit_and_do_not_give():
    other = doc({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
    assert not decide(ask(), identity=[doc(ALLOW)], boundary=other).allowed
    assert not decide(ask(), identity=[doc(ALLOW)], sessions=[other]).allowed
    assert not decide(ask(), identity=[], boundary=doc(ALLOW)).allowed


def test_across_accounts_both_sides_must_allow():
    theirs = doc({**ALLOW, "Principal": {"AWS": "arn:aws:iam::111111111111:root"}}, principal=True)
    assert not decide(ask(owner="222222222222"), identity=[doc(ALLOW)]).allowed
    assert not decide(ask(owner="222222222222"), resource_policy=theirs).allowed
    assert decide(ask(owner="222222222222"), identity=[doc(ALLOW)], resource_policy=theirs).allowed


def test_naming_the_own_account_delegates_to_its_identity_policies():
    """Principal: {"AWS": "<account>"} alone gives a user of that account nothing; naming the user does."""
    account = doc({**ALLOW, "Principal": {"AWS": "111111111111"}}, principal=True)
    exact = doc({**ALLOW, "Principal": {"AWS": ME}}, principal=True)
    assert not decide(ask(), resource_policy=account).allowed
    assert decide(ask(), resource_policy=exact).allowed


def test_a_service_acts_by_the_resource_policy_and_its_conditions_alone():
    """SourceArn keeps one API from calling another's function (the confused deputy)."""
    policy = doc(
        {
            "Effect": "Allow",
            "Principal": {"Service": "apigateway.amazonaws.com"},
            "Action": "lambda:InvokeFunction",
            "Resource": "*",
            "Condition": {
                "ArnLike": {"AWS:SourceArn": "arn:aws:execute-api:us-east-1:111111111111:abc/*"}
            },
        },
        principal=True,
    )
    who = {"kind": "service", "name": "apigateway.amazonaws.com", "action": "lambda:InvokeFunction"}
    good = {"aws__SourceArn": "arn:aws:execute-api:us-east-1:111111111111:abc/$default/GET/x"}
    bad = {"aws__SourceArn": "arn:aws:execute-api:us-east-1:111111111111:zzz/$default/GET/x"}
    assert decide(ask(**who, **good), resource_policy=policy).allowed
    assert not decide(ask(**who, **bad), resource_policy=policy).allowed
    assert not decide(ask(**who), resource_policy=policy).allowed
    assert not decide(
        ask(**who | {"name": "s3.amazonaws.com"}, **good), resource_policy=policy
    ).allowed
    assert not decide(
        ask(**who, **good), identity=[doc({"Effect": "Allow", "Action": "*", "Resource": "*"})]
    ).allowed


@pytest.mark.parametrize(
    ("condition", "context", "holds"),
    [
        ({"StringEquals": {"aws:username": "ann"}}, {"aws__username": "ann"}, True),
        ({"StringEquals": {"aws:username": "ann"}}, {}, False),
        ({"StringNotEquals": {"aws:username": "ann"}}, {}, True),
        ({"StringEqualsIfExists": {"aws:username": "ann"}}, {}, True),
        (
            {"StringLike": {"s3:prefix": ["home/${aws:username}/*"]}},
            {"aws__username": "ann", "s3__prefix": "home/ann/x"},
            True,
        ),
        (
            {"StringLike": {"s3:prefix": ["home/${aws:username}/*"]}},
            {"s3__prefix": "home/ann/x"},
            False,
        ),
        ({"NumericLessThan": {"s3:max-keys": "10"}}, {"s3__max-keys": "9"}, True),
        ({"NumericLessThan": {"s3:max-keys": "10"}}, {"s3__max-keys": "nine"}, False),
        (
            {"DateGreaterThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}},
            {"aws__currenttime": "2026-06-01T00:00:00Z"},
            True,
        ),
        ({"Bool": {"aws:SecureTransport": "true"}}, {"aws__securetransport": "false"}, False),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, {"aws__sourceip": "10.2.3.4"}, True),
        ({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, {"aws__sourceip": "10.2.3.4"}, False),
        ({"Null": {"aws:TokenIssueTime": "true"}}, {}, True),
        ({"Null": {"aws:TokenIssueTime": "false"}}, {}, False),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}}, {"aws__tagkeys": ["a"]}, True),
        (
            {"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}},
            {"aws__tagkeys": ["a", "c"]},
            False,
        ),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["a"]}}, {}, True),
        ({"ForAnyValue:StringEquals": {"aws:TagKeys": ["a"]}}, {"aws__tagkeys": ["a", "c"]}, True),
        ({"ForAnyValue:StringEquals": {"aws:TagKeys": ["a"]}}, {}, False),
    ],
)
def test_condition_operators(condition, context, holds):
    assert (
        decide(ask(**context), identity=[doc({**ALLOW, "Condition": condition})]).allowed is holds
    )


def test_not_action_and_not_resource_cover_all_else():
    spare = doc({"Effect": "Allow", "NotAction": "iam:*", "NotResource": "arn:aws:s3:::secret/*"})
    assert decide(ask(), identity=[spare]).allowed
    assert not decide(ask(action="iam:GetUser"), identity=[spare]).allowed
    assert not decide(ask(resource="arn:aws:s3:::secret/x"), identity=[spare]).allowed


def test_actions_match_without_regard_to_case_and_resources_with_it():
    assert decide(ask(action="DynamoDB:getitem"), identity=[doc(ALLOW)]).allowed
    exact = doc({**ALLOW, "Resource": ITEM.upper().replace("ARN:AWS", "arn:aws")})
    assert not decide(ask(), identity=[exact]).allowed


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"Statement": []x}', '{"Statement": [{"Effect": "Maybe", "Action": "a:b", "Resource": "*"}]}',
     '{"Statement": [{"Effect": "Allow", "Action": "nope", "Resource": "*"}]}',
     '{"Statement": [{"Effect": "Allow", "Action": "a:b", "Resource": "nope"}]}',
     '{"Version": "2020-01-01", "Statement": [{"Effect": "Allow", "Action": "a:b", "Resource": "*"}]}',
     '{"Statement": [{"Effect": "Allow", "Action": "a:b", "Resource": "*", "Principal": "*"}]}'],
)  # fmt: skip
def test_what_is_not_a_policy_is_refused(text):
    with pytest.raises(Malformed):
        Document.parse(text)
