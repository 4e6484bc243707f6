"""Stack sets: one template in several accounts and regions of this cloud, through their roles."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

ADMIN, OTHER = "000000000000", "111111111111"
TEMPLATE = """
Parameters: {Days: {Type: Number, Default: 1}}
Resources:
  Group: {Type: AWS::Logs::LogGroup, Properties: {LogGroupName: from-a-set, RetentionInDays: !Ref Days}}
"""


def trust(**principal: str) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def allow(action: str) -> str:
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def roles(client: Any) -> None:
    iam = client("iam")
    admin = "AWSCloudFormationStackSetAdministrationRole"
    document = trust(Service="cloudformation.amazonaws.com")
    iam.create_role(RoleName=admin, AssumeRolePolicyDocument=document)
    iam.put_role_policy(RoleName=admin, PolicyName="p", PolicyDocument=allow("sts:AssumeRole"))
    for account in (ADMIN, OTHER):
        theirs = client("iam", account=account)
        name = "AWSCloudFormationStackSetExecutionRole"
        document = trust(AWS=f"arn:aws:iam::{ADMIN}:role/{admin}")
        theirs.create_role(RoleName=name, AssumeRolePolicyDocument=document)
        theirs.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=allow("*"))


def ended(cfn: Any, operation_id: str) -> dict[str, Any]:
    for _ in range(5_000):
        shown = cfn.describe_stack_set_operation(StackSetName="set", OperationId=operation_id)
        if shown["StackSetOperation"]["Status"] not in ("RUNNING", "STOPPING"):
            return shown["StackSetOperation"]
        time.sleep(0.02)
    raise AssertionError(shown)


def days(client: Any, account: str, region: str) -> int | None:
    logs = client("logs", account=account, region=region)
    groups = logs.describe_log_groups(logGroupNamePrefix="from-a-set")["logGroups"]
    return groups[0]["retentionInDays"] if groups else None


def test_instances_are_made_changed_and_removed_where_they_are_asked_for(client: Any) -> None:
    roles(client)
    cfn = client("cloudformation")
    cfn.create_stack_set(StackSetName="set", TemplateBody=TEMPLATE)
    where = {"Accounts": [ADMIN, OTHER], "Regions": ["us-east-1", "eu-west-1"]}
    places = [(a, r) for a in where["Accounts"] for r in where["Regions"]]
    made = cfn.create_stack_instances(StackSetName="set", **where)
    assert ended(cfn, made["OperationId"])["Status"] == "SUCCEEDED"
    assert [days(client, *place) for place in places] == [1, 1, 1, 1]
    changed = cfn.update_stack_set(
        StackSetName="set",
        UsePreviousTemplate=True,
        Parameters=[{"ParameterKey": "Days", "ParameterValue": "3"}],
    )
    assert ended(cfn, changed["OperationId"])["Status"] == "SUCCEEDED"
    assert [days(client, *place) for place in places] == [3, 3, 3, 3]
    listed = cfn.list_stack_instances(StackSetName="set")["Summaries"]
    assert {(i["Account"], i["Region"], i["Status"]) for i in listed} == {
        (*place, "CURRENT") for place in places
    }
    with pytest.raises(ClientError, match="StackSet is not empty"):
        cfn.delete_stack_set(StackSetName="set")
    gone = cfn.delete_stack_instances(StackSetName="set", RetainStacks=False, **where)
    assert ended(cfn, gone["OperationId"])["Status"] == "SUCCEEDED"
    assert [days(client, *place) for place in places] == [None] * 4
    cfn.delete_stack_set(StackSetName="set")
    assert cfn.list_stack_sets()["Summaries"] == []


def test_an_account_without_the_execution_role_is_not_entered(client: Any) -> None:
    cfn = client("cloudformation")
    cfn.create_stack_set(StackSetName="set", TemplateBody=TEMPLATE)
    made = cfn.create_stack_instances(
        StackSetName="set", Accounts=[OTHER, ADMIN], Regions=["us-east-1"]
    )
    assert ended(cfn, made["OperationId"])["Status"] == "FAILED"
    results = cfn.list_stack_set_operation_results(
        StackSetName="set", OperationId=made["OperationId"]
    )["Summaries"]
    assert [r["Status"] for r in results] == ["FAILED", "CANCELLED"]
    assert "AWSCloudFormationStackSetExecutionRole" in results[0]["StatusReason"]
    assert days(client, OTHER, "us-east-1") is None
    with pytest.raises(ClientError, match="StackSet nobody not found"):
        cfn.create_stack_instances(StackSetName="nobody", Accounts=[OTHER], Regions=["us-east-1"])


def test_the_drift_of_every_instance_is_looked_for_in_its_account(client: Any) -> None:
    """One of three was changed behind its back: the set has drifted, the instance says by which property."""
    roles(client)
    cfn = client("cloudformation")
    cfn.create_stack_set(StackSetName="set", TemplateBody=TEMPLATE)
    places = [(ADMIN, "eu-west-1"), (ADMIN, "us-east-1"), (OTHER, "us-east-1")]
    for account, region in places:
        made = cfn.create_stack_instances(StackSetName="set", Accounts=[account], Regions=[region])
        assert ended(cfn, made["OperationId"])["Status"] == "SUCCEEDED"
    logs = client("logs", account=OTHER)
    logs.put_retention_policy(logGroupName="from-a-set", retentionInDays=7)
    asked = cfn.detect_stack_set_drift(StackSetName="set")["OperationId"]
    done = ended(cfn, asked)
    assert (done["Action"], done["Status"]) == ("DETECT_DRIFT", "SUCCEEDED")
    counts = {
        "TotalStackInstancesCount": 3,
        "DriftedStackInstancesCount": 1,
        "InSyncStackInstancesCount": 2,
        "InProgressStackInstancesCount": 0,
        "FailedStackInstancesCount": 0,
        "DriftStatus": "DRIFTED",
        "DriftDetectionStatus": "COMPLETED",
    }
    kept = cfn.describe_stack_set(StackSetName="set")["StackSet"]["StackSetDriftDetectionDetails"]
    for said in (done["StackSetDriftDetectionDetails"], kept):
        assert counts.items() <= said.items()
    (summary,) = cfn.list_stack_sets()["Summaries"]
    assert summary["DriftStatus"] == "DRIFTED"
    listed, more = [], {}
    while True:
        page = cfn.list_stack_instances(StackSetName="set", MaxResults=2, **more)
        listed += [(i["Account"], i["Region"], i["DriftStatus"]) for i in page["Summaries"]]
        if "NextToken" not in page:
            break
        more = {"NextToken": page["NextToken"]}
    assert listed == [(*place, "DRIFTED" if place[0] == OTHER else "IN_SYNC") for place in places]
    drifted = [{"Name": "DRIFT_STATUS", "Values": "DRIFTED"}]
    found = cfn.list_stack_instances(StackSetName="set", Filters=drifted)["Summaries"]
    assert [i["Account"] for i in found] == [OTHER]
    place = {"StackInstanceAccount": OTHER, "StackInstanceRegion": "us-east-1"}
    which = {"StackSetName": "set", "OperationId": asked, **place}
    (one,) = cfn.list_stack_instance_resource_drifts(**which)["Summaries"]
    (difference,) = one["PropertyDifferences"]
    assert (one["LogicalResourceId"], one["StackResourceDriftStatus"]) == ("Group", "MODIFIED")
    assert (difference["ExpectedValue"], difference["ActualValue"]) == ("1", "7")
    only = {"StackInstanceResourceDriftStatuses": ["IN_SYNC"]}
    assert cfn.list_stack_instance_resource_drifts(**which, **only)["Summaries"] == []
    with pytest.raises(ClientError) as refused:
        cfn.list_stack_instance_resource_drifts(**{**which, "OperationId": made["OperationId"]})
    assert refused.value.response["Error"]["Code"] == "OperationNotFoundException"


def test_the_limits_of_the_account_are_those_that_hold(client: Any) -> None:
    cfn = client("cloudformation")
    limits = {one["Name"]: one["Value"] for one in cfn.describe_account_limits()["AccountLimits"]}
    assert limits["StackOutputsLimit"] == 200
    outputs = {f"O{n}": {"Value": "x"} for n in range(201)}
    queue = {"Queue": {"Type": "AWS::SQS::Queue"}}
    with pytest.raises(ClientError, match="200"):
        cfn.create_stack(
            StackName="s", TemplateBody=json.dumps({"Resources": queue, "Outputs": outputs})
        )


def test_an_operation_from_before_targets_had_rows_is_carried_on(
    client: Any, platform: Any
) -> None:
    """One of two targets was done when the older server ended."""
    roles(client)
    cfn = client("cloudformation")
    cfn.create_stack_set(StackSetName="set", TemplateBody=TEMPLATE)
    where = {"Accounts": [ADMIN], "Regions": ["us-east-1", "eu-west-1"]}
    made = cfn.create_stack_instances(StackSetName="set", **where)["OperationId"]
    ended(cfn, made)
    done = {"Account": ADMIN, "Region": "us-east-1", "Status": "SUCCEEDED"}

    def older(tx: Any) -> None:
        call = platform.cloud.call(ADMIN, "us-east-1", "test")
        keys = call.keys("cloudformation")
        ((key, raw),) = list(tx.scan(keys.span("setop")))
        op = json.loads(raw)
        for gone, _ in list(tx.scan(keys.span("settarget"))):
            tx.delete(gone)
        del op["total"], op["failed"]
        op |= {"targets": [[ADMIN, r] for r in where["Regions"]], "results": [done], "done": 1}
        op |= {"status": "RUNNING", "ended_s": None}
        tx.put(key, json.dumps(op).encode())
        payload = json.dumps([ADMIN, "us-east-1", "set", made]).encode()
        platform.cloud.work.put(tx, "cloudformation.stackset", payload, partition=b"set")

    platform.run(platform.cloud.db.transact(older))
    assert ended(cfn, made)["Status"] == "SUCCEEDED"
    assert days(client, ADMIN, "eu-west-1") == 1
