"""The calls of a deploy without an SDK answer and refuse as boto3's do, and no SDK is imported for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from stratolite.cli import main, target
from stratolite.cli.quick_client import QuickClient

TEMPLATE = """
Parameters:
  Names: {Type: CommaDelimitedList, Default: "a,b"}
Resources:
  Group: {Type: AWS::Logs::LogGroup}
  Fn:
    Type: AWS::Lambda::Function
    Properties:
      Runtime: python3.11
      Handler: app.handler
      Code: src
      Role: !GetAtt Role.Arn
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Statement: [{Effect: Allow, Action: sts:AssumeRole, Principal: {Service: lambda.amazonaws.com}}]
Outputs:
  Odd: {Value: "a <b> & c — ü"}
"""
BODY = '{"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}}'
DEPLOY = """
import sys
from stratolite.cli import main
try:
    main(sys.argv[1:])
finally:
    print("SDK" if {"boto3", "botocore.session"} & set(sys.modules) else "none")
"""


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)


def texts(node):
    """boto3's answer with every scalar as a text, without what it adds."""
    if isinstance(node, dict):
        return {k: texts(v) for k, v in node.items() if k != "ResponseMetadata"} or ""
    if isinstance(node, list):
        return [texts(v) for v in node] or ""
    return str(node).lower() if isinstance(node, bool) else node


def without_times(node):
    if isinstance(node, dict):
        return {k: without_times(v) for k, v in node.items() if not k.endswith(("Time", "Timestamp"))}  # fmt: skip
    return [without_times(v) for v in node] if isinstance(node, list) else node


def test_a_redeploy_imports_no_sdk(cloud, tmp_path):
    """boto3 and its clients take most of the second that `stratolite dev` has for a redeploy."""
    (tmp_path / "src").mkdir()
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    environment = {n: v for n, v in os.environ.items() if not n.startswith("AWS_")}
    environment["AWS_ENDPOINT_URL"] = cloud.endpoint
    environment["PYTHONPATH"] = str(Path(__file__).parents[2] / "src")
    for code in ("def handler(e, c): return 1\n", "def handler(e, c): return 2\n"):
        (tmp_path / "src" / "app.py").write_text(code)
        ran = subprocess.run(
            [sys.executable, "-c", DEPLOY, "deploy", str(tmp_path / "template.yaml"), "--stack-name", "s"],
            env=environment, capture_output=True, text=True, timeout=200,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "s UPDATE_COMPLETE" in ran.stdout
    assert "a <b> & c — ü" in ran.stdout
    assert ran.stdout.endswith("none\n")


def test_a_refused_deploy_names_the_line_of_the_file(cloud, tmp_path, capsys):
    (tmp_path / "template.yaml").write_text(
        "Resources:\n  Q: {Type: AWS::SQS::Queue}\n  # a comment\n  R:\n    Type: AWS::Events::Rule\n    Properties:\n"
        "      ScheduleExpression: cron(* * * * *)\n"
    )
    with pytest.raises(SystemExit):
        main(["deploy", str(tmp_path / "template.yaml"), "--endpoint", cloud.endpoint])
    assert "ScheduleExpression is not valid. (line 7)" in capsys.readouterr().err


def test_it_answers_and_refuses_as_boto3_does(cloud):
    quick = target.quick_client("cloudformation", cloud.endpoint, "us-east-1")
    slow = target.client("cloudformation", cloud.endpoint, "us-east-1")
    assert isinstance(quick, QuickClient)
    assert not isinstance(slow, QuickClient)
    tags = [{"Key": "a b", "Value": "1+2=3"}]
    quick.create_stack(StackName="s", TemplateBody=BODY, Tags=tags, DisableRollback=True)
    slow.get_waiter("stack_create_complete").wait(StackName="s", WaiterConfig={"Delay": 1})
    for operation in ("describe_stacks", "describe_stack_events"):
        asked = getattr(quick, operation)(StackName="s")
        expected = texts(getattr(slow, operation)(StackName="s"))
        assert without_times(asked) == without_times(expected)
    pages = quick.get_paginator("describe_stack_events").paginate(StackName="s")
    assert len([e for page in pages for e in page["StackEvents"]]) >= 3
    errors = []
    for client in (quick, slow):
        with pytest.raises(ClientError) as caught:
            client.update_stack(StackName="s", TemplateBody=BODY, Tags=tags)
        response = caught.value.response
        errors.append((str(caught.value).replace(" (reached max retries: 0)", ""), response["ResponseMetadata"]["HTTPStatusCode"]))  # fmt: skip
    assert errors[0] == errors[1]
    assert "No updates are to be performed" in errors[0][0]
    s3, sts = (target.quick_client(n, cloud.endpoint, "eu-west-1") for n in ("s3", "sts"))
    assert sts.get_caller_identity()["Account"] == "000000000000"
    place = {"LocationConstraint": "eu-west-1"}
    s3.create_bucket(Bucket="quick", CreateBucketConfiguration=place)
    s3.put_object(Bucket="quick", Key="a b/ü+%", Body=b"1")
    assert cloud.client("s3").get_object(Bucket="quick", Key="a b/ü+%")["Body"].read() == b"1"
    with pytest.raises(ClientError) as caught:
        s3.put_object(Bucket="nobody-here", Key="k", Body=b"1")
    assert caught.value.response["Error"]["Code"] == "NoSuchBucket"


def test_own_keys_are_used_and_checked(cloud, monkeypatch):
    key = cloud.client("iam").create_user(UserName="ann")
    key = cloud.client("iam").create_access_key(UserName="ann")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    sts = target.quick_client("sts", cloud.endpoint, "us-east-1")
    assert sts.get_caller_identity()["Arn"] == "arn:aws:iam::000000000000:user/ann"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        sts.get_caller_identity()
    session = cloud.client("sts").get_session_token()["Credentials"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", session["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", session["SecretAccessKey"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", session["SessionToken"])
    assert sts.get_caller_identity()["Account"] == "000000000000"


def test_a_server_that_is_not_there_is_named():
    client = QuickClient("sts", "http://127.0.0.1:9", "us-east-1")
    with pytest.raises(EndpointConnectionError, match=r"http://127\.0\.0\.1:9"):
        client.get_caller_identity()


def test_profiles_and_tls_are_left_to_boto3(monkeypatch):
    made = []
    monkeypatch.setattr(target, "client", lambda *words: made.append(words))
    target.quick_client("sts", "https://localhost:4566", "us-east-1")
    monkeypatch.setenv("AWS_PROFILE", "mine")
    target.quick_client("sts", "http://localhost:4566", "us-east-1")
    assert len(made) == 2
