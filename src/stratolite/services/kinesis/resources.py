"""CloudFormation types of Kinesis: Stream, StreamConsumer, ResourcePolicy."""

from __future__ import annotations

from typing import Any, ClassVar

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource, Spec, created

_BY_KEY = "USER_PARTITION_KEY"


class _Type(Resource):
    service = "kinesis"


class _Stream(_Type):
    type = "AWS::Kinesis::Stream"
    create_only = frozenset({"Name"})
    properties: ClassVar[frozenset[str] | None] = frozenset({
        "DesiredShardLevelMetrics", "MaxRecordSizeInKiB", "Name", "RecordDistributionStrategy", "RetentionPeriodHours",
        "ShardCount", "StreamEncryption", "StreamModeDetails", "Tags", "WarmThroughputMiBps",
    })  # fmt: skip

    async def create(self, call: Call, spec: Spec) -> Made:
        props = spec.properties
        name = props.get("Name") or spec.generated_name(128)
        mode = props.get("StreamModeDetails", {}).get("StreamMode")
        ask: dict[str, Any] = {"StreamName": name}
        if mode:
            ask["StreamModeDetails"] = {"StreamMode": mode}
        if mode != "ON_DEMAND":
            ask["ShardCount"] = props.get("ShardCount", 1)
        if tags := spec.tags():
            ask["Tags"] = tags
        try:
            await self.ask(
                call,
                "CreateStream",
                **ask,
                MaxRecordSizeInKiB=props.get("MaxRecordSizeInKiB"),
                RecordDistributionStrategy=props.get("RecordDistributionStrategy"),
                WarmThroughputMiBps=props.get("WarmThroughputMiBps"),
            )
        except Fault as fault:
            if fault.code != "ResourceInUseException" or props.get("Name"):
                raise  # a name of ours that is taken was taken by an earlier attempt
        with created(name):
            await self._settle(call, name, props)
            return await self._made(call, name)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        props, name = new.properties, physical_id
        summary = await self._summary(call, name)
        arn = summary["StreamARN"]
        mode = props.get("StreamModeDetails", {}).get("StreamMode", "PROVISIONED")
        if mode != summary["StreamModeDetails"]["StreamMode"]:
            await self.ask(
                call, "UpdateStreamMode", StreamARN=arn, StreamModeDetails={"StreamMode": mode}
            )
            summary = await self._summary(call, name)
        warm = props.get("WarmThroughputMiBps", 0)
        if warm != summary.get("WarmThroughput", {}).get("TargetMiBps", 0):
            await self.ask(
                call, "UpdateStreamWarmThroughput", StreamARN=arn, WarmThroughputMiBps=warm
            )
        wanted = props.get("ShardCount", 1)
        if mode == "PROVISIONED" and "ShardCount" in props and wanted != summary["OpenShardCount"]:
            await self.ask(
                call, "UpdateShardCount", StreamName=name, TargetShardCount=wanted,
                ScalingType="UNIFORM_SCALING",
            )  # fmt: skip
        kib = props.get("MaxRecordSizeInKiB", 1024)
        if kib != summary["MaxRecordSizeInKiB"]:
            await self.ask(call, "UpdateMaxRecordSize", StreamARN=arn, MaxRecordSizeInKiB=kib)
        strategy = props.get("RecordDistributionStrategy", _BY_KEY)
        if strategy != summary.get("RecordDistributionStrategy", _BY_KEY):
            await self.ask(
                call, "UpdateStreamRecordDistributionStrategy", StreamARN=arn,
                RecordDistributionStrategy=strategy,
            )  # fmt: skip
        tags = new.tags()
        if gone := sorted(old.tags().keys() - tags.keys()):
            await self.ask(call, "RemoveTagsFromStream", StreamName=name, TagKeys=gone)
        if tags:
            await self.ask(call, "AddTagsToStream", StreamName=name, Tags=tags)
        await self._settle(call, name, props)
        return await self._made(call, name)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        ask = {"StreamName": physical_id, "EnforceConsumerDeletion": True}
        await self.ask_if_there(call, "DeleteStream", **ask)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "DescribeStreamSummary", StreamName=physical_id)
        if found is None:
            return None
        summary = found["StreamDescriptionSummary"]
        props: dict[str, Any] = {
            "Name": physical_id,
            "RetentionPeriodHours": summary["RetentionPeriodHours"],
            "StreamModeDetails": summary["StreamModeDetails"],
            "MaxRecordSizeInKiB": summary["MaxRecordSizeInKiB"],
            "RecordDistributionStrategy": summary.get("RecordDistributionStrategy", _BY_KEY),
            "DesiredShardLevelMetrics": summary["EnhancedMonitoring"][0]["ShardLevelMetrics"],
        }
        if summary["StreamModeDetails"]["StreamMode"] == "PROVISIONED":
            props["ShardCount"] = summary["OpenShardCount"]
        elif warm := summary["WarmThroughput"]["TargetMiBps"]:
            props["WarmThroughputMiBps"] = warm
        if summary["EncryptionType"] == "KMS":
            props["StreamEncryption"] = {"EncryptionType": "KMS", "KeyId": summary["KeyId"]}
        tags = await self.ask(call, "ListTagsForResource", ResourceARN=summary["StreamARN"])
        if tags["Tags"]:
            props["Tags"] = tags["Tags"]
        return props

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        page = await self.ask(call, "ListStreams", NextToken=token or None)
        return page["StreamNames"], page.get("NextToken", "")

    async def _made(self, call: Call, name: str) -> Made:
        summary = await self._summary(call, name)
        attributes = {"Arn": summary["StreamARN"]}
        if "WarmThroughput" in summary:
            attributes["WarmThroughputObject"] = summary["WarmThroughput"]
        return Made(name, attributes)

    async def _summary(self, call: Call, name: str) -> dict[str, Any]:
        found = await self.ask(call, "DescribeStreamSummary", StreamName=name)
        summary: dict[str, Any] = found["StreamDescriptionSummary"]
        return summary

    async def _settle(self, call: Call, name: str, props: dict[str, Any]) -> None:
        """Retention, encryption and monitoring, where they are not as wanted."""
        summary = await self._summary(call, name)
        hours, now = props.get("RetentionPeriodHours", 24), summary["RetentionPeriodHours"]
        if hours != now:
            way = "Increase" if hours > now else "Decrease"
            await self.ask(
                call, f"{way}StreamRetentionPeriod", StreamName=name, RetentionPeriodHours=hours
            )
        wanted = props.get("StreamEncryption")
        if wanted:
            await self.ask(call, "StartStreamEncryption", StreamName=name, **wanted)
        elif summary["EncryptionType"] == "KMS":
            key = summary["KeyId"]
            await self.ask(
                call, "StopStreamEncryption", StreamName=name, EncryptionType="KMS", KeyId=key
            )
        metrics = set(props.get("DesiredShardLevelMetrics") or ())
        present = set(summary["EnhancedMonitoring"][0]["ShardLevelMetrics"])
        for way, names in (("Enable", metrics - present), ("Disable", present - metrics)):
            if names and not (way == "Disable" and "ALL" in metrics):
                await self.ask(
                    call, f"{way}EnhancedMonitoring", StreamName=name, ShardLevelMetrics=sorted(names)
                )  # fmt: skip


class _StreamConsumer(_Type):
    type = "AWS::Kinesis::StreamConsumer"
    create_only = frozenset({"ConsumerName", "StreamARN", "Tags"})

    async def create(self, call: Call, spec: Spec) -> Made:
        props = spec.properties
        arn, name = props["StreamARN"], props["ConsumerName"]
        made = await self.ask(
            call, "RegisterStreamConsumer", StreamARN=arn, ConsumerName=name, Tags=spec.tags() or None
        )  # fmt: skip
        return _consumer(made["Consumer"], arn)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeregisterStreamConsumer", ConsumerARN=physical_id)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "DescribeStreamConsumer", ConsumerARN=physical_id)
        if found is None:
            return None
        described = found["ConsumerDescription"]
        props = {name: described[name] for name in ("ConsumerName", "StreamARN")}
        tags = await self.ask(call, "ListTagsForResource", ResourceARN=physical_id)
        if tags["Tags"]:
            props["Tags"] = tags["Tags"]
        return props


def _consumer(described: dict[str, Any], stream_arn: str) -> Made:
    names = ("ConsumerARN", "ConsumerName", "ConsumerStatus")
    attributes = {name: described[name] for name in names} | {
        "ConsumerCreationTimestamp": str(int(described["ConsumerCreationTimestamp"])),
        "StreamARN": stream_arn,
    }
    return Made(described["ConsumerARN"], attributes)


class _ResourcePolicy(_Type):
    type = "AWS::Kinesis::ResourcePolicy"
    create_only = frozenset({"ResourceArn"})

    async def create(self, call: Call, spec: Spec) -> Made:
        arn, policy = spec.properties["ResourceArn"], spec.properties["ResourcePolicy"]
        text = policy if isinstance(policy, str) else orjson.dumps(policy).decode()
        await self.ask(call, "PutResourcePolicy", ResourceARN=arn, Policy=text)
        return Made(arn)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        return await self.create(call, new)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteResourcePolicy", ResourceARN=physical_id)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "GetResourcePolicy", ResourceARN=physical_id)
        if found is None or found["Policy"] == "{}":
            return None
        return {"ResourceArn": physical_id, "ResourcePolicy": orjson.loads(found["Policy"])}


RESOURCES: tuple[Resource, ...] = (_Stream(), _StreamConsumer(), _ResourcePolicy())
