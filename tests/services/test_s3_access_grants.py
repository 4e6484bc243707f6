"""S3 Access Grants: credentials for the prefix that was granted, for whom it was granted to, and for nothing else."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

ACCOUNT = "000000000000"
A = {"AccountId": ACCOUNT}


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def refused(call, **request):
    with pytest.raises(ClientError) as error:
        call(**request)
    answer = error.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


@pytest.fixture
def control(client):
    return client("s3control")


@pytest.fixture
def s3(client):
    made = client("s3")
    for name in ("data", "other"):
        made.create_bucket(Bucket=name)
        for key in ("in/a", "in/deep/b", "out/c"):
            made.put_object(Bucket=name, Key=key, Body=key)
    return made


@pytest.fixture
def role(client):
    iam = client("iam")
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "access-grants.s3.amazonaws.com"},
        "Action": ["sts:AssumeRole", "sts:SetSourceIdentity"],
        "Condition": {
            "StringEquals": {
                "aws:SourceArn": f"arn:aws:s3:us-east-1:{ACCOUNT}:access-grants/default"
            }
        },
    }
    made = iam.create_role(RoleName="location", AssumeRolePolicyDocument=document(trust))["Role"]
    may = {"Effect": "Allow", "Action": ["s3:*", "kms:*"], "Resource": "*"}
    iam.put_role_policy(RoleName="location", PolicyName="p", PolicyDocument=document(may))
    return made["Arn"]


def user(client, name, *actions, account=ACCOUNT):
    iam = client("iam", account=account)
    arn = iam.create_user(UserName=name)["User"]["Arn"]
    may = {"Effect": "Allow", "Action": actions or ("s3:GetDataAccess", "s3:ListCallerAccessGrants"), "Resource": "*"}  # fmt: skip
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document(may))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    keys = {"key": key["AccessKeyId"], "secret": key["SecretAccessKey"]}
    return arn, client("s3control", **keys), client("s3", **keys)


def with_credentials(client, made):
    given = made["Credentials"]
    return client(
        "s3",
        key=given["AccessKeyId"],
        secret=given["SecretAccessKey"],
        token=given["SessionToken"],
    )


def grant(control, location, arn, permission="READ", **more):
    return control.create_access_grant(
        **A,
        AccessGrantsLocationId=location,
        Grantee={"GranteeType": "IAM", "GranteeIdentifier": arn},
        Permission=permission,
        **more,
    )


def under(prefix):
    return {"AccessGrantsLocationConfiguration": {"S3SubPrefix": prefix}}


def test_a_grantee_gets_the_prefix_that_was_granted_and_no_more(
    client, control, s3, role, platform
):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-grants-credentials.html"""
    control.create_access_grants_instance(**A)
    made = control.create_access_grants_location(**A, LocationScope="s3://", IAMRoleArn=role)
    assert made["AccessGrantsLocationId"] == "default"
    arn, asks, bare = user(client, "reader")
    one = grant(control, "default", arn, **under("data/in/*"))
    assert one["GrantScope"] == "s3://data/in/*"
    platform.reopen()
    got = asks.get_data_access(**A, Target="s3://data/in/*", Permission="READ")
    assert got["MatchedGrantTarget"] == "s3://data/in/*"
    theirs = with_credentials(client, got)
    assert theirs.get_object(Bucket="data", Key="in/deep/b")["Body"].read() == b"in/deep/b"
    listed = theirs.list_objects_v2(Bucket="data", Prefix="in/")["Contents"]
    assert [one["Key"] for one in listed] == ["in/a", "in/deep/b"]
    denied = ("AccessDenied", 403)
    assert refused(theirs.get_object, Bucket="data", Key="out/c") == denied
    assert refused(theirs.get_object, Bucket="other", Key="in/a") == denied
    assert refused(theirs.list_objects_v2, Bucket="data") == denied
    assert refused(theirs.put_object, Bucket="data", Key="in/new", Body=b"x") == denied
    assert refused(bare.get_object, Bucket="data", Key="in/a") == denied  # not without them
    small = asks.get_data_access(
        **A, Target="s3://data/in/deep/*", Permission="READ", Privilege="Minimal"
    )
    theirs = with_credentials(client, small)
    theirs.get_object(Bucket="data", Key="in/deep/b")
    assert refused(theirs.get_object, Bucket="data", Key="in/a") == denied
    ask = asks.get_data_access
    assert refused(ask, **A, Target="s3://data/in/*", Permission="WRITE") == denied
    assert refused(ask, **A, Target="s3://data/*", Permission="READ") == denied
    assert refused(ask, **A, Target="s3://data/in", Permission="READ") == denied
    shown = asks.list_caller_access_grants(**A)["CallerAccessGrantsList"]
    assert [(one["Permission"], one["GrantScope"]) for one in shown] == [("READ", "s3://data/in/*")]
    control.delete_access_grant(**A, AccessGrantId=one["AccessGrantId"])
    assert refused(ask, **A, Target="s3://data/in/*", Permission="READ") == denied


def test_the_closest_grant_counts_and_a_role_is_a_grantee_too(client, control, s3, role):
    control.create_access_grants_instance(**A)
    where = control.create_access_grants_location(**A, LocationScope="s3://data", IAMRoleArn=role)[
        "AccessGrantsLocationId"
    ]
    iam = client("iam")
    trust = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}
    app = iam.create_role(RoleName="app", Path="/deep/", AssumeRolePolicyDocument=document(trust))
    may = {"Effect": "Allow", "Action": "s3:GetDataAccess", "Resource": "*"}
    iam.put_role_policy(RoleName="app", PolicyName="p", PolicyDocument=document(may))
    arn = app["Role"]["Arn"]
    assert grant(control, where, arn)["GrantScope"] == "s3://data/*"
    grant(control, where, arn, "READWRITE", **under("in/"))
    grant(control, where, arn, "WRITE", S3PrefixType="Object", **under("out/c"))
    session = client("sts").assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"]
    asks = client(
        "s3control",
        key=session["AccessKeyId"],
        secret=session["SecretAccessKey"],
        token=session["SessionToken"],
    )
    got = asks.get_data_access(**A, Target="s3://data/in/a", Permission="READ", TargetType="Object")
    assert got["MatchedGrantTarget"] == "s3://data/in/*"
    with_credentials(client, got).put_object(Bucket="data", Key="in/new", Body=b"x")
    got = asks.get_data_access(**A, Target="s3://data/out/*", Permission="READ")
    assert got["MatchedGrantTarget"] == "s3://data/*"
    got = asks.get_data_access(
        **A, Target="s3://data/out/c", Permission="WRITE", TargetType="Object"
    )
    theirs = with_credentials(client, got)
    theirs.put_object(Bucket="data", Key="out/c", Body=b"new")
    assert refused(theirs.put_object, Bucket="data", Key="out/cc", Body=b"x")[0] == "AccessDenied"


def test_another_account_comes_in_by_the_instance_s_policy(client, control, s3, role):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-grants-cross-accounts.html"""
    control.create_access_grants_instance(**A)
    control.create_access_grants_location(**A, LocationScope="s3://", IAMRoleArn=role)
    arn, asks, _ = user(client, "guest", account="111111111111")
    grant(control, "default", arn, **under("data/in/*"))
    ask = {**A, "Target": "s3://data/in/*", "Permission": "READ"}
    assert refused(asks.get_data_access, **ask) == ("AccessDenied", 403)
    allowed = {
        "Effect": "Allow", "Principal": {"AWS": "111111111111"}, "Action": "s3:GetDataAccess",
        "Resource": f"arn:aws:s3:us-east-1:{ACCOUNT}:access-grants/default",
    }  # fmt: skip
    control.put_access_grants_instance_resource_policy(**A, Policy=document(allowed))
    theirs = with_credentials(client, asks.get_data_access(**ask))
    assert theirs.get_object(Bucket="data", Key="in/a")["Body"].read() == b"in/a"
    control.delete_access_grants_instance_resource_policy(**A)
    assert refused(asks.get_data_access, **ask) == ("AccessDenied", 403)


def test_what_is_wrong_is_said_in_aws_s_codes(client, control, s3, role):
    """https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#S3AccessGrantsErrorCodeList"""
    where = {"LocationScope": "s3://data/*", "IAMRoleArn": role}
    missing = ("AccessGrantsInstanceNotExistsError", 404)
    assert refused(control.get_access_grants_instance, **A) == missing
    assert refused(control.create_access_grants_location, **A, **where) == missing
    control.create_access_grants_instance(**A, Tags=[{"Key": "a", "Value": "b"}])
    assert refused(control.create_access_grants_instance, **A) == (
        "AccessGrantsInstanceAlreadyExists",
        409,
    )
    made = control.create_access_grants_location(**A, **where)
    location = made["AccessGrantsLocationId"]
    assert refused(control.create_access_grants_location, **A, **where) == (
        "AccessGrantsLocationAlreadyExistsError",
        409,
    )
    assert refused(control.delete_access_grants_instance, **A) == (
        "AccessGrantsInstanceNotEmptyError",
        400,
    )
    arn, asks, _ = user(client, "u")
    one = grant(control, location, arn)
    again = {"AccessGrantsLocationId": location, "Permission": "READ", "Grantee": one["Grantee"]}
    assert refused(control.create_access_grant, **A, **again) == ("AccessGrantAlreadyExists", 409)
    person = again | {"Grantee": {"GranteeType": "DIRECTORY_USER", "GranteeIdentifier": "x"}}
    assert refused(control.create_access_grant, **A, **person)[0] == "NotImplemented"
    assert refused(control.delete_access_grants_location, **A, AccessGrantsLocationId=location) == (
        "AccessGrantsLocationNotEmptyError",
        400,
    )
    assert refused(control.get_access_grant, **A, AccessGrantId="no") == (
        "NoSuchAccessGrantError",
        404,
    )
    client("iam").update_assume_role_policy(
        RoleName="location",
        PolicyDocument=document(
            {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}
        ),
    )
    assert refused(asks.get_data_access, **A, Target="s3://data/x", Permission="READ") == (
        "StsNotAuthorizedError",
        403,
    )
    listed = control.list_access_grants(**A, GranteeIdentifier=arn)["AccessGrantsList"]
    assert [one["GrantScope"] for one in listed] == ["s3://data/*"]
    tags = [{"Key": "c", "Value": "d"}]
    control.tag_resource(**A, ResourceArn=one["AccessGrantArn"], Tags=tags)
    assert control.list_tags_for_resource(**A, ResourceArn=one["AccessGrantArn"])["Tags"] == tags
    control.delete_access_grant(**A, AccessGrantId=one["AccessGrantId"])
    control.delete_access_grants_location(**A, AccessGrantsLocationId=location)
    control.delete_access_grants_instance(**A)
    assert control.list_access_grants_instances(**A)["AccessGrantsInstancesList"] == []


def test_instance_location_and_grant_come_with_a_stack(client, control, s3, role):
    arn, asks, _ = user(client, "u")
    template = {
        "Resources": {
            "Instance": {"Type": "AWS::S3::AccessGrantsInstance", "Properties": {}},
            "Location": {
                "Type": "AWS::S3::AccessGrantsLocation",
                "DependsOn": "Instance",
                "Properties": {"LocationScope": "s3://data/*", "IamRoleArn": role},
            },
            "Grant": {
                "Type": "AWS::S3::AccessGrant",
                "Properties": {
                    "AccessGrantsLocationId": {"Ref": "Location"},
                    "AccessGrantsLocationConfiguration": {"S3SubPrefix": "in/*"},
                    "Grantee": {"GranteeType": "IAM", "GranteeIdentifier": arn},
                    "Permission": "READ",
                    "Tags": [{"Key": "a", "Value": "b"}],
                },
            },
        },
        "Outputs": {"Scope": {"Value": {"Fn::GetAtt": ["Grant", "GrantScope"]}}},
    }
    cfn, quick = client("cloudformation"), {"Delay": 0.05, "MaxAttempts": 200}
    cfn.create_stack(StackName="grants", TemplateBody=json.dumps(template))
    cfn.get_waiter("stack_create_complete").wait(StackName="grants", WaiterConfig=quick)
    stack = cfn.describe_stacks(StackName="grants")["Stacks"][0]
    assert stack["Outputs"][0]["OutputValue"] == "s3://data/in/*"
    asks.get_data_access(**A, Target="s3://data/in/*", Permission="READ")
    drift = cfn.detect_stack_drift(StackName="grants")["StackDriftDetectionId"]
    while True:
        said = cfn.describe_stack_drift_detection_status(StackDriftDetectionId=drift)
        if said["DetectionStatus"] != "DETECTION_IN_PROGRESS":
            break
    assert said["StackDriftStatus"] == "IN_SYNC", said
    cfn.delete_stack(StackName="grants")
    cfn.get_waiter("stack_delete_complete").wait(StackName="grants", WaiterConfig=quick)
    assert control.list_access_grants_instances(**A)["AccessGrantsInstancesList"] == []
