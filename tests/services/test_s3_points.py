"""Access points: another name of a bucket, with a policy of its own that counts beside the bucket's."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

ACCOUNT = "000000000000"
ARN = f"arn:aws:s3:us-east-1:{ACCOUNT}:accesspoint/door"


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def test_an_access_point_leads_to_the_bucket_for_whom_its_policy_lets_in(client, platform):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-points-policies.html"""
    s3, control = client("s3"), client("s3control")
    s3.create_bucket(Bucket="box")
    made = control.create_access_point(AccountId=ACCOUNT, Name="door", Bucket="box")
    assert made["AccessPointArn"] == ARN
    s3.put_object(Bucket=made["Alias"], Key="k", Body=b"x")
    platform.reopen()
    assert s3.get_object(Bucket="box", Key="k")["Body"].read() == b"x"
    assert s3.get_object(Bucket=ARN, Key="k")["Body"].read() == b"x"
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=ARN)["Contents"]] == ["k"]
    s3.copy_object(Bucket="box", Key="copy", CopySource=f"{made['Alias']}/k")
    assert [b["Name"] for b in s3.list_buckets()["Buckets"]] == ["box"]
    other = client("s3", account="111111111111")
    with pytest.raises(ClientError, match="AccessDenied"):
        other.get_object(Bucket=ARN, Key="k")
    everyone = {"Effect": "Allow", "Principal": {"AWS": "111111111111"}, "Action": "s3:GetObject"}
    control.put_access_point_policy(
        AccountId=ACCOUNT, Name="door", Policy=document({**everyone, "Resource": f"{ARN}/object/*"})
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        other.get_object(Bucket=ARN, Key="k")
    delegated = {
        "Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::box/*",
        "Condition": {"StringEquals": {"s3:DataAccessPointAccount": ACCOUNT}},
    }  # fmt: skip
    s3.put_bucket_policy(Bucket="box", Policy=document(delegated))
    assert other.get_object(Bucket=ARN, Key="k")["Body"].read() == b"x"
    with pytest.raises(ClientError, match="AccessDenied"):
        other.get_object(Bucket="box", Key="k")
    listed = control.list_access_points(AccountId=ACCOUNT, Bucket="box")["AccessPointList"]
    assert [one["Name"] for one in listed] == ["door"]
    control.delete_access_point(AccountId=ACCOUNT, Name="door")
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.get_object(Bucket=made["Alias"], Key="k")


def test_an_access_point_blocks_public_policies_unless_it_was_made_open(client):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-points-bpa-settings.html"""
    s3, control = client("s3"), client("s3control")
    s3.create_bucket(Bucket="box")
    s3.put_object(Bucket="box", Key="k", Body=b"x")
    public = {
        "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"{ARN}/object/*",
    }  # fmt: skip
    door = {"AccountId": ACCOUNT, "Name": "door"}
    control.create_access_point(**door, Bucket="box")
    shown = control.get_access_point(**door)["PublicAccessBlockConfiguration"]
    assert set(shown.values()) == {True}
    with pytest.raises(ClientError, match="AccessDenied"):
        control.put_access_point_policy(**door, Policy=document(public))
    control.delete_access_point(**door)
    block = dict.fromkeys(shown, False) | {"BlockPublicAcls": True}
    control.create_access_point(**door, Bucket="box", PublicAccessBlockConfiguration=block)
    assert control.get_access_point(**door)["PublicAccessBlockConfiguration"] == block
    control.put_access_point_policy(**door, Policy=document(public))
    assert control.get_access_point_policy_status(**door)["PolicyStatus"] == {"IsPublic": True}
    delegated = {
        "Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::box/*",
        "Condition": {"StringEquals": {"s3:DataAccessPointAccount": ACCOUNT}},
    }  # fmt: skip
    s3.put_bucket_policy(Bucket="box", Policy=document(delegated))
    other = client("s3", account="111111111111")
    assert other.get_object(Bucket=ARN, Key="k")["Body"].read() == b"x"
    control.put_public_access_block(
        AccountId=ACCOUNT, PublicAccessBlockConfiguration={"BlockPublicPolicy": True}
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        control.put_access_point_policy(**door, Policy=document(public))


def test_an_access_point_s_tags_decide_who_may(client):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-points-tagging.html"""
    s3, control, iam = client("s3"), client("s3control"), client("iam")
    s3.create_bucket(Bucket="box")
    s3.put_object(Bucket="box", Key="k", Body=b"x")
    door = {"AccountId": ACCOUNT, "ResourceArn": ARN}
    control.create_access_point(
        AccountId=ACCOUNT, Name="door", Bucket="box", Tags=[{"Key": "team", "Value": "blue"}]
    )
    on_point = {
        "Effect": "Allow", "Action": "s3:GetObject", "Resource": f"{ARN}/*",
        "Condition": {"StringEquals": {"s3:AccessPointTag/team": "blue"}},
    }  # fmt: skip
    on_bucket = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::box/*"}
    iam.create_user(UserName="u")
    iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=document(on_point, on_bucket))
    key = iam.create_access_key(UserName="u")["AccessKey"]
    user = client("s3", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    assert user.get_object(Bucket=ARN, Key="k")["Body"].read() == b"x"
    control.tag_resource(**door, Tags=[{"Key": "team", "Value": "red"}])
    assert control.list_tags_for_resource(**door)["Tags"] == [{"Key": "team", "Value": "red"}]
    with pytest.raises(ClientError, match="AccessDenied"):
        user.get_object(Bucket=ARN, Key="k")
    control.untag_resource(**door, TagKeys=["team"])
    assert control.list_tags_for_resource(**door)["Tags"] == []


def test_an_access_point_of_another_s_bucket_gives_what_its_policy_gives(client):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-points-policies.html#access-points-cross-account"""
    s3, theirs = client("s3"), "111111111111"
    s3.create_bucket(Bucket="box")
    s3.put_object(Bucket="box", Key="k", Body=b"x")
    control, other = client("s3control", account=theirs), client("s3", account=theirs)
    made = {"AccountId": theirs, "Name": "far", "Bucket": "box"}
    with pytest.raises(ClientError, match="AccessDenied"):
        control.create_access_point(**made)
    arn = control.create_access_point(**made, BucketAccountId=ACCOUNT)["AccessPointArn"]
    shown = control.get_access_point(AccountId=theirs, Name="far")
    assert (shown["BucketAccountId"], arn.split(":")[4]) == (ACCOUNT, theirs)
    with pytest.raises(ClientError, match="AccessDenied"):
        other.get_object(Bucket=arn, Key="k")
    delegated = {
        "Effect": "Allow", "Principal": {"AWS": theirs}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::box/*",
        "Condition": {"StringEquals": {"s3:DataAccessPointAccount": theirs}},
    }  # fmt: skip
    s3.put_bucket_policy(Bucket="box", Policy=document(delegated))
    assert other.get_object(Bucket=arn, Key="k")["Body"].read() == b"x"
    for asked in ({"Bucket": "box"}, {"Bucket": arn}):
        with pytest.raises(ClientError, match="AccessDenied"):
            other.put_object(**asked, Key="k", Body=b"y")
    with pytest.raises(ClientError, match="AccessDenied"):
        other.get_object(Bucket="box", Key="k")


URI = "InvalidURI: Couldn't parse the specified URI."
NAME = "InvalidRequest: Your Amazon S3 AccessPoint name is invalid"
CHARACTERS = (
    "InvalidTag: This request contains a tag key or value that isn't valid. Valid characters include the following:"
    " [a-zA-Z+-=._:/]. Tag keys can contain up to 128 characters. Tag values can contain up to 256 characters."
)


def test_s3_control_says_no_as_aws_was_recorded(client):
    """https://github.com/localstack/localstack/blob/main/tests/aws/services/s3control/test_s3control.snapshot.json"""
    client("s3").create_bucket(Bucket="box")
    control = client("s3control", parameter_validation=False)

    def refused(call, **request):
        with pytest.raises(ClientError) as error:
            call(AccountId=ACCOUNT, **request)
        said = error.value.response["Error"]
        return f"{said['Code']}: {said['Message']}"

    named = {"xn-_test-alias": URI, "sa": URI, "a" * 51: URI, "WRONG-casing": URI}
    named |= {"-hyphen-start": NAME, "cannot-end-s3alias": NAME, "cannot-have.dot": NAME}
    found = {name: refused(control.create_access_point, Name=name, Bucket="box") for name in named}
    assert found == named
    assert refused(control.create_access_point, Name="door", Bucket="no-such-box") == (
        "InvalidRequest: Amazon S3 AccessPoint can only be created for existing bucket"
    )
    assert refused(control.put_public_access_block, PublicAccessBlockConfiguration={}) == (
        "InvalidRequest: Must specify at least one configuration."
    )
    tagged = [
        ([{"Key": None, "Value": "v"}], "MalformedXML: The XML you provided was not well-formed or did not validate against our published schema"),
        ([{"Key": "aws:x", "Value": "v"}], "InvalidTag: User-defined tag keys can't start with \"aws:\". This prefix is reserved for system tags. Remove \"aws:\" from your tag keys and try again."),
        ([{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}], "InvalidTag: There are duplicate tag keys in your request. Remove the duplicate tag keys and try again."),
        ([{"Key": "k", "Value": "a,b"}], CHARACTERS),
        ([{"Key": "a,b", "Value": "v"}], CHARACTERS),
    ]  # fmt: skip
    for tags, wanted in tagged:
        assert refused(control.tag_resource, ResourceArn="arn:aws:s3:::box", Tags=tags) == wanted
    gone = {"ResourceArn": "arn:aws:s3:::no-such-box"}
    nothing = "NoSuchResource: The specified resource doesn't exist."
    assert refused(control.list_tags_for_resource, **gone) == nothing
    assert refused(control.tag_resource, **gone, Tags=[{"Key": "k", "Value": "v"}]) == nothing
    assert refused(control.untag_resource, **gone, TagKeys=["k"]) == nothing
