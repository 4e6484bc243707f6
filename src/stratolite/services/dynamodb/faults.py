"""DynamoDB's errors by name, so that a code is spelled once."""

from __future__ import annotations

from typing import Any

from stratolite.errors import Fault


def invalid(message: str) -> Fault:
    return Fault("ValidationException", message)


def malformed(message: str) -> Fault:
    """JSON of a shape the operation does not take."""
    return Fault("SerializationException", message)


def not_found(message: str = "Requested resource not found") -> Fault:
    return Fault("ResourceNotFoundException", message)


def in_use(message: str) -> Fault:
    return Fault("ResourceInUseException", message)


def condition_failed(item: Any | None = None) -> Fault:
    """``item`` is the item as it was, for ReturnValuesOnConditionCheckFailure."""
    message = "The conditional request failed"
    if item is None:
        return Fault("ConditionalCheckFailedException", message)
    return Fault("ConditionalCheckFailedException", message, Item=item)


def not_offered(operation: str, parameter: str) -> Fault:
    return invalid(f"{operation}: {parameter} is not offered by Stratolite; see docs/coverage.md")
