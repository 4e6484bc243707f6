"""How a request that leaves ends badly."""

from __future__ import annotations


class Failed(Exception):
    """No answer. ``why``: refused | name | connect | tls | timeout | too-large | protocol; the message is for people."""

    def __init__(self, why: str, message: str) -> None:
        super().__init__(message)
        self.why = why


class Refused(Failed):
    """The place may not be reached from here: asking again does not help."""

    def __init__(self, message: str) -> None:
        super().__init__("refused", message)
