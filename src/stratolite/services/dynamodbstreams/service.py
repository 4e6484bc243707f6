"""ListStreams, DescribeStream, GetShardIterator and GetRecords."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import md5
from itertools import islice
from typing import Any

from stratolite.core import Span
from stratolite.errors import Fault
from stratolite.service import Access, Call, Request, Response, Service
from stratolite.services.dynamodb import shapes, streams
from stratolite.services.dynamodb.access import resource_policy
from stratolite.services.dynamodb.faults import invalid, not_found
from stratolite.services.dynamodb.keyring import ring
from stratolite.services.dynamodb.streams import Place, Shard, Stream
from stratolite.services.dynamodb.values import item_size
from stratolite.services.dynamodbstreams import iterators

LISTED_COUNT_MAX = 100
RECORDS_COUNT_MAX = 1000
RECORDS_SIZE_BYTES = 1 << 20
_ARN = re.compile(
    r"arn:aws[\w-]*:dynamodb:([\w-]+):(\d{12}):table/([\w.-]+)/stream/([\w:.-]+)"
).fullmatch
_ACTIONS_ON_ALL = frozenset(("ListStreams",))
_TRIMMED = "The operation attempted to read past the oldest stream record in a shard."
_SHARD_ID = shapes.Text(minimum=28, maximum=65)
_ARN_SHAPE = shapes.Text(minimum=37, maximum=1024, required=True)

_LIST = shapes.Structure(
    {
        "TableName": shapes.TableName(minimum=3, maximum=255, pattern=shapes.NAME_PATTERN),
        "Limit": shapes.Integer(1, LISTED_COUNT_MAX),
        "ExclusiveStartStreamArn": shapes.Text(minimum=37, maximum=1024),
    }
)
_DESCRIBE = shapes.Structure(
    {
        "StreamArn": _ARN_SHAPE,
        "Limit": shapes.Integer(1, LISTED_COUNT_MAX),
        "ExclusiveStartShardId": _SHARD_ID,
        "ShardFilter": shapes.Structure(
            {"Type": shapes.Text(enum=("CHILD_SHARDS",)), "ShardId": _SHARD_ID}
        ),
    }
)
_KINDS = ("AFTER_SEQUENCE_NUMBER", "LATEST", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON")
_ITERATOR = shapes.Structure(
    {
        "StreamArn": _ARN_SHAPE,
        "ShardId": shapes.Text(minimum=28, maximum=65, required=True),
        "ShardIteratorType": shapes.Text(enum=_KINDS, required=True),
        "SequenceNumber": shapes.Text(minimum=21, maximum=40),
    }
)
_RECORDS = shapes.Structure(
    {
        "ShardIterator": shapes.Text(minimum=1, maximum=2048, required=True),
        "Limit": shapes.Integer(1, RECORDS_COUNT_MAX),
    }
)


class Dynamodbstreams(Service):
    name = "dynamodbstreams"
    prefix = "dynamodb"

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        arn = "*"
        if operation == "GetRecords":
            arn = str(request.get("ShardIterator", "*")).partition("|")[0]
        elif operation not in _ACTIONS_ON_ALL:
            arn = str(request.get("StreamArn", "*"))
        return ((f"dynamodb:{operation}", arn),)

    def news(self, call: Call, source: str, part: str) -> Sequence[Span]:
        region, account, table, label = _parts(source)
        found = streams.find(call.tx, account, region, table, label)
        return streams.news_spans(found) if found is not None else ()

    def alone(self, call: Call, operation: str, request: Request) -> Sequence[str] | None:
        return () if operation in _ACTIONS_ON_ALL else None

    def resource_policy(self, call: Call, resource: str) -> str | None:
        return resource_policy(call, resource)

    def list_streams(self, call: Call, request: Request) -> Response:
        shapes.check(_LIST, request)
        limit = request.get("Limit", LISTED_COUNT_MAX)
        table = request.get("TableName")
        if table is not None and table.startswith("arn:"):
            table = table.rpartition("/")[2]
        after = None
        if (start := request.get("ExclusiveStartStreamArn")) is not None:
            _, _, *names = _parts(start)
            after = names[0], names[1]
        found = streams.listed(call.tx, call.account, call.region, table, after)
        page = list(islice(found, limit + 1))
        response: Response = {
            "Streams": [
                {"StreamArn": s.arn, "TableName": s.table, "StreamLabel": s.label}
                for s in page[:limit]
            ]
        }
        if len(page) > limit:
            response["LastEvaluatedStreamArn"] = page[limit - 1].arn
        return response

    def describe_stream(self, call: Call, request: Request) -> Response:
        shapes.check(_DESCRIBE, request)
        stream = _stream(call, request["StreamArn"])
        shards = streams.shards(stream, call.tx.time_s)
        wanted = request.get("ShardFilter") or {}
        if wanted.get("Type") == "CHILD_SHARDS":
            if "ShardId" not in wanted:
                raise invalid("ShardFilter of type CHILD_SHARDS needs a ShardId")
            shards = [shard for shard in shards if shard.parent == wanted["ShardId"]]
        if (after := request.get("ExclusiveStartShardId")) is not None:
            shards = [shard for shard in shards if shard.id > after]
        page = shards[: request.get("Limit", LISTED_COUNT_MAX)]
        described: dict[str, Any] = {
            "StreamArn": stream.arn,
            "StreamLabel": stream.label,
            "StreamStatus": "ENABLED" if stream.closed_s is None else "DISABLED",
            "StreamViewType": stream.view,
            "CreationRequestDateTime": stream.record["Created"],
            "TableName": stream.table,
            "KeySchema": stream.record["Keys"],
            "Shards": [_described(shard) for shard in page],
        }
        if len(page) < len(shards):
            described["LastEvaluatedShardId"] = page[-1].id
        return {"StreamDescription": described}

    def get_shard_iterator(self, call: Call, request: Request) -> Response:
        shapes.check(_ITERATOR, request)
        stream = _stream(call, request["StreamArn"])
        now_s = call.tx.time_s
        shard = next((s for s in streams.shards(stream, now_s) if s.id == request["ShardId"]), None)
        if shard is None:
            raise not_found(
                f"Requested resource not found: Shard does not exist: {request['ShardId']}"
            )
        kind, number = request["ShardIteratorType"], request.get("SequenceNumber")
        if kind.endswith("_SEQUENCE_NUMBER"):
            if number is None:
                raise invalid(f"SequenceNumber is required for ShardIteratorType {kind}")
            place = _at(shard, number, now_s)
            if kind == "AT_SEQUENCE_NUMBER":
                place = Place(place.second, max(place.stamp - 1, 0))
        elif number is not None:
            raise invalid(f"SequenceNumber must not be given for ShardIteratorType {kind}")
        elif kind == "TRIM_HORIZON":
            place = Place(max(shard.start_s, int(now_s) - streams.RETENTION_S), 0)
        else:
            place = _read_up(call, stream, shard)
        return {"ShardIterator": iterators.text(stream.arn, shard.number, place, int(now_s * 1000))}

    def get_records(self, call: Call, request: Request) -> Response:
        shapes.check(_RECORDS, request)
        given = iterators.parse(request["ShardIterator"])
        stream = _stream(call, given.arn)
        now_s = call.tx.time_s
        if int(now_s * 1000) - given.issued_ms > iterators.LIFE_MS:
            raise Fault(
                "ExpiredIteratorException",
                "The shard iterator has expired and can no longer be used to retrieve stream records.",
            )
        all_shards = streams.shards(stream, now_s)
        shard = next((s for s in all_shards if s.number == given.shard), None)
        if shard is None:
            if given.shard < all_shards[0].number:
                raise Fault("TrimmedDataAccessException", _TRIMMED)
            raise invalid("Invalid ShardIterator")
        if given.place.second < int(now_s) - streams.RETENTION_S - iterators.LIFE_MS // 1000:
            raise Fault("TrimmedDataAccessException", _TRIMMED)
        limit = request.get("Limit", RECORDS_COUNT_MAX)
        stop_s = shard.stop_s or int(now_s) + 1
        records: list[dict[str, Any]] = []
        size, is_full, place = 0, False, given.place
        keys = ring(self.cloud)
        seal = keys.seal(call, stream.account, stream.region, stream.table, stream.sse)
        for at, stored, size_bytes in streams.read(call.tx, stream, given.place, stop_s, seal):
            if records and size + size_bytes > RECORDS_SIZE_BYTES:
                is_full = True
                break
            place, size = at, size + size_bytes
            records.append(_record(call, stream, at, stored))
            if len(records) >= limit:
                is_full = True
                break
        response: Response = {"Records": records}
        if is_full or shard.stop_s is None:
            if not is_full:
                place = max(place, Place(int(now_s), 0))
            text = iterators.text(stream.arn, shard.number, place, int(now_s * 1000))
            response["NextShardIterator"] = text
        return response


def _parts(arn: str) -> tuple[str, str, str, str]:
    """(region, account, table, label). Raises ValidationException."""
    found = _ARN(arn)
    if found is None:
        raise invalid("Invalid StreamArn")
    region, account, table, label = found.groups()
    return region, account, table, label


def _stream(call: Call, arn: str) -> Stream:
    region, account, table, label = _parts(arn)
    found = None
    if region == call.region:
        found = streams.find(call.tx, account, region, table, label)
    if found is None:
        raise not_found(f"Requested resource not found: Stream: {arn} not found")
    return found


def _described(shard: Shard) -> dict[str, Any]:
    numbers = {"StartingSequenceNumber": streams.first_sequence(shard)}
    if (last := streams.last_sequence(shard)) is not None:
        numbers["EndingSequenceNumber"] = last
    described: dict[str, Any] = {"ShardId": shard.id, "SequenceNumberRange": numbers}
    if shard.parent is not None:
        described["ParentShardId"] = shard.parent
    return described


def _at(shard: Shard, number: str, now_s: float) -> Place:
    place = streams.place_of(number)
    if place is None or place.second < shard.start_s:
        raise invalid(f"Invalid SequenceNumber: {number}")
    if place.second >= (shard.stop_s or int(now_s) + 1):
        raise invalid(f"Invalid SequenceNumber: {number}")
    if place.second < int(now_s) - streams.RETENTION_S and place.stamp:
        raise Fault("TrimmedDataAccessException", _TRIMMED)
    return place


def _read_up(call: Call, stream: Stream, shard: Shard) -> Place:
    """Behind the newest record of the shard."""
    now_s = int(call.tx.time_s)
    stop_s = shard.stop_s or now_s + 1
    start = Place(min(now_s, stop_s), 0)
    found = streams.newest(call.tx, stream, shard.start_s, stop_s)
    return start if found is None else max(start, found)


def _record(call: Call, stream: Stream, place: Place, stored: dict[str, Any]) -> dict[str, Any]:
    number = streams.sequence(place)
    body: dict[str, Any] = {
        "ApproximateCreationDateTime": float(place.second),
        "Keys": stored["k"],
        "SequenceNumber": number,
        "StreamViewType": stream.view,
    }
    size = item_size(stored["k"])
    for member, name in (("n", "NewImage"), ("o", "OldImage")):
        if (image := stored.get(member)) is not None:
            body[name] = image
            size += item_size(image)
    body["SizeBytes"] = size
    made: dict[str, Any] = {
        "eventID": md5(f"{stream.arn}/{number}".encode(), usedforsecurity=False).hexdigest(),
        "eventName": stored["e"],
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": call.region,
        "dynamodb": body,
    }
    if stored.get("u"):
        made["userIdentity"] = {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
    return made
