"""Paths into events and templates filled from them, as AWS was recorded to answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratolite.input_template import MISSING, fill, is_json, placeholders, select

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
    assert is_json(fill('{"a": "<x>", "b": <y>, "c": "<y>"}', {"x": text, "y": value}.get))


def test_placeholders_are_found_by_name():
    assert placeholders('{"a": <x>, "b": "<aws.events.rule-arn> < y>"}') == ["x", "aws.events.rule-arn"]  # fmt: skip
