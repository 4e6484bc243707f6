"""application/vnd.amazon.eventstream: messages of headers and a payload, each with two CRCs.

Layout of a message, big-endian (https://smithy.io/2.0/aws/amazon-eventstream.html)::

    u32 total length | u32 headers length | u32 CRC32 of the 8 bytes before
    headers: u8 name length, name, u8 type, value    (strings and bytes: u16 length before)
    payload
    u32 CRC32 of everything before
"""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple

from stratolite.errors import Fault
from stratolite.wire.model import Model, Ref
from stratolite.wire.scalars import Malformed

HeaderValue = bool | int | str | bytes | float | uuid.UUID

MESSAGE_SIZE_BYTES_MAX = 24 << 20
HEADERS_SIZE_BYTES_MAX = 128 << 10

_PRELUDE = struct.Struct(">III")
_WORD = struct.Struct(">I")


class Message(NamedTuple):
    headers: dict[str, HeaderValue]
    payload: bytes


class Timestamp(float):
    """A header value written as type 8 (milliseconds since the epoch); seconds here."""


def encode(headers: Mapping[str, HeaderValue], payload: bytes) -> bytes:
    """One message."""
    packed = b"".join(_encode_header(name, value) for name, value in headers.items())
    prelude = struct.pack(">II", 16 + len(packed) + len(payload), len(packed))
    message = prelude + _WORD.pack(zlib.crc32(prelude)) + packed + payload
    return message + _WORD.pack(zlib.crc32(message))


def _encode_header(name: str, value: HeaderValue) -> bytes:
    raw = name.encode()
    return bytes((len(raw),)) + raw + _encode_value(value)


def _encode_value(value: HeaderValue) -> bytes:
    if isinstance(value, bool):
        return b"\0" if value else b"\1"
    if isinstance(value, Timestamp):
        return b"\x08" + struct.pack(">q", round(value * 1000))
    if isinstance(value, int):
        if -(1 << 31) <= value < 1 << 31:
            return b"\4" + struct.pack(">i", value)
        return b"\5" + struct.pack(">q", value)
    if isinstance(value, uuid.UUID):
        return b"\x09" + value.bytes
    if isinstance(value, str):
        raw = value.encode()
        return b"\7" + struct.pack(">H", len(raw)) + raw
    if isinstance(value, bytes):
        return b"\6" + struct.pack(">H", len(value)) + value
    raise TypeError(f"no event stream header for {type(value).__name__}")


class Decoder:
    """Messages out of bytes that come in any pieces."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """All messages now complete. Raises Malformed, after which the stream is lost."""
        self._buffer += data
        messages = []
        while len(self._buffer) >= 12:
            total, headers_size, prelude_crc = _PRELUDE.unpack_from(self._buffer)
            if zlib.crc32(memoryview(self._buffer)[:8].tobytes()) != prelude_crc:
                raise Malformed("event stream prelude checksum mismatch")
            if not 16 + headers_size <= total <= MESSAGE_SIZE_BYTES_MAX:
                raise Malformed("event stream message length out of bounds")
            if headers_size > HEADERS_SIZE_BYTES_MAX:
                raise Malformed("event stream headers too long")
            if len(self._buffer) < total:
                break
            message = bytes(self._buffer[:total])
            del self._buffer[:total]
            if zlib.crc32(message[:-4]) != _WORD.unpack_from(message, total - 4)[0]:
                raise Malformed("event stream message checksum mismatch")
            headers = _decode_headers(message[12 : 12 + headers_size])
            messages.append(Message(headers, message[12 + headers_size : -4]))
        return messages

    @property
    def pending(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._buffer)


_FIXED = {2: ">b", 3: ">h", 4: ">i", 5: ">q", 8: ">q"}


def _decode_headers(data: bytes) -> dict[str, HeaderValue]:
    headers: dict[str, HeaderValue] = {}
    at = 0
    try:
        while at < len(data):
            size = data[at]
            name = data[at + 1 : at + 1 + size].decode()
            kind = data[at + 1 + size]
            at += 2 + size
            value: HeaderValue
            if kind in (0, 1):
                value = kind == 0
            elif kind in _FIXED:
                form = _FIXED[kind]
                number: int = struct.unpack_from(form, data, at)[0]
                at += struct.calcsize(form)
                value = Timestamp(number / 1000) if kind == 8 else number
            elif kind in (6, 7):
                length = int.from_bytes(data[at : at + 2], "big")
                raw = data[at + 2 : at + 2 + length]
                if len(raw) != length:
                    raise Malformed("event stream header cut short")
                value = raw if kind == 6 else raw.decode()
                at += 2 + length
            elif kind == 9:
                value = uuid.UUID(bytes=data[at : at + 16])
                at += 16
            else:
                raise Malformed("unknown event stream header type")
            headers[name] = value
    except (IndexError, struct.error, ValueError) as error:
        raise Malformed("malformed event stream header") from error
    return headers


class EventWriter:
    """Answers of one operation whose output holds a stream of events."""

    def __init__(
        self,
        model: Model,
        stream: Ref,
        body_writer: Callable[[Ref, dict[str, Ref] | None], Callable[[Any], bytes]],
        content_type: str,
    ) -> None:
        self._events: dict[str, Callable[[dict[str, Any]], bytes]] = {
            name: _event(model, name, event, body_writer, content_type)
            for name, event in model.members(stream).items()
        }
        self._content_type = content_type

    def event(self, name: str, value: dict[str, Any]) -> bytes:
        return self._events[name](value)

    async def stream(
        self, events: AsyncIterator[dict[str, Any]], initial: bytes | None
    ) -> AsyncIterator[bytes]:
        """Messages of ``{"EventName": {...}}`` dicts; a Fault on the way ends it as AWS does."""
        if initial is not None:
            headers = {
                ":message-type": "event",
                ":event-type": "initial-response",
                ":content-type": self._content_type,
            }
            yield encode(headers, initial)
        try:
            async for event in events:
                for name, value in event.items():
                    yield self._events[name](value)
        except Fault as fault:
            yield self.fault(fault)

    def fault(self, fault: Fault) -> bytes:
        modelled = self._events.get(fault.code) or self._events.get(
            fault.code[:1].lower() + fault.code[1:]
        )
        if modelled is not None:
            return modelled({"message": fault.message, "Message": fault.message, **fault.members})
        headers = {
            ":message-type": "error",
            ":error-code": fault.code,
            ":error-message": fault.message,
        }
        return encode(headers, b"")


def _event(
    model: Model,
    name: str,
    ref: Ref,
    body_writer: Callable[[Ref, dict[str, Ref] | None], Callable[[Any], bytes]],
    content_type: str,
) -> Callable[[dict[str, Any]], bytes]:
    members = model.members(ref)
    fixed: dict[str, HeaderValue]
    if ref.get("exception"):
        fixed = {":message-type": "exception", ":exception-type": name}
        known = frozenset(members)
        write = body_writer(ref, None)
        fixed[":content-type"] = content_type
        return lambda value: encode(fixed, write({k: v for k, v in value.items() if k in known}))
    fixed = {":message-type": "event", ":event-type": name}
    headers = {key: m for key, m in members.items() if m.get("eventheader")}
    payload = next((key for key, m in members.items() if m.get("eventpayload")), None)

    def header_values(value: dict[str, Any]) -> dict[str, HeaderValue]:
        out = dict(fixed)
        for key, member in headers.items():
            if value.get(key) is not None:
                out[key] = Timestamp(value[key]) if member["type"] == "timestamp" else value[key]
        return out

    if payload is not None and members[payload]["type"] in ("blob", "string"):
        binary = members[payload]["type"] == "blob"
        fixed[":content-type"] = "application/octet-stream" if binary else "text/plain"

        def raw_event(value: dict[str, Any]) -> bytes:
            data = value.get(payload, b"")
            return encode(header_values(value), data.encode() if isinstance(data, str) else data)

        return raw_event
    if payload is not None:
        fixed[":content-type"] = content_type
        write_payload = body_writer(members[payload], None)
        return lambda value: encode(header_values(value), write_payload(value.get(payload, {})))
    body = {key: m for key, m in members.items() if not m.get("eventheader")}
    if body:
        fixed[":content-type"] = content_type
    write_body = body_writer(ref, body)
    return lambda value: encode(
        header_values(value),
        write_body({k: v for k, v in value.items() if k in body}) if body else b"",
    )
