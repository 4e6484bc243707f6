"""Names and ARNs of EventBridge, and the faults about them, in AWS's words."""

from __future__ import annotations

import base64
import re
from typing import Any, NamedTuple

from stratolite.errors import Fault
from stratolite.service import Call
from stratolite.services.events.state import DEFAULT

BUS_ARN = re.compile(r"arn:aws[\w-]*:events:([a-z0-9-]+):(\d{12}):event-bus/(.+)\Z")


class Bus(NamedTuple):
    account: str
    region: str
    name: str

    @property
    def arn(self) -> str:
        return f"arn:aws:events:{self.region}:{self.account}:event-bus/{self.name}"


def bus(call: Call, given: str | None) -> Bus:
    """What EventBusName names: a name of the caller's, or an ARN."""
    if not given:
        return Bus(call.account, call.region, DEFAULT)
    if found := BUS_ARN.match(given):
        return Bus(found[2], found[1], found[3])
    return Bus(call.account, call.region, given)


def own_bus(call: Call, given: str | None) -> str:
    """The name of a bus of the caller's own account and region. Raises Fault for another's."""
    found = bus(call, given)
    if (found.account, found.region) != (call.account, call.region):
        raise no_bus(found.name)
    return found.name


def rule_arn(region: str, account: str, bus_name: str, rule: str) -> str:
    path = rule if bus_name == DEFAULT else f"{bus_name}/{rule}"
    return f"arn:aws:events:{region}:{account}:rule/{path}"


def arn(call: Call, kind: str, name: str) -> str:
    return f"arn:aws:events:{call.region}:{call.account}:{kind}/{name}"


def token(last: str) -> str:
    """The NextToken behind a row of this name."""
    return base64.urlsafe_b64encode(f"1|{last}".encode()).decode()


def after(request: dict[str, Any]) -> str:
    """The name that a NextToken stands behind, "" without one. Raises Fault for a token that is none of ours."""
    if not (text := request.get("NextToken")):
        return ""
    try:
        version, mark, last = base64.urlsafe_b64decode(text).decode().partition("|")
    except ValueError:
        version = mark = last = ""
    if not mark or version != "1":
        raise invalid("The NextToken is not valid.")
    return last


def no_bus(name: str) -> Fault:
    return missing(f"Event bus {name} does not exist.")


def no_rule(bus_name: str, rule: str) -> Fault:
    return missing(f"Rule {rule} does not exist on EventBus {bus_name}.")


def missing(message: str) -> Fault:
    return Fault("ResourceNotFoundException", message)


def there_already(message: str) -> Fault:
    return Fault("ResourceAlreadyExistsException", message)


def invalid(message: str) -> Fault:
    return Fault("ValidationException", message, status=400)


def limit_reached(message: str = "The requested resource exceeds the maximum number allowed.") -> Fault:  # fmt: skip
    return Fault("LimitExceededException", message)


def not_offered(what: str) -> Fault:
    """A parameter AWS knows and we do not carry out."""
    return invalid(f"{what} is not offered by Stratolite; see docs/coverage.md")
