"""Log records of a pipe's executions: each step of a batch's way, as far as the pipe's log level asks for it.

They go to a log group (stream PIPE) or a delivery stream when the execution is over, in the platform's name, or to a bucket, in lines
of JSON, as delivery.logs.amazonaws.com, whom the bucket's policy must let; where they cannot be written they are dropped, as
on AWS, and the events go their way.

Source  https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-logs.html
        https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-logs-schema.html
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import orjson

from stratolite import delivery
from stratolite.errors import Fault
from stratolite.service import Call

_log = logging.getLogger("stratolite.pipes")
_FIELD_BYTES_MAX = 200_000
_RECORDS_A_CALL = 400
_INFO = frozenset({
    "EXECUTION_STARTED", "EXECUTION_SUCCEEDED", "ENRICHMENT_STAGE_ENTERED", "ENRICHMENT_STAGE_EXITED", "TARGET_STAGE_ENTERED",
    "TARGET_STAGE_EXITED",
})  # fmt: skip
"""Steps of the level INFO; those that end in FAILED are ERROR's, all others TRACE's. Each level has those above it."""
LEVELS = ("OFF", "ERROR", "INFO", "TRACE")


class Journal:
    """Of one execution."""

    def __init__(self, call: Call, arn: str, request: dict[str, Any]) -> None:
        self._call, self._arn = call, arn
        self._config: dict[str, Any] = request.get("LogConfiguration") or {}
        self._level: str = self._config.get("Level") or "OFF"
        self._has_data = "ALL" in (self._config.get("IncludeExecutionData") or ())
        self._id = call.world.uuid() if self._level != "OFF" else ""
        self._records: list[bytes] = []

    def note(self, step: str, error: BaseException | None = None, **data: str) -> None:
        """``data``: payload, awsRequest, awsResponse, each a text; kept where the pipe includes execution data."""
        is_error = step.endswith("_FAILED")  # partially, too
        level = "ERROR" if is_error else "INFO" if step in _INFO else "TRACE"
        if LEVELS.index(level) > LEVELS.index(self._level):
            return
        record: dict[str, Any] = {
            "resourceArn": self._arn,
            "timestamp": int(self._call.world.cloud() * 1000),
            "executionId": self._id,
            "messageType": step,
            "logLevel": self._level,
        }
        if self._has_data and data:
            cut = [name for name, text in data.items() if len(text.encode()) > _FIELD_BYTES_MAX]
            record |= {name: text[: _FIELD_BYTES_MAX // 4] if name in cut else text for name, text in data.items()}  # fmt: skip
            if cut:
                record["truncatedFields"] = cut
        if error is not None:
            status = (error.status or 400) if isinstance(error, Fault) else 0
            record["error"] = {"httpStatusCode": status, "message": str(error)[:1024], "details": "", "awsService": "", "requestId": self._id}  # fmt: skip
        self._records.append(orjson.dumps(record))

    async def send(self) -> None:
        if not self._records:
            return
        group = self._config.get("CloudwatchLogsLogDestination")
        stream = self._config.get("FirehoseLogDestination")
        for at in range(0, len(self._records), _RECORDS_A_CALL):
            records = self._records[at : at + _RECORDS_A_CALL]
            try:
                if group:
                    await self._to_group(group["LogGroupArn"], records)
                if stream:
                    await self._to_stream(stream["DeliveryStreamArn"], records)
                if bucket := self._config.get("S3LogDestination"):
                    await self._to_bucket(bucket, records)
            except Fault as fault:
                _log.info("pipe=%s: %d log records are dropped: %r", self._arn, len(records), fault)

    async def _to_group(self, arn: str, records: list[bytes]) -> None:
        place = delivery.parse(arn)
        there = self._call.cloud.call(place.account, place.region)
        name = place.resource.removeprefix("log-group:").removesuffix(":*")
        where = {"logGroupName": name, "logStreamName": self._arn.rpartition("/")[2]}
        try:
            await there.request("logs", "CreateLogStream", where)
        except Fault as fault:
            if fault.code != "ResourceAlreadyExistsException":
                raise
        lines = [{"timestamp": orjson.loads(r)["timestamp"], "message": r.decode()} for r in records]  # fmt: skip
        await there.request("logs", "PutLogEvents", {**where, "logEvents": lines})

    async def _to_bucket(self, bucket: dict[str, Any], records: list[bytes]) -> None:
        """PREFIX/AWSLogs/ACCOUNT/pipes/REGION/PIPE/YYYY/MM/DD/HH/PIPE_TIME_ID.log, each record a line."""
        _, region, account, pipe = delivery.parse(self._arn)
        name, now = pipe.partition("/")[2], datetime.fromtimestamp(self._call.world.cloud(), UTC)
        folder = f"AWSLogs/{account}/pipes/{region}/{name}/{now:%Y/%m/%d/%H}"
        prefix = (bucket.get("Prefix") or "").rstrip("/")
        key = f"{prefix}/{folder}" if prefix else folder
        ask = {
            "Bucket": bucket["BucketName"],
            "Key": f"{key}/{name}_{now:%Y%m%dT%H%M%SZ}_{self._call.world.uuid()}.log",
            "Body": b"".join(record + b"\n" for record in records),
            "ContentType": "application/json",
            "ExpectedBucketOwner": bucket["BucketOwner"],
        }
        home = self._call.cloud.call(account, region)
        await home.as_service("delivery.logs.amazonaws.com", self._arn).request("s3", "PutObject", ask)  # fmt: skip

    async def _to_stream(self, arn: str, records: list[bytes]) -> None:
        place = delivery.parse(arn)
        there = self._call.cloud.call(place.account, place.region)
        name = place.resource.removeprefix("deliverystream/")
        ask = {"DeliveryStreamName": name, "Records": [{"Data": r + b"\n"} for r in records]}
        await there.request("firehose", "PutRecordBatch", ask)
