"""Owners and ACLs as S3 shows them, and what a canned ACL grants, said as policy statements.

Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#canned-acl
"""

from __future__ import annotations

import hashlib
from typing import Any

from stratolite.services.s3.state import Bucket

_ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
_AUTHENTICATED = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
_LOG_DELIVERY = "http://acs.amazonaws.com/groups/s3/LogDelivery"


def owner(account: str) -> dict[str, str]:
    """An account's canonical user: 64 hex digits, the same for ever."""
    return {"ID": hashlib.sha256(b"s3 canonical user " + account.encode()).hexdigest()}


def policy_of_acl(bucket: Bucket, acl: str) -> dict[str, Any]:
    """GetBucketAcl's and GetObjectAcl's answer for a canned ACL."""
    who = owner(bucket.account)
    grants: list[dict[str, Any]] = [
        {"Grantee": {"Type": "CanonicalUser", **who}, "Permission": "FULL_CONTROL"}
    ]
    for group, permission in {
        "public-read": [(_ALL_USERS, "READ")],
        "public-read-write": [(_ALL_USERS, "READ"), (_ALL_USERS, "WRITE")],
        "authenticated-read": [(_AUTHENTICATED, "READ")],
        "log-delivery-write": [(_LOG_DELIVERY, "WRITE"), (_LOG_DELIVERY, "READ_ACP")],
    }.get(acl, []):
        grants.append({"Grantee": {"Type": "Group", "URI": group}, "Permission": permission})
    return {"Owner": who, "Grants": grants}


def statements_of_acl(acl: str, resource: str, *, is_object: bool) -> list[dict[str, Any]]:
    """What a canned ACL allows others, as statements of a bucket policy."""
    if acl not in ("public-read", "public-read-write"):
        return []
    if is_object:
        actions = ["s3:GetObject"]
        return [{"Effect": "Allow", "Principal": "*", "Action": actions, "Resource": resource}]
    found = [
        {
            "Effect": "Allow",
            "Principal": "*",
            "Action": ["s3:ListBucket", "s3:ListBucketMultipartUploads"],
            "Resource": resource,
        }
    ]
    if acl == "public-read-write":
        found.append(
            {
                "Effect": "Allow",
                "Principal": "*",
                "Action": ["s3:PutObject", "s3:DeleteObject"],
                "Resource": f"{resource}/*",
            }
        )
    return found
