"""Test data of public suites, kept beside the checkout; tests that want it skip where it is absent.

``STRATOLITE_CORPORA`` names the folder; else ``shared/corpora`` beside the checkout or above it.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parents[1]
_PLACES = [p / "shared" / "corpora" for p in (_ROOT.parent, _ROOT.parent.parent)]
_JSON5 = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/', re.DOTALL)


def files(corpus: str, pattern: str) -> list[Path]:
    """The files of a corpus in order of name; none where it is absent."""
    named = os.environ.get("STRATOLITE_CORPORA")
    for place in [Path(named)] if named else _PLACES:
        if (place / corpus).is_dir():
            return sorted((place / corpus).glob(pattern))
    return []


def one(corpus: str, name: str) -> Path:
    for path in files(corpus, name):
        return path
    pytest.skip(f"the corpus {corpus} is not here")


def json5(text: str) -> Any:
    """As much of JSON5 as the corpora use: comments, and commas before a closing bracket."""
    plain = _JSON5.sub(lambda match: match[1] or "", text)
    return json.loads(re.sub(r",(\s*[}\]])", r"\1", plain))
