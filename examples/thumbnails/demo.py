"""Puts photographs, a broken file and a decompression bomb into the bucket."""

from __future__ import annotations

import json
import struct
import time
import zlib
from pathlib import Path

from driving import check, say

PHOTOS = Path(__file__).with_name("photos")
SIZES = {  # of the thumbnails, longest side first asked for
    "cat.png": ["128x85", "451x300"],
    "coffee.webp": ["128x85", "512x341"],
    "holiday/rocket (1).jpg": ["128x86", "512x342"],
}


def drive(cloud):
    out = cloud.deploy("thumbnails")
    s3 = cloud.client("s3")
    began = time.monotonic()
    for name in SIZES:
        file = PHOTOS / name.replace("holiday/", "").replace(" (1)", "")
        s3.put_object(Bucket=out["Photos"], Key=name, Body=file.read_bytes())
    wanted = {f"{size}/{name}.webp" for name in SIZES for size in (128, 512)}
    made = wait(lambda: listed(s3, out["Thumbnails"], wanted))
    took_s = time.monotonic() - began
    for key in sorted(made):
        body = s3.get_object(Bucket=out["Thumbnails"], Key=key)["Body"].read()
        size, _, name = key.partition("/")
        shown = "x".join(map(str, webp_size(body)))
        check(shown == SIZES[name.removesuffix(".webp")][size == "512"], f"{key} is {shown}")
    say(f"  {len(SIZES)} photographs, {len(made)} thumbnails in {took_s:.1f} s")
    broken(cloud, out, made)


def broken(cloud, out, made):
    """What is no photograph ends in the dead-letter queue, after one attempt."""
    s3, sqs = cloud.client("s3"), cloud.client("sqs")
    bad = {
        "cut.jpg": (PHOTOS / "rocket.jpg").read_bytes()[:60_000],
        "bomb.png": bomb(),
        "page.png": b"<html>not a picture</html>",
    }
    for name, body in bad.items():
        s3.put_object(Bucket=out["Photos"], Key=name, Body=body)
    letters = {}

    def receive():
        answer = sqs.receive_message(
            QueueUrl=out["Failed"],
            MaxNumberOfMessages=10,
            WaitTimeSeconds=1,
            MessageAttributeNames=["All"],
        )
        for letter in answer.get("Messages", []):
            key = json.loads(letter["Body"])["Records"][0]["s3"]["object"]["key"]
            letters.setdefault(key, []).append(
                letter["MessageAttributes"]["ErrorMessage"]["StringValue"]
            )
        return letters.keys() == bad.keys()

    wait(receive)
    for name, why in sorted(letters.items()):
        check(len(why) == 1, f"{name} failed {len(why)} times")
        say(f"  {name} ({len(bad[name]):,} bytes): {why[0][:90]}")
    log = cloud.command(
        "logs",
        next(
            f["FunctionName"]
            for f in cloud.client("lambda").list_functions()["Functions"]
            if "-Thumbnailer-" in f["FunctionName"]
        ),
    )
    starts = log.count(" START RequestId: ")
    check(
        starts == len(SIZES) + len(bad), f"{starts} invocations for {len(SIZES) + len(bad)} photos"
    )
    check(listed(s3, out["Thumbnails"], made), "a broken file left something behind")


def listed(s3, bucket, wanted):
    found = {o["Key"] for o in s3.list_objects_v2(Bucket=bucket).get("Contents", [])}
    check(found <= wanted, f"not asked for: {found - wanted}")
    return found if found == wanted else None


def wait(look, seconds=240):
    end = time.monotonic() + seconds
    while not (found := look()):
        check(time.monotonic() < end, f"nothing came in {seconds} s")
        time.sleep(0.05)
    return found


def webp_size(body):
    """Width and height of a lossy WebP, plain or extended. https://developers.google.com/speed/webp/docs/riff_container"""
    check(body[:4] == b"RIFF" and body[8:12] == b"WEBP", "not WebP")
    if body[12:16] == b"VP8X":
        return tuple(int.from_bytes(body[at : at + 3], "little") + 1 for at in (24, 27))
    check(body[12:16] == b"VP8 ", "not a lossy WebP")
    return tuple(int.from_bytes(body[at : at + 2], "little") & 0x3FFF for at in (26, 28))


def bomb():
    """A PNG of 40,000 x 40,000 pixels in some 200 KB: 1.6 GB once unpacked."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    squeeze = zlib.compressobj(9)
    row = bytes(1 + 40_000 // 8)
    lines = b"".join(squeeze.compress(row * 1000) for _ in range(40)) + squeeze.flush()
    head = struct.pack(">IIBBBBB", 40_000, 40_000, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")
