"""Every event of a SAM state machine, and connectors between everything offered: a template says it, it happens.

https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-statemachine-statemachineeventsource.html
https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/reference-sam-connector.html
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from eventing import ACCOUNT, advance
from services.test_sam_events import CAPABILITIES, HEAD, deployed

from stratolite.cli import main
from stratolite.http import HttpRequest

MACHINE = """
    Type: AWS::Serverless::StateMachine
    Properties:
      Definition: {StartAt: P, States: {P: {Type: Pass, End: true}}}
      Events:
"""


class Inputs:
    """What the executions of a machine were given, once there are so many; the cloud clock goes on with each look."""

    def __init__(self, platform: Any, client: Any) -> None:
        self._platform, self._states = platform, client("stepfunctions")

    def now(self, machine: str) -> list[Any]:
        found = self._states.list_executions(stateMachineArn=machine)["executions"]
        told = [
            self._states.describe_execution(executionArn=e["executionArn"]) for e in found[::-1]
        ]
        return [json.loads(one["input"]) for one in told]

    def got(self, machine: str, count: int = 1, step_s: float = 0.0) -> list[Any]:
        until_s = time.monotonic() + 120
        while time.monotonic() < until_s:
            if len(found := self.now(machine)) >= count:
                return found
            time.sleep(0.02)
            if step_s:
                advance(self._platform, step_s)
        raise AssertionError(found)


@pytest.fixture
def inputs(platform: Any, client: Any) -> Inputs:
    return Inputs(platform, client)


SCHEDULED = f"""
  Often:{MACHINE}
        Tick:
          Type: Schedule
          Properties:
            Schedule: rate(30 minutes)
            Name: tick
            Description: twice an hour
            Input: '{{"n": 1}}'
            RetryPolicy: {{MaximumRetryAttempts: 5, MaximumEventAgeInSeconds: 900}}
            DeadLetterConfig: {{Type: SQS, QueueLogicalId: TickDead}}
            RoleArn: 'arn:aws:iam::000000000000:role/starter'
        Off: {{Type: Schedule, Properties: {{Schedule: rate(1 minute), Enabled: false, Input: '{{"off": 1}}'}}}}
  Morning:{MACHINE}
        Nine:
          Type: ScheduleV2
          Properties:
            ScheduleExpression: cron(0 9 * * ? *)
            ScheduleExpressionTimezone: Europe/Berlin
            FlexibleTimeWindow: {{Mode: 'OFF'}}
            Name: nine
            Input: '{{"at": "<aws.scheduler.scheduled-time>"}}'
            RetryPolicy: {{MaximumRetryAttempts: 2, MaximumEventAgeInSeconds: 300}}
        Off: {{Type: ScheduleV2, Properties: {{ScheduleExpression: rate(1 minute), State: DISABLED}}}}
  Starter:
    Type: AWS::IAM::Role
    Properties:
      RoleName: starter
      AssumeRolePolicyDocument: {{Statement: [{{Effect: Allow, Principal: {{Service: events.amazonaws.com}}, Action: 'sts:AssumeRole'}}]}}
      Policies: [{{PolicyName: p, PolicyDocument: {{Statement: [{{Effect: Allow, Action: 'states:StartExecution', Resource: '*'}}]}}}}]
"""


def test_schedules_start_executions(platform: Any, client: Any, inputs: Inputs) -> None:
    """Schedule by a rule under a role of SAM's or one's own, ScheduleV2 by the scheduler in a time zone."""
    ids = deployed(client, SCHEDULED)
    assert inputs.got(ids["Often"], step_s=600)[0] == {"n": 1}
    at = inputs.got(ids["Morning"], step_s=3600)[0]["at"]
    assert at[11:] in ("07:00:00Z", "08:00:00Z"), at
    assert {"off": 1} not in inputs.now(ids["Often"])
    (target,) = client("events").list_targets_by_rule(Rule="tick")["Targets"]
    assert target["RoleArn"] == f"arn:aws:iam::{ACCOUNT}:role/starter"
    assert target["RetryPolicy"] == {"MaximumRetryAttempts": 5, "MaximumEventAgeInSeconds": 900}
    dead = client("sqs").get_queue_attributes(QueueUrl=ids["TickDead"], AttributeNames=["QueueArn"])
    assert target["DeadLetterConfig"]["Arn"] == dead["Attributes"]["QueueArn"]


RULED = f"""
  Bus: {{Type: AWS::Events::EventBus, Properties: {{Name: orders}}}}
  Shaped:{MACHINE}
        Order:
          Type: EventBridgeRule
          Properties:
            EventBusName: !Ref Bus
            RuleName: shaped-orders
            Pattern: {{source: [shop], detail: {{price: [{{numeric: ['>', 10]}}]}}}}
            InputTransformer: {{InputPathsMap: {{price: $.detail.price}}, InputTemplate: '{{"paid": <price>}}'}}
            Target: {{Id: mine}}
            RetryPolicy: {{MaximumRetryAttempts: 3, MaximumEventAgeInSeconds: 120}}
        Off: {{Type: EventBridgeRule, Properties: {{Pattern: {{source: [shop]}}, State: DISABLED}}}}
  Part:{MACHINE}
        Order: {{Type: CloudWatchEvent, Properties: {{Pattern: {{source: [shop]}}, InputPath: $.detail}}}}
        Fixed: {{Type: CloudWatchEvent, Properties: {{Pattern: {{source: [fixed]}}, Input: '{{"fixed": 1}}'}}}}
"""


def test_rules_start_executions(client: Any, inputs: Inputs) -> None:
    """EventBridgeRule and CloudWatchEvent: buses, patterns, inputs and states."""
    ids, events = deployed(client, RULED), client("events")

    def put(source: str, bus: str, price: int) -> None:
        entry = {"Source": source, "DetailType": "t", "EventBusName": bus}
        events.put_events(Entries=[{**entry, "Detail": json.dumps({"price": price})}])

    put("shop", "orders", 5)
    put("shop", "orders", 20)
    put("shop", "default", 1)
    put("fixed", "default", 1)
    assert inputs.got(ids["Shaped"]) == [{"paid": 20}]
    assert sorted(map(str, inputs.got(ids["Part"], 2))) == ["{'fixed': 1}", "{'price': 1}"]
    assert inputs.now(ids["Shaped"]) == [{"paid": 20}]


ASKED = f"""
  Own: {{Type: AWS::Serverless::Api, Properties: {{StageName: v1}}}}
  Machine:{MACHINE}
        Post: {{Type: Api, Properties: {{Path: /orders, Method: post}}}}
        Named:
          Type: Api
          Properties: {{Path: '/orders/{{id}}', Method: put, RestApiId: !Ref Own, UnescapeMappingTemplate: true}}
"""


def test_rest_apis_start_executions(platform: Any, client: Any, inputs: Inputs) -> None:
    """The answer is StartExecution's own; the input is the request's body, whatever quotes there are in it."""
    ids = deployed(client, ASKED)

    def ask(method: str, api: str, path: str, body: Any) -> dict[str, Any]:
        headers = {"host": "localhost:4566", "content-type": "application/json"}
        where = f"/_aws/execute-api/{api}/{path}"
        request = HttpRequest(method, where, "", headers, json.dumps(body).encode())
        status, _, answer = platform.send(request)
        assert status == 200, answer
        return dict(json.loads(answer))

    said = {"text": 'it\'s "quoted"', "n": 1}
    answers = [
        ask("POST", ids["ServerlessRestApi"], "Prod/orders", {"n": 1}),
        ask("PUT", ids["Own"], "v1/orders/7", said),
    ]
    arns = [a["executionArn"] for a in answers]
    assert all(
        arn.startswith(ids["Machine"].replace(":stateMachine:", ":execution:")) for arn in arns
    )
    assert sorted(inputs.got(ids["Machine"], 2), key=len) == [{"n": 1}, said]


@pytest.mark.parametrize("resources", [SCHEDULED, RULED, ASKED])
def test_check_finds_nothing_in_them(resources: str, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "t.yaml").write_text(HEAD + resources)
    assert not main(["check", str(tmp_path / "t.yaml")]), capsys.readouterr().out


THINGS = {
    "Bucket": "{Type: AWS::S3::Bucket}",
    "Topic": "{Type: AWS::SNS::Topic}",
    "Queue": "{Type: AWS::SQS::Queue}",
    "Inbox": "{Type: AWS::SQS::Queue}",
    "Bus": "{Type: AWS::Events::EventBus, Properties: {Name: bus}}",
    "Table": "{Type: AWS::DynamoDB::Table, Properties: {BillingMode: PAY_PER_REQUEST, KeySchema: [{AttributeName: id, KeyType: HASH}],"
    " AttributeDefinitions: [{AttributeName: id, AttributeType: S}], StreamSpecification: {StreamViewType: NEW_IMAGE}}}",
    "Function": "{Type: AWS::Serverless::Function, Properties: {InlineCode: 'def handler(e, c): return e'}}",
    "Other": "{Type: AWS::Serverless::Function, Properties: {InlineCode: 'def handler(e, c): return e'}}",
    "Machine": "{Type: AWS::Serverless::StateMachine, Properties: {Definition: {StartAt: P, States: {P: {Type: Pass, End: true}}}}}",
    "Next": "{Type: AWS::Serverless::StateMachine, Properties: {Definition: {StartAt: P, States: {P: {Type: Pass, End: true}}}}}",
    "Rest": "{Type: AWS::Serverless::Api, Properties: {StageName: v1, DefinitionBody: {swagger: '2.0', info: {title: t, version: '1'}, paths: {/: {get: {responses: {'200': {description: d}}, x-amazon-apigateway-integration: {type: mock, requestTemplates: {application/json: '{\"statusCode\": 200}'}, responses: {default: {statusCode: 200}}}}}}}}}",
    "Http": "{Type: AWS::Serverless::HttpApi, Properties: {DefinitionBody: {openapi: 3.0.1, info: {title: t, version: '1'}, paths: {}}}}",
    "RuleRole": "{Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {Statement: [{Effect: Allow, Principal: {Service: events.amazonaws.com}, Action: 'sts:AssumeRole'}]}}}",
}  # fmt: skip
PAIRS = [
    ("Table", "Function", "Read"),
    ("Function", "Other", "Write"),
    ("Function", "Bucket", "Read, Write"),
    ("Function", "Table", "Read, Write"),
    ("Function", "Queue", "Read, Write"),
    ("Function", "Topic", "Write"),
    ("Function", "Machine", "Read, Write"),
    ("Function", "Bus", "Write"),
    ("Http", "Function", "Write"),
    ("Rest", "Function", "Write"),
    ("Topic", "Queue", "Write"),
    ("Topic", "Function", "Write"),
    ("Queue", "Function", "Read, Write"),
    ("Bucket", "Function", "Write"),
    ("Machine", "Function", "Write"),
    ("Machine", "Topic", "Write"),
    ("Machine", "Queue", "Write"),
    ("Machine", "Bucket", "Read, Write"),
    ("Machine", "Table", "Read, Write"),
    ("Machine", "Next", "Read, Write"),
    ("Machine", "Bus", "Write"),
]
RULES = (
    "Topic",
    "Function",
    "Inbox",
    "Machine",
    "Bus",
)  # a queue has one policy: two connectors to one would overwrite each other


def connectors() -> str:
    """A connector for every pair of types that SAM knows and that are offered."""
    lines = [f"  {name}: {body}" for name, body in THINGS.items()]
    for source, target, permissions in PAIRS:
        lines.append(
            f"  {source}To{target}: {{Type: AWS::Serverless::Connector, Properties: {{Source: {{Id: {source}}},"
            f" Destination: {{Id: {target}}}, Permissions: [{permissions}]}}}}"
        )
    for target in RULES:
        arn = "!Ref Topic" if target == "Topic" else "!Ref Machine" if target == "Machine" else f"!GetAtt {target}.Arn"  # fmt: skip
        role = ", RoleArn: !GetAtt RuleRole.Arn" if target in ("Machine", "Bus") else ""
        lines.append(
            f"  RuleOf{target}: {{Type: AWS::Events::Rule, Properties: {{EventPattern: {{source: [of{target}]}},"
            f" Targets: [{{Id: t, Arn: {arn}{role}}}]}}}}"
        )
        source = f"{{Type: AWS::Events::Rule, Arn: !GetAtt RuleOf{target}.Arn, RoleName: !Ref RuleRole}}" if role else f"{{Id: RuleOf{target}}}"  # fmt: skip
        lines.append(
            f"  RuleTo{target}: {{Type: AWS::Serverless::Connector, Properties: {{Source: {source},"
            f" Destination: {{Id: {target}}}, Permissions: [Write]}}}}"
        )
    return HEAD + "\n".join(lines) + "\n"


def simulated(client: Any, role: str, action: str, resource: str) -> str:
    arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
    asked = {"PolicySourceArn": arn, "ActionNames": [action], "ResourceArns": [resource]}
    (result,) = client("iam").simulate_principal_policy(**asked)["EvaluationResults"]
    return str(result["EvalDecision"])


def test_a_connector_between_any_two_gives_what_it_says(
    client: Any, tmp_path: Path, capsys: Any
) -> None:
    """`stratolite check` finds nothing in them; each role may then do what it was connected for, and nothing elsewhere."""
    text = connectors()
    (tmp_path / "t.yaml").write_text(text)
    assert not main(["check", str(tmp_path / "t.yaml")]), capsys.readouterr().out
    cfn = client("cloudformation")
    cfn.create_stack(StackName="app", TemplateBody=text, Capabilities=CAPABILITIES)
    until_s = time.monotonic() + 120
    while time.monotonic() < until_s:
        (stack,) = cfn.describe_stacks(StackName="app")["Stacks"]
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            break
        time.sleep(0.02)
    events = cfn.describe_stack_events(StackName="app")["StackEvents"]
    told = [r for e in events if (r := e.get("ResourceStatusReason"))]
    assert stack["StackStatus"] == "CREATE_COMPLETE", told
    shown = cfn.describe_stack_resources(StackName="app")["StackResources"]
    ids = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in shown}
    function, machine = ids["FunctionRole"], ids["MachineRole"]
    table = f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/"
    bucket = f"arn:aws:s3:::{ids['Bucket']}/"
    other = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:{ids['Other']}"
    cases = [
        (function, "dynamodb:PutItem", f"{table}{ids['Table']}", f"{table}another"),
        (function, "s3:GetObject", f"{bucket}key", "arn:aws:s3:::another/key"),
        (function, "lambda:InvokeFunction", other, f"{other}s"),
        (function, "states:StartExecution", ids["Machine"], f"{ids['Machine']}s"),
        (machine, "states:StartExecution", ids["Next"], f"{ids['Next']}s"),
        (machine, "sns:Publish", ids["Topic"], f"{ids['Topic']}s"),
    ]
    for role, action, allowed, not_allowed in cases:
        assert simulated(client, role, action, allowed) == "allowed", (role, action)
        assert simulated(client, role, action, not_allowed) == "implicitDeny", (role, action)
    arn = client("sqs").get_queue_attributes(QueueUrl=ids["Queue"], AttributeNames=["QueueArn"])
    client("sns").subscribe(
        TopicArn=ids["Topic"], Protocol="sqs", Endpoint=arn["Attributes"]["QueueArn"]
    )
    client("sns").publish(TopicArn=ids["Topic"], Message="through the queue's policy")
    entry = {"Source": "ofInbox", "DetailType": "t", "Detail": "{}"}
    client("events").put_events(Entries=[entry, {**entry, "Source": "ofMachine"}])
    (note,) = _messages(client, ids["Queue"], 1)
    assert json.loads(note["Body"])["Message"] == "through the queue's policy"
    (event,) = _messages(client, ids["Inbox"], 1)
    assert json.loads(event["Body"])["source"] == "ofInbox"
    states = client("stepfunctions")
    until_s = time.monotonic() + 60
    while not (found := states.list_executions(stateMachineArn=ids["Machine"])["executions"]):
        assert time.monotonic() < until_s, "the rule has not started the machine"
        time.sleep(0.02)
    assert len(found) == 1


def _messages(client: Any, url: str, count: int) -> list[Any]:
    sqs, found = client("sqs"), []
    while len(found) < count:
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=20)
        assert answer.get("Messages"), found
        found += answer["Messages"]
    return found
