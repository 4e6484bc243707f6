"""The tagging API: what every service keeps, found by tag and type, and tagged from one place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

ACCOUNT = "000000000000"


def one_of_each(client: Any) -> dict[str, str]:
    """Type -> ARN of a thing of every type that has tags, none of them tagged."""
    where = f"us-east-1:{ACCOUNT}"
    sqs, sns, events = client("sqs"), client("sns"), client("events")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    made = {
        "sqs": sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"],
        "sns": sns.create_topic(Name="t")["TopicArn"],
        "events:event-bus": events.create_event_bus(Name="bus")["EventBusArn"],
        "events:rule": events.put_rule(Name="r", EventBusName="bus", EventPattern='{"source": ["x"]}')["RuleArn"],
        "kms": client("kms").create_key()["KeyMetadata"]["Arn"],
        "secretsmanager": client("secretsmanager").create_secret(Name="s", SecretString="x")["ARN"],
    }  # fmt: skip
    made["dynamodb"] = client("dynamodb").create_table(
        TableName="table",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
    )["TableDescription"]["TableArn"]
    api, start = client("apigateway"), "arn:aws:apigateway:us-east-1::"
    made["apigateway:apis"] = (
        f"{start}/apis/{client('apigatewayv2').create_api(Name='a', ProtocolType='HTTP')['ApiId']}"
    )
    made["apigateway:restapis"] = f"{start}/restapis/{api.create_rest_api(name='a')['id']}"
    made["apigateway:apikeys"] = f"{start}/apikeys/{api.create_api_key(name='a')['id']}"
    made["apigateway:usageplans"] = f"{start}/usageplans/{api.create_usage_plan(name='a')['id']}"
    client("logs").create_log_group(logGroupName="/a/g")
    made["logs"] = f"arn:aws:logs:{where}:log-group:/a/g"
    client("kinesis").create_stream(StreamName="k", ShardCount=1)
    made["kinesis"] = f"arn:aws:kinesis:{where}:stream/k"
    client("s3").create_bucket(Bucket="b-1")
    made["s3"] = "arn:aws:s3:::b-1"
    client("glue").create_database(DatabaseInput={"Name": "db"})
    made["glue"] = f"arn:aws:glue:{where}:database/db"
    ssm = client("ssm")
    ssm.put_parameter(Name="/a/p", Type="String", Value="x")
    made["ssm"] = f"arn:aws:ssm:{where}:parameter/a/p"
    client("cloudwatch").put_metric_alarm(
        AlarmName="al",
        MetricName="m",
        Namespace="n",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    made["cloudwatch"] = f"arn:aws:cloudwatch:{where}:alarm:al"
    made["scheduler"] = client("scheduler").create_schedule_group(Name="sg")["ScheduleGroupArn"]
    role = client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": ["pipes.amazonaws.com", "firehose.amazonaws.com"]}, "Action": "sts:AssumeRole"}],
    }))["Role"]["Arn"]  # fmt: skip
    made["firehose"] = client("firehose").create_delivery_stream(
        DeliveryStreamName="f",
        ExtendedS3DestinationConfiguration={"RoleARN": role, "BucketARN": "arn:aws:s3:::b-1"},
    )["DeliveryStreamARN"]
    made["pipes"] = client("pipes").create_pipe(
        Name="p", Source=made["sqs"], Target=made["sns"], RoleArn=role, DesiredState="STOPPED"
    )["Arn"]
    return made


def found(tagging: Any, **request: Any) -> dict[str, dict[str, str]]:
    """ARN -> tags over all pages."""
    pages = tagging.get_paginator("get_resources").paginate(**request)
    return {
        mapping["ResourceARN"]: {tag["Key"]: tag["Value"] for tag in mapping["Tags"]}
        for page in pages
        for mapping in page["ResourceTagMappingList"]
    }


def test_things_of_every_service_are_tagged_found_and_untagged(client: Any) -> None:
    """What this API writes the services themselves show, and the other way round."""
    tagging = client("resourcegroupstaggingapi")
    made = one_of_each(client)
    assert found(tagging) == {}, "what has no tag is not listed"
    arns = list(made.values())
    failed = tagging.tag_resources(ResourceARNList=arns, Tags={"team": "a", "stage": "x"})
    assert failed["FailedResourcesMap"] == {}
    assert set(found(tagging)) == set(arns)
    assert all(tags == {"team": "a", "stage": "x"} for tags in found(tagging).values())
    for kind, arn in made.items():
        assert set(found(tagging, ResourceTypeFilters=[kind])) == {arn}, kind
        assert found(tagging, ResourceARNList=[arn]) == {arn: {"team": "a", "stage": "x"}}, kind
    assert client("sqs").list_queue_tags(
        QueueUrl=client("sqs").get_queue_url(QueueName="q")["QueueUrl"]
    )["Tags"] == {"team": "a", "stage": "x"}
    tagging.tag_resources(ResourceARNList=arns[:2], Tags={"stage": "y"})
    by_value = {"Key": "stage", "Values": ["y", "z"]}
    assert set(found(tagging, TagFilters=[by_value])) == set(arns[:2])
    both = [by_value, {"Key": "team", "Values": ["b"]}]
    assert found(tagging, TagFilters=both) == {}
    keys = tagging.get_paginator("get_tag_keys").paginate().build_full_result()["TagKeys"]
    assert keys == ["stage", "team"]
    values = tagging.get_tag_values(Key="stage")["TagValues"]
    assert values == ["x", "y"]
    client("sns").untag_resource(ResourceArn=made["sns"], TagKeys=["team", "stage"])
    assert made["sns"] not in found(tagging)
    failed = tagging.untag_resources(ResourceARNList=arns, TagKeys=["team", "stage"])
    assert failed["FailedResourcesMap"] == {}
    assert found(tagging) == {}
    with pytest.raises(ClientError, match="NoSuchTagSet"):
        client("s3").get_bucket_tagging(Bucket="b-1")


TRUST = json.dumps({
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
})  # fmt: skip


def test_iams_things_are_tagged_and_found_but_for_users_and_roles(client: Any) -> None:
    """Its page: "The GetResources operation does not currently support IAM users and roles." What is found is in us-east-1."""
    iam, tagging = client("iam"), client("resourcegroupstaggingapi")
    text = json.dumps({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
    })  # fmt: skip
    hidden = [
        iam.create_role(RoleName="r", Path="/a/", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"],
        iam.create_user(UserName="u", Path="/a/b/")["User"]["Arn"],
    ]
    shown = {
        "iam:policy": iam.create_policy(PolicyName="p", Path="/a/", PolicyDocument=text)["Policy"]["Arn"],
        "iam:instance-profile": iam.create_instance_profile(InstanceProfileName="i", Path="/a/")["InstanceProfile"]["Arn"],
        "iam:mfa": iam.create_virtual_mfa_device(VirtualMFADeviceName="m")["VirtualMFADevice"]["SerialNumber"],
        "iam:oidc-provider": iam.create_open_id_connect_provider(Url="https://id.example.com", ThumbprintList=["a" * 40])["OpenIDConnectProviderArn"],
    }  # fmt: skip
    arns = [*hidden, *shown.values()]
    failed = tagging.tag_resources(ResourceARNList=arns, Tags={"team": "a", "x": "y"})
    assert failed["FailedResourcesMap"] == {}
    assert tagging.untag_resources(ResourceARNList=arns, TagKeys=["x"])["FailedResourcesMap"] == {}
    listed = [{"Key": "team", "Value": "a"}]
    assert iam.list_role_tags(RoleName="r")["Tags"] == listed
    assert iam.list_user_tags(UserName="u")["Tags"] == listed
    assert found(tagging) == {arn: {"team": "a"} for arn in shown.values()}
    for kind, arn in shown.items():
        assert set(found(tagging, ResourceTypeFilters=[kind])) == {arn}, kind
    assert set(found(tagging, ResourceTypeFilters=["iam"])) == set(shown.values())
    assert set(found(tagging, ResourceARNList=arns)) == set(shown.values())
    elsewhere = client("resourcegroupstaggingapi", region="eu-west-1")
    assert found(elsewhere) == {}
    failed = elsewhere.tag_resources(ResourceARNList=arns, Tags={"a": "b"})["FailedResourcesMap"]
    assert {one["ErrorCode"] for one in failed.values()} == {"InvalidParameterException"}
    odd = f"arn:aws:iam::{ACCOUNT}:group/g"
    failed = tagging.tag_resources(ResourceARNList=[odd], Tags={"a": "b"})["FailedResourcesMap"]
    assert "not offered here by Stratolite" in failed[odd]["ErrorMessage"]


def test_pages_go_through_everything_once_and_cost_what_they_hold(
    client: Any, monkeypatch: Any
) -> None:
    """A page that finds nothing ends where it has looked at enough, and goes on from there."""
    from stratolite.services.resourcegroupstaggingapi import service

    sqs, tagging = client("sqs"), client("resourcegroupstaggingapi")
    for n in range(25):
        sqs.create_queue(QueueName=f"q{n:02}", tags={"n": str(n)} if n % 5 == 0 else {})
    for n in range(3):
        client("logs").create_log_group(logGroupName=f"g{n}", tags={"n": f"g{n}"})
    everything = found(tagging)
    assert len(everything) == 5 + 3
    assert found(tagging, PaginationConfig={"PageSize": 2}) == everything
    monkeypatch.setattr(service, "LOOKED_AT_COUNT_MAX", 4)
    seen: list[str] = []
    token, pages = "", 0
    while True:
        page = tagging.get_resources(PaginationToken=token, ResourcesPerPage=2)
        seen += [m["ResourceARN"] for m in page["ResourceTagMappingList"]]
        pages += 1
        token = page["PaginationToken"]
        if not token:
            break
    assert sorted(seen) == sorted(everything)
    assert pages >= (25 + 3) // 4
    keys, token = [], ""
    while True:
        answer = tagging.get_tag_values(Key="n", PaginationToken=token)
        keys += answer["TagValues"]
        token = answer["PaginationToken"]
        if not token:
            break
    assert sorted(keys) == sorted(tags["n"] for tags in everything.values())


def test_what_cannot_be_tagged_is_told_each_by_its_arn(client: Any) -> None:
    """Some may fail while others are tagged; the caller needs the service's permission, too."""
    tagging = client("resourcegroupstaggingapi")
    client("sqs").create_queue(QueueName="q")
    queue = f"arn:aws:sqs:us-east-1:{ACCOUNT}:q"
    arns = [
        queue,
        f"arn:aws:sqs:us-east-1:{ACCOUNT}:none",
        f"arn:aws:sqs:eu-west-1:{ACCOUNT}:q",
        f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/i-1",
        "arn:aws:s3:::none",
    ]
    failed = tagging.tag_resources(ResourceARNList=arns, Tags={"a": "b"})["FailedResourcesMap"]
    assert set(failed) == set(arns[1:])
    assert "not offered here by Stratolite" in failed[arns[3]]["ErrorMessage"]
    assert failed[arns[2]]["ErrorCode"] == "InvalidParameterException"
    assert found(tagging) == {queue: {"a": "b"}}
    iam = client("iam")
    iam.create_user(UserName="u")
    text = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "tag:*", "Resource": "*"}],
    }
    iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=json.dumps(text))
    key = iam.create_access_key(UserName="u")["AccessKey"]
    theirs = client(
        "resourcegroupstaggingapi", key=key["AccessKeyId"], secret=key["SecretAccessKey"]
    )
    assert set(found(theirs)) == {queue}
    failed = theirs.tag_resources(ResourceARNList=[queue], Tags={"a": "c"})["FailedResourcesMap"]
    assert "AccessDenied" in failed[queue]["ErrorCode"]
    assert found(tagging) == {queue: {"a": "b"}}


def test_what_is_asked_wrongly_is_refused(client: Any) -> None:
    """And what is not offered, by name."""
    tagging = client("resourcegroupstaggingapi")

    def refused(code: str, match: str, operation: str, **request: Any) -> None:
        with pytest.raises(ClientError, match=match) as caught:
            getattr(tagging, operation)(**request)
        assert caught.value.response["Error"]["Code"] == code

    bad = "InvalidParameterException"
    refused(bad, "PaginationToken", "get_resources", PaginationToken="nonsense")
    refused(bad, "PaginationToken", "get_resources", PaginationToken="WzEsMl0=")
    refused(bad, "ResourcesPerPage", "get_resources", ResourcesPerPage=101)
    refused(bad, "TagsPerPage", "get_resources", TagsPerPage=150)
    refused(bad, "one filter only", "get_resources", TagFilters=[{"Key": "a"}, {"Key": "a"}])
    refused(bad, "together", "get_resources", ResourceARNList=["arn:aws:s3:::b"], TagFilters=[{"Key": "a"}])  # fmt: skip
    refused(bad, "IncludeComplianceDetails is not offered", "get_resources", IncludeComplianceDetails=True)  # fmt: skip
    refused("NotImplemented", "GetComplianceSummary is not offered", "get_compliance_summary")


def test_the_tags_of_stacks_and_what_they_made_are_found(client: Any) -> None:
    """With those CloudFormation gives its resources."""
    cfn, tagging = client("cloudformation"), client("resourcegroupstaggingapi")
    text = json.dumps({"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}})
    cfn.create_stack(StackName="s", TemplateBody=text, Tags=[{"Key": "a", "Value": "b"}])
    cfn.get_waiter("stack_create_complete").wait(StackName="s", WaiterConfig={"Delay": 1})
    stacks = found(tagging, ResourceTypeFilters=["cloudformation:stack"])
    assert list(stacks.values()) == [{"a": "b"}]
    made = found(tagging, ResourceTypeFilters=["sqs"], TagFilters=[{"Key": "a", "Values": ["b"]}])
    assert len(made) == 1
