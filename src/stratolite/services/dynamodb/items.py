"""PutItem, GetItem, UpdateItem and DeleteItem."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.dynamodb import legacy, shapes, state
from stratolite.services.dynamodb.base import Base
from stratolite.services.dynamodb.capacity import Cost
from stratolite.services.dynamodb.expressions import NO_VALUES, check_use, plan
from stratolite.services.dynamodb.faults import invalid
from stratolite.services.dynamodb.grammar import Path
from stratolite.services.dynamodb.meter import READ, WRITE
from stratolite.services.dynamodb.projections import project
from stratolite.services.dynamodb.table import Table
from stratolite.services.dynamodb.values import (
    ITEM_SIZE_BYTES_MAX,
    checked_item_size,
    item_size,
)
from stratolite.services.dynamodb.writes import ALL_OLD, Write

_CONDITION = ("ConditionExpression",)
_EXPECTED = ("Expected",)
_UPDATE = ("UpdateExpression", "ConditionExpression")
_UPDATE_LEGACY = ("AttributeUpdates", "Expected")
_PROJECTION = ("ProjectionExpression",)
_TO_GET = ("AttributesToGet",)
_TOO_LARGE = "Item size has exceeded the maximum allowed size"


class Items(Base):
    def get_item(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.GET_ITEM, request)
        key, name = request["Key"], request["TableName"]
        table = state.table(call.tx, call.account, call.region, name)
        row = None if table is None or not table.is_plain else table.plain_row(key)
        if row is None:
            first_checked(request, key, _PROJECTION, _TO_GET)
        paths = projection_of(request)
        if table is None or row is None:
            table = self.table(call, name)
            table.check_key(key)
            row = table.row(key)
        if table.limits:
            self.meter.admit(table, READ, call.tx.time_s)
        if paths is not None:
            table.check_nested(nested_of(paths))
        raw = state.get(call.tx, row, table.seal)
        response: Response = {}
        if raw is not None:
            if paths is None:
                response["Item"] = orjson.Fragment(raw)
            else:
                response["Item"] = project(orjson.loads(raw), paths)
        mode = request.get("ReturnConsumedCapacity")
        if table.limits or (mode is not None and mode != "NONE"):
            cost = Cost(table)
            size = 0 if raw is None else item_size(orjson.loads(raw))
            cost.add_read(size, consistent=request.get("ConsistentRead", False))
            if table.limits:
                self.meter.pay(table, READ, call.tx.time_s, cost)
            if mode is not None and mode != "NONE":
                response["ConsumedCapacity"] = cost.answer(mode)
        return response

    def put_item(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.PUT_ITEM, request)
        item = request["Item"]
        if first_checked(request, item, _CONDITION, _EXPECTED) > ITEM_SIZE_BYTES_MAX:
            raise invalid(_TOO_LARGE)
        returns = request.get("ReturnValues")
        if returns is not None and returns not in ("NONE", "ALL_OLD"):
            raise invalid("ReturnValues can only be ALL_OLD or NONE")
        forms = plan(request, _CONDITION, _EXPECTED)
        test = forms.condition or legacy.expected_test(request)
        table = self.table(call, request["TableName"])
        table.check_item(item)
        if forms.nested:
            table.check_nested(forms.nested)
        if table.limits:
            self.meter.admit(table, WRITE, call.tx.time_s)
        write = Write(call.tx, table, table.row(item))
        try:
            write.check(test, request)
        except Fault as fault:
            self.meter.count_refused(table, fault)
            raise
        write.put(item)
        if table.limits:
            self.pay(write)
        return write.answer(request, item, ALL_OLD if returns == "ALL_OLD" else None)

    def delete_item(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.DELETE_ITEM, request)
        key = request["Key"]
        first_checked(request, key, _CONDITION, _EXPECTED)
        returns = request.get("ReturnValues")
        if returns is not None and returns not in ("NONE", "ALL_OLD"):
            raise invalid("ReturnValues can only be ALL_OLD or NONE")
        forms = plan(request, _CONDITION, _EXPECTED)
        test = forms.condition or legacy.expected_test(request)
        table = self.table(call, request["TableName"])
        table.check_key(key)
        if forms.nested:
            table.check_nested(forms.nested)
        if table.limits:
            self.meter.admit(table, WRITE, call.tx.time_s)
        write = Write(call.tx, table, table.row(key))
        try:
            write.check(test, request)
        except Fault as fault:
            self.meter.count_refused(table, fault)
            raise
        write.delete()
        if table.limits:
            self.pay(write)
        return write.answer(request, key, ALL_OLD if returns == "ALL_OLD" else None)

    def update_item(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.UPDATE_ITEM, request)
        key = request["Key"]
        first_checked(request, key, _UPDATE, _UPDATE_LEGACY)
        forms = plan(request, _UPDATE, _UPDATE_LEGACY)
        updates = request.get("AttributeUpdates")
        if updates is None:
            apply, targets = forms.update, forms.targets
        else:
            apply, targets = legacy.attribute_updates(updates)
        test = forms.condition or legacy.expected_test(request)
        table = self.table(call, request["TableName"])
        table.check_key(key)
        check_targets(table, targets)
        if forms.nested:
            table.check_nested(forms.nested)
        if table.limits:
            self.meter.admit(table, WRITE, call.tx.time_s)
        write = Write(call.tx, table, table.row(key))
        try:
            write.check(test, request)
        except Fault as fault:
            self.meter.count_refused(table, fault)
            raise
        if write.raw is None and updates is not None and not legacy.creates_item(updates):
            return write.answer(request, key, None)
        write.update(key, apply, request.get("ExpressionAttributeValues") or NO_VALUES, forms)
        if table.limits:
            self.pay(write)
        returns = request.get("ReturnValues")
        if returns is None or returns == "NONE":
            return write.answer(request, key, None)
        return write.answer(request, key, returns, targets)


def first_checked(
    request: Mapping[str, Any], item: Any, labels: tuple[str, ...], legacy: tuple[str, ...]
) -> int:
    """``checked_item_size``, but what ``check_use`` would say is said first."""
    try:
        return checked_item_size(item)
    except Fault:
        check_use(request, labels, legacy)
        raise


def check_targets(table: Table, targets: list[Path]) -> None:
    for path in targets:
        if path[0] in table.key_names:
            raise invalid(
                "One or more parameter values were invalid: "
                f"Cannot update attribute {path[0]}. This attribute is part of the key"
            )


def projection_of(request: Mapping[str, Any]) -> list[Path] | None:
    """The paths a GetItem (or a table of a batch) asks for; None means all."""
    if "ProjectionExpression" not in request and "ExpressionAttributeNames" not in request:
        return legacy.attributes_to_get(request) if "AttributesToGet" in request else None
    forms = plan(request, _PROJECTION, _TO_GET)
    if forms.projection is not None:
        return forms.projection
    return legacy.attributes_to_get(request)


def nested_of(paths: list[Path]) -> frozenset[str]:
    return frozenset(str(path[0]) for path in paths if len(path) > 1)
