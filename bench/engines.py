"""LMDB against RocksDB under our access pattern: which engine the store should be.

    python bench/engines.py [--items 1000000] [--seconds 5]

One thread reads (it stands for the event loop), another applies batches, as in ``core.database``.
Prints one row an engine; docs/decisions/0002-store-engine.md holds a run.
RocksDB needs ``pip install rocksdict``, which the project itself does not depend on.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from itertools import islice

from stratolite.core.store import LmdbEngine

VALUE = os.urandom(1024)
ORDER = list(range(997))


def key_of(number):
    return b"\x02000000000000\x00\x02us-east-1\x00\x02dynamodb\x00\x02item\x00%016d" % (
        number * 2654435761 % 10**9
    )


class RocksEngine:
    """RocksDB without its log, its caches set for point reads."""

    def __init__(self, folder):
        import rocksdict as r

        options = r.Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_compression_type(r.DBCompressionType.none())
        table = r.BlockBasedOptions()
        table.set_block_cache(r.Cache(512 << 20))
        table.set_bloom_filter(10, False)
        table.set_data_block_index_type(r.DataBlockIndexType.binary_and_hash())
        options.set_block_based_table_factory(table)
        options.set_write_buffer_size(64 << 20)
        options.set_allow_mmap_reads(True)
        self.db = r.Rdict(folder, options)
        write = r.WriteOptions()
        write.disable_wal = True
        self.db.set_write_options(write)
        self._r = r

    def apply(self, writes, position):
        batch = self._r.WriteBatch(raw_mode=True)
        for key, value in writes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(b"\x00position", b"%d" % position)
        self.db.write(batch)

    def reading(self):
        return RocksReading(self.db)

    def close(self):
        self.db.flush()
        self.db.close()


class RocksReading:
    def __init__(self, db):
        self.snapshot = db.snapshot()
        self.get = self.snapshot.__getitem__  # raises KeyError, fine here

    def scan(self, start, stop, reverse=False):
        for key, value in self.snapshot.items(from_key=start):
            if key >= stop:
                return
            yield key, value

    def close(self):
        self.snapshot = self.get = None


ENGINES = {"lmdb": LmdbEngine, "rocksdb": RocksEngine}


def memory_mib():
    rss = pss = anon = 0
    with open("/proc/self/smaps_rollup") as file:
        for line in file:
            name, _, rest = line.partition(":")
            if name == "Rss":
                rss = int(rest.split()[0])
            elif name == "Pss":
                pss = int(rest.split()[0])
            elif name == "Anonymous":
                anon = int(rest.split()[0])
    return rss >> 10, pss >> 10, anon >> 10


def micros(samples, share):
    return sorted(samples)[int(len(samples) * share)] * 1e6


def measure(name, items, seconds, folder):
    clock = time.perf_counter
    engine = ENGINES[name](folder)
    start = clock()
    position = 0
    for at in range(0, items, 5000):
        position += 1
        engine.apply({key_of(i): VALUE for i in range(at, min(at + 5000, items))}, position)
    load_s = clock() - start
    engine.close()
    start = clock()
    engine = ENGINES[name](folder)
    engine.reading().close()
    open_ms = (clock() - start) * 1000
    before = memory_mib()
    rand = random.Random(1)
    reading = engine.reading()

    def gets(until, samples):
        while (now := clock()) < until:
            keys = [key_of(rand.randrange(items)) for _ in range(20)]
            now = clock()
            for key in keys:
                assert reading.get(key) is not None
            samples.append((clock() - now) / 20)

    quiet = []
    gets(clock() + seconds / 2, [])
    gets(clock() + seconds, quiet)
    scans = []
    end = clock() + seconds
    stop = b"\x02000000000000\x00\x02us-east-1\x00\x02dynamodb\x00\x02item\x00\xff"
    while clock() < end:
        first = key_of(rand.randrange(items))
        now = clock()
        rows = list(islice(reading.scan(first, stop), 100))
        scans.append((clock() - now) / max(1, len(rows)) * 100)
    # one thread applies batches of 64 overwrites as fast as it can, the other reads, renewing its view
    stopped, applied = threading.Event(), []

    def writer():
        chance, number = random.Random(2), position
        while not stopped.is_set():
            number += 1
            batch = {key_of(chance.randrange(items)): VALUE for _ in range(64)}
            now = clock()
            engine.apply(batch, number)
            applied.append(clock() - now)

    thread = threading.Thread(target=writer)
    thread.start()
    busy = []
    started, end = clock(), clock() + seconds * 2
    while clock() < end:
        reading.close()
        reading = engine.reading()
        gets(min(end, clock() + 0.001), busy)
    stopped.set()
    thread.join()
    rate = len(applied) * 64 / (clock() - started)
    # alone, so that the interpreter lock is no part of it
    number, alone = position + 10**6, []
    end = clock() + seconds
    while clock() < end:
        number += 1
        batch = {key_of(rand.randrange(items)): VALUE for _ in range(64)}
        now = clock()
        engine.apply(batch, number)
        alone.append(clock() - now)
    reading.close()
    rss, pss, anon = memory_mib()
    size_mib = (
        sum(os.stat(f"{base}/{f}").st_blocks for base, _, files in os.walk(folder) for f in files)
        >> 11
    )
    print(
        f"{name:8} load_s={load_s:.1f} open_ms={open_ms:.1f} get_us={micros(quiet, 0.5):.2f}"
        f" get_us_p99={micros(quiet, 0.99):.2f} scan100_us={micros(scans, 0.5):.1f}"
        f" overwrites_s_alone={64 * len(alone) / sum(alone):.0f}"
        f" overwrites_s_beside_reads={rate:.0f} apply64_ms_p99={micros(applied, 0.99) / 1000:.1f}"
        f" get_us_beside={micros(busy, 0.5):.2f} get_us_p99_beside={micros(busy, 0.99):.1f}"
        f" rss_mib={rss} pss_mib={pss} anonymous_mib={anon} before_rss_mib={before[0]} disk_mib={size_mib}",
        flush=True,
    )
    engine.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--engine", choices=sorted(ENGINES))
    parser.add_argument("--folder", default=None)
    args = parser.parse_args()
    if args.engine is None:
        for name in ENGINES:  # each in a process of its own, so that memory is its own
            command = [
                sys.executable,
                __file__,
                "--items",
                str(args.items),
                "--seconds",
                str(args.seconds),
            ]
            subprocess.run([*command, "--engine", name], check=True)
        return
    folder = tempfile.mkdtemp(dir=args.folder)
    try:
        measure(args.engine, args.items, args.seconds, f"{folder}/store")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
