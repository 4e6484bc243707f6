"""Write the templates of tests/templates/good that are made from tables: a type's properties, three steps each.

usage: make.py      The files are committed: they are what is deployed, by us and by whoever takes one.

A template has a parameter Step; with 1 it is created, with 2 and 3 it is updated. A property that differs between
the steps becomes Fn::If over the conditions Two and Three. ``whole`` has a type's every property, a module for the
services of a kind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import whole
import yaml
from makers import (
    MADE,
    R,
    allow,
    att,
    code,
    function,
    key_policy,
    made,
    ref,
    role,
    sub,
    table,
    tags,
    trust,
)

assert whole
TARGET = Path(__file__).parent / "good"

# -- S3
for n, (first, second, third) in {
    "plain": ({}, {"Tags": tags(a="1")}, {"Tags": tags(b="2")}),
    "named": (
        {"BucketName": sub("corpus-${AWS::AccountId}-a")},
        {"BucketName": sub("corpus-${AWS::AccountId}-b")},
        {"Tags": tags(a="1")},
    ),
    "versioned": (
        {"VersioningConfiguration": {"Status": "Enabled"}},
        {"VersioningConfiguration": {"Status": "Suspended"}},
        {"VersioningConfiguration": {"Status": "Enabled"}},
    ),
    "private": (
        {
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": True,
                "BlockPublicPolicy": True,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            }
        },
        {
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": True,
                "BlockPublicPolicy": True,
                "IgnorePublicAcls": False,
                "RestrictPublicBuckets": False,
            }
        },
        {"PublicAccessBlockConfiguration": None},
    ),
    "owner": (
        {"OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}},
        {"OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]}},
        {"OwnershipControls": {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}},
    ),
    "encrypted": (
        {
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [
                    {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
                ]
            }
        },
        {
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [
                    {
                        "ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"},
                        "BucketKeyEnabled": True,
                    }
                ]
            }
        },
        {"BucketEncryption": None},
    ),
    "website": (
        {"WebsiteConfiguration": {"IndexDocument": "index.html"}},
        {"WebsiteConfiguration": {"IndexDocument": "index.html", "ErrorDocument": "error.html"}},
        {"WebsiteConfiguration": {"RedirectAllRequestsTo": {"HostName": "example.com"}}},
    ),
    "cors": (
        {
            "CorsConfiguration": {
                "CorsRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]
            }
        },
        {
            "CorsConfiguration": {
                "CorsRules": [
                    {
                        "AllowedMethods": ["GET", "PUT"],
                        "AllowedOrigins": ["https://example.com"],
                        "MaxAge": 60,
                    }
                ]
            }
        },
        {"CorsConfiguration": None},
    ),
    "lifecycle": (
        {
            "LifecycleConfiguration": {
                "Rules": [{"Id": "old", "Status": "Enabled", "ExpirationInDays": 30}]
            }
        },
        {
            "LifecycleConfiguration": {
                "Rules": [
                    {"Id": "old", "Status": "Enabled", "ExpirationInDays": 60, "Prefix": "logs/"}
                ]
            }
        },
        {"LifecycleConfiguration": None},
    ),
}.items():
    made(f"s3-bucket-{n}", Bucket=R("AWS::S3::Bucket", first, second, third))
made(
    "s3-bucket-policy",
    Bucket=R("AWS::S3::Bucket"),
    Policy=R(
        "AWS::S3::BucketPolicy",
        *(
            {
                "Bucket": ref("Bucket"),
                "PolicyDocument": allow(
                    a,
                    sub("${Bucket.Arn}/*"),
                    Principal={"AWS": sub("arn:aws:iam::${AWS::AccountId}:root")},
                ),
            }
            for a in ("s3:GetObject", "s3:PutObject", ["s3:GetObject", "s3:PutObject"])
        ),
    ),
)
made(
    "s3-bucket-notifies-queue",
    Queue=R("AWS::SQS::Queue"),
    QueuePolicy=R(
        "AWS::SQS::QueuePolicy",
        {
            "Queues": [ref("Queue")],
            "PolicyDocument": allow(
                "sqs:SendMessage", att("Queue", "Arn"), Principal={"Service": "s3.amazonaws.com"}
            ),
        },
    ),
    Bucket=R(
        "AWS::S3::Bucket",
        *(
            {
                "NotificationConfiguration": {
                    "QueueConfigurations": [{"Event": e, "Queue": att("Queue", "Arn")}]
                }
            }
            for e in ("s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectCreated:Put")
        ),
        DependsOn="QueuePolicy",
    ),
)

# -- SQS
for n, steps in {
    "plain": ({}, {"VisibilityTimeout": 60}, {"VisibilityTimeout": None}),
    "times": (
        {"DelaySeconds": 1, "MessageRetentionPeriod": 600},
        {"DelaySeconds": 2, "ReceiveMessageWaitTimeSeconds": 5},
        {"DelaySeconds": None},
    ),
    "sizes": (
        {"MaximumMessageSize": 1024},
        {"MaximumMessageSize": 2048},
        {"MaximumMessageSize": None},
    ),
    "named": ({"QueueName": "corpus-a"}, {"QueueName": "corpus-b"}, {"VisibilityTimeout": 5}),
    "tagged": ({"Tags": tags(a="1", b="2")}, {"Tags": tags(a="2")}, {"Tags": None}),
    "fifo": (
        {"FifoQueue": True, "ContentBasedDeduplication": True},
        {"ContentBasedDeduplication": False},
        {"DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"},
    ),
    "sealed": (
        {"SqsManagedSseEnabled": True},
        {"SqsManagedSseEnabled": False},
        {"SqsManagedSseEnabled": None},
    ),
}.items():
    made(f"sqs-queue-{n}", Queue=R("AWS::SQS::Queue", *steps))
made(
    "sqs-queue-dead-letters",
    Dead=R(
        "AWS::SQS::Queue",
        {},
        {"RedriveAllowPolicy": {"redrivePermission": "allowAll"}},
        {"RedriveAllowPolicy": None},
    ),
    Queue=R(
        "AWS::SQS::Queue",
        *(
            {"RedrivePolicy": {"deadLetterTargetArn": att("Dead", "Arn"), "maxReceiveCount": n}}
            for n in (3, 4, 5)
        ),
    ),
)
made(
    "sqs-queue-policy",
    One=R("AWS::SQS::Queue"),
    Other=R("AWS::SQS::Queue"),
    Policy=R(
        "AWS::SQS::QueuePolicy",
        *(
            {"Queues": q, "PolicyDocument": allow("sqs:SendMessage", "*", Principal="*")}
            for q in ([ref("One")], [ref("One"), ref("Other")], [ref("Other")])
        ),
    ),
)
made(
    "sqs-queue-inline-policy",
    Queue=R("AWS::SQS::Queue"),
    Policy=R(
        "AWS::SQS::QueueInlinePolicy",
        *(
            {"Queue": ref("Queue"), "PolicyDocument": allow(a, "*", Principal="*")}
            for a in ("sqs:SendMessage", "sqs:ReceiveMessage", "sqs:*")
        ),
    ),
)

# -- SNS
for n, steps in {
    "plain": ({}, {"DisplayName": "one"}, {"DisplayName": "two"}),
    "named": ({"TopicName": "corpus-a"}, {"TopicName": "corpus-b"}, {"DisplayName": "x"}),
    "tagged": ({"Tags": tags(a="1")}, {"Tags": tags(b="1")}, {"Tags": None}),
    "fifo": (
        {"FifoTopic": True, "TopicName": "corpus.fifo"},
        {"ContentBasedDeduplication": True},
        {"ContentBasedDeduplication": False},
    ),
}.items():
    made(f"sns-topic-{n}", Topic=R("AWS::SNS::Topic", *steps))
made(
    "sns-subscription",
    Queue=R("AWS::SQS::Queue"),
    Topic=R("AWS::SNS::Topic"),
    Subscription=R(
        "AWS::SNS::Subscription",
        {"TopicArn": ref("Topic"), "Protocol": "sqs", "Endpoint": att("Queue", "Arn")},
        {"RawMessageDelivery": True},
        {"RawMessageDelivery": False, "FilterPolicy": {"kind": ["a"]}},
    ),
)
made(
    "sns-topic-subscribed-inline",
    Queue=R("AWS::SQS::Queue"),
    Topic=R(
        "AWS::SNS::Topic",
        {},
        {"Subscription": [{"Protocol": "sqs", "Endpoint": att("Queue", "Arn")}]},
        {"Subscription": None},
    ),
)
made(
    "sns-topic-policy",
    Topic=R("AWS::SNS::Topic"),
    Policy=R(
        "AWS::SNS::TopicPolicy",
        *(
            {
                "Topics": [ref("Topic")],
                "PolicyDocument": allow("sns:Publish", ref("Topic"), Principal={"Service": s}),
            }
            for s in ("s3.amazonaws.com", "events.amazonaws.com", "s3.amazonaws.com")
        ),
    ),
)

# -- Lambda
for n, steps in {
    "plain": ({}, code(2), code(3)),
    "sizes": (
        {"MemorySize": 128, "Timeout": 3},
        {"MemorySize": 256, "Timeout": 9},
        {"MemorySize": None, "Timeout": None},
    ),
    "environment": (
        {"Environment": {"Variables": {"FIRST": "1"}}},
        {"Environment": {"Variables": {"FIRST": "2", "SECOND": "3"}}},
        {"Environment": None},
    ),
    "described": ({"Description": "one"}, {"Description": "two"}, {"Description": None}),
    "named": ({"FunctionName": "corpus-a"}, {"FunctionName": "corpus-b"}, code(2)),
    "tagged": ({"Tags": tags(a="1")}, {"Tags": tags(b="1")}, {"Tags": None}),
    "storage": (
        {"EphemeralStorage": {"Size": 512}},
        {"EphemeralStorage": {"Size": 1024}},
        {"EphemeralStorage": None},
    ),
    "reserved": (
        {"ReservedConcurrentExecutions": 1},
        {"ReservedConcurrentExecutions": 2},
        {"ReservedConcurrentExecutions": None},
    ),
    "arm": ({"Architectures": ["arm64"]}, {"Architectures": ["x86_64"]}, code(2)),
}.items():
    made(f"lambda-function-{n}", Role=role(), Function=function(*steps))
made(
    "lambda-permission",
    Role=role(),
    Function=function(),
    Permission=R(
        "AWS::Lambda::Permission",
        *(
            {"FunctionName": ref("Function"), "Action": "lambda:InvokeFunction", "Principal": p}
            for p in ("s3.amazonaws.com", "sns.amazonaws.com", "events.amazonaws.com")
        ),
    ),
)
made(
    "lambda-url",
    Role=role(),
    Function=function(),
    Url=R(
        "AWS::Lambda::Url",
        {"TargetFunctionArn": att("Function", "Arn"), "AuthType": "AWS_IAM"},
        {"AuthType": "NONE"},
        {"Cors": {"AllowOrigins": ["*"], "MaxAge": 60}},
    ),
)
made(
    "lambda-version-and-alias",
    Role=role(),
    Function=function({}, code(2), code(3)),
    Version=R(
        "AWS::Lambda::Version",
        {"FunctionName": ref("Function")},
        {"Description": "next"},
        {"Description": "last"},
    ),
    Alias=R(
        "AWS::Lambda::Alias",
        {
            "FunctionName": ref("Function"),
            "Name": "live",
            "FunctionVersion": att("Version", "Version"),
        },
        {"Description": "x"},
        {"Description": None},
    ),
)
made(
    "lambda-event-invoke-config",
    Role=role(),
    Function=function(),
    Config=R(
        "AWS::Lambda::EventInvokeConfig",
        *(
            {"FunctionName": ref("Function"), "Qualifier": "$LATEST", "MaximumRetryAttempts": n}
            for n in (0, 1, 2)
        ),
    ),
)

# -- IAM
for n, steps in {
    "plain": ({}, {"Description": "x"}, {"Description": None}),
    "session": (
        {"MaxSessionDuration": 3600},
        {"MaxSessionDuration": 7200},
        {"MaxSessionDuration": None},
    ),
    "inline": (
        {"Policies": [{"PolicyName": "a", "PolicyDocument": allow("s3:ListBucket")}]},
        {"Policies": [{"PolicyName": "a", "PolicyDocument": allow("s3:GetObject")}]},
        {"Policies": [{"PolicyName": "b", "PolicyDocument": allow("s3:GetObject")}]},
    ),
    "managed": (
        {"ManagedPolicyArns": ["arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"]},
        {"ManagedPolicyArns": None},
        {"ManagedPolicyArns": ["arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"]},
    ),
    "path": ({"Path": "/a/"}, {"Path": "/b/"}, {"Description": "x"}),
    "named": ({"RoleName": "corpus-a"}, {"RoleName": "corpus-b"}, {"Description": "x"}),
    "tagged": ({"Tags": tags(a="1")}, {"Tags": tags(b="1")}, {"Tags": None}),
}.items():
    made(
        f"iam-role-{n}",
        Role=R(
            "AWS::IAM::Role",
            {"AssumeRolePolicyDocument": trust("lambda.amazonaws.com"), **steps[0]},
            *steps[1:],
        ),
    )
made(
    "iam-user",
    User=R(
        "AWS::IAM::User",
        {},
        {"Policies": [{"PolicyName": "a", "PolicyDocument": allow("s3:GetObject")}]},
        {"Policies": None, "Tags": tags(a="1")},
    ),
)
made(
    "iam-group",
    Group=R(
        "AWS::IAM::Group",
        {},
        {"Policies": [{"PolicyName": "a", "PolicyDocument": allow("s3:GetObject")}]},
        {"Policies": None},
    ),
)
made(
    "iam-policy",
    Role=role(),
    Policy=R(
        "AWS::IAM::Policy",
        *(
            {"PolicyName": "p", "Roles": [ref("Role")], "PolicyDocument": allow(a)}
            for a in ("s3:GetObject", "s3:PutObject", "s3:*")
        ),
    ),
)
made(
    "iam-role-policy",
    Role=role(),
    Policy=R(
        "AWS::IAM::RolePolicy",
        *(
            {"PolicyName": "p", "RoleName": ref("Role"), "PolicyDocument": allow(a)}
            for a in ("s3:GetObject", "s3:PutObject", "s3:*")
        ),
    ),
)
made(
    "iam-user-policy",
    User=R("AWS::IAM::User"),
    Policy=R(
        "AWS::IAM::UserPolicy",
        *(
            {"PolicyName": "p", "UserName": ref("User"), "PolicyDocument": allow(a)}
            for a in ("s3:GetObject", "s3:PutObject", "s3:*")
        ),
    ),
)
made(
    "iam-managed-policy",
    Role=role(),
    Policy=R(
        "AWS::IAM::ManagedPolicy",
        {"PolicyDocument": allow("s3:GetObject"), "Roles": [ref("Role")]},
        {"PolicyDocument": allow("s3:PutObject")},
        {"Roles": None},
    ),
)

# -- ECR, and what CDK puts into every template
_EXPIRES = (
    '{"rules": [{"rulePriority": 1, "selection": {"tagStatus": "untagged", "countType": "sinceImagePushed",'
    ' "countUnit": "days", "countNumber": 365}, "action": {"type": "expire"}}]}'
)
_PULL = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "ecr:BatchGetImage",
        }
    ],
}
made(
    "ecr-repository",
    Images=R(
        "AWS::ECR::Repository",
        {
            "RepositoryName": "corpus/images",
            "ImageTagMutability": "IMMUTABLE",
            "ImageScanningConfiguration": {"ScanOnPush": True},
            "LifecyclePolicy": {"LifecyclePolicyText": _EXPIRES},
        },
        {"RepositoryPolicyText": _PULL, "LifecyclePolicy": None, "Tags": tags(a="1")},
        {"RepositoryPolicyText": None, "ImageTagMutability": None, "Tags": tags(b="2")},
    ),
    Metadata=R("AWS::CDK::Metadata", {"Analytics": "v2:deflate64:H4sI"}, {"Analytics": "v2:x"}),
)

# -- Logs
made(
    "logs-group",
    Group=R(
        "AWS::Logs::LogGroup",
        {},
        {"RetentionInDays": 7},
        {"RetentionInDays": None, "Tags": tags(a="1")},
    ),
)
made(
    "logs-group-named",
    Group=R(
        "AWS::Logs::LogGroup",
        {"LogGroupName": "/corpus/a"},
        {"LogGroupName": "/corpus/b"},
        {"RetentionInDays": 1},
    ),
)
made(
    "logs-stream",
    Group=R("AWS::Logs::LogGroup"),
    Stream=R(
        "AWS::Logs::LogStream",
        {"LogGroupName": ref("Group")},
        {"LogStreamName": "a"},
        {"LogStreamName": "b"},
    ),
)

# -- DynamoDB
made("dynamodb-table-plain", Table=table({}, {"Tags": tags(a="1")}, {"Tags": tags(b="2")}))
made(
    "dynamodb-table-named",
    Table=table({"TableName": "corpus-a"}, {"TableName": "corpus-b"}, {"Tags": tags(a="1")}),
)
made(
    "dynamodb-table-provisioned",
    Table=table(
        {
            "BillingMode": "PROVISIONED",
            "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
        },
        {"ProvisionedThroughput": {"ReadCapacityUnits": 2, "WriteCapacityUnits": 1}},
        {"BillingMode": "PAY_PER_REQUEST", "ProvisionedThroughput": None},
    ),
)
made(
    "dynamodb-table-ttl",
    Table=table(
        {"TimeToLiveSpecification": {"AttributeName": "t", "Enabled": True}},
        {"TimeToLiveSpecification": {"AttributeName": "t", "Enabled": False}},
        {"TimeToLiveSpecification": {"AttributeName": "u", "Enabled": True}},
    ),
)
made(
    "dynamodb-table-class",
    Table=table(
        {"TableClass": "STANDARD"},
        {"TableClass": "STANDARD_INFREQUENT_ACCESS"},
        {"TableClass": None},
    ),
)
made(
    "dynamodb-table-range",
    Table=table(
        {
            "AttributeDefinitions": [
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "N"},
            ],
            "KeySchema": [
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
        },
        {"Tags": tags(a="1")},
        {"Tags": None},
    ),
)
GSI = {
    "IndexName": "by-g",
    "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
    "Projection": {"ProjectionType": "ALL"},
}
made(
    "dynamodb-table-index",
    Table=table(
        {},
        {
            "AttributeDefinitions": [
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "g", "AttributeType": "S"},
            ],
            "GlobalSecondaryIndexes": [GSI],
        },
        {
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
            "GlobalSecondaryIndexes": None,
        },
    ),
)

# -- HTTP APIs
API = {"Name": "corpus", "ProtocolType": "HTTP"}
made(
    "apigatewayv2-api",
    Api=R("AWS::ApiGatewayV2::Api", API, {"Description": "x"}, {"Name": "other"}),
)
made(
    "apigatewayv2-api-cors",
    Api=R(
        "AWS::ApiGatewayV2::Api",
        {**API, "CorsConfiguration": {"AllowOrigins": ["*"]}},
        {"CorsConfiguration": {"AllowOrigins": ["https://example.com"], "AllowMethods": ["GET"]}},
        {"CorsConfiguration": None},
    ),
)
made(
    "apigatewayv2-stage",
    Api=R("AWS::ApiGatewayV2::Api", API),
    Stage=R(
        "AWS::ApiGatewayV2::Stage",
        {"ApiId": ref("Api"), "StageName": "$default", "AutoDeploy": True},
        {"Description": "x"},
        {"StageVariables": {"a": "1"}},
    ),
)
made(
    "apigatewayv2-route-to-function",
    Role=role(),
    Function=function(),
    Api=R("AWS::ApiGatewayV2::Api", API),
    Integration=R(
        "AWS::ApiGatewayV2::Integration",
        {
            "ApiId": ref("Api"),
            "IntegrationType": "AWS_PROXY",
            "IntegrationUri": att("Function", "Arn"),
            "PayloadFormatVersion": "2.0",
        },
        {"TimeoutInMillis": 5000},
        {"Description": "x"},
    ),
    Route=R(
        "AWS::ApiGatewayV2::Route",
        *(
            {"ApiId": ref("Api"), "RouteKey": k, "Target": sub("integrations/${Integration}")}
            for k in ("GET /a", "GET /b", "POST /b")
        ),
    ),
)
made(
    "apigatewayv2-deployment",
    Api=R("AWS::ApiGatewayV2::Api", API),
    Role=role(),
    Function=function(),
    Integration=R(
        "AWS::ApiGatewayV2::Integration",
        {
            "ApiId": ref("Api"),
            "IntegrationType": "AWS_PROXY",
            "IntegrationUri": att("Function", "Arn"),
            "PayloadFormatVersion": "2.0",
        },
    ),
    Route=R(
        "AWS::ApiGatewayV2::Route",
        {"ApiId": ref("Api"), "RouteKey": "GET /", "Target": sub("integrations/${Integration}")},
    ),
    Deployment=R(
        "AWS::ApiGatewayV2::Deployment",
        {"ApiId": ref("Api")},
        {"Description": "x"},
        {"Description": "y"},
        DependsOn="Route",
    ),
)

# -- REST APIs
REST = R(
    "AWS::ApiGateway::RestApi",
    {"Name": "corpus", "BinaryMediaTypes": ["image/png"], "Tags": tags(a="1")},
    {"Description": "x", "BinaryMediaTypes": ["image/gif"], "MinimumCompressionSize": 10},
    {"Name": "other", "Description": None, "MinimumCompressionSize": None, "Tags": tags(b="2")},
)
MOCKED = {
    "Type": "MOCK",
    "RequestTemplates": {"application/json": '{"statusCode": 200}'},
    "IntegrationResponses": [{"StatusCode": "200"}],
}
REST_METHOD = {
    "RestApiId": ref("Api"),
    "ResourceId": ref("Pets"),
    "HttpMethod": "GET",
    "AuthorizationType": "NONE",
    "Integration": MOCKED,
    "MethodResponses": [{"StatusCode": "200"}],
}
PETS = R(
    "AWS::ApiGateway::Resource",
    {"RestApiId": ref("Api"), "ParentId": att("Api", "RootResourceId"), "PathPart": "pets"},
)
made(
    "apigateway-method",
    Api=REST,
    Pets=PETS,
    Shape=R(
        "AWS::ApiGateway::Model",
        {"RestApiId": ref("Api"), "ContentType": "application/json", "Schema": {"type": "object"}},
        {"Description": "x"},
        {"Schema": {"type": "array"}},
    ),
    Check=R(
        "AWS::ApiGateway::RequestValidator",
        {"RestApiId": ref("Api"), "Name": "check", "ValidateRequestBody": True},
        {"ValidateRequestParameters": True},
    ),
    Method=R(
        "AWS::ApiGateway::Method",
        REST_METHOD,
        {"RequestValidatorId": ref("Check"), "RequestModels": {"application/json": ref("Shape")}},
        {"ApiKeyRequired": True, "RequestParameters": {"method.request.header.a": False}},
    ),
    Denied=R(
        "AWS::ApiGateway::GatewayResponse",
        {"RestApiId": ref("Api"), "ResponseType": "ACCESS_DENIED", "StatusCode": "404"},
        {"ResponseParameters": {"gatewayresponse.header.x": "'y'"}},
    ),
)
made(
    "apigateway-stage",
    Api=REST,
    Pets=PETS,
    Method=R("AWS::ApiGateway::Method", REST_METHOD),
    Deployment=R(
        "AWS::ApiGateway::Deployment",
        {"RestApiId": ref("Api"), "StageName": "dev"},
        {"Description": "x"},
        DependsOn="Method",
    ),
    Stage=R(
        "AWS::ApiGateway::Stage",
        {
            "RestApiId": ref("Api"),
            "StageName": "prod",
            "DeploymentId": ref("Deployment"),
            "Variables": {"a": "1"},
        },
        {
            "Variables": {"a": "2", "b": "3"},
            "MethodSettings": [
                {"ResourcePath": "/pets", "HttpMethod": "GET", "ThrottlingRateLimit": 5},
                {"ResourcePath": "/*", "HttpMethod": "*", "MetricsEnabled": True},
            ],
        },
        {
            "Variables": None,
            "Description": "y",
            "MethodSettings": [{"ResourcePath": "/*", "HttpMethod": "*", "MetricsEnabled": False}],
        },
    ),
    Key=R(
        "AWS::ApiGateway::ApiKey",
        {"Enabled": True, "StageKeys": [{"RestApiId": ref("Api"), "StageName": ref("Stage")}]},
        {"Description": "x", "StageKeys": None},
        {"Enabled": False, "Tags": tags(a="1")},
    ),
    Plan=R(
        "AWS::ApiGateway::UsagePlan",
        {"UsagePlanName": "p", "ApiStages": [{"ApiId": ref("Api"), "Stage": ref("Stage")}]},
        {
            "Quota": {"Limit": 5, "Period": "DAY", "Offset": 0},
            "Throttle": {"BurstLimit": 5, "RateLimit": 2},
        },
        {"Quota": None, "ApiStages": None, "Description": "x"},
    ),
    PlanKey=R(
        "AWS::ApiGateway::UsagePlanKey",
        {"KeyId": ref("Key"), "KeyType": "API_KEY", "UsagePlanId": ref("Plan")},
    ),
)
made(
    "apigateway-authorizer",
    Role=role(),
    Function=function(),
    Api=REST,
    Pets=PETS,
    Authorizer=R(
        "AWS::ApiGateway::Authorizer",
        {
            "RestApiId": ref("Api"),
            "Name": "judge",
            "Type": "TOKEN",
            "IdentitySource": "method.request.header.Authorization",
            "AuthorizerUri": sub(
                "arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Function.Arn}/invocations"
            ),
        },
        {"AuthorizerResultTtlInSeconds": 5},
        {"Type": "REQUEST", "Name": "other"},
    ),
    Method=R(
        "AWS::ApiGateway::Method",
        {**REST_METHOD, "AuthorizationType": "CUSTOM", "AuthorizerId": ref("Authorizer")},
        {"AuthorizationType": "AWS_IAM", "AuthorizerId": None},
    ),
)

# -- Events
PATTERN = {"source": ["corpus"]}
made(
    "events-bus",
    Bus=R("AWS::Events::EventBus", {"Name": "corpus"}, {"Description": "x"}, {"Tags": tags(a="1")}),
)
made(
    "events-rule-pattern",
    Rule=R(
        "AWS::Events::Rule",
        {"EventPattern": PATTERN},
        {"EventPattern": {"source": ["other"]}},
        {"Description": "x", "State": "DISABLED"},
    ),
)
made(
    "events-rule-schedule",
    Rule=R(
        "AWS::Events::Rule",
        *(
            {"ScheduleExpression": e}
            for e in ("rate(1 hour)", "rate(2 hours)", "cron(0 12 * * ? *)")
        ),
    ),
)
made(
    "events-rule-targets-queue",
    Queue=R("AWS::SQS::Queue"),
    Rule=R(
        "AWS::Events::Rule",
        {"EventPattern": PATTERN, "Targets": [{"Id": "q", "Arn": att("Queue", "Arn")}]},
        {"Targets": [{"Id": "q", "Arn": att("Queue", "Arn"), "Input": '{"a":1}'}]},
        {"Targets": [{"Id": "r", "Arn": att("Queue", "Arn"), "InputPath": "$.detail"}]},
    ),
)
made(
    "events-rule-on-bus",
    Bus=R("AWS::Events::EventBus", {"Name": "corpus"}),
    Rule=R(
        "AWS::Events::Rule",
        {"EventBusName": ref("Bus"), "EventPattern": PATTERN},
        {"Description": "x"},
        {"State": "DISABLED"},
    ),
)
made(
    "events-archive",
    Archive=R(
        "AWS::Events::Archive",
        {
            "SourceArn": sub(
                "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/default"
            )
        },
        {"RetentionDays": 3},
        {"Description": "x"},
    ),
)
made(
    "events-connection",
    Connection=R(
        "AWS::Events::Connection",
        *(
            {
                "AuthorizationType": "API_KEY",
                "AuthParameters": {"ApiKeyAuthParameters": {"ApiKeyName": "k", "ApiKeyValue": v}},
            }
            for v in ("a", "b", "c")
        ),
    ),
    Destination=R(
        "AWS::Events::ApiDestination",
        {
            "ConnectionArn": att("Connection", "Arn"),
            "HttpMethod": "POST",
            "InvocationEndpoint": "https://example.com/",
        },
        {"HttpMethod": "PUT"},
        {"InvocationRateLimitPerSecond": 5},
    ),
)
made(
    "events-bus-policy",
    Bus=R("AWS::Events::EventBus", {"Name": "corpus"}),
    Policy=R(
        "AWS::Events::EventBusPolicy",
        *(
            {
                "EventBusName": ref("Bus"),
                "StatementId": "s",
                "Statement": {
                    "Effect": "Allow",
                    "Principal": {"AWS": sub("arn:aws:iam::${AWS::AccountId}:root")},
                    "Action": a,
                    "Resource": att("Bus", "Arn"),
                },
            }
            for a in ("events:PutEvents", "events:PutRule", "events:PutEvents")
        ),
    ),
)

# -- Scheduler
made(
    "scheduler-schedule",
    Role=role("scheduler.amazonaws.com"),
    Queue=R("AWS::SQS::Queue"),
    Schedule=R(
        "AWS::Scheduler::Schedule",
        {
            "ScheduleExpression": "rate(1 hour)",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {"Arn": att("Queue", "Arn"), "RoleArn": att("Role", "Arn")},
        },
        {"ScheduleExpression": "rate(2 hours)"},
        {"State": "DISABLED"},
    ),
)
made(
    "scheduler-group",
    Group=R("AWS::Scheduler::ScheduleGroup", {}, {"Tags": tags(a="1")}, {"Tags": tags(b="1")}),
)

# -- Kinesis
made(
    "kinesis-stream",
    Stream=R(
        "AWS::Kinesis::Stream", {"ShardCount": 1}, {"ShardCount": 2}, {"RetentionPeriodHours": 48}
    ),
)
made(
    "kinesis-stream-on-demand",
    Stream=R(
        "AWS::Kinesis::Stream",
        {"StreamModeDetails": {"StreamMode": "ON_DEMAND"}},
        {"Tags": tags(a="1")},
        {"Tags": tags(b="1")},
    ),
)
made(
    "kinesis-stream-consumer",
    Stream=R("AWS::Kinesis::Stream", {"ShardCount": 1}),
    Consumer=R(
        "AWS::Kinesis::StreamConsumer",
        *({"ConsumerName": n, "StreamARN": att("Stream", "Arn")} for n in "abc"),
    ),
)

# -- KMS, SSM, Secrets Manager
made(
    "kms-key",
    Key=R(
        "AWS::KMS::Key",
        {"KeyPolicy": key_policy()},
        {"Description": "x"},
        {"EnableKeyRotation": True},
    ),
)
made(
    "kms-alias",
    Key=R("AWS::KMS::Key", {"KeyPolicy": key_policy()}),
    Alias=R(
        "AWS::KMS::Alias",
        *({"AliasName": f"alias/corpus-{n}", "TargetKeyId": ref("Key")} for n in "abc"),
    ),
)
made(
    "ssm-parameter",
    Parameter=R(
        "AWS::SSM::Parameter",
        {"Type": "String", "Value": "1"},
        {"Value": "2"},
        {"Description": "x"},
    ),
)
made(
    "ssm-parameter-list",
    Parameter=R(
        "AWS::SSM::Parameter",
        {"Type": "StringList", "Value": "a,b", "Name": "/corpus/a"},
        {"Value": "a"},
        {"Name": "/corpus/b"},
    ),
)
made(
    "secretsmanager-secret",
    Secret=R(
        "AWS::SecretsManager::Secret",
        {"SecretString": "a"},
        {"SecretString": "b"},
        {"Description": "x", "Tags": tags(a="1")},
    ),
)
made(
    "secretsmanager-secret-generated",
    Secret=R(
        "AWS::SecretsManager::Secret",
        {
            "GenerateSecretString": {
                "SecretStringTemplate": '{"user":"u"}',
                "GenerateStringKey": "password",
                "PasswordLength": 20,
            }
        },
        {"Description": "x"},
        {"Tags": tags(a="1")},
    ),
)

# -- CloudWatch
ALARM = {
    "ComparisonOperator": "GreaterThanThreshold",
    "EvaluationPeriods": 1,
    "MetricName": "Errors",
    "Namespace": "AWS/Lambda",
    "Period": 60,
    "Statistic": "Sum",
    "Threshold": 1,
}
made(
    "cloudwatch-alarm",
    Alarm=R("AWS::CloudWatch::Alarm", ALARM, {"Threshold": 2}, {"AlarmDescription": "x"}),
)
made(
    "cloudwatch-alarm-notifies",
    Topic=R("AWS::SNS::Topic"),
    Alarm=R(
        "AWS::CloudWatch::Alarm",
        {**ALARM, "AlarmActions": [ref("Topic")]},
        {"OKActions": [ref("Topic")]},
        {"AlarmActions": None},
    ),
)
made(
    "cloudwatch-composite-alarm",
    Alarm=R("AWS::CloudWatch::Alarm", ALARM),
    Both=R(
        "AWS::CloudWatch::CompositeAlarm",
        *(
            {"AlarmRule": sub(t)}
            for t in ("ALARM(${Alarm})", "NOT ALARM(${Alarm})", "OK(${Alarm})")
        ),
    ),
)
made(
    "cloudwatch-dashboard",
    Dashboard=R(
        "AWS::CloudWatch::Dashboard",
        *(
            {
                "DashboardBody": f'{{"widgets":[{{"type":"text","properties":{{"markdown":"{n}"}}}}]}}'
            }
            for n in "abc"
        ),
    ),
)

# -- CloudFormation's own
made(
    "cloudformation-wait-handle",
    Handle=R("AWS::CloudFormation::WaitConditionHandle"),
    Group=R("AWS::Logs::LogGroup", {}, {"RetentionInDays": 1}, {"RetentionInDays": 3}),
)
made(
    "cloudformation-macro",
    Role=role(),
    Function=function({}, code(2), code(3)),
    Macro=R(
        "AWS::CloudFormation::Macro",
        {"Name": "CorpusMacro", "FunctionName": ref("Function")},
        {"Description": "x"},
        {"Description": None},
    ),
)

# -- intrinsic functions, each in several places: a group whose retention and tags they make
INTRINSICS: dict[str, list[Any]] = {
    "base64": [
        {"Fn::Base64": "a"},
        {"Fn::Base64": sub("${AWS::Region}")},
        {"Fn::Base64": {"Fn::Join": ["-", ["a", ref("Step")]]}},
    ],
    "join": [
        {"Fn::Join": ["", ["a", "b"]]},
        {"Fn::Join": [",", ref("List")]},
        {"Fn::Join": ["-", [ref("AWS::Region"), att("Other", "Arn")]]},
    ],
    "split": [
        {"Fn::Select": [0, {"Fn::Split": [",", "a,b"]}]},
        {"Fn::Select": [5, {"Fn::Split": [":", att("Other", "Arn")]}]},
        {"Fn::Join": ["+", {"Fn::Split": ["-", ref("AWS::Region")]}]},
    ],
    "select": [
        {"Fn::Select": [0, ["a", "b"]]},
        {"Fn::Select": ["1", ref("List")]},
        {"Fn::Select": [2, {"Fn::GetAZs": ""}]},
    ],
    "sub": [
        sub("${AWS::StackName}-x"),
        {"Fn::Sub": ["${a}-${AWS::Region}", {"a": ref("Step")}]},
        sub("${!Literal}-${Other}-${Other.Arn}"),
    ],
    "getatt": [
        att("Other", "Arn"),
        sub("${Other.Arn}"),
        {"Fn::Join": ["", [att("Other", "Arn"), "x"]]},
    ],
    "ref": [ref("Other"), ref("Step"), ref("AWS::StackId")],
    "findinmap": [
        {"Fn::FindInMap": ["Map", "a", "k"]},
        {"Fn::FindInMap": ["Map", {"Fn::If": ["Two", "b", "a"]}, "k"]},
        {"Fn::Select": [0, {"Fn::FindInMap": ["Map", "a", "list"]}]},
    ],
    "if": [
        {"Fn::If": ["Two", "a", "b"]},
        {"Fn::If": ["Never", "a", ref("Step")]},
        {"Fn::If": ["Either", "a", {"Fn::If": ["Two", "b", "c"]}]},
    ],
    "cidr": [
        {"Fn::Select": [0, {"Fn::Cidr": ["10.0.0.0/16", 2, 8]}]},
        {"Fn::Join": [",", {"Fn::Cidr": ["10.0.0.0/24", 4, 4]}]},
        {"Fn::Select": [1, {"Fn::Cidr": ["192.168.0.0/24", "2", "5"]}]},
    ],
    "getazs": [
        {"Fn::Select": [0, {"Fn::GetAZs": ref("AWS::Region")}]},
        {"Fn::Join": [",", {"Fn::GetAZs": "eu-west-1"}]},
        {"Fn::Select": [1, {"Fn::GetAZs": ""}]},
    ],
    "pseudo": [ref("AWS::AccountId"), ref("AWS::Partition"), ref("AWS::URLSuffix")],
}
EXTENDED: dict[str, list[Any]] = {
    "length": [
        {"Fn::Length": ["a", "b"]},
        {"Fn::Length": ref("List")},
        {"Fn::Length": {"Fn::Split": [",", "a,b,c"]}},
    ],
    "tojsonstring": [
        {"Fn::ToJsonString": {"a": 1}},
        {"Fn::ToJsonString": [ref("Step"), "b"]},
        {"Fn::ToJsonString": {"arn": att("Other", "Arn")}},
    ],
    "findinmap-default": [
        {"Fn::FindInMap": ["Map", "none", "k", {"DefaultValue": "d"}]},
        {"Fn::FindInMap": ["None", "a", "k", {"DefaultValue": ref("Step")}]},
        {"Fn::FindInMap": ["Map", "a", "k", {"DefaultValue": "d"}]},
    ],
}
SECTIONS = {
    "Mappings": {"Map": {"a": {"k": "1", "list": ["x", "y"]}, "b": {"k": "2"}}},
    "Conditions": {
        "Never": {"Fn::And": [{"Condition": "Two"}, {"Fn::Not": [{"Condition": "Two"}]}]},
        "Either": {"Fn::Or": [{"Condition": "Two"}, {"Condition": "Three"}]},
    },
}


def holder(values: list[Any]) -> dict[str, Any]:
    return {
        "Other": {"Type": "AWS::Logs::LogGroup"},
        "One": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": values[0], "Description": {"Fn::Sub": "step ${Step}"}}},
        "Both": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Fn::Sub": "s${Step}"}, "Tags": [{"Key": "second", "Value": values[1]}, {"Key": "third", "Value": values[2]}]}},
    }  # fmt: skip


# -- S3 Tables, and the tables of S3 Metadata
_FIELDS = [
    {"Name": "id", "Type": "long", "Required": True, "Id": 1},
    {"Name": "at", "Type": "timestamp", "Required": False, "Id": 2},
]
_TABLE = {
    "TableBucketARN": ref("Lake"),
    "Namespace": "raw",
    "TableName": "events",
    "OpenTableFormat": "ICEBERG",
}
made(
    "s3tables-table",
    Lake=R(
        "AWS::S3Tables::TableBucket",
        {"TableBucketName": "corpus-lake", "Tags": tags(a="1")},
        {"UnreferencedFileRemoval": {"Status": "Enabled", "UnreferencedDays": 4, "NoncurrentDays": 5}},
        {"UnreferencedFileRemoval": {"Status": "Disabled"}, "Tags": tags(b="2")},
    ),
    Raw=R("AWS::S3Tables::Namespace", {"TableBucketARN": ref("Lake"), "Namespace": "raw"}),
    Clean=R("AWS::S3Tables::Namespace", {"TableBucketARN": ref("Lake"), "Namespace": "clean"}),
    Table=R(
        "AWS::S3Tables::Table",
        {
            **_TABLE,
            "IcebergMetadata": {
                "IcebergSchema": {"SchemaFieldList": _FIELDS},
                "IcebergPartitionSpec": {"Fields": [{"SourceId": 2, "Transform": "day", "Name": "at_day"}]},
            },
            "Compaction": {"Status": "enabled", "TargetFileSizeMB": 128},
            "Tags": tags(a="1"),
        },
        {"Namespace": "clean", "TableName": "kept", "Compaction": {"Status": "disabled"}, "Tags": tags(a="2", b="3")},
        {"Compaction": None, "SnapshotManagement": {"Status": "enabled", "MinSnapshotsToKeep": 2, "MaxSnapshotAgeHours": 24}},
        DependsOn=["Raw", "Clean"],
    ),
    Nested=R(
        "AWS::S3Tables::Table",
        {
            **_TABLE,
            "TableName": "nested",
            "StorageClassConfiguration": {"StorageClass": "INTELLIGENT_TIERING"},
            "IcebergMetadata": {
                "IcebergSchemaV2": {
                    "SchemaV2FieldType": "struct",
                    "SchemaV2FieldList": [
                        {"Id": 1, "Name": "id", "Type": "long", "Required": True},
                        {"Id": 2, "Name": "tags", "Type": {"type": "list", "element-id": 3, "element": "string"}, "Required": False},
                    ],
                    "IdentifierFieldIds": [1],
                },
                "IcebergSortOrder": {
                    "Fields": [{"SourceId": 1, "Transform": "identity", "Direction": "asc", "NullOrder": "nulls-last"}]
                },
                "TableProperties": {"write.parquet.compression-codec": "zstd"},
            },
        },
        {"Tags": tags(a="1")},
        {"Tags": None},
        DependsOn="Raw",
    ),
    Bare=R("AWS::S3Tables::Table", {**_TABLE, "TableName": "bare", "WithoutMetadata": "Yes"}, DependsOn="Raw"),
    BucketPolicy=R(
        "AWS::S3Tables::TableBucketPolicy",
        *(
            {
                "TableBucketARN": ref("Lake"),
                "ResourcePolicy": allow(action, sub("${Lake}/*"), Principal={"AWS": sub("arn:aws:iam::${AWS::AccountId}:root")}),
            }
            for action in ("s3tables:GetTable", "s3tables:GetTableData", "s3tables:*")
        ),
    ),
    TablePolicy=R(
        "AWS::S3Tables::TablePolicy",
        *(
            {
                "TableARN": att("Bare", "TableARN"),
                "ResourcePolicy": allow(action, att("Bare", "TableARN"), Principal={"AWS": sub("arn:aws:iam::${AWS::AccountId}:root")}),
            }
            for action in ("s3tables:GetTable", "s3tables:GetTableData", "s3tables:*")
        ),
    ),
)  # fmt: skip
made(
    "s3-bucket-metadata",
    Bucket=R(
        "AWS::S3::Bucket",
        {
            "MetadataConfiguration": {
                "JournalTableConfiguration": {"RecordExpiration": {"Expiration": "ENABLED", "Days": 7}},
                "InventoryTableConfiguration": {"ConfigurationState": "ENABLED"},
            }
        },
        {
            "MetadataConfiguration": {
                "JournalTableConfiguration": {"RecordExpiration": {"Expiration": "DISABLED"}},
                "InventoryTableConfiguration": {"ConfigurationState": "ENABLED"},
            }
        },
        {
            "MetadataConfiguration": {
                "JournalTableConfiguration": {"RecordExpiration": {"Expiration": "ENABLED", "Days": 30}},
                "InventoryTableConfiguration": {"ConfigurationState": "ENABLED"},
            }
        },
    ),
    Journal=R(
        "AWS::SSM::Parameter",
        {"Type": "String", "Value": att("Bucket", "MetadataConfiguration.JournalTableConfiguration.TableArn")},
    ),
    Place=R(
        "AWS::SSM::Parameter",
        {"Type": "String", "Value": att("Bucket", "MetadataConfiguration.Destination.TableBucketArn")},
    ),
)  # fmt: skip

# -- what was in no template yet: a type each, with the properties people use
made(
    "glue-catalog",
    Db=R(
        "AWS::Glue::Database",
        {"CatalogId": ref("AWS::AccountId"), "DatabaseInput": {"Name": "corpus_db"}},
        {"DatabaseInput": {"Name": "corpus_db", "Description": "x"}},
    ),
    Table=R(
        "AWS::Glue::Table",
        *(
            {
                "CatalogId": ref("AWS::AccountId"),
                "DatabaseName": ref("Db"),
                "TableInput": {
                    "Name": "events",
                    "Description": text,
                    "TableType": "EXTERNAL_TABLE",
                    "PartitionKeys": [{"Name": "day", "Type": "string"}],
                    "StorageDescriptor": {"Columns": [{"Name": "a", "Type": "int"}], "Location": "s3://b/t"},
                },
            }
            for text in "abc"
        ),
    ),
    Partition=R(
        "AWS::Glue::Partition",
        *(
            {
                "CatalogId": ref("AWS::AccountId"),
                "DatabaseName": ref("Db"),
                "TableName": ref("Table"),
                "PartitionInput": {"Values": ["1"], "Parameters": {"a": text}},
            }
            for text in "abc"
        ),
    ),
)  # fmt: skip
TRACKED = {"PredefinedMetricType": "DynamoDBWriteCapacityUtilization"}
made(
    "application-autoscaling",
    Table=R(
        "AWS::DynamoDB::Table",
        {
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
            "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5},
        },
    ),
    Target=R(
        "AWS::ApplicationAutoScaling::ScalableTarget",
        {
            "ServiceNamespace": "dynamodb",
            "ResourceId": sub("table/${Table}"),
            "ScalableDimension": "dynamodb:table:WriteCapacityUnits",
            "MinCapacity": 5,
            "MaxCapacity": 20,
        },
        {"MaxCapacity": 30},
        {"SuspendedState": {"DynamicScalingInSuspended": True}},
    ),
    Policy=R(
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        *(
            {
                "PolicyName": "p",
                "PolicyType": "TargetTrackingScaling",
                "ScalingTargetId": ref("Target"),
                "TargetTrackingScalingPolicyConfiguration": {
                    "TargetValue": value,
                    "PredefinedMetricSpecification": TRACKED,
                },
            }
            for value in (50.0, 60.0, 70.0)
        ),
    ),
)
made(
    "firehose-to-bucket",
    Bucket=R("AWS::S3::Bucket"),
    Role=role("firehose.amazonaws.com"),
    Stream=R(
        "AWS::KinesisFirehose::DeliveryStream",
        *(
            {
                "DeliveryStreamType": "DirectPut",
                "ExtendedS3DestinationConfiguration": {
                    "RoleARN": att("Role", "Arn"),
                    "BucketARN": att("Bucket", "Arn"),
                    "Prefix": f"{text}/",
                    "BufferingHints": {"SizeInMBs": 5, "IntervalInSeconds": 60},
                    "CompressionFormat": "GZIP",
                },
                "Tags": tags(a=text),
            }
            for text in "abc"
        ),
    ),
)
made(
    "pipes-pipe",
    In=R("AWS::SQS::Queue"),
    Out=R("AWS::SQS::Queue"),
    Role=role(
        "pipes.amazonaws.com",
        Policies=[{"PolicyName": "p", "PolicyDocument": allow("sqs:*")}],
    ),
    Pipe=R(
        "AWS::Pipes::Pipe",
        *(
            {
                "RoleArn": att("Role", "Arn"),
                "Source": att("In", "Arn"),
                "SourceParameters": {"SqsQueueParameters": {"BatchSize": size}},
                "Target": att("Out", "Arn"),
                "TargetParameters": {"InputTemplate": "<$.body>"},
                "Description": f"{size} at once",
                "DesiredState": "RUNNING",
                "Tags": {"a": str(size)},
            }
            for size in (1, 2, 3)
        ),
    ),
)
made(
    "iam-user-parts",
    User=R("AWS::IAM::User", {"Path": "/corpus/"}),
    Other=R("AWS::IAM::User"),
    Group=R("AWS::IAM::Group", {"Path": "/corpus/"}),
    Key=R(
        "AWS::IAM::AccessKey",
        {"UserName": ref("User")},
        {"Status": "Inactive"},
        {"Status": "Active"},
    ),
    GroupPolicy=R(
        "AWS::IAM::GroupPolicy",
        *(
            {"GroupName": ref("Group"), "PolicyName": "p", "PolicyDocument": allow(action)}
            for action in ("s3:GetObject", "s3:PutObject", "s3:*")
        ),
    ),
    Members=R(
        "AWS::IAM::UserToGroupAddition",
        {"GroupName": ref("Group"), "Users": [ref("User")]},
        {"Users": [ref("User"), ref("Other")]},
        {"Users": [ref("Other")]},
    ),
)
made(
    "iam-profile-and-providers",
    Role=role("ec2.amazonaws.com"),
    Profile=R("AWS::IAM::InstanceProfile", {"Path": "/corpus/", "Roles": [ref("Role")]}),
    Oidc=R(
        "AWS::IAM::OIDCProvider",
        {
            "Url": "https://id.corpus.example.com",
            "ClientIdList": ["a"],
            "ThumbprintList": ["a" * 40],
        },
        {"ClientIdList": ["a", "b"], "Tags": tags(a="1")},
        {"ThumbprintList": ["b" * 40], "ClientIdList": ["b"]},
    ),
)
made(
    "kinesis-resource-policy",
    Stream=R("AWS::Kinesis::Stream", {"ShardCount": 1}),
    Policy=R(
        "AWS::Kinesis::ResourcePolicy",
        *(
            {
                "ResourceArn": att("Stream", "Arn"),
                "ResourcePolicy": allow(
                    action,
                    att("Stream", "Arn"),
                    Principal={"AWS": sub("arn:aws:iam::${AWS::AccountId}:root")},
                ),
            }
            for action in ("kinesis:GetRecords", "kinesis:PutRecord", "kinesis:DescribeStream")
        ),
    ),
)
made(
    "lambda-mapping-and-layer",
    Role=role(Policies=[{"PolicyName": "p", "PolicyDocument": allow("sqs:*")}]),
    Queue=R("AWS::SQS::Queue"),
    Dead=R("AWS::SQS::Queue"),
    Layer=R(
        "AWS::Lambda::LayerVersion",
        *(
            {
                "LayerName": "corpus-layer",
                "Description": text,
                "Content": {"S3Bucket": "corpus-code", "S3Key": "layer.zip"},
                "CompatibleRuntimes": ["python3.12"],
            }
            for text in "abc"
        ),
    ),
    Function=function(
        {
            "Layers": [ref("Layer")],
            "DeadLetterConfig": {"TargetArn": att("Dead", "Arn")},
            "LoggingConfig": {"LogGroup": "/corpus/one"},
            "TracingConfig": {"Mode": "PassThrough"},
            "PackageType": "Zip",
        },
        {"LoggingConfig": {"LogGroup": "/corpus/two"}},
        {"DeadLetterConfig": None},
    ),
    Mapping=R(
        "AWS::Lambda::EventSourceMapping",
        {"FunctionName": ref("Function"), "EventSourceArn": att("Queue", "Arn"), "BatchSize": 2},
        {"BatchSize": 3, "FunctionResponseTypes": ["ReportBatchItemFailures"]},
        {"Enabled": False, "FilterCriteria": {"Filters": [{"Pattern": '{"body": {"a": [1]}}'}]}},
    ),
)
made(
    "s3-access-point",
    Bucket=R("AWS::S3::Bucket"),
    Point=R(
        "AWS::S3::AccessPoint",
        {"Bucket": ref("Bucket"), "Name": "corpus-point-a"},
        {"Name": "corpus-point-b"},
        {"Name": "corpus-point-c"},
    ),
)
made(
    "sns-topic-inline-policy",
    Topic=R(
        "AWS::SNS::Topic",
        {"SignatureVersion": "1"},
        {"SignatureVersion": "2", "TracingConfig": "PassThrough"},
    ),
    Policy=R(
        "AWS::SNS::TopicInlinePolicy",
        *(
            {
                "TopicArn": ref("Topic"),
                "PolicyDocument": allow(
                    "sns:Publish", ref("Topic"), Principal={"Service": f"{service}.amazonaws.com"}
                ),
            }
            for service in ("s3", "events", "lambda")
        ),
    ),
)
made(
    "secretsmanager-policy",
    Secret=R("AWS::SecretsManager::Secret", {"SecretString": "x"}),
    Policy=R(
        "AWS::SecretsManager::ResourcePolicy",
        *(
            {
                "SecretId": ref("Secret"),
                "ResourcePolicy": allow(
                    action, Principal={"AWS": sub("arn:aws:iam::${AWS::AccountId}:root")}
                ),
            }
            for action in (
                "secretsmanager:GetSecretValue",
                "secretsmanager:DescribeSecret",
                "secretsmanager:PutSecretValue",
            )
        ),
    ),
)
made(
    "dynamodb-global-table",
    Table=R(
        "AWS::DynamoDB::GlobalTable",
        {
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
            "BillingMode": "PAY_PER_REQUEST",
            "StreamSpecification": {"StreamViewType": "NEW_AND_OLD_IMAGES"},
            "Replicas": [{"Region": ref("AWS::Region")}],
        },
        {"TimeToLiveSpecification": {"Enabled": True, "AttributeName": "until"}},
        {"Replicas": [{"Region": ref("AWS::Region"), "DeletionProtectionEnabled": False}]},
    ),
)
made(
    "dynamodb-table-whole",
    Table=R(
        "AWS::DynamoDB::Table",
        {
            "AttributeDefinitions": [
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "N"},
            ],
            "KeySchema": [
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            "LocalSecondaryIndexes": [
                {
                    "IndexName": "by-sk",
                    "KeySchema": [
                        {"AttributeName": "pk", "KeyType": "HASH"},
                        {"AttributeName": "sk", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
            ],
            "BillingMode": "PAY_PER_REQUEST",
            "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
            "DeletionProtectionEnabled": True,
        },
        {"PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": False}},
        {"DeletionProtectionEnabled": False},
    ),
)
made(
    "cloudwatch-alarm-whole",
    Alarm=R(
        "AWS::CloudWatch::Alarm",
        {
            "AlarmName": "corpus-alarm",
            "ComparisonOperator": "LessThanThreshold",
            "EvaluationPeriods": 3,
            "DatapointsToAlarm": 2,
            "Namespace": "n",
            "MetricName": "m",
            "Dimensions": [{"Name": "d", "Value": "v"}],
            "Period": 60,
            "ExtendedStatistic": "p99",
            "Threshold": 1,
            "TreatMissingData": "notBreaching",
            "Unit": "Seconds",
            "Tags": tags(a="1"),
        },
        {"ActionsEnabled": False, "Threshold": 2},
        {"TreatMissingData": "breaching", "Tags": tags(b="2")},
    ),
)
made(
    "apigatewayv2-stage-whole",
    Api=R(
        "AWS::ApiGatewayV2::Api",
        {"Name": "corpus-whole", "ProtocolType": "HTTP", "Version": "1", "Tags": {"a": "1"}},
        {"Version": "2", "DisableExecuteApiEndpoint": True},
        {"DisableExecuteApiEndpoint": False, "Tags": {"b": "2"}},
    ),
    Stage=R(
        "AWS::ApiGatewayV2::Stage",
        *(
            {
                "ApiId": ref("Api"),
                "StageName": "s",
                "AutoDeploy": True,
                "Description": text,
                "StageVariables": {"v": text},
                "Tags": {"a": text},
            }
            for text in "abc"
        ),
    ),
)
made(
    "scheduler-schedule-whole",
    Queue=R("AWS::SQS::Queue"),
    Role=role(
        "scheduler.amazonaws.com",
        Policies=[{"PolicyName": "p", "PolicyDocument": allow("sqs:SendMessage")}],
    ),
    Group=R("AWS::Scheduler::ScheduleGroup", {"Name": "corpus-group", "Tags": tags(a="1")}),
    Schedule=R(
        "AWS::Scheduler::Schedule",
        {
            "Name": "corpus-schedule",
            "GroupName": ref("Group"),
            "Description": "x",
            "ScheduleExpression": "cron(0 12 * * ? *)",
            "ScheduleExpressionTimezone": "Europe/Zurich",
            "StartDate": "2090-01-01T00:00:00Z",
            "EndDate": "2099-01-01T00:00:00Z",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {"Arn": att("Queue", "Arn"), "RoleArn": att("Role", "Arn")},
        },
        {"ScheduleExpressionTimezone": "UTC", "State": "DISABLED"},
        {"Description": None},
    ),
)
made(
    "s3-bucket-whole",
    Logs=R("AWS::S3::Bucket", {"OwnershipControls": {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}}),
    Bucket=R(
        "AWS::S3::Bucket",
        {
            "AccelerateConfiguration": {"AccelerationStatus": "Enabled"},
            "LoggingConfiguration": {"DestinationBucketName": ref("Logs"), "LogFilePrefix": "a/"},
            "MetricsConfigurations": [{"Id": "all"}],
            "IntelligentTieringConfigurations": [
                {"Id": "i", "Status": "Enabled", "Tierings": [{"AccessTier": "ARCHIVE_ACCESS", "Days": 90}]}
            ],
            "AnalyticsConfigurations": [{"Id": "a", "StorageClassAnalysis": {}}],
            "VersioningConfiguration": {"Status": "Enabled"},
        },
        {
            "AccelerateConfiguration": {"AccelerationStatus": "Suspended"},
            "LoggingConfiguration": {"DestinationBucketName": ref("Logs"), "LogFilePrefix": "b/"},
            "MetricsConfigurations": [{"Id": "all"}, {"Id": "some", "Prefix": "x/"}],
        },
        {"LoggingConfiguration": None, "MetricsConfigurations": None, "AnalyticsConfigurations": None},
    ),
)  # fmt: skip
made(
    "sns-topic-whole",
    Queue=R("AWS::SQS::Queue"),
    Topic=R(
        "AWS::SNS::Topic",
        {"DisplayName": "a", "KmsMasterKeyId": "alias/aws/sns", "Tags": tags(a="1")},
        {"DisplayName": "b", "KmsMasterKeyId": None, "Tags": tags(a="2", b="1")},
        {"DisplayName": None, "Tags": tags(b="1")},
    ),
    Subscription=R(
        "AWS::SNS::Subscription",
        {
            "TopicArn": ref("Topic"),
            "Protocol": "sqs",
            "Endpoint": att("Queue", "Arn"),
            "RawMessageDelivery": True,
            "FilterPolicy": {"a": ["1"]},
            "FilterPolicyScope": "MessageBody",
            "RedrivePolicy": {"deadLetterTargetArn": att("Queue", "Arn")},
        },
        {"FilterPolicy": {"a": ["2"]}, "FilterPolicyScope": "MessageAttributes"},
        {"RawMessageDelivery": False, "RedrivePolicy": None},
    ),
)
made(
    "sqs-queue-whole",
    Queue=R(
        "AWS::SQS::Queue",
        {"KmsMasterKeyId": "alias/aws/sqs", "KmsDataKeyReusePeriodSeconds": 300, "Tags": tags(a="1")},
        {"KmsDataKeyReusePeriodSeconds": 600, "Tags": tags(a="2")},
        {"KmsMasterKeyId": None, "KmsDataKeyReusePeriodSeconds": None, "Tags": None},
    ),
)  # fmt: skip
made(
    "ssm-parameter-whole",
    Parameter=R(
        "AWS::SSM::Parameter",
        {
            "Name": "/corpus/whole",
            "Type": "String",
            "Value": "a1",
            "AllowedPattern": "a[0-9]",
            "Description": "x",
            "Tier": "Standard",
            "DataType": "text",
            "Tags": {"a": "1"},
        },
        {"Value": "a2", "Description": "y", "Tags": {"b": "2"}},
        {"Value": "a3", "Tags": {"b": "3"}},
    ),
)
made(
    "kms-key-whole",
    Key=R(
        "AWS::KMS::Key",
        {"KeyPolicy": key_policy(), "Description": "a", "KeySpec": "SYMMETRIC_DEFAULT",
         "KeyUsage": "ENCRYPT_DECRYPT", "PendingWindowInDays": 7, "Tags": tags(a="1")},
        {"Enabled": False, "Tags": tags(a="2")},
        {"Enabled": True, "EnableKeyRotation": True, "RotationPeriodInDays": 100, "Tags": tags(b="1")},
    ),
)  # fmt: skip
made(
    "kinesis-stream-whole",
    Stream=R(
        "AWS::Kinesis::Stream",
        {
            "Name": "corpus-stream",
            "ShardCount": 1,
            "RetentionPeriodHours": 24,
            "StreamEncryption": {"EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"},
            "DesiredShardLevelMetrics": ["IncomingBytes"],
            "Tags": tags(a="1"),
        },
        {
            "ShardCount": 2,
            "RetentionPeriodHours": 48,
            "DesiredShardLevelMetrics": ["OutgoingBytes"],
        },
        {"StreamEncryption": None, "DesiredShardLevelMetrics": None, "Tags": tags(a="2")},
    ),
)
made(
    "iam-user-whole",
    Group=R(
        "AWS::IAM::Group",
        {"GroupName": "corpus-group", "Path": "/corpus/"},
        {"Path": "/other/"},
    ),
    Boundary=R("AWS::IAM::ManagedPolicy", {"PolicyDocument": allow("s3:*"), "Path": "/corpus/"}),
    User=R(
        "AWS::IAM::User",
        {
            "UserName": "corpus-user",
            "Path": "/corpus/",
            "Groups": [ref("Group")],
            "ManagedPolicyArns": [ref("Boundary")],
            "PermissionsBoundary": ref("Boundary"),
            "LoginProfile": {"Password": "Corpus-1-password!"},
            "Tags": tags(a="1"),
        },
        {"Path": "/other/", "Groups": None, "Tags": tags(a="2")},
        {"PermissionsBoundary": None, "ManagedPolicyArns": None, "LoginProfile": None},
    ),
    Policy=R(
        "AWS::IAM::ManagedPolicy",
        *(
            {"ManagedPolicyName": "corpus-iam-user-whole-policy", "Path": "/corpus/", "Description": "x",
             "PolicyDocument": allow(action), "Users": [ref("User")], "Groups": [ref("Group")]}
            for action in ("s3:GetObject", "s3:PutObject", "s3:*")
        ),
    ),
)  # fmt: skip
made(
    "events-rule-whole",
    Queue=R("AWS::SQS::Queue"),
    Dead=R("AWS::SQS::Queue"),
    Rule=R(
        "AWS::Events::Rule",
        *(
            {
                "Name": "corpus-rule",
                "Description": text,
                "EventPattern": {"source": [text], "detail": {"n": [{"numeric": [">", 1]}]}},
                "State": state,
                "Targets": [
                    {
                        "Id": "one",
                        "Arn": att("Queue", "Arn"),
                        "InputTransformer": {"InputPathsMap": {"n": "$.detail.n"}, "InputTemplate": f'"{text} <n>"'},
                        "DeadLetterConfig": {"Arn": att("Dead", "Arn")},
                        "RetryPolicy": {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 60},
                    }
                ],
            }
            for text, state in (("a", "ENABLED"), ("b", "DISABLED"), ("c", "ENABLED"))
        ),
    ),
)  # fmt: skip
made(
    "cloudwatch-composite-whole",
    Topic=R("AWS::SNS::Topic"),
    One=R(
        "AWS::CloudWatch::Alarm",
        {"ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": 1, "Threshold": 1,
         "Metrics": [
             {"Id": "e", "Expression": "m * 2", "ReturnData": True},
             {"Id": "m", "ReturnData": False, "MetricStat": {
                 "Metric": {"Namespace": "n", "MetricName": "m"}, "Period": 60, "Stat": "Sum"}},
         ]},
    ),
    Both=R(
        "AWS::CloudWatch::CompositeAlarm",
        {"AlarmName": "corpus-both", "AlarmRule": sub("ALARM(${One})"), "AlarmActions": [ref("Topic")],
         "AlarmDescription": "x", "Tags": tags(a="1")},
        {"OKActions": [ref("Topic")], "ActionsEnabled": False, "Tags": tags(a="2")},
        {"AlarmActions": None, "AlarmDescription": None, "InsufficientDataActions": [ref("Topic")]},
    ),
    Board=R(
        "AWS::CloudWatch::Dashboard",
        *({"DashboardName": "corpus-board", "DashboardBody": body} for body in ('{"widgets":[]}', '{"widgets": []}', "{}")),
    ),
)  # fmt: skip
made(
    "lambda-permission-whole",
    Role=role(),
    Function=function(),
    Alias=R("AWS::Lambda::Alias", {"FunctionName": ref("Function"), "Name": "live", "FunctionVersion": "$LATEST"}),
    Permission=R(
        "AWS::Lambda::Permission",
        *(
            {"FunctionName": ref("Function"), "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com",
             "SourceAccount": ref("AWS::AccountId"), "SourceArn": f"arn:aws:s3:::corpus-{text}"}
            for text in "abc"
        ),
    ),
    Url=R("AWS::Lambda::Url", {"TargetFunctionArn": ref("Function"), "AuthType": "AWS_IAM", "InvokeMode": "BUFFERED"},
          {"AuthType": "NONE"}, {"Cors": {"AllowOrigins": ["*"], "MaxAge": 5}}),
)  # fmt: skip


def template(resources: dict[str, Any], **sections: Any) -> dict[str, Any]:
    steps = {
        "Two": {"Fn::Equals": [ref("Step"), "2"]},
        "Three": {"Fn::Equals": [ref("Step"), "3"]},
    }
    body = {name: r.body() if isinstance(r, R) else r for name, r in resources.items()}
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        **{k: v for k, v in sections.items() if k not in ("Parameters", "Conditions")},
        "Parameters": {
            "Step": {"Type": "String", "Default": "1", "AllowedValues": ["1", "2", "3"]},
            **sections.get("Parameters", {}),
        },
        "Conditions": {**steps, **sections.get("Conditions", {})},
        "Resources": body,
    }


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def write(name: str, made_template: dict[str, Any]) -> None:
    head = "# Generated by tests/templates/make.py; do not edit.\n"
    text = yaml.dump(made_template, Dumper=_Dumper, sort_keys=False, width=120)
    (TARGET / f"{name}.yaml").write_text(head + text)


def main() -> None:
    for name, resources in MADE.items():
        write(name, template(resources))
    listed = {"List": {"Type": "CommaDelimitedList", "Default": "a,b,c"}}
    for name, values in INTRINSICS.items():
        write(f"intrinsic-{name}", template(holder(values), Parameters=listed, **SECTIONS))
    for name, values in EXTENDED.items():
        made_template = template(holder(values), Parameters=listed, **SECTIONS)
        write(f"extension-{name}", {"Transform": "AWS::LanguageExtensions", **made_template})


if __name__ == "__main__":
    main()
