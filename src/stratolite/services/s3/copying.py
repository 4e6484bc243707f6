"""CopyObject: without touching a byte where it can, read through and written anew where the copy is sealed otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote, unquote_plus

from stratolite.errors import Fault
from stratolite.service import Call, Cloud, Request, Response, prepared
from stratolite.services.s3 import (
    archive_rules,
    checksums,
    content,
    encryption,
    journal,
    names,
    state,
    versions,
)
from stratolite.services.s3.conditions import Reads, Validators, check_copy, check_write
from stratolite.services.s3.content import Content, Piece
from stratolite.services.s3.entry import Attributes, attributes, bucket_of
from stratolite.services.s3.faults import invalid_argument, invalid_request, no_such_key
from stratolite.services.s3.objects import Objects, new_head, show_checksum
from stratolite.services.s3.state import Bucket, Head
from stratolite.services.s3.versions import Found

COPY_SIZE_BYTES_MAX = 5 << 30


class CopySource(NamedTuple):
    bucket: str
    key: str
    version: str | None


class Weighed(NamedTuple):
    """What was learnt and written ahead of the transaction."""

    etag: str
    modified_ms: int
    content: Content
    """Its body is set only where it was written anew."""
    rewritten: bool
    sealed: encryption.Sealing | None


class Again:
    """Pieces that lie here, as a body that comes in."""

    def __init__(self, cloud: Cloud, pieces: list[Piece]) -> None:
        self._cloud, self._pieces = cloud, pieces
        self.size_bytes: int | None = sum(map(content.piece_size, pieces))
        self.trailers: Mapping[str, str] = {}

    def __aiter__(self) -> AsyncIterator[bytes]:
        return content.joined(self._cloud, self._pieces)


class Copying(Objects):
    async def _weigh_copy(self, call: Call, request: Request) -> Request:
        """Read the source through where the copy needs digests that it does not have, or other sealing."""
        source = copy_source(request)

        def look(inner: Call) -> Any:
            found = self._source(inner, source, request)
            bucket, key, head, _ = found
            sse = head.more.get("sse") or {}
            data_key = encryption.open_key(inner, bucket, source.key, sse, request, "CopySource")
            target = bucket_of(inner, request)
            asked = encryption.wanted(inner, target, request)
            checksum = request.get("ChecksumAlgorithm") or head.checksum or checksums.DEFAULT
            checksums.check_algorithm(checksum)
            anew = bool(sse) or asked is not None
            if not anew and head.place != state.IN_PARTS and checksum == head.checksum:
                return None
            if head.size_bytes > COPY_SIZE_BYTES_MAX:
                return None
            archive_rules.check_readable(inner, head)
            sealed = None
            if asked is not None:
                sealed = encryption.begin(inner, target, request["Key"], asked)
            pieces = content.pieces(inner.tx, bucket, key, head, data_key=data_key)
            return head, pieces, checksum, anew, sealed

        try:
            found = await call.transact(look)
        except Fault as fault:
            if fault.code in ("NoSuchKey", "NoSuchVersion"):
                return request  # the tx finds the words
            raise
        if found is None:
            return request
        head, pieces, checksum, anew, sealed = found
        if anew:
            data_key = sealed.data_key if sealed is not None else b""
            taken = await content.taken_again(
                self.cloud, Again(self.cloud, pieces), checksum, state.INLINE_BYTES_MAX, data_key
            )
        else:
            md5, value = await content.digests(self.cloud, pieces, checksum)
            taken = Content(head.size_bytes, md5, checksum, value, None, "")
        weighed = Weighed(head.etag, head.modified_ms, taken, anew, sealed)
        return {**request, "_weighed": weighed}

    @prepared(_weigh_copy)
    def copy_object(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        key = names.key_bytes(request["Key"])
        found = self._copy_found(call, request)
        source = found.head
        if source.size_bytes > COPY_SIZE_BYTES_MAX:
            raise invalid_request(
                "The specified copy source is larger than the maximum allowable size for a copy "
                f"source: {COPY_SIZE_BYTES_MAX}"
            )
        archive_rules.check_readable(call, source)
        said = copy_attributes(call, bucket, request, source)
        same = found.bucket.id == bucket.id and found.key == key and found.current
        if same and not (
            request.get("MetadataDirective") == "REPLACE"
            or "StorageClass" in request
            or "WebsiteRedirectLocation" in request
            or not encryption.ASKING.isdisjoint(request)
            or "sse" in source.more
            or request.get("ChecksumAlgorithm") not in (None, source.checksum)
        ):
            raise invalid_request(
                "This copy request is illegal because it is trying to copy an object to itself "
                "without changing the object's metadata, storage class, website redirect location "
                "or encryption attributes."
            )
        old = source if same else state.head(call.tx, bucket, key)
        check_write(
            request["Key"],
            old.etag if old else None,
            request.get("IfMatch"),
            request.get("IfNoneMatch"),
        )
        weighed: Weighed | None = request.get("_weighed")
        if weighed is None:
            if source.place == state.IN_PARTS or "sse" in source.more:
                raise operation_aborted()
        elif (weighed.etag, weighed.modified_ms) != (source.etag, source.modified_ms):
            raise operation_aborted()
        exclude = request.get("AnnotationDirective") or "COPY"
        if exclude not in ("COPY", "EXCLUDE"):
            raise invalid_argument(
                "Unknown annotation directive.", "x-amz-object-annotation-directive", exclude
            )
        if exclude == "COPY" and "annotations" in source.more and "SSECustomerAlgorithm" in request:
            raise invalid_request(
                "Annotations are not supported for objects encrypted with customer-provided keys."
            )
        if exclude == "COPY" and (held := source.more.get("annotations")):
            said = said._replace(
                more={**said.more, "annotations": self.copy_annotations(call, found, bucket, held)}
            )
            journal.annotated(call, bucket, key)
        head = self._put_copy(call, bucket, key, old, found, said, weighed)
        result = {"ETag": f'"{head.etag}"', "LastModified": float(head.modified_ms // 1000)}
        response: Response = {
            "CopyObjectResult": show_checksum(result, head),
            **encryption.shown(head.more.get("sse")),
        }
        if bucket.versioning:
            response["VersionId"] = versions.shown(head)
        if source.version:
            response["CopySourceVersionId"] = source.version
        return response

    def _source(self, call: Call, source: CopySource, request: Request) -> Found:
        bucket = bucket_of(
            call,
            {
                "Bucket": source.bucket,
                "ExpectedBucketOwner": request.get("ExpectedSourceBucketOwner"),
                "RequestPayer": request.get("RequestPayer"),
            },
        )
        try:
            return versions.get(call, bucket, names.key_bytes(source.key), source.version)
        except Fault as fault:
            if fault.code == "NoSuchKey":
                self._check_may_list(call, bucket, source.key)
                raise no_such_key(source.key) from None
            if fault.code == "MethodNotAllowed":
                raise invalid_request(
                    "The source of a copy request may not specifically refer to a delete marker by "
                    "version id."
                ) from None
            raise

    def _copy_found(self, call: Call, request: Request) -> Found:
        """The source of a copy, its conditions checked."""
        found = self._source(call, copy_source(request), request)
        check_copy(
            Validators(found.head.etag, found.head.modified_ms // 1000),
            Reads(
                request.get("CopySourceIfMatch"),
                request.get("CopySourceIfNoneMatch"),
                request.get("CopySourceIfModifiedSince"),
                request.get("CopySourceIfUnmodifiedSince"),
            ),
            call.tx.time_s,
        )
        return found

    def _put_copy(
        self,
        call: Call,
        bucket: Bucket,
        key: bytes,
        old: Head | None,
        found: Found,
        said: Attributes,
        weighed: Weighed | None,
    ) -> Head:
        source = found.head
        if weighed is not None:
            taken = weighed.content
        else:
            taken = Content(
                source.size_bytes, source.etag, source.checksum, source.checksum_value, None, ""
            )
        if weighed is not None and weighed.rewritten:
            head = new_head(call, taken, said, weighed.sealed)
            if head.place == state.IN_BLOB:
                self._link(call, head.blob)
            data = taken.data if head.place == state.IN_ROW else None
            self._place(call, bucket, key, old, head, data, "Copy")
            return head
        data = None
        if source.place in (state.IN_HEAD, state.IN_ROW):
            data = b"".join(content.pieces(call.tx, found.bucket, found.key, source))  # type: ignore[arg-type]
        head = new_head(call, taken._replace(data=data, blob=source.blob), said)
        if source.place == state.IN_BLOB:
            self._link(call, source.blob)
        elif source.place == state.IN_PARTS:
            head.place, head.runs = state.IN_PARTS, source.runs
            head.upload = self.copy_parts(call, found, bucket)
        if head.place != state.IN_ROW:
            data = None
        self._place(call, bucket, key, old, head, data, "Copy")
        return head

    def copy_annotations(
        self, call: Call, found: Found, bucket: Bucket, held: dict[str, Any]
    ) -> dict[str, Any]:
        space = call.tx.stamp()
        for name, one in state.annotations_of(call.tx, found.bucket, held["space"]):
            body = None
            if one.blob:
                self._link(call, one.blob)
            else:
                body = state.annotation_body(call.tx, found.bucket, held["space"], name)
            state.put_annotation(call.tx, bucket, space, name, one, body)
        return {"space": space, "count": held["count"]}

    def copy_parts(self, call: Call, found: Found, bucket: Bucket) -> str:
        """Rows of the source's parts under a new upload id, their blobs linked once more."""
        source = found.head
        upload_id = f"copy-{call.tx.stamp():016x}"
        for first, count, _ in source.runs:
            for number, part in state.parts(
                call.tx, found.bucket, source.upload, first, first + count - 1
            ):
                for blob, _, _ in part.extents:
                    self._link(call, blob)
                if not part.extents:
                    body = state.part_body(call.tx, found.bucket, source.upload, number)
                    state.put_part_body(call.tx, bucket, upload_id, number, body)
                state.put_part(call.tx, bucket, upload_id, number, part)
        return upload_id


def copy_attributes(call: Call, bucket: Bucket, request: Request, source: Head) -> Attributes:
    for member in ("MetadataDirective", "TaggingDirective"):
        if request.get(member) not in (None, "COPY", "REPLACE"):
            header = "x-amz-metadata-directive" if member[0] == "M" else "x-amz-tagging-directive"
            raise invalid_argument(
                f"Unknown {'metadata' if member[0] == 'M' else 'tagging'} directive.",
                header,
                request[member],
            )
    said = attributes(call, bucket, request)
    if request.get("MetadataDirective") != "REPLACE":
        redirect = said.headers.get("WebsiteRedirectLocation")
        headers = {k: v for k, v in source.headers.items() if k != "WebsiteRedirectLocation"}
        if redirect is not None:
            headers["WebsiteRedirectLocation"] = redirect
        said = said._replace(headers=headers, metadata=source.metadata)
    if request.get("TaggingDirective") != "REPLACE":
        said = said._replace(tags=source.tags)
    return said


def takes_annotations(call: Call, request: Request) -> bool:
    """Whether a copy takes annotations along: its source has some, and it does not leave them."""
    if request.get("AnnotationDirective") == "EXCLUDE":
        return False
    source = copy_source(request)
    bucket = state.bucket(call.tx, source.bucket)
    if bucket is None:
        return False
    key = source.key.encode()
    if source.version is None:
        head = state.head(call.tx, bucket, key)
    else:
        there = versions.find(call, bucket, key, source.version)
        head = there.head if there else None
    return head is not None and "annotations" in head.more


def copy_source(request: Request) -> CopySource:
    """``CopySource``: ``[/]BUCKET/KEY[?versionId=ID]``, percent-encoded, or an access point's ARN. Raises Fault."""
    given = request["CopySource"]
    path, _, query = given.partition("?versionId=")
    path = unquote_plus(path.removeprefix("/"))  # as AWS reads it; who means a plus sends %2B
    if path.startswith("arn:") and "/object/" in path:
        bucket, _, key = path.partition("/object/")
        slash = "/"
    else:
        bucket, slash, key = path.partition("/")
    if not slash or not bucket or not key:
        raise invalid_argument(
            "Invalid copy source object key", "x-amz-copy-source", "x-amz-copy-source"
        )
    return CopySource(bucket, key, unquote(query) or None)


def operation_aborted() -> Fault:
    """The source of a copy changed while it was read; SDKs retry a 409 of this code."""
    return Fault(
        "OperationAborted",
        "A conflicting conditional operation is currently in progress against this resource. "
        "Please try again.",
        status=409,
    )
