"""Event notifications: configuring them, with every listener tried first, and carrying them out.

Deliveries are made as s3.amazonaws.com with the bucket as source, so that a queue's, topic's or function's own policy
decides. One that fails is tried again with growing delays for ``RETRY_FOR_S`` of the cloud clock; a listener that is
gone ends it at once.
"""

from __future__ import annotations

import logging
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Cloud, Job, Request, Response, Service, Settle
from stratolite.services.s3 import notification_rules, state
from stratolite.services.s3.entry import bucket_of, payload
from stratolite.services.s3.events import QUEUE, iso_ms
from stratolite.services.s3.notification_rules import Rule

_log = logging.getLogger("stratolite.s3")
PRINCIPAL = "s3.amazonaws.com"
RETRY_FOR_S = 86_400.0
_GONE = frozenset(
    {
        "AWS.SimpleQueueService.NonExistentQueue",
        "QueueDoesNotExist",
        "NotFound",
        "NotFoundException",
        "ResourceNotFoundException",
        "NotImplemented",
    }
)
_NAMES = {"sqs": "queue", "sns": "topic"}


class Notifications(Service):
    def get_bucket_notification_configuration(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        return dict(state.config(call.tx, bucket, "notification") or {})

    async def put_bucket_notification_configuration(self, call: Call, request: Request) -> Response:
        def check(inner: Call) -> dict[str, Any]:
            bucket = bucket_of(inner, request)
            wanted = payload(request, "NotificationConfiguration")
            return notification_rules.checked(wanted, bucket.region, inner.world.uuid)

        config = await call.transact(check)
        if not request.get("SkipDestinationValidation"):
            await self._try(call, request["Bucket"], config)

        def put(inner: Call) -> None:
            bucket = bucket_of(inner, request)
            if config:
                state.put_config(inner.tx, bucket, "notification", config)
            else:
                state.delete_config(inner.tx, bucket, "notification")

        await call.transact(put)
        return {}

    async def _try(self, call: Call, bucket: str, config: dict[str, Any]) -> None:
        """A test event to every queue and topic, a dry run of every function. Raises Fault."""
        wrong: dict[str, str] = {}
        tried: set[str] = set()

        def place(inner: Call) -> tuple[str, str]:
            found = bucket_of(inner, {"Bucket": bucket})
            return found.account, found.region

        account, region = await call.transact(place)
        acting = call.scoped(account, region).as_service(PRINCIPAL, f"arn:aws:s3:::{bucket}")
        now_s = await call.transact(lambda inner: inner.tx.time_s)
        test = {
            "Service": "Amazon S3",
            "Event": "s3:TestEvent",
            "Time": iso_ms(now_s),
            "Bucket": bucket,
            "RequestId": call.request_id,
            "HostId": call.request_id,
        }
        for rule in notification_rules.rules_of(config):
            if rule.arn in tried or rule.kind == "events":
                continue
            tried.add(rule.arn)
            try:
                await tell(acting, rule, orjson.dumps(test).decode(), dry_run=True)
            except Fault as fault:
                name, value = _why(rule, fault)
                wrong[f"ArgumentName{len(wrong) // 2 + 1}"] = name
                wrong[f"ArgumentValue{len(wrong) // 2 + 1}"] = value
        if wrong:
            raise Fault(
                "InvalidArgument",
                "Unable to validate the following destination configurations",
                status=400,
                **wrong,
            )


def _why(rule: Rule, fault: Fault) -> tuple[str, str]:
    if rule.kind == "lambda":
        if fault.code in _GONE:
            return f"{rule.arn}, null", "The destination Lambda does not exist"
        return f"{rule.arn}, null", f"Not authorized to invoke function [{rule.arn}]"
    name = _NAMES[rule.kind]
    if fault.code in _GONE:
        return rule.arn, f"The destination {name} does not exist"
    return (
        rule.arn,
        f"Permissions on the destination {name} do not allow S3 to publish notifications from this bucket",
    )


async def tell(
    call: Call, rule: Rule, body: str, *, dry_run: bool = False, detail_type: str = ""
) -> None:
    """Hand ``body`` to the rule's listener, as the principal of ``call``. Raises Fault."""
    if rule.kind == "sqs":
        _, _, _, region, account, name = rule.arn.split(":", 5)
        there = call.scoped(account, region)
        await there.request(
            "sqs",
            "SendMessage",
            {"QueueUrl": f"{call.cloud.endpoint}/{account}/{name}", "MessageBody": body},
        )
    elif rule.kind == "sns":
        message = {"TopicArn": rule.arn, "Message": body, "Subject": "Amazon S3 Notification"}
        await call.request("sns", "Publish", message)
    elif rule.kind == "lambda":
        kind = "DryRun" if dry_run else "Event"
        await call.request(
            "lambda",
            "Invoke",
            {"FunctionName": rule.arn, "InvocationType": kind, "Payload": body.encode()},
        )
    else:
        entry = {
            "Source": "aws.s3",
            "DetailType": detail_type,
            "Detail": body,
            "Resources": [call.principal.source_arn],
        }
        answer = await call.request("events", "PutEvents", {"Entries": [entry]})
        if answer.get("FailedEntryCount"):
            failed = answer["Entries"][0]
            raise Fault(failed.get("ErrorCode") or "InternalFailure", str(failed))


class Deliverer:
    queue = QUEUE
    ordered = True
    concurrency = 16

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        cloud, account = self._cloud, said["account"]
        call = cloud.call(account, said["region"], job.id.hex()).as_service(
            PRINCIPAL, f"arn:aws:s3:::{said['bucket']}"
        )
        if trace := said.get("trace"):
            call.trace = trace
        rule = Rule("", said["kind"], said["arn"], (), "", "")
        try:
            await tell(call, rule, said["body"], detail_type=said["detail_type"])
        except Fault as fault:
            late = cloud.world.cloud() - said["since_s"] > RETRY_FOR_S
            if fault.code not in _GONE and not late:
                raise
            _log.warning("an event of %s for %s is dropped: %r", said["bucket"], rule.arn, fault)
        return None
