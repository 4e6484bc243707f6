"""What an integration's URI points at: a function behind API Gateway's path to it, or an address."""

from __future__ import annotations

import re

APIS = frozenset(
    ["cloudformation", "dynamodb", "events", "firehose", "glue", "iam", "kinesis", "kms", "lambda", "logs", "monitoring", "s3",
     "scheduler", "secretsmanager", "sns", "sqs", "ssm", "states", "sts"]
)  # fmt: skip
"""What an AWS integration may call, named as its endpoint is."""
_AWS = re.compile(r"arn:aws:apigateway:([a-z0-9-]+):([a-z0-9.-]+):(path|action)/(.*)\Z", re.DOTALL)
_LAMBDA_PATH = re.compile(r"(?:/)?2015-03-31/functions/(.+)/invocations\Z")
_FUNCTION = re.compile(r"arn:aws:lambda:[a-z0-9-]+:\d{12}:function:[A-Za-z0-9_.:$-]+\Z")
_VARIABLE = re.compile(r"\$\{stageVariables\.([A-Za-z0-9_]+)\}")


def aws_parts(uri: str) -> tuple[str, str, str, str] | None:
    """(region, service, path or action, the rest) of an ARN of API Gateway's."""
    found = _AWS.match(uri)
    return None if found is None else (found[1], found[2], found[3], found[4])


def function_text(uri: str) -> str | None:
    """The function's ARN as the URI says it, stage variables in it not yet replaced; None if it names no function."""
    found = aws_parts(uri)
    if found is None or found[1:3] != ("lambda", "path"):
        return None
    path = _LAMBDA_PATH.match(found[3])
    return None if path is None else path[1]


def is_api(uri: str) -> bool:
    """Whether it is a call of an AWS API that is offered, and no function's invocation."""
    found = aws_parts(uri)
    return found is not None and function_text(uri) is None and found[1] in APIS


def is_function(arn: str) -> bool:
    return _FUNCTION.match(arn) is not None


def with_variables(text: str, variables: dict[str, str]) -> str:
    """``${stageVariables.name}`` replaced; of one that is not there nothing is left."""
    return _VARIABLE.sub(lambda m: variables.get(m[1], ""), text)


def has_variables(text: str) -> bool:
    return "${stageVariables." in text
