"""JSONPath as mapping templates and parameter mappings use it: names, indexes, slices, wildcards, descent.

Filters and scripts are refused. A definite path gives a value, any other path a list of all that it finds, as the
library does that API Gateway uses.  https://github.com/json-path/JsonPath#what-is-returned-when
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

MISSING = object()
_NAME = re.compile(r"[^.\[\]()@?'\"]+")
_STEP = re.compile(
    r"\[\s*(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"|(-?\d+)|(\*)|(-?\d*):(-?\d*))\s*\]"
)
_FOUND_COUNT_MAX = 50_000
Step = tuple[str, Any]


class Refused(Exception):
    """A path that is none or that is not offered."""


def find(document: Any, path: str) -> Any:
    """What ``path`` leads to, ``MISSING`` if there is nothing. Raises Refused."""
    steps = _steps(path)
    definite = all(kind in ("name", "index") for kind, _ in steps)
    found = [document]
    for kind, what in steps:
        found = [one for holder in found for one in _under(holder, kind, what)]
        if len(found) > _FOUND_COUNT_MAX:
            raise Refused("the path finds too much")
    if not definite:
        return found
    return found[0] if found else MISSING


@lru_cache(maxsize=512)
def _steps(path: str) -> tuple[Step, ...]:
    text = path.strip()
    if not text.startswith("$"):
        text = f"$.{text}" if not text.startswith("[") else f"${text}"
    steps: list[Step] = []
    at = 1
    while at < len(text):
        if text.startswith("..", at):
            steps.append(("descent", None))
            at += 1 if text[at + 2 : at + 3] != "[" else 2
        elif text[at] == ".":
            if text.startswith(".*", at):
                steps.append(("all", None))
                at += 2
                continue
            name = _NAME.match(text, at + 1)
            if name is None:
                raise Refused(f"Invalid path: {path}")
            if text.startswith("()", name.end()):
                raise Refused(f"Functions in paths are not offered: {path}")
            steps.append(("name", name[0].strip()))
            at = name.end()
        else:
            step = _STEP.match(text, at)
            if step is None:
                raise Refused(f"Invalid path, or one with a filter, which is not offered: {path}")
            single, double, index, star, first, last = step.groups()
            if single is not None or double is not None:
                quoted = single if single is not None else double
                steps.append(("name", re.sub(r"\\(.)", r"\1", quoted)))
            elif index is not None:
                steps.append(("index", int(index)))
            elif star:
                steps.append(("all", None))
            else:
                bounds = (int(first) if first else None, int(last) if last else None)
                steps.append(("slice", bounds))
            at = step.end()
    return tuple(steps)


def _under(holder: Any, kind: str, what: Any) -> list[Any]:
    if kind == "name":
        return [holder[what]] if isinstance(holder, dict) and what in holder else []
    if kind == "index":
        inside = isinstance(holder, list) and -len(holder) <= what < len(holder)
        return [holder[what]] if inside else []
    if kind == "slice":
        return list(holder[slice(*what)]) if isinstance(holder, list) else []
    if kind == "all":
        return _children(holder)
    found, left = [], [holder]
    while left:
        one = left.pop(0)
        found.append(one)
        left = _children(one) + left
        if len(found) > _FOUND_COUNT_MAX:
            raise Refused("the path finds too much")
    return found


def _children(holder: Any) -> list[Any]:
    if isinstance(holder, dict):
        return list(holder.values())
    return list(holder) if isinstance(holder, list) else []
