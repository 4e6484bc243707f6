"""Filter patterns: terms that a message must have, may have one of, or must not have.

``ERROR Exception``    both            ``"two words"``   the phrase
``?ERROR ?WARN``       one of them     ``-debug``        without it

Terms are found anywhere in the message, case matters. Optional terms beside plain ones are ignored, as by AWS.
Source  https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
"""

from __future__ import annotations

import re
from collections.abc import Callable

from stratolite.errors import Fault

_TERM = re.compile(r'\s*([?-]?)("(?:[^"\\]|\\.)*"|[^\s"]+)')
_BARE = re.compile(r"\w+\Z")
_LENGTH_MAX = 1024


def compiled(pattern: str) -> Callable[[str], bool]:
    """Whether a message matches. Raises Fault for patterns that are wrong or not offered."""
    text = pattern.strip()
    if len(pattern) > _LENGTH_MAX:
        raise _bad(f"filterPattern is longer than {_LENGTH_MAX} characters")
    if text.startswith(("{", "[")) or re.search(r"(^|\s)[?-]?%", text):
        kind = {"{": "JSON", "[": "space-delimited"}.get(text[0], "regular expression")
        raise _bad(f"{kind} filter patterns are not offered by Stratolite; see docs/coverage.md")
    needed: list[str] = []
    optional: list[str] = []
    excluded: list[str] = []
    at = 0
    while at < len(text):
        match = _TERM.match(text, at)
        if match is None:
            raise _bad(f"Invalid filter pattern: {pattern}")
        at = match.end()
        sign, term = match.groups()
        if term.startswith('"'):
            term = re.sub(r"\\(.)", r"\1", term[1:-1])
        elif not _BARE.match(term):
            raise _bad(f"Invalid character(s) in term '{term}'")
        {"": needed, "?": optional, "-": excluded}[sign].append(term)
    if needed:
        optional = []

    def matches(message: str) -> bool:
        return (
            all(term in message for term in needed)
            and (not optional or any(term in message for term in optional))
            and not any(term in message for term in excluded)
        )

    return matches


def _bad(message: str) -> Fault:
    return Fault("InvalidParameterException", message)
