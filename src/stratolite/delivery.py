"""Sends a document to the ARN of a target, as the services that deliver events do: one call of the target's own API.

    check(cloud, arn)                                    # ValueError: no such kind of target, or not offered here
    await send(acting, arn, document, Options(...))      # as whoever ``acting`` is; raises Fault as the target does
    may_retry(fault)                                     # whether it is worth another try later
    failed(cloud, queue, said, Failure(...))             # what becomes of a job whose delivery failed
    await bury(acting, queue_arn, document, attributes)  # to a dead-letter queue

Who calls is the caller's affair: ``call.as_service`` where the target's own policy decides, ``call.as_role`` where
a role was given. The target's account and region are those of its ARN.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import orjson

from stratolite.core import Tx
from stratolite.errors import Fault, Unavailable
from stratolite.service import Call, Cloud, Request, Response, Settle

_log = logging.getLogger("stratolite.delivery")
_RETRIES_MAX, _AGE_S_MAX = 185, 86_400
_RETRY_S_FIRST, _RETRY_S_MAX = 1.0, 600.0


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


def kind_of(arn: str) -> str:
    """The kind of target (``sqs``). Raises ValueError for one that is not offered."""
    kind = parse(arn).service
    if kind not in _KINDS:
        raise ValueError(f"targets of the service {kind} are not offered by Stratolite")
    return kind


def check(cloud: Cloud, arn: str) -> str:
    """The kind of target. Raises ValueError saying why nothing can be sent there."""
    kind = kind_of(arn)
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


class Failure(NamedTuple):
    """Why a target did not take a document, in the words its dead-letter queue is to be told."""

    code: str
    message: str
    may_retry: bool
    after_s: float = 0.0
    """Not before: what the target itself asked for."""


def failed(
    cloud: Cloud,
    queue: str,
    said: dict[str, Any],
    failure: Failure,
    over: Callable[[], None] = lambda: None,
) -> Settle:
    """Again later with a growing pause, or as a job for the dead-letter queue, or given up; ``over`` is called unless it is again.

    ``said`` is the job: {attempts so far, first_s, dead (null), target {Arn, RetryPolicy, DeadLetterConfig}, ...}. The one for
    the dead-letter queue has ``dead``: {code, message, condition, retries}; it is tried as often and as long anew.
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html
    """
    policy = said["target"].get("RetryPolicy") or {}
    attempts_max = policy.get("MaximumRetryAttempts", _RETRIES_MAX)
    age_s_max = policy.get("MaximumEventAgeInSeconds", _AGE_S_MAX)

    def settle(tx: Tx) -> None:
        attempts = said["attempts"] + 1
        wait_s = min(_RETRY_S_MAX, _RETRY_S_FIRST * 2 ** min(attempts - 1, 20))
        wait_s = max(wait_s, failure.after_s)
        too_old = tx.time_s + wait_s - said["first_s"] > age_s_max
        if failure.may_retry and attempts <= attempts_max and not too_old:
            later = orjson.dumps({**said, "attempts": attempts})
            cloud.work.put(tx, queue, later, due_s=tx.time_s + wait_s)
            return
        over()
        if said["dead"] or not (said["target"].get("DeadLetterConfig") or {}).get("Arn"):
            _log.warning("given up: queue=%s target=%s %s: %s", queue, said["target"]["Arn"], *failure[:2])  # fmt: skip
            return
        condition = ""
        if failure.may_retry:
            condition = "MaximumEventAgeInSeconds" if too_old else "MaximumRetryAttempts"
        dead = {
            "code": failure.code,
            "message": failure.message,
            "condition": condition,
            "retries": said["attempts"],
        }
        buried = {**said, "dead": dead, "attempts": 0, "first_s": tx.time_s}
        cloud.work.put(tx, queue, orjson.dumps(buried))

    return settle


async def bury(acting: Call, arn: str, document: str, attributes: Mapping[str, str]) -> None:
    """Raises Fault as SQS does."""
    queue = parse(arn)
    request = {
        "QueueUrl": f"{acting.endpoint}/{queue.account}/{queue.resource}",
        "MessageBody": document,
        "MessageAttributes": {
            name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
        },
    }
    await acting.scoped(queue.account, queue.region).request("sqs", "SendMessage", request)


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
