"""What a stack shall become, checked as far as that can be before anything is touched.

    text -> parsed -> parameters -> SAM -> structure -> types and properties -> changes against what is there

``read_text`` and ``prepare`` work outside the store (the slow parts in a thread or the translator's child);
``engine`` later resolves the same template again, resource by resource, with what then is known.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

from stratolite.errors import Fault
from stratolite.http import FileSlice
from stratolite.service import Call, Cloud, Made, Request, Resource
from stratolite.services.cloudformation import sam
from stratolite.services.cloudformation.intrinsics import (
    Scope,
    Unknown,
    has_unknown,
    mentions,
    resolve,
    text_of,
)
from stratolite.services.cloudformation.parameters import (
    check_declared,
    is_secret,
    parsed,
    take_parameters,
)
from stratolite.services.cloudformation.quotas import (
    TEMPLATE_BODY_BYTES_MAX,
    TEMPLATE_URL_BYTES_MAX,
)
from stratolite.services.cloudformation.schema import has_type, load_schema
from stratolite.services.cloudformation.state import Record
from stratolite.services.cloudformation.template import (
    SAM,
    Template,
    check_template,
    depends_on,
    in_order,
)
from stratolite.services.cloudformation.template_text import read_template

Values = dict[str, str]


@dataclass
class Change:
    """What an update would do to one resource, ``AWS`` being DescribeChangeSet's words for it."""

    action: str
    """Add, Modify, Remove, or Keep where only its surroundings change."""
    logical_id: str
    type: str
    physical_id: str = ""
    replacement: str = ""
    properties: list[tuple[str, str]] = field(default_factory=list)
    """(name, Always | Never)"""
    metadata: bool = False

    def shape(self) -> dict[str, Any]:
        change: dict[str, Any] = {
            "Action": self.action,
            "LogicalResourceId": self.logical_id,
            "ResourceType": self.type,
            "Scope": [],
            "Details": [],
        }
        if self.physical_id:
            change["PhysicalResourceId"] = self.physical_id
        if self.replacement:
            change["Replacement"] = self.replacement
        if self.properties:
            change["Scope"].append("Properties")
        if self.metadata:
            change["Scope"].append("Metadata")
        for name, recreation in self.properties:
            target = {"Attribute": "Properties", "Name": name, "RequiresRecreation": recreation}
            change["Details"].append(
                {"Target": target, "Evaluation": "Static", "ChangeSource": "DirectModification"}
            )
        return {"Type": "Resource", "ResourceChange": change}


@dataclass
class Proposal:
    original: str
    processed: str
    """JSON of the template after its transforms."""
    template: Template
    transforms: tuple[str, ...]
    """Applied already."""
    values: Values
    """Parameter values as strings."""
    secret: list[str]
    """The NoEcho ones among them."""
    imports: set[str]
    changes: list[Change]
    changed: bool
    """Whether anything at all differs from what is there."""


# -- the text


async def read_text(call: Call, request: Request) -> str | None:
    """The template as text; None if the request has none. Raises Fault if it is too large or not to be had."""
    body, url = request.get("TemplateBody"), request.get("TemplateURL")
    if body is not None and url is not None:
        raise _error(
            "You cannot specify more than one of TemplateBody and TemplateURL"
        )  # AWS says "Specify only one"
    if body is not None:
        if not body:
            raise _error("Template format error: unsupported structure.")
        if len(body.encode()) > TEMPLATE_BODY_BYTES_MAX:
            raise _error(
                f"1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have length less than or equal to {TEMPLATE_BODY_BYTES_MAX}"
            )
        return str(body)
    if url is None:
        return None
    wanted = object_of(url)
    try:
        answer = await call.request("s3", "GetObject", wanted)
    except Fault as fault:
        raise _error(
            f"S3 error: {fault.message}\nFor more information check http://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html"
        ) from fault
    raw = await _body_of(answer["Body"])
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise _error("Template format error: the template is not UTF-8 text") from None


def object_of(url: str) -> dict[str, str]:
    """GetObject's request for an S3 URL in any of its forms; the host is never asked, the bucket is ours."""
    parts = urlsplit(url)
    host = (parts.hostname or "").split(".")
    path = unquote(parts.path.lstrip("/"))
    if parts.scheme not in ("http", "https", "s3") or not path:
        raise _error("TemplateURL must be a supported URL.")
    if parts.scheme == "s3":
        bucket, key = parts.netloc, path
    else:
        at = next(
            (n for n, label in enumerate(host) if n and (label == "s3" or label.startswith("s3-"))),
            0,
        )
        if at:
            bucket, key = ".".join(host[:at]), path
        else:
            bucket, _, key = path.partition("/")
    if not bucket or not key:
        raise _error("TemplateURL must reference a valid S3 object to which you have access.")
    wanted = {"Bucket": bucket, "Key": key}
    if version := parse_qs(parts.query).get("versionId"):
        wanted["VersionId"] = version[0]
    return wanted


async def _body_of(body: Any) -> bytes:
    too_large = _error(f"Template may not exceed {TEMPLATE_URL_BYTES_MAX} bytes in size.")
    if isinstance(body, bytes):
        raw = body
    elif isinstance(body, FileSlice):
        if body.size_bytes > TEMPLATE_URL_BYTES_MAX:
            raise too_large
        raw = await asyncio.to_thread(_read_slice, body)
    else:
        pieces = bytearray()
        async for chunk in body:
            pieces += chunk
            if len(pieces) > TEMPLATE_URL_BYTES_MAX:
                raise too_large
        raw = bytes(pieces)
    if len(raw) > TEMPLATE_URL_BYTES_MAX:
        raise too_large
    return raw


def _read_slice(part: FileSlice) -> bytes:
    with open(part.path, "rb") as file:
        file.seek(part.offset)
        return file.read(part.size_bytes)


def _error(message: str) -> Fault:
    return Fault("ValidationError", message)


# -- the proposal


@dataclass(frozen=True)
class Before:
    """What is there already: nothing for a new stack."""

    stack_name: str
    stack_id: str
    values: Values | None = None
    records: Mapping[str, Record] = field(default_factory=dict)
    outputs: list[dict[str, Any]] = field(default_factory=list)


async def prepare(
    call: Call,
    text: str,
    given: list[dict[str, Any]],
    tags: Mapping[str, str],
    before: Before,
) -> Proposal:
    """Raises Fault ValidationError for everything that can be known to be wrong with it."""
    raw = await asyncio.to_thread(read_template, text)
    first = check_template(raw, transformed=False)
    check_declared(first.parameters)
    values = take_parameters(first.parameters, given, before.values)
    if SAM in first.transforms:
        raw = await sam.transform(raw, dict(values), call.region)
    template = check_template(raw, transformed=True)
    handlers = handlers_of(call.cloud, template)
    examine = _Examination(call, template, values, tags, before, handlers)
    await asyncio.to_thread(examine.forms)
    exports = await call.transact(lambda inner: _exports(inner, examine.imports))
    await asyncio.to_thread(examine.differences, exports)
    return Proposal(
        text,
        orjson.dumps(dict(template.raw), option=orjson.OPT_NON_STR_KEYS).decode(),
        template,
        first.transforms,
        values,
        sorted(name for name, what in first.parameters.items() if is_secret(what)),
        examine.imports,
        examine.changes,
        examine.changed,
    )


def _exports(call: Call, names: set[str]) -> dict[str, str]:
    from stratolite.services.cloudformation.state import export_value, rows_of

    return {name: export_value(call.tx, rows_of(call), name) for name in sorted(names)}


def handlers_of(cloud: Cloud, template: Template) -> dict[str, Resource]:
    """Type -> handler. Raises Fault naming every type that AWS does not know or nobody offers here."""
    found: dict[str, Resource] = {}
    missing: dict[str, list[str]] = {}
    for logical_id, resource in template.resources.items():
        kind = resource["Type"]
        if kind in found:
            continue
        handler = cloud.resource(kind)
        if handler is None:
            missing.setdefault(kind, []).append(logical_id)
        else:
            found[kind] = handler
    if not missing:
        return found
    odd = [
        kind
        for kind in missing
        if not has_type("us-east-1", kind) and not kind.startswith("Custom::")
    ]
    if odd:
        raise _error(
            f"Template format error: Unrecognized resource types: [{', '.join(sorted(odd))}]"
        )
    names = ", ".join(f"{kind} ({', '.join(ids)})" for kind, ids in sorted(missing.items()))
    raise _error(f"Resource types not offered by Stratolite: {names}; see docs/coverage.md")


def pseudo(call: Call, stack_name: str, stack_id: str) -> dict[str, Any]:
    china = call.region.startswith("cn-")
    return {
        "AWS::AccountId": call.account,
        "AWS::NotificationARNs": [],
        "AWS::Partition": "aws-cn"
        if china
        else "aws-us-gov"
        if call.region.startswith("us-gov-")
        else "aws",
        "AWS::Region": call.region,
        "AWS::StackId": stack_id,
        "AWS::StackName": stack_name,
        "AWS::URLSuffix": "amazonaws.com.cn" if china else "amazonaws.com",
    }


def scope_of(
    template: Template,
    parameters: Mapping[str, Any],
    made: Callable[[str], Made | None],
    imported: Callable[[str], str],
    attribute: Callable[[str, str, Made], Any] | None = None,
) -> Scope:
    """Only resources whose condition holds are there to be referred to."""
    scope = Scope(parameters, template.mappings, template.conditions, {}, made, imported, attribute)
    scope.resources = {
        name: resource
        for name, resource in template.resources.items()
        if "Condition" not in resource or scope.condition(resource["Condition"])
    }
    return scope


def needs_of(logical_id: str, scope: Scope) -> tuple[Any, set[str]]:
    """A resource's properties as far as they are known, and the resources it needs first."""
    resource = scope.resources[logical_id]
    scope.touched.clear()
    properties = resolve(resource.get("Properties") or {}, scope)
    needs = {*scope.touched, *(d for d in depends_on(resource) if d in scope.resources)}
    if logical_id in needs:
        raise _error(f"Circular dependency between resources: [{logical_id}]")
    return properties, needs


def surroundings(resource: Mapping[str, Any], needs: set[str]) -> dict[str, Any]:
    """What a Record keeps of a resource besides its properties."""
    metadata = orjson.dumps(resource.get("Metadata"), option=orjson.OPT_SORT_KEYS)
    return {
        "needs": sorted(needs),
        "deletion_policy": resource.get("DeletionPolicy", "Delete"),
        "replace_policy": resource.get("UpdateReplacePolicy", "Delete"),
        "metadata": hashlib.sha256(metadata).hexdigest()[:16] if resource.get("Metadata") else "",
    }


def refuse_dynamic(value: Any, logical_id: str) -> None:
    """Dynamic references would be kept as text, and look as if they had worked."""
    if isinstance(value, str):
        if "{{resolve:" in value:
            service = value.split("{{resolve:", 1)[1].split(":")[0].split("}")[0]
            raise _error(
                f"Dynamic reference {{{{resolve:{service}:...}}}} of {logical_id} is not offered by Stratolite yet"
            )
    elif isinstance(value, dict):
        for item in value.values():
            refuse_dynamic(item, logical_id)
    elif isinstance(value, list):
        for item in value:
            refuse_dynamic(item, logical_id)


def conform(
    region: str, kind: str, logical_id: str, properties: dict[str, Any], tags: Mapping[str, str]
) -> dict[str, Any]:
    """The properties in the types AWS's schema asks for, with the stack's tags where the type takes tags.

    Raises Fault naming what is wrong.
    """
    refuse_dynamic(properties, logical_id)
    schema = load_schema(region, kind)
    if schema is None:
        return properties
    if tags:
        properties = schema.tagged(properties, tags)
    checked, problems = schema.conform(properties)
    if problems:
        raise _error(
            f"Properties validation failed for resource {logical_id} with message:\n"
            + "\n".join(problems)
        )
    return checked


def resolved_outputs(template: Template, scope: Scope) -> list[dict[str, Any]]:
    """Outputs whose condition holds, as [{key, value, description, export}]."""
    made = []
    for key, output in template.outputs.items():
        if "Condition" in output and not scope.condition(output["Condition"]):
            continue
        try:
            value = resolve(output["Value"], scope)
            export = resolve(output["Export"]["Name"], scope) if output.get("Export") else None
        except Fault as fault:
            message = fault.message.replace("in the Resources block", "in the Outputs block")
            raise _error(message) from fault
        if not isinstance(value, str | int | float | bool | Unknown):
            raise _error(
                f"Template format error: Output {key} is malformed. The Value field of every Outputs member must evaluate to a String."
            )
        row: dict[str, Any] = {
            "key": key,
            "value": value if isinstance(value, Unknown) else text_of(value),
        }
        if output.get("Description"):
            row["description"] = text_of(output["Description"])
        if export is not None:
            row["export"] = export if isinstance(export, Unknown) else text_of(export)
        made.append(row)
    return made


class _Examination:
    """Looks at every resource twice: alone, then beside what is there."""

    def __init__(
        self,
        call: Call,
        template: Template,
        values: Values,
        tags: Mapping[str, str],
        before: Before,
        handlers: Mapping[str, Resource],
    ) -> None:
        self.region, self.template, self.before, self.handlers = (
            call.region,
            template,
            before,
            handlers,
        )
        self.tags = tags
        self.imports: set[str] = set()
        self.changes: list[Change] = []
        self.changed = False
        self.parameters = {
            **parsed(template.parameters, values),
            **pseudo(call, before.stack_name, before.stack_id),
        }
        self.order: list[str] = []

    def forms(self) -> None:
        """Types, properties, dependencies, attributes: all that holds whatever is there already."""
        scope = scope_of(self.template, self.parameters, lambda _: None, self._note_import)
        needs = {}
        for name, resource in scope.resources.items():
            properties, needs[name] = needs_of(name, scope)
            conform(self.region, resource["Type"], name, properties, self.tags)
        self.order = in_order(needs)
        self._check_attributes(scope)
        resolved_outputs(self.template, scope)

    def _note_import(self, name: str) -> str:
        self.imports.add(name)
        return Unknown("")  # type: ignore[return-value]  # its value is looked up before differences()

    def _check_attributes(self, scope: Scope) -> None:
        parts = (
            [r.get("Properties") for r in scope.resources.values()],
            list(self.template.outputs.values()),
        )
        for mention in mentions(list(parts)):
            if (
                mention.how != "GetAtt"
                or not mention.attribute
                or mention.name not in scope.resources
            ):
                continue
            kind = scope.resources[mention.name]["Type"]
            schema = load_schema(self.region, kind)
            if schema is not None and not schema.has_attribute(mention.attribute):
                raise _error(
                    f"Template error: resource {mention.name} does not support attribute type {mention.attribute} in Fn::GetAtt"
                )

    def differences(self, exports: Mapping[str, str]) -> None:
        """Fill ``changes``."""
        known: dict[str, Made] = {}
        scope = scope_of(
            self.template, self.parameters, known.get, exports.__getitem__, self._attribute
        )
        retyped = []
        for name in self.order:
            resource, record = scope.resources[name], self.before.records.get(name)
            properties, needs = needs_of(name, scope)
            properties = conform(self.region, resource["Type"], name, properties, self.tags)
            if record is None:
                self.changes.append(Change("Add", name, resource["Type"]))
                continue
            if record["type"] != resource["Type"]:
                retyped.append(name)
                continue
            change = self._difference(record, properties, surroundings(resource, needs))
            if change is not None:
                self.changes.append(change)
            if change is None or change.replacement != "True":
                known[name] = Made(record["physical_id"], record.get("attributes") or {})
        if retyped:
            raise _error(
                f"Update of resource type is not permitted. The new template modifies resource type of the following resources: [{', '.join(retyped)}]"
            )
        for name, record in self.before.records.items():
            if name not in scope.resources:
                self.changes.append(
                    Change("Remove", name, record["type"], record.get("physical_id") or "")
                )
        outputs = resolved_outputs(self.template, scope)
        self.changed = bool(self.changes) or outputs != self.before.outputs

    def _attribute(self, logical_id: str, name: str, made: Made) -> Any:
        return attribute_from(self.before.records[logical_id]["private"]["properties"], name)

    def _difference(self, record: Record, properties: Any, around: dict[str, Any]) -> Change | None:
        old = record["private"]["properties"]
        differing = sorted(k for k in {*old, *properties} if old.get(k) != properties.get(k))
        again = replacing(self.handlers[record["type"]], differing)
        physical_id = record.get("physical_id") or ""
        if not differing:
            if all(record.get(key) == value for key, value in around.items()):
                return None
            metadata = record.get("metadata") != around["metadata"]
            action = "Modify" if metadata else "Keep"
            return Change(
                action, record["id"], record["type"], physical_id, "False", metadata=metadata
            )
        sure = any(name in again and not has_unknown(properties.get(name)) for name in differing)
        word = "True" if sure else "Conditional" if again else "False"
        details = [(name, "Always" if name in again else "Never") for name in differing]
        return Change("Modify", record["id"], record["type"], physical_id, word, details)


def replacing(handler: Resource, differing: list[str]) -> set[str]:
    """Which of the differing properties ask for a new resource."""
    if type(handler).update is Resource.update:
        return set(differing)
    return set(differing) & handler.create_only


def attribute_from(properties: Any, name: str) -> Any:
    """GetAtt of something the template itself said."""
    found = properties
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found
