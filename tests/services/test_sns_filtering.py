"""Filter policies: every operator, both scopes, and what is refused in AWS's words.

Cases and words follow https://docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html and what
LocalStack recorded against AWS in tests/aws/services/sns/test_sns_filter_policy.snapshot.json.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from stratolite.services.sns.filtering import BadFilter, check, compiled


def text(value: str) -> tuple[str, str]:
    return "String", value


def number(value: str) -> tuple[str, str]:
    return "Number", value


def array(*values: Any) -> tuple[str, str]:
    return "String.Array", json.dumps(values)


ATTRIBUTES: list[tuple[Any, dict[str, tuple[str, str]], bool]] = [
    ({"k": ["a", "b"]}, {"k": text("b")}, True),
    ({"k": ["a", "b"]}, {"k": text("c")}, False),
    ({"k": ["a"]}, {}, False),
    ({"k": ["a"], "l": ["b"]}, {"k": text("a"), "l": text("b"), "m": text("x")}, True),
    ({"k": ["a"], "l": ["b"]}, {"k": text("a")}, False),
    ({"k": [{"prefix": "ba"}]}, {"k": text("bar")}, True),
    ({"k": [{"suffix": "ar"}]}, {"k": text("bar")}, True),
    ({"k": [{"suffix": "ar"}]}, {"k": text("are")}, False),
    ({"k": [{"equals-ignore-case": "TennIS"}]}, {"k": text("tennis")}, True),
    ({"k": [{"wildcard": "a*b*c"}]}, {"k": text("axxbyc")}, True),
    ({"k": [{"wildcard": "a*b*c"}]}, {"k": text("axxbycd")}, False),
    ({"k": [{"wildcard": "*"}]}, {"k": text("x")}, True),
    ({"k": [{"anything-but": ["a", "b"]}]}, {"k": text("c")}, True),
    ({"k": [{"anything-but": ["a", "b"]}]}, {"k": text("a")}, False),
    ({"k": [{"anything-but": ["a"]}]}, {}, False),
    ({"k": [{"anything-but": [100]}]}, {"k": number("100.0")}, False),
    ({"k": [{"anything-but": {"prefix": "order-"}}]}, {"k": text("order-1")}, False),
    ({"k": [{"anything-but": {"prefix": "order-"}}]}, {"k": text("data")}, True),
    ({"k": [{"anything-but": {"wildcard": "a*c"}}]}, {"k": text("abc")}, False),
    ({"k": [{"numeric": ["=", 100]}]}, {"k": number("1e2")}, True),
    ({"k": [{"numeric": [">", 0, "<=", 150]}]}, {"k": number("150")}, True),
    ({"k": [{"numeric": [">", 0, "<", 150]}]}, {"k": number("150")}, False),
    ({"k": [{"numeric": ["=", 100]}]}, {"k": text("100")}, False),
    ({"k": [100]}, {"k": number("100")}, True),
    ({"k": ["100"]}, {"k": number("100")}, False),
    ({"k": [{"exists": True}]}, {"k": text("x")}, True),
    ({"k": [{"exists": True}]}, {}, False),
    ({"k": [{"exists": False}]}, {}, True),
    ({"k": [{"exists": False}, "a"]}, {"k": text("a")}, True),
    ({"k": [{"exists": False}]}, {"k": text("a")}, False),
    ({"k": [{"cidr": "10.0.0.0/24"}]}, {"k": text("10.0.0.255")}, True),
    ({"k": [{"cidr": "10.0.0.0/24"}]}, {"k": text("10.1.1.0")}, False),
    ({"k": [{"cidr": "2001:db8::/32"}]}, {"k": text("2001:db8::1")}, True),
    ({"k": ["b"]}, {"k": array("a", "b")}, True),
    ({"k": [None, True]}, {"k": array(True)}, True),
    ({"k": [{"anything-but": ["a"]}]}, {"k": array("a", "b")}, True),
    ({"$or": [{"k": ["a"]}, {"l": ["b"]}]}, {"l": text("b")}, True),
    ({"$or": [{"k": ["a"]}, {"l": ["b"]}], "m": ["c"]}, {"l": text("b")}, False),
    ({"k": ["a"]}, {"k": ("Binary", "YQ==")}, False),
]


@pytest.mark.parametrize(("policy", "attributes", "wanted"), ATTRIBUTES, ids=str)
def test_attributes_match(policy: Any, attributes: Any, wanted: bool) -> None:
    """String and numeric matching, lists, absence, alternatives."""
    written = json.dumps(policy)
    check(written, "MessageAttributes")
    assert compiled(written, "MessageAttributes").matches("body", attributes) is wanted


BODIES: list[tuple[Any, Any, bool]] = [
    ({"a": {"b": ["x"]}}, {"a": {"b": "x"}}, True),
    ({"a": {"b": ["x"]}}, {"a": [{"b": "y"}, {"b": "x"}]}, True),
    ({"a": {"b": ["x"]}}, {"a": "x"}, False),
    ({"a": {"b": [{"exists": False}]}}, {"a": {}}, True),
    ({"a": [None]}, {"a": None}, True),
    ({"a": [None]}, {}, False),
    ({"a": [1]}, {"a": [[3, 1]]}, True),
    ({"a": ["x", "y"]}, {"a": ["z", "y"]}, True),
    ({"a": [True]}, {"a": 1}, False),
    ({"a": {"$or": [{"b": [1]}, {"c": [2]}]}}, {"a": {"c": 2}}, True),
    ({"a": ["x"]}, "not an object", False),
    ({"a.b": ["x"]}, {"a": {"b": "x"}}, True),
    ({"a.b": ["x"]}, {"a.b": "x"}, True),
    ({"a.b": ["x"]}, {"a": {"b": "y"}}, False),
    ({"a": {"b": ["x"]}}, {"a.b": "x"}, True),
    ({"a.b.c": ["x"]}, {"a.b": {"c": "x"}}, True),
    ({"a.b.c": ["x"]}, {"a": {"b.c": "x"}}, True),
    ({"a": {"b.c": {"d": [{"prefix": "x"}]}}}, {"a.b": [{"c": {"d": ["xy"]}}]}, True),
    ({"a.b": [2]}, {"a": {"b": 1}, "a.b": 2}, True),
]


@pytest.mark.parametrize(("policy", "body", "wanted"), BODIES, ids=str)
def test_bodies_match(policy: Any, body: Any, wanted: bool) -> None:
    """Nested keys reach through objects and lists; dots spell paths, as LocalStack recorded in
    test_filter_policy_on_message_body_dot_attribute.
    """
    written = json.dumps(policy)
    check(written, "MessageBody")
    assert compiled(written, "MessageBody").matches(json.dumps(body), {}) is wanted
    assert not compiled(written, "MessageBody").matches("{", {})


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({"key": [["value"]]}, "Match value must be String, number, true, false, or null"),
        ({"key": [{"wrong-operator": True}]}, "Unrecognized match type wrong-operator"),
        ({"key": [{"suffix": "a", "prefix": "b"}]}, "Only one key allowed in match expression"),
        ({"key": []}, "Empty arrays are not allowed"),
        ({"key": [{"suffix": 100}]}, "suffix match pattern must be a string"),
        ({"key": "value"}, '"key" must be an object or an array'),
        ({"key": {"suffix": "value"}}, '"suffix" must be an object or an array'),
        ({"key": [{"cidr": ["x"]}]}, "prefix match pattern must be a string"),
        ({"key": [{"cidr": "bad-filter"}]}, "Malformed CIDR, one '/' required"),
        ({"key": [{"cidr": "bad-filter/8"}]}, "Nonstandard IP address: bad-filter"),
        ({"key": [{"cidr": "bad-/64filter"}]}, "Malformed CIDR, mask bits must be an integer"),
        ({"key": [{"cidr": "10.0.0.0/x"}]}, "Malformed CIDR, mask bits must be an integer"),
        ({"key": [{"numeric": []}]}, "Invalid member in numeric match: ]"),
        ({"key": [{"numeric": ["operator"]}]}, "Unrecognized numeric range operator: operator"),
        ({"key": [{"numeric": [1, "<="]}]}, "Invalid member in numeric match: 1"),
        ({"key": [{"numeric": ["=", "000"]}]}, "Value of equals must be numeric"),
        ({"key": [{"numeric": [">="]}]}, "Value of >= must be numeric"),
        (
            {"key": [{"numeric": ["<", 100, ">", 10]}]},
            "Too many elements in numeric expression",
        ),
        ({"key": [{"numeric": [">=", 1, ">", 2]}]}, "Bad numeric range operator: >"),
        ({"key": [{"numeric": [">", 3, "<", 1]}]}, "Bottom must be less than top"),
        ({"key": [{"numeric": [">", 20, 30]}]}, "Bad value in numeric range: 30"),
        (
            {"key": [{"numeric": [">", 20, "<", 30, "<", 50]}]},
            "Too many terms in numeric range expression",
        ),
        ({"key": [{"exists": "no"}]}, "exists match pattern must be either true or false."),
        (
            {"key": [{"anything-but": {"suffix": "test"}}]},
            "Unsupported anything-but pattern: suffix",
        ),
        (
            {"key": [{"anything-but": {"exists": False}}]},
            "Unsupported anything-but pattern: exists",
        ),
        (
            {"key": [{"anything-but": {"prefix": False}}]},
            "prefix match pattern must be a string",
        ),
        ({f"k{n}": ["x"] for n in range(6)}, "Filter policy can not have more than 5 keys"),
        ({f"k{n}": [str(v) for v in range(6)] for n in range(3)}, "Filter policy is too complex"),
    ],
    ids=str,
)
def test_wrong_policies_are_refused(policy: Any, said: str) -> None:
    """AWS adds where in the text it stumbled; we do not."""
    with pytest.raises(BadFilter) as wrong:
        check(json.dumps(policy), "MessageAttributes")
    assert str(wrong.value) == said
