"""The server with nobody asked what a call may do: what IAM costs is measured beside it. Signatures are checked as ever.

The product has no such switch; this file is the only one that makes it so. ``--counted`` is for valgrind, which has no room for
the store's map: it may stand before a server that decides, too.
usage: undecided.py [--decided] [--counted] up --data ... --port ...
"""

import sys

from stratolite import server
from stratolite.cli import main
from stratolite.core import store
from stratolite.services.iam.usage import Usage


def nobody_asks(*_):
    """In the place of ``iam.authorize``."""


class Unused(Usage):
    """Says of every key that its use is noted already."""

    class _Everything:
        def __contains__(self, _):
            return True

        def __bool__(self):
            return False

    def __init__(self, cloud):
        super().__init__(cloud)
        self.held = self._Everything()


words = sys.argv[1:]
at = words.index("up")
if "--decided" not in words[:at]:
    server.authorize = nobody_asks
    server.Usage = Unused
if "--counted" in words[:at]:
    store._MAP_SIZES = (1 << 28,)
main(words[at:])
