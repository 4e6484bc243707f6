"""What AWS says of documents that are no policies: its own recorded answers.

Recorded by LocalStack against AWS, tests/aws/services/iam/test_iam_policies.snapshot.json and test_iam_roles.snapshot.json.
"""

from __future__ import annotations

import json

import pytest

from stratolite.policy import Document, Malformed
from stratolite.policy.grammar import check_identity, check_trust

BUCKET = "arn:aws:s3:::example_bucket"
SYNTAX, OLD = "Syntax errors in policy.", "Policy document must be version 2012-10-17 or greater."
LEGACY, ACTIONS = "The policy failed legacy parsing", "Policy statement must contain actions."
RESOURCES = "Policy statement must contain resources."
VENDOR = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
COLON = "Actions/Condition can contain only one colon."
ARN = 'Resource {} must be in ARN format or "*".'
LIST = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": BUCKET}


def without(*fields, **more):
    return {k: v for k, v in LIST.items() if k not in fields} | more


def policy(*statements, **more):
    one = statements[0] if len(statements) == 1 else list(statements)
    return {"Version": "2012-10-17", "Statement": one} | more


def when(**condition):
    return policy(without(Condition=condition))


INVALID = [
    ("This is not a json document", SYNTAX),
    ({"Statement": LIST}, OLD),
    (policy(LIST, Version="2008-10-17"), OLD),
    (policy(LIST, Version="2013-10-17"), SYNTAX),
    ({"Version": "2012-10-17"}, SYNTAX),
    ({"Version": "2012-10-17", "Statement": ["afd"]}, SYNTAX),
    (policy(LIST, **{"Extra field": "value"}), SYNTAX),
    (policy(without(**{"Extra field": "value"})), SYNTAX),
    (policy(LIST, Id=["x"]), SYNTAX),
    (policy(LIST, Id={}), SYNTAX),
    (policy(without(Effect="invalid")), SYNTAX),
    (policy(without(Action="invalid")), VENDOR),
    (policy(without("Action", NotAction="")), VENDOR),
    (policy(without(Action="a a:ListBucket")), "Vendor a a is not valid"),
    (policy(without(Action="s3:List:Bucket")), COLON),
    (policy(without(Action="s3s:ListBucket"), without(Action="s:3s:ListBucket")), COLON),
    (policy(without(Resource="invalid resource")), ARN.format("invalid resource")),
    (policy(without(Action="s:3:ListBucket", Resource="sdfsadf")), ARN.format("sdfsadf")),
    (policy(without(Resource=["adf"])), ARN.format("adf")),
    (policy(without(Resource="")), ARN.format("")),
    (policy(without("Action", NotAction="s3s:ListBucket", Resource="a:bsdfdsafsad")),
     'Partition "bsdfdsafsad" is not valid for resource "arn:bsdfdsafsad:*:*:*:*".'),
    (policy(without(Resource="a:b:cadfsdf")), 'Partition "b" is not valid for resource "arn:b:cadfsdf:*:*:*".'),
    (policy(without(Resource="a:b:c:d:e:f:g:h")), 'Partition "b" is not valid for resource "arn:b:c:d:e:f:g:h".'),
    (policy(without(Resource="aws:s3:::example_bucket")),
     'Partition "s3" is not valid for resource "arn:s3:::example_bucket:*".'),
    (policy(without(Resource=["arn:error:s3:::example_bucket", "arn:error:s3::example_bucket"])),
     'Partition "error" is not valid for resource "arn:error:s3:::example_bucket".'),
    ({"Version": "2012-10-17", "Statement": []}, SYNTAX),
    (policy(without("Resource")), RESOURCES),
    (policy(without(Resource=[])), RESOURCES),
    (policy({"Effect": "Allow", "Action": "invalid"}), RESOURCES),
    (policy(without("Action")), ACTIONS),
    (policy(without("Effect")), SYNTAX),
    (policy({"Effect": "Allow"}), ACTIONS),
    (policy(without(Action=[])), ACTIONS),
    (policy({"Effect": "Deny"}, LIST), ACTIONS),
    (policy(without(Resource="arn:aws:iam:::example_bucket")),
     ('IAM resource path must either be "*", root, or start with user/, federated-user/, role/, group/, instance-profile/,'
     " mfa/, server-certificate/, policy/, sms-mfa/, saml-provider/, oidc-provider/, report/, access-report/.")),
    (policy(without(Resource="arn:aws:s3::example_bucket")), LEGACY),
    (policy({"Effect": "Allow", "Resource": "arn:aws:s3::example_bucket"}), LEGACY),
    (policy(without(Resource="arn:aws")), "Resource vendor must be fully qualified and cannot contain regexes."),
    (policy(without(Resource={"a": BUCKET})), SYNTAX),
    (policy(without(Resource=["adfdf", {}])), SYNTAX),
    (policy(without("Action", NotAction="s3:ListBucket", NotResource=[])), SYNTAX),
    (policy(without(Action=[[]])), SYNTAX),
    (policy(without(NotAction="s3s:ListBucket", Action=[])), SYNTAX),
    (policy(without(Action={})), SYNTAX),
    (policy(without(Condition=[])), SYNTAX),
    (policy(without(Condition="a")), SYNTAX),
    (policy(without(Condition={"a": "b"})), SYNTAX),
    (policy(without(Condition={"DateGreaterThan": "b"})), SYNTAX),
    (policy(without(Condition={"DateGreaterThan": []})), SYNTAX),
    (policy(without(Condition={"DateGreaterThan": {"a": {}}})), SYNTAX),
    (policy(without(Condition={"x": {"a": "1"}})), SYNTAX),
    (policy(without(Condition={"ForAnyValue::StringEqualsIfExists": {"a": "asf"}})), SYNTAX),
    (policy(without(Condition=[{"ForAllValues:StringEquals": {"aws:TagKeys": "D"}}])), SYNTAX),
    (policy(without(Resource="arn:aws:iam:us-east-1::example_bucket")),
     "IAM resource arn:aws:iam:us-east-1::example_bucket cannot contain region information."),
    (policy(without(Resource="arn:aws:s3:us-east-1::example_bucket")),
     "Resource arn:aws:s3:us-east-1::example_bucket can not contain region information."),
    (policy(without(Sid={})), SYNTAX),
    (policy(without(Sid="s"), {"Sid": "s", "Effect": "Allow"}), "Statement IDs (SID) in a single policy must be unique."),
    ({"Statement": [without(Sid="s"), {"Sid": "s", "Effect": "Allow"}]}, OLD),
    (policy(without(NotAction="s3:ListBucket")), SYNTAX),
    (policy(without(NotResource="*")), SYNTAX),
    (policy(without(Effect="denY")), LEGACY),
    (when(DateGreaterThan={"a": "sdfdsf"}), LEGACY),
    ({"Statement": without(Condition={"DateGreaterThan": {"a": "sdfdsf"}})}, OLD),
    ({"Statement": without(Effect="denY")}, OLD),
    (policy({"Effect": "Allow", "Condition": {"DateGreaterThan": {"a": "sdfdsf"}}}), LEGACY),
    (policy(without("Action", NotAction="s3:ListBucket", Resource="arn:aws::::example_bucket")), LEGACY),
    (policy(without(Sid="s", Effect="aLLow"), {"Sid": "s", "Effect": "Allow"}), LEGACY),
    (policy(without("Resource", NotResource="arn:aws:s3::example_bucket")), LEGACY),
    (when(DateLessThanEquals={"a": "234-13"}), LEGACY),
    (when(DateLessThanEquals={"a": "2016-12-13t2:00:00.593194+1"}), LEGACY),
    (when(DateLessThanEquals={"a": "2016-12-13t2:00:00.1999999999+10:59"}), LEGACY),
    (when(DateLessThan={"a": "9223372036854775808"}), LEGACY),
    (policy(without(Resource="arn:error:s3:::b", Condition={"DateGreaterThan": {"a": "x"}})), LEGACY),
    (policy(without(Resource="arn:aws::fdsasf")), LEGACY),
]  # fmt: skip

VALID = [
    policy(without(Resource=[BUCKET])),
    policy(without(Action="iam: asdf safdsf af ")),
    policy(without(Resource=[BUCKET, "*"])),
    policy(without(Action="*")),
    {"Version": "2012-10-17", "Statement": [LIST]},
    policy(without(Resource="arn:aws:iam:::user/example_bucket")),
    policy(without(Resource="arn:aws:s33:::example_bucket")),
    policy(without(Resource="arn:aws:fdsasf")),
    policy(without(Condition={})),
    policy(without(Condition={"ForAllValues:StringEquals": {"aws:TagKeys": "Department"}})),
    policy(without(Resource="arn:aws:cloudwatch:us-east-1::example_bucket")),
    policy(without(Resource="arn:aws:invalid-service:us-east-1::example_bucket")),
    when(DateGreaterThan={"aws:CurrentTime": "2017-07-01T00:00:00Z"}),
    when(DateGreaterThan={}),
    when(DateGreaterThan={"a": []}),
    policy(without(Condition={"a": {}})),
    policy(without("Action", NotAction="s3:ListBucket")),
    policy({"Effect": "Deny", "Action": "s3:*", "NotResource": [f"{BUCKET}/x", f"{BUCKET}/x/*"]}),
    policy(LIST, Id="sdfsdfsdf"),
    policy(without(Action="aaaaaadsfdsafsadfsadfaaaaa:ListBucket")),
    policy(without(Action="s3-s:ListBucket")),
    policy(without(Action="s3.s:ListBucket")),
    policy({"Effect": "Allow", "NotAction": "s3:ListBucket", "NotResource": "*"}),
    policy(without(Sid="sdf"), LIST),
    when(DateGreaterThan={"a": "01T"}),
    policy(without(Condition={"x": {}, "y": {}})),
    when(StringEqualsIfExists={"a": "asf"}),
    policy(without(Condition={"ForAnyValue:StringEqualsIfExists": {"a": "asf"}})),
    when(DateLessThanEquals={"a": "2019-07-01T13:20:15Z"}),
]  # fmt: skip
ROLE = {
    "Effect": "Allow",
    "Principal": {"Service": "ec2.amazonaws.com"},
    "Action": "sts:AssumeRole",
}
TRUST = [
    ("{", "This policy contains invalid Json"),
    (policy(ROLE | {"Action": "s3:GetObject"}), "AssumeRole policy may only specify STS AssumeRole actions."),
    (policy(ROLE | {"Resource": "*"}), "Has prohibited field Resource"),
    (policy({"Effect": "Allow", "Action": "sts:AssumeRole"}), "Missing required field Principal"),
]  # fmt: skip


def said(document):
    return document if isinstance(document, str) else json.dumps(document)


@pytest.mark.parametrize(("document", "message"), INVALID)
def test_a_document_that_is_no_policy_is_refused_in_aws_words(document, message):
    with pytest.raises(Malformed) as refused:
        check_identity(said(document), is_managed=True)
    assert str(refused.value) == message


def test_an_inline_policy_need_not_say_its_version():
    """SAM's policy templates do not, and deploy on AWS: https://github.com/aws/serverless-application-model policy_templates.json"""
    check_identity(said({"Statement": LIST}))
    with pytest.raises(Malformed):
        check_identity(said(policy(LIST, Version="2008-10-17")))


@pytest.mark.parametrize("document", VALID)
def test_a_document_that_aws_takes_is_taken_and_can_be_asked(document):
    check_identity(said(document))
    Document.parse(said(document))


@pytest.mark.parametrize(("document", "message"), TRUST)
def test_a_trust_policy_is_refused_in_aws_words(document, message):
    with pytest.raises(Malformed) as refused:
        check_trust(said(document))
    assert str(refused.value) == message


def test_a_trust_policy_of_the_old_version_is_taken():
    check_trust(said(policy(ROLE, Version="2008-10-17")))
    check_trust(
        said(
            policy(ROLE | {"Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]})
        )
    )
