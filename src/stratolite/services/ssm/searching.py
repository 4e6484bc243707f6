"""Parameters by path and by filter.

https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_ParameterStringFilter.html
"""

from __future__ import annotations

from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.ssm import names, state
from stratolite.services.ssm.parameters import Parameters, described, shown

_PATH_PAGE, _PAGE = 10, 50
_LOOKED_AT_MAX = 1000
"""Parameters a call reads: with narrow filters a page may be short and its token goes on, as on AWS."""
_OPTIONS = {"Name": ("Equals", "BeginsWith", "Contains"), "Path": ("OneLevel", "Recursive")}
_KEYS = ("Name", "Type", "KeyId", "Path", "Label", "Tier", "DataType")


class Searching(Parameters):
    def get_parameters_by_path(self, call: Call, request: Request) -> Response:
        path = request["Path"]
        if not path.startswith("/"):
            raise names.invalid('The parameter doesn\'t meet the parameter name requirements. The parameter name must begin with a forward slash "/".')  # fmt: skip
        filters = request.get("ParameterFilters") or []
        for one in filters:
            if one["Key"] not in ("Type", "KeyId", "Label") and not one["Key"].startswith("tag:"):
                raise _bad_key(one["Key"])
        limit, after = request.get("MaxResults") or _PATH_PAGE, _after(request)
        under = path if path.endswith("/") else f"{path}/"
        keys = call.keys("ssm")
        if request.get("Recursive"):
            rows = state.rows(call.tx, keys, under if under != "/" else "", after)
        else:
            rows = state.children(call.tx, keys, under, after)
        found: list[Response] = []
        last, looked = "", 0
        for name, record in rows:
            if len(found) == limit or looked == _LOOKED_AT_MAX:
                return {"Parameters": found, "NextToken": last.encode().hex()}
            last, looked = name, looked + 1
            version = _labelled(call, name, record, filters)
            if version is not None and all(_fits(one, name, record) for one in filters):
                found.append(shown(call, name, version, decrypt=bool(request.get("WithDecryption"))))  # fmt: skip
        return {"Parameters": found}

    def describe_parameters(self, call: Call, request: Request) -> Response:
        if request.get("Shared"):
            raise names.not_offered("Shared")
        filters = list(request.get("ParameterFilters") or [])
        if request.get("Filters"):
            if filters:
                raise names.invalid("You can use either Filters or ParameterFilters in a single request.")  # fmt: skip
            filters = [{"Key": f["Key"], "Option": "Equals" if f["Key"] != "Name" else "BeginsWith", "Values": f["Values"]} for f in request["Filters"]]  # fmt: skip
        for one in filters:
            _check(one)
        limit, after = request.get("MaxResults") or _PAGE, _after(request)
        found: list[Response] = []
        last, looked = "", 0
        for name, record in state.rows(call.tx, call.keys("ssm"), _prefix(filters), after):
            if len(found) == limit or looked == _LOOKED_AT_MAX:
                return {"Parameters": found, "NextToken": last.encode().hex()}
            last, looked = name, looked + 1
            if all(_fits(one, name, record) for one in filters):
                found.append(described(call, name, record))
        return {"Parameters": found}


def _labelled(
    call: Call, name: str, record: state.Record, filters: list[dict[str, Any]]
) -> state.Record | None:
    """The version that a Label filter asks for; the newest without one."""
    for one in filters:
        if one["Key"] == "Label":
            number = next((record["labels"][v] for v in one.get("Values") or () if v in record["labels"]), None)  # fmt: skip
            if number is None:
                return None
            return state.get_version(call.tx, call.keys("ssm"), name, number)
    return record


def _fits(one: dict[str, Any], name: str, record: state.Record) -> bool:
    key, values = one["Key"], one.get("Values") or []
    option = one.get("Option")
    if key.startswith("tag:"):
        held = record["tags"].get(key[4:])
        return held is not None and (not values or held in values)
    if key == "Name":
        if option == "BeginsWith":
            return any(name.startswith(v) for v in values)
        if option == "Contains":
            return any(v in name for v in values)
        return name in values
    if key == "Path":
        under = [v if v.endswith("/") else f"{v}/" for v in values]
        inside = [u for u in under if name.startswith(u)]
        if option == "Recursive":
            return bool(inside)
        return any("/" not in name[len(u) :] for u in inside)
    if key == "Label":
        return any(v in record["labels"] for v in values)
    held = {"Type": record["type"], "KeyId": record["key"] or "alias/aws/ssm", "Tier": record["tier"], "DataType": record["data_type"]}[key]  # fmt: skip
    if key == "KeyId" and record["type"] != "SecureString":
        return False
    return any(held.startswith(v) for v in values) if option == "BeginsWith" else held in values


def _check(one: dict[str, Any]) -> None:
    key, option = one["Key"], one.get("Option")
    if key not in _KEYS and not key.startswith("tag:"):
        raise _bad_key(key)
    allowed = _OPTIONS.get(key, ("Equals", "BeginsWith"))
    if option is not None and option not in allowed:
        raise Fault("InvalidFilterOption", f"The following filter option is not valid: {option}. Valid options include: [{', '.join(allowed)}]")  # fmt: skip


def _bad_key(key: str) -> Fault:
    return Fault("InvalidFilterKey", f"The following filter key is not valid: {key}. Valid filter keys include: [{', '.join(_KEYS)}].")  # fmt: skip


def _prefix(filters: list[dict[str, Any]]) -> str:
    """What every name that fits begins with, so that only those are read."""
    for one in filters:
        values = one.get("Values") or []
        if len(values) != 1:
            continue
        if one["Key"] == "Path" and values[0] != "/":
            return str(values[0]).rstrip("/") + "/"
        if one["Key"] == "Name" and one.get("Option") != "Contains":
            return str(values[0])
    return ""


def _after(request: Request) -> str:
    try:
        return bytes.fromhex(request.get("NextToken") or "").decode()
    except ValueError as error:
        raise Fault("InvalidNextToken", "The specified token is not valid.") from error
