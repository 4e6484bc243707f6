"""Query and Scan: a range of rows, read in order until the page is full, filtered, cut to what was asked for.

A page ends at Limit, once the JSON of the rows read reaches 1 MB, or after 4,000 rows. DynamoDB counts item sizes
and no rows, so where items are tiny our pages end sooner; a transaction stays under 10 ms that way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from itertools import chain, islice
from operator import itemgetter
from typing import Any, TypedDict

import msgspec
import orjson

from stratolite.core import Span
from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.dynamodb import keycode, keyconditions, legacy, shapes, state
from stratolite.services.dynamodb.base import Base
from stratolite.services.dynamodb.capacity import Cost, read_units
from stratolite.services.dynamodb.conditions import (
    COMPARISONS,
    Bound,
    Test,
    begins_with,
    between,
    bind,
    needles,
)
from stratolite.services.dynamodb.expressions import NO_VALUES, Plan, check_use, plan
from stratolite.services.dynamodb.faults import invalid
from stratolite.services.dynamodb.keyconditions import KeyCondition, KeyConditions
from stratolite.services.dynamodb.meter import READ
from stratolite.services.dynamodb.projections import project
from stratolite.services.dynamodb.table import (
    MISMATCH,
    Index,
    KeyAttribute,
    Table,
    check_key_part,
)
from stratolite.services.dynamodb.values import Item, checked_size, item_size, kind_of

PAGE_SIZE_BYTES = 1 << 20
_ROWS_AT_ONCE = 32
_RAW = itemgetter(1)
PAGE_COUNT_MAX = 4000
_QUERY = ("ProjectionExpression", "FilterExpression", "KeyConditionExpression")
_QUERY_LEGACY = ("AttributesToGet", "QueryFilter", "ConditionalOperator", "KeyConditions")
_SCAN = ("ProjectionExpression", "FilterExpression")
_SCAN_LEGACY = ("AttributesToGet", "ScanFilter", "ConditionalOperator")
_QUERY_RARE = frozenset((*_QUERY_LEGACY, "ExclusiveStartKey"))
_SCAN_RARE = frozenset((*_SCAN_LEGACY, "ExclusiveStartKey"))
_TOLD_ALONE = re.compile(
    "contains duplicates|number set|numeric value|significant digits|number with magnitude"
).search
_INVALID = "One or more parameter values were invalid: "
_LENGTH = "Conditions can be of length 1 or 2 only"
_START = "The provided starting key is invalid"


class Reading(Base):
    def query(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.QUERY, request)
        if not _QUERY_RARE.isdisjoint(request):
            check_use(request, _QUERY, _QUERY_LEGACY)
            _check_legacy(request, "QueryFilter")
            _check_start_values(request)
        if "KeyConditions" not in request and "KeyConditionExpression" not in request:
            check_use(request, _QUERY, _QUERY_LEGACY)
            raise invalid(
                "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request."
            )
        forms = plan(request, _QUERY, _QUERY_LEGACY)
        values = request.get("ExpressionAttributeValues") or NO_VALUES
        if forms.key_condition is not None:
            conditions = keyconditions.from_expression(forms.key_condition, values)
        else:
            conditions = keyconditions.from_legacy(request["KeyConditions"])
        if not conditions or (len(conditions) > 2 and "IndexName" not in request):
            raise invalid(_LENGTH)
        table = self.table(call, request["TableName"])
        page = Page(call, table, request, forms, "QueryFilter")
        keys = table.keys if page.index is None else page.index.keys
        if len(conditions) > max(2, len(keys)):
            raise invalid(_LENGTH)
        start = request.get("ExclusiveStartKey")
        if start is not None:
            page.check_start_length(start)
        check_key_conditions(keys, conditions, start)
        row = None
        if start is not None:
            row = page.start_row(start)
            _check_start_fits(start, keys, conditions)
        page.check_filter_names(forms.heads, "Filter Expression", keys)
        page.check_filter_names(request.get("QueryFilter") or (), "QueryFilter", keys)
        page.check_paths(forms)
        span = span_of(table.prefix if page.index is None else page.index.prefix, keys, conditions)
        reverse = request.get("ScanIndexForward") is False
        if row is not None:
            low, high = span
            span = (low, min(high, row)) if reverse else (max(low, row + b"\xff"), high)
        return self.metered(page, span, reverse=reverse)

    def scan(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.SCAN, request)
        if not _SCAN_RARE.isdisjoint(request):
            check_use(request, _SCAN, _SCAN_LEGACY)
            legacy.attributes_to_get(request)
            _check_legacy(request, "ScanFilter")
            _check_start_values(request)
        segment, segments = request.get("Segment"), request.get("TotalSegments")
        if segment is not None and segments is None:
            raise invalid(
                "The TotalSegments parameter is required but was not present in the request "
                "when Segment parameter is present"
            )
        if segments is not None:
            if segment is None:
                raise invalid(
                    "The Segment parameter is required but was not present in the request "
                    "when parameter TotalSegments is present"
                )
            if segment >= segments:
                raise invalid(
                    "The Segment parameter is zero-based and must be less than parameter TotalSegments: "
                    f"Segment: {segment} is not less than TotalSegments: {segments}"
                )
        forms = plan(request, _SCAN, _SCAN_LEGACY)
        table = self.table(call, request["TableName"])
        page = Page(call, table, request, forms, "ScanFilter")
        prefix = table.prefix if page.index is None else page.index.prefix
        low, high = _segment(prefix, segment or 0, segments or 1)
        start = request.get("ExclusiveStartKey")
        if start is not None:
            page.check_start_length(start, explain=page.index is None)
            if page.index is not None:
                for attribute in page.index.keys:
                    _check_start_part(attribute, start)
            page.check_all_is_there()
            row = page.start_row(start)
            if not low <= row < high:
                raise invalid(
                    f"{_START}: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment. "
                    f"TotalSegments: {segments} Segment: {segment}"
                )
            low = row + b"\xff"
        page.check_paths(forms)
        return self.metered(page, (low, high), reverse=False)

    def metered(self, page: Page, *spans: Span, reverse: bool) -> Response:
        """The page, if its table or index may be read, and paid for."""
        table, index = page.table, page.index
        if not table.limits:
            return page.read(*spans, reverse=reverse)
        now_s = page.call.tx.time_s
        name = index.name if index is not None and not index.is_local else ""
        self.meter.admit(table, READ, now_s, name)
        response = page.read(*spans, reverse=reverse)
        assert page.cost is not None, "a table with limits is measured"
        self.meter.pay(table, READ, now_s, page.cost)
        return response


class Page:
    """What a Query or Scan wants of each row, and the reading of them."""

    def __init__(
        self, call: Call, table: Table, request: Mapping[str, Any], forms: Plan, filter_name: str
    ) -> None:
        self.call, self.table, self.request = call, table, request
        name = request.get("IndexName")
        self.index: Index | None = None
        if name is not None:
            self.index = table.index_named.get(name)
            if self.index is None:
                raise invalid(f"The table does not have the specified index: {name}")
            if not self.index.is_active:
                raise invalid(f"Cannot read from backfilling global secondary index: {name}")
            if not self.index.is_local and request.get("ConsistentRead"):
                raise invalid("Consistent reads are not supported on global secondary indexes")
        test: Test | None = forms.filter
        conditions = request.get(filter_name)
        operator = request.get("ConditionalOperator")
        if conditions is not None:
            test = legacy.filter_test(conditions, operator)
        if operator is not None and not conditions:
            raise invalid(
                _INVALID + "ConditionalOperator cannot be used without Filter or Expected"
            )
        self.paths = forms.projection or legacy.attributes_to_get(request)
        values = request.get("ExpressionAttributeValues") or NO_VALUES
        self.heads: frozenset[str] | None = None
        """The only attributes the test looks at, if that is known."""
        self.holds: Bound | None = None
        """The test as a row is put to it."""
        self.needles: list[bytes] = []
        """What a row must have in it to be worth a look."""
        if forms.filter_node is not None:
            self.needles = needles(forms.filter_node, values)
        if forms.filter_node is not None and forms.heads:
            self.heads, self.holds = forms.heads, bind(forms.filter_node, values)
        elif test is not None:
            self.holds = lambda item: test(item, values)
        self.rows_count_max = min(request.get("Limit", PAGE_COUNT_MAX), PAGE_COUNT_MAX)
        self.shape: Callable[[Item], Item] | None = None
        """What is made of an item before it is answered, if not the paths are projected."""
        self.cost: Cost | None = None
        """What has been read, if somebody wants to know."""
        self.fetches = False
        """Whether the whole item must be read from the table for each row of a local index."""

    def check_all_is_there(self) -> None:
        index = self.index
        if index is None or index.is_local or index.projects_all:
            return
        if self.request.get("Select") == "ALL_ATTRIBUTES":
            raise invalid(
                f"{_INVALID}Select type ALL_ATTRIBUTES is not supported for global secondary index "
                f"{index.name} because its projection type is not ALL"
            )

    def check_paths(self, forms: Plan) -> None:
        """What Select and the projection ask for must be there to give."""
        self.check_all_is_there()
        if forms.nested:
            self.table.check_nested(forms.nested)
        select = self.request.get("Select")
        member = "AttributesToGet" if "AttributesToGet" in self.request else "ProjectionExpression"
        if select == "SPECIFIC_ATTRIBUTES" and self.paths is None:
            raise invalid(
                "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES"
            )
        if self.paths is not None and select not in (None, "SPECIFIC_ATTRIBUTES"):
            what = "only the Count" if select == "COUNT" else select
            raise invalid(f"Cannot specify the {member} when choosing to get {what}")
        index = self.index
        if select == "ALL_PROJECTED_ATTRIBUTES" and index is None:
            raise invalid(
                _INVALID
                + "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName"
            )
        if index is None or index.projects_all:
            return
        if select == "ALL_ATTRIBUTES":
            self.fetches = True
        elif self.paths is not None:
            missing = [p[0] for p in self.paths if p[0] not in index.projected]
            if missing and not index.is_local:
                raise invalid(
                    f"{_INVALID}Global secondary index {index.name} does not project "
                    f"[{', '.join(map(str, missing))}]"
                )
            self.fetches = bool(missing)

    def check_filter_names(self, names: Iterable[str], what: str, keys: list[KeyAttribute]) -> None:
        for attribute in keys:
            if attribute.name in names:
                raise invalid(
                    f"{what} can only contain non-primary key attributes: "
                    f"Primary key attribute: {attribute.name}"
                )

    def check_start_length(self, start: Item, *, explain: bool = False) -> None:
        names = self.table.cursor if self.index is None else self.index.cursor
        if len(start) != len(names):
            raise invalid(f"{_START}: {MISMATCH}" if explain else _START)

    def start_row(self, start: Item) -> bytes:
        """Where ``start`` (an ExclusiveStartKey) lies. Raises ValidationException if it is none."""
        table, index = self.table, self.index
        try:
            for attribute in table.keys:
                check_key_part(attribute, start.get(attribute.name))
        except Fault as fault:
            raise invalid(f"{_START}: {fault.message}") from None
        row = table.row(start) if index is None else index.row(table, start)
        assert row is not None, "its key parts were checked"
        return row

    def read(self, *spans: Span, reverse: bool) -> Response:
        """The response: rows of ``spans``, one after another, until the page is full."""
        counts_only = self.request.get("Select") == "COUNT"
        mode: str = self.request.get("ReturnConsumedCapacity", "NONE")
        scan: Callable[[Span], Iterator[tuple[bytes, bytes]]]
        expected = self.request.get("Limit", 0)
        if (seal := self.table.seal) is None:
            scan = partial(self.call.tx.scan, reverse=reverse, expected=expected)
        else:
            tx = self.call.tx
            scan = partial(state.rows, tx, seal=seal, reverse=reverse, expected=expected)
        if len(spans) == 1:
            rows = scan(spans[0]) if spans[0][0] < spans[0][1] else iter(())
        else:
            wanted = (scan(span) for span in spans if span[0] < span[1])
            rows = chain.from_iterable(wanted)
        measured = mode != "NONE" or bool(self.table.limits)
        shape = self.shape
        if shape is None and self.paths is not None:
            shape = partial(project, paths=self.paths)
        if not measured and not self.fetches:
            kept, scanned, last = self._read_plain(rows, self._keep())
            response: Response = {"Count": len(kept), "ScannedCount": scanned}
            if not counts_only and shape is None:
                response["Items"] = list(map(orjson.Fragment, kept))
            elif not counts_only and shape is not None:
                response["Items"] = [shape(orjson.loads(raw)) for raw in kept]
        else:
            response, last = self._read_measured(rows, shape, mode, counts_only=counts_only)
        if last is not None:
            response["LastEvaluatedKey"] = self._cursor(orjson.loads(last))
        return response

    def _keep(self) -> Callable[[bytes], bool] | None:
        """Whether a row, as it is stored, passes the test; None: all do."""
        holds, rare = self.holds, self.needles
        if holds is None:
            return None
        load = orjson.loads if self.heads is None else _loader(self.heads)
        if not rare:
            return lambda raw: holds(load(raw))
        if len(rare) == 1:
            (needle,) = rare
            return lambda raw: needle in raw and holds(load(raw))
        return lambda raw: all(map(raw.__contains__, rare)) and holds(load(raw))

    def _read_plain(
        self, rows: Iterator[tuple[bytes, bytes]], keep: Callable[[bytes], bool] | None
    ) -> tuple[list[bytes], int, bytes | None]:
        """Of the page's rows, as they are stored: those to keep, how many there were, the last if there may be more."""
        kept: list[bytes] = []
        size, room, most = 0, self.rows_count_max, self.rows_count_max
        while some := list(islice(rows, min(room, _ROWS_AT_ONCE))):
            raws = list(map(_RAW, some))
            size_some = sum(map(len, raws))
            # a few at once where all are JSON (0x7B) and fit: the usual case, at a third of the cost
            if size + size_some < PAGE_SIZE_BYTES and min(raws) >= b"{" and max(raws) < b"|":
                kept += raws if keep is None else filter(keep, raws)
                size += size_some
                room -= len(raws)
                if not room:
                    return kept, most, raws[-1]
                continue
            for row, raw in some:
                if raw[0] != 0x7B:  # not JSON: an item in pieces
                    if raw[0] != 0x02:
                        continue
                    raw = state.whole(self.call.tx, row, raw, None)  # noqa: PLW2901 - what the row stands for
                if keep is None or keep(raw):
                    kept.append(raw)
                size += len(raw)
                room -= 1
                if not room or size >= PAGE_SIZE_BYTES:
                    return kept, most - room, raw
        return kept, most - room, None

    def _read_measured(
        self,
        rows: Iterator[tuple[bytes, bytes]],
        shape: Callable[[Item], Item] | None,
        mode: str,
        *,
        counts_only: bool,
    ) -> tuple[Response, bytes | None]:
        """The same response, with each row parsed: fetched, measured, filtered."""
        holds = self.holds
        cost = self.cost = Cost(self.table) if mode != "NONE" or self.table.limits else None
        room = self.rows_count_max
        items: list[Any] = []
        scanned = found = size = exact = 0
        last = None
        for row, raw in rows:
            if raw[0] != 0x7B:
                if raw[0] != 0x02:
                    continue
                raw = state.whole(self.call.tx, row, raw, None)  # noqa: PLW2901
            scanned += 1
            size += len(raw)
            item = orjson.loads(raw)
            whole = raw
            if cost is not None:
                exact += item_size(item)
            if self.fetches:
                whole, item = self._fetch(item, cost)
            if holds is None or holds(item):
                found += 1
                if not counts_only:
                    items.append(orjson.Fragment(whole) if shape is None else shape(item))
            if scanned >= room or size >= PAGE_SIZE_BYTES:
                last = raw
                break
        response: Response = {"Count": found, "ScannedCount": scanned}
        if not counts_only:
            response["Items"] = items
        if cost is not None:
            units = read_units(exact, consistent=self.request.get("ConsistentRead", False))
            if self.index is None:
                cost.units += units
            else:
                cost.indexes[self.index.name] = units
            if mode != "NONE":
                response["ConsumedCapacity"] = cost.answer(mode)
        return response, last

    def _fetch(self, row: Item, cost: Cost | None) -> tuple[bytes, Item]:
        raw = state.get(self.call.tx, self.table.row(row), self.table.seal)
        assert raw is not None, "index rows go with their item"
        item = orjson.loads(raw)
        if cost is not None:
            cost.add_read(item_size(item), consistent=self.request.get("ConsistentRead", False))
        return raw, item

    def _cursor(self, item: Item) -> Item:
        names = self.table.cursor if self.index is None else self.index.cursor
        return {name: item[name] for name in names}


@lru_cache(maxsize=256)
def _loader(heads: frozenset[str]) -> Callable[[bytes], Item]:
    """Reads these attributes of an item's JSON and passes over the others, which is most of an item."""
    fields = dict.fromkeys(heads, dict[str, Any])
    return msgspec.json.Decoder(TypedDict("Heads", fields, total=False)).decode  # type: ignore[operator]


def _check_start_values(request: Mapping[str, Any]) -> None:
    for value in (request.get("ExclusiveStartKey") or {}).values():
        try:
            checked_size(value)
        except Fault as fault:
            if fault.code == "ValidationException" and not _TOLD_ALONE(fault.message):
                raise invalid(f"{_START}: {fault.message}") from None
            raise


def _check_legacy(request: Mapping[str, Any], filter_name: str) -> None:
    if (conditions := request.get(filter_name)) is not None:
        keyconditions.check_condition_map(conditions)
    legacy.attributes_to_get(request)


def _check_start_part(attribute: KeyAttribute, start: Item) -> None:
    if attribute.name not in start:
        raise invalid(_START)
    check_key_part(attribute, start[attribute.name])


def check_key_conditions(
    keys: list[KeyAttribute], conditions: KeyConditions, start: Item | None
) -> None:
    """All of the hash key by equality; of the range key from the left, only the last of them by a range.

    Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.DesignPattern.MultiAttributeKeys.html
    """
    left, is_range = len(conditions), False
    for attribute in keys:
        if start is not None:
            _check_start_part(attribute, start)
        if attribute.is_hash and len(conditions) > len(keys):
            raise invalid("Query key condition not supported")
        condition = conditions.get(attribute.name)
        if condition is None:
            if attribute.is_hash or left:
                raise invalid(f"Query condition missed key schema element: {attribute.name}")
            continue
        if condition.operator in ("NULL", "NOT_NULL", "NE", "CONTAINS", "NOT_CONTAINS", "IN"):
            raise invalid("Attempted conditional constraint is not an indexable operation")
        for value in condition.values:
            if kind_of(value) != attribute.kind:
                raise invalid(_INVALID + "Condition parameter type does not match schema type")
            if attribute.kind != "N" and not value[attribute.kind] and condition.operator == "EQ":
                what = "string" if attribute.kind == "S" else "binary"
                raise invalid(
                    "One or more parameter values are not valid. The AttributeValue for a key attribute "
                    f"cannot contain an empty {what} value. Key: {attribute.name}"
                )
        if is_range or (attribute.is_hash and condition.operator != "EQ"):
            raise invalid("Query key condition not supported")
        left, is_range = left - 1, condition.operator != "EQ"


def span_of(prefix: bytes, keys: list[KeyAttribute], conditions: KeyConditions) -> Span:
    """The rows that match: one hash key, and a range of range keys."""
    hashed = b""
    base = b""
    for name, kind, is_hash, encode in keys:
        if is_hash:
            hashed += encode(conditions[name].values[0][kind])
            continue
        base = base or prefix + keycode.bucket(hashed) + hashed
        condition = conditions.get(name)
        if condition is None:
            return base, base + b"\xff"
        if condition.operator != "EQ":
            return _range_of(base, condition, [encode(value[kind]) for value in condition.values])
        base += encode(condition.values[0][kind])
    base = base or prefix + keycode.bucket(hashed) + hashed
    return base, base + b"\xff"


def _range_of(base: bytes, condition: KeyCondition, parts: list[bytes]) -> Span:
    """The rows behind ``base`` whose next key attribute is as ``condition`` says; ``parts`` are its values."""
    low, end = base + parts[0], base + b"\xff"
    match condition.operator:
        case "LT":
            return base, low
        case "LE":
            return base, low + b"\xff"
        case "GT":
            return low + b"\xff", end
        case "GE":
            return low, end
        case "BETWEEN":
            return low, base + parts[1] + b"\xff"
    assert condition.operator == "BEGINS_WITH", condition
    return low[:-1], keycode.after(low[:-1])


def _check_start_fits(start: Item, keys: list[KeyAttribute], conditions: KeyConditions) -> None:
    same_hash = all(
        start[key.name] == conditions[key.name].values[0] for key in keys if key.is_hash
    )
    ranges = [key.name for key in keys if not key.is_hash and key.name in conditions]
    if not ranges:
        if not same_hash:
            raise invalid(
                "The provided starting key is outside query boundaries based on provided conditions"
            )
        return
    if not all(matches(start[name], conditions[name]) for name in ranges):
        raise invalid("The provided starting key does not match the range key predicate")
    if not same_hash:
        raise invalid("The query can return at most one row and cannot be restarted")


def matches(value: dict[str, Any], condition: KeyCondition) -> bool:
    if condition.operator == "BETWEEN":
        return between(value, *condition.values)
    if condition.operator == "BEGINS_WITH":
        return begins_with(value, condition.values[0])
    sign = {"EQ": "=", "LT": "<", "LE": "<=", "GT": ">", "GE": ">="}[condition.operator]
    return COMPARISONS[sign](value, condition.values[0])


def _segment(prefix: bytes, segment: int, segments: int) -> Span:
    """The part of all buckets that belongs to one segment of a parallel Scan."""
    low, high = (-(-65536 * s // segments) for s in (segment, segment + 1))
    stop = keycode.after(prefix) if high == 65536 else prefix + high.to_bytes(2, "big")
    if low == 65536:
        return stop, stop
    return prefix + low.to_bytes(2, "big"), stop
