"""What a target is sent of an event: all of it, a part, a constant, or a text made from it."""

from __future__ import annotations

from typing import Any

import orjson

from stratolite.input_template import MISSING, fill, select

_EVENT_FIELDS = (
    ("id", "id"), ("account", "account"), ("detail-type", "detailType"), ("time", "time"), ("source", "source"), ("region", "region"),
    ("resources", "resources"), ("version", "version"),
)  # fmt: skip


def render(
    target: dict[str, Any], event: dict[str, Any], text: str, rule: tuple[str, str], now: str
) -> str:
    """The document for ``target``; ``text`` is the event as JSON, ``rule`` its (ARN, name).

    Raises ValueError if the target's template does not become JSON.
    """
    if constant := target.get("Input"):
        return str(constant)
    if path := target.get("InputPath"):
        found = select(path, event)
        return "null" if found is MISSING else orjson.dumps(found).decode()
    if transformer := target.get("InputTransformer"):
        return _transform(transformer, event, rule, now)
    return text


def _transform(
    transformer: dict[str, Any], event: dict[str, Any], rule: tuple[str, str], now: str
) -> str:
    paths = transformer.get("InputPathsMap") or {}
    own = {
        "aws.events.rule-arn": rule[0],
        "aws.events.rule-name": rule[1],
        "aws.events.event.ingestion-time": now,
    }

    def value(name: str) -> Any:
        if name in paths:
            return select(paths[name], event)
        if name == "aws.events.event.json":
            return event
        if name == "aws.events.event":  # without its detail, as AWS sends it
            return {ours: event[theirs] for theirs, ours in _EVENT_FIELDS if theirs in event}
        return own.get(name, MISSING)

    return fill(transformer["InputTemplate"], value)
