"""Made tests/golden/1 with format 1 of everything; kept to show how, never to be run again over what is there.

python tests/golden/make_1.py FOLDER
"""

from __future__ import annotations

import os
import sys

from stratolite.clock import SeededWorld
from stratolite.core import snapshots
from stratolite.core.log import Entry, encode_entry
from stratolite.core.objects import FolderObjects, ObjectLog
from stratolite.core.segments import SegmentLog

ENTRIES = [
    {b"a": b"1", b"b": b"\x00\xff" * 20, b"e": b"short key"},
    {b"a": None, b"c" * 600: b"long key"},
    {b"b": b"", b"\x00": b"NUL"},
    {b"d": b"after the snapshot"},
]


def main(folder: str) -> None:
    world = SeededWorld(1)
    os.makedirs(folder)
    log = SegmentLog(f"{folder}/log", 2048, world=world, background=False)
    objects = FolderObjects(f"{folder}/objects", world)
    shared = ObjectLog(objects, world)
    for position, writes in enumerate(ENTRIES, 1):
        payload = encode_entry(Entry(b"golden-writer-id", 1_700_000_000_000 + position, writes))
        log.append(position, payload)
        shared.append(position, payload)
    snapshots.advance(log, objects, world, 2)
    snapshots.advance(log, objects, world, 3)
    log.close()


if __name__ == "__main__":
    main(sys.argv[1])
