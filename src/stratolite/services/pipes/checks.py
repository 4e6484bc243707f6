"""What a pipe may say."""

from __future__ import annotations

from typing import Any

from stratolite import delivery
from stratolite.errors import Fault
from stratolite.input_template import placeholders, steps
from stratolite.patterns import PatternError, compile_pattern
from stratolite.service import Call, Cloud

_SOURCES = {"sqs": "SqsQueueParameters", "kinesis": "KinesisStreamParameters", "dynamodb": "DynamoDBStreamParameters"}  # fmt: skip
_READERS = {"sqs": "sqs", "kinesis": "kinesis", "dynamodb": "dynamodbstreams"}
_OWN = frozenset((
    "aws.pipes.pipe-arn", "aws.pipes.pipe-name", "aws.pipes.source-arn", "aws.pipes.enrichment-arn", "aws.pipes.target-arn",
    "aws.pipes.event.ingestion-time", "aws.pipes.event", "aws.pipes.event.json",
))  # fmt: skip
_TARGET_PARAMETERS = {
    "LambdaFunctionParameters", "StepFunctionStateMachineParameters", "KinesisStreamParameters", "SqsQueueParameters",
    "EventBridgeEventBusParameters", "CloudWatchLogsParameters", "InputTemplate",
}  # fmt: skip


SOURCES_NOT_OFFERED = (
    "ActiveMQBrokerParameters", "ManagedStreamingKafkaParameters", "RabbitMQBrokerParameters", "SelfManagedKafkaParameters",
)  # fmt: skip
TARGETS_NOT_OFFERED = (
    "BatchJobParameters", "EcsTaskParameters", "HttpParameters", "RedshiftDataParameters", "SageMakerPipelineParameters",
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


def check(call: Call, request: dict[str, Any]) -> None:
    """Raises Fault for a pipe AWS would not take, or we could not carry out."""
    if request.get("KmsKeyIdentifier"):
        raise _not_offered("KmsKeyIdentifier")
    _check_logs(request.get("LogConfiguration") or {})
    _check_source(call, request)
    if enrichment := request.get("Enrichment"):
        check_enrichment(enrichment)
        about = request.get("EnrichmentParameters") or {}
        if about.get("HttpParameters"):
            raise _not_offered("EnrichmentParameters.HttpParameters")
        _check_template(about.get("InputTemplate"))
    _check_target(call, request)


def check_enrichment(arn: str) -> None:
    """Raises Fault for what enriches nothing here."""
    kind = kind_of(arn) if arn.startswith("arn:") else ""
    if kind not in ("lambda", "states") or (kind == "states" and ":stateMachine:" not in arn):
        raise _not_offered(f"Enrichment {arn}")


def _check_logs(config: dict[str, Any]) -> None:
    if config.get("S3LogDestination"):
        raise _not_offered("LogConfiguration.S3LogDestination")
    named = config.get("CloudwatchLogsLogDestination") or config.get("FirehoseLogDestination")
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
    if own.get("ParallelizationFactor", 1) != 1:
        raise _not_offered("ParallelizationFactor above 1")
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
