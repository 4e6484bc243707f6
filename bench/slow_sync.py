"""The server with a pause added to every sync of the log: a slower disk, the same on every machine.

usage: slow_sync.py MILLISECONDS up --data ... --port ...
"""

import sys
import time

from stratolite.cli import main
from stratolite.core.disk import Disk

pause_s = float(sys.argv[1]) / 1000
really_sync = Disk.sync


def sync(self, *arguments):
    time.sleep(pause_s)
    return really_sync(self, *arguments)


Disk.sync = sync
main(sys.argv[2:])
