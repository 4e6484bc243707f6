"""DynamoDB through the clients people use, over a real socket: the aws CLI, boto3's resources, PynamoDB; more in `make conformance`.

``STRATOLITE_CLIENTS`` names a folder in which `make conformance` has put aioboto3 (in a ``venv``) and dynamodb-toolbox and
ElectroDB (in ``node_modules``).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest
from boto3.dynamodb.conditions import Attr, Key
from live.server_process import ServerProcess

HERE = Path(__file__).parent
CLIENTS = os.environ.get("STRATOLITE_CLIENTS", "")
DEFAULTS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    made = ServerProcess(str(tmp_path_factory.mktemp("clients") / "cloud"))
    yield made
    made.stop()


def environment(server: ServerProcess) -> dict[str, str]:
    return (
        os.environ | DEFAULTS | {"AWS_ENDPOINT_URL": server.endpoint, "ENDPOINT": server.endpoint}
    )


def test_the_aws_cli_works(server: ServerProcess) -> None:
    """https://docs.aws.amazon.com/cli/latest/reference/dynamodb/"""

    def aws(*words: str) -> Any:
        command = [str(Path(sys.executable).parent / "aws"), *words]
        done = subprocess.run(
            command, env=environment(server), capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else {}

    aws(
        "dynamodb", "create-table", "--table-name", "cli", "--billing-mode", "PAY_PER_REQUEST",
        "--key-schema", "AttributeName=pk,KeyType=HASH", "--attribute-definitions", "AttributeName=pk,AttributeType=S",
        "--stream-specification", "StreamEnabled=true,StreamViewType=NEW_IMAGE",
    )  # fmt: skip
    aws("dynamodb", "wait", "table-exists", "--table-name", "cli")
    aws(
        "dynamodb",
        "put-item",
        "--table-name",
        "cli",
        "--item",
        '{"pk": {"S": "a"}, "n": {"N": "1.50"}}',
    )
    got = aws("dynamodb", "get-item", "--table-name", "cli", "--key", '{"pk": {"S": "a"}}')
    assert got["Item"] == {"pk": {"S": "a"}, "n": {"N": "1.5"}}
    assert aws("dynamodb", "execute-statement", "--statement", "SELECT n FROM cli WHERE pk = 'a'")[
        "Items"
    ]
    (stream,) = aws("dynamodbstreams", "list-streams", "--table-name", "cli")["Streams"]
    shards = aws("dynamodbstreams", "describe-stream", "--stream-arn", stream["StreamArn"])
    shard = shards["StreamDescription"]["Shards"][0]["ShardId"]
    iterator = aws(
        "dynamodbstreams", "get-shard-iterator", "--stream-arn", stream["StreamArn"], "--shard-id", shard,
        "--shard-iterator-type", "TRIM_HORIZON",
    )["ShardIterator"]  # fmt: skip
    assert len(aws("dynamodbstreams", "get-records", "--shard-iterator", iterator)["Records"]) == 1


def test_boto3s_resources_work(server: ServerProcess) -> None:
    """https://boto3.amazonaws.com/v1/documentation/api/latest/guide/dynamodb.html"""
    session = boto3.Session("test", "test", region_name="us-east-1")
    dynamodb = session.resource("dynamodb", endpoint_url=server.endpoint)
    table = dynamodb.create_table(
        TableName="users",
        KeySchema=[
            {"AttributeName": "username", "KeyType": "HASH"},
            {"AttributeName": "last_name", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "username", "AttributeType": "S"},
            {"AttributeName": "last_name", "AttributeType": "S"},
        ],
        ProvisionedThroughput={"ReadCapacityUnits": 5, "WriteCapacityUnits": 5},
    )
    table.wait_until_exists()
    with table.batch_writer() as batch:
        for i in range(50):
            batch.put_item(
                Item={
                    "username": f"user{i % 5}",
                    "last_name": f"n{i:02d}",
                    "age": i,
                    "w": Decimal("0.5"),
                }
            )
    assert table.item_count == 0
    table.reload()
    assert table.item_count == 50
    found = table.query(
        KeyConditionExpression=Key("username").eq("user1") & Key("last_name").begins_with("n1")
    )
    assert [i["last_name"] for i in found["Items"]] == ["n11", "n16"]
    assert table.scan(FilterExpression=Attr("age").lt(3))["Count"] == 3
    key = {"username": "user1", "last_name": "n11"}
    table.update_item(
        Key=key, UpdateExpression="SET age = :v", ExpressionAttributeValues={":v": 26}
    )
    assert table.get_item(Key=key)["Item"]["age"] == 26
    table.delete()
    table.wait_until_not_exists()


def test_pynamodb_works(server: ServerProcess) -> None:
    """https://pynamodb.readthedocs.io/en/stable/"""
    pytest.importorskip("pynamodb")
    from pynamodb.attributes import (
        JSONAttribute,
        NumberAttribute,
        UnicodeAttribute,
        UnicodeSetAttribute,
    )
    from pynamodb.exceptions import PutError
    from pynamodb.indexes import AllProjection, GlobalSecondaryIndex
    from pynamodb.models import Model
    from pynamodb.transactions import TransactWrite

    class ByForum(GlobalSecondaryIndex[Any]):
        class Meta:
            index_name = "by-forum"
            projection = AllProjection()
            billing_mode = "PAY_PER_REQUEST"

        forum = UnicodeAttribute(hash_key=True)

    class Thread(Model):
        class Meta:
            table_name = "Thread"
            host = server.endpoint
            region = "us-east-1"
            aws_access_key_id = "test"
            aws_secret_access_key = "test"
            billing_mode = "PAY_PER_REQUEST"

        name = UnicodeAttribute(hash_key=True)
        subject = UnicodeAttribute(range_key=True)
        forum = UnicodeAttribute(null=True)
        views = NumberAttribute(default=0)
        tags = UnicodeSetAttribute(null=True)
        more = JSONAttribute(null=True)
        by_forum = ByForum()

    Thread.create_table(wait=True)
    with Thread.batch_write() as batch:
        for i in range(30):
            batch.save(
                Thread("t", f"s{i:02d}", forum=f"f{i % 2}", views=i, tags={"a", "b"}, more={"i": i})
            )
    assert [t.subject for t in Thread.query("t", Thread.subject.startswith("s1"), limit=3)] == [
        "s10",
        "s11",
        "s12",
    ]
    assert sum(1 for _ in Thread.by_forum.query("f1")) == 15
    thread = Thread.get("t", "s07")
    thread.update(actions=[Thread.views.set(Thread.views + 1), Thread.tags.delete({"a"})])
    assert (thread.views, thread.tags, thread.more) == (8, {"b"}, {"i": 7})
    with pytest.raises(PutError):
        Thread("t", "s07").save(condition=Thread.name.does_not_exist())
    with TransactWrite(connection=Thread._get_connection().connection) as transaction:
        transaction.delete(Thread("t", "s00"))
        transaction.update(Thread("t", "s01"), actions=[Thread.views.set(100)])
    assert sum(1 for _ in Thread.scan(Thread.views > 20)) == 10


@pytest.mark.parametrize("script", ["dynamodb-toolbox", "electrodb", "aioboto3"])
def test_clients_of_others_work(server: ServerProcess, script: str) -> None:
    """Each script does what its library's guide begins with, and says so."""
    if not CLIENTS:
        pytest.skip("`make conformance` installs them")
    if script == "aioboto3":
        command = [f"{CLIENTS}/venv/bin/python", str(HERE / "clients" / "aioboto3_client.py")]
    else:
        if shutil.which("node") is None:
            pytest.skip("needs node")
        local = Path(CLIENTS) / f"{script}.mjs"
        shutil.copy(HERE / "clients" / f"{script}.mjs", local)
        command = ["node", str(local)]
    done = subprocess.run(
        command, env=environment(server), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip().endswith("ok")
