"""Batch jobs: create, describe, list, prioritise, confirm and cancel."""

from __future__ import annotations

from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.s3control import batch, job_rules, state

JOBS_PAGE_COUNT_MAX = 1000
_LOOK_COUNT_MAX = 5000
"""Jobs a listing by status looks at before it gives its page up."""
_OVER = ("Complete", "Cancelled", "Failed", "Failing", "Cancelling", "Completing")


class Jobs(Service):
    def create_job(self, call: Call, request: Request) -> Response:
        check_account(call, request)
        job_rules.check(request)
        rows = state.space(call.account, call.region)
        token = request.get("ClientRequestToken") or ""
        if token and (known := state.job_of_token(call.tx, rows, token)) is not None:
            before = state.job(call.tx, rows, known)
            if before is not None and _said(before) != _said(request):
                raise Fault(
                    "IdempotencyException",
                    "The ClientRequestToken was used for a job with other parameters.",
                    status=400,
                )
            return {"JobId": known}
        now_s = call.tx.time_s
        tail = call.world.token(8).hex()
        job_id = f"{call.tx.stamp():016x}-{tail[:4]}-{tail[4:]}"
        confirm = bool(request.get("ConfirmationRequired"))
        record: dict[str, Any] = {
            **{name: request[name] for name in job_rules.KEPT if name in request},
            "id": job_id,
            "ConfirmationRequired": confirm,
            "confirmed": not confirm,
            "status": "New",
            "created_s": now_s,
            "ended_s": 0.0,
            "reason": "",
            "failures": [],
            "total": 0,
            "succeeded": 0,
            "failed": 0,
            "active_s": 0.0,
            "place": None,
            "results": 0,
        }
        record.setdefault("Tags", [])
        if token:
            record["token"] = token
        state.put_job(call.tx, rows, record)
        if token:
            state.put_token(call.tx, rows, token, job_id)
        batch.put_prepare(call, job_id)
        return {"JobId": job_id}

    def describe_job(self, call: Call, request: Request) -> Response:
        record = self._job(call, request)
        return {"Job": job_rules.shown(record, job_arn(call, record["id"]))}

    def _job(self, call: Call, request: Request) -> dict[str, Any]:
        check_account(call, request)
        job_id = request["JobId"]
        record = state.job(call.tx, state.space(call.account, call.region), job_id)
        if record is None:
            raise Fault("NoSuchJob", "The specified job does not exist.", status=404)
        return record

    def list_jobs(self, call: Call, request: Request) -> Response:
        check_account(call, request)
        statuses = set(request.get("JobStatuses") or ())
        most = page_size(request, JOBS_PAGE_COUNT_MAX)
        rows = state.space(call.account, call.region)
        shown: list[dict[str, Any]] = []
        response: Response = {}
        last = ""
        for looked, record in enumerate(
            state.jobs(call.tx, rows, request.get("NextToken") or ""), 1
        ):
            if len(shown) == most or looked > _LOOK_COUNT_MAX:
                response["NextToken"] = last
                break
            last = record["id"]
            if not statuses or record["status"] in statuses:
                shown.append(job_rules.listed(record))
        response["Jobs"] = shown
        return response

    def update_job_priority(self, call: Call, request: Request) -> Response:
        record = self._job(call, request)
        if record["status"] in _OVER:
            raise _wrong_state(record)
        job_rules.check_priority(request)
        record["Priority"] = request["Priority"]
        state.put_job(call.tx, state.space(call.account, call.region), record)
        return {"JobId": record["id"], "Priority": record["Priority"]}

    def update_job_status(self, call: Call, request: Request) -> Response:
        record = self._job(call, request)
        wanted = request["RequestedJobStatus"]
        if wanted == "Cancelled":
            if record["status"] in _OVER:
                raise _wrong_state(record)
            record["status"], record["ended_s"] = "Cancelled", call.tx.time_s
            batch.put_end(call.cloud, call.tx, call.account, call.region, record)
        elif wanted == "Ready":
            if record["status"] not in ("Suspended", "New", "Preparing"):
                raise _wrong_state(record)
            record["confirmed"] = True
            if record["status"] == "Suspended":
                record["status"] = "Ready"
                batch.put_tick(call)
        else:
            raise job_rules.invalid(f"Job status {wanted} cannot be requested")
        record["reason"] = request.get("StatusUpdateReason") or ""
        state.put_job(call.tx, state.space(call.account, call.region), record)
        return {
            "JobId": record["id"],
            "Status": record["status"],
            "StatusUpdateReason": record["reason"],
        }

    def get_job_tagging(self, call: Call, request: Request) -> Response:
        return {"Tags": self._job(call, request)["Tags"]}

    def put_job_tagging(self, call: Call, request: Request) -> Response:
        record = self._job(call, request)
        tags = request["Tags"]
        if len(tags) > 50:
            raise Fault("TooManyTagsException", "Too many tags", status=400)
        state.put_job(
            call.tx, state.space(call.account, call.region), {**record, "Tags": list(tags)}
        )
        return {}

    def delete_job_tagging(self, call: Call, request: Request) -> Response:
        record = self._job(call, request)
        state.put_job(call.tx, state.space(call.account, call.region), {**record, "Tags": []})
        return {}


def _said(job: dict[str, Any]) -> bytes:
    """What was asked for, for comparing."""
    said = {name: job[name] for name in job_rules.KEPT if name in job and name != "Tags"}
    return orjson.dumps(said, option=orjson.OPT_SORT_KEYS)


def check_account(call: Call, request: Request) -> None:
    account = request.get("AccountId") or call.account
    if account != call.account:
        raise Fault("AccessDenied", "Access Denied", status=403)


def page_size(request: Request, most: int) -> int:
    """How many are on a page: MaxResults, and ``most`` at most. Raises Fault."""
    asked = request.get("MaxResults") or most
    if asked < 0:
        raise Fault("InvalidRequest", "MaxResults must not be negative", status=400)
    return min(int(asked), most)


def job_arn(call: Call, job_id: str) -> str:
    return f"arn:aws:s3:{call.region}:{call.account}:job/{job_id}"


def _wrong_state(record: dict[str, Any]) -> Fault:
    return Fault(
        "JobStatusException",
        f"The job is {record['status']}, which does not allow this",
        status=400,
    )
