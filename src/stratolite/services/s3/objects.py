"""Objects: put, get, head, and their attributes."""

from __future__ import annotations

import re
from email.utils import formatdate
from itertools import islice
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service, prepared
from stratolite.services.s3 import (
    archive_rules,
    content,
    encryption,
    lifecycle_rules,
    lock_rules,
    metadata,
    names,
    replication_rules,
    state,
    versions,
)
from stratolite.services.s3.archive_rules import ARCHIVED
from stratolite.services.s3.conditions import (
    Reads,
    Validators,
    check_read,
    check_write,
    range_holds,
    slice_of,
)
from stratolite.services.s3.content import Content
from stratolite.services.s3.entry import Attributes, attributes, bucket_of
from stratolite.services.s3.events import Happening, happened
from stratolite.services.s3.faults import access_denied, invalid_argument, invalid_request
from stratolite.services.s3.state import Bucket, Head
from stratolite.services.s3.versions import Found, make_room

_DEFAULT_TYPE = "binary/octet-stream"
_OVERRIDES = {
    "ResponseCacheControl": "CacheControl",
    "ResponseContentDisposition": "ContentDisposition",
    "ResponseContentEncoding": "ContentEncoding",
    "ResponseContentLanguage": "ContentLanguage",
    "ResponseContentType": "ContentType",
    "ResponseExpires": "Expires",
}
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*").fullmatch
_CONDITIONS = frozenset({"IfMatch", "IfNoneMatch", "IfModifiedSince", "IfUnmodifiedSince"})
_SAYING_KEYS = frozenset(
    {"SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5", "ServerSideEncryption"}
)


class Objects(Service):
    # -- put

    async def _take_put(self, call: Call, request: Request) -> Request:
        sealed = await begin_ahead(call, request)
        data_key = sealed.data_key if sealed is not None else b""
        taken = await content.taken(self.cloud, request, state.INLINE_BYTES_MAX, data_key)
        return {**request, "Body": taken, "_sealed": sealed}

    @prepared(_take_put, unless=content.is_small)
    def put_object(self, call: Call, request: Request) -> Response:
        taken = content.taken_small(request)
        bucket = bucket_of(call, request)
        key = names.key_bytes(request["Key"])
        said = attributes(call, bucket, request)
        old = state.head(call.tx, bucket, key)
        check_write(
            request["Key"],
            old.etag if old else None,
            request.get("IfMatch"),
            request.get("IfNoneMatch"),
        )
        sealed: encryption.Sealing | None = request.get("_sealed")
        if "_sealed" not in request and (
            "encryption" in bucket.on or not encryption.ASKING.isdisjoint(request)
        ):
            asked = encryption.wanted(call, bucket, request)
            if asked is not None:
                sealed = encryption.begin(call, bucket, request["Key"], asked)
                taken = content.sealed(self.cloud, taken, sealed.data_key)
        head = new_head(call, taken, said, sealed)
        if head.place == state.IN_BLOB:
            self._link(call, head.blob)
        data = taken.data if head.place == state.IN_ROW else None
        self._place(call, bucket, key, old, head, data, "Post" if "_form" in request else "Put")
        response: Response = {"ETag": f'"{head.etag}"', **encryption.shown(head.more.get("sse"))}
        if head.version:
            response["VersionId"] = head.version
        if "lifecycle" in bucket.on:
            response |= lifecycle_rules.shown(call, bucket, request["Key"], head)
        show_checksum(response, head)
        return response

    def _place(
        self,
        call: Call,
        bucket: Bucket,
        key: bytes,
        old: Head | None,
        head: Head,
        data: bytes | None,
        event: str,
    ) -> None:
        """Make ``head`` the current version of ``key``, whose current one is ``old``; its blobs are linked.

        ``data`` is the body where it is a row of its own.
        """
        if old is not None or bucket.versioning:
            head.order, head.version = make_room(call, bucket, key, old)
        if data is not None:
            state.put_body(call.tx, bucket, key, head.order, data)
        if bucket.on:
            if "replication" in bucket.on:
                replication_rules.note(call, bucket, key, head)
            created(call, bucket, key.decode(), head, event)
        state.put_head(call.tx, bucket, key, head)

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

    # -- get

    def get_object(self, call: Call, request: Request) -> Response:
        found = self._found(call, request)
        bucket, key, head, _ = found
        overrides = _overrides(request)
        if overrides and call.principal.kind == "anonymous":
            raise invalid_request(
                "Request specific response headers cannot be used for anonymous GET requests."
            )
        if head.storage_class in ARCHIVED:
            archive_rules.check_readable(call, head)
        data_key = b""
        if "sse" in head.more or not _SAYING_KEYS.isdisjoint(request):
            _check_asks_for_none(request)
            sse = head.more.get("sse") or {}
            data_key = encryption.open_key(call, bucket, request["Key"], sse, request)
        response, start, stop = self._described(call, bucket, head, request)
        response.update(overrides)
        response["Body"] = content.body_of(
            self.cloud, call.tx, bucket, key, head, start, stop, data_key
        )
        return response

    def head_object(self, call: Call, request: Request) -> Response:
        bucket, _, head, _ = self._found(call, request)
        sse = head.more.get("sse") or {}
        _check_asks_for_none(request)
        if sse.get("alg") == "C" or not _SAYING_KEYS.isdisjoint(request):
            encryption.open_key(call, bucket, request["Key"], sse, request)
        response, _, _ = self._described(call, bucket, head, request)
        response.update(_overrides(request))
        return response

    def _found(
        self, call: Call, request: Request, method: str = "GET", *, of_tags: bool = False
    ) -> Found:
        bucket = bucket_of(call, request)
        key = names.key_bytes(request["Key"])
        version_id = request.get("VersionId")
        if version_id is None:
            head = state.head(call.tx, bucket, key)
            if head is not None:
                return Found(bucket, key, head, True)
        try:
            return versions.get(call, bucket, key, version_id, method, of_tags=of_tags)
        except Fault as fault:
            if fault.code == "NoSuchKey":
                self._check_may_list(call, bucket, request["Key"])
            raise

    def _check_may_list(self, call: Call, bucket: Bucket, key: str) -> None:
        """Who may not list does not learn which keys are missing; a table's bucket is listed by nobody."""
        if bucket.table:
            return
        try:
            asked = {"Bucket": bucket.name, "Prefix": key}
            self.cloud.authorize(call, self, "ListObjectsV2", asked)
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
                call.tx.time_s,
            )
        size = head.size_bytes
        response: Response = {
            "AcceptRanges": "bytes",
            "LastModified": float(modified_s),
            "ETag": f'"{head.etag}"',
            "ContentType": _DEFAULT_TYPE,
            **encryption.shown(head.more.get("sse")),
            "Metadata": metadata.shown(head.metadata),
            **head.headers,
        }
        if head.storage_class != "STANDARD":
            response["StorageClass"] = head.storage_class
        if head.tags:
            response["TagCount"] = len(head.tags)
        if bucket.versioning:
            response["VersionId"] = versions.shown(head)
        if head.more:
            response |= lock_rules.shown(call, head)
            if "replication" in head.more:
                response["ReplicationStatus"] = head.more["replication"]
            if head.storage_class in ARCHIVED:
                response |= archive_rules.shown(call, head)
        if "lifecycle" in bucket.on and "VersionId" not in request:
            # LocalStack's recorded test_bucket_lifecycle_configuration_object_expiry_versioned
            response |= lifecycle_rules.shown(call, bucket, request["Key"], head)
        if "request-payment" in bucket.on and request.get("RequestPayer"):
            response["RequestCharged"] = "requester"
        start, stop, partial = 0, size, False
        if (number := request.get("PartNumber")) is not None:
            if "Range" in request:
                raise invalid_request(
                    "Cannot specify both Range header and partNumber query parameter"
                )
            start, stop = part_slice(head, number)
            partial = True
            if is_multipart(head):
                response["PartsCount"] = parts_count(head)
        elif (wanted := request.get("Range")) is not None and range_holds(
            request.get("IfRange"), Validators(head.etag, modified_s)
        ):
            found = slice_of(wanted, size)
            if found is not None:
                (start, stop), partial = found, True
        if partial and size:
            response["ContentRange"] = f"bytes {start}-{stop - 1}/{size}"
        response["ContentLength"] = stop - start
        if (mode := request.get("ChecksumMode")) and mode.upper() == "ENABLED":
            if number is not None and head.checksum_type == "COMPOSITE":
                part = part_of(call, bucket, head, number)
                response[f"Checksum{head.checksum}"] = part.checksum_value
                response["ChecksumType"] = head.checksum_type
            elif stop - start == size:
                show_checksum(response, head)
        return response, start, stop

    def get_object_attributes(self, call: Call, request: Request) -> Response:
        bucket, _, head, _ = self._found(call, request)
        sse = head.more.get("sse") or {}
        if sse.get("alg") == "C" or not _SAYING_KEYS.isdisjoint(request):
            encryption.open_key(call, bucket, request["Key"], sse, request)
        asked = set(request.get("ObjectAttributes") or ())
        known = {"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"}
        if not asked or asked - known:
            raise invalid_argument(
                "Invalid attribute name specified.",
                "x-amz-object-attributes",
                ",".join(sorted(asked - known)),
            )
        response: Response = {"LastModified": float(head.modified_ms // 1000)}
        if bucket.versioning:
            response["VersionId"] = versions.shown(head)
        if "ETag" in asked:
            response["ETag"] = head.etag
        if "Checksum" in asked and head.checksum:
            shown = show_checksum({}, head)
            shown[f"Checksum{head.checksum}"] = head.checksum_value.partition("-")[0]
            response["Checksum"] = shown
        if "StorageClass" in asked:
            response["StorageClass"] = head.storage_class
        if "ObjectSize" in asked:
            response["ObjectSize"] = head.size_bytes
        if "ObjectParts" in asked and is_multipart(head):
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


def created(call: Call, bucket: Bucket, key: str, head: Head, kind: str) -> None:
    version = head.version or None
    what = Happening(f"ObjectCreated:{kind}", key, head.size_bytes, head.etag, version, head=head)
    happened(call, bucket, what)


def touched(call: Call, bucket: Bucket, key: str, head: Head, event: str) -> None:
    """Something about the object changed, not its body."""
    version = head.version or None
    what = Happening(event, key, None, head.etag, version, sequenced=False, head=head)
    happened(call, bucket, what)


async def begin_ahead(call: Call, request: Request) -> encryption.Sealing | None:
    """The data key for a body that must be sealed while it comes in, if it must be."""

    def look(inner: Call) -> encryption.Sealing | None:
        bucket = bucket_of(inner, request)
        asked = encryption.wanted(inner, bucket, request)
        if asked is None:
            return None
        return encryption.begin(inner, bucket, request["Key"], asked)

    return await call.transact(look)


def new_head(
    call: Call, taken: Content, said: Attributes, sealed: encryption.Sealing | None = None
) -> Head:
    """Of a body taken in; of a sealed one the ETag says nothing, unless the key is S3's own."""
    etag, more = taken.md5, said.more
    if sealed is not None:
        more = {**more, "sse": sealed.sse}
        if encryption.hides_digest(sealed.sse):
            etag = call.world.token(16).hex()
    data, place = b"", state.IN_BLOB
    if taken.data is not None:
        place = state.IN_ROW
        if len(taken.data) <= state.HEAD_BODY_BYTES_MAX:
            data, place = taken.data, state.IN_HEAD
    return Head(
        etag,
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
        0,
        "",
        more,
    )


def _check_asks_for_none(request: Request) -> None:
    """A read that says how to encrypt is refused; how an object is encrypted is known."""
    if "ServerSideEncryption" in request:
        raise invalid_argument(
            "x-amz-server-side-encryption header is not supported for this operation.",
            "x-amz-server-side-encryption",
            request["ServerSideEncryption"],
        )


def _overrides(request: Request) -> dict[str, Any]:
    """response-* parameters of a read, as the members they replace. Raises InvalidArgument."""
    if _OVERRIDES.keys().isdisjoint(request):
        return {}
    for member in _OVERRIDES.keys() & request.keys():
        value = request[member]
        if isinstance(value, str) and not _HEADER_VALUE(value):
            words = re.findall("[A-Z][a-z]+", member)
            raise invalid_argument(
                "Header value cannot be represented using ISO-8859-1.",
                "-".join(words).lower(),
                value,
            )
    found = {ours: request[m] for m, ours in _OVERRIDES.items() if m in request}
    if isinstance(expires := found.get("Expires"), float | int):
        found["Expires"] = formatdate(expires, usegmt=True)
    return found


def show_checksum(response: dict[str, Any], head: Head) -> dict[str, Any]:
    if head.checksum:
        response[f"Checksum{head.checksum}"] = head.checksum_value
        response["ChecksumType"] = head.checksum_type
    return response


def is_multipart(head: Head) -> bool:
    """Whether it was uploaded in parts; the copy of such an object is one whose bytes lie in parts and nothing more."""
    return head.place == state.IN_PARTS and "-" in head.etag


def parts_count(head: Head) -> int:
    return sum(count for _, count, _ in head.runs)


def part_of(call: Call, bucket: Bucket, head: Head, number: int) -> state.Part:
    """The ``number``-th part, from 1, of an object that has so many."""
    numbers = (at for first, count, _ in head.runs for at in range(first, first + count))
    at = next(islice(numbers, number - 1, None))
    found = state.part(call.tx, bucket, head.upload, at)
    assert found is not None, (bucket.name, head.upload, at)
    return found


def part_slice(head: Head, number: int) -> tuple[int, int]:
    """(start, stop) of the ``number``-th part, from 1. Raises InvalidPartNumber (416)."""
    if not is_multipart(head):
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
