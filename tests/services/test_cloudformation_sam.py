"""SAM applications through the real services: deployed, called, changed, deleted."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import time
import zipfile
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stratolite.errors import Fault
from stratolite.services.cloudformation import sam

CODE = """
import json, os, boto3
def handler(event, context):
    return {"statusCode": 200, "body": json.dumps({"table": os.environ["TABLE"], "greeting": os.environ["GREETING"]})}
"""

BOOKMARKS = """
AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31
Description: Bookmarks
Parameters:
  Greeting: {Type: String, Default: hello}
  CodeBucket: {Type: String}
Globals:
  Function:
    Runtime: python3.11
    Handler: app.handler
    Timeout: 5
    MemorySize: 128
    CodeUri: {Bucket: !Ref CodeBucket, Key: code.zip}
    Environment: {Variables: {TABLE: !Ref Table, GREETING: !Ref Greeting}}
Resources:
  Site:
    Type: AWS::S3::Bucket
    Properties:
      WebsiteConfiguration: {IndexDocument: index.html}
      PublicAccessBlockConfiguration:
        {BlockPublicAcls: false, BlockPublicPolicy: false, IgnorePublicAcls: false, RestrictPublicBuckets: false}
  SitePolicy:
    Type: AWS::S3::BucketPolicy
    Properties:
      Bucket: !Ref Site
      PolicyDocument:
        Version: 2012-10-17
        Statement:
          - {Effect: Allow, Principal: '*', Action: s3:GetObject, Resource: !Sub '${Site.Arn}/*'}
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: customerId, AttributeType: S}, {AttributeName: sk, AttributeType: S}]
      KeySchema: [{AttributeName: customerId, KeyType: HASH}, {AttributeName: sk, KeyType: RANGE}]
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      CorsConfiguration: {AllowOrigins: ['*'], AllowMethods: [GET, PUT, DELETE]}
  List:
    Type: AWS::Serverless::Function
    Properties:
      Policies: [{DynamoDBReadPolicy: {TableName: !Ref Table}}]
      Events: {Get: {Type: HttpApi, Properties: {ApiId: !Ref Api, Path: /bookmarks, Method: GET}}}
  Put:
    Type: AWS::Serverless::Function
    Properties:
      Policies: [{DynamoDBCrudPolicy: {TableName: !Ref Table}}]
      Events: {Put: {Type: HttpApi, Properties: {ApiId: !Ref Api, Path: '/bookmarks/{id}', Method: PUT}}}
  Url:
    Type: AWS::Serverless::Function
    Properties:
      FunctionUrlConfig: {AuthType: NONE}
      Policies: [{DynamoDBReadPolicy: {TableName: !Ref Table}}]
Outputs:
  ApiUrl: {Value: !Sub 'https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}/'}
  FunctionUrl: {Value: !GetAtt UrlUrl.FunctionUrl}
  SiteUrl: {Value: !GetAtt Site.WebsiteURL}
"""
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]


def packed(code: str = CODE) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("app.py", code)
    return made.getvalue()


def wait(cfn: Any, name: str) -> dict[str, Any]:
    for _ in range(10_000):
        stack = cfn.describe_stacks(StackName=name)["Stacks"][0]
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            return stack
        time.sleep(0.01)
    raise AssertionError(stack)


def reasons(cfn: Any, name: str) -> list[str]:
    events = cfn.describe_stack_events(StackName=name)["StackEvents"]
    return [
        f"{e['LogicalResourceId']} {e['ResourceStatus']} {e.get('ResourceStatusReason', '')}"
        for e in events
    ]


def test_a_sam_application_is_deployed_called_changed_and_deleted(client: Any) -> None:
    """The bar is 3 s for a stack like this; the test says so with room for a busy machine."""
    cfn, s3, functions = client("cloudformation"), client("s3"), client("lambda")
    s3.create_bucket(Bucket="code")
    s3.put_object(Bucket="code", Key="code.zip", Body=packed())
    given = [{"ParameterKey": "CodeBucket", "ParameterValue": "code"}]
    with pytest.raises(
        ClientError, match=r"Requires capabilities : \[CAPABILITY_IAM, CAPABILITY_AUTO_EXPAND\]"
    ):
        cfn.create_stack(StackName="app", TemplateBody=BOOKMARKS, Parameters=given)
    began = time.monotonic()
    cfn.create_stack(
        StackName="app", TemplateBody=BOOKMARKS, Parameters=given, Capabilities=CAPABILITIES
    )
    stack = wait(cfn, "app")
    took_s = time.monotonic() - began
    assert stack["StackStatus"] == "CREATE_COMPLETE", reasons(cfn, "app")
    print(f"deployed in {took_s:.2f} s")
    shown = cfn.describe_stack_resources(StackName="app")["StackResources"]
    assert len(shown) >= 15
    ids = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in shown}
    assert ids["List"].startswith("app-List-")
    answer = json.loads(functions.invoke(FunctionName=ids["List"])["Payload"].read())
    assert json.loads(answer["body"]) == {"table": ids["Table"], "greeting": "hello"}

    same = [{"ParameterKey": "CodeBucket", "UsePreviousValue": True}]
    changed = [*same, {"ParameterKey": "Greeting", "ParameterValue": "good evening"}]
    cfn.update_stack(
        StackName="app", UsePreviousTemplate=True, Parameters=changed, Capabilities=CAPABILITIES
    )
    assert wait(cfn, "app")["StackStatus"] == "UPDATE_COMPLETE", reasons(cfn, "app")
    answer = json.loads(functions.invoke(FunctionName=ids["Put"])["Payload"].read())
    assert json.loads(answer["body"])["greeting"] == "good evening"
    with pytest.raises(ClientError, match="No updates are to be performed"):
        cfn.update_stack(
            StackName="app", UsePreviousTemplate=True, Parameters=changed, Capabilities=CAPABILITIES
        )
    processed = cfn.get_template(StackName="app", TemplateStage="Processed")["TemplateBody"]
    assert json.loads(json.dumps(processed))

    s3.put_object(Bucket=ids["Site"], Key="index.html", Body=b"hello")
    cfn.delete_stack(StackName="app")
    assert wait(cfn, stack["StackId"])["StackStatus"] == "DELETE_FAILED", "the bucket is not empty"
    s3.delete_object(Bucket=ids["Site"], Key="index.html")
    cfn.delete_stack(StackName="app")
    assert wait(cfn, stack["StackId"])["StackStatus"] == "DELETE_COMPLETE", reasons(
        cfn, stack["StackId"]
    )
    assert functions.list_functions()["Functions"] == []
    assert [b["Name"] for b in s3.list_buckets()["Buckets"]] == ["code"]
    assert client("dynamodb").list_tables()["TableNames"] == []
    assert client("iam").list_roles()["Roles"] == []


def test_errors_of_the_transform_are_told_as_aws_tells_them(client: Any) -> None:
    cfn = client("cloudformation")
    local = BOOKMARKS.replace("{Bucket: !Ref CodeBucket, Key: code.zip}", "./src")
    with pytest.raises(ClientError) as told:
        cfn.create_stack(
            StackName="app",
            TemplateBody=local,
            Parameters=[{"ParameterKey": "CodeBucket", "ParameterValue": "code"}],
            Capabilities=CAPABILITIES,
        )
    message = told.value.response["Error"]["Message"]
    assert message.startswith(
        "Transform AWS::Serverless-2016-10-31 failed with: Invalid Serverless Application Specification document."
    )
    assert "Resource with id [List] is invalid" in message
    assert cfn.list_stacks()["StackSummaries"] == []


def test_types_nobody_offers_are_refused_by_name_before_anything_is_touched(client: Any) -> None:
    """An IoTRule event makes AWS::IoT::TopicRule, which is not offered."""
    cfn = client("cloudformation")
    ruled = BOOKMARKS.replace(
        "{Get: {Type: HttpApi, Properties: {ApiId: !Ref Api, Path: /bookmarks, Method: GET}}}",
        "{Get: {Type: IoTRule, Properties: {Sql: 'SELECT * FROM a'}}}",
    )
    with pytest.raises(
        ClientError, match=r"not offered by Stratolite: AWS::IoT::TopicRule"
    ) as told:
        cfn.create_stack(
            StackName="app",
            TemplateBody=ruled,
            Parameters=[{"ParameterKey": "CodeBucket", "ParameterValue": "code"}],
            Capabilities=CAPABILITIES,
        )
    assert "AWS::IoT::TopicRule (ListGet)" in str(told.value)
    assert cfn.list_stacks()["StackSummaries"] == []


def test_a_stack_may_do_what_its_caller_may(client: Any) -> None:
    """IAM is asked on every hop, as the caller: deploying is no way round it."""
    iam, template = (
        client("iam"),
        '{"Resources": {"T": {"Type": "AWS::S3::Bucket"}, "L": {"Type": "AWS::Logs::LogGroup"}}}',
    )
    iam.create_user(UserName="builder")
    allowed = ["cloudformation:*", "logs:*"]
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": allowed, "Resource": "*"}],
    }
    iam.put_user_policy(UserName="builder", PolicyName="p", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName="builder")["AccessKey"]
    cfn = client("cloudformation", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    cfn.create_stack(StackName="s", TemplateBody=template)
    stack = wait(cfn, "s")
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert any("not authorized to perform: s3:CreateBucket" in r for r in reasons(cfn, "s")), (
        reasons(cfn, "s")
    )
    assert client("logs").describe_log_groups()["logGroups"] == []
    with pytest.raises(ClientError, match="not authorized to perform: iam:PassRole"):
        cfn.create_stack(
            StackName="t", TemplateBody=template, RoleARN="arn:aws:iam::000000000000:role/admin"
        )
    iam.delete_user_policy(UserName="builder", PolicyName="p")
    with pytest.raises(
        ClientError, match="not authorized to perform: cloudformation:DescribeStacks"
    ):
        cfn.describe_stacks()


def test_the_tags_of_a_stack_are_the_tags_of_its_resources(client: Any) -> None:
    """And a change of tags is an update."""
    cfn, iam = client("cloudformation"), client("iam")
    statement = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}  # fmt: skip
    trust = {"Version": "2012-10-17", "Statement": [statement]}
    role = {"AssumeRolePolicyDocument": trust, "Tags": [{"Key": "own", "Value": "1"}]}
    template = json.dumps({"Resources": {"R": {"Type": "AWS::IAM::Role", "Properties": role}}})
    request = {"StackName": "s", "TemplateBody": template, "Capabilities": ["CAPABILITY_IAM"]}
    cfn.create_stack(**request, Tags=[{"Key": "team", "Value": "a"}, {"Key": "own", "Value": "2"}])
    assert wait(cfn, "s")["StackStatus"] == "CREATE_COMPLETE", reasons(cfn, "s")
    name = cfn.describe_stack_resource(StackName="s", LogicalResourceId="R")["StackResourceDetail"][
        "PhysicalResourceId"
    ]

    def tags() -> dict[str, str]:
        return {t["Key"]: t["Value"] for t in iam.list_role_tags(RoleName=name)["Tags"]}

    assert tags() == {"team": "a", "own": "1"}
    cfn.update_stack(**request, Tags=[{"Key": "team", "Value": "b"}])
    assert wait(cfn, "s")["StackStatus"] == "UPDATE_COMPLETE", reasons(cfn, "s")
    assert tags() == {"team": "b", "own": "1"}
    with pytest.raises(ClientError, match="No updates"):
        cfn.update_stack(**request)


def test_the_translator_is_started_again_when_it_is_gone_or_takes_too_long(
    monkeypatch: Any,
) -> None:
    """A template cannot keep it, and with it everybody else, busy."""
    plain = {"Transform": sam.SAM, "Resources": {"T": {"Type": "AWS::Serverless::SimpleTable"}}}

    def translate() -> Any:
        return asyncio.run(sam.transform(json.loads(json.dumps(plain)), {}, "eu-west-1"))

    assert translate()["Resources"]["T"]["Type"] == "AWS::DynamoDB::Table"
    first = sam._CHILD._process
    assert first is not None
    first.kill()
    first.wait()
    assert translate()["Resources"]
    second = sam._CHILD._process
    assert second is not None
    assert second.pid != first.pid
    second.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(sam, "SAM_TIME_S_MAX", 0.2)
    with pytest.raises(Fault, match="the template takes more than"):
        translate()
    monkeypatch.undo()
    assert translate()["Resources"]
    monkeypatch.setattr(sam, "SAM_IDLE_S", 0.05)
    assert translate()["Resources"]
    third = sam._CHILD._process
    assert third is not None
    third.wait(60)


def test_a_table_with_a_name_of_its_own_is_not_replaced_under_it(client: Any) -> None:
    """The new one could not be made beside the old one; the items stay where they are."""
    cfn, dynamodb = client("cloudformation"), client("dynamodb")

    def body(key: str) -> str:
        properties = {
            "TableName": "mine",
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
        }
        return json.dumps(
            {"Resources": {"T": {"Type": "AWS::DynamoDB::Table", "Properties": properties}}}
        )

    cfn.create_stack(StackName="s", TemplateBody=body("a"))
    assert wait(cfn, "s")["StackStatus"] == "CREATE_COMPLETE", reasons(cfn, "s")
    dynamodb.put_item(TableName="mine", Item={"a": {"S": "1"}})
    cfn.update_stack(StackName="s", TemplateBody=body("b"))
    assert wait(cfn, "s")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert any(
        "CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename mine and"
        in r
        for r in reasons(cfn, "s")
    ), reasons(cfn, "s")
    assert dynamodb.get_item(TableName="mine", Key={"a": {"S": "1"}})["Item"]
