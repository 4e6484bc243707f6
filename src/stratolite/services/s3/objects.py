"""Objects: put, get, head, copy, delete, and their attributes, tags and ACLs."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service, prepared
from stratolite.services.s3 import checksums, content, names, state
from stratolite.services.s3.conditions import (
    Reads,
    Validators,
    check_copy,
    check_read,
    check_write,
    matches,
    slice_of,
)
from stratolite.services.s3.content import Content
from stratolite.services.s3.entry import (
    Attributes,
    attributes,
    bucket_of,
    check_acl,
    check_version_id,
    payload,
    refuse_members,
)
from stratolite.services.s3.events import Happening, happened
from stratolite.services.s3.faults import (
    access_denied,
    invalid_argument,
    invalid_request,
    malformed_xml,
    no_such_key,
    not_offered,
    precondition_failed,
)
from stratolite.services.s3.grants import policy_of_acl
from stratolite.services.s3.state import Bucket, Head
from stratolite.services.s3.worker import drop_parts

DELETE_COUNT_MAX = 1000
COPY_SIZE_BYTES_MAX = 5 << 30
_DEFAULT_TYPE = "binary/octet-stream"
_OVERRIDES = {
    "ResponseCacheControl": "CacheControl",
    "ResponseContentDisposition": "ContentDisposition",
    "ResponseContentEncoding": "ContentEncoding",
    "ResponseContentLanguage": "ContentLanguage",
    "ResponseContentType": "ContentType",
    "ResponseExpires": "Expires",
}


_CONDITIONS = frozenset({"IfMatch", "IfNoneMatch", "IfModifiedSince", "IfUnmodifiedSince"})
_CUSTOMER_KEYS = frozenset({"SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5"})


class Objects(Service):
    # -- put

    async def _take_put(self, call: Call, request: Request) -> Request:
        taken = await content.taken(self.cloud, request, state.INLINE_BYTES_MAX)
        return {**request, "Body": taken}

    @prepared(_take_put, unless=content.is_small)
    def put_object(self, call: Call, request: Request) -> Response:
        taken = content.taken_small(request)
        bucket = bucket_of(call, request)
        key = names.key_bytes(request["Key"])
        said = attributes(request)
        if "ACL" in request:
            check_acl(call, bucket, said.acl)
        old = state.head(call.tx, bucket, key)
        check_write(
            request["Key"],
            old.etag if old else None,
            request.get("IfMatch"),
            request.get("IfNoneMatch"),
        )
        head = self._put(call, bucket, key, old, taken, said)
        if bucket.on:
            kind = "Post" if request.get("_form") else "Put"
            created(call, bucket, request["Key"], head, kind)
        response: Response = {"ETag": f'"{head.etag}"', "ServerSideEncryption": "AES256"}
        show_checksum(response, head)
        return response

    def _put(
        self,
        call: Call,
        bucket: Bucket,
        key: bytes,
        old: Head | None,
        taken: Content,
        said: Attributes,
    ) -> Head:
        """Replace what is at ``key`` by a body taken in, or by a blob to be linked."""
        head = new_head(call, taken, said)
        if head.place == state.IN_BLOB:
            self._link(call, head.blob)
        if old is not None:
            self._drop_body(call, bucket, key, old)
        if head.place == state.IN_ROW:
            assert taken.data is not None
            state.put_body(call.tx, bucket, key, taken.data)
        state.put_head(call.tx, bucket, key, head)
        return head

    def _link(self, call: Call, blob: str) -> None:
        try:
            self.cloud.blobs.link(call.tx, blob)
        except LookupError as error:  # committed too long after it was written
            raise Fault(
                "RequestTimeout",
                "Your socket connection to the server was not read from or written to within the "
                "timeout period. Idle connections will be closed.",
                status=400,
            ) from error

    def _drop_body(self, call: Call, bucket: Bucket, key: bytes, old: Head) -> None:
        """Of an object being replaced or deleted; the head is the caller's."""
        if old.place == state.IN_ROW:
            state.delete_body(call.tx, bucket, key)
        elif old.place == state.IN_BLOB:
            self.cloud.blobs.unlink(call.tx, old.blob)
        elif old.place == state.IN_PARTS:
            drop_parts(self.cloud, call.tx, bucket, old.upload)

    # -- get

    def get_object(self, call: Call, request: Request) -> Response:
        bucket, key, head = self._found(call, request)
        overrides = _overrides(request)
        if overrides and call.principal.kind == "anonymous":
            raise invalid_request(
                "Request specific response headers cannot be used for anonymous GET requests."
            )
        response, start, stop = self._described(call, bucket, head, request)
        response.update(overrides)
        response["Body"] = content.body_of(self.cloud, call.tx, bucket, key, head, start, stop)
        return response

    def head_object(self, call: Call, request: Request) -> Response:
        bucket, _, head = self._found(call, request)
        response, _, _ = self._described(call, bucket, head, request)
        response.update(_overrides(request))
        return response

    def _found(self, call: Call, request: Request) -> tuple[Bucket, bytes, Head]:
        bucket = bucket_of(call, request)
        key = names.key_bytes(request["Key"])
        check_version_id(request.get("VersionId"))
        if not _CUSTOMER_KEYS.isdisjoint(request):
            raise not_offered("parameter SSECustomerKey")
        head = state.head(call.tx, bucket, key)
        if head is None:
            self._check_may_list(call, bucket)
            raise no_such_key(request["Key"])
        return bucket, key, head

    def _check_may_list(self, call: Call, bucket: Bucket) -> None:
        """Who may not list does not learn which keys are missing."""
        try:
            self.cloud.authorize(call, self, "ListObjectsV2", {"Bucket": bucket.name})
        except Fault:
            raise access_denied() from None

    def _described(
        self, call: Call, bucket: Bucket, head: Head, request: Request
    ) -> tuple[Response, int, int]:
        """(response without a body, start, stop): conditions, range and part number applied."""
        modified_s = head.modified_ms // 1000
        if not _CONDITIONS.isdisjoint(request):
            check_read(
                Validators(head.etag, modified_s),
                Reads(
                    request.get("IfMatch"),
                    request.get("IfNoneMatch"),
                    request.get("IfModifiedSince"),
                    request.get("IfUnmodifiedSince"),
                ),
            )
        size = head.size_bytes
        response: Response = {
            "AcceptRanges": "bytes",
            "LastModified": float(modified_s),
            "ETag": f'"{head.etag}"',
            "ContentType": _DEFAULT_TYPE,
            "ServerSideEncryption": "AES256",
            "Metadata": head.metadata,
            **head.headers,
        }
        if head.storage_class != "STANDARD":
            response["StorageClass"] = head.storage_class
        if head.tags:
            response["TagCount"] = len(head.tags)
        start, stop, partial = 0, size, False
        if (number := request.get("PartNumber")) is not None:
            if "Range" in request:
                raise invalid_request(
                    "Cannot specify both Range header and partNumber query parameter"
                )
            start, stop = part_slice(head, number)
            partial = True
            if head.place == state.IN_PARTS:
                response["PartsCount"] = parts_count(head)
        elif (wanted := request.get("Range")) is not None:
            found = slice_of(wanted, size)
            if found is not None:
                (start, stop), partial = found, True
        if partial and size:
            response["ContentRange"] = f"bytes {start}-{stop - 1}/{size}"
        response["ContentLength"] = stop - start
        if request.get("ChecksumMode") == "ENABLED" and (stop - start == size):
            show_checksum(response, head)
        return response, start, stop

    def get_object_attributes(self, call: Call, request: Request) -> Response:
        bucket, _, head = self._found(call, request)
        asked = set(request.get("ObjectAttributes") or ())
        known = {"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"}
        if not asked or asked - known:
            raise invalid_argument(
                "Invalid attribute name specified.",
                "x-amz-object-attributes",
                ",".join(sorted(asked - known)),
            )
        response: Response = {"LastModified": float(head.modified_ms // 1000)}
        if "ETag" in asked:
            response["ETag"] = head.etag
        if "Checksum" in asked and head.checksum:
            response["Checksum"] = show_checksum({}, head)
        if "StorageClass" in asked:
            response["StorageClass"] = head.storage_class
        if "ObjectSize" in asked:
            response["ObjectSize"] = head.size_bytes
        if "ObjectParts" in asked and head.place == state.IN_PARTS:
            response["ObjectParts"] = self._object_parts(call, bucket, head, request)
        return response

    def _object_parts(
        self, call: Call, bucket: Bucket, head: Head, request: Request
    ) -> dict[str, Any]:
        marker = int(request.get("PartNumberMarker") or 0)
        most = min(int(request.get("MaxParts") or 1000), 1000)
        total = parts_count(head)
        shown: dict[str, Any] = {"TotalPartsCount": total}
        if head.checksum_type != "COMPOSITE":
            return shown  # S3 lists parts only of objects with composite checksums
        listed: list[dict[str, Any]] = []
        more = False
        for number, part in state.parts(call.tx, bucket, head.upload, marker + 1):
            if len(listed) == most:
                more = True
                break
            listed.append(
                {
                    "PartNumber": number,
                    "Size": part.size_bytes,
                    f"Checksum{head.checksum}": part.checksum_value,
                }
            )
        shown |= {
            "PartNumberMarker": str(marker),
            "NextPartNumberMarker": str(listed[-1]["PartNumber"] if listed else 0),
            "MaxParts": most,
            "IsTruncated": more,
            "Parts": listed,
        }
        return shown

    # -- copy

    async def _weigh_copy(self, call: Call, request: Request) -> Request:
        """Read the source through where the copy needs digests that the source does not have."""
        name, source_key = copy_source(request)

        def look(inner: Call) -> tuple[Head, list[content.Piece], str] | None:
            bucket = bucket_of(inner, {"Bucket": name})
            key = names.key_bytes(source_key)
            head = state.head(inner.tx, bucket, key)
            if head is None:
                return None
            wanted = request.get("ChecksumAlgorithm") or head.checksum or checksums.DEFAULT
            checksums.check_algorithm(wanted)
            if head.place != state.IN_PARTS and wanted == head.checksum:
                return None
            if head.size_bytes > COPY_SIZE_BYTES_MAX:
                return None
            return head, content.pieces(inner.tx, bucket, key, head), wanted

        found = await call.transact(look)
        if found is None:
            return request
        head, pieces, wanted = found
        md5, value = await content.digests(self.cloud, pieces, wanted)
        return {**request, "_weighed": (head.etag, head.modified_ms, md5, wanted, value)}

    @prepared(_weigh_copy)
    def copy_object(self, call: Call, request: Request) -> Response:
        tx = call.tx
        bucket = bucket_of(call, request)
        key = names.key_bytes(request["Key"])
        source_bucket, source_key, source = self._copy_found(call, request)
        if source.size_bytes > COPY_SIZE_BYTES_MAX:
            raise invalid_request(
                "The specified copy source is larger than the maximum allowable size for a copy "
                f"source: {COPY_SIZE_BYTES_MAX}"
            )
        said = self._copy_attributes(request, source)
        same = source_bucket.id == bucket.id and source_key == key
        if same and not (
            request.get("MetadataDirective") == "REPLACE"
            or said.storage_class != source.storage_class
            or "WebsiteRedirectLocation" in request
            or "ServerSideEncryption" in request
            or request.get("ChecksumAlgorithm") not in (None, source.checksum)
        ):
            raise invalid_request(
                "This copy request is illegal because it is trying to copy an object to itself "
                "without changing the object's metadata, storage class, website redirect location "
                "or encryption attributes."
            )
        if "ACL" in request:
            check_acl(call, bucket, said.acl)
        old = source if same else state.head(tx, bucket, key)
        check_write(
            request["Key"],
            old.etag if old else None,
            request.get("IfMatch"),
            request.get("IfNoneMatch"),
        )
        md5, checksum, value = source.etag, source.checksum, source.checksum_value
        if (weighed := request.get("_weighed")) is not None:
            etag, modified_ms, md5, checksum, value = weighed
            if (etag, modified_ms) != (source.etag, source.modified_ms):
                raise operation_aborted()
        elif source.place == state.IN_PARTS:
            raise operation_aborted()
        head = self._put_copy(
            call,
            bucket,
            key,
            old,
            (source_bucket, source_key, source),
            said,
            (md5, checksum, value),
        )
        created(call, bucket, request["Key"], head, "Copy")
        result = {"ETag": f'"{head.etag}"', "LastModified": float(head.modified_ms // 1000)}
        return {
            "CopyObjectResult": show_checksum(result, head),
            "ServerSideEncryption": "AES256",
        }

    def _copy_found(self, call: Call, request: Request) -> tuple[Bucket, bytes, Head]:
        """The source of a copy, its conditions checked."""
        name, source_key = copy_source(request)
        bucket = bucket_of(
            call,
            {"Bucket": name, "ExpectedBucketOwner": request.get("ExpectedSourceBucketOwner")},
        )
        key = names.key_bytes(source_key)
        head = state.head(call.tx, bucket, key)
        if head is None:
            self._check_may_list(call, bucket)
            raise no_such_key(source_key)
        check_copy(
            Validators(head.etag, head.modified_ms // 1000),
            Reads(
                request.get("CopySourceIfMatch"),
                request.get("CopySourceIfNoneMatch"),
                request.get("CopySourceIfModifiedSince"),
                request.get("CopySourceIfUnmodifiedSince"),
            ),
        )
        return bucket, key, head

    def _copy_attributes(self, request: Request, source: Head) -> Attributes:
        for member in ("MetadataDirective", "TaggingDirective"):
            if request.get(member) not in (None, "COPY", "REPLACE"):
                header = (
                    "x-amz-metadata-directive" if member[0] == "M" else "x-amz-tagging-directive"
                )
                raise invalid_argument(
                    f"Unknown {'metadata' if member[0] == 'M' else 'tagging'} directive.",
                    header,
                    request[member],
                )
        said = attributes(request)
        if request.get("MetadataDirective") != "REPLACE":
            redirect = said.headers.get("WebsiteRedirectLocation")
            headers = {k: v for k, v in source.headers.items() if k != "WebsiteRedirectLocation"}
            if redirect is not None:
                headers["WebsiteRedirectLocation"] = redirect
            said = said._replace(headers=headers, metadata=source.metadata)
        if request.get("TaggingDirective") != "REPLACE":
            said = said._replace(tags=source.tags)
        return said

    def _put_copy(
        self,
        call: Call,
        bucket: Bucket,
        key: bytes,
        old: Head | None,
        source: tuple[Bucket, bytes, Head],
        said: Attributes,
        digests: tuple[str, str, str],
    ) -> Head:
        source_bucket, source_key, head = source
        md5, checksum, value = digests
        if head.place != state.IN_PARTS:
            data = None
            if head.place != state.IN_BLOB:
                (data,) = content.pieces(call.tx, source_bucket, source_key, head)
            assert data is None or isinstance(data, bytes)
            taken = Content(head.size_bytes, md5, checksum, value, data, head.blob)
            return self._put(call, bucket, key, old, taken, said)
        upload_id = f"copy-{call.tx.stamp():016x}"
        for first, count, _ in head.runs:
            for number, part in state.parts(
                call.tx, source_bucket, head.upload, first, first + count - 1
            ):
                for blob, _, _ in part.extents:
                    self._link(call, blob)
                if not part.extents:
                    data = state.part_body(call.tx, source_bucket, head.upload, number)
                    state.put_part_body(call.tx, bucket, upload_id, number, data)
                state.put_part(call.tx, bucket, upload_id, number, part)
        empty = Content(head.size_bytes, md5, checksum, value, b"", "")
        made = new_head(call, empty, said)
        made.place, made.upload, made.runs = state.IN_PARTS, upload_id, head.runs
        if old is not None:
            self._drop_body(call, bucket, key, old)
        state.put_head(call.tx, bucket, key, made)
        return made

    # -- delete

    def delete_object(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        key = names.key_bytes(request["Key"])
        check_version_id(request.get("VersionId"))
        for member in ("MFA", "IfMatchLastModifiedTime", "IfMatchSize"):
            if request.get(member) is not None:
                raise not_offered(f"parameter {member}")
        self._delete(call, bucket, key, request.get("IfMatch"))
        return {}

    def _delete(self, call: Call, bucket: Bucket, key: bytes, if_match: str | None) -> None:
        old = state.head(call.tx, bucket, key)
        if if_match is not None and (old is None or not matches(if_match, old.etag)):
            raise precondition_failed("If-Match")
        if old is not None:
            self._drop_body(call, bucket, key, old)
            state.delete_head(call.tx, bucket, key)
            happened(call, bucket, Happening("ObjectRemoved:Delete", key.decode()))

    def delete_objects(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        asked = payload(request, "Delete")
        listed = asked.get("Objects") or []
        if not 0 < len(listed) <= DELETE_COUNT_MAX or not all(one.get("Key") for one in listed):
            raise malformed_xml()
        if request.get("MFA") is not None:
            raise not_offered("parameter MFA")
        deleted: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for one in listed:
            try:
                self.cloud.authorize(
                    call, self, "DeleteObject", {"Bucket": bucket.name, "Key": one["Key"]}
                )
                check_version_id(one.get("VersionId"))
                for member in ("LastModifiedTime", "Size"):
                    if one.get(member) is not None:
                        raise not_offered(f"parameter {member}")
                self._delete(call, bucket, names.key_bytes(one["Key"]), one.get("ETag"))
            except Fault as fault:
                code = fault.code.removesuffix("Exception")  # AccessDenied here
                error = {"Key": one["Key"], "Code": code, "Message": fault.message}
                if one.get("VersionId"):
                    error["VersionId"] = one["VersionId"]
                errors.append(error)
                continue
            shown = {"Key": one["Key"]}
            if one.get("VersionId"):
                shown["VersionId"] = one["VersionId"]
            deleted.append(shown)
        response: Response = {}
        if deleted and not asked.get("Quiet"):
            response["Deleted"] = deleted
        if errors:
            response["Errors"] = errors
        return response

    # -- tags and ACL

    def get_object_tagging(self, call: Call, request: Request) -> Response:
        _, _, head = self._found(call, request)
        return {"TagSet": names.tag_set(head.tags)}

    def put_object_tagging(self, call: Call, request: Request) -> Response:
        bucket, key, head = self._found(call, request)
        head.tags = names.tags_of_set(payload(request, "Tagging").get("TagSet") or ())
        state.put_head(call.tx, bucket, key, head)
        touched(call, bucket, request["Key"], head, "ObjectTagging:Put")
        return {}

    def delete_object_tagging(self, call: Call, request: Request) -> Response:
        bucket, key, head = self._found(call, request)
        head.tags = {}
        state.put_head(call.tx, bucket, key, head)
        touched(call, bucket, request["Key"], head, "ObjectTagging:Delete")
        return {}

    def get_object_acl(self, call: Call, request: Request) -> Response:
        bucket, _, head = self._found(call, request)
        return policy_of_acl(bucket, head.acl)

    def put_object_acl(self, call: Call, request: Request) -> Response:
        bucket, key, head = self._found(call, request)
        refuse_members(request)
        if "AccessControlPolicy" in request:
            raise not_offered("parameter AccessControlPolicy")
        acl = request.get("ACL")
        if acl is None:
            raise invalid_request("Missing required header for this request: x-amz-acl")
        check_acl(call, bucket, acl)
        head.acl = acl
        state.put_head(call.tx, bucket, key, head)
        touched(call, bucket, request["Key"], head, "ObjectAcl:Put")
        return {}


def created(call: Call, bucket: Bucket, key: str, head: Head, kind: str) -> None:
    what = Happening(f"ObjectCreated:{kind}", key, head.size_bytes, head.etag)
    happened(call, bucket, what)


def touched(call: Call, bucket: Bucket, key: str, head: Head, event: str) -> None:
    """Something about the object changed, not its body."""
    happened(call, bucket, Happening(event, key, None, head.etag, sequenced=False))


def new_head(call: Call, taken: Content, said: Attributes) -> Head:
    data, place = b"", state.IN_BLOB
    if taken.data is not None:
        place = state.IN_ROW
        if len(taken.data) <= state.HEAD_BODY_BYTES_MAX:
            data, place = taken.data, state.IN_HEAD
    return Head(
        taken.md5,
        taken.size_bytes,
        int(call.tx.time_s * 1000),
        said.storage_class,
        taken.checksum,
        "FULL_OBJECT",
        taken.checksum_value,
        place,
        data,
        taken.blob,
        "",
        [],
        said.headers,
        said.metadata,
        said.tags,
        said.acl,
    )


def _overrides(request: Request) -> dict[str, Any]:
    """response-* parameters of a read, as the members they replace."""
    if _OVERRIDES.keys().isdisjoint(request):
        return {}
    return {ours: request[m] for m, ours in _OVERRIDES.items() if m in request}


def show_checksum(response: dict[str, Any], head: Head) -> dict[str, Any]:
    if head.checksum:
        response[f"Checksum{head.checksum}"] = head.checksum_value
        response["ChecksumType"] = head.checksum_type
    return response


def parts_count(head: Head) -> int:
    return sum(count for _, count, _ in head.runs)


def part_slice(head: Head, number: int) -> tuple[int, int]:
    """(start, stop) of the ``number``-th part, from 1. Raises InvalidPartNumber (416)."""
    if head.place != state.IN_PARTS:
        if number == 1:
            return 0, head.size_bytes
        total = 1
    else:
        total, at = 0, 0
        for _, count, size in head.runs:
            if total < number <= total + count:
                start = at + (number - total - 1) * size
                return start, start + size
            total += count
            at += count * size
    raise Fault(
        "InvalidPartNumber",
        "The requested partnumber is not satisfiable",
        status=416,
        PartNumberRequested=str(number),
        ActualPartCount=str(total),
    )


def copy_source(request: Request) -> tuple[str, str]:
    """(bucket, key) of ``CopySource``: ``[/]BUCKET/KEY``, percent-encoded. Raises Fault."""
    given = request["CopySource"]
    path, _, query = given.partition("?versionId=")
    check_version_id(unquote(query) or None)
    bucket, slash, key = unquote(path.removeprefix("/")).partition("/")
    if not slash or not bucket or not key:
        raise invalid_argument(
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
            "x-amz-copy-source",
            given,
        )
    return bucket, key


def operation_aborted() -> Fault:
    """The source of a copy changed while it was read; SDKs retry a 409 of this code."""
    return Fault(
        "OperationAborted",
        "A conflicting conditional operation is currently in progress against this resource. "
        "Please try again.",
        status=409,
    )
