"""What a batch job does to one object, in its role's name."""

from __future__ import annotations

from base64 import b64encode
from typing import Any
from urllib.parse import quote

import orjson

from stratolite.errors import Fault
from stratolite.service import Call
from stratolite.services.s3control.manifests import Task, whole

_ANSWER_BYTES_MAX = 6 << 20
_TRIES_COUNT = 3
_TEMPORARY, _PASSING = "TemporaryFailure", (429, 500, 503)
_GRANTS = {
    "FULL_CONTROL": "GrantFullControl",
    "READ": "GrantRead",
    "READ_ACP": "GrantReadACP",
    "WRITE_ACP": "GrantWriteACP",
}


async def carry_out(call: Call, job: dict[str, Any], task: Task) -> tuple[bool, str, int, str]:
    """(whether it worked, error code, HTTP status, message or the function's result).

    What failed for a while only is tried again, as AWS redrives it before the job ends.
    """
    for _ in range(_TRIES_COUNT - 1):
        done, code, status, text = await _carry_out(call, job, task)
        if done or (code != _TEMPORARY and status not in _PASSING):
            return done, code, status, text
    return await _carry_out(call, job, task)


async def _carry_out(call: Call, job: dict[str, Any], task: Task) -> tuple[bool, str, int, str]:
    ((kind, said),) = job["Operation"].items()
    about: dict[str, Any] = {"Bucket": task.bucket, "Key": task.key}
    if task.version and task.version != "null":
        about["VersionId"] = task.version
    try:
        if kind == "LambdaInvoke":
            return await _invoke(call, job, said, task)
        if kind == "S3PutObjectCopy":
            await call.request("s3", "CopyObject", _copy(said, task, about))
        elif kind == "S3PutObjectTagging":
            tags = {"TagSet": said.get("TagSet") or []}
            await call.request("s3", "PutObjectTagging", {**about, "Tagging": tags})
        elif kind == "S3DeleteObjectTagging":
            await call.request("s3", "DeleteObjectTagging", about)
        elif kind == "S3PutObjectAcl":
            await call.request("s3", "PutObjectAcl", {**about, **_acl(said)})
        elif kind == "S3InitiateRestoreObject":
            tier = {"Tier": (said.get("GlacierJobTier") or "BULK").capitalize()}
            wanted = {"Days": said.get("ExpirationInDays") or 1, "GlacierJobParameters": tier}
            await call.request("s3", "RestoreObject", {**about, "RestoreRequest": wanted})
        elif kind == "S3ReplicateObject":
            await call.request("s3", "InitiateReplication", about)
        elif kind == "S3UpdateObjectEncryption":
            asked_for = {"ObjectEncryption": said.get("ObjectEncryption") or {}}
            await call.request("s3", "UpdateObjectEncryption", {**about, **asked_for})
        elif kind == "S3ComputeObjectChecksum":
            return await _checksum(call, said, about)
        elif kind == "S3PutObjectLegalHold":
            hold = {"Status": (said.get("LegalHold") or {}).get("Status")}
            await call.request("s3", "PutObjectLegalHold", {**about, "LegalHold": hold})
        else:
            bypass = bool(said.get("BypassGovernanceRetention"))
            retention = said.get("Retention") or {}
            names = ("Mode", "RetainUntilDate", "EventHold", "EventHoldDuration")
            asked: dict[str, Any] = {"Retention": {name: retention.get(name) for name in names}}
            if bypass:
                asked["BypassGovernanceRetention"] = bypass
            await call.request("s3", "PutObjectRetention", {**about, **asked})
    except Fault as fault:
        return False, fault.code, fault.status or 400, fault.message
    return True, "", 200, "Successful"


async def _checksum(
    call: Call, said: dict[str, Any], about: dict[str, Any]
) -> tuple[bool, str, int, str]:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-compute-checksums.html"""
    algorithm = said.get("ChecksumAlgorithm") or "CRC64NVME"
    found = await call.request("s3", "ComputeChecksum", {**about, "Algorithm": algorithm})
    value: bytes = found["Value"]
    told = {
        "checksum_base64": b64encode(value).decode(),
        "etag": found["ETag"],
        "checksumAlgorithm": algorithm,
        "checksumType": "FULL_OBJECT",
        "checksum_hex": value.hex().upper(),
    }
    return True, "", 200, orjson.dumps(told).decode()


def _copy(said: dict[str, Any], task: Task, about: dict[str, Any]) -> dict[str, Any]:

    target = said["TargetResource"].removeprefix("arn:aws:s3:::")
    prefix = said.get("TargetKeyPrefix") or ""
    source = f"{task.bucket}/{quote(task.key)}"
    if "VersionId" in about:
        source += f"?versionId={quote(task.version)}"
    asked: dict[str, Any] = {
        "Bucket": target,
        "Key": f"{prefix}/{task.key}" if prefix else task.key,
        "CopySource": source,
    }
    for ours, theirs in (
        ("CannedAccessControlList", "ACL"),
        ("MetadataDirective", "MetadataDirective"),
        ("StorageClass", "StorageClass"),
        ("RedirectLocation", "WebsiteRedirectLocation"),
        ("ChecksumAlgorithm", "ChecksumAlgorithm"),
        ("SSEAwsKmsKeyId", "SSEKMSKeyId"),
        ("BucketKeyEnabled", "BucketKeyEnabled"),
        ("ObjectLockMode", "ObjectLockMode"),
        ("ObjectLockEventHold", "ObjectLockEventHold"),
        ("ObjectLockRetainUntilDate", "ObjectLockRetainUntilDate"),
        ("ObjectLockLegalHoldStatus", "ObjectLockLegalHoldStatus"),
        ("AnnotationDirective", "AnnotationDirective"),
        ("ModifiedSinceConstraint", "CopySourceIfModifiedSince"),
        ("UnModifiedSinceConstraint", "CopySourceIfUnmodifiedSince"),
    ):
        if said.get(ours) is not None:
            asked[theirs] = said[ours]
    for unit, count in (said.get("ObjectLockEventHoldDuration") or {}).items():
        asked[f"ObjectLockEventHoldDuration{unit}"] = count
    if "SSEKMSKeyId" in asked:
        asked["ServerSideEncryption"] = "aws:kms"
    if fresh := said.get("NewObjectMetadata"):
        asked["MetadataDirective"] = "REPLACE"
        asked["Metadata"] = fresh.get("UserMetadata") or {}
        for name in ("CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType"):  # fmt: skip
            if fresh.get(name):
                asked[name] = fresh[name]
        if fresh.get("HttpExpiresDate") is not None:
            asked["Expires"] = fresh["HttpExpiresDate"]
        if fresh.get("SSEAlgorithm"):
            algorithm = {"KMS": "aws:kms"}.get(fresh["SSEAlgorithm"], fresh["SSEAlgorithm"])
            asked["ServerSideEncryption"] = algorithm
    if said.get("RequesterPays"):
        asked["RequestPayer"] = "requester"
    for permission, member in _GRANTS.items():
        given = [
            f'{one["Grantee"]["TypeIdentifier"]}="{one["Grantee"]["Identifier"]}"'
            for one in said.get("AccessControlGrants") or ()
            if one.get("Permission") == permission
        ]
        if given:
            asked[member] = ", ".join(given)
    if said.get("NewObjectTagging") is not None:
        asked["TaggingDirective"] = "REPLACE"
        asked["Tagging"] = "&".join(
            f"{quote(tag['Key'])}={quote(tag['Value'])}" for tag in said["NewObjectTagging"]
        )
    return asked


def _acl(said: dict[str, Any]) -> dict[str, Any]:
    policy = said.get("AccessControlPolicy") or {}
    if policy.get("CannedAccessControlList"):
        return {"ACL": policy["CannedAccessControlList"]}
    listed = policy.get("AccessControlList") or {}
    grants = [
        {
            "Grantee": {
                "Type": {"id": "CanonicalUser", "uri": "Group"}.get(
                    grant["Grantee"]["TypeIdentifier"], "AmazonCustomerByEmail"
                ),
                {"id": "ID", "uri": "URI"}.get(
                    grant["Grantee"]["TypeIdentifier"], "EmailAddress"
                ): grant["Grantee"]["Identifier"],
            },
            "Permission": grant["Permission"],
        }
        for grant in listed.get("Grants") or ()
    ]
    return {"AccessControlPolicy": {"Owner": listed.get("Owner") or {}, "Grants": grants}}


async def _invoke(
    call: Call, job: dict[str, Any], said: dict[str, Any], task: Task
) -> tuple[bool, str, int, str]:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-invoke-lambda.html"""
    version = said.get("InvocationSchemaVersion") or "1.0"
    one: dict[str, Any] = {
        "taskId": call.world.token(16).hex(),
        "s3Key": quote(task.key, safe="/"),  # AWS's own examples unquote it
        "s3VersionId": task.version or None,
    }
    told: dict[str, Any] = {"id": job["id"]}
    if version == "2.0":
        one["s3Bucket"] = task.bucket
        told["userArguments"] = said.get("UserArguments") or {}
    else:
        one["s3BucketArn"] = f"arn:aws:s3:::{task.bucket}"
    event = {
        "invocationSchemaVersion": version,
        "invocationId": call.world.token(24).hex(),
        "job": told,
        "tasks": [one],
    }
    answer = await call.request(
        "lambda",
        "Invoke",
        {"FunctionName": said["FunctionArn"], "Payload": orjson.dumps(event)},
    )
    payload = await whole(answer["Payload"], _ANSWER_BYTES_MAX)
    if answer.get("FunctionError"):
        said_so = payload.decode("utf-8", "replace")
        return False, "PermanentFailure", 200, f"Lambda returned function error: {said_so}"
    try:
        made = orjson.loads(payload)
        missing = made.get("treatMissingKeysAs") or "PermanentFailure"
        found: dict[str, Any] = next(
            (r for r in made["results"] if r["taskId"] == one["taskId"]), {}
        )
        code = found.get("resultCode") or missing
        text = str(found.get("resultString") or "")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return False, "PermanentFailure", 200, "The function's response was not valid"
    return code == "Succeeded", "" if code == "Succeeded" else code, 200, text
