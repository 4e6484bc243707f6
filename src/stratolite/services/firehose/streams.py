"""Operations on delivery streams: create, describe, list, update, delete, encryption, tags."""

from __future__ import annotations

import re
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.firehose import jobs, quotas, settings, state
from stratolite.services.firehose.state import Record, Ref

_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}\Z")
_STREAM = re.compile(r"arn:aws:kinesis:[a-z0-9-]+:\d{12}:stream/[a-zA-Z0-9_.-]+\Z")
_DESTINATION = "destinationId-000000000001"
_SEAL = "firehose:access-key"
_WITHIN = ("S3Configuration", "S3BackupConfiguration", "SecretsManagerConfiguration")
PRINCIPAL = "firehose.amazonaws.com"
_MAKE = {"s3": settings.s3, "extended-s3": settings.extended_s3, "http": settings.http}


class Streams(Service):
    def create_delivery_stream(self, call: Call, request: Request) -> Response:
        settings.refuse_others(request)
        ref = _ref(call, request["DeliveryStreamName"])
        kind = request.get("DeliveryStreamType", "DirectPut")
        given = [name for name in settings.DESTINATIONS if request.get(name)]
        if len(given) != 1:
            raise settings.bad("Exactly one destination configuration is supported for a Firehose")
        destination_kind = settings.DESTINATIONS[given[0]]
        destination = _MAKE[destination_kind](request[given[0]])
        source = request.get("DirectPutSourceConfiguration")
        if source is not None and not 1 <= source.get("ThroughputHintInMBs", 0) <= 100:
            raise settings.bad("ThroughputHintInMBs must be between 1 and 100.")
        if source is not None and kind != "DirectPut":
            raise settings.bad("DirectPutSourceConfiguration is for DirectPut only.")
        if kind == "KinesisStreamAsSource":
            source = request.get("KinesisStreamSourceConfiguration") or {}
            if not _STREAM.match(source.get("KinesisStreamARN", "")) or not source.get("RoleARN"):
                raise settings.bad(
                    "KinesisStreamSourceConfiguration with a stream and a role is required."
                )
        elif kind != "DirectPut":
            raise settings.not_offered(f"DeliveryStreamType {kind}")
        elif request.get("KinesisStreamSourceConfiguration"):
            raise settings.bad(
                "KinesisStreamSourceConfiguration is for KinesisStreamAsSource only."
            )
        if kind != "DirectPut" and request.get("DeliveryStreamEncryptionConfigurationInput"):
            raise _not_direct("Server-side encryption", kind)
        encryption = _encryption(request.get("DeliveryStreamEncryptionConfigurationInput"))
        tags = {tag["Key"]: tag.get("Value", "") for tag in request.get("Tags") or ()}
        _check_tags(tags)
        _check_roles(call, ref, source or {}, destination)
        if state.get_stream(call.tx, ref) is not None:
            raise Fault(
                "ResourceInUseException",
                f"Firehose {ref.name} under accountId {ref.account} already exists",
            )
        stream: Record = {
            "id": call.tx.stamp(),
            "type": kind,
            "made_s": call.tx.time_s,
            "changed_s": None,
            "version": 1,
            "kind": destination_kind,
            "destination": destination,
            "source": source,
            "encryption": encryption,
            "tags": tags,
            "sealed": "",
        }
        state.put_stream(call.tx, ref, _sealed(call, stream))
        if kind == "KinesisStreamAsSource":
            jobs.read(call, ref, stream["id"])
        return {"DeliveryStreamARN": ref.arn}

    def delete_delivery_stream(self, call: Call, request: Request) -> Response:
        ref, stream = found(call, request)
        jobs.drop(call, state.drop_stream(call.tx, ref, stream))
        return {}

    def describe_delivery_stream(self, call: Call, request: Request) -> Response:
        ref, stream = found(call, request)
        return {"DeliveryStreamDescription": _described(ref, stream)}

    def list_delivery_streams(self, call: Call, request: Request) -> Response:
        limit = request.get("Limit", 10)
        kind = request.get("DeliveryStreamType")
        names: list[str] = []
        after = request.get("ExclusiveStartDeliveryStreamName") or ""
        for name, stream in state.streams(call.tx, call.keys("firehose"), after):
            if kind and stream["type"] != kind:
                continue
            if len(names) >= min(limit, 10_000):
                return {"DeliveryStreamNames": names, "HasMoreDeliveryStreams": True}
            names.append(name)
        return {"DeliveryStreamNames": names, "HasMoreDeliveryStreams": False}

    def update_destination(self, call: Call, request: Request) -> Response:
        """What is not said stays as it was, of the buckets within a destination, too."""
        settings.refuse_others(request)
        ref, stream = found(call, request)
        if request["CurrentDeliveryStreamVersionId"] != str(stream["version"]):
            raise Fault(
                "ConcurrentModificationException",
                "Cannot update firehose: "
                f"{ref.name} since the current version id: {stream['version']} and specified version id:"
                f" {request['CurrentDeliveryStreamVersionId']} do not match",
            )
        if request["DestinationId"] != _DESTINATION:
            raise settings.bad(f"Destination Id {request['DestinationId']} not found")
        names = {
            "S3DestinationUpdate": "s3",
            "ExtendedS3DestinationUpdate": "extended-s3",
            "HttpEndpointDestinationUpdate": "http",
        }
        given = [name for name in names if request.get(name)]
        if len(given) != 1:
            raise settings.bad("Exactly one destination update is supported for a Firehose")
        kind, change, before = names[given[0]], dict(request[given[0]]), stream["destination"]
        for old, new in (
            ("S3BackupUpdate", "S3BackupConfiguration"),
            ("S3Update", "S3Configuration"),
        ):
            if old in change:
                change[new] = {**(before.get(new) or {}), **change.pop(old)}
        if (kind == "http") != (stream["kind"] == "http"):
            raise settings.bad("The type of a destination cannot be changed.")
        if stream["kind"] == "extended-s3":
            kind = "extended-s3"
        if before.get("S3BackupMode") == "Enabled" and change.get("S3BackupMode") == "Disabled":
            raise settings.bad("S3BackupMode cannot be disabled once it is enabled.")
        destination = _MAKE[kind]({**before, **change})
        _check_roles(call, ref, destination)
        changed = {
            **stream,
            "kind": kind,
            "destination": destination,
            "version": stream["version"] + 1,
            "changed_s": call.tx.time_s,
        }
        state.put_stream(call.tx, ref, _sealed(call, changed))
        return {}

    def start_delivery_stream_encryption(self, call: Call, request: Request) -> Response:
        ref, stream = found(call, request)
        if stream["type"] != "DirectPut":
            raise _not_direct("Server-side encryption", stream["type"])
        given = request.get("DeliveryStreamEncryptionConfigurationInput") or {
            "KeyType": "AWS_OWNED_CMK"
        }
        state.put_stream(call.tx, ref, {**stream, "encryption": _encryption(given)})
        return {}

    def stop_delivery_stream_encryption(self, call: Call, request: Request) -> Response:
        ref, stream = found(call, request)
        if stream["type"] != "DirectPut":
            raise _not_direct("Server-side encryption", stream["type"])
        state.put_stream(call.tx, ref, {**stream, "encryption": None})
        return {}

    # -- tags

    def tag_delivery_stream(self, call: Call, request: Request) -> Response:
        ref, stream = found(call, request)
        given = {tag["Key"]: tag.get("Value", "") for tag in request["Tags"]}
        tags = {**stream["tags"], **given}
        _check_tags(tags)
        state.put_stream(call.tx, ref, {**stream, "tags": tags})
        return {}

    def untag_delivery_stream(self, call: Call, request: Request) -> Response:
        ref, stream = found(call, request)
        tags = {k: v for k, v in stream["tags"].items() if k not in request["TagKeys"]}
        state.put_stream(call.tx, ref, {**stream, "tags": tags})
        return {}

    def list_tags_for_delivery_stream(self, call: Call, request: Request) -> Response:
        _, stream = found(call, request)
        after, limit = request.get("ExclusiveStartTagKey") or "", request.get("Limit", 50)
        keys = sorted(key for key in stream["tags"] if key > after)
        shown = [{"Key": key, "Value": stream["tags"][key]} for key in keys[:limit]]
        return {"Tags": shown, "HasMoreTags": len(keys) > limit}


def found(call: Call, request: Request) -> tuple[Ref, Record]:
    """The stream of DeliveryStreamName. Raises Fault."""
    ref = _ref(call, request["DeliveryStreamName"])
    stream = state.get_stream(call.tx, ref)
    if stream is None:
        raise Fault(
            "ResourceNotFoundException",
            f"Firehose {ref.name} under account {ref.account} not found.",
        )
    return ref, stream


def access_key(call: Call, stream: Record) -> str:
    """An HTTP endpoint's."""
    if not stream["sealed"]:
        return ""
    return str(call.cloud.vault.open(bytes.fromhex(stream["sealed"]), _SEAL).decode())


def _ref(call: Call, name: str) -> Ref:
    if not _NAME.match(name):
        raise Fault(
            "ValidationException",
            f"1 validation error detected: Value '{name}' at 'deliveryStreamName' failed to satisfy constraint: Member"
            " must satisfy regular expression pattern: [a-zA-Z0-9_.-]+",
        )
    return Ref(call.account, call.region, name)


def _check_roles(call: Call, ref: Ref, *configurations: dict[str, Any]) -> None:
    """Raises Fault for a role of a source, a destination or its backup that Firehose may not act as.

    Message as in terraform-provider-aws, internal/service/firehose/delivery_stream.go, which waits for roles by it.
    """
    parts = [
        part for one in configurations for part in (one, *(one.get(name) or {} for name in _WITHIN))
    ]
    for role in dict.fromkeys(part["RoleARN"] for part in parts if part.get("RoleARN")):
        acting = call.as_service(PRINCIPAL, ref.arn)
        acting.depth += 1
        ask = {"RoleArn": role, "RoleSessionName": ref.name.ljust(2, "_")}
        try:
            acting.invoke("sts", "AssumeRole", ask)
        except Fault as fault:
            raise settings.bad(
                f"Firehose is unable to assume role {role}. Please check the role provided."
            ) from fault


def _sealed(call: Call, stream: Record) -> Record:
    """The access key leaves the configuration."""
    destination = stream["destination"]
    endpoint = destination.get("EndpointConfiguration")
    if not endpoint or "AccessKey" not in endpoint:
        return stream
    plain = {k: v for k, v in endpoint.items() if k != "AccessKey"}
    sealed = call.cloud.vault.seal(endpoint["AccessKey"].encode(), _SEAL).hex()
    destination = {**destination, "EndpointConfiguration": plain}
    return {**stream, "destination": destination, "sealed": sealed}


def _encryption(given: dict[str, Any] | None) -> dict[str, Any] | None:
    if not given:
        return None
    if given.get("KeyType") not in ("AWS_OWNED_CMK", "CUSTOMER_MANAGED_CMK"):
        raise settings.bad(f"KeyType {given.get('KeyType')} is not valid.")
    if given["KeyType"] == "CUSTOMER_MANAGED_CMK" and not given.get("KeyARN"):
        raise settings.bad("KeyARN is required for CUSTOMER_MANAGED_CMK.")
    return given


def _not_direct(what: str, kind: str) -> Fault:
    """A Kinesis source has its own: https://docs.aws.amazon.com/firehose/latest/dev/encryption.html"""
    return settings.bad(f"{what} is for DirectPut only, not for a delivery stream of type {kind}.")


def _check_tags(tags: dict[str, str]) -> None:
    if any(key.lower().startswith("aws:") for key in tags):
        raise settings.bad("aws: prefixed tag key names are not allowed for external use.")
    if len(tags) > quotas.TAGS_MAX or any(
        not 1 <= len(k) <= 128 or len(v) > 256 for k, v in tags.items()
    ):
        raise settings.bad(f"At most {quotas.TAGS_MAX} tags of 128 and 256 characters each.")


def _described(ref: Ref, stream: Record) -> dict[str, Any]:
    described: dict[str, Any] = {
        "DeliveryStreamName": ref.name,
        "DeliveryStreamARN": ref.arn,
        "DeliveryStreamStatus": "ACTIVE",
        "DeliveryStreamEncryptionConfiguration": {"Status": "DISABLED"},
        "DeliveryStreamType": stream["type"],
        "VersionId": str(stream["version"]),
        "CreateTimestamp": stream["made_s"],
        "Destinations": [_destination(stream)],
        "HasMoreDestinations": False,
    }
    if stream["encryption"]:
        described["DeliveryStreamEncryptionConfiguration"] = {**stream["encryption"], "Status": "ENABLED"}  # fmt: skip
    if stream["changed_s"] is not None:
        described["LastUpdateTimestamp"] = stream["changed_s"]
    if stream["source"] and stream["type"] == "DirectPut":
        described["Source"] = {"DirectPutSourceDescription": stream["source"]}
    elif stream["source"]:
        described["Source"] = {
            "KinesisStreamSourceDescription": {
                **stream["source"],
                "DeliveryStartTimestamp": stream["made_s"],
            }
        }
    return described


_S3_MEMBERS = (
    "RoleARN", "BucketARN", "Prefix", "ErrorOutputPrefix", "BufferingHints", "CompressionFormat",
    "EncryptionConfiguration", "CloudWatchLoggingOptions",
)  # fmt: skip


def _destination(stream: Record) -> dict[str, Any]:
    config = dict(stream["destination"])
    found: dict[str, Any] = {"DestinationId": _DESTINATION}
    if stream["kind"] == "http":
        config["S3DestinationDescription"] = config.pop("S3Configuration")
        found["HttpEndpointDestinationDescription"] = config
        return found
    found["S3DestinationDescription"] = {k: config[k] for k in _S3_MEMBERS if k in config}
    if stream["kind"] == "extended-s3":
        if "S3BackupConfiguration" in config:
            config["S3BackupDescription"] = config.pop("S3BackupConfiguration")
        found["ExtendedS3DestinationDescription"] = config
    return found
