"""Multipart uploads: parts come in any order, completing names them as one object without moving a byte.

Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import quote

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, is_number, prepared
from stratolite.services.s3 import (
    archive_rules,
    checksums,
    content,
    encryption,
    names,
    sealing,
    state,
)
from stratolite.services.s3.conditions import check_write, matches, slice_of
from stratolite.services.s3.content import Content, Piece, Sealed
from stratolite.services.s3.copying import Again, Copying, copy_source, operation_aborted
from stratolite.services.s3.entry import (
    Attributes,
    attributes,
    bucket_of,
    refuse_members,
)
from stratolite.services.s3.faults import (
    conflict,
    invalid_argument,
    invalid_request,
    malformed_xml,
    no_such_upload,
)
from stratolite.services.s3.grants import initiator, owner
from stratolite.services.s3.objects import new_head, show_checksum
from stratolite.services.s3.state import Bucket, Head, Part, Run, Upload
from stratolite.services.s3.worker import drop_parts, drop_unlisted

PART_NUMBER_MAX = 10_000
PART_SIZE_BYTES_MIN = 5 << 20
"""Of all parts but the last."""
OBJECT_SIZE_BYTES_MAX = 5 << 40
PARTS_IN_TX_MAX = 500
"""What a transaction may read without holding up others for more than a few milliseconds."""


class _Opened(NamedTuple):
    bucket: Bucket
    key: bytes
    upload_id: str
    upload: Upload


class Multipart(Copying):
    def create_multipart_upload(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        key = names.key_bytes(request["Key"])
        said = attributes(call, bucket, request)
        more = said.more
        asked = encryption.wanted(call, bucket, request)
        if asked is not None:
            sse = encryption.begin(call, bucket, request["Key"], asked).sse
            more = {**more, "sse": sse}
        checksum, kind = _checksum_of_upload(request)
        stamp, chance = call.tx.stamp(), call.world.token(24).hex()
        upload_id = f"{stamp:016x}{chance}"  # sorts by when it was initiated
        upload = Upload(
            int(call.tx.time_s * 1000),
            said.storage_class,
            checksum or checksums.DEFAULT,
            kind,
            checksum is not None,
            initiator(call.principal),
            said.headers,
            said.metadata,
            said.tags,
            said.acl,
            stamp,
            more,
        )
        state.put_upload(call.tx, bucket, key, upload_id, upload)
        response: Response = {
            "Bucket": bucket.name,
            "Key": request["Key"],
            "UploadId": upload_id,
            **encryption.shown(more.get("sse")),
        }
        if checksum is not None:
            response |= {"ChecksumAlgorithm": checksum, "ChecksumType": kind}
        return response

    def _opened(self, call: Call, request: Request) -> _Opened:
        bucket = bucket_of(call, request)
        key, upload_id = names.key_bytes(request["Key"]), request["UploadId"]
        upload = state.upload(call.tx, bucket, key, upload_id)
        if upload is None:
            raise no_such_upload(upload_id)
        return _Opened(bucket, key, upload_id, upload)

    # -- parts

    def _opened_with_key(self, call: Call, request: Request) -> tuple[_Opened, bytes]:
        """The upload and the data key its parts are sealed with, "" for none."""
        opened = self._opened(call, request)
        sse = opened.upload.more.get("sse")
        if sse is None and not request.get("SSECustomerKey"):
            return opened, b""
        if (sse is not None and sse["alg"] == "C") != bool(request.get("SSECustomerKey")):
            raise invalid_request(
                "The multipart upload initiate requested encryption. Subsequent part requests must "
                "include the appropriate encryption parameters."
            )
        try:
            data_key = encryption.open_key(call, opened.bucket, request["Key"], sse or {}, request)
        except Fault as fault:
            if fault.code != "AccessDenied" or sse is None or sse["alg"] != "C":
                raise
            raise invalid_request(
                "The provided encryption parameters did not match the ones used originally."
            ) from fault
        return opened, data_key

    async def _take_part(self, call: Call, request: Request) -> Request:
        """The upload decides the checksum of a part that brings none."""
        number = _part_number(request)
        opened, data_key = await call.transact(lambda inner: self._opened_with_key(inner, request))
        upload = opened.upload
        given, _ = checksums.wanted(request)
        chosen = any(m in request for m in checksums.MEMBERS) or "ChecksumAlgorithm" in request
        if chosen and given != upload.checksum and upload.checksum_asked:
            raise _type_mismatch(upload.checksum, given.lower())
        if not chosen and upload.checksum_asked and upload.checksum_type == "COMPOSITE":
            raise _type_mismatch(upload.checksum, "null")
        # The client may check with one algorithm, and the object carry another.
        most = state.PART_INLINE_BYTES_MAX
        taken = await content.taken(self.cloud, request, most, data_key, upload.checksum)
        value = taken.other_value or taken.checksum_value
        if data_key and encryption.hides_digest(upload.more["sse"]):
            taken = taken._replace(md5=call.world.token(16).hex())
        return {
            **request,
            "Body": taken,
            "_value": value,
            "_given": given if chosen else "",
            "PartNumber": number,
        }

    @prepared(_take_part)
    def upload_part(self, call: Call, request: Request) -> Response:
        opened = self._opened(call, request)
        refuse_members(request)
        taken: Content = request["Body"]
        self._put_part(call, opened, request["PartNumber"], taken, request["_value"])
        response: Response = {
            "ETag": f'"{taken.md5}"',
            **encryption.shown(opened.upload.more.get("sse")),
        }
        if request["_given"]:
            response[f"Checksum{taken.checksum}"] = taken.checksum_value
        return response

    def _put_part(
        self, call: Call, opened: _Opened, number: int, taken: Content, value: str
    ) -> None:
        extents = []
        if taken.data is None:
            self._link(call, taken.blob)
            is_sealed = "sse" in opened.upload.more
            size = sealing.sealed_size(taken.size_bytes) if is_sealed else taken.size_bytes
            extents.append((taken.blob, 0, size))
        modified_ms = int(call.tx.time_s * 1000)
        part = Part(taken.md5, taken.size_bytes, modified_ms, value, extents)
        self._replace_part(call, opened, number, part, taken.data)

    def _replace_part(
        self,
        call: Call,
        opened: _Opened,
        number: int,
        part: Part,
        data: bytes | None,
    ) -> None:
        """``part``'s blobs are linked already, so that a part may replace itself."""
        tx = call.tx
        bucket, key, upload_id, upload = opened
        upload.changed = tx.stamp()
        state.put_upload(tx, bucket, key, upload_id, upload)
        old = state.part(tx, bucket, upload_id, number)
        if old is not None:
            for blob, _, _ in old.extents:
                self.cloud.blobs.unlink(tx, blob)
            state.delete_part(tx, bucket, upload_id, number)
        state.put_part(tx, bucket, upload_id, number, part)
        if data is not None:
            state.put_part_body(tx, bucket, upload_id, number, data)

    async def _weigh_part_copy(self, call: Call, request: Request) -> Request:
        """Read the slice through for its digests; one of small pieces or sealed ones becomes a blob of its own."""
        number = _part_number(request)
        source = copy_source(request)

        def look(inner: Call) -> tuple[Upload, Head, list[Piece], int, bytes]:
            opened, data_key = self._opened_with_key(inner, request)
            bucket, key, head, _ = self._source(inner, source, request)
            archive_rules.check_readable(inner, head)
            start, stop = _copy_slice(request, head.size_bytes)
            sse = head.more.get("sse") or {}
            opening = encryption.open_key(inner, bucket, source.key, sse, request, "CopySource")
            pieces = content.pieces(inner.tx, bucket, key, head, start, stop, opening)
            return opened.upload, head, pieces, stop - start, data_key

        upload, head, pieces, size, data_key = await call.transact(look)
        if size > content.PUT_SIZE_BYTES_MAX:
            raise invalid_request(
                "The specified copy source is larger than the maximum allowable size for a copy "
                f"source: {content.PUT_SIZE_BYTES_MAX}"
            )
        checksum = upload.checksum
        if (
            data_key
            or size <= state.PART_INLINE_BYTES_MAX
            or not all(type(piece) is tuple for piece in pieces)
        ):
            body = Again(self.cloud, pieces)
            weighed = await content.taken_again(
                self.cloud, body, checksum, state.PART_INLINE_BYTES_MAX, data_key
            )
        else:
            md5, value = await content.digests(self.cloud, pieces, checksum)
            weighed = Content(size, md5, checksum, value, None, "")
        if data_key and encryption.hides_digest(upload.more["sse"]):
            weighed = weighed._replace(md5=call.world.token(16).hex())
        seen = (head.etag, head.modified_ms)
        return {**request, "PartNumber": number, "_seen": seen, "_weighed": weighed}

    @prepared(_weigh_part_copy)
    def upload_part_copy(self, call: Call, request: Request) -> Response:
        opened = self._opened(call, request)
        refuse_members(request)
        found = self._copy_found(call, request)
        source = found.head
        if (source.etag, source.modified_ms) != request["_seen"]:
            raise operation_aborted()
        taken: Content = request["_weighed"]
        number = request["PartNumber"]
        if taken.data is not None or taken.blob:
            self._put_part(call, opened, number, taken, taken.checksum_value)
        else:
            start, stop = _copy_slice(request, source.size_bytes)
            extents = []
            for piece in content.pieces(call.tx, found.bucket, found.key, source, start, stop):
                assert not isinstance(piece, (bytes, Sealed))
                self._link(call, piece[0])
                extents.append(piece)
            modified_ms = int(call.tx.time_s * 1000)
            part = Part(taken.md5, taken.size_bytes, modified_ms, taken.checksum_value, extents)
            self._replace_part(call, opened, number, part, None)
        result = {"ETag": f'"{taken.md5}"', "LastModified": float(int(call.tx.time_s))}
        if opened.upload.checksum_asked:
            result[f"Checksum{taken.checksum}"] = taken.checksum_value
        response: Response = {
            "CopyPartResult": result,
            **encryption.shown(opened.upload.more.get("sse")),
        }
        if source.version:
            response["CopySourceVersionId"] = source.version
        return response

    # -- completing and aborting

    def _read_parts(self, call: Call, request: Request) -> Request | Awaitable[Request]:
        listed = (request.get("MultipartUpload") or {}).get("Parts") or []
        if not listed:
            return request  # the tx says whether there is such an upload at all
        _check_order(request["UploadId"], listed)
        if len(listed) <= PARTS_IN_TX_MAX and checksums.at_hand():
            return request
        return self._assemble_ahead(call, request, listed)

    async def _assemble_ahead(
        self, call: Call, request: Request, listed: Sequence[Mapping[str, Any]]
    ) -> Request:
        """Thousands of parts are read page by page and put together in a thread."""
        upload_id = request["UploadId"]
        have: dict[int, Part] = {}

        def page(inner: Call) -> tuple[Upload | None, list[tuple[int, Part]]]:
            bucket = bucket_of(inner, request)
            key = names.key_bytes(request["Key"])
            rows = state.parts(inner.tx, bucket, upload_id, max(have, default=0) + 1)
            upload = state.upload(inner.tx, bucket, key, upload_id)
            return upload, list(islice(rows, PARTS_IN_TX_MAX))

        before, found = await call.transact(page)
        upload = before
        while upload is not None and found:
            have.update(found)
            upload, found = await call.transact(page)
        if before is None or upload is None:
            return request  # the tx says what there is to say
        if before.changed != upload.changed:
            raise operation_aborted()
        made = await asyncio.to_thread(_assembled, request, before, listed, have)
        return {**request, "_assembled": (upload.changed, made)}

    @prepared(_read_parts)
    def complete_multipart_upload(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        key = names.key_bytes(request["Key"])
        upload_id = request["UploadId"]
        old = state.head(call.tx, bucket, key)
        upload = state.upload(call.tx, bucket, key, upload_id)
        if upload is None:
            if old is not None and old.place == state.IN_PARTS and old.upload == upload_id:
                return _completed(call, bucket, request["Key"], old)  # the same request once more
            raise no_such_upload(upload_id)
        if upload.checksum_asked and (upload.more.get("sse") or {}).get("alg") == "C":
            self._opened_with_key(
                call, request
            )  # AWS wants the key again where there are checksums
        check_write(
            request["Key"],
            old.etag if old else None,
            request.get("IfMatch"),
            request.get("IfNoneMatch"),
        )
        _check_undisturbed(call, bucket, key, upload, old, request)
        if not (request.get("MultipartUpload") or {}).get("Parts"):
            raise invalid_request("You must specify at least one part")
        if "_assembled" in request:
            changed, made = request["_assembled"]
            if changed != upload.changed:
                raise operation_aborted()
        else:
            have = dict(state.parts(call.tx, bucket, upload_id))
            made = _assembled(request, upload, request["MultipartUpload"]["Parts"], have)
        head = new_head(call, made.content, upload_attributes(upload))
        head.checksum_type = upload.checksum_type
        head.place, head.upload, head.runs = state.IN_PARTS, upload_id, made.runs
        drop_unlisted(self.cloud, call.tx, bucket, upload_id, made.runs)
        self._place(call, bucket, key, old, head, None, "CompleteMultipartUpload")
        state.delete_upload(call.tx, bucket, key, upload_id)
        response = _completed(call, bucket, request["Key"], head)
        sse = upload.more.get("sse")
        if not upload.checksum_asked and sse is not None and encryption.hides_digest(sse):
            # LocalStack's recorded test_s3_multipart_upload_sse and test_multipart_upload_sse_c
            del response[f"Checksum{head.checksum}"], response["ChecksumType"]
        return response

    def abort_multipart_upload(self, call: Call, request: Request) -> Response:
        bucket, key, upload_id, _ = self._opened(call, request)
        if request.get("IfMatchInitiatedTime") is not None:
            raise invalid_request("IfMatchInitiatedTime is for directory buckets")
        state.delete_upload(call.tx, bucket, key, upload_id)
        drop_parts(self.cloud, call.tx, bucket, upload_id)
        return {}

    def list_parts(self, call: Call, request: Request) -> Response:
        bucket, _, _, upload = self._opened(call, request)
        most = request.get("MaxParts", 1000)
        if most < 0:
            raise invalid_argument(
                "Argument maxParts must be an integer between 0 and 2147483647", "max-parts", most
            )
        most = min(most, 1000)
        marker = int(request.get("PartNumberMarker") or 0)
        listed: list[dict[str, Any]] = []
        more = False
        for number, part in state.parts(call.tx, bucket, request["UploadId"], marker + 1):
            if len(listed) == most:
                more = True
                break
            shown = {
                "PartNumber": number,
                "LastModified": float(part.modified_ms // 1000),
                "ETag": f'"{part.etag}"',
                "Size": part.size_bytes,
            }
            if upload.checksum_asked:
                shown[f"Checksum{upload.checksum}"] = part.checksum_value
            listed.append(shown)
        response: Response = {
            "Bucket": bucket.name,
            "Key": request["Key"],
            "UploadId": request["UploadId"],
            "PartNumberMarker": marker,
            "NextPartNumberMarker": listed[-1]["PartNumber"] if listed else 0,
            "MaxParts": most,
            "IsTruncated": more and most > 0,
            "Initiator": {"ID": upload.initiator},
            "Owner": owner(bucket.account),
            "StorageClass": upload.storage_class,
        }
        if listed:
            response["Parts"] = listed
        if upload.checksum_asked:
            response |= {"ChecksumAlgorithm": upload.checksum, "ChecksumType": upload.checksum_type}
        return response


def _check_undisturbed(
    call: Call, bucket: Bucket, key: bytes, upload: Upload, old: Head | None, request: Request
) -> None:
    """Raises ConditionalRequestConflict where a condition holds only because of what came after the upload began.

    LocalStack's recorded test_multipart_if_match_with_put and test_multipart_if_none_match_with_delete. Of a delete in
    a bucket without versions nothing is left that could tell.
    """
    if request.get("IfMatch") is not None and old is not None:
        if old.modified_ms > upload.initiated_ms:
            raise conflict("If-Match", request["Key"])
    elif request.get("IfNoneMatch") is not None and bucket.versioning:
        marker = state.newest_older(call.tx, bucket, key)
        if marker is not None and marker.modified_ms > upload.initiated_ms:
            raise conflict("If-None-Match", request["Key"])


class _Assembled(NamedTuple):
    """An object put together from parts: all but its key."""

    content: Content
    """Its ETag stands in ``md5``; its data is in the parts."""
    runs: list[Run]


def _check_order(upload_id: str, listed: Sequence[Mapping[str, Any]]) -> None:
    if not 0 < len(listed) <= PART_NUMBER_MAX:
        raise malformed_xml()
    before = 0
    for one in listed:
        number = one.get("PartNumber")
        if number is None or "ETag" not in one:
            raise malformed_xml()
        if number <= before:
            raise Fault(
                "InvalidPartOrder",
                "The list of parts was not in ascending order. Parts must be ordered by part number.",
                status=400,
                UploadId=upload_id,
            )
        before = number


def _assembled(
    request: Request,
    upload: Upload,
    listed: Sequence[Mapping[str, Any]],
    have: Mapping[int, Part],
) -> _Assembled:
    """The object of the ``listed`` parts, each checked against what was uploaded. Raises Fault."""
    upload_id = request["UploadId"]
    chosen: list[tuple[int, Part]] = []
    for one in listed:
        number = one["PartNumber"]
        part = have.get(number)
        if part is None or not matches(one["ETag"], part.etag):
            raise _invalid_part(upload_id, number, one["ETag"])
        _check_part_checksum(upload, upload_id, one, part)
        chosen.append((number, part))
    for number, part in chosen[:-1]:
        if part.size_bytes < PART_SIZE_BYTES_MIN:
            raise Fault(
                "EntityTooSmall",
                "Your proposed upload is smaller than the minimum allowed size",
                status=400,
                ETag=part.etag,
                MinSizeAllowed=str(PART_SIZE_BYTES_MIN),
                PartNumber=str(number),
                ProposedSize=str(part.size_bytes),
            )
    sizes = [(number, part.size_bytes) for number, part in chosen]
    size = sum(part_size for _, part_size in sizes)
    _check_size(request, size)
    md5s = b"".join(bytes.fromhex(part.etag) for _, part in chosen)
    etag = f"{hashlib.md5(md5s, usedforsecurity=False).hexdigest()}-{len(chosen)}"
    value = _checksum_of_whole(request, upload, [part for _, part in chosen])
    return _Assembled(Content(size, etag, upload.checksum, value, b"", ""), runs_of(sizes))


def upload_attributes(upload: Upload) -> Attributes:
    return Attributes(
        upload.storage_class,
        upload.headers,
        upload.metadata,
        upload.tags,
        upload.acl,
        upload.more,
    )


def runs_of(sizes: Sequence[tuple[int, int]]) -> list[Run]:
    """(number, size) of each part in order, as runs."""
    found: list[list[int]] = []
    for number, size in sizes:
        if found and found[-1][2] == size and found[-1][0] + found[-1][1] == number:
            found[-1][1] += 1
        else:
            found.append([number, 1, size])
    return [(first, count, size) for first, count, size in found]


def _part_number(request: Request) -> int:
    number = request["PartNumber"]
    if not isinstance(number, int) or not 1 <= number <= PART_NUMBER_MAX:
        raise invalid_argument(
            "Part number must be an integer between 1 and 10000, inclusive", "partNumber", number
        )
    return number


def _copy_slice(request: Request, size: int) -> tuple[int, int]:
    given = request.get("CopySourceRange")
    if given is None:
        return 0, size
    malformed = invalid_argument(
        "The x-amz-copy-source-range value must be of the form bytes=first-last where first and "
        "last are the zero-based offsets of the first and last bytes to copy",
        "x-amz-copy-source-range",
        given,
    )
    first, _, last = given.removeprefix("bytes=").partition("-")
    if not (
        given.startswith("bytes=")
        and first.isascii()
        and is_number(first)
        and last.isascii()
        and is_number(last)
    ):
        raise malformed
    if len(first) <= 18 and int(first) >= size:
        raise invalid_request("The specified copy range is invalid for the source object size")
    if int(last) < int(first):
        raise malformed
    found = None if len(last) > 18 or int(last) >= size else slice_of(given, size)
    if found is None:
        raise invalid_argument(
            f"Range specified is not valid for source object of size: {size}",
            "x-amz-copy-source-range",
            given,
        )
    return found


def _checksum_of_upload(request: Request) -> tuple[str | None, str]:
    """(algorithm the client chose, COMPOSITE or FULL_OBJECT). Raises Fault."""
    checksum, kind = request.get("ChecksumAlgorithm"), request.get("ChecksumType")
    if checksum is None:
        if kind is not None:
            raise invalid_request(
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
            )
        return None, "FULL_OBJECT"
    checksums.check_algorithm(checksum)
    if kind is None:
        kind = "FULL_OBJECT" if checksum == "CRC64NVME" else "COMPOSITE"
    if kind not in ("FULL_OBJECT", "COMPOSITE"):
        raise invalid_request("Value for x-amz-checksum-type header is invalid.")
    wrong = checksum == "CRC64NVME" if kind == "COMPOSITE" else checksum not in checksums.CRC_BYTES
    if wrong:
        raise invalid_request(
            f"The {kind} checksum type cannot be used with the {checksum.lower()} checksum algorithm."
        )
    return checksum, kind


def _type_mismatch(expected: str, actual: str) -> Fault:
    return invalid_request(
        f"Checksum Type mismatch occurred, expected checksum Type: {expected.lower()}, "
        f"actual checksum Type: {actual}"
    )


def _invalid_part(upload_id: str, number: int, etag: str) -> Fault:
    return Fault(
        "InvalidPart",
        "One or more of the specified parts could not be found.  The part may not have been uploaded, "
        "or the specified entity tag may not match the part's entity tag.",
        status=400,
        UploadId=upload_id,
        PartNumber=str(number),
        ETag=etag.strip('"'),
    )


def _check_part_checksum(
    upload: Upload, upload_id: str, one: Mapping[str, Any], part: Part
) -> None:
    given = one.get(f"Checksum{upload.checksum}")
    if given is None:
        if upload.checksum_asked and upload.checksum_type == "COMPOSITE":
            name = upload.checksum.lower()
            raise invalid_request(
                f"The upload was created using a {name} checksum. The complete request must include "
                f"the checksum for each part. It was missing for part {one['PartNumber']} in the request."
            )
    elif given != part.checksum_value:
        raise _invalid_part(upload_id, one["PartNumber"], one["ETag"])


def _check_size(request: Request, size: int) -> None:
    if size > OBJECT_SIZE_BYTES_MAX:
        raise Fault(
            "EntityTooLarge",
            "Your proposed upload exceeds the maximum allowed size",
            status=400,
            ProposedSize=str(size),
            MaxSizeAllowed=str(OBJECT_SIZE_BYTES_MAX),
        )
    declared = request.get("MpuObjectSize")
    if declared is not None and declared != size:
        raise invalid_request(
            f"The provided 'x-amz-mp-object-size' header value {declared} does not match what was "
            f"computed: {size}"
        )


def _checksum_of_whole(request: Request, upload: Upload, parts: Sequence[Part]) -> str:
    kind = request.get("ChecksumType")
    if kind is not None and upload.checksum_asked and kind != upload.checksum_type:
        raise invalid_request(
            "The upload was created using the "
            f"{upload.checksum_type} checksum mode. The complete request must use the same checksum mode."
        )
    if upload.checksum_type == "COMPOSITE":
        value = checksums.composite(upload.checksum, [part.checksum_value for part in parts])
    else:
        value = checksums.combined(
            upload.checksum, [(part.checksum_value, part.size_bytes) for part in parts]
        )
    given = request.get(f"Checksum{upload.checksum}")
    if given is not None and given not in (value, value.partition("-")[0]):
        raise checksums.bad_digest(upload.checksum.lower())
    return value


def _completed(call: Call, bucket: Bucket, key: str, head: Head) -> Response:
    response: Response = {
        "Location": f"{call.endpoint}/{bucket.name}/{quote(key)}",
        "Bucket": bucket.name,
        "Key": key,
        "ETag": f'"{head.etag}"',
        **encryption.shown(head.more.get("sse")),
    }
    if head.version:
        response["VersionId"] = head.version
    return show_checksum(response, head)
