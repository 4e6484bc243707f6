"""What deployment tools ask of change sets and templates beyond a plain deploy: cdk above all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

BUCKET = "kept-bucket"


def text(**bucket: Any) -> str:
    body = {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}
    return json.dumps(
        {
            "Parameters": {"Name": {"Type": "String", "Default": BUCKET}},
            "Resources": {
                "Bucket": {**body, "Properties": {"BucketName": {"Ref": "Name"}}, **bucket},
                "Queue": {"Type": "AWS::SQS::Queue"},
            },
        }
    )


def change_set(cfn: Any, stack: str, body: str, **more: Any) -> dict[str, Any]:
    asked = {"ChangeSetName": "c", "ChangeSetType": "CREATE", **more}
    cfn.create_change_set(StackName=stack, TemplateBody=body, **asked)
    return dict(cfn.describe_change_set(StackName=stack, ChangeSetName="c"))


def actions(described: dict[str, Any]) -> dict[str, str]:
    changes = [c["ResourceChange"] for c in described["Changes"]]
    return {c["LogicalResourceId"]: c["Action"] for c in changes}


def executed(cfn: Any, stack: str) -> str:
    cfn.execute_change_set(StackName=stack, ChangeSetName="c")
    cfn.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})
    return str(cfn.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"])


def test_what_is_there_already_is_imported_if_asked(client: Any) -> None:
    """`cdk bootstrap` after its stack was deleted: the bucket was retained and is taken in again.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/import-resources-automatically.html
    """
    cfn, s3 = client("cloudformation"), client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"v")
    found = change_set(cfn, "s", text(), ImportExistingResources=True)
    assert found["ImportExistingResources"] is True
    assert actions(found) == {"Bucket": "Import", "Queue": "Add"}
    assert executed(cfn, "s") == "CREATE_COMPLETE"
    resources = cfn.describe_stack_resources(StackName="s")["StackResources"]
    assert BUCKET in {r["PhysicalResourceId"] for r in resources}
    cfn.delete_stack(StackName="s")
    cfn.get_waiter("stack_delete_complete").wait(StackName="s", WaiterConfig={"Delay": 1})
    assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"v"


def test_only_what_is_retained_and_nobodys_is_imported(client: Any) -> None:
    cfn, s3 = client("cloudformation"), client("s3")
    change = {"ImportExistingResources": True}
    assert actions(change_set(cfn, "new", text(), **change))["Bucket"] == "Add"
    s3.create_bucket(Bucket=BUCKET)
    loose = change_set(cfn, "loose", text(DeletionPolicy="Delete"), **change)
    assert actions(loose)["Bucket"] == "Add"
    assert actions(change_set(cfn, "unasked", text()))["Bucket"] == "Add"
    change_set(cfn, "owner", text(), **change)
    assert executed(cfn, "owner") == "CREATE_COMPLETE"
    assert actions(change_set(cfn, "second", text(), **change))["Bucket"] == "Add"


def test_a_change_set_that_is_not_there_is_deleted(client: Any) -> None:
    """cdk deletes the one it is about to create, by name, without asking whether it is there."""
    cfn = client("cloudformation")
    described = change_set(cfn, "s", text())
    cfn.delete_change_set(StackName="s", ChangeSetName="another")
    cfn.delete_change_set(ChangeSetName=described["ChangeSetId"])
    cfn.delete_change_set(ChangeSetName=described["ChangeSetId"])
    with pytest.raises(ClientError, match=r"Stack \[nobody\] does not exist"):
        cfn.delete_change_set(StackName="nobody", ChangeSetName="c")
    with pytest.raises(ClientError, match="StackName must be specified"):
        cfn.delete_change_set(ChangeSetName="c")


def test_a_stack_in_review_has_an_empty_template(client: Any) -> None:
    cfn = client("cloudformation")
    change_set(cfn, "s", text())
    assert cfn.get_template(StackName="s")["TemplateBody"] in ("", {})
    proposed = cfn.get_template(StackName="s", ChangeSetName="c")["TemplateBody"]
    assert set(proposed["Resources"]) == {"Bucket", "Queue"}


BAD = {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "a b"}}}
FAILS = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}, **BAD}})


@pytest.mark.parametrize(
    ("deployment", "status"),
    [
        ({"Mode": "STANDARD"}, "ROLLBACK_COMPLETE"),
        ({"Mode": "STANDARD", "DisableRollback": True}, "CREATE_FAILED"),
        ({"Mode": "EXPRESS"}, "CREATE_FAILED"),
        ({"Mode": "EXPRESS", "DisableRollback": False}, "ROLLBACK_COMPLETE"),
    ],
)
def test_the_deployment_mode_says_what_a_failure_leaves(
    client: Any, deployment: dict[str, Any], status: str
) -> None:
    """cdk sends STANDARD with every call, `sam sync` EXPRESS."""
    cfn = client("cloudformation")
    cfn.create_stack(StackName="direct", TemplateBody=FAILS, DeploymentConfig=deployment)
    described = change_set(cfn, "changed", FAILS, DeploymentConfig=deployment, IncludeNestedStacks=True)  # fmt: skip
    assert described["DeploymentConfig"] == deployment
    cfn.execute_change_set(StackName="changed", ChangeSetName="c")
    for name in ("direct", "changed"):
        with pytest.raises(WaiterError):
            cfn.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
        wait = {"Delay": 1, "MaxAttempts": 100}
        assert cfn.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] == status
        cfn.delete_stack(StackName=name, DeploymentConfig={"Mode": deployment["Mode"]})
        cfn.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig=wait)
    with pytest.raises(ClientError, match="deploymentConfig.mode"):
        cfn.delete_stack(StackName="direct", DeploymentConfig={"Mode": "SLOW"})


def test_a_resource_tells_its_stack(client: Any) -> None:
    cfn = client("cloudformation")
    for name in ("one", "two"):
        given = [{"ParameterKey": "Name", "ParameterValue": f"bucket-of-{name}"}]
        cfn.create_stack(StackName=name, TemplateBody=text(), Parameters=given)
        cfn.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    mine = cfn.describe_stack_resources(StackName="two")["StackResources"]
    for one in mine:
        found = cfn.describe_stack_resources(PhysicalResourceId=one["PhysicalResourceId"])
        assert found["StackResources"] == mine
    queue = next(r for r in mine if r["LogicalResourceId"] == "Queue")["PhysicalResourceId"]
    only = {"PhysicalResourceId": queue, "LogicalResourceId": "Queue"}
    (shown,) = cfn.describe_stack_resources(**only)["StackResources"]
    assert shown["PhysicalResourceId"] == queue
    with pytest.raises(ClientError, match="Stack for nobody does not exist"):
        cfn.describe_stack_resources(PhysicalResourceId="nobody")
    with pytest.raises(ClientError, match="both StackName and PhysicalResourceId"):
        cfn.describe_stack_resources(PhysicalResourceId=queue, StackName="two")
