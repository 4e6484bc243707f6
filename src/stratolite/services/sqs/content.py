"""What may be in a message: characters, sizes, attributes and their digests."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import md5
from typing import Any

from stratolite.errors import Fault

SIZE_BYTES_MAX = 1 << 20
_ATTRIBUTES_MAX = 10
_BAD = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_GOOD_ASCII = b"\t\n\r" + bytes(range(0x20, 0x80))  # deleting is three times as fast as searching
_BAD_SAID = (
    "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF |"
    " #xE000 to #xFFFD | #x10000 to #x10FFFF"
)
_NAME = re.compile(r"[\w.-]+")
_TYPE = re.compile(r"(String|Number|Binary)(\..*)?", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_ID = re.compile(r"[0-9a-zA-Z!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]{1,128}")

Attribute = tuple[str, str | bytes]
"""(data type, value)."""


def invalid(message: str) -> Fault:
    return Fault("InvalidParameterValue", message)


def check_body(body: str | None) -> bytes:
    """The body's UTF-8. Raises Fault for an empty one and for characters AWS does not take."""
    if not body:
        raise Fault("MissingParameter", "The request must contain the parameter MessageBody.")
    if body.isascii():
        raw = body.encode()
        if raw.translate(None, _GOOD_ASCII):
            raise Fault("InvalidMessageContents", _BAD_SAID)
        return raw
    if _BAD.search(body):
        raise Fault("InvalidMessageContents", _BAD_SAID)
    return body.encode()


def check_size(size_bytes: int, size_bytes_max: int) -> None:
    if size_bytes > size_bytes_max:
        raise invalid(
            "One or more parameters are invalid. Reason: Message must be shorter than"
            f" {size_bytes_max} bytes."
        )


def check_id(name: str, value: str) -> None:
    if not _ID.fullmatch(value):
        raise invalid(
            f"Value {value} for parameter {name} is invalid. Reason: {name} can only include"
            " alphanumeric and punctuation characters. 1 to 128 in length."
        )


def attributes(given: dict[str, Any], kind: str = "user") -> dict[str, Attribute]:
    """The attributes as they are kept. Raises Fault for what AWS does not take.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
    """
    if len(given) > _ATTRIBUTES_MAX and kind == "user":
        raise invalid(
            f"Number of message attributes [{len(given)}] exceeds the allowed maximum [10]."
        )
    return {name: _attribute(name, one, kind) for name, one in given.items()}


def _attribute(name: str, given: dict[str, Any], kind: str) -> Attribute:
    if kind == "user":
        _check_name(name)
    data_type = given.get("DataType") or ""
    if not data_type:
        raise invalid(
            f"The message ({kind}) attribute '{name}' must contain a message attribute type."
        )
    if len(data_type.encode()) > 256:
        raise invalid(
            f"The message ({kind}) attribute type '{data_type}' must be shorter than 256 Bytes."
        )
    base = _TYPE.fullmatch(data_type)
    if base is None:
        raise invalid(
            f"The message ({kind}) attribute '{name}' has an invalid message attribute type, the set of"
            " supported type prefixes is Binary, Number, and String."
        )
    if given.get("StringListValues") or given.get("BinaryListValues"):
        raise invalid(
            f"Message ({kind}) attribute list values in SendMessage operation are not supported."
        )
    if base[1] == "Binary":
        value: str | bytes | None = given.get("BinaryValue")
    else:
        value = given.get("StringValue")
    if not value:
        raise invalid(
            f"Message ({kind}) attribute '{name}' must contain a non-empty value of type '{base[1]}'."
        )
    if isinstance(value, str) and not value.isprintable() and _BAD.search(value):
        raise invalid(_BAD_SAID)
    if base[1] == "Number" and not _NUMBER.fullmatch(str(value)):
        raise invalid(f"Can't cast the value of message ({kind}) attribute '{name}' to a number.")
    return data_type, value


def _check_name(name: str) -> None:
    if not name or len(name.encode()) > 256:
        raise invalid("Message (user) attribute names must be shorter than 256 Bytes")
    if not _NAME.fullmatch(name):
        raise invalid(
            f"Invalid (user) message attribute name '{name}'. The name can only contain upper and lower"
            " case letters, digits, periods, hyphens and underscores."
        )
    lower = name.lower()
    if lower.startswith(("aws.", "amazon.", ".")) or name.endswith(".") or ".." in name:
        raise invalid(
            "You can't use message attribute names beginning with 'AWS.' or 'Amazon.'. These strings are"
            " reserved for internal use. Additionally, they cannot start or end with '.'."
        )


def attributes_size(kept: dict[str, Attribute]) -> int:
    return sum(
        len(name.encode())
        + len(kind)
        + (len(value.encode()) if isinstance(value, str) else len(value))
        for name, (kind, value) in kept.items()
    )


def digest(kept: dict[str, Attribute]) -> str:
    """MD5 of attributes, in hex.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
    #sqs-attributes-md5-message-digest-calculation
    """
    out = bytearray()
    for name in sorted(kept):
        kind, value = kept[name]
        raw = value.encode() if isinstance(value, str) else value
        for piece in (name.encode(), kind.encode()):
            out += len(piece).to_bytes(4, "big") + piece
        out += b"\x02" if kind.startswith("Binary") else b"\x01"
        out += len(raw).to_bytes(4, "big") + raw
    return md5(out, usedforsecurity=False).hexdigest()


def chosen(kept: dict[str, Attribute], names: Iterable[str]) -> dict[str, Attribute]:
    """Those that ReceiveMessage's MessageAttributeNames ask for: names, ``prefix.*``, ``All`` or ``*``."""
    wanted = set(names)
    if wanted & {"All", ".*", "*"}:
        return kept
    starts = tuple(name[:-2] for name in wanted if name.endswith(".*"))
    return {k: v for k, v in kept.items() if k in wanted or (starts and k.startswith(starts))}


def shown(kept: dict[str, Attribute]) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "BinaryValue" if kind.startswith("Binary") else "StringValue": value,
            "DataType": kind,
        }
        for name, (kind, value) in kept.items()
    }
