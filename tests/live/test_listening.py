"""What `stratolite up` is told about its front door, seen from outside."""

from __future__ import annotations

from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from live.server_process import ServerProcess

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]


def status(request):
    try:
        with urlopen(request, timeout=60) as answer:
            return answer.status
    except HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize(("options", "answer"), [((), 200), (("--no-sigv2",), 400)])
def test_the_old_signature_can_be_switched_off(tmp_path, options, answer):
    """boto3 presigns S3 URLs with SigV2 unless told otherwise; some will want that refused."""
    server = ServerProcess(str(tmp_path / "data"), *options)
    try:
        server.client("s3").create_bucket(Bucket="photos")
        server.client("s3").put_object(Bucket="photos", Key="a", Body=b"b")
        url = server.client("s3", signature_version="s3").generate_presigned_url(
            "get_object", Params={"Bucket": "photos", "Key": "a"}
        )
        assert "Signature=" in url
        assert status(url) == answer
    finally:
        server.kill()


@pytest.mark.parametrize(("options", "answer"), [((), 403), (("--name", "cloud.example"), 200)])
def test_default_keys_work_under_names_that_are_ours_only(tmp_path, options, answer):
    """A page on another name that resolves here (DNS rebinding) must not get far with test/test."""
    server = ServerProcess(str(tmp_path / "data"), *options)
    try:
        server.client("s3").create_bucket(Bucket="photos")
        host = {"Host": f"cloud.example:{server.port}"}
        made = AWSRequest("GET", f"{server.endpoint}/photos?list-type=2", headers=host)
        S3SigV4QueryAuth(Credentials("test", "test"), "s3", "us-east-1").add_auth(made)
        assert status(Request(made.url, headers=host)) == answer
    finally:
        server.kill()
