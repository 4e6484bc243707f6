"""A single item changed, and all that follows from it in the same transaction: index rows, TTL rows, stream records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from stratolite.core import Tx
from stratolite.errors import Fault
from stratolite.service import Request, Response
from stratolite.services.dynamodb import expiry, feeds, state, streams
from stratolite.services.dynamodb.capacity import Cost
from stratolite.services.dynamodb.conditions import Test
from stratolite.services.dynamodb.expressions import NO_VALUES, Plan
from stratolite.services.dynamodb.faults import condition_failed, invalid
from stratolite.services.dynamodb.grammar import Path
from stratolite.services.dynamodb.projections import project
from stratolite.services.dynamodb.table import Table
from stratolite.services.dynamodb.updates import Apply
from stratolite.services.dynamodb.values import (
    ITEM_SIZE_BYTES_MAX,
    Item,
    check_nesting,
    equal,
    item_size,
)

_TOO_LARGE_UPDATE = "Item size to update has exceeded the maximum allowed size"
_INDEX_KEY = "The update expression attempted to update the secondary index key to unsupported type"
ALL_OLD = "ALL_OLD"


class Write:
    """One item changed: what was there (``raw``, its JSON), the condition on it, what is there afterwards."""

    __slots__ = ("_old", "after", "new", "raw", "row", "table", "tx", "version")

    def __init__(
        self, tx: Tx, table: Table, row: bytes, version: feeds.Version | None = None
    ) -> None:
        """``version``: not a caller writes but another region's replica, then."""
        self.tx, self.table, self.row = tx, table, row
        self.version = version
        self.raw = state.get(tx, row, table.seal)
        self._old: Item | None = None
        self.new: Item | None = None
        self.after: bytes | None = None

    @property
    def old(self) -> Item | None:
        """The item as it was, parsed once; treat it as frozen."""
        if self._old is None and self.raw is not None:
            self._old = orjson.loads(self.raw)
        return self._old

    def check(self, test: Test | None, request: Mapping[str, Any]) -> None:
        if test is None or self.holds(test, request):
            return
        wanted = request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
        raise condition_failed(
            orjson.Fragment(self.raw) if wanted and self.raw is not None else None
        )

    def holds(self, test: Test, request: Mapping[str, Any]) -> bool:
        return test(self.old or {}, request.get("ExpressionAttributeValues") or NO_VALUES)

    def put(self, item: Item, raw: bytes | None = None) -> None:
        """``raw``: the item's JSON, where it is known."""
        self._put(item, orjson.dumps(item) if raw is None else raw)

    def _put(self, item: Item, raw: bytes) -> None:
        self.new, self.after = item, raw
        table, old = self.table, self.raw
        state.put(self.tx, self.row, raw, old, table.seal)
        if table.count_key is not None:
            if old is None:
                state.count(self.tx, table.count_key, 1, len(raw))
            elif len(raw) != len(old):
                state.count(self.tx, table.count_key, 0, len(raw) - len(old))
        if table.is_followed:
            self._follow()

    def update(
        self, key: Item, apply: Apply | None, values: Mapping[str, Any], forms: Plan
    ) -> None:
        item: Item = dict(key) if self.raw is None else orjson.loads(self.raw)
        if apply is not None:
            apply(item, values)
            if self.table.index_keys:
                try:
                    self.table.check_index_keys(item)
                except Fault:
                    if apply is forms.update and self._is_computed(item, values):
                        raise invalid(_INDEX_KEY) from None
                    raise
            if forms.nested:
                check_nesting(item)
        raw = orjson.dumps(item)
        # An item never counts for more bytes than its JSON has.
        if len(raw) > ITEM_SIZE_BYTES_MAX and item_size(item) > ITEM_SIZE_BYTES_MAX:
            raise invalid(_TOO_LARGE_UPDATE)
        self._put(item, raw)

    def _is_computed(self, item: Item, values: Mapping[str, Any]) -> bool:
        """Whether an index key of the wrong type is no value of the request's: DynamoDB words that otherwise."""
        given = list(values.values())
        return any(
            key.name in item and key.kind not in item[key.name] and item[key.name] not in given
            for _, key in self.table.index_keys
        )

    def delete(self, *, expired: bool = False) -> None:
        """``expired``: not a caller wants it but its time to live has ended."""
        if self.raw is None:
            return
        state.delete(self.tx, self.row, self.raw)
        if self.table.count_key is not None:
            state.count(self.tx, self.table.count_key, -1, -len(self.raw))
        if self.table.is_followed:
            self._follow(expired=expired)

    def _is_same(self, before: bytes, after: bytes) -> bool:
        """Whether the write changes nothing, for all that its JSON is another: then no stream tells of it.

        Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
        """
        return len(before) == len(after) and equal({"M": self.old}, {"M": self.new})

    def _follow(self, *, expired: bool = False) -> None:
        tx, table, before, after = self.tx, self.table, self.raw, self.after
        if table.indexes:
            state.index_item(tx, table, self.old, self.new, before, after)
        if table.ttl_attribute is not None:
            expiry.note(tx, table, self.row, self.old, self.new)
        if table.past_prefix is not None and before != after:
            state.put_past(tx, table, self.row, before)
        if table.is_strong:
            if self.version is None:
                self._write_everywhere()
        elif table.replicas:
            made = self.version or feeds.Version(int(tx.time_s * 1000), table.region)
            feeds.put_version(tx, table, self.row, made)
        if (table.stream_prefix is not None or table.feeds) and (before or after):
            self._tell(before, after, expired=expired)

    def _write_everywhere(self) -> None:
        """The same in all other regions; they are no callers' writes there, and told of nowhere but in streams."""
        item = self.new or self.old
        assert item is not None, "there was an item, or there is one"
        made = feeds.Version(0, self.table.region)
        for region in self.table.replicas:
            other = state.table(self.tx, self.table.account, region, self.table.name)
            assert other is not None, "they end together"
            write = Write(self.tx, other, other.row(item), made)
            if self.new is None:
                write.delete()
            else:
                write.put(self.new, self.after)

    def _tell(self, before: bytes | None, after: bytes | None, *, expired: bool) -> None:
        """The table's stream and those who follow it; nothing but replicas of a write that changes nothing."""
        tx, table = self.tx, self.table
        changes = not (before and after and (before == after or self._is_same(before, after)))
        item = self.new or self.old
        assert item is not None, "there was an item, or there is one"
        key = table.key_of(item)
        if table.stream_prefix is not None and changes:
            view = table.stream_view
            streams.write(
                tx, table.stream_prefix, view, key, before, after, table.seal, expired=expired
            )
        kinds: tuple[str, ...] = ("kinesis",) if changes else ()
        if self.version is None:
            kinds += ("replica",)
        if table.feeds and kinds:
            feeds.note(tx, table, key, before, after, kinds, expired=expired)

    def answer(
        self, request: Request, key: Item, returns: str | None, targets: list[Path] | None = None
    ) -> Response:
        """The response to a request for this write alone."""
        response: Response = {}
        if returns is not None:
            attributes = self.attributes(returns, targets or [])
            if attributes:
                response["Attributes"] = attributes
        mode = request.get("ReturnConsumedCapacity")
        if mode is not None and mode != "NONE":
            cost = Cost(self.table)
            cost.add_write(self.old, self.new)
            response["ConsumedCapacity"] = cost.answer(mode)
        if request.get("ReturnItemCollectionMetrics") == "SIZE":
            metrics = collection_metrics(self.table, key)
            if metrics is not None:
                response["ItemCollectionMetrics"] = metrics
        return response

    def attributes(self, returns: str, targets: list[Path]) -> Any:
        if returns == ALL_OLD:
            return None if self.raw is None else orjson.Fragment(self.raw)
        if returns == "ALL_NEW":
            return None if self.after is None else orjson.Fragment(self.after)
        item = self.old if returns == "UPDATED_OLD" else self.new
        return None if item is None else project(item, targets)


def collection_metrics(table: Table, key: Item) -> dict[str, Any] | None:
    """ItemCollectionMetrics, which only tables with local indexes have; the range is DynamoDB's smallest."""
    if not any(index.is_local for index in table.indexes):
        return None
    name = table.hash.name
    return {"ItemCollectionKey": {name: key[name]}, "SizeEstimateRangeGB": [0.0, 1.0]}
