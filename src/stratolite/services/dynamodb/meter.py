"""Throughput that is limited: buckets that fill at the rate a table asks for and hold 300 seconds of it.

A call is let through while its bucket is not empty and pays afterwards what it has cost, so a large item may leave a debt
that is waited for. Buckets are in memory and begin full: a limiter is no fact, and counting must not write. They fill by
the cloud clock. Tables on demand have limits only where they ask for a maximum. What is paid, and what must wait, is counted for
CloudWatch.
Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/burst-adaptive-capacity.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stratolite.errors import Fault
from stratolite.services.dynamodb.capacity import Cost
from stratolite.services.dynamodb.table import Table

if TYPE_CHECKING:
    from stratolite.service import Cloud

BURST_S = 300
BUCKETS_COUNT_MAX = 10_000
READ, WRITE = "Read", "Write"
_TABLE = (
    "The level of configured provisioned throughput for the table was exceeded. "
    "Consider increasing your provisioning level with the UpdateTable API."
)
_INDEX = (
    "The level of configured provisioned throughput for one or more global secondary indexes of the table was "
    "exceeded. Consider increasing your provisioning level for the under-provisioned global secondary indexes "
    "with the UpdateTable API"
)
_MAXIMUM = "Throughput exceeds the maximum OnDemandThroughput configured on table or index"


class Meter:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._buckets: dict[tuple[int, str, str], tuple[float, float]] = {}
        """(table, index or "", kind) -> (units left, as of when)."""

    def admit(self, table: Table, kind: str, now_s: float, index: str = "") -> None:
        """Raises what DynamoDB does for a call that must wait. A write must also find room in every global index."""
        names = [index]
        if kind == WRITE:
            names += [name for (name, of) in table.limits if of == WRITE and name]
        for name in names:
            rate = table.limits.get((name, kind))
            if rate is not None and self._left(table, name, kind, rate, now_s) <= 0:
                self._count(table, name, f"{kind}ThrottleEvents", 1)
                raise _throttled(table, name, kind)

    def pay(self, table: Table, kind: str, now_s: float, cost: Cost) -> None:
        consumed = {"": cost.units}
        for name, units in cost.indexes.items():
            of = "" if table.index_named[name].is_local else name
            consumed[of] = consumed.get(of, 0.0) + units
        for name, units in consumed.items():
            self._take(table, name, kind, now_s, units)
            self._count(table, name, f"Consumed{kind}CapacityUnits", units)

    def count_refused(self, table: Table, fault: Fault) -> None:
        """A write whose condition did not hold."""
        if fault.code == "ConditionalCheckFailedException":
            self._count(table, "", "ConditionalCheckFailedRequests", 1)

    def _count(self, table: Table, index: str, name: str, value: float) -> None:
        """Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html"""
        if not value:
            return
        dimensions: tuple[tuple[str, str], ...] = (("TableName", table.name),)
        if index:
            dimensions = (("GlobalSecondaryIndexName", index), *dimensions)
        place = (table.account, table.region, "AWS/DynamoDB", dimensions)
        self._cloud.measure(*place, name, value)

    def _left(self, table: Table, name: str, kind: str, rate: float, now_s: float) -> float:
        known = self._buckets.get((table.number, name, kind))
        if known is None:
            return rate * BURST_S
        left, since_s = known
        return min(left + max(now_s - since_s, 0.0) * rate, rate * BURST_S)

    def _take(self, table: Table, name: str, kind: str, now_s: float, units: float) -> None:
        rate = table.limits.get((name, kind))
        if rate is None or not units:
            return
        left = self._left(table, name, kind, rate, now_s)
        if len(self._buckets) >= BUCKETS_COUNT_MAX:
            self._buckets.clear()
        self._buckets[table.number, name, kind] = (left - units, now_s)


def _throttled(table: Table, index: str, kind: str) -> Fault:
    what = "Index" if index else "Table"
    resource = f"{table.arn}/index/{index}" if index else table.arn
    if table.is_on_demand:
        reason = {"reason": f"{what}{kind}MaxOnDemandThroughputExceeded", "resource": resource}
        return Fault("ThrottlingException", _MAXIMUM, throttlingReasons=[reason])
    reason = {"reason": f"{what}{kind}ProvisionedThroughputExceeded", "resource": resource}
    return Fault(
        "ProvisionedThroughputExceededException",
        _INDEX if index else _TABLE,
        ThrottlingReasons=[reason],
    )
