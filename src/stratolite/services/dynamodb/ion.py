"""Items as Amazon Ion text: what exports write and imports read, a line an item.

    $ion_1_0 {Item:{pk:"a",n:1.5,b:{{AQID}},tags:$dynamodb_SS::["x","y"]}}

Types as AWS's table has them: S string, BOOL bool, N decimal, B blob, sets annotated lists, L list, M struct, and NULL null. What
has another Ion type (an integer, a timestamp) is no item. ``amazon.ion`` is imported at the first of them.
Sources  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
         https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataImport.Format.html
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson

from stratolite.services.dynamodb.values import Item

_SETS = {"SS": "S", "NS": "N", "BS": "B"}
_ANNOTATION = "$dynamodb_"


def line(name: str, raw: bytes) -> bytes:
    """What a line of JSON is in Ion: ``{"Item": {...}}`` of an export (``name`` Item), or a change's record (Record)."""
    from amazon.ion import simpleion

    held = orjson.loads(raw)
    if name == "Item":
        made: dict[str, Any] = {"Item": _struct(held["Item"])}
    else:
        made = {"Record": {part: _struct(image) for part, image in held.items()}}
    text: str = simpleion.dumps(made, binary=False)
    return text.encode() + b"\n"


def item(text: bytes) -> Item | None:
    """The item of a line, None if there is none."""
    from amazon.ion import simpleion
    from amazon.ion.exceptions import IonException

    try:
        held = simpleion.loads(text, single_value=False)
        if len(held) != 1 or not isinstance(held[0], Mapping) or set(held[0]) != {"Item"}:
            return None
        return _map(held[0]["Item"])
    except (IonException, ArithmeticError, KeyError, TypeError, ValueError, RecursionError):
        return None


def _struct(attributes: Item) -> dict[str, Any]:
    return {name: _value(*next(iter(value.items()))) for name, value in attributes.items()}


def _value(kind: str, held: Any) -> Any:
    if kind in _SETS:
        from amazon.ion.core import IonType
        from amazon.ion.simple_types import IonPyList

        values = [_value(_SETS[kind], each) for each in held]
        return IonPyList.from_value(IonType.LIST, values, annotations=(_ANNOTATION + kind,))
    if kind == "N":
        return Decimal(held)
    if kind == "B":
        return base64.b64decode(held)
    if kind == "L":
        return [_value(*next(iter(each.items()))) for each in held]
    if kind == "M":
        return _struct(held)
    return None if kind == "NULL" else held


def _map(held: Any) -> Item:
    """Raises TypeError for what is no struct of values."""
    if not isinstance(held, Mapping):
        raise TypeError(held)
    return {str(name): _attribute(value) for name, value in held.items()}


def _attribute(held: Any) -> dict[str, Any]:
    from amazon.ion.core import IonType
    from amazon.ion.simple_types import IonPyNull

    kind = held.ion_type
    notes = [note.text for note in held.ion_annotations]
    if kind is IonType.LIST and notes:
        (note,) = notes
        name = str(note).removeprefix(_ANNOTATION)
        inner = _SETS[name]
        return {name: [_attribute(each)[inner] for each in held]}
    if notes:
        raise TypeError(notes)
    if isinstance(held, IonPyNull):
        if kind is not IonType.NULL:
            raise TypeError(kind)
        return {"NULL": True}
    if kind is IonType.STRING:
        return {"S": str(held)}
    if kind is IonType.BOOL:
        return {"BOOL": bool(held)}
    if kind is IonType.DECIMAL:
        return {"N": format(Decimal(held), "E")}
    if kind is IonType.BLOB:
        return {"B": base64.b64encode(bytes(held)).decode()}
    if kind is IonType.LIST:
        return {"L": [_attribute(each) for each in held]}
    if kind is IonType.STRUCT:
        return {"M": _map(held)}
    raise TypeError(kind)
