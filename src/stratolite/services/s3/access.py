"""What IAM must allow for each request, whose a bucket is, and the policy attached to it.

Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from stratolite.clock import iso
from stratolite.service import Access, Call, Request, Service
from stratolite.services.s3 import (
    grants,
    journal,
    metadata_tables,
    names,
    points,
    state,
    table_buckets,
)
from stratolite.services.s3.copying import copy_source, takes_annotations
from stratolite.services.s3.entry import ENFORCED, public_access_block
from stratolite.services.s3.faults import no_such_bucket
from stratolite.services.s3.object_marks import acl_of
from stratolite.services.s3.public import parse_public
from stratolite.services.s3.state import Bucket

ARN = "arn:aws:s3:::"
_TABLES = "arn:aws:s3tables:"

# Operation -> action on the object, where it is not called as the operation.
_ON_OBJECT = {
    "PutObject": "PutObject",
    "GetObject": "GetObject",
    "HeadObject": "GetObject",
    "GetObjectAttributes": "GetObject",
    "DeleteObject": "DeleteObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "AbortMultipartUpload": "AbortMultipartUpload",
    "ListParts": "ListMultipartUploadParts",
    "GetObjectTagging": "GetObjectTagging",
    "PutObjectTagging": "PutObjectTagging",
    "DeleteObjectTagging": "DeleteObjectTagging",
    "GetObjectAcl": "GetObjectAcl",
    "PutObjectAcl": "PutObjectAcl",
    "GetObjectRetention": "GetObjectRetention",
    "PutObjectRetention": "PutObjectRetention",
    "GetObjectLegalHold": "GetObjectLegalHold",
    "PutObjectLegalHold": "PutObjectLegalHold",
    "RestoreObject": "RestoreObject",
    "UpdateObjectEncryption": "UpdateObjectEncryption",
    "PutObjectAnnotation": "PutObjectAnnotation",
    "GetObjectAnnotation": "GetObjectAnnotation",
    "ListObjectAnnotations": "ListObjectAnnotations",
    "DeleteObjectAnnotation": "DeleteObjectAnnotation",
    "SelectObjectContent": "GetObject",
    "ComputeChecksum": "GetObject",
    "InitiateReplication": "InitiateReplication",
    "ReplicateObject": "ReplicateObject",
    "ReplicateDelete": "ReplicateDelete",
    "ReplicateTags": "ReplicateTags",
    "GetObjectVersionForReplication": "GetObjectVersionForReplication",
}
# Actions that are called otherwise for a version that is named.
_OF_VERSION = {
    action: action.replace("Object", "ObjectVersion", 1)
    for action in (
        "GetObject",
        "DeleteObject",
        "GetObjectTagging",
        "PutObjectTagging",
        "DeleteObjectTagging",
        "GetObjectAcl",
        "PutObjectAcl",
        "GetObjectAnnotation",
        "ListObjectAnnotations",
        "PutObjectAnnotation",
        "DeleteObjectAnnotation",
    )
}
# Operation -> action on the bucket, where it is not called as the operation.
_ON_BUCKET = {
    "HeadBucket": "ListBucket",
    "ListForBatch": "PutInventoryConfiguration",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "GetBucketCors": "GetBucketCORS",
    "PutBucketCors": "PutBucketCORS",
    "DeleteBucketCors": "PutBucketCORS",
    "DeleteBucketTagging": "PutBucketTagging",
    "GetBucketAbac": "GetBucketABAC",
    "PutBucketAbac": "PutBucketABAC",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "GetBucketLifecycle": "GetLifecycleConfiguration",
    "PutBucketLifecycle": "PutLifecycleConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "PutBucketReplication": "PutReplicationConfiguration",
    "DeleteBucketReplication": "PutReplicationConfiguration",
    "PutBucketAccelerateConfiguration": "PutAccelerateConfiguration",
    "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
    **{
        f"{verb}Bucket{kind}Configuration{plural}": f"{action}{kind}Configuration"
        for kind in ("Inventory", "Analytics", "Metrics", "IntelligentTiering")
        for verb, action, plural in (
            ("Get", "Get", ""),
            ("List", "Get", "s"),
            ("Put", "Put", ""),
            ("Delete", "Put", ""),
        )
    },
    "GetBucketReplication": "GetReplicationConfiguration",
    "GetBucketAccelerateConfiguration": "GetAccelerateConfiguration",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
}
_WITH_ATTRIBUTES = frozenset({"PutObject", "CopyObject", "CreateMultipartUpload"})


_CREATES = {
    "PutObject": ["true"],
    "CopyObject": ["true"],
    "CompleteMultipartUpload": ["true"],
    "CreateMultipartUpload": ["false"],
    "UploadPart": ["false"],
    "UploadPartCopy": ["false"],
}
"""s3:ObjectCreationOperation, by which policies ask for conditional writes and let parts through.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
"""
_FROM_ELSEWHERE = frozenset({"CopyObject", "UploadPartCopy"})
_POLICY_OPERATIONS = frozenset({"GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy"})


_OF_CONTROL = ("KeepAccessPoint", "DropAccessPoint", "KeepAccountBlock")
"""S3 Control's, for what it keeps with us; it has asked already. No request from outside names them."""


def _through(bucket: Bucket | None, action: str, resource: str, below: str) -> list[Access]:
    """The action on the resource, and on the access point by which it was named."""
    needed = [(action, resource)]
    if bucket is not None and bucket.point is not None:
        needed.append((action, f"{bucket.point.arn}{below}"))
    return needed


_BY_INITIATOR = frozenset({"AbortMultipartUpload", "ListParts"})


def _to_create(request: Request) -> list[str]:
    """What a new bucket needs for what is set on it at once.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
    """
    more = []
    if request.get("ACL", "private") != "private" or not grants.HEADERS.keys().isdisjoint(request):
        more.append("s3:PutBucketAcl")
    if request.get("ObjectLockEnabledForBucket"):
        more += ["s3:PutBucketObjectLockConfiguration", "s3:PutBucketVersioning"]
    if request.get("ObjectOwnership"):
        more.append("s3:PutBucketOwnershipControls")
    if (request.get("CreateBucketConfiguration") or {}).get("Tags"):
        more.append("s3:TagResource")
    return more


def _is_root_of(call: Call, bucket: Bucket) -> bool:
    return call.principal.kind == "root" and call.principal.account == bucket.account


# Member of a request -> condition key.
_CONDITION_KEYS = {
    "Prefix": "s3:prefix",
    "Delimiter": "s3:delimiter",
    "MaxKeys": "s3:max-keys",
    "VersionId": "s3:versionid",
    "ACL": "s3:x-amz-acl",
    "StorageClass": "s3:x-amz-storage-class",
    "ServerSideEncryption": "s3:x-amz-server-side-encryption",
    "CopySource": "s3:x-amz-copy-source",
    "MetadataDirective": "s3:x-amz-metadata-directive",
    "WebsiteRedirectLocation": "s3:x-amz-website-redirect-location",
    "ObjectOwnership": "s3:x-amz-object-ownership",
    "SSEKMSKeyId": "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "SSECustomerAlgorithm": "s3:x-amz-server-side-encryption-customer-algorithm",
    "GrantFullControl": "s3:x-amz-grant-full-control",
    "GrantRead": "s3:x-amz-grant-read",
    "GrantReadACP": "s3:x-amz-grant-read-acp",
    "GrantWrite": "s3:x-amz-grant-write",
    "GrantWriteACP": "s3:x-amz-grant-write-acp",
    "IfMatch": "s3:if-match",
    "IfNoneMatch": "s3:if-none-match",
    "BucketNamespace": "s3:x-amz-bucket-namespace",
}
_NEEDING_MORE = frozenset(
    {
        *grants.HEADERS,
        "ACL",
        "BypassGovernanceRetention",
        "IfMatch",
        "ObjectLockLegalHoldStatus",
        "ObjectLockMode",
        "Tagging",
        "VersionId",
    }
)
"""Members of a request that need more than the operation's own action, or another."""
_OF_ONE_OBJECT = frozenset({"DeleteObject", "GetObject", "HeadObject", "PutObject"})
_ON_EXISTING = frozenset(
    {
        "s3:GetObject",
        "s3:GetObjectTagging",
        "s3:PutObjectTagging",
        "s3:DeleteObjectTagging",
        "s3:GetObjectAcl",
        "s3:PutObjectAcl",
    }
)


def _tag_keys(start: str, tags: Mapping[str, str]) -> dict[str, list[str]]:
    return {f"{start}{name}".lower(): [value] for name, value in tags.items()}


def _of_event_hold(request: Request) -> dict[str, list[str]]:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html#object-lock-managing-retention-limits"""
    said = request.get("Retention") or {}
    lasts = said.get("EventHoldDuration") or {}
    hold = request.get("ObjectLockEventHold") or said.get("EventHold")
    days = request.get("ObjectLockEventHoldDurationDays") or lasts.get("Days")
    years = request.get("ObjectLockEventHoldDurationYears") or lasts.get("Years")
    found = {"s3:object-lock-event-hold": [str(hold)]} if hold else {}
    if days or years:
        found["s3:object-lock-event-hold-duration-days"] = [str(days or (years or 0) * 365)]
    return found


def _of_signature(call: Call) -> dict[str, list[str]]:
    """How a request from outside was signed, and for a presigned one how many milliseconds ago.

    https://docs.aws.amazon.com/AmazonS3/latest/API/bucket-policy-s3-sigv4-conditions.html
    """
    found = {}
    for name in ("s3:authType", "s3:signatureversion", "s3:x-amz-content-sha256"):
        if (said := call.context.get(name)) is not None:
            found[name.lower()] = [said]
    if (signed_s := call.context.get("s3:signatureAge")) is not None:
        age_ms = max(0.0, call.world.wall() - float(signed_s)) * 1000
        found["s3:signatureage"] = [str(int(age_ms))]
    return found


def _of_lock(call: Call, request: Request) -> dict[str, list[str]]:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html#object-lock-managing-retention-limits"""
    found = {}
    retention, hold = request.get("Retention") or {}, request.get("LegalHold") or {}
    if mode := request.get("ObjectLockMode") or retention.get("Mode"):
        found["s3:object-lock-mode"] = [str(mode)]
    until_s = request.get("ObjectLockRetainUntilDate") or retention.get("RetainUntilDate")
    if until_s:
        found["s3:object-lock-retain-until-date"] = [iso(until_s)]
        days = math.ceil((until_s - call.tx.time_s) / 86_400)
        found["s3:object-lock-remaining-retention-days"] = [str(days)]
    if status := request.get("ObjectLockLegalHoldStatus") or hold.get("Status"):
        found["s3:object-lock-legal-hold"] = [str(status)]
    return found


class AccessRules(Service):
    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        if operation == "ListBuckets":
            return (("s3:ListAllMyBuckets", "*"),)
        bucket = request.get("Bucket", "")
        if operation in _OF_CONTROL or operation in table_buckets.INSIDE:
            return ()
        found = state.bucket(call.tx, bucket)
        if found is not None and found.table:
            return table_buckets.access(found, operation, request, call.principal)
        if operation == "DeleteObjects":
            return ()  # asked for key by key, answered key by key
        if operation == "CreateBucket":
            if found is not None and found.account != call.account:
                return ()  # BucketAlreadyExists for everyone
        elif found is None:
            raise no_such_bucket(bucket)  # for everyone, and before a body is read
        elif operation in _POLICY_OPERATIONS and _is_root_of(call, found):
            return ()  # so that no policy can lock its bucket for ever
        elif (
            not found.has_policy
            and found.point is None
            and found.ownership == ENFORCED
            and _is_root_of(call, found)
            and operation not in _FROM_ELSEWHERE
        ):
            return ()  # its owner's root, and nothing is attached to it that could say otherwise
        if found is not None and found.point is not None:
            bucket = found.name
        if operation in _BY_INITIATOR and self._began(call, found, request):
            return ()
        action = _ON_OBJECT.get(operation)
        if "BucketMetadata" in operation:
            of_tables = metadata_tables.access(call, operation, request, f"{ARN}{bucket}")
            if of_tables is not None:
                return of_tables
        if action is None:
            action = f"s3:{_ON_BUCKET.get(operation, operation)}"
            on_bucket = _through(found, action, f"{ARN}{bucket}", "")
            if operation == "CreateBucket":
                on_bucket += [(more, f"{ARN}{bucket}") for more in _to_create(request)]
            return on_bucket
        if request.get("VersionId"):
            action = _OF_VERSION.get(action, action)
        resource = f"{ARN}{bucket}/{request.get('Key', '')}"
        needed = [(f"s3:{action}", resource)]
        if operation in _WITH_ATTRIBUTES:
            if request.get("Tagging") and not self._writes_by_acl(call, found):
                needed.append(("s3:PutObjectTagging", resource))
            handed_over = (  # as deliveries do, whose policies on AWS name PutObject alone
                call.principal.kind == "service"
                and request.get("ACL") == "bucket-owner-full-control"
            )
            if (
                not handed_over
                and not self._writes_by_acl(call, found)
                and (request.get("ACL") or not grants.HEADERS.keys().isdisjoint(request))
            ):
                needed.append(("s3:PutObjectAcl", resource))
            if request.get("ObjectLockMode"):
                needed.append(("s3:PutObjectRetention", resource))
            if request.get("ObjectLockLegalHoldStatus"):
                needed.append(("s3:PutObjectLegalHold", resource))
        if operation == "DeleteObject" and request.get("IfMatch", "*") != "*":
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html
            needed.append(("s3:GetObject", resource))
        if request.get("BypassGovernanceRetention"):
            needed.append(("s3:BypassGovernanceRetention", resource))
        if operation in _FROM_ELSEWHERE:
            source = copy_source(request)
            read = "s3:GetObjectVersion" if source.version else "s3:GetObject"
            there = state.bucket(call.tx, source.bucket)
            if there is not None and there.table:
                raise table_buckets.not_allowed(operation)
            name = source.bucket if there is None else there.name
            below = f"/object/{source.key}"
            needed += _through(there, read, f"{ARN}{name}/{source.key}", below)
            if operation == "CopyObject" and takes_annotations(call, request):
                read = "s3:GetObjectAnnotation"
                needed += _through(there, read, f"{ARN}{name}/{source.key}", below)
                needed.append(("s3:PutObjectAnnotation", resource))
        if found is not None and found.point is not None:
            below = f"/object/{request.get('Key', '')}"
            needed += [(one, f"{found.point.arn}{below}") for one, _ in tuple(needed)]
        return needed

    def _began(self, call: Call, bucket: Bucket | None, request: Request) -> bool:
        """Whether the upload is one that a stranger whom the bucket's ACL lets write has begun: he may end it.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html#mpuAndPermissions
        """
        if bucket is None or bucket.has_policy or bucket.account == call.principal.account:
            return False
        key, upload_id = request.get("Key", "").encode(), request.get("UploadId", "")
        upload = state.upload(call.tx, bucket, key, upload_id)
        return upload is not None and upload.initiator == grants.initiator(call.principal)

    def _writes_by_acl(self, call: Call, bucket: Bucket | None) -> bool:
        """Whether an ACL lets a stranger write here: then what he writes is his, with the ACL he wants."""
        if (
            bucket is None
            or bucket.ownership == ENFORCED
            or call.principal.account == bucket.account
        ):
            return False
        granted = self._granted_by_acl(call, bucket, "")
        return any("s3:PutObject" in one["Action"] for one in granted)

    def alone(self, call: Call, operation: str, request: Request) -> Sequence[str] | None:
        """An own bucket without a policy; what its ACLs say only ever adds to who may."""
        if operation not in _OF_ONE_OBJECT:
            return None
        name = request.get("Bucket", "")
        bucket = state.bucket(call.tx, name)
        if (
            bucket is None
            or bucket.account != call.account
            or bucket.has_policy
            or bucket.point is not None
            or bucket.table
            or bucket.ownership != ENFORCED
        ):
            return None
        if not _NEEDING_MORE.isdisjoint(request):
            return ()
        first, slash, _ = request.get("Key", "").partition("/")
        return (f"{name}/", f"{name}/{first}/") if slash else (f"{name}/",)

    def condition_keys(
        self, call: Call, operation: str, request: Request, needed: Access
    ) -> dict[str, list[str]]:
        """https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html"""
        found = {
            key: [str(request[member])]
            for member, key in _CONDITION_KEYS.items()
            if request.get(member) is not None
        }
        if "Retention" in request or "ObjectLockEventHold" in request:
            found |= _of_event_hold(request)
        if operation in _CREATES:
            found["s3:objectcreationoperation"] = _CREATES[operation]
        found |= _of_signature(call)
        found |= _of_lock(call, request)
        making = request.get("CreateBucketConfiguration") or {}
        if location := making.get("LocationConstraint"):
            found["s3:locationconstraint"] = [location]
        if making.get("Tags"):
            given = names.tags_of_set(making["Tags"], bucket=True)
            found |= _tag_keys("aws:requesttag/", given)
            found["aws:tagkeys"] = list(given)
        tags: dict[str, str] = {}
        if operation in _WITH_ATTRIBUTES and request.get("Tagging"):
            tags = names.tags_of_header(request["Tagging"])
        elif operation == "PutObjectTagging":
            tags = names.tags_of_set((request.get("Tagging") or {}).get("TagSet") or ())
        if tags:
            found |= _tag_keys("s3:requestobjecttag/", tags)
            found["s3:requestobjecttagkeys"] = list(tags)
        action, resource = needed
        asked = state.bucket(call.tx, request.get("Bucket", ""))
        if asked is not None and asked.point is not None:
            found["s3:dataaccesspointarn"] = [asked.point.arn]
            found["s3:dataaccesspointaccount"] = [asked.point.arn.split(":")[4]]
            found["s3:accesspointnetworkorigin"] = ["Internet"]
        if not resource.startswith(ARN):
            if action == "iam:PassRole":
                found["iam:passedtoservice"] = [journal.PRINCIPAL]
            elif asked is not None and asked.point is not None:
                found |= _tag_keys("aws:resourcetag/", asked.point.tags)
                found |= _tag_keys("s3:accesspointtag/", asked.point.tags)
            return found
        name, _, key = resource.removeprefix(ARN).partition("/")
        bucket = state.bucket(call.tx, name)
        if bucket is not None:
            found["s3:resourceaccount"] = [bucket.account]
        if bucket is not None and state.config(call.tx, bucket, "abac") == "Enabled":
            of_bucket = state.config(call.tx, bucket, "tagging") or {}
            found |= _tag_keys("aws:resourcetag/", of_bucket)
            found |= _tag_keys("s3:buckettag/", of_bucket)
        if action in _ON_EXISTING and key:
            head = bucket and state.head(call.tx, bucket, key.encode())
            if head:
                found |= _tag_keys("s3:existingobjecttag/", head.tags)
        return found

    def resource_account(self, call: Call, resource: str) -> str:
        """The owner of the bucket in an S3 ARN, which does not say; an access point's ARN does."""
        if not resource.startswith(ARN):
            return super().resource_account(call, resource)
        bucket = state.bucket(call.tx, resource.removeprefix(ARN).partition("/")[0])
        return call.account if bucket is None else bucket.account

    def resource_policy(self, call: Call, resource: str) -> str | None:
        """The bucket's policy, with what its ACLs grant, less what its public access block takes away."""
        if resource.startswith(_TABLES):
            asked = {"Arn": resource}
            return call.invoke("s3tables", "RulesOfTable", asked)["Policy"] or None
        if not resource.startswith(ARN):
            name = points.alias_of(resource)
            there = state.bucket(call.tx, name) if name else None
            if there is None or there.point is None:
                return None
            return None if points.is_closed_to(call, there) else there.point.policy
        name, _, key = resource.removeprefix(ARN).partition("/")
        bucket = state.bucket(call.tx, name)
        if bucket is None:
            return None
        policy: str | None = None
        if bucket.has_policy:
            policy = state.config(call.tx, bucket, "policy")
        if policy is not None and self._restricted(call, bucket):
            policy = None
        granted = self._granted_by_acl(call, bucket, key)
        if not granted:
            return policy
        document: dict[str, Any] = {"Version": "2012-10-17", "Statement": []}
        if policy is not None:
            document = orjson.loads(policy)
            if not isinstance(document["Statement"], list):
                document["Statement"] = [document["Statement"]]
        document["Statement"] += granted
        return orjson.dumps(document).decode()

    def _restricted(self, call: Call, bucket: Bucket) -> bool:
        """RestrictPublicBuckets: a public policy speaks to the owner's account and to services only."""
        who = call.principal
        if who.account == bucket.account or who.kind == "service":
            return False
        if not public_access_block(call, bucket)["RestrictPublicBuckets"]:
            return False
        return bool(call.tx.parsed(bucket.config.key("policy"), parse_public))

    def _granted_by_acl(self, call: Call, bucket: Bucket, key: str) -> list[dict[str, Any]]:
        who = call.principal
        if bucket.ownership == ENFORCED or who.kind == "service":
            return []
        no_public = public_access_block(call, bucket)["IgnorePublicAcls"]
        arn, account = f"{ARN}{bucket.name}", bucket.account
        acl = state.config(call.tx, bucket, "acl")
        every = grants.grants_of("private" if acl is None else acl, account, account)
        found: list[dict[str, Any]] = []
        if who.account != account:
            found = grants.statements(every, who, arn, is_object=False, no_public=no_public)
        if not key:
            return found
        head = state.head(call.tx, bucket, key.encode())
        there = f"{arn}/{key}"
        if head is None:  # whoever may list may learn that it is not there
            if any("s3:ListBucket" in one["Action"] for one in found):
                found.append(_statement("Allow", there, _READING))
            return found
        holder = head.more.get("owner", account)
        if holder == account == who.account:
            return found
        given = grants.grants_of(acl_of(head), holder, account)
        granted = grants.statements(given, who, there, is_object=True, no_public=no_public)
        found += granted
        if holder != account and who.account == account:  # the bucket is his, the object is not
            allowed = {action for one in granted for action in one["Action"]}
            if denied := [action for action in _OWNERS if action not in allowed]:
                found.append(_statement("Deny", there, denied))
        return found


_READING = ["s3:GetObject", "s3:GetObjectVersion"]
_OWNERS = [
    *_READING,
    "s3:GetObjectAcl",
    "s3:GetObjectVersionAcl",
    "s3:PutObjectAcl",
    "s3:PutObjectVersionAcl",
]
"""What the owner of an object gives, not the owner of its bucket."""


def _statement(effect: str, arn: str, actions: list[str]) -> dict[str, Any]:
    return {"Effect": effect, "Principal": "*", "Action": actions, "Resource": arn}
