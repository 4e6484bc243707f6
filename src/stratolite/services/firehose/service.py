"""Firehose's operations, put together from their topics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

from stratolite.service import Access, Call, Request, Resource, Service, Tagged, Worker
from stratolite.services.firehose import delivery, state
from stratolite.services.firehose.source import Source
from stratolite.services.firehose.streams import Streams
from stratolite.services.firehose.writing import Writing


class Firehose(Streams, Writing, Service):
    name: ClassVar[str] = "firehose"

    tag_types: ClassVar[tuple[str, ...]] = ("firehose:deliverystream",)

    def tagged(self, call: Call, kind: str, after: str) -> Iterator[Tagged]:
        where = f"arn:aws:firehose:{call.region}:{call.account}:deliverystream"
        for name, record in state.streams(call.tx, call.keys("firehose"), after):
            yield Tagged(name, f"{where}/{name}", record["tags"])

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        action = f"firehose:{operation}"
        if operation == "ListDeliveryStreams":
            return ((action, "*"),)
        name = request.get("DeliveryStreamName", "*")
        arn = f"arn:aws:firehose:{call.region}:{call.account}:deliverystream/{name}"
        roles = dict.fromkeys(_roles(request))  # who may not be a role must not act as it
        needed = [(action, arn), *(("iam:PassRole", role) for role in roles)]
        if operation == "CreateDeliveryStream" and request.get("Tags"):
            needed.append(("firehose:TagDeliveryStream", arn))
        return needed

    def condition_keys(
        self, call: Call, operation: str, request: Request, needed: Access
    ) -> dict[str, list[str]]:
        keys = super().condition_keys(call, operation, request, needed)
        if needed[0] == "iam:PassRole":
            keys["iam:passedtoservice"] = ["firehose.amazonaws.com"]
        return keys

    def workers(self) -> Iterable[Worker]:
        return (*delivery.workers(self.cloud), Source(self.cloud))

    def resources(self) -> Iterable[Resource]:
        from stratolite.services.firehose.resources import RESOURCES

        return RESOURCES


def _roles(value: Any) -> Iterable[str]:
    """All the roles a request names."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in ("RoleARN", "RoleArn") and isinstance(inner, str):
                yield inner
            elif isinstance(inner, dict | list):
                yield from _roles(inner)
        if value.get("ParameterName") == "RoleArn":
            yield str(value.get("ParameterValue"))
    elif isinstance(value, list):
        for inner in value:
            yield from _roles(inner)
