"""Whether a new document is a policy AWS would take, and in its words why not.

``Document.parse`` is more lenient: what is stored must go on to open. The order of the checks is AWS's, as its recorded
answers show it (tests/policy/test_grammar.py).

Source  https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from stratolite.policy.conditions import OPERATORS
from stratolite.policy.document import Malformed

_SYNTAX = "Syntax errors in policy."
_OLD = "Policy document must be version 2012-10-17 or greater."
_LEGACY = "The policy failed legacy parsing"
_FIELDS = {
    "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition",
}  # fmt: skip
_PARTITIONS = {"aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "*"}
_VENDOR = re.compile(r"[\w.*?-]+", re.ASCII)
_DATE = re.compile(
    r"\d{2,4}(-(0[1-9]|1[0-2])(-\d{2})?)?([Tt](\d{1,2}(:\d{2}(:\d{2}(\.\d{1,9})?)?)?)?([Zz]|[+-]\d{2}(:?\d{2})?)?)?",
    re.ASCII,
)
_IAM_PATHS = (
    "user/", "federated-user/", "role/", "group/", "instance-profile/", "mfa/", "server-certificate/", "policy/",
    "sms-mfa/", "saml-provider/", "oidc-provider/", "report/", "access-report/",
)  # fmt: skip
_SID = re.compile(r"[0-9A-Za-z]*")
_TRUST_ACTION = re.compile(
    r"sts:(\*|assumerole[\w*?]*|tagsession|setsourceidentity|setcontext)", re.IGNORECASE | re.ASCII
)


def check_identity(text: str, *, is_managed: bool = False) -> None:
    """An identity policy, a boundary, a session policy. Raises Malformed.

    A managed policy must say its version; an inline one need not: SAM's policy templates do not, and deploy on AWS.
    """
    statements = _shaped(_loaded(text, _SYNTAX), old=False, versioned=is_managed)
    for statement in statements:
        _legacy(statement)
    _plain(statements)
    _unique(statements)
    for statement in statements:
        if "Principal" in statement or "NotPrincipal" in statement:
            raise Malformed("Policy document should not specify a principal.")
        if not _values(statement, "Action"):
            raise Malformed("Policy statement must contain actions.")
    for statement in statements:
        if not _values(statement, "Resource"):
            raise Malformed("Policy statement must contain resources.")
    for statement in statements:
        for resource in _values(statement, "Resource"):
            _resource(resource)
    for statement in statements:
        for action in _values(statement, "Action"):
            _action(action)


def check_trust(text: str) -> None:
    """The trust policy of a role. Raises Malformed."""
    statements = _shaped(_loaded(text, "This policy contains invalid Json"), old=True)
    for statement in statements:
        for field in ("Resource", "NotResource"):
            if field in statement:
                raise Malformed(f"Has prohibited field {field}")
        _legacy(statement)
    _unique(statements)
    for statement in statements:
        if "Principal" not in statement and "NotPrincipal" not in statement:
            raise Malformed("Missing required field Principal")
        if not _values(statement, "Action"):
            raise Malformed("Policy statement must contain actions.")
        for action in _values(statement, "Action"):
            _action(action)
            if not _TRUST_ACTION.fullmatch(action):
                raise Malformed("AssumeRole policy may only specify STS AssumeRole actions.")


def _loaded(text: str, otherwise: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Malformed(otherwise) from error


def _shaped(data: Any, *, old: bool, versioned: bool = False) -> list[dict[str, Any]]:
    """The statements of a document whose parts are of the right types."""
    if not isinstance(data, dict) or data.keys() - {"Version", "Id", "Statement"}:
        raise Malformed(_SYNTAX)
    if not isinstance(data.get("Id", ""), str):
        raise Malformed(_SYNTAX)
    if data.get("Version", "2008-10-17") not in ("2012-10-17", "2008-10-17"):
        raise Malformed(_SYNTAX)
    raw: Any = data.get("Statement")
    statements: list[Any] = raw if isinstance(raw, list) else [raw]
    if not statements or not all(isinstance(s, dict) for s in statements):
        raise Malformed(_SYNTAX)
    for statement in statements:
        _types(statement)
    unsaid = "2008-10-17" if versioned else "2012-10-17"
    if not old and data.get("Version", unsaid) != "2012-10-17":
        raise Malformed(_OLD)
    return statements


def _types(statement: dict[str, Any]) -> None:
    if statement.keys() - _FIELDS or not isinstance(statement.get("Sid", ""), str):
        raise Malformed(_SYNTAX)
    if str(statement.get("Effect")).lower() not in ("allow", "deny"):
        raise Malformed(_SYNTAX)
    for field in ("Action", "Resource", "Principal"):
        if field in statement and f"Not{field}" in statement:
            raise Malformed(_SYNTAX)
    for field in ("Action", "NotAction", "Resource", "NotResource"):
        values = statement.get(field, [])
        if not all(isinstance(v, str) for v in (values if isinstance(values, list) else [values])):
            raise Malformed(_SYNTAX)
    for _, _, values in _conditions(statement):
        if any(isinstance(v, dict | list) or v is None for v in values):
            raise Malformed(_SYNTAX)


def _conditions(statement: dict[str, Any]) -> Iterator[tuple[str, str, list[Any]]]:
    """(operator without its trimmings, key, values). An operator without keys may be any."""
    raw = statement.get("Condition", {})
    if not isinstance(raw, dict):
        raise Malformed(_SYNTAX)
    for operator, keys in raw.items():
        if not isinstance(keys, dict):
            raise Malformed(_SYNTAX)
        quantifier, _, rest = operator.rpartition(":")
        base = rest.removesuffix("IfExists")
        if keys and (
            base not in OPERATORS
            or quantifier not in ("", "ForAnyValue", "ForAllValues")
            or (base == "Null" and rest != operator)
        ):
            raise Malformed(_SYNTAX)
        for key, values in keys.items():
            yield base, key, values if isinstance(values, list) else [values]


def _legacy(statement: dict[str, Any]) -> None:
    if statement["Effect"] not in ("Allow", "Deny"):
        raise Malformed(_LEGACY)
    for operator, _, values in _conditions(statement):
        if operator.startswith("Date") and not all(_is_date(str(v)) for v in values):
            raise Malformed(_LEGACY)
    for resource in _values(statement, "Resource"):
        parts = resource.split(":", 5)
        if parts[:2] == ["arn", "aws"] and (len(parts) == 5 or parts[2:3] == [""]):
            raise Malformed(_LEGACY)


def _is_date(text: str) -> bool:
    if "${" in text:
        return True
    if text.isdigit() and len(text) > 4:
        return int(text) < 1 << 63
    return _DATE.fullmatch(text) is not None


def _plain(statements: list[dict[str, Any]]) -> None:
    if not all(_SID.fullmatch(s.get("Sid", "")) for s in statements):
        raise Malformed(
            "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*"
        )


def _unique(statements: list[dict[str, Any]]) -> None:
    sids = [s["Sid"] for s in statements if s.get("Sid")]
    if len(sids) != len(set(sids)):
        raise Malformed("Statement IDs (SID) in a single policy must be unique.")


def _values(statement: dict[str, Any], field: str) -> list[str]:
    values = statement.get(field, statement.get(f"Not{field}", []))
    return values if isinstance(values, list) else [values]


def _resource(resource: str) -> None:
    if resource == "*":
        return
    if ":" not in resource:
        raise Malformed(f'Resource {resource} must be in ARN format or "*".')
    _, *parts = resource.split(":", 5)
    partition, vendor, region, _, name = parts + ["*"] * (5 - len(parts))
    if partition not in _PARTITIONS:
        whole = ":".join(["arn", *parts, *["*"] * (5 - len(parts))])
        raise Malformed(f'Partition "{partition}" is not valid for resource "{whole}".')
    if "*" in vendor or "?" in vendor:
        raise Malformed("Resource vendor must be fully qualified and cannot contain regexes.")
    if vendor == "iam":
        if region not in ("", "*"):
            raise Malformed(f"IAM resource {resource} cannot contain region information.")
        if name not in ("*", "root") and not name.startswith(_IAM_PATHS) and "*" not in name:
            raise Malformed(
                'IAM resource path must either be "*", root, or start with '
                + ", ".join(_IAM_PATHS)
                + "."
            )
    if vendor == "s3" and region not in ("", "*") and name.count(":") == 0:
        kinds = ("accesspoint/", "job/", "storage-lens", "async-request/", "access-grants")
        if not name.startswith(kinds):
            raise Malformed(f"Resource {resource} can not contain region information.")


def _action(action: str) -> None:
    if action == "*":
        return
    vendor, colon, name = action.partition(":")
    if not colon:
        raise Malformed(
            "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
        )
    if ":" in name:
        raise Malformed("Actions/Condition can contain only one colon.")
    if not _VENDOR.fullmatch(vendor):
        raise Malformed(f"Vendor {vendor} is not valid")
