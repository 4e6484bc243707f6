"""What people use with S3, against a real server; what is not installed is skipped by name.

``STRATOLITE_CLIENTS`` names a folder in whose ``venv`` `make conformance` has put aioboto3, s3fs, pandas, deltalake and DuckDB
with its httpfs extension: they bring an older botocore with them. rclone and s3cmd come from Debian.
"""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from live.server_process import ServerProcess

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]
REGION, KEY = "us-east-1", "test"
CLIENTS = os.environ.get("STRATOLITE_CLIENTS", "")
SCRIPTS = Path(__file__).parents[1] / "conformance" / "clients"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = ServerProcess(str(tmp_path_factory.mktemp("tools") / "data"))
    running.client("s3").create_bucket(Bucket="toolbox")
    yield running
    assert running.stop() == 0


@pytest.fixture
def folder(tmp_path):
    """Files of one part and of several, with a space and other letters in their names."""
    made = tmp_path / "source"
    (made / "deep er").mkdir(parents=True)
    (made / "a").write_bytes(b"a" * 10_000)
    (made / "empty").write_bytes(b"")
    (made / "deep er" / "b ü+c").write_bytes(b"b" * 9_000_000)
    for path in made.rglob(
        "*"
    ):  # S3 knows whole seconds: what is a moment older than its object looks newer
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return made


def run(server, command, **more):
    keys = {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": KEY,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": server.endpoint,
        "ENDPOINT": server.endpoint,
    }
    environment = {k: v for k, v in os.environ.items() if k != "AWS_CA_BUNDLE"}  # rclone: no
    done = subprocess.run(
        [str(word) for word in command],
        env=environment | keys | more,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def same(left, right):
    """Whether two folders hold the same files with the same bytes."""
    names = sorted(p.relative_to(left) for p in left.rglob("*") if p.is_file())
    assert names == sorted(p.relative_to(right) for p in right.rglob("*") if p.is_file())
    return all(filecmp.cmp(left / name, right / name, shallow=False) for name in names)


@pytest.mark.parametrize("script", ["s3_pandas", "s3_deltalake", "s3_aioboto3", "s3_duckdb"])
def test_libraries_of_others_work(server, script):
    """Each script does what its library is for, and says so."""
    if not CLIENTS:
        pytest.skip("`make conformance` installs them")
    out = run(server, [f"{CLIENTS}/venv/bin/python", SCRIPTS / f"{script}.py"])
    assert out.strip().endswith("ok")


def test_obstore_creates_once_and_swaps_what_it_saw(server):
    obstore = pytest.importorskip("obstore")
    from obstore.store import S3Store

    store = S3Store(
        "toolbox", endpoint=server.endpoint, access_key_id=KEY, secret_access_key=KEY, region=REGION,
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


def test_the_aws_cli_syncs_a_folder_there_and_back(server, folder, tmp_path):
    """https://docs.aws.amazon.com/cli/latest/reference/s3/sync.html"""
    aws = Path(sys.executable).parent / "aws"
    if not aws.exists():
        pytest.skip("the aws CLI is not installed")
    run(server, [aws, "s3", "sync", folder, "s3://toolbox/cli"])
    assert run(server, [aws, "s3", "sync", folder, "s3://toolbox/cli"]) == ""  # nothing to do
    back = tmp_path / "back"
    run(server, [aws, "s3", "sync", "s3://toolbox/cli", back])
    assert same(folder, back)
    (folder / "a").unlink()
    run(server, [aws, "s3", "sync", "--delete", folder, "s3://toolbox/cli"])
    listed = run(server, [aws, "s3", "ls", "--recursive", "s3://toolbox/cli"])
    assert [line.split(maxsplit=3)[3] for line in listed.splitlines()] == [
        "cli/deep er/b ü+c",
        "cli/empty",
    ]


@pytest.mark.parametrize("tool", ["boto3", "aws"])
def test_s3_control_is_reached_with_what_stratolite_env_prints(server, tool):
    """The SDK asks ACCOUNT.HOST, and ACCOUNT.127.0.0.1 is nowhere."""
    said = run(server, [sys.executable, "-m", "stratolite", "env", "--json"])
    given = json.loads(said)
    assert given["AWS_ENDPOINT_URL"] == server.endpoint
    where = {"AccountId": "000000000000", "Name": f"by-{tool}"}
    server.client("s3").create_bucket(Bucket=f"pointed-{tool}")
    if tool == "boto3":
        code = "import boto3, sys; print(boto3.client('s3control').create_access_point(AccountId='000000000000', Name='by-boto3', Bucket='pointed-boto3')['AccessPointArn'])"
        words = [sys.executable, "-c", code]
    else:
        aws = Path(sys.executable).parent / "aws"
        if not aws.exists():
            pytest.skip("the aws CLI is not installed")
        words = [aws, "s3control", "create-access-point", "--account-id", where["AccountId"], "--name", where["Name"], "--bucket", "pointed-aws"]  # fmt: skip
    assert f"accesspoint/by-{tool}" in run(server, words, **given)


def test_rclone_syncs_and_checks(server, folder, tmp_path):
    rclone = shutil.which("rclone")
    if rclone is None:
        pytest.skip("rclone is not installed")
    config = {
        "RCLONE_CONFIG_HERE_TYPE": "s3",
        "RCLONE_CONFIG_HERE_PROVIDER": "Other",
        "RCLONE_CONFIG_HERE_ACCESS_KEY_ID": KEY,
        "RCLONE_CONFIG_HERE_SECRET_ACCESS_KEY": KEY,
        "RCLONE_CONFIG_HERE_ENDPOINT": server.endpoint,
        "RCLONE_CONFIG_HERE_ACL": "bucket-owner-full-control",  # older ones send private
        "RCLONE_CONFIG": "",
    }
    here = "here:toolbox/rclone"
    for command in (("sync", folder, here), ("check", "--download", folder, here)):
        run(server, [rclone, *command], **config)
    back = tmp_path / "back"
    run(server, [rclone, "copy", here, back], **config)
    assert same(folder, back)
    run(server, [rclone, "moveto", f"{here}/a", f"{here}/z"], **config)
    assert run(server, [rclone, "lsf", here], **config).split("\n") == [
        "deep er/",
        "empty",
        "z",
        "",
    ]
    run(server, [rclone, "purge", here], **config)
    assert server.client("s3").list_objects_v2(Bucket="toolbox", Prefix="rclone/")["KeyCount"] == 0


def test_s3cmd_syncs_there_and_back(server, folder, tmp_path):
    s3cmd = shutil.which("s3cmd")
    if s3cmd is None:
        pytest.skip("s3cmd is not installed")
    # It copies with the ACL "private", which only a bucket with ACLs takes.
    server.client("s3").create_bucket(Bucket="cmdbox", ObjectOwnership="BucketOwnerPreferred")
    host = server.endpoint.partition("//")[2]
    tool = [s3cmd, "--config=/dev/null", f"--access_key={KEY}", f"--secret_key={KEY}"]
    tool += [f"--host={host}", f"--host-bucket={host}", "--no-ssl"]
    run(server, [*tool, "sync", f"{folder}/", "s3://cmdbox/s3cmd/"])
    back = tmp_path / "back"
    back.mkdir()
    run(server, [*tool, "sync", "s3://cmdbox/s3cmd/", f"{back}/"])
    assert same(folder, back)
    run(server, [*tool, "mv", "s3://cmdbox/s3cmd/a", "s3://cmdbox/s3cmd/z"])
    listed = run(server, [*tool, "ls", "s3://cmdbox/s3cmd/"])
    assert [line.split()[-1] for line in listed.splitlines()] == [
        "er/",
        "s3://cmdbox/s3cmd/empty",
        "s3://cmdbox/s3cmd/z",
    ]
    run(server, [*tool, "del", "--recursive", "s3://cmdbox/s3cmd/"])
    assert server.client("s3").list_objects_v2(Bucket="cmdbox", Prefix="s3cmd/")["KeyCount"] == 0
