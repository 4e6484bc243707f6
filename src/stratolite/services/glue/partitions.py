"""Operations on partitions."""

from __future__ import annotations

import base64
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.glue import bus, expression, names, state

_GET_MAX = 1000


class Partitions(Service):
    def create_partition(self, call: Call, request: Request) -> Response:
        table, record = names.table(call, request)
        made = _create(call, table, record, request["PartitionInput"])
        bus.tell_of_table(call, table, "CreatePartition", [made])
        return {}

    def batch_create_partition(self, call: Call, request: Request) -> Response:
        table, record = names.table(call, request)
        errors, made = [], []
        for given in _batch(request["PartitionInputList"]):
            try:
                made.append(_create(call, table, record, given))
            except Fault as fault:
                errors.append(_error(given.get("Values") or [], fault))
        _tell(call, table, "BatchCreatePartition", made)
        return {"Errors": errors}

    def get_partition(self, call: Call, request: Request) -> Response:
        table, _ = names.table(call, request)
        values = tuple(request["PartitionValues"])
        return {"Partition": _described(call, table, values, _known(call, table, values))}

    def batch_get_partition(self, call: Call, request: Request) -> Response:
        table, _ = names.table(call, request)
        given = request["PartitionsToGet"]
        if len(given) > _GET_MAX:
            raise Fault("InvalidInputException", f"At most {_GET_MAX} in a batch.")
        found = []
        for one in given:
            values = tuple(one["Values"])
            record = state.get_partition(call.tx, table, values)
            if record is not None:
                found.append(_described(call, table, values, record))
        return {"Partitions": found, "UnprocessedKeys": []}

    def get_partitions(self, call: Call, request: Request) -> Response:
        names.refuse(request, "Segment", "TransactionId", "QueryAsOfTime")
        table, record = names.table(call, request)
        most = names.limit(request)
        keys = [
            (k["Name"].lower(), k.get("Type", "string"))
            for k in record["input"].get("PartitionKeys") or ()
        ]
        wanted = expression.compiled(request.get("Expression") or "", keys)
        token = request.get("NextToken")
        after = tuple(_values(token)) if token else None
        shown: list[dict[str, Any]] = []
        for looked_at, (values, partition) in enumerate(state.partitions(call.tx, table, after)):
            if len(shown) >= most or looked_at >= names.LOOKED_AT_MAX:
                assert after is not None
                text = base64.b64encode(orjson.dumps(after)).decode()
                return {"Partitions": shown, "NextToken": text}
            after = values
            if wanted(values):
                described = _described(call, table, values, partition)
                if request.get("ExcludeColumnSchema"):
                    storage = dict(described.get("StorageDescriptor") or {})
                    storage.pop("Columns", None)
                    described["StorageDescriptor"] = storage
                shown.append(described)
        return {"Partitions": shown}

    def update_partition(self, call: Call, request: Request) -> Response:
        table, record = names.table(call, request)
        _update(call, table, record, request["PartitionValueList"], request["PartitionInput"])
        bus.tell_of_table(call, table, "UpdatePartition", [request["PartitionValueList"]])
        return {}

    def batch_update_partition(self, call: Call, request: Request) -> Response:
        table, record = names.table(call, request)
        errors, changed = [], []
        for entry in _batch(request["Entries"]):
            values = entry["PartitionValueList"]
            try:
                _update(call, table, record, values, entry["PartitionInput"])
                changed.append(values)
            except Fault as fault:
                detail = {"ErrorCode": fault.code, "ErrorMessage": fault.message}
                errors.append({"PartitionValueList": values, "ErrorDetail": detail})
        _tell(call, table, "BatchUpdatePartition", changed)
        return {"Errors": errors}

    def delete_partition(self, call: Call, request: Request) -> Response:
        table, _ = names.table(call, request)
        values = request["PartitionValues"]
        _known(call, table, values)
        state.delete_partition(call.tx, table, values)
        bus.tell_of_table(call, table, "DeletePartition", [values])
        return {}

    def batch_delete_partition(self, call: Call, request: Request) -> Response:
        table, _ = names.table(call, request)
        errors, gone = [], []
        for one in _batch(request["PartitionsToDelete"]):
            try:
                _known(call, table, one["Values"])
            except Fault as fault:
                errors.append(_error(one["Values"], fault))
                continue
            state.delete_partition(call.tx, table, one["Values"])
            gone.append(one["Values"])
        _tell(call, table, "BatchDeletePartition", gone)
        return {"Errors": errors}


def _tell(call: Call, table: state.Table, change: str, partitions: list[list[str]]) -> None:
    if partitions:
        bus.tell_of_table(call, table, change, partitions)


def _create(
    call: Call, table: state.Table, record: state.Record, given: dict[str, Any]
) -> list[str]:
    """The new partition's values. Raises Fault."""
    values = _checked(record, given.get("Values") or [])
    if state.get_partition(call.tx, table, values) is not None:
        raise Fault("AlreadyExistsException", "Partition already exists.")
    state.put_partition(call.tx, table, values, {"made_s": call.tx.time_s, "input": given})
    return values


def _update(
    call: Call,
    table: state.Table,
    record: state.Record,
    values: list[str],
    given: dict[str, Any],
) -> None:
    old = _known(call, table, values)
    now = _checked(record, given.get("Values") or values)
    if now != values:
        if state.get_partition(call.tx, table, now) is not None:
            raise Fault("AlreadyExistsException", "Partition already exists.")
        state.delete_partition(call.tx, table, values)
    state.put_partition(call.tx, table, now, {**old, "input": {**given, "Values": now}})


def _checked(record: state.Record, values: list[str]) -> list[str]:
    keys = record["input"].get("PartitionKeys") or ()
    if len(values) != len(keys):
        raise Fault(
            "InvalidInputException",
            "The number of partition keys do not match the number of partition values",
        )
    return values


def _known(call: Call, table: state.Table, values: Any) -> state.Record:
    record = state.get_partition(call.tx, table, values)
    if record is None:
        raise Fault("EntityNotFoundException", "Cannot find partition.")
    return record


def _batch(given: list[Any]) -> list[Any]:
    if len(given) > names.BATCH_MAX:
        raise Fault("InvalidInputException", f"At most {names.BATCH_MAX} in a batch.")
    return given


def _error(values: list[str], fault: Fault) -> dict[str, Any]:
    detail = {"ErrorCode": fault.code, "ErrorMessage": fault.message}
    return {"PartitionValues": values, "ErrorDetail": detail}


def _values(token: str) -> list[str]:
    try:
        found = orjson.loads(base64.b64decode(token, validate=True))
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(value, str) for value in found):
        raise Fault("InvalidInputException", "Invalid NextToken.")
    return found


def _described(call: Call, table: state.Table, values: Any, record: state.Record) -> dict[str, Any]:
    return {
        **record["input"],
        "Values": list(values),
        "DatabaseName": table.database,
        "TableName": table.name,
        "CreationTime": record["made_s"],
        "CatalogId": call.account,
    }
