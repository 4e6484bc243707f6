"""Data events a batch at a time: grouped by who did what from where, column by column, compressed.

Layout of a batch, format 1:

    0   1   1, the format
    1   n   a Zstandard frame of lines of JSON, [start ms, left out, groups] each

``left out`` counts calls that came too fast to be recorded before these. A group is all calls of a line that differ in time,
request and resource only:

    [identity, service, operation, nested, owner, source, error code, decision, times, ids, names]

    identity  CloudTrail's ``userIdentity``
    nested    1: made by another call or by the platform's workers; ``ids`` are the outer call's then
    times     ms after ``start``, in the order of their ends
    ids       request ids
    names     what names the resource: a string, or a list of strings and nulls (``data_events``)

A row's number counts through lines and groups; the id of a nested call's event is the batch's stamp and that number.
``tests/golden/trail-1`` holds one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from stratolite.limits import TRAIL_DATA_BATCH_COUNT_MAX, TRAIL_UNPACKED_BYTES_MAX
from stratolite.service import Principal
from stratolite.services.cloudtrail import data_events, events
from stratolite.services.cloudtrail.data_events import Kind, Row

_time = itemgetter(0)
_FORMAT = b"\x01"
_LEVEL = 1  # zstd's quickest: its window finds what repeats from row to row
Held = tuple[float, str, Any, Principal, str, Kind, str, str, int]
"""(time s, request id, names, who, region, kind, owner, source, nested)."""


class Line(NamedTuple):
    """Of one account and region."""

    account: str
    region: str
    rows: int
    """How many calls are in it."""
    dropped: int
    """How many it says were left out."""
    raw: bytes


class Batch(NamedTuple):
    """Of one account and region, as it is stored."""

    account: str
    region: str
    rows: int
    raw: bytes


def lines_of(held: Sequence[Held], dropped: dict[tuple[str, str], int], now_ms: int) -> list[Line]:
    """``held`` account by account, a call that reaches into another one in those of both.

    ``dropped``: (account, region) -> calls that were not recorded.
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
        _line(account, region, found, dropped.get((account, region), 0), now_ms)
        for (account, region), found in places.items()
    ]


def packed(lines: Sequence[Line]) -> list[Batch]:
    """``lines`` in their order, some ``TRAIL_DATA_BATCH_COUNT_MAX`` calls together. Good in any thread."""
    import zstandard

    places: dict[tuple[str, str], list[list[Line]]] = {}
    for line in lines:
        made = places.setdefault((line.account, line.region), [[]])
        if sum(one.rows for one in made[-1]) >= TRAIL_DATA_BATCH_COUNT_MAX:
            made.append([])
        made[-1].append(line)
    compressor = zstandard.ZstdCompressor(_LEVEL)
    return [
        Batch(
            account,
            region,
            sum(line.rows for line in some),
            _FORMAT + compressor.compress(b"\n".join([line.raw for line in some])),
        )
        for (account, region), made in places.items()
        for some in made
    ]


def _line(account: str, region: str, groups: list[list[Held]], dropped: int, now_ms: int) -> Line:
    start_ms = int(min([min(map(_time, rows)) for rows in groups], default=now_ms / 1000) * 1000)
    said = [start_ms, dropped, [_group(rows, start_ms) for rows in groups]]
    return Line(account, region, sum(map(len, groups)), dropped, orjson.dumps(said))


def _group(rows: list[Held], start_ms: int) -> list[Any]:
    _, _, _, who, _, kind, owner, source, nested = rows[0]
    identity = events.identity(who)
    if nested and who.kind != "service":
        identity["invokedBy"] = events.source(kind.service)
    times_s, ids, names, *_ = zip(*rows, strict=True)
    return [
        identity, kind.service, kind.operation, nested, owner, source, kind.code, kind.decision,
        [int(time_s * 1000) - start_ms for time_s in times_s], ids,
        names if not kind.code else [data_events.shown(name) for name in names],
    ]  # fmt: skip


def rows(raw: bytes, stamp: int) -> tuple[int, Iterator[Row]]:
    """(calls left out before these, the calls of a batch in their groups). Raises ValueError for a format of the future."""
    import zstandard

    if raw[:1] != _FORMAT:
        raise ValueError(f"batch of the trail has format {raw[:1]!r}, known is {_FORMAT!r}")
    text = zstandard.ZstdDecompressor().decompress(
        raw[1:], max_output_size=TRAIL_UNPACKED_BYTES_MAX
    )
    lines = [orjson.loads(line) for line in text.split(b"\n")]
    return sum(line[1] for line in lines), _each(lines, stamp)


def _each(lines: list[Any], stamp: int) -> Iterator[Row]:
    number = 0
    for start_ms, _, groups in lines:
        for identity, service, operation, nested, owner, source, code, decision, *columns in groups:
            for time_ms, request_id, names in zip(*columns, strict=True):
                event_id = f"{stamp:x}-{number}" if nested else request_id
                number += 1
                yield Row(
                    start_ms + time_ms, event_id, request_id, names, identity, service, operation, owner, source, code,
                    decision,
                )  # fmt: skip
