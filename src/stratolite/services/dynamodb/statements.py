"""ExecuteStatement, BatchExecuteStatement and ExecuteTransaction: PartiQL carried out as the reads and writes it means.

Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.html
"""

from __future__ import annotations

import base64
import binascii
from functools import partial
from hashlib import sha256
from typing import Any

import orjson

from stratolite.core import Span
from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.dynamodb import partiql, shapes, state, strong
from stratolite.services.dynamodb.bound import (
    Bound,
    access,
    all_of,
    bind,
    paths_in,
    single_key,
)
from stratolite.services.dynamodb.capacity import Cost
from stratolite.services.dynamodb.conditions import Values, find
from stratolite.services.dynamodb.expressions import Plan
from stratolite.services.dynamodb.faults import invalid
from stratolite.services.dynamodb.grammar import Path
from stratolite.services.dynamodb.items import check_targets
from stratolite.services.dynamodb.meter import WRITE
from stratolite.services.dynamodb.reading import Page, Reading, span_of
from stratolite.services.dynamodb.table import KeyAttribute, Table
from stratolite.services.dynamodb.transactions import Action, Transactions, check_distinct
from stratolite.services.dynamodb.updates import compile_update
from stratolite.services.dynamodb.values import (
    ITEM_SIZE_BYTES_MAX,
    Item,
    checked_item_size,
    item_size,
)
from stratolite.services.dynamodb.writes import Write

_TOO_LARGE = "Item size has exceeded the maximum allowed size"
_RETURNS = {
    "ALL OLD": "ALL_OLD",
    "ALL NEW": "ALL_NEW",
    "MODIFIED OLD": "UPDATED_OLD",
    "MODIFIED NEW": "UPDATED_NEW",
}
_BATCH_CODES = {
    "ConditionalCheckFailedException": "ConditionalCheckFailed",
    "DuplicateItemException": "DuplicateItem",
    "ItemCollectionSizeLimitExceededException": "ItemCollectionSizeLimitExceeded",
    "ProvisionedThroughputExceededException": "ProvisionedThroughputExceeded",
    "ResourceNotFoundException": "ResourceNotFound",
    "ValidationException": "ValidationError",
}
_SELECT_IN_BATCH = "Select statements within BatchExecuteStatement must specify the primary key in the where clause."
_SELECT_IN_TRANSACTION = (
    "Select statements within ExecuteTransaction must specify the primary key in the where clause."
)
_EXISTS = "EXISTS() must contain a single item read with additional condition"


class Statements(Reading, Transactions):
    def execute_statement(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.EXECUTE_STATEMENT, request)
        bound = bind(request["Statement"], request.get("Parameters"))
        if bound.statement.kind == "exists":
            raise invalid("EXISTS can only be used in ExecuteTransaction write requests.")
        if bound.statement.kind == "select":
            return self._select(call, bound, request)
        if request.get("NextToken") is not None:
            raise invalid("NextToken does not match request")
        table = self.table(call, bound.statement.table)
        mode: str = request.get("ReturnConsumedCapacity", "NONE")
        cost = Cost(table)
        item = self._write(call, bound, table, request, cost)
        response: Response = {"Items": [] if item is None else [item]}
        if mode != "NONE":
            response["ConsumedCapacity"] = cost.answer(mode)
        return response

    def batch_execute_statement(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.BATCH_STATEMENT, request)
        costs: dict[str, Cost] = {}
        rows: set[bytes] = set()
        kinds: set[bool] = set()
        responses = [self._member(call, each, costs, rows, kinds) for each in request["Statements"]]
        response: Response = {"Responses": responses}
        mode: str = request.get("ReturnConsumedCapacity", "NONE")
        if mode != "NONE":
            response["ConsumedCapacity"] = [cost.answer(mode) for cost in costs.values()]
        return response

    def _member(
        self,
        call: Call,
        each: Request,
        costs: dict[str, Cost],
        rows: set[bytes],
        kinds: set[bool],
    ) -> Response:
        """One statement's entry in a batch's answer; what it cannot do is said there and undone."""
        answer: Response = {}
        try:
            with call.tx.savepoint():
                bound = bind(each["Statement"], each.get("Parameters"))
                statement = bound.statement
                if statement.kind == "exists":
                    raise invalid("EXISTS can only be used in ExecuteTransaction write requests.")
                is_read = statement.kind == "select"
                kinds.add(is_read)
                if len(kinds) > 1:
                    raise invalid(
                        "The entire batch must consist of either read statements or write statements"
                    )
                table = self.table(call, statement.table)
                answer["TableName"] = table.name
                cost = costs.setdefault(table.name, Cost(table))
                if is_read:
                    key = _read_key(bound, table, _SELECT_IN_BATCH)
                    item = _get(
                        call, bound, table, key, cost, consistent=each.get("ConsistentRead", False)
                    )
                else:
                    row = _row(bound, table)
                    if row in rows:
                        raise invalid("Provided list of item keys contains duplicates")
                    rows.add(row)
                    item = self._write(call, bound, table, each, cost)
                if item is not None and item != {}:
                    answer["Item"] = item
        except Fault as fault:
            code = _BATCH_CODES.get(fault.code)
            if code is None:
                raise
            if fault.message == _SELECT_IN_BATCH:
                answer.pop("TableName", None)
            message = fault.message
            if code == "ResourceNotFound":
                message = "Requested resource not found"
            answer["Error"] = {"Code": code, "Message": message, **fault.members}
        return answer

    def execute_transaction(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.TRANSACT_STATEMENT, request)
        bounds = []
        for i, each in enumerate(request["TransactStatements"]):
            bound = bind(each["Statement"], each.get("Parameters"))
            if bound.statement.returning is not None:
                raise _failed(i, "RETURNING clause is not supported in ExecuteTransaction.")
            bounds.append(bound)
        reads = [bound.statement.kind == "select" for bound in bounds]
        if all(reads):
            return self._read_all(call, bounds, request)
        if any(reads):
            raise _failed(reads.index(True), "Unsupported operation in transaction.")
        if all(bound.statement.kind == "exists" for bound in bounds):
            raise _failed(0, "Unsupported operation in transaction.")
        make = partial(self._actions_of, call, bounds, request["TransactStatements"])
        response = self.carry_out(call, request, "TransactStatements", make)
        return {"Responses": [{} for _ in bounds], **response}

    # -- reads

    def _select(self, call: Call, bound: Bound, request: Request) -> Response:
        statement = bound.statement
        table = self.table(call, statement.table)
        index = None
        if statement.index is not None:
            index = table.index_named.get(statement.index)
            if index is None:
                raise invalid("The table does not have the specified index")
            if not index.is_local and request.get("ConsistentRead"):
                raise invalid(
                    "Strongly consistent read is not supported on Global Secondary Indexes"
                )
        keys = table.keys if index is None else index.keys
        found = access(bound, keys)
        if index is not None and not index.projects_all:
            named = dict.fromkeys(paths_in(found.rest))
            missing = [name for name in named if name not in index.projected]
            if missing:
                raise invalid(
                    f"One or more parameter values were invalid: Secondary index {index.name} "
                    f"does not project one or more filter attributes: [{', '.join(missing)}]"
                )
        plain: dict[str, Any] = {
            name: request[name]
            for name in ("ConsistentRead", "Limit", "ReturnConsumedCapacity")
            if name in request
        }
        plain["ExpressionAttributeValues"] = bound.values
        if statement.index is not None:
            plain["IndexName"] = statement.index
        forms = Plan()
        forms.filter, forms.projection = all_of(found.rest), statement.paths
        for node in found.rest:
            forms.filter_node = (
                node if forms.filter_node is None else ("and", forms.filter_node, node)
            )
        page = Page(call, table, plain, forms, "")
        page.check_paths(forms)
        if statement.paths is not None:
            page.shape = partial(_projected, paths=statement.paths)
        prefix = table.prefix if index is None else index.prefix
        reverse = _is_reverse(bound, keys, found.hashes)
        if found.hashes is None:
            spans = [state.whole_span(prefix)]
        else:
            spans = [span_of(prefix, keys, one | found.ranges) for one in found.hashes]
            if reverse and len(spans) > 1:
                spans.reverse()
        if (token := request.get("NextToken")) is not None:
            row = page.start_row(_cursor(request, token))
            rest: list[Span] = []
            for low, high in spans:
                if not rest and not low <= row < high:
                    continue
                if not rest:
                    rest.append((low, row) if reverse else (row + b"\xff", high))
                else:
                    rest.append((low, high))
            spans = rest
        response = self.metered(page, *spans, reverse=reverse)
        del response["Count"], response["ScannedCount"]
        if (last := response.get("LastEvaluatedKey")) is not None:
            response["NextToken"] = _token(request, last)
        return response

    def _read_all(self, call: Call, bounds: list[Bound], request: Request) -> Response:
        gets = []
        for i, bound in enumerate(bounds):
            if bound.statement.index is not None:
                raise _failed(i, "Reads on indices are not supported within transactions.")
            table = self.table(call, bound.statement.table)
            strong.check_transaction(table)
            try:
                key = _read_key(bound, table, _SELECT_IN_TRANSACTION)
            except Fault as fault:
                raise _failed(i, fault.message) from None
            gets.append((bound, table, key))
        check_distinct([table.row(key) for _, table, key in gets])
        costs: dict[str, Cost] = {}
        responses: list[Response] = []
        for bound, table, key in gets:
            cost = costs.setdefault(table.name, Cost(table))
            item = _get(call, bound, table, key, cost, consistent=True, times=2)
            responses.append({} if item is None else {"Item": item})
        response: Response = {"Responses": responses}
        mode: str = request.get("ReturnConsumedCapacity", "NONE")
        if mode != "NONE":
            response["ConsumedCapacity"] = [c.answer(mode, kind="Read") for c in costs.values()]
        return response

    # -- writes

    def _write(self, call: Call, bound: Bound, table: Table, request: Request, cost: Cost) -> Any:
        """Carry out an INSERT, UPDATE or DELETE; what it returns, None if nothing."""
        statement = bound.statement
        action = _action(bound, table, request)
        if action.fault is not None:
            raise action.fault
        if table.limits:
            self.meter.admit(table, WRITE, call.tx.time_s)
        write = Write(call.tx, table, action.row)
        if statement.kind == "insert" and statement.ignores_conflict and write.raw is not None:
            cost.add_write(write.old, write.old)
            return None
        action.run(write)
        cost.add_write(write.old, write.new)
        if table.limits:
            self.pay(write)
        if statement.returning is None:
            return None
        found = write.attributes(_RETURNS[statement.returning], action.forms.targets)
        return found or None

    def _actions_of(
        self, call: Call, bounds: list[Bound], statements: list[Request]
    ) -> list[Action]:
        actions = []
        for i, (bound, each) in enumerate(zip(bounds, statements, strict=True)):
            table = self.table(call, bound.statement.table)
            strong.check_transaction(table)
            try:
                actions.append(_action(bound, table, each))
            except Fault as fault:
                raise _failed(i, fault.message) from None
        return actions


class StatementAction(Action):
    """A statement in the form of an action of a TransactWriteItems."""

    __slots__ = ()

    def run(self, write: Write | None) -> None:
        try:
            super().run(write)
        except Fault as fault:
            if self.kind == "Put" and fault.code == "ConditionalCheckFailedException":
                raise Fault(
                    "DuplicateItemException",
                    "Duplicate primary key exists in table",
                    **fault.members,
                ) from None
            raise


def _action(bound: Bound, table: Table, request: Request) -> Action:
    statement, forms = bound.statement, Plan()
    wanted: dict[str, Any] = {"ExpressionAttributeValues": bound.values}
    if (mode := request.get("ReturnValuesOnConditionCheckFailure")) is not None:
        wanted["ReturnValuesOnConditionCheckFailure"] = mode
    if statement.kind == "insert":
        item = bound.item()
        if checked_item_size(item) > ITEM_SIZE_BYTES_MAX:
            raise invalid(_TOO_LARGE)
        forms.condition = _is_new
        return StatementAction("Put", {**wanted, "Item": item}, table, forms)
    if statement.kind == "exists":
        if statement.index is not None:
            raise invalid("Operations on indices are not supported in transactions")
        key, rest = single_key(bound, table, message=_EXISTS)
        if not rest:
            raise invalid(_EXISTS)
        forms.condition = _there_and(all_of(rest))
        return StatementAction("ConditionCheck", {**wanted, "Key": key}, table, forms)
    key, rest = single_key(bound, table)
    test = all_of(rest)
    if statement.kind == "delete":
        if test is not None:
            forms.condition = _absent_or(test)
        return StatementAction("Delete", {**wanted, "Key": key}, table, forms)
    forms.condition = _there_and(test)
    forms.update = compile_update(statement.actions)
    forms.targets = [action[1] for action in statement.actions]
    forms.nested = frozenset(str(path[0]) for path in forms.targets)
    check_targets(table, forms.targets)
    return StatementAction("Update", {**wanted, "Key": key}, table, forms)


def _is_new(item: Item, _values: Values) -> bool:
    return not item


def _there_and(test: Any) -> Any:
    """An UPDATE changes an item that is there; it never makes one."""
    if test is None:
        return lambda item, _: bool(item)
    return lambda item, values: bool(item) and test(item, values)


def _absent_or(test: Any) -> Any:
    """A DELETE of what is not there asks nothing."""
    return lambda item, values: not item or test(item, values)


def _row(bound: Bound, table: Table) -> bytes:
    if bound.statement.kind == "insert":
        item = bound.item()
        table.check_item(item)
        return table.row(item)
    return table.row(single_key(bound, table)[0])


def _read_key(bound: Bound, table: Table, message: str) -> Item:
    """The key of the one item that a SELECT in a batch or transaction reads, which is all it may ask for."""
    if bound.statement.index is not None:
        raise invalid(message)
    try:
        key, rest = single_key(bound, table, message=message)
    except Fault as fault:
        if fault.message.startswith("Multiple conditions"):
            raise invalid(message) from None
        raise
    if rest:
        raise invalid(message)
    table.check_key(key)
    return key


def _get(
    call: Call,
    bound: Bound,
    table: Table,
    key: Item,
    cost: Cost,
    *,
    consistent: bool,
    times: int = 1,
) -> Any:
    raw = state.get(call.tx, table.row(key), table.seal)
    item = None if raw is None else orjson.loads(raw)
    cost.add_read(0 if item is None else item_size(item), consistent=consistent, times=times)
    if item is None or bound.statement.paths is None:
        return None if raw is None else orjson.Fragment(raw)
    return _projected(item, bound.statement.paths)


def _projected(item: Item, paths: list[Path]) -> Item:
    """PartiQL's projection: what lies at each path, by the path's last name."""
    out: Item = {}
    for path in paths:
        value = find(item, path)
        if value is not None:
            out[partiql.projected_name(path)] = value
    return out


def _is_reverse(bound: Bound, keys: list[KeyAttribute], hashes: list[Any] | None) -> bool:
    order = bound.statement.order
    if not order:
        return False
    names = [key.name for key in keys]
    ranges = {key.name for key in keys if not key.is_hash}
    for name, _ in order:
        if name not in names:
            raise invalid(
                f"Variable reference {name} in ORDER BY clause must be part of the primary key"
            )
    if hashes is None:
        raise invalid(
            "Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY clause."
        )
    if len(hashes) > 1 and dict(order).keys().isdisjoint(k.name for k in keys if k.is_hash):
        raise invalid(
            "Must have hash key in ORDER BY clause when more than one hash key condition specified in WHERE clause."
        )
    if len({down for name, down in order if name in ranges}) > 1:
        raise invalid("ORDER BY must read all attributes of the range key in one direction")
    return order[-1][1]


def _failed(i: int, message: str) -> Fault:
    return invalid(f"Validation failed in TransactStatements[{i}]: {message}")


# -- tokens


def _digest(request: Request) -> str:
    text = orjson.dumps([request["Statement"], request.get("Parameters")])
    return sha256(text).hexdigest()[:24]


def _token(request: Request, last: Item) -> str:
    return base64.b64encode(orjson.dumps([_digest(request), last])).decode()


def _cursor(request: Request, token: str) -> Item:
    try:
        digest, last = orjson.loads(base64.b64decode(token, validate=True))
    except (binascii.Error, ValueError, TypeError):
        raise invalid("Invalid NextToken") from None
    if digest != _digest(request):
        raise invalid("NextToken does not match request")
    if not isinstance(last, dict):
        raise invalid("Invalid NextToken")
    return last
