"""Every event of a SAM function whose service is offered: a template says it, it happens, the function gets it.

https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-function-eventsource.html
What the functions do is played by the test (``Functions``); the sandbox has tests of its own.
"""

from __future__ import annotations

import base64
import gzip
import json
import time
from collections import defaultdict
from typing import Any

import pytest
from botocore.exceptions import ClientError
from eventing import ACCOUNT
from played import Functions, published, shape

from stratolite.errors import Fault
from stratolite.http import HttpRequest

CAPABILITIES = ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
CODE = "InlineCode: 'def handler(event, context): return event'"
HEAD = """
AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: {Runtime: python3.12, Handler: index.handler}
Resources:
"""


@pytest.fixture
def functions(platform: Any) -> Functions:
    return Functions(platform)


def deployed(client: Any, template: str, name: str = "app") -> dict[str, str]:
    """The physical ids of a new stack."""
    cfn = client("cloudformation")
    whole = HEAD + template.replace("      FunctionName:", f"      {CODE}\n      FunctionName:")
    cfn.create_stack(StackName=name, TemplateBody=whole, Capabilities=CAPABILITIES)
    for _ in range(12_000):
        stack = cfn.describe_stacks(StackName=name)["Stacks"][0]
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            break
        time.sleep(0.01)
    events = cfn.describe_stack_events(StackName=name)["StackEvents"]
    told = [r for e in events if (r := e.get("ResourceStatusReason"))]
    assert stack["StackStatus"] == "CREATE_COMPLETE", told
    shown = cfn.describe_stack_resources(StackName=name)["StackResources"]
    return {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in shown}


QUEUES = """
  Queue:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: 30
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 2}
  Dead: {Type: AWS::SQS::Queue}
  FromQueue:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: queue
      Events:
        Message:
          Type: SQS
          Properties:
            Queue: !GetAtt Queue.Arn
            BatchSize: 20
            MaximumBatchingWindowInSeconds: 1
            Enabled: true
            FilterCriteria: {Filters: [{Pattern: '{"body": {"kind": ["wanted"]}}'}]}
            FunctionResponseTypes: [ReportBatchItemFailures]
            ScalingConfig: {MaximumConcurrency: 2}
  Asleep:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: asleep
      RecursiveLoop: Allow
      Events:
        Message:
          Type: SQS
          Properties:
            Queue: !GetAtt Dead.Arn
            Enabled: false
            MetricsConfig: {Metrics: [EventCount]}
            ProvisionedPollerConfig: {MinimumPollers: 2, MaximumPollers: 3}
"""


def test_sqs(client: Any, functions: Functions) -> None:
    """Filtered, in batches, with failures of single messages; a disabled one stays away."""
    ids, sqs, lambdas = deployed(client, QUEUES), client("sqs"), client("lambda")

    def answer(event: Any) -> Any:
        bad = [r["messageId"] for r in event["Records"] if "poison" in r["body"]]
        return {"batchItemFailures": [{"itemIdentifier": one} for one in bad]}

    functions.answers["queue"] = answer
    url, dead = ids["Queue"], ids["Dead"]
    bodies = [json.dumps({"kind": kind, "n": n}) for n, kind in enumerate(("wanted", "other"))]
    bodies.append(json.dumps({"kind": "wanted", "say": "poison"}))
    for n, body in enumerate(bodies):
        sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": str(n), "MessageBody": body}])
    dead_ones = lambda: sqs.get_queue_attributes(  # noqa: E731
        QueueUrl=dead, AttributeNames=["ApproximateNumberOfMessages"]
    )["Attributes"]["ApproximateNumberOfMessages"]
    functions.until(lambda: dead_ones() == "1", step_s=1)
    seen = [r["body"] for e in functions.events["queue"] for r in e["Records"]]
    assert sorted(seen) == sorted([bodies[0], bodies[2], bodies[2]])
    assert functions.events["asleep"] == []
    mapped = lambdas.list_event_source_mappings(FunctionName="queue")["EventSourceMappings"][0]
    assert (mapped["BatchSize"], mapped["MaximumBatchingWindowInSeconds"]) == (20, 1)
    assert mapped["ScalingConfig"] == {"MaximumConcurrency": 2}
    asleep = lambdas.list_event_source_mappings(FunctionName="asleep")["EventSourceMappings"][0]
    assert asleep["State"] == "Disabled"
    assert asleep["MetricsConfig"] == {"Metrics": ["EventCount"]}
    assert asleep["ProvisionedPollerConfig"] == {"MinimumPollers": 2, "MaximumPollers": 3}
    found = lambdas.get_function_recursion_config(FunctionName="asleep")
    assert found["RecursiveLoop"] == "Allow"


STREAMS = """
  Stream: {Type: AWS::Kinesis::Stream, Properties: {ShardCount: 1}}
  Dead: {Type: AWS::SQS::Queue}
  DeadTopic: {Type: AWS::SNS::Topic}
  DeadTopicQueue: {Type: AWS::SQS::Queue}
  Subscription:
    Type: AWS::SNS::Subscription
    Properties: {TopicArn: !Ref DeadTopic, Protocol: sqs, Endpoint: !GetAtt DeadTopicQueue.Arn, RawMessageDelivery: true}
  Policy:
    Type: AWS::SQS::QueuePolicy
    Properties:
      Queues: [!Ref DeadTopicQueue]
      PolicyDocument:
        Statement: [{Effect: Allow, Principal: {Service: sns.amazonaws.com}, Action: sqs:SendMessage, Resource: '*'}]
  Kept: {Type: AWS::S3::Bucket}
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
      StreamSpecification: {StreamViewType: NEW_IMAGE}
  Bisecting:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: bisecting
      Events:
        Records:
          Type: Kinesis
          Properties:
            Stream: !GetAtt Stream.Arn
            StartingPosition: TRIM_HORIZON
            BatchSize: 4
            BisectBatchOnFunctionError: true
            MaximumRetryAttempts: 2
            MaximumRecordAgeInSeconds: 3600
            DestinationConfig: {OnFailure: {Type: SQS, Destination: !GetAtt Dead.Arn}}
            FilterCriteria: {Filters: [{Pattern: '{"data": {"kind": ["wanted"]}}'}]}
  Parallel:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: parallel
      Events:
        Records:
          Type: Kinesis
          Properties:
            Stream: !GetAtt Stream.Arn
            StartingPosition: AT_TIMESTAMP
            StartingPositionTimestamp: 1600000000
            BatchSize: 100
            MaximumBatchingWindowInSeconds: 2
            ParallelizationFactor: 2
            FunctionResponseTypes: [ReportBatchItemFailures]
            DestinationConfig: {OnFailure: {Type: S3, Destination: !GetAtt Kept.Arn}}
  Tumbling:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: tumbling
      Events:
        Records:
          Type: Kinesis
          Properties: {Stream: !GetAtt Stream.Arn, StartingPosition: TRIM_HORIZON, TumblingWindowInSeconds: 60}
  Changes:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: changes
      Events:
        Changes:
          Type: DynamoDB
          Properties:
            Stream: !GetAtt Table.StreamArn
            StartingPosition: TRIM_HORIZON
            BatchSize: 10
            Enabled: true
            MaximumRetryAttempts: 0
            DestinationConfig: {OnFailure: {Type: SNS, Destination: !Ref DeadTopic}}
            FilterCriteria: {Filters: [{Pattern: '{"eventName": ["INSERT"]}'}]}
"""


def test_kinesis_and_dynamodb(client: Any, functions: Functions) -> None:
    """Bisected, filtered, in parallel, in windows; what fails goes to a queue, a topic or a bucket, as the role SAM makes may."""
    ids = deployed(client, STREAMS)
    kinesis, dynamodb = client("kinesis"), client("dynamodb")

    def datas(event: Any) -> list[str]:
        return [base64.b64decode(r["kinesis"]["data"]).decode() for r in event["Records"]]

    def count(event: Any) -> Any:
        return {"state": {"count": event["state"].get("count", 0) + len(event["Records"])}}

    functions.answers |= {
        "bisecting": lambda e: ValueError() if "poison" in "".join(datas(e)) else {},
        "tumbling": count,
        "changes": lambda e: ValueError(),
    }
    texts = [json.dumps({"kind": k}) for k in ("wanted", "other", "wanted", "poison", "wanted")]
    texts[3] = json.dumps({"kind": "wanted", "say": "poison"})
    kinesis.put_records(
        StreamName=ids["Stream"], Records=[{"Data": t, "PartitionKey": "k"} for t in texts]
    )
    (told,) = [json.loads(m["Body"]) for m in functions.letters(client, ids["Dead"])]
    assert told["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert told["KinesisBatchInfo"]["batchSize"] == 1  # the poison alone
    functions.until(lambda: datas(functions.events["bisecting"][-1]) == [texts[4]], step_s=1)
    seen = [one for e in functions.events["bisecting"] for one in datas(e)]
    assert texts[1] not in seen

    functions.until(
        lambda: sum(len(e["Records"]) for e in functions.events["parallel"]) == 5, step_s=1
    )
    functions.until(
        lambda: any(e["isFinalInvokeForWindow"] for e in functions.events["tumbling"]), step_s=5
    )
    final = next(e for e in functions.events["tumbling"] if e["isFinalInvokeForWindow"])
    assert final["state"] == {"count": 5}

    dynamodb.put_item(TableName=ids["Table"], Item={"id": {"S": "a"}})
    dynamodb.delete_item(TableName=ids["Table"], Key={"id": {"S": "a"}})
    (told,) = [json.loads(m["Body"]) for m in functions.letters(client, ids["DeadTopicQueue"])]
    assert told["DDBStreamBatchInfo"]["batchSize"] == 1
    assert [r["eventName"] for e in functions.events["changes"] for r in e["Records"]] == ["INSERT"]


PUSHED = """
  Bucket: {Type: AWS::S3::Bucket}
  Topic: {Type: AWS::SNS::Topic}
  Ordered: {Type: AWS::SNS::Topic, Properties: {FifoTopic: true, TopicName: ordered.fifo, ContentBasedDeduplication: true}}
  Dead: {Type: AWS::SQS::Queue}
  Own: {Type: AWS::SQS::Queue}
  Uploads:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: uploads
      Events:
        Object:
          Type: S3
          Properties:
            Bucket: !Ref Bucket
            Events: ['s3:ObjectCreated:*', 's3:ObjectRemoved:Delete']
            Filter: {S3Key: {Rules: [{Name: prefix, Value: in/}, {Name: suffix, Value: .jpg}]}}
  Wanted:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: wanted
      Events:
        Said:
          Type: SNS
          Properties:
            Topic: !Ref Topic
            FilterPolicyScope: MessageBody
            FilterPolicy: {kind: [wanted]}
            RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn}
  Queued:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: queued
      Events:
        Said: {Type: SNS, Properties: {Topic: !Ref Topic, SqsSubscription: true, FilterPolicy: {kind: [wanted]}}}
  QueuedOwn:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: queued-own
      Events:
        Said:
          Type: SNS
          Properties:
            Topic: !Ref Topic
            SqsSubscription:
              {QueueArn: !GetAtt Own.Arn, QueueUrl: !Ref Own, QueuePolicyLogicalId: Mine, BatchSize: 3, Enabled: true}
  QueuedInOrder:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: queued-in-order
      Events: {Said: {Type: SNS, Properties: {Topic: !Ref Ordered, SqsSubscription: true}}}
"""


def test_s3_and_sns(client: Any, functions: Functions) -> None:
    ids, s3, sns = deployed(client, PUSHED), client("s3"), client("sns")
    for key in ("in/a.jpg", "in/b.txt", "out/c.jpg"):
        s3.put_object(Bucket=ids["Bucket"], Key=key, Body=b"")
    s3.delete_object(Bucket=ids["Bucket"], Key="in/a.jpg")
    records = [e["Records"][0] for e in functions.got("uploads", 2)]
    assert sorted(r["eventName"] for r in records) == ["ObjectCreated:Put", "ObjectRemoved:Delete"]
    assert {r["s3"]["object"]["key"] for r in records} == {"in/a.jpg"}

    attribute = {"kind": {"DataType": "String", "StringValue": "wanted"}}
    given = {"Test": {"DataType": "String", "StringValue": "a"}, "TestBinary": {"DataType": "Binary", "BinaryValue": b"a"}}  # fmt: skip
    sns.publish(TopicArn=ids["Topic"], Message=json.dumps({"kind": "wanted"}), Subject="TestInvoke", MessageAttributes=given)  # fmt: skip
    sns.publish(TopicArn=ids["Topic"], Message=json.dumps({"kind": "other"}), MessageAttributes=attribute)  # fmt: skip
    (event,) = functions.got("wanted")
    assert json.loads(event["Records"][0]["Sns"]["Message"]) == {"kind": "wanted"}
    assert shape(event) == shape(published("sns-event.json"))
    example = published("s3-event.json")["Records"][0]
    del example["s3"]["object"]["versionId"]  # of a bucket with versions
    created = next(r for r in records if r["eventName"] == "ObjectCreated:Put")
    assert shape(created) == shape(example)
    (event,) = functions.got("queued")
    assert json.loads(json.loads(event["Records"][0]["body"])["Message"]) == {"kind": "other"}
    functions.until(lambda: sum(len(e["Records"]) for e in functions.events["queued-own"]) == 2)
    own = client("lambda").list_event_source_mappings(FunctionName="queued-own")
    assert own["EventSourceMappings"][0]["BatchSize"] == 3
    for text in "ab":
        sns.publish(TopicArn=ids["Ordered"], Message=text, MessageGroupId="g")
    functions.until(lambda: sum(len(e["Records"]) for e in functions.events["queued-in-order"]) == 2)  # fmt: skip
    bodies = [r["body"] for e in functions.events["queued-in-order"] for r in e["Records"]]
    assert [json.loads(b)["Message"] for b in bodies] == ["a", "b"]
    subscribed = sns.list_subscriptions_by_topic(TopicArn=ids["Topic"])["Subscriptions"]
    lambda_one = next(s for s in subscribed if s["Protocol"] == "lambda")["SubscriptionArn"]
    kept = sns.get_subscription_attributes(SubscriptionArn=lambda_one)["Attributes"]
    dead = client("sqs").get_queue_attributes(QueueUrl=ids["Dead"], AttributeNames=["QueueArn"])
    assert json.loads(kept["RedrivePolicy"]) == {"deadLetterTargetArn": dead["Attributes"]["QueueArn"]}  # fmt: skip


RULES = """
  Bus: {Type: AWS::Events::EventBus, Properties: {Name: orders}}
  OldDead: {Type: AWS::SQS::Queue}
  OldDeadPolicy:
    Type: AWS::SQS::QueuePolicy
    Properties:
      Queues: [!Ref OldDead]
      PolicyDocument:
        Statement: [{Effect: Allow, Principal: {Service: events.amazonaws.com}, Action: sqs:SendMessage, Resource: '*'}]
  Shaped:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: shaped
      Events:
        Order:
          Type: EventBridgeRule
          Properties:
            EventBusName: !Ref Bus
            RuleName: shaped-orders
            Pattern: {source: [shop], detail: {price: [{numeric: ['>', 10]}]}}
            InputTransformer: {InputPathsMap: {price: $.detail.price}, InputTemplate: '{"paid": <price>}'}
            Target: {Id: mine}
            RetryPolicy: {MaximumRetryAttempts: 3, MaximumEventAgeInSeconds: 120}
            DeadLetterConfig: {Type: SQS, QueueLogicalId: ShapedDead}
  Part:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: part
      Events:
        Order: {Type: CloudWatchEvent, Properties: {Pattern: {source: [shop]}, InputPath: $.detail}}
        Fixed: {Type: CloudWatchEvent, Properties: {Pattern: {source: [fixed]}, Input: '{"fixed": 1}', State: ENABLED}}
        Off: {Type: EventBridgeRule, Properties: {Pattern: {source: [shop]}, Enabled: false}}
  Dying:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: dying
      Events:
        Order:
          Type: EventBridgeRule
          Properties: {Pattern: {source: [die]}, DeadLetterConfig: {Arn: !GetAtt OldDead.Arn}}
"""


def test_rules(client: Any, functions: Functions) -> None:
    """EventBridgeRule and CloudWatchEvent: buses, patterns, inputs, states, retries, dead letters that SAM makes or is given."""
    ids, events = deployed(client, RULES), client("events")

    def put(source: str, bus: str, **detail: Any) -> None:
        entry = {"Source": source, "DetailType": "t", "EventBusName": bus}
        events.put_events(Entries=[{**entry, "Detail": json.dumps(detail)}])

    put("shop", "orders", price=5)
    put("shop", "orders", price=20)
    put("shop", "default", price=1)
    put("fixed", "default", price=1)
    assert functions.got("shaped") == [{"paid": 20}]
    assert sorted(map(str, functions.got("part", 2))) == ["{'fixed': 1}", "{'price': 1}"]
    (target,) = events.list_targets_by_rule(Rule="shaped-orders", EventBusName="orders")["Targets"]
    assert target["Id"] == "mine"
    assert target["RetryPolicy"] == {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 120}
    states = {r["Name"]: r["State"] for r in events.list_rules()["Rules"]}
    assert [n for n, state in states.items() if state == "DISABLED"] == [ids["PartOff"]]

    lambdas = client("lambda")
    for function in (
        "shaped",
        "dying",
    ):  # what may not be called gets nothing, and its dead letters all
        policy = json.loads(lambdas.get_policy(FunctionName=function)["Policy"])
        lambdas.remove_permission(FunctionName=function, StatementId=policy["Statement"][0]["Sid"])
    put("shop", "orders", price=30)
    put("die", "default")
    (letter,) = functions.letters(client, ids["ShapedDead"])
    assert json.loads(letter["Body"])["detail"] == {"price": 30}
    assert letter["MessageAttributes"]["RULE_ARN"]["StringValue"].endswith("rule/orders/shaped-orders")  # fmt: skip
    (letter,) = functions.letters(client, ids["OldDead"])
    assert json.loads(letter["Body"])["source"] == "die"
    assert functions.events["dying"] == []


SCHEDULES = """
  Boundary:
    Type: AWS::IAM::ManagedPolicy
    Properties:
      PolicyDocument: {Version: '2012-10-17', Statement: [{Effect: Allow, Action: 'lambda:*', Resource: '*'}]}
  Group: {Type: AWS::Scheduler::ScheduleGroup, Properties: {Name: mine}}
  Often:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: often
      Events:
        Tick:
          Type: Schedule
          Properties:
            Schedule: rate(30 minutes)
            Name: tick
            Description: twice an hour
            Input: '{"n": 1}'
            State: ENABLED
            RetryPolicy: {MaximumRetryAttempts: 5, MaximumEventAgeInSeconds: 900}
            DeadLetterConfig: {Type: SQS, QueueLogicalId: TickDead}
        Off: {Type: Schedule, Properties: {Schedule: rate(30 minutes), Enabled: false, Input: '{"off": 1}'}}
  Morning:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: morning
      Events:
        Nine:
          Type: ScheduleV2
          Properties:
            ScheduleExpression: cron(0 9 * * ? *)
            ScheduleExpressionTimezone: Europe/Berlin
            FlexibleTimeWindow: {Mode: FLEXIBLE, MaximumWindowInMinutes: 5}
            Name: nine
            GroupName: !Ref Group
            Description: in the morning
            State: ENABLED
            StartDate: '2020-01-01T00:00:00Z'
            EndDate: '2099-01-01T00:00:00Z'
            Input: '{"at": "<aws.scheduler.scheduled-time>"}'
            RetryPolicy: {MaximumRetryAttempts: 2, MaximumEventAgeInSeconds: 300}
            DeadLetterConfig: {Type: SQS, QueueLogicalId: NineDead}
            PermissionsBoundary: !Ref Boundary
        Off: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(30 minutes), State: DISABLED, OmitName: true}}
"""


def test_schedules(platform: Any, client: Any, functions: Functions) -> None:
    """Schedule and ScheduleV2: names, groups, time zones, windows, inputs, states, boundaries, dead letters."""
    ids, scheduler, lambdas = deployed(client, SCHEDULES), client("scheduler"), client("lambda")
    functions.until(lambda: functions.events["often"], step_s=600)
    assert functions.events["often"][0] == {"n": 1}
    functions.until(lambda: functions.events["morning"], step_s=1800)
    at = functions.events["morning"][0]["at"]
    assert at[11:] in ("07:00:00Z", "08:00:00Z"), at  # nine in Berlin, in summer and in winter
    made = scheduler.get_schedule(Name="nine", GroupName="mine")
    assert made["FlexibleTimeWindow"] == {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 5}
    assert made["Target"]["RetryPolicy"] == {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 300}  # fmt: skip
    role = made["Target"]["RoleArn"].rpartition("/")[2]
    bounded = client("iam").get_role(RoleName=role)["Role"]["PermissionsBoundary"]
    assert bounded["PermissionsBoundaryArn"] == ids["Boundary"]
    assert {"off": 1} not in functions.events["often"]
    assert all("at" in e for e in functions.events["morning"])
    lambdas.delete_function(FunctionName="morning")
    policy = json.loads(lambdas.get_policy(FunctionName="often")["Policy"])
    for statement in policy["Statement"]:
        lambdas.remove_permission(FunctionName="often", StatementId=statement["Sid"])
    functions.until(lambda: _waiting(client, ids["TickDead"]), step_s=600)
    (letter, *_) = functions.letters(client, ids["TickDead"])
    assert json.loads(letter["Body"])["detail-type"] == "Scheduled Event"


def _waiting(client: Any, url: str) -> int:
    name = "ApproximateNumberOfMessages"
    asked = client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=[name])
    return int(asked["Attributes"][name])


WEB = """
  Api: {Type: AWS::Serverless::HttpApi}
  Site:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: site
      Events:
        Toy: {Type: HttpApi, Properties: {ApiId: !Ref Api, Path: '/toys/{id}', Method: put, PayloadFormatVersion: '1.0', TimeoutInMillis: 9000}}
        Rest: {Type: HttpApi, Properties: {ApiId: !Ref Api}}
"""


def test_http_api(platform: Any, client: Any, functions: Functions) -> None:
    ids = deployed(client, WEB)
    api = ids["Api"]

    def ask(method: str, path: str) -> int:
        where = f"/_aws/execute-api/{api}{path}"
        return platform.send(HttpRequest(method, where, "", {"host": "localhost:4566"}, b""))[0]

    functions.answers["site"] = lambda event: {"statusCode": 203}
    assert (ask("PUT", "/toys/7"), ask("GET", "/anything")) == (203, 203)
    first, second = functions.got("site", 2)
    assert (first["version"], first["pathParameters"]) == ("1.0", {"id": "7"})
    assert (second["version"], second["routeKey"]) == ("2.0", "$default")
    gateway = client("apigatewayv2")
    times = {i["TimeoutInMillis"] for i in gateway.get_integrations(ApiId=api)["Items"]}
    assert 9000 in times


LOGS = """
  Group: {Type: AWS::Logs::LogGroup}
  Errors:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: errors
      Events: {Line: {Type: CloudWatchLogs, Properties: {LogGroupName: !Ref Group, FilterPattern: ERROR}}}
"""


def test_logs(client: Any, functions: Functions) -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html"""
    group, logs = deployed(client, LOGS)["Group"], client("logs")
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    lines = [{"timestamp": int(time.time() * 1000), "message": m} for m in ("fine", "an ERROR")]
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=lines)
    (event,) = functions.got("errors")
    said = json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
    assert (said["messageType"], said["owner"], said["logGroup"]) == (
        "DATA_MESSAGE",
        ACCOUNT,
        group,
    )
    assert [e["message"] for e in said["logEvents"]] == ["an ERROR"]


@pytest.mark.parametrize(
    ("event", "refusal"),
    [
        ("{Type: IoTRule, Properties: {Sql: SELECT * FROM 'a/b'}}", "AWS::IoT::TopicRule"),
        ("{Type: Cognito, Properties: {UserPool: !Ref Pool, Trigger: PreSignUp}}", "AWS::Cognito::UserPool"),
        ("{Type: MSK, Properties: {Stream: 'arn:aws:kafka:us-east-1:000000000000:cluster/c/1', StartingPosition: LATEST, Topics: [topic]}}", "Topics"),
        ("{Type: SelfManagedKafka, Properties: {KafkaBootstrapServers: ['a:9092'], Topics: [topic], SourceAccessConfigurations: [{Type: VPC_SUBNET, URI: 'subnet:s'}, {Type: VPC_SECURITY_GROUP, URI: 'security_group:s'}]}}", "SelfManagedEventSource"),
        ("{Type: MQ, Properties: {Broker: 'arn:aws:mq:us-east-1:000000000000:broker:b:1', Queues: [q], SourceAccessConfigurations: [{Type: BASIC_AUTH, URI: 'arn:aws:secretsmanager:us-east-1:000000000000:secret:s'}]}}", "Queues"),
        ("{Type: DocumentDB, Properties: {Cluster: 'arn:aws:rds:us-east-1:000000000000:cluster:c', DatabaseName: d, StartingPosition: LATEST, SourceAccessConfigurations: [{Type: BASIC_AUTH, URI: 'arn:aws:secretsmanager:us-east-1:000000000000:secret:s'}]}}", "DocumentDBEventSourceConfig"),
    ],
)  # fmt: skip
def test_events_of_services_that_are_not_offered_are_refused_by_name(client: Any, event: str, refusal: str) -> None:  # fmt: skip
    """Before anything exists."""
    pool = "  Pool: {Type: AWS::Cognito::UserPool}\n" if "Cognito" in event else ""
    function = f"  F: {{Type: AWS::Serverless::Function, Properties: {{{CODE}, Events: {{E: {event}}}}}}}\n"
    cfn = client("cloudformation")
    with pytest.raises(ClientError, match="not offered by Stratolite") as told:
        cfn.create_stack(StackName="s", TemplateBody=HEAD + pool + function, Capabilities=CAPABILITIES)  # fmt: skip
    assert refusal in str(told.value)
    assert cfn.list_stacks()["StackSummaries"] == []


TABLE, OTHER = {"TableName": "table"}, {"TableName": "other"}
ITEM, KEY = {"id": {"S": "a"}}, {"id": {"S": "a"}}
QUEUE_URL, OTHER_URL = (f"http://localhost:4566/{ACCOUNT}/{name}" for name in ("queue", "other"))
TOPIC_ARN, OTHER_ARN = (f"arn:aws:sns:us-east-1:{ACCOUNT}:{name}" for name in ("topic", "other"))
ENTRY = {"Source": "s", "DetailType": "t", "Detail": "{}"}
DRY = {"InvocationType": "DryRun"}
POLICIES: list[tuple[str, str, str, str, dict[str, Any], dict[str, Any] | None]] = [
    ("CloudFormationDescribeStacksPolicy", "", "cloudformation", "DescribeStacks", {"StackName": "app"}, {}),
    ("CloudWatchDashboardPolicy", "", "cloudwatch", "ListDashboards", {}, None),
    ("CloudWatchDescribeAlarmHistoryPolicy", "", "cloudwatch", "DescribeAlarmHistory", {}, None),
    ("CloudWatchPutMetricPolicy", "", "cloudwatch", "PutMetricData", {"Namespace": "n", "MetricData": [{"MetricName": "m", "Value": 1.0}]}, None),
    ("OrganizationsListAccountsPolicy", "", "organizations", "ListAccounts", {}, None),
    ("ServerlessRepoReadWriteAccessPolicy", "", "serverlessrepo", "GetApplication", {"ApplicationId": f"arn:aws:serverlessrepo:us-east-1:{ACCOUNT}:applications/a"}, None),
    ("DynamoDBBackupFullAccessPolicy", "TableName: table", "dynamodb", "CreateBackup", {**TABLE, "BackupName": "backup"}, {**OTHER, "BackupName": "backup"}),
    ("DynamoDBCrudPolicy", "TableName: table", "dynamodb", "DeleteItem", {**TABLE, "Key": KEY}, {**OTHER, "Key": KEY}),
    ("DynamoDBReadPolicy", "TableName: table", "dynamodb", "Scan", TABLE, OTHER),
    ("DynamoDBWritePolicy", "TableName: table", "dynamodb", "PutItem", {**TABLE, "Item": ITEM}, {**OTHER, "Item": ITEM}),
    ("DynamoDBReconfigurePolicy", "TableName: table", "dynamodb", "UpdateTable", {**TABLE, "BillingMode": "PAY_PER_REQUEST"}, {**OTHER, "BillingMode": "PAY_PER_REQUEST"}),
    ("DynamoDBRestoreFromBackupPolicy", "TableName: table", "dynamodb", "GetItem", {**TABLE, "Key": KEY}, {**OTHER, "Key": KEY}),
    ("DynamoDBStreamReadPolicy", "{TableName: table, StreamName: '*'}", "dynamodbstreams", "DescribeStream", {"StreamArn": "table"}, {"StreamArn": "other"}),
    ("EventBridgePutEventsPolicy", "EventBusName: default", "events", "PutEvents", {"Entries": [ENTRY]}, {"Entries": [{**ENTRY, "EventBusName": "other"}]}),
    ("FilterLogEventsPolicy", "LogGroupName: group", "logs", "FilterLogEvents", {"logGroupName": "group"}, {"logGroupName": "other"}),
    ("FirehoseCrudPolicy", "DeliveryStreamName: d", "firehose", "DescribeDeliveryStream", {"DeliveryStreamName": "d"}, {"DeliveryStreamName": "other"}),
    ("FirehoseWritePolicy", "DeliveryStreamName: d", "firehose", "PutRecord", {"DeliveryStreamName": "d", "Record": {"Data": b"a"}}, {"DeliveryStreamName": "other", "Record": {"Data": b"a"}}),
    ("KMSDecryptPolicy", "KeyId: !Ref Key", "kms", "Decrypt", {"CiphertextBlob": "key"}, {"CiphertextBlob": "other"}),
    ("KMSEncryptPolicy", "KeyId: !Ref Key", "kms", "Encrypt", {"KeyId": "key", "Plaintext": b"a"}, {"KeyId": "other", "Plaintext": b"a"}),
    ("KMSEncryptPolicy_v2", "KeyId: !Ref Key", "kms", "GenerateDataKey", {"KeyId": "key", "KeySpec": "AES_256"}, {"KeyId": "other", "KeySpec": "AES_256"}),
    ("KinesisCrudPolicy", "StreamName: stream", "kinesis", "PutRecord", {"StreamName": "stream", "Data": b"a", "PartitionKey": "k"}, {"StreamName": "other", "Data": b"a", "PartitionKey": "k"}),
    ("KinesisStreamReadPolicy", "StreamName: stream", "kinesis", "DescribeStreamSummary", {"StreamName": "stream"}, {"StreamName": "other"}),
    ("LambdaInvokePolicy", "FunctionName: f0", "lambda", "Invoke", {**DRY, "FunctionName": "f0"}, {**DRY, "FunctionName": "f1"}),
    ("S3CrudPolicy", "BucketName: bucket", "s3", "DeleteObject", {"Bucket": "bucket", "Key": "k"}, {"Bucket": "other", "Key": "k"}),
    ("S3FullAccessPolicy", "BucketName: bucket", "s3", "GetObjectTagging", {"Bucket": "bucket", "Key": "o"}, {"Bucket": "other", "Key": "o"}),
    ("S3ReadPolicy", "BucketName: bucket", "s3", "ListObjectsV2", {"Bucket": "bucket"}, {"Bucket": "other"}),
    ("S3WritePolicy", "BucketName: bucket", "s3", "PutObject", {"Bucket": "bucket", "Key": "o", "Body": b""}, {"Bucket": "other", "Key": "o", "Body": b""}),
    ("AWSSecretsManagerGetSecretValuePolicy", "SecretArn: !Ref Secret", "secretsmanager", "GetSecretValue", {"SecretId": "secret"}, {"SecretId": "other"}),
    ("AWSSecretsManagerRotationPolicy", "FunctionName: rotating", "secretsmanager", "GetRandomPassword", {}, None),
    ("SNSCrudPolicy", "TopicName: topic", "sns", "SetTopicAttributes", {"TopicArn": TOPIC_ARN, "AttributeName": "DisplayName", "AttributeValue": "a"}, {"TopicArn": OTHER_ARN, "AttributeName": "DisplayName", "AttributeValue": "a"}),
    ("SNSPublishMessagePolicy", "TopicName: topic", "sns", "Publish", {"TopicArn": TOPIC_ARN, "Message": "m"}, {"TopicArn": OTHER_ARN, "Message": "m"}),
    ("SQSPollerPolicy", "QueueName: queue", "sqs", "ReceiveMessage", {"QueueUrl": QUEUE_URL}, {"QueueUrl": OTHER_URL}),
    ("SQSSendMessagePolicy", "QueueName: queue", "sqs", "SendMessage", {"QueueUrl": QUEUE_URL, "MessageBody": "m"}, {"QueueUrl": OTHER_URL, "MessageBody": "m"}),
    ("SSMParameterReadPolicy", "ParameterName: parameter", "ssm", "GetParameter", {"Name": "parameter"}, {"Name": "other"}),
    ("SSMParameterWithSlashPrefixReadPolicy", "ParameterName: /parameter", "ssm", "GetParameter", {"Name": "/parameter"}, {"Name": "other"}),
]  # fmt: skip
"""(policy, its parameters, service, operation, what it allows, what it does not)."""
SERVED = """
  Key: {Type: AWS::KMS::Key, Properties: {KeyPolicy: {Version: '2012-10-17', Statement: [{Effect: Allow, Principal: {AWS: !Sub 'arn:aws:iam::${AWS::AccountId}:root'}, Action: 'kms:*', Resource: '*'}]}}}
  Secret: {Type: AWS::SecretsManager::Secret, Properties: {Name: secret, SecretString: a}}
"""


def test_every_policy_template_of_an_offered_service_allows_what_it_says_and_no_more(platform: Any, client: Any) -> None:  # fmt: skip
    """https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-policy-template-list.html"""
    for name in ("table", "other"):
        client("dynamodb").create_table(
            TableName=name, BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
        )  # fmt: skip
    for name in ("bucket", "other"):
        client("s3").create_bucket(Bucket=name)
        client("s3").put_object(Bucket=name, Key="o", Body=b"")
    client("sqs").create_queue(QueueName="queue")
    client("sqs").create_queue(QueueName="other")
    for name in ("parameter", "/parameter", "other"):
        client("ssm").put_parameter(Name=name, Value="a", Type="String")
    client("secretsmanager").create_secret(Name="other", SecretString="a")
    functions: dict[int, list[str]] = defaultdict(list)  # no two policies of a service in one
    place: dict[str, int] = {}
    for policy, parameters, service, *_ in POLICIES:
        place[policy] = sum(service == s for p, _, s, *_ in POLICIES if p in place)
        given = parameters if parameters.startswith("{") else f"{{{parameters}}}"
        functions[place[policy]].append(f"{{{policy}: {given}}}")
    template = SERVED
    for number, policies in functions.items():
        template += (
            f"  F{number}:\n    Type: AWS::Serverless::Function\n    Properties:\n"
            f"      FunctionName: f{number}\n      Policies: [{', '.join(policies)}]\n"
        )
    ids = deployed(client, template)
    kms = client("kms")
    keys = {"key": ids["Key"], "other": kms.create_key()["KeyMetadata"]["KeyId"]}
    blobs = {n: kms.encrypt(KeyId=k, Plaintext=b"a")["CiphertextBlob"] for n, k in keys.items()}

    tables = client("dynamodb")
    streams = {n: tables.describe_table(TableName=n)["Table"]["LatestStreamArn"] for n in ("table", "other")}  # fmt: skip

    async def ask(role: str, service: str, operation: str, request: dict[str, Any]) -> str:
        """What it may not, if so; any other refusal is the service's."""
        made = {**request}
        if "KeyId" in made:
            made["KeyId"] = keys[made["KeyId"]]
        if "CiphertextBlob" in made:
            made["CiphertextBlob"] = blobs[made["CiphertextBlob"]]
        if "StreamArn" in made:
            made["StreamArn"] = streams[made["StreamArn"]]
        arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
        call = platform.cloud.call(ACCOUNT, "us-east-1")
        acting = await call.as_role(arn, "lambda.amazonaws.com", "", "test")
        try:
            await acting.request(service, operation, made)
        except Fault as fault:
            return fault.message if "not authorized" in fault.message else ""
        return ""

    wrong = []
    for policy, _, service, operation, allowed, denied in POLICIES:
        role = ids[f"F{place[policy]}Role"]
        if told := platform.run(ask(role, service, operation, allowed)):
            wrong.append(f"{policy}: {told}")
        if denied is not None and not platform.run(ask(role, service, operation, denied)):
            wrong.append(f"{policy} allows {operation} of another")
    assert wrong == []
