"""Counts requests to buckets that have metrics or analytics configurations: CloudWatch's request metrics, and what an analysis is made of.

The filters of all such configurations stand together in the bucket's configuration "counted", JSON {kind: {id: filter}},
kind being metrics or analytics; a bucket without one costs a request nothing. A request is counted once it is answered.

Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/metrics-dimensions.html
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/metrics-configurations.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from stratolite.core import Tx
from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.s3 import state, versions
from stratolite.services.s3.state import Bucket, Head

if TYPE_CHECKING:
    from stratolite.services.s3.analysis import Tally

CONFIGURATIONS_COUNT_MAX = 1000
_SPACE = "AWS/S3"
_NOTHING: Mapping[str, str] = {}
_BY_PREFIX = (
    ("Head", "HeadRequests"),
    ("Get", "GetRequests"),
    ("Put", "PutRequests"),
    ("Delete", "DeleteRequests"),
)
_NAMED = {
    "CopyObject": "PutRequests",
    "UploadPart": "PutRequests",
    "UploadPartCopy": "PutRequests",
    "UpdateObjectEncryption": "PutRequests",
    "CreateMultipartUpload": "PostRequests",
    "CompleteMultipartUpload": "PostRequests",
    "RestoreObject": "PostRequests",
    "AbortMultipartUpload": "DeleteRequests",
    "DeleteObjects": "DeleteRequests",
    "SelectObjectContent": "SelectRequests",
    "ListObjects": "ListRequests",
    "ListObjectsV2": "ListRequests",
    "ListObjectVersions": "ListRequests",
    "HeadBucket": "HeadRequests",
}


class Rule(NamedTuple):
    """The filter of a configuration."""

    id: str
    prefix: str
    tags: dict[str, str]
    point: str
    """ARN of the access point that must have been used, "" for any way."""

    @property
    def is_whole(self) -> bool:
        return not (self.prefix or self.tags or self.point)

    def meets(self, key: str | None, tags: Mapping[str, str], point: str) -> bool:
        """``key`` None: of a request on the bucket itself, which no prefix and no tag means."""
        if self.is_whole:
            return True
        if self.point and self.point != point:
            return False
        if key is None:
            return not (self.prefix or self.tags)
        return key.startswith(self.prefix) and all(tags.get(k) == v for k, v in self.tags.items())


class Rules(NamedTuple):
    metrics: tuple[Rule, ...]
    analytics: tuple[Rule, ...]
    tagged: bool
    """Whether any of them asks for tags."""


def parse(raw: bytes) -> Rules:
    said = orjson.loads(raw)
    found = {
        kind: tuple(rule_of(name, given) for name, given in said.get(kind, {}).items())
        for kind in ("metrics", "analytics")
    }
    tagged = any(rule.tags for rules in found.values() for rule in rules)
    return Rules(found["metrics"], found["analytics"], tagged)


def rule_of(name: str, given: Mapping[str, Any]) -> Rule:
    parts = given.get("And") or given
    tags = list(parts.get("Tags") or ()) + ([parts["Tag"]] if parts.get("Tag") else [])
    return Rule(
        name,
        parts.get("Prefix") or "",
        {tag["Key"]: tag["Value"] for tag in tags},
        parts.get("AccessPointArn") or "",
    )


def keep(tx: Tx, bucket: Bucket, kind: str, name: str, said: dict[str, Any] | None) -> None:
    """A metrics or analytics configuration was put, or is gone (None). An analysis counts where it is exported."""
    counted = _known(tx, bucket)
    mine = dict(counted.get(kind) or {})
    if said is None or not _counts(kind, said):
        mine.pop(name, None)
    else:
        mine[name] = said.get("Filter") or {}
    counted = {**counted, kind: mine}
    if any(counted.values()):
        state.put_config(tx, bucket, "counted", counted)
    elif "counted" in bucket.on:
        state.delete_config(tx, bucket, "counted")


def _known(tx: Tx, bucket: Bucket) -> dict[str, dict[str, Any]]:
    """Where nothing is counted yet, what was configured before anything was."""
    found: dict[str, dict[str, Any]] | None = state.config(tx, bucket, "counted")
    if found is not None:
        return found
    every = {
        kind: list(state.configs(tx, bucket, f"{kind}:", CONFIGURATIONS_COUNT_MAX))
        for kind in ("metrics", "analytics")
    }
    return {
        kind: {one["Id"]: one.get("Filter") or {} for one in listed if _counts(kind, one)}
        for kind, listed in every.items()
    }


def _counts(kind: str, said: dict[str, Any]) -> bool:
    return kind == "metrics" or bool((said.get("StorageClassAnalysis") or {}).get("DataExport"))


def metric_of(operation: str, request: Request) -> str | None:
    """The metric of a request's kind, beside AllRequests."""
    if operation in _NAMED:
        return _NAMED[operation]
    if "Key" not in request:
        return None
    if "_form" in request:
        return "PostRequests"
    return next((name for start, name in _BY_PREFIX if operation.startswith(start)), None)


class Begun(NamedTuple):
    """A request to a bucket that counts, before it is carried out."""

    operation: str
    rules: Rules
    gone: Head | None
    """What it may delete, for filters of tags."""
    since_s: float


def _rules(call: Call, bucket: Bucket) -> Rules:
    found = call.tx.parsed(bucket.config.key("counted"), parse)
    assert found is not None, bucket.name
    return found


def begin(call: Call, operation: str, bucket: Bucket, request: Request) -> Begun:
    rules = _rules(call, bucket)
    gone = None
    if rules.tagged and operation == "DeleteObject":
        gone = _head(call, bucket, request)
    return Begun(operation, rules, gone, call.world.mono())


def answer(call: Call, tally: Tally, begun: Begun, request: Request, response: Response) -> None:
    """In the transaction that answers; it is counted once that is done."""
    bucket = state.bucket(call.tx, request["Bucket"])
    if bucket is None:
        return
    operation, rules = begun.operation, begun.rules
    head = begun.gone
    if head is None and "Key" in request and (rules.tagged or rules.analytics):
        head = _head(call, bucket, request)
    tags = _NOTHING if head is None else head.tags
    point = "" if bucket.point is None else bucket.point.arn
    key = request.get("Key")
    met = [rule.id for rule in rules.metrics if rule.meets(key, tags, point)]
    analysed = []
    if head is not None and tally.counts(operation):
        analysed = [rule.id for rule in rules.analytics if rule.meets(key, tags, "")]
    if not (met or analysed):
        return
    size = response.get("ContentLength") if operation.startswith("Get") else None

    def told() -> None:
        if met:
            taken = (call.world.mono() - begun.since_s) * 1000
            sizes = {"BytesDownloaded": size, "BytesUploaded": uploaded(operation, request)}
            measure(call, bucket, met, metric_of(operation, request), 200, sizes, taken)
        if analysed:
            assert head is not None
            tally.add(call, bucket, analysed, operation, head, size or 0)

    call.told = told


def refused(call: Call, bucket: Bucket, operation: str, request: Request, status: int) -> None:
    """In a transaction of its own, behind a request that was refused."""
    rules = _rules(call, bucket)
    head = None
    if rules.tagged and "Key" in request:
        try:
            head = _head(call, bucket, request)
        except Fault:  # it is what the request was refused for
            head = None
    tags = _NOTHING if head is None else head.tags
    point = "" if bucket.point is None else bucket.point.arn
    met = [rule.id for rule in rules.metrics if rule.meets(request.get("Key"), tags, point)]
    measure(call, bucket, met, metric_of(operation, request), status, {}, None)


def visited(call: Call, bucket: Bucket, method: str, key: str, status: int, sent: int) -> None:
    """A request to the website of a bucket that counts."""
    rules = _rules(call, bucket)
    head = state.head(call.tx, bucket, key.encode()) if rules.tagged else None
    tags = _NOTHING if head is None else head.tags
    met = [rule.id for rule in rules.metrics if rule.meets(key, tags, "")]
    metric = {"GET": "GetRequests", "HEAD": "HeadRequests"}.get(method)
    sizes = {"BytesDownloaded": sent if method == "GET" else None}
    measure(call, bucket, met, metric, status, sizes, None)


def selected(call: Call, bucket: Bucket, request: Request, scanned: int, returned: int) -> None:
    """SelectObjectContent on a bucket that counts has come to its end."""
    rules = _rules(call, bucket)
    head = _head(call, bucket, request) if rules.tagged else None
    tags = _NOTHING if head is None else head.tags
    point = "" if bucket.point is None else bucket.point.arn
    met = [rule.id for rule in rules.metrics if rule.meets(request["Key"], tags, point)]
    sizes = {"SelectBytesScanned": scanned, "SelectBytesReturned": returned}
    measure(call, bucket, met, "SelectRequests", 200, sizes, None)


def measure(
    call: Call,
    bucket: Bucket,
    met: list[str],
    metric: str | None,
    status: int,
    sizes: Mapping[str, int | None],
    taken_ms: float | None,
) -> None:
    for name in met:
        dimensions = (("BucketName", bucket.name), ("FilterId", name))
        count: Callable[..., None] = partial(
            call.cloud.measure, bucket.account, bucket.region, _SPACE, dimensions
        )
        count("AllRequests")
        if metric is not None:
            count(metric)
        count("4xxErrors", float(400 <= status < 500))
        count("5xxErrors", float(status >= 500))
        for named, size in sizes.items():
            if size:
                count(named, float(size), "Bytes")
        if taken_ms is not None:
            count("FirstByteLatency", taken_ms, "Milliseconds")


def uploaded(operation: str, request: Request) -> int | None:
    """Bytes of the object's or part's body that came with a request."""
    if operation not in ("PutObject", "UploadPart"):
        return None
    body = request.get("Body") or b""
    size: int | None = len(body) if isinstance(body, bytes) else body.size_bytes
    return size


def _head(call: Call, bucket: Bucket, request: Request) -> Head | None:
    key, version = request["Key"].encode(), request.get("VersionId")
    if version is None:
        return state.head(call.tx, bucket, key)
    found = versions.find(call, bucket, key, version)
    return None if found is None else found.head
