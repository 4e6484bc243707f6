"""Examples of the IAM user guide, each with its page: what AWS says they decide is what ours decides."""

from __future__ import annotations

import json

import pytest

from stratolite.policy import Document, Question, decide

GUIDE = "https://docs.aws.amazon.com/IAM/latest/UserGuide/"
A, B = "123456789012", "444455556666"
BOB = f"arn:aws:iam::{B}:user/bob"


def document(*statements, principal=False):
    text = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    return Document.parse(text, has_principal=principal)


def ask(action, resource="*", *, arn=f"arn:aws:iam::{A}:user/anaya", owner=None, role="", **keys):
    account = arn.split(":")[4]
    kind = "role" if "assumed-role" in arn else "root" if arn.endswith(":root") else "user"
    context = {k: v if isinstance(v, list) else [v] for k, v in keys.items()}
    name = arn.rsplit("/", 1)[-1]
    return Question(kind, account, arn, name, action, resource, owner or account, context, role)


def condition(**operators):
    """An identity policy whose one condition decides."""
    return document({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": operators})


def holds(policy, **keys):
    context = {k.lower(): v if isinstance(v, list) else [v] for k, v in keys.items()}
    question = ask("s3:GetObject")
    from dataclasses import replace

    return decide(replace(question, context=context), identity=[policy]).allowed


OPERATORS = "reference_policies_elements_condition_operators.html"
VALUES = "reference_policies_condition-single-vs-multi-valued-context-keys.html"
VARIABLES = "reference_policies_variables.html"
MULTI = "reference_policies_condition-logic-multiple-context-keys-or-values.html"
SHARE = {"aws:PrincipalTag/job-category": "iamuser-admin"}
CASES = [
    (OPERATORS, {"StringEquals": SHARE}, SHARE, True),
    (OPERATORS, {"StringEquals": SHARE}, {}, False),
    (OPERATORS, {"StringEquals": SHARE}, {"aws:PrincipalTag/job-category": "IamUser-Admin"}, False),
    (OPERATORS, {"StringEqualsIgnoreCase": SHARE}, {"aws:PrincipalTag/job-category": "IAMUSER-ADMIN"}, True),
    (OPERATORS, {"StringNotEquals": SHARE}, {}, True),
    (OPERATORS, {"StringLike": {"s3:prefix": ["", "home/", "home/${aws:username}/"]}}, {"s3:prefix": "home/anaya/", "aws:username": "anaya"}, True),
    (OPERATORS, {"StringLike": {"s3:prefix": ["", "home/", "home/${aws:username}/"]}}, {"s3:prefix": "home/bob/", "aws:username": "anaya"}, False),
    (OPERATORS, {"NumericLessThanEquals": {"s3:max-keys": "10"}}, {"s3:max-keys": "10"}, True),
    (OPERATORS, {"NumericLessThanEquals": {"s3:max-keys": "10"}}, {"s3:max-keys": "11"}, False),
    (OPERATORS, {"NumericLessThanEquals": {"s3:max-keys": "10"}}, {}, False),
    (OPERATORS, {"DateGreaterThan": {"aws:TokenIssueTime": "2020-01-01T00:00:01Z"}}, {"aws:TokenIssueTime": "2020-01-01T00:00:02Z"}, True),
    (OPERATORS, {"DateGreaterThan": {"aws:TokenIssueTime": "2020-01-01T00:00:01Z"}}, {"aws:TokenIssueTime": "1577836800"}, False),
    (OPERATORS, {"Bool": {"aws:SecureTransport": "false"}}, {"aws:SecureTransport": "false"}, True),
    (OPERATORS, {"Bool": {"aws:SecureTransport": "false"}}, {}, False),
    (OPERATORS, {"BinaryEquals": {"key": "QmluYXJ5VmFsdWVJbkJhc2U2NA=="}}, {"key": "QmluYXJ5VmFsdWVJbkJhc2U2NA=="}, True),
    (OPERATORS, {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, {"aws:SourceIp": "203.0.113.7"}, True),
    (OPERATORS, {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, {"aws:SourceIp": "203.0.114.7"}, False),
    (OPERATORS, {"IpAddress": {"aws:SourceIp": ["203.0.113.0/24", "2001:DB8:1234:5678::/64"]}}, {"aws:SourceIp": "2001:db8:1234:5678::1"}, True),
    (OPERATORS, {"ArnEquals": {"aws:SourceArn": "arn:aws:sns:us-east-1:123456789012:TOPIC-ID"}}, {"aws:SourceArn": "arn:aws:sns:us-east-1:123456789012:TOPIC-ID"}, True),
    (OPERATORS, {"ArnEquals": {"aws:SourceArn": "arn:aws:sns:*:123456789012:*"}}, {"aws:SourceArn": "arn:aws:sns:us-east-1:123456789012:t"}, True),
    (OPERATORS, {"StringLikeIfExists": {"ec2:InstanceType": ["t1.*", "m3.*"]}}, {}, True),
    (OPERATORS, {"StringLikeIfExists": {"ec2:InstanceType": ["t1.*", "m3.*"]}}, {"ec2:InstanceType": "t2.nano"}, False),
    (OPERATORS, {"Null": {"aws:TokenIssueTime": "false"}}, {"aws:TokenIssueTime": "1"}, True),
    (OPERATORS, {"Null": {"aws:TokenIssueTime": "true"}}, {}, True),
    (VALUES, {"ForAllValues:StringEquals": {"aws:TagKeys": ["environment", "webserver"]}}, {"aws:TagKeys": ["environment", "cost-center"]}, False),
    (VALUES, {"ForAllValues:StringEquals": {"aws:TagKeys": ["environment", "webserver"]}}, {"aws:TagKeys": ["environment"]}, True),
    (VALUES, {"ForAllValues:StringEquals": {"aws:TagKeys": ["environment"]}}, {}, True),
    (VALUES, {"ForAnyValue:StringEquals": {"aws:TagKeys": ["environment", "webserver"]}}, {"aws:TagKeys": ["cost-center", "webserver"]}, True),
    (VALUES, {"ForAnyValue:StringEquals": {"aws:TagKeys": ["webserver"]}}, {}, False),
    (VARIABLES, {"StringLike": {"s3:prefix": "${aws:PrincipalTag/team, 'company-wide'}/*"}}, {"s3:prefix": "company-wide/x"}, True),
    (VARIABLES, {"StringLike": {"s3:prefix": "${aws:PrincipalTag/team, 'company-wide'}/*"}}, {"s3:prefix": "company-wide/x", "aws:PrincipalTag/team": "yellow"}, False),
    (VARIABLES, {"StringLike": {"s3:prefix": "a${*}b"}}, {"s3:prefix": "a*b"}, True),
    (VARIABLES, {"StringLike": {"s3:prefix": "a${*}b"}}, {"s3:prefix": "axb"}, False),
    (MULTI, {"StringEquals": {"a:x": ["1", "2"], "a:y": "3"}}, {"a:x": "2", "a:y": "3"}, True),
    (MULTI, {"StringEquals": {"a:x": ["1", "2"], "a:y": "3"}}, {"a:x": "2"}, False),
    (MULTI, {"StringNotEquals": {"a:x": ["1", "2"]}}, {"a:x": "2"}, False),
]  # fmt: skip


@pytest.mark.parametrize(("page", "said", "keys", "wanted"), CASES)
def test_conditions_as_documented(page, said, keys, wanted):
    assert holds(condition(**said), **keys) is wanted, GUIDE + page


def test_not_principal_spares_bob_and_nobody_else_of_his_account():
    """reference_policies_elements_notprincipal.html: the deny names user and account."""
    deny = {
        "Effect": "Deny", "NotPrincipal": {"AWS": [BOB, f"arn:aws:iam::{B}:root"]},
        "Action": "s3:*", "Resource": "*",
    }  # fmt: skip
    allow = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}
    by = document(deny, allow, principal=True)
    anything = [document({"Effect": "Allow", "Action": "*", "Resource": "*"})]
    for who, wanted in ((BOB, True), (f"arn:aws:iam::{B}:user/eve", False), (f"arn:aws:iam::{B}:root", True)):  # fmt: skip
        question = ask("s3:GetObject", "arn:aws:s3:::x/y", arn=who, owner=A)
        assert decide(question, identity=anything, resource_policy=by).allowed is wanted


def test_a_boundary_does_not_limit_what_a_resource_gives_a_user_but_what_it_gives_a_role():
    """access_policies_boundaries.html, reference_policies_evaluation-logic_policy-eval-denyallow.html"""
    boundary = document({"Effect": "Allow", "Action": "iam:*", "Resource": "*"})
    user, role = f"arn:aws:iam::{A}:user/anaya", f"arn:aws:iam::{A}:role/r"
    session = f"arn:aws:sts::{A}:assumed-role/r/s"
    for named, who, wanted in (
        (user, user, True),
        (role, session, False),
        (session, session, True),
    ):
        gives = {"Effect": "Allow", "Principal": {"AWS": named}, "Action": "s3:*", "Resource": "*"}
        question = ask("s3:GetObject", "arn:aws:s3:::b/k", arn=who, role=role if who == session else "")  # fmt: skip
        by = document(gives, principal=True)
        assert decide(question, resource_policy=by, boundary=boundary).allowed is wanted, named


def test_a_service_control_policy_limits_root_too_and_every_level_must_allow():
    """https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_scps_evaluation.html"""
    everything = document({"Effect": "Allow", "Action": "*", "Resource": "*"})
    s3_only = document({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
    root = f"arn:aws:iam::{A}:root"
    for levels, wanted in (([[everything]], True), ([[everything], [s3_only]], False), ([[everything], []], False)):  # fmt: skip
        assert decide(ask("sqs:SendMessage", arn=root), service_control=levels).allowed is wanted


def test_a_trust_policy_must_allow_whatever_the_identity_may():
    """reference_policies_evaluation-logic_policy-eval-basics-single-account.html: roles' trust is the exception."""
    may_all = [document({"Effect": "Allow", "Action": "*", "Resource": "*"})]
    role = f"arn:aws:iam::{A}:role/r"

    def trust(who):
        return document({"Effect": "Allow", "Principal": who, "Action": "sts:AssumeRole"}, principal=True)  # fmt: skip

    def allowed(who, identity):
        question = ask("sts:AssumeRole", role)
        return decide(question, identity=identity, resource_policy=trust(who), resource_must_allow=True).allowed  # fmt: skip

    assert not allowed({"Service": "lambda.amazonaws.com"}, may_all)
    assert allowed({"AWS": A}, may_all)
    assert not allowed({"AWS": A}, [])
    assert allowed({"AWS": f"arn:aws:iam::{A}:user/anaya"}, [])
