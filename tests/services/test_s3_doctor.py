"""stratolite doctor: what lies on the disk is what its record says, or is named; what nobody names goes."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from pathlib import Path

from harness import run_in_cloud

from stratolite import server
from stratolite.http import FileSlice
from stratolite.services.s3 import state

LARGE = bytes(range(256)) * 2000


def digest(data):
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


async def whole(body):
    """Of an answer: bytes, a slice of a file, or what is opened as it is read."""
    if isinstance(body, bytes):
        return body
    if isinstance(body, FileSlice):
        return await asyncio.to_thread(
            lambda: Path(body.path).read_bytes()[body.offset : body.offset + body.size_bytes]
        )
    return b"".join([chunk async for chunk in body])


def blobs(folder):
    return [
        path
        for path in (Path(folder) / "blobs").rglob("*")
        if path.is_file() and path.stat().st_size
    ]


def damage(path):
    os.chmod(path, 0o600)
    with path.open("r+b") as file:
        file.seek(1000)
        file.write(b"!")


def test_what_lies_in_another_place_is_made_whole_from_there(tmp_path):
    """Under its own key, from a body under none, a part from a whole object; a body with no cryptographic digest is named."""
    folder = str(tmp_path)
    other = LARGE[::-1]

    async def fill(s3):
        await s3("s3", "CreateBucket", Bucket="box")
        await s3("s3", "CreateBucket", Bucket="replica")
        kms = {"ServerSideEncryption": "aws:kms"}
        put = {
            "sealed": {"ServerSideEncryption": "AES256"},
            "hashed": {**kms, "ChecksumAlgorithm": "SHA256", "ChecksumSHA256": digest(LARGE)},
            "unproven": kms,
        }
        for key, more in put.items():
            await s3("s3", "PutObject", Bucket="box", Key=key, Body=LARGE, **more)
        await s3("s3", "PutObject", Bucket="box", Key="alone", Body=other)
        made = await s3("kms", "CreateKey")
        key = made["KeyMetadata"]["Arn"]
        await s3("s3", "PutObject", Bucket="box", Key="locked", Body=other, **kms, SSEKMSKeyId=key)
        await s3("kms", "DisableKey", KeyId=key)
        up = (await s3("s3", "CreateMultipartUpload", Bucket="box", Key="parts"))["UploadId"]
        about = {"Bucket": "box", "Key": "parts", "UploadId": up}
        part = await s3("s3", "UploadPart", **about, PartNumber=1, Body=LARGE)
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        await s3("s3", "CompleteMultipartUpload", **about, MultipartUpload=parts)

    async def copy(s3):
        sha = {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": digest(LARGE)}
        await s3("s3", "PutObject", Bucket="replica", Key="copy", Body=LARGE, **sha)

    async def read(s3):
        got = {}
        for key in ("sealed", "hashed", "parts"):
            answer = await s3("s3", "GetObject", Bucket="box", Key=key, Range="bytes=900-1100")
            got[key] = await whole(answer["Body"])
        return got

    run_in_cloud(folder, fill)
    done = asyncio.run(server.doctor(folder))
    assert (done.bodies_count, done.damaged) == (6, [])
    assert [one.key for one in done.unchecked] == ["locked"]  # others under KMS keys are opened
    assert "disabled" in done.unchecked[0].what
    for path in blobs(folder):
        damage(path)
    run_in_cloud(folder, copy)
    done = asyncio.run(server.doctor(folder))
    assert sorted(one.key for one in done.damaged) == ["alone", "unproven"]
    assert sorted((one.key, one.repaired_from) for one in done.repaired) == [
        ("hashed", "replica/copy"),
        ("parts", "replica/copy"),
        ("sealed", "replica/copy"),
    ]
    assert set(run_in_cloud(folder, read).values()) == {LARGE[900:1101]}
    again = asyncio.run(server.doctor(folder))
    assert sorted(one.key for one in again.damaged) == ["alone", "unproven"]
    assert again.repaired == []


def test_damage_is_named_and_nothing_else(tmp_path):
    folder = str(tmp_path)

    async def fill(s3):
        await s3("s3", "CreateBucket", Bucket="box")
        for key, more in (
            ("plain", {}),
            ("sealed", {"ServerSideEncryption": "AES256"}),
            ("small", {}),
        ):
            body = b"x" * 100 if key == "small" else LARGE
            await s3("s3", "PutObject", Bucket="box", Key=key, Body=body, **more)
        up = (await s3("s3", "CreateMultipartUpload", Bucket="box", Key="parts"))["UploadId"]
        about = {"Bucket": "box", "Key": "parts", "UploadId": up}
        part = await s3("s3", "UploadPart", **about, PartNumber=1, Body=LARGE)
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        await s3("s3", "CompleteMultipartUpload", **about, MultipartUpload=parts)

        def names(tx):
            bucket = state.bucket(tx, "box")
            heads = {
                key: state.head(tx, bucket, key.encode()) for key in ("plain", "sealed", "parts")
            }
            part = next(iter(state.parts(tx, bucket, heads["parts"].upload)))[1]
            return heads["plain"].blob, heads["sealed"].blob, part.extents[0][0]

        return await s3.cloud.db.transact(names)

    named = run_in_cloud(folder, fill)
    done = asyncio.run(server.doctor(folder))
    assert (done.bodies_count, done.damaged, done.orphans_count) == (4, [], 0)
    files = {path.name: path for path in blobs(folder)}
    for number, blob in enumerate(named):
        path = next(path for name, path in files.items() if blob in name or blob[2:] in name)
        if number == 2:
            path.unlink()
            continue
        damage(path)
    done = asyncio.run(server.doctor(folder))
    assert sorted((found.key, found.what.partition(":")[0]) for found in done.damaged) == [
        ("parts", "part 1"),
        ("plain", "body"),
        ("sealed", "body"),
    ]
