"""Listing keys in order, groups under a delimiter as one entry each: ListObjects, V2, versions and uploads.

A group is stepped over by a seek once it has shown ``STEPS_IN_GROUP_MAX`` rows, so a page costs what it
answers, never what a group holds.
Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-prefixes.html
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from heapq import merge
from typing import Any, NamedTuple
from urllib.parse import quote

from stratolite.core import Keyspace, Tx
from stratolite.service import Call, Request, Response, Service
from stratolite.services.s3 import state, versions
from stratolite.services.s3.entry import bucket_of
from stratolite.services.s3.faults import invalid_argument
from stratolite.services.s3.grants import owner
from stratolite.services.s3.state import Bucket, Head

PAGE_COUNT_MAX = 1000
STEPS_IN_GROUP_MAX = 4

_SAFE = "/-_.*~"
_plain = re.compile(r"[A-Za-z0-9/_.*~-]*").fullmatch
"""Most keys: asked before ``quote``, which costs a fifth of a page."""


class Row(NamedTuple):
    """An entry of a listing: a key with its row, or a group with neither row nor value."""

    key: bytes
    row: bytes
    value: bytes | None


def entries(tx: Tx, rows: Keyspace, prefix: bytes, delimiter: bytes, start: bytes) -> Iterator[Row]:
    """Entries from ``start`` (one of ``state``'s bounds), keys and groups merged in byte order."""

    def scan(low: bytes, high: bytes) -> Iterator[Row]:
        for row, value in tx.scan(state.walk(rows, low, high)):
            yield Row(state.key_of(rows, row), row, value)

    return grouped(scan, prefix, delimiter, start)


def grouped(
    scan: Callable[[bytes, bytes], Iterator[Row]], prefix: bytes, delimiter: bytes, start: bytes
) -> Iterator[Row]:
    """What ``scan`` gives between two bounds, groups as one entry each, stepped over by a new scan."""
    stop = state.past_prefix(prefix)
    start = max(start, state.at_prefix(prefix))
    while start < stop:
        group, steps = b"", 0
        for row in scan(start, stop):
            key = row.key
            if group and key.startswith(group):
                steps += 1
                if steps < STEPS_IN_GROUP_MAX:
                    continue
                start = state.past_prefix(group)
                break
            group, steps = b"", 0
            if delimiter and (at := key.find(delimiter, len(prefix))) >= 0:
                group = key[: at + len(delimiter)]
                yield Row(group, b"", None)
            else:
                yield row
        else:
            return


def version_rows(tx: Tx, bucket: Bucket, start: bytes, stop: bytes) -> Iterator[Row]:
    """Every version between two bounds: of each key the current one, then the older ones, newest first.

    ``row`` is what follows the keyspace, which for an older version holds its order.
    """
    scans = [
        _beyond(len(rows.prefix), tx.scan(state.walk(rows, start, stop)))
        for rows in (bucket.heads, bucket.versions)
    ]
    for row, value in merge(*scans, key=lambda pair: pair[0]):
        yield Row(state.key_in(row), row, value)


def _beyond(length: int, rows: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    return ((row[length:], value) for row, value in rows)


def version_page(tx: Tx, bucket: Bucket, asked: _Asked, start: bytes) -> Page:
    def scan(low: bytes, high: bytes) -> Iterator[Row]:
        return version_rows(tx, bucket, low, high)

    shown: list[Row] = []
    if asked.most == 0:
        return Page(shown, False)
    for entry in grouped(scan, asked.prefix, asked.delimiter, start):
        if len(shown) == asked.most:
            return Page(shown, True)
        shown.append(entry)
    return Page(shown, False)


class Page(NamedTuple):
    shown: list[Row]
    more: bool


def page(tx: Tx, rows: Keyspace, prefix: bytes, delimiter: bytes, start: bytes, most: int) -> Page:
    """At most ``most`` entries, and whether there are more."""
    shown: list[Row] = []
    if most == 0:
        return Page(shown, False)
    if not delimiter:
        span = state.walk(rows, max(start, state.at_prefix(prefix)), state.past_prefix(prefix))
        found = [*tx.scan(span, limit=most + 1)] if span[0] < span[1] else []
        at, key_in = len(rows.prefix), state.key_in
        return Page(
            [Row(key_in(row, at), row, value) for row, value in found[:most]], len(found) > most
        )
    for entry in entries(tx, rows, prefix, delimiter, start):
        if len(shown) == most:
            return Page(shown, True)
        shown.append(entry)
    return Page(shown, False)


def past_marker(marker: bytes, prefix: bytes, delimiter: bytes) -> bytes:
    """Behind ``marker``; a marker inside a group is behind the whole group (ListObjects, versions)."""
    if delimiter and marker.startswith(prefix) and (at := marker.find(delimiter, len(prefix))) >= 0:
        return state.past_prefix(marker[: at + len(delimiter)])
    return state.past_key(marker)


class Listing(Service):
    def list_objects_v2(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        asked = _Asked(request, "MaxKeys", "max-keys")
        start = b""
        token = request.get("ContinuationToken")
        if token is not None:
            start = _start_of_token(token)
        elif request.get("StartAfter"):
            start = state.past_key(request["StartAfter"].encode())
        rows = bucket.heads
        found = page(call.tx, rows, asked.prefix, asked.delimiter, start, asked.most)
        response = asked.answer(bucket.name, found, "MaxKeys")
        response["KeyCount"] = len(found.shown)
        who = owner(bucket.account) if request.get("FetchOwner") else None
        _show_objects(response, asked, found, who)
        if token is not None:
            response["ContinuationToken"] = token
        if "StartAfter" in request and token is None:
            response["StartAfter"] = asked.text(request["StartAfter"])
        if found.more:
            last = found.shown[-1]
            bound = state.past_prefix(last.key) if last.value is None else state.past_key(last.key)
            response["NextContinuationToken"] = urlsafe_b64encode(bound).decode()
        return response

    def list_objects(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        asked = _Asked(request, "MaxKeys", "max-keys")
        marker = request.get("Marker") or ""
        start = past_marker(marker.encode(), asked.prefix, asked.delimiter) if marker else b""
        found = page(call.tx, bucket.heads, asked.prefix, asked.delimiter, start, asked.most)
        response = asked.answer(bucket.name, found, "MaxKeys")
        response["Marker"] = asked.text(marker)
        who = None if call.principal.kind == "anonymous" else owner(bucket.account)
        _show_objects(response, asked, found, who)
        if found.more and asked.delimiter:
            response["NextMarker"] = asked.text(found.shown[-1].key.decode())
        return response

    def list_object_versions(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        asked = _Asked(request, "MaxKeys", "max-keys")
        marker, version = request.get("KeyMarker") or "", request.get("VersionIdMarker") or ""
        if version and not marker:
            raise invalid_argument(
                "A version-id marker cannot be specified without a key marker.",
                "version-id-marker",
                version,
            )
        start = begun = b""
        if version:
            start, begun = _past_version(call, bucket, marker.encode(), version)
        elif marker:
            start = past_marker(marker.encode(), asked.prefix, asked.delimiter)
        found = version_page(call.tx, bucket, asked, start)
        response = asked.answer(bucket.name, found, "MaxKeys")
        response["KeyMarker"], response["VersionIdMarker"] = asked.text(marker), version
        shown, last_head = _show_versions(bucket, asked, found, begun)
        response |= shown
        if found.more:
            response["NextKeyMarker"] = asked.text(found.shown[-1].key.decode())
            if found.shown[-1].value is not None and last_head is not None:
                response["NextVersionIdMarker"] = versions.shown(last_head)
        return response

    def list_multipart_uploads(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        asked = _Asked(request, "MaxUploads", "max-uploads")
        marker, upload_marker = request.get("KeyMarker") or "", request.get("UploadIdMarker") or ""
        start = b""
        if marker and upload_marker:
            start = state.past_upload(marker.encode(), upload_marker)
            if state.upload(call.tx, bucket, marker.encode(), upload_marker) is None:
                raise invalid_argument("Invalid uploadId marker", "upload-id-marker", upload_marker)
        elif marker:
            start = past_marker(marker.encode(), asked.prefix, asked.delimiter)
        rows = bucket.uploads
        found = page(call.tx, rows, asked.prefix, asked.delimiter, start, asked.most)
        response = asked.answer(bucket.name, found, "MaxUploads")
        response["Bucket"] = response.pop("Name")
        if not asked.prefix:
            del response["Prefix"]
        if not marker:
            upload_marker = ""  # which says nothing without a key
        response["KeyMarker"], response["UploadIdMarker"] = asked.text(marker), upload_marker
        who, uploads = owner(bucket.account), []
        for entry in found.shown:
            if entry.value is None:
                continue
            upload = state.decode_upload(entry.value)
            shown: dict[str, Any] = {
                "UploadId": state.upload_id_of(rows, entry.row),
                "Key": asked.text(entry.key.decode()),
                "Initiated": float(upload.initiated_ms // 1000),
                "StorageClass": upload.storage_class,
                "Owner": who,
                "Initiator": {"ID": upload.initiator},
            }
            if upload.checksum_asked:
                shown["ChecksumAlgorithm"] = upload.checksum
                shown["ChecksumType"] = upload.checksum_type
            uploads.append(shown)
        if uploads:
            response["Uploads"] = uploads
        response["NextKeyMarker"] = response["NextUploadIdMarker"] = ""
        if found.shown and (found.more or found.shown[-1].value is not None):
            last = found.shown[-1]
            response["NextKeyMarker"] = asked.text(last.key.decode())
            if last.value is not None:
                response["NextUploadIdMarker"] = state.upload_id_of(rows, last.row)
        return response


class _Asked:
    """The parameters all listings share."""

    def __init__(self, request: Request, most_member: str, most_name: str) -> None:
        self.request = request
        self.prefix = (request.get("Prefix") or "").encode()
        self.delimiter = (request.get("Delimiter") or "").encode()
        most = request.get(most_member, PAGE_COUNT_MAX)
        if not 0 <= most < 1 << 31:
            member = most_member[0].lower() + most_member[1:]
            raise invalid_argument(
                f"Argument {member} must be an integer between 0 and 2147483647", most_name, most
            )
        self.most = min(most, PAGE_COUNT_MAX)
        encoding = request.get("EncodingType")
        if encoding not in (None, "url"):
            raise invalid_argument(
                "Invalid Encoding Method specified in Request", "encoding-type", encoding
            )
        self.as_url = encoding == "url"
        # RestoreStatus is said of archived objects alone, and none can be stored (storage classes)
        for name in request.get("OptionalObjectAttributes") or ():
            if name != "RestoreStatus":
                raise invalid_argument(
                    "Invalid attribute name specified", "x-amz-optional-object-attributes", name
                )

    def text(self, text: str) -> str:
        if not self.as_url or _plain(text):
            return text
        return quote(text, safe=_SAFE)

    def answer(self, bucket: str, found: Page, most_member: str) -> Response:
        response: Response = {
            "Name": bucket,
            "Prefix": self.text(self.request.get("Prefix") or ""),
            most_member: self.most,
            "IsTruncated": found.more,
        }
        if self.request.get("Delimiter"):
            response["Delimiter"] = self.text(self.request["Delimiter"])
        if self.as_url:
            response["EncodingType"] = "url"
        groups = [{"Prefix": self.text(e.key.decode())} for e in found.shown if e.value is None]
        if groups:
            response["CommonPrefixes"] = groups
        return response


def _show_objects(
    response: Response, asked: _Asked, found: Page, who: dict[str, str] | None
) -> None:
    contents, text, decode = [], asked.text, state.decode_listed
    for key, _, value in found.shown:
        if value is None:
            continue
        head = decode(value)
        shown: dict[str, Any] = {
            "Key": text(key.decode()),
            "LastModified": float(head.modified_ms // 1000),
            "ETag": f'"{head.etag}"',
            "Size": head.size_bytes,
            "StorageClass": head.storage_class,
        }
        if head.checksum:
            shown["ChecksumAlgorithm"] = [head.checksum]
            shown["ChecksumType"] = head.checksum_type
        if who is not None:
            shown["Owner"] = who
        contents.append(shown)
    if contents:
        response["Contents"] = contents


def _past_version(call: Call, bucket: Bucket, key: bytes, version: str) -> tuple[bytes, bytes]:
    """(where a page after that version begins, the key if a newer version of it is left, else nothing).

    Whoever deletes what a page shows and asks for the next one finds the versions that came after it: the newest of
    them may have become the current one, whose row stands before those of older ones.
    """
    current = state.head(call.tx, bucket, key)
    if version == versions.NULL:
        order = state.null_order(call.tx, bucket, key)
        if order is None:
            return state.past_current(key), key
    else:
        order = versions.order_of(version)
    if current is not None and current.order < order:
        return state.at_prefix(key), b""
    newest = current or state.newest_older(call.tx, bucket, key)
    newer = newest is not None and newest.order >= order
    return state.past_order(key, order), key if newer else b""


def _show_versions(
    bucket: Bucket, asked: _Asked, found: Page, begun: bytes
) -> tuple[Response, Head | None]:
    """(Versions and DeleteMarkers of an answer, the last one's head); ``begun`` is a key whose newest was shown."""
    who = owner(bucket.account)
    listed: list[dict[str, Any]] = []
    markers: list[dict[str, Any]] = []
    before, head = begun, None
    for entry in found.shown:
        if entry.value is None:
            continue
        head = state.decode_head(entry.value)
        shown: dict[str, Any] = {
            "Key": asked.text(entry.key.decode()),
            "VersionId": versions.shown(head),
            "IsLatest": entry.key != before,
            "LastModified": float(head.modified_ms // 1000),
            "Owner": owner(head.more["owner"]) if "owner" in head.more else who,
        }
        before = entry.key
        if head.place == state.MARKER:
            markers.append(shown)
            continue
        shown |= {
            "ETag": f'"{head.etag}"',
            "Size": head.size_bytes,
            "StorageClass": head.storage_class,
        }
        if head.checksum:
            shown["ChecksumAlgorithm"] = [head.checksum]
            shown["ChecksumType"] = head.checksum_type
        listed.append(shown)
    response: Response = {}
    if listed:
        response["Versions"] = listed
    if markers:
        response["DeleteMarkers"] = markers
    return response, head


def _start_of_token(token: str) -> bytes:
    try:
        bound = urlsafe_b64decode(token.encode("ascii"))
    except ValueError:
        bound = b""
    if not bound.startswith(b"\x01"):
        raise invalid_argument(
            "The continuation token provided is incorrect", "continuation-token", token
        )
    return bound
