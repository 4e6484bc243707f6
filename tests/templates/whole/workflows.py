"""Step Functions, CloudFormation's own types, queues and topics, the registry."""

from __future__ import annotations

import json
from typing import Any

from makers import R, allow, att, function, key_policy, made, ref, role, sub, tags

STATES = role("states.amazonaws.com")
OWNED = {"Type": "AWS_OWNED_KEY"}


def flow(n: int, **more: Any) -> dict[str, Any]:
    return {
        "StartAt": "Done",
        "States": {"Done": {"Type": "Pass", "Result": n, "End": True}},
        **more,
    }


made(
    "stepfunctions-whole",
    Role=STATES,
    Boss=STATES,
    Written=R(
        "AWS::StepFunctions::StateMachine",
        {
            "StateMachineName": "corpus-written",
            "StateMachineType": "STANDARD",
            "DefinitionString": json.dumps(flow(1)),
            "RoleArn": att("Role", "Arn"),
            "EncryptionConfiguration": OWNED,
            "LoggingConfiguration": {"Level": "OFF", "IncludeExecutionData": False},
            "TracingConfiguration": {"Enabled": True},
            "Tags": tags(a="1"),
        },
        {
            "DefinitionString": json.dumps(flow(2)),
            "RoleArn": att("Boss", "Arn"),
            "EncryptionConfiguration": None,
            "LoggingConfiguration": None,
            "TracingConfiguration": {"Enabled": False},
            "Tags": tags(a="2"),
        },
        {"TracingConfiguration": None, "Tags": None, "StateMachineType": "STANDARD"},
    ),
    Structured=R(
        "AWS::StepFunctions::StateMachine",
        *(
            {
                "Definition": flow(n, Comment="${Comment}"),
                "DefinitionSubstitutions": {"Comment": f"step {n}"},
                "RoleArn": att("Role", "Arn"),
            }
            for n in (1, 2, 3)
        ),
    ),
    Stored=R(
        "AWS::StepFunctions::StateMachine",
        {
            "DefinitionS3Location": {
                "Bucket": "corpus-code",
                "Key": "flow-1.asl.json",
                "Version": "null",
            },
            "RoleArn": att("Role", "Arn"),
        },
        {"DefinitionS3Location": {"Bucket": "corpus-code", "Key": "flow-2.asl.json"}},
    ),
    Activity=R(
        "AWS::StepFunctions::Activity",
        {"Name": "corpus-activity", "EncryptionConfiguration": OWNED, "Tags": tags(a="1")},
        {"EncryptionConfiguration": None, "Tags": tags(a="2", b="1")},
        {"Tags": None},
    ),
    First=R(
        "AWS::StepFunctions::StateMachineVersion",
        {
            "StateMachineArn": ref("Structured"),
            "StateMachineRevisionId": att("Structured", "StateMachineRevisionId"),
            "Description": "published",
        },
    ),
    Alias=R(
        "AWS::StepFunctions::StateMachineAlias",
        {
            "Name": "live",
            "StateMachineArn": ref("Structured"),
            "Description": "what is live",
            "RoutingConfiguration": [{"StateMachineVersionArn": ref("First"), "Weight": 100}],
        },
        {"Description": "what is used", "StateMachineArn": None},
        {"Description": None},
    ),
    Preferred=R(
        "AWS::StepFunctions::StateMachineAlias",
        {
            "Name": "preferred",
            "DeploymentPreference": {
                "StateMachineVersionArn": ref("First"),
                "Type": "ALL_AT_ONCE",
            },
        },
        {
            "DeploymentPreference": None,
            "RoutingConfiguration": [{"StateMachineVersionArn": ref("First"), "Weight": 100}],
        },
        {},
    ),
)

# -- CloudFormation's own
ANSWERS = """import cfnresponse
def handler(event, context):
    said = event["ResourceProperties"]
    data = {"Echo": said.get("Say", "")}
    cfnresponse.send(event, context, cfnresponse.SUCCESS, data, "thing-" + said.get("Which", "a"))
"""
made(
    "cloudformation-custom",
    Role=role(),
    Function=function({"Code": {"ZipFile": ANSWERS}}),
    Thing=R(
        "Custom::Thing",
        {"ServiceToken": att("Function", "Arn"), "ServiceTimeout": 900, "Say": "one", "Which": "a"},
        {"ServiceTimeout": 1200, "Say": "two", "Numbers": [1, 2]},
        {"ServiceTimeout": None, "Which": "b"},
    ),
    Plain=R(
        "AWS::CloudFormation::CustomResource",
        {"ServiceToken": att("Function", "Arn"), "ServiceTimeout": 900},
        {"ServiceTimeout": 1200},
        {"ServiceTimeout": None},
    ),
    Said=R(
        "AWS::SSM::Parameter",
        {"Type": "String", "Value": att("Thing", "Echo"), "Description": ref("Thing")},
    ),
)
made(
    "cloudformation-wait",
    Handle=R("AWS::CloudFormation::WaitConditionHandle"),
    Signalled=R(
        "AWS::CloudFormation::WaitCondition",
        {"Handle": ref("Handle"), "Timeout": "43200", "Count": 2},
    ),
    Policied=R(
        "AWS::CloudFormation::WaitCondition",
        CreationPolicy={"ResourceSignal": {"Count": 1, "Timeout": "PT12H"}},
    ),
    Group=R(
        "AWS::Logs::LogGroup",
        {},
        {"RetentionInDays": 1},
        {"RetentionInDays": 3},
        DependsOn=["Signalled", "Policied"],
    ),
)
made(
    "cloudformation-macro-whole",
    Role=role(),
    Function=function(),
    Other=function(),
    Macro=R(
        "AWS::CloudFormation::Macro",
        {"Name": "CorpusWhole", "FunctionName": ref("Function"), "Description": "one"},
        {"FunctionName": att("Other", "Arn")},
        {"Description": "other"},
    ),
)
made(
    "cloudformation-stack-whole",
    Topic=R("AWS::SNS::Topic"),
    Other=R("AWS::SNS::Topic"),
    Inner=R(
        "AWS::CloudFormation::Stack",
        {
            "TemplateURL": "https://s3.amazonaws.com/corpus-code/inner.yaml",
            "Parameters": {"Days": "1"},
            "NotificationARNs": [ref("Topic")],
            "TimeoutInMinutes": 60,
            "Tags": tags(a="1"),
        },
        {"Parameters": {"Days": "3"}, "NotificationARNs": [ref("Other")], "Tags": tags(a="2")},
        {
            "TemplateURL": "https://s3.amazonaws.com/corpus-code/inner-2.yaml",
            "TimeoutInMinutes": 30,
            "NotificationARNs": None,
        },
    ),
)
made(
    "cdk-metadata",
    Group=R("AWS::Logs::LogGroup"),
    Metadata=R(
        "AWS::CDK::Metadata",
        {"Analytics": "v2:deflate64:H4sI", "Modules": "aws-cdk=2.0.0"},
        {"Modules": "aws-cdk=2.1.0"},
        {"Analytics": "v2:deflate64:H4sJ"},
    ),
)

# -- queues and topics
ROOT = {"AWS": sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")}
BACKOFF = {
    "minDelayTarget": 1,
    "maxDelayTarget": 2,
    "numRetries": 3,
    "numMaxDelayRetries": 1,
    "numMinDelayRetries": 1,
    "numNoDelayRetries": 1,
    "backoffFunction": "linear",
}
made(
    "sns-whole",
    Key=R("AWS::KMS::Key", {"KeyPolicy": key_policy()}),
    Role=role("sns.amazonaws.com"),
    Boss=role("sns.amazonaws.com"),
    Bucket=R("AWS::S3::Bucket"),
    Stream=R(
        "AWS::KinesisFirehose::DeliveryStream",
        {
            "S3DestinationConfiguration": {
                "BucketARN": att("Bucket", "Arn"),
                "RoleARN": att("Delivers", "Arn"),
            }
        },
    ),
    Delivers=role("firehose.amazonaws.com"),
    Queue=R("AWS::SQS::Queue", {"FifoQueue": True}),
    Archived=R(
        "AWS::SNS::Topic",
        {
            "TopicName": "corpus-archived.fifo",
            "FifoTopic": True,
            "ArchivePolicy": {"MessageRetentionPeriod": "30"},
            "FifoThroughputScope": "Topic",
            "MaximumMessageSize": 300000,
        },
        {
            "ArchivePolicy": {"MessageRetentionPeriod": "40"},
            "FifoThroughputScope": "MessageGroup",
            "MaximumMessageSize": 1048576,
        },
        {"FifoThroughputScope": "Topic"},
    ),
    Replayed=R(
        "AWS::SNS::Subscription",
        {
            "TopicArn": ref("Archived"),
            "Protocol": "sqs",
            "Endpoint": att("Queue", "Arn"),
            "Region": ref("AWS::Region"),
        },
        {
            "Region": None,
            "ReplayPolicy": {"PointType": "Timestamp", "StartingPoint": "2026-01-01T00:00:00.000Z"},
        },
        {"ReplayPolicy": None},
    ),
    Topic=R("AWS::SNS::Topic"),
    ByHttp=R(
        "AWS::SNS::Subscription",
        *(
            {
                "TopicArn": ref("Topic"),
                "Protocol": "https",
                "Endpoint": "https://example.com/hook",
                "DeliveryPolicy": {"healthyRetryPolicy": {**BACKOFF, "numRetries": 3 + n}},
            }
            for n in (1, 2, 3)
        ),
    ),
    ToFirehose=R(
        "AWS::SNS::Subscription",
        *(
            {
                "TopicArn": ref("Topic"),
                "Protocol": "firehose",
                "Endpoint": att("Stream", "Arn"),
                "SubscriptionRoleArn": att(boss, "Arn"),
            }
            for boss in ("Role", "Boss", "Role")
        ),
    ),
)
made(
    "sqs-policies-change",
    Queue=R("AWS::SQS::Queue"),
    Policy=R(
        "AWS::SQS::QueuePolicy",
        *(
            {
                "Queues": [ref("Queue")],
                "PolicyDocument": allow(action, att("Queue", "Arn"), Principal=ROOT),
            }
            for action in ("sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage")
        ),
    ),
    First=R("AWS::SNS::Topic"),
    Second=R("AWS::SNS::Topic"),
    TopicPolicy=R(
        "AWS::SNS::TopicPolicy",
        *(
            {
                "Topics": topics,
                "PolicyDocument": allow("sns:Publish", "*", Principal={"Service": service}),
            }
            for service, topics in (
                ("s3.amazonaws.com", [ref("First")]),
                ("events.amazonaws.com", [ref("First"), ref("Second")]),
                ("s3.amazonaws.com", [ref("Second")]),
            )
        ),
    ),
)
made(
    "ecr-whole",
    Images=R(
        "AWS::ECR::Repository",
        {
            "EmptyOnDelete": True,
            "EncryptionConfiguration": {"EncryptionType": "AES256"},
            "ImageScanningConfiguration": {"ScanOnPush": True},
            "ImageTagMutability": "MUTABLE_WITH_EXCLUSION",
            "ImageTagMutabilityExclusionFilters": [
                {
                    "ImageTagMutabilityExclusionFilterType": "WILDCARD",
                    "ImageTagMutabilityExclusionFilterValue": "v*",
                }
            ],
        },
        {
            "EmptyOnDelete": False,
            "ImageScanningConfiguration": {"ScanOnPush": False},
            "ImageTagMutabilityExclusionFilters": [
                {
                    "ImageTagMutabilityExclusionFilterType": "WILDCARD",
                    "ImageTagMutabilityExclusionFilterValue": "release-*",
                }
            ],
        },
        {"EmptyOnDelete": None, "ImageTagMutability": "MUTABLE", "ImageTagMutabilityExclusionFilters": None},
    ),
)  # fmt: skip
