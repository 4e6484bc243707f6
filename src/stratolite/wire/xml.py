"""XML bodies, in and out, for rest-xml and the answers of query."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from stratolite.wire import scalars
from stratolite.wire.model import Model, Ref
from stratolite.wire.scalars import Malformed

BODY_SIZE_BYTES_MAX = 4 << 20  # 10,000 parts of a multipart upload are 2 MiB

Convert = Callable[[Any], Any]
Append = Callable[[str], None]

_SPECIAL = re.compile("[&<>\r\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
_SPECIAL_IN_ATTRIBUTE = re.compile(
    '[&<>"\r\n\t\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]'
)
_REFERENCES = {"\r": "&#xd;", "\n": "&#xa;", "\t": "&#x9;"}
_UNSPEAKABLE = "\ufffd"


def escape(text: str) -> str:
    """Text of an element. A character XML 1.0 cannot carry becomes U+FFFD.

    A reference to it (``&#x1;``, which S3 writes for a key listed without EncodingType=url) is not XML either
    (https://www.w3.org/TR/xml/#charsets): most parsers give up the whole answer, so that one key hides all the others,
    and an error that quotes its input is seen as an error 500. Those who want such keys exactly ask for
    EncodingType=url, here as at AWS.
    """
    if text.isprintable() and "&" not in text and "<" not in text and ">" not in text:
        return text
    return _SPECIAL.sub(_reference, text)


def escape_attribute(text: str) -> str:
    return _SPECIAL_IN_ATTRIBUTE.sub(_reference, text)


def _reference(found: re.Match[str]) -> str:
    return _ENTITIES.get(found[0]) or _REFERENCES.get(found[0], _UNSPEAKABLE)


def parse(body: bytes) -> Any:
    """The root element. Raises Malformed; document types and entities are refused unread."""
    if len(body) > BODY_SIZE_BYTES_MAX:
        raise Malformed(f"more than {BODY_SIZE_BYTES_MAX} bytes of XML")
    if b"\0" in body:
        raise Malformed("only UTF-8 is understood")  # in UTF-16 the next check would see nothing
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise Malformed("document types are not allowed")
    from xml.etree.ElementTree import ParseError, XMLParser

    parser = XMLParser(encoding="utf-8")  # noqa: S314 - whatever the document claims
    try:
        parser.feed(body)
        return parser.close()
    except (ParseError, ValueError) as error:
        raise Malformed(str(error)) from None


def local(tag: str) -> str:
    """``{http://...}Name`` -> ``Name``"""
    return tag.rpartition("}")[2]


class XmlReaders:
    """Readers of one model's shapes from elements, compiled as asked for."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._structures: dict[str, Convert] = {}

    def of(self, ref: Ref) -> Convert:
        kind = ref["type"]
        if kind == "structure":
            return self._structure(ref)
        if kind == "list":
            element = self.of(self._model.resolve(ref["member"]))
            return lambda node: [element(child) for child in node]
        if kind == "map":
            entry = self._entry(ref)
            return lambda node: dict(entry(child) for child in node)
        convert = scalars.READERS.get(kind)
        if convert is None:
            return _text
        return lambda node: convert(node.text or "")

    def fields(self, members: dict[str, Ref]) -> Convert:
        """A reader of an unnamed structure made of ``members``."""
        return _structure_reader(self._table({}, members), self._attributes(members))

    def _structure(self, ref: Ref) -> Convert:
        found = self._structures.get(ref["shape"])
        if found is None:
            members = self._model.members(ref)
            table: dict[str, tuple[str, Convert, str]] = {}
            found = _structure_reader(table, self._attributes(members))
            self._structures[ref["shape"]] = found
            self._table(table, members)
        return found

    def _table(
        self, table: dict[str, tuple[str, Convert, str]], members: dict[str, Ref]
    ) -> dict[str, tuple[str, Convert, str]]:
        for name, member in members.items():
            if member.get("xmlAttribute"):
                continue
            if member["type"] == "list" and member.get("flattened"):
                entry = (name, self.of(self._model.resolve(member["member"])), "list")
            elif member["type"] == "map" and member.get("flattened"):
                entry = (name, self._entry(member), "map")
            else:
                entry = (name, self.of(member), "")
            table[member.get("locationName", name)] = entry
        return table

    def _attributes(self, members: dict[str, Ref]) -> dict[str, str]:
        return {
            member["locationName"].rpartition(":")[2]: name
            for name, member in members.items()
            if member.get("xmlAttribute")
        }

    def _entry(self, ref: Ref) -> Callable[[Any], tuple[str, Any]]:
        key_ref, value_ref = self._model.resolve(ref["key"]), self._model.resolve(ref["value"])
        key_tag = key_ref.get("locationName", "key")
        value_tag = value_ref.get("locationName", "value")
        read = self.of(value_ref)

        def entry(node: Any) -> tuple[str, Any]:
            key = value = None
            for child in node:
                tag = local(child.tag)
                if tag == key_tag:
                    key = child.text or ""
                elif tag == value_tag:
                    value = child
            if key is None or value is None:
                raise Malformed("a map entry needs a key and a value")
            return key, read(value)

        return entry


def _structure_reader(
    table: dict[str, tuple[str, Convert, str]], attributes: dict[str, str]
) -> Convert:
    def structure(node: Any) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for child in node:
            entry = table.get(child.tag.rpartition("}")[2])
            if entry is None:
                continue
            name, read, repeated = entry
            if not repeated:
                out[name] = read(child)
            elif repeated == "list":
                out.setdefault(name, []).append(read(child))
            else:
                key, value = read(child)
                out.setdefault(name, {})[key] = value
        if attributes:
            for key, value in node.attrib.items():
                found = attributes.get(key.rpartition("}")[2])
                if found is not None:
                    out[found] = value
        return out

    return structure


def _text(node: Any) -> str:
    return node.text or ""


class XmlWriters:
    """Writers of one model's shapes, generated as straight-line Python: one append a member.

    ``query_names`` makes lists and maps take the names an overlay restored for the query protocol.
    """

    def __init__(self, model: Model, *, query_names: bool = False) -> None:
        self._model = model
        self._query_names = query_names
        self._space: dict[str, Any] = {
            "esc": escape,
            "esc_attr": escape_attribute,
            "iso8601": scalars.iso8601,
            "rfc822": scalars.rfc822,
            "unixTimestamp": scalars.unix,
            "b64": scalars.base64_text,
            "num": scalars.number_text,
        }
        self._structures: dict[str, str] = {}
        self._count = 0

    def body(self, members: dict[str, Ref]) -> Callable[[Any, Append], None]:
        """``write(value, append)`` of an unnamed structure made of ``members``."""
        return self._compile(self._name("body"), members)

    def element(self, ref: Ref, tag: str, attributes: str = "") -> Callable[[Any, Append], None]:
        """``write(value, append)`` of a whole element."""
        name = self._name("element")
        lines = [f"def {name}(v, w):", *self._lines(ref, "v", tag, 1, attributes)]
        self._exec(name, lines)
        return self._space[name]  # type: ignore[no-any-return]

    def _compile(self, name: str, members: dict[str, Ref]) -> Callable[[Any, Append], None]:
        lines = [f"def {name}(o, w):", " g = o.get"]
        for member_name, member in members.items():
            if member.get("xmlAttribute"):
                continue
            lines += [f" v = g({member_name!r})", " if v is not None:"]
            lines += self._lines(member, "v", self._tag(member_name, member), 2)
        self._exec(name, lines)
        return self._space[name]  # type: ignore[no-any-return]

    def _exec(self, name: str, lines: list[str]) -> None:
        source = "\n".join(lines)
        code = compile(source, f"<wire {self._model.service} {name}>", "exec")
        exec(code, self._space)  # noqa: S102 - made of the model's own names, each quoted by repr

    def _name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"

    def _tag(self, name: str, member: Ref) -> str:
        if self._query_names and "queryName" in member:
            return str(member["queryName"])
        if member["type"] == "list" and member.get("flattened"):
            element = self._model.resolve(member["member"])
            if "locationName" in element:
                return str(element["locationName"])
        return str(member.get("locationName", name))

    def _lines(
        self, ref: Ref, value: str, tag: str, indent: int, attributes: str = ""
    ) -> list[str]:
        """Source lines that append the element ``tag`` for the expression ``value``."""
        kind, pad = ref["type"], " " * indent
        if kind == "structure":
            return self._structure_lines(ref, value, tag, pad, attributes)
        if kind == "list":
            element = self._model.resolve(ref["member"])
            item = self._name("x")
            if ref.get("flattened"):
                return [
                    f"{pad}for {item} in {value}:",
                    *self._lines(element, item, tag, indent + 1),
                ]
            inner = element.get("locationName", "member")
            return [
                f"{pad}w({f'<{tag}{attributes}>'!r})",
                f"{pad}for {item} in {value}:",
                *self._lines(element, item, inner, indent + 1),
                f"{pad}w({f'</{tag}>'!r})",
            ]
        if kind == "map":
            return self._map_lines(ref, value, tag, indent)
        text = self._scalar(ref, value)
        return [f"{pad}w({f'<{tag}{attributes}>'!r} + {text} + {f'</{tag}>'!r})"]

    def _structure_lines(
        self, ref: Ref, value: str, tag: str, pad: str, attributes: str
    ) -> list[str]:
        name = self._structures.get(ref["shape"])
        if name is None:
            name = self._structures[ref["shape"]] = self._name("structure")
            self._compile(name, self._model.members(ref))
        space = ref.get("xmlNamespace")
        if isinstance(space, dict) and space.get("prefix"):
            attributes += f' xmlns:{space["prefix"]}="{space["uri"]}"'
        opening = repr(f"<{tag}{attributes}")
        for member_name, member in self._model.members(ref).items():
            if member.get("xmlAttribute"):
                start = f' {member["locationName"]}="'
                opening += (
                    f" + ({start!r} + esc_attr({value}[{member_name!r}]) + '\"'"
                    f" if {value}.get({member_name!r}) is not None else '')"
                )
        return [f"{pad}w({opening} + '>')", f"{pad}{name}({value}, w)", f"{pad}w({f'</{tag}>'!r})"]

    def _map_lines(self, ref: Ref, value: str, tag: str, indent: int) -> list[str]:
        pad = " " * indent
        key_ref, value_ref = self._model.resolve(ref["key"]), self._model.resolve(ref["value"])
        key_tag = key_ref.get("locationName", "key")
        value_tag = value_ref.get("locationName", "value")
        if self._query_names and "queryKey" in ref:
            key_tag, value_tag = ref["queryKey"], ref["queryValue"]
        key, item = self._name("k"), self._name("x")
        flat = bool(ref.get("flattened"))
        entry = tag if flat else "entry"
        lines = [
            f"{pad}for {key}, {item} in {value}.items():",
            f"{pad} w({f'<{entry}><{key_tag}>'!r} + esc({key}) + {f'</{key_tag}>'!r})",
            *self._lines(value_ref, item, value_tag, indent + 1),
            f"{pad} w({f'</{entry}>'!r})",
        ]
        if flat:
            return lines
        return [f"{pad}w({f'<{tag}>'!r})", *lines, f"{pad}w({f'</{tag}>'!r})"]

    def _scalar(self, ref: Ref, value: str) -> str:
        kind = ref["type"]
        if kind == "boolean":
            return f"('true' if {value} else 'false')"
        if kind == "blob":
            return f"b64({value})"
        if kind == "timestamp":
            return f"{ref.get('timestampFormat', 'iso8601')}({value})"
        if kind in ("float", "double"):
            return f"num({value})"
        if kind in ("integer", "long"):
            return f"str({value})"
        return f"esc({value})"
