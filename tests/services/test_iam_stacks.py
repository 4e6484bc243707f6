"""IAM in a template: users, keys, groups, profiles, providers; made, changed, taken down."""

from __future__ import annotations

import json
import time

from botocore.exceptions import ClientError

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}  # fmt: skip
READ = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}],
}


def template(status="Active", clients=("a",), groups=("Team",)):
    return json.dumps({"Resources": {
        "Team": {"Type": "AWS::IAM::Group", "Properties": {"GroupName": "team"}},
        "Other": {"Type": "AWS::IAM::Group", "Properties": {"GroupName": "other"}},
        "TeamReads": {"Type": "AWS::IAM::GroupPolicy", "Properties": {"GroupName": {"Ref": "Team"}, "PolicyName": "read", "PolicyDocument": READ}},
        "Ann": {"Type": "AWS::IAM::User", "Properties": {
            "UserName": "ann", "Groups": [{"Ref": g} for g in groups], "LoginProfile": {"Password": "Correct-horse-1"}}},
        "Bob": {"Type": "AWS::IAM::User", "Properties": {"UserName": "bob"}},
        "Joined": {"Type": "AWS::IAM::UserToGroupAddition", "Properties": {"GroupName": {"Ref": "Team"}, "Users": [{"Ref": "Bob"}]}},
        "Key": {"Type": "AWS::IAM::AccessKey", "Properties": {"UserName": {"Ref": "Ann"}, "Status": status}},
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": TRUST}},
        "Profile": {"Type": "AWS::IAM::InstanceProfile", "Properties": {"Roles": [{"Ref": "Role"}]}},
        "Shared": {"Type": "AWS::IAM::Policy", "Properties": {"PolicyName": "shared", "PolicyDocument": READ, "Groups": [{"Ref": "Other"}]}},
        "Managed": {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": READ, "Groups": [{"Ref": "Team"}]}},
        "Linked": {"Type": "AWS::IAM::ServiceLinkedRole", "Properties": {"AWSServiceName": "batch.amazonaws.com"}},
        "Oidc": {"Type": "AWS::IAM::OIDCProvider", "Properties": {"Url": "https://oidc.example.com", "ClientIdList": list(clients)}},
    }, "Outputs": {
        "KeyId": {"Value": {"Ref": "Key"}}, "Secret": {"Value": {"Fn::GetAtt": ["Key", "SecretAccessKey"]}},
        "Profile": {"Value": {"Fn::GetAtt": ["Profile", "Arn"]}}, "Oidc": {"Value": {"Ref": "Oidc"}},
    }})  # fmt: skip


def settled(cloudformation, name):
    for _ in range(6_000):
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        if not stack["StackStatus"].endswith("_IN_PROGRESS"):
            return stack
        time.sleep(0.02)
    raise AssertionError(stack)


def test_iam_is_made_changed_and_taken_down_by_a_stack(client):
    cloudformation, iam = client("cloudformation"), client("iam")
    able = {"Capabilities": ["CAPABILITY_NAMED_IAM"]}
    identity = cloudformation.create_stack(StackName="people", TemplateBody=template(), **able)[
        "StackId"
    ]
    stack = settled(cloudformation, "people")
    assert stack["StackStatus"] == "CREATE_COMPLETE", cloudformation.describe_stack_events(
        StackName="people"
    )
    outputs = {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}
    ann = client("sts", key=outputs["KeyId"], secret=outputs["Secret"])
    assert ann.get_caller_identity()["Arn"].endswith("user/ann")
    assert [u["UserName"] for u in iam.get_group(GroupName="team")["Users"]] == ["ann", "bob"]
    assert iam.get_login_profile(UserName="ann")
    assert outputs["Profile"].startswith(
        "arn:aws:iam::000000000000:instance-profile/people-Profile-"
    )
    assert iam.list_attached_group_policies(GroupName="team")["AttachedPolicies"]
    changed = template("Inactive", ("b", "c"), ("Other",))
    cloudformation.update_stack(StackName="people", TemplateBody=changed, **able)
    assert settled(cloudformation, "people")["StackStatus"] == "UPDATE_COMPLETE", [
        e["ResourceStatusReason"]
        for e in cloudformation.describe_stack_events(StackName="people")["StackEvents"]
        if "ResourceStatusReason" in e
    ]
    assert iam.list_access_keys(UserName="ann")["AccessKeyMetadata"][0]["Status"] == "Inactive"
    assert iam.get_open_id_connect_provider(OpenIDConnectProviderArn=outputs["Oidc"])[
        "ClientIDList"
    ] == ["b", "c"]
    assert [u["UserName"] for u in iam.get_group(GroupName="other")["Users"]] == ["ann"]
    cloudformation.delete_stack(StackName="people")
    assert settled(cloudformation, identity)["StackStatus"] == "DELETE_COMPLETE"
    assert (
        iam.list_users()["Users"] == iam.list_roles()["Roles"] == iam.list_groups()["Groups"] == []
    )
    for call, asked in (
        (iam.get_login_profile, {"UserName": "ann"}),
        (iam.get_open_id_connect_provider, {"OpenIDConnectProviderArn": outputs["Oidc"]}),
    ):
        try:
            call(**asked)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "NoSuchEntity"
        else:
            raise AssertionError(call)
