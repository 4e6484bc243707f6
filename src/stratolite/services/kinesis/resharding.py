"""Splitting and merging shards, and listing them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.kinesis import layout, names, quotas, state
from stratolite.services.kinesis.names import Ref
from stratolite.services.kinesis.streams import (
    BY_KEY,
    check_warm,
    described_shard,
    found,
    known,
    new_shard,
    room_for,
    wanted_mode,
    wanted_warm,
)

_DAY_S = 86_400.0
_FILTERS = (
    "AFTER_SHARD_ID",
    "AT_TRIM_HORIZON",
    "FROM_TRIM_HORIZON",
    "AT_LATEST",
    "AT_TIMESTAMP",
    "FROM_TIMESTAMP",
)
_PAGE = 1000


class Resharding(Service):
    def split_shard(self, call: Call, request: Request) -> Response:
        ref, stream = found(call, request)
        if stream["mode"] == "ON_DEMAND":
            raise names.not_on_demand(ref)
        number, shard = _open(call, ref, stream, request["ShardToSplit"])
        border = names.hash_key("newStartingHashKey", request["NewStartingHashKey"])
        start, end = int(shard["start"]), int(shard["end"])
        if not start + 1 < border < end:
            raise Fault(
                "InvalidArgumentException",
                f"NewStartingHashKey {border} used in SplitShard() on shard {names.shard_id(number)} in stream"
                f" {ref.name} under account {ref.account} is not both greater than one plus the shard's"
                f" StartingHashKey {start} and less than the shard's EndingHashKey {end}.",
            )
        split(call, ref, stream, number, border)
        return {}

    def merge_shards(self, call: Call, request: Request) -> Response:
        ref, stream = found(call, request)
        if stream["mode"] == "ON_DEMAND":
            raise names.not_on_demand(ref)
        one, low = _open(call, ref, stream, request["ShardToMerge"])
        other, high = _open(call, ref, stream, request["AdjacentShardToMerge"])
        if int(low["end"]) + 1 != int(high["start"]):
            raise Fault(
                "InvalidArgumentException",
                f"Shards {names.shard_id(one)} and {names.shard_id(other)} in stream {ref.name} under account"
                f" {ref.account} are not an adjacent pair of shards eligible for merging",
            )
        both = layout.Span(stream["next_shard"], int(low["start"]), int(high["end"]))
        apply(call, ref, stream, [layout.Step((one, other), (both,))])
        return {}

    def update_shard_count(self, call: Call, request: Request) -> Response:
        ref, stream = found(call, request)
        wanted = request["TargetShardCount"]
        if request["ScalingType"] != "UNIFORM_SCALING":
            raise names.invalid(
                "scalingType",
                request["ScalingType"],
                "Member must satisfy enum value set: [UNIFORM_SCALING]",
            )
        if wanted < 1:
            raise names.invalid(
                "targetShardCount", wanted, "Member must have value greater than or equal to 1"
            )
        if stream["mode"] == "ON_DEMAND":
            raise names.not_on_demand(ref)
        shards = _spans(call, ref, stream)
        count = len(shards)
        if wanted == count:
            raise Fault(
                "InvalidArgumentException",
                f"TargetShardCount equals the current open shard count of {count} of stream {ref.name} under account"
                f" {ref.account}.",
            )
        side = "more than double" if wanted > 2 * count else "below half"
        if wanted > 2 * count or 2 * wanted < count:
            raise Fault(
                "LimitExceededException",
                f"UpdateShardCount cannot scale {side} the current open shard count. Current open shard count:"
                f" {count} Target shard count: {wanted}",
            )
        recent = [t for t in stream["resized_s"] if t > call.tx.time_s - _DAY_S]
        if len(recent) >= quotas.RESIZES_A_DAY_MAX:
            raise Fault(
                "LimitExceededException",
                f"You have reached the maximum of {quotas.RESIZES_A_DAY_MAX} UpdateShardCount operations per rolling"
                " 24-hour period per stream.",
            )
        steps = layout.resize(shards, wanted, stream["next_shard"])
        apply(call, ref, {**stream, "resized_s": [*recent, call.tx.time_s]}, steps)
        return {
            "StreamName": ref.name,
            "StreamARN": ref.arn,
            "CurrentShardCount": count,
            "TargetShardCount": wanted,
        }

    def update_stream_mode(self, call: Call, request: Request) -> Response:
        """The shards stay as they are, or become as many as a warm throughput asks for.

        Twice a day: https://docs.aws.amazon.com/streams/latest/dev/how-do-i-size-a-stream.html
        """
        ref, stream = found(call, request)
        mode = wanted_mode(request)
        warm = wanted_warm(call, request, mode)
        if mode == stream["mode"] and not warm:
            return {}
        changed = {**stream, "warm_mib": warm}
        if mode != stream["mode"]:
            recent = [t for t in stream.get("switched_s", ()) if t > call.tx.time_s - _DAY_S]
            if len(recent) >= quotas.MODE_CHANGES_A_DAY_MAX:
                raise Fault(
                    "LimitExceededException",
                    f"Stream {ref.name} under account {ref.account} has already been switched"
                    f" {quotas.MODE_CHANGES_A_DAY_MAX} times between On-Demand and Provisioned mode within 24 hours.",
                )
            if mode == "ON_DEMAND":
                room_for(call, ref, 0, on_demand=1)
            else:
                state.count(call.tx, state.keys_of(ref), on_demand=-1)
            changed |= {"mode": mode, "strategy": BY_KEY, "switched_s": [*recent, call.tx.time_s]}
        _warm_up(call, ref, changed)
        return {}

    def update_stream_warm_throughput(self, call: Call, request: Request) -> Response:
        """As many shards as carry it, 1 MiB a second each; a lower one than before leaves those there are."""
        ref, stream = found(call, request)
        warm = int(request["WarmThroughputMiBps"])
        if stream["mode"] != "ON_DEMAND":
            raise Fault(
                "ValidationException",
                f"Request is invalid. Stream {ref.name} under account {ref.account} is not in On-Demand mode.",
            )
        check_warm(call, warm)
        _warm_up(call, ref, {**stream, "warm_mib": warm})
        now = len(state.route(call.tx, ref, stream).starts)
        return {
            "StreamName": ref.name,
            "StreamARN": ref.arn,
            "WarmThroughput": {"TargetMiBps": warm, "CurrentMiBps": now},
        }

    def list_shards(self, call: Call, request: Request) -> Response:
        token = request.get("NextToken")
        if token and (request.get("StreamName") or request.get("StreamARN")):
            raise Fault(
                "InvalidArgumentException",
                "NextToken and StreamName cannot be provided together.",
            )
        limit = request.get("MaxResults", _PAGE)
        names.between("maxResults", limit, 1, 10_000)
        if token:
            said = next_token(token)
            ref = Ref(*said["stream"])
            if call.tx.time_s - said["made_s"] > quotas.ITERATOR_S:
                raise Fault("ExpiredNextTokenException", "The pagination token has expired.")
            stream = known(call, ref)
            if stream["id"] != said["id"]:
                raise names.no_stream(ref)
            start, only = said["start"], said["filter"]
        elif not (request.get("StreamName") or request.get("StreamARN")):
            raise Fault(
                "InvalidArgumentException", "Either NextToken or StreamName should be provided."
            )
        else:
            ref, stream = found(call, request)
            created = request.get("StreamCreationTimestamp")
            if created is not None and int(created) != stream["created_s"]:
                raise names.no_stream(ref)
            only = request.get("ShardFilter")
            start = 0
            if after := request.get("ExclusiveStartShardId"):
                start = names.shard_number(ref, after) + 1
        shown: list[dict[str, Any]] = []
        answer: Response = {"Shards": shown}
        for number, shard in _filtered(call, ref, stream, only, start):
            if len(shown) >= min(limit, _PAGE):
                next_page = {
                    "stream": list(ref),
                    "id": stream["id"],
                    "start": number,
                    "filter": only,
                    "made_s": call.tx.time_s,
                }
                answer["NextToken"] = base64.b64encode(orjson.dumps(next_page)).decode()
                break
            shown.append(described_shard(number, shard))
        return answer


def next_token(token: str) -> dict[str, Any]:
    try:
        said = orjson.loads(base64.b64decode(token, validate=True))
        Ref(*said["stream"])
        return {k: said[k] for k in ("stream", "id", "start", "filter", "made_s")}
    except (ValueError, TypeError, KeyError):
        raise Fault("InvalidArgumentException", "Invalid NextToken.") from None


def _filtered(
    call: Call, ref: Ref, stream: state.Record, only: dict[str, Any] | None, start: int
) -> Iterator[tuple[int, state.Record]]:
    kind = (only or {}).get("Type", "FROM_TRIM_HORIZON")
    if kind not in _FILTERS:
        raise names.invalid(
            "shardFilter.type", kind, f"Member must satisfy enum value set: [{', '.join(_FILTERS)}]"
        )
    horizon_s = call.tx.time_s - stream["hours"] * 3600
    time_s = horizon_s
    if kind.endswith("_TIMESTAMP"):
        if only is None or only.get("Timestamp") is None:
            raise Fault(
                "InvalidArgumentException", f"Must specify Timestamp for shard filter type {kind}."
            )
        time_s = max(horizon_s, only["Timestamp"])
    if kind == "AFTER_SHARD_ID":
        if only is None or not only.get("ShardId"):
            raise Fault(
                "InvalidArgumentException", f"Must specify ShardId for shard filter type {kind}."
            )
        start = max(start, names.shard_number(ref, only["ShardId"]) + 1)
    for number, shard in state.shards(call.tx, ref, stream, start):
        closed_s = shard["closed_s"]
        if closed_s is not None and closed_s < (call.tx.time_s if kind == "AT_LATEST" else time_s):
            continue
        if kind == "AT_LATEST" and closed_s is not None:
            continue
        begins_late = shard["created_s"] > max(time_s, stream["created_s"])
        if kind in ("AT_TIMESTAMP", "AT_TRIM_HORIZON") and begins_late:
            continue
        yield number, shard


def _open(call: Call, ref: Ref, stream: state.Record, given: str) -> tuple[int, state.Record]:
    number = names.shard_number(ref, given)
    shard = state.get_shard(call.tx, ref, stream, number)
    if shard is None:
        raise names.no_shard(ref, names.shard_id(number))
    if shard["closed_s"] is not None:
        raise Fault(
            "ResourceInUseException",
            f"Shard {names.shard_id(number)} in stream {ref.name} under account {ref.account} is not open.",
        )
    return number, shard


def _spans(call: Call, ref: Ref, stream: state.Record) -> list[layout.Span]:
    route = state.route(call.tx, ref, stream)
    starts = [int.from_bytes(start, "big") for start in route.starts]
    ends = [start - 1 for start in starts[1:]] + [layout.KEY_MAX]
    return [layout.Span(n, s, e) for n, s, e in zip(route.numbers, starts, ends, strict=True)]


def _warm_up(call: Call, ref: Ref, stream: state.Record) -> None:
    """Keep the stream, with as many shards as its warm throughput asks for, or those it has if they are more."""
    shards, warm = _spans(call, ref, stream), stream["warm_mib"]
    if warm > len(shards):
        apply(call, ref, stream, layout.resize(shards, warm, stream["next_shard"]))
    else:
        state.put_stream(call.tx, ref, stream)


def split(call: Call, ref: Ref, stream: state.Record, number: int, border: int) -> None:
    """Raises Fault if the account may have no more shards."""
    shard = state.get_shard(call.tx, ref, stream, number)
    assert shard is not None
    low = layout.Span(stream["next_shard"], int(shard["start"]), border - 1)
    high = layout.Span(stream["next_shard"] + 1, border, int(shard["end"]))
    apply(call, ref, stream, [layout.Step((number,), (low, high))])


def apply(call: Call, ref: Ref, stream: state.Record, steps: list[layout.Step]) -> None:
    """Close parents, begin children; what was written stays where it is and is read to its end first."""
    tx, now_s = call.tx, int(call.tx.time_s)
    route = state.route(tx, ref, stream)
    rows = {
        n: (start, n, created_s)
        for start, n, created_s in zip(route.starts, route.numbers, route.created_s, strict=True)
    }
    before, next_number = len(rows), stream["next_shard"]
    made: dict[int, state.Record] = {}
    for step in steps:
        parents = [made.get(n) or _shard(call, ref, stream, n) for n in step.parents]
        # A child begins in a later second than its parents, so its numbers are larger than theirs.
        created_s = max(now_s, *(p["created_s"] for p in parents)) + 1
        for number, parent in zip(step.parents, parents, strict=True):
            closed = {
                **parent,
                "closed_s": max(now_s, parent["created_s"]),
                "children": [child.number for child in step.children],
            }
            made[number] = closed
            del rows[number]
        for child in step.children:
            made[child.number] = new_shard(child.start, child.end, created_s, *step.parents)
            rows[child.number] = (child.start.to_bytes(16, "big"), child.number, created_s)
            next_number = max(next_number, child.number + 1)
    room_for(call, ref, len(rows) - before)
    for number, shard in made.items():
        state.put_shard(tx, ref, stream, number, shard)
    state.put_route(tx, ref, stream, sorted(rows.values()))
    state.put_stream(tx, ref, {**stream, "next_shard": next_number})


def _shard(call: Call, ref: Ref, stream: state.Record, number: int) -> state.Record:
    shard = state.get_shard(call.tx, ref, stream, number)
    assert shard is not None, number
    return shard
