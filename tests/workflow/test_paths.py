"""JSONPath: what a path means, what it finds, where it may write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratolite.workflow import paths

DOCUMENT = {"a": {"b": [1, {"c": 2}, [3, 4]], "d e": None}, "l": [{"p": 5, "k": "x"}, {"p": 7}, {"k": "y", "p": 9}]}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", DOCUMENT),
        ("$.a.b[0]", 1),
        ("$['a']['d e']", None),
        ('$["a"].b[-1][1]', 4),
        ("$.a.b[*]", [1, {"c": 2}, [3, 4]]),
        ("$.l[*].p", [5, 7, 9]),
        ("$.l[1:].p", [7, 9]),
        ("$.l[:1].p", [5]),
        ("$.l[0,2].p", [5, 9]),
        ("$..c", [2]),
        ("$..p", [5, 7, 9]),
        ("$.none[*]", []),
        ("$.l[?(@.p > 5)].p", [7, 9]),
        ("$.l[?(@.k)].k", ["x", "y"]),
        ("$.l[?(@.p >= 7 && @.k == 'y')].p", [9]),
        ("$.l[?(!(@.k) || @.p == 5)].p", [5, 7]),
        ("$['l','a'][0].p", [5]),
        ("$.a.b.*", [1, {"c": 2}, [3, 4]]),
    ],
)
def test_what_a_path_finds(path, found):
    assert paths.parse(path).read(DOCUMENT) == found


@pytest.mark.parametrize(
    "text", ["", "a", "$.", "$[", "$[']", "$.a[1", "$..", "$.a b", "$.l.length()", "$[?(@.p =~ /x/)]", "$[1:2:0]", "$." + "a." * 200 + "a", "$[?(" + "(" * 5000]
)  # fmt: skip
def test_what_is_no_path_is_refused(text):
    with pytest.raises(ValueError):
        paths.parse(text)


def test_a_definite_path_that_leads_nowhere_says_how_far_it_came():
    with pytest.raises(paths.Missing) as caught:
        paths.parse("$.a.no.more").read(DOCUMENT)
    assert (caught.value.place, caught.value.is_leaf) == ("$['a']['no']", False)


def test_paths_into_the_context_and_variables_have_their_root():
    assert [paths.parse(p).root for p in ("$.a", "$$.Execution.Id", "$name.b", "$name")] == ["", "$", "name", "name"]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("$", {"a": 1}, 9),
        ("$.x.y", {"a": 1}, {"a": 1, "x": {"y": 9}}),
        ("$.a", {"a": 1, "b": 2}, {"a": 9, "b": 2}),
        ("$.l[1]", {"l": [1, 2]}, {"l": [1, 9]}),
        ("$['a b']", {}, {"a b": 9}),
    ],
)
def test_a_reference_path_writes_and_leaves_the_rest(path, before, after):
    copy = repr(before)
    assert paths.parse_reference(path).write(before, 9) == after
    assert repr(before) == copy


@pytest.mark.parametrize(("path", "before"), [("$.a.b", {"a": 1}), ("$.l[5]", {"l": []}), ("$.x", [1])])  # fmt: skip
def test_where_nothing_can_be_written_it_is_said(path, before):
    with pytest.raises(paths.Missing):
        paths.parse_reference(path).write(before, 9)


_names = st.text("ab_ -'\"\\", min_size=1, max_size=4)


@given(st.lists(_names, min_size=1, max_size=4), st.integers())
def test_what_was_written_is_read_there(names, value):
    """With any letters in its names, as long as quotes and backslashes are escaped."""
    text = "$" + "".join("['" + n.replace("\\", "\\\\").replace("'", "\\'") + "']" for n in names)
    path = paths.parse_reference(text)
    assert path.read(path.write({}, value)) == value


@given(st.text("$.[]'\"*?()@:,1ab&|=!<> \\", max_size=20))
def test_no_text_does_anything_but_parse_or_be_refused(text):
    try:
        path = paths.parse("$" + text)
    except ValueError:
        return
    try:
        path.read(DOCUMENT)
    except paths.Missing:
        assert path.is_definite
