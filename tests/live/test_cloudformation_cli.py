"""The unmodified ``aws`` command line deploys, describes, changes and deletes over a real socket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from live.server_process import ServerProcess
from services.test_cloudformation_sam import BOOKMARKS, CODE

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]


def test_aws_cloudformation_package_and_deploy_work_unmodified(tmp_path: Path) -> None:
    """Waiters, change sets, TemplateURL, --no-fail-on-empty-changeset, capabilities."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "app.py").write_text(CODE)
    local = BOOKMARKS.replace("CodeUri: {Bucket: !Ref CodeBucket, Key: code.zip}", "CodeUri: src")
    local = local.replace("  CodeBucket: {Type: String}\n", "")
    local = local.replace("    CodeUri: src\n", "")
    local = local.replace(
        "Type: AWS::Serverless::Function\n    Properties:",
        "Type: AWS::Serverless::Function\n    Properties:\n      CodeUri: src",
    )
    (tmp_path / "template.yaml").write_text(local)
    server = ServerProcess(str(tmp_path / "data"))

    def aws(*command: str, fails: bool = False) -> str:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "AWS_ENDPOINT_URL": server.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        ran = subprocess.run(
            [sys.executable, "-m", "awscli", *command],
            check=False,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert (ran.returncode != 0) == fails, ran.stdout + ran.stderr
        return ran.stderr if fails else ran.stdout

    def outputs() -> dict[str, Any]:
        stack = json.loads(aws("cloudformation", "describe-stacks", "--stack-name", "app"))[
            "Stacks"
        ][0]
        return {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}

    try:
        aws("s3", "mb", "s3://code")
        aws(
            "cloudformation", "package", "--template-file", "template.yaml", "--s3-bucket", "code",
            "--output-template-file", "packaged.yaml",
        )  # fmt: skip
        deploy = (
            "cloudformation",
            "deploy",
            "--template-file",
            "packaged.yaml",
            "--stack-name",
            "app",
        )
        told = aws(*deploy, fails=True)
        assert "Requires capabilities : [CAPABILITY_IAM]" in told
        iam = ("--capabilities", "CAPABILITY_IAM")
        said = aws(*deploy, *iam, "--s3-bucket", "code")
        assert "Successfully created/updated stack - app" in said
        assert set(outputs()) == {"ApiUrl", "FunctionUrl", "SiteUrl"}
        said = aws(*deploy, *iam, "--no-fail-on-empty-changeset")
        assert "No changes to deploy. Stack app is up to date" in said
        said = aws(*deploy, *iam, "--parameter-overrides", "Greeting=hi")
        assert "Successfully created/updated stack - app" in said
        aws("cloudformation", "delete-stack", "--stack-name", "app")
        aws("cloudformation", "wait", "stack-delete-complete", "--stack-name", "app")
        assert "does not exist" in aws(
            "cloudformation", "describe-stacks", "--stack-name", "app", fails=True
        )
    finally:
        server.stop()
