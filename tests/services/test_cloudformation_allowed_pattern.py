"""A template's own regular expression must not keep everybody waiting."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratolite.allowed_pattern import Refused, matches, read

ATOMS = st.sampled_from(
    ["a", "b", ".", "[ab]", "[^a]", r"\d", r"\w", "^", "$", r"\b", "", "(?=a)", "(?!b)", "(?=.*b)"]
)
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda p: f"(?:{p[0]}|{p[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "{2}", "{1,2}", "{2,}"])).map(
            lambda p: f"({p[0]}){p[1]}"
        ),
    ),
    max_leaves=6,
)


@settings(max_examples=1500, deadline=None)
@given(PATTERNS, st.text("ab1\n", max_size=6))
def test_it_agrees_with_pythons_engine(pattern, text):
    assert matches(read(pattern), text) is bool(re.fullmatch(pattern, text))


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        (r"[a-z][a-z0-9-]{1,61}[a-z0-9]", "my-bucket", True),
        (r"(?=.*[A-Z])(?=.*\d)[A-Za-z\d]{8,}", "passWord1", True),
        (r"(?=.*[A-Z])(?=.*\d)[A-Za-z\d]{8,}", "password1", False),
        (r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})/(\d{1,2})", "10.0.0.0/16", True),
        (r"^[^\s@]+@[^\s@]+\.[a-z]{2,}$", "a@b.example", True),
        ("(?i)yes|no", "YES", True),
        ("(?i)[^y]", "Y", False),
    ],
)
def test_what_templates_use_is_matched(pattern, text, fits):
    assert matches(read(pattern), text) is fits


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+b", "(a|a)*b", "(a|aa)+b", "a*a*a*a*a*a*a*a*b", "(x?x?x?a?a?)*y", "((a)|(a))*b", "(.*a){12}b",
     "((((a{1,30}){1,30}){1,30}){1,30}){1,30}b", "(a*){60000}b", "(?=(?=(?=.*a.*b).*b).*b)a*"],
)  # fmt: skip
def test_no_pattern_takes_long(pattern):
    """Each of them takes Python's engine minutes or longer, and nothing else is served meanwhile."""
    begun = time.thread_time()
    try:
        assert not matches(read(pattern), "a" * 512)
    except Refused as refused:
        assert "takes too long" in str(refused)
    assert time.thread_time() - begun < 1


@pytest.mark.parametrize(
    "pattern",
    [r"(a)\1", "(?>a)", "a++", "(?<=a)b", "(", "(" * 511 + ")" * 511, "(?m)^a", "a" * 2000],
)
def test_what_is_not_offered_is_refused(pattern):
    with pytest.raises(Refused):
        read(pattern)
