"""The REST protocols: members in paths, queries, headers, statuses and bodies of JSON or XML."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import orjson

from stratolite.errors import Fault
from stratolite.http import HttpRequest, HttpResponse
from stratolite.wire import overlays, scalars
from stratolite.wire.faults import s3_host_id
from stratolite.wire.json import JsonBodies
from stratolite.wire.model import Model, Ref
from stratolite.wire.query import parse_pairs
from stratolite.wire.scalars import Malformed
from stratolite.wire.xml import XmlReaders, XmlWriters, local, parse

Decode = Callable[[HttpRequest], dict[str, Any]]
Encode = Callable[[dict[str, Any], str], HttpResponse]
Text = Callable[[Any], str]

_HEADER_BREAKS = re.compile(r"[\r\n\0]+")
_DATES = re.compile(r"\s*[A-Za-z]+, [^,]+|[^,]+")  # HTTP dates have a comma of their own
_QUOTED_ELEMENT = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^,]*))\s*(?:,|\Z)')


# -- requests -------------------------------------------------------------------------------------


def compile_request(model: Model, operation: str, bodies: JsonBodies | XmlReaders) -> Decode:
    """A decoder of one operation's requests. It raises Fault for what does not fit the model."""
    ref = model.input(operation)
    if ref is None:
        return lambda _request: {}
    members = model.members(ref)
    read_label = _label_reader(model, operation, members)
    headers = {
        m.get("locationName", name).lower(): (name, _header_reader(model, m))
        for name, m in members.items()
        if m.get("location") == "header"
    }
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
                raise Fault("InvalidArgument", str(error), status=400) from None
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


def _unquote(text: str) -> str:
    if "%" not in text:
        return text
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise Malformed("Couldn't parse the specified URI.") from None


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


# -- answers --------------------------------------------------------------------------------------


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
                    headers.append((header, _HEADER_BREAKS.sub(" ", text(value))))
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
        body = write(response) if write is not None else b""
        if content_type and body != b"" and not own_type:
            headers.append(("Content-Type", content_type))
        return HttpResponse(status, headers, body)

    return encode


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
            kind = "application/json" if model.service == "lambda" else "application/octet-stream"
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
        from stratolite.wire.xml import escape

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


# -- which operation ------------------------------------------------------------------------------


class Router:
    """Method, path, query and headers -> operation, for one service."""

    def __init__(self, model: Model) -> None:
        self._is_s3 = model.service == "s3"
        self._roots: dict[str, _Node] = {}
        for operation, entry in model.operations.items():
            path, _, query = entry["http"]["requestUri"].partition("?")
            node = self._roots.setdefault(entry["http"]["method"], _Node())
            segments = path.split("/")[1:]
            if segments[-1] == "":
                segments.pop()
            for segment in segments:
                node = node.below(segment)
            node.candidates.append(_Candidate(model, operation, entry, query))

    def match(self, method: str, path: str, query: str, headers: dict[str, str]) -> str | None:
        """The operation, None if there is none."""
        root = self._roots.get(method)
        if root is None:
            return None
        if self._is_s3:
            node = _s3_node(root, path)
            return None if node is None else node.choose(query, headers, strict=True)
        return _find(root, path.split("/")[1:], 0, query, headers)


def _s3_node(root: _Node, path: str) -> _Node | None:
    """S3 has three kinds of paths: /, /bucket (one slash may follow) and /bucket/key."""
    slash = path.find("/", 1)
    if slash == -1 or slash == len(path) - 1:
        name = path[1:].rstrip("/")
        return root.literals.get(name, root.label) if name else root
    return root.label.greedy if root.label is not None else None


def _find(
    node: _Node, segments: list[str], at: int, query: str, headers: dict[str, str]
) -> str | None:
    left = len(segments) - at
    if left == 0 or (left == 1 and segments[at] == ""):
        return node.choose(query, headers, strict=False)
    segment = segments[at]
    below = node.literals.get(segment)
    if below is not None:
        found = _find(below, segments, at + 1, query, headers)
        if found is not None:
            return found
    if node.label is not None and segment != "":
        found = _find(node.label, segments, at + 1, query, headers)
        if found is not None:
            return found
    if node.greedy is not None:
        after = node.greedy
        if after.literals:
            for end in range(len(segments) - 1, at, -1):
                found = _find(after, segments, end, query, headers)
                if found is not None:
                    return found
        return after.choose(query, headers, strict=False)
    return None


class _Node:
    """Where a path may have come to, and the operations it may mean if it ends here."""

    __slots__ = ("_plans", "candidates", "greedy", "label", "literals")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.label: _Node | None = None
        self.greedy: _Node | None = None
        self.candidates: list[_Candidate] = []
        self._plans: dict[str, tuple[list[_Candidate], str | None]] = {}

    def below(self, segment: str) -> _Node:
        if segment.endswith("+}"):
            self.greedy = self.greedy or _Node()
            return self.greedy
        if segment.startswith("{"):
            self.label = self.label or _Node()
            return self.label
        return self.literals.setdefault(segment, _Node())

    def choose(self, query: str, headers: dict[str, str], *, strict: bool) -> str | None:
        """The most demanding operation whose demands are met.

        If there is none: not ``strict`` gives the least demanding, whose service can say what is
        missing; so does a query that names a sub-resource (``?acl``).
        """
        plan = self._plans.get(query)
        if plan is None:
            plan = self._plan(query, strict)
            if len(query) <= 64 and len(self._plans) < 512:
                self._plans[query] = plan
        options, otherwise = plan
        for option in options:
            for header in option.headers:
                if header not in headers:
                    break
            else:
                return option.operation
        return otherwise

    def _plan(self, query: str, strict: bool) -> tuple[list[_Candidate], str | None]:
        """(operations that fit this query but for their headers, what to take if none fits)."""
        parts = query.split("&") if query else []
        fields = {part.partition("=")[0] for part in parts}
        fields.update(parts)
        fitting = [c for c in self.candidates if c.fixed <= fields]
        if not fitting:
            return [], None
        best = max(len(c.fixed) for c in fitting)
        fitting = [c for c in fitting if len(c.fixed) == best]
        fitting.sort(key=lambda c: (-c.demands, c.x_id not in fields, c.rank))
        options = [c for c in fitting if c.queries <= fields]
        otherwise = fitting[-1].operation if best or not strict else None
        return options, otherwise


class _Candidate:
    __slots__ = ("demands", "fixed", "headers", "operation", "queries", "rank", "x_id")

    def __init__(self, model: Model, operation: str, entry: dict[str, Any], query: str) -> None:
        self.operation = operation
        self.rank = (bool(entry.get("deprecated")), len(operation))
        parts = [part for part in query.split("&") if part]
        self.x_id = f"x-id={operation}"
        self.fixed = frozenset(
            part.removesuffix("=") for part in parts if not part.startswith("x-id=")
        )
        ref = model.input(operation) or {}
        required = frozenset(ref.get("required", ()))
        members = {k: m for k, m in model.members(ref).items() if k in required}
        self.queries = frozenset(
            m.get("locationName", k)
            for k, m in members.items()
            if m.get("location") == "querystring"
        )
        self.headers = tuple(
            m.get("locationName", k).lower()
            for k, m in members.items()
            if m.get("location") == "header"
        )
        self.demands = len(self.queries) + len(self.headers)
