"""Operations on streams as such: create, describe, list, settings, delete."""

from __future__ import annotations

from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.kinesis import accounts, jobs, layout, names, quotas, sequence, state
from stratolite.services.kinesis.names import Ref

_METRICS = (
    "IncomingBytes",
    "IncomingRecords",
    "OutgoingBytes",
    "OutgoingRecords",
    "WriteProvisionedThroughputExceeded",
    "ReadProvisionedThroughputExceeded",
    "IteratorAgeMilliseconds",
)
_MODES = ("PROVISIONED", "ON_DEMAND")
_PAGE = 100
BY_KEY, EVENLY = "USER_PARTITION_KEY", "AUTO"
"""RecordDistributionStrategy: a record to the shard of its partition key, or to one shard after the other."""


class Streams(Service):
    def create_stream(self, call: Call, request: Request) -> Response:
        tx, ref = call.tx, names.stream(call, request)
        mode = wanted_mode(request) if "StreamModeDetails" in request else "PROVISIONED"
        strategy, warm = _strategy(request, mode), wanted_warm(call, request, mode)
        count = request.get("ShardCount")
        if mode == "ON_DEMAND":
            if count is not None:
                raise Fault(
                    "ValidationException", "ShardCount must not be provided when StreamMode is ON_DEMAND."
                )  # fmt: skip
            count = max(quotas.ON_DEMAND_SHARDS, warm)
        elif count is None:
            raise Fault(
                "ValidationException", "ShardCount must be provided when StreamMode is PROVISIONED."
            )
        elif count < 1:
            raise names.invalid(
                "shardCount", count, "Member must have value greater than or equal to 1"
            )
        kib = request.get("MaxRecordSizeInKiB", quotas.RECORD_KIB)
        names.between("maxRecordSizeInKiB", kib, quotas.RECORD_KIB, quotas.RECORD_KIB_MAX)
        tags = request.get("Tags") or {}
        check_tags(tags)
        if state.get_stream(tx, ref) is not None:
            raise Fault(
                "ResourceInUseException",
                f"Stream {ref.name} under account {ref.account} already exists.",
            )
        room_for(call, ref, count, on_demand=int(mode == "ON_DEMAND"))
        stream: state.Record = {
            "id": tx.stamp(),
            "created_s": int(tx.time_s),
            "mode": mode,
            "hours": quotas.RETENTION_HOURS,
            "encryption": "NONE",
            "key_id": "",
            "metrics": [],
            "tags": tags,
            "policy": "",
            "record_kib": kib,
            "next_shard": count,
            "resized_s": [],
            "strategy": strategy,
            "warm_mib": warm,
        }
        rows = []
        for number, (start, end) in enumerate(layout.uniform(count)):
            state.put_shard(tx, ref, stream, number, new_shard(start, end, stream["created_s"]))
            rows.append((start.to_bytes(16, "big"), number, stream["created_s"]))
        state.put_route(tx, ref, stream, rows)
        state.put_stream(tx, ref, stream)
        jobs.trim_later(call, ref, stream["id"])
        return {}

    def delete_stream(self, call: Call, request: Request) -> Response:
        ref, stream = found(call, request)
        if not request.get("EnforceConsumerDeletion"):
            for _ in state.consumers(call.tx, ref, stream):
                raise Fault(
                    "ResourceInUseException",
                    f"Stream {ref.name} under account {ref.account} has registered consumers and EnforceConsumerDeletion"
                    " is not set.",
                )
        shards = len(state.route(call.tx, ref, stream).starts)
        keys = state.keys_of(ref)
        state.count(call.tx, keys, shards=-shards, on_demand=-int(stream["mode"] == "ON_DEMAND"))
        jobs.drop(call, state.drop_stream(call.tx, ref, stream))
        return {}

    def describe_stream(self, call: Call, request: Request) -> Response:
        limit = request.get("Limit", _PAGE)
        names.between("limit", limit, 1, 10_000)
        ref, stream = found(call, request)
        start = 0
        if after := request.get("ExclusiveStartShardId"):
            start = names.shard_number(ref, after) + 1
        shown: list[dict[str, Any]] = []
        has_more = False
        for number, shard in state.shards(call.tx, ref, stream, start):
            if len(shown) >= min(limit, 1000):
                has_more = True
                break
            shown.append(described_shard(number, shard))
        described = _described(ref, stream) | {"Shards": shown, "HasMoreShards": has_more}
        return {"StreamDescription": described}

    def describe_stream_summary(self, call: Call, request: Request) -> Response:
        ref, stream = found(call, request)
        consumers = sum(1 for _ in state.consumers(call.tx, ref, stream))
        described = _described(ref, stream) | {
            "OpenShardCount": len(state.route(call.tx, ref, stream).starts),
            "ConsumerCount": consumers,
            "MaxRecordSizeInKiB": stream["record_kib"],
        }
        if stream["mode"] == "ON_DEMAND":
            described["RecordDistributionStrategy"] = stream.get("strategy", BY_KEY)
            described["WarmThroughput"] = {
                "TargetMiBps": stream.get("warm_mib", 0),
                "CurrentMiBps": described["OpenShardCount"],
            }
        return {"StreamDescriptionSummary": described}

    def list_streams(self, call: Call, request: Request) -> Response:
        limit = request.get("Limit", _PAGE)
        names.between("limit", limit, 1, 10_000)
        after = request.get("NextToken") or request.get("ExclusiveStartStreamName") or ""
        shown: list[dict[str, Any]] = []
        answer: Response = {"HasMoreStreams": False}
        for name, stream in state.streams(call.tx, call.keys("kinesis"), after):
            if len(shown) >= limit:
                answer |= {"HasMoreStreams": True, "NextToken": shown[-1]["StreamName"]}
                break
            ref = Ref(call.account, call.region, name)
            shown.append({
                "StreamName": name,
                "StreamARN": ref.arn,
                "StreamStatus": "ACTIVE",
                "StreamModeDetails": {"StreamMode": stream["mode"]},
                "StreamCreationTimestamp": stream["created_s"],
            })  # fmt: skip
        return answer | {"StreamNames": [s["StreamName"] for s in shown], "StreamSummaries": shown}

    def describe_limits(self, call: Call, request: Request) -> Response:
        used = state.usage(call.tx, call.keys("kinesis"))
        return {
            "ShardLimit": quotas.SHARDS_MAX,
            "OpenShardCount": used["shards"],
            "OnDemandStreamCount": used["on_demand"],
            "OnDemandStreamCountLimit": quotas.ON_DEMAND_STREAMS_MAX,
        }

    # -- settings

    def increase_stream_retention_period(self, call: Call, request: Request) -> Response:
        ref, stream = found(call, request)
        hours = _hours(request)
        if hours < stream["hours"]:
            raise Fault(
                "InvalidArgumentException",
                f"Requested retention period ({hours} hours) for stream {ref.name} can not be shorter than existing"
                f" retention period ({stream['hours']} hours). Use DecreaseRetentionPeriod API.",
            )
        state.put_stream(call.tx, ref, {**stream, "hours": hours})
        return {}

    def decrease_stream_retention_period(self, call: Call, request: Request) -> Response:
        ref, stream = found(call, request)
        hours = _hours(request)
        if hours > stream["hours"]:
            raise Fault(
                "InvalidArgumentException",
                f"Requested retention period ({hours} hours) for stream {ref.name} can not be longer than existing"
                f" retention period ({stream['hours']} hours). Use IncreaseRetentionPeriod API.",
            )
        state.put_stream(call.tx, ref, {**stream, "hours": hours})
        return {}

    def update_stream_record_distribution_strategy(self, call: Call, request: Request) -> Response:
        ref, stream = found(call, request)
        strategy = _strategy(request, stream["mode"])
        state.put_stream(call.tx, ref, {**stream, "strategy": strategy})
        return {}

    def update_max_record_size(self, call: Call, request: Request) -> Response:
        ref, stream = found(call, request)
        kib = request["MaxRecordSizeInKiB"]
        names.between("maxRecordSizeInKiB", kib, quotas.RECORD_KIB, quotas.RECORD_KIB_MAX)
        state.put_stream(call.tx, ref, {**stream, "record_kib": kib})
        return {}

    def start_stream_encryption(self, call: Call, request: Request) -> Response:
        ref, stream = found(call, request)
        key_id = request["KeyId"]
        if request["EncryptionType"] != "KMS":
            raise names.invalid(
                "encryptionType",
                request["EncryptionType"],
                "Member must satisfy enum value set: [KMS]",
            )
        if "kms" in call.cloud.services and not key_id.startswith("alias/aws/"):
            _check_key(call, key_id)
        state.put_stream(call.tx, ref, {**stream, "encryption": "KMS", "key_id": key_id})
        return {}

    def stop_stream_encryption(self, call: Call, request: Request) -> Response:
        ref, stream = found(call, request)
        state.put_stream(call.tx, ref, {**stream, "encryption": "NONE", "key_id": ""})
        return {}

    def enable_enhanced_monitoring(self, call: Call, request: Request) -> Response:
        ref, stream = found(call, request)
        wanted = sorted({*stream["metrics"], *_metrics(request)})
        return self._monitor(call, ref, stream, wanted)

    def disable_enhanced_monitoring(self, call: Call, request: Request) -> Response:
        ref, stream = found(call, request)
        less = _metrics(request)
        return self._monitor(call, ref, stream, [m for m in stream["metrics"] if m not in less])

    def _monitor(self, call: Call, ref: Ref, stream: state.Record, wanted: list[str]) -> Response:
        state.put_stream(call.tx, ref, {**stream, "metrics": wanted})
        return {
            "StreamName": ref.name,
            "StreamARN": ref.arn,
            "CurrentShardLevelMetrics": stream["metrics"],
            "DesiredShardLevelMetrics": wanted,
        }


def found(call: Call, request: Request) -> tuple[Ref, state.Record]:
    """The stream a request names. Raises Fault."""
    ref = names.stream(call, request)
    return ref, known(call, ref)


def known(call: Call, ref: Ref) -> state.Record:
    stream = state.get_stream(call.tx, ref)
    if stream is None:
        raise names.no_stream(ref)
    return stream


def new_shard(start: int, end: int, created_s: int, *parents: int) -> state.Record:
    return {
        "start": str(start),
        "end": str(end),
        "parent": parents[0] if parents else None,
        "adjacent": parents[1] if len(parents) > 1 else None,
        "created_s": created_s,
        "closed_s": None,
        "children": [],
    }


def room_for(call: Call, ref: Ref, shards: int, *, on_demand: int = 0) -> None:
    """Count them as used. Raises Fault if the account's quota does not allow them."""
    keys = state.keys_of(ref)
    used = state.usage(call.tx, keys)
    if used["shards"] + shards > quotas.SHARDS_MAX:
        raise Fault(
            "LimitExceededException",
            f"This request would exceed the shard limit for the account {ref.account} in {ref.region}. Current shard"
            f" count for the account: {used['shards']}. Limit: {quotas.SHARDS_MAX}. Number of additional shards that"
            f" would have resulted from this request: {shards}. Refer to the AWS Service Limits page"
            " (http://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html) for current limits and how to"
            " request higher limits.",
        )
    if used["on_demand"] + on_demand > quotas.ON_DEMAND_STREAMS_MAX:
        raise Fault(
            "LimitExceededException",
            f"This request would exceed the on-demand stream limit for the account {ref.account} in {ref.region}."
            f" Limit: {quotas.ON_DEMAND_STREAMS_MAX}.",
        )
    state.count(call.tx, keys, shards=shards, on_demand=on_demand)


def described_shard(number: int, shard: state.Record) -> dict[str, Any]:
    created_s = shard["created_s"]
    numbers = {"StartingSequenceNumber": sequence.text(created_s, number, 0, created_s)}
    if shard["closed_s"] is not None:
        numbers["EndingSequenceNumber"] = sequence.text(
            created_s, number, sequence.ORDER_MAX >> 1, shard["closed_s"]
        )
    described: dict[str, Any] = {
        "ShardId": names.shard_id(number),
        "HashKeyRange": {"StartingHashKey": shard["start"], "EndingHashKey": shard["end"]},
        "SequenceNumberRange": numbers,
    }
    if shard["parent"] is not None:
        described["ParentShardId"] = names.shard_id(shard["parent"])
    if shard["adjacent"] is not None:
        described["AdjacentParentShardId"] = names.shard_id(shard["adjacent"])
    return described


def _described(ref: Ref, stream: state.Record) -> dict[str, Any]:
    described = {
        "StreamName": ref.name,
        "StreamARN": ref.arn,
        "StreamStatus": "ACTIVE",
        "StreamModeDetails": {"StreamMode": stream["mode"]},
        "RetentionPeriodHours": stream["hours"],
        "StreamCreationTimestamp": stream["created_s"],
        "EnhancedMonitoring": [{"ShardLevelMetrics": stream["metrics"]}],
        "EncryptionType": stream["encryption"],
    }
    if stream["key_id"]:
        described["KeyId"] = stream["key_id"]
    return described


def wanted_mode(request: Request) -> str:
    mode = request["StreamModeDetails"].get("StreamMode")
    if mode not in _MODES:
        raise names.invalid(
            "streamModeDetails.streamMode",
            mode,
            "Member must satisfy enum value set: [PROVISIONED, ON_DEMAND]",
        )
    return str(mode)


def _strategy(request: Request, mode: str) -> str:
    strategy = request.get("RecordDistributionStrategy", BY_KEY)
    if strategy not in (BY_KEY, EVENLY):
        raise names.invalid("recordDistributionStrategy", strategy, f"Member must satisfy enum value set: [{EVENLY}, {BY_KEY}]")  # fmt: skip
    if strategy == EVENLY and mode != "ON_DEMAND":
        raise Fault(
            "InvalidArgumentException",
            f"RecordDistributionStrategy {EVENLY} is for streams in On-Demand mode only.",
        )
    return str(strategy)


def wanted_warm(call: Call, request: Request, mode: str) -> int:
    """MiB a second a new stream is to be ready for, 0: none was asked for."""
    warm = int(request.get("WarmThroughputMiBps") or 0)
    if warm and mode != "ON_DEMAND":
        raise Fault(
            "ValidationException",
            "WarmThroughputMiBps must not be provided when StreamMode is PROVISIONED.",
        )
    check_warm(call, warm)
    return warm


def check_warm(call: Call, warm: int) -> None:
    names.between("warmThroughputMiBps", warm, 0, quotas.WARM_MIB_MAX)
    if warm and not accounts.is_committed(call):
        raise Fault(
            "ValidationException",
            "Warm throughput needs the account's MinimumThroughputBillingCommitment to be ENABLED.",
        )


def _hours(request: Request) -> int:
    hours = int(request["RetentionPeriodHours"])
    if hours < quotas.RETENTION_HOURS:
        raise Fault(
            "InvalidArgumentException",
            f"Minimum allowed retention period is {quotas.RETENTION_HOURS} hours. Requested retention period"
            f" ({hours} hours) is too short.",
        )
    if hours > quotas.RETENTION_HOURS_MAX:
        raise Fault(
            "InvalidArgumentException",
            f"Maximum allowed retention period is {quotas.RETENTION_HOURS_MAX} hours. Requested retention period"
            f" ({hours} hours) is too long.",
        )
    return hours


def _metrics(request: Request) -> list[str]:
    wanted = request["ShardLevelMetrics"]
    for metric in wanted:
        if metric not in (*_METRICS, "ALL"):
            raise names.invalid(
                "shardLevelMetrics", f"[{', '.join(wanted)}]",
                f"Member must satisfy constraint: [Member must satisfy enum value set: [{', '.join(_METRICS)}, ALL]]",
            )  # fmt: skip
    return list(_METRICS) if "ALL" in wanted else list(wanted)


def check_tags(tags: dict[str, str], already: dict[str, str] | None = None) -> None:
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256 or key.lower().startswith("aws:"):
            raise Fault("InvalidArgumentException", f"Invalid tag: {key[:200]}={value[:300]}")
    if len({**(already or {}), **tags}) > quotas.TAGS_MAX:
        raise Fault(
            "InvalidArgumentException",
            f"A given resource cannot have more than {quotas.TAGS_MAX} tags associated with it.",
        )


def _check_key(call: Call, key_id: str) -> None:
    try:
        call.invoke("kms", "DescribeKey", {"KeyId": key_id})
    except Fault as fault:
        if fault.code == "NotFoundException":
            raise Fault("KMSNotFoundException", fault.message) from fault
        raise
