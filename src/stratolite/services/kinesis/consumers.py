"""Registered consumers and their subscriptions: records pushed as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.kinesis import names, quotas, sequence, state
from stratolite.services.kinesis.accounts import is_committed
from stratolite.services.kinesis.dry_runs import DryRuns
from stratolite.services.kinesis.names import ConsumerRef, Ref
from stratolite.services.kinesis.reading import Page, outgoing, page, start
from stratolite.services.kinesis.sequence import Position
from stratolite.services.kinesis.streams import check_tags, known

_PAGE = 100


class Consumers(DryRuns):
    def register_stream_consumer(self, call: Call, request: Request) -> Response:
        ref = names.stream(call, request)
        name = request["ConsumerName"]
        names.check_name("consumerName", name)
        stream = known(call, ref)
        tags = request.get("Tags") or {}
        check_tags(tags)
        if state.get_consumer(call.tx, ref, stream, name) is not None:
            raise Fault(
                "ResourceInUseException",
                f"Consumer {name} under stream {ref.name} already exists for account {ref.account}.",
            )
        most = quotas.CONSUMERS_MAX
        if stream["mode"] == "ON_DEMAND" and is_committed(call):
            most = quotas.CONSUMERS_ADVANTAGE_MAX
        if sum(1 for _ in state.consumers(call.tx, ref, stream)) >= most:
            raise Fault(
                "LimitExceededException",
                f"This request would exceed the consumer limit of {most} for the stream {ref.name}.",
            )
        consumer = {"created_s": int(call.tx.time_s), "tags": tags, "policy": ""}
        state.put_consumer(call.tx, ref, stream, name, consumer)
        return {"Consumer": _described(ref, name, consumer)}

    def deregister_stream_consumer(self, call: Call, request: Request) -> Response:
        ref, stream, name, _ = self._consumer(call, request)
        state.drop_consumer(call.tx, ref, stream, name)
        return {}

    def describe_stream_consumer(self, call: Call, request: Request) -> Response:
        ref, _, name, consumer = self._consumer(call, request)
        return {"ConsumerDescription": _described(ref, name, consumer) | {"StreamARN": ref.arn}}

    def list_stream_consumers(self, call: Call, request: Request) -> Response:
        ref = names.stream(call, request)
        stream = known(call, ref)
        created = request.get("StreamCreationTimestamp")
        if created is not None and int(created) != stream["created_s"]:
            raise names.no_stream(ref)
        limit = request.get("MaxResults", _PAGE)
        names.between("maxResults", limit, 1, 10_000)
        shown: list[dict[str, Any]] = []
        answer: Response = {"Consumers": shown}
        rows = state.consumers(call.tx, ref, stream, request.get("NextToken") or "")
        for name, consumer in rows:
            if len(shown) >= limit:
                answer["NextToken"] = shown[-1]["ConsumerName"]
                break
            shown.append(_described(ref, name, consumer))
        return answer

    def _consumer(
        self, call: Call, request: Request
    ) -> tuple[Ref, state.Record, str, state.Record]:
        if arn := request.get("ConsumerARN"):
            given = names.consumer_from_arn(arn)
            if given is None:
                raise names.invalid(
                    "consumerARN", arn, "Member must satisfy regular expression pattern: "
                    r"^(arn):aws.*:kinesis:.*:\d{12}:.*stream\/[a-zA-Z0-9_.-]+\/consumer\/[a-zA-Z0-9_.-]+:[0-9]+",
                )  # fmt: skip
            return consumer_of(call, given)
        if not request.get("StreamARN") or not request.get("ConsumerName"):
            raise Fault(
                "InvalidArgumentException",
                "Either ConsumerARN or both StreamARN and ConsumerName should be provided.",
            )
        ref = names.stream(call, request)
        stream = known(call, ref)
        name = request["ConsumerName"]
        consumer = state.get_consumer(call.tx, ref, stream, name)
        if consumer is None:
            raise Fault(
                "ResourceNotFoundException",
                f"Consumer {name} under stream {ref.name} not found for account {ref.account}.",
            )
        return ref, stream, name, consumer

    # -- subscriptions

    async def subscribe_to_shard(self, call: Call, request: Request) -> Response:
        token = call.world.token(8).hex()

        def begin(inner: Call) -> tuple[Ref, str, int, Position]:
            ref, stream, name, _ = self._consumer(inner, request)
            number = names.shard_number(ref, request["ShardId"])
            wanted = request["StartingPosition"]
            given, time_s = wanted.get("SequenceNumber"), wanted.get("Timestamp")
            at = start(inner, ref, stream, number, wanted.get("Type"), given, time_s)
            key = state.subscription_key(ref, stream, name, number)
            raw = inner.tx.get(key)
            now_s = inner.tx.time_s
            if raw is not None:
                other = orjson.loads(raw)
                if now_s - other["since_s"] < quotas.SUBSCRIPTION_TAKEOVER_S:
                    raise Fault(
                        "ResourceInUseException",
                        f"Another active subscription exists for this consumer: {ref.account}:{ref.name}:"
                        f"{names.shard_id(number)}:{name}",
                    )
            self.end_if_dry(call, request, ref)
            inner.tx.put(key, orjson.dumps({"token": token, "since_s": now_s}))
            return ref, name, number, at

        if request.get("StreamId"):
            raise names.not_offered("StreamId")
        ref, name, number, at = await call.transact(begin)
        return {"EventStream": self._events(call, ref, name, number, at, token)}

    async def _events(
        self, call: Call, ref: Ref, name: str, number: int, at: Position, token: str
    ) -> AsyncIterator[dict[str, Any]]:
        """For five minutes, or until another takes over or the shard ends."""
        until_s = call.world.cloud() + quotas.SUBSCRIPTION_S
        is_first = True
        try:
            while True:
                found = await call.transact(
                    self._next_event(ref, name, number, at, token, until_s, wait=not is_first)
                )
                if found is None:
                    return
                event, at, is_last = found
                is_first = False
                yield {"SubscribeToShardEvent": event}
                if is_last:
                    return
        finally:
            await call.transact(lambda inner: _leave(inner, ref, name, number, token))

    def _next_event(
        self,
        ref: Ref,
        name: str,
        number: int,
        at: Position,
        token: str,
        until_s: float,
        *,
        wait: bool,
    ) -> Any:
        heartbeat_s = 0.0

        def run(inner: Call) -> tuple[dict[str, Any], Position, bool] | None:
            nonlocal heartbeat_s
            tx = inner.tx
            if tx.time_s >= until_s:
                return None
            stream = known(inner, ref)
            key = state.subscription_key(ref, stream, name, number)
            raw = tx.get(key)
            shard = state.get_shard(tx, ref, stream, number)
            if raw is None or orjson.loads(raw)["token"] != token or shard is None:
                return None
            found = page(
                inner, ref, stream, number, at, quotas.GET_RECORDS_MAX, quotas.SUBSCRIPTION_EVENT_BYTES
            )  # fmt: skip
            heartbeat_s = heartbeat_s or tx.time_s + quotas.HEARTBEAT_S
            if wait and not found.records and not found.is_over and tx.time_s < heartbeat_s:
                spans = [
                    state.block_span(ref, stream, number),
                    state.shard_span(ref, stream, number),
                    (key, key + b"\0"),
                ]
                tx.wait(spans, min(heartbeat_s, until_s))
            ref.measure_shard(inner, stream["metrics"], number, outgoing(found))
            _measure_event(inner, ref, name, found)
            last = found.next
            order = max((last.stamp << sequence.INDEX_BITS) + last.place - 1, 0)
            event: dict[str, Any] = {
                "Records": found.records,
                "ContinuationSequenceNumber": found.records[-1]["SequenceNumber"]
                if found.records
                else sequence.text(
                    shard["created_s"], number, order, max(int(tx.time_s), shard["created_s"])
                ),
                "MillisBehindLatest": found.behind_ms,
            }
            if found.children:
                event["ChildShards"] = found.children
            if found.is_over:
                del event["ContinuationSequenceNumber"]
            return event, last, found.is_over

        return run


def _measure_event(call: Call, ref: Ref, name: str, found: Page) -> None:
    dimensions = (("ConsumerName", name), ("StreamName", ref.name))
    place = ref.account, ref.region, "AWS/Kinesis", dimensions
    behind_ms = float(found.behind_ms)
    call.cloud.measure(*place, "SubscribeToShardEvent.Success")
    call.cloud.measure(*place, "SubscribeToShardEvent.Bytes", found.size_bytes, "Bytes")
    call.cloud.measure(*place, "SubscribeToShardEvent.Records", len(found.records))
    call.cloud.measure(*place, "SubscribeToShardEvent.MillisBehindLatest", behind_ms, "Milliseconds")  # fmt: skip


def consumer_of(call: Call, given: ConsumerRef) -> tuple[Ref, state.Record, str, state.Record]:
    """Raises Fault if there is no such consumer any more."""
    ref = given.stream
    stream = state.get_stream(call.tx, ref)
    consumer = stream and state.get_consumer(call.tx, ref, stream, given.name)
    if stream is None or not consumer or consumer["created_s"] != given.created_s:
        raise Fault(
            "ResourceNotFoundException",
            f"Consumer {given.arn} under account {ref.account} not found.",
        )
    return ref, stream, given.name, consumer


def _leave(call: Call, ref: Ref, name: str, number: int, token: str) -> None:
    stream = state.get_stream(call.tx, ref)
    if stream is not None:
        key = state.subscription_key(ref, stream, name, number)
        raw = call.tx.get(key)
        if raw is not None and orjson.loads(raw)["token"] == token:
            call.tx.delete(key)


def _described(ref: Ref, name: str, consumer: state.Record) -> dict[str, Any]:
    created_s = consumer["created_s"]
    return {
        "ConsumerName": name,
        "ConsumerARN": ConsumerRef(ref, name, created_s).arn,
        "ConsumerStatus": "ACTIVE",
        "ConsumerCreationTimestamp": created_s,
    }
