"""What users of LocalStack bring along: hooks that run when the cloud is ready, variables that mean nothing here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SRC = str(Path(__file__).parents[2] / "src")


@pytest.mark.live
@pytest.mark.timeout(400)
def test_hooks_run_in_order_once_the_cloud_is_ready_and_a_failing_one_stops_nothing(tmp_path):
    hooks = tmp_path / "init" / "ready.d"
    hooks.mkdir(parents=True)
    (hooks / "1-bucket.py").write_text("import boto3\nboto3.client('s3').create_bucket(Bucket='from-a-hook')\n")  # fmt: skip
    (hooks / "2-bad.sh").write_text("exit 3\n")
    (hooks / "3-last.sh").write_text("echo endpoint $AWS_ENDPOINT_URL\n")
    (hooks / "notes.txt").write_text("not a hook")
    environment = os.environ | {"PYTHONPATH": SRC, "SERVICES": "s3,sqs"}
    server = subprocess.Popen(
        [sys.executable, "-m", "stratolite", "up", "--data", str(tmp_path / "d"), "--port", "0", "--init", str(tmp_path / "init")],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        endpoint = server.stdout.readline().split()[1]
        said = []
        for line in server.stderr:
            said.append(line.strip())
            if "3-last.sh" in line:
                break
        text = "\n".join(said)
        assert "note: SERVICES has no meaning here" in text
        places = [text.index(part) for part in ("1-bucket.py: done", "2-bad.sh: failed with exit code 3", f"endpoint {endpoint}", "3-last.sh: done")]  # fmt: skip
        assert places == sorted(places)
        import boto3

        s3 = boto3.client("s3", endpoint_url=endpoint, aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")  # fmt: skip
        assert [b["Name"] for b in s3.list_buckets()["Buckets"]] == ["from-a-hook"]
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()
        server.stderr.close()
