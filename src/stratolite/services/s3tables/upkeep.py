"""That a table is looked after once a day: the job that ``maintenance`` carries out.

Queue ``s3tables.maintain``; JSON {account, region, bucket, table: id}.
"""

from __future__ import annotations

import orjson

from stratolite.core import Tx, work
from stratolite.services.s3tables.names import Place

QUEUE = "s3tables.maintain"
EVERY_S = 86_400.0


def expect(tx: Tx, where: Place) -> None:
    """Have the table ``where`` looked after a day from now, on the cloud clock."""
    work.put(tx, QUEUE, orjson.dumps(where._asdict()), due_s=tx.time_s + EVERY_S)
