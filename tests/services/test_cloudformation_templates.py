"""Templates and their parameters: read, checked, and refused in AWS's words before anything is touched."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import orjson
import pytest
import yaml
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stratolite.errors import Fault
from stratolite.service import Call, root
from stratolite.services.cloudformation.parameters import check_declared, take_parameters
from stratolite.services.cloudformation.schema import load_schema
from stratolite.services.cloudformation.template import check_template, in_order
from stratolite.services.cloudformation.template_source import object_of
from stratolite.services.cloudformation.template_text import read_template

BUCKET = {"Type": "AWS::S3::Bucket"}
QUEUE_LIKE = {"Type": "AWS::Logs::LogGroup"}


# -- text

WORDS = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=12)
SCALARS = st.one_of(WORDS, st.integers(-(10**6), 10**6), st.booleans(), st.none())
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(WORDS, inner, max_size=4),
    ),
    max_leaves=20,
)


class Whole(yaml.SafeDumper):
    """No anchors: CloudFormation refuses aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(WORDS, TREES, max_size=4))
def test_json_and_yaml_of_the_same_template_read_the_same(tree: dict[str, Any]) -> None:
    text = yaml.dump(tree, Dumper=Whole, allow_unicode=True)
    assert read_template(orjson.dumps(tree).decode()) == tree
    assert read_template(text) == tree


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="{}[]:,-!&*|>'\"\\#%@ \n\tabR0.~<?", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Never anything but a mapping or a Fault."""
    try:
        assert isinstance(read_template(text), dict)
    except Fault as fault:
        assert fault.code == "ValidationError"


def test_short_forms_are_long_forms() -> None:
    text = """
    a: !Ref X
    b: !GetAtt X.Y.Z
    c: !Sub ["${v}", {v: !Ref X}]
    d: !If [C, !Join ['', [a, b]], !Ref AWS::NoValue]
    e: 2012-10-17
    f: 0123
    g: [yes, 12, 1.5, '12']
    """
    assert read_template(text) == {
        "a": {"Ref": "X"},
        "b": {"Fn::GetAtt": ["X", "Y.Z"]},
        "c": {"Fn::Sub": ["${v}", {"v": {"Ref": "X"}}]},
        "d": {"Fn::If": ["C", {"Fn::Join": ["", ["a", "b"]]}, {"Ref": "AWS::NoValue"}]},
        "e": "2012-10-17",
        "f": "0123",
        "g": [True, 12, 1.5, "12"],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: &x 1\nb: *x",
            "Template error: YAML aliases are not allowed in CloudFormation templates.",
        ),
        ("a: [", "Template format error: YAML not well-formed. (line 2, column 1)"),
        ('{"a" 1}', "Template format error: JSON not well-formed."),
        ("- a", "Template format error: unsupported structure."),
        ("a: !!python/object/apply:os.system [x]", "Unsupported tag"),
        ("a: 1\na: 2", "Duplicate key a"),
        ("a: " + "[" * 5000, "Template format error"),
        ('{"a":' * 5000, "Template format error"),
    ],
)
def test_texts_that_are_no_template(text: str, message: str) -> None:
    with pytest.raises(Fault) as told:
        read_template(text)
    assert message in told.value.message


# -- structure


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({}, "Template format error: At least one Resources member must be defined."),
        (
            {"Resources": {}},
            "Template format error: At least one Resources member must be defined.",
        ),
        (
            {"Resources": {"a": BUCKET}, "Resource": {}},
            "Invalid template property or properties [Resource]",
        ),
        ({"Resources": {"a-b": BUCKET}}, "Resource name a-b is non alphanumeric."),
        (
            {"Resources": {"a": {}}},
            "[/Resources/a] Every Resources object must contain a Type member.",
        ),
        (
            {"Resources": {"a": {**BUCKET, "Propertys": {}}}},
            "Invalid template resource property 'Propertys'",
        ),
        (
            {"Resources": {"a": {**BUCKET, "DeletionPolicy": "Keep"}}},
            "Unrecognized DeletionPolicy Keep",
        ),
        (
            {"Resources": {"a": {**BUCKET, "DeletionPolicy": "Snapshot"}}},
            "does not support DeletionPolicy Snapshot",
        ),
        (
            {"Resources": {"a": {**BUCKET, "CreationPolicy": {"x": 1}}}},
            "CreationPolicy of a is not offered",
        ),
        (
            {"Resources": {"a": {**BUCKET, "Properties": {"B": {"Ref": "X"}}}}},
            "Template format error: Unresolved resource dependencies [X] in the Resources block of the template",
        ),
        (
            {"Resources": {"a": {**BUCKET, "DependsOn": "Y"}}},
            "Template format error: Unresolved resource dependencies [Y] in the Resources block of the template",
        ),
        (
            {"Resources": {"a": BUCKET}, "Outputs": {"o": {"Value": {"Ref": "X"}}}},
            "Unresolved resource dependencies [X] in the Outputs block of the template",
        ),
        ({"Resources": {"a": BUCKET}, "Outputs": {"o": {}}}, "must contain a Value object"),
        (
            {"Resources": {"a": {"Type": "My::Own::Thing::MODULE"}}},
            "Module My::Own::Thing::MODULE of a is not offered",
        ),
        (
            {"Resources": {"a": BUCKET}, "AWSTemplateFormatVersion": "2011"},
            "is not a supported value",
        ),
        ({"Resources": {"a": BUCKET}, "Hooks": {"r": {}}}, "Hooks is not offered"),
        (
            {"Resources": {"a": BUCKET}, "Conditions": {"c": {"Fn::Equals": [{"Ref": "a"}, 1]}}},
            "Unresolved dependencies [a]. Cannot reference resources in the Conditions block of the template",
        ),
    ],
)
def test_structures_that_cannot_be(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(Fault) as told:
        check_template(raw, transformed=True)
    assert message in told.value.message


def test_circles_are_named_without_what_hangs_on_them() -> None:
    with pytest.raises(Fault, match=r"Circular dependency between resources: \[a, b\]"):
        in_order({"a": ["b"], "b": ["a"], "c": ["a"], "d": []})


@pytest.mark.parametrize(
    ("resources", "needed"),
    [
        ({"a": BUCKET}, []),
        ({"a": {"Type": "AWS::IAM::Role"}}, ["CAPABILITY_IAM"]),
        (
            {"a": {"Type": "AWS::IAM::Role", "Properties": {"RoleName": "x"}}},
            ["CAPABILITY_NAMED_IAM"],
        ),
        (
            {"a": {"Type": "AWS::IAM::Policy", "Properties": {"PolicyName": "x"}}},
            ["CAPABILITY_IAM"],
        ),
    ],
)
def test_capabilities(resources: dict[str, Any], needed: list[str]) -> None:
    assert check_template({"Resources": resources}, transformed=True).capabilities()[0] == needed


# -- parameters


def given_as(**values: str) -> list[dict[str, Any]]:
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]


@pytest.mark.parametrize(
    ("declared", "given_values", "message"),
    [
        ({"P": {"Type": "String"}}, {}, "Parameters: [P] must have values"),
        ({}, {"Q": "1"}, "Parameters: [Q] do not exist in the template"),
        (
            {"P": {"Type": "String", "AllowedValues": ["a", "b"]}}, {"P": "c"},
            "Parameter 'P' must be one of AllowedValues",
        ),
        ({"P": {"Type": "String", "AllowedPattern": "[a-z]+"}}, {"P": "A"}, "Parameter 'P' must match pattern [a-z]+"),
        (
            {"P": {"Type": "String", "AllowedPattern": "[a-z]+", "ConstraintDescription": "small letters"}},
            {"P": "A"}, "Parameter 'P' failed to satisfy constraint: small letters",
        ),
        ({"P": {"Type": "String", "MinLength": 3}}, {"P": "ab"}, "Parameter 'P' must contain at least 3 characters"),
        ({"P": {"Type": "String", "MaxLength": "1"}}, {"P": "ab"}, "Parameter 'P' must contain at most 1 characters"),
        ({"P": {"Type": "Number"}}, {"P": "x"}, "Parameter 'P' must be a number."),
        ({"P": {"Type": "Number", "MinValue": 3}}, {"P": "2"}, "must be a number not less than 3"),
        ({"P": {"Type": "List<Number>", "MaxValue": 3}}, {"P": "1,4"}, "must be a number not greater than 3"),
        ({"P": {"Type": "AWS::SSM::Parameter::Value<Strang>"}}, {"P": "x"}, "Unrecognized parameter type"),
        ({"P": {"Type": "Strang"}}, {"P": "x"}, "Unrecognized parameter type: Strang"),
        ({"P": {"Type": "String", "Defalt": 1}}, {"P": "x"}, "Invalid template parameter property 'Defalt'"),
        ({"P": {"Type": "String", "AllowedPattern": "(a+)+b"}}, {"P": "a" * 60}, "must match pattern (a+)+b"),
        ({"P": {"Type": "String", "AllowedPattern": "(a)\\1"}}, {"P": "aa"}, "is not valid: groupref is not offered"),
    ],
)  # fmt: skip
def test_parameters_that_do_not_fit(declared: Any, given_values: Any, message: str) -> None:
    with pytest.raises(Fault) as told:
        check_declared(declared)
        take_parameters(declared, given_as(**given_values), None)
    assert message in told.value.message


def test_defaults_and_previous_values_fill_what_is_not_given() -> None:
    declared = {
        "A": {"Type": "String", "Default": 1},
        "B": {"Type": "String"},
        "C": {"Type": "String", "Default": "c"},
    }
    previous = {"A": "old", "B": "old"}
    asked = [{"ParameterKey": "B", "UsePreviousValue": True}, *given_as(A="new")]
    assert take_parameters(declared, asked, previous) == {"A": "new", "B": "old", "C": "c"}
    with pytest.raises(Fault, match="Cannot specify usePreviousValue as true"):
        take_parameters(declared, asked, None)


# -- properties


@pytest.mark.parametrize(
    ("kind", "properties", "problem"),
    [
        ("AWS::S3::Bucket", {"BucketNam": "x"}, "#: extraneous key [BucketNam] is not permitted"),
        ("AWS::S3::Bucket", {"Arn": "x"}, "#: read-only key [Arn] is not permitted"),
        ("AWS::S3::BucketPolicy", {"Bucket": "x"}, "#: required key [PolicyDocument] not found"),
        ("AWS::S3::Bucket", {"BucketName": []}, "#/BucketName: expected type: String, found: JSONArray"),
        ("AWS::S3::Bucket", {"Tags": {"a": "b"}}, "#/Tags: expected type: JSONArray, found: JSONObject"),
        (
            "AWS::S3::Bucket",
            {"VersioningConfiguration": {"Status": "On"}},
            "#/VersioningConfiguration/Status: #: On is not a valid enum value",
        ),
        ("AWS::Lambda::Function", {"Code": {}, "Role": "r", "MemorySize": "big"}, "#/MemorySize: expected type: Integer"),
    ],
)  # fmt: skip
def test_properties_are_checked_against_awss_schemas(
    kind: str, properties: Any, problem: str
) -> None:
    schema = load_schema("us-east-1", kind)
    assert schema is not None
    assert any(p.startswith(problem) for p in schema.conform(properties)[1]), schema.conform(
        properties
    )


def test_scalars_become_what_the_schema_asks_for() -> None:
    schema = load_schema("us-east-1", "AWS::Lambda::Function")
    assert schema is not None
    wanted = {
        "Code": {"ZipFile": "x"},
        "Role": "arn:aws:iam::000000000000:role/r",
        "MemorySize": "256",
        "Environment": {"Variables": {"A": 1, "B": True}},
    }
    made, problems = schema.conform(wanted)
    assert problems == []
    assert made["MemorySize"] == 256
    assert made["Environment"] == {"Variables": {"A": "1", "B": "true"}}


# -- where a template may be


@pytest.mark.parametrize(
    ("url", "bucket", "key"),
    [
        ("http://localhost:4566/b/k/x.yaml", "b", "k/x.yaml"),
        ("https://s3.us-east-1.amazonaws.com/b/k%20x", "b", "k x"),
        ("https://b.s3.amazonaws.com/k", "b", "k"),
        ("https://b.c.s3.eu-west-1.amazonaws.com/k/l", "b.c", "k/l"),
        ("http://b.s3.localhost:4566/k", "b", "k"),
        ("https://s3-eu-west-1.amazonaws.com/b/k", "b", "k"),
    ],
)
def test_template_urls_name_objects_of_ours(url: str, bucket: str, key: str) -> None:
    """Nothing is ever fetched from elsewhere."""
    assert object_of(url) == {"Bucket": bucket, "Key": key}


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "http://localhost:4566/b", "http://localhost:4566/", "x"]
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(Fault, match="TemplateURL must"):
        object_of(url)


# -- through the door


def test_nothing_is_touched_when_the_template_is_wrong(client: Any) -> None:
    cfn = client("cloudformation")
    wrong: list[tuple[Any, str]] = [
        ({"a": {"Type": "AWS::S3::Buckets"}}, r"Unrecognized resource types: \[AWS::S3::Buckets\]"),
        (
            {"a": {"Type": "AWS::EC2::Instance"}},
            r"not offered by Stratolite: AWS::EC2::Instance \(a\)",
        ),
        (
            {"a": {"Type": "AWS::CloudFormation::Stack"}},
            r"required key \[TemplateURL\] not found \(line 1\)",
        ),
        ({"a": {"Type": "Custom::Mine"}}, r"required key \[ServiceToken\] not found \(line 1\)"),
        (
            {
                "b": BUCKET,
                "a": {**BUCKET, "Properties": {"BucketName": {"Fn::GetAtt": ["b", "Nope"]}}},
            },
            "does not support attribute type Nope in Fn::GetAtt",
        ),
        (
            {"a": {**BUCKET, "Properties": {"X": 1}}},
            r"Properties validation failed for resource a with message",
        ),
    ]
    for resources, message in wrong:
        with pytest.raises(ClientError, match=message):
            cfn.create_stack(StackName="s", TemplateBody=json.dumps({"Resources": resources}))
    too_long = json.dumps({"Resources": {"a": BUCKET}, "Metadata": {"x": "y" * 51_200}})
    with pytest.raises(ClientError, match="less than or equal to 51200"):
        cfn.create_stack(StackName="s", TemplateBody=too_long)
    assert cfn.list_stacks()["StackSummaries"] == []
    assert client("s3").list_buckets()["Buckets"] == []

    client("s3").create_bucket(Bucket="texts")
    client("s3").put_object(Bucket="texts", Key="x.json", Body=too_long.encode())
    answer = cfn.validate_template(TemplateURL="http://localhost:4566/texts/x.json")
    assert answer["Capabilities"] == []
    with pytest.raises(ClientError, match="S3 error: The specified key does not exist"):
        cfn.validate_template(TemplateURL="http://localhost:4566/texts/y.json")


def test_summaries_tell_parameters_types_and_capabilities(client: Any) -> None:
    cfn = client("cloudformation")
    body = """
    Transform: AWS::Serverless-2016-10-31
    Description: d
    Parameters:
      P: {Type: Number, Default: 3, NoEcho: true, AllowedValues: [3, 4]}
    Resources:
      F: {Type: AWS::Serverless::Function, Properties: {Handler: a.b, Runtime: python3.13, InlineCode: x}}
      R: {Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {}}}
    """
    told = cfn.get_template_summary(TemplateBody=body)
    assert told["ResourceTypes"] == ["AWS::IAM::Role", "AWS::Serverless::Function"]
    assert told["Capabilities"] == ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
    assert told["DeclaredTransforms"] == ["AWS::Serverless-2016-10-31"]
    parameter = told["Parameters"][0]
    assert (parameter["DefaultValue"], parameter["NoEcho"]) == ("3", True)
    assert parameter["ParameterConstraints"] == {"AllowedValues": ["3", "4"]}


NAMES = st.sampled_from(["a", "b", "P", "AWS::Region", "C", "Resources", ""])
FUNCTIONS = st.sampled_from(
    [
        "Ref",
        "Fn::GetAtt",
        "Fn::Sub",
        "Fn::Join",
        "Fn::Select",
        "Fn::If",
        "Fn::Split",
        "Fn::FindInMap",
        "Fn::Cidr",
        "Fn::Base64",
        "Fn::ImportValue",
        "Fn::GetAZs",
        "Fn::Equals",
        "Fn::Not",
        "Condition",
        "Fn::And",
        "Fn::Transform",
    ]
)
JUNK = st.recursive(
    st.one_of(NAMES, SCALARS, st.sampled_from(["${a}", "${a.Arn}", "${P}${", "a.Arn"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(FUNCTIONS, inner, min_size=1, max_size=1),
        st.dictionaries(NAMES, inner, max_size=2),
    ),
    max_leaves=10,
)
RESOURCE = st.fixed_dictionaries(
    {
        "Type": st.one_of(
            st.sampled_from(["AWS::S3::Bucket", "AWS::Logs::LogGroup", "AWS::DynamoDB::Table"]),
            JUNK,
        )
    },
    optional={
        "Properties": st.one_of(
            st.dictionaries(st.sampled_from(["BucketName", "Tags", "LogGroupName"]), JUNK), JUNK
        ),
        "DependsOn": JUNK,
        "Condition": JUNK,
        "Metadata": JUNK,
        "DeletionPolicy": JUNK,
    },
)
TEMPLATES = st.fixed_dictionaries(
    {
        "Resources": st.one_of(
            st.dictionaries(st.sampled_from(["a", "b"]), RESOURCE, min_size=1), JUNK
        )
    },
    optional={
        "Parameters": st.one_of(st.just({"P": {"Type": "String", "Default": "p"}}), JUNK),
        "Conditions": st.one_of(st.dictionaries(st.just("C"), JUNK), JUNK),
        "Mappings": JUNK,
        "Outputs": st.one_of(
            st.dictionaries(st.just("o"), st.fixed_dictionaries({"Value": JUNK, "Export": JUNK})),
            JUNK,
        ),
        "Transform": JUNK,
        "Description": JUNK,
    },
)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(template=TEMPLATES)
def test_any_template_makes_a_change_set_or_is_refused(platform: Any, template: Any) -> None:
    """Whatever people write: a Fault they can act on, never a failure of ours."""
    call = Call(platform.cloud, root("000000000000"), "us-east-1", "r", "http://localhost")
    request = {
        "StackName": "s",
        "TemplateBody": orjson.dumps(template).decode(),
        "Capabilities": [],
    }
    name = call.world.uuid()
    change = {**request, "ChangeSetName": f"c{name}", "ChangeSetType": "CREATE"}
    try:
        platform.run(
            asyncio.wait_for(call.request("cloudformation", "CreateChangeSet", change), 20)
        )
    except Fault as fault:
        assert fault.code in ("ValidationError", "InsufficientCapabilitiesException"), fault
