"""The pytest plugin as a user of it meets it: a test file of its own, run by pytest."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]

TESTS = """
import boto3
import pytest

def test_code_under_test_needs_no_change(cloud):
    boto3.client("dynamodb")  # endpoint, keys and region from the environment
    for control in (boto3.client("s3control"), cloud.client("s3control")):
        assert control.list_access_points(AccountId="000000000000")["AccessPointList"] == []
    boto3.client("sqs").create_queue(QueueName="q")
    assert cloud.client("sqs").get_queue_url(QueueName="q")["QueueUrl"].startswith(cloud.endpoint)

def test_the_next_one_is_fresh(cloud):
    assert "QueueUrls" not in cloud.client("sqs").list_queues() or SHARED

def test_the_clock_goes_forward(cloud):
    before = cloud.clock.time_s()
    assert cloud.clock.advance("2h") - before >= 7200

def test_a_template_is_deployed_and_its_function_called(cloud, tmp_path):
    (tmp_path / "app.py").write_text("def handler(event, context): return {'hi': event['name']}")
    (tmp_path / "template.yaml").write_text('''
Transform: AWS::Serverless-2016-10-31
Parameters: {Name: {Type: String, Default: none}}
Resources:
  Hello: {Type: AWS::Serverless::Function, Properties: {Runtime: python3.12, Handler: app.handler, CodeUri: .}}
Outputs:
  Function: {Value: !Ref Hello}
  Name: {Value: !Ref Name}
''')
    out = cloud.deploy(tmp_path / "template.yaml", Name="Ann")
    assert out["Name"] == "Ann"
    assert cloud.invoke(out["Function"], {"name": "Bob"}).payload == {"hi": "Bob"}
    failed = cloud.invoke(out["Function"], {})
    assert (failed.payload, failed.error["errorType"]) == (None, "KeyError")

def test_what_was_acknowledged_survives_a_kill(cloud):
    cloud.client("s3").create_bucket(Bucket="photos")
    cloud.kill()
    cloud.restart()
    assert "photos" in [b["Name"] for b in cloud.client("s3").list_buckets()["Buckets"]]
"""


@pytest.mark.parametrize("scope", ["function", "session"])
def test_a_users_tests_run_on_clouds_of_their_own(tmp_path: Path, scope: str) -> None:
    """And nothing of them is left behind, neither a process nor a folder."""
    (tmp_path / "test_app.py").write_text(
        f"SHARED = {scope == 'session'}\n{textwrap.dedent(TESTS)}"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "stratolite.testing.plugin", "--cloud-scope", scope]  # fmt: skip
    import os

    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "PYTEST_"))}
    environment |= {"TMPDIR": str(temporary), "PYTHONPATH": str(Path(__file__).parents[2] / "src"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # fmt: skip
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout
    assert not list(temporary.glob("stratolite-test-*"))
