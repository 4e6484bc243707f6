"""Delivery to an HTTP endpoint, through the egress room.

    POST {"requestId", "timestamp", "records": [{"data": base64}]}  ->  200 {"requestId", "timestamp"}

Sources  https://docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html
         https://docs.aws.amazon.com/firehose/latest/dev/http_troubleshooting.html
"""

from __future__ import annotations

import asyncio
import base64
import gzip
from typing import Any

import orjson

from stratolite.egress import Failed
from stratolite.service import Call
from stratolite.services.firehose.items import Item
from stratolite.services.firehose.state import Ref

_TIME_S_MAX = 180.0
_ANSWER_BYTES_MAX = 1 << 20
_SAID_BACK_BYTES_MAX = 500
"""Of an answer that is no acknowledgement, in the message that tells of it."""


async def deliver(
    call: Call,
    ref: Ref,
    config: dict[str, Any],
    access_key: str,
    request_id: str,
    items: list[Item],
) -> tuple[str, str] | None:
    """None when it was taken; else (error code, message)."""
    wanted = config["RequestConfiguration"]
    said = {
        "requestId": request_id,
        "timestamp": int(call.world.cloud() * 1000),
        "records": [{"data": base64.b64encode(item.data).decode()} for item in items],
    }
    body = orjson.dumps(said)
    headers = [
        ("content-type", "application/json"),
        ("x-amz-firehose-protocol-version", "1.0"),
        ("x-amz-firehose-request-id", request_id),
        ("x-amz-firehose-source-arn", ref.arn),
        ("user-agent", "Amazon Kinesis Data Firehose Agent/1.0"),
    ]
    if access_key:
        headers.append(("x-amz-firehose-access-key", access_key))
    if common := wanted.get("CommonAttributes"):
        pairs = {one["AttributeName"]: one["AttributeValue"] for one in common}
        text = orjson.dumps({"commonAttributes": pairs}).decode()
        headers.append(("x-amz-firehose-common-attributes", text))
    if wanted.get("ContentEncoding") == "GZIP":
        body = await asyncio.to_thread(gzip.compress, body, 6, mtime=0)
        headers.append(("content-encoding", "gzip"))
    url = config["EndpointConfiguration"]["Url"]
    try:
        answer = await call.cloud.egress.request(
            "POST", url, headers, body, timeout_s=_TIME_S_MAX, answer_bytes_max=_ANSWER_BYTES_MAX
        )
    except Failed as failed:
        return (
            "HttpEndpoint.ConnectionFailed",
            f"Unable to connect to the specified endpoint. {failed}",
        )
    said_back = answer.body[:_SAID_BACK_BYTES_MAX].decode("utf-8", "replace")
    if answer.status != 200:
        message = f"The following response was received from the endpoint destination. {answer.status}: {said_back}"
        return "HttpEndpoint.DestinationException", message
    try:
        found = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict) or found.get("requestId") != request_id:
        return (
            "HttpEndpoint.InvalidResponseFromDestination",
            (
                "The response received from the specified endpoint is invalid. Response for request"
                f" {request_id} is not recognized as valid JSON or has unexpected fields. Raw response received: 200"
                f" {said_back}"
            ),
        )
    return None
