"""CloudFormation types of Kinesis: Stream, StreamConsumer, ResourcePolicy."""

from __future__ import annotations

from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource, Spec, created


class _Stream(Resource):
    type = "AWS::Kinesis::Stream"
    create_only = frozenset({"Name"})

    async def create(self, call: Call, spec: Spec) -> Made:
        props = spec.properties
        name = props.get("Name") or spec.generated_name(128)
        ask: dict[str, Any] = {"StreamName": name}
        mode = props.get("StreamModeDetails", {}).get("StreamMode")
        if mode:
            ask["StreamModeDetails"] = {"StreamMode": mode}
        if mode != "ON_DEMAND":
            ask["ShardCount"] = int(props.get("ShardCount", 1))
        if "MaxRecordSizeInKiB" in props:
            ask["MaxRecordSizeInKiB"] = int(props["MaxRecordSizeInKiB"])
        if tags := _tags(props):
            ask["Tags"] = tags
        try:
            await call.request("kinesis", "CreateStream", ask)
        except Fault as fault:
            if fault.code != "ResourceInUseException" or props.get("Name"):
                raise  # a name of ours that is taken was taken by an earlier attempt
        with created(name):
            await _settings(call, name, {}, props)
        return await _made(call, name)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        before, props = old.properties, new.properties
        name = physical_id
        summary = await _summary(call, name)
        mode = props.get("StreamModeDetails", {}).get("StreamMode", "PROVISIONED")
        if mode != summary["StreamModeDetails"]["StreamMode"]:
            ask = {"StreamARN": summary["StreamARN"], "StreamModeDetails": {"StreamMode": mode}}
            await call.request("kinesis", "UpdateStreamMode", ask)
        wanted = int(props.get("ShardCount", 1))
        if mode == "PROVISIONED" and "ShardCount" in props and wanted != summary["OpenShardCount"]:
            ask = {"StreamName": name, "TargetShardCount": wanted, "ScalingType": "UNIFORM_SCALING"}
            await call.request("kinesis", "UpdateShardCount", ask)
        if "MaxRecordSizeInKiB" in props:
            kib = int(props["MaxRecordSizeInKiB"])
            ask = {"StreamARN": summary["StreamARN"], "MaxRecordSizeInKiB": kib}
            await call.request("kinesis", "UpdateMaxRecordSize", ask)
        gone = sorted(_tags(before).keys() - _tags(props).keys())
        if gone:
            await call.request(
                "kinesis", "RemoveTagsFromStream", {"StreamName": name, "TagKeys": gone}
            )
        if tags := _tags(props):
            await call.request("kinesis", "AddTagsToStream", {"StreamName": name, "Tags": tags})
        await _settings(call, name, before, props)
        return await _made(call, name)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        ask = {"StreamName": physical_id, "EnforceConsumerDeletion": True}
        await _gone_is_fine(call, "DeleteStream", ask)


async def _settings(call: Call, name: str, before: dict[str, Any], props: dict[str, Any]) -> None:
    """Retention, encryption and monitoring, where they are not as wanted."""
    summary = await _summary(call, name)
    hours = int(props.get("RetentionPeriodHours", 24))
    if hours != summary["RetentionPeriodHours"]:
        way = "Increase" if hours > summary["RetentionPeriodHours"] else "Decrease"
        ask: dict[str, Any] = {"StreamName": name, "RetentionPeriodHours": hours}
        await call.request("kinesis", f"{way}StreamRetentionPeriod", ask)
    wanted = props.get("StreamEncryption")
    if wanted:
        ask = {
            "StreamName": name,
            "EncryptionType": wanted["EncryptionType"],
            "KeyId": wanted["KeyId"],
        }
        await call.request("kinesis", "StartStreamEncryption", ask)
    elif before.get("StreamEncryption"):
        ask = {
            "StreamName": name,
            "EncryptionType": "KMS",
            "KeyId": before["StreamEncryption"]["KeyId"],
        }
        await call.request("kinesis", "StopStreamEncryption", ask)
    metrics = set(props.get("DesiredShardLevelMetrics") or ())
    present = set(summary["EnhancedMonitoring"][0]["ShardLevelMetrics"])
    for way, names in (("Enable", metrics - present), ("Disable", present - metrics)):
        if names and "ALL" not in metrics:
            ask = {"StreamName": name, "ShardLevelMetrics": sorted(names)}
            await call.request("kinesis", f"{way}EnhancedMonitoring", ask)


async def _summary(call: Call, name: str) -> dict[str, Any]:
    found = await call.request("kinesis", "DescribeStreamSummary", {"StreamName": name})
    summary: dict[str, Any] = found["StreamDescriptionSummary"]
    return summary


async def _made(call: Call, name: str) -> Made:
    summary = await _summary(call, name)
    return Made(name, {"Arn": summary["StreamARN"]})


class _StreamConsumer(Resource):
    type = "AWS::Kinesis::StreamConsumer"
    create_only = frozenset({"ConsumerName", "StreamARN"})

    async def create(self, call: Call, spec: Spec) -> Made:
        props = spec.properties
        ask = {"StreamARN": props["StreamARN"], "ConsumerName": props["ConsumerName"]}
        if tags := _tags(props):
            made = await call.request("kinesis", "RegisterStreamConsumer", {**ask, "Tags": tags})
        else:
            made = await call.request("kinesis", "RegisterStreamConsumer", ask)
        return _consumer(made["Consumer"], props["StreamARN"])

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        before, after = _tags(old.properties), _tags(new.properties)
        if gone := sorted(before.keys() - after.keys()):
            await call.request(
                "kinesis", "UntagResource", {"ResourceARN": physical_id, "TagKeys": gone}
            )
        if after:
            await call.request(
                "kinesis", "TagResource", {"ResourceARN": physical_id, "Tags": after}
            )
        found = await call.request(
            "kinesis", "DescribeStreamConsumer", {"ConsumerARN": physical_id}
        )
        return _consumer(found["ConsumerDescription"], new.properties["StreamARN"])

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await _gone_is_fine(call, "DeregisterStreamConsumer", {"ConsumerARN": physical_id})


def _consumer(described: dict[str, Any], stream_arn: str) -> Made:
    attributes = {
        "ConsumerARN": described["ConsumerARN"],
        "ConsumerName": described["ConsumerName"],
        "ConsumerStatus": described["ConsumerStatus"],
        "ConsumerCreationTimestamp": str(int(described["ConsumerCreationTimestamp"])),
        "StreamARN": stream_arn,
    }
    return Made(described["ConsumerARN"], attributes)


class _ResourcePolicy(Resource):
    type = "AWS::Kinesis::ResourcePolicy"
    create_only = frozenset({"ResourceArn"})

    async def create(self, call: Call, spec: Spec) -> Made:
        props = spec.properties
        arn, policy = props["ResourceArn"], props["ResourcePolicy"]
        text = policy if isinstance(policy, str) else orjson.dumps(policy).decode()
        await call.request("kinesis", "PutResourcePolicy", {"ResourceARN": arn, "Policy": text})
        return Made(arn)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        return await self.create(call, new)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await _gone_is_fine(call, "DeleteResourcePolicy", {"ResourceARN": physical_id})


async def _gone_is_fine(call: Call, operation: str, ask: dict[str, Any]) -> None:
    try:
        await call.request("kinesis", operation, ask)
    except Fault as fault:
        if fault.code != "ResourceNotFoundException":
            raise


def _tags(props: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: str(tag["Value"]) for tag in props.get("Tags") or ()}


RESOURCES: tuple[Resource, ...] = (_Stream(), _StreamConsumer(), _ResourcePolicy())
