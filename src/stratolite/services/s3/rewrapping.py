"""UpdateObjectEncryption: an object under another KMS key, its body, ETag and dates as they were.

What is sealed already keeps its data key, which KMS now wraps. What nobody asked to be sealed is sealed now: small
bodies in the transaction, blobs and parts ahead of it.
Source  https://docs.aws.amazon.com/AmazonS3/latest/API/API_UpdateObjectEncryption.html
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, prepared
from stratolite.services.s3 import content, encryption, lock_rules, sealing, state, versions
from stratolite.services.s3.content import Content, Piece
from stratolite.services.s3.copying import Again, operation_aborted
from stratolite.services.s3.entry import payload
from stratolite.services.s3.faults import invalid_request
from stratolite.services.s3.objects import Objects
from stratolite.services.s3.state import Part
from stratolite.services.s3.versions import Found
from stratolite.services.s3.worker import drop_parts

_ARN = re.compile(r"arn:aws[-a-z0-9]*:kms:[-a-z0-9]*:[0-9]{12}:key/.+")


class _Anew(NamedTuple):
    """Bodies that were sealed ahead of the transaction, and of what."""

    order: int
    etag: str
    modified_ms: int
    sealed: encryption.Sealing
    bodies: list[tuple[int, Content]]
    """By number of the part; 0 for a body that is in one piece."""


class Rewrapping(Objects):
    async def _seal_ahead(self, call: Call, request: Request) -> Request:
        def look(inner: Call) -> Any:
            found = self._found(inner, request)
            asked = _asked(found, request)
            _check(inner, found)
            head = found.head
            if "sse" in head.more or head.place not in (state.IN_BLOB, state.IN_PARTS):
                return None
            sealed = encryption.begin(inner, found.bucket, request["Key"], asked)
            return head, sealed, _bodies(inner, found)

        looked = await call.transact(look)
        if looked is None:
            return request
        head, sealed, bodies = looked
        done: list[tuple[int, Content]] = []
        for number, pieces in bodies:
            taken = await content.taken_again(
                self.cloud,
                Again(self.cloud, pieces),
                head.checksum,
                state.PART_INLINE_BYTES_MAX if number else 0,
                sealed.data_key,
            )
            done.append((number, taken))
        anew = _Anew(head.order, head.etag, head.modified_ms, sealed, done)
        return {**request, "_anew": anew}

    @prepared(_seal_ahead)
    def update_object_encryption(self, call: Call, request: Request) -> Response:
        found = self._found(call, request)
        asked = _asked(found, request)
        _check(call, found)
        bucket, _, head, _ = found
        sse: dict[str, Any] = head.more.get("sse") or {}
        anew: _Anew | None = request.get("_anew")
        if sse:
            data_key = encryption.open_key(call, bucket, request["Key"], sse, {})
            sse = encryption.wrapped(call, bucket, request["Key"], asked, data_key)
        elif head.place in (state.IN_BLOB, state.IN_PARTS):
            now = (head.order, head.etag, head.modified_ms)
            if anew is None or now != (anew.order, anew.etag, anew.modified_ms):
                raise operation_aborted()
            sse = anew.sealed.sse
            self._put_sealed(call, found, anew)
        else:
            sealed = encryption.begin(call, bucket, request["Key"], asked)
            sse = sealed.sse
            _seal_here(call, found, sealed.data_key)
        head.more = {**head.more, "sse": sse}
        versions.save(call, found)
        return {}

    def _put_sealed(self, call: Call, found: Found, anew: _Anew) -> None:
        bucket, _, head, _ = found
        if head.place == state.IN_BLOB:
            ((_, taken),) = anew.bodies
            self._link(call, taken.blob)
            self.cloud.blobs.unlink(call.tx, head.blob)
            head.blob = taken.blob
            return
        upload_id = f"sealed-{call.tx.stamp():016x}"
        for number, taken in anew.bodies:
            old = state.part(call.tx, bucket, head.upload, number)
            assert old is not None, (bucket.name, head.upload, number)
            extents = []
            if taken.data is None:
                self._link(call, taken.blob)
                extents.append((taken.blob, 0, sealing.sealed_size(taken.size_bytes)))
            else:
                state.put_part_body(call.tx, bucket, upload_id, number, taken.data)
            part = Part(old.etag, old.size_bytes, old.modified_ms, old.checksum_value, extents)
            state.put_part(call.tx, bucket, upload_id, number, part)
        drop_parts(self.cloud, call.tx, bucket, head.upload)
        head.upload = upload_id


def _asked(found: Found, request: Request) -> dict[str, Any]:
    """As ``encryption.wanted`` gives it. Raises Fault."""
    wanted = payload(request, "ObjectEncryption").get("SSEKMS")
    if wanted is None:
        raise invalid_request(
            "Requests that modify an object encryption configuration require a valid new encryption type. "
            "Valid values are SSEKMS. Modify the request to specify SSE-KMS for the updated encryption type, "
            "and then try again."
        )
    arn = wanted.get("KMSKeyArn") or ""
    if not arn:
        raise invalid_request(
            "Requests that modify an object's encryption type to SSE-KMS require an AWS KMS key Amazon Resource "
            "Name (ARN). Modify the request to specify a KMS key ARN, and then try again."
        )
    if not _ARN.fullmatch(arn):
        raise invalid_request(
            "Requests that modify an object's encryption type to SSE-KMS require a valid AWS KMS key Amazon "
            "Resource Name (ARN). Confirm that you have a correctly formatted KMS key ARN in your request, and "
            "then try again."
        )
    if arn.split(":")[4] != found.bucket.account:
        raise Fault(
            "AccessDenied",
            "The AWS KMS key in the request must be owned by the same account as the bucket. Modify the request "
            "to specify a KMS key from the same account, and then try again.",
            status=403,
        )
    asked = {"alg": "aws:kms", "key": arn}
    return {**asked, "bucket_key": True} if wanted.get("BucketKeyEnabled") else asked


def _check(call: Call, found: Found) -> None:
    head = found.head
    if (head.more.get("sse") or {}).get("alg") in ("C", "aws:kms:dsse"):
        raise invalid_request(
            "The UpdateObjectEncryption operation doesn't support source objects with the encryption type "
            "DSSE-KMS or SSE-C. Only source objects encrypted with SSE-S3 or SSE-KMS are supported."
        )
    try:
        lock_rules.may_remove(call, head, bypass=False)
    except Fault:
        raise Fault(
            "AccessDenied",
            "The encryption type for the specified object can't be updated because that object is protected by "
            "S3 Object Lock.",
            status=403,
        ) from None


def _bodies(call: Call, found: Found) -> list[tuple[int, list[Piece]]]:
    bucket, key, head, _ = found
    if head.place == state.IN_BLOB:
        return [(0, content.pieces(call.tx, bucket, key, head))]
    return [
        (number, content.part_pieces(call.tx, bucket, head.upload, (number, part), (0, part.size_bytes)))
        for first, count, _ in head.runs
        for number, part in state.parts(call.tx, bucket, head.upload, first, first + count - 1)
    ]  # fmt: skip


def _seal_here(call: Call, found: Found, data_key: bytes) -> None:
    bucket, key, head, _ = found
    salt = call.world.token(sealing.SALT_BYTES)
    if head.place == state.IN_HEAD:
        head.data = sealing.seal(data_key, salt, head.data)
        return
    body = state.body(call.tx, bucket, key, head.order)
    state.put_body(call.tx, bucket, key, head.order, sealing.seal(data_key, salt, body))
