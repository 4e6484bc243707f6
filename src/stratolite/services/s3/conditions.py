"""Whether a request's If-* conditions hold, and which bytes its Range means.

Sources  https://www.rfc-editor.org/rfc/rfc9110#name-evaluation-of-preconditions (13.2.2)
         https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
         https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from stratolite.errors import Fault
from stratolite.services.s3.faults import (
    header_not_implemented,
    invalid_range,
    no_such_key,
    precondition_failed,
)


class Validators(NamedTuple):
    """What conditions compare with. ``modified_s`` is in whole seconds."""

    etag: str
    modified_s: int


def matches(header: str, etag: str) -> bool:
    """Whether an If-Match or If-None-Match list names ``etag`` (given without quotes)."""
    return any(
        one in ("*", etag)
        for one in (part.strip().removeprefix("W/").strip('"') for part in header.split(","))
    )


class Reads(NamedTuple):
    """The conditions of a read, as sent; times in seconds. A time of modification still to come is no condition.

    LocalStack's recorded test_s3_get_object_preconditions and test_s3_copy_object_preconditions.
    """

    match: str | None = None
    none_match: str | None = None
    modified_since_s: float | None = None
    unmodified_since_s: float | None = None


def check_read(have: Validators, want: Reads, now_s: float) -> None:
    """Raises PreconditionFailed (412) or NotModified (304). A time loses against an entity tag."""
    if want.match is not None:
        if not matches(want.match, have.etag):
            raise precondition_failed("If-Match")
    elif want.unmodified_since_s is not None and have.modified_s > want.unmodified_since_s:
        raise precondition_failed("If-Unmodified-Since")
    if want.none_match is not None:
        unchanged = matches(want.none_match, have.etag)
    else:
        since_s = want.modified_since_s
        unchanged = since_s is not None and have.modified_s <= since_s <= now_s
    if unchanged:
        raise Fault(
            "NotModified",
            "Not Modified",
            status=304,
            ETag=f'"{have.etag}"',
            LastModified=float(have.modified_s),
        )


def range_holds(if_range: str | None, have: Validators) -> bool:
    """Whether Range counts: of another object than the client has part of, it gets the whole.

    https://www.rfc-editor.org/rfc/rfc9110#name-if-range (13.1.5: strong comparison, an exact date)
    """
    if if_range is None or if_range.strip() == f'"{have.etag}"':
        return True
    try:
        return parsedate_to_datetime(if_range).timestamp() == have.modified_s
    except (ValueError, OverflowError):
        return False


def check_copy(have: Validators, want: Reads, now_s: float) -> None:
    """Conditions on a copy's source: every failure is 412, named by its copy-source header."""
    name = "x-amz-copy-source-If-"
    if want.match is not None:
        if not matches(want.match, have.etag):
            raise precondition_failed(f"{name}Match")
    elif want.unmodified_since_s is not None and have.modified_s > want.unmodified_since_s:
        raise precondition_failed(f"{name}Unmodified-Since")
    if want.none_match is not None:
        if matches(want.none_match, have.etag):
            raise precondition_failed(f"{name}None-Match")
    elif want.modified_since_s is not None and have.modified_s <= want.modified_since_s <= now_s:
        raise precondition_failed(f"{name}Modified-Since")


def check_write(
    key: str, etag: str | None, if_match: str | None, if_none_match: str | None
) -> None:
    """Conditions on what a write replaces; ``etag`` is None when there is nothing."""
    if if_none_match is not None:
        if if_match is not None:
            raise header_not_implemented(
                "If-Match,If-None-Match",
                "Multiple conditional request headers present in the request",
            )
        if if_none_match != "*":
            raise header_not_implemented(
                "If-None-Match",
                "We don't accept the provided value of If-None-Match header for this API",
            )
        if etag is not None:
            raise precondition_failed("If-None-Match")
    if if_match is not None:
        if if_match == "*":
            raise header_not_implemented(
                "If-Match", "We don't accept the provided value of If-Match header for this API"
            )
        if etag is None:
            raise no_such_key(key)
        if not matches(if_match, etag):
            raise precondition_failed("If-Match")


_RANGE = re.compile(r"\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*")


def slice_of(header: str, size_bytes: int) -> tuple[int, int] | None:
    """(start, stop) of a Range header; None when S3 ignores it (several ranges, not understood).

    Raises InvalidRange (416) when nothing of the object lies in it.
    """
    found = _RANGE.fullmatch(header)
    if found is None:
        return None
    first, last = found[1], found[2]
    if len(first) > 19:
        raise invalid_range(header, size_bytes)
    if len(last) > 19:  # some clients say 2**64 - 1 for "to the end"
        last = str(size_bytes or 1) if not first else ""
    if not first:
        if not last:
            return None
        wanted = int(last)
        if wanted == 0 or size_bytes == 0:
            raise invalid_range(header, size_bytes)
        return max(0, size_bytes - wanted), size_bytes
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size_bytes:
        raise invalid_range(header, size_bytes)
    return start, min(size_bytes, int(last) + 1) if last else size_bytes
