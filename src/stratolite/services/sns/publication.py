"""What was published: checked, and kept as JSON in the jobs that carry it.

{topic (ARN), number (the topic's), account, region, id, ms, subject or null, message, texts {protocol: text} or null,
attributes {name: [data type, value]} (base64 where binary), group, dedup, sequence, and trace (``Call.trace``) if a function published it}

and, of a topic with a KMS key, sealed {text: base64 of 12 bytes of nonce, then AES-256-GCM of JSON [message, texts], key: base64 of
its data key as KMS gave it, by: the publisher's principal, context: of its call}; then message is "" and texts null.
"""

from __future__ import annotations

import base64
import re
from typing import Any, NotRequired, TypedDict

import orjson

from stratolite.errors import Fault
from stratolite.services.sns.finding import invalid

_SUBJECT_MAX = 100
_NAME_BYTES_MAX = 256
_NOT_NAME = re.compile(r"[^A-Za-z0-9_.-]")
_TYPE = re.compile(r"(String|Number|Binary)(\..+)?", re.DOTALL)
_ID = re.compile(r"[0-9a-zA-Z!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]{1,128}")


class Sealed(TypedDict):
    text: str
    key: str
    by: dict[str, Any]
    context: dict[str, str]


class Publication(TypedDict):
    topic: str
    number: int
    account: str
    region: str
    id: str
    ms: int
    subject: str | None
    message: str
    texts: dict[str, str] | None
    attributes: dict[str, tuple[str, str]]
    group: str
    dedup: str
    sequence: int
    sealed: NotRequired[Sealed]
    trace: NotRequired[str]
    """X-Amzn-Trace-Id of who published."""


def kept(publication: Publication, **more: Any) -> bytes:
    """As it is stored: without its text where that is sealed."""
    if "sealed" in publication:
        return orjson.dumps({**publication, "message": "", "texts": None, **more})
    return orjson.dumps({**publication, **more})


def text_for(publication: Publication, protocol: str) -> str:
    """The message that subscribers of ``protocol`` get."""
    texts = publication["texts"]
    return publication["message"] if texts is None else texts.get(protocol, publication["message"])


def check_subject(subject: str | None) -> None:
    if subject is None:
        return
    if not 0 < len(subject) <= _SUBJECT_MAX or "\n" in subject or not subject.isprintable():
        raise invalid("Subject")


def read_message(message: str | None, structure: str | None) -> tuple[str, dict[str, str] | None]:
    """(the message, the texts by protocol). Raises Fault."""
    if not message:
        raise invalid("Empty message")
    if not structure:
        return message, None
    if structure != "json":
        raise invalid("MessageStructure")
    try:
        said = orjson.loads(message)
    except orjson.JSONDecodeError:
        raise invalid("Message Structure - JSON message body failed to parse") from None
    if not isinstance(said, dict) or not isinstance(said.get("default"), str):
        raise invalid("Message Structure - No default entry in JSON message body")
    return said["default"], {k: v for k, v in said.items() if isinstance(v, str)}


def size_of(message: str, attributes: dict[str, tuple[str, str]]) -> int:
    size = len(message.encode())
    for name, (kind, value) in attributes.items():
        size += len(name.encode()) + len(kind) + len(value.encode())
    return size


def check_id(name: str, value: str) -> None:
    if not _ID.fullmatch(value):
        raise invalid(
            f"{name} Reason: {name} can only include alphanumeric and punctuation characters. 1 to 128 in length"
        )


def read_attributes(given: dict[str, Any], where: str) -> dict[str, tuple[str, str]]:
    """The attributes as they are kept. ``where`` is their place in the request. Raises Fault."""
    return {name: _attribute(name, one, where) for name, one in given.items()}


def _wrong(message: str) -> Fault:
    return Fault("InvalidParameterValueException", message)


def _attribute(name: str, given: dict[str, Any], where: str) -> tuple[str, str]:
    kind = given.get("DataType")
    if kind is None:
        raise Fault(
            "ValidationError",
            f"1 validation error detected: Value null at '{where}.{name}.member.dataType' failed to satisfy"
            " constraint: Member must not be null",
        )
    _check_name(name)
    base = _TYPE.fullmatch(kind)
    if base is None:
        raise _wrong(
            f"The message attribute '{name}' has an invalid message attribute type, the set of supported type"
            " prefixes is Binary, Number, and String."
        )
    is_binary = base[1] == "Binary"
    value = given.get("BinaryValue" if is_binary else "StringValue")
    other = given.get("StringValue" if is_binary else "BinaryValue")
    if value is None and other is not None:
        used = "Binary" if is_binary else "String"
        raise _wrong(
            f"The message attribute '{name}' with type '{base[1]}' must use field '{used}'."
        )
    if not value:
        raise _wrong(
            f"The message attribute '{name}' must contain non-empty message attribute value for message"
            f" attribute type '{base[1]}'."
        )
    if is_binary:
        value = base64.b64encode(value).decode()
    elif base[1] == "Number":
        try:
            float(value)
        except ValueError:
            raise _wrong(f"Could not cast message attribute '{name}' value to number.") from None
    return kind, value


def _check_name(name: str) -> None:
    if len(name.encode()) >= _NAME_BYTES_MAX or not name:
        raise _wrong("Length of message attribute name must be less than 256 bytes.")
    if bad := _NOT_NAME.search(name):
        raise _wrong(
            f"Invalid non-alphanumeric character '#x{ord(bad[0]):X}' was found in the message attribute name. Can"
            " only include alphanumeric characters, hyphens, underscores, or dots."
        )
    if name.startswith("."):
        raise _wrong("Invalid message attribute name starting with character '.' was found.")
    if name.endswith("."):
        raise _wrong("Invalid message attribute name ending with character '.' was found.")
    if ".." in name:
        raise _wrong("Message attribute name can not have successive '.' character.")
