"""The buckets where S3 Tables keeps the files of its tables: made, written and dropped by it, read as its policies say.

A table's bucket is found by its name like any, but stands in nobody's list. Who may read or write an object of it is decided
by s3tables:GetTableData and s3tables:PutTableData on the table; nothing else can be asked of it.
https://docs.aws.amazon.com/AmazonS3/latest/API/developing-s3-tables-APIs.html

Queue ``s3.table-sweep`` (JSON {bucket: [name, account, region, id]}) takes away what was in a bucket that was dropped, a page
a transaction.
"""

from __future__ import annotations

from itertools import islice

import orjson

from stratolite.core import Tx, work
from stratolite.errors import Fault
from stratolite.service import Access, Call, Cloud, Job, Principal, Request, Response, Settle
from stratolite.services.s3 import names, state, versions
from stratolite.services.s3.entry import ENFORCED
from stratolite.services.s3.faults import access_denied, no_such_bucket, no_such_key
from stratolite.services.s3.object_marks import ObjectMarks
from stratolite.services.s3.state import Bucket
from stratolite.services.s3.worker import put_sweep

QUEUE = "s3.table-sweep"
SWEEP_COUNT_MAX = 100
LIST_COUNT_MAX = 1000
_KEEPERS = ("metadata.s3.amazonaws.com", "maintenance.s3tables.amazonaws.com")
INSIDE = ("KeepTableBucket", "DropTableBucket", "PutTableObject", "CheckTableObject", "DropTableObjects", "ListTableObjects")  # fmt: skip
"""S3 Tables' operations; no request from outside names them."""
_READING = frozenset({"GetObject", "HeadObject", "ListParts"})
_WRITING = frozenset(
    {
        "PutObject",
        "CreateMultipartUpload",
        "UploadPart",
        "CompleteMultipartUpload",
        "AbortMultipartUpload",
    }
)
_NOT_TAKEN = ("ACL", "Tagging", "ServerSideEncryption", "SSEKMSKeyId", "SSECustomerAlgorithm", "ObjectLockMode", "ObjectLockLegalHoldStatus", "WebsiteRedirectLocation")  # fmt: skip


def access(bucket: Bucket, operation: str, request: Request, who: Principal) -> list[Access]:
    """What must be allowed on the table. Raises MethodNotAllowed, AccessDenied for a table that AWS keeps."""
    if operation in _READING:
        return [("s3tables:GetTableData", bucket.table)]
    if operation not in _WRITING:
        raise not_allowed(operation)
    if bucket.read_only and not (who.kind == "service" and who.name in _KEEPERS):
        raise access_denied()
    if any(request.get(member) for member in _NOT_TAKEN):
        raise Fault(
            "InvalidRequest",
            "Objects of a table take no ACL, tags, lock or encryption of their own.",
            status=400,
        )
    return [("s3tables:PutTableData", bucket.table)]


def not_allowed(operation: str) -> Fault:
    return Fault(
        "MethodNotAllowed",
        "The specified method is not allowed against this resource.",
        status=405,
        Method=operation,
        ResourceType="TABLE",
    )


class TableBuckets(ObjectMarks):
    def keep_table_bucket(self, call: Call, asked: Request) -> Response:
        """``asked``: {Bucket, TableArn, ReadOnly, Encryption: {sseAlgorithm, kmsKeyArn?}}."""
        assert state.bucket(call.tx, asked["Bucket"]) is None, asked
        bucket = state.make_table_bucket(
            call.tx,
            asked["Bucket"],
            call.account,
            call.region,
            (asked["TableArn"], bool(asked["ReadOnly"])),
            ENFORCED,
        )
        chosen = asked["Encryption"]
        if chosen["sseAlgorithm"] == "aws:kms":
            default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": chosen["kmsKeyArn"]}
            rule = {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}
            state.put_config(call.tx, bucket, "encryption", [rule])
        return {}

    def put_table_object(self, call: Call, asked: Request) -> Response:
        """A small file, in the caller's transaction. ``asked``: {Bucket, Key, Body: bytes}."""
        return self.put_object(call, asked)

    def check_table_object(self, call: Call, asked: Request) -> Response:
        """Raises NoSuchKey unless the file is there."""
        bucket = _found(call, asked)
        if state.head(call.tx, bucket, names.key_bytes(asked["Key"])) is None:
            raise no_such_key(asked["Key"])
        return {}

    def drop_table_objects(self, call: Call, asked: Request) -> Response:
        """Files that no snapshot names any more. ``asked``: {Bucket, Keys}."""
        bucket = _found(call, asked)
        for key in asked["Keys"]:
            _drop(call, bucket, key.encode())
        return {}

    def list_table_objects(self, call: Call, asked: Request) -> Response:
        """``asked``: {Bucket, After}: a page of {Objects: [key, when it was written in ms]}."""
        bucket = _found(call, asked)
        after = asked["After"].encode()
        start = state.past_key(after) if after else state.at_prefix(b"")
        span = state.walk(bucket.heads, start, state.past_prefix(b""))
        rows = islice(call.tx.scan(span), LIST_COUNT_MAX)
        found = [
            [state.key_of(bucket.heads, row).decode(), state.decode_listed(raw).modified_ms]
            for row, raw in rows
        ]
        return {"Objects": found}

    def drop_table_bucket(self, call: Call, asked: Request) -> Response:
        """The bucket is gone at once, what was in it soon."""
        bucket = _found(call, asked)
        state.delete_bucket(call.tx, bucket)
        if next(call.tx.scan(bucket.uploads.span()), None) is not None:
            put_sweep(self.cloud, call.tx, bucket, "")
        _put(call.tx, bucket)
        return {}


def _found(call: Call, asked: Request) -> Bucket:
    bucket = state.bucket(call.tx, asked["Bucket"])
    if bucket is None or not bucket.table:
        raise no_such_bucket(asked["Bucket"])
    return bucket


def _drop(call: Call, bucket: Bucket, key: bytes) -> None:
    head = state.head(call.tx, bucket, key)
    if head is not None:
        versions.drop_body(call, bucket, key, head)
        state.delete_head(call.tx, bucket, key)


def _put(tx: Tx, bucket: Bucket) -> None:
    place = [bucket.name, bucket.account, bucket.region, bucket.id]
    work.put(tx, QUEUE, orjson.dumps({"bucket": place}))


class TableSweep:
    queue = QUEUE
    ordered = False
    concurrency = 1

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        name, account, region, number = orjson.loads(job.payload)["bucket"]
        bucket = Bucket(name, account, region, number)
        call = self._cloud.call(account, region, job.id.hex())

        def settle(tx: Tx) -> None:
            call.tx = tx
            rows = [row for row, _ in islice(tx.scan(bucket.heads.span()), SWEEP_COUNT_MAX)]
            for row in rows:
                _drop(call, bucket, state.key_of(bucket.heads, row))
            if len(rows) == SWEEP_COUNT_MAX:
                _put(tx, bucket)

        return settle
