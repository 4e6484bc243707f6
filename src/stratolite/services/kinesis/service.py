"""Kinesis's operations, put together from their topics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from stratolite.core import Span
from stratolite.errors import Fault
from stratolite.service import Access, Call, Cloud, Request, Resource, Service, Tagged, Worker
from stratolite.services.kinesis import iterators, names, state, worker
from stratolite.services.kinesis.accounts import Accounts
from stratolite.services.kinesis.consumers import Consumers
from stratolite.services.kinesis.policies import Policies
from stratolite.services.kinesis.reading import Reading
from stratolite.services.kinesis.resharding import Resharding, next_token
from stratolite.services.kinesis.streams import Streams
from stratolite.services.kinesis.writing import Writing

_ON_NOTHING = frozenset(
    {"ListStreams", "DescribeLimits", "DescribeAccountSettings", "UpdateAccountSettings"}
)
_TAGGING = {
    "CreateStream": "kinesis:AddTagsToStream",
    "RegisterStreamConsumer": "kinesis:TagResource",
}
"""What else must be allowed to whoever makes something with tags, as the API reference says."""


class Kinesis(Streams, Resharding, Writing, Reading, Consumers, Policies, Accounts, Service):
    name: ClassVar[str] = "kinesis"

    tag_types: ClassVar[tuple[str, ...]] = ("kinesis:stream",)

    def tagged(self, call: Call, kind: str, after: str) -> Iterator[Tagged]:
        where = f"arn:aws:kinesis:{call.region}:{call.account}:stream"
        for name, record in state.streams(call.tx, call.keys("kinesis"), after):
            yield Tagged(name, f"{where}/{name}", record["tags"])

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self._read = {}
        self._dry = {}

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        resource = _resource(call, operation, request)
        needed = (f"kinesis:{operation}", resource)
        if request.get("Tags") and (tagging := _TAGGING.get(operation)):
            if operation == "RegisterStreamConsumer":
                resource = f"{resource}/consumer/{request['ConsumerName']}:*"
            return (needed, (tagging, resource))
        return (needed,)

    def alone(self, call: Call, operation: str, request: Request) -> Sequence[str] | None:
        """An own stream or consumer without a policy, or none at all."""
        arn = _resource(call, operation, request)
        if arn == "*" or (operation in _TAGGING and request.get("Tags")):
            return ()
        return (arn,) if _is_of(call.account, arn) and not self.resource_policy(call, arn) else None

    def resource_policy(self, call: Call, resource: str) -> str | None:
        try:
            ref = names.from_arn(resource)
        except Fault:
            return None
        stream = state.get_stream(call.tx, ref)
        consumer = names.consumer_from_arn(resource)
        if stream is None or consumer is None:
            return (stream["policy"] or None) if stream else None
        found = state.get_consumer(call.tx, ref, stream, consumer.name)
        return (found["policy"] or None) if found else None

    def news(self, call: Call, source: str, part: str) -> Sequence[Span]:
        ref = names.from_arn(source)
        stream = state.get_stream(call.tx, ref)
        if stream is None:
            return ()
        if not part:  # its shards
            key = state.keys_of(ref).key("route", stream["id"])
            return ((key, key + b"\0"),)
        number = names.shard_number(ref, part)
        return (
            state.block_span(ref, stream, number),
            state.shard_span(ref, stream, number),
        )

    def workers(self) -> Iterable[Worker]:
        return worker.workers(self.cloud)

    def resources(self) -> Iterable[Resource]:
        from stratolite.services.kinesis.resources import RESOURCES

        return RESOURCES


def _is_of(account: str, arn: str) -> bool:
    """Whether it is an ARN of that account. What is no ARN is nobody's; the operation says so."""
    return arn.split(":", 5)[4:5] == [account]


def _resource(call: Call, operation: str, request: Request) -> str:
    """The ARN a request is about; "*" if it is about none, or none that can be told."""
    if operation in _ON_NOTHING:
        return "*"
    for member in ("ConsumerARN", "StreamARN", "ResourceARN"):
        if arn := request.get(member):
            name = request.get("ConsumerName")
            if member == "StreamARN" and name and operation != "RegisterStreamConsumer":
                return _consumer_arn(call, str(arn), name)
            return str(arn)
    if name := request.get("StreamName"):
        return names.Ref(call.account, call.region, name).arn
    try:
        if given := request.get("ShardIterator"):
            return iterators.read(given).stream.arn
        if given := request.get("NextToken"):
            return names.Ref(*next_token(given)["stream"]).arn
    except Fault:  # the operation says what is wrong with it
        pass
    return "*"


def _consumer_arn(call: Call, stream_arn: str, name: str) -> str:
    """Consumers named with their stream: their ARN has the time they were made."""
    try:
        ref = names.from_arn(stream_arn)
    except Fault:
        return stream_arn
    stream = state.get_stream(call.tx, ref)
    consumer = stream and state.get_consumer(call.tx, ref, stream, name)
    if not consumer:
        return f"{stream_arn}/consumer/{name}:0"
    return names.ConsumerRef(ref, name, consumer["created_s"]).arn
