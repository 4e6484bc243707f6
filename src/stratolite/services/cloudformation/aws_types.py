"""AWS-specific parameter types: the names of things in an account, which AWS looks up before it touches anything.

Availability zones are known here and looked up. Whatever else such a type names (networks, instances, keys, hosted zones)
belongs to services that are not offered: its form is checked, and that it is there is not (docs/decisions/0038-parameter-types.md).
Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-supplied-parameter-types.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from stratolite.services.cloudformation.places import Misplaced

ZONE = "AWS::EC2::AvailabilityZone::Name"
_NAME = r"[\x20-\x7e]{1,255}"
_FORMS = {
    ZONE: r".+",
    "AWS::EC2::Image::Id": r"ami-[0-9a-f]{8,17}",
    "AWS::EC2::Instance::Id": r"i-[0-9a-f]{8,17}",
    "AWS::EC2::KeyPair::KeyName": _NAME,
    "AWS::EC2::SecurityGroup::GroupName": _NAME,
    "AWS::EC2::SecurityGroup::Id": r"sg-[0-9a-f]{8,17}",
    "AWS::EC2::Subnet::Id": r"subnet-[0-9a-f]{8,17}",
    "AWS::EC2::VPC::Id": r"vpc-[0-9a-f]{8,17}",
    "AWS::EC2::Volume::Id": r"vol-[0-9a-f]{8,17}",
    "AWS::Route53::HostedZone::Id": r"Z[0-9A-Z]{1,31}",
}
_NO_LIST = frozenset({"AWS::EC2::KeyPair::KeyName"})


def is_type(kind: str) -> bool:
    """Whether AWS has the type, alone or as a list."""
    inner = kind.removeprefix("List<").removesuffix(">")
    return inner in _FORMS and (
        inner == kind or (kind == f"List<{inner}>" and inner not in _NO_LIST)
    )


def thing_of(kind: str) -> str:
    """What the parameter names, "" if nothing of AWS's: ``AWS::EC2::VPC::Id`` of ``List<AWS::EC2::VPC::Id>``."""
    kind = kind.removeprefix("AWS::SSM::Parameter::Value<").removeprefix("List<").rstrip(">")
    return kind if kind in _FORMS else ""


def zones(region: str) -> list[str]:
    return [f"{region}{letter}" for letter in "abc"]


def check_existing(region: str, declared: Mapping[str, Any], parsed: Mapping[str, Any]) -> None:
    """Raises Fault, in AWS's words, for a value of which nothing can be there. ``parsed`` has lists for list types."""
    for name, value in parsed.items():
        thing = thing_of(declared[name]["Type"])
        for part in (value if isinstance(value, list) else [value]) if thing else ():
            fits = re.fullmatch(_FORMS[thing], part) and (thing != ZONE or part in zones(region))
            if not fits:
                raise Misplaced(
                    f"Parameter validation failed: parameter value {part} for parameter name {name} does not exist",
                    ("Parameters", name),
                )


def unverified(declared: Mapping[str, Any]) -> dict[str, str]:
    """Parameter -> what it names that nobody here can look up."""
    return {
        name: thing
        for name, what in declared.items()
        if (thing := thing_of(what["Type"])) and thing != ZONE
    }
