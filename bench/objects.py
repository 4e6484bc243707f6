"""The S3 parts of the bench that need no peer: a PUT beside its own floor, a large upload, listings, deletes.

Large buckets are filled while the server is down, by ``fill``: what is measured is not the filling.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
import threading
import time
import zlib

import run as bench
from load import Recorder, replay, run
from peers import Stratolite

BUCKET = "bench-bucket"
PART_BYTES, PARTS_COUNT = 16 << 20, 64
FLOOR_BAR = 1.3


def floor_s(folder, body):
    """Seconds for what a PUT of ``body`` cannot do without.

    The hashes its client demanded (SHA-256 of the signature, CRC32 of the SDK, MD5 of the ETag), one write, one sync.
    """
    began = time.perf_counter()
    hashlib.sha256(body).digest()
    zlib.crc32(body)
    hashlib.md5(body).digest()
    path = f"{folder}/floor"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(handle, body)
    os.fsync(handle)
    os.close(handle)
    took_s = time.perf_counter() - began
    os.unlink(path)
    return took_s


def large_puts(bars, seconds):
    """PUT of 1 MiB by one client, in turns with its floor on the same disk."""
    server = Stratolite()
    try:
        bench.client(server, "s3").create_bucket(Bucket=BUCKET)
        recorder = Recorder(server, "s3")
        body = os.urandom(1 << 20)
        requests = [recorder.put_object(Bucket=BUCKET, Key=f"k{n}", Body=body) for n in range(8)]
        replay(server, requests, 1)
        ratios = []
        for _ in range(bench.ROUNDS):
            floors = sorted(floor_s(server.folder, body) for _ in range(30))
            made = run(server, requests, 1, seconds / bench.ROUNDS)
            ratios.append((made.p50_ms, floors[len(floors) // 2] * 1000))
        mine, least = (statistics.median(row) for row in zip(*ratios, strict=True))
        print(
            f"  PUT 1 MiB, one client: {mine:.2f} ms; hashes, one write, one sync: {least:.2f} ms"
        )
        ratio = statistics.median(a / b for a, b in ratios)
        bars.at_most("S3 PUT 1 MiB: time against hashes, one write, one sync", ratio, FLOOR_BAR)
    finally:
        server.stop()


def large_upload(bars, _seconds):
    """1 GiB in 64 parts over 4 connections: the rate beside the floor's, and how much the server grew."""
    server = Stratolite()
    try:
        made = bench.client(server, "s3")
        made.create_bucket(Bucket=BUCKET)
        body = os.urandom(PART_BYTES)
        upload = made.create_multipart_upload(Bucket=BUCKET, Key="large")["UploadId"]
        about = {"Bucket": BUCKET, "Key": "large", "UploadId": upload}
        recorder = Recorder(server, "s3")
        parts = [recorder.upload_part(Body=body, PartNumber=n, **about) for n in range(1, 5)]
        replay(server, parts[:1], 1)  # threads and buffers are there
        before_mb = most_mb = server.pss_mb()
        done = threading.Event()

        def watch():
            nonlocal most_mb
            while not done.wait(0.2):
                most_mb = max(most_mb, server.pss_mb())

        watcher = threading.Thread(target=watch)
        watcher.start()
        took_s = 0.0
        for first in range(1, PARTS_COUNT + 1, 4):
            parts = [
                recorder.upload_part(Body=body, PartNumber=n, **about)
                for n in range(first, first + 4)
            ]
            began = time.perf_counter()
            replay(server, parts, 4)
            took_s += time.perf_counter() - began
        listed = made.get_paginator("list_parts").paginate(**about)
        etags = [
            {"PartNumber": part["PartNumber"], "ETag": part["ETag"]}
            for page in listed
            for part in page["Parts"]
        ]
        made.complete_multipart_upload(**about, MultipartUpload={"Parts": etags})
        done.set()
        watcher.join()
        size = made.head_object(Bucket=BUCKET, Key="large")["ContentLength"]
        assert size == PART_BYTES * PARTS_COUNT, size
        floor = statistics.median(floor_s(server.folder, body) for _ in range(8)) * PARTS_COUNT
        print(
            f"  upload of 1 GiB: {took_s:.1f} s ({1024 / took_s:.0f} MiB/s), the floor in one thread"
            f" {floor:.1f} s; the server grew by {most_mb - before_mb:.1f} MB"
        )
        bars.at_most("S3 multipart 1 GiB: time against hashes, writes, syncs", took_s / floor, 1.3)
        bars.at_most("S3 multipart 1 GiB: the server's growth, MB", most_mb - before_mb, 64)
    finally:
        server.stop()


FILL = """
import asyncio, sys
from stratolite.clock import World
from stratolite.server import open_cloud
from stratolite.services.s3 import state

async def main(folder, bucket_name, count):
    cloud = await open_cloud(folder, World(), "http://localhost")
    head = state.Head("e" * 32, 0, 0, "STANDARD", "", "", "", 0, b"", "", "", [], {}, {}, {}, "private")
    def some(tx, first):
        bucket = state.bucket(tx, bucket_name)
        for number in range(first, min(first + 5000, count)):
            state.put_head(tx, bucket, b"folder/%08d" % number, head)
    for first in range(0, count, 5000):
        await cloud.db.transact(lambda tx: some(tx, first))
    await cloud.close()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def fill(server, bucket, count):
    """``count`` empty objects, written while the server is down."""
    server.process.terminate()
    server.process.wait()
    command = [sys.executable, "-c", FILL, f"{server.folder}/data", bucket, str(count)]
    subprocess.run(command, check=True, env=os.environ | server.environment(), timeout=1800)
    server._start()


def listing(bars, seconds, counts=(2_000, 1_000_000)):
    """A page of 1,000 keys, in turns from a small and from a large bucket."""
    server = Stratolite()
    try:
        made = bench.client(server, "s3")
        for count in counts:
            made.create_bucket(Bucket=f"bucket-{count}")
            fill(server, f"bucket-{count}", count)
        recorder = Recorder(server, "s3")
        sides = {}
        for count in counts:
            middle = f"folder/{count // 2:08d}"
            requests = [
                recorder.list_objects_v2(Bucket=f"bucket-{count}", StartAfter=after)
                for after in ("", middle)
            ]
            sides[f"{count:,} keys"] = (server, requests, 1)
        found = bench.in_turns(sides, seconds)
        for name, rounds in found.items():
            bench.show(name, "list of 1,000", bench.middle(rounds))
        small, large = found.values()
        bars.at_most(
            "S3 list of 1,000 of 1,000,000 keys: server time, ms",
            bench.middle(large).cpu_us / 1000,
            5,
        )
        bars.at_most("S3 list: of 1,000,000 keys against 2,000", bench.ratio(large, small), 1.2)
    finally:
        server.stop()


def deletes(bars, _seconds, count=100_000):
    """``count`` objects by multi-delete of 1,000, from four connections."""
    server = Stratolite()
    try:
        made = bench.client(server, "s3")
        made.create_bucket(Bucket=BUCKET)
        fill(server, BUCKET, count)
        recorder = Recorder(server, "s3")
        requests = [
            recorder.delete_objects(
                Bucket=BUCKET,
                Delete={
                    "Objects": [{"Key": f"folder/{n:08d}"} for n in range(first, first + 1000)],
                    "Quiet": True,
                },
            )
            for first in range(0, count, 1000)
        ]
        before_s, began = server.cpu_s(), time.perf_counter()
        replay(server, requests, 4)
        took_s, cpu_s = time.perf_counter() - began, server.cpu_s() - before_s
        made = bench.client(server, "s3")
        assert made.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0
        print(f"  {count:,} deletes: {took_s:.2f} s, {cpu_s / count * 1e6:.1f} us CPU each")
        bars.at_most(f"S3 {count:,} deletes by multi-delete, s", took_s, 10)
    finally:
        server.stop()


def objects(bars, seconds):
    print("\nS3, large: a PUT and an upload beside their floors, listings, deletes")
    for part in (large_puts, large_upload, listing, deletes):
        part(bars, seconds)


def slow_syncs(_bars, seconds):
    """PUTs on a RAM disk with a pause added to every sync."""
    place = "/dev/shm" if os.path.isdir("/dev/shm") else None
    for sync_ms in (0, 0.1, 1):
        for server in bench.started((Stratolite,), place=place, sync_ms=sync_ms):
            bench.client(server, "s3").create_bucket(Bucket=BUCKET)
            recorder = Recorder(server, "s3")
            for size, what in ((1024, "1 KiB"), (1 << 20, "1 MiB")):
                body = os.urandom(size)
                puts = [
                    recorder.put_object(Bucket=BUCKET, Key=f"{size}/{n}", Body=body)
                    for n in range(1000 if size == 1024 else 16)
                ]
                for connections in (1, 16):
                    name = f"PUT {what} {sync_ms} ms, {connections} conn."
                    bench.show(server.name, name, run(server, puts, connections, seconds / 2))
