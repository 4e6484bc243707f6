"""A cloud whose log is on a bucket: durable there and nowhere else, shared by servers that come and go."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from live.server_process import ServerProcess

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """An S3-compatible store with create-only PUT: ourselves, on a folder."""
    store = ServerProcess(str(tmp_path / "store"))
    store.client("s3").create_bucket(Bucket="logs")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    yield f"s3://logs/cloud?endpoint={store.endpoint}"
    store.kill()


class OnBucket(ServerProcess):
    """A server of a shared log with a view folder of its own."""

    def __init__(self, url, views):
        self.views = str(views)
        super().__init__(url)

    def start(self):
        os.environ["STRATOLITE_VIEWS"] = self.views
        os.makedirs(self.views, exist_ok=True)
        self.stderr_path = f"{self.views}/stderr"
        super().start()


def test_what_is_on_the_bucket_outlives_every_server(bucket, tmp_path):
    """The first server's folder is deleted after kill -9; a second machine finds items, small and large objects."""
    first = OnBucket(bucket, tmp_path / "one")
    first.client("s3").create_bucket(Bucket="photos")
    large = os.urandom(3 << 20)
    first.client("s3").put_object(Bucket="photos", Key="small", Body=b"x" * 1000)
    first.client("s3").put_object(Bucket="photos", Key="large", Body=large)
    key = (
        first.client("iam").create_user(UserName="ann")
        and first.client("iam").create_access_key(UserName="ann")["AccessKey"]
    )
    first.kill()
    shutil.rmtree(tmp_path / "one")
    second = OnBucket(bucket, tmp_path / "two")
    try:
        s3 = second.client("s3")
        assert s3.get_object(Bucket="photos", Key="small")["Body"].read() == b"x" * 1000
        assert s3.get_object(Bucket="photos", Key="large")["Body"].read() == large
        listed = second.client("iam").list_access_keys(UserName="ann")["AccessKeyMetadata"]
        assert [k["AccessKeyId"] for k in listed] == [key["AccessKeyId"]]
    finally:
        second.kill()


def test_two_servers_on_one_bucket_count_together(bucket, tmp_path):
    """Lost races run again: no increment is lost and none is done twice."""
    servers = [OnBucket(bucket, tmp_path / name) for name in ("one", "two")]
    try:
        servers[0].client("dynamodb").create_table(
            TableName="counts",
            AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )

        # Another server's commits are read within its look at the tail; writes are always validated against them.
        servers[1].client("dynamodb").get_waiter("table_exists").wait(
            TableName="counts", WaiterConfig={"Delay": 1}
        )

        def count(server):
            dynamodb = server.client("dynamodb", retries={"total_max_attempts": 8})
            for _ in range(15):
                dynamodb.update_item(
                    TableName="counts",
                    Key={"k": {"S": "n"}},
                    UpdateExpression="ADD n :one",
                    ExpressionAttributeValues={":one": {"N": "1"}},
                )

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(count, servers * 2))
        for server in servers:
            seen = server.client("dynamodb", retries={"total_max_attempts": 8}).update_item(
                TableName="counts",
                Key={"k": {"S": "n"}},
                UpdateExpression="SET seen = :yes",
                ExpressionAttributeValues={":yes": {"BOOL": True}},
                ReturnValues="ALL_NEW",
            )
            assert seen["Attributes"]["n"]["N"] == "60"
    finally:
        for server in servers:
            server.kill()
