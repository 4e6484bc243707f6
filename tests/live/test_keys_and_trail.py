"""root-keys, rekey, trail and why-denied against a real server, as one types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from live.server_process import SRC, ServerProcess

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]


def stratolite(*words, ok=True, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "stratolite", *words], capture_output=True, text=True, timeout=120,
        env=os.environ | {"PYTHONPATH": SRC} | environment,
    )  # fmt: skip
    assert (done.returncode == 0) is ok, done.stdout + done.stderr
    return done.stdout if ok else done.stderr


def boto(server, service, key, secret):
    return boto3.client(
        service, endpoint_url=server.endpoint, region_name="us-east-1", aws_access_key_id=key,
        aws_secret_access_key=secret, config=Config(retries={"total_max_attempts": 1}),
    )  # fmt: skip


def test_a_server_for_others_wants_a_root_key_and_takes_the_one_that_was_made(tmp_path):
    """Kept in the data, sealed; the refusal says how to make it; rekey does not lose it."""
    data = str(tmp_path / "data")
    said = stratolite("up", "--data", data, "--host", "0.0.0.0", "--port", "0", ok=False)
    assert "stratolite root-keys create" in said
    key = json.loads(stratolite("root-keys", "create", "--data", data, "--json"))
    assert "sealed anew: " in stratolite("rekey", "--data", data)
    assert stratolite("root-keys", "list", "--data", data) == f"{key['AccessKeyId']}\tActive\n"
    server = ServerProcess(data, "--host", "0.0.0.0")
    try:
        server.endpoint = server.endpoint.replace("0.0.0.0", "127.0.0.1")
        who = boto(server, "sts", key["AccessKeyId"], key["SecretAccessKey"]).get_caller_identity()
        assert who["Arn"] == "arn:aws:iam::000000000000:root"
        assert "is in use" in stratolite("rekey", "--data", data, ok=False)
        assert "--endpoint" in stratolite("root-keys", "list", "--data", data, ok=False)
        listed = stratolite("root-keys", "list", "--endpoint", server.endpoint)
        assert key["AccessKeyId"] in listed
    finally:
        server.kill()


def test_a_running_server_makes_the_key_for_the_account_that_was_named(tmp_path):
    """It goes by who signs: the caller's own keys where there are any, else the root that was named."""
    server, bare = ServerProcess(str(tmp_path / "data")), {"AWS_ACCESS_KEY_ID": ""}
    at = ("--endpoint", server.endpoint)
    try:
        ask = ("root-keys", "create", "--json", "--account", "111122223333", *at)
        key = json.loads(stratolite(*ask, **bare))
        own = {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }
        who = boto(server, "sts", *own.values()).get_caller_identity()
        assert who["Arn"] == "arn:aws:iam::111122223333:root"
        assert stratolite("root-keys", "list", *at, **bare) == ""
        assert key["AccessKeyId"] in stratolite("root-keys", "list", *at, **own)
        other = stratolite("root-keys", "list", "--account", "444455556666", *at, ok=False, **own)
        assert "of account 111122223333" in other
        assert "12 digits" in stratolite("root-keys", "list", "--account", "1", *at, ok=False)
    finally:
        server.kill()


def test_the_trail_shows_who_was_turned_away_and_why(tmp_path):
    """Also after kill -9: what had been written a moment before is still there."""
    server = ServerProcess(str(tmp_path / "data"))
    try:
        iam = server.client("iam")
        iam.create_user(UserName="eve")
        key = iam.create_access_key(UserName="eve")["AccessKey"]
        eve = boto(server, "dynamodb", key["AccessKeyId"], key["SecretAccessKey"])
        with pytest.raises(ClientError) as refused:
            eve.delete_table(TableName="photos")
        request = refused.value.response["ResponseMetadata"]["RequestId"]
        at = ("--endpoint", server.endpoint)
        lines = stratolite("trail", "--denied", *at).splitlines()
        assert len(lines) == 1
        assert (
            f"user/eve dynamodb:DeleteTable arn:aws:dynamodb:us-east-1:000000000000:table/photos DENIED (stratolite why-denied {request})"
            in lines[0]
        )
        assert "CreateUser" in stratolite("trail", "--principal", "root", *at)
        said = stratolite("why-denied", request, *at)
        assert (
            "denied because no identity-based policy allows the dynamodb:DeleteTable action" in said
        )
        would = stratolite(
            "why-denied", "arn:aws:iam::000000000000:user/eve", "dynamodb:DeleteTable", *at
        )
        assert "there is no policy that says anything" in would
        server.kill()
        server.start()
        again = stratolite("trail", "--denied", "--json", "--endpoint", server.endpoint)
        assert json.loads(again)["requestID"] == request
    finally:
        server.kill()


def test_what_was_done_to_data_is_in_the_trail_after_kill_9_too(tmp_path):
    """By default in a line each; what was written a moment before stays. An action, a resource, a decision may be asked for."""
    server = ServerProcess(str(tmp_path / "data"))
    try:
        s3 = server.client("s3")
        s3.create_bucket(Bucket="photos")
        s3.put_object(Bucket="photos", Key="a", Body=b"b")
        s3.get_object(Bucket="photos", Key="a")
        lines = stratolite("trail", "--endpoint", server.endpoint).splitlines()
        said = ["s3:CreateBucket", "s3:PutObject", "s3:GetObject"]
        assert [line.split()[2] for line in lines][:3] == said
        server.kill()
        server.start()
        at = ("--endpoint", server.endpoint)
        lines = stratolite("trail", "--kind", "data", "--decision", "allowed", *at).splitlines()
        assert [line.split()[1:] for line in lines] == [
            ["arn:aws:iam::000000000000:root", said, "arn:aws:s3:::photos/a", "allowed"]
            for said in ("s3:PutObject", "s3:GetObject")
        ]
        asked = ("--action", "s3:get", "--resource", "photos/a", "--principal", "root", "--json")
        (event,) = map(json.loads, stratolite("trail", *asked, *at).splitlines())
        assert (event["eventName"], event["sourceIPAddress"]) == ("GetObject", "127.0.0.1")
        assert stratolite("trail", "--kind", "data", "--denied", *at) == ""
    finally:
        server.kill()


def test_data_events_are_kept_in_full_when_asked_for(tmp_path):
    server = ServerProcess(str(tmp_path / "data"), "--trail-data-events")
    try:
        s3 = server.client("s3")
        s3.create_bucket(Bucket="photos")
        s3.put_object(Bucket="photos", Key="a", Body=b"b")
        lines = stratolite("trail", "--kind", "data", "--json", "--endpoint", server.endpoint)
        parameters = json.loads(lines)["requestParameters"]
        assert (parameters["key"], parameters["contentLength"]) == ("a", 1)
    finally:
        server.kill()
