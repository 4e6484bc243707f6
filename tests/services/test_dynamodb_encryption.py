"""Tables under KMS keys: what is on disk, who may read and write, keys that are changed, switched off and deleted.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from eventing import ACCOUNT, advance, user_client

from stratolite.core import Keyspace
from stratolite.services.dynamodb import recasting, sealing, state

SECRET = "the-value-nobody-may-read"
HASHED = "partition-key-in-clear"
MANAGED = "alias/aws/dynamodb"
ON = {"Enabled": True, "SSEType": "KMS"}
OFF = {"Enabled": False}


@pytest.fixture
def db(client: Any) -> Any:
    return client("dynamodb")


@pytest.fixture
def key(client: Any) -> str:
    return new_key(client)


def new_key(client: Any) -> str:
    return client("kms").create_key()["KeyMetadata"]["Arn"]


def create(db: Any, name: str = "table", **more: Any) -> Any:
    def element(name: str, kind: str) -> dict[str, str]:
        return {"AttributeName": name, "KeyType": kind}

    every = {"Projection": {"ProjectionType": "ALL"}}
    some = {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["v"]}
    made = db.create_table(
        TableName=name,
        KeySchema=[element("pk", "HASH"), element("sk", "RANGE")],
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("pk", "sk", "g")],
        BillingMode="PAY_PER_REQUEST",
        GlobalSecondaryIndexes=[{"IndexName": "by-g", "KeySchema": [element("g", "HASH")], **every}],
        LocalSecondaryIndexes=[
            {"IndexName": "by-l", "KeySchema": [element("pk", "HASH"), element("g", "RANGE")], "Projection": some}
        ],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        **more,
    )  # fmt: skip
    return made["TableDescription"]


def under(key: str) -> dict[str, Any]:
    return {"SSESpecification": {**ON, "KMSMasterKeyId": key}}


def item(i: int, value: str = SECRET) -> dict[str, Any]:
    return {"pk": {"S": HASHED}, "sk": {"S": f"{i:04d}"}, "g": {"S": f"g{i % 3}"}, "v": {"S": f"{value}-{i}"}}  # fmt: skip


def large(i: int) -> dict[str, Any]:
    """An item that lies in pieces, where ``small_pieces`` is."""
    return item(i) | {"n": {"S": "n" * 2500}}


@pytest.fixture
def small_pieces(monkeypatch: Any) -> None:
    """Values are put into pieces beyond 1,000 bytes, not beyond a megabyte."""
    monkeypatch.setattr(state, "VALUE_SIZE_BYTES_MAX", 1000)
    monkeypatch.setattr(state, "_PIECE", 999)
    monkeypatch.setattr(state, "_ONE_SIZE_BYTES_MAX", 1000 - sealing.OVERHEAD_BYTES)


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.02)


def described(db: Any, name: str = "table") -> Any:
    return db.describe_table(TableName=name)["Table"]


def settled(db: Any, name: str = "table") -> Any:
    eventually(lambda: described(db, name)["TableStatus"] == "ACTIVE")
    return described(db, name)


def everything(db: Any, name: str = "table", **how: Any) -> list[Any]:
    pages = db.get_paginator("scan").paginate(TableName=name, **how)
    return sorted((i for page in pages for i in page["Items"]), key=lambda i: i["sk"]["S"])


def records(client: Any, arn: str, streams: Any = None) -> list[Any]:
    streams = streams or client("dynamodbstreams")
    found = []
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        at = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while at:
            page = streams.get_records(ShardIterator=at)
            found += page["Records"]
            at = page.get("NextShardIterator") if page["Records"] else None
    return found


def stored(platform: Any, *, values_only: bool = True) -> bytes:
    async def rows() -> bytes:
        found = await platform.cloud.db.transact(lambda tx: list(tx.scan((b"", b"\xff"))))
        return b"".join(value if values_only else key + value for key, value in found)

    return platform.run(rows())


def on_disk(folder: str) -> bytes:
    found = []
    for at, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(at, name), "rb") as file:
                found.append(file.read())
    return b"".join(found)


def refused(code: str, call: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**request)
    assert caught.value.response["Error"]["Code"] == code, caught.value
    return caught.value.response["Error"]["Message"]


def with_recovery(db: Any, name: str = "table") -> None:
    recovery = {"PointInTimeRecoveryEnabled": True}
    db.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=recovery)


@pytest.mark.usefixtures("small_pieces")
def test_no_value_is_on_disk_in_clear(platform: Any, client: Any, db: Any, key: str) -> None:
    """Items, rows of both kinds of index, the past, stream records, a backup: in log, store, snapshots and blobs.

    What keys are is still there: rows are found and sorted by them (the front page says so).
    """
    create(db, **under(key))
    create(db, "plain")
    for name, value in (("table", SECRET), ("plain", "control")):
        with_recovery(db, name)
        for _ in range(2):
            for i in range(20):
                db.put_item(TableName=name, Item=item(i, value))
        db.put_item(TableName=name, Item=large(90) | {"v": {"S": value}})
        backup = db.create_backup(TableName=name, BackupName="backup")["BackupDetails"]["BackupArn"]
        eventually(
            lambda backup=backup: (
                db.describe_backup(BackupArn=backup)["BackupDescription"]["BackupDetails"]["BackupStatus"] == "AVAILABLE"
            )
        )  # fmt: skip
    assert everything(db) == [*(item(i) for i in range(20)), large(90) | {"v": {"S": SECRET}}]
    assert SECRET.encode() not in stored(platform)
    assert b"control" in stored(platform)
    platform.run(platform.cloud.keeper.snapshot())
    platform.run(platform.cloud.close())
    held = on_disk(platform.folder)
    platform._open()
    assert SECRET.encode() not in held
    assert b"control" in held
    assert HASHED.encode() in held
    assert len(everything(db)) == 21


@pytest.mark.usefixtures("small_pieces")
def test_a_table_under_a_key_reads_and_writes_as_any_other(client: Any, db: Any, key: str) -> None:
    """Queries both ways, indexes, filters, projections, batches, transactions, PartiQL, the stream."""
    arn = create(db, **under(key))["LatestStreamArn"]
    create(db, "plain")
    answers = []
    for name in ("table", "plain"):
        puts = [{"PutRequest": {"Item": item(i)}} for i in range(25)]
        db.batch_write_item(RequestItems={name: puts})
        db.put_item(TableName=name, Item=large(7))
        db.update_item(
            TableName=name, Key={"pk": {"S": HASHED}, "sk": {"S": "0003"}}, UpdateExpression="SET v = :v",
            ConditionExpression="begins_with(v, :s)",
            ExpressionAttributeValues={":v": {"S": "new"}, ":s": {"S": SECRET}},
        )  # fmt: skip
        db.delete_item(TableName=name, Key={"pk": {"S": HASHED}, "sk": {"S": "0004"}})
        db.transact_write_items(
            TransactItems=[
                {"Put": {"TableName": name, "Item": item(40)}},
                {"Delete": {"TableName": name, "Key": {"pk": {"S": HASHED}, "sk": {"S": "0005"}}}},
            ]
        )
        db.execute_statement(
            Statement=f"UPDATE \"{name}\" SET v = 'ql' WHERE pk = '{HASHED}' AND sk = '0006'"
        )
        of = {"KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": {"S": HASHED}}}  # fmt: skip
        by_g = {"KeyConditionExpression": "g = :g", "ExpressionAttributeValues": {":g": {"S": "g1"}}}  # fmt: skip
        answer = [
            db.query(TableName=name, ScanIndexForward=False, Limit=5, **of)["Items"],
            db.query(TableName=name, IndexName="by-g", Limit=4, **by_g)["Items"],
            db.query(
                TableName=name,
                IndexName="by-l",
                Select="ALL_ATTRIBUTES",
                ReturnConsumedCapacity="INDEXES",
                **of,
            )["Count"],
            db.scan(
                TableName=name, FilterExpression="contains(v, :s)", ProjectionExpression="sk, v",
                ExpressionAttributeValues={":s": {"S": "new"}},
            )["Items"],
            db.batch_get_item(RequestItems={name: {"Keys": [{"pk": {"S": HASHED}, "sk": {"S": "0007"}}]}})["Responses"][name],
            db.transact_get_items(TransactItems=[{"Get": {"TableName": name, "Key": {"pk": {"S": HASHED}, "sk": {"S": "0006"}}}}])["Responses"],
            db.execute_statement(Statement=f"SELECT v FROM \"{name}\" WHERE pk = '{HASHED}' AND sk = '0040'")["Items"],
            described(db, name)["ItemCount"], described(db, name)["TableSizeBytes"],
            everything(db, name),
        ]  # fmt: skip
        answers.append(answer)
    assert answers[0] == answers[1]
    assert answers[0][4] == [large(7)]
    told = records(client, arn)
    assert len(told) == 25 + 1 + 1 + 1 + 2 + 1
    assert told[-1]["dynamodb"]["NewImage"]["v"] == {"S": "ql"}


def test_what_describe_table_says(client: Any, db: Any, key: str) -> None:
    """SSEDescription for keys of KMS; none for AWS's own, of which DynamoDB says nothing."""
    made = create(db, **under(key.rpartition("/")[2]))
    wanted = {"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": key}
    assert made["SSEDescription"] == wanted
    assert described(db)["SSEDescription"] == wanted
    managed = create(db, "managed", SSESpecification={"Enabled": True})["SSEDescription"]
    kms = client("kms")
    about = kms.describe_key(KeyId=MANAGED)["KeyMetadata"]
    assert managed["KMSMasterKeyArn"] == about["Arn"]
    assert about["KeyManager"] == "AWS"
    assert "SSEDescription" not in create(db, "owned", SSESpecification=OFF)
    assert "SSEDescription" not in described(db, "owned")
    (grant,) = kms.list_grants(KeyId=key)["Grants"]
    assert grant["GranteePrincipal"] == "dynamodb.us-east-1.amazonaws.com"
    context = {"aws:dynamodb:tableName": "table", "aws:dynamodb:subscriberId": ACCOUNT}
    assert grant["Constraints"] == {"EncryptionContextSubset": context}
    db.delete_table(TableName="table")
    assert kms.list_grants(KeyId=key)["Grants"] == []


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"Enabled": True, "SSEType": "AES256"}, "The only supported SSEType is KMS"),
        ({"Enabled": False, "KMSMasterKeyId": "k"}, "KMSMasterKeyId cannot be specified"),
        ({**ON, "KMSMasterKeyId": "alias/none"}, "KMS validation error: com.amazonaws.services.kms.model.NotFoundException: Alias "),
        ({**ON, "KMSMasterKeyId": f"arn:aws:kms:us-east-1:{ACCOUNT}:key/00000000-0000-0000-0000-000000000000"}, "does not exist (Service: AWSKMS; Status Code: 400; Error Code: NotFoundException;"),
    ],
)  # fmt: skip
def test_specifications_that_cannot_be_are_refused(db: Any, wanted: Any, message: str) -> None:
    said = refused(
        "ValidationException",
        db.create_table,
        TableName="bad",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        SSESpecification=wanted,
    )
    assert message in said
    assert db.list_tables()["TableNames"] == []


def test_keys_that_are_off_or_of_another_kind_make_no_table(client: Any, db: Any, key: str) -> None:
    """https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html; only symmetric keys, as AWS says."""
    kms = client("kms")
    pair = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    assert "symmetric" in refused("ValidationException", create, db=db, **under(pair))
    kms.disable_key(KeyId=key)
    said = refused("ValidationException", create, db=db, **under(key))
    assert f"DisabledException: {key} is disabled." in said
    assert db.list_tables()["TableNames"] == []
    assert kms.list_grants(KeyId=pair)["Grants"] == []


NEEDED = ("kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*")  # fmt: skip


def test_whoever_chooses_a_key_needs_all_that_dynamodb_needs_of_it(client: Any, key: str) -> None:
    """The list is https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html's."""
    tables = {"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"}
    via = {"StringLike": {"kms:ViaService": "dynamodb.*.amazonaws.com"}}
    ann, iam = user_client(client, "dynamodb", [tables]), client("iam")
    for missing in (*NEEDED, None):
        keys = {
            "Effect": "Allow",
            "Action": [a for a in NEEDED if a != missing],
            "Resource": key,
            "Condition": via,
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [tables, keys]})
        iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=document)
        if missing is None:
            assert create(ann, **under(key))["SSEDescription"]["Status"] == "ENABLED"
        else:
            said = refused("AccessDeniedException", create, db=ann, **under(key))
            assert said.startswith(
                "KMS key access denied error: com.amazonaws.services.kms.model."
            ), missing


def test_who_reads_and_writes_must_be_let_decrypt_by_the_key(client: Any, db: Any, key: str) -> None:  # fmt: skip
    """By way of DynamoDB alone; the account's aws/dynamodb lets everybody who may use DynamoDB.

    https://github.com/aws/aws-cdk/issues/10010: also PutItem needs kms:Decrypt.
    """
    arn = create(db, **under(key))["LatestStreamArn"]
    create(db, "managed", SSESpecification={"Enabled": True})
    db.put_item(TableName="table", Item=item(1))
    tables = {"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"}
    via = {"StringEquals": {"kms:ViaService": "dynamodb.us-east-1.amazonaws.com"}}
    may = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": key, "Condition": via}
    ann, bob = (
        user_client(client, "dynamodb", s, n)
        for n, s in (("ann", [tables]), ("bob", [tables, may]))
    )
    where = {"TableName": "table", "Key": {"pk": {"S": HASHED}, "sk": {"S": "0001"}}}
    for _ in range(2):  # what bob may is not remembered for ann
        assert bob.get_item(**where)["Item"] == item(1)
        said = refused("AccessDeniedException", ann.get_item, **where)
        assert said.startswith("KMS key access denied error: com.amazonaws.services.kms.model.AWSKMSException")  # fmt: skip
    for call, request in (
        (ann.put_item, {"TableName": "table", "Item": item(2)}),
        (ann.delete_item, where),
        (ann.scan, {"TableName": "table"}),
        (ann.batch_write_item, {"RequestItems": {"table": [{"PutRequest": {"Item": item(2)}}]}}),
        (ann.transact_write_items, {"TransactItems": [{"Put": {"TableName": "table", "Item": item(2)}}]}),
        (ann.execute_statement, {"Statement": f"SELECT * FROM \"table\" WHERE pk = '{HASHED}'"}),
    ):  # fmt: skip
        refused("AccessDeniedException", call, **request)
    assert ann.describe_table(TableName="table")["Table"]["TableStatus"] == "ACTIVE"
    ann.put_item(TableName="managed", Item=item(2))
    assert ann.get_item(TableName="managed", Key={"pk": {"S": HASHED}, "sk": {"S": "0002"}})["Item"] == item(2)  # fmt: skip
    assert len(everything(db)) == 1
    iam = client("iam")
    for name, allowed in (("ann", False), ("bob", True)):
        made = iam.create_access_key(UserName=name)["AccessKey"]
        streams = client("dynamodbstreams", key=made["AccessKeyId"], secret=made["SecretAccessKey"])
        if allowed:
            assert len(records(client, arn, streams)) == 1
        else:
            with pytest.raises(ClientError, match="KMS key access denied error"):
                records(client, arn, streams)


def test_a_key_that_is_off_shuts_the_table_within_five_minutes(
    platform: Any, client: Any, db: Any, key: str
) -> None:
    """And says so: INACCESSIBLE_ENCRYPTION_CREDENTIALS, since when; what is switched on again is there again.

    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_SSEDescription.html
    """
    kms = client("kms")
    create(db, **under(key))
    db.put_item(TableName="table", Item=item(1))
    where = {"TableName": "table", "Key": {"pk": {"S": HASHED}, "sk": {"S": "0001"}}}
    kms.disable_key(KeyId=key)
    assert db.get_item(**where)["Item"] == item(1)
    advance(platform, 301)
    assert f"{key} is disabled." in refused("ValidationException", db.get_item, **where)
    refused("ValidationException", db.put_item, TableName="table", Item=item(2))
    told = described(db)
    assert told["TableStatus"] == "INACCESSIBLE_ENCRYPTION_CREDENTIALS"
    since = told["SSEDescription"]["InaccessibleEncryptionDateTime"]
    advance(platform, 60)
    assert described(db)["SSEDescription"]["InaccessibleEncryptionDateTime"] == since
    kms.enable_key(KeyId=key)
    assert described(db)["TableStatus"] == "ACTIVE"
    assert "InaccessibleEncryptionDateTime" not in described(db)["SSEDescription"]
    assert db.get_item(**where)["Item"] == item(1)
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    advance(platform, 8 * 86_400)
    assert "NotFoundException" in refused("ValidationException", db.get_item, **where)
    assert described(db)["TableStatus"] == "INACCESSIBLE_ENCRYPTION_CREDENTIALS"
    db.delete_table(TableName="table")
    assert db.list_tables()["TableNames"] == []


@pytest.mark.usefixtures("small_pieces")
def test_a_live_table_goes_under_a_key_and_back(
    platform: Any, client: Any, db: Any, key: str, monkeypatch: Any
) -> None:
    """While it is written to, across a restart: nothing is lost, in the end all values are of one form; items in pieces, too."""
    monkeypatch.setattr(recasting, "SLICE_COUNT", 7)
    arn = create(db)["LatestStreamArn"]
    with_recovery(db)
    wanted = {}
    for i in range(0, 100, 25):
        puts = [{"PutRequest": {"Item": item(n)}} for n in range(i, i + 25)]
        db.batch_write_item(RequestItems={"table": puts})
        wanted |= {n: item(n) for n in range(i, i + 25)}
    wanted[900] = large(900)
    db.put_item(TableName="table", Item=wanted[900])
    db.delete_item(TableName="table", Key={"pk": {"S": HASHED}, "sk": {"S": "0099"}})
    del wanted[99]
    told = len(records(client, arn))
    for specification in (under(key)["SSESpecification"], OFF):
        answer = db.update_table(TableName="table", SSESpecification=specification)
        assert answer["TableDescription"]["SSEDescription"]["Status"] == "UPDATING"
        stop = threading.Event()

        def write(stop: threading.Event = stop) -> None:
            at = 500
            while not stop.is_set():
                wanted[at] = item(at)
                db.put_item(TableName="table", Item=wanted[at])
                at = 500 + (at - 499) % 20

        writer = threading.Thread(target=write)
        writer.start()
        eventually(lambda: 510 in wanted)
        stop.set()
        writer.join(60)
        platform.reopen()
        assert everything(db) == [wanted[i] for i in sorted(wanted)]
        table = settled(db)
        is_on = specification is not OFF
        assert ("SSEDescription" in table) is is_on
        assert everything(db) == [wanted[i] for i in sorted(wanted)]
        by_g = everything(db, IndexName="by-g")
        assert by_g == [wanted[i] for i in sorted(wanted)]
        assert (SECRET.encode() in stored(platform)) is not is_on
        assert forms(platform) == {0x03 if is_on else 0x7B}
        assert table["ItemCount"] == len(wanted)
        assert len(records(client, arn)) > told
    assert client("kms").list_grants(KeyId=key)["Grants"] == []


def forms(platform: Any) -> set[int]:
    """The first bytes of all values of items, index rows, past and stream, without pieces."""

    async def look() -> set[int]:
        def first(tx: Any) -> set[int]:
            found = set()
            space = Keyspace(ACCOUNT, "us-east-1", "dynamodb")
            for kind in ("item", "index", "past", "change"):
                before = len(found)
                for row, raw in tx.scan((space.key(kind), space.key(kind) + b"\xff")):
                    if raw and raw[0] != state.PART:
                        found.add(state._joined(tx, row, raw)[0])
                assert found or before, kind
            return found

        return await platform.cloud.db.transact(first)

    return platform.run(look())


def test_changes_while_one_is_under_way_and_changes_of_nothing_are_refused(
    platform: Any, client: Any, db: Any, key: str
) -> None:
    create(db)
    db.put_item(TableName="table", Item=item(1))
    assert "AWS owned key" in refused("ValidationException", db.update_table, TableName="table", SSESpecification=OFF)  # fmt: skip

    async def both() -> str:
        """In one step of the loop, so that the worker has done nothing in between."""
        call = platform.cloud.call(ACCOUNT, "us-east-1")
        wanted = {"TableName": "table", **under(key)}

        def body(inner: Any) -> str:
            inner.invoke("dynamodb", "UpdateTable", wanted)
            for operation in ("UpdateTable", "DeleteTable"):
                with pytest.raises(Exception, match="Table is being updated") as caught:
                    inner.invoke(
                        "dynamodb", operation, wanted if operation == "UpdateTable" else {"TableName": "table"}
                    )  # fmt: skip
            return str(caught.value.code)

        return await call.transact(body)

    assert platform.run(both()) == "ResourceInUseException"
    settled(db)
    said = refused("ValidationException", db.update_table, TableName="table", **under(key))
    assert said.endswith("Table is already encrypted by given KMSMasterKey")


def test_another_key_needs_the_old_one_no_longer(platform: Any, client: Any, db: Any, key: str) -> None:  # fmt: skip
    """Backups from before still do. "Be sure to keep the original key enabled until the process is complete.\""""
    kms = client("kms")
    create(db, **under(key))
    db.put_item(TableName="table", Item=item(1))
    old = db.create_backup(TableName="table", BackupName="old")["BackupDetails"]["BackupArn"]
    eventually(
        lambda: (
            db.describe_backup(BackupArn=old)["BackupDescription"]["BackupDetails"]["BackupStatus"] == "AVAILABLE"
        )
    )  # fmt: skip
    fresh = new_key(client)
    db.update_table(TableName="table", **under(fresh))
    assert settled(db)["SSEDescription"]["KMSMasterKeyArn"] == fresh
    assert kms.list_grants(KeyId=key)["Grants"] == []
    about = db.describe_backup(BackupArn=old)["BackupDescription"]["SourceTableFeatureDetails"]
    assert about["SSEDescription"]["KMSMasterKeyArn"] == key
    kms.disable_key(KeyId=key)
    advance(platform, 301)
    assert everything(db) == [item(1)]
    wanted = {"TargetTableName": "again", "BackupArn": old}
    assert "disabled" in refused("ValidationException", db.restore_table_from_backup, **wanted)
    kms.enable_key(KeyId=key)
    db.restore_table_from_backup(**wanted)
    assert settled(db, "again")["SSEDescription"]["KMSMasterKeyArn"] == key
    assert everything(db, "again") == [item(1)]


def test_restores_are_under_the_sources_key_or_another(platform: Any, client: Any, db: Any, key: str) -> None:  # fmt: skip
    """From a backup of a table that is gone, and from the past; SSESpecificationOverride says otherwise."""
    kms = client("kms")
    create(db, **under(key))
    with_recovery(db)
    for i in range(30):
        db.put_item(TableName="table", Item=item(i))
    backup = db.create_backup(TableName="table", BackupName="backup")["BackupDetails"]["BackupArn"]
    latest = {"SourceTableName": "table", "UseLatestRestorableTime": True}
    db.restore_table_to_point_in_time(TargetTableName="past", **latest)
    assert settled(db, "past")["SSEDescription"]["KMSMasterKeyArn"] == key
    db.restore_table_to_point_in_time(TargetTableName="open", SSESpecificationOverride=OFF, **latest)  # fmt: skip
    assert "SSEDescription" not in settled(db, "open")
    eventually(
        lambda: (
            db.describe_backup(BackupArn=backup)["BackupDescription"]["BackupDetails"]["BackupStatus"] == "AVAILABLE"
        )
    )  # fmt: skip
    db.delete_table(TableName="table")
    other = new_key(client)
    override = under(other)["SSESpecification"]
    db.restore_table_from_backup(
        TargetTableName="back", BackupArn=backup, SSESpecificationOverride=override
    )
    assert settled(db, "back")["SSEDescription"]["KMSMasterKeyArn"] == other
    for name in ("past", "open", "back"):
        assert everything(db, name) == [item(i) for i in range(30)], name
    assert len(kms.list_grants(KeyId=other)["Grants"]) == 1


def test_what_dynamodb_does_by_itself_goes_on_under_a_key(platform: Any, client: Any, db: Any, key: str) -> None:  # fmt: skip
    """Time to live, an index that is filled later, export and import."""
    create(db, **under(key))
    with_recovery(db)
    for i in range(40):
        due = {"ttl": {"N": str(int(platform.world.cloud()) + 3600)}} if i < 10 else {}
        db.put_item(TableName="table", Item=item(i) | due)
    ttl = {"Enabled": True, "AttributeName": "ttl"}
    db.update_time_to_live(TableName="table", TimeToLiveSpecification=ttl)
    index = {"IndexName": "by-v", "KeySchema": [{"AttributeName": "v", "KeyType": "HASH"}], "Projection": {"ProjectionType": "ALL"}}  # fmt: skip
    db.update_table(
        TableName="table",
        AttributeDefinitions=[{"AttributeName": "v", "AttributeType": "S"}],
        GlobalSecondaryIndexUpdates=[{"Create": index}],
    )
    eventually(
        lambda: all(i["IndexStatus"] == "ACTIVE" for i in described(db)["GlobalSecondaryIndexes"])
    )
    assert len(everything(db, IndexName="by-v")) == 40
    advance(platform, 3700)
    eventually(lambda: described(db)["ItemCount"] == 30)
    s3 = client("s3")
    s3.create_bucket(Bucket="exports")
    arn = db.export_table_to_point_in_time(TableArn=described(db)["TableArn"], S3Bucket="exports")["ExportDescription"]["ExportArn"]  # fmt: skip
    eventually(
        lambda: (
            db.describe_export(ExportArn=arn)["ExportDescription"]["ExportStatus"] == "COMPLETED"
        )
    )
    prefix = f"AWSDynamoDB/{arn.rpartition('/')[2]}/data/"
    made = db.import_table(
        S3BucketSource={"S3Bucket": "exports", "S3KeyPrefix": prefix},
        InputFormat="DYNAMODB_JSON",
        InputCompressionType="GZIP",
        TableCreationParameters={
            "TableName": "imported",
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            "AttributeDefinitions": [{"AttributeName": n, "AttributeType": "S"} for n in ("pk", "sk")],
            "BillingMode": "PAY_PER_REQUEST",
            **under(key),
        },
    )["ImportTableDescription"]["ImportArn"]  # fmt: skip
    eventually(
        lambda: (
            db.describe_import(ImportArn=made)["ImportTableDescription"]["ImportStatus"]
            == "COMPLETED"
        )
    )
    assert everything(db, "imported") == [item(i) for i in range(10, 40)]
    assert described(db, "imported")["SSEDescription"]["KMSMasterKeyArn"] == key
    values = stored(platform)
    assert SECRET.encode() not in values


def test_replicas_are_under_keys_of_their_regions(client: Any, db: Any, key: str) -> None:
    """All AWS managed or all the customer's; each replica names its own of these.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/globaltables-security.html
    """
    west = client("dynamodb", region="us-west-2")
    there = client("kms", region="us-west-2").create_key()["KeyMetadata"]["Arn"]
    create(db, **under(key))
    db.put_item(TableName="table", Item=item(1))
    wanted = {"TableName": "table", "ReplicaUpdates": [{"Create": {"RegionName": "us-west-2"}}]}
    assert "KMSMasterKeyId must be specified" in refused("ValidationException", db.update_table, **wanted)  # fmt: skip
    wanted["ReplicaUpdates"][0]["Create"]["KMSMasterKeyId"] = there
    db.update_table(**wanted)
    eventually(
        lambda: all(r["ReplicaStatus"] == "ACTIVE" for r in described(db).get("Replicas", ()))
    )
    assert described(west)["SSEDescription"]["KMSMasterKeyArn"] == there
    assert described(db)["Replicas"][0]["KMSMasterKeyId"] == there
    assert everything(west) == [item(1)]
    west.put_item(TableName="table", Item=item(2))
    eventually(lambda: everything(db) == [item(1), item(2)])
    fresh = new_key(client)
    assert "us-west-2" in refused("ValidationException", db.update_table, TableName="table", **under(fresh))  # fmt: skip
    newer = client("kms", region="us-west-2").create_key()["KeyMetadata"]["Arn"]
    update = [{"Update": {"RegionName": "us-west-2", "KMSMasterKeyId": newer}}]
    db.update_table(TableName="table", ReplicaUpdates=update, **under(fresh))
    keys = [settled(d)["SSEDescription"]["KMSMasterKeyArn"] for d in (db, west)]
    assert keys == [fresh, newer]
    db.update_table(TableName="table", SSESpecification=OFF)
    for one in (db, west):
        assert "SSEDescription" not in settled(one)
        assert everything(one) == [item(1), item(2)]


def test_a_sealed_value_opens_nowhere_else(platform: Any, db: Any, key: str) -> None:
    """The place is authenticated: who writes to the disk cannot give one row another's value."""
    create(db, **under(key))
    for i in (1, 2):
        db.put_item(TableName="table", Item=item(i))

    async def swap() -> None:
        def body(tx: Any) -> None:
            space = Keyspace(ACCOUNT, "us-east-1", "dynamodb")
            (one, first), (two, second) = tx.scan((space.key("item"), space.key("item") + b"\xff"))
            tx.put(one, second)
            tx.put(two, first)

        await platform.cloud.db.transact(body)

    platform.run(swap())
    with pytest.raises(ClientError) as caught:
        db.get_item(TableName="table", Key={"pk": {"S": HASHED}, "sk": {"S": "0001"}})
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500


def test_no_nonce_comes_twice() -> None:
    """However many values, transactions run again or seals there are of one data key."""
    tokens = iter(bytes((n,)) * 12 for n in range(200))
    one, two = (sealing.Seal(bytes(32), lambda _: next(tokens), seals=True) for _ in range(2))
    one.close(b"place", b"")
    one._number = (1 << 32) - 3
    sealed = [one.close(b"place", b"x") for _ in range(5)] + [
        two.close(b"place", b"x") for _ in range(5)
    ]
    assert len({value[:17] for value in sealed}) == 10
    assert [two.open(b"place", value) for value in sealed] == [b"x"] * 10
    with pytest.raises(sealing.Damaged):
        two.open(b"other", sealed[0])


def test_what_was_sealed_opens_for_ever() -> None:
    """A file that is never made again."""
    with open(os.path.join(os.path.dirname(__file__), "../golden/dynamodb-sealed.json")) as file:
        golden = json.load(file)
    seal = sealing.Seal(bytes.fromhex(golden["data key"]), os.urandom, seals=True)
    place = bytes.fromhex(golden["place"])
    opened = [seal.open(place, bytes.fromhex(value)).decode() for value in golden["sealed"]]
    assert opened == [golden["plain"]] * 2


def test_tables_of_no_key_pay_nothing_for_it(platform: Any, db: Any) -> None:
    """KMS is not asked, no key is made, no more rows are read: what is stored is what it was."""
    create(db)
    db.put_item(TableName="table", Item=item(1))
    assert json.dumps(item(1), separators=(",", ":")).encode() in stored(platform)
    assert b"aws/dynamodb" not in stored(platform, values_only=False)
