"""S3 Tables through boto3: buckets, namespaces, tables, their metadata's place, policies, and the files behind them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

ACCOUNT = "000000000000"
ARN = f"arn:aws:s3tables:us-east-1:{ACCOUNT}:bucket/lake"
SCHEMA = {
    "fields": [
        {"name": "id", "type": "long", "required": True},
        {"name": "at", "type": "timestamp"},
    ]
}


def code(caught: Any) -> tuple[str, int, str]:
    answer = caught.value.response
    error = answer["Error"]
    return error["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], error["Message"]


@pytest.fixture
def lake(client: Any) -> Any:
    tables = client("s3tables")
    assert tables.create_table_bucket(name="lake")["arn"] == ARN
    tables.create_namespace(tableBucketARN=ARN, namespace=["raw"])
    return tables


def named(name: str = "t") -> dict[str, str]:
    return {"tableBucketARN": ARN, "namespace": "raw", "name": name}


def make(tables: Any, name: str = "t", **more: Any) -> Any:
    return tables.create_table(
        **named(name), format="ICEBERG", **({"metadata": {"iceberg": {"schema": SCHEMA}}} | more)
    )


def test_a_bucket_is_made_found_listed_and_deleted_when_it_is_empty(lake: Any) -> None:
    shown = lake.get_table_bucket(tableBucketARN=ARN)
    assert (shown["name"], shown["ownerAccountId"], shown["type"]) == ("lake", ACCOUNT, "customer")
    lake.create_table_bucket(name="lagoon")
    assert [b["name"] for b in lake.list_table_buckets()["tableBuckets"]] == ["lagoon", "lake"]
    first = lake.list_table_buckets(maxBuckets=1)
    rest = lake.list_table_buckets(continuationToken=first["continuationToken"])
    assert [b["name"] for b in rest["tableBuckets"]] == ["lake"]
    assert lake.list_table_buckets(prefix="lak")["tableBuckets"][0]["arn"] == ARN
    with pytest.raises(ClientError) as caught:
        lake.delete_table_bucket(tableBucketARN=ARN)
    assert code(caught)[:2] == ("ConflictException", 409)
    lake.delete_namespace(tableBucketARN=ARN, namespace="raw")
    lake.delete_table_bucket(tableBucketARN=ARN)
    with pytest.raises(ClientError) as caught:
        lake.get_table_bucket(tableBucketARN=ARN)
    assert code(caught) == ("NotFoundException", 404, "The specified bucket does not exist.")


@pytest.mark.parametrize("name", ["aws-lake", "-lake", "sthree-x", "lake--table-s3"])
def test_reserved_and_malformed_bucket_names_are_refused(client: Any, name: str) -> None:
    with pytest.raises(ClientError) as caught:
        client("s3tables").create_table_bucket(name=name)
    assert code(caught) == ("BadRequestException", 400, "The specified bucket name is not valid.")


def test_names_that_are_taken_are_conflicts(lake: Any) -> None:
    make(lake)
    for ask, words in (
        (lambda: lake.create_table_bucket(name="lake"), "The bucket that you tried to create already exists, and you own it."),
        (lambda: lake.create_namespace(tableBucketARN=ARN, namespace=["raw"]), "A namespace with an identical name already exists in the bucket."),
        (lambda: make(lake), "A table with an identical name already exists in the namespace."),
    ):  # fmt: skip
        with pytest.raises(ClientError) as caught:
            ask()
        assert code(caught) == ("ConflictException", 409, words)


def test_a_table_has_iceberg_metadata_that_s3_gives(lake: Any, client: Any) -> None:
    made = make(lake)
    shown = lake.get_table(**named())
    assert lake.get_table(tableArn=made["tableARN"])["name"] == "t"
    assert shown["versionToken"] != ""
    bucket = shown["warehouseLocation"].removeprefix("s3://")
    assert bucket.endswith("--table-s3")
    assert len(bucket) <= 63
    key = shown["metadataLocation"].removeprefix(f"s3://{bucket}/")
    s3 = client("s3")
    metadata = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    assert metadata["schemas"][0]["fields"] == [
        {"id": 1, "name": "id", "required": True, "type": "long"},
        {"id": 2, "name": "at", "required": False, "type": "timestamp"},
    ]
    assert bucket not in [b["Name"] for b in s3.list_buckets()["Buckets"]]
    for ask in (
        lambda: s3.list_objects_v2(Bucket=bucket),
        lambda: s3.delete_object(Bucket=bucket, Key=key),
        lambda: s3.delete_bucket(Bucket=bucket),
        lambda: s3.put_bucket_policy(Bucket=bucket, Policy="{}"),
    ):
        with pytest.raises(ClientError) as caught:
            ask()
        assert code(caught)[:2] == ("MethodNotAllowed", 405)


def test_the_metadata_location_is_swapped_by_the_version_token(lake: Any, client: Any) -> None:
    """Of two writers that read the same token one wins; a place without a file is refused."""
    token = make(lake)["versionToken"]
    place = lake.get_table_metadata_location(**named())["warehouseLocation"]
    bucket, location = place.removeprefix("s3://"), f"{place}/metadata/00001-x.metadata.json"
    with pytest.raises(ClientError) as caught:
        lake.update_table_metadata_location(
            **named(), versionToken=token, metadataLocation=location
        )
    assert code(caught) == ("BadRequestException", 400, "The specified metadata location is not valid.")  # fmt: skip
    client("s3").put_object(Bucket=bucket, Key="metadata/00001-x.metadata.json", Body=b"{}")
    swapped = lake.update_table_metadata_location(
        **named(), versionToken=token, metadataLocation=location
    )
    assert swapped["metadataLocation"] == location
    with pytest.raises(ClientError) as caught:
        lake.update_table_metadata_location(
            **named(), versionToken=token, metadataLocation=location
        )
    assert code(caught) == ("ConflictException", 409, "Provided version token does not match the table version token.")  # fmt: skip
    assert lake.get_table_metadata_location(**named())["versionToken"] == swapped["versionToken"]


def test_a_table_is_renamed_and_deleted_with_its_files(
    lake: Any, client: Any, platform: Any
) -> None:
    bucket = (make(lake), lake.get_table(**named()))[1]["warehouseLocation"].removeprefix("s3://")
    lake.create_namespace(tableBucketARN=ARN, namespace=["clean"])
    lake.rename_table(**named(), newNamespaceName="clean", newName="u")
    moved = {"tableBucketARN": ARN, "namespace": "clean", "name": "u"}
    assert lake.get_table(**moved)["warehouseLocation"] == f"s3://{bucket}"
    assert [t["name"] for t in lake.list_tables(tableBucketARN=ARN)["tables"]] == ["u"]
    with pytest.raises(ClientError) as caught:
        lake.get_table(**named())
    assert code(caught)[0] == "NotFoundException"
    with pytest.raises(ClientError) as caught:
        lake.rename_table(**moved, newNamespaceName="nowhere")
    assert code(caught)[2] == "The specified destination namespace does not exist."
    lake.delete_table(**moved)
    with pytest.raises(ClientError) as caught:
        client("s3").get_object(Bucket=bucket, Key="x")
    assert code(caught)[0] == "NoSuchBucket"

    def left(tx: Any) -> list[bytes]:
        return [key for key, _ in tx.scan((b"\x00", b"\xfe")) if b"\x02s3\x00\x02o\x00" in key]

    for _ in range(500):
        if not platform.run(platform.cloud.db.transact(left)):
            return
        platform.run(platform.cloud.world.sleep(0.01))
    raise AssertionError("the files of a deleted table stay")


def test_tables_are_listed_across_namespaces_a_page_at_a_time(lake: Any) -> None:
    lake.create_namespace(tableBucketARN=ARN, namespace=["clean"])
    for namespace, name in (("raw", "a1"), ("raw", "b1"), ("clean", "a2"), ("clean", "c")):
        lake.create_table(tableBucketARN=ARN, namespace=namespace, name=name, format="ICEBERG")

    def listed(**asked: Any) -> list[tuple[str, str]]:
        found, token = [], {}
        while True:
            page = lake.list_tables(tableBucketARN=ARN, maxTables=1, **asked, **token)
            found += [(t["namespace"][0], t["name"]) for t in page["tables"]]
            if "continuationToken" not in page:
                return found
            token = {"continuationToken": page["continuationToken"]}

    assert listed() == [("clean", "a2"), ("clean", "c"), ("raw", "a1"), ("raw", "b1")]
    assert listed(prefix="a") == [("clean", "a2"), ("raw", "a1")]
    assert listed(namespace="raw") == [("raw", "a1"), ("raw", "b1")]
    assert listed(namespace="raw", prefix="b") == [("raw", "b1")]
    with pytest.raises(ClientError) as caught:
        lake.list_tables(tableBucketARN=ARN, continuationToken="x")
    assert code(caught) == ("BadRequestException", 400, "The continuation token is not valid.")


@pytest.mark.parametrize(
    "iceberg",
    [
        {"schema": {"fields": [{"name": "a", "type": "text"}]}},
        {"schema": {"fields": [{"name": "a", "type": "int"}, {"name": "a", "type": "int"}]}},
        {"schema": {"fields": []}},
        {"schema": SCHEMA, "partitionSpec": {"fields": [{"sourceId": 9, "transform": "day", "name": "d"}]}},
        {"schema": SCHEMA, "partitionSpec": {"fields": [{"sourceId": 2, "transform": "week", "name": "d"}]}},
        {},
    ],
)  # fmt: skip
def test_a_schema_that_is_none_is_refused(lake: Any, iceberg: Any) -> None:
    with pytest.raises(ClientError) as caught:
        make(lake, metadata={"iceberg": iceberg})
    assert code(caught)[:2] == ("BadRequestException", 400)


def test_who_may_read_a_table_may_get_its_objects(lake: Any, client: Any) -> None:
    """IAM and the policies of bucket and table decide by s3tables:GetTableData and PutTableData; s3 actions say nothing."""
    made, shown = make(lake), lake.get_table(**named())
    bucket, _, key = shown["metadataLocation"].removeprefix("s3://").partition("/")
    iam = client("iam")
    iam.create_user(UserName="ann")
    keys = iam.create_access_key(UserName="ann")["AccessKey"]
    ann = client("s3", key=keys["AccessKeyId"], secret=keys["SecretAccessKey"])

    def allow(*actions: str) -> None:
        document = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        iam.put_user_policy(
            UserName="ann",
            PolicyName="p",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [document]}),
        )

    allow("s3:*")
    with pytest.raises(ClientError) as caught:
        ann.get_object(Bucket=bucket, Key=key)
    assert code(caught)[:2] == ("AccessDenied", 403)
    allow("s3tables:GetTableData")
    assert ann.get_object(Bucket=bucket, Key=key)["Body"].read()
    with pytest.raises(ClientError) as caught:
        ann.put_object(Bucket=bucket, Key="data/x", Body=b"x")
    assert code(caught)[:2] == ("AccessDenied", 403)
    user = f"arn:aws:iam::{ACCOUNT}:user/ann"

    def policy(effect: str, action: str, resource: str) -> str:
        said = {
            "Effect": effect,
            "Principal": {"AWS": user},
            "Action": action,
            "Resource": resource,
        }
        return json.dumps({"Version": "2012-10-17", "Statement": [said]})

    lake.put_table_policy(**named(), resourcePolicy=policy("Allow", "s3tables:PutTableData", made["tableARN"]))  # fmt: skip
    ann.put_object(Bucket=bucket, Key="data/x", Body=b"x")
    lake.put_table_bucket_policy(
        tableBucketARN=ARN, resourcePolicy=policy("Deny", "s3tables:GetTableData", f"{ARN}/*")
    )
    with pytest.raises(ClientError) as caught:
        ann.get_object(Bucket=bucket, Key=key)
    assert code(caught)[:2] == ("AccessDenied", 403)
    with pytest.raises(ClientError) as caught:
        lake.put_table_policy(**named(), resourcePolicy=policy("Allow", "s3:GetObject", made["tableARN"]))  # fmt: skip
    assert code(caught)[0] == "BadRequestException"
    lake.delete_table_bucket_policy(tableBucketARN=ARN)
    with pytest.raises(ClientError) as caught:
        lake.get_table_bucket_policy(tableBucketARN=ARN)
    assert code(caught)[0] == "NotFoundException"
    copied = {"Bucket": bucket, "Key": key}
    client("s3").create_bucket(Bucket="mine")
    with pytest.raises(ClientError) as caught:
        client("s3").copy_object(Bucket="mine", Key="copied", CopySource=copied)
    assert code(caught)[:2] == ("MethodNotAllowed", 405)


def test_the_trail_has_what_was_asked_and_not_how_it_was_done(
    lake: Any, client: Any, platform: Any
) -> None:
    make(lake)
    place = lake.get_table(**named())["metadataLocation"].removeprefix("s3://").partition("/")
    client("s3").get_object(Bucket=place[0], Key=place[2])
    trail = client("cloudtrail")
    for _ in range(500):
        told = {e["EventName"] for e in trail.lookup_events()["Events"]}
        if "GetTable" in told:
            break
        platform.run(platform.cloud.world.sleep(0.02))
    assert told == {"CreateTableBucket", "CreateNamespace", "CreateTable", "GetTable"}


def test_settings_are_what_was_set(lake: Any, client: Any) -> None:
    key = client("kms").create_key()["KeyMetadata"]["Arn"]
    sealed = {"sseAlgorithm": "aws:kms", "kmsKeyArn": key}
    lake.put_table_bucket_encryption(tableBucketARN=ARN, encryptionConfiguration=sealed)
    make(lake)
    assert lake.get_table_encryption(**named())["encryptionConfiguration"] == sealed
    lake.delete_table_bucket_encryption(tableBucketARN=ARN)
    plain = lake.get_table_bucket_encryption(tableBucketARN=ARN)["encryptionConfiguration"]
    assert plain == {"sseAlgorithm": "AES256"}
    place = lake.get_table(**named())["metadataLocation"].removeprefix("s3://")
    bucket, _, path = place.partition("/")
    head = client("s3").head_object(Bucket=bucket, Key=path)
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)
    lake.tag_resource(resourceArn=ARN, tags={"a": "1", "b": "2"})
    lake.untag_resource(resourceArn=ARN, tagKeys=["a"])
    assert lake.list_tags_for_resource(resourceArn=ARN)["tags"] == {"b": "2"}
    tiered = {"storageClass": "INTELLIGENT_TIERING"}
    lake.put_table_bucket_storage_class(tableBucketARN=ARN, storageClassConfiguration=tiered)
    make(lake, "u")
    assert lake.get_table_storage_class(**named("u"))["storageClassConfiguration"] == tiered
    with pytest.raises(ClientError) as caught:
        lake.put_table_bucket_encryption(
            tableBucketARN=ARN, encryptionConfiguration={"sseAlgorithm": "aws:kms"}
        )
    assert code(caught)[0] == "BadRequestException"
    with pytest.raises(ClientError) as caught:
        lake.get_table_replication(tableArn=f"{ARN}/table/x")
    assert code(caught)[:2] == ("NotImplemented", 501)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_table_is_kept_in_order_every_day(lake: Any, client: Any, platform: Any) -> None:
    """Small files are joined, snapshots older than was said go with what only they named, stray files after 13 days."""
    pytest.importorskip("pyiceberg")
    import pyarrow as pa
    from iceberg_reading import loaded

    arn, s3 = make(lake)["tableARN"], client("s3")
    shown = lake.get_table_maintenance_configuration(**named())["configuration"]
    assert shown["icebergSnapshotManagement"]["settings"]["icebergSnapshotManagement"] == {
        "minSnapshotsToKeep": 1, "maxSnapshotAgeHours": 120,
    }  # fmt: skip
    lake.put_table_maintenance_configuration(
        **named(), type="icebergSnapshotManagement",
        value={"status": "enabled", "settings": {"icebergSnapshotManagement": {"maxSnapshotAgeHours": 12}}},
    )  # fmt: skip
    with pytest.raises(ClientError) as caught:
        lake.put_table_maintenance_configuration(
            **named(), type="icebergCompaction",
            value={"settings": {"icebergCompaction": {"strategy": "sort"}}},
        )  # fmt: skip
    assert code(caught)[0] == "NotImplemented"
    table = loaded(lake, s3, arn)
    schema = table.schema().as_arrow()
    for n in range(10):
        table.append(pa.Table.from_pylist([{"id": n, "at": None}], schema=schema))
    other = loaded(lake, s3, arn)
    table.append(pa.Table.from_pylist([{"id": 10, "at": None}], schema=schema))
    with pytest.raises(ClientError) as caught:  # it lost the race, and nothing of it is to be seen
        other.append(pa.Table.from_pylist([{"id": 99, "at": None}], schema=schema))
    assert code(caught)[0] == "ConflictException"
    status = lake.get_table_maintenance_job_status(**named())["status"]
    assert {one["status"] for one in status.values()} == {"Not_Yet_Run"}
    bucket = lake.get_table(**named())["warehouseLocation"].removeprefix("s3://")
    s3.put_object(Bucket=bucket, Key="data/stray.parquet", Body=b"x")

    def day_passes(days: float) -> None:
        before = lake.get_table_maintenance_job_status(**named())["status"]
        cloud = platform.cloud
        platform.run(cloud.db.transact(lambda tx: cloud.clock.advance(tx, days * 86_400 + 1)))
        for _ in range(1000):
            if (now := lake.get_table_maintenance_job_status(**named())["status"]) != before:
                assert {one["status"] for one in now.values()} == {"Successful"}, now
                return
            platform.run(cloud.world.sleep(0.02))
        raise AssertionError("nobody looks after the table")

    day_passes(1)
    found = loaded(lake, s3, arn)
    assert sorted(r["id"] for r in found.scan().to_arrow().to_pylist()) == list(range(11))
    assert len(found.inspect.files()) == 1
    assert len(found.metadata.snapshots) == 2  # of the joining: it deletes, and it adds
    assert s3.head_object(Bucket=bucket, Key="data/stray.parquet")
    day_passes(14)
    with pytest.raises(ClientError) as caught:
        s3.head_object(Bucket=bucket, Key="data/stray.parquet")
    assert code(caught)[:2] == ("404", 404)
    found = loaded(lake, s3, arn)
    assert len(found.metadata.snapshots) == 1
    assert sorted(r["id"] for r in found.scan().to_arrow().to_pylist()) == list(range(11))


class Rest:
    """The Iceberg REST catalog, asked as ``key``; in this process, signed as botocore signs."""

    def __init__(self, platform: Any, key: str = ACCOUNT, secret: str = "test") -> None:
        self.platform, self.key, self.secret = platform, key, secret

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
        from conftest import ENDPOINT, to_http

        raw = (
            b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        )
        request = AWSRequest(method, f"{ENDPOINT}/iceberg/v1/{path}", data=raw)
        SigV4Auth(Credentials(self.key, self.secret), "s3tables", "us-east-1").add_auth(request)
        status, _, answer = self.platform.send(to_http(request.prepare()))
        return status, json.loads(answer) if answer else None


PREFIX = ARN.replace(":", "%3A").replace("/", "%2F")
WANTED = {"name": "made", "schema": {"type": "struct", "fields": [{"id": 0, "name": "a", "type": "long", "required": False}]}}  # fmt: skip


def test_an_engine_attaches_the_bucket_as_a_rest_catalog(lake: Any, platform: Any) -> None:
    pytest.importorskip("pyiceberg")
    rest = Rest(platform)
    status, config = rest("GET", f"config?warehouse={PREFIX}")
    assert (status, config["overrides"]["prefix"]) == (200, PREFIX)
    assert rest("GET", f"{PREFIX}/namespaces") == (200, {"namespaces": [["raw"]]})
    status, made = rest("POST", f"{PREFIX}/namespaces/raw/tables", WANTED)
    assert status == 200, made
    assert made["metadata"]["location"] == lake.get_table(**named("made"))["warehouseLocation"]
    assert made["metadata"]["schemas"][0]["fields"][0]["id"] == 1  # ids are given out anew
    commit = {
        "requirements": [{"type": "assert-table-uuid", "uuid": made["metadata"]["table-uuid"]}],
        "updates": [{"action": "set-properties", "updates": {"owner": "ann"}}],
    }
    table = f"{PREFIX}/namespaces/raw/tables/made"
    status, answer = rest("POST", table, commit)
    assert (status, answer["metadata"]["properties"]) == (200, {"owner": "ann"})
    commit["requirements"][0]["uuid"] = "0b5e1c5a-0000-4000-8000-000000000000"
    status, answer = rest("POST", table, commit)
    assert (status, answer["error"]["type"]) == (409, "CommitFailedException")
    moved = {"requirements": [], "updates": [{"action": "set-location", "location": "s3://mine/x"}]}
    assert rest("POST", table, moved)[0] == 400
    assert rest("HEAD", table)[0] == 204
    assert rest("GET", f"{PREFIX}/namespaces/raw/tables")[1]["identifiers"] == [
        {"namespace": ["raw"], "name": "made"}
    ]
    assert rest("DELETE", table)[0] == 400
    assert rest("DELETE", f"{table}?purgeRequested=true")[0] == 204
    assert rest("GET", table)[1]["error"]["type"] == "NoSuchTableException"


def test_what_the_rest_catalog_refuses(lake: Any, client: Any, platform: Any) -> None:
    rest, tables = Rest(platform), f"{PREFIX}/namespaces/raw/tables"
    for asked, wanted in (
        (("POST", tables, {**WANTED, "stage-create": True}), 501),
        (("GET", f"{PREFIX}/namespaces/raw/views"), 501),
        (("POST", tables, b"{"), 400),
        (("POST", tables, b"[]"), 400),
        (("POST", f"{PREFIX}/namespaces", {}), 400),
        (("POST", tables, {}), 400),
        (("POST", f"{PREFIX}/tables/rename", {"source": {}}), 400),
        (("POST", f"{PREFIX}/namespaces", {"namespace": ["a", "b"]}), 400),
        (("POST", f"{PREFIX}/namespaces", {"namespace": ["raw"]}), 409),
        (("GET", f"{PREFIX}/namespaces/none"), 404),
        (("GET", "config?warehouse=nothing"), 400),
    ):
        status, answer = rest(*asked)
        assert (status, answer["error"]["code"]) == (wanted, wanted), (asked, answer)
    assert Rest(platform, secret="wrong")("GET", tables)[0] == 403
    client("iam").create_user(UserName="ann")
    keys = client("iam").create_access_key(UserName="ann")["AccessKey"]
    ann = Rest(platform, keys["AccessKeyId"], keys["SecretAccessKey"])
    status, answer = ann("GET", tables)
    assert (status, answer["error"]["type"]) == (403, "ForbiddenException")
