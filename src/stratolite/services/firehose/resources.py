"""CloudFormation's AWS::KinesisFirehose::DeliveryStream."""

from __future__ import annotations

from typing import Any, ClassVar

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource, Spec, picked, tag_list

_DESTINATIONS = (
    "S3DestinationConfiguration",
    "ExtendedS3DestinationConfiguration",
    "HttpEndpointDestinationConfiguration",
)
_UPDATES = {name: name.replace("Configuration", "Update") for name in _DESTINATIONS}
_DESCRIBED = {
    "ExtendedS3DestinationDescription": "ExtendedS3DestinationConfiguration",
    "HttpEndpointDestinationDescription": "HttpEndpointDestinationConfiguration",
}
_SOURCES = {
    "DirectPutSourceDescription": "DirectPutSourceConfiguration",
    "KinesisStreamSourceDescription": "KinesisStreamSourceConfiguration",
}


class _DeliveryStream(Resource):
    type = "AWS::KinesisFirehose::DeliveryStream"
    service = "firehose"
    create_only = frozenset(
        {
            "DeliveryStreamName", "DeliveryStreamType", "DirectPutSourceConfiguration", "KinesisStreamSourceConfiguration",
        }
    )  # fmt: skip
    properties: ClassVar[frozenset[str] | None] = frozenset(
        {
            *_DESTINATIONS, "DeliveryStreamName", "DeliveryStreamType", "DirectPutSourceConfiguration",
            "KinesisStreamSourceConfiguration",
            "DeliveryStreamEncryptionConfigurationInput", "Tags",
        }
    )  # fmt: skip

    async def create(self, call: Call, spec: Spec) -> Made:
        props = spec.properties
        name = props.get("DeliveryStreamName") or spec.generated_name(64)
        members = (*_DESTINATIONS, *_SOURCES.values(), "DeliveryStreamType")
        ask = {member: props[member] for member in members if member in props}
        if "DeliveryStreamEncryptionConfigurationInput" in props:
            encryption = props["DeliveryStreamEncryptionConfigurationInput"]
            ask["DeliveryStreamEncryptionConfigurationInput"] = encryption
        if tags := spec.tags():
            ask["Tags"] = tag_list(tags)
        try:
            await self.ask(call, "CreateDeliveryStream", DeliveryStreamName=name, **ask)
        except Fault as fault:
            if fault.code != "ResourceInUseException" or props.get("DeliveryStreamName"):
                raise  # a name of ours that is taken was taken by an earlier attempt
        return await self._made(call, name)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        props, name = new.properties, physical_id
        described = await self._described(call, name)
        for member, update in _UPDATES.items():
            if member in props and props[member] != old.properties.get(member):
                change = dict(props[member])
                for given, said in (("S3BackupConfiguration", "S3BackupUpdate"), ("S3Configuration", "S3Update")):  # fmt: skip
                    if given in change:
                        change[said] = change.pop(given)
                await self.ask(
                    call, "UpdateDestination", DeliveryStreamName=name,
                    CurrentDeliveryStreamVersionId=described["VersionId"],
                    DestinationId=described["Destinations"][0]["DestinationId"], **{update: change},
                )  # fmt: skip
        wanted, before = (s.properties.get("DeliveryStreamEncryptionConfigurationInput") for s in (new, old))  # fmt: skip
        if wanted and wanted != before:
            await self.ask(
                call, "StartDeliveryStreamEncryption", DeliveryStreamName=name,
                DeliveryStreamEncryptionConfigurationInput=wanted,
            )  # fmt: skip
        elif before and not wanted:
            await self.ask(call, "StopDeliveryStreamEncryption", DeliveryStreamName=name)
        tags = new.tags()
        if gone := sorted(old.tags().keys() - tags.keys()):
            await self.ask(call, "UntagDeliveryStream", DeliveryStreamName=name, TagKeys=gone)
        if tags:
            await self.ask(call, "TagDeliveryStream", DeliveryStreamName=name, Tags=tag_list(tags))
        return await self._made(call, name)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteDeliveryStream", DeliveryStreamName=physical_id)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(
            call, "DescribeDeliveryStream", DeliveryStreamName=physical_id
        )
        if found is None:
            return None
        described = found["DeliveryStreamDescription"]
        props: dict[str, Any] = {
            "DeliveryStreamName": physical_id,
            "DeliveryStreamType": described["DeliveryStreamType"],
        }
        if source := described.get("Source"):
            for given, name in _SOURCES.items():
                if given in source:
                    props[name] = {
                        k: v for k, v in source[given].items() if k != "DeliveryStartTimestamp"
                    }
        destination = described["Destinations"][0]
        for given, name in _DESCRIBED.items():
            if given in destination:
                props[name] = _template(destination[given])
        if not any(name in props for name in _DESCRIBED.values()):
            props["S3DestinationConfiguration"] = _template(destination["S3DestinationDescription"])
        sealed = described["DeliveryStreamEncryptionConfiguration"]
        if sealed["Status"] == "ENABLED":
            props["DeliveryStreamEncryptionConfigurationInput"] = picked(
                sealed, "KeyType", "KeyARN"
            )
        tags = await self.ask(call, "ListTagsForDeliveryStream", DeliveryStreamName=physical_id)
        if tags["Tags"]:
            props["Tags"] = tags["Tags"]
        return props

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        page = await self.ask(
            call, "ListDeliveryStreams", Limit=100, ExclusiveStartDeliveryStreamName=token or None
        )
        names = page["DeliveryStreamNames"]
        return names, names[-1] if page["HasMoreDeliveryStreams"] else ""

    async def _described(self, call: Call, name: str) -> dict[str, Any]:
        found = await self.ask(call, "DescribeDeliveryStream", DeliveryStreamName=name)
        described: dict[str, Any] = found["DeliveryStreamDescription"]
        return described

    async def _made(self, call: Call, name: str) -> Made:
        return Made(name, {"Arn": (await self._described(call, name))["DeliveryStreamARN"]})


def _template(value: dict[str, Any]) -> dict[str, Any]:
    names = {
        "S3BackupDescription": "S3BackupConfiguration",
        "S3DestinationDescription": "S3Configuration",
    }
    return {names.get(key, key): inner for key, inner in value.items()}


RESOURCES: tuple[Resource, ...] = (_DeliveryStream(),)
