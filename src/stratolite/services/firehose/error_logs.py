"""What went wrong with a delivery, in the log stream that CloudWatchLoggingOptions names, as the destination's role.

A role that may not write there, or a log stream that is not there, is no reason to hold a delivery up: the line is dropped.
Source  https://docs.aws.amazon.com/firehose/latest/dev/monitoring-with-cloudwatch-logs.html
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from stratolite.errors import Fault
from stratolite.service import Call
from stratolite.services.firehose.state import Record, Ref

_log = logging.getLogger("stratolite.firehose")
_PRINCIPAL = "firehose.amazonaws.com"


class Line(NamedTuple):
    code: str
    message: str
    function: str = ""
    """The ARN of the processor's."""


async def note(call: Call, ref: Ref, stream: Record, lines: Sequence[Line]) -> None:
    config: dict[str, Any] = stream["destination"]
    options = config.get("CloudWatchLoggingOptions") or {}
    if not lines or not options.get("Enabled"):
        return
    s3 = config.get("S3Configuration") or config
    is_http = stream["kind"] == "http"
    common = {
        "deliveryStreamARN": ref.arn,
        "destination": config["EndpointConfiguration"]["Url"] if is_http else s3["BucketARN"],
        "deliveryStreamVersionId": stream["version"],
    }
    events = []
    for line in lines:
        said = common | {"message": line.message[:1000], "errorCode": line.code}
        said |= {"processor": line.function} if line.function else {}
        text = orjson.dumps(said).decode()
        events.append({"timestamp": int(call.world.cloud() * 1000), "message": text})
    role = config.get("RoleARN") or s3["RoleARN"]
    try:
        acting = await call.as_role(role, _PRINCIPAL, ref.arn, ref.name.ljust(2, "_"))
        there = acting.scoped(ref.account, ref.region)
        ask = {"logGroupName": options["LogGroupName"], "logStreamName": options["LogStreamName"]}
        await there.request("logs", "PutLogEvents", {**ask, "logEvents": events})
    except Fault as fault:
        _log.info("firehose=%s: %d error lines are dropped: %r", ref.name, len(lines), fault)
