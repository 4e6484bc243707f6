"""Request metrics: what a bucket answered, counted where one of its metrics configurations is for it.

The configurations stand together under the kind ``metrics``, a feature of the bucket: a bucket without one is asked nothing. Each
request counts in each configuration whose filter (prefix, tags of the object, access point) it passes, under BucketName and FilterId.
How long requests take is not measured.
Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/metrics-dimensions.html
"""

from __future__ import annotations

from typing import Any

from stratolite.core import Tx
from stratolite.service import Call, Request, Response
from stratolite.services.s3 import names, state
from stratolite.services.s3.content import Content
from stratolite.services.s3.state import Bucket

KIND = "metrics"
_CONFIGURATIONS_MAX = 1000
_LISTS = frozenset({"ListObjects", "ListObjectsV2", "ListObjectVersions", "ListMultipartUploads", "ListParts"})  # fmt: skip
_OBJECTS = frozenset({
    "GetObject", "HeadObject", "PutObject", "UploadPart", "CopyObject", "UploadPartCopy", "DeleteObject", "DeleteObjects",
    "GetObjectAcl", "PutObjectAcl", "GetObjectTagging", "PutObjectTagging", "DeleteObjectTagging", "GetObjectAttributes",
    "CreateMultipartUpload", "CompleteMultipartUpload", "AbortMultipartUpload", "RestoreObject", "SelectObjectContent",
    "GetObjectRetention", "PutObjectRetention", "GetObjectLegalHold", "PutObjectLegalHold",
})  # fmt: skip
_POSTS = frozenset({"CreateMultipartUpload", "CompleteMultipartUpload", "RestoreObject"})


def keep(tx: Tx, bucket: Bucket) -> None:
    """After a configuration was put or deleted."""
    found = list(state.configs(tx, bucket, f"{KIND}:", _CONFIGURATIONS_MAX))
    if found:
        state.put_config(tx, bucket, KIND, found)
    else:
        state.delete_config(tx, bucket, KIND)


def count(
    call: Call, bucket: Bucket, operation: str, request: Request, response: Response, status: int
) -> None:
    if operation not in _OBJECTS and operation not in _LISTS:
        return
    samples = [("AllRequests", 1.0, "Count"), (_name(operation), 1.0, "Count")]
    samples.append(("4xxErrors", float(400 <= status < 500), "Count"))
    samples.append(("5xxErrors", float(status >= 500), "Count"))
    if status < 300 and operation == "GetObject":
        samples.append(("BytesDownloaded", float(response.get("ContentLength") or 0), "Bytes"))
    if status < 300 and operation in ("PutObject", "UploadPart"):
        samples.append(("BytesUploaded", float(_size(request.get("Body", b""))), "Bytes"))
    for one in state.config(call.tx, bucket, KIND) or ():
        if _passes(call, bucket, one.get("Filter") or {}, request):
            dimensions = (("BucketName", bucket.name), ("FilterId", one["Id"]))
            for name, value, unit in samples:
                place = bucket.account, bucket.region, "AWS/S3", dimensions
                call.cloud.measure(*place, name, value, unit)


def _name(operation: str) -> str:
    if operation in _LISTS:
        return "ListRequests"
    if operation == "SelectObjectContent":
        return "SelectRequests"
    if operation in _POSTS:
        return "PostRequests"
    verbs = {"Get": "Get", "Head": "Head", "Delete": "Delete", "Abort": "Delete"}
    return next((f"{of}Requests" for verb, of in verbs.items() if operation.startswith(verb)), "PutRequests")  # fmt: skip


def _size(body: Any) -> int:
    if isinstance(body, Content):
        return body.size_bytes
    return len(body) if isinstance(body, bytes) else 0


def _passes(call: Call, bucket: Bucket, given: dict[str, Any], request: Request) -> bool:
    wanted = given.get("And") or given
    tags = list(wanted.get("Tags") or ())
    if "Tag" in wanted:
        tags.append(wanted["Tag"])
    point = wanted.get("AccessPointArn")
    if point and (bucket.point is None or bucket.point.arn != point):
        return False
    prefix, key = wanted.get("Prefix"), request.get("Key")
    if not prefix and not tags:
        return True
    if not isinstance(key, str) or not key.startswith(prefix or ""):
        return False
    if not tags:
        return True
    head = state.head(call.tx, bucket, names.key_bytes(key))
    return head is not None and all((head.tags or {}).get(t["Key"]) == t["Value"] for t in tags)
