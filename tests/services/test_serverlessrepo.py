"""Applications with versions, and stacks made from them: by a change set, and nested in another template."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

INNER = """
Parameters: {Days: {Type: Number, Default: 1}}
Resources:
  Group: {Type: AWS::Logs::LogGroup, Properties: {RetentionInDays: !Ref Days}}
Outputs: {Name: {Value: !Ref Group}}
"""


def published(client: Any, *versions: str) -> str:
    repo = client("serverlessrepo")
    app = repo.create_application(Name="app", Author="me", Description="d")
    for version in versions:
        repo.create_application_version(
            ApplicationId=app["ApplicationId"], SemanticVersion=version, TemplateBody=INNER
        )
    return str(app["ApplicationId"])


def test_versions_sort_as_versions_and_each_is_there_once(client: Any) -> None:
    app_id = published(client, "1.9.0", "1.10.0", "1.10.1-beta")
    repo = client("serverlessrepo")
    listed = repo.list_application_versions(ApplicationId=app_id)["Versions"]
    assert [v["SemanticVersion"] for v in listed] == ["1.10.1-beta", "1.10.0", "1.9.0"]
    version = repo.get_application(ApplicationId=app_id, SemanticVersion="1.9.0")["Version"]
    assert version["ParameterDefinitions"][0]["Name"] == "Days"
    with pytest.raises(ClientError, match="already exists"):
        repo.create_application_version(
            ApplicationId=app_id, SemanticVersion="1.9.0", TemplateBody=INNER
        )
    with pytest.raises(ClientError, match="Invalid template"):
        repo.create_application_version(
            ApplicationId=app_id, SemanticVersion="2.0.0", TemplateBody="Resources: {}"
        )
    repo.delete_application(ApplicationId=app_id)
    assert repo.list_applications()["Applications"] == []


def test_a_template_names_an_application_and_gets_its_stack(client: Any) -> None:
    app_id = published(client, "1.0.0")
    cfn = client("cloudformation")
    text = f"""
    Transform: AWS::Serverless-2016-10-31
    Resources:
      App:
        Type: AWS::Serverless::Application
        Properties:
          Location: {{ApplicationId: '{app_id}', SemanticVersion: 1.0.0}}
          Parameters: {{Days: 3}}
    Outputs: {{Name: {{Value: !GetAtt App.Outputs.Name}}}}
    """
    cfn.create_stack(StackName="s", TemplateBody=text, Capabilities=["CAPABILITY_AUTO_EXPAND"])
    cfn.get_waiter("stack_create_complete").wait(StackName="s", WaiterConfig={"Delay": 1})
    name = cfn.describe_stacks(StackName="s")["Stacks"][0]["Outputs"][0]["OutputValue"]
    groups = client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    assert groups[0]["retentionInDays"] == 3
    with pytest.raises(ClientError, match="No application version '9.0.0'"):
        cfn.create_stack(
            StackName="t",
            TemplateBody=text.replace("SemanticVersion: 1.0.0", "SemanticVersion: 9.0.0"),
            Capabilities=["CAPABILITY_AUTO_EXPAND"],
        )


def test_a_change_set_of_an_application_makes_a_stack(client: Any) -> None:
    app_id = published(client, "1.0.0")
    made = client("serverlessrepo").create_cloud_formation_change_set(
        ApplicationId=app_id, StackName="x", ParameterOverrides=[{"Name": "Days", "Value": "5"}]
    )
    cfn = client("cloudformation")
    cfn.execute_change_set(ChangeSetName=made["ChangeSetId"])
    stack = cfn.describe_stacks(StackName="serverlessrepo-x")["Stacks"][0]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
