"""What people use with S3, against a real server: each is skipped where it is not installed.

aioboto3, deltalake, pandas, pyarrow, s3fs by pip (the first and the last bring an older botocore with them); rclone and
s3cmd from Debian.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import threading

import pytest
from live.server_process import ServerProcess

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]
REGION, KEY = "us-east-1", "test"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    server = ServerProcess(str(tmp_path_factory.mktemp("tools") / "data"))
    server.client("s3").create_bucket(Bucket="toolbox")
    yield server.endpoint
    server.stop()


def test_s3fs_and_pandas(endpoint):
    s3fs, pandas = pytest.importorskip("s3fs"), pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    options = {
        "key": KEY,
        "secret": KEY,
        "client_kwargs": {"endpoint_url": endpoint, "region_name": REGION},
    }
    frame = pandas.DataFrame({"n": range(1000), "text": ["x"] * 1000})
    frame.to_parquet("s3://toolbox/t.parquet", storage_options=options)
    frame.to_csv("s3://toolbox/t.csv", storage_options=options, index=False)
    assert pandas.read_parquet("s3://toolbox/t.parquet", storage_options=options).equals(frame)
    assert pandas.read_csv("s3://toolbox/t.csv", storage_options=options).equals(frame)
    files = s3fs.S3FileSystem(**options)
    files.pipe("toolbox/d/x", b"1")
    files.mv("toolbox/d/x", "toolbox/d/y")
    assert files.ls("toolbox/d") == ["toolbox/d/y"]


def test_deltalake_commits_from_several_writers_at_once(endpoint):
    """Each commit is a put-if-absent of the next version: none may be lost, none made twice."""
    deltalake, pyarrow = pytest.importorskip("deltalake"), pytest.importorskip("pyarrow")
    options = {
        "AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": REGION, "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": KEY, "aws_conditional_put": "etag",
    }  # fmt: skip
    place, failed = "s3://toolbox/delta", []
    deltalake.write_deltalake(place, pyarrow.table({"n": [0]}), storage_options=options)

    def append(number):
        for _ in range(3):
            try:
                rows = pyarrow.table({"n": [number]})
                deltalake.write_deltalake(place, rows, mode="append", storage_options=options)
            except Exception as error:
                failed.append(error)

    writers = [threading.Thread(target=append, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    table = deltalake.DeltaTable(place, storage_options=options)
    assert failed == []
    assert (table.version(), table.to_pyarrow_table().num_rows) == (12, 13)


def test_obstore_creates_once_and_swaps_what_it_saw(endpoint):
    obstore = pytest.importorskip("obstore")
    from obstore.store import S3Store

    store = S3Store(
        "toolbox", endpoint=endpoint, access_key_id=KEY, secret_access_key=KEY, region=REGION,
        client_options={"allow_http": True},
    )  # fmt: skip
    large = bytes(range(256)) * 50_000
    obstore.put(store, "o/large", large)
    assert bytes(obstore.get(store, "o/large").bytes()) == large
    obstore.put(store, "o/new", b"1", mode="create")
    with pytest.raises(obstore.exceptions.AlreadyExistsError):
        obstore.put(store, "o/new", b"2", mode="create")
    seen = obstore.head(store, "o/new")["e_tag"]
    obstore.put(store, "o/new", b"3", mode={"e_tag": seen})
    with pytest.raises(obstore.exceptions.PreconditionError):
        obstore.put(store, "o/new", b"4", mode={"e_tag": seen})
    assert bytes(obstore.get(store, "o/new").bytes()) == b"3"


def test_aioboto3(endpoint):
    aioboto3 = pytest.importorskip("aioboto3")

    async def main():
        keys = {"aws_access_key_id": KEY, "aws_secret_access_key": KEY, "region_name": REGION}
        async with aioboto3.Session(**keys).client("s3", endpoint_url=endpoint) as s3:
            await s3.put_object(Bucket="toolbox", Key="aio", Body=b"1")
            got = await s3.get_object(Bucket="toolbox", Key="aio")
            return await got["Body"].read()

    assert asyncio.run(main()) == b"1"


def test_duckdb_reads_and_writes_through_httpfs(endpoint):
    duckdb = pytest.importorskip("duckdb")
    db = duckdb.connect()
    try:
        db.execute("LOAD httpfs")
    except duckdb.Error as error:
        pytest.skip(f"the extension is not installed: {error}")
    db.execute(
        f"CREATE SECRET (TYPE s3, KEY_ID '{KEY}', SECRET '{KEY}', REGION '{REGION}', URL_STYLE 'path',"
        f" USE_SSL false, ENDPOINT '{endpoint.partition('//')[2]}')"
    )
    db.execute("COPY (SELECT range AS n FROM range(10000)) TO 's3://toolbox/duck.parquet'")
    assert db.execute("SELECT sum(n) FROM 's3://toolbox/duck.parquet'").fetchone() == (49995000,)


def test_rclone_and_s3cmd(endpoint, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_bytes(b"a" * 10_000)
    (source / "b c").write_bytes(b"b" * 9_000_000)
    host = endpoint.partition("//")[2]
    ran = 0
    if rclone := shutil.which("rclone"):
        remote = f":s3,provider=Other,access_key_id={KEY},secret_access_key={KEY},endpoint='{endpoint}',acl=bucket-owner-full-control:toolbox/rclone"  # older ones send private
        plain = {k: v for k, v in os.environ.items() if k != "AWS_CA_BUNDLE"}  # it cannot take it
        for command in ("sync", "check"):
            subprocess.run([rclone, command, source, remote], check=True, timeout=120, env=plain)
        ran += 1
    if s3cmd := shutil.which("s3cmd"):
        keys = [
            f"--access_key={KEY}",
            f"--secret_key={KEY}",
            f"--host={host}",
            f"--host-bucket={host}",
            "--no-ssl",
        ]
        subprocess.run(
            [s3cmd, *keys, "sync", f"{source}/", "s3://toolbox/s3cmd/"], check=True, timeout=120
        )
        subprocess.run(
            [s3cmd, *keys, "get", "s3://toolbox/s3cmd/a", tmp_path / "a"], check=True, timeout=120
        )
        assert (tmp_path / "a").read_bytes() == b"a" * 10_000
        ran += 1
    if not ran:
        pytest.skip("neither rclone nor s3cmd is installed")
