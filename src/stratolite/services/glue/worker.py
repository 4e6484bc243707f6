"""``glue.drop``: JSON {"spans": [[start, stop] in hex]}: what a deleted database or table left behind, a page a transaction."""

from __future__ import annotations

from stratolite.core import Span
from stratolite.core.dropping import delete_page, leave
from stratolite.service import Call

DROP = "glue.drop"


def drop(call: Call, spans: list[Span]) -> None:
    """At once if it is little, so that a name used again finds nothing; the rest later."""
    left = [span for span in spans if delete_page(call.tx, span)]
    if left:
        leave(call.tx, DROP, left)
