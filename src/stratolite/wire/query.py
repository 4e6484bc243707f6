"""The query protocol: requests as forms with dotted names, answers as XML."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_plus

from stratolite.http import HttpRequest
from stratolite.wire import scalars
from stratolite.wire.bodies import whole
from stratolite.wire.model import Model, Ref
from stratolite.wire.scalars import Malformed
from stratolite.wire.xml import XmlWriters

Convert = Callable[[Any], Any]
Form = dict[str, Any]
"""Nested dicts of the dotted names: ``Tag.1.Key=a`` -> ``{"Tag": {"1": {"Key": "a"}}}``."""

FIELDS_COUNT_MAX = 20_000
NAME_DEPTH_MAX = 32


def parse_pairs(text: str) -> list[tuple[str, str]]:
    """Name and value of every field of a form or query string, in order. Raises Malformed."""
    if not text:
        return []
    parts = text.split("&")
    if len(parts) > FIELDS_COUNT_MAX:
        raise Malformed("Too many parameters")
    pairs = []
    for part in parts:
        if part:
            name, _, value = part.partition("=")
            pairs.append((_unquote(name), _unquote(value)))
    return pairs


def _unquote(text: str) -> str:
    if "%" not in text and "+" not in text:
        return text
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError:
        raise Malformed("Invalid percent-encoding") from None


def form_text(request: HttpRequest) -> str:
    """The form, from the body or, in a GET, from the query string. Raises Malformed."""
    if not request.body:
        return request.query
    try:
        return whole(request).decode()
    except UnicodeDecodeError:
        raise Malformed("The form is not UTF-8") from None


def parse_form(text: str) -> Form:
    """Raises Malformed."""
    form: Form = {}
    for name, value in parse_pairs(text):
        if "." not in name:
            form.setdefault(name, value)
            continue
        steps = name.split(".")
        if len(steps) > NAME_DEPTH_MAX:
            raise Malformed("Too many dots in a parameter name")
        node = form
        for step in steps[:-1]:
            below = node.get(step)
            if type(below) is not dict:
                below = node[step] = {}
            node = below
        node.setdefault(steps[-1], value)
    return form


class QueryReaders:
    """Readers of one model's shapes from forms."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._structures: dict[str, Convert] = {}

    def of(self, ref: Ref) -> Convert:
        kind = ref["type"]
        if kind == "structure":
            return self._structure(ref)
        if kind == "list":
            return self._list(ref)
        if kind == "map":
            return self._map(ref)
        return _scalar(scalars.READERS.get(kind))

    def _structure(self, ref: Ref) -> Convert:
        found = self._structures.get(ref["shape"])
        if found is not None:
            return found
        table: dict[str, tuple[str, Convert]] = {}

        def structure(node: Any) -> dict[str, Any]:
            if type(node) is not dict:
                if node == "":
                    return {}
                raise Malformed("Unexpected complex element termination")
            out = {}
            for key, item in node.items():
                entry = table.get(key)
                if entry is not None:
                    out[entry[0]] = entry[1](item)
            return out

        self._structures[ref["shape"]] = structure
        for name, member in self._model.members(ref).items():
            entry = (name, self.of(member))
            for wire in self._wire_names(name, member):
                table[wire] = entry
        return structure

    def _wire_names(self, name: str, member: Ref) -> list[str]:
        """The names a member may have; an empty list comes under its own, a full one under its elements'."""
        names = [member.get("locationName", name)]
        if "queryName" in member:
            names.append(member["queryName"])
        elif member["type"] == "list" and member.get("flattened"):
            element = self._model.resolve(member["member"])
            if "locationName" in element:
                names.append(element["locationName"])
        return names

    def _list(self, ref: Ref) -> Convert:
        element_ref = self._model.resolve(ref["member"])
        element = self.of(element_ref)
        inner = None if ref.get("flattened") else element_ref.get("locationName", "member")

        def read(node: Any) -> list[Any]:
            if type(node) is not dict:
                if node == "":
                    return []
                if inner is None:
                    return [element(node)]  # ``AttributeName=All``, as AWS's own samples have it
                raise Malformed("Unexpected list element termination")
            if inner is not None:
                node = node.get(inner, "")
                if node == "":
                    return []
            return [element(item) for item in _ordered(node)]

        return read

    def _map(self, ref: Ref) -> Convert:
        key_ref, value_ref = self._model.resolve(ref["key"]), self._model.resolve(ref["value"])
        key_name = ref.get("queryKey") or key_ref.get("locationName", "key")
        value_name = ref.get("queryValue") or value_ref.get("locationName", "value")
        value = self.of(value_ref)
        flat = bool(ref.get("flattened"))

        def read(node: Any) -> dict[str, Any]:
            if type(node) is not dict:
                if node == "":
                    return {}
                raise Malformed("Unexpected map element termination")
            if not flat:
                node = node.get("entry", "")
                if node == "":
                    return {}
            elif key_name in node:
                node = {"1": node}  # ``Attribute.Name=a&Attribute.Value=b``, as in AWS's samples
            out = {}
            for entry in _ordered(node):
                if type(entry) is not dict or type(entry.get(key_name)) is not str:
                    raise Malformed("A map entry needs a key")
                if value_name in entry:
                    out[entry[key_name]] = value(entry[value_name])
            return out

        return read


def _ordered(node: Any) -> list[Any]:
    """The values of ``{"1": a, "2": b}`` in order of their numbers."""
    if type(node) is not dict:
        raise Malformed("Unexpected list element termination")
    keys = []
    for key in node:
        if not (key.isascii() and key.isdigit() and len(key) < 10):
            raise Malformed(f"Invalid list index: {key[:32]}")
        keys.append(int(key))
    if keys == sorted(keys):
        return list(node.values())
    return [item for _, item in sorted(zip(keys, node.values(), strict=True), key=_first)]


def _first(pair: tuple[int, Any]) -> int:
    return pair[0]


def _scalar(convert: Callable[[str], Any] | None) -> Convert:
    def read(node: Any) -> Any:
        if type(node) is not str:
            raise Malformed("Unexpected complex element where a value was expected")
        return node if convert is None else convert(node)

    return read


def compile_answer(
    model: Model, writers: XmlWriters, operation: str
) -> Callable[[dict[str, Any], str], bytes]:
    """(answer, request id) -> ``<OpResponse><OpResult>...</OpResult><ResponseMetadata>...``"""
    output = model.output(operation)
    space = model.metadata.get("xmlNamespace")
    head = f'<{operation}Response xmlns="{space}">' if space else f"<{operation}Response>"
    wrapper = output.get("resultWrapper", f"{operation}Result") if output else None
    write = writers.body(model.members(output)) if output else None
    start = f"{head}<{wrapper}>" if wrapper else head
    end = f"</{wrapper}>" if wrapper else ""
    empty = f"{head}<{wrapper}/>" if wrapper else head
    tail = f"</RequestId></ResponseMetadata></{operation}Response>"

    def answer(value: dict[str, Any], request_id: str) -> bytes:
        out: list[str] = []
        if write is not None:
            write(value, out.append)
        inside = f"{start}{''.join(out)}{end}" if out else empty
        return f'<?xml version="1.0"?>\n{inside}<ResponseMetadata><RequestId>{request_id}{tail}'.encode()

    return answer
