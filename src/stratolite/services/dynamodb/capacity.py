"""ConsumedCapacity: what a call would have cost, from the sizes of what it touched.

A read unit is 4 KB read consistently, half a unit eventually; a write unit is 1 KB of the larger of the item
before and after; transactions cost twice. Index rows written or removed count on their own.
Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
"""

from __future__ import annotations

from typing import Any

from stratolite.services.dynamodb.table import Table
from stratolite.services.dynamodb.values import Item, item_size


class Cost:
    """Units of one table in one call."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.units = 0.0
        self.indexes: dict[str, float] = {}

    def answer(self, mode: str, *, kind: str = "") -> dict[str, Any]:
        """ConsumedCapacity for ReturnConsumedCapacity ``mode``; ``kind`` Read or Write adds its member."""
        total = self.units + sum(self.indexes.values())
        out: dict[str, Any] = {"TableName": self.table.name, "CapacityUnits": total}
        if kind:
            out[f"{kind}CapacityUnits"] = total
        if mode == "INDEXES":
            out["Table"] = _units(self.units, kind)
            for is_local, member in (
                (True, "LocalSecondaryIndexes"),
                (False, "GlobalSecondaryIndexes"),
            ):
                found = {
                    name: _units(units, kind)
                    for name, units in self.indexes.items()
                    if self.table.index_named[name].is_local is is_local
                }
                if found:
                    out[member] = found
        return out

    def add_read(self, size_bytes: int, *, consistent: bool, times: int = 1) -> None:
        self.units += read_units(size_bytes, consistent=consistent) * times

    def add_write(self, old: Item | None, new: Item | None, times: int = 1) -> None:
        """An item put, changed or deleted, with the index rows that change with it."""
        before = 0 if old is None else item_size(old)
        after = 0 if new is None else item_size(new)
        self.units += write_units(max(before, after)) * times
        for index in self.table.indexes:
            old_row = None if old is None else index.row(self.table, old)
            new_row = None if new is None else index.row(self.table, new)
            old_part = None if old is None or old_row is None else index.part(old)
            new_part = None if new is None or new_row is None else index.part(new)
            if old_row == new_row:
                if old_part is None or new_part is None or old_part == new_part:
                    continue
                units = write_units(max(item_size(old_part), item_size(new_part)))
            else:
                units = sum(
                    write_units(item_size(p)) for p in (old_part, new_part) if p is not None
                )
            self.indexes[index.name] = self.indexes.get(index.name, 0) + units * times


def _units(units: float, kind: str) -> dict[str, float]:
    return {"CapacityUnits": units, **({f"{kind}CapacityUnits": units} if kind else {})}


def read_units(size_bytes: int, *, consistent: bool) -> float:
    whole = max(1, -(-size_bytes // 4096))
    return float(whole) if consistent else whole / 2


def write_units(size_bytes: int) -> int:
    return max(1, -(-size_bytes // 1024))
