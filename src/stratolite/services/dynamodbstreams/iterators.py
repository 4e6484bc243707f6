"""Shard iterators: where a reader stands in a shard, as text that says whose stream it is.

    <stream ARN>|1|<base64 of JSON [shard index, second, stamp, issued_ms]>

The ARN stands in front as in DynamoDB's own. An iterator lives 15 minutes.
Source  https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetShardIterator.html
"""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple

import orjson

from stratolite.services.dynamodb.faults import invalid
from stratolite.services.dynamodb.streams import Place

LIFE_MS = 15 * 60 * 1000
_HIGHEST = 2**62


class Iterator(NamedTuple):
    arn: str
    shard: int
    place: Place
    issued_ms: int


def text(arn: str, shard: int, place: Place, issued_ms: int) -> str:
    inner = orjson.dumps([shard, *place, issued_ms])
    return f"{arn}|1|{base64.b64encode(inner).decode()}"


def parse(given: str) -> Iterator:
    """Raises ValidationException for anything that ``text`` did not make."""
    arn, _, rest = given.partition("|1|")
    try:
        numbers = orjson.loads(base64.b64decode(rest, validate=True))
    except (binascii.Error, orjson.JSONDecodeError, ValueError):
        raise invalid("Invalid ShardIterator") from None
    if (
        not isinstance(numbers, list)
        or len(numbers) != 4
        or any(type(n) is not int or not 0 <= n < _HIGHEST for n in numbers)
    ):
        raise invalid("Invalid ShardIterator")
    shard, second, stamp, issued_ms = numbers
    return Iterator(arn, shard, Place(second, stamp), issued_ms)
