"""The metadata of an Iceberg table that is new: what CreateTable was given, as the table format's own JSON.

Source  https://iceberg.apache.org/spec/#table-metadata-fields (format version 2)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from stratolite.services.s3tables.names import bad

FIELDS_COUNT_MAX = 10_000
DEPTH_MAX = 20
METADATA_BYTES_MAX = 128 << 10
"""Of a new table's: it is written in the transaction that makes the table."""
_PRIMITIVE = re.compile(
    r"boolean|int|long|float|double|date|time|timestamp|timestamptz|string|uuid|binary"
    r"|fixed\[\d{1,9}\]|decimal\(\d{1,2}, ?\d{1,2}\)"
)
_TRANSFORM = re.compile(r"identity|year|month|day|hour|void|bucket\[\d{1,9}\]|truncate\[\d{1,9}\]")
_FIRST_PARTITION_FIELD = 1000


def metadata(given: Mapping[str, Any], location: str, table_uuid: str, now_ms: int) -> bytes:
    """The first metadata file of a table at ``location``. Raises BadRequest for a schema that is none."""
    if ("schema" in given) == ("schemaV2" in given):
        raise bad("Exactly one of schema and schemaV2 must be specified.")
    schema = _schema_v2(given["schemaV2"]) if "schemaV2" in given else _schema(given["schema"])
    known = dict(_all_fields(schema["fields"]))
    spec = _spec(given.get("partitionSpec"), known)
    order = _order(given.get("writeOrder"), known)
    properties = dict(given.get("properties") or {})
    version = properties.pop("format-version", "2")
    if version != "2":
        raise bad(
            f"format-version {version} is not offered by Stratolite: tables are of version 2."
        )
    made = {
        "format-version": 2,
        "table-uuid": table_uuid,
        "location": location,
        "last-sequence-number": 0,
        "last-updated-ms": now_ms,
        "last-column-id": max(known, default=0),
        "current-schema-id": schema["schema-id"],
        "schemas": [schema],
        "default-spec-id": spec["spec-id"],
        "partition-specs": [spec],
        "last-partition-id": max(
            (f["field-id"] for f in spec["fields"]), default=_FIRST_PARTITION_FIELD - 1
        ),
        "default-sort-order-id": order["order-id"],
        "sort-orders": [order],
        "properties": properties,
        "current-snapshot-id": None,
        "refs": {},
        "snapshots": [],
        "statistics": [],
        "partition-statistics": [],
        "snapshot-log": [],
        "metadata-log": [],
    }
    raw = orjson.dumps(made)
    if len(raw) > METADATA_BYTES_MAX:
        raise bad(f"The table's metadata is larger than {METADATA_BYTES_MAX} bytes.")
    return raw


def _schema(given: Mapping[str, Any]) -> dict[str, Any]:
    """Flat: ids are given out where none stands."""
    fields: list[dict[str, Any]] = []
    taken = {f["id"] for f in given["fields"] if "id" in f}
    following = 1
    for field in given["fields"]:
        number = field.get("id")
        if number is None:
            while following in taken:
                following += 1
            number = following
            taken.add(number)
        kind = field["type"]
        if not _PRIMITIVE.fullmatch(kind):
            raise bad(
                f"The type {kind[:100]} of field {field['name'][:100]} is not a primitive type."
            )
        fields.append(
            {
                "id": number,
                "name": field["name"],
                "required": bool(field.get("required")),
                "type": kind,
            }
        )
    _check_fields(fields)
    return {"type": "struct", "schema-id": 0, "fields": fields}


def _schema_v2(given: Mapping[str, Any]) -> dict[str, Any]:
    fields = [_field(field, 0) for field in given["fields"]]
    _check_fields(fields)
    made = {"type": "struct", "schema-id": given.get("schemaId", 0), "fields": fields}
    if identifiers := given.get("identifierFieldIds"):
        required = {f["id"] for f in fields if f["required"]}
        if not required.issuperset(identifiers):
            raise bad("Identifier fields must be required fields of the schema.")
        made["identifier-field-ids"] = list(identifiers)
    return made


def _check_fields(fields: list[dict[str, Any]]) -> None:
    if not fields:
        raise bad("The schema has no fields.")
    names = [f["name"] for f in fields]
    if len(names) != len(set(names)) or "" in names:
        raise bad("The names of the schema's fields must differ from each other.")
    numbers = [number for number, _ in _all_fields(fields)]
    if len(numbers) != len(set(numbers)) or min(numbers) < 1:
        raise bad("The ids of the schema's fields must be positive and differ from each other.")
    if len(numbers) > FIELDS_COUNT_MAX:
        raise bad(f"The schema has more than {FIELDS_COUNT_MAX} fields.")


def _field(field: Any, depth: int) -> dict[str, Any]:
    try:
        made = {
            "id": int(field["id"]),
            "name": str(field["name"]),
            "required": field["required"] is True,
            "type": _type(field["type"], depth),
        }
        if field.get("doc") is not None:
            made["doc"] = str(field["doc"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise bad("A field of the schema needs id, name, type and required.") from error
    return made


def _type(kind: Any, depth: int) -> Any:
    if depth > DEPTH_MAX:
        raise bad(f"The schema is nested deeper than {DEPTH_MAX}.")
    if isinstance(kind, str) and _PRIMITIVE.fullmatch(kind):
        return kind
    if isinstance(kind, dict):
        match kind.get("type"):
            case "struct":
                return {"type": "struct", "fields": [_field(f, depth + 1) for f in kind["fields"]]}
            case "list":
                return {
                    "type": "list",
                    "element-id": int(kind["element-id"]),
                    "element": _type(kind["element"], depth + 1),
                    "element-required": kind.get("element-required") is True,
                }
            case "map":
                return {
                    "type": "map",
                    "key-id": int(kind["key-id"]),
                    "key": _type(kind["key"], depth + 1),
                    "value-id": int(kind["value-id"]),
                    "value": _type(kind["value"], depth + 1),
                    "value-required": kind.get("value-required") is True,
                }
            case _:
                pass
    raise bad(f"{str(kind)[:100]} is not a type of Iceberg.")


def _all_fields(fields: list[dict[str, Any]]) -> Iterator[tuple[int, Any]]:
    """(id, type) of every field, elements, keys and values among them."""
    for field in fields:
        yield field["id"], field["type"]
        yield from _inside(field["type"])


def _inside(kind: Any) -> Iterator[tuple[int, Any]]:
    if isinstance(kind, str):
        return
    if kind["type"] == "struct":
        yield from _all_fields(kind["fields"])
        return
    for part in ("element", "key", "value"):
        if part in kind:
            yield kind[f"{part}-id"], kind[part]
            yield from _inside(kind[part])


def _spec(given: Mapping[str, Any] | None, known: Mapping[int, Any]) -> dict[str, Any]:
    fields = []
    for at, field in enumerate((given or {}).get("fields") or ()):
        _check_source(field, known)
        fields.append(
            {
                "source-id": field["sourceId"],
                "field-id": field.get("fieldId", _FIRST_PARTITION_FIELD + at),
                "name": field["name"],
                "transform": field["transform"],
            }
        )
    return {"spec-id": (given or {}).get("specId", 0), "fields": fields}


def _order(given: Mapping[str, Any] | None, known: Mapping[int, Any]) -> dict[str, Any]:
    fields = []
    for field in (given or {}).get("fields") or ():
        _check_source(field, known)
        fields.append(
            {
                "transform": field["transform"],
                "source-id": field["sourceId"],
                "direction": field["direction"],
                "null-order": field["nullOrder"],
            }
        )
    if not fields:
        return {"order-id": 0, "fields": []}
    return {"order-id": (given or {}).get("orderId") or 1, "fields": fields}


def _check_source(field: Mapping[str, Any], known: Mapping[int, Any]) -> None:
    if not isinstance(known.get(field["sourceId"]), str):
        raise bad(
            f"The source id {field['sourceId']} is not that of a primitive field of the schema."
        )
    if not _TRANSFORM.fullmatch(field["transform"]):
        raise bad(f"{field['transform'][:100]} is not a transform of Iceberg.")
