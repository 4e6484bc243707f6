"""What every request is checked for before its operation: its bucket, what we refuse, what a write says."""

from __future__ import annotations

from typing import Any, NamedTuple

from stratolite.errors import Fault
from stratolite.service import Call, Request
from stratolite.services.s3 import names, state
from stratolite.services.s3.faults import (
    access_denied,
    invalid_argument,
    invalid_request,
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

_CUSTOMER_KEYS = (
    "SSECustomerAlgorithm",
    "SSECustomerKey",
    "SSECustomerKeyMD5",
    "CopySourceSSECustomerAlgorithm",
    "CopySourceSSECustomerKey",
    "CopySourceSSECustomerKeyMD5",
)
_KMS = ("SSEKMSKeyId", "SSEKMSEncryptionContext", "BucketKeyEnabled")
_LOCK = (
    "ObjectLockMode",
    "ObjectLockRetainUntilDate",
    "ObjectLockLegalHoldStatus",
    "ObjectLockEventHold",
    "ObjectLockEventHoldDurationDays",
    "ObjectLockEventHoldDurationYears",
)
_GRANTS = ("GrantFullControl", "GrantRead", "GrantReadACP", "GrantWrite", "GrantWriteACP")
_REFUSED = frozenset((*_CUSTOMER_KEYS, *_KMS, *_LOCK, *_GRANTS, "WriteOffsetBytes"))
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
        raise access_denied()
    return bucket


def payload(request: Request, member: str) -> Any:
    """The document a request carries. Raises MissingRequestBodyError."""
    found = request.get(member)
    if found is None:
        raise Fault("MissingRequestBodyError", "Request Body is empty", status=400)
    return found


def public_access_block(call: Call, bucket: Bucket) -> dict[str, bool]:
    return state.config(call.tx, bucket, "public-access-block") or NOTHING_BLOCKED


def check_version_id(version_id: str | None) -> None:
    """In a bucket without versioning the one version is called ``null``."""
    if version_id not in (None, "", "null"):
        raise invalid_argument("Invalid version id specified", "versionId", version_id)


class Attributes(NamedTuple):
    """What a write says about its object besides the body."""

    storage_class: str
    headers: dict[str, Any]
    metadata: dict[str, str]
    tags: dict[str, str]
    acl: str


def refuse_members(request: Request) -> None:
    """Members whose being ignored would cost data or secrecy."""
    for member in _REFUSED.intersection(request):
        if not request[member]:
            continue
        if member in _LOCK:
            raise invalid_request("Bucket is missing Object Lock Configuration")
        raise not_offered(f"parameter {member}")
    encryption = request.get("ServerSideEncryption")
    if encryption is None or encryption == "AES256":
        return
    if encryption in ("aws:kms", "aws:kms:dsse", "aws:fsx", "aws:backup"):
        raise not_offered(f"ServerSideEncryption {encryption}")
    raise invalid_argument(
        "The encryption method specified is not supported",
        "x-amz-server-side-encryption",
        encryption,
    )


def attributes(request: Request) -> Attributes:
    """Of PutObject, CopyObject with REPLACE and CreateMultipartUpload. Raises Fault for what is wrong."""
    refuse_members(request)
    storage_class = request.get("StorageClass") or "STANDARD"
    if storage_class != "STANDARD":
        names.check_storage_class(storage_class)
    headers = {member: request[member] for member in _KEPT.intersection(request)}
    if "ContentEncoding" in headers:
        codings = [c.strip() for c in headers["ContentEncoding"].split(",")]
        kept = ",".join(c for c in codings if c and c != "aws-chunked")
        headers["ContentEncoding"] = kept
        if not kept:
            del headers["ContentEncoding"]
    if "WebsiteRedirectLocation" in headers:
        check_redirect(headers["WebsiteRedirectLocation"])
    metadata = request.get("Metadata") or {}
    if metadata:
        metadata = {name.lower(): value for name, value in metadata.items()}
        names.check_metadata(metadata)
    tagging = request.get("Tagging")
    return Attributes(
        storage_class,
        headers,
        metadata,
        names.tags_of_header(tagging) if tagging else {},
        request.get("ACL") or "private",
    )


def check_redirect(location: str) -> None:
    if not location.startswith(("/", "http://", "https://")):
        raise Fault(
            "InvalidRedirectLocation",
            "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.",
            status=400,
        )


def check_acl(call: Call, bucket: Bucket, acl: str | None) -> None:
    """Whether an object may be written with this canned ACL.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/about-object-ownership.html
    """
    if acl is None:
        return
    if acl not in CANNED_ACLS:
        raise invalid_argument("", "x-amz-acl", acl)
    if bucket.ownership == ENFORCED:
        if acl != "bucket-owner-full-control":
            raise acl_not_supported()
    elif acl in PUBLIC_ACLS and public_access_block(call, bucket)["BlockPublicAcls"]:
        raise access_denied()


def acl_not_supported() -> Fault:
    return Fault("AccessControlListNotSupported", "The bucket does not allow ACLs", status=400)
