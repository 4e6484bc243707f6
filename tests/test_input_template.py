"""Paths into events and templates filled from them, as AWS was recorded to answer."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratolite.input_template import MISSING, fill, fill_text, is_json, placeholders, select

EVENT = {
    "detail": {
        "user": "0a787ecb-4015", "payload": {"acc_id": "0a787ecb-4015", "sf_id": "baz"}, "valid": True, "n": 4,
        "single": ["HIGH"], "multi": ["ACTIVE", "INACTIVE"], "items": [{"id": 1}, {"id": 2}, {}],
    }
}  # fmt: skip
NAMES = {
    "userId": "$.detail.user", "payload": "$.detail.payload", "valid": "$.detail.valid", "listsingle": "$.detail.single",
    "listmulti": "$.detail.multi", "gone": "$.detail.gone", "n": "$.detail.n",
}  # fmt: skip


def filled(template):
    return fill(template, lambda name: select(NAMES[name], EVENT))


# localstack/localstack tests/aws/services/events/test_events_inputs.snapshot.json, recorded from AWS
@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ('{"path": "users/<userId>", "bod": <payload>}', '{"path": "users/0a787ecb-4015", "bod": {"acc_id":"0a787ecb-4015","sf_id":"baz"}}'),
        ('"Payload of <payload> with <userId> and <userId>"', '"Payload of {acc_id:0a787ecb-4015,sf_id:baz} with 0a787ecb-4015 and 0a787ecb-4015"'),
        ('{"bod": [<userId>, "hardcoded"]}', '{"bod": ["0a787ecb-4015", "hardcoded"]}'),
        ('"<listsingle> single"\n"<listmulti> multi"\n"<gone> gone"', '"[HIGH] single"\n"[ACTIVE,INACTIVE] multi"\n" gone"'),
        ('{"a": <listsingle>}', '{"a": ["HIGH"]}'),
        ('{"id" : "<userId>", "n": <n>}', '{"id" : "0a787ecb-4015", "n": 4}'),
        ('"Command is <valid>!"', '"Command is true!"'),
        ('{"command": <gone>}', '{"command": ""}'),
    ],
)  # fmt: skip
def test_templates_are_filled_as_aws_fills_them(template, expected):
    assert filled(template) == expected


@pytest.mark.parametrize("template", ["<listsingle> single list item", "plain", '{"a": }'])
def test_what_does_not_become_json_is_refused(template):
    with pytest.raises(ValueError):
        filled(template)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$", EVENT), ("$.detail.n", 4), ("$.detail.items[1].id", 2), ("$.detail.items[*].id", [1, 2]),
        ("$.detail['user']", "0a787ecb-4015"), ("$.detail.items[9]", MISSING), ("$.detail.user.x", MISSING), ("$.nothing", MISSING),
    ],
)  # fmt: skip
def test_paths_lead_into_documents(path, value):
    found = select(path, EVENT)
    assert found is MISSING if value is MISSING else found == value


@pytest.mark.parametrize(
    "path", ["", "detail", "$detail", "$.", "$.a[", "$.a[-1]", "$..a", "$.a b"]
)
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ValueError):
        select(path, EVENT)


@given(st.text(), st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)))  # fmt: skip
def test_no_value_breaks_out_of_a_string_or_a_document(text, value):
    """Whatever an event holds, the template's shape stays."""
    of = {"x": text, "y": value}.get
    assert is_json(fill('"<x> and <y>"', of))
    made = orjson.loads(fill('{"a": "<x>", "b": <y>}', of))
    assert made == {"a": text, "b": value}
    if isinstance(value, list | dict) and b'"' in orjson.dumps(value):
        with pytest.raises(ValueError):
            fill('["<y>"]', of)
    else:
        assert len(orjson.loads(fill('["<y>"]', of))) == 1


@pytest.mark.parametrize("template", ['{"a": "users/<y>", "b": <y>}', '{"a": "<y>"}', '["<y>"]'])
@pytest.mark.parametrize("value", [{"acc_id": "1"}, ["HIGH"]])
def test_an_object_is_no_part_of_a_string_in_an_object(template, value):
    """Recorded from AWS: localstack/localstack, tests/aws/services/events/test_events_inputs.py, test_input_transformer_nested_keys_replacement_not_valid."""
    with pytest.raises(ValueError):
        fill(template, {"y": value}.get)


def test_what_is_no_json_is_filled_as_text():
    values = {"x": 'say "a"', "y": [1, "b"], "z": MISSING}
    assert fill_text("<x> to <y><z>", values.get) == 'say "a" to [1,"b"]'


def test_placeholders_are_found_by_name():
    assert placeholders('{"a": <x>, "b": "<aws.events.rule-arn> < y>"}') == ["x", "aws.events.rule-arn"]  # fmt: skip
