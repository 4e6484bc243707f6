"""boto3 over a real socket: what urllib3 sends (100-continue, chunked, keep-alive) meets our server."""

from __future__ import annotations

import concurrent.futures
import io
import json
import os
import socket
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from stratolite.gateway.listener import serve


@pytest.fixture
def connect(platform) -> Iterator[Any]:
    """A boto3 client over 127.0.0.1."""
    server = platform.run(serve(platform.app, "127.0.0.1", 0))
    made = []

    def make(service: str, secret: str = "test", **config: Any) -> Any:
        client = boto3.client(
            service,
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{server.port}",
            aws_access_key_id="test",
            aws_secret_access_key=secret,
            config=Config(retries={"total_max_attempts": 1}, **config),
        )
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()
    platform.run(server.close(graceful=False))


def test_objects_of_any_size_go_both_ways(connect) -> None:
    s3 = connect("s3")
    s3.create_bucket(Bucket="bucket")
    for size in (0, 1, 65_536, 65_537, 1_000_000, 20_000_000):
        content = os.urandom(size)
        s3.put_object(Bucket="bucket", Key="k", Body=content)
        assert s3.head_object(Bucket="bucket", Key="k")["ContentLength"] == size
        got = s3.get_object(Bucket="bucket", Key="k")["Body"].read()
        assert got == content
        if size > 100:
            part = s3.get_object(Bucket="bucket", Key="k", Range="bytes=50-99")["Body"].read()
            assert part == content[50:100]
    s3.upload_fileobj(io.BytesIO(content), "bucket", "multipart")
    assert s3.get_object(Bucket="bucket", Key="multipart")["Body"].read() == content
    s3.delete_object(Bucket="bucket", Key="k")
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket="bucket", Key="k")


def test_many_clients_at_once_are_answered_each_their_own(connect) -> None:
    dynamodb = connect("dynamodb", max_pool_connections=20)
    dynamodb.create_table(
        TableName="table",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.get_waiter("table_exists").wait(TableName="table")

    def both(number: int) -> bool:
        key = {"id": {"S": f"k{number}"}}
        dynamodb.put_item(TableName="table", Item=key | {"v": {"N": str(number)}})
        item = dynamodb.get_item(TableName="table", Key=key, ConsistentRead=True)["Item"]
        return item["v"]["N"] == str(number)

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert all(pool.map(both, range(300)))


@pytest.mark.parametrize("patient", [True, False])
def test_a_refused_upload_ends_in_its_error_not_in_a_broken_pipe(connect, patient) -> None:
    """Whether the client waits for 100 Continue or sends its megabytes at once."""
    connect("s3").create_bucket(Bucket="bucket")
    s3 = connect("s3", secret="wrong")
    if not patient:
        s3.meta.events.register(
            "before-send", lambda request, **_: request.headers.__delitem__("Expect")
        )
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        s3.put_object(Bucket="bucket", Key="k", Body=os.urandom(20_000_000))


@pytest.fixture
def raw(platform) -> Iterator[Any]:
    """Bytes sent to the server, and what it says until it has said nothing for a while or closed."""
    server = platform.run(serve(platform.app, "127.0.0.1", 0))

    def open_one() -> socket.socket:
        return socket.create_connection(("127.0.0.1", server.port), timeout=10)

    open_one.port = server.port  # type: ignore[attr-defined]
    yield open_one
    platform.run(server.close(graceful=False))


def head_of(port: int, body: bytes, key: str = "test", secret: str = "test") -> bytes:
    url = f"http://127.0.0.1:{port}/bucket/key"
    made = AWSRequest("PUT", url, data=body, headers={"Expect": "100-continue"})
    S3SigV4Auth(Credentials(key, secret), "s3", "us-east-1").add_auth(made)
    headers = dict(made.prepare().headers) | {"Host": f"127.0.0.1:{port}"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"PUT /bucket/key HTTP/1.1\r\n{lines}\r\n".encode()


def first_word(connection: socket.socket) -> bytes:
    said = b""
    while not said.endswith(b"\r\n\r\n"):
        said += connection.recv(1)
    return said


def test_a_body_of_a_known_kind_is_asked_for_from_who_may_send_it(connect, raw, platform) -> None:
    """The stencil of a head says nothing of its signature, nor of what its signer may do by now."""
    connect("s3").create_bucket(Bucket="bucket")
    iam = connect("iam")
    iam.create_user(UserName="writer")
    may = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": may})
    iam.put_user_policy(UserName="writer", PolicyName="p", PolicyDocument=document)
    made = iam.create_access_key(UserName="writer")["AccessKey"]
    keys = (made["AccessKeyId"], made["SecretAccessKey"])
    body = b"x" * 100
    with raw() as connection:
        for _ in range(3):
            connection.sendall(head_of(raw.port, body, *keys))
            assert first_word(connection) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(body)
            assert first_word(connection).startswith(b"HTTP/1.1 200 ")
    assert any(way.expects for ways in platform.app.ways._known.values() for way in ways)
    wrong = head_of(raw.port, body, *keys)
    at = wrong.index(b"Signature=") + 10
    wrong = wrong[:at] + bytes([wrong[at] ^ 1]) + wrong[at + 1 :]
    with raw() as connection:
        connection.sendall(wrong)
        assert first_word(connection).startswith(b"HTTP/1.1 403 ")
    iam.delete_user_policy(UserName="writer", PolicyName="p")
    with raw() as connection:
        connection.sendall(head_of(raw.port, body, *keys))
        assert first_word(connection).startswith(b"HTTP/1.1 403 ")
