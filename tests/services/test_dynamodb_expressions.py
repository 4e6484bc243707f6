"""Expressions: AWS's words for what is wrong, and what is right evaluated as AWS does."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratolite.errors import Fault
from stratolite.services.dynamodb.conditions import bind, compile_test, needles
from stratolite.services.dynamodb.expressions import plan
from stratolite.services.dynamodb.projections import project

VALUES = {
    ":s": {"S": "x"},
    ":n": {"N": "5"},
    ":l": {"L": []},
    ":m": {"M": {}},
    ":t": {"BOOL": True},
    ":ss": {"SS": ["x"]},
}
ITEM = {
    "pk": {"S": "x"},
    "n": {"N": "5"},
    "elems": {"L": [{"N": "1"}, {"S": "two"}, {"M": {"deep": {"S": "three"}}}]},
    "tree": {"M": {"a": {"N": "1"}, "b": {"M": {"c": {"S": "d"}}}}},
    "ss": {"SS": ["a", "b", "x"]},
    "bin": {"B": "AAEC"},
    "off": {"BOOL": False},
    "nil": {"NULL": True},
}


def used(text: str, names: dict[str, str] | None, label: str) -> dict[str, Any]:
    import re

    request: dict[str, Any] = {label: text}
    if names:
        request["ExpressionAttributeNames"] = names
    values = {k: v for k, v in VALUES.items() if re.search(re.escape(k) + r"\b", text)}
    if values:
        request["ExpressionAttributeValues"] = values
    return request


def holds(text: str, names: dict[str, str] | None = None) -> bool:
    request = used(text, names, "ConditionExpression")
    test = plan(request, ("ConditionExpression",)).condition
    assert test is not None
    return test(ITEM, request.get("ExpressionAttributeValues", {}))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("pk = :s", True),
        ("pk <> :s", False),
        ("absent <> :s", True),
        ("absent = :s", False),
        ("n >= :n AND n <= :n", True),
        ("n < :n OR pk = :s", True),
        ("NOT n < :n", True),
        ("NOT (n < :n OR pk = :s)", False),
        ("n = :s", False),
        ("n BETWEEN :n AND :n", True),
        ("pk IN (:n, :s)", True),
        ("attribute_exists(tree.b.c)", True),
        ("attribute_not_exists(tree.b.x)", True),
        ("attribute_exists(elems[2].deep)", True),
        ("attribute_exists(elems[3])", False),
        ("attribute_exists(nil)", True),
        ("off = :t", False),
        ("contains(ss, :s)", True),
        ("contains(pk, :s)", True),
        ("contains(n, :n)", False),
        ("begins_with(pk, :s)", True),
        ("size(elems) < :n", True),
        ("size(ss) < size(elems)", False),
        ("size(bin) = size(elems)", True),
        ("size(n) = :n", False),
        ("attribute_exists(pk) AND (attribute_exists(n) OR attribute_exists(q))", True),
        ("(pk) = (:s)", True),
        ("pk = :s OR pk = :s AND n < :n", True),
    ],
)
def test_conditions_hold_as_in_dynamodb(text: str, wanted: bool) -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html"""
    assert holds(text) is wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The expression can not be empty;"),
        ("pk =", 'Syntax error; token: "<EOF>", near: "="'),
        ("pk", 'Syntax error; token: "<EOF>", near: "pk"'),
        ("pk = :s foo", 'Syntax error; token: "foo", near: ":s foo"'),
        ("pk = :s AND", 'Syntax error; token: "<EOF>", near: "AND"'),
        ("pk - x = :s", 'Syntax error; token: "-", near: "pk - x"'),
        ("((pk = :s))", "The expression has redundant parentheses;"),
        ("status = :s", "Attribute name is a reserved keyword; reserved keyword: status"),
        (
            "pk = :q",
            "An expression attribute value used in expression is not defined; attribute value: :q",
        ),
        (
            "#q = :s",
            "An expression attribute name used in the document path is not defined; attribute name: #q",
        ),
        (
            "size(pk)",
            "The function is not allowed to be used this way in an expression; function: size",
        ),
        (
            "attribute_exists(pk) = :t",
            "The function is not allowed to be used this way in an expression; function: attribute_exists",
        ),
        ("frob(pk)", "Invalid function name; function: frob"),
        (
            "begins_with(pk)",
            "Incorrect number of operands for operator or function; operator or function: begins_with, number of operands: 1",
        ),
        (
            "begins_with(pk, :n)",
            "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N",
        ),
        (
            "size(size(pk)) > :n",
            "Incorrect operand type for operator or function; operator or function: size, operand type: N",
        ),
        (
            "attribute_exists(:s)",
            "Operator or function requires a document path; operator or function: attribute_exists",
        ),
        (
            "attribute_type(pk, :s)",
            "Invalid attribute type name found; type: x, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}",
        ),
        (
            "pk = pk",
            "The first operand must be distinct from the remaining operands for this operator or function; operator: =, first operand: [pk]",
        ),
    ],
)
def test_wrong_conditions_get_aws_words(text: str, message: str) -> None:
    """SDK users match on these texts; they are DynamoDB's own."""
    with pytest.raises(Fault) as caught:
        holds(text)
    assert caught.value.message == f"Invalid ConditionExpression: {message}"


def updated(text: str, item: dict[str, Any] | None = None) -> dict[str, Any]:
    import orjson

    request = used(text, None, "UpdateExpression")
    apply = plan(request, ("UpdateExpression",)).update
    assert apply is not None
    copy: dict[str, Any] = orjson.loads(orjson.dumps(ITEM if item is None else item))
    apply(copy, request.get("ExpressionAttributeValues", {}))
    return copy


@pytest.mark.parametrize(
    ("text", "attribute", "wanted"),
    [
        ("SET a = :s", "a", {"S": "x"}),
        ("SET n = n + :n", "n", {"N": "10"}),
        ("SET n = :n - n", "n", {"N": "0"}),
        ("SET q = if_not_exists(q, :n) + :n", "q", {"N": "10"}),
        ("SET elems = list_append(:l, elems)", "elems", ITEM["elems"]),
        ("SET tree.b.c = :n", "tree", {"M": {"a": {"N": "1"}, "b": {"M": {"c": {"N": "5"}}}}}),
        ("SET elems[9] = :s", "elems", {"L": [*ITEM["elems"]["L"], {"S": "x"}]}),
        (
            "SET elems[5] = :n ADD elems[6] :ss, elems[4] :n",
            "elems",
            {"L": [*ITEM["elems"]["L"], {"N": "5"}, {"N": "5"}, {"SS": ["x"]}]},
        ),
        ("REMOVE elems[0], elems[1]", "elems", {"L": ITEM["elems"]["L"][2:]}),
        ("SET elems[2] = :s REMOVE elems[0]", "elems", {"L": [{"S": "two"}, {"S": "x"}]}),
        ("ADD n :n", "n", {"N": "10"}),
        ("ADD fresh :n", "fresh", {"N": "5"}),
        ("ADD ss :ss", "ss", {"SS": ["a", "b", "x"]}),
        ("DELETE ss :ss", "ss", {"SS": ["a", "b"]}),
        ("DELETE lone :ss", "lone", None),
        ("SET a = n, n = :s", "a", {"N": "5"}),
        ("SET n = :s, tree.a = n", "tree", {"M": {"a": {"N": "5"}, "b": {"M": {"c": {"S": "d"}}}}}),
    ],
)
def test_updates_change_items_as_in_dynamodb(text: str, attribute: str, wanted: Any) -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html"""
    assert updated(text).get(attribute) == wanted


def test_a_value_copied_in_an_update_is_the_old_one_and_its_own() -> None:
    """All right-hand sides see the item as it was, and a copied tree does not change with its source."""
    item = updated("SET twin = tree, tree.a = :s")
    assert item["twin"] == ITEM["tree"]
    assert item["tree"]["M"]["a"] == {"S": "x"}


def test_removing_the_last_element_removes_the_set() -> None:
    """DynamoDB has no empty sets."""
    assert "ss" not in updated("DELETE ss :ss", {"ss": {"SS": ["x"]}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Invalid UpdateExpression: The expression can not be empty;"),
        (
            "INVALID SYNTAX",
            'Invalid UpdateExpression: Syntax error; token: "INVALID", near: "INVALID SYNTAX"',
        ),
        (
            "SET a = :s SET b = :n",
            'Invalid UpdateExpression: The "SET" section can only be used once in an update expression;',
        ),
        (
            "SET a = :s, a = :n",
            "Invalid UpdateExpression: Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]",
        ),
        (
            "SET tree.a = :s REMOVE tree",
            "Invalid UpdateExpression: Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [tree, a], path two: [tree]",
        ),
        (
            "SET a.b = :s, a[0] = :n",
            "Invalid UpdateExpression: Two document paths conflict with each other; must remove or rewrite one of these paths; path one: [a, b], path two: [a, [0]]",
        ),
        (
            "SET a = b + :s",
            "Invalid UpdateExpression: Incorrect operand type for operator or function; operator or function: +, operand type: S",
        ),
        (
            "ADD a :s",
            "Invalid UpdateExpression: Incorrect operand type for operator or function; operator: ADD, operand type: STRING",
        ),
        (
            "SET a = absent",
            "The provided expression refers to an attribute that does not exist in the item",
        ),
        ("SET a = pk + :n", "An operand in the update expression has an incorrect data type"),
        (
            "SET absent.a = :n",
            "The document path provided in the update expression is invalid for update",
        ),
        ("ADD pk :n", "An operand in the update expression has an incorrect data type"),
    ],
)
def test_wrong_updates_get_aws_words(text: str, message: str) -> None:
    """Each of these is DynamoDB's own answer."""
    with pytest.raises(Fault) as caught:
        updated(text)
    assert caught.value.message == message


def test_projections_keep_the_shape_and_close_lists_up() -> None:
    """AWS: elems elements that were not asked for leave no gaps."""
    request = used(
        "tree.b, elems[2].deep, elems[0], #p, absent.x", {"#p": "pk"}, "ProjectionExpression"
    )
    paths = plan(request, ("ProjectionExpression",)).projection
    assert paths is not None
    assert project(ITEM, paths) == {
        "tree": {"M": {"b": {"M": {"c": {"S": "d"}}}}},
        "elems": {"L": [{"N": "1"}, {"M": {"deep": {"S": "three"}}}]},
        "pk": {"S": "x"},
    }


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            {
                "ConditionExpression": "pk = :s",
                "ExpressionAttributeValues": {":s": {"S": "x"}, ":z": {"S": "x"}},
            },
            "Value provided in ExpressionAttributeValues unused in expressions: keys: {:z}",
        ),
        (
            {
                "ConditionExpression": "attribute_exists(pk)",
                "ExpressionAttributeNames": {"#z": "z"},
            },
            "Value provided in ExpressionAttributeNames unused in expressions: keys: {#z}",
        ),
        (
            {"ExpressionAttributeNames": {"#z": "z"}},
            "ExpressionAttributeNames can only be specified when using expressions",
        ),
        (
            {"ExpressionAttributeValues": {":z": {"S": "z"}}},
            "ExpressionAttributeValues can only be specified when using expressions: ConditionExpression is null",
        ),
        (
            {"ConditionExpression": "attribute_exists(pk)", "ExpressionAttributeValues": {}},
            "ExpressionAttributeValues must not be empty",
        ),
        (
            {"ConditionExpression": "pk = :s", "ExpressionAttributeValues": {":s": {"N": "q"}}},
            "ExpressionAttributeValues contains invalid value: The parameter cannot be converted to a numeric value: q for key :s",
        ),
        (
            {"ConditionExpression": "pk = :s", "ExpressionAttributeValues": {"s": {"S": "q"}}},
            'ExpressionAttributeValues contains invalid key: Syntax error; key: "s"',
        ),
    ],
)
def test_placeholders_are_checked_as_dynamodb_does(request_: dict[str, Any], message: str) -> None:
    """Unused, undefined and misplaced placeholders are errors, not ignored."""
    with pytest.raises(Fault) as caught:
        plan(request_, ("ConditionExpression",))
    assert caught.value.message == message


def test_any_bytes_as_an_expression_end_in_an_answer() -> None:
    """A parser that loops, overflows the stack or leaks a ValueError would take the server with it."""
    for text in (
        "(" * 4000,
        "NOT " * 1000,
        "a" + "[0]" * 1300 + " = :s",
        "size(" * 800,
        "\x00\x01",
        "a.b." * 900,
        "a[99999999999999999999] = :s",
    ):
        with pytest.raises(Fault):
            holds(text)


_SCALARS = st.one_of(
    st.sampled_from(["", "a", "ab", "b", "1"]).map(lambda text: {"S": text}),
    st.sampled_from(["0", "1", "-1", "10", "2.5", "1" + "0" * 60]).map(lambda text: {"N": text}),
    st.sampled_from(["", "AAEC", "AA=="]).map(lambda text: {"B": text}),
    st.booleans().map(lambda flag: {"BOOL": flag}),
    st.just({"NULL": True}),
)
_VALUES = st.one_of(
    _SCALARS,
    st.lists(st.sampled_from(["a", "b"]), min_size=1, unique=True).map(lambda all_: {"SS": all_}),
    st.lists(_SCALARS, max_size=2).map(lambda all_: {"L": all_}),
)
_PATHS = st.sampled_from([("path", ("a",)), ("path", ("b",)), ("path", ("c", 0))])
_KNOWN = st.sampled_from([("value", ":x"), ("value", ":y")])
_OPERANDS = _PATHS | _KNOWN
_ASKED = st.one_of(
    st.tuples(st.just("cmp"), st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), _OPERANDS, _OPERANDS),
    st.tuples(st.just("between"), _OPERANDS, _OPERANDS, _OPERANDS),
    st.tuples(st.just("in"), _OPERANDS, st.lists(_OPERANDS, min_size=1, max_size=2)),
    st.tuples(st.just("fn"), st.sampled_from(["contains", "begins_with"]), st.tuples(_PATHS, _OPERANDS)),
    st.tuples(st.just("fn"), st.just("attribute_exists"), st.tuples(_PATHS)),
)  # fmt: skip
_NODES = st.recursive(
    _ASKED,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["and", "or"]), inner, inner), st.tuples(st.just("not"), inner)
    ),
    max_leaves=4,
)


@settings(max_examples=1500, deadline=None)
@given(
    _NODES,
    st.dictionaries(st.sampled_from("abc"), _VALUES),
    st.fixed_dictionaries({":x": _VALUES, ":y": _VALUES}),
)
def test_a_filter_bound_to_its_values_says_what_the_condition_says(
    node: Any, item: dict[str, Any], values: dict[str, Any]
) -> None:
    """A Scan's short ways (``bind``, ``needles``) against the plain evaluation that conditions use."""
    wanted = compile_test(node)(item, values)
    assert bind(node, values)(item) is wanted
    if wanted:
        raw = orjson.dumps(item)
        assert all(needle in raw for needle in needles(node, values))
