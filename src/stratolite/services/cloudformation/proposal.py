"""What a stack shall become, checked as far as that can be before anything is touched.

    text -> parsed -> parameters -> SAM -> structure -> types and properties -> changes against what is there

All of it outside the store, the slow parts in a thread or the translator's child. ``engine`` later resolves the
same template again, resource by resource, with what then is known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from stratolite.service import Call, Cloud, Resource
from stratolite.services.cloudformation import sam
from stratolite.services.cloudformation.examination import Before, Change, Examination, Values
from stratolite.services.cloudformation.parameters import (
    check_declared,
    is_secret,
    take_parameters,
)
from stratolite.services.cloudformation.places import Misplaced
from stratolite.services.cloudformation.schema import has_type
from stratolite.services.cloudformation.state import export_value, rows_of
from stratolite.services.cloudformation.template import SAM, Template, check_template
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
    secret: list[str]
    """The NoEcho ones among them."""
    imports: set[str]
    changes: list[Change]
    changed: bool
    """Whether anything at all differs from what is there."""


async def prepare(
    call: Call,
    text: str,
    given: list[dict[str, Any]],
    tags: Mapping[str, str],
    before: Before,
) -> Proposal:
    """Raises Fault ValidationError for everything that can be known to be wrong with it, with the line."""
    try:
        return await _prepared(call, text, given, tags, before)
    except Misplaced as fault:
        raise await asyncio.to_thread(fault.with_lines, text) from None


async def _prepared(
    call: Call,
    text: str,
    given: list[dict[str, Any]],
    tags: Mapping[str, str],
    before: Before,
) -> Proposal:
    raw = await asyncio.to_thread(read_template, text)
    first = check_template(raw, transformed=False)
    check_declared(first.parameters)
    values = take_parameters(first.parameters, given, before.values)
    if SAM in first.transforms:
        raw = await sam.transform(raw, dict(values), call.region)
    template = check_template(raw, transformed=True)
    handlers = handlers_of(call.cloud, template)
    examine = Examination(call, template, values, tags, before, handlers)
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
