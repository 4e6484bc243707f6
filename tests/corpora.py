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


def folder(corpus: str) -> Path | None:
    """Where a corpus is; None where it is absent."""
    named = os.environ.get("STRATOLITE_CORPORA")
    for place in [Path(named)] if named else _PLACES:
        if (place / corpus).is_dir():
            return place / corpus
    return None


def files(corpus: str, pattern: str) -> list[Path]:
    """The files of a corpus in order of name; none where it is absent."""
    where = folder(corpus)
    return sorted(where.glob(pattern)) if where else []


def one(corpus: str, name: str) -> Path:
    """A file of a corpus, which skips only where the whole corpus is absent: one that lost a file is no corpus."""
    where = folder(corpus)
    if where is None:
        pytest.skip(f"the corpus {corpus} is not here")
    assert (where / name).is_file(), f"{name} is missing in the corpus {corpus}"
    return where / name


def json5(text: str) -> Any:
    """As much of JSON5 as the corpora use: comments, and commas before a closing bracket."""
    plain = _JSON5.sub(lambda match: match[1] or "", text)
    return json.loads(re.sub(r",(\s*[}\]])", r"\1", plain))
