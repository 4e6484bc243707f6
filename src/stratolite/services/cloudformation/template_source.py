"""Where a template's text comes from: the request itself, or an object of our own S3."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from stratolite.errors import Fault
from stratolite.http import FileSlice
from stratolite.service import Call, Request
from stratolite.services.cloudformation.quotas import (
    TEMPLATE_BODY_BYTES_MAX,
    TEMPLATE_URL_BYTES_MAX,
)


async def read_text(call: Call, request: Request) -> str | None:
    """The template as text; None if the request has none. Raises Fault if it is too large or not to be had."""
    body, url = request.get("TemplateBody"), request.get("TemplateURL")
    if body is not None and url is not None:
        raise _error(
            "You cannot specify more than one of TemplateBody and TemplateURL"
        )  # AWS says "Specify only one"
    if body is not None:
        if not body:
            raise _error("Template format error: unsupported structure.")
        if len(body.encode()) > TEMPLATE_BODY_BYTES_MAX:
            raise _error(
                f"1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have length less than or equal to {TEMPLATE_BODY_BYTES_MAX}"
            )
        return str(body)
    if url is None:
        return None
    return await read_url(call, url)


async def read_url(call: Call, url: str) -> str:
    """A template's text in an object of ours. Raises Fault in AWS's words."""
    wanted = object_of(url)
    try:
        return await _read(call, wanted)
    except Fault as fault:
        if fault.code == "ValidationError":
            raise
        raise _error(
            f"S3 error: {fault.message}\nFor more information check http://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html"
        ) from fault


async def read_object(call: Call, location: str) -> str:
    """The text of any object. Raises S3's own Fault."""
    return await _read(call, object_of(location))


async def _read(call: Call, wanted: dict[str, str]) -> str:
    answer = await call.request("s3", "GetObject", dict(wanted))
    raw = await _body_of(answer["Body"])
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise _error("Template format error: the template is not UTF-8 text") from None


def object_of(url: str) -> dict[str, str]:
    """GetObject's request for an S3 URL in any of its forms; the host is never asked, the bucket is ours."""
    parts = urlsplit(url)
    host = (parts.hostname or "").split(".")
    path = unquote(parts.path.lstrip("/"))
    if parts.scheme not in ("http", "https", "s3") or not path:
        raise _error("TemplateURL must be a supported URL.")
    if parts.scheme == "s3":
        bucket, key = parts.netloc, path
    else:
        at = next(
            (n for n, label in enumerate(host) if n and (label == "s3" or label.startswith("s3-"))),
            0,
        )
        if at:
            bucket, key = ".".join(host[:at]), path
        else:
            bucket, _, key = path.partition("/")
    if not bucket or not key:
        raise _error("TemplateURL must reference a valid S3 object to which you have access.")
    wanted = {"Bucket": bucket, "Key": key}
    if version := parse_qs(parts.query).get("versionId"):
        wanted["VersionId"] = version[0]
    return wanted


async def _body_of(body: Any) -> bytes:
    too_large = _error(f"Template may not exceed {TEMPLATE_URL_BYTES_MAX} bytes in size.")
    if isinstance(body, bytes):
        raw = body
    elif isinstance(body, FileSlice):
        if body.size_bytes > TEMPLATE_URL_BYTES_MAX:
            raise too_large
        raw = await asyncio.to_thread(_read_slice, body)
    else:
        pieces = bytearray()
        async for chunk in body:
            pieces += chunk
            if len(pieces) > TEMPLATE_URL_BYTES_MAX:
                raise too_large
        raw = bytes(pieces)
    if len(raw) > TEMPLATE_URL_BYTES_MAX:
        raise too_large
    return raw


def _read_slice(part: FileSlice) -> bytes:
    with open(part.path, "rb") as file:
        file.seek(part.offset)
        return file.read(part.size_bytes)


def _error(message: str) -> Fault:
    return Fault("ValidationError", message)
