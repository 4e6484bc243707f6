"""A policy's wildcards decide, and never keep everybody waiting."""

from __future__ import annotations

import fnmatch
import re
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from stratolite.policy.patterns import like, text


def _matches(pattern, value):
    made = text(pattern, wild=True, variables=False)
    assert isinstance(made, str)
    return like(made)(value)


@settings(max_examples=1000, deadline=None)
@given(st.text("ab*?.\n", max_size=8), st.text("ab.\n*", max_size=8))
def test_it_matches_what_wildcards_match(pattern, text):
    assert bool(_matches(pattern, text)) is bool(re.match(fnmatch.translate(pattern), text))


def test_no_pattern_takes_long():
    """Twelve stars and a key of a kilobyte held the server for good once."""
    begun = time.thread_time()
    for pattern in ("*a" * 12 + "b", "*a" * 500 + "b", "*" * 1000 + "b", "*?a" * 300 + "*b"):
        assert not _matches(pattern, "a" * 1024)
    assert _matches("*a" * 500, "a" * 1024)
    assert time.thread_time() - begun < 0.5
