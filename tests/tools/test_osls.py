"""osls, the Serverless Framework as its community keeps it, unmodified: deploy, info, invoke, logs, one function again, remove."""

from __future__ import annotations

import json
import re
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from tools.toolbox import Shop, find, needs_node, until

pytestmark = [pytest.mark.live, pytest.mark.timeout(1500)]

SERVICE = """
service: notes
provider:
  name: aws
  runtime: python3.11
  httpApi: {cors: true}
  environment: {TABLE: !Ref Notes}
  iam:
    role:
      statements:
        - {Effect: Allow, Action: ["dynamodb:PutItem", "dynamodb:Scan"], Resource: !GetAtt Notes.Arn}
functions:
  hello:
    handler: app.handler
    events:
      - httpApi: GET /hello
      - sqs: {arn: !GetAtt Jobs.Arn}
      - schedule: rate(1 hour)
resources:
  Resources:
    Jobs: {Type: AWS::SQS::Queue, Properties: {QueueName: jobs}}
    Notes:
      Type: AWS::DynamoDB::Table
      Properties:
        BillingMode: PAY_PER_REQUEST
        AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
        KeySchema: [{AttributeName: id, KeyType: HASH}]
"""
CODE = """
import os
import boto3

def handler(event, context):
    print("hello from osls")
    table = boto3.resource("dynamodb").Table(os.environ["TABLE"])
    for record in event.get("Records", []):
        table.put_item(Item={"id": record["body"]})
    return {"greeting": "hello", "notes": table.scan()["Count"]}
"""


def test_osls_deploys_invokes_shows_and_removes(shop: Shop) -> None:
    needs_node()
    tool = find("node/node_modules/osls/bin/serverless.js")
    shop.write(serverless__yml=SERVICE, app__py=CODE)

    def osls(*command: str) -> str:
        return shop.run("node", tool, *command)

    said = osls("deploy")
    assert "Service deployed to stack notes-dev" in said
    api_id = re.search(r"https://([a-z0-9]+)\.execute-api", said)[1]
    assert "notes-dev-hello" in osls("info")
    assert json.loads(shop.api(api_id, "/hello")) == {"greeting": "hello", "notes": 0}
    sqs = shop.client("sqs")
    queue_url = sqs.get_queue_url(QueueName="jobs")["QueueUrl"]
    sqs.send_message(QueueUrl=queue_url, MessageBody="one")
    until(lambda: json.loads(shop.api(api_id, "/hello"))["notes"] == 1)
    assert '"greeting": "hello"' in osls("invoke", "-f", "hello", "-d", "{}")
    assert "hello from osls" in osls("logs", "-f", "hello")
    shop.change("app.py", '"hello"', '"again"')
    assert "Function code deployed" in osls("deploy", "function", "-f", "hello")
    assert json.loads(shop.api(api_id, "/hello"))["greeting"] == "again"
    shop.change("app.py", '"again"', '"third"')
    assert "Service deployed to stack notes-dev" in osls("deploy")
    assert json.loads(shop.api(api_id, "/hello"))["greeting"] == "third"
    assert "has been successfully removed" in osls("remove")
    assert shop.stacks() == set()
    assert shop.client("s3").list_buckets()["Buckets"] == []


REST = """
service: rest
provider:
  name: aws
  runtime: python3.11
  stage: dev
  apiGateway:
    apiKeys: [mine]
    usagePlan: {throttle: {burstLimit: 20, rateLimit: 10}}
functions:
  hello:
    handler: app.handler
    events:
      - http: {path: "hello/{name}", method: get, cors: true}
      - http: {path: private, method: get, private: true}
      - http: {path: guarded, method: get, authorizer: {name: judge, resultTtlInSeconds: 0}}
  judge: {handler: app.judge}
"""
REST_CODE = """
import json

def handler(event, context):
    said = {"path": event["path"], "name": (event["pathParameters"] or {}).get("name"), "greeting": "hello"}
    return {"statusCode": 200, "body": json.dumps(said)}

def judge(event, context):
    effect = "Allow" if event["authorizationToken"] == "good" else "Deny"
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": event["methodArn"]}
    return {"principalId": "ann", "policyDocument": {"Version": "2012-10-17", "Statement": [statement]}}
"""


def test_osls_deploys_changes_and_removes_a_rest_api(shop: Shop) -> None:
    needs_node()
    tool = find("node/node_modules/osls/bin/serverless.js")
    shop.write(serverless__yml=REST, app__py=REST_CODE)

    def osls(*command: str) -> str:
        return shop.run("node", tool, *command)

    said = osls("deploy")
    api_id = re.search(r"https://([a-z0-9]+)\.execute-api", said)[1]
    (key,) = shop.client("apigateway").get_api_keys(includeValues=True)["items"]

    def ask(path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
        url = f"{shop.server.endpoint}/_aws/execute-api/{api_id}/dev{path}"
        try:
            with urlopen(Request(url, None, headers, method=method), timeout=60) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()

    status, text = ask("/hello/Ann")
    assert (status, json.loads(text)) == (200, {"path": "/hello/Ann", "name": "Ann", "greeting": "hello"})  # fmt: skip
    assert ask("/hello/Ann", "OPTIONS")[0] == 200
    assert ask("/private") == (403, '{"message":"Forbidden"}')
    assert ask("/private", **{"X-Api-Key": key["value"]})[0] == 200
    assert ask("/guarded", Authorization="good")[0] == 200
    assert ask("/guarded", Authorization="bad")[0] == 403
    shop.change("serverless.yml", "path: private", "path: hidden")
    shop.change("app.py", '"hello"', '"again"')
    assert "Service deployed to stack rest-dev" in osls("deploy")
    assert ask("/hidden", **{"X-Api-Key": key["value"]})[0] == 200
    assert json.loads(ask("/hello/Ann")[1])["greeting"] == "again"
    assert "has been successfully removed" in osls("remove")
    assert shop.client("apigateway").get_rest_apis()["items"] == []
