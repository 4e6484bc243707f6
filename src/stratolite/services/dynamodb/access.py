"""What IAM is asked before a request runs: actions, resources, and DynamoDB's own condition keys.

Source  https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html
        https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Access, Call, Request
from stratolite.services.dynamodb import keyconditions, numerals, partiql, state
from stratolite.services.dynamodb.base import place_of, table_arn
from stratolite.services.dynamodb.bound import access as reach
from stratolite.services.dynamodb.bound import bind, paths_in
from stratolite.services.dynamodb.expressions import NO_VALUES, plan
from stratolite.services.dynamodb.grammar import names_in
from stratolite.services.dynamodb.table import Table

_TRANSACT = {
    "ConditionCheck": "dynamodb:ConditionCheckItem",
    "Put": "dynamodb:PutItem",
    "Update": "dynamodb:UpdateItem",
    "Delete": "dynamodb:DeleteItem",
    "Get": "dynamodb:GetItem",
}
_EVERYWHERE = frozenset(
    (
        "ListTables",
        "ListBackups",
        "ListExports",
        "ListImports",
        "DescribeLimits",
        "DescribeEndpoints",
    )
)
_PLAIN = (
    ("dynamodb:select", "Select"),
    ("dynamodb:returnvalues", "ReturnValues"),
    ("dynamodb:returnconsumedcapacity", "ReturnConsumedCapacity"),
)
_EXPRESSIONS = (
    "UpdateExpression",
    "ConditionExpression",
    "FilterExpression",
    "ProjectionExpression",
)


_OF_REGIONS = (
    ("ReplicaUpdates", "TableReplica"),
    ("GlobalTableWitnessUpdates", "GlobalTableWitness"),
)
_READING = frozenset({"Query", "Scan"})
_OF_ONE_ITEM = frozenset({"GetItem", "PutItem", "UpdateItem", "DeleteItem"})


@lru_cache(maxsize=4096)
def _one(operation: str, region: str, account: str, name: str) -> Sequence[Access]:
    arn = name if name.startswith("arn:") else f"arn:aws:dynamodb:{region}:{account}:table/{name}"
    return ((f"dynamodb:{operation}", arn),)


def needed(call: Call, operation: str, request: Request) -> Sequence[Access]:
    """All that must be allowed. The request is as it came: nothing about its form is certain yet."""
    if operation in _OF_ONE_ITEM and type(name := request.get("TableName")) is str:
        return _one(operation, call.region, call.account, name)
    action = f"dynamodb:{operation}"
    if operation in ("BatchGetItem", "BatchWriteItem"):
        names = request.get("RequestItems")
        if isinstance(names, dict) and names:
            return [(action, table_arn(call, name)) for name in names]
        return ((action, "*"),)
    if operation in ("TransactWriteItems", "TransactGetItems"):
        found = dict.fromkeys(
            (_TRANSACT[kind], table_arn(call, str(inner.get("TableName", "*"))))
            for kind, inner in _actions(request)
        )
        return list(found) or ((action, "*"),)
    if operation in _EVERYWHERE:
        return ((action, "*"),)
    if operation in _PARTIQL:
        found = dict.fromkeys(_statement_access(call, text) for text, _ in _statements(request))
        return list(found) or ((action, "*"),)
    for member in ("ResourceArn", "BackupArn", "ExportArn", "ImportArn", "TableArn"):
        if member in request:
            given = (action, str(request[member]))
            target = request.get("TargetTableName")
            return (given,) if target is None else (given, (action, table_arn(call, str(target))))
    if operation == "RestoreTableToPointInTime":
        source = request.get("SourceTableArn") or request.get("SourceTableName") or "*"
        names = (str(source), str(request.get("TargetTableName", "*")))
        return [(action, table_arn(call, name)) for name in names]
    if operation == "ImportTable":
        wanted = request.get("TableCreationParameters")
        name = wanted.get("TableName", "*") if isinstance(wanted, dict) else "*"
        return ((action, table_arn(call, str(name))),)
    arn = table_arn(call, str(request.get("TableName", "*")))
    if operation in _READING and request.get("IndexName") is not None:
        arn = f"{arn}/index/{request['IndexName']}"
    if operation == "CreateTable" and request.get("Tags"):
        return ((action, arn), ("dynamodb:TagResource", arn))
    if operation == "UpdateTable":
        more = []
        for member, what in _OF_REGIONS:
            updates = request.get(member)
            for each in updates if isinstance(updates, list) else ():
                kinds = each if isinstance(each, dict) else ()
                more += [(f"dynamodb:{k}{what}", arn) for k in ("Create", "Delete") if k in kinds]
        return list(dict.fromkeys(((action, arn), *more)))
    return ((action, arn),)


def condition_keys(
    call: Call, operation: str, request: Request, access: Access
) -> dict[str, list[str]]:
    """dynamodb:LeadingKeys, Attributes, Select, ReturnValues, EnclosingOperation for one of ``needed``."""
    arn = access[1]
    found: dict[str, list[str]] = {}
    for key, member in _PLAIN:
        if isinstance(value := request.get(member), str):
            found[key] = [value]
    if operation.startswith("Transact"):
        found["dynamodb:enclosingoperation"] = [operation]
    leading: dict[str, None] = {}
    attributes: dict[str, None] = {}
    try:
        table = state.table(call.tx, *_table_place(call, arn))
    except Fault:
        table = None
    if operation in _PARTIQL:
        if table is not None:
            _add_partiql(call, request, access, table, found)
        return found
    for part, item in _parts(call, operation, request, access):
        if isinstance(item, dict):
            attributes |= dict.fromkeys(map(str, item))
            if table is not None:
                _add_leading(leading, item.get(table.hash.name))
        attributes |= dict.fromkeys(_named(part))
    if operation == "Query" and table is not None:
        for value in _queried(table, request):
            _add_leading(leading, value)
    if leading:
        found["dynamodb:leadingkeys"] = list(leading)
    if attributes:
        found["dynamodb:attributes"] = list(attributes)
    return found


_PARTIQL = frozenset(("ExecuteStatement", "BatchExecuteStatement", "ExecuteTransaction"))
_PARTIQL_ACTIONS = {
    "select": "dynamodb:PartiQLSelect",
    "exists": "dynamodb:PartiQLSelect",
    "insert": "dynamodb:PartiQLInsert",
    "update": "dynamodb:PartiQLUpdate",
    "delete": "dynamodb:PartiQLDelete",
}


def _statements(request: Request) -> Iterator[tuple[str, Any]]:
    """(text, parameters) of all PartiQL statements in a request."""
    for member in ("Statements", "TransactStatements"):
        listed = request.get(member)
        for each in listed if isinstance(listed, list) else ():
            if isinstance(each, dict) and isinstance(each.get("Statement"), str):
                yield each["Statement"], each.get("Parameters")
    if isinstance(request.get("Statement"), str):
        yield request["Statement"], request.get("Parameters")


def _statement_access(call: Call, text: str) -> Access:
    """Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-iam.html"""
    try:
        statement = partiql.parse(text)
    except Fault:
        return ("dynamodb:PartiQLSelect", table_arn(call, "*"))  # the operation itself will say so
    arn = table_arn(call, statement.table)
    if statement.index is not None:
        arn = f"{arn}/index/{statement.index}"
    return (_PARTIQL_ACTIONS[statement.kind], arn)


def _add_partiql(
    call: Call, request: Request, access: Access, table: Table, found: dict[str, list[str]]
) -> None:
    """Condition keys for the statements that ``access`` is about."""
    leading: dict[str, None] = {}
    attributes: dict[str, None] = {}
    scans = False
    for text, parameters in _statements(request):
        if _statement_access(call, text) != access:
            continue
        try:
            bound = bind(text, parameters)
            statement = bound.statement
            attributes |= dict.fromkeys(map(str, statement.item))
            attributes |= dict.fromkeys(paths_in([statement.where] if statement.where else []))
            attributes |= dict.fromkeys(str(path[0]) for path in statement.paths or ())
            attributes |= dict.fromkeys(str(action[1][0]) for action in statement.actions)
            if statement.kind == "insert":
                _add_leading(leading, bound.item().get(table.hash.name))
                continue
            index = table.index_named.get(statement.index or "")
            hashes = reach(bound, table.keys if index is None else index.keys).hashes
            scans = scans or hashes is None
            for one in hashes or ():
                for condition in one.values():
                    _add_leading(leading, condition.values[0])
        except Fault:
            continue  # the operation itself will say so
    found["dynamodb:fulltablescan"] = ["true" if scans else "false"]
    if leading:
        found["dynamodb:leadingkeys"] = list(leading)
    if attributes:
        found["dynamodb:attributes"] = list(attributes)


def _table_place(call: Call, arn: str) -> tuple[str, str, str]:
    account, name = place_of(call, arn) if arn.startswith("arn:") else (call.account, "")
    return account, call.region, name


def resource_policy(call: Call, resource: str) -> str | None:
    """The policy of the table or stream that an ARN is about; an index's is its table's.

    Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/access-control-resource-based.html
    """
    try:
        account, region, name = _table_place(call, resource)
    except Fault:
        return None
    label = ""
    if (at := resource.find("/stream/")) >= 0:
        label = resource[at + 8 :]
    else:
        table = state.table(call.tx, account, region, name)
        if table is None or not table.has_policy:
            return None
    found = state.policy(call.tx, account, region, name, label)
    return None if found is None else found[0]


def alone(call: Call, operation: str, request: Request) -> Sequence[str] | None:
    """Whether nothing but the account's own tables without policies is asked for, as far as that is quickly said."""
    name = request.get("TableName")
    if type(name) is not str or ":" in name:
        return () if operation in _EVERYWHERE else None
    table = state.table(call.tx, call.account, call.region, name)
    if table is not None and table.has_policy:
        return None
    if operation in _OF_ONE_ITEM or (operation in _READING and "IndexName" not in request):
        return (name,)
    return ()


def _actions(request: Request) -> Iterator[tuple[str, dict[str, Any]]]:
    items = request.get("TransactItems")
    for each in items if isinstance(items, list) else ():
        for kind, inner in each.items() if isinstance(each, dict) else ():
            if kind in _TRANSACT and isinstance(inner, dict):
                yield kind, inner


def _parts(
    call: Call, operation: str, request: Request, access: Access
) -> Iterator[tuple[Mapping[str, Any], Any]]:
    """(what carries expressions, an item or key) for all of the request that ``access`` is about."""
    arn = access[1]
    if operation.startswith("Transact"):
        for kind, inner in _actions(request):
            if (_TRANSACT[kind], table_arn(call, str(inner.get("TableName", "*")))) == access:
                yield inner, inner.get("Item") or inner.get("Key")
        return
    if operation not in ("BatchGetItem", "BatchWriteItem"):
        yield request, request.get("Item") or request.get("Key")
        return
    for name, part in (request.get("RequestItems") or {}).items():
        if table_arn(call, name) != arn:
            continue
        if isinstance(part, dict):
            keys = part.get("Keys")
            for key in keys if isinstance(keys, list) else ():
                yield part, key
        for each in part if isinstance(part, list) else ():
            if isinstance(each, dict):
                put, delete = each.get("PutRequest") or {}, each.get("DeleteRequest") or {}
                yield {}, put.get("Item") or delete.get("Key")


def _add_leading(leading: dict[str, None], value: Any) -> None:
    """Numbers in the form they are stored in: "01" must not slip past what a policy says of "1"."""
    for kind, text in value.items() if isinstance(value, dict) else ():
        if kind == "N" and isinstance(text, str):
            try:
                leading[numerals.canonical(text)] = None
            except numerals.NotANumber:
                continue  # the operation itself will say so
        else:
            leading[str(text)] = None


def _named(part: Mapping[str, Any]) -> Iterator[str]:
    """The top-level attributes that a request's expressions and legacy parameters speak of."""
    try:
        for label in _EXPRESSIONS:
            if (text := part.get(label)) is not None:
                yield from names_in(text, part.get("ExpressionAttributeNames") or {})
        yield from map(str, part.get("AttributesToGet") or ())
        for member in ("AttributeUpdates", "Expected", "QueryFilter", "ScanFilter"):
            yield from map(str, part.get(member) or ())
    except (AttributeError, TypeError):
        return  # malformed: the operation itself will say so


def _queried(table: Table, request: Request) -> list[Any]:
    """The hash key a Query asks for; of its index, if it names one: each of its attributes."""
    try:
        values = request.get("ExpressionAttributeValues") or NO_VALUES
        form = {k: v for k, v in request.items() if k in _QUERY_FORM}
        if "KeyConditionExpression" in form:
            node = plan(form, _QUERY_LABELS).key_condition
            assert node is not None
            conditions = keyconditions.from_expression(node, values)
        else:
            conditions = keyconditions.from_legacy(request["KeyConditions"])
        index = table.index_named.get(request.get("IndexName", ""))
        keys = table.keys if index is None else index.keys
        return [conditions[key.name].values[0] for key in keys if key.is_hash]
    except (Fault, KeyError, TypeError, IndexError):
        return []  # malformed: the operation itself will say so


_QUERY_LABELS = ("ProjectionExpression", "FilterExpression", "KeyConditionExpression")
_QUERY_FORM = frozenset((*_QUERY_LABELS, "ExpressionAttributeNames", "ExpressionAttributeValues"))
