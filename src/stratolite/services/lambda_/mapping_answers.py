"""What a function's answer says about the records it got; pure.

    {"batchItemFailures": [{"itemIdentifier": id}, ...]}

Nothing, null or an empty list: all is well. An entry without an id, or with one that was not in the batch: all failed.
Source  https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting
        https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

STATE_BYTES_MAX = 1 << 20


def failed(payload: bytes, ids: Sequence[str]) -> set[str]:
    """Which of ``ids`` failed."""
    said = _parsed(payload)
    if not isinstance(said, dict) or not said.get("batchItemFailures"):
        return set()
    entries = said["batchItemFailures"]
    known = set(ids)
    if not isinstance(entries, list):
        return known
    found = set()
    for entry in entries:
        given = entry.get("itemIdentifier") if isinstance(entry, dict) else None
        if not isinstance(given, str) or given not in known:
            return known
        found.add(given)
    return found


def state(payload: bytes) -> Any:
    """The state a function wants to get with the window's next records."""
    said = _parsed(payload)
    found = said.get("state") if isinstance(said, dict) else None
    return {} if found is None else found


def _parsed(payload: bytes) -> Any:
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
