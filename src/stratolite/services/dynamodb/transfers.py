"""Tables to S3 and from S3: ExportTableToPointInTime, ImportTable, and what they can be asked about.

An export or import is a record (state's ("export" | "import", id)) and jobs that carry it out (``carrying``):

    {"Description": {...}   what DescribeExport or DescribeImport answers
     "Who": {...}           the principal that asked: S3 is called as it
     "Table": name, "Number": int, "At": ms, "From": ms, "Reader": id     of an export; From: of an incremental one
     "After": base64, "Files": int}                                        how far an export has come

A ClientToken is state's ("export-token" | "import-token", token): {"Name": id, "Digest": sha256 of the request, "Until": s}.

Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.HowItWorks.html
        https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataImport.HowItWorks.html
        https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Filtered.html
"""

from __future__ import annotations

from dataclasses import asdict
from hashlib import sha256
from typing import Any

import orjson

from stratolite.core import work
from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.dynamodb import history, keyring, schema, shapes, state
from stratolite.services.dynamodb.backups import restorable
from stratolite.services.dynamodb.base import Base, place_of, table_arn
from stratolite.services.dynamodb.carrying import EXPORT, IMPORT
from stratolite.services.dynamodb.faults import in_use, invalid
from stratolite.services.dynamodb.sieve import Sieve

LISTED_COUNT_MAX = 25
_LOOKED_AT_COUNT_MAX = 1000


class Transfers(Base):
    def export_table_to_point_in_time(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.EXPORT, request)
        if request.get("S3SseKmsKeyId") and request.get("S3SseAlgorithm") != "KMS":
            raise invalid("S3SseKmsKeyId needs the S3SseAlgorithm KMS")
        if (known := self._asked_before(call, "export", request)) is not None:
            return {"ExportDescription": known}
        arn = request["TableArn"]
        account, plain = place_of(call, arn)
        table = state.table(call.tx, account, call.region, plain)
        if table is None:
            raise Fault("TableNotFoundException", f"Table not found: {arn}")
        if (wanted := request.get("FilterSpecification")) is not None:
            Sieve(table, wanted)
        is_incremental = request.get("ExportType") == "INCREMENTAL_EXPORT"
        span = request.get("IncrementalExportSpecification") or {}
        if is_incremental and "ExportFromTime" not in span:
            raise invalid(
                "IncrementalExportSpecification with ExportFromTime is needed for an incremental export"
            )
        wanted_s = span.get("ExportToTime") if is_incremental else request.get("ExportTime")
        try:
            at_ms, at_s = restorable(call, table, wanted_s, {})
            from_ms = (
                restorable(call, table, span["ExportFromTime"], {})[0] if is_incremental else 0
            )
        except Fault as fault:
            if fault.code == "InvalidRestoreTimeException":
                raise Fault("InvalidExportTimeException", fault.message) from None
            raise
        name = _new_id(call)
        history.add_reader(call.tx, table, name)
        description: dict[str, Any] = {
            "ExportArn": f"{table.arn}/export/{name}",
            "ExportStatus": "IN_PROGRESS",
            "StartTime": round(call.tx.time_s, 3),
            "TableArn": table.arn,
            "TableId": table.description["TableId"],
            "S3Bucket": request["S3Bucket"],
            "S3SseAlgorithm": request.get("S3SseAlgorithm", "AES256"),
            "ExportFormat": request.get("ExportFormat", "DYNAMODB_JSON"),
            "ExportType": "INCREMENTAL_EXPORT" if is_incremental else "FULL_EXPORT",
            "ItemCount": 0,
            "BilledSizeBytes": 0,
        }
        for member in (
            "ClientToken",
            "S3BucketOwner",
            "S3Prefix",
            "S3SseKmsKeyId",
            "FilterSpecification",
        ):
            if member in request:
                description[member] = request[member]
        if is_incremental:
            description["IncrementalExportSpecification"] = {
                "ExportFromTime": span["ExportFromTime"],
                "ExportToTime": at_s,
                "ExportViewType": span.get("ExportViewType", "NEW_AND_OLD_IMAGES"),
            }
        else:
            description["ExportTime"] = at_s
        record = {
            "Description": description,
            "Who": asdict(call.principal),
            "Table": table.name,
            "Number": table.number,
            "At": at_ms,
            "From": from_ms,
            "After": "",
            "Files": 0,
        }
        state.put_copy(call.tx, table.space, "export", name, record)
        _remember(call, "export", request, name)
        work.put(call.tx, EXPORT, orjson.dumps([table.account, table.region, name]))
        return {"ExportDescription": description}

    def describe_export(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.ONE_EXPORT, request)
        found = self._record(call, "export", request["ExportArn"])
        if found is None:
            raise Fault("ExportNotFoundException", f"Export not found: {request['ExportArn']}")
        return {"ExportDescription": found["Description"]}

    def list_exports(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.LIST_EXPORTS, request)
        found, token = _listed(call, "export", request, request.get("MaxResults", LISTED_COUNT_MAX))
        names = ("ExportArn", "ExportStatus", "ExportType")
        response: Response = {"ExportSummaries": [{k: d[k] for k in names} for d in found]}
        return response | ({"NextToken": token} if token else {})

    def import_table(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.IMPORT, request)
        if (known := self._asked_before(call, "import", request)) is not None:
            return {"ImportTableDescription": known}
        wanted = request["TableCreationParameters"]
        schema.check_create(wanted)
        schema.check_offered("ImportTable", wanted)
        name = wanted["TableName"]
        if state.table(call.tx, call.account, call.region, name) is not None:
            raise in_use(f"Table already exists: {name}")
        arn = table_arn(call, name)
        made = schema.new_record(call, wanted, call.world.uuid(), arn)
        made["Counted"] = True
        made["Description"]["TableStatus"] = "CREATING"
        if key := keyring.wanted_key(wanted):
            self.keyring.begin(call, made, key)
        state.put_table(call.tx, call.account, call.region, made)
        token = _new_id(call)
        description = {
            "ImportArn": f"{arn}/import/{token}",
            "ImportStatus": "IN_PROGRESS",
            "TableArn": arn,
            "TableId": made["Description"]["TableId"],
            "S3BucketSource": request["S3BucketSource"],
            "ErrorCount": 0,
            "InputFormat": request["InputFormat"],
            "InputCompressionType": request.get("InputCompressionType", "NONE"),
            "TableCreationParameters": wanted,
            "StartTime": round(call.tx.time_s, 3),
            "ProcessedSizeBytes": 0,
            "ProcessedItemCount": 0,
            "ImportedItemCount": 0,
        }
        for member in ("ClientToken", "InputFormatOptions"):
            if member in request:
                description[member] = request[member]
        record = {"Description": description, "Who": asdict(call.principal)}
        keys = call.keys("dynamodb")
        state.put_copy(call.tx, keys, "import", token, record)
        _remember(call, "import", request, token)
        job = {
            "Account": call.account,
            "Region": call.region,
            "Name": name,
            "Number": made["Key"],
            "Import": token,
        }
        work.put(call.tx, IMPORT, orjson.dumps(job))
        return {"ImportTableDescription": description}

    def describe_import(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.ONE_IMPORT, request)
        found = self._record(call, "import", request["ImportArn"])
        if found is None:
            raise Fault("ImportNotFoundException", f"Import not found: {request['ImportArn']}")
        return {"ImportTableDescription": found["Description"]}

    def list_imports(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.LIST_IMPORTS, request)
        found, token = _listed(call, "import", request, request.get("PageSize", LISTED_COUNT_MAX))
        names = (
            "ImportArn",
            "ImportStatus",
            "TableArn",
            "S3BucketSource",
            "InputFormat",
            "StartTime",
            "EndTime",
        )
        summaries = [{k: d[k] for k in names if k in d} for d in found]
        return {"ImportSummaryList": summaries} | ({"NextToken": token} if token else {})

    def _asked_before(self, call: Call, kind: str, request: Request) -> dict[str, Any] | None:
        """What the same request with this ClientToken led to within eight hours."""
        keys, token = call.keys("dynamodb"), request.get("ClientToken")
        held = token and state.copy(call.tx, keys, f"{kind}-token", token)
        if not held or held["Until"] <= call.tx.time_s:
            return None
        if held["Digest"] != _digest(request):
            code = f"{kind.title()}ConflictException"
            raise Fault(code, f"ClientToken {token} was given with other parameters")
        found = state.copy(call.tx, keys, kind, held["Name"])
        return None if found is None else found["Description"]

    def _record(self, call: Call, kind: str, arn: str) -> dict[str, Any] | None:
        table, _, name = arn.partition(f"/{kind}/")
        if not name or place_of(call, table)[0] != call.account:
            return None
        found = state.copy(call.tx, call.keys("dynamodb"), kind, name)
        known = "" if found is None else found["Description"][f"{kind.title()}Arn"]
        return found if known == arn else None


TOKEN_LIFE_S = 8 * 3600


def _digest(request: Request) -> str:
    return sha256(orjson.dumps(request, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _remember(call: Call, kind: str, request: Request, name: str) -> None:
    if token := request.get("ClientToken"):
        until_s = call.tx.time_s + TOKEN_LIFE_S
        held = {"Name": name, "Digest": _digest(request), "Until": until_s}
        state.put_copy(call.tx, call.keys("dynamodb"), f"{kind}-token", token, held)


def _new_id(call: Call) -> str:
    return f"{int(call.tx.time_s * 1000):014d}-{call.world.token(4).hex()}"


def _listed(
    call: Call, kind: str, request: Request, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """Descriptions of a table's (or all) exports or imports, and the token of the next page."""
    found: list[dict[str, Any]] = []
    last = None
    listed = state.copies(call.tx, call.keys("dynamodb"), kind, request.get("NextToken", ""))
    for looked, (name, record) in enumerate(listed, 1):
        if len(found) == limit or looked > _LOOKED_AT_COUNT_MAX:
            return found, last
        last = name
        if request.get("TableArn") in (None, record["Description"]["TableArn"]):
            found.append(record["Description"])
    return found, None
