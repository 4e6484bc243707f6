"""S3 replication, inventory and access logs: what is put in one place arrives in the other, the same version, in whatever order."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from access_logging import delivered_lines, log_into_logs
from botocore.exceptions import ClientError

from stratolite.http import HttpRequest

DAY_S = 86_400
TRUST = {
    "Effect": "Allow",
    "Principal": {"Service": "s3.amazonaws.com"},
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
def s3(client):
    made, iam = client("s3"), client("iam")
    for name in ("source", "target"):
        made.create_bucket(Bucket=name)
        made.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    arn = iam.create_role(RoleName="copier", AssumeRolePolicyDocument=document(TRUST))["Role"][
        "Arn"
    ]
    may = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    iam.put_role_policy(RoleName="copier", PolicyName="p", PolicyDocument=document(may))
    rule = {
        "ID": "all", "Status": "Enabled", "Priority": 1, "Filter": {"Prefix": "a/"},
        "DeleteMarkerReplication": {"Status": "Enabled"}, "Destination": {"Bucket": "arn:aws:s3:::target"},
    }  # fmt: skip
    made.put_bucket_replication(
        Bucket="source", ReplicationConfiguration={"Role": arn, "Rules": [rule]}
    )
    return made


def status(s3, key, version):
    return s3.head_object(Bucket="source", Key=key, VersionId=version).get("ReplicationStatus")


@pytest.mark.parametrize("size", [5, 50_000, 400_000])
def test_a_version_arrives_as_it_is(s3, platform, size):
    body = b"r" * size
    put = s3.put_object(Bucket="source", Key="a/k", Body=body, Metadata={"m": "1"}, Tagging="t=1")
    s3.put_object(Bucket="source", Key="b/k", Body=body)
    until(lambda: status(s3, "a/k", put["VersionId"]) == "COMPLETED")
    platform.reopen()
    got = s3.get_object(Bucket="target", Key="a/k", VersionId=put["VersionId"])
    assert (got["Body"].read(), got["Metadata"], got["ETag"]) == (body, {"m": "1"}, put["ETag"])
    assert got["ReplicationStatus"] == "REPLICA"
    assert s3.get_object_tagging(Bucket="target", Key="a/k")["TagSet"] == [
        {"Key": "t", "Value": "1"}
    ]
    assert s3.list_objects_v2(Bucket="target")["KeyCount"] == 1
    s3.delete_object(Bucket="source", Key="a/k")
    until(lambda: s3.list_objects_v2(Bucket="target")["KeyCount"] == 0)
    s3.delete_object(
        Bucket="source", Key="a/k", VersionId=put["VersionId"]
    )  # stays with the target
    assert (
        s3.get_object(Bucket="target", Key="a/k", VersionId=put["VersionId"])["Body"].read() == body
    )


def test_a_role_that_may_not_leaves_the_version_failed(client, s3):
    no = {"Effect": "Deny", "Action": "s3:ReplicateObject", "Resource": "*"}
    client("iam").put_role_policy(RoleName="copier", PolicyName="no", PolicyDocument=document(no))
    put = s3.put_object(Bucket="source", Key="a/k", Body=b"x")
    until(lambda: status(s3, "a/k", put["VersionId"]) == "FAILED")
    assert s3.list_objects_v2(Bucket="target")["KeyCount"] == 0


def test_an_inventory_names_every_object(client, s3, platform):
    for number in range(5):
        s3.put_object(Bucket="source", Key=f"k ä{number}", Body=b"x" * number)
    s3.delete_object(Bucket="source", Key="k ä0")
    allow = {
        "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::target/*", "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::source"}},
    }  # fmt: skip
    s3.put_bucket_policy(Bucket="target", Policy=document(allow))
    kms = client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    policy = json.loads(kms.get_key_policy(KeyId=key)["Policy"])
    policy["Statement"].append(
        {
            "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "kms:GenerateDataKey",
            "Resource": "*", "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::source"}},
        }
    )  # fmt: skip
    kms.put_key_policy(KeyId=key, Policy=json.dumps(policy))
    target = {
        "Bucket": "arn:aws:s3:::target", "Format": "CSV", "Prefix": "lists", "Encryption": {"SSEKMS": {"KeyId": key}},
    }  # fmt: skip
    s3.put_bucket_inventory_configuration(
        Bucket="source",
        Id="daily",
        InventoryConfiguration={
            "Id": "daily", "IsEnabled": True, "IncludedObjectVersions": "Current",
            "Schedule": {"Frequency": "Daily"}, "OptionalFields": ["Size", "ETag"],
            "Destination": {"S3BucketDestination": target},
        },
    )  # fmt: skip
    cloud = platform.cloud
    platform.run(cloud.db.transact(lambda tx: cloud.clock.advance(tx, DAY_S)))
    until(lambda: any(k.endswith("manifest.checksum") for k in keys(s3)))
    (name,) = [key for key in keys(s3) if key.endswith("manifest.json")]
    assert name.startswith("lists/source/daily/")
    manifest = json.loads(s3.get_object(Bucket="target", Key=name)["Body"].read())
    assert s3.head_object(Bucket="target", Key=name)["SSEKMSKeyId"] == key
    assert manifest["fileSchema"] == "Bucket, Key, Size, ETag"
    (file,) = manifest["files"]
    body = gzip.decompress(s3.get_object(Bucket="target", Key=file["key"])["Body"].read())
    rows = list(csv.reader(io.StringIO(body.decode())))
    assert [row[:3] for row in rows] == [["source", f"k%20%C3%A4{n}", str(n)] for n in range(1, 5)]


@pytest.mark.parametrize("form", ["Parquet", "ORC"])
def test_an_inventory_in_columns_is_read_by_pyarrow(s3, platform, form):
    """Schemas: https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html"""
    pyarrow = pytest.importorskip("pyarrow")
    put = s3.put_object(Bucket="source", Key="k ä", Body=b"x" * 7)
    s3.delete_object(Bucket="source", Key="gone")
    allow = {
        "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::target/*", "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::source"}},
    }  # fmt: skip
    s3.put_bucket_policy(Bucket="target", Policy=document(allow))
    wanted = {
        "Id": "daily", "IsEnabled": True, "IncludedObjectVersions": "All", "Schedule": {"Frequency": "Daily"},
        "OptionalFields": ["Size", "LastModifiedDate", "ETag", "IsMultipartUploaded"],
        "Destination": {"S3BucketDestination": {"Bucket": "arn:aws:s3:::target", "Format": form}},
    }  # fmt: skip
    s3.put_bucket_inventory_configuration(
        Bucket="source", Id="daily", InventoryConfiguration=wanted
    )
    cloud = platform.cloud
    platform.run(cloud.db.transact(lambda tx: cloud.clock.advance(tx, DAY_S)))
    until(lambda: any(k.endswith("manifest.checksum") for k in keys(s3)))

    def read(key):
        return s3.get_object(Bucket="target", Key=key)["Body"].read()

    (name,) = [key for key in keys(s3) if key.endswith("manifest.json")]
    manifest = json.loads(read(name))
    assert (
        manifest["fileSchema"]
        == {
            "Parquet": "message s3.inventory { required binary bucket (UTF8); required binary key (UTF8); "
            "optional binary version_id (UTF8); optional boolean is_latest; optional boolean is_delete_marker; optional int64 size; "
            "optional int64 last_modified_date (TIMESTAMP_MILLIS); optional binary e_tag (UTF8); optional boolean is_multipart_uploaded; }",
            "ORC": "struct<bucket:string,key:string,version_id:string,is_latest:boolean,is_delete_marker:boolean,size:bigint,"
            "last_modified_date:timestamp,e_tag:string,is_multipart_uploaded:boolean>",
        }[form]
    )
    (file,) = manifest["files"]
    assert file["key"].endswith(f".{form.lower()}")
    (symlink,) = [key for key in keys(s3) if key.endswith("symlink.txt")]
    assert "/hive/dt=20" in symlink
    assert read(symlink).decode() == f"s3://target/{file['key']}"
    reader = pytest.importorskip(f"pyarrow.{form.lower()}")
    table = reader.read_table(pyarrow.BufferReader(read(file["key"])))
    gone, kept = sorted(table.to_pylist(), key=lambda row: row["key"])
    assert (gone["key"], gone["is_delete_marker"], gone["size"]) == ("gone", True, None)
    modified = kept.pop("last_modified_date").replace(tzinfo=UTC, microsecond=0)
    assert modified == s3.head_object(Bucket="source", Key="k ä")["LastModified"]
    assert kept == {
        "bucket": "source", "key": "k ä", "version_id": put["VersionId"], "is_latest": True, "is_delete_marker": False,
        "size": 7, "e_tag": put["ETag"].strip('"'), "is_multipart_uploaded": False,
    }  # fmt: skip


def test_an_inventory_has_every_field_there_is(client, platform):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory.html#storage-inventory-contents"""
    s3 = client("s3")
    s3.create_bucket(Bucket="target")
    s3.create_bucket(
        Bucket="source", ObjectLockEnabledForBucket=True, ObjectOwnership="BucketOwnerPreferred"
    )
    expire = {"Status": "Enabled", "Filter": {"Prefix": "k"}, "Expiration": {"Days": 50}}
    s3.put_bucket_lifecycle_configuration(
        Bucket="source", LifecycleConfiguration={"Rules": [expire]}
    )
    hold = {"ObjectLockMode": "GOVERNANCE", "ObjectLockEventHold": "ON", "ObjectLockEventHoldDurationYears": 1}  # fmt: skip
    s3.put_object(
        Bucket="source", Key="k", Body=b"x", StorageClass="INTELLIGENT_TIERING",
        ServerSideEncryption="aws:kms", BucketKeyEnabled=True, **hold,
    )  # fmt: skip
    s3.put_object(Bucket="source", Key="other", Body=b"x")
    allow = {
        "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::target/*",
    }  # fmt: skip
    s3.put_bucket_policy(Bucket="target", Policy=document(allow))
    every = s3.meta.service_model.shape_for("InventoryOptionalField").enum
    there = {"Bucket": "arn:aws:s3:::target", "Format": "CSV", "AccountId": "000000000000"}
    wanted = {
        "Id": "daily", "IsEnabled": True, "IncludedObjectVersions": "Current", "Schedule": {"Frequency": "Daily"},
        "OptionalFields": every, "Destination": {"S3BucketDestination": there},
    }  # fmt: skip
    s3.put_bucket_inventory_configuration(Bucket="source", Id="daily", InventoryConfiguration=wanted)  # fmt: skip
    with pytest.raises(ClientError, match="MalformedXML"):
        s3.put_bucket_inventory_configuration(
            Bucket="source", Id="daily", InventoryConfiguration={**wanted, "OptionalFields": ["Colour"]},
        )  # fmt: skip
    cloud = platform.cloud
    platform.run(cloud.db.transact(lambda tx: cloud.clock.advance(tx, DAY_S)))
    until(lambda: any(k.endswith("manifest.checksum") for k in keys(s3)))
    (file,) = [key for key in keys(s3) if key.endswith(".csv.gz")]
    body = gzip.decompress(s3.get_object(Bucket="target", Key=file)["Body"].read())
    k, other = (
        dict(zip(("Bucket", "Key", *every), row, strict=True))
        for row in csv.reader(io.StringIO(body.decode()))
    )
    assert (k["EncryptionStatus"], k["BucketKeyStatus"], other["BucketKeyStatus"]) == ("SSE-KMS", "ENABLED", "DISABLED")  # fmt: skip
    assert (k["IntelligentTieringAccessTier"], other["IntelligentTieringAccessTier"]) == ("FREQUENT", "")  # fmt: skip
    assert (k["IntelligentTieringReferenceDate"], other["IntelligentTieringReferenceDate"]) == (k["LastModifiedDate"], "")  # fmt: skip
    assert (k["ObjectLockEventHoldStatus"], k["ObjectLockEventHoldDuration"]) == ("ON", "365")
    assert (k["ObjectLockMode"], other["ObjectLockMode"]) == ("GOVERNANCE", "")

    def days(text):
        return (datetime.fromisoformat(text) - datetime.fromisoformat(k["LastModifiedDate"])).days

    assert days(k["LifecycleExpirationDate"]) == 50
    assert other["LifecycleExpirationDate"] == ""
    assert days(k["ObjectLockRetainUntilDate"]) in (365, 366)
    acl = json.loads(base64.b64decode(k["ObjectAccessControlList"]))
    assert (acl["version"], acl["status"]) == ("2022-11-10", "AVAILABLE")
    owner = s3.list_buckets()["Owner"]["ID"]
    assert acl["grants"] == [
        {"canonicalId": owner, "type": "CanonicalUser", "permission": "FULL_CONTROL"}
    ]
    assert k["ObjectOwner"] == owner


def test_a_line_says_by_which_access_point_and_whether_it_was_signed(client, platform):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html"""
    from botocore import UNSIGNED

    s3 = client("s3")
    s3.create_bucket(Bucket="box")
    log_into_logs(s3, "box")
    client("s3control").create_access_point(AccountId="000000000000", Name="door", Bucket="box")
    point = "arn:aws:s3:us-east-1:000000000000:accesspoint/door"
    s3.put_object(Bucket=point, Key="k", Body=b"x")
    with pytest.raises(ClientError):
        client("s3", signature_version=UNSIGNED).get_object(Bucket="box", Key="k")
    lines = delivered_lines(platform, s3)
    put, get = ([*line.split('"')[0].split(), *line.split('"')[6].split()] for line in lines[-2:])
    assert len(put) == 9 + 9
    assert (put[7], put[11], put[13], put[16]) == ("REST.PUT.OBJECT", "SigV4", "AuthHeader", point)
    assert (get[5], get[11], get[13], get[16]) == ("-", "-", "-", "-")


def test_every_key_of_a_multi_delete_has_its_line(client, platform):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html: "BATCH.DELETE.OBJECT" """
    s3 = client("s3")
    s3.create_bucket(Bucket="box")
    for key in ("a b", "kept"):
        s3.put_object(Bucket="box", Key=key, Body=b"x")
    log_into_logs(s3, "box")
    wanted = [{"Key": "a b"}, {"Key": "kept", "ETag": '"other"'}]
    s3.delete_objects(Bucket="box", Delete={"Objects": wanted, "Quiet": True})
    lines = delivered_lines(platform, s3)
    assert " REST.POST.MULTI_OBJECT_DELETE - " in lines[-3]
    for line, said in zip(
        lines[-2:],
        ("a%20b - 204 - - -", "kept - 412 PreconditionFailed - -"),
        strict=True,
    ):
        fields = line.split()
        assert " ".join(fields[7:14]) == f"BATCH.DELETE.OBJECT {said}"
        assert len(fields) == 27  # one more than documented: the time has a space
        assert fields[6] == lines[-3].split()[6]


def test_a_line_says_how_it_was_signed_what_was_sent_and_how_large_the_object_is(client, platform):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html: Bytes Sent, Object Size, Authentication Type"""
    s3 = client("s3")
    s3.create_bucket(Bucket="box")
    log_into_logs(s3, "box")
    s3.put_object(Bucket="box", Key="k", Body=b"0123456789")
    s3.put_object(Bucket="box", Key="k", Body=b"x" * 100_000)
    for version in ("s3v4", "s3v4-query", "s3"):
        client("s3", signature_version=version).get_object(Bucket="box", Key="k", Range="bytes=2-4")
    s3.head_object(Bucket="box", Key="k")
    lines = delivered_lines(platform, s3)
    said = []
    for line in lines[-6:]:
        _, _, status, _, _, _, signed = line.split('"')
        said.append((*status.split()[:4], *signed.split()[2:5:2]))
    assert said == [
        ("200", "-", "-", "10", "SigV4", "AuthHeader"),
        ("200", "-", "-", "100000", "SigV4", "AuthHeader"),
        ("206", "-", "3", "100000", "SigV4", "AuthHeader"),
        ("206", "-", "3", "100000", "SigV4", "QueryString"),
        ("206", "-", "3", "100000", "SigV2", "AuthHeader"),
        ("200", "-", "-", "100000", "SigV4", "AuthHeader"),
    ]


@pytest.mark.parametrize("source", ["EventTime", "DeliveryTime", None])
def test_access_logs_go_into_partitions_of_the_day(client, platform, source):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerLogs.html#server-access-logging-overview"""
    s3 = client("s3")
    for name in ("box", "logs"):
        s3.create_bucket(Bucket=name)
    allow = {
        "Effect": "Allow", "Principal": {"Service": "logging.s3.amazonaws.com"}, "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::logs/*",
    }  # fmt: skip
    s3.put_bucket_policy(Bucket="logs", Policy=document(allow))
    key_format = {"PartitionedPrefix": {"PartitionDateSource": source}} if source else {"SimplePrefix": {}}  # fmt: skip
    enabled = {"TargetBucket": "logs", "TargetPrefix": "p/", "TargetObjectKeyFormat": key_format}
    s3.put_bucket_logging(Bucket="box", BucketLoggingStatus={"LoggingEnabled": enabled})
    cloud = platform.cloud

    def advance(seconds):
        platform.run(cloud.db.transact(lambda tx: cloud.clock.advance(tx, seconds)))

    def today():
        return datetime.fromtimestamp(cloud.world.cloud(), UTC)

    advance(DAY_S - cloud.world.cloud() % DAY_S - 100)
    before = today()
    s3.list_objects_v2(Bucket="box")
    advance(200)
    after = today()
    s3.list_objects_v2(Bucket="box")
    advance(301)

    def found():
        return sorted(o["Key"] for o in s3.list_objects_v2(Bucket="logs").get("Contents", ()))

    wanted = {
        "EventTime": [f"p/000000000000/us-east-1/box/{d:%Y/%m/%d}/{d:%Y-%m-%d}-00-00-00-" for d in (before, after)],
        "DeliveryTime": [f"p/000000000000/us-east-1/box/{after:%Y/%m/%d}/{after:%Y-%m-%d}-"],
        None: [f"p/{after:%Y-%m-%d}-"],
    }[source]  # fmt: skip
    until(lambda: len(found()) >= len(wanted))
    assert len(found()) == len(wanted)
    assert all(key.startswith(start) for key, start in zip(found(), wanted, strict=True))
    for wrong in ({}, {"PartitionedPrefix": {"PartitionDateSource": "Now"}}):
        with pytest.raises(ClientError, match="MalformedXML"):
            s3.put_bucket_logging(
                Bucket="box", BucketLoggingStatus={"LoggingEnabled": enabled | {"TargetObjectKeyFormat": wrong}},
            )  # fmt: skip


def test_a_measured_rule_tells_of_latency_and_failures(client, s3, platform):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/metrics-dimensions.html#s3-cloudwatch-replication-metrics"""
    found = s3.get_bucket_replication(Bucket="source")["ReplicationConfiguration"]
    (rule,) = found["Rules"]

    def configure(**there):
        said = rule | {"Destination": {"Bucket": "arn:aws:s3:::target", **there}}
        s3.put_bucket_replication(
            Bucket="source", ReplicationConfiguration={"Role": found["Role"], "Rules": [said]}
        )

    timed = {"Status": "Enabled", "Time": {"Minutes": 15}}
    measured = {"Status": "Enabled", "EventThreshold": {"Minutes": 15}}
    for wrong in (
        {"ReplicationTime": timed},
        {"ReplicationTime": timed | {"Time": {"Minutes": 5}}, "Metrics": measured},
    ):
        with pytest.raises(ClientError):
            configure(**wrong)
    configure(ReplicationTime=timed, Metrics=measured)
    version = s3.put_object(Bucket="source", Key="a/k", Body=b"x")["VersionId"]
    until(lambda: status(s3, "a/k", version) == "COMPLETED")
    no = {"Effect": "Deny", "Action": "s3:ReplicateObject", "Resource": "*"}
    client("iam").put_role_policy(RoleName="copier", PolicyName="no", PolicyDocument=document(no))
    version = s3.put_object(Bucket="source", Key="a/k", Body=b"x")["VersionId"]
    until(lambda: status(s3, "a/k", version) == "FAILED")
    platform.run(platform.cloud.metrics.flush())
    now = datetime.fromtimestamp(platform.cloud.world.cloud(), UTC)

    def points(name, kind):
        told = client("cloudwatch").get_metric_statistics(
            Namespace="AWS/S3", MetricName=name, Period=7200, Statistics=[kind],
            StartTime=now - timedelta(hours=1), EndTime=now + timedelta(hours=1),
            Dimensions=[
                {"Name": "SourceBucket", "Value": "source"}, {"Name": "DestinationBucket", "Value": "target"},
                {"Name": "RuleId", "Value": "all"},
            ],
        )["Datapoints"]  # fmt: skip
        return sum(one[kind] for one in told)

    assert points("ReplicationLatency", "SampleCount") == 1
    assert points("OperationsFailedReplication", "Sum") == 1
    for name in ("OperationsPendingReplication", "BytesPendingReplication"):
        assert points(name, "Maximum") == 1  # of one byte
        assert (points(name, "SampleCount"), points(name, "Sum")) == (4, 2)
    tagged = rule | {"Filter": {"Tag": {"Key": "a", "Value": "b"}}}
    with pytest.raises(ClientError, match="Delete marker replication is not supported"):
        s3.put_bucket_replication(
            Bucket="source", ReplicationConfiguration={"Role": found["Role"], "Rules": [tagged]}
        )


def test_what_is_replicated_behind_its_threshold_is_told_of(client, s3, platform):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-time-control.html#using-s3-events-to-track-rtc"""
    sqs = client("sqs")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    arn = "arn:aws:sqs:us-east-1:000000000000:q"
    let = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": document(let)})
    events = [f"s3:Replication:Operation{kind}" for kind in ("MissedThreshold", "ReplicatedAfterThreshold")]  # fmt: skip
    s3.put_bucket_notification_configuration(
        Bucket="source",
        NotificationConfiguration={"QueueConfigurations": [{"QueueArn": arn, "Events": events}]},
    )
    (test,) = sqs.receive_message(QueueUrl=url)["Messages"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=test["ReceiptHandle"])
    found = s3.get_bucket_replication(Bucket="source")["ReplicationConfiguration"]
    (rule,) = found["Rules"]
    there = {
        "Bucket": "arn:aws:s3:::target", "Metrics": {"Status": "Enabled", "EventThreshold": {"Minutes": 15}},
        "ReplicationTime": {"Status": "Enabled", "Time": {"Minutes": 15}},
    }  # fmt: skip
    s3.put_bucket_replication(
        Bucket="source",
        ReplicationConfiguration={"Role": found["Role"], "Rules": [rule | {"Destination": there}]},
    )
    from stratolite.services.s3 import replication

    began = []

    async def late(*given):  # while it is at work, the clock moves on
        cloud = platform.cloud
        if not began:
            began.append(cloud.world.cloud())
            await cloud.db.transact(lambda tx: cloud.clock.advance(tx, 1000))
            while cloud.world.cloud() < began[0] + 1000:
                await cloud.world.sleep(0.01)
        return await assumed(*given)

    assumed = replication.assumed
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replication, "assumed", late)
        version = s3.put_object(Bucket="source", Key="a/k", Body=b"x")["VersionId"]
        until(lambda: status(s3, "a/k", version) == "COMPLETED")
    got = []

    def told():
        for one in sqs.receive_message(QueueUrl=url).get("Messages", ()):
            got.extend(json.loads(one["Body"])["Records"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
        return len(got) == 2

    until(told)
    assert sorted(r["eventName"] for r in got) == sorted(e.removeprefix("s3:") for e in events)
    (last,) = [r for r in got if r["eventName"].endswith("AfterThreshold")]
    assert 1000 <= last["replicationEventData"]["replicationTime"] < 1100
    assert last["replicationEventData"]["threshold"] == 900


def test_locks_that_change_are_changed_at_the_destination(client, platform):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html#object-lock-managing-replication"""
    s3, iam = client("s3"), client("iam")
    for name in ("source", "target"):
        s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    arn = iam.create_role(RoleName="copier", AssumeRolePolicyDocument=document(TRUST))["Role"]["Arn"]  # fmt: skip
    may = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    iam.put_role_policy(RoleName="copier", PolicyName="p", PolicyDocument=document(may))
    rule = {"ID": "all", "Status": "Enabled", "Prefix": "", "Destination": {"Bucket": "arn:aws:s3:::target"}}  # fmt: skip
    s3.put_bucket_replication(
        Bucket="source", ReplicationConfiguration={"Role": arn, "Rules": [rule]}
    )
    version = s3.put_object(
        Bucket="source", Key="k", Body=b"x", ObjectLockMode="GOVERNANCE", ObjectLockEventHold="ON",
        ObjectLockEventHoldDurationDays=10,
    )["VersionId"]  # fmt: skip
    until(lambda: status(s3, "k", version) == "COMPLETED")
    about = {"Key": "k", "VersionId": version}
    there = s3.get_object_retention(Bucket="target", **about)["Retention"]
    assert (there["EventHold"], there["EventHoldDuration"]) == ("ON", {"Days": 10})
    released = {"Mode": "GOVERNANCE", "EventHold": "OFF"}
    s3.put_object_retention(Bucket="source", **about, Retention=released)
    s3.put_object_legal_hold(Bucket="source", **about, LegalHold={"Status": "ON"})

    def held():
        try:
            return s3.get_object_legal_hold(Bucket="target", **about)["LegalHold"]["Status"]
        except ClientError:
            return None

    until(lambda: held() == "ON")
    there = s3.get_object_retention(Bucket="target", **about)["Retention"]
    assert there["EventHold"] == "OFF"
    left = there["RetainUntilDate"].timestamp() - platform.cloud.world.cloud()
    assert 9.9 * DAY_S < left <= 10 * DAY_S


def keys(s3):
    return [o["Key"] for o in s3.list_objects_v2(Bucket="target").get("Contents", ())]


def test_access_logs_are_delivered_where_the_target_lets_them(client, platform):
    s3 = client("s3")
    for name in ("box", "logs"):
        s3.create_bucket(Bucket=name)
    allow = {
        "Effect": "Allow", "Principal": {"Service": "logging.s3.amazonaws.com"}, "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::logs/*", "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::box"}},
    }  # fmt: skip
    s3.put_bucket_policy(Bucket="logs", Policy=document(allow))
    enabled = {"LoggingEnabled": {"TargetBucket": "logs", "TargetPrefix": "box/"}}
    s3.put_bucket_logging(Bucket="box", BucketLoggingStatus=enabled)
    s3.put_object(Bucket="box", Key="a b", Body=b"hello")
    s3.get_object(Bucket="box", Key="a b")
    s3.list_objects_v2(Bucket="box")
    for asking, key in (
        (s3.get_object, "none"),
        (client("s3", account="123123123123").head_object, "a b"),
    ):
        with pytest.raises(ClientError):
            asking(Bucket="box", Key=key)
    assert "Contents" not in s3.list_objects_v2(Bucket="logs")
    cloud = platform.cloud
    platform.run(cloud.db.transact(lambda tx: cloud.clock.advance(tx, 301)))
    until(lambda: s3.list_objects_v2(Bucket="logs")["KeyCount"] == 1)
    (one,) = s3.list_objects_v2(Bucket="logs")["Contents"]
    assert one["Key"].startswith("box/20")
    lines = s3.get_object(Bucket="logs", Key=one["Key"])["Body"].read().decode().splitlines()
    names = [line.split('"')[0].split()[7:9] for line in lines]
    assert names[-5:] == [
        ["REST.PUT.OBJECT", "a%20b"],
        ["REST.GET.OBJECT", "a%20b"],
        ["REST.GET.BUCKET", "-"],
        ["REST.GET.OBJECT", "none"],
        ["REST.HEAD.OBJECT", "a%20b"],
    ]
    signed = [line.split('"')[6].split() for line in lines]
    assert {tuple(one[2:5]) for one in signed} == {("SigV4", "-", "AuthHeader")}
    ends = [line.split('"')[2].split()[:2] for line in lines[-5:]]
    assert ends == [["200", "-"]] * 3 + [["404", "NoSuchKey"], ["403", "AccessDenied"]]


def test_what_is_under_a_kms_key_goes_under_the_destination_s(client, s3, platform):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-config-for-kms-objects.html"""
    kms = client("kms")
    one, two = (kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    found = s3.get_bucket_replication(Bucket="source")["ReplicationConfiguration"]
    rule = found["Rules"][0]
    plain = s3.put_object(
        Bucket="source", Key="a/old", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=one
    )
    assert status(s3, "a/old", plain["VersionId"]) is None  # nobody said how
    chosen = {"SseKmsEncryptedObjects": {"Status": "Enabled"}}
    with pytest.raises(ClientError, match="InvalidRequest"):
        s3.put_bucket_replication(
            Bucket="source",
            ReplicationConfiguration={
                "Role": found["Role"],
                "Rules": [rule | {"SourceSelectionCriteria": chosen}],
            },
        )
    there = {"Bucket": "arn:aws:s3:::target", "EncryptionConfiguration": {"ReplicaKmsKeyID": two}}
    rule |= {"SourceSelectionCriteria": chosen, "Destination": there}
    s3.put_bucket_replication(
        Bucket="source", ReplicationConfiguration={"Role": found["Role"], "Rules": [rule]}
    )
    about = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": one}
    body = b"r" * 300_000
    version = s3.put_object(Bucket="source", Key="a/k", Body=body, **about)["VersionId"]
    until(lambda: status(s3, "a/k", version) == "FAILED")  # its role may use no key yet
    may = {"Effect": "Allow", "Action": ["s3:*", "kms:*"], "Resource": "*"}
    client("iam").put_role_policy(RoleName="copier", PolicyName="p", PolicyDocument=document(may))
    version = s3.put_object(Bucket="source", Key="a/k", Body=body, **about)["VersionId"]
    until(lambda: status(s3, "a/k", version) == "COMPLETED")
    kms.disable_key(KeyId=one)
    got = s3.get_object(Bucket="target", Key="a/k", VersionId=version)
    assert (got["SSEKMSKeyId"], got["Body"].read()) == (two, body)


def test_annotations_and_changes_of_them_arrive(s3, platform):
    version = s3.put_object(Bucket="source", Key="a/k", Body=b"x")["VersionId"]
    until(lambda: status(s3, "a/k", version) == "COMPLETED")
    about = {"Key": "a/k", "VersionId": version}

    def names():
        listed = s3.list_object_annotations(Bucket="target", **about)["Annotations"]
        return [one["AnnotationName"] for one in listed]

    for name in ("one", "two"):
        s3.put_object_annotation(
            Bucket="source", **about, AnnotationName=name, AnnotationPayload=b"t" * 30_000
        )
    until(lambda: names() == ["one", "two"])
    (one, _) = s3.list_object_annotations(Bucket="target", **about)["Annotations"]
    assert one["ReplicationStatus"] == "REPLICA"
    s3.delete_object_annotation(Bucket="source", **about, AnnotationName="one")
    until(lambda: names() == ["two"])
    got = s3.get_object_annotation(Bucket="target", **about, AnnotationName="two")
    assert got["AnnotationPayload"].read() == b"t" * 30_000
    s3.delete_object(Bucket="source", Key="a/k", VersionId=version)
    assert names() == ["two"]  # a replica's are its own


def test_what_is_changed_of_a_replica_goes_back_where_a_rule_says_so(client, s3):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-for-metadata-changes.html"""
    found = s3.get_bucket_replication(Bucket="source")["ReplicationConfiguration"]
    back = found["Rules"][0] | {
        "Destination": {"Bucket": "arn:aws:s3:::source"},
        "SourceSelectionCriteria": {"ReplicaModifications": {"Status": "Enabled"}},
    }
    s3.put_bucket_replication(
        Bucket="target", ReplicationConfiguration={"Role": found["Role"], "Rules": [back]}
    )
    version = s3.put_object(Bucket="source", Key="a/k", Body=b"x")["VersionId"]
    until(lambda: status(s3, "a/k", version) == "COMPLETED")
    about = {"Key": "a/k", "VersionId": version}
    tags = [{"Key": "seen", "Value": "there"}]
    s3.put_object_tagging(Bucket="target", **about, Tagging={"TagSet": tags})
    until(lambda: s3.get_object_tagging(Bucket="source", **about)["TagSet"] == tags)
    assert s3.head_object(Bucket="target", **about)["ReplicationStatus"] == "REPLICA"


def test_what_arrives_is_told_to_the_metadata_tables_of_the_target(s3, platform):
    """Of a copy, new tags and a delete marker, though only the copy is an event that anybody is notified of."""
    pytest.importorskip("pyiceberg")
    journal = {"RecordExpiration": {"Expiration": "DISABLED"}}
    s3.create_bucket_metadata_configuration(
        Bucket="target", MetadataConfiguration={"JournalTableConfiguration": journal}
    )

    def told():
        def look(tx):
            rows = [v for k, v in tx.scan((b"\x00", b"\xfe")) if b"\x02s3\x00\x02m\x00" in k]
            return [json.loads(bytes(row)) for row in rows]

        return platform.run(platform.cloud.db.transact(look))

    put = s3.put_object(Bucket="source", Key="a/k", Body=b"x")
    until(lambda: status(s3, "a/k", put["VersionId"]) == "COMPLETED")
    s3.put_object_tagging(
        Bucket="source", Key="a/k", Tagging={"TagSet": [{"Key": "t", "Value": "1"}]}
    )
    until(lambda: len(told()) == 2)
    s3.delete_object(Bucket="source", Key="a/k")
    until(lambda: len(told()) == 3)
    assert [(r["record_type"], r["is_delete_marker"]) for r in told()] == [
        ("CREATE", False), ("UPDATE_METADATA", False), ("DELETE", True),
    ]  # fmt: skip
    assert told()[1]["object_tags"] == {"t": "1"}
    assert {r["version_id"] for r in told()[:2]} == {put["VersionId"]}


def test_a_form_s_upload_is_logged_as_what_it_was(client, platform):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html"""
    s3 = client("s3")
    s3.create_bucket(Bucket="box")
    log_into_logs(s3, "box")
    for more, status in (({}, 204), ({"success_action_status": "201"}, 201)):
        conditions = [{name: value} for name, value in more.items()]
        post = s3.generate_presigned_post("box", "k", Fields=dict(more), Conditions=conditions)
        parts = [(f'name="{name}"', value) for name, value in post["fields"].items()]
        parts.append(('name="file"; filename="f"', "12345"))
        body = "".join(
            f"--b\r\nContent-Disposition: form-data; {name}\r\n\r\n{value}\r\n"
            for name, value in parts
        )
        headers = {"host": "localhost:4566", "content-type": "multipart/form-data; boundary=b"}
        request = HttpRequest("POST", "/box", "", headers, f"{body}--b--\r\n".encode())
        assert platform.send(request)[0] == status
    lines = delivered_lines(platform, s3)
    said = [line.split(" ", 7)[7].split()[0:6] for line in lines[-2:]]
    assert [(name, verb, status) for name, _, verb, _, _, status in said] == [
        ("REST.POST.OBJECT", '"POST', "204"),
        ("REST.POST.OBJECT", '"POST', "201"),
    ]
