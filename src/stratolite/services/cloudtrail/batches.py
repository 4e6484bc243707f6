"""Data events a batch at a time: grouped by who did what from where, column by column, compressed.

Layout of a batch, format 1:

    0   1   1, the format
    1   n   a Zstandard frame of JSON [start ms, left out, groups]

``left out`` counts calls that came too fast to be recorded before these. A group is all calls of a batch that differ in time,
request and resource only:

    [identity, service, operation, nested, owner, source, error code, decision, times, ids, names]

    identity  CloudTrail's ``userIdentity``
    nested    1: made by another call or by the platform's workers; ``ids`` are the outer call's then
    times     ms after ``start``, in the order of their ends
    ids       request ids
    names     what names the resource: a string, or a list of strings and nulls (``data_events``)

A row's number counts through the groups; the id of a nested call's event is the batch's stamp and that number.
``tests/golden/trail-1`` holds one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from stratolite.limits import TRAIL_UNPACKED_BYTES_MAX
from stratolite.service import Principal
from stratolite.services.cloudtrail import data_events, events
from stratolite.services.cloudtrail.data_events import Kind, Row

_time = itemgetter(0)
_FORMAT = b"\x01"
_LEVEL = 1  # zstd's quickest: its window finds what repeats from row to row
Held = tuple[float, str, Any, Principal, str, Kind, str, str, str, str, int]
"""(time s, request id, names, who, region, kind, owner, source, error code, decision, nested)."""


class Batch(NamedTuple):
    """Of one account and region."""

    account: str
    region: str
    closed_ms: int
    rows: int
    """How many calls are in it."""
    raw: bytes


def packed(
    held: Sequence[Held], dropped: dict[tuple[str, str], int], closed_ms: int
) -> list[Batch]:
    """``held`` as batches, a call that reaches into another account in those of both. Good in any thread.

    ``dropped``: (account, region) -> calls that were not recorded. ``closed_ms``: now; later batches are closed later,
    whatever times their calls have.
    """
    groups: defaultdict[tuple[Any, ...], list[Held]] = defaultdict(list)
    if held:
        _, _, _, whos, regions, kinds, *rest = zip(*held, strict=True)
        alike = zip(map(id, whos), regions, map(id, kinds), *rest, strict=True)
        for key, row in zip(alike, held, strict=True):
            groups[key].append(row)
    places: dict[tuple[str, str], list[list[Held]]] = {place: [] for place in dropped}
    for rows in groups.values():
        _, _, _, who, region, _, owner, *_ = rows[0]
        for account in {who.account or owner, owner or who.account}:
            if account:
                places.setdefault((account, region), []).append(rows)
    return [
        _batch(account, region, found, dropped.get((account, region), 0), closed_ms)
        for (account, region), found in places.items()
    ]


def _batch(
    account: str, region: str, groups: list[list[Held]], dropped: int, closed_ms: int
) -> Batch:
    import zstandard

    start_ms = int(min([min(map(_time, rows)) for rows in groups], default=closed_ms / 1000) * 1000)
    said = [start_ms, dropped, [_group(rows, start_ms) for rows in groups]]
    raw = _FORMAT + zstandard.ZstdCompressor(_LEVEL).compress(orjson.dumps(said))
    return Batch(account, region, closed_ms, sum(map(len, groups)), raw)


def _group(rows: list[Held], start_ms: int) -> list[Any]:
    _, _, _, who, _, kind, owner, source, code, decision, nested = rows[0]
    identity = events.identity(who)
    if nested and who.kind != "service":
        identity["invokedBy"] = events.source(kind.service)
    times_s, ids, names, *_ = zip(*rows, strict=True)
    return [
        identity, kind.service, kind.operation, nested, owner, source, code, decision,
        [int(time_s * 1000) - start_ms for time_s in times_s], ids,
        names if not code else [data_events.shown(name) for name in names],
    ]  # fmt: skip


def rows(raw: bytes, stamp: int) -> tuple[int, Iterator[Row]]:
    """(calls left out before these, the calls of a batch group by group). Raises ValueError for a format of the future."""
    import zstandard

    if raw[:1] != _FORMAT:
        raise ValueError(f"batch of the trail has format {raw[:1]!r}, known is {_FORMAT!r}")
    text = zstandard.ZstdDecompressor().decompress(
        raw[1:], max_output_size=TRAIL_UNPACKED_BYTES_MAX
    )
    start_ms, dropped, groups = orjson.loads(text)
    return dropped, _each(groups, start_ms, stamp)


def _each(groups: list[list[Any]], start_ms: int, stamp: int) -> Iterator[Row]:
    number = 0
    for identity, service, operation, nested, owner, source, code, decision, *columns in groups:
        for time_ms, request_id, names in zip(*columns, strict=True):
            event_id = f"{stamp:x}-{number}" if nested else request_id
            number += 1
            yield Row(
                start_ms + time_ms, event_id, request_id, names, identity, service, operation, owner, source, code, decision
            )  # fmt: skip
