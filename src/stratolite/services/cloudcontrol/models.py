"""A resource as Cloud Control shows and takes it: its JSON, its identifier, what a patch makes of it.

Sources  https://docs.aws.amazon.com/cloudcontrolapi/latest/userguide/resource-identifier.html
         https://docs.aws.amazon.com/cloudcontrolapi/latest/userguide/resource-operations-update.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonpatch
import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Made, Request, Resource, Spec
from stratolite.services.cloudformation.quotas import PROPERTIES_BYTES_MAX
from stratolite.services.cloudformation.schema import Schema, has_type, load_schema, not_offered

Properties = dict[str, Any]
_PATCH_COUNT_MAX = 1_000
_PATCH_ERRORS = (
    jsonpatch.JsonPatchException,
    jsonpatch.JsonPointerException,
    KeyError,
    IndexError,
    TypeError,
    ValueError,
)


def type_of(call: Call, name: str, action: str) -> tuple[Resource, Schema]:
    """Raises Fault for a type AWS does not have, or one that is not offered for ``action``."""
    schema = load_schema(call.region, name) if has_type(call.region, name) else None
    if schema is None:
        raise Fault("TypeNotFoundException", f"The type '{name[:196]}' cannot be found.")
    handler = call.cloud.resource(name)
    if handler is None or not handler.can("read") or not handler.by_identifier:
        text = f"Resource type {name} does not support {action} action"
        raise Fault("UnsupportedActionException", f"{text} in Stratolite; see docs/resources.md")
    verb = {"UPDATE": "update", "LIST": "identifiers"}.get(action)
    if verb and not handler.can(verb):
        raise Fault(
            "UnsupportedActionException", f"Resource type {name} does not support {action} action"
        )
    return handler, schema


async def acting(call: Call, role: str | None) -> Call:
    """The call that handlers get: the caller's, or a session of ``role``; aws:CalledVia says what asks."""
    if role:
        arn = f"arn:aws:cloudformation:{call.region}:{call.account}:resource/*"
        found = await call.as_role(role, "cloudformation.amazonaws.com", arn, "CloudControl")
    else:
        found = call.scoped(call.account, call.region)
    found.service = "cloudformation"
    return found


def refuse_version(request: Request) -> None:
    if request.get("TypeVersionId"):
        raise Fault("InvalidRequestException", "TypeVersionId is not offered by Stratolite")


def spec_of(kind: str, token: str, properties: Properties, step: str = "") -> Spec:
    """Names AWS generates outside of a stack start with the type's noun."""
    return Spec(kind, kind.rsplit("::", 1)[-1], "CloudControl", "", token, properties, step)


def read_object(text: str, what: str) -> Properties:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Fault("InvalidRequestException", f"{what} is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise Fault("InvalidRequestException", f"{what} must be a JSON object")
    return found


def conform(handler: Resource, schema: Schema, properties: Properties) -> Properties:
    """In the types the schema asks for. Raises Fault ValidationException naming what is wrong."""
    try:
        size_bytes = len(orjson.dumps(properties))
    except TypeError as error:
        raise Fault("InvalidRequestException", "The properties are nested too deeply") from error
    if size_bytes > PROPERTIES_BYTES_MAX:
        text = f"The properties are larger than {PROPERTIES_BYTES_MAX} bytes"
        raise Fault("InvalidRequestException", text)
    checked, problems = schema.conform(properties)
    problems = problems or not_offered(handler, checked)
    if problems:
        raise Fault("ValidationException", f"Model validation failed ({', '.join(problems)})")
    return checked


def identifier_of(schema: Schema, made: Made, properties: Mapping[str, Any]) -> str:
    """The primary identifier's values, joined as AWS joins them."""
    known = {**properties, **made.attributes}
    names = schema.identifiers
    if len(names) == 1:
        return str(known.get(names[0]) or made.physical_id)
    return "|".join(str(known.get(name) or made.physical_id) for name in names)


def named(schema: Schema, identifier: str) -> Properties:
    """The identifier's properties: ``a|b``, or JSON of them. Raises Fault for another number of them."""
    names = schema.identifiers
    if identifier.startswith("{"):
        given = read_object(identifier, "Identifier")
        if set(given) == set(names):
            return {name: str(given[name]) for name in names}
    elif len(names) == 1:
        return {names[0]: identifier}
    elif len(parts := identifier.split("|")) == len(names):
        return dict(zip(names, parts, strict=True))
    wanted = ", ".join(names)
    raise Fault(
        "ValidationException",
        f"Identifier {identifier[:200]} is not valid for identifier [/properties/{wanted.replace(', ', ', /properties/')}]",
    )


async def read(
    call: Call, handler: Resource, schema: Schema, identifier: str
) -> tuple[str, Properties] | None:
    """(physical id, properties as AWS shows them), None if the resource is not there."""
    names = named(schema, identifier)
    physical_id = handler.physical_id_of(names)
    spec = spec_of(handler.type, "", dict(names))
    found = await handler.read(call, physical_id, spec)
    if found is None:
        return None
    made = await handler.adopt(call, physical_id, spec)
    hidden = {path[0] for path in schema.write_only if len(path) == 1} | set(handler.unread)
    known = {**({} if made.no_echo else made.attributes), **names, **found}
    shown = {
        key: _as_typed(schema, key, known[key])
        for key in schema.root.get("properties", {})
        if key in known and key not in hidden and known[key] is not None
    }
    return physical_id, schema.conform(shown)[0]


def _as_typed(schema: Schema, name: str, value: Any) -> Any:
    """A document that a service keeps as text is shown as the object that the schema asks for."""
    form = schema.root["properties"][name]
    kinds = form.get("type") if isinstance(form, dict) else None
    if isinstance(value, str) and value.startswith("{") and "object" in (kinds or ()):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


def patched(handler: Resource, schema: Schema, before: Properties, text: str) -> Properties:
    """What the JSON patch makes of the properties, without those nobody may write.

    Raises Fault for a patch that is none, or changes what cannot change.
    """
    try:
        operations = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _bad_patch(f"it is not valid JSON: {error}") from error
    if not isinstance(operations, list) or len(operations) > _PATCH_COUNT_MAX:
        raise _bad_patch(f"it must be a list of up to {_PATCH_COUNT_MAX} operations")
    after: Any = orjson.loads(orjson.dumps(before))
    for operation in operations:
        try:
            after = jsonpatch.apply_patch(after, [operation], in_place=True)
            if operation["op"] == "copy" and len(orjson.dumps(after)) > PROPERTIES_BYTES_MAX:
                raise _bad_patch(f"it makes more than {PROPERTIES_BYTES_MAX} bytes")
        except _PATCH_ERRORS as error:
            raise _bad_patch(str(error)) from error
    if not isinstance(after, dict):
        raise _bad_patch("it replaces the whole resource")
    changed = {key for key in {*before, *after} if before.get(key) != after.get(key)}
    read_only = {path[0] for path in schema.refused if len(path) == 1}
    create_only = handler.create_only | schema.create_only
    for what, names in (("readOnlyProperties", read_only), ("createOnlyProperties", create_only)):
        if touched := sorted(changed & names):
            places = ", ".join(f"/properties/{name}" for name in touched)
            raise Fault("NotUpdatableException", f"Invalid patch update: {what} [{places}] cannot be updated")  # fmt: skip
    return {key: value for key, value in after.items() if key not in read_only}


def _bad_patch(why: str) -> Fault:
    return Fault("InvalidRequestException", f"Invalid patch update: {why[:300]}")
