"""Annotations: named texts of up to 1 MiB beside a version of an object, which goes on as it is.

They go with their version, and a copy takes its source's along unless it says EXCLUDE. Each is sealed with a data key of
its own that the vault keeps, so a copy needs no byte rewritten, however its object is encrypted; whoever wants one of
an object under a KMS key must be let have that object's data key. Of an object under Object Lock none is
replaced or deleted; the API has no member by which a governance lock could be passed.

Sources  https://docs.aws.amazon.com/AmazonS3/latest/userguide/annotations-overview.html
         https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectAnnotation.html
"""

from __future__ import annotations

import re
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, prepared
from stratolite.services.s3 import (
    content,
    encryption,
    journal,
    lock_rules,
    replication_rules,
    sealing,
    state,
    versions,
)
from stratolite.services.s3.conditions import matches
from stratolite.services.s3.content import Content, Sealed
from stratolite.services.s3.faults import entity_too_large, invalid_request, precondition_failed
from stratolite.services.s3.objects import Objects, touched
from stratolite.services.s3.state import Annotation
from stratolite.services.s3.versions import Found

SIZE_BYTES_MAX = 1 << 20
NAME_BYTES_MAX = 512
COUNT_MAX = 1000
INLINE_BYTES_MAX = 16 << 10
"""So that a thousand are copied in one transaction."""
_NAME = re.compile(r"[\w.-]+")


class Annotations(Objects):
    async def _take_annotation(self, call: Call, request: Request) -> Request:
        """The payload, sealed where its object is, checked against the digests the client gave."""
        _check_name(request["AnnotationName"])

        data_key = call.world.token(32)
        body = request.get("AnnotationPayload") or b""
        size = len(body) if isinstance(body, bytes) else body.size_bytes
        if size is not None and size > SIZE_BYTES_MAX:
            raise entity_too_large(size, SIZE_BYTES_MAX)
        if not isinstance(body, bytes):
            body = await _whole(body)
        if not body:
            raise invalid_request("The annotation payload must not be empty.")
        try:
            body.decode()
        except UnicodeDecodeError:
            raise Fault(
                "UnsupportedMediaType", "The annotation payload must be valid UTF-8.", status=415
            ) from None
        asked = {**request, "Body": body}
        taken = await content.taken(self.cloud, asked, INLINE_BYTES_MAX, data_key)
        return {**request, "_taken": taken, "_data_key": data_key}

    @prepared(_take_annotation)
    def put_object_annotation(self, call: Call, request: Request) -> Response:
        found = self._annotated(call, request)
        bucket, _, head, _ = found
        taken: Content = request["_taken"]
        data_key: bytes = request["_data_key"]
        held = dict(head.more.get("annotations") or {"space": call.tx.stamp(), "count": 0})
        name = request["AnnotationName"]
        old = state.annotation(call.tx, bucket, held["space"], name)
        if old is not None:
            lock_rules.may_remove(call, head, bypass=False)
            self._drop_blob(call, old)
        elif held["count"] == COUNT_MAX:
            raise Fault(
                "AnnotationLimitExceeded",
                "The request would exceed the maximum number of annotations allowed per object.",
                status=400,
            )
        else:
            held["count"] += 1
        if taken.blob:
            self._link(call, taken.blob)
        made = Annotation(
            taken.md5,
            taken.size_bytes,
            int(call.tx.time_s * 1000),
            taken.checksum,
            taken.checksum_value,
            taken.blob,
            call.cloud.vault.seal(data_key, encryption.VAULT_PURPOSE),
        )
        assert made.blob or taken.data is not None
        state.put_annotation(call.tx, bucket, held["space"], name, made, taken.data)
        head.more = {**head.more, "annotations": held}
        _note(call, found)
        versions.save(call, found)
        touched(call, bucket, request["Key"], head, "ObjectAnnotation:Put")
        return {
            "Key": request["Key"],
            "AnnotationName": name,
            **_told(found, made),
            **_checksum(made),
        }

    def get_object_annotation(self, call: Call, request: Request) -> Response:
        found = self._annotated(call, request)
        made = self._one(call, found, request)
        response: Response = {
            **_told(found, made),
            "LastModified": float(made.modified_ms // 1000),
            "ContentLength": made.size_bytes,
        }
        if status := found.head.more.get("replication"):
            response["ReplicationStatus"] = status
        if request.get("ChecksumMode") == "ENABLED":
            response |= _checksum(made)
        space = found.head.more["annotations"]["space"]
        data_key = call.cloud.vault.open(made.key, encryption.VAULT_PURPOSE)
        size = made.size_bytes
        if not made.blob:
            data = state.annotation_body(call.tx, found.bucket, space, request["AnnotationName"])
            response["AnnotationPayload"] = sealing.open_sealed(data_key, data, size, 0, size)
            return response
        piece = Sealed((made.blob, 0, sealing.sealed_size(size)), data_key, size, 0, size)
        response["AnnotationPayload"] = content.as_body(self.cloud, [piece])
        return response

    def list_object_annotations(self, call: Call, request: Request) -> Response:
        found = self._annotated(call, request)
        most = min(request.get("MaxAnnotationResults") or COUNT_MAX, COUNT_MAX)
        prefix, after = request.get("AnnotationPrefix") or "", request.get("ContinuationToken")
        held = found.head.more.get("annotations")
        status = found.head.more.get("replication")
        listed: list[dict[str, Any]] = []
        response: Response = {
            "Bucket": request["Bucket"],
            "Key": request["Key"],
            "MaxAnnotationResults": most,
            "Annotations": listed,
            "ObjectVersionId": versions.shown(found.head),
        }
        if prefix:
            response["AnnotationPrefix"] = prefix
        if after:
            response["ContinuationToken"] = after
        if held is not None:
            every = state.annotations_of(call.tx, found.bucket, held["space"], prefix, after or "")
            for name, made in every:
                if len(listed) == most:
                    response["NextContinuationToken"] = listed[-1]["AnnotationName"]
                    break
                listed.append(
                    {
                        "AnnotationName": name,
                        "LastModified": made.modified_ms / 1000,
                        "ETag": f'"{made.etag}"',
                        "ChecksumAlgorithm": [made.checksum],
                        "Size": made.size_bytes,
                        **({"ReplicationStatus": status} if status else {}),
                    }
                )
        response["AnnotationCount"] = len(listed)
        return response

    def delete_object_annotation(self, call: Call, request: Request) -> Response:
        """Of one that is not there, too, as other deletes are: its errors name the object alone."""
        found = self._annotated(call, request)
        bucket, _, head, _ = found
        held, name = head.more.get("annotations"), request["AnnotationName"]
        old = state.annotation(call.tx, bucket, held["space"], name) if held else None
        if held is not None and old is not None:
            lock_rules.may_remove(call, head, bypass=False)
            self._drop_blob(call, old)
            state.delete_annotation(call.tx, bucket, held["space"], name)
            head.more = {**head.more, "annotations": {**held, "count": held["count"] - 1}}
            _note(call, found)
            versions.save(call, found)
            touched(call, bucket, request["Key"], head, "ObjectAnnotation:Delete")
        return {"ObjectVersionId": versions.shown(head)}

    def _annotated(self, call: Call, request: Request) -> Found:
        """The version that is meant, for whom may have its data key. Raises Fault."""
        found = self._found(call, request)
        sse = found.head.more.get("sse") or {}
        if sse.get("alg") == "C":
            raise invalid_request(
                "Annotations are not supported for objects encrypted with customer-provided keys."
            )
        if sse:
            encryption.open_key(call, found.bucket, request["Key"], sse, {})
        wanted = request.get("ObjectIfMatch")
        if wanted is not None and not matches(wanted, found.head.etag):
            raise precondition_failed("x-amz-object-if-match")
        return found

    def _one(self, call: Call, found: Found, request: Request) -> Annotation:
        held, name = found.head.more.get("annotations"), request["AnnotationName"]
        made = state.annotation(call.tx, found.bucket, held["space"], name) if held else None
        if made is None:
            raise Fault(
                "NoSuchAnnotation",
                "The specified annotation does not exist on this object.",
                status=404,
                AnnotationName=name,
            )
        return made

    def _drop_blob(self, call: Call, old: Annotation) -> None:
        if old.blob:
            self.cloud.blobs.unlink(call.tx, old.blob)


def _note(call: Call, found: Found) -> None:
    """What changed goes where the object went, and into the annotation table."""
    journal.annotated(call, found.bucket, found.key)
    if "replication" in found.bucket.on and found.head.version:
        replication_rules.note(call, found.bucket, found.key, found.head, modified=True)


async def _whole(body: Any) -> bytes:
    pieces, size = [], 0
    async for piece in body:
        size += len(piece)
        if size > SIZE_BYTES_MAX:
            raise entity_too_large(size, SIZE_BYTES_MAX)
        pieces.append(piece)
    return b"".join(pieces)


def _check_name(name: str) -> None:
    if len(name.encode()) > NAME_BYTES_MAX:
        raise Fault("AnnotationNameTooLong", "The annotation name exceeds 512 bytes.", status=400)
    if not _NAME.fullmatch(name) or name.lower().startswith(("aws", "s3")):
        raise Fault(
            "InvalidAnnotationName", "The annotation name you provided is invalid.", status=400
        )


def _told(found: Found, made: Annotation) -> dict[str, Any]:
    told: dict[str, Any] = {"ETag": f'"{made.etag}"', "ObjectVersionId": versions.shown(found.head)}
    algorithm = encryption.shown(found.head.more.get("sse")).get("ServerSideEncryption")
    return {**told, "ServerSideEncryption": algorithm}


def _checksum(made: Annotation) -> dict[str, Any]:
    return {f"Checksum{made.checksum}": made.checksum_value, "ChecksumType": "FULL_OBJECT"}
