"""Policies, names and tags that AWS refuses, in its words."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

ME = "000000000000"
RESERVED = "aws: prefixed tag key names are not allowed for external use."


def policy(**statement):
    allowed = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"} | statement
    return json.dumps({"Version": "2012-10-17", "Statement": [allowed]})


TRUST = json.dumps({
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": ME}, "Action": "sts:AssumeRole"}],
})  # fmt: skip


def refused(call, code, said, **asked):
    with pytest.raises(ClientError) as error:
        call(**asked)
    found = error.value.response["Error"]
    assert (found["Code"], found["Message"]) == (code, said)


def test_a_statements_id_is_alphanumeric(client):
    iam = client("iam")
    said = "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*"
    for sid in ("a b", "a-b", "a_b"):
        asked = {"PolicyName": "p", "PolicyDocument": policy(Sid=sid)}
        refused(iam.create_policy, "MalformedPolicyDocument", said, **asked)
    iam.create_policy(PolicyName="p", PolicyDocument=policy(Sid="a1B"))
    iam.create_policy(PolicyName="q", PolicyDocument=policy(Sid=""))


def test_a_session_policy_has_2048_characters(client):
    """API_AssumeRole.html: "The plaintext that you use for both inline and managed session policies can't exceed 2,048 characters"."""
    client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)
    sts = client("sts")
    asked = {"RoleArn": f"arn:aws:iam::{ME}:role/r", "RoleSessionName": "s1"}
    text = policy(Sid="a")
    sts.assume_role(**asked, Policy=text + " " * (2048 - len(text)))
    long = text + " " * (2049 - len(text))
    said = (
        f"1 validation error detected: Value '{long}' at 'policy' failed to satisfy constraint:"
        " Member must have length less than or equal to 2048"
    )
    refused(sts.assume_role, "ValidationError", said, **asked, Policy=long)


def test_policies_that_do_not_pack_are_too_large(client):
    """Each within its quota, together too much: told of the policy, not of tags."""
    client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)
    made = [f"arn:aws:s3:::{(i * 7919 + 13) ** 9:x}"[:62] for i in range(28)]
    tags = [{"Key": f"{(i * 104729 + 7) ** 9:x}", "Value": f"{(i * 1299709 + 3) ** 20:x}"[:200]} for i in range(1, 20)]  # fmt: skip
    with pytest.raises(ClientError, match="PackedPolicyTooLarge") as error:
        client("sts").assume_role(
            RoleArn=f"arn:aws:iam::{ME}:role/r", RoleSessionName="s1", Policy=policy(Resource=made), Tags=tags
        )  # fmt: skip
    assert error.value.response["Error"]["Message"].endswith("please use smaller policy.")


@pytest.mark.parametrize(
    ("operation", "asked", "field"),
    [
        ("get_role", {"RoleName": "a b"}, "roleName"),
        ("list_role_tags", {"RoleName": "a/b"}, "roleName"),
        ("delete_role", {"RoleName": "a b"}, "roleName"),
        ("get_user", {"UserName": "a b"}, "userName"),
        ("get_group", {"GroupName": "a:b"}, "groupName"),
        ("get_instance_profile", {"InstanceProfileName": "a b"}, "instanceProfileName"),
        ("get_role_policy", {"RoleName": "r", "PolicyName": "a b"}, "policyName"),
    ],
)
def test_names_that_nothing_can_have_are_no_names(client, operation, asked, field):
    iam = client("iam")
    said = (
        f"The specified value for {field} is invalid. It must contain only alphanumeric"
        " characters and/or the following: +=,.@_-"
    )
    refused(getattr(iam, operation), "ValidationError", said, **asked)


def test_tables_take_policies_of_dynamodb_only(client):
    dynamodb = client("dynamodb")
    arn = dynamodb.create_table(
        TableName="table",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
    )["TableDescription"]["TableArn"]
    said = (
        "One or more parameter values were invalid: Invalid policy document:"
        ' The following action names are invalid: "s3:GetObject", "sqs:SendMessage"'
    )
    actions = ["dynamodb:GetItem", "s3:GetObject", "sqs:SendMessage"]
    foreign = policy(Principal={"AWS": ME}, Action=actions)
    asked = {"ResourceArn": arn, "Policy": foreign}
    refused(dynamodb.put_resource_policy, "ValidationException", said, **asked)
    good = policy(Principal={"AWS": ME}, Action="DynamoDB:get*")
    dynamodb.put_resource_policy(ResourceArn=arn, Policy=good)


def reserved(client):
    """Service -> (code, message, call that takes the tags as a list of Key and Value or as a map)."""
    iam = client("iam")
    iam.create_user(UserName="ann")
    events, logs, scheduler = client("events"), client("logs"), client("scheduler")
    bus = events.create_event_bus(Name="b")["EventBusArn"]
    logs.create_log_group(logGroupName="g")
    group = f"arn:aws:logs:us-east-1:{ME}:log-group:g"
    secrets, ssm, firehose = client("secretsmanager"), client("ssm"), client("firehose")
    secrets.create_secret(Name="s", SecretString="v")
    ssm.put_parameter(Name="p", Value="v", Type="String")
    schedules = scheduler.create_schedule_group(Name="x")["ScheduleGroupArn"]
    listed, mapped = [{"Key": "AWS:x", "Value": "1"}], {"aws:x": "1"}
    return {
        "iam": ("InvalidInput", lambda: iam.tag_user(UserName="ann", Tags=listed)),
        "iam new": (
            "InvalidInput",
            lambda: iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST, Tags=listed),
        ),
        "events": ("ValidationException", lambda: events.tag_resource(ResourceARN=bus, Tags=listed)),
        "logs": (
            "InvalidParameterException",
            lambda: logs.tag_resource(resourceArn=group, tags=mapped),
        ),
        "secretsmanager": (
            "InvalidParameterException",
            lambda: secrets.tag_resource(SecretId="s", Tags=listed),
        ),
        "ssm": (
            "ValidationException",
            lambda: ssm.add_tags_to_resource(
                ResourceType="Parameter", ResourceId="p", Tags=listed
            ),
        ),
        "scheduler": (
            "ValidationException",
            lambda: scheduler.tag_resource(ResourceArn=schedules, Tags=listed),
        ),
        "scheduler new": (
            "ValidationException",
            lambda: scheduler.create_schedule_group(Name="y", Tags=listed),
        ),
        "firehose": (
            "InvalidArgumentException",
            lambda: firehose.create_delivery_stream(
                DeliveryStreamName="f",
                Tags=listed,
                ExtendedS3DestinationConfiguration={
                    "RoleARN": f"arn:aws:iam::{ME}:role/r",
                    "BucketARN": "arn:aws:s3:::b",
                },
            ),
        ),
    }  # fmt: skip


def test_tags_of_awss_own_are_refused(client):
    for name, (code, call) in reserved(client).items():
        words = (
            "Tag keys beginning with aws: are reserved for system use." if "iam" in name else RESERVED
        )  # fmt: skip
        with pytest.raises(ClientError) as error:
            call()
        found = error.value.response["Error"]
        assert (found["Code"], found["Message"]) == (code, words), name


@pytest.fixture
def put(client):
    s3 = client("s3")
    s3.create_bucket(Bucket="spoken-of")

    def put(action, *resources):
        text = policy(
            Principal={"AWS": ME},
            Action=action,
            Resource=[f"arn:aws:s3:::spoken-of{resource}" for resource in resources],
        )
        s3.put_bucket_policy(Bucket="spoken-of", Policy=text)

    return put


@pytest.mark.parametrize("action", ["s3:GetFoo", "s3:HeadBucket", "s3:Foo*", "sqs:SendMessage"])
def test_a_bucket_policy_has_actions_of_s3_only(put, action):
    with pytest.raises(ClientError, match="MalformedPolicy.*Policy has invalid action"):
        put(["s3:GetObject", action], "/*")


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:GetObject", ""),
        ("s3:ListBucket", "/*"),
        (["s3:GetObject", "s3:ListBucket"], "/*"),
        ("s3:ListAllMyBuckets", ""),
        ("s3:CreateJob", "/*"),
        ("s3:PutObj*", ""),
    ],
)
def test_a_bucket_policys_actions_are_of_its_resources(put, action, resource):
    with pytest.raises(ClientError, match="MalformedPolicy") as refused:
        put(action, resource)
    said = "Action does not apply to any resource(s) in statement"
    assert refused.value.response["Error"]["Message"] == said


def test_bucket_policies_as_they_are_written(put):
    """In any case, with wildcards, of both kinds where both are meant."""
    put("s3:*", "", "/*")
    put("s3:*", "/*")
    put(["s3:GetObject*", "s3:GetBucket*", "s3:List*", "s3:DeleteObject*"], "", "/*")
    put("S3:getobject", "/a/b")
    put("s3:GetObject", "*")
    put(["s3:ListBucket", "s3:GetBucketAcl"], "")


def test_no_operation_asks_for_an_action_no_policy_may_name():
    from stratolite.services.s3 import access, policy_actions

    for table in (access._ON_OBJECT, access._OF_VERSION):
        assert {a.lower() for a in table.values()} <= policy_actions.ON_OBJECTS
    asked = {a.lower() for a in access._ON_BUCKET.values()}
    assert asked <= policy_actions.ON_BUCKETS
