"""Kinesis streaming destinations of tables: enabled, described, changed, disabled.

Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/kds.html
"""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.dynamodb import globaltables, shapes, state
from stratolite.services.dynamodb.base import Base
from stratolite.services.dynamodb.faults import in_use, invalid, not_found
from stratolite.services.dynamodb.table import Table

_ARN = re.compile(r"arn:aws[\w-]*:kinesis:([\w-]+):(\d{12}):stream/([\w.-]+)").fullmatch
_PRECISION = "ApproximateCreationDateTimePrecision"
DESTINATIONS_COUNT_MAX = 2


class Destinations(Base):
    def enable_kinesis_streaming_destination(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.DESTINATION, request)
        table, arn = self._asked(call, request)
        there = table.record.get("Kinesis") or {}
        if there.get(arn, {}).get("Status") == "ACTIVE":
            raise in_use(
                f"Table is not in a valid state to enable Kinesis Streaming Destination: {arn} is enabled already"
            )
        if sum(one["Status"] == "ACTIVE" for one in there.values()) >= DESTINATIONS_COUNT_MAX:
            raise Fault(
                "LimitExceededException",
                f"A table has at most {DESTINATIONS_COUNT_MAX} Kinesis streaming destinations",
            )
        self._check_stream(call, arn)
        configuration = request.get("EnableKinesisStreamingConfiguration") or {}
        precision = configuration.get(_PRECISION, "MILLISECOND")
        record = deepcopy(table.record)
        destination = {"Feed": call.tx.stamp(), "Status": "ACTIVE", "Precision": precision}
        record.setdefault("Kinesis", {})[arn] = destination
        state.put_table(call.tx, table.account, table.region, record)
        return _answer(table, arn, "ENABLING", precision)

    def disable_kinesis_streaming_destination(self, call: Call, request: Request) -> Response:
        """What was written before is still delivered if it is under way; the rest is dropped."""
        shapes.check(shapes.DESTINATION, request)
        table, arn = self._asked(call, request)
        one = self._enabled(table, arn)
        record = deepcopy(table.record)
        record["Kinesis"][arn]["Status"] = "DISABLED"
        state.put_table(call.tx, table.account, table.region, record)
        globaltables.sweep_feed(call, table, one["Feed"])
        return _answer(table, arn, "DISABLING", one["Precision"])

    def update_kinesis_streaming_destination(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.DESTINATION, request)
        table, arn = self._asked(call, request)
        one = self._enabled(table, arn)
        configuration = request.get("UpdateKinesisStreamingConfiguration") or {}
        precision = configuration.get(_PRECISION)
        if precision is None:
            raise invalid("Streaming destination cannot be updated with given parameters")
        if precision == one["Precision"]:
            raise invalid(
                "Invalid Request: Precision is already set to the desired value of "
                f"{precision} for tableId: {table.description['TableId']}, kdsArn: {arn}"
            )
        record = deepcopy(table.record)
        record["Kinesis"][arn]["Precision"] = precision
        state.put_table(call.tx, table.account, table.region, record)
        answer = _answer(table, arn, "UPDATING", precision)
        del answer["EnableKinesisStreamingConfiguration"]
        return {**answer, "UpdateKinesisStreamingConfiguration": {_PRECISION: precision}}

    def describe_kinesis_streaming_destination(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.NAMED_TABLE, request)
        name = request["TableName"]
        table = self.known(call, name, f"Requested resource not found: Table: {name} not found")
        found = [
            {"StreamArn": arn, "DestinationStatus": one["Status"], _PRECISION: one["Precision"]}
            for arn, one in (table.record.get("Kinesis") or {}).items()
        ]
        return {"TableName": table.name, "KinesisDataStreamDestinations": found}

    def _asked(self, call: Call, request: Request) -> tuple[Table, str]:
        name, arn = request["TableName"], request["StreamArn"]
        if _ARN(arn) is None:
            raise invalid(f"Invalid Kinesis stream ARN: {arn}")
        return self.known(call, name, f"Requested resource not found: Table: {name} not found"), arn

    def _enabled(self, table: Table, arn: str) -> dict[str, Any]:
        one: dict[str, Any] = (table.record.get("Kinesis") or {}).get(arn, {})
        if one.get("Status") != "ACTIVE":
            raise in_use(
                f"Table is not in a valid state to disable Kinesis Streaming Destination: {arn} is not enabled"
            )
        return one

    def _check_stream(self, call: Call, arn: str) -> None:
        """There must be such a stream, and the caller may put records into it."""
        try:
            call.invoke("kinesis", "DescribeStreamSummary", {"StreamARN": arn})
        except Fault as fault:
            if fault.code == "ResourceNotFoundException":
                raise not_found(f"Kinesis stream not found: {arn}") from None
            raise


def _answer(table: Table, arn: str, status: str, precision: str) -> Response:
    return {
        "TableName": table.name,
        "StreamArn": arn,
        "DestinationStatus": status,
        "EnableKinesisStreamingConfiguration": {_PRECISION: precision},
    }
