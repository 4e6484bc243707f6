"""stratolite check: every mistake of a template with its file and line, without a server."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

import stratolite
from stratolite.cli import main
from stratolite.cli.package import load

TEMPLATE = """\
Parameters:
  Size: {Type: Number}
Resources:
  A:
    Type: AWS::S3::Bucket
    Properties:
      BucketNam: x
  B:
    Type: AWS::EC2::Instance
  C:
    Type: AWS::Logs::LogGroup
    Properties:
      RetentionInDays: !Ref Size
      LogGroupClass: INFREQUENT_ACCESS
  N:
    Type: AWS::CloudFormation::Stack
    Properties:
      TemplateURL: child.yaml
"""
CHILD = """\
Transform: AWS::Serverless-2016-10-31
Resources:
  F:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: code, Handler: a.b, Runtime: python3.12, Architectures: [arm64]}
"""


def check(capsys: Any, path: Path) -> tuple[int, list[str]]:
    code = int(main(["check", str(path)]) or 0)
    return code, capsys.readouterr().out.replace(f"{path.parent}/", "").splitlines()


def test_every_mistake_is_told_with_its_line(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    (tmp_path / "child.yaml").write_text(CHILD)
    code, said = check(capsys, tmp_path / "template.yaml")
    assert code == 1
    assert said[-3:] == [
        "template.yaml:7: error: A: #: extraneous key [BucketNam] is not permitted",
        "template.yaml:9: error: B: resource type AWS::EC2::Instance is not offered by Stratolite",
        "template.yaml:14: error: C: #/LogGroupClass: value INFREQUENT_ACCESS is not offered by Stratolite; offered: STANDARD",
    ]


def test_a_template_that_works_passes(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "child.yaml").write_text(CHILD.replace("[arm64]", "[x86_64]"))
    code, said = check(capsys, tmp_path / "child.yaml")
    assert (code, said) == (0, ["child.yaml: everything in it is offered here"])


def test_what_is_not_looked_up_is_named(tmp_path: Path, capsys: Any) -> None:
    """A parameter that names a network: nobody here can say whether it is there."""
    (tmp_path / "t.yaml").write_text(
        "Parameters:\n"
        "  Net: {Type: 'AWS::EC2::VPC::Id', Default: vpc-12345678}\n"
        "  Zone: {Type: 'AWS::EC2::AvailabilityZone::Name'}\n"
        "Resources: {Q: {Type: 'AWS::SQS::Queue'}}\n"
    )
    code, said = check(capsys, tmp_path / "t.yaml")
    assert code == 0
    assert said == [
        "t.yaml:2: warning: Net: that there is such an AWS::EC2::VPC::Id is not looked up here: its service is not offered"
    ]


def test_names_are_text_whatever_yaml_takes_them_for(tmp_path: Path, capsys: Any) -> None:
    """A resource called Off, an event called On, a response called 200: as the server reads them."""
    (tmp_path / "t.yaml").write_text(
        "Transform: AWS::Serverless-2016-10-31\n"
        "Resources:\n"
        "  Off:\n"
        "    Type: AWS::Serverless::Function\n"
        "    Properties:\n"
        "      {InlineCode: x, Handler: index.h, Runtime: python3.12, Events: {On: {Type: HttpApi}}}\n"
        "Mappings: {M: {Yes: {No: n, 200: a}}}\n"
    )
    assert check(capsys, tmp_path / "t.yaml") == (0, ["t.yaml: everything in it is offered here"])
    template = load(str(tmp_path / "t.yaml"))
    assert list(template["Resources"]) == ["Off"]
    assert list(template["Resources"]["Off"]["Properties"]["Events"]) == ["On"]
    assert template["Mappings"] == {"M": {"Yes": {"No": "n", "200": "a"}}}


def test_the_module_ends_as_the_command_does(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``python -m stratolite check`` in a script or CI must fail where ``stratolite check`` does."""
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    (tmp_path / "child.yaml").write_text(CHILD)
    monkeypatch.setattr("sys.argv", ["stratolite", "check", str(tmp_path / "template.yaml")])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(Path(stratolite.__file__).with_name("__main__.py")), run_name="__main__")
    assert end.value.code == 1
    assert "extraneous key [BucketNam]" in capsys.readouterr().out


def test_values_are_told_as_well_and_what_is_not_known_is_not(tmp_path: Path, capsys: Any) -> None:
    """A schedule given later may be right; a state machine's function may be one that is made beside it."""
    (tmp_path / "t.yaml").write_text(
        "Parameters: {When: {Type: String}, Wait: {Type: Number}}\n"
        "Transform: AWS::Serverless-2016-10-31\n"
        "Resources:\n"
        "  F:\n"
        "    Type: AWS::Serverless::Function\n"
        "    Properties:\n"
        "      {InlineCode: x, Handler: index.h, Runtime: java21, Tracing: Active, AutoPublishAlias: live,\n"
        "       ProvisionedConcurrencyConfig: {ProvisionedConcurrentExecutions: 1}}\n"
        "  R: {Type: AWS::Events::Rule, Properties: {ScheduleExpression: !Ref When}}\n"
        "  M:\n"
        "    Type: AWS::Serverless::StateMachine\n"
        "    Properties:\n"
        "      DefinitionSubstitutions: {Fn: !GetAtt F.Arn}\n"
        "      Definition:\n"
        "        StartAt: A\n"
        "        States:\n"
        "          A: {Type: Task, Resource: '${Fn}', Next: B}\n"
        "          B: {Type: Task, Resource: 'arn:aws:states:::ecs:runTask', End: true}\n"
        "  Later:\n"
        "    Type: AWS::Serverless::StateMachine\n"
        "    Properties: {Definition: {StartAt: W, States: {W: {Type: Wait, Seconds: !Ref Wait, End: true}}}}\n"
    )
    code, said = check(capsys, tmp_path / "t.yaml")
    assert code == 1
    task = "The resource arn:aws:states:::ecs:runTask is not offered by Stratolite; see docs/coverage.md at /States/B/Resource"
    shown = [line.partition("; offered: ")[0] for line in said]
    assert shown == [
        "t.yaml:4: error: FAliaslive: #: property [ProvisionedConcurrencyConfig] of AWS::Lambda::Alias is not offered by Stratolite",
        "t.yaml:6: warning: F: tracing is accepted, but nothing is traced here",
        "t.yaml:7: error: F: #/Runtime: The runtime java21 is not offered by Stratolite yet",
        f"t.yaml:12: error: M: #: Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: {task}'",
    ]


def test_what_a_transform_inside_makes_is_said_to_be_unchecked(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "t.yaml").write_text(
        "Resources:\n"
        "  Q:\n"
        "    Type: AWS::SQS::Queue\n"
        "    Properties: {'Fn::Transform': {Name: Mine}}\n"
    )
    assert check(capsys, tmp_path / "t.yaml") == (
        0,
        ["t.yaml:2: warning: Q: what Fn::Transform makes of it is not checked"],
    )
