"""The Parameter Store: versions, labels, paths and secure strings."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError
from eventing import ACCOUNT, advance, nothing_came, queue, received, user_client

DAY_S = 86_400


@pytest.fixture
def ssm(client):
    return client("ssm")


def put(ssm, name, value="v", **more):
    return ssm.put_parameter(**{"Name": name, "Value": value, "Type": "String"} | more)


def test_a_parameter_is_put_read_and_overwritten(platform, ssm):
    assert put(ssm, "/app/a", Description="d")["Version"] == 1
    with pytest.raises(ClientError, match="To overwrite this value, set the overwrite option in the request to true"):  # fmt: skip
        put(ssm, "/app/a")
    assert ssm.put_parameter(Name="/app/a", Value="two", Overwrite=True)["Version"] == 2
    platform.reopen()
    found = ssm.get_parameter(Name="/app/a")["Parameter"]
    assert (found["Value"], found["Version"], found["Type"], found["DataType"]) == ("two", 2, "String", "text")  # fmt: skip
    assert found["ARN"] == f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/app/a"
    assert ssm.get_parameter(Name=found["ARN"])["Parameter"]["Value"] == "two"
    assert ssm.get_parameter(Name="/app/a:1")["Parameter"]["Value"] == "v"
    history = ssm.get_parameter_history(Name="/app/a")["Parameters"]
    assert [(h["Version"], h["Value"], h["Description"]) for h in history] == [(1, "v", "d"), (2, "two", "d")]  # fmt: skip
    got = ssm.get_parameters(Names=["/app/a", "gone", "/app/a:9"])
    assert [p["Name"] for p in got["Parameters"]] == ["/app/a"]
    assert got["InvalidParameters"] == ["gone", "/app/a:9"]
    assert ssm.delete_parameters(Names=["/app/a", "gone"])["DeletedParameters"] == ["/app/a"]
    with pytest.raises(ssm.exceptions.ParameterNotFound):
        ssm.get_parameter(Name="/app/a")


def test_a_secure_string_is_sealed_and_only_decrypted_when_asked(platform, ssm):
    put(ssm, "pw", "very-secret-text", Type="SecureString")
    assert ssm.get_parameter(Name="pw", WithDecryption=True)["Parameter"]["Value"] == "very-secret-text"  # fmt: skip
    assert "secret-text" not in ssm.get_parameter(Name="pw")["Parameter"]["Value"]
    assert ssm.describe_parameters()["Parameters"][0]["KeyId"] == "alias/aws/ssm"
    found = subprocess.run(["grep", "-rl", "very-secret-text", platform.folder], capture_output=True, text=True)  # fmt: skip
    assert found.stdout == ""


def test_labels_point_at_versions_and_move(ssm):
    put(ssm, "p", "1")
    ssm.put_parameter(Name="p", Value="2", Overwrite=True)
    answer = ssm.label_parameter_version(Name="p", ParameterVersion=1, Labels=["prod", "aws-no", "1st"])  # fmt: skip
    assert answer["InvalidLabels"] == ["aws-no", "1st"]
    assert ssm.get_parameter(Name="p:prod")["Parameter"]["Value"] == "1"
    ssm.label_parameter_version(Name="p", Labels=["prod"])
    assert ssm.get_parameter(Name="p:prod")["Parameter"]["Value"] == "2"
    assert ssm.unlabel_parameter_version(Name="p", ParameterVersion=2, Labels=["prod", "no"])["RemovedLabels"] == ["prod"]  # fmt: skip
    with pytest.raises(ssm.exceptions.ParameterVersionNotFound):
        ssm.get_parameter(Name="p:prod")


def test_a_hundred_versions_are_kept_but_none_with_a_label_is_forgotten(ssm):
    put(ssm, "p", "0")
    for number in range(1, 101):
        ssm.put_parameter(Name="p", Value=str(number), Overwrite=True)
    with pytest.raises(ssm.exceptions.ParameterVersionNotFound):
        ssm.get_parameter(Name="p:1")
    ssm.label_parameter_version(Name="p", ParameterVersion=2, Labels=["old"])
    with pytest.raises(ssm.exceptions.ParameterMaxVersionLimitExceeded):
        ssm.put_parameter(Name="p", Value="x", Overwrite=True)


def test_parameters_are_found_by_path_in_pages(ssm):
    for name in ("/a/1", "/a/2", "/a/b/3", "/a/b/c/4", "/ab", "/a", "top"):
        put(ssm, name)

    def under(path, **more):
        pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=path, PaginationConfig={"PageSize": 2}, **more)  # fmt: skip
        return [p["Name"] for page in pages for p in page["Parameters"]]

    assert under("/a") == ["/a/1", "/a/2"]
    assert under("/a/") == ["/a/1", "/a/2"]
    assert under("/a", Recursive=True) == ["/a/1", "/a/2", "/a/b/3", "/a/b/c/4"]
    assert under("/a/b") == ["/a/b/3"]
    assert under("/") == ["/a", "/ab"]
    with pytest.raises(ClientError, match="must begin with a forward slash"):
        under("a")


def test_what_lies_deeper_is_not_read_through(platform, ssm):
    """Keys read for a page of a path are the same with ten and with three hundred parameters below it."""
    put(ssm, "/p/a")
    put(ssm, "/p/z")
    counts = []
    for number in range(300):
        put(ssm, f"/p/deep/{number}")
        if number in (9, 299):
            counts.append(_rows_read(platform, lambda: ssm.get_parameters_by_path(Path="/p")))
    assert counts[0] == counts[1]


def _rows_read(platform, call):
    from stratolite.core.tx import Tx

    rows = 0
    plain = Tx.scan

    def counted(self, span, **more):
        nonlocal rows
        for row in plain(self, span, **more):
            rows += b"\x02parameter\x00" in row[0]  # workers read beside it
            yield row

    Tx.scan = counted
    try:
        assert [p["Name"] for p in call()["Parameters"]] == ["/p/a", "/p/z"]
    finally:
        Tx.scan = plain
    return rows


def test_parameters_are_described_by_filters(ssm):
    put(ssm, "/x/a", Tags=[{"Key": "team", "Value": "red"}])
    put(ssm, "/x/y/b", "a,b", Type="StringList")
    put(ssm, "/z", Type="SecureString")

    def named(*filters):
        found = ssm.describe_parameters(ParameterFilters=[{"Key": k, "Option": o, "Values": v} if o else {"Key": k, "Values": v} for k, o, v in filters])  # fmt: skip
        return [p["Name"] for p in found["Parameters"]]

    assert named(("Name", "BeginsWith", ["/x"])) == ["/x/a", "/x/y/b"]
    assert named(("Name", "Contains", ["y"])) == ["/x/y/b"]
    assert named(("Type", None, ["StringList", "SecureString"])) == ["/x/y/b", "/z"]
    assert named(("Path", "OneLevel", ["/x"])) == ["/x/a"]
    assert named(("Path", "Recursive", ["/x"])) == ["/x/a", "/x/y/b"]
    assert named(("tag:team", None, ["red"])) == ["/x/a"]
    with pytest.raises(ClientError, match="1 validation error detected: Value 'Colour'"):
        named(("Colour", None, ["red"]))
    with pytest.raises(ssm.exceptions.InvalidFilterKey):
        ssm.get_parameters_by_path(Path="/", ParameterFilters=[{"Key": "Name", "Values": ["x"]}])


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        ({"Type": None}, "ValidationException", "A parameter type is required when you create a parameter."),
        ({"Name": "ssm-x"}, "ValidationException", "can't be prefixed with \"ssm\""),
        ({"Name": "/aws/x"}, "AccessDeniedException", "No access to reserved parameter name: /aws/x."),
        ({"Name": "a/b"}, "ValidationException", "Parameter name must be a fully qualified name."),
        ({"Name": "/" + "a/" * 15 + "b"}, "HierarchyLevelLimitExceededException", "maximum of 15 levels"),
        ({"Value": "x" * 4097}, "ValidationException", "Standard tier parameters support a maximum parameter value of 4096 characters."),
        ({"AllowedPattern": "[0-9]+"}, "ParameterPatternMismatchException", "Parameter value, cannot be validated against allowedPattern: [0-9]+"),
        ({"AllowedPattern": "(a+)+("}, "InvalidAllowedPatternException", "The request does not meet the regular expression requirement"),
        ({"DataType": "aws:ec2:image"}, "ValidationException", "DataType aws:ec2:image is not offered by Stratolite"),
        ({"Overwrite": True, "Tags": [{"Key": "k", "Value": "v"}]}, "ValidationException", "tags and overwrite can't be used together"),
        ({"KeyId": "alias/mine"}, "ValidationException", "KeyId is required for SecureString type parameter only."),
    ],
)  # fmt: skip
def test_bad_parameters_are_refused(ssm, request_, code, message):
    asked = {k: v for k, v in ({"Name": "p", "Value": "v", "Type": "String"} | request_).items() if v is not None}  # fmt: skip
    with pytest.raises(ClientError) as found:
        ssm.put_parameter(**asked)
    assert found.value.response["Error"]["Code"] == code
    assert message in found.value.response["Error"]["Message"]
    assert ssm.describe_parameters()["Parameters"] == []


def test_the_advanced_tier_holds_more_and_is_not_left_again(ssm):
    assert put(ssm, "p", "x" * 5000, Tier="Intelligent-Tiering")["Tier"] == "Advanced"
    with pytest.raises(ClientError, match="You can't downgrade"):
        ssm.put_parameter(Name="p", Value="v", Overwrite=True, Tier="Standard")


def test_a_user_reads_only_the_paths_its_policy_names(client, ssm):
    put(ssm, "/a/1")
    put(ssm, "/b/1")
    ann = user_client(client, "ssm", [{"Effect": "Allow", "Action": "ssm:Get*", "Resource": f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/a*"}])  # fmt: skip
    assert ann.get_parameter(Name="/a/1")
    assert ann.get_parameters_by_path(Path="/a")["Parameters"]
    for call, request in ((ann.get_parameter, {"Name": "/b/1"}), (ann.get_parameters, {"Names": ["/a/1", "/b/1"]}), (ann.get_parameters_by_path, {"Path": "/"})):  # fmt: skip
        with pytest.raises(ClientError, match="not authorized to perform: ssm:Get"):
            call(**request)


def test_a_change_is_told_to_the_event_bus(client, ssm):
    url, arn = queue(client)
    events = client("events")
    events.put_rule(Name="r", EventPattern=json.dumps({"source": ["aws.ssm"]}))
    events.put_targets(Rule="r", Targets=[{"Id": "t", "Arn": arn}])
    put(ssm, "/a/1")
    ssm.delete_parameter(Name="/a/1")
    got = received(client, url, 2)
    assert {e["detail"]["operation"] for e in got} == {"Create", "Delete"}
    assert {e["detail-type"] for e in got} == {"Parameter Store Change"}


def test_a_stack_has_parameters(client, ssm):
    template = "{Resources: {P: {Type: AWS::SSM::Parameter, Properties: {Type: String, Value: NAME, Tags: {k: NAME}}}}, Outputs: {P: {Value: !Ref P}, V: {Value: !GetAtt P.Value}}}"  # fmt: skip
    cloudformation = client("cloudformation")
    cloudformation.create_stack(StackName="s", TemplateBody=template.replace("NAME", "one"))
    outputs = {o["OutputKey"]: o["OutputValue"] for o in cloudformation.describe_stacks(StackName="s")["Stacks"][0]["Outputs"]}  # fmt: skip
    assert outputs["V"] == "one"
    cloudformation.update_stack(StackName="s", TemplateBody=template.replace("NAME", "two"))
    assert ssm.get_parameter(Name=outputs["P"])["Parameter"]["Value"] == "two"
    assert {"Key": "k", "Value": "two"} in ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=outputs["P"])["TagList"]  # fmt: skip
    cloudformation.delete_stack(StackName="s")
    assert ssm.describe_parameters()["Parameters"] == []


def policy(kind, **attributes):
    return {"Type": kind, "Version": "1.0", "Attributes": attributes}


def in_days(platform, days):
    now_s = platform.run(platform.cloud.db.transact(lambda tx: tx.time_s))
    return datetime.fromtimestamp(now_s + days * DAY_S, UTC).isoformat()


def policies_of(ssm, name):
    """(type, status) of each."""
    by_name = [{"Key": "Name", "Values": [name]}]
    (found,) = ssm.describe_parameters(ParameterFilters=by_name)["Parameters"]
    return [(p["PolicyType"], p["PolicyStatus"]) for p in found["Policies"]]


def told(client, url, count):
    """(policy type or operation, name), in whatever order they came."""
    details = [event["detail"] for event in received(client, url, count)]
    return sorted((d.get("policy-type") or d["operation"], d.get("parameter-name") or d["name"]) for d in details)  # fmt: skip


def test_policies_tell_of_an_end_and_of_what_does_not_change(platform, client, ssm):
    """Each at its time on the cloud clock; a new value counts the days without change anew and leaves the end alone."""
    url, arn = queue(client)
    events = client("events")
    pattern = {
        "detail-type": ["Parameter Store Policy Action"],
        "detail": {"parameter-name": ["p"]},
    }
    events.put_rule(Name="r", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="r", Targets=[{"Id": "t", "Arn": arn}])
    ruled = [
        policy("Expiration", Timestamp=in_days(platform, 30)),
        policy("ExpirationNotification", Before="10", Unit="Days"),
        policy("NoChangeNotification", After="12", Unit="Days"),
    ]
    made = put(ssm, "p", Tier="Intelligent-Tiering", Policies=json.dumps(ruled))
    assert made["Tier"] == "Advanced"
    names = [one["Type"] for one in ruled]
    assert policies_of(ssm, "p") == [(name, "Pending") for name in names]
    advance(platform, 10 * DAY_S)
    ssm.put_parameter(Name="p", Value="two", Overwrite=True)
    platform.reopen()
    advance(platform, 11 * DAY_S)  # day 21
    assert told(client, url, 1) == [("ExpirationNotification", "p")]
    assert policies_of(ssm, "p") == [("Expiration", "Pending"), ("ExpirationNotification", "Finished"), ("NoChangeNotification", "Pending")]  # fmt: skip
    advance(platform, 2 * DAY_S)  # day 23
    assert told(client, url, 1) == [("NoChangeNotification", "p")]
    assert ssm.get_parameter(Name="p")["Parameter"]["Value"] == "two"
    advance(platform, 8 * DAY_S)  # day 31
    assert told(client, url, 1) == [("Expiration", "p")]
    with pytest.raises(ssm.exceptions.ParameterNotFound):
        ssm.get_parameter(Name="p")
    assert nothing_came(client, url)


def test_policies_stay_until_others_are_put(platform, client, ssm):
    """A policy that was taken back, or whose parameter was deleted and made anew, has no effect any more."""
    end = [policy("Expiration", Timestamp=in_days(platform, 2))]
    for name in ("kept", "freed", "again"):
        put(ssm, name, Tier="Advanced", Policies=json.dumps(end))
    ssm.put_parameter(Name="kept", Value="x", Overwrite=True)
    ssm.put_parameter(Name="freed", Value="x", Overwrite=True, Policies="[{}]")
    ssm.delete_parameter(Name="again")
    put(ssm, "again")
    assert [policies_of(ssm, name) for name in ("kept", "freed", "again")] == [[("Expiration", "Pending")], [], []]  # fmt: skip
    url, arn = queue(client)
    client("events").put_rule(Name="r", EventPattern=json.dumps({"source": ["aws.ssm"]}))
    client("events").put_targets(Rule="r", Targets=[{"Id": "t", "Arn": arn}])
    advance(platform, 3 * DAY_S)
    assert told(client, url, 2) == [("Delete", "kept"), ("Expiration", "kept")]
    assert [p["Name"] for p in ssm.describe_parameters()["Parameters"]] == ["again", "freed"]


SOON = "2999-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("policies", "code"),
    [
        ([policy("Forever")], "InvalidPolicyTypeException"),
        ([policy("Expiration", Timestamp="soon")], "InvalidPolicyAttributeException"),
        ([policy("Expiration", Timestamp="2001-01-01T00:00:00Z")], "InvalidPolicyAttributeException"),
        ([policy("Expiration", Timestamp="2999-01-01T00:00:00")], "InvalidPolicyAttributeException"),
        ([policy("Expiration", Timestamp=SOON)] * 2, "IncompatiblePolicyException"),
        ([policy("ExpirationNotification", Before="1", Unit="Days")], "IncompatiblePolicyException"),
        ([policy("NoChangeNotification", After="0", Unit="Days")], "InvalidPolicyAttributeException"),
        ([policy("NoChangeNotification", After="1", Unit="Weeks")], "InvalidPolicyAttributeException"),
        ([policy("NoChangeNotification", Before="1", Unit="Days")], "InvalidPolicyAttributeException"),
        ([policy("NoChangeNotification", After="1", Unit="Days")] * 11, "PoliciesLimitExceededException"),
        ({"Type": "Expiration"}, "InvalidPolicyAttributeException"),
    ],
)  # fmt: skip
def test_bad_policies_are_refused(ssm, policies, code):
    with pytest.raises(ClientError) as found:
        put(ssm, "p", Tier="Advanced", Policies=json.dumps(policies))
    assert found.value.response["Error"]["Code"] == code
    assert ssm.describe_parameters()["Parameters"] == []


def test_policies_are_for_the_advanced_tier(ssm):
    ruled = json.dumps([policy("Expiration", Timestamp=SOON)])
    for tier in ({}, {"Tier": "Standard"}):
        with pytest.raises(ClientError, match="advanced tier only"):
            put(ssm, "p", Policies=ruled, **tier)


def test_a_stack_puts_and_takes_policies(client, ssm):
    cloudformation = client("cloudformation")
    ruled = json.dumps([policy("Expiration", Timestamp=SOON)], indent=1)
    properties = {"Type": "String", "Value": "v", "Name": "p", "Tier": "Advanced"}

    def text(**more):
        return json.dumps({"Resources": {"P": {"Type": "AWS::SSM::Parameter", "Properties": properties | more}}})  # fmt: skip

    cloudformation.create_stack(StackName="s", TemplateBody=text(Policies=ruled))
    assert policies_of(ssm, "p") == [("Expiration", "Pending")]
    drift = cloudformation.detect_stack_resource_drift(StackName="s", LogicalResourceId="P")
    assert drift["StackResourceDrift"]["StackResourceDriftStatus"] == "IN_SYNC"
    cloudformation.update_stack(StackName="s", TemplateBody=text())
    assert policies_of(ssm, "p") == []
