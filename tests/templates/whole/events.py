"""EventBridge, its scheduler and its pipes."""

from __future__ import annotations

from typing import Any

from makers import R, allow, att, function, made, ref, role, sub, tags

ROOT = {"AWS": sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")}


def bus_policy(action: str) -> dict[str, Any]:
    return allow(
        action,
        sub("arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/corpus-whole"),
        Sid="s",
        Principal=ROOT,
    )


made(
    "events-bus-whole",
    Dead=R("AWS::SQS::Queue"),
    Bus=R(
        "AWS::Events::EventBus",
        {
            "Name": "corpus-whole",
            "Description": "orders of the shop",
            "DeadLetterConfig": {"Arn": att("Dead", "Arn")},
            "Policy": bus_policy("events:PutEvents"),
            "Tags": tags(team="shop"),
        },
        {"Policy": bus_policy("events:PutRule"), "Description": "orders"},
        {"Policy": None, "DeadLetterConfig": None, "Description": None, "Tags": tags(team="b")},
    ),
    Other=R("AWS::Events::EventBus", {"Name": "corpus-guests"}),
    Organization=R(
        "AWS::Events::EventBusPolicy",
        {
            "EventBusName": ref("Other"),
            "StatementId": "guests",
            "Action": "events:PutEvents",
            "Principal": "*",
            "Condition": {
                "Type": "StringEquals",
                "Key": "aws:PrincipalOrgID",
                "Value": "o-1234567890",
            },
        },
        {"Principal": "111122223333", "Condition": None},
        {
            "Action": None,
            "Principal": None,
            "Statement": {
                "Effect": "Allow",
                "Principal": ROOT,
                "Action": "events:PutRule",
                "Resource": att("Other", "Arn"),
            },
        },
    ),
)
made(
    "events-rule-targets-whole",
    Role=role(
        "events.amazonaws.com",
        Policies=[{"PolicyName": "p", "PolicyDocument": allow(["kinesis:PutRecord", "events:PutEvents"])}],
    ),
    Boss=role("events.amazonaws.com"),
    Fifo=R("AWS::SQS::Queue", {"FifoQueue": True, "ContentBasedDeduplication": True}),
    Stream=R("AWS::Kinesis::Stream", {"ShardCount": 1}),
    Connection=R(
        "AWS::Events::Connection",
        {
            "AuthorizationType": "BASIC",
            "AuthParameters": {"BasicAuthParameters": {"Username": "u", "Password": "p"}},
        },
    ),
    Destination=R(
        "AWS::Events::ApiDestination",
        {
            "ConnectionArn": att("Connection", "Arn"),
            "HttpMethod": "POST",
            "InvocationEndpoint": "https://example.com/*/orders",
        },
    ),
    Rule=R(
        "AWS::Events::Rule",
        *(
            {
                "EventPattern": {"source": [text]},
                "RoleArn": att(boss, "Arn"),
                "Tags": tags(a=text),
                "Targets": [
                    {"Id": "fifo", "Arn": att("Fifo", "Arn"), "SqsParameters": {"MessageGroupId": text}},
                    {
                        "Id": "stream",
                        "Arn": att("Stream", "Arn"),
                        "RoleArn": att("Role", "Arn"),
                        "KinesisParameters": {"PartitionKeyPath": f"$.{text}"},
                    },
                    {
                        "Id": "endpoint",
                        "Arn": att("Destination", "Arn"),
                        "RoleArn": att("Role", "Arn"),
                        "HttpParameters": {
                            "PathParameterValues": [text],
                            "HeaderParameters": {"x-step": text},
                            "QueryStringParameters": {"step": text},
                        },
                    },
                ],
            }
            for text, boss in (("a", "Role"), ("b", "Boss"), ("c", "Role"))
        ),
    ),
)  # fmt: skip
made(
    "events-archive-whole",
    Bus=R("AWS::Events::EventBus", {"Name": "corpus-kept"}),
    Archive=R(
        "AWS::Events::Archive",
        {
            "ArchiveName": "corpus-archive",
            "SourceArn": att("Bus", "Arn"),
            "EventPattern": {"source": ["shop"]},
            "RetentionDays": 7,
            "Description": "a week of orders",
        },
        {"EventPattern": {"source": ["shop", "stock"]}, "RetentionDays": 14},
        {"EventPattern": None, "RetentionDays": None, "Description": None},
    ),
)


def parameters(value: str) -> dict[str, Any]:
    return {
        kind: [{"Key": "k", "Value": value, "IsValueSecret": secret}]
        for kind, secret in (
            ("HeaderParameters", True),
            ("QueryStringParameters", False),
            ("BodyParameters", False),
        )
    }


made(
    "events-connection-whole",
    Connection=R(
        "AWS::Events::Connection",
        {
            "Name": "corpus-connection",
            "Description": "the partner's API",
            "AuthorizationType": "OAUTH_CLIENT_CREDENTIALS",
            "AuthParameters": {
                "OAuthParameters": {
                    "AuthorizationEndpoint": "https://id.example.com/token",
                    "HttpMethod": "POST",
                    "ClientParameters": {"ClientID": "shop", "ClientSecret": "s-1"},
                    "OAuthHttpParameters": parameters("1"),
                },
                "InvocationHttpParameters": parameters("1"),
            },
        },
        {
            "AuthorizationType": "BASIC",
            "AuthParameters": {"BasicAuthParameters": {"Username": "u", "Password": "p"}},
            "Description": "the partner's older API",
        },
        {
            "AuthorizationType": "API_KEY",
            "AuthParameters": {"ApiKeyAuthParameters": {"ApiKeyName": "n", "ApiKeyValue": "v"}},
            "Description": None,
        },
    ),
    Second=R(
        "AWS::Events::Connection",
        {
            "AuthorizationType": "BASIC",
            "AuthParameters": {"BasicAuthParameters": {"Username": "u", "Password": "p"}},
        },
    ),
    Destination=R(
        "AWS::Events::ApiDestination",
        {
            "Name": "corpus-destination",
            "Description": "orders go there",
            "ConnectionArn": att("Connection", "Arn"),
            "HttpMethod": "POST",
            "InvocationEndpoint": "https://example.com/orders",
            "InvocationRateLimitPerSecond": 10,
        },
        {
            "ConnectionArn": att("Second", "Arn"),
            "HttpMethod": "PATCH",
            "InvocationEndpoint": "https://example.com/orders/v2",
            "InvocationRateLimitPerSecond": 20,
        },
        {"Description": None, "InvocationRateLimitPerSecond": None},
    ),
)

# -- Scheduler
made(
    "scheduler-targets-whole",
    Key=R("AWS::KMS::Key", {"KeyPolicy": allow("kms:*", Principal="*")}),
    Role=role(
        "scheduler.amazonaws.com",
        Policies=[
            {
                "PolicyName": "p",
                "PolicyDocument": allow(
                    ["sqs:SendMessage", "events:PutEvents", "kinesis:PutRecord"]
                ),
            }
        ],
    ),
    Dead=R("AWS::SQS::Queue"),
    Fifo=R("AWS::SQS::Queue", {"FifoQueue": True, "ContentBasedDeduplication": True}),
    Stream=R("AWS::Kinesis::Stream", {"ShardCount": 1}),
    Bus=R("AWS::Events::EventBus", {"Name": "corpus-scheduled"}),
    Group=R("AWS::Scheduler::ScheduleGroup", {"Name": "corpus-nightly"}),
    ToQueue=R(
        "AWS::Scheduler::Schedule",
        *(
            {
                "Description": "every night",
                "KmsKeyArn": att("Key", "Arn") if year == 2091 else None,
                "GroupName": group,
                "ScheduleExpression": "rate(1 day)",
                "StartDate": f"{year}-01-01T00:00:00Z",
                "EndDate": f"{year + 5}-01-01T00:00:00Z",
                "FlexibleTimeWindow": window,
                "Target": {
                    "Arn": att("Fifo", "Arn"),
                    "RoleArn": att("Role", "Arn"),
                    "Input": f'{{"year": {year}}}',
                    "SqsParameters": {"MessageGroupId": str(year)},
                    "DeadLetterConfig": {"Arn": att("Dead", "Arn")},
                    "RetryPolicy": {
                        "MaximumEventAgeInSeconds": year,
                        "MaximumRetryAttempts": year - 2080,
                    },
                },
            }
            for year, group, window in (
                (2090, "default", {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15}),
                (2091, ref("Group"), {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 30}),
                (2092, ref("Group"), {"Mode": "OFF"}),
            )
        ),
    ),
    ToStream=R(
        "AWS::Scheduler::Schedule",
        *(
            {
                "ScheduleExpression": "rate(1 day)",
                "FlexibleTimeWindow": {"Mode": "OFF"},
                "Target": {
                    "Arn": att("Stream", "Arn"),
                    "RoleArn": att("Role", "Arn"),
                    "KinesisParameters": {"PartitionKey": text},
                },
            }
            for text in "abc"
        ),
    ),
    ToBus=R(
        "AWS::Scheduler::Schedule",
        *(
            {
                "ScheduleExpression": "rate(1 day)",
                "FlexibleTimeWindow": {"Mode": "OFF"},
                "Target": {
                    "Arn": att("Bus", "Arn"),
                    "RoleArn": att("Role", "Arn"),
                    "Input": "{}",
                    "EventBridgeParameters": {"DetailType": text, "Source": f"shop.{text}"},
                },
            }
            for text in "abc"
        ),
    ),
)

# -- Pipes
PIPE_ROLE = role(
    "pipes.amazonaws.com",
    Policies=[
        {
            "PolicyName": "p",
            "PolicyDocument": allow(
                ["sqs:*", "kinesis:*", "dynamodb:*", "lambda:*", "events:*", "logs:*", "states:*"]
            ),
        }
    ],
)


def pipe(source: Any, target: Any, *steps: dict[str, Any]) -> R:
    first, *further = steps
    return R(
        "AWS::Pipes::Pipe",
        {
            "RoleArn": att("Role", "Arn"),
            "Source": source,
            "Target": target,
            "DesiredState": "STOPPED",
            **first,
        },
        *further,
    )


made(
    "pipes-enriched-whole",
    Lines=R("AWS::Logs::LogGroup"),
    Bucket=R("AWS::S3::Bucket"),
    Delivers=role("firehose.amazonaws.com"),
    Delivery=R(
        "AWS::KinesisFirehose::DeliveryStream",
        {
            "S3DestinationConfiguration": {
                "BucketARN": att("Bucket", "Arn"),
                "RoleARN": att("Delivers", "Arn"),
            }
        },
    ),
    Role=PIPE_ROLE,
    Other=PIPE_ROLE,
    FunctionRole=role(),
    Function=function({"Role": att("FunctionRole", "Arn")}),
    In=R("AWS::SQS::Queue"),
    Fifo=R("AWS::SQS::Queue", {"FifoQueue": True}),
    Next=R("AWS::SQS::Queue", {"FifoQueue": True}),
    Pipe=pipe(
        att("In", "Arn"),
        att("Fifo", "Arn"),
        {
            "Name": "corpus-pipe",
            "Description": "orders, priced",
            "SourceParameters": {
                "FilterCriteria": {"Filters": [{"Pattern": '{"body": {"kind": ["order"]}}'}]},
                "SqsQueueParameters": {"BatchSize": 5, "MaximumBatchingWindowInSeconds": 1},
            },
            "Enrichment": att("Function", "Arn"),
            "EnrichmentParameters": {"InputTemplate": '{"order": <$.body>}'},
            "TargetParameters": {
                "SqsQueueParameters": {"MessageGroupId": "$.kind", "MessageDeduplicationId": "$.id"}
            },
            "LogConfiguration": {
                "CloudwatchLogsLogDestination": {"LogGroupArn": att("Lines", "Arn")},
                "IncludeExecutionData": ["ALL"],
                "Level": "ERROR",
            },
            "Tags": {"a": "1"},
        },
        {
            "Description": None,
            "LogConfiguration": {
                "FirehoseLogDestination": {"DeliveryStreamArn": att("Delivery", "Arn")},
                "Level": "INFO",
            },
            "RoleArn": att("Other", "Arn"),
            "SourceParameters": {
                "FilterCriteria": {"Filters": [{"Pattern": '{"body": {"kind": ["offer"]}}'}]},
                "SqsQueueParameters": {"BatchSize": 6, "MaximumBatchingWindowInSeconds": 2},
            },
            "EnrichmentParameters": {"InputTemplate": '{"offer": <$.body>}'},
            "Target": att("Next", "Arn"),
            "DesiredState": "RUNNING",
        },
        {
            "Enrichment": None,
            "EnrichmentParameters": None,
            "LogConfiguration": None,
            "TargetParameters": {
                "SqsQueueParameters": {"MessageGroupId": "$.body", "MessageDeduplicationId": "$.messageId"}
            },
            "DesiredState": "STOPPED",
            "Tags": {"b": "1"},
        },
    ),
)  # fmt: skip


def http(text: str) -> dict[str, Any]:
    return {
        "PathParameterValues": [f"$.body.{text}"],
        "HeaderParameters": {"x-order": text},
        "QueryStringParameters": {"order": f"$.body.{text}"},
    }


made(
    "pipes-http-whole",
    Role=PIPE_ROLE,
    Bucket=R("AWS::S3::Bucket"),
    Key=R("AWS::KMS::Key", {"KeyPolicy": allow("kms:*", Principal="*")}),
    In=R("AWS::SQS::Queue"),
    Connection=R(
        "AWS::Events::Connection",
        {
            "AuthorizationType": "BASIC",
            "AuthParameters": {"BasicAuthParameters": {"Username": "u", "Password": "p"}},
        },
    ),
    Destination=R(
        "AWS::Events::ApiDestination",
        {
            "ConnectionArn": att("Connection", "Arn"),
            "HttpMethod": "POST",
            "InvocationEndpoint": "https://example.com/*/orders",
        },
    ),
    Pipe=pipe(
        att("In", "Arn"),
        att("Destination", "Arn"),
        *(
            {
                "KmsKeyIdentifier": att("Key", "Arn") if text == "b" else None,
                "LogConfiguration": {
                    "Level": "ERROR",
                    "S3LogDestination": {
                        "BucketName": ref("Bucket"),
                        "BucketOwner": sub("${AWS::AccountId}"),
                        "OutputFormat": "json",
                        "Prefix": text,
                    },
                },
                "Enrichment": att("Destination", "Arn"),
                "EnrichmentParameters": {"HttpParameters": http(text)},
                "TargetParameters": {"HttpParameters": http(f"{text}{text}"), "InputTemplate": f'"{text}"'},
            }
            for text in "abc"
        ),
    ),
)  # fmt: skip
FLOW = '{"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}'
made(
    "pipes-streams-whole",
    Role=PIPE_ROLE,
    FunctionRole=role(),
    Function=function({"Role": att("FunctionRole", "Arn")}),
    Dead=R("AWS::SQS::Queue"),
    Stream=R("AWS::Kinesis::Stream", {"ShardCount": 1}),
    Table=R(
        "AWS::DynamoDB::Table",
        {
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
            "BillingMode": "PAY_PER_REQUEST",
            "StreamSpecification": {"StreamViewType": "NEW_IMAGE"},
        },
    ),
    Bus=R("AWS::Events::EventBus", {"Name": "corpus-piped"}),
    Lines=R("AWS::Logs::LogGroup"),
    Out=R("AWS::Kinesis::Stream", {"ShardCount": 1}),
    Flows=role("states.amazonaws.com"),
    Machine=R(
        "AWS::StepFunctions::StateMachine",
        {"RoleArn": att("Flows", "Arn"), "DefinitionString": FLOW},
    ),
    FromStream=pipe(
        att("Stream", "Arn"),
        att("Bus", "Arn"),
        *(
            {
                "SourceParameters": {
                    "KinesisStreamParameters": {
                        "BatchSize": n,
                        "DeadLetterConfig": {"Arn": att("Dead", "Arn")},
                        "MaximumBatchingWindowInSeconds": n,
                        "MaximumRecordAgeInSeconds": 60 * n,
                        "MaximumRetryAttempts": n,
                        "ParallelizationFactor": n,
                        "OnPartialBatchItemFailure": "AUTOMATIC_BISECT",
                        "StartingPosition": "AT_TIMESTAMP",
                        "StartingPositionTimestamp": "2024-01-01T00:00:00Z",
                    }
                },
                "TargetParameters": {
                    "EventBridgeEventBusParameters": {
                        "DetailType": f"order-{n}",
                        "Source": "shop",
                        "Resources": [att("Stream", "Arn")],
                        "Time": "$.data.time",
                    }
                },
            }
            for n in (1, 2, 3)
        ),
    ),
    FromTable=pipe(
        att("Table", "StreamArn"),
        att("Lines", "Arn"),
        *(
            {
                "SourceParameters": {
                    "DynamoDBStreamParameters": {
                        "BatchSize": n,
                        "DeadLetterConfig": {"Arn": att("Dead", "Arn")},
                        "MaximumBatchingWindowInSeconds": n,
                        "MaximumRecordAgeInSeconds": 60 * n,
                        "MaximumRetryAttempts": n,
                        "ParallelizationFactor": n,
                        "OnPartialBatchItemFailure": "AUTOMATIC_BISECT",
                        "StartingPosition": "LATEST",
                    }
                },
                "TargetParameters": {
                    "CloudWatchLogsParameters": {"LogStreamName": f"s{n}", "Timestamp": "$.time"}
                },
            }
            for n in (1, 2, 3)
        ),
    ),
    ToStream=pipe(
        att("Dead", "Arn"),
        att("Out", "Arn"),
        *({"TargetParameters": {"KinesisStreamParameters": {"PartitionKey": k}}} for k in "abc"),
    ),
    ToFunction=pipe(
        att("Dead", "Arn"),
        att("Function", "Arn"),
        *(
            {"TargetParameters": {"LambdaFunctionParameters": {"InvocationType": kind}, "InputTemplate": text}}
            for kind, text in (("FIRE_AND_FORGET", "a"), ("REQUEST_RESPONSE", "b"), ("FIRE_AND_FORGET", "c"))
        ),
    ),
    ToMachine=pipe(
        att("Dead", "Arn"),
        ref("Machine"),
        *(
            {"TargetParameters": {"StepFunctionStateMachineParameters": {"InvocationType": kind}, "InputTemplate": f'"{n}"'}}
            for n, kind in enumerate(("FIRE_AND_FORGET",) * 3)
        ),
    ),
)  # fmt: skip
