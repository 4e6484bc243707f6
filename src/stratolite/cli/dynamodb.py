"""stratolite dynamodb: data models of NoSQL Workbench, made into tables and back.

The file is NoSQL Workbench's own export: {"ModelName", "ModelMetadata", "DataModel": [{"TableName", "KeyAttributes",
"NonKeyAttributes", "TableFacets", "GlobalSecondaryIndexes", "LocalSecondaryIndexes", "TableData", "BillingMode",
"ProvisionedCapacitySettings"}]}, items in DynamoDB's JSON.
Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/workbench.Modeler.html
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from stratolite.cli import screen, target

_BATCH_COUNT = 25
_COLUMNS_COUNT_MAX = 12
_UNITS = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}


@click.group("dynamodb")
def command() -> None:
    """Work with DynamoDB data models."""


@command.command("model")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--export",
    "names",
    multiple=True,
    metavar="TABLE",
    help="Write FILE from these live tables instead.",
)
@click.option("--replace", is_flag=True, help="Delete tables of the same names first.")
@target.options
@screen.json_option
def model(
    file: Path, names: tuple[str, ...], replace: bool, endpoint: str, region: str, as_json: bool
) -> None:
    """Create the tables of FILE, a NoSQL Workbench data model, load its sample rows, show each table and index."""
    db = target.client("dynamodb", endpoint, region)
    if names:
        made = {
            "ModelName": file.stem,
            "ModelMetadata": {"Author": "", "Version": "3.0", "Description": ""},
            "DataModel": [exported(db, name) for name in names],
        }
        file.write_text(json.dumps(made, indent=2) + "\n")
        click.echo(f"wrote {len(names)} tables to {file}", err=True)
        return
    tables = read(file)
    for table in tables:
        create(db, table, replace=replace)
        load(db, table)
    shown = [view for table in tables for view in views(db, table)]
    if as_json:
        screen.document(shown)
        return
    for view in shown:
        click.echo(f"\n{view['name']}  ({len(view['rows'])} rows)")
        screen.table(view["columns"], [[screen.harmless(c) for c in row] for row in view["rows"]])


def read(file: Path) -> list[dict[str, Any]]:
    """The tables of a model. Raises ClickException for a file that is none."""
    try:
        document = json.loads(file.read_text())
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise click.ClickException(f"{file} is no JSON: {error}") from error
    tables = document.get("DataModel") if isinstance(document, dict) else None
    if not isinstance(tables, list) or not all(
        isinstance(t, dict) and "TableName" in t and "PartitionKey" in t.get("KeyAttributes", {})
        for t in tables
    ):
        raise click.ClickException(
            f"{file} is no NoSQL Workbench data model: DataModel must list tables with their keys"
        )
    return tables


def _keys(attributes: dict[str, Any]) -> list[tuple[dict[str, str], str]]:
    found = [(attributes["PartitionKey"], "HASH")]
    if attributes.get("SortKey"):
        found.append((attributes["SortKey"], "RANGE"))
    return found


def _schema(attributes: dict[str, Any]) -> list[dict[str, str]]:
    return [{"AttributeName": a["AttributeName"], "KeyType": kind} for a, kind in _keys(attributes)]


def creation(table: dict[str, Any]) -> dict[str, Any]:
    """What CreateTable is asked for a table of a model."""
    definitions: dict[str, str] = {}
    settings = table.get("ProvisionedCapacitySettings") or {}
    units = settings.get("ProvisionedThroughput") or _UNITS
    provisioned = table.get("BillingMode") == "PROVISIONED"
    request: dict[str, Any] = {
        "TableName": table["TableName"],
        "KeySchema": _schema(table["KeyAttributes"]),
        "BillingMode": "PROVISIONED" if provisioned else "PAY_PER_REQUEST",
    }
    if provisioned:
        request["ProvisionedThroughput"] = units
    parts = [table["KeyAttributes"]]
    for member in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes"):
        indexes = []
        for index in table.get(member) or ():
            made = {
                "IndexName": index["IndexName"],
                "KeySchema": _schema(index["KeyAttributes"]),
                "Projection": index["Projection"],
            }
            if provisioned and member == "GlobalSecondaryIndexes":
                made["ProvisionedThroughput"] = units
            indexes.append(made)
            parts.append(index["KeyAttributes"])
        if indexes:
            request[member] = indexes
    for part in parts:
        for attribute, _ in _keys(part):
            definitions[attribute["AttributeName"]] = attribute["AttributeType"]
    request["AttributeDefinitions"] = [
        {"AttributeName": n, "AttributeType": k} for n, k in definitions.items()
    ]
    return request


def create(db: Any, table: dict[str, Any], *, replace: bool) -> None:
    name = table["TableName"]
    if replace:
        try:
            db.delete_table(TableName=name)
            db.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
        except db.exceptions.ResourceNotFoundException:
            pass
    settings = table.get("ProvisionedCapacitySettings") or {}
    if table.get("BillingMode") == "PROVISIONED" and settings.keys() & {
        "AutoScalingRead",
        "AutoScalingWrite",
    }:
        click.echo(f"{name}: auto scaling is not offered, its capacity stays as it is", err=True)
    try:
        db.create_table(**creation(table))
    except db.exceptions.ResourceInUseException as error:
        raise click.ClickException(
            f"the table {name} is there already (--replace deletes it first)"
        ) from error
    db.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})


def load(db: Any, table: dict[str, Any]) -> None:
    """The sample rows, in batches; what is held up comes again."""
    puts = [{"PutRequest": {"Item": _sdk(item)}} for item in table.get("TableData") or ()]
    for start in range(0, len(puts), _BATCH_COUNT):
        left = {table["TableName"]: puts[start : start + _BATCH_COUNT]}
        while left:
            left = db.batch_write_item(RequestItems=left)["UnprocessedItems"]
            if left:
                time.sleep(0.2)


def _sdk(value: Any) -> Any:
    """DynamoDB's JSON as boto3 takes it: binaries as bytes."""
    if isinstance(value, dict):
        return {
            k: base64.b64decode(v) if k == "B" and isinstance(v, str)
            else [base64.b64decode(b) for b in v] if k == "BS" and isinstance(v, list)
            else _sdk(v)
            for k, v in value.items()
        }  # fmt: skip
    return [_sdk(v) for v in value] if isinstance(value, list) else value


def _json(value: Any) -> Any:
    """The other way."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {k: _json(v) for k, v in value.items()}
    return [_json(v) for v in value] if isinstance(value, list) else value


def _scan(db: Any, **request: Any) -> Iterable[dict[str, Any]]:
    for page in db.get_paginator("scan").paginate(**request):
        yield from page["Items"]


def views(db: Any, table: dict[str, Any]) -> list[dict[str, Any]]:
    """The table and each of its indexes: name, columns, rows as text, by their keys."""
    name = table["TableName"]
    found = [_view(name, table["KeyAttributes"], _scan(db, TableName=name))]
    for member in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes"):
        for index in table.get(member) or ():
            rows = _scan(db, TableName=name, IndexName=index["IndexName"])
            found.append(_view(f"{name}.{index['IndexName']}", index["KeyAttributes"], rows))
    return found


def _view(name: str, attributes: dict[str, Any], items: Iterable[dict[str, Any]]) -> dict[str, Any]:
    keys = [attribute["AttributeName"] for attribute, _ in _keys(attributes)]
    rows = sorted(items, key=lambda item: [_order(item[key]) for key in keys])
    others = dict.fromkeys(k for item in rows for k in item if k not in keys)
    columns = [*keys, *list(others)[: _COLUMNS_COUNT_MAX - len(keys)]]
    return {
        "name": name,
        "columns": columns,
        "rows": [[_text(item[c]) if c in item else "" for c in columns] for item in rows],
    }


def _order(value: dict[str, Any]) -> Any:
    ((kind, inner),) = value.items()
    return float(inner) if kind == "N" else inner


def _text(value: dict[str, Any]) -> str:
    ((kind, inner),) = value.items()
    if kind in ("S", "N"):
        return str(inner)
    return json.dumps(_json(inner), ensure_ascii=False)


def exported(db: Any, name: str) -> dict[str, Any]:
    """A live table as a table of a model, with its items as sample rows."""
    described = db.describe_table(TableName=name)["Table"]
    kinds = {d["AttributeName"]: d["AttributeType"] for d in described["AttributeDefinitions"]}

    def attributes(schema: list[dict[str, str]]) -> dict[str, Any]:
        roles = {"HASH": "PartitionKey", "RANGE": "SortKey"}
        return {
            roles[k["KeyType"]]: {
                "AttributeName": k["AttributeName"],
                "AttributeType": kinds[k["AttributeName"]],
            }
            for k in schema
        }

    items = [_json(item) for item in _scan(db, TableName=name)]
    keys = {k["AttributeName"] for k in described["KeySchema"]}
    others = {k: next(iter(v)) for item in items for k, v in item.items() if k not in keys}
    on_demand = described.get("BillingModeSummary", {}).get("BillingMode") == "PAY_PER_REQUEST"
    made: dict[str, Any] = {
        "TableName": name,
        "KeyAttributes": attributes(described["KeySchema"]),
        "NonKeyAttributes": [{"AttributeName": n, "AttributeType": k} for n, k in others.items()],
        "TableFacets": [],
        "DataAccess": {"MySql": {}},
        "BillingMode": "PAY_PER_REQUEST" if on_demand else "PROVISIONED",
        "TableData": items,
    }
    if not on_demand:
        units = described["ProvisionedThroughput"]
        made["ProvisionedCapacitySettings"] = {
            "ProvisionedThroughput": {
                k: units[k] for k in ("ReadCapacityUnits", "WriteCapacityUnits")
            }
        }
    for member in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes"):
        if indexes := described.get(member):
            made[member] = [
                {
                    "IndexName": i["IndexName"],
                    "KeyAttributes": attributes(i["KeySchema"]),
                    "Projection": i["Projection"],
                }
                for i in indexes
            ]
    return made
