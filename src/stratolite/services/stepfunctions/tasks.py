"""What the Resource of a Task state means here, and what is refused by name."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from stratolite import sdk_names
from stratolite.service import Cloud, snake
from stratolite.workflow import Machine, Problem, State


class Function(NamedTuple):
    """A Lambda function by its ARN: its input is the task's, its output the result."""

    arn: str


class Activity(NamedTuple):
    """Work that somebody fetches with GetActivityTask."""

    arn: str
    name: str


class Integration(NamedTuple):
    """A call of an AWS API. ``pattern``: "", sync, sync:2 or waitForTaskToken."""

    kind: str
    """``sqs`` or ``aws-sdk:sqs``: how history calls it."""
    action: str
    """``sendMessage.waitForTaskToken``"""
    service: str
    operation: str
    pattern: str

    @property
    def is_sdk(self) -> bool:
        return self.kind.startswith("aws-sdk:")


class Words(NamedTuple):
    """How errors of a service are called. ``java``: in causes; ``unknown``: an error its model does not know."""

    prefix: str
    java: str
    unknown: str


OPTIMISED: dict[tuple[str, str], tuple[str, str, tuple[str, ...]]] = {
    ("dynamodb", "deleteItem"): ("dynamodb", "DeleteItem", ("",)),
    ("dynamodb", "getItem"): ("dynamodb", "GetItem", ("",)),
    ("dynamodb", "putItem"): ("dynamodb", "PutItem", ("",)),
    ("dynamodb", "updateItem"): ("dynamodb", "UpdateItem", ("",)),
    ("events", "putEvents"): ("events", "PutEvents", ("", "waitForTaskToken")),
    ("lambda", "invoke"): ("lambda", "Invoke", ("", "waitForTaskToken")),
    ("sns", "publish"): ("sns", "Publish", ("", "waitForTaskToken")),
    ("sqs", "sendMessage"): ("sqs", "SendMessage", ("", "waitForTaskToken")),
    ("states", "startExecution"): ("stepfunctions", "StartExecution", ("", "sync", "sync:2", "waitForTaskToken")),
}  # fmt: skip
"""(service, action) -> (ours, operation, patterns)."""
_WORDS = {
    "dynamodb": Words("DynamoDB", "AmazonDynamoDBv2", "AmazonDynamoDBException"),
    "events": Words("EventBridge", "AmazonEventBridge", "AmazonEventBridgeException"),
    "lambda": Words("Lambda", "AWSLambda", "AWSLambdaException"),
    "sns": Words("SNS", "AmazonSNS", "AmazonSNSException"),
    "sqs": Words("SQS", "AmazonSQS", "AmazonSQSException"),
    "states": Words("StepFunctions", "AWSStepFunctions", "AWSStepFunctionsException"),
}
_PREFIXES = {
    "apigatewayv2": "ApiGatewayV2", "applicationautoscaling": "ApplicationAutoScaling", "cloudcontrol": "CloudControl",
    "cloudformation": "CloudFormation", "cloudtrail": "CloudTrail", "cloudwatch": "CloudWatch", "cloudwatchlogs": "CloudWatchLogs",
    "dynamodb": "DynamoDb", "dynamodbstreams": "DynamoDbStreams", "ecr": "Ecr", "eventbridge": "EventBridge", "firehose": "Firehose",
    "glue": "Glue", "iam": "Iam", "kinesis": "Kinesis", "kms": "Kms", "lambda": "Lambda", "organizations": "Organizations",
    "pipes": "Pipes", "resourcegroupstaggingapi": "ResourceGroupsTaggingApi", "s3": "S3", "s3control": "S3Control",
    "scheduler": "Scheduler", "secretsmanager": "SecretsManager", "serverlessapplicationrepository": "ServerlessApplicationRepository",
    "sfn": "Sfn", "sns": "Sns", "sqs": "Sqs", "ssm": "Ssm", "sts": "Sts",
}  # fmt: skip
"""The SDK for Java's name of a service -> how its errors are called."""
_NOT_BY_SDK = sdk_names.STREAMING | {"StartSyncExecution"}
_STATES = re.compile(r"arn:aws[\w-]*:states:::(aws-sdk:[a-zA-Z0-9]+|[a-z0-9-]+):([a-zA-Z0-9]+)((?:\.[a-zA-Z:0-9]+)?)\Z")  # fmt: skip
_FUNCTION = re.compile(r"arn:aws[\w-]*:lambda:[a-z0-9-]+:\d{12}:function:[a-zA-Z0-9_-]+(:[a-zA-Z0-9$_-]+)?\Z")  # fmt: skip
_ACTIVITY = re.compile(r"arn:aws[\w-]*:states:[a-z0-9-]+:\d{12}:activity:([^:/]+)\Z")


def words(task: Integration) -> Words:
    if not task.is_sdk:
        return _WORDS[task.kind]
    prefix = _PREFIXES[task.kind.removeprefix("aws-sdk:")]
    return Words(prefix, prefix, f"{prefix}Exception")


@lru_cache(maxsize=1024)
def parse(resource: str) -> Function | Activity | Integration | None:
    """What a resource means; None for one that is not offered."""
    if _FUNCTION.match(resource):
        return Function(resource)
    if (found := _ACTIVITY.match(resource)) is not None:
        return Activity(resource, found[1])
    found = _STATES.match(resource)
    if found is None:
        return None
    kind, action, pattern = found[1], found[2], found[3].removeprefix(".")
    full = f"{action}.{pattern}" if pattern else action
    if kind.startswith("aws-sdk:"):
        known = sdk_names.SERVICES.get(kind.removeprefix("aws-sdk:").lower())
        if known is None or pattern not in ("", "waitForTaskToken"):
            return None
        operation = action[:1].upper() + action[1:]
        return Integration(kind.lower(), full, known, operation, pattern)
    offered = OPTIMISED.get((kind, action))
    if offered is None or pattern not in offered[2]:
        return None
    return Integration(kind, full, offered[0], offered[1], pattern)


def problems(cloud: Cloud, machine: Machine, *, is_express: bool) -> list[Problem]:
    """What of a machine's tasks AWS would refuse, or is not offered here."""
    found: list[Problem] = []
    for state in machine.tasks():
        message, place = _problem(cloud, state, is_express=is_express)
        if message:
            found.append(Problem("SCHEMA_VALIDATION_FAILED", message, f"{state.place}/{place}"))
    return found


def resource_problems(machine: Machine, *, is_express: bool) -> list[Problem]:
    """Those of them that can be told without knowing which services there are."""
    return [
        Problem("SCHEMA_VALIDATION_FAILED", message, f"{state.place}/Resource")
        for state in machine.tasks()
        if (message := _of_resource(state, is_express=is_express))
    ]


def _of_resource(state: State, *, is_express: bool) -> str:
    task = parse(state.resource)
    if task is None:
        kind = state.resource.split(":")[5:6]
        if not kind or kind[0] in _WORDS or not state.resource.startswith("arn:aws:states:::"):
            return _unknown(state.resource)
        return f"The resource {state.resource} is not offered by Stratolite; see docs/coverage.md"
    if is_express:
        if isinstance(task, Activity):
            return "Express state machine does not support Activity ARN"
        if isinstance(task, Integration) and task.pattern == "waitForTaskToken":
            return "Express state machine does not support '.waitForTaskToken' service integration "
        if isinstance(task, Integration) and task.pattern:
            return "Express state machine does not support '.sync' service integration"
    return ""


def _problem(cloud: Cloud, state: State, *, is_express: bool) -> tuple[str, str]:
    if message := _of_resource(state, is_express=is_express):
        return message, "Resource"
    task = parse(state.resource)
    if not isinstance(task, Integration):
        return "", ""
    if task.service not in cloud.services:
        return f"The service {task.service} is not offered by Stratolite; see docs/coverage.md", "Resource"  # fmt: skip
    documents = cloud.documents
    if not documents.is_operation(task.service, task.operation):
        return _unknown(state.resource), "Resource"
    offered = getattr(cloud.service(task.service), snake(task.operation), None)
    if offered is None or task.operation in _NOT_BY_SDK:
        return f"{task.service} {task.operation} is not offered to workflows by Stratolite; see docs/coverage.md", "Resource"  # fmt: skip
    member = "Arguments" if state.has_queries else "Parameters"
    given = state.raw.get(member)
    if isinstance(given, dict):
        known = documents.members(task.service, task.operation)
        for name in given:
            plain = name.removesuffix(".$")
            if plain.lower() not in known:
                return f"The field '{plain}' is not supported by Step Functions", f"{member}"
    return "", ""


def _unknown(resource: str) -> str:
    return f"The resource provided {resource} is not recognized. The value is not a valid resource ARN, or the resource is not available in this region."
