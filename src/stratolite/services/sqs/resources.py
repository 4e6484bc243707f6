"""CloudFormation's AWS::SQS::Queue, QueuePolicy and QueueInlinePolicy.

Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_SQS.html
"""

from __future__ import annotations

from typing import Any

import orjson

from stratolite.service import Call, Made, Resource, Spec, created, tag_list
from stratolite.services.sqs.finding import place_of

_ATTRIBUTES = (
    "ContentBasedDeduplication", "DeduplicationScope", "DelaySeconds", "FifoThroughputLimit",
    "KmsDataKeyReusePeriodSeconds", "KmsMasterKeyId", "MaximumMessageSize", "MessageRetentionPeriod",
    "ReceiveMessageWaitTimeSeconds", "RedriveAllowPolicy", "RedrivePolicy", "SqsManagedSseEnabled",
    "VisibilityTimeout",
)  # fmt: skip
_DEFAULTS = {
    "ContentBasedDeduplication": "false",
    "DeduplicationScope": "queue",
    "DelaySeconds": "0",
    "FifoThroughputLimit": "perQueue",
    "KmsDataKeyReusePeriodSeconds": "300",
    "MaximumMessageSize": "262144",
    "MessageRetentionPeriod": "345600",
    "ReceiveMessageWaitTimeSeconds": "0",
    "SqsManagedSseEnabled": "true",
    "VisibilityTimeout": "30",
}
"""What a property that a template no longer has goes back to; "" for others. Of the size it is what queues had before they
could have more, as AWS was recorded to do it in 2026: LocalStack's tests/aws/services/sqs/resource_providers/
test_aws_sqs_queue.snapshot.json, test_update_fifo_queue_remove_all_properties_except_queuename. Where AWS leaves
DeduplicationScope, FifoThroughputLimit and SqsManagedSseEnabled as they were, a queue here is what its template says."""


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    return str(value)


def _attributes(properties: dict[str, Any]) -> dict[str, str]:
    return {name: _text(properties[name]) for name in _ATTRIBUTES if name in properties}


def _tags(spec: Spec) -> dict[str, str]:
    return {tag["Key"]: str(tag["Value"]) for tag in spec.properties.get("Tags") or ()}


def _made(call: Call, url: str) -> Made:
    account, name = place_of(url)
    arn = f"arn:aws:sqs:{call.region}:{account}:{name}"
    return Made(url, {"Arn": arn, "QueueName": name, "QueueUrl": url})


class _Type(Resource):
    service = "sqs"
    gone = frozenset({"QueueDoesNotExist"})


class QueueType(_Type):
    type = "AWS::SQS::Queue"
    create_only = frozenset({"FifoQueue", "QueueName"})

    async def create(self, call: Call, spec: Spec) -> Made:
        properties = spec.properties
        is_fifo = _text(properties.get("FifoQueue", False)).lower() == "true"
        name = properties.get("QueueName")
        if not name:
            name = spec.generated_name(75) + ".fifo" if is_fifo else spec.generated_name(80)
        attributes = _attributes(properties)
        if is_fifo:
            attributes["FifoQueue"] = "true"
        made = await self.ask(
            call,
            "CreateQueue",
            QueueName=name,
            Attributes=attributes,
            tags=_tags(spec),
            StackToken=spec.token,
        )
        return _made(call, made["QueueUrl"])

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        before, after = _attributes(old.properties), _attributes(new.properties)
        changes = {name: value for name, value in after.items() if before.get(name) != value}
        changes |= {name: _DEFAULTS.get(name, "") for name in before if name not in after}
        if changes:
            await self.ask(call, "SetQueueAttributes", QueueUrl=physical_id, Attributes=changes)
        tags = _tags(new)
        if gone := [key for key in _tags(old) if key not in tags]:
            await self.ask(call, "UntagQueue", QueueUrl=physical_id, TagKeys=gone)
        if tags:
            await self.ask(call, "TagQueue", QueueUrl=physical_id, Tags=tags)
        return _made(call, physical_id)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteQueue", QueueUrl=physical_id)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(
            call, "GetQueueAttributes", QueueUrl=physical_id, AttributeNames=["All"]
        )
        if found is None:
            return None
        attributes = found.get("Attributes") or {}
        made: dict[str, Any] = {k: attributes[k] for k in _ATTRIBUTES if k in attributes}
        made["QueueName"] = place_of(physical_id)[1]
        if attributes.get("FifoQueue") == "true":
            made["FifoQueue"] = True
        tags = await self.ask(call, "ListQueueTags", QueueUrl=physical_id)
        made["Tags"] = tag_list(tags.get("Tags") or {})
        return made

    async def adopt(self, call: Call, physical_id: str, spec: Spec) -> Made:
        return _made(call, physical_id)

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        page = await self.ask(call, "ListQueues", MaxResults=100, NextToken=token or None)
        return page.get("QueueUrls", []), page.get("NextToken", "")


async def _policy(resource: Resource, call: Call, url: str) -> Any:
    """The queue's policy, None without one."""
    found = await resource.ask_if_there(
        call, "GetQueueAttributes", QueueUrl=url, AttributeNames=["Policy"]
    )
    text = (found or {}).get("Attributes", {}).get("Policy")
    return orjson.loads(text) if text else None


class QueuePolicy(_Type):
    type = "AWS::SQS::QueuePolicy"
    by_identifier = False

    async def create(self, call: Call, spec: Spec) -> Made:
        name = spec.generated_name(80)
        with created(name):
            await self._put(call, spec.properties["Queues"], spec)
        return Made(name, {"Id": name})

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        kept = new.properties["Queues"]
        await self._put(call, kept, new)
        for url in old.properties["Queues"]:
            if url not in kept:
                await self._drop(call, url)
        return Made(physical_id, {"Id": physical_id})

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        for url in spec.properties["Queues"]:
            await self._drop(call, url)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        """What the template names; a queue that lost the policy is not among them any more."""
        wanted = orjson.loads(_text(spec.properties["PolicyDocument"]))
        urls, policy = [], None
        for url in spec.properties["Queues"]:
            found = await _policy(self, call, url)
            if found is not None:
                urls.append(url)
                policy = found if policy is None or found != wanted else policy
        return None if policy is None else {"PolicyDocument": policy, "Queues": urls}

    async def _put(self, call: Call, urls: list[str], spec: Spec) -> None:
        attributes = {"Policy": _text(spec.properties["PolicyDocument"])}
        for url in urls:
            await self.ask(call, "SetQueueAttributes", QueueUrl=url, Attributes=attributes)

    async def _drop(self, call: Call, url: str) -> None:
        await self.ask_if_there(call, "SetQueueAttributes", QueueUrl=url, Attributes={"Policy": ""})


class QueueInlinePolicy(_Type):
    type = "AWS::SQS::QueueInlinePolicy"
    create_only = frozenset({"Queue"})

    async def create(self, call: Call, spec: Spec) -> Made:
        url = spec.properties["Queue"]
        attributes = {"Policy": _text(spec.properties["PolicyDocument"])}
        await self.ask(call, "SetQueueAttributes", QueueUrl=url, Attributes=attributes)
        return Made(url)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        return await self.create(call, new)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(
            call, "SetQueueAttributes", QueueUrl=physical_id, Attributes={"Policy": ""}
        )

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        policy = await _policy(self, call, physical_id)
        return None if policy is None else {"PolicyDocument": policy, "Queue": physical_id}


RESOURCES: tuple[Resource, ...] = (QueueType(), QueuePolicy(), QueueInlinePolicy())
