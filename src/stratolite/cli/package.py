"""Packaging: a template's local code becomes objects in S3 named by their content.

The same files give the same zip (order, times and modes fixed), so an unchanged function is not updated.
Source  https://docs.aws.amazon.com/cli/latest/reference/cloudformation/package.html
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import click
import yaml

from stratolite.cli.builds import Part, Unit, build

_SKIPPED = {"__pycache__", ".git", ".venv", "node_modules/.cache", ".pytest_cache", ".mypy_cache"}
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)

# resource type -> (property with the code, how S3 places are written there)
_PLACES: dict[str, tuple[str, tuple[str, str]]] = {
    "AWS::Serverless::Function": ("CodeUri", ("Bucket", "Key")),
    "AWS::Serverless::LayerVersion": ("ContentUri", ("Bucket", "Key")),
    "AWS::Lambda::Function": ("Code", ("S3Bucket", "S3Key")),
    "AWS::Lambda::LayerVersion": ("Content", ("S3Bucket", "S3Key")),
}
_NESTED_DEPTH_MAX = 10
_NESTED = {"AWS::CloudFormation::Stack": "TemplateURL", "AWS::Serverless::Application": "Location"}
# resource type -> property with a local document -> how its S3 place is written there
_DOCUMENTS: dict[str, dict[str, tuple[str, str]]] = {
    "AWS::Serverless::StateMachine": {"DefinitionUri": ("Bucket", "Key")},
    "AWS::Serverless::HttpApi": {"DefinitionUri": ("Bucket", "Key")},
    "AWS::Serverless::Api": {"DefinitionUri": ("Bucket", "Key")},
    "AWS::ApiGatewayV2::Api": {"BodyS3Location": ("Bucket", "Key")},
    "AWS::ApiGateway::RestApi": {"BodyS3Location": ("Bucket", "Key")},
    "AWS::StepFunctions::StateMachine": {"DefinitionS3Location": ("Bucket", "Key")},
}


_PLAIN = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "null", "timestamp"))  # fmt: skip


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms: !Ref X is {Ref: X}, !Sub X is {Fn::Sub: X}.

    Keys are text, as the server reads them: a resource may be called Off, a response 200.
    """

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        if isinstance(node, yaml.MappingNode):
            self.flatten_mapping(node)
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.tag in _PLAIN:
                    key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


def _as_text(loader: _Loader, node: yaml.ScalarNode) -> str:
    """2010-09-09 stays text."""
    return str(loader.construct_scalar(node))


_Loader.add_multi_constructor("!", _short_form)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _as_text)


def load(path: str) -> dict[str, Any]:
    """The template with short forms written out. Raises ClickException."""
    return load_with_lines(path)[0]


def load_with_lines(path: str) -> tuple[dict[str, Any], yaml.Node]:
    """The same beside what its file says, whose nodes know their lines."""
    try:
        with open(path, encoding="utf-8") as file:
            loader = _Loader(file)
            root = loader.get_single_node()
            template = None if root is None else loader.construct_document(root)
    except OSError as error:
        raise click.ClickException(f"cannot read {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise click.ClickException(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(template, dict) or not isinstance(template.get("Resources"), dict):
        raise click.ClickException(f"{path} is not a template: it has no Resources")
    assert root is not None
    return template, root


Upload = Callable[[str, bytes], tuple[str, str]]
"""(key, body) -> (bucket, key)"""


def package(template: dict[str, Any], folder: str, upload: Upload, depth: int = 0) -> int:
    """Replace local code and nested templates by what ``upload(key, body)`` answers; how many uploads.

    Paths are relative to ``folder``, the template's own. Raises ClickException for a missing one.
    """
    if depth > _NESTED_DEPTH_MAX:
        raise click.ClickException(f"templates are nested deeper than {_NESTED_DEPTH_MAX}")
    done: dict[Any, tuple[str, str]] = {}
    globals_ = template.get("Globals", {}).get("Function", {})
    count = 0
    for _, resource, field in _nested(template):
        path = os.path.normpath(os.path.join(folder, resource["Properties"][field]))
        inner = load(path)
        count += package(inner, os.path.dirname(path), upload, depth + 1)
        body = json.dumps(inner, default=str).encode()
        bucket, key = upload(f"{hashlib.sha256(body).hexdigest()}.template", body)
        resource["Properties"][field] = f"https://s3.amazonaws.com/{bucket}/{key}"
        count += 1
    for name, resource, field in _coded(template):
        _, (bucket_field, key_field) = _PLACES[resource["Type"]]
        properties = resource.setdefault("Properties", {})
        path = os.path.normpath(os.path.join(folder, properties[field]))
        metadata = resource.get("Metadata") or {}
        runtime = str(properties.get("Runtime") or globals_.get("Runtime") or "")
        known = (
            path,
            runtime.rstrip(".0123456789x"),
            json.dumps(metadata, sort_keys=True, default=str),
        )
        if metadata.get("BuildMethod") == "makefile":
            known = (*known, name)  # type: ignore[assignment]  # its target has the name
        if known not in done:
            unit = Unit(name, path, runtime, metadata, "Layer" in resource["Type"])
            body = _zipped(unit)
            done[known] = upload(f"{hashlib.sha256(body).hexdigest()}.zip", body)
        bucket, key = done[known]
        properties[field] = {bucket_field: bucket, key_field: key}
    for _, resource, field, fields in _documents(template):
        path = os.path.normpath(os.path.join(folder, resource["Properties"][field]))
        try:
            with open(path, "rb") as file:
                body = file.read()
        except OSError as error:
            raise click.ClickException(f"cannot read {path}: {error.strerror}") from error
        suffix = os.path.splitext(path)[1]
        bucket, key = upload(f"{hashlib.sha256(body).hexdigest()}{suffix}", body)
        resource["Properties"][field] = dict(zip(fields, (bucket, key), strict=True))
        count += 1
    return count + len(done)


def nested_paths(template: dict[str, Any], folder: str) -> list[str]:
    """The local templates nested in it."""
    return [
        os.path.normpath(os.path.join(folder, resource["Properties"][field]))
        for _, resource, field in _nested(template)
    ]


def stand_ins(template: dict[str, Any]) -> None:
    """Put a place in S3 wherever local code or a nested template is named: nothing is uploaded."""
    for _, resource, field in _nested(template):
        resource["Properties"][field] = "https://s3.amazonaws.com/bucket/template"
    for _, resource, field in _coded(template):
        _, (bucket, key) = _PLACES[resource["Type"]]
        resource["Properties"][field] = {bucket: "bucket", key: "key"}
    for _, resource, field, fields in _documents(template):
        resource["Properties"][field] = dict(zip(fields, ("bucket", "key"), strict=True))


def _nested(template: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    for name, resource in template["Resources"].items():
        field = _NESTED.get(str(resource.get("Type"))) if isinstance(resource, dict) else None
        if field and _is_local((resource.get("Properties") or {}).get(field)):
            yield name, resource, field


def _documents(
    template: dict[str, Any],
) -> Iterator[tuple[str, dict[str, Any], str, tuple[str, str]]]:
    for name, resource in template["Resources"].items():
        kind = str(resource.get("Type")) if isinstance(resource, dict) else ""
        for field, fields in _DOCUMENTS.get(kind, {}).items():
            if _is_local((resource.get("Properties") or {}).get(field)):
                yield name, resource, field, fields


def _coded(template: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """(logical id, resource, property) for every resource whose code is a local path."""
    inherited = template.get("Globals", {}).get("Function", {}).pop("CodeUri", None)
    for name, resource in template["Resources"].items():
        if not isinstance(resource, dict):
            continue
        kind, properties = resource.get("Type"), resource.setdefault("Properties", {})
        if kind not in _PLACES:
            continue
        field = _PLACES[kind][0]
        inherits = kind == "AWS::Serverless::Function" and inherited is not None
        if inherits and not {"CodeUri", "InlineCode", "ImageUri"} & properties.keys():
            properties["CodeUri"] = inherited
        if _is_local(properties.get(field)):
            yield name, resource, field


def _is_local(value: Any) -> bool:
    return isinstance(value, str) and not value.startswith(("s3://", "http://", "https://"))


def _zipped(unit: Unit) -> bytes:
    name, path = unit.name, unit.folder
    if not os.path.exists(path):
        raise click.ClickException(f"{name}: there is no {path}")
    if os.path.isfile(path) and path.endswith((".zip", ".jar")):
        with open(path, "rb") as file:
            return file.read()
    found: dict[str, str] = {}
    if os.path.isfile(path):
        found[os.path.basename(path)] = path
    else:
        for part in build(unit):
            for file_path in _walk(part):
                found[part.prefix + os.path.relpath(file_path, part.folder)] = file_path
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside, file_path in sorted(found.items()):
            info = zipfile.ZipInfo(inside, _ZIP_TIME)
            mode = 0o755 if os.access(file_path, os.X_OK) else 0o644
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            with open(file_path, "rb") as file:
                archive.writestr(info, file.read())
    return out.getvalue()


def _walk(part: Part) -> Iterator[str]:
    for here, folders, files in os.walk(part.folder):
        folders[:] = sorted(
            d for d in folders if d != "__pycache__" and (part.whole or d not in _SKIPPED)
        )
        yield from (os.path.join(here, f) for f in sorted(files) if not f.endswith(".pyc"))
