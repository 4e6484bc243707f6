"""What the simulator and ``stratolite why-denied`` say is what a real call gets."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

TEXT = """{
 "Version": "2012-10-17",
 "Statement": [
  {"Sid": "Read", "Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::b/${aws:username}/*"},
  {"Sid": "Late", "Effect": "Deny", "Action": "s3:*", "Resource": "*",
   "Condition": {"StringEquals": {"aws:PrincipalTag/team": "red"}}}
 ]
}"""


def ask(iam, action, resource, **more):
    arn = "arn:aws:iam::000000000000:user/ann"
    return iam.simulate_principal_policy(
        PolicySourceArn=arn, ActionNames=[action], ResourceArns=[resource], **more
    )["EvaluationResults"][0]


def test_the_simulator_names_the_statement_that_decides(client):
    iam = client("iam")
    iam.create_user(UserName="ann")
    iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=TEXT)
    mine, theirs = "arn:aws:s3:::b/ann/x", "arn:aws:s3:::b/bob/x"
    found = ask(iam, "s3:GetObject", mine)
    assert found["EvalDecision"] == "allowed"
    (matched,) = found["MatchedStatements"]
    assert matched["SourcePolicyId"] == "user_ann_p"
    assert matched["StartPosition"] == {"Line": 4, "Column": 2}
    assert found["MissingContextValues"] == ["aws:principaltag/team"]
    assert ask(iam, "s3:GetObject", theirs)["EvalDecision"] == "implicitDeny"
    red = [{"ContextKeyName": "aws:PrincipalTag/team", "ContextKeyValues": ["red"], "ContextKeyType": "string"}]  # fmt: skip
    denied = ask(iam, "s3:GetObject", mine, ContextEntries=red)
    assert denied["EvalDecision"] == "explicitDeny"
    assert denied["MatchedStatements"][0]["StartPosition"] == {"Line": 5, "Column": 2}
    iam.put_user_permissions_boundary(
        UserName="ann", PermissionsBoundary="arn:aws:iam::aws:policy/AWSLambda_FullAccess"
    )
    bounded = ask(iam, "s3:GetObject", mine)
    assert bounded["EvalDecision"] == "implicitDeny"
    assert bounded["PermissionsBoundaryDecisionDetail"] == {"AllowedByPermissionsBoundary": False}


def test_context_keys_are_those_that_policies_look_at(client):
    iam = client("iam")
    found = iam.get_context_keys_for_custom_policy(PolicyInputList=[TEXT])["ContextKeyNames"]
    assert found == ["aws:principaltag/team", "aws:username"]


def test_a_custom_policy_is_simulated_and_a_bad_one_refused(client):
    iam = client("iam")
    text = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": {"Effect": "Allow", "Action": "sqs:*", "NotResource": "arn:aws:sqs:::x"},
        }
    )
    answer = iam.simulate_custom_policy(
        PolicyInputList=[text], ActionNames=["sqs:SendMessage", "s3:GetObject"], MaxItems=1
    )
    assert [r["EvalDecision"] for r in answer["EvaluationResults"]] == ["allowed"]
    rest = iam.simulate_custom_policy(
        PolicyInputList=[text],
        ActionNames=["sqs:SendMessage", "s3:GetObject"],
        Marker=answer["Marker"],
    )
    assert [r["EvalDecision"] for r in rest["EvaluationResults"]] == ["implicitDeny"]
    with pytest.raises(ClientError, match="InvalidInput"):
        iam.simulate_custom_policy(PolicyInputList=["{}"], ActionNames=["s3:GetObject"])
    with pytest.raises(ClientError, match="NoSuchEntity"):
        ask(iam, "s3:GetObject", "*")
