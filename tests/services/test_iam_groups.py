"""Groups, instance profiles and renamed users, from the caller's side; and that a change counts at once."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

LIST_USERS = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "iam:ListUsers", "Resource": "*"}],
    }
)
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "ec2.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)


def user_of(client, name="ann"):
    iam = client("iam")
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return client("iam", key=key["AccessKeyId"], secret=key["SecretAccessKey"])


def may(iam):
    try:
        iam.list_users()
    except ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDenied"
        return False
    return True


def test_a_groups_policies_are_its_members_and_every_change_counts_at_the_next_call(client):
    """A kept decision must not outlive what it was made from, in either direction."""
    iam, ann = client("iam"), user_of(client)
    arn = iam.create_policy(PolicyName="p", PolicyDocument=LIST_USERS)["Policy"]["Arn"]
    none = LIST_USERS.replace("ListUsers", "GetUser")
    steps = [
        (lambda: iam.create_group(GroupName="g"), False),
        (lambda: iam.put_group_policy(GroupName="g", PolicyName="p", PolicyDocument=LIST_USERS), False),
        (lambda: iam.add_user_to_group(GroupName="g", UserName="ann"), True),
        (lambda: iam.put_group_policy(GroupName="g", PolicyName="p", PolicyDocument=none), False),
        (lambda: iam.attach_group_policy(GroupName="g", PolicyArn=arn), True),
        (lambda: iam.create_policy_version(PolicyArn=arn, PolicyDocument=none, SetAsDefault=True), False),
        (lambda: iam.set_default_policy_version(PolicyArn=arn, VersionId="v1"), True),
        (lambda: iam.put_user_policy(UserName="ann", PolicyName="d", PolicyDocument=LIST_USERS.replace("Allow", "Deny")), False),
        (lambda: iam.delete_user_policy(UserName="ann", PolicyName="d"), True),
        (lambda: iam.put_user_permissions_boundary(UserName="ann", PermissionsBoundary="arn:aws:iam::aws:policy/AmazonS3FullAccess"), False),
        (lambda: iam.delete_user_permissions_boundary(UserName="ann"), True),
        (lambda: iam.update_group(GroupName="g", NewGroupName="h"), True),
        (lambda: iam.remove_user_from_group(GroupName="h", UserName="ann"), False),
        (lambda: iam.attach_user_policy(UserName="ann", PolicyArn=arn), True),
        (lambda: iam.update_user(UserName="ann", NewUserName="eve"), True),
        (lambda: iam.detach_user_policy(UserName="eve", PolicyArn=arn), False),
    ]  # fmt: skip
    for number, (step, wanted) in enumerate(steps):
        step()
        assert (may(ann), may(ann)) == (wanted, wanted), number


def test_a_group_is_listed_and_deleted_only_when_empty(client):
    iam = client("iam")
    iam.create_group(GroupName="g", Path="/a/")
    for name in ("u1", "u2", "u3"):
        iam.create_user(UserName=name)
        iam.add_user_to_group(GroupName="g", UserName=name)
    first = iam.get_group(GroupName="g", MaxItems=2)
    assert [u["UserName"] for u in first["Users"]] == ["u1", "u2"]
    assert first["IsTruncated"]
    rest = iam.get_group(GroupName="g", Marker=first["Marker"])
    assert [u["UserName"] for u in rest["Users"]] == ["u3"]
    assert [g["GroupName"] for g in iam.list_groups_for_user(UserName="u1")["Groups"]] == ["g"]
    assert iam.list_groups(PathPrefix="/b/")["Groups"] == []
    with pytest.raises(ClientError, match="must remove users from group first"):
        iam.delete_group(GroupName="g")
    with pytest.raises(ClientError, match="must remove user from groups first"):
        iam.delete_user(UserName="u1")
    for name in ("u1", "u2", "u3"):
        iam.remove_user_from_group(GroupName="g", UserName=name)
    iam.delete_group(GroupName="g")
    with pytest.raises(ClientError, match="The group with name g cannot be found"):
        iam.get_group(GroupName="g")


def test_an_instance_profile_holds_one_role(client):
    iam = client("iam")
    for role in ("r", "q"):
        iam.create_role(RoleName=role, AssumeRolePolicyDocument=TRUST)
    iam.create_instance_profile(InstanceProfileName="p", Tags=[{"Key": "a", "Value": "b"}])
    iam.add_role_to_instance_profile(InstanceProfileName="p", RoleName="r")
    with pytest.raises(ClientError, match="LimitExceeded"):
        iam.add_role_to_instance_profile(InstanceProfileName="p", RoleName="q")
    shown = iam.get_instance_profile(InstanceProfileName="p")["InstanceProfile"]
    assert [r["RoleName"] for r in shown["Roles"]] == ["r"]
    of_role = iam.list_instance_profiles_for_role(RoleName="r")["InstanceProfiles"]
    assert [p["InstanceProfileName"] for p in of_role] == ["p"]
    with pytest.raises(ClientError, match="must remove roles from instance profile"):
        iam.delete_role(RoleName="r")
    iam.remove_role_from_instance_profile(InstanceProfileName="p", RoleName="r")
    iam.delete_instance_profile(InstanceProfileName="p")
    iam.delete_role(RoleName="r")
    assert iam.list_instance_profiles()["InstanceProfiles"] == []


def test_a_stack_makes_and_removes_a_group_with_policies(tmp_path):
    from harness import run_in_cloud

    from stratolite.service import Spec

    def spec(**properties):
        return Spec(
            "AWS::IAM::Group", "G", "stack", "arn", "token-1", {"GroupName": "g"} | properties
        )

    async def body(h):
        group, call = h.cloud.resource("AWS::IAM::Group"), h.call()
        policies = [{"PolicyName": "p", "PolicyDocument": json.loads(LIST_USERS)}]
        first = await group.create(call, spec(Policies=policies))
        assert first.physical_id == "g"
        assert first.attributes == {"Arn": "arn:aws:iam::000000000000:group/g"}
        assert await group.create(call, spec(Policies=policies)) == first
        await group.update(call, "g", spec(Policies=policies), spec())
        assert (await h("iam", "ListGroupPolicies", GroupName="g"))["PolicyNames"] == []
        await group.delete(call, "g", spec())
        await group.delete(call, "g", spec())
        assert (await h("iam", "ListGroups"))["Groups"] == []

    run_in_cloud(str(tmp_path), body)
