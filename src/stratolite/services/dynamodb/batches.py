"""BatchGetItem and BatchWriteItem: many items in one call, none depending on another."""

from __future__ import annotations

from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.dynamodb import shapes, state
from stratolite.services.dynamodb.base import Base
from stratolite.services.dynamodb.capacity import Cost
from stratolite.services.dynamodb.faults import invalid
from stratolite.services.dynamodb.items import nested_of, projection_of
from stratolite.services.dynamodb.meter import READ, WRITE
from stratolite.services.dynamodb.projections import project
from stratolite.services.dynamodb.table import MISMATCH, Table
from stratolite.services.dynamodb.values import (
    ITEM_SIZE_BYTES_MAX,
    Item,
    checked_item_size,
    is_in_order,
    item_size,
)
from stratolite.services.dynamodb.writes import Write, collection_metrics

GETS_COUNT_MAX = 100
WRITES_COUNT_MAX = 25
ANSWER_SIZE_BYTES_MAX = 8 << 20
"""DynamoDB answers up to 16 MB; what is left comes back as UnprocessedKeys either way."""
Rows = dict[bytes, tuple[Item, bytes]]
"""Row -> an item, its JSON."""
_DUPLICATES = "Provided list of item keys contains duplicates"


class Batches(Base):
    def batch_get_item(self, call: Call, request: Request) -> Response:
        _check_given(request, "BatchGetItem")
        shapes.check(shapes.BATCH_GET, request)
        wanted = request["RequestItems"]
        for name, part in wanted.items():
            if len(part["Keys"]) > GETS_COUNT_MAX:
                raise invalid(
                    f"1 validation error detected: Value at 'RequestItems.{name}.member.Keys' failed to satisfy "
                    f"constraint: Member must have length less than or equal to {GETS_COUNT_MAX}"
                )
        if sum(len(part["Keys"]) for part in wanted.values()) > GETS_COUNT_MAX:
            raise invalid("Too many items requested for the BatchGetItem call")
        _check_names(wanted)
        projections = {}
        for name, part in wanted.items():
            projections[name] = projection_of(part)
            for key in part["Keys"]:
                checked_item_size(key)
        tx, size, done = call.tx, 0, 0
        responses: dict[str, list[Any]] = {}
        unprocessed: dict[str, Any] = {}
        costs = []
        tables = {name: self.table(call, name) for name in wanted}
        rows = {name: [] for name in wanted}  # type: dict[str, list[tuple[bytes, Any]]]
        for name, part in wanted.items():
            table, seen = tables[name], set()
            for key in part["Keys"]:
                table.check_key(key)
                row = table.row(key)
                if row in seen:
                    raise invalid(_DUPLICATES)
                seen.add(row)
                rows[name].append((row, key))
        for name, part in wanted.items():
            table, paths = tables[name], projections[name]
            if paths is not None:
                table.check_nested(nested_of(paths))
            cost = Cost(table)
            mode: str = request.get("ReturnConsumedCapacity", "NONE")
            counts = mode != "NONE"
            if counts:
                costs.append(cost)
            consistent = part.get("ConsistentRead", False)
            found = responses.setdefault(table.name, [])
            left = []
            for row, key in rows[name]:
                if size >= ANSWER_SIZE_BYTES_MAX or not self._may(call, table, READ):
                    left.append(key)
                    continue
                raw = state.get(tx, row, table.seal)
                if raw is not None:
                    if size + len(raw) > ANSWER_SIZE_BYTES_MAX:
                        size = ANSWER_SIZE_BYTES_MAX
                        left.append(key)
                        continue
                    size += len(raw)
                    found.append(
                        orjson.Fragment(raw) if paths is None else project(orjson.loads(raw), paths)
                    )
                if counts or table.limits:
                    read = 0 if raw is None else item_size(orjson.loads(raw))
                    cost.add_read(read, consistent=consistent)
                if table.limits:
                    once = Cost(table)
                    once.add_read(read, consistent=consistent)
                    self.meter.pay(table, READ, tx.time_s, once)
                done += 1
            if left:
                unprocessed[name] = {**part, "Keys": left}
        if not done and unprocessed:
            self._refuse(call, tables, READ)
        response: Response = {"Responses": responses, "UnprocessedKeys": unprocessed}
        if costs:
            response["ConsumedCapacity"] = [
                cost.answer(request["ReturnConsumedCapacity"]) for cost in costs
            ]
        return response

    def batch_write_item(self, call: Call, request: Request) -> Response:
        _check_given(request, "BatchWriteItem")
        if len(request) == 1 and (puts := self._plain_puts(call, request["RequestItems"])):
            for table, rows in puts:
                if table.is_followed:
                    for row, (item, raw) in rows.items():
                        Write(call.tx, table, row).put(item, raw)
                else:
                    state.put_all(call.tx, table, ((row, raw) for row, (_, raw) in rows.items()))
            return {"UnprocessedItems": {}}
        shapes.check(shapes.BATCH_WRITE, request)
        wanted = request["RequestItems"]
        if any(not 1 <= len(part) <= WRITES_COUNT_MAX for part in wanted.values()):
            shown = ", ".join(
                f"{name}=[{', '.join(orjson.dumps(r).decode() for r in part)}]"
                for name, part in wanted.items()
            )
            raise invalid(
                f"1 validation error detected: Value '{{{shown}}}' at 'requestItems' failed to satisfy constraint: "
                "Map value must satisfy constraint: [Member must have length less than or equal to 25, "
                "Member must have length greater than or equal to 1]"
            )
        if sum(map(len, wanted.values())) > WRITES_COUNT_MAX:
            raise invalid("Too many items requested for the BatchWriteItem call")
        _check_names(wanted)
        for part in wanted.values():
            for each in part:
                _check_write(each)
        tables = {name: self.table(call, name) for name in wanted}
        writes = []
        for name, part in wanted.items():
            table, seen = tables[name], set()
            for each in part:
                put = each.get("PutRequest")
                if put is not None:
                    _check_put(table, put["Item"])
                    row = table.row(put["Item"])
                else:
                    table.check_key(each["DeleteRequest"]["Key"])
                    row = table.row(each["DeleteRequest"]["Key"])
                if row in seen:
                    raise invalid(_DUPLICATES)
                seen.add(row)
                writes.append((table, row, each))
        mode: str = request.get("ReturnConsumedCapacity", "NONE")
        costs: dict[str, Cost] = {}
        metrics: dict[str, list[Any]] = {}
        unprocessed: dict[str, list[Any]] = {}
        for table, row, each in writes:
            if not self._may(call, table, WRITE):
                unprocessed.setdefault(table.name, []).append(each)
                continue
            write = Write(call.tx, table, row)
            if "PutRequest" in each:
                key = each["PutRequest"]["Item"]
                write.put(key)
            else:
                key = each["DeleteRequest"]["Key"]
                write.delete()
            if table.limits:
                self.pay(write)
            if mode != "NONE":
                costs.setdefault(table.name, Cost(table)).add_write(write.old, write.new)
            if request.get("ReturnItemCollectionMetrics") == "SIZE" and (
                metric := collection_metrics(table, key)
            ):
                metrics.setdefault(table.name, []).append(metric)
        if sum(map(len, unprocessed.values())) == len(writes):
            self._refuse(call, tables, WRITE)
        response: Response = {"UnprocessedItems": unprocessed}
        if costs:
            response["ConsumedCapacity"] = [cost.answer(mode) for cost in costs.values()]
        if metrics:
            response["ItemCollectionMetrics"] = metrics
        return response

    def _plain_puts(self, call: Call, wanted: Any) -> list[tuple[Table, Rows]] | None:
        """Puts and nothing else, in tables without limits: form, values and keys checked in one walk.

        None where anything is wrong, or needs a closer look: what is said of it, and in which order, is the caller's.
        """
        if type(wanted) is not dict:
            return None
        found: list[tuple[Table, Rows]] = []
        count = 0
        try:
            for name, part in wanted.items():
                if type(part) is not list or ":" in name or not shapes.TABLE.ok(name):
                    return None
                count += len(part)
                table = state.table(call.tx, call.account, call.region, name)
                if table is None or not table.is_plain or table.limits or count > WRITES_COUNT_MAX:
                    return None
                rows: Rows = {}
                for each in part:
                    put = each.get("PutRequest") if type(each) is dict and len(each) == 1 else None
                    item = put.get("Item") if type(put) is dict and len(put) == 1 else None
                    if item is None or not is_in_order(item):
                        return None
                    row = table.item_row(item)
                    if row is None:
                        return None
                    raw = orjson.dumps(item)
                    if len(raw) > ITEM_SIZE_BYTES_MAX:  # which its size may still be below
                        return None
                    rows[row] = item, raw
                if not rows or len(rows) != len(part):
                    return None
                found.append((table, rows))
        except Fault:
            return None
        return found

    def _may(self, call: Call, table: Table, kind: str) -> bool:
        if not table.limits:
            return True
        try:
            self.meter.admit(table, kind, call.tx.time_s)
        except Fault:
            return False
        return True

    def _refuse(self, call: Call, tables: dict[str, Table], kind: str) -> None:
        """Nothing of a batch could be done: say why."""
        for table in tables.values():
            self.meter.admit(table, kind, call.tx.time_s)


def _check_given(request: Request, operation: str) -> None:
    if request.get("RequestItems") in (None, {}):
        raise invalid(f"The requestItems parameter is required for {operation}")


def _check_names(wanted: dict[str, Any]) -> None:
    for name in wanted:
        if not shapes.TABLE.ok(name):
            raise invalid(
                f"1 validation error detected: Value '{{{name}}}' at 'requestItems' failed to satisfy constraint: "
                "Map keys must satisfy constraint: [Member must have length less than or equal to 255, "
                "Member must have length greater than or equal to 3, "
                f"Member must satisfy regular expression pattern: {shapes.NAME_PATTERN}]"
            )


def _check_put(table: Table, item: Item) -> None:
    """A batch says of an item with a wrong key what it says of a wrong key."""
    try:
        table.check_item(item)
    except Fault as fault:
        if "Missing the key" in fault.message or "Type mismatch for key" in fault.message:
            raise invalid(MISMATCH) from None
        raise


def _check_write(each: dict[str, Any]) -> None:
    put, delete = each.get("PutRequest"), each.get("DeleteRequest")
    if (put is None) is (delete is None):
        raise invalid(
            "Supplied AttributeValue has more than one datatypes set, "
            "must contain exactly one of the supported datatypes"
        )
    if put is not None:
        if checked_item_size(put["Item"]) > ITEM_SIZE_BYTES_MAX:
            raise invalid("Item size has exceeded the maximum allowed size")
    elif delete is not None:
        checked_item_size(delete["Key"])
