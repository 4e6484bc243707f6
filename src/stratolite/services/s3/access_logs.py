"""Server access logs: a line for every request a logged bucket answered or refused, delivered as objects some minutes later.

A line is a row of the transaction that answered, so none is lost; of a request that was refused, which leaves nothing,
a row of a transaction of its own, begun before the refusal is answered: a crash then may lose it. A wrong signature is refused
before S3 is asked, and leaves none. The first row leaves a job of queue ``s3.logs`` (JSON [account, region, bucket, id]) for ``LATE_S`` later on the cloud clock,
which puts them into the target bucket as logging.s3.amazonaws.com: the target's policy decides.
Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import orjson

from stratolite.core import Tx, work
from stratolite.errors import Fault
from stratolite.http import HttpResponse
from stratolite.service import Call, Cloud, Job, Request, Response, Settle
from stratolite.services.s3 import counting, state
from stratolite.services.s3.analysis import Tally
from stratolite.services.s3.events import source_ip
from stratolite.services.s3.grants import canonical_id
from stratolite.services.s3.state import Bucket

_log = logging.getLogger("stratolite.s3")
QUEUE = "s3.logs"
LATE_S = 300
LINES_COUNT_MAX = 5000
"""Of one object."""
_VERBS = {
    "Get": "GET",
    "Head": "HEAD",
    "List": "GET",
    "Put": "PUT",
    "Delete": "DELETE",
    "Copy": "COPY",
}
_NAMED = {
    "CopyObject": "REST.COPY.OBJECT",
    "SelectObjectContent": "REST.SELECT.OBJECT",  # how AWS calls it is not published
    "UploadPart": "REST.PUT.PART",
    "UploadPartCopy": "REST.COPY.PART",
    "CreateMultipartUpload": "REST.POST.UPLOADS",
    "CompleteMultipartUpload": "REST.POST.UPLOAD",
    "AbortMultipartUpload": "REST.DELETE.UPLOAD",
    "ListParts": "REST.GET.UPLOAD",
    "DeleteObjects": "REST.POST.MULTI_OBJECT_DELETE",
    "ListObjects": "REST.GET.BUCKET",
    "ListObjectsV2": "REST.GET.BUCKET",
    "ListObjectVersions": "REST.GET.BUCKETVERSIONS",
    "ListMultipartUploads": "REST.GET.UPLOADS",
    "RestoreObject": "REST.POST.RESTORE",
    "UpdateObjectEncryption": "REST.PUT.OBJECT_ENCRYPTION",
}
_SILENT = frozenset({"KeepAccessPoint", "DropAccessPoint", "KeepAccountBlock", "ListForBatch"})
"""S3 Control's calls for what it keeps with us: no requests."""

_STATUSES = {"AccessDenied": 403, "PreconditionFailed": 412, "InternalError": 500}

_HEARD = frozenset({"counted", "logging"})
_FORM = "REST.POST.OBJECT"

Method = Callable[[Call, Request], Response]


def logging_too(operation: str, method: Method, tally: Tally) -> Method:
    """The operation, leaving a line where its bucket is logged, and counted where the bucket's requests are."""
    if operation in _SILENT:
        return method
    name = operation_name(operation)

    def logged(call: Call, request: Request) -> Response:
        asked = request.get("Bucket")
        bucket = None if asked is None else state.bucket(call.tx, asked)
        if bucket is None or _HEARD.isdisjoint(bucket.on):
            return method(call, request)
        begun = None
        if "counted" in bucket.on:
            begun = counting.begin(call, operation, bucket, request)
        response = method(call, request)
        if begun is not None:
            counting.answer(call, tally, begun, request, response)
        bucket = state.bucket(call.tx, request["Bucket"])
        if bucket is not None and "logging" in bucket.on:
            status = response.get("_status") or (206 if response.get("ContentRange") else 200)
            status = request.get("_form") or status
            sent = response.get("ContentLength")
            part = response.get("ContentRange")
            size = sent if part is None else int(part.rpartition("/")[2])
            if size is None:
                size = counting.uploaded(operation, request)
            said = _FORM if "_form" in request else name
            line = _line(call, bucket, said, request, status, sent=sent, size=size)
            _leave(call, bucket, line)
            if operation == "DeleteObjects":
                _leave_each(call, bucket, request, response)
        return response

    return logged


def visited(
    call: Call, bucket: Bucket, method: str, key: str, uri: str, response: HttpResponse
) -> None:
    """A request to the website, in the transaction that answers it: as ``logging_too`` for those to the API."""
    if _HEARD.isdisjoint(bucket.on):
        return
    headers = {name.lower(): value for name, value in response.headers}
    sent = int(headers.get("content-length", 0)) if response.status < 300 else 0
    if "counted" in bucket.on:
        counting.visited(call, bucket, method, key, response.status, sent)
    if "logging" in bucket.on:
        name, code = f"WEBSITE.{method}.OBJECT", headers.get("x-amz-error-code", "-")
        request, size = {"Key": key}, sent or None
        _leave(
            call,
            bucket,
            _line(call, bucket, name, request, response.status, code, size, size, uri=uri),
        )


def selected(call: Call, request: Request, scanned: int, returned: int) -> None:
    """SelectObjectContent has come to its end; in a transaction."""
    bucket = state.bucket(call.tx, request["Bucket"])
    if bucket is None or _HEARD.isdisjoint(bucket.on):
        return
    if "counted" in bucket.on:
        counting.selected(call, bucket, request, scanned, returned)
    if "logging" in bucket.on:
        name = operation_name("SelectObjectContent")
        _leave(call, bucket, _line(call, bucket, name, request, 200, sent=returned, size=scanned))


def _leave_each(call: Call, bucket: Bucket, request: Request, response: Response) -> None:
    """A line for every key of a multi-object delete, as "BATCH.DELETE.OBJECT"."""
    failed = {(e["Key"], e.get("VersionId")): e["Code"] for e in response.get("Errors") or ()}
    for one in request["Delete"]["Objects"]:
        code = failed.get((one["Key"], one.get("VersionId")))
        status = 204 if code is None else _STATUSES.get(code, 400)
        line = _line(call, bucket, "BATCH.DELETE.OBJECT", one, status, code or "-", whole=False)
        _leave(call, bucket, line)


def log_refusal(call: Call, operation: str, request: Request, fault: Fault) -> None:
    """A line with the error's code, in a transaction of its own, where the bucket is logged."""
    asked = request.get("Bucket")
    if operation in _SILENT or not isinstance(asked, str):
        return
    inner = call.scoped(call.account, call.region)

    def note(tx: Tx) -> None:
        inner.tx = tx
        bucket = state.bucket(tx, asked)
        if bucket is None or _HEARD.isdisjoint(bucket.on):
            return
        status = fault.status or (403 if fault.code == "AccessDenied" else 400)
        if "counted" in bucket.on:
            counting.refused(inner, bucket, operation, request, status)
        if "logging" in bucket.on:
            name = operation_name(operation)
            _leave(inner, bucket, _line(inner, bucket, name, request, status, fault.code))

    def noted(_: None, error: BaseException | None) -> None:
        if error is not None:
            _log.warning("a refusal is not in the log of bucket=%s", asked, exc_info=error)

    call.cloud.db.submit(note, noted)


def operation_name(operation: str) -> str:
    if operation in _NAMED:
        return _NAMED[operation]
    verb = next((v for v in _VERBS if operation.startswith(v)), "Get")
    thing = operation.removeprefix(verb).removeprefix("Bucket").removesuffix("Configuration")
    return f"REST.{_VERBS[verb]}.{(thing or 'Bucket').upper()}"


def _line(
    call: Call,
    bucket: Bucket,
    name: str,
    request: Request,
    status: int,
    error: str = "-",
    sent: int | None = None,
    size: int | None = None,
    whole: bool = True,
    uri: str = "",
) -> str:
    """``whole``: of a request itself, else of a part of it. ``uri``: what was asked for, if not a path of the API."""
    who = call.principal
    time = datetime.fromtimestamp(call.tx.time_s, UTC).strftime("%d/%b/%Y:%H:%M:%S %z")
    key = request.get("Key")
    verb = {"COPY": "PUT", "SELECT": "POST"}.get(name.split(".")[1], name.split(".")[1])
    path = uri or (f"/{bucket.name}/{quote(key)}" if key else f"/{bucket.name}")
    requester = {"anonymous": "-", "root": canonical_id(who.account)}.get(who.kind, who.arn)
    shown = sent if sent and (verb == "GET" or "SELECT" in name) else "-"
    agent = str(call.context.get("aws:UserAgent") or "-").replace('"', "%22")
    referer = str(call.context.get("aws:Referer") or "-").replace('"', "%22")
    signed = ("-", "-") if who.kind == "anonymous" else _signed(call)
    asked = f'"{verb} {path} HTTP/1.1"' if whole else "-"
    by = (f'"{referer}"', f'"{agent}"') if whole else ("-", "-")
    fields = [
        canonical_id(bucket.account), bucket.name, f"[{time}]", source_ip(call), requester, call.request_id, name,
        quote(key) if key else "-", asked, status, error, shown, size if size is not None else "-",
        "-", "-", *by, request.get("VersionId") or "-", "-", signed[0], "-", signed[1], "-",
        "-", bucket.point.arn if bucket.point is not None else "-", "-",
    ]  # fmt: skip
    return " ".join(str(field).replace("\n", "%0A") for field in fields)


def _signed(call: Call) -> tuple[str, str]:
    """(Signature version, authentication type)."""
    version = "SigV2" if call.context.get("s3:signatureversion") == "AWS" else "SigV4"
    way = call.context.get("s3:authType", "REST-HEADER")
    return version, {"REST-HEADER": "AuthHeader", "REST-QUERY-STRING": "QueryString"}.get(way, "-")


def _leave(call: Call, bucket: Bucket, line: str) -> None:
    state.put_log_line(call.tx, bucket, line)
    if state.config(call.tx, bucket, "log-job") is None:
        _later(call.tx, bucket, call.tx.time_s + LATE_S)


def _later(tx: Tx, bucket: Bucket, due_s: float) -> None:
    payload = orjson.dumps([bucket.account, bucket.region, bucket.name, bucket.id])
    work.put(tx, QUEUE, payload, due_s=due_s)
    state.put_config(tx, bucket, "log-job", True)


def _forget(tx: Tx, gone: Bucket) -> None:
    """The lines of a bucket that was deleted, a page at a time."""
    lines = state.log_lines(tx, gone, LINES_COUNT_MAX)
    for key, _ in lines:
        tx.delete(key)
    if len(lines) == LINES_COUNT_MAX:
        work.put(tx, QUEUE, orjson.dumps([gone.account, gone.region, gone.name, gone.id]))


class LogKeeper:
    queue = QUEUE
    ordered = False
    concurrency = 2

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        account, region, name, number = orjson.loads(job.payload)
        cloud = self._cloud
        call = cloud.call(account, region, job.id.hex()).as_service(
            "logging.s3.amazonaws.com", f"arn:aws:s3:::{name}"
        )

        def look(
            inner: Call,
        ) -> tuple[Bucket, dict[str, Any] | None, list[tuple[bytes, str]]] | None:
            bucket = state.bucket(inner.tx, name)
            if bucket is None or bucket.id != number:
                return None
            lines = state.log_lines(inner.tx, bucket, LINES_COUNT_MAX)
            return bucket, state.config(inner.tx, bucket, "logging"), lines

        found = await call.transact(look)
        if found is None:
            gone = Bucket(name, account, region, number)
            return lambda tx: _forget(tx, gone)
        bucket, config, lines = found
        if lines and config is not None:
            try:
                await self._deliver(call, bucket, config, [line for _, line in lines])
            except Fault as fault:
                _log.warning("access logs of %s are not delivered: %r", name, fault)

        def settle(tx: Tx) -> None:
            for key, _ in lines:
                tx.delete(key)
            fresh = state.bucket(tx, name)
            if fresh is None or fresh.id != number:
                return
            state.delete_config(tx, fresh, "log-job")
            if state.log_lines(tx, bucket, 1):
                _later(tx, fresh, tx.time_s)

        return settle

    async def _deliver(
        self, call: Call, bucket: Bucket, config: dict[str, Any], lines: list[str]
    ) -> None:
        now_s = await call.transact(lambda inner: inner.tx.time_s)
        for start, some in _objects(config, bucket, lines, now_s):
            body = "".join(f"{line}\n" for line in some).encode()
            put = {
                "Bucket": config["TargetBucket"],
                "Key": f"{start}-{call.world.token(8).hex().upper()}",
                "Body": body,
                "ContentType": "text/plain",
            }
            await call.request("s3", "PutObject", put)


def _objects(
    config: dict[str, Any], bucket: Bucket, lines: list[str], now_s: float
) -> list[tuple[str, list[str]]]:
    """(the key without its unique end, its lines) of each object; in partitions by event time one for each day.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerLogs.html#server-access-logging-overview
    """
    now = datetime.fromtimestamp(now_s, UTC)
    start = config.get("TargetPrefix") or ""
    partitioned = (config.get("TargetObjectKeyFormat") or {}).get("PartitionedPrefix")
    if partitioned is None:
        return [(f"{start}{now:%Y-%m-%d-%H-%M-%S}", lines)]
    start += f"{bucket.account}/{bucket.region}/{bucket.name}"
    if partitioned.get("PartitionDateSource") == "DeliveryTime":
        return [(f"{start}/{now:%Y/%m/%d}/{now:%Y-%m-%d-%H-%M-%S}", lines)]
    days: dict[str, list[str]] = {}
    for line in lines:
        day = datetime.strptime(line.partition("[")[2].partition("]")[0], "%d/%b/%Y:%H:%M:%S %z")
        days.setdefault(f"{start}/{day:%Y/%m/%d}/{day:%Y-%m-%d}-00-00-00", []).append(line)
    return list(days.items())
