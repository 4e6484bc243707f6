"""Operations on tables and their versions."""

from __future__ import annotations

from typing import Any

from stratolite import allowed_pattern
from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service, is_number
from stratolite.services.glue import bus, names, state, worker


class Tables(Service):
    def create_table(self, call: Call, request: Request) -> Response:
        names.refuse(request, "PartitionIndexes", "TransactionId", "OpenTableFormatInput")
        database = names.database(call, request)
        given = request.get("TableInput")
        if given is None:
            raise Fault("InvalidInputException", "TableInput is missing.")
        table = state.Table(
            call.keys("glue"), database, names.name(given["Name"], "tableInput.name")
        )
        _check(given)
        if state.get_table(call.tx, table) is not None:
            raise Fault("AlreadyExistsException", "Table already exists.")
        now_s = call.tx.time_s
        state.put_table(
            call.tx,
            table,
            {
                "made_s": now_s,
                "changed_s": now_s,
                "version": 0,
                "input": given,
                "by": call.principal.arn,
            },
        )
        bus.tell_of_database(call, database, "CreateTable", [table.name])
        return {}

    def get_table(self, call: Call, request: Request) -> Response:
        names.refuse(request, "TransactionId", "QueryAsOfTime")
        if "LATEST_ICEBERG_METADATA" in (request.get("AttributesToGet") or ()):
            names.refuse({"LATEST_ICEBERG_METADATA": True}, "LATEST_ICEBERG_METADATA")
        table, record = names.table(call, request, "Name")
        return {"Table": _described(call, table, record)}

    def get_partition_indexes(self, call: Call, request: Request) -> Response:
        """No table here has one: CreateTable refuses them, and CreatePartitionIndex is not offered."""
        names.table(call, request, "TableName")
        return {"PartitionIndexDescriptorList": []}

    def get_tables(self, call: Call, request: Request) -> Response:
        names.refuse(request, "TransactionId", "QueryAsOfTime")
        database, most = names.database(call, request), names.limit(request)
        wanted = _pattern(request.get("Expression"))
        members = names.attributes(request, {"NAME": "Name", "TABLE_TYPE": "TableType"})
        if not names.shares(request, "FEDERATED", "ALL"):
            return {"TableList": []}  # none refers to another catalog
        after = request.get("NextToken") or ""
        shown: list[dict[str, Any]] = []
        rows = state.tables(call.tx, call.keys("glue"), database, after)
        for looked_at, (name, record) in enumerate(rows):
            if len(shown) >= most or looked_at >= names.LOOKED_AT_MAX:
                return {"TableList": shown, "NextToken": after}
            after = name
            if wanted is not None and not allowed_pattern.matches(wanted, name):
                continue
            table = state.Table(call.keys("glue"), database, name)
            shown.append(_some(_described(call, table, record), members))
        return {"TableList": shown}

    def update_table(self, call: Call, request: Request) -> Response:
        names.refuse(
            request, "TransactionId", "ViewUpdateAction", "Force", "UpdateOpenTableFormatInput"
        )
        given = request.get("TableInput")
        if given is None:
            raise Fault("InvalidInputException", "TableInput is missing.")
        _check(given)
        table, record = names.table(call, {**request, "TableName": given["Name"]})
        expected = request.get("VersionId")
        if expected and expected != str(record["version"]):
            raise Fault(
                "ConcurrentModificationException",
                f"Update table failed due to concurrent modifications: VersionId {expected}, now {record['version']}.",
            )
        if not request.get("SkipArchive"):
            old = {"changed_s": record["changed_s"], "input": record["input"]}
            state.put_version(call.tx, table, record["version"], old)
            state.delete_version(call.tx, table, record["version"] - names.VERSIONS_MAX)
        changed = {"version": record["version"] + 1, "changed_s": call.tx.time_s, "input": given}
        state.put_table(call.tx, table, {**record, **changed})
        bus.tell_of_table(call, table, "UpdateTable")
        return {}

    def delete_table(self, call: Call, request: Request) -> Response:
        names.refuse(request, "TransactionId")
        table, _ = names.table(call, request, "Name")
        worker.drop(call, state.drop_table(call.tx, table))
        bus.tell_of_database(call, table.database, "DeleteTable", [table.name])
        return {}

    def batch_delete_table(self, call: Call, request: Request) -> Response:
        names.refuse(request, "TransactionId")
        database = names.database(call, request)
        errors, gone = [], []
        for given in _batch(request["TablesToDelete"]):
            table = state.Table(call.keys("glue"), database, names.name(given, "tableName"))
            if state.get_table(call.tx, table) is None:
                detail = {"ErrorCode": "EntityNotFoundException", "ErrorMessage": "Table not found"}
                errors.append({"TableName": given, "ErrorDetail": detail})
            else:
                worker.drop(call, state.drop_table(call.tx, table))
                gone.append(table.name)
        if gone:
            bus.tell_of_database(call, database, "BatchDeleteTable", gone)
        return {"Errors": errors}

    # -- versions

    def get_table_version(self, call: Call, request: Request) -> Response:
        table, record = names.table(call, request)
        wanted = request.get("VersionId") or str(record["version"])
        found = _version(call, table, record, wanted)
        return {"TableVersion": {"Table": found, "VersionId": wanted}}

    def get_table_versions(self, call: Call, request: Request) -> Response:
        table, record = names.table(call, request)
        most, token = names.limit(request), request.get("NextToken")
        shown = []
        if not token:
            shown.append(_described(call, table, record))
        before = int(token) if token and is_number(token) else record["version"]
        for number, old in state.versions(call.tx, table, before):
            if len(shown) >= most:
                return {"TableVersions": _versions(shown), "NextToken": str(before)}
            before = number
            shown.append(_described(call, table, {**record, **old, "version": number}))
        return {"TableVersions": _versions(shown)}

    def delete_table_version(self, call: Call, request: Request) -> Response:
        table, record = names.table(call, request)
        _version(call, table, record, request["VersionId"])
        if request["VersionId"] == str(record["version"]):
            raise Fault(
                "InvalidInputException", "The current version of a table cannot be deleted."
            )
        state.delete_version(call.tx, table, int(request["VersionId"]))
        return {}

    def batch_delete_table_version(self, call: Call, request: Request) -> Response:
        errors = []
        for wanted in _batch(request["VersionIds"]):
            try:
                self.delete_table_version(call, {**request, "VersionId": wanted})
            except Fault as fault:
                detail = {"ErrorCode": fault.code, "ErrorMessage": fault.message}
                errors.append({"TableName": request["TableName"], "VersionId": wanted, "ErrorDetail": detail})  # fmt: skip
        return {"Errors": errors}


def _version(call: Call, table: state.Table, record: state.Record, wanted: str) -> dict[str, Any]:
    if not is_number(wanted):
        raise Fault("InvalidInputException", f"Version id {wanted[:100]} is not a number.")
    if wanted == str(record["version"]):
        return _described(call, table, record)
    old = state.get_version(call.tx, table, int(wanted))
    if old is None:
        raise Fault("EntityNotFoundException", f"Version {wanted} of table {table.name} not found.")
    return _described(call, table, {**record, **old, "version": int(wanted)})


def _versions(shown: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"Table": one, "VersionId": one["VersionId"]} for one in shown]


def _some(described: dict[str, Any], members: list[str]) -> dict[str, Any]:
    return {m: described[m] for m in members if m in described} if members else described


def _check(given: dict[str, Any]) -> None:
    columns = (given.get("StorageDescriptor") or {}).get("Columns") or ()
    every = [c["Name"].lower() for c in (*columns, *(given.get("PartitionKeys") or ()))]
    for name in every:
        if every.count(name) > 1:
            raise Fault("InvalidInputException", f"Column {name} is there more than once.")
        if len(every) > 3000:
            raise Fault("InvalidInputException", "A table has at most 3000 columns.")


def _batch(given: list[Any]) -> list[Any]:
    if len(given) > names.BATCH_MAX:
        raise Fault("InvalidInputException", f"At most {names.BATCH_MAX} in a batch.")
    return given


def _pattern(expression: str | None) -> Any:
    if not expression:
        return None
    try:
        return allowed_pattern.read(expression)
    except allowed_pattern.Refused as error:
        raise Fault("InvalidInputException", f"Invalid expression: {error}") from error


def _described(call: Call, table: state.Table, record: state.Record) -> dict[str, Any]:
    return {
        **record["input"],
        "Name": table.name,
        "DatabaseName": table.database,
        "CreateTime": record["made_s"],
        "UpdateTime": record["changed_s"],
        "CatalogId": call.account,
        "VersionId": str(record["version"]),
        "IsRegisteredWithLakeFormation": False,
        "CreatedBy": record.get("by") or f"arn:aws:iam::{call.account}:root",
    }
