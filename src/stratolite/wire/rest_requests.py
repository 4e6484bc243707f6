"""Requests of the REST protocols: members from paths, queries, headers and bodies of JSON or XML."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import orjson

from stratolite.errors import Fault
from stratolite.http import HttpRequest
from stratolite.wire import scalars
from stratolite.wire.json import JsonBodies
from stratolite.wire.model import Model, Ref
from stratolite.wire.overlays import S3_HEADERS
from stratolite.wire.query import parse_pairs
from stratolite.wire.scalars import Malformed
from stratolite.wire.xml import XmlReaders, local, parse

Decode = Callable[[HttpRequest], dict[str, Any]]

_DATES = re.compile(r"\s*[A-Za-z]+, [^,]+|[^,]+")  # HTTP dates have a comma of their own
_QUOTED_ELEMENT = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^,]*))\s*(?:,|\Z)')


def compile_request(model: Model, operation: str, bodies: JsonBodies | XmlReaders) -> Decode:
    """A decoder of one operation's requests. It raises Fault for what does not fit the model."""
    ref = model.input(operation)
    if ref is None:
        return lambda _request: {}
    members = model.members(ref)
    read_label = _label_reader(model, operation, members)
    headers = header_members(model, operation)
    prefixes = [
        (m.get("locationName", "").lower(), name)
        for name, m in members.items()
        if m.get("location") == "headers"
    ]
    fixed = model.operations[operation]["http"]["requestUri"].partition("?")[2]
    read_query = _query_reader(model, members, fixed)
    payload, read_body = _body_reader(model, ref, members, bodies)
    is_xml = isinstance(bodies, XmlReaders)

    def decode(request: HttpRequest) -> dict[str, Any]:
        out: dict[str, Any] = {}
        try:
            read_label(request.path, out)
            for key, value in request.headers.items():
                entry = headers.get(key)
                if entry is not None:
                    read = entry[1]
                    out[entry[0]] = value if read is None else read(value)
                else:
                    for prefix, name in prefixes:
                        if key.startswith(prefix):
                            out.setdefault(name, {})[key[len(prefix) :]] = value
            if request.query:
                read_query(request.query, out)
        except Malformed as error:
            if is_xml:
                code = "InvalidURI" if isinstance(error, NotText) else "InvalidArgument"
                raise Fault(code, str(error), status=400) from None
            raise Fault("SerializationException", str(error), status=400) from None
        if read_body is None:
            return out
        if payload is not None:
            found = read_body(request.body)
            if found is not None:
                out[payload] = found
        elif request.body:
            out.update(read_body(request.body))
        return out

    return decode


def header_members(
    model: Model, operation: str
) -> dict[str, tuple[str, Callable[[str], Any] | None]]:
    """Lower-case header -> (member, reader of its value, None where it is the text as it came)."""
    ref = model.input(operation)
    found: dict[str, tuple[str, Callable[[str], Any] | None]] = {
        m.get("locationName", name).lower(): (name, _header_reader(model, m))
        for name, m in (model.members(ref) if ref else {}).items()
        if m.get("location") == "header"
    }
    if model.service == "s3":
        for header, name in S3_HEADERS.get(operation, {}).items():
            found[header] = (name, None)
    return found


def _label_reader(
    model: Model, operation: str, members: dict[str, Ref]
) -> Callable[[str, dict[str, Any]], None]:
    template = model.operations[operation]["http"]["requestUri"].partition("?")[0]
    names = {
        m.get("locationName", name): (name, scalars.READERS.get(m["type"]))
        for name, m in members.items()
        if m.get("location") == "uri"
    }
    single: list[tuple[int, str, Any]] = []
    greedy: tuple[int, int, str] | None = None
    segments = template.split("/")
    for at, segment in enumerate(segments):
        if segment.endswith("+}"):
            greedy = (at, len(segments) - at - 1, names[segment[1:-2]][0])
        elif segment.startswith("{"):
            name, convert = names[segment[1:-1]]
            # past a greedy label only the distance to the end is known
            single.append((at - len(segments) if greedy else at, name, convert))

    def read(path: str, out: dict[str, Any]) -> None:
        parts = path.split("/")
        if greedy is not None:
            start, after, name = greedy
            out[name] = _unquote("/".join(parts[start : len(parts) - after]))
        try:
            for at, name, convert in single:
                text = _unquote(parts[at])
                out[name] = convert(text) if convert else text
        except IndexError:
            raise Malformed("The path is too short for this operation") from None

    return read


class NotText(Malformed):
    """A path that is not UTF-8."""


def _unquote(text: str) -> str:
    if "%" not in text:
        return text
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise NotText("Couldn't parse the specified URI.") from None


def _header_reader(model: Model, ref: Ref) -> Callable[[str], Any] | None:
    kind = ref["type"]
    if ref.get("jsonvalue"):
        return _json_value
    if kind == "list":
        element = model.resolve(ref["member"])["type"]
        if element == "timestamp":
            return lambda text: [scalars.timestamp(item) for item in _DATES.findall(text)]
        read = scalars.READERS.get(element)
        if read is None:
            return split_header_list
        return lambda text: [read(item) for item in split_header_list(text)]
    return scalars.READERS.get(kind)


def _json_value(text: str) -> Any:
    try:
        return orjson.loads(scalars.blob(text))
    except orjson.JSONDecodeError:
        raise Malformed("Invalid JSON in a header") from None


def split_header_list(text: str) -> list[str]:
    """``a, "b,c"`` -> ``["a", "b,c"]``"""
    items = []
    at = 0
    while at < len(text):
        found = _QUOTED_ELEMENT.match(text, at)
        if found is None:
            items.append(text[at:].strip())
            break
        quoted, plain = found.groups()
        items.append(quoted.replace('\\"', '"') if quoted is not None else plain.strip())
        at = found.end()
    return items


def _query_reader(
    model: Model, members: dict[str, Ref], fixed: str
) -> Callable[[str, dict[str, Any]], None]:
    known = {name for name, _ in parse_pairs(fixed)}
    table: dict[str, tuple[str, Callable[[str], Any] | None, bool]] = {}
    rest: tuple[str, bool] | None = None
    for name, member in members.items():
        if member.get("location") != "querystring":
            continue
        kind = member["type"]
        if kind == "map":
            rest = (name, model.resolve(member["value"])["type"] == "list")
        elif kind == "list":
            element = model.resolve(member["member"])
            reader = scalars.READERS.get(element["type"])
            table[member.get("locationName", name)] = (name, reader, True)
        else:
            table[member.get("locationName", name)] = (name, scalars.READERS.get(kind), False)
    if not table and rest is None:
        return lambda _query, _out: None

    def read(query: str, out: dict[str, Any]) -> None:
        for key, value in parse_pairs(query):
            entry = table.get(key)
            if entry is not None:
                name, convert, repeated = entry
                if repeated:
                    out.setdefault(name, []).append(convert(value) if convert else value)
                elif name not in out:
                    out[name] = convert(value) if convert else value
            elif rest is not None and key not in known and not key.lower().startswith("x-amz-"):
                if rest[1]:
                    out.setdefault(rest[0], {}).setdefault(key, []).append(value)
                else:
                    out.setdefault(rest[0], {}).setdefault(key, value)

    return read


def _body_reader(
    model: Model, ref: Ref, members: dict[str, Ref], bodies: JsonBodies | XmlReaders
) -> tuple[str | None, Callable[[Any], Any] | None]:
    """(payload member or None, reader). The reader of a payload gives None for an absent one."""
    payload = ref.get("payload")
    if payload is not None:
        member = members[payload]
        if member["type"] == "blob":
            return payload, lambda body: body
        if member["type"] == "string":
            return payload, _text_body
        read = _structured(model, bodies, member, None)
        return payload, lambda body: read(body) if body else None
    inside = {name: m for name, m in members.items() if "location" not in m}
    if not inside:
        return None, None
    return None, _structured(model, bodies, ref, inside)


def _text_body(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise Fault("SerializationException", "The body is not UTF-8", status=400) from None


def _roots(model: Model, ref: Ref) -> frozenset[str]:
    """Names the root of a payload may have: the member's, its shape's own, or just the shape's."""
    shape = model.shapes[ref["shape"]]
    return frozenset(
        filter(None, (ref.get("locationName"), shape.get("locationName"), ref["shape"]))
    )


def _structured(
    model: Model, bodies: JsonBodies | XmlReaders, ref: Ref, members: dict[str, Ref] | None
) -> Callable[[bytes], Any]:
    if isinstance(bodies, JsonBodies):
        read_json = bodies.reader(ref, members)

        def decode_json(body: bytes) -> Any:
            try:
                return read_json(body)
            except Malformed as error:
                raise Fault("SerializationException", str(error), status=400) from None

        return decode_json
    read_xml = bodies.of(ref) if members is None else bodies.fields(members)
    roots = _roots(model, ref) if members is None else frozenset()

    def decode_xml(body: bytes) -> Any:
        try:
            root = parse(body)
            if roots and local(root.tag) not in roots:
                raise Malformed("another document than this operation takes")
            return read_xml(root)
        except (Malformed, RecursionError):
            raise Fault(
                "MalformedXML",
                "The XML you provided was not well-formed or did not validate against our "
                "published schema",
                status=400,
            ) from None

    return decode_xml
