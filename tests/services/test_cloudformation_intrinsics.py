"""The resolver against a model that computes each value beside the expression."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratolite.errors import Fault
from stratolite.service import Made
from stratolite.services.cloudformation.intrinsics import (
    NO_VALUE,
    Scope,
    Unknown,
    has_unknown,
    resolve,
)

PARAMETERS = {"P": "value of p", "N": "7", "L": ["x", "y", "z"], "AWS::Region": "eu-west-1"}
MAPPINGS = {"M": {"top": {"one": "1", "two": ["a", "b"]}}}
CONDITIONS = {
    "Yes": {"Fn::Equals": [{"Ref": "N"}, 7]},
    "No": {"Fn::Not": [{"Condition": "Yes"}]},
    "Both": {"Fn::And": [{"Condition": "Yes"}, {"Condition": "No"}]},
    "Any": {"Fn::Or": [{"Condition": "No"}, {"Fn::Equals": ["a", "a"]}]},
}
TRUE = {"Yes": True, "No": False, "Both": False, "Any": True}
MADE = {"R": Made("r-1", {"Arn": "arn:r", "Deep.Name": "deep", "Size": 3})}


def scope() -> Scope:
    resources = {"R": {}, "Later": {}}
    return Scope(
        PARAMETERS, MAPPINGS, CONDITIONS, resources, MADE.get, {"e": "exported"}.__getitem__
    )


PLAIN = st.text(st.characters(codec="utf-8", exclude_characters="${}"), max_size=8)
LEAVES = st.one_of(
    PLAIN.map(lambda text: (text, text)),
    st.sampled_from(
        [
            ({"Ref": "P"}, PARAMETERS["P"]),
            ({"Ref": "AWS::Region"}, "eu-west-1"),
            ({"Ref": "R"}, "r-1"),
            ({"Fn::GetAtt": ["R", "Arn"]}, "arn:r"),
            ({"Fn::GetAtt": "R.Deep.Name"}, "deep"),
            ({"Fn::Sub": "${P}-${R.Arn}-${!P}"}, "value of p-arn:r-${P}"),
            ({"Fn::FindInMap": ["M", "top", "one"]}, "1"),
            ({"Fn::ImportValue": "e"}, "exported"),
            ({"Ref": "Later"}, None),
            ({"Fn::GetAtt": ["Later", "Arn"]}, None),
        ]
    ),
)


def _joined(delimiter: str, parts: list[tuple[Any, Any]]) -> tuple[Any, Any]:
    known = None if any(v is None for _, v in parts) else delimiter.join(v for _, v in parts)
    return {"Fn::Join": [delimiter, [e for e, _ in parts]]}, known


def _selected(parts: list[tuple[Any, Any]], at: int) -> tuple[Any, Any]:
    index = at % len(parts)
    return {"Fn::Select": [str(index), [e for e, _ in parts]]}, parts[index][1]


def _chosen(condition: str, one: tuple[Any, Any], other: tuple[Any, Any]) -> tuple[Any, Any]:
    return {"Fn::If": [condition, one[0], other[0]]}, (one if TRUE[condition] else other)[1]


def _substituted(before: str, parts: list[tuple[Any, Any]]) -> tuple[Any, Any]:
    variables = {f"V{n}": e for n, (e, _) in enumerate(parts)}
    text = before + "".join(f"${{{name}}}" for name in variables)
    known = None if any(v is None for _, v in parts) else before + "".join(v for _, v in parts)
    return {"Fn::Sub": [text, variables]}, known


def _encoded(part: tuple[Any, Any]) -> tuple[Any, Any]:
    known = None if part[1] is None else base64.b64encode(part[1].encode()).decode()
    return {"Fn::Base64": part[0]}, known


EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(_joined, PLAIN, st.lists(inner, max_size=3)),
        st.builds(_selected, st.lists(inner, min_size=1, max_size=3), st.integers(0, 9)),
        st.builds(_chosen, st.sampled_from(sorted(TRUE)), inner, inner),
        st.builds(_substituted, PLAIN, st.lists(inner, max_size=3)),
        inner.map(_encoded),
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(EXPRESSIONS)
def test_an_expression_resolves_to_what_it_was_built_from(built: tuple[Any, Any]) -> None:
    expression, value = built
    resolved = resolve(expression, scope())
    assert isinstance(resolved, Unknown) if value is None else resolved == value


@settings(max_examples=100, deadline=None)
@given(st.lists(EXPRESSIONS, max_size=4))
def test_structures_keep_their_shape_and_know_what_they_wait_for(
    parts: list[tuple[Any, Any]],
) -> None:
    tree = {"a": [e for e, _ in parts], "b": {str(n): e for n, (e, _) in enumerate(parts)}}
    resolved = resolve(tree, scope())
    assert len(resolved["a"]) == len(resolved["b"]) == len(parts)
    assert has_unknown(resolved) == any(v is None for _, v in parts)


def test_no_value_takes_the_property_or_item_away() -> None:
    nothing = {"Fn::If": ["No", 1, {"Ref": "AWS::NoValue"}]}
    assert resolve({"a": nothing, "b": [nothing, 2]}, scope()) == {"b": [2]}
    assert resolve(nothing, scope()) is NO_VALUE


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ({"Fn::Split": ["|", "a||b"]}, ["a", "", "b"]),
        ({"Fn::Select": [1, {"Ref": "L"}]}, "y"),
        ({"Fn::Join": ["-", {"Ref": "L"}]}, "x-y-z"),
        ({"Fn::GetAZs": ""}, ["eu-west-1a", "eu-west-1b", "eu-west-1c"]),
        ({"Fn::Cidr": ["10.0.0.0/16", 2, 8]}, ["10.0.0.0/24", "10.0.1.0/24"]),
        ({"Fn::Cidr": ["10.0.0.0/16", "2", "6"]}, ["10.0.0.0/26", "10.0.0.64/26"]),
        ({"Fn::FindInMap": ["M", "top", "two"]}, ["a", "b"]),
        ({"Fn::Join": ["", ["n=", 1, True]]}, "n=1true"),
        ({"Fn::GetAtt": ["R", "Size"]}, 3),
        ({"Condition": {"StringEquals": {"a": "b"}}}, {"Condition": {"StringEquals": {"a": "b"}}}),
        ({"Ref": "N", "and": "more"}, {"Ref": "N", "and": "more"}),
    ],
)
def test_examples(expression: Any, value: Any) -> None:
    assert resolve(expression, scope()) == value


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (
            {"Ref": "X"},
            "Unresolved resource dependencies [X] in the Resources block of the template",
        ),
        ({"Fn::GetAtt": ["X", "Arn"]}, "instance of Fn::GetAtt references undefined resource X"),
        (
            {"Fn::GetAtt": ["R", "Nope"]},
            "resource R does not support attribute type Nope in Fn::GetAtt",
        ),
        ({"Fn::Select": [3, ["a"]]}, "Fn::Select cannot select nonexistent value at index 3"),
        ({"Fn::Select": ["-1", ["a"]]}, "Fn::Select cannot select nonexistent value at index -1"),
        ({"Fn::FindInMap": ["M", "a", "b"]}, "Unable to get mapping for M::a::b"),
        ({"Fn::FindInMap": ["X", "a", "b"]}, "Mapping named 'X' is not present"),
        ({"Fn::Join": "x"}, "every Fn::Join object requires two parameters"),
        ({"Fn::Sub": {"a": 1}}, "Fn::Sub intrinsic functions don't specify expected arguments"),
        ({"Fn::Sub": "${L}"}, "must be given strings"),
        ({"Fn::Nope": 1}, "Encountered unsupported function: Fn::Nope Supported functions are: ["),
        ({"Fn::Equals": ["a", "a"]}, "only allowed in the Conditions block"),
        ({"Fn::If": ["Maybe", 1, 2]}, "Unresolved condition dependency Maybe"),
        ({"Fn::Transform": {"Name": "AWS::Include"}}, "Fn::Transform AWS::Include stands where"),
        ({"Fn::Cidr": ["10.0.0.0/30", 9, 8]}, "Fn::Cidr"),
    ],
)
def test_mistakes_are_told_in_aws_words(expression: Any, message: str) -> None:
    with pytest.raises(Fault) as told:
        resolve(expression, scope())
    assert message in told.value.message
    assert told.value.code == "ValidationError"


def test_conditions_that_go_round_in_circles_are_refused() -> None:
    bad = scope()
    bad.conditions = {"A": {"Condition": "B"}, "B": {"Fn::Not": [{"Condition": "A"}]}}
    with pytest.raises(Fault, match="Circular dependencies for condition"):
        bad.condition("A")


def test_what_grows_without_bound_is_stopped() -> None:
    deep: Any = "x"
    for _ in range(200):
        deep = {"Fn::Join": ["", [deep]]}
    with pytest.raises(Fault, match="nested too deep"):
        resolve(deep, scope())
    wide = {"Fn::Join": ["", ["x" * 60_000] * 20]}
    with pytest.raises(Fault, match="more than 1048576 bytes"):
        resolve(wide, scope())
