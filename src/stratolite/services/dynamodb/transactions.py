"""TransactWriteItems and TransactGetItems: one store transaction, which is all or nothing by itself.

Conflicts cannot happen: transactions run one after another, so TransactionConflict is never answered.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.dynamodb import shapes, state, strong
from stratolite.services.dynamodb.base import Base
from stratolite.services.dynamodb.capacity import Cost
from stratolite.services.dynamodb.expressions import NO_VALUES, Plan, plan
from stratolite.services.dynamodb.faults import invalid
from stratolite.services.dynamodb.items import check_targets, nested_of, projection_of
from stratolite.services.dynamodb.meter import READ, WRITE
from stratolite.services.dynamodb.projections import project
from stratolite.services.dynamodb.table import Table
from stratolite.services.dynamodb.values import (
    ITEM_SIZE_BYTES_MAX,
    Item,
    checked_item_size,
    item_size,
)
from stratolite.services.dynamodb.writes import Write, collection_metrics

TRANSACTION_SIZE_BYTES_MAX = 4 << 20
_KINDS = ("ConditionCheck", "Put", "Delete", "Update")
_REPEATED = "Transaction request cannot include multiple operations on one item"


class Action:
    """One checked action of a TransactWriteItems."""

    __slots__ = ("fault", "forms", "key", "kind", "request", "row", "table")

    def __init__(self, kind: str, request: dict[str, Any], table: Table, forms: Plan) -> None:
        self.kind, self.request, self.table, self.forms = kind, request, table, forms
        self.key = request["Item"] if kind == "Put" else request["Key"]
        self.fault = _key_fault(table.check_item if kind == "Put" else table.check_key, self.key)
        """What is wrong with the key, which cancels the transaction."""
        self.row = b"" if self.fault is not None else table.row(self.key)

    def run(self, write: Write | None) -> None:
        """Check the condition and write. Raises Fault where this action cancels the transaction."""
        if self.fault is not None:
            raise self.fault
        assert write is not None, "only a faulty key names no row"
        write.check(self.forms.condition, self.request)
        if self.kind == "Put":
            write.put(self.key)
        elif self.kind == "Delete":
            write.delete()
        elif self.kind == "Update":
            values = self.request.get("ExpressionAttributeValues") or NO_VALUES
            write.update(self.key, self.forms.update, values, self.forms)


class Transactions(Base):
    def transact_write_items(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.TRANSACT_WRITE, request)
        return self.carry_out(call, request, "TransactItems", partial(self._actions, call, request))

    def carry_out(
        self, call: Call, request: Request, member: str, make: Callable[[], list[Action]]
    ) -> Response:
        """All of the actions that ``make`` finds in the request's ``member``, or none; once for a ClientRequestToken."""
        token = request.get("ClientRequestToken")
        tx, keys = call.tx, call.keys("dynamodb")
        mode: str = request.get("ReturnConsumedCapacity", "NONE")
        costs: dict[str, Cost] = {}
        digest = ""
        if token is not None:
            digest = sha256(orjson.dumps(request[member], option=orjson.OPT_SORT_KEYS)).hexdigest()
            known = state.token(tx, keys, token)
            if known is not None:
                if known[0] != digest:
                    raise Fault(
                        "IdempotentParameterMismatchException",
                        "DynamoDB rejected the request because you retried a request with a different payload "
                        "but with an idempotent token that was already used.",
                    )
                return self._repeated(call, mode, make)
        actions = make()
        check_distinct([action.row for action in actions])
        reasons: list[dict[str, Any]] = []
        metrics: dict[str, list[Any]] = {}
        for action in actions:
            write = Write(tx, action.table, action.row) if action.row else None
            try:
                if action.table.limits:
                    self.meter.admit(action.table, WRITE, tx.time_s)
                action.run(write)
                reasons.append({"Code": "None"})
            except Fault as fault:
                reasons.append(_reason(fault))
                continue
            assert write is not None, "it ran"
            if action.table.limits:
                self.pay(write, 2)
            if mode != "NONE":
                name = action.table.name
                costs.setdefault(name, Cost(action.table)).add_write(write.old, write.new, 2)
            if request.get("ReturnItemCollectionMetrics") == "SIZE" and (
                metric := collection_metrics(action.table, action.key)
            ):
                metrics.setdefault(action.table.name, []).append(metric)
        cancel_unless_all_good(reasons)
        if token is not None:
            state.put_token(tx, keys, token, digest)
        response: Response = {}
        if costs:
            response["ConsumedCapacity"] = [c.answer(mode, kind="Write") for c in costs.values()]
        if metrics:
            response["ItemCollectionMetrics"] = metrics
        return response

    def _repeated(self, call: Call, mode: str, make: Callable[[], list[Action]]) -> Response:
        """What was done is not done again; DynamoDB counts the reading of what is there."""
        if mode == "NONE":
            return {}
        costs: dict[str, Cost] = {}
        for action in make():
            raw = state.get(call.tx, action.row, action.table.seal) if action.row else None
            size = 0 if raw is None else item_size(orjson.loads(raw))
            cost = costs.setdefault(action.table.name, Cost(action.table))
            cost.add_read(size, consistent=True, times=2)
        return {"ConsumedCapacity": [c.answer(mode, kind="Read") for c in costs.values()]}

    def _actions(self, call: Call, request: Request) -> list[Action]:
        actions, total = [], 0
        for each in request["TransactItems"]:
            action, size = self._action(call, each)
            actions.append(action)
            total += size
        if total > TRANSACTION_SIZE_BYTES_MAX:
            raise invalid("Transaction request size has exceeded the maximum allowed size of 4 MB")
        return actions

    def _action(self, call: Call, each: dict[str, Any]) -> tuple[Action, int]:
        kinds = [kind for kind in _KINDS if kind in each]
        if len(kinds) != 1:
            raise invalid("TransactItems can only contain one of Check, Put, Update or Delete")
        kind = kinds[0]
        request = each[kind]
        size = checked_item_size(request["Item"] if kind == "Put" else request["Key"])
        if size > ITEM_SIZE_BYTES_MAX:
            raise invalid("Item size has exceeded the maximum allowed size")
        labels = ("ConditionExpression",)
        forms = plan(request, ("UpdateExpression", *labels) if kind == "Update" else labels)
        table = self.table(call, request["TableName"])
        strong.check_transaction(table)
        check_targets(table, forms.targets)
        if forms.nested:
            table.check_nested(forms.nested)
        return Action(kind, request, table, forms), size

    def transact_get_items(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.TRANSACT_GET, request)
        gets = []
        reasons: list[dict[str, Any]] = []
        for each in request["TransactItems"]:
            get = each["Get"]
            paths = projection_of(get)
            checked_item_size(get["Key"])
            table = self.table(call, get["TableName"])
            strong.check_transaction(table)
            fault = _key_fault(table.check_key, get["Key"])
            reasons.append({"Code": "None"} if fault is None else _reason(fault))
            if paths is not None:
                table.check_nested(nested_of(paths))
            gets.append((table, b"" if fault is not None else table.row(get["Key"]), paths))
        check_distinct([row for _, row, _ in gets])
        cancel_unless_all_good(reasons)
        mode: str = request.get("ReturnConsumedCapacity", "NONE")
        costs: dict[str, Cost] = {}
        responses: list[dict[str, Any]] = []
        total = 0
        for table, row, paths in gets:
            if table.limits:
                self.meter.admit(table, READ, call.tx.time_s)
            raw = state.get(call.tx, row, table.seal)
            if table.limits:
                cost = Cost(table)
                size = 0 if raw is None else item_size(orjson.loads(raw))
                cost.add_read(size, consistent=True, times=2)
                self.meter.pay(table, READ, call.tx.time_s, cost)
            if raw is None:
                responses.append({})
            elif paths is None:
                responses.append({"Item": orjson.Fragment(raw)})
            else:
                responses.append({"Item": project(orjson.loads(raw), paths)})
            total += len(raw or b"")
            if total > TRANSACTION_SIZE_BYTES_MAX:
                raise invalid(
                    "Transaction response size has exceeded the maximum allowed size of 4 MB"
                )
            if mode != "NONE":
                size = 0 if raw is None else item_size(orjson.loads(raw))
                costs.setdefault(table.name, Cost(table)).add_read(size, consistent=True, times=2)
        response: Response = {"Responses": responses}
        if costs:
            response["ConsumedCapacity"] = [c.answer(mode, kind="Read") for c in costs.values()]
        return response


def _key_fault(check: Callable[[Item], None], key: Item) -> Fault | None:
    """What ``check`` finds wrong with ``key``; an empty value is refused at once, as DynamoDB does."""
    try:
        check(key)
    except Fault as fault:
        if fault.message.startswith("One or more parameter values are not valid"):
            raise
        return fault
    return None


def check_distinct(rows: list[bytes]) -> None:
    named = [row for row in rows if row]
    if len(set(named)) != len(named):
        raise invalid(_REPEATED)


def cancel_unless_all_good(reasons: list[dict[str, Any]]) -> None:
    codes = [reason["Code"] for reason in reasons]
    if any(code != "None" for code in codes):
        raise Fault(
            "TransactionCanceledException",
            "Transaction cancelled, please refer cancellation reasons for specific reasons "
            f"[{', '.join(codes)}]",
            CancellationReasons=reasons,
        )


_THROTTLED = {
    "ProvisionedThroughputExceededException": "ProvisionedThroughputExceeded",
    "ThrottlingException": "ThrottlingError",
}


def _reason(fault: Fault) -> dict[str, Any]:
    """A CancellationReason for what one action ran into."""
    if fault.code == "ConditionalCheckFailedException":
        return {"Code": "ConditionalCheckFailed", "Message": fault.message, **fault.members}
    if fault.code in _THROTTLED:
        return {"Code": _THROTTLED[fault.code], "Message": fault.message}
    if fault.code == "DuplicateItemException":
        return {"Code": "DuplicateItem", "Message": fault.message, **fault.members}
    if fault.code == "ValidationException":
        return {"Code": "ValidationError", "Message": fault.message}
    raise fault
