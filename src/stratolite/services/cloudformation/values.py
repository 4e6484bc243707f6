"""Asks a type's handler about the values a template states, before anything is touched: what its service would refuse.

The checks are the service's own (``Resource.values``). What a service says only to a request (a role it may not assume, a
bucket that is not there) is not known here, nor is a value that another resource will have, or that a dynamic reference stands for.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Resource
from stratolite.services.cloudformation.intrinsics import Unknown
from stratolite.services.cloudformation.places import Misplaced
from stratolite.services.cloudformation.schema import DYNAMIC, places_at

_log = logging.getLogger("stratolite.cloudformation")


def check_values(
    handler: Resource,
    logical_id: str,
    properties: Mapping[str, Any],
    before: Mapping[str, Any] | None = None,
) -> None:
    """Raises Misplaced naming what the service would refuse; ``before`` are the properties that are there already."""
    held = before or {}
    changed = {k: v for k, v in properties.items() if k not in held or held[k] != v}
    if not changed:
        return
    problems = [
        (f"{at}: {message}", tuple(at.split("/")[1:]))
        for at, message in _problems(handler, properties)
        if at == "#" or at.split("/")[1] in changed
    ]
    if problems:
        raise Misplaced(
            f"Properties validation failed for resource {logical_id} with message:",
            ("Resources", logical_id, "Properties"),
            problems,
        )


def _problems(handler: Resource, properties: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for place, check in handler.values.items():
        for at, stated in places_at(properties, place):
            value = stated
            filled = is_open(value)
            if filled:
                if place not in handler.stand_ins or not isinstance(value, dict | list):
                    continue
                value = _filled(value, handler.stand_ins[place])
            try:
                check(value)
            except Fault as fault:
                yield at, fault.message
            except Exception:  # noqa: BLE001 - a check's bug, or a stand-in where none can be: the resource's step tells
                if not filled:
                    _log.exception("a check failed unexpectedly: type=%s at=%s", handler.type, at)


def is_open(value: Any) -> bool:
    """Whether something in it is known only later."""
    if isinstance(value, Unknown):
        return True
    if isinstance(value, str):
        return DYNAMIC in value
    if isinstance(value, dict):
        return any(is_open(item) for item in value.values())
    return isinstance(value, list) and any(is_open(item) for item in value)


def _filled(value: Any, text: str | None) -> Any:
    if text is None and isinstance(value, dict):
        return {key: item for key, item in value.items() if not is_open(item)}
    if isinstance(value, dict):
        return {key: _filled(item, text) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, text) for item in value]
    return text if is_open(value) else value
