"""The comparisons of Choice states: one rule against an input.

Source  https://states-language.net/spec.html#choice-state
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from stratolite.workflow import paths
from stratolite.workflow.failures import Trouble
from stratolite.workflow.surroundings import View

Test = Callable[[View], bool]
Report = Callable[[str, str], None]
_TIMESTAMP = re.compile(r"(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}:\d{2})(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})\Z")


def timestamp(text: Any) -> float | None:
    """Seconds since the epoch of ``2016-03-14T01:59:00Z`` (T, and Z or an offset, must be there); None for anything else."""
    if not isinstance(text, str) or (found := _TIMESTAMP.match(text)) is None:
        return None
    zone = "+00:00" if found[4] == "Z" else found[4]
    try:
        moment = datetime.fromisoformat(f"{found[1]}T{found[2]}{zone}")
    except ValueError:
        return None
    return moment.astimezone(UTC).timestamp() + float(found[3] or 0)


def glob(pattern: str, text: str) -> bool:
    """Whether ``text`` matches, ``*`` standing for any letters, ``\\*`` and ``\\\\`` for themselves; in linear time but for the stars."""
    parts: list[str] = [""]
    at = 0
    while at < len(pattern):
        letter = pattern[at]
        if letter == "\\" and pattern[at + 1 : at + 2] in ("*", "\\"):
            parts[-1] += pattern[at + 1]
            at += 2
            continue
        if letter == "*":
            parts.append("")
        else:
            parts[-1] += letter
        at += 1
    if len(parts) == 1:
        return text == parts[0]
    if not text.startswith(parts[0]) or len(text) < len(parts[0]) + len(parts[-1]):
        return False
    place, end = len(parts[0]), len(text) - len(parts[-1])
    for part in parts[1:-1]:
        found = text.find(part, place, end)
        if found < 0:
            return False
        place = found + len(part)
    return text.endswith(parts[-1])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_timestamp(value: Any) -> bool:
    return timestamp(value) is not None


_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": lambda a, b: bool(a == b),
    "GreaterThan": lambda a, b: bool(a > b),
    "GreaterThanEquals": lambda a, b: bool(a >= b),
    "LessThan": lambda a, b: bool(a < b),
    "LessThanEquals": lambda a, b: bool(a <= b),
}
_KINDS: dict[str, tuple[Callable[[Any], bool], Callable[[Any], Any], str]] = {
    "String": (_is_text, lambda value: value, "string"),
    "Numeric": (_is_number, lambda value: value, "number"),
    "Timestamp": (_is_timestamp, timestamp, "timestamp"),
}
_TYPES: dict[str, Callable[[Any], bool]] = {
    "IsBoolean": _is_bool,
    "IsNull": lambda value: value is None,
    "IsNumeric": _is_number,
    "IsString": _is_text,
    "IsTimestamp": _is_timestamp,
}


def _operators() -> dict[str, tuple[Callable[[Any], bool], Callable[[Any, Any], bool]]]:
    """Name -> (what the right side must be, whether the left one fulfils it)."""
    made: dict[str, tuple[Callable[[Any], bool], Callable[[Any, Any], bool]]] = {}
    for kind, (is_kind, normal, _) in _KINDS.items():
        for name, order in _ORDERS.items():

            def holds(
                left: Any,
                right: Any,
                is_kind: Callable[[Any], bool] = is_kind,
                normal: Callable[[Any], Any] = normal,
                order: Callable[[Any, Any], bool] = order,
            ) -> bool:
                return is_kind(left) and is_kind(right) and bool(order(normal(left), normal(right)))

            made[kind + name] = (is_kind, holds)
    made["BooleanEquals"] = (_is_bool, lambda a, b: _is_bool(a) and _is_bool(b) and a == b)
    return made


_COMPARISONS = _operators()


def compile_rule(rule: Any, report: Report, place: str) -> Test:
    """A rule without its Next. What is wrong goes to ``report``."""
    if not isinstance(rule, dict):
        report("Expected value of type Object", place)
        return lambda view: False
    if "And" in rule or "Or" in rule:
        name = "And" if "And" in rule else "Or"
        inner = rule[name]
        if not isinstance(inner, list) or not inner:
            report("Value must be a non-empty Array", f"{place}/{name}")
            return lambda view: False
        tests = [compile_rule(r, report, f"{place}/{name}[{i}]") for i, r in enumerate(inner)]
        if name == "And":
            return lambda view: all(test(view) for test in tests)
        return lambda view: any(test(view) for test in tests)
    if "Not" in rule:
        test = compile_rule(rule["Not"], report, f"{place}/Not")
        return lambda view: not test(view)
    return _compile_comparison(rule, report, place)


def _compile_comparison(rule: dict[str, Any], report: Report, place: str) -> Test:
    variable = _path(rule.get("Variable"), "Variable", report, place)
    names = [n for n in rule if n not in ("Variable", "Next", "Comment", "Assign", "Output")]
    if variable is None:
        if "Variable" not in rule:
            report("These fields are required: [Variable]", place)
        return lambda view: False
    if len(names) != 1:
        report("Choice rule must contain exactly one comparison operator", place)
        return lambda view: False
    name, wanted = names[0], rule[names[0]]
    if name == "IsPresent" or name in _TYPES:
        if not _is_bool(wanted):
            report("Expected value of type Boolean", f"{place}/{name}")
        if name == "IsPresent":
            return lambda view: _is_there(variable, view) == wanted
        is_type = _TYPES[name]
        return lambda view: is_type(_read(variable, view)) == wanted
    if name == "StringMatches":
        if not _is_text(wanted):
            report("Expected value of type String", f"{place}/{name}")
            return lambda view: False
        return lambda view: _is_text(left := _read(variable, view)) and glob(wanted, left)
    plain = name.removesuffix("Path")
    if plain not in _COMPARISONS:
        report(f"The field '{name}' is not supported by Step Functions", place)
        return lambda view: False
    is_kind, holds = _COMPARISONS[plain]
    if name == plain:
        if not is_kind(wanted):
            kind = next((k for k in ("String", "Numeric", "Timestamp", "Boolean") if name.startswith(k)), "")  # fmt: skip
            report(f"Expected value of type {kind}", f"{place}/{name}")
        return lambda view: holds(_read(variable, view), wanted)
    other = _path(wanted, name, report, place)
    if other is None:
        return lambda view: False
    return lambda view: holds(_read(variable, view), _read(other, view))


def _path(text: Any, name: str, report: Report, place: str) -> paths.Path | None:
    if text is None:
        return None
    try:
        return paths.parse(text)
    except (ValueError, AttributeError, TypeError):
        report("Value is not a Reference Path: Illegal character or form", f"{place}/{name}")
        return None


def _read(path: paths.Path, view: View) -> Any:
    try:
        return view.read(path)
    except paths.Missing as missing:
        raise Trouble(
            f"Invalid path '{path.text}': The choice state's condition path references an invalid value."
        ) from missing


def _is_there(path: paths.Path, view: View) -> bool:
    try:
        found = view.read(path)
    except (paths.Missing, Trouble):
        return False
    return path.is_definite or bool(found)
