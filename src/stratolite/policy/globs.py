"""Wildcards of policies, matched in time that grows with pattern times text and no faster.

Policies come from callers, and so do the names they are held against. A regular expression with a ``.*`` for
each ``*`` tries every way to share the text between them: a dozen stars and a long key take years, in which
nothing else is served. The first place where the piece after a star fits is as good as any later one, so each
piece but the last is looked for once (an atomic group).
"""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(maxsize=20_000)
def glob(pattern: str) -> re.Pattern[str]:
    """``*`` any run, ``?`` any one character, the rest literally, the whole string."""
    pieces = ["".join("." if c == "?" else re.escape(c) for c in p) for p in pattern.split("*")]
    if len(pieces) == 1:
        return re.compile(pieces[0] + r"\Z", re.DOTALL)
    first, *middle, last = pieces
    found = "".join(f"(?>.*?{piece})" for piece in middle if piece)
    return re.compile(rf"{first}{found}.*{last}\Z", re.DOTALL)
