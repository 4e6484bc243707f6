"""Batch jobs carried out: prepared, then a slice at a time, the highest priority first, then reported.

Queue ``s3control.prepare``, JSON [account, region, id]: the manifest is counted, or generated; a job that was cancelled is
reported, of one that is over what is left of a generated manifest goes, and after 90 days the job itself. Queue ``s3control.tick``, JSON
[account, region]: one slice of the job whose turn it is (one of a higher priority pauses it), and another tick while any waits. Ticks of an account and
region run one after another. Where a job stands is kept in the transaction that keeps the slice's results, so after
a crash a slice may be done again, and none is left out.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import logging
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import orjson

from stratolite.core import Tx
from stratolite.errors import Fault
from stratolite.service import Call, Cloud, Job, Principal, Settle
from stratolite.services.s3control import generating, manifests, state, tasks

_log = logging.getLogger("stratolite.s3control")
PREPARE, TICK = "s3control.prepare", "s3control.tick"
OVER = ("Complete", "Cancelled", "Failed")
KEPT_S = 90 * 86_400
"""How long a job can be looked at once it is over: troubleshooting-batch-operations.html, NoSuchJobException."""
SLICE_COUNT = 50
AT_ONCE = 8
_PRINCIPAL = "batchoperations.s3.amazonaws.com"
_REPORT_SLICES_COUNT = 200
"""Slices in one file of a report: 10,000 tasks."""
_FAILURES_SHARE_MAX, _FAILURES_LOOK_COUNT = 0.5, 1000
"""A job ends when more than half of at least so many tasks have failed, as on AWS."""


def put_prepare(call: Call, job_id: str) -> None:
    payload = orjson.dumps([call.account, call.region, job_id])
    call.cloud.work.put(call.tx, PREPARE, payload)


def put_end(cloud: Cloud, tx: Tx, account: str, region: str, record: dict[str, Any]) -> None:
    """Of a job that is over: what it leaves goes, at once and at last."""
    payload = orjson.dumps([account, region, record["id"]])
    if record["results"] or "ManifestGenerator" in record:
        cloud.work.put(tx, PREPARE, payload)
    cloud.work.put(tx, PREPARE, payload, due_s=record["ended_s"] + KEPT_S)


def _drop(cloud: Cloud, tx: Tx, payload: bytes) -> None:
    account, region, job_id = orjson.loads(payload)
    rows = state.space(account, region)
    record = state.job(tx, rows, job_id)
    if record is None:
        return
    if record["results"]:
        state.drop_results(tx, rows, job_id, record["results"])
        state.put_job(tx, rows, {**record, "results": 0})
    if not state.drop_manifest(tx, rows, job_id):
        cloud.work.put(tx, PREPARE, payload)
    elif tx.time_s >= record["ended_s"] + KEPT_S:
        state.delete_job(tx, rows, record)


def put_tick(call: Call) -> None:
    _tick(call.cloud, call.tx, call.account, call.region)


def _tick(cloud: Cloud, tx: Tx, account: str, region: str) -> None:
    partition = f"{account} {region}".encode()
    cloud.work.put(tx, TICK, orjson.dumps([account, region]), partition=partition)


async def _as_role(call: Call, job: dict[str, Any]) -> Call:
    """The job's role, assumed. Raises Fault."""
    arn = f"arn:aws:s3:{call.region}:{call.account}:job/{job['id']}"
    acting = call.as_service(_PRINCIPAL, arn)
    role = job["RoleArn"]
    ask = {"RoleArn": role, "RoleSessionName": "s3-batch-operations", "DurationSeconds": 3600}
    answer = await acting.request("sts", "AssumeRole", ask)
    who = answer["AssumedRoleUser"]
    principal = Principal(
        "role",
        role.split(":")[4],
        who["Arn"],
        name=role.rpartition("/")[2],
        session="s3-batch-operations",
        user_id=who["AssumedRoleId"],
    )
    return call.scoped(call.account, call.region, principal)


def _call(cloud: Cloud, account: str, region: str, job: Job) -> Call:
    return cloud.call(account, region, job.id.hex())


class Preparer:
    queue = PREPARE
    ordered = False
    concurrency = 2

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        account, region, job_id = orjson.loads(job.payload)
        rows, cloud = state.space(account, region), self._cloud
        call = _call(cloud, account, region, job)
        record = await call.transact(lambda inner: state.job(inner.tx, rows, job_id))
        if record is None:
            return None
        if record["status"] in OVER:
            if record["results"]:
                await _report(call, record, [])
            return lambda tx: _drop(cloud, tx, job.payload)
        if record["status"] not in ("New", "Preparing"):
            return None
        total, failure = 0, None
        try:
            acting = await _as_role(call, record)
            if "ManifestGenerator" in record:
                total = await generating.generate(call, acting, record)
            else:
                total = await manifests.count(acting, record["Manifest"])
        except Fault as fault:
            failure = {"FailureCode": fault.code, "FailureReason": fault.message}

        def settle(tx: Tx) -> None:
            fresh = state.job(tx, rows, job_id)
            if fresh is None or fresh["status"] not in ("New", "Preparing"):
                return
            fresh["total"] = total
            if "generated" in record:
                fresh["generated"] = record["generated"]
            if failure is not None:
                fresh |= {"status": "Failed", "ended_s": tx.time_s, "failures": [failure]}
                put_end(cloud, tx, account, region, fresh)
            else:
                fresh["status"] = "Ready" if fresh["confirmed"] else "Suspended"
                fresh["suspended_s"] = tx.time_s
            state.put_job(tx, rows, fresh)
            if fresh["status"] == "Ready":
                _tick(cloud, tx, account, region)

        return settle


class Ticker:
    queue = TICK
    ordered = True
    concurrency = 4

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        account, region = orjson.loads(job.payload)
        rows, cloud = state.space(account, region), self._cloud
        call = _call(cloud, account, region, job)

        def begin(inner: Call) -> dict[str, Any] | None:
            record = state.next_job(inner.tx, rows)
            if record is not None and record["status"] != "Active":
                if (other := state.active_job(inner.tx, rows)) is not None:
                    state.put_job(inner.tx, rows, {**other, "status": "Paused"})
                record["status"] = "Active"
                state.put_job(inner.tx, rows, record)
            return record

        record = await call.transact(begin)
        if record is None:
            return None
        began_s = cloud.world.mono()
        listed: list[list[str]] = []
        place: dict[str, int] | None = None
        failure: dict[str, str] | None = None
        try:
            acting = await _as_role(call, record)
            if "ManifestGenerator" in record:
                part = await generating.read(call, record, record["place"], SLICE_COUNT)
            else:
                part = await manifests.read(
                    acting, record["Manifest"], record["place"], SLICE_COUNT
                )
            place = part.place
            room = asyncio.Semaphore(AT_ONCE)

            async def one(task: manifests.Task) -> list[str]:
                async with room:
                    done, code, status, text = await tasks.carry_out(acting, record, task)
                word = "succeeded" if done else "failed"
                key = quote(task.key, safe="/")  # as a manifest has it: a report can be one
                return [task.bucket, key, task.version, word, str(status), code, text]

            listed = list(await asyncio.gather(*map(one, part.tasks)))
        except Fault as fault:
            failure = {"FailureCode": fault.code, "FailureReason": fault.message}
        spent_s = cloud.world.mono() - began_s

        def settle(tx: Tx) -> None:
            fresh = state.job(tx, rows, record["id"])
            if (
                fresh is not None
                and fresh["status"] == "Active"
                and fresh["place"] == record["place"]
            ):
                _keep(tx, rows, fresh, listed, place, failure, spent_s)
                if fresh["status"] in OVER:
                    put_end(cloud, tx, account, region, fresh)
                elif "ManifestGenerator" in fresh and place is not None:
                    state.drop_manifest(tx, rows, fresh["id"], place["file"])
            if state.next_job(tx, rows) is not None:
                _tick(cloud, tx, account, region)

        if place is None or failure is not None:
            await _report(call, record, listed)
        return settle


def _keep(
    tx: Tx,
    rows: Any,
    fresh: dict[str, Any],
    listed: list[list[str]],
    place: dict[str, int] | None,
    failure: dict[str, str] | None,
    spent_s: float,
) -> None:
    failed = sum(1 for row in listed if row[3] == "failed")
    fresh["failed"] += failed
    fresh["succeeded"] += len(listed) - failed
    fresh["active_s"] += spent_s
    fresh["place"] = place
    done = fresh["failed"] + fresh["succeeded"]
    too_many = (
        failure is None
        and done >= _FAILURES_LOOK_COUNT
        and fresh["failed"] > _FAILURES_SHARE_MAX * done
    )
    if too_many:  # reported afterwards, as a cancelled job is
        failure = {
            "FailureCode": "JobFailureRateExceeded",
            "FailureReason": "More than 50% of the tasks failed",
        }
    if failure is not None:
        fresh |= {"status": "Failed", "ended_s": tx.time_s, "failures": [failure]}
    elif place is None:
        fresh |= {"status": "Complete", "ended_s": tx.time_s}
    if too_many or fresh["status"] not in OVER:
        if fresh["Report"].get("Enabled"):
            state.put_results(tx, rows, fresh["id"], fresh["results"], listed)
            fresh["results"] += 1
    else:
        state.drop_results(tx, rows, fresh["id"], fresh["results"])
        fresh["results"] = 0
    state.put_job(tx, rows, fresh)


async def _report(call: Call, record: dict[str, Any], last: list[list[str]]) -> None:
    """The completion report, where one is wanted and its bucket takes it."""
    if not record["Report"].get("Enabled"):
        return
    try:
        await _write_report(await _as_role(call, record), record, last)
    except Fault as fault:
        _log.warning("job=%s: its report is not delivered: %r", record["id"], fault)


async def _write_report(call: Call, record: dict[str, Any], last: list[list[str]]) -> None:
    """Result files and the manifest that names them. Of a row the status comes before the code, as AWS's examples have it.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-examples-reports.html
    """
    report = record["Report"]
    bucket = report["Bucket"].removeprefix("arn:aws:s3:::")
    prefix = (report.get("Prefix") or "").strip("/")
    folder = f"{prefix}/job-{record['id']}" if prefix else f"job-{record['id']}"
    rows, after = state.space(call.account, call.region), -1
    files = []
    only_failed = report["ReportScope"] == "FailedTasksOnly"
    put = {"Bucket": bucket, "ServerSideEncryption": "AES256"}
    if report.get("ExpectedBucketOwner"):
        put["ExpectedBucketOwner"] = report["ExpectedBucketOwner"]

    async def write(status: str, listed: list[list[str]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(listed)
        body = text.getvalue().encode()
        digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
        key = f"{folder}/results/{call.world.token(20).hex()}.csv"
        await call.request("s3", "PutObject", {**put, "Key": key, "Body": body})
        files.append(
            {"TaskExecutionStatus": status, "Bucket": bucket, "MD5Checksum": digest, "Key": key}
        )

    while True:
        low = after
        page = await call.transact(
            lambda inner, low=low: state.results(  # type: ignore[misc]
                inner.tx, rows, record["id"], low, _REPORT_SLICES_COUNT
            )
        )
        listed = [row for _, part in page for row in part]
        ended = len(page) < _REPORT_SLICES_COUNT
        if ended:
            listed += last
        else:
            after = page[-1][0]
        for status in ("succeeded", "failed"):
            some = [row for row in listed if row[3] == status]
            if some and not (only_failed and status == "succeeded"):
                await write(status, some)
        if ended:
            break
    manifest = {
        "Format": "Report_CSV_20180820",
        "ReportCreationDate": "",
        "Results": files,
        "ReportSchema": "Bucket, Key, VersionId, TaskStatus, ErrorCode, HTTPStatusCode, ResultMessage",
    }
    now_s = await call.transact(lambda inner: inner.tx.time_s)
    manifest["ReportCreationDate"] = _iso(now_s)
    body = orjson.dumps(manifest, option=orjson.OPT_INDENT_2)
    await call.request("s3", "PutObject", {**put, "Key": f"{folder}/manifest.json", "Body": body})
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest().encode()
    await call.request(
        "s3", "PutObject", {**put, "Key": f"{folder}/manifest.json.md5", "Body": digest}
    )


def _iso(time_s: float) -> str:

    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
