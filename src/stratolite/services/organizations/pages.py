"""Listings, a page at a time, in the order of ids."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Request, Response

_PAGE_COUNT = 20


def paged(
    items: Iterable[Any],
    request: Request,
    field: str,
    shown: Callable[[Any], Any],
    *,
    key: str = "Id",
) -> Response:
    """One page of records in the order of their ids."""
    limit, token = request.get("MaxResults", _PAGE_COUNT), request.get("NextToken")
    if not 1 <= limit <= _PAGE_COUNT:
        reason = "MIN_VALUE_EXCEEDED" if limit < 1 else "MAX_VALUE_EXCEEDED"
        raise Fault(
            "InvalidInputException",
            f"MaxResults must be between 1 and {_PAGE_COUNT}.",
            Reason=reason,
        )
    after = ""
    if token:
        try:
            after = base64.b64decode(token, validate=True).decode()
        except ValueError as error:
            raise Fault("InvalidInputException", "Invalid NextToken.") from error
    rest = [i for i in sorted(items, key=lambda i: i[key]) if i[key] > after]
    out: Response = {field: [shown(i) for i in rest[:limit]]}
    if len(rest) > limit:
        out["NextToken"] = base64.b64encode(rest[limit - 1][key].encode()).decode()
    return out
