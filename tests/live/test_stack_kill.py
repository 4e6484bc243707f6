"""kill -9 in the middle of deployments of a real SAM application: each ends as if nothing had happened.

What the services have afterwards is exactly what the stack names: their handlers found their own.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from live.server_process import ServerProcess
from services.test_cloudformation_sam import BOOKMARKS, CAPABILITIES, packed

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]
EVENTS = (2, 14, 26)


Client = Callable[[str], Any]


def there(client: Client) -> dict[str, set[str]]:
    """Names of everything a stack may have made."""
    apis = client("apigatewayv2").get_apis()["Items"]
    return {
        "AWS::S3::Bucket": {b["Name"] for b in client("s3").list_buckets()["Buckets"]} - {"code"},
        "AWS::IAM::Role": {r["RoleName"] for r in client("iam").list_roles()["Roles"]},
        "AWS::Lambda::Function": {
            f["FunctionName"] for f in client("lambda").list_functions()["Functions"]
        },
        "AWS::DynamoDB::Table": set(client("dynamodb").list_tables()["TableNames"]),
        "AWS::ApiGatewayV2::Api": {a["ApiId"] for a in apis},
    }


def ended(cfn: Any, name: str) -> dict[str, Any]:
    for _ in range(10_000):
        stack = cfn.describe_stacks(StackName=name)["Stacks"][0]
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            return stack
        time.sleep(0.01)
    raise AssertionError(stack)


def killed(
    server: ServerProcess, client: Client, name: str, act: Callable[[], Any], events: int
) -> bool:
    """``act`` from a thread; the server killed once the stack has told ``events`` more things, and started again.

    Whether the stack was under way when it was killed.
    """
    cfn = client("cloudformation")

    def told() -> list[dict[str, Any]]:
        with contextlib.suppress(ClientError):
            return cfn.describe_stack_events(StackName=name)["StackEvents"]
        return []

    before = len(told())

    def quietly() -> None:
        with contextlib.suppress(BotoCoreError, ClientError):
            act()  # the server goes away under it

    thread = threading.Thread(target=quietly)
    thread.start()
    while len(story := told()) < before + events:
        pass
    server.kill()
    thread.join(120)
    server.start()
    newest = story[0]
    about_the_stack = newest["ResourceType"] == "AWS::CloudFormation::Stack"
    return not (about_the_stack and newest["ResourceStatus"].endswith("COMPLETE"))


def test_deployments_survive_sigkill(tmp_path: Path) -> None:
    server = ServerProcess(str(tmp_path / "data"))
    client = cache(server.client)  # making one takes longer than what is asked with it
    try:
        s3 = client("s3")
        s3.create_bucket(Bucket="code")
        s3.put_object(Bucket="code", Key="code.zip", Body=packed())
        request = {
            "TemplateBody": BOOKMARKS,
            "Parameters": [{"ParameterKey": "CodeBucket", "ParameterValue": "code"}],
            "Capabilities": CAPABILITIES,
        }
        cut = 0
        for events in EVENTS:
            name = f"app{events}"
            cfn = client("cloudformation")
            cut += killed(
                server, client, name, partial(cfn.create_stack, StackName=name, **request), events
            )
            stack = ended(cfn, name)
            assert stack["StackStatus"] == "CREATE_COMPLETE"
            named: dict[str, set[str]] = {}
            for resource in cfn.describe_stack_resources(StackName=name)["StackResources"]:
                named.setdefault(resource["ResourceType"], set()).add(
                    resource["PhysicalResourceId"]
                )
            for kind, names in there(client).items():
                assert names == named[kind], (kind, events)
            cut += killed(
                server, client, stack["StackId"], partial(cfn.delete_stack, StackName=name), events
            )
            assert ended(cfn, stack["StackId"])["StackStatus"] == "DELETE_COMPLETE"
            assert not any(there(client).values()), (there(client), events)
        assert cut > len(EVENTS), "most kills fell into the work"
        print(f"{cut} of {2 * len(EVENTS)} operations were cut off in the middle")
    finally:
        server.stop()
