"""Dashboards: kept as the JSON they are, of an account in all regions."""

from __future__ import annotations

import re
from itertools import islice

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.cloudwatch import state
from stratolite.services.cloudwatch.state import keys_of

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_PAGE = 100
_BODY_BYTES_MAX = 1 << 20


def dashboard_arn(call: Call, name: str) -> str:
    return f"arn:aws:cloudwatch::{call.account}:dashboard/{name}"


class Dashboards(Service):
    def put_dashboard(self, call: Call, request: Request) -> Response:
        name, body = request["DashboardName"], request["DashboardBody"]
        if not _NAME.fullmatch(name):
            raise Fault(
                "InvalidParameterValue",
                "The value for field DashboardName contains invalid characters. It can only contain"
                " alphanumerics, dash (-) and underscore (_).\n",
            )
        try:
            said = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise Fault(
                "InvalidParameterInput",
                "The field DashboardBody must be a valid JSON object",
                dashboardValidationMessages=[{"Message": str(error)}],
            ) from error
        if not isinstance(said, dict) or len(body.encode()) > _BODY_BYTES_MAX:
            raise Fault(
                "InvalidParameterInput", "The field DashboardBody must be a valid JSON object"
            )
        keys = keys_of(call.account, "")
        old = state.dashboard(call.tx, keys, name) or {}
        tags = {t["Key"]: t["Value"] for t in request.get("Tags") or ()} or old.get("tags", {})
        record = {"body": body, "modified_ms": int(call.tx.time_s * 1000), "tags": tags}
        state.put_dashboard(call.tx, keys, name, record)
        return {"DashboardValidationMessages": []}

    def get_dashboard(self, call: Call, request: Request) -> Response:
        name = request["DashboardName"]
        found = state.dashboard(call.tx, keys_of(call.account, ""), name)
        if found is None:
            raise Fault("ResourceNotFound", f"Dashboard {name} does not exist")
        return {
            "DashboardArn": dashboard_arn(call, name),
            "DashboardBody": found["body"],
            "DashboardName": name,
        }

    def list_dashboards(self, call: Call, request: Request) -> Response:
        prefix, after = request.get("DashboardNamePrefix") or "", request.get("NextToken") or ""
        rows = state.dashboards(call.tx, keys_of(call.account, ""), prefix, after)
        found = [
            {
                "DashboardName": name,
                "DashboardArn": dashboard_arn(call, name),
                "LastModified": record["modified_ms"] / 1000,
                "Size": len(record["body"].encode()),
            }
            for name, record in islice(rows, _PAGE + 1)
        ]
        answer: Response = {"DashboardEntries": found[:_PAGE]}
        if len(found) > _PAGE:
            answer["NextToken"] = found[_PAGE - 1]["DashboardName"]
        return answer

    def delete_dashboards(self, call: Call, request: Request) -> Response:
        keys, names = keys_of(call.account, ""), request["DashboardNames"]
        for name in names:
            if state.dashboard(call.tx, keys, name) is None:
                raise Fault("ResourceNotFound", f"Dashboard {name} does not exist")
        for name in names:
            state.drop_dashboard(call.tx, keys, name)
        return {}
