"""Where asynchronous invocations end: a record of each to a destination, a failed event to the dead-letter queue.

A job of queue ``lambda.destination``, JSON: {account, region, name, role, target, kind, outcome, request_id, at_s, body | blob}.
``kind`` is record or event, ``outcome`` Success or Failure; ``body`` is what is sent as text, one above
``INLINE_BYTES_MAX`` is a blob, which is unlinked with the job. ``attributes`` stands beside an event: why it failed.

Sent as the function's role, whose policies (and the target's own) decide; what they refuse or what is gone is dropped, as AWS
drops it; what fails otherwise is tried again for ``_TRIES_MAX`` times.

Sources  https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html, records as in
         test_lambda_destinations.snapshot.json of LocalStack, which AWS answered
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Job, Principal, Request, Settle
from stratolite.services.lambda_ import recursion, state
from stratolite.services.lambda_.names import LATEST, Ref, bad, invalid, mismatch

if TYPE_CHECKING:
    from stratolite.core import Tx
    from stratolite.service import Cloud

_log = logging.getLogger("stratolite.lambda")
QUEUE = "lambda.destination"
INLINE_BYTES_MAX = 256 << 10
_TRIES_MAX = 12
_MESSAGE_BYTES_MAX = {"sqs": 1 << 20, "sns": 256 << 10, "lambda": 1 << 20, "events": 1 << 20}
_ERROR_CHARS_MAX = 1024
_DESTINATION = (
    r"$|kafka://([^.]([a-zA-Z0-9\-_.]{0,248}))|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:"
    r"((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)"
)
_TARGET = r"(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()"
_MAY_COME_BACK = frozenset({"InternalFailure", "InternalError", "ServiceUnavailable", "SlowDown", "ThrottlingException",
                            "TooManyRequestsException", "RequestThrottled", "Throttling"})  # fmt: skip


class Send(NamedTuple):
    """One request to another service."""

    service: str
    operation: str
    request: Request


# -- what may be configured


def check_destinations(call: Call, ref: Ref, role: str, config: dict[str, Any]) -> dict[str, Any]:
    """``DestinationConfig`` as it is answered. Raises Fault as AWS does; runs in the transaction."""
    ends = {side: (config.get(side) or {}).get("Destination") or "" for side in _SIDES}
    for side, target in ends.items():
        if target and not re.fullmatch(_DESTINATION, target):
            field = f"destinationConfig.{side[0].lower()}{side[1:]}.destination"
            raise mismatch(field, target, _DESTINATION)
        if len(target) > 350:
            raise bad(side, target, "Member must have length less than or equal to 350")
    for side, target in ends.items():
        service = target.split(":")[2] if target.startswith("arn:") else ""
        is_wrong = service not in _SENDS or (side == "OnSuccess" and service == "s3")
        if target and (is_wrong or target.endswith(".fifo")):
            raise invalid(
                f"The provided destination config DestinationConfig({_shown(ends)}) is invalid."
            )
        if service == "lambda":
            _check_function(call, ref, target)
        if service:
            _check_role(call, ref, role, target)
    return {side: {"Destination": target} if target else {} for side, target in ends.items()}


_SIDES = ("OnSuccess", "OnFailure")


def _shown(ends: dict[str, str]) -> str:
    parts = []
    for side, target in ends.items():
        name = f"{side[0].lower()}{side[1:]}"
        parts.append(f"{name}={f'{side}(destination={target})' if target else 'null'}")
    return ", ".join(parts)


def _check_function(call: Call, ref: Ref, target: str) -> None:
    match = re.fullmatch(
        r"arn:[a-z-]+:lambda:([a-z0-9-]+):(\d{12}):function:([a-zA-Z0-9-_]+)(?::(.+))?", target
    )
    if match is None:
        raise invalid(f"The destination ARN {target} is invalid.")
    region, account, name, qualifier = match.groups()
    if (region, account, name) == (ref.region, ref.account, ref.name):
        raise invalid("You can't specify the function as a destination for itself.")
    if state.resolve(call.tx, Ref(account, region, name, qualifier)) is None:
        raise invalid(f"The destination ARN {target} is invalid.")


def check_dead_letters(call: Call, ref: Ref, role: str, target: str) -> None:
    """Raises Fault unless ``target`` is a queue or topic that ``role`` may send to."""
    if not re.fullmatch(_TARGET, target):
        raise mismatch("deadLetterConfig.targetArn", target, _TARGET)
    if not target:
        return
    service = target.split(":")[2]
    if service not in ("sqs", "sns") or target.endswith(".fifo"):
        raise invalid(
            f"The dead letter target {target} is neither a standard SQS queue nor a standard SNS topic."
        )
    send = _event(call.cloud.endpoint, target, "{}", {})
    try:
        _authorize(call, ref, role, target, send)
    except Fault as fault:
        raise _without(fault, "provided", f"{send.operation} on {service.upper()}") from fault


def _check_role(call: Call, ref: Ref, role: str, target: str) -> None:
    send = _SENDS[target.split(":")[2]](
        call.cloud.endpoint, target, "{}", _Facts("", ref.name, 0.0, "Success", "")
    )
    verb = "InvokeFunction" if send.operation == "Invoke" else send.operation
    try:
        _authorize(call, ref, role, target, send)
    except Fault as fault:
        raise _without(fault, "function's", f"{verb} on {target}") from fault


def _without(fault: Fault, whose: str, what: str) -> Fault:
    if fault.code == "NotImplemented":
        return fault
    return invalid(
        f"The {whose} execution role does not have permissions to call {what}."
        if whose == "function's"
        else f"The {whose} execution role does not have permissions to call {what}"
    )


def _authorize(call: Call, ref: Ref, role: str, target: str, send: Send) -> None:
    account, name = role.split(":")[4], role.rpartition("/")[2]
    arn = f"arn:aws:sts::{account}:assumed-role/{name}/{ref.name}"
    who = Principal("role", account, arn, name, ref.name)
    inner = call.scoped(account, target.split(":")[3] or ref.region, who)
    service = call.cloud.service(send.service)
    service.route(send.operation)  # one that is not offered says so
    call.cloud.authorize(inner, service, send.operation, send.request)


# -- what is sent


class Ending(NamedTuple):
    """How an asynchronous invocation ended."""

    ref: Ref
    request_id: str
    condition: str
    """Success | RetriesExhausted | EventAgeExceeded | ZeroReservedConcurrency, or the code of what stopped a loop"""
    invoke_count: int
    event: bytes
    version: str = LATEST
    payload: bytes | None = None
    """What the function answered last, None if it never ran."""
    error: str = ""
    """Unhandled, or "" """


def record(ending: Ending, now_s: float) -> bytes:
    """The invocation record, JSON."""
    now = datetime.fromtimestamp(now_s, UTC)
    said: dict[str, Any] = {
        "version": "1.0",
        "timestamp": f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z",
        "requestContext": {
            "requestId": ending.request_id,
            "functionArn": f"{ending.ref.function_arn}:{ending.ref.qualifier or LATEST}",
            "condition": ending.condition,
            "approximateInvokeCount": ending.invoke_count,
        },
        "requestPayload": orjson.Fragment(ending.event),
    }
    if ending.payload is not None:
        said["responseContext"] = {"statusCode": 200, "executedVersion": ending.version}
        if ending.error:
            said["responseContext"]["functionError"] = ending.error
        said["responsePayload"] = _as_json(ending.payload)
    return orjson.dumps(said)


def attributes(ending: Ending) -> dict[str, str]:
    """What stands beside a dead letter: RequestID, ErrorCode, ErrorMessage."""
    code, message = "429", "Rate Exceeded."
    if ending.condition == recursion.CODE:
        code, message = "400", recursion.MESSAGE
    elif ending.payload is not None:
        said = _as_json(ending.payload)
        code = "200"
        message = str(said.get("errorMessage", "")) if isinstance(said, dict) else ""
    return {
        "RequestID": ending.request_id,
        "ErrorCode": code,
        "ErrorMessage": message[:_ERROR_CHARS_MAX],
    }


def _as_json(payload: bytes) -> Any:
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        return payload.decode("utf-8", "replace")


async def plan(
    cloud: Cloud, ending: Ending, config: dict[str, Any], ends: dict[str, Any]
) -> Callable[[Tx], None]:
    """What a settling transaction does so that this ending is told where ``config`` and ``ends`` ask for it."""
    good = ending.condition == "Success"
    outcome = "Success" if good else "Failure"
    common = {
        "account": ending.ref.account,
        "region": ending.ref.region,
        "name": ending.ref.name,
        "role": config["Role"],
        "request_id": ending.request_id,
        "outcome": outcome,
        "at_s": cloud.world.cloud(),
    }
    jobs: list[tuple[dict[str, Any], bytes]] = []
    if target := (ends.get(f"On{outcome}") or {}).get("Destination"):
        jobs.append(
            ({**common, "kind": "record", "target": target}, record(ending, common["at_s"]))
        )
    dead = (config.get("DeadLetterConfig") or {}).get("TargetArn")
    if dead and not good:
        more = {"kind": "event", "target": dead, "attributes": attributes(ending)}
        jobs.append(({**common, **more}, ending.event))
    rows: list[tuple[bytes, str]] = []
    for job, body in jobs:
        blob = ""
        if len(body) > INLINE_BYTES_MAX:
            writer = cloud.blobs.writer()
            await writer.write(body)
            blob = (await writer.finish()).id
        text = "" if blob else body.decode("utf-8", "replace")
        rows.append((orjson.dumps({**job, "body": text, "blob": blob}), blob))

    def put(tx: Tx) -> None:
        for row, blob in rows:
            if blob:
                cloud.blobs.link(tx, blob)
            cloud.work.put(tx, QUEUE, row)

    return put


class _Facts(NamedTuple):
    function_arn: str
    name: str
    at_s: float
    outcome: str
    suffix: str


def _queue(endpoint: str, target: str, body: str, _: _Facts) -> Send:
    account, name = target.split(":")[4:6]
    return Send(
        "sqs", "SendMessage", {"QueueUrl": f"{endpoint}/{account}/{name}", "MessageBody": body}
    )


def _topic(_: str, target: str, body: str, __: _Facts) -> Send:
    return Send("sns", "Publish", {"TopicArn": target, "Message": body})


def _function(_: str, target: str, body: str, __: _Facts) -> Send:
    request = {"FunctionName": target, "InvocationType": "Event", "Payload": body.encode()}
    return Send("lambda", "Invoke", request)


def _bus(_: str, target: str, body: str, facts: _Facts) -> Send:
    entry = {
        "Source": "lambda",
        "DetailType": f"Lambda Function Invocation Result - {facts.outcome}",
        "Detail": body,
        "Resources": [target, facts.function_arn],
        "EventBusName": target,
        "Time": facts.at_s,
    }
    return Send("events", "PutEvents", {"Entries": [entry]})


def _bucket(_: str, target: str, body: str, facts: _Facts) -> Send:
    at = datetime.fromtimestamp(facts.at_s, UTC)
    key = f"aws/lambda/async/{facts.name}/{at:%Y/%m/%d}/{at:%Y-%m-%dT%H.%M.%S}-{facts.suffix}"
    return Send(
        "s3",
        "PutObject",
        {"Bucket": target.rsplit(":::", maxsplit=1)[-1], "Key": key, "Body": body.encode()},
    )


_SENDS: dict[str, Callable[[str, str, str, _Facts], Send]] = {
    "sqs": _queue,
    "sns": _topic,
    "lambda": _function,
    "events": _bus,
    "s3": _bucket,
}


def _event(endpoint: str, target: str, body: str, beside: dict[str, str]) -> Send:
    """A dead letter: the event itself."""
    service = target.split(":")[2]
    send = _SENDS[service](endpoint, target, body, _Facts("", "", 0.0, "", ""))
    types = {"ErrorCode": "Number"}
    if beside:
        send.request["MessageAttributes"] = {
            name: {"DataType": types.get(name, "String"), "StringValue": value}
            for name, value in beside.items()
            if value
        }
    return send


# -- sending


class Destinations:
    """The worker of ``lambda.destination``."""

    queue = QUEUE
    ordered = False
    concurrency = 32

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said, cloud = orjson.loads(job.payload), self._cloud
        try:
            await self._send(said)
        except Fault as fault:
            if fault.code in _MAY_COME_BACK and job.attempt < _TRIES_MAX:
                raise
            _log.warning("no record of %s reaches %s: %s", said["name"], said["target"], fault)
            name = "DeadLetterErrors" if said["kind"] == "event" else "DestinationDeliveryFailures"
            Ref(said["account"], said["region"], said["name"], None).measure(cloud, name)

        def settle(tx: Tx) -> None:
            if said["blob"]:
                cloud.blobs.unlink(tx, said["blob"])

        return settle

    async def _send(self, said: dict[str, Any]) -> None:
        cloud, target = self._cloud, said["target"]
        service, region = target.split(":")[2:4]
        body = said["body"]
        if said["blob"]:
            body = (await cloud.blobs.read(said["blob"])).decode("utf-8", "replace")
        most = _MESSAGE_BYTES_MAX.get(service)
        if most is not None and said["kind"] == "record" and len(body) + 1024 > most:
            whole = orjson.loads(body)
            for member in ("responsePayload", "requestPayload"):
                if len(body) + 1024 > most:
                    whole.pop(member, None)
                    body = orjson.dumps(whole).decode()
        arn = f"arn:aws:lambda:{said['region']}:{said['account']}:function:{said['name']}"
        if said["kind"] == "event":
            send = _event(cloud.endpoint, target, body, said["attributes"])
        else:
            # The same for every attempt, so that a repeat makes no second object.
            facts = _Facts(
                f"{arn}:{LATEST}", said["name"], said["at_s"], said["outcome"], said["request_id"]
            )
            send = _SENDS[service](cloud.endpoint, target, body, facts)
        call = cloud.call(said["account"], said["region"], said["request_id"])
        as_role = await call.as_role(
            said["role"], "lambda.amazonaws.com", arn, said["name"].ljust(2, "_")[:64]
        )
        as_role = as_role.scoped(as_role.account, region or said["region"])
        answer = await as_role.request(send.service, send.operation, send.request)
        if answer.get("FailedEntryCount"):
            entry = answer["Entries"][0]
            raise Fault(entry.get("ErrorCode", "InternalFailure"), entry.get("ErrorMessage", ""))
