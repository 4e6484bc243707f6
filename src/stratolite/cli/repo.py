"""stratolite repo: publish a SAM application to the local Serverless Application Repository, list what is there."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from stratolite.cli import screen, target
from stratolite.cli.deploy import _Bucket
from stratolite.cli.package import load, package

_METADATA = "AWS::ServerlessRepo::Application"
_TAKEN = (
    "Author", "Description", "HomePageUrl", "Labels", "LicenseUrl", "ReadmeUrl", "SourceCodeUrl",
    "SpdxLicenseId",
)  # fmt: skip


@click.group("repo")
def command() -> None:
    """Applications that templates name as AWS::Serverless::Application."""


@command.command("publish")
@click.argument("template", type=click.Path(dir_okay=False))
@click.option("--name", help="Default: what the template's Metadata says.")
@click.option("--version", "semantic_version", help="Default: what the template's Metadata says.")
@target.options
@screen.json_option
def publish(
    template: str,
    name: str | None,
    semantic_version: str | None,
    endpoint: str,
    region: str,
    as_json: bool,
) -> None:
    """Package TEMPLATE's code and publish a version of it (Metadata: AWS::ServerlessRepo::Application)."""
    body = load(template)
    said: dict[str, Any] = (body.get("Metadata") or {}).get(_METADATA) or {}
    name = name or said.get("Name")
    version = semantic_version or said.get("SemanticVersion")
    if not name or not version:
        raise click.ClickException(
            f"say --name and --version, or Name and SemanticVersion in the Metadata {_METADATA}"
        )
    bucket = _Bucket(target.client("s3", endpoint, region), endpoint, region)
    package(body, os.path.dirname(os.path.abspath(template)), bucket.upload)
    repo = target.client("serverlessrepo", endpoint, region)
    app_id = _application(repo, str(name), said)
    made = repo.create_application_version(
        ApplicationId=app_id,
        SemanticVersion=str(version),
        TemplateBody=json.dumps(body, default=str),
    )
    if as_json:
        screen.document({"application": app_id, "version": made["SemanticVersion"]})
        return
    click.echo(f"{app_id} {made['SemanticVersion']}")


def _application(repo: Any, name: str, said: dict[str, Any]) -> str:
    from botocore.exceptions import ClientError

    described = {key: said[key] for key in _TAKEN if key in said and key != "SourceCodeUrl"}
    described.setdefault("Author", "local")
    described.setdefault("Description", name)
    try:
        return str(repo.create_application(Name=name, **described)["ApplicationId"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConflictException":
            raise
    app_id = str(repo.get_application(ApplicationId=name)["ApplicationId"])
    kept = ("Author", "Description", "HomePageUrl", "Labels", "ReadmeUrl")
    repo.update_application(
        ApplicationId=app_id, **{k: v for k, v in described.items() if k in kept}
    )
    return app_id


@command.command("list")
@target.options
@screen.json_option
def list_(endpoint: str, region: str, as_json: bool) -> None:
    """Show the applications and their newest versions."""
    repo = target.client("serverlessrepo", endpoint, region)
    rows = []
    for page in repo.get_paginator("list_applications").paginate():
        for app in page["Applications"]:
            newest = repo.get_application(ApplicationId=app["ApplicationId"]).get("Version") or {}
            rows.append((app["Name"], newest.get("SemanticVersion", ""), app["ApplicationId"]))
    if as_json:
        screen.document([dict(zip(("name", "version", "id"), row, strict=True)) for row in rows])
        return
    screen.table(("name", "version", "id"), rows)
