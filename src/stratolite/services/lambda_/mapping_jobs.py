"""The work that mappings leave, JSON.

``lambda.mapping``  {account, region, uuid}: make the mapping as its record says it should be, and say so
``lambda.source``   {account, region, uuid, epoch, shard}: read a queue (shard "") or a shard for as long as the mapping is
                    switched on

Jobs of one mapping, and of one queue or shard, run one after another.
"""

from __future__ import annotations

import orjson

from stratolite.service import Call

MAPPING, SOURCE = "lambda.mapping", "lambda.source"


def carry_out(call: Call, uuid: str) -> None:
    """Soon, and after what this mapping wanted before."""
    said = {"account": call.account, "region": call.region, "uuid": uuid}
    call.cloud.work.put(call.tx, MAPPING, orjson.dumps(said), partition=uuid.encode())


def read(call: Call, uuid: str, epoch: int, shard: str) -> None:
    """Have a queue or a shard read from now on."""
    said = {
        "account": call.account,
        "region": call.region,
        "uuid": uuid,
        "epoch": epoch,
        "shard": shard,
    }
    partition = f"{uuid}/{shard}".encode()
    call.cloud.work.put(call.tx, SOURCE, orjson.dumps(said), partition=partition)
