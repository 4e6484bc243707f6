"""Generated manifests: the list of a job's objects, made when the job is prepared and kept with it.

A manifest lies in rows of ``ROW_COUNT`` objects, which go as the job goes on; where the request asks for it, it is
written to a bucket, too, as an inventory would be: data files, and a manifest.json that names them.

Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/specify-batchjob-manifest.html
"""

from __future__ import annotations

import csv
import hashlib
import io
from typing import Any
from urllib.parse import quote

import orjson

from stratolite.errors import Fault
from stratolite.service import Call
from stratolite.services.s3control import state
from stratolite.services.s3control.manifests import Slice, Task

ROW_COUNT = 500
"""Objects of a row, which holds at most a megabyte: keys have up to 1,024 bytes."""
_LOOK_COUNT = 1000
_FILE_COUNT = 20_000
_ARN = "arn:aws:s3:::"


async def generate(own: Call, acting: Call, record: dict[str, Any]) -> int:
    """How many tasks there are. ``acting`` is the job's role; ``own`` keeps the list. Raises Fault."""
    said = record["ManifestGenerator"]["S3JobManifestGenerator"]
    rows, job_id = state.space(own.account, own.region), record["id"]
    bucket = said["SourceBucket"].removeprefix(_ARN)
    asked: dict[str, Any] = {
        "Bucket": bucket,
        "Filter": said.get("Filter") or {},
        "MaxKeys": _LOOK_COUNT,
        "After": "",
    }
    if said.get("ExpectedBucketOwner"):
        asked["ExpectedBucketOwner"] = said["ExpectedBucketOwner"]
    await own.transact(lambda inner: state.drop_manifest(inner.tx, rows, job_id))
    total, number, held = 0, 0, list[list[str]]()
    output = _Output(acting, record, bucket) if said.get("EnableManifestOutput") else None
    while True:
        page = await acting.request("s3", "ListForBatch", asked)
        held += page["Rows"]
        total += len(page["Rows"])
        if output is not None:
            await output.add(page["Rows"])
        while len(held) >= ROW_COUNT or (held and not page["Next"]):
            part, held = held[:ROW_COUNT], held[ROW_COUNT:]
            await own.transact(
                lambda inner, number=number, part=part: state.put_manifest(  # type: ignore[misc]
                    inner.tx, rows, job_id, number, part
                )
            )
            number += 1
        if not page["Next"]:
            break
        asked["After"] = page["Next"]
    if not total:
        raise Fault(
            "ManifestGeneratorNoKeys",
            "Manifest generator found no keys matching the filter criteria",
        )
    if output is not None:
        record["generated"] = await output.finish()
    return total


async def read(own: Call, record: dict[str, Any], place: dict[str, int] | None, most: int) -> Slice:
    """At most ``most`` tasks from ``place`` on, which is {file, row}, a row of the list being a file."""
    at = place or {"file": 0, "row": 0}
    rows, job_id = state.space(own.account, own.region), record["id"]
    said = record["ManifestGenerator"]["S3JobManifestGenerator"]
    bucket = said["SourceBucket"].removeprefix(_ARN)
    listed, more = await own.transact(
        lambda inner: state.manifest(inner.tx, rows, job_id, at["file"])
    )
    part = listed[at["row"] : at["row"] + most]
    tasks = [Task(bucket, key, version) for key, version in part]
    if at["row"] + most < len(listed):
        return Slice(tasks, {"file": at["file"], "row": at["row"] + most})
    return Slice(tasks, {"file": at["file"] + 1, "row": 0} if more else None)


class _Output:
    """The manifest as objects in a bucket."""

    def __init__(self, acting: Call, record: dict[str, Any], source: str) -> None:
        said = record["ManifestGenerator"]["S3JobManifestGenerator"]["ManifestOutputLocation"]
        self._acting, self._source = acting, source
        self._bucket = said["Bucket"].removeprefix(_ARN)
        prefix = (said.get("ManifestPrefix") or "").strip("/")
        self._folder = f"{prefix}/{record['id']}" if prefix else record["id"]
        self._put: dict[str, Any] = {"Bucket": self._bucket}
        if said.get("ExpectedManifestBucketOwner"):
            self._put["ExpectedBucketOwner"] = said["ExpectedManifestBucketOwner"]
        sealed = said.get("ManifestEncryption") or {}
        if sealed.get("SSEKMS"):
            self._put["ServerSideEncryption"] = "aws:kms"
            self._put["SSEKMSKeyId"] = sealed["SSEKMS"]["KeyId"]
        elif sealed.get("SSES3") is not None:
            self._put["ServerSideEncryption"] = "AES256"
        self._held: list[list[str]] = []
        self._files: list[dict[str, Any]] = []

    async def add(self, listed: list[list[str]]) -> None:
        self._held += listed
        if len(self._held) >= _FILE_COUNT:
            await self._write()

    async def _write(self) -> None:
        text = io.StringIO()
        lines = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
        for key, version in self._held:
            lines.writerow([self._source, quote(key, safe="/"), version])
        self._held = []
        body = text.getvalue().encode()
        key = f"{self._folder}/files/{self._acting.world.uuid()}.csv"
        await self._acting.request("s3", "PutObject", {**self._put, "Key": key, "Body": body})
        digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
        self._files.append({"key": key, "size": len(body), "MD5checksum": digest})

    async def finish(self) -> dict[str, str]:
        """{ObjectArn, ETag} of the manifest."""
        if self._held:
            await self._write()
        now_s = await self._acting.transact(lambda inner: inner.tx.time_s)
        said = {
            "sourceBucket": self._source,
            "destinationBucket": f"{_ARN}{self._bucket}",
            "version": "2021-11-30",
            "creationTimestamp": str(int(now_s * 1000)),
            "fileFormat": "CSV",
            "fileSchema": "Bucket, Key, VersionId",
            "files": self._files,
        }
        body = orjson.dumps(said, option=orjson.OPT_INDENT_2)
        key = f"{self._folder}/manifest.json"
        put = await self._acting.request("s3", "PutObject", {**self._put, "Key": key, "Body": body})
        return {"ObjectArn": f"{_ARN}{self._bucket}/{key}", "ETag": put["ETag"].strip('"')}
