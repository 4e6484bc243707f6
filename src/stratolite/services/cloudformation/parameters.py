"""A stack's parameters: what the template declares, checked against what the caller gives.

Values are kept as the strings AWS keeps; ``parsed`` gives what Ref gives (a list for list types).
Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from stratolite import allowed_pattern
from stratolite.errors import Fault
from stratolite.service import Call
from stratolite.services.cloudformation import aws_types
from stratolite.services.cloudformation.intrinsics import text_of
from stratolite.services.cloudformation.places import Misplaced
from stratolite.services.cloudformation.quotas import (
    PARAMETER_VALUE_BYTES_MAX,
    PARAMETERS_BYTES_MAX,
)

MASK = "****"
_TYPES = ("String", "Number", "List<Number>", "CommaDelimitedList", "List<String>")
_SSM_NAME = "AWS::SSM::Parameter::Name"
_SSM_VALUE = "AWS::SSM::Parameter::Value<"
_MEMBERS = frozenset(
    [
        "AllowedPattern",
        "AllowedValues",
        "ConstraintDescription",
        "Default",
        "Description",
        "MaxLength",
        "MaxValue",
        "MinLength",
        "MinValue",
        "NoEcho",
        "Type",
    ]
)
_PATTERN_BYTES_MAX = 512  # of a value matched against a template's own regular expression


def check_declared(declared: Mapping[str, Any]) -> None:
    """Raises Fault for a declaration that cannot be."""
    for name, what in declared.items():
        if not isinstance(what, dict):
            raise _error("Template format error: Any Parameters member must be an object.", name)
        if odd := sorted(set(what) - _MEMBERS):
            raise _error(f"Invalid template parameter property '{odd[0]}'", name, odd[0])
        kind = what.get("Type")
        if not isinstance(kind, str):
            raise _error(
                f"Template format error: Every Parameters object must contain a Type member. ({name})",
                name,
            )
        if not _is_type(kind):
            raise _error(
                f"Template format error: Unrecognized parameter type: {kind}", name, "Type"
            )
        allowed = what.get("AllowedValues")
        if allowed is not None and (
            not isinstance(allowed, list) or any(isinstance(v, dict | list) for v in allowed)
        ):
            raise _error(
                "Template format error: Every AllowedValues member must be a list.",
                name,
                "AllowedValues",
            )
        if isinstance(what.get("Default"), dict | list):
            raise _error(
                "Template format error: Every Default member must be a string.", name, "Default"
            )
        pattern = what.get("AllowedPattern")
        if pattern is not None:
            _pattern(name, text_of(pattern))
        if "Default" in what:
            _check_value(name, what, text_of(what["Default"]))


def _is_type(kind: str) -> bool:
    if kind.startswith(_SSM_VALUE) and kind.endswith(">"):
        kind = kind[len(_SSM_VALUE) : -1]
        return kind in ("String", "CommaDelimitedList", "List<String>") or aws_types.is_type(kind)
    return kind in _TYPES or kind == _SSM_NAME or aws_types.is_type(kind)


def take_parameters(
    declared: Mapping[str, Any],
    given: list[dict[str, Any]],
    previous: Mapping[str, str] | None,
    later: Collection[str] = (),
) -> dict[str, str]:
    """Every declared parameter's value; ``previous`` are the stack's own when it is updated.

    Those named in ``later`` have one that is not known yet: it is left out.
    """
    values: dict[str, str] = {}
    for entry in given:
        name = entry.get("ParameterKey")
        if name is None:
            raise _error("Parameter keys must not be empty")
        if name in values:
            raise _error(f"Parameter '{name}' is given twice")
        if entry.get("UsePreviousValue"):
            if "ParameterValue" in entry:
                raise _error(
                    f"Invalid input for parameter key {name}. Cannot specify usePreviousValue as true and non empty value for a parameter"
                )
            if previous is None:
                raise _error(
                    f"Invalid input for parameter key {name}. Cannot specify usePreviousValue as true for a parameter key not in the previous template"
                )
            if name not in declared:
                continue
            if name not in previous:
                raise _error(
                    f"Invalid input for parameter key {name}. Cannot specify usePreviousValue as true for a parameter key not in the previous template"
                )
            values[name] = previous[name]
        elif "ParameterValue" not in entry:
            raise _error(
                f"Invalid input for parameter key {name}. Need to specify either usePreviousValue as true or a value for the parameter"
            )
        else:
            values[name] = entry["ParameterValue"]
    if odd := sorted({*values, *later} - set(declared)):
        raise _error(f"Parameters: [{', '.join(odd)}] do not exist in the template")
    for name, what in declared.items():
        if name not in values and name not in later and "Default" in what:
            values[name] = text_of(what["Default"])
    if missing := sorted(set(declared) - {*values, *later}):
        raise _error(f"Parameters: [{', '.join(missing)}] must have values")
    for name, value in values.items():
        _check_value(name, declared[name], value)
    if sum(len(value.encode()) for value in values.values()) > PARAMETERS_BYTES_MAX:
        raise _error(f"The parameters' values are larger than {PARAMETERS_BYTES_MAX} bytes in all")
    return values


def parsed(
    declared: Mapping[str, Any], values: Mapping[str, str], found: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """``found`` are values that were looked up in Parameter Store."""
    looked_up = found or {}
    return {
        name: _parse(declared[name]["Type"], looked_up.get(name, value))
        for name, value in values.items()
    }


def _parse(kind: str, value: str) -> Any:
    kind = kind.removeprefix(_SSM_VALUE)
    if kind.startswith(("CommaDelimitedList", "List<")):
        return [item.strip() for item in value.split(",")] if value else []
    return value


def is_secret(what: Any) -> bool:
    return isinstance(what, dict) and text_of(what.get("NoEcho")).lower() == "true"


def _error(message: str, *place: str) -> Fault:
    """``place`` begins with the parameter's name."""
    return Misplaced(message, ("Parameters", *place) if place else ())


def ssm_names(declared: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, str]:
    """Parameter -> name of the Parameter Store's parameter whose value Ref gives."""
    return {n: v for n, v in values.items() if declared[n]["Type"].startswith(_SSM_VALUE)}


async def from_parameter_store(
    call: Call, declared: Mapping[str, Any], values: Mapping[str, str]
) -> dict[str, str]:
    """The values of AWS::SSM::Parameter::Value<...> parameters; their names must be there, and those of ...::Name."""
    wanted = ssm_names(declared, values)
    found: dict[str, str] = {}
    missing: list[str] = []
    for name, value in values.items():
        if name not in wanted and declared[name]["Type"] != _SSM_NAME:
            continue
        try:
            answer = await call.request("ssm", "GetParameter", {"Name": value})
        except Fault as fault:
            if fault.code not in ("ParameterNotFound", "ParameterVersionNotFound"):
                raise _error(
                    f"Parameter {name} cannot be read from Parameter Store: {fault.message}", name
                ) from fault
            missing.append(value)
            continue
        parameter = answer["Parameter"]
        if parameter["Type"] == "SecureString":
            raise _error(
                f"Parameters [{value}] referenced by template have types not supported by CloudFormation.",
                name,
            )
        if name in wanted:
            found[name] = str(parameter["Value"])
    if missing:
        raise _error(
            f"Unable to fetch parameters [{','.join(missing)}] from parameter store for this account."
        )
    return found


def _check_value(name: str, what: Mapping[str, Any], value: str) -> None:
    kind = what["Type"]
    if kind.startswith(_SSM_VALUE):
        kind = "String"  # the name; what it stands for is not constrained
    if len(value.encode()) > PARAMETER_VALUE_BYTES_MAX:
        raise _error(
            f"Parameter '{name}' exceeds the maximum length of {PARAMETER_VALUE_BYTES_MAX} bytes"
        )
    parts = _parse(kind, value)
    for part in parts if isinstance(parts, list) else [parts]:
        _check_part(name, what, part)


def _check_part(name: str, what: Mapping[str, Any], part: str) -> None:
    said = what.get("ConstraintDescription")

    def refuse(message: str) -> Fault:
        return _error(
            f"Parameter '{name}' failed to satisfy constraint: {said}" if said else message, name
        )

    if "Number" in what["Type"]:
        number = _number(part)
        if number is None:
            raise _error(f"Parameter '{name}' must be a number.", name)
        low, high = _number(what.get("MinValue")), _number(what.get("MaxValue"))
        if low is not None and number < low:
            raise refuse(
                f"Parameter '{name}' must be a number not less than {text_of(what['MinValue'])}"
            )
        if high is not None and number > high:
            raise refuse(
                f"Parameter '{name}' must be a number not greater than {text_of(what['MaxValue'])}"
            )
    allowed = what.get("AllowedValues")
    if allowed is not None and part not in [text_of(value) for value in allowed]:
        values = ", ".join(text_of(value) for value in allowed)
        raise refuse(f"Parameter '{name}' must be one of AllowedValues: [{values}]")
    pattern = what.get("AllowedPattern")
    if pattern is not None:
        if len(part) > _PATTERN_BYTES_MAX:
            raise _error(
                f"Parameter '{name}' has an AllowedPattern; Stratolite matches values up to {_PATTERN_BYTES_MAX} characters"
            )
        try:
            fits = allowed_pattern.matches(_pattern(name, text_of(pattern)), part)
        except allowed_pattern.Refused as refused:
            raise _error(f"AllowedPattern of parameter '{name}': {refused}") from None
        if not fits:
            raise refuse(f"Parameter '{name}' must match pattern {pattern}")
    shortest, longest = _number(what.get("MinLength")), _number(what.get("MaxLength"))
    if shortest is not None and len(part) < shortest:
        raise refuse(
            f"Parameter '{name}' must contain at least {text_of(what['MinLength'])} characters"
        )
    if longest is not None and len(part) > longest:
        raise refuse(
            f"Parameter '{name}' must contain at most {text_of(what['MaxLength'])} characters"
        )


def _number(value: Any) -> float | None:
    text = text_of(value).strip()
    return (
        float(text)
        if re.fullmatch(r"[-+]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})", text, re.ASCII)
        else None
    )


def _pattern(name: str, pattern: str) -> Any:
    try:
        return allowed_pattern.read(pattern)
    except allowed_pattern.Refused as refused:
        raise _error(
            f"Template format error: AllowedPattern of parameter {name} is not valid: {refused}",
            name,
            "AllowedPattern",
        ) from None
