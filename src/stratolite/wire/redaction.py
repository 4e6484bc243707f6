"""A request as a record may keep it: nothing secret, nothing large, names as CloudTrail writes them.

What AWS's model marks as sensitive is hidden, and what by its name is a secret though the model does not say so.
Bodies and blobs are left out, long texts cut.
Source  https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
"""

from __future__ import annotations

import re
from typing import Any

from stratolite.wire.model import Model, Ref, load

HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"
_TEXT_LENGTH_MAX = 1024
_ELEMENTS_COUNT_MAX = 50
_DEPTH_MAX = 8
_SECRET = re.compile(
    r"password|secret(?!id|arn)|tokencode|authenticationcode|privatekey|samlassertion|webidentitytoken"
    r"|sessiontoken|credential(?!reportformat)|parametervalue|templatebody|encodedmessage",
    re.IGNORECASE,
)
_SECRET_MEMBERS = {("apigateway", "CreateApiKey"): ("value",)}
"""Secrets whose names do not say so."""


def redacted(service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
    """A copy of ``request`` fit for JSON; members the model does not know are left out."""
    model = load(service)
    ref = model.input(operation) if operation in model.operations else None
    if ref is None:
        return {}
    made = _structure(model, ref, request, 0)
    for name in _SECRET_MEMBERS.get((service, operation), ()):
        if name in made:
            made[name] = HIDDEN
    return made


def _structure(model: Model, ref: Ref, value: dict[str, Any], depth: int) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, member in model.members(ref).items():
        given = value.get(name)
        if given is not None:
            shown = HIDDEN if _SECRET.search(name) else _shown(model, member, given, depth + 1)
            if shown is not None:
                out[name[:1].lower() + name[1:]] = shown
    return out


def _shown(model: Model, ref: Ref, value: Any, depth: int) -> Any:
    """None for what is left out."""
    kind = ref["type"]
    if ref.get("sensitive") or ref["shape"] in model.json_shapes:
        return HIDDEN
    if kind == "blob" or depth > _DEPTH_MAX or ref.get("streaming"):
        return None
    if kind == "structure":
        return _structure(model, ref, value, depth) if isinstance(value, dict) else None
    if kind == "list" and isinstance(value, list):
        of = model.resolve(ref["member"])
        return [_shown(model, of, one, depth + 1) for one in value[:_ELEMENTS_COUNT_MAX]]
    if kind == "map" and isinstance(value, dict):
        of = model.resolve(ref["value"])
        few = list(value.items())[:_ELEMENTS_COUNT_MAX]
        return {
            str(k): HIDDEN if _SECRET.search(str(k)) else _shown(model, of, v, depth + 1)
            for k, v in few
        }
    if isinstance(value, str):
        return value if len(value) <= _TEXT_LENGTH_MAX else value[:_TEXT_LENGTH_MAX] + "..."
    return value if isinstance(value, bool | int | float) else None
