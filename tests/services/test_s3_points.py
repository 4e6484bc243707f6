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
