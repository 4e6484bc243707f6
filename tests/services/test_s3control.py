"""S3 Batch Operations: every object of a manifest once, in the job's order, also when the process ends between."""

from __future__ import annotations

import csv
import io
import json
import time

import pytest
from botocore.exceptions import ClientError

from stratolite.services.s3control import batch

ACCOUNT = "000000000000"
TRUST = {
    "Effect": "Allow",
    "Principal": {"Service": "batchoperations.s3.amazonaws.com"},
    "Action": "sts:AssumeRole",
}


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def until(condition):
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def role(client):
    iam = client("iam")
    arn = iam.create_role(RoleName="batch", AssumeRolePolicyDocument=document(TRUST))["Role"]["Arn"]
    may = {"Effect": "Allow", "Action": ["s3:*", "lambda:*"], "Resource": "*"}
    iam.put_role_policy(RoleName="batch", PolicyName="p", PolicyDocument=document(may))
    return arn


@pytest.fixture
def s3(client, role):
    made = client("s3")
    for name in ("box", "copies", "reports"):
        made.create_bucket(Bucket=name)
    return made


@pytest.fixture
def control(client):
    return client("s3control")


def make(control, s3, role, keys, operation, **more):
    body = "".join(f"box,{key}\n" for key in keys)
    etag = s3.put_object(Bucket="reports", Key="manifest.csv", Body=body)["ETag"]
    asked = {
        "AccountId": ACCOUNT, "ConfirmationRequired": False, "Operation": operation, "Priority": 1, "RoleArn": role,
        "Report": {"Enabled": True, "Bucket": "arn:aws:s3:::reports", "Format": "Report_CSV_20180820", "Prefix": "r", "ReportScope": "AllTasks"},
        "Manifest": {
            "Spec": {"Format": "S3BatchOperations_CSV_20180820", "Fields": ["Bucket", "Key"]},
            "Location": {"ObjectArn": "arn:aws:s3:::reports/manifest.csv", "ETag": etag},
        },
        "ClientRequestToken": f"token-{len(keys)}-{next(iter(operation))}",
    }  # fmt: skip
    return control.create_job(**(asked | more))["JobId"]


def job(control, job_id):
    return control.describe_job(AccountId=ACCOUNT, JobId=job_id)["Job"]


def ended(control, job_id):
    until(lambda: job(control, job_id)["Status"] in ("Complete", "Failed", "Cancelled"))
    return job(control, job_id)


def test_every_object_is_tagged_and_the_report_says_so(control, s3, role):
    keys = [f"k{number}" for number in range(batch.SLICE_COUNT * 2 + 3)]
    for key in keys[:-1]:
        s3.put_object(Bucket="box", Key=key, Body=key)
    tag = {"TagSet": [{"Key": "seen", "Value": "yes"}]}
    job_id = make(control, s3, role, keys, {"S3PutObjectTagging": tag})
    done = ended(control, job_id)
    assert done["Status"] == "Complete"
    progress = done["ProgressSummary"]
    assert progress["TotalNumberOfTasks"] == len(keys)
    assert (progress["NumberOfTasksSucceeded"], progress["NumberOfTasksFailed"]) == (
        len(keys) - 1,
        1,
    )
    assert s3.get_object_tagging(Bucket="box", Key="k7")["TagSet"] == tag["TagSet"]
    until(lambda: s3.list_objects_v2(Bucket="reports", Prefix="r/").get("KeyCount") == 4)
    manifest = s3.get_object(Bucket="reports", Key=f"r/job-{job_id}/manifest.json")["Body"].read()
    rows = []
    for file in json.loads(manifest)["Results"]:
        body = s3.get_object(Bucket="reports", Key=file["Key"])["Body"].read().decode()
        rows += csv.reader(io.StringIO(body))
    assert sorted(row[1] for row in rows) == sorted(keys)
    assert [row[1:6] for row in rows if row[3] == "failed"] == [
        [keys[-1], "", "failed", "NoSuchKey", "404"]
    ]
    listed = control.list_jobs(AccountId=ACCOUNT, JobStatuses=["Complete"])["Jobs"]
    assert [one["JobId"] for one in listed] == [job_id]


def test_a_job_waits_to_be_confirmed_and_goes_on_after_a_restart(
    control, s3, role, platform, monkeypatch
):
    monkeypatch.setattr(batch, "SLICE_COUNT", 5)
    keys = [f"k{number}" for number in range(43)]
    for key in keys:
        s3.put_object(Bucket="box", Key=key, Body=key)
    copy = {"S3PutObjectCopy": {"TargetResource": "arn:aws:s3:::copies", "TargetKeyPrefix": "to"}}
    job_id = make(control, s3, role, keys, copy, ConfirmationRequired=True)
    until(lambda: job(control, job_id)["Status"] == "Suspended")
    assert job(control, job_id)["ProgressSummary"]["TotalNumberOfTasks"] == 43
    control.update_job_priority(AccountId=ACCOUNT, JobId=job_id, Priority=7)
    control.update_job_status(AccountId=ACCOUNT, JobId=job_id, RequestedJobStatus="Ready")
    until(lambda: job(control, job_id)["ProgressSummary"]["NumberOfTasksSucceeded"] >= 5)
    platform.reopen()
    done = ended(control, job_id)
    assert (done["Status"], done["Priority"]) == ("Complete", 7)
    assert done["ProgressSummary"]["NumberOfTasksSucceeded"] == 43
    copies = [o["Key"] for o in s3.list_objects_v2(Bucket="copies")["Contents"]]
    assert sorted(copies) == sorted(f"to/{key}" for key in keys)


def test_a_role_that_is_not_batch_s_ends_the_job(client, control, s3, role):
    trust = {**TRUST, "Principal": {"Service": "lambda.amazonaws.com"}}
    client("iam").update_assume_role_policy(RoleName="batch", PolicyDocument=document(trust))
    job_id = make(control, s3, role, ["k"], {"S3DeleteObjectTagging": {}})
    done = ended(control, job_id)
    assert done["Status"] == "Failed"
    assert done["FailureReasons"][0]["FailureCode"] == "AccessDenied"
    with pytest.raises(ClientError, match="JobStatusException"):
        control.update_job_status(AccountId=ACCOUNT, JobId=job_id, RequestedJobStatus="Ready")


def test_what_is_not_offered_says_so(control, s3, role):
    for operation in ({"S3ReplicateObject": {}}, {"S3PutObjectCopy": {}}):
        with pytest.raises(ClientError) as refused:
            make(control, s3, role, ["k"], operation)
        assert refused.value.response["Error"]["Code"] in ("NotImplemented", "InvalidRequest")
    with pytest.raises(ClientError, match="NoSuchJob"):
        job(control, "no-such-job")
