"""Sends a document to the ARN of a target, as the services that deliver events do: one call of the target's own API.

    check(cloud, arn)                                    # ValueError: no such kind of target, or not offered here
    await send(acting, arn, document, Options(...))      # as whoever ``acting`` is; raises Fault as the target does
    may_retry(fault)                                     # whether it is worth another try later

Who calls is the caller's affair: ``call.as_service`` where the target's own policy decides, ``call.as_role`` where
a role was given. The target's account and region are those of its ARN.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from stratolite.errors import Fault, Unavailable
from stratolite.service import Call, Cloud, Request, Response


class Options(NamedTuple):
    """What some kinds of targets need beside the document."""

    group_id: str = ""
    """SQS FIFO queues and SNS FIFO topics."""
    deduplication_id: str = ""
    partition_key: str = ""
    """Kinesis."""
    name: str = ""
    """Of a state machine's execution; same for every attempt, so that a repeat starts no second one."""


class Arn(NamedTuple):
    service: str
    region: str
    account: str
    resource: str


def parse(arn: str) -> Arn:
    """Raises ValueError for what is no ARN."""
    parts = arn.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn":
        raise ValueError(f"{arn} is not an ARN")
    return Arn(parts[2], parts[3], parts[4], parts[5])


def check(cloud: Cloud, arn: str) -> str:
    """The kind of target (``sqs``). Raises ValueError saying why nothing can be sent there."""
    kind = parse(arn).service
    if kind not in _KINDS:
        raise ValueError(f"targets of the service {kind} are not offered by Stratolite")
    if _SERVICES.get(kind, kind) not in cloud.services:
        raise ValueError(f"the service {kind} is not offered by Stratolite; see docs/coverage.md")
    return kind


async def send(call: Call, arn: str, document: str, options: Options = Options()) -> Response:  # noqa: B008 - immutable
    """Raises Fault as the target's API does, ValueError as ``check`` does."""
    target = parse(arn)
    kind = check(call.cloud, arn)
    account, region = target.account or call.account, target.region or call.region
    inner = call.scoped(account, region)
    return await _KINDS[kind](inner, arn, document, options)


def may_retry(error: BaseException) -> bool:
    """A target that is gone, or closed to us, stays so; one that is busy or broken may recover."""
    if isinstance(error, Unavailable):
        return True
    if not isinstance(error, Fault):
        return False
    if error.status is not None and error.status >= 500 and error.code != "NotImplemented":
        return True
    return any(word in error.code for word in _PASSING)


_PASSING = ("Throttl", "TooManyRequests", "ProvisionedThroughput", "OverLimit", "ServiceUnavailable", "InternalFailure", "InternalError")  # fmt: skip
_SERVICES = {"states": "stepfunctions"}


async def _lambda(call: Call, arn: str, document: str, _: Options) -> Response:
    ask: Request = {"FunctionName": arn, "InvocationType": "Event", "Payload": document.encode()}
    return await call.request("lambda", "Invoke", ask)


async def _sqs(call: Call, arn: str, document: str, options: Options) -> Response:
    url = f"{call.endpoint}/{call.account}/{parse(arn).resource}"
    ask: Request = {"QueueUrl": url, "MessageBody": document}
    if options.group_id:
        ask["MessageGroupId"] = options.group_id
    if options.deduplication_id and arn.endswith(".fifo"):
        ask["MessageDeduplicationId"] = options.deduplication_id
    return await call.request("sqs", "SendMessage", ask)


async def _sns(call: Call, arn: str, document: str, options: Options) -> Response:
    ask: Request = {"TopicArn": arn, "Message": document}
    if options.group_id:
        ask["MessageGroupId"] = options.group_id
    if options.deduplication_id and arn.endswith(".fifo"):
        ask["MessageDeduplicationId"] = options.deduplication_id
    return await call.request("sns", "Publish", ask)


async def _kinesis(call: Call, arn: str, document: str, options: Options) -> Response:
    ask: Request = {
        "StreamARN": arn,
        "Data": document.encode(),
        "PartitionKey": options.partition_key[:256] or call.request_id,
    }
    return await call.request("kinesis", "PutRecord", ask)


async def _firehose(call: Call, arn: str, document: str, _: Options) -> Response:
    name = parse(arn).resource.removeprefix("deliverystream/")
    ask: Request = {"DeliveryStreamName": name, "Record": {"Data": document.encode()}}
    return await call.request("firehose", "PutRecord", ask)


async def _states(call: Call, arn: str, document: str, options: Options) -> Response:
    ask: Request = {"stateMachineArn": arn, "input": document}
    if options.name:
        ask["name"] = options.name
    return await call.request("stepfunctions", "StartExecution", ask)


async def _logs(call: Call, arn: str, document: str, options: Options) -> Response:
    group = parse(arn).resource.removeprefix("log-group:").removesuffix(":*")
    stream = options.name or call.world.uuid()
    try:
        ask: Request = {"logGroupName": group, "logStreamName": stream}
        await call.request("logs", "CreateLogStream", ask)
    except Fault as fault:
        if fault.code != "ResourceAlreadyExistsException":
            raise
    line = {"timestamp": int(call.world.cloud() * 1000), "message": document}
    return await call.request("logs", "PutLogEvents", {**ask, "logEvents": [line]})


_KINDS: dict[str, Callable[[Call, str, str, Options], Awaitable[dict[str, Any]]]] = {
    "firehose": _firehose,
    "kinesis": _kinesis,
    "lambda": _lambda,
    "logs": _logs,
    "sns": _sns,
    "sqs": _sqs,
    "states": _states,
}
