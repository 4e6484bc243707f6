"""The child process that makes a snapshot: ``python -m stratolite.core.snapshot_child PLACE THROUGH``.

PLACE is ``str(home.Place)``, THROUGH the last position to cover. Ends with 0 once that is covered, or as much as
memory allows at once.
"""

from __future__ import annotations

import os
import sys

from stratolite.clock import World
from stratolite.core.home import Place
from stratolite.core.snapshots import advance

if __name__ == "__main__":
    os.nice(19)
    _place = Place.parse(sys.argv[1], World())
    advance(_place.reader(), _place.objects(), World(), int(sys.argv[2]))
