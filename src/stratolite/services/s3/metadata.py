"""User metadata as S3 takes it from headers and gives it back: decoded and encoded as RFC 2047 has it.

A header's bytes are read as ISO-8859-1, so what a client sends as bare UTF-8 is kept, and given back, as those characters.

Sources  https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html#UserMetadata
         https://www.rfc-editor.org/rfc/rfc2047
"""

from __future__ import annotations

import re
import unicodedata
from base64 import b64encode
from collections.abc import Mapping

from stratolite.errors import Fault

SIZE_BYTES_MAX = 2048

_PLAIN = re.compile(r"[\t\x20-\x7e]*").fullmatch
_QUOTED = {at: f"={at:02X}" for at in range(256)} | {ord(" "): "_"}
for _safe in range(0x21, 0x7F):
    if chr(_safe) not in "=?_":
        del _QUOTED[_safe]


def taken(given: Mapping[str, str], *, of_form: bool) -> dict[str, str]:
    """Names in lower case, values decoded; the fields of a browser's form are text already. Raises MetadataTooLarge."""
    found = {
        name.lower(): value if of_form or "=?" not in value else _decoded(value)
        for name, value in given.items()
    }
    size = sum(len(k.encode()) + len(v.encode("utf-8", "replace")) for k, v in found.items())
    if size > SIZE_BYTES_MAX:
        raise Fault(
            "MetadataTooLarge",
            "Your metadata headers exceed the maximum allowed metadata size",
            status=400,
            Size=str(size),
            MaxSizeAllowed=str(SIZE_BYTES_MAX),
        )
    return found


def shown(kept: dict[str, str]) -> dict[str, str]:
    """As headers: printable ASCII as it is, all else as one encoded word."""
    if all(map(_PLAIN, kept.values())):
        return kept
    return {name: value if _PLAIN(value) else _encoded(value) for name, value in kept.items()}


def _decoded(value: str) -> str:
    """What is no well-formed encoded word stays as it is."""
    from email.errors import HeaderParseError  # it takes a while to load, and few say such things
    from email.header import decode_header

    try:
        parts = decode_header(value)
        return "".join(
            part if isinstance(part, str) else part.decode(charset or "latin-1", "replace")
            for part, charset in parts
        )
    except (HeaderParseError, LookupError):
        return value


def _encoded(value: str) -> str:
    """In Q, or in B where a character cannot be printed."""
    raw = value.encode("utf-8", "replace")
    if "\ufffd" in value or any(unicodedata.category(c).startswith("C") for c in value):
        return f"=?UTF-8?B?{b64encode(raw).decode()}?="
    return f"=?UTF-8?Q?{raw.decode('latin-1').translate(_QUOTED)}?="
