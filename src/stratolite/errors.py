"""The ways a call can end other than well: the caller's fault, the world's, or ours.

A ``Fault`` is an answer: an AWS error code the caller can act on.
``Conflict``, ``Fenced`` and ``Unavailable`` are the world; each says whether a retry helps, and one
place retries (``core.database``). Anything else is a bug: it rises to the gateway, which logs it
once and answers InternalFailure.
"""

from __future__ import annotations

from typing import Any


class Fault(Exception):
    """An AWS error the caller should see.

    ``code`` is an error code of the service's AWS model (or one of AWS's common errors), ``message``
    AWS's own words where they are known. ``status`` is the HTTP status; None takes the model's, else
    400. ``members`` are further fields of the error shape (``Item=...``, ``BucketName=...``).
    """

    def __init__(
        self, code: str, message: str, *, status: int | None = None, **members: Any
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.members = members

    def __repr__(self) -> str:
        return f"Fault({self.code}: {self.message})"


class Conflict(Exception):
    """Another writer's batch came first; the database runs the transaction again by itself."""


class Fenced(Exception):
    """Another owner holds what we held (a lease, the log): do not retry, stop acting as owner."""


class Unavailable(Exception):
    """The log or store cannot take writes now (full disk, failed sync, unknown PUT).

    Nothing was acknowledged. The gateway answers 503 ServiceUnavailable, which SDKs retry.
    """
