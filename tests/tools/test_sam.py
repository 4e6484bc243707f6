"""aws-sam-cli, unmodified: build, deploy, a second deploy, logs, remote invoke, sync of code and of all, delete."""

from __future__ import annotations

import pytest
from tools.toolbox import Shop, find

pytestmark = [pytest.mark.live, pytest.mark.timeout(1500)]
STACK = ("--stack-name", "notes")

TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: {Runtime: python3.11, Timeout: 10}
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: src
      Handler: app.handler
      Policies: [{DynamoDBCrudPolicy: {TableName: !Ref Notes}}]
      Environment: {Variables: {TABLE: !Ref Notes}}
      Events:
        Root: {Type: HttpApi, Properties: {Path: /notes, Method: get}}
        Jobs: {Type: SQS, Properties: {Queue: !GetAtt Queue.Arn}}
  Notes: {Type: AWS::Serverless::SimpleTable}
  Queue: {Type: AWS::SQS::Queue}
Outputs:
  ApiId: {Value: !Ref ServerlessHttpApi}
"""
APP = """
import os
import boto3

def handler(event, context):
    print("hello from sam")
    boto3.resource("dynamodb").Table(os.environ["TABLE"]).put_item(Item={"id": "1"})
    return {"greeting": "hello"}
"""


def test_sam_builds_deploys_syncs_shows_and_deletes(shop: Shop) -> None:
    sam = find("sam/bin/sam")
    shop.write(template__yaml=TEMPLATE, src___app__py=APP, src___requirements__txt="")
    assert "Build Succeeded" in shop.run(sam, "build")
    deploy = (sam, "deploy", *STACK, "--resolve-s3", "--capabilities", "CAPABILITY_IAM")
    said = shop.run(*deploy, "--no-confirm-changeset")
    assert "Successfully created/updated stack - notes in us-east-1" in said
    assert "CREATE_COMPLETE" in said
    assert shop.stacks() == {"notes", "aws-sam-cli-managed-default"}
    api_id = shop.outputs("notes")["ApiId"]
    assert shop.api(api_id, "/notes") == b'{"greeting":"hello"}'
    assert "No changes to deploy" in shop.run(*deploy, "--no-fail-on-empty-changeset")
    said = shop.run(sam, "remote", "invoke", *STACK, "Hello", "--event", "{}")
    assert '{"greeting": "hello"}' in said
    assert "hello from sam" in shop.run(sam, "logs", *STACK)
    assert api_id in shop.run(sam, "list", "stack-outputs", *STACK, "--output", "json")

    shop.change("src/app.py", '"hello"}', '"code"}')
    shop.run(sam, "sync", *STACK, "--code", "--no-dependency-layer", says="y\n")
    assert shop.api(api_id, "/notes") == b'{"greeting":"code"}'
    shop.change("src/app.py", '"code"}', '"all"}')
    shop.change("template.yaml", "Timeout: 10", "Timeout: 20")
    sync = (sam, "sync", *STACK, "--no-watch", "--no-dependency-layer")
    assert "Stack update succeeded" in shop.run(*sync, says="y\n")
    assert shop.api(api_id, "/notes") == b'{"greeting":"all"}'

    assert "Deleted successfully" in shop.run(sam, "delete", *STACK, "--no-prompts")
    assert shop.stacks() == {"aws-sam-cli-managed-default"}
    assert shop.client("lambda").list_functions()["Functions"] == []


def test_sam_says_why_a_deploy_was_rolled_back(shop: Shop) -> None:
    sam = find("sam/bin/sam")
    bad = "  Odd: {Type: AWS::SNS::Subscription, Properties: {Protocol: sqs, Endpoint: 'arn:aws:sqs:us-east-1:000000000000:q', TopicArn: 'arn:aws:sns:us-east-1:000000000000:nobody'}}\n"
    template = TEMPLATE.replace("Outputs:", bad + "Outputs:")
    shop.write(template__yaml=template, src___app__py=APP, src___requirements__txt="")
    shop.run(sam, "build")
    deploy = (sam, "deploy", *STACK, "--resolve-s3", "--capabilities", "CAPABILITY_IAM")
    said = shop.run(*deploy, fails=True)
    assert "ROLLBACK" in said
    assert "Topic does not exist" in " ".join(said.split())
