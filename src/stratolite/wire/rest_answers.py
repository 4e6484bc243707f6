"""Answers of the REST protocols: members as headers, statuses and bodies of JSON or XML."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from stratolite.http import FileSlice, HttpResponse
from stratolite.wire import overlays, scalars
from stratolite.wire.faults import s3_host_id
from stratolite.wire.json import JsonBodies
from stratolite.wire.model import Model, Ref
from stratolite.wire.xml import XmlWriters, escape

Encode = Callable[[dict[str, Any], str], HttpResponse]
Text = Callable[[Any], str]
EncodeLines = Callable[[dict[str, Any], str], tuple[str, bytes | FileSlice] | None]
"""-> (header lines, each with its line end, without what the gateway adds; body), None for ``encode``'s work."""

_BLOB_TYPES = {"lambda": "application/json", "s3": "binary/octet-stream"}
_FORMS_COUNT_MAX = 200
_HEADER_BREAKS = re.compile(r"[\r\n\0]+")


def compile_answer(
    model: Model,
    operation: str,
    json_bodies: JsonBodies | None,
    xml_writers: XmlWriters | None,
    event_stream: Callable[[Any], Any] | None,
) -> Encode:
    """An encoder of one operation's answers."""
    http = model.operations[operation]["http"]
    status_default = int(http.get("responseCode", 200))
    ref = model.output(operation)
    members = model.members(ref) if ref else {}
    table: dict[str, tuple[str, Text]] = {}
    prefixes: dict[str, str] = {}
    status_member = None
    for name, member in members.items():
        location = member.get("location")
        if location == "header":
            table[name] = (member.get("locationName", name), _header_text(model, member))
        elif location == "headers":
            prefixes[name] = member.get("locationName", "")
        elif location == "statusCode":
            status_member = name
    write, content_type = _body_writer(model, operation, json_bodies, xml_writers, event_stream)
    is_s3 = model.service == "s3"
    ranged = is_s3 and operation in ("GetObject", "HeadObject")
    if http["method"] == "HEAD":
        write = None

    def encode(response: dict[str, Any], request_id: str) -> HttpResponse:
        status = status_default
        if is_s3:
            headers = [("x-amz-request-id", request_id), ("x-amz-id-2", s3_host_id(request_id))]
        else:
            headers = [("x-amzn-RequestId", request_id)]
        own_type = False
        for name, value in response.items():
            entry = table.get(name)
            if entry is not None:
                if value is not None:
                    header, text = entry
                    shown = text(value)
                    if not shown.isprintable():
                        shown = _HEADER_BREAKS.sub(" ", shown)
                    headers.append((header, shown))
                    if header == "Content-Type":
                        own_type = True
            elif name in prefixes:
                prefix = prefixes[name]
                for key, item in value.items():
                    headers.append((prefix + key, _HEADER_BREAKS.sub(" ", item)))
        if status_member is not None and response.get(status_member):
            status = response[status_member]
        elif ranged and response.get("ContentRange"):
            status = 206
        elif "_status" in response:  # where an operation answers with one of several
            status = response["_status"]
        body = write(response) if write is not None else b""
        if content_type and body != b"" and not own_type:
            headers.append(("Content-Type", content_type))
        return HttpResponse(status, headers, body)

    return encode


def compile_lines(model: Model, operation: str) -> EncodeLines:
    """An encoder of S3's usual answer: a 200 with a body of bytes or of a file, nothing to escape in its headers.

    Answers with the same members have the same lines: their text is made once, with holes for the values.
    """
    ref = model.output(operation)
    assert ref is not None
    members = model.members(ref)
    payload = ref.get("payload", "")
    table = {
        name: (member.get("locationName", name), _header_text(model, member))
        for name, member in members.items()
        if member.get("location") == "header" and name != "ContentLength"
    }
    strings = {name for name in table if members[name]["type"] == "string"}
    forms: dict[tuple[str, ...], _Form] = {}

    def form_of(names: tuple[str, ...]) -> _Form:
        shown = [name for name in names if name in table]
        lines = "".join(f"{table[name][0]}: %s\r\n" for name in shown)
        texts = [(at, table[name][1]) for at, name in enumerate(shown) if name not in strings]
        others = [n for n in names if n not in table and n not in (payload, "ContentLength")]
        form = "x-amz-request-id: %s\r\nx-amz-id-2: %s\r\n" + lines
        if len(forms) >= _FORMS_COUNT_MAX:
            forms.clear()
        pick = _picker(shown)
        forms[names] = made = _Form(form, pick, texts, others, len(shown) + 2)
        return made

    def encode_lines(
        response: dict[str, Any], request_id: str
    ) -> tuple[str, bytes | FileSlice] | None:
        body = response.get(payload, b"")
        if type(body) is not bytes and type(body) is not FileSlice:
            return None
        if "ContentRange" in response:
            return None
        if body and "ContentType" not in response:
            return None
        names = tuple(response)
        form, shown, texts, others, count = forms.get(names) or form_of(names)
        for name in others:
            if response[name]:
                return None
        values = shown(response)
        if None in values:
            return None
        if texts:
            written = list(values)
            for at, text in texts:
                written[at] = text(written[at])
            values = tuple(written)
        lines = form % (request_id, s3_host_id(request_id), *values)
        if lines.count("\n") != count or lines.count("\r") != count:
            return None
        return (lines, body) if lines.isascii() and "\0" not in lines else None

    return encode_lines


def _picker(names: list[str]) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    if len(names) < 2:
        return lambda response: tuple([response[name] for name in names])
    return itemgetter(*names)


class _Form(NamedTuple):
    """Header lines of answers with the same members."""

    text: str
    shown: Callable[[dict[str, Any]], tuple[Any, ...]]
    """The members for the holes behind the first two, which are of the request's ids."""
    texts: list[tuple[int, Text]]
    """How those are written that are no strings."""
    others: list[str]
    """Members these lines have no place for: they must be empty."""
    lines_count: int


def _header_text(model: Model, ref: Ref) -> Text:
    if ref.get("jsonvalue"):
        return lambda value: base64.b64encode(orjson.dumps(value)).decode()
    if ref["type"] == "list":
        element = model.resolve(ref["member"])
        text: Text = scalars.text_writer(element, "rfc822")
        if element["type"] == "string":
            return lambda value: ",".join(map(_quoted, value))
        return lambda value: ",".join(map(text, value))
    found: Text = scalars.text_writer(ref, "rfc822")
    return found


def _quoted(text: str) -> str:
    if "," in text or '"' in text:
        return '"' + text.replace('"', '\\"') + '"'
    return text


def _body_writer(
    model: Model,
    operation: str,
    json_bodies: JsonBodies | None,
    xml_writers: XmlWriters | None,
    event_stream: Callable[[Any], Any] | None,
) -> tuple[Callable[[dict[str, Any]], Any] | None, str]:
    ref = model.output(operation)
    if ref is None:
        return None, ""
    members = model.members(ref)
    payload = ref.get("payload")
    if payload is not None:
        member = members[payload]
        if member.get("eventstream") and event_stream is not None:
            return (
                lambda response: event_stream(response[payload]),
                "application/vnd.amazon.eventstream",
            )
        if member["type"] == "blob":
            kind = _BLOB_TYPES.get(model.service, "application/octet-stream")
            return lambda response: response.get(payload, b""), kind
        if member["type"] == "string":
            kind = "application/json" if model.service == "s3" else "text/plain"
            return lambda response: _encoded(response.get(payload)), kind
        if json_bodies is not None:
            write_json = json_bodies.writer(member)
            return lambda response: _given(write_json, response.get(payload)), "application/json"
        assert xml_writers is not None
        tag = str(member.get("locationName", member["shape"]))
        write_element = xml_writers.element(member, tag, _namespace(model))

        def payload_xml(response: dict[str, Any]) -> bytes:
            if response.get(payload) is None:
                return b""
            out = ['<?xml version="1.0" encoding="UTF-8"?>\n']
            write_element(response[payload], out.append)
            return "".join(out).encode()

        return payload_xml, "application/xml"
    inside = {name: m for name, m in members.items() if "location" not in m}
    if not inside:
        return None, ""
    if json_bodies is not None:
        write_body = json_bodies.writer(ref, inside)
        if len(inside) == len(members):
            return write_body, "application/json"
        return (
            lambda response: write_body({k: v for k, v in response.items() if k in inside}),
            "application/json",
        )
    assert xml_writers is not None
    return _root_writer(model, operation, inside, xml_writers), "application/xml"


def _encoded(value: str | None) -> bytes:
    return value.encode() if value else b""


def _given(write: Callable[[Any], bytes], value: Any) -> bytes:
    return b"" if value is None else write(value)


def _namespace(model: Model) -> str:
    space = overlays.S3_NAMESPACE if model.service == "s3" else model.metadata.get("xmlNamespace")
    return f' xmlns="{space}"' if space else ""


def _root_writer(
    model: Model, operation: str, members: dict[str, Ref], writers: XmlWriters
) -> Callable[[dict[str, Any]], bytes]:
    root = f"{operation}Result"
    if model.service == "s3":
        root = overlays.S3_ROOTS.get(operation, root)
    start = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}{_namespace(model)}>'
    end = f"</{root}>"
    if model.service == "s3" and operation == "GetBucketLocation":
        # the one answer whose member is the root itself
        return lambda response: (
            f"{start}{escape(response.get('LocationConstraint') or '')}{end}".encode()
        )
    write = writers.body(members)

    def root_xml(response: dict[str, Any]) -> bytes:
        out = [start]
        write(response, out.append)
        out.append(end)
        return "".join(out).encode()

    return root_xml
