"""Which required member a request lacks, in AWS's words.

Services take required members for granted, as their models promise and SDKs check. A raw client that leaves
one out makes the operation stumble over it; only then is the request held against the model. So the check
costs nothing on the way of a good request.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stratolite.errors import Fault
from stratolite.wire.model import Model, Ref, load

# How each service calls a request that fails its model's constraints, where it is not ValidationException.
_CODES = {
    "apigateway": "BadRequestException",
    "apigatewayv2": "BadRequestException",
    "cloudformation": "ValidationError",
    "iam": "ValidationError",
    "logs": "InvalidParameterException",
    "resourcegroupstaggingapi": "InvalidParameterException",
    "s3": "InvalidRequest",
    "sts": "ValidationError",
}


def missing(service: str, operation: str, request: dict[str, Any]) -> Fault | None:
    """The fault AWS answers for the required members that are not there; None if all are."""
    model = load(service)
    shape = model.input(operation)
    if shape is None:
        return None
    paths = list(_absent(model, shape, request, ""))
    if not paths:
        return None
    count = f"{len(paths)} validation error{'s' if len(paths) > 1 else ''} detected"
    each = "; ".join(
        f"Value null at '{path}' failed to satisfy constraint: Member must not be null"
        for path in paths
    )
    return Fault(_CODES.get(service, "ValidationException"), f"{count}: {each}")


def _absent(model: Model, ref: Ref, value: Any, path: str) -> Iterator[str]:
    """Paths as AWS writes them: members in lower camel case, ``tags.1.member.key`` for lists."""
    kind = ref["type"]
    if kind == "structure" and isinstance(value, dict):
        for name in ref.get("required", ()):
            if name not in value:
                yield f"{path}{name[:1].lower()}{name[1:]}"
        members = model.members(ref)
        for name, inner in value.items():
            if name in members:
                lower = f"{path}{name[:1].lower()}{name[1:]}."
                yield from _absent(model, members[name], inner, lower)
    elif kind == "list" and isinstance(value, list):
        element = model.resolve(ref["member"])
        for number, inner in enumerate(value, 1):
            yield from _absent(model, element, inner, f"{path}{number}.member.")
    elif kind == "map" and isinstance(value, dict):
        element = model.resolve(ref["value"])
        for key, inner in value.items():
            yield from _absent(model, element, inner, f"{path}{key}.member.")
