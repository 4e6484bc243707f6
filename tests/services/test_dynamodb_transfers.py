"""Exports to S3 and imports from there: as files AWS would write, and as whoever asked.

Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
        https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataImport.Format.html
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import zstandard
from botocore.exceptions import ClientError

from stratolite.services.dynamodb import ion

SCHEMA = {
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}
RECOVERY = {"PointInTimeRecoveryEnabled": True}


@pytest.fixture
def db(client: Any) -> Any:
    return client("dynamodb")


@pytest.fixture
def s3(client: Any) -> Any:
    made = client("s3")
    made.create_bucket(Bucket="bucket")
    return made


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.02)


def advance(platform: Any, seconds: float) -> None:
    clock, world = platform.cloud.clock, platform.world
    offset_s = platform.run(platform.cloud.db.transact(lambda tx: clock.advance(tx, seconds)))
    eventually(lambda: world.cloud_offset_s >= offset_s)


def refused(code: str, call: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**request)
    assert caught.value.response["Error"]["Code"] == code, caught.value
    return caught.value.response["Error"]["Message"]


def exported(db: Any, arn: str) -> Any:
    def described() -> Any:
        return db.describe_export(ExportArn=arn)["ExportDescription"]

    eventually(lambda: described()["ExportStatus"] != "IN_PROGRESS")
    return described()


def body(s3: Any, key: str) -> bytes:
    return s3.get_object(Bucket="bucket", Key=key)["Body"].read()


def lines(s3: Any, said: Any) -> list[Any]:
    """What an export holds, its manifests checked on the way."""
    summary = json.loads(body(s3, said["ExportManifest"]))
    check = base64.b64encode(hashlib.md5(body(s3, said["ExportManifest"])).digest())
    assert body(s3, said["ExportManifest"].replace(".json", ".md5")) == check
    found = []
    for line in body(s3, summary["manifestFilesS3Key"]).splitlines():
        entry = json.loads(line)
        packed = body(s3, entry["dataFileS3Key"])
        assert base64.b64encode(hashlib.md5(packed).digest()).decode() == entry["md5Checksum"]
        some = [json.loads(each) for each in gzip.decompress(packed).splitlines()]
        assert len(some) == entry["itemCount"]
        found += some
    assert summary["itemCount"] == len(found) == said["ItemCount"]
    return found


def test_an_export_is_the_table_at_its_time(db: Any, s3: Any, platform: Any) -> None:
    """Full and incremental; what it wrote can be imported again."""
    db.create_table(TableName="table", **SCHEMA)
    arn = db.describe_table(TableName="table")["Table"]["TableArn"]
    refused(
        "PointInTimeRecoveryUnavailableException",
        db.export_table_to_point_in_time,
        TableArn=arn,
        S3Bucket="bucket",
    )
    db.update_continuous_backups(TableName="table", PointInTimeRecoverySpecification=RECOVERY)
    for i in range(300):
        db.put_item(
            TableName="table",
            Item={"pk": {"S": f"k{i:03d}"}, "n": {"N": str(i)}, "b": {"B": b"\x00"}},
        )
    advance(platform, 5)
    at_s = platform.world.cloud()
    advance(platform, 5)
    db.put_item(TableName="table", Item={"pk": {"S": "k000"}, "n": {"N": "1000"}})
    db.delete_item(TableName="table", Key={"pk": {"S": "k001"}})
    db.put_item(TableName="table", Item={"pk": {"S": "new"}})
    db.put_item(TableName="table", Item={"pk": {"S": "gone"}})
    db.delete_item(TableName="table", Key={"pk": {"S": "gone"}})
    made = db.export_table_to_point_in_time(
        TableArn=arn, S3Bucket="bucket", S3Prefix="out", ExportTime=at_s
    )
    export = made["ExportDescription"]["ExportArn"]
    said = exported(db, export)
    assert said["ExportStatus"] == "COMPLETED", said
    items = sorted((line["Item"] for line in lines(s3, said)), key=lambda i: i["pk"]["S"])
    assert [i["pk"]["S"] for i in items] == [f"k{i:03d}" for i in range(300)]
    assert items[0] == {"pk": {"S": "k000"}, "n": {"N": "0"}, "b": {"B": "AA=="}}
    span = {
        "ExportFromTime": at_s,
        "ExportToTime": platform.world.cloud(),
        "ExportViewType": "NEW_AND_OLD_IMAGES",
    }
    advance(platform, 5)
    db.put_item(TableName="table", Item={"pk": {"S": "later"}})
    made = db.export_table_to_point_in_time(
        TableArn=arn,
        S3Bucket="bucket",
        ExportType="INCREMENTAL_EXPORT",
        IncrementalExportSpecification=span,
    )
    changes = {
        line["Keys"]["pk"]["S"]: line
        for line in lines(s3, exported(db, made["ExportDescription"]["ExportArn"]))
    }
    assert set(changes) == {"k000", "k001", "new"}
    assert changes["k000"]["OldImage"]["n"] == {"N": "0"}
    assert changes["k000"]["NewImage"]["n"] == {"N": "1000"}
    assert "NewImage" not in changes["k001"]
    assert "OldImage" not in changes["new"]
    assert {e["ExportType"] for e in db.list_exports(TableArn=arn)["ExportSummaries"]} == {
        "FULL_EXPORT", "INCREMENTAL_EXPORT",
    }  # fmt: skip
    data = json.loads(body(s3, json.loads(body(s3, said["ExportManifest"]))["manifestFilesS3Key"]))
    prefix = data["dataFileS3Key"].rpartition("/")[0]
    made = db.import_table(
        S3BucketSource={"S3Bucket": "bucket", "S3KeyPrefix": prefix}, InputFormat="DYNAMODB_JSON",
        InputCompressionType="GZIP", TableCreationParameters={"TableName": "again", **SCHEMA},
    )["ImportTableDescription"]  # fmt: skip
    assert imported(db, made["ImportArn"])["ImportedItemCount"] == 300
    assert db.scan(TableName="again")["Count"] == 300
    assert db.describe_table(TableName="again")["Table"]["ItemCount"] == 300
    refused("ExportNotFoundException", db.describe_export, ExportArn=export[:-1] + "x")


def test_a_filtered_export_has_what_its_expressions_say(db: Any, s3: Any, platform: Any) -> None:
    """Items by key condition and filter, attributes by projection; of changes the latest image is filtered."""
    keys = [*SCHEMA["KeySchema"], {"AttributeName": "sk", "KeyType": "RANGE"}]
    defined = [*SCHEMA["AttributeDefinitions"], {"AttributeName": "sk", "AttributeType": "N"}]
    made = db.create_table(**SCHEMA | {"TableName": "table", "KeySchema": keys, "AttributeDefinitions": defined})  # fmt: skip
    arn = made["TableDescription"]["TableArn"]
    db.update_continuous_backups(TableName="table", PointInTimeRecoverySpecification=RECOVERY)

    def put(pk: str, sk: int, kind: str) -> None:
        item = {"pk": {"S": pk}, "sk": {"N": str(sk)}, "kind": {"S": kind}, "more": {"M": {"x": {"N": "1"}, "y": {"N": "2"}}}}  # fmt: skip
        db.put_item(TableName="table", Item=item)

    for pk in ("a", "b"):
        for sk in range(6):
            put(pk, sk, "even" if sk % 2 == 0 else "odd")
    advance(platform, 5)
    at_s = platform.world.cloud()

    def export(filtered: dict[str, Any], **more: Any) -> tuple[Any, list[Any]]:
        made = db.export_table_to_point_in_time(
            TableArn=arn, S3Bucket="bucket", FilterSpecification=filtered, **more
        )["ExportDescription"]
        assert made["FilterSpecification"] == filtered
        said = exported(db, made["ExportArn"])
        assert said["ExportStatus"] == "COMPLETED", said
        return said, list(lines(s3, said))

    part = {
        "KeyConditionExpression": "pk = :a AND sk > :1",
        "FilterExpression": "#k = :e",
        "ProjectionExpression": "sk, more.y",
        "ExpressionAttributeNames": {"#k": "kind"},
        "ExpressionAttributeValues": {":a": {"S": "a"}, ":1": {"N": "1"}, ":e": {"S": "even"}},
    }
    said, found = export(part)
    assert sorted((line["Item"] for line in found), key=str) == [
        {"sk": {"N": sk}, "more": {"M": {"y": {"N": "2"}}}} for sk in ("2", "4")
    ]
    assert said["ItemCount"] == 2
    odd = {
        "FilterExpression": "sk = :1 OR kind = :none",
        "ExpressionAttributeValues": {":1": {"N": "1"}, ":none": {"S": "none"}},
    }
    whole, found = export(odd)
    assert sorted(line["Item"]["pk"]["S"] for line in found) == ["a", "b"], "keys, too"
    assert whole["BilledSizeBytes"] == said["BilledSizeBytes"] * 3, "4 of 12 were read"
    db.delete_item(TableName="table", Key={"pk": {"S": "a"}, "sk": {"N": "1"}})
    put("b", 3, "none")
    put("b", 1, "odd, too")
    put("b", 5, "odd, still")
    span = {"ExportFromTime": at_s, "ExportToTime": platform.world.cloud()}
    advance(platform, 5)
    _, found = export(
        odd | {"ProjectionExpression": "kind"},
        ExportType="INCREMENTAL_EXPORT",
        IncrementalExportSpecification=span,
    )
    images = {(line["Keys"]["pk"]["S"], line["Keys"]["sk"]["N"]): line for line in found}
    assert set(images) == {("a", "1"), ("b", "1"), ("b", "3")}
    assert images["b", "3"]["NewImage"] == {"kind": {"S": "none"}}
    assert images["b", "3"]["OldImage"] == {"kind": {"S": "odd"}}
    assert images["a", "1"]["OldImage"] == {"kind": {"S": "odd"}}
    for wrong, why in (
        (part | {"FilterExpression": "#k = :e AND pk = :a"}, "non-primary key attributes"),
        (odd | {"KeyConditionExpression": "sk = :1"}, "missed key schema element: pk"),
        ({"FilterExpression": "sk = :1"}, "not defined"),
    ):
        said_ = refused(
            "ValidationException", db.export_table_to_point_in_time, TableArn=arn, S3Bucket="bucket",
            FilterSpecification=wrong,
        )  # fmt: skip
        assert why in said_


def imported(db: Any, arn: str) -> Any:
    def described() -> Any:
        return db.describe_import(ImportArn=arn)["ImportTableDescription"]

    eventually(lambda: described()["ImportStatus"] != "IN_PROGRESS")
    return described()


def test_what_cannot_be_written_fails_and_says_why(db: Any, s3: Any, client: Any) -> None:
    """S3 is asked as the caller: no bucket, or none of its rights, is the export's failure."""
    db.create_table(TableName="table", **SCHEMA)
    db.update_continuous_backups(TableName="table", PointInTimeRecoverySpecification=RECOVERY)
    arn = db.describe_table(TableName="table")["Table"]["TableArn"]
    made = db.export_table_to_point_in_time(TableArn=arn, S3Bucket="nobody")["ExportDescription"]
    said = exported(db, made["ExportArn"])
    assert (said["ExportStatus"], said["FailureCode"]) == ("FAILED", "S3NoSuchBucket")
    iam = client("iam")
    iam.create_user(UserName="u")
    key = iam.create_access_key(UserName="u")["AccessKey"]
    allowed = {"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=document)
    mine = client("dynamodb", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    made = mine.export_table_to_point_in_time(TableArn=arn, S3Bucket="bucket")["ExportDescription"]
    assert exported(db, made["ExportArn"])["FailureCode"] == "S3AccessDenied"
    db.delete_table(TableName="table")


def test_tables_are_made_of_csv(db: Any, s3: Any) -> None:
    """Strings, but keys are what the table says; a line that is no item is counted and left."""
    text = 'pk,n,note\nb,2,"a, b"\na,1,\nc,not a number,x\n,4,y\nd,5\n'
    s3.put_object(Bucket="bucket", Key="in/one.csv", Body=text.encode())
    s3.put_object(Bucket="bucket", Key="in/two.csv", Body=b"pk,n,note\ne,6,z\n")
    s3.put_object(Bucket="bucket", Key="other", Body=b"pk,n\nf,7\n")
    parameters = {
        **SCHEMA,
        "TableName": "table",
        "AttributeDefinitions": [
            *SCHEMA["AttributeDefinitions"],
            {"AttributeName": "n", "AttributeType": "N"},
        ],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": "by-n",
                "KeySchema": [{"AttributeName": "n", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    }
    made = db.import_table(
        S3BucketSource={"S3Bucket": "bucket", "S3KeyPrefix": "in/"}, InputFormat="CSV",
        TableCreationParameters=parameters,
    )["ImportTableDescription"]  # fmt: skip
    assert made["ImportStatus"] == "IN_PROGRESS"
    said = imported(db, made["ImportArn"])
    assert (said["ImportStatus"], said["ProcessedItemCount"], said["ImportedItemCount"], said["ErrorCount"]) == (
        "COMPLETED", 6, 4, 2,
    )  # fmt: skip
    items = sorted(
        db.scan(TableName="table", IndexName="by-n")["Items"], key=lambda i: i["pk"]["S"]
    )
    assert items == [
        {"pk": {"S": "a"}, "n": {"N": "1"}},
        {"pk": {"S": "b"}, "n": {"N": "2"}, "note": {"S": "a, b"}},
        {"pk": {"S": "d"}, "n": {"N": "5"}},
        {"pk": {"S": "e"}, "n": {"N": "6"}, "note": {"S": "z"}},
    ]
    assert db.list_imports()["ImportSummaryList"][0]["ImportArn"] == made["ImportArn"]
    refused(
        "ResourceInUseException", db.import_table, InputFormat="CSV", TableCreationParameters=parameters,
        S3BucketSource={"S3Bucket": "bucket"},
    )  # fmt: skip


def test_a_failed_import_leaves_no_table(db: Any, s3: Any) -> None:
    s3.put_object(Bucket="bucket", Key="in/one.gz", Body=b"no gzip")
    for source, code in (
        ({"S3Bucket": "nobody"}, "S3NoSuchBucket"),
        ({"S3Bucket": "bucket"}, "S3InvalidObjectState"),
    ):
        made = db.import_table(
            S3BucketSource=source, InputFormat="DYNAMODB_JSON", InputCompressionType="GZIP",
            TableCreationParameters={"TableName": "table", **SCHEMA},
        )["ImportTableDescription"]  # fmt: skip
        said = imported(db, made["ImportArn"])
        assert (said["ImportStatus"], said["FailureCode"]) == ("FAILED", code)
        assert db.list_tables()["TableNames"] == []
    s3.put_object(Bucket="bucket", Key="zst/one.zst", Body=b"no zst")
    made = db.import_table(
        S3BucketSource={"S3Bucket": "bucket", "S3KeyPrefix": "zst/"}, InputFormat="CSV",
        InputCompressionType="ZSTD", TableCreationParameters={"TableName": "table", **SCHEMA},
    )["ImportTableDescription"]  # fmt: skip
    assert imported(db, made["ImportArn"])["FailureCode"] == "S3InvalidObjectState"
    assert db.list_tables()["TableNames"] == []


EVERY_KIND = {
    "pk": {"S": "a\n\"é\u2028'\\"},
    "n": {"N": "12345678901234567890123456789012345678"},
    "small": {"N": "1E-130"},
    "negative": {"N": "-1.5"},
    "zero": {"N": "0"},
    "b": {"B": b"\x01\x02"},
    "ss": {"SS": ["x", "y"]},
    "ns": {"NS": ["1", "2.5"]},
    "bs": {"BS": [b"\x01"]},
    "l": {"L": [{"M": {"a b": {"NULL": True}, "$x": {"BOOL": False}}}, {"L": []}]},
    "null": {"S": ""},
}


def plain(item: Any) -> Any:
    """With numbers by value and sets in order."""
    if isinstance(item, dict) and set(item) <= {"N", "NS", "SS", "BS"} and len(item) == 1:
        ((kind, held),) = item.items()
        numbers = [Decimal(n) for n in ([held] if kind == "N" else held)] if "N" in kind else held
        return kind, sorted(numbers)
    if isinstance(item, dict):
        return {k: plain(v) for k, v in item.items()}
    return [plain(v) for v in item] if isinstance(item, list) else item


def test_a_table_goes_through_ion_under_a_key_and_comes_back(db: Any, s3: Any, client: Any) -> None:
    """Each type as AWS's table of them has it, in objects under a KMS key; read again from a Zstandard file.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
    """
    from amazon.ion import simpleion

    db.create_table(TableName="table", **SCHEMA)
    db.update_continuous_backups(TableName="table", PointInTimeRecoverySpecification=RECOVERY)
    db.put_item(TableName="table", Item=EVERY_KIND)
    arn = db.describe_table(TableName="table")["Table"]["TableArn"]
    key = client("kms").create_key()["KeyMetadata"]["Arn"]
    wanted = {"TableArn": arn, "S3Bucket": "bucket", "ExportFormat": "ION", "ClientToken": "once"}
    sealed = {"S3SseAlgorithm": "KMS", "S3SseKmsKeyId": key}
    made = db.export_table_to_point_in_time(**wanted, **sealed)["ExportDescription"]
    assert db.export_table_to_point_in_time(**wanted, **sealed)["ExportDescription"]["ExportArn"] == made["ExportArn"]  # fmt: skip
    refused("ExportConflictException", db.export_table_to_point_in_time, **wanted)
    assert len(db.list_exports(TableArn=arn)["ExportSummaries"]) == 1
    said = exported(db, made["ExportArn"])
    summary = json.loads(body(s3, said["ExportManifest"]))
    assert (summary["outputFormat"], summary["s3SseKmsKeyId"]) == ("ION", key)
    entry = json.loads(body(s3, summary["manifestFilesS3Key"]))
    assert entry["dataFileS3Key"].endswith(".ion.gz")
    head = s3.head_object(Bucket="bucket", Key=entry["dataFileS3Key"])
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)
    text = gzip.decompress(body(s3, entry["dataFileS3Key"]))
    assert text.startswith(b"$ion_1_0 {Item:{")
    assert text.count(b"\n") == 1
    held = simpleion.loads(text)["Item"]
    assert held["n"] == Decimal(EVERY_KIND["n"]["N"])
    assert [note.text for note in held["ns"].ion_annotations] == ["$dynamodb_NS"]
    wrong = b'{Item:{pk:"int",n:1}}\n{Item:{pk:"time",t:2020T}}\nno ion {\n{Item:{n:1.}}\n'
    more = b'$ion_1_0 {Item:{pk:"c", /* a comment */ Id:6d2}}\n'
    packed = zstandard.compress(text + wrong) + zstandard.compress(more)
    s3.put_object(Bucket="bucket", Key="in/one.ion.zst", Body=packed)
    made = db.import_table(
        S3BucketSource={"S3Bucket": "bucket", "S3KeyPrefix": "in/"}, InputFormat="ION",
        InputCompressionType="ZSTD", TableCreationParameters={"TableName": "again", **SCHEMA},
    )["ImportTableDescription"]  # fmt: skip
    said = imported(db, made["ImportArn"])
    assert (said["ImportStatus"], said["ImportedItemCount"], said["ErrorCount"]) == ("COMPLETED", 2, 4)  # fmt: skip
    (one, two) = sorted(db.scan(TableName="again")["Items"], key=len)
    assert one == {"pk": {"S": "c"}, "Id": {"N": "600"}}
    assert plain(two) == plain(EVERY_KIND)


def test_a_change_in_ion_has_its_keys_and_images(db: Any, s3: Any, platform: Any) -> None:
    from amazon.ion import simpleion

    db.create_table(TableName="table", **SCHEMA)
    db.update_continuous_backups(TableName="table", PointInTimeRecoverySpecification=RECOVERY)
    from_s = platform.world.cloud()
    advance(platform, 5)
    db.put_item(TableName="table", Item={"pk": {"S": "a"}, "n": {"N": "2"}})
    made = db.export_table_to_point_in_time(
        TableArn=db.describe_table(TableName="table")["Table"]["TableArn"], S3Bucket="bucket", ExportFormat="ION",
        ExportType="INCREMENTAL_EXPORT", IncrementalExportSpecification={"ExportFromTime": from_s},
    )["ExportDescription"]  # fmt: skip
    said = exported(db, made["ExportArn"])
    assert said["ExportStatus"] == "COMPLETED", said
    summary = json.loads(body(s3, said["ExportManifest"]))
    entry = json.loads(body(s3, summary["manifestFilesS3Key"]))
    record = simpleion.loads(gzip.decompress(body(s3, entry["dataFileS3Key"])))["Record"]
    assert record["Keys"]["pk"] == "a"
    assert record["NewImage"]["n"] == 2
    assert abs(int(record["Metadata"]["WriteTimestampMicros"]) / 1e6 - from_s) < 3600


@pytest.mark.parametrize("depth", [100, 100_000])
def test_ion_of_any_depth_is_no_item_and_no_harm(depth: int) -> None:
    text = b"{Item:{a:" + b"[" * depth + b"]" * depth + b"}}"
    found = ion.item(text)
    assert found is None or depth == 100
