"""Says everything about a template that would not work here, without a server: what ``stratolite check`` shows.

A deploy stops at the first mistake of a kind; here all of them are gathered, each with its line. Parameters that nobody
gave are unknown, and so is all that hangs on them; what macros make is not looked at.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from stratolite.errors import Fault
from stratolite.service import Resource
from stratolite.services.cloudformation import extensions, sam
from stratolite.services.cloudformation.aws_types import check_existing, unverified
from stratolite.services.cloudformation.dynamic import refuse_secure
from stratolite.services.cloudformation.intrinsics import Scope, Unknown, mentions, text_of
from stratolite.services.cloudformation.parameters import check_declared, parsed
from stratolite.services.cloudformation.places import Misplaced, line_of
from stratolite.services.cloudformation.resolution import conform, needs_of, scope_of
from stratolite.services.cloudformation.schema import has_type, load_schema
from stratolite.services.cloudformation.template import SAM, Template, check_template, in_order
from stratolite.services.cloudformation.values import check_values

Find = Callable[[str], Resource | None]
"""A type's handler."""


class Finding(NamedTuple):
    line: int
    """0: of the template as a whole."""
    level: str
    """error: a deploy is refused. warning: it works, but not as on AWS."""
    message: str


class _Guess(Scope):
    """Conditions that hang on parameters nobody gave hold, so that what stands under them is looked at."""

    def condition(self, name: str) -> bool:
        try:
            return super().condition(name)
        except Misplaced as fault:
            if "cannot depend on resources" not in fault.message:
                raise
            self._verdicts[name] = True
            return True


def findings(
    raw: dict[str, Any], text: str, region: str, given: Mapping[str, str], find: Find
) -> list[Finding]:
    """Of the template ``raw``, whose text is ``text``, in the order of their lines."""
    found: list[Finding] = []

    def add(fault: Fault, level: str = "error") -> None:
        place = fault.place if isinstance(fault, Misplaced) else ()
        further = fault.further if isinstance(fault, Misplaced) else ()
        if not further:
            found.append(Finding(line_of(text, place), level, fault.message))
        for message, below in further:
            name = place[1] if len(place) > 1 else ""
            found.append(Finding(line_of(text, (*place, *below)), level, f"{name}: {message}"))

    try:
        for fault in _problems(raw, region, given, find):
            add(fault, "warning" if isinstance(fault, _Warning) else "error")
    except Fault as fault:
        add(fault)
    return sorted(dict.fromkeys(found))


class _Warning(Misplaced):
    pass


_SECTIONS = ("Conditions", "Mappings", "Metadata", "Outputs", "Resources", "Rules")


def _problems(
    raw: dict[str, Any], region: str, given: Mapping[str, str], find: Find
) -> Iterator[Fault]:
    """Raises the Fault after which nothing more can be said."""
    first = check_template(raw, transformed=False)
    check_declared(first.parameters)
    values = {n: text_of(w["Default"]) for n, w in first.parameters.items() if "Default" in w}
    values |= {name: value for name, value in given.items() if name in first.parameters}
    pseudo = {
        "AWS::AccountId": "000000000000", "AWS::NotificationARNs": [], "AWS::Partition": "aws",
        "AWS::Region": region, "AWS::StackId": f"arn:aws:cloudformation:{region}:000000000000:stack/s/id",
        "AWS::StackName": "s", "AWS::URLSuffix": "amazonaws.com",
    }  # fmt: skip
    unknown = {name: Unknown("") for name in first.parameters if name not in values}
    known = parsed(first.parameters, values)
    asked = {n for n, w in first.parameters.items() if w["Type"].startswith("AWS::SSM::")}
    check_existing(region, first.parameters, {n: v for n, v in known.items() if n not in asked})
    for name, thing in unverified(first.parameters).items():
        yield _Warning(
            f"{name}: that there is such an {thing} is not looked up here: its service is not offered",
            ("Parameters", name, "Type"),
        )
    included = [name for name in _SECTIONS if "Fn::Transform" in (raw.get(name) or {})]
    for name in included:
        yield _Warning(f"{name}: what Fn::Transform makes of it is not checked", (name,))
    if included:
        return
    parameters = {**known, **unknown, **pseudo}
    warned: list[_Warning] = []
    raw = _transformed(raw, first, parameters, values, region, warned)
    yield from warned
    if any(w.place == ("Transform",) for w in warned):
        return
    template = check_template(raw, transformed=True)
    yield from _resources(template, parameters, region, find)


def _transformed(
    raw: dict[str, Any],
    first: Template,
    parameters: Mapping[str, Any],
    values: Mapping[str, str],
    region: str,
    warned: list[_Warning],
) -> dict[str, Any]:
    raw = {key: value for key, value in raw.items() if key != "Transform"}
    if extensions.NAME not in first.transforms:
        extensions.refuse_extensions(
            {k: raw.get(k) or {} for k in ("Conditions", "Resources", "Outputs")}
        )
    for name in first.transforms:
        if name == extensions.NAME:
            scope = _Guess(parameters, raw.get("Mappings") or {}, raw.get("Conditions") or {}, {}, lambda _: None, lambda _: "")  # fmt: skip
            raw = extensions.extend(raw, scope)
        elif name == SAM:
            raw = {**raw, "Resources": _located(raw.get("Resources") or {})}
            raw = sam.transform_now({**raw, "Transform": SAM}, dict(values), region)
            raw.pop("Transform", None)
        else:
            warned.append(
                _Warning(
                    f"What the transform {name} makes of the template is not checked",
                    ("Transform",),
                )
            )
            return raw
    return raw


def _located(resources: dict[str, Any]) -> dict[str, Any]:
    """Applications of the repository are there at the deploy; a place stands in for them."""
    made = dict(resources)
    for name, resource in resources.items():
        properties = resource.get("Properties") if isinstance(resource, dict) else None
        if (
            isinstance(properties, dict)
            and resource.get("Type") == "AWS::Serverless::Application"
            and isinstance(properties.get("Location"), dict)
        ):
            url = "https://s3.amazonaws.com/bucket/template"
            made[name] = {**resource, "Properties": {**properties, "Location": url}}
    return made


def _resources(
    template: Template, parameters: Mapping[str, Any], region: str, find: Find
) -> Iterator[Fault]:
    scope = scope_of(
        template,
        parameters,
        lambda _: None,
        lambda _: Unknown(""),  # type: ignore[arg-type,return-value]  # flows like a string
        kind=_Guess,
    )
    needs: dict[str, set[str]] = {}
    handlers: dict[str, Resource] = {}
    for name, resource in scope.resources.items():
        kind = resource["Type"]
        if _has_transform(resource.get("Properties")):
            yield _Warning(
                f"{name}: what Fn::Transform makes of it is not checked", ("Resources", name)
            )
            continue
        try:
            properties, needs[name] = needs_of(name, scope)
        except Misplaced as fault:
            yield fault
            continue
        handler = find(kind)
        if handler is None:
            known = has_type("us-east-1", kind)
            what = "not offered by Stratolite" if known else "unknown to AWS"
            yield Misplaced(f"{name}: resource type {kind} is {what}", ("Resources", name, "Type"))
            continue
        handlers[name] = handler
        try:
            checked = conform(region, handler, name, properties, {})
            refuse_secure(checked, kind, name)
            check_values(handler, name, checked)
        except Misplaced as fault:
            yield fault
        wanted = properties.get("Architectures") if kind == "AWS::Lambda::Function" else None
        if "arm64" in (wanted or ()) and platform.machine() not in ("aarch64", "arm64"):
            yield _Warning(
                f"{name}: architecture arm64 is accepted and runs as {platform.machine()}",
                ("Resources", name, "Properties", "Architectures"),
            )
        tracing = properties.get("TracingConfig") if kind == "AWS::Lambda::Function" else None
        if isinstance(tracing, dict) and tracing.get("Mode") == "Active":
            yield _Warning(
                f"{name}: tracing is accepted, but nothing is traced here",
                ("Resources", name, "Properties", "TracingConfig"),
            )
    in_order(needs)
    yield from _attributes(template, scope, handlers, region)


def _has_transform(node: Any) -> bool:
    if isinstance(node, dict):
        return "Fn::Transform" in node or any(_has_transform(item) for item in node.values())
    return isinstance(node, list) and any(_has_transform(item) for item in node)


def _attributes(
    template: Template, scope: Scope, handlers: Mapping[str, Resource], region: str
) -> Iterator[Fault]:
    for block, parts in (("Resources", scope.resources), ("Outputs", template.outputs)):
        for name, part in parts.items():
            node = part.get("Properties") if block == "Resources" else part
            for mention in dict.fromkeys(mentions(node)):
                handler = handlers.get(mention.name)
                if mention.how != "GetAtt" or handler is None or handler.attributes_open:
                    continue
                schema = load_schema(region, handler.type)
                if mention.attribute and schema and not schema.has_attribute(mention.attribute):
                    yield Misplaced(
                        f"{name}: resource {mention.name} does not support attribute type {mention.attribute} in Fn::GetAtt",
                        (block, name),
                    )
