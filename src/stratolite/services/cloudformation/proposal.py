"""What a stack shall become, checked as far as that can be before anything is touched.

    text -> parsed -> parameters -> SAM -> structure -> types and properties -> changes against what is there

All of it outside the store, the slow parts in a thread or the translator's child. ``engine`` later resolves the
same template again, resource by resource, with what then is known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Cloud, Resource
from stratolite.services.cloudformation import state
from stratolite.services.cloudformation.aws_types import check_existing
from stratolite.services.cloudformation.examination import Before, Change, Examination, Values
from stratolite.services.cloudformation.finding import stack_arn
from stratolite.services.cloudformation.intrinsics import (
    RuleValues,
    Scope,
    Unknown,
    has_unknown,
    text_of,
    truth,
)
from stratolite.services.cloudformation.macros import Transforms
from stratolite.services.cloudformation.parameters import (
    check_declared,
    from_parameter_store,
    is_secret,
    parsed,
    take_parameters,
)
from stratolite.services.cloudformation.places import Misplaced
from stratolite.services.cloudformation.quotas import NESTED_DEPTH_MAX
from stratolite.services.cloudformation.resolution import pseudo
from stratolite.services.cloudformation.schema import has_type
from stratolite.services.cloudformation.state import Record, Stack, export_value, rows_of
from stratolite.services.cloudformation.template import Template, check_template
from stratolite.services.cloudformation.template_source import read_url
from stratolite.services.cloudformation.template_text import read_template


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
    looked_up: Values
    """Of those that name a parameter of Parameter Store, what is there."""
    secret: list[str]
    """The NoEcho ones among them."""
    imports: set[str]
    changes: list[Change]
    changed: bool
    """Whether anything at all differs from what is there."""
    nested: list[tuple[list[str], tuple[str, ...]]] = field(default_factory=list)
    """(capabilities, transforms) of the templates of nested stacks."""
    inside: dict[str, Inside] = field(default_factory=dict)
    """Logical id -> nested stack, where what it shall become is known."""
    live: dict[str, Any] = field(default_factory=dict)
    """Of drifted resources what they are, for a drift-aware change set."""


@dataclass
class Inside:
    """A nested stack of a proposal."""

    before: Before
    tags: dict[str, str]
    proposal: Proposal
    later: frozenset[str]
    """Its parameters whose values are not known yet; ``proposal.values`` is without them."""


@dataclass
class Shown:
    """What a change set has shown of a nested stack, and so what is carried out whatever its TemplateURL has now."""

    stack: Stack
    changes: dict[str, Any]
    original: str
    text: str
    """What to prepare from: after its transforms, unless a parameter was not known when they were applied."""
    inside: dict[str, Shown]


@dataclass(frozen=True)
class Nest:
    """Where among nested stacks a template stands, and what is asked about those inside."""

    depth: int = 0
    later: frozenset[str] = frozenset()
    """Parameters whose values are not known yet."""
    whole: bool = False
    """Look as far as can be into nested stacks whose parameters are not known yet."""
    shown: Mapping[str, Shown] = field(default_factory=dict)


async def prepare(
    call: Call,
    text: str,
    given: list[dict[str, Any]],
    tags: Mapping[str, str],
    before: Before,
    nest: Nest = Nest(),
) -> Proposal:
    """Raises Fault ValidationError for everything that can be known to be wrong with it, with the line."""
    try:
        return await _prepared(call, text, given, tags, before, nest)
    except Misplaced as fault:
        raise await asyncio.to_thread(fault.with_lines, text) from None


async def _prepared(
    call: Call,
    text: str,
    given: list[dict[str, Any]],
    tags: Mapping[str, str],
    before: Before,
    nest: Nest,
) -> Proposal:
    raw = await asyncio.to_thread(read_template, text)
    first = check_template(raw, transformed=False)
    check_declared(first.parameters)
    values = take_parameters(first.parameters, given, before.values, nest.later)
    looked_up = await from_parameter_store(call, first.parameters, values)
    known = parsed(first.parameters, values, looked_up)
    check_existing(call.region, first.parameters, known)
    parameters = {
        **known,
        **{name: Unknown(name) for name in nest.later},
        **pseudo(call, before.stack_name, before.stack_id, before.notify),
    }
    check_rules(first, parameters)
    transforms = Transforms(call, parameters, {**values, **looked_up})
    raw = await transforms.apply(raw)
    template = await asyncio.to_thread(lambda: check_template(raw, transformed=True))
    handlers = handlers_of(call.cloud, template)
    examine = Examination(call.region, template, parameters, tags, before, handlers, values)
    await asyncio.to_thread(examine.forms)
    exports = await call.transact(lambda inner: _exports(inner, examine.imports))
    found = {n: await _nested(call, examine, n, nest) for n in examine.stacks}
    inside = {name: child for name, child in found.items() if child is not None}
    nested = {name for name, child in inside.items() if child.proposal.changed}
    await asyncio.to_thread(examine.differences, exports, nested)
    return Proposal(
        text,
        orjson.dumps(dict(template.raw), option=orjson.OPT_NON_STR_KEYS).decode(),
        template,
        tuple(transforms.applied),
        values,
        looked_up,
        sorted(name for name, what in first.parameters.items() if is_secret(what)),
        examine.imports,
        examine.changes,
        examine.changed,
        [
            pair
            for one in inside.values()
            for child in [one.proposal]
            for pair in ((child.template.capabilities()[0], child.transforms), *child.nested)
        ],
        inside,
        examine.live,
    )


async def _nested(call: Call, examine: Examination, name: str, nest: Nest) -> Inside | None:
    """What a nested stack shall become, as far as what it is given is known already.

    Raises Misplaced for what is wrong with its template, at the place of the TemplateURL.
    """
    properties, place = examine.stacks[name], ("Resources", name, "Properties", "TemplateURL")
    url, given = properties["TemplateURL"], properties.get("Parameters") or {}
    if has_unknown(url):
        return None
    if nest.depth >= NESTED_DEPTH_MAX:
        raise Misplaced(f"Stacks are nested deeper than {NESTED_DEPTH_MAX}", place)
    record, shown = examine.before.records.get(name), nest.shown.get(name)
    later = frozenset(key for key, value in given.items() if has_unknown(value))
    try:
        text = shown.text if shown is not None else await read_url(call, url)
        if later:
            await asyncio.to_thread(_structure, call.cloud, text)
            if not nest.whole:
                return None
        before = await call.transact(lambda c: _child(c, record, examine.before, name))
        tags = {
            tag["Key"]: text_of(tag["Value"])
            for tag in properties.get("Tags") or ()
            if not has_unknown(tag)
        }
        known = {key: value for key, value in given.items() if key not in later}
        below = Nest(nest.depth + 1, later, nest.whole, shown.inside if shown is not None else {})
        try:
            proposal = await prepare(call, text, given_to(known), tags, before, below)
        except Fault:
            if later:  # a condition, a rule or a transform cannot do without what is not known yet
                return None
            raise
    except Fault as fault:
        raise Misplaced(f"Nested stack {name}: {fault.message}", place) from fault
    return Inside(before, tags, proposal, later)


def _structure(cloud: Cloud, text: str) -> None:
    """What can be said of a template whose parameters are not known yet."""
    raw = read_template(text)
    first = check_template(raw, transformed=False)
    check_declared(first.parameters)
    if not first.transforms:
        try:
            handlers_of(cloud, check_template(raw, transformed=True))
        except Misplaced as fault:
            raise fault.with_lines(text) from None


def given_to(parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A nested stack's Parameters as CreateStack takes them."""
    return [
        {
            "ParameterKey": key,
            "ParameterValue": ",".join(map(text_of, value))
            if isinstance(value, list)
            else text_of(value),
        }
        for key, value in parameters.items()
    ]


def _child(call: Call, record: Record | None, parent: Before, name: str) -> Before:
    if record is not None and record.get("physical_id"):
        rows = rows_of(call)
        stack = state.stack_of(call.tx, rows, record["physical_id"].rsplit("/", 1)[-1])
        if stack is not None and stack["status"] != "DELETE_COMPLETE":
            return before_of(stack, state.records(call.tx, rows, stack["uuid"]))
    child = f"{parent.stack_name[:60]}-{name[:50]}-{call.world.token(6).hex().upper()}"
    return Before(child, stack_arn(call, child, call.world.uuid()))


def before_of(stack: Stack, records: list[Record]) -> Before:
    """What an update starts from; where an update failed and stayed so, that is what it tried to be."""
    made = [r for r in records if r.get("physical_id") is not None]
    there = {r["id"]: r for r in made if r["status"] != "CREATE_FAILED"}
    private = stack["private"]
    tried = has_failed(stack) and "op_parameters" in private
    return Before(
        stack["name"],
        stack["id"],
        private["op_parameters" if tried else "parameters"],
        there,
        stack["outputs"],
        private.get("op_looked_up" if tried else "looked_up") or {},
        stack.get("notify") or [],
    )


def has_failed(stack: Stack) -> bool:
    """Whether an operation failed and, its rollback being disabled, left the stack as it was then."""
    return stack["status"] in ("CREATE_FAILED", "UPDATE_FAILED")


def check_rules(template: Template, parameters: Mapping[str, Any]) -> None:
    """Raises Misplaced for the first assertion that does not hold."""
    scope = Scope(
        parameters,
        template.mappings,
        template.conditions,
        {},
        lambda _: None,
        lambda _: "",
    )
    for name, rule in template.rules.items():
        assertions = rule.get("Assertions") if isinstance(rule, dict) else None
        if not isinstance(assertions, list) or not set(rule) <= {"RuleCondition", "Assertions"}:
            raise Misplaced(
                f"Template format error: Rule {name} must have Assertions, and may have a RuleCondition",
                ("Rules", name),
            )
        declared = {n: str(what["Type"]) for n, what in template.parameters.items()}
        rules = RuleValues(declared)
        try:
            if "RuleCondition" in rule and not truth(rule["RuleCondition"], scope, rules=rules):
                continue
            for n, one in enumerate(assertions):
                if not isinstance(one, dict) or "Assert" not in one:
                    raise Misplaced(
                        f"Template format error: every assertion of rule {name} must have an Assert"
                    )
                if not truth(one["Assert"], scope, rules=rules):
                    said = one.get("AssertDescription") or f"assertion {n + 1} does not hold"
                    raise Misplaced(
                        f"Template validation error: Rule {name}: {said}",
                        ("Assertions", str(n)),
                    )
        except Misplaced as fault:
            if not fault.place or fault.place[0] != "Conditions":
                fault.within("Rules", name)
            raise


def _exports(call: Call, names: set[str]) -> dict[str, str]:
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
        raise Misplaced(
            f"Template format error: Unrecognized resource types: [{', '.join(sorted(odd))}]",
            ("Resources", missing[min(odd)][0], "Type"),
        )
    names = ", ".join(f"{kind} ({', '.join(ids)})" for kind, ids in sorted(missing.items()))
    raise Misplaced(
        f"Resource types not offered by Stratolite: {names}; see docs/resources.md",
        ("Resources", missing[min(missing)][0], "Type"),
    )
