"""Payload templates of JSONPath states: JSON in which members called NAME.$ are computed.

    template = compile_template({"who.$": "$.name", "fixed": 1}, report, "/States/A/Parameters")
    template(view)                                   # {"who": ..., "fixed": 1}

Source  https://states-language.net/spec.html#payload-template
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from stratolite.workflow import intrinsics, paths
from stratolite.workflow.failures import INTRINSIC, Trouble
from stratolite.workflow.surroundings import View

Compute = Callable[[View], Any]
Report = Callable[[str, str], None]
"""(message, place) of what is wrong with a definition."""


def compile_template(value: Any, report: Report, place: str) -> Compute:
    """What is wrong goes to ``report``."""
    if isinstance(value, dict):
        members = [_member(name, inner, report, place) for name, inner in value.items()]
        if not any(is_computed for _, _, is_computed in members):
            return lambda view: value
        return lambda view: {name: compute(view) for name, compute, _ in members}
    if isinstance(value, list):
        items = [compile_template(v, report, place) for v in value]
        return lambda view: [item(view) for item in items]
    return lambda view: value


def _member(name: str, value: Any, report: Report, place: str) -> tuple[str, Compute, bool]:
    if not name.endswith(".$"):
        return name, compile_template(value, report, place), not _is_flat(value)
    compute = compile_expression(value, name, report, place)
    return name[:-2], compute, True


def _is_flat(value: Any) -> bool:
    return not isinstance(value, dict | list)


def compile_expression(text: Any, name: str, report: Report, place: str) -> Compute:
    """A path or a call of an intrinsic function, in the member ``name``."""
    if not isinstance(text, str):
        report(f"The value for the field '{name}' must be a STRING that contains a JSONPath or a valid intrinsic function call", place)  # fmt: skip
        return lambda view: None
    try:
        if text.startswith("States."):
            call = intrinsics.parse(text)
            return lambda view: _called(call, text, name, view)
        path = paths.parse(text)
    except ValueError:
        report(f"The value for the field '{name}' must be a valid JSONPath or a valid intrinsic function call", place)  # fmt: skip
        return lambda view: None
    return lambda view: read(path, name, view)


def read(path: paths.Path, name: str, view: View) -> Any:
    """The value a path has in the field ``name``. Raises Trouble in AWS's words where it has none."""
    try:
        return view.read(path)
    except paths.Missing as missing:
        document = view.context if path.root == "$" else view.data
        if path.root not in ("", "$"):
            document = view.variables[path.root]
        raise Trouble(
            f"The JSONPath '{path.text}' specified for the field '{name}' could not be found in the input "
            f"'{orjson.dumps(document).decode()}'"
        ) from missing
    except ValueError as error:
        raise Trouble(f"Invalid path '{path.text}' : {error}") from error


def _called(call: intrinsics.Call, text: str, name: str, view: View) -> Any:
    try:
        return call.value(view)
    except paths.Missing as missing:
        raise Trouble(
            f"The function '{text}' had the following error: The JsonPath argument for the field '{missing.place}' could not be "
            f"found in the input '{orjson.dumps(view.data).decode()}'",
            INTRINSIC,
        ) from missing
