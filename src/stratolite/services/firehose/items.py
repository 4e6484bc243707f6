"""A record on its way through the processors, and one that did not get through."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

import orjson

from stratolite.services.firehose.state import Row


@dataclass(slots=True)
class Item:
    """A record on its way."""

    row: Row
    """As it was accepted."""
    data: bytes
    keys: dict[str, dict[str, str]] = field(default_factory=dict)
    """Namespace (partitionKeyFromQuery, ...) -> key -> value."""


@dataclass(slots=True)
class Failure:
    row: Row
    code: str
    message: str
    attempts: int
    function: str = ""
    kind: str = "processing-failed"
    """What the error prefix calls it."""

    def line(self, now_s: float) -> bytes:
        """As AWS writes it under the error prefix."""
        said = {
            "attemptsMade": self.attempts,
            "arrivalTimestamp": self.row.arrival_ms,
            "errorCode": self.code,
            "errorMessage": self.message,
            "attemptEndingTimestamp": int(now_s * 1000),
            "rawData": base64.b64encode(self.row.data).decode(),
        }
        if self.function:
            said["lambdaArn"] = self.function
        return orjson.dumps(said) + b"\n"
