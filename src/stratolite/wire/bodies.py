"""Request bodies as bytes, unpacked within bounds if they came compressed."""

from __future__ import annotations

import zlib

from stratolite.http import HttpRequest
from stratolite.limits import BODY_BUFFERED_BYTES_MAX
from stratolite.wire.scalars import Malformed

BEGINNING_SIZE_BYTES = 64 << 10


def beginning(request: HttpRequest) -> bytes:
    """Enough of a form to find its Action, before anybody is known to have sent it. Raises Malformed."""
    body = request.body
    if not isinstance(body, bytes):
        return b""
    if request.headers.get("content-encoding") != "gzip":
        return body[:BEGINNING_SIZE_BYTES]
    try:
        return zlib.decompressobj(wbits=31).decompress(body, BEGINNING_SIZE_BYTES)
    except zlib.error:
        raise Malformed("The body is not gzip") from None


def whole(request: HttpRequest) -> bytes:
    """The body of a request to an operation that does not stream. Raises Malformed.

    SDKs gzip large requests where the model allows it (``requestcompression``: PutMetricData).
    """
    body = request.body
    assert isinstance(body, bytes)  # the gateway gathers what no operation streams
    if request.headers.get("content-encoding") != "gzip":
        return body
    unpacker = zlib.decompressobj(wbits=31)
    try:
        found = unpacker.decompress(body, BODY_BUFFERED_BYTES_MAX)
    except zlib.error:
        raise Malformed("The body is not gzip") from None
    if not unpacker.eof:
        raise Malformed("The gzip body is too large or cut short")
    return found
