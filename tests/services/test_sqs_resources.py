"""CloudFormation makes queues and their policies, changes them and takes them away."""

from __future__ import annotations

import json
from typing import Any

import pytest
from services.drift import drifted

TEMPLATE: dict[str, Any] = {
    "Resources": {
        "Dead": {"Type": "AWS::SQS::Queue", "Properties": {"FifoQueue": True}},
        "Queue": {
            "Type": "AWS::SQS::Queue",
            "Properties": {
                "FifoQueue": True,
                "ContentBasedDeduplication": True,
                "VisibilityTimeout": 120,
                "DelaySeconds": 1,
                "RedrivePolicy": {
                    "deadLetterTargetArn": {"Fn::GetAtt": ["Dead", "Arn"]},
                    "maxReceiveCount": 3,
                },
                "Tags": [{"Key": "a", "Value": "1"}],
            },
        },
        "Policy": {
            "Type": "AWS::SQS::QueuePolicy",
            "Properties": {
                "Queues": [{"Ref": "Queue"}],
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": {"Service": "sns.amazonaws.com"},
                            "Action": "sqs:SendMessage",
                            "Resource": {"Fn::GetAtt": ["Queue", "Arn"]},
                        }
                    ],
                },
            },
        },
        "Inline": {
            "Type": "AWS::SQS::QueueInlinePolicy",
            "Properties": {
                "Queue": {"Ref": "Dead"},
                "PolicyDocument": {"Version": "2012-10-17", "Statement": []},
            },
        },
    },
    "Outputs": {
        "Url": {"Value": {"Ref": "Queue"}},
        "Name": {"Value": {"Fn::GetAtt": ["Queue", "QueueName"]}},
        "Dead": {"Value": {"Ref": "Dead"}},
    },
}


def outputs(cfn: Any) -> dict[str, str]:
    (stack,) = cfn.describe_stacks(StackName="s")["Stacks"]
    return {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}


def attributes(sqs: Any, url: str) -> dict[str, str]:
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]


def test_a_stack_makes_changes_and_deletes_its_queues(client: Any) -> None:
    cfn, sqs = client("cloudformation"), client("sqs")
    template = json.loads(json.dumps(TEMPLATE))
    cfn.create_stack(StackName="s", TemplateBody=json.dumps(template))
    cfn.get_waiter("stack_create_complete").wait(
        StackName="s", WaiterConfig={"Delay": 0.05, "MaxAttempts": 200}
    )
    made = outputs(cfn)
    url = made["Url"]
    assert made["Name"].startswith("s-Queue-")
    assert made["Name"].endswith(".fifo")
    found = attributes(sqs, url)
    assert found["VisibilityTimeout"] == "120"
    assert json.loads(found["RedrivePolicy"])["maxReceiveCount"] == 3
    assert json.loads(found["Policy"])["Statement"][0]["Resource"] == found["QueueArn"]
    assert "Policy" in attributes(sqs, made["Dead"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"]["a"] == "1"
    assert drifted(cfn, "s") == {}
    properties = template["Resources"]["Queue"]["Properties"]
    properties["MaximumMessageSize"] = 1024
    cfn.update_stack(StackName="s", TemplateBody=json.dumps(template))
    cfn.get_waiter("stack_update_complete").wait(
        StackName="s", WaiterConfig={"Delay": 0.05, "MaxAttempts": 200}
    )
    del properties["VisibilityTimeout"], properties["RedrivePolicy"]
    del properties["MaximumMessageSize"]
    del template["Resources"]["Policy"]
    cfn.update_stack(StackName="s", TemplateBody=json.dumps(template))
    cfn.get_waiter("stack_update_complete").wait(
        StackName="s", WaiterConfig={"Delay": 0.05, "MaxAttempts": 200}
    )
    found = attributes(sqs, url)
    assert (found["VisibilityTimeout"], found["MaximumMessageSize"]) == ("30", "262144")
    assert not {"RedrivePolicy", "Policy"} & set(found)
    cfn.delete_stack(StackName="s")
    cfn.get_waiter("stack_delete_complete").wait(
        StackName="s", WaiterConfig={"Delay": 0.05, "MaxAttempts": 200}
    )
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        attributes(sqs, url)
