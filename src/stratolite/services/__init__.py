"""The services this platform offers. Adding one: its folder, and its line here.

A line says what must be known before the folder is imported, which happens on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

from stratolite.service import Cloud, Service


class Offer(NamedTuple):
    """``service`` is the botocore model name; ``folder:Class`` is where it lives."""

    service: str
    place: str
    doors: tuple[str, ...] = ()
    """Raw HTTP it answers, see ``service.Door``."""
    types: tuple[str, ...] = ()
    """Prefixes of the CloudFormation types it owns."""
    queues: bool = False
    """Whether it has workers (work left in the log must find them at start)."""

    def make(self, cloud: Cloud) -> Service:
        module, _, name = self.place.partition(":")
        return getattr(import_module(f"stratolite.services.{module}"), name)(cloud)  # type: ignore[no-any-return]


OFFERS: tuple[Offer, ...] = (
    Offer("apigateway", "apigateway:Apigateway", types=("AWS::ApiGateway::",)),
    Offer("apigatewayv2", "apigatewayv2:Apigatewayv2", ("execute-api",), ("AWS::ApiGatewayV2::",)),
    Offer(
        "application-autoscaling",
        "application_autoscaling:ApplicationAutoscaling",
        types=("AWS::ApplicationAutoScaling::",),
        queues=True,
    ),
    Offer("cloudcontrol", "cloudcontrol:Cloudcontrol", queues=True),
    Offer(
        "cloudformation",
        "cloudformation:Cloudformation",
        ("cloudformation-response", "cloudformation-cost"),
        ("AWS::CloudFormation::", "AWS::CDK::", "Custom::"),
        queues=True,
    ),
    Offer("cloudtrail", "cloudtrail:Cloudtrail"),
    Offer("cloudwatch", "cloudwatch:Cloudwatch", types=("AWS::CloudWatch::",), queues=True),
    Offer("dynamodb", "dynamodb:Dynamodb", types=("AWS::DynamoDB::",), queues=True),
    Offer("dynamodbstreams", "dynamodbstreams:Dynamodbstreams"),
    Offer("ecr", "ecr:Ecr", types=("AWS::ECR::",)),
    Offer("events", "events:Events", types=("AWS::Events::",), queues=True),
    Offer("firehose", "firehose:Firehose", types=("AWS::KinesisFirehose::",), queues=True),
    Offer("glue", "glue:Glue", types=("AWS::Glue::",), queues=True),
    # not in its front page: every start imports the folder, to ask ``authorize``
    Offer("iam", "iam.service:Iam", types=("AWS::IAM::",)),
    Offer("kinesis", "kinesis:Kinesis", types=("AWS::Kinesis::",), queues=True),
    Offer("kms", "kms:Kms", types=("AWS::KMS::",), queues=True),
    Offer(
        "lambda", "lambda_:Lambda", ("lambda-url", "lambda-code"), ("AWS::Lambda::",), queues=True
    ),
    Offer("logs", "logs:Logs", types=("AWS::Logs::",), queues=True),
    Offer("organizations", "organizations:Organizations"),
    Offer("pipes", "pipes:Pipes", types=("AWS::Pipes::",), queues=True),
    Offer(
        "resourcegroupstaggingapi",
        "resourcegroupstaggingapi:Resourcegroupstaggingapi",
    ),
    Offer("s3", "s3:S3", ("s3-website",), ("AWS::S3::",), queues=True),
    Offer("s3control", "s3control:S3control", queues=True),
    Offer("s3tables", "s3tables:S3tables", ("iceberg",), ("AWS::S3Tables::",), queues=True),
    Offer("scheduler", "scheduler:Scheduler", types=("AWS::Scheduler::",), queues=True),
    Offer(
        "secretsmanager",
        "secretsmanager:Secretsmanager",
        types=("AWS::SecretsManager::",),
        queues=True,
    ),
    Offer("serverlessrepo", "serverlessrepo:Serverlessrepo"),
    Offer("sns", "sns:Sns", ("sns",), ("AWS::SNS::",), queues=True),
    Offer("sqs", "sqs:Sqs", types=("AWS::SQS::",), queues=True),
    Offer("ssm", "ssm:Ssm", types=("AWS::SSM::",), queues=True),
    Offer(
        "stepfunctions",
        "stepfunctions:Stepfunctions",
        types=("AWS::StepFunctions::",),
        queues=True,
    ),
    Offer("sts", "sts:Sts"),
)


def resource_owner(type_name: str) -> str | None:
    """The service that owns a CloudFormation type, if any does."""
    for offer in OFFERS:
        if type_name.startswith(offer.types or "\0"):
            return offer.service
    return None
