"""Names of parameters, and the faults about them."""

from __future__ import annotations

import re

from stratolite.errors import Fault
from stratolite.service import Call

_PART = re.compile(r"[a-zA-Z0-9_.-]+\Z")
_LEVELS_MAX = 15
_LENGTH_MAX = 1011
_FORM = (
    "If formed as a path, it can consist of sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the"
    " following 3 symbols .-_"
)  # fmt: skip


def invalid(message: str) -> Fault:
    return Fault("ValidationException", message, status=400)


def not_offered(what: str) -> Fault:
    return invalid(f"{what} is not offered by Stratolite; see docs/coverage.md")


def not_found() -> Fault:
    """AWS says nothing more."""
    return Fault("ParameterNotFound", "")


def arn(call: Call, name: str) -> str:
    return f"arn:aws:ssm:{call.region}:{call.account}:parameter/{name.removeprefix('/')}"


def plain(call: Call, given: str) -> tuple[str, str]:
    """(name, selector) of ``name``, ``name:3``, ``name:label`` or an ARN. Raises Fault for another region's or account's."""
    found = re.match(r"arn:aws[\w-]*:ssm:([a-z0-9-]+):(\d{12}):parameter(/.+)\Z", given, re.DOTALL)
    if found is not None:
        if (found[1], found[2]) != (call.region, call.account):
            raise not_offered(f"A parameter of another account or region ({given})")
        given = found[3]
    name, _, selector = given.partition(":")
    return name, selector


def candidates(name: str) -> tuple[str, ...]:
    """An ARN does not tell /name from name."""
    return (name, name[1:]) if name.count("/") == 1 and name.startswith("/") else (name,)


def check(name: str) -> None:
    """Raises Fault for a name no new parameter may have."""
    if len(name) > _LENGTH_MAX:
        raise invalid(f"Parameter name must not exceed {_LENGTH_MAX} characters.")
    lower = name.removeprefix("/").lower()
    if lower.startswith("ssm"):
        raise invalid(f'Parameter name: can\'t be prefixed with "ssm" (case-insensitive). {_FORM}')
    if lower.startswith("aws"):
        raise Fault("AccessDeniedException", f"No access to reserved parameter name: {name}.", status=400)  # fmt: skip
    parts = name.removeprefix("/").split("/")
    if "/" in name and not name.startswith("/"):
        raise invalid("Parameter name must be a fully qualified name.")
    if not all(_PART.match(part) for part in parts):
        raise invalid(f"Invalid label parameter name: only a mix of letters, numbers and .-_/ is allowed. {_FORM}")  # fmt: skip
    if len(parts) > _LEVELS_MAX:
        raise Fault("HierarchyLevelLimitExceededException", f"The hierarchy can have a maximum of {_LEVELS_MAX} levels: {name}")  # fmt: skip
