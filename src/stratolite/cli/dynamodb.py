"""stratolite dynamodb: data models of NoSQL Workbench, made into tables and back.

The file is NoSQL Workbench's own export: {"ModelName", "ModelMetadata", "DataModel": [{"TableName", "KeyAttributes",
"NonKeyAttributes", "TableFacets", "GlobalSecondaryIndexes", "LocalSecondaryIndexes", "TableData", "BillingMode",
"ProvisionedCapacitySettings"}]}, items in DynamoDB's JSON. A facet is {"FacetName", "KeyAttributeAlias": {"PartitionKeyAlias",
"SortKeyAlias"}, "NonKeyAttributes": [names], "TableData"}: a view of some rows of its table, under names of its own. Auto scaling
is {"ScalableTargetRequest": {"MinCapacity", "MaxCapacity"}, "ScalingPolicyConfiguration": {"TargetValue": percent}}.
Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/workbench.Modeler.html
        https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/workbench.Visualizer.Facets.html
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
_FACETS_COUNT_MAX = 20
_SCALED = {"AutoScalingRead": "Read", "AutoScalingWrite": "Write"}
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
    help="Write FILE from these live tables instead; facets it has of them are kept.",
)
@click.option("--replace", is_flag=True, help="Delete tables of the same names first.")
@target.options
@screen.json_option
def model(
    file: Path, names: tuple[str, ...], replace: bool, endpoint: str, region: str, as_json: bool
) -> None:
    """Create the tables of FILE, a NoSQL Workbench data model, load its sample rows, show each table, index and facet."""
    db = target.client("dynamodb", endpoint, region)
    scaler = target.client("application-autoscaling", endpoint, region)
    if names:
        known = {t["TableName"]: t.get("TableFacets") for t in read(file)} if file.exists() else {}
        made = {
            "ModelName": file.stem,
            "ModelMetadata": {"Author": "", "Version": "3.0", "Description": ""},
            "DataModel": [exported(db, scaler, name, known.get(name)) for name in names],
        }
        file.write_text(json.dumps(made, indent=2) + "\n")
        click.echo(f"wrote {len(names)} tables to {file}", err=True)
        return
    tables = read(file)
    for table in tables:
        create(db, table, replace=replace)
        scale(scaler, table)
        load(db, table)
    shown = [view for table in tables for view in views(db, table)]
    if as_json:
        screen.document(shown)
        return
    for view in shown:
        click.echo(f"\n{view['name']}  ({len(view['rows'])} rows)")
        head = [screen.harmless(c) for c in view["columns"]]
        if not screen.is_terminal():
            click.echo("\t".join(head))
        screen.table(head, [[screen.harmless(c) for c in row] for row in view["rows"]])


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
    try:
        db.create_table(**creation(table))
    except db.exceptions.ResourceInUseException as error:
        raise click.ClickException(
            f"the table {name} is there already (--replace deletes it first)"
        ) from error
    db.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})


def scale(scaler: Any, table: dict[str, Any]) -> None:
    """Auto scaling of a table and its global indexes, as the model says for reads and writes."""
    settings = table.get("ProvisionedCapacitySettings") or {}
    if table.get("BillingMode") != "PROVISIONED":
        return
    places = [("table", f"table/{table['TableName']}")]
    for index in table.get("GlobalSecondaryIndexes") or ():
        places.append(("index", f"{places[0][1]}/index/{index['IndexName']}"))
    for member, kind in _SCALED.items():
        if not settings.get(member):
            continue
        try:
            wanted = settings[member]["ScalableTargetRequest"]
            least, most = wanted["MinCapacity"], wanted["MaxCapacity"]
            percent = settings[member]["ScalingPolicyConfiguration"]["TargetValue"]
        except (KeyError, TypeError) as error:
            raise click.ClickException(
                f"{table['TableName']}: {member} must have MinCapacity, MaxCapacity and TargetValue"
            ) from error
        for what, place in places:
            of = {
                "ServiceNamespace": "dynamodb",
                "ResourceId": place,
                "ScalableDimension": f"dynamodb:{what}:{kind}CapacityUnits",
            }
            scaler.register_scalable_target(**of, MinCapacity=least, MaxCapacity=most)
            metric = f"DynamoDB{kind}CapacityUtilization"
            scaler.put_scaling_policy(
                **of,
                PolicyName=f"{metric}:{place}",
                PolicyType="TargetTrackingScaling",
                TargetTrackingScalingPolicyConfiguration={
                    "TargetValue": float(percent),
                    "PredefinedMetricSpecification": {"PredefinedMetricType": metric},
                },
            )


def scaling(scaler: Any, name: str) -> dict[str, Any]:
    """AutoScalingRead and AutoScalingWrite of a live table, those of the two there are."""
    found: dict[str, Any] = {}
    for member, kind in _SCALED.items():
        of = {
            "ServiceNamespace": "dynamodb",
            "ScalableDimension": f"dynamodb:table:{kind}CapacityUnits",
        }
        place = f"table/{name}"
        targets = scaler.describe_scalable_targets(**of, ResourceIds=[place])["ScalableTargets"]
        policies = scaler.describe_scaling_policies(**of, ResourceId=place)["ScalingPolicies"]
        for one, policy in zip(targets, policies, strict=False):
            percent = policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"]
            found[member] = {
                "ScalableTargetRequest": {
                    "MinCapacity": one["MinCapacity"],
                    "MaxCapacity": one["MaxCapacity"],
                    "ServiceRole": one["RoleARN"].rpartition("/")[2],
                },
                "ScalingPolicyConfiguration": {
                    "TargetValue": int(percent) if percent == int(percent) else percent
                },
            }
    return found


def load(db: Any, table: dict[str, Any]) -> None:
    """The sample rows, also those that facets alone have, in batches; what is held up comes again."""
    keys = [attribute["AttributeName"] for attribute, _ in _keys(table["KeyAttributes"])]
    items = {_key(item, keys): item for item in _sample(table)}
    puts = [{"PutRequest": {"Item": _sdk(item)}} for item in items.values()]
    for start in range(0, len(puts), _BATCH_COUNT):
        left = {table["TableName"]: puts[start : start + _BATCH_COUNT]}
        while left:
            left = db.batch_write_item(RequestItems=left)["UnprocessedItems"]
            if left:
                time.sleep(0.2)


def _sample(table: dict[str, Any]) -> Iterable[dict[str, Any]]:
    for facet in table.get("TableFacets") or ():
        yield from facet.get("TableData") or ()
    yield from table.get("TableData") or ()


def _key(item: dict[str, Any], keys: list[str]) -> str:
    """The same for items of the same key."""
    return json.dumps([_json(item.get(key)) for key in keys])


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
    """The table, its facets and its indexes: name, columns, rows as text, by their keys."""
    name = table["TableName"]
    items = list(_scan(db, TableName=name))
    found = [_view(name, table["KeyAttributes"], items)]
    found += [_facet_view(table, facet, items) for facet in table.get("TableFacets") or ()]
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


def _facet_view(
    table: dict[str, Any], facet: dict[str, Any], items: list[dict[str, Any]]
) -> dict[str, Any]:
    """A facet's rows: its attributes, keys under their aliases."""
    keys = [attribute["AttributeName"] for attribute, _ in _keys(table["KeyAttributes"])]
    aliases = facet.get("KeyAttributeAlias") or {}
    heads = [aliases.get("PartitionKeyAlias") or keys[0]]
    heads += [aliases.get("SortKeyAlias") or key for key in keys[1:]]
    others = [n for n in facet.get("NonKeyAttributes") or () if n not in keys]
    rows = sorted(
        (item for item in items if _belongs(item, facet, keys)),
        key=lambda item: [_order(item[key]) for key in keys],
    )
    return {
        "name": f"{table['TableName']} as {facet.get('FacetName', 'facet')}",
        "columns": [*heads, *others],
        "rows": [[_text(item[c]) if c in item else "" for c in (*keys, *others)] for item in rows],
    }


def _belongs(item: dict[str, Any], facet: dict[str, Any], keys: list[str]) -> bool:
    """Whether a facet shows ``item``: one of its sample rows; where it has none, one with any of its attributes."""
    if (rows := facet.get("TableData")) is not None:
        return _key(item, keys) in {_key(_sdk(row), keys) for row in rows}
    others = [n for n in facet.get("NonKeyAttributes") or () if n not in keys]
    return not others or any(name in item for name in others)


def _order(value: dict[str, Any]) -> Any:
    ((kind, inner),) = value.items()
    return float(inner) if kind == "N" else inner


def _text(value: dict[str, Any]) -> str:
    ((kind, inner),) = value.items()
    if kind in ("S", "N"):
        return str(inner)
    return json.dumps(_json(inner), ensure_ascii=False)


def exported(
    db: Any, scaler: Any, name: str, facets: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """A live table as a table of a model, with its items as sample rows.

    ``facets``: those a model has of it already, kept with what is left of their rows; else they are taken from how keys begin.
    """
    described = db.describe_table(TableName=name)["Table"]
    kinds = {d["AttributeName"]: d["AttributeType"] for d in described["AttributeDefinitions"]}

    def attributes(schema: list[dict[str, str]]) -> dict[str, Any]:
        roles = {"HASH": "PartitionKey", "RANGE": "SortKey"}
        if len({k["KeyType"] for k in schema}) < len(schema):
            raise click.ClickException(
                f"{name}: a data model has no keys of several attributes: "
                + ", ".join(k["AttributeName"] for k in schema)
            )
        return {
            roles[k["KeyType"]]: {
                "AttributeName": k["AttributeName"],
                "AttributeType": kinds[k["AttributeName"]],
            }
            for k in schema
        }

    items = [_json(item) for item in _scan(db, TableName=name)]
    keys = [k["AttributeName"] for k in described["KeySchema"]]
    others = {k: next(iter(v)) for item in items for k, v in item.items() if k not in keys}
    on_demand = described.get("BillingModeSummary", {}).get("BillingMode") == "PAY_PER_REQUEST"
    made: dict[str, Any] = {
        "TableName": name,
        "KeyAttributes": attributes(described["KeySchema"]),
        "NonKeyAttributes": [{"AttributeName": n, "AttributeType": k} for n, k in others.items()],
        "TableFacets": _derived(items, keys) if facets is None else _kept(facets, items, keys),
        "DataAccess": {"MySql": {}},
        "BillingMode": "PAY_PER_REQUEST" if on_demand else "PROVISIONED",
        "TableData": items,
    }
    if not on_demand:
        units = described["ProvisionedThroughput"]
        made["ProvisionedCapacitySettings"] = {
            "ProvisionedThroughput": {
                k: units[k] for k in ("ReadCapacityUnits", "WriteCapacityUnits")
            },
            **scaling(scaler, name),
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


def _kept(
    facets: list[dict[str, Any]], items: list[dict[str, Any]], keys: list[str]
) -> list[dict[str, Any]]:
    return [
        {**facet, "TableData": [i for i in items if _belongs(_sdk(i), facet, keys)]}
        if "TableData" in facet
        else facet
        for facet in facets
    ]


def _derived(items: list[dict[str, Any]], keys: list[str]) -> list[dict[str, Any]]:
    """A facet for each kind of row, where keys say what they are of: ORDER#7, ITEM#1. None where they do not."""
    kinds: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for item in items:
        kinds.setdefault(tuple(_kind(item[key], key) for key in keys), []).append(item)
    if len(kinds) < 2 or len(kinds) > _FACETS_COUNT_MAX:
        return []
    found = []
    for aliases, rows in sorted(kinds.items()):
        alias = dict(zip(("PartitionKeyAlias", "SortKeyAlias"), aliases, strict=False))
        names = dict.fromkeys(name for row in rows for name in row if name not in keys)
        found.append(
            {
                "FacetName": " ".join(dict.fromkeys(a.rstrip("#") for a in aliases)),
                "KeyAttributeAlias": alias,
                "TableData": rows,
                "NonKeyAttributes": list(names),
                "DataAccess": {"MySql": {}},
            }
        )
    return found


def _kind(value: dict[str, Any], name: str) -> str:
    start, mark, _ = str(value.get("S", "")).partition("#")
    return start + mark if start and mark else name
