"""What is wrong with a payload, in the words of AWS's JSON parser (Jackson): people see them when a command line sent base64.

Recorded in test_lambda.snapshot.json, test_lambda_invoke_payload_encoding_error; the rest from Jackson's own source,
https://github.com/FasterXML/jackson-core (UTF8StreamJsonParser). Where we cannot say what it would, our parser's words stand.
"""

from __future__ import annotations

import re

_SOURCE = "[Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: {}, column: {}]"
_VALUES = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
_BLANK = re.compile(rb"[ \t\r\n]*")
_NUMBER = re.compile(rb"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORDS = (b"null", b"true", b"false")
_DEPTH_MAX = 200
_BYTES_MAX = 64 << 10  # read here byte by byte, on the loop


class _Unsure(Exception):
    """Too deep to be read here."""


class _Wrong(Exception):
    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.message, self.at = message, at


def complaint(raw: bytes, otherwise: str) -> str:
    """The parser's message about ``raw``, which is not JSON, with its place; ``otherwise`` if it finds nothing wrong."""
    if len(raw) > _BYTES_MAX:
        return otherwise
    try:
        _Reader(raw).value(_blank(raw, 0), 0)
    except _Wrong as wrong:
        return f"{wrong.message}\n at {_place(raw, wrong.at)}"
    except _Unsure:
        pass
    return otherwise


def _blank(raw: bytes, at: int) -> int:
    found = _BLANK.match(raw, at)
    assert found is not None
    return found.end()


def _place(raw: bytes, at: int) -> str:
    line = raw.count(b"\n", 0, at) + 1
    return _SOURCE.format(line, at - (raw.rfind(b"\n", 0, at) + 1) + 1)


class _Reader:
    """Methods take where something begins and return where it ends. Raise ``_Wrong``."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def value(self, at: int, depth: int) -> int:
        raw = self._raw
        if at >= len(raw):
            raise _Wrong("No content to map due to end-of-input", 0)
        if depth > _DEPTH_MAX:
            raise _Unsure
        first = raw[at : at + 1]
        if first == b"{":
            return self._members(at, depth, b"}", "Object")
        if first == b"[":
            return self._members(at, depth, b"]", "Array")
        if first == b'"':
            return self._string(at)
        if (number := _NUMBER.match(raw, at)) is not None:
            return number.end()
        for word in _WORDS:
            if raw.startswith(word, at) and not _is_word(raw[at + len(word) : at + len(word) + 1]):
                return at + len(word)
        if _is_word(first) and not first.isdigit():
            raise self._token(at)
        raise self._unexpected(at, f"expected a valid value {_VALUES}")

    def _members(self, start: int, depth: int, end: bytes, kind: str) -> int:
        at = self._skip(start + 1, start, kind)
        if self._raw[at : at + 1] == end:
            return at + 1
        while True:
            if kind == "Object":
                if self._raw[at : at + 1] != b'"':
                    raise self._unexpected(at, "was expecting double-quote to start field name")
                at = self._skip(self._string(at), start, kind)
                if self._raw[at : at + 1] != b":":
                    raise self._unexpected(
                        at, "was expecting a colon to separate field name and value"
                    )
                at = self._skip(at + 1, start, kind)
            at = self._skip(self.value(at, depth + 1), start, kind)
            if self._raw[at : at + 1] == end:
                return at + 1
            if self._raw[at : at + 1] != b",":
                raise self._unexpected(at, f"was expecting comma to separate {kind} entries")
            at = self._skip(at + 1, start, kind)

    def _skip(self, at: int, start: int, kind: str) -> int:
        end = _blank(self._raw, at)
        if end >= len(self._raw):
            message = f"Unexpected end-of-input: expected close marker for {kind} (start marker at {_place(self._raw, start)})"
            raise _Wrong(message, len(self._raw))
        return end

    def _string(self, at: int) -> int:
        raw, end = self._raw, at + 1
        while end < len(raw):
            byte = raw[end]
            if byte == 0x22:
                return end + 1
            if byte < 0x20:
                shown = f"Illegal unquoted character ((CTRL-CHAR, code {byte}))"
                raise _Wrong(
                    f"{shown}: has to be escaped using backslash to be included in string value",
                    end + 1,
                )
            if byte >= 0x80:
                end = self._wide(end)
            else:
                end += 2 if byte == 0x5C else 1
        raise _Wrong("Unexpected end-of-input in VALUE_STRING", len(raw))

    def _wide(self, at: int) -> int:
        """One character of UTF-8 that is not ASCII."""
        byte = self._raw[at]
        size = (
            2
            if byte & 0xE0 == 0xC0
            else 3
            if byte & 0xF0 == 0xE0
            else 4
            if byte & 0xF8 == 0xF0
            else 0
        )
        if not size:
            raise _Wrong(f"Invalid UTF-8 start byte 0x{byte:x}", at + 1)
        for place in range(at + 1, min(at + size, len(self._raw))):
            if self._raw[place] & 0xC0 != 0x80:
                raise _Wrong(f"Invalid UTF-8 middle byte 0x{self._raw[place]:x}", place + 1)
        return at + size

    def _token(self, at: int) -> _Wrong:
        end = at
        while end < len(self._raw) and _is_word(self._raw[end : end + 1]):
            end = self._wide(end) if self._raw[end] >= 0x80 else end + 1
        if end < len(self._raw) and self._raw[end] >= 0x80:
            self._wide(end)
        word = self._raw[at:end].decode("utf-8", "replace")
        shown = word if len(word) <= 256 else f"{word[:256]}..."
        return _Wrong(f"Unrecognized token '{shown}': was expecting {_VALUES}", end)

    def _unexpected(self, at: int, wanted: str) -> _Wrong:
        code = self._raw[at]
        shown = f"'{chr(code)}' (code {code})"
        if code < 0x20 or 0x7F <= code < 0xA0:
            shown = f"(CTRL-CHAR, code {code})"
        return _Wrong(f"Unexpected character ({shown}): {wanted}", at)


def _is_word(byte: bytes) -> bool:
    """Whether Java takes it for part of an identifier; above ASCII only letters of Latin-1 are asked about."""
    return (
        byte.isalnum()
        or byte in (b"_", b"$")
        or (byte >= b"\xc0" and byte not in (b"\xd7", b"\xf7"))
    )
