"""The corpus of templates asks for all that the CloudFormation handlers offer, and uses every function several times.

Red when a handler offers a property and no template of ``tests/templates/good`` has it: write one (``tests/templates/whole``),
``test_cloudformation_corpus`` then deploys, updates and deletes it. A property that is offered by mistake, because AWS's
schema has it and nobody looked, belongs among the handler's ``refused``.
"""

from __future__ import annotations

import functools
import re
from typing import Any

import pytest
from offers import GOOD, changed, offered, used

from stratolite.service import Resource
from stratolite.services.cloudformation import intrinsics
from stratolite.services.cloudformation.handlers import all_handlers, handler_of
from stratolite.services.cloudformation.template_text import read_template

TEMPLATES = sorted(GOOD.glob("*.yaml"))
NEVER_CHANGED = {
    "AWS::CloudFormation::WaitCondition": "AWS refuses every update of one",
    "AWS::DynamoDB::GlobalTable GlobalTableWitnesses": "a table keeps its consistency, and its witness with it",
    "AWS::SSM::Parameter Type": "Parameter Store keeps a parameter's type",
}
"""Types or properties that no update of a template can change."""
SEVERAL = 3
PSEUDO = ("AccountId", "NotificationARNs", "NoValue", "Partition", "Region", "StackId", "StackName", "URLSuffix")  # fmt: skip
FUNCTIONS = sorted({
    *intrinsics.FUNCTIONS, *intrinsics.RULE_FUNCTIONS, "Ref", "Condition", "Fn::ForEach",
})  # fmt: skip


@functools.cache
def asked() -> frozenset[tuple[str, str]]:
    return frozenset((_type(kind), place) for path in TEMPLATES for kind, place in used(path))


@functools.cache
def updated() -> frozenset[tuple[str, str]]:
    found = (one for path in TEMPLATES for one in changed(path, handler_of))
    return frozenset((_type(kind), name) for kind, name in found)


def _type(kind: str) -> str:
    return "Custom::*" if kind.startswith("Custom::") else kind


@pytest.mark.parametrize("handler", all_handlers(), ids=lambda h: h.type)
def test_every_place_that_is_offered_is_in_a_template(handler: Resource) -> None:
    """Nested ones too, as far as AWS's schema of the type and the handler's ``refused`` know them."""
    assert any(kind == handler.type for kind, _ in asked()) or handler.type in types()
    missing = sorted(place for place in offered(handler) if (handler.type, place) not in asked())
    assert missing == [], f"{handler.type}: no good template has them"


@functools.cache
def types() -> frozenset[str]:
    """Those of resources without a property, too."""
    found = (read_template(path.read_text()).get("Resources") or {} for path in TEMPLATES)
    every = (r["Type"] for resources in found for r in resources.values() if "Type" in r)
    return frozenset(_type(kind) for kind in every)


@pytest.mark.parametrize(
    "handler", [h for h in all_handlers() if h.can("update")], ids=lambda h: h.type
)
def test_every_property_that_can_change_is_changed_by_an_update(handler: Resource) -> None:
    """Without a new resource; where only one value is offered there is nothing to change to."""
    single = {place for place, kept in handler.refused.items() if len(kept - {""}) == 1}
    names = {place for place in offered(handler) if "." not in place}
    names -= handler.create_only | single
    if handler.type in NEVER_CHANGED:
        return
    names -= {name for name in names if f"{handler.type} {name}" in NEVER_CHANGED}
    assert sorted(name for name in names if (handler.type, name) not in updated()) == []


@functools.cache
def expressions() -> dict[str, set[str]]:
    """Function or pseudo parameter -> its different uses."""
    found: dict[str, set[str]] = {}

    def note(name: str, argument: Any) -> None:
        found.setdefault(name, set()).add(str(argument))

    def look(node: Any) -> None:
        if isinstance(node, list):
            for item in node:
                look(item)
        if not isinstance(node, dict):
            return
        for key, value in node.items():
            if key.startswith("Fn::ForEach::"):
                note("Fn::ForEach", value)
            elif key == "Ref" or (key == "Condition" and len(node) == 1) or key.startswith("Fn::"):
                note(key, value)
            if key == "Ref" and str(value).startswith("AWS::"):
                note(str(value), where)
            if key == "Fn::Sub":
                text = value[0] if isinstance(value, list) else value
                for name in re.findall(r"\$\{(AWS::\w+)\}", str(text)):
                    note(name, [where, text])
            look(value)

    for path in TEMPLATES:
        where = path.stem
        look(read_template(path.read_text()))
    return found


@pytest.mark.parametrize("name", [*FUNCTIONS, *(f"AWS::{name}" for name in PSEUDO)])
def test_functions_and_pseudo_parameters_are_used_several_times(name: str) -> None:
    """In different ways; those of conditions, rules and language extensions as well."""
    assert len(expressions().get(name, ())) >= SEVERAL
