"""CloudFormation's AWS::SNS::Topic, Subscription, TopicPolicy and TopicInlinePolicy.

Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_SNS.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource, Spec, created
from stratolite.services.sns.attributes import check_subscription
from stratolite.services.sns.subscriptions import check_protocol

_TOPIC = (
    "ArchivePolicy",
    "ContentBasedDeduplication",
    "DisplayName",
    "FifoThroughputScope",
    "KmsMasterKeyId",
    "MaximumMessageSize",
    "SignatureVersion",
    "TracingConfig",
)
_NOT_OFFERED = ("DataProtectionPolicy", "DeliveryStatusLogging")
_DEFAULTS = {
    "ContentBasedDeduplication": "false",
    "FifoThroughputScope": "Topic",
    "MaximumMessageSize": "262144",
    "SignatureVersion": "1",
    "TracingConfig": "PassThrough",
}
_SUBSCRIPTION = (
    "DeliveryPolicy",
    "FilterPolicyScope",
    "FilterPolicy",
    "RawMessageDelivery",
    "RedrivePolicy",
    "ReplayPolicy",
    "SubscriptionRoleArn",
)


_UNSET = {
    "RawMessageDelivery": "false",
    "FilterPolicyScope": "MessageAttributes",
    "FilterPolicy": "{}",
    "ReplayPolicy": "{}",
}


class _Type(Resource):
    service = "sns"
    gone = frozenset({"NotFound"})


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    return str(value)


def _tags(spec: Spec) -> list[dict[str, str]]:
    return [{"Key": t["Key"], "Value": str(t["Value"])} for t in spec.properties.get("Tags") or ()]


def _attributes(properties: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, str]:
    return {name: _text(properties[name]) for name in names if name in properties}


class TopicType(_Type):
    type = "AWS::SNS::Topic"
    create_only = frozenset({"FifoTopic", "TopicName"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = dict.fromkeys(_NOT_OFFERED, frozenset({""}))

    async def create(self, call: Call, spec: Spec) -> Made:
        properties = spec.properties
        is_fifo = _text(properties.get("FifoTopic", False)).lower() == "true"
        name = properties.get("TopicName")
        if not name:
            name = spec.generated_name(250) + (".fifo" if is_fifo else "")
        attributes = _attributes(properties, _TOPIC)
        if is_fifo:
            attributes["FifoTopic"] = "true"
        request = {"Name": name, "Attributes": attributes, "Tags": _tags(spec)}
        made = await self.ask(call, "CreateTopic", **request, StackToken=spec.token)
        arn = made["TopicArn"]
        with created(arn):
            for one in properties.get("Subscription") or ():
                await self._subscribe(call, arn, one)
        return _made(arn)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        before, after = (_attributes(s.properties, _TOPIC) for s in (old, new))
        changes = {name: value for name, value in after.items() if before.get(name) != value}
        changes |= {name: _DEFAULTS.get(name, "") for name in before if name not in after}
        for name, value in changes.items():
            await self.ask(
                call,
                "SetTopicAttributes",
                TopicArn=physical_id,
                AttributeName=name,
                AttributeValue=value,
            )
        kept = new.properties.get("Subscription") or []
        for one in kept:
            await self._subscribe(call, physical_id, one)
        for one in old.properties.get("Subscription") or ():
            if one not in kept:
                await self._unsubscribe(call, physical_id, one)
        tags = _tags(new)
        names = [tag["Key"] for tag in tags]
        if gone := [tag["Key"] for tag in _tags(old) if tag["Key"] not in names]:
            await self.ask(call, "UntagResource", ResourceArn=physical_id, TagKeys=gone)
        if tags:
            await self.ask(call, "TagResource", ResourceArn=physical_id, Tags=tags)
        return _made(physical_id)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        try:
            found = await self.ask(call, "GetTopicAttributes", TopicArn=physical_id)
        except Fault as fault:
            if fault.code in ("NotFound", "NotFoundException"):
                return None
            raise
        attributes = found["Attributes"]
        made: dict[str, Any] = {k: attributes[k] for k in _TOPIC if k in attributes}
        made["TopicName"] = physical_id.rsplit(":", 1)[1]
        if attributes.get("FifoTopic") == "true":
            made["FifoTopic"] = True
        listed = await self.ask(call, "ListSubscriptionsByTopic", TopicArn=physical_id)
        made["Subscription"] = [
            {"Protocol": s["Protocol"], "Endpoint": s["Endpoint"]}
            for s in listed.get("Subscriptions") or ()
        ]
        tags = await self.ask(call, "ListTagsForResource", ResourceArn=physical_id)
        made["Tags"] = tags.get("Tags") or []
        return made

    async def adopt(self, call: Call, physical_id: str, spec: Spec) -> Made:
        return _made(physical_id)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        if spec.properties.get("ArchivePolicy"):
            await self.ask_if_there(
                call,
                "SetTopicAttributes",
                TopicArn=physical_id,
                AttributeName="ArchivePolicy",
                AttributeValue="{}",
            )
        await self.ask(call, "DeleteTopic", TopicArn=physical_id)

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        page = await self.ask(call, "ListTopics", NextToken=token or None)
        return [one["TopicArn"] for one in page["Topics"]], page.get("NextToken", "")

    async def _subscribe(self, call: Call, arn: str, one: dict[str, str]) -> None:
        request = {"TopicArn": arn, "Protocol": one["Protocol"], "Endpoint": one["Endpoint"]}
        await self.ask(call, "Subscribe", **request)

    async def _unsubscribe(self, call: Call, arn: str, one: dict[str, str]) -> None:
        request = {"TopicArn": arn, "Protocol": one["Protocol"], "Endpoint": one["Endpoint"]}
        found = await self.ask(call, "Subscribe", **request, ReturnSubscriptionArn=True)
        await self.ask(call, "Unsubscribe", SubscriptionArn=found["SubscriptionArn"])


def _made(arn: str) -> Made:
    return Made(arn, {"TopicArn": arn, "TopicName": arn.rpartition(":")[2]})


def _check_policy(known: Mapping[str, Any]) -> None:
    """A filter policy beside its scope."""
    if policy := _attributes(known, ("FilterPolicy",)).get("FilterPolicy"):
        scope = known.get("FilterPolicyScope") or "MessageAttributes"
        check_subscription(
            "FilterPolicy",
            policy,
            protocol="",
            is_fifo=False,
            endpoint="",
            scope=scope,
            policy=policy,
        )


class SubscriptionType(_Type):
    type = "AWS::SNS::Subscription"
    create_only = frozenset({"Endpoint", "Protocol", "TopicArn"})
    values: ClassVar[Mapping[str, Callable[[Any], object]]] = {
        "Protocol": check_protocol,
        "": _check_policy,
    }
    stand_ins: ClassVar[Mapping[str, str | None]] = {"": None}

    async def create(self, call: Call, spec: Spec) -> Made:
        properties = spec.properties
        wanted = _attributes(properties, _SUBSCRIPTION)
        topic = properties["TopicArn"]
        region = properties.get("Region") or topic.split(":")[3]
        made = await call.scoped(call.account, region).request(
            "sns",
            "Subscribe",
            {
                "TopicArn": topic,
                "Protocol": properties["Protocol"],
                "Endpoint": properties.get("Endpoint", ""),
                "Attributes": wanted,
                "ReturnSubscriptionArn": True,
                "StackToken": spec.token,
            },
        )
        return Made(made["SubscriptionArn"], {"Arn": made["SubscriptionArn"]})

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        before, after = (_attributes(s.properties, _SUBSCRIPTION) for s in (old, new))
        names = [n for n in _SUBSCRIPTION if before.get(n) != after.get(n)]
        if after.get("FilterPolicyScope") != "MessageBody":
            names.sort(key=lambda name: name == "FilterPolicyScope")  # a nested policy goes first
        for name in names:
            value = after.get(name, _UNSET.get(name, ""))
            await self.ask(
                call,
                "SetSubscriptionAttributes",
                SubscriptionArn=physical_id,
                AttributeName=name,
                AttributeValue=value,
            )
        return Made(physical_id, {"Arn": physical_id})

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "Unsubscribe", SubscriptionArn=physical_id)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(
            call, "GetSubscriptionAttributes", SubscriptionArn=physical_id
        )
        if found is None:
            return None
        attributes = found["Attributes"]
        made = {name: _value(attributes[name]) for name in _SUBSCRIPTION if name in attributes}
        return made | {name: attributes[name] for name in ("Endpoint", "Protocol", "TopicArn")}

    async def adopt(self, call: Call, physical_id: str, spec: Spec) -> Made:
        return Made(physical_id, {"Arn": physical_id})

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        page = await self.ask(call, "ListSubscriptions", NextToken=token or None)
        arns = [one["SubscriptionArn"] for one in page["Subscriptions"]]
        return [arn for arn in arns if arn != "PendingConfirmation"], page.get("NextToken", "")


class TopicPolicy(_Type):
    type = "AWS::SNS::TopicPolicy"
    by_identifier = False

    async def create(self, call: Call, spec: Spec) -> Made:
        name = spec.generated_name(80)
        with created(name):
            await self._put(call, spec.properties["Topics"], spec)
        return Made(name, {"Id": name})

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        kept = new.properties["Topics"]
        await self._put(call, kept, new)
        for arn in old.properties["Topics"]:
            if arn not in kept:
                await _put_policy(self, call, arn, "", gone_is_fine=True)
        return Made(physical_id, {"Id": physical_id})

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        for arn in spec.properties["Topics"]:
            await _put_policy(self, call, arn, "", gone_is_fine=True)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        """What the template names; a topic that lost the policy is not among them any more."""
        wanted = orjson.loads(_text(spec.properties["PolicyDocument"]))
        arns, policy = [], None
        for arn in spec.properties["Topics"]:
            found = await _policy(self, call, arn)
            if found is not None:
                arns.append(arn)
                policy = found if policy is None or found != wanted else policy
        return None if policy is None else {"PolicyDocument": policy, "Topics": arns}

    async def _put(self, call: Call, arns: list[str], spec: Spec) -> None:
        for arn in arns:
            await _put_policy(self, call, arn, _text(spec.properties["PolicyDocument"]))


class TopicInlinePolicy(_Type):
    type = "AWS::SNS::TopicInlinePolicy"
    create_only = frozenset({"TopicArn"})

    async def create(self, call: Call, spec: Spec) -> Made:
        arn = spec.properties["TopicArn"]
        await _put_policy(self, call, arn, _text(spec.properties["PolicyDocument"]))
        return Made(arn)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        return await self.create(call, new)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        policy = await _policy(self, call, physical_id)
        return None if policy is None else {"TopicArn": physical_id, "PolicyDocument": policy}

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await _put_policy(self, call, physical_id, "", gone_is_fine=True)


async def _put_policy(
    resource: Resource, call: Call, arn: str, policy: str, *, gone_is_fine: bool = False
) -> None:
    put = resource.ask_if_there if gone_is_fine else resource.ask
    await put(
        call,
        "SetTopicAttributes",
        TopicArn=arn,
        AttributeName="Policy",
        AttributeValue=policy,
    )


async def _policy(resource: Resource, call: Call, arn: str) -> Any:
    """The topic's own policy, None where it has the default one."""
    found = await resource.ask_if_there(call, "GetTopicAttributes", TopicArn=arn)
    policy = orjson.loads(found["Attributes"]["Policy"]) if found else None
    return None if policy is None or policy.get("Id") == "__default_policy_ID" else policy


def _value(text: str) -> Any:
    """An attribute as a template states it."""
    if text in ("true", "false"):
        return text == "true"
    return orjson.loads(text) if text.startswith("{") else text


RESOURCES: tuple[Resource, ...] = (
    TopicType(),
    SubscriptionType(),
    TopicPolicy(),
    TopicInlinePolicy(),
)
