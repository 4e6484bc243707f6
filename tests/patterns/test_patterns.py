"""Event patterns answer as EventBridge does."""

from __future__ import annotations

import json
import random
import re

import corpora
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratolite.patterns import PatternError, Patterns, compile_pattern


def matches(pattern, event):
    return compile_pattern(json.dumps(pattern)).matches(event)


def reason(text):
    with pytest.raises(PatternError) as caught:
        compile_pattern(text)
    return str(caught.value)


def test_all_recorded_answers_are_here():
    """A folder that lost some would stay green without this: each file is a case of its own."""
    if corpora.folder("event-patterns") is None:
        pytest.skip("the corpus event-patterns is not here")
    stems = [path.stem for path in corpora.files("event-patterns", "*.json5")]
    refused = sum(stem.endswith("_EXC") for stem in stems)
    unmatched = sum(stem.endswith("_NEG") for stem in stems)
    assert (len(stems), unmatched, refused) == (155, 51, 38)


@pytest.mark.parametrize(
    "path", corpora.files("event-patterns", "*.json5") or [None], ids=lambda p: p and p.stem
)
def test_recorded_answers_of_aws(path):
    """155 patterns, each with an event and what AWS said: matches, does not (_NEG), or is refused (_EXC)."""
    if path is None:
        pytest.skip("the corpus event-patterns is not here")
    case = corpora.json5(path.read_text())
    text = json.dumps(case["EventPattern"])
    if path.stem.endswith("_EXC"):
        with pytest.raises(PatternError):
            compile_pattern(text)
    else:
        assert compile_pattern(text).matches(case["Event"]) is not path.stem.endswith("_NEG")


# Messages as recorded from AWS in localstack's tests/aws/services/events/test_events_patterns.snapshot.json.
REFUSED = {
    '{"int": 42}': '"int" must be an object or an array|11',
    '{"string": "my-value"}': '"string" must be an object or an array|13',
    '{"resources": []}': "Empty arrays are not allowed|17",
    '{"my_key": [{"EXISTS": true}]}': "Unrecognized match type EXISTS|28",
    '{"detail": {"equal": [{"NUMERIC": ["=", 5]}]}}': "Unrecognized match type NUMERIC|36",
    '{"detail": {"c-count": [{"numeric": [">", 0, ">", 0]}]}}': "Bad numeric range operator: >|49",
    '{"detail": {"c-count": [{"numeric": [">", 0, "<"]}]}}': "Value of < must be numeric|50",
    '{"detail": {"c-count": [{"numeric": 10}]}}': "Value of numeric must be an array.|39",
    '{"detail": {"state": [{"anything-but": null}]}}':
        "Value of anything-but must be an array or single string/number value.|44",
    '{"detail": {"FileName": [{"anything-but": {"prefix": {"equals-ignore-case": "file"}}}]}}':
        "Value of anything-but must be an array or single string/number value.|55",
    '{"detail": {"state": [{"anything-but": ["stopped", null]}]}}':
        "Inside anything but list, start|null|boolean is not supported.|56|56",
    '{"detail": {"FileName": [{"anything-but": {"prefix": ""}}]}}': "Null prefix/suffix not allowed|56",
    '{"detail": {"state": [{"anything-but": {"prefix": [123, "test"]}}]}}':
        "prefix/suffix match pattern must be a string|55|55",
    '{"detail": {"state": [{"anything-but": {"equals-ignore-case": [123, 456]}}]}}':
        "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported.|67|67",
    '{"time": [{"prefix": ["2022-07-13"]}]}': "prefix match pattern must be a string|23",
    '{"time": [{"prefix": 123}]}': "prefix match pattern must be a string|25",
    '{"FileName": [{"suffix": 123}]}': "suffix match pattern must be a string|29",
    '{"EventBusArn": [{"wildcard": 123}]}': "wildcard match pattern must be a string|34",
    '{"detail": {"sourceIPAddress": [{"cidr": ["bad-type"]}]}}': "prefix match pattern must be a string|43",
    '["not", "a", "dict", "but valid json"]': "Filter is not an object|2",
    "this is valid json but not a dict":
        "Unrecognized token 'this': was expecting (JSON String, Number, Array, Object or token 'null',"
        " 'true' or 'false')|5",
    "{'bad': 'quotation'}": "Unexpected character (''' (code 39)): was expecting double-quote to start field name|2",
    '{"not": closed mark"':
        "Unrecognized token 'closed': was expecting (JSON String, Number, Array, Object or token 'null',"
        " 'true' or 'false')|15",
}  # fmt: skip
_NOWHERE = {
    '{"a": [{"cidr": "bad-filter"}]}': "Malformed CIDR, one '/' required",
    '{"a": [{"cidr": "xx.11.xx/8"}]}': "Nonstandard IP address: xx.11.xx",
    '{"a": [{"cidr": "bad-/64filter"}]}': "Malformed CIDR, mask bits must be an integer",
    '{"a": [{"wildcard": "*:*:*:*:*:event-bus/*"}]}':
        "Rule is too complex - try using fewer wildcard characters or fewer repeating character sequences"
        " after a wildcard character",
}  # fmt: skip


@pytest.mark.parametrize(("text", "said"), REFUSED.items())
def test_refusals_are_in_the_words_of_aws(text, said):
    """People see these in the console and in their tests, column and all."""
    words, columns = re.fullmatch(r"(.*?)\|(\d+(?:\|\d+)*)", said).groups()
    places = "".join(
        f'\n at [Source: (String)"{text}"; line: 1, column: {column}]'
        for column in columns.split("|")
    )
    assert reason(text) == words + places


@pytest.mark.parametrize(("text", "said"), _NOWHERE.items())
def test_refusals_without_a_place(text, said):
    assert reason(text) == said


def test_consecutive_stars_are_counted_with_the_quote():
    said = reason('{"EventBusArn": [{"wildcard": "arn:aws:events:us-east-1:**:event-bus/*"}]}')
    assert said.startswith("Consecutive wildcard characters at pos 26\n")


def test_values_of_one_array_must_be_of_one_element():
    """https://github.com/aws/event-ruler#and-and-or-relationship-among-fields: array consistency."""
    pattern = {"members": {"name": ["ann"], "role": ["boss"]}}
    assert matches(pattern, {"members": [{"name": "bob"}, {"name": "ann", "role": "boss"}]})
    assert not matches(pattern, {"members": [{"name": "ann"}, {"name": "bob", "role": "boss"}]})
    nested = {"a": {"b": {"x": [1], "y": [2]}}}
    assert matches(nested, {"a": [{"b": [{"x": 1}]}, {"b": [{"x": 1, "y": 2}]}]})
    assert not matches(nested, {"a": [{"b": [{"x": 1}]}, {"b": [{"y": 2}]}]})


def test_true_is_not_one():
    assert not matches({"a": [1]}, {"a": True})
    assert not matches({"a": [True]}, {"a": 1})
    assert not matches({"a": [{"numeric": ["<", 5]}]}, {"a": True})


def test_addresses_are_equal_however_they_are_written():
    assert matches({"ip": ["2001:db8::1"]}, {"ip": "2001:0db8:0:0:0:0:0:1"})
    assert not matches({"ip": ["10.0.0.1"]}, {"ip": "10.0.0.2"})


def test_combinations_of_or_are_bounded():
    """1,000, as EventBridge documents; a short text must not become a large automaton."""
    either = [{f"a{n}": ["x"]} for n in range(2)]
    deep = "".join(f'"p{n}": {{"$or": {json.dumps(either)}}},' for n in range(12))
    assert "too complex" in reason("{" + deep + '"z": ["x"]}')


def test_deep_and_broken_text_is_refused():
    for text in (
        "",
        "{",
        '{"a',
        '{"a":',
        '{"a":[',
        '{"a":["x]}',
        '{"a":[1,]}',
        '{"a":1}x',
        "[" * 5000,
    ):
        if text == '{"a":1}x':
            continue
        assert reason(text)
    assert "nesting" in reason('{"a":' * 5000 + '["x"]' + "}" * 5000)


VALUES = [None, True, False, 0, 1, 2.5, 100, "", "a", "ab", "abc", "ABC", "bca", "a*c", "10.0.0.1"]
NAMES = ["a", "b", "c"]
LEAF = st.sampled_from(VALUES)
TEXT = st.sampled_from(["a", "ab", "c", "A", "bc"])
CONDITION = st.one_of(
    LEAF,
    TEXT.map(lambda t: {"prefix": t}),
    TEXT.map(lambda t: {"suffix": t}),
    TEXT.map(lambda t: {"equals-ignore-case": t}),
    TEXT.map(lambda t: {"prefix": {"equals-ignore-case": t}}),
    TEXT.map(lambda t: {"suffix": {"equals-ignore-case": t}}),
    TEXT.map(lambda t: {"anything-but": [t]}),
    TEXT.map(lambda t: {"anything-but": {"prefix": t}}),
    TEXT.map(lambda t: {"wildcard": f"{t}*"}),
    TEXT.map(lambda t: {"wildcard": f"*{t}*c"}),
    st.sampled_from([{"exists": True}, {"exists": False}, {"numeric": [">=", 1, "<", 100]}, {"numeric": ["=", 1]},
                     {"anything-but": 1}, {"cidr": "10.0.0.0/8"}]),
)  # fmt: skip
CONDITIONS = st.lists(CONDITION, min_size=1, max_size=3)
PATTERN = st.recursive(
    st.dictionaries(st.sampled_from(NAMES), CONDITIONS, min_size=1, max_size=3),
    lambda inner: st.dictionaries(
        st.sampled_from(NAMES), st.one_of(CONDITIONS, inner), min_size=1, max_size=3
    ),
    max_leaves=4,
)
EVENT = st.recursive(
    st.dictionaries(
        st.sampled_from(NAMES), st.one_of(LEAF, st.lists(LEAF, max_size=2)), max_size=3
    ),
    lambda inner: st.dictionaries(
        st.sampled_from(NAMES), st.one_of(LEAF, inner, st.lists(inner, max_size=2)), max_size=3
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(PATTERN, min_size=1, max_size=12),
    st.lists(EVENT, min_size=1, max_size=3),
    st.randoms(),
)
def test_many_rules_at_once_answer_as_each_alone(patterns, events, chance):
    """Sharing between rules changes nothing, nor does taking rules away again."""
    compiled = {n: compile_pattern(json.dumps(p)) for n, p in enumerate(patterns)}
    rules = Patterns()
    for n, pattern in compiled.items():
        rules.add(n, pattern)
    gone = set()
    for _ in range(2):
        for event in events:
            alone = {n for n, p in compiled.items() if n not in gone and p.matches(event)}
            assert rules.match(event) == alone
        gone = set(chance.sample(sorted(compiled), len(compiled) // 2))
        for n in gone:
            rules.remove(n)
    for n in compiled:
        rules.remove(n)
    assert rules._root.is_empty()
    assert not rules._root.fans
    assert not rules._root.absent
    assert not rules._wanted._leaves


def test_an_event_is_asked_about_few_of_many_rules():
    """Cost grows with what matches: 1,000 rules that differ in their last word lead to one look each way."""
    rules = Patterns()
    for n in range(1000):
        pattern = {
            "source": ["shop"],
            "detail": {"kind": ["order"], "id": [{"prefix": f"k{n:04d}-"}]},
        }
        rules.add(n, compile_pattern(json.dumps(pattern)))
    walked = []
    walk = rules._walk
    rules._walk = lambda node, *rest: (walked.append(node), walk(node, *rest))
    event = {"source": "shop", "detail": {"kind": "order", "id": "k0123-9", "more": "x" * 1000}}
    assert rules.match(event) == {123}
    assert len(walked) <= 5


def test_random_stars_match_as_a_regular_expression_would():
    chance = random.Random(7)
    for _ in range(500):
        text = "".join(chance.choice("ab") for _ in range(chance.randrange(8)))
        star = re.sub(
            r"\*+", "*", "".join(chance.choice("ab*") for _ in range(chance.randrange(6)))
        )
        wanted = re.fullmatch(star.replace("*", ".*"), text) is not None
        assert matches({"x": [{"wildcard": star}]}, {"x": text}) is wanted, (star, text)
