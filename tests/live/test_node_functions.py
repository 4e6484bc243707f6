"""Node functions as the CDK writes them: packages that the runtime has, and answers that go to host and path by https only."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from lambdas import create
from live.server_process import SRC, ServerProcess

from stratolite.runtime import programs

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not programs.node(), reason="needs Node"),
]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces")

PROVIDER = """
const https = require('https')
const { URL } = require('url')
exports.handler = async (event) => {
  const url = new URL(event.ResponseURL) // as aws-cdk-lib's nodejs-entrypoint and AWS's cfn-response do it
  const { StackId, RequestId, LogicalResourceId } = event
  const told = { Status: 'SUCCESS', PhysicalResourceId: 'it', StackId, RequestId, LogicalResourceId, Data: { Url: url.protocol } }
  const body = JSON.stringify(told)
  await new Promise((resolve, reject) => {
    const headers = { 'content-type': '', 'content-length': Buffer.byteLength(body) }
    const request = https.request({ hostname: url.hostname, path: url.pathname + url.search, method: 'PUT', headers }, (answer) => {
      answer.resume()
      answer.statusCode === 200 ? resolve() : reject(new Error(answer.statusCode))
    })
    request.on('error', reject)
    request.end(body)
  })
}
"""
COMMON = (
    "const { name } = require('@aws-sdk/client-thing'); exports.handler = async () => [name, require.resolve('@aws-sdk/client-thing')]",
    "index.js",
)
MODULE = (
    "import { name } from '@aws-sdk/client-thing'; export const handler = async () => [name, '/node_modules/@aws-sdk/']",
    "index.mjs",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    made = ServerProcess(str(tmp_path_factory.mktemp("node") / "cloud"))
    yield made
    made.stop()


def made_of(stack: dict[str, Any]) -> dict[str, str]:
    return {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}


@needs_root
def test_a_custom_resource_in_node_answers_by_https_without_a_port(server: ServerProcess) -> None:
    """The certificate is trusted in there; nothing is told to look away."""
    document = {
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    }
    function = {
        "Runtime": "nodejs20.x",
        "Handler": "index.handler",
        "Timeout": 30,
        "Role": {"Fn::GetAtt": ["Role", "Arn"]},
        "Code": {"ZipFile": PROVIDER},
    }
    role = {"AssumeRolePolicyDocument": document}
    token = {"ServiceToken": {"Fn::GetAtt": ["Fn", "Arn"]}, "ServiceTimeout": 120}
    template = {
        "Resources": {
            "Role": {"Type": "AWS::IAM::Role", "Properties": role},
            "Fn": {"Type": "AWS::Lambda::Function", "Properties": function},
            "It": {"Type": "Custom::It", "Properties": token},
        },
        "Outputs": {"Url": {"Value": {"Fn::GetAtt": ["It", "Url"]}}},
    }
    cfn = server.client("cloudformation")
    cfn.create_stack(
        StackName="custom", TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"]
    )
    cfn.get_waiter("stack_create_complete").wait(StackName="custom", WaiterConfig={"Delay": 2})
    (stack,) = cfn.describe_stacks(StackName="custom")["Stacks"]
    assert made_of(stack) == {"Url": "https:"}
    cfn.delete_stack(StackName="custom")
    cfn.get_waiter("stack_delete_complete").wait(StackName="custom", WaiterConfig={"Delay": 2})


def zipped(name: str, text: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, text)
    return out.getvalue()


def call(server: ServerProcess, name: str, event: Any = None) -> Any:
    lambda_ = server.client("lambda", read_timeout=120)
    answer = lambda_.invoke(FunctionName=name, Payload=json.dumps(event).encode())
    return json.loads(answer["Payload"].read())


@pytest.mark.parametrize(("code", "file"), [COMMON, MODULE])
def test_packages_of_the_runtime_are_found_and_said_to_be_missing(
    server: ServerProcess, code: str, file: str
) -> None:
    """What is put there while the server runs counts; a module of JavaScript's own kind finds it as well."""
    folder = Path(server.folder, "runtimes/nodejs/node_modules/@aws-sdk/client-thing")
    name = file.replace(".", "-")
    more = {"Runtime": "nodejs20.x", "Handler": "index.handler", "Timeout": 60}
    for there in (False, True):
        if there:
            folder.mkdir(parents=True)
            (folder / "package.json").write_text(
                '{"name": "@aws-sdk/client-thing", "main": "i.js"}'
            )
            (folder / "i.js").write_text("exports.name = 'thing'")
        create(server.client, f"{name}-{there}", Code={"ZipFile": zipped(file, code)}, **more)
        said = call(server, f"{name}-{there}")
        if there:
            assert said[0] == "thing"
            assert "/node_modules/@aws-sdk/" in said[1]
            assert server.folder not in said[1] or os.geteuid() != 0
        else:
            assert said["errorType"] == "Runtime.ImportModuleError"
            assert "stratolite runtime nodejs" in said["errorMessage"]
    shutil.rmtree(folder.parent)


FETCH = """
const https = require('https')
exports.handler = (event) => new Promise((resolve) => {
  https.get(event.url, (answer) => { answer.resume(); resolve(answer.statusCode) }).on('error', (error) => resolve(error.code))
})
"""
REACH = """
import socket
def handler(event, context):
    try:
        socket.create_connection(("127.0.0.1", 443), 5).close()
    except OSError as error:
        return type(error).__name__
    return "reached"
"""


@needs_root
def test_the_secure_address_believes_no_root_and_is_there_for_node_only(
    server: ServerProcess,
) -> None:
    """It is the same way out by another door: what the default keys sign is refused there, as at the other port."""
    server.client("s3").create_bucket(Bucket="private")
    server.client("s3").put_object(Bucket="private", Key="k", Body=b"1")
    signing = boto3.client(
        "s3",
        endpoint_url="https://127.0.0.1",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(s3={"addressing_style": "path"}, signature_version="s3v4"),
    )
    url = signing.generate_presigned_url("get_object", Params={"Bucket": "private", "Key": "k"})
    more = {"Runtime": "nodejs20.x", "Handler": "index.handler", "Timeout": 60}
    create(server.client, "fetch", Code={"ZipFile": zipped("index.js", FETCH)}, **more)
    assert call(server, "fetch", {"url": url}) == 403
    assert call(server, "fetch", {"url": "https://localhost/_stratolite/health"}) == 200
    create(server.client, "reach", Code={"ZipFile": zipped("index.py", REACH)}, Timeout=60)
    assert call(server, "reach") == "ConnectionRefusedError"


def test_the_command_asks_npm_for_the_sdk(tmp_path: Path) -> None:
    """With an npm that only writes down what it was asked."""
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n')
    npm.chmod(0o755)
    path = f"{npm.parent}:{os.path.dirname(programs.node())}:{os.environ['PATH']}"
    command = [sys.executable, "-m", "stratolite", "runtime", "nodejs", "--data", f"{tmp_path}/d"]
    environment = os.environ | {"PYTHONPATH": SRC, "PATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert f"packages are in {tmp_path}/d/runtimes/nodejs" in done.stdout
    asked = (tmp_path / "asked").read_text().split()
    assert {"--prefix", "@aws-sdk/client-s3", "@aws-sdk/client-cloudwatch-logs"} <= set(asked)
