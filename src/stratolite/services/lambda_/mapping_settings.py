"""What an event source mapping may say, by the kind of its source, in AWS's words where it may not.

Source  https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from stratolite.patterns import PatternError, compile_pattern
from stratolite.service import Request
from stratolite.services.lambda_ import names

_SQS = re.compile(r"arn:aws:sqs:([a-z0-9-]+):(\d{12}):([a-zA-Z0-9_-]+(?:\.fifo)?)\Z")
_KINESIS = re.compile(
    r"arn:aws:kinesis:([a-z0-9-]+):(\d{12}):stream/([a-zA-Z0-9_.-]+)(?:/consumer/([a-zA-Z0-9_.-]+):\d+)?\Z"
)
_DYNAMODB = re.compile(
    r"arn:aws:dynamodb:([a-z0-9-]+):(\d{12}):table/([a-zA-Z0-9_.-]+)/stream/([0-9A-Z:.-]+)\Z"
)
_DESTINATION = re.compile(r"arn:aws:(sqs|sns|s3):[a-z0-9-]*:(?:\d{12})?:\S+\Z")
BATCH_MAX = 10_000
FILTERS_MAX = 10
POLLERS_MIN, POLLERS_MINIMUM_MAX, POLLERS_MAX = 2, 200, 10_000
POLLERS = {"MinimumPollers": 2, "MaximumPollers": 200}
POLLER_CONCURRENCY = 10
"""Batches that one poller has in hand at most: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html"""
_NOT_OFFERED = (
    "SelfManagedEventSource", "AmazonManagedKafkaEventSourceConfig", "SelfManagedKafkaEventSourceConfig", "Topics",
    "Queues", "SourceAccessConfigurations", "DocumentDBEventSourceConfig", "LoggingConfig",
)  # fmt: skip
_OTHER_SOURCES = {"kafka": "Amazon MSK", "mq": "Amazon MQ", "rds": "Amazon DocumentDB"}
_STREAM_ONLY = (
    "StartingPosition", "StartingPositionTimestamp", "ParallelizationFactor", "MaximumRecordAgeInSeconds",
    "BisectBatchOnFunctionError", "MaximumRetryAttempts", "TumblingWindowInSeconds",
)  # fmt: skip
_UNSUPPORTED = "Unsupported {} parameter for given event source mapping type."


class Source(NamedTuple):
    kind: str
    """sqs, kinesis or dynamodb."""
    arn: str
    region: str
    account: str
    name: str
    """Of the queue, stream or table."""

    @property
    def is_stream(self) -> bool:
        return self.kind != "sqs"

    @property
    def is_fifo(self) -> bool:
        return self.arn.endswith(".fifo")

    @property
    def service(self) -> str:
        return "dynamodbstreams" if self.kind == "dynamodb" else self.kind

    @property
    def stream_arn(self) -> str:
        """Of a stream; a consumer's is its stream's."""
        return self.arn.partition("/consumer/")[0]


def source(arn: str | None) -> Source:
    """Raises Fault for what is no source of ours."""
    for kind, form in (("sqs", _SQS), ("kinesis", _KINESIS), ("dynamodb", _DYNAMODB)):
        if arn and (match := form.match(arn)):
            return Source(kind, arn, match[1], match[2], match[3])
    service = (arn or "").split(":", 3)[2:3]
    if service and (other := _OTHER_SOURCES.get(service[0])):
        raise names.not_offered(f"An event source of {other}")
    raise names.invalid("Unrecognized event source.")


def refuse_others(request: Request) -> None:
    """Raises Fault for what sources that are not offered would want to know."""
    for member in _NOT_OFFERED:
        if request.get(member):
            raise names.not_offered(member)


def checked(source: Source, request: Request, before: dict[str, Any]) -> dict[str, Any]:
    """The settings of ``before`` (a mapping's configuration, or {} for a new one) with ``request``'s changes."""
    refuse_others(request)
    if not source.is_stream:
        for member in _STREAM_ONLY:
            if request.get(member) is not None:
                raise names.invalid(_UNSUPPORTED.format(member))
        if request.get("DestinationConfig"):
            raise names.invalid(_UNSUPPORTED.format("DestinationConfig"))
    else:
        for member in ("ScalingConfig", "ProvisionedPollerConfig"):
            if request.get(member):
                raise names.invalid(_UNSUPPORTED.format(member))
    settings: dict[str, Any] = {
        "BatchSize": _number(request, before, "BatchSize", 100 if source.is_stream else 10, 1, BATCH_MAX),
        "MaximumBatchingWindowInSeconds": _number(request, before, "MaximumBatchingWindowInSeconds", 0, 0, 300),
    }  # fmt: skip
    types = request.get("FunctionResponseTypes")
    settings["FunctionResponseTypes"] = (
        before.get("FunctionResponseTypes", []) if types is None else types
    )
    for kind in settings["FunctionResponseTypes"]:
        if kind != "ReportBatchItemFailures":
            raise names.bad(
                "functionResponseTypes",
                f"[{kind}]",
                "Member must satisfy constraint: [Member must satisfy enum value set: [ReportBatchItemFailures]]",
            )
    if metrics := _metrics(request, before):
        settings["MetricsConfig"] = {"Metrics": metrics}
    if key := request.get("KMSKeyArn", before.get("KMSKeyArn")):
        settings["KMSKeyArn"] = key
    if kept := _filters(request, before):
        settings["FilterCriteria"] = kept
    if source.is_stream:
        settings |= _of_stream(request, before)
        return settings
    _check_queue(source, settings)
    scaling = request.get("ScalingConfig", before.get("ScalingConfig"))
    if scaling:
        most = scaling.get("MaximumConcurrency")
        if most is not None and not 2 <= most <= 1000:
            raise names.bad(
                "scalingConfig.maximumConcurrency",
                most,
                f"Member must have value {'greater' if most < 2 else 'less'} than or equal to {2 if most < 2 else 1000}",
            )
        settings["ScalingConfig"] = scaling
    if pollers := _pollers(request, before):
        settings["ProvisionedPollerConfig"] = pollers
        if (scaling or {}).get("MaximumConcurrency"):
            raise names.invalid(
                "MaximumConcurrency cannot be configured for an event source mapping in provisioned mode."
            )
    return settings


def _pollers(request: Request, before: dict[str, Any]) -> dict[str, Any] | None:
    """Provisioned mode of a queue; an empty configuration ends it."""
    given = request.get("ProvisionedPollerConfig")
    if given is None:
        found: dict[str, Any] | None = before.get("ProvisionedPollerConfig")
        return found
    if given.get("PollerGroupName"):
        raise names.invalid(_UNSUPPORTED.format("PollerGroupName"))
    if not given:
        return None
    kept = {member: given.get(member, usual) for member, usual in POLLERS.items()}
    for member, most in (("MinimumPollers", POLLERS_MINIMUM_MAX), ("MaximumPollers", POLLERS_MAX)):
        value = kept[member]
        if not POLLERS_MIN <= value <= most:
            side, bound = ("greater", POLLERS_MIN) if value < POLLERS_MIN else ("less", most)
            field = f"provisionedPollerConfig.{member[0].lower()}{member[1:]}"
            raise names.bad(field, value, f"Member must have value {side} than or equal to {bound}")
    if kept["MinimumPollers"] > kept["MaximumPollers"]:
        raise names.invalid("MinimumPollers must not be greater than MaximumPollers.")
    return kept


def _check_queue(source: Source, settings: dict[str, Any]) -> None:
    size, window_s = settings["BatchSize"], settings["MaximumBatchingWindowInSeconds"]
    if source.is_fifo:
        if size > 10:
            raise names.invalid(
                "Maximum batch size for FIFO queues is 10."
                if window_s == 0
                else "Batch size for a FIFO queue must not be greater than 10."
            )
        if window_s:
            raise names.invalid("Batching window is not supported for FIFO queues")
    elif size > 10 and window_s == 0:
        raise names.invalid(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
        )


def _of_stream(request: Request, before: dict[str, Any]) -> dict[str, Any]:
    age_s = request.get("MaximumRecordAgeInSeconds", before.get("MaximumRecordAgeInSeconds", -1))
    if age_s not in (-1, 0) and not 60 <= age_s <= 604_800:
        raise names.bad(
            "maximumRecordAgeInSeconds",
            age_s,
            "Member must have value between 60 and 604800, or -1",
        )
    destination = request.get("DestinationConfig", before.get("DestinationConfig")) or {}
    if destination.get("OnSuccess"):
        raise names.invalid(_UNSUPPORTED.format("DestinationConfig.OnSuccess"))
    where = (destination.get("OnFailure") or {}).get("Destination")
    if where and (not _DESTINATION.match(where) or where.endswith(".fifo")):
        raise names.invalid(
            f"The provided destination config DestinationConfig is invalid: {where}"
        )
    parallel = _number(request, before, "ParallelizationFactor", 1, 1, 10)
    window_s = _number(request, before, "TumblingWindowInSeconds", 0, 0, 900)
    if window_s and parallel > 1:
        raise names.invalid("ParallelizationFactor must be 1 when a tumbling window is configured.")
    bisect = request.get(
        "BisectBatchOnFunctionError", before.get("BisectBatchOnFunctionError", False)
    )
    return {
        "ParallelizationFactor": parallel,
        "DestinationConfig": {"OnFailure": {"Destination": where} if where else {}},
        "MaximumRecordAgeInSeconds": -1 if age_s == 0 else age_s,
        "BisectBatchOnFunctionError": bisect,
        "MaximumRetryAttempts": _number(request, before, "MaximumRetryAttempts", -1, -1, 10_000),
        "TumblingWindowInSeconds": window_s,
    }


def starting_position(source: Source, request: Request, now_s: float) -> dict[str, Any]:
    """StartingPosition and its timestamp of a new mapping."""
    if not source.is_stream:
        return {}
    position = request.get("StartingPosition")
    if position is None:
        raise names.invalid(
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member must"
            " not be null."
        )
    if position not in ("LATEST", "AT_TIMESTAMP", "TRIM_HORIZON"):
        raise names.bad(
            "startingPosition",
            position,
            "Member must satisfy enum value set: [LATEST, AT_TIMESTAMP, TRIM_HORIZON]",
        )
    if position != "AT_TIMESTAMP":
        return {"StartingPosition": position}
    if source.kind == "dynamodb":
        raise names.invalid(f"Unsupported starting position for arn type: {source.arn}")
    time_s = request.get("StartingPositionTimestamp")
    if time_s is None:
        raise names.invalid("Timestamp is required when starting position is AT_TIMESTAMP.")
    if time_s > now_s:
        raise names.invalid("StartingPositionTimestamp cannot be in the future.")
    return {"StartingPosition": position, "StartingPositionTimestamp": time_s}


def _number(
    request: Request, before: dict[str, Any], member: str, otherwise: int, low: int, high: int
) -> int:
    value = request.get(member)
    if value is None:
        return int(before.get(member, otherwise))
    if not low <= value <= high:
        side = f"greater than or equal to {low}" if value < low else f"less than or equal to {high}"
        raise names.bad(member[:1].lower() + member[1:], value, f"Member must have value {side}")
    return int(value)


def _metrics(request: Request, before: dict[str, Any]) -> list[str]:
    """Which metrics the mapping is to have; ErrorCount and KafkaMetrics are of Kafka's."""
    given = request.get("MetricsConfig", before.get("MetricsConfig")) or {}
    wanted: list[str] = given.get("Metrics") or []
    for kind in wanted:
        if kind != "EventCount":
            raise names.bad(
                "metricsConfig.metrics",
                f"[{kind}]",
                "Member must satisfy constraint: [Member must satisfy enum value set: [EventCount]]",
            )
    return wanted


def _filters(request: Request, before: dict[str, Any]) -> dict[str, Any] | None:
    given = request.get("FilterCriteria")
    if given is None:
        found: dict[str, Any] | None = before.get("FilterCriteria")
        return found
    return filters(given)


def filters(given: dict[str, Any]) -> dict[str, Any] | None:
    """A FilterCriteria as it is kept; None for one without filters. Raises Fault."""
    wanted = given.get("Filters") or []
    if len(wanted) > FILTERS_MAX:
        raise names.invalid(f"Only up to {FILTERS_MAX} filters are allowed.")
    for one in wanted:
        try:
            compile_pattern(one.get("Pattern") or "")
        except PatternError as error:
            raise names.invalid("Invalid filter pattern definition.") from error
    return {"Filters": wanted} if wanted else None
