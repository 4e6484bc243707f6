"""What a transaction costs the event loop's thread: microseconds of its CPU, without HTTP and without a disk.

python bench/transactions.py [--items 100000]
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time

from stratolite.clock import World
from stratolite.core.database import Database
from stratolite.core.store import LmdbEngine

VALUE = b"v" * 1000
TURN = 64  # transactions a turn of the loop, as with as many busy connections


class NoLog:
    shared = False
    first = 1

    def append(self, position, payload):
        return True

    def read(self, position):
        return None

    def entries(self, start):
        return iter(())

    def close(self):
        pass


def report(name, micros):
    print(f"{name:42} {micros:8.2f} us", flush=True)


async def main(items):
    with tempfile.TemporaryDirectory() as folder:
        db = Database(NoLog(), LmdbEngine(folder), World())
        db.start()
        for low in range(0, items, 1000):
            keys = [b"k%08d" % number for number in range(low, low + 1000)]
            await db.transact(lambda tx, keys=keys: [tx.put(key, VALUE) for key in keys])
        keys = [b"k%08d" % (number * 7919 % items) for number in range(50_000)]

        def done(result, error):
            assert error is None

        def nothing(tx):
            pass

        def get(tx):
            return tx.get(key)

        def put(tx):
            tx.put(key, VALUE)

        def get_put(tx):
            tx.get(key)
            tx.put(key, VALUE)

        def scan(tx):
            for _ in tx.scan((key, b"l"), limit=100):
                pass

        def first(tx):
            for _ in tx.scan((key, b"l"), limit=1):
                pass

        reading = db._reading
        start = time.thread_time()
        for key in keys:
            reading.get(key)
        report("the engine's get alone", (time.thread_time() - start) / len(keys) * 1e6)
        for name, body, count in (
            ("nothing", nothing, 50_000),
            ("get", get, 50_000),
            ("scan of 100", scan, 2_000),
        ):
            best = 9e9
            for _ in range(3):
                start = time.thread_time()
                for key in keys[:count]:  # noqa: B007 - the body reads it
                    db.submit(body, done)
                best = min(best, (time.thread_time() - start) / count)
            report(name, best * 1e6)
        for name, body in (("put", put), ("get and put", get_put)):
            spent = 0.0
            for at in range(0, 20_000, TURN):
                start = time.thread_time()
                for key in keys[at : at + TURN]:  # noqa: B007 - the body reads it
                    db.submit(body, done)
                spent += time.thread_time() - start
                while db._current or db._busy:  # noqa: ASYNC110 - a thread ends it
                    await asyncio.sleep(0)
            report(name, spent / 20_000 * 1e6)
        for key in keys[:20_000]:  # noqa: B007 - the body reads it
            db.submit(put, done)
        for name, body in (
            ("scan of 100, 20,000 writes not applied", scan),
            ("scan of 1, likewise", first),
        ):
            start = time.thread_time()
            for key in keys[:2000]:  # noqa: B007 - the body reads it
                db.submit(body, done)
            report(name, (time.thread_time() - start) / 2000 * 1e6)
        await db.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=100_000)
    asyncio.run(main(parser.parse_args().items))
