"""A resource's properties against what they are: the same in whatever words, or where they differ and how."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import orjson

from stratolite.service import Resource
from stratolite.services.cloudformation.intrinsics import text_of
from stratolite.services.cloudformation.schema import DYNAMIC, load_schema


def compared(region: str, handler: Resource, expected: Mapping[str, Any]) -> dict[str, Any]:
    """What of the properties can be compared: not what nobody can read."""
    schema = load_schema(region, handler.type)
    hidden = set(handler.unread)
    if schema is not None:
        hidden |= {path[0] for path in schema.write_only if len(path) == 1}
    return {key: value for key, value in expected.items() if key not in hidden}


def differences(
    region: str, handler: Resource, expected: Mapping[str, Any], actual: Mapping[str, Any]
) -> list[dict[str, str]]:
    """PropertyDifferences, in the order of their paths."""
    schema = load_schema(region, handler.type)
    found: list[dict[str, str]] = []
    inner = schema.write_only if schema is not None else frozenset()
    for key in sorted(expected):
        unread = {path[1:] for path in inner if path[0] == key}
        _compare(expected[key], actual.get(key), f"/{key}", unread, found)
    return found


def _compare(
    wanted: Any, there: Any, at: str, unread: set[tuple[str, ...]], found: list[dict[str, str]]
) -> None:
    if isinstance(wanted, str) and DYNAMIC in wanted:
        return
    if isinstance(there, str) and isinstance(wanted, dict | list):
        there = _parsed(there)
    elif isinstance(wanted, str) and isinstance(there, dict | list):
        wanted = _parsed(wanted)
    if there is None:
        if not _is_nothing(wanted) and not _is_off(wanted):
            _differ(wanted, None, at, "REMOVE", found)
    elif isinstance(wanted, dict) and isinstance(there, dict):
        for key in sorted(wanted):
            if (key,) in unread:
                continue
            below = {path[1:] for path in unread if path[0] == key and len(path) > 1}
            _compare(wanted[key], there.get(key), f"{at}/{key}", below, found)
        if at.endswith("/Variables") or "Policy" in at or "Document" in at:
            for key in sorted(set(there) - set(wanted)):
                _differ(None, there[key], f"{at}/{key}", "ADD", found)
    elif isinstance(wanted, list) and isinstance(there, list):
        _compare_lists(wanted, there, at, unread, found)
    elif not _same(wanted, there):
        _differ(wanted, there, at, "NOT_EQUAL", found)


def _is_nothing(wanted: Any) -> bool:
    """Empty, or a mapping of what is empty: a read may leave it out."""
    if isinstance(wanted, dict):
        return all(_is_nothing(value) for value in wanted.values())
    return wanted in (None, "", [], False)


def _is_off(wanted: Any) -> bool:
    """``{"Enabled": false, ...}``: switched off, which a read may say by leaving it out."""
    flags = [v for v in wanted.values() if isinstance(v, bool)] if isinstance(wanted, dict) else []
    return bool(flags) and not any(flags)


def _same(wanted: Any, there: Any) -> bool:
    numbers = [v for v in (wanted, there) if isinstance(v, int | float) and not isinstance(v, bool)]
    if numbers:
        with contextlib.suppress(TypeError, ValueError):
            return float(wanted) == float(there)
    return text_of(wanted) == text_of(there)


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _compare_lists(
    wanted: list[Any], there: list[Any], at: str, unread: set[tuple[str, ...]], found: list[Any]
) -> None:
    """Lists of equal items in whatever order are the same; tags are found by their keys."""
    left = list(there)
    missing = []
    for n, item in enumerate(wanted):
        match = next((m for m, other in enumerate(left) if _fits(item, other, unread)), None)
        if match is None:
            missing.append((n, item))
        else:
            left.pop(match)
    left = [
        item
        for item in left
        if not (isinstance(item, dict) and str(item.get("Key", "")).startswith("aws:"))
    ]
    for n, item in missing:
        key = item.get("Key") if isinstance(item, dict) else None
        other = next(
            (o for o in left if key is not None and isinstance(o, dict) and o.get("Key") == key),
            None,
        )
        if other is None and len(missing) == len(left):
            other = left[0]
        if other is None:
            _differ(item, None, f"{at}/{n}", "REMOVE", found)
        else:
            left.remove(other)
            _compare(item, other, f"{at}/{n}", unread, found)
    for n, item in enumerate(left, len(wanted)):
        _differ(None, item, f"{at}/{n}", "ADD", found)


def _fits(item: Any, other: Any, unread: set[tuple[str, ...]]) -> bool:
    found: list[dict[str, str]] = []
    _compare(item, other, "", unread, found)
    return not found


def _differ(wanted: Any, there: Any, at: str, kind: str, found: list[dict[str, str]]) -> None:
    def said(value: Any) -> str:
        if value is None:
            return "null"
        return orjson.dumps(value).decode() if isinstance(value, dict | list) else text_of(value)

    found.append({"PropertyPath": at, "ExpectedValue": said(wanted), "ActualValue": said(there), "DifferenceType": kind})  # fmt: skip
