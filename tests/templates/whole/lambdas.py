"""Lambda: functions, versions, aliases, layers, URLs, mappings."""

from __future__ import annotations

import base64
from hashlib import sha256
from pathlib import Path

from makers import NO_VALUE, R, allow, att, code, function, key_policy, made, ref, role, tags

READS = role(
    Policies=[
        {"PolicyName": "p", "PolicyDocument": allow(["sqs:*", "kinesis:*", "dynamodb:*", "sns:*"])}
    ]
)
made(
    "lambda-function-whole",
    Role=READS,
    Other=READS,
    Dead=R("AWS::SQS::Queue"),
    Lost=R("AWS::SQS::Queue"),
    Lines=R("AWS::Logs::LogGroup"),
    Layer=R(
        "AWS::Lambda::LayerVersion",
        {"Content": {"S3Bucket": "corpus-code", "S3Key": "layer.zip"}},
    ),
    Function=function(
        {
            "FunctionName": "corpus-whole",
            "PackageType": "Zip",
            "Runtime": "python3.12",
            "Code": {
                "S3Bucket": "corpus-code",
                "S3Key": "function-1.zip",
                "S3ObjectVersion": "null",
                "S3ObjectStorageMode": "COPY",
            },
            "DeadLetterConfig": {"TargetArn": att("Dead", "Arn")},
            "Layers": [ref("Layer")],
            "LoggingConfig": {"LogGroup": ref("Lines"), "LogFormat": "Text"},
            "PublishToLatestPublished": False,
            "RecursiveLoop": "Terminate",
            "RuntimeManagementConfig": {"UpdateRuntimeOn": "Auto"},
            "SnapStart": {"ApplyOn": "None"},
            "TracingConfig": {"Mode": "Active"},
            "VpcConfig": {
                "SecurityGroupIds": [],
                "SubnetIds": [],
                "Ipv6AllowedForDualStack": False,
            },
        },
        {
            "Role": att("Other", "Arn"),
            "Handler": "index.other",
            "Runtime": "python3.11",
            "Code": {"S3Bucket": "corpus-code", "S3Key": "function-2.zip"},
            "DeadLetterConfig": {"TargetArn": att("Lost", "Arn")},
            "TracingConfig": {"Mode": "PassThrough"},
            "PublishToLatestPublished": None,
            "RecursiveLoop": "Allow",
            "RuntimeManagementConfig": None,
            "SnapStart": None,
            "VpcConfig": None,
        },
        {"DeadLetterConfig": None, "Layers": None, "LoggingConfig": None, "TracingConfig": None},
    ),
)
PARTS = Path(__file__).parents[1] / "parts"
SHA256 = base64.b64encode(sha256((PARTS / "function-1.zip").read_bytes()).digest()).decode()
made(
    "lambda-alias-whole",
    Role=READS,
    Function=function({"Code": {"S3Bucket": "corpus-code", "S3Key": "function-1.zip"}}, code(2)),
    First=R("AWS::Lambda::Version", {"FunctionName": ref("Function"), "Description": "first", "CodeSha256": SHA256}),
    Alias=R(
        "AWS::Lambda::Alias",
        {
            "FunctionName": ref("Function"),
            "Name": "live",
            "FunctionVersion": att("First", "Version"),
            "Description": "all of it",
        },
        {"Description": "a tenth goes to what is new"},
        {"Description": None},
    ),
    Config=R(
        "AWS::Lambda::EventInvokeConfig",
        *(
            {
                "FunctionName": ref("Function"),
                "Qualifier": "live",
                "MaximumEventAgeInSeconds": 60 * n,
                "MaximumRetryAttempts": n - 1,
                "DestinationConfig": {
                    "OnSuccess": {"Destination": att(one, "Arn")},
                    "OnFailure": {"Destination": att(other, "Arn")},
                },
            }
            for n, one, other in ((1, "Good", "Bad"), (2, "Bad", "Good"), (3, "Good", "Bad"))
        ),
        DependsOn="Alias",
    ),
    Good=R("AWS::SQS::Queue"),
    Bad=R("AWS::SQS::Queue"),
    Url=R(
        "AWS::Lambda::Url",
        {
            "TargetFunctionArn": ref("Function"),
            "Qualifier": "live",
            "AuthType": "NONE",
            "InvokeMode": "BUFFERED",
            "Cors": {
                "AllowCredentials": True,
                "AllowHeaders": ["content-type"],
                "AllowMethods": ["GET"],
                "AllowOrigins": ["https://example.com"],
                "ExposeHeaders": ["etag"],
                "MaxAge": 60,
            },
        },
        {"InvokeMode": "RESPONSE_STREAM", "AuthType": "AWS_IAM"},
        {"InvokeMode": None, "Cors": None},
        DependsOn="Alias",
    ),
    Permission=R(
        "AWS::Lambda::Permission",
        *(
            {
                "FunctionName": ref("Alias"),
                "Action": "lambda:InvokeFunctionUrl",
                "Principal": "*",
                "FunctionUrlAuthType": kind,
                "PrincipalOrgID": organization,
            }
            for kind, organization in (("NONE", NO_VALUE), ("AWS_IAM", NO_VALUE), ("AWS_IAM", "o-1234567890"))
        ),
    ),
    Direct=R(
        "AWS::Lambda::Permission",
        {"FunctionName": ref("Alias"), "Action": "lambda:InvokeFunction", "Principal": "*", "InvokedViaFunctionUrl": True},
    ),
    Skill=R(
        "AWS::Lambda::Permission",
        *(
            {"FunctionName": ref("Function"), "Action": "lambda:InvokeFunction", "Principal": "alexa-appkit.amazon.com", "EventSourceToken": token}
            for token in ("skill-a", "skill-b", "skill-c")
        ),
    ),
)  # fmt: skip
WEIGHED = [{"FunctionVersion": att("Second", "Version"), "FunctionWeight": 0.1}]
made(
    "lambda-alias-weights",
    Role=role(),
    Function=function({}, code(2)),
    First=R("AWS::Lambda::Version", {"FunctionName": ref("Function")}),
    Second=R(
        "AWS::Lambda::Version",
        {"FunctionName": ref("Function"), "Description": "what is new"},
        Condition="Two",
    ),
    Alias=R(
        "AWS::Lambda::Alias",
        {
            "FunctionName": ref("Function"),
            "Name": "live",
            "FunctionVersion": att("First", "Version"),
        },
        {"RoutingConfig": {"AdditionalVersionWeights": WEIGHED}},
        {"RoutingConfig": None},
    ),
)
made(
    "lambda-mappings-whole",
    Role=READS,
    Key=R("AWS::KMS::Key", {"KeyPolicy": key_policy()}),
    Function=function({}),
    Other=function({}),
    Third=function({}),
    Dead=R("AWS::SQS::Queue"),
    Lost=R("AWS::SQS::Queue"),
    Queue=R("AWS::SQS::Queue"),
    Stream=R("AWS::Kinesis::Stream", {"ShardCount": 1}),
    FromQueue=R(
        "AWS::Lambda::EventSourceMapping",
        {
            "EventSourceArn": att("Queue", "Arn"),
            "FunctionName": ref("Function"),
            "Enabled": False,
            "KmsKeyArn": att("Key", "Arn"),
            "MetricsConfig": {"Metrics": ["EventCount"]},
            "ScalingConfig": {"MaximumConcurrency": 5},
            "MaximumBatchingWindowInSeconds": 1,
            "BatchSize": 50,
            "Tags": tags(a="1"),
        },
        {
            "FunctionName": ref("Other"),
            "KmsKeyArn": None,
            "MetricsConfig": None,
            "ScalingConfig": {"MaximumConcurrency": 6},
            "MaximumBatchingWindowInSeconds": 2,
            "BatchSize": 60,
            "Tags": tags(a="2", b="1"),
        },
        {"ScalingConfig": None, "MaximumBatchingWindowInSeconds": None, "BatchSize": 10, "Tags": tags(b="2")},
    ),
    Polled=R(
        "AWS::Lambda::EventSourceMapping",
        {
            "EventSourceArn": att("Queue", "Arn"),
            "FunctionName": ref("Third"),
            "Enabled": False,
            "ProvisionedPollerConfig": {"MinimumPollers": 2, "MaximumPollers": 4},
        },
        {"ProvisionedPollerConfig": {"MinimumPollers": 3, "MaximumPollers": 5}},
        {"ProvisionedPollerConfig": None},
    ),
    FromStream=R(
        "AWS::Lambda::EventSourceMapping",
        *(
            {
                "EventSourceArn": att("Stream", "Arn"),
                "FunctionName": ref("Function"),
                "Enabled": False,
                "StartingPosition": "AT_TIMESTAMP",
                "StartingPositionTimestamp": 1_700_000_000,
                "BisectBatchOnFunctionError": n != 2,
                "DestinationConfig": {"OnFailure": {"Destination": att(dead, "Arn")}},
                "MaximumRecordAgeInSeconds": 60 * n,
                "MaximumRetryAttempts": n,
                "ParallelizationFactor": factor,
                "TumblingWindowInSeconds": window_s,
            }
            for n, dead, factor, window_s in ((1, "Dead", 1, 5), (2, "Lost", 1, 6), (3, "Dead", 2, 0))
        ),
    ),
)  # fmt: skip
made(
    "lambda-layer-whole",
    Layer=R(
        "AWS::Lambda::LayerVersion",
        *(
            {
                "LayerName": "corpus-shared",
                "Description": f"{text} of the shared code",
                "LicenseInfo": "MIT",
                "CompatibleRuntimes": ["python3.12"],
                "CompatibleArchitectures": ["x86_64", "arm64"],
                "Content": {
                    "S3Bucket": "corpus-code",
                    "S3Key": "layer.zip",
                    "S3ObjectVersion": "null",
                    "S3ObjectStorageMode": "COPY",
                },
            }
            for text in ("first", "second", "third")
        ),
    ),
)
