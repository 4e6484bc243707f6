"""Secrets in several regions of one cloud: replicas that follow their primary, and go their own way when told.

https://docs.aws.amazon.com/secretsmanager/latest/userguide/replicate-secrets.html
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from eventing import user_client

EU, WEST = "eu-west-1", "us-west-2"
READ_ONLY = (
    "Operation not permitted on a replica secret. Call must be made in primary secret's region."
)


@pytest.fixture
def secrets(client: Any) -> Any:
    return client("secretsmanager")


@pytest.fixture
def eu(client: Any) -> Any:
    return client("secretsmanager", region=EU)


def value(secrets: Any, **which: Any) -> str:
    return str(secrets.get_secret_value(SecretId="s", **which)["SecretString"])


def statuses(answer: dict[str, Any]) -> dict[str, str]:
    return {one["Region"]: one["Status"] for one in answer.get("ReplicationStatus", [])}


def test_a_replica_has_what_its_primary_has_at_every_moment(
    client: Any, platform: Any, secrets: Any, eu: Any
) -> None:
    """Values, stages, tags, description and policy; its ARN differs in the region alone."""
    made = secrets.create_secret(
        Name="s",
        SecretString="one",
        Tags=[{"Key": "k", "Value": "v"}],
        AddReplicaRegions=[{"Region": EU}],
    )
    assert statuses(made) == {EU: "InSync"}
    assert value(eu) == "one"
    secrets.put_secret_value(SecretId="s", SecretString="two", ClientRequestToken="t" * 32)
    secrets.tag_resource(SecretId="s", Tags=[{"Key": "m", "Value": "w"}])
    secrets.untag_resource(SecretId="s", TagKeys=["k"])
    secrets.update_secret(SecretId="s", Description="d")
    policy = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": "arn:aws:iam::111111111111:root"},
                    "Action": "secretsmanager:GetSecretValue",
                    "Resource": "*",
                }
            ],
        }
    )
    secrets.put_resource_policy(SecretId="s", ResourcePolicy=policy)
    platform.reopen()
    assert (value(eu), value(eu, VersionStage="AWSPREVIOUS")) == ("two", "one")
    there, here = eu.describe_secret(SecretId="s"), secrets.describe_secret(SecretId="s")
    assert there["ARN"] == here["ARN"].replace("us-east-1", EU)
    for member in ("Tags", "Description", "VersionIdsToStages"):
        assert there[member] == here[member], member
    assert (there["PrimaryRegion"], here["PrimaryRegion"]) == ("us-east-1", "us-east-1")
    assert "ReplicationStatus" not in there
    other = client("secretsmanager", account="111111111111", region=EU)
    assert other.get_secret_value(SecretId=there["ARN"])["SecretString"] == "two"
    found = eu.list_secrets(Filters=[{"Key": "primary-region", "Values": ["us-east-1"]}])
    assert [s["Name"] for s in found["SecretList"]] == ["s"]
    assert eu.list_secrets(Filters=[{"Key": "primary-region", "Values": [EU]}])["SecretList"] == []
    secrets.update_secret_version_stage(
        SecretId="s",
        VersionStage="AWSCURRENT",
        MoveToVersionId=made["VersionId"],
        RemoveFromVersionId="t" * 32,
    )
    assert value(eu) == "one"


def test_versions_that_made_room_are_gone_in_the_replica_too(secrets: Any, eu: Any) -> None:
    secrets.create_secret(Name="s", SecretString="0", AddReplicaRegions=[{"Region": EU}])
    for n in range(1, 103):
        secrets.put_secret_value(SecretId="s", SecretString=str(n))
    for where in (secrets, eu):
        listed = where.list_secret_version_ids(SecretId="s", IncludeDeprecated=True)
        assert len(listed["Versions"]) == 100
    assert value(eu) == "102"


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("put_secret_value", {"SecretString": "x"}),
        ("update_secret", {"Description": "x"}),
        ("delete_secret", {}),
        ("delete_secret", {"ForceDeleteWithoutRecovery": True}),
        ("tag_resource", {"Tags": [{"Key": "k", "Value": "v"}]}),
        ("untag_resource", {"TagKeys": ["k"]}),
        ("put_resource_policy", {"ResourcePolicy": "{}"}),
        ("delete_resource_policy", {}),
        ("rotate_secret", {}),
        ("update_secret_version_stage", {"VersionStage": "x", "MoveToVersionId": "t" * 32}),
        ("replicate_secret_to_regions", {"AddReplicaRegions": [{"Region": WEST}]}),
        ("remove_regions_from_replication", {"RemoveReplicaRegions": [WEST]}),
    ],
)
def test_a_replica_is_changed_by_its_primary_alone(
    secrets: Any, eu: Any, operation: str, request_: dict[str, Any]
) -> None:
    secrets.create_secret(Name="s", SecretString="one", AddReplicaRegions=[{"Region": EU}])
    before = eu.describe_secret(SecretId="s")
    with pytest.raises(ClientError) as found:
        getattr(eu, operation)(SecretId="s", **request_)
    error = found.value.response["Error"]
    assert (error["Code"], error["Message"]) == ("InvalidParameterException", READ_ONLY)
    after = eu.describe_secret(SecretId="s")
    assert before.pop("ResponseMetadata") and after.pop("ResponseMetadata")
    assert after == before


def test_a_replica_can_be_removed_or_stand_alone(secrets: Any, eu: Any, client: Any) -> None:
    """A primary stays as long as it has replicas; one that was let go is a secret like any other."""
    west = client("secretsmanager", region=WEST)
    secrets.create_secret(Name="s", SecretString="one")
    both = [{"Region": EU}, {"Region": WEST}]
    added = secrets.replicate_secret_to_regions(SecretId="s", AddReplicaRegions=both)
    assert statuses(added) == {EU: "InSync", WEST: "InSync"}
    with pytest.raises(ClientError, match=r"still has replica regions \[eu-west-1, us-west-2\]"):
        secrets.delete_secret(SecretId="s", ForceDeleteWithoutRecovery=True)
    gone = {"SecretId": "s", "RemoveReplicaRegions": [WEST]}
    left = secrets.remove_regions_from_replication(**gone)
    assert statuses(left) == {EU: "InSync"}
    with pytest.raises(west.exceptions.ResourceNotFoundException):
        west.describe_secret(SecretId="s")
    with pytest.raises(ClientError, match="has no replica in us-west-2"):
        secrets.remove_regions_from_replication(**gone)
    with pytest.raises(ClientError, match="is not a replica"):
        secrets.stop_replication_to_replica(SecretId="s")
    eu.stop_replication_to_replica(SecretId="s")
    assert statuses(secrets.describe_secret(SecretId="s")) == {}
    secrets.put_secret_value(SecretId="s", SecretString="two")
    eu.put_secret_value(SecretId="s", SecretString="own")
    assert (value(secrets), value(eu)) == ("two", "own")
    for where in (secrets, eu):
        where.delete_secret(SecretId="s", ForceDeleteWithoutRecovery=True)


def test_a_name_that_is_taken_fails_the_replica_unless_forced(secrets: Any, eu: Any) -> None:
    """The answer says so, and the secret there is as it was; nothing is forced onto another's replica."""
    eu.create_secret(Name="s", SecretString="theirs")
    secrets.create_secret(Name="s", SecretString="ours")
    where = {"SecretId": "s", "AddReplicaRegions": [{"Region": EU}]}
    (status,) = secrets.replicate_secret_to_regions(**where)["ReplicationStatus"]
    assert status["Status"] == "Failed"
    assert status["StatusMessage"] == "Replication failed: Secret name s already exists in region eu-west-1."  # fmt: skip
    secrets.put_secret_value(SecretId="s", SecretString="ours, too")
    assert value(eu) == "theirs"
    forced = secrets.replicate_secret_to_regions(**where, ForceOverwriteReplicaSecret=True)
    assert statuses(forced) == {EU: "InSync"}
    assert value(eu) == "ours, too"
    with pytest.raises(ClientError, match="Invalid replica region"):
        here = [{"Region": "us-east-1"}]
        secrets.replicate_secret_to_regions(SecretId="s", AddReplicaRegions=here)
    with pytest.raises(ClientError, match="Invalid replica region"):
        none = [{"Region": "xx-nowhere-9"}]
        secrets.replicate_secret_to_regions(SecretId="s", AddReplicaRegions=none)


def test_a_replica_is_encrypted_by_a_key_of_its_region(client: Any, secrets: Any, eu: Any) -> None:
    """A key that cannot be used fails the replica, not the call that changes the secret."""
    key = client("kms", region=EU).create_key()["KeyMetadata"]["KeyId"]
    place = [{"Region": EU, "KmsKeyId": key}]
    secrets.create_secret(Name="s", SecretString="one", AddReplicaRegions=place)
    assert eu.describe_secret(SecretId="s")["KmsKeyId"] == key
    assert value(eu) == "one"
    client("kms", region=EU).disable_key(KeyId=key)
    secrets.put_secret_value(SecretId="s", SecretString="two")
    (status,) = secrets.describe_secret(SecretId="s")["ReplicationStatus"]
    assert (status["Region"], status["KmsKeyId"], status["Status"]) == (EU, key, "Failed")
    assert value(secrets) == "two"
    again = [{"Region": EU}]
    mended = secrets.replicate_secret_to_regions(SecretId="s", AddReplicaRegions=again)
    assert statuses(mended) == {EU: "InSync"}
    assert value(eu) == "two"


def test_making_a_secret_with_replicas_needs_both_permissions(client: Any) -> None:
    allowed = [{"Effect": "Allow", "Action": "secretsmanager:CreateSecret", "Resource": "*"}]
    ann = user_client(client, "secretsmanager", allowed)
    ann.create_secret(Name="alone", SecretString="x")
    with pytest.raises(ClientError, match="secretsmanager:ReplicateSecretToRegions"):
        ann.create_secret(Name="s", SecretString="x", AddReplicaRegions=[{"Region": EU}])


def test_a_stack_replicates_its_secret(client: Any, secrets: Any, eu: Any) -> None:
    cfn, west = client("cloudformation"), client("secretsmanager", region=WEST)

    def text(*regions: str) -> str:
        properties = {"Name": "s", "SecretString": "x"}
        properties |= {"ReplicaRegions": [{"Region": r} for r in regions]} if regions else {}
        secret = {"Type": "AWS::SecretsManager::Secret", "Properties": properties}
        return json.dumps({"Resources": {"S": secret}})

    cfn.create_stack(StackName="s", TemplateBody=text(EU))
    assert value(eu) == "x"
    drift = cfn.detect_stack_resource_drift(StackName="s", LogicalResourceId="S")
    assert drift["StackResourceDrift"]["StackResourceDriftStatus"] == "IN_SYNC"
    cfn.update_stack(StackName="s", TemplateBody=text(WEST))
    assert value(west) == "x"
    with pytest.raises(eu.exceptions.ResourceNotFoundException):
        eu.describe_secret(SecretId="s")
    eu.create_secret(Name="s", SecretString="theirs")
    cfn.update_stack(StackName="s", TemplateBody=text(WEST, EU))
    (stack,) = cfn.describe_stacks(StackName="s")["Stacks"]
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert (value(west), value(eu)) == ("x", "theirs")
    cfn.delete_stack(StackName="s")
    for where in (secrets, west):
        assert where.list_secrets()["SecretList"] == []
