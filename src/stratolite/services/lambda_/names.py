"""Function names, ARNs and qualifiers: parsing, checking, and the faults about them."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from stratolite.errors import Fault
from stratolite.service import Call, Cloud

_FUNCTION = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?"
    r"(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?"
)
_PARTS = re.compile(
    r"(?:arn:aws[a-zA-Z-]*:lambda:)?(?:(?P<region>[a-z]{2}(?:-[a-z]+)+-\d):)?(?:(?P<account>\d{12}):)?"
    r"(?:function:)?(?P<name>[a-zA-Z0-9-_]+)(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]+))?\Z"
)
_QUALIFIER = r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+"
_ALIAS = r"(?!^[0-9]+$)([a-zA-Z0-9-_]+)"
LATEST = "$LATEST"


class Ref(NamedTuple):
    """A function, and the version or alias that was asked for (None: the function itself)."""

    account: str
    region: str
    name: str
    qualifier: str | None

    @property
    def function_arn(self) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account}:function:{self.name}"

    @property
    def arn(self) -> str:
        return f"{self.function_arn}:{self.qualifier}" if self.qualifier else self.function_arn

    def measure(self, cloud: Cloud, name: str, value: float = 1.0, unit: str = "Count") -> None:
        """A sample of one of AWS/Lambda's metrics of the function.

        https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
        """
        dimensions = (("FunctionName", self.name),)
        cloud.measure(self.account, self.region, "AWS/Lambda", dimensions, name, value, unit)


def function(call: Call, given: str, qualifier: str | None = None) -> Ref:
    """What FunctionName and Qualifier name. Raises Fault as AWS does for names it does not take."""
    if len(given) > 140:
        raise too_long("functionName", given, 140)
    match = _PARTS.match(given)
    if match is None:
        raise mismatch("functionName", given, _FUNCTION)
    if qualifier is not None and not re.fullmatch(_QUALIFIER, qualifier):
        raise mismatch("qualifier", qualifier, _QUALIFIER)
    derived = match["qualifier"]
    if derived and qualifier and derived != qualifier:
        raise invalid(
            "The derived qualifier from the function name does not match the specified qualifier."
        )
    region = match["region"] or call.region
    if region != call.region:
        raise missing(
            f"Functions from '{region}' are not reachable in this region ('{call.region}')"
        )
    return Ref(match["account"] or call.account, region, match["name"], qualifier or derived)


def resource(call: Call, arn: str) -> Ref:
    """The function of TagResource and its like."""
    if not re.match(r"arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+:\d{12}:function:", arn):
        raise mismatch("resource", arn, r"arn:(aws[a-zA-Z-]*):lambda:...:function:[a-zA-Z0-9-_]+")
    ref = function(call, arn)
    if ref.qualifier:
        raise invalid(
            "Tags on function aliases and versions are not supported. Please specify a function ARN."
        )
    return ref


def check_alias(name: str) -> None:
    if len(name) > 128:
        raise too_long("name", name, 128)
    if not re.fullmatch(_ALIAS, name):
        raise mismatch("name", name, _ALIAS)


# -- faults


def missing(message: str) -> Fault:
    return Fault("ResourceNotFoundException", message, status=404, Type="User")


def no_function(ref: Ref) -> Fault:
    return missing(f"Function not found: {ref.arn}")


def invalid(message: str, **members: Any) -> Fault:
    return Fault("InvalidParameterValueException", message, status=400, Type="User", **members)


def conflict(message: str) -> Fault:
    return Fault("ResourceConflictException", message, status=409, Type="User")


def stale(source: str = "GetFunction/GetAlias") -> Fault:
    return Fault(
        "PreconditionFailedException",
        "The Revision Id provided does not match the latest Revision Id. Call the"
        f" {source} API to retrieve the latest Revision Id",
        status=412,
        Type="User",
    )


def page_size(request: dict[str, Any], most: int) -> int:
    """How many are on a page: MaxItems, and ``most`` at most. Raises Fault."""
    asked = request.get("MaxItems", most)
    if asked < 1:
        raise bad("maxItems", asked, "Member must have value greater than or equal to 1")
    return min(int(asked), most)


def bad(field: str, value: Any, constraint: str) -> Fault:
    return Fault(
        "ValidationException",
        f"1 validation error detected: Value '{value}' at '{field}' failed to satisfy constraint: {constraint}",
        status=400,
    )


def mismatch(field: str, value: str, pattern: str) -> Fault:
    return bad(field, value, f"Member must satisfy regular expression pattern: {pattern}")


def too_long(field: str, value: str, most: int) -> Fault:
    return bad(field, value, f"Member must have length less than or equal to {most}")


def not_offered(field: str) -> Fault:
    """A parameter AWS knows and we do not carry out."""
    return invalid(f"{field} is not offered by Stratolite; see docs/coverage.md")
