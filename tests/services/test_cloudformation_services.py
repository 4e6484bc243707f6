"""Stacks beside the services they work with: imports, notices by SNS, alarms that roll back, values of Parameter Store."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from botocore.exceptions import ClientError

from stratolite.errors import Fault
from stratolite.service import Resource
from stratolite.services.cloudformation.intrinsics import Unknown
from stratolite.services.cloudformation.places import Misplaced
from stratolite.services.cloudformation.values import check_values

QUEUE = {"Type": "AWS::SQS::Queue", "DeletionPolicy": "Retain"}


def text(resources: dict[str, Any], **sections: Any) -> str:
    return json.dumps({"Resources": resources, **sections})


def status(cfn: Any, name: str) -> str:
    for _ in range(5_000):
        found = str(cfn.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])
        if not found.endswith("IN_PROGRESS") or found == "REVIEW_IN_PROGRESS":
            return found
        time.sleep(0.02)
    raise AssertionError(found)


def test_what_is_there_already_is_taken_into_a_stack(client: Any) -> None:
    """The bucket is not touched; afterwards the stack updates it as its own."""
    cfn, s3 = client("cloudformation"), client("s3")
    s3.create_bucket(Bucket="old-bucket")
    s3.put_object(Bucket="old-bucket", Key="k", Body=b"x")
    bucket = {
        "Type": "AWS::S3::Bucket",
        "DeletionPolicy": "Retain",
        "Properties": {"BucketName": "old-bucket"},
    }
    wanted: dict[str, Any] = {
        "StackName": "s",
        "ChangeSetType": "IMPORT",
        "TemplateBody": text({"B": bucket}),
        "ResourcesToImport": [
            {
                "ResourceType": "AWS::S3::Bucket",
                "LogicalResourceId": "B",
                "ResourceIdentifier": {"BucketName": "old-bucket"},
            }
        ],
    }
    nobody = json.loads(json.dumps(wanted).replace("old-bucket", "no-bucket"))
    with pytest.raises(ClientError, match="no-bucket of type AWS::S3::Bucket does not exist"):
        cfn.create_change_set(ChangeSetName="no", **nobody)
    cfn.create_change_set(ChangeSetName="c", **wanted)
    change = cfn.describe_change_set(StackName="s", ChangeSetName="c")["Changes"][0]
    assert change["ResourceChange"]["Action"] == "Import"
    assert change["ResourceChange"]["PhysicalResourceId"] == "old-bucket"
    cfn.execute_change_set(StackName="s", ChangeSetName="c")
    assert status(cfn, "s") == "IMPORT_COMPLETE"
    bucket["Properties"] |= {"Tags": [{"Key": "a", "Value": "b"}]}
    cfn.update_stack(StackName="s", TemplateBody=text({"B": bucket}))
    assert status(cfn, "s") == "UPDATE_COMPLETE"
    assert s3.get_bucket_tagging(Bucket="old-bucket")["TagSet"] == [{"Key": "a", "Value": "b"}]
    assert s3.get_object(Bucket="old-bucket", Key="k")["Body"].read() == b"x"


def test_a_stack_tells_its_topic_what_happens(client: Any) -> None:
    sns, sqs, cfn = client("sns"), client("sqs"), client("cloudformation")
    topic = sns.create_topic(Name="t")["TopicArn"]
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    policy = {
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": arn["QueueArn"],
            }
        ]
    }
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["QueueArn"])
    cfn.create_stack(
        StackName="s",
        TemplateBody=text({"G": {"Type": "AWS::Logs::LogGroup"}}),
        NotificationARNs=[topic],
    )
    assert status(cfn, "s") == "CREATE_COMPLETE"
    said: list[str] = []
    for _ in range(40):
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get(
            "Messages", []
        ):
            said.append(json.loads(message["Body"])["Message"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        if len(said) >= 4:
            break
        time.sleep(0.05)
    assert any("LogicalResourceId='G'" in m and "'CREATE_COMPLETE'" in m for m in said)
    assert all("StackName='s'" in m for m in said)


def test_an_alarm_that_goes_off_rolls_the_stack_back(client: Any) -> None:
    cloudwatch, cfn = client("cloudwatch"), client("cloudformation")
    cloudwatch.put_metric_alarm(
        AlarmName="a",
        Namespace="N",
        MetricName="M",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    arn = cloudwatch.describe_alarms(AlarmNames=["a"])["MetricAlarms"][0]["AlarmArn"]
    trigger = {"RollbackTriggers": [{"Arn": arn, "Type": "AWS::CloudWatch::Alarm"}]}
    body = text({"G": {"Type": "AWS::Logs::LogGroup"}})
    cfn.create_stack(StackName="s", TemplateBody=body, RollbackConfiguration=trigger)
    assert status(cfn, "s") == "CREATE_COMPLETE"
    cloudwatch.set_alarm_state(AlarmName="a", StateValue="ALARM", StateReason="test")
    more = text({"G": {"Type": "AWS::Logs::LogGroup"}, "H": {"Type": "AWS::Logs::LogGroup"}})
    cfn.update_stack(StackName="s", TemplateBody=more)
    assert status(cfn, "s") == "UPDATE_ROLLBACK_COMPLETE"
    events = cfn.describe_stack_events(StackName="s")["StackEvents"]
    assert any("Rollback trigger" in e.get("ResourceStatusReason", "") for e in events)


def test_parameters_may_be_names_in_parameter_store(client: Any) -> None:
    """The name is shown with what it stands for; an update looks again."""
    ssm, cfn = client("ssm"), client("cloudformation")
    ssm.put_parameter(Name="/days", Type="String", Value="3")
    ssm.put_parameter(Name="/names", Type="StringList", Value="a,b")
    body = text(
        {
            "G": {
                "Type": "AWS::Logs::LogGroup",
                "Properties": {"RetentionInDays": {"Ref": "Days"}},
            },
            "T": {
                "Type": "AWS::SNS::Topic",
                "Properties": {"DisplayName": {"Fn::Join": ["+", {"Ref": "Names"}]}},
            },
        },
        Parameters={
            "Days": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/days"},
            "Names": {"Type": "AWS::SSM::Parameter::Value<List<String>>", "Default": "/names"},
        },
    )
    cfn.create_stack(StackName="s", TemplateBody=body)
    assert status(cfn, "s") == "CREATE_COMPLETE"
    shown = cfn.describe_stacks(StackName="s")["Stacks"][0]["Parameters"]
    assert {p["ParameterKey"]: (p["ParameterValue"], p["ResolvedValue"]) for p in shown} == {
        "Days": ("/days", "3"),
        "Names": ("/names", "a,b"),
    }
    ssm.put_parameter(Name="/days", Type="String", Value="5", Overwrite=True)
    cfn.update_stack(StackName="s", UsePreviousTemplate=True)
    assert status(cfn, "s") == "UPDATE_COMPLETE"
    group = client("logs").describe_log_groups(logGroupNamePrefix="s-G")["logGroups"][0]
    assert group["retentionInDays"] == 5


def test_a_secret_reaches_the_resource_and_nothing_that_is_shown(client: Any) -> None:
    secrets, cfn = client("secretsmanager"), client("cloudformation")
    secrets.create_secret(Name="s", SecretString='{"password": "hunter-2"}')
    reference = "{{resolve:secretsmanager:s:SecretString:password}}"
    body = text(
        {
            "P": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": reference}},
            "Q": {
                "Type": "AWS::SSM::Parameter",
                "DependsOn": "P",
                "Properties": {"Type": "String", "Value": "x", "AllowedPattern": reference},
            },
        }
    )  # fmt: skip
    cfn.create_stack(StackName="s", TemplateBody=body, OnFailure="DO_NOTHING")
    assert status(cfn, "s") == "CREATE_FAILED"
    resources = cfn.describe_stack_resources(StackName="s")["StackResources"]
    name = next(r["PhysicalResourceId"] for r in resources if r["LogicalResourceId"] == "P")
    assert client("ssm").get_parameter(Name=name)["Parameter"]["Value"] == "hunter-2"
    said = json.dumps(
        [cfn.describe_stack_events(StackName="s"), cfn.get_template(StackName="s")], default=str
    )
    assert "hunter-2" not in said


@pytest.mark.parametrize(
    ("reference", "named"), [("ssm:/nobody", "ssm:/nobody"), ("ssm:/nobody:3", "ssm:/nobody:3")]
)
def test_a_parameter_that_a_reference_finds_nowhere_is_named(
    client: Any, reference: str, named: str
) -> None:
    cfn = client("cloudformation")
    topic = {
        "Type": "AWS::SNS::Topic",
        "Properties": {"DisplayName": f"{{{{resolve:{reference}}}}}"},
    }
    cfn.create_stack(StackName="s", TemplateBody=text({"T": topic}))
    assert status(cfn, "s") == "ROLLBACK_COMPLETE"
    events = cfn.describe_stack_events(StackName="s")["StackEvents"]
    failed = [e for e in events if e["ResourceStatus"] == "CREATE_FAILED"]
    said = [e["ResourceStatusReason"] for e in failed]
    assert said == [f"Parameters: [{named}] cannot be found."]


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        ("describe_stacks", {}),
        ("describe_stack_events", {}),
        ("delete_stack", {}),
        ("update_stack", {"TemplateBody": "{}"}),
        ("get_template", {}),
        ("list_change_sets", {}),
        ("detect_stack_drift", {}),
    ],
)
def test_what_can_be_no_stacks_name_is_said_to_be_none(
    client: Any, operation: str, more: dict[str, str]
) -> None:
    """Not that there is no such stack: https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html"""
    with pytest.raises(ClientError) as caught:
        getattr(client("cloudformation"), operation)(StackName="a_stack", **more)
    said = caught.value.response["Error"]
    assert said["Code"] == "ValidationError"
    assert said["Message"] == (
        "1 validation error detected: Value 'a_stack' at 'stackName' failed to satisfy constraint: Member must satisfy"
        " regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*|arn:[-a-zA-Z0-9:/._+]*"
    )


def test_a_value_that_its_service_would_refuse_stops_an_update_before_it_begins(
    client: Any,
) -> None:
    """Not a rollback later."""
    cfn = client("cloudformation")
    rule = {"Type": "AWS::Events::Rule", "Properties": {"ScheduleExpression": "rate(1 day)"}}
    cfn.create_stack(StackName="s", TemplateBody=text({"R": rule}))
    assert status(cfn, "s") == "CREATE_COMPLETE"
    rule["Properties"] = {"ScheduleExpression": "rate(1 days)"}
    for operation in ("update_stack", "create_change_set"):
        more = {"ChangeSetName": "c"} if operation == "create_change_set" else {}
        with pytest.raises(ClientError, match=r"#/ScheduleExpression: .* is not valid. \(line 1\)"):
            getattr(cfn, operation)(StackName="s", TemplateBody=text({"R": rule}), **more)
    assert status(cfn, "s") == "CREATE_COMPLETE"


def test_values_are_asked_about_where_they_are_known_and_new() -> None:
    """A resource that stays as it is may have what is refused by now; what another resource will have is not known yet."""
    asked: list[Any] = []

    def refuse(value: Any) -> None:
        asked.append(value)
        raise Fault("Bad", "no")

    class Thing(Resource):
        type = "Test::Thing"
        values: ClassVar[Mapping[str, Any]] = {"A": refuse, "List.*": refuse, "Tree": refuse}
        stand_ins: ClassVar[Mapping[str, Any]] = {"Tree": "later"}

    later = Unknown("Other")
    stated = {"A": "x", "List": [1, later, "{{resolve:ssm:x}}"], "Tree": {"K": [later]}}
    check_values(Thing(), "T", stated, stated)
    check_values(Thing(), "T", {"A": later})
    assert asked == []
    with pytest.raises(Misplaced) as caught:
        check_values(Thing(), "T", stated, {"A": "x"})
    assert [at for _, at in caught.value.further] == [("List", "0"), ("Tree",)]
    assert asked == ["x", 1, {"K": ["later"]}]
