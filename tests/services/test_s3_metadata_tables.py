"""S3 Metadata: what happens to a bucket's objects is read back, with pyiceberg, from the journal and inventory tables."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from iceberg_reading import loaded, rows

pytest.importorskip("pyiceberg")
ACCOUNT = "000000000000"
AWS_S3 = f"arn:aws:s3tables:us-east-1:{ACCOUNT}:bucket/aws-s3"
KEEP = {"Expiration": "DISABLED"}
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def code(caught: Any) -> tuple[str, int]:
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


READING = ["s3:GetObjectAnnotation", "s3:GetObjectVersionAnnotation"]


def document(*statements: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


class Metadata:
    def __init__(self, client: Any, platform: Any) -> None:
        self.client, self.platform = client, platform
        self.s3, self.tables = client("s3"), client("s3tables")

    def enable(
        self,
        *,
        inventory: bool = False,
        annotation: Any = None,
        bucket: str = "my-bucket",
        **journal: Any,
    ) -> None:
        asked: dict[str, Any] = {"JournalTableConfiguration": {"RecordExpiration": KEEP} | journal}
        if inventory:
            asked["InventoryTableConfiguration"] = {"ConfigurationState": "ENABLED"}
        if annotation:
            asked["AnnotationTableConfiguration"] = annotation
        self.s3.create_bucket_metadata_configuration(Bucket=bucket, MetadataConfiguration=asked)
        self.until(lambda: self.status(bucket)["Journal"] != "CREATING")

    def shown(self, bucket: str = "my-bucket") -> Any:
        answer = self.s3.get_bucket_metadata_configuration(Bucket=bucket)
        return answer["GetBucketMetadataConfigurationResult"]["MetadataConfigurationResult"]

    def status(self, bucket: str = "my-bucket") -> dict[str, str]:
        return {
            name: self.shown(bucket)[f"{name}TableConfigurationResult"].get("TableStatus", "")
            for name in ("Journal", "Inventory", "Annotation")
            if f"{name}TableConfigurationResult" in self.shown(bucket)
        }

    def arn(self, name: str) -> str:
        return self.shown()[f"{name}TableConfigurationResult"]["TableArn"]

    def until(self, true: Any) -> None:
        for _ in range(1000):
            if true():
                return
            self.platform.run(self.platform.cloud.world.sleep(0.02))
        raise AssertionError("it does not come")

    def advance(self, seconds: float) -> None:
        cloud = self.platform.cloud
        self.platform.run(cloud.db.transact(lambda tx: cloud.clock.advance(tx, seconds)))

    def jobs(self) -> int:
        """Jobs of the tables that are due."""
        cloud = self.platform.cloud

        def look(tx: Any) -> int:
            ready = [k for k, _ in tx.scan((b"\x00", b"\xfe")) if b"s3.metadata\x00" in k]
            return sum(b"ready" in k or b"claim" in k or b"head" in k for k in ready)

        return self.platform.run(cloud.db.transact(look))

    def left(self) -> int:
        """Changes that wait for the journal."""
        cloud = self.platform.cloud

        def look(tx: Any) -> int:
            return sum(b"\x02s3\x00\x02m\x00" in k for k, _ in tx.scan((b"\x00", b"\xfe")))

        return self.platform.run(cloud.db.transact(look))

    def journal(self) -> list[dict[str, Any]]:
        """The journal's rows in order, once nothing waits: what comes while others are written waits again."""
        for _ in range(500):
            if not self.left():
                break
            self.advance(61)
            self.platform.run(self.platform.cloud.world.sleep(0.05))
        found = rows(self.tables, self.s3, self.arn("Journal"))
        return sorted(found, key=lambda row: row["sequence_number"])

    def inventory(self) -> list[tuple[Any, ...]]:
        self.until(lambda: self.jobs() == 0)
        found = rows(self.tables, self.s3, self.arn("Inventory"))
        return sorted((r["key"], r["is_delete_marker"], r["size"]) for r in found)

    def annotations(self) -> list[dict[str, Any]]:
        self.until(lambda: self.jobs() == 0)
        found = rows(self.tables, self.s3, self.arn("Annotation"))
        return sorted(found, key=lambda r: (r["object_key"], r["name"], r["text_value"]))

    def reader(self, *actions: str) -> str:
        """A role as https://docs.aws.amazon.com/AmazonS3/latest/userguide/metadata-tables-enable-disable-annotation-tables.html has it."""
        iam = self.client("iam")
        trusted = {
            "Effect": "Allow", "Principal": {"Service": "metadata.s3.amazonaws.com"}, "Action": "sts:AssumeRole",
            "Condition": {
                "StringEquals": {"aws:SourceAccount": ACCOUNT}, "ArnLike": {"aws:SourceArn": "arn:aws:s3:::my-bucket"},
            },
        }  # fmt: skip
        may = [
            {"Effect": "Allow", "Action": actions or READING, "Resource": "arn:aws:s3:::my-bucket/*"},
            {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:ListBucketVersions"], "Resource": "arn:aws:s3:::my-bucket"},
            {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"},
        ]  # fmt: skip
        made = iam.create_role(RoleName="reader", AssumeRolePolicyDocument=document(trusted))
        iam.put_role_policy(RoleName="reader", PolicyName="p", PolicyDocument=document(*may))
        return made["Role"]["Arn"]


@pytest.fixture
def made(client: Any, platform: Any) -> Metadata:
    found = Metadata(client, platform)
    found.s3.create_bucket(Bucket="my-bucket")
    return found


def test_the_journal_tells_of_every_change_once(made: Metadata) -> None:
    s3 = made.s3
    s3.put_bucket_versioning(Bucket="my-bucket", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="my-bucket", Key="before", Body=b"not told of")
    made.enable()
    assert made.status() == {"Journal": "ACTIVE", "Inventory": ""}
    shown = made.shown()
    assert shown["DestinationResult"] == {
        "TableBucketType": "aws", "TableBucketArn": AWS_S3, "TableNamespace": "b_my-bucket",
    }  # fmt: skip
    assert shown["InventoryTableConfigurationResult"] == {"ConfigurationState": "DISABLED"}
    first = s3.put_object(
        Bucket="my-bucket", Key="a", Body=b"one", Metadata={"who": "ann"}, Tagging="k=v",
        ServerSideEncryption="aws:kms", ChecksumAlgorithm="SHA256",
    )  # fmt: skip
    s3.put_object_tagging(Bucket="my-bucket", Key="a", Tagging={"TagSet": [{"Key": "k", "Value": "w"}]})  # fmt: skip
    s3.copy_object(Bucket="my-bucket", Key="b", CopySource={"Bucket": "my-bucket", "Key": "a"})
    upload = s3.create_multipart_upload(Bucket="my-bucket", Key="c")["UploadId"]
    part = s3.upload_part(Bucket="my-bucket", Key="c", UploadId=upload, PartNumber=1, Body=b"part")
    s3.complete_multipart_upload(
        Bucket="my-bucket", Key="c", UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )  # fmt: skip
    marker = s3.delete_object(Bucket="my-bucket", Key="c")["VersionId"]
    s3.delete_object(Bucket="my-bucket", Key="a", VersionId=first["VersionId"])
    told = made.journal()
    assert [(r["record_type"], r["key"], r["is_delete_marker"]) for r in told] == [
        ("CREATE", "a", False), ("UPDATE_METADATA", "a", False), ("CREATE", "b", False),
        ("CREATE", "c", False), ("DELETE", "c", True), ("DELETE", "a", None),
    ]  # fmt: skip
    put, tagged, _, multipart, marked, gone = told
    key = first["SSEKMSKeyId"]
    assert (put["size"], put["e_tag"], put["storage_class"]) == (3, first["ETag"].strip('"'), "STANDARD")  # fmt: skip
    assert (put["encryption_status"], put["kms_key_arn"], put["checksum_algorithm"]) == ("SSE-KMS", key, "SHA256")  # fmt: skip
    assert (dict(put["object_tags"]), dict(put["user_metadata"])) == ({"k": "v"}, {"who": "ann"})
    assert (put["requester"], put["source_ip_address"], put["bucket"]) == (ACCOUNT, "127.0.0.1", "my-bucket")  # fmt: skip
    assert dict(tagged["object_tags"]) == {"k": "w"}
    assert (multipart["is_multipart"], put["is_multipart"]) == (True, False)
    assert (marked["version_id"], gone["version_id"]) == (marker, first["VersionId"])
    assert {k for k, v in gone.items() if v is not None} == {
        "bucket", "key", "sequence_number", "record_type", "record_timestamp", "version_id",
    }  # fmt: skip
    s3.put_object(Bucket="my-bucket", Key="d", Body=b"later")
    again = made.journal()
    assert again[:-1] == told
    assert again[-1]["key"] == "d"


def test_lifecycle_is_told_of_as_what_s3_did(made: Metadata) -> None:
    made.enable()
    made.s3.put_object(Bucket="my-bucket", Key="old", Body=b"x" * 200_000)
    rule = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
    moves = {"ID": "m", "Status": "Enabled", "Filter": {"Prefix": ""}, "Transitions": [{"Days": 0, "StorageClass": "GLACIER"}]}  # fmt: skip
    made.s3.put_bucket_lifecycle_configuration(
        Bucket="my-bucket", LifecycleConfiguration={"Rules": [moves]}
    )
    made.advance(2 * 86_400)
    made.until(lambda: made.s3.head_object(Bucket="my-bucket", Key="old").get("StorageClass") == "GLACIER")  # fmt: skip
    made.s3.put_bucket_lifecycle_configuration(
        Bucket="my-bucket", LifecycleConfiguration={"Rules": [rule]}
    )
    made.advance(2 * 86_400)
    made.until(lambda: "Contents" not in made.s3.list_objects_v2(Bucket="my-bucket"))
    told = made.journal()
    assert [(r["record_type"], r["storage_class"], r["requester"]) for r in told] == [
        ("CREATE", "STANDARD", ACCOUNT),
        ("UPDATE_METADATA", "GLACIER", "s3.amazonaws.com"),
        ("DELETE", None, None),
    ]


def test_the_inventory_is_backfilled_and_follows(made: Metadata) -> None:
    """What was there before is in it after the backfill; what changes later within the hour."""
    s3 = made.s3
    s3.put_bucket_versioning(Bucket="my-bucket", VersioningConfiguration={"Status": "Enabled"})
    for body in (b"1", b"22"):
        s3.put_object(Bucket="my-bucket", Key="a", Body=body)
    s3.put_object(Bucket="my-bucket", Key="b", Body=b"333")
    made.enable(inventory=True)
    assert made.status() == {"Journal": "ACTIVE", "Inventory": "BACKFILLING"}
    made.advance(901)
    made.until(lambda: made.status()["Inventory"] == "ACTIVE")
    assert made.inventory() == [("a", False, 1), ("a", False, 2), ("b", False, 3)]
    s3.put_object(Bucket="my-bucket", Key="c", Body=b"4444")
    marker = s3.delete_object(Bucket="my-bucket", Key="b")["VersionId"]
    made.advance(3601)
    assert made.inventory() == [
        ("a", False, 1), ("a", False, 2), ("b", False, 3), ("b", True, 0), ("c", False, 4),
    ]  # fmt: skip
    s3.delete_object(Bucket="my-bucket", Key="b", VersionId=marker)
    made.advance(3601)
    assert made.inventory() == [("a", False, 1), ("a", False, 2), ("b", False, 3), ("c", False, 4)]
    disabled = {"ConfigurationState": "DISABLED"}
    s3.update_bucket_metadata_inventory_table_configuration(
        Bucket="my-bucket", InventoryTableConfiguration=disabled
    )
    assert made.shown()["InventoryTableConfigurationResult"] == disabled
    s3.update_bucket_metadata_inventory_table_configuration(
        Bucket="my-bucket", InventoryTableConfiguration={"ConfigurationState": "ENABLED"}
    )
    made.until(lambda: made.status()["Inventory"] == "FAILED")  # its old table is still there
    error = made.shown()["InventoryTableConfigurationResult"]["Error"]
    assert error["ErrorCode"] == "ConflictException"


def test_annotations_are_backfilled_and_followed(made: Metadata) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/metadata-tables-annotation-schema.html"""
    s3 = made.s3
    s3.put_bucket_versioning(Bucket="my-bucket", VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket="my-bucket", Key="a", Body=b"1")["VersionId"]
    about = {"Bucket": "my-bucket", "Key": "a"}
    put = s3.put_object_annotation(
        **about, AnnotationName="mood", AnnotationPayload="fröhlich".encode()
    )
    s3.put_object_annotation(**about, AnnotationName="long", AnnotationPayload=b"x" * 40_000)
    s3.put_object(Bucket="my-bucket", Key="b", Body=b"not annotated")
    role = made.reader()
    made.enable(annotation={"ConfigurationState": "ENABLED", "Role": role})
    shown = made.shown()["AnnotationTableConfigurationResult"]
    assert (shown["ConfigurationState"], shown["TableName"], shown["TableStatus"], shown["Role"]) == (
        "ENABLED", "annotation", "BACKFILLING", role,
    )  # fmt: skip
    made.advance(901)
    made.until(lambda: made.status()["Annotation"] == "ACTIVE")
    long, mood = made.annotations()
    assert (long["name"], long["size"], long["text_value"]) == ("long", 40_000, "x" * 40_000)
    assert {k: v for k, v in mood.items() if k not in ("last_modified_date", "sequence_number", "object_join_key")} == {
        "bucket": "my-bucket", "object_key": "a", "object_version_id": first, "name": "mood", "size": 9,
        "e_tag": put["ETag"].strip('"'), "checksum_algorithm": "CRC32", "replication_status": None,
        "text_value": "fröhlich",
    }  # fmt: skip
    assert mood["object_join_key"] == long["object_join_key"]
    # what changes, comes, goes with its version, or is copied is in it within the hour
    s3.put_object(Bucket="my-bucket", Key="a", Body=b"2")
    s3.put_object_annotation(**about, AnnotationName="mood", AnnotationPayload=b"sad")
    s3.delete_object_annotation(**about, AnnotationName="long", VersionId=first)
    s3.copy_object(Bucket="my-bucket", Key="c", CopySource=about)
    made.advance(3601)
    now = made.annotations()
    assert [(r["object_key"], r["name"], r["text_value"]) for r in now] == [
        ("a", "mood", "fröhlich"), ("a", "mood", "sad"), ("c", "mood", "sad"),
    ]  # fmt: skip
    assert len({r["object_join_key"] for r in now}) == 3
    assert now[1]["sequence_number"] > mood["sequence_number"]
    s3.delete_object(**about, VersionId=first)
    s3.delete_object(Bucket="my-bucket", Key="c")
    made.advance(3601)
    told = [(r["object_key"], r["text_value"]) for r in made.annotations()]
    assert told == [("a", "sad"), ("c", "sad")]  # a delete marker takes nothing away
    disabled = {"ConfigurationState": "DISABLED"}
    s3.update_bucket_metadata_annotation_table_configuration(
        Bucket="my-bucket", AnnotationTableConfiguration=disabled
    )
    assert made.shown()["AnnotationTableConfigurationResult"] == disabled | {"Role": role}
    s3.update_bucket_metadata_annotation_table_configuration(
        Bucket="my-bucket", AnnotationTableConfiguration={"ConfigurationState": "ENABLED"}
    )
    made.until(lambda: made.status()["Annotation"] == "FAILED")  # its old table is still there


def test_an_object_with_more_annotations_than_a_commit_takes_is_written_in_parts(
    made: Metadata,
) -> None:
    from stratolite.services.s3 import annotation_table

    s3, names = made.s3, [f"n{at:02d}" for at in range(7)]
    role = made.reader()
    for key in "ab":
        s3.put_object(Bucket="my-bucket", Key=key, Body=b"1")
        for name in names:
            s3.put_object_annotation(
                Bucket="my-bucket", Key=key, AnnotationName=name, AnnotationPayload=b"old"
            )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(annotation_table, "ROWS_COUNT_MAX", 3)
        made.enable(annotation={"ConfigurationState": "ENABLED", "Role": role})
        made.advance(901)
        made.until(lambda: made.status()["Annotation"] == "ACTIVE")
        every = [(key, name, "old") for key in "ab" for name in names]
        assert [(r["object_key"], r["name"], r["text_value"]) for r in made.annotations()] == every
        for name in names[1:]:
            s3.put_object_annotation(
                Bucket="my-bucket", Key="a", AnnotationName=name, AnnotationPayload=b"new"
            )
        s3.put_object(Bucket="my-bucket", Key="b", Body=b"2")
        made.advance(3601)
        told = [(r["object_key"], r["name"], r["text_value"]) for r in made.annotations()]
    assert told == [("a", "n00", "old")] + [("a", name, "new") for name in names[1:]]


@pytest.mark.parametrize("lacking", ["trust", "right"])
def test_a_role_that_may_not_read_annotations_makes_their_table_fail(
    made: Metadata, lacking: str
) -> None:
    role = made.reader(*(["s3:GetObject"] if lacking == "right" else ()))
    if lacking == "trust":
        who = {"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sts:AssumeRole"}  # fmt: skip
        made.client("iam").update_assume_role_policy(RoleName="reader", PolicyDocument=document(who))  # fmt: skip
    made.s3.put_object(Bucket="my-bucket", Key="a", Body=b"1")
    made.s3.put_object_annotation(
        Bucket="my-bucket", Key="a", AnnotationName="n", AnnotationPayload=b"x"
    )
    made.enable(annotation={"ConfigurationState": "ENABLED", "Role": role})
    made.advance(901)
    made.until(lambda: made.status()["Annotation"] == "FAILED")
    error = made.shown()["AnnotationTableConfigurationResult"]["Error"]
    assert error["ErrorCode"] == "AccessDenied"
    assert made.status()["Journal"] == "ACTIVE"


def test_old_records_expire(made: Metadata) -> None:
    made.enable(RecordExpiration={"Expiration": "ENABLED", "Days": 7})
    made.s3.put_object(Bucket="my-bucket", Key="old", Body=b"x")
    assert [r["key"] for r in made.journal()] == ["old"]
    made.advance(5 * 86_400)
    made.s3.put_object(Bucket="my-bucket", Key="new", Body=b"x")
    assert [r["key"] for r in made.journal()] == ["old", "new"]
    made.advance(3 * 86_400)
    made.until(lambda: [r["key"] for r in made.journal()] == ["new"])
    made.s3.update_bucket_metadata_journal_table_configuration(
        Bucket="my-bucket", JournalTableConfiguration={"RecordExpiration": KEEP}
    )
    assert made.shown()["JournalTableConfigurationResult"]["RecordExpiration"] == KEEP


def test_the_tables_can_be_read_and_not_written(made: Metadata) -> None:
    made.enable()
    arn = made.arn("Journal")
    table = made.tables.get_table(tableArn=arn)
    assert (table["type"], table["managedByService"]) == ("aws", "metadata.s3.amazonaws.com")
    named = {"tableBucketARN": AWS_S3, "namespace": "b_my-bucket", "name": "journal"}
    bucket = table["warehouseLocation"].removeprefix("s3://")
    for ask in (
        lambda: made.s3.put_object(Bucket=bucket, Key="data/x", Body=b"x"),
        lambda: made.tables.update_table_metadata_location(
            **named, versionToken=table["versionToken"], metadataLocation=table["metadataLocation"]
        ),
        lambda: made.tables.rename_table(**named, newName="mine"),
        lambda: made.tables.create_namespace(tableBucketARN=AWS_S3, namespace=["mine"]),
        lambda: made.tables.create_table(
            tableBucketARN=AWS_S3, namespace="b_my-bucket", name="mine", format="ICEBERG"
        ),
        lambda: made.tables.delete_namespace(tableBucketARN=AWS_S3, namespace="b_my-bucket"),
        lambda: made.tables.delete_table_bucket(tableBucketARN=AWS_S3),
    ):
        with pytest.raises(ClientError) as caught:
            ask()
        assert code(caught)[1] == 403
    made.s3.delete_bucket_metadata_configuration(Bucket="my-bucket")
    with pytest.raises(ClientError) as caught:
        made.shown()
    assert code(caught) == ("MetadataConfigurationNotFound", 404)
    made.tables.delete_table(**named)
    made.enable()
    assert made.arn("Journal") != arn


def test_a_table_that_policies_close_to_s3_fails(made: Metadata) -> None:
    made.enable()
    arn = made.arn("Journal")
    deny = {
        "Effect": "Deny", "Principal": {"Service": "metadata.s3.amazonaws.com"},
        "Action": "s3tables:PutTableData", "Resource": arn,
    }  # fmt: skip
    made.tables.put_table_policy(
        tableBucketARN=AWS_S3, namespace="b_my-bucket", name="journal",
        resourcePolicy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}),
    )  # fmt: skip
    made.s3.put_object(Bucket="my-bucket", Key="a", Body=b"x")
    made.advance(61)
    made.until(lambda: made.status()["Journal"] == "FAILED")
    error = made.shown()["JournalTableConfigurationResult"]["Error"]
    assert error["ErrorCode"] == "AccessDenied"


def test_a_killed_writer_repeats_nothing(made: Metadata) -> None:
    """Everything but the commit done and then lost, a row is in the table once: files of the lost attempt are nobody's."""
    made.enable()
    made.s3.put_object(Bucket="my-bucket", Key="a", Body=b"x")
    from stratolite.services.s3 import metadata_worker

    real, tried = metadata_worker._commit, []

    def lost(*args: Any) -> None:
        tried.append(1)
        if len(tried) == 1:
            raise RuntimeError("killed here")
        real(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metadata_worker, "_commit", lost)
        told = made.journal()
    assert len(tried) == 2
    assert [r["key"] for r in told] == ["a"]
    snapshots = loaded(made.tables, made.s3, made.arn("Journal")).metadata.snapshots
    assert len(snapshots) == 1


def test_the_first_version_writes_into_a_table_bucket_of_ones_own(made: Metadata) -> None:
    lake = made.tables.create_table_bucket(name="lake")["arn"]
    made.s3.create_bucket_metadata_table_configuration(
        Bucket="my-bucket",
        MetadataTableConfiguration={
            "S3TablesDestination": {"TableBucketArn": lake, "TableName": "told"}
        },
    )

    def shown() -> Any:
        answer = made.s3.get_bucket_metadata_table_configuration(Bucket="my-bucket")
        return answer["GetBucketMetadataTableConfigurationResult"]

    made.until(lambda: shown()["Status"] == "ACTIVE")
    place = shown()["MetadataTableConfigurationResult"]["S3TablesDestinationResult"]
    assert (place["TableBucketArn"], place["TableNamespace"]) == (lake, "aws_s3_metadata")
    made.s3.put_object(Bucket="my-bucket", Key="a", Body=b"x")
    made.advance(61)
    made.until(lambda: made.left() == 0)
    assert [r["key"] for r in rows(made.tables, made.s3, place["TableArn"])] == ["a"]
    with pytest.raises(ClientError) as caught:
        made.enable()
    assert code(caught) == ("MetadataConfigurationAlreadyExists", 409)
    made.s3.delete_bucket_metadata_table_configuration(Bucket="my-bucket")
    with pytest.raises(ClientError) as caught:
        shown()
    assert code(caught) == ("MetadataConfigurationNotFound", 404)


def test_what_a_configuration_must_say(made: Metadata) -> None:
    for journal, wanted in (
        ({"RecordExpiration": {"Expiration": "ENABLED", "Days": 6}}, "InvalidArgument"),
        ({"RecordExpiration": {"Expiration": "ENABLED"}}, "InvalidArgument"),
        ({"EncryptionConfiguration": {"SseAlgorithm": "aws:kms"}}, "InvalidArgument"),
    ):
        with pytest.raises(ClientError) as caught:
            made.enable(**journal)
        assert code(caught) == (wanted, 400)
    with pytest.raises(ClientError) as caught:
        made.s3.create_bucket_metadata_configuration(
            Bucket="my-bucket",
            MetadataConfiguration={
                "JournalTableConfiguration": {"RecordExpiration": KEEP},
                "AnnotationTableConfiguration": {"ConfigurationState": "ENABLED"},
            },
        )
    assert code(caught) == ("InvalidArgument", 400)  # the role is missing


def test_configuring_needs_the_rights_to_make_the_tables(made: Metadata) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/metadata-tables-permissions.html"""
    iam = made.client("iam")
    iam.create_user(UserName="ann")
    keys = iam.create_access_key(UserName="ann")["AccessKey"]
    ann = made.client("s3", key=keys["AccessKeyId"], secret=keys["SecretAccessKey"])
    asked = {"JournalTableConfiguration": {"RecordExpiration": KEEP}}

    def allow(*actions: str) -> None:
        resources = ["arn:aws:s3:::my-bucket", AWS_S3, f"{AWS_S3}/table/*"]
        said = {"Effect": "Allow", "Action": actions, "Resource": resources}
        document = json.dumps({"Version": "2012-10-17", "Statement": [said]})
        iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=document)

    rights = [
        "s3:CreateBucketMetadataTableConfiguration", "s3tables:CreateTableBucket",
        "s3tables:CreateNamespace", "s3tables:CreateTable", "s3tables:GetTable",
        "s3tables:PutTablePolicy",
    ]  # fmt: skip
    for left_out in rights:
        allow(*(r for r in rights if r != left_out))
        with pytest.raises(ClientError) as caught:
            ann.create_bucket_metadata_configuration(
                Bucket="my-bucket", MetadataConfiguration=asked
            )
        assert code(caught) == ("AccessDenied", 403), left_out
    allow(*rights)
    annotated = {
        **asked,
        "AnnotationTableConfiguration": {"ConfigurationState": "ENABLED", "Role": made.reader()},
    }
    with pytest.raises(ClientError) as caught:
        ann.create_bucket_metadata_configuration(
            Bucket="my-bucket", MetadataConfiguration=annotated
        )
    assert code(caught) == ("AccessDenied", 403)
    assert "iam:PassRole" in caught.value.response["Error"]["Message"]
    ann.create_bucket_metadata_configuration(Bucket="my-bucket", MetadataConfiguration=asked)


def test_tables_are_sealed_with_a_key_that_lets_s3_metadata_use_it(made: Metadata) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/metadata-tables-permissions.html"""
    kms = made.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    made.enable(EncryptionConfiguration={"SseAlgorithm": "aws:kms", "KmsKeyArn": key})
    assert made.status()["Journal"] == "FAILED"
    assert made.shown()["JournalTableConfigurationResult"]["Error"]["ErrorCode"] == "AccessDenied"
    made.s3.delete_bucket_metadata_configuration(Bucket="my-bucket")
    services = ["metadata.s3.amazonaws.com", "maintenance.s3tables.amazonaws.com"]
    whose: dict[str, Any] = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": whose, "Action": "kms:*", "Resource": "*"},
            {"Effect": "Allow", "Principal": {"Service": services}, "Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": "*"},
        ],
    }  # fmt: skip
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))
    made.enable(EncryptionConfiguration={"SseAlgorithm": "aws:kms", "KmsKeyArn": key})
    assert made.status()["Journal"] == "ACTIVE"
    made.s3.put_object(Bucket="my-bucket", Key="a", Body=b"x")
    assert [r["key"] for r in made.journal()] == ["a"]
    table = loaded(made.tables, made.s3, made.arn("Journal"))
    (file,) = table.inspect.files()["file_path"].to_pylist()
    bucket, _, path = file.removeprefix("s3://").partition("/")
    assert made.s3.head_object(Bucket=bucket, Key=path)["SSEKMSKeyId"] == key


def test_a_bucket_that_goes_takes_its_configuration_and_what_waited_along(made: Metadata) -> None:
    made.enable()
    made.s3.put_object(Bucket="my-bucket", Key="a", Body=b"x")
    made.s3.delete_object(Bucket="my-bucket", Key="a")
    assert made.left() == 2
    made.s3.delete_bucket(Bucket="my-bucket")
    assert made.left() == 0
    made.s3.create_bucket(Bucket="my-bucket")
    with pytest.raises(ClientError) as caught:
        made.shown()
    assert code(caught) == ("MetadataConfigurationNotFound", 404)
    made.s3.put_object(Bucket="my-bucket", Key="a", Body=b"x")
    assert made.left() == 0


def test_without_its_libraries_it_is_refused_by_name(made: Metadata) -> None:
    from stratolite.services.s3tables import writing

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "find_spec", lambda _: None)
        with pytest.raises(ClientError) as caught:
            made.enable()
    assert code(caught) == ("NotImplemented", 501)
    assert "stratolite[tables]" in caught.value.response["Error"]["Message"]
