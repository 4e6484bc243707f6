"""What every request is checked for before its operation: its bucket, what we refuse, what a write says."""

from __future__ import annotations

from typing import Any, NamedTuple

from stratolite.errors import Fault
from stratolite.service import Call, Request
from stratolite.services.s3 import grants, lock_rules, metadata, names, state
from stratolite.services.s3.faults import (
    access_denied,
    invalid_argument,
    no_such_bucket,
    not_offered,
)
from stratolite.services.s3.state import Bucket

ENFORCED = "BucketOwnerEnforced"
PUBLIC_ACLS = frozenset({"public-read", "public-read-write", "authenticated-read"})
CANNED_ACLS = PUBLIC_ACLS | {
    "private",
    "aws-exec-read",
    "bucket-owner-read",
    "bucket-owner-full-control",
}
ALL_BLOCKED = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}
"""What AWS gives every new bucket since April 2023."""
NOTHING_BLOCKED = dict.fromkeys(ALL_BLOCKED, False)

_REFUSED = frozenset(
    {
        "WriteOffsetBytes",
    }
)
_RARE = lock_rules.ASKING | grants.HEADERS.keys() | {"ACL"}
_KEPT = frozenset(
    {
        "CacheControl",
        "ContentDisposition",
        "ContentEncoding",
        "ContentLanguage",
        "ContentType",
        "Expires",
        "WebsiteRedirectLocation",
    }
)


def bucket_of(call: Call, request: Request) -> Bucket:
    """Raises NoSuchBucket, or AccessDenied where the caller expects another owner."""
    name = request["Bucket"]
    bucket = state.bucket(call.tx, name)
    if bucket is None:
        raise no_such_bucket(name)
    expected = request.get("ExpectedBucketOwner")
    if expected is not None and expected != bucket.account:
        if len(expected) != 12 or not (expected.isascii() and expected.isdigit()):
            raise Fault(
                "InvalidBucketOwnerAWSAccountID",
                "The value of the expected bucket owner parameter must be an AWS Account ID... "
                f"[{expected}]",
                status=400,
            )
        raise access_denied()
    if "request-payment" in bucket.on:
        _check_payer(call, bucket, request)
    return bucket


def _check_payer(call: Call, bucket: Bucket, request: Request) -> None:
    """Where the requester pays, it must say that it knows."""
    if call.principal.account == bucket.account or call.principal.kind == "service":
        return
    if state.config(call.tx, bucket, "request-payment") != "Requester":
        return
    if request.get("RequestPayer") != "requester" or call.principal.kind == "anonymous":
        raise access_denied()


def payload(request: Request, member: str) -> Any:
    """The document a request carries. Raises MissingRequestBodyError."""
    found = request.get(member)
    if found is None:
        raise Fault("MissingRequestBodyError", "Request Body is empty", status=400)
    return found


def public_access_block(call: Call, bucket: Bucket) -> dict[str, bool]:
    """Of the bucket and of its account: what either blocks is blocked."""
    own = state.config(call.tx, bucket, "public-access-block") or NOTHING_BLOCKED
    of_account = state.account_block(call.tx, bucket.account)
    if of_account is None:
        return own
    return {name: own[name] or of_account[name] for name in ALL_BLOCKED}


class Attributes(NamedTuple):
    """What a write says about its object besides the body."""

    storage_class: str
    headers: dict[str, Any]
    metadata: dict[str, str]
    tags: dict[str, str]
    acl: str
    more: dict[str, Any]
    """As a head's."""


_NOTHING_MORE: dict[str, Any] = {}


def refuse_members(request: Request) -> None:
    """Members whose being ignored would cost data or secrecy."""
    for member in sorted(_REFUSED.intersection(request)):
        if request[member] is not None:  # an offset of 0 asks for it, too
            raise not_offered(f"parameter {member}")


_SAYING = _REFUSED | _KEPT | _RARE | {"StorageClass", "Metadata", "Tagging", "ACL"}


def attributes(call: Call, bucket: Bucket, request: Request) -> Attributes:
    """Of PutObject, CopyObject with REPLACE and CreateMultipartUpload. Raises Fault for what is wrong."""
    if (
        _SAYING.isdisjoint(request)
        and bucket.ownership == ENFORCED
        and "object-lock" not in bucket.on
    ):
        return Attributes("STANDARD", {}, {}, {}, "private", _NOTHING_MORE)
    if not _REFUSED.isdisjoint(request):
        refuse_members(request)
    storage_class = request.get("StorageClass") or "STANDARD"
    if storage_class != "STANDARD":
        names.check_storage_class(storage_class)
    headers = {member: request[member] for member in _KEPT.intersection(request)}
    if "ContentEncoding" in headers:
        codings = [c.strip() for c in headers["ContentEncoding"].split(",")]
        kept = [c for c in codings if c and c != "aws-chunked"]
        if len(kept) < len(codings):
            headers["ContentEncoding"] = ",".join(kept)
        if not kept:
            del headers["ContentEncoding"]
    if "WebsiteRedirectLocation" in headers:
        check_redirect(headers["WebsiteRedirectLocation"])
    given = request.get("Metadata") or {}
    if given:
        given = metadata.taken(given, of_form="_form" in request)
    tagging = request.get("Tagging")
    more = _NOTHING_MORE
    if not _RARE.isdisjoint(request) or bucket.ownership != ENFORCED or "object-lock" in bucket.on:
        more = _rare(call, bucket, request)
    return Attributes(
        storage_class,
        headers,
        given,
        names.tags_of_header(tagging) if tagging else {},
        request.get("ACL") or "private",
        more,
    )


def _rare(call: Call, bucket: Bucket, request: Request) -> dict[str, Any]:
    """What few writes say: locks, grants, and an owner other than the bucket's."""
    made = lock_rules.asked(call, bucket, request)
    given = grants.of_headers(request)
    check_acl(call, bucket, request.get("ACL"), given)
    if given is not None:
        made["grants"] = given
    who = call.principal.account
    if bucket.ownership != ENFORCED and who != bucket.account:
        handed_over = (
            bucket.ownership == "BucketOwnerPreferred"
            and request.get("ACL") == "bucket-owner-full-control"
        )
        if not handed_over:
            made["owner"] = who
    return made


def check_redirect(location: str) -> None:
    if not location.startswith(("/", "http://", "https://")):
        raise Fault(
            "InvalidRedirectLocation",
            "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.",
            status=400,
        )


def check_acl(
    call: Call, bucket: Bucket, acl: str | None, given: list[list[str]] | None = None
) -> None:
    """Whether an object may be written with this canned ACL or these grants.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/about-object-ownership.html
    """
    if acl is None and given is None:
        return
    if acl is not None and acl not in CANNED_ACLS:
        raise invalid_argument("", "x-amz-acl", acl)
    if bucket.ownership == ENFORCED:
        if acl != "bucket-owner-full-control":
            raise acl_not_supported()
    elif (
        grants.is_public(given if given is not None else acl or "private")
        and public_access_block(call, bucket)["BlockPublicAcls"]
    ):
        raise access_denied()


def acl_not_supported() -> Fault:
    return Fault("AccessControlListNotSupported", "The bucket does not allow ACLs", status=400)
