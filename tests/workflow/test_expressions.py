"""Intrinsic functions, comparisons and JSONata: what they give, and what stops those that would not stop."""

from __future__ import annotations

import json

import pytest
from workflows import Execution, machine, one, passing

from stratolite.workflow import choices, compile_definition, intrinsics


def value_of(text, data):
    return Execution(one(passing(Parameters={"v.$": text})), data).run().output["v"]


@pytest.mark.parametrize(
    ("call", "found"),
    [
        ("States.Format('Hello {}, {} of {}', $.s, 2, null)", "Hello text, 2 of null"),
        ("States.Format('{}', $.o)", "{a=1, b=[]}"),
        (r"States.Format('it\'s \{\} {}', $.n)", "it's {} 4"),
        ("States.StringToJson($.j)", {"x": [1]}),
        ("States.JsonToString($.o)", '{"a":1,"b":[]}'),
        ("States.Array($.n, 'x', States.Array())", [4, "x", []]),
        ("States.ArrayPartition($.l, 2)", [[1, 2], [3, 3]]),
        ("States.ArrayContains($.l, 3)", True),
        ("States.ArrayRange(1, 9, 3)", [1, 4, 7]),
        ("States.ArrayGetItem($.l, 1)", 2),
        ("States.ArrayLength($.l)", 4),
        ("States.ArrayUnique($.l)", [1, 2, 3]),
        ("States.Base64Decode(States.Base64Encode($.s))", "text"),
        ("States.Hash('x', 'SHA-1')", "11f6ad8ec52a2984abaafd7c3b516503785c2072"),
        ("States.JsonMerge($.o, States.StringToJson('{\"a\":2}'), false)", {"a": 2, "b": []}),
        ("States.MathAdd($.n, -1.5)", 3),
        ("States.StringSplit('a,b;c', ',;')", ["a", "b", "c"]),
        ("States.StringToJson('')", None),
    ],
)
def test_what_an_intrinsic_function_gives(call, found):
    """Java's ways included: halves are rounded upwards, objects in texts look like {a=1}. As AWS recorded."""
    data = {"s": "text", "n": 4, "l": [1, 2, 3, 3], "o": {"a": 1, "b": []}, "j": '{"x": [1]}'}
    assert value_of(call, data) == found


def test_random_numbers_and_ids_stay_within_their_bounds():
    assert all(value_of("States.MathRandom(3, 6)", {}) in (3, 4, 5) for _ in range(20))
    assert value_of("States.MathRandom(1, 1000, 7)", {}) == value_of("States.MathRandom(1, 1000, 7)", {})  # fmt: skip
    assert len(value_of("States.UUID()", {})) == 32


@pytest.mark.parametrize("call", ["States.ArrayGetItem($.l, 9)", "States.StringToJson('{')", "States.Base64Decode('*')", "States.Hash('x', 'CRC')", "States.ArrayRange(1, 9999, 1)", "States.MathAdd('1', 2)", "States.Format('{}')", "States.JsonMerge($.o, $.o, true)"])  # fmt: skip
def test_what_cannot_be_computed_fails_the_state(call):
    done = Execution(one(passing(Parameters={"v.$": call})), {"l": [1], "o": {}}).run()
    assert done.over.error == "States.IntrinsicFailure"


@pytest.mark.parametrize("text", ["States.Nothing()", "States.UUID(1)", "States.Array(1,)", "States.Array(1", "States.Format('a\\q')", "States.Array(" * 20 + ")" * 20, "States.UUID() x"])  # fmt: skip
def test_what_is_no_call_is_refused_with_its_place(text):
    with pytest.raises(ValueError):
        intrinsics.parse(text)
    machine_, problems = compile_definition(json.dumps(one(passing(Parameters={"v.$": text}))))
    assert machine_ is None
    assert problems[0] == ("SCHEMA_VALIDATION_FAILED", "The value for the field 'v.$' must be a valid JSONPath or a valid intrinsic function call", "/States/A/Parameters")  # fmt: skip


# -- comparisons


@pytest.mark.parametrize(
    ("rule", "data", "holds"),
    [
        ({"StringEquals": "a"}, "a", True),
        ({"StringEquals": "a"}, 1, False),
        ({"StringLessThan": "b"}, "a", True),
        ({"StringMatches": "log-*.txt"}, "log-1.txt", True),
        ({"StringMatches": r"a\*b"}, "axb", False),
        ({"NumericEquals": 1}, 1.0, True),
        ({"NumericEquals": 1}, True, False),
        ({"NumericGreaterThanEquals": 2}, 2, True),
        ({"BooleanEquals": False}, False, True),
        ({"BooleanEquals": False}, 0, False),
        ({"TimestampLessThan": "2024-01-01T00:00:00Z"}, "2023-12-31T23:59:59+00:00", True),
        ({"TimestampEquals": "2024-01-01T01:00:00+01:00"}, "2024-01-01T00:00:00Z", True),
        ({"TimestampEquals": "2024-01-01T00:00:00Z"}, "2024-01-01 00:00:00", False),
        ({"IsTimestamp": True}, "2012-10-09T19:00:55", False),
        ({"IsNull": True}, None, True),
        ({"IsNumeric": False}, "1", True),
        ({"IsString": True}, "", True),
        ({"IsBoolean": True}, 0, False),
        ({"IsPresent": True}, None, True),
    ],
)
def test_what_a_comparison_holds_for(rule, data, holds):
    choice = {"Type": "Choice", "Choices": [{"Variable": "$.v", **rule, "Next": "Y"}], "Default": "N"}  # fmt: skip
    done = Execution(machine(A=choice, Y=passing(Result=True), N=passing(Result=False)), {"v": data}).run()  # fmt: skip
    assert done.output is holds


def test_rules_combine_and_compare_with_other_places():
    rule = {"And": [{"Variable": "$.a", "NumericLessThanPath": "$.b"}, {"Not": {"Variable": "$.c", "IsPresent": True}}], "Next": "Y"}  # fmt: skip
    states = machine(A={"Type": "Choice", "Choices": [rule], "Default": "N"}, Y=passing(Result=1), N=passing(Result=0))  # fmt: skip
    assert Execution(states, {"a": 1, "b": 2}).run().output == 1
    assert Execution(states, {"a": 1, "b": 2, "c": 0}).run().output == 0


def test_a_choice_without_a_way_out_fails():
    states = machine(A={"Type": "Choice", "Choices": [{"Variable": "$.v", "IsNull": True, "Next": "Y"}]}, Y=passing())  # fmt: skip
    assert Execution(states, {"v": 1}).run().over.error == "States.NoChoiceMatched"
    assert Execution(states, {}).run().over.cause.endswith("Invalid path '$.v': The choice state's condition path references an invalid value.")  # fmt: skip


def test_a_pattern_of_stars_is_matched_in_time():
    assert not choices.glob("*a" * 5000 + "b", "a" * 20_000)
    assert choices.glob("*a" * 5000 + "*", "a" * 20_000)


# -- JSONata


def query(text, data=None):
    definition = {"QueryLanguage": "JSONata", **one({"Type": "Pass", "Output": f"{{% {text} %}}", "End": True})}  # fmt: skip
    return Execution(definition, data).run()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("$states.input.a", None),
        ("$states.input.l[v > 1].v", [2, 3]),
        ("$states.context.StateMachine.Name", "m"),
        ("$partition([1..5], 2)", [[1, 2], [3, 4], [5]]),
        ("$range(0, 4, 2)", [0, 2, 4]),
        ("$hash('x', 'SHA-1')", "11f6ad8ec52a2984abaafd7c3b516503785c2072"),
        ("$parse('{\"n\": null}')", {"n": None}),
        ("$random(5) = $random(5)", True),
        ("$length($uuid())", 32),
        ("$fromMillis(0)", "1970-01-01T00:00:00.000Z"),
        ("$millis()", 1_000_000_000),
        ("$now()", "1970-01-12T13:46:40.000Z"),
        ("$match('ab12', /[0-9]+/).match", "12"),
        ("$replace('aXbX', 'X', '-')", "a-b-"),
        ("{'n': null, 'f': 1.5, 'i': 2}", {"n": None, "f": 1.5, "i": 2}),
    ],
)
def test_what_an_expression_gives(text, found):
    assert query(text, {"a": None, "l": [{"v": 1}, {"v": 2}, {"v": 3}]}).output == found


@pytest.mark.parametrize(
    "text",
    [
        "($f := function($n) { $f($n + 1) }; $f(0))",
        "$match($pad('', 40, 'a') & 'b', /(a+)+$/)",
        "$count([1..9999999])",
        "$length($pad('', 99999999))",
        "$eval('1')",
        "$error('no')",
        "1 + 'a'",
    ],
)
def test_what_would_not_end_or_goes_wrong_is_stopped(text):
    assert query(text).over.error == "States.QueryEvaluationError"


def test_an_expression_that_is_none_is_refused_at_once():
    definition = {"QueryLanguage": "JSONata", **one({"Type": "Pass", "Output": {"x": "{% 1 + %}"}, "End": True})}  # fmt: skip
    machine_, problems = compile_definition(json.dumps(definition))
    assert machine_ is None
    assert problems[0].place == "/States/A/Output/x"
