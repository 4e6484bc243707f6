"""What AWS's SDK for Java calls the services: how workflows (aws-sdk:SERVICE:action) and schedules name any operation of any of them.

Sources  https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html
         https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html
"""

from __future__ import annotations

SERVICES = {
    "apigatewayv2": "apigatewayv2", "applicationautoscaling": "application-autoscaling", "cloudcontrol": "cloudcontrol",
    "cloudformation": "cloudformation", "cloudtrail": "cloudtrail", "cloudwatch": "cloudwatch",
    "cloudwatchlogs": "logs", "dynamodb": "dynamodb", "dynamodbstreams": "dynamodbstreams", "ecr": "ecr",
    "eventbridge": "events", "firehose": "firehose", "glue": "glue", "iam": "iam", "kinesis": "kinesis", "kms": "kms",
    "lambda": "lambda", "organizations": "organizations", "pipes": "pipes",
    "resourcegroupstaggingapi": "resourcegroupstaggingapi", "s3": "s3", "s3control": "s3control",
    "scheduler": "scheduler", "secretsmanager": "secretsmanager", "serverlessapplicationrepository": "serverlessrepo",
    "sfn": "stepfunctions", "sns": "sns", "sqs": "sqs", "ssm": "ssm", "sts": "sts",
}  # fmt: skip
"""Theirs -> ours."""
STREAMING = frozenset(
    {"SelectObjectContent", "SubscribeToShard", "StartLiveTail", "InvokeWithResponseStream"}
)
"""Operations that neither may call: their answers have no end that could be waited for."""
