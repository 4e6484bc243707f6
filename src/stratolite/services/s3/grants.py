"""ACLs: owners, grants and canned ACLs, as requests say them, as they are kept and shown, and whom they let in.

A grant is kept as [kind, id, permission]: kind CanonicalUser with the 64 hex digits of an account's canonical user,
or Group with its URI. An ACL is kept as the name of a canned one, or as a list of grants.
Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Principal, Request
from stratolite.services.s3.faults import invalid_argument, invalid_request

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
_LOG_DELIVERY = "http://acs.amazonaws.com/groups/s3/LogDelivery"
_GROUPS = (ALL_USERS, AUTHENTICATED, _LOG_DELIVERY)
GRANTS_COUNT_MAX = 100
PERMISSIONS = ("FULL_CONTROL", "READ", "WRITE", "READ_ACP", "WRITE_ACP")
HEADERS = {
    "GrantFullControl": "FULL_CONTROL",
    "GrantRead": "READ",
    "GrantReadACP": "READ_ACP",
    "GrantWrite": "WRITE",
    "GrantWriteACP": "WRITE_ACP",
}
Grant = Sequence[str]
Acl = str | list[list[str]]

_BUCKET_OWNERS = {"bucket-owner-read": "READ", "bucket-owner-full-control": "FULL_CONTROL"}
_CANNED: dict[str, tuple[Grant, ...]] = {
    "public-read": (("Group", ALL_USERS, "READ"),),
    "public-read-write": (("Group", ALL_USERS, "READ"), ("Group", ALL_USERS, "WRITE")),
    "authenticated-read": (("Group", AUTHENTICATED, "READ"),),
    "log-delivery-write": (
        ("Group", _LOG_DELIVERY, "WRITE"),
        ("Group", _LOG_DELIVERY, "READ_ACP"),
    ),
}
_CANONICAL_ID = re.compile(r"[0-9a-f]{64}")
_GRANTEE = re.compile(r'\s*(id|uri|emailAddress)\s*=\s*"?([^",]*)"?\s*', re.IGNORECASE)


@lru_cache(maxsize=1000)
def canonical_id(account: str) -> str:
    """An account's canonical user: 64 hex digits, the same for ever."""
    return hashlib.sha256(b"s3 canonical user " + account.encode()).hexdigest()


def initiator(who: Principal) -> str:
    """Of an upload: an account's canonical user, or the ARN of who acts for it."""
    return canonical_id(who.account) if who.kind in ("root", "anonymous") else who.arn


def owner(account: str) -> dict[str, str]:
    return {"ID": canonical_id(account)}


def grants_of(acl: Acl, object_owner: str, bucket_owner: str) -> list[list[str]]:
    """All grants of a canned or explicit ACL; the owners are accounts."""
    if not isinstance(acl, str):
        return acl
    mine = ["CanonicalUser", canonical_id(object_owner), "FULL_CONTROL"]
    if acl in _BUCKET_OWNERS:
        if object_owner == bucket_owner:
            return [mine]
        return [mine, ["CanonicalUser", canonical_id(bucket_owner), _BUCKET_OWNERS[acl]]]
    return [mine, *([*grant] for grant in _CANNED.get(acl, ()))]


def shown(acl: Acl, object_owner: str, bucket_owner: str) -> dict[str, Any]:
    """GetBucketAcl's and GetObjectAcl's answer."""
    listed = []
    for kind, name, permission in grants_of(acl, object_owner, bucket_owner):
        grantee = {"Type": kind, "ID" if kind == "CanonicalUser" else "URI": name}
        listed.append({"Grantee": grantee, "Permission": permission})
    return {"Owner": owner(object_owner), "Grants": listed}


# -- what requests say


def of_headers(request: Request) -> list[list[str]] | None:
    """The grants of x-amz-grant-* headers, None without any. Raises Fault."""
    given = [(member, HEADERS[member]) for member in HEADERS if request.get(member)]
    if not given:
        return None
    if request.get("ACL"):
        raise invalid_request("Specifying both Canned ACLs and Header Grants is not allowed")
    made: list[list[str]] = []
    for member, permission in given:
        for one in request[member].split(","):
            found = _GRANTEE.fullmatch(one)
            if found is None:
                raise invalid_argument(
                    "Argument format not recognized",
                    f"x-amz-grant-{permission.lower().replace('_', '-')}",
                    request[member],
                )
            kind = found[1].lower()
            made.append([*_grantee(kind, found[2], kind), permission])
    return _bounded(made)


def of_policy(policy: dict[str, Any], object_owner: str) -> list[list[str]]:
    """The grants of an AccessControlPolicy, which names the owner. Raises Fault."""
    owner_id = (policy.get("Owner") or {}).get("ID")
    if owner_id is None or policy.get("Grants") is None:
        raise _malformed()
    if owner_id != canonical_id(object_owner):
        if not _CANONICAL_ID.fullmatch(owner_id):
            raise invalid_argument("Invalid id", "CanonicalUser/ID", owner_id)
        raise Fault("AccessDenied", "Access Denied", status=403)
    made: list[list[str]] = []
    for grant in policy["Grants"]:
        grantee, permission = grant.get("Grantee") or {}, grant.get("Permission")
        if permission not in PERMISSIONS:
            raise _malformed()
        kind = grantee.get("Type")
        if kind == "CanonicalUser":
            made.append([*_grantee("id", grantee.get("ID") or "", "CanonicalUser/ID"), permission])
        elif kind == "Group":
            made.append([*_grantee("uri", grantee.get("URI") or "", "Group/URI"), permission])
        elif kind == "AmazonCustomerByEmail":
            made.append(
                [*_grantee("emailaddress", grantee.get("EmailAddress") or "", ""), permission]
            )
        else:
            raise _malformed()
    return _bounded(made)


def _malformed() -> Fault:
    """LocalStack's recorded test_s3_bucket_acl_exceptions."""
    return Fault(
        "MalformedACLError",
        "The XML you provided was not well-formed or did not validate against our published schema",
        status=400,
    )


def missing() -> Fault:
    """Of a request that says no ACL in any way."""
    return Fault(
        "MissingSecurityHeader",
        "Your request was missing a required header",
        status=400,
        MissingHeaderName="x-amz-acl",
    )


def said_twice() -> Fault:
    return Fault("UnexpectedContent", "This request does not support content", status=400)


def _bounded(grants: list[list[str]]) -> list[list[str]]:
    if len(grants) > GRANTS_COUNT_MAX:
        raise _malformed()
    return grants


def _grantee(kind: str, name: str, argument: str) -> tuple[str, str]:
    if kind == "id":
        if not _CANONICAL_ID.fullmatch(name):
            raise invalid_argument("Invalid id", argument, name)
        return "CanonicalUser", name
    if kind == "uri":
        if name not in _GROUPS:
            raise invalid_argument("Invalid group uri", argument, name)
        return "Group", name
    raise Fault(
        "UnresolvableGrantByEmailAddress",
        "The e-mail address you provided does not match any account on record.",
        status=400,
    )


def is_public(acl: Acl) -> bool:
    if isinstance(acl, str):
        return acl in ("public-read", "public-read-write", "authenticated-read")
    return any(name in (ALL_USERS, AUTHENTICATED) for _, name, _ in acl)


# -- whom they let in

_ON_BUCKET = {
    "READ": ("s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"),
    "READ_ACP": ("s3:GetBucketAcl",),
    "WRITE_ACP": ("s3:PutBucketAcl",),
}
_BELOW_BUCKET = {"WRITE": ("s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion")}
_ON_OBJECT = {
    "READ": ("s3:GetObject", "s3:GetObjectVersion"),
    "READ_ACP": ("s3:GetObjectAcl", "s3:GetObjectVersionAcl"),
    "WRITE_ACP": ("s3:PutObjectAcl", "s3:PutObjectVersionAcl"),
}


def statements(
    grants: Iterable[Grant], who: Principal, arn: str, *, is_object: bool, no_public: bool
) -> list[dict[str, Any]]:
    """What the grants allow this very principal, as statements of a bucket policy."""
    mine = {ALL_USERS}
    if who.kind != "anonymous":
        mine |= {AUTHENTICATED, canonical_id(who.account)}
    if no_public:
        mine -= {ALL_USERS, AUTHENTICATED}
    held = {permission for _, name, permission in grants if name in mine}
    if "FULL_CONTROL" in held:
        held = set(PERMISSIONS)
    found = []
    for table, resource in (
        ((_ON_OBJECT, arn),) if is_object else ((_ON_BUCKET, arn), (_BELOW_BUCKET, f"{arn}/*"))
    ):
        actions = [a for permission in sorted(held) for a in table.get(permission, ())]
        if actions:
            found.append(
                {"Effect": "Allow", "Principal": "*", "Action": actions, "Resource": resource}
            )
    return found
