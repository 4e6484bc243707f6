"""The work that calls on streams leave for the workers (``worker`` carries it out).

``kinesis.drop``   JSON {"spans": [[start, stop] in hex]}: what a deleted stream left behind
``kinesis.trim``   JSON {stream: [account, region, name], id}: records past the retention, then closed shards that
                   have none left; again every hour while the stream is there
``kinesis.scale``  JSON {stream, id, shard}: a busy shard of an on-demand stream is split in the middle
"""

from __future__ import annotations

import orjson

from stratolite.core.dropping import leave
from stratolite.core.keys import Span
from stratolite.service import Call
from stratolite.services.kinesis import quotas
from stratolite.services.kinesis.names import Ref

DROP, TRIM, SCALE = "kinesis.drop", "kinesis.trim", "kinesis.scale"


def drop(call: Call, spans: list[Span]) -> None:
    leave(call.tx, DROP, spans)


def trim_later(call: Call, ref: Ref, stream_id: int) -> None:
    said = orjson.dumps({"stream": list(ref), "id": stream_id})
    call.cloud.work.put(call.tx, TRIM, said, due_s=call.tx.time_s + quotas.TRIM_EVERY_S)


def scale_soon(call: Call, ref: Ref, stream_id: int, shard: int) -> None:
    said = orjson.dumps({"stream": list(ref), "id": stream_id, "shard": shard})
    call.cloud.work.put(call.tx, SCALE, said)
