"""Builds before packaging: what is installed, bundled or made, and that it is not done twice."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import click
import pytest

from stratolite.cli.package import load, package

FUNCTION = """
Resources:
  F:
    Type: AWS::Serverless::Function
    Metadata: {metadata}
    Properties: {{CodeUri: code, Handler: a.b, Runtime: {runtime}}}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STRATOLITE_BUILD_CACHE", str(tmp_path / "cache"))
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("def b(event, context): return 1\n")
    return tmp_path


def wheel(folder: Path) -> None:
    """The smallest package pip installs, found without any index."""
    with zipfile.ZipFile(folder / "small-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("small.py", "SIZE = 1\n")
        archive.writestr(
            "small-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: small\nVersion: 1.0\n"
        )
        archive.writestr(
            "small-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("small-1.0.dist-info/RECORD", "")


def contents(project: Path, metadata: str = "{}", runtime: str = "python3.12") -> set[str]:
    (project / "template.yaml").write_text(FUNCTION.format(metadata=metadata, runtime=runtime))
    seen: list[bytes] = []

    def upload(key: str, body: bytes) -> tuple[str, str]:
        seen.append(body)
        return "bucket", key

    package(load(str(project / "template.yaml")), str(project), upload)
    return set(zipfile.ZipFile(io.BytesIO(seen[0])).namelist())


def test_requirements_are_installed_beside_the_code_once(project: Path) -> None:
    """The second deploy takes them from the cache: it works without what pip installed them from."""
    wheel(project)
    wanted = f"--no-index\n--find-links {project}\nsmall\n"
    (project / "code" / "requirements.txt").write_text(wanted)
    first = contents(project)
    assert {"a.py", "small.py", "requirements.txt"} <= first
    (project / "small-1.0-py3-none-any.whl").unlink()
    (project / "code" / "more.py").write_text("")
    assert contents(project) == {*first, "more.py"}
    assert len(os.listdir(project / "cache")) == 1


def test_what_cannot_be_installed_is_said_with_pips_own_words(project: Path) -> None:
    (project / "code" / "requirements.txt").write_text("--no-index\nsmall\n")
    with pytest.raises(click.ClickException, match=r"(?s)F: .* failed.*small"):
        contents(project)
    assert os.listdir(project / "cache") == []


def test_a_makefile_makes_the_code(project: Path) -> None:
    recipe = "build-F:\n\tcp a.py $(ARTIFACTS_DIR)/made.py\n"
    (project / "code" / "Makefile").write_text(recipe)
    assert contents(project, "{BuildMethod: makefile}") == {"made.py"}


def test_esbuild_bundles_the_entry_points(project: Path) -> None:
    """With the project's own esbuild, told the template's BuildProperties."""
    tools = project / "code" / "node_modules" / ".bin"
    tools.mkdir(parents=True)
    script = tools / "esbuild"
    script.write_text(
        '#!/bin/sh\nfor a in "$@"; do case "$a" in --outdir=*) out="${a#--outdir=}";; esac; done\n'
        'echo "$@" > "$out/index.js"\n'
    )
    script.chmod(0o755)
    metadata = "{BuildMethod: esbuild, BuildProperties: {EntryPoints: [x.ts], External: [y]}}"
    assert contents(project, metadata, "nodejs20.x") == {"index.js"}


def test_another_build_method_is_refused_by_name(project: Path) -> None:
    with pytest.raises(click.ClickException, match="BuildMethod rust-cargolambda is not offered"):
        contents(project, "{BuildMethod: rust-cargolambda}")


def test_nested_templates_are_packaged_inside_out(project: Path) -> None:
    """The parent names the packaged child, whose code names its object."""
    (project / "child.yaml").write_text(FUNCTION.format(metadata="{}", runtime="python3.12"))
    (project / "template.yaml").write_text(
        "Resources: {N: {Type: 'AWS::CloudFormation::Stack', Properties: {TemplateURL: child.yaml}}}"
    )
    seen: dict[str, bytes] = {}

    def upload(key: str, body: bytes) -> tuple[str, str]:
        seen[key] = body
        return "bucket", key

    template: dict[str, Any] = load(str(project / "template.yaml"))
    package(template, str(project), upload)
    code, child = seen
    assert template["Resources"]["N"]["Properties"]["TemplateURL"].endswith(f"/bucket/{child}")
    assert code.encode() in seen[child]
