"""Whether a request has the parameters and the body its method asks for.

Source  https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-method-request-validation.html
"""

from __future__ import annotations

from typing import Any

import orjson

from stratolite import allowed_pattern
from stratolite.services.apigateway.deployed import Deployed
from stratolite.services.apigateway.incoming import Incoming
from stratolite.services.apigateway.refusals import Refusal

_MODELS = "https://apigateway.amazonaws.com/restapis/"


def check(method: dict[str, Any], incoming: Incoming, deployed: Deployed) -> None:
    """Raises Refusal."""
    validator = deployed.validators.get(method.get("requestValidatorId") or "")
    if validator is None:
        return
    if validator.get("validateRequestParameters"):
        lacking = [
            name
            for name in sorted(method.get("requestParameters") or {})
            if method["requestParameters"][name] and not _has(incoming, name)
        ]
        if lacking:
            names = ", ".join(name.split(".", 3)[3] for name in lacking)
            raise Refusal(
                "BAD_REQUEST_PARAMETERS", f"Missing required request parameters: [{names}]"
            )
    if validator.get("validateRequestBody") and not _fits(method, incoming, deployed):
        raise Refusal("BAD_REQUEST_BODY")


def _has(incoming: Incoming, parameter: str) -> bool:
    place, name = parameter.removeprefix("method.request.").split(".", 1)
    if place == "path":
        return name in incoming.parameters
    if place.endswith("header"):
        return incoming.header(name) is not None
    return any(incoming.query.get(name, ()))


def _fits(method: dict[str, Any], incoming: Incoming, deployed: Deployed) -> bool:
    models = method.get("requestModels") or {}
    kind = (incoming.content_type or "application/json").split(";")[0].strip().lower()
    name = models.get(kind) or models.get("$default")
    if name is None:
        return True
    model = deployed.models.get(name)
    if model is None or not model.get("schema"):
        return True
    try:
        body = orjson.loads(incoming.body or b"{}")
    except ValueError:
        return False
    try:
        return bool(checker(deployed.models, name).is_valid(body))
    except (allowed_pattern.Refused, RecursionError):
        return False


def checker(models: dict[str, dict[str, Any]], name: str) -> Any:
    """A validator of one model, which may refer to others. Nothing is ever fetched."""
    from jsonschema import Draft4Validator, validators
    from referencing import Registry

    kept = _CHECKERS.get(id(models), name)
    if kept is not None:
        return kept
    definitions = {
        key: _local(orjson.loads(model["schema"]))
        for key, model in models.items()
        if model.get("schema")
    }
    schema = {**definitions[name], "definitions": {**_own(definitions[name]), **definitions}}
    kind = validators.extend(Draft4Validator, {"pattern": _pattern})
    made = kind(schema, registry=Registry())
    _CHECKERS.put(models, name, made)
    return made


class _Checkers:
    """The newest compiled models, by the deployment that has them."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, str], tuple[dict[str, Any], Any]] = {}

    def get(self, owner: int, name: str) -> Any:
        found = self._kept.get((owner, name))
        return None if found is None else found[1]

    def put(self, models: dict[str, Any], name: str, made: Any) -> None:
        if len(self._kept) >= 256:
            self._kept.clear()
        # kept with its owner: an id means nothing once its object is gone
        self._kept[(id(models), name)] = (models, made)


_CHECKERS = _Checkers()


def _own(schema: Any) -> dict[str, Any]:
    found = schema.get("definitions") if isinstance(schema, dict) else None
    return found if isinstance(found, dict) else {}


def _local(schema: Any) -> Any:
    """References to models of the API as references inside the document."""
    if isinstance(schema, list):
        return [_local(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _local(value) for key, value in schema.items() if key not in ("$schema", "id")}
    reference = found.get("$ref")
    if isinstance(reference, str) and reference.startswith(_MODELS):
        found["$ref"] = f"#/definitions/{reference.rsplit('/', 1)[1]}"
    return found


def _pattern(_: Any, pattern: str, instance: Any, __: Any) -> Any:
    """In bounded time, whatever the pattern: somewhere in the text, as JSON Schema wants."""
    from jsonschema import ValidationError

    if not isinstance(instance, str):
        return
    tree = allowed_pattern.read(pattern)
    match = allowed_pattern.Match(tree, instance)
    if not match.through(tree, set(range(len(instance) + 1))):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")
