"""What is told about records a function could not do: to a queue, a topic or a bucket, as its role.

Sources  https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html, and what AWS answered LocalStack
         (event_source_mapping/test_lambda_integration_kinesis.snapshot.json and ..._dynamodbstreams.snapshot.json)
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from stratolite.service import Call
from stratolite.services.lambda_.invoking import Answer
from stratolite.services.lambda_.mapping_events import Item, spelled
from stratolite.services.lambda_.mapping_settings import Source
from stratolite.services.lambda_.names import LATEST, Ref


class Discarded(NamedTuple):
    source: Source
    shard: str
    ref: Ref
    uuid: str
    items: list[Item]
    why: str
    """RetryAttemptsExhausted, RecordAgeExceeded or MaximumPayloadSizeExceeded."""
    attempts: int
    last: tuple[str, Answer] | None
    """The last invocation's request id and answer, if there was one."""


def described(discarded: Discarded, request_id: str, now_s: float) -> dict[str, Any]:
    first, last = discarded.items[0], discarded.items[-1]
    source = discarded.source
    made: dict[str, Any] = {
        "requestContext": {
            "requestId": request_id,
            "functionArn": discarded.ref.arn,
            "condition": discarded.why,
            "approximateInvokeCount": max(
                1, discarded.attempts
            ),  # AWS counts one that was never tried
        }
    }
    if discarded.last is not None:
        made["responseContext"] = {
            "statusCode": 200,
            "executedVersion": discarded.ref.qualifier or LATEST,
            "functionError": discarded.last[1].error,
        }
    has_millis = source.kind == "kinesis"
    name = "KinesisBatchInfo" if source.kind == "kinesis" else "DDBStreamBatchInfo"
    made |= {
        "version": "1.0",
        "timestamp": spelled(now_s, millis=True),
        name: {
            "shardId": discarded.shard,
            "startSequenceNumber": first.id,
            "endSequenceNumber": last.id,
            "approximateArrivalOfFirstRecord": spelled(first.arrived_s, millis=has_millis),
            "approximateArrivalOfLastRecord": spelled(last.arrived_s, millis=has_millis),
            "batchSize": len(discarded.items),
            "streamArn": source.arn,
        },
    }
    return made


async def send(acting: Call, destination: str, discarded: Discarded, event: dict[str, Any]) -> None:
    """Raises Fault if it could not be told."""
    now_s = acting.world.cloud()
    request_id = discarded.last[0] if discarded.last else acting.world.uuid()
    said = described(discarded, request_id, now_s)
    _, _, service, region, account, name = destination.split(":", 5)
    there = acting.scoped(acting.account, region or acting.region)
    if service == "sqs":
        url = f"{acting.cloud.endpoint}/{account}/{name}"
        ask = {"QueueUrl": url, "MessageBody": orjson.dumps(said).decode()}
        await there.request("sqs", "SendMessage", ask)
    elif service == "sns":
        ask = {"TopicArn": destination, "Message": orjson.dumps(said).decode()}
        await there.request("sns", "Publish", ask)
    else:
        day = datetime.fromtimestamp(now_s, UTC)
        moment = f"{day:%Y/%m/%d/%Y-%m-%dT%H.%M.%S}"
        key = f"aws/lambda/{discarded.uuid}/{discarded.shard}/{moment}-{acting.world.uuid()}"
        body = orjson.dumps(said | {"payload": orjson.dumps(event).decode()})
        ask_s3: dict[str, Any] = {"Bucket": name, "Key": key, "Body": body}
        await there.request("s3", "PutObject", ask_s3)
