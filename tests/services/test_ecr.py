"""Repositories without images: what `cdk bootstrap`, `cdk destroy` and `osls remove` ask of the registry."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

RULE = {
    "rulePriority": 1,
    "selection": {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 365},
    "action": {"type": "expire"},
}  # fmt: skip
PULL = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "111111111111"}, "Action": "ecr:DescribeImages"}
    ],
}


@pytest.fixture
def ecr(client):
    made = client("ecr")
    made.create_repository(repositoryName="team/app", tags=[{"Key": "a", "Value": "1"}])
    return made


def refused(call, **request):
    with pytest.raises(ClientError) as caught:
        call(**request)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def test_a_repository_is_kept_and_described(ecr, platform):
    platform.reopen()
    (found,) = ecr.describe_repositories()["repositories"]
    assert found["repositoryArn"] == "arn:aws:ecr:us-east-1:000000000000:repository/team/app"
    assert found["repositoryUri"] == "000000000000.dkr.ecr.us-east-1.amazonaws.com/team/app"
    assert (found["registryId"], found["imageTagMutability"]) == ("000000000000", "MUTABLE")
    assert refused(ecr.create_repository, repositoryName="team/app") == (
        "RepositoryAlreadyExistsException",
        "The repository with name 'team/app' already exists in the registry with id '000000000000'",
    )
    assert refused(ecr.create_repository, repositoryName="Team")[0] == "InvalidParameterException"
    gone = ecr.delete_repository(repositoryName="team/app")["repository"]
    assert gone["repositoryName"] == "team/app"
    assert refused(ecr.describe_repositories, repositoryNames=["team/app"]) == (
        "RepositoryNotFoundException",
        "The repository with name 'team/app' does not exist in the registry with id '000000000000'",
    )


def test_settings_policies_and_tags_are_changed_and_taken_away(ecr):
    """https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImageTagMutability.html"""
    name = {"repositoryName": "team/app"}
    fixed = {"imageTagMutability": "IMMUTABLE_WITH_EXCLUSION"}
    only = [{"filterType": "WILDCARD", "filter": "latest*"}]
    assert refused(ecr.put_image_tag_mutability, **name, **fixed)[0] == "InvalidParameterException"
    ecr.put_image_tag_mutability(**name, **fixed, imageTagMutabilityExclusionFilters=only)
    ecr.put_image_scanning_configuration(**name, imageScanningConfiguration={"scanOnPush": True})
    (found,) = ecr.describe_repositories(repositoryNames=["team/app"])["repositories"]
    assert found["imageTagMutabilityExclusionFilters"] == only
    assert found["imageScanningConfiguration"] == {"scanOnPush": True}
    for kind, text in (("lifecycle", json.dumps({"rules": [RULE]})), ("repository", json.dumps(PULL))):  # fmt: skip
        member = "lifecyclePolicyText" if kind == "lifecycle" else "policyText"
        verb = "put" if kind == "lifecycle" else "set"
        code, message = refused(getattr(ecr, f"get_{kind}_policy"), **name)
        assert code == f"{kind.capitalize()}PolicyNotFoundException"
        assert message.startswith(f"{kind.capitalize()} policy does not exist for the repository")
        getattr(ecr, f"{verb}_{kind}_policy")(**name, **{member: text})
        kept = getattr(ecr, f"get_{kind}_policy")(**name)[member]
        assert json.loads(kept) == json.loads(text)
        getattr(ecr, f"delete_{kind}_policy")(**name)
        assert refused(getattr(ecr, f"get_{kind}_policy"), **name)[0] == code
        bad = {member: "{" + " " * 100}
        assert (
            refused(getattr(ecr, f"{verb}_{kind}_policy"), **name, **bad)[0]
            == "InvalidParameterException"
        )
    arn = found["repositoryArn"]
    ecr.tag_resource(resourceArn=arn, tags=[{"Key": "b", "Value": "2"}])
    ecr.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert ecr.list_tags_for_resource(resourceArn=arn)["tags"] == [{"Key": "b", "Value": "2"}]


def test_listings_have_pages(ecr):
    for n in range(4):
        ecr.create_repository(repositoryName=f"more{n}")
    pages = list(ecr.get_paginator("describe_repositories").paginate(PaginationConfig={"PageSize": 2}))  # fmt: skip
    assert [len(page["repositories"]) for page in pages] == [2, 2, 1]
    names = ["more0", "team/app"]
    found = ecr.describe_repositories(repositoryNames=names)["repositories"]
    assert [r["repositoryName"] for r in found] == names


def test_a_repository_has_no_images_and_says_so(ecr):
    """`cdk deploy` asks for an image before it would push one; without a token there is no push."""
    assert ecr.list_images(repositoryName="team/app")["imageIds"] == []
    assert ecr.describe_images(repositoryName="team/app")["imageDetails"] == []
    asked = {"repositoryName": "team/app", "imageIds": [{"imageTag": "v1"}]}
    code, message = refused(ecr.describe_images, **asked)
    assert code == "ImageNotFoundException"
    assert message.startswith("The image with imageId {imageDigest:'null', imageTag:'v1'} does not")
    code, message = refused(ecr.get_authorization_token)
    assert (code, "not offered" in message) == ("NotImplemented", True)
    encrypted = {"repositoryName": "x1", "encryptionConfiguration": {"encryptionType": "KMS"}}
    assert "KMS is not offered" in refused(ecr.create_repository, **encrypted)[1]


def test_another_account_may_what_the_policy_says(ecr, client):
    other = client("ecr", account="111111111111")
    asked = {"registryId": "000000000000", "repositoryName": "team/app"}
    assert refused(other.describe_images, **asked)[0] == "AccessDeniedException"
    ecr.set_repository_policy(repositoryName="team/app", policyText=json.dumps(PULL))
    assert other.describe_images(**asked)["imageDetails"] == []
    assert refused(other.delete_repository, **asked)[0] == "AccessDeniedException"
