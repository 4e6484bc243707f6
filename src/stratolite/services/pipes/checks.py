"""What a pipe may say."""

from __future__ import annotations

from typing import Any

from stratolite import delivery, http_targets
from stratolite.errors import Fault
from stratolite.input_template import placeholders, steps
from stratolite.patterns import PatternError, compile_pattern
from stratolite.service import Call, Cloud
from stratolite.services.pipes import targets

_SOURCES = {"sqs": "SqsQueueParameters", "kinesis": "KinesisStreamParameters", "dynamodb": "DynamoDBStreamParameters"}  # fmt: skip
_READERS = {"sqs": "sqs", "kinesis": "kinesis", "dynamodb": "dynamodbstreams"}
_OWN = frozenset((
    "aws.pipes.pipe-arn", "aws.pipes.pipe-name", "aws.pipes.source-arn", "aws.pipes.enrichment-arn", "aws.pipes.target-arn",
    "aws.pipes.event.ingestion-time", "aws.pipes.event", "aws.pipes.event.json",
))  # fmt: skip
_TARGET_PARAMETERS = {
    "LambdaFunctionParameters", "StepFunctionStateMachineParameters", "KinesisStreamParameters", "SqsQueueParameters",
    "EventBridgeEventBusParameters", "CloudWatchLogsParameters", "HttpParameters", "InputTemplate",
}  # fmt: skip
_BATCH_MAX = 10_000
_BATCH = {"sqs": 10, "kinesis": 100, "dynamodb": 100}


SOURCES_NOT_OFFERED = (
    "ActiveMQBrokerParameters", "ManagedStreamingKafkaParameters", "RabbitMQBrokerParameters", "SelfManagedKafkaParameters",
)  # fmt: skip
TARGETS_NOT_OFFERED = (
    "BatchJobParameters", "EcsTaskParameters", "RedshiftDataParameters", "SageMakerPipelineParameters",
    "TimestreamParameters",
)  # fmt: skip
"""What AWS has beside them."""


def invalid(message: str) -> Fault:
    return Fault("ValidationException", message, status=400)


def kind_of(arn: str) -> str:
    return delivery.parse(arn).service


def parameters_of(request: dict[str, Any]) -> dict[str, Any]:
    """Those of the pipe's source."""
    found: dict[str, Any] = (request.get("SourceParameters") or {}).get(_SOURCES[kind_of(request["Source"])]) or {}  # fmt: skip
    return found


def shown(request: dict[str, Any]) -> dict[str, Any]:
    """The source's parameters as DescribePipe answers them: with the batches they mean.

    hashicorp/terraform-provider-aws, internal/service/pipes/pipe_test.go, says what AWS answers.
    """
    batches = {"BatchSize": batch_size(request), "MaximumBatchingWindowInSeconds": 0}
    kind = _SOURCES[kind_of(request["Source"])]
    given = request.get("SourceParameters") or {}
    return given | {kind: batches | parameters_of(request)}


def check(call: Call, request: dict[str, Any]) -> None:
    """Raises Fault for a pipe AWS would not take, or we could not carry out."""
    _check_logs(request.get("LogConfiguration") or {})
    _check_source(call, request)
    if enrichment := request.get("Enrichment"):
        check_enrichment(enrichment, call.cloud)
        about = request.get("EnrichmentParameters") or {}
        _check_http(enrichment, about, "EnrichmentParameters")
        _check_template(about.get("InputTemplate"))
    _check_target(call, request)
    most, asked = batch_max(request), parameters_of(request).get("BatchSize", 1)
    if asked > most:
        raise invalid(f"BatchSize {asked} is more than the enrichment and target of the pipe take at once, which is {most}.")  # fmt: skip


def batch_max(request: dict[str, Any]) -> int:
    """How many records the enrichment and the target take at once.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-batching-concurrency.html
    """
    most = targets.BATCH_MAX.get(targets.kind_of(request["Target"]), _BATCH_MAX)
    enrichment = request.get("Enrichment")
    return 1 if enrichment and targets.kind_of(enrichment) == "http" else most


def batch_size(request: dict[str, Any]) -> int:
    asked: int = parameters_of(request).get("BatchSize") or _BATCH[kind_of(request["Source"])]
    return min(asked, batch_max(request))


def check_enrichment(arn: str, cloud: Cloud | None = None) -> None:
    """Raises Fault for what enriches nothing here, as far as can be said without ``cloud``."""
    try:
        kind = targets.kind_of(arn)
        if kind == "http":
            if cloud is not None:
                http_targets.check(cloud, arn)
            return
    except ValueError as error:
        raise _not_offered(f"Enrichment {arn}") from error
    if kind not in ("lambda", "states") or (kind == "states" and ":stateMachine:" not in arn):
        raise _not_offered(f"Enrichment {arn}")


def _check_http(arn: str, about: dict[str, Any], member: str) -> None:
    if "HttpParameters" not in about:
        return
    if targets.kind_of(arn) != "http":
        raise invalid(f"{member}.HttpParameters do not belong to {arn}.")
    try:
        http_targets.check_headers(arn, about["HttpParameters"])
    except ValueError as error:
        raise invalid(f"{member}.HttpParameters are not valid: {error}.") from error


def _check_logs(config: dict[str, Any]) -> None:
    if (bucket := config.get("S3LogDestination")) and bucket.get("OutputFormat", "json") != "json":
        raise invalid(
            "S3LogDestination.OutputFormat must be json."
        )  # as AWS's page of the member says
    named = any(config.get(kind) for kind in ("CloudwatchLogsLogDestination", "FirehoseLogDestination", "S3LogDestination"))  # fmt: skip
    if config.get("Level", "OFF") != "OFF" and not named:
        raise invalid("LogConfiguration must have a destination when its Level is not OFF.")


def _check_source(call: Call, request: dict[str, Any]) -> None:
    source = request["Source"]
    kind = check_source_arn(source)
    if _READERS[kind] not in call.cloud.services:
        raise _not_offered(f"Source {source}")
    about = request.get("SourceParameters") or {}
    if foreign := about.keys() - {_SOURCES[kind], "FilterCriteria"}:
        raise invalid(f"Source parameters {min(foreign)} do not belong to the source {source}.")  # fmt: skip
    own = parameters_of(request)
    if kind != "sqs" and "StartingPosition" not in own:
        raise invalid(f"{_SOURCES[kind]}.StartingPosition must be provided.")
    if own.get("StartingPosition") == "AT_TIMESTAMP" and "StartingPositionTimestamp" not in own:
        raise invalid("StartingPositionTimestamp must be provided where StartingPosition is AT_TIMESTAMP.")  # fmt: skip
    for one in (about.get("FilterCriteria") or {}).get("Filters") or ():
        check_filter(one.get("Pattern") or "")


def check_filter(pattern: str) -> None:
    """Raises Fault for a pattern that is none."""
    try:
        compile_pattern(pattern)
    except PatternError as error:
        raise invalid(f"Event pattern is not valid. Reason: {error}") from error


def check_source_arn(source: str) -> str:
    """The kind of source. Raises Fault for one that nothing is read from here."""
    try:
        kind = kind_of(source)
    except ValueError as error:
        raise _not_offered(f"Source {source}") from error
    if kind not in _SOURCES:
        raise _not_offered(f"Source {source}")
    if kind == "dynamodb" and "/stream/" not in source:
        raise invalid(f"Source {source} is not the ARN of a stream.")
    return kind


def check_target_arn(target: str, cloud: Cloud | None = None) -> str:
    """The kind of target. Raises Fault for one that nothing can be sent to, as far as can be said without ``cloud``."""
    try:
        parsed = delivery.parse(target)
        if parsed.service == "events" and parsed.resource.startswith("event-bus/"):
            return "events"
        if http_targets.is_http(target):
            if cloud is not None:
                http_targets.check(cloud, target)
            return "http"
        return delivery.kind_of(target) if cloud is None else delivery.check(cloud, target)
    except ValueError as error:
        raise invalid(f"Target {target} is not offered: {error}.") from error


def _check_target(call: Call, request: dict[str, Any]) -> None:
    target = request["Target"]
    kind = check_target_arn(target, call.cloud)
    about = request.get("TargetParameters") or {}
    if foreign := about.keys() - _TARGET_PARAMETERS:
        raise _not_offered(f"TargetParameters.{min(foreign)}")
    if (about.get("EventBridgeEventBusParameters") or {}).get("EndpointId"):
        raise _not_offered("EventBridgeEventBusParameters.EndpointId")
    if kind == "kinesis" and "KinesisStreamParameters" not in about:
        raise invalid("KinesisStreamParameters.PartitionKey must be provided.")
    if kind == "sqs" and target.endswith(".fifo") and not (about.get("SqsQueueParameters") or {}).get("MessageGroupId"):  # fmt: skip
        raise invalid("SqsQueueParameters.MessageGroupId must be provided for a FIFO queue.")
    if kind == "sns" and target.endswith(".fifo"):
        raise invalid(f"Target {target} is not supported: it is a FIFO topic.")
    _check_http(target, about, "TargetParameters")
    _check_template(about.get("InputTemplate"))


def _check_template(template: str | None) -> None:
    for name in placeholders(template or ""):
        if name in _OWN:
            continue
        try:
            steps(name)
        except ValueError as error:
            raise invalid(f"Invalid InputTemplate: {name} is not a path.") from error


def _not_offered(what: str) -> Fault:
    return invalid(f"{what} is not offered by Stratolite; see docs/coverage.md")
