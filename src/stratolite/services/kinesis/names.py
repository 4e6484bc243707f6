"""Which stream, shard or consumer a request means, and how AWS words what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from stratolite.errors import Fault
from stratolite.service import Call, Request

_ARN = re.compile(
    r"arn:aws:kinesis:([a-z0-9-]+):(\d{12}):stream/([a-zA-Z0-9_.-]+)"
    r"(?:/consumer/([a-zA-Z0-9_.-]+):(\d+))?\Z"
)
_NAME = re.compile(r"[a-zA-Z0-9_.-]+\Z")
_HASH_KEY = re.compile(r"(0|[1-9][0-9]{0,38})\Z")
_SHARD = re.compile(r"(?:shardId-)?(\d{1,12})\Z")


class Ref(NamedTuple):
    account: str
    region: str
    name: str

    @property
    def arn(self) -> str:
        return f"arn:aws:kinesis:{self.region}:{self.account}:stream/{self.name}"

    def measure(self, call: Call, name: str, value: float, unit: str = "Count") -> None:
        """A sample of one of AWS/Kinesis's metrics of the stream."""
        dimensions = (("StreamName", self.name),)
        call.cloud.measure(self.account, self.region, "AWS/Kinesis", dimensions, name, value, unit)

    def measure_shard(
        self,
        call: Call,
        wanted: Sequence[str],
        number: int,
        samples: Mapping[str, tuple[float, str]],
    ) -> None:
        """What of ``samples`` (metric -> value, unit) the stream's enhanced monitoring wants of a shard.

        https://docs.aws.amazon.com/streams/latest/dev/monitoring-with-cloudwatch.html#kinesis-metrics-shard
        """
        for name in wanted:
            if name in samples:
                value, unit = samples[name]
                dimensions = (("StreamName", self.name), ("ShardId", shard_id(number)))
                call.cloud.measure(
                    self.account, self.region, "AWS/Kinesis", dimensions, name, value, unit
                )


class ConsumerRef(NamedTuple):
    stream: Ref
    name: str
    created_s: int

    @property
    def arn(self) -> str:
        return f"{self.stream.arn}/consumer/{self.name}:{self.created_s}"


def stream(call: Call, request: Request) -> Ref:
    """The stream of StreamName or StreamARN. Raises Fault."""
    if request.get("StreamId"):  # "Not Implemented. Reserved for future use.", AWS says
        raise not_offered("StreamId")
    arn, name = request.get("StreamARN"), request.get("StreamName")
    if arn:
        ref = from_arn(arn)
        if name and name != ref.name:
            raise Fault(
                "InvalidArgumentException",
                f"StreamARN {arn} and StreamName {name} do not match.",
            )
        return ref
    if not name:
        raise Fault(
            "InvalidArgumentException", "Either StreamName or StreamARN should be provided."
        )
    check_name("streamName", name)
    return Ref(call.account, call.region, name)


def from_arn(arn: str) -> Ref:
    """Of a stream's ARN, or of a consumer's, whose stream it is."""
    match = _ARN.match(arn)
    if match is None:
        raise invalid(
            "streamARN", arn, "Member must satisfy regular expression pattern: "
            r"arn:aws.*:kinesis:.*:\d{12}:stream/\S+",
        )  # fmt: skip
    region, account, name, _, _ = match.groups()
    return Ref(account, region, name)


def consumer_from_arn(arn: str) -> ConsumerRef | None:
    """None for what is no consumer's ARN."""
    match = _ARN.match(arn)
    if match is None or match[4] is None:
        return None
    region, account, name, consumer, created = match.groups()
    return ConsumerRef(Ref(account, region, name), consumer, int(created))


def check_name(field: str, name: str) -> None:
    if not 1 <= len(name) <= 128:
        side = "greater than or equal to 1" if not name else "less than or equal to 128"
        raise invalid(field, name, f"Member must have length {side}")
    if not _NAME.match(name):
        raise invalid(
            field, name, "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
        )


def shard_id(number: int) -> str:
    return f"shardId-{number:012d}"


def shard_number(ref: Ref, given: str) -> int:
    """Raises Fault for what is no shard's id."""
    match = _SHARD.match(given)
    if match is None or int(match[1]) >= 1 << 31:
        raise no_shard(ref, given)
    return int(match[1])


def hash_key(field: str, given: str) -> int:
    """Raises Fault for what is no decimal of up to 39 digits."""
    if not _HASH_KEY.match(given):
        raise invalid(
            field, given, r"Member must satisfy regular expression pattern: 0|([1-9]\d{0,38})"
        )
    return int(given)


# -- faults


def invalid(field: str, value: Any, constraint: str) -> Fault:
    return Fault(
        "ValidationException",
        f"1 validation error detected: Value '{value}' at '{field}' failed to satisfy constraint: {constraint}",
    )


def between(field: str, value: int, low: int, high: int) -> None:
    if value < low:
        raise invalid(field, value, f"Member must have value greater than or equal to {low}")
    if value > high:
        raise invalid(field, value, f"Member must have value less than or equal to {high}")


def no_stream(ref: Ref) -> Fault:
    return Fault(
        "ResourceNotFoundException", f"Stream {ref.name} under account {ref.account} not found."
    )


def no_shard(ref: Ref, shard: str) -> Fault:
    return Fault(
        "ResourceNotFoundException",
        f"Could not find shard {shard} in stream {ref.name} under account {ref.account}.",
    )


def rate_exceeded(ref: Ref, number: int) -> str:
    return f"Rate exceeded for shard {shard_id(number)} in stream {ref.name} under account {ref.account}."


def not_on_demand(ref: Ref) -> Fault:
    return Fault(
        "ValidationException",
        f"Request is invalid. Stream {ref.name} under account {ref.account} is in On-Demand mode.",
    )


def not_offered(what: str) -> Fault:
    return Fault(
        "InvalidArgumentException", f"{what} is not offered by Stratolite; see docs/coverage.md"
    )
