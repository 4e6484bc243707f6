"""S3 Batch Operations: every object of a manifest once, in the job's order, also when the process ends between."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import gzip
import hashlib
import io
import json
import time
from urllib.parse import quote

import lambdas
import pytest
from botocore.exceptions import ClientError

from stratolite import cli
from stratolite.gateway.listener import serve
from stratolite.services.s3control import batch, generating, state

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
        [keys[-1], "", "failed", "404", "NoSuchKey"]
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


def test_a_job_of_higher_priority_goes_first_and_pauses_the_other(
    control, s3, role, platform, monkeypatch
):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-job-status.html, Paused"""
    monkeypatch.setattr(batch, "SLICE_COUNT", 1)
    held, seen = asyncio.Event(), []
    carry_out = batch.tasks.carry_out

    async def one_by_one(call, record, task):
        seen.append(task.key)
        if len(seen) == 2:
            await held.wait()
        return await carry_out(call, record, task)

    monkeypatch.setattr(batch.tasks, "carry_out", one_by_one)
    for key in ("a1", "a2", "a3", "b1", "b2"):
        s3.put_object(Bucket="box", Key=key, Body=key, Tagging="x=y")
    operation = {"S3DeleteObjectTagging": {}}
    slow = make(control, s3, role, ["a1", "a2", "a3"], operation)
    until(lambda: len(seen) == 2)
    assert job(control, slow)["Status"] == "Active"
    manifest = s3.put_object(Bucket="reports", Key="second.csv", Body="box,b1\nbox,b2\n")
    location = {"ObjectArn": "arn:aws:s3:::reports/second.csv", "ETag": manifest["ETag"]}
    spec = {"Format": "S3BatchOperations_CSV_20180820", "Fields": ["Bucket", "Key"]}
    urgent = control.create_job(
        AccountId=ACCOUNT, ConfirmationRequired=False, Operation=operation, Priority=9, RoleArn=role,
        Report={"Enabled": False}, Manifest={"Spec": spec, "Location": location}, ClientRequestToken="urgent",
    )["JobId"]  # fmt: skip
    until(lambda: job(control, urgent)["Status"] == "Ready")
    paused = []
    put_job = batch.state.put_job

    def noting(tx, rows, record):
        if record["status"] == "Paused":
            paused.append(record["id"])
        put_job(tx, rows, record)

    monkeypatch.setattr(batch.state, "put_job", noting)
    platform.loop.call_soon_threadsafe(held.set)
    assert ended(control, urgent)["Status"] == "Complete"
    assert ended(control, slow)["Status"] == "Complete"
    assert seen == ["a1", "a2", "b1", "b2", "a3"]
    assert set(paused) == {slow}
    assert (
        control.describe_job(AccountId=ACCOUNT, JobId=slow)["Job"]["ProgressSummary"][
            "NumberOfTasksSucceeded"
        ]
        == 3
    )


def test_a_job_s_progress_is_live_in_stratolite_status(
    control, s3, role, platform, monkeypatch, capsys
):
    """From the prompt, over a socket, while the job is between two objects."""
    monkeypatch.setattr(batch, "SLICE_COUNT", 1)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    gates, seen = [asyncio.Event() for _ in range(3)], []
    carry_out = batch.tasks.carry_out

    async def one_by_one(call, record, task):
        gate = gates[len(seen)]
        seen.append(task.key)
        await gate.wait()
        return await carry_out(call, record, task)

    monkeypatch.setattr(batch.tasks, "carry_out", one_by_one)
    for key in ("a", "c"):
        s3.put_object(Bucket="box", Key=key, Body=key, Tagging="x=y")
    job_id = make(control, s3, role, ["a", "lost", "c"], {"S3DeleteObjectTagging": {}})
    server = platform.run(serve(platform.app, "127.0.0.1", 0))
    words = ["status", "--endpoint", f"http://127.0.0.1:{server.port}"]

    def said():
        with contextlib.suppress(SystemExit):
            cli.main(words)
        return next((line for line in capsys.readouterr().out.splitlines() if job_id in line), "")

    try:
        until(lambda: len(seen) == 1)
        assert "Active" in said()
        assert "0 of 3" in said()
        platform.loop.call_soon_threadsafe(gates[0].set)
        until(lambda: len(seen) == 2)
        assert "1 of 3" in said()
        platform.loop.call_soon_threadsafe(gates[1].set)
        until(lambda: len(seen) == 3)
        assert "2 of 3, 1 failed" in said()
        platform.loop.call_soon_threadsafe(gates[2].set)
        assert ended(control, job_id)["Status"] == "Complete"
        assert said() == ""
    finally:
        for gate in gates:
            platform.loop.call_soon_threadsafe(gate.set)
        platform.run(server.close(graceful=False))


def test_a_cancelled_job_does_no_more(control, s3, role, monkeypatch):
    s3.put_object(Bucket="box", Key="k", Body=b"x", Tagging="x=y")
    job_id = make(
        control, s3, role, ["k"], {"S3DeleteObjectTagging": {}}, ConfirmationRequired=True
    )
    until(lambda: job(control, job_id)["Status"] == "Suspended")
    control.update_job_status(AccountId=ACCOUNT, JobId=job_id, RequestedJobStatus="Cancelled")
    with pytest.raises(ClientError, match="JobStatusException"):
        control.update_job_status(AccountId=ACCOUNT, JobId=job_id, RequestedJobStatus="Ready")
    assert job(control, job_id)["Status"] == "Cancelled"
    assert s3.get_object_tagging(Bucket="box", Key="k")["TagSet"] != []


def test_every_operation_does_what_it_says(client, control, s3, role):
    """ACLs, a restore, locks, and a function that is asked about each object and may say no."""
    s3.create_bucket(Bucket="old", ObjectOwnership="ObjectWriter", ObjectLockEnabledForBucket=True)
    for key in ("a b", "c"):
        s3.put_object(Bucket="old", Key=key, Body=b"x", StorageClass="GLACIER")
    code = """
import json
def handler(event, context):
    (task,) = event["tasks"]
    said = "Succeeded" if task["s3Key"] == "c" else "PermanentFailure"
    text = json.dumps([task["s3BucketArn"], event["invocationSchemaVersion"]])
    return {"invocationSchemaVersion": "1.0", "treatMissingKeysAs": "PermanentFailure",
        "invocationId": event["invocationId"],
        "results": [{"taskId": task["taskId"], "resultCode": said, "resultString": text}]}
"""
    function = lambdas.create(client, "asked", code)["FunctionArn"]
    owner = s3.get_bucket_acl(Bucket="old")["Owner"]["ID"]
    grant = {
        "Grantee": {"TypeIdentifier": "uri", "Identifier": "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"},
        "Permission": "READ",
    }  # fmt: skip
    listed = {"Owner": {"ID": owner}, "Grants": [grant]}
    s3.delete_public_access_block(Bucket="old")
    operations = [
        {"S3PutObjectAcl": {"AccessControlPolicy": {"AccessControlList": listed}}},
        {"S3InitiateRestoreObject": {"ExpirationInDays": 3, "GlacierJobTier": "BULK"}},
        {"S3PutObjectLegalHold": {"LegalHold": {"Status": "ON"}}},
        {"S3PutObjectRetention": {"Retention": {"Mode": "GOVERNANCE", "RetainUntilDate": 4e9}}},
        {"LambdaInvoke": {"FunctionArn": function}},
    ]
    for number, operation in enumerate(operations):
        body = "old,a%20b\nold,c\n"
        etag = s3.put_object(Bucket="reports", Key="m.csv", Body=body)["ETag"]
        spec = {"Format": "S3BatchOperations_CSV_20180820", "Fields": ["Bucket", "Key"]}
        job_id = control.create_job(
            AccountId=ACCOUNT, ConfirmationRequired=False, Operation=operation, Priority=1, RoleArn=role,
            Report={"Enabled": False}, ClientRequestToken=f"t{number}",
            Manifest={"Spec": spec, "Location": {"ObjectArn": "arn:aws:s3:::reports/m.csv", "ETag": etag}},
        )["JobId"]  # fmt: skip
        done = ended(control, job_id)
        failed = 1 if "LambdaInvoke" in operation else 0
        progress = done["ProgressSummary"]
        assert done["Status"] == "Complete", done
        assert (progress["NumberOfTasksSucceeded"], progress["NumberOfTasksFailed"]) == (
            2 - failed,
            failed,
        ), operation
    grants = s3.get_object_acl(Bucket="old", Key="a b")["Grants"]
    assert [one["Permission"] for one in grants] == ["READ"]
    assert 'ongoing-request="false"' in s3.head_object(Bucket="old", Key="a b")["Restore"]
    assert s3.get_object(Bucket="old", Key="c")["Body"].read() == b"x"
    held = s3.get_object_legal_hold(Bucket="old", Key="a b")["LegalHold"]
    assert held == {"Status": "ON"}
    assert s3.get_object_retention(Bucket="old", Key="c")["Retention"]["Mode"] == "GOVERNANCE"


def test_an_inventory_is_a_manifest(control, s3, role, monkeypatch):
    """Its list of files, each gzipped CSV in the inventory's own columns.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-create-job.html#specify-batchjob-manifest
    """
    monkeypatch.setattr(batch, "SLICE_COUNT", 3)
    keys = [f"k ä{number}" for number in range(10)]
    for key in keys:
        s3.put_object(Bucket="box", Key=key, Body=key)
    files = []
    for number in range(2):
        rows = "".join(f'"box","{quote(key)}","5"\n' for key in keys[number::2])
        packed = gzip.compress(rows.encode())
        name = f"inventory/data/{number}.csv.gz"
        s3.put_object(Bucket="reports", Key=name, Body=packed)
        files.append({"key": name, "size": len(packed), "MD5checksum": hashlib.md5(packed).hexdigest()})  # fmt: skip
    manifest = {
        "sourceBucket": "box", "destinationBucket": "arn:aws:s3:::reports", "version": "2016-11-30",
        "fileFormat": "CSV", "fileSchema": "Bucket, Key, Size", "files": files,
    }  # fmt: skip
    etag = s3.put_object(Bucket="reports", Key="inventory/manifest.json", Body=json.dumps(manifest))["ETag"]  # fmt: skip
    tag = {"TagSet": [{"Key": "seen", "Value": "yes"}]}
    location = {"ObjectArn": "arn:aws:s3:::reports/inventory/manifest.json", "ETag": etag}
    job_id = make(
        control, s3, role, [], {"S3PutObjectTagging": tag},
        Manifest={"Spec": {"Format": "S3InventoryReport_CSV_20161130"}, "Location": location},
    )  # fmt: skip
    done = ended(control, job_id)
    assert done["Status"] == "Complete"
    assert done["ProgressSummary"]["NumberOfTasksSucceeded"] == len(keys)
    for key in keys:
        assert s3.get_object_tagging(Bucket="box", Key=key)["TagSet"] == tag["TagSet"]


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
    composite = {"S3ComputeObjectChecksum": {"ChecksumType": "COMPOSITE"}}
    for operation in (composite, {"S3PutObjectCopy": {}}):
        with pytest.raises(ClientError) as refused:
            make(control, s3, role, ["k"], operation)
        assert refused.value.response["Error"]["Code"] in ("NotImplemented", "InvalidRequest")
    with pytest.raises(ClientError, match="NoSuchJob"):
        job(control, "no-such-job")


def generator(bucket="box", **more):
    said = {"SourceBucket": f"arn:aws:s3:::{bucket}", "EnableManifestOutput": False, **more}
    return {"S3JobManifestGenerator": said}


def make_generated(control, role, operation, generated, **more):
    asked = {
        "AccountId": ACCOUNT, "ConfirmationRequired": False, "Operation": operation, "Priority": 1, "RoleArn": role,
        "Report": {"Enabled": True, "Bucket": "arn:aws:s3:::reports", "Format": "Report_CSV_20180820", "Prefix": "r", "ReportScope": "AllTasks"},
        "ManifestGenerator": generated, "ClientRequestToken": next(iter(operation)),
    }  # fmt: skip
    return control.create_job(**(asked | more))["JobId"]


def reported(s3, job_id):
    """Rows of a finished job's report."""
    key = f"r/job-{job_id}/manifest.json"
    until(lambda: s3.list_objects_v2(Bucket="reports", Prefix=key).get("KeyCount"))
    said = json.loads(s3.get_object(Bucket="reports", Key=key)["Body"].read())
    return [
        row
        for file in said["Results"]
        for row in csv.reader(
            io.StringIO(s3.get_object(Bucket="reports", Key=file["Key"])["Body"].read().decode())
        )
    ]


TAG = {"S3PutObjectTagging": {"TagSet": [{"Key": "seen", "Value": "yes"}]}}


def test_a_manifest_is_generated_of_what_the_filter_means(control, s3, role, monkeypatch):
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_JobManifestGeneratorFilter.html"""
    monkeypatch.setattr(generating, "ROW_COUNT", 3)
    monkeypatch.setattr(generating, "_LOOK_COUNT", 2)
    wanted = [f"in/{number}.txt" for number in range(8)] + ["in/\u00fc +&.txt"]
    for key in wanted:
        s3.put_object(Bucket="box", Key=key, Body=b"long enough")
    for key, more in (
        ("out/1.txt", {}),
        ("in/1.csv", {}),
        ("in/cold.txt", {"StorageClass": "STANDARD_IA"}),
        ("in/sealed.txt", {"ServerSideEncryption": "aws:kms"}),
    ):
        s3.put_object(Bucket="box", Key=key, Body=b"long enough", **more)
    s3.put_object(Bucket="box", Key="in/short.txt", Body=b"s")
    said = generator(
        EnableManifestOutput=True,
        ManifestOutputLocation={
            "Bucket": "arn:aws:s3:::copies",
            "ManifestPrefix": "lists",
            "ManifestFormat": "S3InventoryReport_CSV_20211130",
        },
        Filter={
            "KeyNameConstraint": {"MatchAnyPrefix": ["in/"], "MatchAnySuffix": [".txt"]},
            "ObjectSizeGreaterThanBytes": 1,
            "MatchAnyStorageClass": ["STANDARD"],
            "MatchAnyObjectEncryption": [{"SSES3": {}}],
        },
    )
    job_id = make_generated(control, role, TAG, said)
    done = ended(control, job_id)
    assert done["Status"] == "Complete", done["FailureReasons"]
    assert done["ProgressSummary"]["NumberOfTasksSucceeded"] == len(wanted)
    rows = reported(s3, job_id)
    assert sorted(row[1] for row in rows) == sorted(map(quote, wanted))
    place = done["GeneratedManifestDescriptor"]["Location"]["ObjectArn"]
    bucket, _, key = place.removeprefix("arn:aws:s3:::").partition("/")
    listed = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    body = s3.get_object(Bucket=bucket, Key=listed["files"][0]["key"])["Body"].read().decode()
    assert sorted(row[1] for row in csv.reader(io.StringIO(body))) == sorted(map(quote, wanted))


def test_a_generated_job_goes_on_after_a_restart_and_leaves_no_list(
    control, s3, role, platform, monkeypatch
):
    monkeypatch.setattr(generating, "ROW_COUNT", 4)
    monkeypatch.setattr(batch, "SLICE_COUNT", 3)
    for number in range(10):
        s3.put_object(Bucket="box", Key=f"k{number}", Body=b"x")
    job_id = make_generated(control, role, TAG, generator(), ConfirmationRequired=True)
    until(lambda: job(control, job_id)["Status"] == "Suspended")
    platform.reopen()
    control.update_job_status(AccountId=ACCOUNT, JobId=job_id, RequestedJobStatus="Ready")
    assert ended(control, job_id)["ProgressSummary"]["NumberOfTasksSucceeded"] == 10
    rows = state.space(ACCOUNT, "us-east-1")

    def left(tx):
        return state.manifest(tx, rows, job_id, 0)[0]

    until(lambda: not platform.run(platform.cloud.db.transact(left)))
    job_id = make_generated(
        control, role, TAG, generator(Filter={"KeyNameConstraint": {"MatchAnyPrefix": ["no"]}}),
        ClientRequestToken="none",
    )  # fmt: skip
    failed = ended(control, job_id)
    assert failed["Status"] == "Failed"
    assert "no keys" in failed["FailureReasons"][0]["FailureReason"]


def test_the_role_must_be_let_list_for_a_manifest(client, control, s3, role):
    s3.put_object(Bucket="box", Key="k", Body=b"x")
    may = {"Effect": "Allow", "Action": ["s3:PutObject*", "s3:GetObject*"], "Resource": "*"}
    client("iam").put_role_policy(RoleName="batch", PolicyName="p", PolicyDocument=document(may))
    job_id = make_generated(control, role, TAG, generator())
    assert ended(control, job_id)["Status"] == "Failed"


def test_checksums_are_computed_and_encryption_is_changed_by_jobs(client, control, s3, role):
    s3.put_object(Bucket="box", Key="k", Body=b"hello")
    computed = {"S3ComputeObjectChecksum": {"ChecksumAlgorithm": "SHA256"}}
    (row,) = reported(s3, make_generated(control, role, computed, generator()))
    said = json.loads(row[6])
    assert said["checksum_hex"] == hashlib.sha256(b"hello").hexdigest().upper()
    assert said["etag"] == hashlib.md5(b"hello").hexdigest()
    key = client("kms").create_key()["KeyMetadata"]["Arn"]
    may = {"Effect": "Allow", "Action": ["s3:*", "kms:*"], "Resource": "*"}
    client("iam").put_role_policy(RoleName="batch", PolicyName="p", PolicyDocument=document(may))
    sealed = {"S3UpdateObjectEncryption": {"ObjectEncryption": {"SSEKMS": {"KMSKeyArn": key}}}}
    job_id = make_generated(control, role, sealed, generator())
    assert ended(control, job_id)["ProgressSummary"]["NumberOfTasksSucceeded"] == 1
    assert s3.head_object(Bucket="box", Key="k")["SSEKMSKeyId"] == key


def test_what_was_there_before_the_rule_is_replicated_by_a_job(client, control, s3, role):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-batch-replication-batch.html"""
    trust = {**TRUST, "Principal": {"Service": "s3.amazonaws.com"}}
    iam = client("iam")
    made = iam.create_role(RoleName="copier", AssumeRolePolicyDocument=document(trust))["Role"]
    may = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    iam.put_role_policy(RoleName="copier", PolicyName="p", PolicyDocument=document(may))
    for bucket in ("box", "copies"):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for key in ("go/a", "go/b", "stay"):
        s3.put_object(Bucket="box", Key=key, Body=key)
    rule = {
        "ID": "r", "Status": "Enabled", "Priority": 1, "Filter": {"Prefix": "go/"},
        "DeleteMarkerReplication": {"Status": "Disabled"}, "Destination": {"Bucket": "arn:aws:s3:::copies"},
    }  # fmt: skip
    rules = {"Role": made["Arn"], "Rules": [rule]}
    s3.put_bucket_replication(Bucket="box", ReplicationConfiguration=rules)
    said = generator(Filter={"EligibleForReplication": True, "ObjectReplicationStatuses": ["NONE"]})
    job_id = make_generated(control, role, {"S3ReplicateObject": {}}, said)
    done = ended(control, job_id)
    assert done["ProgressSummary"]["NumberOfTasksSucceeded"] == 2
    listed = s3.list_objects_v2(Bucket="copies")["Contents"]
    assert [one["Key"] for one in listed] == ["go/a", "go/b"]
    assert s3.head_object(Bucket="box", Key="go/a")["ReplicationStatus"] == "COMPLETED"
    versions = [s3.head_object(Bucket=b, Key="go/a")["VersionId"] for b in ("box", "copies")]
    assert versions[0] == versions[1]


def test_a_copy_says_of_the_copies_what_the_job_says(control, s3, role):
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_S3CopyObjectOperation.html"""
    s3.put_object(Bucket="box", Key="k", Body=b"x", Metadata={"old": "1"})
    s3.put_bucket_ownership_controls(
        Bucket="copies", OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
    )
    owner = s3.get_bucket_acl(Bucket="copies")["Owner"]["ID"]
    grants = [
        {"Grantee": {"TypeIdentifier": "id", "Identifier": owner}, "Permission": permission}
        for permission in ("FULL_CONTROL", "READ_ACP")
    ]
    said = {
        "TargetResource": "arn:aws:s3:::copies",
        "AccessControlGrants": grants,
        "NewObjectMetadata": {
            "UserMetadata": {"new": "2"},
            "CacheControl": "no-store",
            "HttpExpiresDate": 1_900_000_000,
            "SSEAlgorithm": "AES256",
        },
        "NewObjectTagging": [{"Key": "a", "Value": "b c"}],
    }
    job_id = make_generated(control, role, {"S3PutObjectCopy": said}, generator())
    assert ended(control, job_id)["ProgressSummary"]["NumberOfTasksSucceeded"] == 1
    got = s3.head_object(Bucket="copies", Key="k")
    assert (got["Metadata"], got["CacheControl"]) == ({"new": "2"}, "no-store")
    assert got["Expires"].timestamp() == 1_900_000_000
    acl = s3.get_object_acl(Bucket="copies", Key="k")["Grants"]
    assert sorted(one["Permission"] for one in acl) == ["FULL_CONTROL", "READ_ACP"]
    tags = s3.get_object_tagging(Bucket="copies", Key="k")["TagSet"]
    assert tags == [{"Key": "a", "Value": "b c"}]


def test_a_cancelled_job_reports_what_it_did_and_leaves_nothing(
    control, s3, role, platform, monkeypatch
):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-examples-reports.html: also of jobs that were canceled."""
    monkeypatch.setattr(batch, "SLICE_COUNT", 1)
    held, seen = asyncio.Event(), []
    carry_out = batch.tasks.carry_out

    async def one_by_one(call, record, task):
        seen.append(task.key)
        if len(seen) == 2:
            await held.wait()
        return await carry_out(call, record, task)

    monkeypatch.setattr(batch.tasks, "carry_out", one_by_one)
    for key in ("a b", "c"):
        s3.put_object(Bucket="box", Key=key, Body=b"x")
    job_id = make(control, s3, role, ["a%20b", "c"], {"S3DeleteObjectTagging": {}})
    until(lambda: len(seen) == 2)
    control.update_job_status(AccountId=ACCOUNT, JobId=job_id, RequestedJobStatus="Cancelled")
    (row,) = reported(s3, job_id)
    assert row == ["box", "a%20b", "", "succeeded", "200", "", "Successful"]
    file = f"r/job-{job_id}/manifest.json"
    assert s3.head_object(Bucket="reports", Key=file)["ServerSideEncryption"] == "AES256"
    rows = state.space(ACCOUNT, "us-east-1")

    def left():
        found = platform.cloud.db.transact(lambda tx: state.results(tx, rows, job_id, -1, 10))
        return platform.run(found)

    until(lambda: left() == [])
    platform.loop.call_soon_threadsafe(held.set)


def test_a_function_s_temporary_failure_is_tried_again_and_its_error_is_told(
    client, control, s3, role
):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-invoke-lambda.html, its response and result codes."""
    code = """
import urllib.parse
seen = {}
def handler(event, context):
    (task,) = event["tasks"]
    key = urllib.parse.unquote_plus(task["s3Key"])
    seen[key] = seen.get(key, 0) + 1
    if key == "breaks":
        raise ValueError("no")
    said = "TemporaryFailure" if key == "never" or seen[key] < 3 else "Succeeded"
    return {"invocationSchemaVersion": event["invocationSchemaVersion"], "invocationId": event["invocationId"],
        "treatMissingKeysAs": "PermanentFailure",
        "results": [{"taskId": task["taskId"], "resultCode": said, "resultString": f"{key} {seen[key]} {event['job'].get('userArguments')}"}]}
"""
    function = lambdas.create(client, "asked", code)["FunctionArn"]
    operation = {"LambdaInvoke": {"FunctionArn": function, "InvocationSchemaVersion": "2.0", "UserArguments": {"a": "b"}}}  # fmt: skip
    for key, wanted in (
        ("a%20%2Bb", ["succeeded", "200", "", "a +b 3 {'a': 'b'}"]),
        ("never", ["failed", "200", "TemporaryFailure", "never 3 {'a': 'b'}"]),
    ):
        job_id = make(control, s3, role, [key], operation, ClientRequestToken=key)
        (row,) = reported(s3, job_id)
        assert row == ["box", key, "", *wanted]
    job_id = make(control, s3, role, ["breaks"], operation, ClientRequestToken="breaks")
    (row,) = reported(s3, job_id)
    assert row[:6] == ["box", "breaks", "", "failed", "200", "PermanentFailure"]
    assert row[6].startswith('Lambda returned function error: {"errorMessage"')


def test_a_token_stands_for_one_job(control, s3, role):
    """CreateJob's IdempotencyException."""
    tag = {"S3DeleteObjectTagging": {}}
    one = make(control, s3, role, ["k"], tag, ClientRequestToken="t")
    assert make(control, s3, role, ["k"], tag, ClientRequestToken="t") == one
    with pytest.raises(ClientError, match="IdempotencyException"):
        make(control, s3, role, ["k"], tag, ClientRequestToken="t", Priority=8)


def test_a_job_ends_when_half_of_a_thousand_tasks_failed(control, s3, role):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-job-status.html, Job failure: 50% of at least 1,000 tasks."""
    keys = [f"gone{number}" for number in range(1050)]
    job_id = make(control, s3, role, keys, {"S3DeleteObjectTagging": {}})
    done = ended(control, job_id)
    assert (done["Status"], done["FailureReasons"][0]["FailureCode"]) == ("Failed", "JobFailureRateExceeded")  # fmt: skip
    assert done["ProgressSummary"]["NumberOfTasksFailed"] == 1000
    assert len(reported(s3, job_id)) == 1000
    few = make(control, s3, role, keys[:999], {"S3DeleteObjectTagging": {}})
    assert ended(control, few)["Status"] == "Complete"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"box,k\nbox,k,more\n", "Manifest file is not properly formatted"),
        (b"box,k\nbox,\xff\n", "Invalid Manifest Content"),
        (b"box,\n", "Required fields are missing in the schema: Key"),
        (b"{}", "Manifest file is not properly formatted"),
        (b'{"files": [{"key": "manifest.csv"}], "destinationBucket": "arn:aws:s3:::reports", "fileSchema": "Bucket, Key"}', "Manifest file is not properly formatted"),
        (b"no JSON", "Manifest file is not properly formatted"),
    ],
)  # fmt: skip
def test_a_manifest_that_cannot_be_read_fails_the_job(control, s3, role, body, reason):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/troubleshooting-batch-operations.html, InvalidManifestContent"""
    etag = s3.put_object(Bucket="reports", Key="manifest.csv", Body=body)["ETag"]
    spec = {"Format": "S3BatchOperations_CSV_20180820", "Fields": ["Bucket", "Key"]}
    if b"," not in body or b"files" in body:
        spec = {"Format": "S3InventoryReport_CSV_20161130"}
    location = {"ObjectArn": "arn:aws:s3:::reports/manifest.csv", "ETag": etag}
    job_id = control.create_job(
        AccountId=ACCOUNT, ConfirmationRequired=False, Operation={"S3DeleteObjectTagging": {}}, Priority=1, RoleArn=role,
        Report={"Enabled": False}, Manifest={"Spec": spec, "Location": location}, ClientRequestToken="u",
    )["JobId"]  # fmt: skip
    done = ended(control, job_id)
    assert done["FailureReasons"] == [
        {"FailureCode": "InvalidManifestContent", "FailureReason": reason}
    ]


def test_a_job_s_priority_has_bounds(client, s3, role):
    control = client("s3control", parameter_validation=False)
    tag = {"S3DeleteObjectTagging": {}}
    for priority in (-1, 2**31):
        with pytest.raises(ClientError, match="InvalidRequest"):
            make(control, s3, role, ["k"], tag, Priority=priority)
    job_id = make(control, s3, role, ["k"], tag, Priority=2**31 - 1, ConfirmationRequired=True)
    with pytest.raises(ClientError, match="InvalidRequest"):
        control.update_job_priority(AccountId=ACCOUNT, JobId=job_id, Priority=-1)


def test_a_job_goes_ninety_days_after_its_end(control, s3, role, platform):
    """The same page, NoSuchJobException; its token is free again."""
    s3.put_object(Bucket="box", Key="k", Body=b"x")
    tag = {"S3DeleteObjectTagging": {}}
    job_id = make(control, s3, role, ["k"], tag)
    assert ended(control, job_id)["Status"] == "Complete"
    cloud = platform.cloud
    platform.run(cloud.db.transact(lambda tx: cloud.clock.advance(tx, batch.KEPT_S - 3600)))
    assert job(control, job_id)["Status"] == "Complete"
    platform.run(cloud.db.transact(lambda tx: cloud.clock.advance(tx, 7200)))
    until(lambda: control.list_jobs(AccountId=ACCOUNT)["Jobs"] == [])
    with pytest.raises(ClientError, match="NoSuchJob"):
        job(control, job_id)
    assert make(control, s3, role, ["k"], tag) != job_id


def test_policies_ask_what_a_job_does_how_urgent_it_is_and_how_it_is_tagged(
    client, control, s3, role
):
    """The condition keys of Amazon S3's jobs in the Service Authorization Reference, and the examples of job tags."""
    iam = client("iam")
    iam.create_user(UserName="u")

    def allow(*statements):
        listed = [{"Effect": "Allow", "Action": "iam:PassRole", "Resource": "*"}]
        listed += [{"Effect": "Allow", "Resource": "*", **one} for one in statements]
        iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=document(*listed))

    key = iam.create_access_key(UserName="u")["AccessKey"]
    mine = client("s3control", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    operation, token = {"S3DeleteObjectTagging": {}}, iter("abcdefghij")

    def may(call, **asked):
        try:
            call(**asked)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "AccessDenied", error
            return False
        return True

    def created(**more):
        return may(
            lambda **m: make(mine, s3, role, ["k"], operation, ClientRequestToken=next(token), **m), **more
        )  # fmt: skip

    equal, low = {"s3:RequestJobOperation": "S3DeleteObjectTagging"}, {"s3:RequestJobPriority": "5"}
    allow(
        {
            "Action": "s3:CreateJob",
            "Condition": {"StringEquals": equal, "NumericLessThanEquals": low},
        }
    )
    assert created(Priority=5, ConfirmationRequired=True)
    assert not created(Priority=6, ConfirmationRequired=True)
    stage = [{"Key": "stage", "Value": "test"}]
    assert not created(Priority=5, ConfirmationRequired=True, Tags=stage)  # needs s3:PutJobTagging
    tagged = {"StringEquals": {"aws:RequestTag/stage": "test"}}
    allow({"Action": ["s3:CreateJob", "s3:PutJobTagging"], "Condition": tagged})
    assert created(Priority=5, ConfirmationRequired=True, Tags=stage)
    assert not created(Priority=5, ConfirmationRequired=True)
    listed = control.list_jobs(AccountId=ACCOUNT)["Jobs"]
    newer, older = (one["JobId"] for one in listed)
    until(lambda: all(job(control, one)["Status"] == "Suspended" for one in (newer, older)))
    existing = {"StringEquals": {"s3:ExistingJobOperation": "S3DeleteObjectTagging"}, "NumericEquals": {"s3:ExistingJobPriority": "5"}}  # fmt: skip
    allow(
        {"Action": "s3:UpdateJobPriority", "Condition": existing},
        {"Action": "s3:UpdateJobStatus", "Condition": {"StringEquals": {"s3:JobSuspendedCause": "AwaitingConfirmation", "aws:ResourceTag/stage": "test"}}},
    )  # fmt: skip
    assert may(mine.update_job_priority, AccountId=ACCOUNT, JobId=older, Priority=4)
    assert not may(mine.update_job_priority, AccountId=ACCOUNT, JobId=older, Priority=5)
    cancel = {"AccountId": ACCOUNT, "RequestedJobStatus": "Cancelled"}
    assert not may(mine.update_job_status, JobId=older, **cancel)
    assert may(mine.update_job_status, JobId=newer, **cancel)
    allow({"Action": "s3:TagResource", "Condition": tagged}, {"Action": "s3:*BucketTagging"})
    asked = {"AccountId": ACCOUNT, "ResourceArn": "arn:aws:s3:::box"}
    assert not may(mine.tag_resource, **asked, Tags=[{"Key": "stage", "Value": "live"}])
    assert may(mine.tag_resource, **asked, Tags=stage)
