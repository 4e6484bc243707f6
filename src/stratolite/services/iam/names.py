"""IAM's rules for names, paths, ids and documents, with AWS's words for breaking them.

Source  https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
"""

from __future__ import annotations

import base64
import re

from stratolite.clock import World
from stratolite.errors import Fault
from stratolite.policy import Document, Malformed
from stratolite.policy.grammar import check_identity, check_trust
from stratolite.service import Request

_NAME = re.compile(r"[\w+=,.@-]+\Z", re.ASCII)
_PATH = re.compile(r"(/|/[\x21-\x7e]+/)\Z")
_ID_PREFIX = {
    "role": "AROA",
    "user": "AIDA",
    "policy": "ANPA",
    "group": "AGPA",
    "instance-profile": "AIPA",
    "server-certificate": "ASCA",
    "ssh-key": "APKA",
}
TITLES = {"role": "Role", "user": "User", "policy": "Policy", "group": "Group"}
MAKING = frozenset(
    {"CreateRole", "CreateUser", "CreateGroup", "CreateInstanceProfile", "CreatePolicy", "FindRole"}
)
"""Operations with the name of something that is to be new, and STS's, which has it from an ARN."""
_NAMES = ("RoleName", "UserName", "GroupName", "PolicyName", "InstanceProfileName", "ServerCertificateName")  # fmt: skip
_NAME_LENGTH_MAX = {"role": 64, "user": 64, "policy": 128, "group": 128}


def check_name(field: str, name: str, length_max: int) -> None:
    if len(name) > length_max:
        raise Fault(
            "ValidationError",
            f"1 validation error detected: Value '{name}' at '{field}' failed to satisfy constraint:"
            f" Member must have length less than or equal to {length_max}",
        )
    _check_characters(field, name)


def check_names(request: Request) -> None:
    """Raises Fault if something is asked for by a name that nothing can have."""
    for member in _NAMES:
        if name := request.get(member):
            _check_characters(member[0].lower() + member[1:], name)


def _check_characters(field: str, name: str) -> None:
    if not _NAME.match(name):
        raise Fault(
            "ValidationError",
            f"The specified value for {field} is invalid. It must contain only alphanumeric"
            " characters and/or the following: +=,.@_-",
        )


def check_one_of(field: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise Fault(
            "ValidationError",
            f"1 validation error detected: Value '{value}' at '{field}' failed to satisfy constraint:"
            f" Member must satisfy enum value set: [{', '.join(allowed)}]",
        )


def check_holder_name(kind: str, name: str) -> None:
    check_name(f"{kind}Name", name, _NAME_LENGTH_MAX[kind])


def check_path(path: str) -> str:
    if path.startswith(
        "/aws-service-role/"
    ):  # beyond service control policies: not for everybody to make
        raise Fault(
            "ValidationError", "The path /aws-service-role/ is reserved for service-linked roles."
        )
    if not _PATH.match(path) or len(path) > 512:
        raise Fault(
            "ValidationError",
            "The specified value for path is invalid. It must begin and end with / and contain only"
            " alphanumeric characters and/or / characters.",
        )
    return path


def new_id(world: World, kind: str) -> str:
    """AROA..., AIDA...: 21 characters."""
    return _ID_PREFIX[kind] + base64.b32encode(world.token(11))[:17].decode()


def arn(account: str, kind: str, path: str, name: str) -> str:
    return f"arn:aws:iam::{account}:{kind}{path}{name}"


def check_document(text: str, *, trust: bool = False, is_managed: bool = False) -> None:
    """Raises Fault MalformedPolicyDocument in AWS's words."""
    try:
        if trust:
            check_trust(text)
        else:
            check_identity(text, is_managed=is_managed)
        Document.parse(text, has_principal=trust)
    except Malformed as error:
        raise Fault("MalformedPolicyDocument", str(error)) from error


def missing(kind: str, name: str) -> Fault:
    if kind == "policy":
        return Fault("NoSuchEntity", f"Policy {name} does not exist or is not attachable.")
    if kind == "mfa":
        return Fault("NoSuchEntity", f"MFA Device with serial number {name} does not exist.")
    if kind == "instance-profile":
        return Fault("NoSuchEntity", f"Instance Profile {name} cannot be found.")
    return Fault("NoSuchEntity", f"The {kind} with name {name} cannot be found.")
