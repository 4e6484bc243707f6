"""stratolite doctor: what lies on the disk is what its record says, or is named; what nobody names goes."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from harness import run_in_cloud

from stratolite import server
from stratolite.services.s3 import state

LARGE = bytes(range(256)) * 2000


def blobs(folder):
    return [
        path
        for path in (Path(folder) / "blobs").rglob("*")
        if path.is_file() and path.stat().st_size
    ]


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
        os.chmod(path, 0o600)
        with path.open("r+b") as file:
            file.seek(1000)
            file.write(b"!")
    done = asyncio.run(server.doctor(folder))
    assert sorted((found.key, found.what.partition(":")[0]) for found in done.damaged) == [
        ("parts", "part 1"),
        ("plain", "body"),
        ("sealed", "body"),
    ]
